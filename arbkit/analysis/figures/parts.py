"""Shortfall by cause, and the share of opportunities that orders could still catch: the tables are in `measures`."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    canvas,
    sample,
    spread,
    whiskers,
)
from arbkit.analysis.measures import PARTS

CENTS = 100.0
PART_COLOURS = dict(zip(PARTS, (GREY, ORANGE, SKY, PURPLE, GREEN, RED), strict=True))
SHORTEST_MS = 1.0  # where "at once" is drawn on a logarithmic axis


def plot_parts(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `parts_table`: losses stacked upwards, gains downwards, a mark at their sum."""
    note = spread(table["n_opportunities"], "opportunities per bar") + "; below 0: gained; the mark is the sum"
    figure = canvas(
        "Shortfall by cause", note, x="strategy, at latency (ms)", y="cents per intended share, above 0 = lost"
    )
    rows = table.sort_values("latency_ms", kind="stable")
    places = [rows["strategy"].tolist(), [f"{value:g}" for value in rows["latency_ms"]]]
    for part in PARTS:
        figure.add_bar(
            x=places, y=rows[part] * CENTS, name=part, marker_color=PART_COLOURS[part],
            hovertemplate=f"{part}: %{{y:.3f}} cents<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=places, y=rows["shortfall_mean"] * CENTS, name="shortfall", mode="markers",
        marker={"symbol": "line-ew-open", "size": 26, "color": BLACK, "line": {"width": 3}},
        hovertemplate="shortfall: %{y:.3f} cents<extra></extra>",
    )  # fmt: skip
    return figure.update_layout(barmode="relative", bargap=0.3, legend_traceorder="normal")


def plot_catchable(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `catchable_table`; the axis is logarithmic, and "at once" stands at its left end."""
    figure = canvas(
        "What is left when the orders arrive", sample(table),
        x="decision to the venue's match (ms, logarithmic)", y="share of opportunities",
    )  # fmt: skip
    at = table["latency_ms"].clip(lower=SHORTEST_MS)
    ends = (table["executable_share_lo"], table["executable_share_hi"])
    figure.add_scatter(
        x=at, y=table["executable_share"], name="all legs executable, full size", mode="lines+markers",
        line={"color": BLUE, "width": 2}, error_y=whiskers(table["executable_share"], *ends, BLUE),
        customdata=table["latency_ms"], hovertemplate="%{customdata:g} ms: %{y:.1%} executable<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=at, y=table["open_share"], name="episode lasted longer, smallest size", mode="lines",
        line={"color": BLACK, "dash": "dash", "width": 2}, customdata=table["latency_ms"],
        hovertemplate="%{customdata:g} ms: %{y:.1%} lasted longer<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(
        type="log",
        tickmode="array",
        tickvals=[1, 10, 100, 1_000, 10_000],
        ticktext=["at once", "10", "100", "1 s", "10 s"],
    )
    return figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
