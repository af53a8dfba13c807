"""Fixtures that every folder of tests may use."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.figures import FIGURE, Reached, lines
from tests.tracing import Tracing

# No deadline: the first example of a kernel pays for its compilation. In CI the same examples every time.
settings.register_profile("arbkit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("arbkit")

# A job in a shell's background is deaf to Ctrl-C, and so is all that it starts: tests that press it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def ctrl_c_stays_heard() -> Iterator[None]:
    """Name the test that leaves Ctrl-C with another handler: a later one that presses it would wait for ever."""
    yield
    left = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert left is signal.default_int_handler, f"Ctrl-C was left to {left!r}"


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
