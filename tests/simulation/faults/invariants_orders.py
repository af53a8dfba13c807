"""Invariants of single orders and fills: I2 to I7, I20 and I21."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from arbkit.core.errors import AccessDenied, OrderRejected
from arbkit.core.model import OrderReport, OrderStatus, Side
from arbkit.core.units import NS_PER_S
from arbkit.journal.memory import Fact
from tests.simulation.faults.invariant import Bytes, Invariant, bytes_of
from tests.simulation.faults.shadow import KnownOrder
from tests.simulation.faults.wire import Request

if TYPE_CHECKING:
    from tests.simulation.faults.process import Process
    from tests.simulation.faults.server import ServerOrder
    from tests.simulation.faults.world import World


ACCOUNT = {"open", "positions", "balance"}
SETTLED = {"failed": "voided"}  # what servers call otherwise


class I2(Invariant):
    """One intent, one order: every send of a key carries the same bytes, and the venue holds one order for it."""

    id = "I2"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._sent: dict[str, Bytes] = {}
        self._intended: dict[str, Bytes] = {}

    def departs(self, request: Request) -> None:
        if request.kind == "submit":
            assert request.order is not None
            said = bytes_of(request.order)
            for first in (self._sent.setdefault(request.key, said), self._intended.get(request.key)):
                if first != said:
                    self.broken(f"{request.key} was {first}, and is sent as {said}")

    def fact(self, fact: Fact) -> None:
        if fact.fact == "order.intent":
            said = self._bytes(fact)
            if fact.key in self._intended or self._sent.get(fact.key, said) != said:
                self.broken(f"{fact.key} is the key of two intents")
            self._intended[fact.key] = said

    def boots(self) -> None:
        """An intent that was lost with its process never was, if it was not sent."""
        self._intended = {fact.key: self._bytes(fact) for fact in self.world.disk.facts if fact.fact == "order.intent"}

    @staticmethod
    def _bytes(fact: Fact) -> Bytes:
        data = dict(fact.data)
        return tuple(data[name] for name in ("book", "side", "limit", "size", "tif", "post_only"))


class I3(Invariant):
    """Write-ahead: no order or cancel leaves before its intent is on the disk, and no entry from another process than
    the one that meant it.
    """

    id = "I3"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._kept: set[tuple[str, str]] = set()
        self._meant: set[str] = set()  # by this process

    def fact(self, fact: Fact) -> None:
        if fact.fact == "order.intent":
            self._meant.add(fact.key)

    def durable(self, facts: Sequence[Fact]) -> None:
        self._kept.update((fact.fact, fact.key) for fact in facts if fact.fact in ("order.intent", "order.cancel"))

    def boots(self) -> None:
        self._meant = set()
        self.durable(self.world.disk.facts)

    def departs(self, request: Request) -> None:
        need = {"submit": "order.intent", "cancel": "order.cancel"}.get(request.kind)
        if need and (need, request.key) not in self._kept:
            self.broken(f"{request.kind} of {request.key} leaves before {need} is on the disk")
        foreign = request.kind == "submit" and request.key not in self._meant
        if foreign and self.shadow.orders[request.key].purpose == "entry":
            self.broken(f"{request.key} was meant by a process that is gone, and is entered by another")


class I4(Invariant):
    """Evidence only: an order leaves SUBMITTED, UNKNOWN, OPEN or PENDING_CANCEL only on a word of its venue that was
    delivered. The one exception: not found, twice, asked when the last send could not be on its way any more."""

    id = "I4"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.words: dict[str, set[OrderStatus]] = {}
        self.fills: dict[str, dict[str, set[str]]] = {}
        self.missing: dict[str, list[int]] = {}
        self.refused: set[str] = set()
        self.sends: dict[str, int] = {}

    def departs(self, request: Request) -> None:
        if request.kind == "submit":
            self.sends[request.key] = self.now

    def delivered(self, request: Request, code: int, word: object) -> None:
        if not request.key:
            return
        if isinstance(word, OrderReport):
            if word.status is OrderStatus.UNKNOWN:
                self.missing.setdefault(request.key, []).append(request.arrived_at)
            else:
                self.order_word(request.key, word)
        elif request.kind == "submit" and isinstance(word, OrderRejected | AccessDenied):
            self.refused.add(request.key)
        elif request.kind == "submit" and code in (425, 429):
            self.refused.add(request.key)  # the venue's word that this send was not taken

    def order_word(self, key: str, word: OrderReport) -> None:
        self.words.setdefault(key, set()).add(word.status)
        known = self.fills.setdefault(key, {})
        for fill in word.fills:
            known.setdefault(fill.trade_id, set()).add(fill.settlement.value)

    def fact(self, fact: Fact) -> None:
        if fact.fact == "order.status":
            self._status(self.shadow.orders[fact.key], str(fact.get("status")))
        elif fact.fact in ("fill", "fill.settled"):
            heard = self.fills.get(fact.key, {}).get(str(fact.get("id")), set())
            if str(fact.get("settlement")) not in heard:
                self.broken(f"{fact.fact} {fact.get('id')} of {fact.key} was never heard as {fact.get('settlement')}")

    def _status(self, order: KnownOrder, status: str) -> None:
        words = {word.value for word in self.words.get(order.key, set())}
        if status in ("unknown", "submitted") or status in words:
            return
        if status == "partial" and "open" in words and order.fills:
            return
        if status == "cancelled" and "filled" in words and any(not fill.counts for fill in order.fills.values()):
            return
        if status == "filled" and order.filled >= order.size:
            return
        if status == "rejected" and self._never(order):
            return
        self.broken(f"{order.key} became {status}; heard: {sorted(words) or 'nothing'}")

    def _never(self, order: KnownOrder) -> bool:
        """Tell whether an order cannot be live, and never was."""
        last = self.sends.get(order.key)
        if last is None:
            return True
        late = round(self.world.config.late_arrival_s * NS_PER_S)
        if sum(at >= last + late for at in self.missing.get(order.key, ())) >= 2:
            return True
        under_way = [r for r in self.world.under_way if r.key == order.key and r.kind == "submit"]
        return order.key in self.refused and not under_way and order.key not in self._placed(order)

    def _placed(self, order: KnownOrder) -> dict[str, Any]:
        return self.world.exchanges[order.venue].orders


class I5(Invariant):
    """No lost order: T_resolve after faults stop every order is terminal, here and at its venue; until it is, nothing
    new is entered on its market. Nothing is entered at a venue either that this process has not heard out on orders,
    positions and cash since it began, or since it lost the connection.
    """

    id = "I5"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._heard: dict[str, set[str]] = {}
        self._lost_at: dict[str, int] = {}

    def boots(self) -> None:
        self._heard, self._lost_at = {}, {}

    def lost(self, venue: str) -> None:
        self._heard.pop(venue, None)
        self._lost_at[venue] = self.now

    def delivered(self, request: Request, code: int, word: object) -> None:
        if request.kind in ACCOUNT and not isinstance(word, Exception):
            self._heard.setdefault(request.venue, set()).add(request.kind)

    def departs(self, request: Request) -> None:
        if request.kind != "submit" or self.shadow.orders[request.key].purpose != "entry":
            return
        missing = ACCOUNT - self._heard.get(request.venue, set())
        if missing and self._lost_at.get(request.venue) != self.now:
            self.broken(f"{request.key} is entered at {request.venue} before {sorted(missing)} were heard")

    def fact(self, fact: Fact) -> None:
        if fact.fact == "trade.planned":
            markets = {book.rpartition(":")[0] for book in self.shadow.trades[fact.key].books}
            for order in self.shadow.orders.values():
                if order.status == "unknown" and order.book.rpartition(":")[0] in markets:
                    self.broken(f"{fact.key} is planned while {order.key} is unknown")

    def ends(self) -> None:
        loose = [f"{order.key} is {order.status}" for order in self.shadow.orders.values() if not order.ended]
        live = [
            f"{o.key} is {o.status} at its venue"
            for e in self.world.exchanges.values()
            for o in e.orders.values()
            if o.rests
        ]
        if loose or live:
            self.broken("; ".join(loose + live))


class I6(Invariant):
    """Fill idempotence: each fill of a venue is applied exactly once, and in the end what is known equals what is. At any
    time the two differ only by what may still be heard: fills of orders that have not ended, and how fills that are
    provisional ended.
    """

    id = "I6"

    def fact(self, fact: Fact) -> None:
        if fact.fact == "fill":
            self._applied(fact)
        if fact.fact in ("fill", "fill.settled", "order.status"):
            there = self.world.exchanges[self.shadow.orders[fact.key].venue].orders.get(fact.key)
            if there is not None:
                self._agree(there)

    def server(self, venue: str, key: str) -> None:
        there = self.world.exchanges[venue].orders.get(key)
        if there is not None:
            self._agree(there)

    def boots(self) -> None:
        for exchange in self.world.exchanges.values():
            for there in exchange.orders.values():
                self._agree(there)

    def _agree(self, there: ServerOrder) -> None:
        known = self.shadow.orders.get(there.key)
        if known is None:
            self.broken(f"{there.key} is {there.status} at its venue, and not on record")
            return
        for fill in there.fills:
            mine = known.fills.get(fill.id)
            if mine is None:
                if known.ended:
                    self.broken(f"{there.key} is {known.status}, and its fill {fill.id} is not on record")
            elif mine.settlement not in ("provisional", SETTLED.get(fill.state, fill.state)):
                self.broken(f"fill {fill.id} of {there.key} is {mine.settlement}, and {fill.state} at its venue")

    def _applied(self, fact: Fact) -> None:
        order = self.shadow.orders[fact.key]
        name = str(fact.get("id"))
        if (fact.key, name) in self.world.applied:
            self.broken(f"fill {name} of {fact.key} is applied twice")
        self.world.applied.add((fact.key, name))
        there = self.world.exchanges[order.venue].orders.get(fact.key)
        fill = next((f for f in there.fills if f.id == name), None) if there is not None else None
        said = (fact.get("price"), fact.get("size"), fact.get("fee"))
        if fill is None or (fill.price, fill.size, fill.fee) != said:
            self.broken(f"fill {name} of {fact.key} is {said}, the venue has {fill}")

    def quiet(self) -> None:
        for name, exchange in self.world.exchanges.items():
            theirs = {(o.key, f.id): SETTLED.get(f.state, f.state) for o in exchange.orders.values() for f in o.fills}
            ours = {
                (o.key, i): f.settlement
                for o in self.shadow.orders.values()
                if o.venue == name
                for i, f in o.fills.items()
            }
            if theirs != ours:
                self.broken(f"fills at {name}: {sorted(theirs.items() ^ ours.items())}")
            for order in exchange.orders.values():
                known = self.shadow.orders.get(order.key)
                if known is None or known.status == "rejected":
                    self.broken(
                        f"{order.key} is {order.status} at {name}, and {known.status if known else 'nothing'} here"
                    )


class I7(Invariant):
    """Fill bounds: 0 <= filled <= size, unless the venue broke its word and an alarm was raised; a void is a record."""

    id = "I7"

    def fact(self, fact: Fact) -> None:
        if fact.fact == "fill":
            order = self.shadow.orders[fact.key]
            there = self.world.exchanges[order.venue].orders[fact.key]
            if order.filled > order.size and there.matched <= order.size:
                self.broken(f"{fact.key} is filled {order.filled} of {order.size}")


class I20(Invariant):
    """Price limit: no order is worse than its intent; a fill worse than the limit, or larger, bars its market at once."""

    id = "I20"

    def fact(self, fact: Fact) -> None:
        if fact.fact != "fill":
            return
        order = self.shadow.orders[fact.key]
        worse = order.side * (int(str(fact.get("price"))) - order.limit) > 0
        if (worse or order.filled > order.size) and fact.get("settlement") != "voided":
            self.world.loop.at(self.now, self._barred, self.world.process, order, self.now)

    def _barred(self, process: Process, order: KnownOrder, at: int) -> None:
        market = order.book.rpartition(":")[0]
        if not process.dead and market not in self.shadow.blocked and not self.shadow.halted:
            self.broken(f"{order.key} was filled beyond its word, and {market} is not barred")


class I21(Invariant):
    """No oversell: never more is sold than is held and settled, by the servers' truth."""

    id = "I21"

    def departs(self, request: Request) -> None:
        order = request.order
        if request.kind != "submit" or order is None or order.side is Side.BUY:
            return
        exchange = self.world.exchanges[request.venue]
        if order.client_id in exchange.orders:
            return
        flying = sum(
            r.order.size
            for r in self.world.under_way
            if r.kind == "submit" and r.order is not None and r.order.side is Side.SELL
            if r.order.book.index == order.book.index and r.key not in (*exchange.orders, order.client_id)
        )
        if order.size + flying > exchange.sellable(order.book.index):
            self.broken(f"{request.key} sells {order.size} of {exchange.sellable(order.book.index)} settled")
