"""Which tests are counted in coverage: those that show that a line runs at all, not those that run it a million times.

Python 3.11 runs arbkit's own code three to four times slower while coverage traces it. Seeded worlds, properties and
processes that are killed prove by repetition: their lines are those of the unit tests, so they run without the tracer,
and what coverage says is what the plain tests reach alone. A test outside these folders says `no_cover` for itself.
"""

import os
import sys
from collections.abc import Generator

import pytest

# Where every test proves by repetition. A process that is killed writes no coverage down anyway.
UNTRACED = ("tests/simulation/", "tests/property/", "tests/process/test_kill9.py", "tests/process/test_disk.py")
# By this coverage tells the processes that a traced one starts to trace themselves too (`patch` in pyproject.toml).
CHILDREN = "COVERAGE_PROCESS_CONFIG"


class Tracing:
    """Takes the tracer from what only repeats, in its process and in those that it starts."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.nodeid.startswith(UNTRACED) or item.path.suffix == ".ipynb":
                item.add_marker(pytest.mark.no_cover)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if item.get_closest_marker("no_cover") is None or CHILDREN not in os.environ:
            return (yield)
        told = os.environ.pop(CHILDREN)
        try:
            return (yield)
        finally:
            os.environ[CHILDREN] = told

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Stop the second tracer too: a worker is told to trace itself, as every child, and pytest-cov stops only its own."""
        if item.get_closest_marker("no_cover") is None:
            return (yield)
        second = sys.gettrace()
        sys.settrace(None)
        try:
            return (yield)
        finally:
            sys.settrace(second)
