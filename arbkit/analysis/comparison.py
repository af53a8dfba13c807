"""The comparison table and what stands beside it: one row per strategy and latency, and nothing drops out.

Where two strategies are to be told apart, `difference` resamples them together; `executable_table` is the tape's own
word on what could have been had, `capital_table` what the profit is on the money and time it tied up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from arbkit.analysis.gathering import OUTCOMES, RATES, WITH_INTERVAL, Gathered, gather
from arbkit.analysis.intervals import (
    Floats,
    difference_intervals,
    rate_difference_intervals,
    rate_intervals,
    ratio_intervals,
)
from arbkit.analysis.raw import MICRO, Attempt, Raw, RawCell, attempts, groups, leg_numbers
from arbkit.core.errors import DataError
from arbkit.core.model import ExecutionStrategy

NAN = float("nan")
FILLS_FOR_P95 = 100
YEAR_NS = 365.25 * 86_400 * 1e9
NET = ("shortfall_mean", "shortfall_mean_lo", "shortfall_mean_hi", "unwind_cost", "fees", "pnl",
       "pnl_per_opportunity", "pnl_per_opportunity_lo", "pnl_per_opportunity_hi")  # fmt: skip
COUNTS = ("opportunities", *OUTCOMES, "n_fills", "n_opportunities")
PORTFOLIO = ("seen", "skipped_busy", "skipped_cash")


def comparison_table(raw: Raw, cells: Sequence[RawCell] | None = None) -> pd.DataFrame:
    """One row per strategy and latency, in the order they were run; money in dollars, per share where it says mean.

    `_lo` and `_hi` are the ends of 95 % intervals (see `intervals`), NaN with fewer than ten independent clusters.
    Counts are means over seeds: whole numbers (int64) with one seed, float64 with several. `slippage_p95` is NaN
    below 100 fills. A portfolio run adds `seen skipped_busy skipped_cash`. Without known fees net columns are NaN.
    """
    return table_of([(gather(raw, cells).rows, raw.fees_known)], raw.mode)


def table_of(parts: Iterable[tuple[Sequence[Gathered], bool]], mode: str) -> pd.DataFrame:
    """Return the comparison table of what was gathered, a part under another; each with whether its fees are known."""
    made: list[dict[str, Any]] = []
    several = False
    for rows, fees_known in parts:
        ends = _intervals(rows)
        for place, row in enumerate(rows):
            figures = _row(row, mode == "portfolio")
            for column, (lo, hi) in ends.items():
                figures[f"{column}_lo"], figures[f"{column}_hi"] = lo[place], hi[place]
            made.append(figures if fees_known else figures | dict.fromkeys(NET, NAN))
            several = several or row.seeds > 1
    table = pd.DataFrame(made, columns=_columns(mode))
    counted = [*COUNTS, *(PORTFOLIO if mode == "portfolio" else ())]
    kinds = dict.fromkeys(table.columns, "float64") | dict.fromkeys(counted, "float64" if several else "int64")
    return table.astype(kinds | {"strategy": "str", "n_clusters": "int64", "n_events": "int64"})


def difference(
    raw: Raw, a: ExecutionStrategy | str, b: ExecutionStrategy | str, column: str = "pnl_per_opportunity"
) -> pd.DataFrame:
    """Return `column` of strategy `a` minus that of `b` per latency, with its paired 95 % interval.

    Both met the same opportunities and are resampled together, so the interval is narrower than two read side by
    side. Raises DataError for a column without an interval and for portfolio runs, which are not paired.
    """
    if column not in WITH_INTERVAL:
        raise DataError(f"no interval is kept for {column!r}; there is {', '.join(WITH_INTERVAL)}")
    if raw.mode != "each":
        raise DataError(f"mode {raw.mode!r} runs each strategy in a world of its own: nothing is paired")
    gathering = gather(raw)
    first, second = ExecutionStrategy(a).value, ExecutionStrategy(b).value
    made = []
    for latency_ms in dict.fromkeys(row.latency_ms for row in gathering.rows):
        one, other = gathering.at(first, latency_ms), gathering.at(second, latency_ms)
        value = _ratio(*one.pair(column)) - _ratio(*other.pair(column))
        if column in RATES:
            lo, hi = rate_difference_intervals(one.pair(column), other.pair(column))
        else:
            lo, hi = difference_intervals(one.pair(column), other.pair(column), column)
        known = raw.fees_known or column not in NET
        numbers = (value, float(lo[0]), float(hi[0])) if known else (NAN, NAN, NAN)
        made.append((latency_ms, first, second, column, *numbers, one.n_clusters))
    names = ["latency_ms", "a", "b", "column", "difference", "lo", "hi", "n_clusters"]
    return pd.DataFrame(made, columns=names).astype({"latency_ms": "float64", "n_clusters": "int64"})


def executable_table(raw: Raw) -> pd.DataFrame:
    """Share of decisions whose every leg still stood at the venue at its worst price when the orders arrived.

    Counted by brute force on the tape, per latency, on the decisions of MARKET (or of the first strategy, if MARKET
    was not run). Empty where nothing was counted.
    """
    names = ["latency_ms", "strategy", "executable_share", "executable_share_lo", "executable_share_hi",
             "n_opportunities", "n_clusters"]  # fmt: skip
    gathering = gather(raw)
    found = []
    strategies = [row.strategy for row in gathering.rows]
    reference = ExecutionStrategy.MARKET.value if "MARKET" in strategies else (strategies or [""])[0]
    for row in gathering.rows:
        counted = row.sums["counted"]
        if row.strategy == reference and counted.sum():
            lo, hi = rate_intervals(row.sums["executable"], counted)
            share = _ratio(row.sums["executable"], counted)
            n = round(float(counted.sum()))
            found.append((row.latency_ms, row.strategy, share, float(lo[0]), float(hi[0]), n, row.n_clusters))
    kinds = dict.fromkeys(names, "float64") | {"strategy": "str", "n_opportunities": "int64", "n_clusters": "int64"}
    return pd.DataFrame(found, columns=names).astype(kinds)


def capital_table(raw: Raw) -> pd.DataFrame:
    """Return on capital-time per strategy and latency: pnl over dollars tied up times years.

    What a committed trade cost is tied up from its end to the last close of its markets, what another trade paid for
    its entries only while it ran. NaN where a market's close is unknown or fees are: nothing is guessed.
    """
    made = []
    for (strategy, latency_ms), cells in groups(raw.cells).items():
        answered = [a for cell in cells for a in attempts(raw, cell) if a.result is not None]
        years = sum(_dollar_years(attempt) for attempt in answered) / len(cells)
        pnl = sum(int(a.result.pnl) for a in answered if a.result) / MICRO / len(cells) if raw.fees_known else NAN
        made.append((strategy, latency_ms, years, pnl, pnl / years if years else NAN))
    names = ["strategy", "latency_ms", "dollar_years", "pnl", "return_per_year"]
    return pd.DataFrame(made, columns=names).astype(dict.fromkeys(names[1:], "float64") | {"strategy": "str"})


def _columns(mode: str) -> list[str]:
    def beside(column: str) -> tuple[str, ...]:
        return (column, f"{column}_lo", f"{column}_hi") if column in WITH_INTERVAL else (column,)

    plain = ["strategy", "latency_ms", "opportunities", *OUTCOMES]
    if mode == "portfolio":
        plain += PORTFOLIO
    plain += ["completion_rate", "leg_fill_rate", "slippage_mean", "slippage_p95", "n_fills", "shortfall_mean",
              "execution_ms_p50", "execution_ms_p95", "unwind_cost", "fees", "pnl", "pnl_per_opportunity",
              "n_opportunities", "n_clusters", "n_events"]  # fmt: skip
    return [name for column in plain for name in beside(column)]


def _row(row: Gathered, portfolio: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"strategy": row.strategy, "latency_ms": row.latency_ms}
    made |= {name: row.total(name) for name in ("opportunities", *OUTCOMES, "n_fills")}
    made |= {column: _ratio(*row.pair(column)) for column in WITH_INTERVAL}
    made |= {name: row.total(name) for name in ("unwind_cost", "fees", "pnl")}
    made["slippage_p95"] = _quantile(row.slippages, 0.95) if row.total("n_fills") >= FILLS_FOR_P95 else NAN
    made["execution_ms_p50"] = _quantile(row.execution, 0.50)
    made["execution_ms_p95"] = _quantile(row.execution, 0.95)
    made["n_opportunities"] = made["opportunities"]
    made |= {"n_clusters": row.n_clusters, "n_events": row.n_events}
    if portfolio:
        made |= {name: row.counted.get(name, made["opportunities"] if name == "seen" else 0) for name in PORTFOLIO}
        made["refused"] = row.counted.get("refused", made["refused"])
    return made


def _intervals(rows: Sequence[Gathered]) -> dict[str, tuple[list[float], list[float]]]:
    """Return the ends per column; rows over the same clusters are resampled in one go."""
    found = {column: ([NAN] * len(rows), [NAN] * len(rows)) for column in WITH_INTERVAL}
    alike: dict[bytes, list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault((row.sums["opportunities"] > 0).tobytes(), []).append(place)
    for places in alike.values():
        touched = rows[places[0]].sums["opportunities"] > 0
        for column in WITH_INTERVAL:
            pairs = [rows[place].pair(column) for place in places]
            above, below = (np.stack([pair[i][touched] for pair in pairs]) for i in (0, 1))
            lo, hi = rate_intervals(above, below) if column in RATES else ratio_intervals(above, below, column)
            for place, low, high in zip(places, lo.tolist(), hi.tolist(), strict=True):
                found[column][0][place], found[column][1][place] = low, high
    return found


def _ratio(above: Floats, below: Floats) -> float:
    total = float(below.sum())
    return float(above.sum()) / total if total else NAN


def _quantile(values: Floats, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else NAN


def _dollar_years(attempt: Attempt) -> float:
    result = attempt.result
    assert result is not None
    if result.committed:
        closes = [leg.book.market.close for leg in result.trade.legs]
        known = [close for close in closes if close is not None]
        if len(known) < len(closes):
            return NAN
        return max(0, -int(result.cash)) / MICRO * max(0, max(known) - result.finished_at) / YEAR_NS
    paid = sum(leg_numbers(leg).paid for leg in result.trade.legs) / MICRO**2
    return paid * max(0, result.finished_at - result.started_at) / YEAR_NS
