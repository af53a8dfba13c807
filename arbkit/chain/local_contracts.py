"""Real contracts on a local node: collateral, ConditionalTokens and a Safe 1.4.1, from the bytecode of their authors.

The collateral is an ERC-20 of our own making, and ConditionalTokens is called itself: what Polymarket puts in front
of it (adapters, exchanges) is published as source or interface only, so it is not here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from arbkit.chain.gas import GWEI, GasConfig
from arbkit.chain.local_node import LocalNode, bytecode
from arbkit.chain.node import Node
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.chain.pool import POLYGON, RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.chain.safe import SafeWallet
from arbkit.chain.signing import Signer
from arbkit.chain.transactions import TransactionConfig
from arbkit.core.clock import LoopClock
from arbkit.core.secrets import Secret
from arbkit.core.units import MICRO, Cash
from arbkit.journal.memory import MemoryJournal
from arbkit.journal.transactions import Transactions
from arbkit.settlement.contracts import ERC20_APPROVE, Contracts, calldata, split_data
from arbkit.settlement.desk import SettlementDesk
from arbkit.settlement.positions import Condition, condition_id

CTF: Final = "@gnosis.pm/conditional-tokens-contracts/build/contracts/ConditionalTokens.json"
ERC20: Final = "@openzeppelin/contracts/build/contracts/ERC20PresetFixedSupply.json"
SAFES: Final = "@safe-global/safe-contracts/build/artifacts/contracts"
NOBODY: Final = "0x" + "00" * 20
BLOCK_S = 0.08  # a block here, about a twentieth of Polygon's
QUICK: Final = TransactionConfig(poll_s=0.05, resend_s=0.3, stuck_s=0.8, hole_s=0.2)  # patience for such blocks
POL: Final = Cash(400_000)
DELIVER = "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)"


@dataclass
class LocalChain:
    """A node with everything deployed. `us` trades, by itself or through `safe`; `oracle` answers questions.

    The node must mine only when it is told to.
    """

    anvil: LocalNode
    contracts: Contracts
    safe: SafeWallet
    oracle: str
    us: str
    other: str
    signer: Signer
    journal: Any = field(default_factory=MemoryJournal)
    conditions: list[Condition] = field(default_factory=list)

    @classmethod
    async def build(cls, anvil: LocalNode, questions: int = 1, shares: int = 1_000 * MICRO) -> Self:
        """Deploy everything; the account and its Safe have `shares` (millionths) of collateral each.

        Raises NoLocalNode when the contracts are not installed.
        """
        oracle, us, other = anvil.accounts[:3]
        signer = Signer(Secret(anvil.keys[1]), POLYGON, live=False)
        nothing = Contracts(conditional_tokens=NOBODY, collateral=NOBODY, operator=NOBODY)
        chain = cls(anvil, nothing, SafeWallet(NOBODY, NOBODY), oracle, us, other, signer)
        await chain._deploy_all()
        for holder in (us, chain.safe.address):
            await chain.pay(holder, shares)
        for number in range(questions):
            await chain.question(f"question {number}")
        return chain

    async def _deploy_all(self) -> None:
        from eth_abi.abi import encode
        from eth_utils.address import to_checksum_address
        from eth_utils.crypto import keccak

        ctf = await self.deploy(CTF)
        supply = encode(["string", "string", "uint256", "address"], ["dollar", "USD", 10**15, self.oracle])
        usd = await self.deploy(ERC20, supply)
        self.contracts = Contracts(conditional_tokens=ctf, collateral=usd, operator=ctf, spenders=frozenset({ctf}))
        singleton = await self.deploy(f"{SAFES}/SafeL2.sol/SafeL2.json")
        factory = await self.deploy(f"{SAFES}/proxies/SafeProxyFactory.sol/SafeProxyFactory.json")
        multisend = await self.deploy(f"{SAFES}/libraries/MultiSendCallOnly.sol/MultiSendCallOnly.json")
        handler = f"{SAFES}/handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json"
        fallback = await self.deploy(handler)  # without it a Safe takes no ERC-1155 tokens
        kinds = "(address[],uint256,address,bytes,address,address,uint256,address)"
        values = [[self.us], 1, NOBODY, b"", fallback, NOBODY, 0, NOBODY]
        setup = keccak(text=f"setup{kinds}")[:4] + encode(kinds[1:-1].split(","), values)
        making = calldata("createProxyWithNonce(address,bytes,uint256)", singleton, setup, 7)
        made = await self.done(self.oracle, factory, making)
        created = "0x" + keccak(text="ProxyCreation(address,address)").hex()
        (log,) = [log for log in made["logs"] if log["topics"][0] == created]
        self.safe = SafeWallet(to_checksum_address("0x" + log["topics"][1][-40:]), multisend)

    # -- what others do --------------------------------------------------------------------------------------

    async def tell(self, sender: str, to: str | None, data: bytes | str, value: int = 0) -> dict[str, Any]:
        """Send from one of the node's own accounts and return the receipt."""
        text = data if isinstance(data, str) else "0x" + data.hex()
        call: dict[str, Any] = {"from": sender, "data": text, "value": hex(value), "gas": hex(8_000_000)}
        if to is not None:
            call["to"] = to
        sent = await self.anvil.do("eth_sendTransaction", call)
        await self.anvil.mine()
        receipt: dict[str, Any] = await self.anvil.do("eth_getTransactionReceipt", sent)
        return receipt

    async def done(self, sender: str, to: str | None, data: bytes | str) -> dict[str, Any]:
        """See `tell`; RuntimeError when it reverts."""
        receipt = await self.tell(sender, to, data)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"a transaction of {sender} to {to or 'make a contract'} reverted")
        return receipt

    async def deploy(self, name: str, arguments: bytes = b"") -> str:
        """Make a contract by the name of its installed file; return its address."""
        return await self.create(bytecode(name), arguments)

    async def create(self, code: str, arguments: bytes = b"") -> str:
        """Make a contract of creation code (hex with 0x); return its address."""
        from eth_utils.address import to_checksum_address

        receipt = await self.done(self.oracle, None, code + arguments.hex())
        return str(to_checksum_address(receipt["contractAddress"]))

    async def question(self, name: str) -> Condition:
        """Put a question to the oracle and return its condition."""
        from eth_utils.crypto import keccak

        asked = keccak(text=name)
        data = calldata("prepareCondition(address,bytes32,uint256)", self.oracle, asked, 2)
        await self.done(self.oracle, self.contracts.conditional_tokens, data)
        self.conditions.append(self.contracts.condition(condition_id(self.oracle, asked)))
        return self.conditions[-1]

    async def answer(self, name: str, yes: int, no: int) -> None:
        """Let the oracle answer a question."""
        from eth_utils.crypto import keccak

        data = calldata("reportPayouts(bytes32,uint256[])", keccak(text=name), [yes, no])
        await self.done(self.oracle, self.contracts.conditional_tokens, data)

    async def pay(self, to: str, amount: int) -> None:
        """Give collateral, millionths."""
        await self.done(self.oracle, self.contracts.collateral, calldata("transfer(address,uint256)", to, amount))

    async def stock(self, amount: int) -> None:
        """Let the oracle split so much collateral (millionths) into pairs of each condition, to `deliver` from."""
        ctf, usd = self.contracts.conditional_tokens, self.contracts.collateral
        await self.done(self.oracle, usd, calldata(ERC20_APPROVE, ctf, amount * len(self.conditions)))
        for condition in self.conditions:
            await self.done(self.oracle, ctf, split_data(self.contracts, condition.id, amount))

    async def deliver(self, to: str, conditions: Sequence[Condition], amount: int) -> None:
        """Move pairs from the stock to a holder, as the matches of both legs would have."""
        tokens = [token for condition in conditions for token in condition.tokens]
        data = calldata(DELIVER, self.oracle, to, tokens, [amount] * len(tokens), b"")
        await self.done(self.oracle, self.contracts.conditional_tokens, data)

    # -- what there is ---------------------------------------------------------------------------------------

    async def balance(self, holder: str, token: int | None = None) -> int:
        """Return what a holder has of a token, or of the collateral, millionths."""
        to, data = self.contracts.collateral, calldata("balanceOf(address)", holder)
        if token is not None:
            data = calldata("balanceOf(address,uint256)", holder, token)
            to = self.contracts.conditional_tokens
        answer = await self.anvil.do("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest")
        return int(answer, 16)

    async def held(self, holder: str, condition: Condition) -> tuple[int, int, int]:
        """Return collateral, YES and NO, millionths."""
        return (
            await self.balance(holder),
            await self.balance(holder, condition.yes),
            await self.balance(holder, condition.no),
        )

    # -- what we do ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def mining(self) -> AsyncIterator[None]:
        """Mine as time passes, a block every BLOCK_S."""

        async def run() -> None:
            while True:
                await asyncio.sleep(BLOCK_S)
                await self.anvil.mine()

        task = asyncio.ensure_future(run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def polygon(
        self, *, safe: bool = False, node: Node | None = None, book: Transactions | None = None, **settings: Any
    ) -> AsyncIterator[PolygonOptimizer]:
        """Open the account on this node (or another one in front of it), and let it go at the end."""
        settings = {"transactions": QUICK, "gas": GasConfig(max_fee_cap=1_000 * GWEI), **settings}
        async with contextlib.AsyncExitStack() as stack:
            if node is None:
                endpoints = [RPCEndpoint(self.anvil.url, "anvil")]
                known = {self.contracts.conditional_tokens: ""}
                node = await stack.enter_async_context(RPCLoadBalancer(endpoints, contracts=known, fresh_s=0.0))
            one = PolygonOptimizer(
                node,
                self.signer,
                self.journal,
                LoopClock(),
                pol_price=lambda: POL,
                safe=self.safe if safe else None,
                book=book,
                **settings,
            )
            try:
                await one.start()
                yield one
            finally:
                one.close()

    def settle(self, polygon: PolygonOptimizer, **settings: Any) -> SettlementDesk:
        """Return the desk that settles for the account (or its Safe) on these contracts."""
        return SettlementDesk(polygon, self.contracts, **settings)
