"""Markets and venues that entries keep away from."""

from __future__ import annotations

import pytest

from arbkit.core.errors import ConfigError
from arbkit.core.units import FOREVER
from arbkit.risk.barriers import Barriers
from tests.unit.risk.desk import NO_A, NO_B, NOW, YES_A, YES_B

BOTH = (YES_A, NO_B)


def test_nothing_is_barred_that_nobody_barred() -> None:
    assert Barriers().refusal(BOTH, NOW) == ""


def test_a_block_is_on_both_books_of_its_market_and_on_no_other_until_it_is_claimed() -> None:
    barriers = Barriers()
    barriers.block("beta:m", "foreign")
    assert barriers.refusal(BOTH, NOW) == "beta:m is blocked: foreign"
    assert barriers.refusal([YES_B], NOW) != ""
    assert barriers.refusal([YES_A, NO_A], NOW) == ""
    barriers.claim("beta:m")
    barriers.claim("beta:m")
    assert barriers.refusal(BOTH, NOW) == ""


def test_a_block_may_be_on_a_whole_venue() -> None:
    barriers = Barriers()
    barriers.block("alpha", "cash differs")
    assert barriers.refusal(BOTH, NOW) == "alpha is blocked: cash differs"
    assert barriers.refusal([NO_B], NOW) == ""


@pytest.mark.parametrize("name", ["", "alpha:", "alpha:m:yes", "alpha:m:no"])
def test_a_block_that_would_bar_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a block is on a venue or on a market as venue:market"):
        Barriers().block(name, "why")


def test_a_pause_ends_at_its_time_and_none_given_is_before_it() -> None:
    barriers = Barriers()
    barriers.pause("beta", NOW + 10, "maintenance")
    assert barriers.refusal(BOTH, NOW + 9) == "beta is paused for 0.0 s: maintenance"
    assert barriers.refusal(BOTH, NOW + 10) == ""
    assert barriers.refusal(BOTH, 0) != ""
    assert barriers.refusal([YES_A], NOW) == ""


def test_of_two_pauses_the_later_word_counts() -> None:
    barriers = Barriers()
    barriers.pause("beta", NOW + 10, "long")
    barriers.pause("beta", NOW + 5, "short")
    assert barriers.refusal(BOTH, NOW + 5) == ""
    barriers.pause("beta", NOW + 3_000_000_000, "longer")
    assert barriers.refusal(BOTH, NOW) == "beta is paused for 3.0 s: longer"


def test_pauses_for_several_reasons_each_end_by_themselves_and_the_longest_bars() -> None:
    barriers = Barriers()
    barriers.pause("beta", NOW + 2_000_000_000, "maintenance")
    barriers.pause("beta/clock", NOW + 1_000_000_000, "its clock is off")
    assert barriers.refusal(BOTH, NOW) == "beta is paused for 2.0 s: maintenance"
    barriers.pause("beta", NOW, "over")
    assert barriers.refusal(BOTH, NOW) == "beta is paused for 1.0 s: its clock is off"
    assert barriers.refusal(BOTH, NOW + 1_000_000_000) == ""
    barriers.pause("beta/line", FOREVER, "its connection is lost")
    assert barriers.refusal(BOTH, NOW) == "beta is paused until it is heard: its connection is lost"
    assert barriers.refusal([YES_A], NOW) == ""


def test_barriers_are_listed_by_name_and_can_be_put_up_again_from_the_lists() -> None:
    barriers = Barriers()
    for name in ("beta:m", "alpha:m", "alpha"):
        barriers.block(name, f"why {name}")
        barriers.pause(name[0], NOW, f"why {name}")
    assert barriers.blocked() == (("alpha", "why alpha"), ("alpha:m", "why alpha:m"), ("beta:m", "why beta:m"))
    assert barriers.paused() == (("a", NOW, "why alpha"), ("b", NOW, "why beta:m"))
    again = Barriers(barriers.blocked(), barriers.paused())
    assert (again.blocked(), again.paused()) == (barriers.blocked(), barriers.paused())
