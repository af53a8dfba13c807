"""The venue's own view: all books in the venue's time, our resting orders among them, and the compiled matching.

`step` moves the books row by row and stops behind the first row that concerns one of our orders. Everything here
speaks in the coordinates of recorded books: an order on a mirror view is turned round before it comes in (buying NO
at p is selling YES at one dollar minus p). Two recorded books of one market are one pool: what is taken from one is
taken from the other, and a print on either is a trade in both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arbkit.backtest.queue import (
    BEYOND,
    CLOSED,
    EXPLAIN_NS,
    FAR,
    QUEUE,
    REACHED,
    WALK,
    WALK_BOUND,
    after_level,
    hits,
    traded_at,
)
from arbkit.books.ladder import I64, LEVEL, NEVER, Ladders, aligned, apply_row, coming, copied, set_level, words
from arbkit.books.meta import (
    BUYER,
    KIND_LEVEL,
    KIND_MASK,
    KIND_PRINT,
    KIND_RESOLUTION,
    KIND_STATUS,
    LOWER,
    LOWER_SHIFT,
    SELLER,
    SIDE_BID,
    SIDE_MASK,
    SIDE_SHIFT,
    UNKNOWN_AGGRESSOR,
)
from arbkit.books.meta import (
    CLOSED as MARKET_CLOSED,
)
from arbkit.books.ruler import slot_of
from arbkit.core.compiled import compiled, inlined
from arbkit.core.units import MICRO

ORDER = np.dtype(
    [
        ("book", np.int64),  # recorded book it rests in
        ("side", np.int64),  # 0 bid, 1 ask, in that book
        ("price", np.int64),
        ("left", np.int64),  # shares not filled yet
        ("ahead", np.int64),  # shares that are served before it
        ("credit", np.int64),  # fall of `ahead` that a coming print may still explain
        ("credit_at", np.int64),  # ns of the last such fall
        ("debit", np.int64),  # traded at our price and not yet seen as a fall of the level
        ("debit_at", np.int64),  # ns of the last such trade
        ("reached", np.int64),  # filled by the other side coming to our price, not yet told as a trade
        ("mark", np.int64),  # the row that looked at it last
    ]
)
MATCH = np.dtype([("order", np.int64), ("price", np.int64), ("size", np.int64), ("row", np.int64), ("model", np.int64)])
# What matching needs to know of a level besides, in the same place: of many books only what is read together is near.
TRACED = np.dtype(
    [
        *LEVEL.descr,
        ("set_by", np.int64),  # row of the tape that last set it, -1: none
        ("drop", np.int64),  # what it fell by since `since`, for EXPLAIN_NS at most, and no print has explained yet
        ("drop_at", np.int64),  # ns of the last such fall
        ("since", np.int64),  # ns of the first such fall
        ("older", np.int64),  # the same of the stretch before that one, where the falls went on
    ]
)


class VenueBooks(NamedTuple):
    """Ladders in the venue's time, whose levels also hold what matching needs to know of each."""

    ladders: Ladders  # its levels of TRACED
    twin: I64  # [books] the other recorded book of the same market, -1: none


def opened(ladders: Ladders, twin: I64) -> VenueBooks:
    """Return the venue's view of books of which nothing is known yet."""
    level = aligned(ladders.level.shape, TRACED)
    words(level)[...] = words(np.array([(0, 0, 0, -1, 0, NEVER, NEVER, 0)], TRACED))
    return VenueBooks(ladders._replace(level=level), twin)


def forked(books: VenueBooks) -> VenueBooks:
    """Return an independent copy."""
    return books._replace(ladders=copied(books.ladders))


@compiled
def take(books, book, side, limit, want, need, prices, sizes, rows, models):  # type: ignore[no-untyped-def]
    """Take up to `want` shares from one side of a recorded book at `limit` or better; return (levels, shares).

    `side` 1 takes asks. What we hold already is not there to be taken; a lower bound is taken up to the bound.
    Nothing is taken, only told, when fewer than `need` shares are there.
    """
    ladders = books.ladders
    n, total = 0, np.int64(0)
    slot = ladders.best[side, book].slot
    if slot < 0:
        return n, total
    way = -1 if side == 0 else 1
    end = ladders.book[book].first - 1 if side == 0 else ladders.book[book].end
    first = slot
    while slot != end and total < want and n < len(prices):
        price = ladders.price[slot]
        if price > limit if side == 1 else price < limit:
            break
        level = ladders.level[side, slot]
        there = level.size - level.taken
        if there > 0:
            prices[n], rows[n] = price, level.set_by
            sizes[n] = min(there, want - total)
            models[n] = WALK_BOUND if level.low else WALK
            total += sizes[n]
            n += 1
        slot += way
    if total >= need:
        slot = first
        for i in range(n):
            while ladders.price[slot] != prices[i]:
                slot += way
            ladders.level[side, slot].taken += sizes[i]
            _take_twin(books, book, side, prices[i], sizes[i])
    return n, total


@compiled
def _take_twin(books, book, side, price, size):  # type: ignore[no-untyped-def]
    """Take the same shares from the other recorded book of the market, where they stand on the other side."""
    ladders, twin = books.ladders, books.twin[book]
    if twin < 0:
        return
    slot = slot_of(ladders, twin, MICRO - price)
    if slot >= 0:
        level = ladders.level[1 - side, slot]
        level.taken = min(level.taken + size, level.size)


@compiled
def unexplained(books, book, side, price, at):  # type: ignore[no-untyped-def]
    """Return (total, 1 if a lower bound, recent fall no print has explained, its ns) of a level; zeros: not there.

    All that fell in the last EXPLAIN_NS is in it, and nothing that fell more than four of them ago.
    """
    ladders = books.ladders
    slot = slot_of(ladders, book, price)
    if slot < 0:
        return np.int64(0), 0, np.int64(0), np.int64(NEVER)
    level = ladders.level[side, slot]
    fell = min(FAR, level.drop + level.older) if at - level.drop_at <= EXPLAIN_NS else np.int64(0)
    return level.size, level.low, fell, level.drop_at


@compiled
def _fill(orders, k, size, row, model, matches, n):  # type: ignore[no-untyped-def]
    """Note a match of order k at its own price; return the number of matches noted."""
    orders[k].left -= size
    matches[n].order, matches[n].price, matches[n].size = k, orders[k].price, size
    matches[n].row, matches[n].model = row, model
    return n + 1


@compiled
def _is_open(books, book):  # type: ignore[no-untyped-def]
    twin = books.twin[book]
    return books.ladders.book[book].status == 0 and (twin < 0 or books.ladders.book[twin].status == 0)


@compiled
def _moved(orders, k, at, before, total, low, rule):  # type: ignore[no-untyped-def]
    """Move order k in the queue of its level, which has gone from `before` shares to `total`."""
    debit = orders[k].debit if at - orders[k].debit_at <= EXPLAIN_NS else np.int64(0)
    ahead, fell = after_level(rule, orders[k].ahead, before, total, low, debit)
    orders[k].debit = max(0, debit - max(0, before - total))
    if fell > 0:
        fresh = at - orders[k].credit_at <= EXPLAIN_NS
        orders[k].credit = min(FAR, (orders[k].credit if fresh else 0) + fell)
        orders[k].credit_at = at
    orders[k].ahead = ahead


@compiled
def _queues(books, orders, count, at, row, book, side, slot, before, rule, matches):  # type: ignore[no-untyped-def]
    """Move our orders in the queue of a level just set, `before` its old total; fill those on the other side it met."""
    ladders = books.ladders
    price, level = ladders.price[slot], ladders.level[side, slot]
    for k in range(count):
        if orders[k].book == book and orders[k].side == side and orders[k].price == price:
            _moved(orders, k, at, before, level.size, level.low, rule)
    if not _is_open(books, book):
        return 0
    return _reach(books, orders, count, row, book, side, slot, matches)


@compiled
def _reach(books, orders, count, row, book, side, slot, matches):  # type: ignore[no-untyped-def]
    """Fill our orders, best price first, that a level of the other side has come to; return the matches."""
    ladders = books.ladders
    price, level, n = ladders.price[slot], ladders.level[side, slot], 0
    there = level.size - level.taken
    while there > 0:
        best = -1
        for k in range(count):
            if orders[k].book == book and orders[k].side == 1 - side and orders[k].left > 0:
                ours = orders[k].price
                if (ours >= price if side == 1 else ours <= price) and (
                    best < 0 or (ours > orders[best].price if side == 1 else ours < orders[best].price)
                ):
                    best = k
        if best < 0:
            break
        size = min(there, orders[best].left)
        n = _fill(orders, best, size, row, REACHED, matches, n)
        orders[best].reached += size
        level.taken += size
        _take_twin(books, book, side, price, size)
        there -= size
    return n


@inlined
def _explain(books, book, side, price, volume):  # type: ignore[no-untyped-def]
    """Let a print use up the recent fall of the level it traded at."""
    ladders = books.ladders
    slot = slot_of(ladders, book, price)
    if slot >= 0:
        level = ladders.level[side, slot]
        left = max(0, volume - level.drop)
        level.drop = max(0, level.drop - volume)
        level.older = max(0, level.older - left)


@inlined
def _explained(books, book, price, volume, aggressor):  # type: ignore[no-untyped-def]
    """Let a print use up the recent falls of the level it traded at, on both recorded books of its market."""
    if aggressor != UNKNOWN_AGGRESSOR:
        side = 0 if aggressor == SELLER else 1
        _explain(books, book, side, price, volume)
        twin = books.twin[book]
        if twin >= 0:
            _explain(books, twin, 1 - side, MICRO - price, volume)


@compiled
def _owe(books, orders, count, at, book, price, volume, aggressor):  # type: ignore[no-untyped-def]
    """Note for our orders of the level that was hit what the level has still to fall by because of this trade."""
    for k in range(count):
        other = orders[k].book != book
        if other and orders[k].book != books.twin[book]:
            continue
        hit = SELLER if (orders[k].side == 0) != other else BUYER
        if aggressor != hit or orders[k].price != (MICRO - price if other else price):
            continue
        _, _, fell, _ = unexplained(books, orders[k].book, orders[k].side, orders[k].price, at)
        fresh = at - orders[k].debit_at <= EXPLAIN_NS
        orders[k].debit = (orders[k].debit if fresh else 0) + max(0, volume - fell)
        orders[k].debit_at = at


@compiled
def _print(books, orders, count, at, row, book, price, volume, aggressor, rule, matches):  # type: ignore[no-untyped-def]
    """Let a trade between others serve our orders of its pool, best price first, then the eldest."""
    twin = books.twin[book]
    if count:
        _owe(books, orders, count, at, book, price, volume, aggressor)
    _explained(books, book, price, volume, aggressor)
    n, left = 0, volume
    while left > 0:
        best, through, turned = -1, np.int64(-1), False
        for k in range(count):
            if orders[k].left == 0 or orders[k].mark == row:
                continue
            other = orders[k].book == twin
            if orders[k].book != book and not other:
                continue
            ours = MICRO - orders[k].price if other else orders[k].price
            is_bid = (orders[k].side == 0) != other
            beyond = ours - price if is_bid else price - ours
            if beyond > through:
                best, through, turned = k, beyond, other
        if best < 0:
            break
        orders[best].mark = row
        taker = aggressor
        if turned and aggressor != UNKNOWN_AGGRESSOR:
            taker = SELLER if aggressor == BUYER else BUYER
        size, model = _served(orders, best, at, left, through > 0, hits(orders[best].side, taker), rule)
        if size > 0:
            n = _fill(orders, best, size, row, model, matches, n)
            left -= size
    return n


@compiled
def _served(orders, k, at, volume, beyond, hit, rule):  # type: ignore[no-untyped-def]
    """Return (shares, model) that order k gets of `volume` traded beyond its price or at it."""
    if hit != 1:  # perhaps shares that had come to our price and are ours already
        known = min(volume, orders[k].reached)
        orders[k].reached -= known
        volume = volume - known if hit == 2 else np.int64(0)
    if beyond:
        return min(orders[k].left, volume), BEYOND
    if hit == 0:
        return np.int64(0), QUEUE
    if at - orders[k].credit_at > EXPLAIN_NS:
        orders[k].credit = 0
    gain, ahead, credit = traded_at(rule, orders[k].ahead, orders[k].credit, volume, hit == 1)
    orders[k].ahead, orders[k].credit = ahead, credit
    return min(orders[k].left, gain), QUEUE


@compiled
def _end(books, orders, count, row, book, matches):  # type: ignore[no-untyped-def]
    """Note the end of every order in a market that closes."""
    n = 0
    for k in range(count):
        if orders[k].book == book or orders[k].book == books.twin[book]:
            n = _fill(orders, k, np.int64(0), row, CLOSED, matches, n)
    return n


@compiled
def _other(books, orders, count, at, row, book, meta, price, size, rule, hopeful, matches):  # type: ignore[no-untyped-def]
    """Apply a row that sets no level; return the matches noted."""
    apply_row(books.ladders, at, 0, book, meta, np.int64(0), size, row, hopeful)
    kind = meta & KIND_MASK
    if kind == KIND_PRINT:
        aggressor = (meta & SIDE_MASK) >> SIDE_SHIFT
        return _print(books, orders, count, at, row, book, price, size, aggressor, rule, matches)
    if kind == KIND_RESOLUTION or (kind == KIND_STATUS and size == MARKET_CLOSED):
        return _end(books, orders, count, row, book, matches)
    return 0


@inlined
def step(columns, start, stop, until, books, orders, count, concerns, rule, hopeful, matches):  # type: ignore[no-untyped-def]
    """Apply rows start..stop of the venue's order, up to time `until`; stop behind the first that matches.

    `concerns` counts, per book, the resting orders its rows may touch. Returns (next place, matches noted, 1 if the
    next row is later than `until`); all matches noted belong to one row.
    """
    ladders = books.ladders
    ahead = coming(ladders, columns, start)
    for i in range(start, stop):
        index, book, meta, slot = ahead
        at, row = columns.at[index], np.int64(index)
        if at > until:
            return i, 0, 1
        ahead = coming(ladders, columns, i + 1)
        size, its = columns.size[index], ladders.book[np.uint64(book)]
        ours = count if concerns[np.uint64(book)] else 0
        if meta & KIND_MASK == KIND_LEVEL:
            side = ((meta & SIDE_MASK) >> SIDE_SHIFT) - SIDE_BID
            one, cell = np.uint64(side), np.uint64(slot)
            level = ladders.level[one, cell]
            before, bound = level.size, level.low
            set_level(ladders, book, side, slot, size, (meta & LOWER) >> LOWER_SHIFT, row, hopeful)
            its.seen, ladders.alive[np.uint64(its.stream)], level.set_by = at, at, row
            if its.known == 0:
                continue
            # Half of them fall, and no processor foresees which: values are chosen by masks, all ones where it is so.
            falls = -np.int64((size < before) | (bound != 0))
            known, last, since = level.drop, level.drop_at, level.since
            ends = falls & -np.int64(at - since > EXPLAIN_NS)  # a stretch ends by its start: no fall keeps it open
            went_on = -np.int64(at - last <= EXPLAIN_NS)
            fell = (before - size) & (bound - 1) | FAR & -bound  # of a lower bound nobody knows by how much it fell
            level.older ^= (level.older ^ (known & went_on)) & ends
            level.drop = min(FAR, (known & ~ends) + (fell & falls))
            level.since = since ^ (since ^ at) & ends
            level.drop_at = last ^ (last ^ at) & falls
            n = _queues(books, orders, ours, at, row, book, side, slot, before, rule, matches) if ours else 0
        elif (meta & KIND_MASK == KIND_PRINT) & (ours == 0):
            its.seen, its.lag, ladders.alive[np.uint64(its.stream)] = at, 0, at
            _explained(books, book, np.int64(columns.price[index]), size, (meta & SIDE_MASK) >> SIDE_SHIFT)
            n = 0
        else:
            price = np.int64(columns.price[index])
            n = _other(books, orders, ours, at, row, book, meta, price, size, rule, hopeful, matches)
        if n > 0:
            return i + 1, n, 0
    return stop, 0, 0
