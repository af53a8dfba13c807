"""All golden cases of the two venues at once, counted: n of n. Each table by one check, to the last unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from itertools import groupby

import pytest

from arbkit.core.units import MICRO, NS_PER_S
from arbkit.fees import OrderFees, names, rule
from arbkit.fees.rules import covers, trade_fee
from tests.unit.fees.test_venue_cases import cases, current, micro

Case = dict[str, str]


def model_fee(case: Case) -> bool:
    """Kalshi's formula, rounded up to each of the three steps that its pages have named."""
    rate = int({"taker": 70_000, "maker": 17_500}[case["role"]] * Fraction(case["multiplier"]))
    price, count = micro(case["price"]), micro(case["count"])
    steps = {"ceil_cent": 10_000, "ceil_centicent": 100, "ceil_6dp": 1}
    return all(trade_fee(price, count, rate, 1, step, False) == micro(case[name]) for name, step in steps.items())


def single_fill(case: Case) -> bool:
    found = rule({"0.01": "kalshi-2026-07-07", "0.0001": "kalshi-2026-07-07-direct"}[case["balance_precision"]])
    order, price, count = OrderFees(found), micro(case["price"]), micro(case["count"])
    return (
        found.trade_fee(price, count, maker=False) == micro(case["trade_fee"])
        and order.fill(price, count, False) == micro(case["net_fee"])
        and order.accumulated == micro(case["accumulator_after"])
    )


def accumulated(fills: list[Case]) -> list[bool]:
    order, held = OrderFees(rule("kalshi-2026-07-07")), []
    for case in fills:
        net = order.book(micro(case["trade_fee"]), micro(case["price"]), micro(case["count"]))
        held.append((net, order.accumulated) == (micro(case["net_fee"]), micro(case["accumulator_after"])))
    return held


def formula(case: Case) -> bool:
    price, shares = micro(case["price"]), micro(case["shares"])
    held = trade_fee(price, shares, micro(case["rate"]), int(case["exponent"]), 10, True, 10) == micro(case["fee"])
    if case["category"] == "synthetic_exponent":
        return held
    found = rule(current(case["category"]))
    return held and found.order_fee([(price, shares)], maker=False) == micro(case["fee"])


def category(case: Case) -> bool:
    found = rule(current(case["category"]))
    return (found.taker_rate_ppm, found.maker_rate_ppm) == (micro(case["taker_rate"]), 0)


def turn(case: Case) -> bool:
    """A turn of the schedule: the rules that end and begin with it. Where its exact rates are not told, none does."""
    at = days(case["effective"]) * 86_400 * NS_PER_S
    before, after = ({name for name in names("polymarket") if covers(rule(name), ns)} for ns in (at - 1, at))
    new = {current(row["category"]) for row in cases("polymarket", "category_rates")} - {"polymarket-geopolitics"}
    sports = "polymarket-sports-2026-03-30", "polymarket-sports-2026-07-10"
    turns = {
        "2026-01-05": ({"none-before-2026-01-05"}, set[str]()),  # the first fees there were
        "2026-03-30": ({"polymarket-none-before-2026-03-30"}, new - {sports[1]} | {sports[0]}),
        "2026-07-10": ({sports[0]}, {sports[1]}),
    }
    return (before - after, after - before) == turns.get(case["effective"], (set(), set()))


def days(day: str) -> int:
    return (date.fromisoformat(day) - date(1970, 1, 1)).days


def within_budget(case: Case) -> bool:
    """What the venue's client makes of an amount spends the budget and no more, with our fee on top of it."""
    amount, price = Fraction(case["adjusted_amount"]), Fraction(case["price"])
    fee = trade_fee(
        micro(case["price"]), int(amount / price * MICRO), micro(case["rate"]), int(case["exponent"]), 1, False
    )
    spent = amount + Fraction(fee, MICRO) + amount * Fraction(case["builder_rate"])
    budget = Fraction(case["max_spend"])
    if amount == Fraction(case["amount"]):  # all of it was within the budget
        return spent <= budget
    return abs(spent - budget) <= Fraction(2, MICRO)


CHECKS: dict[tuple[str, str], Callable[[Case], bool]] = {
    ("kalshi", "model_fees"): model_fee,
    ("kalshi", "single_fills"): single_fill,
    ("polymarket", "fees"): formula,
    ("polymarket", "category_rates"): category,
    ("polymarket", "history"): turn,
    ("polymarket", "buys_within_a_budget"): within_budget,
}


@pytest.mark.parametrize(("venue", "expected"), [("kalshi", 24), ("polymarket", 39)])
def test_every_golden_case_of_a_venue_holds_to_the_last_unit(venue: str, expected: int) -> None:
    held: list[bool] = []
    for (of, table), check in CHECKS.items():
        if of == venue:
            found = [check(case) for case in cases(venue, table)]
            print(f"{venue} {table}: {sum(found)} of {len(found)}")
            held += found
    if venue == "kalshi":
        orders = groupby(cases(venue, "accumulator"), key=lambda case: case["order"])
        found = [ok for _, fills in orders for ok in accumulated(list(fills))]
        print(f"{venue} accumulator: {sum(found)} of {len(found)}")
        held += found
    print(f"{venue}: {sum(held)} of {len(held)} golden cases")
    assert held == [True] * expected


def test_the_rules_turn_on_the_days_that_the_venue_announced() -> None:
    told = {days(case["effective"]) for case in cases("polymarket", "history")}
    bounds = {bound for name in names("polymarket") for bound in (rule(name).valid_from, rule(name).valid_until)}
    turns = {bound // (86_400 * NS_PER_S) for bound in bounds if bound is not None}
    assert {days("2026-03-30"), days("2026-07-10")} < turns <= told
