# ruff: noqa: N802
"""Recordings and tapes that are damaged, wrong, too large or in another order: refused by name, or the same tape."""

from __future__ import annotations

import ast
import bz2
import gzip
import json
import os
import pickle
import random
import shutil
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import arbkit as ak
from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.history import store
from arbkit.history import tape as tape_module
from arbkit.history.importers import base, import_recording, parquet, proven
from arbkit.history.importers.kalshi_rows import HEADER
from arbkit.history.tape import Tape, read_tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, ms
from tests.unit.history import test_kalshi_csv as kalshi
from tests.unit.history import test_kalshi_ws as session
from tests.unit.history import test_polymarket_csv as polymarket
from tests.unit.history import test_resolvedkit as kit
from tests.unit.history import test_tickscope as tickscope

ROOT = Path(__file__).resolve().parents[3]
LENGTH = 150  # rows: one refused row is less than the share that fails a file

# -- one small recording of every format -------------------------------------------------------------------------


def kalshi_rows(count: int = LENGTH) -> list[str]:
    changes = [kalshi.change(0.1 + i / 100, "0.39", "BUY", 1, "0.4", "0.42") for i in range(count)]
    return [*kalshi.OPENING, *changes, kalshi.trade(0, "0.42", "BUY", 10)]


def polymarket_rows(count: int = LENGTH) -> list[str]:
    totals = [f"{polymarket.at(2 + i / 1000)},price_change,0.{30 + i % 10},BUY,{i % 7},0.41,0.43" for i in range(count)]
    return [*polymarket.OPENING, *totals]


def session_lines(count: int = LENGTH) -> list[str]:
    deltas = [session.delta(2 + i, i * 3, "1.00") for i in range(count)]
    return [json.dumps(x) for x in [session.subscribed(), session.snapshot(1), *deltas, session.trade(600)]]


def tickscope_rows(count: int = LENGTH) -> list[tickscope.Row]:
    return [r for i in range(count) for r in tickscope.both(i * 10, "BID", 0.3 + i % 5 / 100, i + 1.0, 0.35, 0.39)]


def kit_rows(count: int = LENGTH) -> list[kit.Row]:
    return [("0x1", i * 100, "UP", kit.BIDS, [(0.51 + i % 3 / 100, 6.0)]) for i in range(count)]


def text_file(path: Path, lines: Sequence[str]) -> Path:
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def kalshi_file(folder: Path) -> list[Path]:
    return [text_file(folder / "k.csv", [HEADER, *kalshi_rows()])]


def polymarket_file(folder: Path) -> list[Path]:
    return [text_file(folder / "p.csv", [HEADER, *polymarket_rows()])]


def session_file(folder: Path) -> list[Path]:
    return [text_file(folder / "s.jsonl", session_lines())]


def tickscope_file(folder: Path) -> list[Path]:
    return [tickscope.written(folder / "t.parquet", tickscope_rows())]


def kit_files(folder: Path) -> list[Path]:
    kit.write(folder, kit_rows(), [kit.market(end=LENGTH * 100)])
    return [folder / "books.parquet", folder / "markets.parquet"]


def packed_file(folder: Path) -> list[Path]:
    return [text_file(folder / "k.csv.gz", [HEADER, *kalshi_rows()])]


Written = Callable[[Path], list[Path]]
TEXTS = {"kalshi csv": kalshi_file, "polymarket csv": polymarket_file, "kalshi session": session_file}
PARQUETS = {"tickscope": tickscope_file, "resolvedkit": kit_files}
ALL: dict[str, Written] = {**TEXTS, **PARQUETS, "kalshi csv.gz": packed_file}
every = pytest.mark.parametrize("write", ALL.values(), ids=list(ALL))
every_text = pytest.mark.parametrize("write", TEXTS.values(), ids=list(TEXTS))
every_parquet = pytest.mark.parametrize("write", PARQUETS.values(), ids=list(PARQUETS))


def imported(files: Sequence[Path], dest: Path) -> Tape:
    import_recording(files, dest)
    return read_tape(dest)


def refused(files: Sequence[Path], dest: Path) -> str:
    """Import what cannot be imported and return the words of the refusal; nothing is left behind."""
    before = sorted(dest.parent.iterdir())
    with pytest.raises(DataError) as refusal:
        import_recording(files, dest)
    assert sorted(dest.parent.iterdir()) == before
    return str(refusal.value)


# -- F1: not the file it was -------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("damage", ["cut", "bit", "token", "gone", "again"])
def test_fault_F1_whatever_happens_to_its_bytes_a_file_is_read_or_refused(
    write: Written, damage: str, tmp_path: Path
) -> None:
    draw = random.Random(f"{write.__name__} {damage}")
    whole = {path.name: path.read_bytes() for path in write(tmp_path)}
    for turn in range(12):
        name = draw.choice(sorted(whole))
        content = damaged(whole[name], damage, draw)
        if name.endswith(".gz") and turn % 2:
            content = gzip.compress(damaged(gzip.decompress(whole[name]), damage, draw))
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        for each, kept in whole.items():
            (folder / each).write_bytes(content if each == name else kept)
        try:
            tape = imported([folder / each for each in whole], folder / "tape")
        except DataError as error:
            said = str(error)
        else:
            assert len(tape)
            continue
        assert any(each in said for each in whole), said
        assert not (folder / "tape").exists()


TOKENS = (b"NaN", b"-1", b"1e400", b"9" * 30, b"\0", b",", b"\n", b'"', b"null", b"\xff", b"9999-12-31T23:59:59Z")


def damaged(content: bytes, damage: str, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    if damage == "cut":
        return content[:at]
    if damage == "bit":
        return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    if damage == "token":
        return content[:at] + draw.choice(TOKENS) + content[at:]
    if damage == "gone":
        return content[:at] + content[at + draw.randrange(1, 60) :]
    return content[:at] + content[at - draw.randrange(100) : at] + content[at:]


@every
def test_fault_F1_an_empty_file_is_refused_by_name(write: Written, tmp_path: Path) -> None:
    files = write(tmp_path)
    files[0].write_bytes(gzip.compress(b"", mtime=0) if files[0].suffix == ".gz" else b"")
    assert refused(files, tmp_path / "tape") == f"{files[0]}: the file is empty"


def test_fault_F1_a_cut_off_gzip_is_refused_with_its_last_whole_line(tmp_path: Path) -> None:
    (path,) = packed_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    said = refused([path], tmp_path / "tape")
    assert said.startswith(f"{path}: damaged or cut off gzip after line 1")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("k.csv", gzip.compress(b"a,b\n", mtime=0), "k.csv: holds gzip, which its name does not say: unpack it"),
        (
            "k.csv.gz",
            gzip.compress(gzip.compress(b"a,b\n", mtime=0), mtime=0),
            "k.csv.gz: holds gzip, which its name does not say",
        ),
        ("k.csv.bz2", bz2.compress(b"a,b\n"), "k.csv.bz2: holds bzip2"),
        ("k.zst", b"\x28\xb5\x2f\xfd\x04", "k.zst: holds zstd"),
        ("k.csv.gz", b"a,b\n1,2\n", "k.csv.gz: damaged or cut off gzip: Not a gzipped file"),
        ("k.csv", b"\xff\xfet\0i\0m\0e\0", "k.csv: not a recording that is known here"),
    ],
)
def test_fault_F1_the_wrong_compression_is_refused_by_what_it_is(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in refused([tmp_path / name], tmp_path / "tape")


@every_parquet
def test_fault_F1_a_parquet_file_without_its_footer_is_refused_by_name(write: Written, tmp_path: Path) -> None:
    files = write(tmp_path)
    files[0].write_bytes(files[0].read_bytes()[:-9])
    assert refused(files, tmp_path / "tape").startswith(f"{files[0]}: damaged Parquet: ")


def test_fault_F1_a_damaged_page_is_refused_with_the_last_good_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 100)
    path = tmp_path / "t.parquet"
    table = pq.read_table(tickscope.written(path, tickscope_rows()))
    pq.write_table(table, path, row_group_size=100, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    at = content.index(2 * np.float64(150.0).tobytes())  # the last two sizes: any number would be one
    content[at] ^= 1
    path.write_bytes(content)
    assert refused([path], tmp_path / "tape").startswith(f"{path}: cannot be read after row 200: ")


@pytest.mark.parametrize("write", [kalshi_file, polymarket_file])
def test_fault_F1_a_last_line_without_an_end_is_left_out_and_noted(write: Written, tmp_path: Path) -> None:
    (path,) = write(tmp_path)
    whole = imported([path], tmp_path / "whole")
    path.write_bytes(path.read_bytes()[:-3])  # "0.42" would read as 0.4, a price like any other
    cut = imported([path], tmp_path / "cut")
    assert cut.quality.rows_read == whole.quality.rows_read - 1
    (note,) = cut.quality.files[0]["notes"]
    assert "has no end and is left out: the file may be cut off there" in note
    assert note in str(cut.quality)


def test_fault_F1_nothing_of_a_bad_file_is_loaded_and_the_old_tape_stays(tmp_path: Path) -> None:
    (path,) = packed_file(tmp_path)
    before = imported([path], tmp_path / "tape").digest
    path.write_bytes(path.read_bytes()[:-20])
    refused([path], tmp_path / "tape")
    assert read_tape(tmp_path / "tape").digest == before


# -- F2: time that does not run on -------------------------------------------------------------------------------


def test_fault_F2_stamps_that_step_back_are_counted_and_the_received_ones_never_fall(tmp_path: Path) -> None:
    rows = kalshi_rows()
    rows[20], rows[21] = rows[21], rows[20]
    tape = imported([text_file(tmp_path / "k.csv", [HEADER, *rows])], tmp_path / "tape")
    assert (np.diff(tape.rows.ts_recv) >= 0).all()
    assert tape.quality.figures()["backward_stamps"] == 1
    levels = tape.rows.cut((tape.rows.meta & m.KIND_MASK) == m.KIND_LEVEL)
    late = levels.cut(levels.ts_venue < levels.ts_recv)
    assert set((late.ts_recv - late.ts_venue).tolist()) == {10_000_000}


def test_fault_F2_a_stamp_far_out_of_order_is_no_disorder_and_the_file_is_refused(tmp_path: Path) -> None:
    rows = kalshi_rows()
    rows[60] = rows[60].replace("2026-01-08", "2026-01-09")  # all that follows would stand at one moment
    said = refused([text_file(tmp_path / "k.csv", [HEADER, *rows])], tmp_path / "tape")
    assert said.startswith("k.csv: a stamp lies 86,400 s before the one above it")


@pytest.mark.parametrize(
    "stamp", ["1767838460000", "1970-01-02T00:00:00Z", "2150-01-01T00:00:00Z", "9999-12-31T00:00:00Z"]
)
def test_fault_F2_a_stamp_of_another_unit_is_refused_and_counted(tmp_path: Path, stamp: str) -> None:
    rows = kalshi_rows()
    rows[60] = ",".join([stamp, *rows[60].split(",")[1:]])
    tape = imported([text_file(tmp_path / "k.csv", [HEADER, *rows])], tmp_path / "tape")
    (refusal,) = tape.quality.refusals
    assert (refusal.file, refusal.line) == ("k.csv", 62)
    assert refusal.reason.startswith("timestamp: cannot be read: ")


@pytest.mark.parametrize("factor", [1_000, 1 / 1_000], ids=["microseconds", "seconds"])
def test_fault_F2_a_column_of_another_unit_fails_the_file(tmp_path: Path, factor: float) -> None:
    files = kit_files(tmp_path)
    table = pq.read_table(files[0])
    stamps = [round(at * factor) for at in table.column("ts").to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("ts"), "ts", pa.array(stamps)), files[0])
    assert "rows refused, more than 1%; the first at line 1: ts: missing, or not between" in refused(
        files, tmp_path / "tape"
    )


def test_fault_F2_what_was_recorded_twice_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = session_lines()
    twice = [*lines[:50], lines[49], *lines[50:]]
    tape = imported([text_file(tmp_path / "s.jsonl", twice)], tmp_path / "twice")
    assert tape.quality.total("duplicates") == 1
    assert tape.digest == imported([text_file(tmp_path / "s.jsonl", lines)], tmp_path / "once").digest


def test_fault_F2_what_is_missing_is_a_gap_on_the_tape_and_in_the_report(tmp_path: Path) -> None:
    lines = session_lines()
    del lines[50]
    tape = imported([text_file(tmp_path / "s.jsonl", lines)], tmp_path / "tape")
    gaps = tape.rows.cut((tape.rows.meta & m.KIND_MASK) == m.KIND_GAP)
    assert gaps.ts_recv.tolist() == [session.ns(147)]  # where the next number shows the hole
    assert not tape.books_at(session.ns(450))[0].known
    assert tape.quality.figures()["gaps"] == 1
    assert tape.quality.files[0]["figures"]["sequence holes"] == 1
    assert "gaps" in str(tape.quality)


def test_fault_F2_columns_out_of_order_make_no_tape() -> None:
    table = a_table()
    with pytest.raises(DataError, match=r"row 1: `ts_recv` = 4 is before the row above it"):
        Tape.from_columns(
            table, ts_recv=[5, 4], book=[0, 0], meta=[m.meta(m.KIND_CLEAR)] * 2, price=[0, 0], size=[0, 0]
        )


# -- F3: numbers that cannot be ----------------------------------------------------------------------------------

ROW = "{stamp},price_change,{price},BUY,{size},0.4,0.42"


@pytest.mark.parametrize("price", ["NaN", "inf", "-0.1", "1.0001", "41", "", "0,4", "0", "1", "1e400", "٠.٤"])
@pytest.mark.parametrize("write", [kalshi_rows, polymarket_rows])
def test_fault_F3_a_price_that_cannot_be_is_refused_with_its_line(
    write: Callable[[], list[str]], price: str, tmp_path: Path
) -> None:
    rows = write()
    rows[50] = ROW.format(stamp=rows[50].split(",")[0], price=price, size="1")
    tape = imported([text_file(tmp_path / "x.csv", [HEADER, *rows])], tmp_path / "tape")
    (refusal,) = tape.quality.refusals
    assert (refusal.file, refusal.line) == ("x.csv", 52)
    assert tape.quality.figures()["refused"] == 1


@pytest.mark.parametrize("size", ["NaN", "-inf", "", "1e30", "x", "--1"])
@pytest.mark.parametrize("write", [kalshi_rows, polymarket_rows])
def test_fault_F3_a_size_that_cannot_be_is_refused_with_its_line(
    write: Callable[[], list[str]], size: str, tmp_path: Path
) -> None:
    rows = write()
    rows[140] = ROW.format(stamp=rows[140].split(",")[0], price="0.31", size=size)  # behind what tells formats apart
    tape = imported([text_file(tmp_path / "x.csv", [HEADER, *rows])], tmp_path / "tape")
    (refusal,) = tape.quality.refusals
    assert refusal.line == 142
    assert refusal.reason.startswith("size: ")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 1e300, None])
@pytest.mark.parametrize("column", [4, 5], ids=["price", "size"])
def test_fault_F3_a_double_that_cannot_be_is_refused_with_its_row(
    tmp_path: Path, column: int, number: float | None
) -> None:
    rows = [list(row) for row in tickscope_rows()]
    rows[50][column] = number
    path = tickscope.written(tmp_path / "t.parquet", [tuple(row) for row in rows])  # type: ignore[misc]
    (refusal,) = imported([path], tmp_path / "tape").quality.refusals
    assert refusal.line == 51


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), -1.0, 1e300])
@pytest.mark.parametrize("part", [0, 1], ids=["price", "size"])
def test_fault_F3_a_level_that_cannot_be_refuses_its_snapshot(tmp_path: Path, part: int, number: float) -> None:
    rows = kit_rows()
    bad = [(number, 5.0) if part == 0 else (0.49, number)]
    rows[50] = (*rows[50][:3], bad, rows[50][4])
    kit.write(tmp_path / "kit", rows, [kit.market(end=LENGTH * 100)])
    tape = imported([tmp_path / "kit" / name for name in ("books.parquet", "markets.parquet")], tmp_path / "tape")
    (refusal,) = tape.quality.refusals
    assert refusal.line == 51
    assert refusal.reason.startswith("bid: ")


@pytest.mark.parametrize("delta", ["NaN", "1000000001.00", "1e400", ""])
def test_fault_F3_a_change_that_cannot_be_makes_its_book_unknown(tmp_path: Path, delta: str) -> None:
    lines = session_lines()
    lines[50] = json.dumps(session.delta(50, 144, delta))
    tape = imported([text_file(tmp_path / "s.jsonl", lines)], tmp_path / "tape")
    assert tape.quality.figures()["refused"] == 1
    assert not tape.books_at(session.ns(144))[0].known


@pytest.mark.parametrize("write", [kalshi_rows, polymarket_rows])
def test_fault_F3_a_file_in_cents_fails_and_says_how_many_rows(write: Callable[[], list[str]], tmp_path: Path) -> None:
    rows = write()
    for i in range(4, 7):  # three of 150: cents among dollars
        cells = rows[i].split(",")
        rows[i] = ",".join([cells[0], cells[1], "39", *cells[3:]])
    said = refused([text_file(tmp_path / "x.csv", [HEADER, *rows])], tmp_path / "tape")
    assert "x.csv: 3 of 15" in said
    assert "rows refused, more than 1%; the first at line 6: price: " in said


def test_fault_F3_sums_that_no_column_holds_are_refused(tmp_path: Path) -> None:
    rows = [kalshi.change(0.1 + i / 100, "0.39", "BUY", 999_999_999_999, "0.4", "0.42") for i in range(20)]
    said = refused([text_file(tmp_path / "k.csv", [HEADER, *kalshi.OPENING, *rows])], tmp_path / "tape")
    assert "is no size a tape can hold" in said


# -- F4: books that contradict themselves ------------------------------------------------------------------------


def test_fault_F4_a_crossed_snapshot_makes_the_book_unknown_until_the_next(tmp_path: Path) -> None:
    lines = session_lines()
    crossed, sound = session.snapshot(50, no="0.6500"), session.snapshot(80)
    lines[50], lines[80] = json.dumps(crossed), json.dumps(sound)
    tape = imported([text_file(tmp_path / "s.jsonl", lines)], tmp_path / "tape")
    known = [tape.books_at(session.ns(at))[0].known for at in (140, 150, 220, 234)]
    assert known == [True, False, False, True]
    assert tape.quality.figures()["quarantines"] == 1
    assert tape.quality.figures()["refused"] == 1


def test_fault_F4_a_change_below_nothing_makes_the_book_unknown_until_the_next_snapshot(tmp_path: Path) -> None:
    lines = session_lines()
    lines[50] = json.dumps(session.delta(50, 144, "-9999.00"))
    lines[80] = json.dumps(session.snapshot(80))
    tape = imported([text_file(tmp_path / "s.jsonl", lines)], tmp_path / "tape")
    assert [tape.books_at(session.ns(at))[0].known for at in (143, 150, 234)] == [True, False, True]
    assert tape.quality.files[0]["figures"]["levels below nothing"] == 1
    assert tape.quality.figures()["quarantined_rows"] > 0


def test_fault_F4_a_crossed_whole_book_is_unknown_until_the_next(tmp_path: Path) -> None:
    rows = kit_rows()
    rows[50] = (*rows[50][:4], [(0.45, 6.0)])
    kit.write(tmp_path / "kit", rows, [kit.market(end=LENGTH * 100)])
    tape = imported([tmp_path / "kit" / name for name in ("books.parquet", "markets.parquet")], tmp_path / "tape")
    assert [tape.books_at(kit.ns(at))[0].known for at in (4900, 5000, 5100)] == [True, False, True]
    assert tape.quality.figures()["quarantined_rows"] == 1


def test_fault_F4_a_printed_best_that_contradicts_the_book_corrects_it_and_is_counted(tmp_path: Path) -> None:
    rows = polymarket_rows()
    rows[50] = f"{rows[50].split(',')[0]},price_change,0.2,BUY,5,0.38,0.43"  # 0.41 is gone, whatever rows said
    tape = imported([text_file(tmp_path / "p.csv", [HEADER, *rows])], tmp_path / "tape")
    at = int(tape.rows.ts_recv[tape.rows.price == 200_000][0])
    assert max(level.price for level in tape.books_at(at)[0].bids) == 380_000
    assert sum(tape.quality.files[0]["figures"].values()) > 0


def test_fault_F4_a_book_left_crossed_is_counted_and_opens_nothing() -> None:
    build = TapeBuilder(a_table(crossable("a"), crossable("b")))
    for book in (0, 2):
        build.snapshot(0, [(30, 9)], [(40, 9)], book=book)
    build.level(1_000, BID, 55, 9)  # bid 55 over ask 40: YES of one and NO of the other would look cheap
    tape = build.mark(9_000).tape()
    assert tape.quality.figures()["crossed_left"] > 0
    episodes = ak.scan(tape, ak.baskets(tape, kinds=("outcomes",)), edge="gross")
    assert (episodes["end"] <= episodes["start"].min() + 1_000 * one_ms()).all()


def crossable(name: str) -> ak.Market:
    return a_market(name, event="e", outcome=name, payout=1_000_000, exclusive=True, exhaustive=True, void="half")


def one_ms() -> np.timedelta64:
    return np.timedelta64(1, "ms")


# -- F5: a tape that begins or ends in the middle ----------------------------------------------------------------


def test_fault_F5_nothing_is_found_or_filled_before_the_first_snapshot() -> None:
    build = TapeBuilder(a_table(crossable("a"), crossable("b")))
    for at in (0, 1_000, 2_000):  # totals without a book to belong to
        build.level(at, ASK, 40, 9).level(at, ASK, 41, 9, book=2)
    build.snapshot(5_000, [(30, 9)], [(40, 9)]).snapshot(5_000, [(30, 9)], [(41, 9)], book=2)
    tape = build.mark(9_000).tape()
    assert not tape.books_at(ms(4_999))[0].known
    comparison = ak.compare(tape, ak.baskets(tape, kinds=("outcomes",)), edge="gross", strategies=("MARKET",))
    starts = [opportunity.detected_at for opportunity in comparison.raw.opportunities]
    assert starts
    assert min(starts) >= ms(5_000)
    fills = [f.venue_at for cell in comparison.raw.cells for r in cell.results for leg in r.trade.legs
             for order in leg.orders for f in order.fills]  # fmt: skip
    assert fills
    assert min(fills) >= ms(5_000)


def test_fault_F5_a_market_that_resolves_in_the_middle_opens_and_fills_nothing_after_it() -> None:
    build = TapeBuilder(a_table(crossable("a"), crossable("b")))
    for book in (0, 2):
        build.snapshot(0, [(30, 9)], [(60, 9)], book=book)
    build.resolution(3_000, 100).resolution(3_000, 0, book=2)
    for at in (4_000, 5_000):  # what is left over in the books of a market that is decided
        build.level(at, ASK, 20, 9).level(at, ASK, 21, 9, book=2)
    tape = build.mark(9_000).tape()
    baskets = ak.baskets(tape, kinds=("outcomes",))
    assert ak.scan(tape, baskets, edge="gross", min_edge=-0.9)["end"].max().value <= ms(3_000)
    assert ak.scan(tape.slice(ms(3_500), ms(9_000)), baskets, edge="gross", min_edge=-0.9).empty


def test_fault_F5_a_resolution_stands_where_the_market_ended_and_pays_what_it_paid(tmp_path: Path) -> None:
    kit.write(tmp_path / "kit", kit_rows(), [kit.market(end=20_000)])
    tape = imported([tmp_path / "kit" / name for name in ("books.parquet", "markets.parquet")], tmp_path / "tape")
    ends = tape.rows.cut((tape.rows.meta & m.KIND_MASK) == m.KIND_RESOLUTION)
    assert ends.ts_recv.tolist() == [kit.ns(20_000)] * 2
    assert ends.price.tolist() == [0, 1_000_000]


# -- F6: another schema ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", ["event_type", "size", "best_ask"])
def test_fault_F6_a_renamed_column_is_refused_with_what_was_looked_for(tmp_path: Path, old: str) -> None:
    path = text_file(tmp_path / "x.csv", [HEADER.replace(old, "qty"), *kalshi_rows()])
    said = refused([path], tmp_path / "tape")
    assert f"{path}: not a recording that is known here; looked for" in said
    assert HEADER in said


@every_parquet
def test_fault_F6_a_parquet_file_without_a_column_is_refused(write: Written, tmp_path: Path) -> None:
    files = write(tmp_path)
    table = pq.read_table(files[0])
    pq.write_table(table.rename_columns([f"{name}_v2" for name in table.column_names]), files[0])
    assert "not a recording that is known here; looked for" in refused(files, tmp_path / "tape")


@pytest.mark.parametrize(("column", "kind"), [("ts", pa.string()), ("bid_px", pa.string()), ("ask_sz", pa.float64())])
def test_fault_F6_a_column_of_another_type_is_refused_by_file(tmp_path: Path, column: str, kind: pa.DataType) -> None:
    files = kit_files(tmp_path)
    table = pq.read_table(files[0])
    other = pa.array(["x" if kind == pa.string() else 0.5] * len(table), kind)
    pq.write_table(table.set_column(table.column_names.index(column), column, other), files[0])
    said = refused(files, tmp_path / "tape")
    assert str(files[0]) in said
    assert column != "ts" or "column `ts` is no column of stamps: string" in said


def test_fault_F6_a_token_that_nobody_listed_is_a_market_of_which_nothing_is_known(tmp_path: Path) -> None:
    rows = [("yes" if row[1] == "yes" else "renamed", *row[2:]) for row in tickscope_rows()]
    path = tickscope.written(
        tmp_path / "t.parquet", [(old[0], *new) for old, new in zip(tickscope_rows(), rows, strict=True)]
    )
    fields = "event outcome payout exclusive exhaustive void tick lot min_size fee_rule start close resolution"
    lines = ["[[market]]", 'venue = "polymarket"', 'id = "M"', *(f'{name} = "unknown"' for name in fields.split())]
    text_file(tmp_path / "markets.toml", [*lines, 'source = { yes = "yes", no = "no" }'])
    report = import_recording(path, tmp_path / "tape", tmp_path / "markets.toml")
    assert "not in markets.toml, imported as unknown: renamed (1)" in report.quality.notes
    with pytest.raises(DataError, match="is unknown"):
        ak.baskets(read_tape(tmp_path / "tape"), kinds=("complement",))


def test_fault_F6_a_tape_of_another_version_is_refused(tmp_path: Path) -> None:
    TapeBuilder().snapshot(0, [(40, 1)]).tape().write(tmp_path / "tape")
    document = json.loads((tmp_path / "tape" / "tape.json").read_text())
    (tmp_path / "tape" / "tape.json").write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(DataError, match=r"field `schema_version`: 99, but this arbkit reads 1"):
        read_tape(tmp_path / "tape")


# -- F7: files that are meant to hurt ----------------------------------------------------------------------------


@pytest.mark.no_cover
def test_fault_F7_a_gzip_that_unpacks_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "HARMLESS_BYTES", 1 << 16)
    row = kalshi.change(0.1, "0.39", "BUY", 1, "0.4", "0.42")
    path = text_file(tmp_path / "k.csv.gz", [HEADER, *kalshi.OPENING, *[row] * 100_000])
    assert path.stat().st_size * 200 < 100_000 * len(row)
    assert "holds over 200 times its size: no recording" in refused([path], tmp_path / "tape")


def test_fault_F7_a_parquet_file_that_claims_more_rows_than_it_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "HARMLESS_ROWS", 0)
    one = pq.read_table(tickscope.written(tmp_path / "t.parquet", tickscope_rows(1)))[:1]
    columns = {name: pa.repeat(one.column(name)[0].cast(kind), 3_000_000) for name, kind in plain(one)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=3_000_000)
    assert "claims 3000000 rows in" in refused([tmp_path / "t.parquet"], tmp_path / "tape")


def plain(table: pa.Table) -> Iterator[tuple[str, pa.DataType]]:
    for field in table.schema:
        yield field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type


@pytest.mark.no_cover
@pytest.mark.parametrize(("write", "small"), [(polymarket_rows, 1_500), (tickscope_rows, 750)])
def test_fault_F7_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[int], list[object]], small: int
) -> None:
    for module, name, size in (
        *((base, "BATCH_ROWS", 200), (parquet, "BATCH_ROWS", 200), (proven, "REMEMBERED", 50)),
        *((tape_module, "PIECE", 200), (store, "PIECE", 200)),
    ):
        monkeypatch.setattr(module, name, size)
    peaks = []
    for count in (small, small, 4 * small):  # the first run pays for what is imported and cached
        path = tmp_path / f"{len(peaks)}.{'csv' if write is polymarket_rows else 'parquet'}"
        if write is polymarket_rows:
            text_file(path, [HEADER, *polymarket_rows(count)])
        else:
            tickscope.written(path, tickscope_rows(count))
        tracemalloc.start()
        import_recording(path, tmp_path / f"tape{len(peaks)}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.3 * peaks[1], peaks


@pytest.mark.no_cover
def test_fault_F7_nothing_that_reads_files_can_unpickle_or_run_what_is_in_them(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(pickle.dumps({"rows": 1}))
    assert "not a recording that is known here" in refused([path], tmp_path / "tape")
    banned = {"pickle", "marshal", "shelve", "dill", "joblib", "eval", "exec", "read_pickle", "allow_pickle"}
    for source in (ROOT / "arbkit").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = {getattr(node, key, None) for key in ("id", "attr", "arg", "module", "name") if key in node._fields}
            assert not names & banned, f"{source}: line {getattr(node, 'lineno', 0)}: {names & banned}"


def test_fault_F7_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (outside,) = kalshi_file(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "k.csv").symlink_to(outside)
    said = refused([tmp_path / "data"], tmp_path / "tape")
    assert "leads out of its folder" in said
    assert str(outside) in said
    assert len(imported([tmp_path / "data" / "k.csv"], tmp_path / "tape"))  # named by a person: it is meant
    (tmp_path / "tape" / "replay.arrow").rename(tmp_path / "moved")
    (tmp_path / "tape" / "replay.arrow").symlink_to(tmp_path / "moved")
    with pytest.raises(DataError, match="leads out of its folder"):
        read_tape(tmp_path / "tape")


def test_fault_F7_a_pipe_or_a_folder_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "cannot be read: not a file" in refused([tmp_path / "pipe.csv"], tmp_path / "tape")


@pytest.mark.parametrize(
    ("field", "value"),
    [("rows", "x"), ("rows", -1), ("rows", True), ("lag_max", [1, "x"]), ("lag_max", [1 << 70]), ("lag_max", []),
     ("pairs", [[7, 8, "same"]]), ("recorded", [None]), ("quality", []), ("quality", {"measures": []}), ("clocks", 3)],
)  # fmt: skip
def test_fault_F7_a_tape_that_was_edited_is_refused_not_believed(tmp_path: Path, field: str, value: object) -> None:
    TapeBuilder().snapshot(0, [(40, 1)]).tape().write(tmp_path / "tape")
    document = json.loads((tmp_path / "tape" / "tape.json").read_text())
    (tmp_path / "tape" / "tape.json").write_text(json.dumps({**document, field: value}))
    with pytest.raises(DataError):
        read_tape(tmp_path / "tape", verify=False)


@pytest.mark.parametrize("damage", ["cut", "bit", "token", "gone", "again"])
def test_fault_F7_a_tape_with_damaged_bytes_is_refused_or_whole(tmp_path: Path, damage: str) -> None:
    build = TapeBuilder().snapshot(0, [(40, 5), (39, 7)], [(42, 6)])
    for i in range(1, 60):
        build.level(i * 10, BID, 30 + i % 9, i % 5)
    whole = build.tape()
    whole.write(tmp_path / "tape")
    names = [p.relative_to(tmp_path / "tape") for p in sorted((tmp_path / "tape").rglob("*")) if p.is_file()]
    draw = random.Random(damage)
    for turn in range(25):
        folder = shutil.copytree(tmp_path / "tape", tmp_path / f"{turn}")
        victim = folder / draw.choice(names)
        victim.write_bytes(damaged(victim.read_bytes(), damage, draw))
        if turn % 3 == 0:
            (folder / "replay.arrow").unlink()
        try:
            back = read_tape(folder)
        except DataError as error:
            said = str(error)
        else:
            assert back.digest == whole.digest
            assert all((a == b).all() for a, b in zip(back.rows, whole.rows, strict=True))
            continue
        assert str(folder) in said, said


# -- F8: the same rows another way -------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("rows", [1, 7, 1_000])
def test_fault_F8_pieces_of_any_size_give_the_same_tape(
    write: Written, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path)
    whole = imported(files, tmp_path / "whole")
    for module in (base, parquet):
        monkeypatch.setattr(module, "BATCH_ROWS", rows)
    pieces = imported(files, tmp_path / "pieces")
    assert pieces.digest == whole.digest
    assert pieces.quality == whole.quality


@every_parquet
def test_fault_F8_row_groups_and_encodings_of_any_kind_give_the_same_tape(write: Written, tmp_path: Path) -> None:
    files = write(tmp_path)
    digest = imported(files, tmp_path / "whole").digest
    for options in ({"row_group_size": 11, "compression": "zstd"}, {"use_dictionary": False, "compression": "none"}):
        for file in files:
            pq.write_table(pq.read_table(file), file, **options)
        assert imported(files, tmp_path / "again").digest == digest


@every_text
def test_fault_F8_packed_or_plain_is_the_same_tape(write: Written, tmp_path: Path) -> None:
    (path,) = write(tmp_path)
    digest = imported([path], tmp_path / "plain").digest
    (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    assert imported([tmp_path / f"{path.name}.gz"], tmp_path / "packed").digest == digest


def test_fault_F8_files_in_any_order_give_the_same_tape(tmp_path: Path) -> None:
    files = []
    for i, name in enumerate("abc"):
        changes = [kalshi.change(0.1 + (3 * at + i) / 100, "0.39", "BUY", 1, "0.4", "0.42") for at in range(LENGTH)]
        files.append(text_file(tmp_path / f"{name}.csv", [HEADER, *kalshi.OPENING, *changes]))
    digests = {imported(files[i:] + files[:i], tmp_path / f"{i}").digest for i in range(3)}
    digests.add(imported(files[::-1], tmp_path / "back").digest)
    (tmp_path / "folder").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "folder")
    digests.add(imported([tmp_path / "folder"], tmp_path / "tape").digest)
    assert len(digests) == 1


def test_fault_F8_one_file_or_one_for_each_market_is_the_same_tape(tmp_path: Path) -> None:
    markets = [kit.market("0x1", LENGTH * 100), kit.market("0x2", LENGTH * 100)]
    rows = {key: [(key, row[1] + shift, *row[2:]) for row in kit_rows()] for key, shift in (("0x1", 0), ("0x2", 50))}
    kit.write(tmp_path / "one", [*rows["0x1"], *rows["0x2"]], markets)
    kit.write(tmp_path / "two", rows["0x1"], markets)
    kit.write(tmp_path / "three", rows["0x2"], markets)
    (tmp_path / "two" / "books.parquet").rename(tmp_path / "two" / "books_1.parquet")
    (tmp_path / "three" / "books.parquet").rename(tmp_path / "two" / "books_2.parquet")
    one, two = imported([tmp_path / "one"], tmp_path / "tape1"), imported([tmp_path / "two"], tmp_path / "tape2")
    assert one.digest == two.digest


def test_fault_F8_what_is_found_on_a_tape_does_not_depend_on_how_it_was_stored(tmp_path: Path) -> None:
    tape = TapeBuilder(a_table(crossable("a"), crossable("b")))
    tape.snapshot(0, [(30, 9)], [(40, 9)]).snapshot(0, [(30, 9)], [(41, 9)], book=2).mark(9_000)
    tape.tape().write(tmp_path / "tape")
    found = []
    for drop in (None, "replay.arrow", "ladders.parquet"):
        if drop is not None:
            (tmp_path / "tape" / drop).unlink()
        back = read_tape(tmp_path / "tape")
        found.append(ak.scan(back, ak.baskets(back, kinds=("outcomes",)), edge="gross").to_json(date_format="iso"))
    assert len(set(found)) == 1
    assert "outcomes" in found[0]
