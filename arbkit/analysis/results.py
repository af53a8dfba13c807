"""The public calls and what they return: here integers become frames, figures and a report.

`scan`, `compare` and `backtest` block, work in a notebook cell, in a script and inside a running loop, and show a
bar when they take long. `Comparison` and `Run` show themselves in a notebook and print themselves in a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from arbkit.analysis.comparison_view import Comparison
from arbkit.analysis.progress import Bar
from arbkit.analysis.run_view import Run, load_run
from arbkit.analysis.scan_view import ScanReport
from arbkit.backtest.compare import Cell, RawComparison, at_latency, run_each
from arbkit.backtest.run import Portfolio, run_portfolio
from arbkit.backtest.scan import ScanResult, sample_tape, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.tape_views import printing
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import Basket, Book, ExecutionStrategy
from arbkit.core.units import NS_PER_S, cash, size
from arbkit.fees import FeeRule, history_for, rule

if TYPE_CHECKING:
    import pandas as pd

    from arbkit.history.tape import Tape

__all__ = ["Comparison", "Run", "ScanReport", "backtest", "compare", "load_run", "scan", "scan_report"]

STRATEGIES = tuple(ExecutionStrategy)
MODES = ("each", "portfolio")
EDGES = ("net", "gross")
FeeHistory = tuple[tuple[int, FeeRule], ...]


@dataclass(frozen=True)
class _Question:
    """What every public call asks of a tape, checked once and answered in integers."""

    tape: Tape
    baskets: tuple[Basket, ...]
    edge: str
    rearm_s: float
    config: ExecutionConfig
    scenario: Scenario
    study: str | None = None

    def __post_init__(self) -> None:
        if self.edge not in EDGES:
            raise ConfigError(f"edge must be 'net' or 'gross', not {self.edge!r}")
        rearm_s: object = self.rearm_s
        if not isinstance(rearm_s, (int, float)) or not 0 <= self.rearm_s <= 86_400:
            raise ConfigError(f"rearm_s = {self.rearm_s!r} is outside 0..86400 seconds")
        if not self.baskets:
            raise DataError("no baskets: nothing on this tape belongs together; see arbkit.baskets and markets.toml")
        if not len(self.tape):
            raise DataError("the tape has no rows")
        for name in (self.scenario.assume_fees or "").split(","):
            if name.strip():
                rule(name.strip())  # a name that is not known is refused even where no fee has to be assumed
        books = self.tape.markets.books
        for basket in self.baskets:
            if any(leg.index >= len(books) or books[leg.index] != leg for leg in basket.legs):
                raise DataError(f"basket {basket.id} is of another market table: make baskets of this tape's own")

    @cached_property
    def fees(self) -> dict[int, FeeHistory] | None:
        """The dated fee rules by book number; None in a gross question about books whose rules are unknown."""
        start, end = int(self.tape.rows.ts_recv[0]), int(self.tape.rows.ts_recv[-1])
        books: dict[int, Book] = {leg.index: leg for basket in self.baskets for leg in basket.legs}
        try:
            return {i: history_for(book.market, start, end, self.scenario.assume_fees) for i, book in books.items()}
        except DataError:
            if self.edge == "net" or self.scenario.assume_fees is not None:
                raise
            return None

    @cached_property
    def scanned(self) -> ScanResult:
        """Episodes, or decisions at fixed times in an execution study."""
        common: dict[str, Any] = {
            "max_size": size(str(self.config.max_size)),
            "max_exposure": cash(self.config.max_exposure),
            "fees": self.fees,
            "gross": self.edge == "gross",
            "max_silence_ns": self.scenario.max_silence_ns,
            "settle_ns": self.scenario.mirror_settle_ns,
            "feed_ns": self.scenario.feed_ns,
        }
        with Bar("scanning", "row") as bar:
            if self.study is not None:
                return sample_tape(self.tape, self.baskets, every_ns=_every(self.study), progress=bar, **common)
            return scan_tape(
                self.tape,
                self.baskets,
                min_edge=cash(self.config.min_edge),
                rearm_ns=round(self.rearm_s * NS_PER_S),
                progress=bar,
                **common,
            )

    @cached_property
    def has_prints(self) -> bool:
        """Whether every venue traded on recorded prints: without them nothing is known of a queue."""
        return printing(self.tape) >= {leg.venue for basket in self.baskets for leg in basket.legs}

    def modelled(self) -> dict[str, object]:
        """Return everything that was assumed, in the order a reader asks for it."""
        found: dict[str, object] = dict(self.scenario.modelled())
        if self.fees is None:
            found["fees"] = "unknown: nothing net can be told; state a rule in markets.toml or assume_fees=NAME"
        else:
            found["fees"] = _say_fees(self.fees, self.scenario.assume_fees)
        config = self.config
        found |= {
            "decisions": _say_decisions(self, config),
            "max_size": f"{config.max_size:g} shares",
            "max_exposure": f"{config.max_exposure:g} dollars at risk while legs differ",
            "slippage_cap": _say_cap(config),
            "edge_protected": "yes: caps spend the net edge and no more, but for the larger fee at a worse price"
            if config.protect_edge
            else "NO: caps ignore the edge, a fill may lose money",
            "limit_timeout_s": config.limit_timeout_s,
            "hybrid_patience_s": config.hybrid_patience_s,
            "max_unwind_loss": f"{config.max_unwind_loss:.0%} of the trade's cost",
            "clocks": _say_clocks(self.tape.clocks),
            "assumed_fields": ", ".join(sorted({f for b in self.baskets for f in b.assumed})) or "none",
        }
        if self.scanned.rows < len(self.tape):
            found["scan_interrupted"] = f"only the first {self.scanned.rows:,} of {len(self.tape):,} rows were scanned"
        return found


def _every(study: str) -> int:
    found = re.fullmatch(r"sample:(\d+(?:\.\d+)?)s", study)
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"study must look like 'sample:5s', not {study!r}")
    return round(float(found[1]) * NS_PER_S)


def _say_fees(fees: dict[int, FeeHistory], assumed: str | None) -> str:
    rules = sorted({rule.name for history in fees.values() for _, rule in history})
    guesses = {name.strip() for name in (assumed or "").split(",")}
    return ", ".join(f"{name} (assumed)" if name in guesses else name for name in rules)


def _say_decisions(question: _Question, config: ExecutionConfig) -> str:
    if question.study is not None:
        return f"{question.study}: at fixed times, whatever the edge: execution study, not arbitrage"
    return (
        f"episodes, {question.edge} edge of at least {config.min_edge:g} dollars a share, rearm {question.rearm_s:g} s"
    )


def _say_cap(config: ExecutionConfig) -> str:
    if config.max_slippage is not None:
        return f"{config.max_slippage:g} dollars beyond the last level needed"
    return f"{config.max_slippage_pct:.1%} beyond the last level needed"


def _say_clocks(clocks: str) -> str:
    return {
        "both": "received and venue stamps are both recorded",
        "recv": "only received stamps: the venue is taken to be as far away as feed_ms says",
        "venue": "only venue stamps: rows are taken as received feed_ms later",
    }[clocks]


def _question(
    tape: Tape,
    baskets: Sequence[Basket] | Basket,
    *,
    min_edge: float | None,
    edge: str | None,
    rearm_s: float,
    assume_fees: str | None,
    config: ExecutionConfig | None = None,
    scenario: Scenario | None = None,
    study: str | None = None,
) -> _Question:
    from arbkit.history.tape import Tape

    config = ExecutionConfig() if config is None else config
    scenario = Scenario() if scenario is None else scenario
    for what, value, kind in (
        ("tape", tape, Tape), ("config", config, ExecutionConfig), ("scenario", scenario, Scenario)
    ):  # fmt: skip
        if not isinstance(value, kind):
            way = "; read_tape makes one of a folder" if kind is Tape else ""
            raise ConfigError(f"{what} must be of type {kind.__name__}, not {value!r}{way}")
    edge = config.edge if edge is None else edge
    gates: dict[str, Any] = {"edge": edge} if edge in EDGES else {}
    if study is not None:
        gates |= {"min_edge": -1.0, "edge": "gross"}  # lowered alike for all strategies
    elif min_edge is not None:
        gates["min_edge"] = min_edge
    if assume_fees is not None:
        scenario = replace(scenario, assume_fees=assume_fees)
    given: object = baskets
    if isinstance(given, str) or not isinstance(given, (Basket, Iterable)):
        raise ConfigError(f"baskets must be those that arbkit.baskets makes, not {given!r}")
    chosen = (baskets,) if isinstance(baskets, Basket) else tuple(baskets)
    for basket in chosen:
        if not isinstance(basket, Basket):
            raise ConfigError(f"baskets must be those that arbkit.baskets makes, not {basket!r}")
    return _Question(tape, chosen, edge, rearm_s, replace(config, **gates), scenario, study)


def scan_report(
    tape: Tape,
    baskets: Sequence[Basket],
    min_edge: float | None = None,
    edge: str | None = None,
    rearm_s: float = 1.0,
    assume_fees: str | None = None,
) -> ScanReport:
    """Return the episodes of a tape with what was counted on the way and what was assumed; see `scan`."""
    question = _question(tape, baskets, min_edge=min_edge, edge=edge, rearm_s=rearm_s, assume_fees=assume_fees)
    return ScanReport(question.scanned, question.edge, question.modelled(), tape.quality.to_dict(), tape.synthetic)


def scan(
    tape: Tape,
    baskets: Sequence[Basket],
    min_edge: float = 0.0001,
    edge: str = "net",
    rearm_s: float = 1.0,
    assume_fees: str | None = None,
) -> pd.DataFrame:
    """Return the episodes in which a basket was executable with an edge, one row each.

    `min_edge`, `edge` and `peak_edge` are dollars per basket share, `size` shares, `life_ms` and `open_ms` milliseconds.
    Net of the dated fee rules unless `edge="gross"`; where those do not cover the tape, net is refused (DataError)
    unless `assume_fees` names a rule. `.attrs` of the frame says what was assumed and counted.
    """
    return scan_report(tape, baskets, min_edge, edge, rearm_s, assume_fees).frame


def compare(
    tape: Tape,
    baskets: Sequence[Basket],
    strategies: Sequence[ExecutionStrategy | str] | str = STRATEGIES,
    min_edge: float | None = None,
    edge: str | None = None,
    rearm_s: float = 1.0,
    assume_fees: str | None = None,
    config: ExecutionConfig | None = None,
    scenario: Scenario | None = None,
    latencies_ms: Sequence[float] = (),
    seeds: int = 1,
    mode: str = "each",
    study: str | None = None,
) -> Comparison:
    """Run the live engine over the same decisions with each strategy and compare fills, slippage and shortfall.

    mode="each": every opportunity in a fresh world, strategies paired. mode="portfolio": one continuous world per
    strategy with balances and own impact. `latencies_ms` sets entry_ms = reply_ms to each value in turn (empty: the
    scenario's own). `study="sample:5s"` decides at fixed times instead of episodes. `min_edge` and `edge` default to
    the config's (0.0001, net). Interrupted, it returns what is whole so far and says so. Raises ConfigError for what
    cannot be meant and DataError for what the tape cannot answer.
    """
    if mode not in MODES:
        raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if mode == "portfolio" and study is not None:
        raise ConfigError("an execution study has no portfolio: use mode='each'")
    if seeds not in range(1, 10_001):
        raise ConfigError(f"seeds must be a whole number from 1 to 10000, not {seeds!r}")
    chosen = [_strategy(name) for name in ((strategies,) if isinstance(strategies, str) else strategies)]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError("strategies: name each of MARKET, LIMIT, HYBRID at most once, and at least one")
    question = _question(
        tape, baskets, min_edge=min_edge, edge=edge, rearm_s=rearm_s, assume_fees=assume_fees,
        config=config, scenario=scenario, study=study,
    )  # fmt: skip
    given = _delays(latencies_ms)
    delays = given or (question.scenario.entry_ms,)
    grid = [
        (strategy, replace(at_latency(question.scenario, delay) if given else question.scenario, seed=seed))
        for delay in delays
        for strategy in chosen
        for seed in range(question.scenario.seed, question.scenario.seed + seeds)
    ]
    raw = _each(question, grid) if mode == "each" else _portfolio(question, grid)[0]
    return Comparison(raw)


def _strategy(name: ExecutionStrategy | str) -> ExecutionStrategy:
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


def _each(question: _Question, grid: list[tuple[ExecutionStrategy, Scenario]]) -> RawComparison:
    """Run the grid, and the first latency once more under every other queue and consumption model."""
    first = grid[0][1]
    spans = [
        (strategy, replace(scenario, queue=queue, consumption=consumption))
        for strategy, scenario in grid
        if (scenario.entry_ms, scenario.seed) == (first.entry_ms, first.seed)
        for queue, consumption in _models(strategy, scenario)
        if (queue, consumption) != (scenario.queue, scenario.consumption)
        and (queue == "through" or question.has_prints or strategy is ExecutionStrategy.MARKET)
    ]
    with Bar("comparing", "opportunity") as bar:
        opportunities, cells = run_each(question.tape, question.scanned, [*grid, *spans], question.config, bar)
    modelled = _modelled(question, grid)
    found = len(question.scanned)
    if len(opportunities) < found:
        modelled["interrupted"] = f"only the first {len(opportunities)} of {found} opportunities were run"
    return RawComparison(
        opportunities=opportunities,
        cells=cells[: len(grid)],
        modelled=modelled,
        quality=question.tape.quality.to_dict(),
        study=question.study,
        synthetic=question.tape.synthetic,
        fees_known=question.fees is not None,
        sensitivity=cells[len(grid) :],
    )


def _models(strategy: ExecutionStrategy, scenario: Scenario) -> list[tuple[str, str]]:
    """Return the queue and consumption models to span, most cautious first; a taker stands in no queue."""
    if strategy is ExecutionStrategy.MARKET:
        return [(scenario.queue, "cautious"), (scenario.queue, "hopeful")]
    return [("through", "cautious"), ("risk-averse", "cautious"), ("front", "cautious"), ("front", "hopeful")]


def _listed(grid: list[tuple[ExecutionStrategy, Scenario]], name: str) -> str:
    return ", ".join(dict.fromkeys(f"{getattr(scenario, name):g}" for _, scenario in grid))


def _portfolio(
    question: _Question, grid: list[tuple[ExecutionStrategy, Scenario]]
) -> tuple[RawComparison, list[Portfolio]]:
    """Run each strategy through one continuous world of its own."""
    runs: list[Portfolio] = []
    try:
        with Bar("comparing", "run") as bar:
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
            markouts=(),
            journal=run.journal,
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
            "counters": "seen are the episodes of the received books; those that own impact removed have no column",
        },
        quality=question.tape.quality.to_dict(),
        synthetic=question.tape.synthetic,
        fees_known=question.fees is not None,
        mode="portfolio",
        counters=_mean_counters(cells, runs),
    )
    return raw, runs


def _run(question: _Question, strategy: ExecutionStrategy, scenario: Scenario) -> Portfolio:
    return run_portfolio(
        question.tape, question.scanned, question.baskets, strategy, question.config, scenario, question.rearm_s
    )


def _mean_counters(cells: Sequence[Cell], runs: Sequence[Portfolio]) -> dict[tuple[str, float], dict[str, float]]:
    """Return what the runs counted, by strategy and latency: means over the seeds."""
    found: dict[tuple[str, float], list[dict[str, int]]] = {}
    for cell, run in zip(cells, runs, strict=True):
        found.setdefault((cell.strategy.value, cell.latency_ms), []).append(run.counters)
    return {key: {name: sum(one[name] for one in each) / len(each) for name in each[0]} for key, each in found.items()}


def _modelled(question: _Question, grid: list[tuple[ExecutionStrategy, Scenario]]) -> dict[str, object]:
    """Return the assumptions, with every value that a setting takes in the grid."""
    varied = {name: _listed(grid, name) for name in ("entry_ms", "reply_ms", "seed")}
    return question.modelled() | varied


def backtest(
    tape: Tape,
    baskets: Sequence[Basket],
    config: ExecutionConfig | None = None,
    scenario: Scenario | None = None,
    strategy: ExecutionStrategy | str = ExecutionStrategy.HYBRID,
    edge: str | None = None,
    rearm_s: float = 1.0,
) -> Run:
    """Let the engine find and trade opportunities over a whole tape: one world with balances, locks and own impact.

    `edge` defaults to the config's (net). Raises as `compare` does.
    """
    chosen = _strategy(strategy)
    question = _question(
        tape, baskets, min_edge=None, edge=edge, rearm_s=rearm_s, assume_fees=None, config=config, scenario=scenario
    )
    raw, (run,) = _portfolio(question, [(chosen, question.scenario)])
    return Run(raw, run.equity)
