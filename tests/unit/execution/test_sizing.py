"""Quotes and sizes on books, against trying every size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.mock_platform import MockFees
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionStrategy, Level, Side
from arbkit.core.units import MICRO, Cash, Price, Size, cash, price, size
from arbkit.detection.sizing import basket_quote, fees_of, largest_size, needed, quote
from arbkit.execution.planning import decided, undecided
from arbkit.execution.terms import Terms
from arbkit.risk.limits import exposure
from tests.rig import NO_B, YES_A, Rig, virtual

LEVELS = [Level(price("0.40"), size("10")), Level(price("0.41"), size("5"), False), Level(price("0.45"), size("100"))]


def test_a_quote_walks_the_levels_and_says_what_it_rests_on() -> None:
    assert quote(LEVELS, size("10")) == (size("10"), cash("4"), price("0.40"), True)
    assert quote(LEVELS, size("12")) == (size("12"), cash("4.82"), price("0.41"), False)
    assert quote(LEVELS[:2], size("99")) == (size("15"), cash("6.05"), price("0.41"), False)
    assert quote([], size("1")) == (0, 0, 0, True)


def test_money_rounds_against_us_level_by_level() -> None:
    odd = [Level(Price(333_333), Size(1_000_001)), Level(Price(333_334), Size(1_000_001))]
    assert quote(odd, 2_000_002).cost == 333_334 + 333_335
    assert quote(odd[::-1], 2_000_002, Side.SELL).cost == 333_333 + 333_334


def test_fees_are_those_of_one_taking_order() -> None:
    assert fees_of(LEVELS, size("12"), MockFees(taker_ppm=100_000)) == cash("0.482")
    assert fees_of([], size("12"), MockFees(taker_ppm=100_000)) == 0


def test_needed_is_never_less_than_the_product() -> None:
    assert needed(100, 10_000) == 1
    assert needed(-100, 10_000) == -1
    assert needed(-100, 15_000) == -1


def test_a_basket_that_a_book_does_not_hold_has_no_quote() -> None:
    rig = Rig()
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    assert basket_quote(views, rig.basket, size("301")) is None
    assert basket_quote(views, rig.basket, 0) is None


ladders = st.lists(
    st.tuples(st.integers(30, 60), st.integers(1, 9)), min_size=1, max_size=4, unique_by=lambda of: of[0]
)


@given(ladders, ladders, st.integers(-4, 6), st.integers(1, 20), st.sampled_from([0, 10_000, 70_000]), st.booleans())
def test_the_largest_size_is_the_last_whose_share_still_earns_the_edge(
    a: list[tuple[int, int]], b: list[tuple[int, int]], edge_cents: int, most: int, fee: int, gross: bool
) -> None:
    rig = Rig(fees=MockFees(taker_ppm=fee))
    rig.alpha.set_book(YES_A, asks=[(f"0.{at}", n) for at, n in a])
    rig.beta.set_book(NO_B, asks=[(f"0.{at}", n) for at, n in b])
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    edge = Cash(edge_cents * 10_000)
    good, before = 0, 0
    for shares in range(1, most + 1):
        found = basket_quote(views, rig.basket, shares * MICRO)
        if found is None or found.judged(gross) - before < edge:
            break
        good, before = shares, found.judged(gross)
    assert largest_size(views, rig.basket, edge, most * MICRO, gross) == good * MICRO


def test_a_decision_shrinks_to_the_book_the_settings_and_the_exposure_bound() -> None:
    for config, asks, want in (
        (ExecutionConfig(max_size=70), "100", "70"),
        (ExecutionConfig(), "63.5", "63"),
        (ExecutionConfig(max_exposure=27.8, max_slippage=0.01), "100", "49"),  # 49 * 0.56, caps included
    ):
        rig = Rig(config=config)
        trade = undecided(virtual(_opportunity(rig)), ExecutionStrategy.MARKET, "t")
        rig.beta.set_book(NO_B, asks=[("0.55", asks)])
        views = [rig.feed.view(leg) for leg in rig.basket.legs]
        found, reason = decided(trade, views, Terms.of(config))
        assert not reason
        assert found.size == found.legs[0].size == size(want)
        assert found.opportunity.edge == found.size // 20
        assert exposure([leg.decision_cost for leg in found.legs]) <= Terms.of(config).max_exposure


def test_a_decision_below_the_smallest_legal_size_is_refused() -> None:
    rig = Rig()
    trade = undecided(virtual(_opportunity(rig)), ExecutionStrategy.MARKET, "t")
    rig.beta.set_book(NO_B, asks=[("0.55", "0.5")])
    _, reason = decided(trade, [rig.feed.view(leg) for leg in rig.basket.legs], Terms.of(rig.config))
    assert reason == "size 0 is below the smallest size legal on every leg, 1"


async def _opportunity(rig: Rig):  # type: ignore[no-untyped-def]
    return rig.opportunity()
