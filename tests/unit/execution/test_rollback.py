"""Undoing by numbers: what can be sent, what it would come to, and how far it may go."""

from __future__ import annotations

import pytest

from arbkit.backtest.mock_platform import MockFees
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import (
    ExecutionStrategy,
    Fill,
    Health,
    MultiLegTrade,
    Order,
    OrderStatus,
    Purpose,
    Side,
    TimeInForce,
)
from arbkit.core.units import Price, cash, price, size
from arbkit.execution.accounting import cash_of, is_complete, is_even, unwind_cost
from arbkit.execution.rollback import choose, loss_bound, priced, targets
from arbkit.execution.terms import Terms
from tests.rig import NO_B, YES_A, Rig, a_market, virtual


def with_fill(
    trade: MultiLegTrade, index: int, shares: str, at: str, purpose: Purpose = Purpose.ENTRY, fee: str = "0"
) -> MultiLegTrade:
    """The trade after an order of one leg was filled: bought as an entry or a completion, else sold."""
    leg = trade.legs[index]
    side = Side.BUY if purpose in (Purpose.ENTRY, Purpose.COMPLETE) else Side.SELL
    n = len(leg.orders)
    fill = Fill(f"{index}-{n}", price(at), size(shares), cash(fee), 0, 0, False)
    order = Order(
        f"{index}.{n}",
        leg.book,
        side,
        price(at),
        size(shares),
        TimeInForce.FAK,
        purpose=purpose,
        status=OrderStatus.FILLED,
        fills=(fill,),
    )
    return trade.with_leg(leg.with_order(order))


def a_trade(rig: Rig, *held: str) -> MultiLegTrade:
    """A trade of 100 decided at 0.40 and 0.55, with so many shares of each leg bought at those prices."""
    trade = virtual(rig.trade(ExecutionStrategy.MARKET))
    for index, (shares, at) in enumerate(zip(held, ("0.40", "0.55"), strict=True)):
        if shares != "0":
            trade = with_fill(trade, index, shares, at)
    return trade


def kinds(trade: MultiLegTrade) -> dict[str, tuple[int, list[tuple[int, int]]]]:
    return {
        target.kind.value: (target.size // 10**6, [(leg, shares // 10**6) for leg, shares in target.orders])
        for target in targets(trade)
    }


def chosen(rig: Rig, trade: MultiLegTrade) -> tuple[str, int, list[tuple[int, Price]]] | None:
    plan = choose(trade, [rig.feed.view(leg) for leg in rig.basket.legs], Terms.of(rig.config))
    return plan and (plan.kind.value, plan.pnl, [(order.leg, order.limit) for order in plan.orders])


# -- what can be sent --------------------------------------------------------------------------------------------


def test_the_three_ways_out_of_a_lopsided_trade() -> None:
    assert kinds(a_trade(Rig(), "100", "60")) == {
        "complete": (100, [(1, 40)]),
        "trim": (60, [(0, 40)]),
        "exit": (0, [(0, 100), (1, 60)]),
    }


def test_a_trim_that_leaves_nothing_is_an_exit() -> None:
    assert kinds(a_trade(Rig(), "100", "0")) == {"complete": (100, [(1, 100)]), "exit": (0, [(0, 100)])}


def small(least: str = "5", lot: str = "1") -> Rig:
    return Rig(markets=(a_market("alpha", min_size=least), a_market("beta", min_size=least, lot=lot)))


def test_a_part_below_the_minimum_order_moves_both_legs() -> None:
    assert kinds(a_trade(small(), "97", "100")) == {
        "complete": (105, [(0, 8), (1, 5)]),
        "trim": (92, [(0, 5), (1, 8)]),
        "exit": (0, [(0, 97), (1, 100)]),
    }


def test_what_no_order_can_move_leaves_only_completing_up_to_the_minimum() -> None:
    assert kinds(a_trade(small(), "3", "0")) == {"complete": (8, [(0, 5), (1, 8)])}


def test_lots_of_two_sizes_meet_on_the_coarser_one() -> None:
    rig = Rig(markets=(a_market("alpha"), a_market("beta", lot="0.01")))
    trade = virtual(rig.trade(ExecutionStrategy.MARKET))
    trade = with_fill(with_fill(trade, 0, "100", "0.40"), 1, "60.25", "0.55")
    found = {target.kind.value: (target.size, target.orders) for target in targets(trade)}
    assert found["complete"] == (size("100"), ((1, size("39.75")),))
    assert found["trim"] == (size("59"), ((0, size("41")), (1, size("1.25"))))


# -- which one ---------------------------------------------------------------------------------------------------


def test_completing_is_chosen_where_it_keeps_most() -> None:
    rig = Rig()
    assert chosen(rig, a_trade(rig, "100", "60")) == ("complete", cash("5"), [(1, price("0.55"))])


def test_trimming_is_chosen_where_completing_costs_more_than_the_spread() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "60")
    rig.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.66", "200")])
    # 60 baskets keep 3.00, 40 shares bought at 0.40 go at 0.38
    assert chosen(rig, trade) == ("trim", cash("2.2"), [(0, price("0.38"))])


def test_leaving_altogether_is_chosen_where_bids_pay_more_than_the_floor() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "60")
    rig.alpha.set_book(YES_A, bids=[("0.50", "200")], asks=[("0.51", "200")])
    rig.beta.set_book(NO_B, bids=[("0.58", "200")], asks=[("0.60", "200")])
    assert chosen(rig, trade) == ("exit", cash("11.8"), [(0, price("0.50")), (1, price("0.58"))])


def test_takers_fees_decide_too() -> None:
    rig = Rig(fees=MockFees(taker_ppm=10_000))
    trade = a_trade(rig, "100", "60")
    rig.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.62", "200")])
    assert chosen(rig, trade) == ("trim", cash("2.2") - cash("0.152"), [(0, price("0.38"))])
    # completing would keep 5.00 - 40 * 0.07 = 2.20 too, and pay 0.248 of fees instead of 0.152


def test_a_book_that_is_not_healthy_prices_nothing() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "60")
    rig.beta.view(rig.basket.legs[1]).health = Health.GAPPED
    assert chosen(rig, trade) == ("trim", cash("2.2"), [(0, price("0.38"))])
    rig.alpha.view(rig.basket.legs[0]).health = Health.SILENT
    assert chosen(rig, trade) is None


def test_what_a_book_holds_whole_goes_before_a_part_that_looks_better() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "60")
    rig.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.50", "10")])
    assert chosen(rig, trade) == ("trim", cash("2.2"), [(0, price("0.38"))])
    rig.alpha.set_book(YES_A, asks=[("0.40", "10")])
    assert chosen(rig, trade) == ("complete", cash("70") - cash("78"), [(1, price("0.50"))])


# -- how far -----------------------------------------------------------------------------------------------------


def test_nothing_is_sold_below_the_loss_bound() -> None:
    rig = Rig(config=ExecutionConfig(max_unwind_loss=0.05))
    trade = a_trade(rig, "100", "0")
    assert loss_bound(trade, Terms.of(rig.config)) == cash("4.75")  # 5 % of 95 dollars
    rig.beta.set_book(NO_B)
    rig.alpha.set_book(YES_A, bids=[("0.36", "200")])
    assert chosen(rig, trade) == ("exit", cash("-4"), [(0, price("0.36"))])
    rig.alpha.set_book(YES_A, bids=[("0.35", "200")])
    assert chosen(rig, trade) is None


def test_a_limit_comes_nearer_until_all_of_the_order_could_fill_at_it() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "0")
    rig.beta.set_book(NO_B)
    rig.alpha.set_book(YES_A, bids=[("0.38", "50"), ("0.37", "20"), ("0.30", "200")])
    plan = choose(trade, [rig.feed.view(leg) for leg in rig.basket.legs], Terms.of(rig.config))
    assert plan is not None
    assert (plan.orders[0].limit, plan.orders[0].size, plan.whole) == (price("0.37"), size("100"), False)


def test_slip_is_used_as_far_as_the_bound_allows() -> None:
    for slip, limit in ((0.01, "0.37"), (0.5, "0.38")):  # a cent more is within the bound, half a dollar is not
        rig = Rig(config=ExecutionConfig(max_slippage=slip, max_unwind_loss=0.04))
        trade = a_trade(rig, "100", "0")
        rig.beta.set_book(NO_B)
        plan = choose(trade, [rig.feed.view(leg) for leg in rig.basket.legs], Terms.of(rig.config))
        assert plan is not None
        assert plan.orders[0].limit == price(limit)


def test_a_kind_that_was_just_refused_is_passed_over_once() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "60")
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    plan = choose(trade, views, Terms.of(rig.config), (Purpose.COMPLETE,))
    assert plan is not None
    assert plan.kind is Purpose.TRIM


def test_a_plan_is_priced_on_a_book_with_nothing_as_none() -> None:
    rig = Rig()
    trade = a_trade(rig, "100", "60")
    rig.beta.set_book(NO_B)
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    assert [priced(trade, target, views, Terms.of(rig.config)) is None for target in targets(trade)] == [
        True,
        False,
        True,
    ]


# -- the money ---------------------------------------------------------------------------------------------------


def test_cash_is_every_fill_less_fees() -> None:
    trade = with_fill(a_trade(Rig(), "100", "60"), 0, "40", "0.38", Purpose.TRIM, fee="0.5")
    assert cash_of(trade) == cash("-40") + cash("-33") + cash("15.2") - cash("0.5")


def test_unwind_cost_is_measured_against_the_entry_price_and_at_decision_without_one() -> None:
    sold = with_fill(a_trade(Rig(), "100", "60"), 0, "40", "0.38", Purpose.TRIM, fee="0.5")
    assert unwind_cost(sold) == cash("0.8") + cash("0.5")
    bought = with_fill(a_trade(Rig(), "100", "0"), 1, "100", "0.57", Purpose.COMPLETE)
    assert unwind_cost(bought) == cash("2")
    assert unwind_cost(a_trade(Rig(), "100", "60")) == 0


@pytest.mark.parametrize(("shares", "even"), [("60", True), ("60.5", True), ("61", False)])
def test_legs_within_dust_are_even(shares: str, even: bool) -> None:
    assert is_even(a_trade(Rig(), "60", shares)) is even


def test_dust_against_nothing_is_not_even() -> None:
    assert not is_even(a_trade(Rig(), "0.5", "0"))
    assert is_even(a_trade(Rig(), "0", "0"))


def test_complete_is_judged_on_entry_orders_alone() -> None:
    trade = a_trade(Rig(), "100", "99.5")
    assert is_complete(trade)
    undone = with_fill(a_trade(Rig(), "100", "60"), 1, "40", "0.55", Purpose.COMPLETE)
    assert is_even(undone)
    assert not is_complete(undone)
