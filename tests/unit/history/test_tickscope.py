"""Tickscope's Parquet: both tokens of a market, no opening snapshot, ghosts that printed bests give away."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.detection.baskets import baskets
from arbkit.history.importers import import_recording
from arbkit.history.importers.tickscope import COLUMNS
from arbkit.history.markets import read_markets
from arbkit.history.tape import Tape, read_tape
from tests.unit.history.laws import asks_below_one

MARKETS = Path(__file__).resolve().parents[2] / "data" / "markets" / "tickscope.toml"
START = datetime(2026, 6, 7, 1, 30, tzinfo=UTC)
Row = tuple[int | None, str | None, str, str, float | None, float, float, float]


def ns(ms: int) -> int:
    return 1_780_795_800_000_000_000 + ms * 1_000_000


def change(
    ms: int | None, token: str | None, side: str, price: float | None, size: float, bid: float, ask: float
) -> Row:
    return (ms, token, "PRICE_CHANGE", side, price, size, bid, ask)


def trade(ms: int, token: str, side: str, price: float, size: float) -> Row:
    return (ms, token, "LAST_TRADE", side, price, size, 0.0, 0.0)


def both(ms: int, side: str, price: float, size: float, bid: float, ask: float) -> list[Row]:
    """One change as the recording has it: for YES, and mirrored for NO."""
    other = "ASK" if side == "BID" else "BID"
    mirrored = change(ms, "no", other, round(1 - price, 6), size, round(1 - ask, 6), round(1 - bid, 6))
    return [change(ms, "yes", side, price, size, bid, ask), mirrored]


def written(path: Path, rows: Sequence[Row]) -> Path:
    columns = list(zip(*rows, strict=True))
    stamps = [None if ms is None else START + timedelta(milliseconds=ms) for ms in columns[0]]
    arrays = [pa.array(stamps, pa.timestamp("ms", tz="UTC"))]
    arrays += [pa.array(column, pa.string()).dictionary_encode() for column in columns[1:4]]
    arrays += [pa.array(column, pa.float64()) for column in columns[4:]]
    pq.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), path)
    return path


def imported(tmp_path: Path, rows: Sequence[Row], paired: bool = True) -> Tape:
    path = written(tmp_path / "sports.parquet", rows)
    fields = "event outcome payout exclusive exhaustive void tick lot min_size fee_rule start close resolution"
    table = tmp_path / "markets.toml"
    lines = ["[[market]]", 'venue = "polymarket"', 'id = "M"', *(f'{name} = "unknown"' for name in fields.split())]
    table.write_text("\n".join([*lines, 'source = { yes = "yes", no = "no" }', ""]))
    import_recording(path, tmp_path / "tape", table if paired else None, "tickscope")
    return read_tape(tmp_path / "tape")


def kinds(tape: Tape) -> list[int]:
    return (tape.rows.meta & m.KIND_MASK).tolist()


def test_a_book_is_known_from_its_first_change_as_far_as_the_printed_bests_tell(tmp_path: Path) -> None:
    state = imported(tmp_path, [change(0, "yes", "BID", 0.31, 198.0, 0.35, 0.39)]).books_at(ns(0))[0]
    assert state.known
    assert state.bids == (Level(350_000, 10_000, exact=False), Level(310_000, 198_000_000))
    assert state.asks == (Level(390_000, 10_000, exact=False),)


def test_rows_of_one_stamp_are_one_message_over_both_tokens(tmp_path: Path) -> None:
    rows = (
        both(0, "BID", 0.35, 5, 0.35, 0.39) + both(0, "ASK", 0.39, 6, 0.35, 0.39) + both(7, "BID", 0.3, 5, 0.35, 0.39)
    )
    tape = imported(tmp_path, rows)
    ends = [i for i, code in enumerate(tape.rows.meta.tolist()) if code & m.LAST]
    assert len(ends) == 2
    assert tape.rows.ts_recv[ends].tolist() == [ns(0), ns(7)]
    assert set(tape.rows.book[: ends[0] + 1].tolist()) == {0, 1}


def test_printed_bests_are_read_at_the_end_of_a_message(tmp_path: Path) -> None:
    # The first row of the second message prints the best that its second row leads to, as recordings do.
    rows = [
        *both(0, "BID", 0.35, 5, 0.35, 0.39),
        *both(5, "BID", 0.3, 9, 0.3, 0.39),
        *both(5, "BID", 0.35, 0, 0.3, 0.39),
    ]
    tape = imported(tmp_path, rows)
    assert [entry["figures"] for entry in tape.quality.files] == [{"printed bests of unknown size": 2}]
    assert tape.books_at(ns(5))[0].bids == (Level(300_000, 9_000_000),)


def test_a_ghost_is_removed_on_both_tokens_and_counted(tmp_path: Path) -> None:
    rows = [
        *both(0, "ASK", 0.50, 7710.24, 0.49, 0.50),
        *both(0, "BID", 0.49, 5, 0.49, 0.50),
        *both(9, "BID", 0.51, 5, 0.51, 0.52),  # the removal of the ask at 0.50 was lost
    ]
    tape = imported(tmp_path, rows)
    assert [level.price for level in tape.books_at(ns(9))[0].asks] == [520_000]
    assert tape.quality.measures.crossed == 0
    figures = tape.quality.files[0]["figures"]
    assert figures["levels proven empty by a printed best"] == 2
    assert figures["of these, removals the recording never states"] == 2


def test_exact_repeats_are_dropped_also_when_a_trade_came_between(tmp_path: Path) -> None:
    once = both(0, "BID", 0.35, 5, 0.35, 0.39)
    tape = imported(tmp_path, [*once, *once, trade(-4, "yes", "BID", 0.39, 2), *once, trade(-4, "yes", "BID", 0.39, 2)])
    assert tape.quality.total("duplicates") == 5
    assert kinds(tape).count(m.KIND_PRINT) == 1


def test_prints_keep_their_place_and_their_own_stamp(tmp_path: Path) -> None:
    rows = [
        *both(10, "BID", 0.35, 5, 0.35, 0.39),
        trade(4, "yes", "ASK", 0.35, 2.083332),
        *both(11, "BID", 0.35, 3, 0.35, 0.39),
    ]
    tape = imported(tmp_path, rows)
    at = kinds(tape).index(m.KIND_PRINT)
    assert tape.rows.ts_recv[at] == ns(10)  # never back
    assert tape.rows.ts_venue[at] == ns(4)
    assert tape.rows.size[at] == 2_083_332
    assert (tape.rows.meta[at] & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SELLER
    assert tape.quality.total("backward") == 1
    assert tape.quality.files[0]["backward_max_ns"] == 6_000_000


def test_a_print_of_the_no_token_stands_on_the_yes_book(tmp_path: Path) -> None:
    tape = imported(tmp_path, [*both(0, "BID", 0.35, 5, 0.35, 0.39), trade(1, "no", "BID", 0.65, 2)])
    assert (tape.rows.book[-1], tape.rows.price[-1]) == (0, 350_000)
    assert (tape.rows.meta[-1] & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SELLER


def test_tokens_that_nothing_pairs_are_markets_of_their_own(tmp_path: Path) -> None:
    tape = imported(tmp_path, both(0, "BID", 0.35, 5, 0.35, 0.39), paired=False)
    assert [market.id for market in tape.markets.markets] == ["yes", "no"]
    assert sorted(set(tape.rows.book.tolist())) == [0, 2]


def test_unusable_rows_are_refused_with_their_number(tmp_path: Path) -> None:
    good = [change(i, "yes", "BID", 0.35, i + 1.0, 0.35, 0.39) for i in range(1000)]
    bad: list[Row] = [
        change(None, "yes", "BID", 0.35, 1, 0.35, 0.39),
        change(1000, None, "BID", 0.35, 1, 0.35, 0.39),
        change(1000, "yes", "BUY", 0.35, 1, 0.35, 0.39),
        (1000, "yes", "BOOK", "BID", 0.35, 1, 0.35, 0.39),
        change(1000, "yes", "BID", None, 1, 0.35, 0.39),
        change(1000, "yes", "BID", float("inf"), 1, 0.35, 0.39),
        change(1000, "yes", "BID", 35.0, 1, 0.35, 0.39),
        change(1000, "yes", "BID", 0.35, -1, 0.35, 0.39),
        change(1000, "yes", "BID", 0.3500004, 1, 0.35, 0.39),
        trade(1000, "yes", "BID", 0.35, 0),
    ]
    quality = imported(tmp_path, good + bad).quality
    assert (quality.rows_read, quality.refused) == (1010, 10)
    assert [refusal.line for refusal in quality.refusals] == list(range(1001, 1011))
    said = [refusal.reason.split(":")[0] for refusal in quality.refusals]
    assert said == ["timestamp", "asset_id", "side", "event_type", "price", "price", "price", "size", "price", "size"]


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "sports.parquet", both(0, "BID", 0.35, 5, 0.35, 0.39))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"sports\.parquet: damaged Parquet"):
        import_recording(path, tmp_path / "tape", format="tickscope")


def test_parquet_with_other_columns_is_not_ours(tmp_path: Path) -> None:
    pq.write_table(pa.table({"price": [0.5]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not a recording that is known here"):
        import_recording(tmp_path / "other.parquet", tmp_path / "tape", format="tickscope")


@pytest.fixture(scope="module")
def recorded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tape:
    dest = tmp_path_factory.mktemp("tickscope") / "tape"
    import_recording(real_data / "tickscope", dest, MARKETS, "tickscope")
    return read_tape(dest)


@pytest.mark.real_data
def test_the_recording_has_its_measured_figures(recorded: Tape) -> None:
    quality = recorded.quality
    assert (quality.rows_read, quality.refused, quality.total("duplicates")) == (206_848, 0, 93)
    assert (quality.total("backward"), quality.files[0]["backward_max_ns"]) == (1_395, 2_485_000_000)
    assert quality.files[0]["figures"] == {
        "printed bests of unknown size": 26,
        "levels proven empty by a printed best": 6,
        "of these, removals the recording never states": 2,
    }
    assert quality.measures.prints == 482  # 483, one of them an exact repeat
    assert quality.lower_share < 0.01
    assert quality.usable_share == pytest.approx(1.0, abs=1e-3)


@pytest.mark.real_data
def test_no_message_of_the_recording_leaves_a_crossed_book(recorded: Tape) -> None:
    assert recorded.quality.measures.crossed == 0


@pytest.mark.real_data
def test_both_outcomes_of_one_market_never_cost_less_than_a_dollar(recorded: Tape) -> None:
    assert asks_below_one(recorded) == 0
    assert len(baskets(recorded, ("complement",))) == 6


@pytest.mark.real_data
def test_without_printed_bests_the_ghost_would_cross_most_of_what_follows(real_data: Path) -> None:
    table = pq.read_table(real_data / "tickscope" / "polymarket_20260607_0130.parquet")
    token = next(market for market in read_markets(MARKETS).markets if market.id == "92414594").source[1][1]
    rows = table.filter(pa.compute.equal(table["asset_id"], token)).to_pylist()
    lost = table["timestamp"][0].as_py() + timedelta(seconds=571.665)  # when a printed best first denies it
    levels: dict[str, dict[int, float]] = {"BID": {}, "ASK": {}}
    looked: Counter[bool] = Counter()
    for row in rows:
        if row["event_type"] != "PRICE_CHANGE":
            continue
        side, price = levels[row["side"]], round(row["price"] * 1_000_000)
        side[price] = row["size"]
        if not row["size"]:
            del side[price]
        if row["timestamp"] > lost:
            looked[max(levels["BID"]) > min(levels["ASK"])] += 1
    assert looked[True] / looked.total() > 0.69
