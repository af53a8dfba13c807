"""What a venue in a process of its own and its clients say to each other: JSON, a line each way.

A request is answered by one reply, or by several of which the last says so. All amounts are millionths, times ns.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from arbkit.core.model import Basket, Fill, Kind, MarketTable, Order, OrderReport, OrderStatus, Pair, Settlement
from arbkit.core.units import Cash, Price, Size
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from tests.rig import NO_B, YES_A, a_market

NULL = msgspec.Raw(b"null")


class Request(msgspec.Struct, frozen=True):
    id: int
    call: str
    value: msgspec.Raw = NULL


class Reply(msgspec.Struct, frozen=True):
    """`error` names the kind of refusal: "rejected" (with its cause), "unknown" or "unavailable"."""

    id: int
    value: msgspec.Raw = NULL
    last: bool = True
    error: str = ""
    why: str = ""
    cause: str = ""


class WireOrder(msgspec.Struct, frozen=True):
    """All that makes an order what it is: another order under the same key differs in one of these."""

    key: str
    book: str
    side: int
    limit: int
    size: int
    tif: str
    post_only: bool

    @classmethod
    def of(cls, order: Order) -> WireOrder:
        return cls(
            order.client_id,
            order.book.name,
            int(order.side),
            order.limit,
            order.size,
            order.tif.value,
            order.post_only,
        )


class WireFill(msgspec.Struct, frozen=True):
    id: str
    price: int
    size: int
    fee: int
    maker: bool
    at: int
    settlement: str


class WireReport(msgspec.Struct, frozen=True):
    key: str
    status: str
    fills: tuple[WireFill, ...] = ()
    at: int = 0
    reason: str = ""

    def read(self, now: int) -> OrderReport:
        """Return the report as the engine knows it, heard `now`."""
        fills = tuple(
            Fill(
                one.id,
                Price(one.price),
                Size(one.size),
                Cash(one.fee),
                now,
                one.at,
                one.maker,
                model="socket",
                settlement=Settlement(one.settlement),
            )
            for one in self.fills
        )
        return OrderReport(self.key, OrderStatus(self.status), fills, self.at, self.reason)


class WirePage(msgspec.Struct, frozen=True):
    """Orders with what is filled of each, and where the listing goes on."""

    rows: tuple[tuple[WireOrder, int], ...]
    cursor: str = ""


Levels = tuple[tuple[int, int], ...]  # (price, size), best first


class WireBook(msgspec.Struct, frozen=True):
    book: str
    bids: Levels
    asks: Levels


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue behaves from now on; shares are thousandths, times are (least, most) in ms, drawn evenly."""

    before_ms: tuple[float, float] = (0.0, 2.0)  # until what was sent arrives
    after_ms: tuple[float, float] = (0.0, 2.0)  # until the answer leaves
    late: int = 0  # orders that arrive `late_ms` later
    late_ms: tuple[float, float] = (0.0, 0.0)
    slow: int = 0  # answers that take `slow_ms` longer
    slow_ms: tuple[float, float] = (50.0, 200.0)
    lose_request: int = 0  # the connection breaks before an order or cancel arrives
    lose_answer: int = 0  # or after it was dealt with
    refuse: int = 0  # orders that are rejected
    only: str = ""  # `refuse`, `lose_request` and `lose_answer` strike keys that hold this text
    settle_ms: tuple[float, float] = (0.0, 0.0)
    void: int = 0  # fills that are taken back at settlement
    crowd: bool = False  # whether others move the books and trade with what rests
    fees_ppm: int = 10_000


class Truth(msgspec.Struct, frozen=True):
    """All that a venue has in its memory; `arrivals` counts how often each key was sent to it."""

    venue: str
    opening: int
    cash: int
    shares: dict[str, int]
    orders: dict[str, tuple[WireOrder, WireReport]]
    arrivals: dict[str, int]
    conflicts: tuple[str, ...]


# -- the world they share: YES at alpha and NO at beta ask the same question -------------------------------------


def the_table() -> MarketTable:
    markets = (a_market("alpha"), a_market("beta"))
    return market_table(markets, (Pair(markets[0], markets[1], "same"),))


def the_baskets(table: MarketTable) -> list[Basket]:
    return [one for one in baskets(table, (Kind.CROSS_VENUE,)) if [leg.name for leg in one.legs] == [YES_A, NO_B]]


def levels(written: Iterable[tuple[int, int]]) -> Levels:
    """Return levels of (cents, shares) in millionths."""
    return tuple((cents * 10_000, shares * 1_000_000) for cents, shares in written)
