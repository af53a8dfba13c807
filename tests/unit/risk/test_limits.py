"""Every limit refuses the whole trade, by name, with the value, the leg and a size that fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.model import ExecutionStrategy, MultiLegTrade, Outcome
from arbkit.core.units import Cash, Size, cash, size
from arbkit.execution.accounting import closed
from arbkit.risk.limits import RiskLimits, RiskManager, exposure, largest_exposed
from tests.rig import Rig, virtual

COSTS = (cash("40"), cash("55"))


def a_trade() -> MultiLegTrade:
    return virtual(Rig().trade(ExecutionStrategy.MARKET))


def said(limits: RiskLimits | None = None, config: ExecutionConfig | None = None, **free: str) -> str:
    balances = {venue: cash(amount) for venue, amount in free.items()} or None
    return str(RiskManager(limits, config).check(a_trade(), COSTS, balances))


def test_a_trade_within_every_limit_is_not_refused() -> None:
    assert said(alpha="40", beta="55") == "None"


def test_exposure_is_all_legs_but_the_cheapest() -> None:
    assert exposure([cash("40"), cash("55"), cash("10")]) == cash("95")


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 100)), min_size=2, max_size=5))
def test_no_combination_of_fills_leaves_more_uncovered_than_the_exposure(legs: list[tuple[int, int]]) -> None:
    costs = [of for of, _ in legs]
    least = min(part for _, part in legs)
    assert sum(of * (part - least) for of, part in legs) <= exposure(costs) * 100


def test_max_exposure_names_value_bound_leg_and_the_largest_size() -> None:
    assert said(config=ExecutionConfig(max_exposure=44)) == (
        "limit max_exposure: 55.00 of 44.00 dollars, leg 1 beta:m:no; largest size allowed 80"
    )


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=4), st.integers(1, 300), st.integers(0, 10**9))
def test_the_largest_size_allowed_is_within_the_bound_and_the_next_is_not(
    costs: list[int], lots: int, room: int
) -> None:
    lot = 10_000
    found = largest_exposed(costs, lots * lot, lot, room)

    def needs(shares: int) -> int:
        return exposure([-(-of * shares // (lots * lot)) for of in costs])

    assert found % lot == 0
    assert needs(found) <= room
    assert found == lots * lot or needs(found + lot) > room


def test_capital_limits_refuse_by_name() -> None:
    assert said(RiskLimits(max_trade_capital=47.5)) == (
        "limit max_trade_capital: 95.00 of 47.50 dollars; largest size allowed 50"
    )
    assert said(RiskLimits(max_total_capital=94.995)) == "limit max_total_capital: 95.00 of 94.995 dollars"
    assert said(RiskLimits(max_market_shares=99)) == (
        "limit max_market_shares: 100.00 of 99.00 shares, leg 0 alpha:m:yes"
    )
    assert said(RiskLimits(max_market_capital=50)) == (
        "limit max_market_capital: 55.00 of 50.00 dollars, leg 1 beta:m:no"
    )
    assert said(RiskLimits(max_venue_capital=39)) == (
        "limit max_venue_capital: 40.00 of 39.00 dollars, leg 0 alpha:m:yes"
    )
    assert said(alpha="40", beta="54.99") == "limit free cash: 55.00 of 54.99 dollars, leg 1 beta:m:no"
    assert said(alpha="40").startswith("limit free cash: 55.00 of 0.00")  # a venue that says nothing has nothing


def test_running_trades_count_against_limits_until_they_finish() -> None:
    risk = RiskManager(RiskLimits(max_total_capital=150), ExecutionConfig(max_exposure=100))
    trade = a_trade()
    risk.reserve(trade, COSTS)
    assert risk.exposure_room() == cash("45")
    assert str(risk.check(replace(trade, id="u"), COSTS)).startswith("limit max_exposure: 110.00 of 100.00")
    assert risk.largest_allowed(COSTS, trade.size, Size(10**6)) == size("81")
    assert str(risk.check(replace(trade, id="u"), COSTS, {"alpha": cash("79"), "beta": cash("999")})).startswith(
        "limit max_exposure"
    )
    risk.finish(closed(trade, Outcome.MISSED, started_at=0, entries_done_at=0, finished_at=0))
    assert risk.exposure_room() == cash("100")
    assert risk.check(trade, COSTS) is None


def test_what_is_held_counts_until_settlement_frees_it() -> None:
    rig = Rig(limits=RiskLimits(max_market_shares=150, max_total_capital=150))
    result = rig.run("MARKET")
    assert result.outcome is Outcome.COMPLETED
    assert str(rig.risk.check(a_trade(), COSTS)).startswith("limit max_total_capital: 190.00")
    for leg, paid in zip(result.trade.legs, ("40", "55"), strict=True):
        rig.risk.freed(leg.book, leg.held, cash(paid))
    assert rig.risk.check(a_trade(), COSTS) is None


def test_an_escalated_trade_halts_entries_until_it_is_acknowledged() -> None:
    risk = RiskManager()
    trade = a_trade()
    risk.reserve(trade, COSTS)
    risk.finish(closed(trade, Outcome.ESCALATED, started_at=0, entries_done_at=0, finished_at=0))
    assert "t escalated" in risk.halted
    assert risk.exposure_room() == cash("195")  # unknown keeps its reservation
    risk.acknowledge("t")
    risk.acknowledge("t")
    assert not risk.halted
    assert risk.exposure_room() == cash("250")


def test_a_refused_trade_releases_nothing_it_never_had() -> None:
    risk = RiskManager()
    risk.finish(closed(a_trade(), Outcome.REFUSED, started_at=0, entries_done_at=0, finished_at=0))
    assert risk.exposure_room() == cash("250")


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True, "5"])
def test_a_limit_that_cannot_be_meant_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="max_trade_capital"):
        RiskLimits(max_trade_capital=wrong)  # type: ignore[arg-type]


def test_cost_at_decision_stands_in_where_no_costs_are_given() -> None:
    refusal = RiskManager(RiskLimits(max_trade_capital=94)).check(a_trade())
    assert refusal is not None
    assert refusal.value == Cash(95_000_000)
