"""What every column of the comparison means, in which unit people read it, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from arbkit.analysis.gathering import OUTCOMES
from arbkit.analysis.intervals import MIN_CLUSTERS, TOO_FEW

SYNTHETIC = "synthetic flow: shows method, not market truth"
STUDY = "execution study, not arbitrage"
NOT_WHOLE = {  # where `modelled` says what a result leaves out, and what that is called
    "scan_interrupted": "interrupted",
    "interrupted": "interrupted",
    "unheard": "not heard of in time",
}
UNDEFINED = "-"
CENTS, PERCENT = 100.0, 100.0
COUNTED = {"opportunities", "seen", "n_fills", "skipped_busy", "skipped_cash", *OUTCOMES}


class Column(NamedTuple):
    """One column as people read it: the frame's value times `scale`, in `unit`, with so many digits."""

    name: str
    head: str
    unit: str
    scale: float
    digits: int
    meaning: str

    def text(self, value: float) -> str:
        """Return a number of the frame as people read it; undefined is "-"."""
        if math.isnan(value):
            return UNDEFINED
        mean_over_seeds = self.name in COUNTED and value != int(value)
        digits = 1 if mean_over_seeds else self.digits
        shown = f"{value * self.scale:,.{digits}f}"
        return shown.replace("-", "−") if float(shown.replace(",", "")) else shown.removeprefix("-")

    def interval(self, row: pd.Series) -> str:
        """Return the interval beside a value as "[lo, hi]", or nothing where there is none."""
        lo, hi = row.get(f"{self.name}_lo", math.nan), row.get(f"{self.name}_hi", math.nan)
        return "" if math.isnan(lo) or math.isnan(hi) else f"[{self.text(lo)}, {self.text(hi)}]"


WHAT_IT_EARNED = (
    Column("pnl_per_opportunity", "pnl / opportunity", "dollars", 1, 3, "pnl over all opportunities. Strategies are ranked by it and by shortfall, never by slippage alone."),
    Column("shortfall_mean", "shortfall", "cents/share", CENTS, 3, "Σ(expected edge · size − pnl) / Σ size over all opportunities, missed and unwound ones included: what of the expected edge was not earned."),
    Column("pnl", "pnl", "dollars", 1, 2, "Payoff floor of what is held − cost − fees − gas, undone trades included; total. It is locked until merge or resolution."),
    Column("fees", "fees", "dollars", 1, 2, "Fees of all fills; total."),
    Column("unwind_cost", "unwind cost", "dollars", 1, 2, "What undo orders lost against the entry price of what they touched, fees included; total."),
    Column("n_clusters", "clusters", "", 1, 0, f"Independent clusters: event × time block of 10 s or three p95 trade durations, or whole events where there are ten. Below {MIN_CLUSTERS} there are no intervals."),
    Column("n_events", "events", "", 1, 0, "How many events the opportunities belong to."),
)  # fmt: skip
HOW_IT_ENDED = (
    Column("opportunities", "opportunities", "", 1, 0, "Opportunities the strategy had to answer, refused ones included. Every rate is over all of them."),
    Column("completion_rate", "completion", "%", PERCENT, 1, "completed / opportunities."),
    Column("seen", "seen", "", 1, 0, "Opportunities a bystander saw while the continuous run was going on."),
    Column("completed", "completed", "", 1, 0, "Every leg filled to size by entry orders alone."),
    Column("reduced", "reduced", "", 1, 0, "All legs filled equally by entry orders, to less than size."),
    Column("missed", "missed", "", 1, 0, "Nothing filled, nothing owed."),
    Column("unwound", "unwound", "", 1, 0, "Made whole or flat by undo orders."),
    Column("escalated", "escalated", "", 1, 0, "Undoing would have cost more than allowed: left open and reported."),
    Column("refused", "refused", "", 1, 0, "Never sent; counts with its scanned size, nothing filled and no pnl."),
    Column("skipped_busy", "busy", "", 1, 0, "Passed over because a trade was still running."),
    Column("skipped_cash", "no cash", "", 1, 0, "Passed over for want of free cash."),
)  # fmt: skip
HOW_IT_FILLED = (
    Column("leg_fill_rate", "leg fill rate", "%", PERCENT, 1, "Size filled by entry orders / size intended, before any undoing, summed over all opportunities."),
    Column("slippage_mean", "slippage", "cents/share", CENTS, 3, "s · (average price − decision price), s = +1 for a buy, −1 for a sale; positive is worse. Share-weighted over the legs with a fill."),
    Column("slippage_p95", "its p95", "", CENTS, 2, "95 % quantile of slippage over the legs with a fill, in cents per share; told from 100 fills on."),
    Column("n_fills", "filled legs", "", 1, 0, "How many legs with a fill the slippage rests on."),
    Column("execution_ms_p50", "execution p50", "ms", 1, 0, "Median time from the decision until the last entry leg was over, of the trades that were sent."),
    Column("execution_ms_p95", "its p95", "", 1, 0, "95 % quantile of the execution time, in ms."),
)  # fmt: skip
BLOCKS = {
    "What it earned": WHAT_IT_EARNED,
    "How the trades ended": HOW_IT_ENDED,
    "How the legs filled": HOW_IT_FILLED,
}
INTERVALS = (
    "Brackets are 95 % intervals by resampling clusters, the same clusters for all strategies, seeds averaged inside an "
    "opportunity first. Zero width says that all clusters agree, not that the number is certain."
)
FEES_UNKNOWN = "fees are not known here, so nothing net is told: state a fee rule, or name one with assume_fees"


def present(columns: tuple[Column, ...], table: pd.DataFrame) -> list[Column]:
    """Return the columns that a table has."""
    return [column for column in columns if column.name in table.columns]


def notes(table: pd.DataFrame) -> list[str]:
    """Return what must be said beside a table, in plain words."""
    found = []
    if len(table) and int(table["n_clusters"].min()) < MIN_CLUSTERS:
        low, high = int(table["n_clusters"].min()), int(table["n_clusters"].max())
        count = f"{low}" if low == high else f"{low} to {high}"
        found.append(f"{TOO_FEW} for intervals: {count}, and {MIN_CLUSTERS} are needed")
    if len(table) and table["pnl"].isna().all():
        found.append(FEES_UNKNOWN)
    return found


def labels(study: str | None, synthetic: bool, modelled: Mapping[str, object]) -> list[str]:
    """Return what a result says on its first lines about what it is not: a market, arbitrage, or whole."""
    found = ([SYNTHETIC] if synthetic else []) + ([f"{STUDY} ({study})"] if study is not None else [])
    return found + [f"{called}: {modelled[name]}" for name, called in NOT_WHOLE.items() if name in modelled]
