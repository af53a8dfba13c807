"""The durable journal: facts in one file, on the disk before what they announce is done."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from arbkit.core.errors import ConfigError
from arbkit.journal.codec import Fact, spell
from arbkit.journal.disk import BALLAST, Disk, Head, SqliteDisk
from arbkit.journal.lock import EngineLock
from arbkit.journal.opening import opened
from arbkit.journal.reading import latest_of, read_journal, verify
from arbkit.journal.table import MIGRATIONS, Migration
from arbkit.journal.writer import BUFFER, LINGER_S, PATIENCE_S, RETRY_S, GroupCommit

__all__ = ["MIGRATIONS", "JournalFile", "exposure", "kill_path", "latest_of", "read_journal", "verify"]

log = logging.getLogger(__name__)


class JournalFile:
    """Implements `core.ports.Journal` on a file of SQLite that one engine at a time may write.

    `append` takes microseconds and touches no disk; a thread writes. The locks are held until `close`, which writes
    what is left. It waits on a real disk: simulations in virtual time use `MemoryJournal`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        account: str,
        environment: str = "paper",
        migrations: Sequence[Migration] = MIGRATIONS,
        locks: Path | None = None,
        through: Callable[[Disk], Disk] | None = None,
        ballast: int = BALLAST,
        buffer: int = BUFFER,
        linger_s: float = LINGER_S,
        retry_s: float = RETRY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Lock, check and open a journal, or make it; this reads all of it, and blocks that long.

        `locks` is the folder of account locks (a user's own by default), `through` wraps the disk, `ballast` is how
        many bytes are held back for a full disk, `buffer` how many records may wait for it; times are in seconds.
        Raises JournalError when it is in use, belongs to another account or environment, or cannot be opened, and
        JournalDamaged when it is not whole or of an unknown version. Then nothing was changed.
        """
        self.path = Path(path).resolve()  # one file, one lock, whatever link leads to it
        self.account = account
        self.environment = environment
        self._newest = 1 + len(migrations)
        self._lent = False
        self._lock = EngineLock(account, environment, self.path, locks)
        try:
            meta, self._latest = opened(self.path, account, environment, migrations, locks)
            self.mark = meta.genesis.hex()[:8]  # no other journal has it: it keeps their keys apart
            head = Head(meta.records, meta.head)
            disk: Disk = SqliteDisk(self.path, head, ballast, self._latest.keep)
            self._latest.open(self.path, meta.records)
            self._writer = GroupCommit(
                disk if through is None else through(disk),
                head,
                buffer=buffer,
                linger_s=linger_s,
                retry_s=retry_s,
                patience_s=patience_s,
            )
        except BaseException:
            self._lock.release()
            raise
        atexit.register(self.close)
        if self.exposed:
            log.warning("journal.exposed", extra={"reason": self.exposed})

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        """Take one fact about `key` at `at` ns; JournalError when no more can be taken, TypeError as in memory."""
        self._writer.append(spell(at, fact, key, data))

    async def durable(self, *, reducing: bool = False) -> None:
        """Wait until every fact appended so far is on disk; JournalError when it cannot be, or not in time.

        What is appended in one turn of the loop goes into one commit. After JournalError the facts are still held, in
        order, and the next call tries again. `reducing` may use the room that is held back for a full disk.
        """
        await self._writer.durable(reducing=reducing)

    @property
    def facts(self) -> Iterator[Fact]:
        """Read what is on disk, from the first fact on."""
        return read_journal(self.path, newest=self._newest)

    @property
    def flushes(self) -> int:
        """How many commits were made since it was opened."""
        return self._writer.flushes

    @property
    def pending(self) -> int:
        """How many facts are not durable yet."""
        return self._writer.pending

    @property
    def unhealthy(self) -> str:
        """Why facts cannot be made durable now, or nothing when they can."""
        return self._writer.unhealthy

    @property
    def exposed(self) -> str:
        """Why others than its owner can read or change the journal, or nothing: live trading is refused on it."""
        return exposure(self.path)

    def lend(self) -> None:
        """Let one engine write it until `give_back`; ConfigError while another has it: two would act for one account."""
        if self._lent:
            raise ConfigError(
                f"journal {self.path} is lent to an engine that has not given it back: await that engine's stop() first"
            )
        self._lent = True

    def give_back(self) -> None:
        """Take it back from the engine it was lent to; nothing when it is not lent."""
        self._lent = False

    def close(self) -> None:
        """Write what is left and give the locks back; JournalError when something could not be kept.

        Interrupted it keeps the locks for as long as it writes, and can be called again.
        """
        try:
            self._writer.close()
        finally:
            if self._writer.is_over:
                atexit.unregister(self.close)
                self._latest.close()
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kill_path(journal: Path | str) -> Path:
    """Return where the kill file of a journal is: beside the file itself, whatever link leads to it."""
    path = Path(journal).resolve()
    return path.with_name(f"{path.name}.kill")


def exposure(path: Path) -> str:
    """Say who else may read or write a file, by its mode bits (Windows has none that mean it)."""
    mode = path.stat().st_mode & 0o777
    if os.name != "posix" or not mode & 0o077:
        return ""
    return f"{path} can be used by others than its owner (mode {mode:o}): chmod 600 {path}"
