import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from arbkit.analysis.comparison import comparison_table
from arbkit.analysis.definitions import BLOCKS, SYNTHETIC, TOO_FEW
from arbkit.analysis.text import answer, compare_json, comparison_text, plain, said, table_text, to_json_row
from arbkit.core.model import Outcome
from tests.unit.analysis.fakes import HYBRID, LIMIT, MARKET, START, Cell, Comparison, S, opportunity, realistic, simple


@pytest.fixture(scope="module")
def whole():
    raw = realistic(n=40, latencies=(20.0, 250.0))
    return raw, comparison_table(raw)


def ranked(*pnls, n=20):
    """MARKET, LIMIT and HYBRID earning these dollars on each of n opportunities, give or take a tenth."""
    made = tuple(opportunity(i, at=START + i * 60 * S, size=100, edge=0.02) for i in range(n))
    cells = tuple(
        Cell(
            strategy,
            50.0,
            0,
            tuple(simple(o, strategy, (1.0, 1.0), pnl=pnl + 0.1 * (-1) ** i) for i, o in enumerate(made)),
        )
        for strategy, pnl in zip((MARKET, LIMIT, HYBRID), pnls, strict=False)
    )
    raw = Comparison(made, cells)
    return raw, comparison_table(raw)


def test_the_table_fits_a_terminal_in_three_blocks(whole):
    _, table = whole
    text = table_text(table)
    assert max(len(line) for line in text.split("\n")) <= 120
    assert len(text.split("\n\n")) == 3
    assert text.count("HYBRID") == 3 * 2


def test_columns_are_aligned_and_every_block_names_its_rows(whole):
    _, table = whole
    for block in table_text(table).split("\n\n"):
        head, *rows = block.split("\n")
        assert head.startswith("strategy  latency ms")
        assert len({len(line) for line in rows}) == 1
        assert len(rows) == len(table)


def test_a_narrower_terminal_gets_more_blocks(whole):
    _, table = whole
    text = table_text(table, width=80)
    assert max(len(line) for line in text.split("\n")) <= 80
    assert len(text.split("\n\n")) > 3


def test_what_is_undefined_is_a_dash_and_missing_intervals_say_why():
    raw = realistic(n=6, latencies=(20.0,), fees_known=False)
    text = table_text(comparison_table(raw))
    assert f"{TOO_FEW} for intervals: 6, and 10 are needed" in text
    assert "fees are not known here" in text
    assert "nan" not in text
    assert "[" not in text


def test_counts_averaged_over_seeds_show_their_fraction_and_others_none():
    raw = realistic(n=11, latencies=(20.0,), seeds=2)
    table = comparison_table(raw)
    table.loc[0, "completed"] = 7.5
    line = table_text(table).split("\n\n")[1].split("\n")[1]
    assert line.split()[2] == "11"
    assert "7.5" in line.split()


def test_an_empty_table_is_only_its_heads():
    assert table_text(comparison_table(Comparison((), ()))).startswith("strategy  latency ms")


def test_the_answer_names_the_first_its_figures_and_how_sure_that_is():
    raw, table = ranked(0.5, -0.25, 1.5)
    first, lead = answer(raw, table)
    assert first.startswith("At 50 ms HYBRID ranks first: 1.500 dollars per opportunity (95 % interval ")
    assert first.endswith("; then MARKET 0.500 and LIMIT −0.250.")
    assert "shortfall of 0.500 cents per share" in first
    assert lead.startswith("Its lead over MARKET on the same opportunities is clear of zero (1.000 dollars")


def test_a_lead_within_its_interval_is_not_called_one():
    raw, _ = ranked(1.0, -1.0)
    noisy = tuple(simple(o, HYBRID, (1.0, 1.0), pnl=1.01 + 0.1 * (i % 3 - 1)) for i, o in enumerate(raw.opportunities))
    raw = replace(raw, cells=(*raw.cells, Cell(HYBRID, 50.0, 0, noisy)))
    first, lead = answer(raw, comparison_table(raw))
    assert first.startswith("At 50 ms HYBRID ranks first: ")
    assert lead.startswith("Its lead over MARKET on the same opportunities is not to be told from zero")


def test_strategies_that_earned_the_same_share_the_first_rank():
    (both,) = answer(*ranked(1.0, -1.0, 1.0))
    assert both.startswith(
        "At 50 ms MARKET and HYBRID rank first together: 1.000 dollars per opportunity (95 % interval "
    )
    assert both.endswith("; then LIMIT −1.000.")
    (all_three,) = answer(*ranked(-1.0, -1.0, -1.0, n=6))
    assert all_three.startswith("At 50 ms MARKET, LIMIT and HYBRID rank first together, and still lose money: −1.000")


def test_who_shares_the_first_rank_at_other_latencies_is_named():
    raw, _ = ranked(1.0, -1.0, 1.0)
    (other, _) = ranked(2.0, 2.0, 1.0)
    slower = tuple(replace(cell, latency_ms=90.0) for cell in other.cells)
    slowest = tuple(replace(cell, latency_ms=500.0) for cell in raw.cells)
    raw = replace(raw, cells=(*raw.cells, *slower))
    assert (
        answer(raw, comparison_table(raw))[-1] == "At other latencies the first is MARKET and LIMIT together at 90 ms."
    )
    raw = replace(raw, cells=(*raw.cells[:3], *slowest))
    assert answer(raw, comparison_table(raw))[-1] == "They also do at 500 ms."


def test_who_loses_least_is_still_said_to_lose():
    assert "HYBRID ranks first, and still loses money: −0.500 dollars" in answer(*ranked(-1.0, -2.0, -0.5))[0]


def test_few_clusters_are_said_in_the_answer():
    sentences = answer(*ranked(1.0, 0.0, 2.0, n=5))
    assert "(too few independent clusters for an interval: 5)" in sentences[0]
    assert len(sentences) == 1


def test_other_latencies_are_answered_too(whole):
    sentences = " ".join(answer(*whole))
    assert "also ranks first at 250 ms" in sentences or "At other latencies the first is" in sentences


def test_one_strategy_alone_is_not_ranked():
    assert answer(*ranked(1.0))[0].startswith("At 50 ms MARKET was run alone")


def test_without_fees_or_opportunities_nothing_is_ranked():
    raw, _ = ranked(1.0, 0.0)
    raw = replace(raw, fees_known=False)
    assert answer(raw, comparison_table(raw))[0].startswith("Strategies are not ranked: fees are not known")
    empty = Comparison((), (Cell(MARKET, 50.0, 0, ()),))
    assert answer(empty, comparison_table(empty)) == ["No opportunity was found, so there is nothing to rank."]


def test_a_continuous_run_that_shortfall_ranks_otherwise_says_so():
    made = tuple(opportunity(i, at=START + i * 60 * S, size=100 if i % 2 else 20, edge=0.02) for i in range(20))
    big, small = made[1::2], made[::2]
    cells = (
        Cell(MARKET, 50.0, 0, tuple(simple(o, MARKET, (1.0, 1.0), pnl=1.0) for o in big)),
        Cell(LIMIT, 50.0, 0, tuple(simple(o, LIMIT, (1.0, 1.0), pnl=0.9) for o in small)),
    )
    raw = Comparison((), cells, mode="portfolio")
    assert answer(raw, comparison_table(raw))[1:] == ["By shortfall alone it would be LIMIT."]


def test_the_first_line_of_a_synthetic_result_says_so(whole):
    raw, table = whole
    lines = comparison_text(raw, table).split("\n")
    assert lines[0] == SYNTHETIC
    study = comparison_text(replace(raw, synthetic=False, study="sample:5s"), table)
    assert study.startswith("execution study, not arbitrage (sample:5s)")
    assert "max_silence_s 60" in comparison_text(raw, table)
    assert max(len(line) for line in lines) <= 120


def test_json_holds_table_assumptions_and_quality_with_null_for_undefined(whole):
    raw, table = whole
    made = compare_json(raw, table)
    again = json.loads(json.dumps(made, allow_nan=False))
    assert list(again) == ["table", "modelled", "quality"]
    assert len(again["table"]) == len(table)
    assert list(again["table"][0]) == list(table.columns)
    assert again["table"][0]["completed"] == table["completed"].iloc[0]
    assert again["modelled"]["synthetic"] is True
    assert again["quality"]["rows"] == 1_204_331
    none = compare_json(raw, comparison_table(replace(raw, fees_known=False)))["table"][0]
    assert none["pnl"] is None


def test_a_row_keeps_nanoseconds_and_turns_every_value_into_json():
    row = to_json_row(
        {
            "start": pd.Timestamp(START + 1, tz="UTC"), "end": pd.NaT, "edge": np.float64("nan"), "n": np.int64(3),
            "open": np.bool_(True), "inf": float("inf"), "outcome": Outcome.MISSED, "set": frozenset({"b", "a"}),
            "cell": Cell(MARKET, 1.0, 0, ()), "other": 1 + 2j, "list": (1, None),
        }
    )  # fmt: skip
    assert row["start"].endswith(".000000001+00:00")
    assert (row["end"], row["edge"], row["inf"]) == (None, None, None)
    assert (row["n"], row["open"], row["outcome"], row["set"]) == (3, True, "missed", ["a", "b"])
    assert row["cell"]["latency_ms"] == 1.0
    assert (row["other"], row["list"]) == ("(1+2j)", [1, None])
    assert plain({MARKET: 1}) == {"MARKET": 1}


def test_assumptions_are_said_in_words():
    assert said({"a": True, "b": 1_234.5}) == "a yes, b 1,234.5"
    assert said([1_000_000, "x"]) == "1,000,000, x"
    assert said(frozenset({"b", "a"})) == "a, b"
    assert said(MARKET) == "MARKET"
    assert (said(None), said(()), said(1 + 2j)) == ("none", "none", "(1+2j)")


def test_every_column_of_the_table_is_defined_once(whole):
    _, table = whole
    defined = [column.name for block in BLOCKS.values() for column in block]
    assert len(defined) == len(set(defined))
    shown = {name for name in table.columns if not name.endswith(("_lo", "_hi"))}
    assert shown - set(defined) == {"strategy", "latency_ms", "n_opportunities"}
