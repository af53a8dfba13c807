"""What time it is: read from the running loop, so that virtual time is the only time in a simulation."""

import asyncio
import time


class LoopClock:
    """Reads nanoseconds since the epoch from a loop that keeps them (`time_ns`), else from the wall.

    A virtual loop carries `time_ns()`; the loops of asyncio do not, and there the wall clock is meant.
    """

    def now(self) -> int:
        loop = asyncio.get_running_loop()
        virtual = getattr(loop, "time_ns", None)
        return int(virtual()) if virtual is not None else time.time_ns()
