# ruff: noqa: N802 - fault tests carry the id of the fault
"""Faults of transactions on a real node with real contracts: numbers, fees, reverts, reorganisations, batches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arbkit.chain.fault_proxy import FaultProxy
from arbkit.chain.gas import GWEI, GasConfig
from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.core.errors import FeeAboveCap, Reverted, SpenderRefused
from arbkit.core.model import Settlement
from arbkit.core.retry import RetryStrategy
from arbkit.core.transaction import Call, Fate, Transaction, Work
from arbkit.core.units import MICRO, Size
from arbkit.settlement.approvals import approve_collateral, approve_positions
from arbkit.settlement.contracts import calldata
from arbkit.settlement.delivery import Counterparties, Delivery, look_at_delivery
from arbkit.settlement.intents import Intent
from arbkit.settlement.positions import Condition
from tests.chain.conftest import Anvil
from tests.chain.contracts import BLOCK_S, World, build

pytestmark = pytest.mark.chain
TEN = Size(10 * MICRO)
TRANSFER = "safeTransferFrom(address,address,uint256,uint256,bytes)"


def intent(work: Work, condition: Condition, turn: int = 0, amount: Size = TEN) -> Intent:
    return Intent(work, "trade", condition, Size(0) if work is Work.REDEEM else amount, turn)


def nothing(world: World, name: str) -> Call:
    """A transfer of nothing to somebody."""
    return Call(name, world.other, b"", Work.OTHER)


async def count(anvil: Anvil, account: str) -> int:
    return int(await anvil.do("eth_getTransactionCount", account, "latest"), 16)


async def sent(anvil: Anvil) -> None:
    """Wait until the node holds a transaction: on record it is before that."""
    async with asyncio.timeout(30):
        while int((await anvil.do("txpool_status"))["pending"], 16) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ended(polygon: Any, *keys: str) -> list[Transaction]:
    async with asyncio.timeout(30):
        return list(await asyncio.gather(*(polygon.transactions.wait(key) for key in keys)))


# -- answers ---------------------------------------------------------------------------------------------------------


async def test_fault_C5_lost_replies_and_late_receipts_double_no_dollar_and_fail_no_intent(anvil: Anvil) -> None:
    world = await build(anvil, questions=4)
    async with FaultProxy(anvil.url, seed=5) as proxy:
        endpoints = [RPCEndpoint(proxy.url, "proxied")]
        again = RetryStrategy(deadline_s=1.0, most_s=0.1)
        pool = RPCLoadBalancer(endpoints, contracts={}, fresh_s=0.0, probe_s=0.2, retry=again, resend=again)
        async with pool as node, world.polygon(node=node) as polygon, world.mining():
            desk = world.settle(polygon)
            start = await world.balance(world.us)
            lost = proxy.add("lost_reply", "eth_sendRawTransaction", p=0.7)
            late = proxy.add("null", p=0.3)
            splits = await desk.settle([intent(Work.SPLIT, one) for one in world.conditions])
            merges = await desk.settle([intent(Work.MERGE, one) for one in world.conditions[:2]])
            assert {one.fate for one in (*splits, *merges)} == {Fate.DONE}
            assert proxy.struck[lost.kind] > 0
            assert proxy.struck[late.kind] > 0
    assert await world.balance(world.us) == start - 2 * TEN
    assert await count(anvil, world.us) == 7  # one approval, four splits, two merges


# -- numbers ---------------------------------------------------------------------------------------------------------


async def test_fault_C6_a_hole_freezes_what_is_above_it_until_it_is_filled_with_nothing(anvil: Anvil) -> None:
    world = await build(anvil)
    foreign = await anvil.do("eth_sendTransaction", {"from": world.us, "to": world.other, "value": "0x0"})
    async with world.polygon() as polygon:
        await anvil.do("anvil_dropTransaction", foreign)  # somebody's number 0 was seen, and fell out of the pool
        for name in "abc":
            await polygon.transactions.submit(nothing(world, name))
        await anvil.mine()
        assert await count(anvil, world.us) == 0
        status = await anvil.do("txpool_status")
        assert (int(status["pending"], 16), int(status["queued"], 16)) == (0, 3)
        async with world.mining():
            done = await ended(polygon, *"abc")
        assert [(one.nonce, one.fate) for one in done] == [(1, Fate.DONE), (2, Fate.DONE), (3, Fate.DONE)]
    repair = world.folded().closed[f"repair:{world.us}:0"]
    assert (repair.fate, repair.call.to, repair.call.value) == (Fate.DONE, world.us, 0)


async def test_fault_C6_a_number_that_another_process_used_costs_the_call_nothing(anvil: Anvil) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon() as polygon:
        call = approve_collateral(world.contracts, world.contracts.operator, TEN, "approve")
        doing = asyncio.ensure_future(polygon.execute([call]))
        await sent(anvil)
        await anvil.do("anvil_dropAllTransactions")
        await world.tell(world.us, world.other, b"")  # the same key, another process
        async with world.mining():
            (result,) = await doing
    assert result.fate is Fate.DONE
    assert len(world.facts("displaced")) == 1
    assert [fact.get("nonce") for fact in world.facts("signed")] == [0, 1]
    assert condition is not None


async def test_fault_C6_evicted_transactions_are_sent_again_as_they_were(anvil: Anvil) -> None:
    world = await build(anvil)
    async with world.polygon() as polygon:
        for name in "abc":
            await polygon.transactions.submit(nothing(world, name))
        await anvil.do("anvil_dropAllTransactions")
        async with world.mining():
            done = await ended(polygon, *"abc")
    assert [one.fate for one in done] == [Fate.DONE] * 3
    assert len(world.facts("signed")) == 3


# -- fees ------------------------------------------------------------------------------------------------------------


async def test_fault_C7_behind_a_stuck_head_everything_is_mined_after_replacements_under_the_cap(anvil: Anvil) -> None:
    world = await build(anvil)
    cap = 600 * GWEI
    async with world.polygon(gas=GasConfig(max_fee_cap=cap)) as polygon:
        for name in "abcd":
            await polygon.transactions.submit(nothing(world, name))

        async def dear() -> None:
            while True:
                await anvil.do("anvil_setNextBlockBaseFeePerGas", hex(200 * GWEI))
                await anvil.mine()
                await asyncio.sleep(BLOCK_S)

        mining = asyncio.ensure_future(dear())
        try:
            done = await ended(polygon, *"abcd")
        finally:
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)
    assert [(one.nonce, one.fate) for one in done] == [(at, Fate.DONE) for at in range(4)]
    for one in done:
        first, last = one.attempts[0], one.last
        assert first.max_fee < 200 * GWEI < last.max_fee <= cap
        assert last.tip * 100 >= first.tip * 110
        assert one.mined is not None
        assert one.mined.price <= cap


async def test_fault_C8_a_gas_spike_postpones_a_merge_and_loses_nothing(anvil: Anvil) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon(gas=GasConfig(max_fee_cap=300 * GWEI)) as polygon:
        desk = world.settle(polygon)
        async with world.mining():
            await desk.settle([intent(Work.SPLIT, condition)])
        held = await world.held(world.us, condition)
        signed = len(world.facts("signed"))
        await anvil.do("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))
        await anvil.mine()
        with pytest.raises(FeeAboveCap, match="above the cap of 300 gwei"):
            await desk.settle([intent(Work.MERGE, condition)])
        assert await world.held(world.us, condition) == held
        assert len(world.facts("signed")) == signed
        assert len(world.facts("postponed")) == 1
        await anvil.do("anvil_setNextBlockBaseFeePerGas", hex(30 * GWEI))
        await anvil.mine()
        async with world.mining():
            (merged,) = await desk.settle([intent(Work.MERGE, condition)])
        assert merged.fate is Fate.DONE


# -- reverts ---------------------------------------------------------------------------------------------------------


async def test_fault_C9_a_merge_of_what_is_not_held_is_refused_with_the_contracts_word(anvil: Anvil) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon() as polygon, world.mining():
        (refused,) = await world.settle(polygon).settle([intent(Work.MERGE, condition)])
        assert (refused.fate, refused.is_final) == (Fate.REFUSED, True)
        assert "needed, 0 there" in refused.reason
        call = intent(Work.MERGE, condition).call(world.contracts)
        with pytest.raises(Reverted, match="SafeMath: subtraction overflow"):  # asked past the desk
            await polygon.transactions.submit(call)
    assert await count(anvil, world.us) == 0
    assert world.facts("reverted")[-1].get("reason") == "SafeMath: subtraction overflow"


async def test_fault_C9_a_merge_that_reverts_when_mined_moves_nothing_and_is_not_tried_again(anvil: Anvil) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon() as polygon:
        desk = world.settle(polygon)
        async with world.mining():
            await desk.settle([intent(Work.SPLIT, condition)])
        ctf = world.contracts.conditional_tokens
        await world.done(world.us, ctf, calldata("setApprovalForAll(address,bool)", world.other, True))
        held = await world.held(world.us, condition)
        doing = asyncio.ensure_future(desk.settle([intent(Work.MERGE, condition)]))
        while not world.facts("sent")[2:]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        # Somebody who may move our shares does so in the same block, for a higher tip and so before the merge.
        data = calldata(TRANSFER, world.us, world.other, condition.yes, TEN, b"")
        first = {"from": world.other, "to": ctf, "data": "0x" + data.hex(), "gas": hex(200_000)}
        fees = {"maxFeePerGas": hex(900 * GWEI), "maxPriorityFeePerGas": hex(500 * GWEI)}
        await anvil.do("eth_sendTransaction", {**first, **fees})
        async with world.mining():
            (result,) = await doing
        assert result.fate is Fate.REVERTED
        assert result.reason == "SafeMath: subtraction overflow"
        assert result.gas_paid > 0
        assert await world.held(world.us, condition) == (held[0], 0, TEN)
        again = await desk.settle([intent(Work.MERGE, condition)])
        assert again[0].fate is Fate.REFUSED
    assert len(world.facts("signed")) == 3  # approve, split, merge: nothing was tried again


# -- reorganisations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_fault_C10_what_a_reorganisation_takes_back_is_made_again_and_once(anvil: Anvil, depth: int) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon() as polygon:
        desk = world.settle(polygon)
        async with world.mining():
            await desk.settle([intent(Work.SPLIT, condition)])
        before = await world.held(world.us, condition)
        doing = asyncio.ensure_future(desk.settle([intent(Work.MERGE, condition)]))
        await sent(anvil)
        await anvil.mine(depth)
        while polygon.transactions.open[0].mined is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (mined,) = polygon.transactions.open
        assert (mined.fate, mined.is_final, doing.done()) == (Fate.DONE, False, False)
        await anvil.do("anvil_reorg", depth, [])
        assert await world.held(world.us, condition) == before
        async with world.mining():
            (result,) = await doing
        assert (result.fate, result.is_final, result.as_expected) == (Fate.DONE, True, True)
        assert await world.held(world.us, condition) == (before[0] + TEN, 0, 0)
    (reorged,) = world.facts("reorged")
    assert mined.mined is not None
    assert reorged.get("block_hash") == mined.mined.block_hash
    assert result.block >= mined.mined.block
    # The state rebuilt from facts is the state in the chain.
    closed = world.folded().closed[result.intent.key]
    receipt = await anvil.do("eth_getTransactionReceipt", closed.last.hash)
    assert closed.mined is not None
    assert (closed.mined.block_hash, closed.mined.gas_used) == (receipt["blockHash"], int(receipt["gasUsed"], 16))


async def test_fault_C10_a_restart_between_block_and_reorganisation_goes_on_from_the_journal(anvil: Anvil) -> None:
    world = await build(anvil)
    async with world.polygon() as polygon:
        await polygon.transactions.submit(nothing(world, "a"))
        await anvil.mine()
        await polygon.transactions.wait("a", final=False)
    await anvil.do("anvil_reorg", 1, [])
    async with world.polygon(book=world.folded()) as polygon, world.mining():
        (done,) = await ended(polygon, "a")
    assert (done.fate, len(done.attempts)) == (Fate.DONE, 1)
    assert await count(anvil, world.us) == 1


# -- batches ---------------------------------------------------------------------------------------------------------


async def test_fault_C12_of_a_safes_five_merges_the_one_that_fails_is_left_out(anvil: Anvil) -> None:
    world = await build(anvil, questions=5)
    bad = world.conditions[2]
    async with world.polygon(safe=True) as polygon, world.mining():
        desk = world.settle(polygon)
        await desk.settle([intent(Work.SPLIT, one) for one in world.conditions if one is not bad])
        before = await world.balance(polygon.holder)
        calls = [intent(Work.MERGE, one).call(world.contracts) for one in world.conditions]
        results = await polygon.execute(calls)
        after = await world.balance(polygon.holder)
    assert [one.fate for one in results] == [Fate.DONE, Fate.DONE, Fate.REFUSED, Fate.DONE, Fate.DONE]
    assert results[2].reason == "SafeMath: subtraction overflow"
    assert len({one.hash for one in results if one.hash}) == 1
    assert after - before == 4 * TEN  # what was split comes back, no more and no less


async def test_fault_C12_a_batch_that_fails_when_mined_is_made_again_without_the_culprit(anvil: Anvil) -> None:
    world = await build(anvil, questions=3)
    async with world.polygon(safe=True) as polygon:
        desk = world.settle(polygon)
        async with world.mining():
            await desk.settle([intent(Work.SPLIT, one) for one in world.conditions])
        before = await world.balance(polygon.holder)
        doing = asyncio.ensure_future(desk.settle([intent(Work.MERGE, one) for one in world.conditions]))
        await sent(anvil)
        await anvil.do("anvil_dropAllTransactions")
        data = calldata(TRANSFER, polygon.holder, world.other, world.conditions[1].no, TEN, b"")
        await anvil.do("anvil_impersonateAccount", polygon.holder)
        await anvil.do("anvil_setBalance", polygon.holder, hex(10**21))
        first = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**12)}  # before the batch, if that is back
        call = {"from": polygon.holder, "to": world.contracts.conditional_tokens, "data": "0x" + data.hex()}
        rival = await anvil.do("eth_sendTransaction", {**call, **first, "gas": hex(500_000)})
        await anvil.mine()
        assert (await anvil.do("eth_getTransactionReceipt", rival))["status"] == "0x1"
        async with world.mining():
            results = await doing
        after = await world.balance(polygon.holder)
        assert [one.fate for one in results] == [Fate.DONE, Fate.REVERTED, Fate.DONE]
        assert "GS013" in results[1].reason
        assert results[1].reason.endswith("SafeMath: subtraction overflow")
        assert all(one.as_expected for one in results)
        assert after - before == 2 * TEN
        assert await world.balance(polygon.holder, world.conditions[1].yes) == TEN


# -- approvals -------------------------------------------------------------------------------------------------------


async def test_fault_C13_a_missing_allowance_is_seen_before_anything_is_signed(anvil: Anvil) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon() as polygon, world.mining():
        (refused,) = await world.settle(polygon, approves=False).settle([intent(Work.SPLIT, condition)])
        assert refused.reason == f"allowance to {world.contracts.operator}: {TEN} needed, 0 there"
        assert await count(anvil, world.us) == 0
        with pytest.raises(Reverted, match="insufficient allowance"):
            await polygon.transactions.submit(intent(Work.SPLIT, condition).call(world.contracts))


async def test_fault_C13_only_known_contracts_are_approved_and_only_what_is_needed(anvil: Anvil) -> None:
    world = await build(anvil, questions=2)
    contracts = world.contracts
    for approve in (
        lambda: approve_collateral(contracts, world.other, 1, "k"),
        lambda: approve_positions(contracts, world.other, "k"),
        lambda: approve_collateral(contracts, contracts.operator, 2**256 - 1, "k"),
    ):
        with pytest.raises(SpenderRefused):
            approve()
    async with world.polygon() as polygon, world.mining():
        await world.settle(polygon).settle([intent(Work.SPLIT, one) for one in world.conditions])
        approval = calldata("allowance(address,address)", world.us, contracts.operator)
        assert int.from_bytes(await polygon.ask(contracts.collateral, approval)) == 0
    approvals = [fact for fact in world.facts("signed") if fact.get("work") == "approve"]
    assert len(approvals) == 1
    assert int(str(approvals[0].get("data"))[-64:], 16) == 2 * TEN


# -- deliveries ------------------------------------------------------------------------------------------------------


async def test_fault_C14_a_match_that_its_maker_spoils_on_chain_is_void_and_the_maker_weighs_less(anvil: Anvil) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    ctf, maker, exchange = world.contracts.conditional_tokens, world.oracle, anvil.accounts[3]
    approve = calldata("approve(address,uint256)", ctf, 2 * TEN)
    await world.done(maker, world.contracts.collateral, approve)
    await world.done(maker, ctf, intent(Work.SPLIT, condition, amount=Size(2 * TEN)).call(world.contracts).data)
    await world.done(maker, ctf, calldata("setApprovalForAll(address,bool)", exchange, True))
    deliver = calldata(TRANSFER, maker, world.us, condition.yes, TEN, b"")
    makers = Counterparties()
    async with world.polygon() as polygon:

        async def look(hash: str) -> Delivery:
            found = await look_at_delivery(polygon, world.contracts, hash, condition.yes, TEN)
            makers.heard("maker", found.settlement)
            return found

        good = await world.tell(exchange, ctf, deliver)
        assert await look(good["transactionHash"]) == Delivery(Settlement.PROVISIONAL)
        await anvil.mine(4)
        assert await look(good["transactionHash"]) == Delivery(Settlement.CONFIRMED, TEN)
        assert makers.weight("maker") == MICRO

        away = calldata(TRANSFER, maker, world.other, condition.yes, TEN, b"")
        await world.done(maker, ctf, away)  # after the match and before it is settled
        bad = await world.tell(exchange, ctf, deliver)
        assert await look(bad["transactionHash"]) == Delivery(Settlement.PROVISIONAL)
        await anvil.mine(4)
        assert await look(bad["transactionHash"]) == Delivery(Settlement.VOIDED, Size(0))
        assert makers.weight("maker") == MICRO * 2 // 11
        assert await look("0x" + "12" * 32) == Delivery(Settlement.PROVISIONAL)

        (merge,) = await world.settle(polygon).settle([intent(Work.MERGE, condition)])  # the other leg never came
        assert merge.fate is Fate.REFUSED
        assert await world.balance(world.us, condition.yes) == TEN
