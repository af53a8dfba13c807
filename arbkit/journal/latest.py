"""What this machine last wrote to a journal, kept away from it: a journal that lost its end cannot know that itself.

A journal that is copied without the write-ahead file of SQLite beside it is whole, and ends too early. The note is in
the folder of account locks. It is rewritten after a commit, once a second at most, and never synced: never ahead of
the disk, it may be behind by what was written within a second, or before a loss of power. Another machine has none.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from arbkit.journal.lock import locks_folder
from arbkit.journal.table import Meta

DIGITS = 20
PAUSE_S = 1.0  # a file that is written before every sync of another makes that sync slower


class Latest:
    """The number of the last record of one journal, wherever that is moved to: it goes by what the journal began with."""

    def __init__(self, meta: Meta, folder: Path | None = None) -> None:
        """Read what is known; nothing is written before `keep`."""
        self.path = (locks_folder() if folder is None else folder) / f"{meta.genesis.hex()[:32]}.last"
        self._file: BinaryIO | None = None
        self._next = 0.0  # monotonic seconds
        self._owed = 0
        self.number, self._place = 0, ""
        with suppress(OSError, ValueError):
            number, self._place = self.path.read_text(encoding="utf-8").splitlines()
            self.number = int(number)

    def lacking(self, records: int) -> str:
        """Say what a journal of so many records lacks, and what to do, or nothing when it lacks nothing known."""
        if records >= self.number:
            return ""
        return (
            f"it ends at record {records}, but this machine wrote {self.number} to it (at {self._place}):"
            " copy it again, together with its -wal file;"
            f" or, if the rest is lost and you take the account as the venues show it, delete {self.path}"
        )

    def open(self, place: Path, number: int) -> None:
        """Note where the journal is and where it ends, and be ready to `keep`."""
        with suppress(OSError, ValueError):  # it is a help, and no reason not to trade
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
            self._file.write(f"{number:0{DIGITS}d}\n{place}\n".encode())
            self._file.truncate()

    def keep(self, number: int) -> None:
        """Note that the journal ends with record `number`, which is on the disk; soon, if it did a moment ago."""
        self._owed = number
        if time.monotonic() >= self._next:
            self._write()

    def _write(self) -> None:
        if self._file is not None and self._owed:
            with suppress(OSError):
                self._file.seek(0)
                self._file.write(b"%0*d" % (DIGITS, self._owed))
            self._next = time.monotonic() + PAUSE_S
            self._owed = 0

    def close(self) -> None:
        """Note what is not noted yet, and let go of the file."""
        self._write()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
