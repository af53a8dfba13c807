"""Which methods read, and of which block: "latest" is made a number, so that no node can answer of an older one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from arbkit.chain.node import Call
from arbkit.core.errors import CallRefused

# Where the block stands among the parameters.
_BLOCK_AT = {
    "eth_call": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
    "eth_getProof": 2,
    "eth_createAccessList": 1,
    "eth_feeHistory": 1,
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_getBlockTransactionCountByNumber": 0,
    "eth_getTransactionByBlockNumberAndIndex": 0,
}
_OTHERS = {
    "eth_blockNumber",
    "eth_chainId",
    "eth_estimateGas",  # without a block nodes take their pending one, and that is what is meant
    "eth_gasPrice",
    "eth_getBlockByHash",
    "eth_getBlockTransactionCountByHash",
    "eth_getLogs",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_syncing",
    "net_version",
    "txpool_content",
    "txpool_contentFrom",
    "txpool_status",
    "web3_clientVersion",
}
_NEVER_NULL = frozenset(_BLOCK_AT) - {"eth_call", "eth_feeHistory"}
HEAD: Call = ("eth_blockNumber",)


@dataclass(frozen=True, slots=True)
class Question:
    """Reads as they are put to nodes, and the block that a node must have for its answers to count."""

    calls: tuple[Call, ...]
    required: int


def refuse_others(calls: Sequence[Call]) -> None:
    """Raise ValueError for a method that is not known to do nothing but read: it might be done twice."""
    for method, *_ in calls:
        if method not in _BLOCK_AT and method not in _OTHERS:
            raise ValueError(f"{method} is not known to be a read, and reads may be made twice")


def names_latest(calls: Sequence[Call]) -> bool:
    """Tell whether any of the reads is of the newest block, so that one must be known first."""
    return any(_latest(call) for call in calls)


def question(calls: Sequence[Call], head: int) -> Question:
    """Put the number of the highest head in the place of "latest"; a node must have it, and what ranges reach to."""
    pinned = [_pinned(call, head) for call in calls]
    ranges = (_number(_filter(call).get("toBlock")) for call in pinned if call[0] == "eth_getLogs")
    return Question(tuple(pinned), max([head, *(number for number in ranges if number is not None)]))


def lacks_a_block(asked: Question, answers: Sequence[Any]) -> bool:
    """Tell whether a node answered null about a block that it should have."""
    for call, answer in zip(asked.calls, answers, strict=True):
        if answer is None and call[0] in _NEVER_NULL:
            number = _number(_block(call))
            if number is not None and number <= asked.required:
                return True
    return False


def heads_in(answers: Sequence[Any]) -> Iterator[int]:
    """Yield the numbers of blocks that answers tell of: who names a receipt's block has seen it."""
    for answer in answers:
        if isinstance(answer, CallRefused):
            continue
        for part in answer if isinstance(answer, list) else [answer]:
            if isinstance(part, dict):
                number = _number(part.get("blockNumber"))
                if number is None and "parentHash" in part:
                    number = _number(part.get("number"))
                if number is not None:
                    yield number


def quantity(value: object) -> int:
    """Read a JSON-RPC quantity, a hex text; ValueError for anything else."""
    number = _number(value)
    if number is None:
        raise ValueError("not a quantity")
    return number


def _number(value: object) -> int | None:
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 18:  # 64 bits hold every block
        return None
    try:
        return int(value, 16)
    except ValueError:
        return None


def _filter(call: Sequence[Any]) -> dict[str, Any]:
    """Return the filter of an eth_getLogs; an empty one where there is none, and the node says so."""
    return call[1] if len(call) > 1 and isinstance(call[1], dict) else {}


def _block(call: Sequence[Any]) -> object:
    """Return the block that a call names, "latest" where it leaves it out; None where it names none."""
    at = 1 + _BLOCK_AT.get(call[0], len(call))
    return call[at] if at < len(call) else "latest" if call[0] in _BLOCK_AT else None


def _latest(call: Sequence[Any]) -> bool:
    if call[0] == "eth_getLogs":
        tags = _filter(call)
        return "blockHash" not in tags and "latest" in (tags.get("fromBlock", "latest"), tags.get("toBlock", "latest"))
    if call[0] == "eth_estimateGas":
        return len(call) > 2 and call[2] == "latest"
    return _block(call) == "latest"


def _pinned(call: Call, head: int) -> Call:
    if not _latest(call):
        return call
    block, params = hex(head), list(call[1:])
    if call[0] == "eth_getLogs":
        within: dict[str, Any] = {"fromBlock": "latest", "toBlock": "latest", **_filter(call)}
        return (call[0], {key: block if value == "latest" else value for key, value in within.items()})
    at = _BLOCK_AT.get(call[0], 1)
    # Where earlier parameters are missing too the node says which.
    if len(params) < at:
        return call
    params[at:] = [block, *params[at + 1 :]]
    return (call[0], *params)
