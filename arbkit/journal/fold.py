"""The state as a fold over the journal: what is open, what is owed, what is barred, from the facts alone.

What is closed is dropped as soon as nothing more can happen to it, so a long journal folds in the memory of what is
open. Applying the same facts twice to two states gives equal states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from msgspec import structs

from arbkit.core.capital import paired_market, split_orders
from arbkit.core.errors import JournalDamaged
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    Market,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Purpose,
    Settlement,
    Side,
    TimeInForce,
    TradeLeg,
    TradeState,
)
from arbkit.core.units import FOREVER, Cash, Price
from arbkit.journal.capital import FACTS as CAPITAL_FACTS
from arbkit.journal.capital import Capital
from arbkit.journal.ledger import Ledger
from arbkit.journal.memory import Fact
from arbkit.journal.transactions import FACTS as TRANSACTION_FACTS
from arbkit.journal.transactions import Transactions

# Words to what they stand for: an enum that is called takes three times as long, and a word it does not know is refused
# here as there, since an exception is not kept.
_kind, _outcome, _purpose, _settlement = cache(Kind), cache(Outcome), cache(Purpose), cache(Settlement)
_side, _status, _strategy, _tif = cache(Side), cache(OrderStatus), cache(ExecutionStrategy), cache(TimeInForce)
_trade_state = cache(TradeState)


class NamedBooks(dict[str, Book]):
    """Books by name; one that is not known is made of its name alone, which is enough to count its fills."""

    def __missing__(self, name: str) -> Book:
        venue, _, rest = name.partition(":")
        market, _, outcome = rest.rpartition(":")
        if outcome not in ("yes", "no") or not market:
            raise JournalDamaged(f"{name!r} is no name of a book")
        index = -1 - len(self)
        self[name] = book = Book(index, Market(venue=venue, id=market), outcome, index)  # type: ignore[arg-type]
        return book


def named_books(books: Iterable[Book]) -> NamedBooks:
    """Return the books of a market table by name."""
    return NamedBooks({book.name: book for book in books})


@dataclass(slots=True)
class OpenTrade:
    """A trade that was planned and is not over; `trade` is the plan, without its orders and where it is by now.

    `costs` is its reservation, leg by leg.
    """

    trade: MultiLegTrade
    caps: tuple[Price, ...]
    costs: tuple[Cash, ...]
    planned_at: int
    state: TradeState = TradeState.PLANNED
    undo: str = ""
    done: ExecutionResult | None = None  # an escalated trade is done, and stays until it is seen to and all is final
    seen_to: bool = False
    orders: list[str] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """Everything that the facts so far say. `apply` is the only way to change it.

    `on_done` hears of every trade that ended, with all its orders; `on_closed` of an escalated one that was seen to
    and in which nothing is open; `on_late` of every change to one that had ended.
    """

    books: Mapping[str, Book] = field(default_factory=NamedBooks)
    on_done: Callable[[ExecutionResult], None] | None = None
    on_closed: Callable[[str], None] | None = None
    on_late: Callable[[MultiLegTrade], None] | None = None
    ledger: Ledger = field(default_factory=Ledger)
    baskets: dict[tuple[Any, ...], Basket] = field(default_factory=dict)  # by what plans state of them
    trades: dict[str, OpenTrade] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    sent_at: dict[str, int] = field(default_factory=dict)  # ns, by order: its last send on record, else its intent
    heard: dict[str, None] = field(default_factory=dict)  # orders that their venue has spoken of
    homes: dict[str, tuple[str, int]] = field(default_factory=dict)  # order -> trade, leg
    blocked: dict[str, str] = field(default_factory=dict)
    claimed: dict[str, str] = field(default_factory=dict)  # a foreign order by its venue's id -> the market
    paused: dict[str, tuple[int, str]] = field(default_factory=dict)
    halted: str = ""
    killed: str = ""
    killed_at: int = 0  # ns
    session: dict[str, Any] = field(default_factory=dict)
    sessions: int = 0  # so far
    transactions: Transactions = field(default_factory=Transactions)
    capital: Capital = field(default_factory=Capital)
    count: int = 0
    last_at: int = 0

    def apply(self, fact: Fact) -> None:
        """Take one more fact; JournalDamaged for one that cannot follow those before it."""
        self.count += 1
        self.last_at = fact.at
        step = _STEPS.get(fact.fact)
        if step is None:
            raise JournalDamaged(f"record {self.count}: nothing is known of facts called {fact.fact!r}")
        try:
            step(self, fact, fact.data)
        except (KeyError, ValueError, TypeError) as error:
            raise JournalDamaged(f"record {self.count}, {fact.fact} of {fact.key}: {error!r}") from error

    def trade(self, trade_id: str) -> MultiLegTrade:
        """Return an open trade as it is by now, with all its orders in its legs."""
        found = self.trades[trade_id]
        plan = found.trade
        orders: list[list[Order]] = [[] for _ in plan.legs]
        for key in found.orders:
            orders[self.homes[key][1]].append(self.orders[key])
        legs = [leg.with_orders(tuple(mine)) for leg, mine in zip(plan.legs, orders, strict=True)]
        return MultiLegTrade(plan.id, plan.opportunity, plan.strategy, tuple(legs), found.state)

    def venues(self) -> list[str]:
        """Return the venues at which trades are open."""
        legs = (leg for found in self.trades.values() for leg in found.trade.legs)
        return list(dict.fromkeys(leg.book.venue for leg in legs))

    def interrupted(self) -> list[OpenTrade]:
        """Return the trades that nobody ended, oldest first."""
        return [found for found in self.trades.values() if found.done is None]

    def snapshot(self) -> dict[str, Any]:
        """Return all that is open as plain values, to be compared with what an engine has in memory."""
        return snapshot([self.trade(name) for name in self.trades], self.ledger, self.halted)

    # -- the steps -----------------------------------------------------------------------------------------------

    def _session(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.session = {"account": fact.key, **data}
        self.sessions += 1
        self.paused = {name: one for name, one in self.paused.items() if one[0] != FOREVER}

    def _opened(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.ledger.open(fact.key, data["cash"], data["shares"])

    def _adjusted(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.ledger.adjust(fact.key, data["cash"], data["shares"])
        self.capital.adjusted(data["shares"])

    def _planned(self, fact: Fact, data: Mapping[str, Any]) -> None:
        if fact.key in self.trades:
            raise ValueError("planned twice")
        caps, costs = tuple(data["caps"]), tuple(data["costs"])
        found = self.trades[fact.key] = OpenTrade(self._trade_of(fact.key, data), caps, costs, fact.at)
        if pairs := data.get("pairs", 0):  # it sells what a split made
            market = paired_market(found.trade)
            # Fewer are there only in journals from before claims were counted.
            self.capital.take(market, min(pairs, self.capital.whole(market)))
            for at, order in enumerate(split_orders(found.trade, pairs, fact.at)):
                self.orders[order.client_id], self.homes[order.client_id] = order, (fact.key, at)
                self.sent_at[order.client_id] = fact.at
                found.orders.append(order.client_id)

    def _refused(self, fact: Fact, data: Mapping[str, Any]) -> None:
        if self.on_done is not None:
            at = data["started_at"]
            result = ExecutionResult(
                self._trade_of(fact.key, data),
                Outcome.REFUSED,
                reason=data["reason"],
                started_at=at,
                entries_done_at=at,
                finished_at=at,
            )
            self.on_done(result)

    def _trade_of(self, key: str, data: Mapping[str, Any]) -> MultiLegTrade:
        books = tuple([self.books[leg[0]] for leg in data["legs"]])
        stated = (data["basket"], *[book.index for book in books])
        basket = self.baskets.get(stated)
        if basket is None:
            name, kind, event, floor, min_size, lot = data["basket"]
            basket = self.baskets[stated] = Basket(name, _kind(kind), event, books, floor, min_size, lot)
        opportunity = ArbitrageOpportunity(
            id=data["opportunity"],
            basket=basket,
            detected_at=data["detected_at"],
            size=data["size"],
            edge=data["edge"],
            edge_gross=data["edge_gross"],
            exact=data["exact"],
        )
        side = Side.SELL if data.get("pairs") else Side.BUY
        legs = [
            TradeLeg(at, book, side, opportunity.size, cost, worst, bool(exact))
            for at, (book, (_, cost, worst, exact)) in enumerate(zip(books, data["legs"], strict=True))
        ]
        return MultiLegTrade(key, opportunity, _strategy(data["strategy"]), tuple(legs))

    def _state(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.trades[fact.key].state = _trade_state(data["state"])

    def _undo(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.trades[fact.key].undo = str(data["kind"])

    def _done(self, fact: Fact, data: Mapping[str, Any]) -> None:
        found = self.trades[fact.key]
        result = ExecutionResult(
            self.trade(fact.key),
            _outcome(data["outcome"]),
            undo=data["undo"],
            reason=data["reason"],
            started_at=data["started_at"],
            entries_done_at=data["entries_done_at"],
            finished_at=fact.at,
            cash=data["cash"],
            fees=data["fees"],
            unwind_cost=data["unwind_cost"],
            pnl=data["pnl"],
        )
        if self.on_done is not None:
            self.on_done(result)
        self.capital.ended(result)
        found.done = result
        found.seen_to = found.seen_to or result.outcome is not Outcome.ESCALATED
        self._drop_closed(fact.key)

    def _acknowledged(self, fact: Fact, _data: Mapping[str, Any]) -> None:
        found = self.trades.get(fact.key)
        if found is not None:
            found.seen_to = True
            self._drop_closed(fact.key)

    def _drop_closed(self, trade: str) -> None:
        """Forget a trade that is done, seen to if it escalated, and whose orders can change no more."""
        found = self.trades[trade]
        if found.done is None or not found.seen_to:
            return
        for key in found.orders:
            order = self.orders[key]
            if not (order.is_final and order.is_settled):
                return
        if found.done.outcome is Outcome.ESCALATED and self.on_closed is not None:
            self.on_closed(trade)
        del self.trades[trade]
        for key in found.orders:
            del self.orders[key], self.homes[key]
            self.sent_at.pop(key, None)
            self.heard.pop(key, None)

    def _changed(self, order: Order) -> None:
        key = order.client_id
        self.orders[key] = order
        trade = self.homes[key][0]
        if self.on_late is not None and self.trades[trade].done is not None:
            self.on_late(self.trade(trade))

    def _intent(self, fact: Fact, data: Mapping[str, Any]) -> None:
        if fact.key in self.orders:
            raise ValueError("two intents under one key")
        trade, leg = data["trade"], data["leg"]
        self.trades[trade].orders.append(fact.key)
        self.homes[fact.key] = (trade, leg)
        self.sent_at[fact.key] = fact.at
        self.orders[fact.key] = Order(
            client_id=fact.key,
            book=self.books[data["book"]],
            side=_side(data["side"]),
            limit=data["limit"],
            size=data["size"],
            tif=_tif(data["tif"]),
            post_only=data["post_only"],
            purpose=_purpose(data["purpose"]),
            expires=data.get("expires", 0),
        )

    def _sent(self, fact: Fact, _data: Mapping[str, Any]) -> None:
        order = self.orders[fact.key]
        self.sent_at[fact.key] = fact.at
        if order.status is OrderStatus.INTENT:
            self.orders[fact.key] = order.moved(OrderStatus.SUBMITTED)

    def _status(self, fact: Fact, data: Mapping[str, Any]) -> None:
        order = self.orders[fact.key].moved(_status(data["status"]), data["reason"])
        if order.reason != (data["reason"] or order.reason):  # it had that status already
            order = structs.replace(order, reason=data["reason"])
        self._changed(order)

    def _cancel(self, fact: Fact, _data: Mapping[str, Any]) -> None:
        order = self.orders[fact.key]
        if order.status in (OrderStatus.OPEN, OrderStatus.PARTIAL):
            self.orders[fact.key] = order.moved(OrderStatus.PENDING_CANCEL)

    def _nothing(self, _fact: Fact, _data: Mapping[str, Any]) -> None:
        """Take a fact that changes nothing: it is there for people."""

    def _fill(self, fact: Fact, data: Mapping[str, Any]) -> None:
        fill = Fill(
            trade_id=data["id"],
            price=data["price"],
            size=data["size"],
            fee=data["fee"],
            at=fact.at,
            venue_at=data["venue_at"],
            maker=data["maker"],
            settlement=_settlement(data["settlement"]),
        )
        self.heard[fact.key] = None
        before = self.orders[fact.key]
        if fill.trade_id in [known.trade_id for known in before.fills]:
            raise ValueError(f"fill {fill.trade_id} was counted twice")
        self._changed(before.with_fill(fill))
        if fill.counts:
            self.ledger.book(before, fill)

    def _settled(self, fact: Fact, data: Mapping[str, Any]) -> None:
        order = self.orders[fact.key]
        known = {fill.trade_id: fill for fill in order.fills}[data["id"]]
        changed = structs.replace(known, settlement=_settlement(data["settlement"]))
        self._changed(order.with_fill(changed))
        if known.counts and not changed.counts:
            self.ledger.unbook(order, known)

    def _blocked(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.blocked[fact.key] = data["why"]

    def _claimed(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.blocked.pop(fact.key, None)
        self.claimed.update(dict.fromkeys(data["orders"], fact.key))

    def _paused(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.paused[fact.key] = (data["until"], data["why"])

    def _transaction(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.transactions.apply(fact.fact, fact.key, data)

    def _capital(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.capital.apply(fact.fact, fact.key, data)
        if fact.fact == "capital.done" and data["moved"]:
            self.ledger.adjust(data["venue"], data["cash"], data["moved"])

    def _halted(self, _fact: Fact, data: Mapping[str, Any]) -> None:
        self.halted = data["reason"]

    def _resumed(self, _fact: Fact, _data: Mapping[str, Any]) -> None:
        self.halted = ""

    def _killed(self, fact: Fact, data: Mapping[str, Any]) -> None:
        self.killed, self.killed_at = data["reason"], fact.at

    def _released(self, _fact: Fact, _data: Mapping[str, Any]) -> None:
        self.killed = ""


_STEPS: dict[str, Callable[[State, Fact, Mapping[str, Any]], None]] = {
    "session.started": State._session,
    "account.opened": State._opened,
    "account.adjusted": State._adjusted,
    "trade.planned": State._planned,
    "trade.refused": State._refused,
    "trade.state": State._state,
    "trade.undo": State._undo,
    "trade.done": State._done,
    "trade.acknowledged": State._acknowledged,
    "order.intent": State._intent,
    "order.sent": State._sent,
    "order.status": State._status,
    "order.cancel": State._cancel,
    "order.unanswered": State._nothing,
    "fill": State._fill,
    "fill.settled": State._settled,
    "market.blocked": State._blocked,
    "market.claimed": State._claimed,
    "venue.paused": State._paused,
    "engine.halted": State._halted,
    "engine.resumed": State._resumed,
    "engine.alert": State._nothing,
    "losses.acknowledged": State._nothing,
    "kill.engaged": State._killed,
    "kill.released": State._released,
    **dict.fromkeys(TRANSACTION_FACTS, State._transaction),
    **dict.fromkeys(CAPITAL_FACTS, State._capital),
}


def snapshot(trades: Iterable[MultiLegTrade], ledger: Ledger, halted: str) -> dict[str, Any]:
    """Return open trades, their orders and the account as plain values, whoever holds them."""
    orders, states = {}, {}
    for trade in trades:
        states[trade.id] = trade.state.value
        for leg in trade.legs:
            for order in leg.orders:
                fills = tuple((f.trade_id, f.price, f.size, f.fee, f.settlement.value) for f in order.fills)
                orders[order.client_id] = (order.status.value, order.limit, order.size, fills)
    return {
        "trades": dict(sorted(states.items())),
        "orders": dict(sorted(orders.items())),
        "cash": {venue: cash for venue, cash in sorted(ledger.cash.items()) if cash},
        "shares": dict(sorted(ledger.shares.items())),
        "halted": halted,
    }


def fold(facts: Iterable[Fact], books: Mapping[str, Book] | None = None) -> State:
    """Return the state after these facts; JournalDamaged when they contradict each other."""
    state = State(NamedBooks() if books is None else books)
    for fact in facts:
        state.apply(fact)
    return state
