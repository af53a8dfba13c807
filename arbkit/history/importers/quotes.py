"""The best bid and ask of some twelve thousand Polymarket markets every two minutes, a Parquet file a day.

Columns ts (whole seconds, no zone: taken for UTC), slug (the key that markets.toml calls `source`), bid, ask (missing
where that side is empty), and others that are not read. No size is told, so each best stands as the smallest lot, a
lower bound; there are no prints. All quotes of one stamp were asked for together: they are one message. A quote that
is locked or crossed cannot be a book: it is unknown (a gap row) until its next good one.

Rows stand market by market; they are put in order of time on disk, and turned into rows a stretch at a time without
a look at single rows: most quotes only repeat the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from arbkit.books import meta as m
from arbkit.core.units import MICRO, NS_PER_S
from arbkit.history.importers import parquet
from arbkit.history.importers.base import Batch, BookIndex, Source
from arbkit.history.importers.by_time import TimeSorter
from arbkit.history.importers.proven import SMALLEST_LOT
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.stamps import EARLIEST, LATEST
from arbkit.history.tape import Clocks

VENUE = "polymarket"
COLUMNS = ("ts", "slug", "bid", "ask")
ALSO = ("mid", "spread", "volume24hr", "segment")  # tell it from other files with quotes
STRETCH_NS = 1_800 * NS_PER_S
QUOTE = np.dtype([("recv", "<i8"), ("book", "<i4"), ("bid", "<i4"), ("ask", "<i4")])  # an empty side is 0
ONE_SIDED = "quotes with one side or none"


class Quotes:
    """The importer of a day of best quotes."""

    name = "quotes"
    looked_for = f"Parquet with the columns {', '.join(COLUMNS + ALSO)}"
    clocks: Clocks = "recv"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file has all the columns."""
        return parquet.columns_of(path, head).issuperset(COLUMNS + ALSO)

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return a single stream: the days belong together."""
        return [_together(sources, books, quality)]


IMPORTER = Quotes()


def _together(sources: Sequence[Source], index: BookIndex, quality: QualityLog) -> Iterator[Batch]:
    with TimeSorter(QUOTE, STRETCH_NS) as sorter:
        for source in sources:
            log = quality.file(source.name)
            log.note("stamps have no zone and are taken for UTC; no sizes: every best is a lower bound of one lot")
            for quotes in _quotes(source, index, log):
                sorter.add(quotes)
        books = _Books(quality.file(sources[0].name))
        for quotes in sorter.ordered():
            yield books.batch(quotes, index)
        books.finish()


# -- reading -------------------------------------------------------------------------------------------------


def _quotes(source: Source, index: BookIndex, log: FileLog) -> Iterator[np.ndarray]:
    """Yield the usable quotes as recorded; the others are refused with their number, counted from 1."""
    before = _Before(-1, 0)
    for piece in parquet.batches(source.path, COLUMNS):
        with parquet.reading(source.path):
            stamps = parquet.recorded_array(piece, "ts")
            slugs = piece.column("slug").dictionary_encode()
            names = slugs.dictionary.to_pylist()
            codes = slugs.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            sides = [(parquet.micros(column), _given(column)) for column in map(piece.column, ("bid", "ask"))]
        numbers = np.array([index.book(name, venue=VENUE) if name else -1 for name in names] + [-1], dtype=np.int32)
        quotes = np.zeros(len(piece), dtype=QUOTE)
        quotes["recv"], quotes["book"] = stamps, numbers[codes]
        faults = [
            ((stamps < EARLIEST) | (stamps >= LATEST), "ts: missing, or not between 2000 and 2100"),
            (quotes["book"] < 0, "slug: missing"),
        ]
        for name, (amount, given) in zip(("bid", "ask"), sides, strict=True):
            quotes[name] = np.where(given & amount.good, np.clip(amount.values, -1, MICRO), 0)
            faults.append((given & ~amount.good, f"{name}: not a number in millionths"))
            inside = (quotes[name] > 0) & (quotes[name] < MICRO)
            faults.append((given & amount.good & ~inside, f"{name}: not strictly between 0 and 1 dollar"))
        bad = parquet.refuse(faults, log)
        log.rows_read += len(piece)
        good = quotes[~bad]
        before = before.stamped(good, log)
        yield good


def _given(column: object) -> np.ndarray:
    given: np.ndarray = column.is_valid().to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    return given


class _Before(NamedTuple):
    """The quote before a piece: its book and stamp."""

    book: int
    recv: int

    def stamped(self, quotes: np.ndarray, log: FileLog) -> _Before:
        """Count the stamps that are earlier than the one before them of the same market."""
        if not len(quotes):
            return self
        books = np.concatenate([[self.book], quotes["book"]])
        stamps = np.concatenate([[self.recv], quotes["recv"]])
        back = np.flatnonzero((books[1:] == books[:-1]) & (stamps[1:] < stamps[:-1]))
        for at in back.tolist():
            log.stamped(int(stamps[at + 1]), int(stamps[at]))
        return _Before(int(books[-1]), int(stamps[-1]))


# -- rows ----------------------------------------------------------------------------------------------------


class _Books:
    """What is known of every book, by number; turns quotes in order of time into what they change."""

    def __init__(self, log: FileLog) -> None:
        self._log = log
        self._bid = self._ask = self._lot = np.empty(0, dtype=np.int64)
        self._known = np.empty(0, dtype=bool)
        self._lost: dict[int, tuple[int, int]] = {}  # book -> (ns since when, quotes thrown away)
        self._now = 0

    def _grow(self, index: BookIndex, most: int) -> None:
        new = range(len(self._known), most + 1)
        lots = [(index.market(book).lot or SMALLEST_LOT) for book in new]
        self._lot = np.concatenate([self._lot, np.array(lots, dtype=np.int64)])
        self._bid, self._ask = (np.concatenate([side, np.zeros(len(new), np.int64)]) for side in (self._bid, self._ask))
        self._known = np.concatenate([self._known, np.zeros(len(new), dtype=bool)])

    def batch(self, quotes: np.ndarray, index: BookIndex) -> Batch:
        """Return the rows of quotes that are in order of time; those of one stamp must all be among them."""
        self._grow(index, int(quotes["book"].max()))
        self._now = int(quotes["recv"][-1])
        book, bid, ask = (quotes[name].astype(np.int64) for name in ("book", "bid", "ask"))
        good = ~((bid > 0) & (ask > 0) & (bid >= ask))
        previous = _previous(book)
        first = previous < 0
        was = np.where(first, self._known[book], good[previous])
        old_bid, old_ask = (
            np.where(first, self._bid[book], bid[previous]),
            np.where(first, self._ask[book], ask[previous]),
        )
        again = ~first & (quotes["recv"] == quotes["recv"][previous])
        again &= (bid == bid[previous]) & (ask == ask[previous])
        self._log.duplicates += int(again.sum())
        self._one_sided(good & ((bid == 0) | (ask == 0)))
        self._quarantine(quotes["recv"], book, good)
        old_bid, old_ask = np.where(was, old_bid, 0), np.where(was, old_ask, 0)
        none = np.zeros(len(book), dtype=np.int64)
        slots: list[
            Slot
        ] = [  # what a quote may come down to, in this order: (where, kind, side, price, whether it adds)
            (good != was, np.where(good, np.uint8(m.KIND_CLEAR), np.uint8(m.KIND_GAP)), m.SIDE_NONE, none, False),
            (good & (old_bid > 0) & (old_bid != bid), m.KIND_LEVEL, m.SIDE_BID, old_bid, False),
            (good & (old_ask > 0) & (old_ask != ask), m.KIND_LEVEL, m.SIDE_ASK, old_ask, False),
            (good & (bid > 0) & (old_bid != bid), m.KIND_LEVEL, m.SIDE_BID, bid, True),
            (good & (ask > 0) & (old_ask != ask), m.KIND_LEVEL, m.SIDE_ASK, ask, True),
        ]
        says = np.stack([where for where, *_ in slots], axis=1)
        # A stamp that changed nothing proves that the stream is alive: one mark says so.
        ends = np.concatenate([quotes["recv"][1:] != quotes["recv"][:-1], [True]])
        starts = np.concatenate([[0], np.flatnonzero(ends)[:-1] + 1])
        silent = np.flatnonzero(ends)[np.add.reduceat(says.sum(axis=1), starts) == 0]
        marks = np.zeros(len(book), dtype=bool)
        marks[silent] = True
        slots.append((marks, m.KIND_MARK, m.SIDE_NONE, none, False))
        self._keep(book, bid, ask, good)
        return _laid_out(quotes["recv"], book, slots, self._lot)

    def _keep(self, book: np.ndarray, bid: np.ndarray, ask: np.ndarray, good: np.ndarray) -> None:
        # Of several quotes of a book the last one stays: numpy assigns in order.
        self._bid[book], self._ask[book], self._known[book] = bid, ask, good

    def _one_sided(self, which: np.ndarray) -> None:
        self._log.figures[ONE_SIDED] = self._log.figures.get(ONE_SIDED, 0) + int(which.sum())

    def _quarantine(self, stamps: np.ndarray, book: np.ndarray, good: np.ndarray) -> None:
        """Follow the few books that are crossed, quote by quote."""
        suspects = np.unique(np.concatenate([book[~good], np.array(list(self._lost), dtype=np.int64)]))
        for row in np.flatnonzero(np.isin(book, suspects)).tolist():
            number, stamp = int(book[row]), int(stamps[row])
            if not good[row]:
                since, rows = self._lost.get(number, (stamp, 0))
                self._lost[number] = since, rows + 1
            elif number in self._lost:
                since, rows = self._lost.pop(number)
                self._log.quarantine(rows, stamp - since)

    def finish(self) -> None:
        """Count the stretches that lasted to the end."""
        for since, rows in self._lost.values():
            self._log.quarantine(rows, self._now - since)


def _previous(book: np.ndarray) -> np.ndarray:
    """Return for each row the one before it of the same book, -1 where there is none."""
    order = np.argsort(book, kind="stable")
    found = np.full(len(book), -1, dtype=np.int64)
    same = book[order[1:]] == book[order[:-1]]
    found[order[1:][same]] = order[:-1][same]
    return found


Slot = tuple[np.ndarray, "np.ndarray | int", int, np.ndarray, bool]


def _laid_out(stamps: np.ndarray, book: np.ndarray, slots: Sequence[Slot], lots: np.ndarray) -> Batch:
    """Return the rows of all slots, quote by quote, with the end of each stamp marked."""
    says = np.stack([slot[0] for slot in slots], axis=1).reshape(-1)
    n = len(slots)

    def column(values: Sequence[np.ndarray | int], dtype: type) -> np.ndarray:
        spread: np.ndarray = np.empty((len(book), n), dtype=dtype)
        for i, value in enumerate(values):
            spread[:, i] = value
        flat: np.ndarray = spread.reshape(-1)[says]
        return flat

    recv = np.repeat(stamps, n)[says]
    codes = column([slot[1] for slot in slots], np.uint8)
    sides = column([slot[2] for slot in slots], np.uint8)
    adds = column([int(slot[4]) for slot in slots], np.uint8).astype(bool)
    ends = np.concatenate([recv[1:] != recv[:-1], [True]]) if len(recv) else np.empty(0, dtype=bool)
    meta = codes | sides << np.uint8(m.SIDE_SHIFT) | np.where(adds, np.uint8(m.LOWER), np.uint8(0))
    meta |= np.where(ends, np.uint8(m.LAST), np.uint8(0))
    numbers = np.repeat(book, n)[says].astype(np.int32)
    sizes = np.where(adds, lots[numbers], 0).astype(np.int64)
    return Batch(recv, recv.copy(), numbers, meta.astype(np.uint8), column([s[3] for s in slots], np.int32), sizes)
