"""The way between one process and one exchange, and the client at our end of it (`core.ports.Venue`).

A request that has left is nobody's any more: it arrives, is done and answered, whatever becomes of the client. What
leaves after a crash is swallowed. Every word that reaches the client is shown to the invariants as evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, cast

from arbkit.core.errors import OrderStateUnknown, VenueUnavailable
from arbkit.core.model import Order, OrderReport, OrderStatus, Side
from arbkit.core.ports import Page, VenueOrder
from arbkit.core.units import NS_PER_S, Cash, Price, Size
from tests.simulation.faults.server import Exchange, ServerOrder
from tests.simulation.faults.wire import DUPLICATE, ENDED, NO_ANSWER, Reply, Request, Unreadable, read, read_order

if TYPE_CHECKING:
    from tests.simulation.faults.process import Process

TIMEOUT_S = 8.0  # a client's own patience


class Link:
    """Carries requests, answers and order events between a process and an exchange, with delays."""

    def __init__(self, process: Process, exchange: Exchange, rng: Random, median_s: float) -> None:
        self.process = process
        self.exchange = exchange
        self.world = process.world
        self.loop = process.world.loop
        self.median_s = median_s
        self._rng = rng

    def way_ns(self) -> int:
        """Draw how long one message takes one way, ns: mostly around the median, sometimes much longer."""
        draw = self._rng.random()
        stretch = 0.5 + draw if draw < 0.95 else 1 + 160 * (draw - 0.95)
        return round(self.median_s * stretch * NS_PER_S)

    async def call(self, kind: str, order: Order | None = None, cursor: str = "", *, own: bool = False) -> object:
        """Send a request and return the client's reading of the answer; raises what that says to raise."""
        answer: asyncio.Future[object] = self.loop.create_future()
        if self.process.dead:
            return await answer  # for ever: nothing leaves a process that is gone
        now = self.loop.time_ns()
        request = Request(kind, self.exchange.name, order, cursor, now, answer, own)
        task = asyncio.current_task()
        request.asker = task.get_name() if task is not None else ""
        request.delay_ns, request.answer_delay_ns = self.way_ns(), self.way_ns()
        if (error := self.world.on_request(self.process, request)) is not None:
            raise error
        self.world.on_departure(request)
        if not request.lost:
            self.loop.at(now + request.delay_ns, self._arrives, request)
            if request.twice:
                self.loop.at(now + request.delay_ns + self.way_ns(), self._arrives_again, request)
        request.timer = self.loop.after(TIMEOUT_S, self._delivers, request, Reply(NO_ANSWER))
        word = await answer
        if isinstance(word, RuntimeError):
            self.world.on_bug(self.process, request)
        if isinstance(word, Exception):
            raise word
        return word

    def _arrives(self, request: Request) -> None:
        if not request.hold_s:
            self.world.injector.arrives(request, self.exchange)
        if request.hold_s:
            held, request.hold_s = request.hold_s, 0.0
            self.loop.after(held, self._done, request)
            return
        self._done(request)

    def _done(self, request: Request) -> None:
        request.arrived, request.arrived_at = True, self.loop.time_ns()
        self.world.on_landing(request)
        reply = request.stands_in
        if reply is None:
            reply = self.exchange.handle(request)
        reply = self.world.injector.answers(request, reply, self.exchange)
        if not request.lose_answer:
            self.loop.at(self.loop.time_ns() + request.answer_delay_ns, self._delivers, request, reply)

    def _arrives_again(self, request: Request) -> None:
        """A copy of a request, as proxies make them; nobody waits for its answer."""
        if request.arrived and request.stands_in is None and request.kind == "submit":
            self.exchange.handle(request)

    def _delivers(self, request: Request, reply: Reply) -> None:
        if request.answer.done() or self.process.dead:
            return
        if request.timer is not None:
            request.timer.cancel()
        word = read(request, reply, self.loop.time_ns())
        self.world.on_delivery(request, reply, word)
        request.answer.set_result(word)


class SimVenue:
    """Implements `core.ports.Venue` over a link; hears the exchange's order stream while it is connected."""

    live = False

    def __init__(self, link: Link) -> None:
        self.name = link.exchange.name
        self._link = link
        self._loop = link.loop
        self._heard: dict[str, list[OrderReport]] = {}
        self._orders: dict[str, Order] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self.connected = True
        link.exchange.listeners.append(self._server_tells)

    def hang_up(self) -> None:
        """Leave the exchange's order stream: the process is gone."""
        self._link.exchange.listeners.remove(self._server_tells)

    # -- requests ------------------------------------------------------------------------------------------------

    async def submit(self, order: Order) -> OrderReport:
        self._orders[order.client_id] = order
        word = await self._link.call("submit", order)
        if word is DUPLICATE:
            word = await self._became(order)
        assert isinstance(word, OrderReport)
        self._heard.setdefault(order.client_id, []).append(word)
        return word

    async def cancel(self, order: Order) -> OrderReport:
        self._orders.setdefault(order.client_id, order)
        word = await self._link.call("cancel", order)
        if word is ENDED:
            return await self._became(order)
        assert isinstance(word, OrderReport)
        if word.status is OrderStatus.UNKNOWN:
            raise OrderStateUnknown(f"{self.name} finds no order {order.client_id} to cancel")
        return word

    async def status(self, order: Order) -> OrderReport:
        self._orders.setdefault(order.client_id, order)
        word = await self._link.call("status", order)
        assert isinstance(word, OrderReport)
        return word

    async def _became(self, order: Order) -> OrderReport:
        """Ask what became of an order that the venue says it has had."""
        try:
            word = await self._link.call("status", order, own=True)
        except VenueUnavailable as away:
            raise OrderStateUnknown(str(away)) from away
        assert isinstance(word, OrderReport)
        if word.status is OrderStatus.UNKNOWN:
            raise OrderStateUnknown(f"{self.name} had order {order.client_id} and does not find it")
        return word

    async def open_orders(self, cursor: str = "") -> Page:
        body = cast("dict[str, Any]", await self._link.call("open", cursor=cursor))
        rows = []
        for row in body["rows"]:
            filled = sum(fill[3] for fill in row["fills"] if fill[7] != "failed")
            rows.append(
                VenueOrder(
                    row["id"],
                    row["key"],
                    row["book"],
                    Side(row["side"]),
                    Price(row["limit"]),
                    Size(row["size"]),
                    Size(filled),
                )
            )
        return Page(tuple(rows), body["cursor"])

    async def time(self) -> int:
        return cast("int", await self._link.call("time"))

    async def balance(self) -> Cash:
        return cast("Cash", await self._link.call("balance"))

    async def positions(self) -> Mapping[int, Size]:
        return cast("Mapping[int, Size]", await self._link.call("positions"))

    # -- the order stream ----------------------------------------------------------------------------------------

    async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        """Yield what the stream said of an order, from the first word on, until one is final or the stream breaks."""
        key = order.client_id
        self._orders.setdefault(key, order)
        if not self._heard.get(key):
            self._heard.setdefault(key, []).append(await self._became(order))
        at = 0
        while True:
            words = self._heard[key]
            while at < len(words):
                word = words[at]
                at += 1
                yield word
                if word.status in FINAL:
                    return
            if not self.connected:
                raise VenueUnavailable(f"the order stream of {self.name} is down")
            waiter = self._loop.create_future()
            self._waiting.setdefault(key, []).append(waiter)
            await waiter

    def stream_broke(self) -> None:
        """Tell whoever follows an order that no more words come; what comes meanwhile is missed."""
        self.connected = False
        self._wake(*self._waiting)

    def stream_back(self) -> None:
        self.connected = True

    def _server_tells(self, placed: ServerOrder) -> None:
        """Take an order event at the server's end and send it our way."""
        if not placed.key or not self.connected:
            return
        now, body = self._loop.time_ns(), self._link.exchange.body(placed)
        for delay_ns in self._link.world.injector.order_event(self._link.exchange, placed, self._link.way_ns()):
            self._loop.at(now + delay_ns, self._hears, placed.key, body)

    def _hears(self, key: str, body: dict[str, Any]) -> None:
        order = self._orders.get(key)
        if order is None or self._link.process.dead or not self.connected:
            return
        try:
            word = read_order(body, order, self._loop.time_ns())
        except Unreadable:
            return
        self._link.world.on_order_word(self.name, key, word)
        self._heard.setdefault(key, []).append(word)
        self._wake(key)

    def _wake(self, *keys: str) -> None:
        for key in keys:
            for waiter in self._waiting.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)


FINAL = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)
