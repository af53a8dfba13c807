"""What an invariant is: a statement, and the events after which it is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arbkit.core.model import Order, Side
from arbkit.core.units import MICRO, NS_PER_S
from tests.simulation.faults.shadow import Shadow

if TYPE_CHECKING:
    from tests.simulation.faults.world import World


class Violation(BaseException):
    """An invariant does not hold. Not an Exception: no engine may swallow it."""


class Invariant:
    """One statement. Hooks that a class defines are called; `broken` raises."""

    id = ""

    def __init__(self, world: World) -> None:
        self.world = world

    def broken(self, what: str) -> None:
        self.world.violated(self.id, what)

    @property
    def now(self) -> int:
        return self.world.loop.time_ns()

    @property
    def shadow(self) -> Shadow:
        return self.world.shadow


HOOKS = (
    "fact",
    "departs",
    "delivered",
    "order_word",
    "server",
    "tick",
    "quiet",
    "ends",
    "durable",
    "boots",
    "held_up",
    "lost",
    "compare",
)


Bytes = tuple[object, ...]


DAY_NS = 86_400 * NS_PER_S


def bytes_of(order: Order) -> Bytes:
    return (order.book.name, int(order.side), order.limit, order.size, order.tif.value, order.post_only)


def on_yes(order: Order) -> tuple[bool, int]:
    """Return whether an order buys YES, as it were, and at what price."""
    yes = order.book.outcome == "yes"
    return yes == (order.side is Side.BUY), order.limit if yes else MICRO - order.limit


def difference(memory: Any, replayed: Any, path: str = "") -> str:
    """Return where two states differ first."""
    if isinstance(memory, dict) and isinstance(replayed, dict):
        for name in {**memory, **replayed}:
            if memory.get(name) != replayed.get(name):
                return difference(memory.get(name), replayed.get(name), f"{path}.{name}")
    return f"{path}: memory has {memory}, the journal gives {replayed}"
