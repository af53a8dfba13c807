"""Every attempt of a comparison in integer columns: what all its figures and intervals are sums of.

Small enough to be kept and sent (a trade is one row, however many orders it took), and the same on every machine:
floats are made of it in one place, by whoever wants the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.analysis.raw import Attempt, Raw, RawCell, counters, intended_legs, leg_numbers
from arbkit.backtest.sweep_store import Columns
from arbkit.core.model import Outcome

OUTCOMES = tuple(outcome.value for outcome in Outcome)
SKIPPED = "skipped"  # seen by a bystander and passed over by a continuous run
ENDS = (*OUTCOMES, SKIPPED)
NEVER = -(1 << 62)  # a time that there is none of
UNCOUNTED = -1  # nobody looked whether the decision was still executable
ATTEMPTS = ("cell", "event", "detected_at", "took", "execution", "outcome", "size", "edge", "pnl", "unwind_cost",
            "fees", "intended", "filled", "priced_shares", "slippage", "n_fills", "executable")  # fmt: skip
LEGS = ("leg_cell", "leg_slippage", "leg_filled")


def tabulate(raw: Raw, cells: Sequence[RawCell], met: Sequence[Sequence[Attempt]]) -> Columns:
    """Return the attempts `met` in each of the cells, in order.

    Money and shares in millionths, `slippage` in millionths of a share times millionths of a dollar (positive is
    worse), times in ns: `took` from decision to the trade's end and `execution` to that of its last entry, NEVER where
    nothing was sent. `event` and `outcome` are places in the lists that come along. Legs with a fill and a decision
    price have a row of their own.
    """
    events: dict[str, int] = {}
    rows: list[tuple[int, ...]] = []
    legs: list[tuple[int, int, int]] = []
    for number, (cell, mine) in enumerate(zip(cells, met, strict=True)):
        counted = len(cell.executable) == len(mine)
        for place, attempt in enumerate(mine):
            event = events.setdefault(attempt.opportunity.basket.event, len(events))
            sums, slippages = _legs(attempt)
            legs += [(number, *pair) for pair in slippages]
            executable = int(cell.executable[place]) if counted else UNCOUNTED
            rows.append((number, event, *_money(attempt), *sums, executable))
    about = {
        "cells": [
            {
                "strategy": cell.strategy.value,
                "latency_ms": float(cell.latency_ms),
                "seed": cell.seed,
                "counted": dict(counters(raw, cell)),
            }
            for cell in cells
        ],
        "events": list(events),
        "mode": raw.mode,
        "fees_known": raw.fees_known,
    }
    return Columns.of(about, {ATTEMPTS: rows, LEGS: legs})


def _money(attempt: Attempt) -> tuple[int, ...]:
    opportunity, result = attempt
    sent = result is not None and result.outcome is not Outcome.REFUSED
    took = execution = NEVER
    if result is not None and sent:
        took = max(0, max(result.finished_at, result.entries_done_at) - opportunity.detected_at)
        execution = result.entries_done_at - opportunity.detected_at if result.entries_done_at else NEVER
    money = (result.pnl, result.unwind_cost, result.fees) if result is not None else (0, 0, 0)
    return (
        *(opportunity.detected_at, took, execution, ENDS.index(attempt.outcome)),
        *(int(opportunity.size), int(opportunity.edge), *map(int, money)),
    )


def _legs(attempt: Attempt) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Return the sums over the legs of an attempt, and (slippage, filled) of each that has both."""
    intended = filled = priced = n_fills = 0
    slippages: list[tuple[int, int]] = []
    for leg in intended_legs(attempt):
        n = leg_numbers(leg)
        intended += n.size
        filled += n.filled
        n_fills += bool(n.filled)
        if n.filled and n.priced:
            priced += n.filled
            slippages.append((int(leg.side) * n.slippage, n.filled))
    return (intended, filled, priced, sum(worse for worse, _ in slippages), n_fills), slippages
