# ruff: noqa: N802
"""An entry leaves with every permission there is; an undo needs none but to be no larger than what it undoes."""

from __future__ import annotations

import pytest

from arbkit.core.model import MultiLegTrade, Order, OrderStatus, Outcome, Purpose, Settlement, Side
from arbkit.core.units import cash
from arbkit.risk.bounds import RiskLimits
from arbkit.risk.kill_switch import KillFlag
from arbkit.risk.limits import RiskManager
from tests.unit.risk.desk import (
    NOW,
    YES_B,
    a_basket,
    a_desk,
    a_trade,
    an_order,
    bought,
    ended,
    put,
    running,
)

S = OrderStatus
INTENT = {"status": S.INTENT}


def entry(trade: MultiLegTrade, leg: int = 0, shares: str = "100", limit: str = "") -> Order:
    return an_order(trade, leg, shares, limit, status=S.INTENT)


def sale(trade: MultiLegTrade, leg: int, shares: str, purpose: Purpose = Purpose.EXIT) -> Order:
    return an_order(trade, leg, shares, "0.01", status=S.INTENT, side=Side.SELL, purpose=purpose, key="sale")


def completion(trade: MultiLegTrade, leg: int, shares: str) -> Order:
    return an_order(trade, leg, shares, "0.99", status=S.INTENT, purpose=Purpose.COMPLETE, key="completion")


def sent(risk: RiskManager, trade: MultiLegTrade, order: Order, now: int = NOW) -> str:
    """Ask as the engine does: the intent stands in the trade already."""
    return risk.may_send(order, put(trade, order), now)


def test_an_entry_of_a_running_trade_may_leave_told_of_in_the_trade_or_not() -> None:
    risk = a_desk()
    trade = running(risk, a_trade())
    assert sent(risk, trade, entry(trade)) == ""
    assert risk.may_send(entry(trade), trade, NOW) == ""


def test_an_entry_without_a_reservation_stays() -> None:
    risk = a_desk()
    trade = a_trade()
    why = "trade t is not running: nothing is reserved for an entry"
    assert sent(risk, trade, entry(trade)) == why
    risk.finish(ended(running(risk, trade), Outcome.ESCALATED))
    assert sent(risk, trade, entry(trade)) == why
    risk.acknowledge("t")
    assert sent(risk, trade, entry(trade)) == why


def test_an_order_for_no_leg_of_its_trade_stays() -> None:
    risk = a_desk()
    trade = running(risk, a_trade())
    other = entry(a_trade("u", basket=a_basket(YES_B, YES_B)))
    assert risk.may_send(other, trade, NOW) == "u.0.entry.0 is for beta:m:yes, which is no leg of t"


# -- kill, blocks, pauses --------------------------------------------------------------------------------------


def test_fault_U5_the_kill_switch_stops_entries_and_no_undo_also_during_a_hedge_and_thrown_twice() -> None:
    kill = KillFlag()
    risk = a_desk(kill=kill)
    trade = running(risk, bought(a_trade(), 0, "100"))
    for _ in range(2):
        kill.engage("stop", NOW)
        assert sent(risk, trade, entry(trade, 1)) == "kill switch: stop"
        assert sent(risk, trade, completion(trade, 1, "100")) == ""
        assert sent(risk, trade, sale(trade, 0, "100")) == ""


def test_fault_U5_undo_orders_pass_every_limit_on_entries() -> None:
    tight = RiskLimits(max_order_shares=1, max_order_capital=1, max_open_orders=1, min_price=0.5, max_price=0.5)
    risk = a_desk(tight, max_exposure=1)
    trade = running(risk, bought(a_trade(), 0, "100"))
    running(risk, put(a_trade("u"), an_order(a_trade("u"))))
    risk.block_market("beta:m", "foreign")
    risk.pause_venue("alpha", NOW + 1, "maintenance")
    risk.finish(ended(trade, Outcome.ESCALATED))
    assert sent(risk, trade, completion(trade, 1, "100")) == ""
    assert sent(risk, trade, sale(trade, 0, "100", Purpose.TRIM)) == ""
    assert sent(a_desk(), trade, sale(trade, 0, "100")) == ""  # nothing need be reserved for it


def test_a_block_or_a_pause_that_came_since_the_check_keeps_entries_back_on_its_own_leg_only() -> None:
    risk = a_desk()
    trade = running(risk, a_trade())
    risk.block_market("beta:m", "foreign")
    assert sent(risk, trade, entry(trade, 1)) == "beta:m is blocked: foreign"
    assert sent(risk, trade, entry(trade, 0)) == ""
    risk.pause_venue("alpha", NOW + 1, "maintenance")
    assert sent(risk, trade, entry(trade, 0)).startswith("alpha is paused")
    assert sent(risk, trade, entry(trade, 0), NOW + 1) == ""


# -- limits of one entry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "shares", "limit", "why"),
    [
        (RiskLimits(max_order_shares=60), "60", "", ""),
        (RiskLimits(max_order_shares=60), "60.000001", "", "max_order_shares: 60.000001 of 60.00 shares"),
        (RiskLimits(max_order_capital=24), "60", "", ""),
        (RiskLimits(max_order_capital=24), "60.000001", "", "max_order_capital: 24.000001 of 24.00 dollars"),
        (RiskLimits(min_price=0.4), "60", "0.4", ""),
        (RiskLimits(min_price=0.4), "60", "0.399999", "min_price: 0.399999 of 0.40 dollars"),
        (RiskLimits(max_price=0.4), "60", "0.4", ""),
        (RiskLimits(max_price=0.4), "60", "0.400001", "max_price: 0.400001 of 0.40 dollars"),
    ],
)
def test_fault_G2_an_entry_keeps_the_limits_of_an_order(limits: RiskLimits, shares: str, limit: str, why: str) -> None:
    risk = a_desk(limits)
    trade = running(risk, a_trade())
    assert sent(risk, trade, entry(trade, 0, shares, limit)) == (f"limit {why}, leg 0 alpha:m:yes" if why else "")


def test_entries_of_a_leg_never_come_to_more_than_its_size() -> None:
    risk = a_desk()
    trade = running(risk, bought(a_trade(), 0, "60"))
    assert sent(risk, trade, entry(trade, 0, "40")) == ""
    assert sent(risk, trade, entry(trade, 0, "40.000001")) == "t.0.entry.1 enters 100 of the 100 shares of its leg"
    open_still = put(a_trade(), an_order(a_trade(), 0, "60", status=S.UNKNOWN))
    assert sent(risk, open_still, entry(open_still, 0, "40")) == ""
    assert sent(risk, open_still, entry(open_still, 0, "41")) == "t.0.entry.1 enters 101 of the 100 shares of its leg"
    intended = put(a_trade(), an_order(a_trade(), 0, "60", status=S.INTENT))
    assert sent(risk, intended, entry(intended, 0, "41")) != ""


def test_the_same_order_sent_again_counts_once() -> None:
    risk = a_desk(RiskLimits(max_open_orders=2), max_exposure=55)
    trade = a_trade()
    lost = an_order(trade, 0, status=S.UNKNOWN)
    trade = running(risk, put(trade, lost, an_order(trade, 1)))
    assert risk.may_send(lost, trade, NOW) == ""


def test_fault_G2_exposure_after_the_send_is_bounded_before_each_send() -> None:
    for bound, why in ((55, ""), (54.999999, "limit max_exposure: 55.00 of 54.999999 dollars, leg 1 beta:m:no")):
        risk = a_desk(max_exposure=bound)
        trade = running(risk, put(a_trade(), an_order(a_trade(), 0)))
        assert sent(risk, trade, entry(trade, 1)) == why


def test_what_other_trades_have_in_flight_counts_and_what_they_only_plan_does_not() -> None:
    for bound, passes in ((95, True), (94, False)):
        risk = a_desk(max_exposure=bound)
        running(risk, put(a_trade("u"), an_order(a_trade("u"), 0), an_order(a_trade("u"), 1, status=S.INTENT)))
        trade = running(risk, put(a_trade(), an_order(a_trade(), 0)))
        assert (sent(risk, trade, entry(trade, 1)) == "") == passes  # 40 there and 55 here


def test_the_trades_own_intents_count_as_sent() -> None:
    risk = a_desk(max_exposure=54)
    trade = running(risk, a_trade())
    assert sent(risk, trade, entry(trade, 0)) == ""
    assert sent(risk, put(trade, entry(trade, 0)), entry(trade, 1)).startswith("limit max_exposure: 55.00")
    assert sent(risk, put(trade, entry(trade, 1)), entry(trade, 0)).startswith("limit max_exposure: 55.00")


def test_costs_with_fees_are_what_exposure_is_counted_in() -> None:
    for bound, passes in ((57, True), (56.999999, False)):
        risk = a_desk(max_exposure=bound)
        trade = running(risk, a_trade(), (cash("41"), cash("57")))
        assert (sent(risk, put(trade, entry(trade, 0)), entry(trade, 1)) == "") == passes


def test_fault_G2_open_orders_are_counted_over_all_trades_before_each_send() -> None:
    for bound, why in ((4, ""), (3, "limit max_open_orders: 4 of 3 orders")):
        risk = a_desk(RiskLimits(max_open_orders=bound))
        other = a_trade("u")
        done = an_order(other, 0, status=S.REJECTED, key="done")
        running(risk, put(other, done, an_order(other, 0, status=S.OPEN), an_order(other, 1, status=S.UNKNOWN)))
        trade = running(risk, put(a_trade(), an_order(a_trade(), 0)))
        assert sent(risk, trade, entry(trade, 1)) == why


# -- undo ------------------------------------------------------------------------------------------------------


def test_a_sell_is_of_no_more_than_is_held_and_settled() -> None:
    risk = a_desk()
    trade = bought(a_trade(), 0, "60")
    assert sent(risk, trade, sale(trade, 0, "60")) == ""
    assert sent(risk, trade, sale(trade, 0, "61")) == "sale sells 61 of 60 shares that are held and settled"
    assert sent(risk, trade, sale(trade, 1, "1")) == "sale sells 1 of 0 shares that are held and settled"
    pending = bought(a_trade(), 0, "60", settlement=Settlement.PROVISIONAL)
    assert sent(risk, pending, sale(pending, 0, "1")) == "sale sells 1 of 0 shares that are held and settled"


def test_shares_that_another_sell_may_take_are_not_for_sale() -> None:
    risk = a_desk()
    trade = bought(a_trade(), 0, "60")
    first = an_order(trade, 0, "50", "0.01", side=Side.SELL, purpose=Purpose.TRIM, status=S.UNKNOWN)
    trade = put(trade, first)
    assert sent(risk, trade, sale(trade, 0, "10")) == ""
    assert sent(risk, trade, sale(trade, 0, "11")) == "sale sells 11 of 10 shares that are held and settled"
    assert sent(risk, trade, first) == ""  # the same order again


def test_an_entry_that_sells_has_nothing_to_sell() -> None:
    risk = a_desk()
    trade = running(risk, a_trade())
    order = an_order(trade, 0, "1", status=S.INTENT, side=Side.SELL)
    assert sent(risk, trade, order) == "t.0.entry.0 sells 1 of 0 shares that are held and settled"


def test_a_completion_reaches_what_another_leg_holds_one_smallest_order_and_a_lot() -> None:
    risk = a_desk()
    trade = bought(a_trade(basket=a_basket(min_size="5")), 0, "60")
    assert sent(risk, trade, completion(trade, 1, "66")) == ""
    assert sent(risk, trade, completion(trade, 1, "67")) == (
        "completion completes to 67 shares, more than the 66 that are missing at most"
    )
    half = bought(trade, 1, "20")
    assert sent(risk, half, completion(half, 1, "46")) == ""
    assert sent(risk, half, completion(half, 1, "47")) != ""


def test_a_completion_counts_what_its_own_leg_may_still_get_and_not_what_others_may() -> None:
    risk = a_desk()
    trade = put(bought(a_trade(), 0, "60"), an_order(a_trade(), 1, "50", status=S.UNKNOWN))
    assert sent(risk, trade, completion(trade, 1, "12")) == ""  # 60 + 1 + 1 - 50
    assert sent(risk, trade, completion(trade, 1, "13")) != ""
    unknown = put(a_trade(), an_order(a_trade(), 0, "60", status=S.UNKNOWN))
    assert sent(risk, unknown, completion(unknown, 1, "2")) == ""
    assert sent(risk, unknown, completion(unknown, 1, "3")) != ""


def test_a_completion_sent_again_counts_once() -> None:
    risk = a_desk()
    trade = bought(a_trade(), 0, "60")
    lost = an_order(trade, 1, "62", "0.99", status=S.UNKNOWN, purpose=Purpose.COMPLETE, filled="30")
    trade = put(trade, lost)
    assert sent(risk, trade, lost) == ""


def test_a_completion_may_add_no_unhedged_dollars_beyond_the_bound_and_may_always_hedge_what_is_there() -> None:
    basket = a_basket(min_size="5")
    for bound, may in ((25.9, False), (26.0, True)):  # 65 shares at 40 cents with nothing against them
        risk = a_desk(max_exposure=bound)
        trade = bought(running(risk, a_trade(basket=basket)), 0, "60")
        more = an_order(trade, 0, "5", status=S.INTENT, purpose=Purpose.COMPLETE, key="more")
        why = sent(risk, put(trade, completion(trade, 1, "65")), more)
        assert (why == "") is may
        if why:
            assert "max_exposure: 26.00 of 25.90 dollars, leg 0" in why
        assert sent(risk, trade, completion(trade, 1, "60")) == ""
    risk = a_desk(max_exposure=1.0)
    trade = bought(running(risk, a_trade(basket=basket)), 0, "60")
    assert sent(risk, trade, completion(trade, 1, "60")) == ""  # past the bound already, and this makes it less


@pytest.mark.parametrize("status", [None, S.CANCELLED, S.REJECTED])
def test_a_completion_whose_others_have_ended_adds_nothing_to_what_hangs(status: OrderStatus | None) -> None:
    risk = a_desk()
    trade = bought(running(risk, a_trade(basket=a_basket(min_size="5"))), 0, "60")
    if status is not None:
        trade = put(trade, an_order(trade, 1, "65", status=status, purpose=Purpose.COMPLETE))
    more = an_order(trade, 0, "5", status=S.INTENT, purpose=Purpose.COMPLETE, key="more")
    assert sent(risk, trade, more) == "by itself it would bring 24.00 unhedged dollars to 26.00"
    unknown = an_order(trade, 0, "5", status=S.UNKNOWN, purpose=Purpose.COMPLETE, key="more")
    assert sent(risk, trade, unknown) == "by itself it would bring 24.00 unhedged dollars to 26.00"  # sent again


def test_what_other_trades_have_in_flight_counts_for_a_completion_in_what_may_be_and_in_what_is_there() -> None:
    basket = a_basket(min_size="5")
    for bound, why in (
        (66.0, ""),  # 40 there, and 65 shares at 40 cents here
        (65.9, "limit max_exposure: 66.00 of 65.90 dollars, leg 0 alpha:m:yes"),
        (1.0, "limit max_exposure: 66.00 of 64.00 dollars, leg 0 alpha:m:yes"),  # 60 shares of them are there already
    ):
        risk = a_desk(max_exposure=bound)
        other = a_trade("u")
        running(risk, put(other, an_order(other, 0)))
        trade = bought(running(risk, a_trade(basket=basket)), 0, "60")
        risk.track(trade)
        assert sent(risk, trade, completion(trade, 1, "60")) == ""
        more = an_order(trade, 0, "5", status=S.INTENT, purpose=Purpose.COMPLETE, key="more")
        assert sent(risk, put(trade, completion(trade, 1, "65")), more) == why
