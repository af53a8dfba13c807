"""resolvedkit's Parquet: whole books of both tokens become differences, markets overlap in time, payouts resolve."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.detection.baskets import baskets
from arbkit.history.importers import import_recording, parquet
from arbkit.history.importers.resolvedkit import BOOK_COLUMNS
from arbkit.history.markets import read_markets
from arbkit.history.tape import Tape, read_tape

MARKETS = Path(__file__).resolve().parents[2] / "data" / "markets" / "resolvedkit.toml"
BASE = 1_790_585_000_000  # ms
Side = list[tuple[float, float]]  # (price, size), best first
Row = tuple[str, int | None, str, Side | None, Side | None]
BIDS: Side = [(0.49, 5.0), (0.48, 7.25)]
ASKS: Side = [(0.51, 6.0)]


def ns(ms: int) -> int:
    return (BASE + ms) * 1_000_000


def write(folder: Path, books: Sequence[Row], markets: Sequence[dict[str, Any]], large: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    kind = (pa.large_list if large else pa.list_)(pa.float64())
    columns: dict[str, Any] = {
        "market_id": pa.array([row[0] for row in books], pa.large_string()),
        "ts": pa.array([None if row[1] is None else BASE + row[1] for row in books], pa.int64()),
        "side": pa.array([row[2] for row in books], pa.large_string()),
    }
    for name, side, part in (("bid_px", 3, 0), ("bid_sz", 3, 1), ("ask_px", 4, 0), ("ask_sz", 4, 1)):
        lists = [None if row[side] is None else [level[part] for level in row[side]] for row in books]  # type: ignore[union-attr]
        columns[name] = pa.array(lists, kind)
    pq.write_table(pa.table(columns), folder / "books.parquet")
    schema = [("market_id", pa.string()), ("slug", pa.string()), ("end_ts", pa.int64())]
    schema += [("payout_up", pa.float64()), ("payout_down", pa.float64())]
    pq.write_table(pa.Table.from_pylist(list(markets), pa.schema(schema)), folder / "markets.parquet")
    return folder


def market(key: str = "0x1", end: int = 900, up: float | None = 0.0, down: float | None = 1.0) -> dict[str, Any]:
    return {"market_id": key, "slug": f"slug-{key}", "end_ts": BASE + end, "payout_up": up, "payout_down": down}


def imported(tmp_path: Path, books: Sequence[Row], markets: Sequence[dict[str, Any]] | None = None) -> Tape:
    folder = write(tmp_path / "kit", books, [market()] if markets is None else markets)
    import_recording(folder, tmp_path / "tape", format="resolvedkit")
    return read_tape(tmp_path / "tape")


def told(tape: Tape, book: int = 0) -> list[tuple[int, int, int, int, int]]:
    """Milliseconds, kind, side, price in mills, size in hundredths of the rows of a book."""
    r = tape.rows
    columns = (r.ts_recv.tolist(), r.book.tolist(), r.meta.tolist(), r.price.tolist(), r.size.tolist())
    return [
        (t // 1_000_000 - BASE, c & m.KIND_MASK, (c & m.SIDE_MASK) >> m.SIDE_SHIFT, p // 1000, s // 10_000)
        for t, b, c, p, s in zip(*columns, strict=True)
        if b == book
    ]


def of_books(tape: Tape) -> dict[str, Any]:
    """The log of books.parquet."""
    return next(entry for entry in tape.quality.files if entry["file"] == "books.parquet")


def test_a_snapshot_becomes_what_changed_since_the_one_before(tmp_path: Path) -> None:
    rows: list[Row] = [("0x1", 0, "UP", BIDS, ASKS), ("0x1", 1000, "UP", [(0.48, 7.25)], [(0.51, 5.0), (0.52, 1.0)])]
    assert told(imported(tmp_path, rows, [market(up=None, down=None)])) == [
        (0, m.KIND_CLEAR, 0, 0, 0),
        (0, m.KIND_LEVEL, m.SIDE_BID, 480, 725),
        (0, m.KIND_LEVEL, m.SIDE_BID, 490, 500),
        (0, m.KIND_LEVEL, m.SIDE_ASK, 510, 600),
        (1000, m.KIND_LEVEL, m.SIDE_BID, 490, 0),
        (1000, m.KIND_LEVEL, m.SIDE_ASK, 510, 500),
        (1000, m.KIND_LEVEL, m.SIDE_ASK, 520, 100),
    ]


def test_an_unchanged_snapshot_marks_that_the_stream_is_alive(tmp_path: Path) -> None:
    rows: list[Row] = [("0x1", 0, "UP", BIDS, ASKS), ("0x1", 1000, "UP", BIDS, ASKS)]
    assert told(imported(tmp_path, rows, [market(up=None, down=None)]))[4:] == [(1000, m.KIND_MARK, 0, 0, 0)]


def test_rows_of_one_stamp_are_one_message_and_down_is_the_no_book(tmp_path: Path) -> None:
    rows: list[Row] = [("0x1", 0, "DOWN", BIDS, ASKS), ("0x1", 0, "UP", BIDS, ASKS), ("0x1", 7, "UP", BIDS, [])]
    tape = imported(tmp_path, rows, [market(up=None, down=None)])
    assert tape.rows.book.tolist() == [1] * 4 + [0] * 5
    assert [i for i, code in enumerate(tape.rows.meta.tolist()) if code & m.LAST] == [7, 8]
    assert [book.name for book in tape.markets.books] == ["polymarket:slug-0x1:yes", "polymarket:slug-0x1:no"]
    assert tape.clocks == "recv"


@pytest.mark.parametrize("ask", [0.43, 0.49])
def test_a_locked_or_crossed_snapshot_makes_its_token_unknown_until_the_next_good_one(
    tmp_path: Path, ask: float
) -> None:
    rows: list[Row] = [("0x1", at, "UP", BIDS, [(price, 6.0)]) for at, price in ((0, 0.51), (9, ask), (20, 0.51))]
    tape = imported(tmp_path, rows)
    assert [tape.books_at(ns(at))[0].known for at in (0, 9, 20)] == [True, False, True]
    assert (tape.quality.total("quarantined_rows"), tape.quality.total("quarantined_ns")) == (1, 11_000_000)
    assert tape.quality.measures.crossed == 0


def test_a_side_without_levels_is_empty_and_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, [("0x1", 0, "UP", BIDS, []), ("0x1", 0, "DOWN", [], ASKS)])
    state = tape.books_at(ns(0))
    assert (state[0].known, state[0].asks, state[1].bids) == (True, (), ())
    assert of_books(tape)["figures"] == {"snapshots with one side or none": 2}


def test_payouts_resolve_both_books_at_the_later_of_end_and_last_snapshot(tmp_path: Path) -> None:
    early = imported(tmp_path, [("0x1", 0, "UP", BIDS, ASKS), ("0x1", 0, "DOWN", BIDS, ASKS)])
    assert told(early)[-1] == (900, m.KIND_RESOLUTION, 0, 0, 0)
    assert told(early, 1)[-1] == (900, m.KIND_RESOLUTION, 0, 1000, 0)
    late = imported(tmp_path, [("0x1", 950, "UP", BIDS, ASKS), ("0x1", 940, "DOWN", BIDS, ASKS)])
    assert told(late)[-1] == (950, m.KIND_RESOLUTION, 0, 0, 0)


def test_a_market_that_is_not_resolved_gives_no_resolution(tmp_path: Path) -> None:
    tape = imported(tmp_path, [("0x1", 0, "UP", BIDS, ASKS)], [market(up=None, down=math.nan)])
    assert m.KIND_RESOLUTION not in [row[1] for row in told(tape)]


def test_markets_that_overlap_are_put_in_order_of_time(tmp_path: Path) -> None:
    first: list[Row] = [("0x1", at, "UP", BIDS, [(0.51, at + 1.0)]) for at in range(0, 1000, 100)]
    second: list[Row] = [("0x2", at, "UP", BIDS, [(0.51, at + 1.0)]) for at in range(450, 1500, 100)]
    tape = imported(tmp_path, [*first, *second], [market("0x1"), market("0x2", end=1450)])
    stamps = tape.rows.ts_recv.tolist()
    assert stamps == sorted(stamps)
    assert {row[0] for row in told(tape, 0)} == {*range(0, 1000, 100)}
    assert {row[0] for row in told(tape, 2)} == {*range(450, 1500, 100)}
    assert tape.quality.total("backward") == 0


def test_a_stamp_that_steps_back_inside_a_market_is_counted_and_raised(tmp_path: Path) -> None:
    rows: list[Row] = [("0x1", 10, "UP", BIDS, ASKS), ("0x1", 4, "UP", BIDS, [(0.52, 1.0)])]
    tape = imported(tmp_path, rows)
    assert (tape.quality.total("backward"), of_books(tape)["backward_max_ns"]) == (1, 6_000_000)
    assert told(tape)[5][0] == 10


def test_pieces_of_any_size_give_the_same_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [("0x1", at, "UP", BIDS[: at % 3], [(0.51 + at % 7 / 100, at + 1.0)]) for at in range(50)]
    whole = imported(tmp_path, rows).digest
    monkeypatch.setattr(parquet, "BATCH_ROWS", 7)
    assert imported(tmp_path, rows).digest == whole


def test_plain_and_large_lists_are_read_alike(tmp_path: Path) -> None:
    digests = set()
    for large in (True, False):
        folder = write(tmp_path / "kit", [("0x1", 0, "UP", BIDS, ASKS)], [market()], large)
        import_recording(folder, tmp_path / "tape", format="resolvedkit")
        digests.add(read_tape(tmp_path / "tape").digest)
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["books", "markets"])
def test_one_file_without_the_other_is_refused_saying_which_is_missing(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "kit", [("0x1", 0, "UP", BIDS, ASKS)], [market()])
    missing = {"books": "markets", "markets": "books"}[name]
    with pytest.raises(DataError, match=rf"{name}\.parquet: {missing}\.parquet .* is missing"):
        import_recording(folder / f"{name}.parquet", tmp_path / "tape", format="resolvedkit")


def test_unusable_rows_are_refused_with_their_number(tmp_path: Path) -> None:
    good: list[Row] = [("0x1", i, "UP", BIDS, [(0.51, i + 1.0)]) for i in range(800)]
    bad: list[Row] = [
        ("0x9", 900, "UP", BIDS, ASKS),
        ("0x1", None, "UP", BIDS, ASKS),
        ("0x1", 900, "SIDEWAYS", BIDS, ASKS),
        ("0x1", 900, "UP", None, ASKS),
        ("0x1", 900, "UP", BIDS, [(1.51, 1.0)]),
        ("0x1", 900, "UP", BIDS, [(0.51, -1.0)]),
        ("0x1", 900, "UP", BIDS, [(0.51, 1.0), (0.51, 2.0)]),
        ("0x1", 900, "UP", BIDS, [(math.nan, 1.0)]),
    ]
    tape = imported(tmp_path, good + bad)
    assert tape.quality.refused == 8
    assert [refusal.line for refusal in tape.quality.refusals] == list(range(801, 809))
    said = [refusal.reason.split(":")[0] for refusal in tape.quality.refusals]
    assert said == ["market_id", "ts", "side", "bid", "ask", "ask", "ask", "ask"]


def test_payouts_that_are_no_shares_of_a_dollar_are_refused(tmp_path: Path) -> None:
    markets = [market(f"0x{i}") for i in range(1, 120)] + [market("0xbad", up=1.0, down=1.0)]
    tape = imported(tmp_path, [("0xbad", 0, "UP", BIDS, ASKS)], markets)
    assert [r.reason.split(":")[0] for r in tape.quality.refusals] == ["payout"]
    assert m.KIND_RESOLUTION not in [row[1] for row in told(tape, 2 * 119)]


def test_a_column_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "kit", [("0x1", 0, "UP", BIDS, ASKS)], [market()])
    text = {name: ["x"] for name in BOOK_COLUMNS} | {"ts": [BASE]}
    pq.write_table(pa.table(text), folder / "books.parquet")
    with pytest.raises(DataError, match=r"books\.parquet: damaged Parquet: a column of string"):
        import_recording(folder, tmp_path / "tape", format="resolvedkit")


@pytest.fixture(scope="module")
def recorded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tape:
    dest = tmp_path_factory.mktemp("resolvedkit") / "tape"
    import_recording(real_data / "resolvedkit", dest, MARKETS)
    return read_tape(dest)


@pytest.mark.real_data
def test_the_recording_has_its_measured_figures(recorded: Tape) -> None:
    quality = recorded.quality
    assert (quality.rows_read, quality.refused) == (25_256 + 12, 0)
    assert quality.total("backward") == 0  # inside a market; markets overlap
    assert quality.total("quarantines") == 6  # locked or crossed: three moments, both tokens
    assert quality.measures.crossed == 0
    one_sided = of_books(recorded)["figures"]["snapshots with one side or none"]
    assert one_sided == 2_110
    assert one_sided / 2 / 25_256 == pytest.approx(0.042, abs=0.001)  # of each side
    assert quality.usable_share > 0.99
    assert (recorded.rows.meta & m.KIND_MASK == m.KIND_RESOLUTION).sum() == 24


@pytest.mark.real_data
def test_books_of_the_tape_are_the_snapshots_of_the_file(recorded: Tape, real_data: Path) -> None:
    rows = pq.read_table(real_data / "resolvedkit" / "books.parquet").to_pylist()
    slugs = {
        r["market_id"]: r["slug"] for r in pq.read_table(real_data / "resolvedkit" / "markets.parquet").to_pylist()
    }
    for row in rows[500::6_000]:
        book = recorded.markets.book(f"polymarket:{slugs[row['market_id']]}:{'yes' if row['side'] == 'UP' else 'no'}")
        state = recorded.books_at(row["ts"] * 1_000_000)[book.index]
        for levels, prices, sizes in (
            (state.bids, row["bid_px"], row["bid_sz"]),
            (state.asks, row["ask_px"], row["ask_sz"]),
        ):
            told_levels = zip(prices, sizes, strict=True)
            assert levels == tuple(Level(round(p * 1_000_000), round(s * 1_000_000)) for p, s in told_levels)


@pytest.mark.real_data
def test_every_market_of_the_table_is_recorded_and_its_outcome_agrees(recorded: Tape) -> None:
    assert all(book.recorded for book in recorded.markets.books)
    assert len(baskets(recorded, ("complement",))) == 12
    paid = recorded.rows.meta & m.KIND_MASK == m.KIND_RESOLUTION
    for book, price in zip(recorded.rows.book[paid].tolist(), recorded.rows.price[paid].tolist(), strict=True):
        market_ = recorded.markets.books[book].market
        assert (price == 1_000_000) == (market_.resolution == ("yes", "no")[book % 2])


def test_ticks_got_finer_towards_the_end_of_some_markets() -> None:
    histories = [market_.grids for market_ in read_markets(MARKETS).markets]
    assert [len(grids) for grids in histories].count(2) == 8
