"""Money, fees and messages at a simulated venue, to the millionth of a dollar and the nanosecond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import structs

from arbkit.backtest.habits import Habits
from arbkit.backtest.latency import Constant, LatencyModel
from arbkit.backtest.ledger import Ledger, rule_at, worst_cost
from arbkit.backtest.matching import Match, OnMatch, Placed
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.simulated_venue import SimulatedVenue
from arbkit.backtest.terms import REFUND
from arbkit.backtest.world import Replay, World
from arbkit.books import meta as m
from arbkit.core.errors import ConfigError, DataError, InvariantViolation, OrderRejected
from arbkit.core.model import Fill, Order, OrderReport, OrderStatus, Settlement, Side, TimeInForce
from arbkit.core.ports import Venue
from arbkit.core.units import MICRO, Cash, cost
from arbkit.fees import FeeRule, rule
from tests.builders import ASK, BID, START, TapeBuilder, a_market, a_table, cents, ms, shares

FAK, GTC = TimeInForce.FAK, TimeInForce.GTC
PROVISIONAL, CONFIRMED, VOIDED = Settlement.PROVISIONAL, Settlement.CONFIRMED, Settlement.VOIDED
KALSHI = rule("kalshi-2026-07-07")


def book() -> TapeBuilder:
    return TapeBuilder().snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)])


def world(builder: TapeBuilder, fees: FeeRule | None = None, **scenario: Any) -> World:
    tape = builder.tape()
    replay = Replay(tape, None if fees is None else {book.index: fees for book in tape.markets.books})
    replay.forward(4)
    return replay.world(Scenario(**scenario), "test")


def order(here: World, key: str, side: Side, limit: int, size: int, tif: TimeInForce = FAK, outcome: int = 0) -> Order:
    return Order(key, here.books[outcome], side, cents(limit), shares(size), tif)


def run(here: World, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    here.run(main())
    here.check()


def test_it_is_a_venue() -> None:
    here = world(book())
    venue: Venue = here.venues["venue"]
    assert venue.name == "venue"
    assert not here.venues["venue"].live


def test_an_order_is_matched_entry_later_and_answered_reply_after_that() -> None:
    here = world(book(), entry_ms=30, reply_ms=20, decide_ms=5)

    async def main() -> None:
        report = await here.venues["venue"].submit(order(here, "a", Side.BUY, 52, 1))
        assert here.clock.now() == report.at == report.fills[0].at == ms(55)
        assert report.fills[0].venue_at == ms(35)
        await here.venues["venue"].cancel(order(here, "a", Side.BUY, 52, 1))
        assert here.clock.now() == ms(105)  # only an order waits for a decision

    run(here, main)


def test_cash_moves_by_costs_rounded_up_and_proceeds_rounded_down_and_fees() -> None:
    here = world(book(), KALSHI)

    async def main() -> None:
        venue = here.venues["venue"]
        bought = await venue.submit(order(here, "a", Side.BUY, 53, 15))
        paid = sum(cost(fill.price, fill.size) + fill.fee for fill in bought.fills)
        assert sum(fill.fee for fill in bought.fills) == KALSHI.order_fee(
            [(fill.price, fill.size) for fill in bought.fills], maker=False
        )
        assert all(fill.fee > 0 for fill in bought.fills)
        assert await venue.balance() == 10_000 * MICRO - paid
        sold = await venue.submit(order(here, "b", Side.SELL, 48, 3))
        fee = KALSHI.order_fee([(cents(48), shares(3))], maker=False, sell=True)
        assert sold.fills[0].fee == fee
        assert await venue.balance() == 10_000 * MICRO - paid + 3 * cents(48) - fee
        assert await venue.positions() == {0: shares(12)}

    run(here, main)


def test_without_rules_nothing_is_charged() -> None:
    here = world(book())

    async def main() -> None:
        report = await here.venues["venue"].submit(order(here, "a", Side.BUY, 52, 3))
        assert report.fills[0].fee == 0

    run(here, main)


def test_makers_pay_the_makers_fee_and_one_order_is_one_reckoning() -> None:
    makers = rule("kalshi-2026-07-07-makers")
    here = world(book().trade(200, 48, 12).trade(1_500, 48, 1).trade(1_600, 48, 1), makers)

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 4, GTC)
        await venue.submit(resting)
        fills = [report async for report in venue.reports(resting)][-1].fills
        assert [fill.size for fill in fills] == [shares(2), shares(1), shares(1)]
        together = makers.order_fee([(fill.price, fill.size) for fill in fills], maker=True)
        assert sum(fill.fee for fill in fills) == together > 0

    run(here, main)


def test_a_rule_that_changes_charges_by_the_time_of_the_match() -> None:
    history = [(0, rule("none")), (ms(100), KALSHI)]
    yes = a_table().books[0]
    assert rule_at({0: history}, yes, ms(99)) is history[0][1]
    assert rule_at({1: history}, yes, ms(100)) is KALSHI
    assert rule_at(None, yes, 0) is None
    with pytest.raises(DataError, match="venue:m:yes"):
        rule_at({7: KALSHI}, yes, 0)


# -- reservations --------------------------------------------------------------------------------------------


def test_open_orders_reserve_what_they_may_cost_and_give_back_what_they_did_not() -> None:
    here = world(book().trade(300, 47, 3), KALSHI, balances=10.0)

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 8, GTC)
        await venue.submit(resting)
        free = await venue.balance()
        assert free == 10 * MICRO - worst_cost(resting, shares(8), KALSHI)
        with pytest.raises(OrderRejected, match="balance: "):
            await venue.submit(order(here, "b", Side.BUY, 52, 13))
        assert await venue.balance() == free
        await asyncio.sleep(1)
        part = (await venue.status(resting)).fills
        assert [fill.size for fill in part] == [shares(3)]
        await venue.cancel(resting)
        assert await venue.balance() == 10 * MICRO - cost(part[0].price, part[0].size) - part[0].fee

    run(here, main)


def test_shares_on_offer_cannot_be_offered_twice() -> None:
    here = world(book(), queue="through")

    async def main() -> None:
        venue = here.venues["venue"]
        await venue.submit(order(here, "a", Side.BUY, 52, 5))
        await venue.submit(order(here, "b", Side.SELL, 60, 4, GTC))
        with pytest.raises(OrderRejected, match="position: 1000000 shares free"):
            await venue.submit(order(here, "c", Side.SELL, 48, 2))
        with pytest.raises(OrderRejected, match="position"):
            await venue.submit(order(here, "d", Side.SELL, 48, 1, outcome=1))
        await venue.cancel(order(here, "b", Side.SELL, 60, 4, GTC))
        assert (await venue.submit(order(here, "e", Side.SELL, 48, 5))).status is OrderStatus.FILLED

    run(here, main)


def test_an_unanswered_order_keeps_its_reservation() -> None:
    here = world(book(), entry_ms=1_000)

    async def main() -> None:
        venue = here.venues["venue"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await venue.submit(order(here, "a", Side.BUY, 50, 10))
        assert await venue.balance() == 10_000 * MICRO - 10 * cents(50)
        await asyncio.sleep(1)
        assert await venue.balance() == 10_000 * MICRO

    run(here, main)


def test_the_dearest_fee_on_the_way_to_a_limit_is_reserved() -> None:
    yes = a_table().books[0]
    high = Order("a", yes, Side.BUY, cents(90), shares(10), FAK)
    assert worst_cost(high, shares(10), None) == 10 * cents(90)
    fee = KALSHI.trade_fee(cents(50), shares(10), maker=False)
    assert worst_cost(high, shares(10), KALSHI) == 10 * cents(90) + fee + KALSHI.step + KALSHI.balance_precision


# -- messages ------------------------------------------------------------------------------------------------


def test_a_market_that_closes_ends_what_rests_and_says_so() -> None:
    here = world(book().trade(100, 30, 1, m.BUYER).status(300, m.CLOSED))

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 8, GTC)
        await venue.submit(resting)
        heard = [report async for report in venue.reports(resting)]
        assert (heard[-1].status, heard[-1].reason) == (
            OrderStatus.CANCELLED,
            "closed market: the venue cancelled what rested",
        )
        assert here.clock.now() == ms(350)
        assert await venue.balance() == 10_000 * MICRO

    run(here, main)


def test_late_words_cannot_undo_a_final_one() -> None:
    """With jitter an early report may arrive after the answer to the cancel; the order stays as it ended."""
    builder = book()
    for n in range(40):
        builder.trade(120 + n, 47, 1)
    here = world(builder, jitter=1.5, seed=3)

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 30, GTC)
        known = resting.moved(OrderStatus.SUBMITTED).told(await venue.submit(resting))
        known = known.told(await venue.cancel(resting))
        filled = known.filled
        await asyncio.sleep(5)
        async for report in venue.reports(resting):
            known = known.told(report)
        assert known.filled == filled
        assert known.is_final
        assert await venue.positions() == ({0: filled} if filled else {})

    run(here, main)


def test_one_more_message_moves_no_other_draw() -> None:
    def times(extra: bool) -> list[int]:
        here = world(book(), jitter=0.8, seed=11, queue="through")
        seen: list[int] = []

        async def main() -> None:
            venue = here.venues["venue"]
            first = order(here, "a", Side.BUY, 47, 1, GTC)
            seen.append((await venue.submit(first)).at - START)
            began = here.clock.now()
            if extra:
                await venue.status(first)
                began = here.clock.now()
            seen.append((await venue.cancel(first)).at - began)
            began = here.clock.now()
            seen.append((await venue.submit(order(here, "b", Side.BUY, 47, 1, GTC))).at - began)

        run(here, main)
        return seen

    assert times(False) == times(True)
    assert len(set(times(False))) == 3


def test_prints_missing_from_the_tape_are_named_as_soon_as_an_order_rests() -> None:
    here = world(book())

    async def main() -> None:
        await here.venues["venue"].submit(order(here, "a", Side.BUY, 48, 1, GTC))

    with pytest.raises(ConfigError, match=r"no trades of venue.*scenario\.queue = \"through\""):
        run(here, main)
    free = world(book(), queue="through")

    async def rests() -> None:
        assert (await free.venues["venue"].submit(order(free, "a", Side.BUY, 48, 1, GTC))).status is OrderStatus.OPEN

    run(free, rests)


class Instant:
    """Matches everything at its limit, at once: for loops without virtual time."""

    def place(self, order: Order, at: int, on_match: OnMatch) -> Placed:
        return Placed(OrderStatus.FILLED, (Match(order.limit, order.size, at, -1, "instant", False, order.limit),))

    def cancel(self, key: str, at: int) -> bool:
        return False


async def test_on_a_real_loop_it_waits_real_time() -> None:
    """Paper trading: the same venue, asyncio's own loop."""
    venue = SimulatedVenue("paper", Instant(), LatencyModel(1_000_000, 1_000_000), cash=Cash(10 * MICRO))
    yes = a_table().books[0]
    report = await venue.submit(Order("a", yes, Side.BUY, cents(50), shares(2), FAK))
    assert report.status is OrderStatus.FILLED
    assert report.fills[0].at - report.fills[0].venue_at >= 1_000_000
    assert await venue.balance() == 9 * MICRO
    venue.check()


# -- the ledger ----------------------------------------------------------------------------------------------


def a_fill(price: int, size: int, fee: int = 0) -> Fill:
    return Fill("f", cents(price), shares(size), Cash(fee), 0, 0, False)


def test_a_ledger_that_does_not_add_up_is_a_broken_invariant() -> None:
    yes = a_table(a_market()).books[0]
    buy = Order("a", yes, Side.BUY, cents(50), shares(2), FAK)
    sell = Order("b", yes, Side.SELL, cents(50), shares(3), FAK)
    ledger = Ledger(Cash(10 * MICRO))
    ledger.book(buy, a_fill(50, 2, 7))
    assert ledger.cash == 9 * MICRO - 7
    ledger.check(10 * MICRO, [(buy, [a_fill(50, 2, 7)])])
    with pytest.raises(InvariantViolation, match="cash is"):
        ledger.check(10 * MICRO, [(buy, [a_fill(50, 2, 6)])])
    ledger.cash = Cash(10 * MICRO)
    with pytest.raises(InvariantViolation, match="positions are"):
        ledger.check(10 * MICRO, [])
    short = Ledger(Cash(0))
    short.book(sell, a_fill(50, 3))
    with pytest.raises(InvariantViolation, match="sold more"):
        short.check(0, [(sell, [a_fill(50, 3)])])


def test_a_venue_checks_what_it_says_of_its_orders() -> None:
    here = world(book().level(200, BID, 48, 1).level(300, ASK, 53, 1))
    venue = here.venues["venue"]

    async def main() -> None:
        await venue.submit(order(here, "a", Side.BUY, 52, 1))

    here.run(main())
    here.check()
    venue._desk.records["a"].status = OrderStatus.CANCELLED
    with pytest.raises(InvariantViolation, match="a: CANCELLED with 0 left"):
        here.check()


def test_reports_are_values_of_their_moment() -> None:
    """A report does not change when more is heard of the order later."""
    here = world(book().trade(300, 47, 3).trade(600, 47, 3))
    kept: list[OrderReport] = []

    async def main() -> None:
        venue = here.venues["venue"]
        resting = order(here, "a", Side.BUY, 48, 6, GTC)
        kept.append(await venue.submit(resting))
        async for report in venue.reports(resting):
            kept.append(report)  # noqa: PERF401 - as they come

    run(here, main)
    assert [len(report.fills) for report in kept] == [0, 0, 1, 2]
    assert [report.at - START for report in kept] == [100_000_000, 100_000_000, 350_000_000, 650_000_000]


def test_a_fill_that_is_heard_of_after_its_market_was_paid_is_paid_at_once() -> None:
    yes = a_table(a_market()).books[0]
    buy = Order("a", yes, Side.BUY, cents(50), shares(2), FAK)
    ledger = Ledger(Cash(10 * MICRO))
    ledger.resolve(yes.index, MICRO, 0)
    ledger.book(buy, a_fill(50, 2))
    assert (ledger.cash, ledger.held) == (11 * MICRO, {0: 0})
    ledger.check(10 * MICRO, [(buy, [a_fill(50, 2)])])


def a_trade(key: str, side: Side, limit: int, size: int, settlement: Settlement = CONFIRMED) -> tuple[Order, Fill]:
    """An order and its only fill."""
    one = Order(key, a_table(a_market()).books[0], side, cents(limit), shares(size), FAK)
    return one, structs.replace(a_fill(limit, size), trade_id=key, settlement=settlement)


@pytest.mark.parametrize("more", [0, 10])
@pytest.mark.parametrize("part", [4, 10])
def test_a_sale_that_fails_after_a_refund_is_paid_back_what_the_shares_cost(part: int, more: int) -> None:
    """Ten bought at 40, some sold at 60 and then not sold after all: the refund is four dollars, as without the sale."""
    ledger = Ledger(Cash(100 * MICRO))
    first, (sale, sold) = a_trade("b", Side.BUY, 40, 10), a_trade("s", Side.SELL, 60, part, PROVISIONAL)
    ledger.book(*first)
    ledger.book(sale, sold)
    later = [a_trade("c", Side.BUY, 70, more)] if more else []
    for one in later:  # dearer ones move the average of what stayed
        ledger.book(*one)
    ledger.resolve(0, REFUND, 5)
    failed = structs.replace(sold, settlement=VOIDED)
    ledger.settle(sale, failed, 6)
    assert (ledger.cash, ledger.held, ledger.spent, ledger.provisional) == (100 * MICRO, {0: 0}, {0: 0}, {})
    ledger.check(100 * MICRO, [(one, [fill]) for one, fill in [first, *later, (sale, failed)]])


@pytest.mark.parametrize("sells", [0, 5])
def test_a_refund_of_settled_shares_counts_nothing_of_a_match_that_may_still_fail(sells: int) -> None:
    ledger = Ledger(Cash(100 * MICRO))
    first, (dear, match) = a_trade("b", Side.BUY, 40, 10), a_trade("c", Side.BUY, 60, 10, PROVISIONAL)
    ledger.book(*first)
    ledger.book(dear, match)
    sale = [a_trade("s", Side.SELL, 40, sells)] if sells else []
    for one in sale:
        ledger.book(*one)
    ledger.resolve(0, REFUND, 5)
    assert [(paid.shares, paid.amount) for paid in ledger.payouts] == [(shares(10 - sells), (10 - sells) * 400_000)]
    failed = structs.replace(match, settlement=VOIDED)
    ledger.settle(dear, failed, 6)
    assert (ledger.cash, ledger.spent) == (100 * MICRO, {0: 0})
    ledger.check(100 * MICRO, [(one, [fill]) for one, fill in [first, *sale, (dear, failed)]])


def test_a_refund_of_more_than_was_paid_is_a_broken_invariant() -> None:
    ledger, bought = Ledger(Cash(10 * MICRO)), a_trade("b", Side.BUY, 40, 10)
    ledger.book(*bought)
    ledger.spent[0] += 1
    ledger.resolve(0, REFUND, 5)
    with pytest.raises(InvariantViolation, match="refunded 1 more"):
        ledger.check(10 * MICRO, [(bought[0], [bought[1]])])


@pytest.mark.parametrize("sold", [3, 10])
@pytest.mark.parametrize("payout", [REFUND, 0, 333_333, MICRO])
def test_word_of_a_sale_that_comes_after_the_payout_changes_nothing(payout: int, sold: int) -> None:
    buy, other, sell = (
        a_trade("b", Side.BUY, 41, 10), a_trade("c", Side.BUY, 44, 7, PROVISIONAL), a_trade("s", Side.SELL, 60, sold)
    )  # fmt: skip
    accounts = []
    for late in (False, True):
        ledger = Ledger(Cash(100 * MICRO))
        ledger.book(*buy)
        ledger.book(*other)
        if not late:
            ledger.book(*sell)
        ledger.resolve(0, payout, 5)
        if late:
            assert ledger.held == {0: shares(7)}
            ledger.book(*sell)
        confirmed = structs.replace(other[1], settlement=CONFIRMED)
        ledger.settle(other[0], confirmed, 9)
        ledger.check(100 * MICRO, [(buy[0], [buy[1]]), (other[0], [confirmed]), (sell[0], [sell[1]])])
        accounts.append((ledger.cash, ledger.held, [paid[1:] for paid in ledger.payouts]))
    assert accounts[0] == accounts[1]


def test_a_message_that_comes_with_word_of_the_payout_is_booked_before_it() -> None:
    """Bought and sold before the market was void; the report of the sale is the first word after the refund."""
    table = a_table(a_market("m", resolution="void", void="refund"))
    builder = TapeBuilder(table).snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)]).trade(600, 50, 4, m.BUYER)
    builder.resolution(700, 50).mark(5_000)
    here = world(builder, habits={"venue": Habits(pays_s=0.0)}, latency={"report": Constant(400)})
    venue = here.venues["venue"]

    async def main() -> None:
        await venue.submit(order(here, "b", Side.BUY, 52, 10))
        resting = order(here, "s", Side.SELL, 49, 4, GTC)
        await venue.submit(resting)
        assert [len(report.fills) async for report in venue.reports(resting)] == [0, 1]
        assert here.clock.now() == ms(1_000)
        assert await venue.balance() == 10_000 * MICRO - 4 * cents(3)
        assert await venue.positions() == {}

    run(here, main)
    assert venue._known.payouts == [(ms(700), 0, shares(6), 6 * cents(52))]
