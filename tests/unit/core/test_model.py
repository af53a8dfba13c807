from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.grid import Grid
from arbkit.core.model import (
    ENDED,
    NEXT,
    TERMINAL,
    Book,
    Fill,
    LegStatus,
    Market,
    MarketTable,
    Order,
    OrderReport,
    OrderStatus,
    Purpose,
    Side,
    TimeInForce,
    TradeLeg,
)
from arbkit.core.units import Cash, Price, Size

S = OrderStatus
MARKET = Market(venue="kalshi", id="M", fee_rules=((0, "old"), (100, "new")))
BOOK = Book(0, MARKET, "yes", 1)
ORDER = Order("o", BOOK, Side.BUY, Price(400_000), Size(100), TimeInForce.GTC)


def fill(n: int, size: int) -> Fill:
    return Fill(f"t{n}", Price(400_000), Size(size), Cash(1), at=n, venue_at=n, maker=True)


@st.composite
def histories(draw: st.DrawFn) -> list[OrderReport]:
    """What a venue says of an order of 100 shares from its opening to its end, each report with all fills so far."""
    fills = tuple(fill(n, draw(st.integers(1, 25))) for n in range(draw(st.integers(0, 4))))
    filled = sum(one.size for one in fills)
    if draw(st.booleans()) and filled < 100:
        fills, filled = (*fills, fill(9, 100 - filled)), 100
    last = S.FILLED if filled == 100 else draw(st.sampled_from([S.CANCELLED, S.EXPIRED]))
    alive = st.sampled_from([S.OPEN, S.PARTIAL])
    said = [OrderReport("o", draw(alive), fills[:n]) for n in range(1, len(fills))]
    return [OrderReport("o", S.OPEN), *said, OrderReport("o", last, fills, reason="over")]


@given(histories(), st.data(), st.sampled_from([S.SUBMITTED, S.UNKNOWN, S.OPEN, S.PENDING_CANCEL]))
def test_reports_in_any_order_leave_one_state(said: list[OrderReport], data: st.DataObject, status: S) -> None:
    heard = data.draw(st.permutations([*said, *data.draw(st.lists(st.sampled_from(said), max_size=3))]))
    order = replace(ORDER, status=status)
    for report in heard:
        order = order.told(report)
    assert order.status is said[-1].status
    assert order.fills == said[-1].fills


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=5))
def test_fills_in_any_order_and_twice_make_one_leg(places: list[int], again: list[int]) -> None:
    order = replace(ORDER, status=S.SUBMITTED)
    for n in [*places, *again]:
        order = order.with_fill(fill(n, 20))
    assert order.status is S.FILLED
    assert {one.trade_id for one in order.fills} == {f"t{n}" for n in range(5)}
    assert TradeLeg(0, BOOK, Side.BUY, Size(100), orders=(order,)).status is LegStatus.FILLED


@pytest.mark.parametrize("before", list(S))
@pytest.mark.parametrize("after", list(S))
def test_only_what_the_table_lists_may_happen(before: S, after: S) -> None:
    order = replace(ORDER, status=before)
    if after is before or after in NEXT[before]:
        assert order.moved(after).status is after
    else:
        with pytest.raises(InvariantViolation, match=f"o: {before.name} -> {after.name}"):
            order.moved(after)


def test_the_table_knows_every_status_and_ends_hold() -> None:
    assert set(NEXT) == set(S)
    assert NEXT[S.REJECTED] == set()  # never was: nothing follows
    assert all(NEXT[status] <= ENDED for status in TERMINAL)  # what ended is not alive again
    assert all(S.INTENT not in after for after in NEXT.values())
    assert all(S.REJECTED not in NEXT[status] for status in (S.OPEN, S.PARTIAL, S.PENDING_CANCEL))


def test_a_late_fill_completes_a_cancelled_order() -> None:
    order = replace(ORDER, status=S.CANCELLED).with_fill(fill(1, 40))
    assert order.status is S.CANCELLED
    assert order.with_fill(fill(2, 60)).status is S.FILLED


@pytest.mark.parametrize("size", [0, -1])
def test_a_fill_of_nothing_is_a_broken_word(size: int) -> None:
    with pytest.raises(InvariantViolation, match="a fill of"):
        replace(ORDER, status=S.OPEN).with_fill(fill(1, size))


def test_a_fill_of_too_much_is_held_all_the_same() -> None:
    order = replace(ORDER, status=S.OPEN).with_fill(fill(1, 101))
    assert (order.status, order.filled, order.remaining, order.excess) == (S.FILLED, 101, 0, 1)


def test_a_filled_report_without_its_fills_waits_for_them() -> None:
    order = replace(ORDER, status=S.OPEN).told(OrderReport("o", S.FILLED))
    assert order.status is S.OPEN
    assert order.told(OrderReport("o", S.FILLED, (fill(1, 100),))).status is S.FILLED


def test_a_leg_follows_from_its_orders() -> None:
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    assert leg.status is LegStatus.PENDING
    resting = replace(ORDER, status=S.OPEN)
    assert leg.with_order(resting).status is LegStatus.WORKING
    assert leg.with_order(replace(ORDER, status=S.UNKNOWN)).status is LegStatus.UNKNOWN
    assert leg.with_order(replace(ORDER, status=S.CANCELLED)).status is LegStatus.EMPTY
    part = replace(ORDER, status=S.CANCELLED, fills=(fill(1, 30),))
    leg = leg.with_order(resting).with_order(part)
    assert (len(leg.orders), leg.status, leg.filled, leg.held, leg.fees) == (1, LegStatus.PARTIAL, 30, 30, 1)
    sold = replace(part, client_id="x", side=Side.SELL, purpose=Purpose.TRIM, fills=(fill(2, 30),))
    leg = leg.with_order(sold)
    assert (leg.filled, leg.held, leg.fees) == (30, 0, 2)  # undoing changes what is held, not what was filled


def test_what_a_market_does_not_know_is_refused_by_the_name_of_its_field() -> None:
    for name, said in (("grids", "tick"), ("void", "void"), ("lot", "lot")):
        with pytest.raises(DataError, match=f"market kalshi:M: `{said}` is unknown"):
            MARKET.need(name)
    with pytest.raises(DataError, match="`fee_rule` is unknown"):
        replace(MARKET, fee_rules=()).need("fee_rules")


def test_the_rule_in_force_is_the_newest_at_or_before_a_time() -> None:
    assert [MARKET.fee_rule_at(ns) for ns in (-5, 0, 99, 100, 500)] == ["old", "old", "old", "new", "new"]
    assert replace(MARKET, fee_rules=()).fee_rule_at(0) is None
    ticks = replace(MARKET, grids=((0, Grid.of_tick("0.01")), (100, Grid.of_tick("0.001"))))
    assert not ticks.grid_at(99).holds(1_000)
    assert ticks.grid_at(100).holds(1_000)


def test_a_book_is_found_by_name_and_the_others_are_named() -> None:
    table = MarketTable((MARKET,), (BOOK, Book(1, MARKET, "no", 0, recorded=False)))
    assert table.book("kalshi:M:no").index == 1
    with pytest.raises(DataError, match="no book named 'kalshi:X:yes'; there are kalshi:M:yes, kalshi:M:no"):
        table.book("kalshi:X:yes")
