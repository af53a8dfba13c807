"""The journal read by other code than the engine's: what the engine says it knows, fact by fact.

It shares nothing with `arbkit.journal.fold` but the facts, so that a mistake there is no mistake here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from arbkit.core.units import MICRO
from arbkit.journal.memory import Fact

ENDED = ("filled", "cancelled", "expired", "rejected")
GROWING = ("submitted", "unknown", "open", "partial")


def money_of(side: int, price: int, size: int, fee: int) -> int:
    """Return what one fill moves in cash, its fee included: below zero for a buy."""
    paid = -(-price * size // MICRO) if side > 0 else -(price * size // MICRO)
    return -paid - fee


@dataclass(slots=True)
class KnownFill:
    price: int
    size: int
    fee: int
    settlement: str

    @property
    def counts(self) -> bool:
        return self.settlement != "voided"


@dataclass(slots=True)
class KnownOrder:
    """One order as the facts have it."""

    key: str
    trade: str
    leg: int
    book: str
    side: int
    limit: int
    size: int
    tif: str
    purpose: str
    at: int
    status: str = "intent"
    fills: dict[str, KnownFill] = field(default_factory=dict)

    @property
    def venue(self) -> str:
        return self.book.partition(":")[0]

    @property
    def filled(self) -> int:
        return sum(fill.size for fill in self.fills.values() if fill.counts)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def settled(self) -> bool:
        return all(fill.settlement != "provisional" for fill in self.fills.values())

    @property
    def money(self) -> int:
        """Cash of its fills, fees included; every fill rounds against us."""
        return sum(money_of(self.side, f.price, f.size, f.fee) for f in self.fills.values() if f.counts)


@dataclass(slots=True)
class KnownTrade:
    """One trade as the facts have it."""

    id: str
    strategy: str
    at: int
    size: int
    lot: int
    floor: int
    books: tuple[str, ...]
    decision_costs: tuple[int, ...]
    costs: tuple[int, ...]
    state: str = "planned"
    outcome: str = ""
    done: int = 0
    pnl: int = 0
    seen_to: bool = False
    orders: list[KnownOrder] = field(default_factory=list)

    def held(self, leg: int) -> int:
        return sum(order.side * order.filled for order in self.orders if order.leg == leg)

    @property
    def holdings(self) -> list[int]:
        return [self.held(leg) for leg in range(len(self.books))]

    @property
    def even(self) -> bool:
        held = self.holdings
        return max(held) == min(held) or (min(held) > 0 and max(held) - min(held) < self.lot)

    @property
    def final(self) -> bool:
        """No order and no fill of it can change any more."""
        return all(order.ended and order.settled for order in self.orders)

    @property
    def over(self) -> bool:
        """It is done, and was seen to if it escalated."""
        return bool(self.outcome) and (self.outcome != "escalated" or (self.seen_to and self.final))


class Shadow:
    """Everything the facts say; `apply` returns the order or trade a fact is about, as it was made by it."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.orders: dict[str, KnownOrder] = {}
        self.trades: dict[str, KnownTrade] = {}
        self.opened: dict[str, tuple[int, dict[str, int]]] = {}
        self.cash: dict[str, int] = {}  # by venue, opening and claims; without fills
        self.shares: dict[str, int] = {}  # by book, likewise
        self.blocked: dict[str, int] = {}
        self.claimed: set[str] = set()  # orders of strangers, by the venue's id
        self.halted = ""
        self.count = 0
        for fact in facts:
            self.apply(fact)

    def apply(self, fact: Fact) -> None:
        self.count += 1
        step = getattr(self, "_" + fact.fact.replace(".", "_"), None)
        if step is not None:
            step(fact, dict(fact.data))

    # -- account -------------------------------------------------------------------------------------------------

    def _account_opened(self, fact: Fact, data: dict[str, Any]) -> None:
        self.opened[fact.key] = (data["cash"], dict(data["shares"]))
        self._account_adjusted(fact, data)

    def _account_adjusted(self, fact: Fact, data: dict[str, Any]) -> None:
        self.cash[fact.key] = self.cash.get(fact.key, 0) + data["cash"]
        for book, more in data["shares"]:
            self.shares[book] = self.shares.get(book, 0) + more

    def ledger(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return cash by venue and shares by book, fills included; zeros left out."""
        cash, shares = dict(self.cash), dict(self.shares)
        for order in self.orders.values():
            if order.fills:
                cash[order.venue] = cash.get(order.venue, 0) + order.money
                shares[order.book] = shares.get(order.book, 0) + order.side * order.filled
        return cash, {book: held for book, held in shares.items() if held}

    # -- trades --------------------------------------------------------------------------------------------------

    def _trade_planned(self, fact: Fact, data: dict[str, Any]) -> None:
        books = tuple(leg[0] for leg in data["legs"])
        self.trades[fact.key] = KnownTrade(
            fact.key,
            data["strategy"],
            fact.at,
            data["size"],
            data["basket"][5],
            data["basket"][3],
            books,
            tuple(leg[1] for leg in data["legs"]),
            tuple(data["costs"]),
        )

    def _trade_state(self, fact: Fact, data: dict[str, Any]) -> None:
        self.trades[fact.key].state = data["state"]

    def _trade_done(self, fact: Fact, data: dict[str, Any]) -> None:
        trade = self.trades[fact.key]
        trade.outcome, trade.done, trade.pnl = data["outcome"], fact.at, data["pnl"]

    def _trade_acknowledged(self, fact: Fact, data: dict[str, Any]) -> None:
        self.trades[fact.key].seen_to = True

    # -- orders --------------------------------------------------------------------------------------------------

    def _order_intent(self, fact: Fact, data: dict[str, Any]) -> None:
        order = self.orders[fact.key] = KnownOrder(
            fact.key,
            data["trade"],
            data["leg"],
            data["book"],
            data["side"],
            data["limit"],
            data["size"],
            data["tif"],
            data["purpose"],
            fact.at,
        )
        self.trades[data["trade"]].orders.append(order)

    def _order_sent(self, fact: Fact, data: dict[str, Any]) -> None:
        order = self.orders[fact.key]
        if order.status == "intent":
            order.status = "submitted"

    def _order_status(self, fact: Fact, data: dict[str, Any]) -> None:
        self.orders[fact.key].status = data["status"]

    def _order_cancel(self, fact: Fact, data: dict[str, Any]) -> None:
        order = self.orders[fact.key]
        if order.status in ("open", "partial"):
            order.status = "pending_cancel"

    def _fill(self, fact: Fact, data: dict[str, Any]) -> None:
        order = self.orders[fact.key]
        order.fills[data["id"]] = KnownFill(data["price"], data["size"], data["fee"], data["settlement"])
        if data["settlement"] == "voided":
            return
        if order.filled >= order.size:
            order.status = "filled"
        elif order.status in GROWING:
            order.status = "partial"

    def _fill_settled(self, fact: Fact, data: dict[str, Any]) -> None:
        order = self.orders[fact.key]
        order.fills[data["id"]].settlement = data["settlement"]
        if data["settlement"] == "voided" and order.status == "filled":
            order.status = "cancelled"

    # -- barriers ------------------------------------------------------------------------------------------------

    def _market_blocked(self, fact: Fact, data: dict[str, Any]) -> None:
        self.blocked[fact.key] = fact.at

    def _market_claimed(self, fact: Fact, data: dict[str, Any]) -> None:
        self.blocked.pop(fact.key, None)
        self.claimed.update(data.get("orders", ()))

    def _engine_halted(self, fact: Fact, data: dict[str, Any]) -> None:
        self.halted = data["reason"]

    def _engine_resumed(self, fact: Fact, data: dict[str, Any]) -> None:
        self.halted = ""
