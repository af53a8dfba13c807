"""The local pool of a sweep as processes: one of them killed, Ctrl-C, an owner that dies, a script without a guard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pandas as pd
import psutil
import pytest

import arbkit as ak
from arbkit.history.synthetic import SyntheticSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PATIENCE_S = 60.0
POINTS = 8
BODY = """
import sys
import arbkit as ak
def main(tape, cache):
    found = ak.baskets(ak.read_tape(tape))
    grid = {"scenario.queue": ["through", "front"], "config.max_slippage": [0.0, 0.005, 0.01, 0.02]}
    made = ak.sweep(tape, found, grid, strategies=("market", "hybrid"), seeds=int(sys.argv[4]), cache=cache)
    made.to_pickle(sys.argv[3])
    print(made.attrs["kept"], made.attrs.get("interrupted", "whole"))
"""
GUARD = 'if __name__ == "__main__":\n    '


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tapes") / "short"
    ak.synthetic_tape(SyntheticSpec(minutes=0.7, episodes=6), seed=3).write(folder)
    return folder


class Sweep:
    """A script that sweeps, as a process."""

    def __init__(self, tape: Path, folder: Path, seeds: int = 12, guard: str = GUARD) -> None:
        self.cache, self.result = folder / "cache", folder / "made.pickle"
        script = folder / "script.py"
        script.write_text(f"{BODY}\n{guard}main(sys.argv[1], sys.argv[2])\n")
        self.process = subprocess.Popen(
            [sys.executable, script, tape, self.cache, self.result, str(seeds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def done(self) -> int:
        return sum(1 for path in self.cache.rglob("*") if path.is_file() and not path.name.startswith("."))

    def workers(self) -> list[psutil.Process]:
        """The processes of the pool; the helper that Python starts beside them is none."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S * 2)
        return self.process.returncode, out.strip(), err


def until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_killed_process_of_the_pool_is_replaced_and_nothing_is_lost(tape: Path, tmp_path: Path) -> None:
    with Sweep(tape, tmp_path) as sweep:
        until(lambda: sweep.done() >= 1, "no point was done")
        os.kill(sweep.workers()[0].pid, signal.SIGKILL)
        code, out, err = sweep.ended()
    assert (code, out) == (0, "0 whole"), err
    assert len(pd.read_pickle(sweep.result)) == 2 * POINTS
    assert sweep.done() == POINTS


def test_control_c_ends_at_once_with_what_is_done_and_the_next_call_goes_on(tape: Path, tmp_path: Path) -> None:
    with Sweep(tape, tmp_path) as sweep:
        until(lambda: sweep.done() >= 1, "no point was done")
        workers = sweep.workers()
        for process in (*workers, psutil.Process(sweep.process.pid)):  # as a terminal sends it to everyone
            os.kill(process.pid, signal.SIGINT)
        code, out, err = sweep.ended()
        assert code == 0, err
        assert f"of {POINTS} points are done; the same call goes on" in out
        assert "Traceback" not in err
        assert not psutil.wait_procs(workers, timeout=PATIENCE_S)[1]
        done, part = sweep.done(), pd.read_pickle(sweep.result)
        assert len(part) == 2 * done < 2 * POINTS

    with Sweep(tape, tmp_path) as rest:
        assert rest.ended()[:2] == (0, f"{done} whole")
    whole = pd.read_pickle(rest.result)
    keys = [*whole.columns[:3]]
    pd.testing.assert_frame_equal(whole.merge(part[keys], on=keys), part, check_exact=True)


def test_the_pool_goes_when_its_owner_is_killed(tape: Path, tmp_path: Path) -> None:
    with Sweep(tape, tmp_path) as sweep:
        until(lambda: sweep.done() >= 1, "no point was done")
        workers = sweep.workers()
        assert workers
        sweep.process.kill()
        sweep.process.communicate()
        assert not psutil.wait_procs(workers, timeout=PATIENCE_S)[1]


def test_a_script_without_the_guard_is_told_about_it(tape: Path, tmp_path: Path) -> None:
    with Sweep(tape, tmp_path, seeds=1, guard="") as sweep:
        code, out, err = sweep.ended()
    assert (code, out) == (1, "")
    assert "call sweep under `if __name__ == '__main__':`" in err
