"""The capital cycle: intents of trades go in, and come back with what the chain did, when that is final.

Each intent is looked at before anything is signed, made once, and held against the balances of the blocks before and
after it. What failed is told with the contract's reason and is not tried again: that is for whoever wanted it.

An approval is made in the name of the first intent that needs it, and is paid by that one: whichever process tells of
the intent's end finds what it has cost in the record of transactions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from arbkit.core.capital import Payout
from arbkit.core.errors import ConfigError
from arbkit.core.transaction import Call, CallResult, Fate, Work, approval_key
from arbkit.core.units import Cash
from arbkit.settlement.approvals import approve_collateral, approve_positions
from arbkit.settlement.contracts import (
    BALANCES,
    ERC20_ALLOWANCE,
    ERC20_BALANCE,
    IS_APPROVED,
    PAYOUT_DENOMINATOR,
    PAYOUT_NUMERATOR,
    Contracts,
    calldata,
    numbers,
)
from arbkit.settlement.intents import COLLATERAL, Intent, Moves, SettlementResult
from arbkit.settlement.positions import Condition

ASKED = 1_000  # intents that are remembered, for what else a block holds


class Chain(Protocol):
    """The chain as settlement needs it."""

    @property
    def holder(self) -> str:
        """Return the address that holds collateral and positions."""
        ...

    async def head(self) -> int:
        """Return the number of the newest block."""
        ...

    async def ask(self, to: str, data: bytes, block: int | None = None) -> bytes:
        """Return what a contract answers, as of a block or now. Raises Reverted, ChainUnavailable."""
        ...

    def fate_of(self, key: str) -> Fate | None:
        """Return PENDING for a call that is open, DONE for one that took effect; None when it may be made (again)."""
        ...

    async def execute(self, calls: Sequence[Call]) -> tuple[CallResult, ...]:
        """Make each call once by its key and return what became of each, in order, when it is final.

        Raises FeeAboveCap, FundsMissing, ChainUnavailable or JournalError when nothing was signed.
        """
        ...

    async def has_done(self, key: str, block: int) -> bool:
        """Tell whether the chain, as it is now, has a call's effect in a block up to this one. Raises ChainUnavailable."""
        ...

    def done_in(self, block: int) -> Sequence[str]:
        """Return the keys of all our calls that took effect in a block, in their order there, as far as is known."""
        ...

    async def paid_for(self, key: str) -> int:
        """Return what was paid for the call of a key, its approvals (`approval_key`) too, wei, when all is final."""
        ...


@dataclass(slots=True)
class _Purse:
    """What the holder has and may spend at the block that intents are judged by; judged intents use it up."""

    block: int
    have: Moves
    allowances: dict[str, int]  # of collateral, by operator
    approved: dict[str, bool]
    payouts: dict[bytes, Payout | None]
    pulled: Counter[str] = field(default_factory=Counter)  # collateral that splits will have taken, by operator
    lacking: dict[str, str] = field(default_factory=dict)  # operators to approve for positions: who needs each first


class SettlementDesk:
    """Settles for one holder. With `approves` it gives the approvals that are missing: exact ones, to known contracts."""

    def __init__(self, chain: Chain, contracts: Contracts, *, approves: bool = True) -> None:
        """Raises ConfigError when the operator is not among the contracts that may be given an approval."""
        if approves and contracts.operator not in contracts.spenders:
            raise ConfigError(f"the operator {contracts.operator} is none of the known spenders")
        self._chain = chain
        self._contracts = contracts
        self._approves = approves
        self._under_way: dict[str, Intent] = {}
        self._asked: dict[str, Intent] = {}  # the last ones that were under way, by key

    @property
    def contracts(self) -> Contracts:
        return self._contracts

    async def settle(self, intents: Sequence[Intent]) -> tuple[SettlementResult, ...]:
        """Do what trades want, and return what became of each, in order, when it is final.

        What cannot work is refused with its reason and nothing is signed for it; the rest goes on. Raises FeeAboveCap
        when gas is above the cap: nothing but approvals was signed, and it can be asked for again later under the same keys.
        """
        earlier = {intent.key: fate for intent in intents if (fate := self._chain.fate_of(intent.key)) is not None}
        before = self._under_way.copy()
        purse = await self._purse(intents)
        pledged = before | self._under_way
        seen = [key for key in pledged if await self._chain.has_done(key, purse.block)]
        self._take_pledged(purse, [one for key, one in (pledged | self._under_way).items() if key not in seen])
        refused, passing = {}, []
        for intent in intents:  # what was wanted before was judged then
            if intent.key not in earlier and (why := self._objection(intent, purse)):
                refused[intent.key] = _refused(intent, why)
            else:
                passing.append(intent)
        self._under_way.update({intent.key: intent for intent in passing})
        self._asked.update({intent.key: intent for intent in passing})
        for key in list(self._asked)[:-ASKED]:
            del self._asked[key]
        try:
            fresh = [intent for intent in passing if intent.key not in earlier]
            if failed := await self._approve(fresh, purse):
                why = f"the approval failed: {failed.reason or failed.fate}"
                needy = [intent for intent in fresh if self._needs_approval(intent)]
                refused.update({intent.key: _refused(intent, why, postponed=failed.postponed) for intent in needy})
            calls = [intent.call(self._contracts) for intent in passing if intent.key not in refused]
            made = await self._chain.execute(calls) if calls else ()
        finally:
            for intent in passing:
                self._under_way.pop(intent.key, None)
        wanted = {intent.key: intent for intent in passing}
        done = [(wanted[result.call.key], result) for result in made]
        old = [pair for pair in done if earlier.get(pair[0].key) is Fate.DONE]
        told = {intent.key: _told(intent, result, _paid(intent), as_expected=True) for intent, result in old}
        new = [pair for pair in done if pair not in old]
        told.update({result.intent.key: result for result in await self._checked(new)})
        found = refused | told
        paid = {intent.key: await self._chain.paid_for(intent.key) for intent in intents}
        return tuple(replace(found[intent.key], gas_paid=paid[intent.key]) for intent in intents)

    # -- before --------------------------------------------------------------------------------------------------

    async def _purse(self, intents: Sequence[Intent]) -> _Purse:
        block = await self._chain.head()
        tokens = dict.fromkeys(token for intent in intents for token in intent.tokens())
        splits = [intent for intent in intents if intent.work is Work.SPLIT]
        pulling, moving = (
            [one for one in dict.fromkeys(intent.operator(self._contracts) for intent in some) if one]
            for some in (splits, [intent for intent in intents if intent.work is not Work.SPLIT])
        )
        redeems = {intent.condition.id: intent.condition for intent in intents if intent.work is Work.REDEEM}
        return _Purse(
            block=block,
            have=await self.balances(tokens, block),
            allowances={one: await self._allowance(one, block) for one in pulling},
            approved={
                one: await self._may_move(one, block) for one in moving if one != self._contracts.conditional_tokens
            },
            payouts={one.id: await self.payout(one, block) for one in redeems.values()},
        )

    def _take_pledged(self, purse: _Purse, pledged: Iterable[Intent]) -> None:
        """Count what is under way as gone that the purse's block does not show: rather refused than promised twice."""
        for other in pledged:
            purse.pulled[other.operator(self._contracts)] += other.amount if other.work is Work.SPLIT else 0
            for token, amount in other.needs().items():
                purse.have[token] = purse.have.get(token, 0) - amount

    def _objection(self, intent: Intent, purse: _Purse) -> str:
        """Return why an intent cannot work, empty when it can; one that can has its part of the purse from then on."""
        if intent.work is Work.REDEEM:
            if purse.payouts[intent.condition.id] is None:
                return "the condition is not resolved"
            if not any(purse.have.get(token) for token in intent.condition.tokens):
                return "no shares of it are held"
        for token, amount in intent.needs().items():
            if purse.have[token] < amount:
                what = "collateral" if token == COLLATERAL else f"token {hex(token)[:10]}"
                return f"{what}: {amount} needed, {purse.have[token]} there"
        operator = intent.operator(self._contracts)
        if not operator:
            known = self._contracts.neg_risk_adapter
            return "none of the contracts makes its tokens" if known else "no neg-risk adapter is among the contracts"
        if intent.work is Work.SPLIT:
            needed, there = purse.pulled[operator] + intent.amount, purse.allowances[operator]
            if needed > there and not self._approves:
                return f"allowance to {operator}: {needed} needed, {there} there"
            if needed > there and operator not in self._contracts.spenders:
                return f"{operator} is none of the known spenders: it is not approved"
            purse.pulled[operator] = needed
        elif not purse.approved.get(operator, True):
            if not self._approves:
                return f"{operator} may not move the positions"
            if operator not in self._contracts.spenders:
                return f"{operator} is none of the known spenders: it is not approved"
            purse.lacking.setdefault(operator, intent.key)
        for token, amount in intent.needs().items():
            purse.have[token] -= amount
        return ""

    def _needs_approval(self, intent: Intent) -> bool:
        """Tell whether a contract moves what is ours for it; ConditionalTokens itself moves only collateral so."""
        operator = intent.operator(self._contracts)
        return intent.work is Work.SPLIT or operator != self._contracts.conditional_tokens

    async def _approve(self, intents: Sequence[Intent], purse: _Purse) -> CallResult | None:
        """Give what approvals are missing; return the first that failed, None when none did."""
        calls = []
        splits: dict[str, str] = {}  # by operator: who needs it first
        for intent in intents:
            if intent.work is Work.SPLIT:
                splits.setdefault(intent.operator(self._contracts), intent.key)
        for operator, wanted in splits.items():
            if (amount := purse.pulled[operator]) > purse.allowances[operator]:
                # What one that took effect allowed can be used up by another split: then it is missing, and given anew.
                keys = (approval_key(f"{amount}.{turn}", wanted) for turn in count())
                key = next(key for key in keys if self._chain.fate_of(key) is not Fate.DONE)
                calls.append(approve_collateral(self._contracts, operator, amount, key))
        for operator, key in purse.lacking.items():
            calls.append(approve_positions(self._contracts, operator, approval_key(operator, key)))
        made = await self._chain.execute(calls) if calls else ()
        return next((one for one in made if one.fate is not Fate.DONE), None)

    # -- after ---------------------------------------------------------------------------------------------------

    async def _checked(self, done: Sequence[tuple[Intent, CallResult]]) -> tuple[SettlementResult, ...]:
        """Hold what took effect, and what did not, against the balances around its block, all of one block together.

        What was asked for apart can land in one block, after a restart as a rule: the block is held against all of it.
        """
        results = []
        for block in dict.fromkeys(result.block for _, result in done):
            mine = [(intent, result) for intent, result in done if result.block == block]
            if block == 0:  # nothing of it was mined
                results += [_told(intent, result, 0, as_expected=True) for intent, result in mine]
                continue
            took_effect = [self._asked[key] for key in self._chain.done_in(block) if key in self._asked]
            took_effect += [one for one, result in mine if result.fate is Fate.DONE and one not in took_effect]
            tokens = dict.fromkeys(token for one in (*took_effect, *(one for one, _ in mine)) for token in one.tokens())
            have = await self.balances(tokens, block - 1)
            cash: dict[str, int] = {}
            for one in took_effect:
                payout = await self.payout(one.condition, block) if one.work is Work.REDEEM else None
                moves = one.moves(have, payout)
                have = {token: amount + moves.get(token, 0) for token, amount in have.items()}
                cash[one.key] = moves[COLLATERAL]
            as_expected = await self.balances(tokens, block) == have
            for intent, result in mine:
                results.append(_told(intent, result, cash.get(intent.key, 0), as_expected=as_expected))
        return tuple(results)

    # -- asking --------------------------------------------------------------------------------------------------

    async def balances(self, tokens: Iterable[int], block: int) -> Moves:
        """Return the holder's collateral and tokens as of a block, millionths."""
        wanted, holder = list(tokens), self._chain.holder
        have = {COLLATERAL: await self._number(self._contracts.collateral, ERC20_BALANCE, holder, block=block)}
        if wanted:
            data = calldata(BALANCES, [holder] * len(wanted), wanted)
            answer = numbers(await self._chain.ask(self._contracts.conditional_tokens, data, block))
            have.update(zip(wanted, answer, strict=True))
        return have

    async def payout(self, condition: Condition, block: int | None = None) -> Payout | None:
        """Return how a condition pays, None while it is not resolved."""
        at = self._contracts.conditional_tokens
        total = await self._number(at, PAYOUT_DENOMINATOR, condition.id, block=block)
        if not total:
            return None
        yes, no = [await self._number(at, PAYOUT_NUMERATOR, condition.id, side, block=block) for side in (0, 1)]
        return Payout(yes, no, total)

    async def _allowance(self, operator: str, block: int) -> int:
        return await self._number(
            self._contracts.collateral, ERC20_ALLOWANCE, self._chain.holder, operator, block=block
        )

    async def _may_move(self, operator: str, block: int) -> bool:
        at, holder = self._contracts.conditional_tokens, self._chain.holder
        return bool(await self._number(at, IS_APPROVED, holder, operator, block=block))

    async def _number(self, to: str, signature: str, *values: object, block: int | None) -> int:
        answer = await self._chain.ask(to, calldata(signature, *values), block)
        if len(answer) != 32:
            raise ConfigError(
                f"{to} answers {signature} with {len(answer)} bytes: it is not the contract that is meant"
            )
        return int.from_bytes(answer, "big")


def _refused(intent: Intent, why: str, *, postponed: bool = False) -> SettlementResult:
    return SettlementResult(intent, Fate.REFUSED, is_final=True, reason=why, postponed=postponed)


def _paid(intent: Intent) -> int:
    """Return the collateral that an intent of long ago moved; 0 for a redeem, whose shares are gone."""
    return 0 if intent.work is Work.REDEEM else intent.moves({})[COLLATERAL]


def _told(intent: Intent, result: CallResult, collateral: int, *, as_expected: bool) -> SettlementResult:
    return SettlementResult(
        intent,
        result.fate,
        result.is_final,
        reason=result.reason,
        hash=result.hash,
        block=result.block,
        gas_used=result.gas_used,
        collateral=Cash(collateral),
        as_expected=as_expected,
        postponed=result.postponed,
    )
