"""One continuous world: the engine trades a whole tape with balances, locks and its own impact carried along."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from arbkit.backtest.equity import Balance, balances
from arbkit.backtest.terms import resolutions
from arbkit.backtest.world import Replay
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Outcome
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal
from arbkit.risk.pairs import PairBook

if TYPE_CHECKING:
    from arbkit.backtest.scan import ScanResult
    from arbkit.backtest.scenario import Scenario
    from arbkit.core.config import ExecutionConfig
    from arbkit.core.model import Basket
    from arbkit.history.tape import Tape


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A continuous run in integers. `equity` opens with the tape and goes on as trades end and markets resolve and pay.

    `counters`: `seen` episodes of a bystander; `refused` decisions, those for want of cash apart in `skipped_cash`;
    `skipped_busy` episodes that no decision answers and that began while a trade was running.
    """

    results: tuple[ExecutionResult, ...]
    equity: tuple[Balance, ...]
    counters: dict[str, int]
    journal: str


def run_portfolio(
    tape: Tape,
    scanned: ScanResult,
    baskets: Sequence[Basket],
    strategy: ExecutionStrategy,
    config: ExecutionConfig,
    scenario: Scenario,
    rearm_s: float = 1.0,
) -> Portfolio:
    """Let the engine find and trade opportunities from the first row of the tape to the last.

    `scanned` is what a bystander saw: the episodes of the received books, the denominator of the counters. The
    engine judges edges as `config.edge` says and leaves a basket alone for `rearm_s` after it was tried (not 0).
    """
    journal = MemoryJournal()
    replay = Replay(tape, scanned.fees)
    world = replay.world(scenario, f"portfolio:{strategy.value}", gross=config.edge == "gross")
    engine = ArbitrageExecutionEngine(
        world.venues,
        world.feed,
        baskets,
        config=config,
        clock=world.clock,
        journal=journal,
        rearm_s=rearm_s,
        pairs=PairBook.assumed(tape.markets),
    )
    opening = Balance(replay.now + scenario.feed_ns, world.opening_cash, 0)
    # An escalated trade halts entries until a person has looked at it; here that person answers at once, and the
    # result says so.
    seen_to = partial(_acknowledge, engine)
    results = tuple(world.run(engine.scan_and_execute(strategy, on_result=seen_to)))
    world.check()
    end = max(int(tape.rows.ts_recv.max()), int(tape.venue_time.max())) if len(tape) else 0
    equity = balances(opening, results, resolutions(tape), world.paid(end))
    return Portfolio(results, equity, _count(scanned, results), journal.digest())


def _acknowledge(engine: ArbitrageExecutionEngine, result: ExecutionResult) -> None:
    if result.outcome is Outcome.ESCALATED:
        engine.acknowledge(result.trade.id)


def _count(scanned: ScanResult, results: Sequence[ExecutionResult]) -> dict[str, int]:
    """Say what became of every episode the bystander saw."""
    refused = sum(result.outcome is Outcome.REFUSED for result in results)
    short = sum(result.outcome is Outcome.REFUSED and "free cash" in result.reason for result in results)
    starts, ends = [result.started_at for result in results], [result.finished_at for result in results]
    busy = 0
    for episode in _unanswered(scanned, results):
        at = bisect_right(starts, int(scanned.start[episode])) - 1
        busy += at >= 0 and int(scanned.start[episode]) <= ends[at]
    return {"seen": len(scanned), "refused": refused - short, "skipped_busy": busy, "skipped_cash": short}


def _unanswered(scanned: ScanResult, results: Sequence[ExecutionResult]) -> list[int]:
    """Return the episodes that no decision answers; one answers the newest episode of its basket at or before it."""
    starts: dict[str, list[tuple[int, int]]] = {}
    for episode, (basket, start) in enumerate(zip(scanned.basket.tolist(), scanned.start.tolist(), strict=True)):
        starts.setdefault(scanned.baskets[basket].id, []).append((start, episode))
    left = dict.fromkeys(range(len(scanned)))
    for result in results:
        own = result.trade.opportunity
        mine = starts.get(own.basket.id, [])
        at = bisect_right(mine, (own.detected_at, len(scanned))) - 1
        if at >= 0:
            left.pop(mine[at][1], None)
    return list(left)
