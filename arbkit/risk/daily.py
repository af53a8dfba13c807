"""Realised profit and loss by UTC day and from its peak, and the stops that hang on them.

A trade belongs to the day of its intent: midnight in the middle of a trade changes nothing. A day is 86,400 seconds
since the epoch, in UTC; no time zone and no summer time comes into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from arbkit.core.units import NS_PER_S
from arbkit.risk.bounds import Refusal

NS_PER_DAY = 86_400 * NS_PER_S


def day_of(ns: int) -> int:
    """Return the number of the UTC day that a time (ns since the epoch) falls on."""
    return ns // NS_PER_DAY


class LossState(NamedTuple):
    """All that `Losses` counts, in plain numbers: cash in millionths of a dollar, days by number, -1 for none."""

    days: tuple[tuple[int, int], ...] = ()  # day, realised pnl
    forgiven: tuple[tuple[int, int], ...] = ()  # day, its pnl when a person acknowledged it
    peak: int = 0
    stopped: tuple[int, int] = (-1, 0)  # the last day that was stopped, and the loss that did it
    fallen: int = 0  # the drawdown that stopped entries


class Losses:
    """Counts what was realised and says when entries stop.

    A day's loss is counted net of that day's profits, from the start of the day or from a person's acknowledgement.
    Beyond `max_daily` entries stop until the next UTC day or an acknowledgement; with more than `max_drawdown` lost
    since realised pnl stood highest, until an acknowledgement. A stop stays when a later profit makes it good.
    """

    def __init__(self, max_daily: int, max_drawdown: int, state: LossState | None = None) -> None:
        state = state or LossState()
        self._max_daily, self._max_drawdown = max_daily, max_drawdown
        self._days, self._forgiven = dict(state.days), dict(state.forgiven)
        self._peak, self._stopped, self._fallen = state.peak, state.stopped, state.fallen

    def state(self) -> LossState:
        days, forgiven = sorted(self._days.items()), sorted(self._forgiven.items())
        return LossState(tuple(days), tuple(forgiven), self._peak, self._stopped, self._fallen)

    def book(self, intent_at: int, pnl: int) -> None:
        """Count realised pnl on the day of its trade's intent."""
        if not pnl:
            return
        day = day_of(intent_at)
        self._days[day] = self._days.get(day, 0) + pnl
        self._peak = max(self._peak, self._realised)
        if self._loss(day) > self._max_daily:
            self._stopped = max(self._stopped, (day, self._loss(day)))
        if self._drawdown > self._max_drawdown:
            self._fallen = max(self._fallen, self._drawdown)

    def acknowledge(self, now: int) -> None:
        """Take a person's word that the losses were looked at: both stops end, and both are counted from here."""
        today = day_of(now)
        self._forgiven.update((day, pnl) for day, pnl in self._days.items() if day >= today or day == self._stopped[0])
        self._peak, self._stopped, self._fallen = self._realised, (-1, 0), 0

    def refusal(self, now: int, own: int = 0, running: Iterable[tuple[int, int]] = ()) -> Refusal | None:
        """Return the limit that forbids a new trade now, or None.

        `own` is what that trade may lose, `running` what others may, each with the time of its intent. A time before
        the newest day that was counted (a clock set back, or none given) forgives nothing: every later day counts.
        """
        today = day_of(now)
        stopped, lost = self._stopped
        if self._fallen:
            why = "entries stop until a person acknowledges it"
            return Refusal("max_drawdown", self._fallen, self._max_drawdown, why=why)
        if stopped >= today:
            why = "entries stop until the next UTC day or until a person acknowledges it"
            return Refusal("max_daily_loss", lost, self._max_daily, why=why)
        reserved: dict[int, int] = {today: 0}
        for intent_at, loss in running:
            reserved[day_of(intent_at)] = reserved.get(day_of(intent_at), 0) + loss
        days = [day for day in {**reserved, **self._days} if day >= today]
        losing = max(self._loss(day) + reserved.get(day, 0) for day in days) + own
        if losing > self._max_daily:
            return Refusal("max_daily_loss", losing, self._max_daily)
        falling = self._drawdown + sum(reserved.values()) + own
        if falling > self._max_drawdown:
            return Refusal("max_drawdown", falling, self._max_drawdown)
        return None

    @property
    def _realised(self) -> int:
        return sum(self._days.values())

    @property
    def _drawdown(self) -> int:
        return self._peak - self._realised

    def _loss(self, day: int) -> int:
        return self._forgiven.get(day, 0) - self._days.get(day, 0)
