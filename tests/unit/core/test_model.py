from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from arbkit.core import model
from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.grid import Grid
from arbkit.core.model import (
    ENDED,
    NEXT,
    TERMINAL,
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    LegStatus,
    Level,
    Market,
    MarketTable,
    MultiLegTrade,
    Order,
    OrderReport,
    OrderStatus,
    Outcome,
    Purpose,
    Settlement,
    Side,
    TimeInForce,
    TradeLeg,
    floor_value,
)
from arbkit.core.units import MICRO, Cash, Price, Size
from tests.builders import replace

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


def test_an_order_that_got_what_it_asked_for_or_less_has_no_excess() -> None:
    for size in (30, 100):
        assert replace(ORDER, status=S.OPEN).with_fill(fill(1, size)).excess == 0


def provisional(n: int, size: int, settlement: Settlement = Settlement.PROVISIONAL) -> Fill:
    return replace(fill(n, size), settlement=settlement)


def test_a_word_on_one_fill_leaves_the_others_and_the_order_as_they_are() -> None:
    order = replace(ORDER, status=S.OPEN).with_fill(provisional(1, 60)).with_fill(provisional(2, 40))
    assert (order.filled, order.confirmed, order.is_settled, order.status) == (100, 0, False, S.FILLED)
    first = order.with_fill(fill(1, 60))
    assert (len(first.fills), first.confirmed, first.is_settled, first.status) == (2, 60, False, S.FILLED)
    both = first.with_fill(fill(2, 40))
    assert ([one.trade_id for one in both.fills], both.confirmed) == (["t1", "t2"], 100)
    assert (both.is_settled, both.status) == (True, S.FILLED)


def test_a_void_reopens_a_filled_order_and_leaves_one_that_is_still_alive() -> None:
    order = replace(ORDER, status=S.OPEN).with_fill(provisional(1, 60))
    voided = order.with_fill(provisional(1, 60, Settlement.VOIDED))
    assert (voided.status, voided.filled, voided.standing, voided.is_settled) == (S.PARTIAL, 0, (), True)
    filled = order.with_fill(provisional(2, 40)).with_fill(provisional(1, 60, Settlement.VOIDED))
    assert (filled.status, filled.filled, filled.reason) == (S.CANCELLED, 40, "fill t1 was voided")


@pytest.mark.parametrize(
    "words", [(Settlement.CONFIRMED, Settlement.VOIDED), (Settlement.VOIDED, Settlement.CONFIRMED)]
)
def test_a_last_word_on_a_fill_that_is_taken_back_is_a_broken_word(words: tuple[Settlement, Settlement]) -> None:
    order = replace(ORDER, status=S.OPEN).with_fill(provisional(1, 60, words[0]))
    assert order.with_fill(provisional(1, 60)) == order  # an older word that was overtaken
    with pytest.raises(InvariantViolation, match=f"fill t1 was {words[0]}, then not"):
        order.with_fill(provisional(1, 60, words[1]))


def test_a_fill_that_is_another_than_it_was_is_a_broken_word() -> None:
    order = replace(ORDER, status=S.OPEN).with_fill(fill(1, 60))
    for other in (replace(fill(1, 60), price=Price(400_001)), fill(1, 61)):
        with pytest.raises(InvariantViolation, match="fill t1 was"):
            order.with_fill(other)


def test_the_last_reason_that_was_given_stays() -> None:
    order = replace(ORDER, status=S.OPEN).moved(S.PENDING_CANCEL, "too slow")
    assert order.moved(S.CANCELLED).reason == "too slow"
    assert order.moved(S.CANCELLED, "gone").reason == "gone"


def test_a_cancelled_report_of_a_filled_order_and_an_old_one_of_an_ended_order_change_nothing() -> None:
    filled = replace(ORDER, status=S.OPEN).with_fill(fill(1, 100))
    for status in (S.CANCELLED, S.EXPIRED, S.OPEN):
        assert filled.told(OrderReport("o", status)) == filled
    partial = replace(ORDER, status=S.OPEN).with_fill(fill(1, 60))
    assert partial.told(OrderReport("o", S.OPEN)) == partial
    assert partial.told(OrderReport("o", S.CANCELLED, reason="gone")).reason == "gone"


@pytest.mark.parametrize("status", [S.OPEN, S.PARTIAL, S.PENDING_CANCEL, S.UNKNOWN])
def test_an_order_that_is_sent_goes_where_its_venue_says_without_a_fill(status: S) -> None:
    assert replace(ORDER, status=S.SUBMITTED).told(OrderReport("o", status)).status is status


def test_a_filled_report_of_which_a_part_was_voided_ends_the_order_without_that_part() -> None:
    fills = (fill(1, 60), provisional(2, 40, Settlement.VOIDED))
    order = replace(ORDER, status=S.OPEN).told(OrderReport("o", S.FILLED, fills))
    assert (order.status, order.filled) == (S.CANCELLED, 60)
    nothing = replace(ORDER, status=S.OPEN).told(OrderReport("o", S.FILLED, (provisional(1, 100, Settlement.VOIDED),)))
    assert (nothing.status, nothing.filled) == (S.CANCELLED, 0)
    missing = (fill(1, 59), provisional(2, 40, Settlement.VOIDED))
    assert replace(ORDER, status=S.OPEN).told(OrderReport("o", S.FILLED, missing)).status is S.PARTIAL
    ended = replace(ORDER, status=S.CANCELLED).told(OrderReport("o", S.FILLED, fills))
    assert (ended.status, ended.filled) == (S.CANCELLED, 60)


def test_what_may_be_sold_is_settled_and_not_taken_by_another_sell() -> None:
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    leg = leg.with_order(replace(ORDER, status=S.CANCELLED, fills=(fill(1, 50), provisional(2, 9))))
    assert (leg.held, leg.available) == (59, 50)
    sale = replace(ORDER, client_id="s", side=Side.SELL, purpose=Purpose.TRIM, size=Size(30), fills=(fill(3, 10),))
    assert leg.with_order(replace(sale, status=S.PARTIAL)).available == 20
    assert leg.with_order(replace(sale, status=S.CANCELLED)).available == 40
    assert leg.with_order(replace(sale, size=Size(51), status=S.OPEN)).available == 0


def test_an_order_that_changes_keeps_its_place_and_so_do_the_others() -> None:
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    for key in "abc":
        leg = leg.with_order(replace(ORDER, client_id=key))
    leg = leg.with_order(replace(ORDER, client_id="b", status=S.OPEN))
    assert [(one.client_id, one.status) for one in leg.orders] == [("a", S.INTENT), ("b", S.OPEN), ("c", S.INTENT)]


def a_trade(*legs: TradeLeg) -> MultiLegTrade:
    basket = Basket("b", Kind.COMPLEMENT, "e", tuple(leg.book for leg in legs), Cash(970_000), Size(1), Size(1))
    opportunity = ArbitrageOpportunity("o", basket, 7, Size(100), Cash(1), Cash(1))
    return MultiLegTrade("t", opportunity, ExecutionStrategy.MARKET, legs)


def test_a_trade_is_untouched_balanced_and_settled_as_its_legs_are() -> None:
    legs = tuple(TradeLeg(n, BOOK, Side.BUY, Size(100)) for n in (0, 1))
    trade = a_trade(*legs)
    assert (trade.is_untouched, trade.is_balanced, trade.is_settled) == (True, True, True)
    one = trade.with_leg(legs[1].with_order(replace(ORDER, status=S.CANCELLED, fills=(provisional(1, 30),))))
    assert one.legs[0] == legs[0]
    assert (one.is_untouched, one.is_balanced, one.is_settled) == (False, False, False)
    void = one.with_leg(
        legs[1].with_order(replace(ORDER, status=S.CANCELLED, fills=(provisional(1, 30, Settlement.VOIDED),)))
    )
    assert (void.is_untouched, void.is_balanced, void.is_settled) == (True, True, True)


def test_only_completed_and_reduced_trades_are_committed_and_baskets_pay_their_floor() -> None:
    trade = a_trade(TradeLeg(0, BOOK, Side.BUY, Size(100)))
    committed = [outcome for outcome in Outcome if ExecutionResult(trade, outcome).committed]
    assert committed == [Outcome.COMPLETED, Outcome.REDUCED]
    assert floor_value(trade.opportunity.basket, 3) == 2  # of 2.91 millionths
    assert floor_value(trade.opportunity.basket, 10**17 + 100) == 97 * 10**15 + 97  # more than 53 bits


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


NOUNS = [noun for noun in vars(model).values() if isinstance(noun, type) and is_dataclass(noun)]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_a_change_of_a_noun_is_a_new_value(noun: type) -> None:
    bare = object.__new__(noun)
    for field in fields(noun):
        with pytest.raises(FrozenInstanceError):
            setattr(bare, field.name, None)


def test_a_change_of_what_moves_in_a_trade_is_a_new_value() -> None:
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    trade = a_trade(leg)
    result = ExecutionResult(trade, Outcome.MISSED)
    made = (fill(1, 1), OrderReport("o", S.OPEN), ORDER, leg, trade, trade.opportunity, result)
    structs = {noun for noun in vars(model).values() if isinstance(noun, type) and issubclass(noun, Struct)}
    assert {type(one) for one in made} == structs - {Struct}
    for one in made:
        for name in one.__struct_fields__:
            with pytest.raises(AttributeError, match="immutable"):
                setattr(one, name, None)


def test_what_follows_from_other_fields_is_counted_whatever_is_given() -> None:
    assert (ORDER.filled, ORDER.is_final, ORDER.expires) == (0, False, 0)
    given = replace(ORDER, filled=Size(7), is_final=True)
    assert (given.filled, given.is_final) == (0, False)
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    assert (leg.filled, leg.held) == (0, 0)
    for wrong in ({"filled": Size(7)}, {"held": Size(7)}):
        made = replace(leg, **wrong)
        assert (made.filled, made.held) == (0, 0)


def test_books_are_equal_and_shown_by_what_they_are_stated_with() -> None:
    assert "name" not in repr(BOOK).replace("market_name", "")
    assert "kalshi:M" not in repr(BOOK)
    same = Book(0, MARKET, "yes", 1)
    object.__setattr__(same, "name", "another")
    assert same == BOOK


def test_a_leg_without_one_of_its_orders_has_the_others() -> None:
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    for key in "abc":
        leg = leg.with_order(replace(ORDER, client_id=key))
    assert [one.client_id for one in leg.without("b").orders] == ["a", "c"]
    assert leg.without("x").orders == leg.orders


def test_what_is_there_as_it_is_makes_no_new_value() -> None:
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100)).with_order(ORDER)
    assert leg.with_order(ORDER) is leg
    trade = a_trade(leg)
    assert trade.with_leg(leg) is trade


@pytest.mark.parametrize(
    ("kind", "venues", "pair"),
    [
        (Kind.COMPLEMENT, ("kalshi", "kalshi"), ""),
        (Kind.OUTCOMES, ("kalshi", "kalshi", "kalshi"), ""),
        (Kind.OUTCOMES, ("kalshi", "polymarket"), "kalshi:M|polymarket:M"),
        (Kind.CROSS_VENUE, ("polymarket", "kalshi"), "kalshi:M|polymarket:M"),
        (Kind.CROSS_VENUE, ("kalshi", "kalshi"), "kalshi:M"),
    ],
)
def test_a_basket_over_two_venues_rests_on_a_pair_of_markets(kind: Kind, venues: tuple[str, ...], pair: str) -> None:
    legs = tuple(Book(at, replace(MARKET, venue=venue), "yes", at) for at, venue in enumerate(venues))
    assert Basket("b", kind, "e", legs, Cash(MICRO), Size(1), Size(1)).pair == pair


def test_an_order_rests_when_it_waits_for_others() -> None:
    assert [tif for tif in TimeInForce if tif.rests] == [TimeInForce.GTC, TimeInForce.GTD]


def test_a_market_is_stated_by_the_names_of_its_fields() -> None:
    with pytest.raises(TypeError):
        Market("kalshi", "M")  # type: ignore[misc]


def test_what_nobody_has_said_is_true_size_a_recorded_book_a_confirmed_fill_and_no_money() -> None:
    assert BOOK.recorded
    assert Level(Price(1), Size(1)).exact
    basket = Basket("b", Kind.COMPLEMENT, "e", (BOOK,), Cash(MICRO), Size(1), Size(1))
    opportunity = ArbitrageOpportunity("o", basket, 7, Size(100), Cash(1), Cash(1))
    assert opportunity.exact
    known = fill(1, 1)
    assert (known.row, known.model, known.settlement) == (-1, "", Settlement.CONFIRMED)
    assert OrderReport("o", S.OPEN).at == 0
    assert not ORDER.post_only
    leg = TradeLeg(0, BOOK, Side.BUY, Size(100))
    assert (leg.decision_cost, leg.worst, leg.exact) == (0, 0, True)
    result = ExecutionResult(MultiLegTrade("t", opportunity, ExecutionStrategy.MARKET, (leg,)), Outcome.MISSED)
    assert (result.started_at, result.entries_done_at, result.finished_at) == (0, 0, 0)
    assert (result.cash, result.fees, result.gas, result.unwind_cost, result.pnl) == (0, 0, 0, 0, 0)


def test_a_book_is_found_by_name_and_the_others_are_named() -> None:
    table = MarketTable((MARKET,), (BOOK, Book(1, MARKET, "no", 0, recorded=False)))
    assert table.book("kalshi:M:no").index == 1
    with pytest.raises(DataError, match="no book named 'kalshi:X:yes'; there are kalshi:M:yes, kalshi:M:no"):
        table.book("kalshi:X:yes")
