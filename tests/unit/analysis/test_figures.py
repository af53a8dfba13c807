import pandas as pd
import plotly.graph_objects as go
import pytest

from arbkit.analysis import frames
from arbkit.analysis.comparison import comparison_table, executable_table
from arbkit.analysis.figures import CAPTIONS, costs, course, figures_of, fills
from arbkit.analysis.span import QUEUES, queue_table
from arbkit.backtest.equity import Balance, balances
from arbkit.core.model import Outcome, Purpose
from tests.builders import replace
from tests.unit.analysis.fakes import (
    HYBRID,
    LIMIT,
    MARKET,
    START,
    Cell,
    Comparison,
    Markout,
    S,
    basket,
    opportunity,
    realistic,
    refused,
    simple,
)


def three():
    """Completed, one leg of two filled, refused."""
    made = tuple(opportunity(i, at=START + i * 60 * S, size=100, edge=0.02) for i in range(3))
    results = (
        simple(made[0], MARKET, (1.0, 1.0), worse=0.002, pnl=1.0, took_ms=10),
        simple(made[1], MARKET, (1.0, 0.0), worse=0.004, pnl=-1.0, took_ms=30),
        refused(made[2], MARKET),
    )
    return Comparison(made, (Cell(MARKET, 50.0, 0, results, (True, True, False)),))


@pytest.fixture(scope="module")
def whole():
    raw = realistic(n=40, latencies=(20.0, 250.0))
    return raw, comparison_table(raw)


def test_outcomes_add_up_to_all_opportunities():
    table = fills.outcomes_table(comparison_table(three()))
    shares = dict(zip(table["outcome"], table["share"], strict=True))
    assert shares["completed"] == shares["unwound"] == shares["refused"] == pytest.approx(1 / 3)
    assert shares["missed"] == shares["skipped"] == 0
    assert table["share"].sum() == pytest.approx(1)


def test_the_fill_rate_picture_shows_the_table_with_its_intervals(whole):
    _, table = whole
    made = fills.fill_rate_table(table)
    assert list(made["leg_fill_rate"]) == list(table["leg_fill_rate"])
    bar = fills.plot_fill_rate(made).data[0]
    first = made[made["strategy"] == bar.name].iloc[0]
    assert bar.y[0] == first["leg_fill_rate"]
    assert bar.error_y.array[0] == pytest.approx(first["leg_fill_rate_hi"] - first["leg_fill_rate"])


def test_completion_stands_beside_the_brute_force_share():
    raw = three()
    made = fills.completion_table(comparison_table(raw), executable_table(raw))
    assert made["completion_rate"].iloc[0] == pytest.approx(1 / 3)
    assert made["executable_share"].iloc[0] == pytest.approx(2 / 3)
    names = [trace.name for trace in fills.plot_completion(made).data]
    assert names == ["still executable on the tape (brute force)", "MARKET"]


def test_completion_is_drawn_without_a_reference_where_nothing_was_counted():
    raw = three()
    raw = replace(raw, cells=(replace(raw.cells[0], executable=()),))
    figure = fills.plot_completion(fills.completion_table(comparison_table(raw), executable_table(raw)))
    assert [trace.name for trace in figure.data] == ["MARKET"]


def test_legs_filled_are_counted_in_failed_trades_alone():
    raw = three()
    made = fills.one_leg_table(frames.trades_frame(raw), frames.legs_frame(raw))
    assert made.to_dict("records") == [{"latency_ms": 50.0, "legs": 2, "filled": 1, "trades": 1.0}]
    assert fills.plot_one_leg(made).data[0].name == "1 of 2 legs"


def test_a_comparison_without_failures_has_no_legs_to_count():
    of = opportunity(1)
    raw = Comparison((of,), (Cell(MARKET, 50.0, 0, (simple(of, MARKET, (1.0, 1.0)),)),))
    assert len(fills.one_leg_table(frames.trades_frame(raw), frames.legs_frame(raw))) == 0
    assert "one_leg" not in figures_of(raw, comparison_table(raw))


def test_slippage_is_drawn_in_cents_over_the_legs_with_a_fill():
    made = costs.slippage_table(frames.legs_frame(three()))
    row = made.iloc[0]
    assert row["n"] == 3
    assert row["mean"] == pytest.approx((0.2 + 0.2 + 0.4) / 3)
    assert row["p50"] == pytest.approx(0.2)


def test_shortfall_is_drawn_in_cents(whole):
    _, table = whole
    made = costs.shortfall_table(table)
    assert list(made["shortfall"]) == pytest.approx(list(table["shortfall_mean"] * 100))
    assert list(made["shortfall_hi"]) == pytest.approx(list(table["shortfall_mean_hi"] * 100))


def test_execution_time_leaves_out_what_was_never_sent():
    row = course.execution_time_table(frames.trades_frame(three())).iloc[0]
    assert (row["n"], row["p50"], row["mean"]) == (2, 20.0, 20.0)


def marked(raw, **changes):
    trade = raw.cells[0].results[0].trade.id
    usual = Markout(trade, "f", 0, Purpose.ENTRY, True, 1_000, 490_000, 480_000, 470_000, 1, 30_000_000)
    return replace(usual, **changes)


def test_markouts_are_share_weighted_cents_of_entries_and_below_nought_when_adverse():
    raw = three()
    marks = (
        marked(raw),
        marked(raw, leg=1, mid=495_000, size=10_000_000),
        marked(raw, mid=-1),
        marked(raw, purpose=Purpose.EXIT, mid=100_000),
    )
    made = costs.markout_table(replace(raw, cells=(replace(raw.cells[0], markouts=marks),)))
    (row,) = made.itertuples()
    assert row.markout == pytest.approx((30 * -1.0 + 10 * 0.5) / 40)
    assert (row.fills, row.horizon_ms, row.n_fills, row.n_unknown, row.n_clusters) == ("maker", 1_000, 2, 1, 1)
    assert pd.isna(row.lo)
    sold = costs.markout_table(replace(raw, cells=(replace(raw.cells[0], markouts=(marked(raw, side=-1),)),)))
    assert sold["markout"].iloc[0] == pytest.approx(1.0)


def test_resting_and_taking_fills_are_marked_apart_and_against_what_is_asked_for():
    raw = three()
    marks = (marked(raw), marked(raw, maker=False, mid=500_000))
    made = replace(raw, cells=(replace(raw.cells[0], markouts=marks),))
    assert costs.markout_table(made).set_index("fills")["markout"].to_dict() == pytest.approx(
        {"maker": -1.0, "taker": 1.0}
    )
    assert costs.markout_table(made, against="best").set_index("fills")["markout"].to_dict() == pytest.approx(
        {"maker": -2.0, "taker": -2.0}
    )
    lines = costs.plot_markout(costs.markout_table(made)).data
    assert [(line.name, line.marker.symbol) for line in lines] == [
        ("MARKET, maker", "circle"),
        ("MARKET, taker", "circle-open"),
    ]


def test_markouts_have_intervals_where_there_are_clusters_enough(whole):
    raw, _ = whole
    made = costs.markout_table(raw)
    assert set(made["latency_ms"]) == {20.0}
    kinds = set(zip(made["strategy"], made["fills"], strict=True))
    assert kinds == {("MARKET", "taker"), ("LIMIT", "maker"), ("HYBRID", "maker"), ("HYBRID", "taker")}
    assert (made["lo"] <= made["markout"]).all()


def test_a_horizon_at_which_no_mid_was_known_is_left_out():
    raw = three()
    made = costs.markout_table(replace(raw, cells=(replace(raw.cells[0], markouts=(marked(raw, mid=-1),)),)))
    assert len(made) == 0


def test_no_two_models_of_one_comparison_look_alike():
    shown = len(QUEUES) + 2  # each rule, and the hopeful one at both ends
    assert len(set(course.SHADES)) == len(course.SHADES) >= shown
    assert len(set(course.MARKS)) == len(course.MARKS) >= shown


def test_the_queue_span_runs_from_the_most_cautious_model_to_the_most_hopeful(whole):
    raw, table = whole
    made = queue_table(raw)
    assert set(made["strategy"]) == {"LIMIT", "HYBRID"}
    limit = made[made["strategy"] == "LIMIT"]
    assert list(limit["model"]) == [
        "through, cautious", "through, hopeful", "risk-averse, cautious", "risk-averse, hopeful", "front, cautious", "front, hopeful",
    ]  # fmt: skip
    assert limit["leg_fill_rate"].iloc[-1] > limit["leg_fill_rate"].iloc[0]
    base = table[(table["strategy"] == "LIMIT") & (table["latency_ms"] == 20.0)].iloc[0]
    assert limit.set_index("model").loc["risk-averse, cautious", "leg_fill_rate"] == base["leg_fill_rate"]
    assert isinstance(course.plot_queue(made), go.Figure)


def test_models_are_compared_on_the_seeds_they_have_in_common():
    raw = realistic(n=12, latencies=(20.0,), seeds=2)
    one_seed = replace(raw, sensitivity=tuple(cell for cell in raw.sensitivity if cell.seed == 0))
    limit = queue_table(one_seed).query("strategy == 'LIMIT' and model == 'risk-averse, cautious'").iloc[0]
    alone = [cell for cell in raw.cells if cell.strategy is LIMIT and cell.seed == 0]
    assert limit["leg_fill_rate"] == comparison_table(raw, alone)["leg_fill_rate"].iloc[0]


def test_without_other_models_there_is_no_span():
    raw = three()
    assert len(queue_table(raw)) == 0
    assert "queue" not in figures_of(raw, comparison_table(raw))


def test_equity_is_cash_and_baskets_at_their_floor_since_the_start():
    made = tuple(opportunity(i, at=START + i * 60 * S, size=100, of=basket("a")) for i in range(2))
    results = (
        replace(simple(made[0], HYBRID, (1.0, 1.0), pnl=3.0), cash=-97_000_000),
        replace(simple(made[1], HYBRID, (0.0, 0.0)), gas=10_000),
    )
    account = balances(Balance(START, 50_000_000, 0), results)
    run = Cell(HYBRID, 50.0, 0, results, balances=account)
    frame = course.equity_table(Comparison(made, (run, Cell(MARKET, 50.0, 0, ())), mode="portfolio"))
    assert list(frame["cash"]) == [-97.0, -97.01]
    assert list(frame["locked"]) == [100.0, 100.0]
    assert list(frame["equity"]) == pytest.approx([3.0, 2.99])
    assert frame.dtypes["at"] == "datetime64[ns, UTC]"
    assert course.plot_equity(frame).data[0].line.shape == "hv"


def test_every_picture_has_a_title_a_caption_and_says_n(whole):
    raw, table = whole
    shown = figures_of(raw, table)
    assert set(shown) == set(CAPTIONS) - {"equity"}
    for name, each in shown.items():
        layout = each.figure.layout
        assert layout.title.text, name
        assert "n = " in layout.title.subtitle.text, name
        assert each.caption, name
        if name != "queue":
            assert layout.xaxis.title.text, name
            assert layout.yaxis.title.text, name


def test_a_continuous_run_has_its_equity_drawn(whole):
    raw, _ = whole
    accounts = [(cell, balances(Balance(START, 0, 0), cell.results)) for cell in raw.cells if cell.latency_ms == 20.0]
    raw = replace(raw, mode="portfolio", cells=tuple(replace(cell, balances=account) for cell, account in accounts))
    assert "equity" in figures_of(raw, comparison_table(raw))


def test_without_known_fees_nothing_net_is_drawn(whole):
    raw, _ = whole
    raw = replace(raw, fees_known=False)
    shown = figures_of(raw, comparison_table(raw))
    assert "shortfall" not in shown
    assert "completion" in shown
    assert all(isinstance(each.figure, go.Figure) for each in shown.values())


def test_a_comparison_without_opportunities_has_no_pictures():
    raw = Comparison((), (Cell(MARKET, 50.0, 0, ()),))
    assert len(figures_of(raw, comparison_table(raw))) == 0


def test_one_leg_shares_are_of_the_failed_trades_of_their_latency(whole):
    raw, table = whole
    made = fills.one_leg_table(frames.trades_frame(raw), frames.legs_frame(raw))
    failed = table.set_index(["strategy", "latency_ms"]).loc["MARKET"]
    for latency_ms, rows in made.groupby("latency_ms"):
        row = failed.loc[latency_ms]
        assert rows["trades"].sum() == row["opportunities"] - row["completed"] - row["refused"]


def test_reduced_trades_are_not_completed_ones():
    of = opportunity(1)
    raw = Comparison((of,), (Cell(MARKET, 50.0, 0, (simple(of, MARKET, (0.5, 0.5), outcome=Outcome.REDUCED),)),))
    made = fills.one_leg_table(frames.trades_frame(raw), frames.legs_frame(raw))
    assert made.to_dict("records") == [{"latency_ms": 50.0, "legs": 2, "filled": 2, "trades": 1.0}]
