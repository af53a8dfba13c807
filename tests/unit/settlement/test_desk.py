# ruff: noqa: N802 - fault tests carry the id of the fault
"""Intents of trades: judged before, made once, held against balances after; what fails is told and left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.capital import Payout
from arbkit.core.errors import ChainUnavailable, ConfigError, FeeAboveCap, SpenderRefused
from arbkit.core.transaction import Call, CallResult, Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.settlement.approvals import approve_collateral, approve_positions
from arbkit.settlement.contracts import POLYMARKET, Contracts
from arbkit.settlement.desk import ASKED, SettlementDesk
from arbkit.settlement.intents import COLLATERAL, Intent, NegRiskMarket
from arbkit.settlement.positions import Condition
from tests.rig import virtual
from tests.unit.settlement.fake_tokens import ADAPTED, ADAPTER, CTF, DIRECT, NEG_RISK, USD, FakeTokens

A, B, C = (DIRECT.condition(bytes([number]) * 32) for number in (1, 2, 3))
MARKET = NegRiskMarket(b"m" * 32, (A, B, C))
TEN = Size(10 * MICRO)


def intent(work: Work, condition: Condition = A, amount: int = TEN, **more: Any) -> Intent:
    return Intent(work, "t", condition, Size(0 if work is Work.REDEEM else amount), **more)


def test_split_merge_and_redeem_move_what_they_say() -> None:
    tokens = FakeTokens(DIRECT, 50 * MICRO)
    desk = SettlementDesk(tokens, DIRECT)
    paid: list[int] = []

    async def main() -> list[int]:
        cash: list[int] = []
        for one in (intent(Work.SPLIT), intent(Work.MERGE, amount=4 * MICRO), intent(Work.REDEEM)):
            tokens.payouts[A.id] = (1, 0)
            (result,) = await desk.settle([one])
            assert (result.fate, result.is_final, result.as_expected) == (Fate.DONE, True, True)
            paid.append(result.gas_paid)
            cash.append(result.collateral)
        return cash

    assert virtual(main()) == [-10 * MICRO, 4 * MICRO, 6 * MICRO]
    assert paid == [2 * 10**15, 10**15, 10**15]  # the split paid for its approval too
    assert +tokens.history[-1].get(A.yes, 0) == 0
    assert tokens.history[-1][COLLATERAL] == 50 * MICRO


def test_one_approval_serves_all_splits_at_once_and_is_exact() -> None:
    tokens = FakeTokens(DIRECT, 50 * MICRO)
    results = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.SPLIT, one) for one in (A, B)]))
    assert [one.fate for one in results] == [Fate.DONE, Fate.DONE]
    approval, splits = tokens.executed
    assert [call.work for call in approval] == [Work.APPROVE]
    assert len(splits) == 2
    assert tokens.allowances[CTF] == 0


def test_of_several_at_once_each_approval_is_paid_by_the_first_that_needs_it() -> None:
    tokens = FakeTokens(ADAPTED, 50 * MICRO, MARKET)
    for one in (A, B, C):
        tokens.history[0].update({one.yes: TEN, one.no: TEN})
    wanted = [
        intent(Work.MERGE, A, MICRO),
        intent(Work.CONVERT, B, MICRO, market=MARKET, taken=(1, 2)),
        intent(Work.SPLIT, A),
        intent(Work.MERGE, B, MICRO),
        intent(Work.SPLIT, B),
        intent(Work.CONVERT, A, MICRO, market=MARKET, taken=(0, 1)),
    ]
    results = virtual(SettlementDesk(tokens, ADAPTED).settle(wanted))
    assert [one.fate for one in results] == [Fate.DONE] * 6
    assert [one.gas_paid // 10**15 for one in results] == [2, 2, 2, 1, 1, 1]
    assert sum(one.gas_paid for one in results) == sum(one.paid for one in tokens.made.values())


def test_a_neg_risk_markets_shares_go_through_its_adapter_and_the_others_through_the_operator() -> None:
    """Polymarket's wrapped ones: the operator would make and take others of the same condition, that nobody trades."""
    wrapped = Condition.of(A.id, "0x" + "3a" * 20)
    tokens = FakeTokens(ADAPTED, 100 * MICRO)
    tokens.wrapped[A.id] = wrapped
    desk = SettlementDesk(tokens, ADAPTED)
    both = [intent(Work.SPLIT, wrapped), intent(Work.SPLIT, B)]
    results = list(virtual(desk.settle(both)))
    results += virtual(desk.settle([intent(Work.MERGE, wrapped, MICRO), intent(Work.MERGE, B, MICRO)]))
    tokens.payouts = {A.id: (1, 0), B.id: (0, 1)}
    results += virtual(desk.settle([intent(Work.REDEEM, wrapped), intent(Work.REDEEM, B)]))
    assert all(one.fate is Fate.DONE and one.as_expected for one in results), results
    assert tokens.history[-1][COLLATERAL] == 100 * MICRO
    assert not any(tokens.history[-1][token] for one in (wrapped, A, B) for token in one.tokens)
    assert tokens.approved == {ADAPTER, NEG_RISK}
    assert tokens.allowances == {ADAPTER: 0, NEG_RISK: 0}
    called = [call.to for calls in tokens.executed for call in calls if call.work is not Work.APPROVE]
    assert called == [NEG_RISK, ADAPTER] * 3


def test_without_an_adapter_that_may_take_them_a_neg_risk_markets_shares_stay_where_they_are() -> None:
    wrapped = Condition.of(A.id, "0x" + "3a" * 20)
    for contracts, why in (
        (replace(ADAPTED, neg_risk_adapter=""), "no neg-risk adapter is among the contracts"),
        (replace(ADAPTED, neg_risk_backing="0x" + "3b" * 20), "none of the contracts makes its tokens"),
        (
            replace(ADAPTED, spenders=frozenset({ADAPTER})),
            f"{NEG_RISK} is none of the known spenders: it is not approved",
        ),
    ):
        tokens = FakeTokens(contracts, 100 * MICRO)
        tokens.history[0].update({wrapped.yes: TEN, wrapped.no: TEN})
        tokens.payouts[A.id] = (1, 0)
        wanted = [intent(Work.SPLIT, wrapped), intent(Work.MERGE, wrapped), intent(Work.REDEEM, wrapped)]
        assert [one.reason for one in virtual(SettlementDesk(tokens, contracts).settle(wanted))] == [why] * 3
        assert tokens.executed == []


def test_an_adapter_is_approved_for_positions_once_and_then_trusted() -> None:
    tokens = FakeTokens(ADAPTED, 50 * MICRO)
    desk = SettlementDesk(tokens, ADAPTED)
    for one in (intent(Work.SPLIT), intent(Work.MERGE, amount=MICRO), intent(Work.MERGE, amount=MICRO, turn=1)):
        assert virtual(desk.settle([one]))[0].fate is Fate.DONE
    assert tokens.approved == {ADAPTER}
    assert [len(calls) for calls in tokens.executed] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(("fee", "back"), [(0, 10 * MICRO), (200, 98 * MICRO // 10)])
def test_a_conversion_turns_no_of_two_into_yes_of_the_third_and_a_dollar(fee: int, back: int) -> None:
    market = NegRiskMarket(MARKET.id, MARKET.questions, fee)
    tokens = FakeTokens(DIRECT, 0, market)
    tokens.history[0].update({A.no: TEN, C.no: TEN})
    one = intent(Work.CONVERT, A, market=market, taken=(0, 2))
    (result,) = virtual(SettlementDesk(tokens, DIRECT).settle([one]))
    assert (result.fate, result.as_expected, result.collateral) == (Fate.DONE, True, back)
    assert (tokens.history[-1][B.yes], tokens.history[-1][A.no], tokens.history[-1][C.no]) == (back, 0, 0)
    assert tokens.approved == {NEG_RISK}


@pytest.mark.parametrize(
    ("contracts", "why"),
    [
        (replace(DIRECT, spenders=frozenset({CTF})), f"{NEG_RISK} is none of the known spenders: it is not approved"),
        (replace(DIRECT, neg_risk_adapter=""), "no neg-risk adapter is among the contracts"),
    ],
)
def test_fault_C13_a_conversion_by_an_adapter_that_is_not_listed_is_refused_and_the_rest_goes_on(
    contracts: Contracts, why: str
) -> None:
    tokens = FakeTokens(contracts, 0, MARKET)
    tokens.history[0].update({A.no: TEN, A.yes: TEN, C.no: TEN})
    wanted = [intent(Work.CONVERT, A, market=MARKET, taken=(0, 2)), intent(Work.MERGE, A)]
    refused, merged = virtual(SettlementDesk(tokens, contracts).settle(wanted))
    assert (refused.fate, refused.reason, merged.fate) == (Fate.REFUSED, why, Fate.DONE)
    assert tokens.approved == set()


def test_a_conversion_whose_approval_fails_is_refused_at_its_cost_and_a_merge_beside_it_goes_on() -> None:
    tokens = FakeTokens(DIRECT, 0, MARKET)
    tokens.history[0].update({A.yes: TEN, A.no: TEN, B.no: TEN, C.no: TEN})
    tokens.spoil = lambda call: "paused" if call.work is Work.APPROVE else ""
    wanted = [intent(Work.CONVERT, B, market=MARKET, taken=(1, 2)), intent(Work.MERGE, A)]
    refused, merged = virtual(SettlementDesk(tokens, DIRECT).settle(wanted))
    assert (refused.fate, refused.reason, refused.gas_paid) == (Fate.REFUSED, "the approval failed: paused", 10**15)
    assert (merged.fate, merged.gas_paid) == (Fate.DONE, 10**15)


class NoSplits(FakeTokens):
    """Sends approvals and no split, while there is a reason."""

    why: Exception | None = None

    async def execute(self, calls: Sequence[Call]) -> tuple[CallResult, ...]:
        if self.why is not None and calls[0].work is Work.SPLIT:
            raise self.why
        return await super().execute(calls)


def test_an_approval_before_a_split_that_could_not_be_sent_is_paid_by_that_split_and_spared_to_the_next() -> None:
    tokens = NoSplits(DIRECT, 50 * MICRO)
    tokens.why = FeeAboveCap("gas is above its cap", 2, 1)
    desk = SettlementDesk(tokens, DIRECT)
    with pytest.raises(FeeAboveCap):
        virtual(desk.settle([intent(Work.SPLIT)]))
    tokens.why = None
    paid = [virtual(desk.settle([intent(Work.SPLIT, turn=turn)]))[0].gas_paid for turn in (1, 2)]
    assert paid == [10**15, 2 * 10**15]  # the second of these needed an approval of its own
    first = virtual(tokens.paid_for(intent(Work.SPLIT).key))
    assert first + sum(paid) == sum(one.paid for one in tokens.made.values())


def test_an_approval_that_another_split_used_up_is_given_again_and_charged_too() -> None:
    tokens = NoSplits(DIRECT, 50 * MICRO)
    tokens.why = ChainUnavailable("no node answers")
    desk = SettlementDesk(tokens, DIRECT)
    with pytest.raises(ChainUnavailable):
        virtual(desk.settle([intent(Work.SPLIT)]))
    tokens.why = None
    (other,) = virtual(desk.settle([intent(Work.SPLIT, B)]))
    (again,) = virtual(desk.settle([intent(Work.SPLIT)]))
    assert [other.fate, again.fate] == [Fate.DONE, Fate.DONE]
    assert (other.gas_paid, again.gas_paid) == (10**15, 3 * 10**15)
    assert tokens.allowances[CTF] == 0


def test_an_approval_is_paid_for_once_also_where_the_chain_falls_silent_after_the_split_was_mined() -> None:
    class Silent(FakeTokens):
        silent = True

        async def ask(self, to: str, data: bytes, block: int | None = None) -> bytes:
            if self.silent and len(self.history) == 3:  # the approval's block and the split's are there
                raise ChainUnavailable("no node answers")
            return await super().ask(to, data, block)

    tokens = Silent(DIRECT, 50 * MICRO)
    desk = SettlementDesk(tokens, DIRECT)
    with pytest.raises(ChainUnavailable):
        virtual(desk.settle([intent(Work.SPLIT)]))
    tokens.silent = False
    again = virtual(desk.settle([intent(Work.SPLIT)]))[0]
    after = virtual(desk.settle([intent(Work.SPLIT, turn=1)]))[0]
    assert again.fate is after.fate is Fate.DONE
    assert again.gas_paid + after.gas_paid == sum(one.paid for one in tokens.made.values())


def test_what_cannot_work_is_refused_by_name_and_the_rest_goes_on() -> None:
    tokens = FakeTokens(DIRECT, 15 * MICRO)
    tokens.history[0].update({B.yes: TEN, B.no: MICRO})
    wanted = [
        intent(Work.SPLIT, A),
        intent(Work.SPLIT, B),  # the first takes what this one would need
        intent(Work.MERGE, B),
        intent(Work.REDEEM, B),
        intent(Work.MERGE, B, MICRO, turn=1),
    ]
    results = virtual(SettlementDesk(tokens, DIRECT).settle(wanted))
    assert [one.fate for one in results] == [Fate.DONE, Fate.REFUSED, Fate.REFUSED, Fate.REFUSED, Fate.DONE]
    assert results[1].reason == f"collateral: {TEN} needed, {5 * MICRO} there"
    assert results[2].reason == f"token {hex(B.no)[:10]}: {TEN} needed, {MICRO} there"
    assert results[3].reason == "the condition is not resolved"
    assert [one.intent for one in results] == wanted


def test_a_resolved_condition_without_shares_is_not_redeemed() -> None:
    tokens = FakeTokens(DIRECT)
    tokens.payouts[A.id] = (1, 0)
    assert virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.REDEEM)]))[0].reason == "no shares of it are held"
    assert tokens.executed == []


@pytest.mark.parametrize("contracts", [DIRECT, ADAPTED], ids=["direct", "adapter"])
def test_fault_C13_without_leave_to_approve_a_missing_allowance_is_named(contracts: Contracts) -> None:
    tokens = FakeTokens(contracts, 50 * MICRO)
    tokens.history[0].update({A.yes: TEN, A.no: TEN})
    desk = SettlementDesk(tokens, contracts, approves=False)
    split, merge = virtual(desk.settle([intent(Work.SPLIT), intent(Work.MERGE)]))
    assert split.reason == f"allowance to {contracts.operator}: {TEN} needed, 0 there"
    assert merge.fate is (Fate.DONE if contracts is DIRECT else Fate.REFUSED)


def test_an_approval_that_fails_stops_what_needs_it_and_nothing_else() -> None:
    tokens = FakeTokens(DIRECT, 50 * MICRO)
    tokens.history[0].update({B.yes: TEN, B.no: TEN})
    tokens.spoil = lambda call: "paused" if call.work is Work.APPROVE else ""
    split, merge = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.SPLIT), intent(Work.MERGE, B)]))
    assert (split.fate, split.reason) == (Fate.REFUSED, "the approval failed: paused")
    assert merge.fate is Fate.DONE


def test_what_waits_for_an_approval_that_money_forbade_for_now_is_postponed_and_not_refused_for_good() -> None:
    class Poor(FakeTokens):
        async def execute(self, calls: Sequence[Call]) -> tuple[CallResult, ...]:
            first, *others = calls  # it is sent, and for those behind it the coin does not last
            poor = [CallResult(one, Fate.REFUSED, True, "no coin is left", postponed=True) for one in others]
            return (*await super().execute([first]), *poor)

    tokens = Poor(ADAPTED, 0, MARKET)
    tokens.history[0].update(dict.fromkeys((A.yes, A.no, B.no, C.no), TEN))
    wanted = [intent(Work.MERGE, A), intent(Work.CONVERT, B, market=MARKET, taken=(1, 2))]
    for one in virtual(SettlementDesk(tokens, ADAPTED).settle(wanted)):
        assert (one.fate, one.postponed, one.reason) == (Fate.REFUSED, True, "the approval failed: no coin is left")


def test_fault_C9_a_reverted_intent_says_why_moves_nothing_and_is_not_tried_again_by_itself() -> None:
    tokens = FakeTokens(DIRECT)
    tokens.history[0].update({A.yes: TEN, A.no: TEN})
    tokens.spoil = lambda _call: "SafeMath: subtraction overflow"
    (result,) = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.MERGE)]))
    assert (result.fate, result.reason) == (Fate.REVERTED, "SafeMath: subtraction overflow")
    assert (result.collateral, result.as_expected) == (0, True)
    assert len(tokens.executed) == 1


def test_balances_that_move_otherwise_than_the_call_are_noticed() -> None:
    tokens = FakeTokens(DIRECT)
    tokens.history[0].update({A.yes: TEN, A.no: TEN})

    def skim(have: Any) -> None:
        have[COLLATERAL] -= 1

    tokens.beside = skim
    (result,) = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.MERGE)]))
    assert (result.fate, result.as_expected) == (Fate.DONE, False)


def test_a_redeem_after_a_merge_in_one_block_takes_what_that_left() -> None:
    tokens = FakeTokens(DIRECT)
    tokens.history[0].update({A.yes: TEN, A.no: TEN})
    tokens.payouts[A.id] = (1, 0)
    wanted = [intent(Work.MERGE, amount=4 * MICRO), intent(Work.REDEEM)]
    results = virtual(SettlementDesk(tokens, DIRECT).settle(wanted))
    assert [(one.collateral, one.as_expected) for one in results] == [(4 * MICRO, True), (6 * MICRO, True)]
    assert results[0].block == results[1].block


@pytest.mark.no_cover
def test_no_more_intents_are_remembered_than_a_block_can_be_held_against() -> None:
    tokens = FakeTokens(DIRECT, 3 * TEN)
    desk = SettlementDesk(tokens, DIRECT)
    for turn in range(ASKED // 2 + 1):
        wanted = [intent(work, amount=MICRO, turn=turn) for work in (Work.SPLIT, Work.MERGE)]
        assert all(one.as_expected for one in virtual(desk.settle(wanted[:1])) + virtual(desk.settle(wanted[1:])))
    assert len(desk._asked) == ASKED


def test_what_was_done_before_a_restart_is_found_and_not_done_again() -> None:
    tokens = FakeTokens(DIRECT, TEN)
    first = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.SPLIT)]))
    again = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.SPLIT)]))  # the money for a second is not there
    assert again == first  # with what the approval cost: who tells of it first may have died of it
    tokens.payouts[A.id] = (1, 0)
    redeemed = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.REDEEM)]))
    assert (redeemed[0].fate, redeemed[0].collateral) == (Fate.DONE, TEN)
    later = virtual(SettlementDesk(tokens, DIRECT).settle([intent(Work.REDEEM)]))
    assert (later[0].fate, later[0].collateral) == (Fate.DONE, 0)  # long ago: the shares that it paid for are gone
    assert tokens.history[-1][COLLATERAL] == TEN


def test_two_that_settle_at_once_do_not_spend_the_same_shares() -> None:
    tokens = FakeTokens(DIRECT, TEN)
    tokens.history[0].update({A.yes: TEN, A.no: TEN})
    tokens.pause_s = 5.0
    desk = SettlementDesk(tokens, DIRECT)

    async def main() -> Any:
        return await asyncio.gather(
            desk.settle([intent(Work.MERGE)]),
            desk.settle([intent(Work.MERGE, amount=6 * MICRO, turn=1)]),
            desk.settle([intent(Work.SPLIT, B, 6 * MICRO)]),
            desk.settle([intent(Work.SPLIT, C, 6 * MICRO)]),
        )

    results = [one for (one,) in virtual(main())]
    assert [one.fate for one in results] == [Fate.DONE, Fate.REFUSED, Fate.DONE, Fate.REFUSED]
    assert desk._under_way == {}


def test_fault_C13_approvals_go_to_known_contracts_with_a_number_and_can_always_be_taken_back() -> None:
    assert approve_collateral(DIRECT, CTF, 5, "k").to == USD
    assert approve_collateral(DIRECT, "0x" + "ee" * 20, 0, "k").work is Work.APPROVE
    assert approve_positions(DIRECT, "0x" + "ee" * 20, "k", approved=False).to == CTF
    with pytest.raises(SpenderRefused, match="none of the 2 contracts"):
        approve_collateral(DIRECT, "0x" + "ee" * 20, 1, "k")
    with pytest.raises(SpenderRefused, match="none of the 2 contracts"):
        approve_positions(DIRECT, "0x" + "ee" * 20, "k")
    for amount in (-1, 2**256 - 1):
        with pytest.raises(SpenderRefused, match="without limit"):
            approve_collateral(DIRECT, CTF, amount, "k")


def test_an_operator_that_may_not_be_approved_is_refused_at_the_start() -> None:
    wrong = Contracts(conditional_tokens=CTF, collateral=USD, operator=ADAPTER)
    with pytest.raises(ConfigError, match="none of the known spenders"):
        SettlementDesk(FakeTokens(wrong), wrong)
    assert SettlementDesk(FakeTokens(wrong), wrong, approves=False) is not None
    assert {POLYMARKET.operator, POLYMARKET.neg_risk_adapter} <= POLYMARKET.spenders


def test_a_contract_that_answers_nothing_is_not_the_one_that_is_meant() -> None:
    elsewhere = Contracts(conditional_tokens=CTF, collateral=ADAPTER, operator=CTF, spenders=frozenset({CTF}))
    with pytest.raises(ConfigError, match="it is not the contract that is meant"):
        virtual(SettlementDesk(FakeTokens(DIRECT), elsewhere).settle([intent(Work.SPLIT)]))


amounts = st.integers(1, 10**13)


@given(amount=amounts, yes=st.integers(0, 5), no=st.integers(0, 5), held=st.tuples(amounts, amounts))
def test_money_and_pairs_are_worth_the_same_after_every_intent(
    amount: int, yes: int, no: int, held: tuple[int, int]
) -> None:
    """A pair is a dollar: what a split takes a merge gives; a redeem pays never more than its shares are worth."""
    split, merge = intent(Work.SPLIT, amount=amount), intent(Work.MERGE, amount=amount)
    assert {token: -change for token, change in split.moves({}).items()} == merge.moves({})
    assert split.moves({})[COLLATERAL] + split.moves({})[A.yes] == 0
    if yes + no:
        payout, have = Payout(yes, no, yes + no), {A.yes: held[0], A.no: held[1]}
        paid = intent(Work.REDEEM).moves(have, payout)[COLLATERAL]
        worth = held[0] * yes + held[1] * no
        assert paid * (yes + no) <= worth < (paid + 2) * (yes + no)


@given(amount=amounts, taken=st.sets(st.integers(0, 2), min_size=1), winner=st.integers(0, 2), fee=st.integers(0, 500))
def test_a_conversion_is_worth_the_same_whoever_wins_less_its_fee(
    amount: int, taken: set[int], winner: int, fee: int
) -> None:
    market = NegRiskMarket(MARKET.id, MARKET.questions, fee)
    order = tuple(sorted(taken))
    one = intent(Work.CONVERT, market.questions[order[0]], amount, market=market, taken=order)
    value = 0
    for token, change in one.moves({}).items():
        if token == COLLATERAL:
            value += change
        for at, question in enumerate(market.questions):
            value += change * (token == (question.yes if at == winner else question.no))
    # the fee is on all that comes out; without one nothing is won or lost
    out = amount - amount * fee // 10_000
    came = (len(taken) - 1) * out + (out if winner not in taken else 0)
    assert value == came - amount * (len(taken) - (winner in taken))
    assert value == 0 or fee


@pytest.mark.parametrize(
    "wrong",
    [
        {"work": Work.APPROVE},
        {"work": Work.SPLIT, "amount": Size(0)},
        {"work": Work.CONVERT},
        {"work": Work.CONVERT, "market": MARKET},
        {"work": Work.CONVERT, "market": MARKET, "taken": (1, 0)},
        {"work": Work.CONVERT, "market": MARKET, "taken": (0, 0)},
        {"work": Work.CONVERT, "market": MARKET, "taken": (0, 3)},
        {"work": Work.CONVERT, "market": MARKET, "taken": (1, 2)},
    ],
)
def test_an_intent_that_means_nothing_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Intent(**{"trade": "t", "condition": A, "amount": TEN, **wrong})


def test_a_redeem_is_not_judged_before_its_payout_is_known() -> None:
    with pytest.raises(ValueError, match="not known before"):
        intent(Work.REDEEM).moves({})
