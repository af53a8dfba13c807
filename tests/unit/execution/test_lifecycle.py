"""An engine from its start to its end: watches, the kill switch, draining, and what a stop leaves on record."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from arbkit.backtest.mock_platform import Answer, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import Cause, ConfigError, JournalError, OrderRejected, VenueUnavailable
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Order, OrderReport, OrderStatus, Outcome
from arbkit.core.units import NS_PER_S
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.store import JournalFile
from arbkit.risk.kill_switch import KillFlag
from arbkit.risk.pairs import rules_hash
from tests.rig import NO_B, YES_A, Rig, a_market, held, virtual

MARKET, LIMIT, HYBRID = ExecutionStrategy


class World:
    def __init__(self, **config: Any) -> None:
        self.rig = Rig(config=ExecutionConfig(**config))
        self.kill = KillFlag()
        self.distrusted: list[tuple[str, str]] = []
        self.rig.feed.distrust = lambda book, why: self.distrusted.append((book.name, why))  # type: ignore[method-assign]
        self.stale: list[str] = []
        self.rig.feed.mark_stale = self.stale.append  # type: ignore[method-assign]
        self.engine = self.new_engine()

    def new_engine(self) -> ArbitrageExecutionEngine:
        return ArbitrageExecutionEngine(
            self.rig.venues,
            self.rig.feed,
            [self.rig.basket],
            config=self.rig.config,
            journal=self.rig.journal,
            pairs=self.rig.pairs,
            kill=self.kill,
        )

    def run(self, steps: Callable[[World], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            await self.engine.start()
            answer = await steps(self)
            assert self.engine.checkpoint() == replayed_checkpoint(
                self.rig.journal.facts, self.rig.table.books, self.rig.config
            )
            await self.engine.stop()
            return answer

        return virtual(main())

    async def trade(self, strategy: ExecutionStrategy = MARKET, shares: str = "100") -> ExecutionResult:
        return await self.engine.execute_opportunity(self.rig.opportunity(shares), strategy)

    def facts(self, fact: str) -> list[str]:
        return self.rig.facts(fact)


def test_fault_P8_a_loop_that_was_held_up_leaves_no_book_trusted() -> None:
    async def steps(world: World) -> None:
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(1)
        loop._now += 3 * NS_PER_S  # as if somebody had computed for three seconds
        await asyncio.sleep(1)
        assert len(world.stale) == 1
        assert "held up for" in world.stale[0]
        assert world.facts("engine.alert") == ["engine"]

    World().run(steps)


def test_fault_K1_setting_the_wall_clock_moves_no_deadline_and_is_told() -> None:
    world = World()

    class Jumping:
        wall = 0

        def now(self) -> int:
            return int(asyncio.get_running_loop().time_ns())  # type: ignore[attr-defined]

        def jump(self) -> int:
            return self.wall

    clock = Jumping()
    world.engine = ArbitrageExecutionEngine(
        world.rig.venues,
        world.rig.feed,
        [world.rig.basket],
        journal=world.rig.journal,
        pairs=world.rig.pairs,
        clock=clock,
    )

    async def steps(world: World) -> None:
        await asyncio.sleep(1)
        clock.wall = 3_600 * NS_PER_S
        await asyncio.sleep(2)
        assert world.facts("engine.alert") == ["engine"]
        result = await world.trade()
        assert result.outcome is Outcome.COMPLETED

    world.run(steps)


def test_fault_U5_a_kill_in_the_middle_of_a_hedge_lets_the_hedge_finish_and_enters_nothing() -> None:
    async def steps(world: World) -> None:
        world.rig.beta.script(NO_B, Answer(reject="closed"), Answer(delay_s=2.0))
        trading = asyncio.ensure_future(world.trade())
        await asyncio.sleep(1)
        world.engine.kill("a person")
        world.engine.kill("again")
        result = await trading
        assert (result.outcome, held(result)) == (Outcome.UNWOUND, [100, 100])
        assert "a person" in (await world.engine._execute(result.trade.opportunity, MARKET)).reason
        assert world.facts("kill.engaged") == ["engine"]

    World().run(steps)


@pytest.mark.parametrize("strategy", [LIMIT, HYBRID])
def test_a_kill_from_elsewhere_cancels_what_rests_within_a_second(strategy: ExecutionStrategy) -> None:
    async def steps(world: World) -> None:
        trading = asyncio.ensure_future(world.trade(strategy))
        await asyncio.sleep(1)
        world.kill.engage("another process", 0)
        at = world.engine._clock.now()
        result = await trading
        assert result.outcome is Outcome.MISSED
        assert result.finished_at - at <= NS_PER_S
        assert not world.rig.alpha.cash - world.rig.alpha.opening

    World(hybrid_patience_s=30.0, limit_timeout_s=30.0).run(steps)


def test_a_kill_survives_a_restart_and_so_does_what_halted_entries() -> None:
    world = World()

    async def first(world: World) -> None:
        world.engine.kill("a person")
        world.engine._record.halt("a bug")

    world.run(first)
    world.engine = again = world.new_engine()

    async def second() -> None:
        await again.start(world.rig.journal.facts)
        assert "a bug" in again.halted
        again.resume_entries("mended")
        assert "a person" in again.halted
        world.kill.release("mended", 0)
        await asyncio.sleep(1)
        assert again.halted == ""
        assert (await again.execute_opportunity(world.rig.opportunity(), MARKET)).outcome is Outcome.COMPLETED
        await again.stop()

    virtual(second())
    assert world.facts("kill.released") == ["engine"]


def test_fault_P4_draining_enters_nothing_cancels_what_rests_and_says_what_is_open() -> None:
    async def steps(world: World) -> None:
        trading = asyncio.ensure_future(world.trade(LIMIT))
        await asyncio.sleep(1)
        assert await world.engine.drain() == ()
        assert (await trading).outcome is Outcome.MISSED
        assert (await world.engine._execute(world.rig.opportunity(), MARKET)).reason == "the engine is closing"

    World(limit_timeout_s=30.0).run(steps)


def test_fault_P4_draining_parks_what_it_cannot_finish_and_names_it() -> None:
    async def steps(world: World) -> None:
        world.rig.beta.script(NO_B, *[Answer(reject="closed")] * 300)
        world.rig.alpha.set_book(YES_A, asks=[("0.40", "100")])
        trading = asyncio.ensure_future(world.trade())
        await asyncio.sleep(1)
        left = await world.engine.drain(20.0)
        assert left == ((await trading).trade.id + ": 100 alpha:m:yes outside whole baskets",)

    World().run(steps)


def test_fault_P4_a_trade_in_its_checks_does_not_start_after_the_drain_began() -> None:
    async def steps(world: World) -> None:
        balance = world.rig.alpha.balance

        async def slow() -> Any:
            await asyncio.sleep(1)
            return await balance()

        world.rig.alpha.balance = slow  # type: ignore[method-assign]
        trading = asyncio.ensure_future(world.trade())
        await asyncio.sleep(0.5)
        assert await world.engine.drain() == ()
        assert (await trading).outcome is Outcome.REFUSED
        assert not world.rig.alpha.orders

    World().run(steps)


def refusing(world: World, no: Exception, times: int) -> None:
    """Let beta refuse so many orders with an error."""
    submit, left = world.rig.beta.submit, [times]

    async def answer(order: Order) -> OrderReport:
        left[0] -= 1
        if left[0] >= 0:
            raise no
        return await submit(order)

    world.rig.beta.submit = answer  # type: ignore[method-assign]


def test_fault_V12_the_same_hedge_goes_out_again_under_the_same_key_after_a_restart() -> None:
    async def steps(world: World) -> None:
        world.rig.alpha.set_book(YES_A, asks=[("0.40", "100")])
        refusing(world, OrderRejected("closed"), 1)
        closed = world.rig.beta.submit
        calls = [0]

        async def restarting(order: Order) -> OrderReport:
            calls[0] += 1
            if 1 < calls[0] <= 4:
                raise VenueUnavailable("425: restarting", 1.0)
            return await closed(order)

        world.rig.beta.submit = restarting  # type: ignore[method-assign]
        result = await world.trade()
        assert (result.outcome, held(result)) == (Outcome.UNWOUND, [100, 100])
        keys = [key for key in world.facts("order.sent") if ".complete." in key]
        assert len(keys) == 4
        assert len(set(keys)) == 1

    World().run(steps)


def test_fault_V13_takers_refused_bars_entries_for_the_window_and_the_other_leg_is_undone() -> None:
    async def steps(world: World) -> None:
        refusing(world, OrderRejected("post-only", Cause.TAKERS_REFUSED, 90.0), 300)
        result = await world.trade()
        assert (result.outcome, result.undo) == (Outcome.UNWOUND, "exit")
        world.rig.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "100")])
        refused = await world.trade()
        assert "beta is paused" in refused.reason
        await asyncio.sleep(95)
        refusing(world, OrderRejected("post-only"), 0)
        assert "paused" not in (await world.trade()).reason

    World().run(steps)


def test_fault_V21_terms_that_are_not_as_believed_are_read_anew_and_nothing_is_sent_again_blindly() -> None:
    async def steps(world: World) -> None:
        refusing(world, OrderRejected("tick is 0.001", Cause.TERMS), 1)
        result = await world.trade()
        assert world.distrusted[0] == (NO_B, "tick is 0.001")
        assert result.outcome is Outcome.UNWOUND
        keys = world.facts("order.sent")
        assert len(keys) == len(set(keys))

    World().run(steps)


def test_fault_V9_too_many_requests_stop_entries_first() -> None:
    async def steps(world: World) -> None:
        refusing(world, VenueUnavailable("429", 3.0), 1)
        result = await world.trade()
        assert "429" in result.reason
        assert result.outcome is Outcome.UNWOUND
        world.rig.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "300")])
        world.rig.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.55", "300")])
        again = await world.trade()
        assert "request budget of beta" in again.reason
        await asyncio.sleep(4)
        assert (await world.trade()).outcome is not Outcome.REFUSED

    World().run(steps)


def test_fault_D3_a_disk_that_does_not_flush_keeps_entries_in_and_lets_what_reduces_out() -> None:
    world = World()
    works = [True]

    async def durable(*, reducing: bool = False) -> None:
        if not works[0] and not reducing:
            raise JournalError("fsync: input/output error")

    world.rig.journal.durable = durable  # type: ignore[method-assign]

    async def steps(world: World) -> None:
        works[0] = False
        result = await world.trade()
        assert result.outcome is Outcome.MISSED
        assert "fsync" in result.reason
        assert not world.rig.alpha.orders
        works[0] = True
        assert (await world.trade()).outcome is Outcome.COMPLETED

    world.run(steps)


def test_fault_W12_what_rests_is_unknown_when_its_connection_is_lost_until_it_was_asked_about() -> None:
    async def steps(world: World) -> None:
        trading = asyncio.ensure_future(world.trade(LIMIT))
        await asyncio.sleep(0.5)
        world.engine.venue_lost("alpha")
        statuses = [str(f.get("status")) for f in world.rig.journal.facts if f.fact == "order.status"]
        assert statuses == ["open", "open", "unknown"]
        assert "alpha is paused" in (await world.engine._execute(world.rig.opportunity(), MARKET)).reason
        await world.engine.venue_back("alpha")
        assert (await trading).outcome is Outcome.MISSED
        assert (await world.trade()).outcome is Outcome.COMPLETED

    World(limit_timeout_s=2.0).run(steps)


def test_fault_W7_a_fill_that_the_stream_lost_is_found_by_asking() -> None:
    async def steps(world: World) -> None:
        async def mute(order: Order) -> Any:
            await asyncio.Event().wait()
            yield OrderReport(order.client_id, OrderStatus.OPEN)

        world.rig.alpha.reports = mute  # type: ignore[method-assign]
        world.rig.alpha.script(YES_A, Answer(rests_fill=((0.2, 100),)))
        world.rig.beta.script(NO_B, Answer(rests_fill=((1.0, 100),)))
        result = await world.trade(LIMIT)
        assert result.outcome is Outcome.COMPLETED
        assert result.finished_at - result.started_at < 25 * NS_PER_S

    World(limit_timeout_s=60.0, hedge_timeout_s=60.0, reconcile_s=2.0).run(steps)


def test_fault_W8_a_fill_that_is_told_again_and_in_another_order_is_counted_once() -> None:
    async def steps(world: World) -> None:
        result = await world.trade()
        order = result.trade.legs[0].orders[0]
        status = await world.rig.alpha.status(order)
        assert order.told(status).fills == order.fills
        assert world.facts("fill") == [leg.orders[0].client_id for leg in result.trade.legs]

    World().run(steps)


def test_fault_V19_what_is_too_small_to_undo_is_told_and_not_tried_for_ever() -> None:
    world = World()
    small = (a_market("alpha", min_size="5", lot="1"), a_market("beta", min_size="5", lot="1"))
    world.rig = Rig(markets=small)
    world.engine = world.new_engine()

    async def steps(world: World) -> None:
        world.rig.beta.script(NO_B, Answer(fill=3), *[Answer(reject="closed")] * 300)
        world.rig.alpha.script(YES_A, Answer(fill=0), *[Answer(reject="closed")] * 300)
        result = await world.trade()
        assert result.outcome is Outcome.ESCALATED
        assert len(world.facts("order.intent")) < 60
        assert "3 beta:m:no" in result.notes[0]
        assert any("3 beta:m:no" in line for line in world.engine.open())

    world.run(steps)


def test_a_venue_that_one_process_lost_is_entered_at_by_the_next_once_it_was_compared_with() -> None:
    world = World()

    async def first(world: World) -> None:
        world.engine.venue_lost("alpha")
        assert "alpha is paused until it is heard" in (await world.trade()).reason

    world.run(first)
    world.engine = world.new_engine()
    facts = world.rig.journal.facts

    async def second() -> None:
        await world.engine.start(facts)
        assert world.engine.checkpoint() == replayed_checkpoint(
            world.rig.journal.facts, world.rig.table.books, world.rig.config
        )
        assert (await world.trade()).outcome is Outcome.COMPLETED
        await world.engine.stop()

    virtual(second())


def test_a_comparison_that_began_before_a_connection_was_lost_does_not_let_entries_back() -> None:
    async def steps(world: World) -> None:
        answers = [asyncio.Event(), asyncio.Event()]
        asked = iter(answers)
        positions = world.rig.alpha.positions

        async def slowly() -> Any:
            await next(asked).wait()
            return await positions()

        world.rig.alpha.positions = slowly  # type: ignore[method-assign]
        await asyncio.sleep(2.1)  # a comparison by the timer is in the middle of its reading
        world.engine.venue_lost("alpha")
        back = asyncio.ensure_future(world.engine.venue_back("alpha"))
        await asyncio.sleep(0)
        answers[0].set()
        await asyncio.sleep(0.1)
        assert "not compared with yet" in (await world.trade()).reason
        answers[1].set()
        await back
        assert (await world.trade()).outcome is Outcome.COMPLETED

    World(reconcile_s=2.0).run(steps)


def test_fault_P8_a_loop_that_is_held_up_while_the_engine_starts_makes_books_stale() -> None:
    world = World(max_loop_lag_s=1.0)
    balance = world.rig.alpha.balance

    async def held_up() -> Any:
        loop: Any = asyncio.get_running_loop()
        loop._now += 3 * NS_PER_S  # as if somebody had computed for three seconds
        return await balance()

    world.rig.alpha.balance = held_up  # type: ignore[method-assign]

    async def steps(world: World) -> None:
        world.rig.alpha.balance = balance  # type: ignore[method-assign]
        await asyncio.sleep(1.0)
        assert world.stale

    world.run(steps)


def test_a_start_that_takes_long_because_venues_do_is_no_hold_up() -> None:
    world = World(max_loop_lag_s=1.0)
    balance = world.rig.alpha.balance

    async def slow() -> Any:
        await asyncio.sleep(3.0)
        return await balance()

    world.rig.alpha.balance = slow  # type: ignore[method-assign]

    async def steps(world: World) -> None:
        await asyncio.sleep(1.0)
        assert not world.stale

    world.run(steps)


def test_nothing_is_entered_before_the_start_has_compared() -> None:
    world = World()
    positions = world.rig.alpha.positions

    async def slowly() -> Any:
        await asyncio.sleep(2)
        return await positions()

    world.rig.alpha.positions = slowly  # type: ignore[method-assign]
    journal = world.rig.journal
    journal.path = "kept"  # type: ignore[attr-defined]
    world.engine = world.new_engine()

    async def main() -> None:
        starting = asyncio.ensure_future(world.engine.start())
        while not starting.done():
            assert "start it first" in (await world.engine._execute(world.rig.opportunity(), MARKET)).reason
            await asyncio.sleep(0.3)
        assert (await world.trade()).outcome is Outcome.COMPLETED
        await world.engine.stop()

    virtual(main())


def test_what_was_interrupted_is_evened_before_a_venue_that_is_new_and_silent_is_asked() -> None:
    world = World()
    world.rig = Rig(markets=(a_market("alpha"), a_market("beta"), a_market("gamma", "other")))
    rig = world.rig
    rig.beta.script(NO_B, Answer(delay_s=400))
    world.engine = world.new_engine()

    async def first() -> None:
        await world.engine.start()
        trading = asyncio.ensure_future(world.trade())
        await asyncio.sleep(0.3)
        await world.engine.stop()
        trading.cancel()

    async def second() -> None:
        gamma = MockPlatform("gamma", rig.table, "1000")

        async def down(*_: object) -> Any:
            raise VenueUnavailable("connection refused")

        gamma.balance = gamma.positions = gamma.open_orders = gamma.time = down  # type: ignore[method-assign]
        engine = ArbitrageExecutionEngine(
            {**rig.venues, "gamma": gamma},
            rig.feed,
            [rig.basket],
            config=rig.config,
            journal=rig.journal,
            pairs=rig.pairs,
            kill=world.kill,
        )
        with pytest.raises(VenueUnavailable):
            await engine.start()
        assert rig.facts("trade.done")
        assert not engine._supervisor.names()  # a start that failed leaves nothing running

    virtual(first())
    virtual(second())


def test_a_venue_at_which_trades_are_open_cannot_be_left_out() -> None:
    world = World()
    rig = world.rig
    rig.beta.script(NO_B, Answer(delay_s=400))

    async def first() -> None:
        await world.engine.start()
        trading = asyncio.ensure_future(world.trade())
        await asyncio.sleep(0.3)
        await world.engine.stop()
        trading.cancel()

    async def second() -> None:
        engine = ArbitrageExecutionEngine({"alpha": rig.alpha}, rig.feed, [], journal=rig.journal)
        with pytest.raises(ConfigError, match="trades are open at beta"):
            await engine.start()

    virtual(first())
    virtual(second())


def test_fault_G5_a_journal_of_another_account_or_of_paper_is_refused() -> None:
    world = World()
    journal = world.rig.journal
    journal.account, journal.environment = "mine", "paper"  # type: ignore[attr-defined]

    async def main() -> None:
        for wrong in ({"account": "yours"}, {"environment": "live"}):
            with pytest.raises(ConfigError, match="the journal is of"):
                await world.new_engine().start(**wrong)  # type: ignore[arg-type]
        world.rig.alpha.live = True  # type: ignore[misc]
        live = ArbitrageExecutionEngine(world.rig.venues, world.rig.feed, [], journal=journal, paper_mode=False)
        with pytest.raises(ConfigError, match="the record is one of paper"):
            await live.start()
        assert not journal.facts

    virtual(main())


def test_fault_U1_a_journal_is_lent_to_one_engine_at_a_time() -> None:
    world = World()
    lent: list[str] = []

    def lend() -> None:
        if lent:
            raise ConfigError("lent")
        lent.append("")

    world.rig.journal.lend, world.rig.journal.give_back = lend, lent.clear  # type: ignore[attr-defined]

    async def main() -> None:
        first, second = world.new_engine(), world.new_engine()
        await first.start()
        with pytest.raises(ConfigError, match="lent"):
            await second.start()
        await second.stop()
        assert lent
        await first.stop()
        await second.start()
        await second.stop()

    virtual(main())


def test_a_connection_of_a_venue_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no venue is called 'alhpa'"):
        World().engine.venue_lost("alhpa")


def test_a_kill_on_record_that_nobody_released_is_thrown_again_by_the_next_process() -> None:
    world = World()

    async def first(world: World) -> None:
        world.engine.kill("looks wrong")

    world.run(first)
    world.kill = KillFlag()  # as when its file was left behind
    world.engine = world.new_engine()

    async def second(world: World) -> None:
        assert world.kill.engaged() == "looks wrong"
        assert (await world.trade()).outcome is Outcome.REFUSED
        world.kill.release("looked at", world.rig.journal.facts[-1].at + 1)
        assert (await world.trade()).outcome is Outcome.COMPLETED

    world.run(second)
    world.engine = world.new_engine()

    async def third(world: World) -> None:
        assert not world.kill.engaged()

    world.run(third)


def test_trades_of_a_journal_that_is_begun_anew_have_keys_of_their_own(tmp_path: Path) -> None:
    async def one(name: str) -> str:
        rig = Rig()
        with JournalFile(tmp_path / name, account=name, locks=tmp_path) as journal:
            engine = ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], journal=journal, pairs=rig.pairs)
            await engine.start()
            result = await engine.execute_opportunity(rig.opportunity(), MARKET)
            await engine.stop()
            return result.trade.id

    assert asyncio.run(one("a")) != asyncio.run(one("b"))


def test_fault_G6_a_pair_whose_rules_changed_since_its_approval_is_refused_from_then_on() -> None:
    rig = Rig()
    rules = {f"{venue}:m": rules_hash("") for venue in ("alpha", "beta")}
    engine = ArbitrageExecutionEngine(
        rig.venues, rig.feed, [rig.basket], journal=rig.journal, pairs=rig.pairs, rules=rules
    )

    async def main() -> None:
        await engine.start()
        assert (await engine.execute_opportunity(rig.opportunity("10"), MARKET)).outcome is Outcome.COMPLETED
        rules["beta:m"] = rules_hash("overtime does not count")
        refused = await engine.execute_opportunity(rig.opportunity("10"), MARKET)
        assert "the rules of beta:m have changed" in refused.reason
        await engine.stop()

    virtual(main())
