"""What a trade came to, counted from its fills alone: cash, fees, cost of undoing, profit at the payoff floor.

Every fill's money rounds as the venues' ledgers are booked: cost up, proceeds down, per fill.
"""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.core.model import (
    ExecutionResult,
    MultiLegTrade,
    Order,
    Outcome,
    Purpose,
    Side,
    TradeLeg,
    floor_value,
)
from arbkit.core.units import Cash, Size, cost, proceeds


def lot_of(trade: MultiLegTrade, leg: TradeLeg) -> Size:
    """Return the step of sizes on a leg's market, the basket's where the market does not say."""
    return leg.book.market.lot or trade.opportunity.basket.lot


def min_size_of(trade: MultiLegTrade, leg: TradeLeg) -> Size:
    """Return the smallest order a leg's market takes, the basket's where the market does not say."""
    return leg.book.market.min_size or trade.opportunity.basket.min_size


def dust(trade: MultiLegTrade) -> Size:
    """Return the difference in shares from which legs are unequal: less than the finest lot can be traded nowhere."""
    return min([lot_of(trade, leg) for leg in trade.legs])


def is_even(trade: MultiLegTrade) -> bool:
    """Tell whether all legs hold the same within dust; dust against nothing is not even, nothing at all is."""
    held = [leg.held for leg in trade.legs]
    least, most = min(held), max(held)
    return most == least or (least > 0 and most - least < dust(trade))


def is_complete(trade: MultiLegTrade) -> bool:
    """Tell whether entry orders alone filled every leg to size, within dust."""
    apart = dust(trade)
    return all(leg.filled > leg.size - apart for leg in trade.legs)


def money_of(order: Order) -> Cash:
    """Return the cash of an order's fills without fees: negative for a buy."""
    if order.side is Side.BUY:
        return Cash(-sum([cost(fill.price, fill.size) for fill in order.standing]))
    return Cash(sum([proceeds(fill.price, fill.size) for fill in order.standing]))


def fees_of_order(order: Order) -> Cash:
    return Cash(sum([fill.fee for fill in order.standing]))


def cash_of(trade: MultiLegTrade) -> Cash:
    """Return every fill's money: received minus paid minus fees."""
    return Cash(sum([money_of(order) - fees_of_order(order) for leg in trade.legs for order in leg.orders]))


def unwind_cost(trade: MultiLegTrade) -> Cash:
    """Return what undo orders lost against the leg's average entry price, their fees included.

    A leg without an entry fill is measured against its price at decision. Negative when undoing gained.
    """
    lost = 0
    for leg in trade.legs:
        undone = [order for order in leg.orders if order.purpose not in (Purpose.ENTRY, Purpose.SPLIT)]
        for order in undone:
            lost += fees_of_order(order) - money_of(order) - _entry_value(leg, order.side * order.filled)
    return Cash(lost)


def _entry_value(leg: TradeLeg, shares: int) -> int:
    """Return what so many shares cost at entry (at decision when nothing was filled), less for shares sold (< 0).

    Of a leg that enters by selling: what they brought there.

    Rounds down, which makes the cost of undoing larger.
    """
    paid = -leg.side * sum(money_of(order) for order in leg.entries())
    basis, size = (paid, leg.filled) if leg.filled else (leg.decision_cost, leg.size)
    return basis * shares // size


def refused(trade: MultiLegTrade, reason: str, now: int) -> ExecutionResult:
    """Return the result of a trade that never began."""
    return ExecutionResult(trade, Outcome.REFUSED, reason=reason, started_at=now, entries_done_at=now, finished_at=now)


def closed(
    trade: MultiLegTrade,
    outcome: Outcome,
    *,
    started_at: int,
    entries_done_at: int,
    finished_at: int,
    undo: str = "",
    reason: str = "",
    unhedged: int = 0,
    notes: Sequence[str] = (),
) -> ExecutionResult:
    """Return the result of a trade that ended: pnl = floor of the whole baskets held + cash + `unhedged`.

    `unhedged` is what the shares outside whole baskets are marked at, of an escalated trade only.
    """
    cash = cash_of(trade)
    baskets = min([leg.held for leg in trade.legs])
    return ExecutionResult(
        trade,
        outcome,
        undo=undo,
        reason=reason,
        started_at=started_at,
        entries_done_at=entries_done_at,
        finished_at=finished_at,
        cash=cash,
        fees=Cash(sum([leg.fees for leg in trade.legs])),
        unwind_cost=unwind_cost(trade),
        pnl=Cash(floor_value(trade.opportunity.basket, baskets) + cash + unhedged),
        notes=tuple(notes),
    )
