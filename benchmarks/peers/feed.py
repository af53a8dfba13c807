"""One made-up feed for every engine: the books of events with two outcomes each, as columns of ticks and whole shares.

Each event has a fair price that wanders. Its two markets quote around it and around what is left of a dollar, so that
the two best asks come to more than a dollar, except in planned *episodes*: two better asks appear within 2 ms, together
four tenths of a cent below a dollar, and vanish again. An episode lasts longer than an order takes to arrive, or both
asks are gone by then, or only the second is there: the three ends that a taker of both legs knows. In a feed for makers
a seller then sweeps the bids of both books, of one or of none, down to one tick below the best bid of the moment at
which the episode opened: a bid that joined it is filled whole or not at all, under any model of queues and by engines
that look at the other side alone.

Rows stand alone: each is a message of its own, at a time of its own. No price is crossed, and what stands at the best
of a side holds any order of the benchmark, so that an engine without partial fills and one with them agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

LEVEL, PRINT = 0, 1
BID, ASK = 0, 1  # of a print: the side that was hit
NS = 1_000_000_000
MS = 1_000_000
START = 1_767_225_600 * NS  # 2026-01-01
OFF = 3  # ticks of a cent's tenth that quotes stay away from the fair price
BETTER = 2  # ticks of a cent's tenth that an episode's asks stand below it
LEAST = 20  # shares of a level, twice what an order of the benchmark wants

APPEARS, VANISHES, SWEPT = 0, 1, 2  # what an action does to a book


class Columns(NamedTuple):
    """Rows of a feed: the venue's ns and ours, book, level or print, side, price in ticks, shares (a level's new total).

    Both clocks rise from row to row.
    """

    at: np.ndarray
    recv: np.ndarray
    book: np.ndarray
    kind: np.ndarray
    side: np.ndarray
    price: np.ndarray
    size: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a feed is to look like; `rows` is met within a percent."""

    rows: int = 5_000_000
    episodes: int = 200
    seconds: float = 20_000.0
    events: int = 1
    ticks: int = 1_000  # in a dollar
    makers: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if self.episodes and self.seconds / self.episodes < 2.0:
            raise ValueError("episodes come at least two seconds apart: within one they would be the same episode")


def taker(rows: int, *, dense: bool = False, **other: Any) -> Spec:
    """Return the feed for takers, 250 rows a second: an episode in 25,000 rows, or, dense, one in 667."""
    return Spec(rows=rows, episodes=max(1, rows * (7_500 if dense else 200) // 5_000_000), seconds=rows / 250, **other)


def maker(rows: int, **other: Any) -> Spec:
    """Return the feed for makers: an episode every 2.2 s and 59 rows."""
    episodes = max(1, rows * 17 // 1_000)
    return Spec(rows=rows, episodes=episodes, seconds=episodes * 2.2, makers=True, **other)


def columns(spec: Spec) -> Columns:
    """Return the rows of a feed, the same for the same spec."""
    rng = np.random.default_rng(spec.seed)
    when, event, book, what = _actions(spec, rng)
    each = 13.2 if spec.makers else 4.0  # rows of an episode
    background = round((spec.rows - each * spec.episodes) / (0.975 if spec.makers else 1.042))  # some tell of two rows
    times = np.sort(rng.integers(0, round(spec.seconds * NS), background))
    room = spec.rows + spec.rows // 20 + 10_000
    rows = Columns(
        *(np.zeros(room, dtype) for dtype in (np.int64, np.int64, np.int16, np.uint8, np.uint8, np.int32, np.int64))
    )
    n = _generate(rng, rows, times, when, event, book, what, spec.events, spec.ticks, spec.makers)
    _received(rows.at[:n], rows.recv[:n], rng.exponential(2e6, n).astype(np.int64) + 3 * MS)
    return Columns(*(column[:n].copy() for column in rows))


def _actions(spec: Spec, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Return what happens in episodes: ns since the start, event, book of the event, and what."""
    n = spec.episodes
    gap = spec.seconds * NS / max(1, n)
    start = ((np.arange(n) + 0.05) * gap + rng.random(n) * (gap - 1.95 * NS) * 0.9).astype(np.int64)
    kind = rng.random(n)
    long, short = rng.integers(150, 400, n) * MS, rng.integers(5, 30, n) * MS
    if spec.makers:  # the better asks are only the occasion: they stand until the orders rest
        long = short = np.full(n, 90 * MS)
        kind = np.zeros(n)
    first = np.where(kind < 0.85, long, short)
    second = np.where((kind < 0.85) | (kind >= 0.95), long + 1 * MS, short)
    event = rng.integers(0, spec.events, n)
    parts = [
        (start, 0, APPEARS),
        (start + 2 * MS, 1, APPEARS),
        (start + 2 * MS + first, 0, VANISHES),
        (start + 2 * MS + second, 1, VANISHES),
    ]
    if spec.makers:
        fate = rng.random((2, n)) < 0.95
        swept = [np.where(fate[book], start + rng.integers(120, 320, n) * MS, -1) for book in (0, 1)]
        parts += [(swept[0], 0, SWEPT), (swept[1], 1, SWEPT)]
    when = np.concatenate([at for at, _, _ in parts])
    book_of = np.concatenate([np.full(n, book) for _, book, _ in parts])
    what = np.concatenate([np.full(n, does) for _, _, does in parts])
    events = np.tile(event, len(parts))
    order = np.argsort(when, kind="stable")
    order = order[when[order] >= 0]
    return when[order], events[order], book_of[order], what[order]


# -- compiled ------------------------------------------------------------------------------------------------


@numba.njit(cache=True)
def _generate(rng, rows, times, when, event, book_of, what, events, ticks, makers):
    fine = ticks // 1_000
    books = 2 * events
    size = np.zeros((books, 2, ticks + 1), np.int32)
    best = np.full((books, 2), -1, np.int64)
    count = np.zeros((books, 2), np.int64)
    fair = np.full(events, ticks // 2)
    open_ = np.zeros(events, np.int64)
    mark = np.zeros(books, np.int64)
    state = (size, best, count)
    used = np.zeros(2, np.int64)  # rows, ns of the last
    used[1] = -1
    for book in range(books):
        for side in range(2):
            for step in range(8):
                away = OFF * fine + step * fine * 2
                _set(rows, used, 0, state, book, side, _edge(fair, book, side, ticks, away), _shares(rng))
    i = j = 0
    while i < len(times) or j < len(when):
        if j < len(when) and (i == len(times) or when[j] <= times[i]):
            now, e, book = when[j], event[j], 2 * event[j] + book_of[j]
            better = _fair_of(fair, book, ticks) - BETTER * fine
            if what[j] == APPEARS:
                _set(rows, used, now, state, book, ASK, better, _shares(rng))
                open_[e] += 1
                if book_of[j] == 1:
                    mark[book - 1], mark[book] = best[book - 1, BID], best[book, BID]
            elif what[j] == VANISHES:
                _set(rows, used, now, state, book, ASK, better, 0)
                open_[e] -= 1
            else:
                _sweep(rng, rows, used, now, state, book, mark[book])
            j += 1
        else:
            _background(rng, rows, used, times[i], state, fair, open_, events, ticks, makers)
            i += 1
    return used[0]


@numba.njit(cache=True)
def _received(at, recv, lag):
    last = 0
    for i in range(len(at)):
        last = max(at[i] + lag[i], last + 1_000)
        recv[i] = last


@numba.njit(cache=True)
def _fair_of(fair, book, ticks):
    return fair[book // 2] if book % 2 == 0 else ticks - fair[book // 2]


@numba.njit(cache=True)
def _edge(fair, book, side, ticks, away):
    at = _fair_of(fair, book, ticks)
    return at - away if side == BID else at + away


@numba.njit(cache=True)
def _shares(rng):
    return rng.integers(LEAST, 500)


@numba.njit(cache=True)
def _write(rows, used, now, book, kind, side, price, shares):
    n = used[0]
    used[1] = max(used[1] + 1_000, now)  # a microsecond between rows
    rows.at[n] = START + used[1]
    rows.book[n], rows.kind[n], rows.side[n] = book, kind, side
    rows.price[n], rows.size[n] = price, shares
    used[0] += 1


@numba.njit(cache=True)
def _set(rows, used, now, state, book, side, price, shares):
    """Set a level to a new total, unless it is the old one."""
    size, best, count = state
    there = size[book, side, price]
    if there == shares:
        return
    size[book, side, price] = shares
    count[book, side] += (shares > 0) - (there > 0)
    step = -1 if side == BID else 1
    at = best[book, side]
    if shares > 0 and (at < 0 or (price - at) * step < 0):
        best[book, side] = price
    elif shares == 0 and price == at:
        if count[book, side] == 0:
            best[book, side] = -1
        else:
            while size[book, side, at] == 0:
                at += step
            best[book, side] = at
    _write(rows, used, now, book, LEVEL, side, price, shares)


@numba.njit(cache=True)
def _sweep(rng, rows, used, now, state, book, mark):
    """A seller takes every bid down to a tick below `mark`, where the last trade is and a rest of it stands 1 ms."""
    best = state[1]
    while best[book, BID] >= mark - 1:
        _set(rows, used, now, state, book, BID, best[book, BID], 0)
    _write(rows, used, now, book, PRINT, BID, mark - 1, _shares(rng) + 100)
    _set(rows, used, now, state, book, ASK, mark - 1, _shares(rng) + 100)
    _set(rows, used, now + MS, state, book, ASK, mark - 1, 0)


@numba.njit(cache=True)
def _background(rng, rows, used, now, state, fair, open_, events, ticks, makers):
    size, best, count = state
    fine = ticks // 1_000
    band = 24 * fine
    e = rng.integers(0, events)
    book, side = 2 * e + rng.integers(0, 2), rng.integers(0, 2)
    draw = rng.random()
    if draw < 0.003 and open_[e] == 0:
        _wander(rng, rows, used, now, state, fair, e, ticks, fine, band)
        return
    nearest = _edge(fair, book, side, ticks, OFF * fine)
    step = -1 if side == BID else 1
    at = best[book, side]
    inside = (at - nearest) * step  # how far the best is from where quotes may stand; negative: an episode's ask
    if draw < (0.008 if makers else 0.046):
        if makers:  # bids are traded at in sweeps alone
            side, at = ASK, best[book, ASK]
            inside = 0
        there = size[book, side, at] if at >= 0 else 0
        if there > LEAST and inside >= 0:
            shares = rng.integers(1, there - LEAST + 1)
            _write(rows, used, now, book, PRINT, side, at, shares)
            _set(rows, used, now, state, book, side, at, there - shares)
            return
    if count[book, side] < 6 or (draw < (0.1 if makers else 0.19) and inside > 0):
        away = rng.integers(0, min(inside, 8 * fine)) if inside > 0 else rng.integers(0, band)
        _set(rows, used, now, state, book, side, nearest + step * away, _shares(rng))
    elif draw < (0.19 if makers else 0.37) and inside >= 0:
        _set(rows, used, now, state, book, side, at, 0)
    else:
        price = nearest + step * max(inside, rng.integers(0, band))
        there = size[book, side, price]
        gone = there > 0 and price != at and count[book, side] > 12 and rng.random() < 0.5
        _set(rows, used, now, state, book, side, price, 0 if gone else _other(rng, there))


@numba.njit(cache=True)
def _other(rng, there):
    shares = _shares(rng)
    return shares + 1 if shares == there else shares


@numba.njit(cache=True)
def _wander(rng, rows, used, now, state, fair, e, ticks, fine, band):
    """Move the fair price of an event, after the quotes that it would meet, and drop what it leaves far behind."""
    up = rng.random() < (0.7 if fair[e] < 0.3 * ticks else 0.3 if fair[e] > 0.7 * ticks else 0.5)
    far = rng.integers(1, fine + 1)
    size = state[0]
    for number in range(2):
        book = 2 * e + number
        towards = ASK if up == (number == 0) else BID
        for step in range(far):
            meets = _edge(fair, book, towards, ticks, OFF * fine + step)
            if size[book, towards, meets] > 0:
                _set(rows, used, now, state, book, towards, meets, 0)
            leaves = _edge(fair, book, 1 - towards, ticks, OFF * fine + band - 1 - step)
            if size[book, 1 - towards, leaves] > 0:
                _set(rows, used, now, state, book, 1 - towards, leaves, 0)
    fair[e] += far if up else -far


# -- looking at a feed ---------------------------------------------------------------------------------------


class Looks(NamedTuple):
    """What a feed is like: shares of rows that are prints and that move a best, crossed moments, and gaps below a dollar."""

    rows: int
    prints: float
    moves: float
    crossed: int
    openings: int


def looks(rows: Columns, spec: Spec) -> Looks:
    """Replay a feed and tell what it is like."""
    moves, crossed, openings = _look(rows, 2 * spec.events, spec.ticks)
    return Looks(len(rows.at), float(np.mean(rows.kind == PRINT)), moves / len(rows.at), crossed, openings)


@numba.njit(cache=True)
def _look(rows, books, ticks):
    size = np.zeros((books, 2, ticks + 1), np.int64)
    best = np.full((books, 2), -1, np.int64)
    opened = np.zeros(books // 2, np.uint8)
    moves = crossed = openings = 0
    for i in range(len(rows.at)):
        if rows.kind[i] != LEVEL:
            continue
        book, side, price = rows.book[i], rows.side[i], rows.price[i]
        size[book, side, price] = rows.size[i]
        step = -1 if side == BID else 1
        at = 0 if side == ASK else ticks
        while 0 <= at <= ticks and size[book, side, at] == 0:
            at += step
        now = at if 0 <= at <= ticks else -1
        moves += now != best[book, side]
        best[book, side] = now
        crossed += best[book, BID] >= 0 and 0 <= best[book, ASK] <= best[book, BID]
        e = book // 2
        gap = best[2 * e, ASK] >= 0 and best[2 * e + 1, ASK] >= 0 and best[2 * e, ASK] + best[2 * e + 1, ASK] < ticks
        openings += gap and not opened[e]
        opened[e] = gap
    return moves, crossed, openings


# -- on disk -------------------------------------------------------------------------------------------------


def save(rows: Columns, folder: Path) -> None:
    """Write one .npy file per column: what the scripts of the peers read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in zip(Columns._fields, rows, strict=True):
        np.save(folder / f"{name}.npy", column)
