"""The executor as a user of arbkit meets it: scripted platforms, three strategies, undoing, detection, metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arbkit import (
    ArbitrageExecutionEngine,
    ExecutionConfig,
    ExecutionStrategy,
    MetricsCollector,
    MockPlatform,
    ParallelExecutor,
    RiskManager,
    baskets,
)
from arbkit.backtest.mock_platform import Answer
from arbkit.core.errors import ConfigError
from arbkit.core.model import ExecutionResult, Health, Kind, LegStatus, Outcome, TradeState
from arbkit.core.units import MICRO, Cash, cash, size
from arbkit.detection.complement import detect_binary_complement_arb
from arbkit.detection.cross_platform import detect_cross_platform_arb
from tests.builders import replace
from tests.rig import NO_B, YES_A, Rig, a_market, held, virtual

MARKET, LIMIT, HYBRID = ExecutionStrategy


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def mock_platforms(rig: Rig) -> dict[str, MockPlatform]:
    return rig.venues


@pytest.fixture
def risk_manager(rig: Rig) -> RiskManager:
    return rig.risk


@pytest.fixture
def parallel_executor(rig: Rig) -> ParallelExecutor:
    return rig.executor


def execute(rig: Rig, executor: ParallelExecutor, strategy: ExecutionStrategy) -> ExecutionResult:
    async def main() -> ExecutionResult:
        return await executor.execute(await rig.trade(strategy))

    result = virtual(main())
    rig.check(result)
    return result


def test_market_execution(
    rig: Rig, parallel_executor: ParallelExecutor, mock_platforms: dict[str, MockPlatform]
) -> None:
    result = execute(rig, parallel_executor, MARKET)
    assert result.outcome is Outcome.COMPLETED
    assert result.trade.state is TradeState.COMMITTED
    assert held(result) == [100, 100]
    assert result.pnl == result.trade.opportunity.edge == cash("5")
    assert {leg.status for leg in result.trade.legs} == {LegStatus.FILLED}
    assert [len(platform.orders) for platform in mock_platforms.values()] == [1, 1]


def test_limit_execution(
    rig: Rig, parallel_executor: ParallelExecutor, mock_platforms: dict[str, MockPlatform]
) -> None:
    mock_platforms["alpha"].script(YES_A, Answer(rests_fill=((1.0, 60), (2.0, 40))))
    mock_platforms["beta"].script(NO_B, Answer(rests_fill=((1.5, 100),)))
    result = execute(rig, parallel_executor, LIMIT)
    assert result.outcome is Outcome.COMPLETED
    orders = [leg.orders[0] for leg in result.trade.legs]
    assert [order.limit for order in orders] == [380_000, 530_000]  # they joined the bids
    assert all(order.post_only and fill.maker for order in orders for fill in order.fills)
    assert result.pnl == cash("9")
    assert result.entries_done_at - result.started_at == 2 * 10**9


def test_hybrid_execution(
    rig: Rig, parallel_executor: ParallelExecutor, mock_platforms: dict[str, MockPlatform]
) -> None:
    mock_platforms["alpha"].script(YES_A, Answer(rests_fill=((0.2, 30),)))
    result = execute(rig, parallel_executor, HYBRID)
    assert result.outcome is Outcome.COMPLETED
    assert [[order.filled // MICRO for order in leg.orders] for leg in result.trade.legs] == [[30, 70], [0, 100]]
    assert result.entries_done_at - result.started_at == 200_000_000  # crossed at the first fill, not at patience
    assert result.pnl == cash("5.6")  # 30 shares two cents cheaper than by taking


def test_preflight_checks(rig: Rig, parallel_executor: ParallelExecutor, risk_manager: RiskManager) -> None:
    async def reasons() -> list[str]:
        trade = await rig.trade(MARKET)
        said = [await parallel_executor._preflight_checks(replace(trade, legs=trade.legs[::-1]))]
        rig.beta.view(trade.legs[1].book).health = Health.SILENT
        said.append(await parallel_executor._preflight_checks(trade))
        rig.beta.view(trade.legs[1].book).health = Health.OK
        rig.alpha.cash = Cash(10 * MICRO)
        said.append(await parallel_executor._preflight_checks(trade))
        rig.alpha.cash = rig.alpha.opening
        rig.beta.set_book(NO_B, asks=[("0.61", "100")])
        said.append(await parallel_executor._preflight_checks(trade))
        rig.beta.set_book(NO_B, asks=[("0.55", "99")])
        said.append(await parallel_executor._preflight_checks(trade))
        return said

    assert virtual(reasons()) == [
        "the legs are not those of the basket",
        "book beta:m:no is silent",
        "limit free cash: 40.00 of 10.00 dollars, leg 0 alpha:m:yes; largest size allowed 25",
        "edge -0.010000 per share is below min_edge 0.0001",
        "the books no longer hold the size",
    ]
    assert not rig.alpha.orders
    assert risk_manager.exposure_room() == cash("250")  # nothing stays reserved


def test_partial_fill_rollback(
    rig: Rig, parallel_executor: ParallelExecutor, mock_platforms: dict[str, MockPlatform]
) -> None:
    mock_platforms["beta"].script(NO_B, Answer(fill=40), *[Answer(reject="paused")] * 99)
    result = execute(rig, parallel_executor, MARKET)
    assert result.outcome is Outcome.UNWOUND
    assert result.undo == "trim"
    assert held(result) == [40, 40]
    # 60 shares bought at 0.40 were sold at 0.38; 40 baskets keep five cents each
    assert result.unwind_cost == cash("1.2")
    assert result.pnl == cash("0.8")
    assert not result.committed


def test_metrics_collection(rig: Rig, parallel_executor: ParallelExecutor) -> None:
    collector = MetricsCollector()
    one = collector.record_trade(execute(rig, parallel_executor, MARKET))
    assert one.filled == one.intended == 200 * MICRO
    assert one.slip == 0
    assert one.pnl == one.edge_expected == cash("5")
    summary = collector.get_summary()
    assert summary["success_rate"] == summary["fill_rate"] == 1.0
    assert summary["shortfall_mean"] == 0.0
    assert collector.get_recent_trades()[0]["edge_realised"] == 5.0


def test_arbitrage_detection() -> None:
    platform = MockPlatform("alpha", [replace(a_market("alpha"), void="half")])
    basket = baskets(platform.table, ("complement",))[0]
    platform.set_book("alpha:m:yes", asks=[("0.47", 100)])
    platform.set_book("alpha:m:no", asks=[("0.50", 30), ("0.52", 20), ("0.54", 500)])
    views = [platform.view(leg) for leg in basket.legs]
    found = detect_binary_complement_arb(views[0], views[1], basket, cash("0.01"), size("1000"))
    assert found is not None
    assert found.size == size("50")  # the third level would lose
    assert found.edge == cash("0.03") * 30 + cash("0.01") * 20
    platform.set_book("alpha:m:no", asks=[("0.53", 100)])
    assert detect_binary_complement_arb(views[0], views[1], basket, cash("0.01"), size("1000")) is None


def test_cross_platform_detection(rig: Rig) -> None:
    views = [rig.feed.view(leg) for leg in rig.basket.legs]
    found = detect_cross_platform_arb(views, rig.basket, cash("0.0001"), size("1000"))
    assert found is not None
    assert rig.basket.kind is Kind.CROSS_VENUE
    assert (found.size, found.edge) == (size("100"), cash("5"))  # both second levels cost 1.05 together
    rig.beta.view(rig.basket.legs[1]).health = Health.GAPPED
    assert detect_cross_platform_arb(views, rig.basket, cash("0.0001"), size("1000")) is None


def test_end_to_end_arbitrage(rig: Rig) -> None:
    engine = ArbitrageExecutionEngine(
        rig.venues, rig.feed, [rig.basket], config=rig.config, journal=rig.journal, pairs=rig.pairs
    )

    async def main() -> list[ExecutionResult]:
        return await engine.scan_and_execute(MARKET, max_trades=1)

    (result,) = virtual(main())
    rig.check(result)
    assert result.outcome is Outcome.COMPLETED
    assert virtual(engine.balances()) == {"alpha": 9_960.0, "beta": 9_945.0}
    assert engine.statistics()["pnl"] == 5.0
    assert rig.facts("order.intent") == [order.client_id for leg in result.trade.legs for order in leg.orders]


def test_metrics_aggregation(tmp_path: Path) -> None:
    collector = MetricsCollector(history=2)
    for strategy, answer in ((MARKET, Answer()), (MARKET, Answer(fill=0)), (LIMIT, Answer())):
        rig = Rig()
        rig.alpha.script(YES_A, answer)
        collector.record_trade(execute(rig, rig.executor, strategy))
    summary, by_strategy = collector.get_summary(), collector.get_strategy_performance()
    assert (summary["trades"], summary["completed"], summary["unwound"], summary["missed"]) == (3, 1, 1, 1)
    assert summary["fill_rate"] == pytest.approx((200 + 100 + 0) / 600)
    assert summary["failed_arbitrage_rate"] == pytest.approx(1 / 3)
    assert list(by_strategy) == ["MARKET", "LIMIT"]
    assert by_strategy["LIMIT"]["fill_rate"] == 0.0
    assert len(collector.get_recent_trades()) == 2  # bounded, the sums are not
    told = json.loads(collector.export_metrics(tmp_path / "m.json").read_text())
    assert told["summary"] == summary
    assert len(collector.export_metrics(tmp_path / "m.csv").read_text().splitlines()) == 3


def test_execution_config() -> None:
    assert ExecutionConfig().edge == "net"
    for wrong in ({"edge": "both"}, {"min_edge": float("nan")}, {"post_only": "false"}, {"hedge_retry_s": 20.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ExecutionConfig(**wrong)
    greedy = Rig(config=ExecutionConfig(min_edge=0.06))
    assert greedy.feed.opportunity(greedy.basket, cash("0.06")) is None
