"""Which time the files of an hourly archive cover: by the hour in their names and by the stamps inside."""

from __future__ import annotations

import re

import numpy as np

from arbkit.core.errors import DataError
from arbkit.core.units import NS_PER_S
from arbkit.history.importers.base import Source
from arbkit.history.quality import FileLog
from arbkit.history.stamps import parse_ns

HOUR_NS = 3_600 * NS_PER_S
HOUR = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2})$")
MISSING = "missing hours"
OUTSIDE = "rows received outside the hour that the name says"


def hour_of(source: Source) -> int | None:
    """Return when the hour begins that a file's name ends in (ns), None when it names none.

    Raises DataError for a name that ends in an hour that cannot be.
    """
    found = HOUR.search(source.stem)
    try:
        return parse_ns(f"{found[1]}T{found[2]}:00:00Z") if found else None
    except ValueError as error:
        raise DataError(f"{source.path}: its name ends in an hour that cannot be: {error}") from None


def utc(ns: int) -> str:
    return f"{np.datetime64(ns // NS_PER_S, 's')} UTC"


class Stretch:
    """What one file covers: the hour of its name, and the stamps met inside."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.hour = hour_of(source)
        self._rows = self._outside = 0
        self._first, self._last = 1 << 62, -1

    @property
    def begins(self) -> int | None:
        """When what is covered begins (ns); None for a file without a row whose name tells no hour."""
        return self.hour if self.hour is not None else (self._first if self._rows else None)

    @property
    def ends(self) -> int | None:
        """When it ends (ns): a quiet end of a named hour is covered as well."""
        named = self.hour + HOUR_NS if self.hour is not None else -1
        return None if self.begins is None else max(named, self._last)

    def add(self, stamps: np.ndarray) -> None:
        """Take the received stamps of rows (ns)."""
        if not len(stamps):
            return
        self._rows += len(stamps)
        self._first, self._last = min(self._first, int(stamps.min())), max(self._last, int(stamps.max()))
        if self.hour is not None:
            self._outside += int(((stamps < self.hour) | (stamps >= self.hour + HOUR_NS)).sum())

    def check(self, log: FileLog) -> None:
        """Note what the name and the stamps tell differently; raise DataError when most rows are of another hour."""
        if not log.rows_read:
            log.note("holds no row: a quiet hour" if self.hour is not None else "holds no row")
        if self.hour is None or not self._outside:
            return
        told = (
            f"its name says the hour from {utc(self.hour)}, and {self._outside} of {self._rows} rows lie outside of it"
        )
        span = f"received from {utc(self._first)} to {utc(self._last)}"
        if 2 * self._outside > self._rows:
            raise DataError(f"{self._source.path}: {told}, {span}: which hour is it? Name it by that, or by none")
        log.figures[OUTSIDE] = self._outside
        log.note(f"{told}, {span}")


class Coverage:
    """What the files so far cover, in order of time."""

    def __init__(self) -> None:
        self._until: int | None = None
        self._hour: int | None = None

    def next(self, stretch: Stretch, log: FileLog) -> int | None:
        """Take the next file; return when what no file covers begins (ns), None where less than an hour is missing."""
        until, begins = self._until, stretch.begins
        if stretch.ends is not None:
            self._until = max(stretch.ends, until or 0)
        named, self._hour = self._hour is not None and stretch.hour is not None, stretch.hour
        if until is None or begins is None or begins - until < HOUR_NS:
            return None
        log.figures[MISSING] = (begins - until) // HOUR_NS
        said = "no file of the hour before" if named else f"no file covers the time from {utc(until)} to {utc(begins)}"
        log.note(f"{said}: every book is unknown from {utc(until)} on")
        return until
