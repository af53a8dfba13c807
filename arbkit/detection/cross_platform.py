"""One question asked on two venues: YES here and NO there, or whatever the pair's polarity makes of it.

Only pairs that the market table states have such a basket; whether a pair is approved for trading is for risk.
"""

from collections.abc import Sequence

from arbkit.core.model import ArbitrageOpportunity, Basket, Kind
from arbkit.core.ports import BookView
from arbkit.core.units import Cash, Size
from arbkit.detection.opportunity import opportunity_in


def detect_cross_platform_arb(
    views: Sequence[BookView],
    basket: Basket,
    min_edge: Cash,
    max_size: Size,
    *,
    gross: bool = False,
    now: int | None = None,
) -> ArbitrageOpportunity | None:
    """Return what buying opposite sides on two venues earns, or None; see `opportunity_in`."""
    return opportunity_in(views, basket, min_edge, max_size, kind=Kind.CROSS_VENUE, gross=gross, now=now)
