"""Looking at a journal while somebody opens it, where nothing can be written, and at what is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arbkit.core.errors import JournalDamaged, JournalError
from arbkit.journal.named import not_a_journal, not_to_be_written_over
from arbkit.journal.store import JournalFile, read_journal, verify
from tests.unit.journal.disks import open_journal, written_journal

MANY = 3_000  # more than SQLite keeps in memory of them, so that reading on reads the file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


def write(path: Path, count: int, close: bool = True) -> JournalFile:
    """Write so many long facts, as an engine does that runs for a while."""
    journal = open_journal(path)
    for number in range(count):
        journal.append(number + 1, "engine.alert", "engine", what="w" * 1000)
    asyncio.run(journal.durable())
    if close:
        journal.close()
    return journal


# -- while an engine opens it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("check", [False, True])
def test_an_engine_that_opens_a_journal_under_a_reader_is_told_and_is_no_damage(
    path: Path, runs: bool, check: bool
) -> None:
    write(path, MANY)
    told: list[str] = []
    reading = read_journal(path, check=check, tell=told.append)
    read = [next(reading) for _ in range(10)]
    journal = write(path, MANY, close=not runs)
    if runs:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # as SQLite does every thousand pages
        connection.close()
    read += reading
    journal.close()
    assert [fact.at for fact in read] == [*range(1, MANY + 1), *range(1, MANY + 1)]
    assert told == [f"{path}: an engine has opened it meanwhile: reading it again from there"]


def test_damage_is_damage_also_when_an_engine_opens_the_journal_under_a_reader(path: Path) -> None:
    write(path, MANY)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE facts SET body = 'x' WHERE number = ?", (MANY - 5,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    told: list[str] = []
    reading = read_journal(path, tell=told.append)
    next(reading)
    os.utime(path, ns=(1, 1))
    with pytest.raises(JournalDamaged, match=f"record {MANY - 5} is not what was written"):
        list(reading)
    assert len(told) == 1
    with pytest.raises(JournalDamaged, match=f"record {MANY - 5} "):  # and read at rest it is not read twice
        verify(path, tell=told.append)
    assert len(told) == 1


def test_a_journal_that_is_gone_under_a_reader_is_told_as_gone(path: Path) -> None:
    write(path, MANY)
    reading = read_journal(path)
    next(reading)
    with path.open("r+b") as file:
        file.truncate(4096)
    path.unlink()
    with pytest.raises(JournalError, match="there is no journal"):
        list(reading)


# -- what is none ----------------------------------------------------------------------------------------------


def test_a_folder_and_an_empty_file_are_called_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path()):
        with pytest.raises(JournalDamaged, match="it is a folder, not a journal"):
            verify(folder)
    with pytest.raises(JournalDamaged, match="it is a folder, not a journal"):
        open_journal(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(JournalDamaged, match="it is an empty file, not a journal"):
        list(read_journal(tmp_path / "empty", check=False))


def test_of_a_journal_that_was_cut_what_is_left_is_shown_and_the_rest_said_once(path: Path) -> None:
    whole = written_journal(path, 300)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 8192 * 4096)
    shown = list(read_journal(path, check=False))
    kept = [fact for fact in shown if fact.fact != "record.damaged"]
    assert kept == [fact for fact in whole if fact in kept]
    assert 0 < len(kept) < 300
    (missing,) = [fact for fact in shown if fact.fact == "record.damaged"]
    assert missing.key == str(len(kept) + 1)
    assert "from here on" in str(missing.get("why"))


def test_of_a_journal_that_was_cut_within_a_page_the_hole_is_said_once(path: Path) -> None:
    whole = written_journal(path, 20)
    right = path.read_bytes()
    ends = set()
    for size in range(2 * 4096, len(right), 97):
        path.write_bytes(right[:size])
        shown = list(read_journal(path, check=False))
        kept = [fact for fact in shown if fact.fact != "record.damaged"]
        assert kept == [fact for fact in whole if fact in kept]
        assert len(kept) + sum(fact.key == "1" for fact in shown if fact not in kept) <= 20
        ends |= {str(fact.get("why")) for fact in shown if fact not in kept}
    assert "the file was cut here, or a part of it was wiped" in ends


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written once it is mounted anew, with a journal that crashed."""
    folder = tmp_path / "ro"
    folder.mkdir()
    with open_journal(tmp_path / "a.journal") as journal:
        journal.append(1, "session.started", "me")
        asyncio.run(journal.durable())
        for name in ("a.journal", "a.journal-wal"):
            shutil.copy(tmp_path / name, folder / name)
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root of a Linux can mount a folder for reading only")
    bound = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True)
    if bound.returncode:
        pytest.skip("a folder cannot be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True, capture_output=True)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_crashed_journal_where_nothing_can_be_written_comes_with_the_advice_to_copy_it(
    read_only: Path, tmp_path: Path
) -> None:
    with pytest.raises(JournalError, match=r"last records are in a\.journal-wal.*: copy both into one") as told:
        verify(read_only / "a.journal")
    assert not isinstance(told.value, JournalDamaged)
    shutil.copytree(read_only, tmp_path / "copy")
    assert verify(tmp_path / "copy" / "a.journal").meta.records == 1


# -- which file is meant ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [False, True])
def test_what_lies_beside_a_journal_is_not_taken_for_it_and_the_right_name_is_said(path: Path, running: bool) -> None:
    journal = open_journal(path)
    if not running:
        journal.close()
        path.with_name("a.journal-wal").touch()
        path.with_name("a.journal.v1.backup").write_bytes(path.read_bytes())
    for ending in ("-wal", "-shm", "-journal", ".lock", ".ballast", ".kill", ".kill.log", ".v1.backup"):
        said = not_a_journal(path.with_name(f"a.journal{ending}"))
        assert said == f"a.journal{ending} only lies beside a journal: name the journal itself, a.journal"
    assert not_a_journal(path) == ""
    assert "is a folder: name the journal itself, a.journal" in not_a_journal(path.parent)
    assert "there is no journal" in not_a_journal(path.with_name("b.journal"))
    assert "there is no journal" in not_a_journal(path.with_name("b.journal-wal"))
    journal.close()


def test_a_file_that_is_no_journal_is_not_taken_for_one_unless_an_engine_has_it(path: Path) -> None:
    with open_journal(path):
        path.write_bytes(b"rubbish, and a good deal of it")
        assert not_a_journal(path) == ""
        path.unlink()
        assert not_a_journal(path) == ""  # its engine runs on
    path.write_bytes(b"rubbish, and a good deal of it")
    assert "no engine has it, and" in not_a_journal(path)
    path.unlink()
    assert "there is no journal" in not_a_journal(path)


def test_a_journal_or_lock_that_cannot_be_looked_at_may_be_an_engines(path: Path) -> None:
    written_journal(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE meta SET version = version")
    with pytest.raises(JournalError, match="database is locked"):
        verify(path)
    assert not_a_journal(path) == ""
    other.close()


def test_a_file_that_happens_to_be_called_like_a_neighbour_is_a_journal_if_it_is_one(path: Path) -> None:
    odd = path.with_name("odd.lock")
    written_journal(odd)
    assert not_a_journal(odd) == ""


def test_no_journal_and_no_other_database_is_written_over(path: Path) -> None:
    written_journal(path)
    assert "is a journal, or another database" in not_to_be_written_over(path)
    with open_journal(path):
        path.unlink()
        assert "of an engine that runs" in not_to_be_written_over(path)
    assert not_to_be_written_over(path) == ""
    path.write_text("a,b\n")
    assert not_to_be_written_over(path) == ""
