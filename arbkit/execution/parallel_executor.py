"""The executor: takes a trade from intent to outcome over whatever venues stand behind the ports.

No venue is atomic across orders. "Atomic" is this protocol: plan, submit all legs at once, reconcile on the venues'
word, commit what is even, undo what is lopsided, escalate what cannot be undone in time and within the loss bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import AccessDenied, ArbkitError, InvariantViolation, VenueError
from arbkit.core.model import (
    ExecutionResult,
    ExecutionStrategy,
    Health,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TradeLeg,
    TradeState,
)
from arbkit.core.ports import BookFeed, BookView, Clock, Journal, Venue
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size
from arbkit.detection.sizing import basket_quote
from arbkit.execution.accounting import closed, fees_of_order, is_complete, is_even, lot_of, min_size_of, money_of
from arbkit.execution.accounting import refused as refused_result
from arbkit.execution.hybrid import Standing, crossing_size
from arbkit.execution.limit import repriced, resting_limits
from arbkit.execution.market import caps as market_caps
from arbkit.execution.market import worst_costs
from arbkit.execution.orders import RESTING, OrderDesk
from arbkit.execution.planning import misshapen, unhealthy
from arbkit.execution.record import Record
from arbkit.execution.rollback import Plan, bid_value, choose, excess, targets
from arbkit.execution.supervisor import Supervisor
from arbkit.execution.work import Sending, Work
from arbkit.journal.fold import OpenTrade
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

log = logging.getLogger(__name__)


class ParallelExecutor(OrderDesk):
    """Takes a trade from intent to outcome: check, work the legs, commit or undo.

    The steps of one order (`_submit_order`, `_wait_for_fills`, `_check_order_status`, `_cancel_order`) are those of
    `OrderDesk`, the decisions on prices and sizes functions of `market`, `limit`, `hybrid` and `rollback`.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        risk: RiskManager,
        config: ExecutionConfig,
        clock: Clock | None = None,
        journal: Journal | None = None,
        *,
        record: Record | None = None,
        ledger: Ledger | None = None,
        supervisor: Supervisor | None = None,
        on_done: Callable[[ExecutionResult], object] | None = None,
    ) -> None:
        clock = clock or LoopClock()
        record = record or Record(journal, clock)
        super().__init__(venues, feed, risk, config, clock, record, ledger or Ledger())
        self._supervisor = supervisor or Supervisor(record)
        self._on_done = on_done
        self._closing = ""
        self._running: dict[str, Work] = {}
        self._escalated: dict[str, tuple[Work, ExecutionResult]] = {}
        self._work = {
            ExecutionStrategy.MARKET: self._execute_market,
            ExecutionStrategy.LIMIT: self._execute_limit,
            ExecutionStrategy.HYBRID: self._execute_hybrid,
        }

    @property
    def halted(self) -> str:
        """Return why nothing new is entered, or nothing."""
        return self._closing or self._record.halted or self._risk.halted

    def refuse(self, trade: MultiLegTrade, reason: str, started_at: int) -> ExecutionResult:
        """Write down that a trade does not start, and why."""
        result = refused_result(trade, reason, started_at)
        self._record.note("trade.refused", trade.id, **_plan(trade), reason=reason, started_at=started_at)
        if self._on_done is not None:
            self._on_done(result)
        return result

    def trades(self) -> list[MultiLegTrade]:
        """Return every trade that is not over, the escalated ones last."""
        return [work.trade for work in (*self._running.values(), *(work for work, _ in self._escalated.values()))]

    # -- the whole trade -----------------------------------------------------------------------------------------

    async def execute(self, trade: MultiLegTrade) -> ExecutionResult:
        """Work a decided trade to its outcome; while fills can be taken back its state is PROVISIONAL, see `follow`.

        Cancelled from outside it stops resting, enters nothing more, finishes or escalates what is lopsided within
        T_hedge, and only then is cancelled.
        """
        return await self._to_the_end(trade.id, self._run(trade))

    async def follow(self, trade_id: str) -> ExecutionResult:
        """Wait until a provisional trade is settled, or a fill of it was voided and that has been dealt with."""
        work = self._running[trade_id]
        return await self._to_the_end(trade_id, self._held(work, self._settled))

    async def resume(self, found: OpenTrade, trade: MultiLegTrade, sent_at: Mapping[str, int]) -> ExecutionResult:
        """Bring a trade that another process left behind to its end: hear its orders out, then even it or escalate.

        Nothing is entered for it. `sent_at` (ns) is the last time each of its orders may have been sent.
        """
        work = self._restored(found, trade, sent_at)
        self._running[trade.id] = work
        return await self._to_the_end(trade.id, self._held(work, self._resumed))

    def close(self, why: str) -> None:
        """Start no trade any more, and enter nothing for those that run."""
        self._closing = why
        self.interrupt()

    def interrupt(self) -> None:
        """Enter nothing more for any running trade; what is lopsided is finished."""
        for work in self._running.values():
            work.interrupt()

    def lopsided(self) -> list[str]:
        """Return the running trades whose legs are not even yet, or not known to be."""
        return [name for name, work in self._running.items() if not _only_settling(work)]

    def open(self) -> tuple[str, ...]:
        """Return what is not over, in words."""
        found: list[str] = []
        for work in (*self._running.values(), *(work for work, _ in self._escalated.values())):
            trade = work.trade
            found += [f"{trade.id}: order {order.client_id} is {order.status.value}" for _, order in work.unresolved()]
            over = excess(trade.legs)
            found += [
                f"{trade.id}: {size / MICRO:g} {leg.book.name} outside whole baskets"
                for leg, size in zip(trade.legs, over, strict=True)
                if size and not is_even(trade)
            ]
            found += [f"{trade.id}: fills of {order.client_id} are provisional" for _, order in work.unsettled()]
        return tuple(found)

    def doubt(self, venue: str, why: str) -> None:
        """Hold every order that rests at a venue for unknown until it has been asked about."""
        for work in list(self._running.values()):
            for leg, order in work.unresolved():
                if order.venue == venue and order.status in RESTING:
                    self._unknown(work, leg, order, why)
                    self._supervisor.spawn(self._ask_until_known(work, leg, order), f"asking about {order.client_id}")

    async def _ask_until_known(self, work: Work, leg: TradeLeg, order: Order) -> None:
        while work.order(leg, order.client_id).status is OrderStatus.UNKNOWN and not self._too_late(work):
            await self._check_order_status(work, leg, work.order(leg, order.client_id))
            await asyncio.sleep(self._config.hedge_retry_s)

    def acknowledge(self, trade_id: str) -> None:
        """Take a person's word that an escalated trade was seen to; entries go on once nothing of it is unknown."""
        if trade_id not in self._escalated:
            return
        work = self._escalated[trade_id][0]
        work.seen_to = True
        self._record.note("trade.acknowledged", trade_id)
        self._forget_closed(work)

    async def _to_the_end(self, trade_id: str, steps: Coroutine[Any, Any, ExecutionResult]) -> ExecutionResult:
        task = asyncio.ensure_future(steps)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            work = self._running.get(trade_id)
            if work is None:
                task.cancel()  # still being checked: nothing was sent
            else:
                work.interrupt()
                if _only_settling(work):
                    task.cancel()  # nothing is lopsided: settlement goes on at the venue, and is read at the next start
            while not task.done():
                try:
                    await asyncio.shield(task)
                except asyncio.CancelledError:
                    continue
            if work is not None and trade_id in self._running and not task.cancelled():
                self._supervisor.spawn(self.follow(trade_id), f"settling {trade_id}")
            raise

    async def _run(self, trade: MultiLegTrade) -> ExecutionResult:
        started_at = self._clock.now()
        if reason := await self._preflight_checks(trade):
            return self.refuse(trade, reason, started_at)
        work = self._running[trade.id]
        work.started_at = started_at
        self._state(work, TradeState.RUNNING)
        return await self._held(work, self._worked)

    async def _worked(self, work: Work) -> ExecutionResult:
        await self._work[work.trade.strategy](work)
        return await self._finalize_trade(work)

    async def _held(self, work: Work, steps: Callable[[Work], Awaitable[ExecutionResult]]) -> ExecutionResult:
        """Run the steps of a trade; what nobody expected halts entries, and leaves the trade to a person."""
        try:
            return await steps(work)
        except Exception as error:  # noqa: BLE001 - supervised here, so that no trade is dropped with what it owes
            self._record.halt(f"trade {work.trade.id}: {type(error).__name__}: {error}", error)
            return self._escalate(work, f"{type(error).__name__}: {error}")

    async def _preflight_checks(self, trade: MultiLegTrade) -> str:
        """Return why a trade may not start, or reserve for it, write down its plan and return nothing."""
        if reason := self.halted or self._misfit(trade):
            return reason
        free = await self._free_cash(trade)
        if isinstance(free, str):
            return free
        views, basket, terms = self._views(trade), trade.opportunity.basket, self._terms
        if reason := str(self.halted) or unhealthy(views):  # again: answers were waited for
            return reason
        quote = basket_quote(views, basket, trade.size)
        if quote is None:
            return "the books no longer hold the size"
        if not quote.earns(terms.min_edge, terms.gross):
            have = quote.judged(terms.gross) / trade.size
            return f"edge {have:.6f} per share is below min_edge {terms.min_edge / MICRO:g}"
        caps = market_caps(trade, [view.grid for view in views], terms)
        if not all(0 < cap < MICRO for cap in caps):
            return "a leg has no price on its grid within its cap"
        costs = worst_costs(trade, views, caps)
        if refusal := self._risk.check(trade, costs, free, now=self._clock.now()):
            return str(refusal)
        try:
            now = self._record.intend("trade.planned", trade.id, **_plan(trade), caps=tuple(caps), costs=tuple(costs))
        except (ArbkitError, OSError) as error:
            return f"the journal does not take the plan: {error}"
        self._risk.reserve(trade, costs, now)
        self._running[trade.id] = Work(trade, caps, now, terms.hedge_ns)
        return ""

    def _misfit(self, trade: MultiLegTrade) -> str:
        """Return what is wrong with the trade itself, or which venue is missing."""
        if trade.id in self._running or trade.id in self._escalated:
            return f"trade {trade.id} is running already"
        missing = [leg.book.venue for leg in trade.legs if leg.book.venue not in self._venues]
        return f"no venue is called {missing[0]!r}" if missing else misshapen(trade)

    async def _free_cash(self, trade: MultiLegTrade) -> dict[str, Cash] | str:
        names = list(dict.fromkeys(leg.book.venue for leg in trade.legs))
        free: dict[str, Cash] = {}
        try:
            async with asyncio.timeout(self._patience_s):
                for name in names:
                    if reason := await self._turn(name, reducing=False):
                        return reason
                    free[name] = await self._venues[name].balance()
        except AccessDenied as no:
            self._record.halt(f"{names[len(free)]} denies access: {no}")
            return self.halted
        except (VenueError, TimeoutError) as error:
            return f"free cash at {names[len(free)]} is unknown: {str(error) or 'no answer in time'}"
        return free

    # -- the strategies ------------------------------------------------------------------------------------------

    async def _execute_market(self, work: Work) -> None:
        """Take every leg at once, up to its cap."""
        legs = zip(work.trade.legs, work.caps, strict=True)
        await self._together(work, [self._take(work, leg, cap, leg.size) for leg, cap in legs])

    async def _execute_limit(self, work: Work) -> None:
        """Rest every leg until all are filled or the time is up."""
        await self._rest(work, min(self._config.limit_timeout_s, self._config.hedge_timeout_s), first_fill_ends=False)

    async def _execute_hybrid(self, work: Work) -> None:
        """Rest until something fills or patience ends, then cross for what is missing as far as the edge allows."""
        await self._rest(work, self._config.hybrid_patience_s, first_fill_ends=True)
        if work.interrupted or work.unresolved() or is_complete(work.trade) or self._too_late(work):
            return
        if reason := unhealthy(self._views(work.trade)):
            work.notes.append(f"did not cross: {reason}")
            return
        n = self._crossing_size(work)
        steps = []
        for leg, cap in zip(work.trade.legs, work.caps, strict=True):
            lot = lot_of(work.trade, leg)
            missing = Size((n - leg.filled) // lot * lot)
            if missing >= min_size_of(work.trade, leg):
                steps.append(self._take(work, leg, cap, missing))
        work.reason = "" if steps else "nothing to cross for within the edge"
        await self._together(work, steps)

    def _crossing_size(self, work: Work) -> Size:
        basket = work.trade.opportunity.basket
        standing = [
            Standing(
                filled=leg.filled,
                paid=Cash(-sum(money_of(order) for order in leg.entries())),
                fee_paid=Cash(sum(fees_of_order(order) for order in leg.entries())),
                cap=cap,
                min_size=min_size_of(work.trade, leg),
                fees=view.fees,
            )
            for leg, cap, view in zip(work.trade.legs, work.caps, self._views(work.trade), strict=True)
        ]
        return crossing_size(
            standing,
            floor=basket.floor,
            min_edge=self._terms.min_edge,
            size=work.trade.size,
            lot=basket.lot,
            min_size=basket.min_size,
            gross=self._terms.gross,
        )

    async def _rest(self, work: Work, wait_s: float, *, first_fill_ends: bool) -> None:
        """Rest all legs for at most `wait_s`, then cancel what is left and hear the venues' last word."""
        trade = work.trade
        limits = resting_limits(self._views(trade), trade.opportunity.basket, trade.size, self._terms)
        if limits is None:
            work.reason = "no resting prices on the grids keep the edge"
            return
        until = asyncio.get_running_loop().time() + wait_s
        legs = zip(trade.legs, limits, strict=True)
        await self._together(work, [self._rest_leg(work, leg, limit, until, first_fill_ends) for leg, limit in legs])

    async def _rest_leg(self, work: Work, leg: TradeLeg, limit: Price, until: float, first_fill_ends: bool) -> TradeLeg:
        """Rest one leg; a leg that cannot stand ends the rests of the others, which then could only go lopsided."""
        post_only = self._terms.post_only
        order = work.new_order(leg, limit, leg.size, rests=True, post_only=post_only)
        leg = await self._submit_order(work, leg, order)
        if leg.orders[-1].status is OrderStatus.REJECTED and post_only and not work.rests_over:
            view = self._feed.view(leg.book)
            again = repriced(view, limit, self._terms) if view.health is Health.OK else None
            if again is not None:
                order = work.new_order(leg, again, leg.size, rests=True, post_only=True)
                leg = await self._submit_order(work, leg, order)
        status = leg.orders[-1].status
        if status is OrderStatus.REJECTED:
            work.reason = f"leg {leg.index} {leg.book.name}: {leg.orders[-1].reason}"
        if status in (OrderStatus.REJECTED, OrderStatus.UNKNOWN) or (first_fill_ends and leg.filled):
            work.end_rests()
        if status in RESTING:
            await self._stand(work, leg, until, first_fill_ends)
        return await self._settle(work, leg.index)

    # -- the end -------------------------------------------------------------------------------------------------

    async def _finalize_trade(self, work: Work) -> ExecutionResult:
        """Commit what is whole, undo what is lopsided, close what never filled, wait for what can be taken back."""
        # What a failed coroutine left behind; what is UNKNOWN was asked about until T_hedge ended.
        left = [leg.index for leg, order in work.unresolved() if order.status is not OrderStatus.UNKNOWN]
        if left:
            await self._together(work, [self._settle(work, index) for index in dict.fromkeys(left)])
        work.entries_done_at = work.entries_done_at or self._clock.now()
        if work.unresolved():
            return self._escalate(work, self._unknown_orders(work))
        if not is_even(work.trade) and (why := await self._rollback_trade(work)):
            return self._escalate(work, why)
        return self._commit_trade(work)

    def _commit_trade(self, work: Work) -> ExecutionResult:
        """Close a trade whose legs are even: for good when every fill is settled, provisionally before.

        Completed and reduced are decided on entry orders alone; untouched is missed, nothing filled and nothing owed.
        """
        trade, settled = work.trade, work.trade.is_settled
        undone = any(o.filled for leg in trade.legs for o in leg.orders if o.purpose is not Purpose.ENTRY)
        if trade.is_untouched:
            work.reason = work.reason or "nothing was filled"
            outcome, state = Outcome.MISSED, TradeState.ROLLED_BACK
        elif undone:
            outcome, state = Outcome.UNWOUND, TradeState.ROLLED_BACK
        else:
            outcome, state = Outcome.COMPLETED if is_complete(trade) else Outcome.REDUCED, TradeState.COMMITTED
        if (not undone and not trade.is_untouched) or not settled:
            self._state(work, TradeState.PROVISIONAL)
        return self._close(work, outcome, state) if settled else self._result(work, outcome)

    async def _settled(self, work: Work) -> ExecutionResult:
        """Ask about fills that can still be taken back until none is left; what a void leaves uneven is dealt with."""
        since, told, pause = self._clock.now(), False, self._config.hedge_retry_s
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._config.hedge_timeout_s / 4)
            await self._ask_unsettled(work)
            if work.imbalance_at is not None or not work.unsettled():
                result = await self._finalize_trade(work)
                if result.trade.state is not TradeState.PROVISIONAL:
                    return result
            if not told and self._clock.now() - since > self._alarm_ns:
                told = True
                names = ", ".join(order.client_id for _, order in work.unsettled())
                self._record.alert(f"trade {work.trade.id} is not settled yet", f"fills of {names} are provisional")

    async def _rollback_trade(self, work: Work) -> str:
        """Complete, trim or exit until the legs are even; past T_hedge or the loss bound return why they are not."""
        barred: tuple[Purpose, ...] = ()
        why = "no book allowed an undo within the loss bound"
        while not self._too_late(work):
            if not targets(work.trade):
                return "what is left is below the venues' smallest orders"
            plan = choose(work.trade, self._views(work.trade), self._terms, barred)
            barred = ()
            if plan is not None:
                before = work.trade
                await self._send_undo(work, plan)
                if [leg.held for leg in work.trade.legs] != [leg.held for leg in before.legs]:
                    work.undo = plan.kind.value
                if work.unresolved():
                    return self._unknown_orders(work)
                if is_even(work.trade):
                    return ""
                if any(work.leg(order.leg).orders[-1].status is OrderStatus.REJECTED for order in plan.orders):
                    barred = (plan.kind,)
                why = "the venues did not fill an undo in time"
            if self._too_late(work, self._retry_ns):
                break
            await asyncio.sleep(self._config.hedge_retry_s)
            await self._ask_unsettled(work)  # what is settled meanwhile may be sold, what is voided needs no undoing
            if is_even(work.trade):
                return ""
        return why

    async def _ask_unsettled(self, work: Work) -> None:
        for leg, order in work.unsettled():
            await self._check_order_status(work, leg, order)

    async def _send_undo(self, work: Work, plan: Plan) -> None:
        """Send all orders of one undo at once."""
        self._state(work, TradeState.HEDGING if plan.kind is Purpose.COMPLETE else TradeState.UNWINDING)
        self._record.note(
            "trade.undo",
            work.trade.id,
            kind=plan.kind,
            target=plan.target,
            pnl=plan.pnl,
            orders=tuple((order.leg, int(order.side), order.size, order.limit) for order in plan.orders),
        )
        steps = []
        for order in plan.orders:
            leg = work.leg(order.leg)
            send = self._exit_leg if order.side is Side.SELL else self._take
            steps.append(send(work, leg, order.limit, order.size, plan.kind))
        await self._together(work, steps)

    async def _exit_leg(
        self, work: Work, leg: TradeLeg, limit: Price, size: Size, purpose: Purpose = Purpose.EXIT
    ) -> TradeLeg:
        """Sell shares of a leg, never more than are held and settled, and never below `limit`."""
        if size > leg.available:
            raise InvariantViolation(f"{work.trade.id} leg {leg.index}: to sell {size} of {leg.available} available")
        return await self._take(work, leg, limit, size, purpose, Side.SELL)

    def _escalate(self, work: Work, reason: str) -> ExecutionResult:
        """Stop, say so, and mark the shares outside whole baskets at the bids as received."""
        views = self._views(work.trade)
        over = excess(work.trade.legs)
        unhedged = sum(bid_value(view, size) for view, size in zip(views, over, strict=True))
        work.reason = reason
        if any(over):
            named = [f"{size / MICRO:g} {view.book.name}" for view, size in zip(views, over, strict=True) if size]
            work.notes.append(f"pnl marks unhedged shares at the received bids: {', '.join(named)}")
        log.error("trade.escalated", extra={"trade": work.trade.id, "reason": reason})
        return self._close(work, Outcome.ESCALATED, TradeState.ESCALATED, unhedged)

    def _result(self, work: Work, outcome: Outcome, unhedged: int = 0) -> ExecutionResult:
        return closed(
            work.trade,
            outcome,
            started_at=work.started_at,
            entries_done_at=work.entries_done_at,
            finished_at=self._clock.now(),
            undo=work.undo,
            reason="" if outcome is Outcome.COMPLETED else work.reason,
            unhedged=unhedged,
            notes=work.notes,
        )

    def _close(self, work: Work, outcome: Outcome, state: TradeState, unhedged: int = 0) -> ExecutionResult:
        self._state(work, state)
        result = self._result(work, outcome, unhedged)
        self._record.note(
            "trade.done",
            work.trade.id,
            outcome=outcome,
            undo=result.undo,
            reason=result.reason,
            started_at=result.started_at,
            entries_done_at=result.entries_done_at,
            held=tuple(leg.held for leg in work.trade.legs),
            cash=result.cash,
            fees=result.fees,
            unwind_cost=result.unwind_cost,
            pnl=result.pnl,
        )
        self._risk.finish(result)
        self._running.pop(work.trade.id, None)
        if self._on_done is not None and work.trade.id not in self._escalated:  # of those it was told
            self._on_done(result)
        if outcome is Outcome.ESCALATED:
            self._escalated[work.trade.id] = (work, result)
            self._forget_closed(work)
            if work.trade.id in self._escalated and (work.unresolved() or work.unsettled()):
                self._supervisor.spawn(self._resolve(work), f"resolving {work.trade.id}")
        log.info("trade.done", extra={"trade": work.trade.id, "outcome": outcome.value})
        return result

    def _forget_closed(self, work: Work) -> None:
        """Forget an escalated trade that was seen to and of which nothing can change any more."""
        if work.seen_to and not work.unresolved() and not work.unsettled():
            self._escalated.pop(work.trade.id, None)
            self._risk.acknowledge(work.trade.id)

    # -- after the end -------------------------------------------------------------------------------------------

    async def _resolve(self, work: Work) -> None:
        """Hear out what an escalated trade left open, for as long as it takes, and account for it anew."""
        began, told, pause = self._clock.now(), False, self._config.hedge_retry_s
        while work.unresolved() or work.unsettled():
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._config.reconcile_s)
            for leg, order in (*work.unresolved(), *work.unsettled()):
                await self._check_order_status(work, leg, order)
                newest = work.order(leg, order.client_id)
                if not newest.is_final:
                    await self._cancel_order(work, leg, newest)
            if not told and self._clock.now() - began > self._alarm_ns:
                told = True
                self._record.alert(f"trade {work.trade.id} has no last word", self._unknown_orders(work))
        self._escalate(work, work.reason)

    async def _resumed(self, work: Work) -> ExecutionResult:
        legs = [leg.index for leg, order in work.unresolved()]
        await self._together(work, [self._settle(work, index) for index in dict.fromkeys(legs)])
        return await self._finalize_trade(work)

    def restore_escalated(self, found: OpenTrade, trade: MultiLegTrade, sent_at: Mapping[str, int]) -> None:
        """Take over a trade that escalated in another process, and go on hearing it out."""
        assert found.done is not None
        work = self._restored(found, trade, sent_at)
        work.seen_to = found.seen_to
        self._escalated[trade.id] = (work, found.done)
        self._supervisor.spawn(self._resolve(work), f"resolving {trade.id}")

    def _restored(self, found: OpenTrade, trade: MultiLegTrade, sent_at: Mapping[str, int]) -> Work:
        """Return the work on a trade as its journal left it; what had no last word is unknown, and nothing is entered."""
        now = self._clock.now()
        work = Work(trade, found.caps, found.planned_at, self._terms.hedge_ns)
        work.undo, work.reason = found.undo, "interrupted"
        if found.done is not None:
            work.undo, work.reason = found.done.undo, found.done.reason
            work.entries_done_at = found.done.entries_done_at
        work.interrupt()
        for leg in trade.legs:
            work.put(leg, now)
            for order in leg.orders:
                last = sent_at.get(order.client_id, now)
                heard = bool(order.fills) or order.status not in (OrderStatus.INTENT, OrderStatus.SUBMITTED)
                sending = Sending(found.planned_at, last, attempts=1, unanswered=1)
                sending.acknowledged = heard and order.status is not OrderStatus.UNKNOWN
                work.sendings[order.client_id] = sending
                if not order.is_final:
                    self._unknown(work, leg, order, "the process that sent it ended")
        self._risk.track(work.trade)
        return work

    @property
    def _alarm_ns(self) -> int:
        return round(self._config.resolve_alarm_s * NS_PER_S)

    # -- books and the record ------------------------------------------------------------------------------------

    def _views(self, trade: MultiLegTrade) -> list[BookView]:
        return [self._feed.view(leg.book) for leg in trade.legs]

    @staticmethod
    def _unknown_orders(work: Work) -> str:
        return f"unknown: {', '.join(order.client_id for _, order in work.unresolved())}"

    def _state(self, work: Work, state: TradeState) -> None:
        if work.trade.state is not state:
            work.trade = work.trade.in_state(state)
            self._record.note("trade.state", work.trade.id, state=state)


def _only_settling(work: Work) -> bool:
    """Tell whether a trade is even, and waits for nothing but its venues to settle it."""
    return work.trade.state is TradeState.PROVISIONAL and work.imbalance_at is None


def _plan(trade: MultiLegTrade) -> dict[str, object]:
    """Return what a trade is about, as it is written down."""
    opportunity, basket = trade.opportunity, trade.opportunity.basket
    return {
        "strategy": trade.strategy,
        "opportunity": opportunity.id,
        "detected_at": opportunity.detected_at,
        "size": opportunity.size,
        "edge": opportunity.edge,
        "edge_gross": opportunity.edge_gross,
        "exact": opportunity.exact,
        "basket": (basket.id, basket.kind, basket.event, basket.floor, basket.min_size, basket.lot),
        "legs": tuple((leg.book.name, leg.decision_cost, leg.worst, leg.exact) for leg in trade.legs),
    }
