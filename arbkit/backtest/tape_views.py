"""A tape as its two readers see it: the client in the order of arrival, the venue in the order of its own clock.

What does not depend on a moment is worked out once per tape and kept as long as the tape lives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from arbkit.books.ladder import I64, Ladders, copied, fresh
from arbkit.books.meta import KIND_FEE, KIND_MASK, KIND_PRINT
from arbkit.books.ruler import stray
from arbkit.books.watch import Columns, read_only
from arbkit.core.errors import DataError
from arbkit.core.model import MarketTable
from arbkit.history.tape import PIECE, pieces

if TYPE_CHECKING:
    from arbkit.history.tape import Tape

R = TypeVar("R")


def once(function: Callable[[Tape], R]) -> Callable[[Tape], R]:
    """Keep what a function of a tape returns; tapes are compared by identity and never change."""
    known: WeakKeyDictionary[Tape, R] = WeakKeyDictionary()

    @wraps(function)
    def kept(tape: Tape) -> R:
        if tape not in known:
            known[tape] = function(tape)
        return known[tape]

    return kept


def _columns(tape: Tape, at: I64, order: I64) -> Columns:
    rows = tape.rows
    columns = (at, rows.ts_venue, rows.book, rows.meta, rows.price, rows.size, order)
    return Columns(*(read_only(column) for column in columns))


@once
def received(tape: Tape) -> Columns:
    """Return the rows as a client meets them, by `ts_recv`."""
    return _columns(tape, tape.rows.ts_recv, np.empty(0, np.int64))


def received_later(tape: Tape, feed_ns: int) -> Columns:
    """Return the rows as a client meets them `feed_ns` after `ts_recv`."""
    columns = received(tape)
    if feed_ns == 0:
        return columns
    return columns._replace(at=read_only(tape.rows.ts_recv + feed_ns))


def _rises(at: I64) -> bool:
    return bool(np.all(at[1:] >= at[:-1]))


@once
def by_venue(tape: Tape) -> Columns:
    """Return the rows in the order of the venues' clocks; rows of one instant stay as recorded."""
    at = tape.venue_time
    ordered = all(_rises(at[first : first + len(piece.ts_recv)]) for first, piece in pieces(tape.rows, overlap=1))
    order = np.empty(0, np.int64) if ordered else np.argsort(at, kind="stable").astype(np.int64)
    return _columns(tape, at, order)


@once
def printing(tape: Tape) -> frozenset[str]:
    """Return the venues whose trades are on the tape."""
    books = np.unique(tape.rows.book[(tape.rows.meta & KIND_MASK) == KIND_PRINT])
    return frozenset(tape.markets.books[book].venue for book in books.tolist())


@once
def fee_rows(tape: Tape) -> dict[int, int]:
    """Return the first row of each book, by number, that puts a fee rule in force."""
    found: dict[int, int] = {}
    for first in range(0, len(tape), PIECE):
        said = (tape.rows.meta[first : first + PIECE] & KIND_MASK) == KIND_FEE
        for row in (first + np.flatnonzero(said)).tolist():
            found.setdefault(int(tape.rows.book[row]), row)
    return found


def unknown_books(tape: Tape) -> Ladders:
    """Return ladders for all books of a tape in which nothing is known yet; one stream per venue.

    Raises DataError for a tape whose rows are not those that its prices were stored for: it was changed by somebody.
    """
    return copied(_unknown_books(tape))


@once
def _unknown_books(tape: Tape) -> Ladders:
    books, rows = tape.markets.books, tape.rows
    venues = list(dict.fromkeys(book.venue for book in books))
    ladders = fresh(
        tape.ladders.offsets,
        tape.ladders.prices,
        np.array([venues.index(book.venue) for book in books], np.int64),
        np.array([book.index if book.recorded else book.mirror for book in books], np.int64),
        np.array([not book.recorded for book in books], np.uint8),
    )
    for first, piece in pieces(rows):
        at = int(stray(read_only(piece.book), read_only(piece.meta), read_only(piece.price), ladders.book))
        if at >= 0:
            raise DataError(
                f"row {first + at}: book {piece.book[at]}, price {piece.price[at]}: no such price is among those stored"
                " with the tape: its files do not belong together; import it again"
            )
    return ladders


def twins(table: MarketTable) -> I64:
    """Return, per book, the other recorded book of its market, or -1 where only one is recorded."""
    pairs = [
        book.mirror if book.recorded and book.mirror != book.index and table.books[book.mirror].recorded else -1
        for book in table.books
    ]
    return np.array(pairs, np.int64)
