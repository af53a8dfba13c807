"""What rows of a tape say of its markets themselves: the price grid in force, and what a share pays in the end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from arbkit.backtest.tape_views import once
from arbkit.books.ladder import I64
from arbkit.books.meta import KIND_GRID, KIND_MASK, KIND_PRINT, KIND_RESOLUTION
from arbkit.core.errors import DataError
from arbkit.core.grid import Grid
from arbkit.core.model import Book
from arbkit.core.units import MICRO, Price

if TYPE_CHECKING:
    from arbkit.history.tape import Tape


REFUND = -1  # instead of a payout: what was paid is paid back


class Resolution(NamedTuple):
    """What one share of a book (by number) pays, in millionths of a dollar or REFUND, known at `at` ns."""

    at: int
    book: int
    payout: Price


@once
def resolutions(tape: Tape) -> tuple[Resolution, ...]:
    """Return what each book of a resolved market pays, in the venue's order.

    A book that no row speaks of, be it a mirror view or recorded, pays what the other outcome leaves of a dollar.

    As the row says; where the market table knows it for void (`resolution`), its rule says it: `refund` pays back
    what was paid, `last_price` what the market was last traded at before (the row's payout, if it never was).
    """
    rows, at = np.flatnonzero((tape.rows.meta & KIND_MASK) == KIND_RESOLUTION), tape.venue_time
    said, follows = dict[int, Resolution](), dict[int, Resolution]()
    for row in rows[np.argsort(at[rows], kind="stable")].tolist():
        book, payout = tape.markets.books[tape.rows.book[row]], int(tape.rows.price[row])
        if book.market.resolution == "void" and book.market.void == "last_price":
            payout = _last_price(tape, row, payout)
        refund = book.market.resolution == "void" and book.market.void == "refund"
        for found, index, pays in ((said, book.index, payout), (follows, book.mirror, MICRO - payout)):
            found.setdefault(index, Resolution(int(at[row]), index, Price(REFUND if refund else pays)))
    return tuple(sorted((follows | said).values()))


def _last_price(tape: Tape, row: int, otherwise: int) -> int:
    """Return what the market of a resolution row was last traded at by then, on the scale of the row's book."""
    rows, at, book = tape.rows, tape.venue_time, tape.markets.books[tape.rows.book[row]]
    market = (rows.book == book.index) | (rows.book == book.mirror)
    trades = np.flatnonzero(market & ((rows.meta & KIND_MASK) == KIND_PRINT) & (at <= at[row]))
    trades = trades[(at[trades] < at[row]) | (trades < row)]
    if not len(trades):
        return otherwise
    last = trades[np.argsort(at[trades], kind="stable")[-1]]
    price = int(rows.price[last])
    return price if rows.book[last] == book.index else MICRO - price


class GridChanges(NamedTuple):
    """The price grids that rows of a tape put in force, oldest first, by the clock of one reader (ns)."""

    at: list[int]
    grids: list[Grid]


@once
def grids_by_venue(tape: Tape) -> dict[int, GridChanges]:
    """Return the changes of each book's grid by the venue's clock; DataError for a grid that its market has not."""
    return _grids(tape, tape.venue_time)


@once
def grids_received(tape: Tape) -> dict[int, GridChanges]:
    """Return the changes of each book's grid as a client hears of them."""
    return _grids(tape, tape.rows.ts_recv)


def _grids(tape: Tape, at: I64) -> dict[int, GridChanges]:
    rows = np.flatnonzero((tape.rows.meta & KIND_MASK) == KIND_GRID)
    found: dict[int, GridChanges] = {}
    for row in rows[np.argsort(at[rows], kind="stable")].tolist():
        book, number = tape.markets.books[tape.rows.book[row]], int(tape.rows.size[row])
        if not 0 <= number < len(book.market.grids):
            raise DataError(f"row {row}: {book.name} has no price grid number {number}; state it in markets.toml")
        changes = found.setdefault(book.index, GridChanges([], []))
        changes.at.append(int(at[row]))
        changes.grids.append(book.market.grids[number][1])
    return found


def grid_of(book: Book, at: int, changes: Mapping[int, GridChanges]) -> Grid | None:
    """Return the grid of a book's own prices at `at` ns: the last that a row named, else the dated one; None: unknown."""
    rows, market = changes.get(book.index if book.recorded else book.mirror), book.market
    place = bisect_right(rows.at, at) if rows else 0
    if rows and place:
        grid = rows.grids[place - 1]
    elif market.grids:
        grid = market.grid_at(at)
    else:
        return None
    return grid if book.outcome == "yes" else grid.mirrored()
