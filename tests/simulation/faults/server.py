"""An exchange: accounts, orders by their key, matching, settlement, and its own ledger, which is the truth.

It lives outside every process of ours: nothing that happens to a client stops what it does. What it knows leaves it
as answers to requests (`handle`) and as words on the order stream (`tell`), both plain values as a wire carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from arbkit.backtest.mock_platform import MockFees
from arbkit.core.model import Book, MarketTable, Order, Side, TimeInForce
from arbkit.core.units import MICRO, cost, proceeds
from tests.simulation.faults.market import Change, ServerBook
from tests.simulation.faults.wire import Reply, Request

if TYPE_CHECKING:
    from tests.simulation.faults.world import World

LIVE, DELAYED, MATCHED, CANCELED = "live", "delayed", "matched", "canceled"


@dataclass(slots=True)
class ServerFill:
    """One execution; `state` is provisional, confirmed or failed."""

    id: str
    key: str
    price: int
    size: int
    fee: int
    at: int
    maker: bool
    state: str
    crossed: bool = False  # told under the other outcome's name


@dataclass(slots=True)
class ServerOrder:
    """An order as the venue has it; what nobody here placed has no key."""

    id: str
    key: str
    order: Order
    status: str
    at: int
    fills: list[ServerFill] = field(default_factory=list)
    cancelled_at: int = 0
    shown: bool = False  # it has come to rest in the public book

    @property
    def matched(self) -> int:
        return sum(fill.size for fill in self.fills)

    @property
    def filled(self) -> int:
        return sum(fill.size for fill in self.fills if fill.state != "failed")

    @property
    def left(self) -> int:
        return max(0, self.order.size - self.matched)

    @property
    def rests(self) -> bool:
        return self.status in (LIVE, DELAYED)


def _level(order: Order) -> tuple[int, int]:
    """Return where an order rests in the book of YES: side (+1 bid, -1 ask) and price."""
    yes = order.book.outcome == "yes"
    return 1 if yes == (order.side is Side.BUY) else -1, int(order.limit) if yes else MICRO - order.limit


class Exchange:
    """One venue. `settles` tells whether fills are final at once, or provisional for some seconds first."""

    def __init__(
        self, world: World, name: str, table: MarketTable, rng: Random, *, settles: bool, middles: dict[str, int]
    ) -> None:
        self.world = world
        self.name = name
        self.settles = settles
        self.fees = MockFees(rng.choice((0, 0, 2_000, 10_000)), rng.choice((0, 0, 1_000)))
        self.books: dict[str, ServerBook] = {}
        self.by_index: dict[int, Book] = {}
        for book in table.books:
            if book.venue == name:
                self.by_index[book.index] = book
                if book.outcome == "yes":
                    self.books[book.market.id] = ServerBook(book.market, book, rng, middles[book.market.id])
        self.cash = rng.choice((400, 1_000)) * MICRO
        self.shares: dict[int, int] = {}
        self.settled: dict[int, int] = {}  # shares that may be sold
        self.by_hand: tuple[int, dict[int, int]] = (0, {})  # cash and shares that people have moved on our account
        self.orders: dict[str, ServerOrder] = {}  # by key
        self.foreign: dict[str, ServerOrder] = {}  # by id
        self.duplicates_refused = rng.random() < 0.5
        self.page_size = rng.choice((1, 2, 100))
        self.skew_ns = 0
        self.listeners: list[Callable[[ServerOrder], None]] = []
        self.on_book: list[Callable[[ServerBook, list[Change]], None]] = []
        self._rng = rng
        self._numbers = 0

    def now(self) -> int:
        return self.world.loop.time_ns()

    # -- requests ------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Do what a request asks, and return the answer."""
        return getattr(self, f"_{request.kind}")(request)  # type: ignore[no-any-return]

    def _submit(self, request: Request) -> Reply:
        order = request.order
        assert order is not None
        known = self.orders.get(order.client_id)
        if known is not None:
            self.world.invariants.same_bytes(known.order, order)
            if self.duplicates_refused:
                return Reply(400, {"error": "duplicate"})
            return Reply(200, self.body(known))
        if why := self._refusal(order):
            self.world.note(self.name, "refuses", order.client_id, why)
            return Reply(400, {"error": why})
        placed = self.orders[order.client_id] = ServerOrder(self._number("o"), order.client_id, order, LIVE, self.now())
        self.world.on_server(self.name, "placed", order.client_id)
        held = self.world.injector.delay_of_match(self, placed)
        if held:
            placed.status = DELAYED
            self.world.loop.after(held, self._match_later, placed)
        else:
            self._match(placed)
            if not placed.matched and order.tif is not TimeInForce.GTC and self.world.injector.no_match_is_400(self):
                return Reply(400, {"error": "no_match", "order": self.body(placed)})
        return Reply(201, self.body(placed))

    def _refusal(self, order: Order) -> str:
        """Return what the venue has against an order, in its own words, or nothing."""
        book = self.books[order.book.market.id]
        grid = book.grid if order.book.outcome == "yes" else book.grid.mirrored()
        if book.closed:
            return "closed"
        if book.status == "paused" or book.status == "cancel-only":
            return "paused"
        if book.status == "post-only" and not order.post_only:
            return "post_only_mode"
        if not grid.holds(order.limit):
            return "tick"
        if order.size % book.lot or order.size < book.min_size:
            return "size"
        if order.side is Side.SELL and order.size > self.sellable(order.book.index):
            return "balance"
        if order.side is Side.BUY and cost(order.limit, order.size) > self.free_cash():
            return "balance"
        if order.post_only and book.within(order):
            return "crosses"
        return ""

    def _cancel(self, request: Request) -> Reply:
        assert request.order is not None
        known = self.orders.get(request.order.client_id)
        if known is None:
            return Reply(404, {"error": "not_found"})
        if not known.rests:
            return Reply(400, {"error": "ended"})  # already cancelled or matched: ask what became of it
        self.end(known)
        return Reply(200, self.body(known))

    def _status(self, request: Request) -> Reply:
        assert request.order is not None
        known = self.orders.get(request.order.client_id)
        return Reply(404, {"error": "not_found"}) if known is None else Reply(200, self.body(known))

    def _open(self, request: Request) -> Reply:
        rows = [self.body(o) for o in (*self.orders.values(), *self.foreign.values()) if o.rests]
        start = int(request.cursor or 0)
        end = start + self.page_size
        return Reply(200, {"rows": rows[start:end], "cursor": str(end) if end < len(rows) else ""})

    def _time(self, request: Request) -> Reply:
        return Reply(200, {"time": self.now() + self.skew_ns})

    def _balance(self, request: Request) -> Reply:
        return Reply(200, {"cash": self.free_cash()})

    def _positions(self, request: Request) -> Reply:
        return Reply(200, {"shares": {index: held for index, held in self.shares.items() if held}})

    def body(self, known: ServerOrder) -> dict[str, Any]:
        """Return an order as the wire carries it; prices are of the outcome that `asset` names."""
        order = known.order
        fills = []
        for fill in known.fills:
            asset, price = order.book.outcome, fill.price
            if fill.crossed:  # matched against the other outcome, and told under its name
                asset, price = "no" if asset == "yes" else "yes", MICRO - price
            fills.append((fill.id, asset, price, fill.size, fill.fee, fill.at, fill.maker, fill.state))
        return {
            "unit": "micro",
            "id": known.id,
            "key": known.key,
            "book": order.book.name,
            "side": int(order.side),
            "limit": int(order.limit),
            "size": int(order.size),
            "status": known.status,
            "fills": fills,
        }

    # -- matching ------------------------------------------------------------------------------------------------

    def _match_later(self, placed: ServerOrder) -> None:
        if placed.status == DELAYED:
            placed.status = LIVE
            if self.books[placed.order.book.market.id].closed:
                self.end(placed)
            else:
                self._match(placed)
                self.tell(placed)

    def _match(self, placed: ServerOrder) -> None:
        order = placed.order
        book = self.books[order.book.market.id]
        self.world.injector.before_match(self, book, placed)
        levels = book.within(order)
        if order.tif is TimeInForce.FOK and sum(shares for _, shares in levels) < order.size:
            levels = []
        most = self.world.injector.most_of(self, placed)
        changes: list[Change] = []
        paid: list[tuple[int, int]] = []
        for price, shares in levels:
            part = min(shares, placed.left, most)
            if part <= 0:
                break
            most -= part
            changes.append(book.take(order, price, part))
            own = book.own(order, price)
            own, part = self.world.injector.word_of_fill(self, placed, own, part)
            paid.append((own, part))
            fee = self.fees.order_fee(paid, maker=False) - self.fees.order_fee(paid[:-1], maker=False)
            self._fill(placed, own, part, fee, maker=False)
        if changes:
            self._moved(book, changes)
        if placed.left == 0:
            placed.status = MATCHED
        elif order.tif is not TimeInForce.GTC:
            placed.status = CANCELED
            placed.cancelled_at = self.now()
        else:
            placed.shown = True
            self._moved(book, [(*_level(order), 0)])
            self._attract(placed)
        self.world.on_server(self.name, placed.status, placed.key)
        if order.tif is TimeInForce.GTC or placed.fills:
            self.tell(placed)

    def _attract(self, placed: ServerOrder) -> None:
        """Let other people come for a resting order, some of them, some time."""
        rng = self._rng
        at = 0.0
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            at += rng.uniform(0.05, 2.5)
            shares = rng.randint(1, max(1, placed.order.size // MICRO)) * MICRO
            self.world.loop.after(at, self.hit, placed, shares)

    def hit(self, placed: ServerOrder, shares: int) -> int:
        """Let somebody trade against a resting order of ours; return how many shares that were."""
        part = self._hit(placed, shares)
        if part:
            self._show(self.books[placed.order.book.market.id], [_level(placed.order)])
        return part

    def _hit(self, placed: ServerOrder, shares: int) -> int:
        """Fill a part of a resting order of ours."""
        part = min(shares, placed.left)
        lot = self.books[placed.order.book.market.id].lot
        part = part // lot * lot
        if placed.status != LIVE or part <= 0 or self.books[placed.order.book.market.id].closed:
            return 0
        price = int(placed.order.limit)
        price, part = self.world.injector.word_of_fill(self, placed, price, part)
        self._fill(placed, price, part, self.fees.order_fee([(price, part)], maker=True), maker=True)
        if placed.left == 0:
            placed.status = MATCHED
        self.world.on_server(self.name, "hit", placed.key)
        self.tell(placed)
        return part

    # -- the public book -----------------------------------------------------------------------------------------

    def public(self, book: ServerBook) -> tuple[dict[int, int], dict[int, int]]:
        """Return bids and asks as everybody sees them: ours rest among those of other people."""
        bids, asks = dict(book.bids), dict(book.asks)
        for placed in self.orders.values():
            if placed.shown and placed.status == LIVE and placed.order.book.market.id == book.market.id:
                side, price = _level(placed.order)
                levels = bids if side > 0 else asks
                levels[price] = levels.get(price, 0) + placed.left
        return bids, asks

    def _show(self, book: ServerBook, places: Iterable[tuple[int, int]]) -> None:
        """Tell everybody of levels that changed, (side, price)."""
        bids, asks = self.public(book)
        levels = [(side, price, (bids if side > 0 else asks).get(price, 0)) for side, price in dict.fromkeys(places)]
        for listener in self.on_book:
            listener(book, levels)

    def _moved(self, book: ServerBook, changes: list[Change]) -> None:
        """Tell of a book that moved; a book that moved through a resting order of ours has traded with it first."""
        if not changes:
            return
        places = [(side, price) for side, price, _ in changes]
        for placed in list(self.orders.values()):
            if not placed.shown or placed.order.book.market.id != book.market.id:
                continue
            for price, shares in book.within(placed.order):
                if placed.status != LIVE or not (part := self._hit(placed, shares)):
                    break
                side, _, _ = book.take(placed.order, price, min(part, shares))
                places += [(side, price), _level(placed.order)]
        self._show(book, places)

    def _fill(self, placed: ServerOrder, price: int, shares: int, fee: int, *, maker: bool) -> None:
        order = placed.order
        state = "provisional" if self.settles else "confirmed"
        fill = ServerFill(self._number("f"), placed.key, price, shares, fee, self.now(), maker, state)
        fill.crossed = self.world.injector.crossed(self)
        placed.fills.append(fill)
        self._book(order, fill, 1)
        if self.settles:
            after, ends = self.world.injector.settlement(self, fill, self._rng.uniform(0.5, 5.0))
            self.world.loop.after(after, self._settle, placed, fill, ends)
        else:
            self._final(order, fill)

    def _settle(self, placed: ServerOrder, fill: ServerFill, ends: str) -> None:
        fill.state = ends
        if ends == "failed":
            self._book(placed.order, fill, -1)
        else:
            self._final(placed.order, fill)
        self.world.on_server(self.name, ends, placed.key, fill.id)
        self.tell(placed)

    def _book(self, order: Order, fill: ServerFill, sign: int) -> None:
        index = order.book.index
        money = -cost(fill.price, fill.size) if order.side is Side.BUY else proceeds(fill.price, fill.size)
        self.cash += sign * (money - fill.fee)
        self.shares[index] = self.shares.get(index, 0) + sign * order.side * fill.size
        if order.side is Side.SELL:
            self.settled[index] = self.settled.get(index, 0) - sign * fill.size

    def _final(self, order: Order, fill: ServerFill) -> None:
        if order.side is Side.BUY:
            self.settled[order.book.index] = self.settled.get(order.book.index, 0) + fill.size

    # -- the account ---------------------------------------------------------------------------------------------

    def free_cash(self) -> int:
        resting = (o for o in (*self.orders.values(), *self.foreign.values()) if o.rests and o.order.side is Side.BUY)
        return self.cash - sum(cost(o.order.limit, o.left) for o in resting)

    def sellable(self, index: int) -> int:
        """Return shares that are settled and that no resting order offers."""
        offered = sum(
            o.left
            for o in (*self.orders.values(), *self.foreign.values())
            if o.rests and o.order.side is Side.SELL and o.order.book.index == index
        )
        return self.settled.get(index, 0) - offered

    # -- what happens by itself ----------------------------------------------------------------------------------

    def end(self, placed: ServerOrder) -> None:
        """Take an order off the book."""
        placed.status = CANCELED
        placed.cancelled_at = self.now()
        self.world.on_server(self.name, "canceled", placed.key or placed.id)
        self.tell(placed)
        if placed.shown:
            self._show(self.books[placed.order.book.market.id], [_level(placed.order)])

    def end_all(self) -> int:
        """Take every resting order off the book, as venues do whose client went silent."""
        resting = [o for o in self.orders.values() if o.rests]
        for placed in resting:
            self.end(placed)
        return len(resting)

    def walk(self, book: ServerBook) -> None:
        if not book.closed:
            self._moved(book, book.step())

    def jump(self, book: ServerBook, ticks: int) -> None:
        if not book.closed:
            self._moved(book, book.jump(ticks))

    def outside_order(self, book: Book, price: int, shares: int) -> ServerOrder:
        """Somebody places an order on our account by hand."""
        order = Order("", book, Side.BUY, price, shares, TimeInForce.GTC)  # type: ignore[arg-type]
        placed = ServerOrder(self._number("x"), "", order, LIVE, self.now())
        self.foreign[placed.id] = placed
        return placed

    def outside_trade(self, book: Book, price: int, shares: int) -> None:
        """Somebody buys on our account by hand, or sells (`shares` below zero)."""
        cash, moved = self.by_hand
        self.by_hand = cash - cost(price, shares), moved
        self.cash -= cost(price, shares)
        for held in (self.shares, self.settled, moved):
            held[book.index] = held.get(book.index, 0) + shares

    def tell(self, placed: ServerOrder) -> None:
        for listener in self.listeners:
            listener(placed)

    def _number(self, kind: str) -> str:
        self._numbers += 1
        return f"{self.name[0]}{kind}{self._numbers}"
