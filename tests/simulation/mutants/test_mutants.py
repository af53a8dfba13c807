"""That no mutant rots, and that the way they are tried tells a broken engine from the one that is there.

All of them take minutes: `make mutants`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.mutant import PACKAGE, ROOT, Mutant, Rotten, Setting, mutant
from tests.simulation.mutants.run import Row, settings, table, tried
from tests.simulation.mutants.trial import CAUGHT, SURVIVED, Verdict

BY_NAME = {one.name: one for one in MUTANTS}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("engine") / PACKAGE
    shutil.copytree(ROOT / PACKAGE, home, ignore=shutil.ignore_patterns("__pycache__"))
    return home


@pytest.mark.parametrize("one", MUTANTS, ids=list(BY_NAME))
def test_every_mutant_changes_the_engine_as_it_is(one: Mutant, package: Path) -> None:
    before = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    try:
        changed = one.applied(package)
        assert changed
        for path in changed:
            text = path.read_text(encoding="utf-8")
            assert text != before[path]
            compile(text, str(path), "exec")
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")


def test_mutants_have_names_of_their_own_and_there_are_enough() -> None:
    assert len(BY_NAME) == len(MUTANTS) >= 28


def test_a_mutant_whose_text_is_gone_is_an_error(package: Path) -> None:
    with pytest.raises(Rotten, match="nowhere"):
        mutant("gone", "", ("a text that never was", "")).applied(package)


def test_a_mutant_whose_text_stands_twice_is_an_error(package: Path) -> None:
    with pytest.raises(Rotten, match="must stand once"):
        mutant("twice", "", ("from __future__ import annotations\n", "")).applied(package)


def test_a_rotten_mutant_is_not_as_it_should_be() -> None:
    row = tried(mutant("gone", "", ("a text that never was", "")), 1, ROOT, Setting())
    assert row.caught.startswith("rotten")
    assert not row.is_right


def test_a_mutant_that_does_not_import_is_not_as_it_should_be() -> None:
    unreadable = mutant("unreadable", "", ("def fold(facts:", "def fold(facts facts:"))
    row = tried(unreadable, 1, ROOT, unreadable.setting)
    assert row.caught.startswith("broken")
    assert not row.is_right


def test_a_broken_engine_is_caught_and_the_one_that_is_there_is_not() -> None:
    one = BY_NAME["an_intent_is_not_waited_for"]
    row = tried(one, 20, ROOT, one.setting)
    assert row.is_right, row.caught
    assert row.verdict.by == "I3"
    assert tried(None, 5, ROOT, Setting()).is_right


def test_the_engine_as_it_is_has_to_pass_under_every_setting_that_a_mutant_is_tried_with() -> None:
    one = mutant("one", "", faults=("V1",), first=7, killed=True)
    assert settings([one, one]) == [Setting(), one.setting]


def test_the_table_tells_who_noticed_where() -> None:
    one = mutant("one", "two", faults=("V1",))
    said = "I4 does not hold in seed 3 at 1.0 s (V1): three"
    rows = [Row(one, Verdict(CAUGHT, 4, 3, said), 2.0, one.setting), Row(None, Verdict(SURVIVED, 9), 1.0, Setting())]
    assert table(rows).splitlines()[2:] == [
        "| `one` | two | I4 at seed 3 under V1 alone | 2.0 |",
        "| none | the engine as it is | 9 seeds passed | 1.0 |",
    ]
