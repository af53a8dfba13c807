"""What a desk will not go beyond, as a person states it, and how a refusal is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Literal

from arbkit.core.errors import ConfigError
from arbkit.core.units import MICRO, Size, cash

Unit = Literal["dollars", "shares", "orders", ""]


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskLimits:
    """Bounds in dollars and shares, on top of `ExecutionConfig.max_exposure`; none can be switched off.

    The defaults are wide: what bounds a trade is the exposure. They catch a slip of the finger.
    """

    max_order_shares: float = 100_000.0  # shares of one order
    max_order_capital: float = 10_000.0  # dollars of one order
    max_trade_capital: float = 10_000.0  # dollars one trade may cost
    max_market_shares: float = 100_000.0  # shares of one book, held and ordered
    max_market_capital: float = 50_000.0  # dollars in one market, held and ordered, as in all of these:
    max_event_capital: float = 100_000.0  # dollars in the markets of one event
    max_venue_capital: float = 100_000.0  # dollars at one venue
    max_pair_capital: float = 50_000.0  # dollars in one pair of markets on two venues
    max_total_capital: float = 100_000.0  # dollars in running trades and positions together
    max_open_orders: int = 200  # orders resting or in flight, over all venues
    max_daily_loss: float = 10_000.0  # dollars lost in one UTC day, running trades counted at what they may lose
    max_drawdown: float = 20_000.0  # dollars lost since realised profit stood highest, counted likewise
    min_price: float = 0.001  # dollars per share, the lowest price of an entry
    max_price: float = 0.999  # dollars per share, the highest

    def __post_init__(self) -> None:
        for field in fields(self):
            value, name = getattr(self, field.name), field.name
            if name == "max_open_orders":
                if type(value) is not int or not 1 <= value <= 100_000:
                    raise ConfigError(f"limits.{name} must be a whole number from 1 to 100000, not {value!r}")
            elif name in ("min_price", "max_price"):
                if type(value) not in (int, float) or not 1 / MICRO <= value <= 1 - 1 / MICRO:
                    raise ConfigError(f"limits.{name} must be a number of dollars above 0 and below 1, not {value!r}")
            elif type(value) not in (int, float) or not 1 / MICRO <= value <= 1e9:
                raise ConfigError(f"limits.{name} must be a number above 0 and at most 1e9, not {value!r}")
        if self.min_price > self.max_price:
            raise ConfigError(f"limits.min_price {self.min_price!r} is above limits.max_price {self.max_price!r}")

    def bounds(self) -> dict[str, int]:
        """Return the limits by name in millionths, orders in orders, rounded to the stricter side."""
        strict = {field.name: at_most(getattr(self, field.name)) for field in fields(self)}
        return {**strict, "min_price": cash(self.min_price), "max_open_orders": self.max_open_orders}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a trade may not start: the limit, the value that passes it, the leg that does and a size that fits.

    `value` and `bound` are in millionths of `unit`, orders in orders. `largest` is None where the size is not what
    matters, and 0 where no legal size fits. What is not a matter of numbers has no unit, and `why` says all of it.
    """

    limit: str
    value: int = 0
    bound: int = 0
    unit: Unit = "dollars"
    leg: str = ""
    largest: Size | None = None
    why: str = ""

    def __str__(self) -> str:
        if not self.unit:
            return self.why
        said = f"limit {self.limit}: {self._text(self.value)} of {self._text(self.bound)} {self.unit}"
        if self.leg:
            said += f", leg {self.leg}"
        if self.largest:
            said += f"; largest size allowed {Decimal(self.largest) / MICRO:f}"
        elif self.largest is not None:
            said += "; no legal size fits"
        return f"{said}; {self.why}" if self.why else said

    def _text(self, amount: int) -> str:
        """Return an amount with cents, and with as much more as it takes not to hide a difference."""
        if self.unit == "orders":
            return str(amount)
        value = Decimal(amount) / MICRO
        return f"{value:.2f}" if value == round(value, 2) else f"{value:f}"


def barred(limit: str, why: str) -> Refusal:
    """Return a refusal that no size can cure."""
    return Refusal(limit, unit="", why=why)


def at_most(value: float) -> int:
    """Return a bound in millionths, rounded down."""
    return -cash(-value)
