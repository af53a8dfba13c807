"""RetryStrategy in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import (
    AccessDenied,
    CallRefused,
    ChainUnavailable,
    ConfigError,
    OrderRejected,
    OrderStateUnknown,
    SendRefused,
    SendUnknown,
    VenueUnavailable,
    WrongChain,
)
from arbkit.core.retry import RetryStrategy, any_draw, seeded_draw
from tests.rig import virtual


def strategy(**settings: Any) -> RetryStrategy:
    return RetryStrategy(**{"draw": lambda: 0.5, **settings})


class Attempt:
    """Fails with these errors, one after another, then returns when it was made."""

    def __init__(self, *errors: Exception, lasts_s: float = 0.0) -> None:
        self.errors, self.lasts_s, self.times = list(errors), lasts_s, list[float]()

    async def __call__(self) -> str:
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.lasts_s)
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_pauses_double_up_to_the_longest_and_are_drawn_from_nothing_up() -> None:
    attempt = Attempt(*[VenueUnavailable("no")] * 6)
    assert virtual(strategy(first_s=1, most_s=8, deadline_s=100).run(attempt)) == "done"
    pauses = [late - early for early, late in zip(attempt.times, attempt.times[1:], strict=False)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_what_an_error_asks_to_wait_is_waited_on_top() -> None:
    attempt = Attempt(ChainUnavailable("busy", retry_after_s=3.0))
    virtual(strategy(first_s=1).run(attempt))
    assert attempt.times == [0.0, 3.5]


@pytest.mark.parametrize(
    "error",
    [
        OrderStateUnknown("may be live"),
        OrderRejected("no"),
        AccessDenied("no"),
        SendUnknown("may be in"),
        SendRefused("no"),
        CallRefused("reverted"),
        WrongChain("other"),
        KeyError("bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_known_to_be_harmless_is_not_made_again(error: Exception) -> None:
    attempt = Attempt(error)
    with pytest.raises(type(error)):
        virtual(strategy().run(attempt))
    assert len(attempt.times) == 1


def test_the_caller_says_what_else_is_safe() -> None:
    assert virtual(strategy().run(Attempt(SendUnknown("?")), safe=(SendUnknown,))) == "done"


def test_tries_are_counted() -> None:
    attempt = Attempt(*[VenueUnavailable(str(n)) for n in range(9)])
    with pytest.raises(VenueUnavailable, match="2"):
        virtual(strategy(tries=3).run(attempt))
    assert len(attempt.times) == 3


def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    async def main() -> float:
        with pytest.raises(VenueUnavailable):
            await strategy(first_s=1, deadline_s=4).run(Attempt(VenueUnavailable("no", retry_after_s=60)))
        return asyncio.get_running_loop().time()

    assert virtual(main()) == 0.0


def test_an_attempt_is_cut_off_at_the_deadline_and_the_error_before_it_told() -> None:
    async def main() -> float:
        with pytest.raises(VenueUnavailable, match="first"):
            await strategy(first_s=1, deadline_s=4).run(Attempt(VenueUnavailable("first"), lasts_s=3))
        return asyncio.get_running_loop().time()

    assert virtual(main()) == 4.0


def test_without_an_error_before_it_the_deadline_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        virtual(strategy(deadline_s=1).run(Attempt(lasts_s=2)))


def test_a_timeout_of_the_attempt_itself_is_not_called_safe() -> None:
    attempt = Attempt(VenueUnavailable("no"), TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        virtual(strategy().run(attempt))


def test_each_pause_is_told_before_it_begins() -> None:
    told: list[tuple[int, str, float]] = []
    attempt = Attempt(VenueUnavailable("a"), VenueUnavailable("b"))
    virtual(strategy(first_s=1).run(attempt, noted=lambda n, error, pause_s: told.append((n, str(error), pause_s))))
    assert told == [(1, "a", 0.5), (2, "b", 1.0)]


def test_a_cancelled_caller_is_not_held_up() -> None:
    async def main() -> bool:
        task = asyncio.ensure_future(strategy(first_s=5, most_s=5).run(Attempt(VenueUnavailable("no"))))
        await asyncio.sleep(1)
        task.cancel()
        return isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)

    assert virtual(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"first_s": 0},
        {"first_s": 2, "most_s": 1},
        {"most_s": float("inf")},
        {"factor": 0.9},
        {"deadline_s": 0},
        {"deadline_s": float("inf")},
        {"tries": 0},
    ],
    ids=str,
)
def test_a_strategy_that_cannot_be_meant_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        strategy(**settings)


@given(seed=st.integers(), failures=st.integers(1, 10_000))
def test_a_pause_is_never_below_nothing_or_above_its_bound(seed: int, failures: int) -> None:
    retry = RetryStrategy(first_s=0.1, most_s=7, draw=seeded_draw(seed))
    pause = retry.pause(failures)
    assert 0 <= pause < retry.longest(failures) <= 7


@pytest.mark.parametrize("source", [any_draw, seeded_draw(7)], ids=["system", "seeded"])
def test_draws_are_spread_evenly(source: Callable[[], float]) -> None:
    draws = sorted(source() for _ in range(4_000))
    # Largest distance of the empirical distribution from the even one; 0.045 has a chance of two in ten million.
    assert max(abs(value - place / 4_000) for place, value in enumerate(draws)) < 0.045


def test_the_same_seed_draws_the_same() -> None:
    one, two, other = seeded_draw(3), seeded_draw(3), seeded_draw(4)
    assert [one() for _ in range(5)] == [two() for _ in range(5)] != [other() for _ in range(5)]
