"""Waiting: for a venue's answer, in which nothing of ours ends with what its client cancels; and for several at once.

`answer` and `side_by_side` are `asyncio.timeout` and `asyncio.gather` for the way of an order, where the library's
cost a tenth of the engine's time for a trade: a class in Python with four coroutines, and a turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from arbkit.core.errors import OrderStateUnknown

T = TypeVar("T")
ENDED = "its connection ended before it answered"


async def answer(ask: Awaitable[T], within_s: float) -> T:
    """Return what a venue answers; TimeoutError when it takes longer, and what `unless_cancelled` raises."""
    task = _running()
    asked, late = task.cancelling(), False

    def give_up() -> None:
        nonlocal late
        late = True
        task.cancel()

    timer = task.get_loop().call_later(within_s, give_up)
    try:
        return await ask
    except asyncio.CancelledError as cut:
        if late and task.cancelling() == asked + 1:  # by us alone
            raise TimeoutError from cut
        if not task.cancelling():
            raise OrderStateUnknown(ENDED) from None
        raise
    finally:
        timer.cancel()
        if late:
            task.uncancel()


async def side_by_side(steps: Sequence[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """Run coroutines at once and return how each ended, in their order; cancelled, it cancels them and waits for them."""
    me = _running()
    loop = me.get_loop()
    asked, stopped = me.cancelling(), False
    tasks = [loop.create_task(step) for step in steps]
    ends: list[T | BaseException] = []
    for task in tasks:
        try:
            ends.append(await task)
        except GeneratorExit:  # its loop is gone: nothing can be waited for
            raise
        except BaseException as error:  # noqa: BLE001 - its own, and handed over; ours is raised below
            ends.append(error)
        if me.cancelling() > asked:
            asked, stopped = me.cancelling(), True
            for other in tasks:
                other.cancel()
    if stopped:
        raise asyncio.CancelledError
    return ends


class unless_cancelled:  # noqa: N801 - reads as a word in a with statement
    """Raise OrderStateUnknown for a cancel that nobody here asked for: a connection that ends cancels its requests."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is asyncio.CancelledError and not asked_for():
            raise OrderStateUnknown(ENDED) from None


def asked_for() -> bool:
    """Tell whether somebody has cancelled the running task, and not only something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _running() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "only a task can wait"
    return task
