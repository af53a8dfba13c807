"""A match is not money: fills stay provisional until their venue has settled them, and can be taken back."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from arbkit.backtest.mock_platform import Answer, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import InvariantViolation
from arbkit.core.model import (
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Order,
    OrderReport,
    OrderStatus,
    Outcome,
    Settlement,
    Side,
    TimeInForce,
)
from arbkit.core.units import MICRO, Cash, Price, Size, cost
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.risk.pairs import PairBook
from tests.builders import replace
from tests.rig import NO_B, YES_A, Rig, held, virtual

PROVISIONAL, CONFIRMED, VOIDED = Settlement


class Settling(MockPlatform):
    """Settles each fill some seconds after its match, as `words` say; a voided one gives money and shares back."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.takes_s = 3.0
        self.words: list[Settlement] = []  # of the fills in their order; confirmed when there are no more
        self._word: dict[str, Settlement] = {}

    def _fill(self, known: Any, at: int, shares: int, *, maker: bool, fee: int | None = None) -> None:
        super()._fill(known, at, shares, maker=maker, fee=fee)
        fill = known.fills[-1]
        word = self.words.pop(0) if self.words else CONFIRMED
        self._word[fill.trade_id] = PROVISIONAL
        asyncio.get_running_loop().call_later(self.takes_s, self._settle, known.order, fill, word)

    def _settle(self, order: Order, fill: Fill, word: Settlement) -> None:
        self._word[fill.trade_id] = word
        if word is VOIDED:
            self.shares[order.book.index] -= order.side * fill.size
            self.cash = Cash(self.cash + order.side * cost(fill.price, fill.size) + fill.fee)

    def _report(self, known: Any) -> OrderReport:
        report = super()._report(known)
        fills = tuple(replace(fill, settlement=self._word[fill.trade_id]) for fill in report.fills)
        return replace(report, fills=fills)

    async def positions(self) -> Any:
        return {book: Size(shares) for book, shares in self.shares.items() if shares}


class World:
    def __init__(self, **config: Any) -> None:
        self.rig = Rig(config=ExecutionConfig(**config))
        self.alpha = Settling("alpha", self.rig.table, "1000")
        self.rig.venues["alpha"] = self.rig.alpha = self.alpha
        self.rig.feed = type(self.rig.feed)(list(self.rig.venues.values()))
        self.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "100"), ("0.42", "200")])
        self.engine = ArbitrageExecutionEngine(
            self.rig.venues,
            self.rig.feed,
            [self.rig.basket],
            config=self.rig.config,
            journal=self.rig.journal,
            pairs=PairBook.assumed(self.rig.table),
        )
        self.states: list[str] = []

    def run(self, before: Callable[[], None] = lambda: None) -> ExecutionResult:
        async def main() -> ExecutionResult:
            await self.engine.start()
            before()
            result = await self.engine.execute_opportunity(self.rig.opportunity("100"), ExecutionStrategy.MARKET)
            assert self.engine.checkpoint() == replayed_checkpoint(
                self.rig.journal.facts, self.rig.table.books, self.rig.config
            )
            await self.engine.stop()
            return result

        result = virtual(main())
        self.states = [str(f.get("state")) for f in self.rig.journal.facts if f.fact == "trade.state"]
        return result


def test_a_trade_is_provisional_until_every_fill_is_settled_and_only_then_committed() -> None:
    world = World()
    result = world.run()
    assert result.outcome is Outcome.COMPLETED
    assert world.states == ["running", "provisional", "committed"]
    assert result.finished_at - result.started_at >= 3_000_000_000


def test_fault_V24_a_fill_that_fails_to_settle_reopens_the_trade_and_the_other_leg_is_not_left_alone() -> None:
    world = World()
    world.alpha.words = [VOIDED]
    result = world.run()
    assert result.outcome is Outcome.UNWOUND
    assert held(result)[0] == held(result)[1]
    assert world.states[:2] == ["running", "provisional"]
    assert next(fill.settlement for fill in result.trade.legs[0].orders[0].fills) is VOIDED
    assert world.engine.ledger.cash["alpha"] == world.alpha.cash
    voided_at = next(
        f.at for f in world.rig.journal.facts if f.fact == "fill.settled" and f.get("settlement") == "voided"
    )
    assert result.finished_at - voided_at <= world.rig.config.hedge_timeout_s * 1e9 + 4e9  # hedged, then settled


def test_fault_V24_a_trade_of_which_both_legs_fail_is_missed_and_owes_nothing() -> None:
    world = World()
    world.alpha.words = [VOIDED]
    world.rig.beta.script(NO_B, Answer(reject="closed"), *[Answer(reject="closed")] * 300)
    world.alpha.takes_s = 0.1
    result = world.run()
    assert result.outcome is Outcome.MISSED
    assert (result.cash, held(result)) == (0, [0, 0])


def test_fault_V25_only_the_fills_that_failed_are_taken_back() -> None:
    world = World(max_slippage=0.05, protect_edge=False)
    world.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "60"), ("0.41", "40"), ("0.43", "200")])
    world.alpha.words = [CONFIRMED, VOIDED]
    result = world.run()
    first = result.trade.legs[0].orders[0]
    assert [fill.settlement for fill in first.fills] == [CONFIRMED, VOIDED]
    assert first.filled == 60 * MICRO
    assert first.status is OrderStatus.CANCELLED
    assert result.outcome is Outcome.UNWOUND
    assert held(result)[0] == held(result)[1] > 0


def test_fault_V26_what_is_not_settled_for_long_stays_provisional_is_not_sold_and_is_told() -> None:
    world = World(resolve_alarm_s=120)
    world.alpha.takes_s = 300
    result = world.run()
    assert result.outcome is Outcome.COMPLETED
    alerts = [f for f in world.rig.journal.facts if f.fact == "engine.alert"]
    assert len(alerts) == 1
    assert "is not settled yet" in str(alerts[0].get("what"))
    assert alerts[0].at - result.started_at >= 120_000_000_000


def test_fault_V23_shares_are_sold_when_they_are_settled_and_not_before() -> None:
    world = World()
    world.alpha.takes_s = 2.0
    refuse = [Answer(reject="closed")] * 300
    result = world.run(lambda: world.rig.beta.script(NO_B, *refuse))
    assert result.outcome is Outcome.UNWOUND
    assert result.undo == "exit"
    sells = [f for f in world.rig.journal.facts if f.fact == "order.intent" and f.get("side") == -1]
    settled = next(f.at for f in world.rig.journal.facts if f.fact == "fill.settled")
    assert sells[0].at >= settled


def test_fault_V23_shares_that_are_not_settled_in_time_leave_the_trade_to_a_person() -> None:
    world = World()
    world.alpha.takes_s = 60.0
    refuse = [Answer(reject="closed")] * 300
    result = world.run(lambda: world.rig.beta.script(NO_B, *refuse))
    assert result.outcome is Outcome.ESCALATED
    assert not [f for f in world.rig.journal.facts if f.fact == "order.intent" and f.get("side") == -1]


def an_order(*fills: Fill) -> Order:
    rig = Rig()
    order = Order("k", rig.table.book(YES_A), Side.BUY, Price(500_000), Size(10), TimeInForce.FAK)
    order = order.moved(OrderStatus.SUBMITTED)
    for fill in fills:
        order = order.with_fill(fill)
    return order


def a_fill(name: str = "f", size: int = 10, word: Settlement = PROVISIONAL) -> Fill:
    return Fill(name, Price(400_000), Size(size), Cash(1), 0, 0, False, settlement=word)


def test_a_later_word_settles_a_fill_and_an_older_one_changes_nothing() -> None:
    order = an_order(a_fill(), a_fill(word=CONFIRMED))
    assert order.confirmed == 10
    assert order.with_fill(a_fill()) is order


def test_a_voided_fill_counts_nowhere_and_ends_a_filled_order() -> None:
    order = an_order(a_fill(), a_fill(word=VOIDED))
    assert (order.filled, order.remaining, order.status) == (0, 10, OrderStatus.CANCELLED)
    assert "voided" in order.reason
    assert order.told(OrderReport("k", OrderStatus.FILLED, order.fills)) == order


def test_a_fill_that_had_failed_before_it_was_heard_of_is_remembered_and_not_counted() -> None:
    order = an_order(a_fill(word=VOIDED))
    assert (order.filled, len(order.fills)) == (0, 1)


def test_a_word_that_contradicts_a_final_one_is_a_broken_word() -> None:
    with pytest.raises(InvariantViolation, match="confirmed, then not"):
        an_order(a_fill(word=CONFIRMED)).with_fill(a_fill(word=VOIDED))
    with pytest.raises(InvariantViolation, match="now is"):
        an_order(a_fill(size=4)).with_fill(a_fill(size=5))


def test_a_filled_order_is_heard_as_filled_although_a_fill_of_it_has_failed() -> None:
    order = an_order(a_fill("a", 6, VOIDED), a_fill("b", 4, CONFIRMED))
    assert order.told(OrderReport("k", OrderStatus.FILLED, order.fills)).status is OrderStatus.CANCELLED
