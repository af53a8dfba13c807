"""Venues to hold to the promises of `ports.Venue`: one rig per kind, each with the same market behind it.

The market: bids of 10 shares at 48 cents, offers of 10 at 52. Two seconds after the start somebody sells 40 shares
down to 45 cents. A rig drives coroutines with `run`, and knows a time that is too short for any answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay, World
from arbkit.core.model import Book, Order, Side, TimeInForce
from arbkit.core.ports import Venue
from tests.builders import TapeBuilder, cents, shares


class Rig(Protocol):
    """One venue over the market of this module."""

    venue: Venue
    book: Book
    impatient_s: float  # no answer takes less
    report_s: float  # from a match to its report, at most

    def run(self, test: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
        """Run a test against this venue and check afterwards that its account adds up."""


class SimulatedRig:
    """The simulator over a hand-made tape, 50 ms each way."""

    impatient_s = 0.01
    report_s = 0.05

    def __init__(self, **scenario: Any) -> None:
        tape = TapeBuilder().snapshot(0, [(48, 10)], [(52, 10)]).trade(2_000, 45, 40).mark(60_000).tape()
        replay = Replay(tape)
        replay.forward(2)
        self.world: World = replay.world(Scenario(**scenario), "conformance")
        self.venue = self.world.venues["venue"]
        self.book = tape.markets.books[0]

    def run(self, test: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
        self.world.run(test(self))
        self.world.check()


RIGS: dict[str, Callable[[], Rig]] = {
    "simulated": SimulatedRig,
    "simulated, jittery": lambda: SimulatedRig(jitter=0.3, seed=5),
}


def buy(rig: Rig, key: str, limit: int, size: int, tif: TimeInForce = TimeInForce.FAK, **more: Any) -> Order:
    return Order(key, rig.book, Side.BUY, cents(limit), shares(size), tif, **more)
