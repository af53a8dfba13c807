"""Results of a sweep in integer columns, and the folder that keeps them: written whole, checked when read.

An entry is named by its key, the hash of everything that its content follows from. It opens with the hash of what
comes after, so that one that was cut off, edited or written by another version is no entry at all and is made anew.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbkit.core.errors import ConfigError, DataError
from arbkit.core.files import written

I64 = np.dtype("<i8")  # the same bytes on every machine
HASH_BYTES = 32


@dataclass(frozen=True, eq=False)
class Columns:
    """Named int64 columns, and `about` in plain JSON values: what a result is made of."""

    about: dict[str, Any]
    columns: dict[str, np.ndarray]

    @classmethod
    def of(cls, about: dict[str, Any], tables: Mapping[Sequence[str], Sequence[Sequence[int]]]) -> Columns:
        """Return the columns of one or more tables, each given by its names and rows of whole numbers."""
        found: dict[str, np.ndarray] = {}
        for names, rows in tables.items():
            whole = np.array(rows, dtype=np.int64).reshape(len(rows), len(names))
            found |= {name: whole[:, i].copy() for i, name in enumerate(names)}
        return cls(about, found)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def packed(self) -> bytes:
        """Return everything as bytes, the same for the same content."""
        columns = {name: np.ascontiguousarray(column, dtype=I64).tobytes() for name, column in self.columns.items()}
        body = msgspec.msgpack.encode(_Packed(self.about, columns), order="sorted")
        return hashlib.sha256(body).digest() + body

    @classmethod
    def unpacked(cls, data: bytes) -> Columns:
        """Return what `packed` wrote; raise DataError for anything else."""
        head, body = data[:HASH_BYTES], data[HASH_BYTES:]
        if hashlib.sha256(body).digest() != head:
            raise DataError("not the bytes that were written: damaged or cut off")
        try:
            found = msgspec.msgpack.decode(body, type=_Packed)
            return cls(found.about, {name: np.frombuffer(raw, dtype=I64) for name, raw in found.columns.items()})
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(f"not the columns of a result: {error}") from error


class _Packed(msgspec.Struct):
    about: dict[str, Any]
    columns: dict[str, bytes]


class Store:
    """A folder of results by key. Several sweeps may share it: an entry is renamed into place, never half there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def get(self, key: str) -> Columns | None:
        """Return the result of a key; None when there is none, or none that can be believed."""
        try:
            return Columns.unpacked(self._path(key).read_bytes())
        except (OSError, DataError):
            return None

    def ready(self) -> None:
        """Make the folder; raise ConfigError where nothing can be kept, before hours of work find it out."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ConfigError(f"{self.folder}: results cannot be kept there: {error.strerror}") from error

    def put(self, key: str, data: bytes) -> None:
        """Keep the packed result of a key."""
        with written(self._path(key)) as temporary:
            temporary.write_bytes(data)
