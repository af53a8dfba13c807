"""How a trade ends: committed, undone, escalated; settled or taken back; and heard out for as long as that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import InvariantViolation
from arbkit.core.model import (
    ExecutionResult,
    Health,
    MultiLegTrade,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TradeLeg,
    TradeState,
)
from arbkit.core.ports import BookFeed, BookView, Clock, Venue
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size
from arbkit.execution.accounting import closed, is_complete, is_even
from arbkit.execution.orders import OrderDesk
from arbkit.execution.record import Record
from arbkit.execution.rollback import MergeGain, Plan, bid_value, choose, excess, no_merge, targets
from arbkit.execution.supervisor import Supervisor
from arbkit.execution.work import Sending, Work
from arbkit.journal.fold import State
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

log = logging.getLogger(__name__)


class TradeDesk(OrderDesk):
    """Brings trades to their end. `running` and `escalated` are those that are not over; `on_done` hears of each end once."""

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        risk: RiskManager,
        config: ExecutionConfig,
        clock: Clock,
        record: Record,
        ledger: Ledger,
        supervisor: Supervisor,
        on_done: Callable[[ExecutionResult], object] | None = None,
        merge_gain: MergeGain = no_merge,
    ) -> None:
        super().__init__(venues, feed, risk, config, clock, record, ledger)
        self._merge_gain = merge_gain
        self._supervisor = supervisor
        self._on_done = on_done
        self._escalated: dict[str, tuple[Work, ExecutionResult]] = {}
        self._heard_out: list[str] = []  # escalated trades that are to be accounted for anew when nothing is open

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
        made = (Purpose.ENTRY, Purpose.SPLIT)
        untouched = trade.is_untouched
        undone = any([o.filled for leg in trade.legs for o in leg.orders if o.purpose not in made])  # noqa: C419 - faster
        undone = undone or not (untouched or any(leg.filled for leg in trade.legs))  # split, and nothing sold
        if untouched:
            work.reason = work.reason or "nothing was filled"
            outcome, state = Outcome.MISSED, TradeState.ROLLED_BACK
        elif undone:
            outcome, state = Outcome.UNWOUND, TradeState.ROLLED_BACK
        else:
            outcome, state = Outcome.COMPLETED if is_complete(trade) else Outcome.REDUCED, TradeState.COMMITTED
        if (not undone and not untouched) or not settled:
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
            plan = self._plan_undo(work, barred)
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

    def _plan_undo(self, work: Work, barred: tuple[Purpose, ...]) -> Plan | None:
        try:
            views = self._views(work.trade)
        except Exception as error:  # noqa: BLE001 - a feed that fails prices nothing now, and may do so later
            self._record.halt(f"a book cannot be read: {type(error).__name__}: {error}", error)
            return None
        denied = [leg.index for leg in work.trade.legs if self._is_denied(leg.book.venue)]
        return choose(work.trade, views, self._terms, barred, denied, self._merge_gain)

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
        work.reason = reason
        over = [(leg, size) for leg, size in zip(work.trade.legs, excess(work.trade.legs), strict=True) if size]
        unhedged = self._marked(work, over)
        if over:
            named = ", ".join(f"{size / MICRO:g} {leg.book.name}" for leg, size in over)
            work.notes.append(f"pnl marks unhedged shares at the received bids: {named}")
        log.error("trade.escalated", extra={"trade": work.trade.id, "reason": reason})
        return self._close(work, Outcome.ESCALATED, TradeState.ESCALATED, unhedged)

    def _marked(self, work: Work, over: list[tuple[TradeLeg, Size]]) -> int:
        """Return what shares outside whole baskets would bring; what was said of the same ones stays while a book is unread."""
        _, before = self._escalated.get(work.trade.id, (work, None))
        if before is not None and [leg.held for leg in before.trade.legs] == [leg.held for leg in work.trade.legs]:
            try:
                read = all(self._feed.view(leg.book).health is Health.OK for leg, _ in over)
            except Exception:  # noqa: BLE001 - see below
                read = False
            if not read:
                return before.pnl - self._result(work, Outcome.ESCALATED).pnl
        return sum(self._bid_value(leg, size) for leg, size in over)

    def _bid_value(self, leg: TradeLeg, size: Size) -> Cash:
        """Return what shares would bring now; nothing where the book cannot be read: an end must not fail for that."""
        try:
            return bid_value(self._feed.view(leg.book), size)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("trade.unmarked", extra={"book": leg.book.name, "error": str(error)})
            return Cash(0)

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
        if work.trade.id not in self._escalated:  # of those it was told
            self._tell(result)
        if outcome is Outcome.ESCALATED:
            self._escalated[work.trade.id] = (work, result)
            self._forget_closed(work)
            if work.trade.id in self._escalated and (work.unresolved() or work.unsettled()):
                self._hear_out(work)
        log.info("trade.done", extra={"trade": work.trade.id, "outcome": outcome.value})
        return result

    def _tell(self, result: ExecutionResult) -> None:
        """Tell whoever listens how a trade ended; what fails there halts entries, and the trade is over all the same."""
        if self._on_done is None:
            return
        try:
            self._on_done(result)
        except Exception as error:  # noqa: BLE001 - the end is on record: a second one would contradict it
            self._record.halt(f"telling how {result.trade.id} ended: {type(error).__name__}: {error}", error)

    def _forget_closed(self, work: Work) -> None:
        """Forget an escalated trade that was seen to and of which nothing can change any more."""
        if work.seen_to and not work.unresolved() and not work.unsettled():
            self._escalated.pop(work.trade.id, None)
            self._risk.acknowledge(work.trade.id)

    # -- after the end -------------------------------------------------------------------------------------------

    def _hear_out(self, work: Work) -> None:
        if work.trade.id not in self._heard_out:
            self._heard_out.append(work.trade.id)
        self._supervisor.insist(partial(self._resolve, work), self._config.reconcile_s, f"resolving {work.trade.id}")

    async def _resolve(self, work: Work) -> None:
        """Hear out what an escalated trade left open, for as long as it takes, and account for it anew."""
        began, told, pause = self._clock.now(), False, self._config.hedge_retry_s
        name = work.trade.id
        while name in self._escalated and (work.unresolved() or work.unsettled()):
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._config.reconcile_s)
            for leg, order in {o.client_id: (leg, o) for leg, o in (*work.unresolved(), *work.unsettled())}.values():
                if self._is_denied(order.venue):
                    continue
                await self._check_order_status(work, leg, order)
                newest = work.order(leg, order.client_id)
                if not newest.is_final:
                    await self._cancel_order(work, leg, newest)
            if not told and self._clock.now() - began > self._alarm_ns:
                told = True
                self._record.alert(f"trade {name} has no last word", self._unknown_orders(work))
        if name in self._escalated and name in self._heard_out:
            self._heard_out.remove(name)
            self._escalate(work, work.reason)

    async def _resumed(self, work: Work) -> ExecutionResult:
        legs = [leg.index for leg, order in work.unresolved()]
        await self._together(work, [self._settle(work, index) for index in dict.fromkeys(legs)])
        await self._ask_unsettled(work)  # what failed meanwhile is not undone for
        return await self._finalize_trade(work)

    def restore_escalated(self, left: State, name: str, sent_at: Mapping[str, int]) -> None:
        """Take over a trade that escalated in another process, and go on hearing it out."""
        found = left.trades[name]
        assert found.done is not None
        work = self._restored(left, name, sent_at)
        work.seen_to = found.seen_to
        self._escalated[name] = (work, found.done)
        self._hear_out(work)

    def _restored(self, left: State, name: str, sent_at: Mapping[str, int]) -> Work:
        """Return the work on a trade as its journal left it; what had no last word is unknown, and nothing is entered.

        `sent_at` (ns) is the last time that each order may have been sent.
        """
        now, found, trade = self._clock.now(), left.trades[name], left.trade(name)
        work = Work(trade, found.caps, found.planned_at, self._terms.hedge_ns, found.costs)
        work.undo, work.reason = found.undo, "interrupted"
        if found.done is not None:
            work.undo, work.reason = found.done.undo, found.done.reason
            work.entries_done_at = found.done.entries_done_at
        work.interrupt()
        for leg in trade.legs:
            work.put(leg, now)
            for order in leg.orders:
                sending = Sending(found.planned_at, sent_at[order.client_id], attempts=1, unanswered=1)
                sending.acknowledged = order.client_id in left.heard
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


def only_settling(work: Work) -> bool:
    """Tell whether a trade is even, and waits for nothing but its venues to settle it."""
    return work.trade.state is TradeState.PROVISIONAL and work.imbalance_at is None
