"""Opening sizes, and prints given back their moment."""

from arbkit.core.units import NS_PER_S
from arbkit.history.importers.prints import Print, PrintMatcher
from arbkit.history.importers.solving import Opening, SideProof

LOT = 10


def bids(best: tuple[int, int] | None = (50, 100)) -> SideProof:
    return SideProof(1, best, 0, LOT)


def test_a_level_inside_the_printed_best_is_proven_empty() -> None:
    proof = bids()
    proof.change(1, 49, -30)
    assert proof.printed(1, 50, 49) is None
    proof.change(2, 50, -100)
    assert proof.printed(2, 49, 50) is None
    proof.change(3, 49, -40)  # the level turns out to be gone: it held 70
    assert proof.printed(3, 48, 49) is None
    assert proof.opening() == {50: Opening(100, True), 49: Opening(70, True), 48: Opening(LOT, False)}


def test_what_is_never_inside_stays_a_lower_bound() -> None:
    proof = bids()
    for row, delta in enumerate((-30, 50, -60), start=1):
        proof.change(row, 40, delta)
        assert proof.printed(row, 50, 40) is None
    assert proof.opening()[40] == Opening(40, False)


def test_a_printed_best_holds_a_lot_at_least() -> None:
    proof = bids()
    proof.change(1, 50, -100)
    assert proof.printed(1, 45, 50) is None
    proof.change(2, 45, -20)
    assert proof.printed(2, 45, 45) is None
    assert proof.opening()[45] == Opening(20 + LOT, False)


def test_a_level_that_appears_inside_began_empty() -> None:
    proof = bids()
    proof.change(1, 55, 30)
    assert proof.printed(1, 55, 55) is None
    proof.change(2, 54, 5)  # was inside the first best, is not inside this one
    assert proof.printed(2, 55, 54) is None
    assert proof.opening()[55] == Opening(0, True)
    assert proof.opening()[54] == Opening(0, True)


def test_an_empty_side_proves_every_level() -> None:
    proof = bids(None)
    proof.change(1, 30, 15)
    assert proof.printed(1, 30, 30) is None
    proof.change(2, 30, -15)
    assert proof.printed(2, None, 30) is None
    assert proof.opening() == {30: Opening(0, True)}


def test_asks_are_best_when_lowest() -> None:
    proof = SideProof(-1, (50, 100), 0, LOT)
    proof.change(1, 50, -100)
    assert proof.printed(1, 52, 50) is None
    proof.change(2, 51, 19)
    assert proof.printed(2, 51, 51) is None
    assert proof.opening() == {50: Opening(100, True), 52: Opening(LOT, False), 51: Opening(0, True)}


def test_a_lost_change_is_found_and_dated_to_the_last_proof() -> None:
    proof = bids()
    proof.change(1, 50, -100)
    assert proof.printed(1, 49, 50) is None  # 50 is proven to have held 100 up to here
    proof.change(2, 50, 20)
    assert proof.printed(2, 50, 50) is None
    proof.change(3, 40, 5)
    assert proof.printed(3, 50, 40) is None
    proof.change(4, 40, 5)  # 50 vanishes without a change
    assert proof.printed(4, 49, 40) == 1


def test_a_change_that_came_twice_is_found_while_the_level_is_inside() -> None:
    proof = bids()
    proof.change(1, 52, 15)
    assert proof.printed(1, 52, 52) is None
    proof.change(2, 52, -15)
    assert proof.printed(2, 50, 52) is None
    proof.change(3, 52, -15)
    assert proof.printed(3, 50, 52) == 2


def test_a_best_of_nothing_is_found() -> None:
    proof = bids()
    proof.change(1, 50, -95)  # 5 left of a lot of 10
    assert proof.printed(1, 50, 50) is not None


def test_a_proof_below_an_earlier_bound_is_found() -> None:
    proof = bids()
    proof.change(1, 45, -40)  # held 40 at least
    assert proof.printed(1, 50, 45) is None
    proof.change(2, 45, 10)
    assert proof.printed(2, 50, 45) is None
    proof.change(3, 50, -100)
    assert proof.printed(3, 44, 50) == 1  # 45 is empty and would have begun with 30


def test_a_level_is_believed_up_to_the_row_that_touched_it() -> None:
    proof = bids()
    proof.change(7, 44, 1)
    assert proof.touched_at(44, otherwise=3) == 7
    assert proof.touched_at(43, otherwise=3) == 3
    assert proof.touched_at(None, otherwise=3) == 3


# -- prints ---


def at(second: float) -> int:
    return int(second * NS_PER_S)


def test_a_print_takes_the_last_equal_decrease_of_its_second() -> None:
    match = PrintMatcher()
    first = match.decrease(at(7.1), 1, 40, 5)
    second = match.decrease(at(7.2), 1, 40, 5)
    match.decrease(at(7.3), 1, 41, 5)
    match.decrease(at(8.1), 1, 40, 5)
    assert match.trade(Print(7, 1, 40, 5)) is second
    assert match.trade(Print(7, 1, 40, 5)) is first
    assert match.trade(Print(7, 1, 40, 5)) is None
    assert (first.prints, second.prints) == (1, 1)


def test_a_print_before_its_decrease_is_held_for_it() -> None:
    match = PrintMatcher()
    assert match.trade(Print(7, 1, 40, 5)) is None
    assert match.passed(at(7.5)) == []
    assert match.decrease(at(7.6), 1, 40, 4).prints == 0
    assert match.decrease(at(7.7), 1, 40, 5).prints == 1
    assert match.rest() == []


def test_a_print_that_no_decrease_explains_is_given_back_when_its_second_is_over() -> None:
    match = PrintMatcher()
    trade = Print(7, 1, 40, 5)
    match.trade(trade)
    assert match.passed(at(7.9)) == []
    assert match.passed(at(8.0)) == [trade]
    match.trade(trade)
    assert match.rest() == [trade]


def test_decreases_are_forgotten_after_a_while() -> None:
    match = PrintMatcher()
    match.decrease(at(7.1), 1, 40, 5)
    match.passed(at(30))
    assert match.trade(Print(7, 1, 40, 5)) is None
