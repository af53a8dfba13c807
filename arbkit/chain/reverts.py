"""Why a contract refused: the bytes it gave back, as words."""

from __future__ import annotations

from typing import Final

from arbkit.core.errors import CallRefused

_ERROR: Final = bytes.fromhex("08c379a0")  # Error(string)
_PANIC: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
_PANICS: Final = {
    0x01: "an assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "a value outside its enumeration",
    0x31: "pop of an empty array",
    0x32: "an index out of bounds",
    0x41: "out of memory",
    0x51: "a call of nothing",
}
# The codes of a Safe (1.3 and 1.4) that a wrong batch can meet; what they mean is in its documentation.
SAFE_CODES: Final = {
    "GS010": "not enough gas was given to the Safe",
    "GS013": "a call inside the batch failed, so that none took effect",
    "GS020": "the Safe's signatures are too short",
    "GS025": "the sender is no owner of the Safe, or has not approved",
    "GS026": "a signature is not by an owner of the Safe",
}
# Errors of Polymarket's neg-risk adapter (its source, src/NegRiskAdapter.sol and modules), by selector.
NAMED: Final = {
    "b6649495": "MarketNotPrepared: there is no such neg-risk market",
    "24f2dfe7": "NoConvertiblePositions: a market of one question has nothing to convert into",
    "9667d381": "InvalidIndexSet: the market has no such question",
    "80fee105": "OnlyOracle: the sender is not the market's oracle",
    "155a4b5c": "UnexpectedCollateralToken: the adapter takes another collateral",
    "cd7769ff": "NotApprovedForAll: the contract may not move these positions",
}


def decode_revert(data: bytes) -> str:
    """Return a contract's reason in words; the raw selector of an error that nobody here knows."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR:
            text = str(decode(["string"], body)[0])
            return f"{text} ({SAFE_CODES[text]})" if text in SAFE_CODES else text
        if selector == _PANIC:
            code = int(decode(["uint256"], body)[0])
            return f"panic {code:#x}: {_PANICS.get(code, 'unknown')}"
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return f"an error that cannot be read: 0x{data.hex()[:200]}"
    if not data:
        return "no reason given"
    return NAMED.get(selector.hex(), f"the contract's error 0x{selector.hex()}")


def reason_of(refused: CallRefused) -> str:
    """Return the contract's reason out of a node's refusal; the node's own text where no data came with it."""
    data = _bytes_in(refused.data)
    return decode_revert(data) if data else str(refused)


def is_revert(refused: CallRefused) -> bool:
    """Tell whether a contract refused, and not the node."""
    return refused.code == 3 or bool(_bytes_in(refused.data)) or "revert" in str(refused).lower()


def _bytes_in(data: object) -> bytes:
    """Return the revert bytes, which nodes put into `data` as a text or inside an object."""
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return b""
    return b""
