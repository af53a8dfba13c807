"""Kalshi's websocket messages: decoded and validated in one step, told on the YES scale."""

import json
from pathlib import Path

import pytest

from arbkit.core.errors import DataError
from arbkit.wire import kalshi as wire


def text(**message: object) -> str:
    return json.dumps(message)


DELTA = {"market_ticker": "A", "price_dollars": "0.7400", "delta_fp": "-1.84", "side": "no"}


def test_a_message_becomes_the_struct_of_its_type() -> None:
    assert wire.decode(text(type="ok", id=6, sid=1, seq=1, msg={"market_tickers": ["A"]})) == wire.Ok(6, 1, 1)
    subscribed = wire.decode(text(type="subscribed", id=2, msg={"channel": "fill", "sid": 2}))
    assert isinstance(subscribed, wire.Subscribed)
    assert (subscribed.msg.sid, subscribed.seq) == (2, None)
    error = wire.decode(text(type="error", id=3, msg={"code": 6, "msg": "already subscribed"}))
    assert isinstance(error, wire.Error)
    assert error.msg.code == 6


def test_a_type_that_is_not_read_keeps_its_envelope() -> None:
    assert wire.decode(text(type="ticker", sid=3, seq=9, msg={"ts": 1})) == wire.Unknown("ticker", 3, 9)


@pytest.mark.parametrize("raw", ["", "{", "[1]", "5", '{"type": 5}', '{"no": "type"}', "\ud83d"])
def test_what_is_no_message_is_malformed_without_an_envelope(raw: str) -> None:
    with pytest.raises(wire.Malformed) as caught:
        wire.decode(raw)
    assert caught.value.envelope is None
    assert isinstance(caught.value, DataError)


def test_a_known_type_with_missing_fields_is_malformed_but_tells_its_number() -> None:
    with pytest.raises(wire.Malformed, match=r"orderbook_delta: .*market_ticker") as caught:
        wire.decode(text(type="orderbook_delta", sid=1, seq=7, msg={}))
    assert caught.value.envelope == wire.Unknown("orderbook_delta", 1, 7)


def test_cents_as_integers_are_refused_not_read_as_dollars() -> None:
    with pytest.raises(wire.Malformed):
        wire.decode(text(type="orderbook_delta", sid=1, seq=7, msg={**DELTA, "price_dollars": 74}))


def test_a_bid_for_no_is_an_ask_for_yes() -> None:
    message = wire.decode(text(type="orderbook_delta", sid=1, seq=7, msg=DELTA))
    assert isinstance(message, wire.OrderbookDelta)
    assert wire.change_of(message.msg) == wire.Change(bid=False, price=260_000, change=-1_840_000)  # type: ignore[arg-type]


def test_a_snapshot_is_a_yes_book_without_empty_levels() -> None:
    body = wire.SnapshotBody("A", [("0.0100", "1406474.86"), ("0.0200", "0.00")], [("0.7300", "55555.20")])
    book = wire.book_of(body)
    assert book == wire.Book({10_000: 1_406_474_860_000}, {270_000: 55_555_200_000})
    assert not book.crossed
    assert wire.Book({500_000: 1}, {500_000: 1}).crossed


@pytest.mark.parametrize("price", ["0", "1.0000", "1.01", "-0.01", "0.00000001", "nan", ""])
def test_a_price_at_which_nothing_can_stand_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="not a price"):
        wire.quotable(price)


@pytest.mark.parametrize("change", ["--1", "1e400", "1e10", "inf", "0.0000001", "x"])
def test_a_change_that_millionths_cannot_hold_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        wire.signed(change)


@pytest.mark.real_data
def test_every_recorded_sample_is_read(real_data: Path) -> None:
    files = sorted((real_data / "samples").glob("kalshi_ws_*.jsonl"))
    lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) >= 60
    assert not any(isinstance(wire.decode(line), wire.Unknown) for line in lines)
