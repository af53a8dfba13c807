"""Where a resting order stands in its queue, and what a row of the tape does to that place.

A recording shows totals and trades, not places. What is ahead of us is therefore a bound or an estimate, and a rule
is the answers to three questions: what is ahead when we join (`joined`), what a new total at our price does to it
(`after_level`), and what a trade at our price does (`traded_at`). From the most cautious to the most hopeful:

THROUGH      Being traded at is not enough: only a trade strictly beyond our price, or the other side coming to our
             price, fills. It needs no queue, so it is the only rule for tapes without prints or with snapshots only.
TRADE_ONLY   We join behind everything displayed, and only trades that hit our side move us up: no fall of the level
             does, not even its vanishing, because a cancel may always have stood behind us.
RISK_AVERSE  The same, but a fall that no trade explains is taken from behind us first, so the front only shrinks to
             the new total: front = min(front, total). New size joins behind us.
PRO_RATA     Everybody in the queue is as likely to cancel: of a fall c that no trade explains, c * front / (front +
             behind) left from before us. (Of cancels, not of trades: both venues serve by price and time.)
POWER        The longer part of the queue cancels more than its share: c * front^3 / (front^3 + behind^3) left from
             before us, rounded down; what those behind cannot have cancelled left from before us too. This is the
             power-probability queue of hftbacktest with f(x) = x^n, n = 3: a cancel comes from behind with
             f(behind) / (f(behind) + f(front)).
FRONT        We join in front of everybody: the hopeful bound. Prints of unknown aggressor count as hitting us.

Under every rule a trade strictly beyond our price fills up to its size (its aggressor would have met us first), and
so does a level of the other side that is set at our price or through it, up to what of it is not ours yet.

Not twice: a trade is told by a print and by a decrease of its level, in either order. Print first, its size is kept
as `debit`, and the decrease uses up the debit before what is left of it counts as cancelled (a bound by the total
needs no debit: front <= total - traded). Decrease first, what it lowered the front by is kept as
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

RISK_AVERSE, THROUGH, FRONT, TRADE_ONLY, PRO_RATA, POWER = range(6)
NAMES = ("risk-averse", "through", "front", "trade-only", "pro-rata", "power")
RULES = {name: rule for rule, name in enumerate(NAMES)}

FAR = np.int64(2**60)  # more shares than there are, and two of it still fit: the size ahead is not known
EXPLAIN_NS = np.int64(NS_PER_S)
MOST = np.int64(2**62)
ROOT = np.int64(2**20 - 1)  # its cube, twice, fits

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
def part(amount, weight, whole):  # type: ignore[no-untyped-def]
    """Return amount * weight / whole rounded down, 0 <= weight <= whole, for products that 64 bits cannot hold.

    Exact while amount * whole fits. Beyond, `whole` loses its last bits, rounded up, and `weight` those rounded down:
    the result is never too large, and too small by less than one part in a million up to a million shares.
    """
    while whole > 1 and amount > MOST // whole:
        weight >>= 1
        whole = (whole + 1) >> 1
    return amount * weight // whole if whole > 0 else np.int64(0)


@compiled
def left_ahead(rule, ahead, behind, gone):  # type: ignore[no-untyped-def]
    """Return how many of `gone` cancelled shares stood before us, with `behind` shares behind us: PRO_RATA, POWER."""
    a, b = ahead, behind
    if rule == POWER:
        while a > ROOT or b > ROOT:
            a >>= 1
            b >>= 1
        a, b = a * a * a, b * b * b
    before = part(gone, a, a + b)
    return min(ahead, max(before, gone - behind))


@compiled
def after_level(rule, ahead, before, total, low, debit):  # type: ignore[no-untyped-def]
    """Return (size ahead, what it fell by) after our level went from `before` shares to `total`; `low` 1: a bound.

    `debit` of the fall are known from prints. A lower bound bounds nothing from above: it changes nothing.
    """
    if rule == FRONT or low:
        return ahead, np.int64(0)
    front = min(ahead, total)
    if ahead < FAR:  # when the size ahead is not known, the first true total is all that can be ahead
        if rule == TRADE_ONLY:
            front = ahead
        elif rule in (PRO_RATA, POWER):
            gone = before - total - debit
            if gone > 0:
                front = min(front, ahead - left_ahead(rule, ahead, max(np.int64(0), before - debit - ahead), gone))
    return front, ahead - front


@compiled
def traded_at(rule, ahead, credit, volume, known):  # type: ignore[no-untyped-def]
    """Return (shares that come to us at most, size ahead, credit) after `volume` traded at our price.

    `known` 1: the aggressor hit our side. Unknown aggressors move a hopeful queue only.
    """
    none = np.int64(0)
    if rule == THROUGH or (rule != FRONT and not known):
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
