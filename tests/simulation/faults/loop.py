"""Virtual time in which a process can die between any two steps, and in which the processor can be busy.

Tasks belong to the process in whose context they were made. A trap set at a step runs before that step, in the
middle of whatever was going to run at this instant: that is where crashes come from.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from arbkit.backtest.loop import SimLoop, _Call
from tests.simulation.faults.disk import Crashed

if TYPE_CHECKING:
    import asyncio

    from tests.simulation.faults.process import Process

T = TypeVar("T")
PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
OUTSIDE = contextvars.Context()  # where servers and the network run: in nobody's process


class FaultLoop(SimLoop):
    """A SimLoop with traps, owners of tasks and a processor that can be kept busy."""

    def __init__(self, origin_ns: int) -> None:
        super().__init__(origin_ns)
        self.steps = 0
        self.failed: BaseException | None = None  # ends the run, whoever has caught it meanwhile
        self._trap: tuple[int, Callable[[], None]] | None = None

    def at(self, ns: int, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        """Run something of the outside world at `ns`."""
        return self.call_at_ns(ns, callback, *args, context=OUTSIDE)

    def after(self, seconds: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        """Run something of the outside world so many seconds from now."""
        return self.call_later(seconds, callback, *args, context=OUTSIDE)

    def trap(self, steps: int, callback: Callable[[], None]) -> None:
        """Run `callback` just before the step that is `steps` from now; a later call replaces an earlier one."""
        self._trap = (self.steps + max(1, steps), callback)

    def block(self, seconds: float) -> None:
        """Let time pass while nothing runs: to be called in a callback."""
        self._move(self._now + round(seconds * 1e9))

    def _turn(self) -> None:
        """Run what is ready; a callback of a process that is gone ends there, and takes nothing else with it."""
        try:  # noqa: SIM105 - every step of every run comes by here
            SimLoop._turn(self)
        except Crashed:
            pass
        if self.failed is not None:
            failed, self.failed = self.failed, None
            raise failed

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Any = None, **options: Any
    ) -> asyncio.Task[T]:
        task = super().create_task(coro, name=name, context=context, **options)
        owner = PROCESS.get() if context is None else context.get(PROCESS)
        if owner is not None:
            owner.tasks.append(task)
        return task

    def _count(self, steps: int) -> None:
        SimLoop._count(self, steps)
        if self._trap is not None and self.steps + steps >= self._trap[0]:
            at, callback = self._trap
            self._trap = None
            place = max(0, min(at - self.steps - 1, len(self._ready)))
            self._ready.insert(place, _Call(self, -1, callback, (), OUTSIDE))
        self.steps += steps
