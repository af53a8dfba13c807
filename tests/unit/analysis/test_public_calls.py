"""`scan`, `compare`, `backtest` and `load_run` as a user calls them, on a minute of made-up flow."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import arbkit as ak
from arbkit.analysis import progress, results, runs
from arbkit.analysis import question as question_module
from arbkit.analysis.question import ask
from arbkit.backtest.latency import Constant, Empirical
from arbkit.books.meta import KIND_FEE, KIND_LEVEL, SIDE_BID, meta
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import Basket, MarketTable, OrderStatus
from arbkit.core.units import NS_PER_S
from arbkit.history.shipped import shipped
from arbkit.history.synthetic import SyntheticSpec
from arbkit.history.tape import Tape
from tests.builders import TapeBuilder

SYNTHETIC = "synthetic flow: shows method, not market truth"
KEYS = (
    "strategy latency_ms opportunities completed reduced missed unwound escalated refused completion_rate "
    "leg_fill_rate slippage_mean slippage_p95 n_fills shortfall_mean execution_ms_p50 execution_ms_p95 unwind_cost "
    "fees pnl pnl_per_opportunity n_clusters"
).split()
WITH_ENDS = ("completion_rate", "leg_fill_rate", "slippage_mean", "shortfall_mean", "pnl_per_opportunity")
EPISODE = "opportunity_id basket start end life_ms open_ms censored peak_edge size edge depth_exact".split()


@pytest.fixture(scope="module")
def tape() -> Tape:
    return ak.synthetic_tape(SyntheticSpec(minutes=0.7, episodes=6), seed=3)


@pytest.fixture(scope="module")
def found(tape: Tape) -> list[Basket]:
    return ak.baskets(tape)


@pytest.fixture(scope="module")
def comparison(tape: Tape, found: list[Basket]) -> ak.Comparison:
    return ak.compare(tape, found, latencies_ms=(20, 100))


@pytest.fixture(scope="module")
def done(tape: Tape, found: list[Basket]) -> ak.Run:
    return ak.backtest(tape, found)


@pytest.fixture(scope="module")
def feeless(tape: Tape) -> Tape:
    """The same rows on markets whose fee rules nobody states."""
    markets = tuple(replace(market, fee_rules=()) for market in tape.markets.markets)
    books = tuple(replace(book, market=markets[book.index // 2]) for book in tape.markets.books)
    return replace(tape, markets=MarketTable(markets, books))


def row(table: pd.DataFrame, strategy: str, latency_ms: float) -> pd.Series[Any]:
    return table[(table["strategy"] == strategy) & (table["latency_ms"] == latency_ms)].iloc[0]


# -- where it is called from -----------------------------------------------------------------------------------


def test_a_comparison_has_a_row_for_every_strategy_and_latency(comparison: ak.Comparison) -> None:
    table = comparison.table
    assert [*zip(table["latency_ms"], table["strategy"], strict=True)] == [
        (latency, name) for latency in (20.0, 100.0) for name in ("MARKET", "LIMIT", "HYBRID")
    ]
    assert (table["opportunities"] == 6).all()
    outcomes = ["completed", "reduced", "missed", "unwound", "escalated", "refused"]
    assert (table[outcomes].sum(axis=1) == 6).all()
    assert len(comparison.trades) == 36
    assert str(comparison).splitlines()[0] == repr(comparison).splitlines()[0] == SYNTHETIC


def test_it_is_the_same_inside_a_running_loop_and_in_a_thread(
    tape: Tape, found: list[Basket], comparison: ak.Comparison
) -> None:
    def compare() -> ak.Comparison:
        return ak.compare(tape, found, latencies_ms=(20, 100))

    async def cell() -> ak.Comparison:
        return compare()  # as in a notebook's cell: a loop is running, and this blocks it

    async def aside() -> ak.Comparison:
        return await asyncio.to_thread(compare)

    beside: list[ak.Comparison] = []
    thread = threading.Thread(target=lambda: beside.append(compare()))
    thread.start()
    thread.join()
    for other in (asyncio.run(cell()), asyncio.run(aside()), beside[0]):
        assert [one.journal for one in other.raw.cells] == [one.journal for one in comparison.raw.cells]


def test_scan_and_backtest_work_inside_a_running_loop(tape: Tape, found: list[Basket], done: ak.Run) -> None:
    async def cell() -> tuple[pd.DataFrame, ak.Run]:
        return ak.scan(tape, found), ak.backtest(tape, found)

    episodes, again = asyncio.run(cell())
    assert len(episodes) == 6
    pd.testing.assert_frame_equal(again.fills, done.fills)


def test_a_script_may_call_it(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "import arbkit as ak\n"
        "from arbkit.history.synthetic import SyntheticSpec\n"
        "tape = ak.synthetic_tape(SyntheticSpec(minutes=0.3, episodes=2))\n"
        "print(ak.compare(tape, ak.baskets(tape), ak.MARKET))\n"
    )
    ended = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(SYNTHETIC + "\n")
    assert ended.stderr == ""


# -- what may be asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named", ["market", "MARKET", ak.MARKET, ["market"], (ak.ExecutionStrategy.MARKET,), iter(["Market"])]
)
def test_strategies_are_named_by_text_or_by_member(tape: Tape, found: list[Basket], named: Any) -> None:
    assert list(ak.compare(tape, found, named).table["strategy"]) == ["MARKET"]


def test_a_single_basket_is_a_list_of_one(tape: Tape, found: list[Basket]) -> None:
    alone = next(basket for basket in found if basket.id == "outcomes:ALPHA-BRAVO:yes")
    assert set(ak.scan(tape, alone)["basket"]) <= {alone.id}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"strategies": ["twap"]}, "no strategy is called 'twap'; there are MARKET, LIMIT, HYBRID"),
        ({"strategies": [None]}, "no strategy is called None"),
        ({"strategies": []}, "at least one"),
        ({"strategies": ["market", "MARKET"]}, "at most once"),
        ({"mode": "both"}, "mode must be one of each, portfolio, not 'both'"),
        ({"mode": "portfolio", "study": "sample:5s"}, "an execution study has no portfolio"),
        ({"edge": "nett"}, "'net' or 'gross', not 'nett'"),
        ({"edge": ""}, "'net' or 'gross'"),
        ({"min_edge": 5}, "config.min_edge = 5 is outside"),
        ({"min_edge": math.nan}, "config.min_edge must be a finite number"),
        ({"min_edge": "a cent"}, "config.min_edge must be a finite number"),
        ({"rearm_s": math.nan}, "rearm_s = nan is outside"),
        ({"rearm_s": -1}, "rearm_s = -1 is outside"),
        ({"study": "often"}, "study must look like 'sample:5s', not 'often'"),
        ({"study": "sample:0s"}, "study must look like"),
        ({"study": "sample:5"}, "study must look like"),
        ({"seeds": 0}, "seeds must be a whole number"),
        ({"seeds": 1.5}, "seeds must be a whole number"),
        ({"seeds": "two"}, "seeds must be a whole number"),
        ({"latencies_ms": 20}, "latencies_ms must be a list"),
        ({"latencies_ms": (20, 20)}, "latencies_ms: one is named twice"),
        ({"latencies_ms": (-5,)}, "scenario.entry_ms"),
        ({"latencies_ms": ("fast",)}, "scenario.entry_ms"),
        ({"latencies_ms": (math.nan,)}, "scenario.entry_ms"),
        ({"config": {"min_edge": 0.01}}, "config must be of type ExecutionConfig, not"),
        ({"scenario": 3}, "scenario must be of type Scenario, not 3"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    tape: Tape, found: list[Basket], asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        ak.compare(tape, found, **asked)


def test_the_continuous_run_refuses_the_same(tape: Tape, found: list[Basket]) -> None:
    with pytest.raises(ConfigError, match="no strategy is called 'twap'"):
        ak.backtest(tape, found, strategy="twap")
    with pytest.raises(ConfigError, match="'net' or 'gross'"):
        ak.backtest(tape, found, edge="brutto")


def test_a_path_is_no_tape_and_says_what_would_be_one(found: list[Basket]) -> None:
    with pytest.raises(ConfigError, match="tape must be of type Tape, not 'tapes/mine'; read_tape"):
        ak.scan("tapes/mine", found)  # type: ignore[arg-type]


def test_a_name_is_no_basket(tape: Tape) -> None:
    with pytest.raises(ConfigError, match=r"arbkit.baskets makes, not 'outcomes'"):
        ak.scan(tape, ["outcomes"])  # type: ignore[list-item]


def test_without_baskets_or_rows_there_is_nothing_to_ask(tape: Tape, found: list[Basket]) -> None:
    with pytest.raises(DataError, match="no baskets"):
        ak.compare(tape, [])
    start = int(tape.rows.ts_recv[0])
    empty = TapeBuilder(tape.markets).tape()
    for call in (ak.scan, ak.compare, ak.backtest):
        with pytest.raises(DataError, match="the tape has no rows"):
            call(empty, found)  # type: ignore[operator]
    assert len(tape.slice(start - 2 * NS_PER_S, start - NS_PER_S)) == 0


def test_baskets_of_another_market_table_are_refused(feeless: Tape, found: list[Basket]) -> None:
    with pytest.raises(DataError, match=r"basket \S+ is of another market table"):
        ak.compare(feeless, found)


def test_the_config_holds_where_the_call_says_nothing(tape: Tape, found: list[Basket]) -> None:
    asked = ak.ExecutionConfig(edge="gross", min_edge=0.02)
    by_config = ak.compare(tape, found, "market", config=asked)
    by_call = ak.compare(tape, found, "market", edge="gross", min_edge=0.02)
    assert by_config.raw.cells == by_call.raw.cells
    assert "gross edge of at least 0.02" in str(by_config.modelled["decisions"])
    over = ak.compare(tape, found, "market", config=asked, edge="net", min_edge=0.0001)
    assert "net edge of at least 0.0001" in str(over.modelled["decisions"])


def test_seeds_follow_the_scenarios_own_and_are_averaged(tape: Tape, found: list[Basket]) -> None:
    made = ak.compare(tape, found, "market", scenario=ak.Scenario(seed=7, jitter=0.5), seeds=3)
    assert [cell.seed for cell in made.raw.cells] == [7, 8, 9]
    assert made.modelled["seed"] == "7, 8, 9"
    assert list(made.table["opportunities"]) == [6.0]


def test_everything_that_was_assumed_is_told(comparison: ak.Comparison) -> None:
    said = comparison.modelled
    assert (said["entry_ms"], said["reply_ms"], said["seed"]) == ("20, 100", "20, 100", "0")
    assert said["fees"] == "synthetic-flat-low"
    assert {"queue", "consumption", "feed_ms", "decide_ms", "max_silence_s", "mirror_settle_ms", "balances",
            "decisions", "slippage_cap", "edge_protected", "clocks", "assumed_fields"} <= set(said)  # fmt: skip
    for name in said:
        assert f"  {name}: " in str(comparison)


@pytest.mark.parametrize(
    ("config", "name", "says"),
    [
        ({"protect_edge": False}, "edge_protected", "NO: caps ignore the edge"),
        ({"max_slippage": 0.02}, "slippage_cap", "0.02 dollars beyond"),
        ({}, "slippage_cap", "1% beyond"),
    ],
)
def test_a_risky_setting_is_told(tape: Tape, found: list[Basket], config: dict[str, Any], name: str, says: str) -> None:
    made = ak.compare(tape, found, "market", config=ak.ExecutionConfig(**config))
    assert says in str(made.modelled[name])


@pytest.mark.parametrize(
    ("scenario", "config"),
    [
        (ak.Scenario(entry_ms=2_500, reply_ms=2_500), ak.ExecutionConfig()),
        (ak.Scenario(entry_ms=10, reply_ms=20), ak.ExecutionConfig(leg_timeout_s=0.03)),
        (ak.Scenario(latency={"reply": Constant(9_000)}), ak.ExecutionConfig()),
        (ak.Scenario(latency={"synthetic:place": Empirical([10, 9_000, 9_500])}), ak.ExecutionConfig()),
        (ak.Scenario(jitter=1.0, reply_ms=6_000), ak.ExecutionConfig()),
    ],
)
def test_answers_that_come_later_than_they_are_waited_for_are_refused_as_their_fills_would_count_for_nothing(
    tape: Tape, found: list[Basket], scenario: ak.Scenario, config: ak.ExecutionConfig
) -> None:
    for call in (ak.compare, ak.backtest):
        with pytest.raises(
            ConfigError, match=r"synthetic takes \d+ ms, there and back.*leg_timeout_s.*hedge_timeout_s"
        ):
            call(tape, found, config=config, scenario=scenario)


def test_one_latency_of_several_that_is_too_long_to_be_waited_for_is_refused_unless_config_waits_longer(
    tape: Tape, found: list[Basket]
) -> None:
    with pytest.raises(ConfigError, match="6000 ms, there and back"):
        ak.compare(tape, found, latencies_ms=(20, 3_000))
    waits = ak.ExecutionConfig(hedge_timeout_s=30.0)
    made = ak.compare(tape, found, strategies="MARKET", config=waits, latencies_ms=(3_000,))
    entries = made.orders[made.orders["purpose"] == "entry"]
    assert not (entries["status"] == "unknown").any()
    assert (entries["filled"] > 0).any()


CHANGED = {
    "min_edge": 0.002, "edge": "gross", "max_size": 7.0, "max_exposure": 9.0, "max_slippage": 0.01,
    "max_slippage_pct": 0.0104, "edge_budget_share": 0.5, "protect_edge": False, "improve_ticks": 2, "post_only": False,
    "limit_timeout_s": 4.0, "hybrid_patience_s": 0.25, "leg_timeout_s": 20.0, "hedge_timeout_s": 8.0,
    "hedge_retry_s": 0.5, "max_unwind_loss": 0.054, "entry_deadline_s": 0.5, "late_arrival_s": 20.0, "reconcile_s": 5.0,
    "resolve_alarm_s": 60.0, "max_clock_skew_s": 1.0, "max_loop_lag_s": 0.1, "request_rate": 20.0, "request_burst": 50,
    "reserved_share": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(ak.ExecutionConfig)])
def test_every_setting_that_is_changed_changes_what_is_printed(tape: Tape, found: list[Basket], name: str) -> None:
    def told(config: ak.ExecutionConfig | None) -> dict[str, object]:
        question = ask(tape, found, min_edge=None, edge=None, rearm_s=1.0, assume_fees=None, config=config)
        return question.assumptions()

    changed, plain = told(ak.ExecutionConfig(**{name: CHANGED[name]})), told(None)
    assert changed != plain
    assert [*changed] == [*plain]
    assert plain["other_settings"] == "none: all as they are by default"


def test_settings_are_printed_as_they_were_given(tape: Tape, found: list[Basket]) -> None:
    config = ak.ExecutionConfig(max_slippage_pct=0.0004, max_unwind_loss=0.004, improve_ticks=2, post_only=False)
    question = ask(tape, found, min_edge=None, edge=None, rearm_s=1.0, assume_fees=None, config=config)
    told = question.assumptions()
    assert told["slippage_cap"] == "0.04% beyond the last level needed"
    assert told["max_unwind_loss"] == "0.4% of the trade's cost"
    assert told["other_settings"] == "improve_ticks 2, post_only no"


# -- net figures without fees ----------------------------------------------------------------------------------


def test_unknown_fees_refuse_net_and_leave_gross_with_its_reason(feeless: Tape) -> None:
    found = ak.baskets(feeless)
    with pytest.raises(DataError, match="net figures are refused: market synthetic:ALPHA has no fee rule"):
        ak.compare(feeless, found)
    made = ak.compare(feeless, found, edge="gross")
    net = ["shortfall_mean", "unwind_cost", "fees", "pnl", "pnl_per_opportunity"]
    assert made.table[net].isna().all(axis=None)
    assert made.table["completion_rate"].notna().all()
    assert "fees are not known here" in str(made)
    assert str(made.modelled["fees"]).startswith("unknown: nothing net can be told")
    assert made.trades["pnl"].isna().all()


def test_rows_that_change_the_fee_rule_refuse_net_and_leave_gross(tape: Tape) -> None:
    """Nothing charges what such a row says: figures with the rule from before would be called net."""
    rows = {name: np.array(column) for name, column in tape.rows._asdict().items()}
    at = int(np.flatnonzero(rows["meta"] == meta(KIND_LEVEL, SIDE_BID))[0])
    rows["meta"][at], rows["size"][at] = meta(KIND_FEE), 0
    changed = Tape.from_columns(tape.markets, **rows, clocks=tape.clocks, synthetic=True)
    found = ak.baskets(changed)
    with pytest.raises(DataError, match=f"net figures are refused: row {at} puts another fee rule in force"):
        ak.scan(changed, found)
    assert len(ak.scan(changed, found, edge="gross", min_edge=-0.01))


def test_an_assumed_rule_is_printed_as_assumed(feeless: Tape) -> None:
    found = ak.baskets(feeless)
    made = ak.compare(feeless, found, "market", assume_fees="synthetic-flat-low")
    assert made.modelled["fees"] == "synthetic-flat-low (assumed)"
    assert made.table["pnl"].notna().all()
    with pytest.raises(DataError, match="nonsense"):
        ak.compare(feeless, found, "market", edge="gross", assume_fees="nonsense")


# -- scan ------------------------------------------------------------------------------------------------------


def test_a_scan_has_the_columns_and_types_it_promises(tape: Tape, found: list[Basket]) -> None:
    frame = ak.scan(tape, found)
    assert list(frame.columns) == EPISODE
    assert [str(frame[name].dtype) for name in ("start", "end")] == ["datetime64[ns, UTC]"] * 2
    assert (str(frame["censored"].dtype), str(frame["edge"].dtype)) == ("bool", "float64")
    assert (frame["edge"] > 0).all()
    assert (frame["life_ms"] >= frame["open_ms"]).all()
    assert frame.attrs["synthetic"] is True
    nothing = ak.scan(tape, found, min_edge=0.9)
    assert len(nothing) == 0
    assert list(nothing.dtypes) == list(frame.dtypes)


def test_a_scan_report_reads_as_text_and_as_json(tape: Tape, found: list[Basket]) -> None:
    report = results.scan_report(tape, found)
    lines = str(report).splitlines()
    assert lines[0] == SYNTHETIC
    assert lines[1] == "6 episodes with an executable net edge"
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert {"episodes", "quality"} <= set(plain)
    assert [list(one) for one in plain["episodes"]] == [EPISODE] * 6
    assert plain["modelled"]["synthetic"] is True
    assert pd.Timestamp(plain["episodes"][0]["start"]) == report.frame["start"].iloc[0]


def test_many_episodes_are_shown_in_part(tape: Tape, found: list[Basket]) -> None:
    report = results.scan_report(tape, found)
    report.__dict__["frame"] = pd.concat([report.frame] * 4, ignore_index=True)  # in place of the cached one
    assert "  ... and 4 more" in str(report)


# -- execution study -------------------------------------------------------------------------------------------


def test_a_study_says_what_it_is_not(tape: Tape, found: list[Basket]) -> None:
    made = ak.compare(tape, found, "market", study="sample:5s")
    assert "execution study, not arbitrage" in str(made).splitlines()[1]
    assert "at fixed times" in str(made.modelled["decisions"])
    starts = sorted({o.detected_at for o in made.raw.opportunities})
    assert {late - early for early, late in pairwise(starts)} == {5 * NS_PER_S}


# -- what is left out ------------------------------------------------------------------------------------------


def test_orders_whose_fate_was_not_known_when_their_trade_ended_are_told_of_first(
    tape: Tape, found: list[Basket]
) -> None:
    made = ak.compare(tape, found, "hybrid", latencies_ms=(2_400,))
    (cell,) = made.raw.cells
    orders = [order for result in cell.results for leg in result.trade.legs for order in leg.orders]
    lost = sum(order.status is OrderStatus.UNKNOWN for order in orders)
    told = f"{lost} of {len(orders)} orders when their trade ended; what they filled counts nothing"
    assert lost
    assert made.modelled["unheard"] == told
    assert str(made).splitlines()[1] == f"not heard of in time: {told}"
    assert "unheard" not in ak.compare(tape, found, "hybrid", latencies_ms=(20,)).modelled


# -- interruption ----------------------------------------------------------------------------------------------


class Interrupts(progress.Bar):
    """A bar at which somebody presses Ctrl-C once `after` are done of what is called `at`."""

    after, at = 2, "comparing"

    def __init__(self, what: str, unit: str, *, quiet: bool = False) -> None:
        super().__init__(what, unit, quiet=quiet)
        self.what = what

    def __call__(self, done: int, total: int) -> None:
        if self.what == self.at and done >= self.after:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Put the bar in place: the public calls make their own."""

    def at(what: str, after: int) -> None:
        for module in (question_module, runs):
            monkeypatch.setattr(module, "Bar", type("Now", (Interrupts,), {"after": after, "at": what}))

    return at  # type: ignore[return-value]


def test_an_interrupted_comparison_is_whole_as_far_as_it_goes_and_says_so(
    tape: Tape, found: list[Basket], comparison: ak.Comparison, interrupted: Callable[[str, int], None]
) -> None:
    interrupted("comparing", 4)
    made = ak.compare(tape, found, latencies_ms=(20, 100))
    assert made.modelled["interrupted"] == "only the first 4 of 6 opportunities were run"
    told = "interrupted: only the first 4 of 6 opportunities were run"
    assert str(made).splitlines()[:2] == repr(made.tearsheet()).splitlines()[:2] == [SYNTHETIC, told]
    shown = made.tearsheet().summary_html()
    assert shown.index(told) < shown.index("MARKET")
    assert (made.table["opportunities"] == 4).all()
    for part, whole in zip(made.raw.cells, comparison.raw.cells, strict=True):
        assert part.results == whole.results[:4]
    assert "interrupted" in made.tearsheet().html()


def test_an_interrupted_scan_says_how_far_it_came(
    tape: Tape, found: list[Basket], interrupted: Callable[[str, int], None]
) -> None:
    assert len(tape) < 100_000  # one piece, so that it was all looked at before the key was pressed
    interrupted("scanning", 1)
    report = results.scan_report(tape, found)
    assert "scan_interrupted" not in report.modelled
    cut = replace(report.result, rows=100)
    question = ask(tape, found, min_edge=None, edge=None, rearm_s=1.0, assume_fees=None)
    question.__dict__["scanned"] = cut
    told = f"only the first 100 of {len(tape):,} rows were scanned"
    assert question.modelled()["scan_interrupted"] == told
    assert told in str(replace(report, modelled=question.modelled()))


def test_an_interrupted_continuous_comparison_keeps_the_runs_that_were_made(
    tape: Tape, found: list[Basket], interrupted: Callable[[str, int], None]
) -> None:
    interrupted("comparing", 2)
    made = ak.compare(tape, found, mode="portfolio")
    assert list(made.table["strategy"]) == ["MARKET", "LIMIT"]
    assert made.modelled["interrupted"] == "only the first 2 of 3 runs were made"
    assert str(made).splitlines()[1] == "interrupted: only the first 2 of 3 runs were made"


def test_interrupted_before_the_first_run_there_is_nothing_to_keep(
    tape: Tape, found: list[Basket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run_portfolio", pressed)
    with pytest.raises(KeyboardInterrupt):
        ak.backtest(tape, found)


# -- the bar ---------------------------------------------------------------------------------------------------


def test_the_bar_waits_two_seconds_and_writes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.Bar("comparing", "opportunity") as bar:
        for n in range(5):
            bar(n + 1, 5)
        assert capfd.readouterr() == ("", "")  # two seconds have not gone by
        bar._bar.start_t -= 2.5
        bar._bar.last_print_t -= 2.5
        bar._bar.n = 0
        bar(1, 5)
        out, err = capfd.readouterr()
        assert out == ""
        assert "comparing:  20%" in err
    assert progress.Bar("nothing", "row").__enter__()._bar is None


# -- continuous runs -------------------------------------------------------------------------------------------


def test_a_continuous_comparison_counts_every_episode(tape: Tape, found: list[Basket]) -> None:
    made = ak.compare(tape, found, mode="portfolio")
    assert (made.table["seen"] == 6).all()
    assert (made.table["opportunities"] >= 6).all()
    outcomes = ["completed", "reduced", "missed", "unwound", "escalated", "refused"]
    passed_over = made.table["opportunities"] - made.table[outcomes].sum(axis=1)
    assert (passed_over >= made.table["skipped_busy"]).all()
    assert str(made.modelled["mode"]).startswith("portfolio")
    assert made.raw.counters["MARKET", 50.0]["seen"] == 6


def test_counters_are_means_over_seeds(tape: Tape, found: list[Basket]) -> None:
    made = ak.compare(tape, found, "limit", mode="portfolio", seeds=2, scenario=ak.Scenario(jitter=0.5))
    alone = [
        ak.compare(tape, found, "limit", mode="portfolio", scenario=ak.Scenario(jitter=0.5, seed=seed))
        for seed in (0, 1)
    ]
    busy = [one.raw.counters["LIMIT", 50.0]["skipped_busy"] for one in alone]
    assert made.raw.counters["LIMIT", 50.0]["skipped_busy"] == sum(busy) / 2
    assert made.table["skipped_busy"].iloc[0] == sum(busy) / 2


def test_a_run_is_one_row_and_its_equity_begins_with_the_tape(tape: Tape, done: ak.Run) -> None:
    summary = done.summary()
    assert list(summary["strategy"]) == ["HYBRID"]
    equity = done.equity
    assert list(equity.columns) == ["at", "cash", "locked", "equity"]
    assert str(equity["at"].dtype) == "datetime64[ns, UTC]"
    assert equity["at"].iloc[0] == pd.Timestamp(int(tape.rows.ts_recv[0]), tz="UTC")
    assert (equity["cash"].iloc[0], equity["locked"].iloc[0]) == (10_000.0, 0.0)
    assert len(equity) == len(done.trades) + 1
    assert equity["equity"].iloc[-1] - 10_000 == pytest.approx(done.trades["pnl"].sum(), abs=1e-4)
    assert str(done).splitlines()[0] == repr(done).splitlines()[0] == SYNTHETIC
    assert "equity" in done.figures


@pytest.mark.parametrize("strategy", ["MARKET", "limit", ak.HYBRID])
def test_a_run_is_that_of_a_comparison(tape: Tape, found: list[Basket], strategy: str) -> None:
    run = ak.backtest(tape, found, strategy=strategy)
    made = ak.compare(tape, found, strategy, mode="portfolio")
    pd.testing.assert_frame_equal(run.summary(), made.table)


# -- saving ----------------------------------------------------------------------------------------------------

PARTS = ("trades", "legs", "orders", "fills", "markouts", "shortfall", "equity")


def test_a_saved_run_comes_back_whole(done: ak.Run, tmp_path: Path) -> None:
    where = done.save(tmp_path / "runs" / "mine")
    assert where == tmp_path / "runs" / "mine"
    again = ak.load_run(str(where))
    for part in PARTS:
        pd.testing.assert_frame_equal(getattr(again, part), getattr(done, part))
    pd.testing.assert_frame_equal(again.summary(), done.summary())
    assert again.modelled == done.modelled
    assert again.synthetic is True
    assert str(again) == str(done)
    assert SYNTHETIC in again._repr_html_()
    assert "arbkit-report" in done._repr_html_()
    assert [path.name for path in where.parent.iterdir()] == ["mine"]  # nothing half-written beside it
    assert ak.load_run(again.save(tmp_path / "copy")).modelled == done.modelled


def test_a_run_without_trades_comes_back_with_its_types(tape: Tape, found: list[Basket], tmp_path: Path) -> None:
    idle = ak.backtest(tape, found, config=ak.ExecutionConfig(min_edge=0.9))
    again = ak.load_run(idle.save(tmp_path / "idle"))
    for part in PARTS:
        pd.testing.assert_frame_equal(getattr(again, part), getattr(idle, part))
    assert len(again.equity) == 1


def test_a_loaded_run_has_no_report(done: ak.Run, tmp_path: Path) -> None:
    again = ak.load_run(done.save(tmp_path / "mine"))
    assert "<html" in done.tearsheet().html()
    with pytest.raises(DataError, match="save the tearsheet when the run is made"):
        again.tearsheet()


def test_saving_replaces_a_run_and_nothing_else(done: ak.Run, tmp_path: Path) -> None:
    done.save(tmp_path / "mine")
    (tmp_path / "mine" / "stray.txt").write_text("left by somebody")
    done.save(tmp_path / "mine")
    assert not (tmp_path / "mine" / "stray.txt").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"schema_version": 1}')
    (tmp_path / "file").write_text("")
    for taken in ("other", "file"):
        with pytest.raises(DataError, match="exists and is not overwritten"):
            done.save(tmp_path / taken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "other"]
    assert (tmp_path / "other" / "run.json").read_text() == '{"schema_version": 1}'


def test_a_save_that_fails_leaves_what_was_there(done: ak.Run, tmp_path: Path, tape: Tape, found: list[Basket]) -> None:
    done.save(tmp_path / "mine")
    broken = ak.load_run(tmp_path / "mine")
    broken._frames["fills"] = pd.DataFrame({"mixed": [1, "one", object()]})
    with pytest.raises(Exception, match=r"Could not convert|object"):
        broken.save(tmp_path / "mine")
    assert len(ak.load_run(tmp_path / "mine").fills) == len(done.fills)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def shortened(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda at: (at / "fills.parquet").unlink(), r"fills.parquet: cannot be read"),
        (lambda at: shortened(at / "fills.parquet"), r"fills.parquet: is not the file that was saved"),
        (lambda at: (at / "legs.parquet").write_bytes((at / "fills.parquet").read_bytes()), r"legs.parquet: is not"),
        (lambda at: (at / "run.json").unlink(), r"not a saved run: there is no run.json"),
        (lambda at: shortened(at / "run.json"), r"run.json: cannot be read"),
        (lambda at: (at / "run.json").write_bytes(b"\xff\xfe{"), r"run.json: cannot be read"),
        (lambda at: (at / "run.json").write_text("[]"), r"run.json: was not written by arbkit"),
        (lambda at: (at / "run.json").write_text("{}"), r"run.json: was not written by arbkit"),
        (lambda at: edited(at / "run.json", schema_version=3), r"schema_version 3, but this arbkit reads 2"),
        (lambda at: edited(at / "run.json", quality=None), r"field `quality` is missing"),
    ],
)
def test_a_damaged_run_is_refused_by_file(
    done: ak.Run, tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    where = done.save(tmp_path / "mine")
    damage(where)
    with pytest.raises(DataError, match=says):
        ak.load_run(where)


def edited(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_what_is_not_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: not a saved run"):
        ak.load_run(tmp_path / "nowhere")


# -- JSON, frames, figures -------------------------------------------------------------------------------------


def test_the_json_of_a_comparison_has_the_promised_keys(comparison: ak.Comparison, tape: Tape) -> None:
    plain = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert set(plain) == {"table", "modelled", "quality"}
    for one in plain["table"]:
        assert set(KEYS) <= set(one)
        assert all({f"{name}_lo", f"{name}_hi"} <= set(one) for name in WITH_ENDS)
        assert one["completion_rate_lo"] is None  # too few clusters in a minute
    assert plain["modelled"]["synthetic"] is True
    assert plain["quality"]["rows"] == len(tape)


def test_a_comparison_without_opportunities_is_told_not_raised(tape: Tape, found: list[Basket]) -> None:
    made = ak.compare(tape, found, min_edge=0.9)
    assert "No opportunity was found" in str(made)
    assert (made.table["opportunities"] == 0).all()
    json.dumps(made.to_dict(), allow_nan=False)
    assert "<html" in made.tearsheet().html()
    assert (len(made.trades), len(made.legs), len(made.orders), len(made.fills)) == (0, 0, 0, 0)


def test_what_a_comparison_shows_can_be_recomputed_from_its_frames(comparison: ak.Comparison) -> None:
    for (strategy, latency), trades in comparison.trades.groupby(["strategy", "latency_ms"]):
        told = row(comparison.table, strategy, latency)
        assert told["completed"] == (trades["outcome"] == "completed").sum()
        assert told["pnl"] == pytest.approx(trades["pnl"].sum())
    legs = comparison.legs
    assert legs["filled"].sum() == pytest.approx(
        comparison.fills.loc[comparison.fills["purpose"] == "entry", "size"].sum()
    )
    assert set(comparison.fills["model"]) != {""}
    assert (comparison.fills["row"] >= 0).all()
    assert set(comparison.fills["order_id"]) <= set(comparison.orders["order_id"])
    assert list(comparison.executable["latency_ms"]) == [20.0, 100.0]
    assert "completion" in comparison.figures
    assert "arbkit-report" in comparison._repr_html_()


# -- shipped ---------------------------------------------------------------------------------------------------


def test_a_tape_that_does_not_ship_is_refused_by_name() -> None:
    for name in ("gold", "", ".", "../tests"):
        with pytest.raises(DataError, match=r"no shipped tape .*; there is .*synthetic_two_market"):
            shipped(name)


def test_without_the_projects_data_it_says_where_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("arbkit.history.shipped.DATA", tmp_path / "data")
    with pytest.raises(DataError, match="run from a clone of the project"):
        shipped("synthetic_two_market")
