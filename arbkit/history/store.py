"""Tapes at rest: one folder each, written as a whole or not at all.

`rows/YYYY-MM-DD.parquet` (zstd, by UTC day of ts_recv) is the record; instead of `ts_venue` it has `lag` =
ts_recv - ts_venue, which packs to next to nothing. `markets.parquet` is the market table, `ladders.parquet` the
prices each book uses, `tape.json` says schema version, source, licence, quality and digest. `replay.arrow` holds
the columns as they are in memory, for mapping; where it is missing they are read from the Parquet files.
"""

from __future__ import annotations

import io
import json
import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from glob import escape
from os import PathLike
from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from arbkit.core.errors import DataError
from arbkit.core.model import MarketTable
from arbkit.core.units import NS_PER_S
from arbkit.history.markets import table_from_dict, table_to_dict
from arbkit.history.places import folder_of, path_of
from arbkit.history.quality import QualityReport
from arbkit.history.tape import (
    CLOCKS,
    INT16_BOOKS,
    PIECE,
    Clocks,
    Ladders,
    Rows,
    Tape,
    check_rows,
    digest_of,
    forget,
    ladders_of,
    lag_max_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
WRITTEN_BYTES = 1 << 21  # at once: a large page of the system, where it begins with one
DAY_NS = 86_400 * NS_PER_S
COLUMN_TYPES = (np.int64, np.int64, np.int16, np.uint8, np.int32, np.int64)  # of a tape with few books
FIELDS: dict[str, type] = {  # of tape.json, beside the schema version
    "rows": int,
    "digest": str,
    "clocks": str,
    "source": str,
    "licence": str,
    "synthetic": bool,
    "recorded": list,
    "pairs": list,
    "lag_max": list,
    "quality": dict,
}
T = TypeVar("T")


class Facts(NamedTuple):
    """What `tape.json` says beside the schema version."""

    source: str
    licence: str
    synthetic: bool
    clocks: Clocks
    quality: QualityReport


# -- writing -------------------------------------------------------------------------------------------------


def write_tape(tape: Tape, path: str | PathLike[str]) -> str:
    """Write a tape to a folder and return its digest; see `replacing` for what happens to the folder."""
    facts = Facts(tape.source, tape.licence, tape.synthetic, tape.clocks, tape.quality)
    with replacing(path) as folder:
        write_folder(folder, tape.markets, tape.rows, facts, tape.digest)
    return tape.digest


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place at the end, or is removed on an error.

    Whatever ends the work before that, Ctrl-C too, leaves what stood at `path` as it was. A process that is killed
    outright leaves the folder it wrote in, `.NAME.xxxxxxxx` beside `path`: delete it once nobody writes there. Killed
    between the two renames it leaves both tapes in it, as `old` and `new`, and none at `path`: see `_lost`.

    Raises DataError when `path` exists and is not a tape, for nothing else is ever overwritten, and when the disk
    refuses (full, not writable), with the OSError as its cause.
    """
    final = path_of(path, "where a tape is written").absolute()
    refuse_foreign(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
        old, fresh = work / "old", work / "new"
        try:
            fresh.mkdir()
            yield fresh
            refuse_foreign(final)
            if final.exists():
                final.rename(old)
            fresh.rename(final)
        finally:
            if lexists(old) and not lexists(final):
                old.rename(final)  # put back what stood there; where that fails it is not removed either
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{final}: not written{_lost(final) or ', and nothing there is changed'}: {error}") from error


def refuse_foreign(path: Path) -> None:
    """Raise DataError when something stands at `path` that is not a tape."""
    if path.exists() and not (path / "tape.json").is_file():
        raise DataError(f"{path}: exists and is not a tape; it is not overwritten")


def write_folder(folder: Path, markets: MarketTable, rows: Rows, facts: Facts, digest: str | None = None) -> str:
    """Write the files of a tape into an empty folder and return the digest; columns may be memory-mapped."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = digest or digest_of(markets, rows, facts.clocks)
    (folder / "rows").mkdir()
    for day, start, end in _days(rows.ts_recv):
        with pq.ParquetWriter(
            folder / "rows" / f"{day}.parquet",
            _packed(rows.cut(slice(0, 0))).schema,
            compression="zstd",
            compression_level=9,
            use_dictionary=["book", "meta", "price"],
            column_encoding={"ts_recv": "DELTA_BINARY_PACKED", "lag": "DELTA_BINARY_PACKED", "size": "PLAIN"},
        ) as file:
            for at in range(start, end, PIECE):  # a day need not fit memory
                file.write_table(_packed(rows.cut(slice(at, min(at + PIECE, end)))))
                forget(rows)
    ladders = ladders_of(rows, len(markets.books))
    numbers = np.repeat(np.arange(len(markets.books), dtype=np.int32), np.diff(ladders.offsets))
    pq.write_table(pa.table({"book": numbers, "price": ladders.prices}), folder / "ladders.parquet")
    plain = table_to_dict(markets)
    columns: dict[str, list[str]] = {"market": [json.dumps(row, sort_keys=True) for row in plain["markets"]]}
    columns = {"venue": [x.venue for x in markets.markets], "id": [x.id for x in markets.markets], **columns}
    pq.write_table(pa.table({k: pa.array(v, pa.string()) for k, v in columns.items()}), folder / "markets.parquet")
    with (folder / "replay.arrow").open("wb") as file:
        table = _table(rows)
        with pa.ipc.new_file(pa.PythonFile(_Slowly(file, rows), "w"), table.schema) as writer:
            for batch in table.to_batches():  # one batch: columns that are contiguous once mapped
                writer.write_batch(batch)
    document = {
        "schema_version": SCHEMA_VERSION,
        "rows": len(rows.ts_recv),
        "digest": digest,
        "clocks": facts.clocks,
        "source": facts.source,
        "licence": facts.licence,
        "synthetic": facts.synthetic,
        "recorded": plain["recorded"],
        "pairs": plain["pairs"],
        "lag_max": lag_max_of(rows, len(markets.books), facts.clocks).tolist(),
        "quality": facts.quality.to_dict(),
    }
    (folder / "tape.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return digest


class _Slowly(io.RawIOBase):
    """A file that takes whole columns and writes them a piece at a time, forgetting what was read: see `forget`.

    Each piece ends where a large page of the file does and is written from memory, not from another file's mapping: only
    then do filesystems of Linux keep the file in large pages, of which a replay meets few.
    """

    def __init__(self, file: io.BufferedWriter, rows: Rows) -> None:
        super().__init__()
        self._file, self._rows = file, rows

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view, at = memoryview(data).cast("B"), 0
        while at < len(view):
            end = at + WRITTEN_BYTES - self._file.tell() % WRITTEN_BYTES
            self._file.write(bytes(view[at:end]))
            forget(self._rows)
            at = end
        return len(view)

    def tell(self) -> int:
        return self._file.tell()


def _table(rows: Rows) -> pa.Table:
    """Return the columns as an Arrow table that shares their memory."""
    import pyarrow as pa

    return pa.table({name: pa.array(column) for name, column in zip(Rows._fields, rows, strict=True)})


def _packed(rows: Rows) -> pa.Table:
    """Return the columns as they stand in the Parquet files."""
    table = _table(rows._replace(ts_venue=rows.ts_recv - rows.ts_venue))
    return table.rename_columns(["lag" if name == "ts_venue" else name for name in table.column_names])


def _unpacked(table: pa.Table) -> Rows:
    rows = _columns(table.rename_columns(["ts_venue" if name == "lag" else name for name in table.column_names]))
    return rows._replace(ts_venue=rows.ts_recv - rows.ts_venue)


def _days(ts: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """Yield (UTC day, start, end) of the rows, in order."""
    start = 0
    while start < len(ts):
        day = int(ts[start]) // DAY_NS
        end = int(np.searchsorted(ts, (day + 1) * DAY_NS, side="left"))
        yield str(np.datetime64(day, "D")), start, end
        start = end


class Spool:
    """Columns that grow on disk while an import runs, so that memory holds one piece at a time."""

    TYPES = (np.int64, np.int64, np.int32, np.uint8, np.int32, np.int64)

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._paths = [folder / f"{name}.bin" for name in Rows._fields]
        self._files = [path.open("wb") for path in self._paths]
        self.rows = 0

    def append(self, rows: Rows) -> None:
        """Add rows (whole messages, in order)."""
        for file, column, dtype in zip(self._files, rows, self.TYPES, strict=True):
            file.write(np.ascontiguousarray(column, dtype=dtype).data)
        self.rows += len(rows.ts_recv)

    def close(self) -> None:
        """Close the files, all of them even where one cannot be written to its end."""
        with ExitStack() as stack:
            for file in self._files:
                stack.callback(file.close)

    def remove(self) -> None:
        """Delete the files."""
        with suppress(OSError):  # what is not in them is not wanted any more
            self.close()
        shutil.rmtree(self._paths[0].parent, ignore_errors=True)

    def mapped(self, n_books: int) -> Rows:
        """Return everything as memory-mapped columns in the dtypes of a tape."""
        self.close()
        if not self.rows:
            return Rows(*(np.empty(0, dtype) for dtype in COLUMN_TYPES))
        columns: list[np.ndarray] = [
            np.memmap(path, dtype, "r") for path, dtype in zip(self._paths, self.TYPES, strict=True)
        ]
        if n_books <= INT16_BOOKS:
            columns[2] = self._narrowed(columns[2])
        return Rows(*columns)

    def _narrowed(self, books: np.ndarray) -> np.ndarray:
        path = self._paths[2].with_suffix(".int16")
        with path.open("wb") as file:
            for at in range(0, self.rows, PIECE):
                file.write(books[at : at + PIECE].astype(np.int16).data)
        return np.memmap(path, np.int16, "r")


# -- reading -------------------------------------------------------------------------------------------------


def load_tape(path: str | PathLike[str], *, verify: bool = True) -> Tape:
    """Return the tape in a folder; raise DataError when it is foreign, incomplete or damaged."""
    folder = folder_of(path)
    _refuse_links(folder)
    document = _document(folder)
    markets = _guarded(folder / "markets.parquet", lambda file: _markets(file, document))
    rows = _rows(folder, document["rows"])
    clocks = document["clocks"]
    if clocks not in CLOCKS:
        raise DataError(f"{folder / 'tape.json'}: field `clocks`: {clocks!r} is none of {', '.join(CLOCKS)}")
    if verify:
        try:
            check_rows(markets, rows)
        except DataError as error:
            raise DataError(f"{folder}: {error}") from error
        if digest_of(markets, rows, clocks) != document["digest"]:
            raise DataError(f"{folder}: rows and market table do not match the digest in tape.json: damaged or edited")
        if (folder / "replay.arrow").is_file():
            _check_record(folder, rows)
    lag_max = np.array(document["lag_max"], dtype=np.int64)
    if len(lag_max) != len(markets.books):
        raise DataError(f"{folder / 'tape.json'}: field `lag_max`: {len(lag_max)} for {len(markets.books)} books")
    ladders = None
    if not verify or (folder / "ladders.parquet").is_file():
        ladders = _guarded(folder / "ladders.parquet", lambda file: _ladders(file, len(markets.books)))
    if verify:
        _check_derived(folder, rows, clocks, ladders, lag_max)
    return Tape.trusted(
        markets,
        rows,
        clocks,
        document["source"],
        document["licence"],
        document["synthetic"],
        _guarded(folder / "tape.json", lambda _: QualityReport.from_dict(document["quality"])),
        document["digest"],
        ladders,
        lag_max,
    )


def _check_record(folder: Path, rows: Rows) -> None:
    """Raise DataError, naming the file, when the Parquet files do not hold these rows."""
    at = 0
    for file in sorted((folder / "rows").glob("*.parquet")):
        end = _guarded(file, partial(_same_until, rows=rows, at=at))
        if end is None:
            raise DataError(
                f"{file}: its rows are not those of replay.arrow, which match the digest in tape.json: damaged or edited"
            )
        at = end


def _same_until(file: Path, rows: Rows, at: int) -> int | None:
    """Return how far the rows of one Parquet file reach that begin at `at`; None when they differ from these."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        end = at + opened.metadata.num_rows
        for batch in opened.iter_batches(PIECE):  # a day need not fit memory
            piece, expected = _unpacked(pa.Table.from_batches([batch])), rows.cut(slice(at, at + batch.num_rows))
            if not all(np.array_equal(*pair) for pair in zip(piece, expected, strict=True)):
                return None
            at += batch.num_rows
            forget(rows)
    return end if at == end else None


def _check_derived(folder: Path, rows: Rows, clocks: Clocks, ladders: Ladders | None, lag_max: np.ndarray) -> None:
    """Raise DataError when what is kept beside the rows does not follow from them: it is believed without `verify`."""
    if not np.array_equal(lag_max, lag_max_of(rows, len(lag_max), clocks)):
        raise DataError(f"{folder / 'tape.json'}: field `lag_max` is not that of the rows: damaged or edited")
    if ladders and not all(map(np.array_equal, ladders, ladders_of(rows, len(lag_max)))):
        raise DataError(f"{folder / 'ladders.parquet'}: does not hold the prices of the rows: damaged or edited")


def _read(file: Path, columns: list[str] | None = None) -> pa.Table:
    """Return what is in one Parquet file; `read_table` would import pandas and the reading of whole folders for it."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        return opened.read(columns)


def _ladders(file: Path, n_books: int) -> Ladders:
    table = _read(file)
    counts = np.bincount(_numbers(table.column("book")), minlength=n_books)
    return Ladders(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), _numbers(table.column("price")))


def inside(folder: Path, file: Path) -> Path:
    """Return a file found in a folder; raise DataError when it is a link that leads out of it."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{file}: leads out of its folder, to {file.resolve()}: name that file itself if it is meant")
    return file


def _refuse_links(folder: Path) -> None:
    for file in (*folder.glob("*"), *folder.glob("rows/*")):
        inside(folder, file)


def _document(folder: Path) -> dict[str, Any]:
    file = folder / "tape.json"
    if not file.is_file():
        raise DataError(f"{folder}: not a tape: there is no tape.json in it{_lost(folder)}")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{file}: not readable: {error}") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise DataError(f"{file}: field `schema_version` is missing")
    version = document["schema_version"]
    if version != SCHEMA_VERSION:
        raise DataError(f"{file}: field `schema_version`: {version!r}, but this arbkit reads {SCHEMA_VERSION}")
    for key, kind in FIELDS.items():
        if key not in document:
            raise DataError(f"{file}: field `{key}` is missing")
        if type(document[key]) is not kind:
            raise DataError(f"{file}: field `{key}` must be {kind.__name__}, not {type(document[key]).__name__}")
    if not all(type(lag) is int and 0 <= lag < 1 << 63 for lag in document["lag_max"]):
        raise DataError(f"{file}: field `lag_max` must hold whole numbers of ns")
    return document


def _lost(folder: Path) -> str:
    """Say where the tape lies that a writer had taken from its place when it was killed: see `replacing`."""
    if lexists(folder) or not folder.name:
        return ""
    left = sorted(folder.absolute().parent.glob(f".{escape(folder.name)}.*/old/tape.json"))
    places = ", ".join(str(file.parent) for file in left)
    return places and f"; a writer was stopped while it replaced the tape that stood here, which is {places}: rename it"


def _guarded(file: Path, read: Callable[[Path], T]) -> T:
    """Return what `read` makes of a file; turn the library's errors into a DataError naming it."""
    import pyarrow as pa

    try:
        return read(file)
    except (OSError, pa.ArrowException, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error


def _markets(file: Path, document: dict[str, Any]) -> MarketTable:
    texts = _read(file, ["market"]).column("market").to_pylist()
    plain = [json.loads(text) for text in texts]
    if not all(type(book) is int and 0 <= book < 2 * len(plain) for book in document["recorded"]):
        raise ValueError("`recorded` in tape.json names a book that is none")
    return table_from_dict({"markets": plain, "recorded": document["recorded"], "pairs": document["pairs"]})


def _rows(folder: Path, n: int) -> Rows:
    """Return the columns, mapped from `replay.arrow` or read from the Parquet files."""
    import pyarrow.parquet as pq

    files = sorted((folder / "rows").glob("*.parquet"))
    counted = {file: _guarded(file, lambda f: int(pq.read_metadata(f).num_rows)) for file in files}
    if sum(counted.values()) != n:
        raise DataError(f"{folder / 'rows'}: holds {sum(counted.values())} rows, tape.json says {n}")
    replay = folder / "replay.arrow"
    if replay.is_file():
        rows = _guarded(replay, _mapped)
        if len(rows.ts_recv) != n:
            raise DataError(f"{replay}: holds {len(rows.ts_recv)} rows, tape.json says {n}")
        return rows
    tables = [_guarded(file, _read) for file in files]
    if not tables:
        return Rows(*(np.empty(0, dtype) for dtype in COLUMN_TYPES))
    import pyarrow as pa

    return _guarded(folder / "rows", lambda _: _unpacked(pa.concat_tables(tables)))


def _mapped(file: Path) -> Rows:
    import pyarrow as pa

    with file.open("rb") as opened:
        held = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)  # Python's own, whose pages `forget` gives back
    source = pa.py_buffer(held)
    columns = _columns(pa.ipc.open_file(pa.BufferReader(source)).read_all())
    return Rows(*(_within(held, column) for column in columns))


def _within(held: mmap.mmap, column: np.ndarray) -> np.ndarray:
    """Return a column as a view of the mapped file that it stands in; one that was put together is its own."""
    at = column.ctypes.data - np.frombuffer(held, np.uint8).ctypes.data
    if not 0 <= at < len(held):
        return column
    return np.frombuffer(held, column.dtype, len(column), at)


def _columns(table: pa.Table) -> Rows:
    if table.column_names != list(Rows._fields):
        raise DataError(f"has the columns {', '.join(table.column_names)}")
    return Rows(*(_numbers(table.column(name)) for name in Rows._fields))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of whole numbers, not copied if it is in one piece; `to_numpy` would import pandas for it."""
    if column.null_count:
        raise ValueError("a number is missing")
    dtype = np.dtype(str(column.type))
    parts = [
        np.frombuffer(part.buffers()[1], dtype, len(part), part.offset * dtype.itemsize)
        for part in column.chunks
        if len(part)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])
