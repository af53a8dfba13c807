"""What time it is: read from the running loop, so that virtual time is the only time in a simulation."""

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable
from time import monotonic_ns, time_ns


class LoopClock:
    """Reads nanoseconds since the epoch from a loop that keeps them (`time_ns`), else from the machine.

    The machine's wall clock is read once, at the first question, and carried on by the monotonic clock: durations
    and deadlines do not jump when the wall clock is set. `jump` tells how far the wall has moved away since.
    """

    def __init__(self) -> None:
        self._anchor: int | None = None  # wall clock minus monotonic clock when first asked, ns
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read: Callable[[], int] = self._carried  # what the time is read from while that loop runs

    def now(self) -> int:
        loop = get_running_loop()
        if loop is not self._loop:
            self._loop, self._read = loop, getattr(loop, "time_ns", self._carried)
        return self._read()

    def jump(self) -> int:
        """Return wall clock minus this clock, ns: 0 in virtual time, and until somebody sets the wall clock."""
        if getattr(get_running_loop(), "time_ns", None) is not None:
            return 0
        return time_ns() - self._carried()

    def _carried(self) -> int:
        if self._anchor is None:
            self._anchor = time_ns() - monotonic_ns()
        return self._anchor + monotonic_ns()
