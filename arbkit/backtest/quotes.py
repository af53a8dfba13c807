"""The bests of recorded books at places of a tape: as a client had heard of them, or as they stood at the venue.

One compiled pass for any number of questions. What we took ourselves is not in them: they are the recording's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from arbkit.backtest.tape_views import by_venue, received, unknown_books
from arbkit.books.ladder import Ladders, forward
from arbkit.books.meta import CLOSED
from arbkit.books.watch import Columns
from arbkit.core.model import Book
from arbkit.core.units import MICRO

if TYPE_CHECKING:
    from arbkit.history.tape import Tape

CHUNK_ROWS = 200_000  # rows per compiled call, so that Ctrl-C works
NONE = -1


class Quote(NamedTuple):
    """Best bid and ask in an outcome's own scale (millionths), each -1 where there is none."""

    bid: int
    ask: int

    @property
    def mid(self) -> int:
        """The mid, rounded down; -1 without two sides."""
        return (self.bid + self.ask) // 2 if self.bid >= 0 and self.ask >= 0 else NONE


UNKNOWN = Quote(NONE, NONE)


def heard(tape: Tape, asked: Sequence[tuple[int, Book]]) -> list[Quote]:
    """Return the bests of each book after so many rows of the tape had been received."""
    return _quotes(tape, received(tape), asked)


def rows_heard(tape: Tape, ns: int) -> int:
    """Return how many rows had been received at a time."""
    return int(np.searchsorted(tape.rows.ts_recv, ns, side="right"))


def at_venue(tape: Tape, asked: Sequence[tuple[int, Book]]) -> list[Quote]:
    """Return the bests of each book at a time (ns) by the venue's clock, rows of that very instant included.

    Unknown after the last row of the tape: what the books were then, nobody recorded.
    """
    columns = by_venue(tape)
    times = columns.at[columns.order] if len(columns.order) else columns.at
    places = np.searchsorted(times, np.array([at for at, _ in asked], np.int64), side="right").tolist()
    end = int(times[-1]) if len(times) else 0
    found = _quotes(tape, columns, [(place, book) for place, (_, book) in zip(places, asked, strict=True)])
    return [quote if at <= end else UNKNOWN for quote, (at, _) in zip(found, asked, strict=True)]


def _quotes(tape: Tape, columns: Columns, asked: Sequence[tuple[int, Book]]) -> list[Quote]:
    ladders, found = unknown_books(tape), [UNKNOWN] * len(asked)
    at = 0
    for number in sorted(range(len(asked)), key=lambda i: asked[i][0]):
        place, book = asked[number]
        while at < place:
            stop = min(at + CHUNK_ROWS, place)
            at = forward(ladders, columns, at, stop, np.iinfo(np.int64).max, False)
        found[number] = _quote(ladders, book)
    return found


def _quote(ladders: Ladders, book: Book) -> Quote:
    """Return the bests of a book now; none of one that is not known, closed, or crossed."""
    home = int(ladders.book[book.index]["home"])
    if not ladders.book[home]["known"] or ladders.book[home]["status"] == CLOSED:
        return UNKNOWN
    slots = ladders.best["slot"][:, home].tolist()
    bid, ask = (int(ladders.price[slot]) if slot >= 0 else NONE for slot in slots)
    if 0 <= ask <= bid:
        return UNKNOWN
    if not ladders.book[book.index]["flip"]:
        return Quote(bid, ask)
    return Quote(MICRO - ask if ask >= 0 else NONE, MICRO - bid if bid >= 0 else NONE)
