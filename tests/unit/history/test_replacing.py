"""A tape takes the place of another as a whole: whatever comes in between, one of the two stands there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arbkit.core.errors import DataError
from arbkit.history.tape import Tape, read_tape
from tests.builders import BID, TapeBuilder
from tests.unit.history import test_kalshi_csv as kalshi

# A signal that comes when the old tape has left its place and the new one is not there yet.
WRITER = """
import os, signal, sys
from arbkit.history.tape import read_tape

source, final, number = sys.argv[1], sys.argv[2], int(sys.argv[3])

def hook(event, args):
    if event == "os.rename" and str(args[1]) == final and str(args[0]).endswith("new"):
        os.kill(os.getpid(), number)

tape = read_tape(source)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(hook)
tape.write(final)
"""


@pytest.fixture
def old() -> Tape:
    return TapeBuilder().snapshot(0, [(40, 1)]).tape()


@pytest.fixture
def folder(old: Tape, tmp_path: Path) -> Path:
    old.write(tmp_path / "tape")
    TapeBuilder().snapshot(0, [(40, 1)]).level(5, BID, 40, 2).tape().write(tmp_path / "other")
    return tmp_path / "tape"


def struck(folder: Path, number: int) -> int:
    """Replace a tape in a process of its own, which is sent a signal between the two renames; return how it ended."""
    command = [sys.executable, "-c", WRITER, str(folder.with_name("other")), str(folder), str(int(number))]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_ctrl_c_between_the_two_renames_puts_the_old_tape_back(old: Tape, folder: Path) -> None:
    assert struck(folder, signal.SIGINT) == -signal.SIGINT
    assert read_tape(folder).digest == old.digest
    assert hidden(folder) == []


def test_a_writer_killed_between_the_two_renames_leaves_a_tape_that_reading_tells_where_to_find(
    old: Tape, folder: Path
) -> None:
    assert struck(folder, signal.SIGKILL) == -signal.SIGKILL
    (work,) = hidden(folder)
    with pytest.raises(DataError, match="that stood here, which is") as told:
        read_tape(folder)
    assert f" {work / 'old'}:" in str(told.value)
    assert read_tape(work / "old").digest == old.digest
    (work / "old").rename(folder)
    assert read_tape(folder).digest == old.digest


def test_where_no_tape_ever_stood_none_is_said_to_be_lost(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no tape\.json in it$"):
        read_tape(tmp_path / "tape")


def test_a_name_that_is_a_pattern_is_taken_as_it_is(old: Tape, tmp_path: Path) -> None:
    old.write(tmp_path / ".tape.12345678" / "old")
    with pytest.raises(DataError, match=r"there is no tape\.json in it$"):
        read_tape(tmp_path / "t*")


# What a full disk does, by the limit that a process may set itself: writing fails at that many bytes of a file.
FULL = """
import os, resource, signal, sys
from arbkit.core.errors import DataError
from arbkit.history.importers import import_recording
from arbkit.history.tape import read_tape

tape, final, recording, limit = read_tape(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for work in (lambda: tape.write(final), lambda: import_recording(recording, final)):
    try:
        work()
    except DataError as error:
        assert isinstance(error.__cause__, OSError), repr(error.__cause__)
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # for who measures coverage
"""


@pytest.mark.parametrize("limit", [0, 100, 1_500])
def test_a_full_disk_refuses_a_tape_by_name_and_leaves_what_stood_there(old: Tape, folder: Path, limit: int) -> None:
    recording = kalshi.write(folder.with_name("recording.csv"), kalshi.CALM)
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        FULL,
        *map(str, (folder.with_name("other"), folder, recording, limit)),
    ]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60, text=True)
    said = done.stdout.splitlines()
    assert len(said) == 2, said
    for line in said:
        assert line.startswith(f"{folder}: not written, and nothing there is changed: ")
        assert "File too large" in line
    assert done.stderr == ""
    assert read_tape(folder).digest == old.digest
    assert hidden(folder) == []


def test_a_place_where_no_folder_can_be_made_refuses_a_tape_by_name(old: Tape, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/tapes/tape: not written, and nothing there is changed: "):
        old.write(tmp_path / "file" / "tapes" / "tape")
