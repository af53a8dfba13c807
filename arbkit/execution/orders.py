"""One order of a leg, from its intent to the venue's last word; the part of the executor that speaks to venues.

Evidence only: a timeout, an exception or a lost stream never ends an order. What was not answered is asked about by
its key until the venue speaks or T_hedge has passed, and then it stays UNKNOWN.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import (
    ArbkitError,
    InvariantViolation,
    OrderRejected,
    OrderStateUnknown,
    VenueError,
    VenueUnavailable,
)
from arbkit.core.model import Order, OrderReport, OrderStatus, Purpose, Side, TimeInForce, TradeLeg
from arbkit.core.ports import BookFeed, Clock, Journal, Venue
from arbkit.core.units import NS_PER_S, Price, Size
from arbkit.execution.terms import Terms
from arbkit.execution.work import Work

log = logging.getLogger(__name__)

RESTING = (OrderStatus.OPEN, OrderStatus.PARTIAL)


class OrderDesk:
    """Sends orders and hears their venues out; every answer goes into the trade's `Work` and the journal.

    The journal must raise OSError or an ArbkitError when it cannot keep a fact: an intent that is not kept is not
    sent (I3). After a broken invariant or an exception nobody named, `halted` says why and nothing new is entered.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        config: ExecutionConfig,
        clock: Clock,
        journal: Journal | None,
    ) -> None:
        self._venues = dict(venues)
        self._feed = feed
        self._config = config
        self._terms = Terms.of(config)
        self._clock = clock
        self._journal = journal
        # Half of T_hedge at most: an answer that is waited for longer leaves no time to act on it.
        self._patience_s = min(config.leg_timeout_s, config.hedge_timeout_s / 2)
        self.halted = ""

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
        """Follow one resting order until it is final or the rests of the trade end."""
        rest = asyncio.timeout_at(until)
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

    async def _together(self, work: Work, steps: Sequence[Coroutine[Any, Any, object]]) -> None:
        """Run the legs' coroutines at once; one that fails takes no other's outcome with it, and halts entries."""
        for answer in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(answer, Exception):
                self._halt(f"{type(answer).__name__}: {answer}", answer)
                work.notes.append(self.halted)
            elif isinstance(answer, BaseException):
                raise answer

    # -- one order -----------------------------------------------------------------------------------------------

    async def _submit_order(self, work: Work, leg: TradeLeg, order: Order) -> TradeLeg:
        """Send an order and take the venue's first word: OPEN, final, or UNKNOWN when there was none.

        When nothing was sent the same order goes out once more under the same key; unknown is never sent again.
        """
        self._intend(
            "order.intent",
            order.client_id,
            book=order.book.name,
            side=int(order.side),
            limit=order.limit,
            size=order.size,
            tif=order.tif,
            post_only=order.post_only,
            purpose=order.purpose,
        )
        leg = work.changed(leg, order.moved(OrderStatus.SUBMITTED), self._clock.now())
        why = ""
        for attempt in (1, 2):
            self._record("order.sent", order.client_id, attempt=attempt)
            try:
                async with asyncio.timeout(self._answer_s(work)):
                    report = await self._venues[order.venue].submit(order)
            except OrderRejected as no:
                return self._never(work, leg, order, str(no))
            except VenueUnavailable as away:
                why = f"nothing was sent: {away}"
            except (OrderStateUnknown, TimeoutError) as lost:
                return self._unknown(work, leg, str(lost) or "no answer in time")
            else:
                return self._told(work, leg, report)
        return self._never(work, leg, order, why)

    async def _wait_for_fills(self, work: Work, leg: TradeLeg) -> AsyncIterator[TradeLeg]:
        """Yield the leg whenever its resting order progressed, until that is final; a lost stream is asked after."""
        order = leg.orders[-1]
        while True:
            try:
                async for report in self._venues[order.venue].reports(order):
                    leg = self._told(work, leg, report)
                    yield leg
            except VenueError as lost:
                self._record("order.unanswered", order.client_id, asked="reports", why=str(lost))
            if leg.orders[-1].is_final:
                return
            await asyncio.sleep(self._config.hedge_retry_s)
            leg = await self._check_order_status(work, leg)
            yield leg
            if leg.orders[-1].is_final:
                return

    async def _settle(self, work: Work, index: int) -> TradeLeg:
        """Ask and cancel until the leg's last order is final on the venue's word; UNKNOWN when T_hedge ends first."""
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
            if not leg.orders[-1].is_final:
                leg = await self._cancel_order(work, leg)
            if leg.orders[-1].is_final:
                break
            until = min(began + self._terms.hedge_ns, work.deadline() or began + self._terms.hedge_ns)
            if self._clock.now() + self._retry_ns >= until:
                return self._unknown(work, leg, "no last word within T_hedge")
            await asyncio.sleep(self._config.hedge_retry_s)
        return leg

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
        return leg

    async def _check_order_status(self, work: Work, leg: TradeLeg) -> TradeLeg:
        """Ask once what the venue holds of the leg's last order; no answer is no evidence and changes nothing."""
        order = leg.orders[-1]
        try:
            async with asyncio.timeout(self._answer_s(work)):
                report = await self._venues[order.venue].status(order)
        except (VenueError, TimeoutError) as silent:
            return self._unanswered(work, leg, "status", silent)
        return self._told(work, leg, report)

    async def _cancel_order(self, work: Work, leg: TradeLeg) -> TradeLeg:
        """Ask once to cancel the leg's last order; fills that won the race are in the answer."""
        order = leg.orders[-1]
        self._intend("order.cancel", order.client_id)
        if order.status in RESTING:
            leg = work.changed(leg, order.moved(OrderStatus.PENDING_CANCEL), self._clock.now())
        try:
            async with asyncio.timeout(self._answer_s(work)):
                report = await self._venues[order.venue].cancel(order)
        except (VenueError, TimeoutError) as silent:  # a refused cancel is no proof of an end either
            return self._unanswered(work, leg, "cancel", silent)
        return self._told(work, leg, report)

    def _told(self, work: Work, leg: TradeLeg, report: OrderReport) -> TradeLeg:
        """Take a venue's word on the leg's last order; a fill beyond the limit is true all the same, and halts."""
        before = work.leg(leg.index).orders[-1]
        if report.client_id != before.client_id:
            raise InvariantViolation(f"asked about {before.client_id}, told of {report.client_id}")
        order = before.told(report)
        if order == before:
            return work.leg(leg.index)
        leg = work.changed(leg, order, self._clock.now())
        fills = tuple((f.trade_id, f.price, f.size, f.fee, f.maker, f.venue_at) for f in order.fills)
        self._record("order.report", order.client_id, status=order.status.value, fills=fills, reason=report.reason)
        for fill in order.fills[len(before.fills) :]:
            if order.side * (fill.price - order.limit) > 0:
                self._halt(f"{order.client_id} was filled at {fill.price}, beyond its limit {order.limit}")
                work.notes.append(self.halted)
        return leg

    def _never(self, work: Work, leg: TradeLeg, order: Order, reason: str) -> TradeLeg:
        """Take note that an order is not live and never was."""
        at = self._clock.now()
        if not work.reason:
            work.reason = f"leg {leg.index} {leg.book.name}: {reason}"
        return self._told(work, leg, OrderReport(order.client_id, OrderStatus.REJECTED, at=at, reason=reason))

    def _unknown(self, work: Work, leg: TradeLeg, why: str) -> TradeLeg:
        """Take note that an order may be live: it stays UNKNOWN until its venue speaks."""
        order = work.leg(leg.index).orders[-1]
        self._record("order.unknown", order.client_id, why=why)
        return work.changed(leg, order.moved(OrderStatus.UNKNOWN, why), self._clock.now())

    def _unanswered(self, work: Work, leg: TradeLeg, asked: str, silent: Exception) -> TradeLeg:
        order = work.leg(leg.index).orders[-1]
        self._record("order.unanswered", order.client_id, asked=asked, why=str(silent) or "no answer in time")
        return work.leg(leg.index)

    # -- clocks and the record -----------------------------------------------------------------------------------

    @property
    def _retry_ns(self) -> int:
        return round(self._config.hedge_retry_s * NS_PER_S)

    def _too_late(self, work: Work, after_ns: int = 0) -> bool:
        """Tell whether T_hedge ends within `after_ns` from now."""
        deadline = work.deadline()
        return deadline is not None and self._clock.now() + after_ns >= deadline

    def _answer_s(self, work: Work) -> float:
        """Return how long one answer is waited for: less when T_hedge is near, but never nothing."""
        deadline = work.deadline()
        left = self._patience_s if deadline is None else (deadline - self._clock.now()) / NS_PER_S
        return max(self._config.hedge_retry_s, min(self._patience_s, left))

    def _intend(self, fact: str, key: str, **data: object) -> None:
        """Record what is about to be done; raises when it cannot be kept, and then it must not be done."""
        if self._journal is not None:
            self._journal.append(self._clock.now(), fact, key, **data)

    def _record(self, fact: str, key: str, **data: object) -> None:
        """Record what has happened; when it cannot be kept, what runs is finished and nothing new is entered."""
        try:
            self._intend(fact, key, **data)
        except (ArbkitError, OSError) as error:
            self._halt(f"the journal does not keep {fact}: {error}", error, recorded=False)

    def _halt(self, reason: str, error: BaseException | None = None, *, recorded: bool = True) -> None:
        """Enter nothing new from here on; what runs is finished."""
        self.halted = f"entries are halted: {reason}"
        log.critical("engine.halted", extra={"reason": reason}, exc_info=error)
        if recorded:
            self._record("engine.halted", "engine", reason=reason)
