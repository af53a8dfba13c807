"""Looking at a journal: without its locks, without writing to it, also while an engine runs or when it is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from arbkit.core.errors import JournalError
from arbkit.journal.codec import Fact
from arbkit.journal.disk import READ_ONLY, connect, refusals
from arbkit.journal.table import MIGRATIONS, Meta, checked_facts, read_meta, readable_facts


class Verified(NamedTuple):
    """What a whole journal says of itself; `first_at` and `last_at` are ns, 0 without records."""

    meta: Meta
    first_at: int
    last_at: int


def read_journal(path: Path | str, *, check: bool = True, newest: int = 1 + len(MIGRATIONS)) -> Iterator[Fact]:
    """Yield the facts of a journal in order, as they were when the first was read.

    Raises JournalError when there is none, JournalDamaged with the number of the first record that is wrong, after all
    that are right; without `check` every record that can still be read is yielded, and chain and end are not looked at.
    """
    path = Path(path)
    with inspected(path) as connection:
        meta = read_meta(connection, newest)
        yield from checked_facts(connection, meta) if check else readable_facts(connection)


def verify(path: Path | str, *, newest: int = 1 + len(MIGRATIONS)) -> Verified:
    """Read a journal from end to end. Raises JournalError as `read_journal` does; returning means that it is whole."""
    path = Path(path)
    first_at = last_at = 0
    with inspected(path) as connection:
        meta = read_meta(connection, newest)
        for fact in checked_facts(connection, meta):
            last_at = fact.at
            first_at = first_at or last_at
    return Verified(meta, first_at, last_at)


@contextmanager
def inspected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal for reading, all of it as of one moment; errors within are told with the file's name.

    A journal that was closed is read without leaving a trace. After a crash the write-ahead file of SQLite is read
    too, which needs its index beside it: that one may be made, the two that hold records are not touched.
    """
    if not path.exists():
        raise JournalError(f"{path}: there is no journal")
    wal = path.with_name(f"{path.name}-wal")
    connection = connect(path, READ_ONLY, immutable=not wal.exists())
    try:
        with refusals(path):
            connection.execute("BEGIN")
            yield connection
    finally:
        connection.close()
