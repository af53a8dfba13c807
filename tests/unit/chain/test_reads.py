"""Which block a read is of, and how far a node must be for its answer to count."""

from __future__ import annotations

from typing import Any

import pytest

from arbkit.chain.heads import AHEAD, Heads
from arbkit.chain.reads import heads_in, lacks_a_block, names_latest, quantity, question, refuse_others
from arbkit.core.errors import CallRefused

HEAD = 100
AT = hex(HEAD)


@pytest.mark.parametrize(
    ("call", "pinned"),
    [
        (("eth_getBalance", "0xa", "latest"), ("eth_getBalance", "0xa", AT)),
        (("eth_getBalance", "0xa"), ("eth_getBalance", "0xa", AT)),
        (("eth_getBalance", "0xa", "0x5"), ("eth_getBalance", "0xa", "0x5")),
        (("eth_getTransactionCount", "0xa", "pending"), ("eth_getTransactionCount", "0xa", "pending")),
        (("eth_getBlockByNumber", "finalized", False), ("eth_getBlockByNumber", "finalized", False)),
        (("eth_getBlockByNumber", "latest", True), ("eth_getBlockByNumber", AT, True)),
        (("eth_getStorageAt", "0xa", "0x0", "latest"), ("eth_getStorageAt", "0xa", "0x0", AT)),
        (("eth_call", {"to": "0xa"}), ("eth_call", {"to": "0xa"}, AT)),
        (("eth_call", {"to": "0xa"}, "latest", {"0xb": {}}), ("eth_call", {"to": "0xa"}, AT, {"0xb": {}})),
        (("eth_call", {"to": "0xa"}, {"blockHash": "0x1"}), ("eth_call", {"to": "0xa"}, {"blockHash": "0x1"})),
        (("eth_feeHistory", "0x5", "latest", [50]), ("eth_feeHistory", "0x5", AT, [50])),
        (("eth_estimateGas", {"to": "0xa"}), ("eth_estimateGas", {"to": "0xa"})),
        (("eth_estimateGas", {"to": "0xa"}, "latest"), ("eth_estimateGas", {"to": "0xa"}, AT)),
        (("eth_getLogs", {}), ("eth_getLogs", {"fromBlock": AT, "toBlock": AT})),
        (
            ("eth_getLogs", {"fromBlock": "0x5", "address": "0xa"}),
            ("eth_getLogs", {"fromBlock": "0x5", "toBlock": AT, "address": "0xa"}),
        ),
        (("eth_getLogs", {"blockHash": "0x1"}), ("eth_getLogs", {"blockHash": "0x1"})),
        (("eth_getBalance",), ("eth_getBalance",)),
        (("eth_chainId",), ("eth_chainId",)),
        (("eth_getTransactionReceipt", "0x1"), ("eth_getTransactionReceipt", "0x1")),
    ],
)
def test_latest_becomes_the_highest_head_and_nothing_else_is_touched(call: Any, pinned: Any) -> None:
    assert question([call], HEAD).calls == (pinned,)
    assert names_latest([call]) == (call != pinned or call == ("eth_getBalance",))


def test_a_range_of_logs_needs_a_node_that_has_its_end() -> None:
    assert question([("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x5"})], HEAD).required == HEAD
    assert question([("eth_getLogs", {"fromBlock": "0x1", "toBlock": hex(HEAD + 3)})], HEAD).required == HEAD + 3


@pytest.mark.parametrize(
    "method",
    ["eth_sendRawTransaction", "eth_sendTransaction", "eth_newFilter", "anvil_mine", "evm_mine", "eth_sign", "x"],
)
def test_a_method_that_does_more_than_read_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=method):
        refuse_others([("eth_chainId",), (method,)])


def test_null_for_a_block_that_is_there_is_no_answer_and_for_a_later_one_it_is() -> None:
    for number, lacks in ((HEAD, True), (HEAD + 1, False)):
        asked = question([("eth_chainId",), ("eth_getBlockByNumber", hex(number), False)], HEAD)
        assert lacks_a_block(asked, ["0x89", None]) is lacks
        assert not lacks_a_block(asked, ["0x89", {}])
    assert not lacks_a_block(question([("eth_getBlockByNumber", "pending", False)], HEAD), [None])
    assert not lacks_a_block(question([("eth_getTransactionReceipt", "0x1")], HEAD), [None])


def test_heads_are_read_from_receipts_blocks_and_logs_and_from_nothing_else() -> None:
    answers = [
        {"blockNumber": "0x5"},
        {"blockNumber": None},
        {"number": "0x6", "parentHash": "0x1"},
        {"number": "0x7"},
        [{"blockNumber": "0x8"}, "0x9"],
        "0x10",
        None,
        CallRefused("no"),
    ]
    assert list(heads_in(answers)) == [5, 6, 8]


@pytest.mark.parametrize("value", [None, 5, "5", "0xzz", "0x" + "f" * 17, {}, "latest"])
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantity(value)


# -- heads -----------------------------------------------------------------------------------------------------


def heads(**claims: int) -> Heads:
    known = Heads(len(claims))
    known.begin(claims, 0.0)
    return known


def test_the_highest_head_never_goes_back() -> None:
    known = heads(a=100, b=100, c=99)
    assert known.claim("a", 90, 1.0)
    assert known.highest == 100
    assert known.claim("b", 101, 2.0)
    assert (known.highest, known.unmoved(5.0), known.age(5.0)) == (101, 3.0, 3.0)


def test_at_the_beginning_one_that_is_alone_far_ahead_is_not_believed() -> None:
    assert heads(a=10**9, b=100, c=99).highest == 100
    assert heads(a=10**9, b=100).highest == 10**9, "of two nobody can say which is wrong: one may be syncing"


def test_a_leap_counts_when_another_node_makes_it_too_or_time_explains_it() -> None:
    known = heads(a=100, b=100, c=100)
    assert not known.claim("a", 10_000, 1.0)
    assert known.highest == 100
    assert known.claim("b", 10_000, 1.0)
    assert known.highest == 10_000
    assert known.claim("c", 10_000 + AHEAD + 600, 301.0)


def test_before_anything_is_known_the_head_is_infinitely_old() -> None:
    assert Heads(1).age(5.0) == Heads(1).unmoved(5.0) == float("inf")
