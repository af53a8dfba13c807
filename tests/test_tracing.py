"""What only repeats runs without the tracer, and so do the processes that it starts."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tracing import CHILDREN, UNTRACED, Tracing

ROOT = Path(__file__).resolve().parents[1]


def told_during(monkeypatch: pytest.MonkeyPatch, *marks: str) -> list[str | None]:
    """Return what a child would be told before, during and after a test with these marks."""
    monkeypatch.setenv(CHILDREN, "how")
    item: Any = SimpleNamespace(get_closest_marker=lambda name: name if name in marks else None)
    seen = [os.environ.get(CHILDREN)]
    step = Tracing().pytest_runtest_protocol(item)
    next(step)
    seen.append(os.environ.get(CHILDREN))
    with pytest.raises(StopIteration):
        step.send(None)
    return [*seen, os.environ.get(CHILDREN)]


def test_a_process_started_by_an_untraced_test_is_not_told_to_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_during(monkeypatch, "no_cover") == ["how", None, "how"]


def test_a_process_started_by_any_other_test_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_during(monkeypatch, "slow") == ["how", "how", "how"]


@pytest.mark.no_cover
def test_an_untraced_test_has_no_tracer() -> None:
    assert sys.gettrace() is None
    assert CHILDREN not in os.environ


def test_every_place_without_the_tracer_is_there() -> None:
    assert all((ROOT / place).exists() for place in UNTRACED)
