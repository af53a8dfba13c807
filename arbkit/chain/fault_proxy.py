"""A proxy in front of a node that does what nodes, and the way to them, do on a bad day.

    async with FaultProxy(anvil.url, seed=1) as proxy:
        proxy.add("stale", lag=12)
        proxy.add("lost_reply", "eth_sendRawTransaction", times=1)

A rule has a kind, the methods it is for (none: all), a chance `p` of striking, `after` how many matching messages it
begins, how many `times` it strikes, and what the kind needs. `asked` counts methods, `struck` kinds. `POST /` is
JSON-RPC, single and in arrays; `GET /` is a WebSocket. Everything stays on this machine.

Before a message goes on: delay(s) hang drop status(code, retry_after) bucket(rate, burst).
Of a call: rpc_error(code, message) chain_id(number) null nonce_lag stale(lag) min_tip(wei) bump(percent).
Before the reply goes back: lost_reply garbage truncate wrong_id. Of a WebSocket: ws_drop ws_mute.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

REFUSED_BLOCK = {"code": -32000, "message": "header not found"}
NULLABLE = ("eth_getTransactionByHash", "eth_getTransactionReceipt")
# Where the block stands among the parameters of a read of state.
BLOCK_AT = {
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getStorageAt": 2,
}


@dataclass
class Rule:
    """What goes wrong, for which methods, how often."""

    kind: str
    methods: tuple[str, ...] = ()
    p: float = 1.0
    times: int | None = None
    after: int = 0
    needs: dict[str, Any] = field(default_factory=dict)
    matched: int = 0
    struck: int = 0

    def strikes(self, methods: Iterable[str], rng: random.Random) -> bool:
        """Tell whether the rule strikes a message with these methods, and count it."""
        if self.methods and not set(self.methods) & set(methods):
            return False
        self.matched += 1
        if self.matched <= self.after or (self.times is not None and self.struck >= self.times):
            return False
        if self.p < 1.0 and rng.random() >= self.p:
            return False
        self.struck += 1
        return True


class Drop(Exception):
    """The connection is to be cut."""


class FaultProxy:
    """A proxy on a free port of this machine; use it as a context."""

    def __init__(self, target: str, seed: int = 0) -> None:
        self.target = target
        self.asked: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.rules: list[Rule] = []
        self._rng = random.Random(seed)
        self._bucket: dict[int, tuple[float, float]] = {}  # of each rule: tokens, when
        self._fees: dict[tuple[str, int], tuple[int, int]] = {}  # of each sender and nonce: tip, fee cap
        self.url = ""

    async def __aenter__(self) -> Self:
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{rest:.*}", self._post)
        app.router.add_get("/{rest:.*}", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", int(URL(self.url).port or 0) if self.url else 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._runner.cleanup()
        await self._session.close()

    def add(
        self, kind: str, *methods: str, p: float = 1.0, times: int | None = None, after: int = 0, **needs: Any
    ) -> Rule:
        rule = Rule(kind, methods, p, times, after, needs)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules.clear()

    def _strike(self, kind: str, methods: Iterable[str]) -> Rule | None:
        for rule in self.rules:
            if rule.kind == kind and rule.strikes(methods, self._rng):
                self.struck[kind] += 1
                return rule
        return None

    # -- HTTP ------------------------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.StreamResponse:
        document = await request.json()
        calls = document if isinstance(document, list) else [document]
        methods = [call["method"] for call in calls]
        self.asked.update(methods)
        try:
            refused = await self._on_the_way(methods)
            if refused is not None:
                return refused
            replies = await self._replies(calls)
            return self._on_the_way_back(methods, replies if isinstance(document, list) else replies[0])
        except Drop:
            if request.transport is not None:  # the other side may be gone by now
                request.transport.abort()
            return web.Response()

    async def _on_the_way(self, methods: list[str]) -> web.Response | None:
        if rule := self._strike("delay", methods):
            await asyncio.sleep(rule.needs["s"])
        if self._strike("hang", methods):
            await self._closing.wait()
            raise Drop
        if self._strike("drop", methods):
            raise Drop
        if rule := self._strike("status", methods):
            after = rule.needs.get("retry_after")
            return web.Response(status=rule.needs["code"], headers={} if after is None else {"Retry-After": str(after)})
        for rule in self.rules:
            if rule.kind == "bucket" and not self._has_token(rule):
                self.struck["bucket"] += 1
                return web.Response(status=429, headers={"Retry-After": "1"})
        return None

    def _has_token(self, rule: Rule) -> bool:
        now = asyncio.get_running_loop().time()
        tokens, when = self._bucket.get(id(rule), (float(rule.needs["burst"]), now))
        tokens = min(rule.needs["burst"], tokens + (now - when) * rule.needs["rate"])
        self._bucket[id(rule)] = (tokens - 1 if tokens >= 1 else tokens, now)
        return bool(tokens >= 1)

    def _on_the_way_back(self, methods: list[str], document: Any) -> web.Response:
        if self._strike("lost_reply", methods):
            raise Drop
        if self._strike("garbage", methods):
            return web.Response(text="<html>502 Bad Gateway</html>", content_type="text/html")
        if self._strike("wrong_id", methods):
            for reply in document if isinstance(document, list) else [document]:
                reply["id"] = 10**6 + self._rng.randrange(10**6)
        text = json.dumps(document)
        if self._strike("truncate", methods):
            text = text[: len(text) // 2]
        return web.Response(text=text, content_type="application/json")

    # -- calls -----------------------------------------------------------------------------------------------

    async def _replies(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer each call, some by ourselves and the others by the node, in one message if they came in one."""
        stale = self._strike("stale", [call["method"] for call in calls])
        lagged = None if stale is None else max(0, await self._quantity("eth_blockNumber") - stale.needs["lag"])
        answers: list[Any] = [
            await self._own(call) or (None if lagged is None else _behind(call, lagged)) for call in calls
        ]
        asked = [call for call, answer in zip(calls, answers, strict=True) if answer is None]
        replies = iter(await self._forward(asked) if asked else [])
        done = []
        for call, answer in zip(calls, answers, strict=True):
            reply = next(replies) if answer is None else {"jsonrpc": "2.0", "id": call["id"], **answer}
            if lagged is not None:
                _hide_later(call, reply, lagged)
            done.append(reply)
        return done

    async def _own(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """Return the proxy's own answer, or None; the call itself may be changed."""
        method, params = call["method"], call.get("params", [])
        if rule := self._strike("rpc_error", [method]):
            return {"error": {"code": rule.needs["code"], "message": rule.needs["message"]}}
        if method == "eth_chainId" and (rule := self._strike("chain_id", [method])):
            return {"result": hex(rule.needs["number"])}
        if method in NULLABLE and self._strike("null", [method]):
            return {"result": None}
        if method == "eth_getTransactionCount" and params[1:] == ["pending"] and self._strike("nonce_lag", [method]):
            call["params"] = [params[0], "latest"]
        if method == "eth_sendRawTransaction":
            return await self._policy(bytes.fromhex(params[0][2:]))
        return None

    async def _policy(self, raw: bytes) -> dict[str, Any] | None:
        """Refuse what Polygon's nodes refuse and the local node takes: a low tip, a replacement that adds too little."""
        if raw[:1] != b"\x02":
            return None
        import rlp  # type: ignore[import-untyped]
        from eth_account import Account

        fields = rlp.decode(raw[1:], strict=False)
        nonce, tip, cap = (int.from_bytes(value) for value in fields[1:4])
        low = next((rule for rule in self.rules if rule.kind == "min_tip" and tip < rule.needs["wei"]), None)
        if low is not None:
            self.struck["min_tip"] += 1
            least = low.needs["wei"]
            return _error(f"transaction underpriced: gas tip cap {tip}, minimum needed {least}")
        sender = Account.recover_transaction(raw)
        if nonce < await self._quantity("eth_getTransactionCount", sender, "latest"):
            return None  # the node says so itself, before it looks at fees
        key = (sender, nonce)
        old = self._fees.get(key, (tip, cap))
        steps = [rule.needs["percent"] for rule in self.rules if rule.kind == "bump"] if old != (tip, cap) else []
        if any(new * 100 < before * (100 + step) for step in steps for new, before in ((tip, old[0]), (cap, old[1]))):
            self.struck["bump"] += 1
            return _error("replacement transaction underpriced")
        self._fees[key] = (tip, cap)
        return None

    async def _quantity(self, method: str, *params: str) -> int:
        (reply,) = await self._forward([{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}])
        return int(reply["result"], 16)

    async def _forward(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with self._session.post(self.target, json=calls) as response:
            replies = await response.json()
        by_id = {reply["id"]: reply for reply in replies}
        return [by_id[call["id"]] for call in calls]

    # -- WebSocket -------------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        ours = web.WebSocketResponse()
        await ours.prepare(request)
        async with self._session.ws_connect(self.target) as theirs:
            back = asyncio.ensure_future(self._pump_back(theirs, ours))
            try:
                async for message in ours:
                    if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        break
                    method = json.loads(message.data).get("method", "")
                    self.asked[method] += 1
                    if self._strike("ws_drop", [method]):
                        break
                    await _pass_on(message, theirs)
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                await ours.close()
        return ours

    async def _pump_back(self, theirs: aiohttp.ClientWebSocketResponse, ours: web.WebSocketResponse) -> None:
        async for message in theirs:
            if json.loads(message.data).get("method") == "eth_subscription" and self._strike("ws_mute", []):
                continue
            await _pass_on(message, ours)


async def _pass_on(message: aiohttp.WSMessage, to: Any) -> None:
    """Send a message on as what it was: web3 sends bytes."""
    await (to.send_bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else to.send_str(message.data))


def _error(message: str) -> dict[str, Any]:
    return {"error": {"code": -32000, "message": message}}


def _behind(call: dict[str, Any], lagged: int) -> dict[str, Any] | None:
    """Put the block of a lagging node in the place of "latest"; answer as it would of blocks that it has not got."""
    method, params = call["method"], call.setdefault("params", [])
    if method == "eth_blockNumber":
        return {"result": hex(lagged)}
    if method == "eth_getLogs" and "blockHash" not in params[0]:
        first, last = (_number(params[0].get(key, "latest"), lagged) for key in ("fromBlock", "toBlock"))
        if first > lagged:
            return {"result": []}  # a node that is behind sees nothing there, and says just that
        params[0] = {**params[0], "fromBlock": hex(first), "toBlock": hex(min(last, lagged))}
    if method == "eth_getBlockByNumber":
        if _number(params[0], lagged) > lagged:
            return {"result": None}
        params[0] = hex(_number(params[0], lagged))
    at = BLOCK_AT.get(method)
    if at is not None:
        number = _number(params[at] if len(params) > at else "latest", lagged)
        if number > lagged:
            return {"error": REFUSED_BLOCK}
        call["params"] = [*params[:at], hex(number), *params[at + 1 :]]
    return None


def _hide_later(call: dict[str, Any], reply: dict[str, Any], lagged: int) -> None:
    """Take out of a reply what a lagging node does not know yet: the block of a transaction, and its receipt."""
    found = reply.get("result")
    if isinstance(found, dict) and int(found.get("blockNumber") or "0x0", 16) > lagged:
        if call["method"] == "eth_getTransactionByHash":
            found.update(blockNumber=None, blockHash=None, transactionIndex=None)
        else:
            reply["result"] = None


def _number(block: Any, lagged: int) -> int:
    if block in ("latest", "pending"):
        return lagged
    return int(block, 16) if str(block).startswith("0x") else 0
