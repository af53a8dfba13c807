"""A chain node on this machine: anvil, as `make chain-parts` installs it. For tests, rehearsals and notebooks.

It listens on loopback and nowhere else, and its accounts are the public test ones, which no live signer takes.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from arbkit.core.errors import ConfigError

PARTS: Final = Path(__file__).resolve().parents[2] / "node_modules"  # of the checkout
FLAGS: Final = {"--chain-id": "137", "--block-base-fee-per-gas": "30000000000", "--slots-in-an-epoch": "2"}
START_S = 20.0


class NoLocalNode(ConfigError):
    """What a local node needs is not installed; the message names the command that installs it."""


def anvil_binary(parts: Path = PARTS) -> Path:
    """Return the node's program: ARBKIT_ANVIL, or else what was installed. Raises NoLocalNode."""
    named = os.environ.get("ARBKIT_ANVIL")
    found = [Path(named)] if named else sorted(parts.glob("@foundry-rs/anvil-*/bin/anvil*"))
    for path in found:
        if path.is_file() and os.access(path, os.X_OK):
            return path
    if named:
        raise NoLocalNode(f"ARBKIT_ANVIL names no program: {named}")
    raise NoLocalNode("no local node: `make chain-parts` (needs npm) installs one, or ARBKIT_ANVIL names one")


def bytecode(name: str, parts: Path = PARTS) -> str:
    """Return the creation code of an installed contract, hex with 0x. Raises NoLocalNode."""
    try:
        return str(json.loads((parts / name).read_text(encoding="utf-8"))["bytecode"])
    except FileNotFoundError:
        raise NoLocalNode(f"{name} is missing: `make chain-parts` (needs npm) installs it") from None


@dataclass
class LocalNode:
    """A running node; as a context it is stopped at its end. What no `Node` may do (mining, reorganising) goes by `do`."""

    url: str
    process: subprocess.Popen[str] = field(repr=False)
    accounts: tuple[str, ...] = ()
    keys: tuple[str, ...] = field(default=(), repr=False)  # of the public test mnemonic
    reader: threading.Thread | None = field(default=None, repr=False)  # a full pipe would stop the node
    _ids: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def do(self, method: str, *params: object) -> Any:
        """Return the node's answer to any call at all; RuntimeError with its words when it refuses."""
        import aiohttp

        document = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with aiohttp.ClientSession() as session, session.post(self.url, json=document) as response:
            reply = await response.json()
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    async def mine(self, blocks: int = 1) -> None:
        await self.do("anvil_mine", hex(blocks))

    def stop(self) -> None:
        """End the process and take its last words; again does nothing."""
        self.process.kill()
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def local_node(*flags: str, binary: Path | None = None, start_s: float = START_S) -> LocalNode:
    """Start a node on a free port and wait until it says which one.

    `flags` are anvil's, on top of or in the place of FLAGS: `local_node("--no-mining")` mines when it is told to.
    Raises NoLocalNode where there is none, RuntimeError with its words when it does not start.
    """
    usual = [word for flag, value in FLAGS.items() if flag not in flags for word in (flag, value)]
    process = subprocess.Popen(
        [str(binary or anvil_binary()), "--host", "127.0.0.1", "--port", "0", *usual, *flags],
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
            line = lines.get(timeout=start_s)
        except queue.Empty:
            line = ""
        if not line:
            LocalNode("", process, reader=reader).stop()
            keyless = re.sub(r"0x[0-9a-f]{64}", "0x...", said)  # it prints its keys first of all
            raise RuntimeError(f"the node did not start: {keyless[-500:]}")
        said += "\n" + line.rstrip("\n")
    port = said.rpartition(":")[2].strip()
    keys = tuple(re.findall(r"^\(\d+\) (0x[0-9a-f]{64})$", said, re.MULTILINE))
    accounts = tuple(re.findall(r"^\(\d+\) (0x[0-9a-fA-F]{40}) ", said, re.MULTILINE))
    return LocalNode(f"http://127.0.0.1:{port}/", process, accounts, keys, reader)
