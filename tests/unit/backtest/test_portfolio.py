"""One continuous world: what is carried along, what is counted, what the account is worth."""

from itertools import pairwise

import pytest

from arbkit.backtest.run import Portfolio, run_portfolio
from arbkit.backtest.scan import ScanResult, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.model import Basket, ExecutionStrategy, MarketTable, Outcome, floor_value
from arbkit.core.units import MICRO, NS_PER_MS, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.fees import rule
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, ms, shares

KNOWN = {
    "event": "game", "payout": Cash(MICRO), "exclusive": True, "exhaustive": True, "void": "half",
    "lot": Size(MICRO), "min_size": Size(MICRO),
}  # fmt: skip
MARKET, LIMIT = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT
GROSS = ExecutionConfig(edge="gross", max_slippage=0.0)


def game() -> MarketTable:
    return a_table(a_market("a", **KNOWN), a_market("b", **KNOWN))


def apart(size: int = 20) -> TapeBuilder:
    """Two teams, a dollar and a cent for both."""
    return TapeBuilder(game()).snapshot(0, [(30, 9)], [(52, 9)]).snapshot(1, [(30, 9)], [(49, size)], book=2)


def chance(builder: TapeBuilder, at: int, life: int = 400, size: int = 5) -> TapeBuilder:
    """0.50 + 0.49 from `at` on, for `life` ms."""
    return builder.level(at, ASK, 50, size).level(at + life, ASK, 50, 0)


def one(tape: Tape) -> list[Basket]:
    return baskets(tape, ["outcomes"])[:1]


def seen(tape: Tape, rearm_s: float = 1.0, **more: object) -> ScanResult:
    asked: dict[str, object] = {"min_edge": Cash(100), "gross": True, "fees": None, **more}
    return scan_tape(
        tape, one(tape), max_size=shares(100), max_exposure=Cash(250 * MICRO),
        rearm_ns=round(rearm_s * 1000) * NS_PER_MS, **asked,
    )  # type: ignore[arg-type]  # fmt: skip


def run(
    tape: Tape,
    strategy: ExecutionStrategy = MARKET,
    config: ExecutionConfig = GROSS,
    rearm_s: float = 1.0,
    **scenario: object,
) -> Portfolio:
    assumed = Scenario(**{"queue": "through", "entry_ms": 20.0, "reply_ms": 20.0, **scenario})  # type: ignore[arg-type]
    return run_portfolio(tape, seen(tape, rearm_s), one(tape), strategy, config, assumed, rearm_s)


def test_each_episode_is_traded_once_and_the_account_adds_up() -> None:
    tape = chance(chance(apart(), 10_000), 20_000).mark(30_000).tape()
    done = run(tape)
    assert [result.outcome for result in done.results] == [Outcome.COMPLETED] * 2
    assert done.counters == {"seen": 2, "refused": 0, "skipped_busy": 0, "skipped_cash": 0}
    assert done.equity[0] == (ms(0), 10_000 * MICRO, 0)
    assert [point.at for point in done.equity[1:]] == [result.finished_at for result in done.results]
    held = sum(floor_value(one(tape)[0], result.trade.legs[0].held) for result in done.results)
    assert done.equity[-1].cash == 10_000 * MICRO + sum(result.cash for result in done.results)
    assert done.equity[-1].locked == held == 10 * MICRO
    assert done.equity[-1].cash + held - 10_000 * MICRO == sum(result.pnl for result in done.results)
    assert all(early.at <= late.at for early, late in pairwise(done.equity))


def test_what_was_taken_stays_taken() -> None:
    """Seven shares at 0.49 and no more: the second chance finds two, in a fresh world it would find all five."""
    tape = chance(chance(apart(7), 10_000), 20_000).mark(30_000).tape()
    first, second = run(tape).results
    assert [first.trade.size, second.trade.size] == [shares(5), shares(2)]


def test_an_episode_during_a_trade_is_counted_as_skipped() -> None:
    """LIMIT rests for five seconds; the chance after two comes and goes meanwhile."""
    builder = chance(chance(chance(apart(), 10_000), 12_000), 30_000)
    done = run(builder.level(40_000, BID, 30, 8).mark(50_000).tape(), LIMIT)
    assert len(done.results) == 2
    assert done.counters == {"seen": 3, "refused": 0, "skipped_busy": 1, "skipped_cash": 0}


def test_an_episode_that_outlasts_a_trade_is_come_to_late_and_is_not_skipped() -> None:
    builder = chance(chance(apart(), 10_000), 12_000, life=8_000)
    done = run(builder.mark(50_000).tape(), LIMIT)
    assert len(done.results) == 2
    assert done.results[1].started_at > ms(15_000)
    assert done.counters["skipped_busy"] == 0


def test_without_cash_an_opportunity_is_refused_and_counted_apart() -> None:
    tape = chance(apart(), 10_000).mark(30_000).tape()
    done = run(tape, balances=1.0)
    (result,) = done.results
    assert (result.outcome, "free cash" in result.reason) == (Outcome.REFUSED, True)
    assert done.counters == {"seen": 1, "refused": 0, "skipped_busy": 0, "skipped_cash": 1}
    assert [point.cash for point in done.equity] == [MICRO, MICRO]


def test_edges_are_judged_gross_only_where_that_was_asked() -> None:
    """One cent before fees, less than nothing after them."""
    tape = chance(apart(), 10_000).mark(30_000).tape()
    dear = ((0, rule("kalshi-2026-07-07")),)
    fees = {leg.index: dear for leg in one(tape)[0].legs}
    scenario = Scenario(queue="through", entry_ms=20.0, reply_ms=20.0)
    gross = run_portfolio(tape, seen(tape, fees=fees), one(tape), MARKET, GROSS, scenario)
    net = run_portfolio(
        tape, seen(tape, fees=fees, gross=False), one(tape), MARKET, ExecutionConfig(max_slippage=0.0), scenario
    )
    assert (len(gross.results), len(net.results)) == (1, 0)
    assert gross.counters["seen"] == 1
    assert net.counters == {"seen": 0, "refused": 0, "skipped_busy": 0, "skipped_cash": 0}
    assert len(net.equity) == 1


def test_a_basket_is_left_alone_for_as_long_as_was_asked() -> None:
    tape = chance(chance(apart(), 10_000), 14_000).mark(30_000).tape()
    assert len(run(tape, rearm_s=1.0).results) == 2
    assert len(run(tape, rearm_s=10.0).results) == 1
    with pytest.raises(ConfigError, match="rearm_s"):
        run(tape, rearm_s=0.0)


def test_the_client_lags_as_the_feed_does() -> None:
    tape = chance(apart(), 10_000).mark(30_000).tape()
    scenario = Scenario(queue="through", entry_ms=20.0, reply_ms=20.0, feed_ms=100.0)
    done = run_portfolio(tape, seen(tape, feed_ns=100 * NS_PER_MS), one(tape), MARKET, GROSS, scenario)
    assert done.results[0].started_at == ms(10_100)
    assert done.equity[0].at == ms(100)


def test_the_same_again_is_the_same_to_the_last_fact() -> None:
    tape = chance(chance(apart(), 10_000), 20_000).mark(30_000).tape()
    assert run(tape) == run(tape)
    assert run(tape).journal != run(tape, LIMIT).journal
