import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arbkit.backtest.quotes import Quote, at_venue
from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.core.units import NS_PER_MS
from arbkit.history.store import WRITTEN_BYTES
from arbkit.history.tape import Tape, read_tape
from tests.builders import ASK, BID, START, TapeBuilder, a_market, a_table, cents, ms, shares

COLUMNS = ("ts_recv", "ts_venue", "book", "meta", "price", "size")


def columns(tape: Tape) -> dict[str, np.ndarray]:
    return {name: np.array(getattr(tape.rows, name)) for name in COLUMNS}


@pytest.fixture
def tape() -> Tape:
    """Two markets: the first is seen, changes, has a gap and comes back; the second is seen once."""
    build = TapeBuilder(a_table(a_market("a"), a_market("b")))
    build.snapshot(0, [(40, 5), (39, 7)], [(42, 6)], venue=-3)
    build.snapshot(5, [(57, 1)], [(59, 2)], book=2, venue=-20)
    build.level(10, BID, 41, 3, lower=True, venue=4).trade(20, 42, 6, m.BUYER, venue=15).level(20, ASK, 42, 0, venue=15)
    build.gap(30).level(31, BID, 40, 9).status(32, m.PAUSED)
    build.snapshot(40, [(38, 2)], [(45, 1)], venue=38)
    return build.tape()


# -- making ---


def test_a_row_takes_31_bytes(tape: Tape) -> None:
    assert sum(column.itemsize for column in tape.rows) == 8 + 8 + 2 + 1 + 4 + 8


def test_a_ladder_holds_every_price_of_levels_and_prints_of_one_book(tape: Tape) -> None:
    offsets, prices = tape.ladders
    assert offsets.tolist() == [0, 6, 6, 8, 8]
    assert prices[:6].tolist() == [cents(c) for c in (38, 39, 40, 41, 42, 45)]
    assert prices[6:].tolist() == [cents(57), cents(59)]


def test_the_largest_lag_is_kept_per_book(tape: Tape) -> None:
    assert tape.lag_max.tolist() == [6_000_000, 0, 25_000_000, 0]


def test_with_one_clock_the_received_stamps_are_the_venues_time(tape: Tape) -> None:
    one = Tape.from_columns(tape.markets, **columns(tape), clocks="venue")
    assert one.venue_time is one.rows.ts_recv
    assert one.lag_max.tolist() == [0, 0, 0, 0]
    assert tape.venue_time is tape.rows.ts_venue


def test_the_digest_depends_on_rows_clocks_and_markets_and_on_nothing_else(tape: Tape) -> None:
    same = Tape.from_columns(tape.markets, **columns(tape), source="elsewhere", licence="MIT")
    clocks = Tape.from_columns(tape.markets, **columns(tape), clocks="recv")
    changed = columns(tape)
    changed["size"][1] += 1
    rows = Tape.from_columns(tape.markets, **changed)
    markets = Tape.from_columns(a_table(a_market("a"), a_market("c")), **columns(tape))
    assert same.digest == tape.digest
    assert len({tape.digest, clocks.digest, rows.digest, markets.digest}) == 4


@pytest.mark.parametrize(
    ("column", "row", "value", "says"),
    [
        ("ts_recv", 5, START - 1, r"row 5: `ts_recv` = .* is before the row above it"),
        ("ts_recv", 3, START + 1, r"row 3: `ts_recv` = .* differs inside one message"),
        ("book", 2, 4, r"row 2: `book` = 4 is none of the 4 books"),
        ("book", 2, -1, r"row 2: `book` = -1 is none"),
        ("book", 2, 1, r"row 2: `book` = 1 is a mirror view"),
        ("book", 2, 40_000, r"row 2: `book` = 40000 does not fit int16"),
        ("meta", 2, m.meta(9), r"row 2: `meta` = 137 is of a reserved kind"),
        ("meta", 2, m.meta(m.KIND_LEVEL, 3, last=False), r"row 2: `meta` = 49 is a level on neither side"),
        ("meta", 2, m.meta(m.KIND_PRINT, last=False), r"row 2: `meta` = 2 is a print without an aggressor"),
        ("meta", 2, m.meta(m.KIND_CLEAR, 1, last=False), r"row 2: `meta` = 16 has a side where none belongs"),
        ("meta", -1, m.meta(m.KIND_LEVEL, BID, last=False), r"the tape ends inside a message"),
        ("price", 1, 0, r"row 1: `price` = 0 is not between 0 and 1"),
        ("price", 1, 1_000_000, r"row 1: `price` = 1000000 is not between"),
        ("price", 8, 1_000_001, r"row 8: `price` = 1000001 is outside"),
        ("size", 1, -1, r"row 1: `size` = -1 is negative"),
        ("size", 12, 5, r"row 12: `size` = 5 is no market status"),
    ],
)
def test_a_bad_row_is_refused_by_number_and_field(tape: Tape, column: str, row: int, value: int, says: str) -> None:
    changed = {name: values.astype(np.int64) for name, values in columns(tape).items()}
    changed[column][row] = value
    with pytest.raises(DataError, match=says):
        Tape.from_columns(tape.markets, **changed)


def test_floats_uneven_lengths_and_unknown_clocks_are_refused(tape: Tape) -> None:
    with pytest.raises(DataError, match="`price` must hold whole numbers, not float64"):
        Tape.from_columns(tape.markets, **{**columns(tape), "price": tape.rows.price / 1e6})
    with pytest.raises(DataError, match="differ in length"):
        Tape.from_columns(tape.markets, **{**columns(tape), "price": tape.rows.price[1:]})
    with pytest.raises(DataError, match="one dimension"):
        Tape.from_columns(tape.markets, **{**columns(tape), "price": [[1, 2]]})
    with pytest.raises(DataError, match="clocks must be one of"):
        Tape.from_columns(tape.markets, **columns(tape), clocks="sundial")  # type: ignore[arg-type]


def test_a_tape_may_be_empty() -> None:
    empty = TapeBuilder().tape()
    assert len(empty) == 0
    assert "empty" in repr(empty)
    assert len(empty.slice(0, 10)) == 0
    assert empty.to_frame().empty
    assert not empty.books_at(5)[0].known


# -- asking ---


def test_books_at_a_time_hold_the_last_word_on_every_level(tape: Tape) -> None:
    books = tape.books_at(ms(20))
    assert books.keys() == {0, 2}
    assert books[0].bids == (
        Level(cents(41), shares(3), False), Level(cents(40), shares(5)), Level(cents(39), shares(7)),
    )  # fmt: skip
    assert books[0].asks == ()
    assert books[0].at == ms(20)
    assert books[2].bids == (Level(cents(57), shares(1)),)


def test_a_book_is_unknown_before_its_first_clear_and_from_a_gap_to_the_next(tape: Tape) -> None:
    assert not tape.books_at(ms(4))[2].known
    assert not tape.books_at(ms(31))[0].known
    assert tape.books_at(ms(40))[0].bids == (Level(cents(38), shares(2)),)


def test_a_slice_opens_with_every_known_book_in_a_message_of_its_own(tape: Tape) -> None:
    part = tape.slice(ms(15), ms(21))
    assert part.books_at(ms(15)) == {b: s._replace(at=ms(15)) for b, s in tape.books_at(ms(15)).items()}
    assert part.books_at(ms(20))[0].asks == ()
    opening = part.rows.cut(part.rows.ts_recv == ms(15))
    assert opening.book.tolist() == [0] * 5 + [2] * 3
    assert np.flatnonzero(opening.meta & m.LAST).tolist() == [4, 7]
    assert (ms(15) - opening.ts_venue).tolist() == [6_000_000] * 5 + [25_000_000] * 3  # as far behind as they were
    assert len(part) == len(opening.book) + 2


def test_a_slice_puts_nothing_back_that_the_venue_has_changed_by_rows_that_are_on_their_way() -> None:
    """Heard of 5 ms late, the best ask stood at 0.52 at 600 ms; it had gone at 572, which took 30 ms to arrive."""
    whole = (
        TapeBuilder()
        .snapshot(0, [(48, 10)], [(52, 10)])
        .level(100, BID, 47, 5, venue=95)
        .level(602, ASK, 52, 0, venue=572)
        .mark(900)
        .tape()
    )
    part = whole.slice(ms(600), ms(1_000))
    asked = [(ms(at), whole.markets.books[0]) for at in (572, 700, 900)]
    assert at_venue(part, asked) == at_venue(whole, asked) == [Quote(cents(48), -1)] * 3
    assert part.lag_max.tolist() == [28_000_000 + 2_000_000, 0]


def test_a_slice_keeps_the_status_of_a_book_that_is_unknown(tape: Tape) -> None:
    part = tape.slice(ms(35), ms(36))
    kinds = part.rows.cut(part.rows.book == 0).meta & m.KIND_MASK
    assert kinds.tolist() == [m.KIND_STATUS]
    assert not part.books_at(ms(35))[0].known


def test_a_slice_of_everything_has_the_same_rows(tape: Tape) -> None:
    whole = tape.slice(0, ms(1_000))
    assert whole.digest == tape.digest


def test_a_frame_has_utc_times_dollars_and_shares(tape: Tape) -> None:
    frame = tape.to_frame()
    assert str(frame["ts_recv"].dtype) == "datetime64[ns, UTC]"
    assert str(frame["ts_venue"].dtype) == "datetime64[ns, UTC]"
    assert frame["price"].dtype == np.float64
    trade = frame[frame["kind"] == "print"].iloc[0]
    assert (trade["book"], trade["price"], trade["size"], trade["side"]) == ("venue:a:yes", 0.42, 6.0, 1)
    assert trade["ts_recv"] == pd.Timestamp(ms(20), tz="UTC")
    assert frame["lower"].sum() == 1


def test_a_tape_that_was_not_imported_measures_its_own_quality(tape: Tape) -> None:
    assert tape.quality.measures.gaps == 1
    assert tape.quality.measures.prints == 1
    assert 0 < tape.quality.lower_share < 1


# -- at rest ---


@pytest.fixture
def folder(tape: Tape, tmp_path: Path) -> Path:
    tape.write(tmp_path / "tape")
    return tmp_path / "tape"


def test_what_is_written_is_read_back_mapped(tape: Tape, folder: Path) -> None:
    for verify in (True, False):
        back = read_tape(folder, verify=verify)
        assert back.digest == tape.digest
        assert all((a == b).all() for a, b in zip(back.rows, tape.rows, strict=True))
        assert [a.dtype for a in back.rows] == [a.dtype for a in tape.rows]
        assert not back.rows.size.flags.owndata
        assert back.ladders.prices.tolist() == tape.ladders.prices.tolist()
        assert back.ladders.offsets.tolist() == tape.ladders.offsets.tolist()
        assert back.lag_max.tolist() == tape.lag_max.tolist()
        assert back.markets == tape.markets
        assert back.synthetic
        assert back.quality == tape.quality


def test_the_columns_are_read_from_parquet_where_the_mapped_file_is_missing(tape: Tape, folder: Path) -> None:
    (folder / "replay.arrow").unlink()
    assert read_tape(folder).digest == tape.digest


def test_days_are_files_of_their_own(tmp_path: Path) -> None:
    day = 24 * 3_600_000
    build = TapeBuilder().snapshot(0, [(40, 1)]).level(day, BID, 40, 2).level(3 * day, BID, 40, 3)
    build.tape().write(tmp_path / "tape")
    assert len(list((tmp_path / "tape" / "rows").iterdir())) == 3
    assert read_tape(tmp_path / "tape").digest == build.tape().digest


def test_an_empty_tape_can_be_kept(tmp_path: Path) -> None:
    empty = TapeBuilder().tape()
    empty.write(tmp_path / "tape")
    assert read_tape(tmp_path / "tape").digest == empty.digest
    (tmp_path / "tape" / "replay.arrow").unlink()
    assert read_tape(tmp_path / "tape").digest == empty.digest


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_else(tape: Tape, folder: Path) -> None:
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    tape.write(folder)
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["tape"]


def test_columns_longer_than_what_is_written_at_once_come_back_whole(tape: Tape, tmp_path: Path) -> None:
    times = 2 * WRITTEN_BYTES // (8 * len(tape)) + 1
    told = {name: np.tile(column, times) for name, column in columns(tape).items()}
    later = np.repeat(100 * NS_PER_MS * np.arange(times), len(tape))
    long = Tape.from_columns(tape.markets, **told | {name: told[name] + later for name in ("ts_recv", "ts_venue")})
    long.write(tmp_path / "long")
    found = read_tape(tmp_path / "long")  # all of it is verified
    assert all(np.array_equal(a, b) for a, b in zip(found.rows, long.rows, strict=True))
    again = tmp_path / "again"
    found.write(again)  # from columns that are mapped
    assert (again / "replay.arrow").read_bytes() == (tmp_path / "long" / "replay.arrow").read_bytes()


def test_what_is_not_a_tape_is_not_overwritten(tape: Tape, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    with pytest.raises(DataError, match="exists and is not a tape"):
        tape.write(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "dear"


def edit(folder: Path, **changes: object) -> None:
    document = json.loads((folder / "tape.json").read_text())
    (folder / "tape.json").write_text(json.dumps({**document, **changes}))


def test_a_foreign_schema_version_is_refused(folder: Path) -> None:
    edit(folder, schema_version=2)
    with pytest.raises(DataError, match=r"tape\.json: field `schema_version`: 2, but this arbkit reads 1"):
        read_tape(folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tape.json", b"{", r"tape\.json: not readable"),
        ("tape.json", b"[]", r"tape\.json: field `schema_version` is missing"),
        ("tape.json", b'{"schema_version": 1}', r"tape\.json: field `rows` is missing"),
        ("markets.parquet", b"PAR1nonsense", r"markets\.parquet: cannot be read"),
        ("replay.arrow", b"ARROW1nonsense", r"replay\.arrow: cannot be read"),
        ("rows/2026-05-28.parquet", b"PAR1", r"2026-05-28\.parquet: cannot be read"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes, says: str) -> None:
    assert (folder / name).is_file()
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_tape(folder)


def test_a_changed_byte_is_noticed(folder: Path) -> None:
    path = folder / "replay.arrow"
    damaged = bytearray(path.read_bytes())
    at = damaged.index(np.int64(shares(5)).tobytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="do not match the digest"):
        read_tape(folder)


def rewrite(file: Path, column: str, change: int) -> None:
    """Write a Parquet file anew with one number of its second row changed: as readable as it was."""
    table = pq.read_table(file)
    at = table.column_names.index(column)
    values = table.column(column).to_numpy().copy()
    values[1] += change
    pq.write_table(table.set_column(at, column, pa.array(values)), file)


@pytest.mark.parametrize(("column", "change"), [("ts_recv", 1), ("lag", 1), ("book", 1), ("price", 1), ("size", 1)])
def test_a_record_that_differs_from_the_mapped_file_is_noticed(folder: Path, column: str, change: int) -> None:
    rewrite(folder / "rows" / "2026-05-28.parquet", column, change)
    with pytest.raises(DataError, match=r"2026-05-28\.parquet: its rows are not those of replay\.arrow"):
        read_tape(folder)


def test_a_record_whose_days_have_each_others_rows_is_noticed(tmp_path: Path) -> None:
    day = 24 * 3_600_000
    TapeBuilder().snapshot(0, [(40, 1)]).level(day, BID, 40, 2).tape().write(tmp_path / "tape")
    first, second = sorted((tmp_path / "tape" / "rows").iterdir())
    assert len(read_tape(tmp_path / "tape")) == 3
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    with pytest.raises(DataError, match=f"{first.name}: its rows are not those of replay"):
        read_tape(tmp_path / "tape")


def test_ladders_and_lags_that_are_not_those_of_the_rows_are_noticed(tape: Tape, folder: Path) -> None:
    edit(folder, lag_max=[*tape.lag_max[:-1].tolist(), 1])
    with pytest.raises(DataError, match=r"tape\.json: field `lag_max` is not that of the rows"):
        read_tape(folder)
    tape.write(folder)
    rewrite(folder / "ladders.parquet", "price", 1)
    with pytest.raises(DataError, match=r"ladders\.parquet: does not hold the prices of the rows"):
        read_tape(folder)


def test_missing_rows_and_wrong_clocks_are_noticed(folder: Path) -> None:
    edit(folder, clocks="sundial")
    with pytest.raises(DataError, match="field `clocks`: 'sundial'"):
        read_tape(folder)
    next((folder / "rows").iterdir()).unlink()
    with pytest.raises(DataError, match=r"rows: holds 0 rows, tape\.json says 16"):
        read_tape(folder)
    with pytest.raises(DataError, match="not a tape: there is no"):
        read_tape(folder / "rows")
