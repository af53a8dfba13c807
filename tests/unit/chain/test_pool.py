"""Several nodes as one, in virtual time: who is asked, what counts, how long a caller waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

import pytest

from arbkit.chain.node import Node
from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.core.errors import CallRefused, ChainUnavailable, ConfigError, NodesDisagree, WrongChain
from arbkit.core.retry import RetryStrategy
from tests.rig import virtual
from tests.unit.chain.fake_nodes import CODE, CONTRACT, FakeChain, FakeNode, pool_of

HEDGE_S = 0.25
LATENCY_S = 0.02
ME = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed(call: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    began = now()
    return await call, now() - began


def three(chain: FakeChain | None = None) -> tuple[FakeChain, list[FakeNode]]:
    chain = chain or FakeChain()
    return chain, [FakeNode(chain, LATENCY_S) for _ in range(3)]


def hang(node: FakeNode) -> None:
    node.hangs = True


def stale(node: FakeNode) -> None:
    node.lag = 12


def busy(node: FakeNode) -> None:
    node.status, node.retry_after_s = 429, 30.0


def down(node: FakeNode) -> None:
    node.refuses_connections = True


def unavailable(node: FakeNode) -> None:
    node.status = 503


def garbled(node: FakeNode) -> None:
    node.garbles = lambda text: text[: len(text) // 2]


def wrong_id(node: FakeNode) -> None:
    node.garbles = lambda text: text.replace(b'"id": ', b'"id": 9')


def erring(node: FakeNode) -> None:
    node.says = lambda method, params: ({"code": -32603, "message": "internal error"},)


FAULTS = [hang, stale, busy, down, unavailable, garbled, wrong_id, erring]


# -- one of three in trouble -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("fresh_s", [0.0, 0.25])
def test_with_one_of_three_in_trouble_no_call_waits_longer_than_a_hedge_and_none_is_stale(
    fault: Callable[[FakeNode], None], place: int, fresh_s: float
) -> None:
    async def main() -> list[float]:
        chain, nodes = three()
        waits = []
        async with pool_of(*nodes, fresh_s=fresh_s) as node:
            for block in range(40):
                if block == 5:
                    fault(nodes[place])
                chain.head += 1
                head, waited = await timed(node.head())
                assert head == chain.head
                waits.append(waited)
                balance, waited = await timed(node.read("eth_getBalance", ME, "latest"))
                assert int(balance, 16) == chain.head
                waits.append(waited)
                everyone, waited = await timed(node.read_all("eth_getBalance", ME, "latest"))
                assert {int(one, 16) for one in everyone} == {chain.head}
                waits.append(waited)
                await asyncio.sleep(0.3)
        return waits

    waits = virtual(main())
    # A hedge, and what two good nodes take: a head and an answer, each up to twice.
    assert max(waits) <= HEDGE_S + 4 * LATENCY_S + 1e-9
    assert sorted(waits)[len(waits) // 2] <= 2 * LATENCY_S + 1e-9, "and who is in trouble is soon asked last"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_from_the_start_one_in_trouble_holds_up_nobody(fault: Callable[[FakeNode], None]) -> None:
    async def main() -> float:
        _, nodes = three()
        fault(nodes[0])
        pool = pool_of(*nodes)
        _, waited = await timed(pool.start())
        assert int(await pool.read("eth_getBalance", ME), 16) == 100
        await pool.close()
        return waited

    assert virtual(main()) <= HEDGE_S + 2 * LATENCY_S


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_that_recovers_is_asked_again(fault: Callable[[FakeNode], None]) -> None:
    async def main() -> None:
        _, nodes = three()
        nodes[1].latency_s = nodes[2].latency_s = 0.1  # the first is the best while it is well
        async with pool_of(*nodes) as node:
            good = dict(vars(nodes[0]))
            fault(nodes[0])
            for _ in range(5):
                await node.read("eth_getBalance", ME, "0x1")
            assert node.health()[0].cost_s > node.health()[1].cost_s
            asked = nodes[0].asked["eth_getBalance"]
            for name in ("hangs", "lag", "status", "refuses_connections", "garbles", "says"):
                setattr(nodes[0], name, good[name])
            await asyncio.sleep(60)
            for _ in range(5):
                await node.read("eth_getBalance", ME, "0x1")
            assert nodes[0].asked["eth_getBalance"] == asked + 5
            assert node.health()[0].cost_s < node.health()[1].cost_s

    virtual(main())


def test_one_that_answers_429_is_left_alone_for_as_long_as_it_asks() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            busy(nodes[0])
            await node.read("eth_getBalance", ME)
            await asyncio.sleep(5)  # by a probe or a read it was told by now
            asked, resting = nodes[0].messages, node.health()[0].resting_s
            assert 20 < resting <= 30
            for _ in range(20):
                await node.read("eth_getBalance", ME)
                await asyncio.sleep(1)
            assert nodes[0].messages == asked
            nodes[0].status = 200
            await asyncio.sleep(15)
            assert nodes[0].messages > asked
            assert node.health()[0].resting_s == 0

    virtual(main())


def test_who_does_not_say_how_long_is_left_alone_longer_each_time() -> None:
    async def main() -> None:
        _, nodes = three()
        nodes[0].status, nodes[0].retry_after_s = 429, None
        async with pool_of(*nodes):
            await asyncio.sleep(120)
        assert nodes[0].messages <= 8, "1, 2, 4, 8, 16, 32, 60 s"

    virtual(main())


# -- never stale -----------------------------------------------------------------------------------------------


def test_when_the_only_node_at_the_head_is_lost_a_read_waits_for_the_others() -> None:
    async def main() -> tuple[int, float]:
        chain, nodes = three()
        async with pool_of(*nodes, fresh_s=1_000) as node:
            nodes[1].lag = nodes[2].lag = 3
            chain.head += 3
            assert await node.head() == chain.head
            down(nodes[0])

            async def catch_up() -> None:
                await asyncio.sleep(2.0)
                nodes[2].lag = 0

            catching = asyncio.ensure_future(catch_up())
            balance, waited = await timed(node.read("eth_getBalance", ME))
            await catching
            return int(balance, 16) - chain.head, waited

    behind, waited = virtual(main())
    assert behind == 0
    assert 2.0 <= waited <= 3.5


def test_when_nobody_catches_up_the_read_fails_and_says_who_is_where() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            chain.head += 3
            nodes[1].lag = nodes[2].lag = 3
            assert await node.head() == 103
            down(nodes[0])
            with pytest.raises(ChainUnavailable, match=r"b: is at block 100, block 103 is needed"):
                await node.head()

    virtual(main())


def test_a_receipt_teaches_how_far_the_chain_is() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes, fresh_s=1_000, probe_s=1_000) as node:
            chain.take(b"0:1")
            chain.mine()
            (hash_,) = chain.mined
            receipt = await node.read("eth_getTransactionReceipt", hash_)
            assert receipt["blockNumber"] == hex(101)
            assert await node.read("eth_getBalance", ME) == hex(101), "not the block known at the start"

    virtual(main())


def test_null_from_a_node_that_is_behind_is_not_taken_for_an_answer() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            chain.take(b"0:1")
            chain.mine()
            (hash_,) = chain.mined
            assert await node.head() == 101
            nodes[0].lag = nodes[1].lag = 1
            for _ in range(5):
                assert (await node.read("eth_getTransactionReceipt", hash_))["blockNumber"] == hex(101)

    virtual(main())


def test_no_logs_from_a_node_that_is_behind_are_not_taken_for_none() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            chain.logs[101] = ["filled"]
            chain.head += 1
            nodes[0].lag = nodes[1].lag = 1
            for _ in range(5):
                logs = await node.read("eth_getLogs", {"fromBlock": "0x1", "toBlock": hex(101)})
                assert [log["data"] for log in logs] == ["filled"]

    virtual(main())


def test_a_batch_is_of_one_block_and_keeps_each_refusal_in_its_place() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes, probe_s=1_000) as node:
            messages = sum(one.messages for one in nodes)
            first, refused, third = await node.batch(
                [("eth_getBalance", ME), ("eth_call", {"to": ME}), ("eth_getBalance", ME, "latest")]
            )
            assert first == third == hex(100)
            assert isinstance(refused, CallRefused)
            assert sum(one.messages for one in nodes) == messages + 1
            assert await node.batch([]) == []

    virtual(main())


def test_while_the_chain_stands_still_its_age_grows() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            await asyncio.sleep(30)
            assert node.head_unmoved_s() == pytest.approx(30, abs=0.1)
            chain.head += 1
            await asyncio.sleep(2.5)
            assert node.head_unmoved_s() < 2.5

    virtual(main())


def test_one_that_claims_a_head_no_other_knows_does_not_make_the_others_look_behind() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            nodes[0].lag = -1_000_000
            for _ in range(10):
                chain.head += 1
                assert await node.head() == chain.head
                await asyncio.sleep(1.75)

    virtual(main())


# -- refusals --------------------------------------------------------------------------------------------------


def test_a_revert_is_final_and_asked_of_one_node_only() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            with pytest.raises(CallRefused) as caught:
                await node.read("eth_call", {"to": ME}, "latest")
            assert caught.value.data == "0x08c379a0"
            assert sum(one.asked["eth_call"] for one in nodes) == 1

    virtual(main())


def test_what_one_node_will_not_do_another_may() -> None:
    async def main() -> None:
        _, nodes = three()
        nodes[2].says = lambda method, params: {"pending": "0x1"} if method == "txpool_status" else NotImplemented
        async with pool_of(*nodes) as node:
            assert await node.read("txpool_status") == {"pending": "0x1"}
            with pytest.raises(CallRefused, match="Method not found"):
                await node.read("eth_syncing")

    virtual(main())


def test_only_reads_are_taken() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            for call in (
                node.read("eth_sendRawTransaction", "0x"),
                node.read_all("anvil_mine"),
                node.agreed("evm_mine"),
                node.batch([("eth_sendRawTransaction", "0x")]),
            ):
                with pytest.raises(ValueError, match="not known to be a read"):
                    await call

    virtual(main())


# -- all in trouble --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [hang, down, unavailable, garbled], ids=lambda fault: fault.__name__)
def test_when_all_are_down_the_error_names_each_and_comes_within_the_deadline(
    fault: Callable[[FakeNode], None],
) -> None:
    async def main() -> float:
        _, nodes = three()
        async with pool_of(*nodes, answer_s=2.0) as node:
            for one in nodes:
                fault(one)
            began = now()
            with pytest.raises(ChainUnavailable, match=r"a: .*; b: .*; c: |b: .*a: "):
                await node.read("eth_getBalance", ME)
            return now() - began

    assert virtual(main()) <= 10.0


def test_when_nobody_answers_before_the_deadline_that_is_said() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes, answer_s=60.0, retry=RetryStrategy(deadline_s=3.0, most_s=1.0)) as node:
            for one in nodes:
                hang(one)
            with pytest.raises(ChainUnavailable, match="within 3 s"):
                await node.head()

    virtual(main())


def test_when_all_want_to_be_left_alone_the_caller_is_told_for_how_long_at_once() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            for place, one in enumerate(nodes):
                one.status, one.retry_after_s = 429, 40.0 + place
            with pytest.raises(ChainUnavailable) as caught:
                await node.read("eth_getBalance", ME)
            assert caught.value.retry_after_s == 40.0
            began = now()
            with pytest.raises(ChainUnavailable, match="left alone") as caught:
                await node.read("eth_getBalance", ME)
            assert now() == began
            assert caught.value.retry_after_s == pytest.approx(40.0, abs=1.0)

    virtual(main())


def test_a_pool_whose_nodes_are_all_down_does_not_start_and_may_be_started_later() -> None:
    async def main() -> None:
        _, nodes = three()
        for one in nodes:
            down(one)
        pool = pool_of(*nodes)
        with pytest.raises(ChainUnavailable, match="a: no connection"):
            await pool.start()
        for one in nodes:
            one.refuses_connections = False
        assert await pool.head() == 100
        await pool.close()
        assert all(one.closed for one in nodes)

    virtual(main())


def test_many_first_calls_start_once() -> None:
    async def main() -> None:
        _, nodes = three()
        pool = pool_of(*nodes)
        await asyncio.gather(*(pool.read("eth_getBalance", ME) for _ in range(10)))
        assert [one.asked["eth_getCode"] for one in nodes] == [1, 1, 1]
        await pool.close()

    virtual(main())


# -- the right chain -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"chain_id": 80_002}, "is of chain 80002, not 137"),
        ({"code": "0x"}, "has no contract at"),
        ({"code": "0xzz"}, "has no contract at"),
        ({"code": "0x6002"}, "has another contract at"),
        (
            {"says": lambda method, params: 137 if method == "eth_chainId" else NotImplemented},
            "does not say which chain",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_node_of_another_chain_is_never_asked_nor_sent_to(wrong: dict[str, Any], says: str) -> None:
    async def main() -> None:
        _, nodes = three()
        for name, value in wrong.items():
            setattr(nodes[0], name, value)
        async with pool_of(*nodes, contracts={CONTRACT: sha256(bytes.fromhex(CODE[2:])).hexdigest()}) as node:
            for _ in range(10):
                await node.read("eth_getBalance", ME)
            await node.send(b"0:1")
            await asyncio.sleep(10)
            assert nodes[0].asked["eth_getBalance"] == nodes[0].asked["eth_sendRawTransaction"] == 0
            assert says in node.health()[0].barred

    virtual(main())


def test_when_every_node_is_of_another_chain_that_is_the_error() -> None:
    async def main() -> None:
        _, nodes = three()
        for one in nodes:
            one.chain_id = 1
        pool = pool_of(*nodes)
        for _ in range(2):
            with pytest.raises(WrongChain, match="a: is of chain 1, not 137"):
                await pool.start()
        for call in (pool.head(), pool.read("eth_getBalance", ME), pool.send(b"0:1")):
            with pytest.raises(WrongChain):
                await call
        await pool.close()

    virtual(main())


def test_who_turns_into_another_chain_while_connecting_anew_is_not_believed_in_the_same_answer() -> None:
    async def main() -> None:
        _, nodes = three()
        other = FakeChain(head=100)
        async with pool_of(*nodes, probe_s=1_000) as node:
            for one in nodes[:2]:
                one.reconnects()
                one.chain_id, one.chain = 1, other
                one.says = lambda method, params: hex(666) if method == "eth_getBalance" else NotImplemented
            for _ in range(5):
                assert await node.read("eth_getBalance", ME) == hex(100)
            assert [bool(one.barred) for one in node.health()] == [True, True, False]
            nodes[2].reconnects()
            nodes[2].chain_id = 1
            with pytest.raises(WrongChain):
                await node.read("eth_getBalance", ME)

    virtual(main())


def test_calls_that_wait_for_the_same_check_share_it() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(nodes[0], probe_s=1_000) as node:
            nodes[0].reconnects()
            await asyncio.gather(*(node.read("eth_getBalance", ME) for _ in range(20)))
        assert nodes[0].asked["eth_getCode"] == 2, "at the start, and once for all twenty"

    virtual(main())


def test_a_node_that_does_not_say_where_it_is_counts_for_nothing() -> None:
    async def main() -> None:
        _, nodes = three()
        nodes[0].says = lambda method, params: "latest" if method == "eth_blockNumber" else NotImplemented
        async with pool_of(*nodes) as node:
            await node.read("eth_getBalance", ME)
            assert nodes[0].asked["eth_getBalance"] == 0 or node.health()[0].error_rate > 0
            assert not node.health()[0].trusted
        with pytest.raises(ChainUnavailable, match="does not say which block"):
            await pool_of(nodes[0]).start()

    virtual(main())


def test_who_is_put_right_is_asked_again() -> None:
    async def main() -> None:
        _, nodes = three()
        nodes[0].chain_id = 1
        async with pool_of(*nodes) as node:
            assert node.health()[0].barred
            nodes[0].chain_id = 137
            await asyncio.sleep(5)
            assert not node.health()[0].barred
            assert node.health()[0].trusted

    virtual(main())


def test_on_a_connection_that_lasts_the_chain_is_checked_again_from_time_to_time() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes, recheck_s=60.0):
            await asyncio.sleep(601)
        assert 8 <= nodes[0].asked["eth_getCode"] <= 12

    virtual(main())


# -- doubts ----------------------------------------------------------------------------------------------------


def says(value: Any, method: str = "eth_getBalance") -> Callable[[str, list[Any]], Any]:
    return lambda asked, params: value if asked == method else NotImplemented


def test_what_most_nodes_say_is_agreed_and_what_each_says_can_be_asked() -> None:
    async def main() -> None:
        _, nodes = three()
        nodes[0].says = says("0x5")
        async with pool_of(*nodes) as node:
            assert await node.agreed("eth_getBalance", ME) == hex(100)
            assert sorted(await node.read_all("eth_getBalance", ME)) == ["0x5", hex(100), hex(100)]

    virtual(main())


def test_two_that_disagree_have_not_agreed_and_are_asked_again_until_they_do() -> None:
    async def main() -> float:
        chain = FakeChain()
        nodes = [FakeNode(chain), FakeNode(chain)]
        nodes[0].says = says("0x5")
        async with pool_of(*nodes) as node:

            async def come_round() -> None:
                await asyncio.sleep(3)
                nodes[0].says = None

            coming = asyncio.ensure_future(come_round())
            agreed, waited = await timed(node.agreed("eth_getBalance", ME))
            await coming
            assert agreed == hex(100)
            nodes[0].says = says("0x5")
            with pytest.raises(NodesDisagree, match="2 different answers from 2 of 2"):
                await node.agreed("eth_getBalance", ME)
            down(nodes[0])
            with pytest.raises(NodesDisagree, match="too few answers from 1 of 2"):
                await node.agreed("eth_getBalance", ME)
        return waited

    assert virtual(main()) >= 3.0


def test_fields_in_another_order_are_the_same_answer_and_so_is_the_same_revert() -> None:
    async def main() -> None:
        chain = FakeChain()
        nodes = [
            FakeNode(chain, says=says(block, "eth_getBlockByHash")) for block in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
        ]
        async with pool_of(*nodes) as node:
            assert await node.agreed("eth_getBlockByHash", "0x1", False) == {"a": 1, "b": 2}
            with pytest.raises(CallRefused, match="reverted"):
                await node.agreed("eth_call", {"to": ME})
            with pytest.raises(CallRefused, match="reverted"):
                await node.read_all("eth_call", {"to": ME})

    virtual(main())


def test_when_nobody_answers_there_is_nothing_to_agree_on() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            for one in nodes:
                down(one)
            for call in (node.read_all("eth_getBalance", ME, "0x1"), node.agreed("eth_getBalance", ME, "0x1")):
                with pytest.raises(ChainUnavailable):
                    await call

    virtual(main())


def test_a_pool_that_cannot_be_entered_leaves_no_connection_open() -> None:
    async def main() -> None:
        _, nodes = three()
        for one in nodes:
            down(one)
        with pytest.raises(ChainUnavailable):
            async with pool_of(*nodes):
                pass
        assert all(one.closed for one in nodes)

    virtual(main())


# -- settings, repetition --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "settings", "says"),
    [
        ([], {}, "no endpoint"),
        (["a", "a"], {}, "one name: a, a"),
        (["a"], {"hedge_s": 0}, "hedge_s"),
        (["a"], {"fresh_s": -1}, "fresh_s"),
        (["a", "b"], {"quorum": 3}, "quorum of 3 among 2"),
        (["a", "b"], {"quorum": 0}, "quorum of 0 among 2"),
    ],
)
def test_a_pool_that_cannot_be_meant_is_refused(names: list[str], settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RPCLoadBalancer([RPCEndpoint("http://127.0.0.1/", name) for name in names], contracts={}, **settings)


def test_the_pool_is_a_node() -> None:
    node: Node = pool_of(FakeNode(FakeChain()))
    assert isinstance(node, RPCLoadBalancer)


def test_the_same_faults_give_the_same_run() -> None:
    async def main() -> list[Any]:
        chain, nodes = three()
        story: list[Any] = []
        async with pool_of(*nodes) as node:
            for step in range(30):
                FAULTS[step % len(FAULTS)](nodes[step % 2])
                chain.head += 1
                story.append((await node.read("eth_getBalance", ME), now(), node.health()))
                await asyncio.sleep(0.5)
            story.append([dict(one.asked) for one in nodes])
        return story

    assert virtual(main()) == virtual(main())


def test_a_caller_who_gives_up_leaves_nothing_running() -> None:
    async def main() -> set[str]:
        _, nodes = three()
        async with pool_of(*nodes, probe_s=1_000) as node:
            for one in nodes:
                hang(one)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.6):
                    await node.read("eth_getBalance", ME, "0x1")
            await asyncio.sleep(0)
            assert sum(one.asked["eth_getBalance"] for one in nodes) == 3
            return {task.get_coro().__name__ for task in asyncio.all_tasks() - {asyncio.current_task()}}

    assert virtual(main()) == {"_watch"}
