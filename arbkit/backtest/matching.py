"""The matcher: what the venue makes of our orders, told from the rows of a tape in the venue's own time.

Rows whose venue time is at or before an order's arrival come first. Takers walk the book: a level holds its total
less what we took of it before (the consumption rule), on both books of a market at once. Resting orders follow the
rules of `queue`. A taker never meets our own resting order: it takes only what is better than that order's price and
the rest of it is cancelled (Kalshi calls it taker_at_cross; Polymarket documents nothing). At a venue with the other
rule (Kalshi: maker) the resting orders that the taker gets as far as are cancelled instead, and it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from arbkit.backtest.queue import CLOSED, REACHED, RISK_AVERSE, check_resting, joined, model_name
from arbkit.backtest.terms import GridChanges, grid_of
from arbkit.backtest.venue_books import MATCH, ORDER, VenueBooks, step, take, unexplained
from arbkit.books import meta as m
from arbkit.books.ladder import ASK, BID, NEVER, deepest
from arbkit.books.watch import Columns
from arbkit.core.errors import InvariantViolation
from arbkit.core.model import Order, OrderStatus, Side, TimeInForce
from arbkit.core.settled import settled
from arbkit.core.units import MICRO, Price, Size

CHUNK_ROWS = 200_000  # rows per compiled call: about 50 ms at most, so that Ctrl-C works
NOTHING = 2**62  # more than any book holds: only look, take nothing

# Reasons of a rejection; the first word is fixed, so that a caller may tell them apart.
UNKNOWN_BOOK = "unknown book: nothing of it was recorded yet"
GAPPED_BOOK = "gapped book: the recording lost it and has not found it again"
STATUSES = {m.PAUSED: "paused market", m.CANCEL_ONLY: "cancel-only market", m.CLOSED: "closed market"}
POST_ONLY_MARKET = "post-only market: no order may take"
WOULD_CROSS = "would cross: a post-only order may not take"
SELF_TRADE = "self-trade: the rest would have met our own order"
NO_MATCH = "no match"
NOT_WHOLE = "no match: less than the whole size was there"


class Match(NamedTuple):
    """One execution as the venue sees it; prices in the order's own outcome, `at` ns of the venue.

    `level` is the price of the recorded level whose shares these were; 0 where none stands for them.
    """

    price: Price
    size: Size
    at: int
    row: int
    model: str
    maker: bool
    level: Price


class Placed(NamedTuple):
    """A venue's first word: status, what matched at once, why not more, and which resting orders of ours gave way."""

    status: OrderStatus
    matches: tuple[Match, ...] = ()
    reason: str = ""
    gave_way: tuple[str, ...] = ()  # by key


OnMatch = Callable[[Match | None, int], None]  # a match, or None and the time at which the market ended the order


@dataclass(slots=True)
class _Resting:
    """One of our orders in the venue's book, in its own coordinates and in those of the recorded book."""

    key: str
    flip: bool
    home: int
    side: int
    price: int
    on_match: OnMatch


class Matcher:
    """The matching of all books of a tape, from one place in the venue's order of rows onwards.

    Results do not depend on `chunk_rows`. `printing` names the venues whose trades are on the tape, `grids` the changes
    of price grids by recorded book; `makers_yield` the venues where our resting order gives way to our taker.
    """

    def __init__(
        self,
        columns: Columns,
        books: VenueBooks,
        position: int = 0,
        *,
        rule: int = RISK_AVERSE,
        hopeful: bool = False,
        printing: Container[str] = (),
        grids: Mapping[int, GridChanges] | None = None,
        makers_yield: Container[str] = (),
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self.books, self.position = books, position
        self._columns, self._end = columns, len(columns.at)
        self._rule, self._hopeful, self._printing = rule, hopeful, printing
        self._grids, self._makers_yield = grids or {}, makers_yield
        self._chunk = chunk_rows
        self._resting: list[_Resting] = []  # in order of arrival, as in `_orders`
        self._orders, self._matches = np.zeros(8, ORDER), np.zeros(8, MATCH)
        self._concerns = np.zeros(len(books.twin), np.int64)
        self._room = np.zeros((4, deepest(books.ladders)), np.int64)
        moving = (self._orders, 0, self._concerns, rule, hopeful, self._matches)
        book = books.ladders.book
        self._homes, self._flips, self._twins = book["home"].tolist(), book["flip"].tolist(), books.twin.tolist()
        self._known, self._statuses = book["known"], book["status"]  # as they are at any time: views of the books
        self._step = settled(step, columns, 0, 0, 0, books, *moving)
        self._taking = settled(take, books, 0, 0, 0, 0, 0, *self._room)

    # -- time ------------------------------------------------------------------------------------------------

    def advance(self, until: int) -> int | None:
        """Apply rows up to venue time `until` (ns); return the time of the first that concerned an order, or None.

        Stops behind that row, with its matches told; None means that every row up to `until` is applied.
        """
        while self.position < self._end:
            stop = min(self.position + self._chunk, self._end)
            self.position, found, later = self._step(
                self._columns,
                self.position,
                stop,
                until,
                self.books,
                self._orders,
                len(self._resting),
                self._concerns,
                self._rule,
                self._hopeful,
                self._matches,
            )
            if found:
                return self._tell(found)
            if later:
                break
        return None

    def settle(self, until: int) -> None:
        """Apply all rows up to venue time `until` (ns)."""
        while self.advance(until) is not None:
            pass

    @property
    def waits(self) -> bool:
        """Tell whether any of our orders rests, so that rows can matter before the next order arrives."""
        return bool(self._resting)

    def _tell(self, found: int) -> int:
        """Hand the matches of one row to the owners of the orders; forget the orders that are done."""
        at = int(self._columns.at[self._matches[0]["row"]])
        told: list[tuple[_Resting, Match | None]] = []
        for place, price, size, row, model in self._matches[:found].tolist():
            order = self._resting[place]
            match = None
            if model != CLOSED:
                own = MICRO - price if order.flip else price
                level = int(self._columns.price[row]) if model == REACHED else 0
                level = MICRO - level if level and order.flip else level
                name = model_name(model, self._rule)
                match = Match(Price(own), Size(size), at, row, name, True, Price(level))
            told.append((order, match))
            if model == CLOSED:
                self._orders[place]["left"] = 0
        for place in range(len(self._resting) - 1, -1, -1):
            if self._orders[place]["left"] == 0:
                self._remove(place)
        for order, match in told:
            order.on_match(match, at)
        return at

    # -- orders ----------------------------------------------------------------------------------------------

    def place(self, order: Order, at: int, on_match: OnMatch) -> Placed:
        """Match an order that arrives at `at` ns, and rest what a GTC or GTD leaves; later matches go to `on_match`.

        When a GTD is over is its venue's to say, by `cancel`.

        Raises ConfigError for a resting order on a venue whose trades were not recorded, unless the rule needs none.
        """
        self.settle(at)
        if order.tif.rests:
            check_resting(self._rule, order.venue, self._printing)
        if reason := self._refusal(order, at):
            return Placed(OrderStatus.REJECTED, reason=reason)
        home, flip, side, limit = self._turned(order)
        bound, meets_own = self._short_of_own(home, side, limit)
        yields = meets_own and not order.post_only and order.venue in self._makers_yield
        if order.post_only:
            if meets_own or self._look(home, side, limit, 1)[0]:
                return Placed(OrderStatus.REJECTED, reason=WOULD_CROSS)
            taken: tuple[Match, ...] = ()
        elif self._status(home) == m.POST_ONLY and (meets_own or self._look(home, side, limit, 1)[0]):
            return Placed(OrderStatus.REJECTED, reason=POST_ONLY_MARKET)
        else:
            need = order.size if order.tif is TimeInForce.FOK else 0
            taken = self._take(home, flip, side, limit if yields else bound, order.size, need, at)
        left = order.size - sum([match.size for match in taken])
        gone: tuple[str, ...] = ()
        if yields and (taken or order.tif is not TimeInForce.FOK):
            last = MICRO - taken[-1].price if taken and flip else taken[-1].price if taken else limit
            gone = self._give_way(home, side, limit if left else last)
        if left == 0:
            return Placed(OrderStatus.FILLED, taken, gave_way=gone)
        if meets_own and not yields:
            return Placed(OrderStatus.CANCELLED, taken, SELF_TRADE)
        if not order.tif.rests:
            reason = NOT_WHOLE if order.tif is TimeInForce.FOK else NO_MATCH
            return Placed(OrderStatus.CANCELLED, taken, "" if taken else reason, gone)
        self._rest(_Resting(order.client_id, flip, home, side, limit, on_match), left, at)
        return Placed(OrderStatus.PARTIAL if taken else OrderStatus.OPEN, taken, gave_way=gone)

    def takes(self, order: Order, at: int) -> bool:
        """Tell whether an order that arrives at `at` ns would take, or meet an order of ours; takes nothing."""
        self.settle(at)
        if self._refusal(order, at):
            return False
        home, _, side, limit = self._turned(order)
        return self._short_of_own(home, side, limit)[1] or self._look(home, side, limit, 1)[0] > 0

    def cancel(self, key: str, at: int) -> bool:
        """Take a resting order out at `at` ns, after every row up to then; False when it rests no more."""
        self.settle(at)
        for place, order in enumerate(self._resting):
            if order.key == key:
                self._remove(place)
                return True
        return False

    # -- what a venue checks ---------------------------------------------------------------------------------

    def _status(self, home: int) -> int:
        """Return the status of a market; with two recorded books the stricter one."""
        status: int = self._statuses.item(home)
        twin = self._twins[home]
        return status if twin < 0 else max(status, self._statuses.item(twin))

    def _refusal(self, order: Order, at: int) -> str:
        """Return why a venue would refuse the order whatever stands in the book; empty when it would not."""
        home = self._homes[order.book.index]
        if not self._known.item(home):
            return GAPPED_BOOK if self.books.ladders.book[home]["gapped"] else UNKNOWN_BOOK
        if reason := STATUSES.get(self._status(home), ""):
            return reason
        market = order.book.market
        if not 0 < order.limit < MICRO:
            return f"price {order.limit}: not between 0 and 1 dollar"
        grid = grid_of(order.book, at, self._grids)
        if grid is not None and not grid.holds(order.limit):
            return f"price {order.limit}: not on the price grid"
        if order.size <= 0:
            return f"size {order.size}: not more than zero"
        if market.min_size is not None and order.size < market.min_size:
            return f"size {order.size}: below the minimum of {market.min_size}"
        if market.lot is not None and order.size % market.lot:
            return f"size {order.size}: not a multiple of {market.lot}"
        if order.post_only and not order.tif.rests:
            return "post-only: only an order that rests can be"
        return ""

    def _turned(self, order: Order) -> tuple[int, bool, int, int]:
        """Return (recorded book, whether the order is turned round, side there, limit there)."""
        home, flip = self._homes[order.book.index], self._flips[order.book.index] == 1
        buys = (order.side is Side.BUY) != flip
        return home, flip, BID if buys else ASK, MICRO - order.limit if flip else int(order.limit)

    def _opposed(self, home: int, side: int) -> list[tuple[int, int]]:
        """Return (place, price) of our resting orders that an order of this side could meet, priced as this book is."""
        twin = self._twins[home]
        found = []
        for place, own in enumerate(self._resting):
            if own.home == home and own.side != side:
                found.append((place, own.price))
            elif own.home == twin and own.side == side:
                found.append((place, MICRO - own.price))
        return found

    def _short_of_own(self, home: int, side: int, limit: int) -> tuple[int, bool]:
        """Return the limit cut short of our own resting orders of the pool, and whether the order would meet one."""
        meets = False
        for _, price in self._opposed(home, side):
            if price <= limit if side == BID else price >= limit:
                meets = True
                limit = min(limit, price - 1) if side == BID else max(limit, price + 1)
        return limit, meets

    def _give_way(self, home: int, side: int, reached: int) -> tuple[str, ...]:
        """Take out our resting orders at the price that an order of ours got as far as, or better; return their keys."""
        met = [
            place
            for place, price in self._opposed(home, side)
            if (price <= reached if side == BID else price >= reached)
        ]
        keys = tuple(self._resting[place].key for place in met)
        for place in reversed(met):
            self._remove(place)
        return keys

    # -- taking and resting ----------------------------------------------------------------------------------

    def _look(self, home: int, side: int, limit: int, want: int) -> tuple[int, int]:
        """Return (levels, shares) that an order of `side` would meet, taking nothing."""
        prices, sizes, rows, models = self._room
        levels, total = self._taking(self.books, home, 1 - side, limit, want, NOTHING, prices, sizes, rows, models)
        return int(levels), int(total)

    def _take(self, home: int, flip: bool, side: int, limit: int, want: int, need: int, at: int) -> tuple[Match, ...]:
        prices, sizes, rows, models = self._room
        n, total = self._taking(self.books, home, 1 - side, limit, want, need, prices, sizes, rows, models)
        if total < need:
            return ()
        matches = []
        for price, size, row, model in self._room[:, :n].T.tolist():
            own = Price(MICRO - price if flip else price)
            matches.append(Match(own, Size(size), at, row, model_name(model, self._rule), False, own))
        return tuple(matches)

    def _rest(self, order: _Resting, left: int, at: int) -> None:
        place = len(self._resting)
        if place == len(self._orders):
            self._orders = np.concatenate([self._orders, np.zeros(place, ORDER)])
            self._matches = np.zeros(2 * place, MATCH)
        total, low, fell, fell_at = unexplained(self.books, order.home, order.side, order.price, at)
        ahead = joined(self._rule, total, low)
        self._orders[place] = (order.home, order.side, order.price, left, ahead, fell, fell_at, 0, NEVER, 0, -1)
        self._resting.append(order)
        self._concern(order.home, 1)

    def _remove(self, place: int) -> None:
        order = self._resting.pop(place)
        self._orders[place:-1] = self._orders[place + 1 :]
        self._concern(order.home, -1)

    def _concern(self, home: int, change: int) -> None:
        twin = self._twins[home]
        for book in (home, twin) if twin >= 0 else (home,):
            self._concerns[book] += change
            if self._concerns[book] < 0:
                raise InvariantViolation(f"book {book}: more orders left than came")
