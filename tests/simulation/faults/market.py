"""The book of one market as its venue has it: what other people offer, and how it walks.

Everything stands in prices of YES: NO is the same pool read from the other side. Orders of ours are not among these
levels: `Exchange.public` adds them; what we take is gone until the book's next step brings new people.
"""

from __future__ import annotations

from random import Random

from arbkit.core.grid import Grid
from arbkit.core.model import Book, Market, Order, Side
from arbkit.core.units import MICRO

DEPTH = 4
Change = tuple[int, int, int]  # side (+1 bid, -1 ask), price, new total


class ServerBook:
    """Bids and asks {price: shares} around a middle that moves by ticks; one tick of spread on either side."""

    def __init__(self, market: Market, yes: Book, rng: Random, middle: int) -> None:
        self.market = market
        self.yes = yes
        self.grid: Grid = market.grids[0][1]
        self.tick = self.grid.ranges[0][2]
        self.min_size: int = market.min_size or 1
        self.lot: int = market.lot or 1
        self.status = "open"  # open, paused, post-only, cancel-only, closed
        self.closed = False  # for good
        self.middle = middle  # in ticks
        self.home = middle
        self.thin = False  # nobody is there
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self._rng = rng
        self.changes()

    # -- other people --------------------------------------------------------------------------------------------

    def changes(self) -> list[Change]:
        """Rebuild the ladder around the middle, keep what stands at a price, and return what changed."""
        rng, tick, depth = self._rng, self.tick, 0 if self.thin else DEPTH
        found: list[Change] = []
        for side, levels in ((1, self.bids), (-1, self.asks)):
            wanted = {}
            for away in range(1, depth + 1):
                price = (self.middle - side * away) * tick
                if 0 < price < MICRO:
                    wanted[price] = levels.get(price) or self._size(rng, away)
            found += [(side, price, 0) for price in levels if price not in wanted]
            found += [(side, price, total) for price, total in wanted.items() if levels.get(price) != total]
            levels.clear()
            levels.update(wanted)
        return found

    def _size(self, rng: Random, away: int) -> int:
        return rng.randint(4 if away == 1 else 10, 40 + 20 * away) * MICRO

    def step(self) -> list[Change]:
        """Let the book walk one step: the middle moves by a tick at most, or one level changes."""
        rng = self._rng
        if rng.random() < 0.4:
            pull = 1 if self.middle < self.home else -1 if self.middle > self.home else 0
            self.middle += pull if rng.random() < 0.6 else rng.choice((-1, 1))
            return self.changes()
        side, levels = (1, self.bids) if rng.random() < 0.5 else (-1, self.asks)
        if not levels:
            return self.changes()
        price = rng.choice(list(levels))
        levels[price] = self._size(rng, 2)
        return [(side, price, levels[price]), *self.changes()]

    def jump(self, ticks: int) -> list[Change]:
        """Move the middle for a while, away from where it is at home."""
        self.middle = max(8, min(MICRO // self.tick - 8, self.home + ticks))
        return self.changes()

    # -- taking --------------------------------------------------------------------------------------------------

    def lifts(self, order: Order) -> bool:
        """Tell whether an order takes from the asks of YES: buyers of YES and sellers of NO do."""
        return (order.book.outcome == "yes") == (order.side is Side.BUY)

    def within(self, order: Order) -> list[tuple[int, int]]:
        """Return the levels an order may take, best first, as (price of YES, shares)."""
        limit = order.limit if order.book.outcome == "yes" else MICRO - order.limit
        if self.lifts(order):
            return [(price, self.asks[price]) for price in sorted(self.asks) if price <= limit]
        return [(price, self.bids[price]) for price in sorted(self.bids, reverse=True) if price >= limit]

    def take(self, order: Order, price: int, shares: int) -> Change:
        """Take shares out of one level."""
        side, levels = (-1, self.asks) if self.lifts(order) else (1, self.bids)
        left = levels[price] - shares
        if left:
            levels[price] = left
        else:
            del levels[price]
        return (side, price, left)

    def own(self, order: Order, price: int) -> int:
        """Return a price of YES as the price of the order's own outcome."""
        return price if order.book.outcome == "yes" else MICRO - price
