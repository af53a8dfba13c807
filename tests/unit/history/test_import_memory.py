"""What an import has read from the files it maps is given back, and what it writes does not depend on that."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from arbkit.books import meta as m
from arbkit.history.quality import QualityReport
from arbkit.history.store import COLUMN_TYPES, Facts, Spool, write_folder
from arbkit.history.tape import Rows, forget, pieces
from benchmarks import imports
from tests.builders import START, a_table

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def rows(n: int) -> Rows:
    ts = START + np.arange(n, dtype=np.int64) * 1_000
    code = np.full(n, m.meta(m.KIND_LEVEL, m.SIDE_BID), np.uint8)
    columns = (ts, ts - 5, np.zeros(n), code, 400_000 + np.arange(n) % 7, np.arange(n) % 11)
    return Rows(*(np.asarray(column).astype(dtype) for column, dtype in zip(columns, COLUMN_TYPES, strict=True)))


def spooled(folder: Path, given: Rows) -> Rows:
    spool = Spool(folder / "spool")
    spool.append(given)
    return spool.mapped(2)


def mapped_kb() -> int:
    """How much of the files that are mapped counts as this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@linux
def test_columns_of_an_import_are_given_back_once_they_were_read(tmp_path: Path) -> None:
    mapped = spooled(tmp_path, rows(2_000_000))  # 62 MB
    before = mapped_kb()
    assert sum(int(column.sum()) for column in mapped if column.dtype != np.int64)
    assert sum(int(column[::512].sum()) for column in mapped if column.dtype == np.int64)
    assert mapped_kb() - before > 50_000
    forget(mapped)
    assert mapped_kb() - before < 5_000
    for _, piece in pieces(mapped):
        piece.ts_recv.sum()
    assert mapped_kb() - before < 5_000


def test_columns_that_no_import_maps_are_left_alone() -> None:
    given = rows(10)
    forget(given)
    forget(given.cut(slice(2, 5)))
    assert given.size.tolist() == [i % 11 for i in range(10)]


def test_a_tape_written_from_mapped_columns_is_the_one_written_from_memory(tmp_path: Path) -> None:
    given, table = rows(50_000), a_table()
    facts = Facts("made up", "", True, "both", QualityReport())
    found = []
    for name, columns in (("memory", given), ("mapped", spooled(tmp_path, given))):
        (tmp_path / name).mkdir()
        digest = write_folder(tmp_path / name, table, columns, facts)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append((digest, [(path.name, path.read_bytes()) for path in files]))
    assert found[0] == found[1]


@linux
@pytest.mark.parametrize(("format", "rows"), [("pmxt", 20_000), ("quotes", 40_000)])
def test_the_benchmark_of_imports_makes_recordings_that_are_whole(tmp_path: Path, format: str, rows: int) -> None:
    found, _, _ = imports.measured(format, rows, tmp_path)
    assert (found.refused, found.crossed) == (0, 0)
    assert found.rows >= rows
    assert found.peak_mb > 50
    assert dict(imports.on_disk(tmp_path)).keys() == {"rows", "replay.arrow"}
