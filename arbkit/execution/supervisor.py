"""Tasks that somebody holds on to: one that ends badly is heard of, and nothing new is entered after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from arbkit.execution.answer import unless_cancelled
from arbkit.execution.record import Record


class Supervisor:
    """Keeps every background task alive until it ends; an exception nobody expected halts entries (P6)."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, steps: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task and hold on to it."""
        task = asyncio.get_running_loop().create_task(steps, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def repeat(self, step: Callable[[], Awaitable[object]], pause_s: float, name: str) -> asyncio.Task[Any]:
        """Pause, take a step, and so on for ever; a step that fails halts entries, and the next one is taken."""
        return self.spawn(self._repeated(step, pause_s, name), name)

    def insist(self, steps: Callable[[], Awaitable[object]], pause_s: float, name: str) -> asyncio.Task[Any]:
        """Run steps to their end; when they fail entries are halted, and after a pause they are begun again."""
        return self.spawn(self._insisted(steps, pause_s, name), name)

    def __len__(self) -> int:
        return len(self._tasks)

    def names(self) -> list[str]:
        """Return what is running, in the order it was started."""
        return [task.get_name() for task in self._tasks]

    async def stop(self) -> None:
        """Cancel what is running and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeated(self, step: Callable[[], Awaitable[object]], pause_s: float, name: str) -> None:
        while True:
            await asyncio.sleep(pause_s)
            try:
                with unless_cancelled():
                    await step()
            except Exception as error:  # noqa: BLE001 - a watch that ended would watch nothing
                self._failed(name, error)

    async def _insisted(self, steps: Callable[[], Awaitable[object]], pause_s: float, name: str) -> None:
        while True:
            try:
                with unless_cancelled():
                    await steps()
                return
            except Exception as error:  # noqa: BLE001 - what is owed does not end with an error
                self._failed(name, error)
            await asyncio.sleep(pause_s)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            error = task.exception()
        else:
            error = None if task.cancelling() else asyncio.CancelledError("nobody here has cancelled it")
        if error is not None:
            self._failed(task.get_name(), error)

    def _failed(self, name: str, error: BaseException) -> None:
        self._record.halt(f"{name} failed: {type(error).__name__}: {error}", error)
