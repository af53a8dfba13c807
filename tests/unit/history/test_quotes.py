"""A day of best quotes: no sizes, two minutes apart, sorted by market."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.history.importers import import_recording, quotes
from arbkit.history.importers.base import BookIndex
from arbkit.history.quality import FileLog
from arbkit.history.tape import Tape, read_tape

START = datetime(2026, 7, 11)  # noqa: DTZ001  (as the recording has it)
Row = tuple[int | None, str | None, float | None, float | None]


def ns(s: int) -> int:
    return int(np.datetime64(START, "ns").astype(np.int64)) + s * 10**9


def written(path: Path, rows: Sequence[Row]) -> Path:
    stamps, slugs, bids, asks = zip(*rows, strict=True)
    columns = {
        "ts": pa.array([None if s is None else START + timedelta(seconds=s) for s in stamps], pa.timestamp("us")),
        "slug": pa.array(slugs, pa.string()),
        "bid": pa.array(bids, pa.float64()),
        "ask": pa.array(asks, pa.float64()),
    }
    other = {name: pa.nulls(len(rows), pa.float64()) for name in quotes.ALSO}
    pq.write_table(pa.table(columns | other), path)
    return path


def imported(tmp_path: Path, rows: Sequence[Row]) -> Tape:
    import_recording(written(tmp_path / "day.parquet", rows), tmp_path / "tape")
    return read_tape(tmp_path / "tape")


def told(tape: Tape) -> list[tuple[int, int, int, int]]:
    """Rows as (seconds, book, kind, price)."""
    r = tape.rows
    kinds = r.meta & m.KIND_MASK
    return list(
        zip(((r.ts_recv - ns(0)) // 10**9).tolist(), r.book.tolist(), kinds.tolist(), r.price.tolist(), strict=True)
    )


def test_quotes_sorted_by_market_become_rows_in_order_of_time_one_message_a_stamp(tmp_path: Path) -> None:
    tape = imported(tmp_path, [(0, "a", 0.4, 0.42), (120, "a", 0.41, 0.42), (0, "b", 0.1, None), (120, "b", 0.1, 0.2)])
    assert told(tape) == [
        (0, 0, m.KIND_CLEAR, 0), (0, 0, m.KIND_LEVEL, 400_000), (0, 0, m.KIND_LEVEL, 420_000),
        (0, 2, m.KIND_CLEAR, 0), (0, 2, m.KIND_LEVEL, 100_000),
        (120, 0, m.KIND_LEVEL, 400_000), (120, 0, m.KIND_LEVEL, 410_000), (120, 2, m.KIND_LEVEL, 200_000),
    ]  # fmt: skip
    assert np.flatnonzero(tape.rows.meta & m.LAST).tolist() == [4, 7]
    assert [market.id for market in tape.markets.markets] == ["a", "b"]
    assert tape.books_at(ns(120))[0].bids == (Level(410_000, 10_000, exact=False),)
    assert tape.books_at(ns(120))[0].asks == (Level(420_000, 10_000, exact=False),)
    assert tape.clocks == "recv"
    assert tape.quality.lower_share == 1.0


def test_a_stamp_at_which_nothing_changed_leaves_one_sign_of_life(tmp_path: Path) -> None:
    rows: list[Row] = [(s, slug, 0.4, 0.42) for slug in ("a", "b") for s in (0, 120, 240)]
    marks = [row for row in told(imported(tmp_path, rows)) if row[2] == m.KIND_MARK]
    assert [at for at, *_ in marks] == [120, 240]


def test_a_side_that_empties_is_removed_and_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, [(0, "a", 0.4, 0.42), (120, "a", None, 0.42), (240, "a", None, None)])
    assert tape.books_at(ns(120))[0].bids == ()
    assert tape.books_at(ns(240))[0].asks == ()
    assert tape.quality.files[0]["figures"][quotes.ONE_SIDED] == 2


@pytest.mark.parametrize("ask", [0.4, 0.39])
def test_a_locked_or_crossed_quote_makes_its_book_unknown_until_the_next_good_one(tmp_path: Path, ask: float) -> None:
    tape = imported(tmp_path, [(0, "a", 0.4, 0.42), (120, "a", 0.4, ask), (240, "a", 0.4, ask), (360, "a", 0.4, 0.42)])
    assert not tape.books_at(ns(240))[0].known
    assert tape.books_at(ns(360))[0].known
    measures = tape.quality.measures
    assert (measures.gaps, measures.crossed) == (1, 0)
    assert (tape.quality.total("quarantined_rows"), tape.quality.total("quarantined_ns")) == (2, 240 * 10**9)


def test_a_stretch_of_crossed_quotes_that_lasts_to_the_end_is_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, [(0, "a", 0.4, 0.42), (60, "a", 0.5, 0.42), (0, "b", 0.1, 0.2), (90, "b", 0.1, 0.2)])
    assert tape.quality.total("quarantined_ns") == 30 * 10**9


def test_repeats_and_stamps_that_step_back_are_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, [(10, "a", 0.4, 0.42), (0, "a", 0.4, 0.42), (0, "a", 0.4, 0.42), (0, "b", 0.4, 0.5)])
    assert (tape.quality.total("duplicates"), tape.quality.total("backward")) == (1, 1)
    assert tape.quality.files[0]["backward_max_ns"] == 10 * 10**9


def test_unusable_quotes_are_refused_with_their_number(tmp_path: Path) -> None:
    good: list[Row] = [(i, "a", 0.4, 0.42) for i in range(1_000)]
    bad: list[Row] = [
        (None, "a", 0.4, 0.42), (1, None, 0.4, 0.42), (1, "a", 1.0, None), (1, "a", 0.4, -0.1), (1, "a", 0.4000004, None),
        (1, "a", None, float("inf")), (-10**9, "a", 0.4, 0.42),
    ]  # fmt: skip
    quality = imported(tmp_path, good + bad).quality
    assert (quality.rows_read, quality.refused) == (1_007, 7)
    assert [refusal.line for refusal in quality.refusals] == list(range(1_001, 1_008))
    assert [refusal.reason.split(":")[0] for refusal in quality.refusals] == [
        "ts",
        "slug",
        "bid",
        "ask",
        "bid",
        "ask",
        "ts",
    ]


def test_a_file_of_nothing_but_rubbish_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="refused"):
        imported(tmp_path, [(0, None, 0.4, 0.5)])


quoted = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4), st.integers(0, 4))


@given(st.lists(quoted, min_size=1, max_size=30), st.integers(1, 30))
def test_books_are_those_of_a_plain_loop_whatever_the_pieces(rows: list[tuple[int, int, int, int]], cut: int) -> None:
    """Quotes (stamp, market, bid, ask in cents, 0 empty) against one dictionary per book."""
    index = BookIndex()
    numbers = [index.book(name, venue="v") for name in "abc"]
    records = np.zeros(len(rows), dtype=quotes.QUOTE)
    for i, (at, market, bid, ask) in enumerate(sorted(rows, key=lambda row: row[0])):
        records[i] = (ns(at), numbers[market], bid * 10_000, ask * 10_000)
    books = quotes._Books(FileLog("f"))
    cut = int(np.searchsorted(records["recv"], records["recv"][min(cut, len(records)) - 1], side="right"))
    batches = [books.batch(part, index) for part in (records[:cut], records[cut:]) if len(part)]
    state: dict[int, tuple[bool, int, int]] = {}
    for batch in batches:
        for number, code, price, size in zip(
            *(c.tolist() for c in (batch.book, batch.meta, batch.price, batch.size)), strict=True
        ):
            known, bid, ask = state.get(number, (False, 0, 0))
            kind, side = code & m.KIND_MASK, (code & m.SIDE_MASK) >> m.SIDE_SHIFT
            if kind in (m.KIND_CLEAR, m.KIND_GAP):
                state[number] = (kind == m.KIND_CLEAR, 0, 0)
            elif kind == m.KIND_LEVEL:
                assert known
                assert bool(size) != (price == (bid if side == m.SIDE_BID else ask))  # removals name what stands
                left = price if size else 0
                state[number] = (known, left, ask) if side == m.SIDE_BID else (known, bid, left)
    last = {int(r["book"]): (int(r["bid"]), int(r["ask"])) for r in records}
    for number, (bid, ask) in last.items():
        crossed = bool(bid and ask and bid >= ask)
        assert state.get(number, (False, 0, 0)) == ((False, 0, 0) if crossed else (True, bid, ask))


@pytest.mark.real_data
@pytest.mark.slow
def test_the_recording_has_its_measured_figures(real_data: Path, tmp_path: Path) -> None:
    report = import_recording(real_data / "polymarket-quotes-ccby", tmp_path / "tape")
    quality = report.quality
    assert (quality.rows_read, quality.refused, report.markets) == (5_597_756, 0, 12_443)
    assert quality.files[0]["figures"] == {quotes.ONE_SIDED: 2_106_135}  # 37.6 %
    assert (quality.total("quarantined_rows"), quality.measures.gaps) == (315, 285)
    assert (quality.measures.prints, quality.measures.crossed, quality.lower_share) == (0, 0, 1.0)
    assert (report.rows, quality.measures.silences) == (1_162_766, 704)  # 705 of 706 stamps lie over a minute apart
