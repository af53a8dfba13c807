"""Which rule holds when, and what is said when none does."""

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from arbkit.core.errors import DataError
from arbkit.core.model import Market
from arbkit.core.ports import Fees
from arbkit.core.units import NS_PER_S
from arbkit.fees import FeeRule, OrderFees, as_array, covers, history_for, names, rule, rule_for, rules_for
from arbkit.fees.rules import read_rules

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
    with pytest.raises(DataError, match=r"fees change from .* on 2026-07-10; slice"):
        rule_for(market, start, end)


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


def test_a_rule_stated_twice_is_refused() -> None:
    with pytest.raises(DataError, match="rule a: stated twice"):
        read_rules(GOOD + GOOD, "t")


def test_rules_are_read_without_numba() -> None:
    code = "import sys, arbkit.fees as f; f.rule('none').order_fee([(1, 1)], maker=False); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
