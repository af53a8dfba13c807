import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.model import Market
from arbkit.history.importers import base, common_clocks
from arbkit.history.importers.base import (
    Batch,
    BookIndex,
    Change,
    MessageWriter,
    SnapshotDiff,
    Source,
    csv_rows,
    json_list,
)
from arbkit.history.importers.kalshi_csv import KalshiCsv
from arbkit.history.importers.merge import merged
from arbkit.history.markets import MarketSpec
from arbkit.history.quality import FileLog

BID, ASK, LEVEL = m.SIDE_BID, m.SIDE_ASK, m.KIND_LEVEL


# -- files ---


def test_a_stem_is_the_name_without_its_endings() -> None:
    assert Source.at(Path("x/Kalshi_NYK.v2.csv.gz")).stem == "Kalshi_NYK.v2"
    assert Source.at(Path("books.parquet")).stem == "books"


def lines(path: Path, content: bytes, columns: tuple[str, ...] = ("a", "b")) -> list[tuple[int, list[str]]]:
    path.write_bytes(content)
    return list(csv_rows(Source.at(path), columns, FileLog(path.name)))


def test_columns_are_found_by_name_and_lines_are_counted_from_one(tmp_path: Path) -> None:
    content = b'b,x,a\r\n1,2,3\r\n\r\n"4,4",5,6\n'
    assert lines(tmp_path / "f.csv", content) == [(2, ["3", "1"]), (4, ["6", "4,4"])]
    assert lines(tmp_path / "f.csv.gz", gzip.compress(content)) == [(2, ["3", "1"]), (4, ["6", "4,4"])]


def test_a_row_with_missing_cells_is_refused_and_counted(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b\n1\n1,2\n")
    log = FileLog("f.csv")
    assert list(csv_rows(Source.at(tmp_path / "f.csv"), ("a",), log)) == [(3, ["1"])]
    assert (log.rows_read, log.refused) == (2, 1)
    assert log.refusals[0].line == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"a,c\n1,2\n", "line 1: column `b` is missing; there are a, c"),
        (b"a,b\n", "holds a header and no row"),
        (b"a,b\n\xff\xfe,1\n", "line 2 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as refusal:
        lines(tmp_path / "f.csv", content)
    assert "f.csv" in str(refusal.value)


def test_a_line_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LINE_LIMIT", 64)
    with pytest.raises(DataError, match="line 2 is longer than 64 bytes"):
        lines(tmp_path / "f.csv", b"a,b\n" + b"1" * 100)


def test_a_cut_off_or_false_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i * i, i) for i in range(9_999)))
    with pytest.raises(DataError, match=r"f\.csv\.gz: damaged or cut off gzip"):
        lines(tmp_path / "f.csv.gz", whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"f\.csv\.gz: damaged or cut off gzip"):
        lines(tmp_path / "f.csv.gz", b"a,b\n1,2\n")


def test_a_head_needs_a_file_with_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match=r"empty\.csv: the file is empty"):
        Source.at(tmp_path / "empty.csv").head()
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        Source.at(tmp_path / "none.csv").head()
    with pytest.raises(DataError, match="cannot be read"):
        Source.at(tmp_path).head()


# -- books by name ---


def test_without_a_markets_file_each_key_becomes_a_market_of_which_nothing_is_known() -> None:
    books = BookIndex()
    assert [books.book(key, venue="v") for key in ("x", "y", "x")] == [0, 2, 0]
    assert books.book("x", "no", venue="v") == 1
    table = books.table({0, 2})
    assert table.markets[1] == Market(venue="v", id="y", source=(("yes", "y"),))
    assert [b.recorded for b in table.books] == [True, False, True, False]
    assert books.unlisted == []


def test_a_markets_file_says_which_book_a_key_is() -> None:
    spec = MarketSpec((
        Market(venue="v", id="a", source=(("yes", "up"), ("no", "down"))),
        Market(venue="w", id="b", source=(("no", "other side"),)),
    ))  # fmt: skip
    books = BookIndex(spec)
    assert [books.book(key, venue="x") for key in ("up", "down", "other side")] == [0, 1, 3]
    assert books.book("other side", "no", venue="x") == 2  # the NO of a NO
    assert [books.venue_of(i) for i in (0, 1, 3)] == ["v", "v", "w"]
    assert books.rank("up") < books.rank("down") < books.rank("other side") < books.rank("stranger")
    assert books.book("stranger", venue="x") == 4
    assert books.unlisted == ["stranger"]
    assert "up" in books
    assert "nobody" not in books


# -- rows ---


def test_a_message_ends_with_the_last_bit_and_stands_at_one_stamp() -> None:
    out = MessageWriter()
    out.end()  # a message without rows is nothing
    out.row(5, 4, 0, m.KIND_CLEAR)
    out.row(7, 6, 0, LEVEL, BID, 10, 20, lower=True)
    out.end()
    out.row(3, 3, 1, m.KIND_GAP)
    assert len(out) == 3
    assert out.now == 5
    batch = out.take()
    assert batch.ts_recv.tolist() == [5, 5, 5]  # never falling
    assert batch.ts_venue.tolist() == [4, 6, 3]
    assert batch.meta.tolist() == [0, m.meta(LEVEL, BID, lower=True), m.meta(m.KIND_GAP)]
    assert len(out) == 0
    assert not out.full


def test_a_snapshot_of_a_healthy_book_is_its_difference() -> None:
    diff = SnapshotDiff()
    assert diff.snapshot(0, {40: 1, 39: 2}, {42: 3}) == [
        Change(m.KIND_CLEAR), Change(LEVEL, BID, 39, 2), Change(LEVEL, BID, 40, 1), Change(LEVEL, ASK, 42, 3),
    ]  # fmt: skip
    assert diff.snapshot(0, {40: 1, 39: 2}, {42: 3}) == []
    assert diff.snapshot(0, {40: 5, 38: 2}, {43: 3}) == [
        Change(LEVEL, BID, 39, 0), Change(LEVEL, ASK, 42, 0),
        Change(LEVEL, BID, 38, 2), Change(LEVEL, BID, 40, 5), Change(LEVEL, ASK, 43, 3),
    ]  # fmt: skip


def test_a_lost_book_starts_with_a_clear_again() -> None:
    diff = SnapshotDiff()
    diff.snapshot(0, {40: 1}, {})
    assert diff.lose(0)
    assert not diff.lose(0)
    assert diff.snapshot(0, {40: 1}, {})[0] == Change(m.KIND_CLEAR)


def test_single_levels_keep_a_book_in_step_with_its_snapshots() -> None:
    diff = SnapshotDiff()
    diff.snapshot(0, {40: 1}, {42: 3})
    diff.change(0, BID, 41, 7)
    diff.change(0, ASK, 42, 0)
    diff.change(0, ASK, 50, 0)
    assert (diff.best(0, BID), diff.best(0, ASK), diff.total(0, BID, 41)) == (41, None, 7)
    assert diff.snapshot(0, {40: 1, 41: 7}, {}) == []
    assert diff.knows(0)
    assert not diff.knows(1)


# -- merging ---


def batch(stamps: list[int], book: int, last: bool = True) -> Batch:
    n = len(stamps)
    codes = [m.meta(m.KIND_MARK)] * (n - 1) + [m.meta(m.KIND_MARK, last=last)] if n else []
    columns = (stamps, stamps, [book] * n, codes, range(n), [0] * n)
    return Batch(*(np.array(column, dtype=np.int64) for column in columns))


def stream(*batches: Batch) -> Iterator[Batch]:
    yield from batches


def test_streams_are_merged_by_time_ties_by_their_order() -> None:
    found = list(merged([
        stream(batch([1, 5], 0), batch([], 0), batch([5, 5, 9], 0)),
        stream(batch([0, 5], 1), batch([5, 7], 1)),
        stream(),
    ]))  # fmt: skip
    rows = [(int(t), int(b)) for piece in found for t, b in zip(piece.ts_recv, piece.book, strict=True)]
    assert rows == [(0, 1), (1, 0), (5, 0), (5, 0), (5, 0), (5, 1), (5, 1), (7, 1), (9, 0)]


def test_a_stream_out_of_order_or_cut_inside_a_message_is_a_bug() -> None:
    with pytest.raises(InvariantViolation, match="out of order"):
        list(merged([stream(batch([2, 1], 0))]))
    with pytest.raises(InvariantViolation, match="out of order"):
        list(merged([stream(batch([2], 0), batch([1], 0))]))
    with pytest.raises(InvariantViolation, match="inside a message"):
        list(merged([stream(batch([2], 0, last=False))]))


def test_recordings_with_different_clocks_do_not_make_one_tape() -> None:
    class Both(KalshiCsv):
        name = "both"
        clocks = "both"

    sources = [Source.at(Path("a.csv")), Source.at(Path("b.csv"))]
    with pytest.raises(DataError, match=r"different clocks .*: a\.csv has venue, b\.csv has both"):
        common_clocks([(KalshiCsv(), sources[:1]), (Both(), sources[1:])])
    assert common_clocks([(KalshiCsv(), sources)]) == "venue"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"a": 1}]{"b": 2}', "something stands behind the list, after entry 1"),
        ('[{"a": 1}]' + " " * 100_000 + "x", "something stands behind the list, after entry 1"),
        ('[{"a": 1}, {"b": ' + "[" * 50_000, "an entry behind number 0 is nested too deeply"),
    ],
)
def test_what_is_no_list_of_entries_to_its_end_is_refused_by_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(DataError, match=rf"f\.json: {says}"):
        list(json_list(Source.at(tmp_path / "f.json"), FileLog("f.json")))


def test_blanks_may_stand_behind_a_list(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('[{"a": 1}] \n\n')
    assert list(json_list(Source.at(tmp_path / "f.json"), FileLog("f.json"))) == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        *((mark + label, True) for mark in ("<<<<<<<", "|||||||", ">>>>>>>") for label in ("", " HEAD", " a b")),
        ("=======", True),
        *((text, False) for text in ("======= x", "========", "<<<<<<", "<<<<<<<<", "|||||||,1", "1,2", "")),
    ],
)
def test_marks_of_a_git_conflict_are_told_with_a_label_or_without(text: str, mark: bool) -> None:
    assert base.is_conflict(text) is mark


def test_rows_of_the_version_before_a_conflict_are_left_out_of_every_csv_file(tmp_path: Path) -> None:
    text = "a\n1\n<<<<<<< x\n2\n||||||| y\n3\n4\n=======\n5\n>>>>>>> z\n6\n"
    (tmp_path / "f.csv").write_text(text)
    log = FileLog("f.csv")
    assert [cells for _, cells in csv_rows(Source.at(tmp_path / "f.csv"), ("a",), log)] == [["1"], ["2"], ["5"], ["6"]]
    assert (log.rows_read, log.refused, log.figures) == (10, 4, {base.STALE: 2})
