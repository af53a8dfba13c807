"""A scenario is checked when it is made, and says all it assumes."""

from __future__ import annotations

import pickle

import pytest

from arbkit.backtest.scenario import Scenario
from arbkit.core.errors import ConfigError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("entry_ms", -1), ("entry_ms", float("nan")), ("entry_ms", "50"), ("entry_ms", True), ("reply_ms", 1e9),
        ("feed_ms", None), ("decide_ms", float("inf")), ("jitter", 6), ("max_silence_s", -0.1),
        ("mirror_settle_ms", "soon"), ("queue", "last"), ("queue", ["front"]), ("consumption", "greedy"),
        ("balances", -5), ("balances", {"kalshi": "much"}), ("balances", {"": 1.0}), ("balances", {7: 1.0}),
        ("assume_fees", ""), ("assume_fees", 3), ("seed", -1), ("seed", 1.0), ("seed", True), ("seed", 2**63),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"scenario\.{field}"):
        Scenario(**{field: value})  # type: ignore[arg-type]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="latency_ms"):
        Scenario(latency_ms=20)  # type: ignore[call-arg]


def test_times_are_whole_nanoseconds() -> None:
    scenario = Scenario(entry_ms=0.1, reply_ms=20, feed_ms=1.5, decide_ms=0, max_silence_s=2, mirror_settle_ms=0.3)
    assert (scenario.entry_ns, scenario.reply_ns, scenario.feed_ns, scenario.decide_ns) == (
        100_000,
        20_000_000,
        1_500_000,
        0,
    )
    assert (scenario.max_silence_ns, scenario.mirror_settle_ns) == (2_000_000_000, 300_000)


def test_balances_are_dollars_for_all_venues_or_by_venue() -> None:
    assert Scenario().balance("kalshi") == 10_000_000_000
    scenario = Scenario(balances={"kalshi": 12.5})
    assert scenario.balance("kalshi") == 12_500_000
    with pytest.raises(ConfigError, match="kalshi but not 'polymarket'"):
        scenario.balance("polymarket")


def test_a_scenario_keeps_its_own_copy_and_travels_to_other_processes() -> None:
    mine = {"kalshi": 1.0}
    scenario = Scenario(balances=mine, seed=3)
    mine["kalshi"] = 2.0
    assert scenario.balance("kalshi") == 1_000_000
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_everything_assumed_is_printed() -> None:
    said = Scenario(jitter=0.5, assume_fees="none", queue="front", balances={"a": 1.0}, seed=7).modelled()
    assert said["entry_ms"] == said["reply_ms"] == 50.0
    assert said["feed_ms"] == said["decide_ms"] == 0.0
    assert said["latency"] == "log-normal, sigma 0.5, medians as stated"
    assert str(said["queue"]).startswith("front: ")
    assert str(said["consumption"]).startswith("cautious: ")
    assert (said["fees"], said["max_silence_s"], said["mirror_settle_ms"]) == ("assumed: none", 60.0, 100.0)
    assert (said["balances"], said["seed"]) == ({"a": 1.0}, 7)
    assert Scenario().modelled()["latency"] == "constant"
    assert all(isinstance(name, str) and str(value) for name, value in said.items())
