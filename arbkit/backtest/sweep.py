"""Many settings over one tape: the grid, the key of each result, and the work given to any executor.

A job says where the tape is and everything that its result follows from; nobody sends rows. Its key is a hash over
the tape's digest, all parameters and the version of arbkit, so a result that is kept can be used for the same
question and for no other. Whatever ends a sweep early, what was done by then is kept.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from itertools import product
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import msgspec
import numba
import numpy as np

from arbkit.backtest.scenario import Scenario
from arbkit.backtest.sweep_pool import local_pool
from arbkit.backtest.sweep_store import Columns, Store
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, ConfigError
from arbkit.core.model import Basket, ExecutionStrategy

PACKAGE = Path(__file__).resolve().parents[1]
APART = {"cli", "monitor", "exchange", "wiring", "venues", "chain"}  # folders that no simulated result follows from
MOST_POINTS = 100_000
EXACT = 2**53  # every whole number below it is one float
Grid = Mapping[str, Sequence[Any]]
Progress = Callable[[int, int], None]


class Point(NamedTuple):
    """One place of the grid: the values that differ, and the settings they come to."""

    values: tuple[object, ...]
    config: ExecutionConfig
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Job:
    """One point of a sweep as a worker gets it; `version` is that of the code that asks."""

    tape: str
    digest: str
    version: str
    baskets: tuple[Basket, ...]
    config: ExecutionConfig
    scenario: Scenario
    edge: str
    rearm_s: float
    study: str | None
    strategies: tuple[ExecutionStrategy, ...]
    latencies_ms: tuple[float, ...]
    seeds: int
    mode: str

    @property
    def key(self) -> str:
        """The name of the result: everything it follows from, and not where the tape happens to lie."""
        said = {f.name: canonical(getattr(self, f.name)) for f in fields(self) if f.name != "tape"}
        return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


Work = Callable[[Job], bytes]


# -- the grid ------------------------------------------------------------------------------------------------


def points(grid: Grid, config: ExecutionConfig, scenario: Scenario) -> list[Point]:
    """Return the points of a grid such as {"config.max_slippage": [0.0, 0.01], "scenario.queue": [...]}.

    The last name varies fastest. Raises ConfigError for a name that is no setting, a list that is none, is empty or
    names a value twice, and for a value that cannot be meant.
    """
    parts: dict[str, Any] = {"config": config, "scenario": scenario}
    if not isinstance(grid, Mapping):
        raise ConfigError(f'grid must map names to lists, like {{"scenario.entry_ms": [20, 50]}}, not {grid!r}')
    lists: list[tuple[Any, ...]] = []
    for name, values in grid.items():
        part, _, setting = str(name).partition(".")
        if part not in parts or setting not in {f.name for f in fields(parts[part])}:
            raise ConfigError(f"grid: {name!r} is no setting; there are config.* and scenario.*")
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise ConfigError(f"grid: {name} must be a list of values, not {values!r}")
        lists.append(tuple(values))
        told = [msgspec.json.encode(canonical(value)) for value in lists[-1]]
        if not told or len(set(told)) < len(told):
            raise ConfigError(f"grid: {name}: {'names a value twice' if told else 'names no value'}")
    if (count := int(np.prod([len(each) for each in lists], dtype=np.float64))) > MOST_POINTS:
        raise ConfigError(f"grid: {count:,} points are more than {MOST_POINTS:,}")
    return [_point(tuple(grid), values, config, scenario) for values in product(*lists)]


def _point(names: Sequence[str], values: tuple[Any, ...], config: ExecutionConfig, scenario: Scenario) -> Point:
    changed: dict[str, dict[str, Any]] = {"config": {}, "scenario": {}}
    for name, value in zip(names, values, strict=True):
        part, _, setting = name.partition(".")
        changed[part][setting] = value
    return Point(values, replace(config, **changed["config"]), replace(scenario, **changed["scenario"]))


# -- what a result follows from ------------------------------------------------------------------------------


def canonical(value: Any) -> Any:
    """Return a setting in plain JSON values, the same for equal settings and in every process.

    Raises ConfigError for what has no such form: it could not be told apart from another.
    """
    if isinstance(value, float) and abs(value) < EXACT and value == int(value):
        return int(value)  # 20.0 is 20, and -0.0 is 0
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return [type(value).__name__, value.name]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {f.name: canonical(getattr(value, f.name)) for f in fields(value)}]
    if isinstance(value, Mapping):
        return {"of": sorted(([canonical(k), canonical(v)] for k, v in value.items()), key=msgspec.json.encode)}
    if isinstance(value, (set, frozenset)):
        return {"any": sorted((canonical(each) for each in value), key=msgspec.json.encode)}
    if isinstance(value, np.generic):
        return canonical(value.item())
    if isinstance(value, (list, tuple, np.ndarray)):
        return [canonical(each) for each in value]
    raise ConfigError(f"a sweep cannot tell {value!r} from another setting: its type is none that can be written down")


@cache
def version() -> str:
    """Return the hash of arbkit's sources and of what it computes with: two of one version give the same results."""
    digest = hashlib.sha256(f"{platform.python_version()} {np.__version__} {numba.__version__}".encode())
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE)
        if path.suffix in (".py", ".toml") and name.parts[0] not in APART:
            digest.update(f"{name.as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


# -- the work ------------------------------------------------------------------------------------------------


class Done(NamedTuple):
    """Results by key; `kept` of them were there before, `interrupted` tells that others are missing."""

    results: dict[str, Columns]
    kept: int
    interrupted: bool


def run_jobs(jobs: Sequence[Job], work: Work, store: Store, executor: Executor | None, progress: Progress) -> Done:
    """Do what the store does not hold yet, on an executor or on a pool of local processes, and keep each result.

    A pool of our own that loses a process is replaced, as long as each gets something done; an executor that was
    passed in is left to its owner. Ctrl-C cancels what waits and returns what is done. The first error of a job
    cancels the others and is raised, as is ConfigError, before any work, where results cannot be kept.
    """
    results: dict[str, Columns] = {}
    wanted = {job.key: job for job in jobs}

    def take(key: str, data: bytes) -> None:
        results[key] = Columns.unpacked(data)
        store.put(key, data)
        progress(len(results), len(wanted))

    for key in wanted:
        if (found := store.get(key)) is not None:
            results[key] = found
            progress(len(results), len(wanted))
    kept = len(results)
    if kept < len(wanted):
        store.ready()
    try:
        while left := {key: job for key, job in wanted.items() if key not in results}:
            before = len(results)
            try:
                if executor is not None:
                    _give(left, work, executor, take)
                else:
                    with local_pool(len(left)) as pool:
                        _give(left, work, pool, take)
            except BrokenExecutor as error:
                if executor is not None or len(results) == before:
                    raise _lost(error, len(results), len(wanted)) from error
    except KeyboardInterrupt:
        if not results:
            raise
        return Done(results, kept, interrupted=True)
    return Done(results, kept, interrupted=False)


def _lost(error: BrokenExecutor, done: int, wanted: int) -> ArbkitError:
    return ArbkitError(
        f"the processes of the sweep ended before their work did ({error}); {done} of {wanted} points are done and "
        "kept. In a script, call sweep under `if __name__ == '__main__':`, for each process reads the script again"
    )


def _give(jobs: Mapping[str, Job], work: Work, executor: Executor, take: Callable[[str, bytes], None]) -> None:
    """Submit all jobs and take each result as it comes; whatever happens, take what is done and cancel the rest.

    Results are waited for in a queue of C: Ctrl-C in the middle of waiting for futures could leave one of their locks
    held, and the executor waited for it for ever.
    """
    futures: dict[Future[bytes], str] = {}
    taken: set[str] = set()
    ended: SimpleQueue[Future[bytes]] = SimpleQueue()
    try:
        for key, job in jobs.items():
            future = executor.submit(work, job)
            futures[future] = key
            future.add_done_callback(ended.put)
        while len(taken) < len(jobs):
            try:
                future = ended.get(timeout=0.2)  # in short waits: an endless one cannot be interrupted on every system
            except Empty:
                continue
            data = future.result()
            take(futures[future], data)
            taken.add(futures[future])
    except BaseException:
        for future in futures:
            future.cancel()
        for future, key in futures.items():
            if key not in taken and future.done() and not future.cancelled() and future.exception() is None:
                take(key, future.result())
        raise
