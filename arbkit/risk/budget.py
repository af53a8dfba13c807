"""How many requests a venue may be sent: a bucket of tokens, a part of which entries cannot touch (I23)."""

from __future__ import annotations

from arbkit.core.errors import ConfigError
from arbkit.core.units import MICRO, NS_PER_S
from arbkit.risk.bounds import at_most

TOKEN = MICRO * NS_PER_S  # so that the tokens of one ns, at a rate in millionths, are a whole number


class RateBudget:
    """At most `rate_per_s` requests a second, and `burst` at once; times in ns of a clock that does not jump.

    `reserved_share` of the burst, one request at least and never all of them, is kept for what makes exposure smaller
    or clearer: cancels, undo orders, questions about unknown orders. Those may use everything; an entry never takes
    the bucket below the reserved part, and after use that part is filled up first.
    """

    def __init__(self, rate_per_s: float, burst: int, reserved_share: float) -> None:
        rate = at_most(rate_per_s)
        if rate <= 0:
            raise ConfigError(f"a request rate of {rate_per_s!r} a second sends nothing")
        if burst != int(burst) or burst < 2:
            raise ConfigError(f"a burst of {burst!r} leaves no request to reserve and one to use")
        if not 0 < reserved_share < 1:
            raise ConfigError(f"a reserved share of {reserved_share!r} is not between nothing and all")
        self._rate = rate
        self._full = int(burst) * TOKEN
        self._reserved = min(max(1, -(-int(burst) * at_most(reserved_share) // MICRO)), int(burst) - 1) * TOKEN
        self._level = self._full
        self._at = 0
        self._until = -1  # entries stop until then

    def take(self, now: int, reducing: bool) -> int:
        """Take one request, 0, or return how long to wait (ns) before one can be taken, should nobody else take it."""
        self._fill(now)
        rest = 0 if reducing else max(0, self._until - now)
        level = min(self._reserved, self._level + rest * self._rate) if rest else self._level
        missing = TOKEN + (0 if reducing else self._reserved) - level
        wait = rest + max(0, -(-missing // self._rate))
        if not wait:
            self._level -= TOKEN
        return wait

    def backoff(self, until_ns: int) -> None:
        """Enter nothing before `until_ns`: the venue has said 429. What is reserved may still be tried with."""
        self._until = max(self._until, until_ns)

    def _fill(self, now: int) -> None:
        """Add what has come in since; a clock set back adds nothing, and goes on from there."""
        if self._at < self._until < now:  # while backing off no more than the reserved part is there
            self._step(self._until, self._reserved)
        self._step(now, self._reserved if now <= self._until else self._full)

    def _step(self, now: int, most: int) -> None:
        come = max(0, now - self._at) * self._rate
        self._level = min(most, self._level + come)
        self._at = now
