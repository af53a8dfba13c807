"""`python -m benchmarks.determinism`: one seed, one journal, whatever process, hash seed, chunk or executor made it.

The same decisions of one tape are traded by all three strategies under drawn latencies, in fresh worlds; the hash is
over every fact of every journal. The table shows where it was made, and all its hashes must be one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import arbkit as ak
from arbkit.backtest.matching import CHUNK_ROWS
from arbkit.backtest.scan import scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionStrategy
from arbkit.core.units import MICRO, Cash, Size
from arbkit.fees import rule
from arbkit.history.synthetic import SyntheticSpec
from arbkit.history.tape import read_tape
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal, digest_of

ROOT = Path(__file__).parents[1]
SPEC = SyntheticSpec(minutes=1.0, episodes=12, life_tail=8.0)
CONFIG = ExecutionConfig(limit_timeout_s=2.0, edge="gross")
CHUNKS = (1, 7, 1_000, CHUNK_ROWS)
HASH_SEEDS = ("0", "1", "4242")
SEEDS = (0, 1)


class Row(NamedTuple):
    """One way to the same journals: what is varied, to what, and the hash that came of it."""

    what: str
    value: str
    digest: str


def journals(path: str, chunk_rows: int = CHUNK_ROWS) -> str:
    """Return the hash over the journals of every decision, strategy and seed on a tape; what a worker runs."""
    tape = read_tape(path)
    fees = {book.index: rule("none") for book in tape.markets.books}
    seen = scan_tape(
        tape, ak.baskets(tape), min_edge=Cash(100), gross=True, fees=fees, chunk_rows=chunk_rows,
        max_size=Size(100 * MICRO), max_exposure=Cash(250 * MICRO),
    )  # fmt: skip
    replay, found = Replay(tape, fees), list[str]()
    for opportunity, row in zip(seen.opportunities(), seen.start_row.tolist(), strict=True):
        replay.forward(row)
        for strategy in ExecutionStrategy:
            for seed in SEEDS:
                scenario = Scenario(jitter=0.3, entry_ms=80.0, seed=seed)
                world, journal = replay.world(scenario, opportunity.id, chunk_rows=chunk_rows), MemoryJournal()
                engine = ArbitrageExecutionEngine(
                    world.venues, world.feed, (opportunity.basket,), config=CONFIG, clock=world.clock, journal=journal
                )
                world.run(engine.execute_opportunity(opportunity, strategy))
                world.check()
                found.append(journal.digest())
    return digest_of(found)


def table(path: str, *, chunks: tuple[int, ...] = CHUNKS, hash_seeds: tuple[str, ...] = HASH_SEEDS) -> list[Row]:
    """Return the hash for every chunk size, hash seed and executor there is on this machine."""
    rows = [Row("rows per chunk", f"{chunk:,}", journals(path, chunk)) for chunk in chunks]
    rows += [Row("process, hash seed", seed, _elsewhere(path, seed)) for seed in hash_seeds]
    for name, opened in _executors():
        with opened() as executor:
            rows.append(Row("executor", name, executor.submit(journals, path).result()))
    return rows


def _elsewhere(path: str, hash_seed: str) -> str:
    code = "import sys; from benchmarks.determinism import journals; print(journals(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def _executors() -> Iterator[tuple[str, Callable[[], Executor]]]:
    yield "a thread", lambda: ThreadPoolExecutor(1)
    yield "a process, spawned", lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    if find_spec("distributed") is not None:
        yield "a Dask worker", _dask  # type: ignore[misc]  # a context that yields an executor, as the others are


@contextmanager
def _dask() -> Iterator[Executor]:
    import distributed

    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        yield client.get_executor()


def shown(rows: list[Row]) -> str:
    """Return the table in Markdown, and under it whether there is one hash."""
    lines = ["| varied | value | hash over all journals |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.value} | `{row.digest[:16]}` |" for row in rows]
    kinds = len({row.digest for row in rows})
    return "\n".join([*lines, "", f"{len(rows)} ways, {kinds} hash{'' if kinds == 1 else 'es: NOT deterministic'}"])


def main() -> None:
    from benchmarks import determinism as own  # as a module, which workers can import: this may be `__main__`

    argparse.ArgumentParser(prog="python -m benchmarks.determinism", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape"
        ak.synthetic_tape(SPEC, 11).write(path)
        rows = own.table(str(path))
    print(shown(rows))
    sys.exit(len({row.digest for row in rows}) != 1)


if __name__ == "__main__":
    main()
