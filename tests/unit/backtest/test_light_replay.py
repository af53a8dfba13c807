"""What a replay does not need is not there: pandas, and the rows of a mapped tape that it has read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arbkit.backtest.world import Replay
from arbkit.books import meta as m
from arbkit.history.tape import Tape, read_tape
from tests.builders import START, a_table

N = 1_000_000  # rows, 31 MB
LIGHT = """
import sys, arbkit as ak, arbkit.analysis.sweeping
from arbkit.backtest.world import Replay
Replay(ak.read_tape(sys.argv[1], verify=False)).forward(0)
sys.exit("pandas" in sys.modules)
"""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    code = np.full(N, m.meta(m.KIND_LEVEL, m.SIDE_BID), np.uint8)
    code[0] = m.meta(m.KIND_CLEAR)
    columns = {
        "ts_recv": START + np.arange(N) * 1_000,
        "book": np.zeros(N, np.int16),
        "meta": code,
        "price": 400_000 + np.arange(N) % 7 * 10_000,
        "size": np.ones(N, np.int64),
    }
    Tape.from_columns(a_table(), **columns).write(tmp_path / "tape")
    return tmp_path / "tape"


def mapped_kb() -> int:
    """How much of the files that are mapped counts as this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.mark.no_cover
@pytest.mark.parametrize("cached", [True, False])
def test_a_tape_is_read_and_replayed_and_a_worker_of_a_sweep_starts_without_pandas(long: Path, cached: bool) -> None:
    if not cached:
        (long / "replay.arrow").unlink()
    subprocess.run([sys.executable, "-c", LIGHT, long], check=True)


@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_replay_gives_back_the_memory_of_the_mapped_rows_that_it_has_read(long: Path) -> None:
    tape = read_tape(long, verify=False)
    replay = Replay(tape)
    before = mapped_kb()
    replay.forward(N - 1)
    assert mapped_kb() - before < 15_000
    last = [int(column.max()) for column in tape.rows]  # read again where it is asked for
    assert last[:2] == [START + (N - 1) * 1_000] * 2
    assert mapped_kb() - before > 25_000
