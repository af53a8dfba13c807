"""`arbkit sweep`: options heard, text and JSON out, refusals in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import arbkit as ak
from arbkit.cli import app
from arbkit.history.synthetic import SyntheticSpec


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tapes") / "short"
    ak.synthetic_tape(SyntheticSpec(minutes=0.3, episodes=2), seed=3).write(folder)
    return folder


def call(*args: object) -> Result:
    return CliRunner().invoke(
        app, ["sweep", *map(str, args)], catch_exceptions=False, env={"COLUMNS": "200", "TERM": "dumb"}
    )


def test_a_sweep_prints_one_row_per_point_and_strategy_and_writes_them_as_json(tape: Path, tmp_path: Path) -> None:
    options = ["--strategies", "market", "--seed", "4", "--set", "config.max_size=20", "--cache", tmp_path / "kept"]
    grid = ["--grid", "scenario.queue=through, front", "--grid", "config.max_slippage=[null, 0.01]"]
    ended = call(tape, *grid, *options, "--json", tmp_path / "out.json")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("synthetic flow")
    assert "4 points, 0 of them kept from before" in ended.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    told = [(row["scenario.queue"], row["config.max_slippage"], row["strategy"]) for row in written["table"]]
    assert told == [(q, s, "MARKET") for q in ("through", "front") for s in (None, 0.01)]
    assert written["modelled"]["seed"] == "4"
    assert written["modelled"]["max_size"] == "20 shares"
    assert "4 of them kept from before" in call(tape, *grid, *options).stdout


@pytest.mark.parametrize(
    ("grid", "why"),
    [
        ("scenario.queue", "must be NAME=VALUE"),
        ("scenario.queue=", "must be NAME=VALUE"),
        ("config.max_size=,", "nothing given"),
    ],
)
def test_a_grid_that_cannot_be_read_is_wrong_usage(tape: Path, grid: str, why: str) -> None:
    ended = call(tape, "--grid", grid)
    assert ended.exit_code == 2
    assert why in " ".join(ended.stderr.replace("│", " ").split())


def test_a_name_given_twice_is_wrong_usage(tape: Path) -> None:
    assert call(tape, "--grid", "config.max_size=1", "--grid", "config.max_size=2").exit_code == 2


def test_a_name_that_is_no_setting_is_refused_with_the_reason(tape: Path) -> None:
    ended = call(tape, "--grid", "config.size=1,2")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("refused: grid: 'config.size' is no setting")
