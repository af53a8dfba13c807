"""Venues that break more than their word: clients that cancel, keys that are revoked, fills nobody asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arbkit.backtest.mock_platform import Answer
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import AccessDenied, VenueUnavailable
from arbkit.core.model import ExecutionStrategy, Fill, Health, Order, OrderReport, OrderStatus, Outcome, Settlement
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.risk.limits import RiskLimits
from tests.rig import NO_B, YES_A, Rig, virtual

MARKET = ExecutionStrategy.MARKET


def an_engine(rig: Rig, **more: Any) -> ArbitrageExecutionEngine:
    return ArbitrageExecutionEngine(
        rig.venues, rig.feed, [rig.basket], config=rig.config, journal=rig.journal, pairs=rig.pairs, **more
    )


async def torn(*_: object) -> Any:
    """Wait for an answer that a client cancels, as one does whose connection ends."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.2, answer.cancel)
    await answer


def test_a_request_that_its_connection_cancels_is_unknown_and_the_trade_goes_on() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        submit = rig.beta.submit

        async def torn_once(order: Order) -> Any:
            rig.beta.submit = submit  # type: ignore[method-assign]
            await torn()

        rig.beta.submit = torn_once  # type: ignore[method-assign]
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        statuses = [fact.get("status") for fact in rig.journal.facts if fact.fact == "order.status"]
        assert "unknown" in statuses
        assert result.outcome is Outcome.COMPLETED  # asked about, not found, and sent again under its key
        await engine.stop()

    virtual(main())


@pytest.mark.parametrize("call", ["positions", "balance", "open_orders", "time"])
def test_a_comparison_that_its_connection_cancels_is_made_again(call: str) -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        whole = getattr(rig.alpha, call)
        setattr(rig.alpha, call, torn)
        await asyncio.sleep(2 * rig.config.reconcile_s)
        setattr(rig.alpha, call, whole)
        rig.alpha.shares[rig.table.book(YES_A).index] = Size(77 * MICRO)
        await asyncio.sleep(2 * rig.config.reconcile_s)
        assert "alpha:m" in engine.reconciler.open
        assert not engine.halted
        await engine.stop()

    virtual(main())


def test_a_balance_that_its_connection_cancels_refuses_the_trade() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        rig.alpha.balance = torn  # type: ignore[method-assign]
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        assert (result.outcome, "connection ended" in result.reason) == (Outcome.REFUSED, True)
        await engine.stop()

    virtual(main())


def test_settlement_is_followed_beyond_a_question_that_its_connection_cancels() -> None:
    rig = Rig()
    engine = an_engine(rig)
    provisional = Fill("f", Price(400_000), Size(100 * MICRO), Cash(0), 0, 0, False, settlement=Settlement.PROVISIONAL)
    settled: list[Fill] = []

    async def filled(order: Order) -> OrderReport:
        rig.alpha.shares[order.book.index] = order.size
        return OrderReport(order.client_id, OrderStatus.FILLED, (provisional,))

    async def main() -> None:
        await engine.start()
        rig.alpha.submit = filled  # type: ignore[method-assign]
        rig.alpha.status = torn  # type: ignore[method-assign]
        trading = asyncio.ensure_future(engine.execute_opportunity(rig.opportunity(), MARKET))
        await asyncio.sleep(5)

        async def confirmed(order: Order) -> OrderReport:
            settled.append(Fill("f", Price(400_000), Size(100 * MICRO), Cash(0), 0, 0, False))
            return OrderReport(order.client_id, OrderStatus.FILLED, tuple(settled[-1:]))

        rig.alpha.status = confirmed  # type: ignore[method-assign]
        assert (await trading).outcome is Outcome.COMPLETED
        assert settled
        await engine.stop()

    virtual(main())


def test_where_one_venue_lets_nobody_in_the_leg_is_sold_at_the_other() -> None:
    rig = Rig()
    engine = an_engine(rig)
    asked: list[str] = []

    async def no(order: Order) -> OrderReport:
        asked.append(order.client_id)
        raise AccessDenied("401 key revoked")

    async def main() -> None:
        await engine.start()
        rig.beta.submit = no  # type: ignore[method-assign]
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        assert (result.outcome, result.undo) == (Outcome.UNWOUND, "exit")
        assert len(asked) == 1
        assert "denies access" in engine.halted
        await engine.stop()

    virtual(main())


def test_what_a_venue_filled_beyond_an_order_is_not_doubled_at_the_other() -> None:
    rig = Rig(limits=RiskLimits(max_trade_capital=100.0))
    engine = an_engine(rig, limits=rig.limits)
    rig.beta.set_book(NO_B, bids=[("0.53", "2000")], asks=[("0.55", "5000")])
    ten_times = Fill("f", Price(400_000), Size(1_000 * MICRO), Cash(0), 0, 0, False)

    async def over(order: Order) -> OrderReport:
        rig.alpha.shares[order.book.index] = ten_times.size
        return OrderReport(order.client_id, OrderStatus.FILLED, (ten_times,))

    async def main() -> None:
        await engine.start()
        rig.alpha.submit = over  # type: ignore[method-assign]
        rig.beta.script(NO_B, Answer(fill=0))
        result = await engine.execute_opportunity(rig.opportunity("100"), MARKET)
        assert result.outcome is Outcome.ESCALATED  # what it lent to sell is worth less than the bound on a loss
        assert not any(leg.filled for leg in result.trade.legs[1:])
        assert [order.purpose.value for order in result.trade.legs[1].orders] == ["entry"]
        await engine.stop()

    virtual(main())


def test_a_venue_that_asks_for_an_hour_keeps_no_other_from_being_compared() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def later(order: Order) -> OrderReport:
        raise VenueUnavailable("429", retry_after_s=3600.0)

    async def main() -> None:
        await engine.start()
        rig.alpha.submit = later  # type: ignore[method-assign]
        await engine.execute_opportunity(rig.opportunity(), MARKET)
        rig.beta.shares[rig.table.book(NO_B).index] = Size(77 * MICRO)
        await asyncio.sleep(5 * rig.config.reconcile_s)
        assert "beta:m" in engine.reconciler.open
        await engine.stop()

    virtual(main())


@pytest.mark.parametrize("broken", ["balance", "view"])
def test_an_error_nobody_expected_before_a_trade_is_a_refusal_and_halts(broken: str) -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def nonsense() -> Any:
        raise ValueError("Expecting value: line 1 column 1")

    def unread(book: object) -> Any:
        raise ValueError("no connection streams it")

    async def main() -> None:
        await engine.start()
        opportunity = rig.opportunity()
        if broken == "balance":
            rig.alpha.balance = nonsense  # type: ignore[method-assign]
        else:
            rig.feed.view = unread  # type: ignore[method-assign]
        result = await engine.execute_opportunity(opportunity, MARKET)
        assert result.outcome is Outcome.REFUSED
        assert "ValueError" in result.reason
        assert "ValueError" in engine.halted
        await engine.stop()

    virtual(main())


def test_an_escalated_trade_keeps_its_mark_while_its_book_is_unread() -> None:
    rig = Rig(config=ExecutionConfig(max_unwind_loss=0.0001))
    rig.beta.script(NO_B, *[Answer(reject="closed")] * 99)
    rig.alpha.set_book(YES_A, bids=[("0.39", "50")], asks=[("0.40", "100")])
    losses: list[Any] = []

    async def first() -> None:
        engine = an_engine(rig)
        await engine.start()
        result = await engine.execute_opportunity(rig.opportunity("40"), MARKET)
        assert result.pnl == -400_000
        losses.append(engine.risk.state().losses)
        await engine.stop()

    async def again() -> None:
        rig.alpha.set_book(YES_A, bids=[("0.39", "50")], asks=[("0.40", "100")], health=Health.UNKNOWN)
        engine = an_engine(rig)
        await engine.start()
        await asyncio.sleep(5)
        losses.append(engine.risk.state().losses)
        await engine.stop()

    virtual(first())
    virtual(again())
    assert losses[0] == losses[1]


def test_a_listing_that_is_late_once_writes_nothing_off_when_something_is_claimed() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        await engine.execute_opportunity(rig.opportunity(), MARKET)
        positions, calls = rig.alpha.positions, []

        async def late() -> Any:
            calls.append(1)
            return {} if len(calls) == 1 else await positions()

        rig.alpha.positions = late  # type: ignore[method-assign]
        await engine.claim("alpha:m")
        assert engine.ledger.shares["alpha:m:yes"] == 100 * MICRO
        await engine.stop()

    virtual(main())


def test_a_position_in_a_book_that_no_basket_has_is_claimed_once() -> None:
    rig = Rig()
    engine = an_engine(rig)
    rig.alpha.shares[1] = Size(5 * MICRO)

    async def main() -> None:
        await engine.start()
        assert "alpha" in engine.reconciler.open
        await engine.claim("alpha")
        await asyncio.sleep(5 * rig.config.reconcile_s)
        assert not engine.reconciler.open
        rig.alpha.shares[1] = Size(6 * MICRO)
        await asyncio.sleep(5 * rig.config.reconcile_s)
        assert "alpha" in engine.reconciler.open
        await engine.stop()

    virtual(main())


def test_refusals_for_one_reason_are_on_record_once_an_hour_and_counted_each_time() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        engine.kill("looks wrong")
        for _ in range(100):
            result = await engine.execute_opportunity(rig.opportunity(), MARKET)
            assert result.outcome is Outcome.REFUSED
        assert rig.facts("trade.refused") == [rig.facts("trade.refused")[0]]
        assert engine.statistics()["refused"] == 100
        await asyncio.sleep(3_600)
        await engine.execute_opportunity(rig.opportunity(), MARKET)
        assert len(rig.facts("trade.refused")) == 2
        await engine.stop()

    virtual(main())
