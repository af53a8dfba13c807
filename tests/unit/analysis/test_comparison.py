import math

import numpy as np
import pytest

from arbkit.analysis.comparison import capital_table, comparison_table, difference, executable_table
from arbkit.analysis.gathering import gather
from arbkit.analysis.raw import attempts
from arbkit.core.errors import DataError
from arbkit.core.model import Outcome
from tests.builders import replace
from tests.unit.analysis.fakes import (
    HYBRID,
    LIMIT,
    MARKET,
    START,
    Cell,
    Comparison,
    S,
    basket,
    opportunity,
    realistic,
    refused,
    simple,
)

COLUMNS = (
    "strategy latency_ms opportunities completed reduced missed unwound escalated refused completion_rate "
    "completion_rate_lo completion_rate_hi leg_fill_rate leg_fill_rate_lo leg_fill_rate_hi slippage_mean slippage_mean_lo "
    "slippage_mean_hi slippage_p95 n_fills shortfall_mean shortfall_mean_lo shortfall_mean_hi execution_ms_p50 "
    "execution_ms_p95 unwind_cost fees pnl pnl_per_opportunity pnl_per_opportunity_lo pnl_per_opportunity_hi "
    "n_opportunities n_clusters n_events"
).split()


def four():
    """Completed with slippage, reduced to a half, unwound, refused: sizes 100, 50, 20, 40 and edges 2, 1, 1, 3 cents."""
    opportunities = tuple(
        opportunity(i, at=START + i * 60 * S, size=size, edge=edge)
        for i, (size, edge) in enumerate([(100, 0.02), (50, 0.01), (20, 0.01), (40, 0.03)])
    )
    results = (
        simple(opportunities[0], MARKET, (1.0, 1.0), worse=0.004, pnl=1.2, fees=0.1, took_ms=10),
        simple(opportunities[1], MARKET, (0.5, 0.5), pnl=0.25, fees=0.05, outcome=Outcome.REDUCED, took_ms=20),
        simple(opportunities[2], MARKET, (1.0, 0.0), pnl=-0.8, unwind_cost=0.7, took_ms=30),
        refused(opportunities[3], MARKET),
    )
    return Comparison(opportunities, (Cell(MARKET, 50.0, 0, results, (True, False, False, True)),))


def test_the_table_has_exactly_the_promised_columns():
    table = comparison_table(four())
    assert list(table.columns) == COLUMNS
    assert table.dtypes["opportunities"] == "int64"
    assert table.dtypes["completion_rate"] == "float64"


def test_an_empty_comparison_has_the_same_columns():
    assert list(comparison_table(Comparison((), ())).columns) == COLUMNS


def test_nothing_drops_out_of_a_denominator():
    row = comparison_table(four()).iloc[0]
    assert row["opportunities"] == 4
    assert [row[name] for name in ("completed", "reduced", "missed", "unwound", "escalated", "refused")] == [
        1,
        1,
        0,
        1,
        0,
        1,
    ]
    assert row["completion_rate"] == 0.25
    # 200 + 50 + 20 of 200 + 100 + 40 + 80: the refused one counts with its scanned size on both legs
    assert row["leg_fill_rate"] == pytest.approx(270 / 420)
    # what was expected of every opportunity, the refused one too, less what was earned, over all sizes
    assert row["shortfall_mean"] == pytest.approx((2.0 + 0.5 + 0.2 + 1.2 - 0.65) / 210)
    assert row["pnl"] == pytest.approx(0.65)
    assert row["pnl_per_opportunity"] == pytest.approx(0.65 / 4)


def test_slippage_is_weighted_by_the_shares_filled_and_tells_on_how_many_legs_it_rests():
    row = comparison_table(four()).iloc[0]
    assert row["slippage_mean"] == pytest.approx(0.004 * 200 / 270)
    assert row["n_fills"] == 5
    assert math.isnan(row["slippage_p95"])


def test_the_p95_of_slippage_is_told_from_a_hundred_fills_on():
    made = [opportunity(i, at=START + i * 60 * S) for i in range(50)]
    results = [simple(o, MARKET, (1.0, 1.0), worse=0.001 * (i % 10)) for i, o in enumerate(made)]
    full = comparison_table(Comparison(tuple(made), (Cell(MARKET, 50.0, 0, tuple(results)),))).iloc[0]
    short = comparison_table(Comparison(tuple(made[1:]), (Cell(MARKET, 50.0, 0, tuple(results[1:])),))).iloc[0]
    assert full["n_fills"] == 100
    assert full["slippage_p95"] == pytest.approx(0.009)
    assert math.isnan(short["slippage_p95"])


def test_execution_time_is_that_of_the_trades_that_were_sent():
    row = comparison_table(four()).iloc[0]
    assert row["execution_ms_p50"] == 20.0


def test_without_known_fees_net_columns_are_undefined_and_counts_are_told():
    row = comparison_table(replace(four(), fees_known=False)).iloc[0]
    for name in ("fees", "pnl", "shortfall_mean", "unwind_cost", "pnl_per_opportunity", "pnl_per_opportunity_lo"):
        assert math.isnan(row[name])
    assert row["completed"] == 1
    assert row["slippage_mean"] > 0


def test_below_ten_clusters_there_are_no_intervals():
    table = comparison_table(realistic(n=9, latencies=(20.0,)))
    assert (table["n_clusters"] == 9).all()
    assert table.filter(regex="_(lo|hi)$").isna().all(axis=None)
    assert table["completion_rate"].notna().all()


def test_intervals_hold_the_value_from_ten_clusters_on():
    table = comparison_table(realistic(n=40, latencies=(20.0, 250.0)))
    for name in ("completion_rate", "leg_fill_rate", "slippage_mean", "shortfall_mean", "pnl_per_opportunity"):
        assert (table[f"{name}_lo"] <= table[name] + 1e-12).all()
        assert (table[name] <= table[f"{name}_hi"] + 1e-12).all()


def test_seeds_are_averaged_inside_an_opportunity_first():
    made = tuple(opportunity(i, at=START + i * 60 * S) for i in range(12))
    good = tuple(simple(o, LIMIT, (1.0, 1.0), pnl=1.0) for o in made)
    bad = tuple(simple(o, LIMIT, (0.0, 0.0)) for o in made)
    twice = Comparison(made, (Cell(LIMIT, 50.0, 0, good), Cell(LIMIT, 50.0, 1, bad)))
    row = comparison_table(twice).iloc[0]
    assert (row["opportunities"], row["completed"], row["missed"]) == (12, 6, 6)
    assert row["completion_rate"] == 0.5
    assert row["pnl"] == pytest.approx(6.0)
    assert row["n_clusters"] == 12
    # every opportunity went half well: seeds are no observations of their own, and nothing varies between clusters
    assert (row["pnl_per_opportunity_lo"], row["pnl_per_opportunity_hi"]) == (0.5, 0.5)
    assert comparison_table(twice).dtypes["completed"] == "float64"


def test_rows_come_in_the_order_they_were_run():
    table = comparison_table(realistic(n=10, latencies=(100.0, 20.0)))
    assert list(zip(table["strategy"], table["latency_ms"], strict=True))[:3] == [
        ("MARKET", 100.0), ("MARKET", 20.0), ("LIMIT", 100.0),
    ]  # fmt: skip


def test_events_are_clusters_where_there_are_ten_of_them():
    made = tuple(opportunity(i, at=START + i * 600 * S, of=basket(f"game {i % 10}")) for i in range(30))
    raw = Comparison(made, (Cell(MARKET, 50.0, 0, tuple(simple(o, MARKET, (1.0, 1.0)) for o in made)),))
    row = comparison_table(raw).iloc[0]
    assert (row["n_clusters"], row["n_events"], row["n_opportunities"]) == (10, 10, 30)


def test_blocks_last_as_long_as_the_slowest_strategy_compared_asks_for():
    made = tuple(opportunity(i, at=START + i * 12 * S) for i in range(20))
    quick = Cell(MARKET, 50.0, 0, tuple(simple(o, MARKET, (1.0, 1.0), took_ms=10) for o in made))
    slow = Cell(LIMIT, 50.0, 0, tuple(simple(o, LIMIT, (1.0, 1.0), took_ms=20_000) for o in made))
    assert gather(Comparison(made, (quick,))).clusters.block_ns == 10 * S
    both = gather(Comparison(made, (quick, slow)))
    assert both.clusters.block_ns > 60 * S
    assert {row.n_clusters for row in both.rows} == {both.clusters.n_clusters}


def test_differences_are_paired_so_their_interval_is_narrower_than_two_read_side_by_side():
    rng = np.random.default_rng(5)
    made = tuple(opportunity(i, at=START + i * 60 * S) for i in range(40))
    luck = rng.normal(0, 1, 40)
    a = tuple(simple(o, MARKET, (1.0, 1.0), pnl=x) for o, x in zip(made, luck, strict=True))
    b = tuple(
        simple(o, HYBRID, (1.0, 1.0), pnl=x + 0.1 + e)
        for o, x, e in zip(made, luck, rng.normal(0, 0.02, 40), strict=True)
    )
    raw = Comparison(made, (Cell(MARKET, 50.0, 0, a), Cell(HYBRID, 50.0, 0, b)))
    row = difference(raw, HYBRID, "MARKET").iloc[0]
    alone = comparison_table(raw).iloc[0]
    assert row["difference"] == pytest.approx(0.1, abs=0.02)
    assert row["lo"] > 0.08
    assert row["hi"] - row["lo"] < 0.1 * (alone["pnl_per_opportunity_hi"] - alone["pnl_per_opportunity_lo"])


def test_the_difference_of_a_strategy_from_itself_is_nothing():
    raw = realistic(n=40, latencies=(20.0,))
    for column in ("shortfall_mean", "slippage_mean", "pnl_per_opportunity"):
        row = difference(raw, MARKET, MARKET, column).iloc[0]
        assert (row["difference"], row["lo"], row["hi"]) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    rate = difference(raw, MARKET, MARKET, "completion_rate").iloc[0]
    assert rate["lo"] <= rate["difference"] == 0 <= rate["hi"]


def test_rates_that_are_certain_on_both_sides_still_differ_by_an_interval():
    made = tuple(opportunity(i, at=START + i * 60 * S) for i in range(20))
    all_of_them = Cell(MARKET, 50.0, 0, tuple(simple(o, MARKET, (1.0, 1.0)) for o in made))
    none_of_them = Cell(LIMIT, 50.0, 0, tuple(simple(o, LIMIT, (0.0, 0.0)) for o in made))
    row = difference(Comparison(made, (all_of_them, none_of_them)), MARKET, LIMIT, "completion_rate").iloc[0]
    assert row["difference"] == 1.0
    assert 0.7 < row["lo"] < 0.9
    assert row["hi"] == 1.0


def test_differences_are_refused_where_nothing_is_paired_or_kept():
    raw = realistic(n=10, latencies=(20.0,))
    with pytest.raises(DataError, match="nothing is paired"):
        difference(replace(raw, mode="portfolio"), MARKET, LIMIT)
    with pytest.raises(DataError, match="no interval is kept for 'fees'"):
        difference(raw, MARKET, LIMIT, "fees")
    with pytest.raises(DataError, match="no HYBRID at 20 ms"):
        difference(replace(raw, cells=raw.cells[:2]), MARKET, HYBRID)


def test_without_known_fees_only_gross_differences_are_told():
    raw = realistic(n=20, latencies=(20.0,), fees_known=False)
    assert math.isnan(difference(raw, MARKET, LIMIT, "pnl_per_opportunity").iloc[0]["difference"])
    assert not math.isnan(difference(raw, MARKET, LIMIT, "completion_rate").iloc[0]["difference"])


def test_the_brute_force_share_is_told_per_latency_on_the_decisions_of_market():
    row = executable_table(four()).iloc[0]
    assert (row["strategy"], row["executable_share"], row["n_opportunities"]) == ("MARKET", 0.5, 4)
    assert len(executable_table(realistic(n=10, latencies=(20.0, 100.0)))) == 2
    assert len(executable_table(replace(four(), cells=(replace(four().cells[0], executable=()),)))) == 0


def test_capital_time_runs_until_the_last_close_and_is_unknown_without_one():
    year = round(365.25 * 86_400 * S)
    known = opportunity(1, size=100, of=basket("a", close=START + year))
    result = replace(simple(known, MARKET, (1.0, 1.0), pnl=3.0), cash=-97_000_000)
    row = capital_table(Comparison((known,), (Cell(MARKET, 50.0, 0, (result,)),))).iloc[0]
    assert row["dollar_years"] == pytest.approx(97.0, rel=1e-6)
    assert row["return_per_year"] == pytest.approx(3 / 97, rel=1e-6)
    unknown = opportunity(1)
    result = simple(unknown, MARKET, (1.0, 1.0), pnl=3.0)
    assert math.isnan(
        capital_table(Comparison((unknown,), (Cell(MARKET, 50.0, 0, (result,)),)))["return_per_year"].iloc[0]
    )


def continuous():
    """A bystander saw five; the engine answered the first, came late to the third and was busy or broke for the rest."""
    seen = tuple(opportunity(i, at=START + i * S, size=100, edge=0.01, of=basket("a")) for i in range(5))
    late = opportunity(99, at=START + 2 * S + S // 2, size=80, edge=0.01, of=basket("a"))
    results = (simple(seen[0], MARKET, (1.0, 1.0), pnl=1.0), simple(late, MARKET, (1.0, 1.0), pnl=0.8))
    counted = {("MARKET", 50.0): {"seen": 5, "refused": 0, "skipped_busy": 2, "skipped_cash": 1}}
    return Comparison(seen, (Cell(MARKET, 50.0, 0, results),), mode="portfolio", counters=counted)


def test_a_continuous_run_answers_for_what_it_passed_over():
    raw = continuous()
    row = comparison_table(raw).iloc[0]
    assert [row[name] for name in ("seen", "refused", "skipped_busy", "skipped_cash")] == [5, 0, 2, 1]
    assert (row["opportunities"], row["completed"]) == (5, 2)
    assert row["completion_rate"] == pytest.approx(0.4)
    assert row["leg_fill_rate"] == pytest.approx(180 / 480)
    assert row["pnl_per_opportunity"] == pytest.approx(1.8 / 5)
    assert [a.outcome for a in attempts(raw, raw.cells[0])] == [
        "completed",
        "completed",
        "skipped",
        "skipped",
        "skipped",
    ]


def test_two_trades_in_one_episode_are_two_attempts_and_no_opportunity_less():
    raw = continuous()
    again = opportunity(98, at=START + S // 2, size=80, edge=0.01, of=basket("a"))
    cell = replace(raw.cells[0], results=(*raw.cells[0].results, simple(again, MARKET, (0.0, 0.0))))
    assert comparison_table(replace(raw, cells=(cell,))).iloc[0]["opportunities"] == 6
