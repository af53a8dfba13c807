"""The live books as an engine asks for them: `when` judges only baskets whose books moved, at message boundaries.

It answers what `backtest.feed` answers over a recording. A basket is open while `opportunity_in` finds something in
it; a pair of two streamed books of one market, which are one pool told twice, opens only when its edge has stood for
`settle_ms` and both last messages travelled equally long (without venue stamps: when one message set both best asks).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from arbkit.books.stream import StreamBooks
from arbkit.books.stream_book import StreamBook, StreamView
from arbkit.core.clock import LoopClock
from arbkit.core.errors import ConfigError, InvariantViolation
from arbkit.core.model import ArbitrageOpportunity, Basket, Book, Health, Kind, Side
from arbkit.core.ports import Clock
from arbkit.core.units import MICRO, NS_PER_MS, NS_PER_S, Cash, Size
from arbkit.detection.opportunity import opportunity_in

EVERYTHING = Size(10**13)  # ten million shares: what an engine may trade is the engine's to say
NEVER = -(2**62)


@dataclass(slots=True, eq=False)
class _Watched:
    """One basket and its newest episode; times in ns."""

    basket: Basket
    legs: tuple[tuple[StreamBook, bool], ...]  # where each leg is read, and whether as the other side's mirror
    pair: bool
    since: int | None = None  # from when the edge of a pair has stood
    open: bool = False
    started: int = NEVER
    ended: int = NEVER


class LiveFeed:
    """Implements `ports.BookFeed` over streamed books.

    Edges count net of fees unless `gross`. `settle_ms` is for pairs (above); an episode that is entered again within
    `rearm_s` goes on, and its opportunities carry one id. `close` ends the feed.
    """

    def __init__(
        self,
        books: StreamBooks,
        *,
        gross: bool = False,
        settle_ms: float = 100.0,
        rearm_s: float = 1.0,
        max_size: Size = EVERYTHING,
        clock: Clock | None = None,
    ) -> None:
        if not 0 <= settle_ms <= 60_000 or not 0 < rearm_s <= 86_400:
            raise ConfigError(
                f"settle_ms = {settle_ms!r} is outside 0..60000, or rearm_s = {rearm_s!r} outside 0..86400"
            )
        self._books, self._gross, self._max_size = books, gross, max_size
        self._settle, self._rearm = round(settle_ms * NS_PER_MS), round(rearm_s * NS_PER_S)
        self._clock = clock or LoopClock()
        self._min_edge = Cash(0)
        self._watched: dict[str, _Watched] = {}  # by basket id
        self._touched: dict[int, list[_Watched]] = {}  # by number of the streamed book
        self._news = asyncio.Event()
        self._closed = self._asked = False
        books.on_change.append(self._moved)

    # -- what a client may ask -------------------------------------------------------------------------------

    def view(self, book: Book) -> StreamView:
        return self._books.view(book)

    def take(self, book: Book, side: Side, price: int, size: int, venue_at: int | None = None) -> None:
        """Show no longer what an order of ours took; see `StreamBooks.take`."""
        self._books.take(book, side, price, size, venue_at)

    def distrust(self, book: Book, why: str) -> None:
        self._books.distrust(book, why)

    def mark_stale(self, why: str) -> None:
        """Hold every book SILENT until it is heard of anew; see `StreamBooks.mark_stale`."""
        self._books.mark_stale(why)

    def close(self) -> None:
        """End the feed: `when` returns None once no basket is open."""
        self._closed = True
        self._news.set()

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:
        """Wait until one of the baskets is open, and return the first in their order; one call waits at a time.

        None when the feed was closed or no basket can open any more. Its id is that of the episode. Where a venue has
        raised a leg's minimum, the basket of the opportunity carries the higher q_min.
        """
        if self._asked:
            raise InvariantViolation("the feed is asked for the next opportunity twice at once")
        if min_edge != self._min_edge:
            self._watched, self._touched, self._min_edge = {}, {}, min_edge
        asked = [self._watched.get(basket.id) or self._watch(basket) for basket in baskets]
        self._asked = True
        try:
            return await self._first(asked)
        finally:
            self._asked = False

    async def _first(self, asked: Sequence[_Watched]) -> ArbitrageOpportunity | None:
        again: Sequence[_Watched] = asked
        while True:
            self._news.clear()
            now = self._clock.now()
            for watched in again:
                found = self._judge(watched, now)
                if found is not None:
                    return found
            if self._closed or (asked and all(self._is_over(watched) for watched in asked)):
                return None
            settled = [w.since + self._settle for w in asked if w.since is not None and not w.open]
            due = min((at for at in settled if at > now), default=None)
            try:
                async with asyncio.timeout(None if due is None else max(due - now, 1_000) / NS_PER_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            again = [watched for watched in asked if watched.open or watched.since is not None]

    # -- judging ---------------------------------------------------------------------------------------------

    def _watch(self, basket: Basket) -> _Watched:
        homes = [self._books.home(leg) for leg in basket.legs]
        legs = tuple((home, home.book.index != leg.index) for home, leg in zip(homes, basket.legs, strict=True))
        pair = basket.kind is Kind.COMPLEMENT and not any(flipped for _, flipped in legs)
        watched = self._watched[basket.id] = _Watched(basket, legs, pair)
        for index in dict.fromkeys(home.book.index for home in homes):
            self._touched.setdefault(index, []).append(watched)
        return watched

    def _moved(self, changed: Sequence[StreamBook], silent_from: int | None) -> None:
        """Judge what rests on books that moved; whoever waits hears of what is open then."""
        now = self._clock.now()
        for watched in dict.fromkeys(w for home in changed for w in self._touched.get(home.book.index, ())):
            if silent_from is not None:
                self._shut(watched, silent_from)
            self._judge(watched, now, whole=False)
            if watched.open or watched.since is not None or self._is_over(watched):
                self._news.set()

    def _judge(self, watched: _Watched, now: int, *, whole: bool = True) -> ArbitrageOpportunity | None:
        """Follow the episodes of a basket up to `now`, and return what it offers if one is running.

        Not `whole`: at the smallest legal size, which decides whether it is open.
        """
        found = self._found(watched, now, whole)
        if found is None:
            self._shut(watched, min([now, *(self._books.silent_from(leg) for leg in watched.basket.legs)]))
            return None
        if not watched.open:
            if watched.pair and not self._settled(watched, now):
                return None
            if now - watched.ended > self._rearm:
                watched.started = now
            watched.open = True
        name = hashlib.sha256(f"{watched.basket.id}@{watched.started}".encode()).hexdigest()[:12]
        return structs.replace(found, id=name)

    def _found(self, watched: _Watched, now: int, whole: bool) -> ArbitrageOpportunity | None:
        """Return what the books hold, pairs as if they had settled."""
        basket = watched.basket
        left, least = int(basket.floor), int(basket.min_size)
        for home, flipped in watched.legs:
            if home.trust is not Health.OK:
                return None
            left -= MICRO - home.bids.best(0) if flipped else home.asks.best(MICRO)
            least = max(least, home.terms.min_size)
        if left < self._min_edge:
            return None  # no size can earn more; most boundaries end here
        if least > basket.min_size:
            basket = replace(basket, min_size=Size(least))
        views = [self._books.view(leg) for leg in basket.legs]
        most = self._max_size if whole else min(self._max_size, Size(-(-least // basket.lot) * basket.lot))
        return opportunity_in(views, basket, self._min_edge, most, kind=basket.kind, gross=self._gross, now=now)

    def _settled(self, watched: _Watched, now: int) -> bool:
        if watched.since is None:
            watched.since = now
        if now - watched.since < self._settle:
            return False
        (a, _), (b, _) = watched.legs
        if a.lag is None or b.lag is None:
            return a.ask_set is not None and a.ask_set == b.ask_set
        return abs(a.lag - b.lag) < self._settle

    @staticmethod
    def _shut(watched: _Watched, now: int) -> None:
        if watched.open:
            watched.open, watched.ended = False, now
        watched.since = None

    def _is_over(self, watched: _Watched) -> bool:
        return any(self._books.is_over(leg) for leg in watched.basket.legs)
