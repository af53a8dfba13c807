"""Best prices once a second, in a file that was committed in the middle of a git conflict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from arbkit.core.model import Level
from arbkit.core.units import NS_PER_S
from arbkit.history.importers import base, import_recording, kalshi_best
from arbkit.history.quality import ImportReport
from arbkit.history.stamps import parse_ns
from arbkit.history.tape import Tape, read_tape

OURS, MIDDLE, THEIRS = "<<<<<<< Updated upstream", "=======", ">>>>>>> Stashed changes"


def row(s: float, bid: str = "0.32,100.0", ask: str = "0.33,50.0", ticker: str = "NE") -> str:
    minute, second = divmod(s, 60)
    return f"2026-02-08T14:{int(minute):02d}:{second:09.6f},{ticker},{bid},{ask},32,66,0.01"


def at(s: int) -> int:
    return parse_ns("2026-02-08T14:00:00Z") + s * NS_PER_S


def imported(tmp_path: Path, lines: Sequence[str]) -> tuple[ImportReport, Tape]:
    (tmp_path / "best.csv").write_text("\n".join([kalshi_best.HEADER, *lines]) + "\n")
    report = import_recording(tmp_path / "best.csv", tmp_path / "tape")
    return report, read_tape(tmp_path / "tape")


def test_a_file_of_several_markets_has_their_best_levels_and_no_others(tmp_path: Path) -> None:
    report, tape = imported(tmp_path, [row(0), row(0, "0.67,9.0", ",", "SEA"), row(1, "0.31,4.0")])
    assert report.formats == {"best.csv": "kalshi_best"}
    assert [(market.venue, market.id) for market in tape.markets.markets] == [("kalshi", "NE"), ("kalshi", "SEA")]
    assert tape.books_at(at(0))[0].bids == (Level(320_000, 100_000_000),)
    assert tape.books_at(at(1))[0].bids == (Level(310_000, 4_000_000),)
    assert tape.books_at(at(1))[2].asks == ()
    assert tape.quality.files[0]["figures"] == {"snapshots with one side or none": 1}
    assert "taken for UTC" in tape.quality.files[0]["notes"][0]


def test_marks_of_a_git_conflict_are_refused_by_line(tmp_path: Path) -> None:
    lines = [row(i / 10) for i in range(500)]
    lines[100:100] = [OURS]
    lines[300:300] = [MIDDLE]
    lines.append(THEIRS)
    report, _ = imported(tmp_path, lines)
    assert (report.quality.rows_read, report.quality.refused) == (503, 3)
    assert [r.line for r in report.quality.refusals] == [102, 302, 504]
    assert {r.reason.split(":")[1] for r in report.quality.refusals} == {" a mark of a git conflict"}
    assert report.quality.files[0]["figures"] == {kalshi_best.VERSIONS: 3}


def test_of_two_versions_of_one_time_the_first_is_taken_and_the_other_goes_on_where_it_ends(tmp_path: Path) -> None:
    before = [row(i) for i in range(5)]
    ours = [row(10 + i / 10, f"0.32,{100 + i}") for i in range(400)]  # to second 49.9
    theirs = [row(12 + i / 10, f"0.20,{100 + i}") for i in range(400)]  # half a minute of it told before
    report, tape = imported(tmp_path, [*before, OURS, *ours, MIDDLE, *theirs, THEIRS])
    assert report.quality.files[0]["figures"] == {kalshi_best.VERSIONS: 3, kalshi_best.COVERED: 380}
    assert report.quality.total("backward") == 0
    assert tape.books_at(at(49))[0].bids[0].price == 320_000
    assert tape.books_at(at(50))[0].bids[0].price == 200_000


@pytest.mark.parametrize("label", ["", " abc123"])
def test_the_version_that_both_sides_of_a_conflict_began_from_never_comes_through(tmp_path: Path, label: str) -> None:
    before = [row(i) for i in range(5)]
    ours = [row(10 + i / 10, f"0.32,{100 + i}") for i in range(400)]  # to second 49.9
    began = [row(20 + i / 10, f"0.10,{100 + i}") for i in range(400)]  # the last of it later than all of ours
    theirs = [row(52 + i / 10, f"0.20,{100 + i}") for i in range(40)]
    marks = ["<<<<<<<" + label, "|||||||" + label, "=======", ">>>>>>>" + label]
    lines = [*before, marks[0], *ours, marks[1], *began, marks[2], *theirs, marks[3], row(70, "0.31,1")]
    report, tape = imported(tmp_path, lines)
    assert [r.line for r in report.quality.refusals] == [7, 408, 809, 850]
    assert report.quality.files[0]["figures"] == {kalshi_best.VERSIONS: 4, base.STALE: 400}
    assert report.quality.total("backward") == 0
    bids = {level.price for t in range(80) for level in tape.books_at(at(t))[0].bids}
    assert bids == {320_000, 200_000, 310_000}


def test_unusable_rows_are_refused_with_field_and_line(tmp_path: Path) -> None:
    bad = [
        row(1, "0.32,"), row(1, ",5.0"), row(1, "1.0,5.0"), row(1, "0.32,0"), row(1, "0.32,-5"), row(1, ticker=""),
        "yesterday,NE,0.32,1,0.33,1,1,1,0.01",
    ]  # fmt: skip
    report, _ = imported(tmp_path, [*(row(i / 20) for i in range(800)), *bad])
    assert [r.line for r in report.quality.refusals] == list(range(802, 809))
    said = [r.reason.split(":")[0] for r in report.quality.refusals]
    assert said == [*["best_bid"] * 5, "ticker", "timestamp"]


def test_a_step_back_inside_a_version_is_counted(tmp_path: Path) -> None:
    report, _ = imported(tmp_path, [row(3), row(1), row(4)])
    assert (report.quality.total("backward"), report.quality.files[0]["backward_max_ns"]) == (1, 2 * NS_PER_S)


@pytest.mark.real_data
def test_the_recording_has_its_measured_figures(real_data: Path, tmp_path: Path) -> None:
    report = import_recording(
        real_data / "arbitrage-betting" / "orderbook_snapshots_20260208.csv.gz", tmp_path / "tape"
    )
    quality = report.quality
    assert (quality.rows_read - quality.refused, quality.refused) == (51_104, 3)
    assert [r.line for r in quality.refusals] == [118, 25_823, 51_108]
    figures = quality.files[0]["figures"]
    assert (figures[kalshi_best.VERSIONS], figures[kalshi_best.COVERED]) == (3, 21_898)
    assert quality.measures.silences == 1
    assert quality.measures.silence_max_ns == pytest.approx(4.6 * 3_600 * NS_PER_S, rel=1e-2)
    assert (quality.measures.crossed, quality.measures.prints, quality.total("backward")) == (0, 0, 0)
