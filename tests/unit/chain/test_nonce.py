# ruff: noqa: N802 - fault tests carry the id of the fault
"""Numbers of an account: one owner, no number twice, every hole found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arbkit.chain.nonce import NonceOwner, holes
from arbkit.core.errors import ConfigError, InvariantViolation


@pytest.fixture
def owner() -> Iterator[NonceOwner]:
    one = NonceOwner(137, "0xA")
    yield one
    one.close()


def test_fault_C6_an_account_has_one_owner_at_a_time(owner: NonceOwner) -> None:
    with pytest.raises(ConfigError, match="0xA on chain 137 has an owner"):
        NonceOwner(137, "0xA")
    NonceOwner(1, "0xA").close()  # the same key on another chain counts by itself
    owner.close()
    NonceOwner(137, "0xA").close()


def test_a_node_that_lags_does_not_bring_a_number_back(owner: NonceOwner) -> None:
    owner.hear(7)
    owner.hear(5)
    assert [owner.take("a"), owner.take("b")] == [7, 8]


@pytest.mark.parametrize(
    ("counts", "next_one"), [([7], 7), ([7, 9_000], 7), ([9_000, 7, 8], 8), ([7, 7, 3], 7), ([9, 9, 7, 7], 7)]
)
def test_of_what_several_nodes_say_the_number_counts_that_most_vouch_for(
    owner: NonceOwner, counts: list[int], next_one: int
) -> None:
    owner.hear_all(counts)
    assert owner.take("a") == next_one


def test_of_very_many_holes_the_lowest_are_told(owner: NonceOwner) -> None:
    owner.hold(10**15, "far")
    assert owner.holes(3, 2) == (3, 4)


def test_a_number_that_was_given_back_is_the_next(owner: NonceOwner) -> None:
    assert [owner.take(key) for key in "abc"] == [0, 1, 2]
    owner.give_back(1)
    assert owner.holes(0) == (1,)
    assert [owner.take("d"), owner.take("e")] == [1, 3]


def test_what_is_held_over_a_restart_is_not_given_out(owner: NonceOwner) -> None:
    owner.hold(0, "a")
    owner.hold(0, "a")
    owner.hold(2, "c")
    assert [owner.take("b"), owner.take("d")] == [1, 3]
    with pytest.raises(InvariantViolation, match="number 2 is held by c and by x"):
        owner.hold(2, "x")
    with pytest.raises(InvariantViolation, match="number 2 is no hole"):
        owner.take_exactly(2, "x")


@given(mined=st.integers(0, 20), held=st.sets(st.integers(0, 40)))
def test_filling_the_holes_leaves_none_and_nothing_below_or_above(mined: int, held: set[int]) -> None:
    free = holes(mined, held)
    assert not set(free) & held
    assert holes(mined, held | set(free)) == ()
    assert all(mined <= nonce < max(held) for nonce in free)
    above = {nonce for nonce in held if nonce >= mined}
    assert above | set(free) == set(range(mined, max(above) + 1)) if above else not free


class Numbers(RuleBasedStateMachine):
    """An account whose numbers are taken, signed, mined by us or by others, and heard of late."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = NonceOwner(137, f"0x{id(self)}")
        self.given: dict[int, str] = {}
        self.mined = 0
        self.names = iter(range(10**6))

    @rule()
    def take(self) -> None:
        key = f"k{next(self.names)}"
        nonce = self.owner.take(key)
        assert nonce not in self.given
        assert nonce >= self.owner.seen
        self.given[nonce] = key

    @rule()
    def hear_late(self) -> None:
        self.owner.hear(max(0, self.mined - 2))

    @rule(others=st.integers(0, 3))
    def others_use_numbers(self, others: int) -> None:
        self.mined += others
        self.owner.hear(self.mined)

    @precondition(lambda self: self.given)
    @rule()
    def repair(self) -> None:
        for nonce in self.owner.holes(self.mined):
            self.owner.take_exactly(nonce, f"repair {nonce}")
            self.given[nonce] = f"repair {nonce}"
        assert self.owner.holes(self.mined) == ()

    @precondition(lambda self: self.given)
    @rule()
    def one_is_final(self) -> None:
        nonce = min(self.given)
        del self.given[nonce]
        self.owner.release(nonce)
        self.mined = max(self.mined, nonce + 1)

    @invariant()
    def what_was_given_is_what_is_held(self) -> None:
        assert self.owner.held == self.given

    def teardown(self) -> None:
        self.owner.close()


TestNumbers = Numbers.TestCase
