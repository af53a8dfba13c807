"""Small tapes written by hand: cents, shares and milliseconds in, a checked `Tape` out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

from msgspec import Struct, structs

from arbkit.books import meta as m
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Market, MarketTable
from arbkit.core.units import MICRO, NS_PER_MS, Price, Size
from arbkit.history.tape import Clocks, Tape

START = 1_780_000_000 * 1_000_000_000  # ns; a round second in 2026
CENT = MICRO // 100
BID, ASK = m.SIDE_BID, m.SIDE_ASK

Levels = Iterable[tuple[int, int]]  # (cents, shares)


def replace(value: Any, **changes: Any) -> Any:
    """Return a value of the model with some fields changed, whichever kind of frozen value it is."""
    return (structs.replace if isinstance(value, Struct) else dataclasses.replace)(value, **changes)


def cents(value: int) -> Price:
    return Price(value * CENT)


def shares(value: int) -> Size:
    return Size(value * MICRO)


def ms(value: int) -> int:
    """Milliseconds after the start of a hand-made tape, as ns since the epoch."""
    return START + value * NS_PER_MS


def a_market(market: str = "m", venue: str = "venue", **fields: Any) -> Market:
    known: dict[str, Any] = {"grids": ((0, Grid.of_tick("0.01")),), "lot": Size(10_000), "min_size": Size(10_000)}
    return Market(venue=venue, id=market, **{**known, **fields})


def a_table(*markets: Market, both: bool = False) -> MarketTable:
    """The markets with two books each; the NO book is a mirror view unless `both` are recorded."""
    books: list[Book] = []
    for n, market in enumerate(markets or (a_market(),)):
        books.append(Book(2 * n, market, "yes", 2 * n + 1))
        books.append(Book(2 * n + 1, market, "no", 2 * n, recorded=both))
    return MarketTable(markets or (books[0].market,), tuple(books))


class TapeBuilder:
    """Rows in the order they are written; `at` in ms when received, `venue` in ms by the venue's clock."""

    def __init__(self, table: MarketTable | None = None, *, both: bool = False) -> None:
        self.table = table if table is not None else a_table(both=both)
        self.rows: list[tuple[int, int, int, int, int, int]] = []

    def row(self, at: int, code: int, book: int = 0, price: int = 0, size: int = 0, venue: int | None = None) -> Self:
        """One raw row; price in cents, `size` as it stands in the column."""
        self.rows.append((ms(at), ms(at if venue is None else venue), book, code, cents(price), size))
        return self

    def snapshot(
        self, at: int, bids: Levels = (), asks: Levels = (), *, book: int = 0, venue: int | None = None
    ) -> Self:
        """A clear and all levels, one message."""
        self.row(at, m.meta(m.KIND_CLEAR, last=False), book, venue=venue)
        for side, levels in ((BID, bids), (ASK, asks)):
            for price, size in levels:
                self.row(at, m.meta(m.KIND_LEVEL, side, last=False), book, price, shares(size), venue)
        seen, told, of_book, code, *rest = self.rows[-1]
        self.rows[-1] = (seen, told, of_book, code | m.LAST, rest[0], rest[1])
        return self

    def level(
        self,
        at: int,
        side: int,
        price: int,
        size: int,
        *,
        book: int = 0,
        lower: bool = False,
        last: bool = True,
        venue: int | None = None,
    ) -> Self:
        return self.row(at, m.meta(m.KIND_LEVEL, side, lower, last), book, price, shares(size), venue)

    def trade(
        self,
        at: int,
        price: int,
        size: int,
        aggressor: int = m.SELLER,
        *,
        book: int = 0,
        last: bool = True,
        venue: int | None = None,
    ) -> Self:
        return self.row(at, m.meta(m.KIND_PRINT, aggressor, last=last), book, price, shares(size), venue)

    def status(self, at: int, status: int, *, book: int = 0) -> Self:
        return self.row(at, m.meta(m.KIND_STATUS), book, size=status)

    def gap(self, at: int, *, book: int = 0) -> Self:
        return self.row(at, m.meta(m.KIND_GAP), book)

    def resolution(self, at: int, payout: int, *, book: int = 0) -> Self:
        return self.row(at, m.meta(m.KIND_RESOLUTION), book, payout)

    def mark(self, at: int, *, book: int = 0) -> Self:
        return self.row(at, m.meta(m.KIND_MARK), book)

    def tape(self, clocks: Clocks = "both") -> Tape:
        columns = [list(column) for column in zip(*self.rows, strict=True)] or [[] for _ in range(6)]
        names = ("ts_recv", "ts_venue", "book", "meta", "price", "size")
        return Tape.from_columns(self.table, **dict(zip(names, columns, strict=True)), clocks=clocks, synthetic=True)
