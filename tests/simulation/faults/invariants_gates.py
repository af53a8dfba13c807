"""Invariants of the account, of the record and of what may leave at all: I1, I13, I15, I17 and I23."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arbkit.core.errors import JournalDamaged
from arbkit.core.units import NS_PER_S
from arbkit.journal.memory import Fact
from tests.simulation.faults.invariant import Invariant, difference, on_yes
from tests.simulation.faults.shadow import money_of
from tests.simulation.faults.wire import Request

if TYPE_CHECKING:
    from tests.simulation.faults.process import Process
    from tests.simulation.faults.world import World


MISREADING = {"V23", "V28"}  # faults by which listings are wrong


class I1(Invariant):
    """Conservation: opening + every journalled delta = ledger balance, exactly: the engine's own at any time, and the
    servers' too, what has happened there and is not heard yet counted as it is: which fills that may be is I6. An opening
    is written once, a difference only on a person's word.
    """

    id = "I1"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._opened: set[str] = set()
        self._misread: dict[tuple[str, str], set[int]] = {}  # how far off a listing has put what

    def boots(self) -> None:
        self._opened = {fact.key for fact in self.world.disk.facts if fact.fact == "account.opened"}

    def fact(self, fact: Fact) -> None:
        if fact.fact == "account.opened":
            if fact.key in self._opened:
                self.broken(f"the account at {fact.key} is opened twice")
            self._opened.add(fact.key)
        elif fact.fact == "account.adjusted" and not any(
            name.partition(":")[0] == fact.key for name in self.world.operator.claiming
        ):
            self.broken(f"a difference at {fact.key} is written off, and nobody has claimed it")
        if fact.fact in ("account.opened", "account.adjusted"):
            self._conserved(fact.key, bool(MISREADING & {*self.world.planned}))
        elif fact.fact in ("fill", "fill.settled"):
            self._conserved(self.shadow.orders[fact.key].venue)

    def server(self, venue: str, key: str) -> None:
        self._conserved(venue)

    def _conserved(self, name: str, misread: bool = False) -> None:
        """Hold an account against the ledger. Fills that are not heard yet count as they will be, and those that failed
        as taken back; what people moved by hand is on record as a whole, or not yet. Where listings may be wrong an
        account can be opened with what is not so, and a person can claim it (`misread`): it is off by that from then
        on, and by no more, until another claim puts it right.
        """
        if name not in self.shadow.opened:
            return
        exchange = self.world.exchanges[name]
        cash, shares = self.shadow.cash[name], {}
        for index, book in exchange.by_index.items():
            shares[index] = self.shadow.shares.get(book.name, 0)
        for there in exchange.orders.values():
            side, index = int(there.order.side), there.order.book.index
            known = self.shadow.orders[there.key].fills
            for fill in there.fills:
                if fill.state != "failed":
                    said = known.get(fill.id, fill)
                    cash += money_of(side, said.price, said.size, said.fee)
                    shares[index] += side * said.size
        by_hand, moved = exchange.by_hand
        self._off(name, "in cash", exchange.cash, cash, by_hand, misread)
        for index, ours in shares.items():
            held = exchange.shares.get(index, 0)
            self._off(name, exchange.by_index[index].name, held, ours, moved.get(index, 0), misread)

    def _off(self, name: str, what: str, there: int, ours: int, by_hand: int, misread: bool) -> None:
        off = there - ours
        if off in (0, by_hand):
            return
        if misread:
            self._misread.setdefault((name, what), set()).add(off)
        elif off not in self._misread.get((name, what), ()):
            self.broken(f"{name} has {there} {what}, journal and what it has not heard come to {ours}")

    def compare(self, process: Process) -> None:
        assert process.engine is not None
        memory = process.engine.checkpoint()
        cash, shares = self.shadow.ledger()
        for name, ours, facts in (("cash", cash, memory["cash"]), ("shares", shares, memory["shares"])):
            said = {key: amount for key, amount in ours.items() if amount}
            if said != facts:
                self.broken(f"{name} in memory is {facts}, the facts come to {said}")

    def quiet(self) -> None:
        cash, shares = self.shadow.ledger()
        for name, exchange in self.world.exchanges.items():
            if name not in self.shadow.opened:
                continue
            names = {exchange.by_index[index].name: held for index, held in exchange.shares.items() if held}
            ours = {book: held for book, held in shares.items() if book.startswith(f"{name}:")}
            if names != ours:
                self.broken(f"{name} holds {names}, the journal says {ours}")
            if exchange.cash != cash[name]:
                self.broken(f"{name} has {exchange.cash} in cash, the journal says {cash[name]}")


class I13(Invariant):
    """Kill switch: T_kill after it is thrown, or cannot be read, no order that adds risk leaves, in whatever process,
    until it is released. What reduces is never refused for it.
    """

    id = "I13"

    def fact(self, fact: Fact) -> None:
        refused = fact.fact == "order.status" and fact.get("status") == "rejected" and "kill" in str(fact.get("reason"))
        if refused and self.shadow.orders[fact.key].purpose != "entry":
            self.broken(f"{fact.key} reduces, and does not leave: {fact.get('reason')}")

    def departs(self, request: Request) -> None:
        killed = self.world.killed_at
        late = killed is not None and self.now > killed + NS_PER_S
        if request.kind == "submit" and late and self.shadow.orders[request.key].purpose == "entry":
            assert killed is not None
            self.broken(f"{request.key} leaves {(self.now - killed) / NS_PER_S:.1f} s after the switch was thrown")


class I15(Invariant):
    """Replay: the state rebuilt from the journal equals the one in memory, and rebuilding twice changes nothing."""

    id = "I15"

    def compare(self, process: Process) -> None:
        assert process.engine is not None
        try:
            memory, replayed = process.engine.checkpoint(), process.replayed()
        except JournalDamaged as error:
            self.broken(str(error))
            return
        if memory != replayed:
            self.broken(difference(memory, replayed))
        if self.world.seed % 8 == 0 and process.replayed() != replayed:
            self.broken("replaying twice gives two states")


class I17(Invariant):
    """Data gate: no order is priced from a book that is stale, gapped, crossed or closed by what the client had heard,
    nor from one that was not heard since the loop was held up; no entry leaves long after it was decided, or goes to a
    venue whose clock is known not to be ours.
    """

    id = "I17"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._skewed: dict[str, int] = {}
        self._held_up = 0  # ns, when the loop went on
        self._lag_ns = round(1.5 * world.config.max_loop_lag_s * NS_PER_S)  # a hold-up that no watch can miss

    def boots(self) -> None:
        self._held_up = 0
        self._skewed = {}

    def held_up(self, ns: int) -> None:
        if ns > self._lag_ns:
            self._held_up = self.now

    def delivered(self, request: Request, code: int, word: object) -> None:
        """Take note of a venue's clock, as far as it is certain: it was read between sending and hearing."""
        if request.kind == "time" and isinstance(word, int):
            off = max(request.sent_at - word, word - self.now)
            if off > self.world.config.max_clock_skew_s * NS_PER_S:
                self._skewed[request.venue] = self.now
            else:
                self._skewed.pop(request.venue, None)

    def departs(self, request: Request) -> None:
        if request.kind != "submit" or self.shadow.orders[request.key].purpose != "entry":
            return
        if self._skewed.get(request.venue, self.now) < self.now:
            self.broken(f"{request.key} leaves for {request.venue}, whose clock is not ours")

    def fact(self, fact: Fact) -> None:
        if fact.fact == "order.intent":
            self._good(str(fact.get("book")), fact.key)
        elif fact.fact == "trade.planned":
            for book in self.shadow.trades[fact.key].books:
                self._good(book, fact.key)
        elif fact.fact == "order.sent" and fact.get("attempt") == 1:
            order = self.shadow.orders[fact.key]
            waited = (fact.at - order.at) / NS_PER_S
            if order.purpose == "entry" and waited > self.world.config.entry_deadline_s:
                self.broken(f"{fact.key} leaves {waited:.3f} s after it was decided")

    def _good(self, name: str, what: str) -> None:
        process = self.world.process
        if process is None:
            return
        book = self.world.table.book(name)
        why = process.model.why(book.index, self.now)
        if why and process.model.broke_at(book.index) != self.now:  # it may have been priced just before
            self.broken(f"{what} is priced from {name}: {why}")
        if process.model.vouched(book.index) < self._held_up < self.now:
            self.broken(f"{what} is priced from {name}, of which nothing was heard since the loop was held up")


class I23(Invariant):
    """Rate budget: requests to a venue stay within the declared rate and burst; no two of our orders could meet."""

    id = "I23"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._level: dict[str, tuple[float, int]] = {}

    def boots(self) -> None:
        self._level = {}

    def departs(self, request: Request) -> None:
        if request.own:
            return
        config = self.world.config
        level, at = self._level.get(request.venue, (float(config.request_burst), self.now))
        level = min(config.request_burst, level + (self.now - at) / NS_PER_S * config.request_rate) - 1
        if level < -1e-6:
            self.broken(f"{request.kind} to {request.venue} is beyond {config.request_rate} requests a second")
        self._level[request.venue] = (level, self.now)
        if request.kind == "submit":
            self._meets(request)

    def _meets(self, request: Request) -> None:
        order = request.order
        assert order is not None
        exchange = self.world.exchanges[request.venue]
        up, price = on_yes(order)
        for other in exchange.orders.values():
            if other.rests and other.order.book.market.id == order.book.market.id and other.key != order.client_id:
                its_up, its_price = on_yes(other.order)
                if up != its_up and (price >= its_price if up else price <= its_price):
                    self.broken(f"{order.client_id} could trade with {other.key}")
