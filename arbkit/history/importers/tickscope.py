"""Polymarket's market channel as Tickscope stores it: changes and trades of both tokens, in Parquet.

Every change states the new total at a price and the bests after it; a book has no opening snapshot, so it is known
from its first change on and only as far as rows and printed bests tell (see `proven`). A change comes for both
tokens of a market, price p of one being one dollar minus p of the other. Consecutive rows of one stamp are one
message, whatever tokens they tell of: between them the two books of a market disagree. `asset_id` is the key that
markets.toml calls `source`. Trade rows print no bests; their side is the taker's (BID: a buyer took).

Stamps are the venue's, in the order of arrival: they step back where messages overtook each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from arbkit.books import meta as m
from arbkit.core.units import MICRO
from arbkit.history.importers import parquet
from arbkit.history.importers.base import Batch, BookIndex, MessageWriter, Source
from arbkit.history.importers.proven import ProvenBooks, Said
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.tape import Clocks

VENUE = "polymarket"
COLUMNS = ("timestamp", "asset_id", "event_type", "side", "price", "size", "best_bid", "best_ask")
KINDS = {"PRICE_CHANGE": m.KIND_LEVEL, "LAST_TRADE": m.KIND_PRINT}
SIDES = {"BID": m.SIDE_BID, "ASK": m.SIDE_ASK}  # the same numbers say who took: 1 a buyer, 2 a seller


class Tickscope:
    """The importer of Tickscope's Parquet files."""

    name = "tickscope"
    looked_for = f"Parquet with the columns {', '.join(COLUMNS)}"
    clocks: Clocks = "venue"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file has all the columns."""
        return parquet.columns_of(path, head).issuperset(COLUMNS)

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one stream per file."""
        return [_batches(source, books, quality.file(source.name)) for source in sources]


IMPORTER = Tickscope()


def _batches(source: Source, index: BookIndex, log: FileLog) -> Iterator[Batch]:
    out = MessageWriter()
    books = ProvenBooks(out)
    message: list[Said] = []
    for row in _rows(source, index, books, log):
        if message and row.stamp != message[0].stamp:
            log.stamped(row.stamp, message[0].stamp)
            books.message(message[0].stamp, message)
            message = []
            if out.full:
                yield out.take()
        message.append(row)
    books.message(message[0].stamp if message else 0, message)
    books.finish()
    yield out.take()


def _rows(source: Source, index: BookIndex, books: ProvenBooks, log: FileLog) -> Iterator[Said]:
    """Yield the usable rows as recorded; the others are refused with their number, counted from 1."""
    number = 0
    for piece in parquet.batches(source.path, COLUMNS):
        with parquet.reading(source.path):
            amounts = [parquet.micros(piece.column(name)) for name in COLUMNS[4:]]
            stamps = parquet.recorded_ns(piece, "timestamp")
            words = [parquet.texts(piece, name) for name in COLUMNS[1:4]]
        good = [a.good.tolist() for a in amounts]
        values = [a.values.tolist() for a in amounts]
        for stamp, asset, event, side, *cells in zip(stamps, *words, *values, *good, strict=True):
            number += 1
            log.rows_read += 1
            if reason := _fault(stamp, asset, event, side, cells[:4], cells[4:]):
                log.refuse(number, *reason)
                continue
            kind = KINDS[event]
            price, size, bid, ask = cells[:4]
            book = index.book(asset, venue=VENUE)
            if book not in books:
                books.add(book, log, index.market(book).lot)
            if kind == m.KIND_PRINT:
                bid = ask = None
            yield Said(stamp, book, kind, SIDES[side], price, size, bid, ask)


def _fault(
    stamp: int | None,
    asset: str | None,
    event: str | None,
    side: str | None,
    values: Sequence[int],
    good: Sequence[bool],
) -> tuple[str, str] | None:
    """Return what is wrong with a row, None when it can be used."""
    if stamp is None:
        return "timestamp: missing, or not between 2000 and 2100", ""
    if not asset:
        return "asset_id: missing", ""
    if event not in KINDS:
        return "event_type: unknown", repr(event)
    if side not in SIDES:
        return "side: unknown", repr(side)
    for name, fine in zip(COLUMNS[4:], good, strict=True):
        if not fine:
            return f"{name}: not a number in millionths", ""
    price, size, bid, ask = values
    if not 0 < price < MICRO:
        return "price: not strictly between 0 and 1 dollar", f"{price} millionths"
    if size < 0:
        return "size: negative", f"{size} millionths"
    if event == "PRICE_CHANGE" and not (0 <= bid <= MICRO and 0 <= ask <= MICRO):
        return "best: not between 0 and 1 dollar", f"{bid} and {ask} millionths"
    if event == "LAST_TRADE" and size == 0:
        return "size: a trade of nothing", ""
    return None
