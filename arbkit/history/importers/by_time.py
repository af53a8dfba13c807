"""Rows put in order of time that do not fit memory: they wait on disk, a file for each stretch of time.

Recordings that are sorted by market and hold an hour or a day need every row before the first can be written. Each
stretch is sorted alone, ties as recorded; one that is still too large is cut into shorter ones first.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from arbkit.core.errors import DataError

MOST_ROWS = 1 << 20  # of one stretch, sorted in memory
MOST_FILES = 4_096
CUTS = 16  # pieces of a stretch that is too large


class TimeSorter:
    """Takes records (a structured array with a field `recv`, ns) and gives them back in order of time.

    `stretch_ns` is how much time one file holds. The files stand in the system's folder for temporary files (TMPDIR
    moves it) and are removed at the end.
    """

    def __init__(self, dtype: np.dtype, stretch_ns: int, most_rows: int = MOST_ROWS) -> None:
        self._dtype, self._stretch, self._most = dtype, stretch_ns, most_rows
        self._rows: dict[int, int] = {}  # stretch -> rows in its file

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="arbkit-import-"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, records: np.ndarray) -> None:
        """Take records; raise DataError when their times lie further apart than any one recording's."""
        if not len(records):
            return
        stretches = records["recv"] // self._stretch
        order = np.argsort(stretches, kind="stable")
        found, starts = np.unique(stretches[order], return_index=True)
        for stretch, piece in zip(found.tolist(), np.split(records[order], starts[1:]), strict=True):
            self._rows[stretch] = self._rows.get(stretch, 0) + len(piece)
            with self._path(stretch).open("ab") as file:
                file.write(piece.tobytes())
        if len(self._rows) > MOST_FILES:
            raise DataError(
                f"times spread over more than {MOST_FILES} stretches of {self._stretch // 10**9} s: no recording"
            )

    def _path(self, stretch: int) -> Path:
        return self._folder / f"{stretch}.rows"

    def ordered(self) -> Iterator[np.ndarray]:
        """Yield all records in order of `recv`, ties as they were added; records of one time come together."""
        for stretch in sorted(self._rows):
            if self._rows[stretch] <= self._most or self._stretch <= CUTS:
                records = np.fromfile(self._path(stretch), dtype=self._dtype)
                self._path(stretch).unlink()
                yield records[np.argsort(records["recv"], kind="stable")]
            else:
                yield from self._cut(stretch)

    def _cut(self, stretch: int) -> Iterator[np.ndarray]:
        with TimeSorter(self._dtype, self._stretch // CUTS, self._most) as finer:
            with self._path(stretch).open("rb") as file:
                while len(records := np.fromfile(file, dtype=self._dtype, count=self._most)):
                    finer.add(records)
            self._path(stretch).unlink()
            yield from finer.ordered()
