"""One streamed book: totals by price, how far they can be trusted, and what we took ourselves.

A book is trusted from a snapshot on, until something is heard that cannot be so. Where messages carry no number a
level keeps the venue's stamp of its last word, so that repeated and reordered words change nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from arbkit.books.stream_events import Delta, MarketStatus, Snapshot
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Health, Level, Market, Side
from arbkit.core.ports import Fees
from arbkit.core.units import MICRO, Price, Size

NEVER: Final = -(2**62)  # a stamp before every other
LARGEST: Final = 10**15  # millionths: a thousand million shares in one level are a broken message

OFF_GRID = "a price that nobody can quote"
NO_SIZE = "a size that cannot be"
TWICE = "one price twice"
BEST_DIFFERS = "the venue names another best price"
CROSSED = "crossed"


@lru_cache(maxsize=64)
def quotable(grid: Grid) -> frozenset[int]:
    """Return every price of a grid at which an order can stand."""
    prices = {at for start, end, step in grid.ranges for at in range(start, end + 1, step)}
    return frozenset(prices - {0, MICRO})


class Terms:
    """What the books of one market share; `grids` are those of YES and NO, `doubt` is why all is to be read anew.

    What the stream has told is better known than what a table says.
    """

    __slots__ = ("doubt", "fees", "grids", "homes", "market", "min_size", "status", "told_fees", "told_grid")

    def __init__(self, market: Market, grid: Grid, fees: Fees) -> None:
        self.market = market
        self.grids = {"yes": grid, "no": grid.mirrored()}
        self.fees = fees
        self.min_size: int = market.min_size or 0
        self.status = MarketStatus.OPEN
        self.doubt = ""
        self.told_fees = self.told_grid = False
        self.homes: list[StreamBook] = []

    def regrid(self, yes: Grid) -> None:
        """Take another grid; the books are UNKNOWN until their next snapshots, for what stands may have moved."""
        if yes == self.grids["yes"]:
            return
        self.grids = {"yes": yes, "no": yes.mirrored()}
        for home in self.homes:
            home.quotable = quotable(self.grids[home.book.outcome])
            home.drop(Health.UNKNOWN)


class Half:
    """One side of a book."""

    __slots__ = ("is_bids", "prices", "shown", "sizes", "stamps", "taken")

    def __init__(self, is_bids: bool) -> None:
        self.is_bids = is_bids
        self.prices: list[int] = []  # ascending
        self.sizes: dict[int, int] = {}
        self.stamps: dict[int, int] = {}  # the venue's, of the last word on a price; levels that went keep theirs
        self.taken: dict[int, tuple[int, int | None]] = {}  # shares of ours, and when the venue matched them
        self.shown: tuple[Level, ...] | None = ()

    def best(self, nothing: int) -> int:
        return (self.prices[-1] if self.is_bids else self.prices[0]) if self.prices else nothing

    def put(self, price: int, total: int) -> None:
        """Set the total that stands at a price."""
        sizes = self.sizes
        if total:
            if price not in sizes:
                insort(self.prices, price)
            sizes[price] = total
        elif price in sizes:
            del sizes[price]
            del self.prices[bisect_left(self.prices, price)]
        self.shown = None

    def fill(self, levels: dict[int, int], venue_at: int | None) -> None:
        """Start anew from a snapshot: takes that are younger than it stay."""
        self.prices, self.sizes, self.stamps, self.shown = sorted(levels), levels, {}, None
        for price in list(self.taken):
            self.settle(price, venue_at)

    def clear(self) -> None:
        self.prices, self.sizes, self.stamps, self.shown = [], {}, {}, ()

    def settle(self, price: int, venue_at: int | None) -> None:
        """Forget what we took at a price, unless the venue's word on it is older than that."""
        matched = self.taken[price][1]
        if matched is None or venue_at is None or venue_at >= matched:
            del self.taken[price]

    def take(self, price: int, size: int, venue_at: int | None) -> None:
        """Take shares out of what is shown until the venue's next word on the price."""
        self.taken[price] = (self.taken.get(price, (0, None))[0] + size, venue_at)
        self.shown = None

    def levels(self) -> tuple[Level, ...]:
        """Return what stands, best first, less what we took."""
        if self.shown is None:
            ordered = reversed(self.prices) if self.is_bids else self.prices
            if self.taken:
                left = [(price, self.sizes[price] - self.taken.get(price, (0,))[0]) for price in ordered]
                self.shown = tuple(Level(Price(price), Size(size)) for price, size in left if size > 0)
            else:
                self.shown = tuple(Level(Price(price), Size(self.sizes[price])) for price in ordered)
        return self.shown


class StreamBook:
    """A book that has a stream of its own. `trust` is OK, UNKNOWN, GAPPED or CROSSED; silence is for its connection."""

    __slots__ = (
        "ask", "ask_set", "asks", "base", "bids", "book", "claimed", "lag", "newest", "quotable", "seen", "stale_at",
        "subscription", "terms", "trust", "vouched",
    )  # fmt: skip

    def __init__(self, book: Book, terms: Terms) -> None:
        self.book, self.terms = book, terms
        terms.homes.append(self)
        self.quotable = quotable(terms.grids[book.outcome])
        self.bids, self.asks = Half(True), Half(False)
        self.trust = Health.UNKNOWN
        self.subscription: object = None  # where its messages have to come from
        self.seen = 0  # ns, when its last message was received
        self.vouched = NEVER  # ns, when it was last known to be right: by a message, or by a comparison
        self.stale_at: int | None = None  # ns up to which nothing received counts
        self.newest = NEVER  # ns, the venue's newest stamp, of words that were not used too
        self.base = NEVER  # ns, the venue's stamp of the snapshot it rests on
        self.lag: int | None = None  # ns between the venue's stamp and ours in the last message; None: no stamp
        self.ask: tuple[int, int] = (MICRO, 0)  # best ask and what stands there
        self.ask_set: object = None  # the message that set it
        self.claimed: tuple[int | None, int | None] = (None, None)  # best prices by the venue's word

    def drop(self, trust: Health) -> None:
        """Trust nothing of it until the next snapshot; what we took is remembered."""
        self.trust = trust
        self.bids.clear()
        self.asks.clear()
        self.claimed = (None, None)

    def replace(self, event: Snapshot) -> str:
        """Start from a snapshot, or return what is wrong with it."""
        bids, asks = levels_of(event.bids, self.quotable), levels_of(event.asks, self.quotable)
        if isinstance(bids, str):
            return bids
        if isinstance(asks, str):
            return asks
        self.trust = Health.OK
        self.base = event.venue_at if event.venue_at is not None else NEVER
        self.bids.fill(bids, event.venue_at)
        self.asks.fill(asks, event.venue_at)
        self.claimed, self.ask_set = (None, None), None
        return ""

    def noted(self, venue_at: int | None, at: int) -> None:
        """Note that a message received at `at` ns was used."""
        self.seen = self.vouched = at
        if self.stale_at is not None and at > self.stale_at:
            self.stale_at = None
        if venue_at is None:
            self.lag = None
        else:
            self.lag = at - venue_at
            if venue_at > self.newest:
                self.newest = venue_at

    def change(self, event: Delta, numbered: bool) -> str:
        """Apply what changed, or return what is wrong with it; words that the venue has overtaken change nothing."""
        at, quotable, relative = event.venue_at, self.quotable, event.relative
        for side, price, size in event.levels:
            if price not in quotable or type(price) is not int:
                return OFF_GRID
            half = self.bids if side == 1 else self.asks
            if type(size) is not int:
                return NO_SIZE
            if relative:
                size += half.sizes.get(price, 0)
            if not 0 <= size <= LARGEST or side not in (1, -1):
                return NO_SIZE
            if at is not None:
                if not numbered and at < half.stamps.get(price, self.base):
                    continue
                half.stamps[price] = at
            if price in half.taken:
                half.settle(price, at)
            half.put(price, size)
        if at is None or numbered or at >= self.newest:  # an older word says nothing of what is best now
            self.claimed = (event.best_bid, event.best_ask)
        return ""

    def settled(self, message: object) -> str:
        """Judge the book at the end of a message that touched it: return why it cannot be so, or nothing."""
        bid, ask = self.bids.best(0), self.asks.best(MICRO)
        if bid >= ask:
            return CROSSED
        best_bid, best_ask = self.claimed
        if (best_bid is not None and best_bid != bid) or (best_ask is not None and best_ask != ask):
            return BEST_DIFFERS
        self.claimed = (None, None)
        standing = (ask, self.asks.sizes.get(ask, 0))
        if standing != self.ask or self.ask_set is None:
            self.ask, self.ask_set = standing, message
        return ""

    def take(self, side: Side, price: int, size: int, venue_at: int | None) -> None:
        """Count shares as ours that stood on the other side of an order, unless the venue's word has them already."""
        half = self.asks if side is Side.BUY else self.bids
        if venue_at is not None and half.stamps.get(price, self.base) >= venue_at:
            return
        half.take(price, size, venue_at)


def levels_of(pairs: Iterable[tuple[int, int]], prices: frozenset[int]) -> dict[int, int] | str:
    """Return sizes by price, or what is wrong with them: a price off the grid or twice, a size that cannot be."""
    found: dict[int, int] = {}
    for price, size in pairs:
        if price not in prices or type(price) is not int:
            return OFF_GRID
        if type(size) is not int or not 0 < size <= LARGEST:
            return NO_SIZE
        if price in found:
            return TWICE
        found[price] = size
    return found


@dataclass(slots=True)
class StreamView:
    """One book at a moment: implements `ports.BookView`. What the stream says later does not move it.

    `_flipped`: the levels are those of the other outcome's book, one dollar minus these prices on the other side.
    """

    book: Book
    health: Health
    grid: Grid
    fees: Fees
    at: int
    _bids: tuple[Level, ...]
    _asks: tuple[Level, ...]
    _flipped: bool = False

    def bids(self) -> Sequence[Level]:
        return _mirrored(self._asks) if self._flipped else self._bids

    def asks(self) -> Sequence[Level]:
        return _mirrored(self._bids) if self._flipped else self._asks


def _mirrored(levels: Iterable[Level]) -> tuple[Level, ...]:
    """Return one side of a book as the other side of the other outcome's; best stays first."""
    return tuple(Level(Price(MICRO - level.price), level.size, level.exact) for level in levels)
