"""An account at a venue in integers: cash, shares, and what open orders have reserved of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.model import Book, Fill, Order, Side
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
    """Balances of one account. `reserved` is by order key: cash for buys, shares for sells."""

    cash: Cash
    held: dict[int, int] = field(default_factory=dict)
    reserved_cash: dict[str, int] = field(default_factory=dict)
    reserved_shares: dict[str, tuple[int, int]] = field(default_factory=dict)  # book, shares

    @property
    def free(self) -> Cash:
        """Return cash that no open order has reserved."""
        return Cash(self.cash - sum(self.reserved_cash.values()))

    def free_shares(self, book: int) -> Size:
        """Return shares of a book that no open sell has reserved."""
        return Size(self.held.get(book, 0) - sum(n for b, n in self.reserved_shares.values() if b == book))

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
        """Move the money and the shares of one fill."""
        self.cash = Cash(self.cash + money(order, fill))
        self.held[order.book.index] = self.held.get(order.book.index, 0) + order.side * fill.size

    def check(self, opening: int, booked: Iterable[tuple[Order, Sequence[Fill]]]) -> None:
        """Raise InvariantViolation unless opening cash and every fill booked, counted anew, give these balances."""
        cash_then, held = opening, dict[int, int]()
        for order, fills in booked:
            for fill in fills:
                cash_then += money(order, fill)
                held[order.book.index] = held.get(order.book.index, 0) + order.side * fill.size
        if cash_then != self.cash:
            raise InvariantViolation(f"cash is {self.cash}, its fills add up to {cash_then}")
        if held != self.held:
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
