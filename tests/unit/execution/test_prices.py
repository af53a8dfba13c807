"""The prices and sizes of the three strategies, by numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.mock_platform import MockFees
from arbkit.core.config import ExecutionConfig
from arbkit.core.grid import Grid
from arbkit.core.units import MICRO, Cash, Price, Size, cash, cost, price, size
from arbkit.execution.hybrid import Standing, affordable, crossing_size
from arbkit.execution.limit import joined, repriced, resting_limits
from arbkit.execution.market import budget, buy_cap, sell_cap
from arbkit.execution.terms import Terms
from tests.rig import NO_B, YES_A, Rig

CENTS = Grid.of_tick("0.01")
MILLS = Grid.of_tick("0.001")


def terms(**settings: object) -> Terms:
    return Terms.of(ExecutionConfig(**settings))  # type: ignore[arg-type]


# -- MARKET ------------------------------------------------------------------------------------------------------


def test_budget_splits_the_net_edge_per_share_over_the_legs() -> None:
    assert budget(cash("5"), size("100"), 2, terms()) == price("0.025")
    assert budget(cash("5"), size("100"), 2, terms(edge_budget_share=0.5)) == price("0.0125")
    assert budget(cash("-5"), size("100"), 2, terms()) == 0
    assert budget(cash("5"), size("100"), 2, terms(protect_edge=False)) is None


def test_a_buy_is_capped_at_worst_plus_the_smaller_of_slip_and_budget_rounded_down() -> None:
    by_share = terms(max_slippage_pct=0.05)
    assert buy_cap(price("0.40"), price("0.025"), MILLS, by_share) == price("0.420")  # slip 0.020
    assert buy_cap(price("0.40"), price("0.0125"), MILLS, by_share) == price("0.412")  # budget, down to the mill
    assert buy_cap(price("0.40"), price("0.025"), CENTS, terms(max_slippage=0.019)) == price("0.41")
    assert buy_cap(price("0.40"), None, CENTS, terms(max_slippage=0.05)) == price("0.45")
    assert buy_cap(price("0.98"), None, CENTS, terms(max_slippage=0.05)) == price("0.99")  # the grid ends


def test_a_sell_is_capped_at_worst_minus_the_smaller_of_slip_and_budget_rounded_up() -> None:
    assert sell_cap(price("0.40"), price("0.0125"), MILLS, terms(max_slippage_pct=0.05)) == price("0.388")
    assert sell_cap(price("0.40"), price("0.0125"), CENTS, terms(max_slippage_pct=0.05)) == price("0.39")
    assert sell_cap(price("0.01"), None, CENTS, terms(max_slippage=0.5)) == price("0.01")


def test_max_slippage_of_nothing_caps_at_the_last_level_needed() -> None:
    assert buy_cap(price("0.40"), price("0.025"), MILLS, terms(max_slippage=0.0)) == price("0.40")


# -- LIMIT -------------------------------------------------------------------------------------------------------


def limits_of(rig: Rig, shares: str = "100") -> tuple[Price, ...] | None:
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    return resting_limits(views, rig.basket, size(shares), Terms.of(rig.config))


def test_each_leg_joins_its_own_best_bid() -> None:
    assert limits_of(Rig()) == (price("0.38"), price("0.53"))
    assert limits_of(Rig(config=ExecutionConfig(improve_ticks=1))) == (price("0.39"), price("0.54"))


def test_improving_stops_one_tick_below_the_ask_while_post_only() -> None:
    rig = Rig(config=ExecutionConfig(improve_ticks=9))
    view = rig.feed.view(rig.basket.legs[0])
    assert joined(view, terms(improve_ticks=9)) == price("0.39")
    assert joined(view, terms(improve_ticks=9, post_only=False)) == price("0.47")


def test_nobody_to_join_is_the_lowest_price() -> None:
    rig = Rig()
    rig.alpha.set_book(YES_A, asks=[("0.40", "100")])
    assert limits_of(rig) == (price("0.01"), price("0.53"))


def test_limits_are_lowered_in_turns_from_the_widest_spread_until_the_edge_is_kept() -> None:
    rig = Rig(config=ExecutionConfig(min_edge=0.02))
    rig.alpha.set_book(YES_A, bids=[("0.45", "10")], asks=[("0.47", "100")])  # spread 2
    rig.beta.set_book(NO_B, bids=[("0.56", "10")], asks=[("0.61", "100")])  # spread 5
    # 1.01 of 0.98: three ticks, the wider leg gives the first and the third
    assert limits_of(rig) == (price("0.44"), price("0.54"))


def test_equal_spreads_give_in_leg_order_and_makers_fees_count_unless_gross() -> None:
    for edge, want in (("net", ("0.44", "0.53")), ("gross", ("0.45", "0.53"))):
        rig = Rig(config=ExecutionConfig(min_edge=0.02, edge=edge), fees=MockFees(maker_ppm=1_000))
        rig.alpha.set_book(YES_A, bids=[("0.45", "10")], asks=[("0.47", "100")])
        rig.beta.set_book(NO_B, bids=[("0.53", "10")], asks=[("0.55", "100")])
        assert limits_of(rig) == tuple(price(at) for at in want)


def test_no_limits_where_no_prices_keep_the_edge() -> None:
    assert limits_of(Rig(config=ExecutionConfig(min_edge=0.99))) is None


def test_a_refused_bid_is_repriced_below_itself_or_not_at_all() -> None:
    rig = Rig()
    view = rig.feed.view(rig.basket.legs[0])
    assert repriced(view, price("0.38"), terms()) == price("0.37")
    rig.alpha.set_book(YES_A, bids=[("0.30", "5")], asks=[("0.33", "5")])
    assert repriced(view, price("0.38"), terms()) == price("0.30")
    assert repriced(view, price("0.01"), terms()) is None


# -- HYBRID ------------------------------------------------------------------------------------------------------


def leg(filled: str, paid: str, cap: str, least: str = "1", fees: MockFees | None = None) -> Standing:
    return Standing(size(filled), cash(paid), Cash(0), price(cap), size(least), fees or MockFees())


def crossing(*legs: Standing, min_edge: str = "0", shares: str = "100", least: str = "1", gross: bool = False) -> Size:
    return crossing_size(
        legs,
        floor=MICRO,
        min_edge=cash(min_edge),
        size=size(shares),
        lot=MICRO,
        min_size=size(least),
        gross=gross,
    )


def test_crossing_goes_for_the_whole_size_while_caps_keep_the_edge() -> None:
    assert crossing(leg("30", "12", "0.40"), leg("0", "0", "0.55")) == size("100")


def test_crossing_stops_where_cheap_fills_no_longer_pay_for_dear_caps() -> None:
    # 30 shares at 0.40 saved 30 * 0.05; every further share loses a cent
    dear = (leg("30", "12", "0.45"), leg("0", "0", "0.56"))
    assert crossing(*dear, shares="200") == size("150")
    assert crossing(*dear, min_edge="0.02", shares="200") == size("50")


def test_crossing_is_given_up_where_even_the_filled_part_loses() -> None:
    assert crossing(leg("30", "12", "0.40"), leg("0", "0", "0.61")) == 0


def test_crossing_counts_takers_fees_unless_gross() -> None:
    fees = MockFees(taker_ppm=100_000)
    legs = (leg("30", "12", "0.40", fees=fees), leg("0", "0", "0.55", fees=fees))
    assert crossing(*legs) == 0
    assert crossing(*legs, gross=True) == size("100")


def test_crossing_never_leaves_a_part_that_no_venue_takes() -> None:
    dear = (leg("97", "38.8", "0.40", "5"), leg("98", "53.9", "0.55", "5"))
    assert crossing(*dear) == 0  # 3 and 2 are missing, 5 is the least
    assert crossing(*dear, shares="103") == size("103")
    assert crossing(leg("95", "38", "0.40", "5"), leg("100", "55", "0.55", "5")) == size("100")


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 99), st.integers(1, 99)), min_size=2, max_size=3),
    st.integers(-3, 3),
    st.integers(1, 8),
)
def test_crossing_finds_what_trying_every_size_finds(
    legs: list[tuple[int, int, int]], edge_cents: int, least: int
) -> None:
    standing = [
        Standing(
            Size(n * MICRO), cost(at * 10_000, n * MICRO), Cash(0), Price(cap * 10_000), Size(least * MICRO), MockFees()
        )
        for n, at, cap in legs
    ]
    low = max(n for n, _, _ in legs)

    def legal(total: int) -> bool:
        return total >= (least if total > low or not low else 1) and all(
            total == n or total - n >= least for n, _, _ in legs
        )

    sizes = [n for n in range(max(low, 1), 81) if legal(n)]
    good = [n for n in sizes if affordable(standing, n * MICRO, MICRO, edge_cents * 10_000, False)]
    found = crossing(*standing, min_edge=str(edge_cents / 100), shares="80", least=str(least))
    assert found == (max(good) * MICRO if good else 0)


# -- settings ----------------------------------------------------------------------------------------------------


def test_what_a_person_bounded_rounds_to_the_stricter_side() -> None:
    fine = terms(min_edge=0.00000012, max_size=0.0000019)
    assert (fine.min_edge, fine.max_size) == (1, 1)
