"""HYBRID: rest first, and cross for what is missing as far as the edge allows.

After the rests have had the venue's last word, the size to go for is the largest n between the largest filled
quantity and the trade's size with sum(filled·price + (n - filled)·cap) + fees <= (floor - min_edge)·n, and with
every missing part either nothing or an order the venue takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arbkit.core.ports import Fees
from arbkit.core.units import MICRO, Cash, Price, Size


class Standing(NamedTuple):
    """What one leg has after resting: shares, what they cost and their fees; and how it may buy more."""

    filled: Size
    paid: Cash
    fee_paid: Cash
    cap: Price
    min_size: Size
    fees: Fees


def affordable(legs: Sequence[Standing], n: int, floor: int, min_edge: int, gross: bool) -> bool:
    """Tell whether a basket of `n` shares keeps `min_edge` per share when all that is missing costs its cap."""
    spent = sum(leg.paid * MICRO + (n - leg.filled) * leg.cap for leg in legs)
    if not gross:
        spent += sum(_fees(leg, n) for leg in legs) * MICRO
    return spent <= (floor - min_edge) * n


def _fees(leg: Standing, n: int) -> int:
    missing = n - leg.filled
    return leg.fee_paid + (leg.fees.order_fee([(leg.cap, missing)], maker=False) if missing else 0)


def crossing_size(
    legs: Sequence[Standing], *, floor: int, min_edge: int, size: int, lot: int, min_size: int, gross: bool
) -> Size:
    """Return the n to go for, 0 when there is none.

    Both sides of the condition are linear in n but for the rounding of fees, so it holds from one end of the range
    on or up to one point of it: that point is found by halving on the lot, and what is returned does satisfy it.
    """
    low = max(leg.filled for leg in legs)
    lone = 0 < low <= size and all(leg.filled == low or low - leg.filled >= leg.min_size for leg in legs)
    least = max(min_size, *(leg.filled + leg.min_size for leg in legs))
    bottom, top = -(-least // lot), size // lot  # in lots; every missing part is legal from `bottom` on

    def good(lots: int) -> bool:
        return affordable(legs, lots * lot, floor, min_edge, gross)

    if bottom <= top:
        if good(top):
            return Size(top * lot)
        if good(bottom):
            while top - bottom > 1:  # good(bottom) and not good(top)
                middle = (bottom + top) // 2
                bottom, top = (middle, top) if good(middle) else (bottom, middle)
            return Size(bottom * lot)
    if lone and affordable(legs, low, floor, min_edge, gross):
        return Size(low)
    return Size(0)
