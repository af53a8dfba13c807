"""The rehearsal of a failover, over a node of a few lines: what a caller meets is told as it was."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from arbkit.chain.failover import NAMES, Phase, Rehearsal, WatchedCall, rehearse_failover
from arbkit.chain.local_node import NoLocalNode, local_node
from tests.unit.chain.fake_anvil import fake_anvil

WELL = Phase("well", 0.5)


async def rehearsed(folder: Path, *course: Phase, flags: tuple[str, ...] = ()) -> Rehearsal:
    start = functools.partial(local_node, *flags, binary=fake_anvil(folder))
    return await rehearse_failover(course=course, every_s=0.05, start=start)


def calls_of(rehearsal: Rehearsal, phase: str) -> list[WatchedCall]:
    return [call for call in rehearsal.calls if call.phase == phase]


def one_call(**changes: object) -> WatchedCall:
    fields: dict[str, object] = {
        "at_s": 0.0, "phase": "well", "took_s": 0.01, "asked": ("A",), "in_vain": (), "answered": "A", "block": 10,
        "known": 10, "seen": 10, "health": (),
    }  # fmt: skip
    return WatchedCall(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ill",
    [
        Phase("ill", 1.0, "hang"),
        Phase("ill", 1.0, "stale", (("lag", 12),)),
        Phase("ill", 1.0, "status", (("code", 429), ("retry_after", 1))),
    ],
    ids=["hung", "behind", "busy"],
)
async def test_an_ill_endpoint_answers_nobody_and_no_call_is_failed_or_stale(tmp_path: Path, ill: Phase) -> None:
    seen = await rehearsed(tmp_path, WELL, ill)
    assert [name for name, _ in seen.phases] == ["well", "ill"]
    assert all(call.answered in NAMES for call in seen.calls)
    assert not any(call.is_stale or call.error for call in seen.calls)
    met = calls_of(seen, "ill")
    assert met
    assert {call.answered for call in met} <= {"B", "C"}
    assert all("A" not in call.asked or "A" in call.in_vain for call in met)
    assert seen.ended_s >= 1.5


async def test_while_all_is_well_nobody_is_asked_in_vain(tmp_path: Path) -> None:
    seen = await rehearsed(tmp_path, Phase("well", 1.0))
    assert sum(call.in_vain == () for call in seen.calls) >= len(seen.calls) - 1  # a busy machine may hedge once
    assert {len(call.health) for call in seen.calls} == {3}
    assert all(call.block >= call.known for call in seen.calls)


async def test_a_call_that_fails_is_told_with_its_error(tmp_path: Path) -> None:
    seen = await rehearsed(tmp_path, WELL, flags=("--no-blocks",))
    assert seen.calls
    assert all(call.answered == "" and "execution reverted" in call.error for call in seen.calls)
    assert not any(call.is_stale for call in seen.calls)


async def test_where_there_is_no_node_nothing_is_rehearsed() -> None:
    def start(*flags: str) -> object:
        raise NoLocalNode("no local node")

    with pytest.raises(NoLocalNode):
        await rehearse_failover(start=start)  # type: ignore[arg-type]


def test_an_answer_is_stale_below_what_was_seen_and_behind_below_what_the_node_had() -> None:
    assert not one_call().is_stale
    assert one_call(block=9).is_stale
    assert one_call(block=9, known=12, seen=9).behind == 3
    assert one_call(block=11).behind == 0
    failed = one_call(block=0, answered="", error="down")
    assert (failed.is_stale, failed.behind) == (False, 0)
