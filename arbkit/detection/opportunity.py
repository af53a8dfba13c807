"""What every live face of detection asks: healthy books, the edge at the smallest legal size, and how far it goes.

The compiled scan answers the same over ladders (`books.watch`, `books.edge`); a property holds the two together.
That a pair of mirrored books has settled is a matter of time, and with the feed that knows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from arbkit.core.errors import InvariantViolation
from arbkit.core.model import ArbitrageOpportunity, Basket, Health, Kind
from arbkit.core.ports import BookView
from arbkit.core.units import Cash, Size
from arbkit.detection.sizing import basket_quote, largest_size


def opportunity_in(
    views: Sequence[BookView],
    basket: Basket,
    min_edge: Cash,
    max_size: Size,
    *,
    kind: Kind,
    gross: bool = False,
    now: int | None = None,
) -> ArbitrageOpportunity | None:
    """Return the opportunity that these books hold, or None.

    `views` stand in the order of the basket's legs; `min_edge` is millionths of a dollar per share, after fees unless
    `gross`; `size` is the largest whose marginal edge reaches it. None when a book is not healthy, does not hold
    q_min, earns less there, or `max_size` is below it. `now` (ns) is the time of the decision, by default that of
    the last message. Raises InvariantViolation for a basket of another kind and for views of other books.
    """
    if basket.kind is not kind:
        raise InvariantViolation(f"basket {basket.id} is not of kind {kind.value}")
    if tuple(view.book for view in views) != basket.legs:
        raise InvariantViolation(f"basket {basket.id}: the views are not those of its legs, in their order")
    if any(view.health is not Health.OK for view in views):
        return None
    size = largest_size(views, basket, min_edge, max_size, gross)
    quote = basket_quote(views, basket, size)
    if quote is None:
        return None
    at = max(view.at for view in views)
    return ArbitrageOpportunity(
        id=hashlib.sha256(f"{basket.id}@{at}".encode()).hexdigest()[:12],
        basket=basket,
        detected_at=at if now is None else now,
        size=quote.size,
        edge=quote.edge,
        edge_gross=quote.edge_gross,
        exact=quote.exact,
    )
