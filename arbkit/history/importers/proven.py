"""Books rebuilt from new totals and held to the best prices that the recording prints with them.

Polymarket's changes state the new total at a price and, beside it, the best bid and ask after it. Three things
follow from that, and they are all that is known of a book without a whole snapshot:

- a level that a row states is exact;
- a printed best proves that nothing stands inside it: a level held there was removed and the removal lost;
- a printed best that we do not hold exists, but nobody said how much stands there: a lower bound, the smallest lot.

Levels behind the best that no row has stated are taken for not there: whoever buys what this book shows could have
bought it. Printed bests are read at the end of a message, for the rows of one message already print the best that
all of them lead to. A print between a message and its neighbours changes no book: its change is stated apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from arbkit.books import meta as m
from arbkit.core.units import MICRO
from arbkit.history.importers.base import MessageWriter
from arbkit.history.quality import FileLog

SMALLEST_LOT = 10_000  # millionths of a share: Polymarket's sizes have two decimals (venue reference, amount rounding)
REMEMBERED = 4_096  # rows among which an exact repeat is looked for

REMOVED = "levels proven empty by a printed best"
NEVER = "of these, removals the recording never states"
BOUND = "printed bests of unknown size"
CROSSED = "printed bests that cross"
CROSSED_WHOLE = "whole books that are locked or crossed"
CORRECTED = "levels that a whole book put right"


class Said(NamedTuple):
    """One row of such a recording; amounts in millionths, times in ns.

    `kind` is KIND_LEVEL, KIND_PRINT (`side` then tells who took) or KIND_CLEAR for a level of a snapshot that gives
    bests only. `bid` and `ask` are the printed bests, None where the row prints none.
    """

    stamp: int
    book: int
    kind: int
    side: int
    price: int
    size: int
    bid: int | None
    ask: int | None


class _Book:
    """What is held of one book: sizes by price, 0 where only the price is known."""

    __slots__ = ("asks", "bids", "known", "log", "lot", "unconfirmed")

    def __init__(self, log: FileLog, lot: int) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.known = False
        self.log, self.lot = log, lot
        self.unconfirmed: dict[tuple[int, int], None] = {}  # (side, price) proven empty, removal not yet stated

    def side(self, side: int) -> dict[int, int]:
        return self.asks if side == m.SIDE_ASK else self.bids


class ProvenBooks:
    """Turns messages into rows of a tape, correcting its books by the bests that the messages print."""

    def __init__(self, out: MessageWriter) -> None:
        self._out = out
        self._books: dict[int, _Book] = {}
        self._seen: set[tuple[int, ...]] = set()  # the last rows without their bests
        self._order: deque[tuple[int, ...]] = deque()  # the same, oldest first

    def add(self, book: int, log: FileLog, lot: int | None = None) -> None:
        """Follow a book: `log` counts what is found, `lot` is the lower bound of an unstated size (millionths)."""
        if book not in self._books:
            self._books[book] = _Book(log, lot or SMALLEST_LOT)

    def __contains__(self, book: object) -> bool:
        return book in self._books

    def message(self, recv: int, rows: Iterable[Said]) -> None:
        """Write the rows of one message, received at `recv` ns, and what its printed bests prove."""
        bests: dict[int, Said] = {}
        renewed: dict[int, None] = {}
        for row in rows:
            if row.bid is not None and row.ask is not None:
                bests[row.book] = row
            if self._repeats(row):
                self._books[row.book].log.duplicates += 1
                continue
            if row.kind == m.KIND_PRINT:
                self._print(recv, row)
                continue
            if row.kind == m.KIND_CLEAR and row.book not in renewed:
                renewed[row.book] = None
                self._clear(recv, row)
            elif not self._books[row.book].known:
                self._clear(recv, row)
            self._level(recv, row)
        for row in bests.values():
            self._prove(recv, row)
        self._out.end()

    def renew(self, recv: int, stamp: int, number: int, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        """Write a whole book, received at `recv` ns, as its difference to what is known: a message of its own.

        `bids` and `asks` map prices to sizes (millionths, above zero). One that is locked or crossed cannot be a book
        and makes it unknown; one that changes nothing is a mark that the stream is alive.
        """
        book = self._books[number]
        if bids and asks and max(bids) >= min(asks):
            _count(book.log, CROSSED_WHOLE)
            self._gap(recv, stamp, number)
            self._out.end()
            return
        before, known = len(self._out), book.known
        if not known:
            book.known = True
            self._out.row(recv, stamp, number, m.KIND_CLEAR)
        for side, new in ((m.SIDE_BID, bids), (m.SIDE_ASK, asks)):
            levels = book.side(side)
            for price in sorted(levels.keys() - new.keys()):
                self._out.row(recv, stamp, number, m.KIND_LEVEL, side, price, 0)
        for side, new in ((m.SIDE_BID, bids), (m.SIDE_ASK, asks)):
            levels = book.side(side)
            for price, size in sorted(new.items()):
                if levels.get(price) != size:
                    self._out.row(recv, stamp, number, m.KIND_LEVEL, side, price, size)
            levels.clear()
            levels.update(new)
        book.unconfirmed.clear()
        if known and len(self._out) > before:
            _count(book.log, CORRECTED, len(self._out) - before)
        if len(self._out) == before:
            self._out.row(recv, stamp, number, m.KIND_MARK)
        self._out.end()

    def lose(self, recv: int) -> None:
        """Make every known book unknown from `recv` ns on: what came then was not recorded."""
        for number in self._books:
            self._gap(recv, recv, number)
        self._out.end()

    def _gap(self, recv: int, stamp: int, number: int) -> None:
        book = self._books[number]
        if book.known:
            self._out.row(recv, stamp, number, m.KIND_GAP)
        book.known = False
        book.bids.clear()
        book.asks.clear()
        book.unconfirmed.clear()

    def finish(self) -> None:
        """Count, at the end, what was proven empty and never stated to be."""
        for book in self._books.values():
            if book.unconfirmed:
                _count(book.log, NEVER, len(book.unconfirmed))

    def _repeats(self, row: Said) -> bool:
        """Tell whether a row says again, with the same stamp, what one of the last did and nothing has changed since."""
        key = row[:6]
        if key not in self._seen:
            self._seen.add(key)
            self._order.append(key)
            if len(self._order) > REMEMBERED:
                self._seen.discard(self._order.popleft())
            return False
        return row.kind == m.KIND_PRINT or self._books[row.book].side(row.side).get(row.price, 0) == row.size

    def _clear(self, recv: int, row: Said) -> None:
        book = self._books[row.book]
        book.bids.clear()
        book.asks.clear()
        book.known = True
        self._out.row(recv, row.stamp, row.book, m.KIND_CLEAR)

    def _level(self, recv: int, row: Said) -> None:
        book = self._books[row.book]
        levels = book.side(row.side)
        if row.size:
            levels[row.price] = row.size
        else:
            levels.pop(row.price, None)
        book.unconfirmed.pop((row.side, row.price), None)
        self._out.row(recv, row.stamp, row.book, m.KIND_LEVEL, row.side, row.price, row.size)

    def _print(self, recv: int, row: Said) -> None:
        """Write a trade; one on the NO side stands on the YES book, at one dollar minus its price."""
        yes = row.book - row.book % 2
        if yes != row.book and yes in self._books and self._books[yes].known:
            taker = {m.BUYER: m.SELLER, m.SELLER: m.BUYER}.get(row.side, row.side)
            self._out.row(recv, row.stamp, yes, m.KIND_PRINT, taker, MICRO - row.price, row.size)
        else:
            self._out.row(recv, row.stamp, row.book, m.KIND_PRINT, row.side, row.price, row.size)

    def _prove(self, recv: int, row: Said) -> None:
        """Hold a book to the bests printed last in a message; 0 is an empty bid side, 0 or 1 dollar an empty ask."""
        book = self._books[row.book]
        bid, ask = row.bid or 0, row.ask or MICRO
        if bid >= ask:
            _count(book.log, CROSSED)
            return
        for side, levels, best in ((m.SIDE_BID, book.bids, bid), (m.SIDE_ASK, book.asks, ask)):
            if not levels:
                inside: list[int] = []
            elif side == m.SIDE_BID:  # nearly always nothing lies inside: one look at the best, and no more
                inside = sorted(p for p in levels if p > best) if max(levels) > best else []
            else:
                inside = sorted(p for p in levels if p < best) if min(levels) < best else []
            for price in inside:
                del levels[price]
                book.unconfirmed[side, price] = None
                self._out.row(recv, row.stamp, row.book, m.KIND_LEVEL, side, price, 0)
                _count(book.log, REMOVED)
            if 0 < best < MICRO and best not in levels:
                levels[best] = 0
                self._out.row(recv, row.stamp, row.book, m.KIND_LEVEL, side, best, book.lot, lower=True)
                _count(book.log, BOUND)


def _count(log: FileLog, name: str, by: int = 1) -> None:
    log.figures[name] = log.figures.get(name, 0) + by
