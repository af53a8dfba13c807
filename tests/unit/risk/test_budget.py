# ruff: noqa: N802
"""A bucket of requests: what entries cannot touch, what they wait for, and what a 429 does."""

from __future__ import annotations

import pytest

from arbkit.core.errors import ConfigError
from arbkit.core.units import MICRO, NS_PER_S
from arbkit.risk.budget import RateBudget

T0 = 1_700_000_000 * NS_PER_S


def taken(budget: RateBudget, now: int, reducing: bool) -> int:
    """How many requests can be taken at one moment."""
    count = 0
    while not budget.take(now, reducing):
        count += 1
        assert count < 100, "a bucket without a bottom"
    return count


def test_fault_V9_the_reserved_share_is_left_for_cancels_and_hedges() -> None:
    budget = RateBudget(10, 8, 0.25)
    assert taken(budget, T0, reducing=False) == 6
    assert taken(budget, T0, reducing=True) == 2


def test_fault_V9_cancels_and_hedges_may_use_everything_and_are_then_served_first() -> None:
    budget = RateBudget(10, 8, 0.25)
    assert taken(budget, T0, reducing=True) == 8
    assert budget.take(T0, False) == 3 * NS_PER_S // 10  # two for the reserve, one to take
    assert budget.take(T0, True) == NS_PER_S // 10
    assert budget.take(T0 + NS_PER_S // 10, True) == 0
    assert budget.take(T0 + NS_PER_S // 10, False) == 3 * NS_PER_S // 10


def test_a_wait_is_exact_to_the_nanosecond() -> None:
    budget = RateBudget(3, 2, 0.5)
    assert [budget.take(T0, False) for _ in range(2)] == [0, 333_333_334]
    assert budget.take(T0 + 333_333_333, False) == 1
    assert budget.take(T0 + 333_333_334, False) == 0


def test_the_bucket_never_holds_more_than_the_burst() -> None:
    budget = RateBudget(10, 4, 0.5)
    assert taken(budget, T0, reducing=True) == 4
    assert taken(budget, T0 + 3_600 * NS_PER_S, reducing=True) == 4


def test_a_slow_rate_is_counted_in_millionths() -> None:
    budget = RateBudget(0.1, 2, 0.5)
    taken(budget, T0, reducing=True)
    assert budget.take(T0, True) == 10 * NS_PER_S
    assert RateBudget(0.000_001, 2, 0.5).take(T0, False) == 0


def test_a_bucket_is_full_from_the_first_nanosecond_of_a_clock_that_begins_at_nothing() -> None:
    assert taken(RateBudget(10, 8, 0.25), 1, reducing=False) == 6


def test_the_slowest_rate_is_waited_for_to_its_last_nanosecond() -> None:
    budget = RateBudget(0.000_001, 2, 0.5)
    taken(budget, T0, reducing=True)
    assert budget.take(T0 + MICRO * NS_PER_S - 1, True) == 1
    assert budget.take(T0 + MICRO * NS_PER_S, True) == 0


@pytest.mark.parametrize(
    ("burst", "share", "entries"), [(4, 0.95, 1), (4, 0.05, 3), (10, 0.25, 7), (10, 0.2, 8), (2, 1e-9, 1)]
)
def test_the_reserve_rounds_up_is_one_at_least_and_never_all(burst: int, share: float, entries: int) -> None:
    assert taken(RateBudget(1, burst, share), T0, reducing=False) == entries


def test_fault_V9_after_a_429_entries_stop_and_what_is_reserved_may_still_be_tried_with() -> None:
    budget = RateBudget(10, 8, 0.25)
    budget.take(T0, False)
    budget.backoff(T0 + 5 * NS_PER_S)
    wait = budget.take(T0, False)
    assert wait == 5 * NS_PER_S + NS_PER_S // 10
    assert taken(budget, T0, reducing=True) == 2
    assert taken(budget, T0 + 5 * NS_PER_S - 1, reducing=True) == 2
    assert budget.take(T0 + 5 * NS_PER_S - 1, False) > 1


def test_entries_go_on_once_the_backoff_is_over_and_the_reserve_is_full() -> None:
    budget = RateBudget(10, 8, 0.25)
    budget.take(T0, False)
    budget.backoff(T0 + 5 * NS_PER_S)
    end = T0 + 5 * NS_PER_S
    assert budget.take(end, False) == NS_PER_S // 10
    assert budget.take(end + NS_PER_S // 10 - 1, False) == 1
    assert budget.take(end + NS_PER_S // 10, False) == 0
    assert taken(budget, end + 100 * NS_PER_S, reducing=False) == 6


def test_what_comes_in_during_a_backoff_stops_at_the_reserve_whether_anybody_looks_or_not() -> None:
    watched, alone = RateBudget(10, 8, 0.25), RateBudget(10, 8, 0.25)
    for budget in (watched, alone):
        taken(budget, T0, reducing=True)
        budget.backoff(T0 + 5 * NS_PER_S)
    later = T0 + 5 * NS_PER_S + NS_PER_S // 10
    assert watched.take(T0 + 4 * NS_PER_S, False) == NS_PER_S + NS_PER_S // 10
    assert [taken(budget, later, reducing=True) for budget in (watched, alone)] == [3, 3]


def test_a_shorter_backoff_does_not_end_a_longer_one_and_one_that_is_over_changes_nothing() -> None:
    budget = RateBudget(10, 8, 0.25)
    budget.backoff(T0 + 2 * NS_PER_S)
    budget.backoff(T0 + NS_PER_S)
    assert budget.take(T0, False) == 2 * NS_PER_S + NS_PER_S // 10
    assert budget.take(T0 + NS_PER_S, False) == NS_PER_S + NS_PER_S // 10
    budget = RateBudget(10, 8, 0.25)
    budget.take(T0, False)
    budget.backoff(T0 - 1)
    assert taken(budget, T0, reducing=False) == 5


def test_a_backoff_that_ends_when_it_is_told_keeps_nothing_back_afterwards() -> None:
    budget = RateBudget(10, 8, 0.25)
    budget.take(T0, False)
    budget.backoff(T0)
    assert taken(budget, T0 + 1, reducing=False) == 5


def test_an_entry_that_waits_out_a_backoff_also_waits_for_an_empty_reserve() -> None:
    budget = RateBudget(1, 4, 0.5)
    taken(budget, T0, reducing=True)
    budget.backoff(T0 + NS_PER_S // 2)
    wait = budget.take(T0, False)
    assert wait == 3 * NS_PER_S
    assert budget.take(T0 + wait - 1, False) == 1
    assert budget.take(T0 + wait, False) == 0


def test_a_clock_set_back_adds_nothing_and_takes_nothing_for_long() -> None:
    budget = RateBudget(10, 4, 0.5)
    taken(budget, T0, reducing=True)
    assert budget.take(T0 - NS_PER_S, True) == NS_PER_S // 10
    assert budget.take(T0 - NS_PER_S + NS_PER_S // 10, True) == 0


@pytest.mark.parametrize(
    ("rate", "burst", "share", "why"),
    [
        (0, 4, 0.5, "a request rate of 0 a second"),
        (-1, 4, 0.5, "a request rate of -1 a second"),
        (0.000_000_9, 4, 0.5, "a request rate"),
        (1, 1, 0.5, "a burst of 1 "),
        (1, 2.5, 0.5, "a burst of 2.5 "),
        (1, 4, 0, "a reserved share of 0 "),
        (1, 4, 1, "a reserved share of 1 "),
        (1, 4, float("nan"), "a reserved share of nan"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(rate: float, burst: int, share: float, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        RateBudget(rate, burst, share)


def test_a_bucket_is_full_at_time_zero() -> None:
    assert taken(RateBudget(10, 8, 0.25), 0, reducing=False) == 6
