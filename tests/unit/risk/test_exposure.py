"""What a trade may lose because some of its legs fill and others do not, from its orders."""

from __future__ import annotations

import pytest

from arbkit.core.model import OrderStatus, Purpose, Settlement, Side
from arbkit.core.units import Cash, cash
from arbkit.risk.exposure import (
    exposure,
    exposure_of,
    is_open,
    largest_exposed,
    leg_cost,
    may_fill,
    reach,
    worst_exposure,
)
from tests.unit.risk.desk import COSTS, a_trade, an_order, bought, put, shares

S = OrderStatus


def test_the_worst_case_is_one_leg_at_its_least_and_the_others_at_their_most() -> None:
    assert worst_exposure([(0, 100), (0, 100)], [400_000, 550_000]) == 55
    assert worst_exposure([(0, 100), (0, 100), (0, 100)], [400_000, 550_000, 100_000]) == 95
    assert worst_exposure([(100, 100), (0, 100)], [400_000, 550_000]) == 40
    assert worst_exposure([(100, 100), (100, 100)], [400_000, 550_000]) == 0
    assert worst_exposure([(20, 60), (30, 40)], [400_000, 550_000]) == 12  # 60 - 30 at 0.40; 40 - 20 at 0.55 is 11
    assert worst_exposure([(7, 9)], [400_000]) == 0


def test_the_worst_case_rounds_up_and_costs_may_be_those_of_any_number_of_shares() -> None:
    assert worst_exposure([(0, 1), (0, 0)], [1, 1]) == 1
    assert worst_exposure([(0, 100), (0, 100)], [cash("40"), cash("55")], 100) == cash("55")
    assert worst_exposure([(0, 1), (0, 1)], [10, 11], 3) == 4


def test_of_a_plan_it_is_all_legs_but_the_cheapest() -> None:
    assert exposure([cash("40"), cash("55"), cash("10")]) == cash("95")


@pytest.mark.parametrize(
    ("status", "held", "still"),
    [
        (S.INTENT, 0, 0),
        (S.SUBMITTED, 0, 100),
        (S.UNKNOWN, 30, 70),
        (S.OPEN, 0, 100),
        (S.PARTIAL, 30, 70),
        (S.PENDING_CANCEL, 30, 70),
        (S.FILLED, 100, 0),
        (S.CANCELLED, 30, 0),
        (S.EXPIRED, 30, 0),
        (S.REJECTED, 0, 0),
    ],
)
def test_an_order_may_fill_until_its_venue_has_had_the_last_word(status: OrderStatus, held: int, still: int) -> None:
    trade = a_trade()
    order = an_order(trade, status=status, filled=str(held))
    assert may_fill(order) == shares(still)
    assert is_open(order) == bool(still)
    assert reach(put(trade, order).legs[0]) == (shares(held), shares(held + still))


def test_intents_count_when_they_are_about_to_be_sent() -> None:
    trade = a_trade()
    order = an_order(trade, status=S.INTENT)
    assert may_fill(order, intents=True) == shares(100)
    assert reach(put(trade, order).legs[0], intents=True) == (0, shares(100))
    assert exposure_of(put(trade, order)) == 0
    assert exposure_of(put(trade, order), intents=True) == cash("40")
    sale = an_order(trade, 0, "20", status=S.INTENT, side=Side.SELL, purpose=Purpose.TRIM)
    assert reach(put(bought(trade, 0, "80"), sale).legs[0], intents=True) == (shares(60), shares(80))
    dear = an_order(trade, limit="0.60", status=S.INTENT)
    assert exposure_of(put(trade, dear), intents=True) == cash("60")
    ended = an_order(trade, status=S.REJECTED)
    assert may_fill(ended, intents=True) == 0


def test_sells_lower_what_a_leg_may_come_to_hold() -> None:
    trade = bought(a_trade(), 0, "80")
    sale = an_order(trade, 0, "50", side=Side.SELL, purpose=Purpose.TRIM, status=S.PARTIAL, filled="10")
    assert reach(put(trade, sale).legs[0]) == (shares(30), shares(70))


def test_a_fill_that_was_voided_is_not_held_and_one_that_is_provisional_is() -> None:
    assert reach(bought(a_trade(), 0, "80", settlement=Settlement.VOIDED).legs[0]) == (0, 0)
    assert reach(bought(a_trade(), 0, "80", settlement=Settlement.PROVISIONAL).legs[0]) == (shares(80), shares(80))


def test_a_trade_all_in_flight_is_exposed_to_exactly_what_was_planned() -> None:
    costs = (Cash(40_000_001), Cash(55_000_003))  # no whole millionths per share
    trade = put(a_trade(), an_order(a_trade(), 0), an_order(a_trade(), 1))
    assert exposure_of(trade, costs) == exposure(costs)
    assert exposure_of(trade) == exposure(COSTS)


def test_a_leg_costs_what_is_reserved_or_decided_or_bid_whichever_is_most() -> None:
    leg = a_trade().legs[0]  # decided at 40 dollars
    assert leg_cost(leg, 39_000_000) == cash("40")
    assert leg_cost(leg, 41_000_000) == cash("41")
    assert leg_cost(bought(a_trade(), 0, "100", limit="0.41").legs[0], 41_000_000) == cash("41")
    dear = bought(a_trade(), 0, "1", limit="0.50").legs[0]
    assert leg_cost(dear, 40_000_000) == cash("50")
    assert leg_cost(dear, 42_000_000) == cash("52.5")  # with the fee that is reserved at 0.40
    assert leg_cost(dear, 40_000_001) == cash("50.000002")  # rounded up
    both = put(bought(a_trade(), 0, "1", limit="0.50"), an_order(a_trade(), 0, "1", "0.45", key="other"))
    assert leg_cost(both.legs[0], 40_000_000) == cash("50")


def test_a_bid_that_never_was_or_is_only_intended_or_sells_makes_no_leg_dearer() -> None:
    for order in (
        an_order(a_trade(), 0, "100", "0.90", status=S.REJECTED),
        an_order(a_trade(), 0, "100", "0.90", status=S.INTENT),
        an_order(a_trade(), 0, "100", "0.90", status=S.OPEN, side=Side.SELL),
    ):
        assert leg_cost(put(a_trade(), order).legs[0], 40_000_000) == cash("40")
    live = an_order(a_trade(), 0, "100", "0.90", status=S.OPEN)
    assert leg_cost(put(a_trade(), live).legs[0], 40_000_000) == cash("90")


def test_a_leg_without_a_decision_costs_what_is_reserved_or_bid() -> None:
    undecided = a_trade(costs=(0, 0))
    assert leg_cost(undecided.legs[0], 7) == 7
    assert leg_cost(bought(undecided, 0, "100", limit="0.50").legs[0], 7) == cash("50")


def test_the_largest_size_is_in_lots_and_as_large_as_the_room_allows() -> None:
    costs = [cash("40"), cash("55")]
    assert largest_exposed(costs, 100, 10, cash("55")) == 100
    assert largest_exposed(costs, 100, 10, cash("54.99")) == 90
    assert largest_exposed(costs, 105, 10, cash("55")) == 100
    assert largest_exposed(costs, 105, 10, cash("1000")) == 100
    assert largest_exposed(costs, 100, 1, cash("5.5")) == 10
    assert largest_exposed(costs, 100, 10, cash("5.49")) == 0
    assert largest_exposed(costs, 100, 10, -1) == 0


def test_the_largest_size_is_exact_where_a_float_is_not_and_rounds_each_legs_share_up() -> None:
    much = 10**17 + 1  # more than 53 bits
    assert largest_exposed([much, much], 1, 1, much - 1) == 0
    assert largest_exposed([much, much], 1, 1, much) == 1
    assert largest_exposed([1, 1, 1], 2, 1, 1) == 0  # of half a millionth each two come to two, not to one


def test_costs_that_are_not_one_for_each_leg_are_a_mistake() -> None:
    for costs in ((Cash(1),), (Cash(1), Cash(2), Cash(3))):
        with pytest.raises(ValueError, match="zip"):
            exposure_of(a_trade(), costs)
        with pytest.raises(ValueError, match="zip"):
            worst_exposure([(0, 1), (0, 1)], costs)
