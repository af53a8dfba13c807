"""The live faces of detection, over books that are made up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from arbkit.core.errors import InvariantViolation
from arbkit.core.grid import Grid
from arbkit.core.model import Basket, Book, Health, Kind, Level
from arbkit.core.ports import Fees
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.detection.complement import detect_binary_complement_arb
from arbkit.detection.cross_platform import detect_cross_platform_arb
from arbkit.detection.outcomes import detect_outcomes_arb
from arbkit.fees import rule
from tests.builders import a_market, a_table, cents, shares

BOOKS = a_table(a_market("a"), a_market("b", venue="elsewhere")).books
CENT = Cash(10_000)
FREE, TICK = rule("none"), Grid.of_tick("0.01")


@dataclass
class View:
    book: Book
    offered: Sequence[Level]
    health: Health = Health.OK
    at: int = 7
    fees: Fees = FREE
    grid: Grid = TICK

    def asks(self) -> Sequence[Level]:
        return self.offered

    def bids(self) -> Sequence[Level]:
        return ()


def level(price: int, size: int, exact: bool = True) -> Level:
    return Level(Price(cents(price)), shares(size), exact)


def basket(kind: Kind, *legs: int) -> Basket:
    return Basket(kind.value, kind, "e", tuple(BOOKS[i] for i in legs), Cash(MICRO), shares(2), Size(MICRO))


COMPLEMENT = basket(Kind.COMPLEMENT, 0, 1)
YES = View(BOOKS[0], [level(40, 3), level(42, 50)])
NO = View(BOOKS[1], [level(55, 20, exact=False), level(70, 9)], at=9)


def test_both_outcomes_below_a_dollar_are_an_opportunity_to_the_depth_that_pays() -> None:
    found = detect_binary_complement_arb(YES, NO, COMPLEMENT, CENT, shares(100))
    assert found is not None
    assert (found.size, found.edge, found.edge_gross) == (shares(20), Cash(660_000), Cash(660_000))
    assert (found.detected_at, found.exact, found.basket) == (9, False, COMPLEMENT)


def test_the_size_keeps_to_what_may_be_traded_and_the_time_is_the_callers() -> None:
    found = detect_binary_complement_arb(YES, NO, COMPLEMENT, CENT, shares(5), now=11)
    assert found is not None
    assert (found.size, found.detected_at) == (shares(5), 11)
    assert detect_binary_complement_arb(YES, NO, COMPLEMENT, CENT, shares(1)) is None


def test_fees_count_unless_gross_edges_are_asked_for() -> None:
    dear = replace(YES, fees=rule("kalshi-2026-07-07"))
    edge = Cash(50_000)
    net = detect_binary_complement_arb(dear, NO, COMPLEMENT, CENT, shares(100))
    assert net is not None
    assert net.edge < net.edge_gross
    assert detect_binary_complement_arb(dear, NO, COMPLEMENT, edge, shares(100)) is None
    gross = detect_binary_complement_arb(dear, NO, COMPLEMENT, edge, shares(100), gross=True)
    assert gross is not None
    assert gross.size == shares(3)


@pytest.mark.parametrize("health", [health for health in Health if health is not Health.OK])
def test_a_book_that_is_not_healthy_prices_nothing(health: Health) -> None:
    assert detect_binary_complement_arb(YES, replace(NO, health=health), COMPLEMENT, CENT, shares(9)) is None


def test_a_dollar_and_a_thin_book_are_no_opportunity() -> None:
    dear, thin = replace(NO, offered=[level(60, 9)]), replace(NO, offered=[level(50, 1)])
    assert detect_binary_complement_arb(YES, dear, COMPLEMENT, CENT, shares(9)) is None
    assert detect_binary_complement_arb(YES, thin, COMPLEMENT, CENT, shares(9)) is None


def test_every_kind_has_its_face_and_refuses_the_others() -> None:
    here, there = View(BOOKS[1], [level(40, 9)]), View(BOOKS[3], [level(59, 9)])
    outcomes, cross = basket(Kind.OUTCOMES, 1, 3), basket(Kind.CROSS_VENUE, 1, 3)
    for found in (
        detect_outcomes_arb([here, there], outcomes, CENT, shares(9)),
        detect_cross_platform_arb([here, there], cross, CENT, shares(9)),
    ):
        assert found is not None
        assert (found.size, found.edge) == (shares(9), Cash(90_000))
    with pytest.raises(InvariantViolation, match="not of kind outcomes"):
        detect_outcomes_arb([here, there], cross, CENT, shares(9))
    with pytest.raises(InvariantViolation, match="in their order"):
        detect_cross_platform_arb([there, here], cross, CENT, shares(9))
