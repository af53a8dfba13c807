"""An order belongs to a leg of its trade, and is no larger than what is to be had, sold or completed there."""

from __future__ import annotations

from arbkit.core.model import MultiLegTrade, Order, Purpose, Side
from arbkit.core.units import MICRO
from arbkit.risk.exposure import reach


def oversized(order: Order, trade: MultiLegTrade) -> str:
    """Return what makes an order larger than its leg allows, or nothing.

    A sell takes at most what is bought, settled and not for sale already (I21); an entry brings its leg to the
    trade's size at most; a completing buy to what another leg holds and one smallest order beyond it, since an order
    has a smallest size and legs end on a common lot.
    """
    leg = next((leg for leg in trade.legs if leg.book.name == order.book.name), None)
    if leg is None:
        return f"{order.client_id} is for {order.book.name}, which is no leg of {trade.id}"
    most: int
    after: int
    with_it = reach(leg, intents=True, without=order.client_id).high + order.size
    if order.side is Side.SELL:
        before = leg.without(order.client_id)
        most, after, what = before.available, order.size, "sells {} of {} shares that are held and settled"
    elif order.purpose is Purpose.ENTRY:
        most, after, what = leg.size, with_it, "enters {} of the {} shares of its leg"
    else:
        basket = trade.opportunity.basket
        held = max(each.held for each in trade.with_leg(leg.without(order.client_id)).legs)
        most = held + basket.min_size + basket.lot
        after, what = with_it, "completes to {} shares, more than the {} that are missing at most"
    return f"{order.client_id} {what.format(_shares(after), _shares(most))}" if after > most else ""


def _shares(size: int) -> str:
    return f"{size / MICRO:g}"
