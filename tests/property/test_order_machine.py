"""One order between a venue that says true things in any order, repeats itself and takes matches back, and our record.

The venue's truth grows by matches, settlements, voids and an end. Every word it ever said may arrive late, twice or
never. Whatever arrives: the record folds to what is in memory, money and shares are the sum of what stands, and once
the newest word has arrived the order is what the venue says.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arbkit.core.model import (
    NEXT,
    TERMINAL,
    ExecutionStrategy,
    Fill,
    Order,
    OrderReport,
    OrderStatus,
    Settlement,
    Side,
)
from arbkit.core.units import MICRO, Cash, Price, Size, cost
from arbkit.execution.work import Work
from arbkit.journal.fold import fold, named_books, snapshot
from arbkit.journal.memory import Fact
from tests.builders import replace
from tests.rig import YES_A, Rig, virtual

S = OrderStatus
PROVISIONAL, CONFIRMED, VOIDED = Settlement
FULL = 10 * MICRO


class OneOrder(RuleBasedStateMachine):
    """A buy of ten shares that rests at alpha."""

    @initialize()
    def begin(self) -> None:
        self.rig = Rig()
        self.desk: Any = self.rig.executor
        self.work = virtual(self.sent())
        self.fills: list[Fill] = []
        self.status = S.OPEN
        self.said: list[OrderReport] = []
        self.heard_newest = False
        self.say()

    async def sent(self) -> Work:
        trade = await self.rig.trade(ExecutionStrategy.LIMIT, "10")
        assert not await self.desk._preflight_checks(trade)
        work: Work = self.desk._running[trade.id]
        order = work.new_order(trade.legs[0], Price(390_000), Size(FULL), rests=True)
        await self.desk._submit_order(work, trade.legs[0], order)
        self.seen = {work.leg(0).orders[0].status}
        return work

    @property
    def order(self) -> Order:
        return self.work.leg(0).orders[0]

    def say(self) -> None:
        self.said.append(OrderReport(self.order.client_id, self.status, tuple(self.fills)))
        self.heard_newest = False

    # -- the venue -----------------------------------------------------------------------------------------------

    @property
    def matched(self) -> int:
        return sum(fill.size for fill in self.fills)

    @precondition(lambda self: self.status in (S.OPEN, S.PARTIAL))
    @rule(shares=st.integers(1, 10), price=st.integers(30, 39), word=st.sampled_from([PROVISIONAL, CONFIRMED]))
    def it_matches(self, shares: int, price: int, word: Settlement) -> None:
        part = min(shares * MICRO, FULL - self.matched)
        name = f"f{len(self.fills)}"
        at = Price(price * 10_000)
        self.fills.append(Fill(name, at, Size(part), Cash(price), 0, 0, True, settlement=word))
        self.status = S.FILLED if self.matched == FULL else S.PARTIAL
        self.say()

    @precondition(lambda self: any(fill.settlement is PROVISIONAL for fill in self.fills))
    @rule(data=st.data(), word=st.sampled_from([CONFIRMED, VOIDED]))
    def it_settles(self, data: st.DataObject, word: Settlement) -> None:
        loose = [n for n, fill in enumerate(self.fills) if fill.settlement is PROVISIONAL]
        place = data.draw(st.sampled_from(loose))
        self.fills[place] = replace(self.fills[place], settlement=word)
        self.say()

    @precondition(lambda self: self.status in (S.OPEN, S.PARTIAL))
    @rule(how=st.sampled_from([S.CANCELLED, S.EXPIRED]))
    def it_ends_the_order(self, how: OrderStatus) -> None:
        self.status = how
        self.say()

    # -- what arrives --------------------------------------------------------------------------------------------

    def tell(self, report: OrderReport) -> None:
        async def heard() -> None:
            self.desk._told(self.work, self.work.leg(0), report)

        before = self.order
        virtual(heard())
        moved = before.status is not self.order.status
        assert not moved or reachable(before.status, self.order.status)

    @rule(data=st.data())
    def some_word_arrives(self, data: st.DataObject) -> None:
        self.tell(data.draw(st.sampled_from(self.said)))

    @rule()
    def the_newest_word_arrives(self) -> None:
        self.tell(self.said[-1])
        self.heard_newest = True

    @rule()
    def the_order_is_not_found(self) -> None:
        self.tell(OrderReport(self.order.client_id, S.UNKNOWN, reason="not found"))

    # -- what holds ----------------------------------------------------------------------------------------------

    @invariant()
    def every_fill_counts_once_and_none_is_invented(self) -> None:
        known = {fill.trade_id: fill for fill in self.fills}
        names = [fill.trade_id for fill in self.order.fills]
        assert len(names) == len(set(names))
        assert all((known[f.trade_id].price, known[f.trade_id].size) == (f.price, f.size) for f in self.order.fills)
        assert 0 <= self.order.filled <= self.order.size

    @invariant()
    def the_account_is_the_sum_of_what_stands(self) -> None:
        standing = self.order.standing
        spent = sum(cost(fill.price, fill.size) + fill.fee for fill in standing)
        assert self.desk._ledger.cash.get("alpha", 0) == -spent
        assert self.desk._ledger.shares.get(YES_A, 0) == Side.BUY * self.order.filled

    @invariant()
    def the_record_folds_to_what_is_in_memory(self) -> None:
        facts = self.rig.journal.facts
        state = fold(facts, named_books(self.rig.table.books))
        memory = snapshot([self.work.trade], self.desk._ledger, "")
        assert state.snapshot() == memory
        half = fold(facts[: len(facts) // 2], named_books(self.rig.table.books))
        for fact in facts[len(facts) // 2 :]:
            half.apply(Fact(*fact))
        assert half.snapshot() == memory

    @invariant()
    def the_newest_word_is_believed(self) -> None:
        if not self.heard_newest:
            return
        order = self.order
        assert [(f.trade_id, f.settlement) for f in sorted(order.fills, key=lambda f: f.trade_id)] == [
            (f.trade_id, f.settlement) for f in sorted(self.fills, key=lambda f: f.trade_id)
        ]
        if self.status in TERMINAL:
            assert order.is_final


def reachable(begin: OrderStatus, end: OrderStatus) -> bool:
    """Tell whether the table of legal changes leads from one status to another (one word may carry several)."""
    seen, front = {begin}, [begin]
    while front:
        for status in NEXT[front.pop()]:
            if status not in seen:
                seen.add(status)
                front.append(status)
    return end in seen


TestOneOrder = OneOrder.TestCase
TestOneOrder.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
