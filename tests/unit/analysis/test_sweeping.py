"""`ak.sweep`: the rows of `compare` at every point of a grid, whoever does the work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import arbkit as ak
from arbkit.analysis import sweeping
from arbkit.analysis.sweeping import sweep_json, sweep_text
from arbkit.backtest.sweep import Job
from arbkit.core.errors import ArbkitError, ConfigError, DataError
from arbkit.core.model import Basket
from arbkit.history.synthetic import SyntheticSpec

GRID = {"config.max_slippage": [None, 0.01], "scenario.queue": ["through", "front"]}


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tapes") / "short"
    ak.synthetic_tape(SyntheticSpec(minutes=0.7, episodes=6), seed=3).write(folder)
    return folder


@pytest.fixture(scope="module")
def found(tape: Path) -> list[Basket]:
    return ak.baskets(ak.read_tape(tape))


def swept(tape: Path, found: list[Basket], grid: Any, **options: Any) -> pd.DataFrame:
    with ThreadPoolExecutor(2) as pool:
        return ak.sweep(tape, found, grid, pool, **options)


class Kept(Executor):
    """Keeps what it is asked to do, and does it at once."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs.append(args[0])
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_each_point_has_the_very_rows_that_compare_gives(tape: Path, found: list[Basket], tmp_path: Path) -> None:
    made = swept(tape, found, GRID, seeds=2, latencies_ms=(20, 100), cache=tmp_path)
    assert list(made.columns[:2]) == list(GRID)
    assert len(made) == 4 * 3 * 2
    for (slippage, queue), rows in zip(
        [(s, q) for s in (None, 0.01) for q in ("through", "front")],
        (made.iloc[at : at + 6] for at in range(0, 24, 6)),
        strict=True,
    ):
        one = ak.compare(
            ak.read_tape(tape), found, seeds=2, latencies_ms=(20, 100),
            config=ak.ExecutionConfig(max_slippage=slippage), scenario=ak.Scenario(queue=queue),
        )  # fmt: skip
        pd.testing.assert_frame_equal(rows.iloc[:, 2:].reset_index(drop=True), one.table, check_exact=True)


def test_a_portfolio_sweep_has_the_rows_of_a_portfolio(tape: Path, found: list[Basket], tmp_path: Path) -> None:
    made = swept(tape, found, {"scenario.balances": [10_000, 5.0]}, mode="portfolio", cache=tmp_path)
    for place, balances in enumerate((10_000, 5.0)):
        one = ak.compare(ak.read_tape(tape), found, mode="portfolio", scenario=ak.Scenario(balances=balances))
        rows = made.iloc[3 * place : 3 * place + 3, 1:].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, one.table, check_exact=True)


def test_a_study_and_a_single_point_without_a_grid_are_sweeps_too(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    made = swept(tape, found, {}, strategies="market", study="sample:5s", cache=tmp_path)
    one = ak.compare(ak.read_tape(tape), found, "market", study="sample:5s")
    pd.testing.assert_frame_equal(made, one.table, check_exact=True)
    assert made.attrs["labels"][1].startswith("execution study")


def test_what_was_done_before_is_not_done_again(tape: Path, found: list[Basket], tmp_path: Path) -> None:
    swept(tape, found, {"scenario.queue": ["through", "front"]}, strategies="market", cache=tmp_path)
    executor = Kept()
    grid = {"scenario.queue": ["front", "risk-averse", "through"]}
    made = ak.sweep(tape, found, grid, executor, strategies="market", cache=tmp_path)
    assert [job.scenario.queue for job in executor.jobs] == ["risk-averse"]
    assert (made.attrs["kept"], made["scenario.queue"].tolist()) == (2, grid["scenario.queue"])


def test_a_sweep_says_what_was_modelled_with_every_value_of_the_grid(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    made = swept(tape, found, {"scenario.entry_ms": [20, 50]}, strategies="market", seeds=3, cache=tmp_path)
    assert made.attrs["modelled"]["entry_ms"] == "20 | 50"
    assert made.attrs["modelled"]["reply_ms"] == 50
    assert made.attrs["modelled"]["seed"] == "0 to 2"
    text = sweep_text(made)
    assert text.splitlines()[0] == "synthetic flow: shows method, not market truth"
    assert "2 points, 0 of them kept from before" in text
    assert "entry_ms: 20 | 50" in text
    written = sweep_json(made)
    assert [row["scenario.entry_ms"] for row in written["table"]] == [20, 50]
    assert written["sweep"] == {"names": ["scenario.entry_ms"], "points": 2, "kept": 0}
    assert written["quality"]["rows"] > 0


def test_orders_whose_fate_was_not_known_when_their_trade_ended_are_told_of_first(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    late: dict[str, Any] = {"strategies": "hybrid", "latencies_ms": (2_400,)}
    one = ak.compare(ak.read_tape(tape), found, **late)
    made = swept(tape, found, {"scenario.queue": ["through"]}, cache=tmp_path, **late)
    told = one.modelled["unheard"]
    assert made.attrs["modelled"]["unheard"] == sweep_json(made)["modelled"]["unheard"] == told
    assert sweep_text(made).splitlines()[1] == f"not heard of in time: {told}"
    assert "unheard" not in swept(tape, found, {}, strategies="hybrid", cache=tmp_path).attrs["modelled"]


def test_a_point_whose_answers_nobody_waits_for_is_refused_before_the_first_is_done(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    pool = Kept()
    with pytest.raises(ConfigError, match="there and back"):
        ak.sweep(tape, found, {"scenario.entry_ms": [20, 9_000]}, pool, cache=tmp_path)
    assert pool.jobs == []


def test_interrupted_it_returns_the_points_that_are_done_and_says_so(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    class Pressed(Kept):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if len(self.jobs) == 1:
                raise KeyboardInterrupt
            return super().submit(fn, *args, **kwargs)

    made = ak.sweep(tape, found, GRID, Pressed(), strategies="market", cache=tmp_path)
    assert len(made) == 1
    assert made.attrs["interrupted"] == "only 1 of 4 points are done; the same call goes on"
    assert made.attrs["interrupted"] in sweep_text(made)
    assert swept(tape, found, GRID, strategies="market", cache=tmp_path).attrs["kept"] == 1


@pytest.mark.parametrize(
    ("grid", "options", "why"),
    [
        ({"config.min_edge": [0.01]}, {"min_edge": 0.02}, "config.min_edge varies, and min_edge fixes it"),
        ({"config.edge": ["net", "gross"]}, {"edge": "net"}, "and edge fixes it"),
        ({"scenario.reply_ms": [1]}, {"latencies_ms": (20,)}, "and latencies_ms fixes it"),
        ({"config.min_edge": [0.01]}, {"study": "sample:5s"}, "and study fixes it"),
        ({"scenario.queue": ["middle"]}, {}, "scenario.queue must be one of"),
        ({}, {"seeds": 0}, "seeds must be a whole number"),
        ({}, {"strategies": "fast"}, "no strategy is called"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(
    tape: Path, found: list[Basket], tmp_path: Path, grid: Any, options: dict[str, Any], why: str
) -> None:
    executor = Kept()
    with pytest.raises(ConfigError, match=why):
        ak.sweep(tape, found, grid, executor, cache=tmp_path, **options)
    assert executor.jobs == []


@pytest.mark.parametrize("wrong", [{"config": {"max_size": 3}}, {"scenario": "fast"}])
def test_settings_of_another_type_and_a_tape_in_place_of_its_path_are_refused(
    tape: Path, found: list[Basket], tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} cannot be"):
        swept(tape, found, {}, cache=tmp_path, **wrong)
    with pytest.raises(ConfigError, match="tape_path cannot be <synthetic Tape"):
        ak.sweep(ak.read_tape(tape), found, {}, cache=tmp_path)  # type: ignore[arg-type]


def test_what_the_tape_cannot_answer_is_refused_before_any_work(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no baskets"):
        swept(tape, [], {}, cache=tmp_path)
    with pytest.raises(DataError, match=r"not a tape"):
        swept(tmp_path, found, {}, cache=tmp_path / "cache")


def test_a_worker_refuses_to_answer_for_another_version_or_another_tape(
    tape: Path, found: list[Basket], tmp_path: Path
) -> None:
    executor = Kept()
    ak.sweep(tape, found, {}, executor, strategies="market", cache=tmp_path)
    (job,) = executor.jobs
    with pytest.raises(ArbkitError, match="another arbkit"):
        sweeping.measured(replace(job, version="0"))
    with pytest.raises(DataError, match="another tape on the worker"):
        sweeping.measured(replace(job, digest="0"))


def test_a_tape_at_a_url_is_named_to_the_workers_of_a_cluster(
    tape: Path, found: list[Basket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs the extra arbkit[cluster]")
    monkeypatch.setenv("ARBKIT_CACHE", str(tmp_path / "cache"))
    fsspec.filesystem("memory").put(str(tape), "/swept/tape", recursive=True)
    executor = Kept()
    made = ak.sweep("memory://swept/tape", found, {}, executor, strategies="market", cache=tmp_path / "results")
    assert [job.tape for job in executor.jobs] == ["memory://swept/tape"]
    again = ak.sweep(tape, found, {}, executor, strategies="market", cache=tmp_path / "results")
    assert again.attrs["kept"] == 1  # wherever a tape lies, its results are the same
    pd.testing.assert_frame_equal(made, again, check_exact=True)
