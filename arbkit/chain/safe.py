"""Calls made by a Safe 1.4.1 (or 1.3.0) whose owner we are: one at a time, or several in one transaction.

The Safe is told by the owner's own transaction, so the owner's approval is in the sender and no second signature is
needed. That works for a threshold of 1 only, and `SafeWallet.check` refuses any other Safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from arbkit.chain.node import Node
from arbkit.core.errors import CallRefused, ConfigError
from arbkit.core.transaction import Call, Work

_NOBODY: Final = "0x0000000000000000000000000000000000000000"


class _Operation(IntEnum):
    CALL = 0
    DELEGATECALL = 1  # only ever of MultiSendCallOnly, which itself makes plain calls


@dataclass(frozen=True, slots=True)
class SafeWallet:
    """A Safe and the MultiSendCallOnly contract that it uses; checksummed addresses."""

    address: str
    multisend: str

    async def check(self, node: Node, owner: str) -> None:
        """Raise ConfigError unless it is a Safe that obeys this owner alone, and MultiSend has code."""
        from eth_abi.abi import encode

        try:
            threshold = await self._ask(node, "getThreshold()", b"")
            is_owner = await self._ask(node, "isOwner(address)", encode(["address"], [owner]))
        except CallRefused as refused:
            raise ConfigError(f"{self.address} is no Safe: {refused}") from refused
        if threshold != 1:
            raise ConfigError(f"the Safe {self.address} wants {threshold} owners to agree: arbkit acts for one")
        if is_owner != 1:
            raise ConfigError(f"{owner} is no owner of the Safe {self.address}")
        if await node.read("eth_getCode", self.multisend, "latest") in ("0x", "", None):
            raise ConfigError(f"there is no MultiSend contract at {self.multisend}")

    async def _ask(self, node: Node, signature: str, arguments: bytes) -> int:
        """Return the one number that the Safe answers; 0 where it answers nothing, as an address without code does."""
        data = "0x" + (_selector(signature) + arguments).hex()
        answer: Any = await node.read("eth_call", {"to": self.address, "data": data}, "latest")
        return int(answer, 16) if answer and answer != "0x" else 0

    def single(self, call: Call, owner: str) -> Call:
        """Return the owner's call that makes the Safe make this one."""
        data = self._execute(owner, call.to, call.value, call.data, _Operation.CALL)
        return Call(call.key, self.address, data, call.work)

    def batch(self, key: str, calls: Sequence[Call], owner: str) -> Call:
        """Return the owner's call that makes the Safe make all of these in order: every one of them, or none."""
        from eth_abi.abi import encode

        packed = b"".join(_packed(call) for call in calls)
        data = _selector("multiSend(bytes)") + encode(["bytes"], [packed])
        data = self._execute(owner, self.multisend, 0, data, _Operation.DELEGATECALL)
        return Call(key, self.address, data, Work.BATCH)

    def _execute(self, owner: str, to: str, value: int, data: bytes, operation: _Operation) -> bytes:
        from eth_abi.abi import encode

        # v = 1 says: r is an owner who approves by being the sender (Safe documentation, pre-validated signatures).
        approval = bytes(12) + bytes.fromhex(owner[2:]) + bytes(32) + b"\x01"
        kinds = "address uint256 bytes uint8 uint256 uint256 uint256 address address bytes".split()
        # No gas of its own and no refund: then a call that fails inside reverts the whole (GS013), and nothing is lost.
        values = [to, value, data, int(operation), 0, 0, 0, _NOBODY, _NOBODY, approval]
        return _selector(f"execTransaction({','.join(kinds)})") + encode(kinds, values)


def _packed(call: Call) -> bytes:
    """Return one call as MultiSend reads it: operation, address, value, length, data, without padding."""
    head = bytes([_Operation.CALL]) + bytes.fromhex(call.to[2:])
    return head + call.value.to_bytes(32, "big") + len(call.data).to_bytes(32, "big") + call.data


def _selector(signature: str) -> bytes:
    from eth_utils.crypto import keccak

    return keccak(text=signature)[:4]
