"""Calls whose types are asked for once: the same answers, and other types are other code."""

from typing import NamedTuple

import numpy as np

from arbkit.core.compiled import compiled
from arbkit.core.settled import settled


class Levels(NamedTuple):
    price: np.ndarray
    size: np.ndarray


@compiled
def worth(levels, first, scale):  # type: ignore[no-untyped-def]
    """Return what the levels from `first` on come to, times `scale`."""
    total = 0
    for i in range(first, len(levels.price)):
        total += levels.price[i] * levels.size[i]
    return total * scale


def levels(dtype: str = "i8", step: int = 1) -> Levels:
    return Levels(np.arange(3 * step, dtype=dtype)[::step], np.full(3, 10, np.int64))


def test_a_settled_call_answers_what_the_function_answers_whatever_arrays_of_its_types_it_gets() -> None:
    call = settled(worth, levels(), 0, 1)
    assert call(levels(), 0, 1) == worth(levels(), 0, 1) == 30
    assert call(Levels(np.array([5, 6]), np.array([7, 8])), 1, 3) == 144
    assert settled(worth, Levels(np.array([5, 6]), np.array([7, 8])), 9, 9) is call


def test_arrays_of_another_size_of_number_or_with_gaps_are_read_as_what_they_are() -> None:
    plain = settled(worth, levels(), 0, 1)
    for other in (levels("i4"), levels(step=2), levels("f8")):
        call = settled(worth, other, 0, 1)
        assert call is not plain
        assert call(other, 0, 1) == sum(price * 10 for price in other.price)


def test_arrays_that_may_not_be_written_are_another_type() -> None:
    kept = levels()
    kept.price.flags.writeable = False
    assert settled(worth, kept, 0, 1) is not settled(worth, levels(), 0, 1)
    assert settled(worth, kept, 0, 1)(kept, 0, 1) == 30


def test_a_whole_number_and_a_fraction_are_two_types() -> None:
    assert settled(worth, levels(), 0, 0.5)(levels(), 0, 0.5) == 15.0
