"""Live books: what streams of venues say, taken in only as far as it can be trusted.

    books = StreamBooks(table, {"kalshi-1": [book, ...]}, now=clock.now())
    books.apply(Message("kalshi-1", at, (Snapshot(...),), subscription="7", seq=2))
    books.view(book)

A book may price an order when its connection is up and heard from, its subscription was echoed, a snapshot came, and
nothing since was lost, broken or impossible. Every doubt ends in a health that refuses; a snapshot ends the doubt.
Ages are counted from when a message was received, so a backlog makes books as old as what is being applied.

What an adapter owes: `Connected` before anything else of a socket, `SubscribedTo` for what the venue echoed (or, where
it echoes nothing, for what was asked), one `Message` per frame with its number, `Status` and `Terms` as read elsewhere
after a reconnect, snapshots for `wanted`, comparisons for `suspicious`, and `Terms` for `doubted`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from arbkit.books.stream_book import StreamBook, StreamView, levels_of
from arbkit.books.stream_events import MarketStatus
from arbkit.books.stream_intake import FeesAt, StreamIntake
from arbkit.books.stream_line import StreamConfig, ns
from arbkit.core.clock import LoopClock
from arbkit.core.errors import DataError
from arbkit.core.model import Book, Health, MarketTable, Side
from arbkit.core.ports import Clock
from arbkit.core.units import MICRO
from arbkit.fees import rules_for

log = logging.getLogger(__name__)


class StreamBooks(StreamIntake):
    """The streamed books of a session, which begins at `now` ns.

    `connections` names, per connection, the books asked for there; each has a stream of its own (`Book.recorded`),
    and the other outcome's book is read off it where that has none. `fees` tells the rule of a market at a time.
    Raises DataError for a book whose terms are not known and for one asked for twice.

    `on_change(books, silent_from)` hears at the end of every message which books may be judged anew; `silent_from` is
    the ns from which they had been silent, if that is why. `on_lost` and `on_connected` hear a connection's name when
    it is gone (its venue may cancel what rests) and when it is back: read orders again before trading.
    """

    def __init__(
        self,
        table: MarketTable,
        connections: Mapping[str, Iterable[Book]],
        *,
        now: int,
        fees: FeesAt = rules_for,
        clock: Clock | None = None,
        config: StreamConfig | None = None,
    ) -> None:
        super().__init__(table, connections, fees, clock or LoopClock(), config or StreamConfig(), now)
        self._quiet, self._compare = ns(self.config.max_quiet_s), ns(self.config.cross_check_s)

    # -- what a client may ask -------------------------------------------------------------------------------

    def home(self, book: Book) -> StreamBook:
        """Return the streamed book that a book is, or is read off; DataError where there is none."""
        found = self._homes.get(book.index) or self._homes.get(book.mirror)
        if found is None or (found.book.index != book.index and book.recorded):
            raise DataError(f"no connection streams {book.name}")
        return found

    def view(self, book: Book) -> StreamView:
        """Return a book as it stands now, less what we took; empty unless it can be trusted."""
        home = self.home(book)
        return StreamView(
            book,
            self._health(home, self._clock.now()),
            home.terms.grids[book.outcome],
            home.terms.fees,
            home.seen,
            home.bids.levels(),
            home.asks.levels(),
            home.book.index != book.index,
        )

    def health(self, book: Book) -> Health:
        """Return whether a book may price an order now; reasons in the order of `books.gate`."""
        return self._health(self.home(book), self._clock.now())

    def _health(self, home: StreamBook, now: int) -> Health:
        trust, terms = home.trust, home.terms
        if trust is Health.UNKNOWN or trust is Health.GAPPED:
            return trust
        if terms.doubt:
            return Health.UNKNOWN
        if terms.status is not MarketStatus.OPEN:
            return Health.CLOSED
        age = now - self._line_of[home.book.index].alive
        if not 0 <= age <= self._silence or home.stale_at is not None or now - home.vouched > self._quiet:
            return Health.SILENT
        return trust

    def silent_from(self, book: Book) -> int:
        """Return the last ns at which a book is not silent if no more messages come."""
        return self._line_of[self.home(book).book.index].alive + self._silence

    def min_size(self, book: Book) -> int:
        """Return the least size of an order, millionths of a share, as last heard; 0: not known."""
        return self.home(book).terms.min_size

    def is_over(self, book: Book) -> bool:
        """Tell whether a book's market is resolved: it never opens again."""
        return self.home(book).terms.status is MarketStatus.RESOLVED

    def backlog(self, connection: str) -> int:
        """Return how many ns the last message of a connection had waited when it was applied."""
        return self._lines[connection].backlog

    # -- what has to be asked of the venue -------------------------------------------------------------------

    def wanted(self) -> list[Book]:
        """Return the books of live connections that need a snapshot, in the order they were asked for."""
        return [
            home.book
            for home in self._live()
            if home.trust is not Health.OK and home.terms.status is not MarketStatus.RESOLVED
        ]

    def suspicious(self, now: int) -> list[Book]:
        """Return trusted books that were quiet beyond `cross_check_s`, or were marked stale: compare them."""
        return [
            home.book
            for home in self._live()
            if home.trust is Health.OK and (home.stale_at is not None or now - home.vouched > self._compare)
        ]

    def doubted(self) -> dict[Book, str]:
        """Return the books whose terms have to be read anew, and why; a `Terms` event ends it."""
        return {home.book: home.terms.doubt for home in self._homes.values() if home.terms.doubt}

    def cross_check(
        self,
        book: Book,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
        *,
        asked_at: int,
        venue_at: int | None = None,
    ) -> bool | None:
        """Compare a whole streamed book with what was read elsewhere, asked for at `asked_at` ns.

        True: equal, the book is vouched for. False: it was not, and is GAPPED. None: nothing is learnt, for the book
        is not trusted or has moved meanwhile, or what was read is older (`venue_at`, the venue's stamp of it).
        """
        home = self._homes.get(book.index)
        if home is None or home.trust is not Health.OK or home.seen >= asked_at:
            return None
        if venue_at is not None and venue_at < home.newest:
            return None
        agrees = (levels_of(bids, home.quotable), levels_of(asks, home.quotable)) == (home.bids.sizes, home.asks.sizes)
        if not agrees:
            self._drop(home, Health.GAPPED, "the venue says otherwise elsewhere")
        else:
            home.vouched = asked_at
            if home.stale_at is not None and asked_at > home.stale_at:
                home.stale_at = None
        self._tell([home])
        return agrees

    def _live(self) -> Iterable[StreamBook]:
        return (home for line in self._lines.values() if line.up for home in line.books)

    # -- what we know ourselves ------------------------------------------------------------------------------

    def take(self, book: Book, side: Side, price: int, size: int, venue_at: int | None = None) -> None:
        """Show no longer what an order of ours took from a book, until the venue's next word on that level.

        `side` is the order's. With `venue_at` (ns, of the match) words that are older do not count, and a younger one
        that is here already needs no help. Where both outcomes are streamed, both books show it less.
        """
        changed = []
        for index, of, at in ((book.index, side, price), (book.mirror, Side(-side), MICRO - price)):
            home = self._homes.get(index)
            if home is not None:
                home.take(of, at, size, venue_at)
                changed.append(home)
        self._tell(changed)

    def distrust(self, book: Book, why: str) -> None:
        """Price nothing from the market of a book until its terms were read anew."""
        self._doubt(self.home(book).terms, why)

    def mark_stale(self, why: str) -> None:
        """Hold every book SILENT until a message of its own that is received from now on, or a comparison."""
        log.warning("stream.stale", extra={"why": why})
        now = self._clock.now()
        for home in self._homes.values():
            home.stale_at = now
        self._tell(list(self._homes.values()))

    def check(self) -> None:
        """Look for connections that fell silent, and tell `on_lost` once each; to be called now and then."""
        now = self._clock.now()
        for line in self._lines.values():
            if line.up and not 0 <= now - line.alive <= self._silence:
                self._lost(line, "silent")
