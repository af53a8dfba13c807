"""One comparison per point of a grid, on many processes or machines, kept on disk and made a table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any

from arbkit.analysis.attempt_table import tabulate
from arbkit.analysis.gathering import Gathered, gathered
from arbkit.analysis.progress import Bar
from arbkit.analysis.question import Question, ask
from arbkit.analysis.raw import attempts
from arbkit.analysis.runs import STRATEGIES, plan_of, run_continuous, run_paired, say_unheard, unheard_in
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.sweep import Done, Grid, Job, Point, points, run_jobs, version
from arbkit.backtest.sweep_store import Store
from arbkit.core.compiled import cache_home
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, ConfigError, DataError
from arbkit.core.model import Basket, ExecutionStrategy
from arbkit.history.places import folder_of, is_url, path_of
from arbkit.history.tape import Tape, read_tape

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("strategy", "latency_ms", "opportunities", "completion_rate", "leg_fill_rate", "slippage_mean",
         "shortfall_mean", "pnl_per_opportunity", "n_clusters")  # fmt: skip
# What a call fixes for all points cannot also be an axis.
FIXED_BY = {
    "min_edge": ("config.min_edge",),
    "edge": ("config.edge",),
    "assume_fees": ("scenario.assume_fees",),
    "latencies_ms": ("scenario.entry_ms", "scenario.reply_ms"),
    "study": ("config.min_edge", "config.edge"),
}


def sweep(
    tape_path: str | PathLike[str],
    baskets: Sequence[Basket],
    grid: Grid,
    executor: Executor | None = None,
    *,
    strategies: Sequence[ExecutionStrategy | str] | str = STRATEGIES,
    min_edge: float | None = None,
    edge: str | None = None,
    rearm_s: float = 1.0,
    assume_fees: str | None = None,
    config: ExecutionConfig | None = None,
    scenario: Scenario | None = None,
    latencies_ms: Sequence[float] = (),
    seeds: int = 1,
    mode: str = "each",
    study: str | None = None,
    cache: str | PathLike[str] | None = None,
) -> pd.DataFrame:
    """Compare strategies at every point of a grid, `{"config.max_slippage": [0.0, 0.01], "scenario.queue": [...]}`.

    Returns the rows of `compare` for each point, behind one column per name of the grid; its `attrs` say what was
    modelled, how many points were kept from before, and whether it was interrupted. The other arguments are those of
    `compare` and hold at every point.

    Without an `executor` the points go to a pool of processes on this machine (in a script, call it under
    `if __name__ == "__main__":`); any other, like a Dask cluster's `Client.get_executor()`, is used and left open.
    Its workers open the tape at the same path or URL, and must run this very version of arbkit.

    Each result is kept under `cache` (default: `~/.cache/arbkit/sweeps`, or where ARBKIT_CACHE says), by tape,
    parameters and version: what Ctrl-C or a crash ended goes on from there. Interrupted, it returns what is done.
    Raises as `compare` does, and ArbkitError when the workers are lost.
    """
    config, scenario = config or ExecutionConfig(), scenario or Scenario()
    for what, value, kind in (
        ("tape_path", tape_path, (str, PathLike)), ("config", config, ExecutionConfig), ("scenario", scenario, Scenario)
    ):  # fmt: skip
        if not isinstance(value, kind):
            raise ConfigError(f"{what} cannot be {value!r}")
    path = folder_of(tape_path).absolute()
    tape = read_tape(path)
    place = str(tape_path) if executor is not None and is_url(tape_path) else str(path)  # its workers fetch their own
    given = {"min_edge": min_edge, "edge": edge, "assume_fees": assume_fees, "latencies_ms": latencies_ms or None}
    _refuse_twice(grid, given | {"study": study})
    plan = plan_of(strategies, latencies_ms, seeds, mode, study)
    found = points(grid, config, scenario)
    questions = [
        ask(
            tape, baskets, min_edge=min_edge, edge=edge, rearm_s=rearm_s, assume_fees=assume_fees,
            config=point.config, scenario=point.scenario, study=study,
        )
        for point in found
    ]  # fmt: skip
    for question in questions:
        plan.requests(question)  # what no run can answer is refused before the first of them
    jobs = [
        Job(
            tape=place, digest=tape.digest, version=version(), baskets=question.baskets, config=question.config,
            scenario=question.scenario, edge=question.edge, rearm_s=float(rearm_s), study=study,
            strategies=plan.strategies, latencies_ms=tuple(map(float, plan.latencies_ms)), seeds=seeds, mode=mode,
        )
        for question in questions
    ]  # fmt: skip
    store = Store(path_of(cache, "where results are kept") if cache is not None else cache_home() / "sweeps")
    with Bar("sweeping", "point") as bar:
        done = run_jobs(jobs, measured, store, executor, bar)
    return _table(tuple(grid), found, jobs, questions, done)


def _refuse_twice(grid: Grid, given: dict[str, Any]) -> None:
    for argument, names in FIXED_BY.items():
        for name in names:
            if given[argument] is not None and name in grid:
                raise ConfigError(f"grid: {name} varies, and {argument} fixes it: leave one of them out")


# -- on the worker -------------------------------------------------------------------------------------------


def measured(job: Job) -> bytes:
    """Return the packed attempts of one point; what a worker runs.

    Raises ArbkitError when the worker is not the one that was asked: another version of arbkit, another tape.
    """
    if job.version != version():
        raise ArbkitError("a worker runs another arbkit, or other versions of Python, numpy or numba, than who asks")
    tape = _opened(job.tape, job.digest)
    question = ask(
        tape, job.baskets, min_edge=None, edge=job.edge, rearm_s=job.rearm_s, assume_fees=None,
        config=job.config, scenario=job.scenario, study=job.study, quiet=True,
    )  # fmt: skip
    requests = plan_of(job.strategies, job.latencies_ms, job.seeds, job.mode, job.study).requests(question)
    if job.mode == "each":
        raw = run_paired(question, requests, spans=False)
    else:
        raw, _ = run_continuous(question, requests)
    if "interrupted" in raw.modelled or "scan_interrupted" in raw.modelled:
        raise ArbkitError("a worker was interrupted in the middle of a point")  # half a result is none
    table = tabulate(raw, raw.cells, [attempts(raw, cell) for cell in raw.cells])
    table.about["unheard"] = unheard_in(raw.cells)
    return table.packed()


@lru_cache(maxsize=2)
def _opened(path: str, digest: str) -> Tape:
    """Open a tape once in a worker's life: its columns are mapped, so that workers share them."""
    tape = read_tape(path, verify=False)  # who asks has read all of it
    if tape.digest != digest:
        raise DataError(f"{path}: is another tape on the worker than where the sweep was started")
    return tape


# -- the table -----------------------------------------------------------------------------------------------


def _table(
    names: tuple[str, ...], found: Sequence[Point], jobs: Sequence[Job], questions: Sequence[Question], done: Done
) -> pd.DataFrame:
    import pandas as pd  # here, so that a worker, which makes no frames, starts without it

    from arbkit.analysis.comparison import table_of
    from arbkit.analysis.definitions import labels

    whole = [(point, done.results[job.key]) for point, job in zip(found, jobs, strict=True) if job.key in done.results]
    values: list[tuple[object, ...]] = []

    def parts() -> Iterator[tuple[Sequence[Gathered], bool]]:
        for point, columns in whole:
            rows = gathered(columns)[1]
            values.extend([point.values] * len(rows))
            yield rows, columns.about["fees_known"]

    result = table_of(parts(), whole[0][1].about["mode"])  # a frame of each point takes eight times as long
    for place, name in enumerate(names):
        result.insert(place, name, pd.Series([each[place] for each in values]))
    first = questions[0]
    lost, orders = (sum(columns.about["unheard"][place] for _, columns in whole) for place in (0, 1))
    unheard = say_unheard(lost, orders)
    result.attrs = {
        "names": list(names),
        "modelled": _assumed(questions) | {"seed": _seeds(first, jobs[0])} | unheard,
        "quality": first.tape.quality.to_dict(),
        "labels": labels(first.study, first.tape.synthetic, unheard),
        "points": len(found),
        "kept": done.kept,
    }
    if done.interrupted:
        result.attrs["interrupted"] = f"only {len(whole)} of {len(found)} points are done; the same call goes on"
    return result


def _assumed(questions: Sequence[Question]) -> dict[str, object]:
    """Return what was assumed, with every value that it takes in the grid."""
    told = [question.assumptions() for question in questions]
    found: dict[str, object] = dict(told[0])
    for name, first in told[0].items():
        texts = dict.fromkeys(str(each[name]) for each in told)
        found[name] = first if len(texts) == 1 else " | ".join(texts)
    return found


def _seeds(question: Question, job: Job) -> str:
    first = question.scenario.seed
    return str(first) if job.seeds == 1 else f"{first} to {first + job.seeds - 1}"


def sweep_text(frame: pd.DataFrame) -> str:
    """Return a sweep for a terminal: what it is not, one line per row, what was modelled."""
    from arbkit.analysis.text import said, wrapped

    shown = frame[[*frame.attrs["names"], *SHOWN]]
    lines = [*frame.attrs["labels"], shown.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.6g}"), ""]
    if "interrupted" in frame.attrs:
        lines += [frame.attrs["interrupted"], ""]
    lines += [f"{frame.attrs['points']} points, {frame.attrs['kept']} of them kept from before", "", "modelled:"]
    for name, value in frame.attrs["modelled"].items():
        lines += wrapped(f"{name}: {said(value)}", indent="  ")
    return "\n".join(lines)


def sweep_json(frame: pd.DataFrame) -> dict[str, Any]:
    """Return {"table": [row...], "modelled": {...}, "quality": {...}, "sweep": {...}} in plain JSON values."""
    from arbkit.analysis.text import json_rows, plain

    counted = {name: frame.attrs[name] for name in ("names", "points", "kept", "interrupted") if name in frame.attrs}
    return {
        "table": json_rows(frame),
        "modelled": plain(frame.attrs["modelled"]),
        "quality": plain(frame.attrs["quality"]),
        "sweep": plain(counted),
    }
