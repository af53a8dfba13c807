"""What the notebook on Polygon measures, on the real contracts."""

from __future__ import annotations

import pytest

from arbkit.analysis import polygon
from arbkit.chain.batch import Way
from arbkit.chain.merge_costs import PAIRS, Made, measure_merges, measure_works
from arbkit.core.transaction import Work
from tests.chain.conftest import Anvil
from tests.chain.contracts import build

pytestmark = pytest.mark.chain


async def test_merges_are_measured_in_three_ways_and_everything_delivered_is_merged(anvil: Anvil) -> None:
    world = await build(anvil, questions=3)
    before = [await world.balance(holder) for holder in (world.us, world.safe.address)]
    costs = {(one.made, one.merges): one for one in await measure_merges(world, (1, 3))}
    assert len(costs) == 6
    assert [costs[made, 3].transactions for made in Made] == [3, 3, 1]
    assert costs[Made.MULTISEND, 3].gas < costs[Made.ACCOUNT, 3].gas < costs[Made.SAFE, 3].gas
    # A single call is never batched, with reason: what MultiSend adds is not won back.
    assert costs[Made.MULTISEND, 1].gas > costs[Made.SAFE, 1].gas > costs[Made.ACCOUNT, 1].gas
    assert costs[Made.SAFE, 1].chosen is Way.SINGLE
    assert costs[Made.SAFE, 3].chosen is Way.MULTISEND
    assert costs[Made.ACCOUNT, 3].chosen is Way.PIPELINED
    after = [await world.balance(holder) for holder in (world.us, world.safe.address)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [4 * PAIRS, 8 * PAIRS]
    for holder in (world.us, world.safe.address):
        assert (await world.held(holder, world.conditions[0]))[1:] == (0, 0)


async def test_the_gas_of_each_work_is_measured_over_all_conditions(anvil: Anvil) -> None:
    world = await build(anvil, questions=2)
    start = await world.balance(world.us)
    used = await measure_works(world)
    assert set(used) == {Work.APPROVE, Work.SPLIT, Work.MERGE, Work.REDEEM}
    assert used[Work.SPLIT] > used[Work.MERGE] > used[Work.APPROVE] > 21_000
    assert await world.balance(world.us) == start  # split, merged in half, and redeemed at a dollar


async def test_the_notebooks_answers_on_a_local_node(anvil: Anvil) -> None:
    gas = await polygon.measured_gas(questions=1)
    assert set(gas.shown["call"]) == {"approve", "merge", "redeem", "split"}
    assert gas.shown["gas, stated above"].iloc[0] == ""  # of an approval alone nothing was stated
    savings = await polygon.batch_savings((1, 5))
    five = savings.shown.iloc[1]
    assert float(five["MultiSend / account"]) <= 0.88
    assert float(five["MultiSend / Safe singles"]) <= 0.62
    assert savings.figures.gas_per_merge.figure.data
