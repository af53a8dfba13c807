"""The public calls and what they return: here integers become frames, figures and a report.

`scan`, `compare` and `backtest` block, work in a notebook cell, in a script and inside a running loop, and show a
bar when they take long. `Comparison` and `Run` show themselves in a notebook and print themselves in a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arbkit.analysis.comparison_view import Comparison
from arbkit.analysis.question import ask
from arbkit.analysis.run_view import Run, load_run
from arbkit.analysis.runs import STRATEGIES, plan_of, run_continuous, run_paired
from arbkit.analysis.scan_view import ScanReport
from arbkit.analysis.sweeping import sweep
from arbkit.backtest.scenario import Scenario
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import Basket, ExecutionStrategy

if TYPE_CHECKING:
    import pandas as pd

    from arbkit.history.tape import Tape

__all__ = ["Comparison", "Run", "ScanReport", "backtest", "compare", "load_run", "scan", "scan_report", "sweep"]


def scan_report(
    tape: Tape,
    baskets: Sequence[Basket],
    min_edge: float | None = None,
    edge: str | None = None,
    rearm_s: float = 1.0,
    assume_fees: str | None = None,
) -> ScanReport:
    """Return the episodes of a tape with what was counted on the way and what was assumed; see `scan`."""
    question = ask(tape, baskets, min_edge=min_edge, edge=edge, rearm_s=rearm_s, assume_fees=assume_fees)
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
    plan = plan_of(strategies, latencies_ms, seeds, mode, study)
    question = ask(
        tape, baskets, min_edge=min_edge, edge=edge, rearm_s=rearm_s, assume_fees=assume_fees,
        config=config, scenario=scenario, study=study,
    )  # fmt: skip
    requests = plan.requests(question)
    raw = run_paired(question, requests) if mode == "each" else run_continuous(question, requests)[0]
    return Comparison(raw)


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
    plan = plan_of((strategy,), (), seeds=1, mode="portfolio", study=None)
    question = ask(
        tape, baskets, min_edge=None, edge=edge, rearm_s=rearm_s, assume_fees=None, config=config, scenario=scenario
    )
    raw, (run,) = run_continuous(question, plan.requests(question))
    return Run(raw, run.equity)
