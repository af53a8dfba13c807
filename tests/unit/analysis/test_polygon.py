"""The notebook's questions about Polygon: answers show themselves, and what needs a node says when there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from arbkit.analysis import polygon
from arbkit.analysis.display import PLOTLY_MIME
from arbkit.chain.batch import Way
from arbkit.chain.failover import COURSE
from arbkit.chain.gas import GasConfig
from arbkit.chain.merge_costs import Made, MergeCost
from arbkit.core.transaction import Work
from tests.unit.chain.fake_anvil import fake_anvil


async def test_gas_is_weighed_without_any_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBKIT_ANVIL", "/nowhere/anvil")
    costs = await polygon.gas_against_edges(base_fees_gwei=(30.0, 1_500.0), pol_prices=(0.1, 0.5))
    assert not costs.missing
    assert len(costs.table) == 3 * 2 * 2
    assert list(costs.shown.columns) == [
        "call", "gas", "base fee (gwei)", "cents, POL 0.1", "cents, POL 0.5", "shares, POL 0.1", "shares, POL 0.5",
    ]  # fmt: skip
    merge, capped = costs.shown.iloc[0], costs.shown.iloc[1]
    assert tuple(merge[["call", "gas", "base fee (gwei)", "cents, POL 0.5"]]) == ("merge", "120,000", "30", "0.330")
    assert tuple(capped[["base fee (gwei)", "cents, POL 0.1", "shares, POL 0.1"]]) == ("1,500", "above cap", "")
    assert list(costs.figures) == ["smallest_edge", "smallest_merge"]
    for figure in costs.figures.values():
        assert figure._repr_mimebundle_()[PLOTLY_MIME]["data"]
    assert "edge of 0.5 cents" in str(costs)
    assert "<table" in costs._repr_html_()
    assert "$" not in costs._repr_html_()  # two of them would be set as mathematics


async def test_what_has_nothing_to_draw_is_left_out() -> None:
    idle = await polygon.gas_against_edges(yearly=0.0, base_fees_gwei=(30.0,))
    assert list(idle.figures) == ["smallest_edge"]
    barred = await polygon.gas_against_edges(config=GasConfig(cost_cap=1))
    assert list(barred.figures) == []
    assert (barred.table["refused"] != "").all()


async def test_an_edge_that_is_no_price_is_refused() -> None:
    with pytest.raises(ValueError, match="not a price"):
        await polygon.gas_against_edges(edge=2.0)


@pytest.mark.parametrize("ask", [polygon.measured_gas, polygon.batch_savings, polygon.failover])
async def test_without_a_node_an_answer_says_so_and_is_empty(
    ask: Callable[[], Awaitable[polygon.Findings]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBKIT_ANVIL", "/nowhere/anvil")
    answer = await ask()
    assert answer.missing == "ARBKIT_ANVIL names no program: /nowhere/anvil"
    assert str(answer) == repr(answer) == answer.missing
    assert answer._repr_html_() == f"<p><strong>{answer.missing}</strong></p>"
    assert len(answer.table) == len(answer.figures) == 0
    assert len(answer.table.columns) > 0


async def test_a_failover_is_told_by_phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBKIT_ANVIL", str(fake_anvil(tmp_path)))
    story = await polygon.failover([replace(phase, lasts_s=phase.lasts_s / 3) for phase in COURSE], every_s=0.05)
    assert list(story.shown["A is"]) == [
        "well", "hung", "well again", "12 blocks behind", "well once more", "answers 429", "recovered",
    ]  # fmt: skip
    assert story.table[["failed", "stale"]].to_numpy().sum() == 0
    ill = story.table[story.table["phase"].isin(["hung", "12 blocks behind", "answers 429"])]
    assert (ill["by_A"] == 0).all()
    assert len(story.rows) == story.table["calls"].sum()
    assert story.figures.failover.figure.data


def test_ways_of_merging_stand_side_by_side() -> None:
    costs = [
        MergeCost(made, merges, gas * merges, merges, way)
        for merges, way in ((1, Way.SINGLE), (5, Way.MULTISEND))
        for made, gas in ((Made.ACCOUNT, 80_000), (Made.SAFE, 120_000), (Made.MULTISEND, 60_000))
    ]
    shown = polygon._batch_shown(polygon.draw.batch_table(costs))
    assert list(shown["merges"]) == ["1", "5"]
    five = shown.iloc[1]
    assert five["gas: account, one by one"] == "400,000"
    assert (five["MultiSend / account"], five["MultiSend / Safe singles"]) == ("0.75", "0.50")
    assert list(shown["chosen for a Safe"]) == ["single", "multisend"]
    assert Work.MERGE in polygon.TYPICAL_GAS
