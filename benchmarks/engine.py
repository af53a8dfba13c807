"""How long the engine itself takes for a trade: decision to wire, to the result, and how far legs drift apart."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionStrategy, Order, Outcome, Side, TimeInForce
from arbkit.core.ports import Journal
from arbkit.core.units import Price
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal
from arbkit.journal.store import JournalFile, kill_path
from arbkit.risk.kill_switch import KillFile
from arbkit.risk.limits import RiskLimits
from arbkit.risk.pairs import PairBook
from benchmarks.venues import SHARES, InstantVenue, World, connected

JOURNALS = ("on disk", "in memory", "none")
CHUNK = 50  # trades with one engine before the next one has its turn: the machine's mood falls on all alike

# Nothing but the clock may stand in the way of a thousand trades a second.
CONFIG = ExecutionConfig(max_exposure=1e6, request_rate=1e6, request_burst=1_000_000, reconcile_s=3_600.0)
WIDE = ("market_shares", "market_capital", "event_capital", "venue_capital", "pair_capital", "total_capital")
LIMITS = RiskLimits(**{f"max_{name}": 1e9 for name in (*WIDE, "daily_loss", "drawdown")})  # type: ignore[arg-type]


class Spread(NamedTuple):
    """Quantiles over repeated runs, in ms: the median of the runs' figures, and the least and largest of them."""

    p50: float
    p99: float
    p50_range: tuple[float, float]
    p99_range: tuple[float, float]
    number: int

    @classmethod
    def of(cls, runs: Sequence[Sequence[int]]) -> Spread:
        """Return the figures of several runs, each a list of ns."""
        half, most = ([quantile(run, share) / 1e6 for run in runs] for share in (0.5, 0.99))
        return cls(
            median(half), median(most), (min(half), max(half)), (min(most), max(most)), sum(len(run) for run in runs)
        )


def quantile(values: Sequence[int], share: float) -> int:
    """Return the value that a share of the others does not pass."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@dataclass
class Sample:
    """What one engine did in one run, each a list of ns by trade; `cpu` is processor time, all threads, in all."""

    wire: list[int] = field(default_factory=list)
    result: list[int] = field(default_factory=list)
    skew: list[int] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    cpu: int = 0
    asked: int = 0  # requests at the venues in all, bare ones left out


class Figures(NamedTuple):
    """One engine over all runs; `over` is the whole trade less the bare round trip of an order, run by run."""

    loop: str
    venue: str
    legs: int
    journal: str
    wire: Spread
    result: Spread
    over: Spread
    skew: Spread
    bare: Spread
    cpu_ms: float  # processor time a trade, all threads of this process
    asked: float  # requests a trade

    @classmethod
    def of(cls, loop: str, venue: str, legs: int, journal: str, runs: Sequence[Sample]) -> Figures:
        trades = sum(len(run.result) for run in runs)
        less = [[one - quantile(run.bare, 0.5) for one in run.result] for run in runs]
        return cls(
            loop,
            venue,
            legs,
            journal,
            Spread.of([run.wire for run in runs]),
            Spread.of([run.result for run in runs]),
            Spread.of(less),
            Spread.of([run.skew for run in runs]),
            Spread.of([run.bare for run in runs]),
            sum(run.cpu for run in runs) / trades / 1e6,
            sum(run.asked for run in runs) / trades,
        )


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return every event loop there is here, by name."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return found
    return {**found, "uvloop": uvloop.new_event_loop}


def run(loop: str, main: Any) -> Any:
    """Run a coroutine on one of the loops."""
    with asyncio.Runner(loop_factory=loops()[loop]) as runner:
        return runner.run(main)


# -- one engine ----------------------------------------------------------------------------------------------


class Bench:
    """An engine that has been started, with its venues and its journal, and the trades it is asked for."""

    def __init__(
        self, world: World, venues: dict[str, InstantVenue], journal: Journal | None, kill: KillFile | None
    ) -> None:
        self.sample = Sample()
        self.journal = journal
        self._world, self._venues = world, venues
        self._numbers = count()
        self.engine = ArbitrageExecutionEngine(
            venues,
            world.feed,
            [world.basket],
            config=CONFIG,
            limits=LIMITS,
            journal=journal,
            pairs=PairBook.assumed(world.table),
            kill=kill,
            books=world.table.books,
        )

    async def trades(self, number: int) -> None:
        """Do so many trades, and beside each a bare round trip of one order at the first venue."""
        sample, handed = self.sample, [venue.handed for venue in self._venues.values()]
        for _ in range(number):
            chance, lone = self._world.next(), self._lone()
            began = time.perf_counter_ns()
            await self._venues[lone.venue].exchange(lone)
            sample.bare.append(time.perf_counter_ns() - began)
            _clear(handed)
            before = time.process_time_ns()
            began = time.perf_counter_ns()
            result = await self.engine.execute_opportunity(chance, ExecutionStrategy.MARKET)
            ended = time.perf_counter_ns()
            sample.cpu += time.process_time_ns() - before
            assert result.outcome is Outcome.COMPLETED, f"{result.outcome}: {result.reason}"
            stamps = [stamp for venue in handed for stamp in venue]
            assert len(stamps) == len(self._world.basket.legs)
            sample.wire.append(max(stamps) - began)
            sample.skew.append(max(stamps) - min(stamps))
            sample.result.append(ended - began)
            _clear(handed)

    async def rest(self) -> None:
        """See what is left of the record onto the disk, so that it is written in nobody else's time."""
        if self.journal is not None:
            await self.journal.durable()

    def fresh(self) -> Sample:
        """Return what was measured so far, and begin anew."""
        done, self.sample = self.sample, Sample()
        done.asked = sum(venue.asked for venue in self._venues.values())
        for venue in self._venues.values():
            venue.asked = 0
        return done

    async def check(self) -> None:
        """Compare the engine's account with its venues': what was measured were real trades."""
        assert not await self.engine.reconciler.compare_all()
        assert not self.engine.reconciler.open
        assert not self.engine.halted

    def _lone(self) -> Order:
        leg = self._world.basket.legs[0]
        limit = Price(self._world.prices[leg.index])
        return Order(f"bare.{next(self._numbers)}", leg, Side.BUY, limit, SHARES, TimeInForce.FAK)


def _clear(lists: Sequence[list[int]]) -> None:
    for one in lists:
        one.clear()


@asynccontextmanager
async def bench(legs: int, journal: str, port: int | None, folder: Path) -> AsyncIterator[Bench]:
    """Start an engine with one kind of journal; the one on disk comes with a kill file, as it would be traded with."""
    world = World(legs)
    async with connected(world, port) as venues:
        kept: JournalFile | MemoryJournal | None = None
        kill = None
        if journal == "on disk":
            path = folder / f"{time.perf_counter_ns()}.journal.db"
            kept, kill = JournalFile(path, account=path.stem, locks=folder), KillFile(kill_path(path))
        elif journal == "in memory":
            kept = MemoryJournal()
        one = Bench(world, venues, kept, kill)
        await one.engine.start()
        try:
            yield one
        finally:
            await one.engine.stop()
            if isinstance(kept, JournalFile):
                kept.close()


async def measured(
    legs: int, port: int | None, folder: Path, *, journals: Sequence[str], trades: int, runs: int, warm: int
) -> dict[str, list[Sample]]:
    """Measure engines that differ in their journals alone, taking turns; return a sample a run of each."""
    async with AsyncExitStack() as stack:
        benches = {name: await stack.enter_async_context(bench(legs, name, port, folder)) for name in journals}
        for one in benches.values():
            await one.trades(warm)
            one.fresh()
        samples: dict[str, list[Sample]] = {name: [] for name in journals}
        for _ in range(runs):
            gc.collect()
            done = 0
            while done < trades:
                part = min(CHUNK, trades - done)
                for one in benches.values():
                    await one.trades(part)
                    await one.rest()
                done += part
            for name, one in benches.items():
                samples[name].append(one.fresh())
        for one in benches.values():
            await one.check()
        return samples


def measure(
    loop: str,
    legs: int,
    port: int | None,
    folder: Path,
    *,
    journals: Sequence[str] = JOURNALS,
    trades: int = 1_000,
    runs: int = 3,
    warm: int = 200,
) -> list[Figures]:
    """Return the figures of each journal on one loop, with venues in the process or behind a port."""
    samples = run(loop, measured(legs, port, folder, journals=journals, trades=trades, runs=runs, warm=warm))
    venue = "in process" if port is None else "loopback TCP"
    return [Figures.of(loop, venue, legs, name, samples[name]) for name in journals]


# -- the disk ------------------------------------------------------------------------------------------------


def commits(folder: Path, *, number: int = 1_000, runs: int = 3, rows: int = 14, size: int = 200) -> Spread:
    """Measure SQLite alone, with the same settings and as much in a commit as a trade writes: the floor of a journal."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    try:
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE rows (n, link, body)"):
            connection.execute(statement)
        samples: list[list[int]] = []
        for _ in range(runs + 1):
            samples.append([])
            for _ in range(number):
                began = time.perf_counter_ns()
                connection.execute("BEGIN IMMEDIATE")
                block = [(row, bytes(32), bytes(size)) for row in range(rows)]
                connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", block)
                connection.execute("COMMIT")
                samples[-1].append(time.perf_counter_ns() - began)
        return Spread.of(samples[1:])
    finally:
        connection.close()
