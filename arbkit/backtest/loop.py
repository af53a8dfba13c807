"""An event loop in virtual time: waiting costs nothing, and the same inputs run in the same order every time.

Plain asyncio code runs in it (`sleep`, `timeout`, `gather`, `Queue`, `Event`). Time is an integer count of
nanoseconds that only moves when nothing is left to do now. Timers due at the same instant run in the order they were
set: venue stamps are milliseconds, so ties are the rule, and asyncio's own heap leaves their order open.

The recorded world is a hook: before time jumps to the next timer at T, `market(T)` moves the recording to T at most
and returns the time of an event it has put callbacks on the loop for, or None. So rows at T come before timers at T.

What would bring real time or the outside world in (executors, sockets, signals, processes) is refused by name.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import heapq
import sys
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from msgspec import Struct

from arbkit.backtest.no_outside import NoOutside, OutsideVirtualTime
from arbkit.core.errors import InvariantViolation
from arbkit.core.units import NS_PER_S

T = TypeVar("T")
Market = Callable[[int], int | None]
END = 2**62  # ns; later than every stamp
END_S = END / NS_PER_S


class Deadlock(InvariantViolation):
    """Every task waits, no timer is set and the recording holds nothing more: nothing can ever happen again."""


class Livelock(InvariantViolation):
    """Callbacks keep running and time does not move."""


class _Call(Struct, eq=False):  # made in a third of the time that a class in Python takes
    """A callback that is due at `ns`, or when its turn comes (-1); cancelled when it has none."""

    loop: SimLoop
    ns: int
    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    context: contextvars.Context

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self.loop._forget(self)

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        """Return seconds since the loop's origin, as asyncio's timers do."""
        return (self.ns - self.loop.origin_ns) / NS_PER_S


class SimLoop(NoOutside):
    """An asyncio event loop whose clock is a number.

    `origin_ns` is where `time()` is zero, in ns since the epoch. More than `max_steps` callbacks at one instant are a
    Livelock. An exception in a callback ends the run; one in a task that nobody awaited ends it too.
    """

    def __init__(self, origin_ns: int = 0, *, market: Market | None = None, max_steps: int = 1_000_000) -> None:
        self.origin_ns = origin_ns
        self.market = market
        self._now = origin_ns
        self._quiet = origin_ns - 1  # up to here the recording has told everything
        self._max_steps = max_steps
        self._steps = 0
        self._order = 0
        self._ready: deque[_Call] = deque()
        self._timers: list[tuple[int, int, _Call]] = []
        self._dropped = 0  # cancelled timers still in the heap
        self._tasks: dict[asyncio.Task[Any], None] = {}  # live ones, in the order they were made
        self._failed: list[weakref.ref[asyncio.Task[Any]]] = []
        self._generators: dict[int, weakref.ref[AsyncGenerator[Any, Any]]] = {}
        self._failure: BaseException | None = None
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._main: asyncio.Future[Any] | None = None  # what is run until it is complete
        self._running = self._stopping = self._closed = self._interrupted = False

    # -- time ------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return seconds since the origin."""
        return (self._now - self.origin_ns) / NS_PER_S

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._now

    def now(self) -> int:
        """Return the same, as `ports.Clock` names it: who knows the loop need not ask which one is running."""
        return self._now

    # -- callbacks -------------------------------------------------------------------------------------------

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        if self._closed:
            self._refuse_closed()
        call = _Call(self, -1, callback, args, contextvars.copy_context() if context is None else context)
        self._ready.append(call)
        return cast(asyncio.Handle, call)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at_ns(self._now + _ns(delay), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at_ns(self.origin_ns + _ns(when), callback, *args, context=context)

    def call_at_ns(
        self, ns: int, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at `ns` since the epoch, after every timer set for that instant before; a past one now."""
        if self._closed:
            self._refuse_closed()
        call = _Call(self, ns, callback, args, contextvars.copy_context() if context is None else context)
        self._order += 1
        heapq.heappush(self._timers, (ns, self._order, call))
        return cast(asyncio.TimerHandle, call)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Do as `call_soon` in the loop's own thread; another thread has no place in virtual time."""
        if self._running and threading.get_ident() != self._thread:
            raise OutsideVirtualTime("another thread called into a virtual loop: its order could not be repeated")
        return self.call_soon(callback, *args, context=context)

    def _forget(self, call: _Call) -> None:
        """Count a cancelled timer, and sweep the heap when half of it is such."""
        if call.ns < 0:
            return
        self._dropped += 1
        if self._dropped > 64 and self._dropped * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._dropped = 0

    # -- futures and tasks -----------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Any = None, **options: Any
    ) -> asyncio.Task[T]:
        self._refuse_closed()
        task = asyncio.Task(coro, loop=self, name=name, context=context, **options)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if _unread(task):
            self._failed.append(weakref.ref(task))

    # -- running ---------------------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until `stop`; raises what a callback raised, Deadlock or Livelock."""
        self._refuse_closed()
        if self._running or asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop is running in this thread already")
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generator_began, finalizer=self._generator_dropped)
        asyncio._set_running_loop(self)
        self._running, self._thread = True, threading.get_ident()
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._running = self._stopping = False
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def run_until_complete(self, future: Awaitable[T]) -> T:  # type: ignore[override]
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(self._main_ended)
        self._main = task
        try:
            self.run_forever()
        finally:
            self._main = None
            task.remove_done_callback(self._main_ended)
        if not task.done():
            raise RuntimeError("the loop was stopped before its main task ended")
        return task.result()

    def _main_ended(self, task: object) -> None:
        # A run that ended by a failure in its main task's last step leaves this call to the next.
        self._stopping = self._stopping or task is self._main

    def _turn(self) -> None:
        """Run what is ready, or let time pass."""
        timers, ready, now = self._timers, self._ready, self._now
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
            self._dropped -= 1
        if timers and timers[0][0] <= now and not self._told(now):
            while timers and timers[0][0] <= now:
                call = heapq.heappop(timers)[2]
                if call.callback is None:
                    self._dropped -= 1
                else:
                    call.ns = -1
                    ready.append(call)
        if not ready:
            self._pass_time()
            return
        there = len(ready)
        self._count(there)
        for _ in range(there):
            call = ready.popleft()
            callback = call.callback
            if callback is not None:
                call.context.run(callback, *call.args)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def _pass_time(self) -> None:
        """Move to the next event of the recording or the next timer, whichever comes first."""
        until = max(self._now, self._timers[0][0]) if self._timers else END
        if self._told(until):
            return
        if not self._timers:
            raise Deadlock("nothing can happen any more; waiting: " + ("; ".join(map(repr, self._tasks)) or "no task"))
        self._move(until)

    def _told(self, until: int) -> bool:
        """Move to the recording's next event at or before `until`; False when there is none."""
        if self._quiet >= until or self.market is None:
            return False
        event = self.market(until)
        if event is None:
            if until < END:
                self._quiet = until  # time moves there now, and what is asked then is asked of later rows
            return False
        if not self._now <= event <= until:
            raise InvariantViolation(f"the recording told of {event} ns, outside {self._now}..{until}")
        self._count(1)
        self._move(event)
        return True

    def _move(self, ns: int) -> None:
        if ns > self._now:
            self._now = ns
            self._steps = 0

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > self._max_steps:
            raise Livelock(f"{self._max_steps} steps at {self._now} ns: something keeps running without waiting")

    def stop(self) -> None:
        self._stopping = True

    def interrupt(self) -> None:
        """End the run with KeyboardInterrupt at its next step; may be called from another thread."""
        self._interrupted = True

    def forget_interrupt(self) -> None:
        """Forget an interrupt that no step has heard of."""
        self._interrupted = False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        if self._running:
            raise RuntimeError("a running loop cannot be closed")
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the loop is closed")

    # -- what ended badly ------------------------------------------------------------------------------------

    def wind_up(self) -> None:
        """Cancel what is left, close generators, and raise the first exception that nobody has seen."""
        self._steps = 0
        for _ in range(100):  # what is cancelled may start new tasks, but not for ever
            left = list(self._tasks)
            if not left:
                break
            for task in left:
                task.cancel()
            ending = _ended_all(left)
            try:
                self.run_until_complete(ending)
            finally:
                ending.close()  # where a failure came first, it never began
        else:
            raise Livelock(f"tasks keep starting tasks while they are cancelled: {list(self._tasks)}")
        if self._generators:
            self.run_until_complete(self.shutdown_asyncgens())
        for reference in self._failed:
            lost = reference()
            if lost is not None and _unread(lost):
                error = lost.exception()
                if error is not None:
                    raise error
        self._failed.clear()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take a failure that has no caller; without a handler it ends the run."""
        if self._handler is not None:
            self._handler(self, context)
        elif self._failure is None:
            error = context.get("exception")
            self._failure = error if error is not None else InvariantViolation(str(context.get("message")))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        handler, self._handler = self._handler, None
        self.call_exception_handler(context)
        self._handler = handler

    def set_exception_handler(
        self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        self._handler = handler

    def get_exception_handler(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None:
        return self._handler

    # -- asynchronous generators -----------------------------------------------------------------------------

    def _generator_began(self, generator: AsyncGenerator[Any, Any]) -> None:
        key = id(generator)
        self._generators[key] = weakref.ref(generator, lambda _: self._generators.pop(key, None))

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators.pop(id(generator), None)
        if not self._closed:
            self.call_soon_threadsafe(self.create_task, generator.aclose())

    async def shutdown_asyncgens(self) -> None:
        while self._generators:
            _, reference = self._generators.popitem()
            generator = reference()
            if generator is not None:
                await generator.aclose()

    # -- what other loops have -------------------------------------------------------------------------------

    async def shutdown_default_executor(self) -> None:
        """Return at once: there is none."""

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        if enabled:
            raise OutsideVirtualTime("debug mode measures slow callbacks by the wall clock")

    def get_task_factory(self) -> None:
        return None

    def set_task_factory(self, factory: object) -> None:
        if factory is not None:
            raise OutsideVirtualTime("a task factory could change the order in which tasks run")


def _ns(seconds: float) -> int:
    return END if seconds > END_S else round(seconds * NS_PER_S)


def _unread(task: asyncio.Task[Any]) -> bool:
    """Tell whether a task failed and nobody has looked: asyncio keeps the mark for its own warning."""
    return bool(getattr(task, "_log_traceback", False))


async def _ended_all(tasks: list[asyncio.Task[Any]]) -> None:
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome


def run_virtual(main: Coroutine[Any, Any, T], loop: SimLoop) -> T:
    """Run a coroutine in virtual time and return its result.

    Where a loop is running already (a notebook's), the virtual loop is driven in a thread of its own, which Ctrl-C, or
    whatever else is raised in the waiting one, ends too. Afterwards nothing is left running: other tasks are cancelled
    and their failures raised.
    """
    if asyncio._get_running_loop() is None:
        return _drive(main, loop)
    context = contextvars.copy_context()
    try:
        with concurrent.futures.ThreadPoolExecutor(1, "arbkit-virtual-time") as pool:
            try:
                future = pool.submit(context.run, _drive, main, loop)
                while not future.done():  # in short waits: an endless one cannot be interrupted on every system
                    concurrent.futures.wait([future], timeout=0.2)
            except BaseException:  # whatever it is: the pool is not left before the run has ended
                loop.interrupt()
                raise
    finally:
        loop.forget_interrupt()  # that came too late for this run: it is not meant for the next
    return future.result()


def _drive(main: Coroutine[Any, Any, T], loop: SimLoop) -> T:
    try:
        task = loop.create_task(main)
    except BaseException:
        main.close()  # it never began
        raise
    try:
        result = loop.run_until_complete(task)
    except BaseException as error:
        try:
            loop.wind_up()
        except Exception as second:  # noqa: BLE001 - told with the first, which is raised
            error.add_note(f"while winding up: {second!r}")
        raise
    loop.wind_up()
    return result
