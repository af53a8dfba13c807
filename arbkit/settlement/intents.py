"""What a trade wants of the chain, as values: which call that is, and what it must move when it takes effect."""

from __future__ import annotations

from dataclasses import dataclass, field

from arbkit.core.capital import Payout
from arbkit.core.transaction import Call, Fate, Work
from arbkit.core.units import Cash, Size
from arbkit.settlement.contracts import Contracts, convert_data, merge_data, redeem_data, split_data
from arbkit.settlement.positions import Condition

BASIS = 10_000
COLLATERAL = 0  # stands for the collateral among token ids; no position has this id
Moves = dict[int, int]  # token id, or COLLATERAL -> change of what the holder has, millionths


@dataclass(frozen=True, slots=True)
class NegRiskMarket:
    """Questions of which exactly one comes true, in the adapter's order; `fee_bips` is taken from what a conversion gives."""

    id: bytes
    questions: tuple[Condition, ...]
    fee_bips: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that a trade wants once. `amount` is in millionths of a share; a redeem takes all there is.

    The key says trade, work and condition, and `turn` where a trade wants the same again: a restart that wants what
    was wanted before finds it done.
    """

    work: Work
    trade: str
    condition: Condition
    amount: Size = Size(0)
    turn: int = 0
    market: NegRiskMarket | None = None
    taken: tuple[int, ...] = field(default=())  # of a conversion: the questions whose NO are given, by number

    def __post_init__(self) -> None:
        if self.work not in (Work.SPLIT, Work.MERGE, Work.REDEEM, Work.CONVERT):
            raise ValueError(f"{self.work} is no settlement")
        if self.work is not Work.REDEEM and self.amount <= 0:
            raise ValueError(f"a {self.work} of {self.amount} moves nothing")
        if self.work is Work.CONVERT:
            if self.market is None or not self.taken or sorted(set(self.taken)) != list(self.taken):
                raise ValueError("a conversion names its market, and each question once, in order")
            if self.taken[-1] >= len(self.market.questions) or self.taken[0] < 0:
                raise ValueError(f"the market has no question {self.taken[-1]}")
            if self.condition not in [self.market.questions[at] for at in self.taken]:
                raise ValueError("a conversion is named after a question that it takes")

    @property
    def key(self) -> str:
        return f"{self.work.value}:{self.trade}:{self.condition.id.hex()[:16]}:{self.turn}"

    def call(self, contracts: Contracts) -> Call:
        """Return the contract call that does it."""
        if self.work is Work.CONVERT:
            assert self.market is not None
            data = convert_data(self.market.id, self.taken, self.amount)
        elif self.work is Work.REDEEM:
            data = redeem_data(contracts, self.condition.id)
        else:
            build = split_data if self.work is Work.SPLIT else merge_data
            data = build(contracts, self.condition.id, self.amount)
        return Call(self.key, self.operator(contracts), data, self.work)

    def operator(self, contracts: Contracts) -> str:
        """Return the contract that it is a call of."""
        return contracts.neg_risk_adapter if self.work is Work.CONVERT else contracts.operator_of(self.condition)

    def tokens(self) -> tuple[int, ...]:
        """Return the tokens that it can move."""
        if self.market is not None:
            return tuple(token for question in self.market.questions for token in question.tokens)
        return self.condition.tokens

    def needs(self) -> Moves:
        """Return what the holder must have beforehand; nothing for a redeem, which takes what it finds."""
        if self.work is Work.SPLIT:
            return {COLLATERAL: self.amount}
        if self.work is Work.MERGE:
            return dict.fromkeys(self.condition.tokens, self.amount)
        if self.work is Work.CONVERT:
            assert self.market is not None
            return {self.market.questions[at].no: self.amount for at in self.taken}
        return {}

    def moves(self, held: Moves, payout: Payout | None = None) -> Moves:
        """Return what changes when it takes effect. `held` are the balances before; a redeem needs `payout`."""
        amount = int(self.amount)
        if self.work is Work.SPLIT:
            return {COLLATERAL: -amount, **dict.fromkeys(self.condition.tokens, amount)}
        if self.work is Work.MERGE:
            return {COLLATERAL: amount, **dict.fromkeys(self.condition.tokens, -amount)}
        if self.work is Work.REDEEM:
            if payout is None:
                raise ValueError("what a redeem pays is not known before its condition is resolved")
            yes, no = (held.get(token, 0) for token in self.condition.tokens)
            return {COLLATERAL: payout.of(yes, no), self.condition.yes: -yes, self.condition.no: -no}
        assert self.market is not None
        out = amount - amount * self.market.fee_bips // BASIS
        moves: Moves = {COLLATERAL: (len(self.taken) - 1) * out}
        for at, question in enumerate(self.market.questions):
            if at in self.taken:
                moves[question.no] = -amount
            else:
                moves[question.yes] = out
        return moves


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """What became of an intent. `moved` is what it changed, as the chain's balances show, COLLATERAL in `collateral`.

    `reason` says why it took no effect. `as_expected` is false when balances moved otherwise than the call should
    have moved them: then somebody else moved them in the same block, or the contract is not what we take it for.
    """

    intent: Intent
    fate: Fate
    is_final: bool
    reason: str = ""
    hash: str = ""
    block: int = 0
    gas_used: int = 0
    gas_paid: int = 0  # wei, in all: its own and that of the approvals that were given for it
    collateral: Cash = Cash(0)
    as_expected: bool = True
    postponed: bool = False  # refused for want of money or nodes, not by a contract
