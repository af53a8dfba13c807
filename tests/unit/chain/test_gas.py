"""Fees: floors, caps, urgency, replacement, and what a transaction costs in POL and dollars."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.chain.gas import (
    GWEI,
    TRANSACTION_GAS_LIMIT,
    WEI_PER_POL,
    GasConfig,
    GasFees,
    GasPriceManager,
    Urgency,
    bumped,
)
from arbkit.core.errors import ChainUnavailable, ConfigError, FeeAboveCap
from arbkit.core.units import Cash
from tests.chain.fake_chain import FakeChain
from tests.chain.rig_fake import ACCOUNT, CONTRACT, virtual

wei = st.integers(1, 10**15)


def manager(chain: FakeChain, **settings: Any) -> GasPriceManager:
    return GasPriceManager(chain, lambda: Cash(400_000), GasConfig(**settings))


def test_a_quiet_chain_is_offered_the_floor() -> None:
    fees = virtual(manager(FakeChain(ACCOUNT)).estimate_fees())
    assert fees == GasFees(max_fee=70 * GWEI, tip=25 * GWEI, base=30 * GWEI)
    assert fees.expected == 55 * GWEI


def test_who_is_in_a_hurry_leaves_more_room_and_never_less() -> None:
    chain = FakeChain(ACCOUNT)
    offers = [virtual(manager(chain).estimate_fees(urgency)).max_fee for urgency in Urgency]
    assert offers == sorted(set(offers))


def test_tips_of_others_are_followed_and_empty_blocks_say_nothing() -> None:
    chain = FakeChain(ACCOUNT)

    async def history(_method: str, *_: object) -> Any:
        return {
            "baseFeePerGas": ["0x1", "0x2"],
            "gasUsedRatio": [0.0, 0.5, 0.5],
            "reward": [["0x0"], [hex(40 * GWEI)], [hex(60 * GWEI)]],
        }

    chain.read = history  # type: ignore[method-assign]
    assert virtual(manager(chain).estimate_fees()).tip == 60 * GWEI


@pytest.mark.parametrize("answer", [None, {}, {"baseFeePerGas": []}, {"baseFeePerGas": ["x"], "gasUsedRatio": []}])
def test_a_fee_history_that_is_none_is_the_nodes_fault(answer: Any) -> None:
    chain = FakeChain(ACCOUNT)

    async def read(_method: str, *_: object) -> Any:
        return answer

    chain.read = read  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailable, match="fee history"):
        virtual(manager(chain).estimate_fees())


def test_fees_above_the_cap_are_refused_and_room_above_it_is_cut() -> None:
    chain = FakeChain(ACCOUNT)
    assert virtual(manager(chain, max_fee_cap=56 * GWEI).estimate_fees()).max_fee == 56 * GWEI
    with pytest.raises(FeeAboveCap, match="base fee 30 and tip 25 gwei are above the cap of 54 gwei") as refused:
        virtual(manager(chain, max_fee_cap=54 * GWEI).estimate_fees())
    assert (refused.value.needed, refused.value.cap) == (55 * GWEI, 54 * GWEI)


@given(tip=wei, room=wei, now_tip=wei, now_room=wei)
def test_a_replacement_is_ten_percent_more_in_both_fields_and_never_below_the_estimate(
    tip: int, room: int, now_tip: int, now_room: int
) -> None:
    old, now = GasFees(tip + room, tip), GasFees(now_tip + now_room, now_tip)
    new = bumped(old, now)
    assert new.tip * 100 >= old.tip * 110
    assert new.max_fee * 100 >= old.max_fee * 110
    assert new.tip >= now.tip
    assert new.max_fee >= now.max_fee
    assert new.tip <= new.max_fee
    # and no more than that: one wei less in a field would break one of the bounds
    assert (new.tip - 1) * 100 < old.tip * 110 or new.tip == now.tip
    assert (new.max_fee - 1) * 100 < old.max_fee * 110 or new.max_fee in (now.max_fee, new.tip)


@given(tip=wei, room=wei, cap=st.integers(1, 10**16), bumps=st.integers(1, 60))
def test_bumps_without_end_stop_at_the_cap(tip: int, room: int, cap: int, bumps: int) -> None:
    prices = manager(FakeChain(ACCOUNT), max_fee_cap=max(cap, 25 * GWEI))
    fees = now = GasFees(tip + room, tip)
    for _ in range(bumps):
        try:
            fees = prices.replacement(fees, now)
        except FeeAboveCap:
            break
        assert fees.max_fee <= prices.config.max_fee_cap


@given(gas=st.integers(21_000, 2**25), tip=wei, base=wei, price=st.integers(1, 10**8))
def test_dollars_are_rounded_against_us_and_the_worst_is_never_less(gas: int, tip: int, base: int, price: int) -> None:
    prices = GasPriceManager(FakeChain(ACCOUNT), lambda: Cash(price))
    cost = prices.cost(gas, GasFees(2 * base + tip, tip, base))
    assert cost.wei == gas * (base + tip)
    assert (cost.dollars - 1) * WEI_PER_POL < cost.wei * price <= cost.dollars * WEI_PER_POL
    assert cost.worst_wei >= cost.wei
    assert cost.worst_dollars >= cost.dollars


def test_a_merge_costs_what_it_costs() -> None:
    cost = manager(FakeChain(ACCOUNT)).cost(100_000, GasFees(80 * GWEI, 25 * GWEI, 30 * GWEI))
    assert cost.pol == 0.0055
    assert cost.dollars == 2_200  # 0.0055 POL at 40 cents: 0.22 cents


def test_the_estimate_of_gas_has_a_margin_and_an_end() -> None:
    chain = FakeChain(ACCOUNT)
    assert virtual(manager(chain).estimate_gas(ACCOUNT, CONTRACT, b"x")) == 101_250
    chain.gas_of = lambda _to, _data: TRANSACTION_GAS_LIMIT  # type: ignore[method-assign]
    with pytest.raises(FeeAboveCap, match="gas in one transaction"):
        virtual(manager(chain).estimate_gas(ACCOUNT, CONTRACT, b"x"))


def test_a_transaction_that_would_cost_more_than_one_may_is_refused() -> None:
    prices = manager(FakeChain(ACCOUNT), cost_cap=WEI_PER_POL // 1000)
    with pytest.raises(FeeAboveCap, match=r"would cost 0\.0055 POL, the cap is 0\.001"):
        prices.refuse_cost_above_cap(100_000, GasFees(80 * GWEI, 25 * GWEI, 30 * GWEI))


@pytest.mark.parametrize(
    "wrong",
    [
        {"tip_floor": 0},
        {"max_fee_cap": 1},
        {"cost_cap": 0},
        {"history_blocks": 0},
        {"margin_percent": -1},
        {"bump_percent": 9},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        GasConfig(**wrong)
