"""A sweep on a real Dask cluster of separate processes, one of which is killed while it works."""

from __future__ import annotations

import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import arbkit as ak
from arbkit.core.compiled import cache_home
from arbkit.core.errors import ArbkitError
from arbkit.core.model import Basket
from arbkit.history.synthetic import SyntheticSpec

distributed = pytest.importorskip("distributed", reason="needs the extra arbkit[cluster]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

GRID = {"scenario.queue": ["through", "front"], "config.max_slippage": [0.0, 0.005, 0.01, 0.02]}
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tapes") / "short"
    ak.synthetic_tape(SyntheticSpec(minutes=0.7, episodes=6), seed=3).write(folder)
    return folder


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes of one thread each, with nannies that replace a dead one; nothing leaves the loopback."""
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50,
    )  # fmt: skip
    with cluster, distributed.Client(cluster) as found:
        yield found


def swept(tape: Path, cache: Path, executor: Any = None, seeds: int = 12) -> pd.DataFrame:
    found: list[Basket] = ak.baskets(ak.read_tape(tape))
    return ak.sweep(tape, found, GRID, executor, strategies=("market", "hybrid"), seeds=seeds, cache=cache)


def entries(cache: Path) -> int:
    return sum(1 for path in cache.rglob("*") if path.is_file() and not path.name.startswith("."))


@pytest.mark.no_cover
def test_a_worker_killed_in_mid_sweep_loses_nothing_and_the_table_is_that_of_the_local_pool(
    client: Any, tape: Path, tmp_path: Path
) -> None:
    before: dict[str, int] = client.run(os.getpid)
    assert len(set(before.values())) == 2
    assert os.getpid() not in before.values()
    killed: list[int] = []

    def kill_one() -> None:
        """Once two points are done, kill a worker of which both have more to do."""
        deadline = time.monotonic() + PATIENCE_S
        while entries(tmp_path / "dask") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        if entries(tmp_path / "dask") < 7:  # in the middle: something is running and something waits
            victim = next(iter(before.values()))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    killer = threading.Thread(target=kill_one)
    killer.start()
    cluster_made = swept(tape, tmp_path / "dask", client.get_executor())
    killer.join()
    assert killed, "the sweep was over before a worker could be killed: lengthen its points"
    assert cluster_made.attrs["kept"] == 0
    assert len(cluster_made) == 8 * 2
    client.wait_for_workers(2, timeout=PATIENCE_S)
    after: dict[str, int] = client.run(os.getpid)
    assert killed[0] not in after.values()

    local = swept(tape, tmp_path / "local")
    pd.testing.assert_frame_equal(cluster_made, local, check_exact=True)
    on_disk = [
        sorted((path.name, path.read_bytes()) for path in (tmp_path / where).rglob("*") if path.is_file())
        for where in ("dask", "local")
    ]
    assert on_disk[0] == on_disk[1]


def test_what_a_cluster_did_is_kept_for_whoever_asks_next(client: Any, tape: Path, tmp_path: Path) -> None:
    first = swept(tape, tmp_path, client.get_executor(), seeds=1)
    again = swept(tape, tmp_path, seeds=1)
    assert again.attrs["kept"] == 8
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_a_worker_with_another_tape_at_the_path_refuses_it(client: Any, tape: Path, tmp_path: Path) -> None:
    moved = tmp_path / "tape"
    ak.synthetic_tape(SyntheticSpec(minutes=0.4, episodes=3), seed=4).write(moved)
    found = ak.baskets(ak.read_tape(moved))
    client.run(_replace, str(moved), str(tape))  # what a worker of another machine may see there
    with pytest.raises(ArbkitError, match="is another tape on the worker"):
        ak.sweep(moved, found, {}, client.get_executor(), cache=tmp_path / "cache")


def test_workers_and_local_processes_open_a_tape_at_a_url(
    client: Any, tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "tapes.zip", "w") as file:
        for path in sorted(tape.rglob("*")):
            file.write(path, path.relative_to(tape.parent))
    url = f"zip://{tape.name}::{tmp_path / 'tapes.zip'}"
    for where in ("here", "there"):  # caches of their own for tapes, and not for kernels: those take minutes
        (tmp_path / where).mkdir()
        for kernels in cache_home().glob("kernels-*"):
            (tmp_path / where / kernels.name).symlink_to(kernels)
    monkeypatch.setenv("ARBKIT_CACHE", str(tmp_path / "here"))
    client.run(_cache_at, str(tmp_path / "there"))
    found = ak.baskets(ak.read_tape(tape))
    made = {
        name: ak.sweep(url, found, {"scenario.queue": ["through", "front"]}, executor, cache=tmp_path / name)
        for name, executor in (("cluster", client.get_executor()), ("local", None))
    }
    pd.testing.assert_frame_equal(made["cluster"], made["local"], check_exact=True)
    copies = [[path.name for path in (tmp_path / where / "tapes").iterdir()] for where in ("here", "there")]
    assert copies[0] == copies[1]
    assert len(copies[0]) == 1


def _cache_at(path: str) -> None:
    os.environ["ARBKIT_CACHE"] = path


def _replace(path: str, by: str) -> None:
    import arbkit.analysis.sweeping as module
    from arbkit.history.tape import read_tape

    module.read_tape = lambda asked, verify=True: read_tape(by if str(asked) == path else asked, verify=verify)  # type: ignore[assignment]
