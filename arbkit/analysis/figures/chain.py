"""What Polygon costs: the edge that gas asks for, what batches save, and a failover as it was seen.

Money is in cents here: what one transaction costs is seldom a dollar.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis.figures.style import BLACK, BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, canvas
from arbkit.chain.failover import NAMES, Rehearsal
from arbkit.chain.gas import GWEI, WEI_PER_POL
from arbkit.chain.gas_terms import GasTerms, smallest_merge, smallest_size
from arbkit.chain.merge_costs import Made, MergeCost
from arbkit.core.transaction import Work
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price

CENTS = 100 / MICRO  # of millionths of a dollar
SHADES = (SKY, BLUE, PURPLE, RED, BLACK)  # base fees, the lowest first
MADE_COLOURS = {Made.ACCOUNT.value: BLUE, Made.SAFE.value: ORANGE, Made.MULTISEND.value: GREEN}
MADE_SYMBOLS = {Made.ACCOUNT.value: "circle", Made.SAFE.value: "diamond", Made.MULTISEND.value: "square"}
ENDPOINT_COLOURS = dict(zip(NAMES, (BLUE, ORANGE, GREEN), strict=True))
FINEST_STEP_CENTS = 0.01  # of a quoted price: no edge between quotes is smaller
ILL = "rgba(213, 94, 0, 0.10)"
DAY_NS = 24 * 3600 * NS_PER_S
GAS_COLUMNS = {
    "work": "str", "gas": "int64", "base_fee_gwei": "float64", "pol_price": "float64", "pol": "float64",
    "cents": "float64", "worst_cents": "float64", "smallest_size": "float64", "refused": "str",
}  # fmt: skip
EDGE_COLUMNS = {
    "work": "str", "base_fee_gwei": "float64", "pol_price": "float64", "shares": "float64", "edge_cents": "float64",
}  # fmt: skip
MERGE_COLUMNS = {"base_fee_gwei": "float64", "pol_price": "float64", "days": "float64", "pairs": "float64"}
BATCH_COLUMNS = {
    "made": "str", "merges": "int64", "gas": "int64", "gas_per_merge": "float64", "transactions": "int64",
    "share_of_account": "float64", "share_of_safe": "float64", "chosen": "str",
}  # fmt: skip
CALL_COLUMNS = "at_s phase asked in_vain answered latency_ms block behind stale error".split()
PHASE_COLUMNS = {
    "phase": "str", "calls": "int64", "failed": "int64", "stale": "int64", "most_behind": "int64",
    **{f"by_{name}": "int64" for name in NAMES},
    "latency_ms_p50": "float64", "latency_ms_max": "float64", "hedged": "int64",
}  # fmt: skip


def frame(rows: Sequence[tuple[object, ...]], columns: dict[str, str]) -> pd.DataFrame:
    """Return rows as a frame with stated types, also when there are none."""
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


# -- gas against edges ---------------------------------------------------------------------------------------


def gas_frame(terms: Iterable[GasTerms], edge: Price) -> pd.DataFrame:
    """Return what each call costs, and the fewest shares that pay it at an edge; NaN, with the reason, above a cap."""
    rows = []
    for one in terms:
        known = (one.work.value, one.gas, one.base_fee / GWEI, one.pol / MICRO)
        if one.cost is None:
            rows.append((*known, *(float("nan"),) * 4, one.refused))
        else:
            cost = one.cost
            size = smallest_size(cost.dollars, edge) / MICRO
            money = (cost.wei / WEI_PER_POL, cost.dollars * CENTS, cost.worst_dollars * CENTS)
            rows.append((*known, *money, size, ""))
    return frame(rows, GAS_COLUMNS)


def edge_table(terms: Iterable[GasTerms], most_shares: int = 1_000) -> pd.DataFrame:
    """Return the edge at which one call is just paid, in cents per share, by trade size; nothing where a cap forbids it."""
    sizes = np.geomspace(0.1, most_shares, 41)
    rows = [
        (one.work.value, one.base_fee / GWEI, one.pol / MICRO, size, one.cost.dollars * CENTS / size)
        for one in terms
        if one.cost is not None
        for size in sizes
    ]
    return frame(rows, EDGE_COLUMNS)


def plot_edge(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `edge_table`: a panel per call, a line per base fee, a band over the POL prices."""
    works = list(dict.fromkeys(table["work"]))
    note = f"line: one POL at {_middle(table):g} dollars; band: {_span(table)}; dotted: Polymarket's finest price step"
    figure = canvas("The smallest edge that pays its gas", note, x="", y="", height=480)
    figure.set_subplots(1, max(1, len(works)), shared_yaxes=True, horizontal_spacing=0.06, subplot_titles=works)
    for place, work in enumerate(works, start=1):
        _bands(figure, table[table["work"] == work], "shares", "edge_cents", place, "shares: %{x:.3g}, %{y:.3f} cents")
    figure.add_hline(y=FINEST_STEP_CENTS, line={"color": GREY, "dash": "dot", "width": 1.6})
    figure.update_layout(margin={"t": 140}, legend={"y": 1.09})
    figure.update_xaxes(type="log", tickvals=[0.1, 1, 10, 100, 1_000], title_text="shares traded")
    ticks = [10.0**power for power in range(-4, 3)]
    figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure.update_yaxes(title_text="edge (cents per share)", col=1)


def merge_table(terms: Iterable[GasTerms], yearly: int, merge_s: float = 10.0) -> pd.DataFrame:
    """Return the fewest pairs for which `weigh_merge` merges now, by the days until the money would come by itself.

    Others redeem for us, so a merge spares no gas later. `yearly`: what a dollar earns in a year elsewhere, millionths.
    """
    rows = []
    for one in terms:
        if one.work is not Work.MERGE or one.cost is None:
            continue
        for days in np.geomspace(1 / 24, 180, 31):
            pairs = smallest_merge(
                gas=one.cost.dollars,
                redeem_gas=Cash(0),
                lock_ns=round(days * DAY_NS),
                merge_ns=round(merge_s * NS_PER_S),
                yearly=yearly,
            )
            if pairs is not None:
                rows.append((one.base_fee / GWEI, one.pol / MICRO, days, pairs / MICRO))
    return frame(rows, MERGE_COLUMNS)


def plot_merge(table: pd.DataFrame, yearly: float) -> go.Figure:
    """Draw the result of `merge_table`; `yearly` as a fraction, for the note."""
    note = (
        f"money earns {yearly:.0%} a year elsewhere, others redeem for us; line: one POL at {_middle(table):g} dollars; "
        f"band: {_span(table)}"
    )
    figure = canvas("The smallest merge that pays", note, x="time until redemption", y="complete pairs (shares)")
    _bands(figure, table, "days", "pairs", None, "%{x:.2g} days: %{y:,.1f} pairs")
    ticks = {1 / 24: "1 hour", 0.25: "6 hours", 1: "1 day", 7: "1 week", 30: "30 days", 180: "180 days"}
    span = [math.log10(1 / 26), math.log10(200)]
    figure.update_xaxes(type="log", tickvals=list(ticks), ticktext=list(ticks.values()), range=span)
    powers = [10.0**power for power in range(-3, 7)]
    return figure.update_yaxes(type="log", tickvals=powers, ticktext=[f"{value:,g}" for value in powers])


def _bands(figure: go.Figure, table: pd.DataFrame, x: str, y: str, column: int | None, hover: str) -> None:
    """Draw y over x for each base fee: a line at the middle POL price, and a band from the lowest to the highest."""
    middle = _middle(table)
    where = {} if column is None else {"row": 1, "col": column}
    for base, colour in zip(sorted(set(table["base_fee_gwei"])), SHADES * 9, strict=False):
        rows, name = table[table["base_fee_gwei"] == base], f"base fee {base:g} gwei"
        ends = rows.groupby(x)[y].agg(["min", "max"])
        places = [*ends.index, *reversed(ends.index)]
        figure.add_scatter(
            x=places, y=[*ends["max"], *reversed(list(ends["min"]))], fill="toself", fillcolor=colour, opacity=0.18,
            line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name, name=name, **where,
        )  # fmt: skip
        line = rows[rows["pol_price"] == middle]
        figure.add_scatter(
            x=line[x], y=line[y], name=name, legendgroup=name, showlegend=column in (None, 1), mode="lines",
            line={"color": colour, "width": 2.2}, hovertemplate=f"{name}, {hover}<extra></extra>", **where,
        )  # fmt: skip


def _middle(table: pd.DataFrame) -> float:
    """Return the middle one of the POL prices, the higher of two."""
    prices = sorted(set(table["pol_price"]))
    return float(prices[len(prices) // 2]) if prices else float("nan")


def _span(table: pd.DataFrame) -> str:
    return f"{table['pol_price'].min():g} to {table['pol_price'].max():g} dollars"


# -- batches -------------------------------------------------------------------------------------------------


def batch_table(costs: Sequence[MergeCost]) -> pd.DataFrame:
    """Return what merges used by the way they were made, and as a share of what the other ways used for as many."""
    used = {(cost.made, cost.merges): cost.gas for cost in costs}

    def share(cost: MergeCost, made: Made) -> float:
        other = used.get((made, cost.merges))
        return cost.gas / other if other else float("nan")

    rows = [
        (cost.made.value, cost.merges, cost.gas, cost.gas / cost.merges, cost.transactions,
         share(cost, Made.ACCOUNT), share(cost, Made.SAFE), cost.chosen.value)
        for cost in costs
    ]  # fmt: skip
    return frame(rows, BATCH_COLUMNS)


def plot_batch(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `batch_table`: gas of one merge, by how many are made at once."""
    note = "measured on a local node with the real contracts; the same conditions in all three ways"
    figure = canvas("What one merge uses, alone and in a batch", note, x="merges made", y="gas per merge (thousands)")
    counts = sorted(set(table["merges"]))
    for made, colour in MADE_COLOURS.items():
        rows = table[table["made"] == made].sort_values("merges")
        figure.add_scatter(
            x=[str(count) for count in rows["merges"]], y=rows["gas_per_merge"] / 1_000, name=made,
            mode="lines+markers", line={"color": colour, "width": 2},
            marker={"size": 10, "symbol": MADE_SYMBOLS[made]}, customdata=rows["gas"],
            hovertemplate=f"{made}: %{{y:.1f}} thousand each, %{{customdata:,}} in all<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="category", categoryarray=[str(count) for count in counts])
    return figure.update_yaxes(rangemode="tozero")


# -- failover ------------------------------------------------------------------------------------------------


def calls_frame(rehearsal: Rehearsal) -> pd.DataFrame:
    """Return one row per call: who was asked and who answered, latency, ages, and each endpoint's health after it."""
    rows = []
    for call in rehearsal.calls:
        row: dict[str, object] = {
            "at_s": call.at_s, "phase": call.phase, "asked": " ".join(call.asked), "in_vain": " ".join(call.in_vain),
            "answered": call.answered, "latency_ms": call.took_s * 1_000, "block": call.block, "behind": call.behind, "stale": call.is_stale,
            "error": call.error,
        }  # fmt: skip
        for health in call.health:
            row |= {
                f"cost_s_{health.name}": health.cost_s,
                f"error_rate_{health.name}": health.error_rate,
                f"behind_{health.name}": health.behind,
                f"resting_s_{health.name}": health.resting_s,
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else CALL_COLUMNS)


def phases_table(rehearsal: Rehearsal) -> pd.DataFrame:
    """Return one row per phase: how many calls, who answered them, how long they took, how old the answers were.

    `most_behind` is in blocks, against what the node itself had before the call; `hedged` counts the calls for
    which another endpoint was asked, since the first said nothing or nothing that counted.
    """
    rows = []
    for phase, _ in rehearsal.phases:
        calls = [call for call in rehearsal.calls if call.phase == phase]
        took = np.array([call.took_s * 1_000 for call in calls] or [float("nan")])
        rows.append(
            (phase, len(calls), sum(call.error != "" for call in calls), sum(call.is_stale for call in calls),
             max((call.behind for call in calls), default=0),
             *(sum(call.answered == name for call in calls) for name in NAMES),
             float(np.median(took)), float(took.max()), sum(call.in_vain != () for call in calls))
        )  # fmt: skip
    return frame(rows, PHASE_COLUMNS)


def plot_failover(rehearsal: Rehearsal) -> go.Figure:
    """Draw who answered, how long it took, how far each endpoint is behind and what it is ranked by, over time."""
    calls = calls_frame(rehearsal)
    note = f"n = {len(calls)} reads of the newest block; only A falls ill; all are looked at between calls as well"
    figure = canvas("Failover, seen from the caller", note, x="", y="", height=860)
    figure.set_subplots(4, 1, shared_xaxes=True, vertical_spacing=0.045, row_heights=[0.2, 0.28, 0.22, 0.3])
    _draw_answers(figure, rehearsal, calls)
    _draw_health(figure, calls)
    for (name, since), (_, until) in zip(
        rehearsal.phases, [*rehearsal.phases[1:], ("", rehearsal.ended_s)], strict=True
    ):
        if "well" not in name and "recover" not in name:
            figure.add_vrect(x0=since, x1=until, fillcolor=ILL, line_width=0, layer="below")
            figure.add_annotation(
                x=(since + until) / 2, y=1.0, yref="paper", yanchor="bottom", text=f"A: {name}", showarrow=False,
                font={"size": 13, "color": RED},
            )  # fmt: skip
    figure.update_layout(margin={"t": 100, "b": 110, "l": 84}, legend={"y": -0.1, "yanchor": "top"})
    figure.update_xaxes(range=[0, rehearsal.ended_s])
    return figure.update_xaxes(title_text="seconds since the rehearsal began", row=4)


def _draw_answers(figure: go.Figure, rehearsal: Rehearsal, calls: pd.DataFrame) -> None:
    """Draw the two upper panels: each call at the endpoint that answered it, and the caller's wait."""
    vain = [(call.at_s, name) for call in rehearsal.calls for name in call.in_vain]
    for name, colour in ENDPOINT_COLOURS.items():
        mine = calls[calls["answered"] == name]
        look = {"color": colour, "size": 8}
        figure.add_scatter(
            x=mine["at_s"], y=[name] * len(mine), mode="markers", marker=look, name=name, legendgroup=name,
            showlegend=False, hovertemplate=f"{name} answered at %{{x:.2f}} s<extra></extra>", row=1, col=1,
        )  # fmt: skip
        figure.add_scatter(
            x=mine["at_s"], y=mine["latency_ms"], mode="markers", marker=look, name=name, legendgroup=name,
            showlegend=False, hovertemplate=f"%{{y:.0f}} ms, answered by {name}<extra></extra>", row=2, col=1,
        )  # fmt: skip
    figure.add_scatter(
        x=[at for at, _ in vain], y=[name for _, name in vain], mode="markers", name="asked in vain",
        marker={"symbol": "x-thin", "size": 11, "line": {"width": 2.2, "color": RED}},
        hovertemplate="%{y} was asked in vain at %{x:.2f} s<extra></extra>", row=1, col=1,
    )  # fmt: skip
    hedge = rehearsal.hedge_s * 1_000
    figure.add_scatter(
        x=[0, rehearsal.ended_s], y=[hedge, hedge], mode="lines", name="hedge delay",
        line={"color": GREY, "dash": "dash", "width": 1.6}, hoverinfo="skip", row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(
        title_text="answered by", type="category", categoryarray=list(reversed(NAMES)), range=[-0.5, len(NAMES) - 0.5],
        row=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="latency (ms)", rangemode="tozero", row=2)


def _draw_health(figure: go.Figure, calls: pd.DataFrame) -> None:
    """Draw the two lower panels: how old heads and answers are, and what the endpoints are ranked by."""
    for name, colour in ENDPOINT_COLOURS.items():
        for column, row, what in (("behind", 3, "blocks behind"), ("cost_s", 4, "s expected cost")):
            if f"{column}_{name}" in calls:
                figure.add_scatter(
                    x=calls["at_s"], y=calls[f"{column}_{name}"], mode="lines", name=name,
                    legendgroup=name, legendrank=1, line={"color": colour, "width": 2, "shape": "hv"},
                    showlegend=row == 4,
                    hovertemplate=f"{name}: %{{y:.3g}} {what}<extra></extra>", row=row, col=1,
                )  # fmt: skip
    if len(calls):
        figure.add_scatter(
            x=calls["at_s"], y=calls["behind"], mode="markers", name="the answer", showlegend=False,
            marker={"color": INK, "size": 4}, hovertemplate="the answer: %{y} blocks behind<extra></extra>", row=3, col=1,
        )  # fmt: skip
    figure.update_yaxes(title_text="blocks behind<br>(dots: the answers)", rangemode="tozero", row=3)
    ticks = {0.001: "1 ms", 0.01: "10 ms", 0.1: "100 ms", 1: "1 s", 10: "10 s", 100: "100 s"}
    figure.update_yaxes(
        title_text="health: expected cost<br>of asking (log)", type="log", tickvals=list(ticks),
        ticktext=list(ticks.values()), row=4,
    )  # fmt: skip
