"""Where a resting order stands in its queue, and what a row of the tape does to that place.

A recording shows totals and trades, not places. What is ahead of us is therefore a bound, moved by three rules:

RISK_AVERSE  We join behind everything displayed. A trade at our price that hit our side takes from the front, and
             what it takes beyond those ahead of us is ours. Any other decrease is taken from behind us first, so the
             front only shrinks to the new total: front = min(front, total). New size joins behind us.
THROUGH      Being traded at is not enough: only a trade strictly beyond our price, or the other side coming to our
             price, fills. It needs no queue, so it is the only rule for tapes without prints or with snapshots only.
FRONT        We join in front of everybody: the hopeful bound. Prints of unknown aggressor count as hitting us.

Under every rule a trade strictly beyond our price fills up to its size (its aggressor would have met us first), and
so does a level of the other side that is set at our price or through it, up to what of it is not ours yet.

Not twice: a trade is told by a print and by a decrease of its level, in either order. Print first, the decrease
cannot lower the front again, since front <= total - traded. Decrease first, what it lowered the front by is kept as
`credit`, and the print's size uses up the credit before it moves us; an order that arrives between the two is given
the decrease as credit from the start. After EXPLAIN_NS a decrease was no trade: in 444 of 444 trades of a recorded
quarter of an hour (six Polymarket sports markets) the matching decrease stood within 0.1 s of the print.

Not twice either: shares of the other side that came to our price and filled us may later be told as a trade in which
somebody else took them. A print by a taker of our own direction is about such shares, so it moves nothing; one of
unknown aggressor first uses up `reached`, what we were filled that way.
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from arbkit.books.meta import UNKNOWN_AGGRESSOR
from arbkit.core.compiled import compiled
from arbkit.core.errors import ConfigError
from arbkit.core.units import NS_PER_S

RISK_AVERSE, THROUGH, FRONT = 0, 1, 2
NAMES = ("risk-averse", "through", "front")
RULES = {name: rule for rule, name in enumerate(NAMES)}

FAR = np.int64(2**60)  # more shares than there are, and two of it still fit: the size ahead is not known
EXPLAIN_NS = np.int64(NS_PER_S)

# What a fill's `model` says: the rule that turned a row into a fill.
WALK, WALK_BOUND, QUEUE, BEYOND, REACHED = range(5)
CLOSED = 9  # not a fill: the market ended, and the order with it


def model_name(model: int, rule: int) -> str:
    """Return the words that stand in a fill for the model that made it."""
    if model == QUEUE:
        return f"queue:{NAMES[rule]}"
    return {WALK: "book walk", WALK_BOUND: "book walk, lower bound", BEYOND: "through", REACHED: "moved through"}[model]


def rule_of(name: str) -> int:
    """Return the number of a queue rule; ConfigError for a name there is none of."""
    if name not in RULES:
        raise ConfigError(f"scenario.queue must be one of {', '.join(NAMES)}, not {name!r}")
    return RULES[name]


def check_resting(rule: int, venue: str, printing: Container[str]) -> None:
    """Raise ConfigError where nothing on the tape says who in a queue was served: no prints of that venue."""
    if rule != THROUGH and venue not in printing:
        raise ConfigError(
            f"the tape holds no trades of {venue}, so nobody can say when a resting order's turn came: "
            f'resting orders need scenario.queue = "through" there, not {NAMES[rule]!r}'
        )


@compiled
def joined(rule, total, low):  # type: ignore[no-untyped-def]
    """Return the size ahead of an order that joins a level of `total` shares; `low` 1: a lower bound."""
    if rule == FRONT:
        return np.int64(0)
    if low:
        return FAR
    return total


@compiled
def after_level(rule, ahead, total, low):  # type: ignore[no-untyped-def]
    """Return (size ahead, what it fell by) after our level is set to a new total.

    A lower bound bounds nothing from above: it changes nothing.
    """
    if rule == FRONT or low:
        return ahead, np.int64(0)
    front = min(ahead, total)
    return front, ahead - front


@compiled
def traded_at(rule, ahead, credit, volume, known):  # type: ignore[no-untyped-def]
    """Return (shares that come to us at most, size ahead, credit) after `volume` traded at our price.

    `known` 1: the aggressor hit our side. Unknown aggressors move a hopeful queue only.
    """
    none = np.int64(0)
    if rule == THROUGH or (rule == RISK_AVERSE and not known):
        return none, ahead, credit
    explained = min(volume, credit)
    volume -= explained
    credit -= explained
    if ahead >= FAR:
        return none, ahead, credit
    return max(none, volume - ahead), max(none, ahead - volume), credit


@compiled
def hits(side, aggressor):  # type: ignore[no-untyped-def]
    """Return 1 when a print's aggressor hit this side (0 bids, 1 asks), 2 when nobody knows, 0 when it did not."""
    if aggressor == UNKNOWN_AGGRESSOR:
        return 2
    if side == 0:
        return 1 if aggressor == 2 else 0  # a seller takes bids
    return 1 if aggressor == 1 else 0
