"""What nodes' error messages mean. Every vendor words them in its own way, so texts are matched, in any case.

Sources: go-ethereum and bor (`core/txpool`, `internal/ethapi`), erigon, anvil 1.7.1 as tried, vendors' public lists.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from arbkit.core.errors import Refusal


class Means(Enum):
    """What an error in answer to a read says about the node, and so what may be done."""

    BEHIND = auto()  # it has not got the block: ask another one
    BUSY = auto()  # it wants to be asked less
    BROKEN = auto()  # its own trouble: ask another one
    FINAL = auto()  # every node would say so
    REFUSED = auto()  # it will not; another one may


def _any(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(texts), re.IGNORECASE)


_BEHIND = _any(
    r"header not found",
    r"unknown block",
    r"block not found",
    r"could not find block",
    r"block ?out ?of ?range",
    r"block range extends beyond",
    r"beyond (the )?(current )?head",
    r"missing trie node",
    r"state .{0,20}not available",
)
# A question that is too large for this vendor; some give it the code for too many questions.
_TOO_LARGE = _any(r"more than \d+ (results|logs)", r"block range", r"range (is )?too (large|wide)", r"response size")
_BUSY = _any(r"rate limit", r"too many requests", r"limit exceeded", r"capacity", r"compute units", r"throttl")
_BUSY_CODES = (-32005, -32029, 429)
_BROKEN = _any(r"internal error", r"internal server", r"time(d )?out", r"deadline exceeded", r"unavailable", r"syncing")
_BROKEN_CODES = (-32603, -32002)
_FINAL = _any(r"revert", r"out of gas", r"invalid opcode", r"insufficient funds", r"gas required exceeds")
_REVERTED = 3  # the code of EIP-1474's successor for a revert with data


def meaning(code: int, message: str) -> Means:
    """Say what an error in answer to a read means."""
    if code == _REVERTED or _FINAL.search(message):
        return Means.FINAL  # first: what a contract says when it reverts may hold any words
    if _BEHIND.search(message):
        return Means.BEHIND
    if _TOO_LARGE.search(message):
        return Means.REFUSED
    if code in _BUSY_CODES or _BUSY.search(message):
        return Means.BUSY
    if code in _BROKEN_CODES or _BROKEN.search(message):
        return Means.BROKEN
    return Means.REFUSED


# -- sends -----------------------------------------------------------------------------------------------------

_KNOWN = _any(r"already known", r"already imported", r"\bknown transaction")
_REFUSALS = (
    (Refusal.NONCE_TOO_LOW, _any(r"nonce (is )?too low", r"nonce has already been used", r"old nonce")),
    (
        Refusal.REPLACEMENT_UNDERPRICED,
        _any(r"replacement transaction underpriced", r"replacement fee too low", r"replace.{0,20}underpriced"),
    ),
    (
        Refusal.FEE_BELOW_BASE,
        _any(r"(fee cap|max ?fee ?per ?gas|feecap).{0,20}(less|lower) than (the )?(block|pending|current)? ?base ?fee"),
    ),
    (
        Refusal.UNDERPRICED,
        _any(r"underpriced", r"(tip|priority fee|gas price).{0,40}(below|too low|under|minimum)", r"fee too low"),
    ),
    (Refusal.INSUFFICIENT_FUNDS, _any(r"insufficient funds", r"insufficient balance", r"doesn't have enough funds")),
)


class SendMeans(Enum):
    """What an error in answer to a send says."""

    KNOWN = auto()  # the node has it
    NO_WORD = auto()  # neither yes nor no


def send_meaning(code: int, message: str) -> SendMeans | Refusal:
    """Say what an error in answer to a send means."""
    if _KNOWN.search(message):
        return SendMeans.KNOWN
    for refusal, pattern in _REFUSALS:
        if pattern.search(message):
            return refusal
    if code in (*_BUSY_CODES, *_BROKEN_CODES) or _BUSY.search(message) or _BROKEN.search(message):
        return SendMeans.NO_WORD
    return Refusal.OTHER
