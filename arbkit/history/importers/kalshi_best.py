"""The best bid and ask of Kalshi markets once a second, in one CSV file for several of them.

Columns timestamp (no zone: taken for UTC), ticker (the key that markets.toml calls `source`), best_bid_price,
best_bid_size, best_ask_price, best_ask_size, bid_levels, ask_levels, spread; nothing where a side is empty. Sizes are
the whole level's; what stands behind the best is not told, so nothing does. There are no prints.

Such files live in git, and one was committed in the middle of a conflict: its marker lines are refused, and what
stands between two of them is a version of its own, by another recorder of the same hours. Where they overlap the one
that stands first is taken and the other left out, counted: they look at one book half a second apart, and taking
turns between them would show gaps that never were. The version that both began from, where git shows it, is stale and
left out whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from arbkit.core.units import MICRO
from arbkit.history.importers.base import (
    Batch,
    BookIndex,
    MessageWriter,
    Source,
    csv_rows,
    is_conflict,
    recorded,
    snap_price,
    snap_size,
)
from arbkit.history.importers.snapshots import Snapshot, SnapshotWriter
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.stamps import parse_ns
from arbkit.history.tape import Clocks

VENUE = "kalshi"
HEADER = "timestamp,ticker,best_bid_price,best_bid_size,best_ask_price,best_ask_size,bid_levels,ask_levels,spread"
COLUMNS = HEADER.split(",")[:6]
VERSIONS = "versions of the file in one"
COVERED = "rows left out, of a time that a version above covers"


class KalshiBest:
    """The importer of files with the best prices of several markets."""

    name = "kalshi_best"
    looked_for = f"a CSV file with the header {HEADER}"
    clocks: Clocks = "recv"

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by the header."""
        return head.decode("utf-8", errors="replace").split("\n", 1)[0].strip() == HEADER

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one stream per file."""
        return [_batches(source, books, quality.file(source.name)) for source in sources]


IMPORTER = KalshiBest()


class _Seen(NamedTuple):
    """One row in integers."""

    stamp: int
    snapshot: Snapshot


def _batches(source: Source, index: BookIndex, log: FileLog) -> Iterator[Batch]:
    log.note("stamps have no zone and are taken for UTC; what stands behind the best is not told")
    out = MessageWriter()
    writer = SnapshotWriter(out)
    for seen in _rows(source, index, log):
        if seen.stamp != out.now:
            out.end()
            if out.full:
                yield out.take()
        writer.write(seen.stamp, seen.snapshot, log)
    writer.finish()
    yield out.take()


def _rows(source: Source, index: BookIndex, log: FileLog) -> Iterator[_Seen]:
    """Yield the usable rows as recorded, none of a time that a version above covers; the others are refused."""
    marks = [line for line, text, _ in source.lines() if is_conflict(text)]
    version = covered = latest = -1
    for line, cells in csv_rows(source, COLUMNS, log):
        try:
            seen = _seen(cells, index)
        except ValueError as error:
            what, _, detail = str(error).partition("|")
            log.refuse(line, what, detail)
            continue
        if (found := bisect_left(marks, line)) != version:
            version, covered = found, latest
            if marks:
                log.figures[VERSIONS] = log.figures.get(VERSIONS, 0) + 1
        if seen.stamp <= covered:
            log.figures[COVERED] = log.figures.get(COVERED, 0) + 1
            continue
        log.stamped(seen.stamp, latest)
        latest = max(latest, seen.stamp)
        yield seen


def _seen(cells: Sequence[str], index: BookIndex) -> _Seen:
    """Return a row in integers; raises ValueError("field: fault|what it said")."""
    stamp, ticker, *amounts = cells
    if not ticker:
        raise ValueError("ticker: missing")
    try:
        at = recorded(parse_ns(stamp, naive_utc=True))
    except ValueError as error:
        raise ValueError(f"timestamp: cannot be read|{error}") from None
    bids, asks = _side("best_bid", *amounts[:2]), _side("best_ask", *amounts[2:])
    return _Seen(at, Snapshot(index.book(ticker, venue=VENUE), bids, asks))


def _side(name: str, price_text: str, size_text: str) -> dict[int, int]:
    if not price_text and not size_text:
        return {}
    try:
        price, size = snap_price(price_text), snap_size(size_text)
    except ValueError as error:
        raise ValueError(f"{name}: cannot be read|{error}") from None
    if not 0 < price < MICRO or not size:
        raise ValueError(f"{name}: not a level|{price_text} {size_text}")
    return {price: size}
