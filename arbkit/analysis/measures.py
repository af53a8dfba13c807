"""Where the market went after each fill, why each trade earned less than promised, and what could be had at all.

Frames in float dollars, shares and milliseconds, one row per fill and horizon, per trade, per latency; undefined is
NaN. The integers they are made of come with the comparison (`backtest.markouts`, `backtest.shortfall`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from arbkit.analysis.frames import KEYS, NAN, framed
from arbkit.analysis.gathering import gather
from arbkit.analysis.intervals import Floats, rate_intervals
from arbkit.analysis.raw import MICRO, Attempt, Raw, RawCell, attempts, groups
from arbkit.backtest.shortfall import Split
from arbkit.core.units import NS_PER_MS

PARTS = ("unfilled", "delay", "spread", "impact", "fees", "undoing")

MARKOUTS = {
    "fill_id": "str", "trade_id": "str", "leg": "int64", "purpose": "str", "side": "str", "maker": "bool",
    "horizon_ms": "int64", "price": "float64", "size": "float64", "mid": "float64", "best": "float64",
    "markout": "float64", "markout_best": "float64", **KEYS,
}  # fmt: skip
SHORTFALL = {
    "trade_id": "str", "strategy": "str", "opportunity_id": "str", "outcome": "str", "size": "float64",
    "shortfall": "float64", **dict.fromkeys(PARTS, "float64"), "latency_ms": "float64", "seed": "int64",
}  # fmt: skip
CATCHABLE = {
    "latency_ms": "float64", "executable_share": "float64", "executable_share_lo": "float64",
    "executable_share_hi": "float64", "open_share": "float64", "n_open": "int64", "n_opportunities": "int64",
    "n_clusters": "int64",
}  # fmt: skip


def markouts_frame(raw: Raw) -> pd.DataFrame:
    """One row per entry fill and horizon; prices in dollars on the leg's own outcome, counted from the venue's match.

    `markout` = s·(mid − price) and `markout_best` = s·(best − price) per share, s = +1 buy, −1 sell, positive = the
    market went our way; `best` is that of the side which would take the shares back. NaN in gaps, of closed markets
    and after the end of the tape.
    """
    rows = []
    for cell in raw.cells:
        for m in cell.markouts:
            mid, best = (value / MICRO if value >= 0 else NAN for value in (m.mid, m.best))
            price = m.price / MICRO
            rows.append(
                (
                    m.fill_id, m.trade_id, m.leg, m.purpose.value, "buy" if m.side > 0 else "sell", m.maker,
                    m.horizon_ms, price, m.size / MICRO, mid, best, m.side * (mid - price), m.side * (best - price),
                    cell.strategy.value, cell.latency_ms, cell.seed,
                )
            )  # fmt: skip
    return framed(MARKOUTS, rows)


def shortfall_frame(raw: Raw) -> pd.DataFrame:
    """One row per trade: the expected edge that was not earned and its parts, in dollars, positive = lost.

    The parts add up to `shortfall`, which is edge_expected·size − pnl, to the millionth; what each means stands in
    `backtest.shortfall`. `fees` are those beyond what the decision reckoned with. Without known fees all are NaN.
    """
    rows = []
    for cell in raw.cells:
        for attempt, split in _split(raw, cell):
            result = attempt.result
            if result is None:
                continue
            money = [value / MICRO if raw.fees_known else NAN for value in (split.total, *_parts(split))]
            rows.append(
                (
                    result.trade.id, cell.strategy.value, attempt.opportunity.id, result.outcome.value,
                    attempt.opportunity.size / MICRO, *money, cell.latency_ms, cell.seed,
                )
            )  # fmt: skip
    return framed(SHORTFALL, rows)


def parts_table(raw: Raw) -> pd.DataFrame:
    """Return the mean shortfall in parts per strategy and latency, dollars per intended basket share.

    Ratios of sums over all opportunities, those that a continuous run passed over included as `unfilled`: the parts
    add up to `shortfall_mean` of the comparison table. Empty without known fees.
    """
    rows = []
    for (strategy, latency_ms), cells in groups(raw.cells).items() if raw.fees_known else ():
        sums, size, n = np.zeros(len(PARTS)), 0, 0
        for cell in cells:
            for attempt, split in _split(raw, cell):
                sums += _parts(split)
                size += attempt.opportunity.size
                n += 1
        if size:
            rows.append((strategy, latency_ms, float(sums.sum()) / size, *(sums / size).tolist(), n // len(cells)))
    names = ["strategy", "latency_ms", "shortfall_mean", *PARTS, "n_opportunities"]
    kinds = dict.fromkeys(names, "float64") | {"strategy": "str", "n_opportunities": "int64"}
    return pd.DataFrame(rows, columns=names).astype(kinds)


def catchable_table(raw: Raw) -> pd.DataFrame:
    """Return the share of episodes that an order could still catch, by the time it takes to reach the venue.

    `executable_share`: every leg at its worst price and to full size, counted by brute force on the venue's books,
    the very decisions and count of `executable_table`. `open_share`: the episode, at the smallest size and as
    received, lasted longer than that, by the scan's lives; of `n_open` that were not lost sight of before. NaN in
    a study, whose decisions have no lives. Empty for continuous runs.
    """
    found = [(cell, mine) for cell, mine in zip(raw.cells, gather(raw).labels, strict=True) if cell.catches]
    if raw.mode != "each" or not found or not raw.opportunities:
        return framed(CATCHABLE, [])
    cell, labels = found[0]
    where = np.array([labels[result.trade.id] for result in cell.results])
    total: Floats = np.bincount(where).astype(np.float64)
    rows = []
    for catch in cell.catches:
        stood: Floats = np.bincount(where, np.array(catch.stood, float), len(total)).astype(np.float64)
        lo, hi = rate_intervals(stood, total)
        delay = catch.latency_ms * NS_PER_MS
        seen = [life for life in raw.lives if life.ns > delay or not life.censored]
        lasted = sum(life.ns > delay for life in seen)
        rows.append(
            (
                catch.latency_ms, float(stood.sum() / total.sum()), float(lo[0]), float(hi[0]),
                lasted / len(seen) if seen else NAN, len(seen), len(cell.results), int((total > 0).sum()),
            )
        )  # fmt: skip
    return framed(CATCHABLE, rows)


def _split(raw: Raw, cell: RawCell) -> Iterator[tuple[Attempt, Split]]:
    """Yield every attempt with its shortfall in parts; of one that was passed over the whole edge is unfilled."""
    if len(cell.splits) != len(cell.results):
        return
    splits = iter(cell.splits)
    for attempt in attempts(raw, cell):
        yield attempt, next(splits) if attempt.result is not None else Split(int(attempt.opportunity.edge))


def _parts(split: Split) -> list[int]:
    return [getattr(split, name) for name in PARTS]
