"""One engine per account and per journal: locks that the kernel takes back when their process dies."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from arbkit.core.errors import JournalError


class EngineLock:
    """The right to act for one account and to write one journal, held until `release` or the end of the process.

    The account's lock is in a folder of the user, so that a second engine is refused whichever journal it brings.
    Two users of one machine, or two machines, do not see each other's.
    """

    def __init__(self, account: str, environment: str, journal: Path, folder: Path | None = None) -> None:
        """Take both locks or none. Raises JournalError, which names the process that holds one."""
        name = hashlib.sha256(f"{environment}\n{account}".encode()).hexdigest()[:32]
        folder = locks_folder() if folder is None else folder
        self._held: list[BaseFileLock] = []
        try:
            self._held.append(_taken(folder / f"{name}.lock", f"account {account!r} ({environment})"))
            self._held.append(_taken(journal.with_name(f"{journal.name}.lock"), f"journal {journal}"))
        except JournalError:
            self.release()
            raise

    def release(self) -> None:
        """Give both back; nothing when that was done."""
        while self._held:
            self._held.pop().release()


class AccountLock:
    """The right to send transactions of one account on one chain, whichever engine that is for, until `release`."""

    def __init__(self, chain_id: int, address: str, folder: Path | None = None) -> None:
        """Raises JournalError, which names the process that has it."""
        name = hashlib.sha256(f"chain {chain_id}\n{address.lower()}".encode()).hexdigest()[:32]
        folder = locks_folder() if folder is None else folder
        self._lock = _taken(folder / f"{name}.lock", f"account {address} on chain {chain_id}")

    def release(self) -> None:
        """Give it back; nothing when that was done."""
        self._lock.release()


def is_locked(journal: Path) -> bool:
    """Tell whether an engine has a journal, also one whose file is gone; yes where that cannot be found out."""
    path = journal.with_name(f"{journal.name}.lock")
    try:
        if not path.is_file():
            return False
        # Signed by nobody: who holds it does so for a moment, and an engine that starts in it can start again.
        with FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False).acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True


def locks_folder() -> Path:
    """Return where the locks of accounts are: `XDG_STATE_HOME`, or the place it has by default."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "arbkit" / "locks"


def _taken(path: Path, what: str) -> BaseFileLock:
    # No soft lock where the file system knows none: it outlives a process that was killed. Held by the process, not
    # by the thread that happened to open it.
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False, on_acquired=_sign)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=0)
    except Timeout:
        raise JournalError(f"{what} is in use by {_holder(path)}: one engine at a time, stop that one first") from None
    except OSError as error:
        raise JournalError(f"{what} cannot be locked ({path}): {error.strerror or error}") from error
    return lock


def _sign(descriptor: int) -> None:
    """Leave the number of this process in the lock file, for whoever finds it locked."""
    with suppress(OSError):  # no room for a number is no reason not to start
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def _holder(path: Path) -> str:
    try:
        process = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # locked a moment ago, or a system that lets nobody read what is locked
        return "another process"
    return f"this very process ({process})" if process == os.getpid() else f"process {process}"
