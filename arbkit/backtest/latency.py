"""How long a message takes, drawn so that no message can move the draw of another.

Every draw is a function of what the message is: seed, opportunity, venue, leg, kind and its number among its like.
A hash of the first five is the key of a counter-based generator (Philox), the number is its counter. One more message
in one strategy therefore changes no other message, and two strategies meet the same network.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()


def draw(seed: int, opportunity_id: str, venue: str, leg: int, kind: str, ordinal: int) -> float:
    """Return the standard normal number that belongs to one message.

    Made from raw generator output and the inverse normal distribution: numpy may change how its own samplers use
    a generator, never what the generator puts out.
    """
    name = "\0".join((str(seed), opportunity_id, venue, str(leg), kind))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    raw = int(np.random.Philox(key=key, counter=ordinal).random_raw())
    return _NORMAL.inv_cdf(((raw >> 11) + 0.5) / 2**53)


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Times in ns for one world: constant, or log-normal around the stated value as their median (`sigma` > 0)."""

    entry: int
    reply: int
    sigma: float = 0.0
    seed: int = 0
    opportunity_id: str = ""

    def entry_ns(self, venue: str, leg: int, kind: str, ordinal: int) -> int:
        """Return how long a message takes to the venue's matching."""
        return self._of(self.entry, venue, leg, "to:" + kind, ordinal)

    def reply_ns(self, venue: str, leg: int, kind: str, ordinal: int) -> int:
        """Return how long the venue's word takes back to us."""
        return self._of(self.reply, venue, leg, "from:" + kind, ordinal)

    def _of(self, median: int, venue: str, leg: int, kind: str, ordinal: int) -> int:
        if self.sigma == 0.0 or median == 0:
            return median
        return round(median * math.exp(self.sigma * draw(self.seed, self.opportunity_id, venue, leg, kind, ordinal)))
