"""The runs behind a comparison: which strategies, latencies and seeds, and how each of them meets the tape."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from arbkit.analysis.progress import Bar
from arbkit.analysis.question import Question
from arbkit.analysis.span import QUEUES, models
from arbkit.backtest.compare import Cell, Life, RawComparison, at_latency, run_each
from arbkit.backtest.markouts import mark_out
from arbkit.backtest.quotes import rows_heard
from arbkit.backtest.run import Portfolio, run_portfolio
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.shortfall import Answer, split_shortfalls
from arbkit.core.errors import ConfigError
from arbkit.core.model import ExecutionStrategy, OrderStatus

STRATEGIES = tuple(ExecutionStrategy)
MODES = ("each", "portfolio")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run for one config and scenario; without latencies the scenario's own hold."""

    strategies: tuple[ExecutionStrategy, ...]
    latencies_ms: tuple[float, ...]
    seeds: int
    mode: str
    study: str | None

    def requests(self, question: Question) -> list[tuple[ExecutionStrategy, Scenario]]:
        """Return the runs in order: latency by latency, strategy by strategy, seed by seed; see `refuse_unheard`."""
        stated = question.scenario
        scenarios = [at_latency(stated, delay) for delay in self.latencies_ms] or [stated]
        for scenario in scenarios:
            refuse_unheard(question, scenario)
        return [
            (strategy, replace(scenario, seed=seed))
            for scenario in scenarios
            for strategy in self.strategies
            for seed in range(stated.seed, stated.seed + self.seeds)
        ]


def refuse_unheard(question: Question, scenario: Scenario) -> None:
    """Raise ConfigError where a venue's answers take longer than the engine waits for one.

    It would hear of no order, leave every trade to a person, and what was filled would count as nothing.
    """
    config = question.config
    for venue in dict.fromkeys(leg.venue for basket in question.baskets for leg in basket.legs):
        takes = scenario.answer_ms(venue)
        if takes >= config.answer_s * 1_000:
            raise ConfigError(
                f"an answer of {venue} takes {takes:g} ms, there and back, and is waited for {config.answer_s:g} s "
                f"(config.leg_timeout_s = {config.leg_timeout_s:g}, and half of config.hedge_timeout_s = "
                f"{config.hedge_timeout_s:g}): no order would be heard of, and no fill counted"
            )


def plan_of(
    strategies: Sequence[ExecutionStrategy | str] | str,
    latencies_ms: Sequence[float],
    seeds: int,
    mode: str,
    study: str | None,
) -> Plan:
    """Return the plan, checked; raise ConfigError for what cannot be meant."""
    if mode not in MODES:
        raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if mode == "portfolio" and study is not None:
        raise ConfigError("an execution study has no portfolio: use mode='each'")
    if seeds not in range(1, 10_001):
        raise ConfigError(f"seeds must be a whole number from 1 to 10000, not {seeds!r}")
    chosen = tuple(strategy_of(name) for name in ((strategies,) if isinstance(strategies, str) else strategies))
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError("strategies: name each of MARKET, LIMIT, HYBRID at most once, and at least one")
    return Plan(chosen, _delays(latencies_ms), seeds, mode, study)


def strategy_of(name: ExecutionStrategy | str) -> ExecutionStrategy:
    try:
        return ExecutionStrategy(str(name).upper())
    except ValueError:
        raise ConfigError(f"no strategy is called {name!r}; there are MARKET, LIMIT, HYBRID") from None


def _delays(latencies_ms: Sequence[float]) -> tuple[float, ...]:
    """Return the latencies as given; what is no list, or names one twice, is refused (a scenario checks the values)."""
    try:
        found = tuple(latencies_ms)
    except TypeError:
        raise ConfigError(f"latencies_ms must be a list of numbers, not {latencies_ms!r}") from None
    if len(set(found)) != len(found):
        raise ConfigError(f"latencies_ms: one is named twice: {', '.join(map(str, found))}")
    return found


def run_paired(
    question: Question, grid: list[tuple[ExecutionStrategy, Scenario]], *, spans: bool = True
) -> RawComparison:
    """Run every opportunity in a fresh world; with `spans`, the first latency under every other fill model as well."""
    first = grid[0][1]
    others = [
        (strategy, replace(scenario, queue=queue, consumption=consumption))
        for strategy, scenario in (grid if spans else ())
        if (scenario.entry_ms, scenario.seed) == (first.entry_ms, first.seed)
        for queue, consumption in models(strategy, scenario.queue)
        if (queue, consumption) != (scenario.queue, scenario.consumption)
        and (queue == "through" or question.has_prints or strategy is ExecutionStrategy.MARKET)
    ]
    with Bar("comparing", "opportunity", quiet=question.quiet) as bar:
        opportunities, cells = run_each(question.tape, question.scanned, [*grid, *others], question.config, bar)
    modelled = _modelled(question, grid)
    if spans:
        modelled["queue_span"] = _span(question, grid)
    found = len(question.scanned)
    if len(opportunities) < found:
        modelled["interrupted"] = f"only the first {len(opportunities)} of {found} opportunities were run"
    modelled |= say_unheard(*unheard_in(cells[: len(grid)]))
    return RawComparison(
        opportunities=opportunities,
        cells=cells[: len(grid)],
        modelled=modelled,
        quality=question.tape.quality.to_dict(),
        study=question.study,
        synthetic=question.tape.synthetic,
        fees_known=question.fees is not None,
        sensitivity=cells[len(grid) :],
        lives=() if question.study is not None else _lives(question, {o.id for o in opportunities}),
    )


def _lives(question: Question, kept: Set[str]) -> tuple[Life, ...]:
    """Return how long each episode that was run stood on the received books."""
    found = question.scanned
    lives = zip((found.end - found.start).tolist(), found.censored.tolist(), strict=True)
    return tuple(Life(*life) for o, life in zip(found.opportunities(), lives, strict=True) if o.id in kept)


def _span(question: Question, grid: list[tuple[ExecutionStrategy, Scenario]]) -> str:
    """Say which models of the queue the strategies that rest were run under, and why not under the others."""
    if all(strategy is ExecutionStrategy.MARKET for strategy, _ in grid):
        return "no strategy rests: only what becomes of our own takes is spanned"
    if question.has_prints:
        return f"all {len(QUEUES)} rules at the first latency and seed, from {QUEUES[0]} to {QUEUES[-1]}"
    venues = ", ".join(sorted(question.silent_venues))
    return f"through alone: the tape holds no trades of {venues}, and without them no other rule can be fed"


def _listed(grid: list[tuple[ExecutionStrategy, Scenario]], name: str) -> str:
    return ", ".join(dict.fromkeys(f"{getattr(scenario, name):g}" for _, scenario in grid))


def run_continuous(
    question: Question, grid: list[tuple[ExecutionStrategy, Scenario]]
) -> tuple[RawComparison, list[Portfolio]]:
    """Run each strategy through one continuous world of its own."""
    runs: list[Portfolio] = []
    try:
        with Bar("comparing", "run", quiet=question.quiet) as bar:
            for strategy, scenario in grid:
                runs.append(_run(question, strategy, scenario))
                bar(len(runs), len(grid))
    except KeyboardInterrupt:
        if not runs:
            raise
    modelled = _modelled(question, grid)
    if len(runs) < len(grid):
        modelled["interrupted"] = f"only the first {len(runs)} of {len(grid)} runs were made"
    cells = tuple(
        Cell(
            strategy=strategy,
            latency_ms=scenario.entry_ms,
            seed=scenario.seed,
            queue=scenario.queue,
            consumption=scenario.consumption,
            results=run.results,
            executable=(),
            markouts=mark_out(question.tape, run.results),
            splits=split_shortfalls(question.tape, _answers(question, scenario, run)),
            journal=run.journal,
            balances=run.equity,
        )
        for (strategy, scenario), run in zip(grid[: len(runs)], runs, strict=True)
    )
    raw = RawComparison(
        opportunities=question.scanned.opportunities(),
        cells=cells,
        modelled=modelled
        | {
            "mode": "portfolio: one continuous run per strategy, not paired",
            "escalations": "acknowledged at once, a live engine would take no entries until a person has looked; "
            "what they leave unhedged counts nothing in equity, and in pnl what the bids would pay",
            "queue_span": "not run: a continuous run is one world under one rule; mode 'each' runs them all",
            "counters": "seen are the episodes of the received books; those that own impact removed have no column",
        }
        | say_unheard(*unheard_in(cells)),
        quality=question.tape.quality.to_dict(),
        synthetic=question.tape.synthetic,
        fees_known=question.fees is not None,
        mode="portfolio",
        counters=_mean_counters(cells, runs),
    )
    return raw, runs


def unheard_in(cells: Sequence[Cell]) -> tuple[int, int]:
    """Return how many orders' fate was not known when their trade ended, for its time was up, and of how many."""
    orders = [o for cell in cells for result in cell.results for leg in result.trade.legs for o in leg.orders]
    return sum(order.status is OrderStatus.UNKNOWN for order in orders), len(orders)


def say_unheard(lost: int, orders: int) -> dict[str, object]:
    """Return what `modelled` says of them: nothing where there are none."""
    if not lost:
        return {}
    return {"unheard": f"{lost:,} of {orders:,} orders when their trade ended; what they filled counts nothing"}


def _run(question: Question, strategy: ExecutionStrategy, scenario: Scenario) -> Portfolio:
    return run_portfolio(
        question.tape, question.scanned, question.baskets, strategy, question.config, scenario, question.rearm_s
    )


def _answers(question: Question, scenario: Scenario, run: Portfolio) -> list[Answer]:
    """Return the decisions of a run with what the client had heard when each was made."""
    return [
        Answer(result.trade.opportunity, result, rows_heard(question.tape, result.started_at - scenario.feed_ns))
        for result in run.results
    ]


def _mean_counters(cells: Sequence[Cell], runs: Sequence[Portfolio]) -> dict[tuple[str, float], dict[str, float]]:
    """Return what the runs counted, by strategy and latency: means over the seeds."""
    found: dict[tuple[str, float], list[dict[str, int]]] = {}
    for cell, run in zip(cells, runs, strict=True):
        found.setdefault((cell.strategy.value, cell.latency_ms), []).append(run.counters)
    return {key: {name: sum(one[name] for one in each) / len(each) for name in each[0]} for key, each in found.items()}


def _modelled(question: Question, grid: list[tuple[ExecutionStrategy, Scenario]]) -> dict[str, object]:
    """Return the assumptions, with every value that a setting takes in the grid."""
    varied = {name: _listed(grid, name) for name in ("entry_ms", "reply_ms", "seed")}
    return question.modelled() | varied
