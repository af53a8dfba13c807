"""Nodes in memory behind the seam `Transport`, for virtual time: one chain, several nodes that fail each in its way.

A balance is the number of the block it was asked of, so that a stale answer shows. A transaction is any text
"<nonce>:<fee>"; the chain mines one of each nonce. Chance comes from one seeded generator and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eth_hash.auto import keccak

from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.chain.transport import EndpointUnavailable, Reply
from arbkit.core.retry import RetryStrategy, seeded_draw

CONTRACT = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
CODE = "0x6001"


def hash_of(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()


@dataclass
class FakeChain:
    """Blocks, and the transactions of one account: in the pool, then mined."""

    head: int = 100
    logs: dict[int, list[str]] = field(default_factory=dict)
    pool: dict[str, bytes] = field(default_factory=dict)
    mined: dict[str, int] = field(default_factory=dict)  # hash -> block
    imports: Counter[str] = field(default_factory=Counter)  # how often the chain took it as new

    @property
    def nonce(self) -> int:
        return len(self.mined)

    def take(self, raw: bytes) -> None:
        self.imports[hash_of(raw)] += 1
        self.pool[hash_of(raw)] = raw

    def mine(self) -> None:
        self.head += 1
        for hash_, raw in sorted(self.pool.items(), key=lambda item: item[1]):
            if int(raw.partition(b":")[0]) == self.nonce:
                self.mined[hash_] = self.head
        self.pool = {hash_: raw for hash_, raw in self.pool.items() if int(raw.partition(b":")[0]) >= self.nonce}

    def holds(self, hash_: str) -> bool:
        return hash_ in self.pool or hash_ in self.mined


@dataclass
class FakeNode:
    """A node of a chain; it answers after `latency_s` unless one of its faults is set."""

    chain: FakeChain
    latency_s: float = 0.02
    lag: int = 0  # blocks behind
    gossip: bool = True  # it hears of transactions that others took
    hangs: bool = False
    refuses_connections: bool = False
    status: int = 200
    retry_after_s: float | None = None
    chain_id: int = 137
    code: str = CODE
    min_fee: int = 0
    says: Callable[[str, list[Any]], Any] | None = None  # its own answer to a method; NotImplemented for the usual one
    garbles: Callable[[bytes], bytes] | None = None
    lost: Callable[[str], bool] | None = None  # whether the reply to a method is lost
    connections: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    own: dict[str, bytes] = field(default_factory=dict)
    closed: bool = False

    @property
    def head(self) -> int:
        return self.chain.head - self.lag

    async def post(self, body: bytes) -> Reply:
        if self.refuses_connections:
            raise EndpointUnavailable("no connection: refused", sent=False)
        self.connections = self.connections or 1
        document = json.loads(body)
        calls = document if isinstance(document, list) else [document]
        self.messages += 1
        self.asked.update(call["method"] for call in calls)
        await asyncio.sleep(self.latency_s / 2)
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.status != 200:
            await asyncio.sleep(self.latency_s / 2)
            return Reply(self.status, b"", self.retry_after_s)
        replies = [{"jsonrpc": "2.0", "id": call["id"], **self._reply(call)} for call in calls]
        await asyncio.sleep(self.latency_s / 2)
        if self.lost is not None and any(self.lost(call["method"]) for call in calls):
            raise EndpointUnavailable("connection lost: ServerDisconnectedError")
        text = json.dumps(replies if isinstance(document, list) else replies[0]).encode()
        return Reply(200, text if self.garbles is None else self.garbles(text))

    async def close(self) -> None:
        self.closed = True

    def reconnects(self) -> None:
        self.connections += 1

    def _reply(self, call: dict[str, Any]) -> dict[str, Any]:
        method, params = call["method"], call["params"]
        said = NotImplemented if self.says is None else self.says(method, params)
        if said is NotImplemented:
            said = getattr(self, f"_{method}", self._unknown)(*params)
        return {"error": said[0]} if isinstance(said, tuple) else {"result": said}

    def _has(self, block: str) -> tuple[dict[str, Any], ...]:
        number = int(block, 16) if block.startswith("0x") else 0
        return ({"code": -32000, "message": "header not found"},) if number > self.head else ()

    def _unknown(self, *_: object) -> Any:
        return ({"code": -32601, "message": "Method not found"},)

    def _eth_chainId(self) -> str:  # noqa: N802
        return hex(self.chain_id)

    def _eth_blockNumber(self) -> str:  # noqa: N802
        return hex(self.head)

    def _eth_getCode(self, address: str, block: str) -> Any:  # noqa: N802
        return self.code if address == CONTRACT else "0x"

    def _eth_getBalance(self, address: str, block: str) -> Any:  # noqa: N802
        return self._has(block) or (hex(self.head) if block == "latest" else block)

    def _eth_call(self, call: dict[str, str], block: str) -> Any:
        reverted = {"code": 3, "message": "execution reverted: header not found", "data": "0x08c379a0"}
        return self._has(block) or (reverted,)

    def _eth_getBlockByNumber(self, block: str, full: bool) -> Any:  # noqa: N802
        number = int(block, 16)
        return None if number > self.head else {"number": block, "parentHash": "0x", "hash": hex(number * 7)}

    def _eth_getLogs(self, within: dict[str, str]) -> list[Any]:  # noqa: N802
        first, last = int(within["fromBlock"], 16), min(int(within["toBlock"], 16), self.head)
        return [
            {"blockNumber": hex(number), "data": data}
            for number in range(first, last + 1)
            for data in self.chain.logs.get(number, [])
        ]

    def _seen(self, hash_: str) -> bool:
        if self.chain.mined.get(hash_, self.head + 1) <= self.head:
            return True
        return hash_ in self.own or (self.gossip and hash_ in self.chain.pool)

    def _eth_getTransactionByHash(self, hash_: str) -> Any:  # noqa: N802
        if not self._seen(hash_):
            return None
        block = self.chain.mined.get(hash_)
        return {"hash": hash_, "blockNumber": hex(block) if block is not None and block <= self.head else None}

    def _eth_getTransactionReceipt(self, hash_: str) -> Any:  # noqa: N802
        block = self.chain.mined.get(hash_)
        return None if block is None or block > self.head else {"transactionHash": hash_, "blockNumber": hex(block)}

    def _eth_sendRawTransaction(self, text: str) -> Any:  # noqa: N802
        raw = bytes.fromhex(text[2:])
        hash_, (nonce, fee) = hash_of(raw), map(int, raw.split(b":"))
        mined = sum(block <= self.head for block in self.chain.mined.values())
        if nonce < mined:
            return ({"code": -32000, "message": f"nonce too low: next nonce {mined}, tx nonce {nonce}"},)
        if self._seen(hash_):
            return ({"code": -32000, "message": "already known"},)
        if fee < self.min_fee:
            return ({"code": -32000, "message": "transaction underpriced: gas tip cap too low"},)
        self.own[hash_] = raw
        if not self.chain.holds(hash_):
            self.chain.take(raw)
        return hash_


def pool_of(*nodes: FakeNode, seed: int = 1, **settings: Any) -> RPCLoadBalancer:
    """Return a pool over fake nodes named a, b, c, with repeatable pauses."""
    draw, answer_s = seeded_draw(seed), settings.pop("answer_s", 5.0)
    endpoints = [
        RPCEndpoint("http://127.0.0.1/", name, transport=node, answer_s=answer_s)
        for name, node in zip("abcdefgh", nodes, strict=False)
    ]
    settings.setdefault("contracts", {CONTRACT: ""})
    settings.setdefault("retry", RetryStrategy(deadline_s=10.0, most_s=1.0, draw=draw))
    settings.setdefault("resend", RetryStrategy(deadline_s=20.0, most_s=2.0, draw=draw))
    return RPCLoadBalancer(endpoints, **settings)


def loses(rng: random.Random, share: float, method: str = "eth_sendRawTransaction") -> Callable[[str], bool]:
    return lambda asked: asked == method and rng.random() < share
