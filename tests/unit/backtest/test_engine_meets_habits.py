"""The engine against venues with habits, on synthetic flow: what changes, what must not, and that all books add up."""

from __future__ import annotations

from functools import cache

import pytest

from arbkit.backtest.compare import Cell, run_each
from arbkit.backtest.habits import Habits, Rate, Window
from arbkit.backtest.latency import Constant, LogNormal
from arbkit.backtest.scan import ScanResult, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionStrategy, OrderStatus, Outcome, Settlement
from arbkit.core.units import MICRO, NS_PER_S, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.synthetic import SyntheticSpec, synthetic_tape
from arbkit.history.tape import Tape

MARKET, LIMIT = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT
VENUE = "synthetic"


@cache
def scanned() -> tuple[Tape, ScanResult]:
    tape = synthetic_tape(SyntheticSpec(minutes=2.0, episodes=12), seed=3)
    scenario = Scenario()
    found = scan_tape(
        tape,
        tuple(baskets(tape)),
        min_edge=Cash(100),
        max_size=Size(100 * MICRO),
        max_exposure=Cash(500 * MICRO),
        rearm_ns=NS_PER_S,
        gross=True,
        fees=None,
        max_silence_ns=scenario.max_silence_ns,
        settle_ns=scenario.mirror_settle_ns,
    )
    return tape, found


def cell(strategy: ExecutionStrategy, habits: Habits | None = None, **scenario: object) -> Cell:
    tape, found = scanned()
    own = {} if habits is None else {"habits": {VENUE: habits}}
    asked = Scenario(**own, **scenario)  # type: ignore[arg-type]
    _, (made,) = run_each(tape, found, [(strategy, asked)], ExecutionConfig(edge="gross"))
    return made


def outcomes(made: Cell) -> list[str]:
    return [result.outcome.value for result in made.results]


def matched(made: Cell) -> list[tuple[int, int, int]]:
    orders = [o for r in made.results for leg in r.trade.legs for o in leg.orders]
    return [(fill.venue_at, int(fill.price), int(fill.size)) for o in orders for fill in o.fills]


def whole_tape(what: str) -> Window:
    tape, _ = scanned()
    return Window(what, int(tape.rows.ts_recv[0]), int(tape.rows.ts_recv[-1]) + 100 * NS_PER_S)


@pytest.mark.parametrize("strategy", [MARKET, LIMIT])
def test_settlement_that_never_fails_changes_when_a_trade_is_over_and_nothing_else(strategy: ExecutionStrategy) -> None:
    """But for sells, which wait for their shares: compared are the entries."""
    plain, late = cell(strategy), cell(strategy, Habits(settle_s=2))
    assert outcomes(plain) == outcomes(late)
    for one, other in zip(plain.results, late.results, strict=True):
        for here, there in zip(one.trade.legs, other.trade.legs, strict=True):
            assert [o.filled for o in here.entries()] == [o.filled for o in there.entries()]
        if one.outcome is Outcome.COMPLETED:
            assert other.finished_at >= one.finished_at + 1.5 * NS_PER_S
            assert (one.pnl, one.fees) == (other.pnl, other.fees)


def test_when_every_match_fails_nothing_was_traded_and_nothing_is_owed() -> None:
    made = cell(MARKET, Habits(settle_s=2, failing=1.0))
    assert set(outcomes(made)) == {"missed"}
    assert all(result.pnl == result.cash == result.fees == 0 for result in made.results)
    fills = [f for r in made.results for leg in r.trade.legs for o in leg.orders for f in o.fills]
    assert fills
    assert {fill.settlement for fill in fills} == {Settlement.VOIDED}


def test_a_ghost_fill_of_one_leg_leaves_a_trade_that_is_dealt_with() -> None:
    made = cell(MARKET, Habits(settle_s=1, failing=0.4), seed=2)
    ended = outcomes(made)
    assert {"completed", "unwound"} <= set(ended)
    assert ended.count("completed") < outcomes(cell(MARKET)).count("completed")


def test_a_hold_lets_the_gap_go_away() -> None:
    plain, held = cell(MARKET), cell(MARKET, Habits(hold_ms=250))
    assert outcomes(held).count("completed") < outcomes(plain).count("completed")
    entries = [o for r in held.results for leg in r.trade.legs for o in leg.entries()]
    assert all(o.is_final for o in entries)
    assert all(fill.venue_at - r.started_at >= 300_000_000
               for r in held.results for leg in r.trade.legs for o in leg.entries() for fill in o.fills)  # fmt: skip


@pytest.mark.parametrize("window", ["down", "cancel-only", "post-only"])
def test_a_window_over_the_whole_tape_lets_no_taker_through(window: str) -> None:
    made = cell(MARKET, Habits(windows=(whole_tape(window),)))
    assert set(outcomes(made)) == {"missed"}
    assert matched(made) == []


def test_post_only_lets_resting_orders_through() -> None:
    assert matched(cell(LIMIT, Habits(windows=(whole_tape("post-only"),))))


def test_a_tight_rate_costs_completions_and_never_an_invariant() -> None:
    made = cell(MARKET, Habits(orders=Rate(1, 1), cancels=Rate(1, 1)))
    assert "completed" not in outcomes(made)
    orders = [o for r in made.results for leg in r.trade.legs for o in leg.orders]
    assert any(o.status in (OrderStatus.REJECTED, OrderStatus.CANCELLED) for o in orders)


def test_a_slow_fill_report_changes_no_match_of_a_taker() -> None:
    """A taker hears by the answer to its order; the report of a fill at rest is another message."""
    slow = cell(MARKET, latency={"report": Constant(900)})
    assert matched(slow) == matched(cell(MARKET))


def test_a_place_latency_moves_the_match_and_a_drawn_one_by_its_own_draw() -> None:
    late = cell(MARKET, latency={f"{VENUE}:place": Constant(400)})
    firsts = [leg.orders[0].fills[0].venue_at - r.started_at
              for r in late.results for leg in r.trade.legs if leg.orders and leg.orders[0].fills]  # fmt: skip
    assert set(firsts) == {400_000_000}
    drawn = cell(MARKET, latency={"place": LogNormal(50, 0.5)})
    assert matched(drawn) == matched(cell(MARKET, jitter=0.5, latency={n: Constant(50) for n in ("cancel", "ask", "reply", "report")}))  # fmt: skip
