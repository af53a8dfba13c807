"""What the engine needs from outside, as protocols with their promises written beside them.

Simulation, paper and live differ only in the objects that stand behind these; the engine cannot tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from arbkit.core.grid import Grid
from arbkit.core.model import ArbitrageOpportunity, Basket, Book, Health, Level, Order, OrderReport
from arbkit.core.units import Cash, Size


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Return nanoseconds since the epoch, of the world the engine lives in."""
        ...


class Fees(Protocol):
    """The fee rule in force on one book."""

    @property
    def name(self) -> str:
        """Name of the dated rule, as printed in results."""
        ...

    def order_fee(self, fills: Sequence[tuple[int, int]], *, maker: bool) -> Cash:
        """Return the fee of one order filled at these (price, size) pairs, rounded as the venue rounds."""
        ...


class BookView(Protocol):
    """One book as received so far: what a client could know now, less what it took itself."""

    book: Book
    health: Health
    grid: Grid
    fees: Fees
    at: int  # ns, when its last message was received

    def bids(self) -> Sequence[Level]:
        """Return the bids, best (highest) first."""
        ...

    def asks(self) -> Sequence[Level]:
        """Return the asks, best (lowest) first."""
        ...


class BookFeed(Protocol):
    """Where the books come from."""

    def view(self, book: Book) -> BookView:
        """Return the book as received now; never waits."""
        ...

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:
        """Wait until one of the baskets is executable at q_min with `min_edge` per share; None: the feed ended."""
        ...


class Venue(Protocol):
    """A place that matches orders."""

    name: str

    async def submit(self, order: Order) -> OrderReport:
        """Place an order under its `client_id`; the same order twice is one order.

        Returns the venue's first word: final for FAK and FOK, OPEN (or more) for a resting order. Raises
        OrderRejected (not live, never was), VenueUnavailable (nothing was sent) or OrderStateUnknown (may be live).
        """
        ...

    async def cancel(self, order: Order) -> OrderReport:
        """Ask to cancel, and return the venue's final word with every fill that came before it.

        A fill that wins the race is in the report. Raises like `submit`.
        """
        ...

    async def status(self, order: Order) -> OrderReport:
        """Return what the venue holds of this order. Raises VenueUnavailable."""
        ...

    def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        """Yield reports of a resting order as they arrive, until one is final."""
        ...

    async def balance(self) -> Cash:
        """Return free cash: not reserved by open orders."""
        ...

    async def positions(self) -> Mapping[int, Size]:
        """Return shares held by book number."""
        ...


class Journal(Protocol):
    """The append-only record of facts."""

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        """Record one fact about `key` (an order or trade id) at `at` ns; raises when it cannot be kept."""
        ...
