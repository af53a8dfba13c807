"""Hours of a whole market channel: sorted by token, whole books and changes, both clocks, hours that are missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.history.importers import hours, import_recording, pmxt
from arbkit.history.tape import Tape, read_tape

HOUR = 1_780_000_000_000 // 3_600_000 * 3_600_000  # ms; the start of an hour
MARKET = b"0x" + b"ab" * 32
Row = dict[str, Any]


def ns(ms: int) -> int:
    return (HOUR + ms) * 1_000_000


def stem(hours: int = 0) -> str:
    return f"polymarket_orderbook_{np.datetime64(HOUR + hours * 3_600_000, 'ms').astype('datetime64[h]')}"


def whole(ms: int, bids: dict[str, str], asks: dict[str, str], token: str = "yes", late: int = 20, **other: Any) -> Row:
    sides = {
        name: json.dumps([{"price": price, "size": size} for price, size in levels.items()])
        for name, levels in (("bids", bids), ("asks", asks))
    }
    return {"at": ms, "late": late, "event_type": "book", "asset_id": token, **sides, **other}


def change(
    ms: int, side: str, price: str, size: str, bid: str | None, ask: str | None, token: str = "yes", late: int = 20
) -> Row:
    return {
        "at": ms, "late": late, "event_type": "price_change", "asset_id": token, "side": side, "price": price,
        "size": size, "best_bid": bid, "best_ask": ask,
    }  # fmt: skip


def trade(ms: int, side: str, price: str, size: str, token: str = "yes", late: int = 20) -> Row:
    return {"at": ms, "late": late, "event_type": "last_trade_price", "asset_id": token, "side": side, "price": price,
            "size": size}  # fmt: skip


def tick(ms: int, token: str = "yes") -> Row:
    return {"at": ms, "late": 20, "event_type": "tick_size_change", "asset_id": token}


def written(path: Path, rows: Sequence[Row]) -> Path:
    """As the archive has it: by market, token and receipt; decimals of four and six places."""
    rows = sorted(rows, key=lambda row: (row["asset_id"] or "", row["at"] or 0))

    def decimals(name: str, precision: int, scale: int) -> pa.Array:
        values = [None if row.get(name) is None else Decimal(row[name]) for row in rows]
        return pa.array(values, pa.decimal128(precision, scale))

    stamp = pa.timestamp("ms", tz="UTC")
    columns = {
        "timestamp_received": pa.array([None if r["at"] is None else HOUR + r["at"] for r in rows], stamp),
        "timestamp": pa.array([None if r["at"] is None else HOUR + r["at"] - r["late"] for r in rows], stamp),
        "market": pa.array([MARKET] * len(rows), pa.binary(66)),
        **{
            name: pa.array([row.get(name) for row in rows], pa.string())
            for name in ("event_type", "asset_id", "bids", "asks", "side")
        },
        "price": decimals("price", 9, 4),
        "size": decimals("size", 18, 6),
        "best_bid": decimals("best_bid", 9, 4),
        "best_ask": decimals("best_ask", 9, 4),
        "fee_rate_bps": pa.nulls(len(rows), pa.uint16()),
        "transaction_hash": pa.nulls(len(rows), pa.string()),
        "old_tick_size": pa.nulls(len(rows), pa.decimal128(9, 4)),
        "new_tick_size": pa.nulls(len(rows), pa.decimal128(9, 4)),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def imported(tmp_path: Path, *told: Sequence[Row], at: Sequence[int] = (0, 1, 2)) -> Tape:
    files = [written(tmp_path / f"{stem(hour)}.parquet", rows) for hour, rows in zip(at, told, strict=False)]
    fields = "event outcome payout exclusive exhaustive void tick lot min_size fee_rule start close resolution"
    lines = ["[[market]]", 'venue = "polymarket"', 'id = "M"', *(f'{name} = "unknown"' for name in fields.split())]
    (tmp_path / "markets.toml").write_text("\n".join([*lines, 'source = { yes = "yes", no = "no" }', ""]))
    import_recording(files, tmp_path / "tape", tmp_path / "markets.toml")
    return read_tape(tmp_path / "tape")


def kinds(tape: Tape) -> list[int]:
    return (tape.rows.meta & m.KIND_MASK).tolist()


def figures(tape: Tape) -> dict[str, float]:
    return tape.quality.files[0]["figures"]


BOOK = whole(0, {"0.40": "100", "0.39": "50"}, {"0.42": "7.5"})


def test_a_file_sorted_by_token_becomes_rows_in_order_of_receipt(tmp_path: Path) -> None:
    rows = [BOOK, whole(1, {"0.58": "7.5"}, {"0.60": "100", "0.61": "50"}, "no")]
    rows += [change(5 + i, "BUY", "0.40", str(90 - i), "0.40", "0.42") for i in range(3)]
    rows += [change(6 + i, "SELL", "0.60", str(80 - i), "0.58", "0.60", "no") for i in range(3)]
    tape = imported(tmp_path, rows)
    assert tape.clocks == "both"
    assert (np.diff(tape.rows.ts_recv) >= 0).all()
    assert set((tape.rows.ts_recv - tape.rows.ts_venue).tolist()) == {20_000_000}
    assert tape.books_at(ns(6))[0].bids == (Level(400_000, 89_000_000), Level(390_000, 50_000_000))
    assert tape.books_at(ns(6))[1].asks == (Level(600_000, 80_000_000), Level(610_000, 50_000_000))


def test_changes_of_both_tokens_at_one_receipt_are_one_message(tmp_path: Path) -> None:
    rows = [BOOK, whole(1, {"0.58": "7.5"}, {"0.60": "100", "0.61": "50"}, "no")]
    rows += [change(5, "BUY", "0.40", "90", "0.40", "0.42"), change(5, "SELL", "0.60", "90", "0.58", "0.60", "no")]
    tape = imported(tmp_path, rows)
    both = np.flatnonzero(tape.rows.ts_recv == ns(5))
    assert tape.rows.book[both].tolist() == [1, 0]  # as the file has them, by token
    assert [bool(code & m.LAST) for code in tape.rows.meta[both].tolist()] == [False, True]


def test_a_later_whole_book_is_written_as_its_difference_and_puts_right_what_was_lost(tmp_path: Path) -> None:
    rows = [
        BOOK,
        whole(9, {"0.40": "100", "0.38": "5"}, {"0.42": "7.5"}),
        whole(12, {"0.40": "100", "0.38": "5"}, {"0.42": "7.5"}),
    ]
    tape = imported(tmp_path, rows)
    assert kinds(tape) == [m.KIND_CLEAR, *[m.KIND_LEVEL] * 3, *[m.KIND_LEVEL] * 2, m.KIND_MARK]
    assert figures(tape) == {"levels that a whole book put right": 2}
    assert tape.books_at(ns(9))[0].bids == (Level(400_000, 100_000_000), Level(380_000, 5_000_000))


def test_a_whole_book_between_changes_of_one_receipt_stands_where_the_file_has_it(tmp_path: Path) -> None:
    rows = [
        BOOK, change(5, "BUY", "0.41", "3", "0.41", "0.42"), whole(5, {"0.40": "1"}, {"0.42": "2"}),
        change(5, "BUY", "0.41", "4", "0.41", "0.42"),
    ]  # fmt: skip
    tape = imported(tmp_path, rows)
    assert tape.books_at(ns(5))[0].bids == (Level(410_000, 4_000_000), Level(400_000, 1_000_000))


def test_a_crossed_whole_book_is_a_gap_until_the_next_one(tmp_path: Path) -> None:
    crossed = whole(5, {"0.43": "1"}, {"0.42": "1"})
    tape = imported(tmp_path, [BOOK, crossed, whole(9, {"0.40": "1"}, {"0.42": "1"})])
    assert not tape.books_at(ns(5))[0].known
    assert tape.books_at(ns(9))[0].known
    assert figures(tape)["whole books that are locked or crossed"] == 1


def test_a_printed_best_removes_a_level_whose_removal_was_lost(tmp_path: Path) -> None:
    tape = imported(tmp_path, [BOOK, change(5, "SELL", "0.43", "9", "0.39", "0.42")])
    assert tape.books_at(ns(5))[0].bids == (Level(390_000, 50_000_000),)


def test_trades_are_prints_and_those_of_no_stand_on_the_yes_book(tmp_path: Path) -> None:
    rows = [BOOK, trade(5, "BUY", "0.42", "2.5"), trade(6, "BUY", "0.60", "3", "no")]
    tape = imported(tmp_path, rows)
    at = [i for i, kind in enumerate(kinds(tape)) if kind == m.KIND_PRINT]
    assert tape.rows.book[at].tolist() == [0, 0]
    assert tape.rows.price[at].tolist() == [420_000, 400_000]
    assert ((tape.rows.meta[at] & m.SIDE_MASK) >> m.SIDE_SHIFT).tolist() == [m.BUYER, m.SELLER]


def test_after_a_missing_hour_every_book_is_unknown_until_it_is_told_anew(tmp_path: Path) -> None:
    later = 2 * 3_600_000
    tape = imported(tmp_path, [BOOK], [whole(later + 9, {"0.3": "1"}, {"0.5": "1"})], at=(0, 2))
    end = ns(3_600_000)
    assert tape.books_at(end - 1)[0].known
    assert not tape.books_at(end)[0].known
    assert not tape.books_at(ns(later + 8))[0].known
    assert tape.books_at(ns(later + 9))[0].bids == (Level(300_000, 1_000_000),)
    assert tape.quality.measures.gaps == 1
    assert tape.quality.files[1]["figures"][hours.MISSING] == 1
    assert "no file of the hour before" in tape.quality.files[1]["notes"][0]


def test_no_change_is_applied_across_a_missing_hour(tmp_path: Path) -> None:
    later = 2 * 3_600_000
    tape = imported(tmp_path, [BOOK], [change(later, "BUY", "0.30", "5", "0.30", "0.42")], at=(0, 2))
    state = tape.books_at(ns(later))[0]
    assert state.bids == (Level(300_000, 5_000_000),)
    assert state.asks == (Level(420_000, 10_000, exact=False),)  # it is told that it stands, not how much


def test_an_hour_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Told again, its totals would stand at the last stamp of the first telling."""
    rows = [whole(0, {"0.40": "10"}, {"0.60": "10"}), change(100_000, "BUY", "0.42", "7", "0.42", "0.60")]
    files = [written(tmp_path / f"{name}{stem()}.parquet", rows) for name in ("", "copy_of_")]
    with pytest.raises(DataError, match="another file is of the same hour, 2026-05-28T20:00:00 UTC"):
        import_recording(files, tmp_path / "tape")
    files[1] = files[1].rename(tmp_path / f"{stem()} (1).parquet")  # as a browser calls it: its name tells no hour
    with pytest.raises(DataError, match="a stamp lies 100 s before the one above it"):
        import_recording(files, tmp_path / "tape")


def unnamed(tmp_path: Path, **files: Sequence[Row]) -> Tape:
    """Files whose names tell no hour."""
    found = [written(tmp_path / f"{name}.parquet", rows) for name, rows in files.items()]
    import_recording(found, tmp_path / "tape")
    return read_tape(tmp_path / "tape")


H = 3_600_000  # ms
LATER = change(2 * H, "BUY", "0.30", "5", "0.30", "0.42")


@pytest.mark.parametrize(
    "names", [("a", "b"), (stem() + "-part1", stem(2) + "-part1"), (stem(), "later"), ("a", stem(2))]
)
def test_an_hour_that_no_file_covers_is_a_gap_whatever_the_files_are_called(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    rows = [BOOK, change(5, "BUY", "0.40", "90", "0.40", "0.42")]
    tape = unnamed(tmp_path, **dict(zip(names, (rows, [LATER]), strict=True)))
    assert tape.quality.measures.gaps == 1
    assert tape.books_at(ns(5))[0].known
    assert not tape.books_at(ns(2 * H - 1))[0].known
    assert tape.books_at(ns(2 * H))[0].bids == (Level(300_000, 5_000_000),)
    after = next(entry for entry in tape.quality.files if entry["file"] == f"{names[1]}.parquet")
    assert after["figures"] == {hours.MISSING: 1}
    assert "every book is unknown from 2026-05-28T2" in after["notes"][0]


@pytest.mark.parametrize("pause", [1, H - 1])
def test_less_than_an_hour_between_files_whose_names_tell_none_is_no_gap(tmp_path: Path, pause: int) -> None:
    tape = unnamed(tmp_path, a=[BOOK], b=[change(pause, "BUY", "0.40", "9", "0.40", "0.42")])
    assert tape.quality.measures.gaps == 0
    assert hours.MISSING not in tape.quality.files[1]["figures"]


def test_an_hour_without_a_row_is_a_quiet_hour_and_not_a_missing_one(tmp_path: Path) -> None:
    tape = imported(tmp_path, [BOOK], [], [change(2 * H, "BUY", "0.40", "9", "0.40", "0.42")])
    assert tape.quality.measures.gaps == 0
    assert tape.books_at(ns(2 * H))[0].bids == (Level(400_000, 9_000_000), Level(390_000, 50_000_000))
    assert [entry["notes"] for entry in tape.quality.files] == [[], ["holds no row: a quiet hour"], []]


def test_a_file_without_a_row_whose_name_tells_no_hour_covers_nothing(tmp_path: Path) -> None:
    tape = unnamed(tmp_path, a=[BOOK], b=[], c=[LATER])
    assert tape.quality.measures.gaps == 1
    assert ["holds no row"] in [entry["notes"] for entry in tape.quality.files]


def test_hours_of_which_none_has_a_row_are_no_recording(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"T20\.parquet, .*T21\.parquet: not one usable row"):
        imported(tmp_path, [], [])


def test_a_file_whose_rows_are_of_another_hour_than_its_name_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"T22\.parquet: its name says the hour from 2026-05-28T22:00:00 UTC, and 1 of 1 "
    ):
        imported(tmp_path, [BOOK], at=(2,))


def test_single_rows_outside_the_hour_of_the_name_are_noted_with_it(tmp_path: Path) -> None:
    rows = [BOOK, change(5, "BUY", "0.40", "9", "0.40", "0.42"), change(H, "BUY", "0.40", "8", "0.40", "0.42")]
    tape = imported(tmp_path, rows)
    assert figures(tape) == {hours.OUTSIDE: 1}
    assert "its name says the hour from 2026-05-28T20:00:00 UTC, and 1 of 3 rows" in tape.quality.files[0]["notes"][0]


@pytest.mark.parametrize("name", ["p_2026-03-01T25", "p_2026-13-01T05", "p_2026-02-30T05"])
def test_a_name_that_ends_in_an_hour_that_cannot_be_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}.parquet: its name ends in an hour that cannot be"):
        unnamed(tmp_path, **{name: [BOOK]})


def test_hours_that_follow_each_other_leave_no_gap_whatever_the_order_they_are_given_in(tmp_path: Path) -> None:
    tape = imported(tmp_path, [change(3_600_000, "BUY", "0.40", "90", "0.40", "0.42")], [BOOK], at=(1, 0))
    assert tape.quality.measures.gaps == 0
    assert tape.books_at(ns(3_600_000))[0].bids[0] == Level(400_000, 90_000_000)


def test_changes_of_the_tick_are_counted_and_make_no_row(tmp_path: Path) -> None:
    tape = imported(tmp_path, [BOOK, tick(5)])
    assert len(tape) == 4
    assert figures(tape) == {pmxt.TICKS: 1}


def test_stamps_that_step_back_within_a_token_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / f"{stem()}.parquet", [BOOK, change(5, "BUY", "0.40", "9", "0.40", "0.42")])
    pq.write_table(pq.read_table(path).take([1, 0]), path)
    report = import_recording(path, tmp_path / "tape")
    assert (report.quality.total("backward"), report.quality.files[0]["backward_max_ns"]) == (1, 5_000_000)
    state = read_tape(tmp_path / "tape").books_at(ns(5))[0]
    assert state.bids[0] == Level(400_000, 9_000_000)


def test_levels_may_be_pairs_and_the_tokens_that_nothing_pairs_are_markets_of_their_own(tmp_path: Path) -> None:
    pairs = BOOK | {"bids": '[["0.40","100"],["0.39","0"]]', "asks": "[]"}
    report = import_recording(
        written(tmp_path / f"{stem()}.parquet", [pairs, BOOK | {"asset_id": "no"}]), tmp_path / "tape"
    )
    tape = read_tape(tmp_path / "tape")
    assert report.formats == {f"{stem()}.parquet": "pmxt"}
    assert [market.id for market in tape.markets.markets] == ["no", "yes"]
    assert tape.books_at(ns(0))[2].bids == (Level(400_000, 100_000_000),)


def test_unusable_rows_are_refused_with_their_number(tmp_path: Path) -> None:
    good = [change(i, "BUY", "0.40", str(i + 1), "0.40", "0.42", "a") for i in range(1_500)]
    bad: list[Row] = [
        change(1, "BID", "0.40", "1", "0.40", "0.42", "b"),
        change(2, "BUY", "1.00", "1", "0.40", "0.42", "b"),
        change(3, "BUY", "0.40", "-1", "0.40", "0.42", "b"),
        change(4, "BUY", "0.40", "1", "1.40", "0.42", "b"),
        trade(5, "BUY", "0.40", "0", "b"),
        {"at": 6, "late": 0, "event_type": "new_market", "asset_id": "b"},
        change(7, "BUY", "0.40", "1", "0.40", "0.42", "b") | {"price": None},
        whole(8, {}, {}, "b") | {"bids": "[1]"},
        whole(9, {}, {}, "b") | {"asks": None},
        whole(10, {"0.4": "1", "0.40": "2"}, {}, "b"),
        whole(11, {"1.0": "1"}, {}, "b"),
        change(12, "BUY", "0.40", "1", "0.40", "0.42", "b") | {"size": None},
    ]  # fmt: skip
    quality = imported(tmp_path, good + bad).quality
    assert (quality.rows_read, quality.refused) == (1_512, 12)
    assert sorted(refusal.line for refusal in quality.refusals) == list(range(1_501, 1_513))
    said = sorted(refusal.reason.split(":")[0] for refusal in quality.refusals)
    assert said == [
        "asks",
        "best",
        "bids",
        "bids",
        "bids",
        "event_type",
        "price",
        "price",
        "side",
        "size",
        "size",
        "size",
    ]


def test_rows_without_stamp_or_token_are_refused(tmp_path: Path) -> None:
    good = [change(i, "BUY", "0.40", str(i + 1), "0.40", "0.42") for i in range(300)]
    quality = imported(tmp_path, [*good, BOOK | {"at": None}, BOOK | {"asset_id": None}]).quality
    assert sorted(refusal.reason.split(":")[0] for refusal in quality.refusals) == ["asset_id", "timestamp_received"]


@pytest.mark.parametrize(("column", "values"), [("bids", pa.array([["0.4"]])), ("timestamp_received", pa.array(["5"]))])
def test_a_column_of_another_type_is_refused_by_file_and_name(tmp_path: Path, column: str, values: pa.Array) -> None:
    path = written(tmp_path / f"{stem()}.parquet", [BOOK])
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, values), path)
    with pytest.raises(DataError, match=rf"{stem()}\.parquet: column `{column}` is no column of"):
        import_recording(path, tmp_path / "tape")


def test_a_whole_book_that_is_nested_without_end_is_refused_as_a_row(tmp_path: Path) -> None:
    """Whatever Python's own limit is: libraries raise it for the whole process."""
    before = sys.getrecursionlimit()
    deep = {**whole(9, {}, {}), "bids": "[" * 100_000}
    rows = [BOOK, *(change(10 + i, "BUY", "0.40", str(i), "0.40", "0.42") for i in range(1, 200)), deep]
    sys.setrecursionlimit(max(100_000, before))
    try:
        report = imported(tmp_path, rows)
    finally:
        sys.setrecursionlimit(before)
    assert [r.reason for r in report.quality.refusals] == ["bids: not a list of prices and sizes"]


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / f"{stem()}.parquet", [BOOK])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged Parquet"):
        import_recording(path, tmp_path / "tape", format="pmxt")


moves = st.lists(
    st.tuples(
        st.integers(0, 90_000),
        st.sampled_from(["yes", "no"]),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 4),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(moves)
def test_the_books_are_those_of_a_plain_replay_in_order_of_receipt(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, str, str, int, int]]
) -> None:
    """Changes without printed bests, bids below 0.45 and asks above 0.55, against one dictionary per book."""
    rows = [whole(0, {"0.10": "1"}, {"0.90": "1"}, token) for token in ("yes", "no")]
    plain: dict[str, tuple[dict[int, int], dict[int, int]]] = {t: ({100_000: 1}, {900_000: 1}) for t in ("yes", "no")}
    ordered = sorted(told, key=lambda move: (move[0], move[1] != "no"))  # ties as the file has them: by token
    for at, token, side, step, size in ordered:
        price = 40 + step if side == "BUY" else 60 - step
        rows.append(change(at, side, f"0.{price}", str(size), None, None, token))
        levels = plain[token][side == "SELL"]
        levels[price * 10_000] = size
        if not size:
            del levels[price * 10_000]
    tape = imported(tmp_path_factory.mktemp("p"), rows)
    for number, token in enumerate(("yes", "no")):
        state = tape.books_at(ns(100_000))[number]
        assert {x.price: x.size // 1_000_000 for x in state.bids} == plain[token][0]
        assert {x.price: x.size // 1_000_000 for x in state.asks} == plain[token][1]


@pytest.mark.no_cover
def test_an_hour_of_more_books_than_sixteen_bits_count_is_a_tape_of_them_all(tmp_path: Path) -> None:
    tokens = [f"{i:05d}" for i in range(17_000)]  # each a market of its own, and a market is two books
    rows = [whole(i % 900, {"0.40": "5"}, {"0.42": str(i + 1)}, token) for i, token in enumerate(tokens)]
    rows += [change(1_000 + i % 90, "BUY", "0.41", str(i + 1), "0.41", "0.42", token) for i, token in enumerate(tokens)]
    import_recording(written(tmp_path / f"{stem()}.parquet", rows), tmp_path / "tape")
    tape = read_tape(tmp_path / "tape")
    assert tape.rows.book.dtype == np.int32
    states = tape.books_at(ns(2_000))
    assert len(states) == len(tokens)
    for i in (0, 16_383, 16_384, 16_999):
        book = next(book for book in tape.markets.books if book.market.id == tokens[i])
        assert states[book.index].bids[0] == Level(410_000, (i + 1) * 1_000_000)
        assert states[book.index].asks == (Level(420_000, (i + 1) * 1_000_000),)
    begun = tape.slice(ns(950), ns(1_000))
    assert len(begun) == 3 * len(tokens)  # a clear and two levels each
