"""Invariants of whole trades and of what they may cost: I8 to I12."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arbkit.core.units import MICRO, NS_PER_S, cost
from arbkit.journal.memory import Fact
from tests.simulation.faults.invariant import DAY_NS, Invariant
from tests.simulation.faults.shadow import KnownOrder, KnownTrade
from tests.simulation.faults.wire import Request

if TYPE_CHECKING:
    from tests.simulation.faults.process import Process
    from tests.simulation.faults.world import World


class I8(Invariant):
    """Exposure bound: the worst unhedged dollars, orders in flight taken as filled or not, stay within X at each send.

    Counted from the engine's knowledge and from the servers' truth. What a venue filled beyond an entry is not counted:
    nobody can bound that. An undo order makes it no larger by what is known, whatever it is already; of several that go
    together one may fill alone, and what is not known yet may make it larger: either within X.
    """

    id = "I8"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._bound = round(world.config.max_exposure * MICRO)
        self._sent: set[str] = set()

    def departs(self, request: Request) -> None:
        if request.kind != "submit":
            return
        order = self.shadow.orders[request.key]
        for whose, known in (("by what is known", True), ("by what is true", False)):
            if order.purpose == "entry":
                total = self._sum(known, order)
                if total > self._bound:
                    self.broken(f"{whose} {total / MICRO:.2f} dollars may be unhedged, of {self._bound / MICRO:.2f}")
            elif order.key not in (self._sent if known else self.world.exchanges[order.venue].orders):
                self._undoes(order, whose, known)
        self._sent.add(request.key)

    def _undoes(self, order: KnownOrder, whose: str, known: bool) -> None:
        """Hold an undo order that is new here, or at its venue, against the world without it."""
        trade = self.shadow.trades[order.trade]
        before = self._of(trade, known, order, without=True, capped=False)
        after = self._of(trade, known, order, capped=False)
        if after <= before:
            return
        together = [one for one in trade.orders if one.purpose != "entry" and not one.ended]
        total = self._sum(known, order)
        if (known and len(together) < 2) or total > self._bound:
            self.broken(
                f"{whose} {order.key} brings {before / MICRO:.2f} unhedged dollars to {after / MICRO:.2f}: "
                f"{total / MICRO:.2f} with all others, of {self._bound / MICRO:.2f}"
            )

    def _sum(self, known: bool, sending: KnownOrder) -> int:
        return sum(self._of(trade, known, sending) for trade in self.shadow.trades.values() if not trade.over)

    def _of(
        self, trade: KnownTrade, known: bool, sending: KnownOrder, *, without: bool = False, capped: bool = True
    ) -> int:
        """Return the worst of one trade. `without` takes the order that is being sent as never meant."""
        if trade.outcome and trade.final and trade.even:
            return 0
        legs = len(trade.books)
        low, high, paid, shares = [0] * legs, [0] * legs, [0] * legs, [0] * legs
        for order in trade.orders:
            filled, left = self._span(order, known, sending)
            if order.side > 0 and (filled or left or order is sending):  # what was never sent has no price
                paid[order.leg] += cost(order.limit, order.size)
                shares[order.leg] += order.size
            if without and order is sending:
                continue
            if capped:
                filled = min(filled, order.size)
            low[order.leg] += order.side * filled - (left if order.side < 0 else 0)
            high[order.leg] += order.side * filled + (left if order.side > 0 else 0)
        worst = 0
        for short in range(legs):
            least = max(0, low[short])
            over = ((leg, max(0, high[leg] - least)) for leg in range(legs) if leg != short)
            worst = max(worst, sum(size * paid[leg] // (shares[leg] or 1) for leg, size in over))
        return worst

    def _span(self, order: KnownOrder, known: bool, sending: KnownOrder) -> tuple[int, int]:
        """Return what of an order is filled, and how much more may be."""
        if known:
            filled = order.filled
            return filled, 0 if order.ended else max(0, order.size - filled)
        there = self.world.exchanges[order.venue].orders.get(order.key)
        if there is not None:
            filled = there.filled
            if sending.purpose != "entry":  # what failed there and was not heard of is held, as far as anybody can know
                heard = [name for name, fill in order.fills.items() if not fill.counts]
                filled += sum(fill.size for fill in there.fills if fill.state == "failed" and fill.id not in heard)
            return filled, there.left if there.rests else 0
        flying = order is sending or any(r.key == order.key and r.kind == "submit" for r in self.world.under_way)
        return 0, order.size if flying else 0


class I9(Invariant):
    """Exposure time: an imbalance above dust is closed, or escalated, within T_hedge and one answer.

    The clock runs while an engine can run: it stands while the loop is held up, and starts anew with a new process.
    Escalated means that entries are halted and that it stands on record.
    """

    id = "I9"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._since: dict[str, int] = {}
        config = world.config
        answer = min(config.leg_timeout_s, config.hedge_timeout_s / 2)
        self._bound = round((config.hedge_timeout_s + answer + 2.5) * NS_PER_S)
        self._next = 2**62

    def fact(self, fact: Fact) -> None:
        name = None
        if fact.fact in ("fill", "fill.settled", "order.intent"):
            name = self.shadow.orders[fact.key].trade
        elif fact.fact == "trade.done":
            name = fact.key
            self._halted(fact)
        if name is None:
            return
        trade = self.shadow.trades[name]
        if trade.even or trade.outcome == "escalated":
            self._since.pop(name, None)
        elif name not in self._since:
            self._since[name] = self.now
        self._next = min(self._since.values(), default=2**62) + self._bound

    def _halted(self, fact: Fact) -> None:
        """Entries must be halted in the step that records an escalation."""
        if fact.get("outcome") == "escalated":
            self.world.loop.at(self.now, self._is_halted, self.world.process, fact.key)

    def _is_halted(self, process: Process, key: str) -> None:
        trade = self.shadow.trades.get(key)
        if process.dead or trade is None or trade.seen_to or trade.outcome != "escalated":
            return
        if process.engine is not None and not process.engine.halted:
            self.broken(f"{key} escalated, and entries are not halted")

    def boots(self) -> None:
        """A new process has its own T_hedge, from when it was started."""
        self._since = {
            name: self.now
            for name, trade in self.shadow.trades.items()
            if not trade.even and trade.outcome != "escalated"
        }
        self._next = min(self._since.values(), default=2**62) + self._bound + self._boot_ns

    def held_up(self, ns: int) -> None:
        self._since = {name: at + ns for name, at in self._since.items()}
        self._next += ns

    @property
    def _boot_ns(self) -> int:
        """What the start of an engine may take before it turns to what is open."""
        return 10 * NS_PER_S

    def tick(self) -> None:
        if self.now < self._next or self.world.process is None or self.world.process.dead:
            return
        for name, since in self._since.items():
            late = self.now - since - self._bound
            if late > (self._boot_ns if self.world.process.booted_at >= since - 1 else 0):
                held = self.shadow.trades[name].holdings
                self.broken(f"{name} has held {held} for {(self.now - since) / NS_PER_S:.1f} s")


class I10(Invariant):
    """Unwinds are intents, and the cash of a trade that is done is the sum of its fills; undoing loses no more than the
    bound, or the trade escalates."""

    id = "I10"

    def fact(self, fact: Fact) -> None:
        if fact.fact != "trade.done":
            return
        trade = self.shadow.trades[fact.key]
        money = sum(order.money for order in trade.orders)
        if fact.get("cash") != money:
            self.broken(f"{fact.key} came to {fact.get('cash')}, its fills to {money}")
        if trade.outcome == "unwound":
            bound = sum(trade.decision_costs) * round(self.world.config.max_unwind_loss * MICRO) // MICRO
            pnl = money + trade.floor * min(trade.holdings) // MICRO
            if pnl < -bound - 10 and not self._surprised(trade):
                self.broken(f"{fact.key} lost {-pnl} in being undone, of {bound} allowed")

    def _surprised(self, trade: KnownTrade) -> bool:
        """Tell whether a venue took fills back or broke its word: what that costs no bound could know."""
        orders = trade.orders
        return any(not f.counts for o in orders for f in o.fills.values()) or any(
            o.filled > o.size or any(o.side * (f.price - o.limit) > 0 for f in o.fills.values()) for o in orders
        )


class I11(Invariant):
    """Commit truth: COMMITTED means that all legs hold the same, within dust, and that every fill is settled for good."""

    id = "I11"

    def fact(self, fact: Fact) -> None:
        committed = fact.fact == "trade.state" and fact.get("state") == "committed"
        if not committed and not (fact.fact == "trade.done" and fact.get("outcome") in ("completed", "reduced")):
            return
        trade = self.shadow.trades[fact.key]
        for order in trade.orders:
            there = self.world.exchanges[order.venue].orders.get(order.key)
            if there is not None and any(fill.state == "provisional" for fill in there.fills):
                self.broken(f"{fact.key} is committed, fills of {order.key} are provisional")
        held = [
            sum(
                order.side * there.filled
                for order in trade.orders
                if order.leg == leg and (there := self.world.exchanges[order.venue].orders.get(order.key)) is not None
            )
            for leg in range(len(trade.books))
        ]
        if max(held) - min(held) >= trade.lot or min(held) <= 0:
            self.broken(f"{fact.key} is committed and holds {held}")


class I12(Invariant):
    """Budgets: reserved and spent, and what the UTC day has lost, stay within every cap when a trade starts, whatever
    process reserved or lost it; a trade belongs to the day of its intent.
    """

    id = "I12"

    def departs(self, request: Request) -> None:
        if request.kind == "submit" and self.shadow.orders[request.key].purpose == "entry":
            out = [o.key for o in self.shadow.orders.values() if not o.ended and o.status != "intent"]
            if len({*out, request.key}) > self.world.limits.max_open_orders:
                self.broken(f"{request.key} leaves while {out} are out")

    def fact(self, fact: Fact) -> None:
        if fact.fact != "trade.planned":
            return
        limits = self.world.limits
        today = fact.at // DAY_NS
        lost = -sum(trade.pnl for trade in self.shadow.trades.values() if trade.outcome and trade.at // DAY_NS == today)
        if lost > round(limits.max_daily_loss * MICRO):
            self.broken(f"{fact.key} starts on a day that has lost {lost}")
        venues: dict[str, int] = {}
        for book, amount in self._bound().items():
            venue = book.partition(":")[0]
            venues[venue] = venues.get(venue, 0) + amount
        if sum(venues.values()) > round(limits.max_total_capital * MICRO):
            self.broken(f"{fact.key} brings what is reserved and spent to {sum(venues.values())}")
        if max(venues.values()) > round(limits.max_venue_capital * MICRO):
            self.broken(f"{fact.key} brings the venues to {venues}")

    def _bound(self) -> dict[str, int]:
        """Return the dollars that are reserved or spent by book; what a person sold by hand is not spent any more."""
        bound: dict[str, int] = {}
        spent: dict[str, tuple[int, int]] = {}
        for trade in self.shadow.trades.values():
            for leg, book in enumerate(trade.books):
                held = trade.held(leg)
                paid = max(0, -sum(order.money for order in trade.orders if order.leg == leg))
                if not trade.over:
                    bound[book] = bound.get(book, 0) + trade.costs[leg]
                elif held > 0:
                    before = spent.get(book, (0, 0))
                    spent[book] = (before[0] + held, before[1] + paid)
        shares = self.shadow.ledger()[1]
        for book, (held, paid) in spent.items():
            bound[book] = bound.get(book, 0) + paid * min(held, shares.get(book, 0)) // held
        return bound
