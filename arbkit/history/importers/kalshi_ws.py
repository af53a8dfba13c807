"""Recorded sessions of Kalshi's websocket: one raw message a line, as JSON.

One book is recorded per market, the YES book; NO is its mirror view. Time is the venue's (`ts` of deltas, in
microseconds). What carries no time takes that of the message before it in the file; at the start of a file the first
stamp after it. A public trade has milliseconds only and stands at the later of its own stamp and the message before
it, marked as inferred. Our own fills are no part of a market's history and never stand on a tape.

`seq` counts every message of a subscription. A hole or a number that comes again with another text means that
something of the subscription was missed or comes twice: all its books are unknown (a gap row) until the next
snapshot of each. So is a single book whose message cannot be read, or whose level would fall below nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.units import NS_PER_MS
from arbkit.history.importers.base import (
    Batch,
    BookIndex,
    MessageWriter,
    SnapshotDiff,
    Source,
    recorded,
    recorded_ns,
)
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.tape import Clocks
from arbkit.wire import kalshi as wire

VENUE = "kalshi"
CUT_SNAPSHOT = re.compile(rb'\s*\{"type"\s*:\s*"orderbook_snapshot"\s*,.*"market_ticker"')


class KalshiWs:
    """The importer of raw Kalshi websocket sessions."""

    name = "kalshi_ws"
    looked_for = "lines of JSON with the keys type and msg, as Kalshi's websocket sends them"
    clocks: Clocks = "venue"

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002  (the content decides, not the name)
        """Tell whether most of the first lines are messages of a subscription, or of a type that is read here."""
        lines = [line for line in head.split(b"\n") if line.strip()]
        whole = lines[:-1] or lines  # the last is most likely cut
        return 2 * sum(_is_message(line) for line in whole) > len(whole)

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one stream per session."""
        return [_Session(source, books, quality.file(source.name)).batches() for source in sources]


IMPORTER = KalshiWs()


class _Subscription:
    """What is followed of one `sid`: the last number, its text, and the books it has given so far."""

    __slots__ = ("books", "seq", "text")

    def __init__(self) -> None:
        self.books: dict[int, None] = {}  # a dict for its fixed order
        self.seq: int | None = None
        self.text = ""


class _Session:
    """Reads one session from its first line to its last."""

    def __init__(self, source: Source, books: BookIndex, log: FileLog) -> None:
        self._source, self._index, self._log = source, books, log
        self._out = MessageWriter()
        self._books = SnapshotDiff()
        self._subscriptions: dict[int, _Subscription] = {}
        self._lost: dict[int, list[int]] = {}  # book -> [ns since when, deltas that were left out]
        self._now = 0
        self._count = dict.fromkeys(
            ("sequence holes", "levels below nothing", "deltas without a snapshot", "own fills skipped"), 0
        )
        self._strange: dict[str, int] = {}

    def batches(self) -> Iterator[Batch]:
        """Yield the rows; raises DataError for a damaged file and for one in which nothing carries a time."""
        self._now = self._first_stamp()
        for number, text, _ in self._source.lines():
            if not text.strip():
                continue
            self._log.rows_read += 1
            self._message(number, text)
            if self._out.full:
                yield self._out.take()
        self._finish()
        yield self._out.take()

    def _first_stamp(self) -> int:
        for _, text, _ in self._source.lines():
            try:
                message = _decoded(text)
                if isinstance(message, wire.OrderbookDelta):
                    return _stamp(message)
            except wire.Malformed:
                continue  # counted, with its line, when the line is read for good
        raise DataError(f"{self._source.path}: no message carries a time")

    def _finish(self) -> None:
        for book in list(self._lost):
            self._found(book)
            self._out.row(self._now, self._now, book, m.KIND_MARK)  # the session went on, the book stayed unknown
        self._out.end()
        for name, count in (*self._count.items(), *self._strange.items()):
            if count:
                self._log.figures[name] = count

    # -- one message ---------------------------------------------------------------------------------------------

    def _message(self, number: int, text: str) -> None:
        try:
            message = _decoded(text)
            stamp = _stamp(message) if isinstance(message, wire.OrderbookDelta) else self._now
        except wire.Malformed as error:
            self._unread(number, error, text)
            return
        self._log.stamped(stamp, self._now)
        self._now = stamp
        if isinstance(message, wire.Subscribed):
            self._renew(message.msg.sid)
        elif not self._in_sequence(message, text):
            return
        if isinstance(message, wire.OrderbookSnapshot):
            self._snapshot(number, message)
        elif isinstance(message, wire.OrderbookDelta):
            self._delta(number, message)
        elif isinstance(message, wire.Trade):
            self._trade(number, message.msg)
        elif isinstance(message, wire.Fill):
            self._count["own fills skipped"] += 1
        elif isinstance(message, wire.Unknown):
            name = f"messages of type {message.type!r}, not read"
            self._strange[name] = self._strange.get(name, 0) + 1

    def _subscription(self, sid: int) -> _Subscription:
        return self._subscriptions.setdefault(sid, _Subscription())

    def _in_sequence(self, message: wire.Message | wire.Unknown, text: str) -> bool:
        """Follow the numbers of a subscription; False for a message that only repeats the one before it."""
        if message.sid is None or message.seq is None:
            return True
        known = self._subscription(message.sid)
        if message.seq == known.seq and text == known.text:
            self._log.duplicates += 1
            return False
        if known.seq is not None and message.seq != known.seq + 1:
            self._count["sequence holes"] += 1
            self._lose(list(known.books))
        known.seq, known.text = message.seq, text
        return True

    def _renew(self, sid: int) -> None:
        """A subscription of this number begins: what was known of an older one is over."""
        self._lose(list(self._subscription(sid).books))
        self._subscriptions[sid] = _Subscription()

    def _snapshot(self, number: int, message: wire.OrderbookSnapshot) -> None:
        book = self._index.book(message.msg.market_ticker, venue=VENUE)
        self._subscription(message.sid).books[book] = None
        try:
            found = wire.book_of(message.msg)
        except ValueError as error:
            self._refuse(number, book, "snapshot", str(error))
            return
        if found.crossed:
            self._refuse(number, book, "snapshot: crossed", "are its NO prices YES prices (use_yes_price)?")
            return
        self._found(book)
        for change in self._books.snapshot(book, found.bids, found.asks):
            self._out.row(self._now, self._now, book, change.kind, change.side, change.price, change.size)
        self._out.end()

    def _delta(self, number: int, message: wire.OrderbookDelta) -> None:
        book = self._index.book(message.msg.market_ticker, venue=VENUE)
        try:
            change = wire.change_of(message.msg)
        except ValueError as error:
            self._refuse(number, book, "delta", str(error))
            return
        if not self._books.knows(book):
            if book in self._lost:
                self._lost[book][1] += 1
            else:
                self._count["deltas without a snapshot"] += 1
            return
        side = m.SIDE_BID if change.bid else m.SIDE_ASK
        total = self._books.total(book, side, change.price) + change.change
        if total < 0:
            self._count["levels below nothing"] += 1
            self._lose([book])
            return
        self._books.change(book, side, change.price, total)
        self._out.row(self._now, self._now, book, m.KIND_LEVEL, side, change.price, total)
        self._out.end()

    def _trade(self, number: int, trade: wire.TradeBody) -> None:
        try:
            price, size = wire.quotable(trade.yes_price_dollars), wire.contracts(trade.count_fp)
            stamp = self._now if trade.ts_ms is None else recorded(trade.ts_ms * NS_PER_MS)
        except ValueError as error:
            self._log.refuse(number, "trade", str(error))
            return
        bought = wire.buyer_took(trade)
        taker = m.UNKNOWN_AGGRESSOR if bought is None else m.BUYER if bought else m.SELLER
        self._now = max(self._now, stamp)
        book = self._index.book(trade.market_ticker, venue=VENUE)
        self._out.row(self._now, self._now, book, m.KIND_PRINT, taker, price, size, lower=True)
        self._out.end()

    # -- books that are lost and found ---------------------------------------------------------------------------

    def _lose(self, books: Sequence[int]) -> None:
        """Make books unknown from here on; those that are unknown already stay so."""
        for book in books:
            if self._books.lose(book):
                self._lost[book] = [self._now, 0]
                self._out.row(self._now, self._now, book, m.KIND_GAP)
        self._out.end()

    def _found(self, book: int) -> None:
        """Count the stretch that ends here, if the book was lost."""
        if book in self._lost:
            since, rows = self._lost.pop(book)
            self._log.quarantine(rows, max(0, self._now - since))

    def _unread(self, number: int, error: wire.Malformed, text: str) -> None:
        """Refuse a message that cannot be read; if it was about a book, nobody knows about which."""
        self._log.refuse(number, "message: cannot be read", f"{error}: {text[:80]}")
        if (envelope := error.envelope) is None:
            return  # its number is missing: the next message of the subscription shows the hole
        self._in_sequence(envelope, text)
        if envelope.type in ("orderbook_snapshot", "orderbook_delta") and envelope.sid is not None:
            self._lose(list(self._subscription(envelope.sid).books))

    def _refuse(self, number: int, book: int, what: str, why: str) -> None:
        self._log.refuse(number, what, why)
        self._lose([book])


def _decoded(raw: str | bytes) -> wire.Message | wire.Unknown:
    """Return a message; raises Malformed, also where the JSON breaks behind a field that is wrong already."""
    try:
        return wire.decode(raw)
    except msgspec.DecodeError as error:
        raise wire.Malformed(f"not JSON: {error}") from error


def _is_message(line: bytes) -> bool:
    try:
        message = _decoded(line)
    except wire.Malformed as error:
        # A snapshot of a deep book can be longer than the piece that is shown.
        return error.envelope is not None or CUT_SNAPSHOT.match(line) is not None
    return not isinstance(message, wire.Unknown) or message.sid is not None


def _stamp(message: wire.OrderbookDelta) -> int:
    """Return the venue's stamp in ns, the coarser one where the finer is missing; raises Malformed without any."""
    delta = message.msg
    try:
        if delta.ts:
            return recorded_ns(delta.ts)
        if delta.ts_ms is not None:
            return recorded(delta.ts_ms * NS_PER_MS)
        raise ValueError("none")
    except ValueError as error:
        raise wire.Malformed(f"time: {error}", wire.envelope_of(message)) from None
