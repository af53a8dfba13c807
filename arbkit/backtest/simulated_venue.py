"""A venue made of a tape: it takes orders as a real one does, late, and matches them against what was recorded.

An order travels `entry`, is matched, and the answer travels `reply` back. What happens at the venue is the venue's
own: a client that stops waiting changes nothing there, and finds the order by its key. Fills of resting orders are
reported `reply` after the match; a cancel that arrives after a fill has lost the race and is told so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from arbkit.backtest.latency import LatencyModel
from arbkit.backtest.ledger import FeesByBook, Ledger, rule_at
from arbkit.backtest.matching import Match, OnMatch, Placed
from arbkit.core.clock import LoopClock
from arbkit.core.errors import InvariantViolation, OrderRejected, OrderStateUnknown
from arbkit.core.model import TERMINAL, Book, Fill, Order, OrderReport, OrderStatus
from arbkit.core.ports import Page, VenueOrder
from arbkit.core.units import NS_PER_S, Cash, Price, Size
from arbkit.fees import OrderFees

REUSED = "client id: another order has it already"
MARKET_ENDED = "closed market: the venue cancelled what rested"
NOT_FOUND = "not found"


class Matching(Protocol):
    """Where orders meet the recorded books; `matching.Matcher` is one."""

    def place(self, order: Order, at: int, on_match: OnMatch) -> Placed: ...

    def cancel(self, key: str, at: int) -> bool: ...


OnTake = Callable[[Book, int, Price, Size], None]  # book, side of the order, price of the level taken, shares


@dataclass(slots=True)
class _Record:
    """What the venue holds of one order, and what of it has reached the client."""

    order: Order
    status: OrderStatus = OrderStatus.SUBMITTED
    reason: str = ""
    fills: list[Fill] = field(default_factory=list)
    levels: list[Price] = field(default_factory=list)  # per fill: the level it took from, 0: none that stands
    fees: OrderFees | None = None
    told: int = 0  # fills the client has heard of
    reports: list[OrderReport] = field(default_factory=list)  # as the client heard them
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.order.size - sum(fill.size for fill in self.fills)


class SimulatedVenue:
    """Implements `ports.Venue` over recorded books. `balance` and `positions` are what the client knows: no round trip.

    Without `fees` fills cost none, and the caller must not show net figures. `on_take` hears, when the report of a
    fill reaches the client, which level it took, so that the client's view of the book can show it.
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
    ) -> None:
        self.name = name
        self.opening_cash = cash
        self._matching, self._latency, self._fees = matching, latency, fees
        self._decide_ns, self._on_take = decide_ns, on_take
        self._clock = LoopClock()
        self._ordinals: Counter[tuple[int, str]] = Counter()
        self._records: dict[str, _Record] = {}
        self._sent: set[str] = set()
        self._ledger, self._known = Ledger(cash), Ledger(cash)

    # -- the client's side -----------------------------------------------------------------------------------

    async def submit(self, order: Order) -> OrderReport:
        """Place an order; see `ports.Venue`. Raises OrderRejected with the venue's reason."""
        if order.client_id not in self._sent:
            self._sent.add(order.client_id)
            self._known.reserve(order, order.size, rule_at(self._fees, order.book, self._clock.now()))
        report = await self._ask("submit", order, self._arrived, self._decide_ns)
        if report.status is OrderStatus.REJECTED:
            raise OrderRejected(report.reason)
        return report

    async def cancel(self, order: Order) -> OrderReport:
        """Cancel; the report is final and holds every fill that came first. OrderStateUnknown: no such order there."""
        return await self._ask("cancel", order, self._cancelled)

    async def status(self, order: Order) -> OrderReport:
        """Return what the venue holds; an order that is not there, or not yet, is UNKNOWN: that proves nothing."""
        return await self._ask("status", order, self._asked)

    async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        """Yield what was heard of an order, then what comes, until one report is final."""
        at = 0
        while True:
            record = self._records.get(order.client_id)
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
            for key, record in self._records.items()
            if record.status in (OrderStatus.OPEN, OrderStatus.PARTIAL)
            for o in (record.order,)
        ]
        return Page(tuple(rows))

    async def time(self) -> int:
        return self._clock.now()

    async def balance(self) -> Cash:
        """Return free cash as the client reckons it: orders that may be live keep their reservation."""
        return self._known.free

    async def positions(self) -> Mapping[int, Size]:
        """Return shares held by book number, as far as fills were reported."""
        return {book: Size(shares) for book, shares in self._known.held.items() if shares}

    def check(self) -> None:
        """Raise InvariantViolation unless every fill, counted anew, adds up to the balances."""
        self._ledger.check(self.opening_cash, [(r.order, r.fills) for r in self._records.values()])
        self._known.check(self.opening_cash, [(r.order, r.fills[: r.told]) for r in self._records.values()])
        for record in self._records.values():
            if record.left < 0 or (record.left == 0) != (record.status is OrderStatus.FILLED):
                raise InvariantViolation(f"{record.order.client_id}: {record.status.name} with {record.left} left")

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
        takes = before_ns + self._latency.entry_ns(self.name, order.book.index, kind, self._count(order, kind))
        self._later(self._clock.now() + takes, partial(arrived, order, answer))
        return await answer

    def _answer(self, kind: str, record: _Record, answer: asyncio.Future[OrderReport] | None) -> None:
        """Send the venue's word of now on its way back."""
        order = record.order
        ordinal = self._count(order, "re:" + kind)
        takes = self._latency.reply_ns(self.name, order.book.index, kind, ordinal)
        word = OrderReport(order.client_id, record.status, tuple(record.fills), reason=record.reason)
        self._later(self._clock.now() + takes, partial(self._heard, record, word, answer))

    def _heard(self, record: _Record, word: OrderReport, answer: asyncio.Future[OrderReport] | None) -> None:
        """Let the client learn what the venue said: a fill is learnt of when the first report of it arrives."""
        now, order = self._clock.now(), record.order
        for place in range(record.told, len(word.fills)):
            fill = record.fills[place] = replace(record.fills[place], at=now)
            self._known.book(order, fill)
            if self._on_take is not None and record.levels[place]:
                self._on_take(order.book, order.side, record.levels[place], fill.size)
        record.told = max(record.told, len(word.fills))
        report = replace(word, fills=tuple(record.fills[: len(word.fills)]), at=now)
        final = report.status in TERMINAL
        left = 0 if final else order.size - sum(fill.size for fill in record.fills[: record.told])
        ours = self._records.get(order.client_id) is record  # not the answer to a key used for two orders
        if ours and not any(known.status in TERMINAL for known in record.reports):
            self._known.reserve(order, left, rule_at(self._fees, order.book, now))
            record.reports.append(report)
        for news in record.waiting:
            if not news.done():
                news.set_result(None)
        record.waiting.clear()
        if answer is not None and not answer.done():
            answer.set_result(report)

    def _count(self, order: Order, kind: str) -> int:
        """Return which message of its kind about this book this is, counted from 0."""
        self._ordinals[order.book.index, kind] += 1
        return self._ordinals[order.book.index, kind] - 1

    def _later(self, at: int, callback: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        exact = getattr(loop, "call_at_ns", None)
        if exact is not None:
            exact(at, callback)
        else:
            loop.call_later(max(0, at - self._clock.now()) / NS_PER_S, callback)

    # -- the venue's side ------------------------------------------------------------------------------------

    def _arrived(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        record = self._records.get(order.client_id)
        if record is None:
            record = self._records[order.client_id] = _Record(order)
            self._match(record)
        elif not _same(record.order, order):
            record = _Record(order, OrderStatus.REJECTED, REUSED)  # an answer of its own; the first order stands
        self._answer("submit", record, answer)

    def _match(self, record: _Record) -> None:
        """Check the account, let the order match, and keep what rests reserved."""
        order, at = record.order, self._clock.now()
        rule = rule_at(self._fees, order.book, at)
        short = self._ledger.short_of(order, rule) if order.size > 0 else ""
        if short:
            record.status, record.reason = OrderStatus.REJECTED, short
            return
        placed = self._matching.place(order, at, partial(self._matched, record))
        for match in placed.matches:
            self._fill(record, match)
        record.status, record.reason = placed.status, placed.reason
        self._ledger.reserve(order, 0 if record.status in TERMINAL else record.left, rule)

    def _matched(self, record: _Record, match: Match | None, at: int) -> None:
        """Book a fill of a resting order, or its end with its market, and send word of it."""
        if match is None:
            record.status, record.reason = OrderStatus.CANCELLED, MARKET_ENDED
        else:
            self._fill(record, match)
            record.status = OrderStatus.PARTIAL if record.left else OrderStatus.FILLED
        final = record.status in TERMINAL
        self._ledger.reserve(record.order, 0 if final else record.left, rule_at(self._fees, record.order.book, at))
        order = record.order
        takes = self._latency.reply_ns(self.name, order.book.index, "report", self._count(order, "report"))
        word = OrderReport(order.client_id, record.status, tuple(record.fills), reason=record.reason)
        self._later(at + takes, partial(self._heard, record, word, None))

    def _fill(self, record: _Record, match: Match) -> None:
        order = record.order
        rule = rule_at(self._fees, order.book, match.at)
        if rule is not None and (record.fees is None or record.fees.rule is not rule):
            record.fees = OrderFees(rule)
        fee = Cash(0)
        if record.fees is not None:
            fee = record.fees.fill(match.price, match.size, match.maker, sell=order.side < 0)
        name = f"{self.name}:{order.client_id}:{len(record.fills)}"
        fill = Fill(name, match.price, match.size, fee, match.at, match.at, match.maker, match.row, match.model)
        record.fills.append(fill)
        record.levels.append(match.level)
        self._ledger.book(order, fill)

    def _cancelled(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        record = self._records.get(order.client_id)
        if record is None:
            self._not_there(order, answer)
            return
        gone = self._matching.cancel(order.client_id, self._clock.now())  # fills up to now come first
        if gone:
            record.status, record.reason = OrderStatus.CANCELLED, ""
            self._ledger.reserve(record.order, 0, None)
        self._answer("cancel", record, answer)

    def _asked(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        record = self._records.get(order.client_id)
        if record is not None:
            self._answer("status", record, answer)
            return
        word = OrderReport(order.client_id, OrderStatus.UNKNOWN, at=0, reason=NOT_FOUND)
        takes = self._latency.reply_ns(self.name, order.book.index, "status", self._count(order, "re:status"))
        self._later(self._clock.now() + takes, partial(self._not_known, word, answer))

    def _not_known(self, word: OrderReport, answer: asyncio.Future[OrderReport]) -> None:
        if not answer.done():
            answer.set_result(replace(word, at=self._clock.now()))

    def _not_there(self, order: Order, answer: asyncio.Future[OrderReport]) -> None:
        def heard() -> None:
            if not answer.done():
                answer.set_exception(OrderStateUnknown(f"{order.client_id}: {NOT_FOUND}"))

        takes = self._latency.reply_ns(self.name, order.book.index, "cancel", self._count(order, "re:cancel"))
        self._later(self._clock.now() + takes, heard)


def _same(a: Order, b: Order) -> bool:
    """Tell whether two orders of one key ask for the same."""
    return (a.book, a.side, a.limit, a.size, a.tif, a.post_only) == (
        b.book,
        b.side,
        b.limit,
        b.size,
        b.tif,
        b.post_only,
    )
