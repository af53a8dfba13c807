"""What a size costs and what it earns, by walking the levels of received books: exact integers, one rounding rule.

A level's cost rounds up to a millionth of a dollar and its proceeds round down, as `units.cost` and
`units.proceeds` do and as every fill will be booked; an order's fee is its venue's. Entry legs are always buys. The
compiled scan (`books.edge`) computes the same figures over ladders; this is the engine's side of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from arbkit.core.model import Basket, Level, Side, floor_value
from arbkit.core.ports import BookView, Fees
from arbkit.core.units import MICRO, Cash, Price, Size, cost, proceeds

NOTHING = Price(0)


class Quote(NamedTuple):
    """What an order would get: `cost` is its money (proceeds for a sell), `worst` the price of the last level used.

    `filled` is less than asked where the book holds less; `exact` is False when a level used is a lower bound.
    """

    filled: Size
    cost: Cash
    worst: Price
    exact: bool


class BasketQuote(NamedTuple):
    """What `size` shares of every leg cost together, and the edge they leave; `fees` are takers', per leg."""

    size: Size
    legs: tuple[Quote, ...]
    fees: tuple[Cash, ...]
    edge_gross: Cash
    edge: Cash
    exact: bool

    def judged(self, gross: bool) -> Cash:
        """Return the edge that the gates look at."""
        return self.edge_gross if gross else self.edge

    def earns(self, min_edge: Cash, gross: bool) -> bool:
        """Tell whether the average edge is at least `min_edge` per share."""
        return self.judged(gross) >= needed(min_edge, self.size)


def needed(min_edge: int, size: int) -> Cash:
    """Return the least edge with which `size` shares earn `min_edge` a share; never less than that product."""
    return Cash(-(-min_edge * size // MICRO))


def walk(levels: Sequence[Level], size: int) -> list[tuple[Price, Size]]:
    """Return the (price, size) pairs that an order for `size` would take, best first."""
    taken: list[tuple[Price, Size]] = []
    left = size
    for level in levels:
        if left <= 0:
            break
        part = min(left, level.size)
        if part > 0:
            taken.append((level.price, Size(part)))
            left -= part
    return taken


def depth(levels: Sequence[Level]) -> Size:
    """Return everything that stands on one side of a book."""
    return Size(sum([level.size for level in levels]))


def quote(levels: Sequence[Level], size: int, side: Side = Side.BUY) -> Quote:
    """Quote an order for `size` shares against these levels; nothing beyond what stands there is assumed."""
    return _quoted(levels, walk(levels, size), cost if side is Side.BUY else proceeds)


def _quoted(
    levels: Sequence[Level], taken: Sequence[tuple[Price, Size]], money: Callable[[int, int], Cash] = cost
) -> Quote:
    if not taken:
        return Quote(Size(0), Cash(0), NOTHING, True)
    filled = paid = 0
    for at, part in taken:
        filled += part
        paid += money(at, part)
    exact, reach = True, 0
    for level in levels:
        if reach >= filled:
            break
        exact = exact and (level.exact or level.size <= 0)
        reach += max(0, level.size)
    return Quote(Size(filled), Cash(paid), taken[-1][0], exact)


def fees_of(levels: Sequence[Level], size: int, fees: Fees) -> Cash:
    """Return the taker fee of one order that walks these levels for `size` shares."""
    taken = walk(levels, size)
    return fees.order_fee(taken, maker=False) if taken else Cash(0)


def basket_quote(views: Sequence[BookView], basket: Basket, size: int) -> BasketQuote | None:
    """Quote `size` shares of every leg (`views` in the order of the basket's legs); None where a book holds less."""
    if size <= 0:
        return None
    legs, fees, paid, exact = [], [], 0, True
    for view in views:
        levels = view.asks()
        taken = walk(levels, size)
        leg = _quoted(levels, taken)
        if leg.filled < size:
            return None
        legs.append(leg)
        fees.append(view.fees.order_fee(taken, maker=False))
        paid += leg.cost
        exact = exact and leg.exact
    gross = Cash(floor_value(basket, size) - paid)
    return BasketQuote(Size(size), tuple(legs), tuple(fees), gross, Cash(gross - sum(fees)), exact)


def largest_size(views: Sequence[BookView], basket: Basket, min_edge: Cash, max_size: int, gross: bool = False) -> Size:
    """Return the largest size whose marginal edge is at least `min_edge` per share; 0 where no legal size earns it.

    Between two sizes at which some leg's level is used up, prices stand still: the marginal edge is a staircase and
    only its steps are tried, rounded down to the lot. Asks rise with size and a fee of rate·p(1-p) with a rate up to
    one never falls faster than the price rises, so the steps fall, and taking a step whenever what lies between the
    last size taken and its end earns `min_edge` a share (rounding of order fees included) finds the last good one.
    The average edge at the result is then at least `min_edge` as well.
    """
    asks = [view.asks() for view in views]
    lot = basket.lot
    limit = min([max_size, *(depth(levels) for levels in asks)]) // lot * lot
    first = -(-basket.min_size // lot) * lot
    if limit < first:
        return Size(0)
    start = basket_quote(views, basket, first)
    if start is None or not start.earns(min_edge, gross):
        return Size(0)
    best, edge = first, start.judged(gross)
    for end in _breaks(asks, first, limit, lot):
        trial = basket_quote(views, basket, end)
        if trial is not None and trial.judged(gross) - edge >= needed(min_edge, end - best):
            best, edge = end, trial.judged(gross)
    return Size(best)


def _breaks(asks: Sequence[Sequence[Level]], first: int, limit: int, lot: int) -> list[int]:
    """Return the sizes above `first`, up to `limit`, at which a level of some leg is used up, on the lot."""
    found = {limit}
    for levels in asks:
        reach = 0
        for level in levels:
            reach += level.size
            if reach >= limit:
                break
            found.update((reach // lot * lot, reach // lot * lot + lot))
    return sorted(size for size in found if first < size <= limit)
