"""What a continuous run is worth when its markets close and pay inside the tape."""

from __future__ import annotations

import asyncio

import pytest

from arbkit.backtest.equity import Balance, balances
from arbkit.backtest.habits import Habits
from arbkit.backtest.ledger import Payout
from arbkit.backtest.run import Portfolio, run_portfolio
from arbkit.backtest.scan import scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.terms import REFUND, Resolution, resolutions
from arbkit.backtest.world import Replay
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Side,
    TimeInForce,
    TradeLeg,
)
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.detection.baskets import baskets
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, cents, ms, replace, shares

KNOWN = {
    "event": "game", "payout": Cash(MICRO), "exclusive": True, "exhaustive": True, "void": "half",
    "lot": Size(MICRO), "min_size": Size(MICRO),
}  # fmt: skip
CASH = 10_000 * MICRO


def bought() -> TapeBuilder:
    """At ten seconds five shares of both teams are to be had for 0.99."""
    first = TapeBuilder(a_table(a_market("a", **KNOWN), a_market("b", **KNOWN))).snapshot(0, [(30, 9)], [(52, 9)])
    first.snapshot(1, [(30, 9)], [(49, 20)], book=2)
    return first.level(10_000, ASK, 50, 5).level(10_400, ASK, 50, 0)


def run(tape: Tape, reply_ms: float = 20.0, **habits: float) -> Portfolio:
    one = baskets(tape, ["outcomes"])[:1]
    seen = scan_tape(
        tape, one, min_edge=Cash(100), gross=True, fees=None, max_size=shares(100), max_exposure=Cash(250 * MICRO)
    )
    scenario = Scenario(queue="through", entry_ms=20.0, reply_ms=reply_ms, habits={"venue": Habits(**habits)})  # type: ignore[arg-type]
    config = ExecutionConfig(edge="gross", max_slippage=0.0)
    return run_portfolio(tape, seen, one, ExecutionStrategy.MARKET, config, scenario)


@pytest.mark.parametrize(("a", "b"), [(100, 0), (0, 100), (50, 50)])
def test_a_basket_is_cash_once_its_markets_have_paid_whoever_won(a: int, b: int) -> None:
    tape = bought().resolution(20_000, a).resolution(21_000, b, book=2).mark(30_000).tape()
    done = run(tape, pays_s=2.0)
    (result,) = done.results
    assert result.outcome is Outcome.COMPLETED
    spent = CASH - 4_950_000
    assert done.equity[1] == (result.finished_at, spent, 5 * MICRO)
    assert done.equity[-1] == Balance(ms(23_000), spent + 5 * MICRO, 0)
    assert {point.cash + point.locked for point in done.equity[1:]} == {CASH + 50_000}  # the floor was what it paid
    assert [point.at for point in done.equity[2:]] == [ms(at) for at in (20_000, 21_000, 22_000, 23_000)]


def test_both_winning_pays_more_than_the_floor_and_equity_shows_it_when_it_is_known() -> None:
    tape = bought().resolution(20_000, 100).resolution(21_000, 100, book=2).mark(30_000).tape()
    worth = [point.cash + point.locked - CASH for point in run(tape, pays_s=2.0).equity[1:]]
    assert worth == [50_000, 50_000, 50_000 + 5 * MICRO, 50_000 + 5 * MICRO, 50_000 + 5 * MICRO]


def test_a_venue_that_does_not_pay_by_itself_leaves_shares_at_what_they_pay() -> None:
    """Polymarket's winners are redeemed by their holder: nothing becomes cash here, and nothing is worth less."""
    tape = bought().resolution(20_000, 100).resolution(21_000, 0, book=2).mark(30_000).tape()
    done = run(tape)
    assert done.equity[-1] == Balance(ms(21_000), CASH - 4_950_000, 5 * MICRO)


def test_what_would_be_paid_after_the_tape_is_not_paid_in_it() -> None:
    tape = bought().resolution(20_000, 100).resolution(21_000, 0, book=2).mark(30_000).tape()
    assert run(tape, pays_s=9.5).equity[-1] == Balance(ms(29_500), CASH - 4_950_000 + 5 * MICRO, 0)
    assert run(tape, pays_s=60.0).equity[-1].cash == CASH - 4_950_000


def test_a_match_that_settles_after_the_resolution_is_paid_when_it_has() -> None:
    tape = bought().resolution(10_900, 100).resolution(10_900, 0, book=2).mark(11_000).mark(30_000).tape()
    done = run(tape, pays_s=0.0, settle_s=5.0)
    assert done.equity[-1].cash + done.equity[-1].locked == CASH + 50_000


def test_a_venue_that_pays_before_the_trade_has_ended_makes_nobody_richer() -> None:
    """The venue has paid five dollars while the account has not heard of the fills that cost it 4.95."""
    tape = bought().resolution(10_450, 100).resolution(10_450, 0, book=2).mark(30_000).tape()
    done = run(tape, reply_ms=500.0, pays_s=0.0)
    (result,) = done.results
    assert result.finished_at > ms(10_450)
    assert done.equity == (Balance(ms(0), CASH, 0), Balance(result.finished_at, CASH + 50_000, 0))


def test_what_no_trade_explains_is_counted_when_the_last_of_its_book_has_ended() -> None:
    paid = [Payout(5, 0, shares(4), Cash(4 * MICRO)), Payout(6, 0, shares(9), Cash(9 * MICRO))]
    paid.append(Payout(7, 8, shares(1), Cash(MICRO)))  # of a book that nobody traded
    course = balances(Balance(0, 100 * MICRO, 0), [three_legs()], [], paid)
    assert [(one.at, one.cash) for one in course] == [(0, 100 * MICRO), (7, 101 * MICRO), (10, 105 * MICRO)]


def test_markets_of_which_nothing_is_held_add_no_step() -> None:
    gone = TapeBuilder(a_table(a_market("a", **KNOWN), a_market("b", **KNOWN))).snapshot(0, [(30, 9)], [(52, 9)])
    gone.snapshot(1, [(30, 9)], [(49, 20)], book=2).resolution(2_000, 100).mark(3_000)
    assert run(gone.tape(), pays_s=0.0).equity == (Balance(ms(0), CASH, 0),)


def three_legs() -> ExecutionResult:
    """Ten shares each of three teams, for 0.40, 0.30 and 0.20: whole baskets whose floor is a dollar."""
    books = a_table(*(a_market(team) for team in "abc")).books[::2]
    legs = []
    for number, (book, limit) in enumerate(zip(books, (40, 30, 20), strict=True)):
        fill = Fill(f"t{number}", cents(limit), shares(10), Cash(0), 1, 1, False)
        order = Order(f"o{number}", book, Side.BUY, cents(limit), shares(10), TimeInForce.FAK)
        order = replace(order, status=OrderStatus.FILLED, fills=(fill,))
        legs.append(TradeLeg(number, book, Side.BUY, shares(10), orders=(order,)))
    basket = Basket("b", Kind.OUTCOMES, "e", books, Cash(MICRO), Size(1), Size(1))
    opportunity = ArbitrageOpportunity("o", basket, 0, shares(10), Cash(0), Cash(0))
    trade = MultiLegTrade("t", opportunity, ExecutionStrategy.MARKET, tuple(legs))
    return ExecutionResult(trade, Outcome.COMPLETED, finished_at=10, cash=Cash(-9 * MICRO))


def void_at(at: int, *books: int) -> list[Resolution]:
    return [Resolution(at, book, Price(REFUND)) for book in books]


def test_a_refunded_leg_is_cash_and_no_part_of_the_floor_any_more() -> None:
    """Counted in both it would make four dollars from nothing."""
    opening, paid = Balance(0, 100 * MICRO, 0), [Payout(25, 0, shares(10), Cash(4 * MICRO))]
    course = balances(opening, [three_legs()], void_at(20, 0), paid)
    assert [(at, cash + locked) for at, cash, locked in course] == [
        (0, 100 * MICRO),
        *((t, 101 * MICRO) for t in (10, 20, 25)),
    ]
    assert course[-1] == Balance(25, 95 * MICRO, 6 * MICRO)


def test_a_refund_of_a_part_tells_what_the_rest_will_be_refunded() -> None:
    """Three shares are settled and paid; the other seven count at the same price, and the floor is rounded down."""
    paid = [Payout(25, 0, shares(3), Cash(1_000_000))]
    last = balances(Balance(0, 100 * MICRO, 0), [three_legs()], void_at(20, 0), paid)[-1]
    assert last == Balance(25, 92 * MICRO, 7 * 333_334 + 10 * (MICRO - 333_334))


def test_what_happens_at_one_moment_is_one_balance_and_the_opening_stays() -> None:
    paid = [Payout(25, 0, shares(10), Cash(4 * MICRO)), Payout(30, 2, shares(10), Cash(3 * MICRO))]
    paid.append(Payout(30, 4, shares(10), Cash(2 * MICRO)))
    course = balances(Balance(10, 100 * MICRO, 0), [three_legs()], [*void_at(20, 0), *void_at(30, 2, 4)], paid)
    assert [one.at for one in course] == [10, 10, 20, 25, 30]
    assert course[0] == Balance(10, 100 * MICRO, 0)
    assert course[-1] == Balance(30, 100 * MICRO, 0)


# -- void ----------------------------------------------------------------------------------------------------


def void(rule: str, **more: object) -> TapeBuilder:
    table = a_table(a_market("m", resolution="void", void=rule, **more))
    return TapeBuilder(table).snapshot(0, [(48, 10)], [(52, 10), (53, 20)])


def account(tape: Tape, *buys: tuple[int, int], sells: int = 0) -> int:
    """What (cents, shares) bought of YES have brought in the end, with `sells` of them sold at 48 before."""
    world = Replay(tape).world(Scenario(habits={"venue": Habits(pays_s=1.0)}, entry_ms=5.0, reply_ms=5.0), "test")

    async def main() -> int:
        venue, book = world.venues["venue"], world.books[0]
        await asyncio.sleep(0.01)
        for number, (limit, size) in enumerate(buys):
            await venue.submit(Order(f"o{number}", book, Side.BUY, cents(limit), shares(size), TimeInForce.FAK))
        if sells:
            await venue.submit(Order("s", book, Side.SELL, cents(48), shares(sells), TimeInForce.FAK))
        await asyncio.sleep(5.0)
        assert await venue.positions() == {}
        return int(await venue.balance()) - CASH

    made = world.run(main())
    world.check()
    assert (
        sum(payout.amount for payout in world.paid(ms(10_000)))
        == made + sum(limit * size * 10_000 for limit, size in buys) - sells * 480_000
    )
    return made


def test_a_refund_pays_back_what_was_paid_and_the_loss_of_what_was_sold_stays() -> None:
    tape = void("refund").resolution(1_000, 50).mark(60_000).tape()
    assert {one.payout for one in resolutions(tape)} == {REFUND}
    assert account(tape, (52, 10), (53, 5)) == 0
    assert account(tape, (52, 10), sells=4) == -4 * 40_000


def test_the_last_price_is_that_of_the_last_trade_before_by_the_venues_clock() -> None:
    builder = void("last_price").trade(300, 47, 1).trade(400, 45, 1, venue=200).resolution(1_000, 50)
    tape = builder.trade(1_100, 10, 1).mark(60_000).tape()
    assert {(one.book, one.payout) for one in resolutions(tape)} == {(0, cents(47)), (1, cents(53))}
    assert account(tape, (52, 10)) == -10 * 50_000


def test_a_market_never_traded_pays_what_its_row_says_and_a_void_by_halves_as_well() -> None:
    never = void("last_price").resolution(1_000, 50).mark(60_000).tape()
    assert {one.payout for one in resolutions(never)} == {cents(50)}
    assert account(never, (52, 10)) == -10 * 20_000
    halves = void("half").trade(300, 47, 1).resolution(1_000, 50).mark(60_000).tape()
    assert account(halves, (52, 10)) == -10 * 20_000


def test_of_two_recorded_books_each_is_read_on_its_own_scale() -> None:
    table = a_table(a_market("m", resolution="void", void="last_price"), both=True)
    builder = TapeBuilder(table).snapshot(0, [(48, 10)], [(52, 10)]).snapshot(0, [(48, 10)], [(52, 10)], book=1)
    builder.trade(300, 56, 1, book=1).level(400, BID, 47, 3).resolution(1_000, 50).resolution(1_000, 50, book=1)
    assert [(one.book, one.payout) for one in resolutions(builder.tape())] == [(0, cents(44)), (1, cents(56))]
