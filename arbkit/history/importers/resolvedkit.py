"""Snapshots of Polymarket books as resolvedkit stores them: `books.parquet` and `markets.parquet`.

A row is the best 20 levels of one token (side UP or DOWN) about once a second. Snapshots become what changed between
them, or a mark that the stream is alive where nothing did; a level that leaves the window of 20 is written as gone,
for nobody says that it still stands. Rows of one stamp are one message. There are no prints: orders can rest on such
a tape only under the queue model "through".

markets.parquet names the market (its `slug` is the key that markets.toml calls `source`; UP is YES) and the payouts,
which become resolution rows at the later of the market's end and its last snapshot: when it was resolved is not told.
A snapshot that is locked or crossed cannot be a book; the token is unknown (a gap row) until its next good one.

The rows of a file stand market by market, and markets overlap in time. They are put in order with a first pass over
the stamps (8 bytes a row) and a buffer that holds only what overlaps.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.units import MICRO
from arbkit.history.importers import parquet
from arbkit.history.importers.base import Batch, BookIndex, MessageWriter, Source
from arbkit.history.importers.snapshots import Snapshot, SnapshotWriter
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.tape import Clocks

VENUE = "polymarket"
BOOK_COLUMNS = ("market_id", "ts", "side", "bid_px", "bid_sz", "ask_px", "ask_sz")
MARKET_COLUMNS = ("market_id", "slug", "end_ts", "payout_up", "payout_down")
SIDES = {"UP": 0, "DOWN": 1}


class Resolvedkit:
    """The importer of resolvedkit's pair of Parquet files."""

    name = "resolvedkit"
    looked_for = (
        f"Parquet with the columns {', '.join(BOOK_COLUMNS)}, and beside it one with {', '.join(MARKET_COLUMNS)}"
    )
    clocks: Clocks = "recv"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file is one of the pair, by its columns."""
        found = parquet.columns_of(path, head)
        return found.issuperset(BOOK_COLUMNS) or found.issuperset(MARKET_COLUMNS)

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return a single stream: books and markets belong together."""
        return [_together(sources, books, quality)]


IMPORTER = Resolvedkit()


class _Market(NamedTuple):
    """What markets.parquet says of one market: its books, its end in ns, payouts in millionths (None: not yet)."""

    books: tuple[int, int]
    end: int
    payouts: tuple[int | None, int | None]


class _Resolution(NamedTuple):
    """The end of a market."""

    market: _Market


Event = Snapshot | _Resolution


def _together(sources: Sequence[Source], index: BookIndex, quality: QualityLog) -> Iterator[Batch]:
    files: list[Source] = []
    markets: dict[str, _Market] = {}
    for source in sources:
        if parquet.columns_of(source.path, source.head()).issuperset(BOOK_COLUMNS):
            files.append(source)
        else:
            markets.update(_markets(source, index, quality.file(source.name)))
    if not files or not markets:
        missing = "markets.parquet (which market is which, and how it ended)" if files else "books.parquet (the books)"
        raise DataError(f"{sources[0].path}: {missing} is missing; give both files, or their folder")
    streams = [_ordered(source, markets, quality.file(source.name)) for source in files]
    out, log = MessageWriter(), quality.file(files[0].name)
    writer = SnapshotWriter(out)
    for stamp, event in heapq.merge(*streams, key=lambda entry: entry[0]):
        if stamp != out.now:
            out.end()
            if out.full:
                yield out.take()
        if isinstance(event, Snapshot):
            writer.write(stamp, event, log)
        else:
            _resolve(out, stamp, event.market)
    writer.finish()
    yield out.take()


def _resolve(out: MessageWriter, stamp: int, market: _Market) -> None:
    for book, payout in zip(market.books, market.payouts, strict=True):
        if payout is not None:
            out.row(stamp, stamp, book, m.KIND_RESOLUTION, price=payout)


# -- markets.parquet -----------------------------------------------------------------------------------------


def _markets(source: Source, index: BookIndex, log: FileLog) -> Iterator[tuple[str, _Market]]:
    number = 0
    for piece in parquet.batches(source.path, MARKET_COLUMNS):
        with parquet.reading(source.path):
            ids, slugs = (parquet.texts(piece, name) for name in MARKET_COLUMNS[:2])
            ends = parquet.recorded_ns(piece, "end_ts")
            paid = [parquet.micros(piece.column(name)) for name in MARKET_COLUMNS[3:]]
            open_ = [piece.column(name).is_null(nan_is_null=True).to_pylist() for name in MARKET_COLUMNS[3:]]
        for i, (market, slug, end) in enumerate(zip(ids, slugs, ends, strict=True)):
            number += 1
            log.rows_read += 1
            if not market or not slug or end is None:
                log.refuse(number, "market: id, slug or end is missing", f"{market} {slug} {end}")
                continue
            payouts = [None if gone[i] else int(p.values[i]) for p, gone in zip(paid, open_, strict=True)]
            if any(not gone[i] and not p.good[i] for p, gone in zip(paid, open_, strict=True)) or not _pays(payouts):
                log.refuse(number, "payout: not two shares of one dollar", str(payouts))
                payouts = [None, None]
            up, down = (index.book(slug, side, venue=VENUE) for side in ("yes", "no"))
            yield market, _Market((up, down), end, (payouts[0], payouts[1]))


def _pays(payouts: Sequence[int | None]) -> bool:
    up, down = payouts
    if up is None or down is None:
        return up is down
    return up >= 0 and down >= 0 and up + down == MICRO


# -- books.parquet -------------------------------------------------------------------------------------------


def _ordered(source: Source, markets: dict[str, _Market], log: FileLog) -> Iterator[tuple[int, Event]]:
    """Yield (ns, event) in order of time, ties as recorded, a market's resolution behind all of its books."""
    stamps, last = _stamps(source, log)
    # After row i nothing comes before low[i]: what the buffer holds below that can go.
    low = np.minimum.accumulate(stamps[::-1])[::-1]
    heap: list[tuple[int, int, Event]] = []
    for i, (key, snapshot) in enumerate(_snapshots(source, markets, log)):
        stamp = int(stamps[i])
        if snapshot is not None:
            heapq.heappush(heap, (stamp, i, snapshot))
        market = markets.get(key or "")
        if market is not None and last.get(key or "") == i and market.payouts[0] is not None:
            heapq.heappush(heap, (max(market.end, stamp), len(stamps) + i, _Resolution(market)))
        bound = int(low[i + 1]) if i + 1 < len(low) else None
        while heap and (bound is None or heap[0][0] < bound):
            stamp, _, event = heapq.heappop(heap)
            yield stamp, event


def _stamps(source: Source, log: FileLog) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return the stamp of every row (the latest of its market so far, ns), and each market's last row."""
    found: list[NDArray[np.int64]] = []
    before: dict[str, int] = {}
    latest: dict[str, int] = {}
    last: dict[str, int] = {}
    number = now = 0
    for piece in parquet.batches(source.path, ("market_id", "ts")):
        with parquet.reading(source.path):
            keys, stamps = parquet.texts(piece, "market_id"), parquet.recorded_ns(piece, "ts")
        raised = np.zeros(len(keys), dtype=np.int64)
        for i, (key, stamp) in enumerate(zip(keys, stamps, strict=True)):
            market = key or ""
            if stamp is not None:
                log.stamped(stamp, before.get(market, stamp))
                before[market] = stamp
                latest[market] = max(stamp, latest.get(market, stamp))
            raised[i] = now = latest.get(market, now)  # a row without a stamp is refused: any place will do
            last[market] = number
            number += 1
        found.append(raised)
    return np.concatenate(found), last


def _snapshots(
    source: Source, markets: dict[str, _Market], log: FileLog
) -> Iterator[tuple[str | None, Snapshot | None]]:
    """Yield (market, its book) row by row; a row that cannot be used is refused and stands as None."""
    number = 0
    for piece in parquet.batches(source.path, BOOK_COLUMNS):
        with parquet.reading(source.path):
            keys, sides = (parquet.texts(piece, name) for name in ("market_id", "side"))
            stamps = parquet.recorded_ns(piece, "ts")
            levels = [_Lists(piece.column(name)) for name in BOOK_COLUMNS[3:]]
        for i, (key, side, stamp) in enumerate(zip(keys, sides, stamps, strict=True)):
            number += 1
            log.rows_read += 1
            try:
                yield key, _snapshot(key, side, stamp, [column.row(i) for column in levels], markets)
            except ValueError as error:
                log.refuse(number, str(error))
                yield key, None


class _Lists:
    """A column of lists of numbers, in millionths; one that holds what cannot be read is None."""

    def __init__(self, column: Any) -> None:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            raise pa.ArrowTypeError(f"a column of {column.type} where lists of numbers belong")
        self._offsets = column.offsets.to_numpy().tolist()
        self._valid = column.is_valid().to_pylist()
        # `values`, not `flatten`: the offsets of a sliced column count from the start of all values.
        found = parquet.micros(column.values)
        self._values, self._good = found.values.tolist(), found.good.tolist()

    def row(self, i: int) -> list[int] | None:
        if not self._valid[i]:
            return None
        start, stop = self._offsets[i], self._offsets[i + 1]
        return self._values[start:stop] if all(self._good[start:stop]) else None


def _snapshot(
    key: str | None,
    side: str | None,
    stamp: int | None,
    levels: Sequence[list[int] | None],
    markets: dict[str, _Market],
) -> Snapshot:
    """Return a row as a book; raises ValueError saying which field cannot be used."""
    if key not in markets:
        raise ValueError("market_id: not in markets.parquet")
    if side not in SIDES:
        raise ValueError("side: neither UP nor DOWN")
    if stamp is None:
        raise ValueError("ts: missing, or not between 2000 and 2100")
    bids, asks = _side("bid", levels[0], levels[1]), _side("ask", levels[2], levels[3])
    return Snapshot(markets[key].books[SIDES[side]], bids, asks)


def _side(name: str, prices: list[int] | None, sizes: list[int] | None) -> dict[int, int]:
    if prices is None or sizes is None:
        raise ValueError(f"{name}: a price or size is missing or not in millionths")
    if len(prices) != len(sizes):
        raise ValueError(f"{name}: more prices than sizes, or fewer")
    if not all(0 < price < MICRO for price in prices):
        raise ValueError(f"{name}: a price is not strictly between 0 and 1 dollar")
    if not all(size >= 0 for size in sizes):
        raise ValueError(f"{name}: a negative size")
    if len(set(prices)) < len(prices):
        raise ValueError(f"{name}: a price stands twice")
    return {price: size for price, size in zip(prices, sizes, strict=True) if size}
