"""Shares and dollars by what they hang on: book, market, venue, event and pair. The caps are sums over these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from arbkit.core.model import Basket, Book, Kind, MultiLegTrade, Side, TradeLeg
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


def market_of(book: Book) -> str:
    """Return the name of a book's market."""
    return f"{book.venue}:{book.market.id}"


def pair_of(basket: Basket) -> str:
    """Return the name of the pair that a basket over two venues rests on, the same whichever leg comes first."""
    venues = {leg.venue for leg in basket.legs}
    if basket.kind is not Kind.CROSS_VENUE and len(venues) == 1:
        return ""
    return "|".join(sorted(dict.fromkeys(market_of(leg) for leg in basket.legs)))


def intended(trade: MultiLegTrade, costs: Sequence[int]) -> tuple[Stake, ...]:
    """Return what a trade may come to hold, leg by leg: its size at these costs."""
    return tuple(Stake(_place(trade, leg), leg.size, of) for leg, of in zip(trade.legs, costs, strict=True))


def taken(trade: MultiLegTrade) -> tuple[Stake, ...]:
    """Return what a trade holds, leg by leg, at what it paid for it and did not get back; never below nothing."""
    return tuple(Stake(_place(trade, leg), leg.held, max(0, _paid(leg))) for leg in trade.legs if leg.held > 0)


def _place(trade: MultiLegTrade, leg: TradeLeg) -> Place:
    basket = trade.opportunity.basket
    return Place(leg.book.name, market_of(leg.book), leg.book.venue, basket.event, pair_of(basket))


def _paid(leg: TradeLeg) -> int:
    return sum(
        (cost(fill.price, fill.size) if order.side is Side.BUY else -proceeds(fill.price, fill.size)) + fill.fee
        for order in leg.orders
        for fill in order.fills
        if fill.counts
    )


class Stakes:
    """What is held, by place; what has no shares is forgotten."""

    def __init__(self, rows: Iterable[Stake] = ()) -> None:
        self._held: dict[Place, tuple[int, int]] = {}
        self.add(rows)

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
            place = Place(book.name, market_of(book), book.venue, book.market.event or "", "")
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


def total(rows: Iterable[Stake], key: Callable[[Place], str], label: str) -> tuple[int, int]:
    """Return the shares and the dollars of the stakes whose place has this label."""
    found = [row for row in rows if key(row.place) == label]
    return sum(row.shares for row in found), sum(row.dollars for row in found)
