"""How the messages of streams move the books: each is counted, placed in time, applied whole and then judged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from arbkit.books import stream_events as say
from arbkit.books.stream_book import CROSSED, LARGEST, StreamBook, Terms
from arbkit.books.stream_events import Delta, Event, MarketStatus, Message, Snapshot
from arbkit.books.stream_line import BROKEN, JUMPED, PASSED, Line, StreamConfig, Subscription, ns
from arbkit.core.errors import DataError
from arbkit.core.model import Book, Health, Market, MarketTable
from arbkit.core.ports import Clock, Fees
from arbkit.core.units import NS_PER_S

log = logging.getLogger(__name__)

FeesAt = Callable[[Market, int], Fees]
OnChange = Callable[[Sequence[StreamBook], "int | None"], None]
OnLine = Callable[[str], None]
Changed = dict[int, StreamBook]

DAY_NS: Final = 86_400 * NS_PER_S  # venues announce new fees and grids by the day
KEPT_REASONS: Final = 1_000
OTHERS: Final = "others"
NOT_ASKED = "a book nobody asked for here"


class StreamIntake:
    """The half of `stream.StreamBooks` that listens; see there."""

    def __init__(
        self,
        table: MarketTable,
        connections: Mapping[str, Iterable[Book]],
        fees: FeesAt,
        clock: Clock,
        config: StreamConfig,
        now: int,
    ) -> None:
        self.config = config
        self.on_change: list[OnChange] = []
        self.on_lost: list[OnLine] = []
        self.on_connected: list[OnLine] = []
        self.refusals: dict[tuple[str, str], int] = {}  # by reason and book name
        self.unknown_types: dict[str, int] = {}
        self._clock = clock
        self._fees = fees
        self._silence, self._ahead = ns(config.max_silence_s), ns(config.ahead_s)
        self._most = config.max_levels
        self._messages = 0
        self._lines: dict[str, Line] = {}
        self._line_of: dict[int, Line] = {}
        self._homes: dict[int, StreamBook] = {}
        terms: dict[Market, Terms] = {}
        for name, asked in connections.items():
            line = self._lines[name] = Line(name)
            for book in asked:
                if not book.recorded or book not in table.books or book.index in self._homes:
                    raise DataError(f"connection {name}: {book.name} has no stream in this table, or has one already")
                market = book.market
                if market not in terms:
                    terms[market] = Terms(market, market.grid_at(now), fees(market, now))
                home = self._homes[book.index] = StreamBook(book, terms[market])
                self._line_of[book.index] = line
                line.books.append(home)

    def apply(self, message: Message) -> None:
        """Take in one message; nothing that a venue says raises."""
        line = self._lines.get(message.connection)
        if line is None:
            return self._refuse("a connection nobody opened")
        events, seq = message.events, message.seq
        if not line.up and not _is_ours(events):
            return self._refuse("a message without a connection")
        silent_from = self._heard(line, message)
        changed: Changed = {}
        subscription = line.subscriptions.get(message.subscription) or self._begun(line, message)
        if seq is not None:
            if subscription is None:
                return self._refuse("a subscription nobody echoed")
            place = subscription.place(seq, events)
            if place in (JUMPED, BROKEN):
                self._gap(line, subscription, changed, "messages are missing")
            if place in (PASSED, BROKEN):
                self._refuse("a number that passed" if place == PASSED else "a number that contradicts")
                events = ()
        self._messages += 1
        for event in events:
            if isinstance(event, Delta):
                if home := self._member(event.book, subscription, changed):
                    self._delta(home, event, message)
            elif isinstance(event, Snapshot):
                if home := self._member(event.book, subscription, changed):
                    self._snapshot(home, event, message)
            else:
                self._other(line, subscription, event, changed)
        for home in changed.values():
            if home.trust is Health.OK and (wrong := home.settled(self._messages)):
                self._drop(home, Health.CROSSED if wrong == CROSSED else Health.GAPPED, wrong)
        if silent_from is not None:
            changed = {home.book.index: home for home in line.books}
        if changed and self.on_change:
            self._tell(list(changed.values()), silent_from)
        return None

    def _heard(self, line: Line, message: Message) -> int | None:
        """Note that a connection is alive; return the ns from which it had been silent until now, if it had."""
        at = message.at
        silent_from = line.alive + self._silence if at - line.alive > self._silence else None
        line.alive = at
        line.backlog = self._clock.now() - at
        if line.lost and line.up and not _is_ours(message.events) and line.backlog <= self._silence:
            line.lost = False
            for tell in self.on_connected:
                tell(line.name)
        if at // DAY_NS != line.day:
            line.day = at // DAY_NS
            self._reread(line, at)
        return silent_from

    # -- books -----------------------------------------------------------------------------------------------

    def _member(self, book: int, of: Subscription | None, changed: Changed) -> StreamBook | None:
        """Return a book that this subscription was echoed to carry."""
        home = self._homes.get(book)
        if home is None or of is None or home.subscription is not of:
            self._refuse(NOT_ASKED)
            return None
        changed[book] = home
        return home

    def _snapshot(self, home: StreamBook, event: Snapshot, message: Message) -> None:
        if wrong := self._misplaced(event, message, len(event.bids) + len(event.asks)):
            return self._drop(home, Health.GAPPED, wrong)
        if message.seq is None and event.venue_at is not None and event.venue_at < home.newest:
            return self._refuse("a snapshot that was overtaken", home)
        if wrong := home.replace(event):
            return self._drop(home, Health.GAPPED, wrong)
        return home.noted(event.venue_at, message.at)

    def _delta(self, home: StreamBook, event: Delta, message: Message) -> None:
        numbered = message.seq is not None
        if wrong := self._misplaced(event, message, len(event.levels)):
            return self._drop(home, Health.GAPPED, wrong)
        if event.relative and not numbered:
            return self._drop(home, Health.GAPPED, "a change that a repetition would double")
        venue_at = event.venue_at
        if home.trust is not Health.OK:
            if venue_at is not None and venue_at > home.newest:
                home.newest = venue_at  # no snapshot older than this can be the last word
            return self._refuse("a change without a snapshot", home)
        if not numbered and venue_at is not None and venue_at < home.base:
            return self._refuse("a change that was overtaken", home)
        if wrong := home.change(event, numbered):
            return self._drop(home, Health.GAPPED, wrong)
        return home.noted(venue_at, message.at)

    def _misplaced(self, event: Snapshot | Delta, message: Message, levels: int) -> str:
        """Return why an event has no place in time, or is too large to be meant."""
        if levels > self._most:
            return "huge"
        at = event.venue_at
        if at is None:
            return "" if message.seq is not None else "neither number nor stamp"
        return "a stamp from the future" if type(at) is not int or at - message.at > self._ahead else ""

    # -- everything else -------------------------------------------------------------------------------------

    def _other(self, line: Line, of: Subscription | None, event: Event, changed: Changed) -> None:
        if isinstance(event, say.Heartbeat):
            return None
        if isinstance(event, say.Connected):
            return self._up(line)
        if isinstance(event, say.Disconnected):
            return self._down(line, event.why)
        if isinstance(event, say.Overflowed):
            return self._gap(line, None, changed, "the queue overflowed")
        if isinstance(event, say.SubscribedTo):
            return self._subscribed(line, of, event, changed)
        if isinstance(event, say.Unreadable):
            return self._unreadable(line, of, event, changed)
        if isinstance(event, say.UnknownType):
            return self._unknown(event.name)
        if isinstance(event, (say.Status, say.Terms)):
            home = self._homes.get(event.book)
            if home is None or self._line_of[event.book] is not line:
                return self._refuse(NOT_ASKED)
            changed.update({twin.book.index: twin for twin in home.terms.homes})
            if of is not None:
                of.terms[home.terms] = None
            if isinstance(event, say.Terms):
                return self._terms(home, event)
            if home.terms.status is not MarketStatus.RESOLVED:  # which is for ever
                home.terms.status = event.status
            return None
        return self._refuse("no event")

    def _begun(self, line: Line, message: Message) -> Subscription | None:
        """Return a new subscription where a message says that there is one."""
        if not any(isinstance(event, say.SubscribedTo) for event in message.events):
            return None
        found = line.subscriptions[message.subscription] = Subscription(self.config.remembered)
        return found

    def _subscribed(self, line: Line, of: Subscription | None, event: say.SubscribedTo, changed: Changed) -> None:
        """Hear the books of the markets named from now on; what nobody asked for is counted, all others stay out."""
        asked = {home.book.market.id for home in line.books}
        for market in event.markets:
            if market not in asked:
                self._refuse("an echo of a market nobody asked for")
        for home in line.books:
            if home.book.market.id in event.markets and home.subscription is not of:
                home.subscription = of
                home.drop(Health.UNKNOWN)
                changed[home.book.index] = home

    def _unreadable(self, line: Line, of: Subscription | None, event: say.Unreadable, changed: Changed) -> None:
        """Drop the book it spoke of; where that is not known, every book it may have spoken of."""
        home = None if event.book is None else self._homes.get(event.book)
        if home is not None:
            changed[home.book.index] = home
            return self._drop(home, Health.GAPPED, event.reason)
        self._refuse(event.reason)
        return self._gap(line, of, changed, event.reason)

    def _unknown(self, name: str) -> None:
        name = name[:80]
        if name not in self.unknown_types and len(self.unknown_types) >= KEPT_REASONS:
            name = OTHERS
        if name not in self.unknown_types:
            log.warning("stream.unknown_type", extra={"type": name})
        self.unknown_types[name] = self.unknown_types.get(name, 0) + 1

    def _terms(self, home: StreamBook, event: say.Terms) -> None:
        terms, grid, least = home.terms, event.grid, event.min_size
        if least is not None and (type(least) is not int or not 0 < least <= LARGEST):
            return self._doubt(terms, "terms that cannot be")
        terms.doubt = ""
        if event.fees is not None:
            terms.fees, terms.told_fees = event.fees, True
        if least is not None:
            terms.min_size = least
        if grid is not None:
            terms.told_grid = True
            terms.regrid(grid if home.book.outcome == "yes" else grid.mirrored())
        return None

    def _reread(self, line: Line, at: int) -> None:
        """Take the table's word for what is in force today, where the stream has not said."""
        for terms in dict.fromkeys(home.terms for home in line.books):
            try:
                if not terms.told_fees:
                    terms.fees = self._fees(terms.market, at)
            except DataError as error:
                self._doubt(terms, str(error))
            if not terms.told_grid:
                terms.regrid(terms.market.grid_at(at))
        self._tell(line.books)

    # -- doubts ----------------------------------------------------------------------------------------------

    def _up(self, line: Line) -> None:
        if line.up:
            self._down(line, "connected anew")
        line.up = True
        for tell in self.on_connected:
            tell(line.name)

    def _down(self, line: Line, why: str) -> None:
        """Know nothing of a connection any more."""
        was_up, line.up = line.up, False
        line.subscriptions.clear()
        for home in line.books:
            home.subscription = None
            home.drop(Health.UNKNOWN)
        if was_up:
            self._lost(line, why)
        line.lost = False
        self._tell(line.books)

    def _lost(self, line: Line, why: str) -> None:
        if line.lost:
            return
        line.lost = True
        log.warning("stream.lost", extra={"connection": line.name, "why": why})
        for tell in self.on_lost:
            tell(line.name)

    def _gap(self, line: Line, of: Subscription | None, changed: Changed, why: str) -> None:
        """Drop the books of a subscription, or of the whole connection, and doubt the terms it would have told."""
        for home in line.books:
            if home.trust is not Health.UNKNOWN and (of is None or home.subscription is of):
                self._drop(home, Health.GAPPED, why)
                changed[home.book.index] = home
        for told in line.subscriptions.values() if of is None else (of,):
            for terms in told.terms:
                self._doubt(terms, why)

    def _drop(self, home: StreamBook, trust: Health, why: str) -> None:
        self._refuse(why, home)
        home.drop(trust)

    def _doubt(self, terms: Terms, why: str) -> None:
        terms.doubt = why or "doubted"
        log.warning("stream.doubted", extra={"market": terms.market.id, "why": why})
        self._tell(terms.homes)

    def _refuse(self, reason: str, home: StreamBook | None = None) -> None:
        key = (reason, home.book.name if home is not None else "")
        if key not in self.refusals and len(self.refusals) >= KEPT_REASONS:
            key = (OTHERS, "")
        self.refusals[key] = self.refusals.get(key, 0) + 1

    def _tell(self, changed: Sequence[StreamBook], silent_from: int | None = None) -> None:
        for tell in self.on_change:
            tell(changed, silent_from)


def _is_ours(events: Sequence[Event]) -> bool:
    """Tell whether a message speaks of our end of a connection."""
    return bool(events) and isinstance(events[0], say.LIFECYCLE)
