"""One book as received at a moment, as the engine reads it: a copy, so that what moves on later does not move it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from arbkit.books.gate import NAMES, health_code
from arbkit.books.ladder import ASK, BID, I64, Ladders, deepest
from arbkit.core.compiled import compiled
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Health, Level
from arbkit.core.ports import Fees
from arbkit.core.settled import settled
from arbkit.core.units import MICRO


@dataclass(slots=True)
class LadderView:
    """Implements `ports.BookView`; made by `ladder_view`. Prices are the outcome's own, also in a mirror view."""

    book: Book
    health: Health
    grid: Grid
    fees: Fees
    at: int
    _bids: I64 | Sequence[Level]  # rows as compiled code told them, until somebody asks for levels
    _asks: I64 | Sequence[Level]

    def bids(self) -> Sequence[Level]:
        if isinstance(self._bids, np.ndarray):
            self._bids = _levels(self._bids)
        return self._bids

    def asks(self) -> Sequence[Level]:
        if isinstance(self._asks, np.ndarray):
            self._asks = _levels(self._asks)
        return self._asks


_new: Any = tuple.__new__  # makes a Level in a third of the time that Level(...) takes


class Shown(NamedTuple):
    """How compiled code is asked what a book shows, and where it writes that."""

    ask: Callable[[Ladders, int, int, int, I64], tuple[int, int, int, int]]
    room: I64


def shown_of(ladders: Ladders) -> Shown:
    """Return what `ladder_view` takes as `shown` for these ladders: the types of their arrays are asked for here."""
    room = np.empty((2, deepest(ladders), 3), np.int64)
    return Shown(settled(_shown, ladders, 0, 0, 0, room), room)


def ladder_view(
    ladders: Ladders, book: Book, now: int, *, max_silence: int, grid: Grid, fees: Fees, shown: Shown | None = None
) -> LadderView:
    """Return a book as it stands in the ladders at `now` ns, less what we took ourselves.

    The book of a market of which only the other outcome is recorded is read off that one: bids are its asks, prices
    one dollar minus its prices. `grid` and `fees` are those in force for this outcome now.
    """
    ask, room = shown or shown_of(ladders)
    n_bids, n_asks, code, at = ask(ladders, book.index, now, max_silence, room)
    return LadderView(book, NAMES[code], grid, fees, at, room[BID, :n_bids].copy(), room[ASK, :n_asks].copy())


def _levels(rows: I64) -> list[Level]:
    return [_new(Level, (price, size, exact == 1)) for price, size, exact in rows.tolist()]


@compiled
def _shown(ladders, book, now, max_silence, room):  # type: ignore[no-untyped-def]
    """Fill `room` with both sides of a book; return how many rows of bids and of asks, its health's code, its last ns."""
    bids, asks = _standing(ladders, book, BID, room[BID]), _standing(ladders, book, ASK, room[ASK])
    return bids, asks, health_code(ladders, book, now, max_silence), ladders.book[ladders.book[book].home].seen


@compiled
def _standing(ladders, book, side, rows):  # type: ignore[no-untyped-def]
    """Fill `rows` with (price, size, 1 if true) of one side of a book, best first; return how many."""
    home = ladders.book[book].home
    flip = ladders.book[book].flip == 1
    own = 1 - side if flip else side
    slot = ladders.best[own, home].slot
    step = -1 if own == 0 else 1
    end = ladders.book[home].first - 1 if own == 0 else ladders.book[home].end
    n = 0
    if slot >= 0:
        for i in range(slot, end, step):
            level = ladders.level[own, i]
            there = level.size - level.taken
            if there > 0:
                rows[n, 0] = MICRO - ladders.price[i] if flip else ladders.price[i]
                rows[n, 1] = there
                rows[n, 2] = 0 if level.low else 1
                n += 1
    return n
