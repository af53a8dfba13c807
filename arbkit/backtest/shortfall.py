"""Why a trade earned less than its decision promised: the shortfall in parts that add up to it, to the millionth.

The decision promised `edge`: the payoff floor, less what the shares cost in the books as received, less fees. The
trade came to `pnl`. What lies between is split along the way that money took, per leg against its own plan:

unfilled  the promise on what was never bought on every leg: the whole edge of a trade that filled nothing.
delay     the mid moved between the decision (as received) and the match (at the venue).
spread    half the spread: best minus mid at the match against best minus mid at the decision. A resting fill pays
          fill price minus mid instead, below zero where it was paid for waiting.
impact    beyond the best: fill price minus best, against what the plan had to walk beyond it. Shares that others, or
          we, had taken already are in it. A resting fill has none.
fees      fees and gas paid on whole baskets, less those that the decision reckoned with.
undoing   all that was bought beyond whole baskets, at its entry price with its fees, less what undo orders and the
          shares left over brought: 0 where every leg was filled alike and nothing was undone.

All are money lost, in millionths of a dollar; below zero is money gained. Where a book had no two sides its best
stands for the mid (at a match without any: the fill's own price; at a decision: the decision price), which moves
money between delay, spread and impact, never out of their sum. Roundings of the three are in `spread`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from arbkit.backtest.quotes import Quote, at_venue, heard
from arbkit.core.model import Fill, Order, Purpose, Side, TradeLeg, floor_value
from arbkit.core.units import MICRO, cost, proceeds

if TYPE_CHECKING:
    from arbkit.core.model import ArbitrageOpportunity, ExecutionResult
    from arbkit.history.tape import Tape


class Split(NamedTuple):
    """The parts of one trade's shortfall, millionths of a dollar; see the module."""

    unfilled: int = 0
    delay: int = 0
    spread: int = 0
    impact: int = 0
    fees: int = 0
    undoing: int = 0

    @property
    def total(self) -> int:
        """The shortfall: edge of the decision minus pnl."""
        return sum(self)


class Answer(NamedTuple):
    """A decision, what became of it, and how many rows of the tape the client had received when it was made."""

    opportunity: ArbitrageOpportunity
    result: ExecutionResult
    rows: int


def split_shortfalls(tape: Tape, answers: Sequence[Answer]) -> tuple[Split, ...]:
    """Return the shortfall of each trade in parts, in one pass over the tape by each of its two clocks."""
    legs = [(answer.rows, leg) for answer in answers for leg in answer.result.trade.legs if leg.filled]
    planned = iter(heard(tape, [(rows, leg.book) for rows, leg in legs]))
    met = iter(at_venue(tape, [(fill.venue_at, leg.book) for _, leg in legs for fill, _ in _fills(leg)]))
    found = []
    for opportunity, result, _ in answers:
        quotes = {
            leg.index: (next(planned), [next(met) for _ in _fills(leg)]) for leg in result.trade.legs if leg.filled
        }
        found.append(split_of(opportunity, result, quotes))
    return tuple(found)


def split_of(
    opportunity: ArbitrageOpportunity, result: ExecutionResult, quotes: dict[int, tuple[Quote, list[Quote]]]
) -> Split:
    """Split one trade. `quotes` by leg: the bests at the decision, and at each entry fill in order.

    That the parts add up to opportunity.edge - result.pnl holds for whatever `quotes` says.
    """
    legs = result.trade.legs
    whole = min((int(leg.filled) for leg in legs), default=0)
    told = result.trade.opportunity  # at the size that was tried, which may be less than the decision's
    promised = floor_value(told.basket, whole) - _part(told.edge_gross - told.edge, whole, told.size)
    delay = spread = impact = paid_fees = undoing = 0
    for leg in legs:
        paid, fees = _paid(leg), _fees(leg.entries())
        mine, my_fees = _part(paid, whole, leg.filled), _part(fees, whole, leg.filled)
        plan = _part(leg.side * leg.decision_cost, whole, leg.size) if leg.decision_cost else mine
        if whole:
            moved, walked = _moved_and_walked(leg, whole, *quotes[leg.index])
            delay, impact, spread = delay + moved, impact + walked, spread + mine - plan - moved - walked
        promised -= plan
        paid_fees += my_fees
        undoing += (paid - mine) + (fees - my_fees)
    undone = [order for leg in legs for order in leg.orders if order.purpose is not Purpose.ENTRY]
    undoing += sum(_money(order.side, fill) for order in undone for fill in order.standing) + _fees(undone)
    held = floor_value(told.basket, min((leg.held for leg in legs), default=0))
    left_over = result.pnl + result.gas - held - result.cash  # what an escalated trade's shares are marked at
    undoing -= held - floor_value(told.basket, whole) + left_over
    reckoned = _part(told.edge_gross - told.edge, whole, told.size)
    return Split(
        opportunity.edge - promised, delay, spread, impact, paid_fees + result.gas - reckoned, undoing
    )  # fmt: skip


def _part(amount: int, of: int, whole: int) -> int:
    """Return amount * of / whole, rounded up; nothing of nothing."""
    return -(-amount * of // whole) if whole else 0


def _money(side: Side, fill: Fill) -> int:
    """Return what a fill's shares cost, without its fee; a sale costs less than nothing."""
    return cost(fill.price, fill.size) if side is Side.BUY else -proceeds(fill.price, fill.size)


def _fills(leg: TradeLeg) -> list[tuple[Fill, Side]]:
    return [(fill, order.side) for order in leg.entries() for fill in order.standing]


def _paid(leg: TradeLeg) -> int:
    return sum(_money(side, fill) for fill, side in _fills(leg))


def _fees(orders: Sequence[Order]) -> int:
    return sum(fill.fee for order in orders for fill in order.standing)


def _moved_and_walked(leg: TradeLeg, whole: int, at_decision: Quote, at_match: list[Quote]) -> tuple[int, int]:
    """Return what the move of the mid, and what lay beyond the best, cost the `whole` baskets' share of a leg."""
    sign = int(leg.side)
    # Prices times the size of the decision, so that the average price of the plan is a whole number.
    plan, size = (leg.decision_cost * MICRO, int(leg.size)) if leg.decision_cost else (0, 0)
    best_then = _best(at_decision, leg.side)
    first = best_then * size if best_then >= 0 else plan
    middle = at_decision.mid * size if at_decision.mid >= 0 else first
    moved = walked = 0
    for (fill, _), quote in zip(_fills(leg), at_match, strict=True):
        best = fill.price if fill.maker or _best(quote, leg.side) < 0 else _best(quote, leg.side)
        mid = quote.mid if quote.mid >= 0 else best
        moved += sign * (mid * size - middle) * fill.size
        walked += sign * ((fill.price - best) * size - (plan - first)) * fill.size
    below = MICRO * size * int(leg.filled)
    return _part(moved, whole, below), _part(walked, whole, below)


def _best(quote: Quote, side: Side) -> int:
    """Return the best of the side that an order takes from."""
    return quote.ask if side is Side.BUY else quote.bid
