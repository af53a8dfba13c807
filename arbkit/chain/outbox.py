"""Signing and sending, in this order: sign, write down bytes and hash, wait until that is on disk, send.

What was signed is never forgotten before another transaction of the same number is final. In doubt the same bytes are
sent again; a new signature always has the same number, so that at most one of them can ever be mined.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from arbkit.chain.gas import SELF_TRANSFER_GAS, GasFees, GasPriceManager
from arbkit.chain.node import Node
from arbkit.chain.nonce import NonceOwner
from arbkit.chain.signing import Signer
from arbkit.core.errors import ChainUnavailable, FeeAboveCap, Refusal, SendRefused, SendUnknown, WrongChain
from arbkit.core.ports import Clock, Journal
from arbkit.core.transaction import Attempt, Call, Mined, Transaction
from arbkit.core.units import NS_PER_S
from arbkit.journal.transactions import Transactions

log = logging.getLogger(__name__)

_REMEMBERED = 10_000  # facts that are told once
_PAYS_TOO_LITTLE = (Refusal.UNDERPRICED, Refusal.REPLACEMENT_UNDERPRICED, Refusal.FEE_BELOW_BASE)


@dataclass(slots=True)
class _Sending:
    """What is known of sending one transaction in this process; the journal has what must outlive it."""

    signed_at: int  # ns, its last attempt
    sent_at: int = 0  # ns, its last attempt's last send
    refused: Refusal | None = None  # what was last answered to sending it
    refusals: int = 0  # of a kind that no offer mends, in a row
    misses: int = 0  # looks that found its number used and no receipt of its own

    @property
    def pays_too_little(self) -> bool:
        return self.refused in _PAYS_TOO_LITTLE


class Outbox:
    """Signs for one account, writes down, sends; keeps what is open in step with the journal, fact by fact."""

    def __init__(
        self,
        node: Node,
        gas: GasPriceManager,
        signer: Signer,
        owner: NonceOwner,
        journal: Journal,
        clock: Clock,
        book: Transactions,
    ) -> None:
        """`book` is what the journal says of earlier runs; the numbers it holds open stay taken."""
        self._node = node
        self._gas = gas
        self._signer = signer
        self._owner = owner
        self._journal = journal
        self._clock = clock
        self.book = book
        self.account = signer.address
        self._sending: dict[str, _Sending] = {}
        self._said: dict[tuple[str, str], None] = {}  # (key, fact) of what is told once
        for one in book.closed.values():
            if one.account == self.account:
                owner.release(one.nonce)
        for one in book.of(self.account):
            owner.hold(one.nonce, one.key)

    # -- what is open --------------------------------------------------------------------------------------------

    @property
    def open(self) -> tuple[Transaction, ...]:
        """Return what is signed and not final, lowest number first."""
        return self.book.of(self.account)

    def find(self, key: str) -> Transaction | None:
        """Return the transaction of a key, open or finished; None when there is none, or it ended long ago."""
        return self.book.open.get(self.account, {}).get(key) or self.book.closed.get(key)

    def current(self, one: Transaction) -> Transaction:
        """Return a transaction as it stands now."""
        found = self.find(one.key)
        return one if found is None else found

    def sending(self, one: Transaction) -> _Sending:
        return self._sending.setdefault(one.key, _Sending(self._clock.now()))

    # -- facts ---------------------------------------------------------------------------------------------------

    def note(self, fact: str, key: str, **data: object) -> None:
        """Write down a fact and take it in; what stands in the journal and what is in memory are the same."""
        self._journal.append(self._clock.now(), fact, key, account=self.account, **data)
        self.book.apply(fact, key, {"account": self.account, **data})

    def note_once(self, fact: str, key: str, **data: object) -> bool:
        """Write down a fact that is for people, the first time; return whether it was the first."""
        if (key, fact) in self._said:
            return False
        self._said[key, fact] = None
        if len(self._said) > _REMEMBERED:
            del self._said[next(iter(self._said))]
        self.note(fact, key, **data)
        return True

    def note_mined(self, one: Transaction, mined: Mined) -> None:
        fields = {"hash": mined.hash, "block": mined.block, "block_hash": mined.block_hash, "ok": mined.ok}
        self.note("transaction.mined", one.key, **fields, gas_used=mined.gas_used, price=mined.price)

    def note_reorged(self, one: Transaction) -> None:
        assert one.mined is not None
        self.note("transaction.reorged", one.key, hash=one.mined.hash, block_hash=one.mined.block_hash)
        log.warning("transaction.reorged", extra={"key": one.key, "block": one.mined.block})
        sending = self.sending(one)
        sending.sent_at, sending.signed_at = 0, self._clock.now()  # a fresh start: its patience was for another chain
        self._said.pop((one.key, "transaction.sent"), None)

    def note_end(self, one: Transaction, fact: str, **data: object) -> Transaction:
        """Write down that a transaction is final or displaced, and let its number go; return it as it ended."""
        self.note(fact, one.key, nonce=one.nonce, **data)
        self._owner.release(one.nonce)
        self._sending.pop(one.key, None)
        self._said = {told: None for told in self._said if told[0] != one.key}
        return self.book.closed[one.key]

    # -- signing and sending -------------------------------------------------------------------------------------

    async def issue(
        self, call: Call, gas: int, fees: GasFees, items: Iterable[str] = (), nonce: int | None = None
    ) -> Transaction:
        """Sign a call under the next number (or a hole) and send it; it is open from here on, whatever is answered.

        Raises JournalError when it cannot be kept: then it was not sent, and it will be when it can.
        """
        if nonce is None:
            nonce = self._owner.take(call.key)
        else:
            self._owner.take_exactly(nonce, call.key)
        try:
            attempt = self._signer.sign(nonce, call.to, call.data, call.value, gas, fees)
            self._note_signed(Transaction(self.account, nonce, call, gas, (attempt,), tuple(items)), attempt)
        except BaseException:
            self._owner.give_back(nonce)
            raise
        one = self.book.open[self.account][call.key]
        self.sending(one)
        await self.send(one)
        return self.current(one)

    async def send(self, one: Transaction) -> None:
        """Send the last attempt's bytes, once they are on disk. What a node says of them is written down."""
        await self._journal.durable()
        attempt, sending = one.last, self.sending(one)
        sending.sent_at = self._clock.now()
        try:
            await self._node.send(bytes.fromhex(attempt.raw[2:]))
        except SendRefused as refused:
            self._refused(one, refused)
        except (SendUnknown, ChainUnavailable, WrongChain) as error:
            # Of another chain's nodes none was given it: it stays open, and goes out when the right ones answer.
            if self.note_once("transaction.unanswered", one.key, hash=attempt.hash, why=str(error)):
                log.error("transaction.unanswered", extra={"key": one.key, "why": str(error)})
        else:
            sending.refused, sending.refusals = None, 0
            self.note_once("transaction.sent", one.key, hash=attempt.hash)

    def _refused(self, one: Transaction, refused: SendRefused) -> None:
        """Take note of a refusal. The number stays with this call: whether it is used is for the chain to say."""
        sending = self.sending(one)
        kind = Refusal(refused.kind)
        sending.refused = None if kind is Refusal.NONCE_TOO_LOW else kind  # that one the next look settles
        sending.refusals += kind is Refusal.OTHER
        fields = {"kind": kind.value, "why": str(refused), "unanswered": refused.unanswered}
        if self.note_once("transaction.refused", one.key, hash=one.last.hash, **fields):
            log.error("transaction.refused", extra={"key": one.key, "kind": kind.value, "why": str(refused)})

    async def replace(self, one: Transaction, current: GasFees | None, *, cancel: bool = False) -> bool:
        """Sign the same number again for a higher offer and send that; False when the cap forbids it.

        `current` is today's estimate, None when that alone is above the cap. With `cancel` a transfer of nothing takes
        the call's place; whichever of both is mined, the other never is.
        """
        try:
            if current is None:
                raise FeeAboveCap("base fee and tip are above the cap", 0, self._gas.config.max_fee_cap)
            fees = self._gas.replacement(GasFees(one.last.max_fee, one.last.tip), current)
            cancels = cancel or one.last.cancels
            if not cancels:
                self._gas.refuse_cost_above_cap(one.gas, fees)
        except FeeAboveCap as above:
            if self.note_once("transaction.capped", one.key, nonce=one.nonce, why=str(above)):
                log.error("transaction.capped", extra={"key": one.key, "nonce": one.nonce, "why": str(above)})
            return False
        if cancels:
            attempt = self._signer.sign(one.nonce, self.account, b"", 0, SELF_TRANSFER_GAS, fees)
            attempt = replace(attempt, cancels=True)
        else:
            attempt = self._signer.sign(one.nonce, one.call.to, one.call.data, one.call.value, one.gas, fees)
        self._note_signed(one, attempt)
        before = self.sending(one)
        refusals = 0 if cancels else before.refusals
        self._sending[one.key] = _Sending(self._clock.now(), misses=before.misses, refusals=refusals)
        self._said.pop((one.key, "transaction.sent"), None)
        await self.send(self.current(one))
        return True

    def _note_signed(self, one: Transaction, attempt: Attempt) -> None:
        call = one.call
        self.note(
            "transaction.signed",
            call.key,
            nonce=one.nonce,
            hash=attempt.hash,
            raw=attempt.raw,
            max_fee=attempt.max_fee,
            tip=attempt.tip,
            cancels=attempt.cancels,
            to=call.to,
            data=call.data.hex(),
            value=str(call.value),  # wei of a large transfer are more than a journal's whole number holds
            work=call.work.value,
            gas=one.gas,
            items=one.items,
        )

    def waited_s(self, since: int) -> float:
        """Return the seconds since then."""
        return (self._clock.now() - since) / NS_PER_S
