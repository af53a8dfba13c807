"""Price ladders of all books of a tape as flat arrays, and the compiled steps that move them.

A ladder indexes the sorted set of prices its book ever uses, so fine and tapered grids cost no more than coarse
ones. `Ladders` is a named tuple of arrays: compiled code takes it whole, Python reads it, `copied` forks a world.

Slots are positions in the flat arrays; book b owns slots offset[b]..offset[b + 1]. A book that is not recorded has
no slots: `home[b]` names the book whose rows it is read off and `flip[b]` says that prices are one dollar minus
those. `taken` is what we took ourselves from a level that still stands in the recording (design: consumption).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from arbkit.books.meta import (
    KIND_CLEAR,
    KIND_GAP,
    KIND_LEVEL,
    KIND_MASK,
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

BID, ASK = 0, 1  # sides inside the arrays
NEVER = np.int64(-(2**62))  # a stamp before every other


class Ladders(NamedTuple):
    """State of every book. First axis of size, low, taken: 0 bids, 1 asks; second: slots."""

    offset: I64  # [books + 1]
    price: I64  # [slots] millionths, ascending inside a book
    size: I64  # [2, slots] totals as recorded, millionths of a share
    low: U8  # [2, slots] 1: lower bound only
    taken: I64  # [2, slots] ours, out of the total
    top: I64  # [2, books] slot of the best recorded level, -1: side empty
    known: U8  # [books] 0 unknown (never seen, or gapped), 1 healthy
    gapped: U8  # [books] 1: was known once and lost
    status: I64  # [books] as in status rows, 0 open
    seen: I64  # [books] ns of the last row of this book, received
    lag: I64  # [books] ns between venue's stamp and ours in that row
    message: I64  # [2, books] number of the message that last set the best of each side
    stream: I64  # [books] number of the stream a book arrives by
    alive: I64  # [streams] ns of the last proof that the stream was alive
    home: I64  # [books] the book whose rows stand for this one
    flip: U8  # [books] 1: read off its mirror
    ruler: I64  # [books, 4] and the table of `books.ruler`, by which a price's slot is found
    table: I32


def fresh(offset: I64, price: npt.NDArray[np.int32], stream: I64, home: I64, flip: U8) -> Ladders:
    """Return ladders in which nothing is known yet."""
    books, slots = len(offset) - 1, len(price)
    ruler, table = measured(offset, price)
    return Ladders(
        offset=offset.astype(np.int64),
        price=price.astype(np.int64),
        size=np.zeros((2, slots), np.int64),
        low=np.zeros((2, slots), np.uint8),
        taken=np.zeros((2, slots), np.int64),
        top=np.full((2, books), -1, np.int64),
        known=np.zeros(books, np.uint8),
        gapped=np.zeros(books, np.uint8),
        status=np.zeros(books, np.int64),
        seen=np.full(books, NEVER, np.int64),
        lag=np.zeros(books, np.int64),
        message=np.full((2, books), -1, np.int64),
        stream=stream.astype(np.int64),
        alive=np.full(int(stream.max(initial=0)) + 1, NEVER, np.int64),
        home=home.astype(np.int64),
        flip=flip.astype(np.uint8),
        ruler=ruler,
        table=table,
    )


MOVING = ("size", "low", "taken", "top", "known", "gapped", "status", "seen", "lag", "message", "alive")


def copied(ladders: Ladders) -> Ladders:
    """Return an independent copy; what never changes is shared."""
    return ladders._replace(**{name: getattr(ladders, name).copy() for name in MOVING})


def take_over(ladders: Ladders, other: Ladders) -> None:
    """Make ladders equal to others of the same tape, in place."""
    for name in MOVING:
        getattr(ladders, name)[...] = getattr(other, name)


@inlined
def set_level(ladders, book, side, slot, total, lower, message, hopeful):  # type: ignore[no-untyped-def]
    """Set one level to a new total, keep the best up to date and settle what we took there; `lower` is 0 or 1.

    With q taken by us and the total going from T0 to T1: cautious q = min(q, T1), others' removals were not ours;
    hopeful q = max(0, q - (T0 - T1)) on a fall, the removal was our own take being shown.

    Unsigned indices, because a signed one is looked at for a minus each time; and no branch where half the rows go
    one way: a third of them move a best, and no processor foresees which.
    """
    its, one, cell = np.uint64(book), np.uint64(side), np.uint64(slot)
    before = ladders.size[one, cell]
    ladders.size[one, cell] = total
    ladders.low[one, cell] = lower & (total > 0)
    q = ladders.taken[one, cell]
    if q > 0:
        if hopeful and total < before:
            q = max(0, q - (before - total))
        ladders.taken[one, cell] = min(q, total)
    top = ladders.top[one, its]
    if (total == 0) & (slot == top):
        step = -1 if side == 0 else 1
        end = ladders.offset[its] - 1 if side == 0 else ladders.offset[its + np.uint64(1)]
        slot += step
        while slot != end and ladders.size[one, np.uint64(slot)] == 0:
            slot += step
        ladders.top[one, its] = -1 if slot == end else slot
        ladders.message[one, its] = message
    else:
        turn = -np.int64(side)  # of asks the lower slot is the better one: all bits the other way round
        best = (total > 0) & ((top < 0) | (slot ^ turn >= top ^ turn))
        newest = ladders.message[one, its]
        ladders.top[one, its] = slot if best else top
        ladders.message[one, its] = message if best else newest


@compiled
def empty(ladders, book):  # type: ignore[no-untyped-def]
    """Forget every level of a book, and with them what we took there."""
    for slot in range(ladders.offset[book], ladders.offset[book + 1]):
        for side in range(2):
            ladders.size[side, slot] = 0
            ladders.low[side, slot] = 0
            ladders.taken[side, slot] = 0
    ladders.top[0, book] = -1
    ladders.top[1, book] = -1


@inlined
def apply_row(ladders, at, lag, book, meta, price, size, message, hopeful):  # type: ignore[no-untyped-def]
    """Apply one row: `at` ns on the clock of this view, `lag` the row's ts_recv - ts_venue, `message` its number."""
    kind = meta & KIND_MASK
    if kind == KIND_LEVEL:
        side = ((meta & SIDE_MASK) >> SIDE_SHIFT) - SIDE_BID
        slot = slot_used(ladders, book, price)
        set_level(ladders, book, side, slot, size, (meta & LOWER) >> LOWER_SHIFT, message, hopeful)
    elif kind == KIND_CLEAR:
        empty(ladders, book)
        ladders.known[book] = 1
        ladders.gapped[book] = 0
        ladders.message[0, book] = message
        ladders.message[1, book] = message
    elif kind == KIND_GAP:
        empty(ladders, book)
        ladders.gapped[book] = 1
        ladders.known[book] = 0
    elif kind == KIND_STATUS:
        ladders.status[book] = size
    elif kind == KIND_RESOLUTION:
        ladders.status[book] = 4
    its = np.uint64(book)
    ladders.seen[its] = at
    ladders.lag[its] = lag
    ladders.alive[np.uint64(ladders.stream[its])] = at


@compiled
def is_healthy(ladders, book, now, max_silence):  # type: ignore[no-untyped-def]
    """Tell whether a book may price an order at `now` ns: known, not crossed, open, its stream alive."""
    home = ladders.home[book]
    if ladders.known[home] == 0 or ladders.status[home] != 0:
        return False
    if now - ladders.alive[ladders.stream[home]] > max_silence:
        return False
    bid, ask = ladders.top[0, home], ladders.top[1, home]
    return bid < 0 or ask < 0 or ladders.price[bid] < ladders.price[ask]


@compiled
def walk(ladders, book, side, want, prices, sizes):  # type: ignore[no-untyped-def]
    """Collect what stands on one side of a book, best first, up to `want`, less what we took.

    `side` 1 reads asks (a buyer's view), 0 bids; a mirror view reads the opposite side of its home. Fills `prices`
    and `sizes` (millionths) and returns (levels, total collected, 1 if all were true sizes). Stops at their length.
    """
    home = ladders.home[book]
    flip = ladders.flip[book] == 1
    own = 1 - side if flip else side
    slot = ladders.top[own, home]
    n, total, exact = 0, 0, 1
    if slot < 0:
        return n, total, exact
    step = -1 if own == 0 else 1
    end = ladders.offset[home] - 1 if own == 0 else ladders.offset[home + 1]
    while slot != end and total < want and n < len(prices):
        there = ladders.size[own, slot] - ladders.taken[own, slot]
        if there > 0:
            part = min(there, want - total)
            prices[n] = MICRO - ladders.price[slot] if flip else ladders.price[slot]
            sizes[n] = part
            total += part
            n += 1
            if ladders.low[own, slot]:
                exact = 0
        slot += step
    return n, total, exact


@compiled
def advance(ladders, at, lag, book, meta, price, size, order, start, stop, until, hopeful):  # type: ignore[no-untyped-def]
    """Apply rows order[start:stop] (or start..stop when `order` is empty) whose `at` is <= until; return the next.

    All rows of one message share a number, the place of its first row.

    `at` and the other columns are the tape's; `order` is a permutation for views that see rows in another order.
    """
    plain = len(order) == 0
    i = start
    message = start
    while message > 0 and meta[message - 1 if plain else order[message - 1]] & LAST == 0:
        message -= 1  # the chunk before ended inside this message
    while i < stop:
        row = i if plain else order[i]
        if at[row] > until:
            break
        apply_row(ladders, at[row], lag[row], book[row], meta[row], np.int64(price[row]), size[row], message, hopeful)
        i += 1
        if meta[row] & LAST:
            message = i
    return i
