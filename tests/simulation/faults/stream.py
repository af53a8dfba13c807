"""Books and order events on their way to us: what an exchange sends over one connection, and our end of it.

The exchange's end numbers its messages or stamps them, as its kind does. Ours hands every message to the engine's own
`StreamBooks`, asks for snapshots and terms that these want, and compares what has been quiet for long.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from arbkit.books.stream import StreamBooks
from arbkit.books.stream_events import (
    Connected,
    Delta,
    Disconnected,
    Event,
    Heartbeat,
    MarketStatus,
    Message,
    Snapshot,
    Status,
    SubscribedTo,
    Terms,
)
from arbkit.core.model import Book, Side
from arbkit.core.units import MICRO, NS_PER_S
from tests.simulation.faults.market import Change, ServerBook
from tests.simulation.faults.server import Exchange

if TYPE_CHECKING:
    from tests.simulation.faults.network import SimVenue
    from tests.simulation.faults.process import Process

HEARTBEAT_S = 1.5
AGAIN_S = 1.0
SIDES = {1: Side.BUY, -1: Side.SELL}


class StreamClient:
    """One connection of a process to an exchange, both ends."""

    def __init__(
        self, process: Process, exchange: Exchange, venue: SimVenue, books: StreamBooks, rng: Random, median_s: float
    ) -> None:
        self.process = process
        self.exchange = exchange
        self.name = exchange.name
        self._venue = venue
        self._books = books
        self._loop = process.world.loop
        self._rng = rng
        self._median_s = median_s
        self._mine = {book.yes.index for book in exchange.books.values()}
        self._asked_at: dict[int, int] = {}
        self._latest = 0  # ns, when the last message sent will be here: they keep their order
        self._applied = 0  # ns, when the last one received will have been applied
        self._subscription = 0
        self._seq = 0
        self.up = False
        self.frozen = False  # the venue sends heartbeats and nothing else
        self.backlog_ns = 0  # what waits in our own queue
        exchange.on_book.append(self._moved)
        self.connect()

    def hang_up(self) -> None:
        """End it: the process is gone."""
        self.up = False
        self.exchange.on_book.remove(self._moved)

    # -- the exchange's end --------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection and subscribe to every market."""
        self.up = True
        self._venue.stream_back()
        self._send((Connected(),), numbered=False)
        self.subscribe()
        self._loop.after(HEARTBEAT_S, self._beat, self._subscription)

    def disconnect(self, why: str = "reset") -> None:
        """Break the connection; whoever follows an order hears no more."""
        if not self.up:
            return
        self.up = False
        self._venue.stream_broke()
        self._loop.at(self._loop.time_ns(), self._receives, (Disconnected(why),), "", None)

    def subscribe(self) -> None:
        """Subscribe anew: an echo, then a snapshot and the status of every market."""
        self._subscription += 1
        self._seq = 0
        names = self.process.world.injector.echo(self, tuple(self.exchange.books))
        self._send((SubscribedTo(names),), numbered=not self.exchange.settles)
        for book in self.exchange.books.values():
            self._send((self.snapshot(book),))
            if book.status != "open" or book.closed:
                self._send((Status(book.yes.index, status_of(book)),))

    def snapshot(self, book: ServerBook) -> Snapshot:
        stamp = self._loop.time_ns() if self.exchange.settles else None
        bids, asks = self.exchange.public(book)
        return Snapshot(book.yes.index, tuple(bids.items()), tuple(asks.items()), stamp)

    def _moved(self, book: ServerBook, changes: list[Change]) -> None:
        if self.up and not self.frozen:
            levels = tuple((SIDES[side], price, total) for side, price, total in changes)
            if self.exchange.settles:  # stamped, and with the best prices named
                bids, asks = self.exchange.public(book)
                best_bid, best_ask = max(bids, default=0), min(asks, default=MICRO)
                stamp = self._loop.time_ns()
                self._send((Delta(book.yes.index, levels, stamp, best_bid=best_bid, best_ask=best_ask),))
            else:
                self._send((Delta(book.yes.index, levels),))

    def says(self, book: ServerBook) -> None:
        """Tell of a market's status."""
        if self.up and not self.frozen:
            self._send((Status(book.yes.index, status_of(book)),))

    def _beat(self, subscription: int) -> None:
        if self.up and self.process.world.injector.beats(self):
            self._send((Heartbeat(),), numbered=False)
        if not self.process.dead and not self.process.world.over:
            self._loop.after(HEARTBEAT_S, self._beat, subscription)
            if self._subscription:
                self._look_after()

    def _send(self, events: tuple[Event, ...], *, numbered: bool = True) -> None:
        """Put a message on the wire; they arrive in the order in which they were sent, unless a fault says other."""
        seq = None
        if numbered and not self.exchange.settles:
            self._seq += 1
            seq = self._seq
        way = round(self._median_s * (0.5 + self._rng.random()) * NS_PER_S)
        self._latest = max(self._latest, self._loop.time_ns() + way)
        subscription = str(self._subscription) if numbered or seq is not None or self.exchange.settles else ""
        for extra_ns, events_ in self.process.world.injector.book_message(self, events):
            self._loop.at(self._latest + extra_ns, self._receives, events_, subscription, seq)

    # -- our end -------------------------------------------------------------------------------------------------

    def _receives(self, events: tuple[Event, ...], subscription: str, seq: int | None) -> None:
        if self.process.dead:
            return
        now = self._loop.time_ns()
        message = Message(self.name, now, events, subscription, seq)
        self._applied = max(self._applied, now + self.backlog_ns)
        if self._applied > now:
            self._loop.at(self._applied, self._applies, message)
        else:
            self._applies(message)

    def _applies(self, message: Message) -> None:
        if self.process.dead:
            return
        self.process.world.on_book_message(self.process, message)
        self._books.apply(message)
        self._look_after()

    def _look_after(self) -> None:
        """Ask for what the books want: snapshots, terms, comparisons; each again after a while if it did not help."""
        now = self._loop.time_ns()
        if not self.up:
            return
        for book in self._books.wanted():
            if book.index in self._mine and self._due(book, now):
                self._loop.after(2 * self._median_s, self._resubscribe)
                return
        for book in self._books.doubted():
            if book.index in self._mine and self._due(book, now):
                self._loop.after(4 * self._median_s, self._terms, book)
        for book in self._books.suspicious(now):
            if book.index in self._mine and self._due(book, now):
                self._loop.after(2 * self._median_s, self._read, book, now)

    def _due(self, book: Book, now: int) -> bool:
        if now - self._asked_at.get(book.index, 0) < AGAIN_S * NS_PER_S:
            return False
        self._asked_at[book.index] = now
        return True

    def _resubscribe(self) -> None:
        if self.up and not self.process.dead and not self.frozen:
            self.subscribe()

    def _terms(self, book: Book) -> None:
        """Read the terms of a market anew, over REST."""
        if self.process.dead:
            return
        there = self.exchange.books[book.market.id]
        events = (
            Terms(book.index, there.grid, self.exchange.fees, there.min_size),
            Status(book.index, status_of(there)),
        )
        self._applies(Message(self.name, self._loop.time_ns(), events))

    def _read(self, book: Book, asked_at: int) -> None:
        """Read a whole book over REST as it is now; the answer takes its way back."""
        there = self.exchange.books[book.market.id]
        bids, asks = self.exchange.public(there)
        levels = (tuple(bids.items()), tuple(asks.items()))
        self._loop.after(self._median_s, self._compares, book, levels, asked_at, self._loop.time_ns())

    def _compares(
        self,
        book: Book,
        levels: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]],
        asked_at: int,
        read_at: int,
    ) -> None:
        if not self.process.dead:
            stamp = read_at if self.exchange.settles else None
            agreed = self._books.cross_check(book, *levels, asked_at=asked_at, venue_at=stamp)
            self.process.world.on_comparison(self.process, book, agreed, asked_at)
            self._look_after()


def status_of(book: ServerBook) -> MarketStatus:
    """Return a market's status as the stream says it: a market that takes only resting orders is open."""
    if book.closed:
        return MarketStatus.CLOSED
    return MarketStatus.OPEN if book.status in ("open", "post-only") else MarketStatus.PAUSED


class Waiters:
    """Futures that are woken together."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
