"""One compiled pass over a whole tape: every episode of every basket, as a bystander with the received books saw it.

An episode is open while the edge at the smallest legal size is at least `min_edge` a share, judged at message
boundaries. It ends when it is not, at a gap, at silence or with the tape; where sight of it was lost (gap, crossed
book, silence, end of tape) it is censored. Re-entry within `rearm` continues it. One opportunity per episode,
decided at its first boundary. The kernel writes pieces, uninterrupted stretches; Python joins them to episodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arbkit.backtest.received import FeesByBook, received
from arbkit.books.edge import Baskets, Limits, Scratch, edge_at, largest_size, scratch
from arbkit.books.gate import CLOSED, SILENT, health_code
from arbkit.books.ladder import I64, NEVER, Ladders, coming, forward
from arbkit.books.watch import (
    DIRTY,
    JUDGED,
    LATER,
    OPEN,
    SHUT,
    TOUCHED,
    UNHEALTHY,
    UNSYNC,
    apply_message,
    fresh_watch,
    judge,
    opens,
    shuts,
    silent_from,
)
from arbkit.core.compiled import compiled
from arbkit.core.errors import ConfigError
from arbkit.core.model import ArbitrageOpportunity, Basket
from arbkit.core.units import MICRO, NS_PER_MS, NS_PER_S, Cash, Size

if TYPE_CHECKING:
    from arbkit.history.tape import Tape

Progress = Callable[[int, int], None]  # rows done, rows in all

CHUNK_ROWS = 100_000  # rows per compiled call: below 50 ms, so that Ctrl-C works
ROOM_FOR_PIECES = 4_096
ANY_EDGE = -(10**11)  # a study's gate: below every edge, and small enough to be multiplied
END_OF_TAPE = -1  # beside the verdicts of `watch`

# Fields of a running piece, and of a written one.
START_ROW, START, FIRST, PEAK, SIZE, NET, GROSS, EXACT = range(8)
BASKET, END, WHY, N_FIELDS = 8, 9, 10, 11


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScanResult:
    """Episodes (or the decisions of a study) in columns of one length, in order of their start.

    Times in ns, sizes in millionths of a share, edges in millionths of a dollar: `edge` (net) and `edge_gross` of
    the whole `size`; `first_edge` and `peak_edge` per share at q_min (rounded down), net or gross as the scan was
    asked. `peak_edge` is the largest after a later message of its books, and the first where there was none. `start_row` is the last row
    of the first boundary's message: the books of the decision are those after rows 0..start_row. `edge` equals
    `edge_gross` when `fees` is None, and is then not to be shown. `counters`: see `scan_tape`.
    """

    baskets: tuple[Basket, ...]
    basket: I64  # place in `baskets`
    start_row: I64
    start: I64
    end: I64
    open_ns: I64
    censored: np.ndarray
    first_edge: I64
    peak_edge: I64
    size: I64
    edge: I64
    edge_gross: I64
    exact: np.ndarray
    fees: FeesByBook | None
    counters: dict[str, int]
    every_ns: int = 0  # of a study: time between two decisions
    rows: int = 0  # rows looked at; fewer than the tape has when it was interrupted

    def __len__(self) -> int:
        return len(self.basket)

    def __repr__(self) -> str:
        what = f"decisions every {self.every_ns} ns" if self.every_ns else "episodes"
        return f"<ScanResult {len(self)} {what} of {len(self.baskets)} baskets in {self.rows} rows, {self.counters}>"

    def opportunities(self) -> tuple[ArbitrageOpportunity, ...]:
        """Return the decision of every episode, in order; the id is a hash of basket and start row (study: time)."""
        return tuple(
            ArbitrageOpportunity(
                id=opportunity_id(self.baskets[k], at if self.every_ns else row),
                basket=self.baskets[k],
                detected_at=at,
                size=Size(size),
                edge=Cash(edge),
                edge_gross=Cash(gross),
                exact=exact,
            )
            for k, row, at, size, edge, gross, exact in zip(
                self.basket.tolist(),
                self.start_row.tolist(),
                self.start.tolist(),
                self.size.tolist(),
                self.edge.tolist(),
                self.edge_gross.tolist(),
                self.exact.tolist(),
                strict=True,
            )
        )


def opportunity_id(basket: Basket, start: int) -> str:
    """Return the short name of what began in a basket at a row of the tape."""
    return hashlib.sha256(f"{basket.id}@{start}".encode()).hexdigest()[:12]


# -- the pass ------------------------------------------------------------------------------------------------


@compiled
def _end_piece(watch, runs, pieces, n, k, end, why):  # type: ignore[no-untyped-def]
    """Write the running piece of basket k; return the number of pieces written."""
    for field in range(8):
        pieces[n, field] = runs[field, k]
    pieces[n, BASKET] = k
    pieces[n, END] = end
    pieces[n, WHY] = why
    shuts(watch, k)
    return n + 1


@compiled
def _end_silent(ladders, baskets, rules, watch, runs, pieces, n, now):  # type: ignore[no-untyped-def]
    """End what fell silent before `now`, at the moment it did, and find the next moment to look."""
    watch.deadline[0] = LATER
    for k in range(len(baskets.floor)):
        if watch.open[k] == 0 and watch.since[k] == NEVER:
            continue
        end = silent_from(ladders, baskets, k, rules.max_silence)
        if end >= now:
            watch.deadline[0] = min(watch.deadline[0], end)
        elif watch.open[k]:
            n = _end_piece(watch, runs, pieces, n, k, end, SILENT)
        else:
            shuts(watch, k)
    return n


@compiled
def scan_rows(ladders, columns, baskets, rules, watch, runs, pieces, start, stop, room):  # type: ignore[no-untyped-def]
    """Judge every message that begins in rows start..stop; return (next row, pieces written).

    Ends early when `pieces` could run over. `runs` holds what is known of the piece that runs, per basket.
    """
    n, i, ahead = 0, start, coming(ladders, columns, start)
    most = len(pieces) - len(baskets.floor)  # a message ends at most one piece of every basket
    while i < stop and n <= most:
        now = columns.at[i]
        if now > watch.deadline[0]:
            n = _end_silent(ladders, baskets, rules, watch, runs, pieces, n, now)
        i, ahead = apply_message(ladders, columns, i, ahead, baskets, rules, watch)
        for j in range(watch.many[DIRTY]):
            k = watch.dirty[j]
            touched = watch.marked[k] == TOUCHED
            watch.marked[k] = 0
            verdict, net, gross = judge(ladders, baskets, rules, watch, k, now, room)
            edge = gross if rules.limits.gross else net
            if watch.open[k]:
                if verdict != OPEN:
                    n = _end_piece(watch, runs, pieces, n, k, now, verdict)
                elif touched:
                    runs[PEAK, k] = max(runs[PEAK, k], edge)
            elif verdict == OPEN:
                opens(ladders, baskets, rules, watch, k)
                size, net, gross, exact = largest_size(ladders, baskets, k, now, rules.limits, room)
                runs[START_ROW, k], runs[START, k], runs[FIRST, k], runs[PEAK, k] = i - 1, now, edge, NEVER
                runs[SIZE, k], runs[NET, k], runs[GROSS, k], runs[EXACT, k] = size, net, gross, exact
        watch.many[DIRTY] = 0
    return i, n


def scan_tape(
    tape: Tape,
    baskets: Sequence[Basket],
    *,
    min_edge: Cash,
    gross: bool = False,
    rearm_ns: int = NS_PER_S,
    max_size: Size,
    max_exposure: Cash,
    fees: FeesByBook | None,
    max_silence_ns: int = 60 * NS_PER_S,
    settle_ns: int = 100 * NS_PER_MS,
    feed_ns: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    progress: Progress | None = None,
) -> ScanResult:
    """Return every episode of the baskets; see `design` section 2 for what one is.

    `min_edge` in millionths of a dollar per share, after fees unless `gross`. Counters: `judged` (basket and
    boundary) pairs, `unhealthy` those refused for a leg's health, `unsynchronised` stretches in which a pair of
    mirrored books stood apart without ever being allowed to open, `pieces` before `rearm_ns` joined them.
    A client that hears of everything `feed_ns` later sees the same episodes that much later. Interrupted from the
    keyboard, it returns what was seen so far; `chunk_rows` is how often that is looked for. Raises DataError for a
    basket of other books.
    """
    limits = Limits(int(min_edge), int(gross), int(max_size), int(max_exposure))
    ladders, columns, arrays, rules = received(tape, baskets, limits, fees, max_silence_ns, settle_ns, feed_ns)
    watch, room = fresh_watch(arrays), scratch(ladders, arrays)
    runs = np.zeros((8, len(baskets)), np.int64)
    pieces = np.zeros((ROOM_FOR_PIECES + len(baskets), N_FIELDS), np.int64)
    found = [np.zeros((0, N_FIELDS), np.int64)]
    at, total = 0, len(tape)
    try:
        while at < total:
            stop = min(at + chunk_rows, total)
            at, n = scan_rows(ladders, columns, arrays, rules, watch, runs, pieces, at, stop, room)
            found.append(pieces[:n].copy())
            if progress is not None:
                progress(at, total)
    except KeyboardInterrupt:
        if not at:
            raise
    end = int(columns.at[at - 1]) if at else 0
    still = [[*runs[:, k].tolist(), k, end, END_OF_TAPE] for k in np.flatnonzero(watch.open).tolist()]
    whole = np.concatenate([*found, np.array(still, np.int64).reshape(-1, N_FIELDS)])
    pending = int(np.count_nonzero((watch.since != NEVER) & (watch.open == 0)))
    counters = {
        "judged": int(watch.tally[JUDGED]),
        "unhealthy": int(watch.tally[UNHEALTHY]),
        "unsynchronised": int(watch.tally[UNSYNC]) + pending,
        "pieces": len(whole),
    }
    return _joined(tuple(baskets), whole, rearm_ns, fees, counters, at)


def _joined(
    baskets: tuple[Basket, ...],
    pieces: I64,
    rearm_ns: int,
    fees: FeesByBook | None,
    counters: dict[str, int],
    rows: int,
    every_ns: int = 0,
) -> ScanResult:
    """Join pieces of a basket that are at most `rearm_ns` apart; columns in order of start row and basket."""
    pieces = pieces[np.lexsort((pieces[:, START], pieces[:, BASKET]))]
    first = np.ones(len(pieces), bool)
    same = pieces[1:, BASKET] == pieces[:-1, BASKET]
    first[1:] = ~(same & (pieces[1:, START] - pieces[:-1, END] <= rearm_ns))
    heads = np.flatnonzero(first)
    last = np.append(heads[1:], len(pieces)) - 1 if len(heads) else heads
    later = pieces[:, PEAK].copy()
    later[~first] = np.maximum(later[~first], pieces[~first, FIRST])
    peak = np.maximum.reduceat(later, heads) if len(heads) else later
    head = pieces[heads]
    why = pieces[last, WHY]
    opened = np.add.reduceat(pieces[:, END] - pieces[:, START], heads) if len(heads) else later
    order = np.lexsort((head[:, BASKET], head[:, START], head[:, START_ROW]))
    q_min = np.array([basket.min_size for basket in baskets], np.int64)[head[:, BASKET]]
    return ScanResult(
        baskets=baskets,
        basket=head[order, BASKET],
        start_row=head[order, START_ROW],
        start=head[order, START],
        end=pieces[last, END][order],
        open_ns=opened[order],
        censored=((why != SHUT) & (why != CLOSED))[order],
        first_edge=_per_share(head[:, FIRST], q_min)[order],
        peak_edge=_per_share(np.where(peak == NEVER, head[:, FIRST], peak), q_min)[order],
        size=head[order, SIZE],
        edge=head[order, NET],
        edge_gross=head[order, GROSS],
        exact=head[order, EXACT] != 0,
        fees=fees,
        counters=counters,
        every_ns=every_ns,
        rows=rows,
    )


def _per_share(edge: I64, size: I64) -> I64:
    """Return edges of whole sizes as millionths of a dollar per share, in Python's ints: no overflow."""
    return np.array([e * MICRO // q for e, q in zip(edge.tolist(), size.tolist(), strict=True)], np.int64)


# -- decisions at fixed times --------------------------------------------------------------------------------


def sample_tape(
    tape: Tape,
    baskets: Sequence[Basket],
    every_ns: int,
    *,
    gross: bool = False,
    max_size: Size,
    max_exposure: Cash,
    fees: FeesByBook | None,
    max_silence_ns: int = 60 * NS_PER_S,
    settle_ns: int = 100 * NS_PER_MS,
    feed_ns: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    progress: Progress | None = None,
) -> ScanResult:
    """Return one decision per basket at every multiple of `every_ns` after the tape's start: a study, no arbitrage.

    The gates on the edge are lowered alike for all: it may be negative, and the size is `max_size`, cut to what the
    books hold and to the exposure bound. Gates on the books stay: all legs healthy and holding q_min as received by
    then; that a pair has settled is a gate on its edge. `end` is `start`; `peak_edge` is the edge at q_min. Counters: `judged`, `unhealthy`, `thin` (below q_min).
    """
    if every_ns <= 0:
        raise ConfigError(f"a study decides every so many ns, not every {every_ns}")
    limits = Limits(ANY_EDGE, int(gross), int(max_size), int(max_exposure))
    ladders, columns, arrays, _ = received(tape, baskets, limits, fees, max_silence_ns, settle_ns, feed_ns)
    room = scratch(ladders, arrays)
    counters = {"judged": 0, "unhealthy": 0, "thin": 0, "pieces": 0}
    found: list[list[int]] = []
    at, total = 0, len(tape)
    begin, end = (int(columns.at[0]), int(columns.at[-1])) if total else (0, -1)
    try:
        for now in range(begin + every_ns, end + 1, every_ns):
            while at < total and columns.at[at] <= now:
                at = forward(ladders, columns, at, min(at + chunk_rows, total), now, False)
            for k in range(len(baskets)):
                counters["judged"] += 1
                decision = _decided(ladders, arrays, limits, k, now, max_silence_ns, room)
                if isinstance(decision, str):
                    counters[decision] += 1
                else:
                    found.append([at - 1, now, *decision, k, now, SHUT])
            if progress is not None:
                progress(at, total)
        at = total  # what comes after the last decision was not left out
    except KeyboardInterrupt:
        if not at:
            raise
    counters["pieces"] = len(found)
    pieces = np.array(found, np.int64).reshape(-1, N_FIELDS)
    return _joined(tuple(baskets), pieces, -1, fees, counters, at, every_ns)


def _decided(
    ladders: Ladders, baskets: Baskets, limits: Limits, k: int, now: int, max_silence: int, room: Scratch
) -> list[int] | str:
    """Return the fields FIRST to EXACT of a decision, or the counter of the reason why there is none."""
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        if health_code(ladders, baskets.book[leg], now, max_silence):
            return "unhealthy"
    enough, net, gross, _ = edge_at(ladders, baskets, k, baskets.q_min[k], now, room)
    if not enough:
        return "thin"
    edge = int(gross if limits.gross else net)
    size, net, gross, exact = largest_size(ladders, baskets, k, now, limits, room)
    return [edge, edge, int(size), int(net), int(gross), int(exact)]
