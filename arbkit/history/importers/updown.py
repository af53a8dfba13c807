"""Snapshots once a second of Polymarket's short Up/Down markets: five levels of both tokens in one wide Parquet row.

Columns ts_ms, market_slug (the key that markets.toml calls `source`; UP is YES), and for both tokens and five levels
bid_px_up_1, bid_sz_up_1, ask_px_up_1, ... with nothing where there is no level. The recorder wrote all it had anew
every minute, so a row stands up to fifteen times: a stamp that was read before is a repeat. A snapshot that is stamped
earlier than one already read, and was not read itself, is not news: it is left out too, and counted apart.

Snapshots become what changed between them; a level that leaves the window of five is written as gone. The columns of
the last trade are no prints: several trades of one second leave one, and nobody says when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from arbkit.core.errors import DataError
from arbkit.core.units import MICRO
from arbkit.history.importers import parquet
from arbkit.history.importers.base import Batch, BookIndex, MessageWriter, Source
from arbkit.history.importers.snapshots import Snapshot, SnapshotWriter
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.stamps import EARLIEST, LATEST
from arbkit.history.tape import Clocks

VENUE = "polymarket"
LEVELS = 5
TOKENS = ("up", "down")
SIDES = [
    (token, side, [f"{side}_{what}_{token}_{i}" for what in ("px", "sz") for i in range(1, LEVELS + 1)])
    for token in TOKENS
    for side in ("bid", "ask")
]
COLUMNS = ("ts_ms", "market_slug", *(name for _, _, names in SIDES for name in names))
AGAIN = "times the file starts over"
LATE = "snapshots left out, older than one above them"


class Updown:
    """The importer of one file per market."""

    name = "updown"
    looked_for = f"Parquet with the columns {', '.join(COLUMNS[:3])}, ..."
    clocks: Clocks = "recv"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file has all the columns."""
        return parquet.columns_of(path, head).issuperset(COLUMNS)

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one stream per file."""
        return [_batches(source, books, quality.file(source.name)) for source in sources]


IMPORTER = Updown()


def _batches(source: Source, index: BookIndex, log: FileLog) -> Iterator[Batch]:
    out = MessageWriter()
    writer = SnapshotWriter(out)
    for stamp, snapshots in _rows(source, index, log):
        for snapshot in snapshots:
            writer.write(stamp, snapshot, log)
        out.end()
        if out.full:
            yield out.take()
    writer.finish()
    yield out.take()


def _rows(source: Source, index: BookIndex, log: FileLog) -> Iterator[tuple[int, list[Snapshot]]]:
    """Yield (ns, both books) of each row that is new; those that cannot be used are refused with their number."""
    seen: set[int] = set()
    market, latest, before = "", -1, -1
    for piece in parquet.batches(source.path, COLUMNS):
        with parquet.reading(source.path):
            stamps = parquet.recorded_array(piece, "ts_ms").tolist()
            slugs = parquet.texts(piece, "market_slug")
            sides = [_Side(side, piece, names) for _, side, names in SIDES]
        for i, (stamp, slug) in enumerate(zip(stamps, slugs, strict=True)):
            log.rows_read += 1
            if not EARLIEST <= stamp < LATEST:
                log.refuse(log.rows_read, "ts_ms: missing, or not between 2000 and 2100")
                continue
            if not slug:
                log.refuse(log.rows_read, "market_slug: missing")
                continue
            if market and slug != market:
                raise DataError(f"{source.path}: row {log.rows_read}: of {slug}, above it are rows of {market}")
            market = slug
            if stamp < before:
                log.figures[AGAIN] = log.figures.get(AGAIN, 0) + 1
            before = stamp
            if stamp in seen:
                log.duplicates += 1
                continue
            log.stamped(stamp, latest)
            if stamp < latest:
                log.figures[LATE] = log.figures.get(LATE, 0) + 1
                continue
            try:
                levels = [side.levels(i) for side in sides]
            except ValueError as error:
                log.refuse(log.rows_read, str(error))
                continue
            seen.add(stamp)
            latest = stamp  # of what could be used: a row that was refused may come again, and better
            up, down = index.book(slug, "yes", venue=VENUE), index.book(slug, "no", venue=VENUE)
            yield stamp, [Snapshot(up, levels[0], levels[1]), Snapshot(down, levels[2], levels[3])]


class _Side:
    """One side of one token: its prices and sizes, millionths, level by level."""

    def __init__(self, name: str, piece: object, columns: Sequence[str]) -> None:
        self._name = name
        found = [piece.column(column) for column in columns]  # type: ignore[attr-defined]
        amounts = [parquet.micros(column) for column in found]
        self._told = np.stack([column.is_valid().to_numpy(zero_copy_only=False) for column in found], axis=1).tolist()
        self._good = np.stack([amount.good for amount in amounts], axis=1).tolist()
        self._values = np.stack([amount.values for amount in amounts], axis=1).tolist()

    def levels(self, row: int) -> dict[int, int]:
        """Return sizes by price; raises ValueError naming the side where one cannot be meant."""
        told, good, values = self._told[row], self._good[row], self._values[row]
        found: dict[int, int] = {}
        for i in range(LEVELS):
            price, size = values[i], values[i + LEVELS]
            if not told[i] and not told[i + LEVELS]:
                continue
            if not (good[i] and good[i + LEVELS]):
                raise ValueError(f"{self._name}: a price or size is missing or not in millionths")
            if not 0 < price < MICRO or size < 0:
                raise ValueError(f"{self._name}: a price is not strictly between 0 and 1 dollar, or a size negative")
            if price in found:
                raise ValueError(f"{self._name}: a price stands twice")
            if size:
                found[price] = size
        return found
