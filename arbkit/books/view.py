"""One book as received at a moment, as the engine reads it: a copy, so that what moves on later does not move it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arbkit.books.gate import health
from arbkit.books.ladder import ASK, BID, I64, Ladders
from arbkit.core.compiled import compiled
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Health, Level
from arbkit.core.ports import Fees
from arbkit.core.units import MICRO, Price, Size


@dataclass(slots=True)
class LadderView:
    """Implements `ports.BookView`; made by `ladder_view`. Prices are the outcome's own, also in a mirror view."""

    book: Book
    health: Health
    grid: Grid
    fees: Fees
    at: int
    _bids: I64
    _asks: I64

    def bids(self) -> Sequence[Level]:
        return _levels(self._bids)

    def asks(self) -> Sequence[Level]:
        return _levels(self._asks)


def ladder_view(ladders: Ladders, book: Book, now: int, *, max_silence: int, grid: Grid, fees: Fees) -> LadderView:
    """Return a book as it stands in the ladders at `now` ns, less what we took ourselves.

    The book of a market of which only the other outcome is recorded is read off that one: bids are its asks, prices
    one dollar minus its prices. `grid` and `fees` are those in force for this outcome now.
    """
    home = int(ladders.home[book.index])
    bids, asks = (_standing(ladders, np.int64(book.index), np.int64(side)) for side in (BID, ASK))
    at = int(ladders.seen[home])
    return LadderView(book, health(ladders, book.index, now, max_silence), grid, fees, at, bids, asks)


def _levels(rows: I64) -> list[Level]:
    return [Level(Price(price), Size(size), exact == 1) for price, size, exact in rows.tolist()]


@compiled
def _standing(ladders, book, side):  # type: ignore[no-untyped-def]
    """Return rows of (price, size, 1 if true) on one side of a book, best first."""
    home = ladders.home[book]
    flip = ladders.flip[book] == 1
    own = 1 - side if flip else side
    slot = ladders.top[own, home]
    step = -1 if own == 0 else 1
    end = ladders.offset[home] - 1 if own == 0 else ladders.offset[home + 1]
    count = 0
    if slot >= 0:
        for i in range(slot, end, step):
            if ladders.size[own, i] > ladders.taken[own, i]:
                count += 1
    rows = np.empty((count, 3), np.int64)
    n = 0
    if slot >= 0:
        for i in range(slot, end, step):
            there = ladders.size[own, i] - ladders.taken[own, i]
            if there > 0:
                rows[n, 0] = MICRO - ladders.price[i] if flip else ladders.price[i]
                rows[n, 1] = there
                rows[n, 2] = 0 if ladders.low[own, i] else 1
                n += 1
    return rows
