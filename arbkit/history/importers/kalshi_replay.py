"""The second reading of a recorded Kalshi CSV file: totals from changes, gaps where the recorder lost the book."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from arbkit.books import meta as m
from arbkit.core.errors import InvariantViolation
from arbkit.core.grid import Grid
from arbkit.core.units import NS_PER_S
from arbkit.history.importers.base import Batch, MessageWriter, Source
from arbkit.history.importers.kalshi_rows import CHANGE, Pair, Row, Session, Survey, events
from arbkit.history.importers.prints import Decrease, Print, PrintMatcher
from arbkit.history.quality import FileLog


class Replay:
    """Writes the rows of one file.

    The book is unknown from the start of each session until its first change, from where the recording cannot be
    believed until the next session, and from a restart seen in another market of the recording (`foreign`, ns,
    rising) until its next change. Changes of one stamp in a row are one message; a print stands right before the
    decrease it explains, or alone and later when the file has it after rows of a later stamp.
    """

    def __init__(self, source: Source, book: int, survey: Survey, foreign: Sequence[int], log: FileLog) -> None:
        self._source, self._book, self._survey, self._log = source, book, survey, log
        self._foreign = deque(foreign)
        self._out = MessageWriter()
        self._prints = PrintMatcher()
        self._session: Session | None = None
        self._totals: dict[int, dict[int, int]] = {m.SIDE_BID: {}, m.SIDE_ASK: {}}
        self._known = False  # whether the book is known on the tape
        self._believed = False  # whether the session still is
        self._lost_at: int | None = None  # ns, when belief was lost
        self._lost_rows = 0
        self._now: int | None = None  # ns, time of the row before
        self._raw = 0  # its stamp as it was written
        self._message: list[tuple[Decrease | None, int, int, int]] = []  # decrease, side, price, new total
        self._restate = False
        self._seen = dict.fromkeys(("rows", "equal", "bests", "exact", "prints", "matched", "late", "restarts"), 0)

    def batches(self, grid: Grid | None) -> Iterator[Batch]:
        """Yield the rows of the file; leave the counts in the log at the end."""
        for event in events(self._source, self._log, grid):
            if isinstance(event, Pair):
                self._start(event)
            elif event.kind == CHANGE:
                self._change(event)
            else:
                self._trade(event)
            if self._out.full:
                yield self._out.take()
        self._end_message()
        self._unmatched(self._prints.rest())
        self._end_quarantine()
        self._report()
        yield self._out.take()

    # -- sessions --

    def _start(self, pair: Pair) -> None:
        """Begin a session; in mid-file the book is unknown from the row before on."""
        self._end_message()
        if self._now is not None:
            self._seen["restarts"] += 1
            self._gap(self._now)
        self._session = self._survey.sessions[pair.line]
        self._believed = True
        self._totals = {
            side: {price: level.size for price, level in levels.items() if level.size}
            for side, levels in self._session.opening.items()
        }

    def _gap(self, at: int) -> None:
        """Make the book unknown, once."""
        if self._known:
            self._out.row(at, at, self._book, m.KIND_GAP)
            self._out.end()
            self._known = False

    def _lose(self, at: int) -> None:
        """Stop believing the session: its book cannot be right from here on."""
        self._end_message()
        self._gap(at)
        self._believed = False
        self._lost_at = at

    def _end_quarantine(self) -> None:
        if self._lost_at is not None and self._now is not None:
            self._log.quarantine(self._lost_rows, self._now - self._lost_at)
            self._lost_at, self._lost_rows = None, 0

    # -- rows --

    def _change(self, row: Row) -> None:
        assert row.stamp is not None  # rows without one were refused
        ts = row.stamp if self._now is None else max(row.stamp, self._now)
        if self._now is not None:
            self._log.stamped(row.stamp, self._raw)
        if ts != self._now:
            self._end_message()
            self._elsewhere(ts)
        believed = self._session.believed if self._session is not None and self._believed else None
        if believed is not None and row.line > believed:
            self._lose(ts if self._now is None else self._now)
        self._unmatched(self._prints.passed(row.stamp))
        self._now, self._raw = ts, row.stamp
        fall = self._prints.decrease(row.stamp, row.side, row.price, -row.size) if row.size < 0 else None
        if not self._believed:
            self._lost_rows += 1
            if self._lost_at is None:
                self._lost_at = ts  # a file that begins without a snapshot
            self._unseen(fall, ts)
            return
        self._end_quarantine()
        total = self._totals[row.side].get(row.price, 0) + row.size
        if total < 0:
            raise InvariantViolation(f"{self._source.path}: line {row.line}: a level solved back turns negative")
        self._totals[row.side][row.price] = total
        if not self._known:
            self._known = self._restate = True
        self._message.append((fall, row.side, row.price, total))
        self._compare(row)

    def _unseen(self, fall: Decrease | None, ts: int) -> None:
        """Write the print of a decrease that has no row: trades happened, whatever the book was."""
        if fall is not None:
            fall.written = True
            if fall.prints:
                self._seen["matched"] += 1
                self._print(ts, fall.ts, fall.side, fall.price, fall.size)

    def _elsewhere(self, ts: int) -> None:
        """Open the gaps of restarts that other markets of the recording saw before `ts`."""
        while self._foreign and self._foreign[0] < ts:
            self._gap(max(self._foreign.popleft(), self._out.now))

    def _trade(self, row: Row) -> None:
        assert row.stamp is not None
        self._seen["prints"] += 1
        trade = Print(row.stamp // NS_PER_S, row.side, row.price, row.size)
        found = self._prints.trade(trade)
        if found is not None and found.written:
            self._end_message()
            self._seen["late"] += 1
            self._seen["matched"] += 1
            self._print(found.ts if self._now is None else self._now, found.ts, row.side, row.price, row.size)

    def _unmatched(self, prints: Sequence[Print]) -> None:
        """Write prints that no change explains, at the row before: their own stamp is a whole second."""
        for trade in prints:
            at = trade.second * NS_PER_S if self._now is None else self._now
            self._end_message()
            self._print(at, at, trade.side, trade.price, trade.size)

    def _print(self, at: int, venue: int, side: int, price: int, size: int) -> None:
        self._print_row(at, venue, side, price, size)
        self._out.end()

    def _print_row(self, at: int, venue: int, side: int, price: int, size: int) -> None:
        took = m.BUYER if side == m.SIDE_ASK else m.SELLER
        self._out.row(at, venue, self._book, m.KIND_PRINT, took, price, size, lower=True)  # its time is inferred

    # -- messages --

    def _end_message(self) -> None:
        """Write the changes of one stamp; the first of a session, or after a gap, restates the whole book."""
        if not self._message or self._now is None:
            return
        at, raw = self._now, self._raw
        for fall, side, price, total in self._message:
            if fall is not None:
                fall.written = True
                if fall.prints:
                    self._seen["matched"] += 1
                    self._print_row(at, fall.ts, fall.side, fall.price, fall.size)
            if not self._restate:
                self._level(at, raw, side, price, total)
        if self._restate:
            self._out.row(at, raw, self._book, m.KIND_CLEAR)
            for side, levels in self._totals.items():
                for price, total in sorted(levels.items()):
                    if total:
                        self._level(at, raw, side, price, total)
        self._out.end()
        self._message, self._restate = [], False

    def _level(self, at: int, raw: int, side: int, price: int, total: int) -> None:
        self._out.row(
            at, raw, self._book, m.KIND_LEVEL, side, price, total, lower=bool(total) and not self._exact(side, price)
        )

    def _exact(self, side: int, price: int) -> bool:
        assert self._session is not None
        return self._session.opening[side][price].exact

    # -- figures --

    def _compare(self, row: Row) -> None:
        """Count whether the rebuilt bests are the printed ones, and whether their sizes are exact."""
        bids = [price for price, total in self._totals[m.SIDE_BID].items() if total]
        asks = [price for price, total in self._totals[m.SIDE_ASK].items() if total]
        bests = {m.SIDE_BID: max(bids, default=None), m.SIDE_ASK: min(asks, default=None)}
        self._seen["rows"] += 1
        self._seen["equal"] += (bests[m.SIDE_BID], bests[m.SIDE_ASK]) == (row.bid, row.ask)
        for side, price in bests.items():
            if price is not None:
                self._seen["bests"] += 1
                self._seen["exact"] += self._exact(side, price)

    def _report(self) -> None:
        seen, figures = self._seen, self._log.figures
        figures["recorder restarts"] = seen["restarts"]
        if seen["rows"]:
            figures["best prices as printed, share"] = seen["equal"] / seen["rows"]
        if seen["bests"]:
            figures["best sizes exact, share"] = seen["exact"] / seen["bests"]
        if seen["prints"]:
            figures["prints"] = seen["prints"]
            figures["prints matched with a decrease"] = seen["matched"]
            figures["prints later than their decrease"] = seen["late"]
