"""The tape's own word, on tapes small enough to read."""

from collections.abc import Sequence

import pytest

from arbkit.backtest.hindsight import Markout, Plan, look_back
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TimeInForce,
    TradeLeg,
)
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, cents, ms, shares

TWO = a_table(a_market("a"), a_market("b"))


def quiet() -> TapeBuilder:
    """Market a: 0.40 to 0.42 for 100 shares; market b: 0.50 to 0.53 for 60 at 0.53 and 60 at 0.54."""
    first = TapeBuilder(TWO).snapshot(0, [(40, 100)], [(42, 100)])
    return first.snapshot(0, [(50, 30)], [(53, 60), (54, 60)], book=2)


def stood(tape: Tape, *plans: tuple[int, Sequence[tuple[int, int, int]]]) -> list[bool]:
    """Ask for (ms, [(book, shares, cents)]) what stood."""
    books = tape.markets.books
    asked = [Plan(ms(at), tuple((books[b], shares(n), cents(worst)) for b, n, worst in legs)) for at, legs in plans]
    ((found, _),) = look_back(tape, [(asked, [])])
    return found


def test_shares_at_or_below_the_worst_price_are_executable() -> None:
    tape = quiet().mark(100).tape()
    assert stood(
        tape,
        (50, [(0, 100, 42)]),
        (50, [(0, 101, 42)]),
        (50, [(0, 100, 41)]),
        (50, [(2, 61, 53)]),
        (50, [(2, 120, 54)]),
        (50, [(0, 100, 42), (2, 60, 53)]),
        (50, [(0, 100, 42), (2, 61, 53)]),  # every leg, or none
    ) == [True, False, False, False, True, True, False]


def test_a_mirror_view_is_bought_off_the_bids_of_its_market() -> None:
    tape = quiet().mark(100).tape()
    assert stood(tape, (50, [(1, 100, 60)]), (50, [(1, 100, 59)]), (50, [(3, 31, 50)])) == [True, False, False]


def test_rows_of_the_very_moment_of_arrival_count() -> None:
    tape = quiet().level(100, ASK, 42, 0).level(200, ASK, 42, 5).mark(300).tape()
    legs = [(0, 5, 42)]
    assert stood(tape, (99, legs), (100, legs), (199, legs), (200, legs)) == [True, False, False, True]


def test_what_the_venue_did_counts_by_its_own_clock_and_not_when_it_was_heard_of() -> None:
    told_late = quiet().level(150, ASK, 42, 0, venue=100).mark(300).tape()
    assert stood(told_late, (99, [(0, 5, 42)]), (100, [(0, 5, 42)])) == [True, False]
    one_clock = quiet().level(150, ASK, 42, 0, venue=100).mark(300).tape("recv")
    assert stood(one_clock, (149, [(0, 5, 42)]), (150, [(0, 5, 42)])) == [True, False]


def test_nothing_stands_before_the_first_look_nor_in_a_gap() -> None:
    tape = (
        quiet().gap(100).level(120, ASK, 42, 50).snapshot(200, [(40, 1)], [(42, 7)]).mark(300).tape()
    )  # the level inside the gap changes a book that is not known
    legs = [(0, 7, 42)]
    assert stood(tape, (-1, legs), (99, legs), (130, legs), (200, legs)) == [False, True, False, True]
    assert stood(tape, (200, [(0, 8, 42)])) == [False]


@pytest.mark.parametrize("status", [1, 2, 3, 4])
def test_a_book_that_is_not_open_takes_no_order_until_it_is(status: int) -> None:
    tape = quiet().status(100, status).status(200, 0).mark(300).tape()
    legs, mirrored = [(0, 7, 42)], [(1, 7, 60)]
    assert stood(tape, (99, legs), (150, legs), (150, mirrored), (200, mirrored)) == [True, False, False, True]


def test_a_resolved_book_is_closed() -> None:
    assert stood(quiet().resolution(100, 100).mark(300).tape(), (99, [(0, 7, 42)]), (100, [(0, 7, 42)])) == [
        True,
        False,
    ]


def test_a_decision_without_legs_was_never_executable() -> None:
    assert stood(quiet().tape(), (50, [])) == [False]


def test_a_question_after_the_end_is_answered_by_the_last_books() -> None:
    assert stood(quiet().tape(), (10_000, [(0, 7, 42)])) == [True]


# -- mark-outs -----------------------------------------------------------------------------------------------


def filled(book: Book, at: int, price: int, purpose: Purpose = Purpose.ENTRY, name: str = "t") -> ExecutionResult:
    """A trade of one leg, filled once."""
    basket = Basket("b", Kind.OUTCOMES, "e", (book,), Cash(MICRO), Size(MICRO), Size(MICRO))
    opportunity = ArbitrageOpportunity("o", basket, ms(0), shares(5), Cash(0), Cash(0))
    fill = Fill("f", cents(price), shares(5), Cash(0), at=ms(at) + 7, venue_at=ms(at), maker=True)
    order = Order(
        "x", book, Side.BUY, cents(price), shares(5), TimeInForce.GTC,
        purpose=purpose, status=OrderStatus.FILLED, fills=(fill,),
    )  # fmt: skip
    leg = TradeLeg(0, book, Side.BUY, shares(5), orders=(order,))
    return ExecutionResult(MultiLegTrade(name, opportunity, ExecutionStrategy.LIMIT, (leg,)), Outcome.COMPLETED)


def marks(tape: Tape, *results: ExecutionResult, horizons: Sequence[int] = (100,)) -> list[Markout]:
    ((_, found),) = look_back(tape, [([], results)], horizons)
    return found


def test_a_mark_out_is_the_mid_of_the_legs_own_outcome_after_the_venues_fill() -> None:
    tape = quiet().level(100, BID, 41, 9).level(101, BID, 41, 0).mark(300).tape()
    yes, no = tape.markets.books[:2]
    after = marks(tape, filled(yes, 0, 40), filled(no, 0, 58), horizons=(99, 100, 101))
    assert [mark.mid for mark in after[:3]] == [410_000, 415_000, 410_000]
    assert [mark.mid for mark in after[3:]] == [590_000, 585_000, 590_000]
    assert after[0] == Markout("t", 0, Purpose.ENTRY, True, 99, Price(400_000), 410_000, 1, shares(5))


def test_a_book_of_one_side_has_no_mid() -> None:
    tape = quiet().level(50, ASK, 42, 0).mark(300).tape()
    assert [mark.mid for mark in marks(tape, filled(tape.markets.books[0], 0, 40))] == [-1]
    gapped = quiet().gap(50).mark(300).tape()
    assert [mark.mid for mark in marks(gapped, filled(gapped.markets.books[0], 0, 40))] == [-1]


def test_horizons_beyond_the_end_of_the_tape_are_left_out() -> None:
    tape = quiet().mark(300).tape()
    after = marks(tape, filled(tape.markets.books[0], 200, 40), horizons=(99, 100, 101, 5_000))
    assert [mark.horizon_ms for mark in after] == [99, 100]


def test_undo_orders_have_no_mark_outs() -> None:
    tape = quiet().mark(300).tape()
    assert marks(tape, filled(tape.markets.books[0], 0, 40, Purpose.EXIT)) == []


def test_every_list_of_decisions_gets_its_own_answers_in_its_own_order() -> None:
    tape = quiet().level(100, ASK, 42, 0).mark(300).tape()
    yes = tape.markets.books[0]
    early, late = (Plan(ms(at), ((yes, shares(5), cents(42)),)) for at in (50, 150))
    first, second = look_back(
        tape, [([late, early], [filled(yes, 100, 40, name="p")]), ([early], [filled(yes, 0, 41, name="q")])], (100,)
    )
    assert (first[0], second[0]) == ([False, True], [True])
    assert [(mark.trade_id, mark.mid) for mark in first[1] + second[1]] == [("p", -1), ("q", -1)]


def test_an_empty_tape_has_nothing_to_say() -> None:
    empty = TapeBuilder(TWO).tape()
    assert look_back(empty, [([Plan(0, ((TWO.books[0], shares(1), cents(99)),))], [])]) == [([False], [])]
