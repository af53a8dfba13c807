"""Polygon for those who settle: one account, one door. Calls go in, what became of each comes out when it is final."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from arbkit.chain.batch import BatchPlan, BatchTransactionManager
from arbkit.chain.gas import GasConfig, GasCost, GasPriceManager, Urgency
from arbkit.chain.node import Node
from arbkit.chain.reverts import is_revert, reason_of
from arbkit.chain.safe import SafeWallet
from arbkit.chain.signing import Signer
from arbkit.chain.transactions import TransactionConfig, TransactionDesk
from arbkit.core.errors import CallRefused, Reverted
from arbkit.core.ports import Clock, Journal
from arbkit.core.transaction import Call, CallResult, Fate, Transaction
from arbkit.core.units import Cash
from arbkit.journal.lock import AccountLock
from arbkit.journal.transactions import Transactions
from arbkit.metrics import PolygonGasTracker


class PolygonOptimizer:
    """Brings nodes, gas, numbers, transactions and batches together for one account, or for the Safe that it owns.

    `pol_price` returns the price of one POL in millionths of a dollar. `book` is what the journal says of earlier runs
    (`journal.fold.State.transactions`): what is open there is taken up again by `start`.
    """

    def __init__(
        self,
        node: Node,
        signer: Signer,
        journal: Journal,
        clock: Clock,
        *,
        pol_price: Callable[[], Cash],
        gas: GasConfig | None = None,
        transactions: TransactionConfig | None = None,
        safe: SafeWallet | None = None,
        book: Transactions | None = None,
        tracker: PolygonGasTracker | None = None,
        lock: AccountLock | None = None,
    ) -> None:
        """`lock` keeps other processes of this machine off the account; it is released by `close`."""
        self._node = node
        self._lock = lock
        self._safe = safe
        self.gas = GasPriceManager(node, pol_price, gas)
        self.tracker = tracker or PolygonGasTracker()
        self.transactions = TransactionDesk(
            node, self.gas, signer, journal, clock, transactions, book=book, on_final=self._ended
        )
        self.batches = BatchTransactionManager(node, self.gas, self.transactions, safe)

    @property
    def holder(self) -> str:
        """Return the address that holds collateral and positions: the Safe, else the account."""
        return self.batches.holder

    async def start(self) -> None:
        """Check the Safe, hear the account's numbers, look once at what is open. ConfigError names what is wrong."""
        if self._safe is not None:
            await self._safe.check(self._node, self.transactions.account)
        await self.transactions.start()
        await self.transactions.step()

    async def step(self) -> bool:
        """Look at what is open; for a supervisor to repeat, every block. False when the chain could not be asked."""
        return await self.transactions.step()

    def close(self) -> None:
        """Let the account go; what is open stays on record."""
        self.transactions.close()
        if self._lock is not None:
            self._lock.release()

    async def head(self) -> int:
        """Return the number of the newest block."""
        return await self._node.head()

    async def ask(self, to: str, data: bytes, block: int | None = None) -> bytes:
        """Return what a contract answers, as of a block or now. Raises Reverted with its reason."""
        asked = {"from": self.holder, "to": to, "data": "0x" + data.hex()}
        try:
            answer: Any = await self._node.read("eth_call", asked, "latest" if block is None else hex(block))
        except CallRefused as refused:
            if not is_revert(refused):
                raise
            raise Reverted(reason_of(refused), f"a question to {to}") from refused
        return bytes.fromhex(answer[2:])

    async def receipt(self, hash: str) -> dict[str, Any] | None:
        """Return anybody's receipt; None while there is none, which is no proof of anything."""
        answer: dict[str, Any] | None = await self._node.read("eth_getTransactionReceipt", hash)
        return answer

    async def stands(self, block: int, block_hash: str) -> bool:
        """Tell whether a block is final: the chain has it at its height, and no reorganisation can take it back."""
        if block > await self.transactions.final_height():
            return False
        found = await self._node.read("eth_getBlockByNumber", hex(block), False)
        return found is not None and str(found["hash"]).lower() == block_hash.lower()

    async def estimate(self, calls: Sequence[Call], urgency: Urgency = Urgency.NORMAL) -> tuple[BatchPlan, GasCost]:
        """Return how calls would be made, and what that costs in POL and dollars. FeeAboveCap as `execute`."""
        fees = await self.gas.estimate_fees(urgency)
        plan = await self.batches.plan(calls)
        return plan, self.gas.cost(plan.gas, fees)

    def fate_of(self, key: str) -> Fate | None:
        """Return PENDING for a call that is open, DONE for one that took effect; None when it may be made (again)."""
        return self.batches.fate_of(key)

    async def has_done(self, key: str, block: int) -> bool:
        """Tell whether the chain, as it is now, has a call's effect in a block up to this one. Raises ChainUnavailable."""
        return await self.transactions.has_done(key, block)

    def done_in(self, block: int) -> tuple[str, ...]:
        """Return the keys of all our calls that took effect in a block, in their order there, as far as is known."""
        return self.transactions.done_in(block)

    async def execute(self, calls: Sequence[Call], urgency: Urgency = Urgency.NORMAL) -> tuple[CallResult, ...]:
        """Make calls, each once by its key; return what became of each when all is final.

        Raises, when nothing was signed, FeeAboveCap, FundsMissing or ChainUnavailable; JournalError when it cannot be
        kept. What is open when this is cancelled stays open and on record: the same call finds it again.
        """
        saved = self.batches.saved
        results = await self.batches.execute(calls, urgency)
        self.tracker.saved(self.batches.saved - saved)
        return results

    async def paid_for(self, key: str) -> int:
        """Return what was paid for the call of a key, its approvals too, wei, when all of that is final."""
        return await self.transactions.paid_for(key)

    def _ended(self, one: Transaction) -> None:
        if one.mined is not None:
            self.tracker.used(one.call.work.value, one.mined.gas_used, one.paid, ok=one.mined.ok)
