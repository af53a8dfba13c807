"""Recordings in Parquet: their columns, and doubles read back as the decimals they were written from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from arbkit.core.errors import DataError
from arbkit.core.units import MICRO, NS_PER_MS, NS_PER_S
from arbkit.history.importers.base import HARMLESS_BYTES, MOST_UNPACKED
from arbkit.history.quality import FileLog
from arbkit.history.stamps import EARLIEST, LATEST

BATCH_ROWS = 65_536
BUFFER_BYTES = 1 << 20  # of each column, read at a time: a group of rows may be a whole file
NEAR = 1e-9  # dollars or shares: how far a double may lie from a millionth, as for decimals in text
# Of the recordings at hand the densest holds 1.4 rows per byte of the file; this is for bombs.
MOST_ROWS = 16  # per byte of the file, above what is harmless anyway
HARMLESS_ROWS = 1 << 20
LARGEST = float(1 << 53)  # millionths: beyond it a double holds no longer every whole number


class Micros(NamedTuple):
    """Doubles as millionths; `good` is False where one is missing, not finite, too large or between millionths."""

    values: NDArray[np.int64]
    good: NDArray[np.bool_]


class WrongColumn(Exception):
    """A column, named, holds what it cannot be read as; `reading` names the file."""


@contextmanager
def reading(path: Path, after: int = 0) -> Iterator[None]:
    """Turn what can be wrong with the bytes of a Parquet file into a DataError naming it and the last good row."""
    where = f" after row {after}" if after else ""
    try:
        yield
    except DataError:
        raise
    except WrongColumn as error:
        raise DataError(f"{path}: {error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged Parquet{where}: {error}") from error
    except OSError as error:  # a wrong checksum too
        raise DataError(f"{path}: cannot be read{where}: {error}") from error


def columns_of(path: Path, head: bytes) -> frozenset[str]:
    """Return the names of the columns, none for a file of another kind; raise DataError for a damaged footer."""
    if not head.startswith(b"PAR1"):
        return frozenset()
    with reading(path):
        return frozenset(pq.read_schema(path).names)


def batches(path: Path, columns: Sequence[str], *, may_be_empty: bool = False) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces, these columns only.

    Raises DataError when a column is missing, when the file is damaged (pages that carry a checksum are held to it),
    when it holds no row, unless that may be, and when it claims to hold more than any recording would.
    """
    # Read ahead, pyarrow holds all that it has read until the file is closed: 570 MB of an hour of 50 million rows.
    options: dict[str, Any] = {"page_checksum_verification": True, "pre_buffer": False, "buffer_size": BUFFER_BYTES}
    with reading(path), pq.ParquetFile(path, **options) as file:
        for name in columns:
            if name not in file.schema_arrow.names:
                raise DataError(f"{path}: column `{name}` is missing; there are {', '.join(file.schema_arrow.names)}")
        if not file.metadata.num_rows and not may_be_empty:
            raise DataError(f"{path}: holds no row")
        _refuse_bombs(path, file.metadata)
        pieces = file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
        read = 0
        while True:
            with reading(path, read):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece
            read += len(piece)


def _refuse_bombs(path: Path, said: Any) -> None:
    """Refuse a file whose few bytes unpack to more than memory or disk hold: a repeated value costs Parquet nothing.

    Asks the footer for whole groups only: pyarrow 26 ends the process when a damaged footer is asked for a column's.
    """
    size = path.stat().st_size
    unpacked = max(said.row_group(i).total_byte_size for i in range(said.num_row_groups)) if said.num_row_groups else 0
    if unpacked > max(HARMLESS_BYTES, MOST_UNPACKED * size):
        raise DataError(f"{path}: a group of rows unpacks to {unpacked} bytes, the file has {size}: no recording")
    if said.num_rows > HARMLESS_ROWS + MOST_ROWS * size:
        raise DataError(f"{path}: claims {said.num_rows} rows in {size} bytes: no recording")


def texts(piece: Any, name: str) -> list[str | None]:
    """Return a column of text, whatever its encoding."""
    return text_array(piece, name).to_pylist()  # type: ignore[no-any-return]


def text_array(piece: Any, name: str) -> Any:
    """Return a column of text as one of strings; raises WrongColumn for lists and what else is none."""
    try:
        return piece.column(name).cast(pa.string())
    except pa.ArrowNotImplementedError:
        raise WrongColumn(f"column `{name}` is no column of text: {piece.column(name).type}") from None


def stamps_ns(piece: Any, name: str) -> list[int | None]:
    """Return a column of UTC stamps in ns since the epoch; whole numbers are taken for milliseconds."""
    column = piece.column(name)
    unit = _unit(column.type, name)
    return [None if at is None else at * unit for at in column.cast(pa.int64()).to_pylist()]


def _unit(kind: Any, name: str) -> int:
    """Return how many ns a stamp of this type counts in."""
    if pa.types.is_timestamp(kind):
        return {"s": NS_PER_S, "ms": NS_PER_MS, "us": 1_000, "ns": 1}[kind.unit]
    if pa.types.is_integer(kind):
        return NS_PER_MS
    raise WrongColumn(f"column `{name}` is no column of stamps: {kind}")


def recorded_array(piece: Any, name: str) -> NDArray[np.int64]:
    """Return a column of stamps like `recorded_ns`, as an array: -1 for None."""
    column = piece.column(name)
    unit = _unit(column.type, name)
    plain = column.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    good = (plain >= EARLIEST // unit) & (plain < LATEST // unit)
    found: NDArray[np.int64] = np.where(good, plain * unit, -1).astype(np.int64)
    return found


def recorded_ns(piece: Any, name: str) -> list[int | None]:
    """Return a column of stamps like `stamps_ns`; None as well outside 2000..2100: it was written in another unit."""
    return [None if at is None or not EARLIEST <= at < LATEST else at for at in stamps_ns(piece, name)]


def micros(column: Any) -> Micros:
    """Return doubles as millionths: 0.43999999999999995 is 440,000."""
    plain = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # what becomes infinite is not good
        scaled = np.rint(plain * MICRO)
    good = np.isfinite(plain) & (np.abs(scaled) < LARGEST)
    values = np.where(good, scaled, 0).astype(np.int64)
    good &= np.abs(values / MICRO - np.where(good, plain, 0.0)) <= NEAR
    return Micros(values, good)


def refuse(faults: Sequence[tuple[NDArray[np.bool_], str]], log: FileLog) -> NDArray[np.bool_]:
    """Tell which rows of a piece have a fault, and count each with its first one.

    Rows are numbered from 1 over the whole file: `log.rows_read` must be what was read before this piece.
    """
    masks = np.stack([mask for mask, _ in faults])
    bad = np.asarray(masks.any(axis=0))
    for row in np.flatnonzero(bad).tolist():
        log.refuse(log.rows_read + row + 1, faults[int(masks[:, row].argmax())][1])
    return bad
