"""Faults of nodes and of the way to them, on a real node through the fault proxy."""
# ruff: noqa: N802 - fault tests carry the id of the fault

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
from eth_account import Account

from arbkit.chain.fault_proxy import FaultProxy
from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.core.errors import ChainUnavailable, NodesDisagree, Refusal, SendRefused, SendUnknown, WrongChain
from arbkit.core.retry import RetryStrategy
from tests.chain.conftest import Anvil, Start, soon
from tests.figures import Reached

pytestmark = pytest.mark.chain

HEDGE_S = 0.3
SLACK_S = 1.0  # of a busy machine; in virtual time there is none. A node that hangs would take five seconds
CONTRACT = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
CODE = "0x60006000f3"
SHORT = RetryStrategy(deadline_s=1.5, most_s=0.2)
ETHER = 10**18
LOGS = "0x60006000a000"  # a contract that is made by writing one empty log


@asynccontextmanager
async def proxies(*nodes: Anvil) -> AsyncIterator[list[FaultProxy]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(FaultProxy(node.url, seed=7)) for node in nodes]


def pool(*proxies: FaultProxy, **settings: Any) -> RPCLoadBalancer:
    endpoints = [RPCEndpoint(proxy.url, f"n{place}") for place, proxy in enumerate(proxies)]
    settings = {"contracts": {}, "hedge_s": HEDGE_S, "fresh_s": 0.0, "probe_s": 0.3, **settings}
    return RPCLoadBalancer(endpoints, **settings)


def signed(node: Anvil, nonce: int, *, tip: int = 30, cap: int = 200, data: str = "0x", to: str | None = None) -> Any:
    """Sign a transfer of nothing to ourselves, or what `data` makes."""
    fields: dict[str, Any] = {
        "chainId": 137,
        "nonce": nonce,
        "gas": 100_000,
        "maxPriorityFeePerGas": tip * 10**9,
        "maxFeePerGas": cap * 10**9,
        "value": 0,
        "data": data,
    }
    if data == "0x":
        fields["to"] = to or node.accounts[0]
    return Account.sign_transaction(fields, node.keys[0])


async def set_balance(node: Anvil, amount: int) -> None:
    await node.do("anvil_setBalance", node.accounts[1], hex(amount))


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("hang", {}),
    ("delay", {"s": 3.0}),
    ("drop", {}),
    ("lost_reply", {}),
    ("status", {"code": 503}),
    ("status", {"code": 429, "retry_after": 5}),
    ("status", {"code": 429}),
    ("status", {"code": 302}),
    ("bucket", {"rate": 0.5, "burst": 1}),
    ("rpc_error", {"code": -32005, "message": "limit exceeded"}),
    ("garbage", {}),
    ("truncate", {}),
    ("wrong_id", {}),
    ("stale", {"lag": 12}),
]
IDS = [kind + "".join(f"-{value}" for value in needs.values()) for kind, needs in FAULTS]


# -- C1 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "needs"), FAULTS, ids=IDS)
async def test_fault_C1_with_one_of_three_nodes_in_trouble_reads_and_sends_go_on_within_a_hedge(
    anvil: Anvil, kind: str, needs: dict[str, Any], reached: Reached
) -> None:
    await anvil.mine(20)
    async with proxies(anvil, anvil, anvil) as nodes, pool(*nodes) as node:
        nodes[0].add(kind, **needs)
        waits: list[float] = []

        async def timed(call: Any) -> Any:
            began = time.perf_counter()
            try:
                return await call
            finally:
                waits.append(time.perf_counter() - began)

        for nonce in range(6):
            await anvil.mine()
            head = int(await anvil.do("eth_blockNumber"), 16)
            assert await timed(node.head()) == head
            assert int((await timed(node.read("eth_getBlockByNumber", "latest", False)))["number"], 16) == head
            assert set(await timed(node.read_all("eth_getBalance", anvil.accounts[1]))) == {hex(10_000 * ETHER)}
            await timed(node.send(signed(anvil, nonce).raw_transaction))
        await anvil.mine()
        assert await anvil.do("eth_getTransactionCount", anvil.accounts[0], "latest") == hex(6)
    assert nodes[0].struck[kind] > 0
    assert max(waits) < HEDGE_S + SLACK_S
    told = kind if "code" not in needs else f"{kind} {needs['code']}"
    reached(
        f"one of three nodes: {told}{' ' + str(needs['lag']) if 'lag' in needs else ''}",
        f"longest of {len(waits)} calls {max(waits) * 1e3:.0f} ms, 0 stale",
        f"a hedge of {HEDGE_S * 1e3:.0f} ms and an answer",
    )


async def test_fault_C1_a_node_that_goes_away_is_left_and_taken_again_when_it_is_back(anvil: Anvil) -> None:
    async with proxies(anvil, anvil) as nodes, pool(*nodes) as node:
        await node.head()
        await nodes[0].__aexit__()
        for _ in range(5):
            assert await node.head() == 0
        await soon(lambda: node.health()[0].error_rate > 0.3)
        await nodes[0].__aenter__()
        asked = nodes[0].asked["eth_blockNumber"]
        await soon(lambda: node.health()[0].error_rate < 0.3 and nodes[0].asked["eth_blockNumber"] > asked)
        await nodes[1].__aexit__()
        assert await node.head() == 0
        await nodes[1].__aenter__()


async def test_fault_C1_when_every_node_is_down_the_error_names_them_and_nothing_is_made_up(anvil: Anvil) -> None:
    async with proxies(anvil, anvil) as nodes, pool(*nodes, retry=SHORT, resend=SHORT) as node:
        for one in nodes:
            one.add("drop")
        with pytest.raises(ChainUnavailable, match=r"(?s)n\d: connection lost.*n\d: connection lost"):
            await node.read("eth_getBalance", anvil.accounts[0])
        with pytest.raises(SendUnknown, match=signed(anvil, 0).hash.hex()):
            await node.send(signed(anvil, 0).raw_transaction)
    assert (await anvil.do("txpool_status"))["pending"] == "0x0"


# -- C2 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 12])
async def test_fault_C2_a_read_is_never_of_a_block_below_the_highest_head_seen(anvil: Anvil, lag: int) -> None:
    await anvil.mine(20)
    async with proxies(anvil, anvil, anvil) as nodes, pool(*nodes) as node:
        nodes[2].add("delay", s=0.02)  # those that are behind are the fastest
        for one in nodes[:2]:
            one.add("stale", lag=lag)
        highest = 0
        for block in range(21, 41):
            await anvil.mine()
            read = int((await node.read("eth_getBlockByNumber", "latest", False))["number"], 16)
            assert read >= highest
            highest = max(highest, read)
            # One block behind may be all that anybody has seen so far; twelve are not.
            assert block - read <= (1 if lag == 1 else 0)
    assert nodes[0].struck["stale"] + nodes[1].struck["stale"] > 0


async def test_fault_C2_when_only_nodes_behind_are_left_a_read_fails_rather_than_goes_back(anvil: Anvil) -> None:
    await anvil.mine(20)
    async with proxies(anvil, anvil) as nodes, pool(*nodes, retry=SHORT) as node:
        assert await node.head() == 20
        nodes[0].add("stale", lag=12)
        nodes[1].add("drop")
        with pytest.raises(ChainUnavailable, match="n0: is at block 8, block 20 is needed"):
            await node.head()
        with pytest.raises(ChainUnavailable):
            await node.read("eth_getBalance", anvil.accounts[0])
        nodes[0].clear()
        assert await node.head() == 20


# -- C3 --------------------------------------------------------------------------------------------------------


async def test_fault_C3_two_nodes_that_disagree_are_not_believed_until_they_agree(start_anvil: Start) -> None:
    two = [start_anvil("--no-mining"), start_anvil("--no-mining")]
    await set_balance(two[0], 5)
    await set_balance(two[1], 6)
    account = two[0].accounts[1]
    async with proxies(*two) as nodes, pool(*nodes, retry=SHORT) as node:
        with pytest.raises(NodesDisagree, match="2 different answers from 2 of 2"):
            await node.agreed("eth_getBalance", account)
        assert sorted(await node.read_all("eth_getBalance", account)) == ["0x5", "0x6"]

        async def mend() -> None:
            await asyncio.sleep(0.3)
            await set_balance(two[1], 5)

        mending = asyncio.ensure_future(mend())
        assert await node.agreed("eth_getBalance", account) == "0x5"
        await mending


async def test_fault_C3_of_three_nodes_the_two_that_agree_are_believed(start_anvil: Start) -> None:
    three = [start_anvil("--no-mining", "--timestamp", "2000000000") for _ in range(3)]
    sent = signed(three[0], 0)
    for place, one in enumerate(three):
        if place:  # the first one has a block of this number without it, as after a reorganisation
            await one.do("eth_sendRawTransaction", "0x" + sent.raw_transaction.hex())
        await one.do("evm_setNextBlockTimestamp", 2_000_000_002)
        await one.mine()
    async with proxies(*three) as nodes, pool(*nodes, retry=SHORT) as node:
        receipts = await node.read_all("eth_getTransactionReceipt", "0x" + sent.hash.hex())
        assert [receipt is None for receipt in receipts].count(True) == 1
        agreed = await node.agreed("eth_getTransactionReceipt", "0x" + sent.hash.hex())
        assert agreed["transactionHash"] == "0x" + sent.hash.hex()
        assert await node.agreed("eth_getTransactionCount", three[0].accounts[0]) == "0x1"


# -- C4 --------------------------------------------------------------------------------------------------------


async def test_fault_C4_a_node_of_another_chain_or_without_the_contract_is_never_asked_nor_sent_to(
    start_anvil: Start,
) -> None:
    good, other, empty, fake = (
        start_anvil("--no-mining"),
        start_anvil("--no-mining", "--chain-id", "80002"),
        start_anvil("--no-mining"),
        start_anvil("--no-mining"),
    )
    for one, code in ((good, CODE), (other, CODE), (fake, CODE + "00")):
        await one.do("anvil_setCode", CONTRACT, code)
    contracts = {CONTRACT: sha256(bytes.fromhex(CODE[2:])).hexdigest()}
    async with proxies(other, empty, fake, good) as nodes, pool(*nodes, contracts=contracts) as node:
        barred = [health.barred for health in node.health()]
        assert [text.partition(": ")[2] for text in barred] == [
            "is of chain 80002, not 137",
            f"has no contract at {CONTRACT}",
            f"has another contract at {CONTRACT}",
            "",
        ]
        for _ in range(5):
            await node.read("eth_getBalance", good.accounts[0])
        await node.send(signed(good, 0).raw_transaction)
        assert [one.asked["eth_getBalance"] for one in nodes] == [0, 0, 0, 5]
        assert [one.asked["eth_sendRawTransaction"] for one in nodes] == [0, 0, 0, 1]


async def test_fault_C4_the_chain_is_checked_again_when_a_node_was_gone_and_is_back_as_another(
    start_anvil: Start,
) -> None:
    good, other = start_anvil("--no-mining"), start_anvil("--no-mining", "--chain-id", "1")
    await set_balance(other, 666)
    account = good.accounts[1]
    async with proxies(good, good) as nodes, pool(*nodes, retry=SHORT, probe_s=60.0) as node:
        for one in nodes:
            await one.__aexit__()
        nodes[0].target = other.url
        for one in nodes:
            await one.__aenter__()
        assert await node.read_all("eth_getBalance", account) == [hex(10_000 * ETHER)]
        assert "is of chain 1, not 137" in node.health()[0].barred
        nodes[1].add("chain_id", number=80_002)
        await nodes[1].__aexit__()
        await nodes[1].__aenter__()
        with pytest.raises(WrongChain, match="n1: is of chain 80002, not 137"):
            await node.read("eth_getBalance", account)
        with pytest.raises(WrongChain, match="n0: is of chain 1, not 137; n1: is of chain 80002, not 137"):
            await node.send(signed(good, 0).raw_transaction)


async def test_fault_C4_many_new_connections_at_once_are_checked_but_not_once_for_each_call(anvil: Anvil) -> None:
    async with proxies(anvil) as nodes, pool(*nodes, probe_s=60.0, fresh_s=60.0) as node:
        checks = nodes[0].asked["eth_chainId"]
        balances = await asyncio.gather(*(node.read("eth_getBalance", anvil.accounts[0]) for _ in range(32)))
        assert set(balances) == {hex(10_000 * ETHER)}
        assert 1 <= nodes[0].asked["eth_chainId"] - checks <= 8


# -- C5 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
async def test_fault_C5_a_send_whose_reply_is_lost_is_found_by_its_hash_and_is_in_once(
    anvil: Anvil, number: int
) -> None:
    async with proxies(*[anvil] * number) as nodes, pool(*nodes) as node:
        for one in nodes:
            one.add("lost_reply", "eth_sendRawTransaction")
        for nonce in range(10):
            await node.send(signed(anvil, nonce).raw_transaction)
        assert sum(one.struck["lost_reply"] for one in nodes) >= 10
        assert await anvil.do("txpool_status") == {"pending": hex(10), "queued": "0x0"}
        await anvil.mine()
        assert await node.read("eth_getTransactionCount", anvil.accounts[0], "latest") == hex(10)
        await node.send(signed(anvil, 9).raw_transaction)  # mined long ago: still no failure
        assert await node.read("eth_getTransactionCount", anvil.accounts[0], "pending") == hex(10)


async def test_fault_C5_when_the_lookup_is_lost_too_the_same_bytes_go_again_and_are_known(anvil: Anvil) -> None:
    async with proxies(anvil) as nodes, pool(*nodes) as node:
        nodes[0].add("lost_reply", "eth_sendRawTransaction", times=1)
        nodes[0].add("lost_reply", "eth_getTransactionByHash", times=1)
        await node.send(signed(anvil, 0).raw_transaction)
        assert nodes[0].asked["eth_sendRawTransaction"] == 2
        assert await anvil.do("txpool_status") == {"pending": "0x1", "queued": "0x0"}


async def test_fault_C5_when_no_node_ever_has_a_word_it_may_be_in_and_it_is(anvil: Anvil) -> None:
    async with proxies(anvil, anvil) as nodes, pool(*nodes, resend=SHORT) as node:
        for one in nodes:
            one.add("lost_reply")
        with pytest.raises(SendUnknown):
            await node.send(signed(anvil, 0).raw_transaction)
        assert await anvil.do("txpool_status") == {"pending": "0x1", "queued": "0x0"}
        for one in nodes:
            one.clear()
        await node.send(signed(anvil, 0).raw_transaction)


async def test_fault_C5_a_true_refusal_is_told_as_one_with_its_kind(anvil: Anvil) -> None:
    poor = Account.from_key("0x" + "42" * 32)
    async with proxies(anvil, anvil) as nodes, pool(*nodes) as node:
        for one in nodes:
            one.add("min_tip", wei=25 * 10**9)
            one.add("bump", percent=10)
        fields = {"chainId": 137, "nonce": 0, "gas": 21_000, "value": 1, "to": anvil.accounts[0]}
        fees = {"maxPriorityFeePerGas": 30 * 10**9, "maxFeePerGas": 200 * 10**9}
        await node.send(signed(anvil, 0).raw_transaction)
        await anvil.mine()
        await node.send(signed(anvil, 1, tip=30, cap=200).raw_transaction)
        for raw, kind in (
            (signed(anvil, 0, tip=31).raw_transaction, Refusal.NONCE_TOO_LOW),
            (signed(anvil, 2, tip=24).raw_transaction, Refusal.UNDERPRICED),
            (signed(anvil, 1, tip=32, cap=220).raw_transaction, Refusal.REPLACEMENT_UNDERPRICED),
            (signed(anvil, 2, tip=25, cap=26).raw_transaction, Refusal.FEE_BELOW_BASE),
            (poor.sign_transaction({**fields, **fees}).raw_transaction, Refusal.INSUFFICIENT_FUNDS),
        ):
            with pytest.raises(SendRefused) as caught:
                await node.send(raw)
            assert (caught.value.kind, caught.value.unanswered) == (kind, ())
        await node.send(signed(anvil, 1, tip=33, cap=220).raw_transaction)


# -- C11 -------------------------------------------------------------------------------------------------------


async def test_fault_C11_logs_that_a_lagging_node_has_not_got_are_asked_of_one_that_has(anvil: Anvil) -> None:
    async with proxies(anvil, anvil, anvil) as nodes, pool(*nodes) as node:
        sent = signed(anvil, 0, data=LOGS)
        await node.send(sent.raw_transaction)
        await anvil.mine()
        assert await node.head() == 1
        nodes[2].add("delay", s=0.02)  # those that are behind are the fastest
        for one in nodes[:2]:
            one.add("stale", lag=1)
        for within in ({"fromBlock": "0x0", "toBlock": "latest"}, {"fromBlock": "0x1", "toBlock": "0x1"}, {}):
            logs = await node.read("eth_getLogs", within)
            assert [log["transactionHash"] for log in logs] == ["0x" + sent.hash.hex()]
        receipt = await node.read("eth_getTransactionReceipt", "0x" + sent.hash.hex())
        assert receipt["blockNumber"] == "0x1"
        by_hash = await node.read("eth_getLogs", {"blockHash": receipt["blockHash"]})
        assert len(by_hash) == 1


async def test_fault_C11_no_logs_from_lagging_nodes_alone_are_no_answer_at_all(anvil: Anvil) -> None:
    async with proxies(anvil, anvil) as nodes, pool(*nodes, retry=SHORT) as node:
        await node.send(signed(anvil, 0, data=LOGS).raw_transaction)
        await anvil.mine()
        assert await node.head() == 1
        for one in nodes:
            one.add("stale", lag=1)
        with pytest.raises(ChainUnavailable, match="is at block 0, block 1 is needed"):
            await node.read("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x1"})
        with pytest.raises(ChainUnavailable):
            await node.read("eth_getTransactionReceipt", "0x" + signed(anvil, 0, data=LOGS).hash.hex())


async def test_fault_C11_a_receipt_that_is_null_for_a_while_is_none_and_then_there(anvil: Anvil) -> None:
    async with proxies(anvil) as nodes, pool(*nodes) as node:
        sent = signed(anvil, 0)
        await node.send(sent.raw_transaction)
        await anvil.mine()
        nodes[0].add("null", "eth_getTransactionReceipt", times=2)
        seen = [await node.read("eth_getTransactionReceipt", "0x" + sent.hash.hex()) for _ in range(3)]
        assert [receipt is None for receipt in seen] == [True, True, False]
