"""From recordings to a tape: recognise, read, merge by time, measure, write; nothing is ever half-written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import cast

import numpy as np

from arbkit.core.errors import DataError
from arbkit.core.model import MarketTable
from arbkit.history.importers.apart import Apart
from arbkit.history.importers.base import Batch, BookIndex, Importer, Source
from arbkit.history.importers.merge import merged
from arbkit.history.markets import read_markets
from arbkit.history.places import path_of
from arbkit.history.quality import ImportReport, Meter, QualityLog, QualityReport
from arbkit.history.store import Facts, Spool, inside, refuse_foreign, replacing, write_folder
from arbkit.history.tape import Clocks, check_rows

__all__ = ["FORMATS", "common_clocks", "import_recording", "importer"]

# Each is a module here with an `IMPORTER`; tried in this order, the first that recognises a file reads it.
# (pmxt before tickscope, whose columns it has as well.)
FORMATS = (
    *("kalshi_csv", "polymarket_csv", "pmxt", "tickscope", "resolvedkit", "kalshi_ws"),
    *("quotes", "updown", "l2_collector", "kalshi_best"),
)

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def importer(name: str) -> Importer:
    """Return the importer of a format; raise DataError when there is none of that name."""
    if name not in FORMATS:
        raise DataError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return cast(Importer, import_module(f"{__name__}.{name}").IMPORTER)


def import_recording(
    sources: Paths,
    dest: str | PathLike[str],
    markets: str | PathLike[str] | None = None,
    format: str | Importer = "auto",
    *,
    source: str = "",
    licence: str = "",
) -> ImportReport:
    """Read recordings (files, or folders of them) and write one tape to the folder `dest`.

    `format` is the name of an importer, "auto" (the first that recognises a file reads it), or an importer of your
    own: see `Importer`. `markets` is a markets.toml; without one every market is unknown. `source` and `licence` are kept with the tape.
    The same files give the same tape whatever their order; a tape at `dest` is replaced as a whole at the end, and
    on any error it stays as it was. Raises DataError for an unknown format, a file that cannot be used, more than
    1 % of refused rows, two files that tell of one book at the same time, or a `dest` that is not a tape.
    """
    refuse_foreign(path_of(dest, "where a tape is written").absolute())
    spec = read_markets(path_of(markets, "markets.toml")) if markets is not None else None
    books = BookIndex(spec)
    found = sorted(_files(sources), key=lambda s: (books.rank(s.stem), s.stem, s.name))
    groups = _recognised(found, format)
    clocks = common_clocks(groups)
    log = QualityLog()
    with replacing(dest) as folder:
        spool = Spool(folder / "spool")
        try:
            meter, recorded = _spooled(spool, _streams(groups, found, books, log), books, clocks)
            log.check()
            if not spool.rows:
                raise DataError(f"{', '.join(s.name for s in found)}: not one usable row")
            table = books.table(recorded)
            log.notes += _notes(books, table, recorded)
            quality = QualityReport.of(log, meter.finish())
            rows = spool.mapped(len(table.books))
            check_rows(table, rows)
            facts = Facts(source or ", ".join(s.name for s in found), licence, False, clocks, quality)
            digest = write_folder(folder, table, rows, facts)
            del rows  # before the files under it go
        finally:
            spool.remove()
    formats = {s.name: i.name for i, group in groups for s in group}
    return ImportReport(path_of(dest, "a tape"), digest, formats, len(table.markets), quality)


def _files(given: Paths) -> list[Source]:
    paths = [given] if isinstance(given, (str, PathLike)) else list(given)
    files: list[Path] = []
    for path in [path_of(each, "a recording") for each in paths]:
        if path.is_dir():
            files += sorted(inside(path, x) for x in path.iterdir() if x.is_file() and not x.name.startswith("."))
        else:
            files.append(path)
    if not files:
        raise DataError(f"no file to import in {', '.join(map(str, paths)) or 'an empty list'}")
    stems: dict[str, Path] = {}
    for file in files:
        stem = Source.at(file).stem
        if stem in stems:
            raise DataError(f"{file}: has the same name as {stems[stem]}; which market is it?")
        stems[stem] = file
    return [Source.at(file) for file in files]


def _recognised(found: Sequence[Source], format: str | Importer) -> list[tuple[Importer, list[Source]]]:
    """Return the importers and what each reads; raise DataError for a file that none of them knows."""
    names = FORMATS if format == "auto" else (format,)
    known = [importer(name) if isinstance(name, str) else name for name in names]
    groups: dict[str, tuple[Importer, list[Source]]] = {}
    for source in found:
        head = source.head()
        reader = next((each for each in known if each.recognises(source.path, head)), None)
        if reader is None:
            looked = "\n".join(f"  {each.name}: {each.looked_for}" for each in known)
            raise DataError(f"{source.path}: not a recording that is known here; looked for\n{looked}")
        groups.setdefault(reader.name, (reader, []))[1].append(source)
    return list(groups.values())


def common_clocks(groups: Sequence[tuple[Importer, list[Source]]]) -> Clocks:
    """Return the clocks that all recordings have; raise DataError where they differ."""
    said: dict[Clocks, str] = {reader.clocks: group[0].name for reader, group in groups}
    if len(said) > 1:
        told = ", ".join(f"{name} has {clocks}" for clocks, name in said.items())
        raise DataError(f"recordings with different clocks do not make one tape: {told}")
    return next(iter(said))


def _streams(
    groups: Sequence[tuple[Importer, list[Source]]], found: Sequence[Source], books: BookIndex, log: QualityLog
) -> list[Iterator[Batch]]:
    """Return the streams in the order that ties follow: that of the files, a group standing at its first one."""
    ranked: list[tuple[int, str, Iterator[Batch]]] = []
    for reader, group in groups:
        streams = reader.read(group, books, log)
        names = [each.name for each in group] if len(streams) > 1 else [", ".join(each.name for each in group)]
        for source, name, stream in zip(group[: len(streams)], names, streams, strict=True):
            ranked.append((found.index(source), name, stream))
    ranked.sort(key=lambda entry: entry[0])
    if len(ranked) == 1:
        return [ranked[0][2]]
    apart = Apart(books)
    return [apart.watched(name, stream) for _, name, stream in ranked]


def _spooled(spool: Spool, streams: list[Iterator[Batch]], books: BookIndex, clocks: Clocks) -> tuple[Meter, set[int]]:
    """Merge the streams onto disk; return what was measured on the way and which books have rows."""
    from tqdm.auto import tqdm

    meter, recorded = Meter(books.venue_of, both_clocks=clocks == "both"), set()
    with tqdm(unit=" rows", unit_scale=True, delay=2, desc="importing", leave=False) as bar:
        for batch in merged(streams):
            spool.append(batch)
            meter.add(batch)
            recorded.update(np.unique(batch.book).tolist())
            bar.update(len(batch.ts_recv))
    return meter, recorded


def _notes(books: BookIndex, table: MarketTable, recorded: set[int]) -> list[str]:
    notes = []
    if books.unlisted:
        some = ", ".join(books.unlisted[:5]) + (", ..." if len(books.unlisted) > 5 else "")
        notes.append(f"not in markets.toml, imported as unknown: {some} ({len(books.unlisted)})")
    unseen = [f"{x.venue}:{x.id}" for i, x in enumerate(table.markets) if not {2 * i, 2 * i + 1} & recorded]
    if unseen:
        some = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
        notes.append(f"in markets.toml, but without rows: {some} ({len(unseen)})")
    return notes
