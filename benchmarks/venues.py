"""Venues that answer at once: one inside the process, one behind a loopback socket; and the world they trade in.

Both fill every order whole at their book's best ask and keep the account that an engine compares itself with, so that
what is measured is a real trade. `exchange` is the bare round trip of an order, without that account.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from arbkit.backtest.mock_platform import MockFees, MockView
from arbkit.core.clock import LoopClock
from arbkit.core.grid import Grid
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    Fill,
    Kind,
    Level,
    Market,
    MarketTable,
    Order,
    OrderReport,
    OrderStatus,
    Pair,
    Side,
)
from arbkit.core.ports import Page
from arbkit.core.units import MICRO, Cash, Price, Size, cost, price, proceeds, size
from arbkit.detection.baskets import baskets
from arbkit.detection.sizing import basket_quote
from arbkit.history.markets import market_table

CASH = Cash(10**9 * MICRO)
SHARES = size("10")
ASKS = {2: ("0.40", "0.55"), 5: ("0.19",) * 5}  # by the number of legs: five cents of edge a share


# -- the world -----------------------------------------------------------------------------------------------


def a_market(venue: str, name: str, event: str = "e", *, exhaustive: bool = False) -> Market:
    """Return a market of whole shares and cents."""
    return Market(
        venue=venue,
        id=name,
        event=event,
        outcome=name,
        payout=Cash(MICRO),
        exclusive=True,
        exhaustive=exhaustive,
        void="half",
        grids=((0, Grid.of_tick("0.01")),),
        lot=size("1"),
        min_size=size("1"),
    )


class StillFeed:
    """Books that never move: implements `core.ports.BookFeed` as far as an opportunity that is handed over needs."""

    def __init__(self, basket: Basket, asks: Sequence[str]) -> None:
        grid, fees = Grid.of_tick("0.01"), MockFees(taker_ppm=10_000)
        self._views = {
            leg.index: MockView(
                leg,
                grid,
                fees,
                bid_levels=[Level(Price(price(ask) - 20_000 - 10_000 * step), size("500")) for step in range(5)],
                ask_levels=[Level(Price(price(ask) + 10_000 * step), size("500")) for step in range(5)],
            )
            for leg, ask in zip(basket.legs, asks, strict=True)
        }

    def view(self, book: Book) -> MockView:
        return self._views[book.index]

    def distrust(self, book: Book, why: str) -> None: ...

    def mark_stale(self, why: str) -> None: ...

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:  # noqa: ARG002
        return None


class World:
    """A basket of two legs at two venues, or of five at one, that always earns a little; `next` is a new chance."""

    def __init__(self, legs: int = 2) -> None:
        asks = ASKS[legs]
        if legs == 2:
            pair = (a_market("alpha", "m"), a_market("beta", "m"))
            self.table: MarketTable = market_table(pair, (Pair(*pair, "same"),))
            self.basket = baskets(self.table, (Kind.CROSS_VENUE,))[0]
        else:
            self.table = market_table([a_market("alpha", f"m{leg}", exhaustive=True) for leg in range(legs)])
            self.basket = next(b for b in baskets(self.table, (Kind.OUTCOMES,)) if len(b.legs) == legs)
        self.names = tuple(dict.fromkeys(leg.venue for leg in self.basket.legs))
        self.prices = {leg.index: price(ask) for leg, ask in zip(self.basket.legs, asks, strict=True)}
        self.feed = StillFeed(self.basket, asks)
        self._numbers = count()

    def next(self) -> ArbitrageOpportunity:
        """Return the same edge once more, under a name of its own."""
        quote = basket_quote([self.feed.view(leg) for leg in self.basket.legs], self.basket, SHARES)
        assert quote is not None
        name = f"{self.basket.id}#{next(self._numbers)}"
        return ArbitrageOpportunity(name, self.basket, LoopClock().now(), SHARES, quote.edge, quote.edge_gross)


# -- the venue -----------------------------------------------------------------------------------------------


class InstantVenue:
    """Implements `core.ports.Venue`: every order is filled whole, one turn of the loop after it came.

    `handed` are the moments (ns of `perf_counter_ns`) at which orders had been handed over, `asked` counts requests.
    """

    live = False

    def __init__(self, name: str, prices: Mapping[int, Price]) -> None:
        self.name = name
        self.prices = prices
        self.handed: list[int] = []
        self.asked = 0
        self._clock = LoopClock()
        self._cash = int(CASH)
        self._shares: dict[int, int] = {}

    async def exchange(self, order: Order) -> OrderReport:
        """Send one order and return its report: the bare round trip."""
        self.handed.append(time.perf_counter_ns())
        await asyncio.sleep(0)  # as any real one: what else is ready now is sent before the answer comes
        at = self._clock.now()
        fee = MockFees(taker_ppm=10_000).order_fee([(self.prices[order.book.index], order.size)], maker=False)
        fill = Fill("1", self.prices[order.book.index], order.size, fee, at, at, maker=False)
        return OrderReport(order.client_id, OrderStatus.FILLED, (fill,), at)

    async def submit(self, order: Order) -> OrderReport:
        self.asked += 1
        report = await self.exchange(order)
        for fill in report.fills:
            money = proceeds if order.side is Side.SELL else cost
            self._cash -= int(order.side) * money(fill.price, fill.size) + fill.fee
            self._shares[order.book.index] = self._shares.get(order.book.index, 0) + order.side * fill.size
        return report

    async def cancel(self, order: Order) -> OrderReport:
        raise AssertionError(f"{order.client_id} was filled at once")

    async def status(self, order: Order) -> OrderReport:
        raise AssertionError(f"{order.client_id} was filled at once")

    async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        yield await self.status(order)

    async def open_orders(self, cursor: str = "") -> Page:  # noqa: ARG002 - there is one page
        return Page(())

    async def time(self) -> int:
        return self._clock.now()

    async def balance(self) -> Cash:
        self.asked += 1
        return Cash(self._cash)

    async def positions(self) -> Mapping[int, Size]:
        return {book: Size(shares) for book, shares in self._shares.items()}


class LineVenue(InstantVenue):
    """The same behind a loopback socket: a line of JSON for a request, a line for its answer, in any order."""

    def __init__(
        self, name: str, prices: Mapping[int, Price], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(name, prices)
        self._reader, self._writer = reader, writer
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def exchange(self, order: Order) -> OrderReport:
        answer = await self._ask(
            op="order",
            key=order.client_id,
            book=order.book.index,
            side=int(order.side),
            limit=order.limit,
            size=order.size,
            tif=order.tif.value,
            price=self.prices[order.book.index],
        )
        fills = tuple(
            Fill(one["id"], one["price"], one["size"], one["fee"], self._clock.now(), one["at"], maker=False)
            for one in answer["fills"]
        )
        return OrderReport(answer["key"], OrderStatus(answer["status"]), fills, self._clock.now())

    async def balance(self) -> Cash:
        self.asked += 1
        await self._ask(op="balance")
        return Cash(self._cash)

    async def _ask(self, **request: object) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(msgspec.json.encode({"n": number, **request}) + b"\n")  # goes to the socket at once
        if request["op"] == "order":
            self.handed.append(time.perf_counter_ns())
        found: dict[str, Any] = await answer
        return found

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            answer = msgspec.json.decode(line)
            self._waiting.pop(answer["n"]).set_result(answer)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def connected(world: World, port: int | None) -> AsyncIterator[dict[str, InstantVenue]]:
    """Give every venue of a world, in the process or, with a port, one connection each to the server there."""
    if port is None:
        yield {name: InstantVenue(name, world.prices) for name in world.names}
        return
    lines = [LineVenue(name, world.prices, *await asyncio.open_connection("127.0.0.1", port)) for name in world.names]
    try:
        yield {line.name: line for line in lines}
    finally:
        for line in lines:
            await line.close()


# -- the server ----------------------------------------------------------------------------------------------


@contextmanager
def served() -> Iterator[int]:
    """Run a venue server in a process of its own, and tell its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        if not ours.poll(60):
            raise TimeoutError("the loopback venue did not start")
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join(10)


def _serve(pipe: Connection) -> None:
    asyncio.run(_served(pipe))


async def _served(pipe: Connection) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(pipe.recv)
    server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        request = msgspec.json.decode(line)
        answer = {"n": request["n"]}
        if request["op"] == "order":
            notional = request["price"] * request["size"]
            fee = -(-notional * 10_000 // MICRO**2)
            fill = {"id": "1", "price": request["price"], "size": request["size"], "fee": fee, "at": time.time_ns()}
            answer |= {"key": request["key"], "status": "filled", "fills": [fill]}
        writer.write(msgspec.json.encode(answer) + b"\n")
    writer.close()
