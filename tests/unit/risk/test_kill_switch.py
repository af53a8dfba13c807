# ruff: noqa: N802
"""A switch that is thrown stays thrown, and one that cannot be read is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from arbkit.core.errors import ConfigError
from arbkit.risk import kill_switch
from arbkit.risk.kill_switch import MOST_BYTES, Disk, KillFile, KillFlag

if sys.platform != "win32":
    import fcntl

AT = 1_780_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "KILL"


class BadDisk(Disk):
    """A disk on which one thing goes wrong, as often as asked."""

    def __init__(self, wrong: str, error: Exception | None = None) -> None:
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
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"at": AT, "reason": "looks wrong"}, {"at": AT + 1, "reason": "again"}]
    assert KillFile(path).reasons() == ("looks wrong", "again")
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


def test_a_file_of_64_kib_is_read_and_one_byte_more_is_none_of_ours(path: Path) -> None:
    content = b'{"reason": "x"}'.ljust(65_536)
    path.write_bytes(content)
    assert KillFile(path).engaged() == "x"
    path.write_bytes(content + b" ")
    assert KillFile(path).engaged() == f"{path} is there and says nothing that can be read"


def test_a_file_that_is_too_long_is_none_of_ours_however_well_its_end_reads(path: Path) -> None:
    path.write_bytes(b"\n" * MOST_BYTES + b'{"reason": "x"}\n\n\n')
    assert KillFile(path).engaged() == f"{path} is there and says nothing that can be read"


def test_a_reason_that_a_person_spread_over_several_lines_is_read(path: Path) -> None:
    path.write_text(json.dumps({"at": AT, "reason": "looks wrong"}, indent=2))
    assert KillFile(path).reasons() == ("looks wrong",)
    assert KillFile(path).engaged() == "looks wrong"


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
    kill = KillFile(path, disk := BadDisk(wrong, OSError(30, "Read-only file system")))
    with pytest.raises(OSError, match="Read-only"):
        kill.engage("stop", AT)
    for _ in range(2):
        assert kill.engaged() == f"stop (this process only: {path} could not be written)"
    assert not path.exists()
    disk.wrong = ""
    assert kill.engaged() == "stop"  # asking has tried again
    assert KillFile(path).engaged() == "stop"
    assert json.loads(path.read_text()) == {"at": AT, "reason": "stop"}


def test_a_switch_that_cannot_be_looked_at_is_written_all_the_same(path: Path) -> None:
    KillFile(path, BadDisk("exists")).engage("stop", AT)
    assert KillFile(path).engaged() == "stop"


class Blind(BadDisk):
    """A disk on which nobody can tell what is there, and on which one thing more goes wrong."""

    def exists(self, path: Path) -> bool:
        raise OSError(5, "Input/output error")


def test_a_switch_that_cannot_be_looked_at_is_made_whole_before_it_is_added_to(path: Path) -> None:
    KillFile(path, Blind("append")).engage("stop", AT)
    assert KillFile(path).reasons() == ("stop",)


def test_what_is_told_is_why_the_reason_was_not_written_whatever_else_goes_wrong(path: Path) -> None:
    kill = KillFile(path, Blind("create", OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        kill.engage("stop", AT)
    assert kill.unwritten == "[Errno 28] No space left on device"
    assert kill.engaged() == f"stop (this process only: {path} could not be written)"


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
    assert all(list(line) == sorted(line) for line in lines)
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


def test_a_release_that_did_not_come_to_the_disk_leaves_no_word_on_record_and_the_next_one_is_read(path: Path) -> None:
    KillFile(path).engage("stop", AT)
    kill = KillFile(path, disk := BadDisk("sync"))
    with pytest.raises(PermissionError):
        kill.release("seen", AT + 1)
    assert kill.log_path.read_bytes() == b""
    assert not kill.released_after(0)
    disk.wrong = ""
    kill.release("seen to", AT + 2)
    assert json.loads(kill.log_path.read_bytes()) == {"at": AT + 2, "engaged": "stop", "released": "seen to"}


def test_releasing_what_was_not_thrown_changes_nothing(path: Path) -> None:
    KillFile(path).release("seen", AT)
    assert list(path.parent.iterdir()) == []


def test_a_release_ends_what_only_this_process_knew_of(path: Path) -> None:
    kill = KillFile(path, disk := BadDisk("create"))
    with pytest.raises(PermissionError):
        kill.engage("stop", AT)
    kill.release("seen", AT)
    disk.wrong = ""
    assert kill.engaged() == ""
    assert "this process only" in kill.log_path.read_text()
    assert not path.exists()


class FullDisk(Disk):
    """A disk that has room for names and for no content."""

    full = True

    def sync(self, descriptor: int) -> None:
        if self.full and os.fstat(descriptor).st_size and not Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(28, "No space left on device")
        super().sync(descriptor)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the kind of an open file is read from /proc")
def test_on_a_full_disk_an_empty_file_stops_every_process_and_the_reason_follows_when_there_is_room(path: Path) -> None:
    kill = KillFile(path, disk := FullDisk())
    kill.engage("stop", AT)
    assert path.read_bytes() == b""
    assert list(path.parent.iterdir()) == [path]
    full = "could not take the reason: [Errno 28] No space left on device"
    assert kill.engaged() == f"stop ({path} is there, and {full})"
    kill.engage("stop again", AT + 1)
    assert kill.engaged() == f"stop again ({path} is there, and {full})"
    assert "No space left" in kill.unwritten
    assert KillFile(path).engaged() == f"{path} is there and says nothing that can be read"
    disk.full = False
    assert kill.engaged() == "stop again"
    assert kill.unwritten == ""
    assert KillFile(path).reasons() == ("stop again",)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the kind of an open file is read from /proc")
def test_an_empty_file_that_a_person_released_does_not_come_back_and_one_that_vanished_does(path: Path) -> None:
    kill = KillFile(path, disk := FullDisk())
    kill.engage("stop", AT)
    KillFile(path).release("seen", AT + 1)
    disk.full = False
    assert kill.engaged() == ""
    disk.full = True
    kill.engage("stop", AT + 2)
    path.unlink()
    disk.full = False
    assert kill.engaged() == "stop"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the kind of an open file is read from /proc")
def test_somebody_who_is_quicker_with_a_full_disk_is_kept_and_the_reason_follows_when_there_is_room(path: Path) -> None:
    class Quicker(FullDisk):
        """Another process throws it between the reason that finds no room and the empty file."""

        looks = 0

        def exists(self, path: Path) -> bool:
            there = super().exists(path)
            self.looks += 1
            if self.looks == 2:
                KillFile(path).engage("the quicker", AT)
            return there

    kill = KillFile(path, disk := Quicker())
    kill.engage("the slower", AT)
    assert kill.engaged() == "the quicker"
    assert kill.unwritten == "[Errno 28] No space left on device"
    disk.full = False
    assert kill.engaged() == "the quicker"
    assert kill.reasons() == ("the quicker", "the slower")


@pytest.mark.parametrize("wrong", ["append", "sync"])
def test_a_second_reason_that_cannot_be_added_is_told_and_the_first_stays(path: Path, wrong: str) -> None:
    KillFile(path).engage("first", AT)
    kill = KillFile(path, disk := BadDisk(wrong))
    kill.engage("second", AT + 1)
    assert "Permission denied" in kill.unwritten
    assert kill.engaged() == "first"
    assert KillFile(path).reasons() == ("first",)
    disk.wrong = ""
    assert kill.engaged() == "first"
    assert KillFile(path).reasons() == ("first", "second")


def test_a_switch_that_is_thrown_again_while_a_person_decides_is_not_released(path: Path) -> None:
    KillFile(path).engage("a test", AT)
    kill = KillFile(path)
    seen = kill.content()
    KillFile(path).engage("the venue was broken into", AT + 1)
    with pytest.raises(ConfigError, match="thrown again meanwhile, and nothing was released"):
        kill.release("the test is over", AT + 2, seen)
    assert kill.engaged() == "a test"
    assert not kill.log_path.exists()
    kill.release("both were seen to", AT + 3, kill.content())
    assert kill.engaged() == ""
    assert json.loads(kill.log_path.read_text())["engaged"] == "a test; the venue was broken into"


def test_a_throw_in_the_very_moment_of_a_release_is_not_lost(path: Path) -> None:
    class Meanwhile(Disk):
        """Throws the switch again before the file is removed, as another process would."""

        other: threading.Thread | None = None

        def append(self, path: Path, content: bytes) -> None:
            super().append(path, content)
            if self.other is None:
                self.other = threading.Thread(target=KillFile(path.with_suffix("")).engage, args=("stop", AT))
                self.other.start()
                self.other.join(0.1)
                assert self.other.is_alive()  # it waits until the release is over

    KillFile(path).engage("a test", AT)
    kill = KillFile(path, disk := Meanwhile())
    kill.release("the test is over", AT + 1)
    assert disk.other is not None
    disk.other.join()
    assert kill.engaged() == "stop"


class Clock:
    """Time that passes when somebody sleeps, by a whole tick at least, and by `step` when somebody asks for it."""

    def __init__(self, tick: float = 0.0, step: float = 0.0) -> None:
        self.now, self.tick, self.step = 0.0, tick, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += max(seconds, self.tick)


locks = pytest.mark.skipif(sys.platform == "win32", reason="there nobody can remove a file that is open")


def is_held(path: Path) -> bool:
    """Tell whether somebody keeps others from the file that is at a path now."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@locks
@pytest.mark.parametrize("tick", [0.001, 0.25])
def test_a_process_that_holds_the_file_and_does_nothing_holds_up_a_stop_for_half_a_second_at_most(
    path: Path, monkeypatch: pytest.MonkeyPatch, tick: float
) -> None:
    monkeypatch.setattr(kill_switch, "time", clock := Clock(tick))
    KillFile(path).engage("first", AT)
    with Disk().held(path):
        KillFile(path).engage("second", AT + 1)
    assert 0.5 <= clock.now < 0.51
    assert KillFile(path).reasons() == ("first", "second")


def test_nobody_waits_for_a_file_that_is_not_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_switch, "time", clock := Clock(step=0.01))
    with Disk().held(path):
        assert clock.now < 0.1
    assert list(path.parent.iterdir()) == []


@locks
def test_a_file_is_kept_from_others_while_it_is_held_and_no_longer(path: Path) -> None:
    path.write_bytes(b"")
    with Disk().held(path):
        assert is_held(path)
    assert not is_held(path)


@locks
def test_a_file_that_another_took_the_place_of_is_not_the_one_that_is_held(path: Path) -> None:
    later = path.with_name("later")
    for each in (path, later):
        each.write_bytes(each.name.encode())

    class Replaced(type(path)):  # type: ignore[misc]
        """Another file is there by the time that the first one is locked."""

        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            if later.exists():
                later.replace(path)
            return path.stat(follow_symlinks=follow_symlinks)

    with Disk().held(Replaced(path)):
        assert path.read_bytes() == b"later"
        assert is_held(path)
    assert not is_held(path)


def test_two_who_throw_it_at_once_are_both_kept(path: Path) -> None:
    class Later(Disk):
        """Another process is quicker between looking and writing."""

        def exists(self, path: Path) -> bool:
            there = super().exists(path)
            if not there:
                KillFile(path).engage("the quicker", AT)
            return there

    KillFile(path, Later()).engage("the slower", AT)
    assert KillFile(path).reasons() == ("the quicker", "the slower")


def test_a_file_system_without_links_holds_a_switch_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    KillFile(path).engage("stop", AT)
    assert KillFile(path).engaged() == "stop"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_full_of_reasons_stays_thrown_and_says_that_it_takes_no_more(path: Path) -> None:
    KillFile(path).engage("x" * 65_400, AT)
    kill = KillFile(path)
    kill.engage("y" * 200, AT)
    assert "too long for another reason" in kill.unwritten
    assert kill.engaged() == "x" * 65_400


@pytest.mark.parametrize("more", [0, 1])
def test_the_last_reason_fills_a_file_to_its_last_byte_and_no_further(path: Path, more: int) -> None:
    KillFile(path).engage("first", AT)
    line = path.stat().st_size
    KillFile(path).engage("second".ljust(MOST_BYTES - 2 * line + len("first") + more, "d"), AT)
    assert len(KillFile(path).reasons()) == 2 - more
    assert path.stat().st_size == (line if more else MOST_BYTES)


@pytest.mark.parametrize("make", [KillFile, lambda _: KillFlag()])
def test_the_record_of_releases_tells_whether_one_came_later(
    path: Path, make: Callable[[Path], KillFile | KillFlag]
) -> None:
    kill = make(path)
    assert not kill.released_after(0)
    kill.engage("stop", AT)
    assert not kill.released_after(0)
    kill.release("seen", AT + 5)
    assert kill.released_after(AT + 4)
    assert not kill.released_after(AT + 5)


def test_a_record_of_releases_that_cannot_be_read_proves_none_and_a_long_one_is_read_from_its_end(path: Path) -> None:
    kill = KillFile(path)
    kill.log_path.write_bytes(b'[]\nnull\n"released"\n{"released": 7, "at": 9}\n{"at": 9}\n{"released": "x"}\n\xff\n')
    assert not kill.released_after(0)
    kill.log_path.write_bytes(
        b'{"at": "9", "released": "x"}\n{"at": 9.5, "released": "x"}\n{"at": true, "released": "x"}\n'
    )
    assert not kill.released_after(0)
    kill.log_path.write_bytes(b'{"at": 7, "released": "x"}\n' * 9_999 + b'{"at": 8, "released": "x"}\n')
    assert kill.released_after(7)
    kill.log_path.write_bytes(kill.log_path.read_bytes().rstrip())  # to its last byte
    assert kill.released_after(7)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), ValueError("no path"), KeyError("no file")]
)
def test_what_cannot_be_read_has_no_content_and_proves_no_release(path: Path, error: Exception) -> None:
    KillFile(path).engage("stop", AT)
    KillFile(path).release("seen", AT + 1)
    KillFile(path).engage("stop", AT + 2)
    kill = KillFile(path, disk := BadDisk("read", error))
    assert (kill.content(), kill.reasons(), kill.released_after(AT)) == (b"", (), False)
    disk.wrong = ""
    assert (kill.reasons(), kill.released_after(AT)) == (("stop",), True)


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


def test_a_switch_is_the_same_file_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    switch = KillFile("kill")
    switch.engage("stop", 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert switch.engaged() == "stop"
    assert KillFile(tmp_path / "kill").engaged() == "stop"
