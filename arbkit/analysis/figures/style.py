"""One look for all pictures: colours that colour-blind eyes tell apart, words and units on axes, room for titles.

The palette is Okabe and Ito's (jfly.uni-koeln.de/color). A strategy has the same colour, symbol and dash everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#222222", "#8A8F98"
INK, GRID = "#1f2328", "#e4e7eb"

COLOURS = {"MARKET": BLUE, "LIMIT": ORANGE, "HYBRID": GREEN}
SYMBOLS = {"MARKET": "circle", "LIMIT": "diamond", "HYBRID": "square"}
DASHES = {"MARKET": "solid", "LIMIT": "dash", "HYBRID": "dot"}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LATENCY = "latency, decision to match and back each (ms)"
_AXIS = {
    "gridcolor": GRID, "linecolor": GREY, "zerolinecolor": GREY, "zerolinewidth": 1.5, "ticks": "outside",
    "tickcolor": GREY, "automargin": True, "title": {"font": {"size": 14}, "standoff": 12},
}  # fmt: skip
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 14, "color": INK},
        "colorway": [BLUE, ORANGE, GREEN, RED, PURPLE, SKY],
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS | {"showgrid": False, "zeroline": False},
        "yaxis": _AXIS,
        "title": {"x": 0.0, "xref": "paper", "xanchor": "left", "y": 0.965, "yanchor": "top", "font": {"size": 18}},
        "margin": {"l": 70, "r": 24, "t": 112, "b": 64},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 13}},
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
        "bargap": 0.25,
        "bargroupgap": 0.06,
    }
)


def canvas(title: str, note: str, *, x: str, y: str, height: int = 430) -> go.Figure:
    """Return an empty figure; `note` is its second line and says what n is."""
    figure = go.Figure()
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        title={"text": title, "subtitle": {"text": note, "font": {"size": 13, "color": "#57606a"}}},
        xaxis_title_text=x,
        yaxis_title_text=y,
    )
    return figure


def whiskers(values: pd.Series, lo: pd.Series, hi: pd.Series, colour: str | None = None) -> dict[str, object]:
    """Return plotly's error bars from the ends of intervals; no bar where there is no interval."""
    up, down = (hi - values).to_numpy(float), (values - lo).to_numpy(float)
    look: dict[str, object] = {"type": "data", "symmetric": False, "thickness": 1.6, "width": 5}
    if colour is not None:
        look["color"] = colour
    return look | {"array": np.maximum(np.nan_to_num(up), 0.0), "arrayminus": np.maximum(np.nan_to_num(down), 0.0)}


def strategies(table: pd.DataFrame) -> list[str]:
    """Return the strategies of a table in order of first appearance."""
    return [str(name) for name in dict.fromkeys(table["strategy"])]


def latencies(table: pd.DataFrame) -> list[float]:
    """Return the latencies of a table, ascending."""
    return sorted({float(value) for value in table["latency_ms"]})


def dodged(table: pd.DataFrame, strategy: str) -> tuple[pd.DataFrame, list[float]]:
    """Return a strategy's rows by latency, and where to draw them so that neighbours do not cover each other."""
    places, names = latencies(table), strategies(table)
    rows = table[table["strategy"] == strategy].sort_values("latency_ms")
    shift = (names.index(strategy) - (len(names) - 1) / 2) * min(0.22, 0.6 / max(len(names), 1))
    return rows, [places.index(float(value)) + shift for value in rows["latency_ms"]]


def latency_slots(figure: go.Figure, table: pd.DataFrame) -> None:
    """Label the slots that `dodged` draws in: equal steps, whatever the distances between latencies."""
    places = latencies(table)
    figure.update_xaxes(
        tickmode="array", tickvals=list(range(len(places))), ticktext=[f"{value:g}" for value in places],
        range=[-0.5, len(places) - 0.5],
    )  # fmt: skip


def spread(counts: Sequence[float] | pd.Series, what: str) -> str:
    """Return "n = 40 legs" or "n = 40 to 80 legs": how much stands behind each mark."""
    found = [round(float(count)) for count in counts]
    if not found:
        return f"n = 0 {what}"
    low, high = min(found), max(found)
    return f"n = {low:,} {what}" if low == high else f"n = {low:,} to {high:,} {what}"


def sample(table: pd.DataFrame) -> str:
    """Return the sentence on n and on the intervals that stands under most titles."""
    many = spread(table["n_opportunities"], "opportunities")
    if not len(table) or int(table["n_clusters"].min()) < 10:
        return f"{many}; no intervals: too few independent clusters"
    return f"{many} in {spread(table['n_clusters'], 'clusters').removeprefix('n = ')}; bars: 95 % intervals"
