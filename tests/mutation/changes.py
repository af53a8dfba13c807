"""Every change of a module: cosmic-ray's operators, applied at each place where they fit, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutation.modules import OPERATORS


@dataclass(frozen=True)
class Change:
    """A module with one change in it; `before` and `after` are the lines that differ, without their indent."""

    module: str
    line: int
    operator: str
    before: str
    after: str
    text: str


def changes(module: str) -> Iterator[Change]:
    """Yield every change of a module, from its first line to its last."""
    text = Path(module).read_text(encoding="utf-8")
    nodes = list(ast_nodes(get_ast(text)))
    found = []
    for name in sorted(OPERATORS):
        operator = get_operator(f"core/{name}")()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        found += [(start, name, nth) for nth, (start, _) in enumerate(places)]
    for (line, _), name, nth in sorted(found):
        changed = mutate_code(text, get_operator(f"core/{name}")(), nth)
        before, after = differing(text, changed)
        yield Change(module, line, name, before, after, changed)


def differing(text: str, changed: str) -> tuple[str, str]:
    """Return the lines of either text that the other does not have, each as one line."""
    old, new = text.splitlines(), changed.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return " ".join(line.strip() for line in old), " ".join(line.strip() for line in new)
