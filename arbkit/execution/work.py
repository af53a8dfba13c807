"""One trade while it is being worked: its newest state and the clocks that run on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from arbkit.core.errors import InvariantViolation
from arbkit.core.model import MultiLegTrade, Order, OrderStatus, Purpose, Side, TimeInForce, TradeLeg
from arbkit.core.units import NS_PER_S, Cash, Price, Size
from arbkit.execution.accounting import dust, is_even

UNHEARD = {OrderStatus.INTENT, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN}


@dataclass(slots=True)
class Sending:
    """What is known of an order's way to its venue; times in ns.

    `last_at` is the last time it may have left. `unanswered` sends may still arrive: until all of them have been
    given up, neither "not found" nor the refusal of a later send says anything about the order.
    """

    intent_at: int
    last_at: int
    attempts: int = 0
    unanswered: int = 0
    acknowledged: bool = False  # the venue has spoken of it: from then on it cannot never have been
    missing: int = 0  # times it was not found after it could not be on its way any more
    missed_at: int = 0  # the last of them


class Work:
    """Every change of a leg comes through `put`, so that nothing a venue said is lost with a failing coroutine.

    `imbalance_at` is when legs first became unequal, or an order unknown, and have not been cured since (I9's
    clock). Rests are the waits of resting orders: they end together, and an imbalance cuts them to half of T_hedge,
    because resting on with legs unequal would leave no time to undo.
    """

    def __init__(
        self, trade: MultiLegTrade, caps: Sequence[Price], started_at: int, hedge_ns: int, costs: Sequence[Cash]
    ) -> None:
        self.trade = trade
        self.caps = tuple(caps)
        self.costs = tuple(costs)  # what each leg costs at most
        self.started_at = started_at
        self.entries_done_at = 0
        self.imbalance_at: int | None = None
        self.undo = ""
        self.reason = ""
        self.notes: list[str] = []
        self.interrupted = False
        self.rests_over = False
        self.seen_to = False  # a person has looked at what escalated
        self.sendings: dict[str, Sending] = {}
        self._hedge_ns = hedge_ns
        self._rests: list[asyncio.Timeout] = []
        self._shortened = 0.0  # the loop's time at which rests end once there is an imbalance

    # -- state -------------------------------------------------------------------------------------------------

    def leg(self, index: int) -> TradeLeg:
        return self.trade.legs[index]

    def put(self, leg: TradeLeg, now: int) -> TradeLeg:
        """Take a leg's newer state and set or clear the clock of the imbalance."""
        self.trade = self.trade.with_leg(leg)
        if is_even(self.trade) and not self._has_unknown():
            self.imbalance_at = None
        elif self.imbalance_at is None:
            self.imbalance_at = now
            self._shortened = asyncio.get_running_loop().time() + self._hedge_ns / NS_PER_S / 2
            for rest in self._rests:
                self._cut(rest, self._shortened)
        return leg

    def _has_unknown(self) -> bool:
        for leg in self.trade.legs:
            for order in leg.orders:
                if order.status is OrderStatus.UNKNOWN:
                    return True
        return False

    def unresolved(self) -> list[tuple[TradeLeg, Order]]:
        """Return the orders that are not final on their venue's word."""
        return [(leg, order) for leg in self.trade.legs for order in leg.orders if not order.is_final]

    def unsettled(self) -> list[tuple[TradeLeg, Order]]:
        """Return the orders that have fills which can still be taken back."""
        return [(leg, order) for leg in self.trade.legs for order in leg.orders if not order.is_settled]

    def on_the_way(self, venue: str) -> Cash:
        """Return what legs may cost at a venue that cannot count them yet: nothing was sent, or it has not answered."""
        legs = [leg for leg in self.trade.legs if leg.book.venue == venue]
        unheard = [leg for leg in legs if not leg.orders or any(order.status in UNHEARD for order in leg.orders)]
        return Cash(sum(self.costs[leg.index] for leg in unheard))

    def deadline(self) -> int | None:
        """Return when an imbalance must be closed or escalated, ns; None while there is none."""
        return None if self.imbalance_at is None else self.imbalance_at + self._hedge_ns

    @property
    def dust(self) -> Size:
        return dust(self.trade)

    def new_order(
        self,
        leg: TradeLeg,
        limit: Price,
        size: Size,
        *,
        purpose: Purpose = Purpose.ENTRY,
        side: Side = Side.BUY,
        rests: bool = False,
        post_only: bool = False,
    ) -> Order:
        """Return an order under the key it will keep: trade, leg, purpose and how many of those came before it."""
        before = len([order for order in leg.orders if order.purpose is purpose])
        return Order(
            client_id=f"{self.trade.id}.{leg.index}.{purpose.value}.{before}",
            book=leg.book,
            side=side,
            limit=limit,
            size=size,
            tif=TimeInForce.GTC if rests else TimeInForce.FAK,
            post_only=post_only,
            purpose=purpose,
        )

    def changed(self, leg: TradeLeg, order: Order, now: int) -> TradeLeg:
        """Take an order's newer state; the leg is read anew, so an older copy of it overwrites nothing.

        A state that knows fewer fills than what is there is an older one: InvariantViolation.
        """
        leg = self.trade.legs[leg.index]
        for known in leg.orders:
            if known.client_id == order.client_id and len(order.fills) < len(known.fills):
                raise InvariantViolation(f"{order.client_id}: {len(order.fills)} fills after {len(known.fills)}")
        return self.put(leg.with_order(order), now)

    def order(self, leg: TradeLeg, key: str) -> Order:
        """Return the newest state of one order of a leg."""
        return next(order for order in self.leg(leg.index).orders if order.client_id == key)

    # -- rests -------------------------------------------------------------------------------------------------

    def rest_begins(self, rest: asyncio.Timeout) -> None:
        """Count a wait among those that end together; the wait must have been entered."""
        self._rests.append(rest)
        if self.rests_over:
            self._cut(rest, asyncio.get_running_loop().time())
        elif self.imbalance_at is not None:
            self._cut(rest, self._shortened)

    def may_rest(self, until: float) -> bool:
        """Tell whether an order may go on resting until `until` (the loop's time): nothing has ended or cut it."""
        return asyncio.get_running_loop().time() < until and not self.rests_over and self.imbalance_at is None

    def rest_ended(self, rest: asyncio.Timeout) -> None:
        self._rests.remove(rest)

    def end_rests(self) -> None:
        """End all waits of resting orders now, and those that have not begun."""
        self.rests_over = True
        now = asyncio.get_running_loop().time()
        for rest in self._rests:
            self._cut(rest, now)

    def interrupt(self) -> None:
        """Enter nothing more: rests end, and what is lopsided is finished."""
        self.interrupted = True
        self.end_rests()

    @staticmethod
    def _cut(rest: asyncio.Timeout, when: float) -> None:
        due = rest.when()
        if not rest.expired() and (due is None or due > when):
            rest.reschedule(when)
