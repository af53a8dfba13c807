"""Whole books and trades in JSON lists, a file per token, both clocks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.history.importers import base, import_recording, l2_collector
from arbkit.history.importers.base import Source, json_list
from arbkit.history.quality import FileLog
from arbkit.history.tape import Tape, read_tape

START = 1_765_450_800_000  # ms


def ns(ms: int) -> int:
    return (START + ms) * 1_000_000


def stamps(ms: int, late: int = 120) -> dict[str, str]:
    return {"local_timestamp": str(START + ms), "timestamp": str(START + ms - late)}


def book(ms: int, bids: dict[str, str], asks: dict[str, str], late: int = 120) -> dict[str, Any]:
    sides = {
        name: [{"price": price, "size": size} for price, size in levels.items()]
        for name, levels in (("bids", bids), ("asks", asks))
    }
    return {**sides, **stamps(ms, late), "asset_price": 130.8}


def trade(ms: int, price: str, size: str, side: str, late: int = 120) -> dict[str, Any]:
    return {"price": price, "size": size, "side": side, **stamps(ms, late), "asset_price": 130.8}


def imported(tmp_path: Path, **files: Sequence[Any]) -> Tape:
    """Files by what and token, like `orderbooks_up=[...]`."""
    for name, entries in files.items():
        what, token = name.split("_")
        (tmp_path / f"15m_sol_{what}_1765450800{token}.json").write_text(json.dumps(entries, indent=4))
    import_recording(sorted(tmp_path.glob("*.json")), tmp_path / "tape")
    return read_tape(tmp_path / "tape")


UP = book(0, {"0.39": "5", "0.40": "100.5"}, {"0.60": "1", "0.42": "7"})
DOWN = book(3, {"0.58": "7"}, {"0.60": "100.5"})


def test_books_of_both_tokens_are_those_of_one_market_with_both_clocks(tmp_path: Path) -> None:
    tape = imported(tmp_path, orderbooks_up=[UP], orderbooks_down=[DOWN])
    assert [market.id for market in tape.markets.markets] == ["15m_sol_1765450800"]
    state = tape.books_at(ns(3))
    assert state[0].bids == (Level(400_000, 100_500_000), Level(390_000, 5_000_000))
    assert state[0].asks[0] == Level(420_000, 7_000_000)
    assert state[1].bids == (Level(580_000, 7_000_000),)
    assert tape.clocks == "both"
    assert set((tape.rows.ts_recv - tape.rows.ts_venue).tolist()) == {120_000_000}


def test_the_next_book_is_written_as_its_difference(tmp_path: Path) -> None:
    tape = imported(tmp_path, orderbooks_up=[UP, UP | {"bids": [{"price": "0.40", "size": "99"}]} | stamps(5)])
    last = tape.rows.ts_recv == ns(5)
    assert tape.rows.price[last].tolist() == [390_000, 400_000]
    assert tape.rows.size[last].tolist() == [0, 99_000_000]


def test_trades_are_prints_and_those_of_down_stand_on_the_up_book(tmp_path: Path) -> None:
    tape = imported(tmp_path, trades_up=[trade(1, "0.42", "2", "buy")], trades_down=[trade(2, "0.6", "3", "buy")])
    assert tape.rows.book.tolist() == [0, 0]
    assert tape.rows.price.tolist() == [420_000, 400_000]
    assert ((tape.rows.meta & m.SIDE_MASK) >> m.SIDE_SHIFT).tolist() == [m.BUYER, m.SELLER]


def test_equal_trades_are_all_kept_and_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, trades_up=[trade(1, "0.42", "2", "sell")] * 3)
    assert len(tape) == 3
    assert tape.quality.files[0]["figures"] == {l2_collector.EQUAL: 2}


def test_a_crossed_book_is_a_gap_and_receipts_that_step_back_are_counted(tmp_path: Path) -> None:
    crossed = book(5, {"0.43": "1"}, {"0.42": "1"})
    tape = imported(tmp_path, orderbooks_up=[UP, crossed, UP | stamps(4)])
    assert (tape.quality.measures.gaps, tape.quality.total("backward")) == (1, 1)
    assert tape.books_at(ns(5))[0].known  # received in this order, whatever the stamp


def test_unusable_entries_are_refused_with_their_number(tmp_path: Path) -> None:
    good = [trade(i, "0.42", "2", "buy") for i in range(1_300)]
    bad: list[Any] = [
        7, trade(1, "0.42", "2", "hold"), trade(1, "1.0", "2", "buy"), trade(1, "0.42", "0", "buy"),
        trade(1, "0.42", "x", "buy"), trade(1, "0.42", "2", "buy") | {"timestamp": "0"},
        trade(1, "0.42", "2", "buy") | {"local_timestamp": "1765450800"},
    ]  # fmt: skip
    quality = imported(tmp_path, trades_up=[*good, *bad]).quality
    assert (quality.rows_read, quality.refused) == (1_307, 7)
    assert [r.line for r in quality.refusals] == list(range(1_301, 1_308))
    said = [r.reason.split(":")[0] for r in quality.refusals]
    assert said == ["entry", "side", "trade", "size", "trade", "timestamp", "local_timestamp"]


def test_unusable_books_are_refused_with_the_field(tmp_path: Path) -> None:
    good = [UP | stamps(i) for i in range(500)]
    bad: list[Any] = [UP | {"bids": None}, UP | {"asks": [3]}, UP | {"bids": [{"price": "0.4", "size": "1"}] * 2}]
    quality = imported(tmp_path, orderbooks_up=[*good, *bad]).quality
    assert [r.reason.split(":")[0] for r in quality.refusals] == ["bids", "asks", "bids"]


# -- lists of JSON -------------------------------------------------------------------------------------------


def entries(path: Path) -> tuple[list[dict[str, Any]], FileLog]:
    log = FileLog(path.name)
    return [entry for _, entry in json_list(Source.at(path), log)], log


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), max_size=3), max_size=8),
    st.sampled_from([None, 1, 4]), st.integers(1, 40),
)  # fmt: skip
def test_a_list_is_read_object_by_object_however_it_is_written_and_cut(
    tmp_path_factory: pytest.TempPathFactory, told: list[dict[str, Any]], indent: int | None, piece: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "list.json"
    path.write_text(" " + json.dumps(told, indent=indent, ensure_ascii=False), encoding="utf-8")
    before = base.PIECE_BYTES
    base.PIECE_BYTES = piece
    try:
        assert entries(path)[0] == told
    finally:
        base.PIECE_BYTES = before


def test_a_list_that_is_cut_off_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"a": 1}, {"b": 2}])[:-4])
    found, log = entries(path)
    assert found == [{"a": 1}]
    assert log.notes == ["the list does not end after entry 1: the file may be cut off there"]


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"a": 1}', "does not begin as a JSON list"), ("[", "holds no JSON list"), ("[nonsense", "holds no JSON list")],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(DataError, match=why):
        entries(tmp_path / "list.json")


def test_an_entry_longer_than_any_recording_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[{"a": "' + "x" * (3 << 20))
    with pytest.raises(DataError, match="entry 1 is longer"):
        entries(tmp_path / "list.json")


def test_text_that_is_no_utf8_and_a_bomb_are_refused(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(DataError, match="not UTF-8"):
        entries(tmp_path / "list.json")
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b"[" + b" " * (80 << 20)))
    with pytest.raises(DataError, match="times its size"):
        entries(tmp_path / "bomb.json.gz")


@pytest.mark.real_data
def test_the_recordings_have_their_measured_figures(real_data: Path, tmp_path: Path) -> None:
    report = import_recording(real_data / "l2-collector", tmp_path / "tape")
    quality = report.quality
    assert (quality.rows_read, quality.refused, report.markets) == (496 + 4_747, 0, 4)
    assert (quality.measures.prints, quality.measures.crossed, quality.total("backward")) == (4_747, 0, 0)
    assert sum(entry["figures"].get(l2_collector.EQUAL, 0) for entry in quality.files) == 8
    tape = read_tape(tmp_path / "tape")
    lag = (tape.rows.ts_recv - tape.rows.ts_venue) // 1_000_000
    assert (int(lag.min()), int(lag.max())) == (123, 8_688)
    assert set(report.formats.values()) == {"l2_collector"}
