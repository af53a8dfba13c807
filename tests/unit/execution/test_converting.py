"""NO of several markets of an event back into money: when it pays, once, and as chain, books and journal agree."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.mock_platform import Answer
from arbkit.core.capital import CapitalIntent, Offer, Payout, fee_bips
from arbkit.core.errors import (
    ChainUnavailable,
    ConfigError,
    DataError,
    FundsMissing,
    JournalError,
    VenueUnavailable,
)
from arbkit.core.model import ExecutionResult, Outcome
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Cash, Size
from arbkit.execution.no_chain import NoChain
from arbkit.journal.fold import fold
from arbkit.journal.memory import MemoryJournal
from tests.event_rig import C_YES, MARKETS, NOS, C, EventChain, EventRig
from tests.pair_rig import GAS
from tests.rig import virtual

HUNDRED = 100 * MICRO
NAMED = "a conversion of 100 NO of each of alpha:a, alpha:b, alpha:c"


def trading(rig: EventRig, then_s: float = 40.0, shares: str = "100") -> ExecutionResult:
    """Trade once and let time pass, from the engine's start to its stop."""

    async def main() -> ExecutionResult:
        result = await rig.trade(shares=shares)
        await asyncio.sleep(then_s)
        return result

    return rig.run(main())


def test_no_of_a_whole_event_become_money_at_once_and_the_trade_is_charged() -> None:
    rig = EventRig()

    async def main() -> ExecutionResult:
        result = await rig.trade()
        assert result.outcome is Outcome.COMPLETED
        await asyncio.sleep(1)
        (line,) = rig.engine.open()
        assert line.endswith(f"{NAMED} is under way")
        assert rig.engine.ledger.cash["alpha"] == 820 * MICRO  # provisional: nothing is booked yet
        assert len(rig.engine.risk.state().held) == 3
        await asyncio.sleep(10)
        return result

    result = rig.run(main())
    assert (rig.alpha.cash, rig.shares()) == (1_020 * MICRO, {})
    (intent,), (done,) = rig.facts("capital.intent"), rig.facts("capital.done")
    assert intent.key == done.key == f"convert:{result.trade.id}:0"
    assert (intent.get("taken"), intent.get("made")) == (MARKETS, ())
    assert (done.get("cash"), done.get("moved")) == (2 * HUNDRED, tuple((name, -HUNDRED) for name in NOS))
    assert rig.engine.risk.state().held == ()
    charged = rig.engine.charged(result)
    assert (charged.gas, charged.pnl) == (GAS, 20 * MICRO - GAS)
    assert rig.engine.statistics()["capital"]["sets"] == {}
    assert rig.facts("engine.alert") == rig.facts("market.blocked") == []


@pytest.mark.parametrize("fee_bips", [0, 150])
def test_no_of_some_become_yes_of_the_others_and_money_less_the_events_fee(fee_bips: int) -> None:
    rig = EventRig(takes=2)
    rig.chain.fee_bips = fee_bips  # type: ignore[attr-defined]
    trading(rig)
    each = HUNDRED - HUNDRED * fee_bips // 10_000
    (done,) = rig.facts("capital.done")
    assert (done.get("cash"), done.get("fate")) == (each, Fate.DONE)
    assert rig.alpha.cash == 910 * MICRO + each
    assert rig.shares() == {C_YES: each / MICRO}
    # The NO had cost 90 dollars: what did not come back is what the YES have cost, which is nothing.
    assert [(row.place.book, row.shares, row.dollars) for row in rig.engine.risk.state().held] == [(C_YES, each, 0)]
    assert rig.facts("market.blocked") == []


def test_what_became_yes_is_redeemed_when_it_wins() -> None:
    rig = EventRig(takes=2)

    class Resolved(EventChain):
        async def payout(self, market: str) -> Payout | None:
            return self.pays if market == C else None

    rig.chain = Resolved(rig.alpha)
    rig.engine = rig.new_engine()

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(40)
        rig.chain.pays = Payout(1, 0, 1)
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.key.partition(":")[0] for fact in rig.facts("capital.done")] == ["convert", "redeem"]
    assert (rig.alpha.cash, rig.shares()) == (1_110 * MICRO, {})


def test_a_set_is_kept_while_converting_does_not_pay_and_what_trades_added_goes_together_once_it_does() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))  # even odds are no gain

    async def main() -> None:
        await rig.trade(shares="60")
        await rig.trade(shares="40")
        await asyncio.sleep(40)
        assert rig.facts("capital.intent") == []
        assert rig.engine.statistics()["capital"]["sets"] == {"alpha:a + alpha:b + alpha:c": 100.0}
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(40)

    rig.run(main())
    (intent,) = rig.facts("capital.intent")
    assert (intent.get("yes"), intent.get("no")) == (HUNDRED, HUNDRED)
    assert rig.shares() == {}


def test_what_a_trade_adds_while_a_conversion_is_under_way_is_the_next_ones() -> None:
    rig = EventRig()

    async def main() -> None:
        await rig.trade(shares="60")
        await asyncio.sleep(1)
        await rig.trade(shares="40")
        await asyncio.sleep(40)

    rig.run(main())
    assert [fact.get("no") for fact in rig.facts("capital.intent")] == [60 * MICRO, 40 * MICRO]
    assert rig.shares() == {}


def test_what_does_not_pay_to_convert_is_redeemed_at_the_resolution_and_no_set_is_left() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(-1))

    class Decided(EventChain):
        async def payout(self, market: str) -> Payout | None:
            return self.pays and (Payout(1, 0, 1) if market == C else Payout(0, 1, 1))

        def _do(self, intent: CapitalIntent) -> Any:
            self.pays = Payout(1, 0, 1) if intent.market == C else Payout(0, 1, 1)
            return super()._do(intent)

    rig.chain = Decided(rig.alpha)
    rig.chain.offer = Offer(Cash(-1))
    rig.engine = rig.new_engine()

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(40)
        rig.chain.pays = Payout(0, 1, 1)
        await asyncio.sleep(120)

    rig.run(main())
    assert [fact.key.partition(":")[0] for fact in rig.facts("capital.done")] == ["redeem"] * 3
    assert (rig.alpha.cash, rig.shares()) == (1_020 * MICRO, {})
    assert rig.engine._capital.capital.sets == {}


def test_fault_C8_a_gas_spike_is_one_alert_and_the_conversion_comes_when_it_is_over() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0), "base fee and tip are above the cap of 300 gwei per gas")

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(300)
        assert rig.facts("capital.intent") == []
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(30)

    rig.run(main())
    assert rig.alerts() == ["converting 100 NO of each of alpha:a, alpha:b, alpha:c is postponed"]
    assert rig.shares() == {}


def test_fault_C8_what_was_not_signed_is_given_up_told_and_wanted_again_under_another_key() -> None:
    rig = EventRig()
    rig.chain.errors = [FundsMissing("wei of POL", 2, 1)] * 2
    trading(rig, 400)
    assert rig.alerts() == [f"{NAMED} is postponed"]
    assert [fact.get("fate") for fact in rig.facts("capital.done")] == [Fate.REFUSED] * 2 + [Fate.DONE]
    assert len({fact.key for fact in rig.facts("capital.done")}) == 3


def test_fault_C9_a_refused_conversion_moves_nothing_is_told_and_is_not_tried_until_a_person_releases_it() -> None:
    rig = EventRig()
    rig.chain.fails = lambda _intent: "NoConvertiblePositions"

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(600)
        assert len(rig.chain.asked) == 1
        assert rig.shares() == dict.fromkeys(NOS, 100.0)
        assert rig.engine.ledger.cash["alpha"] == 820 * MICRO
        assert rig.engine.statistics()["capital"]["failed"] == {"alpha:a": "NoConvertiblePositions"}
        with pytest.raises(DataError, match="nothing at 'alpha:b' waits for a person; waiting: alpha:a"):
            rig.engine.release("alpha:b")
        assert rig.engine.halted == ""  # trading goes on
        rig.chain.fails = lambda _intent: ""
        rig.engine.release("alpha:a")
        await asyncio.sleep(40)

    rig.run(main())
    reverted, done = rig.facts("capital.done")
    assert (reverted.get("fate"), reverted.get("gas"), reverted.get("moved")) == (Fate.REVERTED, GAS, ())
    assert done.get("fate") == Fate.DONE
    assert rig.alerts() == [f"{NAMED} failed: nothing moved"]
    assert rig.shares() == {}


def test_a_chain_without_an_answer_is_asked_again_under_the_same_key_and_told_of_when_it_is_silent_for_long() -> None:
    rig = EventRig()
    rig.chain.errors = [ChainUnavailable("no node answers")] * 12
    trading(rig, 1_000)
    assert len(rig.chain.asked) == 13
    assert len(set(rig.chain.asked)) == 1
    assert rig.alerts() == [f"{NAMED} has no last word"]
    assert rig.shares() == {}


def test_the_venue_may_show_a_conversion_before_or_after_its_word_came_and_no_market_is_barred_for_it() -> None:
    rig = EventRig(takes=2)
    rig.chain.takes_s, rig.chain.final_s = 0.0, 40.0

    async def main() -> None:
        await rig.trade()
        for _ in range(8):
            await asyncio.sleep(6)
            assert await rig.engine.reconciler.compare_all() == {}
            assert rig.engine.reconciler.open == {}

    rig.run(main())
    assert rig.facts("market.blocked") == []


# -- what is left alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(), ("no",)])
def test_nothing_is_converted_into_yes_that_no_book_of_the_engine_is_of(sides: tuple[str, ...]) -> None:
    rig = EventRig(takes=2, sides=sides)
    trading(rig, 60)
    assert rig.facts("capital.intent") == []
    assert rig.shares() == dict.fromkeys(NOS[:2], 100.0)


def test_markets_that_are_no_event_of_the_chain_are_held() -> None:
    rig = EventRig()
    rig.chain.event = MARKETS[:2]  # type: ignore[attr-defined]
    trading(rig, 60)
    assert rig.facts("capital.intent") == []


@pytest.mark.parametrize("market", ["alpha:b", C])
def test_nothing_is_converted_while_a_market_that_it_takes_or_makes_waits_for_a_person(market: str) -> None:
    rig = EventRig(takes=2)

    async def main() -> None:
        rig.engine._capital.capital.failed[market] = "a merge was refused"
        await rig.trade()
        await asyncio.sleep(60)
        assert rig.facts("capital.intent") == []
        rig.engine.release(market)
        await asyncio.sleep(60)

    rig.run(main())
    assert len(rig.facts("capital.done")) == 1


def test_a_set_that_a_person_has_taken_from_and_claimed_is_converted_as_far_as_it_is_there() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.trade()
        rig.alpha.shares[rig.table.book(NOS[1]).index] -= 70 * MICRO
        await rig.engine.reconciler.compare_all()
        await rig.engine.claim("alpha:b")
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.get("no") for fact in rig.facts("capital.intent")] == [30 * MICRO]
    assert rig.shares() == {NOS[0]: 70.0, NOS[2]: 70.0}


def test_shares_of_a_running_trade_are_never_converted_in_place_of_those_that_a_person_sold() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.trade()
        del rig.alpha.shares[rig.table.book(NOS[0]).index]  # sold by hand, for nothing
        await asyncio.sleep(100)
        await rig.engine.claim(MARKETS[0])
        for name in NOS[1:]:
            rig.alpha.script(name, Answer(delay_s=100))
        for name in NOS:
            rig.alpha.set_book(name, bids=[("0.58", "200")], asks=[("0.60", "100")])
        running = asyncio.ensure_future(rig.trade())
        await asyncio.sleep(1)
        assert [rig.engine.ledger.shares.get(name) for name in NOS] == [HUNDRED] * 3
        rig.chain.offer = Offer(Cash(1))
        await rig.engine._capital.look()
        assert rig.facts("capital.intent") == []
        assert (await running).outcome is Outcome.COMPLETED
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.get("no") for fact in rig.facts("capital.intent")] == [HUNDRED]
    assert rig.shares() == {NOS[1]: 100.0, NOS[2]: 100.0}


def test_what_a_person_buys_after_selling_a_trades_shares_is_not_converted_in_their_place() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))
    sold = rig.table.book(NOS[0]).index

    async def main() -> None:
        await rig.trade()
        rig.alpha.shares[sold] -= 60 * MICRO  # by hand
        await asyncio.sleep(100)
        await rig.engine.claim(MARKETS[0])
        assert rig.engine.statistics()["capital"]["sets"] == {"alpha:a + alpha:b + alpha:c": 40.0}
        rig.alpha.shares[sold] += 50 * MICRO
        await asyncio.sleep(100)
        await rig.engine.claim(MARKETS[0])
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(60)

    rig.run(main())
    assert [fact.get("no") for fact in rig.facts("capital.intent")] == [40 * MICRO]
    assert rig.shares() == {NOS[0]: 50.0, NOS[1]: 60.0, NOS[2]: 60.0}
    assert [fact.get("shares") for fact in rig.facts("account.adjusted")] == [
        ((NOS[0], -60 * MICRO),),
        ((NOS[0], 50 * MICRO),),
    ]


def test_a_claim_is_not_taken_while_a_conversion_moves_shares_and_counts_after_it() -> None:
    rig = EventRig()

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(1)
        assert len(rig.engine.open()) == 1
        rig.alpha.shares[rig.table.book(NOS[0]).index] += 5 * MICRO
        with pytest.raises(VenueUnavailable, match="capital at alpha is being moved"):
            await rig.engine.claim(MARKETS[0])
        await asyncio.sleep(100)
        await rig.engine.claim(MARKETS[0])

    rig.run(main())
    assert rig.engine._capital.capital == fold(rig.journal.facts).capital
    assert (rig.shares(), rig.engine._capital.capital.sets) == ({NOS[0]: 5.0}, {})


@pytest.mark.parametrize("restarts", [False, True])
def test_a_set_of_which_a_person_sold_as_much_of_each_market_is_smaller_by_that_and_the_rest_is_converted(
    restarts: bool,
) -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.engine.start()
        await rig.trade()
        for name in NOS:
            rig.alpha.shares[rig.table.book(name).index] -= 30 * MICRO
        await asyncio.sleep(100)
        for market in MARKETS:
            if restarts:
                await rig.engine.stop()
                rig.engine = rig.new_engine()
                await rig.engine.start()
            await rig.engine.claim(market)
        rig.chain.offer = Offer(Cash(1))
        await asyncio.sleep(60)
        await rig.engine.stop()

    virtual(main())
    rig.check()
    assert [fact.get("no") for fact in rig.facts("capital.intent")] == [70 * MICRO]
    assert rig.shares() == {}


def test_of_an_uneven_trade_that_was_undone_what_is_even_is_converted() -> None:
    rig = EventRig()
    rig.alpha.script(NOS[0], Answer(fill="60"), Answer(reject="no"))
    result = trading(rig)
    assert result.outcome is Outcome.UNWOUND
    assert len({leg.held for leg in result.trade.legs}) == 1
    assert [fact.get("no") for fact in rig.facts("capital.intent")] == [result.trade.legs[0].held]
    assert rig.shares() == {}


def test_a_journal_that_takes_no_intent_lets_nothing_be_wanted_and_says_so_once() -> None:
    class Full(MemoryJournal):
        full = True

        def append(self, at: int, fact: str, key: str, **data: object) -> None:
            if self.full and fact == "capital.intent":
                raise JournalError("no room")
            super().append(at, fact, key, **data)

    rig = EventRig(journal=Full())

    async def main() -> None:
        await rig.trade()
        await asyncio.sleep(100)
        assert rig.chain.asked == []
        rig.journal.full = False
        await asyncio.sleep(40)

    rig.run(main())
    assert rig.alerts() == [f"{NAMED} is postponed"]
    assert rig.shares() == {}


# -- restarts --------------------------------------------------------------------------------------------------------


def restart(rig: EventRig, after_s: float) -> None:
    """Trade, let the process end so long after the trade, and start another on the same journal and chain."""

    async def main() -> None:
        await rig.engine.start()
        await rig.trade()
        await asyncio.sleep(after_s)
        await rig.engine.stop()
        rig.engine = rig.new_engine()
        await rig.engine.start()
        await asyncio.sleep(60)
        await rig.engine.stop()

    virtual(main())
    rig.check()


@pytest.mark.parametrize("takes", [2, 3])
@pytest.mark.parametrize("after_s", [0.0, 0.5, 4.9, 5.1])
def test_a_conversion_that_was_under_way_is_taken_up_from_the_journal_under_its_key(after_s: float, takes: int) -> None:
    rig = EventRig(takes=takes)
    restart(rig, after_s)
    assert len(rig.facts("capital.intent")) == len(rig.facts("capital.done")) == 1
    assert list(rig.chain.made) == [rig.facts("capital.done")[0].key]
    assert rig.shares() == ({} if takes == 3 else {C_YES: 100.0})
    assert rig.facts("market.blocked") == []


def test_an_event_that_was_refused_is_left_alone_by_the_next_process_too() -> None:
    rig = EventRig()
    rig.chain.fails = lambda _intent: "no"
    restart(rig, 30.0)
    assert len(rig.chain.asked) == 1
    assert rig.engine._capital.capital.failed == {"alpha:a": "no"}


def test_a_set_that_waits_is_converted_by_the_next_process() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))

    async def main() -> None:
        await rig.engine.start()
        await rig.trade()
        await rig.engine.stop()
        rig.chain.offer = Offer(Cash(1))
        rig.engine = rig.new_engine()
        await rig.engine.start()
        await asyncio.sleep(60)
        await rig.engine.stop()

    virtual(main())
    rig.check()
    assert rig.shares() == {}


ON_RECORD = (
    "it converts NO of alpha:a, alpha:b into YES of alpha:c at event e for fee_bips = 100, and {}: "
    "start with the event as it is on record until that has its end, and only then with what has changed"
)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("no chain", "is under way on a chain that this engine was not given: add it"),
        ("no event", ON_RECORD.format("these are no questions of one event here")),
        ("other markets", ON_RECORD.format("here it makes YES of none")),
        ("another fee", ON_RECORD.format("here it takes fee_bips = 250")),
    ],
)
def test_a_conversion_under_way_is_not_started_on_without_its_chain_and_event_and_is_told_what_differs(
    changed: str, says: str
) -> None:
    rig = EventRig(takes=2)
    rig.chain.fee_bips = 100  # type: ignore[attr-defined]
    events = {"no event": MARKETS[1:], "other markets": MARKETS[:2]}

    async def main() -> None:
        await rig.engine.start()
        await rig.trade()
        await asyncio.sleep(1)
        await rig.engine.stop()
        (intent,) = rig.facts("capital.intent")
        rig.chain.event = events.get(changed, MARKETS)  # type: ignore[attr-defined]
        rig.chain.fee_bips = 250 if changed == "another fee" else 100  # type: ignore[attr-defined]
        with pytest.raises(ConfigError) as refused:
            await rig.new_engine(NoChain() if changed == "no chain" else None).start()
        assert intent.key in str(refused.value)
        assert says in str(refused.value)
        rig.chain.event, rig.chain.fee_bips = MARKETS, 100  # type: ignore[attr-defined]
        rig.engine = rig.new_engine()  # as on record it goes on, and has its end
        await rig.engine.start()
        await asyncio.sleep(40)
        await rig.engine.stop()

    virtual(main())
    rig.check()
    assert rig.shares() == {C_YES: 99.0}


@given(no=st.integers(10_000, 10**13), bips=st.integers(0, 9_999))
def test_a_fee_is_read_off_what_a_conversion_leaves(no: int, bips: int) -> None:
    assert fee_bips(no, no - no * bips // 10_000) == bips


def test_a_replay_without_a_market_table_counts_the_same_sets() -> None:
    rig = EventRig()
    rig.chain.offer = Offer(Cash(0))
    trading(rig)
    assert fold(rig.journal.facts).capital == rig.engine._capital.capital
    assert rig.engine._capital.capital.sets[MARKETS].size == HUNDRED


def test_a_chain_that_is_none_converts_nothing() -> None:
    assert NoChain().conversion(MARKETS, Size(1)) is None
    assert CapitalIntent(Work.CONVERT, "t", "alpha:a", Size(1), Size(1), 0, MARKETS).markets == MARKETS
