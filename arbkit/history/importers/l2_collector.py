"""Whole books and trades of Polymarket's short Up/Down markets, a JSON list in a file each per token.

`15m_sol_orderbooks_1765450800up.json` holds the books and `15m_sol_trades_1765450800up.json` the trades of the UP
token; the market is called `15m_sol_1765450800`, which is what markets.toml calls `source` (UP is YES). Stamps are
milliseconds as text: `local_timestamp` when the recorder had it, `timestamp` the venue's. Prices and sizes are text,
the best level last on both sides. Trades have no id, so equal ones are all kept; those of the DOWN token stand on the
book of the UP token, at one dollar minus their price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from arbkit.books import meta as m
from arbkit.core.units import MICRO, NS_PER_MS
from arbkit.history.importers.base import (
    Batch,
    BookIndex,
    MessageWriter,
    Source,
    json_list,
    recorded,
    snap_price,
    snap_size,
)
from arbkit.history.importers.snapshots import Snapshot, SnapshotWriter
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.tape import Clocks

VENUE = "polymarket"
NAME = re.compile(r"(?P<group>.+)_(?P<what>orderbooks|trades)_(?P<start>\d+)(?P<side>up|down)")
TAKERS = {"buy": m.BUYER, "sell": m.SELLER}
EQUAL = "trades equal to the one before them"


class L2Collector:
    """The importer of the collector's files."""

    name = "l2_collector"
    looked_for = "a JSON list of objects with local_timestamp, in a file named like 15m_sol_orderbooks_1765450800up"
    clocks: Clocks = "both"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell by the name and by the first object."""
        return NAME.fullmatch(Source.at(path).stem) is not None and head.lstrip()[:1] == b"[" and b'"price"' in head

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one stream per file."""
        return [_batches(source, books, quality.file(source.name)) for source in sources]


IMPORTER = L2Collector()


class _Trade(NamedTuple):
    """One trade in integers; `taker` tells who took."""

    price: int
    size: int
    taker: int


def _batches(source: Source, index: BookIndex, log: FileLog) -> Iterator[Batch]:
    named = NAME.fullmatch(source.stem)
    assert named is not None  # recognised by it
    outcome: Literal["yes", "no"] = "yes" if named["side"] == "up" else "no"
    key = f"{named['group']}_{named['start']}"
    book, yes = index.book(key, outcome, venue=VENUE), index.book(key, "yes", venue=VENUE)
    out = MessageWriter()
    writer = SnapshotWriter(out)
    latest, last = -1, None
    for number, entry in json_list(source, log):
        try:
            recv, venue = _stamp(entry, "local_timestamp"), _stamp(entry, "timestamp")
            said = _trade(entry) if named["what"] == "trades" else _snapshot(entry, book)
        except ValueError as error:
            what, _, detail = str(error).partition("|")
            log.refuse(number, what, detail)
            continue
        log.stamped(recv, latest)
        latest = max(latest, recv)
        if isinstance(said, Snapshot):
            writer.write(recv, said, log, venue)
        else:
            if (recv, venue, said) == last:
                log.figures[EQUAL] = log.figures.get(EQUAL, 0) + 1
            last = recv, venue, said
            _print(out, recv, venue, yes, said, mirrored=book != yes)
        out.end()
        if out.full:
            yield out.take()
    writer.finish()
    yield out.take()


def _print(out: MessageWriter, recv: int, venue: int, yes: int, trade: _Trade, *, mirrored: bool) -> None:
    taker = {m.BUYER: m.SELLER, m.SELLER: m.BUYER}[trade.taker] if mirrored else trade.taker
    price = MICRO - trade.price if mirrored else trade.price
    out.row(recv, venue, yes, m.KIND_PRINT, taker, price, trade.size)


# -- entries in integers: ValueError("field: fault|what it said") --------------------------------------------


def _stamp(entry: Mapping[str, Any], name: str) -> int:
    text = entry.get(name)
    try:
        return recorded(int(str(text)) * NS_PER_MS)
    except ValueError:
        raise ValueError(f"{name}: not a time in ms between 2000 and 2100|{text!r}") from None


def _trade(entry: Mapping[str, Any]) -> _Trade:
    taker = TAKERS.get(str(entry.get("side")))
    if taker is None:
        raise ValueError(f"side: neither buy nor sell|{entry.get('side')!r}")
    price, size = _level(entry, "trade")
    if not size:
        raise ValueError("size: a trade of nothing")
    return _Trade(price, size, taker)


def _snapshot(entry: Mapping[str, Any], book: int) -> Snapshot:
    return Snapshot(book, _side(entry, "bids"), _side(entry, "asks"))


def _side(entry: Mapping[str, Any], name: str) -> dict[int, int]:
    levels = entry.get(name)
    if not isinstance(levels, list):
        raise ValueError(f"{name}: not a list")
    pairs = [_level(level, name) for level in levels]
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{name}: a price stands twice")
    return {price: size for price, size in found.items() if size}


def _level(entry: Any, name: str) -> tuple[int, int]:
    if not isinstance(entry, dict):
        raise ValueError(f"{name}: not a level|{entry!r:.80}")
    try:
        price, size = snap_price(str(entry.get("price"))), snap_size(str(entry.get("size")))
    except ValueError as error:
        raise ValueError(f"{name}: a price or size cannot be read|{error}") from None
    if not 0 < price < MICRO:
        raise ValueError(f"{name}: a price is not strictly between 0 and 1 dollar|{entry['price']!r}")
    return price, size
