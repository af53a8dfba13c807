"""One order of a leg, from its intent to the venue's last word; the part of the executor that speaks to venues.

Evidence only: a timeout, an exception or a lost stream never ends an order. What was not answered is asked about by
its key, and sent again under that key while it may still be wanted, until the venue speaks or T_hedge has passed;
then it stays UNKNOWN. "Not found" becomes a last word only when the order can no longer be on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import (
    AccessDenied,
    JournalError,
    OrderRejected,
    OrderStateUnknown,
    VenueError,
    VenueUnavailable,
)
from arbkit.core.model import Order, OrderStatus, Purpose, Side, TimeInForce, TradeLeg, TradeState
from arbkit.core.ports import BookFeed, Clock, Venue
from arbkit.core.units import MICRO, NS_PER_S, Price, Size
from arbkit.execution.answer import answer, side_by_side, unless_cancelled
from arbkit.execution.hearing import Hearing
from arbkit.execution.record import Record
from arbkit.execution.work import Sending, Work
from arbkit.journal.ledger import Ledger
from arbkit.risk.budget import RateBudget
from arbkit.risk.limits import RiskManager

SHORTEST_S = 0.001  # that an answer is waited for
RESTING = (OrderStatus.OPEN, OrderStatus.PARTIAL)


class OrderDesk(Hearing):
    """Sends orders and hears their venues out. An intent that is not on disk is not sent (I3)."""

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        risk: RiskManager,
        config: ExecutionConfig,
        clock: Clock,
        record: Record,
        ledger: Ledger,
    ) -> None:
        super().__init__(venues, feed, risk, config, clock, record, ledger)
        self._running: dict[str, Work] = {}  # the trades that orders are sent for, by id
        self._budgets = {
            name: RateBudget(config.request_rate, config.request_burst, config.reserved_share) for name in venues
        }
        self._patience_s = config.answer_s

    async def _take(
        self,
        work: Work,
        leg: TradeLeg,
        limit: Price,
        size: Size,
        purpose: Purpose = Purpose.ENTRY,
        side: Side = Side.BUY,
    ) -> TradeLeg:
        """Send one fill-and-kill order and hear the venue's last word on it."""
        await self._submit_order(work, leg, work.new_order(leg, limit, size, purpose=purpose, side=side))
        return await self._settle(work, leg.index)

    async def _stand(self, work: Work, leg: TradeLeg, until: float, first_fill_ends: bool) -> None:
        """Follow one resting order until it is final or the rests of the trade end.

        A stream may lose a fill without a word, so the order is asked about every `reconcile_s` as well.
        """
        loop = asyncio.get_running_loop()
        while work.may_rest(until) and work.leg(leg.index).orders[-1].status in RESTING:
            rest = asyncio.timeout_at(min(until, loop.time() + self._config.reconcile_s))
            try:
                async with rest:
                    work.rest_begins(rest)
                    try:
                        async for progressed in self._wait_for_fills(work, leg):
                            if first_fill_ends and progressed.filled:
                                work.end_rests()
                    finally:
                        work.rest_ended(rest)
            except TimeoutError:
                if not rest.expired():
                    raise
            leg = work.leg(leg.index)
            if work.may_rest(until) and not leg.orders[-1].is_final:
                leg = await self._check_order_status(work, leg)

    async def _together(self, work: Work, steps: Sequence[Coroutine[Any, Any, object]]) -> None:
        """Run the legs' coroutines at once; one that fails takes no other's outcome with it, and halts entries."""
        for ended in await side_by_side(steps):
            if isinstance(ended, Exception):
                self._record.halt(f"{type(ended).__name__}: {ended}", ended)
                work.notes.append(self._record.halted)
            elif isinstance(ended, BaseException):
                raise ended

    # -- sending -------------------------------------------------------------------------------------------------

    async def _submit_order(self, work: Work, leg: TradeLeg, order: Order) -> TradeLeg:
        """Write an order down, see once more that it may leave, send it and take the venue's first word.

        When nothing was sent an entry goes out once more, an undo order as long as T_hedge allows, under the same key.
        """
        now = self._clock.now()
        self._record.intend(
            "order.intent",
            order.client_id,
            trade=work.trade.id,
            leg=leg.index,
            book=order.book.name,
            side=int(order.side),
            limit=order.limit,
            size=order.size,
            tif=order.tif,
            post_only=order.post_only,
            purpose=order.purpose,
            **({"expires": order.expires} if order.expires else {}),
        )
        work.sendings[order.client_id] = Sending(now, now)
        leg = self._changed(work, leg, order)
        adding, away = order.purpose is Purpose.ENTRY, None
        for attempt in range(1_000):
            if reason := await self._barred(work, order):
                return self._never(work, leg, order, reason if away is None else f"{reason}; nothing was sent: {away}")
            away = await self._send(work, leg)
            leg = work.leg(leg.index)
            if away is None:
                return leg
            pause = max(self._config.hedge_retry_s, away.retry_after_s or 0.0)
            if away.retry_after_s:
                self._budgets[order.venue].backoff(self._clock.now() + round(pause * NS_PER_S))
            if adding and (attempt or away.retry_after_s):
                break
            if not adding:
                if self._too_late(work, round(pause * NS_PER_S)):
                    break
                await asyncio.sleep(pause)
        return self._never(work, leg, order, f"nothing was sent: {away}")

    async def _barred(self, work: Work, order: Order) -> str:
        """Return why an order may not leave now, or nothing; its intent is on disk when this returned nothing."""
        adding = order.purpose is Purpose.ENTRY
        try:
            await self._kept(work, reducing=not adding)
        except (JournalError, OSError) as error:
            why = str(error) or "not in time"
            self._record.alert("the journal does not keep an intent", why)
            return f"the journal does not keep its intent: {why}"
        reason = self._in_the_way(work, order)
        if reason := reason or (self._no_turn(order.venue) if adding else await self._turn(work, order.venue)):
            return reason
        if adding and work.interrupted:
            return "entries have stopped"
        now = self._clock.now()
        waited = now - work.sendings[order.client_id].intent_at
        if waited > self._terms.entry_ns if adding else self._too_late(work):
            return f"stale: it was decided {waited / NS_PER_S:.3f} s ago"
        return self._risk.may_send(order, work.trade, now)

    async def _kept(self, work: Work, *, reducing: bool) -> None:
        """Wait until all on record is on disk; for what reduces no longer than for an answer: TimeoutError."""
        durable = self._record.durable(reducing=reducing)
        await (answer(durable, self._answer_s(work)) if reducing else durable)

    def _in_the_way(self, work: Work, order: Order) -> str:
        """Return which live order of another trade of ours this one would meet, or nothing.

        An entry gives way. For an undo order the other trade stops resting; it is tried again without it.
        """
        for other in self._running.values():
            met = [one for _, one in other.unresolved() if meet(one, order)] if other is not work else []
            if met:
                if order.purpose is not Purpose.ENTRY:
                    other.end_rests()
                return f"it would meet {met[0].client_id}, which is ours"
        return ""

    def _no_turn(self, venue: str) -> str:
        """Take a place in a venue's request budget for an entry, which waits for none; or return that it is used up."""
        wait = self._budgets[venue].take(self._clock.now(), False)
        return _used_up(venue) if wait else ""

    async def _turn(self, work: Work, venue: str) -> str:
        """Take a place in a venue's request budget for what reduces, or return why there is none.

        It may use what is reserved, and waits: for as long as for an answer, never beyond the T_hedge of its trade.
        """
        until = self._clock.now() + round(self._patience_s * NS_PER_S)
        if work.trade.state is not TradeState.ESCALATED:
            until = min(until, work.deadline() or until)
        while wait := self._budgets[venue].take(self._clock.now(), True):
            if self._clock.now() + wait > until:
                return _used_up(venue)
            await asyncio.sleep(wait / NS_PER_S)
        return ""

    async def turn(self, venue: str) -> None:
        """Wait for a place in a venue's request budget that is reserved for nothing else."""
        while wait := self._budgets[venue].take(self._clock.now(), False):  # noqa: ASYNC110 - the bucket says how long
            await asyncio.sleep(wait / NS_PER_S)

    async def _send(self, work: Work, leg: TradeLeg) -> VenueUnavailable | None:
        """Send the leg's last order, perhaps again, and take the venue's word; returns the error if nothing was sent.

        A refusal ends an order only when no earlier send of it can still arrive.
        """
        order = leg.orders[-1]
        sending = work.sendings[order.client_id]
        sending.attempts += 1
        before, sending.last_at = sending.last_at, self._clock.now()
        self._record.note("order.sent", order.client_id, attempt=sending.attempts)
        if order.status is OrderStatus.INTENT:
            leg = self._changed(work, leg, order.moved(OrderStatus.SUBMITTED))
        sending.unanswered += 1  # until the venue has said something that settles it
        try:
            report = await answer(self._venues[order.venue].submit(order), self._answer_s(work))
        except VenueUnavailable as away:
            sending.last_at = before
            sending.unanswered -= 1
            return away
        except (OrderRejected, AccessDenied) as no:
            sending.unanswered -= 1
            self._learn(order, no)
            if sending.unanswered:
                self._unanswered(work, leg, order, "submit", no)
            else:
                self._never(work, leg, order, str(no))
        except (OrderStateUnknown, TimeoutError) as lost:
            self._unknown(work, leg, order, str(lost) or "no answer in time")
        else:
            self._told(work, leg, report)
        return None

    # -- asking --------------------------------------------------------------------------------------------------

    async def _wait_for_fills(self, work: Work, leg: TradeLeg) -> AsyncIterator[TradeLeg]:
        """Yield the leg whenever its resting order progressed, until that is final; a lost stream is asked after."""
        order = leg.orders[-1]
        while True:
            try:
                with unless_cancelled():
                    async for report in self._venues[order.venue].reports(order):
                        leg = self._told(work, leg, report)
                        yield leg
            except VenueError as lost:
                self._unanswered(work, leg, order, "reports", lost)
            if leg.orders[-1].is_final:
                return
            await asyncio.sleep(self._config.hedge_retry_s)
            leg = await self._check_order_status(work, leg)
            yield leg
            if leg.orders[-1].is_final:
                return

    async def _settle(self, work: Work, index: int) -> TradeLeg:
        """Ask, send again or cancel until the leg's last order is final on the venue's word, at most for T_hedge."""
        leg = work.leg(index)
        if not leg.orders:
            return leg
        began = self._clock.now()
        order = leg.orders[-1]
        if order.tif is TimeInForce.FAK and order.status in RESTING:  # a venue that delays matching
            leg = await self._follow(work, leg)
        while not leg.orders[-1].is_final:
            if leg.orders[-1].status not in RESTING:
                leg = await self._check_order_status(work, leg)
            if leg.orders[-1].is_final:
                break
            if self._is_over(work, began):  # what is not cancelled now is when it has escalated
                return self._unknown(work, leg, leg.orders[-1], "no last word within T_hedge")
            if self._may_send_again(work, leg.orders[-1]):
                await self._send(work, leg)
                leg = work.leg(index)
            else:
                leg = await self._cancel_order(work, leg)
            if leg.orders[-1].is_final:
                break
            if self._is_over(work, began, self._retry_ns) or self._is_denied(order.venue):
                return self._unknown(work, leg, leg.orders[-1], "no last word within T_hedge")
            await asyncio.sleep(self._config.hedge_retry_s)
            leg = work.leg(index)
        return leg

    def _may_send_again(self, work: Work, order: Order) -> bool:
        """Tell whether an order that its venue does not find is still wanted: sent again it is one order, or none."""
        sending = work.sendings[order.client_id]
        if order.status is not OrderStatus.UNKNOWN or sending.acknowledged or not sending.attempts:
            return False
        if order.purpose is Purpose.ENTRY:
            late = self._clock.now() - sending.intent_at >= self._terms.hedge_ns
            if work.interrupted or late or (order.tif is TimeInForce.GTC and work.rests_over):
                return False
        now = self._clock.now()
        if self._risk.may_send(order, work.trade, now) or self._in_the_way(work, order):
            return False
        return not self._budgets[order.venue].take(now, order.purpose is not Purpose.ENTRY)

    async def _follow(self, work: Work, leg: TradeLeg) -> TradeLeg:
        """Wait for the end of a fill-and-kill order that its venue has not matched yet."""
        patience = asyncio.timeout(self._answer_s(work))
        try:
            async with patience:
                async for progressed in self._wait_for_fills(work, leg):
                    leg = progressed  # held out here: a timeout must not lose a fill
        except TimeoutError:
            if not patience.expired():
                raise
        return work.leg(leg.index)

    async def _check_order_status(self, work: Work, leg: TradeLeg, order: Order | None = None) -> TradeLeg:
        """Ask once what the venue holds of an order, the leg's last by default; no answer changes nothing."""
        order = order or leg.orders[-1]
        if reason := await self._turn(work, order.venue):
            return self._unanswered(work, leg, order, "status", reason)
        try:
            report = await answer(self._venues[order.venue].status(order), self._answer_s(work))
        except (VenueError, TimeoutError) as silent:
            if isinstance(silent, AccessDenied):
                self._deny(order.venue, silent)
            return self._unanswered(work, leg, order, "status", silent)
        return self._told(work, leg, report)

    async def _cancel_order(self, work: Work, leg: TradeLeg, order: Order | None = None) -> TradeLeg:
        """Ask once to cancel an order; fills that won the race are in the answer."""
        order = work.order(leg, (order or leg.orders[-1]).client_id)  # as it is now: others may have heard of it
        if order.is_final:
            return work.leg(leg.index)
        try:
            self._record.intend("order.cancel", order.client_id)
            if order.status in RESTING:
                leg = self._changed(work, leg, order.moved(OrderStatus.PENDING_CANCEL))
            await self._kept(work, reducing=True)
        except (JournalError, OSError) as error:
            return self._unanswered(work, leg, order, "cancel", error)
        if reason := await self._turn(work, order.venue):
            return self._unanswered(work, leg, order, "cancel", reason)
        try:
            report = await answer(self._venues[order.venue].cancel(order), self._answer_s(work))
        except (VenueError, TimeoutError) as silent:  # a refused cancel is no proof of an end either
            if isinstance(silent, AccessDenied):
                self._deny(order.venue, silent)
            return self._unanswered(work, leg, order, "cancel", silent)
        return self._told(work, leg, report)

    # -- clocks --------------------------------------------------------------------------------------------------

    @property
    def _retry_ns(self) -> int:
        return round(self._config.hedge_retry_s * NS_PER_S)

    def _too_late(self, work: Work, after_ns: int = 0) -> bool:
        """Tell whether T_hedge ends within `after_ns` from now."""
        deadline = work.deadline()
        return deadline is not None and self._clock.now() + after_ns >= deadline

    def _is_over(self, work: Work, began: int, after_ns: int = 0) -> bool:
        """Tell whether T_hedge of the trade, or as long since `began`, ends within `after_ns` from now."""
        return self._too_late(work, after_ns) or self._clock.now() + after_ns >= began + self._terms.hedge_ns

    def _answer_s(self, work: Work) -> float:
        """Return how long one answer is waited for: not beyond T_hedge, nearly nothing after it; all when it has escalated."""
        deadline = None if work.trade.state is TradeState.ESCALATED else work.deadline()
        left = self._patience_s if deadline is None else (deadline - self._clock.now()) / NS_PER_S
        return max(SHORTEST_S, min(self._patience_s, left))


def _used_up(venue: str) -> str:
    return f"the request budget of {venue} is used up"


def meet(one: Order, other: Order) -> bool:
    """Tell whether two orders would match with each other: the books of a market are one pool of liquidity.

    A buy and a sell of one outcome meet when the buy bids as much, two buys of both outcomes when they bid a dollar
    together (the venue mints the pair), two sells when they ask no more than a dollar (it merges the pair).
    """
    if one.book.market is not other.book.market and (one.venue, one.book.market.id) != (
        other.venue,
        other.book.market.id,
    ):
        return False
    if one.book.outcome == other.book.outcome:
        buy, sell = (one, other) if one.side is Side.BUY else (other, one)
        return one.side is not other.side and buy.limit >= sell.limit
    together = one.limit + other.limit
    return one.side is other.side and (together >= MICRO if one.side is Side.BUY else together <= MICRO)
