"""The whole row: detection -> risk -> execution -> metrics, over whatever venues and books are passed in.

The engine does not know whether it runs in a simulation, on paper or live: that is decided by what is passed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.model import ArbitrageOpportunity, Basket, ExecutionResult, ExecutionStrategy
from arbkit.core.ports import BookFeed, Clock, Journal, Venue
from arbkit.core.units import MICRO, NS_PER_S
from arbkit.execution.accounting import refused
from arbkit.execution.parallel_executor import ParallelExecutor
from arbkit.execution.planning import decided, undecided
from arbkit.execution.terms import Terms
from arbkit.metrics import MetricsCollector
from arbkit.risk.limits import RiskLimits, RiskManager


class ArbitrageExecutionEngine:
    """Finds opportunities on a feed and trades them, one at a time.

    In paper mode (the default) a venue that says it is `live` is refused with ConfigError; the mode means nothing
    else. `rearm_s` is how long a basket is left alone after it was tried: an episode is one opportunity.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        baskets: Sequence[Basket] = (),
        *,
        config: ExecutionConfig | None = None,
        limits: RiskLimits | None = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        paper_mode: bool = True,
        rearm_s: float = 1.0,
    ) -> None:
        live = [name for name, venue in venues.items() if getattr(venue, "live", False)]
        if paper_mode and live:
            raise ConfigError(f"paper mode does not trade at a live venue: {', '.join(live)}")
        if not 0 < rearm_s <= 86_400:
            raise ConfigError(f"rearm_s = {rearm_s!r} is outside 0..86400, 0 excluded")
        self.config = config or ExecutionConfig()
        self.metrics = MetricsCollector()
        self.risk = RiskManager(limits, self.config)
        self._terms = Terms.of(self.config)
        self._venues = dict(venues)
        self._feed = feed
        self._baskets = tuple(baskets)
        self._clock = clock or LoopClock()
        self._rearm_s = rearm_s
        self._executor = ParallelExecutor(venues, feed, self.risk, self.config, self._clock, journal)
        self._tried: dict[str, tuple[str, int]] = {}  # by basket: the last opportunity, and when it may be tried again
        self._ordinals = count()

    async def execute_opportunity(
        self, opportunity: ArbitrageOpportunity, strategy: ExecutionStrategy
    ) -> ExecutionResult:
        """Decide and trade one opportunity on the books as received now; every outcome is a result, refusals too."""
        now = self._clock.now()
        trade = undecided(opportunity, strategy, self._trade_id(opportunity, strategy))
        views = [self._feed.view(leg) for leg in opportunity.basket.legs]
        trade, reason = decided(trade, views, self._terms, self.risk.exposure_room())
        result = refused(trade, reason, now) if reason else await self._executor.execute(trade)
        self.metrics.record_trade(result)
        return result

    async def scan_and_execute(
        self,
        strategy: ExecutionStrategy,
        max_trades: int | None = None,
        until_ns: int | None = None,
        on_result: Callable[[ExecutionResult], None] | None = None,
    ) -> list[ExecutionResult]:
        """Trade what the feed shows until it ends, `max_trades` were tried or `until_ns` has come; in order of time.

        `on_result` hears of every result as it comes (to show it, or to acknowledge what escalated).
        """
        results: list[ExecutionResult] = []
        while max_trades is None or len(results) < max_trades:
            now = self._clock.now()
            if until_ns is not None and now >= until_ns:
                break
            armed = [basket for basket in self._baskets if self._armed_at(basket) <= now]
            waits = [at for basket in self._baskets if (at := self._armed_at(basket)) > now]
            wake = min([*waits, *([until_ns] if until_ns is not None else [])], default=None)
            if not armed:
                if wake is None:
                    break
                await asyncio.sleep((wake - now) / NS_PER_S)
                continue
            try:
                async with asyncio.timeout(None if wake is None else (wake - now) / NS_PER_S):
                    opportunity = await self._feed.when(armed, self._terms.min_edge)
            except TimeoutError:
                continue
            if opportunity is None:
                break
            seen, _ = self._tried.get(opportunity.basket.id, ("", 0))
            if opportunity.id != seen:
                result = await self.execute_opportunity(opportunity, strategy)
                results.append(result)
                if on_result is not None:
                    on_result(result)
            self._tried[opportunity.basket.id] = (opportunity.id, self._clock.now() + round(self._rearm_s * NS_PER_S))
        return results

    def acknowledge(self, trade_id: str) -> None:
        """Take a person's word that an escalated trade was seen to, and allow entries again."""
        self.risk.acknowledge(trade_id)

    def statistics(self) -> dict[str, Any]:
        """Return the summary of all trades, per strategy too, and why entries are halted, if they are."""
        return {
            **self.metrics.get_summary(),
            "strategies": self.metrics.get_strategy_performance(),
            "halted": self._executor.halted or self.risk.halted,
        }

    async def balances(self) -> dict[str, float]:
        """Return free cash by venue in dollars, for people."""
        return {name: await venue.balance() / MICRO for name, venue in self._venues.items()}

    def _armed_at(self, basket: Basket) -> int:
        return self._tried.get(basket.id, ("", 0))[1]

    def _trade_id(self, opportunity: ArbitrageOpportunity, strategy: ExecutionStrategy) -> str:
        """Return an id that follows from the opportunity, the strategy and how many trades this engine made before."""
        return f"{opportunity.id}.{strategy.value.lower()}.{next(self._ordinals)}"
