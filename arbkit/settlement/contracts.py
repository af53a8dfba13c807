"""The contracts that money and shares go through, and the calls made to them.

Addresses are as shipped in Polymarket's own client of October 2026; they are settings, and tests have others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from arbkit.core.errors import ConfigError
from arbkit.settlement.positions import NO, NO_PARENT, YES, Condition, condition_id

ERC20_APPROVE = "approve(address,uint256)"
ERC20_ALLOWANCE = "allowance(address,address)"
ERC20_BALANCE = "balanceOf(address)"
SET_APPROVAL = "setApprovalForAll(address,bool)"
IS_APPROVED = "isApprovedForAll(address,address)"
BALANCES = "balanceOfBatch(address[],uint256[])"
SPLIT = "splitPosition(address,bytes32,bytes32,uint256[],uint256)"
MERGE = "mergePositions(address,bytes32,bytes32,uint256[],uint256)"
REDEEM = "redeemPositions(address,bytes32,bytes32,uint256[])"
CONVERT = "convertPositions(bytes32,uint256,uint256)"
PAYOUT_NUMERATOR = "payoutNumerators(bytes32,uint256)"
PAYOUT_DENOMINATOR = "payoutDenominator(bytes32)"


def is_address(text: object) -> bool:
    """Tell whether a text has an address's form; its checksum is whoever signs for it to check."""
    if not isinstance(text, str):
        return False
    return len(text) == 42 and text.startswith("0x") and all(c in "0123456789abcdefABCDEF" for c in text[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """Where things are. `operator` takes splits, merges and redeems: ConditionalTokens itself, or an adapter of it.

    A neg-risk market's tokens are others, made of collateral that is wrapped: `neg_risk_adapter` takes those in the same
    form, as Polymarket's own client has it (polymarket-client 0.14.0), and conversions. `neg_risk_oracle` is who puts
    its questions to ConditionalTokens, and `neg_risk_backing` the wrapped collateral, where these are known: then their
    conditions follow from the event, and tokens of neither kind are told apart. `spenders` are the only addresses that
    approvals are given to. `backing` is what the other tokens' ids are made of, where an adapter hides it behind another
    collateral.
    """

    conditional_tokens: str
    collateral: str
    operator: str
    neg_risk_adapter: str = ""
    neg_risk_oracle: str = ""
    neg_risk_backing: str = ""
    backing: str = ""
    spenders: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        # What is no address is not repeated: a digit more or less and it may be a key that no mask knows.
        for name in ("conditional_tokens", "collateral", "operator"):
            if not is_address(getattr(self, name)):
                raise ConfigError(f"{name} is no address of 0x and 40 digits")
        for name in ("neg_risk_adapter", "neg_risk_oracle", "neg_risk_backing", "backing"):
            if getattr(self, name) and not is_address(getattr(self, name)):
                raise ConfigError(f"{name} is no address of 0x and 40 digits")
        for spender in self.spenders:
            if not is_address(spender):
                raise ConfigError("a spender is no address of 0x and 40 digits")

    def condition(self, id: bytes) -> Condition:
        """Return a condition with the ids of its tokens."""
        return Condition.of(id, self.backing or self.collateral)

    def operator_of(self, condition: Condition) -> str:
        """Return the contract that makes and takes a condition's tokens: told by the tokens; empty where none does."""
        if condition == self.condition(condition.id):
            return self.operator
        if self.neg_risk_backing and condition != Condition.of(condition.id, self.neg_risk_backing):
            return ""
        return self.neg_risk_adapter

    def question_of(self, event: bytes, number: int) -> bytes:
        """Return the id of the condition that is a neg-risk event's question of that number.

        An event's last byte is free for it (github.com/Polymarket/neg-risk-ctf-adapter, src/libraries/NegRiskIdLib.sol),
        and the adapter is its oracle (src/NegRiskAdapter.sol).
        """
        return condition_id(self.neg_risk_oracle, event[:-1] + bytes([number]))


POLYMARKET = Contracts(
    conditional_tokens="0x4D97DCd97eC945f40cF65F87097ACe5EA0476045",
    collateral="0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB",  # pUSD
    backing="0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174",  # USDC.e
    operator="0xAdA100Db00Ca00073811820692005400218FcE1f",  # the collateral adapter
    neg_risk_adapter="0xadA2005600Dec949baf300f4C6120000bDB6eAab",  # the neg-risk collateral adapter
    neg_risk_oracle="0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296",  # the neg-risk adapter that it stands before
    neg_risk_backing="0x3A3BD7bb9528E159577F7C2e685CC81A765002E2",  # its wrapped collateral: tokens listed are made of it
    spenders=frozenset(
        {
            "0xAdA100Db00Ca00073811820692005400218FcE1f",
            "0xadA2005600Dec949baf300f4C6120000bDB6eAab",
            "0xE111180000d2663C0091e4f400237545B87B996B",  # CTF exchange v2
            "0xe2222d279d744050d28e00520010520000310F59",  # neg-risk exchange v2
            "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa",  # exchange v3
        }
    ),
)


def calldata(signature: str, *values: object) -> bytes:
    """Return the bytes that call a function of this signature; ValueError when a value does not fit its type."""
    from eth_abi.abi import encode
    from eth_abi.exceptions import EncodingError
    from eth_utils.crypto import keccak

    kinds = signature[signature.index("(") + 1 : -1]
    try:
        return keccak(text=signature)[:4] + encode(kinds.split(",") if kinds else [], values)
    except EncodingError as error:
        raise ValueError(f"{signature} cannot be called so: {error}") from error


def numbers(answer: bytes) -> tuple[int, ...]:
    """Return an array of numbers that a contract answered."""
    from eth_abi.abi import decode

    found: Any = decode(["uint256[]"], answer)[0]
    return tuple(found)


def split_data(contracts: Contracts, condition: bytes, amount: int) -> bytes:
    """Collateral becomes as many YES and as many NO."""
    return calldata(SPLIT, contracts.collateral, NO_PARENT, condition, [YES, NO], amount)


def merge_data(contracts: Contracts, condition: bytes, amount: int) -> bytes:
    """As many YES and NO become collateral again."""
    return calldata(MERGE, contracts.collateral, NO_PARENT, condition, [YES, NO], amount)


def redeem_data(contracts: Contracts, condition: bytes) -> bytes:
    """All YES and NO of a resolved condition become what they pay."""
    return calldata(REDEEM, contracts.collateral, NO_PARENT, condition, [YES, NO])


def convert_data(market: bytes, questions: Sequence[int], amount: int) -> bytes:
    """As many NO of each of these questions become YES of all others, and collateral for all of them but one."""
    return calldata(CONVERT, market, sum(1 << at for at in questions), amount)
