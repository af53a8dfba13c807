"""One seed, one journal: whatever the process, its hash seed, the size of a chunk, or who else is compared."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import arbkit as ak
from arbkit.backtest.compare import Cell, run_each
from arbkit.backtest.scan import ScanResult, sample_tape, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.simulated_venue import SimulatedVenue
from arbkit.backtest.world import Replay
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Fill, Order, OrderReport
from arbkit.core.units import MICRO, NS_PER_MS, Cash
from arbkit.fees import rule
from arbkit.history.synthetic import SyntheticSpec
from arbkit.history.tape import Tape
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal
from tests.builders import replace, shares

ROOT = Path(__file__).resolve().parents[2]
MARKET, LIMIT, HYBRID = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT, ExecutionStrategy.HYBRID
SPEC = SyntheticSpec(minutes=1.0, episodes=12, life_tail=8.0)
BOUNDS = {"max_size": shares(100), "max_exposure": Cash(250 * MICRO)}
CONFIG = ExecutionConfig(limit_timeout_s=2.0, edge="gross")


@pytest.fixture(scope="module")
def tape() -> Tape:
    """A minute of synthetic flow, with prints and both clocks."""
    return ak.synthetic_tape(SPEC, 11)


@pytest.fixture(scope="module")
def seen(tape: Tape) -> ScanResult:
    fees = {book.index: rule("none") for book in tape.markets.books}
    found = scan_tape(tape, ak.baskets(tape), min_edge=Cash(100), gross=True, fees=fees, **BOUNDS)
    assert len(found) >= 10
    return found


# -- processes -----------------------------------------------------------------------------------------------

SCRIPT = """
import json
import arbkit as ak
from arbkit.history.synthetic import SyntheticSpec

tape = ak.synthetic_tape(SyntheticSpec(minutes=1.0, episodes=12, life_tail=8.0), 11)
found = ak.compare(
    tape, ak.baskets(tape), edge="gross", assume_fees="none", latencies_ms=(20, 200), seeds=2,
    scenario=ak.Scenario(jitter=0.3),
)
cells = (*found.raw.cells, *found.raw.sensitivity)
print(json.dumps({
    "order": list({"a", "b", "c", "d", "e"}),
    "tape": tape.digest,
    "journals": [[c.strategy, c.latency_ms, c.seed, c.queue, c.consumption, c.journal] for c in cells],
    "table": found.table.to_json(),
    "baskets": [basket.id for basket in ak.baskets(tape)],
}))
"""


def elsewhere(hash_seed: str, folder: Path) -> dict[str, object]:
    """Run the comparison in a process of its own, in a folder of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def test_two_processes_with_different_hash_seeds_write_the_same_journals(tmp_path: Path) -> None:
    first, second = (elsewhere(seed, tmp_path) for seed in ("1", "4242"))
    assert first.pop("order") != second.pop("order")  # sets do come in another order there
    assert first == second
    journals = [cell[-1] for cell in first["journals"]]  # type: ignore[attr-defined]
    assert len(journals) > 12
    assert len(set(journals)) > 10


# -- chunks --------------------------------------------------------------------------------------------------

CHUNKS = (1, 7, 200_000)


def test_a_scan_sees_the_same_whatever_the_size_of_a_chunk(tape: Tape) -> None:
    def seen_in(chunk: int) -> tuple[object, ...]:
        common = {"gross": True, "fees": None, "chunk_rows": chunk, **BOUNDS}
        episodes = scan_tape(tape, ak.baskets(tape), min_edge=Cash(-10_000), rearm_ns=0, **common)  # type: ignore[arg-type]
        study = sample_tape(tape, ak.baskets(tape), 500 * NS_PER_MS, **common)  # type: ignore[arg-type]
        return *episodes.opportunities(), *episodes.end.tolist(), *study.opportunities()

    first, *others = [seen_in(chunk) for chunk in CHUNKS]
    assert len(first) > 100
    assert all(other == first for other in others)


def told(
    tape: Tape, seen: ScanResult, strategy: ExecutionStrategy, scenario: Scenario, chunk: int
) -> list[tuple[ExecutionResult, str]]:
    """Run every opportunity in a world whose matcher reads so many rows at a time."""
    replay, found = Replay(tape, seen.fees), []
    for opportunity, row in zip(seen.opportunities(), seen.start_row.tolist(), strict=True):
        replay.forward(row)
        world, journal = replay.world(scenario, opportunity.id, chunk_rows=chunk), MemoryJournal()
        engine = ArbitrageExecutionEngine(
            world.venues, world.feed, (opportunity.basket,), config=CONFIG, clock=world.clock, journal=journal
        )
        found.append((world.run(engine.execute_opportunity(opportunity, strategy)), journal.digest()))
        world.check()
    return found


@pytest.mark.parametrize("strategy", [MARKET, LIMIT, HYBRID])
@pytest.mark.parametrize("queue", ["risk-averse", "front"])
def test_the_matcher_writes_the_same_journal_whatever_the_size_of_a_chunk(
    tape: Tape, seen: ScanResult, strategy: ExecutionStrategy, queue: str
) -> None:
    scenario = Scenario(queue=queue, jitter=0.3, entry_ms=80.0, seed=5)
    first, *others = [told(tape, seen, strategy, scenario, chunk) for chunk in CHUNKS]
    assert all(other == first for other in others)
    assert any(order.fills for result, _ in first for leg in result.trade.legs for order in leg.orders)


# -- draws ---------------------------------------------------------------------------------------------------


def fills(result: ExecutionResult) -> list[tuple[str, Fill]]:
    return [(order.client_id, fill) for leg in result.trade.legs for order in leg.orders for fill in order.fills]


def all_fills(cell: Cell) -> list[list[tuple[str, Fill]]]:
    return [fills(result) for result in cell.results]


def test_who_else_is_compared_moves_no_draw(tape: Tape, seen: ScanResult) -> None:
    """MARKET alone, first, last or between the others, under several seeds: the same fills to the nanosecond."""
    scenarios = [Scenario(jitter=0.3, seed=seed) for seed in range(4)]
    journals = set()
    for scenario in scenarios:
        _, (alone,) = run_each(tape, seen, [(MARKET, scenario)], CONFIG)
        assert any(all_fills(alone))
        for line_up in ([MARKET, LIMIT, HYBRID], [HYBRID, LIMIT, MARKET], [LIMIT, MARKET]):
            _, cells = run_each(tape, seen, [(strategy, scenario) for strategy in line_up], CONFIG)
            among = cells[line_up.index(MARKET)]
            assert all_fills(among) == all_fills(alone)
            assert among == alone
        journals.add(alone.journal)
    assert len(journals) == len(scenarios)


def test_a_seed_is_the_same_alone_and_among_others(tape: Tape) -> None:
    def compared(seeds: int, first: int) -> Mapping[int, str]:
        found = ak.compare(
            tape, ak.baskets(tape), ["HYBRID"], edge="gross", assume_fees="none", seeds=seeds,
            scenario=Scenario(jitter=0.3, seed=first),
        )  # fmt: skip
        return {cell.seed: cell.journal for cell in found.raw.cells}

    together = compared(3, 0)
    assert {**compared(1, 0), **compared(1, 1), **compared(1, 2)} == together
    assert len(set(together.values())) == 3


class Inquisitive:
    """A venue that is also asked, with every order, about one that does not exist: one message more each way."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.venue, self.answers = venue, list[asyncio.Task[OrderReport]]()

    def __getattr__(self, name: str) -> object:
        return getattr(self.venue, name)

    async def submit(self, order: Order) -> OrderReport:
        stranger = replace(order, client_id=f"not-{order.client_id}")
        self.answers.append(asyncio.ensure_future(self.venue.status(stranger)))
        return await self.venue.submit(order)


@pytest.mark.parametrize("strategy", [MARKET, LIMIT, HYBRID])
def test_one_more_message_changes_no_fill(tape: Tape, seen: ScanResult, strategy: ExecutionStrategy) -> None:
    asked = 0
    for seed in range(3):
        scenario = Scenario(jitter=0.3, seed=seed)
        replay = Replay(tape, seen.fees)
        plain = [fills(result) for result, _ in told(tape, seen, strategy, scenario, 200_000)]
        curious = []
        for opportunity, row in zip(seen.opportunities(), seen.start_row.tolist(), strict=True):
            replay.forward(row)
            world = replay.world(scenario, opportunity.id)
            venues = {name: Inquisitive(venue) for name, venue in world.venues.items()}
            engine = ArbitrageExecutionEngine(
                venues, world.feed, (opportunity.basket,), config=CONFIG, clock=world.clock, journal=MemoryJournal()
            )  # type: ignore[arg-type]
            curious.append(fills(world.run(engine.execute_opportunity(opportunity, strategy))))
            world.check()
            asked += sum(len(venue.answers) for venue in venues.values())
        assert any(plain)
        assert curious == plain
    assert asked > 50
