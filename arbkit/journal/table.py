"""The journal's file: one row that says whose it is and where it ends, and one row for each record.

A change of this layout is a new version and a migration. Migrations add to the file; the columns read here, the
records and their hashes stay as they were written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from arbkit.core.errors import JournalDamaged
from arbkit.journal.codec import Fact, decode, decode_block, genesis, link

Migration = Callable[[sqlite3.Connection], None]

# MIGRATIONS[n] leads from version n + 1 to n + 2. It runs inside a transaction: `execute` only, never `executescript`.
MIGRATIONS: tuple[Migration, ...] = ()

SCHEMA = (
    """CREATE TABLE meta (
        version INTEGER NOT NULL, account TEXT NOT NULL, environment TEXT NOT NULL, created TEXT NOT NULL,
        records INTEGER NOT NULL, head BLOB NOT NULL
    )""",
    "CREATE TABLE facts (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL)",
)
RECORDS = "SELECT number, hash, body FROM facts ORDER BY number"
BLOCK = 256  # records fetched at once: more is not faster


class Meta(NamedTuple):
    """Whose journal it is, when (UTC) and in which layout it was made, and its last record's number and hash."""

    version: int
    account: str
    environment: str
    created: str
    records: int
    head: bytes

    @property
    def genesis(self) -> bytes:
        return genesis(self.account, self.environment, self.created)


def read_meta(connection: sqlite3.Connection, newest: int) -> Meta:
    """Return the row that says whose it is. Raises JournalDamaged when it is wrong or of a version above `newest`."""
    rows = connection.execute("SELECT version FROM meta").fetchall()
    version = rows[0][0] if len(rows) == 1 else None
    if not isinstance(version, int) or version < 1:
        raise JournalDamaged(f"its version is {version!r}, which no arbkit wrote: restore a copy of it")
    if version > newest:
        raise JournalDamaged(
            f"it is of version {version} and this arbkit knows up to {newest}: use the arbkit that wrote it, or a newer"
        )
    row = connection.execute("SELECT version, account, environment, created, records, head FROM meta").fetchone()
    if [type(value) for value in row] != [int, str, str, str, int, bytes]:
        raise JournalDamaged("the row that says whose journal it is cannot be read")
    return Meta(*row)


def checked_facts(connection: sqlite3.Connection, meta: Meta) -> Iterator[list[Fact]]:
    """Yield every fact in order, by blocks; JournalDamaged names the first record that is wrong or missing."""
    before, number = meta.genesis, 0
    for block in _blocks(connection):
        for at, (found, stored, body) in enumerate(block):
            number += 1
            if found != number:
                yield _facts(block[:at])
                raise JournalDamaged(f"record {number} is missing: after {number - 1} comes {found}")
            if type(body) is not bytes or (before := link(before, body)) != stored:
                yield _facts(block[:at])
                raise JournalDamaged(f"record {number} is not what was written: its hash does not follow")
        yield _facts(block)
    if number < meta.records:
        raise JournalDamaged(f"record {number + 1} is missing: {meta.records} were written")
    if (number, before) != (meta.records, meta.head):
        raise JournalDamaged(f"it does not end where it ended: {meta.records} records were written, {number} are there")


def readable_facts(connection: sqlite3.Connection, fetched: Callable[[], object]) -> Iterator[list[Fact]]:
    """Yield what can be read and check nothing; a record that cannot is a fact `record.damaged` under its number.

    `fetched` is called with each, before it is yielded, and may raise.
    """
    last, is_gone = 0, False
    try:
        for number, _, body in connection.execute(RECORDS):  # one by one: with a block, an error takes all of it
            fetched()
            if number <= last:  # SQLite yields them in order: it reads where the file was cut
                if not is_gone:
                    yield [_damaged(last + 1, "the file was cut here, or a part of it was wiped")]
                is_gone = True
                continue
            last, is_gone = number, False
            try:
                yield [decode(number, body)]
            except JournalDamaged as error:
                yield [_damaged(number, str(error))]
    except sqlite3.DatabaseError as error:
        fetched()
        yield [_damaged(last + 1, f"nothing can be read from here on: {error}")]


def _damaged(number: int, why: str) -> Fact:
    return Fact(0, "record.damaged", str(number), {"why": why})


def _blocks(connection: sqlite3.Connection) -> Iterator[list[tuple[int, bytes, bytes]]]:
    rows = connection.execute(RECORDS)
    while block := rows.fetchmany(BLOCK):
        yield block


def _facts(block: Sequence[tuple[int, bytes, bytes]]) -> list[Fact]:
    return decode_block(block[0][0], [body for _, _, body in block]) if block else []
