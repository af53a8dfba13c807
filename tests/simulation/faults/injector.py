"""Where faults strike: every place at which something can go wrong asks here, and the faults of the run answer.

A fault is active in a window of the run. It counts the times it really struck: an order that was lost, not a plan to
lose one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from arbkit.core.units import NS_PER_S
from tests.simulation.faults.wire import Reply, Request

if TYPE_CHECKING:
    from arbkit.books.stream_events import Event
    from tests.simulation.faults.market import ServerBook
    from tests.simulation.faults.server import Exchange, ServerFill, ServerOrder
    from tests.simulation.faults.stream import StreamClient
    from tests.simulation.faults.world import World

Sent = tuple[int, "tuple[Event, ...]"]  # extra ns on the way, events


class Fault:
    """One fault of one run. `sort` groups the table; `at_most` is how often it strikes; times in s."""

    id: ClassVar[str] = ""
    says: ClassVar[str] = ""
    at_most: ClassVar[int] = 2
    lasts: ClassVar[tuple[float, float]] = (2.0, 20.0)
    hooks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.count = 0
        self.active = False
        self.venue = rng.choice(list(world.exchanges))
        self.draw()

    def __init_subclass__(cls) -> None:
        cls.hooks = tuple(name for name in HOOKS if name in dir(cls))

    def draw(self) -> None:
        """Draw the fault's parameters."""

    def begins(self) -> None:
        """Act at the begin of the window."""

    def ends(self) -> None:
        """Put right at its end what does not end by itself."""

    def struck(self, *what: object) -> None:
        """Count one time that it had an effect."""
        self.count += 1
        self.world.strike(self.id, *what)

    @property
    def left(self) -> bool:
        return self.count < self.at_most

    @property
    def exchange(self) -> Exchange:
        return self.world.exchanges[self.venue]

    def a_book(self) -> ServerBook:
        """Return one of the venue's books, mostly one that is traded."""
        return self.rng.choice(list(self.exchange.books.values()))


HOOKS = (
    "sends", "client_error", "arrives", "answers", "order_event", "delay_of_match", "no_match_is_400", "before_match",
    "most_of", "word_of_fill", "crossed", "settlement", "book_message", "beats", "echo", "departed", "fact", "durable",
)  # fmt: skip


class Injector:
    """Asks the active faults, in the order of the table; without any, nothing goes wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[Fault] = []
        self._hooks: dict[str, list[Callable[..., Any]]] = {name: [] for name in HOOKS}

    def plan(self, fault: Fault, begin_s: float, lasts_s: float) -> None:
        """Let a fault be active from `begin_s` on for `lasts_s` seconds of the run."""
        self.faults.append(fault)
        start = self.world.loop.origin_ns
        self.world.loop.at(start + round(begin_s * NS_PER_S), self.begin, fault)
        self.world.loop.at(start + round((begin_s + lasts_s) * NS_PER_S), self.end, fault)

    def begin(self, fault: Fault) -> None:
        if not self.world.calm:
            fault.active = True
            for name in fault.hooks:
                self._hooks[name].append(getattr(fault, name))
            self.world.note("fault", fault.id, "may strike now:", fault.says)
            fault.begins()

    def end(self, fault: Fault) -> None:
        if fault.active:
            fault.active = False
            for name in fault.hooks:
                self._hooks[name].remove(getattr(fault, name))
            fault.ends()
            self.world.note("fault", fault.id, "is over")

    def end_all(self) -> None:
        for fault in self.faults:
            self.end(fault)

    # -- requests ------------------------------------------------------------------------------------------------

    def sends(self, request: Request) -> None:
        """Change what becomes of a request before it leaves."""
        for hook in self._hooks["sends"]:
            hook(request)

    def client_error(self, request: Request) -> Exception | None:
        """Return what the client raises instead of sending."""
        for hook in self._hooks["client_error"]:
            if (error := hook(request)) is not None:
                return error  # type: ignore[no-any-return]
        return None

    def departed(self, request: Request) -> None:
        for hook in self._hooks["departed"]:
            hook(request)

    def arrives(self, request: Request, exchange: Exchange) -> None:
        """Let something else answer (`stands_in`), or hold it at the door."""
        for hook in self._hooks["arrives"]:
            hook(request, exchange)

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        for hook in self._hooks["answers"]:
            reply = hook(request, reply, exchange)
        return reply

    # -- the exchange --------------------------------------------------------------------------------------------

    def delay_of_match(self, exchange: Exchange, placed: ServerOrder) -> float:
        return max((hook(exchange, placed) for hook in self._hooks["delay_of_match"]), default=0.0)

    def no_match_is_400(self, exchange: Exchange) -> bool:
        return any(hook(exchange) for hook in self._hooks["no_match_is_400"])

    def before_match(self, exchange: Exchange, book: ServerBook, placed: ServerOrder) -> None:
        for hook in self._hooks["before_match"]:
            hook(exchange, book, placed)

    def most_of(self, exchange: Exchange, placed: ServerOrder) -> int:
        return min((hook(exchange, placed) for hook in self._hooks["most_of"]), default=placed.order.size)

    def word_of_fill(self, exchange: Exchange, placed: ServerOrder, price: int, part: int) -> tuple[int, int]:
        for hook in self._hooks["word_of_fill"]:
            price, part = hook(exchange, placed, price, part)
        return price, part

    def crossed(self, exchange: Exchange) -> bool:
        return any(hook(exchange) for hook in self._hooks["crossed"])

    def settlement(self, exchange: Exchange, fill: ServerFill, after: float) -> tuple[float, str]:
        ends = "confirmed"
        for hook in self._hooks["settlement"]:
            after, ends = hook(exchange, fill, after, ends)
        return after, ends

    def order_event(self, exchange: Exchange, placed: ServerOrder, way_ns: int) -> Sequence[int]:
        delays: Sequence[int] = (way_ns,)
        for hook in self._hooks["order_event"]:
            delays = hook(exchange, placed, delays)
        return delays

    # -- the stream of books -------------------------------------------------------------------------------------

    def book_message(self, client: StreamClient, events: tuple[Event, ...]) -> list[Sent]:
        sent: list[Sent] = [(0, events)]
        for hook in self._hooks["book_message"]:
            sent = hook(client, sent)
        return sent

    def beats(self, client: StreamClient) -> bool:
        return all(hook(client) for hook in self._hooks["beats"])

    def echo(self, client: StreamClient, markets: tuple[str, ...]) -> tuple[str, ...]:
        for hook in self._hooks["echo"]:
            markets = hook(client, markets)
        return markets

    # -- the record ----------------------------------------------------------------------------------------------

    def fact(self, name: str, key: str) -> None:
        """Hear of a fact that was written down: for faults that strike between two steps."""
        for hook in self._hooks["fact"]:
            hook(name, key)

    def durable(self, names: Sequence[str]) -> None:
        """Hear of facts that are on the disk now, before whoever waits for them does."""
        for hook in self._hooks["durable"]:
            hook(names)
