"""An account at a venue in integers: cash, shares, and what open orders have reserved of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.model import Book, Fill, Order, Settlement, Side
from arbkit.core.units import MICRO, Cash, Size, cost, proceeds
from arbkit.fees import FeeRule

FeesByBook = Mapping[int, FeeRule | Sequence[tuple[int, FeeRule]]]  # by book number; a dated history, oldest first


def rule_at(fees: FeesByBook | None, book: Book, at: int) -> FeeRule | None:
    """Return the fee rule of a book at `at` ns, which both outcomes of a market share; None: fees are not known."""
    if fees is None:
        return None
    found = fees.get(book.index, fees.get(book.mirror))
    if found is None:
        raise DataError(f"no fee rule for {book.name}: its fills could not be charged")
    if isinstance(found, FeeRule):
        return found
    rule = found[0][1]
    for since, later in found:
        if since <= at:
            rule = later
    return rule


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
    resolved: dict[int, int] = field(default_factory=dict)  # payout of a share, by book
    payouts: list[tuple[int, int, int]] = field(default_factory=list)  # book, shares, payout of a share

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
            self._move(order, fill, 1)
            if fill.settlement is Settlement.PROVISIONAL and order.side is Side.BUY:
                self.unsettled[order.book.index] = self.unsettled.get(order.book.index, 0) + fill.size
            self._pay(order.book.index)  # word of a fill may come after that of the payout

    def settle(self, order: Order, fill: Fill) -> None:
        """Take down the last word on a fill that was provisional: its shares are there, or never were."""
        if order.side is Side.BUY:
            self.unsettled[order.book.index] -= fill.size
        if not fill.counts:
            self._move(order, fill, -1)
        self._pay(order.book.index)

    def resolve(self, book: int, payout: int) -> None:
        """Pay `payout` millionths a share for what is held of a book, now and whenever more of it is settled."""
        self.resolved[book] = payout
        self._pay(book)

    def _move(self, order: Order, fill: Fill, sign: int) -> None:
        self.cash = Cash(self.cash + sign * money(order, fill))
        self.held[order.book.index] = self.held.get(order.book.index, 0) + sign * order.side * fill.size

    def _pay(self, book: int) -> None:
        there = self.held.get(book, 0) - self.unsettled.get(book, 0)
        if book in self.resolved and there > 0:
            self.payouts.append((book, there, self.resolved[book]))
            self.held[book] -= there
            self.cash = Cash(self.cash + proceeds(self.resolved[book], there))

    def check(self, opening: int, booked: Iterable[tuple[Order, Sequence[Fill]]]) -> None:
        """Raise InvariantViolation unless opening cash, every fill and every payout, counted anew, give these balances."""
        cash_then, held = opening, dict[int, int]()
        for order, fills in booked:
            for fill in (fill for fill in fills if fill.counts):
                cash_then += money(order, fill)
                held[order.book.index] = held.get(order.book.index, 0) + order.side * fill.size
        for book, shares, payout in self.payouts:
            cash_then += proceeds(payout, shares)
            held[book] = held.get(book, 0) - shares
        if cash_then != self.cash:
            raise InvariantViolation(f"cash is {self.cash}, its fills add up to {cash_then}")
        if {b: n for b, n in held.items() if n} != {b: n for b, n in self.held.items() if n}:
            raise InvariantViolation(f"positions are {self.held}, their fills add up to {held}")
        if sold := {book: shares for book, shares in held.items() if shares < 0}:
            raise InvariantViolation(f"sold more than was held: {sold}")


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
    return Cash(paid + max(rule.trade_fee(dearest, left, maker=maker) for maker in (False, True)) + rounding)
