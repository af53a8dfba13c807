"""Which file a person means by a journal: a slip of the pen must be told before it is taken for a stop."""

from __future__ import annotations

import re
from pathlib import Path

from arbkit.core.errors import JournalDamaged, JournalError
from arbkit.journal.lock import is_locked
from arbkit.journal.reading import inspected
from arbkit.journal.table import MIGRATIONS, read_meta

# What lies beside a journal: SQLite's files, the lock, what is held back, the kill file and its log, older versions.
SQLITE = b"SQLite format 3\0"
BESIDE = re.compile(r"(.+?)(-wal|-shm|-journal|\.lock|\.ballast|\.kill|\.kill\.log|\.v\d+\.backup)")


def not_a_journal(path: Path) -> str:
    """Say why no engine can be on a file of this name, and which name may be meant; nothing when one can be.

    A journal that an engine has locked is one, whatever became of the file; what cannot be looked at may be one.
    """
    path = path.resolve()
    if path.is_dir():
        names = sorted(one.name.removesuffix(".lock") for one in path.glob("*.lock"))
        return f"{path} is a folder{_meant(names)}"
    if is_locked(path):
        return ""
    if base := journal_beside(path):
        return f"{path.name} only lies beside a journal{_meant([base.name])}"
    if not path.exists():
        return f"{path}: there is no journal"
    try:
        with inspected(path) as connection:
            read_meta(connection, 1 + len(MIGRATIONS))
    except JournalDamaged as error:
        return f"no engine has it, and {error}"
    except JournalError:
        pass
    return ""


def journal_beside(path: Path) -> Path | None:
    """Return the journal, there or locked, that a file lies beside, going by its name."""
    found = BESIDE.fullmatch(path.name)
    if found is None:
        return None
    base = path.with_name(found[1])
    return base if base.is_file() or is_locked(base) else None


def not_to_be_written_over(path: Path) -> str:
    """Say why a file may not be replaced by an export: it is a journal or another database, or an engine's."""
    if is_locked(path):
        return f"{path} is the journal of an engine that runs"
    try:
        with path.open("rb") as file:
            is_database = file.read(len(SQLITE)) == SQLITE
    except OSError:
        return ""
    return f"{path} is a journal, or another database" if is_database else ""


def _meant(names: list[str]) -> str:
    return f": name the journal itself, {' or '.join(names[:3])}" if names else ""
