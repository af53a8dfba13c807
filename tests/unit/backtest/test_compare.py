"""The same decisions in fresh worlds, on a tape with three known episodes."""

from collections.abc import Callable

import pytest

from arbkit.backtest.compare import Cell, at_latency, run_each
from arbkit.backtest.scan import ScanResult, sample_tape, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import InvariantViolation
from arbkit.core.model import ArbitrageOpportunity, ExecutionStrategy, MarketTable, Outcome
from arbkit.core.units import MICRO, NS_PER_MS, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.tape import Tape
from tests.builders import ASK, TapeBuilder, a_market, a_table, ms, shares

KNOWN = {
    "event": "game", "payout": Cash(MICRO), "exclusive": True, "exhaustive": True, "void": "half",
    "lot": Size(MICRO), "min_size": Size(MICRO),
}  # fmt: skip
MARKET, LIMIT, HYBRID = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT, ExecutionStrategy.HYBRID
GROSS = ExecutionConfig(edge="gross", max_slippage=0.0)
STEADY = Scenario(queue="through", entry_ms=50.0, reply_ms=50.0)
LIVES = (400, 30, 400)  # ms for which 0.50 + 0.49 stood, once every ten seconds


def game() -> MarketTable:
    return a_table(a_market("a", **KNOWN), a_market("b", **KNOWN))


@pytest.fixture(scope="module")
def tape() -> Tape:
    builder = TapeBuilder(game()).snapshot(0, [(30, 9)], [(52, 9)]).snapshot(1, [(30, 9)], [(49, 20)], book=2)
    for n, life in enumerate(LIVES, 1):
        builder.level(10_000 * n, ASK, 50, 5).level(10_000 * n + life, ASK, 50, 0)
    return builder.mark(60_000).tape()


def scanned(tape: Tape, feed_ms: float = 0.0, **more: object) -> ScanResult:
    asked: dict[str, object] = {"min_edge": Cash(100), "gross": True, "feed_ns": round(feed_ms * NS_PER_MS), **more}
    return scan_tape(
        tape, baskets(tape, ["outcomes"])[:1], max_size=shares(100), max_exposure=Cash(250 * MICRO), fees=None, **asked
    )  # type: ignore[arg-type]


def run(
    tape: Tape, *requests: tuple[ExecutionStrategy, Scenario], progress: Callable[[int, int], None] | None = None
) -> tuple[tuple[ArbitrageOpportunity, ...], tuple[Cell, ...]]:
    return run_each(tape, scanned(tape, requests[0][1].feed_ms), requests, GROSS, progress)


def outcomes(cell: Cell) -> list[str]:
    return [result.outcome.value for result in cell.results]


def test_market_completes_where_the_tape_says_that_it_could(tape: Tape) -> None:
    opportunities, (cell,) = run(tape, (MARKET, STEADY))
    assert [o.detected_at for o in opportunities] == [ms(10_000), ms(20_000), ms(30_000)]
    assert cell.executable == (True, False, True)
    assert [result.outcome is Outcome.COMPLETED for result in cell.results] == list(cell.executable)


@pytest.mark.parametrize(("delay", "expected"), [(29.999, True), (30.0, False), (399.0, False)])
def test_an_order_that_arrives_with_the_change_comes_after_it(tape: Tape, delay: float, expected: bool) -> None:
    _, (cell,) = run(tape, (MARKET, at_latency(STEADY, delay)))
    assert cell.executable[1] is expected
    assert (cell.results[1].outcome is Outcome.COMPLETED) is expected


@pytest.mark.parametrize("scenario", [{"decide_ms": 380.0}, {"feed_ms": 380.0}, {"feed_ms": 20.0, "decide_ms": 5.0}])
def test_late_knowledge_and_slow_thought_delay_the_arrival_alike(tape: Tape, scenario: dict[str, float]) -> None:
    slow = Scenario(queue="through", entry_ms=10.0, reply_ms=10.0, **scenario)  # type: ignore[arg-type]
    opportunities, (cell,) = run(tape, (MARKET, slow))
    late = sum(scenario.values()) + 10.0
    assert cell.executable == tuple(life > late for life in LIVES)
    assert [result.outcome is Outcome.COMPLETED for result in cell.results] == list(cell.executable)
    assert opportunities[0].detected_at == ms(10_000) + round(scenario.get("feed_ms", 0) * NS_PER_MS)
    assert cell.results[0].started_at == opportunities[0].detected_at


def test_a_scan_of_another_feed_lag_is_a_bug_that_is_told(tape: Tape) -> None:
    with pytest.raises(InvariantViolation, match="cannot know"):
        run_each(tape, scanned(tape), [(MARKET, Scenario(queue="through", feed_ms=100.0))], GROSS)


def test_a_study_decides_at_its_own_times(tape: Tape) -> None:
    study = sample_tape(
        tape, baskets(tape, ["outcomes"])[:1], 10_100 * NS_PER_MS, gross=True,
        max_size=shares(100), max_exposure=Cash(250 * MICRO), fees=None,
    )  # fmt: skip
    lowered = ExecutionConfig(edge="gross", min_edge=-1.0, max_slippage=0.0)
    opportunities, (cell,) = run_each(tape, study, [(MARKET, at_latency(STEADY, 100.0))], lowered)
    assert [o.detected_at - ms(0) for o in opportunities] == [n * 10_100 * NS_PER_MS for n in range(1, 6)]
    assert [result.started_at for result in cell.results] == [o.detected_at for o in opportunities]
    assert [result.outcome is Outcome.COMPLETED for result in cell.results] == list(cell.executable)


def test_worlds_carry_nothing_over(tape: Tape) -> None:
    """Alone or among others, in whatever order: each cell is the same to the last fact of its journals."""
    fast, slow = at_latency(STEADY, 20.0), at_latency(STEADY, 100.0)
    requests = [(MARKET, fast), (LIMIT, fast), (HYBRID, slow), (MARKET, slow)]
    _, together = run(tape, *requests)
    _, reversed_ = run(tape, *reversed(requests))
    alone = [run(tape, request)[1][0] for request in requests]
    assert list(together) == list(reversed_)[::-1] == alone


def test_a_cell_says_what_it_ran_under(tape: Tape) -> None:
    _, (cell,) = run(tape, (LIMIT, Scenario(queue="through", consumption="hopeful", entry_ms=30.0, seed=4)))
    assert (cell.strategy, cell.latency_ms, cell.seed) == (LIMIT, 30.0, 4)
    assert (cell.queue, cell.consumption) == ("through", "hopeful")
    assert len(cell.results) == len(cell.executable) == 3


def test_progress_is_told_after_every_opportunity(tape: Tape) -> None:
    told: list[tuple[int, int]] = []
    run(tape, (MARKET, STEADY), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def interrupt_after(k: int) -> Callable[[int, int], None]:
    def progress(done: int, _: int) -> None:
        if done == k:
            raise KeyboardInterrupt

    return progress


def test_interrupted_it_keeps_what_is_whole(tape: Tape) -> None:
    whole, cells = run(tape, (MARKET, STEADY), (LIMIT, STEADY))
    first, partial = run(tape, (MARKET, STEADY), (LIMIT, STEADY), progress=interrupt_after(2))
    assert first == whole[:2]
    assert [cell.results for cell in partial] == [cell.results[:2] for cell in cells]
    assert [cell.executable for cell in partial] == [cell.executable[:2] for cell in cells]


def test_interrupted_before_anything_is_whole_it_ends(tape: Tape) -> None:
    class Impatient(Scenario):
        def balance(self, venue: str) -> Cash:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tape, (MARKET, Impatient(queue="through")))


def test_without_an_opportunity_there_are_empty_cells(tape: Tape) -> None:
    nothing = scanned(tape, min_edge=Cash(500_000))
    opportunities, (cell,) = run_each(tape, nothing, [(MARKET, STEADY)], GROSS)
    assert (opportunities, cell.results, cell.executable, cell.markouts) == ((), (), (), ())


def test_a_latency_is_that_of_both_ways() -> None:
    both = at_latency(Scenario(decide_ms=3.0), 77.0)
    assert (both.entry_ms, both.reply_ms, both.decide_ms) == (77.0, 77.0, 3.0)
