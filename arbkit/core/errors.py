"""What can go wrong, sorted by what the caller may do about it.

ArbkitError
|- ConfigError            a setting is wrong: mend it and start again
|- DataError              a file, row or market table cannot be used: mend or leave out what it names
|- VenueError
|  |- OrderRejected       the order is not live and never was: forget it
|  |- VenueUnavailable    nothing was sent: the same call may be made again
|  `- OrderStateUnknown   the order may be live: ask the venue, never resend blindly
|- ChainError             a chain node or transaction failed
`- InvariantViolation     a bug, or a venue that broke its word: stop
"""


class ArbkitError(Exception):
    """Base of all errors that arbkit raises on purpose."""


class ConfigError(ArbkitError, ValueError):
    """A setting that cannot be meant."""


class DataError(ArbkitError, ValueError):
    """A recording, tape or market table that cannot be used; the message names file, row and field."""


class VenueError(ArbkitError):
    """A venue did not do what was asked."""


class OrderRejected(VenueError):
    """The venue refused the order: it is not live and never was."""


class VenueUnavailable(VenueError):
    """Nothing was sent; the same call may be made again."""


class OrderStateUnknown(VenueError):
    """The order may be live: reconcile by its key, never resend blindly."""


class ChainError(ArbkitError):
    """A chain node or a transaction failed."""


class InvariantViolation(ArbkitError):
    """Something that must always hold does not: a bug here or a venue that broke its word."""
