"""What an import has read from the files it maps is given back, and what it writes does not depend on that."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arbkit.books import meta as m
from arbkit.history.importers import parquet
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


def test_a_parquet_file_is_not_held_while_it_is_read(tmp_path: Path) -> None:
    rng, size = np.random.default_rng(0), 0
    with pq.ParquetWriter(tmp_path / "wide.parquet", pa.schema([("noise", pa.int64())])) as file:
        for _ in range(40):
            file.write_table(pa.table({"noise": rng.integers(0, 1 << 62, 65_536)}))
            size += 8 * 65_536
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in parquet.batches(tmp_path / "wide.parquet", ["noise"])]
    assert len(held) == 40
    assert max(held) < size / 4


def test_an_hour_that_is_made_up_stands_by_token_and_tells_every_change_on_both(tmp_path: Path) -> None:
    path = tmp_path / imports.MADE["pmxt"][0]
    imports.an_hour(path, 4_000, tokens=20)
    hour = pq.read_table(path).to_pandas()
    assert 3_900 <= len(hour) <= 4_000
    assert hour["asset_id"].is_monotonic_increasing
    assert hour["asset_id"].nunique() == 20
    assert hour["market"].nunique() == 10
    assert hour.groupby("asset_id")["timestamp_received"].is_monotonic_increasing.all()
    told = hour.groupby("asset_id")["event_type"]
    assert set(told.first()) == {"book"}
    assert told.count().max() > 1.5 * told.count().min()  # few markets have most of it
    changes = hour[hour["event_type"] == "price_change"]
    yes, no = (changes[changes["asset_id"].astype(int) % 2 == side] for side in (0, 1))
    assert (yes["price"].to_numpy() + no["price"].to_numpy() == 1).all()
    assert (yes["side"].to_numpy() != no["side"].to_numpy()).all()
    assert (yes["size"].to_numpy() == no["size"].to_numpy()).all()


def test_the_page_says_what_was_read_by_whom_and_whether_it_stayed_below_a_gigabyte() -> None:
    small = imports.Imported(10.0, 8.0, 755.4, 70.0, 4_000_000, 6_000_000, 50_000, 0, 0, 9)
    said = imports.section([("an hour", small, 57_300_000, 26_400_000), ("two", small._replace(peak_mb=1_000.0), 1, 1)])
    assert "| an hour | 4,000,000 | 50,000 | 57 | 6,000,000 | 10.0 | 8.0 | 500,000 | 4.4 | 755 | 70 | kept |" in said
    assert said.rstrip().endswith("| 1,000 | 70 | **not kept** |")


@pytest.mark.no_cover
@linux
def test_imports_are_measured_one_after_the_other_and_leave_nothing_behind(tmp_path: Path) -> None:
    said: list[str] = []
    found = imports.measure(tmp_path, quick=True, long=False, say=said.append)
    assert [what for what, *_ in found] == ["an hour of 50 tokens", "a day of quotes"]
    assert all(what in line for (what, *_), line in zip(found, said, strict=True))
    assert all(got.idle_mb < got.peak_mb for _, got, _, _ in found)
    assert not list(tmp_path.iterdir())


@pytest.mark.no_cover
@linux
@pytest.mark.parametrize(("format", "rows"), [("pmxt", 20_000), ("quotes", 40_000)])
def test_the_benchmark_of_imports_makes_recordings_that_are_whole(tmp_path: Path, format: str, rows: int) -> None:
    found, _, _ = imports.measured(format, rows, tmp_path)
    assert (found.refused, found.crossed) == (0, 0)
    assert found.rows >= rows
    assert found.peak_mb > 50
    assert dict(imports.on_disk(tmp_path)).keys() == {"rows", "replay.arrow"}
