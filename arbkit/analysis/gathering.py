"""Sums per cluster: what every figure of the comparison and every interval is made of.

Each strategy at each latency is gathered over the same clusters and averaged over its seeds, refused and passed over
opportunities included, so that every figure is a ratio of sums and nothing drops out of a denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arbkit.analysis.intervals import Clusters, Floats, block_ns, clusters
from arbkit.analysis.raw import (
    MICRO,
    Attempt,
    Raw,
    RawCell,
    attempts,
    counters,
    execution_ms,
    groups,
    intended_legs,
    leg_numbers,
)
from arbkit.core.errors import DataError
from arbkit.core.model import Outcome

OUTCOMES = tuple(outcome.value for outcome in Outcome)
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
    everything = [attempt.opportunity for each in met for attempt in each]
    durations = [_duration(attempt) for each in met for attempt in each if _was_sent(attempt)]
    block = block_ns(durations)
    found = clusters([o.basket.event for o in everything], [o.detected_at for o in everything], block)
    ends = np.cumsum([len(each) for each in met])
    labels = dict(zip(map(id, cells), np.split(found.labels, ends[:-1]) if met else [], strict=True))
    attempted = dict(zip(map(id, cells), met, strict=True))
    rows = tuple(
        _gathered(raw, key, mine, [attempted[id(cell)] for cell in mine], [labels[id(cell)] for cell in mine], found)
        for key, mine in groups(cells).items()
    )
    named = tuple(
        {a.result.trade.id: int(at) for a, at in zip(attempted[id(cell)], labels[id(cell)], strict=True) if a.result}
        for cell in cells
    )
    return Gathering(rows, found, named)


def _was_sent(attempt: Attempt) -> bool:
    return attempt.result is not None and attempt.result.outcome is not Outcome.REFUSED


def _duration(attempt: Attempt) -> int:
    result = attempt.result
    assert result is not None
    return max(0, max(result.finished_at, result.entries_done_at) - attempt.opportunity.detected_at)


def _numbers(attempt: Attempt) -> tuple[dict[str, float], list[float]]:
    """Return what one attempt adds to each sum, in dollars and shares, and the slippage of each leg with a fill."""
    opportunity, result = attempt
    pnl = int(result.pnl) if result is not None else 0
    found = Counter[str]({"opportunities": 1, attempt.outcome: 1})
    slippages: list[float] = []
    for leg in intended_legs(attempt):
        n = leg_numbers(leg)
        found["intended"] += n.size
        found["filled"] += n.filled
        if n.filled:
            found["n_fills"] += 1
        if n.filled and n.priced:
            found["priced_shares"] += n.filled
            found["slippage"] += leg.side * n.slippage
            slippages.append(leg.side * n.slippage / n.filled / MICRO)
    money = {
        "pnl": pnl / MICRO,
        "shortfall": (int(opportunity.edge) - pnl) / MICRO,
        "size": int(opportunity.size) / MICRO,
        "unwind_cost": int(result.unwind_cost) / MICRO if result is not None else 0.0,
        "fees": int(result.fees) / MICRO if result is not None else 0.0,
        "slippage": found["slippage"] / MICRO**2,
    }
    shares = {name: found[name] / MICRO for name in ("intended", "filled", "priced_shares")}
    return {**found, **money, **shares}, slippages


_SUMS = ("opportunities", *OUTCOMES, "intended", "filled", "priced_shares", "slippage", "n_fills", "pnl", "shortfall",
         "size", "unwind_cost", "fees")  # fmt: skip


def _gathered(
    raw: Raw,
    key: tuple[str, float],
    cells: Sequence[RawCell],
    met: Sequence[Sequence[Attempt]],
    labels: Sequence[np.ndarray],
    found: Clusters,
) -> Gathered:
    sums = {name: np.zeros(found.n_clusters) for name in (*_SUMS, "executable", "counted")}
    slippages: list[float] = []
    execution: list[float] = []
    for cell, mine, where in zip(cells, met, labels, strict=True):
        for place, attempt in zip(where.tolist(), mine, strict=True):
            numbers, its_slippages = _numbers(attempt)
            for name in _SUMS:
                sums[name][place] += numbers.get(name, 0.0)
            slippages += its_slippages
            execution.append(execution_ms(attempt))
        if len(cell.executable) == len(mine):
            np.add.at(sums["executable"], where, np.asarray(cell.executable, dtype=np.float64))
            np.add.at(sums["counted"], where, 1.0)
    touched = sums["opportunities"] > 0
    events = {attempt.opportunity.basket.event for mine in met for attempt in mine}
    counted = Counter[str]()
    for cell in cells:
        counted.update(counters(raw, cell))
    took = np.array(execution, dtype=np.float64)
    return Gathered(
        strategy=key[0],
        latency_ms=key[1],
        sums={name: values / len(cells) for name, values in sums.items()},
        slippages=np.array(slippages, dtype=np.float64),
        execution=took[~np.isnan(took)],
        seeds=len(cells),
        n_clusters=int(touched.sum()),
        n_events=len(events),
        # The counters of a run are kept per strategy and latency: they are the same for each of its seeds.
        counted={name: value / len(cells) for name, value in counted.items()},
    )
