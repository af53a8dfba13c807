"""Background tasks end well, or somebody hears of it."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
import gc

from arbkit.core.clock import LoopClock
from arbkit.execution.record import Record
from arbkit.execution.supervisor import Supervisor
from arbkit.journal.memory import MemoryJournal
from tests.rig import virtual


async def failing() -> None:
    await asyncio.sleep(1)
    raise KeyError("nobody expected this")


def test_fault_P6_a_task_that_fails_unexpectedly_halts_entries_and_says_which() -> None:
    async def main() -> None:
        record = Record(MemoryJournal(), LoopClock())
        supervisor = Supervisor(record)
        supervisor.spawn(failing(), "the watch")
        await asyncio.sleep(2)
        assert "the watch failed: KeyError" in record.halted
        assert len(supervisor) == 0

    virtual(main())


def test_fault_P6_a_task_that_nobody_else_holds_is_not_collected() -> None:
    async def main() -> None:
        done = []
        supervisor = Supervisor(Record(None, LoopClock()))

        async def slow() -> None:
            await asyncio.sleep(5)
            done.append(True)

        supervisor.spawn(slow(), "slow")
        gc.collect()
        assert supervisor.names() == ["slow"]
        await asyncio.sleep(6)
        assert done == [True]

    virtual(main())


def test_stopping_cancels_and_waits_and_halts_nothing() -> None:
    async def main() -> None:
        record = Record(None, LoopClock())
        supervisor = Supervisor(record)
        task = supervisor.spawn(asyncio.sleep(1_000), "for ever")
        await supervisor.stop()
        assert task.cancelled()
        assert record.halted == ""

    virtual(main())


def test_fault_P6_a_watch_whose_look_fails_halts_entries_and_looks_again() -> None:
    async def main() -> None:
        record, looks = Record(None, LoopClock()), [0]
        supervisor = Supervisor(record)

        async def look() -> None:
            looks[0] += 1
            if looks[0] == 1:
                raise KeyError("nobody expected this")

        supervisor.repeat(look, 1.0, "the watch")
        await asyncio.sleep(3.5)
        assert "the watch failed: KeyError" in record.halted
        assert looks == [3]
        await supervisor.stop()

    virtual(main())
