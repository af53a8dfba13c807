"""Which fault of `docs/faults.md` is proven where: `python -m tests.fault_table` prints it.

A test belongs to a fault by its name, `test_fault_<ID>_<what holds>`, and the folder it stands in says of what kind the
proof is. A fault that the simulation injects into whole runs is proven there too, under every invariant.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
REGISTER = TESTS.parent / "docs" / "faults.md"
COUNTS = {"V": 32, "W": 12, "C": 14, "P": 10, "K": 4, "D": 7, "F": 8, "G": 8, "S": 6, "U": 8}
FAULTS = tuple(f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1))
INVARIANTS = tuple(f"I{number}" for number in range(1, 27))
NAMED = re.compile(r"test_fault_([A-Z]\d+)_[a-z0-9_]+")
# Folders of tests, and what a proof there is called in the register.
KINDS = {
    "simulation": "simulation",
    "property": "property",
    "process": "process",
    "real": "recording",
    "venues": "venue",
    "chain": "chain",
}
NOT_BUILT = "not built yet"


@dataclass
class Proof:
    """What proves one fault: how many tests, in which files, of which kinds."""

    tests: int = 0
    files: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Row:
    """One row of a table of the register; its cells are those after the id."""

    id: str
    cells: tuple[str, ...]
    line: int


def proofs(folder: Path = TESTS) -> dict[str, Proof]:
    """Return the proof of every id that a test is named after, known or not."""
    found: dict[str, Proof] = {}
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        kind = KINDS.get(inside.parts[0], "unit")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (named := NAMED.fullmatch(node.name)):
                proof = found.setdefault(named[1], Proof())
                proof.tests += 1
                proof.files.add(inside.as_posix())
                proof.kinds.add(kind)
    return found


def injected(folder: Path = TESTS / "simulation" / "faults") -> set[str]:
    """Return the ids that the simulation injects: the classes there that say `id = ...`."""
    found = set()
    for path in sorted(folder.glob("table_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found |= {value for value in map(_id, node.body) if value in FAULTS}
    return found


def _id(line: Any) -> str:
    """Return what a line `id = "X"` or `id, says = "X", ...` sets, or nothing."""
    if not isinstance(line, ast.Assign):
        return ""
    target, value = line.targets[0], line.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        target, value = target.elts[0], value.elts[0]
    if isinstance(target, ast.Name) and target.id == "id" and isinstance(value, ast.Constant):
        return str(value.value)
    return ""


def section(name: str, text: str) -> list[Row]:
    """Return the rows of every table under the heading `## name`, up to the next such heading."""
    rows, inside = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            inside = line[3:].strip() == name
        elif inside and line.startswith("| "):
            id_, *cells = (cell.strip() for cell in line.strip().strip("|").split("|"))
            if re.fullmatch(r"[A-Z]\d+", id_):
                rows.append(Row(id_, tuple(cells), number))
    return rows


def table(text: str) -> Iterator[str]:
    """Yield the coverage table, a line per fault."""
    named, in_runs = proofs(), injected()
    excused = {row.id for row in section("Not reachable yet", text)}
    for id_ in FAULTS:
        proof = named.get(id_, Proof())
        said = ", ".join(sorted(proof.files)) or ("not reachable yet" if id_ in excused else "NO TEST")
        yield f"{id_:<4} {proof.tests:>3}  {'injected' if id_ in in_runs else '':<8}  {said}"
    tested = sum(id_ in named for id_ in FAULTS)
    yield f"{tested} of {len(FAULTS)} faults have tests, {len(excused)} are not reachable yet, {len(in_runs)} are injected"


if __name__ == "__main__":
    print("\n".join(table(REGISTER.read_text(encoding="utf-8"))))
