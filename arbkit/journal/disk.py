"""Where records go: the one place that writes the file, and the words for what it refuses.

`Disk` is a seam: tests put faults between the journal and SQLite without touching either.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from arbkit.core.errors import JournalDamaged, JournalError

LOOK_S = 1.0  # between two looks at the write-ahead file
ASTRAY = "was deleted, moved or replaced while it was open: stop the engine and put it back"
BUSY_S = 0.1  # patience with another program's lock on the file; readers never hold one
BALLAST = 4 << 20  # bytes held back: some ten thousand records
READ_ONLY, READ_WRITE = "ro", "rw"

# What SQLite says when there is no room, or may be none: a quota that is used up is a failed write to it, and a name
# that finds no place in its folder a file that cannot be opened.
NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_CANTOPEN}
# What it says when the file itself is wrong, and not the world around it.
WRONG_FILE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another program holds it (database is locked)",
    sqlite3.SQLITE_LOCKED: "another program holds it (database is locked)",
    sqlite3.SQLITE_READONLY: "it cannot be written (read-only)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_IOERR: "the disk failed",
}


class DiskFull(JournalError):
    """There is no room, or may be none: giving up what is held back can help."""


class Row(NamedTuple):
    """One record as it is stored: its number from 1 on, its hash, its spelling."""

    number: int
    link: bytes
    body: bytes


class Head(NamedTuple):
    """The last record: its number and its hash, or 0 and what stands before the first."""

    number: int
    link: bytes


class Disk(Protocol):
    """Takes rows and keeps them. Called by one thread at a time."""

    def commit(self, rows: Sequence[Row]) -> None:
        """Keep all rows or none: after it they are on the disk. Raises JournalError, DiskFull for want of room."""
        ...

    def hold_back(self) -> bool:
        """Hold some room back for what must be written when the disk is full; False when there is none to hold."""
        ...

    def give_up(self) -> None:
        """Make free what was held back."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class SqliteDisk:
    """Implements `Disk` on a journal that exists; `head` is what its last record was when it was read.

    `kept` hears the number of the last record after each commit.
    """

    def __init__(
        self, path: Path, head: Head, ballast: int = BALLAST, kept: Callable[[int], object] = lambda _: None
    ) -> None:
        self._path = path
        self._head = head
        self._kept = kept
        self._name = os.fspath(path)
        self._wal = path.with_name(f"{path.name}-wal")
        self._journal_place = _place(path)
        self._wal_place: tuple[int, int] | None = None  # not there before something is written
        self._look_at = 0.0  # monotonic seconds
        self._ballast = path.with_name(f"{path.name}.ballast")
        self._ballast_bytes = ballast
        try:
            self._connection = _connected(path)
        except DiskFull:  # what was left open before is hedged first: it may use what is held back
            self.give_up()
            self._connection = _connected(path)

    def commit(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        self._check_place()
        head = Head(*rows[-1][:2])
        execute = self._connection.execute
        with refusals(self._path):
            try:
                execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT INTO facts (number, hash, body) VALUES (?, ?, ?)", rows)
                sealed = execute(
                    "UPDATE meta SET records = ?, head = ? WHERE records = ? AND head = ?", head + self._head
                )
                if sealed.rowcount != 1:
                    raise JournalDamaged("somebody else has written to it since it was opened")
                execute("COMMIT")
            finally:
                if self._connection.in_transaction:  # it did not get to its end
                    with suppress(sqlite3.Error):
                        self._connection.rollback()
        self._head = head
        if self._wal_place is None:
            with suppress(JournalError):  # it is kept, whatever can be said of its place
                self._wal_place = _place(self._wal)
        self._kept(head.number)

    def _check_place(self) -> None:
        """Raise JournalError when a file has lost its name: SQLite would go on writing to what nobody can find.

        The journal is looked up before each commit; its write-ahead file, which takes ten times as long where it was
        just synced, once a second.
        """
        if _place(self._name) != self._journal_place:
            raise JournalError(f"{self._path} {ASTRAY}")
        now = time.monotonic()
        if self._wal_place is not None and now >= self._look_at:
            if _place(self._wal) != self._wal_place:
                raise JournalError(f"{self._wal} {ASTRAY}")
            self._look_at = now + LOOK_S

    def hold_back(self) -> bool:
        try:
            if self._ballast.exists() and self._ballast.stat().st_size >= self._ballast_bytes:
                return True
            if shutil.disk_usage(self._ballast.parent).free < 2 * self._ballast_bytes:
                return False  # to take the last room for it would fill the disk
            with open(self._ballast, "wb", opener=_private) as file:
                file.write(os.urandom(self._ballast_bytes))  # some disks keep no room for zeros
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> None:
        with suppress(OSError):
            self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        self._connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    """Open a journal for writing such that a commit that returns is on the disk."""
    connection = connect(path, READ_WRITE)
    try:
        with refusals(path):
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode != "wal":
                raise JournalError(f"{path}: this file system cannot hold a journal (SQLite stays in mode {mode})")
            connection.execute("PRAGMA synchronous=FULL")  # in WAL mode: a commit is synced before it returns
            connection.execute("PRAGMA fullfsync=ON")  # macOS syncs to the drive's cache otherwise
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    """Open a file that exists, without transactions of its own making. Raises JournalError."""
    address = f"{path.resolve().as_uri()}?mode={mode}" + ("&immutable=1" if immutable else "")
    with refusals(path):
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda text: text.decode(errors="replace")  # damage is told by us, in words
    return connection


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into JournalError, DiskFull or JournalDamaged, and name the file that is damaged."""
    try:
        yield
    except JournalDamaged as damage:  # told by whoever knows the record, and not the file
        raise JournalDamaged(f"{path}: {damage}") from None
    except UnicodeDecodeError as error:  # a name in the file that is no text
        raise JournalDamaged(f"{path}: damaged, or not a journal: {error}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        words = f"{path}: {WORDS.get(code & 0xFF, 'SQLite refuses')}: {error}"
        if code in NO_ROOM:
            raise DiskFull(words) from error
        if code & 0xFF in WRONG_FILE:
            raise JournalDamaged(f"{path}: damaged, or not a journal: {error}") from error
        raise JournalError(words) from error


def _place(path: Path | str) -> tuple[int, int] | None:
    """Return which file is under a name, or None."""
    try:
        found = os.stat(path)  # noqa: PTH116 - before every commit
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error
    return found.st_dev, found.st_ino


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
