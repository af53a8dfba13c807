"""What time it is: read from the running loop, so that virtual time is the only time in a simulation."""

import asyncio
import time


class LoopClock:
    """Reads nanoseconds since the epoch from a loop that keeps them (`time_ns`), else from the machine.

    The machine's wall clock is read once, at the first question, and carried on by the monotonic clock: durations
    and deadlines do not jump when the wall clock is set. `jump` tells how far the wall has moved away since.
    """

    def __init__(self) -> None:
        self._anchor: tuple[int, int] | None = None  # wall and monotonic, ns

    def now(self) -> int:
        loop = asyncio.get_running_loop()
        virtual = getattr(loop, "time_ns", None)
        return int(virtual()) if virtual is not None else self._carried()

    def jump(self) -> int:
        """Return wall clock minus this clock, ns: 0 in virtual time, and until somebody sets the wall clock."""
        if getattr(asyncio.get_running_loop(), "time_ns", None) is not None:
            return 0
        return time.time_ns() - self._carried()

    def _carried(self) -> int:
        if self._anchor is None:
            self._anchor = (time.time_ns(), time.monotonic_ns())
        wall, monotonic = self._anchor
        return wall + time.monotonic_ns() - monotonic
