"""One order between its intent and the venue's last word, whatever the venue does with it."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from arbkit.backtest.mock_platform import Answer, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import VenueUnavailable
from arbkit.core.model import (
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    MultiLegTrade,
    Order,
    OrderReport,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TimeInForce,
)
from arbkit.core.units import NS_PER_S, Cash, Price, Size, cash
from arbkit.execution.orders import meet
from arbkit.execution.work import Work
from tests.builders import replace
from tests.rig import NO_B, YES_A, Rig, a_market, held, virtual

BUSY = [Answer(reject="paused")] * 200


def seconds(result: ExecutionResult) -> float:
    return (result.finished_at - result.started_at) / NS_PER_S


def statuses(result: ExecutionResult, leg: int) -> list[str]:
    return [order.status.value for order in result.trade.legs[leg].orders]


LOST = [Answer(lost="request")] * 200


def test_fault_V1_a_lost_submit_is_unknown_looked_up_and_sent_again_under_its_key() -> None:
    rig = Rig()
    rig.beta.script(NO_B, Answer(lost="request"))
    result = rig.run("MARKET")
    assert result.outcome is Outcome.COMPLETED
    assert words(rig, "t.1.entry.0") == ["unknown"]
    assert rig.facts("order.sent").count("t.1.entry.0") == 2
    assert rig.facts("order.intent").count("t.1.entry.0") == 1
    assert list(rig.beta.orders) == ["t.1.entry.0"]


def test_fault_V1_an_order_that_nobody_answers_for_stays_unknown_and_is_escalated() -> None:
    rig = Rig()
    rig.beta.script(NO_B, *LOST)
    result = rig.run("MARKET")
    assert result.outcome is Outcome.ESCALATED
    assert result.reason == "unknown: t.1.entry.0"
    assert statuses(result, 1) == ["unknown"]
    assert seconds(result) <= rig.config.hedge_timeout_s
    assert "100 alpha:m:yes" in result.notes[0]
    assert result.pnl == cash("-40") + cash("38")  # marked at the received bid


def test_fault_V10_an_entry_is_not_sent_again_when_its_time_is_over() -> None:
    rig = Rig()
    rig.beta.script(NO_B, *LOST)
    rig.run("MARKET")
    sent = [fact.at for fact in rig.journal.facts if fact.fact == "order.sent" and fact.key == "t.1.entry.0"]
    assert sent[-1] - sent[0] < rig.config.hedge_timeout_s * NS_PER_S


def words(rig: Rig, key: str) -> list[str]:
    """Return what was written down of an order's status, in order."""
    return [str(f.get("status")) for f in rig.journal.facts if f.fact == "order.status" and f.key == key]


def test_fault_V2_an_order_whose_answer_was_lost_is_adopted_with_its_fills() -> None:
    rig = Rig()
    rig.beta.script(NO_B, Answer(lost="answer"))
    result = rig.run("MARKET")
    assert result.outcome is Outcome.COMPLETED
    assert words(rig, "t.1.entry.0") == ["unknown"]
    assert rig.facts("order.sent").count("t.1.entry.0") == 1


def test_an_answer_that_never_comes_is_asked_for_after_patience() -> None:
    rig = Rig(config=ExecutionConfig(leg_timeout_s=1.0))
    rig.beta.script(NO_B, Answer(lost="silence", status_lost=2))
    result = rig.run("MARKET")
    assert result.outcome is Outcome.COMPLETED
    assert 1.0 <= seconds(result) < 2.0


def test_fault_V3_not_found_is_a_last_word_only_when_the_order_can_no_longer_arrive() -> None:
    rig = Rig()
    rig.beta.script(NO_B, *LOST)

    async def main() -> ExecutionResult:
        result = await rig.executor.execute(await rig.trade(ExecutionStrategy.MARKET))
        sent = [fact.at for fact in rig.journal.facts if fact.fact == "order.sent" and fact.key == "t.1.entry.0"][-1]
        assert statuses(result, 1) == ["unknown"]
        await asyncio.sleep(120)
        last = [fact for fact in rig.journal.facts if fact.fact == "order.status" and fact.key == "t.1.entry.0"][-1]
        assert last.get("status") == "rejected"
        assert last.at >= sent + rig.config.late_arrival_s * NS_PER_S
        assert rig.executor.trades()[0].legs[1].is_final
        return result

    assert virtual(main()).outcome is Outcome.ESCALATED


def test_fault_V6_a_rejected_leg_is_completed_or_undone_at_once() -> None:
    rig = Rig()
    rig.beta.script(NO_B, Answer(reject="closed"), *BUSY)
    result = rig.run("MARKET")
    assert (result.outcome, result.undo, held(result)) == (Outcome.UNWOUND, "exit", [0, 0])
    assert result.pnl == -cash("2")
    assert result.reason == "leg 1 beta:m:no: closed"
    assert seconds(result) < 1


def test_an_unavailable_venue_is_tried_once_more_under_the_same_key() -> None:
    rig = Rig()
    rig.beta.script(NO_B, Answer(unavailable=1))
    assert rig.run("MARKET").outcome is Outcome.COMPLETED
    assert rig.facts("order.sent").count("t.1.entry.0") == 2
    rig = Rig()
    rig.alpha.script(YES_A, Answer(unavailable=2))
    rig.beta.script(NO_B, Answer(unavailable=2))
    result = rig.run("MARKET")
    assert result.outcome is Outcome.MISSED
    assert "nothing was sent" in result.reason


def test_fault_V15_a_fill_that_wins_against_the_cancel_is_counted() -> None:
    rig = Rig(config=ExecutionConfig(limit_timeout_s=1.0))
    rig.alpha.script(YES_A, Answer(fill_on_cancel=100))
    rig.beta.script(NO_B, Answer(rests_fill=((0.5, 100),)))
    assert rig.run("LIMIT").outcome is Outcome.COMPLETED


def test_fault_V16_a_lost_cancel_is_asked_again_and_nothing_is_assumed() -> None:
    rig = Rig(config=ExecutionConfig(limit_timeout_s=1.0))
    rig.alpha.script(YES_A, Answer(cancel_lost=3))
    result = rig.run("LIMIT")
    assert result.outcome is Outcome.MISSED
    assert rig.facts("order.cancel").count("t.0.entry.0") == 4
    assert statuses(result, 0) == ["cancelled"]


def test_fault_V18_equal_partial_fills_are_reduced_not_undone() -> None:
    rig = Rig()
    rig.alpha.script(YES_A, Answer(fill=70))
    rig.beta.script(NO_B, Answer(fill=70))
    result = rig.run("MARKET")
    assert (result.outcome, held(result), result.undo) == (Outcome.REDUCED, [70, 70], "")


def test_fault_S5_a_delayed_match_is_waited_for() -> None:
    class Delaying:
        """Beta, with three seconds between taking an order and matching it."""

        name = "beta"

        def __init__(self, rig: Rig) -> None:
            self._beta = rig.beta
            self.balance, self.positions, self.status, self.cancel = (
                rig.beta.balance,
                rig.beta.positions,
                rig.beta.status,
                rig.beta.cancel,
            )

        async def submit(self, order: Order) -> OrderReport:
            return OrderReport(order.client_id, OrderStatus.OPEN)

        async def reports(self, order: Order) -> AsyncIterator[OrderReport]:
            await asyncio.sleep(3)
            yield await self._beta.submit(order)

    rig = Rig()
    rig.executor._venues["beta"] = Delaying(rig)
    result = rig.run("MARKET")
    assert result.outcome is Outcome.COMPLETED
    assert seconds(result) == 3


def test_a_post_only_bid_that_would_cross_is_repriced_once_and_then_missed() -> None:
    rig = Rig()
    rig.alpha.script(YES_A, Answer(reject="post-only order would cross"))
    result = rig.run("LIMIT")
    assert [order.limit for order in result.trade.legs[0].orders] == [380_000, 370_000]
    assert statuses(result, 0) == ["rejected", "cancelled"]
    rig = Rig()
    rig.alpha.script(YES_A, *[Answer(reject="post-only order would cross")] * 2)
    result = rig.run("LIMIT")
    assert result.outcome is Outcome.MISSED
    assert seconds(result) < 1  # the other leg does not wait for a basket that cannot be
    assert "would cross" in result.reason


def test_resting_ends_with_time_left_to_undo() -> None:
    rig = Rig(config=ExecutionConfig(limit_timeout_s=60.0))
    rig.alpha.script(YES_A, Answer(rests_fill=((1.0, 100),)))
    result = rig.run("LIMIT")
    assert (result.outcome, result.undo) == (Outcome.UNWOUND, "complete")
    assert seconds(result) == 6  # half of T_hedge after the first imbalance


def test_hybrid_does_not_cross_on_a_book_that_is_not_healthy() -> None:
    rig = Rig()

    async def gap() -> None:
        await asyncio.sleep(0.1)
        rig.beta.set_book(NO_B)
        rig.beta.view(rig.basket.legs[1]).health = type(rig.beta.view(rig.basket.legs[1]).health).GAPPED

    result = rig.run("HYBRID", "100", gap())
    assert result.outcome is Outcome.MISSED
    assert result.notes == ("did not cross: book beta:m:no is gapped",)


def test_fault_W7_a_lost_stream_of_reports_is_asked_after() -> None:
    rig = Rig()
    rig.alpha.script(YES_A, Answer(rests_fill=((0.6, 100),)))
    rig.beta.script(NO_B, Answer(rests_fill=((0.6, 100),)))

    async def broken(order: Order) -> AsyncIterator[OrderReport]:
        yield OrderReport(order.client_id, OrderStatus.OPEN)
        raise VenueUnavailable("the stream broke")

    rig.alpha.reports = broken  # type: ignore[method-assign]
    result = rig.run("LIMIT")
    assert result.outcome is Outcome.COMPLETED
    assert seconds(result) == 0.75  # asked every quarter of a second
    assert "t.0.entry.0" in rig.facts("order.unanswered")


def test_a_match_that_is_delayed_too_long_is_cancelled() -> None:
    rig = Rig()

    async def taken(order: Order) -> OrderReport:
        return OrderReport(order.client_id, OrderStatus.OPEN)

    async def nothing(order: Order) -> AsyncIterator[OrderReport]:
        await asyncio.sleep(60)
        yield OrderReport(order.client_id, OrderStatus.OPEN)

    async def cancelled(order: Order) -> OrderReport:
        return OrderReport(order.client_id, OrderStatus.CANCELLED)

    for platform in rig.venues.values():
        platform.submit, platform.reports, platform.cancel = taken, nothing, cancelled  # type: ignore[method-assign]
    result = rig.run("MARKET")
    assert result.outcome is Outcome.MISSED
    assert seconds(result) == 5  # half of T_hedge


def test_hybrid_with_nowhere_to_rest_crosses() -> None:
    rig = Rig(config=ExecutionConfig(improve_ticks=1))
    rig.alpha.set_book(YES_A, bids=[], asks=[("0.01", "100")])
    result = rig.run("HYBRID")
    assert result.outcome is Outcome.COMPLETED
    assert all(order.tif is TimeInForce.FAK for leg in result.trade.legs for order in leg.orders)
    rig = Rig(config=ExecutionConfig(improve_ticks=1))
    rig.alpha.set_book(YES_A, bids=[], asks=[("0.01", "100")])
    assert rig.run("LIMIT").reason == "no resting prices on the grids keep the edge"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: replace(t, legs=t.legs[:1]), "the legs are not those of the basket"),
        (lambda t: t.with_leg(replace(t.legs[0], size=Size(10**6))), "entry legs buy the same size each"),
        (lambda t: t.with_leg(replace(t.legs[0], worst=Price(0))), "a leg has no decision price"),
        (lambda t: _sized(t, 1_500_000), "size 1500000 is not a legal size"),
    ],
)
def test_a_misshapen_trade_is_refused(change: Callable[[MultiLegTrade], MultiLegTrade], reason: str) -> None:
    rig = Rig()

    async def main() -> ExecutionResult:
        return await rig.executor.execute(change(await rig.trade(ExecutionStrategy.MARKET)))

    result = virtual(main())
    assert result.outcome is Outcome.REFUSED
    assert result.reason.startswith(reason)


def _sized(trade: MultiLegTrade, size: int) -> MultiLegTrade:
    legs = tuple(replace(leg, size=Size(size)) for leg in trade.legs)
    return replace(trade, legs=legs, opportunity=replace(trade.opportunity, size=Size(size)))


def test_a_trade_at_a_venue_nobody_passed_in_is_refused() -> None:
    rig = Rig()
    del rig.executor._venues["beta"]
    assert rig.run("MARKET").reason == "no venue is called 'beta'"


def test_unknown_free_cash_refuses() -> None:
    rig = Rig()

    async def down() -> Cash:
        raise VenueUnavailable("maintenance")

    rig.beta.balance = down  # type: ignore[method-assign]
    assert rig.run("MARKET").reason == "free cash at beta is unknown: maintenance"


# -- bugs and broken words -----------------------------------------------------------------------------------------


def test_fault_P7_an_exception_in_one_leg_leaves_the_other_its_outcome_and_halts_entries() -> None:
    rig = Rig()

    async def broken(order: Order) -> OrderReport:
        raise KeyError("orderID")

    rig.beta.submit = broken  # type: ignore[method-assign]
    result = rig.run("MARKET")
    assert result.outcome is Outcome.ESCALATED
    assert held(result) == [100, 0]
    assert "KeyError" in rig.executor.halted
    assert "KeyError" in result.notes[0]
    again = virtual(rig.executor.execute(result.trade))
    assert again.outcome is Outcome.REFUSED
    assert "halted" in again.reason


def with_report(rig: Rig, *fills: tuple[int, int]) -> None:
    """Let beta answer every order with these fills, (cents, shares)."""

    async def submit(order: Order) -> OrderReport:
        told = tuple(
            Fill(f"x{n}", Price(at * 10_000), Size(shares * 10**6), Cash(0), 0, 0, False)
            for n, (at, shares) in enumerate(fills)
        )
        return OrderReport(order.client_id, OrderStatus.FILLED, told)

    rig.beta.submit = submit  # type: ignore[method-assign]


def test_fault_V20_a_fill_beyond_the_limit_is_counted_and_blocks_its_market() -> None:
    rig = Rig()
    with_report(rig, (56, 100))
    result = virtual(executed(rig))
    assert result.outcome is Outcome.COMPLETED
    assert result.pnl == cash("4")
    assert rig.facts("market.blocked") == ["beta:m"]
    assert "beyond its limit" in result.notes[0]
    rig.alpha.set_book(YES_A, asks=[("0.40", "100")])
    assert "beta:m is blocked" in virtual(executed(rig, "again")).reason


def test_fault_V20_more_filled_than_asked_is_held_all_the_same_and_trimmed() -> None:
    rig = Rig()
    with_report(rig, (55, 101))
    result = virtual(executed(rig))
    assert result.trade.legs[1].orders[0].excess == 1_000_000
    assert rig.facts("market.blocked") == ["beta:m"]
    assert result.outcome in (Outcome.UNWOUND, Outcome.ESCALATED)
    assert "more than the 100000000 asked for" in result.notes[0]


async def executed(rig: Rig, name: str = "t", strategy: str = "MARKET") -> ExecutionResult:
    return await rig.executor.execute(replace(await rig.trade(ExecutionStrategy(strategy)), id=name))


def test_fault_D1_an_intent_that_is_not_kept_is_not_sent() -> None:
    rig = Rig()
    keep = rig.journal.append

    def full(at: int, fact: str, key: str, **data: object) -> None:
        if key == "t.1.entry.0":
            raise OSError("no space left on device")
        keep(at, fact, key, **data)

    rig.journal.append = full  # type: ignore[method-assign]
    result = rig.run("MARKET")
    assert "t.1.entry.0" not in rig.beta.orders
    assert (result.outcome, result.undo) == (Outcome.UNWOUND, "complete")
    assert "no space" in rig.executor.halted


def test_a_journal_that_takes_no_plan_refuses_the_trade() -> None:
    rig = Rig()

    def full(at: int, fact: str, key: str, **data: object) -> None:
        raise OSError("no space left on device")

    rig.journal.append = full  # type: ignore[method-assign]
    result = rig.run("MARKET")
    assert result.outcome is Outcome.REFUSED
    assert not rig.alpha.orders


# -- interruption -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("filled", "outcome"), [(0, "missed"), (100, "unwound")])
def test_fault_P10_an_interrupted_trade_is_seen_to_before_it_is_cancelled(filled: int, outcome: str) -> None:
    rig = Rig()
    rig.alpha.script(YES_A, Answer(rests_fill=((0.1, filled),) if filled else ()))

    async def main() -> None:
        task = asyncio.ensure_future(rig.executor.execute(await rig.trade(ExecutionStrategy.LIMIT)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual(main())
    (done,) = [fact for fact in rig.journal.facts if fact.fact == "trade.done"]
    assert done.get("outcome") == outcome
    assert done.at < rig.journal.facts[0].at + NS_PER_S
    assert not rig.executor._running


def test_a_trade_interrupted_while_it_is_checked_sends_nothing() -> None:
    rig = Rig()

    async def slow() -> Cash:
        await asyncio.sleep(1)
        return Cash(10**12)

    rig.alpha.balance = slow  # type: ignore[method-assign]

    async def main() -> None:
        task = asyncio.ensure_future(rig.executor.execute(await rig.trade(ExecutionStrategy.MARKET)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual(main())
    assert not rig.journal.facts


def test_the_same_run_twice_writes_the_same_journal() -> None:
    digests = set()
    for _ in range(2):
        rig = Rig()
        rig.alpha.script(YES_A, Answer(rests_fill=((0.2, 30),)))
        rig.beta.script(NO_B, Answer(fill=10, delay_s=0.1))
        rig.run("HYBRID")
        digests.add(rig.journal.digest())
    assert len(digests) == 1


def an_order(outcome: str, side: Side, cents: int, market: str = "m") -> Order:
    rig = Rig(markets=(a_market("alpha"), a_market("beta"), a_market("alpha", "n")))
    name = f"alpha:{market}:{outcome}"
    return Order("k", rig.table.book(name), side, Price(cents * 10_000), Size(10**6), TimeInForce.GTC)


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        (("yes", Side.BUY, 40), ("yes", Side.SELL, 40), True),
        (("yes", Side.BUY, 40), ("yes", Side.SELL, 41), False),
        (("yes", Side.BUY, 40), ("yes", Side.BUY, 40), False),
        (("yes", Side.BUY, 40), ("no", Side.BUY, 60), True),
        (("yes", Side.BUY, 40), ("no", Side.BUY, 59), False),
        (("yes", Side.SELL, 40), ("no", Side.SELL, 60), True),
        (("yes", Side.SELL, 40), ("no", Side.SELL, 61), False),
        (("yes", Side.BUY, 40), ("no", Side.SELL, 60), False),
    ],
)
def test_orders_of_ours_meet_in_the_one_pool_of_their_market(
    one: tuple[str, Side, int], other: tuple[str, Side, int], met: bool
) -> None:
    assert meet(an_order(*one), an_order(*other)) is met
    assert meet(an_order(*other), an_order(*one)) is met
    assert not meet(an_order(*one), an_order(*other, "n"))


def test_an_entry_gives_way_to_an_order_of_another_trade_that_it_would_meet() -> None:
    rig = Rig(config=ExecutionConfig(limit_timeout_s=3.0))

    async def main() -> tuple[ExecutionResult, ExecutionResult]:
        first = asyncio.ensure_future(executed(rig, "first", "LIMIT"))
        await asyncio.sleep(1)
        no = rig.table.book("alpha:m:no")
        work = rig.executor._running["first"]
        theirs = work.leg(0).orders[0]
        other = Work(work.trade, work.caps, 0, 10**10, work.costs)
        ours = Order("x", no, Side.BUY, Price(10**6 - theirs.limit), Size(10**6), TimeInForce.FAK)
        assert "first.0.entry.0" in rig.executor._in_the_way(other, ours)
        assert not work.rests_over
        undo = replace(ours, purpose=Purpose.COMPLETE)
        assert "first.0.entry.0" in rig.executor._in_the_way(other, undo)
        assert work.rests_over
        return await first, await executed(rig, "second")

    result, second = virtual(main())
    assert result.outcome is Outcome.MISSED
    assert second.outcome is Outcome.COMPLETED


class SlowStatus(MockPlatform):
    """Takes a second for every question after an order."""

    async def status(self, order: Order) -> OrderReport:
        await asyncio.sleep(1.0)
        return await super().status(order)


def test_fault_V3_nothing_is_entered_on_a_market_while_an_order_of_another_trade_there_is_unknown() -> None:
    rig = Rig()
    rig.beta.__class__ = SlowStatus
    rig.beta.script(NO_B, Answer(lost="silence"))

    async def main() -> tuple[ExecutionResult, ExecutionResult, ExecutionResult]:
        first = asyncio.ensure_future(executed(rig, "a"))
        await asyncio.sleep(rig.executor._patience_s + 0.5)
        assert "order a.1.entry.0 is unknown" in " ".join(rig.executor.open())
        rig.alpha.set_book(YES_A, asks=[("0.40", "100")])
        rig.beta.set_book(NO_B, asks=[("0.55", "100")])
        beside = await executed(rig, "b")
        ended = await first
        return ended, beside, await executed(rig, "c")

    ended, beside, after = virtual(main())
    assert ended.outcome is Outcome.COMPLETED
    assert (beside.outcome, beside.reason) == (Outcome.REFUSED, "order a.1.entry.0 on beta:m:no is unknown")
    assert after.outcome is Outcome.COMPLETED
