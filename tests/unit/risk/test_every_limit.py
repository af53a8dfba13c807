# ruff: noqa: N802
"""Every limit has a value that just passes and one, a millionth (or an order) more, that is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any, NamedTuple

import pytest

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.model import Kind
from arbkit.core.units import MICRO, Cash, Price, Size, cash
from arbkit.risk.bounds import Refusal, RiskLimits, barred
from arbkit.risk.caps import fitting
from arbkit.risk.limits import RiskManager
from tests.builders import replace
from tests.unit.risk.desk import (
    COSTS,
    NO_A,
    NO_B,
    NOW,
    YES_A,
    YES_B,
    a_basket,
    a_desk,
    a_trade,
    bought,
    ended,
    loses,
    running,
    said,
    shares,
    whole,
)

Check = Callable[[RiskManager], Refusal | None]
STEP = 0.000_001


def of_a_trade(risk: RiskManager) -> Refusal | None:
    return risk.check(a_trade("new"), COSTS, now=NOW)


def beside_a_running_one(risk: RiskManager) -> Refusal | None:
    """A trade of 40 + 55 dollars runs, and another like it is asked for."""
    running(risk, a_trade("first"))
    return of_a_trade(risk)


def beside_a_held_one(risk: RiskManager) -> Refusal | None:
    """A trade of 40 + 55 dollars is held, and another like it is asked for."""
    risk.finish(ended(running(risk, whole(a_trade("first")))))
    return of_a_trade(risk)


def on_another_market_of_the_event(risk: RiskManager) -> Refusal | None:
    running(risk, a_trade("first"))
    other = [replace(book, market=replace(book.market, id="n")) for book in (YES_A, NO_A)]
    return risk.check(a_trade("new", basket=a_basket(*other, kind=Kind.COMPLEMENT)), COSTS, now=NOW)


def after_a_loss(risk: RiskManager) -> Refusal | None:
    """50 dollars were lost today, one trade that may lose 4.75 runs, and another is asked for."""
    loses(risk, "50")
    running(risk, a_trade("first"))
    return of_a_trade(risk)


class Trip(NamedTuple):
    """What a limit lets pass, how it is asked, and what it says of a bound that is a step stricter."""

    passes: float
    check: Check
    says: str
    step: float = STEP  # what makes it stricter


# One for every field of RiskLimits.
TRIPS: dict[str, list[Trip]] = {
    "max_order_shares": [
        Trip(100, of_a_trade, "100.00 of 99.999999 shares, leg 0 alpha:m:yes; largest size allowed 99"),
    ],
    "max_order_capital": [
        Trip(55, of_a_trade, "55.00 of 54.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
    ],
    "max_trade_capital": [Trip(95, of_a_trade, "95.00 of 94.999999 dollars; largest size allowed 99")],
    "max_market_shares": [
        Trip(100, of_a_trade, "100.00 of 99.999999 shares, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(200, beside_a_running_one, "200.00 of 199.999999 shares, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(200, beside_a_held_one, "200.00 of 199.999999 shares, leg 0 alpha:m:yes; largest size allowed 99"),
    ],
    "max_market_capital": [
        Trip(55, of_a_trade, "55.00 of 54.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(110, beside_a_running_one, "110.00 of 109.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(110, beside_a_held_one, "110.00 of 109.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
    ],
    "max_event_capital": [
        Trip(95, of_a_trade, "95.00 of 94.999999 dollars, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(190, beside_a_running_one, "190.00 of 189.999999 dollars, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(190, beside_a_held_one, "190.00 of 189.999999 dollars, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(
            190,
            on_another_market_of_the_event,
            "190.00 of 189.999999 dollars, leg 0 alpha:n:yes; largest size allowed 99",
        ),
    ],
    "max_venue_capital": [
        Trip(55, of_a_trade, "55.00 of 54.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(110, beside_a_running_one, "110.00 of 109.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(110, beside_a_held_one, "110.00 of 109.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(
            135,
            on_another_market_of_the_event,
            "135.00 of 134.999999 dollars, leg 0 alpha:n:yes; largest size allowed 99",
        ),
    ],
    "max_pair_capital": [
        Trip(95, of_a_trade, "95.00 of 94.999999 dollars, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(190, beside_a_running_one, "190.00 of 189.999999 dollars, leg 0 alpha:m:yes; largest size allowed 99"),
        Trip(190, beside_a_held_one, "190.00 of 189.999999 dollars, leg 0 alpha:m:yes; largest size allowed 99"),
    ],
    "max_total_capital": [
        Trip(95, of_a_trade, "95.00 of 94.999999 dollars; largest size allowed 99"),
        Trip(190, beside_a_running_one, "190.00 of 189.999999 dollars; largest size allowed 99"),
        Trip(190, beside_a_held_one, "190.00 of 189.999999 dollars; largest size allowed 99"),
    ],
    "max_open_orders": [
        Trip(2, of_a_trade, "2 of 1 orders", step=1),
        Trip(4, beside_a_running_one, "4 of 3 orders", step=1),
        Trip(2, beside_a_held_one, "2 of 1 orders", step=1),
    ],
    "max_daily_loss": [
        Trip(4.75, of_a_trade, "4.75 of 4.749999 dollars; largest size allowed 99"),
        Trip(59.5, after_a_loss, "59.50 of 59.499999 dollars; largest size allowed 99"),
    ],
    "max_drawdown": [
        Trip(4.75, of_a_trade, "4.75 of 4.749999 dollars; largest size allowed 99"),
        Trip(59.5, after_a_loss, "59.50 of 59.499999 dollars; largest size allowed 99"),
    ],
    "min_price": [Trip(0.4, of_a_trade, "0.40 of 0.400001 dollars, leg 0 alpha:m:yes", step=-STEP)],
    "max_price": [Trip(0.55, of_a_trade, "0.55 of 0.549999 dollars, leg 1 beta:m:no")],
}
# What risk enforces of the engine's settings.
SETTINGS: dict[str, list[Trip]] = {
    "max_exposure": [
        Trip(55, of_a_trade, "55.00 of 54.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(110, beside_a_running_one, "110.00 of 109.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
        Trip(55, beside_a_held_one, "55.00 of 54.999999 dollars, leg 1 beta:m:no; largest size allowed 99"),
    ],
    "max_size": [Trip(100, of_a_trade, "100.00 of 99.999999 shares; largest size allowed 99")],
}
ROWS = [(name, n, trip) for name, trips in (TRIPS | SETTINGS).items() for n, trip in enumerate(trips)]


def bounded(name: str, value: Any) -> RiskManager:
    settings: dict[str, Any] = {name: value}
    if name in SETTINGS:
        return a_desk(**settings)
    return a_desk(RiskLimits(**settings), max_exposure=1_000)


@pytest.mark.parametrize(
    ("name", "trip"), [(name, trip) for name, _, trip in ROWS], ids=[f"{r[0]}-{r[1]}" for r in ROWS]
)
def test_fault_G2_a_limit_lets_its_bound_pass_and_refuses_one_step_more(name: str, trip: Trip) -> None:
    assert trip.check(bounded(name, trip.passes)) is None
    strict = round(trip.passes - trip.step, 6) if trip.step != 1 else int(trip.passes) - 1
    refusal = trip.check(bounded(name, strict))
    assert refusal is not None
    assert refusal.limit == name
    assert str(refusal) == f"limit {name}: {trip.says}"


def test_fault_G2_no_limit_is_without_a_test_that_trips_it() -> None:
    assert set(TRIPS) == {field.name for field in fields(RiskLimits)}
    assert set(SETTINGS) <= {field.name for field in fields(ExecutionConfig)}


def test_fault_G2_a_limit_nobody_knows_is_refused() -> None:
    with pytest.raises(TypeError, match="max_typo"):
        RiskLimits(max_typo=1)  # type: ignore[call-arg]


def test_fault_G2_what_undoing_may_lose_follows_max_unwind_loss() -> None:
    assert said(of_a_trade(a_desk(RiskLimits(max_daily_loss=9.5), max_unwind_loss=0.1))) == ""
    assert said(of_a_trade(a_desk(RiskLimits(max_daily_loss=9.5), max_unwind_loss=0.100_001))).startswith(
        "limit max_daily_loss: 9.500095 of 9.50"
    )
    assert said(of_a_trade(a_desk(RiskLimits(max_daily_loss=STEP), max_unwind_loss=0.0))) == ""


def test_free_cash_is_what_the_venue_says_less_what_runs_there() -> None:
    def asked(risk: RiskManager, alpha: str, beta: str | None) -> str:
        free = {"alpha": cash(alpha)} | ({} if beta is None else {"beta": cash(beta)})
        return said(risk.check(a_trade("new"), COSTS, free, now=NOW))

    risk = a_desk(max_exposure=1_000)
    assert asked(risk, "40", "55") == ""
    assert asked(risk, "40", "54.999999") == (
        "limit free cash: 55.00 of 54.999999 dollars, leg 1 beta:m:no; largest size allowed 99"
    )
    assert asked(risk, "40", None) == ("limit free cash: 55.00 of 0.00 dollars, leg 1 beta:m:no; no legal size fits")
    running(risk, a_trade("first"))
    assert asked(risk, "80", "110") == ""
    assert asked(risk, "79.999999", "110").startswith("limit free cash: 40.00 of 39.999999 dollars, leg 0")


def test_what_is_held_is_paid_for_and_takes_no_free_cash() -> None:
    risk = a_desk(max_exposure=1_000)
    risk.finish(ended(running(risk, whole(a_trade("first")))))
    assert risk.check(a_trade("new"), COSTS, {"alpha": cash("40"), "beta": cash("55")}, now=NOW) is None


def test_a_trade_within_one_venue_needs_its_whole_cost_there() -> None:
    trade = a_trade(basket=a_basket(YES_A, NO_A, kind=Kind.COMPLEMENT))
    assert a_desk().check(trade, COSTS, {"alpha": cash("95")}, now=NOW) is None
    assert said(a_desk().check(trade, COSTS, {"alpha": cash("94")}, now=NOW)) == (
        "limit free cash: 95.00 of 94.00 dollars, leg 0 alpha:m:yes; largest size allowed 98"
    )


def test_no_size_fits_when_the_one_that_would_is_below_the_smallest_legal() -> None:
    trade = a_trade(basket=a_basket(min_size="20"))
    assert said(a_desk(RiskLimits(max_trade_capital=19)).check(trade, COSTS, now=NOW)).endswith("allowed 20")
    assert said(a_desk(RiskLimits(max_trade_capital=18.99)).check(trade, COSTS, now=NOW)) == (
        "limit max_trade_capital: 95.00 of 18.99 dollars; no legal size fits"
    )
    assert said(a_desk(max_exposure=10.99).check(trade, COSTS, now=NOW)).endswith("no legal size fits")
    assert said(a_desk(max_size=19.5).check(trade, COSTS, now=NOW)).endswith("no legal size fits")


def test_a_size_that_is_said_to_fit_does_and_one_lot_more_does_not() -> None:
    risk = a_desk(RiskLimits(max_venue_capital=47.3))
    refusal = risk.check(a_trade(), COSTS, now=NOW)
    assert refusal is not None
    assert refusal.largest == shares(86)
    for of, fits in ((86, True), (87, False)):
        costs = [Cash(-(-cost * of // 100)) for cost in COSTS]
        found = risk.check(a_trade(shares=str(of), costs=costs), costs, now=NOW)
        assert (found is None) == fits


def test_cost_at_decision_stands_in_where_no_costs_are_given() -> None:
    refusal = a_desk(RiskLimits(max_trade_capital=94)).check(a_trade(), now=NOW)
    assert refusal is not None
    assert refusal.value == cash("95")


def test_costs_that_are_given_count_and_not_those_at_decision() -> None:
    dear = (cash("41"), cash("57"))
    assert said(a_desk(RiskLimits(max_trade_capital=97)).check(a_trade(), dear, now=NOW)) == (
        "limit max_trade_capital: 98.00 of 97.00 dollars; largest size allowed 98"
    )


def test_the_first_limit_passed_is_told_and_an_undecided_trade_has_no_price() -> None:
    assert said(a_desk(RiskLimits(max_total_capital=1), max_exposure=1).check(a_trade(), COSTS, now=NOW)).startswith(
        "limit max_exposure"
    )
    trade = a_trade()
    naked = trade.with_leg(replace(trade.legs[1], worst=Price(0)))
    assert said(a_desk().check(naked, COSTS, now=NOW)) == "limit min_price: 0.00 of 0.001 dollars, leg 1 beta:m:no"


def test_a_pair_is_one_pair_whichever_leg_comes_first() -> None:
    risk = a_desk(RiskLimits(max_pair_capital=189), max_exposure=1_000)
    running(risk, a_trade("first"))
    turned = a_trade("new", basket=a_basket(NO_B, YES_A))
    assert said(risk.check(turned, COSTS, now=NOW)).startswith("limit max_pair_capital: 190.00 of 189.00")


def test_fault_S3_what_hangs_on_one_pair_is_capped_and_baskets_within_a_venue_are_not() -> None:
    risk = a_desk(RiskLimits(max_pair_capital=95), max_exposure=1_000)
    running(risk, a_trade("first"))
    assert said(risk.check(a_trade("new"), COSTS, now=NOW)).startswith("limit max_pair_capital: 190.00 of 95.00")
    risk = a_desk(RiskLimits(max_pair_capital=1), max_exposure=1_000)
    for legs, kind in (((YES_A, NO_A), Kind.COMPLEMENT), ((YES_B, NO_B), Kind.OUTCOMES)):
        assert risk.check(a_trade("new", basket=a_basket(*legs, kind=kind)), COSTS, now=NOW) is None


def test_a_trade_that_bought_more_than_was_reserved_counts_what_it_has() -> None:
    risk = a_desk(RiskLimits(max_total_capital=194), max_exposure=1_000)
    trade = running(risk, a_trade("first"))
    assert risk.check(a_trade("new"), COSTS, now=NOW) is None
    dear = bought(trade, 0, "100", limit="0.44")
    risk.track(dear)
    assert said(risk.check(a_trade("new"), COSTS, now=NOW)) == ""
    risk.track(bought(trade, 0, "100", limit="0.44", fee="0.000001"))
    assert said(risk.check(a_trade("new"), COSTS, now=NOW)).startswith("limit max_total_capital: 194.000001 of 194.00")


def test_the_size_that_fits_is_exact_where_a_float_is_not() -> None:
    shares_of = 10**16 + 1  # more than 53 bits
    trade = a_trade(basket=replace(a_basket(), min_size=Size(1), lot=Size(1)))
    trade = replace(trade, opportunity=replace(trade.opportunity, size=Size(shares_of)))
    assert fitting(trade, shares_of, shares_of) == shares_of


def test_where_there_is_no_room_no_size_fits_however_little_is_asked_for() -> None:
    trade = a_trade(basket=replace(a_basket(), min_size=Size(1), lot=Size(1)))
    assert [fitting(trade, amount, room) for amount, room in ((1, 0), (1, -5), (0, 0), (MICRO, 0))] == [0, 0, 0, 0]
    assert fitting(trade, 1, 1) == trade.size


# -- the settings themselves -----------------------------------------------------------------------------------

MONEY = [field.name for field in fields(RiskLimits) if field.name not in ("max_open_orders", "min_price", "max_price")]


@pytest.mark.parametrize("name", MONEY)
def test_amounts_are_finite_numbers_above_nothing(name: str) -> None:
    for wrong in (0, -1, 0.000_000_9, 1e9 + 0.5, float("nan"), float("inf"), True, "5", None, Cash):
        with pytest.raises(ConfigError, match=f"limits.{name} must be a number above 0 and at most 1e9"):
            RiskLimits(**{name: wrong})
    for right in (0.000_001, 1, 1e9):
        assert getattr(RiskLimits(**{name: right}), name) == right


def test_limits_go_by_their_names_and_nothing_stated_or_refused_is_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        RiskLimits(1.0)  # type: ignore[misc]
    for stated, name in ((RiskLimits(), "max_trade_capital"), (Refusal("max_size"), "value")):
        with pytest.raises(FrozenInstanceError):
            setattr(stated, name, 7)


def test_orders_are_counted_in_whole_ones() -> None:
    for wrong in (0, -1, 100_001, 5.0, True, "5", None):
        with pytest.raises(ConfigError, match=r"limits.max_open_orders must be a whole number from 1 to 100000"):
            RiskLimits(max_open_orders=wrong)  # type: ignore[arg-type]
    assert [RiskLimits(max_open_orders=n).bounds()["max_open_orders"] for n in (1, 100_000)] == [1, 100_000]


def test_prices_lie_between_nothing_and_a_dollar_and_the_lowest_is_not_above_the_highest() -> None:
    for name in ("min_price", "max_price"):
        for wrong in (0, 1, -0.5, 1.5, 0.000_000_9, 0.999_999_1, float("nan"), True, "0.5", None):
            with pytest.raises(ConfigError, match=f"limits.{name} must be a number of dollars above 0 and below 1"):
                RiskLimits(**{name: wrong})  # type: ignore[arg-type]
    assert RiskLimits(min_price=0.5, max_price=0.5).bounds()["min_price"] == MICRO // 2
    assert RiskLimits(min_price=0.000_001, max_price=0.999_999).bounds()["max_price"] == MICRO - 1
    with pytest.raises(ConfigError, match=r"limits.min_price 0.6 is above limits.max_price 0.5"):
        RiskLimits(min_price=0.6, max_price=0.5)


def test_bounds_round_to_the_stricter_side() -> None:
    bounds = RiskLimits(max_order_capital=1.000_000_9, min_price=0.100_000_1, max_price=0.900_000_9).bounds()
    assert (bounds["max_order_capital"], bounds["min_price"], bounds["max_price"]) == (1_000_000, 100_001, 900_000)


def test_every_limit_has_a_finite_default() -> None:
    assert {name: value / MICRO for name, value in RiskLimits().bounds().items() if name != "max_open_orders"} == {
        "max_order_shares": 100_000,
        "max_order_capital": 10_000,
        "max_trade_capital": 10_000,
        "max_market_shares": 100_000,
        "max_market_capital": 50_000,
        "max_event_capital": 100_000,
        "max_venue_capital": 100_000,
        "max_pair_capital": 50_000,
        "max_total_capital": 100_000,
        "max_daily_loss": 10_000,
        "max_drawdown": 20_000,
        "min_price": 0.001,
        "max_price": 0.999,
    }
    assert RiskLimits().max_open_orders == 200


def test_a_refusal_is_a_value_with_its_numbers() -> None:
    refusal = a_desk(RiskLimits(max_trade_capital=47.5)).check(a_trade(), COSTS, now=NOW)
    assert refusal == Refusal("max_trade_capital", cash("95"), cash("47.5"), largest=shares(50))
    assert str(Refusal("x", cash("1.005"), cash("1"))) == "limit x: 1.005 of 1.00 dollars"
    assert str(Refusal("x", 2, 1, "orders", why="wait")) == "limit x: 2 of 1 orders; wait"
    assert barred("door", "it is shut") == Refusal("door", 0, 0, "", why="it is shut")
    assert str(barred("door", "it is shut")) == "it is shut"
