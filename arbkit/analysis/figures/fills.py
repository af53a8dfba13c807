"""What got filled: outcomes, fill rates, completion against latency, and legs left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis.figures.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    GREY,
    LATENCY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
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

OUTCOME_COLOURS = {
    "completed": GREEN, "reduced": SKY, "missed": "#d0d4da", "unwound": ORANGE, "escalated": RED,
    "skipped": "#aab0b8", "refused": GREY,
}  # fmt: skip
TOUCHED_COLOURS = ("#d0d4da", RED, PURPLE, ORANGE, SKY, BLUE)


def outcomes_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return share of all opportunities by strategy, latency and outcome; the shares of a row add up to one.

    Opportunities that a continuous run passed over are the outcome "skipped".
    """
    known = [name for name in OUTCOME_COLOURS if name in table.columns]
    counts = table[known].astype("float64")
    counts["skipped"] = (table["opportunities"] - counts.sum(axis=1)).clip(lower=0.0)
    keys = table[["strategy", "latency_ms", "opportunities"]]
    long = pd.concat([keys, counts], axis=1).melt(
        id_vars=list(keys), value_vars=list(OUTCOME_COLOURS), var_name="outcome", value_name="trades"
    )
    return long.assign(share=long["trades"] / long["opportunities"])


def plot_outcomes(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `outcomes_table`: one bar per strategy and latency, outcomes stacked to 100 %."""
    note = spread(table["opportunities"], "opportunities per bar") + "; nothing is left out"
    figure = canvas("How the trades ended", note, x="strategy, at latency (ms)", y="share of opportunities")
    for outcome, colour in OUTCOME_COLOURS.items():
        rows = table[table["outcome"] == outcome].sort_values("latency_ms", kind="stable")
        if not rows["trades"].any():
            continue
        figure.add_bar(
            x=[rows["strategy"].tolist(), [f"{value:g}" for value in rows["latency_ms"]]],
            y=rows["share"], name=outcome, marker_color=colour, customdata=rows["trades"],
            hovertemplate=f"{outcome}: %{{y:.1%}} (%{{customdata:.4g}} trades)<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.3, legend_traceorder="normal")
    return figure.update_yaxes(range=[0, 1], tickformat=".0%")


def fill_rate_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the intended size that entry orders filled, with its interval, from a comparison table."""
    columns = ["strategy", "latency_ms", "leg_fill_rate", "leg_fill_rate_lo", "leg_fill_rate_hi"]
    return table[[*columns, "n_opportunities", "n_clusters"]].reset_index(drop=True)


def plot_fill_rate(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `fill_rate_table`."""
    figure = canvas("Fill rate of the legs", sample(table), x=LATENCY, y="size filled / size intended")
    for strategy in strategies(table):
        rows = table[table["strategy"] == strategy].sort_values("latency_ms")
        figure.add_bar(
            x=[f"{value:g}" for value in rows["latency_ms"]], y=rows["leg_fill_rate"], name=strategy,
            marker_color=COLOURS[strategy],
            error_y=whiskers(rows["leg_fill_rate"], rows["leg_fill_rate_lo"], rows["leg_fill_rate_hi"], BLACK),
            hovertemplate=f"{strategy}, %{{x}} ms: %{{y:.1%}} filled<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="category", categoryarray=[f"{value:g}" for value in latencies(table)])
    return figure.update_yaxes(range=[0, 1.02], tickformat=".0%")


def completion_table(table: pd.DataFrame, executable: pd.DataFrame) -> pd.DataFrame:
    """Return completion by strategy and latency, and beside it the share executable by brute force at that latency."""
    columns = ["strategy", "latency_ms", "completion_rate", "completion_rate_lo", "completion_rate_hi"]
    found = table[[*columns, "n_opportunities", "n_clusters"]]
    return found.merge(executable[["latency_ms", "executable_share"]], on="latency_ms", how="left")


def plot_completion(table: pd.DataFrame) -> go.Figure:
    """Draw the result of `completion_table`."""
    figure = canvas("Completion against latency", sample(table), x=LATENCY, y="completed / opportunities")
    reference = table.drop_duplicates("latency_ms").sort_values("latency_ms").dropna(subset="executable_share")
    if len(reference):
        places = latencies(table)
        figure.add_scatter(
            x=[places.index(float(value)) for value in reference["latency_ms"]], y=reference["executable_share"],
            mode="lines+markers", name="still executable on the tape (brute force)",
            line={"color": BLACK, "dash": "longdash", "width": 1.8}, marker={"symbol": "line-ew-open", "size": 16},
            hovertemplate="still executable: %{y:.1%}<extra></extra>",
        )  # fmt: skip
    for strategy in strategies(table):
        rows, places_x = dodged(table, strategy)
        rate = rows["completion_rate"]
        figure.add_scatter(
            x=places_x, y=rate, name=strategy, mode="lines+markers",
            line={"color": COLOURS[strategy], "dash": DASHES[strategy], "width": 2},
            marker={"size": 10, "symbol": SYMBOLS[strategy]}, customdata=rows["latency_ms"],
            error_y=whiskers(rate, rows["completion_rate_lo"], rows["completion_rate_hi"], COLOURS[strategy]),
            hovertemplate=f"{strategy}, %{{customdata:g}} ms: %{{y:.1%}} completed<extra></extra>",
        )  # fmt: skip
    latency_slots(figure, table)
    return figure.update_yaxes(range=[-0.02, 1.04], tickformat=".0%")


def one_leg_table(trades: pd.DataFrame, legs: pd.DataFrame, strategy: str = "MARKET") -> pd.DataFrame:
    """Return how many legs had filled in the trades of a strategy that did not complete, refused ones left aside.

    Columns latency_ms, legs (how many), filled (how many of them filled at least in part), trades (mean over seeds).
    One filled leg of several is what "atomic" execution fears: a bet, where a hedge was meant.
    """
    keys = ["latency_ms", "seed", "trade_id"]
    failed = trades[(trades["strategy"] == strategy) & ~trades["outcome"].isin(["completed", "refused"])]
    mine = legs[legs["strategy"] == strategy].assign(touched=legs["filled"] > 0)
    per_trade = mine.groupby(keys, sort=True)["touched"].agg(filled="sum", legs="size").reset_index()
    found = failed[keys].merge(per_trade, on=keys)
    seeds = trades.loc[trades["strategy"] == strategy, "seed"].nunique() or 1
    counts = found.groupby(["latency_ms", "legs", "filled"], sort=True).size().rename("trades").reset_index()
    kinds = {"latency_ms": "float64", "legs": "int64", "filled": "int64", "trades": "float64"}
    return counts.assign(trades=counts["trades"] / seeds).astype(kinds)


def plot_one_leg(table: pd.DataFrame, strategy: str = "MARKET") -> go.Figure:
    """Draw the result of `one_leg_table`."""
    per_latency = table.groupby("latency_ms")["trades"].sum()
    note = spread(per_latency, f"{strategy} trades per bar that did not complete")
    figure = canvas(f"Legs filled in failed {strategy} trades", note, x=LATENCY, y="share of failed trades")
    pairs = table[["legs", "filled"]].drop_duplicates().sort_values(["legs", "filled"]).itertuples(index=False)
    for legs, filled in pairs:
        rows = table[(table["legs"] == legs) & (table["filled"] == filled)]
        total = rows["latency_ms"].map(per_latency).to_numpy(float)
        figure.add_bar(
            x=[f"{value:g}" for value in rows["latency_ms"]], y=rows["trades"].to_numpy(float) / total,
            name=f"{filled} of {legs} legs", marker_color=TOUCHED_COLOURS[min(filled, len(TOUCHED_COLOURS) - 1)],
            text=[f"{count:.3g}" for count in rows["trades"]], textposition="inside", textangle=0, insidetextanchor="middle",
            hovertemplate=f"{filled} of {legs} legs filled: %{{y:.1%}} (%{{text}} trades)<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        barmode="stack", bargap=0.5, legend_traceorder="normal", uniformtext={"minsize": 12, "mode": "hide"}
    )
    figure.update_xaxes(type="category", categoryarray=[f"{value:g}" for value in np.sort(per_latency.index)])
    return figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
