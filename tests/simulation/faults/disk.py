"""What survives a crash, and the journal of one process over it.

The semantics are those of `arbkit.journal.store`: facts are taken at once and in order; one commit takes all that are
there; what the disk refuses stays, in order, and is tried again; when there is no room what was held back is given up
for what reduces exposure, and everybody else is refused; a disk that takes longer than its patience is as good as none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from arbkit.core.errors import JournalError
from arbkit.journal.codec import fact_of
from arbkit.journal.memory import Fact

if TYPE_CHECKING:
    from tests.simulation.faults.process import Process

LINGER_S, RETRY_S, PATIENCE_S = 0.05, 1.0, 2.0
NO_ROOM = "the disk is full, and what room was held back is kept for reducing exposure"


class Crashed(BaseException):
    """The process is gone: nothing that runs in it has an effect any more."""


class SimDisk:
    """The platter. `trouble` (set by faults) says what one commit meets: latency in s and a refusal, or "full"."""

    def __init__(self, rng: Random) -> None:
        self.facts: list[Fact] = []
        self.trouble: Callable[[], tuple[float, str]] | None = None
        self._rng = rng

    def commit(self) -> tuple[float, str]:
        """Return how long the next commit takes, s, and why it keeps nothing (or nothing)."""
        latency = 0.0002 + 0.002 * self._rng.random()
        if self.trouble is not None:
            more, refusal = self.trouble()
            return latency + more, refusal
        return latency, ""

    def tear(self, loose: list[Fact]) -> int:
        """A crash: of what was not durable a prefix reached the platter whole; return how many facts did."""
        kept = self._rng.randint(0, len(loose)) if loose and self._rng.random() < 0.5 else 0
        self.facts += loose[:kept]
        return kept


class _Waiter:
    __slots__ = ("answer", "goal", "reducing")

    def __init__(self, goal: int, reducing: bool, answer: asyncio.Future[None]) -> None:
        self.goal, self.reducing, self.answer = goal, reducing, answer


class SimJournal:
    """Implements `core.ports.Journal` for one process."""

    def __init__(self, disk: SimDisk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._loop = process.world.loop
        self._loose: list[Fact] = []
        self._taken = 0  # facts appended by this process
        self._durable = 0
        self._waiting: list[_Waiter] = []
        self._committing = False
        self._asked = False
        self._lingering: asyncio.TimerHandle | None = None
        self._given_up = False

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        self._process.crash_point("append", "before")
        self._process.check()
        kept = fact_of(at, fact, key, data)
        self._loose.append(kept)
        self._taken += 1
        if self._lingering is None:
            self._lingering = self._loop.after(LINGER_S, self._linger)
        self._process.world.on_fact(kept, self._process)
        self._process.crash_point("append", "after")
        self._process.check()

    async def durable(self, *, reducing: bool = False) -> None:
        self._process.crash_point("durable", "before")
        self._process.check()
        if self._durable >= self._taken and not self._given_up:
            return
        waiter = _Waiter(self._taken, reducing, self._loop.create_future())
        self._waiting.append(waiter)
        if not self._asked:
            self._asked = True
            self._loop.at(self._loop.time_ns(), self._begin)
        slow = self._loop.after(PATIENCE_S, self._impatient, waiter)
        try:
            await waiter.answer
        finally:
            slow.cancel()
        self._process.crash_point("durable", "after")
        self._process.check()

    # -- the writer, which is outside the process's own time ---------------------------------------------------------

    def _begin(self) -> None:
        self._asked = False
        if self._process.dead or self._committing:
            return
        asked, count = len(self._waiting), len(self._loose)
        reducing = any(waiter.reducing and not waiter.answer.done() for waiter in self._waiting)
        latency, refusal = self._disk.commit()
        if refusal == "full":
            if reducing:
                self._given_up, refusal = True, ""
            else:
                refusal = NO_ROOM if self._given_up else "the disk is full"
        elif not refusal:
            self._given_up = False
        self._committing = True
        self._loop.after(latency, self._end, asked, count, refusal)

    def _end(self, asked: int, count: int, refusal: str) -> None:
        self._committing = False
        if self._process.dead:
            return
        if not refusal:
            done = self._loose[:count]
            del self._loose[:count]
            self._disk.facts += done
            self._durable += count
            self._process.world.on_durable(done)
        still = []
        for at, waiter in enumerate(self._waiting):
            if waiter.answer.done():
                continue
            if waiter.goal <= self._durable:
                self._tell(waiter, NO_ROOM if self._given_up and not waiter.reducing else "")
            elif at < asked:
                self._tell(waiter, refusal)
            else:
                still.append(waiter)
        self._waiting = still
        if still:
            self._begin()
        elif refusal and self._lingering is None:
            self._lingering = self._loop.after(RETRY_S, self._linger)

    def _linger(self) -> None:
        self._lingering = None
        if self._loose and not self._process.dead:
            self._begin()

    def _impatient(self, waiter: _Waiter) -> None:
        self._tell(waiter, f"the disk has not answered for {PATIENCE_S:g} s")

    @staticmethod
    def _tell(waiter: _Waiter, refusal: str) -> None:
        if waiter.answer.done():
            return
        if refusal:
            waiter.answer.set_exception(JournalError(refusal))
        else:
            waiter.answer.set_result(None)

    @property
    def loose(self) -> list[Fact]:
        """Facts that would be lost with the process."""
        return self._loose
