"""What a trade may lose because some of its legs fill and others do not.

Shares of a leg that no whole basket covers count at what they cost. A leg holds what its fills say; an order in
flight, open or unknown may still fill, wholly or not at all, whichever is worse (I8). A fill that is not settled yet
counts as held until its venue voids it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arbkit.core.model import MultiLegTrade, Order, OrderStatus, Side, TradeLeg
from arbkit.core.units import MICRO, Cash, Size, cost


class Range(NamedTuple):
    """The fewest and the most shares that a leg may come to hold."""

    low: int
    high: int


def worst_exposure(ranges: Sequence[tuple[int, int]], unit_costs: Sequence[int], per: int = MICRO) -> Cash:
    """Return the most that unhedged shares can have cost, leg i holding any q_i in `ranges[i]`; rounds up.

    `unit_costs` are what `per` shares of each leg cost at most: by default the price of one share, in millionths of
    a dollar, and never negative. Written c_i, with C their sum, what is sought is the greatest value of

        f(q) = sum_i c_i·(q_i − min_k q_k) = sum_i c_i·q_i − C·min_k q_k = max_j g_j(q),
        g_j(q) = sum_i c_i·q_i − C·q_j = sum_{i≠j} c_i·(q_i − q_j),

    because C ≥ 0 makes −C·min_k q_k the greatest of the −C·q_j. Now max_q f = max_j max_q g_j, and g_j never falls in
    q_i for i ≠ j and never rises in q_j: over the ranges it is greatest with leg j at its low and all others at their
    high. There f ≥ g_j, and f is nowhere above the greatest of these values, so it is reached in one of those corners.
    """
    whole = sum(unit_costs)
    filled = sum([of * high for of, (_, high) in zip(unit_costs, ranges, strict=True)])
    worst = max([filled - of * high - (whole - of) * low for of, (low, high) in zip(unit_costs, ranges, strict=True)])
    return Cash(-(-worst // per))


def exposure(costs: Sequence[int]) -> Cash:
    """Return the worst-case exposure of legs that may fill or not, costing this much: "all but the cheapest fill".

    It is `worst_exposure` with every leg anywhere between nothing and its size.
    """
    return Cash(sum(costs) - min(costs))


def largest_exposed(costs: Sequence[int], size: int, lot: int, room: int) -> Size:
    """Return the largest multiple of `lot`, at most `size`, whose exposure is within `room`.

    `costs` are those of `size` shares; a smaller size is taken to cost its share of them, rounded up, which is no
    less than it will: asks get no dearer when less is bought.
    """

    def fits(lots: int) -> bool:
        return exposure([-(-of * lots * lot // size) for of in costs]) <= room

    low, high = 0, size // lot
    if fits(high):
        return Size(high * lot)
    while high - low > 1:  # fits(low) and not fits(high)
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return Size(low * lot)


# -- of a trade ------------------------------------------------------------------------------------------------


def exposure_of(trade: MultiLegTrade, costs: Sequence[int] | None = None, *, intents: bool = False) -> Cash:
    """Return the worst-case exposure of a trade as it stands.

    `costs` is what each leg costs at most in full (by default its cost at decision). Intents are not sent and count
    for nothing unless `intents`, which takes them as already on their way.
    """
    costs = costs if costs is not None else [leg.decision_cost for leg in trade.legs]
    ranges = [reach(leg, intents=intents) for leg in trade.legs]
    return worst_exposure(
        ranges, [leg_cost(leg, of, intents=intents) for leg, of in zip(trade.legs, costs, strict=True)], trade.size
    )


def reach(leg: TradeLeg, *, intents: bool = False, without: str = "") -> Range:
    """Return what a leg may come to hold: what it holds, less or more what its orders may still fill.

    The order that is called `without` counts for nothing.
    """
    held = buys = sells = 0
    for order in leg.orders:
        if order.client_id == without:
            continue
        side = order.side
        held += side * order.filled
        if more := may_fill(order, intents):
            if side is Side.BUY:
                buys += more
            else:
                sells += more
    return Range(held - sells, held + buys)


def may_fill(order: Order, intents: bool = False) -> Size:
    """Return the shares that an order may still fill: all that remains until its venue has had the last word."""
    if order.is_final or (order.status is OrderStatus.INTENT and not intents):
        return Size(0)
    return order.remaining


def is_open(order: Order) -> bool:
    """Tell whether an order rests or is in flight, as far as anybody knows."""
    return not order.is_final and order.status is not OrderStatus.INTENT


def leg_cost(leg: TradeLeg, reserved: int, *, intents: bool = False) -> Cash:
    """Return what all of a leg's size costs at most: what is reserved for it, or more where an order bids more.

    Beyond what is reserved an order's limit takes the reservation's ratio to the cost at decision along, for its fee:
    a fee of rate·p(1 − p) or of so much per share is a smaller part of a higher price.
    """
    known, bid = max(reserved, leg.decision_cost), 0
    for order in leg.orders:
        if order.side is Side.BUY and order.limit > bid and (order.filled or may_fill(order, intents)):
            bid = order.limit
    dearest = cost(bid, leg.size)
    if dearest <= known or not leg.decision_cost:
        return Cash(max(known, dearest))
    return Cash(-(-dearest * known // leg.decision_cost))
