# ruff: noqa: N802
"""Real disks that are full, foreign, locked or gone: entries are refused, nothing pretends, and all recovers."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from arbkit.core.errors import JournalDamaged, JournalError
from arbkit.journal.disk import Disk, DiskFull, refusals
from arbkit.journal.store import JournalFile, read_journal, verify
from tests.unit.journal.disks import FaultyDisk, open_journal, written_journal


async def reason(journal: JournalFile, *, reducing: bool = False) -> str:
    try:
        await journal.durable(reducing=reducing)
    except JournalError as refusal:
        return str(refusal)
    return ""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root of a Linux can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on a disk."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for step in (65536, 1):
            try:
                while True:
                    file.write(b"x" * step)
            except OSError:
                pass
    return path


async def test_fault_D1_on_a_full_disk_entries_are_refused_and_reducing_orders_are_kept(
    small: Path, tmp_path: Path
) -> None:
    path = small / "a.journal"
    with open_journal(path, locks=tmp_path / "locks", ballast=1 << 18) as journal:
        journal.append(1, "order.intent", "first")
        assert await reason(journal) == ""
        filler = fill(small)
        for number in range(50):
            journal.append(number, "order.intent", "entry", why="x" * 1000)
        assert "the disk is full" in await reason(journal)
        assert "the disk is full" in journal.unhealthy
        assert [fact.key for fact in journal.facts] == ["first"]
        journal.append(2, "order.intent", "undo")
        assert await reason(journal, reducing=True) == ""
        assert [fact.key for fact in journal.facts] == ["first", *["entry"] * 50, "undo"]
        journal.append(3, "order.intent", "entry")
        assert "the disk is full" in await reason(journal)
        assert "the disk is full" in journal.unhealthy
        journal.append(4, "order.cancel", "first")
        assert await reason(journal, reducing=True) == ""
        filler.unlink()
        journal.append(5, "order.intent", "again")
        assert await reason(journal) == ""
        assert journal.unhealthy == ""
        assert path.with_name("a.journal.ballast").stat().st_size == 1 << 18
    assert [fact.key for fact in read_journal(path)][-5:] == ["entry", "undo", "entry", "first", "again"]


async def test_fault_D1_an_engine_that_starts_on_a_full_disk_can_still_reduce(small: Path, tmp_path: Path) -> None:
    path = small / "a.journal"
    settings = {"locks": tmp_path / "locks", "ballast": 1 << 18}
    written_journal(path, **settings)
    fill(small)
    with open_journal(path, **settings) as journal:
        assert "the disk is full" in journal.unhealthy
        journal.append(1, "order.intent", "entry")
        assert "the disk is full" in await reason(journal)
        journal.append(1, "order.cancel", "order-1")
        assert await reason(journal, reducing=True) == ""
    assert verify(path).meta.records == 7


def test_fault_D1_a_journal_that_finds_no_room_is_refused_in_words(small: Path, tmp_path: Path) -> None:
    fill(small)
    with pytest.raises(JournalError, match=r"a\.journal"):
        open_journal(small / "a.journal", locks=tmp_path / "locks")
    assert not (small / "a.journal").exists()


@pytest.mark.skipif(os.name != "posix", reason="file sizes are limited by POSIX")
def test_fault_D3_a_write_that_fails_is_not_durable(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    code = f"""
import asyncio, resource, signal
from pathlib import Path
from arbkit.core.errors import JournalError
from arbkit.journal.store import JournalFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def work(journal, number):
    journal.append(number, "order.intent", "x" * 100_000)
    try:
        await journal.durable()
    except JournalError as refusal:
        return str(refusal)
with JournalFile(Path({str(path)!r}), account="me", locks=Path({str(tmp_path / "locks")!r}), ballast=1) as journal:
    assert asyncio.run(work(journal, 1)) is None
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, most))
    print(asyncio.run(work(journal, 2)), journal.pending, journal.unhealthy != "")
    print(len(list(journal.facts)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert asyncio.run(work(journal, 3)) is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "disk I/O error" in first
    assert first.endswith(" 1 True")
    assert second == "1"
    assert [fact.at for fact in read_journal(path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk failed"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk failed"),
        (sqlite3.SQLITE_READONLY, "read-only"),
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_BUSY, "database is locked"),
        (sqlite3.SQLITE_NOMEM, "SQLite refuses"),
    ],
)
async def test_fault_D3_what_sqlite_says_becomes_a_refusal_in_words(tmp_path: Path, code: int, words: str) -> None:
    error = sqlite3.OperationalError("as it says")
    error.sqlite_errorcode = code
    path = tmp_path / "a.journal"
    disks: list[FaultyDisk] = []

    def faulty(disk: Disk) -> Disk:
        disks.append(FaultyDisk(disk))
        return disks[0]

    with open_journal(path, through=faulty) as journal:
        with pytest.raises(JournalError) as caught, refusals(path):
            raise error
        disks[0].fault = caught.value
        journal.append(1, "order.intent", "k")
        assert words in await reason(journal)
        assert words in journal.unhealthy
        assert list(journal.facts) == []
        disks[0].fault = None
        assert await reason(journal) == ""
        assert journal.unhealthy == ""
    assert len(list(read_journal(path))) == 1


async def test_fault_D1_without_room_held_back_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.with_name("a.journal.ballast").mkdir()  # whatever the reason is
    with open_journal(path, ballast=1 << 20) as journal:
        assert "lets no room be held back" in journal.unhealthy
        journal.append(1, "order.intent", "k")
        assert "lets no room be held back" in await reason(journal)
        assert await reason(journal, reducing=True) == ""
        path.with_name("a.journal.ballast").rmdir()
        assert await reason(journal) == ""


async def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with open_journal(tmp_path / "a.journal") as journal:
        asked = journal._writer._disk._connection.execute
        assert asked("PRAGMA journal_mode").fetchone() == ("wal",)
        assert asked("PRAGMA synchronous").fetchone() == (2,)  # FULL: the write-ahead file is synced by every commit
        assert asked("PRAGMA fullfsync").fetchone() == (1,)


def test_a_quota_that_is_used_up_is_a_full_disk() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE  # what SQLite makes of EDQUOT
    with pytest.raises(DiskFull), refusals(Path("a.journal")):
        raise error


async def test_fault_D5_a_locked_database_refuses_entries_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with open_journal(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        journal.append(1, "order.intent", "entry")
        assert "database is locked" in await reason(journal)
        journal.append(2, "order.intent", "undo")
        assert "database is locked" in await reason(journal, reducing=True)
        assert (journal.flushes, journal.pending) == (0, 2)
        assert path.with_name("a.journal.ballast").exists()  # room is not what is missing
        other.execute("ROLLBACK")
        other.close()
        assert await reason(journal) == ""
        assert (journal.flushes, journal.unhealthy) == (1, "")
    assert [fact.key for fact in read_journal(path)] == ["entry", "undo"]


async def test_fault_D5_who_reads_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path, 600)
    with open_journal(path) as journal:
        reader = read_journal(path)
        next(reader)
        journal.append(1, "order.intent", "k")
        assert await reason(journal) == ""
        assert sum(1 for _ in reader) == 599  # as it was when reading began
        assert len(list(journal.facts)) == 601


async def test_fault_D5_another_writer_is_noticed_and_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    journal = open_journal(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("INSERT INTO facts SELECT 6, hash, body FROM facts WHERE number = 5")
    journal.append(1, "order.intent", "k")
    assert "UNIQUE constraint" in await reason(journal)
    other.execute("DELETE FROM facts WHERE number = 6")
    other.execute("UPDATE meta SET records = 4")
    assert "somebody else has written to it" in await reason(journal, reducing=True)
    other.close()
    with pytest.raises(JournalError, match="1 records were not kept"):
        journal.close()
    with pytest.raises(JournalDamaged):
        verify(path)


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A folder that whoever runs the test may use but not write to, once `closed` is called; root steps down for it."""
    if os.name != "posix":
        pytest.skip("mode bits are those of POSIX")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    nobody = 65534
    if root:
        os.chown(folder, nobody, -1)
        os.seteuid(nobody)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_fault_D3_a_folder_that_cannot_be_written_refuses_to_open(foreign: Path) -> None:
    path = foreign / "a.journal"
    whole = written_journal(path)
    foreign.chmod(0o555)
    assert list(read_journal(path)) == whole
    assert verify(path).meta.records == 5
    with pytest.raises(JournalError, match="cannot be"):
        open_journal(path)
    with pytest.raises(JournalError, match="cannot be locked"):
        open_journal(foreign / "new" / "b.journal")
    foreign.chmod(0o755)
    path.chmod(0o400)
    with pytest.raises(JournalError, match="read-only"):
        open_journal(path)
    path.chmod(0o600)
    with open_journal(path) as journal:
        assert list(journal.facts) == whole


def test_fault_D3_a_folder_that_becomes_read_only_does_not_stop_what_is_open(foreign: Path) -> None:
    path = foreign / "a.journal"
    with open_journal(path) as journal:
        journal.append(1, "order.intent", "a")
        asyncio.run(journal.durable())
        foreign.chmod(0o555)
        journal.append(2, "order.intent", "b")
        asyncio.run(journal.durable())
        foreign.chmod(0o755)
    assert len(list(read_journal(path))) == 2
