"""Snapshots that were taken again and again, as rows: differences, gaps where one cannot be a book, signs of life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from arbkit.books import meta as m
from arbkit.history.importers.base import MessageWriter, SnapshotDiff
from arbkit.history.quality import FileLog

ONE_SIDED = "snapshots with one side or none"


class Snapshot(NamedTuple):
    """One book as it was seen: sizes by price, in millionths, all above zero; the levels of the window and no others."""

    book: int
    bids: Mapping[int, int]
    asks: Mapping[int, int]

    @property
    def crossed(self) -> bool:
        """Whether it is locked or crossed, which no book can be."""
        return bool(self.bids) and bool(self.asks) and max(self.bids) >= min(self.asks)


class SnapshotWriter:
    """Writes snapshots in order of time; ending a message is up to who calls."""

    def __init__(self, out: MessageWriter) -> None:
        self._out = out
        self._books = SnapshotDiff()
        self._lost: dict[int, tuple[int, int, FileLog]] = {}  # book -> (ns since when, snapshots thrown away, log)

    def write(self, recv: int, snapshot: Snapshot, log: FileLog, venue: int | None = None) -> None:
        """Write what a snapshot changes, received at `recv` and of `venue` time (ns; the same unless it is given)."""
        stamp, book = recv if venue is None else venue, snapshot.book
        if snapshot.crossed:
            since, rows, first = self._lost.get(book, (recv, 0, log))
            self._lost[book] = since, rows + 1, first
            if self._books.lose(book):
                self._out.row(recv, stamp, book, m.KIND_GAP)
            return
        if book in self._lost:
            since, rows, first = self._lost.pop(book)
            first.quarantine(rows, recv - since)
        if not snapshot.bids or not snapshot.asks:
            log.figures[ONE_SIDED] = log.figures.get(ONE_SIDED, 0) + 1
        changes = self._books.snapshot(book, snapshot.bids, snapshot.asks)
        for change in changes:
            self._out.row(recv, stamp, book, change.kind, change.side, change.price, change.size)
        if not changes:  # nothing moved, but somebody looked: the stream is alive
            self._out.row(recv, stamp, book, m.KIND_MARK)

    def finish(self) -> None:
        """Count the stretches that lasted to the end."""
        for since, rows, log in self._lost.values():
            log.quarantine(rows, max(0, self._out.now - since))
        self._lost.clear()
