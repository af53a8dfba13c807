"""One continuous world: the engine trades a whole tape with balances, locks and its own impact carried along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from arbkit.backtest.world import Replay
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Outcome, floor_value
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal

if TYPE_CHECKING:
    from arbkit.backtest.scan import ScanResult
    from arbkit.backtest.scenario import Scenario
    from arbkit.core.config import ExecutionConfig
    from arbkit.core.model import Basket
    from arbkit.history.tape import Tape


class Balance(NamedTuple):
    """What the account was worth after a trade ended, in millionths: free cash, and baskets held at their floor."""

    at: int
    cash: int
    locked: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A continuous run in integers. `counters`: seen refused skipped_busy skipped_cash, summing over episodes."""

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
) -> Portfolio:
    """Let the engine find and trade opportunities from the first row of the tape to the last.

    `scanned` is what a bystander saw: the episodes of the received books, the denominator of the counters.
    """
    journal = MemoryJournal()
    replay = Replay(tape, scanned.fees)
    world = replay.world(scenario, f"portfolio:{strategy.value}")
    engine = ArbitrageExecutionEngine(
        world.venues, world.feed, baskets, config=config, clock=world.clock, journal=journal
    )
    # An escalated trade halts entries until a person has looked at it; here that person answers at once, and the
    # result says so.
    seen_to = partial(_acknowledge, engine)
    results = tuple(world.run(engine.scan_and_execute(strategy, on_result=seen_to)))
    world.check()
    return Portfolio(results, _equity(world.opening_cash, results), _count(scanned, results), journal.digest())


def _acknowledge(engine: ArbitrageExecutionEngine, result: ExecutionResult) -> None:
    if result.outcome is Outcome.ESCALATED:
        engine.acknowledge(result.trade.id)


def _equity(opening: int, results: Sequence[ExecutionResult]) -> tuple[Balance, ...]:
    cash, locked, found = opening, 0, []
    for result in results:
        cash += result.cash
        held = min(leg.held for leg in result.trade.legs)
        locked += floor_value(result.trade.opportunity.basket, held)
        found.append(Balance(result.finished_at, cash, locked))
    return tuple(found)


def _count(scanned: ScanResult, results: Sequence[ExecutionResult]) -> dict[str, int]:
    """Say what became of every episode the bystander saw."""
    refused = sum(result.outcome is Outcome.REFUSED for result in results)
    short = sum(result.outcome is Outcome.REFUSED and "free cash" in result.reason for result in results)
    starts = np.array([result.started_at for result in results], np.int64)
    ends = np.array([result.finished_at for result in results], np.int64)
    busy = 0
    for start in scanned.start:
        at = int(np.searchsorted(starts, start, "left")) - 1
        busy += bool(at >= 0 and start <= ends[at])
    return {"seen": len(scanned.start), "refused": refused - short, "skipped_busy": busy, "skipped_cash": short}
