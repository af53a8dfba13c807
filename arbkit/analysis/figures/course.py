"""How a run went and what it leans on: execution time, the queue model's span, and equity over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis.figures.costs import boxes, draw_boxes
from arbkit.analysis.figures.style import (
    COLOURS,
    GREY,
    LATENCY,
    canvas,
    latencies,
    spread,
)
from arbkit.analysis.raw import MICRO, Raw
from arbkit.analysis.span import caution

SHADES = ("#08306b", "#2171b5", "#6baed6", "#c6b8a0", "#fdae6b", "#e6550d", "#8c2d04", "#4d0033")
MARKS = ("triangle-left", "circle", "square", "diamond", "cross", "star", "triangle-right", "triangle-up")
DASHED = ("solid", "dot", "dash", "dashdot", "longdash")
MARKED = 60  # trades up to which each one gets a mark
EQUITY = ["strategy", "latency_ms", "seed", "at", "cash", "locked", "equity"]


def execution_time_table(trades: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of decision-to-last-entry-leg-terminal in ms, over the trades that were sent."""
    return boxes(trades, "execution_ms")


def plot_execution_time(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `execution_time_table`; the axis is logarithmic, since resting lasts seconds."""
    note = f"{spread(table['n'], 'trades sent')} per box; box 25-75 %, whiskers 5-95 %, dashed line: mean"
    figure = canvas(
        "Execution time: decision to the last entry leg done", note, x=LATENCY, y="execution time (ms, logarithmic)"
    )
    ticks = [step * 10**power for power in range(-1, 7) for step in (1, 2, 5)]
    draw_boxes(figure, table)
    return figure.update_yaxes(
        type="log",
        tickmode="array",
        tickvals=ticks,
        ticktext=[f"{tick:,.4g}" if tick < 1_000 else f"{tick:,.0f}" for tick in ticks],
    )


def plot_queue(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `queue_table`: a bar per strategy, from its most cautious model to its most hopeful."""
    note = spread(table["n_opportunities"], "opportunities per mark") + "; a short bar: the answer does not lean on it"
    names = [f"{row.strategy}, {row.latency_ms:g} ms" for row in table.itertuples()]
    places = list(dict.fromkeys(names))
    models = sorted(dict.fromkeys(table["model"]), key=lambda model: caution(model.partition(", ")[::2]))
    figure = canvas("How far the answer leans on the queue model", note, x="", y="", height=270 + 84 * len(places))
    rows = np.array([places.index(name) for name in names])
    for column, axis in (("leg_fill_rate", "x"), ("pnl_per_opportunity", "x2")):
        for place in range(len(places)):
            span = table.loc[rows == place, column].dropna()
            ends = [span.min(), span.max()] if len(span) else []
            figure.add_scatter(
                x=ends, y=[place] * len(ends), xaxis=axis, mode="lines", line={"color": "#dfe3e8", "width": 22},
                showlegend=False, hoverinfo="skip",
            )  # fmt: skip
        for number, model in enumerate(models):
            mine = (table["model"] == model).to_numpy()
            look = number if len(models) > 2 else number * (len(SHADES) - 1)
            lift = (number - (len(models) - 1) / 2) * 0.09  # models that agree would hide each other
            figure.add_scatter(
                x=table.loc[mine, column], y=rows[mine] + lift, xaxis=axis, mode="markers", name=model,
                legendgroup=model, showlegend=axis == "x", customdata=np.array(names)[mine],
                marker={"size": 11, "color": SHADES[look % len(SHADES)], "symbol": MARKS[look % len(MARKS)]},
                hovertemplate=f"%{{customdata}}: {model}: %{{x:.3g}}<extra></extra>",
            )  # fmt: skip
    rates, money = (
        {"text": "size filled / size intended"},
        {"text": "pnl (dollars per opportunity)", "font": {"size": 14}},
    )
    second = figure.layout.template.layout.xaxis.to_plotly_json() | {"anchor": "y", "title": money}
    figure.update_layout(
        xaxis={"domain": [0, 0.47], "title": rates, "tickformat": ".0%", "rangemode": "tozero", "showgrid": True},
        xaxis2=second | {"domain": [0.53, 1], "showgrid": True, "zeroline": True},
        margin={"t": 84, "b": 152},  # the names of eight models take three lines: below, where there is room
        legend={"y": 0.01, "yref": "container", "yanchor": "bottom"},
    )
    return figure.update_yaxes(
        tickmode="array", tickvals=list(range(len(places))), ticktext=places, showgrid=False, zeroline=False,
        range=[len(places) - 0.5, -0.5],
    )  # fmt: skip


def equity_table(raw: Raw) -> pd.DataFrame:
    """Return the account of each continuous run after its opening, in dollars since then.

    `cash` sums what fills and payouts paid and received, gas included; `locked` is what is held: whole baskets at their
    payoff floor, and resolved shares that are not paid yet at what they pay; equity is their sum.
    """
    rows: list[tuple[object, ...]] = []
    for cell in raw.cells:
        opening = cell.balances[0].cash if cell.balances else 0
        for at, cash, locked in cell.balances[1:]:
            ends = ((cash - opening) / MICRO, locked / MICRO, (cash - opening + locked) / MICRO)
            rows.append((cell.strategy.value, cell.latency_ms, cell.seed, at, *ends))
    frame = pd.DataFrame(rows, columns=EQUITY)
    kinds = {"strategy": "str", "latency_ms": "float64", "seed": "int64", "at": "int64"}
    frame = frame.astype(kinds | dict.fromkeys(EQUITY[4:], "float64"))
    return frame.assign(at=frame["at"].astype("datetime64[ns]").dt.tz_localize("UTC"))


def plot_equity(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `equity_table`: steps as trades end and markets resolve, a colour per strategy, a dash per latency."""
    places = latencies(table)
    runs = table.groupby(["strategy", "latency_ms", "seed"], sort=False)
    note = spread(runs.size(), "steps per run") + "; cash and baskets held, at their payoff floor"
    figure = canvas("Equity since the start", note, x="time (UTC)", y="equity gained (dollars)")
    for (strategy, latency_ms, seed), rows in runs:
        name = f"{strategy}, {latency_ms:g} ms" + (f", run {seed}" if table["seed"].nunique() > 1 else "")
        figure.add_scatter(
            x=rows["at"], y=rows["equity"], mode="lines+markers" if len(rows) <= MARKED else "lines", name=name,
            marker={"size": 5},
            line={"shape": "hv", "width": 2, "color": COLOURS[str(strategy)],
                  "dash": DASHED[places.index(float(rows["latency_ms"].iloc[0])) % len(DASHED)]},
            hovertemplate="%{x|%H:%M:%S}: %{y:+.2f} dollars<extra>" + name + "</extra>",
        )  # fmt: skip
    return figure.add_hline(y=0, line={"color": GREY, "width": 1.5})
