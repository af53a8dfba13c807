"""How to add an importer: one class that tells its files and turns their lines into rows. All of it is here.

The format: text lines `seconds bid shares ask shares`, one file per market, received stamps, whole tops of book.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from arbkit.core.errors import DataError
from arbkit.core.model import Level
from arbkit.history.importers import import_recording
from arbkit.history.importers.base import Batch, BookIndex, MessageWriter, Source, recorded_ns, snap_price, snap_size
from arbkit.history.importers.snapshots import Snapshot, SnapshotWriter
from arbkit.history.quality import FileLog, QualityLog
from arbkit.history.tape import Clocks, read_tape


class Tops:
    name = "tops"
    looked_for = "a text file whose name ends in .tops"
    clocks: Clocks = "recv"

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".tops" and head[:1].isdigit()

    def read(self, sources: Sequence[Source], books: BookIndex, quality: QualityLog) -> Sequence[Iterator[Batch]]:
        return [self._rows(source, books, quality.file(source.name)) for source in sources]

    def _rows(self, source: Source, books: BookIndex, log: FileLog) -> Iterator[Batch]:
        out = MessageWriter()
        writer = SnapshotWriter(out)
        before = 0
        for number, text, _ in source.lines():
            log.rows_read += 1
            try:
                stamp, bid, bid_size, ask, ask_size = text.split()
                at = recorded_ns(stamp)
                bids, asks = {snap_price(bid): snap_size(bid_size)}, {snap_price(ask): snap_size(ask_size)}
            except ValueError as error:
                log.refuse(number, "line: cannot be read", str(error))
                continue
            log.stamped(at, before)
            before = at
            writer.write(at, Snapshot(books.book(source.stem, venue="demo"), bids, asks), log)
            out.end()
            if out.full:
                yield out.take()
        writer.finish()
        yield out.take()


def test_a_format_of_ones_own_becomes_a_tape_with_its_quality_counted(tmp_path: Path) -> None:
    lines = [f"{1_780_000_000 + i} 0.40 {100 + i} 0.42 7" for i in range(200)]
    lines[120] = "1780000120 0.43 1 0.42 7"  # crossed
    lines[150] = "yesterday 0.40 1 0.42 7"
    (tmp_path / "m.tops").write_text("\n".join(lines) + "\n")
    report = import_recording(tmp_path / "m.tops", tmp_path / "tape", format=Tops())
    tape = read_tape(tmp_path / "tape")
    assert report.formats == {"m.tops": "tops"}
    assert (report.quality.rows_read, report.quality.refused, report.quality.measures.gaps) == (200, 1, 1)
    assert report.quality.refusals[0].line == 151
    state = tape.books_at(int(tape.rows.ts_recv[-1]))[0]
    assert (state.bids, state.asks) == ((Level(400_000, 299_000_000),), (Level(420_000, 7_000_000),))


def test_an_importer_of_ones_own_reads_no_file_that_it_does_not_recognise(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match=r"tops: a text file whose name ends in \.tops"):
        import_recording(tmp_path / "m.txt", tmp_path / "tape", format=Tops())
