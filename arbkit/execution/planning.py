"""From an opportunity to a trade: decision prices from the books as received, and a size they and the limits hold."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import structs

from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    ExecutionStrategy,
    Health,
    MultiLegTrade,
    Side,
    TradeLeg,
)
from arbkit.core.ports import BookView
from arbkit.core.units import MICRO, Size
from arbkit.detection.sizing import BasketQuote, basket_quote, depth
from arbkit.execution.market import caps, worst_costs
from arbkit.execution.terms import Terms
from arbkit.risk.limits import exposure, largest_exposed


def unhealthy(views: Sequence[BookView]) -> str:
    """Return which book may not price an order and why, or nothing."""
    for view in views:
        if view.health is not Health.OK:
            return f"book {view.book.name} is {view.health.value}"
    return ""


WHOLE = ("detected_at", "size", "edge", "edge_gross", "floor", "min_size", "lot")
_whole = attrgetter(*WHOLE[:4], *(f"basket.{name}" for name in WHOLE[4:]))


def inexact(opportunity: ArbitrageOpportunity) -> str:
    """Return which number of an opportunity or its basket is not a whole one, or nothing: no record takes such."""
    for name, value in zip(WHOLE, _whole(opportunity), strict=True):
        if type(value) is not int:
            return f"{name} of {opportunity.id} is a whole number (of millionths, or ns), not {value!r}"
    return ""


def unfit(basket: Basket) -> str:
    """Return why a basket is none, or nothing."""
    legs = basket.legs
    if len(legs) < 2 or len({leg.index for leg in legs}) < len(legs):
        return f"basket {basket.id} needs two legs at least, each of another book"
    most = sum([leg.market.payout or MICRO for leg in legs])
    if not 0 < basket.floor <= most:
        return f"basket {basket.id} cannot pay {basket.floor} at least: all of its legs together pay {most}"
    if basket.lot <= 0 or basket.min_size <= 0:
        return f"basket {basket.id} has a smallest size of {basket.min_size}, in steps of {basket.lot}"
    return ""


def misshapen(trade: MultiLegTrade) -> str:
    """Return what is wrong with a trade: its legs, its sizes, or that it was not decided; or nothing."""
    basket = trade.opportunity.basket
    if reason := unfit(basket):
        return reason
    if tuple(leg.book for leg in trade.legs) != basket.legs or [leg.index for leg in trade.legs] != list(
        range(len(basket.legs))
    ):
        return "the legs are not those of the basket"
    if any(leg.side is not Side.BUY or leg.size != trade.size or leg.orders for leg in trade.legs):
        return "entry legs buy the same size each and begin without orders"
    if any(leg.decision_cost <= 0 or leg.worst <= 0 for leg in trade.legs):
        return "a leg has no decision price"
    if trade.size < basket.min_size or trade.size % basket.lot:
        return f"size {trade.size} is not a legal size: at least {basket.min_size}, in steps of {basket.lot}"
    return ""


def undecided(opportunity: ArbitrageOpportunity, strategy: ExecutionStrategy, trade_id: str) -> MultiLegTrade:
    """Return the trade as the opportunity states it, without decision prices: what a refusal is told about."""
    basket, size = opportunity.basket, opportunity.size
    legs = tuple(TradeLeg(index, book, Side.BUY, size) for index, book in enumerate(basket.legs))
    return MultiLegTrade(trade_id, opportunity, strategy, legs)


def decided(
    trade: MultiLegTrade, views: Sequence[BookView], terms: Terms, max_exposure: int | None = None
) -> tuple[MultiLegTrade, str]:
    """Return the trade with decision prices, its size shrunk to what fits, and why it cannot be (or nothing).

    The size shrinks to the settings' `max_size`, to what every book holds and to the exposure bound (`max_exposure`,
    by default the settings'), on the basket's lot; below q_min the trade is to be refused. Where it shrinks, the
    opportunity is restated at the smaller size with the edge that has.
    """
    basket = trade.opportunity.basket
    if reason := unfit(basket) or unhealthy(views):
        return trade, reason
    room = terms.max_exposure if max_exposure is None else max_exposure
    size = min([trade.size, terms.max_size, *[depth(view.asks()) for view in views]]) // basket.lot * basket.lot
    while size >= basket.min_size:
        quote = basket_quote(views, basket, size)
        if quote is None:  # never of a size that every book holds
            break
        found = _at(trade, quote)
        costs = worst_costs(found, views, caps(found, [view.grid for view in views], terms))
        if exposure(costs) <= room:
            return found, ""
        size = min(size - basket.lot, largest_exposed(costs, size, basket.lot, room))
    return trade, _too_small(basket, size)


def _at(trade: MultiLegTrade, quote: BasketQuote) -> MultiLegTrade:
    """Return the trade at the quoted size."""
    opportunity = trade.opportunity
    if quote.size != opportunity.size:
        exact = quote.exact and opportunity.exact
        opportunity = structs.replace(
            opportunity, size=quote.size, edge=quote.edge, edge_gross=quote.edge_gross, exact=exact
        )
    legs = [
        structs.replace(leg, size=quote.size, decision_cost=of.cost, worst=of.worst, exact=of.exact)
        for leg, of in zip(trade.legs, quote.legs, strict=True)
    ]
    return structs.replace(trade, opportunity=opportunity, legs=tuple(legs))


def _too_small(basket: Basket, size: int) -> str:
    return (
        f"size {_shares(Size(max(0, size)))} is below the smallest size legal on every leg, {_shares(basket.min_size)}"
    )


def _shares(size: Size) -> str:
    return f"{size / MICRO:g}"
