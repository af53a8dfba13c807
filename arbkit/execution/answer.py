"""Waiting for a venue's answer: what its client cancels is an answer that did not come, and nothing of ours ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from arbkit.core.errors import OrderStateUnknown

T = TypeVar("T")


async def answer(ask: Awaitable[T], within_s: float) -> T:
    """Return what a venue answers; TimeoutError when it takes longer, and what `unless_cancelled` raises."""
    with unless_cancelled():
        async with asyncio.timeout(within_s):
            return await ask


class unless_cancelled:  # noqa: N801 - reads as a word in a with statement
    """Raise OrderStateUnknown for a cancel that nobody here asked for: a connection that ends cancels its requests."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is asyncio.CancelledError and not asked_for():
            raise OrderStateUnknown("its connection ended before it answered") from None


def asked_for() -> bool:
    """Tell whether somebody has cancelled the running task, and not only something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
