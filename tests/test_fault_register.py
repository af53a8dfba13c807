"""The register of faults and the tests say the same: nothing is forgotten, nothing is excused that is proven."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.fault_table import (
    FAULTS,
    INVARIANTS,
    KINDS,
    NOT_BUILT,
    REGISTER,
    TESTS,
    Row,
    injected,
    proofs,
    section,
    table,
)

TEXT = REGISTER.read_text(encoding="utf-8")
ROWS = {name: section(name, TEXT) for name in ("Invariants", "Faults", "Not reachable yet")}
EXCUSED = {row.id for row in ROWS["Not reachable yet"]}
PROOFS = proofs()
SAYS_KIND = (*KINDS.values(), "unit", NOT_BUILT)


def test_the_register_has_every_fault_once_and_no_other() -> None:
    assert len(FAULTS) == 109
    assert [row.id for row in ROWS["Faults"]] == list(FAULTS)


def test_the_register_has_every_invariant_once_and_no_other() -> None:
    assert len(INVARIANTS) == 26
    assert [row.id for row in ROWS["Invariants"]] == list(INVARIANTS)


@pytest.mark.parametrize("row", [*ROWS["Invariants"], *ROWS["Faults"]], ids=lambda row: row.id)
def test_every_row_says_what_is_wrong_what_is_done_and_where_it_is_proven(row: Row) -> None:
    assert len(row.cells) == 3, f"line {row.line}"
    wrong, done, _ = row.cells
    assert len(wrong.split()) >= 3, f"line {row.line}"
    assert len(done.split()) >= 3, f"line {row.line}"


@pytest.mark.parametrize("id_", FAULTS)
def test_every_fault_has_a_test_or_a_reason_and_never_both(id_: str) -> None:
    if id_ in EXCUSED:
        assert id_ not in PROOFS, f"{id_} has a test: strike it from 'Not reachable yet'"
    else:
        assert id_ in PROOFS, f"no test is named test_fault_{id_}_..., and the register gives no reason"


def test_no_test_is_named_after_a_fault_that_is_none() -> None:
    assert set(PROOFS) <= set(FAULTS)
    assert injected() <= set(FAULTS)


def test_the_name_of_a_fault_test_says_what_holds() -> None:
    for path in TESTS.rglob("*.py"):
        for name in re.findall(r"^ *(?:async )?def (test_fault\w*)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found = re.fullmatch(r"test_fault_([A-Z]\d+)_(\w+)", name)
            assert found, f"{path}: {name} names no fault"
            assert found[2].count("_") >= 2, f"{path}: {name} does not say what holds"


@pytest.mark.parametrize("row", ROWS["Faults"], ids=lambda row: row.id)
def test_a_fault_is_proven_in_the_way_the_register_says(row: Row) -> None:
    said = {word.strip() for word in row.cells[2].split(",")}
    assert said <= set(SAYS_KIND), f"line {row.line}"
    if row.id in EXCUSED:
        assert said == {NOT_BUILT}, f"line {row.line}"
        return
    there = (PROOFS[row.id].kinds if row.id in PROOFS else set()) | ({"simulation"} if row.id in injected() else set())
    assert said <= there, f"line {row.line}: nothing of the kind {', '.join(said - there)} is named after {row.id}"


@pytest.mark.parametrize("row", ROWS["Invariants"], ids=lambda row: row.id)
def test_an_invariant_is_proven_in_files_that_are_there(row: Row) -> None:
    if row.cells[2].startswith(NOT_BUILT):
        return
    files = re.findall(r"`([^`]+)`", row.cells[2])
    assert files, f"line {row.line}"
    for file in files:
        assert (TESTS / file).exists(), f"line {row.line}: there is no {file}"


def test_what_is_not_reachable_has_a_reason() -> None:
    assert set(FAULTS) >= EXCUSED
    for row in ROWS["Not reachable yet"]:
        (reason,) = row.cells
        assert len(reason.split()) >= 4, f"line {row.line}"


@pytest.mark.no_cover
def test_the_table_of_coverage_has_a_line_for_every_fault() -> None:
    lines = list(table(TEXT))
    assert [line.split()[0] for line in lines[:-1]] == list(FAULTS)
    command = [sys.executable, "-m", "tests.fault_table"]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith(lines[-1].split(" of ")[0])
