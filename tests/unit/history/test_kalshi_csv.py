import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level, Price, Size
from arbkit.core.units import MICRO
from arbkit.history.importers import import_recording, importer
from arbkit.history.importers.kalshi_rows import HEADER
from arbkit.history.quality import ImportReport
from arbkit.history.stamps import parse_ns
from arbkit.history.tape import Tape, read_tape
from tests.unit.history.test_markets import market, other

MARKETS = Path(__file__).parents[2] / "data" / "markets"
SECOND = 1_767_838_460  # 2026-01-08T02:14:20Z

# Two levels a side: the best ones are stated, 0.39 and 0.43 are not.
OPENING = (",book,0.4000,BUY,100,0.4000,0.42", ",book,0.42,SELL,50,0.4000,0.42")


def stamp(s: float) -> str:
    return f"2026-01-08T02:14:{20 + s:09.6f}Z"


def ns(s: float) -> int:
    return parse_ns(stamp(s))


def change(s: float, price: str, side: str, size: int, bid: str, ask: str) -> str:
    return f"{stamp(s)},price_change,{price},{side},{size},{bid},{ask}"


def trade(s: int, price: str, side: str, size: int, bid: str = "0.4", ask: str = "0.42") -> str:
    return f"{SECOND + s},last_trade_price,{price},{side},{size},{bid},{ask}"


def write(path: Path, rows: Sequence[str]) -> Path:
    text = "\n".join((HEADER, *rows)) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def imported(tmp_path: Path, *files: Sequence[str], markets: str | None = None) -> tuple[Tape, ImportReport]:
    paths = [write(tmp_path / f"file_{'ab'[i]}.csv", rows) for i, rows in enumerate(files)]
    if markets is not None:
        (tmp_path / "markets.toml").write_text(markets)
    spec = tmp_path / "markets.toml" if markets is not None else None
    report = import_recording(paths, tmp_path / "tape", spec)
    return read_tape(tmp_path / "tape"), report


def level(price: str, size: int, exact: bool = True) -> Level:
    return Level(Price(int(float(price) * 100 + 0.5) * 10_000), Size(size * MICRO), exact)


def kinds(tape: Tape, book: int = 0) -> list[int]:
    return [int(code) & m.KIND_MASK for code in tape.rows.meta[tape.rows.book == book]]


CALM = [
    *OPENING,
    change(0.1, "0.39", "BUY", -20, "0.4", "0.4200"),
    change(0.2, "0.40", "BUY", -100, "0.39", "0.4200"),
    change(0.3, "0.39000000000000001", "BUY", -30, "0.38", "0.4200"),
]


def test_sizes_that_the_file_does_not_state_are_solved_back(tmp_path: Path) -> None:
    tape, report = imported(tmp_path, CALM)
    assert tape.clocks == "venue"
    first = tape.books_at(ns(0.1))[0]
    assert first.bids[:2] == (level("0.40", 100), level("0.39", 30))  # 0.39 held 50, as its end proves
    assert first.asks == (level("0.42", 50),)
    assert first.bids[2].exact is False  # 0.38 is a best later: there is something
    assert tape.books_at(ns(0.3))[0].bids[0].price == 380_000
    figures = report.quality.files[0]["figures"]
    assert figures["best prices as printed, share"] == 1


def test_a_book_is_known_from_its_first_change_on(tmp_path: Path) -> None:
    tape, _ = imported(tmp_path, CALM)
    assert tape.rows.ts_recv[0] == ns(0.1)
    assert kinds(tape)[:2] == [m.KIND_CLEAR, m.KIND_LEVEL]


def test_changes_of_one_stamp_in_a_row_are_one_message(tmp_path: Path) -> None:
    rows = [*OPENING, change(0.1, "0.3", "BUY", 1, "0.4", "0.42"), change(0.2, "0.4", "BUY", 5, "0.4", "0.42"),
            change(0.2, "0.42", "SELL", 5, "0.4", "0.42"), change(0.3, "0.4", "BUY", 5, "0.4", "0.42")]  # fmt: skip
    tape, _ = imported(tmp_path, rows)
    late = tape.rows.cut(tape.rows.ts_recv >= ns(0.2))
    assert [bool(code & m.LAST) for code in late.meta] == [False, True, True]


def test_a_print_stands_right_before_the_decrease_it_explains(tmp_path: Path) -> None:
    rows = [
        *OPENING,
        change(0.1, "0.3", "BUY", 1, "0.4", "0.42"),
        change(0.2, "0.42", "SELL", -10, "0.4", "0.42"),
        change(0.2, "0.42", "SELL", -3, "0.4", "0.42"),
        trade(0, "0.42", "BUY", 10),
        trade(0, "0.42", "BUY", 3),
        trade(0, "0.6", "SELL", 7),  # the NO price; its decrease comes two rows later
        change(0.4, "0.3", "BUY", 1, "0.4", "0.42"),
        change(0.5, "0.4", "BUY", -7, "0.4", "0.42"),
    ]
    tape, report = imported(tmp_path, rows)
    late = tape.rows.cut(tape.rows.ts_recv >= ns(0.2))
    told = [
        (int(t - ns(0)), int(code) & m.KIND_MASK, (int(code) & m.SIDE_MASK) >> m.SIDE_SHIFT, int(p), int(s) // MICRO)
        for t, code, p, s in zip(late.ts_recv, late.meta, late.price, late.size, strict=True)
    ]
    assert told == [
        (200_000_000, m.KIND_PRINT, m.BUYER, 420_000, 10),
        (200_000_000, m.KIND_LEVEL, m.SIDE_ASK, 420_000, 40),
        (200_000_000, m.KIND_PRINT, m.BUYER, 420_000, 3),
        (200_000_000, m.KIND_LEVEL, m.SIDE_ASK, 420_000, 37),
        (400_000_000, m.KIND_LEVEL, m.SIDE_BID, 300_000, 2),
        (500_000_000, m.KIND_PRINT, m.SELLER, 400_000, 7),
        (500_000_000, m.KIND_LEVEL, m.SIDE_BID, 400_000, 93),
    ]
    prints = late.cut((late.meta & m.KIND_MASK) == m.KIND_PRINT)
    assert (prints.meta & m.LOWER).all()  # their time is inferred
    assert report.quality.files[0]["figures"]["prints matched with a decrease"] == 3


def test_a_print_that_comes_late_stands_alone_at_the_row_before_it(tmp_path: Path) -> None:
    rows = [*OPENING, change(0.2, "0.42", "SELL", -10, "0.4", "0.42"), change(0.6, "0.3", "BUY", 1, "0.4", "0.42"),
            trade(0, "0.42", "BUY", 10), trade(0, "0.42", "BUY", 11), change(1.5, "0.3", "BUY", 1, "0.4", "0.42")]  # fmt: skip
    tape, report = imported(tmp_path, rows)
    prints = tape.rows.cut((tape.rows.meta & m.KIND_MASK) == m.KIND_PRINT)
    assert prints.ts_recv.tolist() == [ns(0.6), ns(0.6)]  # the second one never finds a decrease
    assert prints.ts_venue.tolist() == [ns(0.2), ns(0.6)]
    figures = report.quality.files[0]["figures"]
    assert (figures["prints"], figures["prints matched with a decrease"]) == (2, 1)


def test_a_restart_is_a_gap_from_the_row_before_to_the_next_change(tmp_path: Path) -> None:
    rows = [*CALM, *OPENING, *OPENING, change(30.5, "0.42", "SELL", 1, "0.4", "0.42")]
    tape, report = imported(tmp_path, rows)
    gaps = tape.rows.cut((tape.rows.meta & m.KIND_MASK) == m.KIND_GAP)
    assert gaps.ts_recv.tolist() == [ns(0.3)]
    assert not tape.books_at(ns(30))[0].known
    assert tape.books_at(ns(30.5))[0].bids == (level("0.40", 100),)
    assert tape.books_at(ns(30.5))[0].asks == (level("0.42", 51),)
    assert report.quality.files[0]["figures"]["recorder restarts"] == 1


def test_a_restart_makes_every_market_of_the_recording_unknown_until_its_next_change(tmp_path: Path) -> None:
    mine = [*CALM, *OPENING, change(9.0, "0.42", "SELL", 1, "0.4", "0.42")]
    its = [*OPENING, change(0.1, "0.42", "SELL", 1, "0.4", "0.42"), change(5.0, "0.42", "SELL", 2, "0.4", "0.42")]
    together, _ = imported(tmp_path, mine, its, markets=market() + other())
    assert together.books_at(ns(0.2))[2].known
    assert not together.books_at(ns(0.3))[2].known
    assert together.books_at(ns(5))[2].asks == (level("0.42", 53),)
    apart, _ = imported(tmp_path, mine, its, markets=market() + other(event='"another game"'))
    assert apart.books_at(ns(0.3))[2].known


def test_a_crossed_book_is_left_out_from_the_last_row_that_touched_its_stale_level(tmp_path: Path) -> None:
    rows = [
        *OPENING,
        change(0.1, "0.42", "SELL", -1, "0.4", "0.42"),
        change(0.2, "0.3", "BUY", 1, "0.4", "0.42"),
        change(0.3, "0.42", "BUY", 5, "0.42", "0.42"),
        change(0.4, "0.3", "BUY", 1, "0.42", "0.42"),
        *OPENING,
        change(7.0, "0.3", "BUY", 1, "0.4", "0.42"),
    ]
    tape, report = imported(tmp_path, rows)
    assert tape.books_at(ns(0.1) - 1)[0].known is False
    assert tape.books_at(ns(0.2))[0].known is False
    assert tape.books_at(ns(7))[0].known
    quality = report.quality
    assert (quality.total("quarantines"), quality.total("quarantined_rows")) == (1, 3)
    assert quality.total("quarantined_ns") == ns(7) - ns(0.1)
    assert quality.measures.crossed == 0


def test_a_repeated_change_is_found_by_the_bests_that_contradict_it(tmp_path: Path) -> None:
    rows = [*CALM[:2], change(0.1, "0.41", "BUY", 7, "0.41", "0.42"), change(0.2, "0.41", "BUY", -7, "0.4", "0.42"),
            change(0.2, "0.41", "BUY", -7, "0.4", "0.42"), change(0.3, "0.39", "BUY", 1, "0.4", "0.42")]  # fmt: skip
    tape, report = imported(tmp_path, rows)
    assert report.quality.total("quarantined_rows") == 2
    assert not tape.books_at(ns(1))[0].known


def test_a_trade_in_a_quarantine_still_happened(tmp_path: Path) -> None:
    rows = [*OPENING, change(0.1, "0.42", "BUY", 5, "0.42", "0.42"), change(0.2, "0.42", "SELL", -5, "0.42", "0.42"),
            trade(0, "0.42", "BUY", 5, "0.42", "0.42"), trade(0, "0.58", "SELL", 2, "0.42", "0.42"),
            change(0.3, "0.42", "BUY", -2, "0.42", "0.42")]  # fmt: skip
    tape, report = imported(tmp_path, rows)
    assert kinds(tape) == [m.KIND_PRINT, m.KIND_PRINT]
    assert report.quality.files[0]["figures"]["prints matched with a decrease"] == 2


def test_a_blank_best_is_an_empty_side(tmp_path: Path) -> None:
    rows = [*OPENING, change(0.1, "0.4", "BUY", -100, "", "0.42"), change(0.2, "0.38", "BUY", 4, "0.38", "0.42")]
    tape, _ = imported(tmp_path, rows)
    assert tape.books_at(ns(0.1))[0].bids == ()
    assert tape.books_at(ns(0.2))[0].bids == (level("0.38", 4),)


def test_a_session_may_open_with_one_side_empty(tmp_path: Path) -> None:
    rows = [",book,0.42,SELL,50,,0.42", change(0.1, "0.38", "BUY", 4, "0.38", "0.42")]
    tape, _ = imported(tmp_path, rows)
    assert tape.books_at(ns(0.1))[0].bids == (level("0.38", 4),)
    assert tape.books_at(ns(0.1))[0].asks == (level("0.42", 50),)


def test_backward_stamps_are_counted_and_the_received_ones_never_fall(tmp_path: Path) -> None:
    rows = [*OPENING, change(0.5, "0.3", "BUY", 1, "0.4", "0.42"), change(0.2, "0.3", "BUY", 1, "0.4", "0.42")]
    tape, report = imported(tmp_path, rows)
    assert report.quality.total("backward") == 1
    assert tape.rows.ts_recv[-1] == ns(0.5)
    assert tape.rows.ts_venue[-1] == ns(0.2)


def test_rows_before_the_first_snapshot_build_no_book(tmp_path: Path) -> None:
    rows = [change(0.1, "0.3", "BUY", -1, "0.4", "0.42"), *OPENING, change(0.5, "0.3", "BUY", 1, "0.4", "0.42")]
    tape, report = imported(tmp_path, rows)
    assert tape.rows.ts_recv[0] == ns(0.5)
    assert report.quality.total("quarantined_rows") == 1


# -- imports ---


def test_the_same_files_in_any_order_give_the_same_tape(tmp_path: Path) -> None:
    a, b = write(tmp_path / "file_a.csv", CALM), write(tmp_path / "file_b.csv.gz", CALM)
    (tmp_path / "markets.toml").write_text(market(source='"file_b"') + other(source='"file_a"'))
    reports = [
        import_recording(files, tmp_path / name, tmp_path / "markets.toml", format=kind)
        for name, files, kind in (("t", [a, b], "auto"), ("t", [b, a], "kalshi_csv"), ("u", [a, b], "auto"))
    ]
    assert len({report.digest for report in reports}) == 1
    assert reports[0].formats == {"file_b.csv.gz": "kalshi_csv", "file_a.csv": "kalshi_csv"}
    assert (tmp_path / "t" / "tape.json").read_bytes() == (tmp_path / "u" / "tape.json").read_bytes()
    assert read_tape(tmp_path / "t").rows.book[0] == 0  # ties by the order of `source`: file_b comes first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file_a.csv", "file_b.csv.gz", "markets.toml", "t", "u"]


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "file_a.csv", CALM)
    report = import_recording(tmp_path / "in", tmp_path / "tape", source="a friend", licence="none")
    assert report.markets == 1
    assert (read_tape(tmp_path / "tape").source, read_tape(tmp_path / "tape").licence) == ("a friend", "none")


def test_a_report_prints_itself_and_keeps_plain_values(tmp_path: Path) -> None:
    _, report = imported(tmp_path, CALM)
    assert "file_a.csv (kalshi_csv)" in str(report)
    assert "<table>" in report._repr_html_()
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["rows"] == report.rows
    assert plain["quality"]["rows_read"] == 5


def test_markets_that_a_markets_file_does_not_name_or_that_have_no_rows_are_noted(tmp_path: Path) -> None:
    _, report = imported(tmp_path, CALM, markets=market(source='"elsewhere"'))
    assert report.markets == 2
    notes = report.quality.notes
    assert any("not in markets.toml, imported as unknown: file_a" in note for note in notes)
    assert any("in markets.toml, but without rows: kalshi:A" in note for note in notes)


# -- what is refused ---


def many(bad: str, at: int = 50, n: int = 200) -> list[str]:
    """A long calm file with one other row."""
    rows = [*OPENING, *(change(i / 10, "0.3", "BUY", 1, "0.4", "0.42") for i in range(1, n))]
    return [*rows[:at], bad, *rows[at:]]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (change(5, "44", "BUY", 1, "0.4", "0.42"), "price: cannot be read"),
        (change(5, "nan", "BUY", 1, "0.4", "0.42"), "price: cannot be read"),
        (change(5, "0.30000012", "BUY", 1, "0.4", "0.42"), "price: cannot be read"),
        (change(5, "-0.3", "BUY", 1, "0.4", "0.42"), "price: cannot be read"),
        (change(5, "1", "BUY", 1, "0.4", "0.42"), "price: not between 0 and 1 dollar"),
        (change(5, "0.305", "BUY", 1, "0.4", "0.42"), "price: not on the market's grid"),
        (change(5, "0.3", "LEFT", 1, "0.4", "0.42"), "side: neither BUY nor SELL"),
        (change(5, "0.3", "BUY", 0, "0.4", "0.42"), "size: not above zero"),
        (trade(5, "0.42", "BUY", -1), "size: not above zero"),
        (change(5, "0.3", "BUY", 1, "40", "0.42"), "best_bid: cannot be read"),
        (change(5, "0.3", "BUY", 1, "0.4", "inf"), "best_ask: cannot be read"),
        (",price_change,0.3,BUY,1,0.4,0.42", "timestamp: missing"),
        ("yesterday,price_change,0.3,BUY,1,0.4,0.42", "timestamp: cannot be read"),
        (f"{stamp(5)},cancel,0.3,BUY,1,0.4,0.42", "event_type: unknown"),
        (",book,0.41,BUY,5,0.4,0.42", "price: not the best that the same row prints"),
        (f"{stamp(5)},price_change,0.3", "row: wrong number of cells"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused_by_line_and_field(tmp_path: Path, bad: str, reason: str) -> None:
    _, report = imported(tmp_path, many(bad), markets=market())
    assert report.quality.refused == 1
    (refusal,) = report.quality.refusals
    assert (refusal.file, refusal.line) == ("file_a.csv", 52)
    assert refusal.reason.startswith(reason)


def test_a_file_of_cents_and_dollars_fails_and_the_old_tape_stays(tmp_path: Path) -> None:
    _, report = imported(tmp_path, CALM)
    rows = [*OPENING, *(change(i / 10, ("0.3", "30")[i % 2], "BUY", 1, "0.4", "0.42") for i in range(1, 200))]
    with pytest.raises(DataError, match=r"file_a\.csv: 100 of 201 rows refused, .* line 4: price: .* '30'"):
        imported(tmp_path, rows)
    assert read_tape(tmp_path / "tape").digest == report.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file_a.csv", "tape"]


def test_a_cut_off_file_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "file_a.csv.gz", many(CALM[2], n=5_000))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"file_a\.csv\.gz: damaged or cut off gzip"):
        import_recording(path, tmp_path / "tape")
    assert [p.name for p in tmp_path.iterdir()] == ["file_a.csv.gz"]


def test_a_file_of_no_known_format_is_refused_saying_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy low, sell high\n")
    with pytest.raises(DataError, match=r"notes\.txt: not a recording that is known here; looked for") as refusal:
        import_recording(tmp_path / "notes.txt", tmp_path / "tape")
    assert f"kalshi_csv: a CSV file with the header {HEADER}" in str(refusal.value)


def test_a_file_without_the_columns_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("timestamp,event_type,price,side,size\n,book,0.4,BUY,1\n")
    with pytest.raises(DataError, match="not a recording that is known here"):
        import_recording(tmp_path / "f.csv", tmp_path / "tape", format="kalshi_csv")
    with pytest.raises(DataError, match="no format 'excel'"):
        import_recording(tmp_path / "f.csv", tmp_path / "tape", format="excel")


def test_totals_under_the_same_header_are_not_taken_for_changes() -> None:
    reader = importer("kalshi_csv")
    totals = "2025-12-08T03:13:25Z,book,0.41,BUY,223.25,0.41,0.43"
    assert not reader.recognises(Path("Kalshi.csv"), f"{HEADER}\n{totals}\n".encode())
    assert reader.recognises(Path("x.csv"), f"{HEADER}\n{OPENING[0]}\n".encode())


def test_an_empty_file_or_one_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file_a.csv").touch()
    with pytest.raises(DataError, match=r"file_a\.csv: the file is empty"):
        import_recording(tmp_path / "file_a.csv", tmp_path / "tape")
    write(tmp_path / "file_a.csv", OPENING)
    with pytest.raises(DataError, match=r"file_a\.csv: not one usable row"):
        import_recording(tmp_path / "file_a.csv", tmp_path / "tape")
    with pytest.raises(DataError, match="no file to import"):
        import_recording([], tmp_path / "tape")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    files = [write(tmp_path / "file_a.csv", CALM), write(tmp_path / "x" / "file_a.csv.gz", CALM)]
    with pytest.raises(DataError, match="has the same name as"):
        import_recording(files, tmp_path / "tape")


def test_a_missing_markets_file_or_a_foreign_folder_stops_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"markets\.toml: no such markets file"):
        import_recording(tmp_path / "none.csv", tmp_path / "tape", tmp_path / "markets.toml")
    with pytest.raises(DataError, match="exists and is not a tape"):
        import_recording(tmp_path / "none.csv", tmp_path)


# -- real recordings ---

GAMES = {
    "nyk_lac": ("Kalshi_NYK_JAN07_WIN", "Kalshi_LAC_JAN07_WIN"),
    "bos_den": ("Kalshi_BOS_JAN07_WIN", "Kalshi_DEN_JAN07_WIN"),
    "mia_min": ("Kalshi_MIA", "Kalshi_MIN"),
}


def game(real_data: Path, tmp_path: Path, name: str) -> tuple[Tape, ImportReport]:
    files = [real_data / "arbitrage-betting" / f"{stem}.csv.gz" for stem in GAMES[name]]
    report = import_recording(files, tmp_path / name, MARKETS / f"{name}.toml")
    return read_tape(tmp_path / name), report


def gross_episodes(tape: Tape) -> tuple[int, int]:
    """Count the spans in which both asks cost less than a dollar, and in which both bids bring more."""
    best: dict[int, tuple[int | None, int | None]] = {0: (None, None), 2: (None, None)}
    levels: dict[tuple[int, int], set[int]] = {(b, s): set() for b in (0, 2) for s in (m.SIDE_BID, m.SIDE_ASK)}
    open_, count = [False, False], [0, 0]
    for book, code, price, size in zip(*(c.tolist() for c in tape.rows[2:]), strict=True):
        kind, side = code & m.KIND_MASK, (code & m.SIDE_MASK) >> m.SIDE_SHIFT
        if kind in (m.KIND_CLEAR, m.KIND_GAP):
            levels[book, m.SIDE_BID].clear()
            levels[book, m.SIDE_ASK].clear()
        elif kind == m.KIND_LEVEL:
            (levels[book, side].add if size else levels[book, side].discard)(price)
        if not code & m.LAST:
            continue
        best[book] = (max(levels[book, m.SIDE_BID], default=None), min(levels[book, m.SIDE_ASK], default=None))
        (bid_a, ask_a), (bid_b, ask_b) = best[0], best[2]
        now = [
            ask_a is not None and ask_b is not None and ask_a + ask_b < MICRO,
            bid_a is not None and bid_b is not None and bid_a + bid_b > MICRO,
        ]
        count = [n + (is_open and not was) for n, is_open, was in zip(count, now, open_, strict=True)]
        open_ = now
    return count[0], count[1]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "prints", "episodes"), [("nyk_lac", 2_113, (4, 10)), ("bos_den", 3_137, (1, 0))])
def test_the_games_are_rebuilt_as_they_were_printed(
    real_data: Path, tmp_path: Path, name: str, prints: int, episodes: tuple[int, int]
) -> None:
    tape, report = game(real_data, tmp_path, name)
    assert report.quality.refused == 0
    assert report.quality.total("quarantines") == 0  # no contradiction
    for file in report.quality.files:
        figures = file["figures"]
        assert figures["best prices as printed, share"] >= 0.989
        assert 0.92 <= figures["best sizes exact, share"] <= 1
        # Every trade equals a decrease of the same size in the same second, one to one.
        assert figures["prints matched with a decrease"] == figures["prints"]
    assert report.quality.total("rows_read") == sum(file["rows_read"] for file in report.quality.files)
    assert sum(file["figures"]["prints"] for file in report.quality.files) == prints
    assert report.quality.measures.prints == prints
    assert report.quality.measures.crossed == 0
    assert gross_episodes(tape) == episodes
    on_disk = sum(path.stat().st_size for path in (tmp_path / name / "rows").iterdir())
    assert on_disk <= 11 * len(tape)


@pytest.mark.real_data
def test_a_desynchronised_recorder_is_never_tradable(real_data: Path, tmp_path: Path) -> None:
    tape, report = game(real_data, tmp_path, "mia_min")
    mia, _ = report.quality.files
    assert mia["quarantines"] == 1
    assert mia["quarantined_rows"] > 18_198  # more than the rows that print a crossed book
    crossed_from, restarted = parse_ns("2026-01-03T23:26:29.442971Z"), parse_ns("2026-01-04T00:00:00Z")
    for at in range(crossed_from, restarted, 60_000_000_000):
        assert not tape.books_at(at)[0].known
    assert report.quality.measures.crossed == 0
    assert gross_episodes(tape) == (0, 0)
