"""From a call to its final end: submitted once, watched, sent again or replaced, believed only when it cannot go back.

A step looks at every open transaction: mined, taken back, stuck, gone from the pools, or out of its number. Whoever
waits drives the steps; a supervisor may too. All that is decided rests on what the chain says of hash and number.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from arbkit.chain.gas import GasPriceManager, Urgency
from arbkit.chain.node import Node
from arbkit.chain.nonce import NonceOwner
from arbkit.chain.outbox import Outbox
from arbkit.chain.reverts import is_revert, reason_of
from arbkit.chain.signing import Signer
from arbkit.chain.watching import TransactionConfig, Watch, number
from arbkit.core.errors import CallRefused, ChainUnavailable, FeeAboveCap, FundsMissing, Reverted, WrongChain
from arbkit.core.ports import Clock, Journal
from arbkit.core.transaction import Call, Fate, Transaction
from arbkit.journal.transactions import Transactions

__all__ = ["TransactionConfig", "TransactionDesk"]

log = logging.getLogger(__name__)


class TransactionDesk:
    """The transactions of one account on one chain. `on_final` hears of each that ended, once."""

    def __init__(
        self,
        node: Node,
        gas: GasPriceManager,
        signer: Signer,
        journal: Journal,
        clock: Clock,
        config: TransactionConfig | None = None,
        *,
        book: Transactions | None = None,
        on_final: Callable[[Transaction], None] | None = None,
    ) -> None:
        """`book` is the journal's, after a restart. Raises ConfigError when the account has another desk."""
        self._node = node
        self._gas = gas
        self._clock = clock
        self.config = config or TransactionConfig()
        self.account = signer.address
        self._owner = NonceOwner(signer.chain_id, signer.address)
        self._out = Outbox(node, gas, signer, self._owner, journal, clock, book or Transactions())
        self._stepping = asyncio.Lock()
        self._stepped_at = 0
        self._started = False
        self._watch = Watch(node, gas, self._out, self._owner, clock, self.config, on_final)

    async def start(self) -> None:
        """Hear from the nodes which numbers are used, by us or by others. Raises ChainUnavailable."""
        await self._hear("latest")
        await self._hear("pending")
        self._started = True

    async def _hear(self, tag: str) -> None:
        counts = await self._node.read_all("eth_getTransactionCount", self.account, tag)
        self._owner.hear_all([number(count) for count in counts])

    def close(self) -> None:
        """Let the account go. What is open stays on record, and whoever takes the account next goes on with it."""
        self._owner.close()

    @property
    def open(self) -> tuple[Transaction, ...]:
        """Return what is signed and not final, lowest number first."""
        return self._out.open

    def find(self, key: str) -> Transaction | None:
        """Return the transaction of a key as it stands, or None."""
        return self._out.find(key)

    def holding(self, key: str) -> Transaction | None:
        """Return the newest batch that holds a call of that key, or None."""
        return self._out.book.holding(key)

    async def has_done(self, key: str, block: int) -> bool:
        """Tell whether the chain, as it is now, has a call's effect in a block up to this one. Raises ChainUnavailable."""
        for one in (self.find(key), self.holding(key)):
            if one is not None and one.fate is Fate.DONE and one.mined is not None and one.mined.block <= block:
                return await self._watch.stands(one.mined)
        return False

    def done_in(self, block: int) -> tuple[str, ...]:
        """Return the keys of all calls that took effect in a block, batches' own ones too, in their order there."""
        ours = [one for one in self._out.book.everything() if one.account == self.account and one.fate is Fate.DONE]
        there = [one for one in ours if one.mined is not None and one.mined.block == block]
        return tuple(key for one in sorted(there, key=lambda one: one.nonce) for key in one.items or (one.key,))

    # -- asking for it -------------------------------------------------------------------------------------------

    async def submit(
        self, call: Call, *, urgency: Urgency = Urgency.NORMAL, gas: int = 0, items: tuple[str, ...] = ()
    ) -> Transaction:
        """Sign and send a call, or return the transaction that its key has already.

        `gas` is a limit that is known, otherwise the chain is asked. Nothing is signed when this raises Reverted,
        FeeAboveCap, FundsMissing or ChainUnavailable. What comes back is open: `wait` for its end.
        """
        if (known := self._known(call.key)) is not None:
            return known
        if not self._started:
            await self.start()
        try:
            fees = await self._gas.estimate_fees(urgency)
            gas = gas or await self.estimate_gas(call)
            self._gas.refuse_cost_above_cap(gas, fees)
        except Reverted as reverted:
            self.note_refused(call, reverted.reason)
            raise
        except FeeAboveCap as above:
            self._postponed(call, above)
            raise
        await self._refuse_without_coin(gas * fees.max_fee + call.value)
        # Others may use the account: what waits in the pool is theirs too, and a number that is taken costs a rebuild.
        await self._hear("pending")
        if (known := self._known(call.key)) is not None:  # it was asked for twice at once
            return known
        return await self._out.issue(call, gas, fees, items)

    async def estimate_gas(self, call: Call) -> int:
        """Return a gas limit for a call. Raises Reverted with the contract's reason when it would fail as of now."""
        try:
            return await self._gas.estimate_gas(self.account, call.to, call.data, call.value)
        except CallRefused as refused:
            if not is_revert(refused):
                raise
            raise Reverted(reason_of(refused), call.work.value) from refused

    def note_refused(self, call: Call, reason: str) -> None:
        """Write down that a call would revert, so that nothing was signed."""
        self._out.note("transaction.reverted", call.key, reason=reason, work=call.work.value, hash="")
        log.error("transaction.reverted", extra={"key": call.key, "why": reason})

    def _postponed(self, call: Call, above: FeeAboveCap) -> None:
        if self._out.note_once("transaction.postponed", call.key, why=str(above)):
            log.warning("transaction.postponed", extra={"key": call.key, "why": str(above)})

    def _known(self, key: str) -> Transaction | None:
        known = self._out.find(key)
        return None if known is not None and known.fate is Fate.DISPLACED else known

    async def _refuse_without_coin(self, needed: int) -> None:
        held = number(await self._node.read("eth_getBalance", self.account, "latest"))
        pledged = sum(one.gas * one.last.max_fee + one.call.value for one in self.open if one.mined is None)
        if held - pledged < needed:
            raise FundsMissing(
                f"wei of POL of {self.account} beyond what open transactions may cost", needed, held - pledged
            )

    async def cancel(self, key: str) -> bool:
        """Try to put a transfer of nothing in a call's place; False when it is mined, or the fee cap forbids.

        The call may still win: only its end says which of both was mined.
        """
        one = self._out.find(key)
        if one is None or one.mined is not None or one.is_final:
            return False
        return await self._out.replace(one, await self._watch.fees(Urgency.FAST), cancel=True)

    # -- waiting for it ------------------------------------------------------------------------------------------

    async def wait(self, key: str, *, final: bool = True) -> Transaction:
        """Return a transaction when it is final, or else as soon as it is mined. The patience is the caller's.

        Raises KeyError for a key nobody submitted.
        """
        while True:
            one = self._out.find(key)
            if one is None:
                raise KeyError(key)
            if one.is_final or (one.mined is not None and not final):
                return one
            if self._out.waited_s(self._stepped_at) >= self.config.poll_s:  # others wait too: one step serves all
                await self.step()
                continue
            await asyncio.sleep(self.config.poll_s)

    async def paid_for(self, key: str) -> int:
        """Return what the account has paid for the call of a key, wei, when all of that is final.

        That is what it cost itself, whatever came of it, and every approval that was given for it (`approval_key`).
        """
        keys = dict.fromkeys(one.key for one in self._out.book.serving(key))  # made anew where others took its number
        return sum([(await self.wait(one)).paid_for(key) for one in keys])

    async def step(self) -> bool:
        """Look at everything that is open and do what is due; False when the chain could not be asked.

        Raises JournalError when what happens cannot be kept.
        """
        async with self._stepping:
            self._stepped_at = self._clock.now()
            if not self.open:
                return True
            try:
                if not self._started:
                    await self.start()
                await self._watch.look_at_all()
            except (ChainUnavailable, CallRefused, WrongChain) as error:
                log.warning("chain.unavailable", extra={"why": str(error)})
                return False
            return True

    async def final_height(self) -> int:
        """Return the highest block that no reorganisation can take back."""
        return await self._watch.final_height()

    async def revert_reason(self, one: Transaction) -> str:
        """Return why a mined transaction took no effect. Raises ChainUnavailable."""
        return await self._watch.revert_reason(one)
