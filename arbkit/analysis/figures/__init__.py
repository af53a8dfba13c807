"""Pictures, two functions each: one makes the table, one draws it; neither shows, reads or saves anything."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from arbkit.analysis import frames
from arbkit.analysis.comparison import executable_table
from arbkit.analysis.display import FigureSet, ShownFigure
from arbkit.analysis.figures import costs, course, fills, parts
from arbkit.analysis.measures import catchable_table, parts_table
from arbkit.analysis.raw import Raw
from arbkit.analysis.span import queue_table

__all__ = ["CAPTIONS", "figures_of"]

# What each picture tells and how to read it, in the order of a reader's questions.
CAPTIONS = {
    "outcomes": "How each opportunity ended. Completed and reduced count entry orders alone; unwound trades had to undo.",
    "fill_rate": "Share of the intended size that entry orders filled, before any undoing, over all opportunities.",
    "completion": "Trades with every leg filled to size. The dashed black line counts, straight off the tape, the decisions "
    "whose every leg was still there at its worst price when the orders arrived: MARKET cannot do better with no slack.",
    "shortfall": "Expected edge minus what was earned, per intended share, missed and unwound trades included.",
    "shortfall_parts": "The same shortfall by cause. Unfilled: the edge of what was not bought on every leg. Delay: the mid moved "
    "before the match. Spread: half of it, against the plan's; below zero where a resting order was paid. Impact: beyond the best. "
    "Fees: more than reckoned with. Undoing: legs without their others.",
    "catchable": "How long opportunities wait: the share that orders so late could still have filled at the venue, all legs, full size, "
    "no slack; and the share of episodes that lasted longer, at the smallest size and as received.",
    "slippage": "Average fill price against the decision price, leg by leg; only legs with a fill, so never judge by this alone.",
    "one_leg": "Of the MARKET trades that failed, how many legs had filled, if only in part. One filled leg is a bet, not a hedge.",
    "execution_time": "From the decision until the last entry leg was over.",
    "markout": "The mid price after an entry fill, against the fill price. A resting fill whose mark-out falls below zero came because "
    "the price was leaving; one that took begins at minus half a spread.",
    "queue": "Resting fills depend on a model of the queue. The bar spans the models, from the most cautious to the most hopeful.",
    "equity": "Cash plus baskets held at their payoff floor, since the start of each run.",
}  # fmt: skip


def figures_of(raw: Raw, table: pd.DataFrame) -> FigureSet:
    """Return the pictures of a comparison that have something to show; each is drawn when it is first looked at."""
    trades, legs = frames.trades_frame(raw), frames.legs_frame(raw)
    made: dict[str, tuple[pd.DataFrame, Callable[[pd.DataFrame], go.Figure]]] = {
        "outcomes": (fills.outcomes_table(table), fills.plot_outcomes),
        "fill_rate": (fills.fill_rate_table(table), fills.plot_fill_rate),
        "completion": (fills.completion_table(table, executable_table(raw)), fills.plot_completion),
        "shortfall": (costs.shortfall_table(table).dropna(subset="shortfall"), costs.plot_shortfall),
        "shortfall_parts": (parts_table(raw), parts.plot_parts),
        "catchable": (catchable_table(raw), parts.plot_catchable),
        "slippage": (costs.slippage_table(legs), costs.plot_slippage),
        "one_leg": (fills.one_leg_table(trades, legs), fills.plot_one_leg),
        "execution_time": (course.execution_time_table(trades), course.plot_execution_time),
        "markout": (costs.markout_table(raw), costs.plot_markout),
        "queue": (queue_table(raw), course.plot_queue),
    }
    if raw.mode == "portfolio" and raw.fees_known:
        made["equity"] = (course.equity_table(raw), course.plot_equity)
    if raw.opportunities or any(cell.results for cell in raw.cells):
        found = {name: part for name, part in made.items() if len(part[0])}
    else:
        found = {}
    return FigureSet(tuple(ShownFigure(name, CAPTIONS[name], _drawn(*part)) for name, part in found.items()))


def _drawn(table: pd.DataFrame, plot: Callable[[pd.DataFrame], go.Figure]) -> Callable[[], go.Figure]:
    return lambda: plot(table)
