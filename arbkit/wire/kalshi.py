"""Kalshi's websocket messages, and what they say in YES prices and millionths.

Facts behind them (Kalshi docs and SDK, 2026; checked on a recorded session of the demo exchange):
- `seq` counts the messages of one subscription (`sid`) over all its markets, control messages such as "ok" too.
- A snapshot gives bids only, of both outcomes; a NO bid at p is a YES ask at one dollar minus p.
- `delta_fp` is a signed change of the contracts at a price, never a total; counts have two decimals.
- Prices of the NO side are NO prices, unless the subscription asked for `use_yes_price`: ours never does.
- Snapshots and control messages carry no time; deltas carry microseconds (`ts`), trades and fills milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from arbkit.core import units
from arbkit.core.errors import DataError
from arbkit.core.nesting import too_deep
from arbkit.core.units import MICRO, Price, Size

Outcome = Literal["yes", "no"]
LARGEST = 10**15  # millionths: a thousand million contracts in one order are a broken message
Levels = list[tuple[str, str]]  # (price in dollars, contracts), as text


class SubscribedBody(msgspec.Struct, frozen=True):
    """Which channel a new subscription carries."""

    channel: str
    sid: int


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a command was refused."""

    code: int
    msg: str = ""


class SnapshotBody(msgspec.Struct, frozen=True):
    """The whole book of one market: bids of both outcomes, a side without bids is left out."""

    market_ticker: str
    yes_dollars_fp: Levels = []  # every message gets a list of its own: msgspec copies an empty default
    no_dollars_fp: Levels = []


class DeltaBody(msgspec.Struct, frozen=True):
    """A signed change of the bids of one outcome at one of its prices."""

    market_ticker: str
    price_dollars: str
    delta_fp: str
    side: Outcome
    ts: str = ""  # RFC 3339, microseconds
    ts_ms: int | None = None


class TradeBody(msgspec.Struct, frozen=True):
    """A public trade. `taker_book_side` is stated on the YES book; older messages have `taker_side` alone."""

    market_ticker: str
    yes_price_dollars: str
    count_fp: str
    trade_id: str = ""
    taker_side: Outcome | None = None
    taker_outcome_side: Outcome | None = None
    taker_book_side: Literal["bid", "ask"] | None = None
    ts: int | None = None  # seconds
    ts_ms: int | None = None


class FillBody(msgspec.Struct, frozen=True):
    """A fill of one of our own orders. `side` and `action` mean something else here than on orders: left out."""

    market_ticker: str
    trade_id: str
    order_id: str
    yes_price_dollars: str
    count_fp: str
    is_taker: bool
    book_side: Literal["bid", "ask"] | None = None
    outcome_side: Outcome | None = None
    fee_cost: str = "0"
    client_order_id: str = ""
    ts_ms: int | None = None


class Subscribed(msgspec.Struct, frozen=True, tag_field="type", tag="subscribed"):
    """A subscription stands; it stands outside the count of `seq`."""

    msg: SubscribedBody
    id: int | None = None
    sid: int | None = None
    seq: int | None = None


class Ok(msgspec.Struct, frozen=True, tag_field="type", tag="ok"):
    """A command on a subscription was accepted; counts in its `seq`."""

    id: int | None = None
    sid: int | None = None
    seq: int | None = None


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A command was refused."""

    msg: ErrorBody
    id: int | None = None
    sid: int | None = None
    seq: int | None = None


class OrderbookSnapshot(msgspec.Struct, frozen=True, tag_field="type", tag="orderbook_snapshot"):
    """A book starts anew."""

    sid: int
    seq: int
    msg: SnapshotBody


class OrderbookDelta(msgspec.Struct, frozen=True, tag_field="type", tag="orderbook_delta"):
    """A book changes at one price."""

    sid: int
    seq: int
    msg: DeltaBody


class Trade(msgspec.Struct, frozen=True, tag_field="type", tag="trade"):
    """Others, or we, traded."""

    msg: TradeBody
    sid: int | None = None
    seq: int | None = None


class Fill(msgspec.Struct, frozen=True, tag_field="type", tag="fill"):
    """One of our orders was filled."""

    msg: FillBody
    sid: int | None = None
    seq: int | None = None


class Unknown(msgspec.Struct, frozen=True):
    """A message of a type that is not read here; it counts in its `seq` all the same."""

    type: str
    sid: int | None = None
    seq: int | None = None


Message = Subscribed | Ok | Error | OrderbookSnapshot | OrderbookDelta | Trade | Fill
TYPES = ("subscribed", "ok", "error", "orderbook_snapshot", "orderbook_delta", "trade", "fill")

_MESSAGE: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_ENVELOPE: msgspec.json.Decoder[Unknown] = msgspec.json.Decoder(Unknown)


class Malformed(DataError):
    """Not a message, or not what its type promises; carries the envelope where that could be read."""

    def __init__(self, why: str, envelope: Unknown | None = None) -> None:
        super().__init__(why)
        self.envelope = envelope


def decode(raw: str | bytes) -> Message | Unknown:
    """Return a message, decoded and validated in one step; `Unknown` for a type that is not read here.

    Raises Malformed for broken JSON and for a known type whose fields are not as promised.
    """
    if too_deep(raw.encode(errors="surrogatepass") if isinstance(raw, str) else raw):
        raise Malformed("nested too deep")
    try:
        return _MESSAGE.decode(raw)
    except msgspec.ValidationError as error:
        why = str(error)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"not JSON: {error}") from error
    try:
        envelope = _ENVELOPE.decode(raw)
    except (msgspec.DecodeError, UnicodeError):  # what follows a wrong field may be no JSON at all
        raise Malformed(f"not a message: {why}") from None
    if envelope.type not in TYPES:
        return envelope
    raise Malformed(f"{envelope.type}: {why}", envelope)


def envelope_of(message: Message) -> Unknown:
    """Return what every message has, for one whose content cannot be used."""
    return Unknown(message.__struct_config__.tag, message.sid, message.seq)  # type: ignore[arg-type]  # our tags are text


# -- what they say, on the YES scale ---------------------------------------------------------------------------


class Change(NamedTuple):
    """A change of the YES book: `bid` tells the side, `change` is signed, in millionths of a contract."""

    bid: bool
    price: Price
    change: int


class Book(NamedTuple):
    """The YES book: contracts by price, both in millionths, levels without contracts left out."""

    bids: dict[int, int]
    asks: dict[int, int]

    @property
    def crossed(self) -> bool:
        """Whether a buyer stands at or above a seller: a NO side in YES prices looks so."""
        return bool(self.bids) and bool(self.asks) and max(self.bids) >= min(self.asks)


def book_of(body: SnapshotBody) -> Book:
    """Return the YES book of a snapshot; raises ValueError for a price or count that cannot be."""
    bids = {quotable(price): contracts(count) for price, count in body.yes_dollars_fp}
    asks = {MICRO - quotable(price): contracts(count) for price, count in body.no_dollars_fp}
    return Book({p: n for p, n in bids.items() if n}, {p: n for p, n in asks.items() if n})


def change_of(body: DeltaBody) -> Change:
    """Return the change of the YES book that a delta tells; raises ValueError for one that cannot be."""
    at = quotable(body.price_dollars)
    if body.side == "yes":
        return Change(True, at, signed(body.delta_fp))
    return Change(False, Price(MICRO - at), signed(body.delta_fp))


def buyer_took(body: TradeBody) -> bool | None:
    """Tell whether the taker bought YES (or, which is the same, sold NO); None when the message does not say."""
    if body.taker_book_side is not None:
        return body.taker_book_side == "bid"
    side = body.taker_outcome_side or body.taker_side
    return None if side is None else side == "yes"


@lru_cache(maxsize=20_000)
def quotable(text: str) -> Price:
    """Return a price at which an order can stand, strictly between 0 and 1 dollar; raises ValueError otherwise."""
    found = units.price(text)
    if not 0 < found < MICRO:
        raise ValueError(f"not a price strictly between 0 and 1 dollar: {text!r}")
    return found


def contracts(text: str) -> Size:
    """Return a number of contracts in millionths; raises ValueError for one that cannot be."""
    found = units.size(text)
    if found > LARGEST:
        raise ValueError(f"not a size that anybody could trade: {text!r}")
    return found


def signed(text: str) -> int:
    """Return a change of contracts in millionths; raises ValueError for one that cannot be."""
    return -contracts(text[1:]) if text.startswith("-") else int(contracts(text))
