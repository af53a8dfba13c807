"""Tables and figures of what Polygon costs: figures draw the tables, and tables say what was measured."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from arbkit.analysis.figures import chain as draw
from arbkit.chain.batch import Way
from arbkit.chain.failover import Rehearsal, WatchedCall
from arbkit.chain.gas import GWEI
from arbkit.chain.gas_terms import TYPICAL_GAS, GasTerms, gas_terms
from arbkit.chain.health import Health
from arbkit.chain.merge_costs import Made, MergeCost
from arbkit.core.transaction import Work
from arbkit.core.units import MICRO, Cash, Price

CHEAP, DEAR = Cash(100_000), Cash(500_000)
HALF_A_CENT = Price(5_000)


@pytest.fixture
async def terms() -> list[GasTerms]:
    return await gas_terms(TYPICAL_GAS, [30 * GWEI, 900 * GWEI, 1_500 * GWEI], [CHEAP, Cash(250_000), DEAR])


async def test_costs_are_in_cents_and_a_cap_leaves_none(terms: list[GasTerms]) -> None:
    table = draw.gas_frame(terms, HALF_A_CENT)
    assert list(table.columns) == list(draw.GAS_COLUMNS)
    first = table.iloc[0]
    assert (first["work"], first["base_fee_gwei"], first["pol_price"]) == ("merge", 30.0, 0.1)
    assert first["cents"] == pytest.approx(120_000 * 55e-9 * 0.1 * 100)
    assert first["smallest_size"] == pytest.approx(first["cents"] / 0.5, abs=1e-5)
    assert first["worst_cents"] > first["cents"]
    capped = table[table["base_fee_gwei"] == 1_500]
    assert capped[["pol", "cents", "smallest_size"]].isna().all(axis=None)
    assert capped["refused"].str.contains("above the cap").all()
    assert (table[table["base_fee_gwei"] != 1_500]["refused"] == "").all()


async def test_ten_times_the_size_needs_a_tenth_of_the_edge(terms: list[GasTerms]) -> None:
    table = draw.edge_table(terms)
    assert set(table["base_fee_gwei"]) == {30.0, 900.0}  # what is never sent needs no edge
    one = table[(table["work"] == "split") & (table["base_fee_gwei"] == 900) & (table["pol_price"] == 0.5)]
    by_size = dict(zip(one["shares"].round(6), one["edge_cents"], strict=True))
    assert by_size[1.0] == pytest.approx(10 * by_size[10.0])
    assert by_size[1.0] == pytest.approx(220_000 * 925e-9 * 0.5 * 100, rel=1e-4)


async def test_the_edge_figure_has_a_panel_for_each_call_and_a_line_for_each_base_fee(terms: list[GasTerms]) -> None:
    table = draw.edge_table(terms)
    figure = draw.plot_edge(table)
    lines = [trace for trace in figure.data if trace.line.width]
    assert [trace.name for trace in lines] == ["base fee 30 gwei", "base fee 900 gwei"] * 3
    assert [trace.showlegend for trace in lines] == [True, True, False, False, False, False]
    middle = table[(table["work"] == "merge") & (table["base_fee_gwei"] == 30) & (table["pol_price"] == 0.25)]
    assert list(lines[0].y) == list(middle["edge_cents"])
    bands = [trace for trace in figure.data if not trace.line.width]
    edges = table[(table["work"] == "merge") & (table["base_fee_gwei"] == 30)]["edge_cents"]
    assert (max(bands[0].y), min(bands[0].y)) == (edges.max(), edges.min())
    assert figure.layout.yaxis.title.text == "edge (cents per share)"
    assert {figure.layout[axis].title.text for axis in ("xaxis", "xaxis2", "xaxis3")} == {"shares traded"}
    assert [one.text for one in figure.layout.annotations] == ["merge", "redeem", "split"]


async def test_a_longer_wait_makes_smaller_merges_pay(terms: list[GasTerms]) -> None:
    table = draw.merge_table(terms, yearly=MICRO // 5)
    calm = table[(table["base_fee_gwei"] == 30) & (table["pol_price"] == 0.1)]
    assert calm["pairs"].is_monotonic_decreasing
    year = calm["days"] / 365
    assert calm["pairs"].to_numpy() == pytest.approx((0.066 / 100 / (0.2 * year)).to_numpy(), rel=0.01)
    figure = draw.plot_merge(table, 0.2)
    assert len(figure.data) == 4  # a band and a line for each of two base fees
    assert "20% a year" in figure.layout.title.subtitle.text
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == (
        "time until redemption",
        "complete pairs (shares)",
    )


async def test_money_that_earns_nothing_leaves_the_merge_table_empty(terms: list[GasTerms]) -> None:
    table = draw.merge_table(terms, yearly=0)
    assert len(table) == 0
    assert list(table.dtypes.astype(str)) == ["float64"] * 4
    assert len(draw.plot_merge(table, 0.0).data) == 0


def test_a_batch_is_a_share_of_what_the_other_ways_used_for_as_many() -> None:
    costs = [
        MergeCost(Made.ACCOUNT, 5, 400_000, 5, Way.PIPELINED),
        MergeCost(Made.SAFE, 5, 600_000, 5, Way.MULTISEND),
        MergeCost(Made.MULTISEND, 5, 300_000, 1, Way.MULTISEND),
        MergeCost(Made.MULTISEND, 2, 180_000, 1, Way.MULTISEND),  # of two there is nothing to compare with
    ]
    table = draw.batch_table(costs).set_index(["made", "merges"])
    batch = table.loc[(Made.MULTISEND.value, 5)]
    assert (batch["share_of_account"], batch["share_of_safe"], batch["gas_per_merge"]) == (0.75, 0.5, 60_000)
    assert math.isnan(table.loc[(Made.MULTISEND.value, 2), "share_of_account"])
    figure = draw.plot_batch(draw.batch_table(costs))
    assert [trace.name for trace in figure.data] == [made.value for made in Made]
    assert list(figure.data[2].x) == ["2", "5"]
    assert list(figure.data[2].y) == [90.0, 60.0]
    assert figure.layout.yaxis.title.text == "gas per merge (thousands)"


def health(name: str, cost_s: float, behind: int = 0) -> Health:
    return Health(name, cost_s, 0.0, cost_s, behind, 0.0, True, "")


def seen(at_s: float, phase: str, answered: str, *, took_s: float = 0.01, in_vain: tuple[str, ...] = ()) -> WatchedCall:
    return WatchedCall(
        at_s=at_s,
        phase=phase,
        took_s=took_s,
        asked=(*in_vain, answered) if answered else in_vain,
        in_vain=in_vain,
        answered=answered,
        block=10 if answered else 0,
        known=11,
        seen=9,
        health=(health("A", 0.01, 12 if in_vain else 0), health("B", 0.04), health("C", 0.07)),
        error="" if answered else "nobody",
    )


REHEARSAL = Rehearsal(
    calls=(
        seen(0.0, "well", "A"),
        seen(0.5, "hung", "B", took_s=0.3, in_vain=("A",)),
        seen(0.9, "hung", "B", took_s=0.1),
        seen(1.2, "hung", "", in_vain=("A", "B", "C")),
        seen(1.5, "recovered", "A"),
    ),
    phases=(("well", 0.0), ("hung", 0.4), ("recovered", 1.4), ("never reached", 2.0)),
    hedge_s=0.25,
    ended_s=2.0,
)


def test_phases_tell_who_answered_how_late_and_how_old() -> None:
    table = draw.phases_table(REHEARSAL).set_index("phase")
    hung = table.loc["hung"]
    assert (hung["calls"], hung["failed"], hung["stale"], hung["hedged"]) == (3, 1, 0, 2)
    assert (hung["by_A"], hung["by_B"], hung["by_C"]) == (0, 2, 0)
    assert (hung["latency_ms_p50"], hung["latency_ms_max"]) == (100.0, 300.0)
    assert hung["most_behind"] == 1
    assert table.loc["never reached", "calls"] == 0
    assert math.isnan(table.loc["never reached", "latency_ms_max"])


def test_the_failover_figure_marks_each_call_the_illness_and_the_ranking() -> None:
    calls = draw.calls_frame(REHEARSAL)
    assert list(calls["answered"]) == ["A", "B", "B", "", "A"]
    assert list(calls["behind_A"]) == [0, 12, 0, 12, 0]
    figure = draw.plot_failover(REHEARSAL)
    vain = next(trace for trace in figure.data if trace.name == "asked in vain")
    assert list(zip(vain.x, vain.y, strict=True)) == [(0.5, "A"), (1.2, "A"), (1.2, "B"), (1.2, "C")]
    hedge = next(trace for trace in figure.data if trace.name == "hedge delay")
    assert list(hedge.y) == [250.0, 250.0]
    told = {one.text: one.x for one in figure.layout.annotations}
    assert told == {"A: hung": pytest.approx(0.9), "A: never reached": pytest.approx(2.0)}
    assert [trace.name for trace in figure.data if trace.legendrank == 1 and trace.showlegend] == ["A", "B", "C"]
    titles = [figure.layout[axis].title.text for axis in ("yaxis", "yaxis2", "yaxis3", "yaxis4", "xaxis4")]
    assert titles[1] == "latency (ms)"
    assert all(titles)


def test_a_rehearsal_without_calls_is_drawn_empty() -> None:
    figure = draw.plot_failover(Rehearsal((), (("hung", 0.0),), 0.25, 1.0))
    assert not any(len(trace.x) for trace in figure.data if trace.name != "hedge delay")


def test_a_frame_without_rows_has_its_types() -> None:
    empty = draw.frame([], draw.BATCH_COLUMNS)
    assert isinstance(empty, pd.DataFrame)
    assert str(empty["gas"].dtype) == "int64"
    assert Work.MERGE.value == "merge"
