"""Waiting for answers does what asyncio's own timeouts and gathering do, whoever cancels whom and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import OrderStateUnknown
from arbkit.execution.answer import answer, side_by_side, unless_cancelled
from tests.rig import virtual


@dataclass(frozen=True)
class Step:
    """What takes `takes` s and then answers or fails; cancelled it takes `late` s more to end as it says."""

    takes: float
    fails: bool = False
    when_cancelled: str = "ends"  # or answers, or fails
    late: float = 0.0

    async def run(self) -> str:
        try:
            await asyncio.sleep(self.takes)
        except asyncio.CancelledError:
            await asyncio.sleep(self.late)
            if self.when_cancelled == "answers":
                return "too late"
            if self.when_cancelled == "fails":
                raise KeyError("while it was cancelled") from None
            raise
        if self.fails:
            raise ValueError("refused")
        return "yes"


def steps() -> st.SearchStrategy[Step]:
    """Times lie on a grid on which two never meet by chance: what happens at one moment has no order to compare."""
    return st.builds(
        Step,
        st.sampled_from([0.0, 1.0, 2.0, 3.0]),
        st.booleans(),
        st.sampled_from(["ends", "answers", "fails"]),
        st.sampled_from([0.0, 0.3]),
    )


async def library_answer(ask: Awaitable[str], within_s: float) -> str:
    with unless_cancelled():
        async with asyncio.timeout(within_s):
            return await ask


async def library_gather(given: Sequence[Coroutine[Any, Any, str]]) -> list[str | BaseException]:
    return list(await asyncio.gather(*given, return_exceptions=True))


def told(waiting: Callable[[], Awaitable[object]], cancel_at: float | None) -> tuple[object, ...]:
    """Return how a wait that is cancelled at some time (s) ended, when, and how often its task thinks it was cancelled."""

    async def main() -> tuple[object, ...]:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def waiter() -> tuple[object, ...]:
            me = asyncio.current_task()
            assert me is not None
            try:
                found: object = await waiting()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - compared
                found = error
            return repr(found), round(loop.time() - began, 6), me.cancelling()

        task = loop.create_task(waiter())
        if cancel_at is not None:
            loop.call_later(cancel_at, task.cancel)
        return await task

    return virtual(main())


@given(steps(), st.sampled_from([0.5, 1.5, 2.5]), st.sampled_from([None, 0.25, 1.25, 2.25]))
def test_an_answer_is_waited_for_as_the_librarys_timeout_does(
    step: Step, within_s: float, cancel_at: float | None
) -> None:
    ours = told(lambda: answer(step.run(), within_s), cancel_at)
    assert ours == told(lambda: library_answer(step.run(), within_s), cancel_at)


@given(st.lists(steps(), max_size=4), st.sampled_from([None, 0.25, 1.25, 2.25]))
def test_steps_side_by_side_end_as_the_librarys_gathering_has_them(given: list[Step], cancel_at: float | None) -> None:
    ours = told(lambda: side_by_side([step.run() for step in given]), cancel_at)
    theirs = told(lambda: library_gather([step.run() for step in given]), cancel_at)
    if cancel_at is not None and "Cancelled" in str(theirs[0]):
        assert ours[0] == theirs[0]
        assert ours[2] == theirs[2]
        assert ours[1] >= theirs[1]  # a step is told to end once the one before it has  # type: ignore[operator]
    else:
        assert ours == theirs


def test_a_timeout_and_a_cancel_at_once_are_a_cancel() -> None:
    """Somebody who cancels must not be told of a timeout: he would think that his word was lost."""
    step = Step(5.0, late=1.0)

    async def wait() -> None:
        me = asyncio.current_task()
        assert me is not None
        asyncio.get_running_loop().call_later(1.0, me.cancel)
        await answer(step.run(), 1.0)

    said, _, asked = told(wait, None)
    assert str(said).startswith("CancelledError")
    assert asked == 1


def test_what_a_client_cancels_by_itself_is_an_answer_that_did_not_come() -> None:
    async def dropped() -> str:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(OrderStateUnknown):
            await answer(dropped(), 1.0)

    virtual(main())


def test_no_timer_is_left_behind_by_an_answer_that_came() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(3):
            assert await answer(Step(1.0).run(), 2.0) == "yes"
        await asyncio.sleep(10)  # a timer that was left would cancel this
        return loop.time() - began

    assert virtual(main()) == pytest.approx(13.0)


def test_steps_whose_loop_is_gone_are_closed_without_a_word() -> None:
    loop = asyncio.new_event_loop()

    async def main() -> None:
        await side_by_side([asyncio.sleep(60), asyncio.sleep(60)])

    waiting = main()
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    waiting.close()  # as the collector does with what a loop left behind; who goes on waiting is a RuntimeError
    for left in asyncio.all_tasks(loop) - {task}:
        left.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(left)
    loop.close()
