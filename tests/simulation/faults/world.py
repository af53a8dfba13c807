"""One seed, one world: exchanges, a process, a person, and the faults that strike them."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from arbkit.backtest.loop import run_virtual
from arbkit.books.stream_events import Message
from arbkit.books.stream_line import StreamConfig
from arbkit.core.config import ExecutionConfig
from arbkit.core.grid import Grid
from arbkit.core.model import (
    Book,
    ExecutionResult,
    ExecutionStrategy,
    OrderReport,
)
from arbkit.core.units import NS_PER_S
from arbkit.journal.codec import digest
from arbkit.journal.memory import Fact
from arbkit.risk.bounds import RiskLimits
from tests.simulation.faults.disk import Crashed, SimDisk, SimJournal
from tests.simulation.faults.injector import Injector
from tests.simulation.faults.invariants import Invariants, Violation
from tests.simulation.faults.loop import FaultLoop
from tests.simulation.faults.market import ServerBook
from tests.simulation.faults.network import SimVenue
from tests.simulation.faults.process import Operator, Process
from tests.simulation.faults.seam import fell, guard
from tests.simulation.faults.server import Exchange
from tests.simulation.faults.setting import SimClock, a_config, a_table, some_limits
from tests.simulation.faults.shadow import Shadow
from tests.simulation.faults.stream import StreamClient
from tests.simulation.faults.switch import PLACE, SimFolder, a_switch
from tests.simulation.faults.table import FAULTS
from tests.simulation.faults.timeline import Timeline
from tests.simulation.faults.wire import Reply, Request

START = 1_780_000_000 * NS_PER_S
DAY_S = 86_400
T_RESOLVE_S = 120.0
IDS = tuple(FAULTS)
OUTER = ("claiming", "back at")  # tasks of people and of the wiring around the engine


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    seed: int
    virtual_s: float
    trades: dict[str, int]
    strikes: dict[str, int]
    planned: tuple[str, ...]
    crashes: int
    digest: str
    violation: str = ""
    timeline: list[str] = field(default_factory=list)


class World:
    """Everything of one seed. `only` replaces the faults that the seed would draw; `tune` may change the rest.

    The types and the engine's own settings can be replaced: that is how it is proven that invariants catch anything.
    """

    exchange_type: type[Exchange] = Exchange
    venue_type: type[SimVenue] = SimVenue
    journal_type: type[SimJournal] = SimJournal

    def __init__(
        self,
        seed: int,
        *,
        only: Sequence[str] | None = None,
        whole: bool = False,
        tune: Callable[[World], None] | None = None,
    ) -> None:
        self.seed = seed
        rng = self._rng = self.draws("world")
        ids = self.planned = chosen(seed, rng) if only is None else tuple(only)
        midnight = (START // NS_PER_S // DAY_S + 1) * DAY_S
        self.opportunities = self._times(rng)
        started = START
        if "K4" in ids:
            started = round((midnight - self.opportunities[0] - rng.uniform(0.0, 1.2)) * NS_PER_S)
        self.loop = FaultLoop(started)
        self.clock = SimClock()
        self.timeline = Timeline(started, whole=whole)
        self.calm = self.over = False
        self.strikes: dict[str, int] = {}
        self.struck: list[tuple[int, str]] = []
        self.kill_share = 0.08
        self.crashes = 0
        self.started: list[int] = []  # ns, when engines were ready
        self.crash_at: list[Any] | None = None
        self.under_way: list[Request] = []
        self.requests: list[Request] = []  # everything that left, in order
        self.applied: set[tuple[str, str]] = set()
        self._changed_at = self.held_up_ns = 0
        self.killed_at: int | None = None
        self.folder = SimFolder()
        self.outcomes: dict[str, int] = {}
        self.results: list[ExecutionResult] = []
        self.violation: Violation | None = None
        self._settle(rng)
        self.disk = SimDisk(self.draws("disk"))
        self.shadow = Shadow()
        self.operator = Operator(self, self.draws("person"))
        self.injector = Injector(self)
        self.process: Process | None = None
        self._processes = 0
        self.trading_until = started + round((self.opportunities[-1] + rng.uniform(3.0, 8.0)) * NS_PER_S)
        self.engine_config: ExecutionConfig | None = None  # where it is another than the invariants go by
        self.engine_limits: RiskLimits | None = None
        if tune is not None:
            tune(self)
        self.invariants = Invariants(self)
        guard(self)
        self._plan(ids, rng)

    def draws(self, name: str) -> Random:
        """Return the generator of one part of the world: no part moves the draws of another."""
        return Random(f"{self.seed} {name}")

    # -- from a seed ---------------------------------------------------------------------------------------------

    def _times(self, rng: Random) -> list[float]:
        """Return when opportunities come, s after the start."""
        times = [rng.uniform(1.2, 2.5)]
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            times.append(times[-1] + rng.uniform(3.0, 9.0))
        return times

    def _settle(self, rng: Random) -> None:
        shape = rng.choice(("pair",) * 7 + ("three", "event", "event"))
        least = rng.choice((1, 5))
        self.table, self.baskets = a_table(shape, 5 if "V19" in self.planned else least)
        middle = rng.randint(30, 70)
        middles = {"m": middle}
        if shape == "event":
            rest = 100 - middle
            middles |= {"n": rest // 2, "o": rest - rest // 2}
        self.config, self.limits = a_config(rng), some_limits(rng)
        self.strategies = list(ExecutionStrategy)
        self.stream = StreamConfig(max_silence_s=4.0, cross_check_s=6.0, max_quiet_s=20.0)
        self.silence_ns, self.quiet_ns = 4 * NS_PER_S, 20 * NS_PER_S
        self.exchanges: dict[str, Exchange] = {}
        self.medians: dict[str, float] = {}
        names = list(dict.fromkeys(market.venue for market in self.table.markets))
        slow = rng.choice(names)
        for name in names:
            here = {m.id: max(12, min(88, middles[m.id])) for m in self.table.markets if m.venue == name}
            self.exchanges[name] = self.exchange_type(
                self, name, self.table, self.draws(name), settles=name == slow or rng.random() < 0.3, middles=here
            )
            self.medians[name] = rng.choice((0.004, 0.015, 0.015, 0.05, 0.05, 0.3))

    def _plan(self, ids: Sequence[str], rng: Random) -> None:
        """Put on the calendar what is going to happen."""
        begin = self.loop.origin_ns
        for at in self.opportunities:
            name = rng.choice(list(self.exchanges))
            book = rng.choice(list(self.exchanges[name].books.values()))
            ticks = rng.choice((-1, 1)) * rng.randint(5, 9)
            lasts = rng.uniform(0.6, 5.0)
            if rng.random() < 0.35:  # gone about when the orders arrive: asked for cash at both, then sent
                lasts = 2.2 * sum(self.medians.values()) + rng.uniform(0.0, 4.0) * max(self.medians.values())
            self.loop.at(begin + round(at * NS_PER_S), self._opens, self.exchanges[name], book, ticks, lasts)
        for exchange in self.exchanges.values():
            for book in exchange.books.values():
                self.loop.after(rng.uniform(0.3, 1.0), self._walks, exchange, book)
        for name in ids:
            fault = FAULTS[name](self, self.draws(name))
            near = rng.choice(self.opportunities)
            starts = max(0.6, near - rng.uniform(0.0, 0.8))
            if fault.lasts[0] >= 15.0:
                starts = rng.uniform(0.6, 4.0)
            self.injector.plan(fault, starts, rng.uniform(*fault.lasts))
        if rng.random() < self.kill_share:
            at = rng.choice(self.opportunities) + rng.uniform(-0.5, 2.0)
            self.loop.at(begin + round(at * NS_PER_S), self.kill, rng.uniform(1.5, 15.0))
        self.loop.after(rng.choice(self.opportunities) + rng.uniform(0.0, 3.0), self.compare_states)

    def _opens(self, exchange: Exchange, book: ServerBook, ticks: int, lasts: float) -> None:
        self.note(exchange.name, "jumps", book.yes.name, ticks)
        exchange.jump(book, ticks)
        self.loop.after(lasts, self._closes, exchange, book)

    def _closes(self, exchange: Exchange, book: ServerBook) -> None:
        exchange.jump(book, 0)

    def _walks(self, exchange: Exchange, book: ServerBook) -> None:
        if not self.over and not self.calm:
            exchange.walk(book)
            self.loop.after(self._rng.uniform(0.4, 2.0), self._walks, exchange, book)

    # -- the run -------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Live through it; never raises for a violation, which is in the outcome."""
        try:
            run_virtual(self._main(), self.loop)
        except Violation:
            pass
        except Crashed:  # a step of the process that the violation has ended
            if self.violation is None:
                raise
        except Exception as error:  # noqa: BLE001 - whatever ends a run is told with its seed and its time
            with suppress(Violation):
                self.violated("the run", f"{fell(error)}\n{''.join(traceback.format_exception(error))}")
        said = ""
        if self.violation is not None:
            said = str(self.violation)
        return Outcome(
            self.seed,
            (self.loop.time_ns() - self.loop.origin_ns) / NS_PER_S,
            self.outcomes,
            self.strikes,
            self.planned,
            self.crashes,
            digest(self.facts()),
            said,
            list(self.timeline) if self.timeline.whole else [],
        )

    def facts(self) -> list[Fact]:
        """Return every fact that is on the disk or would be, at the end."""
        return [*self.disk.facts, *(self.process.journal.loose if self.process is not None else ())]

    async def _main(self) -> None:
        self.boot()
        await asyncio.sleep((self.trading_until - self.loop.time_ns()) / NS_PER_S)
        self.calm = True
        self.note("world", "faults stop")
        self.injector.end_all()
        self.crash_at = None
        if self.killed_at is not None:
            self.release()
        calm_at = self._changed_at = self.loop.time_ns()
        while True:
            await asyncio.sleep(1.0)
            past = (self.loop.time_ns() - calm_at) / NS_PER_S
            if past >= T_RESOLVE_S or self.settled():
                break
        self.invariants.tell("ends")
        if self.settled():
            self.invariants.tell("quiet")
            self.compare_states()
        else:
            self.violated("I5", f"not at rest {T_RESOLVE_S:.0f} s after faults stopped: {self._restless()}")
        self.over = True
        for trade in self.shadow.trades.values():
            self.outcomes[trade.outcome or "open"] = self.outcomes.get(trade.outcome or "open", 0) + 1
        assert self.process is not None
        self.process.die()

    def settled(self) -> bool:
        return not self._restless()

    def _restless(self) -> str:
        """Return what is not at rest."""
        if self.process is None or self.process.dead or not self.process.started:
            return "no engine runs"
        if self.under_way:
            return f"{self.under_way[0].kind} is under way"
        for trade in self.shadow.trades.values():
            if not trade.over or not trade.final:
                return f"{trade.id} is {trade.outcome or trade.state}"
        for exchange in self.exchanges.values():
            for order in exchange.orders.values():
                if order.rests or any(fill.state == "provisional" for fill in order.fills):
                    return f"{order.key} at its venue"
        # a comparison begins `reconcile_s` after the last one ended, and reads a slow venue several times
        fresh = self.loop.time_ns() - self._changed_at < (2 * self.config.reconcile_s + 15.0) * NS_PER_S
        if fresh and any(name in self.planned for name in ("V23", "V28", "V32")):
            return "what a person did, or a listing got wrong, may not be noticed yet"
        for exchange in self.exchanges.values():
            for name, order in exchange.foreign.items():
                if order.rests and name not in self.shadow.claimed:
                    return f"order {name} of a stranger rests at {exchange.name}, and nobody was told"
        if self.shadow.blocked or self.shadow.halted:
            return f"{self.shadow.blocked} {self.shadow.halted}"
        return ""

    def boot(self) -> None:
        """Start a process over what the disk has kept."""
        self._processes += 1
        self.process = Process(self, self._processes)
        self.note("process", "boots", self._processes, f"over {len(self.disk.facts)} facts")
        self.invariants.tell("boots")
        self.process.boot()

    def crash(self, why: str) -> None:
        """End the process here and now; servers go on, and another process starts after a pause."""
        process = self.process
        if process is None or process.dead or self.over or self.crashes >= 3:
            return
        self.crashes += 1
        kind = self._moment()
        loose = process.journal.loose
        kept = self.disk.tear(loose)
        self.note("process", "CRASHES", why, kind, f"{kept} of {len(loose)} loose facts are kept")
        for name in (kind, "D2" if kept < len(loose) else ""):
            if name:
                self.strike(name, why)
        self._gone(process)

    def strike(self, fault: str, *what: object) -> None:
        """Count one time that a fault had an effect."""
        self.strikes[fault] = self.strikes.get(fault, 0) + 1
        self.struck.append((self.loop.time_ns(), str(what[0]) if what else ""))
        self.note("fault", fault, *what)

    def exits(self, process: Process) -> None:
        """End a process that ends by itself; what it had not written is lost."""
        if not process.dead:
            self.note("process", "exits")
            self._gone(process)

    def _gone(self, process: Process) -> None:
        process.die()
        self.shadow = Shadow(self.disk.facts)
        self.applied = {(fact.key, str(fact.get("id"))) for fact in self.disk.facts if fact.fact == "fill"}
        self.loop.after(self._rng.uniform(0.3, 12.0), self.boot)

    def _moment(self) -> str:
        """Tell what kind of moment this is for a crash."""
        going = [trade for trade in self.shadow.trades.values() if not trade.over]
        undoing = [trade for trade in going if trade.state in ("hedging", "unwinding") and not trade.outcome]
        open_ = [order for order in self.shadow.orders.values() if not order.ended]
        sent = self.invariants.all["I4"].sends  # type: ignore[attr-defined]
        if undoing or any(not trade.even for trade in going):
            return "P3"
        if any(order.key not in sent for order in open_):
            return "P1"
        if open_:
            return "P2"
        return "P3" if going else ""

    # -- what faults do ------------------------------------------------------------------------------------------

    def terminate(self, deadline_s: float) -> bool:
        process = self.process
        if process is None or process.dead or not process.started or process.leaving:
            return False
        process.leaving, process.leaving_at = True, self.loop.time_ns()
        orders = self.shadow.orders.items()
        resting = [key for key, order in orders if order.status in ("open", "partial") and order.tif == "GTC"]
        self.loop.after(1.0, self._are_cancelled, process, resting)
        process.spawn(process.leave(deadline_s), "leaving")
        return True

    def _are_cancelled(self, process: Process, resting: Sequence[str]) -> None:
        """See that what rested when a process was asked to leave has been asked to end."""
        asked = {fact.key for fact in process.appended if fact.fact == "order.cancel" and fact.at >= process.leaving_at}
        left = [key for key in resting if key not in asked and not self.shadow.orders[key].ended]
        if left and not process.dead:
            self.violated("P4", f"{left} go on resting in a process that is leaving")

    def interrupt(self) -> bool:
        process = self.process
        if process is None or process.dead or process.scan is None or process.scan.done():
            return False
        process.scan.cancel()
        return True

    def hold_up(self, seconds: float) -> None:
        """Let time pass while nothing of ours can run."""
        self.held_up_ns += round(seconds * NS_PER_S)
        self.loop.block(seconds)
        self.invariants.tell("held_up", round(seconds * NS_PER_S))

    def kill(self, lasts: float) -> None:
        """Throw the switch: here, by another process, or because nobody can tell whether it is thrown."""
        process = self.process
        how = self._rng.choice(("here", "elsewhere", "unreadable"))
        if self.calm or process is None or process.dead or process.engine is None:
            return
        self.note("person", "kills", how)
        if how == "here":
            process.context.copy().run(process.engine.kill, "pressed")
        elif how == "elsewhere":
            self.folder.files[PLACE] = b'{"reason": "pressed elsewhere"}'
        else:
            self.folder.trouble = True
        self.killed_at = self.loop.time_ns()
        self.loop.after(lasts, self.release)

    def release(self) -> None:
        if self.killed_at is not None:
            self.note("person", "releases")
            self.folder.trouble = False
            a_switch(self.folder).release("looked at", self.loop.time_ns())
            self.killed_at = None

    def clients(self, venue: str) -> list[StreamClient]:
        return [self.process.clients[venue]] if self.process is not None and not self.process.dead else []

    def reconnect(self, client: StreamClient) -> None:
        if not client.process.dead and not client.up:
            self.note(client.name, "reconnects")
            client.connect()

    def say_status(self, exchange: Exchange, book: ServerBook) -> None:
        for client in self.clients(exchange.name):
            client.says(book)

    def close_market(self, exchange: Exchange, book: ServerBook) -> None:
        """Close a market for good."""
        book.closed = True
        for order in list(exchange.orders.values()):
            if order.rests and order.order.book.market.id == book.market.id:
                exchange.end(order)
        self.say_status(exchange, book)

    def regrid(self, exchange: Exchange, book: ServerBook, tick: str) -> None:
        """Change a market's tick; its book is rebuilt on the new grid, and the stream goes on as if nothing were.

        What rests off the new grid is cancelled.
        """
        grid = Grid.of_tick(tick)
        for order in list(exchange.orders.values()):
            if order.rests and order.order.book.market.id == book.market.id and not grid.holds(order.order.limit):
                exchange.end(order)
        step = grid.ranges[0][2]
        book.middle, book.home = book.middle * book.tick // step, book.home * book.tick // step
        book.grid, book.tick = grid, step
        exchange._moved(book, book.changes())

    def began_yesterday(self, trade: str) -> bool:
        known = self.shadow.trades[trade]
        return known.at // (DAY_S * NS_PER_S) != self.loop.time_ns() // (DAY_S * NS_PER_S)

    # -- what everybody tells: all that fakes call, behind one guard (`seam`) --------------------------------------

    def note(self, who: str, what: str, *details: object) -> None:
        self.timeline.note(self.loop.time_ns(), who, what, *details)

    def on_fact(self, fact: Fact, process: Process) -> None:
        process.appended.append(fact)
        self.timeline.note(fact.at, "journal", fact.fact, fact)
        self.shadow.apply(fact)
        if fact.fact in ("market.claimed", "order.status", "fill.settled", "fill"):
            self._changed_at = fact.at
        if fact.fact == "market.claimed":
            for exchange in self.exchanges.values():
                for order in exchange.foreign.values():
                    if order.rests and order.id in self.shadow.claimed:
                        self.loop.after(1.0, exchange.end, order)  # whose order it is takes it back
        self.invariants.tell("fact", fact)
        self.operator.fact(fact)
        self.injector.fact(fact.fact, fact.key)
        self.invariants.tell("tick")

    def on_durable(self, facts: Sequence[Fact]) -> None:
        self.invariants.tell("durable", facts)
        self.injector.durable([fact.fact for fact in facts])

    def on_write(self, process: Process, what: str, when: str) -> None:
        """Count down to a crash that is planned for a write of the journal."""
        plan = self.crash_at
        if plan is not None and not process.dead and plan[0] == (what, when):
            plan[1] -= 1
            if plan[1] <= 0:
                self.crash_at = None
                plan[2]()

    def on_request(self, process: Process, request: Request) -> Exception | None:
        """Decide what becomes of a request before it leaves; return what the client raises instead of sending it."""
        self.injector.sends(request)
        error = self.injector.client_error(request)
        if error is not None:
            self.on_bug(process, request)
        return error

    def on_departure(self, request: Request) -> None:
        self.note("to " + request.venue, request.kind, request.key or request.cursor, "LOST" if request.lost else "")
        self.requests.append(request)
        self.invariants.tell("departs", request)
        process = self.process
        entry = request.kind == "submit" and self.shadow.orders[request.key].purpose == "entry"
        if entry and process is not None and process.leaving and self.loop.time_ns() > process.leaving_at:
            self.violated("P4", f"{request.key} is entered by a process that is leaving")
        if not request.lost and request.kind in ("submit", "cancel"):
            self.under_way.append(request)
        self.invariants.tell("tick")
        self.injector.departed(request)

    def on_landing(self, request: Request) -> None:
        if request in self.under_way:
            self.under_way.remove(request)

    def on_delivery(self, request: Request, reply: Reply, word: object) -> None:
        self.note(request.venue, request.kind, request.key, word, "ANSWER IS LOST" if request.lose_answer else "")
        self.invariants.tell("delivered", request, reply.code, word)
        self.invariants.tell("tick")

    def on_order_word(self, venue: str, key: str, word: OrderReport) -> None:
        self.note(venue, "order stream", key, word)
        self.invariants.tell("order_word", key, word)
        self.invariants.tell("tick")

    def on_server(self, name: str, what: str, key: str, *details: object) -> None:
        self.note(name, what, key, *details)
        self.invariants.tell("server", name, key)
        self.invariants.tell("tick")

    def on_book_message(self, process: Process, message: Message) -> None:
        process.model.apply(message, self.loop.time_ns())
        self.invariants.tell("tick")

    def on_lost(self, name: str) -> None:
        self.invariants.tell("lost", name)

    def on_watch_bug(self) -> None:
        """A watch of the engine fails: a second later that is on record."""
        process = self.process
        if process is not None and process.started and not process.leaving:
            halts = sum(fact.fact == "engine.halted" for fact in process.appended)
            self.loop.after(1.0, self._heeded, process, "a watch", halts, self.shadow.halted, self.held_up_ns)

    def on_bug(self, process: Process, request: Request) -> None:
        """A client's bug reaches the engine: whoever of it asked, entries are halted soon, and that is on record.

        Soon is a second; one leg's failure is told when the other legs have been heard out.
        """
        if process.started and not process.leaving and not request.asker.startswith(OUTER):
            halts = sum(fact.fact == "engine.halted" for fact in process.appended)
            config = self.config
            legs = config.limit_timeout_s + 2 * config.hedge_timeout_s if request.order is not None else 0.0
            what = f"{request.kind} for {request.asker!r}"
            told = (process, what, halts, self.shadow.halted, self.held_up_ns)
            self.loop.after(1.0 + legs, self._heeded, *told)

    def _heeded(self, process: Process, what: str, halts: int, before: str, held_up: int) -> None:
        if self.held_up_ns > held_up:  # nothing of ours could run meanwhile
            after = (self.held_up_ns - held_up) / NS_PER_S
            self.loop.after(after, self._heeded, process, what, halts, before, self.held_up_ns)
            return
        now = sum(fact.fact == "engine.halted" for fact in process.appended)
        if not process.dead and not process.leaving and now == halts and not before:
            self.violated("P6", f"a bug in {what} halted nothing")

    def on_comparison(self, process: Process, book: Book, agreed: bool | None, asked_at: int) -> None:
        process.model.agreed(book.index, agreed, asked_at, self.loop.time_ns())

    def on_result(self, result: ExecutionResult) -> None:
        self.results.append(result)

    def on_drained(self, process: Process, left: tuple[str, ...], took: float, deadline_s: float) -> None:
        """See that what drain returned is what is open, and that it kept its deadline."""
        self.note("engine", "drained", f"{took:.1f} s", *left)
        if took > deadline_s + 0.5:
            self.violated("P4", f"drain took {took:.1f} of {deadline_s:.1f} s")
        open_ = [order.key for order in self.shadow.orders.values() if not order.ended]
        silent = [key for key in open_ if not any(key in line for line in left)]
        if silent:
            self.violated("P4", f"drain does not tell of {silent}")
        answer = min(self.config.leg_timeout_s, self.config.hedge_timeout_s / 2)
        asked = {fact.key for fact in process.appended if fact.fact == "order.cancel" and fact.at >= process.leaving_at}
        # An undo order that was sent a moment ago is still waited for: what it answers decides what is asked next.
        waited = self.loop.time_ns() - round((answer + 2.5) * NS_PER_S)
        just_sent = {fact.key for fact in process.appended if fact.fact == "order.sent" and fact.at > waited}
        left_alone = [
            key for key in open_ if key not in asked | just_sent and self.shadow.orders[key].status != "intent"
        ]
        if left_alone and took > answer + 2.5:
            self.violated("P4", f"drain leaves {left_alone}, and has not asked to cancel them")

    def compare_states(self) -> None:
        """Hold memory and record against each other, wherever the engine stands."""
        process = self.process
        if process is not None and process.started and not process.dead:
            self.invariants.tell("compare", process)

    def violated(self, what: str, why: str) -> None:
        """Raise, with the seed and the last lines of the story; the first violation counts."""
        if self.violation is None:
            lines = "\n".join(self.timeline.last())
            at = (self.loop.time_ns() - self.loop.origin_ns) / NS_PER_S
            self.violation = Violation(
                f"{what} does not hold in seed {self.seed} at {at:.3f} s ({', '.join(self.planned)}): {why}\n{lines}"
            )
            self.loop.failed = self.violation
            self.over = True
            if self.process is not None:
                self.process.dead = True
        raise self.violation


def chosen(seed: int, rng: Random) -> tuple[str, ...]:
    """Return the faults of a seed: one in turn, so that every fault has its share, and up to four drawn ones."""
    turn = IDS[seed % len(IDS)]
    more = rng.sample(IDS, rng.choice((0, 0, 1, 1, 2, 3, 4)))
    return tuple(dict.fromkeys((turn, *more)))
