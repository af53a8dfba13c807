"""`RetryStrategy`: the same call again, later and later, while that is safe and there is time.

Written here and not taken from tenacity or stamina: both keep time by the machine's clock and draw from the process's
own random numbers, so under virtual time their deadlines never come and no run could be repeated. With clock, draw,
pause and deadline replaced, what would be left of either is a loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from arbkit.core.errors import ChainUnavailable, ConfigError, VenueUnavailable

T = TypeVar("T")
Draw = Callable[[], float]  # a number from 0 up to, not including, 1
SAFE: tuple[type[Exception], ...] = (VenueUnavailable, ChainUnavailable)  # they promise that asking again is harmless
_BITS = 53
_STEPS = float(1 << _BITS)


def any_draw() -> float:
    """Draw from the system: processes that failed together must not come back together."""
    return secrets.randbits(_BITS) / _STEPS


def seeded_draw(seed: int) -> Draw:
    """Return draws that are a function of the seed and of how many were made: the same run, the same pauses."""
    ordinal = count()

    def draw() -> float:
        text = f"{seed}:{next(ordinal)}".encode()
        return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> (64 - _BITS)) / _STEPS

    return draw


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryStrategy:
    """How often and how long to try again: exponential backoff with full jitter, within a deadline.

    The pause before try n + 1 is drawn evenly from 0 to min(`most_s`, `first_s` · `factor`^(n-1)), so that callers
    who failed at the same moment spread out; an error's own `retry_after_s` is waited for on top. `deadline_s` counts
    from the first try by the running loop's clock; a pause that would outlast it is not begun. `tries` bounds their
    number, None does not.
    """

    first_s: float = 0.1
    factor: float = 2.0
    most_s: float = 5.0
    deadline_s: float = 30.0
    tries: int | None = None
    draw: Draw = any_draw

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.most_s < float("inf"):
            raise ConfigError("retry: first_s must be above 0 and at most most_s")
        if not 1 <= self.factor < float("inf"):
            raise ConfigError("retry: factor is below 1, the pauses would shrink")
        if not 0 < self.deadline_s < float("inf"):
            raise ConfigError("retry: deadline_s must be above 0, and an end there must be")
        if self.tries is not None and self.tries < 1:
            raise ConfigError("retry: tries must be at least 1")

    def longest(self, failures: int) -> float:
        """Return the upper bound of the pause after so many failures, s."""
        try:
            return min(self.most_s, self.first_s * self.factor ** (failures - 1))
        except OverflowError:
            return self.most_s

    def pause(self, failures: int, error: Exception | None = None) -> float:
        """Draw the pause after so many failures, s."""
        drawn = self.draw() * self.longest(failures)
        return drawn + max(0.0, getattr(error, "retry_after_s", None) or 0.0)

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        safe: tuple[type[Exception], ...] = SAFE,
        noted: Callable[[int, Exception, float], None] | None = None,
    ) -> T:
        """Return what `attempt` returns, made again after errors of the `safe` kinds and after no others.

        What is attempted must be harmless to repeat: a read, or a send of the same bytes under the same key. It is
        cut off at the deadline. When time or tries are used up the last error is raised, TimeoutError if there is
        none. `noted` is told before each pause: failures so far, the error, the pause in s.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.deadline_s
        last: Exception | None = None
        for failures in count(1):
            try:
                async with asyncio.timeout_at(until) as limit:
                    return await attempt()
            except safe as error:
                last = error
            except TimeoutError:
                if last is None or not limit.expired():
                    raise  # nothing else is known, or it is the attempt's own, which is not called safe
                raise last from None
            pause_s = self.pause(failures, last)
            if failures == self.tries or loop.time() + pause_s >= until:
                raise last
            if noted is not None:
                noted(failures, last, pause_s)
            await asyncio.sleep(pause_s)
        raise AssertionError("count() does not end")
