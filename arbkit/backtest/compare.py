"""The same decisions, once per strategy, latency and seed, each in a fresh world: integers out.

`mode="each"`: the list of opportunities comes once from the scan, and nothing one trade does reaches the next, so
strategies are paired opportunity by opportunity. The continuous mode is in `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from arbkit.backtest.hindsight import Markout, Plan, look_back
from arbkit.backtest.world import Replay
from arbkit.core.errors import ConfigError
from arbkit.core.model import ArbitrageOpportunity, ExecutionResult, ExecutionStrategy
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal, digest_of
from arbkit.risk.pairs import PairBook

if TYPE_CHECKING:
    from arbkit.backtest.scan import ScanResult
    from arbkit.backtest.scenario import Scenario
    from arbkit.core.config import ExecutionConfig
    from arbkit.history.tape import Tape

Progress = Callable[[int, int], None]  # opportunities done, opportunities in all


@dataclass(frozen=True, slots=True)
class Cell:
    """One strategy under one scenario: its results in the order of the opportunities, none left out."""

    strategy: ExecutionStrategy
    latency_ms: float
    seed: int
    queue: str
    consumption: str
    results: tuple[ExecutionResult, ...]
    executable: tuple[bool, ...]
    markouts: tuple[Markout, ...]
    journal: str  # hash over the journals of all its worlds


@dataclass(frozen=True, slots=True)
class RawComparison:
    """A whole comparison in integers; frames, floats and figures are made of it in `analysis`.

    `sensitivity` holds the cells that were run again under other queue and consumption models. `fees_known` False
    means that net columns cannot be had. `counters` (means over seeds) is filled in the continuous mode only.
    """

    opportunities: tuple[ArbitrageOpportunity, ...]
    cells: tuple[Cell, ...]
    modelled: dict[str, object]
    quality: dict[str, Any]
    study: str | None = None
    synthetic: bool = False
    fees_known: bool = True
    mode: str = "each"
    sensitivity: tuple[Cell, ...] = ()
    counters: dict[tuple[str, float], dict[str, float]] = field(default_factory=dict)


def at_latency(scenario: Scenario, latency_ms: float) -> Scenario:
    """Return the scenario with both ways to the venue taking `latency_ms`; ConfigError where it names its own times."""
    if scenario.latency:
        named = ", ".join(scenario.latency)
        raise ConfigError(f"latencies_ms and scenario.latency ({named}) both say how long a message takes: give one")
    return replace(scenario, entry_ms=latency_ms, reply_ms=latency_ms)


def run_each(
    tape: Tape,
    scanned: ScanResult,
    requests: Sequence[tuple[ExecutionStrategy, Scenario]],
    config: ExecutionConfig,
    progress: Progress | None = None,
) -> tuple[tuple[ArbitrageOpportunity, ...], tuple[Cell, ...]]:
    """Run every opportunity under every request; one pass over the tape, worlds forked from it.

    The scan and all requests must be of one `feed_ms`: a decision is made when its client knew. Interrupted from the keyboard, it returns what is whole: the first opportunities under all requests.
    """
    opportunities = scanned.opportunities()
    order = sorted(range(len(opportunities)), key=lambda i: (int(scanned.start_row[i]), i))
    results: list[dict[int, ExecutionResult]] = [{} for _ in requests]
    journals: list[dict[int, str]] = [{} for _ in requests]
    replay = Replay(tape, scanned.fees)
    done = 0
    try:
        for index in order:
            opportunity = opportunities[index]
            replay.forward(int(scanned.start_row[index]))
            row: list[tuple[ExecutionResult, str]] = []
            for strategy, scenario in requests:
                row.append(_one(replay, opportunity, strategy, scenario, config))
            for at, (result, journal) in enumerate(row):
                results[at][index], journals[at][index] = result, journal
            done += 1
            if progress is not None:
                progress(done, len(order))
    except KeyboardInterrupt:
        if not done:
            raise
    kept = sorted(order[:done])
    decisions = []
    for at, (_, scenario) in enumerate(requests):
        arrival = scenario.decide_ns + scenario.entry_ns
        plans = [Plan(opportunities[i].detected_at + arrival, _legs(results[at][i])) for i in kept]
        decisions.append((plans, [results[at][i] for i in kept]))
    cells = [
        Cell(
            strategy=strategy,
            latency_ms=scenario.entry_ms,
            seed=scenario.seed,
            queue=scenario.queue,
            consumption=scenario.consumption,
            results=tuple(decisions[at][1]),
            executable=tuple(stood),
            markouts=tuple(marks),
            journal=digest_of(journals[at][i] for i in kept),
        )
        for at, ((strategy, scenario), (stood, marks)) in enumerate(
            zip(requests, look_back(tape, decisions), strict=True)
        )
    ]
    return tuple(opportunities[i] for i in kept), tuple(cells)


def _one(
    replay: Replay,
    opportunity: ArbitrageOpportunity,
    strategy: ExecutionStrategy,
    scenario: Scenario,
    config: ExecutionConfig,
) -> tuple[ExecutionResult, str]:
    journal = MemoryJournal()
    world = replay.world(scenario, opportunity.id, at=opportunity.detected_at - scenario.feed_ns)
    engine = ArbitrageExecutionEngine(
        world.venues,
        world.feed,
        (opportunity.basket,),
        config=config,
        clock=world.clock,
        journal=journal,
        pairs=PairBook.assumed(replay.tape.markets),
    )
    result = world.run(engine.execute_opportunity(opportunity, strategy))
    world.check()
    return result, journal.digest()


def _legs(result: ExecutionResult) -> tuple[tuple[Any, int, int], ...]:
    return tuple((leg.book, int(leg.size), int(leg.worst)) for leg in result.trade.legs)
