"""What a compiled pass over a received tape starts from: its rows, empty ladders, baskets and their fees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from arbkit.backtest import tape_views
from arbkit.books.edge import Baskets, FeeHistory, Limits, basket_arrays
from arbkit.books.ladder import Ladders
from arbkit.books.watch import Columns, Rules
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import Basket
from arbkit.fees import FeeRule, as_array

if TYPE_CHECKING:
    from arbkit.history.tape import Tape

FeesByBook = Mapping[int, FeeRule | Sequence[tuple[int, FeeRule]]]  # by book number; a history where rules change


class Received(NamedTuple):
    """A tape as received and baskets on it, nothing applied yet."""

    ladders: Ladders
    columns: Columns
    baskets: Baskets
    rules: Rules


def leg_fees(baskets: Sequence[Basket], fees: FeesByBook | None) -> list[list[FeeHistory]] | None:
    """Return the fee rules of every leg in compiled form; raise DataError for a book that has none."""
    if fees is None:
        return None
    for leg in (leg for basket in baskets for leg in basket.legs):
        if leg.index not in fees:
            raise DataError(f"no fee rule for {leg.name}: net figures are refused")
    return [[_history(fees[leg.index]) for leg in basket.legs] for basket in baskets]


def _history(found: FeeRule | Sequence[tuple[int, FeeRule]]) -> FeeHistory:
    dated = [(0, found)] if isinstance(found, FeeRule) else found
    return [(since, as_array(rule)) for since, rule in dated]


def received(
    tape: Tape,
    baskets: Sequence[Basket],
    limits: Limits,
    fees: FeesByBook | None,
    max_silence_ns: int,
    settle_ns: int,
    feed_ns: int = 0,
) -> Received:
    """Return what a pass over a tape starts from; times in ns. Raises DataError for a basket of other books."""
    for basket in baskets:
        for leg in basket.legs:
            if leg.index >= len(tape.markets.books) or tape.markets.books[leg.index] != leg:
                raise DataError(f"basket {basket.id}: {leg.name} is not a book of this tape")
    if fees is None and not limits.gross:
        raise ConfigError("net edges need fee rules: pass fees, or ask for gross edges")
    ladders = tape_views.unknown_books(tape)
    arrays = basket_arrays(ladders, baskets, leg_fees(baskets, fees))
    rules = Rules(limits, max_silence_ns, settle_ns, int(tape.clocks == "both"), 0)
    return Received(ladders, tape_views.received_later(tape, feed_ns), arrays, rules)
