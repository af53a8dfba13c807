"""The name that an order has at its venue, fixed by its intent before anything is sent.

Both follow from what the journal has of an intent (`order.intent`: key, terms and time) and from nothing else, so that
a process that takes over asks about the same order, and sends the same one again or none.

Kalshi takes a `client_order_id` of the caller's. Polymarket takes none: an order's id there is the EIP-712 hash of its
terms (Polymarket CTF Exchange, domain versions 2 and 3), which holds a number of the caller's choice (`salt`).
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from typing import Any, Final, NamedTuple, Self

from arbkit.core.errors import ConfigError
from arbkit.core.model import Order, Side
from arbkit.core.secrets import redacted
from arbkit.core.units import MICRO, NS_PER_MS, proceeds

NAMES: Final = uuid.uuid5(uuid.NAMESPACE_OID, "arbkit")  # ours alone: the keys of other programs give other ids
SALT_BITS: Final = 53  # the venue reads it as a JSON number, which is exact up to 2**53 - 1
NOTHING: Final = "0x" + "00" * 32
NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{64}")
POLYGON: Final = 137
EXCHANGES: Final = {  # name: (domain version, contract on Polygon)
    "standard": ("2", "0xE111180000d2663C0091e4f400237545B87B996B"),
    "neg_risk": ("2", "0xe2222d279d744050d28e00520010520000310F59"),
    "v3": ("3", "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"),
}
FIELDS: Final = (
    ("salt", "uint256"),
    ("maker", "address"),
    ("signer", "address"),
    ("tokenId", "uint256"),
    ("makerAmount", "uint256"),
    ("takerAmount", "uint256"),
    ("side", "uint8"),
    ("signatureType", "uint8"),
    ("timestamp", "uint256"),
    ("metadata", "bytes32"),
    ("builder", "bytes32"),
)


def kalshi_client_order_id(key: str) -> str:
    """Return the id that Kalshi holds an order by: a UUID that one key alone gives, whatever characters it has."""
    return str(uuid.uuid5(NAMES, key))


class Holder(NamedTuple):
    """Whose order it is: the wallet that pays, the account that signs, and Polymarket's number for that pair.

    0: the account itself, 1: its proxy, 2: its Safe, 3: a deposit wallet, which is named as the signer too.
    """

    maker: str
    signer: str
    signature_type: int = 0


class PolymarketOrder(NamedTuple):
    """The terms of an order as they are hashed and signed; amounts in millionths, `timestamp` in ms."""

    salt: int
    maker: str
    signer: str
    token: int
    maker_amount: int
    taker_amount: int
    side: Side
    signature_type: int
    timestamp: int
    metadata: str = NOTHING
    builder: str = NOTHING

    @classmethod
    def of(cls, order: Order, intent_at: int, token: int, holder: Holder, builder: str = NOTHING) -> Self:
        """Return the terms of one of our orders; `intent_at` (ns) is the time of its intent, `token` its outcome's.

        A buyer's dollars are the most it may pay, a seller's the least it may get. ConfigError when price times size
        is no whole number of millionths: the venue would round it, and the order would be another one.
        """
        if order.limit * order.size % MICRO:
            raise ConfigError(
                f"{order.client_id}: {order.size} shares at {order.limit} (millionths) are no whole millionths of a"
                " dollar: the size is not on the market's lot"
            )
        dollars, shares = int(proceeds(order.limit, order.size)), int(order.size)
        buys = order.side is Side.BUY
        return cls(
            salt=salt_of(order.client_id),
            maker=holder.maker,
            signer=holder.signer,
            token=token,
            maker_amount=dollars if buys else shares,
            taker_amount=shares if buys else dollars,
            side=order.side,
            signature_type=holder.signature_type,
            timestamp=intent_at // NS_PER_MS,
            builder=builder,
        )

    def hash(self, exchange: str, chain_id: int = POLYGON) -> str:
        """Return the id that the venue will give the order: the EIP-712 hash of its terms, "0x" and 64 hex digits.

        `exchange` is a name in `EXCHANGES`. Raises ConfigError for another one, and for terms that no order holds.
        """
        if exchange not in EXCHANGES:
            raise ConfigError(f"no exchange of Polymarket is called {exchange!r}: {', '.join(EXCHANGES)}")
        for name in ("metadata", "builder"):  # a library would take any text, and hash another order than the venue
            if not NUMBER.fullmatch(getattr(self, name)):
                raise ConfigError(f"{name}: must be 0x and 64 hex digits")
        version, contract = EXCHANGES[exchange]
        domain = {
            "name": "Polymarket CTF Exchange",
            "version": version,
            "chainId": chain_id,
            "verifyingContract": contract,
        }
        values = (*self[:6], 0 if self.side is Side.BUY else 1, *self[7:])
        message = {name: value for (name, _), value in zip(FIELDS, values, strict=True)}
        return _typed_hash(domain, {"Order": [{"name": name, "type": kind} for name, kind in FIELDS]}, message)


def salt_of(key: str) -> int:
    """Return the number that makes an order's hash its own: from its key, never by chance, and within 53 bits."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> (64 - SALT_BITS)


def _typed_hash(domain: dict[str, Any], types: dict[str, Any], message: dict[str, Any]) -> str:
    limit = sys.getrecursionlimit()
    from eth_account.messages import encode_typed_data
    from eth_utils.crypto import keccak

    sys.setrecursionlimit(limit)  # a library of it raises that for the whole process, a hundredfold
    try:
        signable = encode_typed_data(domain, types, message)
    except Exception as error:  # noqa: BLE001 - it may quote what it refuses, so it is not passed on
        raise ConfigError(f"these are no terms of an order: {redacted(str(error))}") from None
    return "0x" + keccak(b"\x19" + signable.version + signable.header + signable.body).hex()
