"""Who may move our collateral and positions: known contracts only, and of collateral no more than is needed now."""

from __future__ import annotations

from arbkit.core.errors import SpenderRefused
from arbkit.core.transaction import Call, Work
from arbkit.settlement.contracts import ERC20_APPROVE, SET_APPROVAL, Contracts, calldata

MOST = 2**128  # millionths; more than any token has, and far below what stands for "without limit"


def approve_collateral(contracts: Contracts, spender: str, amount: int, key: str) -> Call:
    """Return the call that lets a known contract take exactly so much collateral; 0 takes it back.

    Raises SpenderRefused for an address that is not listed, and for an amount that means no limit.
    """
    if amount and spender not in contracts.spenders:
        raise SpenderRefused(_unknown(contracts, spender))
    if not 0 <= amount < MOST:
        raise SpenderRefused(f"an approval of {amount} to {spender} is one without limit: name what is needed")
    return Call(key, contracts.collateral, calldata(ERC20_APPROVE, spender, amount), Work.APPROVE)


def approve_positions(contracts: Contracts, spender: str, key: str, *, approved: bool = True) -> Call:
    """Return the call that lets a known contract move our positions, or no longer; the token knows no amounts.

    Raises SpenderRefused for an address that is not listed. An approval is taken back from anybody.
    """
    if approved and spender not in contracts.spenders:
        raise SpenderRefused(_unknown(contracts, spender))
    return Call(key, contracts.conditional_tokens, calldata(SET_APPROVAL, spender, approved), Work.APPROVE)


def _unknown(contracts: Contracts, spender: str) -> str:
    return f"{spender} is none of the {len(contracts.spenders)} contracts that may be given an approval"
