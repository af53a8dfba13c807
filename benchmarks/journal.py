"""How fast a journal is read, proven whole and folded: what a new process does before it may trade."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.execution.recovery import replayed
from arbkit.journal.fold import fold, named_books
from arbkit.journal.memory import Fact, MemoryJournal
from arbkit.journal.store import JournalFile, read_journal, verify
from arbkit.metrics import MetricsCollector
from arbkit.risk.limits import RiskManager
from benchmarks.engine import LIMITS
from benchmarks.soak import START, Desk

ONE_TRADE = ("trade.", "order.", "fill")  # facts whose key begins with a trade's id
BLOCK = 10_000  # records appended between two commits
VERIFY = "read and verify the chain"
REPLAY = "read, verify and fold"
START_UP = "read, verify, fold, risk and figures"


class Replay(NamedTuple):
    """One way of going through a journal; seconds are those of the fastest, the median and the slowest run."""

    step: str
    records: int
    seconds: float
    least: float
    most: float
    cpu: float  # processor seconds of the median run

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Records a processor second: what a machine without other work would come near to."""
        return self.records / self.cpu


def traded(trades: int, seed: int = 0) -> list[Fact]:
    """Return the facts of so many simulated trades, complete, partial, undone, refused and escalated ones."""
    journal = MemoryJournal()

    async def main() -> None:
        desk = Desk(journal, seed)
        await desk.engine.start()
        for _ in range(trades):
            await desk.trade()
            await asyncio.sleep(60)
        await desk.engine.drain()
        await desk.engine.stop()

    run_virtual(main(), SimLoop(START))
    return list(journal.facts)


def repeated(facts: Sequence[Fact], records: int) -> Iterator[Fact]:
    """Yield the facts of whole trades again and again, under new names and later, until there are so many."""
    opening = [fact for fact in facts if not fact.fact.startswith(ONE_TRADE)]
    trades = [fact for fact in facts if fact.fact.startswith(ONE_TRADE)]
    yield from opening
    made, turn, period = len(opening), 0, facts[-1].at - facts[0].at + 1
    while made < records:
        for fact in trades:
            data = {name: f"{turn}-{value}" if name == "trade" else value for name, value in fact.data.items()}
            yield Fact(fact.at + turn * period, fact.fact, f"{turn}-{fact.key}", data)
        made, turn = made + len(trades), turn + 1


def written(path: Path, facts: Iterable[Fact]) -> int:
    """Write facts to a journal on disk and return how many there were."""

    async def main() -> int:
        number = 0
        with JournalFile(path, account="bench", locks=path.parent) as journal:
            for number, fact in enumerate(facts, 1):
                journal.append(fact.at, fact.fact, fact.key, **fact.data)
                if number % BLOCK == 0:
                    await journal.durable()
        return number

    return asyncio.run(main())


def replays(folder: Path, *, records: int = 300_000, trades: int = 1_000, runs: int = 3) -> list[Replay]:
    """Measure each part of a replay and all of it, on one journal of at least so many records."""
    path = folder / "replay.journal.db"
    number = written(path, repeated(traded(trades), records))
    kept = list(read_journal(path))

    def folded() -> None:
        assert fold(kept).count == number

    def taken_over(facts: Iterable[Fact]) -> None:
        found = replayed(facts, named_books(()), RiskManager(LIMITS), MetricsCollector())
        assert (found.count, found.trades) == (number, {})

    steps: dict[str, Callable[[], Any]] = {
        VERIFY: lambda: verify(path),
        "fold": folded,
        "fold, risk and figures": lambda: taken_over(kept),
        REPLAY: lambda: fold(read_journal(path)),
        START_UP: lambda: taken_over(read_journal(path)),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    gc.collect()
    gc.freeze()  # the list of all facts is the benchmark's: no collection has to look through it
    try:
        for turn in range(runs + 1):  # the first is for the caches
            for name, step in steps.items():
                cpu, began = time.process_time(), time.perf_counter()
                step()
                if turn:
                    times[name].append((time.perf_counter() - began, time.process_time() - cpu))
    finally:
        gc.unfreeze()
    return [
        Replay(
            name,
            number,
            median(wall for wall, _ in found),
            min(wall for wall, _ in found),
            max(wall for wall, _ in found),
            median(cpu for _, cpu in found),
        )
        for name, found in times.items()
    ]
