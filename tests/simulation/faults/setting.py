"""What a world is made of: markets and baskets, the engine's settings and limits, and the clock on the wall."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random

from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.grid import Grid
from arbkit.core.model import Basket, Kind, Market, MarketTable, Pair
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.risk.bounds import RiskLimits
from tests.simulation.faults.wire import BUG_WORDS


class SimClock(LoopClock):
    """Virtual time, and a wall clock that somebody may set."""

    def __init__(self) -> None:
        super().__init__()
        self.jump_ns = 0
        self.breaks: Callable[[], bool] = lambda: False

    def jump(self) -> int:
        if self.breaks():
            raise RuntimeError(BUG_WORDS)
        return self.jump_ns


def a_market(venue: str, name: str, min_size: int, *, exhaustive: bool = False) -> Market:
    return Market(
        venue=venue,
        id=name,
        event="e",
        outcome=name,
        payout=Cash(MICRO),
        exclusive=True,
        exhaustive=exhaustive,
        void="half",
        grids=((0, Grid.of_tick("0.01")),),
        lot=Size(MICRO),
        min_size=Size(min_size * MICRO),
    )


@lru_cache(maxsize=64)
def a_table(shape: str, min_size: int) -> tuple[MarketTable, tuple[Basket, ...]]:
    """Return markets and baskets: a pair on two venues, pairs on three, or three markets of one event and a pair."""
    if shape == "event":
        ones = [a_market("alpha", name, min_size, exhaustive=True) for name in ("m", "n", "o")]
        markets = (*ones, a_market("beta", "m", 1))
        pairs = [Pair(markets[0], markets[3], "same")]
        kinds = [Kind.OUTCOMES, Kind.CROSS_VENUE]
    else:
        names = ("alpha", "beta", "gamma") if shape == "three" else ("alpha", "beta")
        markets = tuple(a_market(name, "m", min_size if name == "alpha" else 1) for name in names)
        pairs = [Pair(a, b, "same") for i, a in enumerate(markets) for b in markets[i + 1 :]]
        kinds = [Kind.CROSS_VENUE]
    table = market_table(markets, pairs, recorded=range(0, 2 * len(markets), 2))
    return table, tuple(baskets(table, kinds))


def a_config(rng: Random) -> ExecutionConfig:
    """Draw the settings: small trades, short waits, and bounds that are often met."""
    return ExecutionConfig(
        min_edge=0.005,
        max_size=float(rng.choice((6, 15, 40))),
        max_exposure=float(rng.choice((12, 40, 250))),
        limit_timeout_s=rng.choice((1.0, 3.0)),
        hedge_timeout_s=rng.choice((4.0, 10.0)),
        max_unwind_loss=rng.choice((0.03, 0.1, 0.3)),
        reconcile_s=rng.choice((4.0, 8.0)),
        max_loop_lag_s=1.0,
        request_rate=rng.choice((2.0, 8.0, 40.0, 40.0)),
        request_burst=rng.choice((16, 60)),
    )


def some_limits(rng: Random) -> RiskLimits:
    """Draw the limits: mostly wide, sometimes as narrow as one trade."""
    return RiskLimits(
        max_total_capital=float(rng.choice((40, 10_000))),
        max_venue_capital=float(rng.choice((25, 10_000))),
        max_daily_loss=float(rng.choice((3, 10_000, 10_000, 10_000))),
        max_open_orders=rng.choice((2, 3, 200, 200, 200)),
    )
