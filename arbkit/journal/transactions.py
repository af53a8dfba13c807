"""The transactions of our accounts as a fold over their facts: what is signed and not final, and what it came to.

A fact `transaction.signed` stands on disk before its bytes leave, so that whatever may be mined is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from arbkit.core.transaction import Attempt, Call, Mined, Transaction, Work, served_by

KEPT = 1_000  # finished transactions that are remembered, so that a call under the same key is not made twice


@dataclass(slots=True)
class Transactions:
    """Every transaction that is not final, by account and key; the last finished ones by key."""

    open: dict[str, dict[str, Transaction]] = field(default_factory=dict)
    closed: dict[str, Transaction] = field(default_factory=dict)

    def of(self, account: str) -> tuple[Transaction, ...]:
        """Return what an account has open, lowest number first."""
        return tuple(sorted(self.open.get(account, {}).values(), key=lambda one: one.nonce))

    def holding(self, item: str) -> Transaction | None:
        """Return the newest batch that holds a call of that key; None when none does that is open or remembered."""
        return next((one for one in reversed(self.everything()) if item in one.items), None)

    def serving(self, key: str) -> tuple[Transaction, ...]:
        """Return all that is open or remembered and was made for the call of a key: itself, its approvals, batches of them."""
        return tuple(
            one for one in self.everything() if any(served_by(name) == key for name in one.items or (one.key,))
        )

    def everything(self) -> tuple[Transaction, ...]:
        """Return all that is remembered, then all that is open."""
        return (*self.closed.values(), *(one for mine in self.open.values() for one in mine.values()))

    def apply(self, fact: str, key: str, data: Mapping[str, Any]) -> None:
        """Take one fact `transaction.*`; KeyError or ValueError for one that cannot follow those before it."""
        _STEPS[fact](self, key, data)

    def close(self, one: Transaction) -> None:
        """Move one to the finished ones, and forget the oldest of those beyond KEPT."""
        self.open[one.account].pop(one.key)
        self.closed.pop(one.key, None)
        self.closed[one.key] = one
        if len(self.closed) > KEPT:
            del self.closed[next(iter(self.closed))]

    def _signed(self, key: str, data: Mapping[str, Any]) -> None:
        attempt = Attempt(data["hash"], data["raw"], data["max_fee"], data["tip"], data["cancels"])
        mine = self.open.setdefault(data["account"], {})
        if (known := mine.get(key)) is not None:
            if known.nonce != data["nonce"]:
                raise ValueError(f"one call under two numbers, {known.nonce} and {data['nonce']}")
            mine[key] = known.with_attempt(attempt)
            return
        call = Call(key, data["to"], bytes.fromhex(data["data"]), Work(data["work"]), int(data["value"]))
        mine[key] = Transaction(data["account"], data["nonce"], call, data["gas"], (attempt,), tuple(data["items"]))

    def _mined(self, key: str, data: Mapping[str, Any]) -> None:
        mined = Mined(
            hash=data["hash"],
            block=data["block"],
            block_hash=data["block_hash"],
            ok=data["ok"],
            gas_used=data["gas_used"],
            price=data["price"],
        )
        self._change(key, data, lambda one: one.with_mined(mined))

    def _reorged(self, key: str, data: Mapping[str, Any]) -> None:
        self._change(key, data, lambda one: one.with_mined(None))

    def _final(self, key: str, data: Mapping[str, Any]) -> None:
        self.close(self.open[data["account"]][key].finalised())

    def _displaced(self, key: str, data: Mapping[str, Any]) -> None:
        self.close(self.open[data["account"]][key].displaced())

    def _nothing(self, _key: str, _data: Mapping[str, Any]) -> None:
        """Take a fact that is there for people."""

    def _change(self, key: str, data: Mapping[str, Any], change: Callable[[Transaction], Transaction]) -> None:
        mine = self.open[data["account"]]
        mine[key] = change(mine[key])


_STEPS: dict[str, Callable[[Transactions, str, Mapping[str, Any]], None]] = {
    "transaction.signed": Transactions._signed,
    "transaction.sent": Transactions._nothing,
    "transaction.refused": Transactions._nothing,
    "transaction.unanswered": Transactions._nothing,
    "transaction.mined": Transactions._mined,
    "transaction.reorged": Transactions._reorged,
    "transaction.final": Transactions._final,
    "transaction.displaced": Transactions._displaced,
    "transaction.postponed": Transactions._nothing,
    "transaction.capped": Transactions._nothing,
    "transaction.reverted": Transactions._nothing,
}
FACTS = tuple(_STEPS)
