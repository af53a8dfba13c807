# ruff: noqa: N802
"""Arithmetic that looks like money: outcomes nobody listed, legs in equal dollars, edges that the fee eats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import arbkit as ak
from arbkit.backtest.mock_platform import MockFees
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import DataError
from arbkit.core.model import ExecutionStrategy, Market, Outcome
from arbkit.core.units import MICRO, cash
from arbkit.detection.baskets import baskets, payoffs
from arbkit.detection.sizing import basket_quote, largest_size
from arbkit.execution.planning import misshapen
from arbkit.history.markets import market_table
from arbkit.history.tape import Tape
from tests.builders import TapeBuilder, a_market, a_table, replace
from tests.rig import NO_B, YES_A, Rig, virtual

OUTCOMES = ("outcomes",)


def candidates(*names: str, exhaustive: bool | None, void: str = "none") -> list[Market]:
    known = {"event": "race", "payout": MICRO, "exclusive": True, "exhaustive": exhaustive, "void": void}
    return [a_market(name, outcome=name, **known) for name in names]


def quoted(markets: list[Market], asks: list[int]) -> Tape:
    """Asks in cents on the YES book of every market, bids five cents below."""
    build = TapeBuilder(a_table(*markets))
    for at, ask in enumerate(asks):
        build.snapshot(0, [(ask - 5, 9)], [(ask, 9)], book=2 * at)
    return build.mark(5_000).tape()


# -- S1 ----------------------------------------------------------------------------------------------------------


def test_fault_S1_asks_below_a_dollar_are_no_arbitrage_where_somebody_else_may_win() -> None:
    tape = quoted(candidates("anna", "bert", exhaustive=False), [40, 45])
    found = ak.baskets(tape, kinds=OUTCOMES)
    assert [basket.id for basket in found] == ["outcomes:race:no"]  # the bid side locks something: at most one wins
    assert ak.scan(tape, found, edge="gross").empty


def test_fault_S1_the_same_asks_are_an_arbitrage_where_one_of_them_must_win() -> None:
    tape = quoted(candidates("anna", "bert", exhaustive=True), [40, 45])
    (episode,) = ak.scan(tape, ak.baskets(tape, kinds=OUTCOMES), edge="gross").itertuples()
    assert episode.basket == "outcomes:race:yes"


def test_fault_S1_the_other_outcome_is_a_leg_like_any_other() -> None:
    three = candidates("anna", "bert", "other", exhaustive=True)
    yes, _ = baskets(market_table(three), kinds=OUTCOMES)
    assert [leg.market.outcome for leg in yes.legs] == ["anna", "bert", "other"]
    tape = quoted(three, [40, 45, 20])  # with it the sum is 1.05
    assert ak.scan(tape, ak.baskets(tape, kinds=OUTCOMES), edge="gross").empty


def test_fault_S1_where_nobody_knows_whether_all_are_listed_nothing_is_traded() -> None:
    with pytest.raises(DataError, match="market venue:anna: `exhaustive` is unknown"):
        baskets(market_table(candidates("anna", "bert", exhaustive=None)), kinds=OUTCOMES)


@given(
    st.integers(2, 5), st.booleans(), st.booleans(), st.lists(st.sampled_from(["half", "none"]), min_size=5, max_size=5)
)
def test_fault_S1_the_floor_is_the_least_that_any_world_pays(
    count: int, exclusive: bool, exhaustive: bool, voids: list[str]
) -> None:
    names = "abcde"[:count]
    markets = [
        replace(market, exclusive=exclusive, void=void)
        for market, void in zip(candidates(*names, exhaustive=exhaustive), voids, strict=False)
    ]
    for basket in baskets(market_table(markets), kinds=OUTCOMES):
        assert basket.floor == min(row.total for row in payoffs(basket))
        winners = [] if exhaustive else [set()]
        winners += [{name} for name in names]
        winners += [] if exclusive else [{a, b} for a in names for b in names]
        for won in winners:  # every world that the event allows, written out by hand
            pays = sum(MICRO * ((leg.market.id in won) == (leg.outcome == "yes")) for leg in basket.legs)
            assert pays >= basket.floor


# -- S2 ----------------------------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 300)), min_size=1, max_size=4, unique_by=lambda of: of[0])


@given(steps, steps, st.sampled_from(["MARKET", "LIMIT", "HYBRID"]))
def test_fault_S2_legs_are_planned_in_equal_shares_whatever_they_cost(
    cheap: list[tuple[int, int]], dear: list[tuple[int, int]], strategy: str
) -> None:
    rig = Rig(config=ExecutionConfig(min_edge=-0.9, protect_edge=False))
    for platform, name, levels in ((rig.alpha, YES_A, cheap), (rig.beta, NO_B, dear)):
        platform.set_book(name, asks=[(f"0.{at:02}", str(shares)) for at, shares in sorted(levels)])
    trade = virtual(rig.trade(ExecutionStrategy(strategy)))
    assert {leg.size for leg in trade.legs} == {trade.size}
    assert not misshapen(trade)
    quote = basket_quote([rig.feed.view(leg) for leg in rig.basket.legs], rig.basket, trade.size)
    assert quote is not None
    assert [leg.filled for leg in quote.legs] == [trade.size] * 2
    assert quote.edge_gross == rig.basket.floor * trade.size // MICRO - sum(leg.cost for leg in quote.legs)


@pytest.mark.parametrize("strategy", list(ExecutionStrategy))
def test_fault_S2_a_trade_in_equal_dollars_is_refused_before_anything_is_sent(strategy: ExecutionStrategy) -> None:
    rig = Rig()

    async def main() -> None:
        trade = await rig.trade(strategy, "55")
        first, second = trade.legs
        dollars = replace(trade, legs=(replace(first, size=first.size * 55 // 40 // MICRO * MICRO), second))
        result = await rig.executor.execute(dollars)
        assert result.outcome is Outcome.REFUSED
        assert "the same size" in result.reason

    virtual(main())
    assert rig.facts("order.intent") == []
    assert not rig.alpha.shares
    assert not rig.beta.shares


def test_fault_S2_what_is_bought_is_the_same_number_of_shares_on_every_leg() -> None:
    result = Rig().run("MARKET", "70")
    assert [leg.filled for leg in result.trade.legs] == [70 * MICRO] * 2
    assert [leg.decision_cost for leg in result.trade.legs] == [cash("28"), cash("38.50")]


# -- S6 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ppm", "trades"), [(0, True), (40_000, True), (53_000, False), (70_000, False)])
def test_fault_S6_an_edge_that_the_fee_eats_is_no_opportunity(ppm: int, trades: bool) -> None:
    rig = Rig(fees=MockFees(taker_ppm=ppm))  # five cents gross on 95: a fee of 5.3 % is one too many
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    assert (largest_size(views, rig.basket, cash("0.0001"), 100 * MICRO) > 0) is trades
    assert largest_size(views, rig.basket, cash("0.0001"), 100 * MICRO, gross=True) == 100 * MICRO


def test_fault_S6_a_scan_judges_the_edge_after_fees_unless_it_is_told_otherwise() -> None:
    markets = [
        replace(market, fee_rules=((0, "kalshi-2026-07-07"),)) for market in candidates("a", "b", exhaustive=True)
    ]
    tape = quoted(markets, [48, 51])  # a cent below a dollar, and the fee of both legs is more
    found = ak.baskets(tape, kinds=OUTCOMES)
    assert len(ak.scan(tape, found, edge="gross", assume_fees="kalshi-2026-07-07")) == 1
    assert ak.scan(tape, found, edge="net", assume_fees="kalshi-2026-07-07").empty


def test_fault_S6_a_fee_that_came_after_the_decision_refuses_the_trade() -> None:
    rig = Rig()

    async def main() -> None:
        trade = await rig.trade(ExecutionStrategy.MARKET)
        for leg in rig.basket.legs:
            rig.venues[leg.venue].view(leg).fees = MockFees(taker_ppm=70_000)
        result = await rig.executor.execute(trade)
        assert result.outcome is Outcome.REFUSED
        assert "below min_edge" in result.reason

    virtual(main())
    assert rig.facts("order.intent") == []


@given(st.integers(0, 60_000), st.integers(1, 100))
def test_fault_S6_what_is_left_of_the_edge_is_what_the_trade_earns(ppm: int, shares: int) -> None:
    rig = Rig(fees=MockFees(taker_ppm=ppm), config=ExecutionConfig(min_edge=-0.5, max_size=shares))
    result = rig.run("MARKET", str(shares))
    earned = rig.basket.floor * shares + result.cash
    assert result.outcome is Outcome.COMPLETED
    assert earned == result.trade.opportunity.edge == result.pnl
