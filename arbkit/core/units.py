"""Prices, sizes and cash as integers in millionths: whatever can be owed is exact.

Millionths are the unit of collateral and outcome tokens on chain, they hold the price grid of every venue
and they survive a change of tick. Text and decimals exist only at the edges, floats only in `analysis`.
"""

from decimal import ROUND_CEILING, Decimal, InvalidOperation, Overflow
from typing import NewType

Price = NewType("Price", int)  # millionths of a dollar per share, 0..1_000_000
Size = NewType("Size", int)  # millionths of a share
Cash = NewType("Cash", int)  # millionths of a dollar, signed

MICRO = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
FOREVER = 2**62  # ns; later than every stamp


def _scaled(text: str | int | Decimal, what: str) -> int:
    try:
        scaled = Decimal(text) * MICRO
        whole = scaled.is_finite() and scaled % 1 == 0
    except (InvalidOperation, Overflow):  # no number, or one of more digits than a decimal can be divided in
        raise ValueError(f"not {what}: {text!r}") from None
    if not whole:
        raise ValueError(f"not {what} in millionths: {text!r}")
    return int(scaled)


def price(text: str | int | Decimal) -> Price:
    """Read a quoted price in dollars; refuse one outside 0..1 or one that millionths cannot hold exactly."""
    scaled = _scaled(text, "a price")
    if not 0 <= scaled <= MICRO:
        raise ValueError(f"not a price between 0 and 1 dollar: {text!r}")
    return Price(scaled)


def size(text: str | int | Decimal) -> Size:
    """Read a number of shares; refuse a negative one or one that millionths cannot hold exactly."""
    scaled = _scaled(text, "a size")
    if scaled < 0:
        raise ValueError(f"not a size of zero or more shares: {text!r}")
    return Size(scaled)


def cash(text: str | float | Decimal, *, rounding: str = ROUND_CEILING) -> Cash:
    """Read an amount of dollars given by a person; a fraction of a millionth rounds by `rounding`."""
    try:
        scaled = Decimal(str(text)) * MICRO
    except (InvalidOperation, Overflow):
        raise ValueError(f"not an amount of dollars: {text!r}") from None
    if not scaled.is_finite():
        raise ValueError(f"not an amount of dollars: {text!r}")
    return Cash(int(scaled.to_integral_value(rounding=rounding)))


def cost(price: int, size: int) -> Cash:
    """Return what a buyer pays, rounded up: against us."""
    return Cash(-(-price * size // MICRO))


def proceeds(price: int, size: int) -> Cash:
    """Return what a seller receives, rounded down: against us."""
    return Cash(price * size // MICRO)


def seconds(ns: int) -> float:
    """Return nanoseconds as seconds, for timers and people, never for comparing stamps."""
    return ns / NS_PER_S
