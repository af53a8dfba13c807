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


class JournalError(ArbkitError):
    """Facts cannot be kept (disk full, not writable, locked, slow): nothing new may be entered."""


class JournalDamaged(JournalError):
    """The record contradicts itself or is of an unknown version: it may be looked at, nothing may start on it."""


class InvariantViolation(ArbkitError):
    """Something that must always hold does not: a bug here or a venue that broke its word."""
