"""Fixtures that every folder of tests may use."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.figures import FIGURE, Reached, lines
from tests.tracing import Tracing

# No deadline: the first example of a kernel pays for its compilation. In CI the same examples every time.
settings.register_profile("arbkit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("arbkit")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; what needs it is skipped, with the reason, where it is missing."""
    folder = Path(os.environ.get("ARBKIT_REAL_DATA", ROOT.parent / "shared" / "data" / "real"))
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}; set ARBKIT_REAL_DATA to where they are")
    return folder


@pytest.fixture
def reached(record_property: Callable[[str, object], None]) -> Reached:
    """Note what was measured and what it must be: a run lists all of them at its end."""

    def note(what: str, measured: str, bound: str) -> None:
        record_property(FIGURE, (what, measured, bound))

    return note


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tracing())  # a plugin and not hooks of this file: notebooks lie outside its folder


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if found := lines(terminalreporter.stats):
        terminalreporter.section("measured")
        for line in found:
            terminalreporter.line(line)
