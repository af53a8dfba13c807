"""What is asked of a chain and what became of it: the nouns that settlement, journal and chain share.

Addresses are checksummed hex texts, hashes are lower-case hex texts with 0x, amounts of the chain's coin are in wei.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Work(StrEnum):
    """What a call is for; figures of gas are kept apart by it."""

    SPLIT = "split"
    MERGE = "merge"
    REDEEM = "redeem"
    CONVERT = "convert"
    APPROVE = "approve"
    BATCH = "batch"  # several calls in one transaction
    REPAIR = "repair"  # a transfer of nothing to ourselves, which fills a hole in the account's numbers
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a contract that is wanted once. `key` names the intent: the same key again is the same call."""

    key: str
    to: str
    data: bytes
    work: Work = Work.OTHER
    value: int = 0  # wei


def approval_key(what: str, key: str) -> str:
    """Return the key of an approval that the call of a key needs. `what` tells its approvals apart and has no colon."""
    return f"{Work.APPROVE.value}:{what}:{key}"


def served_by(key: str) -> str:
    """Return the key of the call that a call is made for: an approval's is another one, every other call's its own."""
    work, _, rest = key.partition(":")
    return rest.partition(":")[2] if work == Work.APPROVE.value else key


def part(total: int, parts: int, at: int) -> int:
    """Return one of so many even parts of a whole number; the first ones take what is over."""
    return total // parts + (1 if at < total % parts else 0)


class Fate(StrEnum):
    """What became of a call."""

    PENDING = "pending"  # it may be mined: nothing may take its place
    DONE = "done"  # it took effect, provisionally until it is final
    REVERTED = "reverted"  # it was mined and took no effect, provisionally until it is final
    DISPLACED = "displaced"  # another transaction has its number for good: it can never be mined
    CANCELLED = "cancelled"  # we gave its number to a transfer of nothing
    REFUSED = "refused"  # nothing was signed: the chain would have reverted it

    @property
    def took_effect(self) -> bool:
        return self is Fate.DONE


@dataclass(frozen=True, slots=True)
class CallResult:
    """What became of one call, and what its share of the gas was.

    `reason` is the contract's own, decoded, where it reverted. `postponed` is a refusal for want of money, nodes or a
    number and not by the contract: nothing is signed that could be mined, and it may be asked for again. `paid` is in wei; in a batch, the call's even share.
    Until `is_final` a reorganisation can still change everything.
    """

    call: Call
    fate: Fate
    is_final: bool = False
    reason: str = ""
    hash: str = ""
    block: int = 0
    gas_used: int = 0
    paid: int = 0
    postponed: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed form of a transaction. Of all attempts under one number at most one is ever mined.

    `raw` is the hex text that goes to the nodes. `cancels` marks the transfer of nothing that takes the call's place.
    """

    hash: str
    raw: str
    max_fee: int  # wei per gas, tip included
    tip: int  # wei per gas
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Mined:
    """The block that holds one attempt, as last heard; a reorganisation can take it back."""

    hash: str
    block: int
    block_hash: str
    ok: bool
    gas_used: int
    price: int  # wei per gas, as charged


@dataclass(frozen=True, slots=True)
class Transaction:
    """One number of an account and everything that was signed under it for one call.

    `items` are the keys of the calls inside when it is a batch.
    """

    account: str
    nonce: int
    call: Call
    gas: int  # limit
    attempts: tuple[Attempt, ...]
    items: tuple[str, ...] = ()
    mined: Mined | None = None
    fate: Fate = Fate.PENDING
    is_final: bool = False

    @property
    def key(self) -> str:
        return self.call.key

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    @property
    def paid(self) -> int:
        """Return what was charged, wei; 0 while it is not mined."""
        return self.mined.gas_used * self.mined.price if self.mined is not None else 0

    def paid_for(self, key: str) -> int:
        """Return what of that was for the call of a key: for itself and its approvals, in a batch their even parts."""
        names = self.items or (self.key,)
        return sum(part(self.paid, len(names), at) for at, name in enumerate(names) if served_by(name) == key)

    def attempt(self, hash: str) -> Attempt:
        """Return the attempt of that hash; KeyError when none has it."""
        for found in self.attempts:
            if found.hash == hash:
                return found
        raise KeyError(hash)

    def with_attempt(self, attempt: Attempt) -> Transaction:
        return replace(self, attempts=(*self.attempts, attempt))

    def with_mined(self, mined: Mined | None) -> Transaction:
        """Return it as mined in that block, or with None as pending again."""
        if mined is None:
            return replace(self, mined=None, fate=Fate.PENDING)
        if self.attempt(mined.hash).cancels:
            fate = Fate.CANCELLED
        else:
            fate = Fate.DONE if mined.ok else Fate.REVERTED
        return replace(self, mined=mined, fate=fate)

    def finalised(self) -> Transaction:
        return replace(self, is_final=True)

    def displaced(self) -> Transaction:
        return replace(self, fate=Fate.DISPLACED, is_final=True, mined=None)
