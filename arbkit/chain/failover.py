"""A rehearsal of failover: three endpoints of one local node, of which the best one falls ill in turns and recovers.

Every call is watched from the outside: which endpoints were asked for its sake, which one's answer it returned, how
long it took and how old the answer was. The node, HTTP and the illnesses are real, by way of `FaultProxy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from arbkit.chain.health import Health
from arbkit.chain.local_node import LocalNode, local_node
from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.chain.transport import HttpTransport, Reply, Transport
from arbkit.core.errors import ChainError
from arbkit.core.secrets import Secret

if TYPE_CHECKING:
    from arbkit.chain.fault_proxy import FaultProxy

NAMES: Final = ("A", "B", "C")
WAYS_S: Final = (0.0, 0.03, 0.06)  # how much longer the way to each is: A is the best while it is well
BLOCK_S: Final = 0.25
BLOCK: Final = "eth_getBlockByNumber"
LAG: Final = 12  # blocks, about twenty seconds of Polygon


@dataclass(frozen=True, slots=True)
class Phase:
    """What is the matter with endpoint A, as rules of the fault proxy, and for how long."""

    name: str
    lasts_s: float
    kind: str = ""
    needs: tuple[tuple[str, int], ...] = ()


COURSE: Final = (
    Phase("well", 1.2),
    Phase("hung", 2.0, "hang"),
    Phase("well again", 2.6),
    Phase("12 blocks behind", 1.6, "stale", (("lag", LAG),)),
    Phase("well once more", 1.2),
    Phase("answers 429", 1.6, "status", (("code", 429), ("retry_after", 1))),
    Phase("recovered", 2.8),
)


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """One read of the newest block. Times in s since the rehearsal began; blocks are heights.

    `asked` are the endpoints asked for its sake, in order; of them `in_vain` said nothing, or nothing that counted.
    `answered` is the one whose answer was returned, empty when the call failed with `error`. `known` is how far the
    node itself was before the call, `seen` the highest block any earlier call had returned: an answer below `seen`
    would be stale.
    """

    at_s: float
    phase: str
    took_s: float
    asked: tuple[str, ...]
    in_vain: tuple[str, ...]
    answered: str
    block: int
    known: int
    seen: int
    health: tuple[Health, ...]
    error: str = ""

    @property
    def is_stale(self) -> bool:
        return self.answered != "" and self.block < self.seen

    @property
    def behind(self) -> int:
        """Return how many blocks older the answer is than what the node had before the call."""
        return max(0, self.known - self.block) if self.answered else 0


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was seen. `phases` are their names and when each began, s."""

    calls: tuple[WatchedCall, ...]
    phases: tuple[tuple[str, float], ...]
    hedge_s: float
    ended_s: float


@dataclass(slots=True)
class _Heard:
    """Who was asked what for one call, in order, and who replied last to each question.

    A call asks for the head first and then for the block. The pool goes on at the first answer that counts, so of
    each question the last reply is it.
    """

    asked: list[tuple[bool, str]] = field(default_factory=list)
    replied: dict[bool, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.asked))

    def in_vain(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for what, name in self.asked if self.replied.get(what) != name))


# Set while a watched call runs. Its tasks inherit it, the pool's own looks at its endpoints do not.
_CALL: ContextVar[_Heard | None] = ContextVar("_CALL", default=None)


class WatchedTransport:
    """Passes everything on, and notes for the call that it belongs to that this endpoint was asked, and replied."""

    def __init__(self, name: str, inner: Transport) -> None:
        self._name = name
        self._inner = inner

    @property
    def connections(self) -> int:
        return self._inner.connections

    async def post(self, body: bytes) -> Reply:
        """See `Transport.post`."""
        heard, asks_block = _CALL.get(), BLOCK.encode() in body
        if heard is not None:
            heard.asked.append((asks_block, self._name))
        reply = await self._inner.post(body)
        if heard is not None:
            heard.replied[asks_block] = self._name
        return reply

    async def close(self) -> None:
        await self._inner.close()


async def rehearse_failover(
    *,
    course: Sequence[Phase] = COURSE,
    every_s: float = 0.1,
    hedge_s: float = 0.25,
    start: Callable[..., LocalNode] = local_node,
) -> Rehearsal:
    """Read the newest block every `every_s` through three endpoints while A goes through a course of phases.

    Raises NoLocalNode where there is no node to start.
    """
    from arbkit.chain.fault_proxy import FaultProxy

    async with AsyncExitStack() as stack:
        node = stack.enter_context(start("--block-time", str(BLOCK_S)))
        proxies = [await stack.enter_async_context(FaultProxy(node.url)) for _ in NAMES]
        pool = await stack.enter_async_context(_pool(proxies, hedge_s))
        return await _watch(node, proxies, pool, course, every_s, hedge_s)


def _pool(proxies: Sequence[FaultProxy], hedge_s: float) -> RPCLoadBalancer:
    endpoints = []
    for name, proxy, way_s in zip(NAMES, proxies, WAYS_S, strict=True):
        if way_s:
            proxy.add("delay", s=way_s)
        transport = WatchedTransport(name, HttpTransport(Secret(proxy.url)))
        endpoints.append(RPCEndpoint(proxy.url, name, answer_s=1.0, transport=transport))
    return RPCLoadBalancer(endpoints, contracts={}, hedge_s=hedge_s, fresh_s=0.0, probe_s=0.15)


async def _watch(
    node: LocalNode,
    proxies: Sequence[FaultProxy],
    pool: RPCLoadBalancer,
    course: Sequence[Phase],
    every_s: float,
    hedge_s: float,
) -> Rehearsal:
    loop = asyncio.get_running_loop()
    began, calls, phases, seen = loop.time(), list[WatchedCall](), list[tuple[str, float]](), 0
    for phase in course:
        rule = proxies[0].add(phase.kind, **dict(phase.needs)) if phase.kind else None
        phases.append((phase.name, loop.time() - began))
        until = loop.time() + phase.lasts_s
        while loop.time() < until:
            call = await _call(node, pool, phase.name, began, seen)
            calls.append(call)
            seen = max(seen, call.block)
            await asyncio.sleep(max(0.0, every_s - call.took_s))
        if rule is not None:
            proxies[0].rules.remove(rule)
    return Rehearsal(tuple(calls), tuple(phases), hedge_s, loop.time() - began)


async def _call(node: LocalNode, pool: RPCLoadBalancer, phase: str, began: float, seen: int) -> WatchedCall:
    loop = asyncio.get_running_loop()
    known = int(await node.do("eth_blockNumber"), 16)
    heard, at = _Heard(), loop.time()
    token = _CALL.set(heard)
    block, error = 0, ""
    try:
        block = int((await pool.read(BLOCK, "latest", False))["number"], 16)
    except ChainError as failed:
        error = str(failed)
    finally:
        _CALL.reset(token)
    return WatchedCall(
        at_s=at - began,
        phase=phase,
        took_s=loop.time() - at,
        asked=heard.names(),
        in_vain=heard.in_vain(),
        answered="" if error else heard.replied[True],
        block=block,
        known=known,
        seen=seen,
        health=tuple(pool.health()),
        error=error,
    )
