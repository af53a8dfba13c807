"""A local node for the tests marked `chain`: anvil, one process for each test, on this machine and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from arbkit.chain.local_node import LocalNode as Anvil
from arbkit.chain.local_node import NoLocalNode, anvil_binary, local_node

Start = Callable[..., Anvil]

__all__ = ["Anvil", "Start", "soon"]


@pytest.fixture
def start_anvil() -> Iterator[Start]:
    """Start nodes with flags of the test's own; they are stopped at its end."""
    try:
        binary = anvil_binary()
    except NoLocalNode as missing:
        pytest.skip(str(missing))
    running: list[Anvil] = []

    def start(*flags: str) -> Anvil:
        running.append(local_node(*flags, binary=binary))
        return running[-1]

    yield start
    for node in running:
        node.stop()


@pytest.fixture
def anvil(start_anvil: Start) -> Anvil:
    """A node that mines when it is told to (`await anvil.mine()`), and by itself not at all."""
    return start_anvil("--no-mining")


async def soon(met: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until a condition is met; TimeoutError when it is not."""
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110 (what is waited for happens in another process)
            await asyncio.sleep(0.01)
