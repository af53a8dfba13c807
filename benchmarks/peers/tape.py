"""The feed as a tape: what arbkit reads."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from arbkit.books import meta as m
from arbkit.core.grid import Grid
from arbkit.core.model import Basket, Market
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.history.tape import Tape
from benchmarks.peers.feed import BID, LEVEL, Columns, Spec

if TYPE_CHECKING:
    from arbkit.core.model import MarketTable

VENUE = "made-up"


class Recorded(NamedTuple):
    """The columns of a tape; book b of the feed is the YES book of market b."""

    ts_recv: np.ndarray
    ts_venue: np.ndarray
    book: np.ndarray
    meta: np.ndarray
    price: np.ndarray
    size: np.ndarray


def table(spec: Spec) -> MarketTable:
    """Return the markets of a feed: two a time make an event of which exactly one pays; no fees."""
    markets = [
        Market(
            venue=VENUE,
            id=f"m{book:03d}",
            event=f"e{book // 2:03d}",
            outcome=f"side {book % 2}",
            payout=Cash(MICRO),
            exclusive=True,
            exhaustive=True,
            void="none",
            grids=((0, Grid.of_tick(str(1 / Decimal(spec.ticks)))),),
            lot=Size(MICRO),
            min_size=Size(MICRO),
            fee_rules=((0, "none"),),
        )
        for book in range(2 * spec.events)
    ]
    return market_table(markets, recorded=range(0, 4 * spec.events, 2))


def recorded(rows: Columns, spec: Spec) -> Recorded:
    """Return the feed's rows as a tape's, each a message of its own, behind a row that opens each book."""
    books = 2 * spec.events
    side = np.where(rows.side == BID, m.SIDE_BID, m.SIDE_ASK)
    level = m.KIND_LEVEL | side << m.SIDE_SHIFT | m.LAST
    trade = m.KIND_PRINT | np.where(rows.side == BID, m.SELLER, m.BUYER) << m.SIDE_SHIFT | m.LAST
    head = np.arange(books)
    return Recorded(
        np.concatenate([rows.recv[0] - books + head, rows.recv]),
        np.concatenate([rows.at[0] - books + head, rows.at]),
        np.concatenate([head * 2, rows.book * 2]).astype(np.int16),
        np.concatenate([np.full(books, m.meta(m.KIND_CLEAR)), np.where(rows.kind == LEVEL, level, trade)]).astype("u1"),
        np.concatenate([np.zeros(books), rows.price * (MICRO // spec.ticks)]).astype(np.int32),
        np.concatenate([np.zeros(books), rows.size * MICRO]).astype(np.int64),
    )


def tape_of(rows: Columns, spec: Spec) -> Tape:
    """Return the feed as a tape in memory."""
    return Tape.from_columns(table(spec), **recorded(rows, spec)._asdict(), clocks="both", synthetic=True)


def traded(tape: Tape) -> list[Basket]:
    """Return the baskets that are traded: both YES books of an event."""
    return [basket for basket in baskets(tape, "outcomes") if basket.id.endswith(":yes")]
