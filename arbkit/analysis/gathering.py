"""Sums per cluster: what every figure of the comparison and every interval is made of.

Each strategy at each latency is gathered over the same clusters and averaged over its seeds, refused and passed over
opportunities included, so that every figure is a ratio of sums and nothing drops out of a denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arbkit.analysis.attempt_table import ENDS, NEVER, OUTCOMES, UNCOUNTED, tabulate
from arbkit.analysis.intervals import Clusters, Floats, block_ns, clusters
from arbkit.analysis.raw import MICRO, Raw, RawCell, attempts
from arbkit.backtest.sweep_store import Columns
from arbkit.core.errors import DataError
from arbkit.core.units import NS_PER_MS

__all__ = ["OUTCOMES", "RATES", "WITH_INTERVAL", "Gathered", "Gathering", "gather", "gathered"]

# Each figure with an interval as a ratio of two sums over opportunities: (above, below).
RATES = {"completion_rate": ("completed", "opportunities"), "leg_fill_rate": ("filled", "intended")}
MEANS = {
    "slippage_mean": ("slippage", "priced_shares"),
    "shortfall_mean": ("shortfall", "size"),
    "pnl_per_opportunity": ("pnl", "opportunities"),
}
WITH_INTERVAL = (*RATES, *MEANS)


@dataclass(frozen=True)
class Gathered:
    """One strategy at one latency: sums per cluster (means over seeds), and the values that percentiles need."""

    strategy: str
    latency_ms: float
    sums: dict[str, Floats]
    slippages: Floats  # dollars per share, one per leg with a fill, all seeds
    execution: Floats  # ms, one per trade that was sent, all seeds
    seeds: int
    n_clusters: int
    n_events: int
    counted: dict[str, float]

    def total(self, name: str) -> float:
        return float(self.sums[name].sum())

    def pair(self, column: str) -> tuple[Floats, Floats]:
        """Return the two sums per cluster whose ratio a column is."""
        above, below = (RATES | MEANS)[column]
        return self.sums[above], self.sums[below]


@dataclass(frozen=True)
class Gathering:
    """All cells of a comparison over one set of clusters."""

    rows: tuple[Gathered, ...]
    clusters: Clusters
    labels: tuple[dict[str, int], ...]  # per cell: trade id -> cluster

    def at(self, strategy: str, latency_ms: float) -> Gathered:
        for row in self.rows:
            if row.strategy == strategy and row.latency_ms == latency_ms:
                return row
        known = ", ".join(f"{row.strategy} at {row.latency_ms:g} ms" for row in self.rows)
        raise DataError(f"no {strategy} at {latency_ms:g} ms here; there is {known or 'nothing'}")


def gather(raw: Raw, cells: Sequence[RawCell] | None = None) -> Gathering:
    """Gather the comparison's cells, or others of the same opportunities, over clusters common to all of them."""
    cells = raw.cells if cells is None else cells
    met = [attempts(raw, cell) for cell in cells]
    found, rows = gathered(tabulate(raw, cells, met))
    ends = np.cumsum([len(each) for each in met])
    labels = np.split(found.labels, ends[:-1]) if met else []
    named = tuple(
        {attempt.result.trade.id: int(at) for attempt, at in zip(mine, where, strict=True) if attempt.result}
        for mine, where in zip(met, labels, strict=True)
    )
    return Gathering(rows, found, named)


def gathered(table: Columns) -> tuple[Clusters, tuple[Gathered, ...]]:
    """Return the clusters of a table of attempts, and its cells gathered over them: one of each strategy and latency."""
    took = table["took"]
    events = table.about["events"]
    named = [events[at] for at in table["event"].tolist()]
    found = clusters(named, table["detected_at"].tolist(), block_ns(took[took != NEVER].tolist()))
    groups: dict[tuple[str, float], list[int]] = {}
    for number, cell in enumerate(table.about["cells"]):
        groups.setdefault((cell["strategy"], cell["latency_ms"]), []).append(number)
    return found, tuple(_gathered(table, key, numbers, found) for key, numbers in groups.items())


_MONEY = ("pnl", "size", "unwind_cost", "fees", "intended", "filled", "priced_shares")


def _gathered(table: Columns, key: tuple[str, float], cells: Sequence[int], found: Clusters) -> Gathered:
    mine = np.isin(table["cell"], cells)
    where = found.labels[mine]
    ended, executable = table["outcome"][mine], table["executable"][mine]

    def summed(values: np.ndarray) -> Floats:
        """Sum whole numbers per cluster: exact up to 2**53, and a mean over the seeds at once."""
        return np.bincount(where, weights=values, minlength=found.n_clusters).astype(np.float64) / len(cells)

    sums = {name: summed(table[name][mine]) / MICRO for name in _MONEY}
    sums |= {name: summed(ended == place) for place, name in enumerate(ENDS)}
    sums["opportunities"] = summed(np.ones(len(where)))
    sums["shortfall"] = summed(table["edge"][mine] - table["pnl"][mine]) / MICRO
    sums["slippage"] = summed(table["slippage"][mine]) / MICRO**2
    sums["n_fills"] = summed(table["n_fills"][mine])
    sums["executable"], sums["counted"] = summed(executable == 1), summed(executable != UNCOUNTED)
    legs = np.isin(table["leg_cell"], cells)
    execution = table["execution"][mine]
    counted = Counter[str]()
    for cell in cells:
        counted.update(table.about["cells"][cell]["counted"])
    return Gathered(
        strategy=key[0],
        latency_ms=key[1],
        sums=sums,
        slippages=table["leg_slippage"][legs] / table["leg_filled"][legs] / MICRO,
        execution=execution[execution != NEVER] / NS_PER_MS,
        seeds=len(cells),
        n_clusters=int((sums["opportunities"] > 0).sum()),
        n_events=len(np.unique(table["event"][mine])),
        # The counters of a run are kept per strategy and latency: they are the same for each of its seeds.
        counted={name: value / len(cells) for name, value in counted.items()},
    )
