"""The same question to several: one after another until one answers, or all at once.

Tasks are looked at in the order they were begun, whatever order they end in: the same run, the same result.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from arbkit.core.errors import ArbkitError

S = TypeVar("S")
T = TypeVar("T")


@dataclass(slots=True)
class Heard(Generic[S, T]):
    """What came back: answers and failures with who gave them, and who was still silent at the end."""

    answers: list[tuple[S, T]] = field(default_factory=list)
    failures: list[tuple[S, ArbkitError]] = field(default_factory=list)
    silent: list[S] = field(default_factory=list)


async def one_by_one(
    whom: Sequence[S],
    ask: Callable[[S], Awaitable[T]],
    hedge_s: float,
    is_final: Callable[[ArbkitError], bool],
) -> Heard[S, T]:
    """Ask the first; the next one too when it fails, at once, or says nothing for `hedge_s`; and so on.

    The first answer ends it, as does a failure that `is_final`; `silent` are those who were asked earlier than the one
    that answered. What is still running then is cancelled.
    """
    heard: Heard[S, T] = Heard()
    waiting, running = deque(range(len(whom))), dict[asyncio.Task[T], int]()
    try:
        while waiting or running:
            if waiting:
                place = waiting.popleft()
                running[asyncio.ensure_future(_asked(ask, whom[place]))] = place
            await asyncio.wait(running, timeout=hedge_s if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                place = running.pop(task)
                _sort(heard, whom[place], task)
                if heard.answers:
                    heard.silent = [whom[other] for other in running.values() if other < place]
                    return heard
                if is_final(heard.failures[-1][1]):
                    return heard
        return heard
    finally:
        await _drop(running)


async def all_at_once(
    whom: Iterable[S],
    ask: Callable[[S], Awaitable[T]],
    grace_s: float,
    *,
    enough: Callable[[T], bool] | None = None,
    keep: Callable[[asyncio.Task[T]], None] | None = None,
) -> Heard[S, T]:
    """Ask everybody; once one has answered the others have `grace_s` more, and none where the answer is `enough`.

    What is still running then is cancelled, or given to `keep`.
    """
    heard: Heard[S, T] = Heard()
    loop = asyncio.get_running_loop()
    running = {asyncio.ensure_future(_asked(ask, one)): one for one in whom}
    until: float | None = None
    try:
        while running:
            left_s = None if until is None else max(0.0, until - loop.time())
            done, _ = await asyncio.wait(running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break  # the grace is over; not asked of the clock, which may stand a hair before it
            for task in [task for task in running if task.done()]:
                _sort(heard, running.pop(task), task)
            if heard.answers and until is None:
                until = loop.time() + grace_s
            if enough is not None and any(enough(answer) for _, answer in heard.answers):
                break
        heard.silent = list(running.values())
        return heard
    finally:
        if keep is None:
            await _drop(running)
        else:
            for task in running:
                keep(task)


async def _asked(ask: Callable[[S], Awaitable[T]], one: S) -> T:
    return await ask(one)


def _sort(heard: Heard[S, T], one: S, task: asyncio.Task[T]) -> None:
    try:
        heard.answers.append((one, task.result()))
    except ArbkitError as error:
        heard.failures.append((one, error))


async def _drop(running: Iterable[asyncio.Task[T]]) -> None:
    left = list(running)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
