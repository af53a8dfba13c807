"""The hourly archive of Polymarket's whole market channel (PMXT, version 2), in Parquet.

A file holds an hour of `book`, `price_change`, `last_trade_price` and `tick_size_change` messages of all markets,
sorted by market and token and only then by time: it is put in order of `timestamp_received` on disk first. Both clocks
are recorded, in milliseconds. Rows of one received stamp are one message, for the changes of a market's two tokens
arrive together and stand far apart in the file. `asset_id` is the key that markets.toml calls `source`.

A `book` is whole: it is written as its difference to what is known. Changes state new totals and the bests after
them, which correct the book as far as they prove anything (see `proven`); a book without a whole one yet is known
from its first change on. An hour that is missing between two files is a gap: no change is applied across it, and all
books are unknown until something is said of them anew. Which hour a file is of, the end of its name says (`T05`); where
it says none, the stamps do. A file without a row is a quiet hour. Two files of one hour, one whose rows are of another
than its name says, or any that overlap by more than messages overtake each other, are no recording.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.units import MICRO, NS_PER_S
from arbkit.history.importers import parquet
from arbkit.history.importers.base import Batch, BookIndex, MessageWriter, Source, snap_price, snap_size
from arbkit.history.importers.by_time import TimeSorter
from arbkit.history.importers.hours import Coverage, Stretch, utc
from arbkit.history.importers.proven import ProvenBooks, Said
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.stamps import EARLIEST, LATEST
from arbkit.history.tape import Clocks

VENUE = "polymarket"
COLUMNS = ("timestamp_received", "timestamp", "event_type", "asset_id", "bids", "asks", "price", "size", "side",
           "best_bid", "best_ask")  # fmt: skip
ALSO = ("market", "fee_rate_bps", "old_tick_size", "new_tick_size")
EVENTS = ("book", "price_change", "last_trade_price", "tick_size_change")
BOOK, CHANGE, TRADE, TICK = range(4)
SIDES = ("BUY", "SELL")  # of a change: bid, ask; of a trade: who took. The codes of both are 1 and 2
STRETCH_NS = 15 * NS_PER_S
LISTED_ROWS = 1 << 16  # made Python's at once: ten times the size of what they are made from
NOT_TOLD = -1  # a best that a row does not print
# A whole book is a row of kind WHOLE and one of kind LEVEL_OF_WHOLE for each level; other kinds are those of a tape.
WHOLE, LEVEL_OF_WHOLE = 14, 15
ROW = np.dtype(
    [("recv", "<i8"), ("venue", "<i8"), ("book", "<i4"), ("kind", "u1"), ("side", "u1"), ("price", "<i4"),
     ("size", "<i8"), ("bid", "<i4"), ("ask", "<i4")]
)  # fmt: skip
# Of a whole book; typed, because what is nested deeper must end at its first bracket, not at the end of the stack.
_SIDE = msgspec.json.Decoder(list[dict[str, str | float | None] | list[str | float | None]])
LEVEL = np.dtype([("place", "<i8"), ("side", "u1"), ("price", "<i4"), ("size", "<i8")])  # of a whole book
TICKS = "changes of the tick, which markets.toml has to state"


class Pmxt:
    """The importer of hourly files."""

    name = "pmxt"
    looked_for = f"Parquet with the columns {', '.join(COLUMNS + ALSO)}"
    clocks: Clocks = "both"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file has all the columns."""
        return parquet.columns_of(path, head).issuperset(COLUMNS + ALSO)

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return a single stream: the hours follow each other."""
        return [_hours(sources, books, quality)]


IMPORTER = Pmxt()


def _hours(sources: Sequence[Source], index: BookIndex, quality: QualityLog) -> Iterator[Batch]:
    out = MessageWriter()
    books = ProvenBooks(out)
    covered = Coverage()
    before: int | None = None
    stretches = [(Stretch(source), source) for source in sources]
    for stretch, source in sorted(stretches, key=lambda each: (_begins(*each, alone=len(sources) == 1), each[1].stem)):
        log, hour = quality.file(source.name), stretch.hour
        if hour is not None and hour == before:
            raise DataError(f"{source.path}: another file is of the same hour, {utc(hour)}: which one is meant?")
        before = hour if hour is not None else before
        with TimeSorter(ROW, STRETCH_NS) as sorter:
            for rows in _rows(source, index, books, log):
                stretch.add(rows["recv"][rows["kind"] != LEVEL_OF_WHOLE])
                sorter.add(rows)
            stretch.check(log)
            if (lost := covered.next(stretch, log)) is not None:
                books.lose(max(lost, out.now + 1))
            started = False
            for rows in sorter.ordered():
                if not started:  # what overlaps the file before would be told again, at the end of it
                    log.stamped(int(rows["recv"][0]), out.now)
                    started = True
                yield from _replayed(rows, out, books)
    books.finish()
    yield out.take()


def _begins(stretch: Stretch, source: Source, *, alone: bool) -> int:
    """Return where a file stands among the others (ns): by its name, or else by the first of its stamps."""
    if stretch.hour is not None or alone:
        return stretch.hour or 0
    first = LATEST
    for piece in parquet.batches(source.path, COLUMNS[:1], may_be_empty=True):
        with parquet.reading(source.path):
            stamps = parquet.recorded_array(piece, COLUMNS[0])
        first = min(first, int(stamps[stamps > 0].min(initial=LATEST)))
    return first


# -- reading -------------------------------------------------------------------------------------------------


def _rows(source: Source, index: BookIndex, books: ProvenBooks, log: FileLog) -> Iterator[np.ndarray]:
    """Yield the usable rows as recorded; the others are refused with their number, counted from 1."""
    latest = (-1, 0)
    for piece in parquet.batches(source.path, COLUMNS, may_be_empty=True):
        with parquet.reading(source.path):
            cells = _Cells(piece)
        numbers = np.array([_book(name, index, books, log) for name in cells.names] + [-1], dtype=np.int32)
        book = numbers[cells.token]
        rows = np.zeros(len(piece), dtype=ROW)
        rows["recv"], rows["venue"], rows["book"] = cells.recv, cells.venue, book
        rows["kind"] = np.choose(cells.event.clip(0), (WHOLE, m.KIND_LEVEL, m.KIND_PRINT, 0))
        rows["side"] = cells.side + 1
        for name in ("price", "size", "bid", "ask"):
            rows[name] = cells.amounts[name].values
        bad = _refuse(cells, book, log)
        ticks = (cells.event == TICK) & ~bad
        if ticks.any():
            log.figures[TICKS] = log.figures.get(TICKS, 0) + int(ticks.sum())
        whole = np.flatnonzero((cells.event == BOOK) & ~bad)
        with parquet.reading(source.path):
            told = piece.select(["bids", "asks"]).take(pa.array(whole))
            sides = [parquet.texts(told, name) for name in ("bids", "asks")]
        levels = _wholes(sides, whole, bad, log)
        log.rows_read += len(piece)
        plain = np.flatnonzero(~bad & ~ticks)
        if len(plain):
            latest = _stamped(rows[plain], latest, log)
        places = np.concatenate([plain, levels["place"]])
        found = np.concatenate([rows[plain], rows[levels["place"]]])
        behind = found[len(plain) :]
        behind["kind"], behind["bid"], behind["ask"] = LEVEL_OF_WHOLE, NOT_TOLD, NOT_TOLD
        for name in ("side", "price", "size"):
            behind[name] = levels[name]
        yield found[np.argsort(places, kind="stable")]  # the levels of a book behind its row


def _stamped(rows: np.ndarray, before: tuple[int, int], log: FileLog) -> tuple[int, int]:
    """Count stamps that step back within a token; `before` and the result are the last row's (book, ns)."""
    book = np.concatenate([[before[0]], rows["book"]])
    recv = np.concatenate([[before[1]], rows["recv"]])
    for at in np.flatnonzero((book[1:] == book[:-1]) & (recv[1:] < recv[:-1])).tolist():
        log.stamped(int(recv[at + 1]), int(recv[at]))
    return int(book[-1]), int(recv[-1])


def _book(name: str | None, index: BookIndex, books: ProvenBooks, log: FileLog) -> int:
    if not name:
        return -1
    book = index.book(name, venue=VENUE)
    books.add(book, log, index.market(book).lot)
    return book


class _Cells:
    """The columns of a piece as numbers; what is missing is -1, or not `good`."""

    def __init__(self, piece: Any) -> None:
        self.recv = parquet.recorded_array(piece, "timestamp_received")
        self.venue = parquet.recorded_array(piece, "timestamp")
        self.event = _code(parquet.text_array(piece, "event_type"), EVENTS)
        self.side = _code(parquet.text_array(piece, "side"), SIDES)
        tokens = parquet.text_array(piece, "asset_id").dictionary_encode()
        self.names: list[str] = tokens.dictionary.to_pylist()
        self.token = tokens.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self.amounts = {
            "price": parquet.micros(piece.column("price")),
            "size": parquet.micros(piece.column("size")),
            "bid": _best(piece.column("best_bid")),
            "ask": _best(piece.column("best_ask")),
        }


def _code(column: Any, words: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each text in `words`, -1 for others."""
    found = pc.index_in(column, value_set=pa.array(words))
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _best(column: Any) -> parquet.Micros:
    found = parquet.micros(column)
    told = column.is_valid().to_numpy(zero_copy_only=False)
    return parquet.Micros(np.where(told, found.values, NOT_TOLD), found.good | ~told)


def _refuse(cells: _Cells, book: np.ndarray, log: FileLog) -> NDArray[np.bool_]:
    """Count the rows that cannot be used, each with its first fault, and tell which they are."""
    change, trade = cells.event == CHANGE, cells.event == TRADE
    priced = change | trade
    price, size, bid, ask = (cells.amounts[name] for name in ("price", "size", "bid", "ask"))
    outside = [best.good & ((best.values < NOT_TOLD) | (best.values > MICRO)) for best in (bid, ask)]
    faults = [
        ((cells.recv < EARLIEST) | (cells.recv >= LATEST), "timestamp_received: missing, or not between 2000 and 2100"),
        ((cells.venue < EARLIEST) | (cells.venue >= LATEST), "timestamp: missing, or not between 2000 and 2100"),
        (cells.event < 0, "event_type: unknown"),
        (book < 0, "asset_id: missing"),
        (priced & (cells.side < 0), "side: neither BUY nor SELL"),
        (priced & ~price.good, "price: not a number in millionths"),
        (priced & ((price.values <= 0) | (price.values >= MICRO)), "price: not strictly between 0 and 1 dollar"),
        (priced & ~size.good, "size: not a number in millionths"),
        (priced & (size.values < 0), "size: negative"),
        (trade & (size.values == 0), "size: a trade of nothing"),
        (change & ~(bid.good & ask.good), "best: not a number in millionths"),
        (change & (outside[0] | outside[1]), "best: not between 0 and 1 dollar"),
    ]
    return parquet.refuse(faults, log)


def _wholes(texts: Sequence[Sequence[str | None]], which: np.ndarray, bad: np.ndarray, log: FileLog) -> np.ndarray:
    """Return the levels of the whole books, with the place of their row; a book that cannot be read becomes `bad`."""
    columns = array("q"), array("b"), array("q"), array("q")
    places, halves, prices, sizes = columns
    for place, bids, asks in zip(which.tolist(), *texts, strict=True):
        try:
            sides = [_levels(name, text) for name, text in (("bids", bids), ("asks", asks))]
        except ValueError as error:
            bad[place] = True
            log.refuse(log.rows_read + place + 1, str(error))
            continue
        for side, levels in zip((m.SIDE_BID, m.SIDE_ASK), sides, strict=True):
            places.extend([place] * len(levels))
            halves.extend([side] * len(levels))
            prices.extend(levels)
            sizes.extend(levels.values())
    found = np.empty(len(places), dtype=LEVEL)
    for name, column in zip(LEVEL.names or (), columns, strict=True):
        found[name] = column
    return found


def _levels(name: str, text: str | None) -> dict[int, int]:
    """Read one side of a book: a JSON list of {"price": "0.4", "size": "5"} or of ["0.4", "5"]."""
    try:
        read = _SIDE.decode(text or "")
        pairs = [(x["price"], x["size"]) if isinstance(x, dict) else (x[0], x[1]) for x in read]
        levels = {snap_price(str(price)): snap_size(str(size)) for price, size in pairs}
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError):
        raise ValueError(f"{name}: not a list of prices and sizes") from None
    if len(levels) < len(pairs):
        raise ValueError(f"{name}: a price stands twice")
    if not all(0 < price < MICRO for price in levels):
        raise ValueError(f"{name}: a price is not strictly between 0 and 1 dollar")
    return {price: size for price, size in levels.items() if size}


# -- rows ----------------------------------------------------------------------------------------------------


def _replayed(rows: np.ndarray, out: MessageWriter, books: ProvenBooks) -> Iterator[Batch]:
    """Write the messages of a stretch; those of one received stamp are one, cut where a whole book interrupts it."""
    message = _Message(books)
    pieces = (rows[at : at + LISTED_ROWS] for at in range(0, len(rows), LISTED_ROWS))
    for recv, venue, book, kind, side, price, size, bid, ask in chain.from_iterable(
        zip(*(piece[name].tolist() for name in ROW.names or ()), strict=True) for piece in pieces
    ):
        if recv != message.recv:
            message.end()
            if out.full:
                yield out.take()
            message.recv = recv
        if kind == WHOLE:
            message.whole(venue, book)
        elif kind == LEVEL_OF_WHOLE:
            message.level(side, price, size)
        else:
            told = bid >= 0 and ask >= 0 and kind == m.KIND_LEVEL
            bests = (bid, ask) if told else (None, None)
            message.row(Said(venue, book, kind, side, price, size, *bests))
    message.end()
    if out.full:
        yield out.take()


class _Message:
    """What has been read of the message of one received stamp."""

    def __init__(self, books: ProvenBooks) -> None:
        self._books = books
        self.recv = 0
        self._rows: list[Said] = []
        self._whole: tuple[int, int, dict[int, int], dict[int, int]] | None = None

    def whole(self, venue: int, book: int) -> None:
        self.end()
        self._whole = venue, book, {}, {}

    def level(self, side: int, price: int, size: int) -> None:
        assert self._whole is not None  # the sorter keeps them behind their book
        _, _, bids, asks = self._whole
        (bids if side == m.SIDE_BID else asks)[price] = size

    def row(self, said: Said) -> None:
        if self._whole is not None:
            self.end()
        self._rows.append(said)

    def end(self) -> None:
        if self._whole is not None:
            self._books.renew(self.recv, *self._whole)
            self._whole = None
        if self._rows:
            self._books.message(self.recv, self._rows)
            self._rows = []
