"""What every importer is made of: sources, books found by name, messages turned into rows, rows into batches."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import stat
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Market, MarketTable
from arbkit.core.nesting import too_deep
from arbkit.history.markets import MarketSpec, market_table
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.stamps import is_coarse, recorded, recorded_ns, snap, snap_price, snap_size
from arbkit.history.tape import Clocks, Rows

__all__ = [
    "Batch",
    "BookIndex",
    "Change",
    "Importer",
    "MessageWriter",
    "SnapshotDiff",
    "Source",
    "csv_rows",
    "is_coarse",
    "is_conflict",
    "json_list",
    "recorded",
    "recorded_ns",
    "snap",
    "snap_price",
    "snap_size",
]

Batch = Rows  # the six columns of whole messages, `book` as int32, ts_recv never falling within one source
BATCH_ROWS = 65_536  # about how many rows a batch holds
HEAD_BYTES = 8_192  # of a file, decompressed, shown to `recognises`
PIECE_BYTES = 1 << 16
OURS, ANCESTOR, MIDDLE, THEIRS = "<<<<<<<", "|||||||", "=======", ">>>>>>>"  # what git puts around two versions
STALE = "rows left out, of the version that both sides of a git conflict began from"
LINE_LIMIT = 1 << 20  # characters: nothing that we read has longer lines, a file that does is not what it seems
# A recording of ours packs to a tenth, the most repetitive of others to a fiftieth; gzip can do a thousandth.
MOST_UNPACKED = 200  # times its own size that a packed file may hold, above what is harmless anyway
HARMLESS_BYTES = 64 << 20
PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a recording. `stem` is its name without folder and endings: what markets.toml calls `source`."""

    path: Path
    stem: str

    @classmethod
    def at(cls, path: Path) -> Source:
        stem = path.name
        for ending in (".gz", ".csv", ".jsonl", ".json", ".parquet", ".txt"):
            stem = stem.removesuffix(ending)
        return cls(path, stem)

    @property
    def name(self) -> str:
        """The file's name, as reports and errors print it."""
        return self.path.name

    def head(self) -> bytes:
        """Return the first bytes of the file, decompressed.

        Raises DataError for a file that is none (a folder, a pipe), empty, damaged, or packed and not called so.
        """
        with self._reading(), self._open() as file:
            found = file.read(HEAD_BYTES)
        if not found:
            raise DataError(f"{self.path}: the file is empty")
        for magic, name in PACKED.items():
            if found.startswith(magic):
                raise DataError(f"{self.path}: holds {name}, which its name does not say: unpack it, only .gz is read")
        return found

    def _open(self) -> gzip.GzipFile | io.BufferedReader:
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise DataError(f"{self.path}: cannot be read: not a file")  # opening a pipe would wait for ever
        return gzip.open(self.path, "rb") if self.path.suffix == ".gz" else self.path.open("rb")

    @contextmanager
    def _reading(self) -> Iterator[list[int]]:
        """Turn what can go wrong with the bytes into a DataError naming the file and, kept in the list, the line."""
        line = [0]
        try:
            yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            after = f" after line {line[0]}" if line[0] else ""
            raise DataError(f"{self.path}: damaged or cut off gzip{after}: {error}") from error
        except FileNotFoundError:
            raise DataError(f"{self.path}: no such file") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error}") from error

    def lines(self) -> Iterator[tuple[int, str, bool]]:
        """Yield (line number from 1, text without its end, whether it had an end), decompressed.

        Only the last line of a file can be without: the file may have been cut off there. Raises DataError naming the
        line, and for a packed file that holds more than any recording would: see MOST_UNPACKED.
        """
        with self._reading() as at, self._open() as file:
            room = max(HARMLESS_BYTES, MOST_UNPACKED * self.path.stat().st_size)
            while raw := file.readline(LINE_LIMIT):
                at[0] += 1
                room -= len(raw)
                if len(raw) == LINE_LIMIT and raw[-1:] != b"\n":
                    raise DataError(f"{self.path}: line {at[0]} is longer than {LINE_LIMIT} bytes")
                if room < 0:
                    raise DataError(
                        f"{self.path}: line {at[0]}: holds over {MOST_UNPACKED} times its size: no recording"
                    )
                try:
                    yield at[0], raw.decode("utf-8").rstrip("\r\n"), raw.endswith(b"\n")
                except UnicodeDecodeError as error:
                    raise DataError(f"{self.path}: line {at[0]} is not UTF-8 text: {error.reason}") from error

    def pieces(self) -> Iterator[str]:
        """Yield the text of the file in pieces, decompressed; raises DataError as `lines` does."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        with self._reading(), self._open() as file:
            room = max(HARMLESS_BYTES, MOST_UNPACKED * self.path.stat().st_size)
            while raw := file.read(PIECE_BYTES):
                room -= len(raw)
                if room < 0:
                    raise DataError(f"{self.path}: holds over {MOST_UNPACKED} times its size: no recording")
                try:
                    yield decoder.decode(raw)
                except UnicodeDecodeError as error:
                    raise DataError(f"{self.path}: is not UTF-8 text: {error.reason}") from error


def csv_rows(source: Source, columns: Sequence[str], log: FileLog) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells of `columns`) of a CSV file with a header, and count rows read in `log`.

    Raises DataError when a column is missing or the file holds no row; a row with too few or too many cells is
    refused. A last line without an end is left out and noted: cut off, "0.42" reads as 0.4. Cells may stand in any
    order in the file; ours hold no line breaks. Marks of a git conflict are refused; rows of the version that both sides
    began from, which git shows in its diff3 style, are stale: left out and counted.
    """
    lines = source.lines()
    header = next((_cells(text) for _, text, _ in lines), None)
    if not header:
        raise DataError(f"{source.path}: the file is empty")
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"{source.path}: line 1: column `{missing[0]}` is missing; there are {', '.join(header)}")
    at = [header.index(name) for name in columns]
    read = 0
    stale = False
    for number, text, ended in lines:
        if not text:
            continue
        if not ended:
            log.note(f"line {number} has no end and is left out: the file may be cut off there")
            continue
        read += 1
        log.rows_read += 1
        if is_conflict(text):
            log.refuse(number, "line: a mark of a git conflict", text)
            stale = text.startswith(ANCESTOR)
            continue
        if stale:
            log.figures[STALE] = log.figures.get(STALE, 0) + 1
            continue
        cells = _cells(text)
        if len(cells) != len(header):
            log.refuse(number, "row: wrong number of cells", f"{len(cells)} instead of {len(header)}")
            continue
        yield number, [cells[i] for i in at]
    if not read:
        raise DataError(f"{source.path}: holds a header and no row")


def is_conflict(text: str) -> bool:
    """Tell whether a line is one of those that git leaves around two versions of a file, with a label or without."""
    return text == MIDDLE or text.split(" ", 1)[0] in (OURS, ANCESTOR, THEIRS)


def json_list(source: Source, log: FileLog) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number from 1, object) of a file that is one JSON list of objects, and count them as rows in `log`.

    Holds one object at a time, whether the list stands on one line or on many. An entry that is no object is refused;
    a list that does not end is noted: the file was cut off there. Raises DataError for what is no JSON, and for
    anything behind the list.
    """
    decoder = json.JSONDecoder()
    text, at, number, opened = "", 0, 0, False
    pieces = source.pieces()
    while True:
        rest = text[at:].lstrip(" \t\r\n,") if opened else text[at:].lstrip()
        if rest and not opened:
            if rest[0] != "[":
                raise DataError(f"{source.path}: does not begin as a JSON list")
            text, at, opened = rest, 1, True
            continue
        if rest.startswith("]"):
            if rest[1:].strip() or any(piece.strip() for piece in pieces):
                raise DataError(f"{source.path}: something stands behind the list, after entry {number}")
            return
        try:
            entry, end = decoder.raw_decode(rest)
        except json.JSONDecodeError as error:
            piece = next(pieces, None)
            if piece is None:
                if number == 0:
                    raise DataError(f"{source.path}: holds no JSON list with an entry: {error}") from error
                log.note(f"the list does not end after entry {number}: the file may be cut off there")
                return
            if len(rest) > LINE_LIMIT:
                raise DataError(f"{source.path}: entry {number + 1} is longer than {LINE_LIMIT} characters") from error
            text, at = rest + piece, 0
            # A decoder recurses as deep as its text is nested, and libraries raise Python's limit.
            if too_deep(text.encode(errors="replace")):
                why = f"an entry behind number {number} is nested too deeply: no recording"
                raise DataError(f"{source.path}: {why}") from None
            continue
        number += 1
        log.rows_read += 1
        text, at = rest, end
        if isinstance(entry, dict):
            yield number, entry
        else:
            log.refuse(number, "entry: not an object", repr(entry)[:80])


def _cells(text: str) -> list[str]:
    """Return the cells of a line, none for one whose quotes make no sense."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return []


class Importer(Protocol):
    """Reads one format. `clocks` says which stamps it has; `looked_for` what a refusal says was looked for."""

    name: str
    looked_for: str
    clocks: Clocks

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file is of this format, by its name and first bytes (decompressed)."""
        ...

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one iterator of batches per source, in their order, or a single one for all of them.

        Files that are imported together are passed together. Nothing is read before an iterator is asked for its
        first batch. Raises DataError, then, for a file that cannot be used; single rows are refused in `quality`.
        """
        ...


# -- books by name -------------------------------------------------------------------------------------------


class BookIndex:
    """Finds the number of a book by what a recording calls it: a file's stem, or a key inside the file."""

    def __init__(self, spec: MarketSpec | None = None) -> None:
        self._spec = spec
        self._markets: list[Market] = list(spec.markets) if spec else []
        self._at: dict[str, tuple[int, int]] = {}  # key -> (market, 0 for its YES, 1 for its NO)
        self.unlisted: list[str] = []  # keys that markets.toml does not name
        for i, market in enumerate(self._markets):
            for outcome, key in market.source:
                self._at[key] = (i, int(outcome == "no"))

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def book(self, key: str, outcome: Literal["yes", "no"] = "yes", *, venue: str) -> int:
        """Return the number of the book that holds `outcome` as the recording means it.

        Where markets.toml says that a source is the NO of its market, the recording's "yes" is that NO. A key that
        nothing states becomes a market of `venue` of which nothing else is known.
        """
        found = self._at.get(key)
        if found is None:
            found = self._at[key] = (len(self._markets), 0)
            self._markets.append(Market(venue=venue, id=key, source=(("yes", key),)))
            if self._spec is not None:
                self.unlisted.append(key)
        market, side = found
        return 2 * market + (side ^ (outcome == "no"))

    def market(self, book: int) -> Market:
        """Return the market of a book."""
        return self._markets[book // 2]

    def rank(self, key: str) -> tuple[int, int]:
        """Return where ties place a key: by the order of `source` in markets.toml; unstated ones come last."""
        return self._at.get(key, (len(self._markets), 0)) if self._spec is not None else (0, 0)

    def table(self, recorded: set[int]) -> MarketTable:
        """Return the table of all markets met or stated; `recorded` are the books that have rows."""
        return market_table(self._markets, self._spec.pairs if self._spec else (), recorded)

    def venue_of(self, book: int) -> str:
        """Return the venue of a book: the stream whose rows prove it alive."""
        return self.market(book).venue


# -- rows from messages --------------------------------------------------------------------------------------


class MessageWriter:
    """Collects rows message by message; the LAST bit is set where a message ends.

    `ts_recv` never falls: with one clock it is the running maximum of the stamps, which is made here.
    """

    def __init__(self) -> None:
        self._now = -(1 << 62)
        self._new()

    def _new(self) -> None:
        self._columns = (array("q"), array("q"), array("i"), array("B"), array("i"), array("q"))
        self._open = 0  # rows of the message that has not ended

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def full(self) -> bool:
        """Whether it is time to take a batch (between messages)."""
        return len(self) >= BATCH_ROWS

    @property
    def now(self) -> int:
        """ts_recv of the last row (ns)."""
        return self._now

    def row(
        self,
        recv: int,
        venue: int,
        book: int,
        kind: int,
        side: int = m.SIDE_NONE,
        price: int = 0,
        size: int = 0,
        lower: bool = False,
    ) -> None:
        """Add a row to the current message; all rows of a message stand at the stamp of its first."""
        if not self._open:
            self._now = max(self._now, recv)
        recvs, venues, books, metas, prices, sizes = self._columns
        try:
            recvs.append(self._now)
            venues.append(venue)
            books.append(book)
            metas.append(kind | side << m.SIDE_SHIFT | (m.LOWER if lower else 0))
            prices.append(price)
            sizes.append(size)
        except OverflowError:
            raise DataError(f"book {book} at {self._now} ns: {size} millionths is no size a tape can hold") from None
        self._open += 1

    def end(self) -> None:
        """End the message; one without rows is nothing."""
        if self._open:
            self._columns[3][-1] |= m.LAST
            self._open = 0

    def take(self) -> Batch:
        """End the message and return everything so far."""
        self.end()
        types = (np.int64, np.int64, np.int32, np.uint8, np.int32, np.int64)
        batch = Batch(*(np.array(c, dtype=t) for c, t in zip(self._columns, types, strict=True)))
        self._new()
        return batch


class Change(NamedTuple):
    """One row that a snapshot comes down to."""

    kind: int
    side: int = m.SIDE_NONE
    price: int = 0
    size: int = 0


class SnapshotDiff:
    """Turns whole books into what changed: restating a level says nothing new and gives no row."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[dict[int, int], dict[int, int]]] = {}

    def lose(self, book: int) -> bool:
        """Forget a book (lost sync); its next snapshot starts with a clear row. Tell whether it was known."""
        return self._known.pop(book, None) is not None

    def knows(self, book: int) -> bool:
        return book in self._known

    def change(self, book: int, side: int, price: int, size: int) -> None:
        """Keep a known book in step with a single level that the recording gave (new total; 0 removes)."""
        levels = self._known[book][side == m.SIDE_ASK]
        if size:
            levels[price] = size
        else:
            levels.pop(price, None)

    def total(self, book: int, side: int, price: int) -> int:
        """Return the size that stands at a price of a known book."""
        return self._known[book][side == m.SIDE_ASK].get(price, 0)

    def best(self, book: int, side: int) -> int | None:
        """Return the best price of one side of a known book, None when it is empty."""
        levels = self._known[book][side == m.SIDE_ASK]
        return (min(levels) if side == m.SIDE_ASK else max(levels)) if levels else None

    def snapshot(self, book: int, bids: Mapping[int, int], asks: Mapping[int, int]) -> list[Change]:
        """Return the rows that lead to this book: the difference, or clear and all levels when it was unknown.

        `bids` and `asks` map prices to sizes (millionths, sizes above zero). Removals come first, each side by price.
        """
        before = self._known.get(book)
        changes = [] if before is not None else [Change(m.KIND_CLEAR)]
        old_bids, old_asks = before if before is not None else ({}, {})
        pairs = ((m.SIDE_BID, old_bids, bids), (m.SIDE_ASK, old_asks, asks))
        for side, old, new in pairs:
            changes += [Change(m.KIND_LEVEL, side, price, 0) for price in sorted(old.keys() - new.keys())]
        for side, old, new in pairs:
            changes += [
                Change(m.KIND_LEVEL, side, price, size) for price, size in sorted(new.items()) if old.get(price) != size
            ]
        self._known[book] = (dict(bids), dict(asks))
        return changes
