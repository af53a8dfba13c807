from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arbkit.backtest.received import received
from arbkit.books.edge import Limits, cost_kernel, edge_at, largest_size, needed, proceeds_kernel, scratch, top_edge
from arbkit.books.ladder import forward
from arbkit.books.view import ladder_view
from arbkit.core.grid import Grid
from arbkit.core.model import Basket, Kind
from arbkit.core.units import MICRO, Cash, Size, cost, proceeds
from arbkit.detection import sizing
from arbkit.fees import FeeRule
from tests.builders import ASK, BID, START, TapeBuilder, a_market, a_table, shares

TEN_MILLION = 10_000_000 * MICRO
NOW = START + 1_000_000_000


@settings(max_examples=300, deadline=None)
@given(st.integers(0, MICRO), st.integers(0, TEN_MILLION))
@example(MICRO, TEN_MILLION)
@example(999_999, TEN_MILLION - 1)
def test_money_is_exact_up_to_ten_million_shares(price: int, size: int) -> None:
    assert cost_kernel(np.int64(price), np.int64(size)) == cost(price, size)
    assert proceeds_kernel(np.int64(price), np.int64(size)) == proceeds(price, size)
    assert needed(np.int64(price), np.int64(size)) == -(-price * size // MICRO)
    assert needed(np.int64(-price), np.int64(size)) == -(price * size // MICRO)


def a_basket(q_min: int = 1, lot: int = 1) -> Basket:
    """A complement over two recorded books."""
    yes, no = a_table(both=True).books
    return Basket("both", Kind.COMPLEMENT, "m", (yes, no), Cash(MICRO), Size(q_min * MICRO), Size(lot * MICRO))


def a_rule(rate: int = 0, **fields: int) -> FeeRule:
    return FeeRule(
        name="r", venue="any", valid_from=None, valid_until=None, taker_rate_ppm=rate, maker_rate_ppm=0, exponent=1,
        rounding="ceil", source="a test", **{"step": 1, "minimum": 0, "balance_precision": 0, **fields},
    )  # fmt: skip


def world(yes: list[tuple[int, int]], no: list[tuple[int, int]], q_min: int = 1, lot: int = 1, **fee: int):
    """That basket over two books with these asks (cents, shares), and the means to ask about it."""
    tape = TapeBuilder(both=True).snapshot(0, asks=yes).snapshot(0, asks=no, book=1).tape()
    limits, rule = Limits(100, 0, 100 * MICRO, 250 * MICRO), a_rule(**fee)
    ladders, columns, arrays, _ = received(tape, [a_basket(q_min, lot)], limits, {0: rule, 1: rule}, 10**12, 0)
    forward(ladders, columns, 0, len(tape), NOW, False)
    return ladders, arrays, limits, scratch(ladders, arrays)


def test_edge_is_floor_less_what_every_level_costs_less_fees() -> None:
    ladders, arrays, _, room = world([(40, 10), (42, 5)], [(55, 12)], rate=10_000, step=10_000)
    assert top_edge(ladders, arrays, 0) == 50_000
    gross = 12 * 1_000_000 - (10 * 400_000 + 2 * 420_000) - 12 * 550_000
    # one per cent of p(1-p) a share, each level's fee rounded up to a cent: 2.4 -> 3, 0.4872 -> 1, 2.97 -> 3
    assert edge_at(ladders, arrays, 0, shares(12), NOW, room) == (1, gross - 70_000, gross, 1)


def test_a_leg_that_does_not_hold_the_size_gives_no_edge() -> None:
    ladders, arrays, _, room = world([(40, 10)], [(55, 12)])
    assert edge_at(ladders, arrays, 0, shares(11), NOW, room)[0] == 0
    empty, arrays, _, _ = world([(40, 10)], [])
    assert top_edge(empty, arrays, 0) < -MICRO


def test_size_grows_until_the_next_share_earns_too_little() -> None:
    ladders, arrays, limits, room = world([(40, 10), (44, 10), (45, 10)], [(55, 15), (56, 90)])
    assert largest_size(ladders, arrays, 0, NOW, limits, room)[0] == shares(15)
    free = limits._replace(min_edge=0)
    assert largest_size(ladders, arrays, 0, NOW, free, room)[0] == shares(20)


def test_size_keeps_to_its_bounds_and_to_the_lot() -> None:
    ladders, arrays, limits, room = world([(40, 1_000)], [(50, 1_000)], q_min=3, lot=3)
    assert largest_size(ladders, arrays, 0, NOW, limits, room)[0] == shares(99)
    # the dearer leg alone is what can be left over: 0.50 a share
    risky = limits._replace(max_exposure=10 * MICRO)
    assert largest_size(ladders, arrays, 0, NOW, risky, room)[0] == shares(18)
    assert largest_size(ladders, arrays, 0, NOW, limits._replace(max_size=shares(2)), room) == (0, 0, 0, 1)


def test_rounding_of_an_order_fee_does_not_stop_a_size_that_earns_it_back() -> None:
    # The second share opens a level whose fee rounds up to the two cents that the share earns; the third earns more.
    ladders, arrays, limits, room = world([(40, 1), (44, 1), (45, 98)], [(54, 100)], rate=1_000, step=20_000)
    nets = [edge_at(ladders, arrays, 0, shares(q), NOW, room)[1] for q in (1, 2)]
    assert nets[0] == nets[1]
    assert largest_size(ladders, arrays, 0, NOW, limits, room)[0] == shares(100)


def test_ten_million_shares_at_the_dearest_price_do_not_overflow() -> None:
    big = 10_000_000
    ladders, arrays, _, room = world([(99, big)], [(99, big)], rate=MICRO)
    enough, net, gross, _ = edge_at(ladders, arrays, 0, shares(big), NOW, room)
    assert (enough, gross) == (1, big * (1_000_000 - 2 * 990_000))
    assert net == gross - 2 * big * 9_900
    study = Limits(-(10**11), 0, shares(big), 2**62)
    assert largest_size(ladders, arrays, 0, NOW, study, room)[0] == shares(big)


def test_lower_bounds_may_be_taken_and_are_told() -> None:
    builder = TapeBuilder(both=True).snapshot(0, asks=[(40, 10)]).snapshot(0, asks=[(50, 5)], book=1)
    tape = builder.level(1, ASK, 51, 9, book=1, lower=True).level(1, BID, 30, 9).tape()
    basket = Basket("both", Kind.COMPLEMENT, "m", tape.markets.books[:2], Cash(MICRO), Size(MICRO), Size(MICRO))
    limits = Limits(100, 1, 100 * MICRO, 250 * MICRO)
    ladders, columns, arrays, _ = received(tape, [basket], limits, None, 10**12, 0)
    forward(ladders, columns, 0, len(tape), NOW, False)
    room = scratch(ladders, arrays)
    assert edge_at(ladders, arrays, 0, shares(5), NOW, room)[3] == 1
    assert edge_at(ladders, arrays, 0, shares(6), NOW, room)[3] == 0


def test_one_market_table_with_one_recorded_side_is_read_from_both_sides() -> None:
    table = a_table(a_market("a"), a_market("b"))
    tape = TapeBuilder(table).snapshot(0, [(62, 5)], [(64, 5)]).snapshot(0, [(41, 7)], [(43, 7)], book=2).tape()
    legs = (table.books[1], table.books[3])
    basket = Basket("no", Kind.OUTCOMES, "g", legs, Cash(MICRO), Size(MICRO), Size(MICRO))
    ladders, columns, arrays, _ = received(tape, [basket], Limits(100, 1, MICRO, MICRO), None, 10**12, 0)
    forward(ladders, columns, 0, len(tape), NOW, False)
    room = scratch(ladders, arrays)
    # selling .62 + .41 is buying .38 + .59 = .97 of a dollar
    assert edge_at(ladders, arrays, 0, shares(5), NOW, room) == (1, 150_000, 150_000, 1)
    assert edge_at(ladders, arrays, 0, shares(6), NOW, room)[0] == 0


@pytest.mark.parametrize("taken", [0, 4])
def test_what_we_took_is_no_longer_there(taken: int) -> None:
    ladders, arrays, _, room = world([(40, 10)], [(55, 12)])
    ladders.level["taken"][1, 0] = shares(taken)
    assert edge_at(ladders, arrays, 0, shares(7), NOW, room)[0] == (taken == 0)


def asks(data: st.DataObject) -> list[tuple[int, int]]:
    """A dozen levels at most: prices of 40 cents on, most of them side by side."""
    steps = data.draw(
        st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 6]), st.integers(1, 12)), min_size=1, max_size=12)
    )
    return list(zip(accumulate((step for step, _ in steps), initial=40), (size for _, size in steps), strict=False))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_the_search_for_the_largest_size_ends_early_only_where_no_later_step_is_taken(data: st.DataObject) -> None:
    # Fees rounded up, none below a minimum, and given back in units: a step that earns too little may be made good.
    fee = {
        "rate": data.draw(st.sampled_from([0, 10_000, 70_000, 300_000])),
        "step": data.draw(st.sampled_from([1, 10_000, 200_000])),
        "minimum": data.draw(st.sampled_from([0, 100_000])),
        "balance_precision": data.draw(st.sampled_from([0, 10_000, 500_000])),
    }
    q_min, lot = data.draw(st.sampled_from([(1, 1), (3, 3), (6, 2)]))
    ladders, arrays, limits, room = world(asks(data), asks(data), q_min, lot, **fee)
    min_edge, gross = data.draw(st.sampled_from([-60_000, -30_000, 100, 20_000])), data.draw(st.booleans())
    limits = limits._replace(min_edge=min_edge, gross=int(gross), max_exposure=2**60)
    basket, grid = a_basket(q_min, lot), Grid.of_tick("0.01")
    views = [ladder_view(ladders, leg, NOW, max_silence=10**12, grid=grid, fees=a_rule(**fee)) for leg in basket.legs]
    every_step = sizing.largest_size(views, basket, Cash(min_edge), limits.max_size, gross)
    if every_step:
        assert largest_size(ladders, arrays, 0, NOW, limits, room)[0] == every_step
