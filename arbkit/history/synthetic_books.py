"""The books behind a synthetic tape: what each planned event does to them, as rows.

Prices are whole cents here, 1..99, on the YES scale of each market. A market has a core, the best bid and ask it
wants to show, one or two cents apart. Levels stand at the core or outside it, never inside, so two markets whose
cores mirror each other never sell one dollar for less; a jump of one core is what opens an episode.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbkit.books.meta import (
    BUYER,
    KIND_CLEAR,
    KIND_LEVEL,
    KIND_PRINT,
    LAST,
    SELLER,
    SIDE_ASK,
    SIDE_BID,
    SIDE_SHIFT,
)
from arbkit.core.compiled import compiled
from arbkit.core.units import MICRO

BACKGROUND, JUMP, FOLLOW, STEP, STEP_FOLLOW = range(5)  # kinds of event

BID, ASK = 0, 1
CENT = 10_000  # millionths of a dollar
DEPTH = 12  # levels on each side that are kept filled
WIDEST = 3  # cents between best bid and best ask, at most
LOW, HIGH = 22, 78  # cents: beyond them the fair price only comes back
ROOM = 4 * (DEPTH + 24) * 2  # rows of one move at most: each level once, in both books, and the prints

LEVEL_MEDIAN, LEVEL_SIGMA = 250.0, 1.7  # shares; see the measured figures in `synthetic`
TRADE_MEDIAN, TRADE_SIGMA = 29.0, 1.75
MOST = 200_000  # shares at one level
MEMORY = 0.9  # of the logarithm of a level's size from one change to the next


class Drawn(NamedTuple):
    """The rows that came out, each with the number of its event."""

    event: NDArray[np.int64]
    book: NDArray[np.int16]
    meta: NDArray[np.uint8]
    price: NDArray[np.int32]
    size: NDArray[np.int64]


class World(NamedTuple):
    """The state of both markets and the rows so far, as arrays that compiled code changes in place."""

    shares: NDArray[np.int64]  # [market, side, cents] what stands there
    core: NDArray[np.int64]  # [market, side] cents
    mode: NDArray[np.int64]  # [1] 1: an episode is open
    gone: NDArray[np.int64]  # [cents] what the move of the moment took out
    used: NDArray[np.int64]  # [rows written, uniforms used, normals used, event]
    uniform: NDArray[np.float64]
    normal: NDArray[np.float64]
    rows: Drawn


def play(
    kind: NDArray[np.int64],
    market: NDArray[np.int64],
    cents: NDArray[np.int64],
    trade_share: float,
    rng: np.random.Generator,
) -> Drawn:
    """Return the rows of these events, in their order; the first two open the books of market 0 and 1."""
    moves = int(np.count_nonzero(kind != BACKGROUND)) + 2
    room = 4 * len(kind) + ROOM * moves
    world = World(
        shares=np.zeros((2, 2, 101), np.int64),
        core=np.array([[49, 51], [49, 51]], np.int64),
        mode=np.zeros(1, np.int64),
        gone=np.zeros(101, np.int64),
        used=np.zeros(4, np.int64),
        uniform=rng.random(6 * len(kind) + 64 * moves),
        normal=rng.standard_normal(2 * len(kind) + 64 * moves),
        rows=Drawn(
            event=np.zeros(room, np.int64),
            book=np.zeros(room, np.int16),
            meta=np.zeros(room, np.uint8),
            price=np.zeros(room, np.int32),
            size=np.zeros(room, np.int64),
        ),
    )
    _play(world, kind, market, cents, trade_share)
    end, rows = int(world.used[0]), world.rows
    return Drawn(rows.event[:end], rows.book[:end], rows.meta[:end], rows.price[:end], rows.size[:end])


@compiled
def _uniform(world):  # type: ignore[no-untyped-def]
    world.used[1] += 1
    return world.uniform[world.used[1] - 1]


@compiled
def _shares(world, median, sigma):  # type: ignore[no-untyped-def]
    """Draw a log-normal number of whole shares, at least one."""
    world.used[2] += 1
    z = world.normal[world.used[2] - 1]
    return np.int64(min(max(median * math.exp(sigma * z), 1.0), MOST))


@compiled
def _write(world, book, meta, price, size):  # type: ignore[no-untyped-def]
    """Write one row that does not end its message."""
    rows, at = world.rows, world.used[0]
    rows.event[at] = world.used[3]
    rows.book[at] = book
    rows.meta[at] = meta
    rows.price[at] = price
    rows.size[at] = size
    world.used[0] += 1


@compiled
def _end_message(world):  # type: ignore[no-untyped-def]
    world.rows.meta[world.used[0] - 1] |= LAST


@compiled
def _set(world, market, side, cents, shares):  # type: ignore[no-untyped-def]
    """Set one level to a new total; ALPHA's is told twice, on YES and, as the mirrored level, on NO."""
    world.shares[market, side, cents] = shares
    own = SIDE_BID if side == BID else SIDE_ASK
    other = SIDE_ASK if side == BID else SIDE_BID
    _write(world, 2 * market, KIND_LEVEL | own << SIDE_SHIFT, cents * CENT, shares * MICRO)
    if market == 0:
        _write(world, 1, KIND_LEVEL | other << SIDE_SHIFT, MICRO - cents * CENT, shares * MICRO)


@compiled
def _print(world, market, side, cents, shares):  # type: ignore[no-untyped-def]
    """Tell a trade that took from a side, as a message of its own: prints stand on the YES book only."""
    aggressor = BUYER if side == ASK else SELLER
    _write(world, 2 * market, KIND_PRINT | aggressor << SIDE_SHIFT, cents * CENT, shares * MICRO)
    _end_message(world)


@compiled
def _best(world, market, side):  # type: ignore[no-untyped-def]
    """Return the best level of a side in cents. There always is one: no removal may leave more than WIDEST."""
    at = world.core[market, side]
    while world.shares[market, side, at] == 0:
        at += -1 if side == BID else 1
    return at


@compiled
def _may_go(world, market, side, cents):  # type: ignore[no-untyped-def]
    """Tell whether a level may vanish: a best one only outside episodes and where the next is near."""
    if _best(world, market, side) != cents:
        return True
    if world.mode[0] == 1:
        return False
    opposite = _best(world, market, 1 - side)
    step = -1 if side == BID else 1
    at = cents + step
    while abs(at - opposite) <= WIDEST:
        if world.shares[market, side, at] > 0:
            return True
        at += step
    return False


@compiled
def _background(world, market, trade_share):  # type: ignore[no-untyped-def]
    """A trade at the best level of one side, or a new total at a level near it."""
    side = BID if _uniform(world) < 0.5 else ASK
    if _uniform(world) < trade_share:
        best = _best(world, market, side)
        there = world.shares[market, side, best]
        taken = min(there, _shares(world, TRADE_MEDIAN, TRADE_SIGMA))
        if taken == there and not _may_go(world, market, side, best):
            taken -= 1
        if taken > 0:
            _set(world, market, side, best, there - taken)
            _end_message(world)
            _print(world, market, side, best, taken)
            return
    distance = np.int64(min(-math.log(1.0 - _uniform(world)) * 2.2, DEPTH - 1.0))
    cents = world.core[market, side] + (-distance if side == BID else distance)
    there = world.shares[market, side, cents]
    if there == 0:
        total = _shares(world, LEVEL_MEDIAN, LEVEL_SIGMA)
    elif _uniform(world) < 0.12 and _may_go(world, market, side, cents):
        total = np.int64(0)
    else:
        around = LEVEL_MEDIAN * math.exp(MEMORY * math.log(there / LEVEL_MEDIAN))
        total = _shares(world, around, LEVEL_SIGMA * math.sqrt(1.0 - MEMORY * MEMORY))
        if total == there:  # a level that is restated tells nothing
            total += 1
    _set(world, market, side, cents, total)
    _end_message(world)


@compiled
def _is_empty(world, market):  # type: ignore[no-untyped-def]
    for side in range(2):
        for total in world.shares[market, side]:
            if total > 0:
                return False
    return True


@compiled
def _move(world, market, bid, ask, sweep):  # type: ignore[no-untyped-def]
    """Bring a market's core to (bid, ask) in one message: what is in the way goes, what is missing comes.

    With `sweep` the levels in the way were taken by trades, of which the last may have been partly cancelled: their
    prints follow, each as a message of its own.
    """
    gone = world.gone
    gone[:] = 0
    up = bid >= world.core[market, BID]
    fresh = max(abs(bid - world.core[market, BID]), abs(ask - world.core[market, ASK]))  # levels nobody quoted yet
    if _is_empty(world, market):
        fresh = DEPTH
    swept = ASK if up else BID
    for cents in range(1, 100):
        for side in range(2):
            there = world.shares[market, side, cents]
            inside = cents > bid if side == BID else cents < ask
            far = cents <= bid - DEPTH - 4 if side == BID else cents >= ask + DEPTH + 4
            if there > 0 and (inside or far):
                if inside and side == swept:
                    gone[cents] = there
                _set(world, market, side, cents, 0)
    world.core[market, BID], world.core[market, ASK] = bid, ask
    for distance in range(DEPTH):
        for side in range(2):
            cents = bid - distance if side == BID else ask + distance
            likely = 1.0 if distance == 0 else 0.9 if distance < fresh else 0.1
            if world.shares[market, side, cents] == 0 and _uniform(world) < likely:
                _set(world, market, side, cents, _shares(world, LEVEL_MEDIAN, LEVEL_SIGMA))
    if world.rows.event[world.used[0] - 1] == world.used[3]:
        _end_message(world)
    if sweep:
        for i in range(1, 100):
            cents = i if up else 100 - i
            if gone[cents] > 0:
                share = 0.4 + 0.6 * _uniform(world)
                _print(world, market, swept, cents, max(np.int64(gone[cents] * share), np.int64(1)))


@compiled
def _open(world, market):  # type: ignore[no-untyped-def]
    """Tell a market's books from nothing, in one message: clear, then every level."""
    for book in range(2 * market, 2 * market + (2 if market == 0 else 1)):
        _write(world, book, KIND_CLEAR, 0, 0)
    _move(world, market, world.core[market, BID], world.core[market, ASK], False)


@compiled
def _goes_up(world, market):  # type: ignore[no-untyped-def]
    """Draw the direction of a move on a market's own scale, the likelier one towards fifty cents."""
    middle = (world.core[market, BID] + world.core[market, ASK]) / 2
    if middle < LOW:
        return True
    if middle > HIGH:
        return False
    return _uniform(world) < 0.5 - (middle - 50) / 60


@compiled
def _jump(world, market, cents):  # type: ignore[no-untyped-def]
    """Move one market so far that it and the other, as it stands, sell one dollar for `cents` less."""
    spread = 1 if _uniform(world) < 0.6 else 2
    sweep = _uniform(world) < 0.5
    if _goes_up(world, market):
        bid = 100 - _best(world, 1 - market, BID) + cents  # the two NO books: 1 - bid each
        _move(world, market, bid, bid + spread, sweep)
    else:
        ask = 100 - _best(world, 1 - market, ASK) - cents
        _move(world, market, ask - spread, ask, sweep)


@compiled
def _step(world, market):  # type: ignore[no-untyped-def]
    """Move one market by a cent. Its bid comes to its old ask at most, where the other's bid adds up to one dollar."""
    spread = 1 if _uniform(world) < 0.6 else 2
    sweep = _uniform(world) < 0.5
    if _goes_up(world, market):
        bid = world.core[market, BID] + 1
        _move(world, market, bid, bid + spread, sweep)
    else:
        ask = world.core[market, ASK] - 1
        _move(world, market, ask - spread, ask, sweep)


@compiled
def _play(world, kind, market, cents, trade_share):  # type: ignore[no-untyped-def]
    for i in range(len(kind)):
        world.used[3] = i
        who = market[i]
        if i < 2:
            _open(world, who)
        elif kind[i] == BACKGROUND:
            _background(world, who, trade_share)
        elif kind[i] == JUMP:
            _jump(world, who, cents[i])
            world.mode[0] = 1
        elif kind[i] == STEP:
            _step(world, who)
        else:
            _move(world, who, 100 - world.core[1 - who, ASK], 100 - world.core[1 - who, BID], _uniform(world) < 0.5)
            world.mode[0] = 0
