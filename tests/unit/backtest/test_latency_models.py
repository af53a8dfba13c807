"""Latency by venue and verb: what each model gives, what it refuses, and that a simulated venue keeps to it."""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.compare import at_latency
from arbkit.backtest.latency import Constant, Empirical, Latency, LatencyModel, LogNormal, Recorded, chance
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay, World
from arbkit.core.errors import ConfigError
from arbkit.core.model import Order, Side, TimeInForce
from tests.builders import TapeBuilder, cents, ms, shares

MS = 1_000_000


def model(**by: Latency) -> LatencyModel:
    return LatencyModel(50 * MS, 20 * MS, by={name.replace("_", ":"): kind for name, kind in by.items()})


def test_a_verb_at_a_venue_goes_before_a_verb_and_a_verb_before_what_is_stated() -> None:
    some = model(place=Constant(1), v_place=Constant(2), report=Constant(3))
    assert some.entry_ns("v", 0, "submit", 0) == 2 * MS
    assert some.entry_ns("w", 0, "submit", 0) == 1 * MS
    assert some.entry_ns("w", 0, "cancel", 0) == 50 * MS
    assert some.reply_ns("w", 0, "submit", 0) == 20 * MS
    assert some.reply_ns("w", 0, "report", 0) == 3 * MS


@pytest.mark.parametrize(
    ("verb", "kind", "way"),
    [
        ("place", "submit", "to"), ("cancel", "cancel", "to"), ("ask", "status", "to"),
        ("reply", "submit", "from"), ("reply", "cancel", "from"), ("reply", "status", "from"), ("report", "report", "from"),
    ],
)  # fmt: skip
def test_every_kind_of_message_has_its_verb(verb: str, kind: str, way: str) -> None:
    some = model(**{verb: Constant(7)})
    ask = some.entry_ns if way == "to" else some.reply_ns
    assert ask("v", 0, kind, 0) == 7 * MS


def test_a_log_normal_of_a_verb_draws_what_jitter_would() -> None:
    """One network, two ways to name it: the draw belongs to the message."""
    jitter = LatencyModel(50 * MS, 50 * MS, sigma=0.4, seed=3, opportunity_id="o")
    named = LatencyModel(9, 9, seed=3, opportunity_id="o", by={"place": LogNormal(50, 0.4)})
    for n in range(20):
        assert named.entry_ns("v", 1, "submit", n) == jitter.entry_ns("v", 1, "submit", n)


def test_measured_latencies_are_drawn_as_often_as_one_another_and_by_key() -> None:
    some = LatencyModel(0, 0, seed=5, by={"place": Empirical(np.array([10.0, 20.0, 40.0, 80.0]))})
    drawn = [some.entry_ns("v", 0, "submit", n) // MS for n in range(4_000)]
    assert {value: 900 < drawn.count(value) < 1_100 for value in set(drawn)} == dict.fromkeys((10, 20, 40, 80), True)
    assert [some.entry_ns("v", 0, "submit", n) // MS for n in range(50)] == drawn[:50]
    assert [some.entry_ns("w", 0, "submit", n) // MS for n in range(50)] != drawn[:50]


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=20), st.integers(0, 2**40))
def test_an_empirical_latency_is_always_one_that_was_measured(measured: list[float], seed: int) -> None:
    found = Empirical(measured).ns(0, chance(seed, "o", "v", 0, "to:submit", 0))
    assert found in {round(one * MS) for one in measured}


def test_recorded_latencies_are_joined_by_lines_and_held_at_both_ends() -> None:
    some = Recorded([(1_000, 100), (2_000, 300), (3_000, 0)])
    assert [some.ns(at, 0.5) for at in (0, 1_000, 1_500, 2_000, 2_250, 3_000, 9_000)] == [100, 100, 200, 300, 225, 0, 0]
    assert Recorded.of_stamps([1_000, 2_000, 3_000], [1_100, 2_300, 3_000]) == some


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), min_size=2, max_size=12), st.integers(0, 10**11)
)
def test_an_interpolated_latency_lies_between_its_neighbours(steps: list[tuple[int, int]], at: int) -> None:
    times = np.cumsum([gap for gap, _ in steps]).tolist()
    pairs = list(zip(times, (took for _, took in steps), strict=True))
    found = Recorded(pairs).ns(at, 0.5)
    before = [took for time, took in pairs if time <= at][-1:] or [pairs[0][1]]
    after = [took for time, took in pairs if time >= at][:1] or [pairs[-1][1]]
    assert min(before + after) <= found <= max(before + after)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1), lambda: Constant(True), lambda: Constant(float("nan")), lambda: LogNormal(10, 6),
        lambda: LogNormal("10", 1), lambda: Empirical([]), lambda: Empirical([1, -1]), lambda: Recorded([]),
        lambda: Recorded([(5, 1), (5, 2)]), lambda: Recorded([(9, 1), (5, 2)]), lambda: Recorded([(5, -1)]),
    ],
)  # fmt: skip
def test_a_latency_that_cannot_be_meant_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(
    "latency", [{"submit": Constant(1)}, {":place": Constant(1)}, {7: Constant(1)}, {"place": 20}, "place", {"v:": Constant(1)}]
)  # fmt: skip
def test_a_scenario_refuses_latencies_of_no_verb_and_no_model(latency: Any) -> None:
    with pytest.raises(ConfigError, match=r"scenario\.latency"):
        Scenario(latency=latency)


def test_a_scenario_says_which_latencies_it_has_and_travels_to_other_processes() -> None:
    scenario = Scenario(
        jitter=0.2,
        latency={
            "place": Constant(20),
            "kalshi:cancel": LogNormal(30, 0.5),
            "reply": Empirical([1, 2, 9]),
            "report": Recorded([(0, MS)]),
        },
    )
    said = str(scenario.modelled()["latency"])
    assert said == (
        "place 20 ms; kalshi:cancel log-normal, median 30 ms, sigma 0.5; reply one of 3 measured, median 2 ms, "
        "longest 9 ms; report interpolated from 1 recorded messages, median 1 ms; "
        "the rest log-normal, sigma 0.2, medians as stated"
    )
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert hash(scenario) == hash(replace(scenario, latency={}))


def test_latencies_named_twice_over_are_refused() -> None:
    assert at_latency(Scenario(), 20).entry_ms == 20
    with pytest.raises(ConfigError, match="both say"):
        at_latency(Scenario(latency={"place": Constant(1)}), 20)


def world(**scenario: Any) -> World:
    tape = TapeBuilder().snapshot(0, [(48, 10), (47, 5)], [(52, 10)]).trade(700, 47, 3).tape()
    replay = Replay(tape)
    replay.forward(3)
    return replay.world(Scenario(**scenario), "test")


def test_a_venue_that_is_not_on_the_tape_has_no_latency() -> None:
    with pytest.raises(ConfigError, match="no venue 'kalshi', only venue"):
        world(latency={"kalshi:place": Constant(1)})


def test_each_message_takes_the_time_of_its_verb() -> None:
    verbs = {"place": 30, "cancel": 7, "ask": 5, "reply": 20, "report": 400}
    here = world(latency={name: Constant(took) for name, took in verbs.items()})
    heard: list[int] = []

    async def main() -> None:
        venue = here.venues["venue"]
        order = Order("a", here.books[0], Side.BUY, cents(48), shares(8), TimeInForce.GTC)
        heard.append((await venue.submit(order)).at)
        heard.append((await venue.status(order)).at)
        async for report in venue.reports(order):
            if report.fills:
                heard.append(report.at)
                break
        heard.append((await venue.cancel(order)).at)

    here.run(main())
    here.check()
    assert heard == [ms(50), ms(75), ms(1_100), ms(1_127)]


def test_recorded_latencies_are_read_at_the_time_a_message_is_sent() -> None:
    rising = Recorded([(ms(0), 10 * MS), (ms(100), 110 * MS)])
    here = world(latency={"place": rising, "reply": Constant(0)}, decide_ms=20)

    async def main() -> None:
        order = Order("a", here.books[0], Side.BUY, cents(52), shares(1), TimeInForce.FAK)
        report = await here.venues["venue"].submit(order)
        assert report.at == ms(20 + 30)  # decided for 20 ms, sent at 20, 30 ms on the way

    here.run(main())


def test_one_verb_with_its_own_latency_moves_no_draw_of_another() -> None:
    plain = LatencyModel(50 * MS, 50 * MS, sigma=0.5, seed=2)
    own = replace(plain, by={"cancel": Constant(1)})
    drawn = [plain.entry_ns("v", 0, "submit", n) for n in range(10)]
    assert [own.entry_ns("v", 0, "submit", n) for n in range(10)] == drawn
    assert statistics.pstdev(drawn) > 0
