"""What must hold, whatever happens. Each is a small class; its docstring is the statement, from the fault table.

They look at facts as they are written, requests as they leave, words as they are delivered and what servers do; what
the engine knows is read off its journal by other code than its own (`shadow`), what is true is asked of the servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arbkit.core.model import Order
from tests.simulation.faults.invariant import HOOKS, Invariant, Violation, bytes_of
from tests.simulation.faults.invariants_gates import I1, I13, I15, I17, I23
from tests.simulation.faults.invariants_orders import I2, I3, I4, I5, I6, I7, I20, I21
from tests.simulation.faults.invariants_trades import I8, I9, I10, I11, I12

if TYPE_CHECKING:
    from tests.simulation.faults.world import World

__all__ = ["INVARIANTS", "Invariants", "Violation"]

INVARIANTS: tuple[type[Invariant], ...] = (
    I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13, I15, I17, I20, I21, I23,
)  # fmt: skip


class Invariants:
    """All of them, each asked only where it has something to say."""

    def __init__(self, world: World) -> None:
        self.all = {one.id: one(world) for one in INVARIANTS}
        self._hooks = {name: [getattr(one, name) for one in self.all.values() if hasattr(one, name)] for name in HOOKS}

    def tell(self, hook: str, *args: object) -> None:
        for ask in self._hooks[hook]:
            ask(*args)

    def same_bytes(self, first: Order, second: Order) -> None:
        """Hold two arrivals of one key against each other, at the server."""
        if bytes_of(first) != bytes_of(second):
            self.all["I2"].broken(f"{first.client_id} arrived as two orders")
