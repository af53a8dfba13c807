"""ConditionalTokens in memory, behind the seam `settlement.desk.Chain`: balances by block, and what spoils them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from arbkit.core.errors import ChainError
from arbkit.core.transaction import Call, CallResult, Fate, Work, served_by
from arbkit.settlement.contracts import (
    BALANCES,
    CONVERT,
    ERC20_ALLOWANCE,
    ERC20_APPROVE,
    ERC20_BALANCE,
    IS_APPROVED,
    MERGE,
    PAYOUT_DENOMINATOR,
    PAYOUT_NUMERATOR,
    REDEEM,
    SET_APPROVAL,
    SPLIT,
    Contracts,
)
from arbkit.settlement.intents import COLLATERAL, NegRiskMarket
from arbkit.settlement.positions import Condition

HOLDER = "0x" + "aa" * 20
CTF, USD, ADAPTER, NEG_RISK = (f"0x{byte * 20}" for byte in ("c0", "d0", "ad", "ae"))
DIRECT = Contracts(
    conditional_tokens=CTF, collateral=USD, operator=CTF, neg_risk_adapter=NEG_RISK, spenders=frozenset({CTF, NEG_RISK})
)
ADAPTED = Contracts(
    conditional_tokens=CTF,
    collateral=USD,
    operator=ADAPTER,
    neg_risk_adapter=NEG_RISK,
    spenders=frozenset({ADAPTER, NEG_RISK}),
)


def _parts(signature: str, data: bytes) -> tuple[object, ...] | None:
    if data[:4] != keccak(text=signature)[:4]:
        return None
    return tuple(decode(signature[signature.index("(") + 1 : -1].split(","), data[4:]))


class FakeTokens:
    """One holder's collateral and tokens. Each `execute` is a block; `spoil` makes a call revert in it."""

    def __init__(self, contracts: Contracts, collateral: int = 0, market: NegRiskMarket | None = None) -> None:
        self.contracts = contracts
        self.market = market
        self.history: list[defaultdict[int, int]] = [defaultdict(int, {COLLATERAL: collateral})]
        self.allowances: defaultdict[str, int] = defaultdict(int)
        self.approved: set[str] = set()
        self.payouts: dict[bytes, tuple[int, int]] = {}
        self.wrapped: dict[
            bytes, Condition
        ] = {}  # of neg-risk markets: what the adapter makes and takes, and nobody else
        self.made: dict[str, CallResult] = {}
        self.spoil: Callable[[Call], str] = lambda _call: ""
        self.beside: Callable[[defaultdict[int, int]], None] = lambda _have: None  # what others move in the same block
        self.executed: list[list[Call]] = []
        self.pause_s = 0.0

    # -- the seam ------------------------------------------------------------------------------------------------

    @property
    def holder(self) -> str:
        return HOLDER

    async def head(self) -> int:
        await asyncio.sleep(0)
        return len(self.history) - 1

    def fate_of(self, key: str) -> Fate | None:
        found = self.made.get(key)
        return Fate.DONE if found is not None and found.fate is Fate.DONE else None

    async def has_done(self, key: str, block: int) -> bool:
        await asyncio.sleep(0)
        found = self.made.get(key)
        return found is not None and found.fate is Fate.DONE and found.block <= block

    def done_in(self, block: int) -> list[str]:
        return [key for key, one in self.made.items() if one.block == block and one.fate is Fate.DONE]

    async def paid_for(self, key: str) -> int:
        await asyncio.sleep(0)
        return sum(one.paid for name, one in self.made.items() if served_by(name) == key)

    async def execute(self, calls: Sequence[Call]) -> tuple[CallResult, ...]:
        self.executed.append(list(calls))
        await asyncio.sleep(self.pause_s)
        new = [call for call in calls if self.fate_of(call.key) is None]
        if new:
            have = self.history[-1].copy()
            for call in new:
                self.made[call.key] = self._do(call, have)
            self.beside(have)
            self.history.append(have)
        return tuple(self.made[call.key] for call in calls)

    async def ask(self, to: str, data: bytes, block: int | None = None) -> bytes:
        await asyncio.sleep(0)
        return self.answer(to, data, self.history[-1 if block is None else block])

    def answer(self, to: str, data: bytes, have: Mapping[int, int]) -> bytes:
        """Return what a contract answers where so much is held."""
        if to == USD and _parts(ERC20_BALANCE, data):
            return encode(["uint256"], [have.get(COLLATERAL, 0)])
        if to == USD and (found := _parts(ERC20_ALLOWANCE, data)):
            return encode(["uint256"], [self.allowances[str(found[1])]])
        if to == CTF and (found := _parts(BALANCES, data)):
            return encode(["uint256[]"], [[have.get(token, 0) for token in found[1]]])  # type: ignore[attr-defined]
        if to == CTF and (found := _parts(IS_APPROVED, data)):
            return encode(["uint256"], [int(str(found[1]) in self.approved)])
        if to == CTF and (found := _parts(PAYOUT_DENOMINATOR, data)):
            return encode(["uint256"], [sum(self.payouts.get(found[0], (0, 0)))])  # type: ignore[call-overload]
        if to == CTF and (found := _parts(PAYOUT_NUMERATOR, data)):
            return encode(["uint256"], [self.payouts[found[0]][found[1]]])  # type: ignore[index]
        return b""  # as an address without code answers

    # -- the contracts -------------------------------------------------------------------------------------------

    def _do(self, call: Call, have: defaultdict[int, int]) -> CallResult:
        block = len(self.history)
        reason = self.spoil(call)
        before = have.copy()
        if not reason:
            try:
                self.move(call, have)
            except ChainError as error:
                reason = str(error)
                have.clear()
                have.update(before)
        fate = Fate.REVERTED if reason else Fate.DONE
        return CallResult(call, fate, True, reason, f"0x{len(self.made):064x}", block, 100_000, 10**15)

    def move(self, call: Call, have: defaultdict[int, int]) -> None:
        """Do what a call does; ChainError with the contract's reason when it reverts."""

        def change(token: int, by: int) -> None:
            have[token] += by
            if have[token] < 0:
                raise ChainError("SafeMath: subtraction overflow")

        if call.work is Work.APPROVE:
            if found := _parts(ERC20_APPROVE, call.data):
                self.allowances[str(found[0])] = found[1]  # type: ignore[assignment]
            elif found := _parts(SET_APPROVAL, call.data):
                self.approved.add(str(found[0]))
            return
        operator = call.to
        if operator != CTF and call.work is not Work.SPLIT and operator not in self.approved:
            raise ChainError("not approved")
        if found := _parts(SPLIT, call.data):
            amount = int(found[4])  # type: ignore[call-overload]
            if self.allowances[operator] < amount:
                raise ChainError("ERC20: insufficient allowance")
            self.allowances[operator] -= amount
            change(COLLATERAL, -amount)
            for token in self._tokens(found[2], operator):
                change(token, amount)
        elif found := _parts(MERGE, call.data):
            amount = int(found[4])  # type: ignore[call-overload]
            for token in self._tokens(found[2], operator):
                change(token, -amount)
            change(COLLATERAL, amount)
        elif found := _parts(REDEEM, call.data):
            payout = self.payouts[found[2]]  # type: ignore[index]
            for token, part in zip(self._tokens(found[2], operator), payout, strict=True):
                change(COLLATERAL, have[token] * part // sum(payout))
                have[token] = 0
        elif found := _parts(CONVERT, call.data):
            assert self.market is not None
            index, amount = int(found[1]), int(found[2])  # type: ignore[call-overload]
            out = amount - amount * self.market.fee_bips // 10_000
            taken = 0
            for at, question in enumerate(self.market.questions):
                if index >> at & 1:
                    taken += 1
                    change(question.no, -amount)
                else:
                    change(question.yes, out)
            change(COLLATERAL, (taken - 1) * out)

    def _tokens(self, condition: object, operator: str) -> tuple[int, int]:
        assert isinstance(condition, bytes)
        if operator == NEG_RISK and condition in self.wrapped:
            return self.wrapped[condition].tokens
        return self.contracts.condition(condition).tokens
