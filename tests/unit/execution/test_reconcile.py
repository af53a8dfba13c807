"""The record against the venues: a difference is read again, told, bars entries, and is never written off."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from arbkit.backtest.mock_platform import MockPlatform
from arbkit.core.errors import AccessDenied, DataError, VenueUnavailable
from arbkit.core.model import ExecutionStrategy, Order, Outcome, Side, TimeInForce
from arbkit.core.ports import Page, VenueOrder
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size, cash
from arbkit.execution.reconcile import Difference
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.risk.pairs import PairBook
from tests.rig import NO_B, YES_A, Rig, virtual

MARKET = ExecutionStrategy.MARKET


class Meddled(MockPlatform):
    """A platform whose account answers can be tampered with, one answer after the other."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.pages: list[Page] = []
        self.said_positions: list[Mapping[int, Size]] = []
        self.off_s = 0.0
        self.denies = False
        self.says_no: Exception = AccessDenied("401: the key has expired")
        self.external: tuple[VenueOrder, ...] = ()

    async def open_orders(self, cursor: str = "") -> Page:
        if self.denies:
            raise self.says_no
        if self.pages:
            return self.pages.pop(0)
        return Page((*(await super().open_orders()).rows, *self.external))

    async def positions(self) -> Mapping[int, Size]:
        return self.said_positions.pop(0) if self.said_positions else await super().positions()

    async def time(self) -> int:
        return await super().time() + round(self.off_s * NS_PER_S)


class World:
    """The rig's two venues with an engine that keeps an account."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.alpha = Meddled("alpha", self.rig.table, "1000")
        self.rig.venues["alpha"] = self.rig.alpha = self.alpha
        self.rig.feed = type(self.rig.feed)(list(self.rig.venues.values()))
        self.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "100"), ("0.45", "200")])
        self.engine = ArbitrageExecutionEngine(
            self.rig.venues,
            self.rig.feed,
            [self.rig.basket],
            journal=self.rig.journal,
            pairs=PairBook.assumed(self.rig.table),
        )

    def run(self, steps: Callable[[World], Coroutine[Any, Any, Any]], started: bool = True) -> Any:
        async def main() -> Any:
            if started:
                await self.engine.start()
            answer = await steps(self)
            assert self.engine.checkpoint() == replayed_checkpoint(self.rig.journal.facts, self.rig.table.books)
            await self.engine.stop()
            return answer

        return virtual(main())

    async def trade(self, shares: str = "10") -> tuple[Outcome, str]:
        result = await self.engine.execute_opportunity(self.rig.opportunity(shares), MARKET)
        return result.outcome, result.reason

    async def differences(self) -> list[Difference]:
        return await self.engine.reconciler.compare("alpha")


@pytest.fixture
def world() -> World:
    return World()


def test_an_account_that_agrees_has_no_differences_before_or_after_a_trade(world: World) -> None:
    async def steps(world: World) -> None:
        assert await world.differences() == []
        assert (await world.trade())[0] is Outcome.COMPLETED
        assert await world.differences() == []
        assert world.engine.ledger.cash["alpha"] == world.alpha.cash

    world.run(steps)


def test_fault_V32_an_order_nobody_here_placed_is_external_and_blocks_its_market_until_claimed(world: World) -> None:
    async def steps(world: World) -> None:
        world.alpha.external = (VenueOrder("x1", "", YES_A, Side.BUY, Price(1), Size(1), Size(0)),)
        found = await world.differences()
        assert [(one.name, one.orders) for one in found] == [("alpha:m", ["x1"])]
        assert "EXTERNAL order x1" in found[0].why
        outcome, reason = await world.trade()
        assert outcome is Outcome.REFUSED
        assert "alpha:m" in reason
        await world.engine.claim("alpha:m", "mine")
        assert (await world.trade())[0] is Outcome.COMPLETED
        assert await world.differences() == []

    world.run(steps)


def test_fault_U4_a_manual_trade_is_seen_blocks_the_market_and_is_taken_into_the_account_when_claimed(
    world: World,
) -> None:
    async def steps(world: World) -> None:
        assert (await world.trade())[0] is Outcome.COMPLETED
        book = world.rig.table.book(YES_A).index
        world.alpha.shares[book] -= 4 * MICRO
        world.alpha.cash = Cash(world.alpha.cash + cash("1.6"))
        names = {one.name for one in await world.differences()}
        assert names == {"alpha:m", "alpha"}
        assert (await world.trade())[0] is Outcome.REFUSED
        await world.engine.claim("alpha:m")
        await world.engine.claim("alpha")
        assert await world.differences() == []
        assert world.engine.ledger.shares[YES_A] == 6 * MICRO
        assert (await world.trade())[0] is Outcome.COMPLETED

    world.run(steps)


def test_fault_V28_a_row_that_is_missing_once_is_read_again_and_never_taken_for_flat(world: World) -> None:
    async def steps(world: World) -> None:
        assert (await world.trade())[0] is Outcome.COMPLETED
        world.alpha.said_positions = [{}, {}]
        assert await world.differences() == []
        world.alpha.said_positions = [{}] * 3
        (found,) = await world.differences()
        assert "is not listed, on record are 10" in found.why
        assert world.engine.ledger.shares[YES_A] == 10 * MICRO

    world.run(steps)


def test_fault_V27_rows_that_repeat_count_once_and_a_listing_in_circles_says_nothing(world: World) -> None:
    mine = VenueOrder("x1", "", YES_A, Side.BUY, Price(1), Size(1), Size(0))

    async def steps(world: World) -> None:
        reconciler = world.engine.reconciler
        world.alpha.pages = [Page((mine,), "a"), Page((mine,), "b"), Page((mine,), "")]
        assert await reconciler._all_orders("alpha") == (mine,)
        world.alpha.pages = [Page((mine,), "a"), Page((), "a")]
        assert await reconciler._all_orders("alpha") is None

    world.run(steps)


def test_fault_K2_a_venue_whose_clock_is_off_gets_no_entries_until_it_agrees(world: World) -> None:
    async def steps(world: World) -> None:
        world.alpha.off_s = 10.0
        await world.differences()
        outcome, reason = await world.trade()
        assert outcome is Outcome.REFUSED
        assert "clock differs" in reason
        world.alpha.off_s = 1.0
        await asyncio.sleep(60)
        assert (await world.trade())[0] is Outcome.COMPLETED

    world.run(steps)


def test_fault_V11_denied_access_halts_entries_and_says_why(world: World) -> None:
    async def steps(world: World) -> None:
        world.alpha.denies = True
        assert await world.engine.reconciler.compare_all() == {"alpha": "401: the key has expired"}
        assert "denies access" in world.engine.halted
        assert (await world.trade())[0] is Outcome.REFUSED
        world.alpha.denies = False
        world.engine.resume_entries("a new key")
        assert (await world.trade())[0] is Outcome.COMPLETED

    world.run(steps)


def test_shares_held_before_the_first_trade_are_counted_from_and_to_be_claimed(world: World) -> None:
    world.alpha.shares[world.rig.table.book(YES_A).index] = 7 * MICRO

    async def steps(world: World) -> None:
        assert world.engine.ledger.shares == {YES_A: 7 * MICRO}
        assert (await world.trade())[0] is Outcome.REFUSED
        await world.engine.claim("alpha:m")
        assert (await world.trade())[0] is Outcome.COMPLETED

    world.run(steps)


def test_a_second_start_goes_on_from_the_account_of_the_first(world: World) -> None:
    async def steps(world: World) -> None:
        assert (await world.trade())[0] is Outcome.COMPLETED

    world.run(steps)
    again = ArbitrageExecutionEngine(
        world.rig.venues, world.rig.feed, [world.rig.basket], pairs=PairBook.assumed(world.rig.table)
    )

    async def second() -> None:
        await again.start(world.rig.journal.facts)
        assert again.ledger.cash == world.engine.ledger.cash
        assert await again.reconciler.compare("alpha") == []
        assert again.metrics.get_summary()["trades"] == 1
        result = await again.execute_opportunity(world.rig.opportunity("10"), MARKET)
        assert result.outcome is Outcome.COMPLETED, result.reason
        assert result.trade.id not in {fact.key for fact in world.rig.journal.facts}
        await again.stop()

    virtual(second())


def test_what_is_claimed_must_exist_and_must_not_be_in_motion(world: World) -> None:
    async def steps(world: World) -> None:
        with pytest.raises(DataError, match="gamma"):
            await world.engine.claim("gamma:m")
        order = Order("k", world.rig.table.book(YES_A), Side.BUY, Price(MICRO // 10), Size(MICRO), TimeInForce.GTC)
        world.engine.reconciler._trades = lambda: [_with(world, order)]
        with pytest.raises(VenueUnavailable, match="running at alpha"):
            await world.engine.claim("alpha:m")
        world.engine.reconciler._trades = world.engine._executor.trades

    world.run(steps)


def _with(world: World, order: Order) -> Any:
    from arbkit.execution.planning import undecided

    trade = undecided(world.rig.opportunity("1"), MARKET, "t")
    return trade.with_leg(trade.legs[0].with_order(order))


def test_beta_is_not_barred_by_what_differs_at_alpha(world: World) -> None:
    async def steps(world: World) -> None:
        world.alpha.external = (VenueOrder("x1", "", YES_A, Side.BUY, Price(1), Size(1), Size(0)),)
        await world.engine.reconciler.compare_all()
        assert list(world.engine.reconciler.open) == ["alpha:m"]

    world.run(steps)
    assert NO_B.startswith("beta")


def test_a_venue_that_is_silent_at_the_start_gets_no_entries_until_it_was_compared_with(world: World) -> None:
    async def steps(world: World) -> None:
        assert (await world.trade())[0] is Outcome.COMPLETED

    world.run(steps)
    again = ArbitrageExecutionEngine(
        world.rig.venues, world.rig.feed, [world.rig.basket], pairs=PairBook.assumed(world.rig.table)
    )
    world.alpha.denies, world.alpha.says_no = True, VenueUnavailable("no route")

    async def second() -> None:
        await again.start(world.rig.journal.facts)
        refused = await again.execute_opportunity(world.rig.opportunity("10"), MARKET)
        assert "no route" in refused.reason
        world.alpha.denies = False
        await asyncio.sleep(20)
        result = await again.execute_opportunity(world.rig.opportunity("10"), MARKET)
        assert result.outcome is Outcome.COMPLETED, result.reason
        await again.stop()

    virtual(second())


def test_a_lost_venue_that_comes_back_with_another_clock_is_not_entered_at(world: World) -> None:
    async def steps(world: World) -> None:
        world.engine.venue_lost("alpha")
        assert "connection is lost" in (await world.trade())[1]
        world.alpha.off_s = 9.0
        await world.engine.venue_back("alpha")
        assert "clock differs" in (await world.trade())[1]

    world.run(steps)


def test_an_account_is_not_opened_on_a_listing_of_orders_that_has_no_end() -> None:
    world = World()
    open_orders = world.rig.alpha.open_orders

    async def circles(cursor: str = "") -> Page:
        return Page((await open_orders("")).rows, "again")

    world.rig.alpha.open_orders = circles  # type: ignore[method-assign]

    async def main() -> None:
        with pytest.raises(VenueUnavailable, match="lists open orders without an end"):
            await world.engine.start()
        assert "account.opened" not in [fact.fact for fact in world.rig.journal.facts if fact.key == "alpha"]

    virtual(main())


@pytest.mark.parametrize(
    "book", ["", "yes", "alpha:yes", "alpha::yes", "alpha:m:yes:no", "beta:m:yes", "alpha:m:maybe"]
)
def test_a_strange_order_on_no_market_that_there_can_be_bars_its_venue_now_and_after_a_restart(
    world: World, book: str
) -> None:
    async def steps(world: World) -> None:
        world.alpha.external = (VenueOrder("x1", "", book, Side.BUY, Price(1), Size(1), Size(0)),)
        assert [one.name for one in await world.differences()] == ["alpha"]
        assert "alpha is blocked" in (await world.trade())[1]
        assert not world.engine.halted

    world.run(steps)
    again = replayed_checkpoint(world.rig.journal.facts, world.rig.table.books)
    assert [name for name, _ in again["risk"].blocked] == ["alpha"]
