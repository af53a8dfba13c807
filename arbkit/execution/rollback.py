"""Undoing a lopsided trade: complete, trim, merge or exit, whichever leaves most, and never at any price.

*complete* buys what the smaller legs lack, *trim* sells what the larger legs have too much, *merge* does so too and
turns the pairs that are left into collateral, *exit* sells everything.
Each is priced on the books as received, takers' fees included, and judged by what the trade would then have come to,
whole baskets counted at their floor. What an option may lose is bounded for the case that all of it fills at its
limits, so the bound holds wherever the books have gone meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from arbkit.core.model import Health, MultiLegTrade, Purpose, Side, TradeLeg, floor_value
from arbkit.core.ports import BookView
from arbkit.core.units import MICRO, Cash, Price, Size, cost, proceeds
from arbkit.detection.sizing import walk
from arbkit.execution.accounting import cash_of, lot_of, min_size_of
from arbkit.execution.terms import Terms

MergeGain = Callable[[MultiLegTrade, int], Cash | None]


def no_merge(_trade: MultiLegTrade, _pairs: int) -> Cash | None:
    """Return that nothing can be merged: there is no chain."""
    return None


class Target(NamedTuple):
    """A size that every leg can be brought to, and the order that brings each there: (leg, shares), shares > 0."""

    kind: Purpose
    size: Size
    side: Side
    orders: tuple[tuple[int, Size], ...]


class UndoOrder(NamedTuple):
    """One fill-and-kill order of a plan."""

    leg: int
    side: Side
    size: Size
    limit: Price


class Plan(NamedTuple):
    """What to send now. `pnl` is what the trade comes to as the books stand, `whole` whether they hold all of it.

    That of a merge counts what money is worth that is free earlier, less the gas.
    """

    kind: Purpose
    target: Size
    orders: tuple[UndoOrder, ...]
    pnl: Cash
    whole: bool


def loss_bound(trade: MultiLegTrade, terms: Terms) -> Cash:
    """Return the most that a trade may lose in being undone: a share of what it was decided to cost."""
    return Cash(sum(leg.decision_cost for leg in trade.legs) * terms.unwind_ppm // MICRO)


# -- what can be sent at all -----------------------------------------------------------------------------------


def targets(trade: MultiLegTrade) -> tuple[Target, ...]:
    """Return every kind of undo that consists of orders the venues take, in the order complete, trim, exit.

    A leg is either left alone or moved by at least its market's minimum, on its lot. So completing may go beyond
    the largest leg, and beyond the trade's size by at most one minimum order, and trimming below the smallest. What a
    venue filled beyond that is its broken word and not ours to double: it is sold, or left to a person.
    A trim that leaves nothing is an exit.
    """
    found = [_complete(trade), _trim(trade), _exit(trade)]
    return tuple(target for target in found if target is not None and target.orders)


def _complete(trade: MultiLegTrade) -> Target | None:
    legs = trade.legs
    top = max(leg.held for leg in legs)
    least = max(min_size_of(trade, leg) for leg in legs)
    start = max(leg.held + min_size_of(trade, leg) for leg in legs)
    sizes = [size for size in [top, *_steps(trade, start, +1)] if size <= trade.size + least]
    return _first_legal(trade, Purpose.COMPLETE, sizes)


def _trim(trade: MultiLegTrade) -> Target | None:
    legs = trade.legs
    low = min(leg.held for leg in legs)
    start = min(leg.held - min_size_of(trade, leg) for leg in legs)
    return _first_legal(trade, Purpose.TRIM, [size for size in [low, *_steps(trade, start, -1)] if size > 0])


def _exit(trade: MultiLegTrade) -> Target | None:
    return _first_legal(trade, Purpose.EXIT, [0])


def _steps(trade: MultiLegTrade, start: int, sign: int) -> list[int]:
    """Return sizes from `start` on, one finest lot apart, over one common lot: alignment repeats after that."""
    lots = [lot_of(trade, leg) for leg in trade.legs]
    fine = math.gcd(*lots)
    return [start + sign * step * fine for step in range(min(math.lcm(*lots) // fine, 1_000))]


def _first_legal(trade: MultiLegTrade, kind: Purpose, sizes: Sequence[int]) -> Target | None:
    for size in sizes:
        orders = []
        for leg in trade.legs:
            off = abs(leg.held - size)
            lot = lot_of(trade, leg)
            part = off // lot * lot
            if off - part >= _dust(trade) or 0 < part < min_size_of(trade, leg):
                break
            if part:
                orders.append((leg.index, Size(part)))
        else:
            side = Side.BUY if kind is Purpose.COMPLETE else Side.SELL
            return Target(kind, Size(size), side, tuple(orders))
    return None


def _dust(trade: MultiLegTrade) -> int:
    return min(lot_of(trade, leg) for leg in trade.legs)


# -- what it would come to -------------------------------------------------------------------------------------


def choose(
    trade: MultiLegTrade,
    views: Sequence[BookView],
    terms: Terms,
    barred: Collection[Purpose] = (),
    denied: Collection[int] = (),
    merge_gain: MergeGain = no_merge,
) -> Plan | None:
    """Return the undo that leaves most within the loss bound, or None when no book allows one now.

    What the books hold whole goes before what they hold in part; ties go to complete, then trim, merge and exit. A
    kind in `barred` was just refused by a venue and is passed over, and so is what needs a leg in `denied`, whose
    venue lets nobody in. `merge_gain` says what merging pairs now is worth over holding them.
    """
    open_to_us = [target for target in targets(trade) if not any(leg in denied for leg, _ in target.orders)]
    plans: list[Plan | None] = []
    for target in open_to_us:
        if target.kind not in barred:
            plans.append(priced(trade, target, views, terms))
            if target.kind is Purpose.TRIM and Purpose.MERGE not in barred:
                plans.append(_merged(trade, plans[-1], merge_gain))
    return max((plan for plan in plans if plan is not None), key=lambda plan: (plan.whole, plan.pnl), default=None)


def priced(trade: MultiLegTrade, target: Target, views: Sequence[BookView], terms: Terms) -> Plan | None:
    """Price one undo on received books; None when a book cannot price an order, is empty, or the bound is passed.

    What is to be sold must be held and settled: shares whose match may still be taken back are nobody's to sell.
    """
    if target.side is Side.SELL and any(size > trade.legs[index].available for index, size in target.orders):
        return None
    ladders: list[_Ladder] = []
    for index, size in target.orders:
        view = views[index]
        levels = view.asks() if target.side is Side.BUY else view.bids()
        taken = walk(levels, size)
        if view.health is not Health.OK or not taken:
            return None
        ladders.append(_Ladder(index, size, target.side, view, taken, terms))
    worth = floor_value(trade.opportunity.basket, target.size)
    least = -loss_bound(trade, terms) - cash_of(trade) - worth
    while sum(ladder.at_limit() for ladder in ladders) < least:
        far = max(ladders, key=lambda ladder: ladder.reach)
        if not far.tighten():
            return None
    whole = all(ladder.available() == ladder.size for ladder in ladders)
    pnl = cash_of(trade) + sum(ladder.expected() for ladder in ladders)
    pnl += worth if whole else _marked(trade, ladders, views)
    orders = tuple(UndoOrder(ladder.leg, target.side, ladder.size, ladder.limit) for ladder in ladders)
    return Plan(target.kind, target.size, orders, Cash(pnl), whole)


def _merged(trade: MultiLegTrade, trim: Plan | None, merge_gain: MergeGain) -> Plan | None:
    """Return a trim whose pairs are merged; None where they cannot be, or where holding them is no worse.

    A merge changes no difference between legs: what is left over is sold first, and what is merged is even. So it is
    never cheaper than its trim by more than it gains, and within the loss bound whenever that is.
    """
    gain = None if trim is None else merge_gain(trade, trim.target)
    if trim is None or gain is None or gain <= 0:
        return None
    return trim._replace(kind=Purpose.MERGE, pnl=Cash(trim.pnl + gain))


def _marked(trade: MultiLegTrade, ladders: Sequence[_Ladder], views: Sequence[BookView]) -> Cash:
    """Return what would be held after a part was done: whole baskets at their floor, the rest at the bids."""
    moved = {ladder.leg: ladder.side * ladder.available() for ladder in ladders}
    held = [leg.held + moved.get(leg.index, 0) for leg in trade.legs]
    return Cash(
        floor_value(trade.opportunity.basket, min(held))
        + sum(bid_value(view, size - min(held)) for view, size in zip(views, held, strict=True))
    )


def bid_value(view: BookView, size: int) -> Cash:
    """Return what selling shares into the bids as received would bring after the taker's fee, never below nothing.

    Shares beyond what stands there are worth nothing, as is everything where the book cannot be read.
    """
    taken = walk(view.bids(), size) if view.health is Health.OK else []
    if not taken:
        return Cash(0)
    money = sum(proceeds(price, part) for price, part in taken)
    return Cash(max(0, money - view.fees.order_fee(taken, maker=False)))


class _Ladder:
    """The levels one undo order may take, and its limit, which starts beyond the last of them and can be tightened."""

    def __init__(
        self, leg: int, size: Size, side: Side, view: BookView, taken: list[tuple[Price, Size]], terms: Terms
    ) -> None:
        self.leg, self.size, self.side = leg, size, side
        self._taken, self._fees = taken, view.fees
        worst = taken[-1][0]
        slip = terms.slip(worst)
        last = view.grid.floor(worst + slip) if side is Side.BUY else view.grid.ceil(max(0, worst - slip))
        prices = list(dict.fromkeys([price for price, _ in taken] + [last]))
        self._prices = [price for price in prices if view.grid.holds(price)] or [worst]

    @property
    def limit(self) -> Price:
        return self._prices[-1]

    @property
    def reach(self) -> int:
        """How far the limit lies from the best price; 0 when it cannot come nearer."""
        return abs(self._prices[-1] - self._prices[0])

    def tighten(self) -> bool:
        """Bring the limit one level nearer; False when it stands at the best price already."""
        if len(self._prices) == 1:
            return False
        self._prices.pop()
        return True

    def at_limit(self) -> Cash:
        """Return the cash of the whole order at its limit, fee included."""
        return self._money([(self.limit, self.size)])

    def expected(self) -> Cash:
        """Return the cash of what stands within the limit, fee included."""
        return self._money(self._within())

    def available(self) -> Size:
        return Size(sum(part for _, part in self._within()))

    def _within(self) -> list[tuple[Price, Size]]:
        return [(price, part) for price, part in self._taken if self.side * (price - self.limit) <= 0]

    def _money(self, fills: Sequence[tuple[Price, Size]]) -> Cash:
        if not fills:
            return Cash(0)
        if self.side is Side.BUY:
            money = -sum(cost(price, part) for price, part in fills)
        else:
            money = sum(proceeds(price, part) for price, part in fills)
        return Cash(money - self._fees.order_fee(fills, maker=False))


def excess(legs: Sequence[TradeLeg]) -> tuple[Size, ...]:
    """Return the shares of each leg that no whole basket covers."""
    low = min(leg.held for leg in legs)
    return tuple(Size(leg.held - low) for leg in legs)
