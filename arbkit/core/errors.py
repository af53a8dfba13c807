"""What can go wrong, sorted by what the caller may do about it.

ArbkitError
|- ConfigError            a setting is wrong: mend it and start again
|- DataError              a file, row or market table cannot be used: mend or leave out what it names
|- VenueError
|  |- OrderRejected       the order is not live and never was: forget it; `cause` says what else follows
|  |- VenueUnavailable    nothing was sent: the same call may be made again, after `retry_after_s` if it is given
|  |- AccessDenied        nothing was sent and nothing will be: a person must mend key, clock or place
|  `- OrderStateUnknown   the order may be live: ask the venue, resend nothing but the same order under the same key
|- ChainError             a chain node or transaction failed
|  |- ChainUnavailable    no node gave a usable answer: a read may be made again, after `retry_after_s` if it is given
|  |  `- NodesDisagree    they gave different ones: wait, and ask again
|  |- CallRefused         a node refused a read, a revert above all: `data` says why, asking again gives the same
|  |- SendRefused         every node that answered refused the transaction: `kind` says what may be done about it
|  |- SendUnknown         the transaction may be in: look up its hash, send nothing but the same bytes
|  |- FeeAboveCap         nothing was signed: gas costs more than the cap allows: postpone what can wait
|  |- FundsMissing        nothing was signed: the account lacks coin, collateral, shares or allowance: `what` it lacks
|  |- Reverted            the chain would not do it, or did not: nothing moved, and the same again gives the same
|  |- SpenderRefused      nothing was signed: no approval is given to this address
|  `- WrongChain          the nodes are not of the chain that is meant: mend the settings
|- JournalError           facts cannot be kept: enter nothing new
|  `- JournalDamaged      the record contradicts itself: look at it read-only, start nothing on it
`- InvariantViolation     a bug, or a venue that broke its word: stop
"""

from enum import StrEnum


class ArbkitError(Exception):
    """Base of all errors that arbkit raises on purpose."""


class ConfigError(ArbkitError, ValueError):
    """A setting that cannot be meant."""


class DataError(ArbkitError, ValueError):
    """A recording, tape or market table that cannot be used; the message names file, row and field."""


class VenueError(ArbkitError):
    """A venue did not do what was asked."""


class Cause(StrEnum):
    """What a refusal of an order says beyond the order."""

    OTHER = "other"  # nothing else follows
    FUNDS = "funds"  # the account holds less than was believed, or not yet
    TERMS = "terms"  # tick, lot, fee, minimum or version are not those that were believed: read them anew
    CROSSES = "crosses"  # a post-only order would have taken
    TAKERS_REFUSED = "takers refused"  # for a while the venue takes resting orders only
    PAUSED = "paused"  # for a while it takes no orders
    CLOSED = "closed"  # the market takes no orders any more


class OrderRejected(VenueError):
    """The venue refused the order: it is not live and never was. `retry_after_s` is how long that will be so."""

    def __init__(self, reason: str, cause: Cause = Cause.OTHER, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.cause = cause
        self.retry_after_s = retry_after_s


class VenueUnavailable(VenueError):
    """Nothing was sent; the same call may be made again, not before `retry_after_s` if the venue said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class AccessDenied(VenueError):
    """Key, clock or place are refused: nothing was sent, nothing will be, and asking again makes it worse."""


class OrderStateUnknown(VenueError):
    """The order may be live: reconcile by its key; what is sent again is the same order under the same key."""


class ChainError(ArbkitError):
    """A chain node or a transaction failed."""


class ChainUnavailable(ChainError):
    """No node gave a usable answer; a read may be made again, not before `retry_after_s` if the nodes said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NodesDisagree(ChainUnavailable):
    """Nodes gave different answers about the same block, and no majority agrees: wait, and ask again."""


class CallRefused(ChainError):
    """A node refused a read: `code` is JSON-RPC's, `data` what a contract gave back when it reverted."""

    def __init__(self, reason: str, code: int = 0, data: object = None) -> None:
        super().__init__(reason)
        self.code = code
        self.data = data


class Refusal(StrEnum):
    """Why nodes refused a transaction; the first that any of them said, in this order, is the one that counts."""

    NONCE_TOO_LOW = "nonce_too_low"  # another transaction of this nonce is mined
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"  # another one waits, and this one does not pay enough more
    UNDERPRICED = "underpriced"  # the tip is below what the pool takes
    FEE_BELOW_BASE = "fee_below_base"  # the fee cap is below the base fee
    INSUFFICIENT_FUNDS = "insufficient_funds"  # the account cannot pay value and gas
    OTHER = "other"  # the message says it


class SendRefused(ChainError):
    """Every node that answered refused the transaction, and none of them knows its hash.

    `unanswered` names the nodes that were given the bytes and said nothing: as long as there are any the transaction
    may still turn up, so its hash stays on watch and a new one takes the same nonce.
    """

    def __init__(self, reason: str, kind: Refusal = Refusal.OTHER, unanswered: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.kind = kind
        self.unanswered = unanswered


class SendUnknown(ChainError):
    """The transaction may be in: look up its hash and nonce; what is sent again is the same bytes."""


class FeeAboveCap(ChainError):
    """Nothing was signed: `needed` is more than `cap`, both in wei, per gas or in all as the message says."""

    def __init__(self, reason: str, needed: int, cap: int) -> None:
        super().__init__(reason)
        self.needed = needed
        self.cap = cap


class FundsMissing(ChainError):
    """Nothing was signed: of `what` the account has less than is needed."""

    def __init__(self, what: str, needed: int, held: int) -> None:
        super().__init__(f"{what}: {needed} needed, {held} there")
        self.what = what
        self.needed = needed
        self.held = held


class Reverted(ChainError):
    """A contract refused a call, before or after it was mined: nothing moved. `reason` is its own word, decoded."""

    def __init__(self, reason: str, what: str = "") -> None:
        super().__init__(f"{what} reverts: {reason}" if what else reason)
        self.reason = reason


class SpenderRefused(ChainError):
    """No approval is given to an address that is not on the list of known contracts."""


class WrongChain(ChainError):
    """A node is of another chain than the one that is meant, or lacks a contract that this one has."""


class JournalError(ArbkitError):
    """Facts cannot be kept (disk full, not writable, locked, slow): nothing new may be entered."""


class JournalDamaged(JournalError):
    """The record contradicts itself or is of an unknown version: it may be looked at, nothing may start on it."""


class InvariantViolation(ArbkitError):
    """Something that must always hold does not: a bug here or a venue that broke its word."""
