"""The session around an engine, in virtual time: it ends when it was told to, says what is left and leaves nobody behind."""
# ruff: noqa: N802 - fault tests carry the id of the fault

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

from arbkit.backtest.mock_platform import Answer
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import JournalError
from arbkit.core.model import ExecutionStrategy
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import Fact, MemoryJournal
from arbkit.risk.pairs import PairBook
from arbkit.wiring.session import Exit, run_session
from tests.rig import NO_B, Rig, virtual

MARKET, LIMIT = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT


def engine_of(rig: Rig, journal: MemoryJournal | None = None) -> ArbitrageExecutionEngine:
    return ArbitrageExecutionEngine(
        rig.venues,
        rig.feed,
        [rig.basket],
        config=rig.config,
        journal=journal or rig.journal,
        pairs=PairBook.assumed(rig.table),
        books=rig.table.books,
    )


async def interrupted(session: Any, after_s: float) -> tuple[float, bool]:
    """Cancel a session after some time; return how long it then took, and whether it ended as cancelled."""
    task = asyncio.ensure_future(session)
    await asyncio.sleep(after_s)
    task.cancel()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(task, return_exceptions=True)
    return asyncio.get_running_loop().time() - began, task.cancelled()


def others() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_a_session_that_trades_to_its_end_is_flat() -> None:
    async def main() -> Exit:
        rig = Rig()
        engine = engine_of(rig)
        return await run_session(engine, partial(engine.scan_and_execute, MARKET, 1))

    assert virtual(main()) is Exit.FLAT


def test_a_session_that_cannot_keep_its_record_is_refused() -> None:
    class Broken(MemoryJournal):
        async def durable(self, *, reducing: bool = False) -> None:
            raise JournalError("the disk is gone")

    async def main() -> Exit:
        engine = engine_of(Rig(), Broken())
        return await run_session(engine, partial(engine.scan_and_execute, MARKET, 1))

    assert virtual(main()) is Exit.REFUSED


def test_a_session_whose_trading_fails_is_refused_and_stopped() -> None:
    async def main() -> tuple[Exit, list[str]]:
        async def broken() -> None:
            raise RuntimeError("a bug")

        return await run_session(engine_of(Rig()), broken), others()

    assert virtual(main()) == (Exit.REFUSED, [])


def test_fault_P4_a_cancelled_session_cancels_what_rests_before_it_ends() -> None:
    async def main() -> None:
        rig = Rig()
        engine = engine_of(rig)
        took, cancelled = await interrupted(run_session(engine, partial(engine.scan_and_execute, LIMIT, 1)), 1.0)
        assert cancelled
        assert took < 1.0
        statuses = [report.status.value for venue in rig.venues.values() for report in venue.orders.values()]
        assert statuses == ["cancelled", "cancelled"]
        assert engine.open() == ()
        assert others() == []

    virtual(main())


def test_fault_P4_a_session_ends_within_its_deadline_and_leaves_no_task_behind() -> None:
    async def main() -> None:
        rig = Rig()
        rig.beta.script(NO_B, *[Answer(lost="silence", status_lost=99, cancel_lost=99)] * 9)
        engine = engine_of(rig)
        session = run_session(engine, partial(engine.scan_and_execute, MARKET, 1), drain_s=0.5)
        took, _ = await interrupted(session, 1.0)
        assert took <= 0.6
        assert any("outside whole baskets" in line for line in engine.open())
        assert others() == []

    virtual(main())


def test_fault_U2_a_session_that_is_cancelled_twice_waits_no_longer_and_is_stopped_all_the_same() -> None:
    async def main() -> None:
        rig = Rig()
        rig.beta.script(NO_B, *[Answer(lost="silence", status_lost=99, cancel_lost=99)] * 9)
        engine = engine_of(rig)
        session = asyncio.ensure_future(run_session(engine, partial(engine.scan_and_execute, MARKET, 1)))
        await asyncio.sleep(1.0)
        session.cancel()
        await asyncio.sleep(0.5)
        assert not session.done()  # it waits for the hedge, twice T_hedge at most
        session.cancel()
        await asyncio.sleep(0.1)
        assert session.cancelled()
        assert engine.halted == "the engine is closing"
        assert any("outside whole baskets" in line for line in engine.open())

    virtual(main())


async def left_lopsided(rig: Rig) -> tuple[Fact, ...]:
    """Return the facts of an engine whose first leg was filled and whose second leg nobody answers for."""
    rig.beta.script(NO_B, *[Answer(lost="silence", status_lost=99, cancel_lost=99)] * 9)
    journal = MemoryJournal()
    engine = engine_of(rig, journal)
    await engine.start()
    trading = asyncio.ensure_future(engine.scan_and_execute(MARKET, 1))
    await asyncio.sleep(1.0)
    facts = journal.facts
    trading.cancel()
    await asyncio.gather(trading, return_exceptions=True)
    await engine.stop()
    return facts


def test_fault_P4_what_another_process_left_lopsided_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        rig = Rig(config=ExecutionConfig(hedge_timeout_s=30.0))
        past = await left_lopsided(rig)
        engine = engine_of(rig, kept(past))
        took, _ = await interrupted(run_session(engine, asyncio.Event().wait, past, drain_s=0.5), 1.0)
        assert took <= 0.6
        assert any("outside whole baskets" in line for line in engine.open())
        assert others() == []

    virtual(main())


def test_fault_P4_a_session_that_is_ended_before_it_took_over_does_not_call_the_past_flat() -> None:
    class Slow(MemoryJournal):
        async def durable(self, *, reducing: bool = False) -> None:
            await asyncio.sleep(2.0)

    async def main() -> None:
        rig = Rig()
        past = await left_lopsided(rig)
        engine = engine_of(rig, kept(past, Slow()))
        await interrupted(run_session(engine, asyncio.Event().wait, past, drain_s=0.5), 1.0)
        assert any("not taken up yet" in line for line in engine.open())

    virtual(main())


def kept(past: Iterable[Fact], journal: MemoryJournal | None = None) -> MemoryJournal:
    journal = journal or MemoryJournal()
    for fact in past:
        journal.append(fact.at, fact.fact, fact.key, **dict(fact.data))
    return journal
