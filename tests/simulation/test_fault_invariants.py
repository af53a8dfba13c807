"""A net that never caught anything proves nothing: each invariant is shown a world in which it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from arbkit.core.model import Order, OrderReport, OrderStatus, Settlement
from arbkit.core.units import MICRO, Price
from tests.builders import replace
from tests.simulation.faults.disk import SimJournal
from tests.simulation.faults.market import ServerBook
from tests.simulation.faults.network import SimVenue
from tests.simulation.faults.server import Exchange, ServerOrder
from tests.simulation.faults.wire import Reply, Request
from tests.simulation.faults.world import World

# What dies in the middle of a step leaves steps behind that nobody takes.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


def caught(
    world: type[World],
    wanted: str,
    *faults: str,
    seeds: int = 60,
    tune: Callable[[World], None] | None = None,
    **config: Any,
) -> bool:
    """Tell whether some run of this world violates one of the wanted invariants, such as "I4 I6"."""

    def change(one: World) -> None:
        one.config = replace(one.config, **config)
        if tune is not None:
            tune(one)

    for seed in range(seeds):
        said = world(seed, only=faults, tune=change).run().violation
        if said and said.split(" does not hold")[0] in wanted.split():
            return True
    return False


class Cheats(Exchange):
    """Takes a millionth of a dollar that it tells nobody of."""

    def _match(self, placed: ServerOrder) -> None:
        super()._match(placed)
        self.cash -= 1


class CheatedWorld(World):
    exchange_type = Cheats


def test_a_missing_millionth_is_seen_when_it_is_taken() -> None:
    assert caught(CheatedWorld, "I1")
    said = next(filter(None, (CheatedWorld(seed, only=()).run().violation for seed in range(20))))
    assert "what it has not heard come to" in said.splitlines()[0]


class Improves(SimVenue):
    """Sends an order again a tick dearer."""

    async def submit(self, order: Order) -> OrderReport:
        again = order.client_id in self._orders
        return await super().submit(replace(order, limit=Price(order.limit + 10_000)) if again else order)


class ImprovedWorld(World):
    venue_type = Improves


def test_other_bytes_under_one_key_are_seen() -> None:
    assert caught(ImprovedWorld, "I2", "V1", "V12")


class Hasty(SimJournal):
    """Says that facts are on the disk when they are not."""

    async def durable(self, *, reducing: bool = False) -> None:
        return None


class HastyWorld(World):
    journal_type = Hasty


def test_an_order_that_leaves_before_its_intent_is_kept_is_seen() -> None:
    assert caught(HastyWorld, "I3")


class Guesses(SimVenue):
    """Takes not found for cancelled."""

    async def status(self, order: Order) -> OrderReport:
        word = await super().status(order)
        return replace(word, status=OrderStatus.CANCELLED) if word.status is OrderStatus.UNKNOWN else word


class GuessingWorld(World):
    venue_type = Guesses


def test_an_order_that_ends_without_evidence_is_seen() -> None:
    assert caught(GuessingWorld, "I4", "V1")


class Stubborn(Exchange):
    """Cancels nothing, and says that the order is live."""

    def _cancel(self, request: Request) -> Reply:
        assert request.order is not None
        known = self.orders.get(request.order.client_id)
        return super()._cancel(request) if known is None else Reply(200, self.body(known))


class StubbornWorld(World):
    exchange_type = Stubborn


def test_an_order_that_lives_on_is_seen() -> None:
    assert caught(StubbornWorld, "I5", seeds=30)


class Repeats(SimVenue):
    """Tells of the fills of an order under new names when it is asked again."""

    async def status(self, order: Order) -> OrderReport:
        word = await super().status(order)
        return replace(word, fills=tuple(replace(fill, trade_id=f"{fill.trade_id}'") for fill in word.fills))


class RepeatingWorld(World):
    venue_type = Repeats


def test_a_fill_that_is_counted_twice_is_seen() -> None:
    assert caught(RepeatingWorld, "I4 I6", "V2")


def test_a_fill_that_is_not_on_record_when_its_order_ends_is_seen() -> None:
    class Loses(Forgets):
        forgets = "fill"

    class LosingWorld(World):
        journal_type = Loses

    assert caught(LosingWorld, "I6")


class Optimist(SimVenue):
    """Takes every fill for settled."""

    async def submit(self, order: Order) -> OrderReport:
        word = await super().submit(order)
        return replace(word, fills=tuple(replace(fill, settlement=Settlement.CONFIRMED) for fill in word.fills))


class OptimisticWorld(World):
    venue_type = Optimist


def test_a_commitment_before_the_last_settlement_is_seen() -> None:
    assert caught(OptimisticWorld, "I4 I11")


def test_more_exposure_than_allowed_is_seen() -> None:
    def bolder(world: World) -> None:
        world.config = replace(world.config, max_exposure=5.0)
        world.engine_config = replace(world.config, max_exposure=250.0)

    assert caught(World, "I8", tune=bolder)


def test_an_imbalance_that_lasts_is_seen() -> None:
    def slower(world: World) -> None:
        world.config = replace(world.config, hedge_timeout_s=1.0, hedge_retry_s=0.25)
        world.engine_config = replace(world.config, hedge_timeout_s=60.0)

    assert caught(World, "I9", "V12", "V18", tune=slower)


def test_a_loss_beyond_the_bound_is_seen() -> None:
    def careless(world: World) -> None:
        world.config = replace(world.config, max_unwind_loss=0.0)
        world.engine_config = replace(world.config, max_unwind_loss=1.0)

    assert caught(World, "I10", "S4", tune=careless)


def test_more_capital_than_allowed_is_seen() -> None:
    def richer(world: World) -> None:
        world.engine_limits = world.limits
        world.limits = replace(world.limits, max_total_capital=2.0)

    assert caught(World, "I12", tune=richer)


def test_a_trade_on_a_day_that_has_lost_too_much_is_seen() -> None:
    def careless(world: World) -> None:
        world.config = replace(world.config, max_exposure=250.0, max_unwind_loss=0.3, request_rate=40.0)
        world.engine_limits = replace(
            world.limits, max_total_capital=1e4, max_venue_capital=1e4, max_open_orders=200, max_daily_loss=1e4
        )
        world.limits = replace(world.engine_limits, max_daily_loss=0.01)

    assert caught(World, "I12", "V18", seeds=120, tune=careless)


class DeafWorld(World):
    """Throws the switch, and tells no engine."""

    def kill(self, lasts: float) -> None:
        self.killed_at = self.loop.time_ns()


def test_an_entry_after_the_switch_was_thrown_is_seen() -> None:
    assert caught(DeafWorld, "I13", tune=lambda world: setattr(world, "kill_share", 1.0))


class Forgets(SimJournal):
    """Keeps no fact of one kind."""

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        if fact != self.forgets:
            super().append(at, fact, key, **data)

    forgets = "venue.paused"


class ForgetfulWorld(World):
    journal_type = Forgets


def test_memory_that_the_journal_does_not_give_is_seen() -> None:
    assert caught(ForgetfulWorld, "I15", "V13", "K2")


def test_an_order_priced_from_a_stale_book_is_seen() -> None:
    def stricter(world: World) -> None:
        world.silence_ns = 50_000_000

    assert caught(World, "I17", tune=stricter)


class Silent(SimJournal):
    """Keeps no block on record."""

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        if fact not in ("market.blocked", "engine.halted"):
            super().append(at, fact, key, **data)


class SilentWorld(World):
    journal_type = Silent


def test_a_fill_beyond_its_limit_without_a_block_is_seen() -> None:
    assert caught(SilentWorld, "I20", "V20")


class Poor(Exchange):
    """Counts half of what is settled as sellable."""

    def sellable(self, index: int) -> int:
        return super().sellable(index) // (2 * MICRO) * MICRO


class PoorWorld(World):
    exchange_type = Poor


def test_a_sale_of_more_than_is_there_is_seen() -> None:
    assert caught(PoorWorld, "I21", "S4")


def test_more_requests_than_declared_are_seen() -> None:
    def busier(world: World) -> None:
        world.engine_config = world.config
        world.config = replace(world.config, request_rate=0.5, request_burst=4)

    assert caught(World, "I23", tune=busier)


class Eager(SimVenue):
    """Sends a second order that could trade with the first."""

    async def submit(self, order: Order) -> OrderReport:
        word = await super().submit(order)
        if word.status is OrderStatus.OPEN:
            other = next(book for book in self._link.world.table.books if book.index == order.book.mirror)
            await super().submit(replace(order, book=other, limit=Price(MICRO - order.limit), post_only=False))
        return word


class EagerWorld(World):
    venue_type = Eager


def test_two_orders_of_ours_that_could_meet_are_seen() -> None:
    assert caught(EagerWorld, "I2 I23")


class BrokenCheckWorld(World):
    """Looks for an order where there is none, in a check that the engine calls through its venue."""

    def on_departure(self, request: Request) -> None:
        super().on_departure(request)
        if request.kind == "submit":
            self.shadow.orders[request.key + "?"].size += 1


def test_an_error_in_a_check_is_no_error_of_a_venue_and_ends_the_run() -> None:
    said = World(0, only=()).run()
    assert not said.violation
    broken = BrokenCheckWorld(0, only=()).run().violation
    first = broken.splitlines()[0]
    assert first.startswith("on_departure does not hold in seed 0 at ")
    assert "test_fault_invariants.py:" in first
    assert "KeyError: " in first


class BrokenPersonWorld(World):
    """Its person stumbles in a step that is the process's own: nobody waits for it."""

    def __init__(self, seed: int, **more: Any) -> None:
        super().__init__(seed, **more)
        self.operator.look = self._stumbles  # type: ignore[method-assign]

    def _stumbles(self) -> None:
        raise LookupError("nothing to see")


def test_an_error_beside_the_engine_ends_the_run() -> None:
    first = BrokenPersonWorld(0, only=()).run().violation.splitlines()[0]
    assert first.startswith("process 1 does not hold in seed 0 at ")
    assert "LookupError: nothing to see" in first


class BrokenServer(Exchange):
    """Cannot serve."""

    def handle(self, request: Request) -> Reply:
        raise ZeroDivisionError(request.kind)


class BrokenServerWorld(World):
    exchange_type = BrokenServer


def test_an_error_outside_every_process_ends_the_run_with_its_time() -> None:
    first = BrokenServerWorld(0, only=()).run().violation.splitlines()[0]
    assert first.startswith("the run does not hold in seed 0 at ")
    assert "ZeroDivisionError" in first


class Renames(SimVenue):
    """Sends every order under another key than its intent has."""

    async def submit(self, order: Order) -> OrderReport:
        return await super().submit(replace(order, client_id=f"{order.client_id}-1"))


class RenamingWorld(World):
    venue_type = Renames


def test_an_order_under_a_key_that_no_intent_has_is_seen() -> None:
    assert caught(RenamingWorld, "I2 I3")


class Watched(Exchange):
    """Looks at its public book whenever that changes."""

    def _show(self, book: ServerBook, places: Iterable[tuple[int, int]]) -> None:
        super()._show(book, places)
        bids, asks = self.public(book)
        assert max(bids, default=0) < min(asks, default=MICRO)
        ours = [o for o in self.orders.values() if o.shown and o.rests and o.order.book.market.id == book.market.id]
        more = sum((*bids.values(), *asks.values())) - sum((*book.bids.values(), *book.asks.values()))
        assert more == sum(order.left for order in ours)
        self.seen = getattr(self, "seen", 0) + bool(ours)


class WatchedWorld(World):
    exchange_type = Watched


def test_what_rests_for_us_stands_in_the_public_book_which_never_crosses() -> None:
    seen = 0
    for seed in range(40):
        world = WatchedWorld(seed, only=("V18", "V21"), tune=lambda world: setattr(world, "kill_share", 0.0))
        told = world.run()
        assert not told.violation, told.violation
        seen += sum(getattr(exchange, "seen", 0) for exchange in world.exchanges.values())
    assert seen > 40


def test_a_venue_that_never_ends_is_no_livelock() -> None:
    assert World(0, only=()).run().virtual_s < 200
