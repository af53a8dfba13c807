"""What the engine needs from outside, as protocols with their promises written beside them.

Simulation, paper and live differ only in the objects that stand behind these; the engine cannot tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from arbkit.core.capital import CapitalIntent, CapitalResult, Conversion, Offer, Payout
from arbkit.core.grid import Grid
from arbkit.core.model import ArbitrageOpportunity, Basket, Book, Health, Level, Order, OrderReport, Side
from arbkit.core.transaction import Work
from arbkit.core.units import Cash, Price, Size


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

    def distrust(self, book: Book, why: str) -> None:
        """Take note that a venue refused an order for terms this book shows: tick, lot, fee, status, minimum.

        A live feed reads them anew and prices nothing from the book until then; a recording has no others.
        """
        ...

    def mark_stale(self, why: str) -> None:
        """Take note that nobody was listening for a while: a live book prices nothing until its next message."""
        ...

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:
        """Wait until one of the baskets is executable at q_min with `min_edge` per share; None: the feed ended."""
        ...


class VenueOrder(NamedTuple):
    """An open order as a venue lists it, ours or not; `client_id` is empty where the venue has none we know."""

    venue_id: str
    client_id: str
    book: str  # "venue:id:yes"
    side: Side
    limit: Price
    size: Size
    filled: Size


class Page(NamedTuple):
    """A part of a listing; `cursor` asks for the next part, empty at the end. Rows may move between two pages."""

    rows: tuple[VenueOrder, ...]
    cursor: str = ""


class Venue(Protocol):
    """A place that matches orders.

    Every call may raise AccessDenied, or VenueUnavailable when nothing was sent and no answer is owed.
    """

    name: str
    live: bool  # its orders are for real money

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
        """Return what the venue holds of this order; UNKNOWN with reason "not found" where it finds none.

        Not found is no proof that the order never was: it may still be on its way.
        """
        ...

    def reports(self, order: Order) -> AsyncIterator[OrderReport]:
        """Yield reports of a resting order as they arrive, until one is final."""
        ...

    async def open_orders(self, cursor: str = "") -> Page:
        """Return one page of the account's open orders, whoever placed them."""
        ...

    async def time(self) -> int:
        """Return the venue's clock, ns since the epoch."""
        ...

    async def balance(self) -> Cash:
        """Return free cash: not reserved by open orders."""
        ...

    async def positions(self) -> Mapping[int, Size]:
        """Return shares held by book number."""
        ...


class Chain(Protocol):
    """The contracts that hold a venue's collateral and shares, as the engine uses them: made, merged, converted, redeemed.

    Whatever is asked for is done once by its key, however often and by whichever process it is asked for.
    """

    live: bool  # it signs for real money
    pause_s: float  # how often `step` is due

    def covers(self, market: str) -> bool:
        """Tell whether the shares of a market ("venue:market") live here."""
        ...

    def merge_offer(self, market: str, pairs: Size) -> Offer:
        """Return what merging so many pairs now is worth, by the gas price last seen; never waits."""
        ...

    def conversion(self, markets: Sequence[str], shares: Size) -> Conversion | None:
        """Return what so many NO of each of these markets become by the gas price last seen; never waits.

        None where they are not several questions of one event of which exactly one comes true.
        """
        ...

    def gas_of(self, work: Work) -> Cash | None:
        """Return what one such call costs by the gas price last seen; None while there is none, or it is above the cap."""
        ...

    async def settle(self, intent: CapitalIntent) -> CapitalResult:
        """Do what an intent wants and return what became of it, when that is final; the patience is the caller's.

        Raises FeeAboveCap or FundsMissing when nothing is signed: it is given up, and may be wanted again. After any
        other ArbkitError it may be under way: the same intent asked for again finds what was made of it.
        """
        ...

    async def give_up(self, intent: CapitalIntent, why: str) -> CapitalResult | None:
        """Return the end, for that reason, of an intent that took no effect and is not under way, at what it cost so far.

        None for one that is under way or took effect: `settle` has its end. Raises as that does after something signed.
        """
        ...

    async def payout(self, market: str) -> Payout | None:
        """Return how a market pays, None while it is not resolved. Raises ChainError."""
        ...

    async def step(self) -> str:
        """Look at what is open and do what is due; return why the chain could not be asked, or nothing."""
        ...


class Journal(Protocol):
    """The append-only record of facts: what is about to be done, what was done, what was heard.

    Facts are kept in the order of `append`. Until `durable` returned they may be lost with the process.
    """

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        """Add one fact about `key` (an order or trade id) at `at` ns; JournalError when no more can be taken."""
        ...

    async def durable(self, *, reducing: bool = False) -> None:
        """Wait until every fact appended so far is on disk; JournalError when it cannot be.

        `reducing` may use the space that is held back for what makes exposure smaller (cancels and undo orders).
        """
        ...


@runtime_checkable
class LentJournal(Protocol):
    """A journal that outlives its process, and that one engine at a time writes."""

    def lend(self) -> None:
        """Take it for one engine; ConfigError while another has it."""
        ...

    def give_back(self) -> None:
        """Let the next engine have it."""
        ...
