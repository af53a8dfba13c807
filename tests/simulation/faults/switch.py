"""The folder in which a kill file lies: it outlives processes, others may put one there, and it may be unreadable."""

from __future__ import annotations

from pathlib import Path

from arbkit.risk.kill_switch import Disk, KillFile

PLACE = Path("/desk/kill")


class SimFolder(Disk):
    """Files by path; while there is `trouble` nothing can be looked at or written."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}
        self.trouble = False

    def _look(self) -> None:
        if self.trouble:
            raise PermissionError("the folder cannot be looked into")

    def exists(self, path: Path) -> bool:
        self._look()
        return path in self.files

    def read(self, path: Path) -> bytes:
        self._look()
        return self.files[path]

    def create(self, path: Path, content: bytes) -> None:
        self._look()
        self.files[path] = content

    def append(self, path: Path, content: bytes) -> None:
        self._look()
        self.files[path] = self.files.get(path, b"") + content

    def remove(self, path: Path) -> None:
        self._look()
        self.files.pop(path, None)


def a_switch(folder: SimFolder) -> KillFile:
    """Return the switch of one process: what it could not write ends with it, the file does not."""
    return KillFile(PLACE, folder)
