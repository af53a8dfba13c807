"""Where a price stands among the prices a book ever uses: one multiplication and one look at a table.

The span between a book's lowest and highest price is cut into even pieces, and a table says which slot each piece
begins at. On an even grid a piece is one tick and its slot is the answer; where prices stand unevenly a piece may
hold several or none, and what is in it is halved. The table has a few entries for each price of the book, so that
no book, however its prices stand, costs more than in proportion to their number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arbkit.books.meta import KIND_LEVEL, KIND_MASK
from arbkit.core.compiled import compiled, inlined

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

SHIFT = 40  # off * ceil(2^40 / piece) >> 40 is off // piece exactly while off and piece stay below 2^20, as prices do
LEAST_PIECES, PIECES_A_PRICE = 1_024, 8


def measured(offset: I64, price: npt.NDArray[np.int32]) -> tuple[I64, I32]:
    """Return the rulers of all books and their table of slots, for ladders as `Ladders` holds them.

    A ruler is a row of lowest and highest price, 2^40 / piece and the first entry of the table, as in `ladder.BOOK`.
    """
    rulers = np.zeros((len(offset) - 1, 4), np.int64)
    tables = [np.zeros(0, np.int64)]
    base = 0
    for book, (start, end) in enumerate(zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)):
        own = price[start:end].astype(np.int64)
        rulers[book] = 0, -1, 0, base  # of a book without prices, in which none is found
        if start == end:
            continue
        span, pieces = int(own[-1] - own[0]), max(LEAST_PIECES, PIECES_A_PRICE * len(own))
        piece = max(1, int(np.gcd.reduce(np.diff(own)))) if span else 1
        if span // piece >= pieces:
            piece = span // pieces + 1
        starts = own[0] + piece * np.arange(span // piece + 2)  # of the pieces, and of one behind the last
        tables.append(start + np.searchsorted(own, starts))
        rulers[book] = own[0], own[-1], -(-(1 << SHIFT) // piece), base
        base += len(starts)
    return rulers, np.concatenate(tables).astype(np.int32)


@inlined
def slot_used(ladders, book, value):  # type: ignore[no-untyped-def]
    """Return the slot of a price that the book uses; of any other price nothing that means anything.

    Nothing is compared with what stands there: of a row of the tape the answer is known, and whoever moves a level
    waits for its slot.
    """
    its = ladders.book[np.uint64(book)]
    piece = np.uint64(its.base + ((value - its.lowest) * its.inverse >> SHIFT))
    low, high = np.int64(ladders.table[piece]), np.int64(ladders.table[piece + np.uint64(1)])
    while high - low > 1:
        middle = (low + high) >> 1
        if ladders.price[np.uint64(middle)] <= value:
            low = middle
        else:
            high = middle
    return low


@inlined
def slot_of(ladders, book, value):  # type: ignore[no-untyped-def]
    """Return the slot of a price in a book's ladder, or -1 when the recording never uses that price."""
    if value < ladders.book[book].lowest or value > ladders.book[book].highest:
        return -1
    slot = slot_used(ladders, book, value)
    return slot if ladders.price[slot] == value else -1


@compiled
def stray(book, meta, price, books):  # type: ignore[no-untyped-def]
    """Return the first row of a book that there is not, or of a level outside its book's prices; -1: there is none.

    `slot_used` believes what a row says: what it would read or write for such a one is not of the tape.
    """
    for i in range(len(book)):
        row, its = np.uint64(i), np.int64(book[i])
        if its < 0 or its >= len(books):
            return i
        if meta[row] & KIND_MASK == KIND_LEVEL:
            known = books[np.uint64(its)]
            if price[row] < known.lowest or price[row] > known.highest:
                return i
    return -1
