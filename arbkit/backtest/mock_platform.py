"""A venue whose books are set by hand and whose answers can be scripted: for tests of strategies, ours and yours.

    platform = MockPlatform("mock", [market], cash="1000")
    platform.set_book("mock:m:yes", bids=[("0.40", "50")], asks=[("0.42", "50")])
    platform.script("mock:m:yes", Answer(fill="30"))    # the next order there gets 30 shares at most
    feed = MockFeed([platform])

Without a script it matches like a venue: fill-and-kill orders take what stands within their limit, resting orders
wait for `trade`. Books move only when told to, and by what is taken; nothing is random and no time passes unless a
script asks for it. The ledger (`cash`, `shares`, `orders`) can be compared with what an engine believes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

from arbkit.core.clock import LoopClock
from arbkit.core.errors import InvariantViolation, OrderRejected, OrderStateUnknown, VenueUnavailable
from arbkit.core.grid import Grid
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    Fill,
    Health,
    Level,
    Market,
    MarketTable,
    Order,
    OrderReport,
    OrderStatus,
    Side,
    TimeInForce,
)
from arbkit.core.ports import Fees, Page, VenueOrder
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size, cost, price, proceeds, size
from arbkit.detection.sizing import basket_quote, largest_size
from arbkit.history.markets import market_table

Text = str | int | Decimal


@dataclass(frozen=True, slots=True)
class MockFees:
    """A fee of a fixed share of the notional, in millionths of it, rounded up per order."""

    taker_ppm: int = 0
    maker_ppm: int = 0
    name: str = "mock"

    def order_fee(self, fills: Sequence[tuple[int, int]], *, maker: bool) -> Cash:
        notional = sum(at * shares for at, shares in fills)
        return Cash(-(-notional * (self.maker_ppm if maker else self.taker_ppm) // MICRO**2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What happens to one order, in the order of the fields; the default is an ordinary venue.

    Times in seconds of the running loop, sizes in shares. `lost` is "request" (never arrives), "answer" (arrives, the
    answer is lost) or "silence" (arrives, and no answer ever comes).
    """

    unavailable: int = 0  # so many sends fail before anything is sent
    delay_s: float = 0.0  # before the order arrives
    lost: str = ""
    reject: str = ""
    fill: Text | None = None  # shares filled at most on arrival; None: what stands there
    rests_fill: tuple[tuple[float, Text], ...] = ()  # (seconds after arrival, shares) of a resting order
    fill_on_cancel: Text = 0  # shares that win the race against the cancel
    cancel_lost: int = 0  # so many cancels get no answer and do nothing
    status_lost: int = 0  # so many questions after the order get no answer


@dataclass(slots=True)
class MockView:
    """One book as received: implements `core.ports.BookView`."""

    book: Book
    grid: Grid
    fees: Fees
    health: Health = Health.OK
    at: int = 0
    bid_levels: list[Level] = field(default_factory=list)
    ask_levels: list[Level] = field(default_factory=list)

    def bids(self) -> Sequence[Level]:
        return self.bid_levels

    def asks(self) -> Sequence[Level]:
        return self.ask_levels


@dataclass(slots=True)
class _Known:
    """An order as the venue has it."""

    order: Order
    answer: Answer
    status: OrderStatus
    at: int  # ns, when it last changed
    fills: tuple[Fill, ...] = ()
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    cancels_lost: int = 0
    status_lost: int = 0
    timers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.order.size - sum(fill.size for fill in self.fills)


class MockPlatform:
    """One scripted venue: implements `core.ports.Venue`, and holds the books that a `MockFeed` shows.

    `markets` may come from a `MarketTable` shared by several platforms, whose book numbers it then uses; plain
    markets get a table of their own. `live` is False: paper mode takes it.
    """

    live = False

    def __init__(
        self,
        name: str,
        markets: MarketTable | Sequence[Market],
        cash: Text = "10000",
        fees: MockFees | None = None,
    ) -> None:
        self.name = name
        self.table = markets if isinstance(markets, MarketTable) else market_table(markets)
        self.cash = Cash(size(cash))
        self.opening = self.cash
        self.shares: dict[int, int] = {}
        self.fees = fees or MockFees()
        self.listeners: list[asyncio.Event] = []  # set whenever a book moved
        self._clock = LoopClock()
        self._views = {
            book.index: MockView(book, book.market.grid_at(0), self.fees)
            for book in self.table.books
            if book.venue == name
        }
        self._scripts: dict[int, deque[Answer]] = {index: deque() for index in self._views}
        self._known: dict[str, _Known] = {}
        self._away: dict[str, tuple[Answer, int]] = {}
        self._fill_numbers = count(1)

    # -- by hand -------------------------------------------------------------------------------------------------

    def book(self, name: str | Book) -> Book:
        """Return a book of this platform by name ("venue:id:yes")."""
        return name if isinstance(name, Book) else self.table.book(name)

    def set_book(
        self,
        name: str | Book,
        bids: Iterable[tuple[Text, Text]] = (),
        asks: Iterable[tuple[Text, Text]] = (),
        health: Health = Health.OK,
    ) -> None:
        """Set what stands in a book, (price, shares) in any order; the other outcome's book is not touched."""
        view = self.view(self.book(name))
        view.bid_levels = sorted((Level(price(at), size(n)) for at, n in bids), key=lambda level: -level.price)
        view.ask_levels = sorted((Level(price(at), size(n)) for at, n in asks), key=lambda level: level.price)
        view.health = health
        self._tell()

    def script(self, name: str | Book, *answers: Answer) -> None:
        """Script the next orders on a book, one answer each, after those scripted already."""
        self._scripts[self.book(name).index].extend(answers)

    def clear_script(self, name: str | Book) -> None:
        """Let the next orders on a book be answered as by an ordinary venue."""
        self._scripts[self.book(name).index].clear()

    def trade(self, name: str | Book, at: Text, shares: Text) -> Size:
        """Let somebody sell into the resting bids on a book at `at` or better; return how much of ours was filled."""
        book, left = self.book(name), int(size(shares))
        filled = 0
        for known in list(self._known.values()):
            mine = known.order
            if mine.book == book and _rests(known) and mine.side * (mine.limit - price(at)) >= 0 and left:
                part = min(left, known.left)
                self._fill(known, mine.limit, part, maker=True)
                left, filled = left - part, filled + part
        return Size(filled)

    def close(self) -> None:
        """End the feed: `MockFeed.when` returns None once no basket is open."""
        for view in self._views.values():
            view.health = Health.CLOSED
        self._tell()

    @property
    def orders(self) -> Mapping[str, OrderReport]:
        """Return every order that ever arrived, as the venue has it, by key."""
        return {key: self._report(known) for key, known in self._known.items()}

    def view(self, book: Book) -> MockView:
        return self._views[book.index]

    # -- the venue -----------------------------------------------------------------------------------------------

    async def submit(self, order: Order) -> OrderReport:
        """Place an order as its script says; the same key twice is one order."""
        if order.client_id in self._known:
            return self._report(self._known[order.client_id])
        answer, failures = self._away.get(order.client_id) or (self._next(order), 0)
        if failures < answer.unavailable:
            self._away[order.client_id] = (answer, failures + 1)
            raise VenueUnavailable(f"{self.name} is not reachable")
        await asyncio.sleep(answer.delay_s)
        if answer.lost == "request":
            raise OrderStateUnknown(f"no answer from {self.name}")
        if answer.reject:
            raise OrderRejected(answer.reject)
        self._check(order)
        known = self._known[order.client_id] = _Known(order, answer, OrderStatus.OPEN, self._clock.now())
        self._match(known)
        if answer.lost == "answer":
            raise OrderStateUnknown(f"the connection to {self.name} broke")
        if answer.lost == "silence":
            await asyncio.Event().wait()
        return self._report(known)

    async def cancel(self, order: Order) -> OrderReport:
        """Cancel, unless a scripted fill is faster; an order that never arrived stays unknown."""
        await asyncio.sleep(0)
        known = self._known.get(order.client_id)
        if known is None:
            return OrderReport(order.client_id, OrderStatus.UNKNOWN, at=self._clock.now(), reason="not found")
        if known.cancels_lost < known.answer.cancel_lost:
            known.cancels_lost += 1
            raise OrderStateUnknown(f"no answer from {self.name} to a cancel")
        if _rests(known):
            part = min(int(size(known.answer.fill_on_cancel)), known.left)
            if part:
                self._fill(known, known.order.limit, part, maker=True)
            if known.left:
                known.status = OrderStatus.CANCELLED
            self._ended(known)
        return self._report(known)

    async def status(self, order: Order) -> OrderReport:
        await asyncio.sleep(0)
        known = self._known.get(order.client_id)
        if known is None:
            return OrderReport(order.client_id, OrderStatus.UNKNOWN, at=self._clock.now(), reason="not found")
        if known.status_lost < known.answer.status_lost:
            known.status_lost += 1
            raise VenueUnavailable(f"{self.name} does not answer")
        return self._report(known)

    async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        """Yield the order's report whenever it changed, until it is final."""
        known = self._known.get(order.client_id)
        if known is None:
            raise VenueUnavailable(f"{self.name} knows no order {order.client_id}")
        while True:
            known.changed.clear()
            over = not _rests(known)
            yield self._report(known)
            if over:
                return
            await known.changed.wait()

    async def open_orders(self, cursor: str = "") -> Page:  # noqa: ARG002 - there is one page
        """Return what rests, all on one page."""
        rows = [
            VenueOrder(key, key, o.book.name, o.side, o.limit, o.size, Size(o.size - known.left))
            for key, known in self._known.items()
            if _rests(known)
            for o in (known.order,)
        ]
        return Page(tuple(rows))

    async def time(self) -> int:
        return self._clock.now()

    async def balance(self) -> Cash:
        """Return cash less what resting buys may still cost."""
        resting = [known for known in self._known.values() if _rests(known) and known.order.side is Side.BUY]
        return Cash(self.cash - sum(cost(known.order.limit, known.left) for known in resting))

    async def positions(self) -> Mapping[int, Size]:
        return {index: Size(shares) for index, shares in self.shares.items() if shares}

    # -- matching ------------------------------------------------------------------------------------------------

    def _next(self, order: Order) -> Answer:
        waiting = self._scripts[order.book.index]
        return waiting.popleft() if waiting else Answer()

    def _check(self, order: Order) -> None:
        """Refuse what a venue refuses: off the grid or the lot, too small, crossing though post-only, not held."""
        view, market = self.view(order.book), order.book.market
        if not view.grid.holds(order.limit):
            raise OrderRejected(f"price {order.limit} is not on the grid")
        if order.size < (market.min_size or 1) or order.size % (market.lot or 1):
            raise OrderRejected(f"size {order.size} is not legal")
        over = order.expires <= self._clock.now()
        if over if order.tif is TimeInForce.GTD else order.expires:
            raise OrderRejected("expires: a GTD order states a time to come, and no other order states one")
        if order.post_only and view.ask_levels and order.limit >= view.ask_levels[0].price:
            raise OrderRejected("post-only order would cross")
        if order.side is Side.SELL and order.size > self.shares.get(order.book.index, 0):
            raise OrderRejected(f"sells {order.size} of {self.shares.get(order.book.index, 0)} held")
        if order.side is Side.BUY and cost(order.limit, order.size) > self.cash:
            raise OrderRejected("not enough cash")

    def _match(self, known: _Known) -> None:
        order, answer = known.order, known.answer
        if not order.post_only:
            most = order.size if answer.fill is None else min(order.size, int(size(answer.fill)))
            self._take(known, most)
        if order.tif.rests:
            if known.left:
                loop = asyncio.get_running_loop()
                known.timers = [
                    loop.create_task(self._later(known, after, int(size(shares))))
                    for after, shares in answer.rests_fill
                ]
                if order.expires:
                    known.timers.append(loop.create_task(self._expire(known)))
        elif known.left:
            known.status = OrderStatus.CANCELLED

    def _take(self, known: _Known, most: int) -> None:
        """Take what stands within the limit, best first; all or nothing for fill-or-kill."""
        order = known.order
        view = self.view(order.book)
        levels = view.ask_levels if order.side is Side.BUY else view.bid_levels
        within = [level for level in levels if order.side * (level.price - order.limit) <= 0]
        if order.tif is TimeInForce.FOK and sum(level.size for level in within) < order.size:
            return
        paid: list[tuple[int, int]] = []
        for level in within:
            part = min(level.size, most)
            if part <= 0:
                break
            most -= part
            paid.append((level.price, part))
            fee = view.fees.order_fee(paid, maker=False) - view.fees.order_fee(paid[:-1], maker=False)
            levels[levels.index(level)] = level._replace(size=Size(level.size - part))
            self._fill(known, level.price, part, maker=False, fee=fee)
        levels[:] = [level for level in levels if level.size > 0]
        self._tell()

    async def _later(self, known: _Known, after: float, shares: int) -> None:
        await asyncio.sleep(after)
        if _rests(known):
            self._fill(known, known.order.limit, min(shares, known.left), maker=True)

    async def _expire(self, known: _Known) -> None:
        await asyncio.sleep(max(0, known.order.expires - self._clock.now()) / NS_PER_S)
        if _rests(known):
            known.status = OrderStatus.EXPIRED
            self._ended(known)

    def _fill(self, known: _Known, at: int, shares: int, *, maker: bool, fee: int | None = None) -> None:
        order, now = known.order, self._clock.now()
        if shares <= 0:
            return
        if fee is None:
            fee = self.fees.order_fee([(at, shares)], maker=maker)
        self.cash = Cash(self.cash - fee + (-cost(at, shares) if order.side is Side.BUY else proceeds(at, shares)))
        held = self.shares.get(order.book.index, 0) + order.side * shares
        if held < 0:
            raise InvariantViolation(f"{order.client_id} sold more than is held")
        self.shares[order.book.index] = held
        fill = Fill(
            f"{self.name}-{next(self._fill_numbers)}", Price(at), Size(shares), Cash(fee), now, now, maker, model="mock"
        )
        known.fills, known.at = (*known.fills, fill), now
        known.status = OrderStatus.PARTIAL if known.left else OrderStatus.FILLED
        if not known.left:
            self._ended(known)
        known.changed.set()

    def _ended(self, known: _Known) -> None:
        for timer in known.timers:
            if timer is not asyncio.current_task():
                timer.cancel()
        known.timers = []
        known.at = self._clock.now()
        known.changed.set()

    def _report(self, known: _Known) -> OrderReport:
        return OrderReport(known.order.client_id, known.status, known.fills, known.at)

    def _tell(self) -> None:
        for listener in self.listeners:
            listener.set()


def _rests(known: _Known) -> bool:
    return known.status in (OrderStatus.OPEN, OrderStatus.PARTIAL)


class MockFeed:
    """The books of several platforms: implements `core.ports.BookFeed`."""

    def __init__(self, platforms: Sequence[MockPlatform], gross: bool = False) -> None:
        self._platforms = {platform.name: platform for platform in platforms}
        self._gross = gross
        self._ordinal = count()
        self._moved = asyncio.Event()
        for platform in platforms:
            platform.listeners.append(self._moved)

    def view(self, book: Book) -> MockView:
        return self._platforms[book.venue].view(book)

    def distrust(self, book: Book, why: str) -> None:
        """Do nothing: what is set by hand is as it is."""

    def mark_stale(self, why: str) -> None:
        """Do nothing: what is set by hand is as it is."""

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:
        """Wait for books to be set until a basket is open; None once every platform is closed."""
        while True:
            self._moved.clear()
            for basket in baskets:
                found = self.opportunity(basket, min_edge)
                if found is not None:
                    return found
            if all(self._closed(platform) for platform in self._platforms.values()):
                return None
            await self._moved.wait()

    def opportunity(
        self, basket: Basket, min_edge: Cash = Cash(0), max_size: Text = "1000000"
    ) -> ArbitrageOpportunity | None:
        """Return what a basket offers on the books as they stand, or None."""
        views = [self.view(leg) for leg in basket.legs]
        if any(view.health is not Health.OK for view in views):
            return None
        shares = largest_size(views, basket, min_edge, size(max_size), self._gross)
        quote = basket_quote(views, basket, shares)
        if quote is None:
            return None
        name = f"{basket.id}#{next(self._ordinal)}"
        now = LoopClock().now()
        return ArbitrageOpportunity(name, basket, now, shares, quote.edge, quote.edge_gross, quote.exact)

    @staticmethod
    def _closed(platform: MockPlatform) -> bool:
        return all(
            platform.view(book).health is Health.CLOSED for book in platform.table.books if book.venue == platform.name
        )
