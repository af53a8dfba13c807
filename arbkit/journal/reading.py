"""Looking at a journal: without its locks, without writing to it, also while an engine runs or when it is damaged."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from arbkit.core.errors import JournalDamaged, JournalError
from arbkit.journal.codec import Fact
from arbkit.journal.disk import READ_ONLY, connect, refusals
from arbkit.journal.latest import Latest
from arbkit.journal.table import MIGRATIONS, Meta, checked_facts, read_meta, readable_facts

log = logging.getLogger(__name__)

NEWEST = 1 + len(MIGRATIONS)
UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
Tell = Callable[[str], object]


class Verified(NamedTuple):
    """What a whole journal says of itself; `first_at` and `last_at` are ns, 0 without records."""

    meta: Meta
    first_at: int
    last_at: int


def _logged(words: str) -> None:
    log.info("journal.read_again", extra={"reason": words})


def read_journal(path: Path | str, *, check: bool = True, newest: int = NEWEST, tell: Tell = _logged) -> Iterator[Fact]:
    """Return the facts of a journal in order, one by one, as they were when the first was read.

    Raises JournalError when there is none, JournalDamaged with the number of the first record that is wrong, after all
    that are right; without `check` every record that can still be read is yielded, and chain and end are not looked at.
    When an engine begins to write meanwhile, what is not yielded yet is read anew, and `tell` hears of it.
    """
    return chain.from_iterable(_read(Path(path), [], check, newest, tell))


def verify(path: Path | str, *, newest: int = NEWEST, tell: Tell = _logged) -> Verified:
    """Read a journal from end to end. Raises JournalError as `read_journal` does; returning means that it is whole."""
    metas: list[Meta] = []
    first_at = last_at = 0
    for fact in chain.from_iterable(_read(Path(path), metas, True, newest, tell)):
        last_at = fact.at
        first_at = first_at or last_at
    return Verified(metas[-1], first_at, last_at)


def latest_of(path: Path | str, *, newest: int = NEWEST, locks: Path | None = None) -> Latest:
    """Return where this machine last saw a journal end: asked before it is verified, as an engine may go on writing."""
    with inspected(Path(path)) as connection:
        return Latest(read_meta(connection, newest), locks)


def _read(path: Path, metas: list[Meta], check: bool, newest: int, tell: Tell) -> Iterator[list[Fact]]:
    """Yield the facts by blocks, and add to `metas` what the journal says of itself, each time that it is read."""
    given = 0
    while True:
        before = _state(path)

        def unchanged(before: _State = before) -> None:
            if not before.wal and before != _state(path):
                raise JournalError(f"{path}: an engine has opened it meanwhile")

        try:
            with inspected(path, cut=not check) as connection:
                metas.append(read_meta(connection, newest))
                blocks = checked_facts(connection, metas[-1]) if check else readable_facts(connection, unchanged)
                seen = 0
                for block in blocks:
                    seen += len(block)
                    if seen > given:
                        fresh, given = block[given - seen :], seen
                        yield fresh
        except JournalError:
            # Without a write-ahead file it is read as what nobody changes; an engine that opens it then changes it.
            if before.wal or before == _state(path):
                raise
            tell(f"{path}: an engine has opened it meanwhile: reading it again from there")
        else:
            return


class _State(NamedTuple):
    """What changes when somebody writes to a journal, and whether there is a write-ahead file."""

    wal: bool
    file: tuple[int, int, int]


def _state(path: Path) -> _State:
    wal = _wal(path).exists()
    try:
        found = path.stat()
    except OSError:
        return _State(wal, (0, 0, 0))
    return _State(wal, (found.st_ino, found.st_size, found.st_mtime_ns))


@contextmanager
def inspected(path: Path, *, cut: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a journal for reading, all of it as of one moment; errors within are told with the file's name.

    A journal that was closed is read without leaving a trace. After a crash the write-ahead file of SQLite is read
    too, which needs its index beside it: that one may be made, the two that hold records are not touched. One that
    may be `cut` is read as far as it goes.
    """
    if path.is_dir():
        raise JournalDamaged(f"{path}: it is a folder, not a journal")
    if not path.exists():
        raise JournalError(f"{path}: there is no journal")
    if not path.stat().st_size:
        raise JournalDamaged(f"{path}: it is an empty file, not a journal")
    wal = _wal(path).exists()
    connection = connect(path, READ_ONLY, immutable=not wal)
    try:
        with refusals(path):
            try:
                if cut:
                    connection.execute("PRAGMA writable_schema=ON")  # or SQLite opens no file that is too short
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master")  # here it is opened, and not before
            except sqlite3.OperationalError as error:
                if wal and error.sqlite_errorcode & 0xFF in UNWRITABLE and not os.access(path.parent, os.W_OK):
                    raise JournalError(
                        f"{path}: its last records are in {_wal(path).name}, which can only be read in a folder that can"
                        " be written: copy both into one, and look at the copy"
                    ) from error
                raise
            yield connection
    finally:
        connection.close()


def _wal(path: Path) -> Path:
    return path.parent / f"{path.name}-wal"
