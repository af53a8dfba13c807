"""What a client may believe of the books, judged from the messages it received by other code than the engine's."""

from __future__ import annotations

from arbkit.books.stream_events import (
    Connected,
    Delta,
    Disconnected,
    MarketStatus,
    Message,
    Overflowed,
    Snapshot,
    Status,
    SubscribedTo,
    Terms,
    Unreadable,
)
from arbkit.core.grid import Grid
from arbkit.core.model import Book, MarketTable
from arbkit.core.units import MICRO


class _Seen:
    """One book."""

    __slots__ = ("asks", "bids", "broke_at", "grid", "name", "open", "stamp", "stamps", "vouched", "wrong")

    def __init__(self, book: Book) -> None:
        self.name = book.name
        self.grid: Grid = book.market.grids[0][1]
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.stamps: dict[tuple[int, int], int] = {}
        self.stamp = 0
        self.wrong = "no snapshot yet"
        self.broke_at = 0
        self.open = True
        self.vouched = 0

    def breaks(self, why: str, at: int) -> None:
        if not self.wrong:
            self.broke_at = at
        self.wrong = why


class BookModel:
    """Follows one process's connections. `why(book, now)` says why a book must not price an order, or nothing."""

    def __init__(self, table: MarketTable, silence_ns: int, quiet_ns: int) -> None:
        self._books = {book.index: _Seen(book) for book in table.books if book.recorded}
        self._venue_of = {book.index: book.venue for book in table.books}
        self._market_of = {book.index: book.market.id for book in table.books}
        self.home = {book.index: book.index if book.recorded else book.mirror for book in table.books}
        self._alive: dict[str, int] = {}
        self._up: dict[str, bool] = {}
        self._carried: dict[tuple[str, str], tuple[str, ...]] = {}
        self._count: dict[tuple[str, str], int] = {}
        self._current: dict[int, str] = {}
        self._silence_ns, self._quiet_ns = silence_ns, quiet_ns
        self._now = 0

    def why(self, index: int, now: int) -> str:
        home = self.home[index]
        seen, venue = self._books[home], self._venue_of[home]
        if not self._up.get(venue):
            return "its connection is down"
        if seen.wrong:
            return seen.wrong
        if not seen.open:
            return "its market takes no orders"
        if now - self._alive[venue] > self._silence_ns:
            return f"nothing was heard for {(now - self._alive[venue]) / 1e9:.1f} s"
        if now - seen.vouched > self._quiet_ns:
            return "it was quiet for too long, and nobody compared it"
        return ""

    def broke_at(self, index: int) -> int:
        """Return when a book was last found broken, ns."""
        return self._books[self.home[index]].broke_at

    def vouched(self, index: int) -> int:
        """Return when a book was last known to be right, ns."""
        return self._books[self.home[index]].vouched

    def agreed(self, index: int, agreed: bool | None, asked_at: int, now: int) -> None:
        """Take note of a comparison with what the venue said elsewhere."""
        self._now = now
        seen = self._books[index]
        if agreed is False:
            seen.breaks("it differed from what the venue said elsewhere", self._now)
        elif agreed:
            seen.vouched = asked_at

    def apply(self, message: Message, now: int) -> None:
        self._now = now
        venue, at = message.connection, message.at
        if isinstance(message.events[0] if message.events else None, Connected | Disconnected):
            self._down(venue)
            self._up[venue] = isinstance(message.events[0], Connected)
            if self._up[venue]:
                self._alive[venue] = at
            return
        if not self._up.get(venue):
            return
        self._alive[venue] = at
        place = (venue, message.subscription)
        fresh = True
        if message.seq is not None:
            if place not in self._count and not any(isinstance(event, SubscribedTo) for event in message.events):
                return  # nobody echoed this subscription: it is not ours
            last = self._count.get(place)
            if last is not None and message.seq != last + 1:
                fresh = message.seq > last
                if fresh:
                    self._break(venue, message.subscription, "messages are missing")
            self._count[place] = max(message.seq, last or 0)
        touched: list[_Seen] = []
        for event in message.events if fresh else ():
            self._event(venue, event, message, touched)
        for seen in touched:
            bid, ask = max(seen.bids, default=0), min(seen.asks, default=MICRO)
            if not seen.wrong and bid >= ask:
                seen.breaks("crossed", self._now)

    def _event(self, venue: str, event: object, message: Message, touched: list[_Seen]) -> None:
        if isinstance(event, SubscribedTo):
            for index, seen in self._books.items():
                named = self._venue_of[index] == venue and self._market_of[index] in event.markets
                if named and self._current.get(index) != message.subscription:
                    self._current[index] = message.subscription
                    seen.breaks("no snapshot yet", self._now)
        elif isinstance(event, Overflowed):
            self._break(venue, None, "messages were thrown away")
        elif isinstance(event, Unreadable):
            if event.book is None:
                self._break(venue, message.subscription or None, "a message could not be read")
            else:
                self._books[event.book].breaks("a message could not be read", self._now)
        elif isinstance(event, Status):
            seen = self._books[event.book]
            seen.open = event.status is MarketStatus.OPEN
            if not seen.open:
                seen.broke_at = self._now
        elif isinstance(event, Terms):
            seen = self._books[event.book]
            if event.grid is not None and event.grid != seen.grid:
                seen.grid = event.grid
                seen.breaks("its prices are others now", self._now)
        elif isinstance(event, Snapshot | Delta):
            seen = self._books[event.book]
            if self._current.get(event.book) != message.subscription:
                return
            self._levels(seen, event, message)
            touched.append(seen)

    def _levels(self, seen: _Seen, event: Snapshot | Delta, message: Message) -> None:
        numbered = message.seq is not None
        if isinstance(event, Snapshot):
            if not numbered and event.venue_at is not None and event.venue_at < seen.stamp:
                return
            levels = [*((1, *level) for level in event.bids), *((-1, *level) for level in event.asks)]
            if all(seen.grid.holds(price) and total > 0 for _, price, total in levels):
                seen.bids, seen.asks = dict(event.bids), dict(event.asks)
                seen.stamps = {}
                seen.stamp = event.venue_at or 0
                seen.wrong, seen.vouched = "", message.at
            else:
                seen.breaks("a snapshot that cannot be", self._now)
            return
        if event.venue_at is not None:
            if not numbered and event.venue_at < seen.stamp and not seen.wrong:
                return
            if seen.wrong:
                seen.stamp = max(seen.stamp, event.venue_at)
                return
        for side, price, total in event.levels:
            if not seen.grid.holds(price) or not 0 <= total <= 10**15:
                seen.breaks("a level that cannot be", self._now)
                return
            if event.venue_at is not None and event.venue_at < seen.stamps.get((side, price), 0):
                continue
            if event.venue_at is not None:
                seen.stamps[side, price] = event.venue_at
            levels_ = seen.bids if side > 0 else seen.asks
            if total:
                levels_[price] = total
            else:
                levels_.pop(price, None)
        seen.vouched = message.at

    def _down(self, venue: str) -> None:
        for index, seen in self._books.items():
            if self._venue_of[index] == venue:
                seen.breaks("no snapshot yet", self._now)
                self._current.pop(index, None)
        for place in [place for place in self._count if place[0] == venue]:
            del self._count[place]

    def _break(self, venue: str, subscription: str | None, why: str) -> None:
        for index, seen in self._books.items():
            if self._venue_of[index] == venue and subscription in (None, self._current.get(index)):
                seen.breaks(why, self._now)
