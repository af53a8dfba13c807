"""Fee rules: read from `rules.toml`, chosen by market and date, and reckoned exactly.

A venue charges `rate * shares * (p * (1 - p)) ** exponent` dollars per fill, rounded to its step. Kalshi then adds
a rounding fee that floors the member's balance change to a precision, and gives whole units of that precision back
once an order has collected more than one. Everything is an int: millionths of a dollar, of a share, of a rate.

A rule is used only inside its dates. Elsewhere net figures are refused, unless the caller assumes a rule by name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from arbkit.core.errors import DataError
from arbkit.core.model import Market
from arbkit.core.units import MICRO, NS_PER_S, Cash, cost, proceeds, size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rounding = Literal["ceil", "half-up"]
ANY = "any"  # the venue of a rule that may stand for every one
MAX_RATE_PPM = 1_000_000  # what the compiled sums are proven for; seven hundredths is the highest seen
EXPONENTS = (1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeeRule:
    """One venue's fees between two dates.

    Rates are millionths of `shares * (p * (1 - p)) ** exponent`; `step`, `minimum` and `balance_precision` are
    millionths of a dollar; a fee below `minimum` is none; precision 0: the balance is not rounded. `valid_from` and
    `valid_until` are ns since the epoch, the latter exclusive, None: open. `rebate` tells what the venue pays back
    to makers or takers afterwards, by rules no single fill can know: it is noted and never booked.
    """

    name: str
    venue: str
    valid_from: int | None
    valid_until: int | None
    taker_rate_ppm: int
    maker_rate_ppm: int
    exponent: int
    step: int
    rounding: Rounding
    minimum: int
    balance_precision: int
    source: str
    note: str = ""
    rebate: str = ""

    def __post_init__(self) -> None:
        for name in ("taker_rate_ppm", "maker_rate_ppm"):
            if not 0 <= getattr(self, name) <= MAX_RATE_PPM:
                raise DataError(f"fee rule {self.name}: {name} = {getattr(self, name)} is outside 0..{MAX_RATE_PPM}")
        if self.exponent not in EXPONENTS:
            raise DataError(f"fee rule {self.name}: exponent = {self.exponent!r} is none of {EXPONENTS}")
        if self.rounding not in ("ceil", "half-up"):
            raise DataError(f"fee rule {self.name}: rounding = {self.rounding!r} is neither ceil nor half-up")
        for name, least in (("step", 1), ("minimum", 0), ("balance_precision", 0)):
            if not least <= getattr(self, name) <= MICRO:
                raise DataError(f"fee rule {self.name}: {name} = {getattr(self, name)} is outside {least}..{MICRO}")
        if None not in (self.valid_from, self.valid_until) and self.valid_from >= self.valid_until:  # type: ignore[operator]
            raise DataError(f"fee rule {self.name}: valid_until is not after valid_from")
        if not self.source:
            raise DataError(f"fee rule {self.name}: a rule without a source is a rumour")

    def trade_fee(self, price: int, size: int, *, maker: bool) -> Cash:
        """Return the fee of one fill before any rounding of the balance."""
        rate = self.maker_rate_ppm if maker else self.taker_rate_ppm
        if not rate:
            return Cash(0)
        return trade_fee(price, size, rate, self.exponent, self.step, self.rounding == "half-up", self.minimum)

    def order_fee(self, fills: Sequence[tuple[int, int]], *, maker: bool, sell: bool = False) -> Cash:
        """Return the fee of one order filled at these (price, size) pairs, in this order, as the venue books it."""
        if not self.balance_precision:
            if not (self.maker_rate_ppm if maker else self.taker_rate_ppm):
                return Cash(0)
            return Cash(sum([self.trade_fee(price, size, maker=maker) for price, size in fills]))
        order = OrderFees(self)
        return Cash(sum(order.fill(price, size, maker, sell=sell) for price, size in fills))


class OrderFees:
    """The fees of one order, fill by fill.

    `accumulated` is what rounding fees have collected and rebates not yet given back, never more than one unit of
    the balance precision; what is left when the order ends stays with the venue. The fee of a single fill can be
    negative (a rebate larger than its fee), that of a whole order cannot.
    """

    __slots__ = ("accumulated", "rule")

    def __init__(self, rule: FeeRule) -> None:
        self.rule = rule
        self.accumulated = 0

    def fill(self, price: int, size: int, maker: bool, *, sell: bool = False) -> Cash:
        """Return the net fee of the order's next fill: trade fee, plus rounding fee, less rebate."""
        return self.book(self.rule.trade_fee(price, size, maker=maker), price, size, sell=sell)

    def book(self, trade_fee: int, price: int, size: int, *, sell: bool = False) -> Cash:
        """Return the net fee of a fill whose trade fee is known.

        The balance changes by what our own ledger books, `units.cost` or `units.proceeds`: on a venue whose prices
        and sizes multiply to whole millionths (Kalshi: 4 and 2 decimals) that is the venue's own figure.
        """
        unit = self.rule.balance_precision
        if not unit:
            return Cash(trade_fee)
        change = (proceeds(price, size) if sell else -cost(price, size)) - trade_fee
        rounding = change % unit  # Python's % is never negative: what flooring the change takes away
        self.accumulated += rounding
        rebate = unit if self.accumulated > unit else 0  # both parts are at most a unit: one is always enough
        self.accumulated -= rebate
        return Cash(trade_fee + rounding - rebate)


def trade_fee(price: int, size: int, rate_ppm: int, exponent: int, step: int, half_up: bool, minimum: int = 0) -> Cash:
    """Return `rate * shares * (p * (1 - p)) ** exponent` in millionths of a dollar, rounded to a multiple of `step`.

    `half_up` rounds to the nearest multiple, ties upwards; otherwise up. A fee below `minimum` is 0. Formula:
    Polymarket's and Kalshi's fee pages, see `rules.toml`.
    """
    whole = rate_ppm * size * (price * (MICRO - price)) ** exponent
    unit = MICRO * (MICRO * MICRO) ** exponent  # `whole` counts millionths of a dollar in these
    if whole < minimum * unit:
        return Cash(0)
    steps = (2 * whole + step * unit) // (2 * step * unit) if half_up else -(-whole // (step * unit))
    return Cash(steps * step)


def as_array(rule: FeeRule) -> NDArray[np.int64]:
    """Return a rule as eight int64 for compiled code.

    [taker_rate_ppm, maker_rate_ppm, exponent, step, rounding (0 ceil, 1 half-up), minimum, balance_precision,
    known (1; eight zeros stand for "no rule": no fee)].
    """
    import numpy as np

    half_up = int(rule.rounding == "half-up")
    rates = (rule.taker_rate_ppm, rule.maker_rate_ppm)
    return np.array([*rates, rule.exponent, rule.step, half_up, rule.minimum, rule.balance_precision, 1], np.int64)


# -- the table -----------------------------------------------------------------------------------------------


def rule(name: str) -> FeeRule:
    """Return a rule by name; raise DataError with the nearest names when there is none."""
    rules = _table()
    if name not in rules:
        near = difflib.get_close_matches(name, rules, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(rules)}"
        raise DataError(f"no fee rule is named {name!r}; {hint}")
    return rules[name]


def names(venue: str | None = None) -> tuple[str, ...]:
    """Return the names of all rules, or of one venue's."""
    return tuple(found.name for found in _table().values() if venue in (None, found.venue))


def covers(rule: FeeRule, ns: int) -> bool:
    """Tell whether a rule was in force at `ns` since the epoch, as far as its source says."""
    return (rule.valid_from is None or rule.valid_from <= ns) and (rule.valid_until is None or ns < rule.valid_until)


@cache
def _table() -> Mapping[str, FeeRule]:
    text = resources.files("arbkit.fees").joinpath("rules.toml").read_text(encoding="utf-8")
    return read_rules(text, "arbkit/fees/rules.toml")


def read_rules(text: str, where: str) -> dict[str, FeeRule]:
    """Return the rules of a TOML text by name; raise DataError naming `where`, rule and field."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{where}: not readable: {error}") from error
    rules: dict[str, FeeRule] = {}
    for i, row in enumerate(document.get("rule", [])):
        found = _read(row, f"{where}: rule {row.get('name', i + 1)}")
        if found.name in rules:
            raise DataError(f"{where}: rule {found.name}: stated twice")
        rules[found.name] = found
    return rules


def _read(row: Mapping[str, Any], where: str) -> FeeRule:
    known = {field.name.removesuffix("_ppm") for field in fields(FeeRule)}
    needed = known - {"valid_from", "valid_until", "note", "rebate"}
    for key in (*sorted(set(row) - known), *sorted(needed - set(row))):
        raise DataError(f"{where}: field `{key}` {'is not known' if key in row else 'is missing'}")
    try:
        amounts = {key: int(size(row[key])) for key in ("step", "minimum", "balance_precision")}
        rates = {f"{key}_ppm": int(size(row[key])) for key in ("taker_rate", "maker_rate")}
        dates = {key: _day(row[key]) if key in row else None for key in ("valid_from", "valid_until")}
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: {error}") from error
    plain: dict[str, Any] = {key: row[key] for key in ("name", "venue", "exponent", "rounding", "source")}
    plain |= {key: row.get(key, "") for key in ("note", "rebate")}
    return FeeRule(**(plain | amounts | rates | dates))


def _day(value: Any) -> int:
    """Return the ns at which a day begins in UTC. Venues announce days, not hours."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError(f"not a day: {value!r}")
    return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()) * NS_PER_S


# -- the rule of a market ------------------------------------------------------------------------------------


def rules_for(market: Market, ns: int, assume_fees: str | None = None) -> FeeRule:
    """Return the rule in force on a market at `ns`: the one its table states, where that covers the time.

    Elsewhere the assumed one: `assume_fees` is a rule's name, or several with commas between, one per venue, and
    need not cover the time (that is what assuming means). Raises DataError when nothing applies.
    """
    stated = market.fee_rule_at(ns)
    if stated is not None:
        found = rule(stated)
        if not _fits(found, market.venue):
            raise DataError(f"market {_name(market)}: fee rule {stated} is one of {found.venue}, not {market.venue}")
        if covers(found, ns):
            return found
    if assume_fees:
        assumed = [rule(name.strip()) for name in assume_fees.split(",")]
        for found in assumed:
            if _fits(found, market.venue):
                return found
    raise DataError(_refusal(market, ns, stated, assume_fees))


def history_for(
    market: Market, start: int, end: int, assume_fees: str | None = None
) -> tuple[tuple[int, FeeRule], ...]:
    """Return the rules in force from `start` to `end` (ns, both included) as (valid from, rule), oldest first.

    Raises DataError when part of the time is not covered and no rule is assumed.
    """
    turns = {start, *(since for since, _ in market.fee_rules if start < since <= end)}
    for _, name in market.fee_rules:
        bounds = (rule(name).valid_from, rule(name).valid_until)
        turns.update(bound for bound in bounds if bound is not None and start < bound <= end)
    history: list[tuple[int, FeeRule]] = []
    for ns in sorted(turns):
        found = rules_for(market, ns, assume_fees)
        if not history or history[-1][1] != found:
            history.append((ns, found))
    return tuple(history)


def rule_for(market: Market, start: int, end: int, assume_fees: str | None = None) -> FeeRule:
    """Return the one rule in force from `start` to `end` (ns); raise DataError when it changes on the way."""
    history = history_for(market, start, end, assume_fees)
    if len(history) > 1:
        ns, later = history[1]
        raise DataError(
            f"market {_name(market)}: fees change from {history[0][1].name} to {later.name} on {_date(ns)}; "
            "slice the tape there and look at the parts one by one"
        )
    return history[0][1]


def _fits(found: FeeRule, venue: str) -> bool:
    """A venue with rules of its own takes no other's; one that we know nothing of takes what it is given."""
    return found.venue in (venue, ANY) or not names(venue)


def _refusal(market: Market, ns: int, stated: str | None, assume_fees: str | None) -> str:
    why = f"its rule {stated} does not hold then" if stated else "none is stated"
    if assume_fees:
        why += f", and assume_fees={assume_fees} names none of {market.venue}"
    known = ", ".join(names(market.venue) or names())
    return (
        f"net figures are refused: market {_name(market)} has no fee rule covering {_date(ns)} ({why}); "
        f"state one in markets.toml or pass assume_fees=NAME ({known})"
    )


def _name(market: Market) -> str:
    return f"{market.venue}:{market.id}"


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS_PER_S, tz=UTC).date().isoformat()
