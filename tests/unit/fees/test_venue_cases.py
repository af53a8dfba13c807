"""Every golden case of the two venues, exact to the last unit."""

import json
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pytest

from arbkit.core.units import MICRO
from arbkit.fees import OrderFees, rule
from arbkit.fees.rules import trade_fee

DATA = Path(__file__).parents[2] / "data" / "fees"


def cases(venue: str, table: str) -> list[dict[str, str]]:
    found = json.loads((DATA / f"{venue}.json").read_text())[table]
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def micro(text: str) -> int:
    scaled = Decimal(text) * MICRO
    assert scaled == int(scaled), text
    return int(scaled)


RATES = {"taker": 70_000, "maker": 17_500}


@pytest.mark.parametrize("case", cases("kalshi", "model_fees"), ids=lambda c: f"{c['count']}x{c['price']}{c['role']}")
@pytest.mark.parametrize(("column", "step"), [("ceil_cent", 10_000), ("ceil_centicent", 100), ("ceil_6dp", 1)])
def test_kalshi_model_fee_rounds_up_to_each_step(case: dict[str, str], column: str, step: int) -> None:
    rate = int(RATES[case["role"]] * Decimal(case["multiplier"]))
    assert trade_fee(micro(case["price"]), micro(case["count"]), rate, 1, step, False) == micro(case[column])


@pytest.mark.parametrize(
    ("name", "role", "multiplier"),
    [
        ("kalshi-2026-07-07", "taker", "1"),
        ("kalshi-2026-07-07-half", "taker", "0.5"),
        ("kalshi-2026-07-07-free", "taker", "0"),
        ("kalshi-2026-07-07", "maker", "0"),
        ("kalshi-2026-07-07-makers", "maker", "1"),
    ],
)
def test_kalshi_rules_carry_the_multipliers_of_the_schedule(name: str, role: str, multiplier: str) -> None:
    found = [c for c in cases("kalshi", "model_fees") if (c["role"], c["multiplier"]) == (role, multiplier)]
    assert found
    for case in found:
        fee = rule(name).trade_fee(micro(case["price"]), micro(case["count"]), maker=role == "maker")
        assert fee == micro(case["ceil_6dp"])


def test_kalshi_older_text_rounds_a_fill_to_a_hundredth_of_a_cent() -> None:
    for case in cases("kalshi", "model_fees"):
        if (case["role"], case["multiplier"]) == ("taker", "1"):
            fee = rule("kalshi-2026-07-07-centicent").trade_fee(micro(case["price"]), micro(case["count"]), maker=False)
            assert fee == micro(case["ceil_centicent"])


@pytest.mark.parametrize("case", cases("kalshi", "single_fills"), ids=lambda c: f"{c['count']}x{c['price']}")
def test_kalshi_single_fill_is_exact_in_every_part(case: dict[str, str]) -> None:
    name = {"0.01": "kalshi-2026-07-07", "0.0001": "kalshi-2026-07-07-direct"}[case["balance_precision"]]
    price, count = micro(case["price"]), micro(case["count"])
    order = OrderFees(rule(name))
    assert rule(name).trade_fee(price, count, maker=False) == micro(case["trade_fee"])
    assert order.fill(price, count, False) == micro(case["net_fee"])
    assert order.accumulated == micro(case["accumulator_after"])
    assert case["rebate"] == "0"
    assert -(price * count // MICRO) - micro(case["trade_fee"]) - micro(case["rounding_fee"]) == micro(
        case["balance_change"]
    )
    assert rule(name).order_fee([(price, count)], maker=False) == micro(case["net_fee"])


ORDERS = [(name, list(fills)) for name, fills in groupby(cases("kalshi", "accumulator"), key=lambda c: c["order"])]


@pytest.mark.parametrize(("name", "fills"), ORDERS, ids=[name for name, _ in ORDERS])
def test_kalshi_accumulator_gives_whole_cents_back(name: str, fills: list[dict[str, str]]) -> None:
    assert len(fills) == 3, name
    order = OrderFees(rule("kalshi-2026-07-07"))
    for case in fills:
        net = order.book(micro(case["trade_fee"]), micro(case["price"]), micro(case["count"]))
        assert net == micro(case["net_fee"])
        assert order.accumulated == micro(case["accumulator_after"])
        paid = micro(case["price"]) * micro(case["count"]) // MICRO
        assert -paid - net - micro(case["rebate"]) == micro(case["balance_change"])


@pytest.mark.parametrize(
    "case", cases("polymarket", "fees"), ids=lambda c: f"{c['category']}-{c['shares']}x{c['price']}"
)
def test_polymarket_fee_is_exact(case: dict[str, str]) -> None:
    price, shares, rate = micro(case["price"]), micro(case["shares"]), micro(case["rate"])
    assert trade_fee(price, shares, rate, int(case["exponent"]), 10, True, 10) == micro(case["fee"])
    if case["category"] != "synthetic_exponent":
        assert rule(current(case["category"])).order_fee([(price, shares)], maker=False) == micro(case["fee"])
        assert rule(current(case["category"])).order_fee([(price, shares)], maker=True) == 0


def current(category: str) -> str:
    since = {"geopolitics": "", "sports": "-2026-07-10"}.get(category, "-2026-03-30")
    return f"polymarket-{category}{since}"


@pytest.mark.parametrize("case", cases("polymarket", "category_rates"), ids=lambda c: c["category"])
def test_polymarket_rule_of_each_category_carries_its_rate_and_notes_its_rebate(case: dict[str, str]) -> None:
    found = rule(current(case["category"]))
    assert found.taker_rate_ppm == micro(case["taker_rate"])
    assert found.maker_rate_ppm == 0
    share = int(Decimal(case["maker_rebate_share"]) * 100)
    assert found.rebate.startswith(f"{share} %") if share else not found.rebate


def test_polymarket_sports_before_july_was_three_hundredths() -> None:
    assert rule("polymarket-sports-2026-03-30").order_fee([(500_000, 100 * MICRO)], maker=False) == 750_000
