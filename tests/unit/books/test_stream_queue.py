# ruff: noqa: N802 - fault tests carry the fault's id
"""The queue between a socket and the books, and the stamps that come through it."""

import asyncio

import pytest

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.books.stream_events import (
    Connected,
    Delta,
    Disconnected,
    Heartbeat,
    MarketStatus,
    Message,
    Overflowed,
    Snapshot,
    Status,
    SubscribedTo,
    Terms,
    stamp_ns,
)
from arbkit.books.stream_queue import StreamQueue, pump
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import Health
from tests.builders import START, ms
from tests.stream_rig import BID, StreamRig, changes, healthy, pairs


def beat(at: int, seq: int | None = None) -> Message:
    return Message("c", ms(at), (Heartbeat(),), "s", seq)


def drained(queue: StreamQueue) -> list[Message]:
    async def all_of_it() -> list[Message]:
        return [await queue.get() for _ in range(len(queue))]

    return run_virtual(all_of_it(), SimLoop(START))


def test_messages_come_out_in_order_and_their_age_is_that_of_the_oldest() -> None:
    queue = StreamQueue("c", most=4)
    for at in (0, 5, 9):
        queue.put(beat(at))
    assert queue.age(ms(12)) == ms(12) - ms(0)
    assert drained(queue) == [beat(0), beat(5), beat(9)]
    assert queue.age(ms(12)) == 0


def test_fault_W9_a_queue_that_overflows_gaps_the_books_of_its_connection() -> None:
    rig = healthy()
    queue = StreamQueue("c", most=4)
    for n in range(5):
        queue.put(Message("c", ms(n), (Delta(0, changes((BID, 30 + n, 1))),), "s", rig.seq + 1 + n))
    assert (queue.overflows, len(queue)) == (1, 2)
    for message in drained(queue):
        rig.books.apply(message)
    assert [rig.health(i) for i in (0, 2)] == [Health.GAPPED, Health.GAPPED]
    assert rig.wanted() == [0, 2]
    rig.seq += 5
    rig.snapshot(0)
    assert rig.health() is Health.OK


def test_fault_W9_what_no_snapshot_says_again_survives_an_overflow() -> None:
    queue = StreamQueue("c", most=8)
    told = Status(0, MarketStatus.PAUSED)
    gone = Message("c", ms(0), (Disconnected(), told), "")
    kept = [
        Message("c", ms(1), (Connected(),)),
        Message("c", ms(2), (SubscribedTo(("a",)),), "s"),
        Message("c", ms(4), (told,), "s"),
    ]
    mixed = Message("c", ms(4), (Snapshot(0, (), ()), told), "s", seq=2)
    for message in (gone, *kept[:2], beat(3, 1), mixed, beat(5, 3), beat(6, 4), beat(7, 5), beat(8, 6)):
        queue.put(message)
    left = drained(queue)
    assert left == [*kept, Message("c", ms(8), (Overflowed(),)), beat(8, 6)]
    rig = StreamRig(connect=False)
    for message in left:
        rig.books.apply(message)
    rig.say(Snapshot(0, pairs([(40, 5)]), ()), seq=7)
    assert rig.health() is Health.UNKNOWN  # numbers are missing where its status was told: it is to be read anew
    rig.say(Terms(0), seq=8)
    assert rig.health() is Health.CLOSED


def test_fault_W9_a_flood_of_what_must_be_kept_ends_the_connection() -> None:
    rig = healthy()
    queue = StreamQueue("c", most=8)
    for n in range(50):
        queue.put(Message("c", ms(n), (SubscribedTo((str(n),)),), "s"))
        assert len(queue) <= 8
    assert queue.flooded
    for message in drained(queue):
        rig.books.apply(message)
    assert rig.health() is Health.UNKNOWN
    assert rig.lost == ["c"]


@pytest.mark.parametrize("most", [0, 3, 10**7])
def test_a_queue_without_a_sensible_bound_is_refused(most: int) -> None:
    with pytest.raises(ConfigError, match="stream queue"):
        StreamQueue("c", most)


def test_the_pump_applies_what_comes_and_lets_others_have_their_turn() -> None:
    rig = healthy()
    turns: list[int] = []

    async def main() -> None:
        queue = StreamQueue("c")
        task = asyncio.ensure_future(pump(queue, rig.books))
        await asyncio.sleep(0)
        for n in range(1_000):
            queue.put(Message("c", ms(0), (Delta(0, changes((BID, 41, n % 9 + 1))),), "s", rig.seq + 1 + n))
        while len(queue):
            turns.append(len(queue))
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main(), SimLoop(START))
    assert rig.sides()[0] == [(41, 999 % 9 + 1), (40, 5)]
    assert len(turns) > 10


@pytest.mark.parametrize(
    "value",
    [
        1_780_000_000,
        1_780_000_000_000,
        1_780_000_000_000_000,
        1_780_000_000_000_000_000,
        "1780000000",
        "1780000000000",
        "1780000000.0",
        "1780000000000000.000",
    ],
)
def test_fault_K3_a_stamp_is_read_in_whatever_unit_makes_it_a_time_that_can_be(value: int | str) -> None:
    assert stamp_ns(value, START) == 1_780_000_000_000_000_000


def test_fault_K3_fractions_of_a_stamp_are_exact() -> None:
    assert stamp_ns("1779999999.123456789", START) == 1_779_999_999_123_456_789
    assert stamp_ns("1779999999123.4567891", START) == 1_779_999_999_123_456_789
    assert stamp_ns(1_780_000_002, START) == START + 2 * 10**9
    assert stamp_ns(1_780_000_003, START, ahead_ns=3 * 10**9) == START + 3 * 10**9


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 1_780_000_003, 1_780_000_002_001, 1_500_000_000, 10**11, 5 * 10**14, 10**30, True, 1.78e9, None, "",
        "now", "-1780000000", "1.78e9", "1780000000.1234567890", "２０００", "9" * 60, "nan", "1_780_000_000",
    ],
)  # fmt: skip
def test_fault_K3_stamps_of_no_unit_of_the_future_and_absurd_ones_are_refused(value: object) -> None:
    with pytest.raises(DataError, match="not a"):
        stamp_ns(value, START)  # type: ignore[arg-type]
