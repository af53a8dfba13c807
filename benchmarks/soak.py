"""A desk for days in virtual time, with everything that goes wrong, and what it holds in memory meanwhile.

About a trade a minute at two venues that fill in part, miss, refuse, stay silent and settle late; the reconciler and
every watch run. What the made-up venues remember is thrown away as time goes on, so that what grows is the engine's.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.backtest.mock_platform import Answer, MockFeed, MockFees, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Kind, OrderReport, Outcome, Pair, Settlement
from arbkit.core.ports import Journal
from arbkit.core.units import NS_PER_S
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.risk.pairs import PairBook
from benchmarks.engine import LIMITS
from benchmarks.venues import a_market

START = 1_780_000_000 * NS_PER_S
DAY_S = 86_400
PAUSE_S = 60.0  # between two trades, on average
SETTLES_S = 15.0  # every third fill is provisional for so long
FORGETS_S = 900.0  # after which a venue need not know an order any more
MARKET, LIMIT, HYBRID = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT, ExecutionStrategy.HYBRID


class Platform(MockPlatform):
    """A venue that settles some fills late, and forgets orders that are long over."""

    def _report(self, known: object) -> OrderReport:
        report = super()._report(known)  # type: ignore[arg-type]
        since = self._clock.now() - round(SETTLES_S * NS_PER_S)
        late = [
            structs.replace(fill, settlement=Settlement.PROVISIONAL)
            if fill.at > since and int(fill.trade_id.rpartition("-")[2]) % 3 == 0
            else fill
            for fill in report.fills
        ]
        return structs.replace(report, fills=tuple(late))

    def forget(self) -> None:
        before = self._clock.now() - round(FORGETS_S * NS_PER_S)
        for key in [key for key, known in self._known.items() if not known.timers and known.at < before]:
            del self._known[key]
        self._away.clear()


class Counted:
    """A journal that keeps nothing but a count."""

    def __init__(self) -> None:
        self.records = 0

    def append(self, at: int, fact: str, key: str, **data: object) -> None:  # noqa: ARG002 - it keeps none of them
        self.records += 1

    async def durable(self, *, reducing: bool = False) -> None: ...


@dataclass
class Desk:
    """Two venues, an engine on them, and a seeded stream of trades."""

    journal: Journal
    seed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        pair = (a_market("alpha", "m"), a_market("beta", "m"))
        table = market_table(pair, (Pair(*pair, "same"),))
        self.platforms = [Platform(name, table, "1000000000", MockFees(taker_ppm=5_000)) for name in ("alpha", "beta")]
        self.feed = MockFeed(self.platforms)
        self.basket = baskets(table, (Kind.CROSS_VENUE,))[0]
        self.engine = ArbitrageExecutionEngine(
            {platform.name: platform for platform in self.platforms},
            self.feed,
            [self.basket],
            config=ExecutionConfig(max_unwind_loss=0.2),
            limits=LIMITS,
            journal=self.journal,
            pairs=PairBook.assumed(table),
            books=table.books,
        )

    async def trade(self) -> ExecutionResult:
        """Set the books anew, let something go wrong or not, and trade what they show."""
        for platform, leg, bid, ask in zip(self.platforms, self.basket.legs, (38, 53), (40, 55), strict=True):
            bids = [(f"0.{bid - step}", "200") for step in range(5)]
            platform.set_book(leg, bids=bids, asks=[(f"0.{ask + step}", "100") for step in range(5)])
            platform.clear_script(leg)
            platform.script(leg, self._answer())
            platform.forget()
        strategy = self._random.choices((MARKET, LIMIT, HYBRID), (70, 15, 15))[0]
        chance = self.feed.opportunity(self.basket, max_size=str(self._random.randint(5, 60)))
        assert chance is not None
        result = await self.engine.execute_opportunity(chance, strategy)
        self.outcomes[result.outcome.value] += 1
        if result.outcome is Outcome.ESCALATED:
            self.engine.acknowledge(result.trade.id)
        return result

    def _answer(self) -> Answer:
        draw = self._random
        kind = draw.choices(
            ("whole", "part", "miss", "reject", "answer", "request", "away", "slow"), (60, 14, 8, 4, 4, 3, 3, 4)
        )[0]
        shares = str(draw.randint(1, 40))
        match kind:
            case "part":
                return Answer(fill=shares, rests_fill=((0.2, shares),), fill_on_cancel=draw.randint(0, 5))
            case "miss":
                return Answer(fill=0)
            case "reject":
                return Answer(reject="market is closed")
            case "answer" | "request":
                return Answer(lost=kind)
            case "away":
                return Answer(unavailable=1)
            case "slow":
                return Answer(delay_s=draw.random(), rests_fill=((1.0, "60"),))
        return Answer(rests_fill=((0.1, "30"), (0.4, "60")))


class Reading(NamedTuple):
    """What is held after so many days."""

    days: float
    trades: int
    records: int
    traced_mb: float
    rss_mb: float


class Grown(NamedTuple):
    """Where memory was taken that is held at the end and was not at the first reading."""

    where: str
    kb: float
    objects: int


class Soak(NamedTuple):
    readings: tuple[Reading, ...]
    grown: tuple[Grown, ...]
    slope_mb: float  # of what is traced, a day, after the first part of the time
    slope_rss_mb: float
    outcomes: dict[str, int]
    open: tuple[str, ...]
    seconds: float


async def _soaked(days: float, parts: int, pause_s: float, skip: int) -> Soak:
    began = time.perf_counter()
    journal = Counted()
    desk = Desk(journal)
    await desk.engine.start()
    loop = asyncio.get_running_loop()
    readings: list[Reading] = []
    first = None
    draw, trades = random.Random(1), 0
    for part in range(parts):
        until = (part + 1) * days * DAY_S / parts
        while (pause := draw.expovariate(1 / pause_s)) < until - loop.time():
            await asyncio.sleep(pause)
            await desk.trade()
            trades += 1
        await asyncio.sleep(max(0.0, until - loop.time()))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] / 1e6
        readings.append(Reading((part + 1) * days / parts, trades, journal.records, held, rss_mb()))
        if part + 1 == skip:
            first = tracemalloc.take_snapshot()
    last = tracemalloc.take_snapshot()
    assert not await desk.engine.reconciler.compare_all()
    assert not desk.engine.reconciler.open, "the account is not that of the venues"
    left = await desk.engine.drain()
    await desk.engine.stop()
    return Soak(
        tuple(readings),
        _grown(first or last, last),
        slope(
            [reading.days for reading in readings[skip - 1 :]], [reading.traced_mb for reading in readings[skip - 1 :]]
        ),
        slope([reading.days for reading in readings[skip - 1 :]], [reading.rss_mb for reading in readings[skip - 1 :]]),
        dict(desk.outcomes),
        left,
        time.perf_counter() - began,
    )


def soak(days: float = 7.0, parts: int = 7, pause_s: float = PAUSE_S, skip: int = 1) -> Soak:
    """Run a desk for so many days; memory is read `parts` times, and its slope leaves out what comes before `skip`."""
    tracemalloc.start()
    try:
        return run_virtual(_soaked(days, parts, pause_s, skip), SimLoop(START))
    finally:
        tracemalloc.stop()


def _grown(first: tracemalloc.Snapshot, last: tracemalloc.Snapshot) -> tuple[Grown, ...]:
    """Return the lines whose memory grew most, this file's and the tracer's left out."""
    found = []
    for one in last.compare_to(first, "lineno"):
        frame = one.traceback[0]
        path = Path(frame.filename)
        if one.size_diff > 0 and path.name not in (Path(__file__).name, "tracemalloc.py"):
            inside = path.parts[path.parts.index("arbkit") :] if "arbkit" in path.parts else (path.name,)
            where = "/".join(inside)
            found.append(Grown(f"{where}:{frame.lineno}", one.size_diff / 1e3, one.count_diff))
    return tuple(sorted(found, key=lambda one: -one.kb)[:8])


def slope(days: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the straight line that fits best."""
    if len(days) < 2:
        return 0.0
    middle, level = sum(days) / len(days), sum(values) / len(values)
    spread = sum((day - middle) ** 2 for day in days)
    return sum((day - middle) * (value - level) for day, value in zip(days, values, strict=True)) / spread


def rss_mb() -> float:
    """Return what the process holds of the machine's memory; its largest so far where no other figure is to be had."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * 4096 / 1e6
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1e6 if sys.platform == "darwin" else most / 1e3
