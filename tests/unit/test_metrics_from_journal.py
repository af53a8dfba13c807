"""Every figure can be had from the journal alone, and is the same (I26)."""

from __future__ import annotations

import pytest

from arbkit.backtest.mock_platform import Answer
from arbkit.core.model import ExecutionStrategy
from arbkit.execution.recovery import replayed
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.fold import named_books
from arbkit.metrics import MetricsCollector
from arbkit.risk.limits import RiskManager
from tests.rig import NO_B, YES_A, Rig, virtual

SCRIPTS = {
    "whole": ([], []),
    "reduced": ([Answer(fill=70)], [Answer(fill=70)]),
    "unwound": ([], [Answer(reject="closed"), *[Answer(reject="closed")] * 200]),
    "escalated": ([], [Answer(lost="request")] * 200),
    "refused": ([], []),
    "missed": ([Answer(fill=0)], [Answer(fill=0)]),
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("strategy", ["MARKET", "HYBRID"])
def test_metrics_of_the_journal_are_those_of_the_engine(script: str, strategy: str) -> None:
    rig = Rig()
    for platform, name, answers in ((rig.alpha, YES_A, SCRIPTS[script][0]), (rig.beta, NO_B, SCRIPTS[script][1])):
        platform.script(name, *answers)
    engine = ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], journal=rig.journal, pairs=rig.pairs)

    async def main() -> None:
        await engine.start()
        opportunity = rig.opportunity()
        if script == "refused":
            rig.beta.set_book(NO_B)
        await engine.execute_opportunity(opportunity, ExecutionStrategy(strategy))
        await engine.stop()

    virtual(main())
    again = MetricsCollector()
    replayed(rig.journal.facts, named_books(rig.table.books), RiskManager(), again)
    assert again.get_recent_trades() == engine.metrics.get_recent_trades()
    assert again.get_summary() == engine.metrics.get_summary()
