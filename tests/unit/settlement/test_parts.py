# ruff: noqa: N802 - fault tests carry the id of the fault
"""Call data, position ids, the worth of a merge, and what a match delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import ConfigError
from arbkit.core.model import Settlement
from arbkit.core.units import MICRO, NS_PER_S, Cash, Size
from arbkit.settlement.contracts import (
    BALANCES,
    CONVERT,
    ERC20_ALLOWANCE,
    ERC20_APPROVE,
    IS_APPROVED,
    MERGE,
    POLYMARKET,
    REDEEM,
    SET_APPROVAL,
    SPLIT,
    Contracts,
    calldata,
    convert_data,
)
from arbkit.settlement.delivery import Counterparties, Delivery, look_at_delivery
from arbkit.settlement.merging import NS_PER_YEAR, MergeTerms, weigh_merge
from arbkit.settlement.positions import Condition, collection_id
from tests.rig import virtual
from tests.unit.settlement.fake_tokens import CTF, DIRECT, HOLDER

FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
DAY = 24 * 3600 * NS_PER_S


@pytest.mark.parametrize(
    ("signature", "selector"),
    [
        (ERC20_APPROVE, "095ea7b3"),
        (ERC20_ALLOWANCE, "dd62ed3e"),
        (SET_APPROVAL, "a22cb465"),
        (IS_APPROVED, "e985e9c5"),
        (BALANCES, "4e1273f4"),
        (SPLIT, "72ce4275"),
        (MERGE, "9e7212ad"),
        (REDEEM, "01b7037c"),
        (CONVERT, "c64748c4"),
    ],
)
def test_functions_are_called_by_the_selectors_of_the_deployed_contracts(signature: str, selector: str) -> None:
    assert keccak(text=signature)[:4].hex() == selector


def test_a_conversion_names_its_questions_as_bits() -> None:
    data = convert_data(b"m" * 32, (0, 2, 5), 7)
    assert data[4:] == b"m" * 32 + (0b100101).to_bytes(32, "big") + (7).to_bytes(32, "big")


def test_the_questions_of_an_event_are_those_that_polymarket_lists() -> None:
    """The first of "Presidential Election Winner 2024", market 253591, as the venue's market data has had it."""
    event = bytes.fromhex("e3b1bc389210504ebcb9cffe4b0ed06ccac50561e0f24abb6379984cec030f00")
    listed = "dd22472e552920b8438158ea7238bfadfa4f736aa4cee91a6b86c39ead110917"
    assert POLYMARKET.question_of(event, 0).hex() == listed
    assert POLYMARKET.question_of(event, 1).hex() != listed


def test_the_tokens_of_a_neg_risk_market_are_those_that_polymarket_lists_and_others_are_nobodys() -> None:
    """YES of the same market, as listed there."""
    event = bytes.fromhex("e3b1bc389210504ebcb9cffe4b0ed06ccac50561e0f24abb6379984cec030f00")
    listed = 21742633143463906290569050155826241533067272736897614950488156847949938836455
    question = POLYMARKET.question_of(event, 0)
    wrapped = Condition.of(question, POLYMARKET.neg_risk_backing)
    assert wrapped.yes == listed
    assert POLYMARKET.operator_of(wrapped) == POLYMARKET.neg_risk_adapter
    assert POLYMARKET.operator_of(POLYMARKET.condition(question)) == POLYMARKET.operator
    for nobodys in (Condition.of(question, POLYMARKET.collateral), Condition(question, wrapped.no, wrapped.yes)):
        assert POLYMARKET.operator_of(nobodys) == ""


def test_a_value_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="splitPosition"):
        calldata(SPLIT, CTF, bytes(32), bytes(32), [1, 2], -1)


@pytest.mark.parametrize(
    "field", ["conditional_tokens", "collateral", "operator", "neg_risk_adapter", "neg_risk_oracle", "backing"]
)
def test_an_address_that_is_none_is_refused_by_name(field: str) -> None:
    settings: dict[str, Any] = {"conditional_tokens": CTF, "collateral": CTF, "operator": CTF, field: "0x12"}
    with pytest.raises(ConfigError, match=f"{field} is no address"):
        Contracts(**settings)
    with pytest.raises(ConfigError, match="a spender is no address"):
        Contracts(conditional_tokens=CTF, collateral=CTF, operator=CTF, spenders=frozenset({"me"}))


@pytest.mark.parametrize(
    "key", ["0x" + "5e" * 32, "0x" + "5e" * 31 + "5", "5e" * 33, "0X" + "5e" * 32, "abandon " * 12]
)
def test_a_key_that_was_pasted_where_a_contract_belongs_is_not_repeated_whole_or_in_part(key: str) -> None:
    for changed in ({"operator": key}, {"backing": key}, {"spenders": frozenset({key})}):
        with pytest.raises(ConfigError, match="is no address") as refused:
            replace(POLYMARKET, **changed)  # type: ignore[arg-type]
        assert key[2:18] not in str(refused.value)


@given(condition=st.binary(min_size=32, max_size=32), index=st.integers(1, 3))
def test_a_collection_is_a_point_of_the_curve_and_says_which_of_two(condition: bytes, index: int) -> None:
    value = int.from_bytes(collection_id(condition, index), "big")
    x, odd = value & ~(1 << 254), value >> 254 & 1
    assert value >> 255 == 0
    square = (pow(x, 3, FIELD) + 3) % FIELD
    assert pow(square, (FIELD - 1) // 2, FIELD) == 1  # there is a y, by Euler's criterion
    assert odd == keccak(condition + index.to_bytes(32, "big"))[0] >> 7


# -- whether to merge ------------------------------------------------------------------------------------------------


def terms(**changed: int) -> MergeTerms:
    said: dict[str, Any] = {
        "pairs": Size(100 * MICRO),
        "gas": Cash(3_000),
        "redeem_gas": Cash(0),
        "lock_ns": 30 * DAY,
        "merge_ns": 10 * NS_PER_S,
        "yearly": 200_000,
    }
    return MergeTerms(**{**said, **changed})


def test_a_hundred_pairs_locked_for_a_month_are_merged_and_one_for_an_hour_is_not() -> None:
    month = weigh_merge(terms())
    assert month.earned == 1_643_829  # 100 dollars at 20 % for 30 days less ten seconds
    assert month.pays
    assert not weigh_merge(terms(pairs=MICRO, lock_ns=3_600 * NS_PER_S)).pays
    assert weigh_merge(terms(pairs=MICRO, lock_ns=3_600 * NS_PER_S, redeem_gas=3_001)).pays  # it would be paid anyway
    assert not weigh_merge(terms(pairs=0, gas=0)).pays
    assert weigh_merge(terms(lock_ns=0)).earned == 0


numbers = st.integers(0, 10**13)


@given(
    pairs=numbers,
    gas=numbers,
    spared=numbers,
    lock=st.integers(0, NS_PER_YEAR),
    more=numbers,
    yearly=st.integers(0, MICRO),
)
def test_more_pairs_more_time_and_less_gas_never_speak_against_a_merge(
    pairs: int, gas: int, spared: int, lock: int, more: int, yearly: int
) -> None:
    known = {"pairs": pairs, "gas": gas, "redeem_gas": spared, "lock_ns": lock, "yearly": yearly}
    gain = weigh_merge(terms(**known)).gain
    for name in ("pairs", "redeem_gas", "lock_ns", "yearly"):
        assert weigh_merge(terms(**{**known, name: known[name] + more})).gain >= gain
    assert weigh_merge(terms(**{**known, "gas": gas + more})).gain == gain - more
    assert weigh_merge(terms(**known)).earned <= pairs * yearly / MICRO  # a year at most


@pytest.mark.parametrize("field", ["pairs", "gas", "redeem_gas", "lock_ns", "merge_ns", "yearly"])
def test_nothing_is_weighed_by_less_than_nothing(field: str) -> None:
    with pytest.raises(ValueError, match="below zero"):
        terms(**{field: -1})


# -- deliveries ------------------------------------------------------------------------------------------------------


def topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def transfer(source: str, target: str, moved: list[tuple[int, int]], *, batch: bool = False, at: str = CTF) -> Any:
    name = (
        "TransferBatch(address,address,address,uint256[],uint256[])"
        if batch
        else ("TransferSingle(address,address,address,uint256,uint256)")
    )
    if batch:
        data = encode(["uint256[]", "uint256[]"], [[one for one, _ in moved], [amount for _, amount in moved]])
    else:
        data = encode(["uint256", "uint256"], list(moved[0]))
    topics = ["0x" + keccak(text=name).hex(), topic(CTF), topic(source), topic(target)]
    return {"address": at, "topics": topics, "data": "0x" + data.hex()}


class OneReceipt:
    holder = HOLDER

    def __init__(self, logs: list[Any] | None, *, ok: bool = True, final: bool = True) -> None:
        self.logs, self.ok, self.final = logs, ok, final

    async def receipt(self, hash: str) -> Any:
        if self.logs is None:
            return None
        return {"blockNumber": "0x5", "blockHash": "0xb", "status": hex(self.ok), "logs": self.logs}

    async def stands(self, block: int, block_hash: str) -> bool:
        assert (block, block_hash) == (5, "0xb")
        return self.final


OTHER = "0x" + "bb" * 20
CONFIRMED, VOIDED, PROVISIONAL = Settlement.CONFIRMED, Settlement.VOIDED, Settlement.PROVISIONAL


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        (OneReceipt(None), Delivery(PROVISIONAL)),
        (OneReceipt([], final=False), Delivery(PROVISIONAL)),
        (OneReceipt([], ok=False), Delivery(VOIDED)),
        (OneReceipt([transfer(OTHER, HOLDER, [(7, 10)])]), Delivery(CONFIRMED, Size(10))),
        (OneReceipt([transfer(OTHER, HOLDER, [(7, 9)])]), Delivery(VOIDED, Size(9))),
        (OneReceipt([transfer(OTHER, HOLDER, [(8, 10)])]), Delivery(VOIDED)),
        (OneReceipt([transfer(OTHER, HOLDER, [(7, 10)], at=OTHER)]), Delivery(VOIDED)),  # a token of their own
        (OneReceipt([transfer(OTHER, HOLDER, [(8, 1), (7, 10)], batch=True)]), Delivery(CONFIRMED, Size(10))),
        (
            OneReceipt([transfer(OTHER, HOLDER, [(7, 10)]), transfer(HOLDER, OTHER, [(7, 4)])]),
            Delivery(VOIDED, Size(6)),
        ),
        (OneReceipt([transfer(OTHER, OTHER, [(7, 10)])]), Delivery(VOIDED)),
    ],
)
def test_fault_C14_a_match_counts_when_its_final_block_moved_the_shares_to_us(chain: Any, found: Delivery) -> None:
    assert virtual(look_at_delivery(chain, DIRECT, "0x1", 7, Size(10))) == found


def test_fault_C14_makers_that_spoil_their_orders_weigh_less_until_they_made_it_good() -> None:
    makers = Counterparties(keeps=2)
    assert makers.weight("new") == MICRO
    for settlement in (CONFIRMED, PROVISIONAL, VOIDED):
        makers.heard("bad", settlement)
    low = makers.weight("bad")
    assert low == MICRO * 2 // 11
    for _ in range(7):
        makers.heard("bad", CONFIRMED)
    assert makers.weight("bad") == MICRO // 2
    makers.heard("b", CONFIRMED)
    makers.heard("c", CONFIRMED)
    assert makers.weight("bad") == MICRO  # forgotten: only so many are kept
