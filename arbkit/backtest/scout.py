"""Reading rows as they arrive, and following the episodes of baskets on the way: the compiled half of `feed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from arbkit.backtest.loop import END
from arbkit.books.edge import top_edge
from arbkit.books.ladder import ASK, BID, I64, NEVER, Ladders, coming, copied
from arbkit.books.ruler import slot_of
from arbkit.books.watch import DIRTY, OPEN, Watch, apply_message, judge, opens, shuts, silent_from, sleeps, wakes
from arbkit.core.compiled import compiled, inlined
from arbkit.core.units import MICRO, NS_PER_S

REARM_NS = NS_PER_S  # a basket that opens again within it continues its episode (design, section 2)


@compiled
def mark_taken(ladders, book, mirror, buys, price, size):  # type: ignore[no-untyped-def]
    """Mark shares of a level as ours, and of the level that shows them on the market's other recorded book."""
    home, flip = ladders.book[book].home, ladders.book[book].flip == 1
    side = ASK if buys != flip else BID  # a buyer's shares stood among the asks
    at = MICRO - price if flip else price
    _take_level(ladders, home, side, at, size)
    twin = mirror if home == book else book
    if ladders.book[twin].flip == 0:
        _take_level(ladders, twin, 1 - side, MICRO - at, size)


@inlined
def _take_level(ladders, book, side, price, size):  # type: ignore[no-untyped-def]
    slot = slot_of(ladders, book, price)
    if slot >= 0:
        level = ladders.level[side, slot]
        ladders.level[side, slot].taken = min(level.size, level.taken + size)


class Episodes(NamedTuple):
    """Per basket: the first boundary of its newest episode, and when the newest piece of it ended."""

    row: I64  # last row of the message at whose end it began, -1: none yet
    ended: I64  # ns


@compiled
def _silenced(ladders, baskets, rules, watch, episodes, now):  # type: ignore[no-untyped-def]
    """End what fell silent before `now`, at the moment it did."""
    watch.deadline[0] = END
    for k in range(len(baskets.floor)):
        if watch.open[k] == 0 and watch.since[k] == NEVER:
            continue
        end = silent_from(ladders, baskets, k, rules.max_silence)
        if end >= now:
            watch.deadline[0] = min(watch.deadline[0], end)
        else:
            if watch.open[k]:
                episodes.ended[k] = end
            shuts(watch, k)


@inlined
def _judged(ladders, baskets, rules, watch, episodes, k, now, row, room):  # type: ignore[no-untyped-def]
    """Judge basket k at a boundary; return whether it opened just now."""
    short = rules.limits.min_edge - top_edge(ladders, baskets, k)
    if watch.open[k] == 0 and watch.since[k] == NEVER and short > 0:
        sleeps(ladders, baskets, watch, k, short)
        return False  # most boundaries: it is shut and stays so, whatever the health of its books
    wakes(ladders, baskets, watch, k)
    verdict, _, _ = judge(ladders, baskets, rules, watch, k, now, room)
    if verdict == OPEN and watch.open[k] == 0:
        if episodes.row[k] < 0 or now - episodes.ended[k] > REARM_NS:
            episodes.row[k] = row
        opens(ladders, baskets, rules, watch, k)
        return True
    if verdict != OPEN and watch.open[k]:
        episodes.ended[k] = now
        shuts(watch, k)
    return False


@compiled
def scout_rows(ladders, columns, baskets, rules, watch, episodes, armed, start, stop, until, room):  # type: ignore[no-untyped-def]
    """Follow the episodes of all baskets over whole messages up to `until`; stop where an armed one opens.

    Returns (next row, basket or -1); of several that open at once the first.
    """
    i, found, ahead = start, -1, coming(ladders, columns, start)
    while i < stop and found < 0 and columns.at[i] <= until:
        now = columns.at[i]
        if now > watch.deadline[0]:
            _silenced(ladders, baskets, rules, watch, episodes, now)
        i, ahead = apply_message(ladders, columns, i, ahead, baskets, rules, watch)
        for j in range(watch.many[DIRTY]):
            k = watch.dirty[j]
            watch.marked[k] = 0
            opened = _judged(ladders, baskets, rules, watch, episodes, k, now, i - 1, room)
            if opened and armed[k] and (found < 0 or k < found):
                found = k
        watch.many[DIRTY] = 0
    return i, found


@compiled
def open_already(ladders, baskets, rules, watch, episodes, armed, now, row, room):  # type: ignore[no-untyped-def]
    """Judge every basket at `now`, between two messages; return the first armed one that is open, or -1."""
    found = -1
    for k in range(len(baskets.floor)):
        _judged(ladders, baskets, rules, watch, episodes, k, now, row, room)
        if watch.open[k] and armed[k] and found < 0:
            found = k
    return found


@dataclass(slots=True)
class Scout:
    """Ladders ahead of the clock and the episodes seen on the way."""

    ladders: Ladders
    position: int
    watch: Watch
    episodes: Episodes

    def copy(self) -> Scout:
        watch = Watch(**{name: column.copy() for name, column in self.watch._asdict().items()})
        episodes = Episodes(*(column.copy() for column in self.episodes))
        return Scout(copied(self.ladders), self.position, watch, episodes)
