"""Snapshots once a second whose file was written anew every minute: each row stands up to fifteen times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.detection.baskets import baskets
from arbkit.history.importers import import_recording, updown
from arbkit.history.tape import Tape, read_tape
from tests.unit.history.laws import asks_below_one

START = 1_771_633_800_000  # ms
Levels = Sequence[tuple[float, float]]


def ns(s: int) -> int:
    return (START + 1_000 * s) * 1_000_000


def row(
    s: int | None, up: tuple[Levels, Levels], down: tuple[Levels, Levels], slug: str | None = "m"
) -> dict[str, Any]:
    cells: dict[str, Any] = {"ts_ms": None if s is None else START + 1_000 * s, "market_slug": slug}
    for token, sides in (("up", up), ("down", down)):
        for side, levels in zip(("bid", "ask"), sides, strict=True):
            for i, (price, size) in enumerate(levels, start=1):
                cells |= {f"{side}_px_{token}_{i}": price, f"{side}_sz_{token}_{i}": size}
    return cells


def mirrored(s: int, bid: float, ask: float, size: float = 10) -> dict[str, Any]:
    return row(s, ([(bid, size)], [(ask, 5)]), ([(round(1 - ask, 2), 5)], [(round(1 - bid, 2), size)]))


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    kinds = {"ts_ms": pa.int64(), "market_slug": pa.string()}
    columns = {name: pa.array([r.get(name) for r in rows], kinds.get(name, pa.float64())) for name in updown.COLUMNS}
    pq.write_table(pa.table(columns), path)
    return path


def imported(tmp_path: Path, rows: Sequence[Mapping[str, Any]]) -> Tape:
    import_recording(written(tmp_path / "m.parquet", rows), tmp_path / "tape")
    return read_tape(tmp_path / "tape")


def test_both_books_of_a_row_are_one_message(tmp_path: Path) -> None:
    tape = imported(tmp_path, [mirrored(0, 0.5, 0.52), mirrored(1, 0.5, 0.51)])
    ends = [i for i, code in enumerate(tape.rows.meta.tolist()) if code & m.LAST]
    assert len(ends) == 2
    assert set(tape.rows.book.tolist()) == {0, 1}
    assert tape.books_at(ns(1))[0].asks == (Level(510_000, 5_000_000),)
    assert tape.books_at(ns(1))[1].bids == (Level(490_000, 5_000_000),)


def test_rows_that_are_written_again_and_again_count_once(tmp_path: Path) -> None:
    rows = [mirrored(i, 0.50, 0.52, 10 + i) for i in range(6)]
    again = imported(tmp_path, [*rows[:2], *rows[:4], *rows])
    (tmp_path / "once").mkdir()
    once = imported(tmp_path / "once", rows)
    assert again.digest == once.digest
    assert (again.quality.total("duplicates"), again.quality.total("backward")) == (6, 0)
    assert again.quality.files[0]["figures"] == {updown.AGAIN: 2}


def test_a_snapshot_older_than_one_already_read_is_left_out_and_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, [mirrored(0, 0.5, 0.52), mirrored(5, 0.5, 0.52), *[mirrored(3, 0.4, 0.42)] * 2])
    assert tape.books_at(2**62)[0].bids == (Level(500_000, 10_000_000),)
    assert (tape.quality.total("duplicates"), tape.quality.total("backward")) == (0, 2)
    assert tape.quality.files[0]["figures"] == {updown.AGAIN: 1, updown.LATE: 2}


def test_a_snapshot_that_was_refused_is_taken_when_it_comes_again_and_can_be_used(tmp_path: Path) -> None:
    bad = row(300, ([(1.0, 1)], []), ([], []))
    good = [mirrored(s, 0.5, 0.52) for s in range(300)]
    tape = imported(tmp_path, [*good, bad, *good, mirrored(300, 0.4, 0.42)])
    assert (tape.quality.refused, tape.books_at(ns(300))[0].bids[0].price) == (1, 400_000)
    assert updown.LATE not in tape.quality.files[0]["figures"]


def test_a_side_without_levels_is_empty_and_counted_and_a_level_that_leaves_is_gone(tmp_path: Path) -> None:
    first = row(0, ([(0.5, 1), (0.49, 2)], [(0.6, 1)]), ([(0.4, 1)], [(0.5, 1), (0.51, 2)]))
    tape = imported(tmp_path, [first, row(1, ([(0.5, 1)], []), ([], [(0.5, 1)]))])
    assert tape.books_at(ns(1))[0].bids == (Level(500_000, 1_000_000),)
    assert tape.books_at(ns(1))[0].asks == ()
    assert tape.quality.files[0]["figures"]["snapshots with one side or none"] == 2


def test_a_crossed_snapshot_is_a_gap_of_that_token_alone(tmp_path: Path) -> None:
    crossed = row(1, ([(0.6, 1)], [(0.6, 1)]), ([(0.4, 1)], [(0.5, 1)]))
    tape = imported(tmp_path, [mirrored(0, 0.5, 0.52), crossed, mirrored(2, 0.5, 0.52)])
    assert not tape.books_at(ns(1))[0].known
    assert tape.books_at(ns(1))[1].known
    assert tape.quality.total("quarantined_rows") == 1


def test_unusable_rows_are_refused_with_their_number(tmp_path: Path) -> None:
    good = [mirrored(i, 0.5, 0.52) for i in range(700)]
    side = ([(0.4, 1)], [(0.5, 1)])
    bad = [
        row(None, side, side), row(701, side, side, slug=None), row(702, ([(1.0, 1)], []), side),
        row(703, ([(0.4, -1)], []), side), row(704, ([(0.4, 1), (0.4, 2)], []), side), row(705, ([(0.4000004, 1)], []), side),
    ]  # fmt: skip
    quality = imported(tmp_path, [*good, *bad]).quality
    assert (quality.rows_read, quality.refused) == (706, 6)
    assert [r.reason.split(":")[0] for r in quality.refusals] == ["ts_ms", "market_slug", *["bid"] * 4]


def test_two_markets_in_one_file_are_refused(tmp_path: Path) -> None:
    side = ([(0.4, 1)], [(0.5, 1)])
    with pytest.raises(DataError, match="row 2: of n, above it are rows of m"):
        imported(tmp_path, [row(0, side, side), row(1, side, side, slug="n")])


@pytest.mark.real_data
def test_the_recordings_have_their_measured_figures(real_data: Path, tmp_path: Path) -> None:
    report = import_recording(real_data / "updown15m-1hz", tmp_path / "tape")
    quality = report.quality
    assert (quality.rows_read, quality.refused) == (7_153 + 7_150, 0)
    assert quality.rows_read - quality.total("duplicates") == 2 * 894  # distinct snapshots
    assert [entry["figures"][updown.AGAIN] for entry in quality.files] == [14, 14]
    assert (quality.measures.crossed, quality.measures.prints, quality.total("backward")) == (0, 0, 0)
    tape = read_tape(tmp_path / "tape")
    assert asks_below_one(tape) == 0
    assert [market.id for market in tape.markets.markets] == ["btc-updown-15m-1771633800", "btc-updown-15m-1771634700"]
    with pytest.raises(DataError, match="unknown"):
        baskets(tape, ("complement",))  # nothing says what is asked: no markets.toml was given
