"""Recordings in Parquet: their columns, and doubles read back as the decimals they were written from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from arbkit.core.errors import DataError
from arbkit.core.units import MICRO

BATCH_ROWS = 65_536
NEAR = 1e-9  # dollars or shares: how far a double may lie from a millionth, as for decimals in text
LARGEST = float(1 << 53)  # millionths: beyond it a double holds no longer every whole number


class Micros(NamedTuple):
    """Doubles as millionths; `good` is False where one is missing, not finite, too large or between millionths."""

    values: NDArray[np.int64]
    good: NDArray[np.bool_]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can be wrong with the bytes of a Parquet file into a DataError naming it."""
    try:
        yield
    except pa.ArrowException as error:
        raise DataError(f"{path}: damaged Parquet: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def columns_of(path: Path, head: bytes) -> frozenset[str]:
    """Return the names of the columns, none for a file of another kind; raise DataError for a damaged footer."""
    if not head.startswith(b"PAR1"):
        return frozenset()
    with reading(path):
        return frozenset(pq.read_schema(path).names)


def batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces, these columns only; raise DataError when one is missing or the file is damaged."""
    with reading(path), pq.ParquetFile(path) as file:
        for name in columns:
            if name not in file.schema_arrow.names:
                raise DataError(f"{path}: column `{name}` is missing; there are {', '.join(file.schema_arrow.names)}")
        if not file.metadata.num_rows:
            raise DataError(f"{path}: holds no row")
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))


def texts(column: Any) -> list[str | None]:
    """Return a column of text, whatever its encoding."""
    return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]


def stamps_ns(column: Any) -> list[int | None]:
    """Return a column of UTC stamps in ns since the epoch; whole numbers are taken for milliseconds."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ns", tz=kind.tz)).cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_integer(kind):
        return pc.multiply_checked(column.cast(pa.int64()), 1_000_000).to_pylist()  # type: ignore[no-any-return]
    raise DataError(f"not a column of stamps: {kind}")


def micros(column: Any) -> Micros:
    """Return doubles as millionths: 0.43999999999999995 is 440,000."""
    plain = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    scaled = np.rint(plain * MICRO)
    good = np.isfinite(plain) & (np.abs(scaled) < LARGEST)
    values = np.where(good, scaled, 0).astype(np.int64)
    good &= np.abs(values / MICRO - np.where(good, plain, 0.0)) <= NEAR
    return Micros(values, good)
