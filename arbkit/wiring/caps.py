"""Caps held against each other, and what can be lost at most: 1000 for 10.00 is a slip, and should be told as one.

A cap that is wider than the one around it never refuses anything. Whoever writes such a pair has mistyped one of the
two: that is refused, and so is an amount that nobody means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.risk.limits import RiskLimits

if TYPE_CHECKING:
    from arbkit.wiring.settings import Settings

CAPS: Final = ("max_exposure", "max_size", "max_unwind_loss")  # of [execution], what bounds a loss
MOST = 1_000_000  # dollars or shares: whoever means more says so here first

# (inner, outer): what the first allows lies inside what the second allows.
INSIDE: Final = (
    ("execution.max_exposure", "limits.max_trade_capital"),  # no trade hangs with more than it cost
    ("execution.max_size", "limits.max_order_shares"),
    ("limits.max_order_shares", "limits.max_market_shares"),
    ("limits.max_order_capital", "limits.max_trade_capital"),
    ("limits.max_trade_capital", "limits.max_total_capital"),
    ("limits.max_market_capital", "limits.max_event_capital"),
    ("limits.max_market_capital", "limits.max_venue_capital"),
    ("limits.max_event_capital", "limits.max_total_capital"),
    ("limits.max_venue_capital", "limits.max_total_capital"),
    ("limits.max_pair_capital", "limits.max_total_capital"),
    ("limits.max_daily_loss", "limits.max_drawdown"),
    ("limits.max_drawdown", "limits.max_total_capital"),
)


def amounts(execution: ExecutionConfig, limits: RiskLimits) -> dict[str, float]:
    """Return every number of the two by its name in the file."""
    found = {f"execution.{field.name}": getattr(execution, field.name) for field in fields(execution)}
    found |= {f"limits.{field.name}": getattr(limits, field.name) for field in fields(limits)}
    return {name: value for name, value in found.items() if type(value) in (int, float)}


def refuse_slips(amounts: Mapping[str, float]) -> None:
    """Raise ConfigError for an amount that cannot be meant, alone or beside the others; names are as in the file."""
    for name, value in amounts.items():
        if value > MOST:
            raise ConfigError(f"{name}: {value:,.2f} is more than anybody means (at most {MOST:,})")
    for inner, outer in INSIDE:
        if inner in amounts and outer in amounts and amounts[inner] > amounts[outer]:
            raise ConfigError(
                f"{inner}: {amounts[inner]:,.2f} is more than {outer} = {amounts[outer]:,.2f}, and so bounds nothing: "
                "one of the two is a slip"
            )
    needed = ("execution.max_unwind_loss", "limits.max_trade_capital", "limits.max_daily_loss")
    if all(name in amounts for name in needed):
        share, trade, day = (amounts[name] for name in needed)
        if share * trade > day:
            raise ConfigError(
                f"limits.max_daily_loss: {day:,.2f}, but undoing one trade may lose {share * trade:,.2f} of it "
                "(execution.max_unwind_loss of limits.max_trade_capital)"
            )


def worst_case(settings: Settings) -> str:
    """Return what can be lost at most as the limits stand, in dollars, for a person to read before it starts."""
    execution, limits = settings.execution, settings.limits
    where = ", ".join(f"{venue.name} ({venue.environment})" for venue in settings.venues) or "nowhere"
    money = "real money" if settings.environment == "live" else "no real money"
    lines = [
        f"{settings.environment.upper()}, {money}: account {settings.account}, at {where}",
        "at most this can be lost, if everything goes wrong that the limits allow:",
        _line(execution.max_exposure, "if some legs fill and others do not, all trades together"),
        _line(
            execution.max_unwind_loss * limits.max_trade_capital, "in undoing one trade, before it stops and escalates"
        ),
        _line(limits.max_trade_capital, "in one trade, if what it bought pays nothing"),
        _line(limits.max_daily_loss, "in one UTC day, then nothing new is entered"),
        _line(limits.max_venue_capital, "at one venue, if it never pays"),
        _line(limits.max_total_capital, "altogether"),
        *_gas_lines(settings),
        f"and every limit: max_exposure {execution.max_exposure:,.2f}, max_size {execution.max_size:,.2f}, "
        + ", ".join(f"{field.name} {getattr(limits, field.name):,.6g}" for field in fields(limits)),
    ]
    return "\n".join(lines)


def _gas_lines(settings: Settings) -> list[str]:
    chain = settings.chain
    if chain is None:
        return []
    dollars = chain.max_cost_pol * chain.pol_price
    nodes = f"{len(chain.endpoints)} node" + ("s" if len(chain.endpoints) > 1 else "")
    return [
        _line(
            dollars,
            f"in gas of one transaction: {chain.max_cost_pol:g} POL, at most {chain.max_fee_gwei:g} gwei a unit",
        ),
        f"on chain {chain.chain_id} ({chain.environment}, {nodes}) for {chain.holder}"
        + (", a Safe" if chain.is_safe else "")
        + (", giving approvals that are missing" if chain.approves else ", giving no approvals"),
    ]


def _line(dollars: float, what: str) -> str:
    return f"  {dollars:>14,.2f} dollars {what}"
