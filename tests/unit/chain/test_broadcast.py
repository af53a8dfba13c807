"""A signed transaction to several nodes, in virtual time: in once, and no word of failure while it may be in."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from arbkit.core.errors import Refusal, SendRefused, SendUnknown
from arbkit.core.retry import RetryStrategy
from tests.rig import virtual
from tests.unit.chain.fake_nodes import FakeChain, FakeNode, hash_of, loses, pool_of
from tests.unit.chain.test_pool import FAULTS, busy, down, hang, says, three, timed

RAW = b"0:30"
LATENCY_S = 0.02
HEDGE_S = 0.25


def refusing(message: str) -> Callable[[str, list[object]], object]:
    return says(({"code": -32000, "message": message},), "eth_sendRawTransaction")


def test_the_same_bytes_go_to_every_node_and_the_first_yes_is_enough() -> None:
    async def main() -> float:
        chain, nodes = three()
        nodes[1].latency_s = nodes[2].latency_s = 1.0
        async with pool_of(*nodes) as node:
            await asyncio.sleep(2)
            _, waited = await timed(node.send(RAW))
            await asyncio.sleep(2)
        assert [one.own for one in nodes] == [{hash_of(RAW): RAW}, {}, {}]
        assert [one.asked["eth_sendRawTransaction"] for one in nodes] == [1, 1, 1]
        assert chain.imports == {hash_of(RAW): 1}
        return waited

    assert virtual(main()) == pytest.approx(LATENCY_S)


def test_sent_again_it_is_known_and_that_is_a_yes() -> None:
    async def main() -> None:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            await node.send(RAW)
            await node.send(RAW)
            chain.mine()
            await node.send(RAW)  # nonce too low, and its own hash is found
            assert chain.imports == {hash_of(RAW): 1}

    virtual(main())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_with_one_of_three_in_trouble_a_send_waits_for_nobody(fault: Callable[[FakeNode], None], place: int) -> None:
    async def main() -> float:
        chain, nodes = three()
        async with pool_of(*nodes) as node:
            fault(nodes[place])
            _, waited = await timed(node.send(RAW))
            assert chain.holds(hash_of(RAW))
            return waited

    assert virtual(main()) == pytest.approx(LATENCY_S)


def test_a_reply_lost_by_the_only_node_is_found_by_the_hash() -> None:
    async def main() -> None:
        chain = FakeChain()
        node = FakeNode(chain, lost=loses(random.Random(1), 1.0))
        async with pool_of(node) as pool:
            await pool.send(RAW)
        assert chain.imports == {hash_of(RAW): 1}
        assert node.asked["eth_sendRawTransaction"] == 1, "found, so not even the same bytes were sent again"

    virtual(main())


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("nonce too low", Refusal.NONCE_TOO_LOW),
        ("replacement transaction underpriced", Refusal.REPLACEMENT_UNDERPRICED),
        ("transaction underpriced", Refusal.UNDERPRICED),
        ("max fee per gas less than block base fee", Refusal.FEE_BELOW_BASE),
        ("insufficient funds for gas * price + value", Refusal.INSUFFICIENT_FUNDS),
        ("exceeds block gas limit", Refusal.OTHER),
    ],
)
def test_when_all_refuse_the_kind_says_what_may_be_done(message: str, kind: Refusal) -> None:
    async def main() -> float:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            for one in nodes:
                one.says = refusing(message)
            began = asyncio.get_running_loop().time()
            with pytest.raises(SendRefused, match=f"a: {kind}; b: {kind}; c: {kind}") as caught:
                await node.send(RAW)
            assert (caught.value.kind, caught.value.unanswered) == (kind, ())
            return asyncio.get_running_loop().time() - began

    assert virtual(main()) == pytest.approx(2 * LATENCY_S), "asked, looked up, told"


def test_refusals_of_several_kinds_are_told_by_the_gravest_and_in_full() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            for one, message in zip(nodes, ("exceeds block gas limit", "underpriced", "nonce too low"), strict=True):
                one.says = refusing(message)
            with pytest.raises(SendRefused, match="a: other; b: underpriced; c: nonce_too_low") as caught:
                await node.send(RAW)
            assert caught.value.kind is Refusal.NONCE_TOO_LOW

    virtual(main())


def test_who_took_the_bytes_and_said_nothing_is_named_in_the_refusal_by_the_others() -> None:
    async def main() -> float:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            hang(nodes[0])
            nodes[1].lost = lambda method: True
            nodes[2].says, nodes[2].gossip = refusing("underpriced"), False
            began = asyncio.get_running_loop().time()
            with pytest.raises(SendRefused) as caught:
                await node.send(RAW)
            assert sorted(caught.value.unanswered) == ["a", "b"]
            return asyncio.get_running_loop().time() - began

    assert virtual(main()) <= 2 * HEDGE_S + 2 * LATENCY_S + 1e-9


def test_who_could_not_be_checked_was_given_nothing_and_is_not_in_doubt() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes, probe_s=1_000) as node:
            nodes[0].reconnects()
            nodes[0].lost = lambda method: method == "eth_chainId"
            nodes[1].says = nodes[2].says = refusing("underpriced")
            with pytest.raises(SendRefused) as caught:
                await node.send(RAW)
            assert caught.value.unanswered == ()
            assert nodes[0].asked["eth_sendRawTransaction"] == 0

    virtual(main())


def test_one_yes_outweighs_every_no() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            nodes[0].says = nodes[1].says = refusing("underpriced")
            nodes[2].latency_s = 0.2
            await node.send(RAW)

    virtual(main())


def test_a_refusal_does_not_count_while_the_one_who_refused_cannot_be_asked_for_the_hash() -> None:
    async def main() -> None:
        chain = FakeChain()
        taker = FakeNode(chain, lost=lambda method: method != "eth_blockNumber")
        miner = FakeNode(chain)
        async with pool_of(taker, miner) as node:
            chain.take(RAW)
            chain.mine()  # it is in; the one node says "nonce too low", the other nothing
            lookups = iter([True, True, False])
            miner.lost = lambda method: method == "eth_getTransactionByHash" and next(lookups)
            await node.send(RAW)

    virtual(main())


def test_a_lookup_that_is_refused_denies_nothing() -> None:
    async def main() -> None:
        chain = FakeChain()

        def refuses_both(method: str, params: list[object]) -> object:
            if method == "eth_getTransactionByHash":
                return ({"code": -32000, "message": "transaction indexing is in progress"},)
            return refusing("nonce too low")(method, params)

        async with pool_of(FakeNode(chain, says=refuses_both)) as pool:
            with pytest.raises(SendUnknown, match="a: nonce_too_low, and its hash could not be looked up"):
                await pool.send(RAW)

    virtual(main())


def test_a_node_that_names_another_hash_has_not_taken_it() -> None:
    async def main() -> None:
        chain = FakeChain()
        node = FakeNode(chain, says=says("0x" + "11" * 32, "eth_sendRawTransaction"))
        async with pool_of(node, resend=RetryStrategy(deadline_s=5, tries=3)) as pool:
            with pytest.raises(SendUnknown, match="another transaction"):
                await pool.send(RAW)

    virtual(main())


@pytest.mark.parametrize("fault", [hang, down, busy], ids=lambda fault: fault.__name__)
def test_when_nobody_has_a_word_it_may_be_in_and_that_is_said_with_the_hash(
    fault: Callable[[FakeNode], None],
) -> None:
    async def main() -> float:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            for one in nodes:
                fault(one)
            began = asyncio.get_running_loop().time()
            with pytest.raises(SendUnknown, match=hash_of(RAW)):
                await node.send(RAW)
            return asyncio.get_running_loop().time() - began

    assert virtual(main()) <= 20.0


def test_sent_before_anything_answers_it_waits_for_a_node() -> None:
    async def main() -> None:
        chain, nodes = three()
        for one in nodes:
            down(one)
        pool = pool_of(*nodes)

        async def up() -> None:
            await asyncio.sleep(3)
            nodes[1].refuses_connections = False

        coming = asyncio.ensure_future(up())
        await pool.send(RAW)
        await coming
        assert chain.imports == {hash_of(RAW): 1}
        await pool.close()

    virtual(main())


def test_who_wants_to_be_left_alone_is_sent_to_only_when_there_is_nobody_else() -> None:
    async def main() -> None:
        _, nodes = three()
        async with pool_of(*nodes) as node:
            busy(nodes[0])
            await node.send(b"0:30")
            await asyncio.sleep(0.5)
            asked = nodes[0].messages
            await node.send(b"1:30")
            await asyncio.sleep(0.5)
            assert nodes[0].messages == asked
            for one in nodes:
                busy(one)
            with pytest.raises(SendUnknown):
                await node.send(b"2:30")
            assert nodes[0].messages > asked

    virtual(main())


# -- a thousand worlds -----------------------------------------------------------------------------------------

OUTCOMES = ("in", "refused", "refused in doubt", "unknown")


async def one_world(seed: int, told: Counter[str]) -> None:
    """Send one transaction where replies are lost, nodes hang, lag, differ and mine, and look at what was said.

    The caller does what callers do: after SendUnknown it sends the same bytes again, five times at most.
    """
    rng = random.Random(seed)
    chain = FakeChain()
    nodes = [
        FakeNode(
            chain,
            latency_s=rng.uniform(0.005, 0.4),
            lag=rng.choice([0, 0, 0, 1, 12]),
            gossip=rng.random() < 0.5,
            hangs=rng.random() < 0.1,
            min_fee=rng.choice([0, 20, 50]),
            lost=loses(rng, rng.choice([0.5, 1.0] if place == 0 else [0.0, 0.0, 0.5, 1.0])),
        )
        for place in range(3)
    ]
    if all(node.hangs for node in nodes):
        nodes[0].hangs = False
    if rng.random() < 0.2:  # the first goes down while it is sent to, or soon after
        asyncio.get_running_loop().call_later(rng.uniform(0.0, 2.0), down, nodes[0])
    if rng.random() < 0.3:  # lookups are lost as well
        for node in nodes:
            sends, lookups = node.lost, loses(rng, 0.3, "eth_getTransactionByHash")
            node.lost = lambda method, sends=sends, lookups=lookups: bool(sends and sends(method)) or lookups(method)
    raw = f"0:{rng.choice([30, 30, 10])}".encode()

    async def mining() -> None:
        while True:
            await asyncio.sleep(rng.uniform(0.1, 1.75))
            chain.mine()

    pool = pool_of(*nodes, seed=seed)
    mined = asyncio.ensure_future(mining())
    outcome = "unknown"
    for _ in range(5):
        try:
            await pool.send(raw)
            outcome = "in"
        except SendRefused as error:
            outcome = "refused in doubt" if error.unanswered else "refused"
        except SendUnknown:
            continue
        break
    there = chain.holds(hash_of(raw))
    await asyncio.sleep(30)
    later = chain.holds(hash_of(raw))
    mined.cancel()
    await pool.close()
    told[outcome] += 1
    told["in, and the caller was told of the doubt"] += later and outcome in ("refused in doubt", "unknown")
    told["duplicates"] += max(chain.imports.values(), default=0) > 1 or len(chain.imports) > 1 or len(chain.mined) > 1
    told["false failures"] += outcome == "refused" and (there or later)
    told["false successes"] += outcome == "in" and not there
    told["sent again"] += max(node.asked["eth_sendRawTransaction"] for node in nodes) > 1


@pytest.mark.no_cover
def test_in_1000_worlds_with_lost_replies_nothing_is_doubled_and_no_failure_is_false(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: Counter[str] = Counter()
    for seed in range(1_000):
        virtual(one_world(seed, told))
    with capsys.disabled():
        print(f"\n1,000 seeded sends, replies lost: {dict(told)}")
    assert sum(told[outcome] for outcome in OUTCOMES) == 1_000
    assert told["duplicates"] == told["false failures"] == told["false successes"] == 0
    # The worlds are what they are meant to be: most get in, some are refused, bytes are sent again.
    assert told["in"] > 700
    assert told["refused"] > 10
    assert told["sent again"] > 20
