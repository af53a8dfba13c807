"""The capital cycle on the real ConditionalTokens, by an account and by a Safe, and what batches save in gas."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from arbkit.chain.batch import Way
from arbkit.chain.gas import GasFees
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.core.errors import ConfigError
from arbkit.core.secrets import Secret
from arbkit.core.transaction import CallResult, Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.settlement.contracts import calldata
from arbkit.settlement.intents import Intent, SettlementResult
from arbkit.settlement.positions import NO, NO_PARENT, YES, Condition, collection_id, condition_id
from tests.chain.conftest import Anvil
from tests.chain.contracts import World, build
from tests.figures import Reached

pytestmark = pytest.mark.chain
TEN = Size(10 * MICRO)


def intent(work: Work, condition: Condition, amount: Size = TEN, turn: int = 0) -> Intent:
    return Intent(work, "trade", condition, Size(0) if work is Work.REDEEM else amount, turn)


def all_done(results: Sequence[SettlementResult]) -> bool:
    return all(one.fate is Fate.DONE and one.is_final and one.as_expected for one in results)


@pytest.mark.parametrize("safe", [False, True], ids=["account", "safe"])
async def test_a_dollar_goes_round_split_merge_redeem(anvil: Anvil, safe: bool) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    async with world.polygon(safe=safe) as polygon, world.mining():
        desk, holder = world.settle(polygon), polygon.holder
        start = await world.balance(holder)

        assert all_done(await desk.settle([intent(Work.SPLIT, condition)]))
        assert await world.held(holder, condition) == (start - TEN, TEN, TEN)
        spender = calldata("allowance(address,address)", holder, world.contracts.operator)
        assert int.from_bytes(await polygon.ask(world.contracts.collateral, spender)) == 0  # exact: used up

        four = Size(4 * MICRO)
        assert all_done(await desk.settle([intent(Work.MERGE, condition, four)]))
        assert await world.held(holder, condition) == (start - TEN + four, TEN - four, TEN - four)

        (early,) = await desk.settle([intent(Work.REDEEM, condition)])
        assert (early.fate, early.reason) == (Fate.REFUSED, "the condition is not resolved")

        await world.answer("question 0", 1, 0)
        (redeemed,) = await desk.settle([intent(Work.REDEEM, condition)])
        assert all_done([redeemed])
        assert redeemed.collateral == TEN - four
        assert await world.held(holder, condition) == (start, 0, 0)

        (again,) = await desk.settle([intent(Work.REDEEM, condition)])
        assert again.hash == redeemed.hash  # the same intent is the same call
        (more,) = await desk.settle([intent(Work.REDEEM, condition, turn=1)])
        assert more.reason == "no shares of it are held"
    assert not world.folded().of(world.us)


@pytest.mark.parametrize(("yes", "no"), [(1, 1), (0, 1), (2, 3)])
async def test_a_void_or_partial_answer_pays_each_side_its_share_rounded_down(anvil: Anvil, yes: int, no: int) -> None:
    world = await build(anvil)
    (condition,) = world.conditions
    amount = Size(3 * MICRO + 1)
    async with world.polygon() as polygon, world.mining():
        desk = world.settle(polygon)
        assert all_done(await desk.settle([intent(Work.SPLIT, condition, amount)]))
        await world.answer("question 0", yes, no)
        (result,) = await desk.settle([intent(Work.REDEEM, condition)])
        assert all_done([result])
        assert result.collateral == amount * yes // (yes + no) + amount * no // (yes + no)


async def test_position_ids_are_those_of_the_contract(anvil: Anvil) -> None:
    world = await build(anvil, questions=0)
    ctf, usd = world.contracts.conditional_tokens, world.contracts.collateral
    async with world.polygon() as polygon:
        for number in range(60):
            condition = condition_id(world.oracle, number.to_bytes(32, "big"))
            asked = calldata("getConditionId(address,bytes32,uint256)", world.oracle, number.to_bytes(32, "big"), 2)
            assert await polygon.ask(ctf, asked) == condition
            for index in (YES, NO):
                collection = collection_id(condition, index)
                asked = calldata("getCollectionId(bytes32,bytes32,uint256)", NO_PARENT, condition, index)
                assert await polygon.ask(ctf, asked) == collection
                asked = calldata("getPositionId(address,bytes32)", usd, collection)
                position = int.from_bytes(await polygon.ask(ctf, asked))
                assert position == world.contracts.condition(condition).tokens[index - 1]


async def split_all(world: World, polygon: PolygonOptimizer, turn: int = 0) -> None:
    done = await world.settle(polygon).settle([intent(Work.SPLIT, one, turn=turn) for one in world.conditions])
    assert all_done(done)


async def merged(world: World, polygon: PolygonOptimizer, turn: int) -> tuple[CallResult, ...]:
    calls = [intent(Work.MERGE, one, turn=turn).call(world.contracts) for one in world.conditions]
    return await polygon.execute(calls)


async def test_a_batch_of_five_merges_costs_what_it_must_and_is_mined_at_once(anvil: Anvil, reached: Reached) -> None:
    world = await build(anvil, questions=5)
    async with world.polygon() as account, world.mining():
        await split_all(world, account)
        before = await account.head()
        apart = await merged(world, account, turn=1)
        pipelined = {one.block for one in apart}
        assert all(one.fate is Fate.DONE for one in apart)
    async with world.polygon(safe=True) as safe, world.mining():
        await split_all(world, safe, turn=2)
        plan, cost = await safe.estimate(
            [intent(Work.MERGE, one, turn=3).call(world.contracts) for one in world.conditions]
        )
        assert plan.way is Way.MULTISEND
        assert cost.gas == plan.gas
        together = await merged(world, safe, turn=3)
        assert len({one.hash for one in together}) == 1
        assert all(one.fate is Fate.DONE for one in together)
        await split_all(world, safe, turn=4)
        singles = []
        for condition in world.conditions:
            singles += await safe.execute([intent(Work.MERGE, condition, turn=5).call(world.contracts)])
        assert len({one.hash for one in singles}) == 5
        saved = safe.tracker.get_summary()
    batch, accounts, alone = (sum(one.gas_used for one in some) for some in (together, apart, singles))
    blocks = max(pipelined) - min(pipelined) + 1
    reached(
        "gas: MultiSend of 5 merges / 5 by an account", f"{batch:,} / {accounts:,} = {batch / accounts:.3f}", "<= 0.88"
    )
    reached("gas: MultiSend of 5 merges / 5 by a Safe", f"{batch:,} / {alone:,} = {batch / alone:.3f}", "<= 0.62")
    reached("5 pipelined merges are mined within", f"{blocks} block(s)", "<= 2")
    assert batch <= 0.88 * accounts
    assert batch <= 0.62 * alone
    assert max(pipelined) - min(pipelined) <= 1
    assert min(pipelined) > before
    assert saved["gas_saved"] > 0


async def test_two_merges_of_an_account_are_not_batched_and_one_of_a_safe_is_not_either(anvil: Anvil) -> None:
    world = await build(anvil, questions=2)
    async with world.polygon() as account, world.mining():
        await split_all(world, account)
        calls = [intent(Work.MERGE, one, turn=1).call(world.contracts) for one in world.conditions]
        assert (await account.batches.plan(calls)).way is Way.PIPELINED
    async with world.polygon(safe=True) as safe, world.mining():
        await split_all(world, safe, turn=2)
        calls = [intent(Work.MERGE, one, turn=3).call(world.contracts) for one in world.conditions]
        assert (await safe.batches.plan(calls[:1])).way is Way.SINGLE
        assert (await safe.batches.plan(calls)).way is Way.MULTISEND


async def test_a_stranger_and_a_safe_of_strangers_are_refused_in_words(anvil: Anvil) -> None:
    world = await build(anvil)
    stranger = type(world.signer)(Secret(anvil.keys[5]), 137, live=False)
    world.signer, ours = stranger, world.signer
    with pytest.raises(ConfigError, match=f"{stranger.address} is no owner of the Safe"):
        async with world.polygon(safe=True):
            pass
    world.signer = ours
    world.safe = type(world.safe)(world.contracts.collateral, world.safe.multisend)
    with pytest.raises(ConfigError, match="is no Safe"):
        async with world.polygon(safe=True):
            pass


async def test_signing_a_batch_is_measured(anvil: Anvil, reached: Reached) -> None:
    world = await build(anvil, questions=5)
    calls = [intent(Work.MERGE, one).call(world.contracts) for one in world.conditions]
    one = world.safe.batch("batch", calls, world.us)
    taken: list[Any] = []
    for nonce in range(100):
        began = time.thread_time_ns()
        world.signer.sign(nonce, one.to, one.data, 0, 500_000, GasFees(80 * 10**9, 25 * 10**9))
        taken.append(time.thread_time_ns() - began)
    reached("signing a batch of 5 merges, CPU, median of 100", f"{sorted(taken)[50] / 1e6:.2f} ms", "measured")
    assert len(one.data) > 1_000
