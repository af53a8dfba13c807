"""Why a trade earned less: the engine itself, on tapes in which the price moves by a known amount at a known time."""

from dataclasses import replace

import pytest

from arbkit.backtest.compare import CATCH_MS, Cell, run_each
from arbkit.backtest.scan import scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.shortfall import Split
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionStrategy, Outcome
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, shares

KNOWN = {
    "event": "game", "payout": Cash(MICRO), "exclusive": True, "exhaustive": True, "void": "half",
    "lot": Size(MICRO), "min_size": Size(MICRO),
}  # fmt: skip
MARKET, LIMIT = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT
LOOSE = ExecutionConfig(edge="gross", max_slippage=0.05, protect_edge=False, limit_timeout_s=1.0)
STEADY = Scenario(queue="through", entry_ms=50.0, reply_ms=50.0)


def game() -> TapeBuilder:
    """0.46 + 0.50 buy a dollar; ten shares stand at the first, a hundred at all others."""
    first = TapeBuilder(a_table(a_market("a", **KNOWN), a_market("b", **KNOWN)))
    first.snapshot(0, [(44, 100)], [(52, 100)]).snapshot(0, [(48, 100)], [(50, 100)], book=2)
    return first.level(1_000, ASK, 46, 10)


def one(tape: Tape, strategy: ExecutionStrategy = MARKET, config: ExecutionConfig = LOOSE) -> Cell:
    """The one decision of a tape, at a second."""
    found = scan_tape(
        tape, baskets(tape, ["outcomes"])[:1], min_edge=Cash(100), gross=True, max_size=shares(10),
        max_exposure=Cash(250 * MICRO), fees=None,
    )  # fmt: skip
    (decision,), (cell,) = run_each(tape, found, [(strategy, STEADY)], config)
    (split,), (result,) = cell.splits, cell.results
    assert split.total == decision.edge - result.pnl
    return cell


def test_a_trade_that_met_what_it_saw_has_no_shortfall() -> None:
    cell = one(game().mark(5_000).tape())
    assert cell.results[0].outcome is Outcome.COMPLETED
    assert cell.splits == (Split(),)


def test_a_price_that_moved_before_the_orders_came_is_delay() -> None:
    """Both sides of b move up by a cent: ten shares cost ten cents more."""
    moved = game().level(1_020, BID, 49, 100, book=2, last=False).level(1_020, ASK, 50, 0, book=2, last=False)
    cell = one(moved.level(1_020, ASK, 51, 100, book=2).mark(5_000).tape())
    assert cell.splits == (Split(delay=100_000),)


def test_a_spread_that_widened_is_half_delay_and_half_spread() -> None:
    """The ask of b alone moves up by a cent: the mid by half of it."""
    moved = game().level(1_020, ASK, 50, 0, book=2, last=False).level(1_020, ASK, 51, 100, book=2)
    assert one(moved.mark(5_000).tape()).splits == (Split(delay=50_000, spread=50_000),)


def test_what_lies_beyond_the_best_is_impact() -> None:
    """Four shares are left at the best of b, six are bought a cent beyond it."""
    thinner = game().level(1_020, ASK, 50, 4, book=2, last=False).level(1_020, ASK, 51, 100, book=2)
    assert one(thinner.mark(5_000).tape()).splits == (Split(impact=60_000),)


def test_a_leg_alone_is_undoing_and_the_edge_that_nobody_had_is_unfilled() -> None:
    """The ask of b goes out of reach: a is bought at 0.46 and sold again at 0.44."""
    gone = game().level(1_020, ASK, 50, 0, book=2, last=False).level(1_020, ASK, 60, 100, book=2)
    cell = one(gone.mark(60_000).tape())
    assert cell.results[0].outcome is Outcome.UNWOUND
    assert cell.splits == (Split(unfilled=400_000, undoing=200_000),)


def test_what_is_missed_is_unfilled() -> None:
    gone = game().level(1_020, ASK, 50, 0, book=2).level(1_020, ASK, 46, 0).level(1_030, ASK, 52, 0)
    cell = one(gone.mark(60_000).tape())
    assert cell.results[0].outcome is Outcome.MISSED
    assert cell.splits == (Split(unfilled=400_000),)


def test_who_waits_is_paid_half_the_spread_instead_of_paying_it() -> None:
    """Bids at 0.44 and 0.48 meet sellers who come through the price; nothing else moves."""
    both = game().trade(1_300, 43, 10).trade(1_400, 47, 10, book=2)
    cell = one(both.mark(60_000).tape(), LIMIT)
    assert cell.results[0].outcome is Outcome.COMPLETED
    assert cell.splits == (Split(spread=-400_000),)
    assert {mark.maker for mark in cell.markouts} == {True}


def test_a_size_that_shrank_at_the_decision_is_unfilled() -> None:
    cell = one(game().mark(5_000).tape(), config=replace(LOOSE, max_size=4.0))
    assert cell.results[0].trade.size == shares(4)
    assert cell.splits[0].unfilled == 400_000 - 160_000


@pytest.mark.parametrize("delay", CATCH_MS)
def test_the_curve_of_what_can_be_had_is_what_market_completes_without_slack(delay: float) -> None:
    """The same count, and a simulation of it at every latency on the curve."""
    tape = game().level(1_000 + 120, ASK, 46, 0).mark(60_000).tape()
    strict = replace(LOOSE, max_slippage=0.0)
    found = scan_tape(
        tape, baskets(tape, ["outcomes"])[:1], min_edge=Cash(100), gross=True, max_size=shares(10),
        max_exposure=Cash(250 * MICRO), fees=None,
    )  # fmt: skip
    _, (limit, market) = run_each(
        tape, found, [(LIMIT, STEADY), (MARKET, replace(STEADY, entry_ms=delay))], strict
    )  # the curve stands with MARKET, whatever else is run
    assert limit.catches == ()
    curve = {catch.latency_ms: catch.stood for catch in market.catches}
    assert set(curve) == {*CATCH_MS, 50.0}
    completed = tuple(result.outcome is Outcome.COMPLETED for result in market.results)
    assert curve[delay] == market.executable == completed == (delay < 120,)
