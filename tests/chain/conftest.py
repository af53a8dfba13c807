"""A local node for the tests marked `chain`: anvil, one process for each test, on this machine and nowhere else."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / "node_modules"
FLAGS = {"--chain-id": "137", "--block-base-fee-per-gas": "30000000000", "--slots-in-an-epoch": "2"}
START_S = 20.0
Start = Callable[..., "Anvil"]


def anvil_binary() -> Path | None:
    """Return the node's program: ARBKIT_ANVIL, or what `make chain-parts` installs; None where there is none."""
    named = os.environ.get("ARBKIT_ANVIL")
    found = [Path(named)] if named else sorted(PARTS.glob("@foundry-rs/anvil-*/bin/anvil*"))
    return next((path for path in found if path.is_file() and os.access(path, os.X_OK)), None)


@dataclass
class Anvil:
    """A running node. What it is told beyond reading (mining, reorganising) goes through `do`, past every proxy."""

    url: str
    process: subprocess.Popen[str]
    accounts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()  # of the public test mnemonic
    reader: threading.Thread | None = None  # takes what the node prints: a full pipe would stop it
    _ids: Iterator[int] = field(default_factory=itertools.count)

    async def do(self, method: str, *params: object) -> Any:
        """Return the node's answer to any call at all; RuntimeError with its words when it refuses."""
        document = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with aiohttp.ClientSession() as session, session.post(self.url, json=document) as response:
            reply = await response.json()
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    async def mine(self, blocks: int = 1) -> None:
        await self.do("anvil_mine", hex(blocks))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def started(binary: Path, *flags: str) -> Anvil:
    """Start a node on a free port and wait until it says which one."""
    usual = [word for flag, value in FLAGS.items() if flag not in flags for word in (flag, value)]
    process = subprocess.Popen(
        [str(binary), "--host", "127.0.0.1", "--port", "0", *usual, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    said = ""
    while "Listening on" not in said.rpartition("\n")[2]:
        try:
            line = lines.get(timeout=START_S)
        except queue.Empty:
            line = ""
        if not line:
            Anvil("", process, reader=reader).stop()
            raise RuntimeError(f"the node did not start: {said[-500:]}")
        said += "\n" + line.rstrip("\n")
    port = said.rpartition(":")[2].strip()
    keys = tuple(re.findall(r"^\(\d+\) (0x[0-9a-f]{64})$", said, re.MULTILINE))
    accounts = tuple(re.findall(r"^\(\d+\) (0x[0-9a-fA-F]{40}) ", said, re.MULTILINE))
    return Anvil(f"http://127.0.0.1:{port}/", process, accounts, keys, reader)


@pytest.fixture
def start_anvil() -> Iterator[Start]:
    """Start nodes with flags of the test's own; they are stopped at its end."""
    binary = anvil_binary()
    if binary is None:
        pytest.skip("there is no local node: `make chain-parts` (needs npm) installs one, or set ARBKIT_ANVIL")
    running: list[Anvil] = []

    def start(*flags: str) -> Anvil:
        running.append(started(binary, *flags))
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
