"""What the mutation run is told exists: a name that has gone would make it say less than it seems to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutation.modules import EQUIVALENT, MODULES, Same
from tests.mutation.run import Tried, report

ROOT = Path(__file__).resolve().parents[2]
ONE, OTHER = list(MODULES)[:2]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_and_every_file_of_its_tests_is_there(module: str) -> None:
    assert [name for name in (module, *MODULES[module]) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("same", EQUIVALENT, ids=lambda same: same.why)
def test_every_change_that_changes_nothing_is_of_a_line_that_is_there(same: Same) -> None:
    texts = [(ROOT / module).read_text(encoding="utf-8") for module in MODULES if same.module in ("", module)]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    assert any(re.fullmatch(same.before, line) for line in lines)


def tried(module: str, outcome: str, line: int = 1) -> Tried:
    return Tried(module, line, "AddNot", "if a:", "if not a:", outcome)


def test_one_module_below_the_goal_fails_the_run_however_good_the_others_are() -> None:
    good = [tried(ONE, "killed", line) for line in range(99)]
    assert report([*good, tried(OTHER, "timeout")], [ONE, OTHER])[1]
    text, right = report([*good, tried(OTHER, "survived", 7)], [ONE, OTHER])
    assert not right
    assert f"{OTHER}:7 AddNot\n  - if a:\n  + if not a:" in text
    assert f"| {OTHER} | 1 | 0 | 0 | 0 | 0.0% |" in text


def test_a_module_without_a_change_is_none_that_was_tried() -> None:
    assert not report([tried(ONE, "killed")], [ONE, OTHER])[1]
