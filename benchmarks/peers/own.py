"""arbkit on the feed: `python -m benchmarks.peers.own CASE TAPE`, as every peer is measured.

Trades go through `ArbitrageExecutionEngine` as a backtest runs it: a world in virtual time, preflight checks, risk, a
journal in memory, metrics. Nothing is switched off and nothing is special but the limits, which are wide.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import NamedTuple

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import Book, ExecutionResult, ExecutionStrategy, Outcome
from arbkit.fees import rule
from arbkit.history.tape import Tape, read_tape
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal
from arbkit.risk.limits import RiskLimits
from benchmarks.peers.run_looptime import sleepers
from benchmarks.peers.tape import traded
from benchmarks.peers.turns import memory, serve, timed

STEP_NS = 100_000_000
STEPS = 10_000  # looked at together
WARM_ROWS = 20_000
MUCH = 1e9
LIMITS = RiskLimits(
    max_market_shares=MUCH,
    max_market_capital=MUCH,
    max_event_capital=MUCH,
    max_venue_capital=MUCH,
    max_pair_capital=MUCH,
    max_total_capital=MUCH,
    max_daily_loss=MUCH,
    max_drawdown=MUCH,
)
CONFIG = ExecutionConfig(
    min_edge=0.002,
    max_size=10.0,
    max_slippage=0.0,
    limit_timeout_s=0.5,
    request_rate=1e6,
    request_burst=1_000_000,
)
STRATEGIES = {"taker": ExecutionStrategy.MARKET, "maker": ExecutionStrategy.LIMIT}


def trade(strategy: ExecutionStrategy, tape: Tape) -> dict[str, float]:
    """Trade a tape to its end; return what was tried, ordered, filled and completed."""
    replay = Replay(tape, {book.index: rule("none") for book in tape.markets.books})
    world = replay.world(Scenario(balances=MUCH), "benchmark")
    engine = ArbitrageExecutionEngine(
        world.venues,
        world.feed,
        traded(tape),
        config=CONFIG,
        limits=LIMITS,
        clock=world.clock,
        journal=MemoryJournal(),
    )

    def seen_to(result: ExecutionResult) -> None:
        if result.outcome is Outcome.ESCALATED:
            engine.acknowledge(result.trade.id)

    results = world.run(engine.scan_and_execute(strategy, on_result=seen_to))
    world.check()
    orders = [order for result in results for leg in result.trade.legs for order in leg.orders]
    return {
        "trades": len(results),
        "orders": len(orders),
        "fills": sum(len(order.fills) for order in orders),
        "completed": sum(result.outcome is Outcome.COMPLETED for result in results),
    }


def step_through(tape: Tape, books: Sequence[Book]) -> dict[str, float]:
    """Keep the client's and the venues' books from the first row to the last, and look at some bests every 100 ms."""
    replay = Replay(tape)
    steps = left = ceil((int(tape.rows.ts_recv[-1]) - replay.now) / STEP_NS)
    seen = 0
    while left:
        part = min(left, STEPS)
        seen += int(replay.quotes(books, STEP_NS, part).sum())
        left -= part
    return {"steps": steps, "seen": seen}


def legs(tape: Tape) -> Sequence[Book]:
    """Return the books of the first event."""
    return traded(tape)[0].legs


def loop() -> dict[str, float]:
    """Let the sleepers of the other loop sleep in ours."""
    return timed(lambda: {"wakes": run_virtual(sleepers(), SimLoop(0))})


def ready(folder: Path) -> dict[str, float]:
    """Open a tape as far as its first row is read by both sides."""

    def opened() -> dict[str, float]:
        tape = read_tape(folder, verify=False)
        Replay(tape).forward(0)
        return {"rows": len(tape)}

    return timed(opened)


def begun(tape: Tape) -> Tape:
    """Return the first rows of a tape: what the compiled code is made or loaded for, outside the time taken."""
    rows = tape.rows
    stop = int(rows.ts_recv[min(WARM_ROWS, len(tape)) - 1]) + 1
    return tape.slice(int(rows.ts_recv[0]), stop)


def case_of(case: str, folder: Path) -> tuple[Callable[[], dict[str, float]], Callable[[], object]]:
    """Return what a run of a case does, and its warm-up."""
    if case == "loop":
        return loop, loop
    if case == "open":
        return partial(ready, folder), partial(ready, folder)
    tape = read_tape(folder, verify=False)
    work = partial(step_through, books=legs(tape)) if case == "replay" else partial(trade, STRATEGIES[case])

    def warm_up() -> None:
        work(begun(tape))
        Replay(tape).world(Scenario())  # what is worked out once for a tape is, as a peer's conversion is outside too

    return lambda: timed(partial(work, tape)), warm_up


class Profile(NamedTuple):
    """Where the time of a run goes, as shares of the time in functions themselves: by package, and the worst functions."""

    packages: list[tuple[str, float]]
    functions: list[tuple[str, int, float]]  # with their calls


def profiled(run: Callable[[], object], most: int = 12) -> Profile:
    """Run once under cProfile, which makes small functions look slower than they are."""
    profile = cProfile.Profile()
    profile.runcall(run)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in stats.values())
    packages: Counter[str] = Counter()
    for place, entry in stats.items():
        packages[_package(place[0])] += entry[2] / total
    worst = sorted(stats.items(), key=lambda item: -item[1][2])[:most]
    functions = [(_named(*place), entry[1], entry[2] / total) for place, entry in worst]
    return Profile(packages.most_common(), functions)


def _package(file: str) -> str:
    path = Path(file)
    if "arbkit" in path.parts:
        return path.parts[path.parts.index("arbkit") + 1].removesuffix(".py")
    return "asyncio" if "asyncio" in path.parts else "built in" if file == "~" else "other"


def _named(file: str, line: int, name: str) -> str:
    if not line:
        return re.sub(r" of type object at 0x[0-9a-f]+", "", name.strip("<>"))
    return f"{'/'.join(Path(file).parts[-2:])}:{name}"


def main(case: str, folder: Path) -> None:
    if case == "memory":
        tape = read_tape(folder, verify=False)
        step_through(tape, legs(tape))
        print(json.dumps(memory()))
    elif case.startswith("profile-"):
        run, warm_up = case_of(case.removeprefix("profile-"), folder)
        warm_up()
        print(json.dumps(profiled(run)))
    else:
        serve(*case_of(case, folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
