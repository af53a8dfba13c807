# ruff: noqa: N802
"""One engine per account and per journal, whatever the second one brings; a dead engine holds nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arbkit.core.errors import JournalError
from arbkit.journal.lock import EngineLock, is_locked, locks_folder
from arbkit.journal.store import read_journal
from tests.unit.journal.disks import open_journal

ENGINE = """
import sys
from pathlib import Path
from arbkit.journal.store import JournalFile
folder = Path(sys.argv[1])
journal = JournalFile(folder / "a.journal", account="me", locks=folder / "locks", ballast=4096)
journal.append(1, "session.started", "me")
print("running", flush=True)
sys.stdin.read()
"""


@contextmanager
def engine(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run an engine's journal as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "running\n"
        try:
            yield running
        finally:
            running.kill()


def test_fault_P5_a_second_engine_on_the_account_or_the_journal_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        for name, account, what in (
            ("a.journal", "me", "account 'me' (paper)"),
            ("other.journal", "me", "account 'me' (paper)"),
            ("a.journal", "you", f"journal {tmp_path / 'a.journal'}"),
        ):
            with pytest.raises(JournalError, match=re.escape(what)) as refused:
                open_journal(tmp_path / name, account=account)
            assert f"in use by process {running.pid}" in str(refused.value)
        assert not (tmp_path / "other.journal").exists()
        open_journal(tmp_path / "other.journal", account="you").close()  # nothing was kept by the refusals
        open_journal(tmp_path / "live.journal", environment="live").close()  # another environment is another account


def test_fault_P5_an_engine_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        running.kill()
        running.wait()
        with open_journal(tmp_path / "a.journal") as journal:
            journal.append(2, "session.started", "me")
    assert [fact.at for fact in read_journal(tmp_path / "a.journal")][-1] == 2


def test_fault_P5_an_engine_that_ended_holds_nothing(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait() == 0
        open_journal(tmp_path / "a.journal").close()


def test_fault_U1_a_cell_that_is_run_twice_is_told_that_the_first_still_runs(tmp_path: Path) -> None:
    first = open_journal(tmp_path / "a.journal")
    for path in (tmp_path / "a.journal", tmp_path / "b.journal"):
        with pytest.raises(JournalError, match=rf"in use by this very process \({os.getpid()}\)"):
            open_journal(path)
    first.close()
    open_journal(tmp_path / "a.journal").close()


def test_fault_U1_the_lock_outlives_whoever_opened_it_until_it_is_released(tmp_path: Path) -> None:
    lock = EngineLock("me", "paper", tmp_path / "a.journal", tmp_path)
    with pytest.raises(JournalError):
        EngineLock("me", "paper", tmp_path / "b.journal", tmp_path)
    lock.release()
    lock.release()
    EngineLock("me", "paper", tmp_path / "b.journal", tmp_path).release()


def test_names_of_accounts_do_not_show_in_the_folder_of_locks(tmp_path: Path) -> None:
    EngineLock("0xsecret/../account", "live", tmp_path / "a.journal", tmp_path / "locks").release()
    assert all(re.fullmatch(r"[0-9a-f]{32}\.lock", path.name) for path in (tmp_path / "locks").iterdir())
    assert os.name != "posix" or (tmp_path / "locks").stat().st_mode & 0o777 == 0o700


def test_a_lock_that_nobody_signed_is_held_all_the_same(tmp_path: Path) -> None:
    lock = EngineLock("me", "paper", tmp_path / "a.journal", tmp_path)
    for path in tmp_path.glob("*.lock"):
        path.write_text("not a number")
    with pytest.raises(JournalError, match="in use by another process"):
        EngineLock("me", "paper", tmp_path / "a.journal", tmp_path)
    lock.release()


def test_locks_of_accounts_are_where_a_user_keeps_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert locks_folder() == tmp_path / "arbkit" / "locks"
    EngineLock("me", "paper", tmp_path / "a.journal").release()
    assert len(list((tmp_path / "arbkit" / "locks").iterdir())) == 1
    monkeypatch.setenv("XDG_STATE_HOME", "")
    assert locks_folder() == Path.home() / ".local" / "state" / "arbkit" / "locks"


def test_whether_an_engine_has_a_journal_can_be_told_without_disturbing_it(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    assert not is_locked(path)
    assert list(tmp_path.iterdir()) == []
    with engine(tmp_path) as running:
        signed = path.with_name("a.journal.lock").read_bytes()
        assert is_locked(path)
        path.unlink()
        assert is_locked(path)  # whatever became of the file
        assert path.with_name("a.journal.lock").read_bytes() == signed
        running.kill()
        running.wait()
    assert path.with_name("a.journal.lock").exists()
    assert not is_locked(path)
    with open_journal(tmp_path / "b.journal") as journal:
        assert is_locked(journal.path)  # by this very process
    assert is_locked(tmp_path / ("x" * 300))  # what cannot be found out


def test_a_folder_that_cannot_hold_locks_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be locked"):
        EngineLock("me", "paper", tmp_path / "a.journal", tmp_path / "file")
    EngineLock("me", "paper", tmp_path / "a.journal", tmp_path).release()
