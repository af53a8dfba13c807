"""Shares and dollars by what they hang on: book, market, venue, event and pair. The caps are sums over these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from arbkit.core.model import Book, MultiLegTrade, Side, TradeLeg
from arbkit.core.units import Cash, cost, proceeds


class Place(NamedTuple):
    """What a stake hangs on; `pair` is empty for what belongs to no pair of markets."""

    book: str  # "venue:market:yes"
    market: str  # "venue:market"
    venue: str
    event: str
    pair: str  # "venue:market|venue:market"


class Stake(NamedTuple):
    """Shares of a book and what they cost, fees included, in millionths."""

    place: Place
    shares: int
    dollars: int


def larger(one: Stake, other: Stake) -> Stake:
    """Return the larger shares and the larger dollars of two stakes in one place."""
    return Stake(one.place, max(one.shares, other.shares), max(one.dollars, other.dollars))


def intended(trade: MultiLegTrade, costs: Sequence[int]) -> tuple[Stake, ...]:
    """Return what a trade may come to hold, leg by leg: its size at these costs."""
    return tuple([Stake(_place(trade, leg), leg.size, of) for leg, of in zip(trade.legs, costs, strict=True)])


def taken(trade: MultiLegTrade) -> tuple[Stake, ...]:
    """Return what a trade holds, leg by leg, at what it paid for it and did not get back; never below nothing."""
    return tuple([Stake(_place(trade, leg), leg.held, max(0, _paid(leg))) for leg in trade.legs if leg.held > 0])


def _place(trade: MultiLegTrade, leg: TradeLeg) -> Place:
    book, basket = leg.book, trade.opportunity.basket
    return Place(book.name, book.market_name, book.venue, basket.event, basket.pair)


def _paid(leg: TradeLeg) -> int:
    paid = 0
    for order in leg.orders:
        for fill in order.standing:
            paid += fill.fee
            paid += cost(fill.price, fill.size) if order.side is Side.BUY else -proceeds(fill.price, fill.size)
    return paid


class Stakes:
    """What is held, by place; what has no shares is forgotten."""

    def __init__(self, rows: Iterable[Stake] = ()) -> None:
        self._held: dict[Place, tuple[int, int]] = {}
        self.add(rows)

    def __iter__(self) -> Iterator[Stake]:
        """Yield everything held, in no order that means anything."""
        return (Stake(place, *held) for place, held in self._held.items())

    def rows(self) -> tuple[Stake, ...]:
        """Return everything held, in the order of its places: equal holdings give equal rows."""
        return tuple(Stake(place, *self._held[place]) for place in sorted(self._held))

    def add(self, rows: Iterable[Stake]) -> None:
        for place, shares, dollars in rows:
            before = self._held.get(place, (0, 0))
            self._held[place] = (before[0] + shares, before[1] + dollars)

    def adopt(self, book: Book, shares: int) -> None:
        """Take shares in at a dollar each, or out with their part of the capital, wherever they hang."""
        if shares > 0:
            place = Place(book.name, book.market_name, book.venue, book.market.event or "", "")
            self.add([Stake(place, shares, shares)])
            return
        for place in sorted(self._held):
            held, capital = self._held[place]
            less = min(held, -shares) if place.book == book.name else 0
            if less:
                self.free(book.name, less, Cash(capital * less // held))
                shares += less

    def free(self, book: str, shares: int, dollars: Cash) -> None:
        """Take shares of a book and their capital out, wherever they hang; never more than there is."""
        for place in sorted(self._held):
            if place.book != book:
                continue
            held, capital = self._held[place]
            less, cheaper = min(held, shares), min(capital, dollars)
            shares, dollars = shares - less, Cash(dollars - cheaper)
            if held > less:
                self._held[place] = (held - less, capital - cheaper)
            else:
                del self._held[place]


def totals(
    rows: Iterable[Stake], label: Callable[[Place], str], amount: Callable[[Stake], int]
) -> defaultdict[str, int]:
    """Return the sums of an amount (shares or dollars) by the label of the stakes' places."""
    found: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        found[label(row.place)] += amount(row)
    return found
