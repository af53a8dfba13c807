"""The capital cycle of trades: merged when it pays, redeemed when resolved, once each, and never on a trade's way."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from arbkit.backtest.mock_platform import Answer
from arbkit.core.capital import CapitalIntent, CapitalResult, Offer, Payout
from arbkit.core.errors import ChainUnavailable, ConfigError, DataError, FeeAboveCap, FundsMissing, JournalError
from arbkit.core.model import ExecutionResult, Kind, Outcome, TradeState
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Cash, Size
from arbkit.execution.no_chain import NoChain
from arbkit.execution.recovery import replayed
from arbkit.execution.settling import CLOSING_GAS
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.fold import fold, named_books
from arbkit.journal.memory import MemoryJournal
from arbkit.metrics import MetricsCollector
from arbkit.risk.limits import RiskManager
from tests.builders import replace
from tests.pair_rig import GAS, MARKET, NO, YES, MockChain, PairRig
from tests.rig import virtual


def test_a_committed_pair_is_merged_when_that_pays_and_cash_comes_when_it_is_final() -> None:
    rig = PairRig()

    async def main() -> None:
        result = await rig.trade()
        assert (result.outcome, result.trade.state) == (Outcome.COMPLETED, TradeState.COMMITTED)
        await asyncio.sleep(1)
        (line,) = rig.engine.open()
        assert line.endswith("a merge of 100 pairs at alpha:m is under way")
        assert rig.engine.ledger.cash["alpha"] == 905 * MICRO  # provisional: nothing is booked yet
        await asyncio.sleep(10)
        assert rig.engine.open() == ()

    rig.run(main())
    assert (rig.alpha.cash, rig.held()) == (1005 * MICRO, (0, 0))
    (intent,), (done,) = rig.facts("capital.intent"), rig.facts("capital.done")
    assert intent.key == done.key == f"merge:{intent.get('trade')}:0"
    assert (done.get("fate"), done.get("cash"), done.get("gas")) == (Fate.DONE, 100 * MICRO, GAS)
    assert rig.engine.risk.state().held == ()
    assert sum(pnl for _, pnl in rig.engine.risk.state().losses.days) == 5 * MICRO - GAS


def test_the_intent_is_on_record_before_the_chain_is_asked() -> None:
    rig = PairRig()
    known: list[int] = []

    class Watching(MockChain):
        async def settle(self, intent: Any) -> Any:
            known.append(len(rig.facts("capital.intent")))
            return await super().settle(intent)

    rig.chain = Watching(rig.alpha)
    rig.engine = rig.new_engine()

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(10)

    rig.run(main())
    assert known == [1]


def test_pairs_are_kept_while_a_merge_does_not_pay_and_merged_together_once_it_does() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0))  # even odds are no gain

    async def main() -> None:
        await rig.trade(shares="60")
        await rig.trade(shares="40")
        await asyncio.sleep(40)
        assert rig.facts("capital.intent") == []
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(40)

    rig.run(main())
    (intent,) = rig.facts("capital.intent")
    assert (intent.get("yes"), intent.get("no")) == (100 * MICRO, 100 * MICRO)
    assert rig.held() == (0, 0)


def test_what_a_trade_adds_while_a_merge_is_under_way_is_the_next_ones() -> None:
    rig = PairRig()

    async def main() -> None:
        await rig.trade(shares="60")
        await asyncio.sleep(1)
        await rig.trade(shares="40")
        await asyncio.sleep(40)

    rig.run(main())
    assert [fact.get("yes") for fact in rig.facts("capital.intent")] == [60 * MICRO, 40 * MICRO]
    assert len({fact.key for fact in rig.facts("capital.done")}) == 2


def test_fault_C8_a_gas_spike_is_one_alert_and_the_merge_comes_when_it_is_over() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0), "base fee and tip are above the cap of 300 gwei per gas")

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(300)
        assert rig.facts("capital.intent") == []
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(30)

    rig.run(main())
    assert rig.alerts() == ["merging 100 pairs at alpha:m is postponed"]
    assert rig.held() == (0, 0)


@pytest.mark.parametrize("error", [FeeAboveCap("too dear", 2, 1), FundsMissing("wei of POL", 2, 1)])
def test_fault_C8_what_was_not_signed_is_given_up_told_and_wanted_again_under_another_key(error: Any) -> None:
    rig = PairRig()
    rig.chain.errors = [error] * 3

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(400)

    rig.run(main())
    assert len(rig.alerts()) == 1
    done = rig.facts("capital.done")
    assert [fact.get("fate") for fact in done] == [Fate.REFUSED] * 3 + [Fate.DONE]
    assert [fact.get("cash") for fact in done] == [0, 0, 0, 100 * MICRO]
    assert len({fact.key for fact in done}) == 4
    waits = [later.at - before.at for before, later in pairwise(done)]
    assert waits[0] < waits[1] < waits[2]


def test_fault_C9_a_reverted_merge_moves_nothing_is_told_and_is_not_tried_until_a_person_releases_it() -> None:
    rig = PairRig()
    rig.chain.fails = lambda _intent: "SafeMath: subtraction overflow"

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(600)
        assert len(rig.chain.asked) == 1
        assert (rig.alpha.cash, rig.held()) == (905 * MICRO, (100, 100))
        assert rig.engine.ledger.cash["alpha"] == 905 * MICRO
        with pytest.raises(DataError, match="nothing at 'alpha:x' waits for a person; waiting: alpha:m"):
            rig.engine.release("alpha:x")
        assert rig.engine.halted == ""  # trading goes on
        rig.chain.fails = lambda _intent: ""
        rig.engine.release(MARKET)
        await asyncio.sleep(40)

    rig.run(main())
    reverted, done = rig.facts("capital.done")
    assert (reverted.get("fate"), reverted.get("reason")) == (Fate.REVERTED, "SafeMath: subtraction overflow")
    assert (reverted.get("gas"), reverted.get("moved")) == (GAS, ())
    assert done.get("fate") == Fate.DONE
    assert rig.alerts() == ["a merge of 100 pairs at alpha:m failed: nothing moved"]


def test_a_chain_without_an_answer_is_asked_again_under_the_same_key_and_told_of_when_it_is_silent_for_long() -> None:
    rig = PairRig()
    rig.chain.errors = [ChainUnavailable("no node answers")] * 12

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(1_000)

    rig.run(main())
    assert len(rig.chain.asked) == 13
    assert len(set(rig.chain.asked)) == 1
    assert rig.alerts() == ["a merge of 100 pairs at alpha:m has no last word"]
    assert rig.held() == (0, 0)


def test_a_merge_that_is_not_final_for_long_is_told_of_once() -> None:
    rig = PairRig()
    rig.chain.takes_s = 500.0

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(600)

    rig.run(main())
    (told,) = rig.facts("engine.alert")
    assert (told.get("what"), told.get("why")) == (
        "a merge of 100 pairs at alpha:m has no last word",
        "it is not final yet",
    )


def test_a_chain_that_cannot_be_asked_is_told_of_once_and_once_more_when_it_happens_again() -> None:
    rig = PairRig()

    async def main() -> None:
        for _ in range(2):
            rig.chain.silent = "no node answers"
            await asyncio.sleep(300)
            rig.chain.silent = ""
            await asyncio.sleep(5)

    rig.run(main())
    assert rig.alerts() == ["the chain cannot be asked"] * 2


def test_balances_that_moved_otherwise_are_told() -> None:
    rig = PairRig()
    rig.chain.as_expected = False

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(10)

    rig.run(main())
    assert rig.alerts() == ["a merge of 100 pairs at alpha:m is not what it seemed"]


# -- redeeming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("payout", "paid"), [(Payout(1, 0, 1), 100), (Payout(1, 1, 2), 100)])
def test_what_is_held_at_a_resolution_is_redeemed(payout: Payout, paid: int) -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(-1))

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(60)
        rig.chain.pays = payout
        await asyncio.sleep(60)

    rig.run(main())
    (done,) = rig.facts("capital.done")
    assert done.key.startswith("redeem:")
    assert done.get("cash") == paid * MICRO
    assert rig.held() == (0, 0)
    assert rig.engine.risk.state().held == ()


def with_a_gift_that_lost(rig: PairRig) -> None:
    rig.engine.ledger.adjust("alpha", 0, [(YES, 5 * MICRO)])
    rig.journal.append(0, "account.adjusted", "alpha", cash=0, shares=((YES, 5 * MICRO),), why="a gift")
    rig.engine.risk.adopted(rig.table.book(YES), 5 * MICRO)
    rig.alpha.shares[rig.table.book(YES).index] = 5 * MICRO
    rig.chain.pays = Payout(0, 1, 1)


def test_what_lost_is_worth_nothing_and_its_position_is_closed_where_gas_is_small() -> None:
    rig = PairRig()

    async def main() -> None:
        with_a_gift_that_lost(rig)
        before = rig.engine.ledger.cash["alpha"]
        assert rig.engine.risk.state().held != ()
        await asyncio.sleep(60)
        assert rig.engine.ledger.cash["alpha"] == before

    rig.run(main())
    (done,) = rig.facts("capital.done")
    assert (done.key, done.get("cash"), done.get("gas")) == ("redeem:account:0", 0, GAS)
    assert (rig.held(), rig.engine.ledger.shares, rig.engine.risk.state().held) == ((0, 0), {}, ())
    assert rig.facts("market.blocked") == rig.facts("engine.alert") == []


def test_what_lost_is_left_where_it_is_while_gas_is_dearer_than_closing_is_worth() -> None:
    rig = PairRig()
    prices = {"now": Cash(CLOSING_GAS + 1)}

    class Dear(MockChain):
        def gas_of(self, _work: Work) -> Cash | None:
            return prices["now"]

    rig.chain = Dear(rig.alpha)
    rig.engine = rig.new_engine()

    async def main() -> None:
        with_a_gift_that_lost(rig)
        await asyncio.sleep(60)
        assert rig.facts("capital.intent") == []
        prices["now"] = CLOSING_GAS
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.key for fact in rig.facts("capital.done")] == ["redeem:account:0"]
    assert rig.held() == (0, 0)


def test_shares_that_nobody_explains_are_not_redeemed() -> None:
    rig = PairRig()
    rig.alpha.shares[rig.table.book(YES).index] = 5 * MICRO  # before the first trade: they are to be claimed
    rig.chain.pays = Payout(1, 0, 1)

    async def main() -> None:
        await asyncio.sleep(60)
        assert rig.facts("capital.intent") == []
        await rig.engine.claim(MARKET)
        await asyncio.sleep(60)

    rig.run(main())
    (intent,) = rig.facts("capital.intent")
    assert (intent.get("trade"), intent.get("yes"), intent.get("no")) == ("account", 5 * MICRO, 0)
    assert rig.held() == (0, 0)


def test_nothing_is_redeemed_under_a_trade_that_is_not_over() -> None:
    rig = PairRig()
    rig.chain.pays = Payout(1, 0, 1)
    # No undo is taken, so the trade escalates, and what it holds waits for a person.
    rig.alpha.script(NO, Answer(fill="60"), *[Answer(reject="no")] * 300)
    rig.alpha.script(YES, Answer(), *[Answer(reject="no")] * 300)

    async def main() -> None:
        result = await rig.trade()
        assert result.outcome is Outcome.ESCALATED
        await asyncio.sleep(100)
        assert rig.facts("capital.intent") == []

    rig.run(main())


# -- what it costs ---------------------------------------------------------------------------------------------------


def test_a_results_gas_is_what_its_merge_cost_once_that_is_known_and_comes_off_its_profit() -> None:
    rig = PairRig()

    async def main() -> ExecutionResult:
        result = await rig.trade()
        assert (result.gas, result.gas_wei, result.pnl) == (0, 0, 5 * MICRO)  # the merge is not made yet
        assert rig.engine.charged(result) == result
        await asyncio.sleep(10)
        return result

    result = rig.run(main())
    charged = rig.engine.charged(result)
    assert (charged.gas, charged.gas_wei, charged.pnl) == (GAS, 10**16, 5 * MICRO - GAS)
    assert rig.engine.charged(charged) == charged  # asked twice is charged once
    (row,) = rig.engine.metrics.get_recent_trades()
    summary = rig.engine.metrics.get_summary()
    for shown in (row, summary, rig.engine.metrics.get_strategy_performance()["MARKET"]):
        assert (shown["gas"], shown["gas_pol"], shown["pnl"]) == (0.02, 0.01, 4.98)


def test_gas_in_the_figures_is_that_of_the_journal_failures_and_the_accounts_own_included() -> None:
    rig = PairRig()
    failing = iter(["the contract says no"])
    rig.chain.fails = lambda _intent: next(failing, "")

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(10)
        rig.engine.release(MARKET)
        await asyncio.sleep(60)
        with_a_gift_that_lost(rig)
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.get("fate") for fact in rig.facts("capital.done")] == [Fate.REVERTED, Fate.DONE, Fate.DONE]
    (row,) = rig.engine.metrics.get_recent_trades()
    assert (row["gas"], row["pnl"]) == (0.04, 4.96)
    assert rig.engine.metrics.get_summary()["gas"] == 0.06  # with the redeem of what no trade bought
    assert rig.engine.metrics.get_summary()["gas"] == rig.engine.statistics()["capital"]["gas"]
    again = MetricsCollector()
    replayed(rig.journal.facts, named_books(rig.table.books), RiskManager(), again)
    assert again.get_recent_trades() == rig.engine.metrics.get_recent_trades()
    assert again.get_summary() == rig.engine.metrics.get_summary()
    assert again.get_strategy_performance() == rig.engine.metrics.get_strategy_performance()


# -- the reconciler --------------------------------------------------------------------------------------------------


def test_the_venue_may_show_a_merge_before_or_after_its_word_came_and_no_market_is_barred_for_it() -> None:
    rig = PairRig()
    rig.chain.takes_s = 40.0
    rig.chain.takes_s, rig.chain.final_s = 0.0, 40.0

    async def main() -> None:
        await rig.trade()
        for _ in range(8):
            await asyncio.sleep(6)
            assert await rig.engine.reconciler.compare_all() == {}
            assert rig.engine.reconciler.open == {}

    rig.run(main())
    assert rig.facts("market.blocked") == []


def test_what_is_missing_beyond_a_merge_is_still_noticed() -> None:
    rig = PairRig()

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(1)
        rig.alpha.shares[rig.table.book(YES).index] = -MICRO
        await rig.engine.reconciler.compare_all()
        assert list(rig.engine.reconciler.open) == [MARKET]
        rig.alpha.shares[rig.table.book(YES).index] = 100 * MICRO
        await asyncio.sleep(10)

    rig.run(main())


# -- restarts --------------------------------------------------------------------------------------------------------


def restart(rig: PairRig, after_s: float, **chain: Any) -> tuple[ArbitrageExecutionEngine, list[str]]:
    """Trade, let the process end so long after the trade, and start another on the same journal and chain."""

    async def main() -> list[str]:
        await rig.engine.start()
        await rig.trade()
        await asyncio.sleep(after_s)
        await rig.engine.stop()
        before = list(rig.chain.asked)
        for name, value in chain.items():
            setattr(rig.chain, name, value)
        rig.engine = rig.new_engine()
        await rig.engine.start()
        await asyncio.sleep(60)
        await rig.engine.stop()
        return before

    before = virtual(main())
    rig.check()
    return rig.engine, before


@pytest.mark.parametrize("after_s", [0.0, 0.5, 4.9])
def test_a_merge_that_was_under_way_is_taken_up_from_the_journal_under_its_key(after_s: float) -> None:
    rig = PairRig()
    _, before = restart(rig, after_s)
    assert len(rig.facts("capital.intent")) == len(rig.facts("capital.done")) == 1
    assert len(rig.chain.made) == 1
    assert set(before) <= {fact.key for fact in rig.facts("capital.done")}
    assert (rig.alpha.cash, rig.held()) == (1005 * MICRO, (0, 0))


def test_a_merge_that_was_done_while_nobody_listened_is_booked_and_not_made_again() -> None:
    rig = PairRig()
    rig.chain.takes_s, rig.chain.final_s = 0.0, 5.0
    restart(rig, 1.0)
    assert len(rig.chain.asked) == 2
    assert len(rig.chain.made) == 1
    assert rig.alpha.cash == 1005 * MICRO
    assert rig.facts("market.blocked") == []  # the comparison at the start knew of it


def test_pairs_that_wait_are_merged_by_the_next_process() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0))
    restart(rig, 30.0, offer=Offer(Cash(1)))
    assert rig.held() == (0, 0)


def test_a_market_that_was_refused_is_left_alone_by_the_next_process_too() -> None:
    rig = PairRig()
    rig.chain.fails = lambda _intent: "no"
    restart(rig, 30.0)
    assert len(rig.chain.asked) == 1
    assert rig.engine._capital.capital.failed == {MARKET: "no"}


def test_a_journal_with_a_merge_under_way_is_not_started_on_without_its_chain() -> None:
    rig = PairRig()

    async def main() -> None:
        await rig.engine.start()
        await rig.trade()
        await asyncio.sleep(1)
        await rig.engine.stop()
        engine = rig.new_engine(NoChain())
        with pytest.raises(ConfigError, match="is under way on a chain that this engine was not given"):
            await engine.start()

    virtual(main())


def test_nothing_new_is_wanted_while_the_engine_closes_and_what_is_under_way_is_said() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.trade()
        rig.chain.offer = Offer(Cash(1))
        left = await rig.engine.drain()
        assert left == ()
        await rig.engine._capital.look()
        assert rig.facts("capital.intent") == []

    rig.run(main())


# -- without a chain -------------------------------------------------------------------------------------------------


def test_without_a_chain_the_journal_is_byte_for_byte_what_it_was() -> None:
    def journal(chain: Any) -> bytes:
        rig = PairRig()
        rig.engine = rig.new_engine(chain)

        async def main() -> None:
            await rig.engine.start()
            await rig.trade()
            await asyncio.sleep(100)
            await rig.engine.stop()

        virtual(main())
        return b"".join(rig.journal.lines())

    class Elsewhere(MockChain):
        def covers(self, market: str) -> bool:
            return market == "gamma:m"

    without = journal(NoChain())
    assert b"capital." not in without
    assert without == journal(Elsewhere(PairRig().alpha))


def test_a_chain_with_real_money_is_refused_on_paper() -> None:
    class Live(MockChain):
        live = True

    rig = PairRig()
    with pytest.raises(ConfigError, match="paper mode does not trade at a live venue: the chain"):
        rig.new_engine(Live(rig.alpha))


def test_a_chain_that_is_none_covers_nothing_and_does_nothing() -> None:
    chain, intent = NoChain(), CapitalIntent(Work.MERGE, "t", MARKET, Size(1), Size(1), 0)

    async def main() -> None:
        assert (await chain.settle(intent)).fate is Fate.REFUSED
        assert await chain.give_up(intent, "why") == CapitalResult(Fate.REFUSED, reason="why")
        assert (await chain.payout(MARKET), await chain.step()) == (None, "")

    virtual(main())
    assert not chain.covers(MARKET)
    assert not chain.merge_offer(MARKET, Size(1)).pays


# -- merging as an undo ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "undo"), [(0, "trim"), (-1, "trim"), (1, "merge"), (50_000, "merge")])
def test_undoing_by_a_merge_is_chosen_when_it_leaves_more_than_holding_the_pairs(gain: int, undo: str) -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(gain))

    async def main() -> None:
        rig.alpha.script(NO, Answer(fill="60"), Answer(reject="no"))
        rig.alpha.set_book(YES, bids=[("0.40", "200")], asks=[("0.40", "100")])
        result = await rig.trade()
        assert (result.outcome, result.undo) == (Outcome.UNWOUND, undo)
        assert [leg.held for leg in result.trade.legs] == [60 * MICRO] * 2
        await asyncio.sleep(40)

    rig.run(main())
    assert rig.held() == ((60, 60) if undo == "trim" else (0, 0))
    if undo == "merge":
        (sold,) = [fact for fact in rig.facts("order.intent") if fact.get("purpose") == "merge"]
        assert (sold.get("side"), sold.get("size")) == (-1, 40 * MICRO)


def test_pairs_of_a_trade_undone_by_merging_go_back_even_if_gas_has_risen_meanwhile() -> None:
    rig = PairRig()

    class Dearer(MockChain):
        def merge_offer(self, _market: str, _pairs: Size) -> Offer:
            return Offer(Cash(-5 if rig.facts("trade.done") else 5))

    rig.chain = Dearer(rig.alpha)
    rig.engine = rig.new_engine()

    async def main() -> None:
        rig.alpha.script(NO, Answer(fill="60"), Answer(reject="no"))
        rig.alpha.set_book(YES, bids=[("0.40", "200")], asks=[("0.40", "100")])
        assert (await rig.trade()).undo == "merge"
        await asyncio.sleep(40)

    rig.run(main())
    assert rig.held() == (0, 0)


def test_a_replay_without_a_market_table_counts_the_same_pairs() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.trade()

    rig.run(main())
    assert fold(rig.journal.facts).capital == rig.engine._capital.capital
    assert rig.engine._capital.capital.pairs[MARKET].size == 100 * MICRO


def test_pairs_that_a_person_has_merged_by_hand_and_claimed_are_not_wanted_again() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.trade()
        for name in (YES, NO):  # by hand: 70 of the 100 pairs
            rig.alpha.shares[rig.table.book(name).index] -= 70 * MICRO
        rig.alpha.cash = Cash(rig.alpha.cash + 70 * MICRO)
        await rig.engine.reconciler.compare_all()
        await rig.engine.claim(MARKET)
        await rig.engine.claim("alpha")
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.get("yes") for fact in rig.facts("capital.intent")] == [30 * MICRO]
    assert rig.held() == (0, 0)


def test_a_journal_that_takes_no_intent_lets_nothing_be_wanted_and_says_so_once() -> None:
    class Full(MemoryJournal):
        full = False

        def append(self, at: int, fact: str, key: str, **data: object) -> None:
            if self.full and fact == "capital.intent":
                raise JournalError("no room")
            super().append(at, fact, key, **data)

    rig = PairRig(journal=Full())

    async def main() -> None:
        rig.journal.full = True
        await rig.trade()
        await asyncio.sleep(100)
        assert rig.chain.asked == []
        rig.journal.full = False
        await asyncio.sleep(40)

    rig.run(main())
    assert rig.alerts() == ["a merge of 100 pairs at alpha:m is postponed"]
    assert rig.held() == (0, 0)


def test_a_chain_that_does_not_say_how_a_market_pays_is_asked_again() -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(-1))

    class Mute(MockChain):
        async def payout(self, market: str) -> Any:
            if self.silent:
                raise ChainUnavailable(self.silent)
            return await super().payout(market)

    rig.chain = Mute(rig.alpha)
    rig.chain.offer = Offer(Cash(-1))
    rig.engine = rig.new_engine()

    async def main() -> None:
        await rig.trade()
        rig.chain.silent, rig.chain.pays = "no node answers", Payout(1, 0, 1)
        await asyncio.sleep(60)
        assert rig.facts("capital.intent") == []
        rig.chain.silent = ""
        await asyncio.sleep(60)

    rig.run(main())
    assert rig.held() == (0, 0)


def test_a_merge_that_another_process_began_ends_in_one_whose_baskets_lack_one_of_its_books() -> None:
    rig = PairRig()

    async def main() -> None:
        await rig.engine.start()
        await rig.trade()
        await asyncio.sleep(1)
        assert "a merge of 100 pairs" in rig.engine.open()[0]
        await rig.engine.stop()
        yes = replace(rig.basket, id="yes alone", kind=Kind.OUTCOMES, legs=rig.basket.legs[:1])
        rig.engine = ArbitrageExecutionEngine(
            {"alpha": rig.alpha}, rig.feed, [yes], config=rig.config, journal=rig.journal, chain=rig.chain
        )
        await rig.engine.start()
        await asyncio.sleep(60)
        await rig.engine.stop()
        rig.check()

    virtual(main())
    assert (rig.alpha.cash, rig.held()) == (1_005 * MICRO, (0, 0))
    assert not rig.facts("engine.halted")


@pytest.mark.parametrize("name", [YES, NO])
def test_what_a_person_buys_after_selling_one_side_of_pairs_is_not_merged_in_its_place(name: str) -> None:
    rig = PairRig()
    rig.chain.offer = Offer(Cash(0))
    sold = rig.table.book(name).index

    async def main() -> None:
        await rig.trade()
        rig.alpha.shares[sold] -= 70 * MICRO
        await rig.engine.reconciler.compare_all()
        await rig.engine.claim(MARKET)
        assert rig.engine.statistics()["capital"]["pairs"] == {MARKET: 30.0}
        rig.alpha.shares[sold] += 60 * MICRO
        await rig.engine.reconciler.compare_all()
        await rig.engine.claim(MARKET)
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.get("yes") for fact in rig.facts("capital.intent")] == [30 * MICRO]
    assert sorted(rig.held()) == [60, 70]
