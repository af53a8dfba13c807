"""A sweep below its table: the grid, the keys, the store, and work that is interrupted, fails or loses its pool."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.scenario import Scenario
from arbkit.backtest.sweep import Done, Job, canonical, points, run_jobs, version
from arbkit.backtest.sweep_store import Columns, Store
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, ConfigError, DataError
from arbkit.core.model import ExecutionStrategy

JOB = Job(
    tape="/tapes/a", digest="d", version="v", baskets=(), config=ExecutionConfig(), scenario=Scenario(), edge="net",
    rearm_s=1.0, study=None, strategies=(ExecutionStrategy.MARKET,), latencies_ms=(), seeds=1, mode="each",
)  # fmt: skip


def jobs(n: int) -> list[Job]:
    return [replace(JOB, scenario=Scenario(seed=seed)) for seed in range(n)]


def answered(job: Job) -> bytes:
    """What a worker would return: here the seed."""
    return Columns.of({"seed": job.scenario.seed}, {("seed",): [(job.scenario.seed,)]}).packed()


def seeds(done: Done) -> list[int]:
    return sorted(int(columns["seed"][0]) for columns in done.results.values())


def run(n: int, work: Callable[[Job], bytes], store: Store, executor: Executor) -> Done:
    return run_jobs(jobs(n), work, store, executor, lambda done, total: None)


class AtOnce(Executor):
    """Does the work when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  (an executor keeps whatever its work raises)
            future.set_exception(error)
        return future


# -- the grid ------------------------------------------------------------------------------------------------


def test_the_last_name_of_a_grid_varies_fastest_and_each_point_holds_its_settings() -> None:
    grid = {"config.max_slippage": [0.0, 0.01], "scenario.queue": ["through", "front"]}
    found = points(grid, ExecutionConfig(max_size=7), Scenario(seed=3))
    assert [point.values for point in found] == [(0.0, "through"), (0.0, "front"), (0.01, "through"), (0.01, "front")]
    assert [(p.config.max_slippage, p.scenario.queue) for p in found] == [point.values for point in found]
    assert {(p.config.max_size, p.scenario.seed) for p in found} == {(7, 3)}


def test_a_grid_without_names_is_one_point() -> None:
    assert [point.values for point in points({}, ExecutionConfig(), Scenario())] == [()]


def test_a_grid_may_name_its_values_one_by_one() -> None:
    named = {"config.max_size": map(float, (1, 2)), "scenario.seed": (seed for seed in range(2))}
    values = [point.values for point in points(named, ExecutionConfig(), Scenario())]
    assert values == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]


@pytest.mark.parametrize(
    ("grid", "why"),
    [
        ([("config.max_size", [1])], "must map names to lists"),
        ({"config.size": [1]}, "'config.size' is no setting"),
        ({"max_size": [1]}, "'max_size' is no setting"),
        ({"scenario.queue": "front"}, "must be a list of values, not 'front'"),
        ({"config.max_size": 3}, "must be a list of values, not 3"),
        ({"config.max_size": []}, "names no value"),
        ({"config.max_size": [1, 2, 1]}, "names a value twice"),
        ({"config.max_size": [20, 20.0]}, "names a value twice"),
        ({"config.max_slippage": [0.0, -0.0]}, "names a value twice"),
        ({"config.max_size": [-1]}, "outside"),
        ({"scenario.seed": range(400), "config.max_size": range(1, 400)}, "159,600 points are more than 100,000"),
        ({"scenario.assume_fees": [object()]}, "its type is none that can be written down"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused(grid: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        points(grid, ExecutionConfig(), Scenario())


# -- keys ----------------------------------------------------------------------------------------------------


def test_a_key_changes_with_everything_a_result_follows_from_and_not_with_the_place_of_the_tape() -> None:
    others = [
        replace(JOB, digest="e"), replace(JOB, version="w"), replace(JOB, config=ExecutionConfig(max_size=99)),
        replace(JOB, scenario=Scenario(queue="front")), replace(JOB, edge="gross"), replace(JOB, rearm_s=2.0),
        replace(JOB, study="sample:5s"), replace(JOB, strategies=(ExecutionStrategy.LIMIT,)),
        replace(JOB, latencies_ms=(20.0,)), replace(JOB, seeds=2), replace(JOB, mode="portfolio"),
    ]  # fmt: skip
    assert len({JOB.key, *(job.key for job in others)}) == len(others) + 1
    assert replace(JOB, tape="/elsewhere/a").key == JOB.key


def test_a_key_is_the_same_in_every_process() -> None:
    code = "from tests.unit.backtest.test_sweep import JOB, version; print(JOB.key, version())"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [JOB.key, version()]


def test_settings_of_other_types_are_told_apart_and_equal_ones_are_not() -> None:
    @dataclass(frozen=True)
    class Constant:
        ms: float = 5.0

    @dataclass(frozen=True)
    class Drawn:
        ms: float = 5.0
        seen: tuple[int, ...] = field(default=(1, 2))

    assert canonical(Constant()) != canonical(Drawn())
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    assert canonical(frozenset({"x", "y"})) == canonical({"y", "x"})
    assert canonical(np.array([1, 2])) == canonical((np.int64(1), 2))
    assert canonical(ExecutionStrategy.MARKET) != canonical("MARKET")
    assert canonical(20.0) == canonical(20) != canonical(20.5)
    assert canonical(2.0**60) != canonical(2**60 + 1)


# -- the store -----------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 9))),
    st.dictionaries(st.text(), st.floats(allow_nan=False)),
)
def test_columns_come_back_as_they_were_packed(rows: list[tuple[int, int]], about: dict[str, float]) -> None:
    columns = Columns.of(about, {("a", "b"): rows})
    found = Columns.unpacked(columns.packed())
    assert found.about == about
    assert list(zip(found["a"].tolist(), found["b"].tolist(), strict=True)) == rows
    assert found.packed() == columns.packed()


def test_a_damaged_entry_is_no_entry_and_is_made_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        assert run(3, answered, store, pool).kept == 0
        cut, edited = (tmp_path / job.key[:2] / job.key for job in jobs(2))
        cut.write_bytes(cut.read_bytes()[:-1])
        edited.write_bytes(edited.read_bytes().replace(b"seed", b"sead"))
        again = run(3, answered, store, pool)
    assert (again.kept, seeds(again)) == (1, [0, 1, 2])
    assert all(store.get(job.key) is not None for job in jobs(3))


def test_bytes_that_are_whole_and_no_columns_are_refused() -> None:
    import hashlib

    for body in (b"", b"\x93\x01\x02\x03"):
        with pytest.raises(DataError, match="not the columns"):
            Columns.unpacked(hashlib.sha256(body).digest() + body)


def test_nothing_half_written_stays_beside_an_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("ab12", answered(JOB))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ab12"]


# -- the work ------------------------------------------------------------------------------------------------


def test_any_executor_gives_the_same_results_and_the_second_time_nothing_is_done(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        threads = run(5, answered, Store(tmp_path / "a"), pool)
    once = run(5, answered, Store(tmp_path / "b"), AtOnce())
    assert {k: c.packed() for k, c in threads.results.items()} == {k: c.packed() for k, c in once.results.items()}
    again = run(5, _never, Store(tmp_path / "a"), AtOnce())
    assert (again.kept, seeds(again)) == (5, [0, 1, 2, 3, 4])


def _never(job: Job) -> bytes:
    raise AssertionError(f"{job.key} was kept")


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    """Found out by the first result, it would throw that away."""
    (tmp_path / "file").touch()
    asked: list[Job] = []
    with pytest.raises(ConfigError, match=r"file: results cannot be kept there: File exists"):
        run_jobs(jobs(2), lambda job: _noted(asked, job), Store(tmp_path / "file"), AtOnce(), _told)
    assert asked == []


def _noted(asked: list[Job], job: Job) -> bytes:
    asked.append(job)
    return answered(job)


def _told(done: int, total: int) -> None:
    raise AssertionError(f"{done} of {total} points were done")


def test_equal_points_are_done_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def counted(job: Job) -> bytes:
        asked.append(job.key)
        return answered(job)

    run_jobs([JOB, JOB], counted, Store(tmp_path), AtOnce(), lambda done, total: None)
    assert asked == [JOB.key]


def test_progress_counts_what_was_kept_too(tmp_path: Path) -> None:
    run(2, answered, Store(tmp_path), AtOnce())
    seen: list[tuple[int, int]] = []
    run_jobs(jobs(4), answered, Store(tmp_path), AtOnce(), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_control_c_keeps_what_is_done_and_the_same_call_goes_on(tmp_path: Path) -> None:
    def pressed(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    done = run_jobs(jobs(4), answered, Store(tmp_path), AtOnce(), pressed)
    assert done.interrupted
    assert 2 <= len(done.results) <= 4
    assert run(4, answered, Store(tmp_path), AtOnce()).kept == len(done.results)


def test_control_c_before_anything_is_done_is_passed_on(tmp_path: Path) -> None:
    class Pressed(AtOnce):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(2, answered, Store(tmp_path), Pressed())


def test_the_error_of_one_job_is_raised_and_what_was_done_is_kept(tmp_path: Path) -> None:
    def work(job: Job) -> bytes:
        if job.scenario.seed == 1:
            raise DataError("no such fee rule")
        return answered(job)

    with pytest.raises(DataError, match="no such fee rule"):
        run(3, work, Store(tmp_path), AtOnce())
    assert run(3, answered, Store(tmp_path), AtOnce()).kept == 2


def test_an_executor_that_breaks_is_left_to_its_owner_and_what_it_did_is_kept(tmp_path: Path) -> None:
    def work(job: Job) -> bytes:
        if job.scenario.seed == 2:
            raise BrokenExecutor("a process was killed")
        return answered(job)

    with pytest.raises(ArbkitError, match=r"a process was killed\); 2 of 3 points are done and kept"):
        run(3, work, Store(tmp_path), AtOnce())
