"""How long a message takes: constant, drawn so that no message can move the draw of another, or as recorded.

Every draw is a function of what the message is: seed, opportunity, venue, leg, kind and its number among its like.
A hash of the first five is the key of a counter-based generator (Philox), the number is its counter. One more message
in one strategy therefore changes no other message, and two strategies meet the same network.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist, median
from typing import Any

import numpy as np

from arbkit.core.errors import ConfigError
from arbkit.core.units import NS_PER_MS

_NORMAL = NormalDist()
LONGEST_MS = 600_000.0  # ten minutes

# What may take a time of its own: an order, a cancel or a question on its way to the venue, an answer on its way
# back, and the word of a fill at rest, which no request asked for.
PLACE, CANCEL, ASK, REPLY, REPORT = "place", "cancel", "ask", "reply", "report"
VERBS = (PLACE, CANCEL, ASK, REPLY, REPORT)
_TO = {"submit": PLACE, "cancel": CANCEL, "status": ASK}  # by kind of message


def chance(seed: int, opportunity_id: str, venue: str, leg: int, kind: str, ordinal: int) -> float:
    """Return the number between 0 and 1, both left out, that belongs to one message.

    Made from raw generator output: numpy may change how its own samplers use a generator, never what that puts out.
    """
    name = "\0".join((str(seed), opportunity_id, venue, str(leg), kind))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    raw = int(np.random.Philox(key=key, counter=ordinal).random_raw())
    return ((raw >> 11) + 0.5) / 2**53


def draw(seed: int, opportunity_id: str, venue: str, leg: int, kind: str, ordinal: int) -> float:
    """Return the standard normal number that belongs to one message, by the inverse normal distribution."""
    return _NORMAL.inv_cdf(chance(seed, opportunity_id, venue, leg, kind, ordinal))


# -- kinds of latency ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same, in ms."""

    ms: float

    def __post_init__(self) -> None:
        _milliseconds("Constant.ms", self.ms)

    def ns(self, at: int, chance: float) -> int:  # noqa: ARG002 - one question for all kinds
        """Return the latency (ns) of a message sent at `at`, whose own draw is `chance`."""
        return round(self.ms * NS_PER_MS)

    @property
    def median_ms(self) -> float:
        return self.ms

    def __str__(self) -> str:
        return f"{self.ms:g} ms"


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal around a median in ms; `sigma` is that of the logarithm."""

    median_ms: float
    sigma: float

    def __post_init__(self) -> None:
        _milliseconds("LogNormal.median_ms", self.median_ms)
        if not _is_number(self.sigma) or not 0 <= self.sigma <= 5:
            raise ConfigError(f"LogNormal.sigma must be a number from 0 to 5, not {self.sigma!r}")

    def ns(self, at: int, chance: float) -> int:  # noqa: ARG002
        """See `Constant.ns`."""
        return round(self.median_ms * NS_PER_MS * math.exp(self.sigma * _NORMAL.inv_cdf(chance)))

    def __str__(self) -> str:
        return f"log-normal, median {self.median_ms:g} ms, sigma {self.sigma:g}"


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of the given latencies in ms, each as likely: those that were measured, in any order."""

    ms: tuple[float, ...]

    def __init__(self, ms: Iterable[float]) -> None:
        found = tuple(ms)
        if not found:
            raise ConfigError("Empirical.ms: no latency is given")
        for one in found:
            _milliseconds("Empirical.ms", one)
        object.__setattr__(self, "ms", tuple(float(one) for one in found))

    def ns(self, at: int, chance: float) -> int:  # noqa: ARG002
        """See `Constant.ns`."""
        return round(self.ms[int(chance * len(self.ms))] * NS_PER_MS)

    @property
    def median_ms(self) -> float:
        return median(self.ms)

    def __str__(self) -> str:
        return f"one of {len(self.ms):,} measured, median {self.median_ms:g} ms, longest {max(self.ms):g} ms"


@dataclass(frozen=True, slots=True)
class Recorded:
    """As recorded beside the tape: pairs of (ns since the epoch at which a message was sent, ns it took).

    Between two pairs the latency lies on the line through them; before the first and after the last it is theirs.
    """

    at: tuple[int, ...]
    took: tuple[int, ...]

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        found = [(int(at), int(took)) for at, took in pairs]
        if not found:
            raise ConfigError("Recorded: no pair of request and latency is given")
        times = [at for at, _ in found]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise ConfigError("Recorded: pairs must be in the order of their time, and no time may stand twice")
        for _, took in found:
            _milliseconds("Recorded: a latency", took / NS_PER_MS)
        object.__setattr__(self, "at", tuple(times))
        object.__setattr__(self, "took", tuple(took for _, took in found))

    @classmethod
    def of_stamps(cls, sent: Iterable[int], arrived: Iterable[int]) -> Recorded:
        """Return the model of messages sent at these times (ns) that arrived at those: both by one clock."""
        return cls((int(a), int(b) - int(a)) for a, b in zip(sent, arrived, strict=True))

    def ns(self, at: int, chance: float) -> int:  # noqa: ARG002
        """See `Constant.ns`."""
        after = bisect_right(self.at, at)
        if after in (0, len(self.at)):
            return self.took[min(after, len(self.at) - 1)]
        (t0, t1), (a, b) = self.at[after - 1 : after + 1], self.took[after - 1 : after + 1]
        return a + (b - a) * (at - t0) // (t1 - t0)

    @property
    def median_ms(self) -> float:
        return median(self.took) / NS_PER_MS

    def __str__(self) -> str:
        return f"interpolated from {len(self.at):,} recorded messages, median {self.median_ms:g} ms"


Latency = Constant | LogNormal | Empirical | Recorded


def checked(latency: Mapping[Any, Any]) -> dict[str, Latency]:
    """Return a copy of latencies by "verb" or "venue:verb"; ConfigError for what is neither."""
    for name, model in latency.items():
        if not isinstance(name, str) or name.rpartition(":")[2] not in VERBS or name.startswith(":"):
            raise ConfigError(
                f'scenario.latency: {name!r} is not a verb ({", ".join(VERBS)}) nor a verb at a venue ("kalshi:place")'
            )
        if not isinstance(model, Constant | LogNormal | Empirical | Recorded):
            raise ConfigError(f"scenario.latency[{name!r}] must be Constant, LogNormal, Empirical or Recorded")
    return dict(latency)


# -- one world -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Times in ns for one world: `entry` and `reply`, constant or log-normal around them as medians (`sigma` > 0).

    `by` names what has a latency of its own: a verb at a venue ("kalshi:place") before a verb ("place").
    """

    entry: int
    reply: int
    sigma: float = 0.0
    seed: int = 0
    opportunity_id: str = ""
    by: Mapping[str, Latency] = field(default_factory=dict)

    def entry_ns(self, venue: str, leg: int, kind: str, ordinal: int, at: int = 0) -> int:
        """Return how long a message sent at `at` ns takes to the venue's matching."""
        return self._of(self.entry, _TO[kind], venue, leg, "to:" + kind, ordinal, at)

    def reply_ns(self, venue: str, leg: int, kind: str, ordinal: int, at: int = 0) -> int:
        """Return how long the venue's word of `at` ns takes back to us."""
        verb = REPORT if kind == "report" else REPLY
        return self._of(self.reply, verb, venue, leg, "from:" + kind, ordinal, at)

    def chance(self, venue: str, leg: int, kind: str, ordinal: int) -> float:
        """Return the draw, between 0 and 1, that belongs to one thing that may happen."""
        return chance(self.seed, self.opportunity_id, venue, leg, kind, ordinal)

    def _of(self, stated: int, verb: str, venue: str, leg: int, kind: str, ordinal: int, at: int) -> int:
        if self.by and (own := self.by.get(f"{venue}:{verb}", self.by.get(verb))) is not None:
            return own.ns(at, chance(self.seed, self.opportunity_id, venue, leg, kind, ordinal))
        if self.sigma == 0.0 or stated == 0:
            return stated
        return round(stated * math.exp(self.sigma * draw(self.seed, self.opportunity_id, venue, leg, kind, ordinal)))


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float | np.number) and math.isfinite(value)


def _milliseconds(name: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value <= LONGEST_MS:  # type: ignore[operator]
        raise ConfigError(f"{name} must be a number of ms from 0 to {LONGEST_MS:g}, not {value!r}")
