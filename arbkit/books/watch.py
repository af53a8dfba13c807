"""Which baskets are open, judged at message boundaries only: between two rows of one message a book is not a book.

A basket is open while the smallest legal size earns `min_edge` a share and every leg is healthy. Two recorded books
of one market are one pool told twice, so a gap between them is mostly one leg arriving late: such a pair opens only
when the edge has stood for `settle` ns and both books' last rows travelled equally long (with one clock: when one
message set both bests); until then it is unsynchronised. Only what a row touches is judged again; time alone
changes health (silence) and settled pairs, and both are looked at when it passes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from arbkit.books.edge import Baskets, Limits, edge_at, needed, top_edge
from arbkit.books.gate import health_code
from arbkit.books.ladder import ASK, BID, I64, NEVER, U8, apply_row, coming
from arbkit.books.meta import LAST
from arbkit.core.compiled import compiled, inlined

# Verdicts: 1 to 5 are the codes of `gate`
OPEN, SHUT, UNSYNCHRONISED = 0, 6, 7
HEALTHY_FROM = SHUT  # this and above were judged by their edge

LATER = np.int64(2**62)


class Rules(NamedTuple):
    """How baskets are judged; times in ns."""

    limits: Limits
    max_silence: int
    settle: int
    both_clocks: int  # 1: received and venue stamps are both real
    hopeful: int  # 1: a falling total shows our own take first (design: consumption)


class Columns(NamedTuple):
    """The columns of a tape as one view sees them: `at` is the clock of the view, `venue` the venue's stamps, ns."""

    at: I64
    venue: I64
    book: npt.NDArray[np.signedinteger]
    meta: U8
    price: npt.NDArray[np.int32]
    size: I64
    order: I64  # the view's order of the rows; empty: as they stand


class Watch(NamedTuple):
    """What is remembered about baskets between two messages."""

    since: I64  # [baskets] ns from which the edge of a pair has stood, NEVER: it does not
    open: U8  # [baskets] 1: an episode runs (kept by the scan)
    dirty: I64  # [baskets] baskets to judge at this boundary, `many[0]` of them
    marked: U8  # [baskets] 0, or why it stands in `dirty`: AGAIN or TOUCHED
    many: I64  # [DIRTY, PENDING]
    pending: I64  # [baskets] pairs whose edge stands and which are not open, `many[1]` of them
    tally: I64  # [JUDGED, UNHEALTHY, UNSYNC]
    deadline: I64  # [1] ns after which a basket that is open or pending may be silent
    turn: I64  # [1] ns from which another fee rule holds
    line: I64  # [2, books] a row has the baskets of its book judged while a best is at the line or beyond (`sleeps`)
    lines: I64  # [legs] the same for each leg of each basket


EVERY_ROW = LATER  # in place of a line
REACH = 64  # slots between a best and its line
AGAIN, TOUCHED = 1, 2  # its books are as they were; one of them had a row
DIRTY, PENDING = 0, 1
JUDGED, UNHEALTHY, UNSYNC = 0, 1, 2


def read_only(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written: mapped columns cannot either, and compiled code is made once for both."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


def fresh_watch(baskets: Baskets) -> Watch:
    """Return the memory of a watch that has seen nothing: after every row the baskets of its book are judged."""
    n_baskets = len(baskets.floor)
    return Watch(
        since=np.full(n_baskets, NEVER, np.int64),
        open=np.zeros(n_baskets, np.uint8),
        dirty=np.zeros(n_baskets, np.int64),
        marked=np.zeros(n_baskets, np.uint8),
        many=np.zeros(2, np.int64),
        pending=np.zeros(n_baskets, np.int64),
        tally=np.zeros(3, np.int64),
        deadline=np.full(1, LATER, np.int64),
        turn=np.full(1, NEVER, np.int64),
        line=np.full((2, len(baskets.touch) - 1), EVERY_ROW, np.int64),
        lines=np.full(len(baskets.book), EVERY_ROW, np.int64),
    )


@inlined
def mark(watch, k, why):  # type: ignore[no-untyped-def]
    """Have basket k judged at the coming boundary."""
    if watch.marked[k] == 0:
        watch.dirty[watch.many[DIRTY]] = k
        watch.many[DIRTY] += 1
    watch.marked[k] = max(watch.marked[k], why)


@compiled
def mark_all(watch):  # type: ignore[no-untyped-def]
    """Have every basket judged at the coming boundary."""
    for k in range(len(watch.since)):
        mark(watch, k, AGAIN)


@compiled
def sleeps(ladders, baskets, watch, k, short):  # type: ignore[no-untyped-def]
    """Leave basket k alone while no best price comes nearer by more than its share of what is `short` for it to open.

    `short` is in millionths a share, more than 0. A line is a slot, of bids turned round so that lower is better on both
    sides: where no best has reached its line, all legs together have come nearer by less than is short.
    """
    changed, share = False, (short - 1) // (baskets.leg[k + 1] - baskets.leg[k])
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        line = _line(ladders, baskets.book[leg], share)
        changed |= line != watch.lines[leg]
        watch.lines[leg] = line
    if changed:
        _drawn(ladders, baskets, watch, k)


@compiled
def wakes(ladders, baskets, watch, k):  # type: ignore[no-untyped-def]
    """Have basket k judged after every row of its books again."""
    changed = False
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        changed |= watch.lines[leg] != EVERY_ROW
        watch.lines[leg] = EVERY_ROW
    if changed:
        _drawn(ladders, baskets, watch, k)


@compiled
def _line(ladders, book, share):  # type: ignore[no-untyped-def]
    """Return the line of a leg that buys from `book`: behind the slots that are better than its best by `share` at most."""
    home = ladders.book[ladders.book[book].home]
    asks = ladders.book[book].flip == 0
    way = -1 if asks else 1
    slot, behind = ladders.best[1 if asks else 0, ladders.book[book].home].slot, home.first - 1 if asks else home.end
    if slot < 0:
        return EVERY_ROW
    best = ladders.price[slot]
    for _ in range(REACH):
        if slot + way == behind or abs(ladders.price[slot + way] - best) > share:
            break
        slot += way
    return (slot + way) * -way


@compiled
def _drawn(ladders, baskets, watch, k):  # type: ignore[no-untyped-def]
    """Draw the lines of the books of basket k: of all baskets that look at one the line that is reached first."""
    for own in range(baskets.leg[k], baskets.leg[k + 1]):
        home = ladders.book[baskets.book[own]].home
        watch.line[0, home] = watch.line[1, home] = -EVERY_ROW
        for j in range(baskets.touch[home], baskets.touch[home + 1]):
            other = baskets.touched[j]
            for leg in range(baskets.leg[other], baskets.leg[other + 1]):
                if ladders.book[baskets.book[leg]].home == home:
                    side = 1 - ladders.book[baskets.book[leg]].flip
                    watch.line[side, home] = max(watch.line[side, home], watch.lines[leg])


@compiled
def silent_from(ladders, baskets, k, max_silence):  # type: ignore[no-untyped-def]
    """Return the last ns at which basket k is not silent if no more rows come."""
    end = LATER
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        stream = ladders.book[ladders.book[baskets.book[leg]].home].stream
        end = min(end, ladders.alive[stream] + max_silence)
    return end


@compiled
def _not_pending(watch, k):  # type: ignore[no-untyped-def]
    """Take pair k off the list of those that wait; tell whether it was on it."""
    for i in range(watch.many[PENDING]):
        if watch.pending[i] == k:
            watch.many[PENDING] -= 1
            watch.pending[i] = watch.pending[watch.many[PENDING]]
            return True
    return False


@compiled
def opens(ladders, baskets, rules, watch, k):  # type: ignore[no-untyped-def]
    """Note that an episode of basket k runs."""
    watch.open[k] = 1
    _not_pending(watch, k)
    watch.deadline[0] = min(watch.deadline[0], silent_from(ladders, baskets, k, rules.max_silence))


@compiled
def shuts(watch, k):  # type: ignore[no-untyped-def]
    """Note that the edge of basket k stands no more; a pair that never opened on it was unsynchronised."""
    watch.open[k] = 0
    watch.since[k] = NEVER
    if _not_pending(watch, k):
        watch.tally[UNSYNC] += 1


@compiled
def _settled(ladders, baskets, rules, watch, k, now):  # type: ignore[no-untyped-def]
    """Tell whether pair k may open now, its edge standing."""
    if watch.since[k] == NEVER:
        watch.since[k] = now
        watch.pending[watch.many[PENDING]] = k
        watch.many[PENDING] += 1
        watch.deadline[0] = min(watch.deadline[0], silent_from(ladders, baskets, k, rules.max_silence))
    if now - watch.since[k] < rules.settle:
        return False
    a, b = baskets.book[baskets.leg[k]], baskets.book[baskets.leg[k] + 1]
    if rules.both_clocks:
        return abs(ladders.book[a].lag - ladders.book[b].lag) < rules.settle
    return ladders.best[ASK, a].message == ladders.best[ASK, b].message


@inlined
def judge(ladders, baskets, rules, watch, k, now, room):  # type: ignore[no-untyped-def]
    """Return (verdict, net, gross) of basket k at `now`, edges at q_min; both 0 when it is not worth `min_edge`."""
    verdict, net, gross = OPEN, np.int64(0), np.int64(0)
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        verdict = health_code(ladders, baskets.book[leg], now, rules.max_silence)
        if verdict != OPEN:
            break
    watch.tally[JUDGED] += 1
    if verdict != OPEN:
        watch.tally[UNHEALTHY] += 1
    elif top_edge(ladders, baskets, k) < rules.limits.min_edge:
        verdict = SHUT  # most boundaries end here, before any level is walked
    else:
        q = baskets.q_min[k]
        enough, net, gross, _ = edge_at(ladders, baskets, k, q, now, room)
        worth = gross if rules.limits.gross else net
        if enough == 0 or worth < needed(rules.limits.min_edge, q):
            verdict, net, gross = SHUT, np.int64(0), np.int64(0)
    if baskets.pair[k] and watch.open[k] == 0:
        if verdict != OPEN:
            shuts(watch, k)
        elif not _settled(ladders, baskets, rules, watch, k, now):
            verdict = UNSYNCHRONISED
    return verdict, net, gross


@inlined
def apply_message(ladders, columns, message, ahead, baskets, rules, watch):  # type: ignore[no-untyped-def]
    """Apply a message from its first row, of which `ahead` is known; return the first of the next and what is known of it.

    Marks the baskets that have to be judged again: those with a leg in a book of the message (none of them while its
    bests are within their lines), pairs whose edge has stood long enough, and all of them when a stream speaks again
    after a silence or another fee rule holds.
    """
    i, ended = message, False
    while i < len(columns.at) and not ended:
        row, book, meta, slot = ahead
        i += 1
        ahead, at = coming(ladders, columns, i), columns.at[row]
        if at - ladders.alive[np.uint64(ladders.book[np.uint64(book)].stream)] > rules.max_silence:
            mark_all(watch)
        lag = at - columns.venue[row]
        apply_row(ladders, at, lag, book, meta, slot, columns.size[row], message, rules.hopeful != 0)
        its = np.uint64(book)
        bid, ask = -ladders.best[np.uint64(BID), its].slot, ladders.best[np.uint64(ASK), its].slot
        if (ask <= watch.line[np.uint64(ASK), its]) | (bid <= watch.line[np.uint64(BID), its]):
            for j in range(baskets.touch[book], baskets.touch[book + 1]):
                mark(watch, baskets.touched[j], TOUCHED)
        ended = meta & LAST != 0
        if ended:
            for j in range(watch.many[PENDING]):
                if at - watch.since[watch.pending[j]] >= rules.settle:
                    mark(watch, watch.pending[j], AGAIN)
            if at >= watch.turn[0]:
                _turned(baskets, watch, at)
    return i, ahead


@compiled
def _turned(baskets, watch, now):  # type: ignore[no-untyped-def]
    """Have everything judged under the fee rules of now, and note when the next one begins."""
    mark_all(watch)
    watch.turn[0] = LATER
    for since in baskets.since:
        if since > now:
            watch.turn[0] = min(watch.turn[0], since)
