"""A two-venue world with a scripted platform each, and trades on it in virtual time."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.backtest.mock_platform import MockFeed, MockFees, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.grid import Grid
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    ExecutionResult,
    ExecutionStrategy,
    Kind,
    Market,
    MultiLegTrade,
    Pair,
)
from arbkit.core.units import MICRO, Cash, size
from arbkit.detection.baskets import baskets
from arbkit.execution.parallel_executor import ParallelExecutor
from arbkit.execution.planning import decided, undecided
from arbkit.execution.terms import Terms
from arbkit.history.markets import market_table
from arbkit.journal.memory import MemoryJournal
from arbkit.risk.limits import RiskLimits, RiskManager
from arbkit.risk.pairs import PairBook

T = TypeVar("T")
START = 1_780_000_000 * 1_000_000_000
YES_A, NO_B = "alpha:m:yes", "beta:m:no"


def a_market(venue: str, name: str = "m", *, lot: str = "1", min_size: str = "1", tick: str = "0.01") -> Market:
    return Market(
        venue=venue,
        id=name,
        event="e",
        outcome="it",
        payout=Cash(MICRO),
        exclusive=True,
        exhaustive=False,
        void="half",
        grids=((0, Grid.of_tick(tick)),),
        lot=size(lot),
        min_size=size(min_size),
    )


def virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run in virtual time: waits cost nothing, and a hang is an error."""
    return run_virtual(main, SimLoop(START))


@dataclass
class Rig:
    """YES at alpha for 0.40 and NO at beta for 0.55: five cents of edge on 100 shares, unless a test says otherwise."""

    config: ExecutionConfig = field(default_factory=ExecutionConfig)
    fees: MockFees = field(default_factory=MockFees)
    limits: RiskLimits = field(default_factory=RiskLimits)
    cash: str = "10000"
    markets: Sequence[Market] = ()

    def __post_init__(self) -> None:
        markets = tuple(self.markets) or (a_market("alpha"), a_market("beta"))
        pairs = (Pair(markets[0], markets[1], "same"),)
        self.table = market_table(markets, pairs)
        self.alpha = MockPlatform("alpha", self.table, self.cash, self.fees)
        self.beta = MockPlatform("beta", self.table, self.cash, self.fees)
        self.venues = {"alpha": self.alpha, "beta": self.beta}
        self.feed = MockFeed(list(self.venues.values()), gross=self.config.edge == "gross")
        self.journal = MemoryJournal()
        self.pairs = PairBook.assumed(self.table)
        self.risk = RiskManager(self.limits, self.config, pairs=self.pairs)
        self.basket: Basket = next(
            b for b in baskets(self.table, (Kind.CROSS_VENUE,)) if [leg.name for leg in b.legs] == [YES_A, NO_B]
        )
        self.executor = ParallelExecutor(self.venues, self.feed, self.risk, self.config, journal=self.journal)
        self.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "100"), ("0.45", "200")])
        self.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.55", "100"), ("0.60", "200")])

    def opportunity(self, shares: str = "100") -> ArbitrageOpportunity:
        terms = Terms.of(self.config)
        found = self.feed.opportunity(self.basket, terms.min_edge, shares)
        assert found is not None, "the test's books hold no opportunity"
        return found

    async def trade(self, strategy: ExecutionStrategy, shares: str = "100") -> MultiLegTrade:
        views = [self.feed.view(leg) for leg in self.basket.legs]
        planned = undecided(self.opportunity(shares), strategy, "t")
        trade, reason = decided(planned, views, Terms.of(self.config))
        assert not reason, reason
        return trade

    def run(self, strategy: str, shares: str = "100", *others: Coroutine[Any, Any, object]) -> ExecutionResult:
        """Execute one trade to its end, with whatever else happens meanwhile, and check the books of account."""

        async def main() -> ExecutionResult:
            import asyncio

            doing = [asyncio.ensure_future(other) for other in others]
            try:
                return await self.executor.execute(await self.trade(ExecutionStrategy(strategy), shares))
            finally:
                for task in doing:
                    task.cancel()

        result = virtual(main())
        self.check(result)
        return result

    def check(self, result: ExecutionResult) -> None:
        """Nothing is lost between the engine's account and the venues' ledgers, unless an order stayed unknown."""
        if any(order.status.value == "unknown" for leg in result.trade.legs for order in leg.orders):
            assert result.outcome.value == "escalated"
            return
        for leg in result.trade.legs:
            platform = self.venues[leg.book.venue]
            assert platform.shares.get(leg.book.index, 0) == leg.held
        assert sum(p.cash - p.opening for p in self.venues.values()) == result.cash

    def facts(self, fact: str) -> list[str]:
        return [one.key for one in self.journal.facts if one.fact == fact]


def held(result: ExecutionResult) -> list[float]:
    return [leg.held / MICRO for leg in result.trade.legs]
