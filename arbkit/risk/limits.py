"""The limits a trade must keep before its first order is sent, and what running trades have reserved of them.

Worst-case unhedged exposure of a trade: its legs fill or do not fill independently, and the shares that no whole
basket covers count at what they cost. Over all combinations the worst is "every leg but the cheapest filled":

    exposure = max over proper subsets F of the legs of sum(cost_i for i in F) = sum(cost_i) - min(cost_i)

with cost_i what leg i costs at most (all of it at its limit, fee included). Partial fills lie between those corners.
Reservations stand from the check to the end of the trade; those of an escalated trade stand until a person
acknowledges it, and until then nothing new is entered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Literal

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.model import Book, ExecutionResult, MultiLegTrade, Outcome, Side
from arbkit.core.units import MICRO, Cash, Size, cash, cost, proceeds


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskLimits:
    """Bounds in dollars and shares, on top of `ExecutionConfig.max_exposure`; none can be switched off.

    The defaults are wide: what bounds a trade is the exposure. They catch a slip of the finger.
    """

    max_trade_capital: float = 10_000.0  # dollars one trade may cost
    max_total_capital: float = 100_000.0  # dollars in running trades and positions together
    max_market_shares: float = 100_000.0  # shares of one book, held and ordered
    max_market_capital: float = 50_000.0  # dollars in one market
    max_venue_capital: float = 100_000.0  # dollars at one venue

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e9:
                raise ConfigError(f"limits.{field.name} must be a number above 0 and at most 1e9, not {value!r}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a trade may not start: the limit, the value that passes it, the leg that does and, if any, a size that fits.

    `value` and `bound` are in millionths of `unit`.
    """

    limit: str
    value: int
    bound: int
    unit: Literal["dollars", "shares"] = "dollars"
    leg: str = ""
    largest: Size | None = None

    def __str__(self) -> str:
        said = f"limit {self.limit}: {_text(self.value)} of {_text(self.bound)} {self.unit}"
        if self.leg:
            said += f", leg {self.leg}"
        if self.largest is not None:
            said += f"; largest size allowed {Decimal(self.largest) / MICRO:f}"
        return said


def _text(amount: int) -> str:
    """Return an amount with cents, and with as much more as it takes not to hide a difference."""
    value = Decimal(amount) / MICRO
    return f"{value:.2f}" if value == round(value, 2) else f"{value:f}"


def exposure(costs: Sequence[int]) -> Cash:
    """Return the worst-case unhedged exposure of legs with these costs (formula in the module)."""
    return Cash(sum(costs) - min(costs))


def largest_exposed(costs: Sequence[int], size: int, lot: int, room: int) -> Size:
    """Return the largest multiple of `lot`, at most `size`, whose exposure is within `room`.

    `costs` are those of `size` shares; a smaller size is taken to cost its share of them, rounded up, which is no
    less than it will: asks get no dearer when less is bought.
    """

    def fits(lots: int) -> bool:
        return exposure([-(-of * lots * lot // size) for of in costs]) <= room

    low, high = 0, size // lot
    if fits(high):
        return Size(high * lot)
    while high - low > 1:  # fits(low) and not fits(high)
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return Size(low * lot)


@dataclass(frozen=True, slots=True)
class _Reserved:
    """What one running trade may come to cost, leg by leg."""

    trade: MultiLegTrade
    costs: tuple[Cash, ...]


class RiskManager:
    """Refuses whole trades, reserves for those that start and keeps count of what is held."""

    def __init__(self, limits: RiskLimits | None = None, config: ExecutionConfig | None = None) -> None:
        self.limits = limits or RiskLimits()
        self._config = config or ExecutionConfig()
        self._max_exposure = _bound(self._config.max_exposure)
        self._reserved: dict[str, _Reserved] = {}
        self._escalated: dict[str, ExecutionResult] = {}
        self._shares: dict[int, int] = {}  # by book number
        self._capital: dict[str, dict[str, int]] = {}  # by venue and market id: dollars in what is held

    @property
    def halted(self) -> str:
        """Return why no trade may start, or nothing."""
        if not self._escalated:
            return ""
        return f"entries are halted: {', '.join(self._escalated)} escalated and nobody has acknowledged it"

    def exposure_room(self) -> Cash:
        """Return what running and escalated trades leave of `max_exposure`."""
        return Cash(self._max_exposure - sum(exposure(held.costs) for held in self._reserved.values()))

    def largest_allowed(self, costs: Sequence[int], size: int, lot: int) -> Size:
        """Return the largest size within `max_exposure` as it stands now; `costs` are those of `size` shares."""
        return largest_exposed(costs, size, lot, self.exposure_room())

    def check(
        self, trade: MultiLegTrade, costs: Sequence[Cash] | None = None, free: Mapping[str, Cash] | None = None
    ) -> Refusal | None:
        """Return the first limit a trade would pass, or None.

        `costs` is what each leg costs at most (by default its cost at decision), `free` the venues' free cash.
        """
        costs = tuple(costs) if costs is not None else tuple(leg.decision_cost for leg in trade.legs)
        return (
            self._exposure(trade, costs)
            or self._trade_capital(trade, costs)
            or self._total_capital(costs)
            or self._market(trade, costs)
            or self._venue(trade, costs)
            or (self._free_cash(trade, costs, free) if free is not None else None)
        )

    def reserve(self, trade: MultiLegTrade, costs: Sequence[Cash]) -> None:
        """Count a trade that starts now against every limit until `finish`."""
        self._reserved[trade.id] = _Reserved(trade, tuple(costs))

    def finish(self, result: ExecutionResult) -> None:
        """Replace a trade's reservation by what it holds; an escalated one keeps it, and halts entries."""
        trade = result.trade
        if trade.id not in self._reserved:
            return
        if result.outcome is Outcome.ESCALATED:
            self._escalated[trade.id] = result
            return
        self._settle(result)

    def acknowledge(self, trade_id: str) -> None:
        """Take a person's word that an escalated trade was seen to: count what it holds, release the rest."""
        result = self._escalated.pop(trade_id, None)
        if result is not None:
            self._settle(result)

    def freed(self, book: Book, shares: Size, capital: Cash) -> None:
        """Take shares and their capital out of the count, after settlement paid them."""
        self._shares[book.index] = self._shares.get(book.index, 0) - shares
        of_venue = self._capital.setdefault(book.venue, {})
        of_venue[book.market.id] = of_venue.get(book.market.id, 0) - capital

    def _settle(self, result: ExecutionResult) -> None:
        del self._reserved[result.trade.id]
        for leg in result.trade.legs:
            paid = sum(
                (cost(fill.price, fill.size) if order.side is Side.BUY else -proceeds(fill.price, fill.size)) + fill.fee
                for order in leg.orders
                for fill in order.fills
            )
            self.freed(leg.book, Size(-leg.held), Cash(-max(0, paid) if leg.held else 0))

    # -- the limits ----------------------------------------------------------------------------------------------

    def _exposure(self, trade: MultiLegTrade, costs: Sequence[Cash]) -> Refusal | None:
        room, value = self.exposure_room(), exposure(costs)
        if value <= room:
            return None
        dearest = max(range(len(costs)), key=lambda index: costs[index])
        fits = largest_exposed(costs, trade.size, trade.opportunity.basket.lot, room)
        used = self._max_exposure - room
        return Refusal("max_exposure", used + value, self._max_exposure, leg=_leg(trade, dearest), largest=fits)

    def _trade_capital(self, trade: MultiLegTrade, costs: Sequence[Cash]) -> Refusal | None:
        bound, value = _bound(self.limits.max_trade_capital), sum(costs)
        if value <= bound:
            return None
        lot = trade.opportunity.basket.lot
        return Refusal("max_trade_capital", value, bound, largest=Size(trade.size * bound // value // lot * lot))

    def _total_capital(self, costs: Sequence[Cash]) -> Refusal | None:
        held = sum(sum(of_venue.values()) for of_venue in self._capital.values())
        value = held + sum(sum(reserved.costs) for reserved in self._reserved.values()) + sum(costs)
        bound = _bound(self.limits.max_total_capital)
        return Refusal("max_total_capital", value, bound) if value > bound else None

    def _market(self, trade: MultiLegTrade, costs: Sequence[Cash]) -> Refusal | None:
        shares, dollars = _bound(self.limits.max_market_shares), _bound(self.limits.max_market_capital)
        for leg in trade.legs:
            running = [(r, other) for r in self._reserved.values() for other in r.trade.legs]
            value = self._shares.get(leg.book.index, 0) + leg.size
            value += sum(other.size for _, other in running if other.book.index == leg.book.index)
            if value > shares:
                return Refusal("max_market_shares", value, shares, "shares", _leg(trade, leg.index))
            market = leg.book.market
            value = self._capital.get(leg.book.venue, {}).get(market.id, 0)
            value += sum(r.costs[other.index] for r, other in running if other.book.market == market)
            value += sum(costs[other.index] for other in trade.legs if other.book.market == market)
            if value > dollars:
                return Refusal("max_market_capital", value, dollars, leg=_leg(trade, leg.index))
        return None

    def _venue(self, trade: MultiLegTrade, costs: Sequence[Cash]) -> Refusal | None:
        bound = _bound(self.limits.max_venue_capital)
        for leg in trade.legs:
            value = sum(self._capital.get(leg.book.venue, {}).values()) + self._running_at(leg.book.venue)
            value += sum(costs[other.index] for other in trade.legs if other.book.venue == leg.book.venue)
            if value > bound:
                return Refusal("max_venue_capital", value, bound, leg=_leg(trade, leg.index))
        return None

    def _free_cash(self, trade: MultiLegTrade, costs: Sequence[Cash], free: Mapping[str, Cash]) -> Refusal | None:
        """Compare with what venues say is free, less all that running trades may still order there."""
        for leg in trade.legs:
            venue = leg.book.venue
            value = sum(costs[other.index] for other in trade.legs if other.book.venue == venue)
            bound = free.get(venue, Cash(0)) - self._running_at(venue)
            if value > bound:
                return Refusal("free cash", value, bound, leg=_leg(trade, leg.index))
        return None

    def _running_at(self, venue: str) -> int:
        return sum(
            r.costs[leg.index] for r in self._reserved.values() for leg in r.trade.legs if leg.book.venue == venue
        )


def _leg(trade: MultiLegTrade, index: int) -> str:
    return f"{index} {trade.legs[index].book.name}"


def _bound(value: float) -> int:
    return -cash(-value)
