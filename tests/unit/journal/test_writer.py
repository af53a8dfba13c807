# ruff: noqa: N802
"""Group commit: what goes together goes at once, in order, and nobody is told that it is durable before it is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import JournalError
from arbkit.journal.codec import link
from arbkit.journal.disk import DiskFull
from arbkit.journal.writer import GroupCommit
from tests.unit.journal.disks import START, FakeDisk, commits_to


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def writer(disk: FakeDisk) -> Iterator[GroupCommit]:
    writer = commits_to(disk)
    yield writer
    disk.fault, disk.full = None, False
    disk.gate.set()
    writer.close()


async def reason(writer: GroupCommit, *, reducing: bool = False) -> str:
    """Return why the records are not durable, or nothing."""
    try:
        await writer.durable(reducing=reducing)
    except JournalError as refusal:
        return str(refusal)
    return ""


async def test_what_one_turn_of_the_loop_appends_goes_into_one_commit(disk: FakeDisk, writer: GroupCommit) -> None:
    async def leg(number: int) -> None:
        writer.append(b"intent %d" % number)
        await writer.durable()
        assert b"intent %d" % number in disk.bodies

    await asyncio.gather(*(leg(number) for number in range(20)))
    assert writer.flushes == len(disk.commits) == 1
    assert disk.bodies == [b"intent %d" % number for number in range(20)]


async def test_what_is_appended_during_a_commit_goes_into_the_next_and_only_one(
    disk: FakeDisk, writer: GroupCommit
) -> None:
    disk.gate.clear()
    writer.append(b"first")
    first = asyncio.ensure_future(writer.durable())
    await asyncio.to_thread(disk.entered.wait)
    later = []
    for number in range(5):
        writer.append(b"%d" % number)
        later.append(asyncio.ensure_future(writer.durable()))
        await asyncio.sleep(0)
    assert not first.done()
    disk.gate.set()
    await asyncio.gather(first, *later)
    assert [len(commit) for commit in disk.commits] == [1, 5]


async def test_who_asks_during_the_commit_of_its_record_waits_for_no_other(disk: FakeDisk, writer: GroupCommit) -> None:
    disk.gate.clear()
    writer.append(b"first")
    first = asyncio.ensure_future(writer.durable())
    await asyncio.to_thread(disk.entered.wait)
    second = asyncio.ensure_future(writer.durable())
    await asyncio.sleep(0)
    disk.gate.set()
    await asyncio.gather(first, second)
    assert writer.flushes == 1


async def test_the_loop_runs_on_while_the_disk_works(disk: FakeDisk, writer: GroupCommit) -> None:
    disk.gate.clear()
    writer.append(b"x")
    waiting = asyncio.ensure_future(writer.durable())
    await asyncio.to_thread(disk.entered.wait)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert writer.pending == 1
    disk.gate.set()
    await waiting
    assert writer.pending == 0


async def test_what_is_durable_needs_no_disk(disk: FakeDisk, writer: GroupCommit) -> None:
    await writer.durable()
    writer.append(b"x")
    await writer.durable()
    disk.fault = JournalError("gone")
    await writer.durable()
    assert disk.tries == 1


async def test_records_are_numbered_and_each_hash_follows_from_the_one_before(
    disk: FakeDisk, writer: GroupCommit
) -> None:
    for number in range(4):
        writer.append(b"%d" % number)
        if number % 2:
            await writer.durable()
    before = START.link
    for number, row in enumerate(disk.rows, 1):
        assert row == (number, link(before, row.body), row.body)
        before = row.link


async def test_what_nobody_waits_for_is_written_soon(disk: FakeDisk) -> None:
    writer = commits_to(disk, linger_s=0.001)
    writer.append(b"x")
    await asyncio.to_thread(disk.entered.wait)
    writer.close()
    assert disk.bodies == [b"x"]
    assert writer.flushes == 1


def test_closing_writes_what_is_left_and_ends_the_thread(disk: FakeDisk) -> None:
    before = set(threading.enumerate())
    writer = commits_to(disk)
    writer.append(b"x")
    writer.close()
    writer.close()
    assert disk.bodies == [b"x"]
    assert disk.closed
    assert set(threading.enumerate()) == before
    with pytest.raises(JournalError, match="closed"):
        writer.append(b"y")


async def test_a_closed_journal_is_not_durable(disk: FakeDisk) -> None:
    writer = commits_to(disk)
    writer.close()
    assert "closed" in await reason(writer)


def test_whoever_closes_waits_until_the_last_record_is_kept(disk: FakeDisk) -> None:
    writer = commits_to(disk)
    disk.gate.clear()
    writer.append(b"a")
    first, second = (threading.Thread(target=writer.close) for _ in range(2))
    first.start()
    assert disk.entered.wait(10)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    assert not writer.is_over
    disk.gate.set()
    first.join(10)
    second.join(10)
    assert (disk.bodies, writer.is_over, writer.pending) == ([b"a"], True, 0)


def test_half_a_buffer_is_written_without_being_asked_for(disk: FakeDisk) -> None:
    writer = commits_to(disk, buffer=8)
    for number in range(3):
        writer.append(b"%d" % number)
    assert not disk.entered.wait(0.05)
    writer.append(b"3")
    assert disk.entered.wait(10)
    writer.close()
    assert disk.bodies == [b"0", b"1", b"2", b"3"]


def test_closing_says_how_much_could_not_be_kept(disk: FakeDisk) -> None:
    writer = commits_to(disk)
    writer.append(b"x")
    disk.fault = JournalError("the disk failed")
    with pytest.raises(JournalError, match="1 records were not kept: the disk failed"):
        writer.close()
    assert disk.closed


async def test_fault_D3_a_disk_that_fails_refuses_and_keeps_all_in_order_for_the_next_try(
    disk: FakeDisk, writer: GroupCommit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk.fault = JournalError("the disk failed: fsync")
    writer.append(b"1")
    assert await reason(writer) == "the disk failed: fsync"
    assert writer.unhealthy == "the disk failed: fsync"
    writer.append(b"2")
    assert await reason(writer, reducing=True) == "the disk failed: fsync"
    assert (disk.commits, writer.flushes, writer.pending) == ([], 0, 2)
    disk.fault = None
    writer.append(b"3")
    assert await reason(writer) == ""
    assert disk.bodies == [b"1", b"2", b"3"]
    assert (writer.unhealthy, writer.flushes, writer.pending) == ("", 1, 0)
    assert [record.message for record in caplog.records] == ["journal.unhealthy", "journal.healthy"]


async def test_fault_D3_an_error_that_nobody_named_is_no_less_a_refusal(
    disk: FakeDisk, writer: GroupCommit, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fault = OSError(5, "Input/output error")
    writer.append(b"1")
    assert "Input/output error" in await reason(writer)
    assert "journal.broken" in caplog.text
    disk.fault = None
    await writer.durable()
    assert disk.bodies == [b"1"]


async def test_fault_D3_a_disk_that_does_not_answer_in_time_is_not_waited_for(disk: FakeDisk) -> None:
    writer = commits_to(disk, patience_s=0.003)
    disk.gate.clear()
    writer.append(b"1")
    assert await reason(writer) == "the disk has not answered for 0.003 s"
    assert writer.unhealthy
    assert disk.commits == []
    disk.gate.set()
    await asyncio.to_thread(writer.close)
    assert disk.bodies == [b"1"]  # late, but not lost
    assert not writer.unhealthy


async def test_fault_D3_the_disk_is_tried_again_without_being_asked(disk: FakeDisk) -> None:
    writer = commits_to(disk, retry_s=0.001)
    disk.fault = JournalError("gone")
    writer.append(b"1")
    assert await reason(writer) == "gone"
    disk.fault = None
    disk.entered.clear()
    await asyncio.to_thread(disk.entered.wait)
    writer.close()
    assert disk.bodies == [b"1"]


async def test_fault_D1_when_the_disk_is_full_reducing_orders_use_what_is_held_back_and_entries_are_refused(
    disk: FakeDisk, writer: GroupCommit
) -> None:
    disk.full = True
    writer.append(b"entry")
    assert "no room" in await reason(writer)
    assert disk.held_back
    writer.append(b"undo")
    assert await reason(writer, reducing=True) == ""
    assert disk.bodies == [b"entry", b"undo"]
    assert not disk.held_back
    tries = disk.tries
    writer.append(b"another entry")
    assert "is full" in await reason(writer)
    assert "is full" in writer.unhealthy
    assert disk.tries == tries  # what was held back is not for entries
    writer.append(b"another undo")
    assert await reason(writer, reducing=True) == ""
    assert disk.bodies == [b"entry", b"undo", b"another entry", b"another undo"]
    disk.full = False
    assert await reason(writer) == ""
    assert disk.held_back
    assert writer.unhealthy == ""


async def test_fault_D1_of_one_commit_the_entry_is_refused_and_the_reducing_order_is_not(
    disk: FakeDisk, writer: GroupCommit
) -> None:
    disk.full = True
    writer.append(b"both")
    assert [bool(why) for why in await asyncio.gather(reason(writer), reason(writer, reducing=True))] == [True, False]
    assert disk.bodies == [b"both"]
    assert "is full" in await reason(writer)  # also when everything is written: nothing new may be entered


async def test_fault_D1_what_is_held_back_is_given_up_once(disk: FakeDisk, writer: GroupCommit) -> None:
    disk.full = True
    writer.append(b"1")
    assert await reason(writer, reducing=True) == ""
    disk.fault = DiskFull("not even that")
    writer.append(b"2")
    assert await reason(writer, reducing=True) == "not even that"
    assert writer.pending == 1


async def test_fault_D1_a_disk_that_is_full_from_the_start_refuses_entries(disk: FakeDisk) -> None:
    disk.full = True
    writer = commits_to(disk)
    assert "is full" in writer.unhealthy
    writer.append(b"1")
    assert "is full" in await reason(writer)
    assert await reason(writer, reducing=True) == ""
    writer.close()


async def test_fault_D1_room_is_noticed_without_being_asked(disk: FakeDisk) -> None:
    disk.full = True
    writer = commits_to(disk, retry_s=0.001)
    disk.full = False
    await asyncio.to_thread(disk.room.wait)
    assert await reason(writer) == ""
    assert writer.unhealthy == ""
    writer.close()


async def test_the_buffer_is_bounded_and_says_why_it_is_full(disk: FakeDisk) -> None:
    writer = commits_to(disk, buffer=3)
    disk.fault = JournalError("the disk failed")
    for number in range(3):
        writer.append(b"%d" % number)
    await reason(writer)
    with pytest.raises(
        JournalError, match="3 records wait to be written: the disk failed; one more could not be taken"
    ):
        writer.append(b"too many")
    disk.fault = None
    writer.close()


async def test_after_a_fact_that_was_not_taken_none_is_until_the_journal_is_opened_again(disk: FakeDisk) -> None:
    writer = commits_to(disk, buffer=3, linger_s=0.001)
    disk.gate.clear()
    writer.append(b"0")
    asked = asyncio.ensure_future(writer.durable())
    await asyncio.to_thread(disk.entered.wait)
    writer.append(b"1")
    writer.append(b"2")
    with pytest.raises(JournalError, match="the disk is slow"):
        writer.append(b"a fill that has happened")
    disk.gate.set()
    await asked  # what was taken before is kept
    for _ in range(2):
        with pytest.raises(JournalError, match="one more could not be taken, and none is before the journal is closed"):
            writer.append(b"what came after it")
        assert "one more could not be taken" in await reason(writer, reducing=True)
        assert "one more could not be taken" in writer.unhealthy
    await asyncio.to_thread(writer.close)
    assert disk.bodies == [b"0", b"1", b"2"]
    with pytest.raises(JournalError, match="one more could not be taken"):
        writer.append(b"what came after it")


@given(st.data())
def test_whatever_the_disk_does_the_record_is_a_beginning_of_what_was_offered(data: st.DataObject) -> None:
    disk = FakeDisk()
    offered: list[bytes] = []

    async def work() -> None:
        for step in data.draw(st.lists(st.sampled_from("aaaafod"), max_size=30)):
            if step == "a":
                offered.append(b"%d" % len(offered))
                with contextlib.suppress(JournalError):
                    writer.append(offered[-1])
            elif step == "d":
                await reason(writer)
            else:
                disk.fault = JournalError("failed") if step == "f" else None

    writer = commits_to(disk, buffer=3)
    asyncio.run(work())
    disk.fault = None
    writer.close()
    assert disk.bodies == offered[: len(disk.bodies)]


async def test_a_waiter_that_is_cancelled_takes_no_record_with_it(disk: FakeDisk, writer: GroupCommit) -> None:
    disk.gate.clear()
    writer.append(b"1")
    waiting = asyncio.ensure_future(writer.durable())
    await asyncio.to_thread(disk.entered.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    disk.gate.set()
    writer.append(b"2")
    await writer.durable()
    assert disk.bodies == [b"1", b"2"]


def test_a_waiter_whose_loop_is_gone_harms_no_other(disk: FakeDisk, writer: GroupCommit) -> None:
    disk.gate.clear()

    async def leave() -> None:
        writer.append(b"1")
        waiting = asyncio.ensure_future(writer.durable())
        await asyncio.to_thread(disk.entered.wait)
        waiting.cancel()

    asyncio.run(leave())
    disk.gate.set()

    async def stay() -> None:
        writer.append(b"2")
        await writer.durable()

    asyncio.run(stay())
    gc.collect()
    assert disk.bodies == [b"1", b"2"]


@given(st.data())
def test_whatever_fails_in_between_all_is_kept_once_and_in_order(data: st.DataObject) -> None:
    disk = FakeDisk()
    appended: list[bytes] = []

    async def work() -> None:
        for step in data.draw(st.lists(st.sampled_from("aaadrfFo"), max_size=30)):
            if step == "a":
                appended.append(b"%d" % len(appended))
                writer.append(appended[-1])
            elif step in "dr" and not await reason(writer, reducing=step == "r"):
                assert disk.bodies == appended
            elif step == "f":
                disk.fault = JournalError("failed")
            elif step == "F":
                disk.full = True
            elif step == "o":
                disk.fault, disk.full = None, False
        disk.fault, disk.full = None, False
        await writer.durable()

    writer = commits_to(disk)
    asyncio.run(work())
    writer.close()
    assert disk.bodies == appended
    assert [row.number for row in disk.rows] == list(range(1, len(appended) + 1))
