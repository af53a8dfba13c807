"""What the record says against what the venues say: orders, positions, cash and clocks.

A difference is read again before it is believed, and then it is told and bars entries where it was found, until a
person claims it. Nothing is written off, an absent row is never taken for flat, and a listing that could not be read
whole says nothing about what is not in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import AccessDenied, DataError, VenueError, VenueUnavailable
from arbkit.core.model import Book, MultiLegTrade, Order, Side, TradeState
from arbkit.core.ports import Clock, Venue, VenueOrder
from arbkit.core.units import FOREVER, MICRO, NS_PER_S, Cash, Size, cost
from arbkit.execution.answer import answer
from arbkit.execution.record import Record
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

T = TypeVar("T")

MAX_PAGES = 1_000  # a listing that is longer than this runs in circles
READS = 3  # times a difference is read before it is believed
CASH_DUST = Cash(MICRO // 100)  # a cent: venues credit the rounding of fees later (Kalshi, per order)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a venue said of an account; `orders` is None when the listing could not be read whole."""

    orders: tuple[VenueOrder, ...] | None
    shares: Mapping[str, int]  # by book name, as listed: what is absent is not said to be zero
    cash: Cash
    strange: tuple[str, ...] = ()  # positions in books that this engine does not know, in words

    @property
    def total(self) -> Cash:
        """Free cash and what open buy orders reserve of it (without fees: venues differ in reserving those)."""
        bids = [order for order in self.orders or () if order.side is Side.BUY]
        return Cash(self.cash + sum(cost(order.limit, order.size - order.filled) for order in bids))


@dataclass(slots=True)
class Difference:
    """Something that the record does not explain: the market it bars ("venue:market", or a whole venue), and why."""

    name: str
    why: str
    orders: list[str] = field(default_factory=list)  # what a claim takes: orders by venue id, positions in words


class Reconciler:
    """Compares the account with its venues at the start, after a lost connection and on a timer."""

    def __init__(
        self,
        venues: Mapping[str, Venue],
        books: Sequence[Book],
        config: ExecutionConfig,
        clock: Clock,
        record: Record,
        ledger: Ledger,
        risk: RiskManager,
        trades: Callable[[], Sequence[MultiLegTrade]],
        turn: Callable[[str], Awaitable[None]],
        spans: Callable[[str], Sequence[tuple[str, int, int]]] = lambda _venue: (),
        on_adjusted: Callable[[Sequence[tuple[str, int]]], object] = lambda _shares: None,
    ) -> None:
        """`spans` are shares by book that may be fewer or more than on record: settlement is moving them.

        `on_adjusted` hears by how much a claim has changed books.
        """
        self._venues = dict(venues)
        self._books = {book.index: book for book in books}
        self._config = config
        self._clock = clock
        self._record = record
        self._ledger = ledger
        self._risk = risk
        self._trades = trades
        self._turn = turn
        self._spans = spans
        self._on_adjusted = on_adjusted
        self.claimed: dict[str, str] = {}  # foreign orders (by the venue's id) and positions that a person has claimed
        self.open: dict[str, Difference] = {}  # what is not claimed yet, by name
        self.skewed: dict[str, str] = {}  # venues whose clock was not ours when it was last read, and by how much

    def is_open(self, market: str) -> bool:
        """Tell whether something on a market ("venue:market"), or at its venue, waits to be claimed."""
        return market in self.open or market.partition(":")[0] in self.open

    # -- opening -------------------------------------------------------------------------------------------------

    async def opening(self) -> None:
        """Write down the balances of venues that are new to the journal; what is held already is to be claimed."""
        for name in self._venues:
            if name in self._ledger.opened:
                continue
            reading = await self._steady(name)
            shares = tuple(sorted((book, size) for book, size in reading.shares.items() if size))
            self._record.intend("account.opened", name, cash=reading.total, shares=shares)
            self._ledger.open(name, reading.total, shares)
            self._adopt(shares)
            if reading.strange:
                self._bar(Difference(name, f"EXTERNAL position: {'; '.join(reading.strange)}", list(reading.strange)))
            for book, size in shares:
                self._bar(Difference(_market_of(book), f"{size / MICRO:g} {book} were held before the first trade"))

    # -- comparing -----------------------------------------------------------------------------------------------

    async def compare_all(self) -> dict[str, str]:
        """Compare every venue; return which could not be compared, and why. One that fails hides or delays no other."""
        names = list(self._venues)
        answers = await asyncio.gather(*[self._tried(name) for name in names], return_exceptions=True)
        for ended in answers:
            if isinstance(ended, BaseException):
                raise ended
        return {name: str(why) for name, why in zip(names, answers, strict=True) if why}

    async def _tried(self, name: str) -> str:
        """Compare one venue; return why it could not be compared, or nothing."""
        try:
            await self.compare(name)
        except Exception as error:  # noqa: BLE001 - halts here, unless a venue may raise it
            if isinstance(error, AccessDenied):
                self._record.halt(f"{name} denies access: {error}")
            elif not isinstance(error, VenueError):
                self._record.halt(f"comparing with {name} failed: {type(error).__name__}: {error}", error)
            return str(error) or type(error).__name__
        return ""

    async def measure(self, venues: Iterable[str]) -> list[str]:
        """Read these venues' clocks; return those that differ from ours or do not answer."""
        unsure = []
        for name in venues:
            try:
                await self._measure_clock(name)
            except VenueError:
                unsure.append(name)
            else:
                unsure += [name] if name in self.skewed else []
        return unsure

    async def compare(self, name: str) -> list[Difference]:
        """Compare one venue; bar what differs in every one of several readings. Raises VenueError when it is silent."""
        await self._measure_clock(name)
        found: dict[str, Difference] = {}
        for attempt in range(READS):
            if attempt:
                await asyncio.sleep(self._config.hedge_retry_s * attempt)
            before = self._expected(name)
            reading = await self._read(name)
            now = self._differences(name, reading, before, self._expected(name))
            found = {key: new for key, new in now.items() if not attempt or key in found}
            if not found:
                return []
        for difference in found.values():
            self._bar(difference)
        return list(found.values())

    async def _measure_clock(self, name: str) -> None:
        """Keep entries away from a venue whose clock is not ours: what is signed or dated would not be believed."""
        before, theirs, after = await self._answered(name, self._their_time(name), self._patience_s)
        was = self.skewed.pop(name, None)
        off = max(before - theirs, theirs - after, 0)  # for certain, whenever within the answer it was read
        if off > self._config.max_clock_skew_s * NS_PER_S:
            why = self.skewed[name] = f"its clock differs from ours by {off / NS_PER_S:.1f} s"
            self._record.note("venue.paused", f"{name}/clock", until=FOREVER, why=why)
            self._risk.pause_venue(f"{name}/clock", FOREVER, why)
            self._record.alert(f"entries at {name} are paused", why)
        elif was is not None:
            self._record.note("venue.paused", f"{name}/clock", until=after, why="")
            self._risk.pause_venue(f"{name}/clock", after, "")

    async def _their_time(self, name: str) -> tuple[int, int, int]:
        await self._turn(name)
        before = self._clock.now()
        return before, await self._venues[name].time(), self._clock.now()

    async def _answered(self, name: str, ask: Awaitable[T], within_s: float) -> T:
        """Return what a venue answers; VenueUnavailable when it does not in time."""
        try:
            return await answer(ask, within_s)
        except TimeoutError as error:
            raise VenueUnavailable(f"{name} does not answer in time") from error

    async def _read(self, name: str) -> Reading:
        return await self._answered(name, self._reading(name), 3 * self._patience_s)

    async def _reading(self, name: str) -> Reading:
        orders = await self._all_orders(name)
        await self._turn(name)
        held = await self._venues[name].positions()
        await self._turn(name)
        cash = await self._venues[name].balance()
        shares, strange = {}, []
        for book, size in held.items():
            if book in self._books:
                shares[self._books[book].name] = int(size)
            elif size:
                strange.append(f"{size / MICRO:g} of book number {book}, which is in no basket here")
        return Reading(orders, shares, cash, tuple(strange))

    async def _steady(self, name: str, pause_s: float = 0.0) -> Reading:
        """Read an account until two whole readings, a pause apart, agree; VenueUnavailable when none ever do."""
        before = None
        for _ in range(2 * READS):
            reading = await self._read(name)
            if reading == before and reading.orders is not None:
                return reading
            before = reading
            await asyncio.sleep(pause_s)
        what = "moves while it is read" if reading.orders is not None else "lists open orders without an end"
        raise VenueUnavailable(f"the account at {name} {what}: try again when it rests")

    async def _all_orders(self, name: str) -> tuple[VenueOrder, ...] | None:
        """Return the whole listing, every order once, or None when its pages never ended."""
        found: dict[str, VenueOrder] = {}
        seen: dict[str, None] = {}
        cursor = ""
        for _ in range(MAX_PAGES):
            await self._turn(name)
            page = await self._venues[name].open_orders(cursor)
            found.update((order.venue_id, order) for order in page.rows)
            cursor = page.cursor
            if not cursor:
                return tuple(found.values())
            if cursor in seen:
                return None
            seen[cursor] = None
        return None

    def _expected(self, name: str) -> _Expected:
        """Return what the record lets a venue hold now, orders without a last word counted both ways."""
        shares = {book: (held, held) for book, held in self._ledger.shares.items() if book.startswith(f"{name}:")}
        working: list[Order] = []
        for trade in self._trades():
            for leg in trade.legs:
                if leg.book.venue == name:
                    working += [order for order in leg.orders if not (order.is_final and order.is_settled)]
        for order in working:
            low, high = shares.get(order.book.name, (0, 0))
            more = 0 if order.is_final else order.remaining
            loose = order.filled - order.confirmed
            if order.side is Side.BUY:
                low, high = low - loose, high + more
            else:
                low, high = low - more, high + loose
            shares[order.book.name] = (low, high)
        moving = self._spans(name)
        for book, fewer, more in moving:
            low, high = shares.get(book, (0, 0))
            shares[book] = (low + fewer, high + more)
        orders = [order.client_id for order in working]
        return _Expected(shares, self._ledger.cash.get(name, 0), orders, bool(moving))

    def _differences(self, name: str, reading: Reading, before: _Expected, after: _Expected) -> dict[str, Difference]:
        found: dict[str, Difference] = {}

        def differ(market: str, why: str, *claimable: str) -> None:
            found.setdefault(market, Difference(market, why)).orders.extend(claimable)

        ours = {*before.orders, *after.orders}
        foreign = [order for order in reading.orders or () if order.client_id not in ours]
        for order in foreign:
            if order.venue_id not in self.claimed:
                whose = f"{order.client_id}, which is over here," if order.client_id else "that nobody here placed"
                differ(_barred_for(order, name), f"EXTERNAL order {order.venue_id} {whose} is open", order.venue_id)
        if strange := [one for one in reading.strange if one not in self.claimed]:
            differ(name, f"EXTERNAL position: {'; '.join(strange)}", *strange)
        for book in sorted({*reading.shares, *before.shares, *after.shares}):
            spans = [expected.shares.get(book, (0, 0)) for expected in (before, after)]
            low, high = min(span[0] for span in spans), max(span[1] for span in spans)
            there = reading.shares.get(book)
            if there is None and not low <= 0 <= high:
                differ(_market_of(book), f"{book} is not listed, on record are {_span(low, high)}")
            elif there is not None and not low <= there <= high:
                differ(_market_of(book), f"EXTERNAL position: {there / MICRO:g} {book}, on record {_span(low, high)}")
        quiet = not ours and not foreign and reading.orders is not None and before.cash == after.cash
        quiet = quiet and not before.moving and not after.moving
        if quiet and abs(reading.cash - after.cash) > CASH_DUST:
            differ(name, f"cash is {reading.cash / MICRO:.6f}, on record {after.cash / MICRO:.6f} dollars")
        return found

    def _bar(self, difference: Difference) -> None:
        known = self.open.get(difference.name)
        self.open[difference.name] = difference
        if known is not None and known.why == difference.why:
            return
        self._risk.block_market(difference.name, difference.why)  # a name it does not take is not on record either
        self._record.note("market.blocked", difference.name, why=difference.why)
        self._record.alert(f"{difference.name} is blocked", difference.why)

    # -- claiming ------------------------------------------------------------------------------------------------

    async def claim(self, name: str, why: str) -> None:
        """Take a person's word that what differs on a market ("venue:market") or venue is theirs.

        The account is adjusted to what the venue says twice, on record: one listing without a row takes nothing for
        gone. Raises DataError for a name that is none here, VenueUnavailable while orders of ours have no last word there, JournalError when the claim is not on disk: it
        counts, and is to be made again should the process end before it is.
        """
        barred = self.open.get(name)
        venue = name.partition(":")[0]
        if name not in {*self._venues, *(_market_of(book.name) for book in self._books.values()), *self.open}:
            barred_now = ", ".join(self.open) or "nothing"
            raise DataError(f"no venue, and no market (venue:market), is called {name!r} here; barred: {barred_now}")
        before = self._expected(venue)
        if before.moving:
            raise VenueUnavailable(f"capital at {venue} is being moved, or was just now: claim {name} a little later")
        if before.orders or self._busy(venue):
            raise VenueUnavailable(f"trades are running at {venue}: claim {name} when they are over")
        reading = await self._steady(venue, self._config.hedge_retry_s)
        if self._busy(venue) or self._expected(venue) != before:
            raise VenueUnavailable(f"the account moved while it was read: claim {name} again")
        more = []
        if name != venue:
            books = [book.name for book in self._books.values() if book.market_name == name]
            for book in books:
                there = reading.shares.get(book, 0)
                if change := there - self._ledger.shares.get(book, 0):
                    more.append((book, change))
        cash = reading.total - self._ledger.cash.get(venue, 0) if name == venue else 0
        if more or cash:
            self._record.intend("account.adjusted", venue, cash=cash, shares=tuple(more), why=why)
            self._ledger.adjust(venue, cash, more)
            self._on_adjusted(more)
            self._adopt(more)
        orders = tuple(barred.orders) if barred else ()
        self._record.intend("market.claimed", name, why=why, orders=orders)
        self.claimed.update(dict.fromkeys(orders, name))
        self.open.pop(name, None)
        self._risk.claim_market(name)
        await self._record.durable()

    def _busy(self, venue: str) -> bool:
        """Tell whether a trade is running at a venue."""
        over = (TradeState.ESCALATED, TradeState.COMMITTED, TradeState.ROLLED_BACK)
        trades = [trade for trade in self._trades() if trade.state not in over]
        return any(leg.book.venue == venue for trade in trades for leg in trade.legs)

    def _adopt(self, shares: Iterable[tuple[str, int]]) -> None:
        """Count shares that came without a trade against the caps."""
        by_name = {book.name: book for book in self._books.values()}
        for name, more in shares:
            self._risk.adopted(by_name[name], more)

    @property
    def _patience_s(self) -> float:
        return min(self._config.leg_timeout_s, self._config.hedge_timeout_s / 2)


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the record allows: shares by book as (low, high), cash, and orders of ours that may be listed."""

    shares: dict[str, tuple[int, int]]
    cash: int
    orders: list[str]
    moving: bool = False  # shares and cash that settlement moves


def _barred_for(order: VenueOrder, venue: str) -> str:
    """Return the market that a strange order bars: all of its venue where that does not say which market it is on."""
    market, _, outcome = order.book.rpartition(":")
    said = outcome in ("yes", "no") and market.startswith(f"{venue}:") and not market.endswith((":", ":yes", ":no"))
    return market if said else venue


def _market_of(book: str) -> str:
    return book.rpartition(":")[0]


def _span(low: int, high: int) -> str:
    return f"{Size(low) / MICRO:g}" if low == high else f"{low / MICRO:g} to {high / MICRO:g}"
