"""Whether the engine was awake and its clock is what it was: the loop can be held up, the wall clock can be set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arbkit.core.config import ExecutionConfig
from arbkit.core.ports import Clock
from arbkit.core.units import NS_PER_S
from arbkit.execution.record import Record


class TimeWatch:
    """Two looks at the time, each to be taken every `pause_s`."""

    def __init__(
        self, clock: Clock, record: Record, config: ExecutionConfig, mark_stale: Callable[[str], None]
    ) -> None:
        self.pause_s = config.max_loop_lag_s / 2
        self._jump: Callable[[], int] = getattr(clock, "jump", lambda: 0)
        self._record, self._config, self._mark_stale = record, config, mark_stale
        self._last = 0.0  # the loop's time at the last look
        self._set = 0  # what the wall clock was ahead of ours by, ns

    def begin(self) -> None:
        """Take the time as it is now for right."""
        self._last = asyncio.get_running_loop().time()
        self._set = self._jump()

    async def look_at_loop(self) -> None:
        """Trust no book after the loop was held up.

        Between two looks lies the pause, half of the lag that is allowed: more than all of it, and something held
        the loop up.
        """
        now = asyncio.get_running_loop().time()
        gap, self._last = now - self._last, now
        if gap > self._config.max_loop_lag_s:
            why = f"the event loop was held up for {gap - self.pause_s:.1f} s"
            self._mark_stale(why)
            self._record.alert("books are stale", why)

    def was_set(self) -> bool:
        """Tell whether the wall clock was set since this was last asked."""
        moved = self._jump() - self._set
        if abs(moved) <= self._config.max_clock_skew_s * NS_PER_S:
            return False
        self._set += moved
        self._record.alert("the wall clock was set", f"by {moved / NS_PER_S:.1f} s; ours goes on as before")
        return True
