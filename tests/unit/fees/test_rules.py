"""Which rule holds when, and what is said when none does."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from arbkit.core.errors import DataError
from arbkit.core.model import Market
from arbkit.core.ports import Fees
from arbkit.core.units import NS_PER_S
from arbkit.fees import FeeRule, OrderFees, as_array, covers, history_for, names, rule, rule_for, rules_for
from arbkit.fees.rules import read_rules, trade_fee

SPORTS = ((0, "polymarket-sports-2026-03-30"),)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


def polymarket(*rules: tuple[int, str], venue: str = "polymarket") -> Market:
    return Market(venue=venue, id="m", fee_rules=rules)


def test_a_rule_holds_from_its_first_day_to_the_day_before_the_next() -> None:
    old, new = rule("polymarket-sports-2026-03-30"), rule("polymarket-sports-2026-07-10")
    assert not covers(old, at("2026-03-29T23:59:59"))
    assert covers(old, at("2026-03-30"))
    assert covers(old, at("2026-07-10") - 1)
    assert not covers(old, at("2026-07-10"))
    assert covers(new, at("2026-07-10"))
    assert covers(new, at("2026-11-24"))
    assert not covers(rule("none-before-2026-01-05"), at("2026-01-05"))


def test_a_mistyped_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(DataError, match=r"no fee rule is named 'kalshi-2026-07-70'.*did you mean.*kalshi-2026-07-07"):
        rule("kalshi-2026-07-70")
    with pytest.raises(DataError) as told:
        rule("kalshi-2026-07-70")
    assert str(told.value).partition("did you mean")[2].count("kalshi-") == 3  # of more that are near
    with pytest.raises(DataError, match="there are none, kalshi"):
        rule("zzz")


def test_names_are_listed_by_venue() -> None:
    assert names("kalshi")[0] == "kalshi-2026-07-07"
    assert all("kalshi" not in name for name in names("polymarket"))
    assert set(names("polymarket")) < set(names())


def test_every_rule_names_its_source() -> None:
    assert all(rule(name).source for name in names())
    assert "made up" in rule("synthetic-flat-low").source


def test_the_stated_rule_is_used_inside_its_dates() -> None:
    assert rules_for(polymarket(*SPORTS), at("2026-06-07")).name == "polymarket-sports-2026-03-30"


def test_outside_the_dates_net_figures_are_refused_with_a_way_out() -> None:
    with pytest.raises(DataError) as refusal:
        rules_for(polymarket(*SPORTS), at("2026-08-01"))
    said = str(refusal.value)
    assert said.startswith("net figures are refused: market polymarket:m has no fee rule covering 2026-08-01")
    assert "markets.toml" in said
    assert "assume_fees=NAME" in said
    assert "polymarket-sports-2026-07-10" in said
    assert "kalshi" not in said


def test_without_a_stated_rule_net_figures_are_refused() -> None:
    with pytest.raises(DataError, match="none is stated"):
        rules_for(polymarket(), at("2026-08-01"))
    with pytest.raises(DataError, match="covering 2026-08-01"):
        rules_for(polymarket(), at("2026-08-02") - 1)  # of a float's seconds it would be the day after


def test_an_assumed_rule_fills_only_what_is_not_covered() -> None:
    assumed = "polymarket-sports-2026-07-10"
    assert rules_for(polymarket(*SPORTS), at("2026-06-07"), assumed).name == "polymarket-sports-2026-03-30"
    assert rules_for(polymarket(*SPORTS), at("2026-08-01"), assumed).name == assumed
    assert rules_for(polymarket(), at("2025-01-01"), assumed).name == assumed
    assert rules_for(polymarket(), at("2025-01-01"), "none").taker_rate_ppm == 0


def test_rules_of_several_venues_can_be_assumed_at_once() -> None:
    both = "kalshi-2026-07-07, polymarket-politics-2026-03-30"
    assert rules_for(polymarket(), 0, both).venue == "polymarket"
    assert rules_for(polymarket(venue="kalshi"), 0, both).venue == "kalshi"


def test_a_venue_with_rules_of_its_own_takes_no_others() -> None:
    with pytest.raises(DataError, match="names none of polymarket"):
        rules_for(polymarket(), 0, "kalshi-2026-07-07")
    with pytest.raises(DataError, match="is one of kalshi, not polymarket"):
        rules_for(polymarket((0, "kalshi-2026-07-07")), at("2026-08-01"))
    assert rules_for(polymarket(venue="elsewhere"), 0, "kalshi-2026-07-07").venue == "kalshi"


def test_a_mistyped_assumption_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="did you mean"):
        rules_for(polymarket(), 0, "polymarket-sport-2026-07-10")


def test_a_change_of_fees_inside_a_span_is_told_not_averaged() -> None:
    market = polymarket((0, SPORTS[0][1]), (at("2026-07-10"), "polymarket-sports-2026-07-10"))
    start, end = at("2026-07-09"), at("2026-07-11")
    assert [(ns, found.name) for ns, found in history_for(market, start, end)] == [
        (start, "polymarket-sports-2026-03-30"),
        (at("2026-07-10"), "polymarket-sports-2026-07-10"),
    ]
    assert rule_for(market, start, at("2026-07-10") - 1).name == "polymarket-sports-2026-03-30"
    said = "fees change from polymarket-sports-2026-03-30 to polymarket-sports-2026-07-10 on 2026-07-10; slice"
    with pytest.raises(DataError, match=said):
        rule_for(market, start, end)


def test_a_span_reaches_to_its_last_nanosecond_whether_the_market_or_the_rule_changes_then() -> None:
    day = at("2026-08-01")
    market = polymarket((0, "kalshi-2026-07-07"), (day, "kalshi-2026-07-07-half"), venue="kalshi")
    assert [ns for ns, _ in history_for(market, day - 1, day)] == [day - 1, day]
    assert rule_for(market, day, day).name == "kalshi-2026-07-07-half"
    end = at("2026-07-10")  # of the stated rule; the assumed one holds from there
    found = history_for(polymarket(*SPORTS), end - 1, end, "polymarket-sports-2026-07-10")
    assert [ns for ns, _ in found] == [end - 1, end]


def test_a_rule_that_is_stated_again_is_no_change_and_one_that_comes_back_is() -> None:
    day = at("2026-08-01")
    stated = ["kalshi-2026-07-07"] * 2 + ["kalshi-2026-07-07-half"] * 2 + ["kalshi-2026-07-07"]
    market = polymarket(*((day + n, name) for n, name in enumerate(stated)), venue="kalshi")
    assert [(ns - day, found.name) for ns, found in history_for(market, day, day + 9)] == [
        (0, stated[0]),
        (2, stated[2]),
        (4, stated[4]),
    ]


def test_a_span_that_outlives_its_rule_is_refused() -> None:
    with pytest.raises(DataError, match="covering 2026-07-10"):
        rule_for(polymarket(*SPORTS), at("2026-07-09"), at("2026-07-11"))


def test_a_rule_is_a_port_of_fees() -> None:
    fees: Fees = rule("kalshi-2026-07-07")
    assert fees.name == "kalshi-2026-07-07"
    assert fees.order_fee([], maker=False) == 0


def test_a_sale_rounds_its_proceeds_down() -> None:
    # 1 contract sold at 0.055: 0.055 - 0.003639 = 0.051361, of which the balance shows 0.05
    assert rule("kalshi-2026-07-07").order_fee([(55_000, 1_000_000)], maker=False, sell=True) == 5_000
    # 1 contract sold at 0.33: 0.33 - 0.015477 = 0.314523, of which the balance shows 0.31
    assert rule("kalshi-2026-07-07").order_fee([(330_000, 1_000_000)], maker=False, sell=True) == 20_000


def test_a_rebate_can_outweigh_the_fee_of_one_fill() -> None:
    order = OrderFees(rule("kalshi-2026-07-07"))
    assert [order.fill(55_000, 1_000_000, True) for _ in range(4)] == [5_000, 5_000, -5_000, 5_000]


def test_as_array_holds_the_documented_fields() -> None:
    array = as_array(rule("kalshi-2026-07-07-makers"))
    assert array.dtype == np.int64
    assert array.tolist() == [70_000, 17_500, 1, 1, 0, 0, 10_000, 1]
    assert as_array(rule("polymarket-crypto-2026-03-30")).tolist() == [70_000, 0, 1, 10, 1, 10, 0, 1]


GOOD = """
[[rule]]
name = "a"
venue = "v"
taker_rate = "0.01"
maker_rate = "0"
exponent = 1
step = "0.01"
rounding = "ceil"
minimum = "0"
balance_precision = "0"
source = "s"
"""


def test_a_table_of_rules_reads() -> None:
    assert isinstance(read_rules(GOOD, "t")["a"], FeeRule)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "s"', "", "t: rule a: field `source` is missing"),
        ('source = "s"', 'source = ""', "a rumour"),
        ('source = "s"', 'source = "s"\ncolour = 1', "field `colour` is not known"),
        ('"0.01"\nmaker', '"much"\nmaker', "not a size"),
        ('"0.01"\nmaker', '"7"\nmaker', "taker_rate_ppm = 7000000 is outside"),
        ("exponent = 1", "exponent = 3", "exponent = 3"),
        ('"ceil"', '"down"', "neither ceil nor half-up"),
        ('step = "0.01"', 'step = "0"', "step = 0 is outside 1.."),
        ('source = "s"', 'source = "s"\nvalid_from = "2026"', "not a day"),
        ('source = "s"', 'source = "s"\nvalid_from = 2026-02-01\nvalid_until = 2026-01-01', "not after valid_from"),
        ("[[rule]]", "[[rule]", "not readable"),
    ],
)
def test_a_bad_table_is_refused_by_rule_and_field(old: str, new: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_rules(GOOD.replace(old, new), "t")


def test_a_rule_without_a_name_is_told_by_its_number() -> None:
    nameless = GOOD.replace('name = "a"', "")
    with pytest.raises(DataError, match="t: rule 1: field `name` is missing"):
        read_rules(nameless, "t")
    with pytest.raises(DataError, match="t: rule 2: field `name` is missing"):
        read_rules(GOOD + nameless, "t")


def test_a_rule_stated_twice_is_refused() -> None:
    with pytest.raises(DataError, match="rule a: stated twice"):
        read_rules(GOOD + GOOD, "t")


def a_rule(**changed: Any) -> FeeRule:
    """A rule that charges a hundredth of what changes hands, in whole millionths, unless told otherwise."""
    plain: dict[str, Any] = {"name": "a", "venue": "v", "valid_from": None, "valid_until": None, "rounding": "ceil"}
    plain |= {"taker_rate_ppm": 10_000, "maker_rate_ppm": 0, "exponent": 1, "step": 1, "source": "s"}
    return FeeRule(**{**plain, "minimum": 0, "balance_precision": 0, **changed})


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("taker_rate_ppm", 0, 1_000_000),
        ("maker_rate_ppm", 0, 1_000_000),
        ("exponent", 1, 2),
        ("step", 1, 1_000_000),
        ("minimum", 0, 1_000_000),
        ("balance_precision", 0, 1_000_000),
    ],
)
def test_a_number_of_a_rule_may_stand_at_its_bounds_and_not_beyond(name: str, least: int, most: int) -> None:
    for right in (least, most):
        assert getattr(a_rule(**{name: right}), name) == right
    for wrong in (least - 1, most + 1):
        with pytest.raises(DataError, match=f"fee rule a: {name} = {wrong} is "):
            a_rule(**{name: wrong})


def test_a_rule_may_be_open_at_either_end_and_holds_for_a_while_if_it_has_both() -> None:
    for start, end in ((None, None), (5, None), (None, 5), (5, 6)):
        assert a_rule(valid_from=start, valid_until=end).valid_until == end
    for end in (4, 5):
        with pytest.raises(DataError, match="valid_until is not after valid_from"):
            a_rule(valid_from=5, valid_until=end)


def test_a_rule_goes_by_its_names_and_is_not_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        a_rule().step = 7  # type: ignore[misc]
    with pytest.raises(TypeError):
        FeeRule(*(getattr(a_rule(), field.name) for field in fields(FeeRule)))  # type: ignore[misc]


def test_a_fill_is_a_purchase_unless_it_is_said_to_be_a_sale() -> None:
    cents = a_rule(taker_rate_ppm=0, balance_precision=10)
    third = (300_000, 10)  # costs 3 millionths, which the balance shows as 10, or brings 3, which it shows as 0
    assert cents.order_fee([third], maker=False) == OrderFees(cents).fill(*third, False) == 7
    assert cents.order_fee([third], maker=False, sell=True) == OrderFees(cents).fill(*third, False, sell=True) == 3


def test_without_a_minimum_the_smallest_fee_is_one_step() -> None:
    assert trade_fee(500_000, 1, 10_000, 1, 1, False) == 1


def test_the_table_is_read_once() -> None:
    assert rule("none") is rule("none")


def test_a_fee_is_counted_from_its_minimum_on_and_nothing_below() -> None:
    even = (500_000, 4_000_000)  # a quarter of four shares: one dollar, of which the fee is a hundredth
    assert a_rule().trade_fee(*even, maker=False) == 10_000
    assert a_rule(minimum=10_000).trade_fee(*even, maker=False) == 10_000
    assert a_rule(minimum=10_001).trade_fee(*even, maker=False) == 0
    assert a_rule().trade_fee(*even, maker=True) == 0


def test_a_sum_of_rounding_fees_is_given_back_once_it_is_more_than_one_unit() -> None:
    order = OrderFees(a_rule(taker_rate_ppm=0, balance_precision=10))
    # Each buys for 5 millionths, which the balance shows as 10: the second makes one unit, the third more than one.
    assert [order.fill(500_000, 10, False) for _ in range(3)] == [5, 5, -5]
    assert order.accumulated == 5


def test_rules_are_read_without_numba() -> None:
    code = "import sys, arbkit.fees as f; f.rule('none').order_fee([(1, 1)], maker=False); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
