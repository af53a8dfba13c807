"""The compiled fee sums against Python's ints, and the laws of rounding."""

from fractions import Fraction

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arbkit.core.units import MICRO
from arbkit.fees import FeeRule, OrderFees, as_array, names, rule
from arbkit.fees.arithmetic import fee_micro, order_fee_kernel
from arbkit.fees.rules import trade_fee

TEN_MILLION = 10_000_000 * MICRO
prices = st.integers(1, MICRO - 1)
sizes = st.one_of(st.integers(1, TEN_MILLION), st.integers(1, 300), st.integers(1, 20_000).map(lambda n: n * 10_000))
rates = st.one_of(st.integers(0, MICRO), st.integers(0, 1_000).map(lambda n: n * 1_000))
steps = st.sampled_from([1, 2, 3, 10, 100, 10_000])
quoted = st.integers(1, 9_999).map(lambda n: n * 100)  # four decimals, as Kalshi quotes
counts = st.integers(1, 100_000).map(lambda n: n * 10_000)  # hundredths of a contract


@settings(max_examples=1_500, deadline=None)
@given(prices, sizes, rates, st.sampled_from([1, 2]), steps, st.booleans(), st.integers(0, 100))
@example(500_000, TEN_MILLION, MICRO, 1, 1, False, 0)
@example(500_000, TEN_MILLION, MICRO, 2, 1, True, 0)
@example(1, TEN_MILLION, 1, 2, 1, False, 0)
@example(10_000, 1_000_000, 50_000, 1, 10, True, 10)  # a tie: 0.000495
@example(999_999, 1, 1, 2, 1, True, 0)
def test_compiled_fee_equals_python_ints_up_to_ten_million_shares(
    price: int, size: int, rate: int, exponent: int, step: int, half_up: bool, minimum: int
) -> None:
    assert fee_micro(price, size, rate, exponent, step, half_up, minimum) == trade_fee(
        price, size, rate, exponent, step, half_up, minimum
    )


@given(prices, sizes, rates, st.sampled_from([1, 2]), steps, st.booleans())
def test_a_fee_is_the_nearest_or_the_next_multiple_of_its_step(
    price: int, size: int, rate: int, exponent: int, step: int, half_up: bool
) -> None:
    p = Fraction(price, MICRO)
    true = Fraction(rate, MICRO) * size * (p * (1 - p)) ** exponent
    fee = trade_fee(price, size, rate, exponent, step, half_up)
    assert fee % step == 0
    if half_up:
        assert -Fraction(step, 2) < fee - true <= Fraction(step, 2)
    else:
        assert 0 <= fee - true < step


@given(prices, sizes, rates)
def test_a_fee_is_the_same_on_both_sides_of_a_market(price: int, size: int, rate: int) -> None:
    assert trade_fee(price, size, rate, 1, 1, False) == trade_fee(MICRO - price, size, rate, 1, 1, False)


def kernel(rule: FeeRule, fills: list[tuple[int, int]], maker: bool) -> int:
    columns = np.array(fills, np.int64).reshape(-1, 2)
    return int(order_fee_kernel(columns[:, 0].copy(), columns[:, 1].copy(), len(fills), as_array(rule), maker))


fills_of_kalshi = st.lists(st.tuples(quoted, counts), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(names()),
    st.one_of(fills_of_kalshi, st.lists(st.tuples(prices, sizes), min_size=1, max_size=8)),
    st.booleans(),
)
@example("kalshi-2026-07-07", [(55_000, MICRO), (55_000, MICRO)], True)  # collected: one cent, not more than one
def test_the_compiled_fee_of_an_order_is_the_one_that_python_books(
    name: str, fills: list[tuple[int, int]], maker: bool
) -> None:
    assert kernel(rule(name), fills, maker) == rule(name).order_fee(fills, maker=maker)


@given(fills_of_kalshi, st.booleans(), st.booleans())
def test_a_balance_always_shows_whole_cents_and_rounding_never_favours_us(
    fills: list[tuple[int, int]], maker: bool, sell: bool
) -> None:
    found = rule("kalshi-2026-07-07-makers")
    order = OrderFees(found)
    money = plain = 0
    for price, size in fills:
        traded = price * size // MICRO * (1 if sell else -1)
        money += traded - order.fill(price, size, maker, sell=sell)
        plain += traded - found.trade_fee(price, size, maker=maker)
        assert money % found.balance_precision == 0
        assert 0 <= order.accumulated <= found.balance_precision
        assert money + order.accumulated == plain


@given(st.sampled_from(names()), fills_of_kalshi, st.booleans())
def test_an_order_in_one_call_costs_what_it_costs_fill_by_fill(
    name: str, fills: list[tuple[int, int]], maker: bool
) -> None:
    order = OrderFees(rule(name))
    assert rule(name).order_fee(fills, maker=maker) == sum(order.fill(p, n, maker) for p, n in fills)


@given(prices, sizes)
def test_no_rule_is_no_fee(price: int, size: int) -> None:
    columns = np.array([price], np.int64), np.array([size], np.int64)
    assert order_fee_kernel(*columns, 1, np.zeros(8, np.int64)) == 0
