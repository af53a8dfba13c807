"""What every venue promises (`core.ports.Venue`), held against each kind of venue."""

from __future__ import annotations

import asyncio

import pytest

from arbkit.core.errors import OrderRejected, OrderStateUnknown
from arbkit.core.model import TERMINAL, Order, OrderReport, OrderStatus, Side, TimeInForce
from tests.builders import cents, replace, shares
from tests.venues.rigs import RIGS, Rig, buy

GTC = TimeInForce.GTC


@pytest.fixture(params=list(RIGS))
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]()


def test_a_taker_gets_a_final_answer_with_its_fills(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        report = await rig.venue.submit(buy(rig, "a", 52, 4))
        assert report.status is OrderStatus.FILLED
        assert [(fill.price, fill.size, fill.maker) for fill in report.fills] == [(cents(52), shares(4), False)]
        assert (await rig.venue.positions())[rig.book.index] == shares(4)

    rig.run(check)


def test_an_order_that_meets_nothing_ends_without_an_error(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        report = await rig.venue.submit(buy(rig, "a", 50, 4))
        assert (report.status, report.fills) == (OrderStatus.CANCELLED, ())

    rig.run(check)


def test_the_same_order_twice_is_one_order(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "a", 52, 4)
        first, second = await asyncio.gather(rig.venue.submit(order), rig.venue.submit(order))
        third = await rig.venue.submit(order)
        assert [fill.trade_id for fill in first.fills] == [fill.trade_id for fill in second.fills]
        assert first.fills == third.fills
        assert (await rig.venue.positions())[rig.book.index] == shares(4)
        assert order.moved(OrderStatus.SUBMITTED).told(first).told(second).told(third).filled == shares(4)

    rig.run(check)


def test_a_key_stands_for_one_order_only(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "a", 48, 4, GTC)
        await rig.venue.submit(order)
        free = await rig.venue.balance()
        with pytest.raises(OrderRejected):
            await rig.venue.submit(replace(order, size=shares(5)))
        assert (await rig.venue.status(order)).status is OrderStatus.OPEN
        assert await rig.venue.balance() == free

    rig.run(check)


def test_a_refused_order_is_not_live_and_never_was(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        free = await rig.venue.balance()
        order = buy(rig, "a", 52, 4, GTC, post_only=True)
        with pytest.raises(OrderRejected, match="cross"):
            await rig.venue.submit(order)
        report = await rig.venue.status(order)
        assert (report.status, report.fills) == (OrderStatus.REJECTED, ())
        assert await rig.venue.balance() == free

    rig.run(check)


def test_no_venue_sells_what_is_not_held_or_buys_what_cannot_be_paid(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        with pytest.raises(OrderRejected, match="position"):
            await rig.venue.submit(Order("a", rig.book, Side.SELL, cents(48), shares(1), TimeInForce.FAK))
        with pytest.raises(OrderRejected, match="balance"):
            await rig.venue.submit(buy(rig, "b", 48, 1_000_000, GTC))
        await rig.venue.submit(buy(rig, "c", 52, 4))
        report = await rig.venue.submit(Order("d", rig.book, Side.SELL, cents(48), shares(4), TimeInForce.FAK))
        assert report.status is OrderStatus.FILLED
        assert (await rig.venue.positions()).get(rig.book.index, 0) == 0

    rig.run(check)


def test_who_stops_waiting_finds_the_order_by_its_key(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "a", 52, 4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(rig.impatient_s):
                await rig.venue.submit(order)
        known = order.moved(OrderStatus.SUBMITTED).moved(OrderStatus.UNKNOWN)
        while not known.is_final:
            known = known.told(await rig.venue.status(order))
        assert known.filled == shares(4)
        assert (await rig.venue.submit(order)).fills == known.fills

    rig.run(check)


def test_asking_before_an_order_has_arrived_proves_nothing(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "never sent", 48, 4, GTC)
        assert (await rig.venue.status(order)).status is OrderStatus.UNKNOWN
        with pytest.raises(OrderStateUnknown):
            await rig.venue.cancel(order)
        with pytest.raises(OrderStateUnknown):
            await anext(rig.venue.reports(order))

    rig.run(check)


def test_a_cancel_returns_the_last_word_and_frees_what_was_reserved(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        free = await rig.venue.balance()
        order = buy(rig, "a", 47, 4, GTC)
        assert (await rig.venue.submit(order)).status is OrderStatus.OPEN
        assert await rig.venue.balance() < free
        report = await rig.venue.cancel(order)
        assert (report.status, report.fills) == (OrderStatus.CANCELLED, ())
        assert await rig.venue.balance() == free
        assert (await rig.venue.cancel(order)).status is OrderStatus.CANCELLED

    rig.run(check)


def test_a_cancel_that_loses_the_race_is_told_of_the_fill(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "a", 46, 4, GTC)
        await rig.venue.submit(order)
        await asyncio.sleep(1.9)  # the cancel arrives just after the trade, before its report could reach us
        report = await rig.venue.cancel(order)
        assert (report.status, [fill.size for fill in report.fills]) == (OrderStatus.FILLED, [shares(4)])

    rig.run(check)


def test_reports_of_a_resting_order_end_with_its_last_word(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "a", 46, 60, GTC)
        first = await rig.venue.submit(order)
        heard: list[OrderReport] = []

        async def listen() -> None:
            async for report in rig.venue.reports(order):
                heard.append(report)  # noqa: PERF401 - as they come

        listener = asyncio.create_task(listen())
        await asyncio.sleep(2 + 10 * rig.report_s)
        assert [fill.size for fill in heard[-1].fills] == [shares(40)]
        last = await rig.venue.cancel(order)
        await listener
        assert heard[0].status is first.status is OrderStatus.OPEN
        assert heard[-1] == last
        assert [report.status in TERMINAL for report in heard] == [False] * (len(heard) - 1) + [True]
        again = [report async for report in rig.venue.reports(order)]
        assert again == heard

    rig.run(check)


def test_a_fill_is_the_same_fill_whoever_tells_of_it(rig: Rig) -> None:
    async def check(rig: Rig) -> None:
        order = buy(rig, "a", 46, 4, GTC)
        await rig.venue.submit(order)
        told = [report async for report in rig.venue.reports(order)][-1]
        asked = await rig.venue.status(order)
        late = await rig.venue.cancel(order)
        assert told.fills == asked.fills == late.fills
        assert told.fills[0].venue_at < told.fills[0].at
        assert told.fills[0].maker

    rig.run(check)
