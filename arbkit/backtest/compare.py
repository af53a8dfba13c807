"""The same decisions, once per strategy, latency and seed, each in a fresh world: integers out.

`mode="each"`: the list of opportunities comes once from the scan, and nothing one trade does reaches the next, so
strategies are paired opportunity by opportunity. The continuous mode is in `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from arbkit.backtest.equity import Balance
from arbkit.backtest.hindsight import Plan, look_back
from arbkit.backtest.markouts import Markout, mark_out
from arbkit.backtest.shortfall import Answer, Split, split_shortfalls
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

# Where the curve of what can still be had is counted, beside the latencies that were asked for.
CATCH_MS = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0)


class Catch(NamedTuple):
    """Which decisions could still be had by orders that took `latency_ms` to arrive: all legs at their worst prices.

    Counted off the tape, in the order of the opportunities; nothing was simulated for it.
    """

    latency_ms: float
    stood: tuple[bool, ...]


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
    splits: tuple[Split, ...]  # the shortfall of each result in parts
    journal: str  # hash over the journals of all its worlds
    balances: tuple[Balance, ...] = ()  # of a continuous run: its account, from the opening on
    # The curve of what could be had, kept by the one cell on whose plans it was counted: of the line-up, not of the cell.
    catches: tuple[Catch, ...] = field(default=(), compare=False)


class Life(NamedTuple):
    """How long an episode lasted (ns), first boundary to last; `censored`: sight of it was lost, it may have gone on."""

    ns: int
    censored: bool


@dataclass(frozen=True, slots=True)
class RawComparison:
    """A whole comparison in integers; frames, floats and figures are made of it in `analysis`.

    `sensitivity` holds the cells that were run again under other queue and consumption models. `fees_known` False
    means that net columns cannot be had. `counters` (means over seeds) is filled in the continuous mode only,
    `lives` in the paired one.
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
    lives: tuple[Life, ...] = ()  # of the opportunities, none in a study


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
    asked = [opportunities[i] for i in kept]
    answered = [[results[at][i] for i in kept] for at in range(len(requests))]
    reference = _reference(requests)
    curve = sorted({*CATCH_MS, *(scenario.entry_ms for _, scenario in requests)}) if requests else []
    plans = [
        *(_plans(asked, mine, scenario) for mine, (_, scenario) in zip(answered, requests, strict=True)),
        *(_plans(asked, answered[reference], replace(requests[reference][1], entry_ms=ms)) for ms in curve),
    ]
    stood = look_back(tape, plans)
    rows = [int(scanned.start_row[i]) + 1 for i in kept]
    cells = [
        Cell(
            strategy=strategy,
            latency_ms=scenario.entry_ms,
            seed=scenario.seed,
            queue=scenario.queue,
            consumption=scenario.consumption,
            results=tuple(answered[at]),
            executable=stood[at],
            markouts=mark_out(tape, answered[at]),
            splits=split_shortfalls(tape, [Answer(*one) for one in zip(asked, answered[at], rows, strict=True)]),
            journal=digest_of(journals[at][i] for i in kept),
            catches=tuple(map(Catch, curve, stood[len(requests) :])) if at == reference else (),
        )
        for at, (strategy, scenario) in enumerate(requests)
    ]
    return tuple(asked), tuple(cells)


def _reference(requests: Sequence[tuple[ExecutionStrategy, Scenario]]) -> int:
    """Return the request whose plans the curve is counted on: MARKET's, which takes what it decided on, if it is run."""
    strategies = [strategy for strategy, _ in requests]
    return strategies.index(ExecutionStrategy.MARKET) if ExecutionStrategy.MARKET in strategies else 0


def _plans(asked: Sequence[ArbitrageOpportunity], results: Sequence[ExecutionResult], scenario: Scenario) -> list[Plan]:
    arrival = scenario.decide_ns + scenario.entry_ns
    return [Plan(o.detected_at + arrival, _legs(result)) for o, result in zip(asked, results, strict=True)]


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
