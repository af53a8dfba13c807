"""An import that is told to stop leaves nothing behind, by whatever signal it is told."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arbkit.cli.base import terminable
from arbkit.history.tape import read_tape
from tests.builders import TapeBuilder
from tests.unit.history import test_kalshi_csv as kalshi

# The signal comes when the last of the large files is begun: the spool is whole, and most of the tape is written.
IMPORT = """
import os, signal, sys
from arbkit.cli import app

number, *arguments = sys.argv[1:]

def hook(event, args):
    if event == "open" and str(args[0]).endswith("replay.arrow") and "w" in str(args[1]):
        os.kill(os.getpid(), int(number))

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(hook)
app(["import", *arguments])
"""


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_import_that_is_told_to_stop_removes_what_it_has_written(
    tmp_path: Path, number: signal.Signals, ends: int
) -> None:
    source = kalshi.write(tmp_path / "recording.csv", kalshi.CALM)
    old = TapeBuilder().snapshot(0, [(40, 1)]).tape()
    old.write(tmp_path / "tapes" / "tape")
    command = [sys.executable, "-c", IMPORT, str(int(number)), str(source), str(tmp_path / "tapes" / "tape")]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60, text=True)
    assert done.returncode == ends, done.stderr
    assert [path.name for path in (tmp_path / "tapes").iterdir()] == ["tape"]
    assert read_tape(tmp_path / "tapes" / "tape").digest == old.digest


def test_who_hears_sigterm_already_goes_on_hearing_it() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with terminable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_sigterm_is_heard_as_before_once_the_work_is_done() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended, terminable():
            signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
