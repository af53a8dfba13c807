"""What is open, looked at: mined, taken back, stuck, gone from the pools, or out of its number; and what is done then.

All that is decided rests on what the chain says of hash and number, and for good only on what is final.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arbkit.chain.gas import SELF_TRANSFER_GAS, GasFees, GasPriceManager, Urgency
from arbkit.chain.node import Node
from arbkit.chain.nonce import NonceOwner, vouched
from arbkit.chain.outbox import Outbox
from arbkit.chain.reverts import reason_of
from arbkit.core.errors import CallRefused, ChainUnavailable, ConfigError, FeeAboveCap
from arbkit.core.ports import Clock
from arbkit.core.transaction import Call, Fate, Mined, Transaction, Work

log = logging.getLogger(__name__)

HOLES_AT_ONCE = 16  # as many transactions of one account as nodes promise to keep


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionConfig:
    """Patience, in seconds, and when a block is final.

    A block at or below the chain's `finalized` one is; with `confirmations` also one with so many blocks on top.
    """

    poll_s: float = 1.75  # a block of Polygon
    resend_s: float = 5.0  # not mined and unknown to the nodes for so long: the same bytes again
    stuck_s: float = 10.5  # first in line and not mined for so long: replaced
    hole_s: float = 5.0  # a free number below ours for so long: filled
    max_bumps: int = 24  # ten percent each: ten times the first offer, well before the cap as a rule
    confirmations: int | None = None
    displaced_looks: int = 3  # so many looks in a row find a number used for good and no receipt of ours
    refusals: int = 3  # so many refusals that money does not mend: the call is given up

    def __post_init__(self) -> None:
        if min(self.poll_s, self.resend_s, self.stuck_s, self.hole_s) <= 0:
            raise ConfigError("patience with transactions is more than 0 seconds")
        if self.max_bumps < 0 or self.displaced_looks < 1 or self.refusals < 1:
            raise ConfigError("at least 0 replacements, 1 look and 1 refusal")
        if self.confirmations is not None and self.confirmations < 1:
            raise ConfigError("a block is final after at least 1 confirmation")


class Watch:
    """Looks at the open transactions of one account, one look at a time."""

    def __init__(
        self,
        node: Node,
        gas: GasPriceManager,
        out: Outbox,
        owner: NonceOwner,
        clock: Clock,
        config: TransactionConfig,
        on_final: Callable[[Transaction], None] | None,
    ) -> None:
        self._node = node
        self._gas = gas
        self._out = out
        self._owner = owner
        self._clock = clock
        self._config = config
        self._on_final = on_final
        self._holes: dict[int, int] = {}  # number -> ns, when it was first seen free

    async def look_at_all(self) -> None:
        """Look at everything that is open and do what is due. Raises ChainUnavailable, CallRefused, JournalError."""
        final = await self.final_height()
        mined = max(await self._used("latest"), self._owner.gone)  # of two nodes one may deny what we saw end
        for one in self._out.open:
            await self._look(one, mined, final)
        await self._fill_holes(mined)

    async def final_height(self) -> int:
        """Return the highest block that no reorganisation can take back."""
        final = await self._node.read("eth_getBlockByNumber", "finalized", False)
        height = number(final["number"]) if final else 0
        if self._config.confirmations is not None:
            height = max(height, await self._node.head() - self._config.confirmations)
        return height

    async def _look(self, one: Transaction, mined_count: int, final: int) -> None:
        mined = await self._mined(one)
        if mined is None and one.mined is not None and await self.stands(one.mined):
            mined = one.mined  # the block is there, so it is in it: a node has only not found the receipt
        if one.mined is not None and mined != one.mined:
            self._out.note_reorged(one)
        if mined is None:
            one = self._out.current(one)
            if one.nonce < mined_count:
                await self._doubt(one, final)
            else:
                await self._nurse(one, is_first=one.nonce == mined_count)
            return
        self._out.sending(one).misses = 0
        if mined != one.mined:
            self._out.note_mined(one, mined)
        if mined.block <= final and await self.stands(mined):
            await self._finish(self._out.current(one))

    async def _mined(self, one: Transaction) -> Mined | None:
        """Return the receipt of whichever attempt has one."""
        for attempt in reversed(one.attempts):
            receipt = await self._node.read("eth_getTransactionReceipt", attempt.hash)
            if receipt is not None:
                return _mined_of(receipt)
        return None

    async def stands(self, mined: Mined) -> bool:
        """Tell whether a receipt's block is the one that the chain has at its height: a receipt can outlive it."""
        block = await self._node.read("eth_getBlockByNumber", hex(mined.block), False)
        return block is not None and str(block["hash"]).lower() == mined.block_hash

    async def _finish(self, one: Transaction) -> None:
        if one.fate is Fate.REVERTED:
            reason = await self.revert_reason(one)
            self._out.note("transaction.reverted", one.key, reason=reason, work=one.call.work.value, hash=one.last.hash)
            log.error("transaction.reverted", extra={"key": one.key, "why": reason})
        done = self._out.note_end(
            one, "transaction.final", hash=one.mined.hash if one.mined else "", paid=str(one.paid)
        )
        if self._on_final is not None:
            self._on_final(done)

    async def revert_reason(self, one: Transaction) -> str:
        """Return why a mined transaction took no effect, by making its call again on the state it met."""
        assert one.mined is not None
        if one.mined.gas_used >= one.gas:
            return f"out of gas: all {one.gas} were used"
        call = {
            "from": one.account,
            "to": one.call.to,
            "data": "0x" + one.call.data.hex(),
            "value": hex(one.call.value),
        }
        for block in (one.mined.block - 1, one.mined.block):
            try:
                await self._node.read("eth_call", call, hex(block))
            except CallRefused as refused:
                return reason_of(refused)
        return "unknown: the call passes on the state before its block and after it"

    # -- what can be wrong ---------------------------------------------------------------------------------------

    async def _doubt(self, one: Transaction, final: int) -> None:
        """A number is used and no receipt is ours: somebody else's, or a node that lags. Only what is final decides."""
        used = await self._used(hex(final))
        sending = self._out.sending(one)
        if one.nonce >= used:
            sending.misses = 0
            return
        for attempt in one.attempts:
            if any(await self._node.read_all("eth_getTransactionReceipt", attempt.hash)):
                sending.misses = 0
                return
        sending.misses += 1
        if sending.misses >= self._config.displaced_looks:
            log.error("transaction.displaced", extra={"key": one.key, "nonce": one.nonce})
            why = "another transaction of the account has its number for good"
            ended = self._out.note_end(one, "transaction.displaced", why=why)
            if self._on_final is not None:
                self._on_final(ended)

    async def _used(self, tag: str) -> int:
        """Return how many numbers of the account are used as of a block: one node's word stops and moves nothing."""
        counts = await self._node.read_all("eth_getTransactionCount", self._out.account, tag)
        return vouched([number(count) for count in counts])

    async def _nurse(self, one: Transaction, *, is_first: bool) -> None:
        """Do what a pending transaction needs: more money, a way out, or the same bytes once more."""
        sending = self._out.sending(one)
        stuck = self._out.waited_s(sending.signed_at) >= self._config.stuck_s
        if sending.refusals >= self._config.refusals and not one.last.cancels:
            if await self._out.replace(one, await self.fees(Urgency.FAST), cancel=True):
                return
        elif sending.pays_too_little or (stuck and sending.refused is None):
            fees = await self.fees(Urgency.FAST)
            # Behind another one it waits for that, unless it could not be mined in the first place either.
            low = fees is None or one.last.max_fee < fees.base + self._gas.config.tip_floor
            if (sending.pays_too_little or is_first or low) and await self._bump(one, fees):
                return
        if self._out.waited_s(sending.sent_at) < self._config.resend_s:
            return
        if await self._node.read("eth_getTransactionByHash", one.last.hash) is None:
            await self._out.send(one)
        else:
            sending.refused, sending.refusals = None, 0  # somebody took it after all

    async def _bump(self, one: Transaction, fees: GasFees | None) -> bool:
        if len(one.attempts) > self._config.max_bumps:
            why = f"it was replaced {self._config.max_bumps} times"
            if self._out.note_once("transaction.capped", one.key, nonce=one.nonce, why=why):
                log.error("transaction.capped", extra={"key": one.key, "nonce": one.nonce, "why": why})
            return False
        return await self._out.replace(one, fees)

    async def fees(self, urgency: Urgency) -> GasFees | None:
        """Return today's estimate, None when it is above the cap."""
        try:
            return await self._gas.estimate_fees(urgency)
        except FeeAboveCap:
            return None

    async def _fill_holes(self, mined: int) -> None:
        """Fill free numbers below ours with transfers of nothing: all above them waits, and for ever."""
        free = self._owner.holes(mined, HOLES_AT_ONCE)
        self._holes = {nonce: self._holes.get(nonce, self._clock.now()) for nonce in free}
        due = [nonce for nonce, since in self._holes.items() if self._out.waited_s(since) >= self._config.hole_s]
        if not due or (fees := await self.fees(Urgency.FAST)) is None:
            return
        for nonce in due:
            log.warning("transaction.hole", extra={"account": self._out.account, "nonce": nonce})
            call = Call(f"repair:{self._out.account}:{nonce}", self._out.account, b"", Work.REPAIR)
            await self._out.issue(call, SELF_TRANSFER_GAS, fees, nonce=nonce)


def number(value: Any) -> int:
    """Read a quantity; ChainUnavailable for what is none, as it is the node that is broken."""
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise ChainUnavailable(f"a node answered {value!r} where a number was due") from None


def _mined_of(receipt: dict[str, Any]) -> Mined:
    try:
        return Mined(
            hash=str(receipt["transactionHash"]).lower(),
            block=int(receipt["blockNumber"], 16),
            block_hash=str(receipt["blockHash"]).lower(),
            ok=int(receipt["status"], 16) == 1,
            gas_used=int(receipt["gasUsed"], 16),
            price=int(receipt["effectiveGasPrice"], 16),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ChainUnavailable(f"a node's receipt cannot be read: {error!r}") from error
