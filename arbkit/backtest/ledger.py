"""An account at a venue in integers: cash, shares, and what open orders have reserved of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from arbkit.backtest.terms import REFUND
from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.model import Book, Fill, Order, Settlement, Side
from arbkit.core.units import MICRO, Cash, Size, cost, proceeds
from arbkit.fees import FeeRule

FeesByBook = Mapping[int, FeeRule | Sequence[tuple[int, FeeRule]]]  # by book number; a dated history, oldest first


def rule_at(fees: FeesByBook | None, book: Book, at: int) -> FeeRule | None:
    """Return the fee rule of a book at `at` ns, which both outcomes of a market share; None: fees are not known."""
    if fees is None:
        return None
    found = fees.get(book.index)
    if found is None and (found := fees.get(book.mirror)) is None:
        raise DataError(f"no fee rule for {book.name}: its fills could not be charged")
    if isinstance(found, FeeRule):
        return found
    rule = found[0][1]
    for since, later in found:
        if since <= at:
            rule = later
    return rule


class Payout(NamedTuple):
    """What a resolved market paid: when (ns), for how many shares of a book, and how much in all."""

    at: int
    book: int
    shares: int
    amount: Cash


@dataclass(slots=True)
class Ledger:
    """Balances of one account. `reserved` is by order key: cash for buys, shares for sells.

    Bought shares whose match is not settled cannot be sold; once a market is resolved what is held of it is paid.
    """

    cash: Cash
    held: dict[int, int] = field(default_factory=dict)
    reserved_cash: dict[str, int] = field(default_factory=dict)
    reserved_shares: dict[str, tuple[int, int]] = field(default_factory=dict)  # book, shares
    unsettled: dict[int, int] = field(default_factory=dict)  # bought shares by book
    resolved: dict[int, int] = field(default_factory=dict)  # payout of a share, or REFUND, by book
    spent: dict[int, int] = field(default_factory=dict)  # what the shares held of a book were bought for, without fees
    provisional: dict[tuple[int, str, str], int] = field(default_factory=dict)  # book, order, fill: its part of `spent`
    payouts: list[Payout] = field(default_factory=list)

    @property
    def free(self) -> Cash:
        """Return cash that no open order has reserved."""
        return Cash(self.cash - sum(self.reserved_cash.values()))

    def free_shares(self, book: int) -> Size:
        """Return shares of a book that no open sell has reserved."""
        offered = sum(n for b, n in self.reserved_shares.values() if b == book)
        return Size(self.held.get(book, 0) - self.unsettled.get(book, 0) - offered)

    def short_of(self, order: Order, rule: FeeRule | None) -> str:
        """Return what the account lacks for an order; empty when it lacks nothing."""
        if order.side is Side.SELL:
            there = self.free_shares(order.book.index)
            return f"position: {there} shares free, {order.size} to sell" if there < order.size else ""
        need = worst_cost(order, order.size, rule)
        return f"balance: {self.free} free, {need} needed" if self.free < need else ""

    def reserve(self, order: Order, left: int, rule: FeeRule | None) -> None:
        """Reserve what `left` shares of an order may still cost; nothing left frees it all."""
        if order.side is Side.SELL:
            self.reserved_shares.pop(order.client_id, None)
            if left:
                self.reserved_shares[order.client_id] = (order.book.index, left)
        else:
            self.reserved_cash.pop(order.client_id, None)
            if left:
                self.reserved_cash[order.client_id] = worst_cost(order, left, rule)

    def book(self, order: Order, fill: Fill) -> None:
        """Move the money and the shares of one fill; one that is void moves nothing."""
        if fill.counts:
            if order.side is Side.SELL and order.book.index in self.resolved:
                self._take_back(order.book.index)  # the sale came first: what it sold was not there to be paid
            self._move(order, fill, 1)
            if fill.settlement is Settlement.PROVISIONAL and order.side is Side.BUY:
                self.unsettled[order.book.index] = self.unsettled.get(order.book.index, 0) + fill.size
            self._pay(order.book.index, fill.venue_at)  # word of a fill may come after that of the payout

    def settle(self, order: Order, fill: Fill, at: int) -> None:
        """Take down the last word on a fill that was provisional: its shares are there, or never were."""
        if order.side is Side.BUY:
            self.unsettled[order.book.index] -= fill.size
        if not fill.counts:
            self._move(order, fill, -1)
        self.provisional.pop((order.book.index, order.client_id, fill.trade_id), None)
        self._pay(order.book.index, at)

    def resolve(self, book: int, payout: int, at: int) -> None:
        """Pay `payout` millionths a share for what is held of a book, at `at` ns and whenever more of it is settled.

        REFUND pays what the shares were bought for, without their fees; of what was sold before, on average.
        """
        self.resolved[book] = payout
        self._pay(book, at)

    def _move(self, order: Order, fill: Fill, sign: int) -> None:
        self.cash = Cash(self.cash + sign * money(order, fill))
        book, held, spent = order.book.index, self.held.get(order.book.index, 0), self.spent.get(order.book.index, 0)
        key = (book, order.client_id, fill.trade_id)
        if sign < 0:  # what never was gives back just what it took: an average may have changed since
            part = -self.provisional[key]
        elif order.side is Side.BUY:
            part = cost(fill.price, fill.size)
        else:  # what leaves takes its part of the price with it
            there, settled = self._settled(book)
            part = -(_part(settled, fill.size, there) if fill.size <= there else _part(spent, fill.size, held))
        if fill.settlement is Settlement.PROVISIONAL:
            self.provisional[key] = part
        self.spent[book], self.held[book] = spent + part, held + sign * order.side * fill.size

    def _settled(self, book: int) -> tuple[int, int]:
        """Return the shares of a book that are there for good, and what they were bought for."""
        waiting = sum(part for (of, *_), part in self.provisional.items() if of == book and part > 0)
        return self.held.get(book, 0) - self.unsettled.get(book, 0), max(0, self.spent.get(book, 0) - waiting)

    def _pay(self, book: int, at: int) -> None:
        if book not in self.resolved:
            return
        there, spent = self._settled(book)
        if there > 0:
            amount = Cash(spent) if self.resolved[book] == REFUND else proceeds(self.resolved[book], there)
            self.spent[book] = self.spent.get(book, 0) - spent
            self.payouts.append(Payout(at, book, there, amount))
            self.held[book] -= there
            self.cash = Cash(self.cash + amount)

    def _take_back(self, book: int) -> None:
        """Undo what was paid for a book, as if it were not paid yet."""
        for _, _, shares, amount in (payout for payout in self.payouts if payout.book == book):
            self.held[book] = self.held.get(book, 0) + shares
            self.spent[book] = self.spent.get(book, 0) + amount  # of a refund; nothing else is paid by it
            self.cash = Cash(self.cash - amount)
        self.payouts[:] = [payout for payout in self.payouts if payout.book != book]

    def check(self, opening: int, booked: Iterable[tuple[Order, Sequence[Fill]]]) -> None:
        """Raise InvariantViolation unless opening cash, every fill and every payout, counted anew, give these balances.

        Nor may a book be refunded more than what all its shares were bought for.
        """
        cash_then, held, bought = opening, dict[int, int](), dict[int, int]()
        for order, fills in booked:
            for fill in (fill for fill in fills if fill.counts):
                cash_then += money(order, fill)
                held[order.book.index] = held.get(order.book.index, 0) + order.side * fill.size
                if order.side is Side.BUY:
                    bought[order.book.index] = bought.get(order.book.index, 0) + cost(fill.price, fill.size)
        for _, book, shares, amount in self.payouts:
            cash_then += amount
            held[book] = held.get(book, 0) - shares
            bought[book] = bought.get(book, 0) - amount
            if self.resolved[book] == REFUND and bought[book] < 0:
                raise InvariantViolation(f"book {book} was refunded {-bought[book]} more than was paid for it")
        if cash_then != self.cash:
            raise InvariantViolation(f"cash is {self.cash}, its fills add up to {cash_then}")
        if {b: n for b, n in held.items() if n} != {b: n for b, n in self.held.items() if n}:
            raise InvariantViolation(f"positions are {self.held}, their fills add up to {held}")
        if sold := {book: shares for book, shares in held.items() if shares < 0}:
            raise InvariantViolation(f"sold more than was held: {sold}")


def _part(spent: int, shares: int, held: int) -> int:
    """Return the part of a price that so many of the shares held for it take with them, rounded up."""
    return -(-spent * shares // held) if held > 0 else spent


def money(order: Order, fill: Fill) -> Cash:
    """Return what a fill does to cash, its fee included; both roundings are against us."""
    if order.side is Side.SELL:
        return Cash(proceeds(fill.price, fill.size) - fill.fee)
    return Cash(-cost(fill.price, fill.size) - fill.fee)


def worst_cost(order: Order, left: int, rule: FeeRule | None) -> Cash:
    """Return what a buyer may have to pay for `left` shares: all at the limit, with the dearest fee on the way.

    Fees grow with p(1 - p), so below a limit above half a dollar the dearest price is half a dollar. One step and one
    unit of balance precision are added for the rounding of several fills.
    """
    paid = cost(order.limit, left)
    if rule is None:
        return paid
    dearest = min(int(order.limit), MICRO // 2)
    rounding = rule.step + rule.balance_precision
    fee = max(rule.trade_fee(dearest, left, maker=False), rule.trade_fee(dearest, left, maker=True))
    return Cash(paid + fee + rounding)
