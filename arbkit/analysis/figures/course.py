"""How a run went and what it leans on: execution time, the queue model's span, and equity over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis.comparison import comparison_table
from arbkit.analysis.figures.costs import boxes, draw_boxes
from arbkit.analysis.figures.style import (
    COLOURS,
    GREY,
    LATENCY,
    canvas,
    latencies,
    spread,
)
from arbkit.analysis.raw import MICRO, Raw, RawCell, groups
from arbkit.core.model import floor_value

# From the most cautious to the most hopeful; what is not named here stands in between.
QUEUES = ("through", "trade-only", "risk-averse", "power", "pro-rata", "front")  # the most cautious first
CAUTION = {**{rule: place for place, rule in enumerate(QUEUES)}, "cautious": 0, "hopeful": 1}
SHADES = ("#08306b", "#2171b5", "#6baed6", "#fdae6b", "#e6550d", "#8c2d04")
MARKS = ("triangle-left", "circle", "square", "diamond", "cross", "triangle-right")
DASHED = ("solid", "dot", "dash", "dashdot", "longdash")
MARKED = 60  # trades up to which each one gets a mark
EQUITY = ["strategy", "latency_ms", "seed", "at", "cash", "locked", "equity"]


def execution_time_table(trades: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of decision-to-last-entry-leg-terminal in ms, over the trades that were sent."""
    return boxes(trades, "execution_ms")


def plot_execution_time(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `execution_time_table`; the axis is logarithmic, since resting lasts seconds."""
    note = f"{spread(table['n'], 'trades sent')} per box; box 25-75 %, whiskers 5-95 %, dashed line: mean"
    figure = canvas("Execution time: decision to the last entry leg done", note, x=LATENCY, y="ms (logarithmic)")
    ticks = [step * 10**power for power in range(-1, 7) for step in (1, 2, 5)]
    draw_boxes(figure, table)
    return figure.update_yaxes(
        type="log",
        tickmode="array",
        tickvals=ticks,
        ticktext=[f"{tick:,.4g}" if tick < 1_000 else f"{tick:,.0f}" for tick in ticks],
    )


def queue_table(raw: Raw) -> pd.DataFrame:
    """Return fill rate and pnl per opportunity under every queue and consumption model that was run.

    One row per strategy, latency and model ("queue, consumption"), the most cautious model first. Only strategies and
    latencies that were run under more than one model, with the seeds they have in common. Empty when there are none.
    """
    every = [*raw.cells, *raw.sensitivity]
    tables = []
    for (strategy, latency_ms), mine in groups(every).items():
        models = sorted({(cell.queue, cell.consumption) for cell in mine}, key=_caution)
        seeds = [{c.seed for c in mine if (c.queue, c.consumption) == model} for model in models]
        common = set.intersection(*seeds)
        if len(models) < 2 or not common:
            continue
        for model in models:
            cells: Sequence[RawCell] = [c for c in mine if (c.queue, c.consumption) == model and c.seed in common]
            row = comparison_table(raw, cells).iloc[0]
            tables.append((strategy, latency_ms, ", ".join(model), row["leg_fill_rate"], row["pnl_per_opportunity"],
                           int(row["n_opportunities"])))  # fmt: skip
    names = ["strategy", "latency_ms", "model", "leg_fill_rate", "pnl_per_opportunity", "n_opportunities"]
    kinds = dict.fromkeys(names, "float64") | {"strategy": "str", "model": "str", "n_opportunities": "int64"}
    return pd.DataFrame(tables, columns=names).astype(kinds)


def _caution(model: tuple[str, str]) -> tuple[int, int, str]:
    queue, consumption = model
    return CAUTION.get(queue, 5), CAUTION.get(consumption, 0), queue


def plot_queue(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `queue_table`: a bar per strategy, from its most cautious model to its most hopeful."""
    note = spread(table["n_opportunities"], "opportunities per mark") + "; a short bar: the answer does not lean on it"
    names = [f"{row.strategy}, {row.latency_ms:g} ms" for row in table.itertuples()]
    places = list(dict.fromkeys(names))
    models = sorted(dict.fromkeys(table["model"]), key=lambda model: _caution(model.partition(", ")[::2]))
    figure = canvas("How far the answer leans on the queue model", note, x="", y="", height=230 + 84 * len(places))
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
    rates, money = {"text": "size filled / size intended"}, {"text": "dollars per opportunity", "font": {"size": 14}}
    second = figure.layout.template.layout.xaxis.to_plotly_json() | {"anchor": "y", "title": money}
    figure.update_layout(
        xaxis={"domain": [0, 0.47], "title": rates, "tickformat": ".0%", "rangemode": "tozero", "showgrid": True},
        xaxis2=second | {"domain": [0.53, 1], "showgrid": True, "zeroline": True},
        margin={"t": 112 if len(models) < 5 else 136},
    )
    return figure.update_yaxes(
        tickmode="array", tickvals=list(range(len(places))), ticktext=places, showgrid=False, zeroline=False,
        range=[len(places) - 0.5, -0.5],
    )  # fmt: skip


def equity_table(raw: Raw) -> pd.DataFrame:
    """Return the account after each trade of a continuous run, in dollars since its start.

    `cash` sums what fills paid and received, gas included; `locked` holds the payoff floor of whole baskets held;
    equity is their sum.
    """
    rows: list[tuple[object, ...]] = []
    for cell in raw.cells:
        cash = locked = 0
        for result in sorted(cell.results, key=lambda result: result.finished_at):
            if not result.trade.legs:
                continue
            cash += result.cash - result.gas
            locked += floor_value(result.trade.opportunity.basket, min(leg.held for leg in result.trade.legs))
            ends = (cash / MICRO, locked / MICRO, (cash + locked) / MICRO)
            rows.append((cell.strategy.value, cell.latency_ms, cell.seed, result.finished_at, *ends))
    frame = pd.DataFrame(rows, columns=EQUITY)
    kinds = {"strategy": "str", "latency_ms": "float64", "seed": "int64", "at": "int64"}
    frame = frame.astype(kinds | dict.fromkeys(EQUITY[4:], "float64"))
    return frame.assign(at=frame["at"].astype("datetime64[ns]").dt.tz_localize("UTC"))


def plot_equity(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `equity_table`: steps at the end of each trade, a colour per strategy, a dash per latency."""
    places = latencies(table)
    runs = table.groupby(["strategy", "latency_ms", "seed"], sort=False)
    note = spread(runs.size(), "trades per run") + "; cash and baskets held, at their payoff floor"
    figure = canvas("Equity since the start", note, x="time (UTC)", y="dollars")
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
