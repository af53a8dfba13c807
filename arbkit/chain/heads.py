"""How far the chain is: the highest head that was seen, and which claims to be further are believed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

AHEAD = 64  # blocks that a node may be ahead of what we knew, beyond what time explains
BLOCKS_PER_S = 2.0  # no chain we use is faster; Polygon makes one in 1.75 s


class Heads:
    """The highest head, from claims of named nodes.

    A claim far above what was known and what time explains counts only when another node's claim supports it: one
    broken node would make all others look behind, and be the only one left. With one or two nodes there is nobody to
    outvote a node, and the higher claim is believed: a node that is still syncing is more common than one that lies.
    """

    def __init__(self, nodes: int) -> None:
        self._alone = nodes <= 2
        self._claims: dict[str, int] = {}
        self._since = 0.0  # the loop's time, s, when the highest was last raised
        self._seen: float | None = None
        self.highest = 0

    @property
    def is_known(self) -> bool:
        return self._seen is not None

    def age(self, now: float) -> float:
        """Return how long ago a node last confirmed the highest head or a higher one, s."""
        return float("inf") if self._seen is None else now - self._seen

    def unmoved(self, now: float) -> float:
        """Return how long ago the highest head last rose, s: when this grows the chain, or every node, stands still."""
        return float("inf") if self._seen is None else now - self._since

    def begin(self, claims: Mapping[str, int], now: float) -> None:
        """Take the first claims together: the highest one that another supports, or else the highest."""
        self._claims.update(claims)
        ranked = sorted(claims.values(), reverse=True)
        supported = [number for number, next_ in pairwise(ranked) if number <= next_ + AHEAD]
        self.highest = (supported or ranked)[0]
        self._seen = self._since = now

    def claim(self, node: str, number: int, now: float) -> bool:
        """Take a node's word for how far it is; False when it is not believed."""
        self._claims[node] = number
        if not self._believed(node, number, now):
            return False
        if number > self.highest:
            self.highest, self._since = number, now
        if number == self.highest:
            self._seen = now
        return True

    def _believed(self, node: str, number: int, now: float) -> bool:
        if self._alone:
            return True
        if number <= self.highest + AHEAD + BLOCKS_PER_S * (now - self._since):
            return True
        return any(other != node and claimed + AHEAD >= number for other, claimed in self._claims.items())
