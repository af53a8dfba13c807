"""What one question to a node costs: our own transport and pool against web3's HTTP provider, in turns in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint

ACCOUNT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@dataclass(frozen=True)
class RoundTrips:
    """Medians of one round trip each, s."""

    endpoint_s: float
    pool_s: float
    web3_s: float
    number: int

    @property
    def ratio(self) -> float:
        """Our transport's share of what web3 takes for the same question."""
        return self.endpoint_s / self.web3_s

    @property
    def pool_ratio(self) -> float:
        return self.pool_s / self.web3_s

    def __str__(self) -> str:
        return (
            f"round trip, median of {self.number}: endpoint {self.endpoint_s * 1e3:.3f} ms, "
            f"pool {self.pool_s * 1e3:.3f} ms, web3 over HTTP {self.web3_s * 1e3:.3f} ms; "
            f"ratios {self.ratio:.2f} and {self.pool_ratio:.2f}"
        )


async def round_trips(url: str, *, number: int = 1_000, warm: int = 50) -> RoundTrips:
    """Ask the node at a URL for a balance, in turns by each way, so that all three see the same machine."""
    from web3 import AsyncHTTPProvider, AsyncWeb3

    endpoint = RPCEndpoint(url, "endpoint")
    w3 = AsyncWeb3(AsyncHTTPProvider(url))
    async with RPCLoadBalancer([RPCEndpoint(url, "pool")], contracts={}, fresh_s=60.0, probe_s=60.0) as pool:
        ways: list[Callable[[], Awaitable[object]]] = [
            lambda: endpoint.ask([("eth_getBalance", ACCOUNT, "latest")]),
            lambda: pool.read("eth_getBalance", ACCOUNT, "latest"),
            lambda: w3.eth.get_balance(ACCOUNT),
        ]
        took: list[list[float]] = [[] for _ in ways]
        for _ in range(warm + number):
            for way, times in zip(ways, took, strict=True):
                began = time.perf_counter()
                await way()
                times.append(time.perf_counter() - began)
    await endpoint.close()
    await w3.provider.disconnect()
    ours, pooled, theirs = (statistics.median(times[warm:]) for times in took)
    return RoundTrips(ours, pooled, theirs, number)
