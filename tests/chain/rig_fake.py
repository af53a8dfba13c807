"""A desk on the fake chain, under virtual time."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eth_account import Account

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.chain.gas import GWEI, GasConfig
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.chain.safe import SafeWallet
from arbkit.chain.signing import Signer
from arbkit.chain.transactions import TransactionConfig
from arbkit.core.clock import LoopClock
from arbkit.core.secrets import Secret
from arbkit.core.transaction import Call, Transaction, Work
from arbkit.core.units import Cash
from arbkit.journal.fold import fold
from arbkit.journal.memory import MemoryJournal
from arbkit.journal.transactions import Transactions
from tests.chain.fake_chain import FakeChain

T = TypeVar("T")
START = 1_790_000_000_000_000_000
KEY = Secret("0x" + "4c" * 32)  # made up, and holds nothing
ACCOUNT = Account.from_key(KEY.reveal()).address
CONTRACT = "0x" + "11" * 20
SAFE = SafeWallet("0x" + "5a" * 20, "0x" + "7b" * 20)
POL = Cash(400_000)  # 40 cents


def virtual(main: Coroutine[Any, Any, T]) -> T:
    return run_virtual(main, SimLoop(START))


def call(name: str, work: Work = Work.MERGE) -> Call:
    return Call(f"merge:{name}", CONTRACT, name.encode(), work)


@dataclass
class ChainRig:
    """One account, its journal, and a desk on a chain that does what a test says."""

    seed: int = 0
    gas: GasConfig = field(default_factory=lambda: GasConfig(max_fee_cap=500 * GWEI))
    config: TransactionConfig = field(default_factory=TransactionConfig)
    journal: Any = field(default_factory=MemoryJournal)
    safe: SafeWallet | None = None
    book: Transactions | None = None
    chain: FakeChain = field(init=False)

    def __post_init__(self) -> None:
        self.chain = FakeChain(ACCOUNT, self.seed)
        self.chain.safe = self.safe.address if self.safe is not None else ""
        self.signer = Signer(KEY, 137, live=False)
        self.open()

    def open(self, book: Transactions | None = None) -> PolygonOptimizer:
        """Make a desk, as a start of the process would."""
        self.polygon = PolygonOptimizer(
            self.chain,
            self.signer,
            self.journal,
            LoopClock(),
            pol_price=lambda: POL,
            gas=self.gas,
            transactions=self.config,
            safe=self.safe,
            book=book or self.book,
        )
        self.desk = self.polygon.transactions
        return self.polygon

    def restart(self) -> PolygonOptimizer:
        """Forget everything but the journal."""
        self.polygon.close()
        return self.open(self.folded())

    def folded(self) -> Transactions:
        return fold(self.journal.facts).transactions

    def facts(self, name: str = "") -> list[str]:
        return [fact.fact for fact in self.journal.facts if not name or fact.fact == f"transaction.{name}"]

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run on a chain that mines, and let the account go afterwards; what is in memory is what is on record."""

        async def steps() -> T:
            async with self.chain.mining():
                return await main

        try:
            result = virtual(steps())
        finally:
            self.polygon.close()
        book = self.desk._out.book
        folded = self.folded()
        assert ({a: m for a, m in book.open.items() if m}, book.closed) == (
            {a: m for a, m in folded.open.items() if m},
            folded.closed,
        )
        return result

    async def made(self, name: str) -> Transaction:
        await self.desk.submit(call(name))
        return await self.desk.wait(call(name).key)
