"""Sums of stakes against their caps, and the size with which a trade would fit under a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from arbkit.core.model import MultiLegTrade, TradeLeg
from arbkit.core.units import Size
from arbkit.risk.bounds import Refusal, Unit
from arbkit.risk.stakes import Place, Stake, intended, total


class Cap(NamedTuple):
    """One limit on the sum of all stakes that share a label with a leg of the trade; the empty label has no cap."""

    limit: str
    unit: Unit
    label: Callable[[Place], str]


EVERYTHING = "everything"
CAPS = (
    Cap("max_total_capital", "dollars", lambda _: EVERYTHING),
    Cap("max_market_shares", "shares", lambda place: place.book),
    Cap("max_market_capital", "dollars", lambda place: place.market),
    Cap("max_event_capital", "dollars", lambda place: place.event),
    Cap("max_pair_capital", "dollars", lambda place: place.pair),
    Cap("max_venue_capital", "dollars", lambda place: place.venue),
)


def over_caps(
    trade: MultiLegTrade, costs: Sequence[int], there: Sequence[Stake], bounds: Mapping[str, int]
) -> Iterator[Refusal]:
    """Yield every cap that a trade passes together with the stakes that are there."""
    new = intended(trade, costs)
    for limit, unit, label in CAPS:
        for leg, stake in zip(trade.legs, new, strict=True):
            mine = label(stake.place)
            if not mine:
                continue
            used, own = (_amount(total(rows, label, mine), unit) for rows in (there, new))
            if used + own > bounds[limit]:
                fits = fitting(trade, own, bounds[limit] - used)
                name = "" if mine == EVERYTHING else leg_name(leg)
                yield Refusal(limit, used + own, bounds[limit], unit, name, fits)


def over_free_cash(
    trade: MultiLegTrade, costs: Sequence[int], there: Sequence[Stake], free: Mapping[str, int]
) -> Iterator[Refusal]:
    """Yield every venue whose free cash, less all that running trades may still order there, is too little."""
    new = intended(trade, costs)
    for leg in trade.legs:
        venue = leg.book.venue
        used, own = (total(rows, lambda place: place.venue, venue)[1] for rows in (there, new))
        bound = free.get(venue, 0) - used
        if own > bound:
            yield Refusal("free cash", own, bound, leg=leg_name(leg), largest=fitting(trade, own, bound))


def _amount(of: tuple[int, int], unit: Unit) -> int:
    shares, dollars = of
    return shares if unit == "shares" else dollars


def over(limit: str, value: int, bound: int, unit: Unit = "dollars", leg: str = "") -> Refusal | None:
    """Return the refusal of a value above its bound."""
    return Refusal(limit, value, bound, unit, leg) if value > bound else None


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
