"""The fault proxy does what it says, seen by web3, which knows nothing of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import Web3Exception
from web3.providers import WebSocketProvider

from arbkit.chain.fault_proxy import FaultProxy
from tests.chain.conftest import Anvil
from tests.chain.test_faults_rpc import signed

pytestmark = pytest.mark.chain
ASK = {"jsonrpc": "2.0", "id": 5, "method": "eth_blockNumber", "params": []}


async def post(proxy: FaultProxy, document: Any = ASK) -> Any:
    async with aiohttp.ClientSession() as session, session.post(proxy.url, json=document) as response:
        return response.status, await response.text()


async def test_without_rules_it_changes_nothing(anvil: Anvil) -> None:
    await anvil.mine(3)
    async with FaultProxy(anvil.url) as proxy:
        w3 = AsyncWeb3(AsyncHTTPProvider(proxy.url))
        assert await w3.eth.block_number == 3
        assert await w3.eth.chain_id == 137
        status, text = await post(proxy, [ASK, {**ASK, "id": 6, "method": "eth_chainId"}])
        assert (status, [(one["id"], one["result"]) for one in json.loads(text)]) == (200, [(5, "0x3"), (6, "0x89")])
        await w3.provider.disconnect()
    assert proxy.asked["eth_blockNumber"] == 2
    assert not proxy.struck


async def test_a_rule_strikes_after_so_many_messages_and_so_many_times(anvil: Anvil) -> None:
    async with FaultProxy(anvil.url) as proxy:
        proxy.add("status", "eth_blockNumber", code=503, after=2, times=2)
        assert [(await post(proxy))[0] for _ in range(6)] == [200, 200, 503, 503, 200, 200]
        assert (await post(proxy, {**ASK, "method": "eth_chainId"}))[0] == 200


async def test_chance_is_the_same_for_the_same_seed(anvil: Anvil) -> None:
    async def story(seed: int) -> list[int]:
        async with FaultProxy(anvil.url, seed=seed) as proxy:
            proxy.add("status", code=503, p=0.5)
            return [(await post(proxy))[0] for _ in range(30)]

    assert await story(1) == await story(1) != await story(2)


async def test_a_lagging_node_knows_nothing_of_later_blocks(anvil: Anvil) -> None:
    async with FaultProxy(anvil.url) as proxy:
        w3 = AsyncWeb3(AsyncHTTPProvider(proxy.url))
        sent = signed(anvil, 0)
        await anvil.do("eth_sendRawTransaction", "0x" + sent.raw_transaction.hex())
        await anvil.mine(3)
        proxy.add("stale", lag=3)
        assert await w3.eth.block_number == 0
        assert await w3.eth.get_transaction_count(anvil.accounts[0]) == 0
        assert (await w3.eth.get_transaction(sent.hash))["blockNumber"] is None
        with pytest.raises(Web3Exception):
            await w3.eth.get_transaction_receipt(sent.hash)
        with pytest.raises(Web3Exception):
            await w3.eth.get_block(1)
        with pytest.raises(Web3Exception, match="header not found"):
            await w3.eth.get_balance(anvil.accounts[0], 1)
        assert await w3.eth.get_logs({"fromBlock": 1, "toBlock": 3}) == []
        proxy.clear()
        assert (await w3.eth.get_transaction_receipt(sent.hash))["blockNumber"] == 1
        await w3.provider.disconnect()


async def test_a_pending_nonce_can_lag(anvil: Anvil) -> None:
    async with FaultProxy(anvil.url) as proxy:
        w3 = AsyncWeb3(AsyncHTTPProvider(proxy.url))
        await w3.eth.send_raw_transaction(signed(anvil, 0).raw_transaction)
        assert await w3.eth.get_transaction_count(anvil.accounts[0], "pending") == 1
        proxy.add("nonce_lag")
        assert await w3.eth.get_transaction_count(anvil.accounts[0], "pending") == 0
        await w3.provider.disconnect()


async def test_after_a_lost_reply_the_transaction_is_in(anvil: Anvil) -> None:
    async with FaultProxy(anvil.url) as proxy:
        w3 = AsyncWeb3(AsyncHTTPProvider(proxy.url, exception_retry_configuration=None))
        proxy.add("lost_reply", "eth_sendRawTransaction", times=1)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await w3.eth.send_raw_transaction(signed(anvil, 0).raw_transaction)
        assert await anvil.do("txpool_status") == {"pending": "0x1", "queued": "0x0"}
        await w3.provider.disconnect()


async def test_a_websocket_goes_both_ways_and_may_fall_mute_or_be_closed(anvil: Anvil) -> None:
    async with FaultProxy(anvil.url) as proxy:
        async with AsyncWeb3(WebSocketProvider(proxy.url.replace("http", "ws"))) as w3:  # it sends bytes
            await w3.eth.subscribe("newHeads")
            await anvil.mine()
            async with asyncio.timeout(5):
                message = await anext(w3.socket.process_subscriptions())
            assert message["result"]["number"] == 1
            proxy.add("ws_mute")
            await anvil.mine()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await anext(w3.socket.process_subscriptions())
        async with aiohttp.ClientSession() as session, session.ws_connect(proxy.url) as socket:
            await socket.send_json(ASK)
            assert (await socket.receive_json(timeout=5))["id"] == 5
            proxy.add("ws_drop")
            await socket.send_json(ASK)
            assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
    assert proxy.struck == {"ws_mute": 1, "ws_drop": 1}
