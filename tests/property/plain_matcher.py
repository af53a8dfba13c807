"""The matching rules once more, in dictionaries and lists: written from the rules, slow, and easy to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from arbkit.books import meta as m
from arbkit.core.model import Order, TimeInForce
from arbkit.core.units import MICRO
from arbkit.history.tape import Tape

SECOND = 1_000_000_000
ENDLESS = 2**60


@dataclass
class Resting:
    """An order in the queue of one recorded book; `bid` and `price` are that book's."""

    key: str
    book: int
    bid: bool
    price: int
    left: int
    turned: bool  # it was given for the mirror view
    ahead: int = 0
    credit: int = 0
    credit_at: int = -ENDLESS
    debit: int = 0  # traded at our price, the level has not fallen by it yet
    debit_at: int = -ENDLESS
    reached: int = 0

    def seen_from(self, book: int) -> tuple[bool, int]:
        """Bid or not, and the price, as the other book of the market would show it."""
        return (self.bid, self.price) if book == self.book else (not self.bid, MICRO - self.price)


@dataclass
class Level:
    total: int = 0
    lower: bool = False
    ours: int = 0
    row: int = -1
    fell: int = 0  # in a stretch of a second that began with the fall at `fell_since`
    fell_at: int = -ENDLESS  # the last fall
    fell_since: int = -ENDLESS
    fell_before: int = 0  # in the stretch before that

    @property
    def there(self) -> int:
        return max(0, self.total - self.ours)

    def falls(self, at: int, size: int) -> None:
        if at - self.fell_since > SECOND:
            self.fell_before = self.fell if at - self.fell_at <= SECOND else 0
            self.fell, self.fell_since = 0, at
        self.fell, self.fell_at = min(ENDLESS, self.fell + size), at

    def fallen(self, at: int) -> int:
        """What it fell by of late: in the last second, and in four at most."""
        return min(ENDLESS, self.fell + self.fell_before) if at - self.fell_at <= SECOND else 0

    def explained(self, volume: int) -> None:
        self.fell, volume = max(0, self.fell - volume), max(0, volume - self.fell)
        self.fell_before = max(0, self.fell_before - volume)


@dataclass
class Side:
    levels: dict[int, Level] = field(default_factory=dict)

    def at(self, price: int) -> Level:
        return self.levels.setdefault(price, Level())


@dataclass
class PlainBook:
    bids: Side = field(default_factory=Side)
    asks: Side = field(default_factory=Side)
    known: bool = False
    gapped: bool = False
    status: int = 0
    grid: int = -1  # number of the price grid that a row named last

    def side(self, bid: bool) -> Side:
        return self.bids if bid else self.asks


class PlainMatcher:
    """Same questions, same answers: (key, own price, size, ns, row, model, maker, level taken) per match, in order."""

    def __init__(self, tape: Tape, queue: str, consumption: str, makers_yield: bool = False) -> None:
        self.queue, self.hopeful = queue, consumption == "hopeful"
        self.books = {b.index: PlainBook() for b in tape.markets.books if b.recorded}
        self.table = tape.markets
        self.prices = {b: set() for b in self.books}
        offsets, prices = tape.ladders.offsets.tolist(), tape.ladders.prices.tolist()
        for b in self.books:
            self.prices[b] = set(prices[offsets[b] : offsets[b + 1]])
        columns = zip(tape.venue_time.tolist(), *(c.tolist() for c in tape.rows[2:]), strict=True)
        self.rows = sorted(((at, i, *rest) for i, (at, *rest) in enumerate(columns)), key=lambda r: (r[0], r[1]))
        self.next = 0
        self.resting: list[Resting] = []
        self.told: list[tuple[object, ...]] = []
        self.makers_yield = makers_yield
        self.gave_way: list[str] = []  # to the order placed last

    # -- rows ------------------------------------------------------------------------------------------------

    def until(self, t: int) -> None:
        while self.next < len(self.rows) and self.rows[self.next][0] <= t:
            self._row(*self.rows[self.next])
            self.next += 1

    def _row(self, at: int, row: int, number: int, code: int, price: int, size: int) -> None:
        book, kind, side = self.books[number], code & m.KIND_MASK, (code & m.SIDE_MASK) >> m.SIDE_SHIFT
        if kind == m.KIND_LEVEL:
            self._level(at, row, number, side == m.SIDE_BID, price, size, bool(code & m.LOWER))
        elif kind == m.KIND_PRINT:
            self._trade(at, row, number, price, size, side)
        elif kind in (m.KIND_CLEAR, m.KIND_GAP):
            for levels in (book.bids.levels, book.asks.levels):
                for level in levels.values():
                    level.total, level.lower, level.ours = 0, False, 0
            book.known, book.gapped = kind == m.KIND_CLEAR, kind == m.KIND_GAP
        elif kind == m.KIND_STATUS:
            book.status = size
        elif kind == m.KIND_GRID:
            book.grid = size
        elif kind == m.KIND_RESOLUTION:
            book.status = m.CLOSED
        if kind == m.KIND_RESOLUTION or (kind == m.KIND_STATUS and size == m.CLOSED):
            for order in [o for o in self.resting if self._one_pool(o.book, number)]:
                self.resting.remove(order)
                self.told.append((order.key, "ended", at))

    def _one_pool(self, a: int, b: int) -> bool:
        return a // 2 == b // 2

    def _open(self, number: int) -> bool:
        return all(book.status == 0 for n, book in self.books.items() if self._one_pool(n, number))

    def _level(self, at: int, row: int, number: int, bid: bool, price: int, total: int, lower: bool) -> None:
        book = self.books[number]
        level = book.side(bid).at(price)
        before, was_lower = level.total, level.lower
        if level.ours:
            if self.hopeful and total < before:
                level.ours = max(0, level.ours - (before - total))
            level.ours = min(level.ours, total)
        level.total, level.lower, level.row = total, lower and total > 0, row
        if not book.known:
            return
        if was_lower or total < before:
            level.falls(at, ENDLESS if was_lower else before - total)
        for order in self.resting:
            if (order.book, order.bid, order.price) != (number, bid, price):
                continue
            traded = order.debit if at - order.debit_at <= SECOND else 0
            order.debit = max(0, traded - max(0, before - total))
            ahead = self._moved_up(order.ahead, before, total, level.lower, traded)
            if ahead < order.ahead:
                if at - order.credit_at > SECOND:
                    order.credit = 0
                order.credit = min(ENDLESS, order.credit + order.ahead - ahead)
                order.credit_at, order.ahead = at, ahead
        if self._open(number):
            self._comes_to_us(at, row, number, bid, price, level)

    def _moved_up(self, ahead: int, before: int, total: int, lower: bool, traded: int) -> int:
        """What is ahead once the level went from `before` to `total`; `traded` of that is known from prints."""
        if self.queue == "front" or lower:
            return ahead
        if ahead == ENDLESS:
            return total
        if self.queue == "trade-only":
            return ahead
        cancelled = before - total - traded
        if self.queue in ("through", "risk-averse") or cancelled <= 0:
            return min(ahead, total)
        behind = max(0, before - traded - ahead)
        return min(total, ahead - min(ahead, max(self._share(ahead, behind, cancelled), cancelled - behind)))

    def _share(self, ahead: int, behind: int, cancelled: int) -> int:
        """What of a cancelled size stood before us, by the proportion of what stands there or of its cube."""
        if self.queue == "power":
            while max(ahead, behind) >= 2**20:
                ahead, behind = ahead // 2, behind // 2
            ahead, behind = ahead**3, behind**3
        whole = ahead + behind
        while whole > 1 and cancelled * whole > 2**62:  # as 64 bits have it
            ahead, whole = ahead // 2, (whole + 1) // 2
        return cancelled * ahead // whole if whole else 0

    def _comes_to_us(self, at: int, row: int, number: int, bid: bool, price: int, level: Level) -> None:
        """An ask at or below our bid (a bid at or above our ask) is ours, as far as it is there."""
        met = [
            o
            for o in self.resting
            if o.book == number and o.bid != bid and (o.price <= price if bid else o.price >= price)
        ]
        for order in sorted(met, key=lambda o: o.price if bid else -o.price):  # stable: then the eldest
            size = min(level.there, order.left)
            if size:
                order.reached += size
                self._ours(number, bid, price, size)
                self._fill(order, size, at, row, "moved through", MICRO - price if order.turned else price)

    def _ours(self, number: int, bid: bool, price: int, size: int) -> None:
        self.books[number].side(bid).at(price).ours += size
        twin = self.books.get(number ^ 1)
        if twin is not None and MICRO - price in self.prices[number ^ 1]:
            other = twin.side(not bid).at(MICRO - price)
            other.ours = min(other.ours + size, other.total)

    def _trade(self, at: int, row: int, number: int, price: int, volume: int, aggressor: int) -> None:
        for order in self.resting:
            if self._one_pool(order.book, number) and self._hit(order, number, aggressor) == "yes":
                _, ours = order.seen_from(number)
                if ours == price:
                    level = self.books[order.book].side(order.bid).at(order.price)
                    told = level.fallen(at)
                    if at - order.debit_at > SECOND:
                        order.debit = 0
                    order.debit += max(0, volume - told)
                    order.debit_at = at
        if aggressor != m.UNKNOWN_AGGRESSOR:
            hit_bids = aggressor == m.SELLER
            for n, side, p in ((number, hit_bids, price), (number ^ 1, not hit_bids, MICRO - price)):
                if n in self.books and p in self.prices[n]:
                    level = self.books[n].side(side).at(p)
                    level.explained(volume)
        met: list[tuple[int, Resting]] = []
        for order in self.resting:
            if self._one_pool(order.book, number):
                bid, ours = order.seen_from(number)
                beyond = ours - price if bid else price - ours
                if beyond >= 0:
                    met.append((beyond, order))
        for beyond, order in sorted(met, key=lambda pair: -pair[0]):
            if volume == 0:
                return
            volume -= self._served(order, at, row, volume, beyond, self._hit(order, number, aggressor))

    def _hit(self, order: Resting, number: int, aggressor: int) -> str:
        if aggressor == m.UNKNOWN_AGGRESSOR:
            return "perhaps"
        bid, _ = order.seen_from(number)
        return "yes" if bid == (aggressor == m.SELLER) else "no"

    def _served(self, order: Resting, at: int, row: int, volume: int, beyond: int, hit: str) -> int:
        if hit != "yes":
            known = min(volume, order.reached)
            order.reached -= known
            volume -= known
            if hit == "no":
                return 0
        if beyond:
            size = min(order.left, volume)
            model = "through"
        else:
            size = min(order.left, self._turn(order, at, volume, hit))
            model = f"queue:{self.queue}"
        if size:
            self._fill(order, size, at, row, model)
        return size

    def _turn(self, order: Resting, at: int, volume: int, hit: str) -> int:
        """What of a trade at our price is left for us."""
        if self.queue == "through" or (self.queue != "front" and hit != "yes"):
            return 0
        if at - order.credit_at > SECOND:
            order.credit = 0
        explained = min(volume, order.credit)
        order.credit -= explained
        volume -= explained
        if order.ahead == ENDLESS:
            return 0
        for_us = max(0, volume - order.ahead)
        order.ahead = max(0, order.ahead - volume)
        return for_us

    def _fill(self, order: Resting, size: int, at: int, row: int, model: str, level: int = 0) -> None:
        order.left -= size
        price = MICRO - order.price if order.turned else order.price
        self.told.append((order.key, price, size, at, row, model, True, level))
        if order.left == 0:
            self.resting.remove(order)

    # -- orders ----------------------------------------------------------------------------------------------

    def place(self, order: Order, at: int) -> tuple[str, str, list[tuple[object, ...]]]:
        """Status, first word of the reason, and the matches."""
        self.until(at)
        self.gave_way = []
        number, turned, buys, limit = self._turned(order)
        book = self.books[number]
        if why := self._refusal(number, limit, at):
            return "rejected", why, []
        status = self._status(number)
        walk = self._walk(book, buys, limit)
        own = self._own_in_the_way(number, buys, limit)
        crosses = bool(walk) or own is not None
        if order.post_only and crosses:
            return "rejected", "would", []
        if not order.post_only and crosses and status == m.POST_ONLY:
            return "rejected", "post-only", []
        yields = own is not None and self.makers_yield and not order.post_only
        if own is not None and not yields:
            walk = [(p, level) for p, level in walk if (p < own if buys else p > own)]
        if order.tif is TimeInForce.FOK and sum(level.there for _, level in walk) < order.size:
            walk = []
        matches, left = [], int(order.size)
        for price, level in walk:
            size = min(level.there, left)
            if size:
                model = "book walk, lower bound" if level.lower else "book walk"
                own_price = MICRO - price if turned else price
                matches.append((own_price, size, at, level.row, model, False, own_price))
                self._ours(number, not buys, price, size)
                left -= size
        if yields and (matches or order.tif is not TimeInForce.FOK):
            last = [price for price, _ in walk][len(matches) - 1] if left == 0 else limit
            self._give_way(number, buys, last)
        if left == 0:
            return "filled", "", matches
        if own is not None and not yields:
            return "cancelled", "self-trade", matches
        if order.tif in (TimeInForce.FAK, TimeInForce.FOK):
            return "cancelled", "" if matches else "no", matches
        self._rest(Resting(order.client_id, number, buys, limit, left, turned), at)
        return "partial" if matches else "open", "", matches

    def takes(self, order: Order, at: int) -> bool:
        """Would it take, or meet an order of ours?"""
        self.until(at)
        number, _, buys, limit = self._turned(order)
        if self._refusal(number, limit, at):
            return False
        met = self._own_in_the_way(number, buys, limit) is not None
        return met or bool(self._walk(self.books[number], buys, limit))

    def _turned(self, order: Order) -> tuple[int, bool, bool, int]:
        number = order.book.index if order.book.recorded else order.book.mirror
        turned = not order.book.recorded
        return number, turned, (order.side > 0) != turned, MICRO - order.limit if turned else int(order.limit)

    def _status(self, number: int) -> int:
        return max(b.status for n, b in self.books.items() if self._one_pool(n, number))

    def _refusal(self, number: int, limit: int, at: int) -> str:
        """What is wrong whatever stands in the book, at the book's own price."""
        book, market = self.books[number], self.table.books[number].market
        if not book.known:
            return "gapped" if book.gapped else "unknown"
        if why := {m.PAUSED: "paused", m.CANCEL_ONLY: "cancel-only", m.CLOSED: "closed"}.get(self._status(number), ""):
            return why
        dated = [grid for since, grid in market.grids if since <= at] or [grid for _, grid in market.grids[:1]]
        if not dated:
            return ""
        ranges = (market.grids[book.grid][1] if book.grid >= 0 else dated[-1]).ranges
        yes = limit if self.table.books[number].outcome == "yes" else MICRO - limit
        return "" if any(low <= yes <= high and (yes - low) % step == 0 for low, high, step in ranges) else "price"

    def _walk(self, book: PlainBook, buys: bool, limit: int) -> list[tuple[int, Level]]:
        found = [
            (p, level)
            for p, level in book.side(not buys).levels.items()
            if level.there and (p <= limit if buys else p >= limit)
        ]
        return sorted(found, key=lambda pair: pair[0] if buys else -pair[0])

    def _give_way(self, number: int, buys: bool, reached: int) -> None:
        for order in list(self.resting):
            if self._one_pool(order.book, number):
                bid, price = order.seen_from(number)
                if bid != buys and (price <= reached if buys else price >= reached):
                    self.resting.remove(order)
                    self.gave_way.append(order.key)

    def _own_in_the_way(self, number: int, buys: bool, limit: int) -> int | None:
        prices = []
        for order in self.resting:
            if self._one_pool(order.book, number):
                bid, price = order.seen_from(number)
                if bid != buys and (price <= limit if buys else price >= limit):
                    prices.append(price)
        if not prices:
            return None
        return min(prices) if buys else max(prices)

    def _rest(self, order: Resting, at: int) -> None:
        if order.price in self.prices[order.book]:
            level = self.books[order.book].side(order.bid).at(order.price)
            if self.queue != "front":
                order.ahead = ENDLESS if level.lower else level.total
            order.credit, order.credit_at = level.fallen(at), level.fell_at
        self.resting.append(order)

    def cancel(self, key: str, at: int) -> bool:
        self.until(at)
        for order in self.resting:
            if order.key == key:
                self.resting.remove(order)
                return True
        return False
