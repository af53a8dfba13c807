"""Times and decimals as recordings write them, read exactly.

Our own reader of times: general ones guess a unit per column, drop rows of mixed forms or stop at microseconds.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from arbkit.core.units import MICRO, NS_PER_S

_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)
_EPOCH = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NEAR = Decimal("1e-9")  # dollars or shares: how far float residue may lie from a millionth
# No recording of these venues is older, and what lies beyond was written in another unit.
EARLIEST, LATEST = 946_684_800 * NS_PER_S, 4_102_444_800 * NS_PER_S  # 2000-01-01 and 2100-01-01


def parse_ns(text: str, *, naive_utc: bool = False) -> int:
    """Return ns since the epoch of a time written in ISO form or as epoch seconds, exactly.

    Up to nine digits of fraction; `Z` or an offset says the zone. A time without zone is refused unless
    `naive_utc`, as is a bare number that is too long for seconds. Raises ValueError quoting the text.
    """
    found = _ISO.fullmatch(text)
    if found is None:
        seconds = _EPOCH.fullmatch(text)
        if seconds is None:
            raise ValueError(f"not a time: {text!r}")
        return int(seconds[1]) * NS_PER_S + _fraction(seconds[2])
    day, hour, minute, second, fraction, zone = found.groups()
    if zone is None and not naive_utc:
        raise ValueError(f"a time without zone: {text!r}")
    h, m, s = int(hour), int(minute), int(second)
    if h > 23 or m > 59 or s > 59:
        raise ValueError(f"not a time: {text!r}")
    ns = (_day_seconds(day) + h * 3600 + m * 60 + s - _offset(zone)) * NS_PER_S + _fraction(fraction)
    if not 0 <= ns < 1 << 63:
        raise ValueError(f"not a time between 1970 and 2262: {text!r}")
    return ns


def recorded(ns: int) -> int:
    """Return the stamp of a recorded row as it is; raises ValueError outside 2000..2100: its unit is another one."""
    if not EARLIEST <= ns < LATEST:
        raise ValueError(f"not a time between 2000 and 2100: {ns} ns since 1970")
    return ns


def recorded_ns(text: str) -> int:
    """Return the stamp of a recorded row in ns; raises ValueError like `parse_ns` and `recorded`."""
    return recorded(parse_ns(text))


def is_coarse(text: str) -> bool:
    """Tell whether a stamp is a bare number of whole seconds."""
    return text.isascii() and text.isdigit()


@lru_cache(maxsize=4096)
def _day_seconds(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * 86_400


def _fraction(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 14 or minutes > 59:
        raise ValueError(f"not a time zone: {zone!r}")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


@lru_cache(maxsize=65_536)
def snap(text: str) -> int:
    """Return a decimal text in millionths; float residue of up to 1e-9 is dropped, anything else is refused.

    0.43999999999999995 is 440,000; 0.0000005 and "nan" are ValueErrors.
    """
    try:
        if not text.isascii() or "_" in text:  # a decimal may hold both, a recording does not
            raise InvalidOperation
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a number: {text!r}") from None
    if not value.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    if abs(value) >= MICRO * MICRO:
        raise ValueError(f"too large: {text!r}")
    near = (value * MICRO).to_integral_value()
    if abs(value * MICRO - near) > _NEAR * MICRO:
        raise ValueError(f"not within 1e-9 of a millionth: {text!r}")
    return int(near)


@lru_cache(maxsize=65_536)
def snap_price(text: str) -> int:
    """Return a price in millionths of a dollar, 0..1,000,000; raises ValueError like `snap`."""
    value = snap(text)
    if not 0 <= value <= MICRO:
        raise ValueError(f"not a price between 0 and 1 dollar: {text!r}")
    return value


def snap_size(text: str) -> int:
    """Return a number of shares in millionths; raises ValueError like `snap`, and for a negative one."""
    value = snap(text)
    if value < 0:
        raise ValueError(f"not a size of zero or more shares: {text!r}")
    return value
