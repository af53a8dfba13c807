"""The life of the engine: a process that boots over what a disk has kept, works, dies at any moment, and is booted
again; and the person who looks after it, some seconds late.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, Any

from arbkit.books.stream import StreamBooks
from arbkit.core.errors import ArbkitError, DataError, JournalDamaged, JournalError, VenueError
from arbkit.core.model import ExecutionStrategy
from arbkit.core.units import NS_PER_S
from arbkit.detection.live_feed import LiveFeed
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.memory import Fact
from arbkit.risk.pairs import PairBook
from tests.simulation.faults.bookmodel import BookModel
from tests.simulation.faults.disk import Crashed
from tests.simulation.faults.loop import PROCESS
from tests.simulation.faults.network import Link, SimVenue
from tests.simulation.faults.seam import fell
from tests.simulation.faults.stream import StreamClient
from tests.simulation.faults.switch import a_switch
from tests.simulation.faults.wire import BUG_WORDS

if TYPE_CHECKING:
    from tests.simulation.faults.world import World


class Process:
    """One engine and everything of ours that dies with it."""

    def __init__(self, world: World, number: int) -> None:
        rng = world.draws(f"process {number}")
        self.world = world
        self.number = number
        self.dead = False
        self.started = False
        self.leaving = False
        self.leaving_at = 0
        self.booted_at = world.loop.time_ns()
        self.tasks: list[asyncio.Task[Any]] = []
        self.strategy: ExecutionStrategy = rng.choice(world.strategies)
        self.engine: ArbitrageExecutionEngine | None = None
        self.scan: asyncio.Task[Any] | None = None
        self.past = tuple(world.disk.facts)
        self.appended: list[Fact] = []
        self.journal = world.journal_type(world.disk, self)
        self.model = BookModel(world.table, world.silence_ns, world.quiet_ns)
        yes = {name: [book.yes for book in exchange.books.values()] for name, exchange in world.exchanges.items()}
        self.books = StreamBooks(
            world.table,
            yes,
            fees=lambda market, _: world.exchanges[market.venue].fees,
            clock=world.clock,
            config=world.stream,
            now=world.loop.time_ns(),
        )
        self.feed = LiveFeed(self.books, gross=world.config.edge == "gross", clock=world.clock)
        self.venues: dict[str, SimVenue] = {}
        self.clients: dict[str, StreamClient] = {}
        for name, exchange in world.exchanges.items():
            venue = self.venues[name] = world.venue_type(Link(self, exchange, rng, world.medians[name]))
            self.clients[name] = StreamClient(self, exchange, venue, self.books, rng, world.medians[name])
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)

    # -- life ----------------------------------------------------------------------------------------------------

    def spawn(self, steps: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start what is around the engine; an error in it has nobody to go to, and ends the run."""
        task = self.world.loop.create_task(steps, name=name, context=self.context.copy())
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not self.dead and not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.world.violated(task.get_name(), fell(error))

    def boot(self) -> None:
        self.spawn(self._main(), f"process {self.number}")

    async def _main(self) -> None:
        world = self.world
        try:
            engine = self.engine = ArbitrageExecutionEngine(
                self.venues,
                self.feed,
                world.baskets,
                config=world.engine_config or world.config,
                limits=world.engine_limits or world.limits,
                clock=world.clock,
                journal=self.journal,
                pairs=PairBook.assumed(world.table),
                kill=a_switch(world.folder),
                books=world.table.books,
            )
            self.books.on_lost.append(self._lost)
            self.books.on_connected.append(self._connected)
            await engine.start(self.past)
        except JournalDamaged as error:
            world.violated("I15", f"the next process does not start: {error}")
        except (VenueError, JournalError, TimeoutError) as error:
            world.note("engine", "does not start", error)
            world.exits(self)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the seed
            if str(error) == BUG_WORDS:  # a client's bug reaches whoever starts the engine, and nothing was entered
                world.note("engine", "does not start", error)
                world.exits(self)
                return
            world.violated("start", f"{type(error).__name__}: {error}")
        self.started = True
        world.started.append(world.loop.time_ns())
        world.note("engine", "started", self.strategy.value)
        world.operator.look()
        await self._trade(engine)

    async def _trade(self, engine: ArbitrageExecutionEngine) -> None:
        """Trade what the feed shows until the run's trading is over; begin again when a call was cancelled."""
        world = self.world
        while not self.leaving and world.loop.time_ns() < world.trading_until:
            self.scan = asyncio.ensure_future(
                engine.scan_and_execute(self.strategy, until_ns=world.trading_until, on_result=world.on_result)
            )
            await asyncio.wait([self.scan])
            if self.scan.cancelled():
                world.note("engine", "call cancelled")
                await asyncio.sleep(0.5)
            elif (error := self.scan.exception()) is not None:
                world.violated("P6", f"the engine's caller met {type(error).__name__}: {error}")

    def _lost(self, name: str) -> None:
        if self.engine is not None and not self.dead:
            self.world.on_lost(name)
            self.engine.venue_lost(name)

    def _connected(self, name: str) -> None:
        if self.engine is not None and self.started and not self.dead:
            self.spawn(self._back(name), f"back at {name}")

    async def _back(self, name: str) -> None:
        assert self.engine is not None
        for _ in range(100):
            try:
                await self.engine.venue_back(name)
                return
            except (VenueError, TimeoutError, RuntimeError):
                await asyncio.sleep(1.0)

    async def leave(self, deadline_s: float) -> None:
        """End as a signal asks: park what is lopsided, cancel what rests, see the record onto the disk."""
        self.leaving = True
        engine, world = self.engine, self.world
        assert engine is not None
        began = world.loop.time_ns() - world.held_up_ns
        left = await engine.drain(deadline_s)
        took = (world.loop.time_ns() - world.held_up_ns - began) / NS_PER_S
        world.on_drained(self, left, took, deadline_s)
        try:
            await engine.stop()
        except JournalError as error:
            world.note("engine", "last facts not kept", error)
        world.note("engine", "left", "; ".join(left) or "nothing is open")
        world.exits(self)

    # -- death ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise Crashed in a process that is gone."""
        if self.dead:
            raise Crashed

    def crash_point(self, what: str, when: str) -> None:
        """Tell of a write of the journal: a crash may be planned for it."""
        self.world.on_write(self, what, when)

    def die(self) -> None:
        """Stop having effects, all at once; then clear away what is left of the tasks."""
        self.dead = True
        for client in self.clients.values():
            client.hang_up()
        for venue in self.venues.values():
            venue.hang_up()
        self.world.loop.at(self.world.loop.time_ns(), self._clear, 0)

    def _clear(self, attempt: int) -> None:
        left = [task for task in self.tasks if not task.done()]
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()
        self.tasks = left
        for task in left:
            task.cancel()
        if left and attempt < 60:
            self.world.loop.at(self.world.loop.time_ns(), self._clear, attempt + 1)

    def replayed(self) -> dict[str, Any]:
        """Return what the engine's checkpoint must be by the facts alone."""
        return replayed_checkpoint(
            [*self.past, *self.appended],
            self.world.table.books,
            self.world.engine_config or self.world.config,
            self.world.engine_limits or self.world.limits,
        )


class Operator:
    """A person: acknowledges, claims and lets go, some seconds after it was asked for, and asks again if need be."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self._rng = rng
        self._busy: set[str] = set()
        self.claiming: list[str] = []  # what a claim is under way for
        self.patient = rng.random() < 0.5  # acknowledges only what can change no more

    def fact(self, fact: Fact) -> None:
        if fact.fact in ("market.blocked", "engine.halted") or (
            fact.fact == "trade.done" and fact.get("outcome") == "escalated"
        ):
            self.world.loop.at(self.world.loop.time_ns(), self.look)

    def look(self) -> None:
        """See what waits for a person."""
        shadow = self.world.shadow
        for name, trade in shadow.trades.items():
            if trade.outcome == "escalated" and not trade.seen_to:
                self._soon(f"trade {name}", self._acknowledge, name)
        for name in shadow.blocked:
            self._soon(f"block {name}", self._claim, name)
        if shadow.halted:
            self._soon("halt", self._resume)

    def _soon(self, what: str, do: Callable[..., None], *args: object) -> None:
        if what not in self._busy:
            self._busy.add(what)
            self.world.loop.after(self._rng.uniform(1.0, 12.0), self._do, what, do, args)

    def _do(self, what: str, do: Callable[..., None], args: tuple[object, ...]) -> None:
        self._busy.discard(what)
        process = self.world.process
        if process is not None and not process.dead and process.started and not process.leaving:
            process.context.copy().run(do, process, *args)
        self.world.loop.after(4.0, self.look)

    def _acknowledge(self, process: Process, name: str) -> None:
        trade = self.world.shadow.trades.get(name)
        if trade is not None and self.patient and not trade.final:
            return
        if trade is not None and not trade.seen_to and process.engine is not None:
            self.world.note("person", "acknowledges", name)
            process.engine.acknowledge(name)

    def _claim(self, process: Process, name: str) -> None:
        if name in self.world.shadow.blocked:
            process.spawn(self._claimed(process, name), f"claiming {name}")

    async def _claimed(self, process: Process, name: str) -> None:
        assert process.engine is not None
        self.claiming.append(name)
        try:
            self.world.note("person", "claims", name)
            await process.engine.claim(name)
        except (VenueError, JournalError, DataError, TimeoutError) as error:
            self.world.note("person", "cannot claim", name, error)
        except RuntimeError:
            pass  # the client's bug that a fault put there
        except ArbkitError as error:
            self.world.violated("claim", f"{name}: {error!r}")
        finally:
            self.claiming.remove(name)

    def _resume(self, process: Process) -> None:
        if self.world.shadow.halted and process.engine is not None:
            self.world.note("person", "lets entries go on")
            process.engine.resume_entries("looked at")
