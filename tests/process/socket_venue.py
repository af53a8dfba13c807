"""The engine's side of a venue in another process: implements `core.ports.Venue` and `BookFeed` over its socket.

What was written and not answered is OrderStateUnknown for what changes something, VenueUnavailable for a question;
what could not be written, because nobody listens, is VenueUnavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from arbkit.backtest.mock_platform import MockFees
from arbkit.core.clock import LoopClock
from arbkit.core.errors import Cause, OrderRejected, OrderStateUnknown, VenueError, VenueUnavailable
from arbkit.core.grid import Grid
from arbkit.core.model import ArbitrageOpportunity, Basket, Book, Health, Level, MarketTable, Order, OrderReport, Side
from arbkit.core.ports import Page, VenueOrder
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.detection.sizing import basket_quote, largest_size
from tests.process.messages import (
    Reply,
    Request,
    WireBook,
    WireOrder,
    WirePage,
    WireReport,
)

encode = msgspec.json.encode
CHANGES = ("submit", "cancel", "reports")  # what a lost answer leaves in doubt
REDIAL_S = 0.02
Waiting = dict[int, asyncio.Queue[Reply | None]]


class Line:
    """One connection that many requests share; it is opened when it is needed, and again after it broke."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._port = port
        self._ids = count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._heard: asyncio.Task[None] | None = None
        self._waiting: Waiting = {}
        self._opening = asyncio.Lock()

    async def ask(self, call: str, value: object = None, kind: Any = None) -> Any:
        """Return the one answer to a request."""
        async with aclosing(self.stream(call, value, kind)) as answers:
            return await anext(answers)

    async def stream(self, call: str, value: object = None, kind: Any = None) -> AsyncIterator[Any]:
        """Yield the answers to a request until the last."""
        writer, waiting = await self._open()
        number, answers = next(self._ids), asyncio.Queue[Reply | None]()
        waiting[number] = answers
        try:
            writer.write(encode(Request(number, call, msgspec.Raw(encode(value)))) + b"\n")
            self.sent(call, value)
            while True:
                reply = await answers.get()
                if reply is None:
                    lost = f"the connection to {self.name} broke during {call}"
                    raise OrderStateUnknown(lost) if call in CHANGES else VenueUnavailable(lost)
                self.answered(call, value)
                if reply.error:
                    raise _error(reply)
                yield msgspec.json.decode(reply.value, type=kind)
                if reply.last:
                    return
        finally:
            del waiting[number]

    def sent(self, call: str, value: object) -> None:
        """Hear of a request that the system has taken; a seam for tests."""

    def answered(self, call: str, value: object) -> None:
        """Hear of an answer before anybody else does; a seam for tests."""

    def drop(self) -> None:
        """Break the connection, as if the other side had."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        if self._heard is not None:
            self._heard.cancel()
            await asyncio.gather(self._heard, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def _open(self) -> tuple[asyncio.StreamWriter, Waiting]:
        async with self._opening:
            if self._writer is None or self._writer.is_closing():
                try:
                    reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
                except OSError as error:
                    raise VenueUnavailable(f"{self.name} is not reachable: {error}") from None
                self._waiting = {}
                self._heard = asyncio.create_task(_hear(reader, self._writer, self._waiting))
            return self._writer, self._waiting


async def _hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: Waiting) -> None:
    """Hand every reply to who waits for it; at the end of the connection all who wait hear nothing more."""
    with suppress(ConnectionError):
        while line := await reader.readline():
            reply = msgspec.json.decode(line, type=Reply)
            if reply.id in waiting:  # else nobody waits for it any more
                waiting[reply.id].put_nowait(reply)
    writer.close()
    for answers in waiting.values():
        answers.put_nowait(None)


def _error(reply: Reply) -> VenueError:
    match reply.error:
        case "rejected":
            return OrderRejected(reply.why, Cause(reply.cause))
        case "unknown":
            return OrderStateUnknown(reply.why)
        case _:
            return VenueUnavailable(reply.why)


class SocketVenue:
    """Implements `core.ports.Venue` over a `Line`."""

    live = False

    def __init__(self, line: Line, table: MarketTable) -> None:
        self.name = line.name
        self._line = line
        self._table = table
        self._clock = LoopClock()

    async def submit(self, order: Order) -> OrderReport:
        return await self._report("submit", WireOrder.of(order))

    async def cancel(self, order: Order) -> OrderReport:
        return await self._report("cancel", order.client_id)

    async def status(self, order: Order) -> OrderReport:
        return await self._report("status", order.client_id)

    async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        async with aclosing(self._line.stream("reports", order.client_id, WireReport)) as told:
            async for report in told:
                yield report.read(self._clock.now())

    async def open_orders(self, cursor: str = "") -> Page:
        page: WirePage = await self._line.ask("open_orders", cursor, WirePage)
        rows = [
            VenueOrder(o.key, o.key, o.book, Side(o.side), Price(o.limit), Size(o.size), Size(filled))
            for o, filled in page.rows
        ]
        return Page(tuple(rows), page.cursor)

    async def time(self) -> int:
        return await self._line.ask("time", kind=int)

    async def balance(self) -> Cash:
        return Cash(await self._line.ask("balance", kind=int))

    async def positions(self) -> Mapping[int, Size]:
        held = await self._line.ask("positions", kind=dict[str, int])
        return {self._table.book(name).index: Size(size) for name, size in held.items()}

    async def close(self) -> None:
        await self._line.close()

    async def _report(self, call: str, value: object) -> OrderReport:
        report: WireReport = await self._line.ask(call, value, WireReport)
        return report.read(self._clock.now())


# -- the books -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class View:
    """One book as received: implements `core.ports.BookView`."""

    book: Book
    grid: Grid
    fees: MockFees
    health: Health = Health.UNKNOWN
    at: int = 0
    bid_levels: list[Level] = field(default_factory=list)
    ask_levels: list[Level] = field(default_factory=list)

    def bids(self) -> Sequence[Level]:
        return self.bid_levels

    def asks(self) -> Sequence[Level]:
        return self.ask_levels


class SocketFeed:
    """Implements `core.ports.BookFeed` on what the venues push; a book whose line is down prices nothing.

    `dial` makes the lines: the books come by others than the orders, so that one may break without the other.
    """

    def __init__(self, dial: Callable[[str], Line], table: MarketTable, fees: MockFees) -> None:
        venues = list(dict.fromkeys(book.venue for book in table.books))
        self._lines = {name: dial(name) for name in venues}
        self._views = {book.name: View(book, book.market.grid_at(0), fees) for book in table.books}
        self._moved = asyncio.Event()
        self._clock = LoopClock()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        self._tasks = [asyncio.create_task(self._follow(line)) for line in self._lines.values()]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in self._lines.values():
            await line.close()

    def view(self, book: Book) -> View:
        return self._views[book.name]

    def distrust(self, book: Book, why: str) -> None:
        """Price nothing from a venue's books until they are told anew, which they are by a new connection."""
        self._forget(book.venue)
        self._lines[book.venue].drop()

    def mark_stale(self, why: str) -> None:
        for name, line in self._lines.items():
            self._forget(name)
            line.drop()

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:
        while True:
            self._moved.clear()
            for basket in baskets:
                found = self._opportunity(basket, min_edge)
                if found is not None:
                    return found
            await self._moved.wait()

    def _opportunity(self, basket: Basket, min_edge: Cash) -> ArbitrageOpportunity | None:
        views = [self.view(leg) for leg in basket.legs]
        if any(view.health is not Health.OK for view in views):
            return None
        shares = largest_size(views, basket, min_edge, Size(1_000 * MICRO))
        quote = basket_quote(views, basket, shares)
        if quote is None:
            return None
        now = self._clock.now()
        return ArbitrageOpportunity(
            f"{basket.id}@{now}", basket, now, shares, quote.edge, quote.edge_gross, quote.exact
        )

    async def _follow(self, line: Line) -> None:
        while True:
            with suppress(VenueError):
                async with aclosing(line.stream("watch", kind=tuple[WireBook, ...])) as told:
                    async for books in told:
                        for book in books:
                            self._take(book)
                        self._moved.set()
            self._forget(line.name)
            await asyncio.sleep(REDIAL_S)

    def _forget(self, venue: str) -> None:
        for view in self._views.values():
            if view.book.venue == venue:
                view.health = Health.UNKNOWN

    def _take(self, said: WireBook) -> None:
        view = self._views[said.book]
        view.bid_levels = [Level(Price(price), Size(size)) for price, size in said.bids]
        view.ask_levels = [Level(Price(price), Size(size)) for price, size in said.asks]
        view.health, view.at = Health.OK, self._clock.now()
