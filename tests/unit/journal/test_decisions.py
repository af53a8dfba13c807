"""What a decision costs on a real disk: one flush before all of its legs, and none of them before it."""

from __future__ import annotations

from pathlib import Path

from arbkit.core.model import ExecutionStrategy, Order, OrderReport, Outcome
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.store import JournalFile, read_journal
from tests.rig import Rig


async def test_all_legs_of_a_decision_share_one_flush_and_leave_after_it(tmp_path: Path) -> None:
    rig = Rig()
    path = tmp_path / "j"
    with JournalFile(path, account="a", locks=tmp_path / "locks") as journal:
        engine = ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], journal=journal, pairs=rig.pairs)
        await engine.start(journal.facts)
        before = journal.flushes
        flushes: list[int] = []
        on_disk: list[bool] = []
        for platform in rig.venues.values():
            submit = platform.submit

            async def seen(order: Order, submit=submit) -> OrderReport:  # type: ignore[no-untyped-def]
                flushes.append(journal.flushes - before)
                kept = {fact.key for fact in read_journal(path) if fact.fact == "order.intent"}
                on_disk.append(order.client_id in kept)
                return await submit(order)  # type: ignore[no-any-return]

            platform.submit = seen  # type: ignore[method-assign]
        result = await engine.execute_opportunity(rig.opportunity("10"), ExecutionStrategy.MARKET)
        assert result.outcome is Outcome.COMPLETED
        assert flushes == [1, 1]
        assert on_disk == [True, True]
        await engine.stop()
        assert engine.checkpoint() == replayed_checkpoint(read_journal(path), rig.table.books)
