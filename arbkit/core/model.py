"""The nouns of a trade: frozen values; a change is a new value; the legal changes stand in a table.

A tape or a live session has one market table. A `Book` is one outcome of one market and is known everywhere by
its number in that table's list of books (two per market: YES, then NO). All amounts are integers, see `units`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal, NamedTuple

from msgspec import Struct, structs
from msgspec.structs import force_setattr

from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.grid import Grid
from arbkit.core.units import MICRO, Cash, Price, Size

_set = object.__setattr__  # of values that are frozen: in `__post_init__` alone


def _counted() -> Any:
    """Return a field that follows from the others: counted once, when the value is made, for the hot path asks often."""
    return field(init=False, repr=False, compare=False)


# -- markets and books ---------------------------------------------------------------------------------------

Void = Literal["half", "refund", "last_price", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """One YES/NO question on one venue, as `markets.toml` states it; None stands for "unknown".

    `exclusive` and `exhaustive` speak of the event: at most one of its markets pays, at least one does. `grids`
    and `fee_rules` are dated histories, (valid from, value), oldest first, times in ns since the epoch (0: ever).
    """

    venue: str
    id: str
    event: str | None = None
    outcome: str | None = None
    payout: Cash | None = None
    exclusive: bool | None = None
    exhaustive: bool | None = None
    void: Void | None = None
    grids: tuple[tuple[int, Grid], ...] = ()
    lot: Size | None = None
    min_size: Size | None = None
    fee_rules: tuple[tuple[int, str], ...] = ()
    start: int | None = None
    close: int | None = None
    resolution: str | None = None
    source: tuple[tuple[str, str], ...] = ()  # (outcome, file stem): ("yes", "nyk") or both outcomes
    assumed: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        return hash((self.venue, self.id))

    def need(self, name: str) -> Any:
        """Return a field that the caller cannot do without; raise DataError naming it when it is unknown."""
        value = getattr(self, name)
        if value is None or value == ():
            said = {"grids": "tick", "fee_rules": "fee_rule"}.get(name, name)
            raise DataError(f"market {self.venue}:{self.id}: `{said}` is unknown; state it in markets.toml")
        return value

    def grid_at(self, ns: int) -> Grid:
        """Return the price grid in force at a time; raise DataError when it is unknown."""
        return _in_force(self.grids or self.need("grids"), ns)  # type: ignore[no-any-return]

    def fee_rule_at(self, ns: int) -> str | None:
        """Return the name of the fee rule in force at a time, or None when nothing is known."""
        return _in_force(self.fee_rules, ns) if self.fee_rules else None


def _in_force(history: tuple[tuple[int, Any], ...], ns: int) -> Any:
    found = history[0][1]
    for since, value in history[1:]:
        if since <= ns:
            found = value
    return found


@dataclass(frozen=True, slots=True)
class Book:
    """The bids and asks of one outcome of one market; `index` is its number in the list of books.

    `mirror` is the number of the other outcome's book: the two are one pool of liquidity. A book that is not
    `recorded` has no rows of its own and is read off its mirror, price p there being one dollar minus p here.
    """

    index: int
    market: Market
    outcome: Literal["yes", "no"]
    mirror: int
    recorded: bool = True
    venue: str = _counted()
    market_name: str = _counted()  # "venue:market"
    name: str = _counted()  # "venue:market:outcome"

    def __post_init__(self) -> None:
        _set(self, "venue", self.market.venue)
        _set(self, "market_name", f"{self.market.venue}:{self.market.id}")
        _set(self, "name", f"{self.market_name}:{self.outcome}")


class Pair(NamedTuple):
    """Two markets on two venues that ask the same question (`same`) or opposite ones (`opposite`)."""

    a: Market
    b: Market
    polarity: Literal["same", "opposite"]


@dataclass(frozen=True, slots=True)
class MarketTable:
    """The markets of a tape or session, their books (two each: YES is 2m, NO is 2m + 1) and stated pairs."""

    markets: tuple[Market, ...]
    books: tuple[Book, ...]
    pairs: tuple[Pair, ...] = ()

    def book(self, name: str) -> Book:
        """Return a book by name ("venue:id:yes"); raise DataError when there is none."""
        for book in self.books:
            if book.name == name:
                return book
        raise DataError(f"no book named {name!r}; there are {', '.join(b.name for b in self.books) or 'none'}")


class Health(StrEnum):
    """Whether a book may price an order; everything but OK refuses."""

    OK = "ok"
    SILENT = "silent"
    GAPPED = "gapped"
    CROSSED = "crossed"
    UNKNOWN = "unknown"
    CLOSED = "closed"


class Level(NamedTuple):
    """One price of a book: what stands there, and whether that is the true size or only a lower bound."""

    price: Price
    size: Size
    exact: bool = True


# -- baskets and opportunities -------------------------------------------------------------------------------


class Kind(StrEnum):
    """How the legs of a basket belong together."""

    COMPLEMENT = "complement"
    OUTCOMES = "outcomes"
    CROSS_VENUE = "cross_venue"


@dataclass(frozen=True, slots=True)
class Basket:
    """Legs bought in equal shares, which together pay at least `floor` per share whatever happens.

    `floor` is the minimum over every outcome, void rule included, in millionths of a dollar. `min_size` is the
    smallest size legal on every leg (q_min) and `lot` the step of sizes legal on every leg. `assumed` names the
    guessed fields that the floor, the sizes and the fees rest on, as "venue:market.field".
    """

    id: str
    kind: Kind
    event: str
    legs: tuple[Book, ...]
    floor: Cash
    min_size: Size
    lot: Size
    assumed: tuple[str, ...] = ()
    pair: str = _counted()  # the markets that legs over two venues rest on, "venue:market|venue:market", or nothing

    def __post_init__(self) -> None:
        crosses = self.kind is Kind.CROSS_VENUE or len({leg.venue for leg in self.legs}) > 1
        _set(self, "pair", "|".join(sorted({leg.market_name for leg in self.legs})) if crosses else "")


class ArbitrageOpportunity(Struct, frozen=True, gc=False):
    """A basket that was executable with an edge at one moment, as received then.

    `size` is in shares of the basket; `edge` is the expected profit of that size in millionths of a dollar,
    net of fees; `edge_gross` before fees. `exact` tells whether every level it rests on is a true size.
    """

    id: str
    basket: Basket
    detected_at: int
    size: Size
    edge: Cash
    edge_gross: Cash
    exact: bool = True


# -- orders and fills ----------------------------------------------------------------------------------------


class Side(IntEnum):
    """The sign of a trade: +1 buys, -1 sells."""

    BUY = 1
    SELL = -1


class TimeInForce(StrEnum):
    """FAK takes what is there and cancels the rest (the venues' IOC); FOK all or nothing; GTC rests, GTD until a time."""

    FAK = "FAK"
    FOK = "FOK"
    GTC = "GTC"
    GTD = "GTD"

    @property
    def rests(self) -> bool:
        """What is not matched on arrival waits in the book."""
        return self is TimeInForce.GTC or self is TimeInForce.GTD


class Purpose(StrEnum):
    """Why an order exists: entries decide completed and reduced, the others but splits only undo."""

    ENTRY = "entry"
    SPLIT = "split"  # no venue's order: pairs that a trade began with, half a dollar for each share
    COMPLETE = "complete"
    TRIM = "trim"
    MERGE = "merge"  # sells what is left over of pairs that then go back to collateral
    EXIT = "exit"


class OrderStatus(StrEnum):
    """The life of an order, as far as the venue has told us."""

    INTENT = "intent"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIAL = "partial"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


S = OrderStatus
WORKING = {S.OPEN, S.PARTIAL, S.PENDING_CANCEL, S.UNKNOWN}
ENDED = {S.FILLED, S.CANCELLED, S.EXPIRED}
TERMINAL = ENDED | {S.REJECTED}
GROWING = {S.SUBMITTED, S.UNKNOWN, S.OPEN, S.PARTIAL}

# Terminal orders accept what was already on its way: a late fill completes a cancelled order, a fill voided at
# settlement reopens a filled one. REJECTED means "never was", and nothing follows it.
NEXT: dict[OrderStatus, set[OrderStatus]] = {
    S.INTENT: {S.SUBMITTED, S.UNKNOWN, S.REJECTED},  # UNKNOWN after a restart, REJECTED when it was never sent
    S.SUBMITTED: WORKING | ENDED | {S.REJECTED},
    S.UNKNOWN: WORKING | ENDED | {S.REJECTED},  # reconciled, on the venue's word
    S.OPEN: WORKING | ENDED,
    S.PARTIAL: (WORKING - {S.OPEN}) | ENDED,
    S.PENDING_CANCEL: WORKING | ENDED,  # a cancel can be refused, or lose the race
    S.CANCELLED: {S.FILLED},
    S.EXPIRED: {S.FILLED},
    S.FILLED: {S.CANCELLED},
    S.REJECTED: set(),
}


class Settlement(StrEnum):
    """Whether a fill can still be taken back: a match is provisional until its venue has settled it."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    VOIDED = "voided"  # settlement failed: the shares and the money never moved


# A venue's later word on the same fill. VOIDED and CONFIRMED are final: what contradicts them is a broken word.
SETTLES: dict[Settlement, set[Settlement]] = {
    Settlement.PROVISIONAL: {Settlement.CONFIRMED, Settlement.VOIDED},
    Settlement.CONFIRMED: set(),
    Settlement.VOIDED: set(),
}


class Fill(Struct, frozen=True, gc=False):  # as all below: it can be part of no circle, so none is looked for
    """One execution of an order. `at` is when we learnt of it, `venue_at` when it was matched (ns).

    `row` and `model` are its explanation in a simulation: the row of the tape that caused it and the model that
    turned the row into a fill; live fills carry -1 and the venue's name.
    """

    trade_id: str
    price: Price
    size: Size
    fee: Cash
    at: int
    venue_at: int
    maker: bool
    row: int = -1
    model: str = ""
    settlement: Settlement = Settlement.CONFIRMED

    @property
    def counts(self) -> bool:
        """A voided fill is remembered and counts nowhere."""
        return self.settlement is not Settlement.VOIDED


class OrderReport(Struct, frozen=True, gc=False):
    """What a venue says of one order: its status and all fills so far, oldest first."""

    client_id: str
    status: OrderStatus
    fills: tuple[Fill, ...] = ()
    at: int = 0
    reason: str = ""


class Order(Struct, frozen=True, gc=False):
    """One order of a leg, and what has happened to it so far.

    Always a limit order counted in shares; `client_id` is fixed before the first send and names it for ever.
    `expires` (ns) is the time that a GTD order states, 0 in all others; a venue may end it earlier than stated.
    """

    client_id: str
    book: Book
    side: Side
    limit: Price
    size: Size
    tif: TimeInForce
    post_only: bool = False
    purpose: Purpose = Purpose.ENTRY
    status: OrderStatus = S.INTENT
    fills: tuple[Fill, ...] = ()
    reason: str = ""
    expires: int = 0
    filled: Size = Size(0)  # shares, voided fills left out: counted here, whatever is given
    is_final: bool = False  # likewise

    def __post_init__(self) -> None:
        if self.fills or self.filled:
            force_setattr(self, "filled", sum([fill.size for fill in self.fills if fill.counts]))
        if (final := self.status in TERMINAL) is not self.is_final:
            force_setattr(self, "is_final", final)

    @property
    def venue(self) -> str:
        return self.book.venue

    @property
    def standing(self) -> tuple[Fill, ...]:
        """The fills that were not voided."""
        for fill in self.fills:
            if fill.settlement is Settlement.VOIDED:
                return tuple(fill for fill in self.fills if fill.counts)
        return self.fills

    @property
    def confirmed(self) -> Size:
        """Shares that cannot be taken back any more."""
        return Size(sum(fill.size for fill in self.fills if fill.settlement is Settlement.CONFIRMED))

    @property
    def is_settled(self) -> bool:
        """Every fill is confirmed or voided."""
        return Settlement.PROVISIONAL not in [fill.settlement for fill in self.fills]

    @property
    def remaining(self) -> Size:
        left = self.size - self.filled
        return Size(left) if left > 0 else Size(0)

    @property
    def excess(self) -> Size:
        """Shares beyond what was asked for: a venue that broke its word."""
        more = self.filled - self.size
        return Size(more) if more > 0 else Size(0)

    def moved(self, status: OrderStatus, reason: str = "") -> Order:
        """Return the order in another status; an illegal change is an InvariantViolation."""
        if status is self.status:
            return self
        return self._with(self._next(status), self.fills, reason)

    def with_fill(self, fill: Fill) -> Order:
        """Return the order with one more fill, or with a later word on the settlement of one it has.

        A venue repeats itself after a reconnect, and older words may come after newer ones: both change nothing.
        """
        for at, known in enumerate(self.fills):
            if known.trade_id == fill.trade_id:
                return self._settled(at, known, fill)
        fills = (*self.fills, fill)
        if not fill.counts:
            return self._with(self.status, fills)  # matched and failed before we heard of it
        if fill.size <= 0:
            raise InvariantViolation(f"{self.client_id}: a fill of {fill.size} shares")
        if self.filled + fill.size >= self.size:  # more than was asked for is held all the same: see `excess`
            return self._with(self._next(S.FILLED), fills)  # also late, after a cancel: the venue's word counts
        return self._with(self._next(S.PARTIAL) if self.status in GROWING else self.status, fills)

    def _settled(self, at: int, known: Fill, fill: Fill) -> Order:
        if (known.price, known.size) != (fill.price, fill.size):
            raise InvariantViolation(f"{self.client_id}: fill {fill.trade_id} was {known}, and now is {fill}")
        if fill.settlement not in SETTLES[known.settlement]:
            if {known.settlement, fill.settlement} == {Settlement.CONFIRMED, Settlement.VOIDED}:
                raise InvariantViolation(f"{self.client_id}: fill {fill.trade_id} was {known.settlement}, then not")
            return self
        fills = (*self.fills[:at], structs.replace(known, settlement=fill.settlement), *self.fills[at + 1 :])
        if not fill.counts and self.status is S.FILLED:
            return self._with(self._next(S.CANCELLED), fills, f"fill {fill.trade_id} was voided")
        return self._with(self.status, fills)

    def _next(self, status: OrderStatus) -> OrderStatus:
        """Return a status that may follow this one; InvariantViolation for any other."""
        if status is not self.status and status not in NEXT[self.status]:
            raise InvariantViolation(f"{self.client_id}: {self.status.name} -> {status.name}")
        return status

    def _with(self, status: OrderStatus, fills: tuple[Fill, ...], reason: str = "") -> Order:
        """Return the order with what can change of it, in less time than `structs.replace` takes."""
        return Order(
            self.client_id,
            self.book,
            self.side,
            self.limit,
            self.size,
            self.tif,
            self.post_only,
            self.purpose,
            status,
            fills,
            reason or self.reason,
            self.expires,
        )

    def told(self, report: OrderReport) -> Order:
        """Return the order as a report of its venue leaves it, whatever order reports arrive in."""
        order = self
        for fill in report.fills:
            order = order.with_fill(fill)
        if order.is_final and report.status not in TERMINAL:
            return order  # an older report that was overtaken
        if report.status is S.OPEN and order.status is S.PARTIAL:
            return order
        if order.status is S.FILLED and report.status in (S.CANCELLED, S.EXPIRED):
            return order  # filled after the cancel was counted
        if report.status is S.FILLED and order.remaining:
            voided = any(not fill.counts for fill in order.fills)
            gone = voided and sum(fill.size for fill in order.fills) >= order.size
            return order.moved(S.CANCELLED) if gone and not order.is_final else order  # or fills are on their way
        return order.moved(report.status, report.reason)


# -- legs and trades -----------------------------------------------------------------------------------------


class ExecutionStrategy(StrEnum):
    """How the entry legs are worked: take at once, rest, or rest and then take what is missing."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    HYBRID = "HYBRID"


class LegStatus(StrEnum):
    """Where a leg stands; it follows from its orders and is never set."""

    PENDING = "pending"
    WORKING = "working"
    UNKNOWN = "unknown"
    FILLED = "filled"
    PARTIAL = "partial"
    EMPTY = "empty"  # every order ended and nothing was filled


class TradeLeg(Struct, frozen=True, gc=False):
    """One side of a trade: `size` shares of one book, and the orders that work on it.

    `decision_cost` is what `size` shares cost (BUY) in the book as received at decision, `worst` the price of the
    last level that needs: both 0 until decided. `exact` is False when a level on the way was a lower bound.
    """

    index: int
    book: Book
    side: Side
    size: Size
    decision_cost: Cash = Cash(0)
    worst: Price = Price(0)
    exact: bool = True
    orders: tuple[Order, ...] = ()
    filled: Size = Size(0)  # shares filled by entry orders: counted here, whatever is given
    held: Size = Size(0)  # shares held now, undo orders included (bought minus sold): likewise

    def __post_init__(self) -> None:
        filled = held = 0
        for one in self.orders:
            if shares := one.filled:
                held += one.side * shares
                if one.purpose is Purpose.ENTRY:
                    filled += shares
        if filled or self.filled:
            force_setattr(self, "filled", filled)
        if held or self.held:
            force_setattr(self, "held", held)

    def entries(self) -> tuple[Order, ...]:
        return tuple(order for order in self.orders if order.purpose is Purpose.ENTRY)

    @property
    def available(self) -> Size:
        """Shares that may be sold now: bought and settled, less all that sells have taken or may still take."""
        bought = sum(order.confirmed for order in self.orders if order.side is Side.BUY)
        sold = sum(order.filled if order.is_final else order.size for order in self.orders if order.side is Side.SELL)
        return Size(max(0, bought - sold))

    @property
    def fees(self) -> Cash:
        return Cash(sum([fill.fee for order in self.orders for fill in order.standing]))

    @property
    def is_final(self) -> bool:
        return all(order.is_final for order in self.orders)

    @property
    def status(self) -> LegStatus:
        if not self.orders:
            return LegStatus.PENDING
        if any(order.status is S.UNKNOWN for order in self.orders):
            return LegStatus.UNKNOWN
        if not self.is_final:
            return LegStatus.WORKING
        if self.filled >= self.size:
            return LegStatus.FILLED
        return LegStatus.PARTIAL if self.filled else LegStatus.EMPTY

    def with_order(self, order: Order) -> TradeLeg:
        """Return the leg with a new order, or with the newer state of one it has."""
        for at, known in enumerate(self.orders):
            if known is order:
                return self
            if known.client_id == order.client_id:
                return self.with_orders((*self.orders[:at], order, *self.orders[at + 1 :]))
        return self.with_orders((*self.orders, order))

    def without(self, client_id: str) -> TradeLeg:
        """Return the leg as it would be if it had no order of this name."""
        return self.with_orders(tuple([order for order in self.orders if order.client_id != client_id]))

    def with_orders(self, orders: tuple[Order, ...]) -> TradeLeg:
        return TradeLeg(self.index, self.book, self.side, self.size, self.decision_cost, self.worst, self.exact, orders)


class TradeState(StrEnum):
    """The state of a whole trade."""

    PLANNED = "planned"
    RUNNING = "running"
    HEDGING = "hedging"
    UNWINDING = "unwinding"
    PROVISIONAL = "provisional"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    ESCALATED = "escalated"


class Outcome(StrEnum):
    """How a trade ended; completed and reduced are decided on entry orders alone."""

    COMPLETED = "completed"
    REDUCED = "reduced"
    MISSED = "missed"
    UNWOUND = "unwound"
    ESCALATED = "escalated"
    REFUSED = "refused"


class MultiLegTrade(Struct, frozen=True, gc=False):
    """One attempt to turn an opportunity into a basket, by one strategy."""

    id: str
    opportunity: ArbitrageOpportunity
    strategy: ExecutionStrategy
    legs: tuple[TradeLeg, ...]
    state: TradeState = TradeState.PLANNED

    @property
    def size(self) -> Size:
        return self.opportunity.size

    @property
    def is_untouched(self) -> bool:
        """Nothing was filled that stands: nothing is owed."""
        return not any([order.filled for leg in self.legs for order in leg.orders])  # noqa: C419 - in half the time

    @property
    def is_settled(self) -> bool:
        """No fill can be taken back any more."""
        return all([order.is_settled for leg in self.legs for order in leg.orders])  # noqa: C419 - in half the time

    @property
    def is_balanced(self) -> bool:
        """Every leg holds the same size."""
        return len({leg.held for leg in self.legs}) == 1

    def with_leg(self, leg: TradeLeg) -> MultiLegTrade:
        """Return the trade with the newer state of a leg; they stand in the order of their `index`."""
        at = leg.index
        if self.legs[at] is leg:
            return self
        return self.with_legs((*self.legs[:at], leg, *self.legs[at + 1 :]))

    def with_legs(self, legs: tuple[TradeLeg, ...]) -> MultiLegTrade:
        return MultiLegTrade(self.id, self.opportunity, self.strategy, legs, self.state)

    def in_state(self, state: TradeState) -> MultiLegTrade:
        return MultiLegTrade(self.id, self.opportunity, self.strategy, self.legs, state)


class ExecutionResult(Struct, frozen=True, gc=False):
    """How a trade ended, in integers; times in ns, `pnl` against the payoff floor of what is held.

    `cash` is every fill's money: minus what was paid, plus what was received, minus fees. `unwind_cost` is what the
    undo orders lost against the average entry price of what they touched, fees included. `gas` is what moving its
    capital on a chain cost as far as receipts are known, dollars, and `gas_wei` the same in the chain's coin; it comes
    off `pnl`, not off `cash`. What is merged or redeemed later is charged later: see `ArbitrageExecutionEngine.charged`.
    """

    trade: MultiLegTrade
    outcome: Outcome
    undo: str = ""
    reason: str = ""
    started_at: int = 0
    entries_done_at: int = 0
    finished_at: int = 0
    cash: Cash = Cash(0)
    fees: Cash = Cash(0)
    gas: Cash = Cash(0)
    unwind_cost: Cash = Cash(0)
    pnl: Cash = Cash(0)
    notes: tuple[str, ...] = ()
    gas_wei: int = 0

    @property
    def committed(self) -> bool:
        return self.outcome in (Outcome.COMPLETED, Outcome.REDUCED)


def floor_value(basket: Basket, held: int) -> Cash:
    """Return what `held` whole baskets pay at least."""
    return Cash(basket.floor * held // MICRO)
