"""The tape: recorded order book history as time-ordered integer columns, and what can be asked of it.

A row is 31 bytes: when a client could know it (`ts_recv`, ns), the venue's own stamp (`ts_venue`, ns), the book's
number, a byte that says what the row is (see `books.meta`), a price and a size in millionths. Rows of one message
are received together and end with the LAST bit: between them a book is not a book.

A book is unknown until its first clear row; a gap row makes it unknown again until the next one. Only recorded
books have rows: a book that is the mirror view of a recorded one is read off that one.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level, MarketTable
from arbkit.core.units import FOREVER, MICRO, NS_PER_S, Price, Size
from arbkit.history.markets import table_to_dict
from arbkit.history.quality import QualityReport, measure

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

Clocks = Literal["both", "recv", "venue"]
CLOCKS: tuple[Clocks, ...] = ("both", "recv", "venue")
KINDS = ("clear", "level", "print", "status", "gap", "grid", "fee", "resolution", "mark")  # by number, in frames
INT16_BOOKS = 32_767  # above it the book column is int32
PIECE = 1 << 20  # rows looked at together


class Rows(NamedTuple):
    """The six columns of a tape, or of a piece of one; all of one length."""

    ts_recv: np.ndarray  # int64
    ts_venue: np.ndarray  # int64
    book: np.ndarray  # int16, int32 above 32,767 books
    meta: np.ndarray  # uint8
    price: np.ndarray  # int32
    size: np.ndarray  # int64

    def cut(self, which: slice | np.ndarray) -> Rows:
        """Return the rows of a slice, in an order, or where a mask holds."""
        return Rows(*(column[which] for column in self))


class Ladders(NamedTuple):
    """Per book the sorted prices its levels and prints ever use, on its own scale, both sides together.

    Those of book b are `prices[offsets[b]:offsets[b + 1]]`, millionths; a book without rows has none.
    """

    offsets: np.ndarray  # int64, one more than there are books
    prices: np.ndarray  # int32


class BookState(NamedTuple):
    """One book at one moment: best level first on both sides. `known` is False before a clear and in a gap."""

    known: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at: int  # ts_recv of its last row, -1 when it has none


@dataclass(frozen=True, eq=False)
class Tape:
    """Recorded history of the books of one market table; made by `from_columns`, `read_tape` or a slice.

    `clocks` says which stamps are real. With one clock `ts_recv` is the running maximum of the stamps in recorded
    order and `ts_venue` holds the stamps as they were. `lag_max` is, per book, the largest ts_recv - ts_venue in ns
    (at least 0, and 0 with one clock): how far back a venue stamp may lie behind the order of the rows. `digest` is
    the SHA-256 over columns, clocks and market table. `synthetic` rows show method, not market truth.
    """

    markets: MarketTable
    rows: Rows
    clocks: Clocks
    ladders: Ladders = field(repr=False)
    lag_max: np.ndarray = field(repr=False)
    digest: str
    source: str = ""
    licence: str = ""
    synthetic: bool = False
    imported: QualityReport | None = field(default=None, repr=False)

    @classmethod
    def from_columns(
        cls,
        markets: MarketTable,
        *,
        ts_recv: Any,
        ts_venue: Any = None,
        book: Any,
        meta: Any,
        price: Any,
        size: Any,
        clocks: Clocks = "both",
        source: str = "",
        licence: str = "",
        synthetic: bool = False,
        quality: QualityReport | None = None,
    ) -> Tape:
        """Return a tape of integer columns (ns, book numbers, meta bytes, millionths); the arrays are not changed.

        Without `ts_venue` the venue's stamps are the received ones. Raises DataError naming row and field.
        """
        if ts_venue is None:
            ts_venue = ts_recv
        rows = as_rows(markets, ts_recv, ts_venue, book, meta, price, size)
        check_rows(markets, rows)
        return cls.trusted(markets, rows, clocks, source, licence, synthetic, quality)

    @classmethod
    def trusted(
        cls,
        markets: MarketTable,
        rows: Rows,
        clocks: Clocks,
        source: str = "",
        licence: str = "",
        synthetic: bool = False,
        quality: QualityReport | None = None,
        digest: str | None = None,
        ladders: Ladders | None = None,
        lag_max: np.ndarray | None = None,
    ) -> Tape:
        """Return a tape of columns that were checked before; what is given of what follows from them is believed."""
        if clocks not in CLOCKS:
            raise DataError(f"clocks must be one of {', '.join(CLOCKS)}, not {clocks!r}")
        n_books = len(markets.books)
        return cls(
            markets=markets,
            rows=rows,
            clocks=clocks,
            ladders=ladders if ladders is not None else ladders_of(rows, n_books),
            lag_max=lag_max if lag_max is not None else lag_max_of(rows, n_books, clocks),
            digest=digest if digest is not None else digest_of(markets, rows, clocks),
            source=source,
            licence=licence,
            synthetic=synthetic,
            imported=quality,
        )

    def __len__(self) -> int:
        return len(self.rows.ts_recv)

    def __repr__(self) -> str:
        if not len(self):
            return f"<Tape empty, {len(self.markets.markets)} markets>"
        span = (int(self.rows.ts_recv[-1]) - int(self.rows.ts_recv[0])) / NS_PER_S
        kind = "synthetic " if self.synthetic else ""
        return (
            f"<{kind}Tape {len(self):,} rows, {len(self.markets.markets)} markets, {span:,.0f} s, "
            f"clocks {self.clocks}, {self.digest[:12]}>"
        )

    @property
    def quality(self) -> QualityReport:
        """What the import found; measured on the rows when the tape was not imported."""
        if self.imported is not None:
            return self.imported
        return measure(self.rows, self.markets, both_clocks=self.clocks == "both")

    @property
    def venue_time(self) -> np.ndarray:
        """When the venue did what each row tells, ns: the received stamps when there is only one clock."""
        return self.rows.ts_venue if self.clocks == "both" else self.rows.ts_recv

    def books_at(self, t: int) -> dict[int, BookState]:
        """Return every recorded book as received up to and including time `t` (ns), by book number."""
        end = int(np.searchsorted(self.rows.ts_recv, t, side="right"))
        head = self.rows.cut(slice(end))
        return {book: _state(head, at) for book, at in self._recorded(head)}

    def _recorded(self, head: Rows) -> Iterator[tuple[int, np.ndarray]]:
        """Yield every recorded book with the places of its rows, in order: one sort, however many books there are."""
        order = np.argsort(head.book, kind="stable")
        starts = np.searchsorted(head.book[order], np.arange(len(self.markets.books) + 1))
        for book in self.markets.books:
            if book.recorded:
                yield book.index, order[starts[book.index] : starts[book.index + 1]]

    def slice(self, t0: int, t1: int) -> Tape:
        """Return the rows with t0 <= ts_recv < t1 (ns) as a tape of its own.

        It opens, at t0, with the books that are known then: each in a message of its own (clear, levels, status,
        price grid and fee rule in force, resolution), its venue stamp as far behind as that of its last row was, and
        with two clocks no later than what the venue did to it by the rows that follow. Ages start anew: a book that
        had been silent before t0 looks fresh there.
        """
        start, end = (int(i) for i in np.searchsorted(self.rows.ts_recv, (t0, max(t0, t1)), side="left"))
        head = self.rows.cut(slice(start))
        first_done = self._first_done(start, end)
        opening = [
            row for book, at in self._recorded(head) for row in _opening(head, book, at, t0, int(first_done[book]))
        ]
        columns = [np.array(column, dtype=np.int64) for column in zip(*opening, strict=True)] or [
            np.empty(0, dtype=np.int64) for _ in Rows._fields
        ]
        rows = Rows(
            *(
                np.concatenate([first.astype(rest.dtype), rest[start:end]])
                for first, rest in zip(columns, self.rows, strict=True)
            )
        )
        return Tape.trusted(self.markets, rows, self.clocks, self.source, self.licence, self.synthetic)

    def _first_done(self, start: int, end: int) -> np.ndarray:
        """Return per book the earliest stamp (ns) by which the venue orders the rows start..end; FOREVER without any."""
        found = np.full(len(self.markets.books), FOREVER, dtype=np.int64)
        for at in range(start, end, PIECE):
            piece = slice(at, min(at + PIECE, end))
            np.minimum.at(found, self.rows.book[piece], self.venue_time[piece])
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a frame: UTC times, book names, float dollars and shares."""
        import pandas as pd  # the engine's path must not pay for it

        rows, kinds = self.rows, self.rows.meta & m.KIND_MASK
        stamps = {name: pd.to_datetime(getattr(rows, name), unit="ns", utc=True) for name in ("ts_recv", "ts_venue")}
        names = [b.name for b in self.markets.books]
        return pd.DataFrame(
            {
                **stamps,
                "book": pd.Categorical.from_codes(rows.book.astype(np.int32), categories=pd.Index(names)),
                "kind": pd.Categorical.from_codes(kinds.astype(np.int8), categories=pd.Index(KINDS)),
                "side": ((rows.meta & m.SIDE_MASK) >> m.SIDE_SHIFT).astype(np.int8),
                "lower": (rows.meta & m.LOWER) != 0,
                "last": (rows.meta & m.LAST) != 0,
                "price": rows.price / MICRO,
                "size": rows.size / MICRO,
            }
        )

    def write(self, path: str | PathLike[str]) -> str:
        """Write the tape to a folder (replaced as a whole when it is a tape already) and return its digest.

        Raises DataError when something else stands there, or the disk refuses: nothing is changed then. A process
        that is killed outright while it writes leaves a hidden folder `.NAME.xxxxxxxx` beside it; that may be deleted
        where no tape is missing (reading one whose place is empty says where it lies).
        """
        from arbkit.history.store import write_tape

        return write_tape(self, path)


def read_tape(path: str | PathLike[str], *, verify: bool = True) -> Tape:
    """Return the tape in a folder, its columns memory-mapped.

    `path` may be a URL that fsspec knows, such as s3://bucket/tape: the tape is copied here once, and opened then.

    `verify` reads all of it once: the rows and the market table are checked and compared with the stored digest, the
    Parquet files with the mapped ones, ladders and lags with the rows. What `tape.json` says of source, licence,
    `synthetic` and quality follows from nothing and is believed. Without it the tape opens at once.

    Raises DataError when the folder is not a tape, is of another schema version, or is damaged.
    """
    from arbkit.history.store import load_tape

    return load_tape(path, verify=verify)


# -- columns -------------------------------------------------------------------------------------------------


def as_rows(markets: MarketTable, ts_recv: Any, ts_venue: Any, book: Any, meta: Any, price: Any, size: Any) -> Rows:
    """Return the columns in the dtypes of a tape; raise DataError when one is not whole numbers or does not fit."""
    book_type: type[np.integer] = np.int16 if len(markets.books) <= INT16_BOOKS else np.int32
    given = Rows(ts_recv, ts_venue, book, meta, price, size)
    types: tuple[type[np.integer], ...] = (np.int64, np.int64, book_type, np.uint8, np.int32, np.int64)
    columns = [_column(n, v, t) for n, v, t in zip(Rows._fields, given, types, strict=True)]
    lengths = {name: len(column) for name, column in zip(Rows._fields, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}")
    return Rows(*columns)


def _column(name: str, values: Any, dtype: type[np.integer]) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"column `{name}` must have one dimension, not {array.ndim}")
    if array.size == 0:
        return np.empty(0, dtype=dtype)
    if array.dtype.kind not in "iu":
        raise DataError(f"column `{name}` must hold whole numbers, not {array.dtype}")
    bounds = np.iinfo(dtype)
    bad = (array < bounds.min) | (array > bounds.max)
    if bad.any():
        _refuse(bad, name, f"does not fit {np.dtype(dtype).name}", array)
    return array.astype(dtype, copy=False)


def _refuse(bad: np.ndarray, name: str, why: str, values: np.ndarray, first: int = 0) -> None:
    row = int(np.argmax(bad))
    raise DataError(f"row {first + row}: `{name}` = {values[row]} {why}")


def pieces(rows: Rows, overlap: int = 0) -> Iterator[tuple[int, Rows]]:
    """Yield (first row, rows) piece by piece: a mapped tape need not fit memory, and masks of it even less."""
    for at in range(0, len(rows.ts_recv), PIECE):
        first = max(0, at - overlap)
        yield first, rows.cut(slice(first, at + PIECE))
        forget(rows)


def forget(columns: Iterable[np.ndarray]) -> None:
    """Give back the memory of columns that are mapped from files: what was read counts as ours till then.

    The files stay in the system's own cache; other columns are left alone, as all are where the system cannot do it.
    """
    for column in columns:
        base: object = column
        while isinstance(base, np.ndarray | memoryview):
            base = base.base if isinstance(base, np.ndarray) else base.obj
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def check_rows(markets: MarketTable, rows: Rows) -> None:
    """Raise DataError, naming row and field, for the first thing that no tape may hold."""
    recorded = np.array([b.recorded for b in markets.books], dtype=bool)
    for first, piece in pieces(rows, overlap=1):
        _check_piece(piece, first, recorded)
    if len(rows.meta) and not rows.meta[-1] & m.LAST:
        raise DataError(f"row {len(rows.meta) - 1}: `meta` = {rows.meta[-1]}: the tape ends inside a message")


def _check_piece(rows: Rows, first: int, recorded: np.ndarray) -> None:
    kind, side = rows.meta & m.KIND_MASK, (rows.meta & m.SIDE_MASK) >> m.SIDE_SHIFT
    level, trade = kind == m.KIND_LEVEL, kind == m.KIND_PRINT
    last = (rows.meta & m.LAST) != 0
    backward = np.concatenate([[False], rows.ts_recv[1:] < rows.ts_recv[:-1]])
    torn = np.concatenate([[False], (rows.ts_recv[1:] != rows.ts_recv[:-1]) & ~last[:-1]])
    no_book = (rows.book < 0) | (rows.book >= len(recorded))
    tests: list[tuple[np.ndarray, str, str]] = [
        (backward, "ts_recv", "is before the row above it"),
        (torn, "ts_recv", "differs inside one message"),
        (no_book, "book", f"is none of the {len(recorded)} books"),
        (kind > m.KIND_MARK, "meta", "is of a reserved kind"),
        (level & (side != m.SIDE_BID) & (side != m.SIDE_ASK), "meta", "is a level on neither side"),
        (trade & (side == m.SIDE_NONE), "meta", "is a print without an aggressor code"),
        (~level & ~trade & (side != m.SIDE_NONE), "meta", "has a side where none belongs"),
        (level & ((rows.price <= 0) | (rows.price >= MICRO)), "price", "is not between 0 and 1 dollar"),
        ((rows.price < 0) | (rows.price > MICRO), "price", "is outside 0..1 dollar"),
        (rows.size < 0, "size", "is negative"),
        ((kind == m.KIND_STATUS) & (rows.size > m.CLOSED), "size", "is no market status"),
    ]
    for bad, name, why in tests:
        if bad.any():
            _refuse(bad, name, why, getattr(rows, name), first)
    unrecorded = ~recorded[rows.book]
    if unrecorded.any():
        _refuse(unrecorded, "book", "is a mirror view and has no rows of its own", rows.book, first)


def ladders_of(rows: Rows, n_books: int) -> Ladders:
    """Return the ladder of every book: the prices its levels and prints use."""
    keys = np.empty(0, dtype=np.int64)
    for _, piece in pieces(rows):
        kind = piece.meta & m.KIND_MASK
        priced = (kind == m.KIND_LEVEL) | (kind == m.KIND_PRINT)
        keys = np.union1d(keys, piece.book[priced].astype(np.int64) * (MICRO + 1) + piece.price[priced])
    counts = np.bincount(keys // (MICRO + 1), minlength=n_books)
    return Ladders(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), (keys % (MICRO + 1)).astype(np.int32))


def lag_max_of(rows: Rows, n_books: int, clocks: Clocks) -> np.ndarray:
    """Return per book the largest ts_recv - ts_venue in ns, at least 0; all 0 with one clock."""
    lag = np.zeros(n_books, dtype=np.int64)
    if clocks == "both":
        for _, piece in pieces(rows):
            np.maximum.at(lag, piece.book, piece.ts_recv - piece.ts_venue)
    return lag


def digest_of(markets: MarketTable, rows: Rows, clocks: Clocks) -> str:
    """Return the SHA-256 over columns, clocks and market table, the same whatever machine wrote them."""
    head = json.dumps({"clocks": clocks, "markets": table_to_dict(markets)}, sort_keys=True, separators=(",", ":"))
    whole = hashlib.sha256(head.encode())
    types = ("<i8", "<i8", "<i4", "u1", "<i4", "<i8")
    for column, dtype in zip(rows, types, strict=True):
        part = hashlib.sha256()
        for at in range(0, len(column), PIECE):
            part.update(np.ascontiguousarray(column[at : at + PIECE], dtype=dtype).data)
            forget(rows)
        whole.update(part.digest())
    return whole.hexdigest()


# -- books at a moment ---------------------------------------------------------------------------------------


def _state(head: Rows, at: np.ndarray) -> BookState:
    """Return the state of the book whose rows stand at `at`: the last word on every level since the last clear."""
    if not len(at):
        return BookState(False, (), (), -1)
    seen = int(head.ts_recv[at[-1]])
    kind = head.meta[at] & m.KIND_MASK
    turns = np.flatnonzero((kind == m.KIND_CLEAR) | (kind == m.KIND_GAP))
    if not len(turns) or kind[turns[-1]] == m.KIND_GAP:
        return BookState(False, (), (), seen)
    at = at[turns[-1] :]
    at = at[(head.meta[at] & m.KIND_MASK) == m.KIND_LEVEL]
    levels: dict[tuple[int, int], tuple[int, bool]] = {}
    for code, price, size in zip(head.meta[at].tolist(), head.price[at].tolist(), head.size[at].tolist(), strict=True):
        levels[(code & m.SIDE_MASK) >> m.SIDE_SHIFT, price] = (size, not code & m.LOWER)
    standing = [(side, Level(Price(p), Size(n), exact)) for (side, p), (n, exact) in levels.items() if n]
    bids = tuple(sorted((level for side, level in standing if side == m.SIDE_BID), reverse=True))
    asks = tuple(sorted(level for side, level in standing if side == m.SIDE_ASK))
    return BookState(True, bids, asks, seen)


def _opening(
    head: Rows, book: int, at: np.ndarray, t0: int, first_done: int
) -> list[tuple[int, int, int, int, int, int]]:
    """Return the message that restates at t0 one book, whose rows stand at `at`; empty when nothing is in force.

    The venue must not hear of it after `first_done` (ns): it would put back what has changed since.
    """
    if not len(at):
        return []
    state = _state(head, at)
    said: list[tuple[int, int, int]] = []
    if state.known:
        said.append((m.meta(m.KIND_CLEAR, last=False), 0, 0))
        for side, levels in ((m.SIDE_BID, state.bids), (m.SIDE_ASK, state.asks)):
            said += [(m.meta(m.KIND_LEVEL, side, not x.exact, last=False), x.price, x.size) for x in levels]
    for kind in (
        m.KIND_STATUS,
        m.KIND_GRID,
        m.KIND_FEE,
        m.KIND_RESOLUTION,
    ):  # these hold whether the book is known or not
        rows = at[(head.meta[at] & m.KIND_MASK) == kind]
        if len(rows):
            said.append((m.meta(kind, last=False), int(head.price[rows[-1]]), int(head.size[rows[-1]])))
    if said:
        said[-1] = (said[-1][0] | m.LAST, *said[-1][1:])
    venue = min(first_done, t0 - int(head.ts_recv[at[-1]] - head.ts_venue[at[-1]]))
    return [(t0, venue, book, code, price, size) for code, price, size in said]
