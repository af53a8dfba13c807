"""What everything above it needs from the chain's nodes: `Node`, a chain that is asked and sent to.

`RPCLoadBalancer` is one over real nodes; tests have others. Methods, parameters and results are those of Ethereum's
JSON-RPC: quantities are hex texts ("0x1f"), addresses and hashes hex texts, blocks and receipts dicts, None for what
a node does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Call = tuple[str, *tuple[object, ...]]  # a method and its parameters: ("eth_getBalance", address, "latest")


class Node(Protocol):
    """A chain behind one or more nodes.

    *Never stale*: no answer is of an older block than the highest one that any call has seen; "latest" (and a block
    that is left out) means that block or a later one. What returns None or an empty list was answered by a node that
    is not behind, which is still no proof that a transaction is lost: nodes index late.

    Only methods that read are taken (ValueError otherwise): a question may be put to several nodes, and twice.
    """

    async def read(self, method: str, *params: object) -> Any:
        """Return what a node answers; fails over to others, and asks a second one when the first is slow.

        Raises ChainUnavailable (ask again later), CallRefused (a revert: `data`), WrongChain.
        """
        ...

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Return the answers of one node to many reads in one message, all of the same block where they name "latest".

        A read that the node refused has its CallRefused in its place; the rest as `read`.
        """
        ...

    async def read_all(self, method: str, *params: object) -> list[Any]:
        """Return what every healthy node answers, at least one; those that are slower than the rest are left out.

        All are asked of the same block. Raises as `read`, when there is no answer at all.
        """
        ...

    async def agreed(self, method: str, *params: object) -> Any:
        """Return what more than half of all nodes answer alike; NodesDisagree when there is no such answer."""
        ...

    async def head(self) -> int:
        """Return the number of the newest block, asked now; never lower than before. Raises as `read`."""
        ...

    async def send(self, raw: bytes) -> None:
        """Give a signed transaction to several nodes, the same bytes to each, and return when one of them has it.

        Also when it had it already, mined or not: sending twice is one transaction. Raises SendRefused (`kind`:
        every node that answered refused, none knows the hash) or SendUnknown (nobody gave a usable answer: it may be
        in), or WrongChain (given to nobody). Keep the bytes and the hash before this is called.
        """
        ...
