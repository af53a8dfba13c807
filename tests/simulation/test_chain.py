# ruff: noqa: N802 - fault tests carry the id of the fault
"""Transactions on a chain that fails in seeded ways: nothing twice, nothing lost, nothing called failed that was done.

What holds is asked of the chain itself, rebuilt from its blocks, and of the journal: both must say the same.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from arbkit.chain.gas import GWEI, GasConfig
from arbkit.chain.transactions import TransactionConfig
from arbkit.core.transaction import Fate, Transaction
from tests.chain.rig_fake import ChainRig, call
from tests.figures import Reached

LOST_REPLIES = 1_000
REORGANISED = 120
STUCK = 60


def check(rig: ChainRig, names: list[str], done: list[Transaction]) -> None:
    """Hold results, journal and chain against each other."""
    final = rig.chain.number - 4
    effects, mined = rig.chain.effects(final), rig.chain.mined(final)
    for name, one in zip(names, done, strict=True):
        assert one.is_final, name
        assert effects[name.encode()] == (1 if one.fate is Fate.DONE else 0), f"{name} is {one.fate}"
        if one.mined is not None:
            tx, block = mined[one.mined.hash]
            assert (block.number, block.hash) == (one.mined.block, one.mined.block_hash)
            assert tx.nonce == one.nonce
            assert one.paid <= rig.chain.gas_of(tx.to, tx.data) * rig.gas.max_fee_cap
    assert max(effects.values(), default=1) == 1  # nothing twice, ours or not
    used = sorted(tx.nonce for tx, _ in mined.values())
    assert used == list(range(len(used)))  # no gap
    assert rig.desk.open == ()


async def all_ended(rig: ChainRig, names: list[str]) -> list[Transaction]:
    async with asyncio.timeout(3_600):
        return list(await asyncio.gather(*(rig.desk.wait(call(name).key) for name in names)))


@pytest.mark.slow
@pytest.mark.chain_figure
def test_fault_C5_a_lost_answer_is_no_duplicate_and_no_false_failure_in_a_thousand_runs(reached: Reached) -> None:
    lost = resent = calls = 0
    for seed in range(LOST_REPLIES):
        rig = ChainRig(seed=seed)
        chance = random.Random(f"lost replies {seed}")
        rig.chain.loses_reply, rig.chain.loses_request = 0.5, 0.2
        rig.chain.hides, rig.chain.drops, rig.chain.lags = 0.2, 0.1, 0.5
        names = [f"{seed}.{at}" for at in range(chance.randint(1, 4))]

        async def main(
            rig: ChainRig = rig, names: list[str] = names, chance: random.Random = chance
        ) -> list[Transaction]:
            for name in names:
                await rig.desk.submit(call(name))
                if chance.random() < 0.2:
                    await asyncio.sleep(chance.uniform(0, 4))
                    await rig.restart().start()
                if chance.random() < 0.2:
                    await rig.desk.submit(call(name))  # whoever heard nothing asks again
            return await all_ended(rig, names)

        done = rig.run(main())
        assert [one.fate for one in done] == [Fate.DONE] * len(names), seed
        check(rig, names, done)
        calls += len(names)
        lost += "transaction.unanswered" in rig.facts()
        resent += rig.chain.sends > len(names)
    told = (
        f"0 doubled, 0 falsely failed of {calls:,} calls in {LOST_REPLIES:,} runs, {lost:,} of them with a reply lost"
    )
    reached("lost reply on send, seeded", told, "0 and 0")  # `check` has refused any other
    assert lost > LOST_REPLIES // 2  # the fault was there
    assert resent > LOST_REPLIES // 4


@pytest.mark.chain_figure
def test_fault_C7_behind_a_stuck_head_all_later_numbers_are_mined_under_the_cap_and_without_a_gap(
    reached: Reached,
) -> None:
    freed = [behind_a_stuck_head(seed) for seed in range(STUCK)]
    dearest = max(price for _, price in freed)
    told = (
        f"{sum(later for later, _ in freed)} later ones mined in {STUCK} runs, no gap, dearest {dearest:.0%} of the cap"
    )
    reached("stuck head nonce, seeded", told, "all, no gap, <= 100%")


def behind_a_stuck_head(seed: int) -> tuple[int, float]:
    """Let a head get stuck and hold what becomes of it; return how many stood behind it, and the dearest by the cap."""
    chance = random.Random(f"stuck {seed}")
    rig = ChainRig(seed=seed, gas=GasConfig(max_fee_cap=1_000 * GWEI))
    rig.chain.drops = chance.choice([0.0, 0.1])
    names = [f"{seed}.{at}" for at in range(chance.randint(2, 8))]
    asked, base = chance.randint(30, 60), chance.randint(40, 160)
    rig.chain.told_tip = lambda _number: 25 * GWEI  # the history does not help: only more and more money does

    async def main() -> list[Transaction]:
        for name in names:
            await rig.desk.submit(call(name))
        rig.chain.asked_tip = lambda _number: asked * GWEI
        rig.chain.base = lambda _number: base * GWEI
        return await all_ended(rig, names)

    done = rig.run(main())
    assert [one.fate for one in done] == [Fate.DONE] * len(names)
    assert len(done[0].attempts) > 1
    check(rig, names, done)
    return len(done) - 1, max(one.mined.price for one in done if one.mined is not None) / rig.gas.max_fee_cap


@pytest.mark.chain_figure
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_fault_C10_after_reorganisations_the_state_is_what_the_chain_says_rebuilt(depth: int, reached: Reached) -> None:
    for seed in range(REORGANISED // 3):
        chance = random.Random(f"reorganised {depth} {seed}")
        rig = ChainRig(seed=seed, config=TransactionConfig(poll_s=0.5))
        rig.chain.hides = 0.1
        names = [f"{seed}.{at}" for at in range(chance.randint(1, 5))]
        bad = {name.encode() for name in names if chance.random() < 0.2}

        async def main(
            rig: ChainRig = rig,
            names: list[str] = names,
            bad: set[bytes] = bad,
            chance: random.Random = chance,
        ) -> list[Transaction]:
            for name in names:
                await rig.desk.submit(call(name))
            rig.chain.fails = lambda _to, data: "no" if data in bad else ""
            waiting = asyncio.ensure_future(all_ended(rig, names))
            for _ in range(3):
                await asyncio.sleep(chance.uniform(1, 6))
                rig.chain.reorganise(min(depth, rig.chain.number), back_to_pool=chance.random() < 0.5)
                # what failed in one history may pass in the other
                bad.symmetric_difference_update({chance.choice(names).encode()})
                if chance.random() < 0.3:
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)
                    await rig.restart().start()
                    waiting = asyncio.ensure_future(all_ended(rig, names))
            return await waiting

        check(rig, names, rig.run(main()))
    runs = REORGANISED // 3
    reached(f"reorganisations {depth} deep, seeded", f"{runs} of {runs} runs: state = chain rebuilt", "all")


@pytest.mark.parametrize("seed", range(20))
def test_fault_C6_numbers_that_another_process_takes_cost_no_call_and_make_none_twice(seed: int) -> None:
    chance = random.Random(f"foreign {seed}")
    rig = ChainRig(seed=seed)
    rig.chain.loses_reply, rig.chain.hides = 0.3, 0.2
    names = [f"{seed}.{at}" for at in range(4)]

    async def main() -> list[Transaction]:
        async def meddle() -> None:
            for _ in range(2):
                await asyncio.sleep(chance.uniform(0, 5))
                rig.chain.use_number()

        meddling = asyncio.ensure_future(meddle())
        results = await rig.polygon.execute([call(name) for name in names])
        await meddling
        assert [result.fate for result in results] == [Fate.DONE] * 4
        return await all_ended(rig, names)

    check(rig, names, rig.run(main()))
