"""A neg-risk market on the local node: questions of which one comes true, on a stand-in for Polymarket's adapter.

The adapter's bytecode is on no registry, so a contract of our own does what its source says (`neg_risk.sol`), compiled
by the compiler that `make chain-parts` installs. The tokens below it are the real ConditionalTokens.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pytest

from arbkit.chain.local_node import PARTS
from arbkit.core.units import MICRO
from arbkit.settlement.contracts import ERC20_APPROVE, Contracts, calldata, split_data
from arbkit.settlement.intents import NegRiskMarket
from arbkit.settlement.positions import Condition, condition_id
from tests.chain.conftest import Anvil
from tests.chain.contracts import World, build

SOURCE = Path(__file__).with_name("neg_risk.sol")
DELIVER = "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)"
COMPILE = """
const input = require("fs").readFileSync(0, "utf8");
process.stdout.write(require(process.argv[1]).compile(input));
"""


@lru_cache
def compiled() -> str:
    """Return the adapter's creation code, hex with 0x; a skip where the compiler is missing."""
    node, solc = shutil.which("node"), PARTS / "solc"
    if node is None or not solc.is_dir():
        pytest.skip("no compiler: `make chain-parts` (needs npm) installs one")
    wanted = {
        "language": "Solidity",
        "sources": {"neg_risk": {"content": SOURCE.read_text(encoding="utf-8")}},
        "settings": {
            "optimizer": {"enabled": True},
            "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
        },
    }
    made = subprocess.run(
        [node, "-e", COMPILE, str(solc)], input=json.dumps(wanted), capture_output=True, text=True, check=True
    )
    found = json.loads(made.stdout)
    assert "errors" not in found, found["errors"]
    return "0x" + str(found["contracts"]["neg_risk"]["NegRisk"]["evm"]["bytecode"]["object"])


@dataclass
class NegRiskWorld:
    """A world whose contracts are those of a neg-risk market; everything goes through `adapter`."""

    world: World
    market: NegRiskMarket
    vault: str

    @classmethod
    async def build(cls, anvil: Anvil, questions: int = 3, fee_bips: int = 0) -> NegRiskWorld:
        """Deploy everything and put the questions; the account and its Safe have a thousand dollars each."""
        from eth_abi.abi import encode
        from eth_utils.address import to_checksum_address

        world = await build(anvil, questions=0)
        plain, vault = world.contracts, anvil.accounts[4]
        arguments = encode(["address"] * 3, [plain.conditional_tokens, plain.collateral, vault])
        adapter = await world.create(compiled(), arguments)
        answer = await anvil.do("eth_call", {"to": adapter, "data": "0x" + calldata("wrapped()").hex()}, "latest")
        world.contracts = Contracts(
            conditional_tokens=plain.conditional_tokens,
            collateral=plain.collateral,
            operator=adapter,
            neg_risk_adapter=adapter,
            neg_risk_oracle=adapter,
            backing=to_checksum_address("0x" + answer[-40:]),
            spenders=frozenset({adapter}),
        )
        making = calldata("prepareMarket(uint256,bytes)", fee_bips, b"a race")
        request = {"from": world.oracle, "to": adapter, "data": "0x" + making.hex()}
        market = bytes.fromhex((await anvil.do("eth_call", request, "latest"))[2:])
        await world.done(world.oracle, adapter, making)
        found = []
        for at in range(questions):
            await world.done(world.oracle, adapter, calldata("prepareQuestion(bytes32,bytes)", market, b""))
            found.append(world.contracts.condition(condition_id(adapter, market[:31] + bytes([at]))))
        return cls(world, NegRiskMarket(market, tuple(found), fee_bips), vault)

    async def stock(self, taken: tuple[int, ...], amount: int) -> list[Condition]:
        """Let the oracle split so much collateral (millionths) into pairs of each of these questions."""
        world, adapter = self.world, self.world.contracts.neg_risk_adapter
        questions = [self.market.questions[at] for at in taken]
        spend = calldata(ERC20_APPROVE, adapter, amount * len(questions))
        await world.done(world.oracle, world.contracts.collateral, spend)
        for one in questions:
            await world.done(world.oracle, adapter, split_data(world.contracts, one.id, amount))
        return questions

    async def give(self, holder: str, taken: tuple[int, ...], amount: int) -> None:
        """Let a holder have so many NO of these questions, as matches would have delivered them."""
        world, questions = self.world, await self.stock(taken, amount)
        data = calldata(DELIVER, world.oracle, holder, [one.no for one in questions], [amount] * len(questions), b"")
        await world.done(world.oracle, world.contracts.conditional_tokens, data)

    async def answer(self, winner: int) -> None:
        """Let the oracle say which question came true."""
        for at in range(len(self.market.questions)):
            question = self.market.id[:31] + bytes([at])
            data = calldata("reportOutcome(bytes32,bool)", question, at == winner)
            await self.world.done(self.world.oracle, self.world.contracts.neg_risk_adapter, data)

    async def held(self, holder: str) -> tuple[int, list[tuple[int, int]]]:
        """Return collateral, and YES and NO of each question, millionths."""
        world = self.world
        sides = [
            (await world.balance(holder, one.yes), await world.balance(holder, one.no)) for one in self.market.questions
        ]
        return await world.balance(holder), sides

    def without_spenders(self) -> None:
        """Let the adapter be none of the contracts that may be given an approval."""
        contracts = self.world.contracts
        self.world.contracts = replace(
            contracts, operator=contracts.conditional_tokens, spenders=frozenset({contracts.conditional_tokens})
        )

    def first(self, taken: tuple[int, ...]) -> Condition:
        return self.market.questions[taken[0]]


TEN = 10 * MICRO
