"""P, K, D and S: what happens to our process, its clock and its disk; and what markets do."""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.core.units import NS_PER_S
from tests.simulation.faults.injector import Fault
from tests.simulation.faults.server import Exchange, ServerOrder
from tests.simulation.faults.wire import BUG, BUG_WORDS, Reply, Request


class Crash(Fault):
    """A process that ends without warning; `world.crash` tells which kind of moment it was."""

    at_most = 1
    lasts = (5.0, 25.0)

    def crash(self, why: str) -> None:
        if self.count < self.at_most and self.world.process is not None and not self.world.process.dead:
            self.count += 1
            self.world.crash(why)

    def draw(self) -> None:
        self.how = self.rng.choice(("here", "here", "steps", "journal"))
        self.armed = False

    def arm(self) -> None:
        """Die at some step or some write of the journal from now on."""
        if self.armed or self.count >= self.at_most:
            return
        self.armed = True
        if self.how == "steps":
            self.world.loop.trap(self.rng.randint(1, 90), lambda: self.crash("at a step"))
        else:
            point = (self.rng.choice(("append", "append", "durable")), self.rng.choice(("before", "after")))
            self.world.crash_at = [point, self.rng.randint(1, 25), lambda: self.crash(f"{point[1]} {point[0]}")]


class P1(Crash):
    id, says = "P1", "a crash after the intent is on disk, before it is sent"

    def durable(self, names: Sequence[str]) -> None:
        if "order.intent" in names:
            if self.how == "here":
                self.crash("the intent is on disk")
            else:
                self.arm()


class P2(Crash):
    id, says = "P2", "a crash after sending, before the answer is on record"

    def departed(self, request: Request) -> None:
        if request.kind == "submit" and self.count < self.at_most and not self.armed:
            if self.how == "here":
                self.armed = True
                self.world.loop.after(self.rng.uniform(0.0, 0.12), self.crash, "an order is under way")
            else:
                self.arm()


class P3(Crash):
    id, says = "P3", "a crash between the fills of the legs, or while undoing"
    at_most = 2

    def draw(self) -> None:
        super().draw()
        self.on = self.rng.choice(("fill", "fill", "trade.undo", "order.cancel", "fill.settled", "trade.done"))

    def fact(self, name: str, key: str) -> None:
        if name == self.on and not self.armed:
            if self.how == "here":
                self.armed = True
                self.world.loop.trap(self.rng.randint(1, 6), lambda: self.crash(f"after {name}"))
            else:
                self.arm()


class D2(Crash):
    id, says = "D2", "the power fails: the last records are torn"

    def fact(self, name: str, key: str) -> None:
        if name in ("order.sent", "fill", "order.status", "trade.state") and self.rng.random() < 0.3:
            self.world.loop.trap(self.rng.randint(1, 3), lambda: self.crash("power"))


class P4(Fault):
    id, says = "P4", "SIGTERM"
    at_most = 1

    def draw(self) -> None:
        self.armed = False
        self.deadline_s = self.rng.choice((1.0, 10.0, 25.0))

    def fact(self, name: str, key: str) -> None:
        if name in ("order.sent", "fill") and not self.armed:
            self.armed = True
            self.world.loop.after(self.rng.choice((0.0, 0.02, 0.5, 3.0)), self._now)

    def _now(self) -> None:
        if self.world.terminate(self.deadline_s):
            self.struck(f"{self.deadline_s:g} s to leave")


class P6(Fault):
    id, says = "P6", "a background step fails in a way nobody expected"
    at_most = 1
    lasts = (16.0, 30.0)

    def draw(self) -> None:
        self.watch = self.rng.random() < 0.25

    def begins(self) -> None:
        if self.watch:
            self.world.clock.breaks = self._breaks

    def ends(self) -> None:
        self.world.clock.breaks = lambda: False

    def _breaks(self) -> bool:
        """Fail in the engine's watch on the clock, once it has taken its first look."""
        if not self.left or self.world.process is None or not self.world.process.started:
            return False
        self.struck("a watch")
        self.world.on_watch_bug()
        return True

    def client_error(self, request: Request) -> Exception | None:
        if self.left and not self.watch and request.kind in ("time", "open", "positions", "status"):
            self.struck(request.kind)
            return RuntimeError(BUG_WORDS)
        return None


class P7(Fault):
    id, says = "P7", "one leg fails in a way nobody expected"
    at_most = 1

    def draw(self) -> None:
        self.before = self.rng.random() < 0.5

    def client_error(self, request: Request) -> Exception | None:
        if self.before and self.left and request.kind in ("submit", "cancel"):
            self.struck(request.key, "before it was sent")
            return RuntimeError(BUG_WORDS)
        return None

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if not self.before and self.left and request.kind in ("submit", "cancel"):
            self.struck(request.key, "after it was done")
            return Reply(BUG)
        return reply


class P8(Fault):
    id, says = "P8", "the event loop is held up"

    def draw(self) -> None:
        self.armed = False
        self.for_s = self.rng.uniform(1.1, 6.0)

    def begins(self) -> None:
        self.world.loop.after(self.rng.uniform(0.0, 3.0), self._block)

    def fact(self, name: str, key: str) -> None:
        if name == "order.sent" and not self.armed:
            self.armed = True
            self.world.loop.after(0.001, self._block)

    def _block(self) -> None:
        if self.left and self.world.process is not None and not self.world.process.dead:
            self.struck(f"{self.for_s:.1f} s")
            self.world.hold_up(self.for_s)


class P10(Fault):
    id, says = "P10", "the running call is cancelled in the middle of an order"
    at_most = 1

    def draw(self) -> None:
        self.armed = False

    def departed(self, request: Request) -> None:
        if request.kind == "submit" and not self.armed:
            self.armed = True
            self.world.loop.after(self.rng.choice((0.0, 0.001, 0.03, 1.0)), self._now)

    def _now(self) -> None:
        if self.world.interrupt():
            self.struck()


class K1(Fault):
    id, says = "K1", "the wall clock is set"
    at_most = 1

    def begins(self) -> None:
        by = self.rng.choice((-3600, -5, 3, 60, 7200)) + self.rng.random()
        self.world.clock.jump_ns += round(by * NS_PER_S)
        self.struck(f"{by:+.1f} s")


class K2(Fault):
    id, says = "K2", "a venue's clock differs from ours"
    at_most = 10_000
    lasts = (16.0, 40.0)

    def begins(self) -> None:
        self.exchange.skew_ns = round(self.rng.choice((-1, 1)) * self.rng.uniform(2.5, 60.0) * NS_PER_S)

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if request.kind == "time" and exchange.name == self.venue:
            self.struck(f"{exchange.skew_ns / NS_PER_S:+.1f} s")
        return reply

    def ends(self) -> None:
        self.exchange.skew_ns = 0


class K4(Fault):
    id, says = "K4", "the day ends during a trade"
    at_most = 10_000
    lasts = (60.0, 60.0)

    def fact(self, name: str, key: str) -> None:
        if name == "trade.done" and self.world.began_yesterday(key):
            self.struck(key)


class OnDisk(Fault):
    """A disk that keeps nothing for a while, or takes its time."""

    at_most = 10_000
    lasts = (0.5, 8.0)

    def begins(self) -> None:
        self.world.disk.trouble = self.trouble

    def ends(self) -> None:
        if self.world.disk.trouble == self.trouble:
            self.world.disk.trouble = None

    def trouble(self) -> tuple[float, str]:
        raise NotImplementedError


class D1(OnDisk):
    id, says = "D1", "the disk is full"

    def trouble(self) -> tuple[float, str]:
        self.struck()
        return 0.0, "full"


class D3(OnDisk):
    id, says = "D3", "the disk fails, or is slow"

    def draw(self) -> None:
        self.slow_s = self.rng.choice((0.0, 0.0, 0.3, 1.5, 4.0))

    def trouble(self) -> tuple[float, str]:
        self.struck(f"{self.slow_s} s")
        return self.slow_s, "" if self.slow_s else "the disk failed"


class D5(OnDisk):
    id, says = "D5", "another program holds the journal"
    lasts = (0.2, 4.0)

    def trouble(self) -> tuple[float, str]:
        self.struck()
        return 0.1, "another program holds it (database is locked)"


class S4(Fault):
    id, says = "S4", "a market closes or pauses between the legs"
    at_most = 1

    def draw(self) -> None:
        self.for_good = self.rng.random() < 0.5
        self.before = self.rng.random() < 0.7

    def departed(self, request: Request) -> None:
        if self.left and request.kind == "submit" and request.venue == self.venue:
            assert request.order is not None
            book = self.exchange.books[request.order.book.market.id]
            if book.status == "open" and not book.closed:
                self.struck(book.yes.name, "closes" if self.for_good else "pauses")
                self.book = book
                if self.for_good:
                    self.world.close_market(self.exchange, book)
                else:
                    book.status = "paused"
                    self.world.say_status(self.exchange, book)
                    self.world.loop.after(self.rng.uniform(1.0, 15.0), self._opens)

    def _opens(self) -> None:
        self.book.status = "open"
        self.world.say_status(self.exchange, self.book)


class S5(Fault):
    id, says = "S5", "what takes is matched seconds later"
    at_most = 5

    def draw(self) -> None:
        self.delay_s = self.rng.uniform(0.5, 9.0)

    def delay_of_match(self, exchange: Exchange, placed: ServerOrder) -> float:
        if exchange.name == self.venue and self.left and placed.order.tif.value != "GTC":
            self.struck(placed.key, f"{self.delay_s:.1f} s")
            return self.delay_s
        return 0.0


HOME_FAULTS: tuple[type[Fault], ...] = (P1, P2, P3, P4, P6, P7, P8, P10, K1, K2, K4, D1, D2, D3, D5, S4, S5)
