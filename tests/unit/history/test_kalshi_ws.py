"""Raw Kalshi sessions: sequence numbers, signed changes, NO bids as YES asks, messages without a time."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.history.importers import import_recording, importer
from arbkit.history.importers.base import Source
from arbkit.history.markets import read_markets
from arbkit.history.tape import Tape, read_tape

MARKETS = Path(__file__).resolve().parents[2] / "data" / "markets" / "kalshi_ws_demo.toml"
Message = dict[str, Any]


def ns(ms: int) -> int:
    return 1_782_873_105_000_000_000 + ms * 1_000_000


def subscribed(sid: int = 1) -> Message:
    return {"type": "subscribed", "id": 1, "msg": {"channel": "orderbook_delta", "sid": sid}}


def ok(seq: int, sid: int = 1) -> Message:
    return {"type": "ok", "id": 2, "sid": sid, "seq": seq, "msg": {"market_tickers": ["A"]}}


def snapshot(seq: int, market: str = "A", yes: str = "0.4100", no: str = "0.5400", sid: int = 1) -> Message:
    sides = {"yes_dollars_fp": [["0.0100", "5.00"], [yes, "10.00"]], "no_dollars_fp": [[no, "7.50"]]}
    return {"type": "orderbook_snapshot", "sid": sid, "seq": seq, "msg": {"market_ticker": market, **sides}}


def delta(
    seq: int, ms: int, change: str, price: str = "0.4100", side: str = "yes", market: str = "A", sid: int = 1
) -> Message:
    stamp = f"2026-07-01T02:31:45.{ms:03d}000Z"
    body = {"market_ticker": market, "price_dollars": price, "delta_fp": change, "side": side, "ts": stamp}
    return {"type": "orderbook_delta", "sid": sid, "seq": seq, "msg": body}


def trade(ms: int, market: str = "A", **more: str) -> Message:
    body = {"market_ticker": market, "yes_price_dollars": "0.4400", "count_fp": "5.25", "ts_ms": ns(ms) // 1_000_000}
    return {"type": "trade", "sid": 4, "msg": {**body, **more}}


def imported(tmp_path: Path, messages: Iterable[Message | str]) -> Tape:
    path = tmp_path / "session.jsonl"
    path.write_text("\n\n".join(x if isinstance(x, str) else json.dumps(x) for x in messages) + "\n")
    import_recording(path, tmp_path / "tape", format="kalshi_ws")
    return read_tape(tmp_path / "tape")


def kinds(tape: Tape, book: int = 0) -> list[int]:
    return (tape.rows.meta[tape.rows.book == book] & m.KIND_MASK).tolist()


def figures(tape: Tape) -> dict[str, float]:
    return dict(tape.quality.files[0]["figures"])


def padding(seq: int, ms: int = 900, n: int = 200) -> list[Message]:
    """Harmless changes of another subscription, so that one refused row is no big share of the file."""
    return [snapshot(1, "PAD", sid=9), *(delta(2 + i, ms, "1.00", market="PAD", sid=9) for i in range(n))]


def test_no_bids_stand_as_yes_asks_and_one_book_is_recorded(tmp_path: Path) -> None:
    tape = imported(tmp_path, [subscribed(), snapshot(1), delta(2, 5, "-0.50", "0.5400", "no")])
    assert [book.recorded for book in tape.markets.books] == [True, False]
    state = tape.books_at(ns(5))[0]
    assert state.bids == (Level(410_000, 10_000_000), Level(10_000, 5_000_000))
    assert state.asks == (Level(460_000, 7_000_000),)
    assert tape.clocks == "venue"


def test_a_change_is_signed_fractional_and_written_as_the_new_total(tmp_path: Path) -> None:
    rows = [snapshot(1), delta(2, 5, "-1.84"), delta(3, 6, "0.01"), delta(4, 7, "-8.17"), delta(5, 8, "3", "0.4000")]
    tape = imported(tmp_path, rows)
    assert tape.rows.size[-4:].tolist() == [8_160_000, 8_170_000, 0, 3_000_000]
    assert tape.rows.ts_recv[-4:].tolist() == [ns(5), ns(6), ns(7), ns(8)]


def test_messages_without_a_time_take_that_of_the_row_before_or_the_first_after(tmp_path: Path) -> None:
    rows = [subscribed(), ok(1), snapshot(2), delta(3, 5, "1"), snapshot(4, "B"), delta(5, 9, "1", market="B")]
    tape = imported(tmp_path, rows)
    assert tape.rows.ts_recv[tape.rows.book == 0].tolist() == [ns(5)] * 5
    assert tape.rows.ts_recv[tape.rows.book == 2].tolist() == [ns(5)] * 4 + [ns(9)]


def test_a_later_snapshot_is_written_as_what_changed(tmp_path: Path) -> None:
    tape = imported(tmp_path, [snapshot(1), delta(2, 5, "1"), snapshot(3, yes="0.4200")])
    assert kinds(tape) == [m.KIND_CLEAR] + [m.KIND_LEVEL] * 4 + [m.KIND_LEVEL] * 2
    assert tape.rows.size[-2:].tolist() == [0, 10_000_000]


def test_control_messages_count_in_the_sequence(tmp_path: Path) -> None:
    tape = imported(tmp_path, [subscribed(), ok(1), snapshot(2), ok(3), delta(4, 5, "1")])
    assert tape.quality.measures.gaps == 0
    broken = imported(tmp_path, [subscribed(), ok(1), snapshot(2), delta(4, 5, "1")])
    assert broken.quality.measures.gaps == 1


def test_a_hole_makes_every_book_of_the_subscription_unknown_until_its_next_snapshot(tmp_path: Path) -> None:
    rows = [snapshot(1), snapshot(2, "B"), snapshot(1, "C", sid=2), delta(3, 5, "1")]
    rows += [delta(5, 6, "1"), delta(6, 7, "1", market="B"), delta(2, 8, "1", market="C", sid=2)]
    rows += [snapshot(7, "B"), delta(8, 9, "1", market="B"), delta(9, 10, "1")]
    tape = imported(tmp_path, rows)
    assert figures(tape) == {"sequence holes": 1}
    a, b, c = (tape.books_at(ns(7))[i] for i in (0, 2, 4))
    assert (a.known, b.known, c.known) == (False, False, True)
    a, b, c = (tape.books_at(ns(10))[i] for i in (0, 2, 4))
    assert (a.known, b.known, c.known) == (False, True, True)
    assert kinds(tape, 0)[-2:] == [m.KIND_GAP, m.KIND_MARK]  # what comes between is left out
    assert kinds(tape, 2).count(m.KIND_CLEAR) == 2
    # left out: changes of A at 6 and 10 ms, of B at 7 ms; unknown: A from 6 to 10 ms, B from 6 to 8 ms
    assert tape.quality.total("quarantined_rows") == 3
    assert tape.quality.total("quarantined_ns") == 6_000_000


def test_a_gap_stands_at_the_message_that_shows_the_hole_and_not_before(tmp_path: Path) -> None:
    tape = imported(tmp_path, [snapshot(1), delta(2, 5, "1"), delta(4, 90, "1")])
    assert tape.rows.ts_recv[kinds(tape).index(m.KIND_GAP)] == ns(90)
    assert tape.books_at(ns(89))[0].known


def test_a_message_that_comes_twice_is_dropped_but_its_number_with_another_text_is_lost_sync(tmp_path: Path) -> None:
    twice = delta(2, 5, "1")
    tape = imported(tmp_path, [snapshot(1), twice, twice, delta(3, 6, "1")])
    assert tape.quality.total("duplicates") == 1
    assert tape.rows.size[-1] == 12_000_000
    other = imported(tmp_path, [snapshot(1), twice, delta(2, 6, "2"), delta(3, 7, "1")])
    assert m.KIND_GAP in kinds(other)


def test_a_level_below_nothing_loses_that_book_alone(tmp_path: Path) -> None:
    rows = [snapshot(1), snapshot(2, "B"), delta(3, 5, "-10.01"), delta(4, 6, "1", market="B")]
    tape = imported(tmp_path, rows)
    assert figures(tape) == {"levels below nothing": 1}
    assert [tape.books_at(ns(6))[i].known for i in (0, 2)] == [False, True]


def test_changes_before_the_first_snapshot_make_no_book(tmp_path: Path) -> None:
    tape = imported(tmp_path, [delta(1, 5, "1"), snapshot(2), delta(3, 6, "1")])
    assert figures(tape) == {"deltas without a snapshot": 1}
    assert kinds(tape)[0] == m.KIND_CLEAR


def test_a_type_that_is_not_read_is_counted_and_keeps_the_sequence(tmp_path: Path) -> None:
    strange = {"type": "market_lifecycle_v3", "sid": 1, "seq": 2, "msg": {"anything": [1]}}
    tape = imported(tmp_path, [snapshot(1), strange, delta(3, 5, "1")])
    assert figures(tape) == {"messages of type 'market_lifecycle_v3', not read": 1}
    assert tape.quality.measures.gaps == 0


def test_a_line_that_is_no_json_is_refused_with_its_number_and_leaves_a_hole(tmp_path: Path) -> None:
    tape = imported(
        tmp_path, [snapshot(1), delta(2, 5, "1"), '{"type":"orderbook_delta","sid":1,', delta(4, 6, "1"), *padding(0)]
    )
    assert [(r.line, r.reason.split(":")[0]) for r in tape.quality.refusals] == [(5, "message")]
    assert not tape.books_at(ns(6))[0].known


@pytest.mark.parametrize(
    "bad",
    [
        delta(3, 6, "1", side="maybe"),
        delta(3, 6, "one"),
        delta(3, 6, "0.0000001"),
        delta(3, 6, "1", price="1.0000"),
        {**delta(3, 6, "1"), "msg": {**delta(3, 6, "1")["msg"], "ts": "yesterday"}},
    ],
)
def test_a_change_that_cannot_be_read_loses_the_book(tmp_path: Path, bad: Message) -> None:
    tape = imported(tmp_path, [snapshot(1), delta(2, 5, "1"), bad, delta(4, 7, "1"), *padding(0)])
    assert tape.quality.refused == 1
    assert not tape.books_at(ns(7))[0].known
    assert tape.books_at(ns(900))[2].known
    assert "sequence holes" not in figures(tape)


def test_a_snapshot_with_no_prices_on_the_yes_scale_is_refused(tmp_path: Path) -> None:
    # use_yes_price: NO bids told as YES prices would make a book in which buyers stand above sellers
    tape = imported(tmp_path, [snapshot(1, no="0.6000"), delta(2, 5, "1"), *padding(0)])
    assert [r.reason.split(":")[:2] for r in tape.quality.refusals] == [["snapshot", " crossed"]]
    assert kinds(tape) == []


def test_a_new_subscription_of_the_same_number_starts_anew(tmp_path: Path) -> None:
    tape = imported(
        tmp_path, [subscribed(), snapshot(1), delta(2, 5, "1"), subscribed(), snapshot(1), delta(2, 9, "1")]
    )
    assert kinds(tape).count(m.KIND_GAP) == 1
    assert "sequence holes" not in figures(tape)
    assert tape.books_at(ns(9))[0].known


def test_own_fills_never_stand_on_a_tape(tmp_path: Path) -> None:
    body = {"market_ticker": "A", "trade_id": "t", "order_id": "o", "yes_price_dollars": "0.4100", "count_fp": "1.00"}
    fill = {"type": "fill", "sid": 2, "msg": {**body, "is_taker": True, "side": "yes", "ts_ms": ns(6) // 1_000_000}}
    tape = imported(tmp_path, [snapshot(1), delta(2, 5, "1"), fill])
    assert figures(tape) == {"own fills skipped": 1}
    assert tape.quality.measures.prints == 0


@pytest.mark.parametrize(
    ("said", "taker"),
    [
        ({"taker_book_side": "ask", "taker_side": "yes"}, m.SELLER),
        ({"taker_outcome_side": "no", "taker_side": "yes"}, m.SELLER),
        ({"taker_side": "yes"}, m.BUYER),
        ({}, m.UNKNOWN_AGGRESSOR),
    ],
)
def test_a_public_trade_is_a_print_whose_time_is_inferred(tmp_path: Path, said: dict[str, str], taker: int) -> None:
    tape = imported(tmp_path, [snapshot(1), delta(2, 8, "1"), trade(5, **said)])
    assert (tape.rows.price[-1], tape.rows.size[-1], tape.rows.ts_recv[-1]) == (440_000, 5_250_000, ns(8))
    assert tape.rows.meta[-1] == m.meta(m.KIND_PRINT, taker, lower=True)


def test_a_session_in_which_nothing_has_a_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"session\.jsonl: no message carries a time"):
        imported(tmp_path, [subscribed(), snapshot(1)])


def test_sessions_are_recognised_by_their_messages() -> None:
    knows = importer("kalshi_ws").recognises
    assert knows(Path("x"), (json.dumps(subscribed()) + "\n\n" + json.dumps(snapshot(1)) + "\n").encode())
    assert knows(Path("x"), json.dumps(snapshot(1)).encode()[:100])  # the first line is longer than the piece shown
    assert not knows(Path("x"), b'{"method":"GET","response_body":"{}"}\n' * 5)
    assert not knows(Path("x"), b"timestamp,price\n1,2\n")
    assert not knows(Path("x"), b"")


@pytest.fixture(scope="module")
def lines(real_data: Path) -> list[str]:
    with gzip.open(real_data / "kalshi-ws-demo" / "session.jsonl.gz", "rt") as file:
        return [line.strip() for line in file if line.strip()]


@pytest.mark.real_data
def test_the_demo_session_is_clean(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "kalshi-ws-demo" / "session.jsonl.gz"
    assert importer("kalshi_ws").recognises(path, Source.at(path).head())
    quality = import_recording(path, tmp_path / "tape", MARKETS).quality
    assert (quality.rows_read, quality.refused, quality.total("duplicates")) == (2_898, 0, 0)
    assert (quality.measures.gaps, quality.measures.crossed, quality.total("backward")) == (0, 0, 0)
    assert quality.files[0]["figures"] == {"own fills skipped": 2}
    assert quality.usable_share == 1.0
    tape = read_tape(tmp_path / "tape")
    assert [book.recorded for book in tape.markets.books] == [True, False] * 5


@pytest.mark.real_data
def test_one_lost_line_of_the_demo_session_makes_its_books_unusable_to_the_end(
    lines: list[str], tmp_path: Path
) -> None:
    lost = next(i for i, line in enumerate(lines) if json.loads(line).get("seq") == 1_000)
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(lines[:lost] + lines[lost + 1 :]) + "\n")
    quality = import_recording(path, tmp_path / "tape", MARKETS).quality
    assert quality.files[0]["figures"]["sequence holes"] == 1
    assert quality.measures.gaps == 5  # one per book of the subscription
    assert quality.total("quarantined_rows") == 2_894 - 1_000
    tape = read_tape(tmp_path / "tape")
    assert not any(state.known for state in tape.books_at(int(tape.rows.ts_recv[-1])).values())
    assert quality.usable_share < 1.0


@pytest.mark.real_data
def test_a_lost_control_message_counts_as_a_hole_too(lines: list[str], tmp_path: Path) -> None:
    control = next(i for i, line in enumerate(lines) if json.loads(line).get("seq") == 3)
    assert json.loads(lines[control])["type"] == "ok"
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(lines[:control] + lines[control + 1 :]) + "\n")
    import_recording(path, tmp_path / "tape", MARKETS)
    tape = read_tape(tmp_path / "tape")
    end = int(tape.rows.ts_recv[-1])
    known = {tape.markets.books[i].market.id: state.known for i, state in tape.books_at(end).items()}
    # Only the snapshot of MIA stands before the hole; those behind it make their books known.
    assert [name for name, fine in known.items() if not fine] == ["KXNEXTTEAMNBA-26LJAM-MIA"]
    assert len(known) == 5


def test_the_demo_markets_say_what_is_not_known() -> None:
    spec = read_markets(MARKETS)
    assert len(spec.markets) == 5
    assert all(market.void is None and not market.fee_rules for market in spec.markets)
