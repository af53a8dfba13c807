"""Virtual time: order of timers, the recorded world as a hook, and nothing that hangs or vanishes."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextvars
import gc
import signal
import threading
from collections.abc import AsyncIterator
from itertools import count

import pytest

from arbkit.backtest.loop import END, Deadlock, Livelock, SimLoop, run_virtual
from arbkit.backtest.no_outside import OutsideVirtualTime
from arbkit.core.clock import LoopClock
from arbkit.core.errors import InvariantViolation

EPOCH = 1_780_000_000_000_000_000


def test_sleeping_moves_the_clock_by_exact_nanoseconds() -> None:
    async def main() -> list[int]:
        seen = []
        for delay in (0.05, 0.1, 1e-9, 3600.0):
            await asyncio.sleep(delay)
            seen.append(LoopClock().now() - EPOCH)
        return seen

    assert run_virtual(main(), SimLoop(EPOCH)) == [50_000_000, 150_000_000, 150_000_001, 3_600_150_000_001]


def test_seconds_count_from_the_origin() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(0.25)
        return before, loop.time()

    assert run_virtual(main(), SimLoop(EPOCH)) == (0.0, 0.25)


def test_timers_of_one_instant_run_in_the_order_they_were_set() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        for n in range(50):
            loop.call_later(0.1 if n % 2 else 0.05 + 0.05, seen.append, n)
        await asyncio.sleep(0.2)
        return seen

    assert run_virtual(main(), SimLoop()) == list(range(50))


def test_a_timer_in_the_past_runs_now_and_moves_no_clock_back() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        await asyncio.sleep(1)
        done = loop.create_future()
        loop.call_at_ns(5, done.set_result, None)
        await done
        return loop.time_ns()

    assert run_virtual(main(), SimLoop()) == 1_000_000_000


def test_cancelled_timers_are_swept_out_of_the_heap() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        handles = [loop.call_later(1000 + n, print, "never") for n in range(1_000)]
        for handle in handles:
            handle.cancel()
            handle.cancel()  # twice is once
        assert handles[0].cancelled()
        left = len(loop._timers)
        await asyncio.sleep(2)
        return left

    assert run_virtual(main(), SimLoop()) < 200


def test_timeouts_queues_and_events_work() -> None:
    async def main() -> list[object]:
        found: list[object] = []
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def later() -> None:
            await asyncio.sleep(2)
            await queue.put(7)

        task = asyncio.create_task(later())
        try:
            async with asyncio.timeout(1):
                await queue.get()
        except TimeoutError:
            found.append(asyncio.get_running_loop().time())
        found.append(await asyncio.wait_for(queue.get(), 5))
        found.append(asyncio.get_running_loop().time())
        await task
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(1, event.set)
        await event.wait()
        found.append(asyncio.get_running_loop().time())
        return found

    assert run_virtual(main(), SimLoop()) == [1.0, 7, 2.0, 3.0]


def test_gather_keeps_order_and_outcomes() -> None:
    async def leg(n: int, fails: bool) -> int:
        await asyncio.sleep(1 / n)
        if fails:
            raise ValueError(n)
        return n

    async def main() -> list[int | BaseException]:
        return await asyncio.gather(leg(1, False), leg(2, True), leg(3, False), return_exceptions=True)

    first, second, third = run_virtual(main(), SimLoop())
    assert (first, third) == (1, 3)
    assert isinstance(second, ValueError)


def test_the_recorded_world_comes_before_a_timer_of_the_same_instant() -> None:
    rows = [10, 20, 20, 35]
    seen: list[tuple[str, int]] = []

    def market(until: int) -> int | None:
        if rows and rows[0] <= until:
            at = rows.pop(0)
            loop.call_soon(lambda: seen.append(("row", loop.time_ns())))
            return at
        return None

    loop = SimLoop(market=market)

    async def main() -> None:
        for _ in range(4):
            await asyncio.sleep(10e-9)
            seen.append(("timer", loop.time_ns()))

    run_virtual(main(), loop)
    assert seen == [
        ("row", 10), ("timer", 10), ("row", 20), ("row", 20), ("timer", 20), ("timer", 30), ("row", 35), ("timer", 40),
    ]  # fmt: skip


def test_without_a_timer_the_recording_may_run_to_its_end() -> None:
    asked: list[int] = []
    loop = SimLoop(5)
    woken = loop.create_future()

    def market(until: int) -> int | None:
        asked.append(until)
        woken.set_result("the last row")
        return 99

    loop.market = market

    async def main() -> tuple[str, int]:
        return await woken, loop.time_ns()

    assert run_virtual(main(), loop) == ("the last row", 99)
    assert asked == [END]


@pytest.mark.parametrize("told", [4, 101])
def test_a_recording_that_speaks_of_the_past_or_beyond_the_timer_is_a_bug(told: int) -> None:
    async def main() -> None:
        await asyncio.sleep(90e-9)

    with pytest.raises(InvariantViolation, match=r"outside 10\.\.100"):
        run_virtual(main(), SimLoop(10, market=lambda _: told))


def test_when_every_task_waits_for_ever_the_run_ends_with_the_names_of_who_waits() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.gather(stuck(), stuck())

    with pytest.raises(Deadlock, match="stuck"):
        run_virtual(main(), SimLoop())


def test_running_without_waiting_is_noticed() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 - the mistake that is to be noticed
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="at 7 ns"):
        run_virtual(main(), SimLoop(7, max_steps=500))


def test_steps_are_counted_per_instant() -> None:
    async def main() -> int:
        for _ in range(2_000):
            await asyncio.sleep(1e-9)
        return 1

    assert run_virtual(main(), SimLoop(max_steps=50)) == 1


def test_an_exception_in_a_task_nobody_awaits_ends_the_run() -> None:
    async def bad() -> None:
        raise ValueError("lost in a task")

    async def main() -> None:
        asyncio.create_task(bad())  # noqa: RUF006 - that it is dropped is the point
        await asyncio.sleep(10)

    with pytest.raises(ValueError, match="lost in a task"):
        run_virtual(main(), SimLoop())


def test_an_exception_in_a_task_that_is_kept_but_never_looked_at_ends_the_run() -> None:
    kept = []

    async def bad() -> None:
        raise ValueError("kept and forgotten")

    async def main() -> None:
        kept.append(asyncio.create_task(bad()))
        await asyncio.sleep(1)

    with pytest.raises(ValueError, match="kept and forgotten"):
        run_virtual(main(), SimLoop())


def test_an_exception_in_a_callback_ends_the_run() -> None:
    def bad() -> None:
        raise ValueError("in a callback")

    async def main() -> None:
        asyncio.get_running_loop().call_later(1, bad)
        await asyncio.sleep(5)

    with pytest.raises(ValueError, match="in a callback"):
        run_virtual(main(), SimLoop())


def test_an_exception_that_was_awaited_is_told_once() -> None:
    async def bad() -> None:
        raise ValueError("seen")

    async def main() -> str:
        task = asyncio.create_task(bad())
        try:
            await task
        except ValueError as error:
            return str(error)
        return ""

    assert run_virtual(main(), SimLoop()) == "seen"


def test_what_is_left_running_is_cancelled_and_may_clean_up_in_virtual_time() -> None:
    seen: list[object] = []

    async def worker() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(1)
            seen.append(asyncio.get_running_loop().time())

    async def main() -> str:
        seen.append(asyncio.create_task(worker()))
        await asyncio.sleep(1)
        return "done"

    assert run_virtual(main(), SimLoop()) == "done"
    assert seen[1] == 2.0


def test_a_failure_while_winding_up_is_told_with_the_first_one() -> None:
    async def worker() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            raise KeyError("second")

    async def main() -> None:
        task = asyncio.create_task(worker())
        await asyncio.sleep(1)
        raise ValueError(f"first, {task.done()}")

    with pytest.raises(ValueError, match="first") as caught:
        run_virtual(main(), SimLoop())
    assert "second" in caught.value.__notes__[0]


def test_a_recording_that_fails_again_while_winding_up_leaves_no_step_of_it_behind() -> None:
    def broken(until: int) -> int | None:
        raise InvariantViolation("the recording is broken")

    async def main() -> None:
        asyncio.get_running_loop().call_later(0, lambda: None)
        await asyncio.sleep(1)

    with pytest.raises(InvariantViolation, match="the recording is broken") as raised:
        run_virtual(main(), SimLoop(market=broken))
    assert raised.value.__notes__ == ["while winding up: InvariantViolation('the recording is broken')"]
    del raised
    gc.collect()  # a coroutine that nobody awaited would warn, and a warning is an error


def test_an_asynchronous_generator_that_is_dropped_is_closed() -> None:
    seen: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            await asyncio.sleep(1)
            seen.append("closed")

    async def dropped() -> None:
        async for _ in numbers():
            break
        gc.collect()
        await asyncio.sleep(5)

    kept = []

    async def held() -> None:
        kept.append(numbers())
        await anext(kept[0])

    run_virtual(dropped(), SimLoop())
    run_virtual(held(), SimLoop())
    assert seen == ["closed", "closed"]


@pytest.mark.parametrize(
    "name", ["create_connection", "subprocess_exec", "getaddrinfo", "add_reader", "add_signal_handler"]
)
def test_the_outside_is_refused_by_name(name: str) -> None:
    loop = SimLoop()
    with pytest.raises(OutsideVirtualTime, match=f"loop.{name}"):
        getattr(loop, name)(1, 2)


def test_threads_are_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(OutsideVirtualTime, match="run_in_executor"):
        run_virtual(main(), SimLoop())


def test_another_thread_cannot_call_into_a_running_loop() -> None:
    found: list[BaseException] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def call() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except OutsideVirtualTime as error:
                found.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    run_virtual(main(), SimLoop())
    assert len(found) == 1


def test_debug_mode_and_task_factories_are_refused() -> None:
    loop = SimLoop()
    loop.set_debug(False)
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    assert not loop.get_debug()
    with pytest.raises(OutsideVirtualTime):
        loop.set_debug(True)
    with pytest.raises(OutsideVirtualTime):
        loop.set_task_factory(asyncio.eager_task_factory if hasattr(asyncio, "eager_task_factory") else print)


async def test_inside_a_running_loop_virtual_time_has_a_thread_of_its_own() -> None:
    word = contextvars.ContextVar("word", default="")
    word.set("carried over")

    async def main() -> tuple[str, str, int]:
        await asyncio.sleep(3600)
        return word.get(), threading.current_thread().name, LoopClock().now()

    said, thread, now = run_virtual(main(), SimLoop(EPOCH))
    assert said == "carried over"
    assert thread != threading.current_thread().name
    assert now == EPOCH + 3_600 * 10**9
    assert not isinstance(asyncio.get_running_loop(), SimLoop)


async def test_what_fails_in_the_thread_is_raised_where_it_was_called() -> None:
    async def main() -> None:
        raise ValueError("over there")

    with pytest.raises(ValueError, match="over there"):
        run_virtual(main(), SimLoop())


def test_an_interrupt_ends_the_run_at_its_next_step() -> None:
    loop = SimLoop()

    async def main() -> None:
        await asyncio.sleep(1)
        loop.interrupt()
        await asyncio.sleep(1_000)

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main(), loop)
    assert loop.time() < 1_000


@pytest.mark.parametrize(("number", "raises"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_what_is_raised_in_a_waiting_notebook_ends_the_run_in_its_own_thread(
    number: signal.Signals, raises: type[BaseException]
) -> None:
    notebook = asyncio.new_event_loop()
    virtual = SimLoop()

    async def main() -> None:
        for n in count():  # it would go on for ever
            await asyncio.sleep(1)
            if n == 20_000:  # by now the cell waits
                _thread.interrupt_main(number)

    async def cell() -> None:
        run_virtual(main(), virtual)

    def heard(*_: object) -> None:
        raise raises

    before = signal.signal(number, heard)
    try:
        with pytest.raises(raises):
            notebook.run_until_complete(cell())
    finally:
        signal.signal(number, before)
        notebook.close()
    assert not virtual.is_running()


def test_a_run_that_failed_in_its_own_thread_leaves_its_loop_fit_for_the_next() -> None:
    virtual = SimLoop()

    async def fails() -> None:
        raise ZeroDivisionError

    async def cell() -> str:
        with pytest.raises(ZeroDivisionError):
            run_virtual(fails(), virtual)
        return run_virtual(asyncio.sleep(1, "slept"), virtual)

    assert asyncio.run(cell()) == "slept"


def test_an_interrupt_that_comes_as_the_main_task_ends_leaves_no_trace_in_the_next_run() -> None:
    loop = SimLoop()

    async def main() -> None:
        loop.interrupt()  # heard after this very step, in which the task ends

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main(), loop)
    assert run_virtual(asyncio.sleep(1, "slept"), loop) == "slept"


def test_an_interrupt_that_comes_after_a_run_in_its_own_thread_does_not_end_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, waited = SimLoop(), threading.Event()

    def pressed(futures: list[concurrent.futures.Future[None]], timeout: float) -> None:
        waited.set()
        futures[0].result()  # only once it has ended
        raise KeyboardInterrupt

    async def main() -> None:
        waited.wait(10)

    async def cell() -> None:
        run_virtual(main(), loop)

    monkeypatch.setattr(concurrent.futures, "wait", pressed)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    assert run_virtual(asyncio.sleep(1, "slept"), loop) == "slept"


def test_an_interrupt_that_comes_as_the_main_task_ends_leaves_others_their_time_to_clean_up() -> None:
    loop = SimLoop()
    seen: list[str] = []

    async def other() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(1)
            seen.append("clean")

    async def main() -> None:
        task = loop.create_task(other())
        await asyncio.sleep(1)
        assert not task.done()
        loop.interrupt()

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main(), loop)
    assert seen == ["clean"]


def test_a_running_loop_is_neither_closed_nor_run_a_second_time() -> None:
    loop = SimLoop()

    async def main() -> None:
        assert loop.is_running()
        with pytest.raises(RuntimeError, match="running loop"):
            loop.close()
        with pytest.raises(RuntimeError, match="already"):
            loop.run_forever()
        await loop.shutdown_default_executor()

    run_virtual(main(), loop)


def test_a_loop_can_be_used_again_and_time_goes_on() -> None:
    loop = SimLoop(EPOCH)

    async def main() -> int:
        await asyncio.sleep(1)
        return LoopClock().now() - EPOCH

    assert [run_virtual(main(), loop) for _ in range(3)] == [10**9, 2 * 10**9, 3 * 10**9]


def test_a_closed_loop_says_so() -> None:
    loop = SimLoop()
    loop.close()
    assert loop.is_closed()

    async def main() -> None:
        """Never run."""

    with pytest.raises(RuntimeError, match="closed"):
        run_virtual(main(), loop)


def test_stopping_before_the_end_is_an_error() -> None:
    loop = SimLoop()

    async def main() -> None:
        loop.stop()
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="stopped before"):
        run_virtual(main(), loop)


def test_own_handlers_hear_of_failures_that_have_no_caller() -> None:
    heard: list[str] = []
    loop = SimLoop()
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    assert loop.get_exception_handler() is not None
    loop.call_exception_handler({"message": "listen"})
    loop.set_exception_handler(None)
    loop.default_exception_handler({"message": "now it counts"})

    async def main() -> None:
        await asyncio.sleep(1)

    with pytest.raises(InvariantViolation, match="now it counts"):
        run_virtual(main(), loop)
    assert heard == ["listen"]


def test_the_order_of_a_busy_program_is_the_same_every_time() -> None:
    def once() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []

        async def worker(n: int) -> None:
            for step in range(20):
                await asyncio.sleep(((n * 7 + step * 3) % 5) / 1_000)
                seen.append((n, step))

        async def main() -> None:
            await asyncio.gather(*(worker(n) for n in range(12)))

        run_virtual(main(), SimLoop(EPOCH))
        return seen

    assert once() == once()
