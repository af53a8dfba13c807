"""What risk keeps in mind, in plain values: equal facts give equal states, and a state gives the same answers again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

from arbkit.core.model import MultiLegTrade
from arbkit.core.units import MICRO
from arbkit.risk.daily import LossState
from arbkit.risk.exposure import exposure, exposure_of, is_open
from arbkit.risk.stakes import Stake, intended, larger, taken


class Phase(StrEnum):
    """How far a reserved trade has come."""

    RUNNING = "running"
    ESCALATED = "escalated"  # entries are halted until a person has seen to it
    SEEN_TO = "seen to"
    OVER = "over"  # as one that was seen to it goes when none of its orders can change any more


GOING = (Phase.SEEN_TO, Phase.OVER)


class Reservation(NamedTuple):
    """What one trade takes up of the limits from its check until nothing about it can change; money in millionths.

    The first five say what was promised to it, the others where it stands.
    """

    trade: str
    intent_at: int  # ns; the day of its intent is the day of its result
    costs: tuple[int, ...]  # what each leg costs at most
    intended: tuple[Stake, ...]
    may_lose: int  # in being undone
    phase: Phase = Phase.RUNNING
    booked: int = 0  # pnl that is counted already
    exposed: int = 0  # worst unhedged dollars now
    open_orders: int = 0
    taken: tuple[Stake, ...] = ()
    closed: bool = True  # no order can change any more

    @classmethod
    def of(cls, trade: MultiLegTrade, costs: Sequence[int], intent_at: int, unwind_ppm: int) -> Self:
        """Return what is promised to a trade that starts now; undoing it may lose `unwind_ppm` of its cost."""
        decided = sum([leg.decision_cost for leg in trade.legs])
        new = cls(trade.id, intent_at, tuple(costs), intended(trade, costs), decided * unwind_ppm // MICRO)
        return new.tracked(trade) if any([leg.orders for leg in trade.legs]) else new  # noqa: C419 - faster

    def tracked(self, trade: MultiLegTrade) -> Self:
        """Return the reservation of the same trade in a newer state."""
        orders = [order for leg in trade.legs for order in leg.orders]
        return self._replace(
            exposed=exposure_of(trade, self.costs),
            open_orders=sum([is_open(order) for order in orders]),
            taken=taken(trade),
            closed=is_closed(trade),
        )

    @property
    def worst(self) -> int:
        """Unhedged dollars that it may still come to: no less than was promised, while anything may be entered."""
        return max(self.exposed, 0 if self.phase in GOING else exposure(self.costs))

    @property
    def stakes(self) -> tuple[Stake, ...]:
        """What it holds or may come to hold, leg by leg, whichever is more."""
        held = {stake.place: stake for stake in self.taken}
        return tuple(larger(stake, held.get(stake.place, stake)) for stake in self.intended)

    @property
    def slots(self) -> int:
        """Orders that it may have open at once."""
        return max(self.open_orders, len(self.costs) if self.phase is Phase.RUNNING else 0)


def is_closed(trade: MultiLegTrade) -> bool:
    """Tell whether no order of a trade can change any more."""
    return all([order.is_final and order.is_settled for leg in trade.legs for order in leg.orders])  # noqa: C419 - faster


@dataclass(frozen=True, slots=True)
class RiskState:
    """Positions and their capital by book, market, venue, event and pair; results by day; trades; blocks and pauses."""

    held: tuple[Stake, ...] = ()
    losses: LossState = field(default_factory=LossState)
    reservations: tuple[Reservation, ...] = ()  # by trade id
    blocked: tuple[tuple[str, str], ...] = ()  # name, why
    paused: tuple[tuple[str, int, str], ...] = ()  # venue, until (ns), why

    @property
    def escalated(self) -> tuple[str, ...]:
        """The trades that nobody has seen to."""
        return tuple(one.trade for one in self.reservations if one.phase is Phase.ESCALATED)
