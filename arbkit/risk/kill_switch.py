"""The kill switch: once it is thrown no order that adds risk leaves, whichever process threw it, until it is released.

It fails towards killed: what cannot be checked, read or written counts as thrown.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from arbkit.core.errors import ConfigError
from arbkit.core.files import written

if sys.platform != "win32":  # there nobody can remove a file that is open
    import fcntl

PATIENCE_S = 0.5  # with another process at the same file: a stop waits for nobody longer
MOST_BYTES = 65_536  # a kill file holds a line for each time it was thrown; what is longer is not one of ours


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

    def released_after(self, at: int) -> bool:
        """Tell whether a person's release later than `at` (ns) is on record; no when that cannot be read."""
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

    def released_after(self, at: int) -> bool:
        return any(when > at and said.startswith("released: ") for when, said in self.log)


class Disk:
    """What a kill file needs of a file system. Every method raises OSError when it cannot do or tell."""

    def exists(self, path: Path) -> bool:
        """Tell whether there is anything at a path in a folder that is there; a broken link is something."""
        name = os.fspath(path)  # looked for before every order
        try:
            os.lstat(name)
        except FileNotFoundError:
            if not stat.S_ISDIR(os.stat(os.path.dirname(name) or ".").st_mode):  # noqa: PTH116, PTH120
                raise
            return False
        return True

    def read(self, path: Path) -> bytes:
        """Return the end of a file: all of it when it is one of ours, and more than `MOST_BYTES` when it is none."""
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_BYTES - 1))
            return file.read(MOST_BYTES + 1)

    def create(self, path: Path, content: bytes) -> None:
        """Put a whole file there, FileExistsError when there is one; from its return on it survives a loss of power."""
        with written(path) as temporary:
            self._write(temporary, content)
            try:
                os.link(temporary, path)
            except FileExistsError:  # somebody else was quicker, and what he says stays
                raise
            except OSError:
                pass  # a file system without links: it is renamed there
        self._sync_folder(path.parent)

    def append(self, path: Path, content: bytes) -> None:
        """Add to a file, or make it: all of the content or nothing."""
        before = path.stat().st_size if path.exists() else 0
        try:
            self._write(path, content)
        except OSError:
            with suppress(OSError):
                os.truncate(path, before)
            raise
        self._sync_folder(path.parent)

    @contextmanager
    def held(self, path: Path) -> Iterator[None]:
        """Keep others who hold the file at `path` from changing it, where it can be locked and for as long as they wait."""
        descriptor = _locked(path)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

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


class _Owed(NamedTuple):
    """A throw whose reason is not on the disk yet, and why; `there` when a file stands there all the same."""

    at: int
    reason: str
    why: str = ""
    there: bool = False


class KillFile:
    """A switch that is thrown while there is a file at `path`, whatever is in it; another process may put it there.

    Without the file entries may leave, provided that its folder is there and can be looked into. Every throw adds a
    line to it; releases are added to `path`.log before they count. A reason that could not be written is tried again
    whenever somebody asks.
    """

    def __init__(self, path: str | Path, disk: Disk | None = None) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - the same file wherever the process goes; a link is itself
        self.log_path = self.path.with_name(f"{self.path.name}.log")
        self._disk = disk or Disk()
        self._owed: _Owed | None = None

    def engaged(self) -> str:
        if self._owed is not None:
            self._retry(self._owed)
        said, owed = self._said(), self._owed
        if owed is None or self.reasons():
            return said
        if owed.there:
            return f"{owed.reason} ({self.path} is there, and could not take the reason: {owed.why})"
        return f"{owed.reason} (this process only: {self.path} could not be written)"

    @property
    def unwritten(self) -> str:
        """Why the last reason is not on the disk yet, or nothing when it is."""
        return self._owed.why if self._owed is not None else ""

    def content(self) -> bytes:
        """Return what is in the file, nothing when it cannot be read; a person who saw it may `release` that."""
        try:
            return self._disk.read(self.path)
        except (OSError, ValueError, LookupError):
            return b""

    def reasons(self) -> tuple[str, ...]:
        """Return every reason that can be read, oldest first."""
        return _reasons(self.content())

    def engage(self, reason: str, at: int) -> None:
        """Put the file there or add to it; where there is no room an empty one, which counts as much (`unwritten`).

        OSError when there is no file after all: then this object stays engaged all the same.
        """
        self._owed = _Owed(at, reason or "no reason was given")
        self._pay(self._owed)

    def release(self, why: str, at: int, seen: bytes | None = None) -> None:
        """Note who was let go and why, and remove the file; OSError when either cannot be, and then it stays engaged.

        `seen` is the content that was decided on: when it is another by now, it is thrown again, and ConfigError.
        """
        _need(why)
        said = self.engaged()
        if not said:
            return
        seen = self.content() if seen is None else seen
        with self._disk.held(self.path):
            if self.content() != seen:
                raise ConfigError(f"{self.path} was thrown again meanwhile, and nothing was released: look at it anew")
            self._disk.append(self.log_path, _line(at=at, released=why, engaged="; ".join(_reasons(seen)) or said))
            self._disk.remove(self.path)
        self._owed = None

    def released_after(self, at: int) -> bool:
        try:
            lines = self._disk.read(self.log_path).splitlines()
        except (OSError, ValueError, LookupError):
            return False
        return any(when > at for when, _ in (_said_in(line, "released") for line in lines))

    def _said(self) -> str:
        try:
            if not self._disk.exists(self.path):
                return ""
        except (OSError, ValueError) as error:  # a path that is none is no OSError
            return f"{self.path} cannot be checked: {error}"
        try:
            reasons = _reasons(self._disk.read(self.path))
        except OSError as error:
            return f"{self.path} is there and cannot be read: {error}"
        return reasons[0] if reasons else f"{self.path} is there and says nothing that can be read"

    def _retry(self, owed: _Owed) -> None:
        with suppress(OSError):
            if owed.there and not self._disk.exists(self.path) and self.released_after(owed.at):
                self._owed = None  # a person took it away
            else:
                self._pay(owed)

    def _pay(self, owed: _Owed) -> None:
        try:
            self._put(_line(at=owed.at, reason=owed.reason))
        except OSError as error:
            self._owed = owed = owed._replace(why=str(error))
            try:
                if not self._disk.exists(self.path):
                    self._disk.create(self.path, b"")
            except FileExistsError:
                pass
            except OSError:
                raise error from None
            self._owed = owed._replace(there=True)
        else:
            self._owed = None

    def _put(self, line: bytes) -> None:
        try:
            there = self._disk.exists(self.path)
        except OSError:
            there = False  # what cannot be looked at may still be written
        if not there:
            with suppress(FileExistsError):  # it was thrown in this moment, or could not be looked at
                return self._disk.create(self.path, line)
        with self._disk.held(self.path):
            if len(self.content()) + len(line) > MOST_BYTES:
                raise OSError(errno.EFBIG, "it is too long for another reason", str(self.path))
            self._disk.append(self.path, line)
        return None


def _reasons(content: bytes) -> tuple[str, ...]:
    """Return the reasons in a kill file, oldest first: one over all of it, or one a line."""
    if len(content) > MOST_BYTES:
        return ()
    found = [_said_in(part, "reason")[1] for part in (content, *content.splitlines())]
    return (found[0],) if found[0] else tuple(reason for reason in found if reason)


def _said_in(line: bytes, name: str) -> tuple[int, str]:
    """Return when (ns, 0 without it) and what a line says under a name; nothing when it says nothing readable."""
    try:
        said = json.loads(line)
        text, at = said[name], said.get("at", 0)
    except (ValueError, LookupError, TypeError, RecursionError, AttributeError):
        return 0, ""
    return (at if type(at) is int else 0, text) if isinstance(text, str) and text else (0, "")


def _locked(path: Path) -> int | None:
    """Open and lock the file at a path; None where there is none, it cannot be locked, or somebody holds it too long."""
    if sys.platform == "win32":
        return None
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        descriptor = None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            time.sleep(0.002)  # noqa: TID251 - a release is a matter of milliseconds, and a stop waits for no loop
        except OSError:
            until = 0.0
        if descriptor is not None:  # somebody has it, or it was removed while we asked
            os.close(descriptor)
    return None


def _line(**said: object) -> bytes:
    return json.dumps(said, sort_keys=True).encode() + b"\n"


def _need(why: str) -> None:
    if not why.strip():
        raise ValueError("a release says why")
