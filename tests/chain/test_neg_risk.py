# ruff: noqa: N802 - fault tests carry the id of the fault
"""Conversions on the real tokens: NO of some questions into YES of the others, and a dollar for all of them but one."""

from __future__ import annotations

import pytest

from arbkit.chain.fault_proxy import FaultProxy
from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.core.errors import Reverted
from arbkit.core.retry import RetryStrategy
from arbkit.core.transaction import Call, Fate, Work
from arbkit.core.units import Size
from arbkit.settlement.contracts import IS_APPROVED, calldata, convert_data
from arbkit.settlement.intents import Intent
from tests.chain.conftest import Anvil
from tests.chain.neg_risk import TEN, NegRiskWorld

pytestmark = pytest.mark.chain


def conversion(market: NegRiskWorld, *taken: int, amount: int = TEN, turn: int = 0) -> Intent:
    return Intent(Work.CONVERT, "trade", market.first(taken), Size(amount), turn, market.market, taken)


@pytest.mark.parametrize("safe", [False, True], ids=["account", "safe"])
@pytest.mark.parametrize("fee_bips", [0, 200])
async def test_no_of_two_becomes_yes_of_the_third_and_a_dollar_each_less_the_markets_fee(
    anvil: Anvil, safe: bool, fee_bips: int
) -> None:
    market = await NegRiskWorld.build(anvil, fee_bips=fee_bips)
    world, amount = market.world, TEN + 1  # an odd millionth, of which the fee is rounded down
    out = amount - amount * fee_bips // 10_000
    async with world.polygon(safe=safe) as polygon, world.mining():
        holder = polygon.holder
        await market.give(holder, (0, 2), amount)
        start, _ = await market.held(holder)
        (done,) = await world.settle(polygon).settle([conversion(market, 0, 2, amount=amount)])
        assert (done.fate, done.is_final, done.as_expected, done.collateral) == (Fate.DONE, True, True, out)
        assert await market.held(holder) == (start + out, [(0, 0), (out, 0), (0, 0)])
        assert await market.held(market.vault) == (amount - out, [(0, 0), (amount - out, 0), (0, 0)])
        asked = calldata(IS_APPROVED, holder, world.contracts.neg_risk_adapter)
        assert int.from_bytes(await polygon.ask(world.contracts.conditional_tokens, asked)) == 1

        await market.answer(1)  # what was made of the conversion pays like any other share
        redeem = Intent(Work.REDEEM, "trade", market.market.questions[1])
        (redeemed,) = await world.settle(polygon).settle([redeem])
        assert (redeemed.fate, redeemed.as_expected, redeemed.collateral) == (Fate.DONE, True, out)


@pytest.mark.parametrize("winner", [0, 1, 2])
async def test_no_of_every_question_is_worth_the_same_converted_as_kept_whoever_wins(anvil: Anvil, winner: int) -> None:
    market = await NegRiskWorld.build(anvil)
    world = market.world
    async with world.polygon() as polygon, world.mining():
        await market.give(world.us, (0, 1, 2), 2 * TEN)
        start, _ = await market.held(world.us)
        desk = world.settle(polygon)
        (done,) = await desk.settle([conversion(market, 0, 1, 2)])  # one half: the other is kept and redeemed
        assert (done.fate, done.as_expected, done.collateral) == (Fate.DONE, True, 2 * TEN)
        assert await market.held(world.us) == (start + 2 * TEN, [(0, TEN)] * 3)
        await market.answer(winner)
        kept = await desk.settle([Intent(Work.REDEEM, "trade", one) for one in market.market.questions])
        assert [one.fate for one in kept] == [Fate.DONE] * 3
        assert sum(one.collateral for one in kept) == done.collateral
        assert await market.held(world.us) == (start + 4 * TEN, [(0, 0)] * 3)


async def test_splits_and_merges_of_a_neg_risk_question_go_through_the_adapter(anvil: Anvil) -> None:
    market = await NegRiskWorld.build(anvil)
    world, question = market.world, market.market.questions[1]
    async with world.polygon() as polygon, world.mining():
        desk = world.settle(polygon)
        start, _ = await market.held(world.us)
        (split,) = await desk.settle([Intent(Work.SPLIT, "trade", question, Size(TEN))])
        assert (split.fate, split.as_expected) == (Fate.DONE, True)
        assert await market.held(world.us) == (start - TEN, [(0, 0), (TEN, TEN), (0, 0)])
        (merge,) = await desk.settle([Intent(Work.MERGE, "trade", question, Size(TEN))])
        assert (merge.fate, merge.as_expected) == (Fate.DONE, True)
        assert await market.held(world.us) == (start, [(0, 0)] * 3)


async def test_a_safes_conversions_of_two_halves_are_one_transaction(anvil: Anvil) -> None:
    market = await NegRiskWorld.build(anvil)
    world = market.world
    async with world.polygon(safe=True) as polygon, world.mining():
        await market.give(polygon.holder, (0, 1), 2 * TEN)
        both = [conversion(market, 0, 1, turn=turn) for turn in (0, 1)]
        done = await world.settle(polygon).settle(both)
        assert [(one.fate, one.as_expected, one.collateral) for one in done] == [(Fate.DONE, True, TEN)] * 2
        assert len({one.hash for one in done}) == 1


async def test_fault_C9_a_conversion_that_cannot_be_is_refused_and_the_contracts_word_is_told(anvil: Anvil) -> None:
    market = await NegRiskWorld.build(anvil)
    world = market.world
    async with world.polygon() as polygon, world.mining():
        await market.give(world.us, (0,), TEN)
        before = await market.held(world.us)
        (short,) = await world.settle(polygon).settle([conversion(market, 0, 2)])
        assert (short.fate, short.hash) == (Fate.REFUSED, "")
        assert f"{TEN} needed, 0 there" in short.reason
        adapter = world.contracts.neg_risk_adapter
        unknown = Call("unknown", adapter, convert_data(bytes(32), (0, 1), TEN), Work.CONVERT)
        with pytest.raises(Reverted, match="MarketNotPrepared"):  # asked past the desk
            await polygon.transactions.submit(unknown)
        beyond = Call("beyond", adapter, convert_data(market.market.id, (0, 7), TEN), Work.CONVERT)
        with pytest.raises(Reverted, match="InvalidIndexSet"):
            await polygon.transactions.submit(beyond)
        assert await market.held(world.us) == before
    assert world.facts("signed") == []


async def test_fault_C13_an_adapter_that_is_no_known_spender_is_given_nothing(anvil: Anvil) -> None:
    market = await NegRiskWorld.build(anvil)
    world = market.world
    market.without_spenders()
    async with world.polygon() as polygon, world.mining():
        await market.give(world.us, (0, 1), TEN)
        (refused,) = await world.settle(polygon).settle([conversion(market, 0, 1)])
    adapter = world.contracts.neg_risk_adapter
    assert (refused.fate, refused.reason) == (
        Fate.REFUSED,
        f"{adapter} is none of the known spenders: it is not approved",
    )
    assert world.facts("signed") == []


async def test_fault_C5_a_conversion_whose_replies_are_lost_is_made_once(anvil: Anvil) -> None:
    market = await NegRiskWorld.build(anvil)
    world = market.world
    async with FaultProxy(anvil.url, seed=5) as proxy:
        again = RetryStrategy(deadline_s=1.0, most_s=0.1)
        endpoints = [RPCEndpoint(proxy.url, "proxied")]
        pool = RPCLoadBalancer(endpoints, contracts={}, fresh_s=0.0, probe_s=0.2, retry=again, resend=again)
        async with pool as node, world.polygon(node=node) as polygon, world.mining():
            await market.give(world.us, (0, 1, 2), 2 * TEN)  # enough for two: a second one would be seen
            start, _ = await market.held(world.us)
            lost = proxy.add("lost_reply", "eth_sendRawTransaction", times=2)
            (done,) = await world.settle(polygon).settle([conversion(market, 0, 1, 2)])
            assert (done.fate, done.as_expected) == (Fate.DONE, True)
            assert proxy.struck[lost.kind] == 2
            assert await market.held(world.us) == (start + 2 * TEN, [(0, TEN)] * 3)
