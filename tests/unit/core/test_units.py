from decimal import ROUND_DOWN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.units import MICRO, cash, cost, price, proceeds, seconds, size

prices = st.integers(0, MICRO)
sizes = st.integers(0, 10_000_000 * MICRO)


@pytest.mark.parametrize(
    ("text", "millionths"),
    [("0.5", 500_000), ("0", 0), ("1", MICRO), (1, MICRO), ("0.000001", 1), (Decimal("0.0025"), 2_500), ("1e-6", 1)],
)
def test_a_quoted_price_is_exact(text: str, millionths: int) -> None:
    assert price(text) == millionths


@pytest.mark.parametrize("text", ["0.0000001", "1.000001", "-0.01", "nan", "inf", "-inf", "abc", "", "1e999999999"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a price"):
        price(text)


def test_a_fraction_that_millionths_cannot_hold_is_no_price() -> None:
    with pytest.raises(ValueError, match="in millionths"):
        price(Decimal(3) / 7)


@pytest.mark.parametrize("text", ["-1", "0.0000001", "nan", "many"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size(text)


def test_a_size_has_no_upper_end() -> None:
    assert size("123456789012.345678") == 123_456_789_012_345_678


@pytest.mark.parametrize(("text", "millionths"), [("0.0000001", 1), (0.1, 100_000), (-0.0000019, -1), (10_000, 10**10)])
def test_an_amount_given_by_a_person_rounds_up(text: str | float, millionths: int) -> None:
    assert cash(text) == millionths


def test_an_amount_rounds_as_told() -> None:
    assert cash("0.0000019", rounding=ROUND_DOWN) == 1


@pytest.mark.parametrize("text", ["nan", float("inf"), "lots", "", "1e999999999"])
def test_what_is_no_amount_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="not an amount of dollars"):
        cash(text)


@given(prices, sizes)
def test_rounding_never_favours_us(p: int, s: int) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(p) * s / MICRO
        assert 0 <= cost(p, s) - exact < 1
        assert 0 <= exact - proceeds(p, s) < 1


@given(prices, sizes, sizes)
def test_paying_in_parts_is_never_cheaper(p: int, a: int, b: int) -> None:
    assert cost(p, a) + cost(p, b) >= cost(p, a + b)
    assert proceeds(p, a) + proceeds(p, b) <= proceeds(p, a + b)


def test_seconds_are_for_people() -> None:
    assert seconds(1_500_000_000) == 1.5
