"""What is wrong with a recording, counted: refusing is normal, silence is a bug.

An importer keeps one `FileLog` per file while it reads; `Meter` replays the finished rows and measures what only
the books can tell. Both end in a `QualityReport`, which travels with the tape and is printed with every result.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import MarketTable
from arbkit.core.units import NS_PER_S, seconds

if TYPE_CHECKING:
    from arbkit.history.tape import Rows

SILENCE_NS = 60 * NS_PER_S  # a stream without connection marks that says nothing for longer counts as silent
REFUSED_LIMIT = 0.01  # share of refused rows above which a file is not the file it was taken for
BACKWARD_LIMIT_NS = 60 * NS_PER_S  # messages overtake each other by seconds; by more, a clock or the file is wrong
UNCOUNTED = ("venue_back", "venue_back_max_ns")  # what a report may lack
REFUSALS_KEPT = 20  # per file; all are counted, the first are quoted


class Refusal(NamedTuple):
    """One row that was left out: where it stood and why."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class FileLog:
    """The running count of one file while it is read."""

    file: str
    rows_read: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    duplicates: int = 0
    backward: int = 0
    backward_max_ns: int = 0
    quarantines: int = 0
    quarantined_rows: int = 0
    quarantined_ns: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def refuse(self, line: int, what: str, detail: str = "") -> None:
        """Count a row that is left out: `what` names field and fault, `detail` quotes the row."""
        self.refused += 1
        self.reasons[what] += 1
        if len(self.refusals) < REFUSALS_KEPT:
            self.refusals.append(Refusal(self.file, line, f"{what}: {detail}" if detail else what))

    def stamped(self, now: int, before: int) -> None:
        """Count a stamp that is earlier than the one before it (ns)."""
        if now < before:
            self.backward += 1
            self.backward_max_ns = max(self.backward_max_ns, before - now)

    def quarantine(self, rows: int, ns: int) -> None:
        """Count a stretch of rows whose book could not be believed."""
        self.quarantines += 1
        self.quarantined_rows += rows
        self.quarantined_ns += ns

    def note(self, text: str) -> None:
        """Keep a sentence about the file, once."""
        if text not in self.notes:
            self.notes.append(text)

    def check(self) -> None:
        """Raise DataError when the rows cannot be believed: too many were refused, or one is far out of order."""
        if self.refused > REFUSED_LIMIT * self.rows_read:
            first = self.refusals[0]
            raise DataError(
                f"{self.file}: {self.refused} of {self.rows_read} rows refused, more than {REFUSED_LIMIT:.0%}; "
                f"the first at line {first.line}: {first.reason}"
            )
        if self.backward_max_ns > BACKWARD_LIMIT_NS:
            raise DataError(
                f"{self.file}: a stamp lies {seconds(self.backward_max_ns):,.0f} s before the one above it, more than "
                f"{seconds(BACKWARD_LIMIT_NS):.0f} s: a wrong clock, or two recordings in one file"
            )


class QualityLog:
    """The counts of all files of one import."""

    def __init__(self) -> None:
        self.files: dict[str, FileLog] = {}
        self.notes: list[str] = []

    def file(self, name: str) -> FileLog:
        """Return the log of a file, new when it was not met before."""
        return self.files.setdefault(name, FileLog(name))

    def check(self) -> None:
        for log in self.files.values():
            log.check()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """What a replay of the rows tells; counts, ns, and shares as counts of (part, whole). None: it was not counted."""

    rows: int = 0
    prints: int = 0
    gaps: int = 0  # gap rows: times a book became unknown
    silences: int = 0  # intervals of more than 60 s without a row of a venue
    silence_max_ns: int = 0
    venue_back: int | None = None  # rows that a book's venue stamped before the row of it that arrived before them
    venue_back_max_ns: int | None = None
    crossed: int = 0  # message boundaries at which a known book is locked or crossed, left on the tape
    bests: int = 0  # best sizes seen at message boundaries, both sides
    bests_lower: int = 0  # of these, known only as a lower bound
    book_ns: int = 0  # time from first to last row, summed over books
    usable_ns: int = 0  # of this: known, not crossed, not silent

    def stamps_back(self) -> dict[str, int | float]:
        """Return the figures of the venue's stamps, nothing where they were not counted."""
        if self.venue_back is None or self.venue_back_max_ns is None:
            return {}
        return {"venue_stamps_back": self.venue_back, "venue_stamps_back_max_s": seconds(self.venue_back_max_ns)}


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityReport:
    """What an import read, refused and found; prints itself."""

    files: tuple[dict[str, Any], ...] = ()
    measures: Measures = Measures()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, log: QualityLog, measures: Measures) -> QualityReport:
        """Return the report of a finished import."""
        files = []
        for kept in log.files.values():
            plain = asdict(kept)
            plain["reasons"] = dict(sorted(kept.reasons.items()))
            plain["refusals"] = [[r.line, r.reason] for r in kept.refusals]
            files.append(plain)
        return cls(files=tuple(files), measures=measures, notes=tuple(log.notes))

    def total(self, name: str) -> int:
        """Return one count of `FileLog` summed over the files."""
        return int(sum(entry[name] for entry in self.files))

    @property
    def rows_read(self) -> int:
        return self.total("rows_read")

    @property
    def refused(self) -> int:
        return self.total("refused")

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The first refused rows of every file."""
        return tuple(Refusal(entry["file"], line, why) for entry in self.files for line, why in entry["refusals"])

    @property
    def lower_share(self) -> float:
        """Share of best sizes that are only a lower bound; 0 when there is none."""
        return self.measures.bests_lower / self.measures.bests if self.measures.bests else 0.0

    @property
    def usable_share(self) -> float:
        """Share of the books' time in which they are known, not crossed and not silent."""
        return self.measures.usable_ns / self.measures.book_ns if self.measures.book_ns else 0.0

    def figures(self) -> dict[str, int | float]:
        """Return the counts that every result prints."""
        found = self.measures
        return {
            "rows_read": self.rows_read,
            "refused": self.refused,
            "duplicates": self.total("duplicates"),
            "backward_stamps": self.total("backward"),
            "rows": found.rows,
            "prints": found.prints,
            "gaps": found.gaps,
            "silences": found.silences,
            "silence_max_s": seconds(found.silence_max_ns),
            **found.stamps_back(),
            "quarantines": self.total("quarantines"),
            "quarantined_rows": self.total("quarantined_rows"),
            "quarantined_s": seconds(self.total("quarantined_ns")),
            "crossed_left": found.crossed,
            "lower_bound_share": round(self.lower_share, 6),
            "usable_share": round(self.usable_share, 6),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            **self.figures(),
            "measures": asdict(self.measures),
            "files": [dict(entry) for entry in self.files],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> QualityReport:
        """Return the report that `to_dict` wrote; raise DataError naming what is missing."""
        try:
            names = {f.name for f in fields(Measures)}
            told: dict[str, Any] = {k: v for k, v in plain["measures"].items() if k in names}
            for name in {*told} - {k for k in UNCOUNTED if told.get(k) is None}:
                told[name] = int(told[name])
            measures = Measures(**told)
            return cls(files=tuple(plain["files"]), measures=measures, notes=tuple(plain["notes"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a quality report: {error}") from error

    def lines(self) -> list[tuple[str, str]]:
        """Return what the report says, (what, words), as it prints itself."""
        n, files = self.figures(), self.files
        lines = [
            ("rows read", f"{n['rows_read']:,}"),
            ("refused", f"{n['refused']:,}" + "".join(f"; {c} x {why}" for why, c in self._reasons())),
            ("duplicates", f"{n['duplicates']:,}"),
            ("backward stamps", _counted(n["backward_stamps"], max((f["backward_max_ns"] for f in files), default=0))),
            ("venue stamps back", _counted(self.measures.venue_back, self.measures.venue_back_max_ns)),
            ("rows on tape", f"{n['rows']:,}, of which {n['prints']:,} prints"),
            ("gaps", f"{n['gaps']:,}"),
            ("silences > 60 s", f"{n['silences']:,}, longest {n['silence_max_s']:,.0f} s"),
            (
                "quarantined",
                f"{n['quarantines']:,} stretches, {n['quarantined_rows']:,} rows, {n['quarantined_s']:,.0f} s",
            ),
            ("crossed, left", f"{n['crossed_left']:,} message boundaries"),
            ("lower-bound share", f"{self.lower_share:.2%} of {self.measures.bests:,} best sizes"),
            ("share usable", f"{self.usable_share:.2%} of the books' time"),
        ]
        lines += [(entry["file"], f"{k} {v:,.6g}") for entry in files for k, v in entry["figures"].items()]
        lines += [(entry["file"], note) for entry in files for note in entry["notes"]]
        return lines + [("note", note) for note in self.notes]

    def _reasons(self) -> Iterable[tuple[str, int]]:
        total: Counter[str] = Counter()
        for entry in self.files:
            total.update(entry["reasons"])
        return total.most_common(5)

    def __str__(self) -> str:
        lines = self.lines()
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in self.lines())
        return f"<table>{rows}</table>"


def _counted(count: float | None, largest_ns: int | None) -> str:
    if count is None:
        return "not counted: one clock, or a report of an earlier version"
    return f"{count:,}" + (f", largest {seconds(largest_ns):,.3f} s" if largest_ns else "")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import made: where the tape is, its digest, which format each file had, and the quality."""

    path: Path
    digest: str
    formats: dict[str, str]
    markets: int
    quality: QualityReport

    @property
    def rows(self) -> int:
        """Rows on the tape."""
        return self.quality.measures.rows

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        named = {"path": str(self.path), "digest": self.digest, "formats": dict(self.formats)}
        return {**named, "markets": self.markets, "rows": self.rows, "quality": self.quality.to_dict()}

    def __str__(self) -> str:
        files = ", ".join(f"{file} ({name})" for file, name in self.formats.items())
        return f"{self.path}: {self.rows:,} rows, {self.markets} markets, from {files}\n{self.quality}"

    def _repr_html_(self) -> str:
        head = html.escape(str(self).split("\n", 1)[0])
        return f"<p>{head}</p>{self.quality._repr_html_()}"


# -- replay --------------------------------------------------------------------------------------------------


class _Side:
    """One side of a book: levels as (size, lower bound), and the best of them."""

    __slots__ = ("best", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign  # +1: the highest price is best
        self.levels: dict[int, bool] = {}
        self.best: int | None = None

    def clear(self) -> None:
        self.levels.clear()
        self.best = None

    def put(self, price: int, size: int, lower: bool) -> None:
        if size:
            self.levels[price] = lower
            if self.best is None or (price - self.best) * self.sign > 0:
                self.best = price
        elif self.levels.pop(price, None) is not None and price == self.best:
            self.best = max(self.levels, key=lambda p: p * self.sign, default=None)


class _Stream:
    """The rows of one venue: alive at the last of them, silent when none came for longer than a minute."""

    __slots__ = ("at", "count", "longest", "silent")

    def __init__(self, at: int) -> None:
        self.at = at
        self.silent = self.count = self.longest = 0  # ns beyond the first minute, intervals, ns

    def heard(self, now: int) -> None:
        pause = now - self.at
        if pause > SILENCE_NS:
            self.silent += pause - SILENCE_NS
            self.count += 1
            self.longest = max(self.longest, pause)
        self.at = now


class _Measured:
    """One book while it is replayed; `silent`: ns its stream had been silent, up to the book's last row."""

    __slots__ = ("asks", "bids", "crossed", "first", "known", "last", "silent", "stream")

    def __init__(self, at: int, stream: _Stream) -> None:
        self.bids, self.asks = _Side(1), _Side(-1)
        self.known = self.crossed = False
        self.first = self.last = at
        self.stream, self.silent = stream, stream.silent


class Meter:
    """Replays rows in order, piece by piece, and measures them; holds the books and nothing else."""

    def __init__(self, venue_of: Callable[[int], str], *, both_clocks: bool) -> None:
        """`venue_of` names the stream that a book (number) belongs to."""
        self._venue_of, self._both = venue_of, both_clocks
        self._books: dict[int, _Measured] = {}
        self._streams: dict[str, _Stream] = {}
        self._rows = self._prints = self._gaps = self._crossed = 0
        self._bests = self._lower = self._usable = 0
        self._stamps: dict[int, int] = {}  # by book: what the venue stamped its last row with
        self._back = self._back_max = 0

    def add(self, rows: Rows) -> None:
        """Replay more rows (whole messages)."""
        touched: set[int] = set()
        columns = (rows.ts_recv, rows.book, rows.meta, rows.price, rows.size)
        self._rows += len(rows.ts_recv)
        self._stamped(rows)
        for ts, number, code, price, size in zip(*(column.tolist() for column in columns), strict=True):
            book = self._book(number, ts)
            kind = code & m.KIND_MASK
            if kind == m.KIND_LEVEL:
                side = book.bids if code & m.SIDE_MASK == m.SIDE_BID << m.SIDE_SHIFT else book.asks
                side.put(price, size, bool(code & m.LOWER))
            elif kind == m.KIND_PRINT:
                self._prints += 1
            elif kind in (m.KIND_CLEAR, m.KIND_GAP):
                self._gaps += kind == m.KIND_GAP
                book.bids.clear()
                book.asks.clear()
                book.known = kind == m.KIND_CLEAR
            touched.add(number)
            if code & m.LAST:
                for each in touched:
                    self._look(self._books[each])
                touched.clear()

    def _stamped(self, rows: Rows) -> None:
        """Count the rows that a venue stamped before what it had told of the same book already."""
        if not self._both or not len(rows.book):
            return
        order = np.argsort(rows.book, kind="stable")
        books, stamps = rows.book[order], rows.ts_venue[order]
        first = np.flatnonzero(np.diff(books, prepend=-1))  # of each book
        numbers, steps = books[first].tolist(), np.diff(stamps, prepend=stamps[0])
        steps[first] = stamps[first] - [self._stamps.get(*known) for known in zip(numbers, stamps[first], strict=True)]
        self._stamps.update(zip(numbers, stamps[[*first[1:] - 1, -1]].tolist(), strict=True))
        self._back += int(np.count_nonzero(steps < 0))
        self._back_max = max(self._back_max, -int(steps.min()))

    def _book(self, number: int, now: int) -> _Measured:
        """Return a book, its time advanced to `now` (ns)."""
        book = self._books.get(number)
        if book is None:
            stream = self._streams.setdefault(self._venue_of(number), _Stream(now))
            stream.heard(now)
            book = self._books[number] = _Measured(now, stream)
            return book
        stream = book.stream
        if now != stream.at:
            stream.heard(now)
        if now != book.last:
            if book.known and not book.crossed:
                self._usable += now - book.last - (stream.silent - book.silent)
            book.last, book.silent = now, stream.silent
        return book

    def _look(self, book: _Measured) -> None:
        bid, ask = book.bids.best, book.asks.best
        book.crossed = bid is not None and ask is not None and bid >= ask
        if not book.known:
            return
        self._crossed += book.crossed
        for side in (book.bids, book.asks):
            if side.best is not None:
                self._bests += 1
                self._lower += side.levels[side.best]

    def finish(self) -> Measures:
        """Return what was measured so far."""
        streams = self._streams.values()
        return Measures(
            rows=self._rows,
            prints=self._prints,
            gaps=self._gaps,
            silences=sum(stream.count for stream in streams),
            silence_max_ns=max((stream.longest for stream in streams), default=0),
            venue_back=self._back if self._both else None,
            venue_back_max_ns=self._back_max if self._both else None,
            crossed=self._crossed,
            bests=self._bests,
            bests_lower=self._lower,
            book_ns=sum(book.last - book.first for book in self._books.values()),
            usable_ns=self._usable,
        )


def measure(rows: Rows, markets: MarketTable, *, both_clocks: bool) -> QualityReport:
    """Return the report of rows that no import made: only what a replay tells."""
    meter = Meter(lambda book: markets.books[book].venue, both_clocks=both_clocks)
    meter.add(rows)
    return QualityReport(measures=meter.finish())
