"""The kill switch: once it is thrown no order that adds risk leaves, whichever process threw it, until it is released.

It fails towards killed: what cannot be checked, read or written counts as thrown.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Protocol

from arbkit.core.files import written

MOST_BYTES = 65_536  # a kill file holds one line; what is longer is not one of ours


class KillSwitch(Protocol):
    """Whether entries may leave at all."""

    def engaged(self) -> str:
        """Return why nothing may be entered, or nothing; never raises because it cannot tell."""
        ...

    def engage(self, reason: str, at: int) -> None:
        """Enter nothing from now on (`at`, ns); engaged twice, the first reason stays."""
        ...

    def release(self, why: str, at: int) -> None:
        """Take a person's word that entries may go on; ValueError without a reason."""
        ...


class KillFlag:
    """A switch in memory, for simulations: it ends with the process."""

    def __init__(self) -> None:
        self._reason = ""
        self.log: list[tuple[int, str]] = []

    def engaged(self) -> str:
        return self._reason

    def engage(self, reason: str, at: int) -> None:
        if not self._reason:
            self._reason = reason or "no reason was given"
            self.log.append((at, f"engaged: {self._reason}"))

    def release(self, why: str, at: int) -> None:
        _need(why)
        if self._reason:
            self._reason = ""
            self.log.append((at, f"released: {why}"))


class Disk:
    """What a kill file needs of a file system. Every method raises OSError when it cannot do or tell."""

    def exists(self, path: Path) -> bool:
        """Tell whether there is anything at a path in a folder that is there; a broken link is something."""
        try:
            path.lstat()
        except FileNotFoundError:
            if not stat.S_ISDIR(path.parent.stat().st_mode):
                raise
            return False
        return True

    def read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)

    def create(self, path: Path, content: bytes) -> None:
        """Put a whole file there; it survives a loss of power from the moment this returns."""
        with written(path) as temporary:
            self._write(temporary, content)
        self._sync_folder(path.parent)

    def append(self, path: Path, content: bytes) -> None:
        self._write(path, content)
        self._sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._sync_folder(path.parent)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            self.sync(file.fileno())

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)


class KillFile:
    """A switch that is thrown while there is a file at `path`, whatever is in it; another process may put it there.

    Without the file entries may leave, provided that its folder is there and can be looked into. Releases are added
    to `path`.log before they count.
    """

    def __init__(self, path: str | Path, disk: Disk | None = None) -> None:
        self.path = Path(path)
        self.log_path = self.path.with_name(f"{self.path.name}.log")
        self._disk = disk or Disk()
        self._unwritten = ""

    def engaged(self) -> str:
        if self._unwritten:
            return self._unwritten
        try:
            if not self._disk.exists(self.path):
                return ""
        except (OSError, ValueError) as error:  # a path that is none is no OSError
            return f"{self.path} cannot be checked: {error}"
        try:
            return self._reason(self._disk.read(self.path))
        except OSError as error:
            return f"{self.path} is there and cannot be read: {error}"

    def engage(self, reason: str, at: int) -> None:
        """Put the file there; OSError when it cannot be, and then this object stays engaged all the same."""
        reason = reason or "no reason was given"
        try:
            if self._disk.exists(self.path):
                return
        except OSError:
            pass  # what cannot be looked at may still be written
        self._unwritten = f"{reason} (this process only: {self.path} could not be written)"
        self._disk.create(self.path, _line(at=at, reason=reason))
        self._unwritten = ""

    def release(self, why: str, at: int) -> None:
        """Note who was let go and why, and remove the file; OSError when either cannot be, and then it stays engaged."""
        _need(why)
        said = self.engaged()
        if said:
            self._disk.append(self.log_path, _line(at=at, released=why, engaged=said))
            self._disk.remove(self.path)
            self._unwritten = ""

    def _reason(self, content: bytes) -> str:
        try:
            reason = json.loads(content)["reason"]
        except (ValueError, LookupError, TypeError, RecursionError):
            reason = ""
        if isinstance(reason, str) and reason and len(content) <= MOST_BYTES:
            return reason
        return f"{self.path} is there and says nothing that can be read"


def _line(**said: object) -> bytes:
    return json.dumps(said, sort_keys=True).encode() + b"\n"


def _need(why: str) -> None:
    if not why.strip():
        raise ValueError("a release says why")
