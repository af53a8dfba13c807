"""Sums of stakes against their caps, and the size with which a trade would fit under a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from arbkit.core.model import MultiLegTrade, TradeLeg
from arbkit.core.units import Size
from arbkit.risk.bounds import Refusal, Unit
from arbkit.risk.stakes import Place, Stake, totals


class Cap(NamedTuple):
    """One limit on the sum of all stakes that share a label with a leg of the trade; the empty label has no cap."""

    limit: str
    unit: Unit
    amount: Callable[[Stake], int]
    label: Callable[[Place], str]


SHARES, DOLLARS = attrgetter("shares"), attrgetter("dollars")
AMOUNTS: tuple[tuple[Unit, Callable[[Stake], int]], ...] = (("shares", SHARES), ("dollars", DOLLARS))
VENUE = attrgetter("venue")
EVERYTHING = "everything"
CAPS = (
    Cap("max_total_capital", "dollars", DOLLARS, lambda _: EVERYTHING),
    Cap("max_market_shares", "shares", SHARES, attrgetter("book")),
    Cap("max_market_capital", "dollars", DOLLARS, attrgetter("market")),
    Cap("max_event_capital", "dollars", DOLLARS, attrgetter("event")),
    Cap("max_pair_capital", "dollars", DOLLARS, attrgetter("pair")),
    Cap("max_venue_capital", "dollars", DOLLARS, VENUE),
)


def over_caps(
    trade: MultiLegTrade, new: Sequence[Stake], there: Sequence[Stake], bounds: Mapping[str, int]
) -> Iterator[Refusal]:
    """Yield every cap that a trade's stakes, leg by leg, pass together with the stakes that are there."""
    whole: dict[Unit, int] = {unit: sum([amount(one) for one in (*there, *new)]) for unit, amount in AMOUNTS}
    for limit, unit, amount, label in CAPS:
        if whole[unit] <= bounds[limit]:
            continue  # no part is more than all of it
        used, own, bound = totals(there, label, amount), totals(new, label, amount), bounds[limit]
        for leg, stake in zip(trade.legs, new, strict=True):
            mine = label(stake.place)
            if mine and used[mine] + own[mine] > bound:
                fits = fitting(trade, own[mine], bound - used[mine])
                name = "" if mine == EVERYTHING else leg_name(leg)
                yield Refusal(limit, used[mine] + own[mine], bound, unit, name, fits)


def over_free_cash(
    trade: MultiLegTrade, new: Sequence[Stake], there: Sequence[Stake], free: Mapping[str, int]
) -> Iterator[Refusal]:
    """Yield every venue whose free cash, less all that running trades may still order there, is too little."""
    used, own = totals(there, VENUE, DOLLARS), totals(new, VENUE, DOLLARS)
    for leg in trade.legs:
        venue = leg.book.venue
        bound = free.get(venue, 0) - used[venue]
        if own[venue] > bound:
            yield Refusal("free cash", own[venue], bound, leg=leg_name(leg), largest=fitting(trade, own[venue], bound))


def over(limit: str, value: int, bound: int, unit: Unit = "dollars", leg: TradeLeg | None = None) -> Refusal | None:
    """Return the refusal of a value above its bound."""
    if value <= bound:
        return None
    return Refusal(limit, value, bound, unit, leg_name(leg) if leg is not None else "")


def leg_name(leg: TradeLeg) -> str:
    return f"{leg.index} {leg.book.name}"


def legal(trade: MultiLegTrade, size: int) -> Size:
    """Return the largest legal size up to this one; 0 when there is none."""
    basket = trade.opportunity.basket
    found = size // basket.lot * basket.lot
    return Size(found if found >= basket.min_size else 0)


def fitting(trade: MultiLegTrade, amount: int, room: int) -> Size:
    """Return the largest legal size whose share of `amount` (that of the trade's size), rounded up, is within `room`.

    A whole number is at least a share that is rounded up exactly when it is at least the share itself.
    """
    return legal(trade, max(0, room) * trade.size // max(1, amount))
