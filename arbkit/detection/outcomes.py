"""Markets of one event on one venue: all their YES (one of them pays), or all their NO (all but one pay)."""

from collections.abc import Sequence

from arbkit.core.model import ArbitrageOpportunity, Basket, Kind
from arbkit.core.ports import BookView
from arbkit.core.units import Cash, Size
from arbkit.detection.opportunity import opportunity_in


def detect_outcomes_arb(
    views: Sequence[BookView],
    basket: Basket,
    min_edge: Cash,
    max_size: Size,
    *,
    gross: bool = False,
    now: int | None = None,
) -> ArbitrageOpportunity | None:
    """Return what buying one side of every market of an event earns, or None; see `opportunity_in`."""
    return opportunity_in(views, basket, min_edge, max_size, kind=Kind.OUTCOMES, gross=gross, now=now)
