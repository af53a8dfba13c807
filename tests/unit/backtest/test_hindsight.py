"""The tape's own word, on tapes small enough to read."""

from collections.abc import Sequence

import pytest

from arbkit.backtest.hindsight import Plan, look_back
from arbkit.books import meta as m
from arbkit.history.tape import Tape
from tests.builders import ASK, TapeBuilder, a_market, a_table, cents, ms, shares

TWO = a_table(a_market("a"), a_market("b"))


def quiet() -> TapeBuilder:
    """Market a: 0.40 to 0.42 for 100 shares; market b: 0.50 to 0.53 for 60 at 0.53 and 60 at 0.54."""
    first = TapeBuilder(TWO).snapshot(0, [(40, 100)], [(42, 100)])
    return first.snapshot(0, [(50, 30)], [(53, 60), (54, 60)], book=2)


def stood(tape: Tape, *plans: tuple[int, Sequence[tuple[int, int, int]]]) -> list[bool]:
    """Ask for (ms, [(book, shares, cents)]) what stood."""
    books = tape.markets.books
    asked = [Plan(ms(at), tuple((books[b], shares(n), cents(worst)) for b, n, worst in legs)) for at, legs in plans]
    (found,) = look_back(tape, [asked])
    return list(found)


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


@pytest.mark.parametrize("said", [0, 1])
def test_either_recorded_book_closes_the_market(said: int) -> None:
    levels = ([(48, 10)], [(52, 10)])
    tape = TapeBuilder(both=True).snapshot(0, *levels).snapshot(0, *levels, book=1)
    paused = tape.status(100, m.PAUSED, book=said).status(200, m.OPEN, book=said).mark(300).tape()
    both = [(0, 10, 52), (1, 10, 52)]
    assert stood(paused, (50, both), *[(150, [leg]) for leg in both], (250, both)) == [True, False, False, True]


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


def test_every_list_of_decisions_gets_its_own_answers_in_its_own_order() -> None:
    tape = quiet().level(100, ASK, 42, 0).mark(300).tape()
    yes = tape.markets.books[0]
    early, late = (Plan(ms(at), ((yes, shares(5), cents(42)),)) for at in (50, 150))
    assert look_back(tape, [[late, early], [early]]) == [(False, True), (True,)]


def test_an_empty_tape_has_nothing_to_say() -> None:
    empty = TapeBuilder(TWO).tape()
    assert look_back(empty, [[Plan(0, ((TWO.books[0], shares(1), cents(99)),))]]) == [(False,)]
