"""One venue whose shares live on a chain, YES at 0.40 and NO at 0.55 of one market, and an engine that may merge them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from arbkit.backtest.mock_platform import MockFeed, MockPlatform
from arbkit.core.capital import CapitalIntent, CapitalResult, Conversion, Offer, Payout
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError
from arbkit.core.model import ArbitrageOpportunity, Basket, ExecutionResult, ExecutionStrategy, Kind
from arbkit.core.ports import Chain
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.fold import fold, named_books
from arbkit.journal.memory import Fact, MemoryJournal
from tests.rig import a_market, virtual

T = TypeVar("T")
MARKET, YES, NO = "alpha:m", "alpha:m:yes", "alpha:m:no"
GAS = Cash(20_000)


class MockChain:
    """Implements `core.ports.Chain` over a platform's own cash and shares; what it answers is set by the test."""

    live = False
    pause_s = 1.75

    def __init__(self, platform: MockPlatform) -> None:
        self.platform = platform
        self.offer = Offer(Cash(50_000))
        self.takes_s = 5.0  # until shares move
        self.final_s = 0.0  # from there until it says so, as a transaction that is mined and not final
        self.errors: list[ArbkitError] = []  # raised by the next calls of `settle`, one each
        self.fails: Callable[[CapitalIntent], str] = lambda _intent: ""
        self.pays: Payout | None = None
        self.silent = ""
        self.asked: list[str] = []  # keys, each time one is asked for
        self.made: dict[str, CapitalResult] = {}
        self.as_expected = True

    def covers(self, market: str) -> bool:
        return market == MARKET

    def merge_offer(self, _market: str, _pairs: Size) -> Offer:
        return self.offer

    def conversion(self, _markets: Sequence[str], _shares: Size) -> Conversion | None:
        return None

    def gas_of(self, _work: Work) -> Cash | None:
        return None if self.offer.why else GAS

    async def settle(self, intent: CapitalIntent) -> CapitalResult:
        self.asked.append(intent.key)
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.sleep(self.takes_s)
        if intent.key not in self.made:
            self.made[intent.key] = self._do(intent)
        if self.final_s:
            await asyncio.sleep(self.final_s)
        return self.made[intent.key]

    def _do(self, intent: CapitalIntent) -> CapitalResult:
        if reason := self.fails(intent):
            return CapitalResult(Fate.REVERTED, gas=GAS, wei=10**16, reason=reason)
        if intent.work is Work.REDEEM:
            assert self.pays is not None
            cash = self.pays.of(intent.yes, intent.no)
        elif intent.work is Work.CONVERT:
            cash = Cash((len(intent.taken) - 1) * intent.yes)
        else:
            cash = Cash(intent.yes if intent.work is Work.MERGE else -intent.yes)
        for name, change in intent.moves:
            index = self.platform.table.book(name).index
            self.platform.shares[index] = self.platform.shares.get(index, 0) + change
        self.platform.cash = Cash(self.platform.cash + cash)
        return CapitalResult(Fate.DONE, cash, GAS, 10**16, hash="0x" + "ab" * 32, as_expected=self.as_expected)

    async def give_up(self, intent: CapitalIntent, why: str) -> CapitalResult | None:
        return None if intent.key in self.made else CapitalResult(Fate.REFUSED, reason=why)

    async def payout(self, _market: str) -> Payout | None:
        return self.pays

    async def step(self) -> str:
        return self.silent


@dataclass
class PairRig:
    """Five cents of edge on 100 pairs."""

    config: ExecutionConfig = field(default_factory=lambda: ExecutionConfig(max_slippage=0.0))
    journal: Any = field(default_factory=MemoryJournal)
    platform: Callable[..., MockPlatform] = MockPlatform
    lot: str = "1"
    min_size: str = "1"

    def __post_init__(self) -> None:
        self.table = market_table((a_market("alpha", lot=self.lot, min_size=self.min_size),))
        self.alpha = self.platform("alpha", self.table, "1000")
        self.feed = MockFeed([self.alpha])
        self.chain = MockChain(self.alpha)
        (self.basket,) = baskets(self.table, (Kind.COMPLEMENT,))
        self.alpha.set_book(YES, bids=[("0.38", "200")], asks=[("0.40", "100"), ("0.45", "200")])
        self.alpha.set_book(NO, bids=[("0.53", "200")], asks=[("0.55", "100"), ("0.60", "200")])
        self.engine = self.new_engine()

    def new_engine(self, chain: Chain | None = None) -> ArbitrageExecutionEngine:
        basket: Basket = self.basket
        return ArbitrageExecutionEngine(
            {"alpha": self.alpha},
            self.feed,
            [basket],
            config=self.config,
            journal=self.journal,
            chain=self.chain if chain is None else chain,
        )

    def opportunity(self, shares: str = "100") -> ArbitrageOpportunity:
        found = self.feed.opportunity(self.basket, Cash(100), shares)
        assert found is not None
        return found

    async def trade(self, strategy: str = "MARKET", shares: str = "100") -> ExecutionResult:
        return await self.engine.execute_opportunity(self.opportunity(shares), ExecutionStrategy(strategy))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Start the engine, run, stop; then memory, journal and the venue's own books say the same."""

        async def steps() -> T:
            await self.engine.start()
            try:
                return await main
            finally:
                await self.engine.stop()
                self.check()

        return virtual(steps())

    def check(self) -> None:
        engine, books = self.engine, self.table.books
        assert engine.checkpoint() == replayed_checkpoint(self.journal.facts, books, self.config)
        assert engine._capital.capital == fold(self.journal.facts, named_books(books)).capital
        if not engine._capital.capital.open:
            held = {self.table.books[index].name: size for index, size in self.alpha.shares.items() if size}
            assert (engine.ledger.cash["alpha"], engine.ledger.shares) == (self.alpha.cash, held)

    def facts(self, name: str) -> list[Fact]:
        return [fact for fact in self.journal.facts if fact.fact == name]

    def alerts(self) -> list[str]:
        return [str(fact.get("what")) for fact in self.facts("engine.alert")]

    def held(self) -> tuple[float, float]:
        yes, no = (self.alpha.shares.get(self.table.book(name).index, 0) / MICRO for name in (YES, NO))
        return yes, no
