"""Kalshi books as a public recorder kept them in CSV files, one per market; see `kalshi_rows` for the format.

Opening sizes are solved back per recorder session (`solving`), which takes a first reading of each file. Files whose
markets share an event are one recording: a restart seen in one of them makes all of them unknown for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from arbkit.core.grid import Grid
from arbkit.core.model import Market
from arbkit.history.importers.base import Batch, BookIndex, Source
from arbkit.history.importers.kalshi_replay import Replay
from arbkit.history.importers.kalshi_rows import BOOK, CHANGE, HEADER, Survey
from arbkit.history.quality import QualityLog
from arbkit.history.tape import Clocks

LEAST_LOT = 10_000  # millionths: Kalshi counts contracts to 0.01, so no level is smaller


class KalshiCsv:
    """The importer: size is a signed change, stamps are the venue's."""

    name = "kalshi_csv"
    looked_for = f"a CSV file with the header {HEADER}, `book` rows without stamp or negative sizes"
    clocks: Clocks = "venue"

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by the header and by what only signed changes have: Polymarket's files share the header."""
        lines = head.decode("utf-8", errors="replace").splitlines()
        if not lines or lines[0].strip() != HEADER:
            return False
        cells = [line.split(",") for line in lines[1:]]
        return any(
            len(row) > 4 and ((row[1] == BOOK and not row[0]) or (row[1] == CHANGE and row[4].startswith("-")))
            for row in cells
        )

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        """Return one iterator per file; see `Importer.read`."""
        files = [_File(source, books, quality) for source in sources]
        recordings: dict[str, list[_File]] = {}
        for file in files:
            recordings.setdefault(file.recording, []).append(file)
        return [file.batches([x for x in recordings[file.recording] if x is not file]) for file in files]


class _File:
    """One file of a recording, read twice."""

    def __init__(self, source: Source, books: BookIndex, quality: QualityLog) -> None:
        self._source, self._log = source, quality.file(source.name)
        self.book = books.book(source.stem, venue="kalshi")
        self._market: Market = books.market(self.book)
        event = self._market.event
        self.recording = f"event {event}" if event is not None else f"file {source.stem}"

    @property
    def _grid(self) -> Grid | None:
        """The grid that every price must lie on: known only where it never changed."""
        grids = self._market.grids
        return grids[0][1] if len(grids) == 1 else None

    @cached_property
    def survey(self) -> Survey:
        return Survey(self._source, self._market.lot or LEAST_LOT, self._grid)

    def batches(self, others: Sequence[_File]) -> Iterator[Batch]:
        foreign = sorted(at for file in others for at in file.survey.restarts)
        yield from Replay(self._source, self.book, self.survey, foreign, self._log).batches(self._grid)


IMPORTER = KalshiCsv()
