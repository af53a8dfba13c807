"""Price ladders of all books of a tape as flat arrays, and the compiled steps that move them.

A ladder indexes the sorted set of prices its book ever uses, so fine and tapered grids cost no more than coarse
ones. `Ladders` is a named tuple of arrays: compiled code takes it whole, Python reads it, `copied` forks a world.

Slots are positions in the flat arrays; a book owns slots `first` to `end`. A book that is not recorded has no slots:
`home` names the book whose rows it is read off and `flip` says that prices are one dollar minus those. `taken` is what
we took ourselves from a level that still stands in the recording (design: consumption).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.cpython.unsafe import numbers

from arbkit.books.meta import (
    KIND_CLEAR,
    KIND_GAP,
    KIND_LEVEL,
    KIND_MASK,
    KIND_PRINT,
    KIND_RESOLUTION,
    KIND_STATUS,
    LAST,
    LOWER,
    LOWER_SHIFT,
    SIDE_BID,
    SIDE_MASK,
    SIDE_SHIFT,
)
from arbkit.books.ruler import measured, slot_used
from arbkit.core.compiled import compiled, inlined
from arbkit.core.units import MICRO

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]

BID, ASK = 0, 1  # sides inside the arrays
WORD = 64
LINE = 64  # bytes that a processor fetches at once
WORD_BITS, LAST_BIT = np.uint64(6), np.uint64(63)
NOTHING, ONE = np.uint64(0), np.uint64(1)
trailing_zeros: Any = numbers.trailing_zeros  # of an unsigned number, one instruction; of nothing its width
NEVER = np.int64(-(2**62))  # a stamp before every other

# What belongs to one thing lies together, so that a row finds it all in one place: of many books only what was read a
# moment ago is near the processor.
BOOK = np.dtype(
    [
        (
            "lowest",
            np.int64,
        ),  # price; it, `inverse`, `base` and `highest` are the ruler that finds slots (`books.ruler`)
        ("inverse", np.int64),
        ("base", np.int64),
        ("stream", np.int64),  # number of the stream it arrives by
        ("known", np.int64),  # 0 unknown (never seen, or gapped), 1 healthy
        ("seen", np.int64),  # ns of its last row, received
        ("lag", np.int64),  # ns between venue's stamp and ours in that row
        ("highest", np.int64),  # what every row asks for stands before this
        ("first", np.int64),  # slots of the book: from here
        ("end", np.int64),  # to here, this one not among them
        ("home", np.int64),  # the book whose rows stand for this one
        ("flip", np.int64),  # 1: read off its mirror
        ("gapped", np.int64),  # 1: was known once and lost
        ("status", np.int64),  # as in status rows, 0 open
    ]
)
BEST = np.dtype(
    [
        ("slot", np.int64),  # of the best recorded level of one side, -1: side empty
        ("message", np.int64),  # number of the message that last set it
        ("edge", np.uint64),  # place behind the last of the book (see `set_level`)
    ]
)
LEVEL = np.dtype(
    [
        ("size", np.int64),  # total as recorded, millionths of a share
        ("taken", np.int64),  # ours, out of the total
        ("low", np.int64),  # 1: lower bound only
    ]
)


class Ladders(NamedTuple):
    """State of every book. First axis of what is by side: 0 bids, 1 asks."""

    book: Records  # [books] of BOOK
    best: Records  # [2, books] of BEST
    level: Records  # [2, slots] of LEVEL
    price: I64  # [slots] millionths, ascending inside a book
    alive: I64  # [streams] ns of the last proof that the stream was alive
    table: I32  # of `books.ruler`
    stands: U64  # [2, words] a bit a place (see `set_level`), 1: its level is not empty


def fresh(offset: I64, price: npt.NDArray[np.int32], stream: I64, home: I64, flip: U8) -> Ladders:
    """Return ladders in which nothing is known yet."""
    books, slots = len(offset) - 1, len(price)
    rulers, table = measured(offset, price)
    book = np.zeros(books, BOOK)
    book["first"], book["end"] = offset[:-1], offset[1:]
    book["lowest"], book["highest"], book["inverse"], book["base"] = rulers.T
    book["stream"], book["home"], book["flip"], book["seen"] = stream, home, flip, NEVER
    alive = np.full(int(stream.max(initial=0)) + 1, NEVER, np.int64)
    best = np.full((2, books), np.array((-1, -1, 0), BEST))
    best["edge"] = slots - offset[:-1], offset[1:]
    stands = np.zeros((2, slots // WORD + 1), np.uint64)
    return Ladders(book, best, np.zeros((2, slots), LEVEL), price.astype(np.int64), alive, table, stands)


MOVING = ("book", "best", "level", "alive", "stands")


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return room for an array that begins where a line of the cache does, with nothing in it yet."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)


def words(array: npt.NDArray[Any]) -> I64:
    """Return the whole words of an array, those of a record along an axis more.

    numpy copies records field by field, in five times as long as their words.
    """
    return array.view(np.int64).reshape(*array.shape, array.itemsize // np.int64().itemsize)


def copy_of(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of an array of whole words, `aligned`."""
    found = aligned(array.shape, array.dtype)
    words(found)[...] = words(array)
    return found


def copied(ladders: Ladders) -> Ladders:
    """Return an independent copy; what never changes is shared."""
    return ladders._replace(**{name: copy_of(getattr(ladders, name)) for name in MOVING})


def take_over(ladders: Ladders, other: Ladders) -> None:
    """Make ladders equal to others of the same tape, in place."""
    for name in MOVING:
        words(getattr(ladders, name))[...] = words(getattr(other, name))


def deepest(ladders: Ladders) -> int:
    """Return the number of prices of the book that has most, at least 1."""
    return int((ladders.book["end"] - ladders.book["first"]).max(initial=1))


@inlined
def set_level(ladders, book, side, slot, total, lower, message, hopeful):  # type: ignore[no-untyped-def]
    """Set one level to a new total, keep the best up to date and settle what we took there; `lower` is 0 or 1.

    With q taken by us and the total going from T0 to T1: cautious q = min(q, T1), others' removals were not ours;
    hopeful q = max(0, q - (T0 - T1)) on a fall, the removal was our own take being shown.

    Unsigned indices, because a signed one is looked at for a minus each time; and no branch where half the rows go
    one way: a third of them move a best, and no processor foresees which. So the best is found by arithmetic alone,
    in places that count from a side's best price to its worst: where what stands at a place is told by bits, the best
    behind one that is gone is the lowest bit left.
    """
    one = np.uint64(side)
    level, best = ladders.level[one, np.uint64(slot)], ladders.best[one, np.uint64(book)]
    before, q = level.size, level.taken
    level.size, level.low = total, lower & (total > 0)
    if q > 0:
        if hopeful and total < before:
            q = max(0, q - (before - total))
        level.taken = min(q, total)
    down = np.uint64(side - 1)  # all ones for bids, whose places count from the highest price down
    turn = down & np.uint64(len(ladders.price))
    place, top = (np.uint64(slot) ^ down) + turn, (np.uint64(best.slot) ^ down) + turn  # empty: behind all others
    word, bit, stands = place >> WORD_BITS, place & LAST_BIT, np.uint64(total > 0)
    there = ladders.stands[one, word] & ~(ONE << bit) | stands << bit
    ladders.stands[one, word] = there
    rest, left = there >> bit, np.uint64(total) | place ^ top  # 0: the best level is gone
    found = place + trailing_zeros(rest)  # itself, while it is not empty
    if left | rest == NOTHING:
        found = _beyond(ladders.stands, one, word, best.edge)
    gone = np.uint64(left == NOTHING)
    kept = (gone | stands & np.uint64(place <= top)) - ONE  # all ones: this row does not set the best
    new = found if found < best.edge else turn | ~down
    best.slot = np.int64((min(new | kept, top | NOTHING - gone) ^ down) + turn)
    best.message = max(best.message, message | np.int64(kept))


@compiled
def _beyond(stands, side, word, edge):  # type: ignore[no-untyped-def]
    """Return the place of the first level that is not empty in the words behind one; `edge` or more: there is none."""
    place = (word + ONE) << WORD_BITS
    while place < edge:
        here = stands[side, place >> WORD_BITS]
        if here != NOTHING:
            return place + trailing_zeros(here)
        place += LAST_BIT + ONE
    return place


@compiled
def empty(ladders, book):  # type: ignore[no-untyped-def]
    """Forget every level of a book, and with them what we took there."""
    for side in range(2):
        best = ladders.best[side, book]
        while best.slot >= 0:
            set_level(ladders, book, side, best.slot, 0, 0, best.message, False)


@compiled
def _said(ladders, book, kind, size, message):  # type: ignore[no-untyped-def]
    """Apply what is said of a whole book: rare, so that it is not in the way of the rows that are not."""
    its = ladders.book[book]
    if kind == KIND_CLEAR:
        empty(ladders, book)
        its.known, its.gapped = 1, 0
        ladders.best[0, book].message = message
        ladders.best[1, book].message = message
    elif kind == KIND_GAP:
        empty(ladders, book)
        its.known, its.gapped = 0, 1
    elif kind == KIND_STATUS:
        its.status = size
    elif kind == KIND_RESOLUTION:
        its.status = 4


@inlined
def row_at(columns, place):  # type: ignore[no-untyped-def]
    """Return the row that stands at a place of a view's order."""
    return np.uint64(columns.order[np.uint64(place)] if len(columns.order) else place)


@inlined
def coming(ladders, columns, place):  # type: ignore[no-untyped-def]
    """Return (row, book, meta, slot) of what stands at a place of a view's order; no slot of what sets no level.

    Whoever applies rows asks for the next one before it applies the last: a processor works at both together, and of
    many books nothing waits until the level of a row is found. Behind the last row nothing means anything.
    """
    if place >= len(columns.at):
        return np.uint64(0), np.int64(0), np.int64(0), np.int64(0)
    row = row_at(columns, place)
    book, meta, slot = np.int64(columns.book[row]), np.int64(columns.meta[row]), np.int64(0)
    if meta & KIND_MASK == KIND_LEVEL:
        slot = slot_used(ladders, book, np.int64(columns.price[row]))
    return row, book, meta, slot


@inlined
def apply_row(ladders, at, lag, book, meta, slot, size, message, hopeful):  # type: ignore[no-untyped-def]
    """Apply one row: `at` ns on the clock of this view, `lag` the row's ts_recv - ts_venue, `message` its number.

    `book`, `meta` and `slot` are as `coming` tells them.
    """
    kind, its = meta & KIND_MASK, ladders.book[np.uint64(book)]
    its.seen, its.lag, ladders.alive[np.uint64(its.stream)] = at, lag, at
    if kind == KIND_LEVEL:
        side = ((meta & SIDE_MASK) >> SIDE_SHIFT) - SIDE_BID
        set_level(ladders, book, side, slot, size, (meta & LOWER) >> LOWER_SHIFT, message, hopeful)
    elif kind != KIND_PRINT:
        _said(ladders, book, kind, size, message)


@compiled
def is_healthy(ladders, book, now, max_silence):  # type: ignore[no-untyped-def]
    """Tell whether a book may price an order at `now` ns: known, not crossed, open, its stream alive."""
    home = ladders.book[book].home
    if ladders.book[home].known == 0 or ladders.book[home].status != 0:
        return False
    if now - ladders.alive[ladders.book[home].stream] > max_silence:
        return False
    bid, ask = ladders.best[0, home].slot, ladders.best[1, home].slot
    return bid < 0 or ask < 0 or ladders.price[bid] < ladders.price[ask]


@compiled
def walk(ladders, book, side, want, prices, sizes):  # type: ignore[no-untyped-def]
    """Collect what stands on one side of a book, best first, up to `want`, less what we took.

    `side` 1 reads asks (a buyer's view), 0 bids; a mirror view reads the opposite side of its home. Fills `prices`
    and `sizes` (millionths) and returns (levels, total collected, 1 if all were true sizes). Stops at their length.
    """
    home = ladders.book[book].home
    flip = ladders.book[book].flip == 1
    own = 1 - side if flip else side
    slot = ladders.best[own, home].slot
    n, total, exact = 0, 0, 1
    if slot < 0:
        return n, total, exact
    step = -1 if own == 0 else 1
    end = ladders.book[home].first - 1 if own == 0 else ladders.book[home].end
    while slot != end and total < want and n < len(prices):
        level = ladders.level[own, slot]
        there = level.size - level.taken
        if there > 0:
            part = min(there, want - total)
            prices[n] = MICRO - ladders.price[slot] if flip else ladders.price[slot]
            sizes[n] = part
            total += part
            n += 1
            if level.low:
                exact = 0
        slot += step
    return n, total, exact


@inlined
def forward(ladders, columns, start, stop, until, hopeful):  # type: ignore[no-untyped-def]
    """Apply what stands at places start..stop of a view's order, up to `until` ns; return the next place.

    All rows of one message share a number, the place of its first row.
    """
    message, i, ahead = start, start, coming(ladders, columns, start)
    while message > 0 and columns.meta[row_at(columns, message - 1)] & LAST == 0:
        message -= 1  # the rows before ended inside this message
    while i < stop:
        row, book, meta, slot = ahead
        at = columns.at[row]
        if at > until:
            break
        i += 1
        ahead = coming(ladders, columns, i)
        apply_row(ladders, at, at - columns.venue[row], book, meta, slot, columns.size[row], message, hopeful)
        if meta & LAST:
            message = i
    return i
