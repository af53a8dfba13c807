"""A venue made of a tape: it takes orders as a real one does, late, and matches them against what was recorded.

An order travels `entry`, is matched, and the answer travels `reply` back. What happens at the venue is the venue's
own: a client that stops waiting changes nothing there, and finds the order by its key. Fills of resting orders are
reported `reply` after the match; a cancel that arrives after a fill has lost the race and is told so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

from msgspec import structs

from arbkit.backtest.habits import PLAIN, Habits
from arbkit.backtest.latency import LatencyModel
from arbkit.backtest.ledger import FeesByBook, Ledger, Payout, rule_at
from arbkit.backtest.terms import Resolution
from arbkit.backtest.venue_desk import Matching, Record, VenueDesk
from arbkit.core.clock import LoopClock
from arbkit.core.errors import OrderRejected, OrderStateUnknown, VenueError, VenueUnavailable
from arbkit.core.model import SETTLES, TERMINAL, Book, Order, OrderReport, OrderStatus
from arbkit.core.ports import Clock, Page, VenueOrder
from arbkit.core.units import NS_PER_S, Cash, Price, Size

NOT_FOUND = "not found"
OnTake = Callable[[Book, int, Price, Size], None]  # book, side of the order, price of the level taken, shares


class SimulatedVenue:
    """Implements `ports.Venue` over recorded books. `balance` and `positions` are what the client knows: no round trip.

    Without `fees` fills cost none, and the caller must not show net figures. `on_take` hears, when the report of a
    fill reaches the client, which level it took, so that the client's view of the book can show it. `habits` are what
    the venue does besides matching, `resolutions` (oldest first) what its markets pay.
    """

    live = False

    def __init__(
        self,
        name: str,
        matching: Matching,
        latency: LatencyModel,
        *,
        cash: Cash,
        fees: FeesByBook | None = None,
        decide_ns: int = 0,
        on_take: OnTake | None = None,
        habits: Habits = PLAIN,
        resolutions: Sequence[Resolution] = (),
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.opening_cash = cash
        self._latency, self._fees = latency, fees
        self._decide_ns, self._on_take = decide_ns, on_take
        self._clock = clock or LoopClock()
        self._ordinals: Counter[tuple[int, str]] = Counter()
        self._sent: set[str] = set()
        self._known = Ledger(cash)
        self._unpaid = [] if habits.pays_s is None else [_paid_at(habits.pays_s, one) for one in resolutions]
        self._desk = VenueDesk(
            name,
            matching,
            cash=cash,
            fees=fees,
            say=self._report,
            later=self._later,
            chance=self._chance,
            habits=habits,
            resolutions=resolutions,
        )

    # -- the client's side -----------------------------------------------------------------------------------

    async def submit(self, order: Order) -> OrderReport:
        """Place an order; see `ports.Venue`. Raises OrderRejected with the venue's reason, or VenueUnavailable."""
        if order.client_id not in self._sent:
            self._sent.add(order.client_id)
            self._known.reserve(order, order.size, rule_at(self._fees, order.book, self._clock.now()))
        report = await self._ask("submit", order, self._arrived, self._decide_ns)
        if report.status is OrderStatus.REJECTED:
            known = self._desk.records.get(order.client_id)
            own = known is not None and known.reason == report.reason
            cause = (known.cause, known.retry_after_s) if known is not None and own else ()
            raise OrderRejected(report.reason, *cause)
        return report

    async def cancel(self, order: Order) -> OrderReport:
        """Cancel; the report is final and holds every fill that came first, unless the order is held just now.

        Raises OrderStateUnknown when there is no such order, VenueUnavailable when the venue turns cancels away.
        """
        return await self._ask("cancel", order, self._cancelled)

    async def status(self, order: Order) -> OrderReport:
        """Return what the venue holds; an order that is not there, or not yet, is UNKNOWN: that proves nothing."""
        return await self._ask("status", order, self._asked)

    async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        """Yield what was heard of an order, then what comes, until one report is final."""
        at = 0
        while True:
            record = self._desk.records.get(order.client_id)
            if record is None:
                raise OrderStateUnknown(f"{order.client_id}: {NOT_FOUND}")
            if at < len(record.reports):
                at += 1
                yield record.reports[at - 1]
                if record.reports[at - 1].status in TERMINAL:
                    return
            else:
                news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                record.waiting.append(news)
                await news

    async def open_orders(self, cursor: str = "") -> Page:  # noqa: ARG002 - there is one page
        """Return what rests as the client knows it, all on one page: no round trip."""
        rows = [
            VenueOrder(key, key, o.book.name, o.side, o.limit, o.size, Size(o.size - record.left))
            for key, record in self._desk.records.items()
            if record.status in (OrderStatus.OPEN, OrderStatus.PARTIAL)
            for o in (record.order,)
        ]
        return Page(tuple(rows))

    async def time(self) -> int:
        return self._clock.now()

    async def balance(self) -> Cash:
        """Return free cash as the client reckons it: orders that may be live keep their reservation."""
        self._hear_payouts()
        return self._known.free

    async def positions(self) -> Mapping[int, Size]:
        """Return shares held by book number, as far as fills were reported."""
        self._hear_payouts()
        return {book: Size(shares) for book, shares in self._known.held.items() if shares}

    def paid(self, at: int) -> Sequence[Payout]:
        """Return what the venue has paid for resolved markets by `at` ns: its own word, whoever has heard of it."""
        return self._desk.pay(at)

    def check(self) -> None:
        """Raise InvariantViolation unless every fill, counted anew, adds up to the balances."""
        self._desk.check(self.opening_cash)
        self._known.check(self.opening_cash, [(r.order, r.heard) for r in self._desk.records.values()])

    # -- messages --------------------------------------------------------------------------------------------

    async def _ask(
        self,
        kind: str,
        order: Order,
        arrived: Callable[[Order, asyncio.Future[OrderReport]], None],
        before_ns: int = 0,
    ) -> OrderReport:
        """Send a message and wait for its answer. Who stops waiting stops nothing: the message is on its way."""
        answer: asyncio.Future[OrderReport] = asyncio.get_running_loop().create_future()
        sent = self._clock.now() + before_ns
        takes = self._latency.entry_ns(self.name, order.book.index, kind, self._count(order, kind), sent)
        self._later(sent + takes, partial(arrived, order, answer))
        return await answer

    def _answer(self, kind: str, record: Record, answer: asyncio.Future[OrderReport] | None) -> None:
        """Send the venue's word of now on its way back."""
        order = record.order
        word = OrderReport(order.client_id, record.status, tuple(record.fills), reason=record.reason)
        self._reply(kind, order, partial(self._heard, record, word, answer))

    def _reply(self, kind: str, order: Order, heard: Callable[[], None]) -> None:
        """Let what the venue says now be heard when it has travelled back."""
        now, ordinal = self._clock.now(), self._count(order, "re:" + kind)
        self._later(now + self._latency.reply_ns(self.name, order.book.index, kind, ordinal, now), heard)

    def _heard(self, record: Record, word: OrderReport, answer: asyncio.Future[OrderReport] | None) -> None:
        """Let the client learn what the venue said: a fill is learnt of when the first report of it arrives."""
        now, order = self._clock.now(), record.order
        for place, fill in enumerate(word.fills):
            if place == len(record.heard):
                record.heard.append(structs.replace(fill, at=now))
                self._known.book(order, fill)
                if self._on_take is not None and record.levels[place]:
                    self._on_take(order.book, order.side, record.levels[place], fill.size)
            elif fill.settlement in SETTLES[record.heard[place].settlement]:
                record.heard[place] = structs.replace(record.heard[place], settlement=fill.settlement)
                self._known.settle(order, fill, now)
        self._hear_payouts()  # of what is held after these fills
        report = structs.replace(word, fills=tuple(record.heard[: len(word.fills)]), at=now)
        final = report.status in TERMINAL
        left = 0 if final else order.size - sum([fill.size for fill in record.heard])
        ours = self._desk.records.get(order.client_id) is record  # not the answer to a key used for two orders
        if ours and not any([known.status in TERMINAL for known in record.reports]):  # noqa: C419 - in half the time
            self._known.reserve(order, left, rule_at(self._fees, order.book, now) if left else None)
            record.reports.append(report)
        for news in record.waiting:
            if not news.done():
                news.set_result(None)
        record.waiting.clear()
        if answer is not None and not answer.done():
            answer.set_result(report)

    def _count(self, order: Order, kind: str) -> int:
        """Return which message of its kind about this book this is, counted from 0."""
        ordinal = self._ordinals[order.book.index, kind]
        self._ordinals[order.book.index, kind] = ordinal + 1
        return ordinal

    def _later(self, at: int, callback: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        exact = getattr(loop, "call_at_ns", None)
        if exact is not None:
            exact(at, callback)
        else:
            loop.call_later(max(0, at - self._clock.now()) / NS_PER_S, callback)

    def _report(self, record: Record, at: int) -> None:
        """Send the client word that it did not ask for."""
        order = record.order
        takes = self._latency.reply_ns(self.name, order.book.index, "report", self._count(order, "report"), at)
        word = OrderReport(order.client_id, record.status, tuple(record.fills), reason=record.reason)
        self._later(at + takes, partial(self._heard, record, word, None))

    def _chance(self, order: Order) -> float:
        return self._latency.chance(self.name, order.book.index, "settle", self._count(order, "settle"))

    def _hear_payouts(self) -> None:
        """Let the client know of payouts as soon as word of them could have come."""
        if not self._unpaid:
            return
        now = self._clock.now()
        while self._unpaid:
            at, book, payout = self._unpaid[0]
            if at + self._latency.reply_ns(self.name, book, "payout", 0, at) > now:
                return
            self._unpaid.pop(0)
            self._known.resolve(book, payout, at)

    # -- what arrives at the venue ---------------------------------------------------------------------------

    def _arrived(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        try:
            record = self._desk.place(order, self._clock.now())
        except VenueUnavailable as away:
            self._reply("submit", order, partial(self._turned_away, order, away, answer))
        else:
            self._answer("submit", record, answer)

    def _turned_away(self, order: Order, away: VenueUnavailable, answer: asyncio.Future[OrderReport]) -> None:
        """Let the client know that nothing of an order is there, so that nothing need be reserved for it."""
        if order.client_id not in self._desk.records:
            self._sent.discard(order.client_id)
            self._known.reserve(order, 0, None)
        if not answer.done():
            answer.set_exception(away)

    def _cancelled(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        try:
            record = self._desk.cancel(order, self._clock.now())
        except VenueUnavailable as away:
            self._reply("cancel", order, partial(self._refused, away, answer))
            return
        if record is None:
            missing = OrderStateUnknown(f"{order.client_id}: {NOT_FOUND}")
            self._reply("cancel", order, partial(self._refused, missing, answer))
        else:
            self._answer("cancel", record, answer)

    def _refused(self, error: VenueError, answer: asyncio.Future[OrderReport]) -> None:
        if not answer.done():
            answer.set_exception(error)

    def _asked(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        record = self._desk.records.get(order.client_id)
        if record is not None:
            self._answer("status", record, answer)
            return
        word = OrderReport(order.client_id, OrderStatus.UNKNOWN, at=0, reason=NOT_FOUND)
        self._reply("status", order, partial(self._not_known, word, answer))

    def _not_known(self, word: OrderReport, answer: asyncio.Future[OrderReport]) -> None:
        if not answer.done():
            answer.set_result(structs.replace(word, at=self._clock.now()))


def _paid_at(wait_s: float, resolution: Resolution) -> Resolution:
    """Return a resolution with the time at which it is paid."""
    return resolution._replace(at=resolution.at + round(wait_s * NS_PER_S))
