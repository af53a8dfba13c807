"""The executor: takes a trade from intent to outcome over whatever venues stand behind the ports.

No venue is atomic across orders. "Atomic" is this protocol: plan, submit all legs at once, reconcile on the venues'
word, commit what is even, undo what is lopsided, escalate what cannot be undone in time and within the loss bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, InvariantViolation, VenueError
from arbkit.core.model import (
    ExecutionResult,
    ExecutionStrategy,
    Health,
    MultiLegTrade,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TradeLeg,
    TradeState,
)
from arbkit.core.ports import BookFeed, BookView, Clock, Journal, Venue
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.detection.sizing import basket_quote
from arbkit.execution.accounting import closed, fees_of_order, is_complete, is_even, lot_of, min_size_of, money_of
from arbkit.execution.accounting import refused as refused_result
from arbkit.execution.hybrid import Standing, crossing_size
from arbkit.execution.limit import repriced, resting_limits
from arbkit.execution.market import caps as market_caps
from arbkit.execution.market import worst_costs
from arbkit.execution.orders import RESTING, OrderDesk
from arbkit.execution.planning import misshapen, unhealthy
from arbkit.execution.rollback import Plan, bid_value, choose, excess, targets
from arbkit.execution.work import Work
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
    ) -> None:
        super().__init__(venues, feed, config, clock or LoopClock(), journal)
        self._risk = risk
        self._running: dict[str, Work] = {}
        self._work = {
            ExecutionStrategy.MARKET: self._execute_market,
            ExecutionStrategy.LIMIT: self._execute_limit,
            ExecutionStrategy.HYBRID: self._execute_hybrid,
        }

    # -- the whole trade -----------------------------------------------------------------------------------------

    async def execute(self, trade: MultiLegTrade) -> ExecutionResult:
        """Work a decided trade to its outcome.

        Cancelled from outside it stops resting, enters nothing more, finishes or escalates what is lopsided within
        T_hedge, and only then is cancelled.
        """
        task = asyncio.ensure_future(self._run(trade))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            work = self._running.get(trade.id)
            if work is None:
                task.cancel()  # still being checked: nothing was sent
            else:
                work.interrupted = True
                work.end_rests()
            while not task.done():
                try:
                    await asyncio.shield(task)
                except asyncio.CancelledError:
                    continue
            raise

    async def _run(self, trade: MultiLegTrade) -> ExecutionResult:
        started_at = self._clock.now()
        if reason := await self._preflight_checks(trade):
            self._record("trade.refused", trade.id, reason=reason)
            return refused_result(trade, reason, started_at)
        work = self._running[trade.id]
        work.started_at = started_at
        try:
            self._state(work, TradeState.RUNNING)
            await self._work[trade.strategy](work)
            return await self._finalize_trade(work)
        finally:
            del self._running[trade.id]

    async def _preflight_checks(self, trade: MultiLegTrade) -> str:
        """Return why a trade may not start, or reserve for it, write down its plan and return nothing."""
        if reason := self.halted or self._risk.halted or self._misfit(trade):
            return reason
        free = await self._free_cash(trade)
        if isinstance(free, str):
            return free
        views, basket, terms = self._views(trade), trade.opportunity.basket, self._terms
        if reason := unhealthy(views):
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
        if refusal := self._risk.check(trade, costs, free):
            return str(refusal)
        try:
            self._plan(trade, caps)
        except (ArbkitError, OSError) as error:
            return f"the journal does not take the plan: {error}"
        self._risk.reserve(trade, costs)
        self._running[trade.id] = Work(trade, caps, self._clock.now(), terms.hedge_ns)
        return ""

    def _misfit(self, trade: MultiLegTrade) -> str:
        """Return what is wrong with the trade itself, or which venue is missing."""
        if trade.id in self._running:
            return f"trade {trade.id} is running already"
        missing = [leg.book.venue for leg in trade.legs if leg.book.venue not in self._venues]
        return f"no venue is called {missing[0]!r}" if missing else misshapen(trade)

    async def _free_cash(self, trade: MultiLegTrade) -> dict[str, Cash] | str:
        names = list(dict.fromkeys(leg.book.venue for leg in trade.legs))
        free: dict[str, Cash] = {}
        try:
            async with asyncio.timeout(self._patience_s):
                for name in names:
                    free[name] = await self._venues[name].balance()
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
        """Commit what is whole, undo what is lopsided, close what never filled."""
        # What a failed coroutine left behind; what is UNKNOWN was asked about until T_hedge ended.
        left = [leg.index for leg, order in work.unresolved() if order.status is not OrderStatus.UNKNOWN]
        if left:
            await self._together(work, [self._settle(work, index) for index in dict.fromkeys(left)])
        work.entries_done_at = self._clock.now()
        if work.unresolved():
            return self._escalate(work, self._unknown_orders(work))
        if work.trade.is_untouched:  # nothing filled, nothing owed: missed, not committed
            work.reason = work.reason or "nothing was filled"
            return self._close(work, Outcome.MISSED, TradeState.ROLLED_BACK)
        if is_even(work.trade):  # every leg holds the same size
            return self._commit_trade(work)
        return await self._rollback_trade(work)

    def _commit_trade(self, work: Work) -> ExecutionResult:
        """Close a trade that entry orders alone made even: completed at full size, reduced below it."""
        self._state(work, TradeState.PROVISIONAL)
        whole = is_complete(work.trade)
        return self._close(work, Outcome.COMPLETED if whole else Outcome.REDUCED, TradeState.COMMITTED)

    async def _rollback_trade(self, work: Work) -> ExecutionResult:
        """Complete, trim or exit until the legs are even; past T_hedge or the loss bound stop and escalate."""
        barred: tuple[Purpose, ...] = ()
        why = "no book allowed an undo within the loss bound"
        while not self._too_late(work):
            if not targets(work.trade):
                return self._escalate(work, "what is left is below the venues' smallest orders")
            plan = choose(work.trade, self._views(work.trade), self._terms, barred)
            barred = ()
            if plan is not None:
                before = work.trade
                await self._send_undo(work, plan)
                if work.unresolved():
                    return self._escalate(work, self._unknown_orders(work))
                if [leg.held for leg in work.trade.legs] != [leg.held for leg in before.legs]:
                    work.undo = plan.kind.value
                if is_even(work.trade):
                    return self._close(work, Outcome.UNWOUND, TradeState.ROLLED_BACK)
                if any(work.leg(order.leg).orders[-1].status is OrderStatus.REJECTED for order in plan.orders):
                    barred = (plan.kind,)
                why = "the venues did not fill an undo in time"
            if self._too_late(work, self._retry_ns):
                break
            await asyncio.sleep(self._config.hedge_retry_s)
        return self._escalate(work, why)

    async def _send_undo(self, work: Work, plan: Plan) -> None:
        """Send all orders of one undo at once."""
        self._state(work, TradeState.HEDGING if plan.kind is Purpose.COMPLETE else TradeState.UNWINDING)
        self._record(
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
        """Sell shares of a leg, never more than it holds and never below `limit`."""
        if size > leg.held:
            raise InvariantViolation(f"{work.trade.id} leg {leg.index}: to sell {size} of {leg.held} held")
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

    def _close(self, work: Work, outcome: Outcome, state: TradeState, unhedged: int = 0) -> ExecutionResult:
        self._state(work, state)
        result = closed(
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
        self._record(
            "trade.done",
            work.trade.id,
            outcome=outcome,
            undo=result.undo,
            reason=result.reason,
            held=tuple(leg.held for leg in work.trade.legs),
            cash=result.cash,
            fees=result.fees,
            unwind_cost=result.unwind_cost,
            pnl=result.pnl,
        )
        self._risk.finish(result)
        log.info("trade.done", extra={"trade": work.trade.id, "outcome": outcome.value})
        return result

    # -- books and the record ------------------------------------------------------------------------------------

    def _views(self, trade: MultiLegTrade) -> list[BookView]:
        return [self._feed.view(leg.book) for leg in trade.legs]

    @staticmethod
    def _unknown_orders(work: Work) -> str:
        return f"unknown: {', '.join(order.client_id for _, order in work.unresolved())}"

    def _plan(self, trade: MultiLegTrade, caps: Sequence[Price]) -> None:
        self._intend(
            "trade.planned",
            trade.id,
            strategy=trade.strategy,
            opportunity=trade.opportunity.id,
            basket=trade.opportunity.basket.id,
            size=trade.size,
            legs=tuple((leg.book.name, leg.decision_cost, leg.worst) for leg in trade.legs),
            caps=tuple(caps),
        )

    def _state(self, work: Work, state: TradeState) -> None:
        if work.trade.state is not state:
            work.trade = work.trade.in_state(state)
            self._record("trade.state", work.trade.id, state=state)
