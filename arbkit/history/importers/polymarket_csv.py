"""A recorder's CSV of Polymarket: `timestamp,event_type,price,side,size,best_bid,best_ask`, one file per token.

The same columns as that recorder's Kalshi files, told apart by content: here sizes are new totals (so a change can be
zero and never negative) and `book` rows carry a time; there changes are signed and `book` rows have none.

`book` rows come in pairs, the best bid and the best ask of a snapshot that the recorder got when it (re)connected.
They are totals, so their sizes are exact, and they prove that nothing stands inside them. What stood behind them is
not told: the book starts anew with these two levels, and deeper ones are not there until a row states them. When the
best is used up before that, the next printed best is a level of unknown size (see `proven`). A row whose printed
bests disagree with the rebuilt book corrects it, which is counted; no other stretch has to be thrown away.

The two tokens of a market change in one message and their files share its stamp: they are read together and merged,
so that rows of one stamp and market are one message. Stamps are the venue's, in milliseconds. `BUY` stands for a bid;
on a trade it says that a buyer took.
"""

from __future__ import annotations

import csv
import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from arbkit.books import meta as m
from arbkit.core.units import MICRO
from arbkit.history.importers.base import (
    HEAD_BYTES,
    Batch,
    BookIndex,
    MessageWriter,
    Source,
    csv_rows,
    recorded_ns,
    snap_price,
    snap_size,
)
from arbkit.history.importers.proven import ProvenBooks, Said
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.tape import Clocks

VENUE = "polymarket"
COLUMNS = ("timestamp", "event_type", "price", "side", "size", "best_bid", "best_ask")
KINDS = {"book": m.KIND_CLEAR, "price_change": m.KIND_LEVEL, "last_trade_price": m.KIND_PRINT}
SIDES = {"BUY": m.SIDE_BID, "SELL": m.SIDE_ASK}  # the same numbers say who took: 1 a buyer, 2 a seller


class PolymarketCsv:
    """The importer of the recorder's Polymarket files."""

    name = "polymarket_csv"
    looked_for = f"CSV with the columns {','.join(COLUMNS)}, timed `book` rows or changes of size 0, no negative size"
    clocks: Clocks = "venue"

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002  (the content decides, not the name)
        """Tell whether the first rows have the columns and speak of totals; the same columns with changes do not."""
        lines = head.decode("utf-8", errors="replace").splitlines()
        if not lines or lines[0].split(",") != list(COLUMNS):
            return False
        cut = len(head) >= HEAD_BYTES  # then the last line is most likely not whole
        rows = [cells for cells in csv.reader(lines[1 : -1 if cut else None]) if len(cells) == len(COLUMNS)]
        if any(size.startswith("-") or (event == "book" and not stamp) for stamp, event, _, _, size, _, _ in rows):
            return False
        return any(
            event == "book" or (event == "price_change" and size and not size.strip("0."))
            for _, event, _, _, size, _, _ in rows
        )

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return a single stream: the files of one market belong together."""
        return [_batches(sources, books, quality)]


IMPORTER = PolymarketCsv()


class _Piece(NamedTuple):
    """Consecutive rows of one stamp in one file; `recv` is the latest stamp so far, in ns."""

    recv: int
    rank: tuple[int, int]
    market: int
    rows: list[Said]


def _batches(sources: Sequence[Source], index: BookIndex, quality: QualityLog) -> Iterator[Batch]:
    out = MessageWriter()
    books = ProvenBooks(out)
    pieces = []
    for source in sources:
        log, book = quality.file(source.name), index.book(source.stem, venue=VENUE)
        books.add(book, log, index.market(book).lot)
        pieces.append(_pieces(source, book, index.rank(source.stem), log))
    together = heapq.merge(*pieces, key=lambda piece: (piece.recv, piece.rank))
    for (recv, _), found in groupby(together, key=lambda piece: (piece.recv, piece.market)):
        books.message(recv, (row for piece in found for row in piece.rows))
        if out.full:
            yield out.take()
    books.finish()
    yield out.take()


def _pieces(source: Source, book: int, rank: tuple[int, int], log: FileLog) -> Iterator[_Piece]:
    now = before = -(1 << 62)
    for stamp, rows in groupby(_rows(source, book, log), key=lambda row: row.stamp):
        log.stamped(stamp, before)
        now, before = max(now, stamp), stamp
        yield _Piece(now, rank, book // 2, list(rows))


def _rows(source: Source, book: int, log: FileLog) -> Iterator[Said]:
    """Yield the usable rows as recorded; the others are refused with their line."""
    for line, cells in csv_rows(source, COLUMNS, log):
        try:
            yield _said(cells, book)
        except ValueError as error:
            what, _, detail = str(error).partition("|")
            log.refuse(line, what, detail)


def _said(cells: Sequence[str], book: int) -> Said:
    """Return a row in integers; raises ValueError("field: fault|what it said")."""
    stamp, event, price, side, size, bid, ask = cells
    if event not in KINDS:
        raise ValueError(f"event_type: unknown|{event!r}")
    if side not in SIDES:
        raise ValueError(f"side: unknown|{side!r}")
    said = Said(
        stamp=_read("timestamp", recorded_ns, stamp),
        book=book,
        kind=KINDS[event],
        side=SIDES[side],
        price=_read("price", snap_price, price),
        size=_read("size", snap_size, size),
        bid=_read("best_bid", snap_price, bid) if bid else None,
        ask=_read("best_ask", snap_price, ask) if ask else None,
    )
    if not 0 < said.price < MICRO:
        raise ValueError(f"price: not strictly between 0 and 1 dollar|{price!r}")
    if said.kind == m.KIND_PRINT:
        if not said.size:
            raise ValueError(f"size: a trade of nothing|{size!r}")
        return said._replace(bid=None, ask=None)
    return said


def _read(field: str, read: Callable[[str], int], text: str) -> int:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{field}: cannot be read|{error}") from None
