"""W1 to W12: what becomes of the streams of books and order events."""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.books.stream_events import Delta, Heartbeat, Snapshot, UnknownType, Unreadable
from arbkit.core.model import Side
from arbkit.core.units import MICRO, NS_PER_MS, NS_PER_S
from tests.simulation.faults.injector import Fault, Sent
from tests.simulation.faults.server import Exchange, ServerOrder
from tests.simulation.faults.stream import StreamClient
from tests.simulation.faults.wire import Reply, Request


class OnStream(Fault):
    """A fault of one venue's stream; `meant` picks messages of the kinds that matter."""

    def meant(self, client: StreamClient, sent: list[Sent], *kinds: type) -> bool:
        return client.name == self.venue and self.left and len(sent) == 1 and isinstance(sent[0][1][0], kinds)

    def clients(self) -> list[StreamClient]:
        return self.world.clients(self.venue)

    def fact(self, name: str, key: str) -> None:
        """Strike while an order is out, where a fault wants that (`later`)."""
        if self.later and name == "order.sent" and self.left:
            self.later = False
            self.world.loop.after(self.rng.uniform(0.05, 0.8), self.now)

    later = False

    def now(self) -> None:
        """Strike."""

    def resubscribe(self) -> None:
        for client in self.clients():
            if client.up:
                client.subscribe()


class W1(OnStream):
    id, says = "W1", "a connection breaks and comes back"
    at_most = 1

    def draw(self) -> None:
        self.away_s = self.rng.uniform(0.1, 6.0)
        self.later = self.rng.random() < 0.6

    def begins(self) -> None:
        if not self.later:
            self.now()

    def now(self) -> None:
        for client in self.clients():
            if client.up:
                client.disconnect()
                self.struck(client.name, f"{self.away_s:.1f} s")
                self.world.loop.after(self.away_s, self.world.reconnect, client)


class W2(OnStream):
    id, says = "W2", "a connection stands, and says nothing but that it does"
    at_most = 10_000

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if self.meant(client, sent, Delta, Snapshot):
            self.struck(client.name)
            return []
        return sent


class W3(OnStream):
    id, says = "W3", "a number is missing, or comes twice"
    at_most = 3

    def draw(self) -> None:
        self.twice = self.rng.random() < 0.3

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if not self.meant(client, sent, Delta) or client.exchange.settles:
            return sent
        self.struck(client.name)
        return [*sent, (NS_PER_MS, sent[0][1])] if self.twice else []

    def begins(self) -> None:
        numbered = [name for name, exchange in self.world.exchanges.items() if not exchange.settles]
        if self.exchange.settles and numbered:
            self.venue = numbered[0]


class W4(OnStream):
    id, says = "W4", "changes come before the snapshot they change"

    def begins(self) -> None:
        self.resubscribe()

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if self.meant(client, sent, Snapshot):
            self.struck(client.name)
            return [(round(self.rng.uniform(0.05, 1.5) * NS_PER_S), sent[0][1])]
        return sent


class W5(OnStream):
    id, says = "W5", "events come twice, in another order, or again much later"
    at_most = 8

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if not self.meant(client, sent, Delta) or self.rng.random() < 0.5:
            return sent
        self.struck(client.name)
        late = round(self.rng.uniform(0.001, 2.0) * NS_PER_S)
        return [*sent, (late, sent[0][1])] if self.rng.random() < 0.5 else [(late, sent[0][1])]

    def order_event(self, exchange: Exchange, placed: ServerOrder, delays: Sequence[int]) -> Sequence[int]:
        if exchange.name != self.venue or not self.left or not delays:
            return delays
        self.struck(placed.key)
        late = round(self.rng.uniform(0.001, 2.0) * NS_PER_S)
        return [*delays, delays[0] + late] if self.rng.random() < 0.5 else [delay + late for delay in delays]


class W6(OnStream):
    id, says = "W6", "frames that cannot be read"
    at_most = 4

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if not self.meant(client, sent, Delta):
            return sent
        self.struck(client.name)
        event = sent[0][1][0]
        assert isinstance(event, Delta)
        book = event.book
        match self.rng.randrange(4):
            case 0:
                return [(0, (Unreadable("not JSON"),))]
            case 1:
                return [(0, (Unreadable("no price", book),))]
            case 2:
                return [(0, (UnknownType("last_trade_price_v2"), *sent[0][1]))]
            case _:
                stamp = self.world.loop.time_ns() if client.exchange.settles else None
                return [(0, (Delta(book, ((Side.BUY, 123_456, 10**18),), stamp),))]


class W7(OnStream):
    id, says = "W7", "an order event is lost"
    at_most = 6

    def order_event(self, exchange: Exchange, placed: ServerOrder, delays: Sequence[int]) -> Sequence[int]:
        if exchange.name == self.venue and self.left and placed.fills:
            self.struck(placed.key)
            return ()
        return delays


class W8(OnStream):
    id, says = "W8", "an order event overtakes the answer to the order"
    at_most = 4

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if exchange.name == self.venue and request.kind == "submit" and self.left and reply.code == 201:
            request.answer_delay_ns += round(self.rng.uniform(0.2, 3.0) * NS_PER_S)
            if reply.body["fills"]:
                self.struck(request.key)
        return reply

    def order_event(self, exchange: Exchange, placed: ServerOrder, delays: Sequence[int]) -> Sequence[int]:
        return [1_000 for _ in delays] if exchange.name == self.venue else delays


class W9(OnStream):
    id, says = "W9", "we are slower than the stream"
    at_most = 10_000

    def draw(self) -> None:
        self.step_ns = round(self.rng.uniform(0.05, 0.8) * NS_PER_S)

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if client.name == self.venue and client.backlog_ns < 6 * NS_PER_S:
            client.backlog_ns += self.step_ns
            self.struck(client.name)
        return sent

    def ends(self) -> None:
        for client in self.clients():
            client.backlog_ns = 0


class W10(OnStream):
    id, says = "W10", "levels that cannot be: crossed, locked, negative, outside 0 to 1"
    at_most = 4

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if not self.meant(client, sent, Delta):
            return sent
        event = sent[0][1][0]
        assert isinstance(event, Delta)
        there = next(book for book in client.exchange.books.values() if book.yes.index == event.book)
        best = min(there.asks, default=500_000)
        level = self.rng.choice(
            (
                (Side.BUY, best, MICRO),
                (Side.BUY, best + there.tick, MICRO),
                (Side.BUY, best - there.tick, -MICRO),
                (Side.SELL, 0, MICRO),
                (Side.SELL, MICRO, 5),
            )
        )
        self.struck(client.name, level[0].name, level[1], level[2])
        return [(0, (Delta(event.book, (*event.levels, level), event.venue_at),))]


class W11(OnStream):
    id, says = "W11", "a subscription is accepted for another market"

    def begins(self) -> None:
        self.resubscribe()

    def echo(self, client: StreamClient, markets: tuple[str, ...]) -> tuple[str, ...]:
        if client.name == self.venue and self.left:
            self.struck(client.name)
            return (*markets[1:], "another")
        return markets


class W12(OnStream):
    id, says = "W12", "heartbeats are lost, and the venue cancels what rests"
    at_most = 10_000
    lasts = (3.0, 10.0)

    def draw(self) -> None:
        self.patience_s = self.rng.uniform(0.3, 2.5)
        self.later = self.rng.random() < 0.6

    def begins(self) -> None:
        if not self.later:
            self.now()

    def now(self) -> None:
        for client in self.clients():
            client.disconnect("no heartbeat")
            self.world.loop.after(self.rng.uniform(2.6, 7.0), self.world.reconnect, client)
        self.world.loop.after(self.patience_s, self._cancels)

    def _cancels(self) -> None:
        if self.active and not any(client.up for client in self.clients()):
            self.struck(self.venue, f"{self.exchange.end_all()} cancelled")
            self.world.loop.after(0.5, self._cancels)


class P9(OnStream):
    id, says = "P9", "a flood of messages"
    at_most = 3

    def book_message(self, client: StreamClient, sent: list[Sent]) -> list[Sent]:
        if self.meant(client, sent, Delta):
            self.struck(client.name)
            return [*sent, *((n, (Heartbeat(),)) for n in range(100))]
        return sent

    def order_event(self, exchange: Exchange, placed: ServerOrder, delays: Sequence[int]) -> Sequence[int]:
        if exchange.name == self.venue and self.left and delays:
            self.struck(placed.key)
            return [delays[0] + n for n in range(100)]
        return delays


STREAM_FAULTS: tuple[type[Fault], ...] = (W1, W2, W3, W4, W5, W6, W7, W8, W9, W10, W11, W12, P9)
