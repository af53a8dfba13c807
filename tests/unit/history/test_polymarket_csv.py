"""The recorder's Polymarket CSV: totals, opening pairs that give bests only, two files that are one market."""

import gzip
from pathlib import Path

import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.detection.baskets import baskets
from arbkit.history.importers import import_recording, importer
from arbkit.history.importers.base import Source
from arbkit.history.markets import read_markets
from arbkit.history.tape import Tape, read_tape
from tests.unit.history.laws import asks_below_one

MARKETS = Path(__file__).resolve().parents[2] / "data" / "markets"
HEADER = "timestamp,event_type,price,side,size,best_bid,best_ask"
TOML = """
[[market]]
venue = "polymarket"
id = "M"
event = "unknown"
outcome = "unknown"
payout = "1"
exclusive = "unknown"
exhaustive = "unknown"
void = "unknown"
tick = "0.01"
lot = "0.05"
min_size = "5"
fee_rule = "unknown"
start = "unknown"
close = "unknown"
resolution = "unknown"
source = { yes = "a", no = "b" }
"""


def at(second: float) -> str:
    return f"2025-12-08T03:13:{second:09.6f}+00:00"


def ns(second: float) -> int:
    return 1_765_163_580_000_000_000 + round(second * 1000) * 1_000_000


def pair(second: float, bid: tuple[str, str], ask: tuple[str, str]) -> list[str]:
    """The two rows of a snapshot that gives bests only."""
    return [
        f"{at(second)},book,{bid[0]},BUY,{bid[1]},{bid[0]},{ask[0]}",
        f"{at(second)},book,{ask[0]},SELL,{ask[1]},{bid[0]},{ask[0]}",
    ]


OPENING = pair(1, ("0.41", "223.25"), ("0.43", "9.34"))


def imported(tmp_path: Path, files: dict[str, list[str]], markets: str | None = None) -> Tape:
    paths = []
    for name, rows in files.items():
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text("\n".join([HEADER, *rows]) + "\n")
    table = None
    if markets is not None:
        table = tmp_path / "markets.toml"
        table.write_text(markets)
    import_recording(paths, tmp_path / "tape", table, "polymarket_csv")
    return read_tape(tmp_path / "tape")


def told(tape: Tape) -> list[tuple[int, int, int, int, int, bool]]:
    """Kind, book, side, price in cents, size in hundredths, lower bound."""
    r = tape.rows
    return [
        (c & m.KIND_MASK, b, (c & m.SIDE_MASK) >> m.SIDE_SHIFT, p // 10_000, s // 10_000, bool(c & m.LOWER))
        for b, c, p, s in zip(r.book.tolist(), r.meta.tolist(), r.price.tolist(), r.size.tolist(), strict=True)
    ]


def file_figures(tape: Tape) -> dict[str, float]:
    return {name: value for entry in tape.quality.files for name, value in entry["figures"].items()}


@pytest.mark.parametrize(
    ("rows", "is_ours"),
    [
        (OPENING, True),
        ([f"{at(1)},price_change,0.44,SELL,0,0.41,0.43"], True),
        ([f"{at(1)},price_change,0.44,SELL,12,0.41,0.43"], False),  # nothing tells totals from changes
        ([*OPENING, f"{at(2)},price_change,0.44,SELL,-3,0.41,0.43"], False),
        ([",book,0.4800,BUY,1,0.4800,0.5000", f"{at(1)},price_change,0.50,SELL,7,0.48,0.50"], False),
    ],
)
def test_totals_are_told_from_signed_changes_by_content(rows: list[str], is_ours: bool) -> None:
    head = "\n".join([HEADER, *rows, ""]).encode()
    assert importer("polymarket_csv").recognises(Path("whatever.csv"), head) is is_ours


def test_other_columns_are_not_ours() -> None:
    assert not importer("polymarket_csv").recognises(Path("Polymarket.csv"), b"timestamp,price\n1,2\n")
    assert not importer("polymarket_csv").recognises(Path("Polymarket.csv"), b"")


def test_an_opening_pair_is_exact_and_nothing_stands_behind_it(tmp_path: Path) -> None:
    tape = imported(tmp_path, {"a": OPENING})
    assert told(tape) == [
        (m.KIND_CLEAR, 0, 0, 0, 0, False),
        (m.KIND_LEVEL, 0, m.SIDE_BID, 41, 22_325, False),
        (m.KIND_LEVEL, 0, m.SIDE_ASK, 43, 934, False),
    ]
    assert tape.rows.ts_recv.tolist() == [ns(1)] * 3
    assert [bool(c & m.LAST) for c in tape.rows.meta.tolist()] == [False, False, True]


def test_a_row_states_the_new_total_and_zero_removes_it(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.40,BUY,50,0.41,0.43", f"{at(3)},price_change,0.40,BUY,0,0.41,0.43"]
    tape = imported(tmp_path, {"a": OPENING + rows})
    assert told(tape)[3:] == [
        (m.KIND_LEVEL, 0, m.SIDE_BID, 40, 5_000, False),
        (m.KIND_LEVEL, 0, m.SIDE_BID, 40, 0, False),
    ]


def test_a_reconnect_forgets_what_its_pair_does_not_restate(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.40,BUY,50,0.41,0.43", *pair(9, ("0.41", "7"), ("0.44", "8"))]
    state = imported(tmp_path, {"a": OPENING + rows}).books_at(ns(9))[0]
    assert state.bids == (Level(410_000, 7_000_000),)
    assert state.asks == (Level(440_000, 8_000_000),)


def test_a_printed_best_that_no_row_stated_is_a_lower_bound_of_one_lot(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.41,BUY,0,0.39,0.43"]
    tape = imported(tmp_path, {"a": OPENING + rows}, TOML)
    assert tape.books_at(ns(2))[0].bids == (Level(390_000, 50_000, exact=False),)
    assert file_figures(tape) == {"printed bests of unknown size": 1}
    restated = imported(tmp_path, {"a": [*OPENING, *rows, f"{at(3)},price_change,0.39,BUY,12,0.39,0.43"]}, TOML)
    assert restated.books_at(ns(3))[0].bids == (Level(390_000, 12_000_000),)


def test_a_level_inside_the_printed_best_is_proven_empty_and_counted(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.44,SELL,5,0.41,0.44"]  # the removal of 0.43 was lost
    tape = imported(tmp_path, {"a": OPENING + rows})
    assert tape.books_at(ns(2))[0].asks == (Level(440_000, 5_000_000),)
    assert file_figures(tape) == {
        "levels proven empty by a printed best": 1,
        "of these, removals the recording never states": 1,
    }


def test_a_removal_that_was_late_only_is_not_a_ghost(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.44,SELL,5,0.41,0.44", f"{at(3)},price_change,0.43,SELL,0,0.41,0.44"]
    assert file_figures(imported(tmp_path, {"a": OPENING + rows})) == {"levels proven empty by a printed best": 1}


def test_an_empty_side_is_printed_as_zero_or_one_dollar(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.43,SELL,0,0.41,1", f"{at(3)},price_change,0.41,BUY,0,0,1"]
    tape = imported(tmp_path, {"a": OPENING + rows})
    state = tape.books_at(ns(3))[0]
    assert (state.known, state.bids, state.asks) == (True, (), ())
    assert file_figures(tape) == {}


def test_bests_that_cross_prove_nothing_and_are_counted(tmp_path: Path) -> None:
    rows = [f"{at(2)},price_change,0.40,BUY,5,0.44,0.43"]
    tape = imported(tmp_path, {"a": OPENING + rows})
    assert len(tape.books_at(ns(2))[0].bids) == 2
    assert file_figures(tape) == {"printed bests that cross": 1}


def test_rows_of_one_stamp_in_both_files_are_one_message(tmp_path: Path) -> None:
    yes = [*OPENING, f"{at(2)},price_change,0.42,BUY,5,0.42,0.43"]
    no = [*pair(1, ("0.57", "9.34"), ("0.59", "223.25")), f"{at(2)},price_change,0.58,SELL,5,0.57,0.58"]
    tape = imported(tmp_path, {"a": yes, "b": no}, TOML)
    assert tape.rows.book.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    assert [bool(c & m.LAST) for c in tape.rows.meta.tolist()] == [False] * 5 + [True, False, True]


def test_files_give_the_same_tape_in_either_order(tmp_path: Path) -> None:
    yes, no = OPENING, pair(1, ("0.57", "9.34"), ("0.59", "223.25"))
    assert imported(tmp_path, {"a": yes, "b": no}, TOML).digest == imported(tmp_path, {"b": no, "a": yes}, TOML).digest


def test_a_trade_of_the_no_token_stands_on_the_yes_book(tmp_path: Path) -> None:
    no = [*pair(1, ("0.57", "9.34"), ("0.59", "223.25")), f"{at(2)},last_trade_price,0.57,SELL,5,,"]
    tape = imported(tmp_path, {"a": OPENING, "b": no}, TOML)
    assert told(tape)[-1] == (m.KIND_PRINT, 0, m.BUYER, 43, 500, False)
    alone = imported(tmp_path, {"b": no}, TOML)  # nobody recorded the YES book: it is a view and has no rows
    assert told(alone)[-1] == (m.KIND_PRINT, 1, m.SELLER, 57, 500, False)


def test_exact_repeats_are_dropped_unless_something_changed_between(tmp_path: Path) -> None:
    first, other = f"{at(2)},price_change,0.40,BUY,50,0.41,0.43", f"{at(2)},price_change,0.40,BUY,60,0.41,0.43"
    tape = imported(tmp_path, {"a": [*OPENING, first, first, other, first]})
    assert tape.quality.total("duplicates") == 1
    assert tape.books_at(ns(2))[0].bids[1].size == 50_000_000


def test_unusable_rows_are_refused_with_line_and_reason(tmp_path: Path) -> None:
    good = [f"{at(2 + i / 100)},price_change,0.40,BUY,{i + 1},0.41,0.43" for i in range(1000)]
    bad = [
        ",price_change,0.40,BUY,5,0.41,0.43",
        f"{at(20)},price_change,1.40,BUY,5,0.41,0.43",
        f"{at(20)},price_change,nan,BUY,5,0.41,0.43",
        f"{at(20)},price_change,0.40,BUY,-5,0.41,0.43",
        f"{at(20)},price_change,0.40,HOLD,5,0.41,0.43",
        f"{at(20)},price_changed,0.40,BUY,5,0.41,0.43",
        f"{at(20)},price_change,0,BUY,5,0.41,0.43",
        f"{at(20)},last_trade_price,0.40,BUY,0,,",
    ]
    quality = imported(tmp_path, {"a": [*OPENING, *good, *bad]}).quality
    assert (quality.rows_read, quality.refused) == (1010, 8)
    assert [refusal.line for refusal in quality.refusals] == list(range(1004, 1012))
    fields = [refusal.reason.split(":")[0] for refusal in quality.refusals]
    assert fields == ["timestamp", "price", "price", "size", "side", "event_type", "price", "size"]


def test_a_file_of_which_much_is_unusable_is_refused_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv: 1 of 3 rows refused.*line 4"):
        imported(tmp_path, {"a": [*OPENING, f"{at(2)},price_change,1.40,BUY,5,0.41,0.43"]})


def test_a_cut_off_gzip_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *OPENING * 500]).encode())[:-20])
    with pytest.raises(DataError, match=r"a\.csv\.gz"):
        import_recording(path, tmp_path / "tape", format="polymarket_csv")


@pytest.mark.real_data
def test_the_shai_recording_has_its_measured_figures(real_data: Path, tmp_path: Path) -> None:
    files = [real_data / "arbitrage-betting" / f"Polymarket_Shai_{side}.csv.gz" for side in ("YES", "NO")]
    for file in files:
        assert importer("polymarket_csv").recognises(file, Source.at(file).head())
    report = import_recording(files, tmp_path / "tape", MARKETS / "shai.toml", "polymarket_csv")
    quality = report.quality
    assert {entry["file"]: entry["rows_read"] for entry in quality.files} == {
        "Polymarket_Shai_YES.csv.gz": 13_403,
        "Polymarket_Shai_NO.csv.gz": 13_593,
    }
    assert (quality.refused, quality.total("backward")) == (0, 3)
    assert quality.measures.prints == 212
    assert quality.measures.crossed == 0
    tape = read_tape(tmp_path / "tape")
    assert [book.recorded for book in tape.markets.books] == [True, True, False, False]
    assert asks_below_one(tape) == 0


@pytest.mark.real_data
def test_kalshi_files_with_the_same_columns_are_not_taken(real_data: Path) -> None:
    for file in sorted((real_data / "arbitrage-betting").glob("Kalshi_*.csv.gz")):
        assert not importer("polymarket_csv").recognises(file, Source.at(file).head()), file.name


def test_the_shai_markets_are_one_pair_of_the_same_question() -> None:
    spec = read_markets(MARKETS / "shai.toml")
    assert [(p.a.venue, p.b.venue, p.polarity) for p in spec.pairs] == [("polymarket", "kalshi", "same")]
    assert len(baskets(spec.table(), ("cross_venue",))) == 2
    assert {"event", "outcome", "void"} <= spec.markets[0].assumed
