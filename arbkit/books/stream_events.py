"""What a live stream of books says, in the words of no venue: adapters translate into these, `stream` takes them in.

One `Message` is one frame of a connection, read whole before anything is judged: between two of its events a book is
not a book. Prices, sizes and stamps are ints (millionths of a dollar, millionths of a share, ns since the epoch);
books go by their number in the market table, prices by their own outcome's scale.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from arbkit.core.errors import DataError
from arbkit.core.grid import Grid
from arbkit.core.model import Side
from arbkit.core.ports import Fees
from arbkit.core.units import NS_PER_S

EARLIEST: Final = 1_514_764_800 * NS_PER_S  # 2018: before there was a venue to stamp anything
UNITS: Final = (NS_PER_S, 1_000_000, 1_000, 1)  # a stamp may count s, ms, us or ns
_STAMP = re.compile(r"\d{1,19}(\.\d{1,9})?", re.ASCII)


class MarketStatus(StrEnum):
    """Whether a market takes orders. Resolved is for ever, the others may change."""

    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"
    RESOLVED = "resolved"


class Connected(msgspec.Struct, frozen=True):
    """Our end: a socket is open, and whatever was known over an earlier one is not known any more."""


class Disconnected(msgspec.Struct, frozen=True):
    """Our end: the socket is gone."""

    why: str = ""


class Overflowed(msgspec.Struct, frozen=True):
    """Our end: messages of this connection were thrown away unread."""


class Heartbeat(msgspec.Struct, frozen=True):
    """The venue is there. A message without events says the same."""


class SubscribedTo(msgspec.Struct, frozen=True):
    """The market ids that the venue says this subscription carries; what it does not name is not carried."""

    markets: tuple[str, ...]


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """Everything that stands in one book: (price, size) pairs in any order."""

    book: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    venue_at: int | None = None


class Delta(msgspec.Struct, frozen=True, gc=False):
    """Levels of one book that changed: (side, price, new total), BUY for bids; a total of 0 removes the level.

    `relative`: sizes are signed changes of the totals; only where messages are numbered, or a repetition would count
    twice. `best_bid` and `best_ask` are what the venue says is best after the message (0 and one dollar: nothing).
    """

    book: int
    levels: tuple[tuple[Side, int, int], ...]
    venue_at: int | None = None
    relative: bool = False
    best_bid: int | None = None
    best_ask: int | None = None


class Status(msgspec.Struct, frozen=True):
    """The market of a book takes orders, or does not."""

    book: int
    status: MarketStatus


class Terms(msgspec.Struct, frozen=True):
    """Terms of the market of a book as they are from now on, `grid` on the book's own scale; None: as they were."""

    book: int
    grid: Grid | None = None
    fees: Fees | None = None
    min_size: int | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """A frame, or a part of one, that could not be read; `book` is the one it spoke of, None: nobody knows.

    `reason` is one of few fixed words, never the content.
    """

    reason: str
    book: int | None = None


class UnknownType(msgspec.Struct, frozen=True):
    """A well-formed frame of a type that is not read here."""

    name: str


Event = (
    Connected
    | Disconnected
    | Overflowed
    | Heartbeat
    | SubscribedTo
    | Snapshot
    | Delta
    | Status
    | Terms
    | Unreadable
    | UnknownType
)
LIFECYCLE: Final = (Connected, Disconnected)


class Message(msgspec.Struct, frozen=True, gc=False):
    """One frame of a connection, received at `at` ns: before it waited in any queue.

    `seq` counts the messages of one `subscription` over all its books, those without events too; None where the
    venue does not count.
    """

    connection: str
    at: int
    events: tuple[Event, ...] = ()
    subscription: str = ""
    seq: int | None = None


def stamp_ns(value: int | str, now: int, *, ahead_ns: int = 2 * NS_PER_S) -> int:
    """Return ns since the epoch of a venue's stamp in s, ms, us or ns, whichever makes it a time that can be.

    The times that can be lie between 2018 and `now` + `ahead_ns`, a factor of less than a thousand: one unit fits, or
    none does. Text may carry a fraction. Raises DataError where none fits: absurd, or from the future.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise DataError(f"not a stamp: {value!r}")
    counted: int | Decimal
    if isinstance(value, int):
        counted = value
    elif _STAMP.fullmatch(value) is None:
        raise DataError(f"not a stamp: {value[:40]!r}")
    else:
        counted = int(value) if value.isdigit() else Decimal(value)
    for unit in UNITS:
        if EARLIEST <= counted * unit <= now + ahead_ns:
            return int(counted * unit)
    raise DataError(f"not a time between 2018 and now, in no unit: {value!r}")
