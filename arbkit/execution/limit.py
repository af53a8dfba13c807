"""LIMIT: every leg rests at its own side's best, as cheap as it takes for the whole basket to keep its edge.

Each leg joins the best bid of its book (`improve_ticks` inside it). Then, until all limits and the makers' fees come
to no more than floor - min_edge, they are lowered one tick at a time in turns, the leg with the widest spread first,
ties by leg order: the leg with the most room gives first and no leg carries it alone. A post-only order that
would have crossed on arrival is repriced once.
"""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.core.model import Basket
from arbkit.core.ports import BookView
from arbkit.core.units import MICRO, Price
from arbkit.execution.terms import Terms


def joined(view: BookView, terms: Terms) -> Price:
    """Return the price at which a bid joins its own side; 0 when no legal price is left below the best ask.

    On an empty side nobody is to be joined: the lowest price of the grid, improved as any other.
    """
    bids, asks = view.bids(), view.asks()
    if bids:
        found = view.grid.up(view.grid.floor(bids[0].price), terms.improve_ticks)
    else:
        found = view.grid.up(0, max(1, terms.improve_ticks))
    highest = view.grid.down(asks[0].price) if asks and terms.post_only else view.grid.down(MICRO)
    return min(found, highest)


def spread(view: BookView) -> int:
    """Return best ask - best bid, a missing side standing at the end of the scale."""
    bids, asks = view.bids(), view.asks()
    return (asks[0].price if asks else MICRO) - (bids[0].price if bids else 0)


def fits(views: Sequence[BookView], basket: Basket, limits: Sequence[int], size: int, terms: Terms) -> bool:
    """Tell whether all limits and makers' fees keep `min_edge` per share; exact, nothing is rounded but the fees."""
    paid = sum(limit * size for limit in limits)
    if not terms.gross:
        fees = (view.fees.order_fee([(limit, size)], maker=True) for view, limit in zip(views, limits, strict=True))
        paid += sum(fees) * MICRO
    return paid <= (basket.floor - terms.min_edge) * size


def resting_limits(views: Sequence[BookView], basket: Basket, size: int, terms: Terms) -> tuple[Price, ...] | None:
    """Return the limit of every leg, or None when no prices on the grids keep the edge."""
    limits = [joined(view, terms) for view in views]
    if not all(limits):
        return None
    turns = sorted(range(len(views)), key=lambda leg: (-spread(views[leg]), leg))
    while not fits(views, basket, limits, size, terms):
        moved = False
        for leg in turns:
            lower = views[leg].grid.down(limits[leg])
            if lower:
                limits[leg], moved = lower, True
                if fits(views, basket, limits, size, terms):
                    break
        if not moved:
            return None
    return tuple(limits)


def repriced(view: BookView, refused: int, terms: Terms) -> Price | None:
    """Return where a refused post-only bid may try again: below what was refused, joining the book as it is now."""
    again = min(joined(view, terms), view.grid.down(refused))
    return Price(again) if again > 0 else None
