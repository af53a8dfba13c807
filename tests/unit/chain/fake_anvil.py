"""A program that answers like a local node, from the standard library alone: `fake_anvil(folder)` makes one to start.

Its chain has no contents: a block every `--block-time` s, which `--no-blocks` lets it refuse to show. What it was
started with it tells to `test_arguments`.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ACCOUNTS = tuple("0x" + f"{number:040x}" for number in (0xA0, 0xA1, 0xA2))
KEYS = tuple("0x" + f"{number:064x}" for number in (0xB0, 0xB1, 0xB2))
GREETING = "\n".join(
    (
        "Available Accounts",
        *(f"({at}) {one} (10000.000000000000000000 ETH)" for at, one in enumerate(ACCOUNTS)),
        "Private Keys",
        *(f"({at}) {key}" for at, key in enumerate(KEYS)),
    )
)


def program(folder: Path, text: str) -> Path:
    """Write a program and return its path."""
    path = folder / "anvil"
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_anvil(folder: Path) -> Path:
    """Write a program that runs this file, and return its path."""
    return program(folder, f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')


class _Node(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    began = time.monotonic()
    block_s = float("inf")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        replies = [self._reply(call) for call in (asked if isinstance(asked, list) else [asked])]
        body = json.dumps(replies if isinstance(asked, list) else replies[0]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _reply(self, call: dict[str, Any]) -> dict[str, Any]:
        head = 20 + int((time.monotonic() - self.began) / self.block_s)
        method, params = call["method"], call.get("params", [])
        if method == "eth_getBlockByNumber":
            number = head if params[0] == "latest" else int(params[0], 16)
            answers: dict[str, Any] = {method: {"number": hex(number)} if number <= head else None}
        else:
            answers = {"eth_blockNumber": hex(head), "eth_chainId": "0x89", "test_arguments": sys.argv[1:]}
        if method == "eth_getBlockByNumber" and "--no-blocks" in sys.argv:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": 3, "message": "execution reverted"}}
        if method not in answers:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": f"no {method} here"}}
        return {"jsonrpc": "2.0", "id": call["id"], "result": answers[method]}


if __name__ == "__main__":
    if "--block-time" in sys.argv:
        _Node.block_s = float(sys.argv[sys.argv.index("--block-time") + 1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Node)
    print(f"{GREETING}\nListening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
