"""Habits of venues as values: what they mean, what they refuse, and what they say of themselves."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.habits import (
    KALSHI,
    PLAIN,
    POLYMARKET,
    Gate,
    Habits,
    Rate,
    Weekly,
    Window,
    of_venue,
    restart,
)  # fmt: skip
from arbkit.backtest.scenario import Scenario
from arbkit.core.errors import Cause, ConfigError, OrderRejected, VenueUnavailable
from arbkit.core.model import Order, Side, TimeInForce
from arbkit.core.units import NS_PER_S
from tests.builders import START, a_table, cents, shares

NEW_YORK = ZoneInfo("America/New_York")


def order(*, post_only: bool = False) -> Order:
    return Order("o", a_table().books[0], Side.BUY, cents(50), shares(1), TimeInForce.GTC, post_only)


def ns(*when: int, zone: ZoneInfo = NEW_YORK) -> int:
    return round(datetime(*when, tzinfo=zone).timestamp()) * NS_PER_S  # type: ignore[arg-type]


# -- windows -------------------------------------------------------------------------------------------------


def test_a_window_begins_with_its_first_nanosecond_and_is_over_at_its_last() -> None:
    window = Window("down", START, START + 10)
    assert [window.until(START + n) for n in (-1, 0, 9, 10)] == [0, START + 10, START + 10, 0]


@pytest.mark.parametrize("day", [(2026, 1, 8), (2026, 7, 9)])  # in winter and in summer time
def test_a_weekly_window_keeps_the_clock_of_its_zone(day: tuple[int, int, int]) -> None:
    pause = Weekly("cancel-only", 3, "03:00", 120)
    ends = ns(*day, 5, 0)
    assert [pause.until(ns(*day, h, mi)) for h, mi in ((2, 59), (3, 0), (4, 59), (5, 0))] == [0, ends, ends, 0]
    assert pause.until(ns(day[0], day[1], day[2] + 1, 4, 0)) == 0


def test_a_restart_is_down_and_then_post_only() -> None:
    down, after = restart(START, 90, 120)
    assert (down.what, down.start, down.stop) == ("down", START, START + 90 * NS_PER_S)
    assert (after.what, after.start, after.stop) == ("post-only", down.stop, down.stop + 120 * NS_PER_S)


def test_what_a_venue_turns_away_says_for_how_long() -> None:
    gate = Gate(
        "v",
        Habits(windows=(*restart(START, 10, 20), Window("cancel-only", START + 25 * NS_PER_S, START + 40 * NS_PER_S))),
    )
    down = gate.order(order(), START)
    assert isinstance(down, VenueUnavailable)
    assert down.retry_after_s == 10
    assert isinstance(gate.cancel(START), VenueUnavailable)
    late = gate.order(order(), START + 10 * NS_PER_S)
    assert isinstance(late, OrderRejected)
    assert (late.cause, late.retry_after_s) == (Cause.TAKERS_REFUSED, 20)
    assert gate.order(order(post_only=True), START + 10 * NS_PER_S) is None
    assert gate.cancel(START + 10 * NS_PER_S) is None
    both = gate.order(order(post_only=True), START + 25 * NS_PER_S)
    assert isinstance(both, OrderRejected)
    assert (both.cause, both.retry_after_s) == (Cause.PAUSED, 15)
    assert gate.cancel(START + 25 * NS_PER_S) is None


# -- rates ---------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3 * NS_PER_S), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_no_stretch_of_time_sees_more_requests_than_its_rate_and_the_burst(
    gaps: list[int], per_s: int, burst: int
) -> None:
    gate, at, taken = Gate("v", Habits(cancels=Rate(per_s, burst))), START, list[int]()
    for gap in gaps:
        at += gap
        away = gate.cancel(at)
        if away is None:
            taken.append(at)
        else:
            assert away.retry_after_s is not None
            assert Gate("v", PLAIN).cancel(at) is None
            assert 0 < round(away.retry_after_s * NS_PER_S) <= -(-NS_PER_S // per_s)  # whole ns, rounded up
    for i, first in enumerate(taken):
        for j in range(i, len(taken)):
            assert (j - i + 1 - burst) * NS_PER_S <= per_s * (taken[j] - first)


def test_a_request_comes_through_when_its_time_has_come_and_not_before() -> None:
    gate = Gate("v", Habits(orders=Rate(3, 1)))
    assert gate.order(order(), START) is None
    away = gate.order(order(), START)
    assert isinstance(away, VenueUnavailable)
    wait = round((away.retry_after_s or 0) * NS_PER_S)
    assert gate.order(order(), START + wait - 1) is not None
    assert gate.order(order(), START + wait) is None


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Window("shut", 0, 1), lambda: Window("down", 5, 5), lambda: Weekly("down", 7, "03:00", 5),
        lambda: Weekly("down", 3, "25:00", 5), lambda: Weekly("down", 3, "3 am", 5), lambda: Weekly("down", 3, "23:00", 61),
        lambda: Rate(0, 1), lambda: Rate(1, True), lambda: Rate(1.5, 1), lambda: Habits(hold_ms=-1),  # type: ignore[arg-type]
        lambda: Habits(holds={"m": "long"}), lambda: Habits(failing=0.1), lambda: Habits(settle_s=1, failing=2),  # type: ignore[dict-item]
        lambda: Habits(windows=("down",)), lambda: Habits(orders=10), lambda: Habits(pays_s=-1),  # type: ignore[arg-type]
        lambda: Scenario(habits="none"), lambda: Scenario(habits={"v": "plain"}), lambda: Scenario(habits=3),  # type: ignore[arg-type, dict-item]
        lambda: Scenario(habits={"": PLAIN}), lambda: Habits(self_trade="both"),
    ],
)  # fmt: skip
def test_a_habit_that_cannot_be_meant_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_a_market_may_be_held_longer_or_not_at_all() -> None:
    habits = Habits(hold_ms=250, holds={"game": 3_000, "vote": 0})
    assert [habits.hold_ns(market) for market in ("game", "vote", "other")] == [3 * NS_PER_S, 0, 250_000_000]


def test_a_scenario_is_plain_unless_told_otherwise_and_prints_what_it_assumes() -> None:
    assert Scenario().habits_of("kalshi") == PLAIN
    assert str(Scenario().modelled()["habits"]).startswith("none: ")
    assert Scenario(habits="venue").habits_of("kalshi") is KALSHI
    assert of_venue("elsewhere") == PLAIN
    said = str(Scenario(habits="venue").modelled()["habits"])
    assert "kalshi: cancel-only for 120 minutes from 03:00 America/New_York each Thursday" in said
    assert "polymarket: orders to buy that take are worth at least 1 dollars; orders 40 a second, 60 at once" in said
    mine = Scenario(
        habits={
            "v": Habits(
                hold_ms=50,
                holds={"m": 9},
                settle_s=5,
                failing=0.01,
                pays_s=0,
                self_trade="maker",
                windows=restart(START),
            )
        }
    )
    words = str(mine.modelled()["habits"])
    for part in (
        "takers held 50 ms (m 9 ms), not to be cancelled meanwhile", "fills settle after 5 s, 1.00% of them fail then",
        "pays what was held 0 s after a resolution", "down for 90 s from 2026-05-28 20:26:40 UTC", "post-only for 120 s",
        "our taker would meet our own resting order: that one is cancelled",
    ):  # fmt: skip
        assert part in words
    assert mine.habits_of("w") == PLAIN
    assert pickle.loads(pickle.dumps(mine)) == mine
    assert hash(mine) == hash(Scenario())


def test_a_scenario_keeps_its_own_copy() -> None:
    holds, habits = {"m": 9.0}, dict[str, Habits]()
    habits["v"] = Habits(holds=holds)
    scenario = Scenario(habits=habits)
    holds["m"], habits["v"] = 1.0, POLYMARKET
    assert scenario.habits_of("v").hold_ns("m") == 9_000_000
