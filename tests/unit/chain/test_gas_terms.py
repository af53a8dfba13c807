"""What gas asks of an edge is arithmetic: one more share pays, one less does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.chain.gas import GWEI, GasConfig, Urgency
from arbkit.chain.gas_terms import TYPICAL_GAS, StatedFees, gas_terms, smallest_merge, smallest_size
from arbkit.core.errors import ChainUnavailable
from arbkit.core.transaction import Work
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size
from arbkit.settlement.merging import MergeTerms, weigh_merge

DAY_NS = 24 * 3600 * NS_PER_S


async def test_a_call_costs_its_gas_at_base_fee_and_floor_tip() -> None:
    (one,) = await gas_terms({Work.MERGE: 100_000}, [30 * GWEI], [Cash(250_000)])
    assert one.cost is not None
    assert one.cost.wei == 100_000 * (30 + 25) * GWEI
    assert one.cost.dollars == 1_375  # 0.0055 POL at a quarter of a dollar
    assert one.cost.worst_wei == 100_000 * (45 + 25) * GWEI
    (dear,) = await gas_terms({Work.MERGE: 100_000}, [30 * GWEI], [Cash(250_000)], tip=70 * GWEI, urgency=Urgency.FAST)
    assert dear.cost is not None
    assert dear.cost.wei == 100_000 * 100 * GWEI


async def test_rows_are_nested_by_work_base_fee_and_price() -> None:
    found = await gas_terms(TYPICAL_GAS, [GWEI, 2 * GWEI], [Cash(1), Cash(2)])
    assert [(one.work, one.base_fee // GWEI, one.pol) for one in found[:5]] == [
        (Work.MERGE, 1, 1),
        (Work.MERGE, 1, 2),
        (Work.MERGE, 2, 1),
        (Work.MERGE, 2, 2),
        (Work.REDEEM, 1, 1),
    ]


async def test_what_a_cap_forbids_has_no_cost_but_a_reason() -> None:
    (above,) = await gas_terms({Work.MERGE: 100_000}, [1_500 * GWEI], [Cash(MICRO)])
    assert above.cost is None
    assert "above the cap of 1000 gwei" in above.refused
    (dear,) = await gas_terms({Work.SPLIT: 100_000}, [30 * GWEI], [Cash(MICRO)], config=GasConfig(cost_cap=10**15))
    assert dear.cost is None
    assert "would cost 0.0055 POL" in dear.refused


async def test_stated_fees_know_of_nothing_else() -> None:
    node = StatedFees(30 * GWEI)
    asked = ("eth_feeHistory", "0x14", "latest", [50])
    history = await node.read(*asked)
    assert await node.batch([asked]) == await node.read_all(*asked) == [await node.agreed(*asked)] == [history]
    for question in (node.read("eth_chainId"), node.head(), node.send(b"any")):
        with pytest.raises(ChainUnavailable, match="fees are stated here"):
            await question


@given(st.integers(0, 10**9), st.integers(1, MICRO))
def test_the_smallest_size_pays_and_one_millionth_less_does_not(cost: int, edge: int) -> None:
    size = smallest_size(Cash(cost), Price(edge))
    assert edge * size > cost * MICRO
    assert edge * (size - 1) <= cost * MICRO


def test_without_an_edge_there_is_no_size() -> None:
    with pytest.raises(ValueError, match="without an edge"):
        smallest_size(Cash(1), Price(0))


@given(
    gas=st.integers(0, 10**7),
    redeem=st.integers(0, 10**7),
    lock=st.integers(0, 400 * DAY_NS),
    merge=st.integers(0, DAY_NS),
    yearly=st.integers(0, 2 * MICRO),
)
def test_the_smallest_merge_is_where_weighing_turns(gas: int, redeem: int, lock: int, merge: int, yearly: int) -> None:
    def pays(pairs: int) -> bool:
        return weigh_merge(
            MergeTerms(
                pairs=Size(pairs),
                gas=Cash(gas),
                redeem_gas=Cash(redeem),
                lock_ns=lock,
                merge_ns=merge,
                yearly=yearly,
            )
        ).pays

    found = smallest_merge(gas=Cash(gas), redeem_gas=Cash(redeem), lock_ns=lock, merge_ns=merge, yearly=yearly)
    if found is None:
        assert not pays(10**15)
    else:
        assert pays(found)
        assert found == 0 or not pays(found - 1)


def test_money_that_earns_nothing_is_never_merged_for_its_own_sake() -> None:
    assert smallest_merge(gas=Cash(1), redeem_gas=Cash(0), lock_ns=DAY_NS, merge_ns=0, yearly=0) is None
    assert smallest_merge(gas=Cash(1), redeem_gas=Cash(2), lock_ns=DAY_NS, merge_ns=0, yearly=0) == 0
