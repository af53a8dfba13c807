"""How one endpoint is doing: errors, latency and how far it is behind, weighed in seconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from arbkit.chain.rpc import RPCEndpoint
from arbkit.core.retry import RetryStrategy

WEIGHT = 0.3  # of the newest observation in an average
BLOCK_S = 1.75  # Polygon's time between blocks since May 2026
# What a node that asked for less is left alone for when it does not say how long.
BACK_OFF = RetryStrategy(first_s=1.0, most_s=60.0)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known about an endpoint, to be shown; `cost_s` is what it is ranked by, lowest first."""

    name: str
    cost_s: float
    error_rate: float
    latency_s: float
    behind: int  # blocks, when last seen
    resting_s: float  # it is left alone for so long yet
    trusted: bool  # chain and contracts were found right on the connections it has now
    barred: str  # why it is not asked at all, or nothing


@dataclass(slots=True, eq=False)
class Seat:
    """An endpoint in the pool, and what the pool remembers of it."""

    endpoint: RPCEndpoint
    error_rate: float = 0.0  # 0 to 1, a moving average
    latency_s: float = 0.0
    behind: int = 0
    rests_until: float = 0.0  # the loop's time
    busy: int = 0  # times in a row that it asked for less
    trusted_at: int = -1  # connections opened when its chain was last found right; -1 never
    checked_at: float = 0.0  # the loop's time of that
    barred: str = ""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    probing: bool = field(default=False, repr=False)

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def trusted(self) -> bool:
        """Tell whether its chain was checked since it last opened a connection."""
        return self.trusted_at == self.endpoint.connections

    def cost_s(self) -> float:
        """Return what asking it is expected to cost: its latency, the waiting when it fails, the age of its head."""
        return self.latency_s + self.error_rate * self.endpoint.answer_s + self.behind * BLOCK_S

    def answered(self, latency_s: float) -> None:
        self.latency_s = latency_s if not self.latency_s else _moved(self.latency_s, latency_s)
        self.error_rate = _moved(self.error_rate, 0.0)
        self.busy = 0

    def failed(self, after_s: float) -> None:
        """Note an error, or that another endpoint was asked in its place and was faster."""
        self.error_rate = _moved(self.error_rate, 1.0)
        self.latency_s = max(self.latency_s, after_s)

    def trust(self, now: float) -> None:
        self.trusted_at, self.checked_at, self.barred = self.endpoint.connections, now, ""

    def bar(self, reason: str) -> None:
        self.trusted_at, self.barred = -1, reason

    def asked_for_less(self, now: float, retry_after_s: float | None) -> None:
        self.busy += 1
        self.error_rate = _moved(self.error_rate, 1.0)
        self.rests_until = now + (BACK_OFF.longest(self.busy) if retry_after_s is None else retry_after_s)

    def health(self, now: float) -> Health:
        return Health(
            self.name,
            self.cost_s(),
            self.error_rate,
            self.latency_s,
            self.behind,
            max(0.0, self.rests_until - now),
            self.trusted,
            self.barred,
        )


def _moved(average: float, newest: float) -> float:
    return average + WEIGHT * (newest - average)
