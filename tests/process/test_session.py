"""The session around an engine, in virtual time: it ends when it was told to, says what is left and leaves nobody behind."""
# ruff: noqa: N802 - fault tests carry the id of the fault

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from arbkit.backtest.mock_platform import Answer
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import JournalError
from arbkit.core.model import ExecutionStrategy
from arbkit.core.ports import Journal
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import Fact, MemoryJournal
from arbkit.journal.store import JournalFile, read_journal
from arbkit.risk.pairs import PairBook
from arbkit.wiring.session import Exit, run_session
from arbkit.wiring.settings import read_settings
from tests.rig import NO_B, Rig, virtual

MARKET, LIMIT = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT


def engine_of(rig: Rig, journal: Journal | None = None, **more: Any) -> ArbitrageExecutionEngine:
    return ArbitrageExecutionEngine(
        rig.venues,
        rig.feed,
        [rig.basket],
        config=rig.config,
        journal=journal or rig.journal,
        pairs=PairBook.assumed(rig.table),
        books=rig.table.books,
        **more,
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


# -- on a real journal -----------------------------------------------------------------------------------------------


def account_journal(folder: Path, **settings: Any) -> JournalFile:
    return JournalFile(folder / "a.journal", locks=folder / "locks", ballast=4096, **{"account": "main", **settings})


async def traded(rig: Rig, journal: JournalFile, **more: Any) -> tuple[Exit, ArbitrageExecutionEngine]:
    """Run a session of one trade, given its journal and nothing of its past."""
    engine = engine_of(rig, journal, **more)

    async def trading() -> None:
        await engine.execute_opportunity(rig.opportunity("40"), MARKET)

    return await run_session(engine, trading), engine


async def test_a_session_takes_up_what_its_journal_holds_without_being_given_it(tmp_path: Path) -> None:
    rig = Rig()
    ledgers = []
    for _ in range(2):
        with account_journal(tmp_path) as journal:
            code, engine = await traded(rig, journal)
            assert code is Exit.FLAT
            ledgers.append(dict(engine.ledger.shares))
    assert ledgers == [{"alpha:m:yes": (n + 1) * 40_000_000, "beta:m:no": (n + 1) * 40_000_000} for n in range(2)]
    facts = list(read_journal(tmp_path / "a.journal"))
    assert len([fact for fact in facts if fact.fact == "account.opened"]) == 2  # once for each venue
    assert [fact.key for fact in facts if fact.fact == "session.started"] == ["main", "main"]
    assert len({fact.key for fact in facts if fact.fact == "trade.planned"}) == 2


async def test_fault_G5_a_session_by_the_settings_of_another_account_or_environment_enters_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "arbkit.toml").write_text('account = "main"\njournal = "a.journal"\n')
    found = read_settings(tmp_path / "arbkit.toml")
    for other in ({"account": "other"}, {"environment": "demo"}):
        folder = tmp_path / "-".join(other)
        with account_journal(folder, **other) as journal:
            rig = Rig()
            engine = engine_of(rig, journal)
            assert (
                await run_session(engine, partial(engine.scan_and_execute, MARKET, 1), settings=found) is Exit.REFUSED
            )
            assert not [order for venue in rig.venues.values() for order in venue.orders]
            assert list(journal.facts) == []
    with account_journal(tmp_path) as journal:
        engine = engine_of(Rig(), journal)
        assert await run_session(engine, partial(asyncio.sleep, 0), settings=found) is Exit.FLAT
        (started,) = [fact for fact in journal.facts if fact.fact == "session.started"]
        assert (started.key, started.get("config")) == ("main", found.hash)


async def test_fault_G5_a_live_venue_is_not_traded_at_on_a_journal_of_paper(tmp_path: Path) -> None:
    rig = Rig()
    for venue in rig.venues.values():
        venue.live = True
    with account_journal(tmp_path) as journal:
        code, _ = await traded(rig, journal, paper_mode=False)
        assert code is Exit.REFUSED
        assert not [order for venue in rig.venues.values() for order in venue.orders]
        assert list(journal.facts) == []


def kept(past: Iterable[Fact], journal: MemoryJournal | None = None) -> MemoryJournal:
    journal = journal or MemoryJournal()
    for fact in past:
        journal.append(fact.at, fact.fact, fact.key, **fact.data)
    return journal
