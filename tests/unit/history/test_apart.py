"""Two files of one book: one after the other they are a tape, at the same time they are two recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.history.importers import import_recording, kalshi_best
from arbkit.history.importers.apart import Apart
from arbkit.history.importers.base import BookIndex, MessageWriter
from arbkit.history.importers.merge import merged
from arbkit.history.tape import Tape, read_tape
from tests.unit.history import test_kalshi_best as best
from tests.unit.history import test_tickscope as tickscope
from tests.unit.history import test_updown as updown

Seconds = Sequence[int]


def best_file(path: Path, times: Seconds) -> None:
    lines = [kalshi_best.HEADER, *(best.row(s, f"0.32,{100 + s}") for s in times)]
    path.with_suffix(".csv").write_text("\n".join(lines) + "\n")


def updown_file(path: Path, times: Seconds) -> None:
    updown.written(path.with_suffix(".parquet"), [updown.mirrored(s, 0.5, 0.52, 10 + s) for s in times])


def tickscope_file(path: Path, times: Seconds) -> None:
    rows = [tickscope.change(1_000 * s, "yes", "BID", 0.40, 10 + s, 0.40, 0.42) for s in times]
    tickscope.written(path.with_suffix(".parquet"), rows)


WRITERS = pytest.mark.parametrize("write", [best_file, updown_file, tickscope_file])
Write = Callable[[Path, Seconds], None]


def imported(tmp_path: Path, write: Write, **files: Seconds) -> Tape:
    (tmp_path / "files").mkdir()
    for name, times in files.items():
        write(tmp_path / "files" / name, times)
    import_recording(tmp_path / "files", tmp_path / "tape")
    return read_tape(tmp_path / "tape")


@WRITERS
def test_two_recordings_of_one_book_at_one_time_are_refused_with_both_names_the_book_and_the_time(
    tmp_path: Path, write: Write
) -> None:
    with pytest.raises(
        DataError, match=r"^a\..* and b\..* both tell of (kalshi|polymarket):.* \(yes\) at 20.*:04"
    ) as no:
        imported(tmp_path, write, a=range(60), b=[4, 5])
    assert "import one of them, or cut one" in str(no.value)
    assert not (tmp_path / "tape").exists()


@WRITERS
def test_it_does_not_matter_which_file_comes_first(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DataError, match=r"^a\..* and b\..* both tell of"):
        imported(tmp_path, write, a=[4, 5], b=range(60))


@WRITERS
@pytest.mark.parametrize("files", [{"a": range(5), "b": range(5, 9)}, {"a": range(6, 9), "b": range(5)}])
def test_files_of_one_book_that_follow_each_other_are_one_tape(
    tmp_path: Path, write: Write, files: dict[str, Seconds]
) -> None:
    tape = imported(tmp_path, write, **files)
    kinds = (tape.rows.meta & m.KIND_MASK)[tape.rows.book == 0]
    assert int((kinds == m.KIND_CLEAR).sum()) == 2  # each begins anew
    assert tape.books_at(2**62)[0].bids[0].size > 0


def test_a_file_may_begin_at_the_stamp_at_which_the_one_before_it_ends(tmp_path: Path) -> None:
    tape = imported(tmp_path, best_file, a=range(6), b=range(5, 9))
    assert tape.books_at(best.at(5))[0].bids == (Level(320_000, 105_000_000),)


def test_files_of_different_books_may_overlap(tmp_path: Path) -> None:
    for ticker in ("NE", "SEA"):
        lines = [kalshi_best.HEADER, *(best.row(s, ticker=ticker) for s in range(5))]
        (tmp_path / f"{ticker}.csv").write_text("\n".join(lines) + "\n")
    assert import_recording(tmp_path, tmp_path / "tape").markets == 2


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), min_size=2, max_size=5)


@given(spans, st.booleans())
def test_streams_pass_as_they_are_or_are_refused_where_two_of_a_book_overlap(
    found: list[tuple[int, int]], prints: bool
) -> None:
    apart, streams = Apart(BookIndex()), []
    apart._books.book("M", venue="demo")
    for number, (start, length) in enumerate(found):
        out = MessageWriter()
        for at in range(start, start + length + 1):
            out.row(at, at, 0, m.KIND_PRINT if prints else m.KIND_MARK, price=1, size=1)
            out.end()
        pieces = out.take()
        streams.append(apart.watched(str(number), iter([pieces.cut(slice(i, i + 1)) for i in range(length + 1)])))
    order = sorted((start, number, start + length) for number, (start, length) in enumerate(found))
    overlap = any(
        later[0] < earlier[2] or (later[0] == earlier[2] and earlier[1] > later[1])
        for earlier, later in pairwise(order)
    )
    try:
        rows = sum(len(batch.ts_recv) for batch in merged(streams))
    except DataError:
        assert overlap
        assert not prints
    else:
        assert prints or not overlap
        assert rows == sum(length + 1 for _, length in found)
