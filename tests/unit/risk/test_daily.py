# ruff: noqa: N802
"""Profit and loss by UTC day, the peak, and the stops."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from arbkit.risk.bounds import Refusal
from arbkit.risk.daily import NS_PER_DAY, Losses, LossState, day_of
from tests.unit.risk.desk import said

D = 20_000
NOON = D * NS_PER_DAY + NS_PER_DAY // 2
TOMORROW = (D + 1) * NS_PER_DAY
MUCH = 10**9


def limit(refusal: Refusal | None) -> tuple[str, int] | None:
    return None if refusal is None else (refusal.limit, refusal.value)


def test_fault_K4_a_day_is_a_utc_day_and_begins_with_its_first_nanosecond() -> None:
    midnight = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp()) * 1_000_000_000  # clocks are set in Europe that day
    assert day_of(midnight) == day_of(midnight - 1) + 1 == day_of(midnight + NS_PER_DAY - 1)
    assert day_of(0) == 0
    assert day_of(-1) == -1
    assert NS_PER_DAY == 86_400_000_000_000


def test_a_loss_up_to_the_bound_stops_nothing_and_one_more_does() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON, -60)
    losses.book(NOON, -40)
    assert losses.refusal(NOON) is None
    losses.book(NOON, -1)
    assert limit(losses.refusal(NOON)) == ("max_daily_loss", 101)
    assert limit(losses.refusal(TOMORROW - 1)) == ("max_daily_loss", 101)
    assert losses.refusal(TOMORROW) is None


def test_profits_of_the_day_make_room_and_those_of_other_days_none() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON - NS_PER_DAY, 1_000)
    losses.book(NOON, 50)
    losses.book(NOON, -150)
    assert losses.refusal(NOON) is None
    losses.book(NOON, -1)
    assert limit(losses.refusal(NOON)) == ("max_daily_loss", 101)


def test_a_stop_stays_when_a_profit_makes_the_loss_good() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON, -101)
    losses.book(NOON, 51)
    assert limit(losses.refusal(NOON)) == ("max_daily_loss", 101)
    losses = Losses(MUCH, 100)
    losses.book(NOON, -101)
    losses.book(NOON, 500)
    assert limit(losses.refusal(NOON)) == ("max_drawdown", 101)


def test_a_stop_names_the_worst_that_was_lost() -> None:
    losses = Losses(100, MUCH)
    for pnl in (-101, -9, 50, -41):
        losses.book(NOON, pnl)
    assert limit(losses.refusal(NOON)) == ("max_daily_loss", 110)
    losses = Losses(MUCH, 100)
    for pnl in (-101, -9, 50, -45):
        losses.book(NOON, pnl)
    assert limit(losses.refusal(NOON)) == ("max_drawdown", 110)


def test_a_late_loss_of_an_earlier_day_neither_lifts_nor_changes_the_stop_of_a_later_one() -> None:
    losses = Losses(100, MUCH)
    losses.book(TOMORROW, -101)
    losses.book(NOON, -500)
    assert limit(losses.refusal(TOMORROW)) == ("max_daily_loss", 101)
    assert losses.refusal(TOMORROW + NS_PER_DAY) is None


def test_drawdown_counts_from_the_peak_over_all_days() -> None:
    losses = Losses(MUCH, 100)
    losses.book(NOON, 70)
    losses.book(NOON, -30)
    losses.book(TOMORROW, -70)
    assert losses.refusal(TOMORROW) is None
    assert losses.state().peak == 70
    losses.book(TOMORROW, -1)
    assert limit(losses.refusal(TOMORROW + 9 * NS_PER_DAY)) == ("max_drawdown", 101)


def test_losses_from_the_start_are_a_drawdown_from_nothing() -> None:
    losses = Losses(MUCH, 100)
    losses.book(NOON, -100)
    assert losses.refusal(NOON) is None
    losses.book(NOON, -1)
    assert limit(losses.refusal(NOON)) == ("max_drawdown", 101)


def test_a_persons_word_ends_both_stops_and_both_are_counted_from_there() -> None:
    losses = Losses(100, 150)
    losses.book(NOON, 20)
    losses.book(NOON, -171)
    assert limit(losses.refusal(NOON)) == ("max_drawdown", 171)
    losses.acknowledge(NOON)
    assert losses.refusal(NOON) is None
    assert losses.state() == LossState(((D, -151),), ((D, -151),), -151)
    losses.book(NOON, -100)
    assert losses.refusal(NOON) is None
    losses.book(NOON, -1)
    assert limit(losses.refusal(NOON)) == ("max_daily_loss", 101)
    losses.acknowledge(NOON)
    losses.book(NOON + NS_PER_DAY, -100)
    losses.book(NOON + 2 * NS_PER_DAY, -50)
    assert losses.refusal(NOON + 2 * NS_PER_DAY) is None
    losses.book(NOON + 2 * NS_PER_DAY, -1)
    assert limit(losses.refusal(NOON + 2 * NS_PER_DAY)) == ("max_drawdown", 151)


def test_a_persons_word_forgives_the_day_that_was_stopped_and_none_that_is_over() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON - NS_PER_DAY, -50)
    losses.book(NOON, -101)
    losses.acknowledge(TOMORROW)
    assert losses.state().forgiven == ((D, -101),)
    assert losses.refusal(NOON) is None
    late = Losses(100, MUCH)
    late.book(NOON, -101)
    late.book(TOMORROW, -30)
    late.acknowledge(NOON)  # a clock that was set back
    assert late.state().forgiven == ((D, -101), (D + 1, -30))


def test_a_time_before_the_newest_day_forgives_nothing() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON, -90)
    assert limit(losses.refusal(0, 11)) == ("max_daily_loss", 101)
    assert limit(losses.refusal(NOON - NS_PER_DAY, 11)) == ("max_daily_loss", 101)
    assert losses.refusal(TOMORROW, 11) is None


def test_what_a_trade_may_lose_is_counted_before_it_is_lost() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON, -60)
    assert losses.refusal(NOON, 30, [(NOON, 10)]) is None
    assert limit(losses.refusal(NOON, 31, [(NOON, 10)])) == ("max_daily_loss", 101)
    assert limit(losses.refusal(NOON, 30, [(NOON, 6), (NOON, 5)])) == ("max_daily_loss", 101)
    assert losses.refusal(NOON, 40, [(NOON - NS_PER_DAY, 50)]) is None  # it belongs to yesterday
    assert limit(losses.refusal(NOON, 1, [(TOMORROW, 100)])) == ("max_daily_loss", 101)
    said_of_a_plan = losses.refusal(NOON, 41)
    assert said_of_a_plan is not None
    assert said_of_a_plan.why == ""


def test_what_runs_counts_in_full_beside_a_trade_that_may_lose_nothing() -> None:
    losses = Losses(100, MUCH)
    assert losses.refusal(NOON, running=[(NOON, 100)]) is None
    assert limit(losses.refusal(NOON, running=[(NOON, 101)])) == ("max_daily_loss", 101)


def test_what_trades_may_lose_counts_for_the_drawdown_on_whatever_day() -> None:
    losses = Losses(MUCH, 100)
    losses.book(NOON, 40)
    losses.book(NOON, -60)
    assert losses.refusal(NOON, 25, [(NOON - NS_PER_DAY, 15)]) is None
    assert limit(losses.refusal(NOON, 26, [(NOON - NS_PER_DAY, 15)])) == ("max_drawdown", 101)


def test_stops_say_how_they_end() -> None:
    losses = Losses(100, MUCH)
    losses.book(NOON, -101)
    assert said(losses.refusal(NOON)).endswith("entries stop until the next UTC day or until a person acknowledges it")
    losses = Losses(MUCH, 100)
    losses.book(NOON, -101)
    assert said(losses.refusal(NOON)).endswith("entries stop until a person acknowledges it")


def test_trades_that_came_to_nothing_leave_no_trace() -> None:
    losses = Losses(100, 100)
    losses.book(NOON, 0)
    assert losses.state() == LossState()


@pytest.mark.parametrize("ack", [False, True])
def test_a_state_taken_over_goes_on_as_the_old_one_would(ack: bool) -> None:
    losses = Losses(100, 300)
    losses.book(TOMORROW, 30)
    losses.book(NOON, -101)
    if ack:
        losses.acknowledge(NOON)
    again = Losses(100, 300, losses.state())
    assert again.state() == losses.state()
    for one in (losses, again):
        one.book(NOON, -250)
    assert again.state() == losses.state()
    assert said(again.refusal(NOON)) == said(losses.refusal(NOON))
