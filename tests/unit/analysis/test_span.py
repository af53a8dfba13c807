"""How far a comparison leans on the queue: every rule that the tape can feed, and words where it cannot."""

from dataclasses import replace

import pytest

import arbkit as ak
from arbkit.analysis.comparison import comparison_table
from arbkit.analysis.span import QUEUES, caution, models, queue_table, span_lines
from arbkit.analysis.text import comparison_text
from arbkit.backtest.scenario import QUEUES as KNOWN
from arbkit.books.meta import KIND_MASK, KIND_PRINT
from arbkit.core.model import ExecutionStrategy
from arbkit.core.units import MICRO, Cash
from arbkit.history.synthetic import SyntheticSpec
from arbkit.history.tape import Tape
from tests.builders import TapeBuilder, a_market, a_table
from tests.unit.analysis.fakes import realistic


@pytest.fixture(scope="module")
def tape() -> Tape:
    return ak.synthetic_tape(SyntheticSpec(minutes=0.7, episodes=6), seed=3)


def test_a_resting_strategy_is_spanned_over_every_rule_there_is() -> None:
    for strategy in (ExecutionStrategy.LIMIT, ExecutionStrategy.HYBRID):
        found = models(strategy, "risk-averse")
        assert {queue for queue, _ in found} == set(KNOWN) == set(QUEUES)
        assert found == sorted(found, key=caution)
        assert (found[0], found[-1]) == (("through", "cautious"), ("front", "hopeful"))
    assert models(ExecutionStrategy.MARKET, "power") == [("power", "cautious"), ("power", "hopeful")]


def test_a_comparison_runs_all_six_rules_and_prints_their_span(tape: Tape) -> None:
    found = ak.compare(tape, ak.baskets(tape), ("MARKET", "LIMIT"), latencies_ms=(20, 100))
    table = queue_table(found.raw)
    assert set(table["latency_ms"]) == {20.0}
    limit = table[table["strategy"] == "LIMIT"]
    assert [model.partition(", ")[0] for model in limit["model"]] == [*QUEUES, "front"]
    base = found.table[(found.table["strategy"] == "LIMIT") & (found.table["latency_ms"] == 20.0)].iloc[0]
    own = limit.set_index("model").loc["risk-averse, cautious"]
    assert own["leg_fill_rate"] == base["leg_fill_rate"]
    assert own["pnl_per_opportunity"] == pytest.approx(base["pnl_per_opportunity"])
    text = str(found)
    assert "from the most cautious model of fills to the most hopeful:" in text
    assert "LIMIT at 20 ms: leg fill rate" in text
    assert "(through, cautious) to" in text
    assert found.modelled["queue_span"] == "all 6 rules at the first latency and seed, from through to front"
    assert "(through, cautious) to" in found.tearsheet().html()


def test_a_tape_without_trades_feeds_one_rule_and_the_comparison_says_so(tape: Tape) -> None:
    kept = (tape.rows.meta & KIND_MASK) != KIND_PRINT
    columns = {
        name: getattr(tape.rows, name)[kept] for name in ("ts_recv", "ts_venue", "book", "meta", "price", "size")
    }
    columns["meta"] = columns["meta"] | 128  # what was the last row of a message may have been a trade
    mute = ak.Tape.from_columns(tape.markets, **columns, clocks="both", synthetic=True)
    found = ak.compare(mute, ak.baskets(mute), ("LIMIT",), scenario=ak.Scenario(queue="through"))
    assert found.modelled["queue_span"] == (
        "through alone: the tape holds no trades of synthetic, and without them no other rule can be fed"
    )
    assert len(queue_table(found.raw)) == 0
    assert "most hopeful" not in str(found)


def test_takers_alone_and_continuous_runs_say_why_no_rule_is_spanned(tape: Tape) -> None:
    takers = ak.compare(tape, ak.baskets(tape), ("MARKET",))
    assert takers.modelled["queue_span"] == "no strategy rests: only what becomes of our own takes is spanned"
    run = ak.backtest(tape, ak.baskets(tape))
    assert str(run.modelled["queue_span"]).startswith("not run: a continuous run is one world under one rule")


def test_without_known_fees_the_span_tells_fill_rates_alone() -> None:
    raw = replace(realistic(n=12, latencies=(20.0,)), fees_known=False)
    assert queue_table(raw)["pnl_per_opportunity"].isna().all()
    assert all("pnl" not in line and "leg fill rate" in line for line in span_lines(raw))
    assert "pnl per opportunity" not in "".join(span_lines(raw))


def test_where_nothing_was_decided_a_figure_is_undefined() -> None:
    table = a_table(
        a_market("m", event="e", outcome="A", payout=Cash(MICRO), exclusive=True, exhaustive=True, void="none")
    )
    tape = TapeBuilder(table).snapshot(0).trade(1_000, 43, 1).tape()
    found = ak.compare(tape, ak.baskets(tape), assume_fees="none")
    assert not found.table["opportunities"].any()
    lines = span_lines(found.raw)
    assert lines
    assert all("leg fill rate - (" in line and "pnl per opportunity - to - dollars" in line for line in lines)


def test_losses_are_written_with_a_minus_and_models_are_counted() -> None:
    raw = realistic(n=12, latencies=(20.0,))
    (line,) = [line for line in span_lines(raw) if line.startswith("LIMIT")]
    assert line.endswith("dollars over 6 models")
    assert "-0." not in line
    assert "\n  LIMIT at 20 ms" in comparison_text(raw, comparison_table(raw))
