"""Disks that fail on demand, and journals that wait for nobody but the test."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arbkit.journal.codec import Fact
from arbkit.journal.disk import Disk, DiskFull, Head, Row
from arbkit.journal.store import JournalFile, read_journal
from arbkit.journal.writer import GroupCommit

START = Head(0, b"start")
NEVER_S = 600.0  # longer than any test: what must not happen by itself


class FakeDisk:
    """Keeps rows in a list. `fault` is raised by commits, `full` refuses all but what is held back, `gate` blocks."""

    def __init__(self) -> None:
        self.commits: list[list[Row]] = []
        self.fault: Exception | None = None
        self.full = False
        self.held_back = False
        self.closed = False
        self.tries = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.room = threading.Event()

    @property
    def rows(self) -> list[Row]:
        return [row for commit in self.commits for row in commit]

    @property
    def bodies(self) -> list[bytes]:
        return [row.body for row in self.rows]

    def commit(self, rows: Sequence[Row]) -> None:
        self.tries += 1
        self.entered.set()
        self.gate.wait()
        if self.fault is not None:
            raise self.fault
        if self.full and self.held_back:
            raise DiskFull("no room on the fake disk")
        self.commits.append(list(rows))

    def hold_back(self) -> bool:
        if not self.full:
            self.held_back = True
            self.room.set()
        return self.held_back

    def give_up(self) -> None:
        self.held_back = False

    def close(self) -> None:
        self.closed = True


class FaultyDisk:
    """Stands before a real disk and raises `fault` instead of committing."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.fault: Exception | None = None

    def commit(self, rows: Sequence[Row]) -> None:
        if self.fault is not None:
            raise self.fault
        self._disk.commit(rows)

    def hold_back(self) -> bool:
        return self._disk.hold_back()

    def give_up(self) -> None:
        self._disk.give_up()

    def close(self) -> None:
        self._disk.close()


def commits_to(disk: Disk, **settings: Any) -> GroupCommit:
    return GroupCommit(disk, START, **{"linger_s": NEVER_S, "retry_s": NEVER_S, "patience_s": NEVER_S, **settings})


def open_journal(path: Path, **settings: Any) -> JournalFile:
    """Open a journal of account "me" with its locks beside it; nothing is written before somebody asks."""
    usual = {
        "account": "me", "locks": path.parent / "locks", "linger_s": NEVER_S, "retry_s": NEVER_S, "ballast": 4096,
    }  # fmt: skip
    return JournalFile(path, **{**usual, **settings})


def written_journal(path: Path, count: int = 5, **settings: Any) -> list[Fact]:
    """Write a short journal, close it, and return its facts."""
    with open_journal(path, **settings) as journal:
        for number in range(1, count + 1):
            journal.append(number, "order.intent", f"order-{number}", leg=number % 2, book="kalshi:A:yes")
    return list(read_journal(path))
