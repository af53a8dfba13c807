"""Orders that rest until a time: ended by the venue, on its clock, and refused where they state too near a one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from arbkit.backtest.habits import POLYMARKET, Habits
from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.backtest.mock_platform import MockPlatform
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay, World
from arbkit.core.errors import ConfigError, OrderRejected
from arbkit.core.model import Order, OrderReport, OrderStatus, Side, TimeInForce
from arbkit.core.units import MICRO, Price, Size, cost
from tests.builders import ASK, TapeBuilder, a_market, a_table, cents, ms, replace, shares

GTC, GTD, FAK = TimeInForce.GTC, TimeInForce.GTD, TimeInForce.FAK
S = 1_000


def book() -> TapeBuilder:
    return TapeBuilder(a_table(a_market())).snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)])


def world(builder: TapeBuilder, habits: Habits | None = None, **scenario: Any) -> World:
    replay = Replay(builder.mark(400_000).tape())
    replay.forward(4)
    return replay.world(Scenario(habits={"venue": habits or Habits()}, queue="through", **scenario), "test")


def order(here: World, expires: int, limit: int = 50, tif: TimeInForce = GTD, key: str = "a", **more: Any) -> Order:
    return Order(key, here.books[0], Side.BUY, cents(limit), shares(4), tif, expires=ms(expires), **more)


def run(here: World, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    here.run(main())
    here.check()


async def heard(here: World, of: Order) -> list[OrderReport]:
    return [report async for report in here.venues["venue"].reports(of)]


def test_it_rests_ends_at_its_time_by_the_venues_clock_and_frees_its_cash() -> None:
    here = world(book())

    async def main() -> None:
        venue, rests = here.venues["venue"], order(here, 2_000)
        assert (await venue.submit(rests)).status is OrderStatus.OPEN
        assert await venue.balance() == 10_000 * MICRO - cost(cents(50), shares(4))
        last = (await heard(here, rests))[-1]
        assert (last.status, last.at) == (OrderStatus.EXPIRED, ms(2_050))  # and 50 ms on its way
        assert last.reason.startswith("expired")
        assert await venue.balance() == 10_000 * MICRO

    run(here, main)


@pytest.mark.parametrize(("traded", "filled"), [(1_999, 4), (2_000, 4), (2_001, 0)])
def test_what_is_matched_up_to_its_very_time_counts_and_nothing_after(traded: int, filled: int) -> None:
    here = world(book().trade(traded, 49, 9))

    async def main() -> None:
        rests = order(here, 2_000)
        await here.venues["venue"].submit(rests)
        last = (await heard(here, rests))[-1]
        assert sum(fill.size for fill in last.fills) == shares(filled)
        assert last.status is (OrderStatus.FILLED if filled else OrderStatus.EXPIRED)
        assert order(here, 2_000).moved(OrderStatus.SUBMITTED).told(last).status is last.status

    run(here, main)


def test_what_was_filled_of_it_stays_when_the_rest_expires() -> None:
    here = world(book().trade(1_500, 49, 1))

    async def main() -> None:
        rests = order(here, 2_000)
        await here.venues["venue"].submit(rests)
        last = (await heard(here, rests))[-1]
        assert (last.status, [fill.size for fill in last.fills]) == (OrderStatus.EXPIRED, [shares(1)])
        assert (await here.venues["venue"].positions())[0] == shares(1)

    run(here, main)


def test_cancelled_or_taken_at_once_it_does_not_expire_as_well() -> None:
    here = world(book())

    async def main() -> None:
        venue, rests, takes = here.venues["venue"], order(here, 2_000), order(here, 2_000, 52, key="b")
        await venue.submit(rests)
        assert (await venue.cancel(rests)).status is OrderStatus.CANCELLED
        assert (await venue.submit(takes)).status is OrderStatus.FILLED
        await asyncio.sleep(5.0)
        assert [(await venue.status(one)).status for one in (rests, takes)] == [
            OrderStatus.CANCELLED,
            OrderStatus.FILLED,
        ]

    run(here, main)


@pytest.mark.parametrize(
    ("habits", "expires", "says"),
    [
        (Habits(), 50, "expires: 0.000 s ahead, so it is over when it arrives"),
        (Habits(), 40, "expires: -0.010 s ahead, so it is over when it arrives"),
        (POLYMARKET, 180 * S, "expires: 179.950 s ahead, and it must be 180 s at least"),
        (
            Habits(gtd_early_s=60.0),
            60 * S,
            r"expires: 59.950 s ahead \(it ends 60 s before that\), so it is over when it arrives",
        ),
    ],
)
def test_a_time_too_near_is_refused_with_what_it_must_be(habits: Habits, expires: int, says: str) -> None:
    here = world(book(), habits)

    async def main() -> None:
        with pytest.raises(OrderRejected, match=says):
            await here.venues["venue"].submit(order(here, expires))
        assert await here.venues["venue"].balance() == 10_000 * MICRO

    run(here, main)


def test_polymarket_ends_it_a_minute_before_the_time_it_states() -> None:
    here = world(book(), POLYMARKET)

    async def main() -> None:
        rests = order(here, 181 * S)
        await here.venues["venue"].submit(rests)
        last = (await heard(here, rests))[-1]
        assert (last.status, last.at) == (OrderStatus.EXPIRED, ms(121 * S + 50))

    run(here, main)
    assert "state one 180 s ahead at least, and end 60 s before it" in POLYMARKET.says()


def test_a_gtd_says_until_when_and_no_other_order_does() -> None:
    here = world(book())

    async def main() -> None:
        for bad, says in (
            (replace(order(here, 0), expires=0), "expires: a GTD order says until when"),
            (order(here, 2_000, tif=GTC, key="b"), "expires: only a GTD order ends by itself"),
            (order(here, 2_000, tif=FAK, key="c"), "expires: only a GTD order ends by itself"),
        ):
            with pytest.raises(OrderRejected, match=says):
                await here.venues["venue"].submit(bad)

    run(here, main)


def test_one_that_is_held_beyond_its_time_expires_without_a_match() -> None:
    here = world(book(), Habits(hold_ms=1_000))

    async def main() -> None:
        taker = order(here, 500, 52)
        assert (await here.venues["venue"].submit(taker)).reason.startswith("held")
        last = (await heard(here, taker))[-1]
        assert (last.status, last.fills, last.at) == (OrderStatus.EXPIRED, (), ms(1_100))

    run(here, main)


def test_one_that_rests_after_its_hold_still_ends_at_its_time() -> None:
    here = world(book().level(100, ASK, 52, 0), Habits(hold_ms=200))

    async def main() -> None:
        taker = order(here, 900, 52)
        await here.venues["venue"].submit(taker)
        last = (await heard(here, taker))[-1]
        assert (last.status, last.at) == (OrderStatus.EXPIRED, ms(950))

    run(here, main)


def test_the_same_key_with_another_time_is_another_order() -> None:
    here = world(book())

    async def main() -> None:
        await here.venues["venue"].submit(order(here, 2_000))
        with pytest.raises(OrderRejected, match="client id"):
            await here.venues["venue"].submit(order(here, 3_000))

    run(here, main)


def test_post_only_may_rest_until_a_time_and_needs_a_queue_like_any_that_rests() -> None:
    here = world(book())

    async def main() -> None:
        with pytest.raises(OrderRejected, match="would cross"):
            await here.venues["venue"].submit(order(here, 2_000, 52, post_only=True))
        rests = order(here, 2_000, 51, post_only=True, key="b")
        assert (await here.venues["venue"].submit(rests)).status is OrderStatus.OPEN

    run(here, main)
    blind = Replay(book().mark(400_000).tape()).world(Scenario(queue="front"), "test")

    async def unfed() -> None:
        with pytest.raises(ConfigError, match="resting orders need"):
            blind.venues["venue"]._desk.place(order(blind, 2_000), ms(10))

    blind.run(unfed())


@pytest.mark.parametrize("name", ["gtd_least_s", "gtd_early_s"])
def test_the_habit_is_a_number_of_seconds(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"habits\.{name} must be a number from 0"):
        Habits(**{name: -1.0})


def test_an_orders_time_stays_with_it_through_every_change() -> None:
    one = order(world(book()), 2_000)
    assert one.moved(OrderStatus.SUBMITTED).moved(OrderStatus.OPEN).expires == ms(2_000)


def test_the_mock_platform_ends_it_too_and_refuses_one_without_a_time_to_come() -> None:
    async def main() -> None:
        platform = MockPlatform("mock", [a_market(venue="mock")])
        platform.set_book("mock:m:yes", bids=[("0.40", "50")], asks=[("0.42", "50")])
        here = platform.book("mock:m:yes")
        now = await platform.time()
        rests = Order("a", here, Side.BUY, Price(410_000), Size(MICRO), GTD, expires=now + 20_000_000_000)
        assert (await platform.submit(rests)).status is OrderStatus.OPEN
        assert [report.status async for report in platform.reports(rests)][-1] is OrderStatus.EXPIRED
        for bad in (replace(rests, client_id="b", expires=0), replace(rests, client_id="c", tif=GTC, expires=2**62)):
            with pytest.raises(OrderRejected, match="expires"):
                await platform.submit(bad)

    run_virtual(main(), SimLoop(0))
