"""The executor: takes a trade from intent to outcome over whatever venues stand behind the ports.

No venue is atomic across orders. "Atomic" is this protocol: plan, submit all legs at once, reconcile on the venues'
word, commit what is even, undo what is lopsided, escalate what cannot be undone in time and within the loss bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import AccessDenied, ArbkitError, VenueError
from arbkit.core.model import (
    ExecutionResult,
    ExecutionStrategy,
    Health,
    MultiLegTrade,
    Order,
    OrderStatus,
    TradeLeg,
    TradeState,
)
from arbkit.core.ports import BookFeed, Clock, Journal, Venue
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size
from arbkit.detection.sizing import basket_quote
from arbkit.execution.accounting import fees_of_order, is_complete, is_even, lot_of, min_size_of, money_of
from arbkit.execution.accounting import refused as refused_result
from arbkit.execution.answer import answer, side_by_side, unless_cancelled
from arbkit.execution.hybrid import Standing, crossing_size
from arbkit.execution.limit import repriced, resting_limits
from arbkit.execution.market import caps as market_caps
from arbkit.execution.market import worst_costs
from arbkit.execution.orders import RESTING
from arbkit.execution.planning import misshapen, unhealthy
from arbkit.execution.record import Record
from arbkit.execution.rollback import MergeGain, excess, no_merge
from arbkit.execution.supervisor import Supervisor
from arbkit.execution.trade_desk import TradeDesk, only_settling
from arbkit.execution.work import Work
from arbkit.journal.fold import State
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

KEPT = 1_000  # ids of the last trades, of which none is worked twice; the engine itself never gives one again
REPEAT_NS = 3_600 * NS_PER_S  # how often a basket's refusals for one and the same reason are written down


class ParallelExecutor(TradeDesk):
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
        merge_gain: MergeGain = no_merge,
    ) -> None:
        clock = clock or LoopClock()
        record = record or Record(journal, clock)
        ledger = Ledger() if ledger is None else ledger
        supervisor = Supervisor(record) if supervisor is None else supervisor
        super().__init__(venues, feed, risk, config, clock, record, ledger, supervisor, on_done, merge_gain)
        self._closing = ""
        self._plans = 0  # trades that began
        self._begun: dict[str, None] = {}  # the last of them by id
        self._refused: dict[str, tuple[str, int]] = {}  # by basket: why it was refused last on record, and when (ns)
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
        """Write down that a trade does not start, and why.

        Not while the journal cannot keep it, when its room is for what is owed, and not a basket's same reason again
        and again: a switch that stays thrown for a week is not a record a second.
        """
        result = refused_result(trade, reason, started_at)
        basket = trade.opportunity.basket.id
        said, since = self._refused.get(basket, ("", 0))
        if not self._record.unhealthy and (said != reason or started_at - since >= REPEAT_NS):
            self._refused[basket] = (reason, started_at)
            self._record.note("trade.refused", trade.id, **plan_of(trade), reason=reason, started_at=started_at)
        self._tell(result)
        return result

    def bug(self, doing: str, error: Exception) -> str:
        """Halt entries for an error that nobody expected, and return why."""
        self._record.halt(f"{doing}: {type(error).__name__}: {error}", error)
        return self._record.halted

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

    async def resume(self, left: State, name: str, sent_at: Mapping[str, int]) -> ExecutionResult:
        """Bring a trade that another process left behind to its end: hear its orders out, then even it or escalate.

        Nothing is entered for it. `sent_at` (ns) is the last time each of its orders may have been sent.
        """
        work = self._running[name] = self._restored(left, name, sent_at)
        return await self._to_the_end(name, self._held(work, self._resumed))

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
        return [name for name, work in self._running.items() if not only_settling(work)]

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
                    asking = partial(self._ask_until_known, work, leg, order)
                    self._supervisor.insist(asking, self._config.hedge_retry_s, f"asking about {order.client_id}")

    async def _ask_until_known(self, work: Work, leg: TradeLeg, order: Order) -> None:
        while work.order(leg, order.client_id).status is OrderStatus.UNKNOWN and not self._too_late(work):
            await self._check_order_status(work, leg, work.order(leg, order.client_id))
            await asyncio.sleep(self._config.hedge_retry_s)

    def acknowledge(self, trade_id: str) -> bool:
        """Take a person's word that an escalated trade was seen to; entries go on once nothing of it is unknown.

        Returns False when no trade of that name waits for one: it is closed, or the name is mistyped.
        """
        if trade_id not in self._escalated:
            return False
        work = self._escalated[trade_id][0]
        if trade_id in self._heard_out and not work.unresolved() and not work.unsettled():
            self._heard_out.remove(trade_id)
            self._escalate(work, work.reason)  # its last account, before it is closed
        work.seen_to = True
        self._record.note("trade.acknowledged", trade_id)
        self._forget_closed(work)
        return True

    async def _to_the_end(self, trade_id: str, steps: Coroutine[Any, Any, ExecutionResult]) -> ExecutionResult:
        task = self._supervisor.spawn(steps, f"trade {trade_id}")  # so that a stop ends it, parked on record
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            work = self._running.get(trade_id)
            if work is None:
                task.cancel()  # still being checked: nothing was sent
            else:
                work.interrupt()
                if only_settling(work):
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
        try:
            reason = await self._preflight_checks(trade)
        except Exception as error:  # noqa: BLE001 - supervised here: whatever it is, nothing was entered
            reason = self.bug(f"checking trade {trade.id}", error)
        if reason:
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
            with unless_cancelled():
                return await steps(work)
        except Exception as error:  # noqa: BLE001 - supervised here, so that no trade is dropped with what it owes
            self.bug(f"trade {work.trade.id}", error)
            return self._escalate(work, f"{type(error).__name__}: {error}")

    async def _preflight_checks(self, trade: MultiLegTrade) -> str:
        """Return why a trade may not start, or reserve for it, write down its plan and return nothing."""
        if reason := self.halted or self._record.unhealthy or self._misfit(trade):
            return reason
        plans = self._plans
        free = await self._free_cash(trade)
        if isinstance(free, str):
            return free
        if plans != self._plans:
            return "another trade began while free cash was asked for: the answers may be older than what it spends"
        views, basket, terms = self._views(trade), trade.opportunity.basket, self._terms
        if reason := self._closing or self._record.halted or self._in_doubt(trade) or unhealthy(views):
            return reason  # looked at only now, or again: answers were waited for
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
            now = self._record.intend("trade.planned", trade.id, **plan_of(trade), caps=tuple(caps), costs=tuple(costs))
        except (ArbkitError, OSError) as error:
            return f"the journal does not take the plan: {error}"
        self._risk.reserve(trade, costs, now)
        self._begin(Work(trade, caps, now, terms.hedge_ns, costs))
        return ""

    def _begin(self, work: Work) -> None:
        self._running[work.trade.id] = work
        self._plans += 1
        self._begun[work.trade.id] = None
        if len(self._begun) > KEPT:
            del self._begun[next(iter(self._begun))]

    def _misfit(self, trade: MultiLegTrade) -> str:
        """Return what is wrong with the trade itself, or which venue is missing."""
        if trade.id in self._running or trade.id in self._escalated:
            return f"trade {trade.id} is running already"
        if trade.id in self._begun:
            return f"trade {trade.id} was worked before: its orders would be the old ones, and their fills count again"
        missing = [leg.book.venue for leg in trade.legs if leg.book.venue not in self._venues]
        return f"no venue is called {missing[0]!r}" if missing else misshapen(trade)

    def _in_doubt(self, trade: MultiLegTrade) -> str:
        """Return which order of another trade is unknown on one of these markets, or nothing: none is entered beside it."""
        markets = {leg.book.market_name for leg in trade.legs}
        for work in (*self._running.values(), *[work for work, _ in self._escalated.values()]):
            for leg, order in work.unresolved():
                if order.status is OrderStatus.UNKNOWN and leg.book.market_name in markets:
                    return f"order {order.client_id} on {leg.book.name} is unknown"
        return ""

    async def _free_cash(self, trade: MultiLegTrade) -> dict[str, Cash] | str:
        """Ask every venue of a trade at once for its free cash; a text says why one of them is unknown."""
        names = list(dict.fromkeys(leg.book.venue for leg in trade.legs))
        free: dict[str, Cash] = {}
        if len(names) == 1:  # needs no task of its own
            answers: list[Cash | str | BaseException] = [await self._cash_at(names[0])]
        else:
            answers = await side_by_side([self._cash_at(name) for name in names])
        for name, found in zip(names, answers, strict=True):
            if isinstance(found, BaseException):
                raise found
            if isinstance(found, str):
                return found
            free[name] = found
        return free

    async def _cash_at(self, name: str) -> Cash | str:
        """Return a venue's free cash less what entries may cost of which it had not heard when it was asked."""
        try:
            return await answer(self._asked_for_cash(name), self._patience_s)
        except AccessDenied as no:
            self._deny(name, no)
            return self.halted
        except (VenueError, TimeoutError) as error:
            return f"free cash at {name} is unknown: {str(error) or 'no answer in time'}"

    async def _asked_for_cash(self, name: str) -> Cash | str:
        if reason := self._no_turn(name):
            return reason
        on_the_way = sum(work.on_the_way(name) for work in self._running.values())
        return Cash(await self._venues[name].balance() - on_the_way)

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
        if reason := self.halted or unhealthy(self._views(work.trade)):
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


def plan_of(trade: MultiLegTrade) -> dict[str, object]:
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
