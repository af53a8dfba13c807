"""Mark-outs, shortfall by cause and what could be caught, as frames and pictures."""

from dataclasses import replace

import pandas as pd
import pytest

from arbkit.analysis.comparison import comparison_table, executable_table
from arbkit.analysis.figures import parts
from arbkit.analysis.measures import (
    CATCHABLE,
    MARKOUTS,
    PARTS,
    SHORTFALL,
    catchable_table,
    markouts_frame,
    parts_table,
    shortfall_frame,
)
from arbkit.backtest.compare import Catch, Life
from arbkit.backtest.shortfall import Split
from arbkit.core.model import Purpose
from tests.unit.analysis.fakes import (
    MARKET,
    MS,
    START,
    Cell,
    Comparison,
    Markout,
    S,
    opportunity,
    realistic,
    refused,
    simple,
)

SPLITS = (Split(0, 100_000, -50_000, 40_000, 10_000, 900_000), Split(unfilled=2_000_000))


def two(**changes):
    """One trade completed, pnl 1 of 2 dollars expected; one refused."""
    made = tuple(opportunity(i, at=START + i * 60 * S, size=100, edge=0.02) for i in range(2))
    results = (simple(made[0], MARKET, (1.0, 1.0), pnl=1.0), refused(made[1], MARKET))
    catches = (Catch(0.0, (True, True)), Catch(20.0, (True, False)), Catch(500.0, (False, False)))
    cell = Cell(MARKET, 20.0, 0, results, (True, False), splits=SPLITS, catches=catches)
    lives = (Life(400 * MS, False), Life(20 * MS, True))
    return replace(Comparison(made, (cell,), lives=lives), **changes)


def test_the_parts_of_a_trade_add_up_to_its_shortfall_in_dollars():
    frame = shortfall_frame(two())
    assert dict(frame.dtypes.astype(str)) == SHORTFALL
    assert frame[["outcome", "shortfall", "unfilled", "delay", "spread", "undoing"]].to_dict("list") == {
        "outcome": ["completed", "refused"], "shortfall": [1.0, 2.0], "unfilled": [0.0, 2.0], "delay": [0.1, 0.0],
        "spread": [-0.05, 0.0], "undoing": [0.9, 0.0],
    }  # fmt: skip
    assert frame[list(PARTS)].sum(axis=1).tolist() == pytest.approx(frame["shortfall"].tolist())


def test_without_known_fees_no_part_is_told():
    raw = two(fees_known=False)
    assert shortfall_frame(raw)[["shortfall", *PARTS]].isna().all(axis=None)
    assert len(parts_table(raw)) == 0


def test_the_mean_parts_add_up_to_the_tables_shortfall():
    raw = realistic(n=40, latencies=(20.0, 250.0), seeds=2)
    made, table = parts_table(raw), comparison_table(raw)
    assert made["shortfall_mean"].tolist() == pytest.approx(table["shortfall_mean"].tolist())
    assert made[list(PARTS)].sum(axis=1).tolist() == pytest.approx(table["shortfall_mean"].tolist())
    assert made["n_opportunities"].tolist() == table["n_opportunities"].tolist()


def test_what_a_continuous_run_passed_over_is_unfilled():
    raw = two(mode="portfolio")
    raw = replace(raw, cells=(replace(raw.cells[0], results=raw.cells[0].results[:1], splits=SPLITS[:1]),))
    (row,) = parts_table(raw).itertuples()
    assert (row.shortfall_mean, row.unfilled) == (pytest.approx(3.0 / 200), pytest.approx(2.0 / 200))
    assert len(shortfall_frame(raw)) == 1


def test_a_comparison_without_parts_has_none():
    raw = two()
    raw = replace(raw, cells=(replace(raw.cells[0], splits=(), catches=()),))
    assert (len(shortfall_frame(raw)), len(parts_table(raw)), len(catchable_table(raw))) == (0, 0, 0)


def test_every_entry_fill_is_marked_at_every_horizon_and_undefined_is_nan():
    raw = two()
    trade = raw.cells[0].results[0].trade.id
    bought = Markout(trade, "f1", 0, Purpose.ENTRY, True, 100, 490_000, 495_000, 480_000, 1, 30_000_000)
    marks = (bought, replace(bought, side=-1, best=-1), replace(bought, horizon_ms=60_000, mid=-1, best=-1))
    frame = markouts_frame(replace(raw, cells=(replace(raw.cells[0], markouts=marks),)))
    assert dict(frame.dtypes.astype(str)) == MARKOUTS
    assert frame["markout"].tolist()[:2] == pytest.approx([0.005, -0.005])
    assert frame["markout_best"].iloc[0] == pytest.approx(-0.01)
    assert frame[["mid", "markout"]].isna().all(axis=1).tolist() == [False, False, True]
    assert frame[["best", "markout_best"]].isna().all(axis=1).tolist() == [False, True, True]
    assert frame["side"].tolist() == ["buy", "sell", "buy"]


def test_what_could_be_caught_is_counted_beside_how_long_episodes_lasted():
    frame = catchable_table(two())
    assert dict(frame.dtypes.astype(str)) == CATCHABLE
    assert frame["executable_share"].tolist() == [1.0, 0.5, 0.0]
    assert frame["open_share"].tolist() == [1.0, 1.0, 0.0]  # the censored one leaves the count when it was lost
    assert frame["n_open"].tolist() == [2, 1, 1]
    assert frame["n_opportunities"].tolist() == [2, 2, 2]


def test_a_study_has_no_lives_and_a_continuous_run_no_curve():
    assert catchable_table(two(lives=()))["open_share"].isna().all()
    assert len(catchable_table(two(mode="portfolio"))) == 0


def test_the_curve_goes_through_the_executable_shares_with_their_intervals():
    raw = realistic(n=80, latencies=(20.0, 250.0))
    curve = catchable_table(raw).set_index("latency_ms")
    for row in executable_table(raw).itertuples():
        there = curve.loc[row.latency_ms]
        assert there["executable_share"] == row.executable_share
        assert (there["executable_share_lo"], there["executable_share_hi"]) == (
            row.executable_share_lo,
            row.executable_share_hi,
        )
        assert there["n_clusters"] == row.n_clusters


def test_losses_are_stacked_upwards_in_cents_and_marked_at_their_sum():
    figure = parts.plot_parts(parts_table(two()))
    bars = {bar.name: bar.y[0] for bar in figure.data}
    assert bars["undoing"] == pytest.approx(90 / 200)
    assert bars["spread"] == pytest.approx(-5 / 200)
    assert bars["shortfall"] == pytest.approx(300 / 200)
    assert figure.layout.barmode == "relative"


def test_the_curve_is_drawn_on_a_logarithmic_axis_with_at_once_at_its_end():
    figure = parts.plot_catchable(catchable_table(two()))
    counted, lasted = figure.data
    assert list(counted.x) == [1.0, 20.0, 500.0]
    assert list(counted.y) == [1.0, 0.5, 0.0]
    assert list(lasted.y) == [1.0, 1.0, 0.0]
    assert figure.layout.xaxis.type == "log"
    assert not pd.isna(counted.y).any()
