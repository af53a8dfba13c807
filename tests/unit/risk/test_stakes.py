"""Stakes by what they hang on, and how settlement takes them out."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest

from arbkit.core.model import Kind
from arbkit.core.units import Cash, cash
from arbkit.risk.stakes import Place, Stake, Stakes, intended, larger, taken, totals
from tests.unit.risk.desk import COSTS, NO_A, NO_B, YES_A, YES_B, a_basket, a_trade, bought


def at(book: str, event: str = "e", pair: str = "") -> Place:
    market = book.rpartition(":")[0]
    return Place(book, market, market.partition(":")[0], event, pair)


def test_a_leg_hangs_on_its_book_market_venue_event_and_pair() -> None:
    first, second = intended(a_trade(), COSTS)
    assert first == Stake(at("alpha:m:yes", pair="alpha:m|beta:m"), 100_000_000, cash("40"))
    assert second == Stake(at("beta:m:no", pair="alpha:m|beta:m"), 100_000_000, cash("55"))
    assert NO_B.market_name == "beta:m"


def test_only_what_spans_two_venues_or_says_that_it_is_a_pair_belongs_to_one() -> None:
    assert a_basket(NO_B, YES_A).pair == a_basket(YES_A, NO_B).pair == "alpha:m|beta:m"
    assert a_basket(YES_A, NO_A, kind=Kind.COMPLEMENT).pair == ""
    assert a_basket(YES_A, YES_B, kind=Kind.OUTCOMES).pair == "alpha:m|beta:m"
    assert a_basket(YES_A, NO_A, kind=Kind.CROSS_VENUE).pair == "alpha:m"


def test_costs_that_are_not_one_for_each_leg_are_a_mistake() -> None:
    for costs in (COSTS[:1], (*COSTS, cash("1"))):
        with pytest.raises(ValueError, match="zip"):
            intended(a_trade(), costs)


def test_the_smallest_holding_there_is_counts_and_none_does_not() -> None:
    held = taken(bought(a_trade(), 0, "0.000001"))
    assert [(stake.place.book, stake.shares, stake.dollars) for stake in held] == [("alpha:m:yes", 1, 1)]


def test_no_shares_that_came_or_went_leave_no_place_behind() -> None:
    stakes = Stakes()
    stakes.adopt(YES_A, 0)
    assert stakes.rows() == ()


def test_the_capital_of_what_went_is_exact_where_a_float_is_not() -> None:
    much = 10**17 + 2  # more than 53 bits
    stakes = Stakes([Stake(at("alpha:m:yes"), 2, much)])
    stakes.adopt(YES_A, -1)
    assert stakes.rows() == (Stake(at("alpha:m:yes"), 1, much // 2),)


def test_stakes_in_one_place_add_up_and_rows_come_in_order() -> None:
    stakes = Stakes([Stake(at("b:m:yes"), 5, 50), Stake(at("a:m:yes"), 1, 10), Stake(at("b:m:yes"), 2, 7)])
    assert stakes.rows() == (Stake(at("a:m:yes"), 1, 10), Stake(at("b:m:yes"), 7, 57))
    shares, dollars = attrgetter("shares"), attrgetter("dollars")
    assert totals(stakes, lambda place: place.event, shares) == {"e": 8}
    assert totals(stakes, lambda place: place.venue, dollars) == {"b": 57, "a": 10}
    assert totals(stakes, lambda place: place.venue, dollars)["c"] == 0


def test_freeing_takes_from_the_places_of_a_book_in_order_and_never_more_than_there_is() -> None:
    stakes = Stakes([Stake(at("a:m:yes", "e"), 5, 50), Stake(at("a:m:yes", "f"), 5, 50), Stake(at("a:m:no"), 5, 50)])
    stakes.free("a:m:yes", 7, Cash(60))
    assert stakes.rows() == (Stake(at("a:m:no"), 5, 50), Stake(at("a:m:yes", "f"), 3, 40))
    stakes.free("a:m:yes", 2, Cash(0))
    assert stakes.rows()[1] == Stake(at("a:m:yes", "f"), 1, 40)
    stakes.free("a:m:yes", 99, Cash(1))  # without shares there is no capital in it
    assert stakes.rows() == (Stake(at("a:m:no"), 5, 50),)
    stakes.free("a:m:no", 1, Cash(99))
    assert stakes.rows() == (Stake(at("a:m:no"), 4, 0),)


def test_of_two_stakes_in_one_place_each_number_is_the_larger() -> None:
    here = at("a:m:yes")
    assert larger(Stake(here, 1, 20), Stake(here, 2, 10)) == Stake(here, 2, 20)


def test_shares_that_came_without_a_trade_count_at_a_dollar_each() -> None:
    stakes = Stakes()
    stakes.adopt(YES_A, 7)
    stakes.adopt(YES_A, 0)
    assert stakes.rows() == (Stake(at("alpha:m:yes"), 7, 7),)
    nameless = replace(NO_B, market=replace(NO_B.market, event=None))
    stakes.adopt(nameless, 1)
    assert stakes.rows()[1] == Stake(at("beta:m:no", event=""), 1, 1)


def test_shares_that_went_without_a_trade_take_their_part_of_the_capital_along() -> None:
    stakes = Stakes(
        [Stake(at("alpha:m:yes", "e"), 4, 100), Stake(at("alpha:m:yes", "f"), 4, 60), Stake(at("beta:m:no"), 9, 90)]
    )
    stakes.adopt(YES_A, -1)
    assert stakes.rows()[0] == Stake(at("alpha:m:yes", "e"), 3, 75)
    stakes.adopt(YES_A, -5)
    assert stakes.rows() == (Stake(at("alpha:m:yes", "f"), 2, 30), Stake(at("beta:m:no"), 9, 90))
    stakes.adopt(YES_A, -99)
    assert stakes.rows() == (Stake(at("beta:m:no"), 9, 90),)
    stakes.adopt(YES_B, 5)
    stakes.adopt(YES_B, -2)  # the other book of the market comes first and is left alone
    assert stakes.rows() == (Stake(at("beta:m:no"), 9, 90), Stake(at("beta:m:yes"), 3, 3))
