"""One fault alone, over many seeds, and what can be asked about each run afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from arbkit.core.model import ExecutionStrategy
from arbkit.core.units import NS_PER_S
from arbkit.journal.memory import Fact
from tests.simulation.faults.server import ServerOrder
from tests.simulation.faults.shadow import KnownOrder, KnownTrade
from tests.simulation.faults.wire import Request
from tests.simulation.faults.world import World

Tune = Callable[[World], None]
ANY = object()


class Story:
    """A run that is over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seed = world.seed
        self.facts = world.facts()

    def of(self, name: str, key: object = ANY) -> list[Fact]:
        """Return the facts of one name, of one key if it is given."""
        return [fact for fact in self.facts if fact.fact == name and key in (ANY, fact.key)]

    def words(self, name: str, field: str, key: object = ANY) -> list[str]:
        return [str(fact.get(field)) for fact in self.of(name, key)]

    def status_at(self, key: str) -> list[tuple[int, str]]:
        return [(fact.at, str(fact.get("status"))) for fact in self.of("order.status", key)]

    def sent(self, kind: str, key: object = ANY) -> list[Request]:
        """Return the requests of a kind that left, of one order if it is given."""
        return [one for one in self.world.requests if one.kind == kind and key in (ANY, one.key)]

    @property
    def orders(self) -> list[KnownOrder]:
        return list(self.world.shadow.orders.values())

    @property
    def trades(self) -> list[KnownTrade]:
        return list(self.world.shadow.trades.values())

    def server(self, key: str) -> ServerOrder | None:
        """Return an order as its venue has it."""
        for exchange in self.world.exchanges.values():
            if key in exchange.orders:
                return exchange.orders[key]
        return None

    @property
    def struck(self) -> list[tuple[int, str]]:
        """Return when faults struck, ns, and at what: an order's key mostly."""
        return self.world.struck

    def keys_struck(self) -> list[str]:
        return [key for key in dict.fromkeys(what for _, what in self.struck) if key in self.world.shadow.orders]

    def window(self) -> tuple[int, int]:
        """Return the first and the last time of a strike, ns."""
        times = [at for at, _ in self.struck]
        return min(times), max(times)


def stories(
    fault: str,
    *,
    seeds: int = 12,
    least: int = 3,
    strategy: str = "",
    first: int = 0,
    also: tuple[str, ...] = (),
    tune: Tune | None = None,
    only: Callable[[Story], bool] | None = None,
    **config: Any,
) -> Iterator[Story]:
    """Yield runs in which a fault struck, alone or with what it takes to be felt (`also`), until enough did, or fail.

    Every run is held to every invariant. `config` changes the settings of the engine.
    """
    found = 0
    for seed in range(first, first + 30 * seeds):
        world = World(seed, only=(fault, *also), tune=_tuned(strategy, tune, config))
        told = world.run()
        assert not told.violation, told.violation
        story = Story(world)
        if world.strikes.get(fault) and (only is None or only(story)):
            found += 1
            yield story
            if found == seeds:
                return
    assert found >= least, f"{fault} struck in {found} runs"


def _tuned(strategy: str, tune: Tune | None, config: dict[str, Any]) -> Tune:
    def change(world: World) -> None:
        world.config = replace(world.config, **config)
        world.kill_share, world.operator.patient = 0.0, True
        if strategy:
            world.strategies = [ExecutionStrategy(strategy)]
        if tune is not None:
            tune(world)

    return change


def seconds(ns: int) -> float:
    return ns / NS_PER_S
