"""Names of conditions and positions in the ConditionalTokens contract, computed as it computes them.

A position's id is a hash over the collateral and a collection; a collection's id is the hash of (condition, index
set) put on the curve alt_bn128, so that collections can be added. Only top-level collections are made here, which is
all that prediction markets use: nothing has to be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

YES: Final = 1  # index sets: one bit for each outcome
NO: Final = 2
NO_PARENT: Final = bytes(32)

# y² = x³ + 3 over the integers modulo this prime (EIP-196).
_FIELD: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_B: Final = 3
_HALF_TURN: Final = (_FIELD + 1) // 4  # a power that gives square roots, as the prime is 3 modulo 4


def _keccak(data: bytes) -> bytes:
    from eth_utils.crypto import keccak

    return keccak(data)


def condition_id(oracle: str, question: bytes, outcomes: int = 2) -> bytes:
    """Return the id of a question put to an oracle, with so many outcomes."""
    return _keccak(bytes.fromhex(oracle[2:]) + question + outcomes.to_bytes(32, "big"))


def collection_id(condition: bytes, index_set: int) -> bytes:
    """Return the id of the outcomes in an index set (bit n is outcome n) of a condition."""
    seed = int.from_bytes(_keccak(condition + index_set.to_bytes(32, "big")), "big")
    wants_odd = bool(seed >> 255)
    x = seed % _FIELD
    while True:  # every second x is on the curve
        x = (x + 1) % _FIELD
        square = (pow(x, 3, _FIELD) + _B) % _FIELD
        y = pow(square, _HALF_TURN, _FIELD)
        if y * y % _FIELD == square:
            break
    if bool(y & 1) != wants_odd:
        y = _FIELD - y
    # The id is x, and one bit above it says which of both y it was.
    return (x ^ ((y & 1) << 254)).to_bytes(32, "big")


def position_id(collateral: str, collection: bytes) -> int:
    """Return the id of the token that stands for a collection backed by this collateral."""
    return int.from_bytes(_keccak(bytes.fromhex(collateral[2:]) + collection), "big")


@dataclass(frozen=True, slots=True)
class Condition:
    """A yes/no condition and the ids of its two tokens."""

    id: bytes
    yes: int
    no: int

    @classmethod
    def of(cls, id: bytes, collateral: str) -> Self:
        """Compute both tokens of a condition backed by this collateral."""
        yes, no = (position_id(collateral, collection_id(id, index)) for index in (YES, NO))
        return cls(id, yes, no)

    @property
    def tokens(self) -> tuple[int, int]:
        return self.yes, self.no
