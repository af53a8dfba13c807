"""A venue's habits once more, as a list of things that happen one after the other: slow, and easy to read.

Messages take constant times. What rests is matched by the plain matcher, row by row, so that a fill, its settlement
and the next message come in the order of their moments.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from arbkit.backtest.habits import Habits
from arbkit.backtest.latency import chance
from arbkit.core.model import Order, Side, TimeInForce
from arbkit.core.units import MICRO
from arbkit.history.tape import Tape
from tests.property.plain_matcher import SECOND, PlainMatcher

ENDED = ("filled", "cancelled", "rejected", "expired")
Word = tuple[str, str, tuple[tuple[int, int, str], ...]]  # status, first word of the reason, (price, size, settlement)


@dataclass(frozen=True)
class Times:
    """How long messages take, ns."""

    place: int
    cancel: int
    reply: int
    report: int


@dataclass
class PlainOrder:
    order: Order
    status: str = "submitted"
    reason: str = ""
    held: bool = False
    fills: list[list[Any]] = field(default_factory=list)  # price, size, settlement
    gone: dict[int, int] = field(default_factory=dict)  # by sale: its part of what the shares were bought for
    reports: list[tuple[int, Word]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return int(self.order.size) - sum(fill[1] for fill in self.fills)

    @property
    def reserved(self) -> int:
        return 0 if self.status in ENDED else self.left

    def word(self) -> Word:
        return self.status, self.reason.split(" ")[0].rstrip(":"), tuple((f[0], f[1], f[2]) for f in self.fills)


class PlainVenue:
    """`said` holds the answer to each message by its number: (ns, word), or (ns, what it was turned away with)."""

    def __init__(self, tape: Tape, queue: str, habits: Habits, times: Times, cash: int, seed: int, key: str) -> None:
        self.matcher = PlainMatcher(tape, queue, "cautious", habits.self_trade == "maker")
        self.tape, self.habits, self.times, self.seed, self.key = tape, habits, times, seed, key
        self.cash = cash
        self.held: dict[int, int] = {}
        self.unsettled: dict[int, int] = {}
        self.orders: dict[str, PlainOrder] = {}
        self.said: dict[int, tuple[int, Any]] = {}
        self.events: list[tuple[int, int, Callable[[int], None]]] = []
        self.number = self.told = 0
        self.draws: dict[int, int] = {}
        self.tokens: dict[str, tuple[int, int]] = {}  # bucket: (billionths of tokens, since when)
        self.resolved: dict[int, int | str] = {}
        self.refunds = 0
        self.bought: dict[int, int] = {}  # by book, what the shares still held were bought for

    # -- time ------------------------------------------------------------------------------------------------

    def later(self, at: int, what: Callable[[int], None]) -> None:
        heapq.heappush(self.events, (at, self.number, what))
        self.number += 1

    def run(self, until: int) -> None:
        rows = self.matcher.rows
        while True:
            event = self.events[0][0] if self.events else until + 1
            row = rows[self.matcher.next][0] if self.matcher.next < len(rows) else until + 1
            if min(event, row) > until:
                return
            if row <= event:
                self.matcher._row(*rows[self.matcher.next])
                self.matcher.next += 1
                self.hear_of_fills()
            else:
                at, _, what = heapq.heappop(self.events)
                self.pay(at)
                what(at)

    def hear_of_fills(self) -> None:
        for key, *told in self.matcher.told[self.told :]:
            known = self.orders[str(key)]
            if told[0] == "ended":
                known.status, known.reason = "cancelled", "closed market"
                self.report(known, told[1])
            else:
                price, size, at = told[:3]
                self.fill(known, price, size, at)
                known.status = "partial" if known.left else "filled"
                self.report(known, at)
        self.told = len(self.matcher.told)

    # -- messages --------------------------------------------------------------------------------------------

    def send(self, number: int, at: int, what: Order | str) -> None:
        if isinstance(what, Order):
            order = what
            self.later(at + self.times.place, lambda t: self.placed(number, order, t))
        else:
            key = what
            self.later(at + self.times.cancel, lambda t: self.cancelled(number, key, t))

    def placed(self, number: int, order: Order, at: int) -> None:
        if away := self.away(at, "orders", self.habits.orders):
            self.said[number] = (at + self.times.reply, away)
            return
        known = self.orders.get(order.client_id)
        if known is None:
            known = self.orders[order.client_id] = PlainOrder(order)
            self.accept(known, at)
        self.answer(number, known, at)

    def cancelled(self, number: int, key: str, at: int) -> None:
        if away := self.away(at, "cancels", self.habits.cancels):
            self.said[number] = (at + self.times.reply, away)
            return
        known = self.orders.get(key)
        if known is None:
            self.said[number] = (at + self.times.reply, "unknown")
            return
        if not known.held and self.matcher.cancel(key, at):
            known.status, known.reason = "cancelled", ""
        self.answer(number, known, at)

    def answer(self, number: int, known: PlainOrder, at: int) -> None:
        word, when = known.word(), at + self.times.reply
        self.said[number] = (when, word)
        self.later(when, lambda t: self.heard(known, word, t))

    def report(self, known: PlainOrder, at: int) -> None:
        word = known.word()
        self.later(at + self.times.report, lambda t: self.heard(known, word, t))

    def heard(self, known: PlainOrder, word: Word, at: int) -> None:
        if not any(before[0] in ENDED for _, before in known.reports):
            known.reports.append((at, word))

    # -- habits ----------------------------------------------------------------------------------------------

    def window(self, at: int, *kinds: str) -> str:
        for window in self.habits.windows:
            if window.what in kinds and window.start <= at < window.stop:
                return window.what
        return ""

    def away(self, at: int, name: str, rate: Any) -> str:
        if self.window(at, "down"):
            return "down"
        if rate is not None:
            tokens, since = self.tokens.get(name, (rate.burst * SECOND, 0))
            tokens = min(rate.burst * SECOND, tokens + rate.per_s * (at - since))
            if tokens < SECOND:
                self.tokens[name] = tokens, at
                return "too many"
            self.tokens[name] = tokens - SECOND, at
        return ""

    def accept(self, known: PlainOrder, at: int) -> None:
        order = known.order
        known.reason = self.window(at, "cancel-only") or ("" if order.post_only else self.window(at, "post-only"))
        if known.reason:
            known.status = "rejected"
        elif self.wrong_time(order, at):
            known.status, known.reason = "rejected", "expires"
        elif short := self.short_of(order):
            known.status, known.reason = "rejected", short
        else:
            hold = self.habits.hold_ns(order.book.market.id)
            worth = -(-order.limit * order.size // MICRO)
            small = order.side is Side.BUY and worth < self.habits.min_taking * MICRO
            if (hold or small) and not order.post_only and self.matcher.takes(order, at):
                if small:
                    known.status, known.reason = "rejected", "value"
                else:
                    known.status, known.reason, known.held = "open", "held", True
                    self.later(at + hold, lambda t: self.released(known, t))
            else:
                self.match(known, at)

    def released(self, known: PlainOrder, at: int) -> None:
        known.held, known.reason = False, ""
        if known.order.tif is TimeInForce.GTD and at >= self.over(known.order):
            known.status, known.reason = "expired", "expired"
        elif closed := [kind for kind in ("down", "cancel-only", "post-only") if self.window(at, kind)]:
            known.status, known.reason = "cancelled", closed[0]
        else:
            self.match(known, at)
        if known.status == "rejected":
            known.status = "cancelled"
        self.report(known, at)

    def over(self, order: Order) -> int:
        return order.expires - int(self.habits.gtd_early_s * SECOND)

    def wrong_time(self, order: Order, at: int) -> bool:
        if order.tif is not TimeInForce.GTD:
            return order.expires != 0
        least = at + int(self.habits.gtd_least_s * SECOND)
        return order.expires == 0 or order.expires < least or self.over(order) <= at

    def expire(self, known: PlainOrder, at: int) -> None:
        if not known.held and self.matcher.cancel(known.order.client_id, at):
            known.status, known.reason = "expired", "expired"
            self.report(known, at)

    def match(self, known: PlainOrder, at: int) -> None:
        status, reason, matches = self.matcher.place(known.order, at)
        for key in self.matcher.gave_way:
            self.orders[key].status, self.orders[key].reason = "cancelled", "self-trade"
            self.report(self.orders[key], at)
        for price, size, *_ in matches:
            self.fill(known, int(price), int(size), at)  # type: ignore[call-overload]
        known.status, known.reason = status, reason
        if known.order.tif is TimeInForce.GTD and status in ("open", "partial"):
            self.later(self.over(known.order), lambda t: self.expire(known, t))

    # -- the account -----------------------------------------------------------------------------------------

    def short_of(self, order: Order) -> str:
        if order.side is Side.SELL:
            offered = sum(o.reserved for o in self.orders.values() if o.order.side is Side.SELL and o.order.book == order.book
                          and o.status != "submitted")  # fmt: skip
            book = order.book.index
            free = self.held.get(book, 0) - self.unsettled.get(book, 0) - offered
            return "position" if free < order.size else ""
        bids = [o for o in self.orders.values() if o.order.side is Side.BUY and o.status != "submitted"]
        reserved = sum(-(-o.order.limit * o.reserved // MICRO) for o in bids)
        return "balance" if self.cash - reserved < -(-order.limit * order.size // MICRO) else ""

    def fill(self, known: PlainOrder, price: int, size: int, at: int) -> None:
        book, buys = known.order.book.index, known.order.side is Side.BUY
        place = len(known.fills)
        known.fills.append([price, size, "provisional" if self.habits.settle_ns else "confirmed"])
        self.move(known, place, 1)
        if self.habits.settle_ns:
            if buys:
                self.unsettled[book] = self.unsettled.get(book, 0) + size
            self.later(at + self.habits.settle_ns, lambda t: self.settled(known, place, t))

    def settled(self, known: PlainOrder, place: int, at: int) -> None:
        self.pay(at)
        book = known.order.book.index
        drawn = chance(self.seed, self.key, known.order.venue, book, "settle", self.draws.get(book, 0))
        self.draws[book] = self.draws.get(book, 0) + 1
        if known.order.side is Side.BUY:
            self.unsettled[book] -= known.fills[place][1]
        known.fills[place][2] = "voided" if drawn < self.habits.failing else "confirmed"
        if known.fills[place][2] == "voided":
            self.move(known, place, -1)
        self.pay(at)
        self.report(known, at)

    def move(self, known: PlainOrder, place: int, sign: int) -> None:
        price, size, _ = known.fills[place]
        side, book = int(known.order.side), known.order.book.index
        money = -(-price * size // MICRO) if side > 0 else price * size // MICRO
        self.cash -= sign * side * money
        held, bought = self.held.get(book, 0), self.bought.get(book, 0)
        if side > 0:
            self.bought[book] = bought + sign * money
        elif sign > 0:
            there = held - self.unsettled.get(book, 0)
            known.gone[place] = -(-(bought - self.waiting(book)) * size // there)
            self.bought[book] = bought - known.gone[place]
        else:
            self.bought[book] = bought + known.gone[place]
        self.held[book] = held + sign * side * size

    def pay(self, at: int) -> None:
        """Pay for every settled share of a market that was resolved long enough ago."""
        if self.habits.pays_s is None:
            return
        wait = round(self.habits.pays_s * SECOND)
        traded: dict[int, int] = {}  # last price of a market, in YES
        spoken = {number for _, _, number, code, _, _ in self.matcher.rows if code & 15 == 7}
        for row_at, _, number, code, price, _ in self.matcher.rows:
            if code & 15 == 2:
                traded[number // 2] = MICRO - price if number % 2 else price
            if code & 15 == 7 and row_at + wait <= at:
                market, pays = self.tape.markets.books[number].market, price
                if market.resolution == "void" and market.void == "last_price" and number // 2 in traded:
                    pays = MICRO - traded[number // 2] if number % 2 else traded[number // 2]
                back = market.resolution == "void" and market.void == "refund"
                self.resolved.setdefault(number, "back" if back else pays)
                if number ^ 1 not in spoken:
                    self.resolved.setdefault(number ^ 1, "back" if back else MICRO - pays)
        for book, payout in self.resolved.items():
            held = self.held.get(book, 0)
            there = held - self.unsettled.get(book, 0)
            if there > 0:
                due = self.bought[book] - self.waiting(book)
                self.refunds += isinstance(payout, str)
                self.cash += due if isinstance(payout, str) else payout * there // MICRO
                self.bought[book] -= due
                self.held[book] -= there

    def waiting(self, book: int) -> int:
        """Return what the buys of a book that are not settled yet have cost."""
        buys = [o for o in self.orders.values() if o.order.side is Side.BUY and o.order.book.index == book]
        fills = [fill for o in buys for fill in o.fills if fill[2] == "provisional"]
        return sum(-(-price * size // MICRO) for price, size, _ in fills)
