"""MARKET: every leg at once, as fill-and-kill orders capped so that slippage cannot eat the edge.

worst = price of the last level needed at decision; a buy's cap is worst + min(slip, budget), a sell's worst -
min(slip, budget); buys round down to the grid, sells up. slip = `max_slippage` dollars, else worst times
`max_slippage_pct`; budget = `edge_budget_share` times the net edge per share, split evenly over the legs; with
`protect_edge` off there is no budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.core.grid import Grid
from arbkit.core.model import MultiLegTrade, Side
from arbkit.core.ports import BookView
from arbkit.core.units import Cash, Price, cost
from arbkit.execution.terms import Terms


def budget(edge: int, size: int, legs: int, terms: Terms) -> Price | None:
    """Return what each leg may pay beyond its worst price out of a trade's net edge; None: as much as `slip` says."""
    if not terms.protect_edge:
        return None
    return Price(max(0, edge) * terms.budget_ppm // (size * legs))


def buy_cap(worst: int, room: Price | None, grid: Grid, terms: Terms) -> Price:
    """Return the most a buyer pays per share, on the grid; 0 when the grid has no price that low."""
    slip = terms.slip(worst)
    return grid.floor(worst + (slip if room is None else min(slip, room)))


def sell_cap(worst: int, room: Price | None, grid: Grid, terms: Terms) -> Price:
    """Return the least a seller takes per share, on the grid; one dollar when the grid has no price that high."""
    slip = terms.slip(worst)
    return grid.ceil(max(0, worst - (slip if room is None else min(slip, room))))


_CAP = {Side.BUY: buy_cap, Side.SELL: sell_cap}


def caps(trade: MultiLegTrade, grids: Sequence[Grid], terms: Terms) -> tuple[Price, ...]:
    """Return the cap of every leg, from the prices and the net edge at decision."""
    room = budget(trade.opportunity.edge, trade.size, len(trade.legs), terms)
    legs = zip(trade.legs, grids, strict=True)
    return tuple([_CAP[leg.side](leg.worst, room, grid, terms) for leg, grid in legs])


def worst_costs(trade: MultiLegTrade, views: Sequence[BookView], limits: Sequence[int]) -> tuple[Cash, ...]:
    """Return what each leg costs at most: all of it at its cap, the taker fee included."""
    costs = [
        Cash(cost(limit, leg.size) + view.fees.order_fee([(limit, leg.size)], maker=False))
        for leg, view, limit in zip(trade.legs, views, limits, strict=True)
    ]
    return tuple(costs)
