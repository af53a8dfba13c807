"""A connection spoken by hand: cents, shares and milliseconds in, streamed books out."""

from __future__ import annotations

from typing import Any

from arbkit.books.stream import StreamBooks
from arbkit.books.stream_events import Connected, Delta, Disconnected, Event, Message, Snapshot, SubscribedTo
from arbkit.books.stream_line import StreamConfig
from arbkit.core.clock import LoopClock
from arbkit.core.model import Health, MarketTable, Side
from arbkit.fees import rule
from tests.builders import START, Levels, a_market, a_table, cents, ms, shares

FREE = rule("none")
BID, ASK = Side.BUY, Side.SELL


class HandClock:
    """Moves when it is told to."""

    def __init__(self, ns: int = START) -> None:
        self.ns = ns

    def now(self) -> int:
        return self.ns


class VirtualClock:
    """Shows the time of the running loop."""

    def __init__(self) -> None:
        self._clock = LoopClock()

    @property
    def ns(self) -> int:
        return self._clock.now()

    def now(self) -> int:
        return self._clock.now()


def pairs(levels: Levels) -> tuple[tuple[int, int], ...]:
    return tuple((int(cents(price)), int(shares(size))) for price, size in levels)


def changes(*levels: tuple[Side, int, int]) -> tuple[tuple[Side, int, int], ...]:
    return tuple((side, int(cents(price)), int(shares(size))) for side, price, size in levels)


class StreamRig:
    """Markets a and b over one connection "c". `numbered`: its messages carry numbers, else the venue's stamps."""

    def __init__(
        self,
        *,
        numbered: bool = True,
        both: bool = False,
        table: MarketTable | None = None,
        config: StreamConfig | None = None,
        clock: HandClock | VirtualClock | None = None,
        connect: bool = True,
        **more: Any,
    ) -> None:
        self.table = table or a_table(a_market("a"), a_market("b"), both=both)
        self.clock = clock or HandClock()
        recorded = [book for book in self.table.books if book.recorded]
        more.setdefault("fees", lambda market, ns: FREE)
        self.books = StreamBooks(self.table, {"c": recorded}, now=START, clock=self.clock, config=config, **more)
        self.numbered, self.seq = numbered, 0
        self.lost: list[str] = []
        self.connected: list[str] = []
        self.books.on_lost.append(self.lost.append)
        self.books.on_connected.append(self.connected.append)
        if connect:
            self.connect()

    def connect(self, *markets: str, subscription: str = "s") -> None:
        """Connect, and have the venue echo these markets, or all."""
        self.say(Connected(), subscription="")
        self.seq = 0
        self.echo(*(markets or [market.id for market in self.table.markets]), subscription=subscription)

    def echo(self, *markets: str, subscription: str = "s") -> None:
        self.say(SubscribedTo(markets), subscription=subscription)

    def disconnect(self) -> None:
        self.say(Disconnected("test"), subscription="")

    def say(self, *events: Event, seq: int | None = None, subscription: str = "s", at: int | None = None) -> None:
        """One message as it stands; `at` in ms, by default now."""
        when = self.clock.ns if at is None else ms(at)
        self.books.apply(Message("c", when, events, subscription, seq))

    def next(self, *events: Event, seq: int | None = None) -> None:
        """One message of a book, with the next number where there are any."""
        if self.numbered:
            self.seq = self.seq + 1 if seq is None else seq
        self.say(*events, seq=self.seq if self.numbered else None)

    def snapshot(
        self, book: int = 0, bids: Levels = ((40, 5),), asks: Levels = ((45, 5),), venue: int | None = None
    ) -> None:
        self.next(Snapshot(book, pairs(bids), pairs(asks), self._stamp(venue)))

    def level(self, side: Side, price: int, size: int, *, book: int = 0, venue: int | None = None, **more: Any) -> None:
        self.next(Delta(book, changes((side, price, size)), self._stamp(venue), **more))

    def _stamp(self, venue: int | None) -> int | None:
        """The venue's stamp: `venue` in ms, by default now where nothing is numbered."""
        if venue is not None:
            return ms(venue)
        return None if self.numbered else self.clock.ns

    def wait(self, milliseconds: int) -> None:
        assert isinstance(self.clock, HandClock)
        self.clock.ns += milliseconds * 1_000_000

    def health(self, book: int = 0) -> Health:
        return self.books.health(self.table.books[book])

    def sides(self, book: int = 0) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """What is shown, (cents, shares), best first."""
        view = self.books.view(self.table.books[book])
        return tuple([(p.price // 10_000, p.size // 1_000_000) for p in side] for side in (view.bids(), view.asks()))  # type: ignore[return-value]

    def wanted(self) -> list[int]:
        return [book.index for book in self.books.wanted()]

    def refused(self, reason: str) -> int:
        return sum(n for (why, _), n in self.books.refusals.items() if reason in why)


def healthy(**more: Any) -> StreamRig:
    """Both markets' books known: 40 / 45 cents, five shares each."""
    rig = StreamRig(**more)
    for book in (b.index for b in rig.table.books if b.recorded):
        flip = rig.table.books[book].outcome == "no"
        rig.snapshot(book, ((55, 5),) if flip else ((40, 5),), ((60, 5),) if flip else ((45, 5),))
    return rig
