"""The engine over its parts: the scan loop, paper mode, the journal's one spelling, the scripted platform itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from arbkit.backtest.mock_platform import Answer, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Health, Outcome, Purpose
from arbkit.core.units import NS_PER_S
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal, digest_of
from arbkit.metrics import COLUMNS, MetricsCollector
from tests.rig import NO_B, START, YES_A, Rig, virtual

MARKET = ExecutionStrategy.MARKET


def engine(rig: Rig, **settings: Any) -> ArbitrageExecutionEngine:
    return ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], config=rig.config, pairs=rig.pairs, **settings)


def test_paper_mode_refuses_a_live_venue() -> None:
    rig = Rig()
    rig.beta.live = True
    with pytest.raises(ConfigError, match="beta"):
        engine(rig)
    assert engine(rig, paper_mode=False) is not None


def test_scanning_tries_a_basket_again_only_after_it_was_rearmed() -> None:
    rig = Rig()
    rig.alpha.set_book(YES_A, asks=[("0.40", "300")])
    rig.beta.set_book(NO_B, asks=[("0.55", "300")])
    heard: list[ExecutionResult] = []
    results = virtual(engine(rig, rearm_s=2.0).scan_and_execute(MARKET, max_trades=3, on_result=heard.append))
    assert [result.started_at - START for result in results] == [0, 2 * NS_PER_S, 4 * NS_PER_S]
    assert heard == results
    assert len({result.trade.id for result in results}) == 3


def test_scanning_ends_at_its_time_and_with_the_feed() -> None:
    rig = Rig()
    rig.beta.set_book(NO_B)
    assert virtual(engine(rig).scan_and_execute(MARKET, until_ns=START + 5 * NS_PER_S)) == []
    rig = Rig()

    async def main() -> list[ExecutionResult]:
        scanning = asyncio.ensure_future(engine(rig).scan_and_execute(MARKET))
        await asyncio.sleep(3)
        rig.alpha.close()
        rig.beta.close()
        return await scanning

    assert [result.outcome for result in virtual(main())] == [Outcome.COMPLETED]
    assert virtual(ArbitrageExecutionEngine(rig.venues, rig.feed).scan_and_execute(MARKET)) == []


def test_what_is_refused_is_a_result_and_counted() -> None:
    rig = Rig()
    one = engine(rig)

    async def main() -> ExecutionResult:
        opportunity = rig.opportunity()
        rig.beta.set_book(NO_B, health=Health.SILENT)
        return await one.execute_opportunity(opportunity, MARKET)

    result = virtual(main())
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "book beta:m:no is silent")
    assert one.statistics()["refused"] == 1
    assert one.statistics()["halted"] == ""


def test_an_escalation_halts_the_engine_until_acknowledged() -> None:
    rig = Rig()
    rig.beta.script(NO_B, *[Answer(lost="request")] * 200)
    one = engine(rig)

    async def main() -> list[ExecutionResult]:
        rig.alpha.set_book(YES_A, asks=[("0.40", "300")])
        rig.beta.set_book(NO_B, asks=[("0.55", "300")])
        results = await one.scan_and_execute(MARKET, max_trades=2)
        one.acknowledge(results[0].trade.id)
        rig.beta.clear_script(NO_B)
        refused = await one.scan_and_execute(MARKET, max_trades=1)  # its order is still unknown
        assert "acknowledged" in refused[0].reason
        await asyncio.sleep(120)
        return results + await one.scan_and_execute(MARKET, max_trades=1)

    results = virtual(main())
    assert [result.outcome for result in results] == [Outcome.ESCALATED, Outcome.REFUSED, Outcome.COMPLETED]
    assert "acknowledged" in results[1].reason


def test_rearming_must_take_time() -> None:
    with pytest.raises(ConfigError, match="rearm_s"):
        engine(Rig(), rearm_s=0.0)


# -- journal ---------------------------------------------------------------------------------------------------


def test_a_journal_spells_a_fact_in_one_way() -> None:
    one, two = MemoryJournal(), MemoryJournal()
    one.append(1, "order.intent", "k", size=5, purpose=Purpose.ENTRY, legs=[(1, "a")])
    two.append(1, "order.intent", "k", purpose="entry", legs=((1, "a"),), size=5)
    assert one.digest() == two.digest()
    assert one.facts == two.facts
    assert one.of("k")[0].get("legs") == ((1, "a"),)
    two.append(2, "order.sent", "k", done=True, why=None)
    assert one.digest() != two.digest()
    assert digest_of([one.digest(), two.digest()]) != digest_of([two.digest(), one.digest()])


@pytest.mark.parametrize("wrong", [0.5, {1}, object(), ("a", 0.5)])
def test_a_journal_refuses_what_has_no_exact_spelling(wrong: object) -> None:
    with pytest.raises(TypeError, match="price"):
        MemoryJournal().append(1, "f", "k", price=wrong)


# -- metrics ---------------------------------------------------------------------------------------------------


def test_metrics_of_nothing_are_counts_of_zero_and_no_rates(tmp_path: Path) -> None:
    collector = MetricsCollector()
    assert collector.get_summary()["success_rate"] is None
    assert collector.get_strategy_performance() == {}
    assert pq.read_table(collector.export_metrics(tmp_path / "m.parquet")).column_names == list(COLUMNS)
    with pytest.raises(ConfigError, match=r"\.xlsx"):
        collector.export_metrics(tmp_path / "m.xlsx")
    with pytest.raises(ConfigError):
        MetricsCollector(history=0)


def test_slippage_is_positive_when_worse_than_at_decision(tmp_path: Path) -> None:
    rig = Rig(config=ExecutionConfig(max_slippage=0.02))

    async def worse() -> None:
        rig.beta.set_book(NO_B, asks=[("0.56", "100")])

    rig.beta.script(NO_B, Answer(delay_s=0.1))
    result = rig.run("MARKET", "100", worse())
    collector = MetricsCollector()
    assert collector.record_trade(result).slip == 1_000_000
    row = collector.get_recent_trades(1)[0]
    assert row["slippage"] == 0.005  # one dollar over 200 filled shares
    assert row["execution_ms"] == 100.0
    assert set(row) == set(COLUMNS)
    assert collector.get_recent_trades(0) == []
    assert collector.get_strategy_performance(MARKET)["slippage_mean"] == 0.005
    assert pq.read_table(collector.export_metrics(tmp_path / "m.parquet")).to_pylist() == [row]


# -- the platform itself -----------------------------------------------------------------------------------------


def test_the_platform_refuses_what_a_venue_refuses() -> None:
    rig = Rig(cash="30")
    result = rig.run("MARKET")
    assert (result.outcome, "free cash" in result.reason) == (Outcome.REFUSED, True)


def test_somebody_selling_into_our_bids_fills_them() -> None:
    rig = Rig()

    async def sell() -> None:
        await asyncio.sleep(0.1)
        assert rig.alpha.trade(YES_A, "0.39", "500") == 0  # above our bid
        assert rig.alpha.trade(YES_A, "0.38", "500") == rig.beta.trade(NO_B, "0.50", "100") == 100 * 10**6

    assert rig.run("LIMIT", "100", sell()).outcome is Outcome.COMPLETED


def test_free_cash_is_less_what_resting_bids_may_cost() -> None:
    rig = Rig()
    seen: list[int] = []

    async def look() -> None:
        await asyncio.sleep(0.1)
        seen.append(await rig.alpha.balance())

    rig.run("LIMIT", "100", look())
    assert seen == [(10_000 - 38) * 10**6]
    assert virtual(rig.alpha.positions()) == {}


def test_a_platform_with_markets_of_its_own_numbers_its_books() -> None:
    platform = MockPlatform("alpha", Rig().table.markets[:1])
    assert [book.index for book in platform.table.books] == [0, 1]
