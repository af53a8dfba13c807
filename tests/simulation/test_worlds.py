"""The whole engine in simulated worlds: equal to counting by hand, and the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbkit.backtest.compare import run_each
from arbkit.backtest.markouts import HORIZONS_MS
from arbkit.backtest.run import run_portfolio
from arbkit.backtest.scan import ScanResult, sample_tape, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import Basket, ExecutionStrategy, Outcome, Purpose
from arbkit.core.units import MICRO, NS_PER_S, Cash
from arbkit.detection.baskets import baskets
from arbkit.fees import rule
from arbkit.history.importers import import_recording
from arbkit.history.tape import Tape, read_tape
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal
from tests.builders import shares

DATA = Path(__file__).resolve().parents[2] / "data"
MARKET, LIMIT, HYBRID = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT, ExecutionStrategy.HYBRID
NO_SLIP = ExecutionConfig(max_slippage=0.0, edge="gross", max_exposure=1e6)


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Synthetic flow on two markets of one event, with prints and both clocks."""
    whole = read_tape(DATA / "synthetic_two_market")
    start = int(whole.rows.ts_recv[0])
    return whole.slice(start, start + 240 * NS_PER_S)


@pytest.fixture(scope="module")
def found(tape: Tape) -> list[Basket]:
    return baskets(tape)


@pytest.fixture(scope="module")
def seen(tape: Tape, found: list[Basket]) -> ScanResult:
    return scan_tape(
        tape,
        found,
        min_edge=Cash(100),
        gross=True,
        max_size=shares(100),
        max_exposure=Cash(10**12),
        fees={book.index: rule("none") for book in tape.markets.books},
    )


@pytest.mark.parametrize("entry_ms", [0.0, 20.0, 150.0, 900.0])
def test_market_without_slippage_completes_what_counting_finds_still_there(
    tape: Tape, seen: ScanResult, entry_ms: float
) -> None:
    scenario = Scenario(entry_ms=entry_ms, reply_ms=10)
    opportunities, (cell,) = run_each(tape, seen, [(MARKET, scenario)], NO_SLIP)
    completed = tuple(result.outcome is Outcome.COMPLETED for result in cell.results)
    print(f"{entry_ms:g} ms: {sum(completed)} of {len(opportunities)} completed")
    assert len(completed) > 30
    assert completed == cell.executable
    (counted,) = [catch.stood for catch in cell.catches if catch.latency_ms == entry_ms]
    assert counted == completed


@pytest.mark.parametrize("strategy", [MARKET, LIMIT, HYBRID])
def test_the_parts_of_every_shortfall_add_up_and_without_undoing_there_is_none(
    tape: Tape, seen: ScanResult, strategy: ExecutionStrategy
) -> None:
    opportunities, (cell,) = run_each(tape, seen, [(strategy, Scenario(entry_ms=80.0))], ExecutionConfig(edge="gross"))
    for opportunity, result, split in zip(opportunities, cell.results, cell.splits, strict=True):
        assert split.total == opportunity.edge - result.pnl
        undone = any(order.purpose is not Purpose.ENTRY for leg in result.trade.legs for order in leg.orders)
        assert bool(split.undoing) <= (undone or result.outcome is Outcome.ESCALATED), result.trade.id
        if result.outcome is Outcome.COMPLETED:
            assert split.unfilled == 0
    fills = [f for r in cell.results for leg in r.trade.legs for o in leg.entries() for f in o.standing]
    assert len(cell.markouts) == len(fills) * len(HORIZONS_MS) > 100


def test_on_real_books_a_study_completes_what_counting_finds_still_there() -> None:
    """One-second snapshots of real markets, both outcomes recorded, decisions every 20 s between two rows."""
    real = read_tape(DATA / "resolvedkit_sample")
    legs = baskets(real)
    studied = sample_tape(
        real, legs, 20 * NS_PER_S, gross=True, max_size=shares(100), max_exposure=Cash(10**12), fees=None
    )
    config = ExecutionConfig(max_slippage=0.0, edge="gross", min_edge=-0.99, max_exposure=1e6)
    _, (cell,) = run_each(real, studied, [(MARKET, Scenario(entry_ms=1_000, reply_ms=10))], config)
    completed = tuple(result.outcome is Outcome.COMPLETED for result in cell.results)
    print(f"{sum(completed)} of {len(completed)} completed a second later")
    assert completed == cell.executable
    assert 0 < sum(completed) < len(completed)


def one(replay, at, opportunity, strategy, scenario, config, chunk_rows=200_000):  # type: ignore[no-untyped-def]
    """One opportunity in a fresh world; its result and its journal."""
    journal = MemoryJournal()
    world = replay.world(scenario, opportunity.id, at=at, chunk_rows=chunk_rows)
    engine = ArbitrageExecutionEngine(
        world.venues, world.feed, (opportunity.basket,), config=config, clock=world.clock, journal=journal
    )
    result = world.run(engine.execute_opportunity(opportunity, strategy))
    world.check()
    return result, journal.digest()


@pytest.mark.real_data
@pytest.mark.parametrize("entry_ms", [0.0, 50.0, 1_000.0])
def test_on_a_recorded_game_market_completes_what_counting_finds_still_there(
    real_data: Path, tmp_path: Path, entry_ms: float
) -> None:
    """Both teams' markets of one Kalshi game, one clock, prints, a wild quarter of an hour."""
    files = [real_data / "arbitrage-betting" / f"Kalshi_{team}_JAN07_WIN.csv.gz" for team in ("NYK", "LAC")]
    import_recording(
        [str(file) for file in files], tmp_path / "game", markets=DATA.parent / "tests/data/markets/nyk_lac.toml"
    )
    game = read_tape(tmp_path / "game")
    episodes = scan_tape(
        game, baskets(game), min_edge=Cash(100), gross=True, max_size=shares(100), max_exposure=Cash(10**12), fees=None
    )
    _, (cell,) = run_each(game, episodes, [(MARKET, Scenario(entry_ms=entry_ms))], NO_SLIP)
    completed = tuple(result.outcome is Outcome.COMPLETED for result in cell.results)
    print(f"{entry_ms:g} ms: {sum(completed)} of {len(completed)} completed")
    assert len(completed) > 5
    assert completed == cell.executable


@pytest.mark.parametrize("strategy", [MARKET, LIMIT, HYBRID])
def test_journals_are_the_same_whatever_the_size_of_a_chunk(
    tape: Tape, seen: ScanResult, strategy: ExecutionStrategy
) -> None:
    replay = Replay(tape, seen.fees)
    scenario = Scenario(jitter=0.3, seed=4)
    outcomes = set()
    for opportunity, row in list(zip(seen.opportunities(), seen.start_row.tolist(), strict=True))[:25]:
        replay.forward(row)
        told = {
            chunk: one(replay, None, opportunity, strategy, scenario, ExecutionConfig(), chunk)
            for chunk in (3, 50, 200_000)
        }
        assert told[3] == told[50] == told[200_000]
        outcomes.add(told[3][0].outcome)
    assert len(outcomes) > 1


def test_a_seed_changes_jittered_worlds_and_nothing_else_does(tape: Tape, seen: ScanResult) -> None:
    def journals(seed: int) -> str:
        _, (cell,) = run_each(tape, seen, [(HYBRID, Scenario(jitter=0.5, seed=seed))], ExecutionConfig())
        return cell.journal

    assert journals(1) == journals(1)
    assert journals(1) != journals(2)


def test_strategies_meet_the_same_network(tape: Tape, seen: ScanResult) -> None:
    """Alone or among others, every strategy has the same fate: no draw is shared."""
    scenario = Scenario(jitter=0.5, seed=1)
    _, together = run_each(tape, seen, [(s, scenario) for s in (MARKET, LIMIT, HYBRID)], ExecutionConfig())
    for cell in together:
        _, (alone,) = run_each(tape, seen, [(cell.strategy, scenario)], ExecutionConfig())
        assert alone.journal == cell.journal


@pytest.mark.parametrize("strategy", [MARKET, LIMIT, HYBRID])
def test_one_continuous_world_conserves_every_dollar(
    tape: Tape, found: list[Basket], seen: ScanResult, strategy: ExecutionStrategy
) -> None:
    config = ExecutionConfig(max_size=20.0)
    run = run_portfolio(tape, seen, found, strategy, config, Scenario(balances=500.0))
    again = run_portfolio(tape, seen, found, strategy, config, Scenario(balances=500.0))
    assert run.journal == again.journal
    assert len(run.results) > 10
    assert [result.started_at for result in run.results] == sorted(result.started_at for result in run.results)
    assert all(balance.cash >= 0 for balance in run.equity)
    assert run.equity[-1].cash <= 500 * MICRO


def test_the_continuous_world_trades_the_episodes_the_scan_saw(
    tape: Tape, found: list[Basket], seen: ScanResult
) -> None:
    """Its own impact makes new ones, so not all; but without any trade the two tell the same."""
    run = run_portfolio(tape, seen, found, MARKET, ExecutionConfig(edge="gross"), Scenario())
    known = {opportunity.id for opportunity in seen.opportunities()}
    traded = [result.trade.opportunity.id for result in run.results]
    print(f"{sum(name in known for name in traded)} of {len(traded)} trades were of episodes a bystander saw")
    assert sum(name in known for name in traded) > len(traded) // 2
