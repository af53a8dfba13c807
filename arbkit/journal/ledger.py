"""The engine's own account: cash and shares as its journal has them, to be compared with what the venues say.

Opening balances, then every fill, fee, void and claimed difference: nothing else moves them (I1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from arbkit.core.model import Fill, Order, Side
from arbkit.core.units import Cash, cost, proceeds


def money_of_fill(order: Order, fill: Fill) -> Cash:
    """Return what a fill does to cash, its fee included; both roundings are against us."""
    if order.side is Side.SELL:
        return Cash(proceeds(fill.price, fill.size) - fill.fee)
    return Cash(-cost(fill.price, fill.size) - fill.fee)


@dataclass(slots=True)
class Ledger:
    """Cash by venue in millionths of a dollar, shares by book name in millionths; zeros are not kept.

    `opened` lists the venues whose opening balance is known: of the others only changes are.
    """

    opened: list[str] = field(default_factory=list)
    cash: dict[str, int] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)

    def open(self, venue: str, cash: int, shares: Iterable[tuple[str, int]]) -> None:
        """Take a venue's balances as the ones to count from."""
        self.opened.append(venue)
        self.adjust(venue, cash, shares)

    def adjust(self, venue: str, cash: int, shares: Iterable[tuple[str, int]]) -> None:
        """Add a difference that did not come from a fill of ours."""
        self.cash[venue] = self.cash.get(venue, 0) + cash
        for book, more in shares:
            self._move(book, more)

    def book(self, order: Order, fill: Fill) -> None:
        """Count a fill."""
        self._count(order, fill, 1)

    def unbook(self, order: Order, fill: Fill) -> None:
        """Take a fill back that was voided."""
        self._count(order, fill, -1)

    def _count(self, order: Order, fill: Fill, sign: int) -> None:
        venue = order.venue
        self.cash[venue] = self.cash.get(venue, 0) + sign * money_of_fill(order, fill)
        self._move(order.book.name, sign * order.side * fill.size)

    def _move(self, book: str, shares: int) -> None:
        there = self.shares.get(book, 0) + shares
        if there:
            self.shares[book] = there
        else:
            self.shares.pop(book, None)
