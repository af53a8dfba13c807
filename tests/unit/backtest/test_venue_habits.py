"""Habits at work, one hand-made tape each: holds, windows, rates, settlement that fails, and markets that pay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from arbkit.backtest.habits import Habits, Rate, Window
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay, World
from arbkit.books import meta as m
from arbkit.core.errors import Cause, ConfigError, DataError, OrderRejected, VenueUnavailable
from arbkit.core.grid import Grid
from arbkit.core.model import Order, OrderStatus, Settlement, Side, TimeInForce
from arbkit.core.units import MICRO, cost, price, proceeds, size
from arbkit.fees import FeeRule, rule
from tests.builders import ASK, TapeBuilder, a_market, a_table, cents, ms, shares

FAK, FOK, GTC = TimeInForce.FAK, TimeInForce.FOK, TimeInForce.GTC
DATA = Path(__file__).resolve().parents[2] / "data" / "orders"


def book(**fields: Any) -> TapeBuilder:
    return TapeBuilder(a_table(a_market(**fields))).snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)])


def world(builder: TapeBuilder, habits: Habits, fees: FeeRule | None = None, **scenario: Any) -> World:
    tape = builder.tape()
    replay = Replay(tape, None if fees is None else {book.index: fees for book in tape.markets.books})
    replay.forward(4)
    return replay.world(Scenario(habits={"venue": habits}, **scenario), "test")


def order(here: World, key: str, side: Side, limit: int, size: int, tif: TimeInForce = FAK, **more: Any) -> Order:
    return Order(key, here.books[more.pop("outcome", 0)], side, cents(limit), shares(size), tif, **more)


def run(here: World, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    here.run(main())
    here.check()


# -- holds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tif", [FAK, FOK, GTC])
def test_a_held_taker_meets_the_book_at_the_end_of_its_hold(tif: TimeInForce) -> None:
    """The offer of ten is pulled while the order is held: it takes the four that stand there afterwards."""
    here = world(book().level(150, ASK, 52, 4), Habits(hold_ms=250), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        taker = order(here, "a", Side.BUY, 52, 4, tif)
        first = await venue.submit(taker)
        assert (first.status, first.fills, first.at) == (OrderStatus.OPEN, (), ms(100))
        assert first.reason.startswith("held")
        heard = [report async for report in venue.reports(taker)][-1]
        assert (heard.status, heard.at) == (OrderStatus.FILLED, ms(350))
        assert [fill.venue_at for fill in heard.fills] == [ms(300)]

    run(here, main)


def test_a_held_order_that_finds_the_book_gone_ends_without_a_fill() -> None:
    here = world(book().level(150, ASK, 52, 0).level(150, ASK, 53, 0), Habits(hold_ms=250))

    async def main() -> None:
        taker = order(here, "a", Side.BUY, 52, 4)
        await here.venues["venue"].submit(taker)
        heard = [report async for report in here.venues["venue"].reports(taker)][-1]
        assert (heard.status, heard.reason) == (OrderStatus.CANCELLED, "no match")

    run(here, main)


def test_a_held_order_cannot_be_cancelled_and_keeps_its_reservation() -> None:
    here = world(book(), Habits(hold_ms=400))

    async def main() -> None:
        venue = here.venues["venue"]
        taker = order(here, "a", Side.BUY, 52, 4)
        await venue.submit(taker)
        assert await venue.balance() == 10_000 * MICRO - cost(cents(52), shares(4))
        refused = await venue.cancel(taker)
        assert (refused.status, refused.reason[:4]) == (OrderStatus.OPEN, "held")
        await asyncio.sleep(1)
        assert (await venue.cancel(taker)).status is OrderStatus.FILLED

    run(here, main)


def test_what_would_rest_or_is_post_only_is_not_held() -> None:
    here = world(book(), Habits(hold_ms=400), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        resting = await venue.submit(order(here, "a", Side.BUY, 51, 4, GTC))
        assert (resting.status, resting.reason) == (OrderStatus.OPEN, "")
        with pytest.raises(OrderRejected, match="would cross"):
            await venue.submit(order(here, "b", Side.BUY, 52, 4, GTC, post_only=True))

    run(here, main)


def test_a_market_that_closes_during_a_hold_cancels_the_order() -> None:
    here = world(book().status(200, m.CLOSED), Habits(hold_ms=400))

    async def main() -> None:
        taker = order(here, "a", Side.BUY, 52, 4)
        await here.venues["venue"].submit(taker)
        heard = [report async for report in here.venues["venue"].reports(taker)][-1]
        assert (heard.status, heard.reason) == (OrderStatus.CANCELLED, "closed market")
        assert await here.venues["venue"].balance() == 10_000 * MICRO

    run(here, main)


@pytest.mark.parametrize("what", ["down", "cancel-only", "post-only"])
def test_a_window_that_begins_during_a_hold_cancels_the_order(what: str) -> None:
    """It arrives at 50 ms and would be matched at 300: nobody takes from a venue that has closed to takers at 200."""
    here = world(book(), Habits(hold_ms=250, windows=(Window(what, ms(200), ms(5_000)),)))

    async def main() -> None:
        taker = order(here, "a", Side.BUY, 52, 4)
        await here.venues["venue"].submit(taker)
        heard = [report async for report in here.venues["venue"].reports(taker)][-1]
        assert (heard.status, heard.fills, heard.reason.split(":")[0]) == (OrderStatus.CANCELLED, (), f"{what} venue")
        assert await here.venues["venue"].balance() == 10_000 * MICRO

    run(here, main)


# -- windows, rates, least value -----------------------------------------------------------------------------


def test_a_venue_that_is_down_takes_nothing_and_leaves_nothing_reserved() -> None:
    here = world(book(), Habits(windows=(Window("down", ms(0), ms(300)),)), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        early = order(here, "a", Side.BUY, 51, 4, GTC)
        with pytest.raises(VenueUnavailable, match="venue is down") as away:
            await venue.submit(early)
        assert away.value.retry_after_s == 0.25
        assert await venue.balance() == 10_000 * MICRO
        assert (await venue.status(early)).status is OrderStatus.UNKNOWN
        await asyncio.sleep(0.2)
        assert (await venue.submit(early)).status is OrderStatus.OPEN  # the same order, under the same key
        assert await venue.balance() == 10_000 * MICRO - cost(cents(51), shares(4))

    run(here, main)


def test_a_cancel_that_is_turned_away_leaves_the_order_where_it_was() -> None:
    here = world(book().trade(500, 47, 3), Habits(windows=(Window("down", ms(110), ms(300)),)))

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 4, GTC)
        await venue.submit(resting)
        with pytest.raises(VenueUnavailable):
            await venue.cancel(resting)
        await asyncio.sleep(1)
        assert [fill.size for fill in (await venue.cancel(resting)).fills] == [shares(3)]

    run(here, main)


def test_refusals_in_a_window_say_what_else_follows() -> None:
    windows = (Window("post-only", ms(0), ms(200)), Window("cancel-only", ms(200), ms(900)))
    here = world(book(), Habits(windows=windows), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        with pytest.raises(OrderRejected, match="only post-only orders") as no:
            await venue.submit(order(here, "a", Side.BUY, 52, 4))
        assert (no.value.cause, no.value.retry_after_s) == (Cause.TAKERS_REFUSED, 0.15)
        maker = order(here, "b", Side.BUY, 51, 4, GTC, post_only=True)
        assert (await venue.submit(maker)).status is OrderStatus.OPEN
        with pytest.raises(OrderRejected, match="cancels are taken") as no:
            await venue.submit(order(here, "c", Side.BUY, 51, 4, GTC, post_only=True))
        assert no.value.cause is Cause.PAUSED
        assert (await venue.cancel(maker)).status is OrderStatus.CANCELLED

    run(here, main)


def test_orders_beyond_the_rate_are_turned_away_and_others_are_not() -> None:
    here = world(book(), Habits(orders=Rate(2, 2)))

    async def main() -> None:
        venue = here.venues["venue"]
        asked = [venue.submit(order(here, f"o{n}", Side.BUY, 52, 1)) for n in range(4)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, VenueUnavailable) for one in found] == [False, False, True, True]
        assert found[2].retry_after_s == 0.5  # type: ignore[union-attr]

    run(here, main)


def test_a_buy_that_takes_must_be_worth_enough_and_one_that_rests_need_not() -> None:
    here = world(book(), Habits(min_taking=1.0), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        with pytest.raises(OrderRejected, match="worth at least 1000000"):
            await venue.submit(order(here, "a", Side.BUY, 52, 1))
        resting = order(here, "b", Side.BUY, 51, 1, GTC)
        assert (await venue.submit(resting)).status is OrderStatus.OPEN
        await venue.cancel(resting)
        assert (await venue.submit(order(here, "c", Side.BUY, 52, 2))).status is OrderStatus.FILLED
        assert (await venue.submit(order(here, "d", Side.SELL, 48, 1))).status is OrderStatus.FILLED

    run(here, main)


def test_an_order_that_gives_way_to_another_of_ours_is_told_so() -> None:
    here = world(book(), Habits(self_trade="maker"), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 50, 4, GTC)
        await venue.submit(resting)
        assert (await venue.submit(order(here, "b", Side.BUY, 50, 4, GTC, outcome=1))).status is OrderStatus.OPEN
        heard = [report async for report in venue.reports(resting)][-1]
        assert (heard.status, heard.reason) == (OrderStatus.CANCELLED, "self-trade: gave way to another order of ours")
        assert await venue.balance() == 10_000 * MICRO - 4 * cents(50)

    run(here, main)


# -- settlement ----------------------------------------------------------------------------------------------


def test_a_match_is_provisional_until_it_settles_and_its_shares_cannot_be_sold_before() -> None:
    here = world(book(), Habits(settle_s=2))

    async def main() -> None:
        venue = here.venues["venue"]
        bought = order(here, "a", Side.BUY, 52, 4)
        report = await venue.submit(bought)
        assert [fill.settlement for fill in report.fills] == [Settlement.PROVISIONAL]
        with pytest.raises(OrderRejected, match="position: 0 shares free"):
            await venue.submit(order(here, "b", Side.SELL, 48, 4))
        await asyncio.sleep(2)
        assert [fill.settlement for fill in (await venue.status(bought)).fills] == [Settlement.CONFIRMED]
        assert (await venue.submit(order(here, "c", Side.SELL, 48, 4))).status is OrderStatus.FILLED

    run(here, main)


def test_a_match_that_fails_gives_money_fee_and_shares_back_as_if_it_had_never_been() -> None:
    here = world(book(), Habits(settle_s=2, failing=1.0), rule("kalshi-2026-07-07"))

    async def main() -> None:
        venue = here.venues["venue"]
        bought = order(here, "a", Side.BUY, 52, 4)
        known = bought.moved(OrderStatus.SUBMITTED).told(await venue.submit(bought))
        assert known.filled == shares(4)
        assert await venue.balance() < 10_000 * MICRO
        await asyncio.sleep(3)
        known = known.told(await venue.status(bought))
        assert (known.status, known.filled, known.is_settled) == (OrderStatus.CANCELLED, 0, True)
        assert await venue.balance() == 10_000 * MICRO
        assert await venue.positions() == {}

    run(here, main)


def test_a_resting_order_is_told_of_a_fill_and_later_that_it_was_none() -> None:
    here = world(book().trade(300, 47, 3), Habits(settle_s=1, failing=1.0))

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 8, GTC)
        await venue.submit(resting)
        words = []
        async for report in venue.reports(resting):
            words.append((report.at, [fill.settlement.value for fill in report.fills]))
            if len(words) == 3:
                break
        assert words == [(ms(100), []), (ms(350), ["provisional"]), (ms(1_350), ["voided"])]
        assert (await venue.cancel(resting)).status is OrderStatus.CANCELLED

    run(here, main)


def test_which_matches_fail_is_drawn_by_key() -> None:
    def failed(seed: int) -> list[str]:
        here = world(book(), Habits(settle_s=1, failing=0.5), seed=seed)
        words: list[str] = []

        async def main() -> None:
            venue = here.venues["venue"]
            orders = [order(here, f"o{n}", Side.BUY, 53, 1) for n in range(20)]
            for one in orders:
                await venue.submit(one)
            await asyncio.sleep(2)
            for one in orders:
                words.extend(fill.settlement.value for fill in (await venue.status(one)).fills)

        run(here, main)
        return words

    assert failed(1) == failed(1) != failed(2)
    assert 4 < failed(1).count("voided") < 16


# -- close and resolution ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("payout", "yes", "no"), [(100, 4, 0), (0, 0, 3), (50, 2, 1.5)])
def test_a_resolved_market_pays_what_was_held_of_both_outcomes(payout: int, yes: float, no: float) -> None:
    """Four YES at 52 and three NO at 52 were bought; at 50 to 50 each share pays half a dollar."""
    here = world(book().resolution(700, payout), Habits(pays_s=1))

    async def main() -> None:
        venue = here.venues["venue"]
        await venue.submit(order(here, "a", Side.BUY, 52, 4))
        await venue.submit(order(here, "b", Side.BUY, 52, 3, outcome=1))
        spent = 7 * cents(52)
        await asyncio.sleep(1.5)
        assert here.clock.now() == ms(1_700)
        assert await venue.balance() == 10_000 * MICRO - spent  # paid at 1700, and word of it takes 50 ms
        assert await venue.positions() == {0: shares(4), 1: shares(3)}
        await asyncio.sleep(0.05)
        assert await venue.balance() == 10_000 * MICRO - spent + round((yes + no) * MICRO)
        assert await venue.positions() == {}
        with pytest.raises(OrderRejected, match="closed market"):
            await venue.submit(order(here, "c", Side.BUY, 52, 1))

    run(here, main)


@pytest.mark.parametrize("told", [(0,), (1,), (0, 1)])
def test_both_recorded_books_of_a_market_pay_whichever_of_them_says_that_it_is_resolved(told: tuple[int, ...]) -> None:
    """NO wins: the row may stand on the YES book alone, at nothing, on the NO book alone, at a dollar, or on both."""
    levels = ([(48, 10)], [(52, 10)])
    builder = TapeBuilder(both=True).snapshot(0, *levels).snapshot(0, *levels, book=1)
    for number in told:
        builder.resolution(700, 100 * number, book=number)
    here = world(builder, Habits(pays_s=0))

    async def main() -> None:
        venue = here.venues["venue"]
        await venue.submit(order(here, "a", Side.BUY, 52, 4))
        await venue.submit(order(here, "b", Side.BUY, 52, 3, outcome=1))
        await asyncio.sleep(1)
        assert await venue.positions() == {}
        assert await venue.balance() == 10_000 * MICRO - 7 * cents(52) + 3 * MICRO

    run(here, main)


def test_shares_that_settle_after_the_resolution_are_paid_then() -> None:
    here = world(book().resolution(700, 100), Habits(pays_s=0, settle_s=3))

    async def main() -> None:
        venue = here.venues["venue"]
        bought = order(here, "a", Side.BUY, 52, 4)
        await venue.submit(bought)
        await asyncio.sleep(1)
        assert await venue.balance() == 10_000 * MICRO - 4 * cents(52)
        await asyncio.sleep(2.5)
        assert (await venue.status(bought)).fills[0].settlement is Settlement.CONFIRMED
        assert await venue.balance() == 10_000 * MICRO + 4 * (MICRO - cents(52))

    run(here, main)


def test_without_the_habit_shares_stay_shares() -> None:
    here = world(book().resolution(700, 100), Habits())

    async def main() -> None:
        venue = here.venues["venue"]
        await venue.submit(order(here, "a", Side.BUY, 52, 4))
        await asyncio.sleep(5)
        assert await venue.positions() == {0: shares(4)}

    run(here, main)


def test_habits_of_a_venue_that_is_not_on_the_tape_are_refused() -> None:
    replay = Replay(book().tape())
    with pytest.raises(ConfigError, match="no venue 'kalshi', only venue"):
        replay.world(Scenario(habits={"kalshi": Habits()}), "test")


# -- grids and amounts ---------------------------------------------------------------------------------------


def test_a_grid_that_changes_in_mid_tape_is_the_venues_from_its_row_on_and_ours_when_we_hear_of_it() -> None:
    fine, coarse = Grid.of_tick("0.001"), Grid.of_tick("0.01")
    builder = book(grids=((0, coarse), (2**62, fine))).row(300, m.meta(m.KIND_GRID), 0, size=1, venue=200)
    builder.row(900, m.meta(m.KIND_GRID), 0, size=0)
    here = world(builder, Habits(), queue="through")

    async def main() -> None:
        venue, yes, no = here.venues["venue"], here.books[0], here.books[1]

        async def refused(key: str, limit: int, outcome: int = 0) -> bool:
            try:
                await venue.submit(Order(key, here.books[outcome], Side.BUY, price(f"0.{limit}"), shares(1), GTC))
            except OrderRejected as no:
                return "price grid" in str(no)
            return False

        assert here.feed.view(yes).grid == coarse
        assert await refused("a", 475)  # at the venue at 50
        await asyncio.sleep(0.1)  # 200: the next arrives at 250
        assert here.feed.view(yes).grid == coarse
        assert not await refused("b", 475)
        await asyncio.sleep(0.05)
        assert here.feed.view(yes).grid == fine
        assert here.feed.view(no).grid == fine
        assert not await refused("c", 475, outcome=1)
        await asyncio.sleep(1)
        assert await refused("d", 475)
        assert here.feed.view(yes).grid == coarse

    run(here, main)


def test_a_row_that_names_a_grid_its_market_has_not_is_refused() -> None:
    replay = Replay(book().row(300, m.meta(m.KIND_GRID), 0, size=3).tape())
    with pytest.raises(DataError, match=r"row 5: venue:m:yes has no price grid number 3"):
        replay.world(Scenario(), "test")


def refusal(grid: Grid, text: str) -> str:
    """What the venue says of a bid at this price in a market of this grid."""
    tape = TapeBuilder(a_table(a_market(grids=((0, grid),)))).snapshot(0, [(1, 10)], [(99, 10)]).tape()
    here = Replay(tape).world(Scenario(queue="through"), "test")
    one = Order("a", here.books[0], Side.BUY, price(text), shares(1), GTC)
    return here.matcher.place(one, ms(1), lambda *_: None).reason


def test_prices_are_taken_and_refused_as_kalshis_tapered_grids_say() -> None:
    known = json.loads((DATA / "kalshi_grids.json").read_text())
    for case in known["validity"]:
        grid = Grid.of_ranges(known["price_ranges"][case["structure"]])
        assert (refusal(grid, case["price"]) == "") is case["ok"], case


def test_prices_are_taken_and_refused_as_polymarkets_ticks_say() -> None:
    for case in json.loads((DATA / "polymarket_amounts.json").read_text())["order_validity"]:
        assert (refusal(Grid.of_tick(case["tick"]), case["price"]) == "") is case["ok"], case


def test_an_order_of_whole_lots_costs_what_polymarket_signs_to_the_last_unit() -> None:
    """Shares floored to the lot of 0.01 and a price on the tick leave no digit to round: money is exact."""
    cases = json.loads((DATA / "polymarket_amounts.json").read_text())["cases"]
    assert len(cases) == 40
    for case in cases:
        lots = Decimal(case["size_or_amount"]).quantize(Decimal("0.01"), rounding="ROUND_FLOOR")
        at, n = price(case["price"]), size(lots)
        assert Grid.of_tick(case["tick"]).holds(at)
        assert cost(at, n) == proceeds(at, n)
        give, get = (cost(at, n), n) if case["side"] == "BUY" else (n, proceeds(at, n))
        assert (str(give), str(get)) == (case["limit"]["makerAmount"], case["limit"]["takerAmount"]), case
