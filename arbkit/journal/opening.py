"""What happens before a journal is written to: it is made, or proven to be whole, ours and of this version."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from arbkit.core.errors import JournalDamaged, JournalError
from arbkit.core.files import written
from arbkit.journal.codec import genesis
from arbkit.journal.disk import READ_WRITE, connect, refusals
from arbkit.journal.latest import Latest
from arbkit.journal.reading import verify
from arbkit.journal.table import SCHEMA, Meta, Migration, checked_facts, read_meta


def opened(
    path: Path, account: str, environment: str, migrations: Sequence[Migration], locks: Path | None = None
) -> tuple[Meta, Latest]:
    """Return what a journal, made if there is none, says of itself, and the note of its end in the folder of locks.

    Its lock is held by whoever calls. Raises JournalDamaged when it is not whole or lacks what this machine wrote to
    it, and JournalError when it is of another account or environment or cannot be read; in all cases nothing was
    changed. An older version is copied beside itself and led to the newest.
    """
    newest = 1 + len(migrations)
    try:
        if not path.exists():
            _create(path, account, environment, migrations)
        # SQLite opens what it may not write for reading, and leaves files beside it that stay so.
        if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise JournalError(f"{path}: it cannot be written (read-only)")
        meta, _, _ = verify(path, newest=newest)
        if (meta.account, meta.environment) != (account, environment):
            raise JournalError(
                f"{path} is the journal of account {meta.account!r} ({meta.environment}), not of {account!r} ({environment})"
            )
        latest = Latest(meta, locks)
        if lacking := latest.lacking(meta.records):
            raise JournalDamaged(f"{path}: {lacking}")
        if meta.version < newest:
            _migrate(path, meta.version, migrations)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error
    return meta, latest


def _create(path: Path, account: str, environment: str, migrations: Sequence[Migration]) -> None:
    """Make an empty journal, readable by its owner only; it is there whole or not at all."""
    for left in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
        if left.exists():  # SQLite would take it for a part of the new file
            raise JournalDamaged(f"{path} is missing but {left.name} is there: restore it, or move {left.name} away")
    created = datetime.now(UTC).isoformat(timespec="microseconds")  # no other journal of the account began just then
    start = genesis(account, environment, created)
    with written(path) as temporary:
        connection = _connected_to_new(temporary)
        try:
            with refusals(path):
                connection.execute("BEGIN")
                for statement in SCHEMA:
                    connection.execute(statement)
                meta = Meta(1, account, environment, created, 0, start)
                connection.execute("INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?)", meta)
                _step(connection, 1, migrations)
                connection.execute("COMMIT")
        finally:
            connection.close()
    _sync_folder(path.parent)


def _migrate(path: Path, version: int, migrations: Sequence[Migration]) -> None:
    """Copy a journal as it is beside it, then lead it to the newest version: all or nothing, and still whole."""
    source = connect(path, READ_WRITE)
    try:
        with refusals(path):
            with written(path.with_name(f"{path.name}.v{version}.backup")) as temporary:
                copy = _connected_to_new(temporary)
                try:
                    source.backup(copy)
                finally:
                    copy.close()
            _sync_folder(path.parent)
            source.execute("BEGIN IMMEDIATE")
            before = read_meta(source, version)
            _step(source, version, migrations)
            after = read_meta(source, 1 + len(migrations))
            if before[1:] != after[1:]:
                raise JournalDamaged(f"a migration changed what may not change: {before} became {after}")
            for _ in checked_facts(source, after):
                pass
            source.execute("COMMIT")
    finally:
        source.close()  # what was not committed is undone


def _step(connection: sqlite3.Connection, version: int, migrations: Sequence[Migration]) -> None:
    for step in migrations[version - 1 :]:
        step(connection)
    connection.execute("UPDATE meta SET version = ?", (1 + len(migrations),))


def _connected_to_new(path: Path) -> sqlite3.Connection:
    """Open an empty file that only its owner can read; SQLite gives what it puts beside it the same mode."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return connect(path, READ_WRITE)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where folders can be synced."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
