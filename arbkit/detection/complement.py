"""YES and NO of one market for less than the dollar that one of them pays.

Inside one Polymarket market the two books are one mirrored book, and asks that sum to less than a dollar mean that
one of them is late; the feed lets such a pair through only when it has settled (`books.watch`).
"""

from arbkit.core.model import ArbitrageOpportunity, Basket, Kind
from arbkit.core.ports import BookView
from arbkit.core.units import Cash, Size
from arbkit.detection.opportunity import opportunity_in


def detect_binary_complement_arb(
    view_yes: BookView,
    view_no: BookView,
    basket: Basket,
    min_edge: Cash,
    max_size: Size,
    *,
    gross: bool = False,
    now: int | None = None,
) -> ArbitrageOpportunity | None:
    """Return what buying both outcomes of one market earns, or None; see `opportunity_in`."""
    views = (view_yes, view_no)
    return opportunity_in(views, basket, min_edge, max_size, kind=Kind.COMPLEMENT, gross=gross, now=now)
