"""Several calls at once: in one transaction of a Safe, or as many transactions in one go, whichever is cheaper.

Every call has its own result, and one that fails does not take the others with it: it is found by asking the chain
before anything is signed, and what is left is made without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from arbkit.chain.gas import GasPriceManager, Urgency
from arbkit.chain.node import Node
from arbkit.chain.reverts import is_revert, reason_of
from arbkit.chain.safe import SafeWallet
from arbkit.chain.transactions import TransactionDesk
from arbkit.core.errors import CallRefused, ChainError, ChainUnavailable, FeeAboveCap, FundsMissing, Reverted
from arbkit.core.transaction import Call, CallResult, Fate, Transaction, part

ROUNDS = 3  # a batch that failed on a state that changed is made again without what fails now, so many times in all
_UNMADE = {
    Fate.DISPLACED: "another transaction of the account has its number for good, so it can never be mined",
    Fate.CANCELLED: "it was given up, and a transfer of nothing has its number",
}
TOO_LARGE = 0  # in the place of a gas limit
REBUILDS = 2  # a call whose number others took is signed anew, so many times


class Way(StrEnum):
    """How calls are made."""

    SINGLE = "single"  # one call, one transaction
    PIPELINED = "pipelined"  # a transaction each, with successive numbers, sent without waiting
    MULTISEND = "multisend"  # one transaction of the Safe for all


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What would be done: the calls that pass, with their gas limits; those that would revert, with the reason.

    `gas` is what all that passes needs in the way that was chosen, `gas_apart` what it would need one by one, both as
    the chain estimates with the margin on top; 0 apart when the calls only pass together. `rest` are those that one
    transaction has no room for: they are planned anew when these are made.
    """

    way: Way
    calls: tuple[Call, ...]
    limits: tuple[int, ...]
    refused: tuple[CallResult, ...]
    gas: int
    gas_apart: int
    rest: tuple[Call, ...] = ()

    @property
    def saved(self) -> int:
        """Return the gas that the chosen way is estimated to save against one by one."""
        return max(0, self.gas_apart - self.gas)


class BatchTransactionManager:
    """Makes calls for the holder of the positions: a Safe where there is one, else the account itself.

    `in_flight` is how many transactions of one account Polygon's nodes promise to keep (16).
    """

    def __init__(
        self,
        node: Node,
        gas: GasPriceManager,
        desk: TransactionDesk,
        safe: SafeWallet | None = None,
        *,
        in_flight: int = 16,
    ) -> None:
        self._node = node
        self._gas = gas
        self._desk = desk
        self._safe = safe
        self._in_flight = max(1, in_flight)
        self.saved = 0  # gas, by estimate, over all batches that took effect

    @property
    def holder(self) -> str:
        """Return the address that the calls come from, and that holds the positions."""
        return self._safe.address if self._safe is not None else self._desk.account

    # -- choosing ------------------------------------------------------------------------------------------------

    async def plan(self, calls: Sequence[Call]) -> BatchPlan:
        """Return the cheapest way to make these calls as of now; signs nothing. One call is never batched."""
        limit = await self._limit_together(calls) if self._safe is not None and len(calls) > 1 else None
        if limit == TOO_LARGE and len(calls) > 2:
            half = len(calls) // 2
            plan = await self.plan(calls[:half])
            return replace(plan, rest=(*plan.rest, *calls[half:]))
        if limit:
            limits, refused = await self._limits(calls)
            apart = 0 if refused else sum(limits)  # those that need each other pass together only
            if refused or limit < apart:
                return BatchPlan(Way.MULTISEND, tuple(calls), (limit,), (), limit, apart)
            return BatchPlan(Way.PIPELINED, tuple(calls), limits, (), apart, apart)
        limits, refused = await self._limits(calls)
        passing = _without(calls, refused)
        if self._safe is not None and refused and len(passing) > 1:
            plan = await self.plan(passing)
            return replace(plan, refused=(*refused, *plan.refused))
        way = Way.SINGLE if len(passing) < 2 else Way.PIPELINED
        return BatchPlan(way, passing, limits, refused, sum(limits), sum(limits))

    async def _limits(self, calls: Sequence[Call]) -> tuple[tuple[int, ...], tuple[CallResult, ...]]:
        """Return the gas limits of those that pass alone, and a result for each that does not."""
        limits, refused = [], []
        for call in calls:
            try:
                limits.append(await self._desk.estimate_gas(self._alone(call)))
            except Reverted as reverted:
                reason = await self.why(call) or reverted.reason
                refused.append(CallResult(call, Fate.REFUSED, is_final=True, reason=reason))
        return tuple(limits), tuple(refused)

    async def _limit_together(self, calls: Sequence[Call]) -> int | None:
        """Return the gas limit of one batch of them all; None when it would revert, TOO_LARGE when no block takes it."""
        assert self._safe is not None
        one = self._safe.batch("", calls, self._desk.account)
        try:
            return await self._gas.estimate_gas(self._desk.account, one.to, one.data)
        except FeeAboveCap:
            return TOO_LARGE
        except CallRefused as refused:
            if not is_revert(refused):
                raise
            return None

    async def why(self, call: Call, block: int | None = None) -> str:
        """Return why the holder's call would revert on the state after a block; empty when it would not."""
        asked = {"from": self.holder, "to": call.to, "data": "0x" + call.data.hex(), "value": hex(call.value)}
        try:
            await self._node.read("eth_call", asked, "latest" if block is None else hex(block))
        except CallRefused as refused:
            return reason_of(refused)
        return ""

    def _alone(self, call: Call) -> Call:
        return call if self._safe is None else self._safe.single(call, self._desk.account)

    # -- doing ---------------------------------------------------------------------------------------------------

    async def execute(self, calls: Sequence[Call], urgency: Urgency = Urgency.NORMAL) -> tuple[CallResult, ...]:
        """Make calls and return what became of each, in their order, when all of it is final.

        A call whose key was made before, alone or in a batch, is not made again: its result is returned. Raises
        FeeAboveCap or FundsMissing when nothing at all was signed. ChainUnavailable can come at any time: the same calls
        asked for again find what was made of them.
        """
        if len({call.key for call in calls}) != len(calls):
            raise ValueError("two calls of one batch have the same key")
        results: dict[str, CallResult] = {}
        left = [call for call in calls if self.fate_of(call.key) is None]
        for call in calls:
            if call not in left:
                results[call.key] = await self._earlier(call)
        rounds, signed = 0, False
        while left:
            plan, again = await self.plan(left), list[Call]()
            for one in plan.refused:
                self._desk.note_refused(one.call, one.reason)
                results[one.call.key] = one
            try:
                if plan.way is Way.MULTISEND:
                    again = await self._together(plan, urgency, results, rounds)
                else:
                    results.update(await self._one_by_one(plan, urgency))
            except (FeeAboveCap, FundsMissing) as error:
                if not signed:
                    raise
                unsigned = {call.key: _postponed(call, error) for call in left}
                results = unsigned | results
                break
            rounds, signed = rounds + 1 if again else 0, True
            if rounds == ROUNDS:
                for call in again:
                    done = CallResult(call, Fate.REVERTED, is_final=True, reason="its batch reverts")
                    results.setdefault(call.key, done)
                rounds, again = 0, []
            left = [*again, *plan.rest]
        return tuple(results[call.key] for call in calls)

    def fate_of(self, key: str) -> Fate | None:
        """Return PENDING for a call that is open, alone or in a batch, DONE for one that took effect, else None."""
        for one in (self._desk.find(key), self._desk.holding(key)):
            if one is not None and not one.is_final:
                return Fate.PENDING
            if one is not None and one.fate is Fate.DONE:
                return Fate.DONE
        return None

    async def _earlier(self, call: Call) -> CallResult:
        batch = self._desk.holding(call.key)
        if batch is not None and (not batch.is_final or batch.fate is Fate.DONE):
            return _share(call, await self._desk.wait(batch.key), batch.items.index(call.key))
        return await self._result(call, await self._desk.wait(call.key))

    async def _together(
        self, plan: BatchPlan, urgency: Urgency, results: dict[str, CallResult], number: int
    ) -> list[Call]:
        """Make one batch; return the calls that are to be tried again, because another one made it revert."""
        assert self._safe is not None
        keys = tuple(call.key for call in plan.calls)
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
        one = self._safe.batch(f"batch:{name}:{number}", plan.calls, self._desk.account)
        try:
            done = await self._made(one, urgency, plan.limits[0], keys)
        except Reverted:  # others took its number, and what they did with it made a call of it fail
            return list(plan.calls)
        if done.fate is not Fate.REVERTED:
            self.saved += plan.saved if done.fate is Fate.DONE else 0
            results.update({call.key: _share(call, done, at) for at, call in enumerate(plan.calls)})
            return []
        # It passed when it was estimated: somebody was quicker. Those that fail now are told why, the others go on.
        assert done.mined is not None
        outer, left = await self._desk.revert_reason(done), []
        for at, call in enumerate(plan.calls):
            results[call.key] = replace(_share(call, done, at), reason=outer)
            if reason := await self.why(call):
                results[call.key] = replace(results[call.key], reason=f"{outer}: {reason}")
            else:
                left.append(call)
        return left

    async def _one_by_one(self, plan: BatchPlan, urgency: Urgency) -> dict[str, CallResult]:
        """Make each call in a transaction of its own, many in flight; the numbers keep their order."""
        results: dict[str, CallResult] = {}
        for first in range(0, len(plan.calls), self._in_flight):
            sent: list[tuple[Call, int]] = []
            for call, limit in list(zip(plan.calls, plan.limits, strict=True))[first : first + self._in_flight]:
                try:
                    await self._desk.submit(self._alone(call), urgency=urgency, gas=limit)
                except (FeeAboveCap, FundsMissing, ChainUnavailable) as error:
                    if not sent and not results:
                        raise
                    results[call.key] = _postponed(call, error)
                else:
                    sent.append((call, limit))
            for call, limit in sent:
                try:
                    done = await self._made(self._alone(call), urgency, limit)
                except Reverted as reverted:  # others took its number, and now it would fail
                    reason = await self.why(call) or reverted.reason
                    results[call.key] = CallResult(call, Fate.REFUSED, is_final=True, reason=reason)
                else:
                    results[call.key] = await self._result(call, done)
        return results

    async def _made(self, call: Call, urgency: Urgency, gas: int, items: tuple[str, ...] = ()) -> Transaction:
        """Submit a call and return it when it is final; anew where others took its number for good.

        Raises Reverted when it would fail by then.
        """
        for _ in range(1 + REBUILDS):
            await self._desk.submit(call, urgency=urgency, gas=gas, items=items)
            done = await self._desk.wait(call.key)
            if done.fate is not Fate.DISPLACED:
                return done
            gas = 0  # the state is another one: the chain is asked again
        raise ChainError(
            f"{call.work} {call.key}: others took its number {1 + REBUILDS} times; "
            f"nothing of it is open, but {self._desk.account} is in use elsewhere"
        )

    async def _result(self, call: Call, done: Transaction) -> CallResult:
        result = _share(call, done, 0)
        if done.fate is Fate.REVERTED and done.mined is not None:
            reason = await self.why(call, done.mined.block - 1) or await self._desk.revert_reason(done)
            result = replace(result, reason=reason)
        return result


def _postponed(call: Call, error: Exception) -> CallResult:
    return CallResult(call, Fate.REFUSED, is_final=True, reason=str(error), postponed=True)


def _without(calls: Sequence[Call], refused: Sequence[CallResult]) -> tuple[Call, ...]:
    keys = {one.call.key for one in refused}
    return tuple(call for call in calls if call.key not in keys)


def _share(call: Call, done: Transaction, at: int) -> CallResult:
    """Return a call's result out of its transaction; a batch's gas in even parts, the first ones taking what is over."""
    parts = max(1, len(done.items))
    mined = done.mined
    return CallResult(
        call,
        done.fate,
        done.is_final,
        reason=_UNMADE.get(done.fate, ""),
        postponed=done.fate is Fate.DISPLACED,
        hash=mined.hash if mined is not None else done.last.hash,
        block=mined.block if mined is not None else 0,
        gas_used=part(mined.gas_used if mined is not None else 0, parts, at),
        paid=part(done.paid, parts, at),
    )
