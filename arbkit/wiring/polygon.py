"""The account on Polygon that an engine settles with: locked, taken up from the journal, and let go at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from arbkit.chain.capital import ChainMarket, LockTerms, PolygonCapital
from arbkit.chain.gas import GasConfig
from arbkit.chain.node import Node
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.chain.safe import SafeWallet
from arbkit.chain.signing import Signer
from arbkit.chain.transactions import TransactionConfig
from arbkit.core.clock import LoopClock
from arbkit.core.ports import Clock, Journal
from arbkit.core.units import Cash
from arbkit.journal.lock import AccountLock
from arbkit.journal.memory import Fact
from arbkit.journal.transactions import FACTS, Transactions
from arbkit.metrics import PolygonGasTracker
from arbkit.settlement.contracts import POLYMARKET, Contracts
from arbkit.settlement.desk import SettlementDesk


class ReadJournal(Journal, Protocol):
    """A journal that can be read back: the engine's own, since both write one record of one account."""

    @property
    def facts(self) -> Iterable[Fact]:
        """Return every fact so far, oldest first."""
        ...


def transactions_of(facts: Iterable[Fact]) -> Transactions:
    """Return what a journal says of transactions: what is open in it may be mined, whatever became of its process."""
    book = Transactions()
    for fact in facts:
        if fact.fact in FACTS:
            book.apply(fact.fact, fact.key, dict(fact.data))
    return book


@asynccontextmanager
async def capital_on_polygon(
    node: Node,
    signer: Signer,
    journal: ReadJournal,
    markets: Mapping[str, ChainMarket],
    *,
    pol_price: Callable[[], Cash],
    live: bool,
    contracts: Contracts = POLYMARKET,
    clock: Clock | None = None,
    safe: SafeWallet | None = None,
    gas: GasConfig | None = None,
    transactions: TransactionConfig | None = None,
    terms: LockTerms | None = None,
    approves: bool = True,
    tracker: PolygonGasTracker | None = None,
    locks: Path | None = None,
) -> AsyncIterator[PolygonCapital]:
    """Open the account for an engine: `ArbitrageExecutionEngine(..., journal=journal, chain=capital)`, then start it.

    `markets` are the conditions of markets by name ("venue:market"), `pol_price` returns the price of one POL in
    millionths of a dollar. Nobody else on this machine sends for the account meanwhile (`locks` is the folder of
    locks, a user's own by default). Raises JournalError when somebody does, JournalDamaged, ConfigError, ChainError.
    """
    clock = clock or LoopClock()
    lock = AccountLock(signer.chain_id, signer.address, locks)
    try:
        polygon = PolygonOptimizer(
            node,
            signer,
            journal,
            clock,
            pol_price=pol_price,
            gas=gas,
            transactions=transactions,
            safe=safe,
            book=transactions_of(journal.facts),
            tracker=tracker,
            lock=lock,
        )
    except BaseException:
        lock.release()
        raise
    try:
        await polygon.start()
        desk = SettlementDesk(polygon, contracts, approves=approves)
        capital = PolygonCapital(polygon, desk, markets, clock, terms, live=live)
        await capital.step()  # what gas costs is known before the first trade ends
        yield capital
    finally:
        polygon.close()
