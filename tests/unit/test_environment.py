"""environment.yml, pyproject.toml and constraints.txt say the same thing."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
CONDA: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
SEVEN = {"numpy", "pandas", "plotly", "jupyterlab", "web3", "pytest", "nbmake"}


def requirements(lines: list[str]) -> dict[str, Requirement]:
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in parsed}


ALL = requirements([*PROJECT["dependencies"], *(line for name in EXTRAS if name != "all" for line in EXTRAS[name])])
NAMED = requirements([line for line in CONDA if isinstance(line, str)])
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]


def test_python_range_is_the_same() -> None:
    assert str(NAMED["python"].specifier) == str(Requirement(f"python{PROJECT['requires-python']}").specifier)


def test_conda_names_the_seven_with_the_floors_of_pyproject() -> None:
    assert set(NAMED) - {"python", "pip"} == SEVEN
    assert {name: str(NAMED[name].specifier) for name in SEVEN} == {name: str(ALL[name].specifier) for name in SEVEN}


def test_pip_brings_everything_else_from_this_folder() -> None:
    assert [line for line in CONDA if not isinstance(line, str)] == [{"pip": ["-e .[all]"]}]


def test_extra_all_covers_every_extra() -> None:
    (everything,) = (Requirement(line) for line in EXTRAS["all"])
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(EXTRAS) - {"all"}


@pytest.mark.parametrize("python", ["3.11.7", "3.12.1", "3.13.0", "3.14.0"])
def test_each_requirement_has_one_pin_that_meets_it_on_every_python(python: str) -> None:
    here = {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
    }
    pins = [pin for pin in PINS if pin.marker is None or pin.marker.evaluate(here)]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for name, wanted in ALL.items():
        assert wanted.specifier.contains(versions[name]), f"{wanted} is not met by {versions[name]}"


def test_constraints_are_plain_pins_without_addresses() -> None:
    assert all(pin.url is None and str(pin.specifier).startswith("==") for pin in PINS)
    assert "arbkit" not in {pin.name for pin in PINS}
