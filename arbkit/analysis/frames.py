"""Trades, legs, orders and fills as frames: one row each, float dollars and shares, times in UTC to the nanosecond.

Every frame names strategy, latency and seed beside its own keys: trade ids are those of the engine and may come back
in another cell. Undefined is NaN (NaT for times), never zero. Dtypes do not depend on what the rows hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from arbkit.analysis.comparison import capital_table, comparison_table, difference, executable_table
from arbkit.analysis.raw import MICRO, Attempt, Raw, RawCell, attempts, execution_ms, intended_legs, leg_numbers
from arbkit.core.model import ExecutionResult, Order, TradeLeg

__all__ = [
    "capital_table",
    "comparison_table",
    "difference",
    "executable_table",
    "fills_frame",
    "framed",
    "legs_frame",
    "orders_frame",
    "trades_frame",
]

NAN = float("nan")
TIME = "datetime64[ns, UTC]"
KEYS = {"strategy": "str", "latency_ms": "float64", "seed": "int64"}

TRADES = {
    "trade_id": "str", "strategy": "str", "opportunity_id": "str", "basket": "str", "detected_at": TIME,
    "outcome": "str", "undo": "str", "edge_expected": "float64", "edge_realised": "float64", "size": "float64",
    "execution_ms": "float64", "unwind_cost": "float64", "fees": "float64", "gas": "float64", "pnl": "float64",
    "reason": "str", "latency_ms": "float64", "seed": "int64",
}  # fmt: skip
LEGS = {
    "trade_id": "str", "leg": "int64", "venue": "str", "market": "str", "outcome": "str", "side": "str",
    "size": "float64", "filled": "float64", "fill_rate": "float64", "decision_price": "float64",
    "average_price": "float64", "slippage": "float64", "maker_share": "float64", "depth_exact": "bool",
    "status": "str", "submitted_at": TIME, "finished_at": TIME, "opportunity_id": "str", **KEYS,
}  # fmt: skip
ORDERS = {
    "order_id": "str", "trade_id": "str", "leg": "int64", "venue": "str", "market": "str", "outcome": "str",
    "side": "str", "purpose": "str", "limit": "float64", "size": "float64", "filled": "float64",
    "average_price": "float64", "tif": "str", "expires": TIME, "post_only": "bool", "status": "str", "reason": "str",
    "fees": "float64", **KEYS,
}  # fmt: skip
FILLS = {
    "fill_id": "str", "order_id": "str", "trade_id": "str", "leg": "int64", "venue": "str", "market": "str",
    "outcome": "str", "side": "str", "purpose": "str", "price": "float64", "size": "float64", "fee": "float64",
    "maker": "bool", "at": TIME, "venue_at": TIME, "row": "int64", "model": "str", **KEYS,
}  # fmt: skip


def trades_frame(raw: Raw) -> pd.DataFrame:
    """One row per opportunity that a strategy answered, the refused ones included.

    `edge_expected` and `edge_realised` are dollars per intended basket share, so that their difference is the
    shortfall; unwind_cost, fees, gas and pnl are dollars. `execution_ms` runs from decision to the last entry leg
    being terminal and is NaN where nothing was sent. Without known fees everything net is NaN.
    """
    rows = []
    for cell, attempt in _answered(raw):
        result, opportunity = attempt.result, attempt.opportunity
        assert result is not None
        size = int(opportunity.size)
        rows.append(
            (
                result.trade.id, cell.strategy.value, opportunity.id, opportunity.basket.id, opportunity.detected_at,
                result.outcome.value, result.undo, _net(raw, _ratio(opportunity.edge, size)),
                _net(raw, _ratio(result.pnl, size)), size / MICRO, execution_ms(attempt),
                _net(raw, result.unwind_cost / MICRO), _net(raw, result.fees / MICRO), result.gas / MICRO,
                _net(raw, result.pnl / MICRO), result.reason, cell.latency_ms, cell.seed,
            )
        )  # fmt: skip
    return framed(TRADES, rows)


def legs_frame(raw: Raw) -> pd.DataFrame:
    """One row per leg of every trade; prices on the leg's own outcome scale, entry orders alone.

    slippage = s·(average_price − decision_price) per share, s = +1 buy, −1 sell, positive = worse; NaN when nothing
    filled. `submitted_at` is the trade's start; `finished_at` the last entry fill of a leg filled to size, else the
    moment the entries were over. A refused trade's legs stand here with the scan's size, nothing filled.
    """
    rows = []
    for cell, attempt in _answered(raw):
        result = attempt.result
        assert result is not None
        for leg in intended_legs(attempt):
            n = leg_numbers(leg)
            book = leg.book
            sent, ended = _leg_times(result, leg)
            rows.append(
                (
                    result.trade.id, leg.index, book.venue, book.market.id, book.outcome, leg.side.name.lower(),
                    n.size / MICRO, n.filled / MICRO, _ratio(n.filled, n.size),
                    leg.decision_cost / n.size if n.priced else NAN, _ratio(n.paid, n.filled) / MICRO,
                    leg.side * n.slippage / n.filled / MICRO if n.priced and n.filled else NAN,
                    _ratio(n.maker, n.filled), leg.exact, leg.status.value, sent, ended,
                    attempt.opportunity.id, cell.strategy.value, cell.latency_ms, cell.seed,
                )
            )  # fmt: skip
    return framed(LEGS, rows)


def orders_frame(raw: Raw) -> pd.DataFrame:
    """One row per order, undo orders included (`purpose` says which); limit and average price in dollars.

    `expires` is the time in UTC that a GTD order states, NaT in all others; a venue may end it earlier than stated.
    """
    rows = []
    for cell, result, leg, order in _orders(raw):
        paid = sum(fill.price * fill.size for fill in order.standing)
        fees = sum(fill.fee for fill in order.standing) / MICRO
        rows.append(
            (
                order.client_id, result.trade.id, leg.index, order.venue, order.book.market.id, order.book.outcome,
                order.side.name.lower(), order.purpose.value, order.limit / MICRO, order.size / MICRO,
                order.filled / MICRO, _ratio(paid, order.filled) / MICRO, order.tif.value, order.expires,
                order.post_only, order.status.value, order.reason, _net(raw, fees), cell.strategy.value,
                cell.latency_ms, cell.seed,
            )
        )  # fmt: skip
    return framed(ORDERS, rows)


def fills_frame(raw: Raw) -> pd.DataFrame:
    """One row per fill with its explanation: the tape's `row` that caused it and the `model` that made it one."""
    rows = [
        (
            fill.trade_id, order.client_id, result.trade.id, leg.index, order.venue, order.book.market.id,
            order.book.outcome, order.side.name.lower(), order.purpose.value, fill.price / MICRO, fill.size / MICRO,
            _net(raw, fill.fee / MICRO), fill.maker, fill.at, fill.venue_at, fill.row, fill.model,
            cell.strategy.value, cell.latency_ms, cell.seed,
        )
        for cell, result, leg, order in _orders(raw)
        for fill in order.standing
    ]  # fmt: skip
    return framed(FILLS, rows)


def _answered(raw: Raw) -> Iterator[tuple[RawCell, Attempt]]:
    for cell in raw.cells:
        for attempt in attempts(raw, cell):
            if attempt.result is not None:
                yield cell, attempt


def _orders(raw: Raw) -> Iterator[tuple[RawCell, ExecutionResult, TradeLeg, Order]]:
    for cell in raw.cells:
        for result in cell.results:
            for leg in result.trade.legs:
                for order in leg.orders:
                    yield cell, result, leg, order


def _leg_times(result: ExecutionResult, leg: TradeLeg) -> tuple[int, int]:
    entries = leg.entries()
    if not entries:
        return 0, 0
    fills = [fill.at for order in entries for fill in order.standing]
    done = leg.filled >= leg.size and fills
    return result.started_at, max(fills) if done else result.entries_done_at


def _ratio(above: float, below: float) -> float:
    return above / below if below else NAN


def _net(raw: Raw, value: float) -> float:
    return value if raw.fees_known else NAN


def framed(schema: dict[str, str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Build a frame column by column, so that an empty one has the same dtypes; time 0 is "never"."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    made = {}
    for (name, dtype), values in zip(schema.items(), columns, strict=True):
        if dtype == TIME:
            at = pd.Series(list(values), dtype="int64")
            made[name] = at.where(at != 0, pd.NaT.value).astype("datetime64[ns]").dt.tz_localize("UTC")
        else:
            made[name] = pd.Series(list(values), dtype=dtype)
    return pd.DataFrame(made)
