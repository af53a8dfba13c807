"""The venue's own side of a simulated venue: its orders, its account of us, its habits, and its word on each match.

Nothing here knows of a client or of time on the way: calls come with the moment at which they happen at the venue,
and what the venue has to say unasked is handed to `say`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from msgspec import structs

from arbkit.backtest.habits import PLAIN, Gate, Habits
from arbkit.backtest.ledger import FeesByBook, Ledger, Payout, rule_at
from arbkit.backtest.matching import Match, OnMatch, Placed
from arbkit.backtest.terms import Resolution
from arbkit.core.errors import Cause, InvariantViolation, OrderRejected
from arbkit.core.model import TERMINAL, Fill, Order, OrderReport, OrderStatus, Settlement, Side
from arbkit.core.units import Cash, Price, cost
from arbkit.fees import OrderFees

REUSED = "client id: another order has it already"
MARKET_ENDED = "closed market: the venue cancelled what rested"
GAVE_WAY = "self-trade: gave way to another order of ours"
HELD = "held: not matched yet, and not to be cancelled"
EXPIRED = "expired: the time that it stated"


class Matching(Protocol):
    """Where orders meet the recorded books; `matching.Matcher` is one."""

    def place(self, order: Order, at: int, on_match: OnMatch) -> Placed: ...

    def takes(self, order: Order, at: int) -> bool: ...

    def cancel(self, key: str, at: int) -> bool: ...


@dataclass(slots=True)
class Record:
    """What the venue holds of one order, and below what of it has reached the client."""

    order: Order
    status: OrderStatus = OrderStatus.SUBMITTED
    reason: str = ""
    cause: Cause = Cause.OTHER  # of a refusal
    retry_after_s: float | None = None
    held: bool = False
    fills: list[Fill] = field(default_factory=list)
    levels: list[Price] = field(default_factory=list)  # per fill: the level it took from, 0: none that stands
    fees: OrderFees | None = None
    heard: list[Fill] = field(default_factory=list)
    reports: list[OrderReport] = field(default_factory=list)  # as the client heard them
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Shares not matched; a match that failed afterwards does not bring its shares back to the book."""
        return self.order.size - sum([fill.size for fill in self.fills])


class VenueDesk:
    """One venue's side. `say(record, at)` sends word that nobody asked for, `later(at, callback)` waits in its time.

    `chance(order)` gives the draw, between 0 and 1, of an order's next match: does it fail at settlement?
    """

    def __init__(
        self,
        name: str,
        matching: Matching,
        *,
        cash: Cash,
        fees: FeesByBook | None,
        say: Callable[[Record, int], None],
        later: Callable[[int, Callable[[], None]], None],
        chance: Callable[[Order], float],
        habits: Habits = PLAIN,
        resolutions: Sequence[Resolution] = (),
    ) -> None:
        self.records: dict[str, Record] = {}
        self.ledger = Ledger(cash)
        self._name, self._matching, self._fees, self._habits = name, matching, fees, habits
        self._say, self._later, self._chance = say, later, chance
        self._gate, self._least_taking = Gate(name, habits), habits.least_taking
        self._resolutions = list(resolutions) if habits.pays_s is not None else []

    # -- requests --------------------------------------------------------------------------------------------

    def place(self, order: Order, at: int) -> Record:
        """Take an order that arrives at `at` ns; the same order again is one order. Raises VenueUnavailable."""
        self._pay(at)
        known = self.records.get(order.client_id)
        refusal = self._gate.order(order, at)
        if refusal is not None and not isinstance(refusal, OrderRejected):
            raise refusal
        if known is not None:  # an answer of its own where the key was used before; the first order stands
            return known if _same(known.order, order) else Record(order, OrderStatus.REJECTED, REUSED)
        record = self.records[order.client_id] = Record(order)
        if refusal is not None:
            record.cause, record.retry_after_s = refusal.cause, refusal.retry_after_s
            self._end(record, OrderStatus.REJECTED, str(refusal))
        else:
            self._check(record, at)
        return record

    def cancel(self, order: Order, at: int) -> Record | None:
        """Take an order out at `at` ns, after the fills up to then; None: never heard of. Raises VenueUnavailable."""
        if away := self._gate.cancel(at):
            raise away
        record = self.records.get(order.client_id)
        if record is not None and not record.held and self._matching.cancel(order.client_id, at):
            self._end(record, OrderStatus.CANCELLED, "")
        return record

    def check(self, opening: int) -> None:
        """Raise InvariantViolation unless every fill, counted anew, adds up to the balances."""
        self.ledger.check(opening, [(r.order, r.fills) for r in self.records.values()])
        for record in self.records.values():
            if record.left < 0 or (record.left == 0) != (record.status is OrderStatus.FILLED):
                raise InvariantViolation(f"{record.order.client_id}: {record.status.name} with {record.left} left")

    # -- matching --------------------------------------------------------------------------------------------

    def _check(self, record: Record, at: int) -> None:
        """Check the account, hold what would take where the venue does that, and let the rest match."""
        order = record.order
        rule = rule_at(self._fees, order.book, at)
        if wrong := self._habits.wrong_expiry(order, at):
            self._end(record, OrderStatus.REJECTED, wrong)
            return
        if order.size > 0 and (short := self.ledger.short_of(order, rule)):
            self._end(record, OrderStatus.REJECTED, short)
            return
        hold, least = self._habits.hold_ns(order.book.market.id), self._least_taking
        small = least > 0 and order.side is Side.BUY and cost(order.limit, order.size) < least
        if (hold or small) and not order.post_only and self._matching.takes(order, at):
            if small:
                self._end(record, OrderStatus.REJECTED, f"value: an order that takes is worth at least {least}")
                return
            record.status, record.reason, record.held = OrderStatus.OPEN, HELD, True
            self.ledger.reserve(order, order.size, rule)
            self._later(at + hold, partial(self._released, record, at + hold))
            return
        self._match(record, at)

    def _released(self, record: Record, at: int) -> None:
        """Match an order at the end of its hold; what was legal then may be so no more, and is cancelled."""
        record.held, record.reason = False, ""
        if 0 < self._habits.ends_ns(record.order) <= at:
            self._end(record, OrderStatus.EXPIRED, EXPIRED)
        elif closed := self._gate.closed_to_takers(at):
            self._end(record, OrderStatus.CANCELLED, closed)
        else:
            self._match(record, at)
        if record.status is OrderStatus.REJECTED:
            record.status = OrderStatus.CANCELLED
        self._say(record, at)

    def _expired(self, record: Record, at: int) -> None:
        """End a GTD order at its time, after the fills up to then; one that is held is looked at when its hold ends."""
        if not record.held and self._matching.cancel(record.order.client_id, at):
            self._end(record, OrderStatus.EXPIRED, EXPIRED)
            self._say(record, at)

    def _match(self, record: Record, at: int) -> None:
        order = record.order
        placed = self._matching.place(order, at, partial(self._matched, record))
        for key in placed.gave_way:
            self._end(self.records[key], OrderStatus.CANCELLED, GAVE_WAY)
            self._say(self.records[key], at)
        for match in placed.matches:
            self._fill(record, match)
        record.status, record.reason = placed.status, placed.reason
        self._reserve(record, at)
        if (over := self._habits.ends_ns(order)) and placed.status not in TERMINAL:
            self._later(over, partial(self._expired, record, over))

    def _matched(self, record: Record, match: Match | None, at: int) -> None:
        """Book a fill of a resting order, or its end with its market, and send word of it."""
        if match is None:
            record.status, record.reason = OrderStatus.CANCELLED, MARKET_ENDED
        else:
            self._fill(record, match)
            record.status = OrderStatus.PARTIAL if record.left else OrderStatus.FILLED
        self._reserve(record, at)
        self._say(record, at)

    def _fill(self, record: Record, match: Match) -> None:
        order = record.order
        rule = rule_at(self._fees, order.book, match.at)
        if rule is not None and (record.fees is None or record.fees.rule is not rule):
            record.fees = OrderFees(rule)
        fee = Cash(0)
        if record.fees is not None:
            fee = record.fees.fill(match.price, match.size, match.maker, sell=order.side < 0)
        place, wait = len(record.fills), self._habits.settle_ns
        name = f"{self._name}:{order.client_id}:{place}"
        fill = Fill(name, match.price, match.size, fee, match.at, match.at, match.maker, match.row, match.model)
        if wait:
            fill = structs.replace(fill, settlement=Settlement.PROVISIONAL)
            self._later(match.at + wait, partial(self._settled, record, place, match.at + wait))
        record.fills.append(fill)
        record.levels.append(match.level)
        self.ledger.book(order, fill)

    # -- afterwards ------------------------------------------------------------------------------------------

    def _settled(self, record: Record, place: int, at: int) -> None:
        """Say for good what a match was: confirmed, or void, as if it had never been."""
        self._pay(at)
        failed = self._chance(record.order) < self._habits.failing
        word = Settlement.VOIDED if failed else Settlement.CONFIRMED
        fill = record.fills[place] = structs.replace(record.fills[place], settlement=word)
        self.ledger.settle(record.order, fill, at)
        self._say(record, at)

    def pay(self, at: int) -> Sequence[Payout]:
        """Pay by `at` ns whatever is due then, and return all that was ever paid."""
        self._pay(at)
        return self.ledger.payouts

    def _pay(self, at: int) -> None:
        """Pay for what was held of the markets that have been resolved by now."""
        if not self._resolutions:
            return
        wait = round((self._habits.pays_s or 0.0) * 1e9)
        while self._resolutions and self._resolutions[0].at + wait <= at:
            found = self._resolutions.pop(0)
            self.ledger.resolve(found.book, found.payout, found.at + wait)

    def _end(self, record: Record, status: OrderStatus, reason: str) -> None:
        record.status, record.reason = status, reason
        self.ledger.reserve(record.order, 0, None)

    def _reserve(self, record: Record, at: int) -> None:
        left = 0 if record.status in TERMINAL else record.left
        self.ledger.reserve(record.order, left, rule_at(self._fees, record.order.book, at) if left else None)


def _same(a: Order, b: Order) -> bool:
    """Tell whether two orders of one key ask for the same."""
    return (a.book, a.side, a.limit, a.size, a.tif, a.post_only, a.expires) == (
        b.book,
        b.side,
        b.limit,
        b.size,
        b.tif,
        b.post_only,
        b.expires,
    )
