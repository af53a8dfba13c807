"""Where the market went after each entry fill: the mid, and the price at which the fill could have been turned round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arbkit.backtest.quotes import Quote, at_venue
from arbkit.core.model import Purpose, Side
from arbkit.core.units import NS_PER_MS

if TYPE_CHECKING:
    from arbkit.core.model import ExecutionResult
    from arbkit.history.tape import Tape

HORIZONS_MS = (100, 500, 1_000, 5_000, 10_000, 60_000)


@dataclass(frozen=True, slots=True)
class Markout:
    """A leg's book `horizon_ms` after an entry fill, in the leg's own outcome (millionths); -1: not known.

    `best` is the best of the side that would take the shares back: the bid after a purchase, the ask after a sale.
    Nothing is known in a gap, of a closed market, and after the end of the tape; no `mid` without two sides.
    s * (mid - price), s = +1 for a purchase and -1 for a sale, is positive where the price went our way.
    """

    trade_id: str
    fill_id: str
    leg: int
    purpose: Purpose
    maker: bool
    horizon_ms: int
    price: int
    mid: int
    best: int
    side: int
    size: int


def mark_out(
    tape: Tape, results: Sequence[ExecutionResult], horizons_ms: Sequence[int] = HORIZONS_MS
) -> tuple[Markout, ...]:
    """Return the market after every entry fill, counted from the venue's own time of it.

    In the order of results, legs, orders, fills and horizons; an undefined one is there and says so.
    """
    due = [
        (result, leg, order, fill, horizon)
        for result in results
        for leg in result.trade.legs
        for order in leg.entries()
        for fill in order.standing
        for horizon in horizons_ms
    ]
    found = at_venue(tape, [(fill.venue_at + after * NS_PER_MS, leg.book) for _, leg, _, fill, after in due])
    return tuple(
        Markout(
            result.trade.id, fill.trade_id, leg.index, order.purpose, fill.maker, horizon,
            fill.price, quote.mid, _back(quote, order.side), int(order.side), fill.size,
        )
        for (result, leg, order, fill, horizon), quote in zip(due, found, strict=True)
    )  # fmt: skip


def _back(quote: Quote, side: Side) -> int:
    return quote.bid if side is Side.BUY else quote.ask
