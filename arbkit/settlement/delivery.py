"""Whether a match delivered: a venue's word is provisional until the chain has moved the shares, and it can fail to.

The other side can spoil its order on chain after the match (take its shares away, cancel its nonce): the venue's
transaction reverts, or moves less. Such a fill is void, and who made it is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

from arbkit.core.model import Settlement
from arbkit.core.units import MICRO, Size
from arbkit.settlement.contracts import Contracts


class Receipts(Protocol):
    """The part of a chain that tells of anybody's transactions."""

    @property
    def holder(self) -> str:
        """Return the address that shares are delivered to."""
        ...

    async def receipt(self, hash: str) -> dict[str, Any] | None:
        """Return a receipt; None while there is none, which proves nothing."""
        ...

    async def stands(self, block: int, block_hash: str) -> bool:
        """Tell whether a block is final."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a match brought: how it stands, and how many shares came to us (millionths)."""

    settlement: Settlement
    received: Size = Size(0)


async def look_at_delivery(chain: Receipts, contracts: Contracts, hash: str, token: int, size: Size) -> Delivery:
    """Return whether the transaction of a match brought so many shares of a token.

    CONFIRMED and VOIDED only in a final block. Less than all is VOIDED with what came: the fill is not what was sold.
    """
    receipt = await chain.receipt(hash)
    if receipt is None or not await chain.stands(int(receipt["blockNumber"], 16), receipt["blockHash"]):
        return Delivery(Settlement.PROVISIONAL)
    received = Size(_received(receipt["logs"], contracts.conditional_tokens, chain.holder, token))
    if int(receipt["status"], 16) == 1 and received >= size:
        return Delivery(Settlement.CONFIRMED, received)
    return Delivery(Settlement.VOIDED, received)


def _received(logs: list[dict[str, Any]], tokens: str, holder: str, token: int) -> int:
    """Return what transfers brought of a token, net of what they took."""
    from eth_abi.abi import decode
    from eth_utils.crypto import keccak

    single = "0x" + keccak(text="TransferSingle(address,address,address,uint256,uint256)").hex()
    batch = "0x" + keccak(text="TransferBatch(address,address,address,uint256[],uint256[])").hex()
    net = 0
    for log in logs:
        if str(log["address"]).lower() != tokens.lower() or log["topics"][0] not in (single, batch):
            continue
        data = bytes.fromhex(log["data"][2:])
        if log["topics"][0] == single:
            moved = [decode(["uint256", "uint256"], data)]
        else:
            moved = list(zip(*decode(["uint256[]", "uint256[]"], data), strict=True))
        amount = sum(value for id_, value in moved if id_ == token)
        source, target = (int(topic, 16) for topic in log["topics"][2:4])
        us = int(holder, 16)
        net += amount * ((target == us) - (source == us))
    return net


class Counterparties:
    """How often makers delivered. A maker that spoils its orders weighs less, and forgetting takes `keeps` others."""

    def __init__(self, keeps: int = 10_000) -> None:
        self._keeps = keeps
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()  # delivered, spoiled

    def heard(self, maker: str, settlement: Settlement) -> None:
        """Take one final delivery; a provisional one says nothing yet."""
        if settlement is Settlement.PROVISIONAL:
            return
        delivered, spoiled = self._known.pop(maker, (0, 0))
        voided = settlement is Settlement.VOIDED
        self._known[maker] = (delivered + (not voided), spoiled + voided)
        if len(self._known) > self._keeps:
            self._known.popitem(last=False)

    def weight(self, maker: str) -> int:
        """Return how far a maker's offers count, in millionths: all for one that never failed, known or not.

        One failure weighs as much as it would take nine deliveries to make good to a half.
        """
        delivered, spoiled = self._known.get(maker, (0, 0))
        return MICRO * (delivered + 1) // (delivered + 1 + 9 * spoiled)
