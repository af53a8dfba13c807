"""What the README shows can be typed: its commands and its Python run, on small recordings of the named kinds."""

import gzip
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from arbkit.cli import app
from tests.unit.test_cli import GAME, ROWS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [line.split("  #")[0].strip() for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
           for line in block.splitlines() if line.strip()]  # fmt: skip
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: two recordings of a game, and what its markets mean."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "nyk_lac.toml").write_text("".join(GAME.format(id=team) for team in ("Kalshi_NYK", "Kalshi_LAC")))
    for team in ("Kalshi_NYK", "Kalshi_LAC"):
        (folder / f"{team}.csv.gz").write_bytes(gzip.compress(("\n".join(ROWS) + "\n").encode()))
    return folder


def test_there_are_commands_to_try() -> None:
    assert {line.split()[0] for line in CONSOLE} == {"make", "arbkit"}
    assert [line.split()[1] for line in CONSOLE if line.startswith("arbkit")] == ["import", "scan", "compare", "sweep"]
    assert PYTHON


def test_the_commands_run_one_after_the_other_and_then_the_python(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "state"))  # where the locks of accounts are
    for line in CONSOLE:
        if line.startswith("arbkit"):
            ended = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
            assert ended.exit_code == 0, f"{line}\n{ended.output}"
    assert (desk / "report.html").read_text().endswith("</html>\n")
    (desk / "report.html").unlink()
    for block in PYTHON:
        subprocess.run([sys.executable, "-W", "error", "-c", block], cwd=desk, check=True)
    assert (desk / "report.html").exists()
    ended = CliRunner().invoke(app, ["journal", "verify", "account.journal"], catch_exceptions=False)
    assert "whole" in ended.output


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))))
def test_make_knows_what_the_readme_asks_of_it(target: str) -> None:
    assert target in targets()


def test_make_names_its_targets_without_doing_anything() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in told.splitlines() if line.strip()} >= {"demo", "test", "lint", "types", "lab"}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README)) | {"environment.yml"}))
def test_what_the_readme_links_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:notebooks|docs|data)/[\w./]+)`", README))))
def test_what_the_readme_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_folders_of_the_story_exist() -> None:
    told = README.split("## Where things are")[1]
    for folder in re.findall(r"`([a-z]+)`", told.split("`data/`")[0]):
        assert (ROOT / "arbkit" / folder).is_dir() or (ROOT / "arbkit" / f"{folder}.py").is_file()
