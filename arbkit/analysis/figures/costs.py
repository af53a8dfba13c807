"""What the fills cost: slippage, shortfall, and where the price went after resting orders were filled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis.figures.style import (
    COLOURS,
    DASHES,
    LATENCY,
    SYMBOLS,
    canvas,
    dodged,
    latencies,
    latency_slots,
    sample,
    spread,
    strategies,
    whiskers,
)
from arbkit.analysis.gathering import gather
from arbkit.analysis.intervals import MIN_CLUSTERS, ratio_intervals
from arbkit.analysis.raw import MICRO, Raw
from arbkit.core.model import Purpose

CENTS = 100.0
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def boxes(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return strategy, latency_ms, n, mean and the 5, 25, 50, 75 and 95 % quantiles of a column, NaN left out."""
    known = frame.dropna(subset=column)
    rows = [
        (*key, len(values), float(values.mean()), *values.quantile(list(QUANTILES.values())))
        for key, values in known.groupby(["strategy", "latency_ms"], sort=False)[column]
    ]
    names = ["strategy", "latency_ms", "n", "mean", *QUANTILES]
    kinds = dict.fromkeys(names, "float64") | {"strategy": "str", "n": "int64"}
    return pd.DataFrame(rows, columns=names).astype(kinds)


def draw_boxes(figure: go.Figure, table: pd.DataFrame) -> go.Figure:
    """Draw the result of `boxes`: box 25 to 75 %, whiskers 5 to 95 %, a line at the median, a mark at the mean."""
    for strategy in strategies(table):
        rows = table[table["strategy"] == strategy].sort_values("latency_ms")
        slots = [f"{value:g}" for value in rows["latency_ms"]]
        figure.add_box(
            x=slots, q1=rows["p25"], median=rows["p50"], q3=rows["p75"], lowerfence=rows["p05"],
            upperfence=rows["p95"], mean=rows["mean"], boxmean=True, name=strategy, line={"width": 2},
            marker_color=COLOURS[strategy], offsetgroup=strategy, hoverinfo="y+name",
        )  # fmt: skip
    figure.update_layout(boxmode="group", boxgap=0.25, boxgroupgap=0.25)
    return figure.update_xaxes(type="category", categoryarray=[f"{value:g}" for value in latencies(table)])


def slippage_table(legs: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of slippage over the legs with a fill, in cents per share, from the frame of legs."""
    return boxes(legs.assign(slippage=legs["slippage"] * CENTS), "slippage")


def plot_slippage(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `slippage_table`."""
    note = f"{spread(table['n'], 'legs with a fill')} per box; box 25-75 %, whiskers 5-95 %, dashed line: mean"
    figure = canvas("Slippage per leg", note, x=LATENCY, y="cents per share, above 0 = worse")
    return draw_boxes(figure, table)


def shortfall_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return shortfall and its interval in cents per intended basket share, from a comparison table."""
    found = table[["strategy", "latency_ms", "n_opportunities", "n_clusters"]].copy()
    for end in ("", "_lo", "_hi"):
        found[f"shortfall{end}"] = table[f"shortfall_mean{end}"] * CENTS
    return found.reset_index(drop=True)


def plot_shortfall(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `shortfall_table`."""
    axis = "cents lost per intended share"
    figure = canvas("Shortfall: expected edge that was not earned", sample(table), x=LATENCY, y=axis)
    for strategy in strategies(table):
        rows, places = dodged(table, strategy)
        figure.add_scatter(
            x=places, y=rows["shortfall"], name=strategy, mode="markers",
            marker={"size": 11, "symbol": SYMBOLS[strategy], "color": COLOURS[strategy]}, customdata=rows["latency_ms"],
            error_y=whiskers(rows["shortfall"], rows["shortfall_lo"], rows["shortfall_hi"], COLOURS[strategy]),
            hovertemplate=f"{strategy}, %{{customdata:g}} ms: %{{y:.3f}} cents<extra></extra>",
        )  # fmt: skip
    latency_slots(figure, table)
    return figure.update_yaxes(rangemode="tozero")


def markout_table(raw: Raw, latency_ms: float | None = None, against: str = "mid") -> pd.DataFrame:
    """Return where the market went after entry fills at one latency (default: the lowest), resting and taking apart.

    One row per strategy, `fills` ("maker" or "taker") and horizon. `markout` = s·(mid at the horizon − fill price),
    cents per share, share-weighted, s = +1 buy, −1 sell: below zero the market moved against the fill. What makers
    have below takers, beyond the spread that a taker pays, is adverse selection. `against="best"` takes the best of
    the side that would take the shares back instead of the mid. `lo`, `hi`: 95 % over clusters. Fills of which
    nothing is known then are counted in `n_unknown` and in nothing else.
    """
    gathering = gather(raw)
    lowest = min((cell.latency_ms for cell in raw.cells), default=0.0) if latency_ms is None else latency_ms
    sums: dict[tuple[str, str, int], np.ndarray] = {}
    counts: dict[tuple[str, str, int], list[int]] = {}
    for cell, cluster in zip(raw.cells, gathering.labels, strict=True):
        if cell.latency_ms != lowest:
            continue
        for m in cell.markouts:
            if m.purpose is not Purpose.ENTRY:
                continue
            key = (cell.strategy.value, "maker" if m.maker else "taker", m.horizon_ms)
            there = m.best if against == "best" else m.mid
            n = counts.setdefault(key, [0, 0])
            n[there < 0] += 1
            if there >= 0:
                at = sums.setdefault(key, np.zeros((2, gathering.clusters.n_clusters)))
                at[:, cluster[m.trade_id]] += (m.side * (there - m.price) * m.size / MICRO**2, m.size / MICRO)
    rows = []
    for (strategy, fills, horizon), (above, below) in sums.items():
        lo, hi = ratio_intervals(above, below, "markout")
        value = above.sum() / below.sum()
        known, unknown = counts[strategy, fills, horizon]
        ends = (value * CENTS, float(lo[0]) * CENTS, float(hi[0]) * CENTS)
        rows.append((strategy, fills, lowest, horizon, *ends, known, unknown, int((below > 0).sum())))
    names = [
        "strategy",
        "fills",
        "latency_ms",
        "horizon_ms",
        "markout",
        "lo",
        "hi",
        "n_fills",
        "n_unknown",
        "n_clusters",
    ]
    kinds = dict.fromkeys(names, "int64") | dict.fromkeys(names[4:7], "float64")
    return pd.DataFrame(rows, columns=names).astype(
        kinds | {"strategy": "str", "fills": "str", "latency_ms": "float64"}
    )


def plot_markout(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `markout_table`: full marks for resting fills, hollow ones for those that took."""
    few = len(table) == 0 or int(table["n_clusters"].max()) < MIN_CLUSTERS
    note = spread(table["n_fills"], "fills per mark") + f", at {table['latency_ms'].max():g} ms latency"
    note += "; no intervals: too few independent clusters" if few else "; bars: 95 % intervals, from ten clusters on"
    figure = canvas("Mark-out after fills", note, x="time after the fill", y="cents per share, below 0 = against us")
    places = sorted({int(value) for value in table["horizon_ms"]})
    kinds = list(dict.fromkeys(zip(table["strategy"], table["fills"], strict=True)))
    for number, (strategy, fills) in enumerate(kinds):
        rows = table[(table["strategy"] == strategy) & (table["fills"] == fills)].sort_values("horizon_ms")
        shift = (number - (len(kinds) - 1) / 2) * min(0.12, 0.6 / len(kinds))
        symbol = SYMBOLS[strategy] + ("" if fills == "maker" else "-open")
        figure.add_scatter(
            x=[places.index(int(value)) + shift for value in rows["horizon_ms"]], y=rows["markout"],
            name=f"{strategy}, {fills}", mode="lines+markers",
            line={"color": COLOURS[strategy], "dash": DASHES[strategy], "width": 2 if fills == "maker" else 1},
            marker={"size": 9, "symbol": symbol}, customdata=rows["n_fills"],
            error_y=whiskers(rows["markout"], rows["lo"], rows["hi"], COLOURS[strategy]),
            hovertemplate=f"{strategy}, {fills}: %{{y:.3f}} cents (%{{customdata}} fills)<extra></extra>",
        )  # fmt: skip
    labels = [f"{value} ms" if value < 1_000 else f"{value / 1_000:g} s" for value in places]
    figure.update_xaxes(tickmode="array", tickvals=list(range(len(places))), ticktext=labels)
    return figure.add_hline(y=0, line={"color": "#8A8F98", "width": 1.5})
