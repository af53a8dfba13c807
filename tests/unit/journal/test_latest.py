"""A journal that lost its end is whole, and yet refused where it was written; one that lost its name is not written on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from arbkit.core.errors import ConfigError, JournalDamaged, JournalError
from arbkit.journal import disk
from arbkit.journal.latest import Latest
from arbkit.journal.store import JournalFile, latest_of, read_journal, verify
from tests.unit.journal.disks import open_journal, written_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


def beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


async def keep(journal: JournalFile, *keys: str) -> None:
    for key in keys:
        journal.append(1, "order.intent", key)
    await journal.durable()


def crashed(path: Path) -> Path:
    """Leave a journal as a crash does, without its write-ahead file; return it where somebody copied it to."""
    copy = path.with_name("copy") / path.name
    copy.parent.mkdir()
    with open_journal(path) as journal:
        asyncio.run(keep(journal, "first", "second"))
        assert latest_of(path, locks=path.parent / "locks").number == 2
        shutil.copy(path, copy)
        shutil.copy(beside(path, "-wal"), beside(copy, "-left"))
    return copy


def test_a_journal_without_its_write_ahead_file_is_refused_where_it_was_written(path: Path) -> None:
    copy = crashed(path)
    assert verify(copy).meta.records == 0  # it is whole: nothing in it tells
    before = copy.read_bytes()
    locks = path.parent / "locks"
    with pytest.raises(JournalDamaged, match="ends at record 0, but this machine wrote 2 to it") as told:
        open_journal(copy, locks=locks)
    assert str(path) in str(told.value)
    assert "-wal file" in str(told.value)
    assert copy.read_bytes() == before
    open_journal(copy, locks=path.parent / "another machine").close()  # which cannot know


def test_with_its_write_ahead_file_it_is_taken_and_lacks_nothing(path: Path) -> None:
    copy = crashed(path)
    beside(copy, "-left").rename(beside(copy, "-wal"))
    with open_journal(copy, locks=path.parent / "locks") as journal:
        assert [fact.key for fact in journal.facts] == ["first", "second"]


def test_a_person_who_deletes_the_note_has_the_shorter_journal_taken(path: Path) -> None:
    copy, locks = crashed(path), path.parent / "locks"
    with pytest.raises(JournalDamaged, match=f"delete {latest_of(copy, locks=locks).path}"):
        open_journal(copy, locks=locks)
    latest_of(copy, locks=locks).path.unlink()
    with open_journal(copy, locks=locks) as journal:
        assert list(journal.facts) == []


def test_the_end_of_a_journal_is_noted_at_once_and_when_it_closes_wherever_it_is_moved(path: Path) -> None:
    locks = path.parent / "locks"
    with open_journal(path) as journal:
        asyncio.run(keep(journal, "first"))
        note = latest_of(path, locks=locks)
        assert note.number == 1
        assert note.path.stat().st_mode & 0o077 == 0
        asyncio.run(keep(journal, "second", "third"))
        assert latest_of(path, locks=locks).number in (1, 3)  # once a second is enough
    assert latest_of(path, locks=locks).number == 3
    moved = path.with_name("moved.journal")
    path.rename(moved)
    assert latest_of(moved, locks=locks).lacking(3) == ""
    assert latest_of(moved, locks=locks).lacking(2).startswith("it ends at record 2, but this machine wrote 3 to it")
    with open_journal(moved) as journal:
        assert len(list(journal.facts)) == 3
    assert str(moved) in latest_of(moved, locks=locks).path.read_text()


def test_two_journals_of_an_account_are_not_taken_for_each_other(path: Path) -> None:
    written_journal(path, 5)
    written_journal(path.with_name("b.journal"), 1)
    open_journal(path.with_name("b.journal")).close()


@pytest.mark.parametrize("content", [b"", b"7", b"x\ny\n", b"\xff\n\xff\n"])
def test_a_note_that_cannot_be_read_or_written_says_nothing_and_stops_nobody(path: Path, content: bytes) -> None:
    written_journal(path, 2)
    note = latest_of(path, locks=path.parent / "locks").path
    note.write_bytes(content)
    assert latest_of(path, locks=path.parent / "locks").number == 0
    open_journal(path).close()
    note.unlink()
    note.mkdir()
    with open_journal(path) as journal:
        asyncio.run(keep(journal, "third"))
    latest = Latest(verify(path).meta, path.parent / "locks")
    latest.keep(9)  # it was never opened
    latest.close()
    assert verify(path).meta.records == 3


def test_by_default_the_note_is_where_a_user_keeps_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(path.parent))
    written_journal(path, 2, locks=None)
    assert latest_of(path).number == 2


# -- files that lose their names -------------------------------------------------------------------------------


def replaced(file: Path) -> None:
    shutil.copy(file, beside(file, ".new"))
    beside(file, ".new").replace(file)


@pytest.mark.parametrize("ending", ["", "-wal"])
@pytest.mark.parametrize("lose", [Path.unlink, replaced, lambda file: file.rename(beside(file, ".away"))])
async def test_a_journal_that_loses_its_name_under_an_engine_takes_nothing_more(
    path: Path, ending: str, lose: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "LOOK_S", 0.0)  # a second later
    journal = open_journal(path)
    await keep(journal, "first")
    lose(beside(path, ending))
    with pytest.raises(JournalError, match="was deleted, moved or replaced while it was open"):
        await keep(journal, "second")
    assert "was deleted, moved or replaced" in journal.unhealthy
    assert journal.pending == 1
    with pytest.raises(JournalError, match="1 records were not kept"):
        journal.close()


def test_a_journal_that_is_put_back_is_written_on(path: Path) -> None:
    with open_journal(path) as journal:
        asyncio.run(keep(journal, "first"))
        away = path.rename(path.with_name("away"))
        with pytest.raises(JournalError, match="was deleted, moved or replaced"):
            asyncio.run(keep(journal, "second"))
        away.rename(path)
        asyncio.run(keep(journal))
        assert journal.unhealthy == ""
    assert [fact.key for fact in read_journal(path)] == ["first", "second"]


async def test_a_name_that_cannot_be_looked_up_is_no_place_to_write_to(path: Path) -> None:
    folder = path.parent / "deep"
    journal = open_journal(folder / "a.journal", locks=path.parent / "locks")
    folder.rename(path.parent / "away")
    folder.write_text("")
    with pytest.raises(JournalError, match="Not a directory"):
        await keep(journal, "first")
    with pytest.raises(JournalError, match="1 records were not kept"):
        journal.close()


# -- one engine at a time --------------------------------------------------------------------------------------


def test_a_journal_is_lent_to_one_engine_at_a_time(path: Path) -> None:
    with open_journal(path) as journal:
        journal.lend()
        with pytest.raises(ConfigError, match=r"lent to an engine that has not given it back: await .* stop\(\) first"):
            journal.lend()
        journal.give_back()
        journal.give_back()
        journal.lend()
