# ruff: noqa: N802
"""A switch that is thrown stays thrown, and one that cannot be read is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arbkit.risk.kill_switch import MOST_BYTES, Disk, KillFile, KillFlag

AT = 1_780_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "KILL"


class BadDisk(Disk):
    """A disk on which one thing goes wrong, as often as asked."""

    def __init__(self, wrong: str, error: OSError | None = None) -> None:
        self.wrong = wrong
        self.error = error or PermissionError(13, "Permission denied")

    def _try(self, what: str) -> None:
        if what == self.wrong:
            raise self.error

    def exists(self, path: Path) -> bool:
        self._try("exists")
        return super().exists(path)

    def read(self, path: Path) -> bytes:
        self._try("read")
        return super().read(path)

    def create(self, path: Path, content: bytes) -> None:
        self._try("create")
        super().create(path, content)

    def append(self, path: Path, content: bytes) -> None:
        self._try("append")
        super().append(path, content)

    def remove(self, path: Path) -> None:
        self._try("remove")
        super().remove(path)

    def sync(self, descriptor: int) -> None:
        self._try("sync")
        super().sync(descriptor)


def test_without_the_file_nothing_is_killed(path: Path) -> None:
    assert KillFile(path).engaged() == ""
    assert list(path.parent.iterdir()) == []


def test_a_thrown_switch_survives_a_new_object_and_the_first_reason_stays(path: Path) -> None:
    KillFile(path).engage("looks wrong", AT)
    KillFile(path).engage("again", AT + 1)
    assert KillFile(path).engaged() == "looks wrong"
    assert json.loads(path.read_text()) == {"at": AT, "reason": "looks wrong"}
    assert list(path.parent.iterdir()) == [path]  # no half-written file is left behind


def test_fault_U5_another_process_sees_it_and_can_throw_it(path: Path) -> None:
    def elsewhere(say: str) -> str:
        code = f"import sys; from arbkit.risk.kill_switch import KillFile; kill = KillFile(sys.argv[1]); {say}"
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    here = KillFile(path)
    here.engage("here", AT)
    assert elsewhere("print(kill.engaged())") == "here"
    elsewhere("kill.release('seen', 1)")
    assert here.engaged() == ""
    elsewhere("kill.engage('there', 2)")
    assert here.engaged() == "there"


def test_no_reason_is_no_reason_not_to_kill(path: Path) -> None:
    KillFile(path).engage("", AT)
    assert KillFile(path).engaged() == "no reason was given"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"stop",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b"null",
        b"7",
        b'"reason"',
        b'{"reason": ""}',
        b'{"reason": 7}',
        b'{"at": 1}',
        b'{"reason": "x"',
        b"[" * 60_000,
        b'{"reason": "x"}' + b" " * MOST_BYTES,
    ],
)
def test_a_file_that_says_nothing_readable_is_a_thrown_switch(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert KillFile(path).engaged() == f"{path} is there and says nothing that can be read"


def test_a_file_of_the_greatest_size_is_read(path: Path) -> None:
    content = b'{"reason": "x"}'
    path.write_bytes(content + b" " * (MOST_BYTES - len(content)))
    assert KillFile(path).engaged() == "x"


def test_a_folder_or_a_broken_link_in_its_place_is_a_thrown_switch(path: Path) -> None:
    path.mkdir()
    assert "is there and cannot be read" in KillFile(path).engaged()
    path.rmdir()
    path.symlink_to(path.parent / "nowhere")
    assert "is there and cannot be read" in KillFile(path).engaged()


def test_a_folder_that_is_missing_or_none_is_a_thrown_switch(tmp_path: Path) -> None:
    assert "cannot be checked" in KillFile(tmp_path / "gone" / "KILL").engaged()
    (tmp_path / "file").write_text("")
    assert "cannot be checked" in KillFile(tmp_path / "file" / "KILL").engaged()
    assert "cannot be checked" in KillFile("a\0b").engaged()


def test_a_folder_that_is_a_file_by_the_time_it_is_looked_at_is_a_thrown_switch(tmp_path: Path) -> None:
    (tmp_path / "pipe").write_text("")

    class Racing(Disk):
        def exists(self, path: Path) -> bool:
            class Gone(type(path)):  # type: ignore[misc]
                def lstat(self) -> os.stat_result:
                    raise FileNotFoundError(2, "No such file or directory")

            return super().exists(Gone(path))

    assert "cannot be checked" in KillFile(tmp_path / "pipe" / "KILL", Racing()).engaged()
    assert KillFile(tmp_path / "KILL", Racing()).engaged() == ""


@pytest.mark.parametrize("wrong", ["exists", "read"])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_switch_that_cannot_be_looked_at_is_thrown(path: Path, wrong: str, error: OSError) -> None:
    path.write_bytes(b'{"reason": "x"}')
    assert error.strerror in KillFile(path, BadDisk(wrong, error)).engaged()


@pytest.mark.parametrize("wrong", ["create", "sync"])
def test_a_switch_that_cannot_be_written_is_thrown_in_this_process_and_says_so(path: Path, wrong: str) -> None:
    kill = KillFile(path, disk := BadDisk(wrong, OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        kill.engage("stop", AT)
    assert kill.engaged() == f"stop (this process only: {path} could not be written)"
    disk.wrong = ""
    assert kill.engaged().startswith("stop (this process only")
    kill.engage("stop at last", AT)
    assert kill.engaged() == "stop at last"
    assert KillFile(path).engaged() == "stop at last"


def test_a_switch_that_cannot_be_looked_at_is_written_all_the_same(path: Path) -> None:
    KillFile(path, BadDisk("exists")).engage("stop", AT)
    assert KillFile(path).engaged() == "stop"


def test_a_missing_folder_is_made_to_throw_the_switch(tmp_path: Path) -> None:
    kill = KillFile(tmp_path / "new" / "KILL")
    kill.engage("stop", AT)
    assert kill.engaged() == "stop"


class Syncs(Disk):
    """Notes what is on its way to the disk, and whether the file stood in its place by then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.synced: list[tuple[str, bool]] = []
        self.empty: list[str] = []

    def sync(self, descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").resolve()
        kind = "folder" if name.is_dir() else "log" if name.name.endswith(".log") else "file"
        self.synced.append((kind, self.path.exists()))
        if not os.fstat(descriptor).st_size:
            self.empty.append(kind)
        super().sync(descriptor)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the names of open files are read from /proc")
def test_file_and_folder_are_on_disk_before_a_throw_or_a_release_counts(path: Path) -> None:
    kill = KillFile(path, disk := Syncs(path))
    kill.engage("stop", AT)
    assert disk.synced == [("file", False), ("folder", True)]
    disk.synced.clear()
    kill.release("seen", AT)
    assert disk.synced == [("log", True), ("folder", True), ("folder", False)]
    assert "file" not in disk.empty
    assert "log" not in disk.empty
    before = len(list(Path("/proc/self/fd").iterdir()))
    kill.engage("stop", AT)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_that_cannot_be_brought_to_the_disk_is_an_error() -> None:
    ends = os.pipe()  # which no disk is behind
    with pytest.raises(OSError, match="Invalid argument"):
        Disk().sync(ends[1])
    for end in ends:
        os.close(end)


def test_a_release_says_why_and_leaves_a_line_for_every_one(path: Path) -> None:
    kill = KillFile(path)
    for n in (1, 2):
        kill.engage(f"stop {n}\nnow", AT)
        kill.release(f"seen {n}", AT + n)
        assert kill.engaged() == ""
    lines = [json.loads(line) for line in path.with_name("KILL.log").read_text().splitlines()]
    assert lines == [{"at": AT + n, "engaged": f"stop {n}\nnow", "released": f"seen {n}"} for n in (1, 2)]


@pytest.mark.parametrize("why", ["", "  "])
@pytest.mark.parametrize("make", [KillFile, lambda _: KillFlag()])
def test_a_release_without_a_reason_is_none(path: Path, why: str, make: Callable[[Path], KillFile | KillFlag]) -> None:
    kill = make(path)
    kill.engage("stop", AT)
    with pytest.raises(ValueError, match="a release says why"):
        kill.release(why, AT)
    assert kill.engaged() == "stop"


@pytest.mark.parametrize("wrong", ["append", "remove", "sync"])
def test_a_release_that_cannot_be_kept_is_none(path: Path, wrong: str) -> None:
    KillFile(path).engage("stop", AT)
    kill = KillFile(path, BadDisk(wrong))
    with pytest.raises(PermissionError):
        kill.release("seen", AT)
    assert kill.engaged() == "stop"


def test_releasing_what_was_not_thrown_changes_nothing(path: Path) -> None:
    KillFile(path).release("seen", AT)
    assert list(path.parent.iterdir()) == []


def test_a_release_ends_what_only_this_process_knew_of(path: Path) -> None:
    kill = KillFile(path, disk := BadDisk("create"))
    with pytest.raises(PermissionError):
        kill.engage("stop", AT)
    disk.wrong = ""
    kill.release("seen", AT)
    assert kill.engaged() == ""
    assert "this process only" in kill.log_path.read_text()


def test_a_flag_is_thrown_once_and_keeps_a_log() -> None:
    flag = KillFlag()
    assert flag.engaged() == ""
    flag.release("nothing there", AT)
    flag.engage("stop", AT)
    flag.engage("again", AT + 1)
    assert flag.engaged() == "stop"
    flag.release("seen", AT + 2)
    assert flag.engaged() == ""
    flag.engage("", AT + 3)
    assert flag.engaged() == "no reason was given"
    assert flag.log == [(AT, "engaged: stop"), (AT + 2, "released: seen"), (AT + 3, "engaged: no reason was given")]
