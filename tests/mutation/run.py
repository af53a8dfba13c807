"""Change the code that counts money, one operator or number at a time, and see which changes no test notices.

    python -m tests.mutation.run
    python -m tests.mutation.run --only arbkit/risk/budget.py

Works in a copy of the tree. Prints what survived; fails unless every module reaches the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutation.modules import EQUIVALENT, MODULES

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("arbkit", "tests", "data", "pyproject.toml")
GOAL = 0.9
SURVIVED, TIMEOUT = "survived", "timeout"


@dataclass(frozen=True)
class Tried:
    """One change and what came of it."""

    module: str
    line: int
    operator: str
    before: str
    after: str
    outcome: str

    @property
    def survived(self) -> bool:
        return self.outcome == SURVIVED

    @property
    def changes_nothing(self) -> bool:
        return self.survived and any(same.fits(self.module, self.before, self.after) for same in EQUIVALENT)


def copy(home: Path) -> None:
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__", "real"))
        else:
            shutil.copy2(ROOT / part, home / part)


def tried(module: str, workers: int, home: Path) -> Iterator[tuple[int, Tried]]:
    """Try every change of a module in a copy of the tree; yield how many there are, and each as it is known."""
    settings = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": "",  # the copy alone
        "ARBKIT_CACHE": str(home / "cache"),  # compiled anew for this place: not for the user's own cache
        "CI": "1",  # the same examples every time
    }
    command = [sys.executable, "-m", "tests.mutation.server", module, "--workers", str(workers)]
    with subprocess.Popen(
        command, cwd=home, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        total = 0
        for line in server.stdout:
            said = json.loads(line)
            total = total or said.pop("changes")
            if "outcome" in said:
                yield total, Tried(**said)
    if server.returncode:
        raise SystemExit(f"{module} could not be tried")


def report(done: Sequence[Tried], modules: Sequence[str]) -> tuple[str, bool]:
    """Return the table with what survived, and whether every module reaches the goal.

    A change with which the tests come to no end is noticed: they are over in seconds.
    """
    lines = ["| module | changes | change nothing | noticed | by no end | share |", "|---|---:|---:|---:|---:|---:|"]
    right = True
    for module in [*modules, ""]:
        mine = [one for one in done if module in ("", one.module)]
        count = [one for one in mine if not one.changes_nothing]
        noticed = sum(not one.survived for one in count)
        endless = sum(one.outcome == TIMEOUT for one in count)
        share = noticed / max(1, len(count))
        right = right and share >= GOAL
        same = len(mine) - len(count)
        lines.append(f"| {module or 'all'} | {len(mine)} | {same} | {noticed} | {endless} | {share:.1%} |")
    for one in sorted(done, key=lambda one: (one.module, one.line)):
        if one.survived and not one.changes_nothing:
            lines += ["", f"{one.module}:{one.line} {one.operator}", f"  - {one.before}", f"  + {one.after}"]
    return "\n".join(lines), right


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.run", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="MODULE", choices=list(MODULES), help="some modules")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2)")
    asked = parser.parse_args(arguments)
    modules = asked.only or list(MODULES)
    began, done = time.perf_counter(), []
    with TemporaryDirectory(prefix="mutation-") as folder:
        copy(Path(folder))
        for module in modules:
            for nth, (total, one) in enumerate(tried(module, asked.workers, Path(folder)), 1):
                done.append(one)
                print(f"\r{module}: {nth} of {total} ", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    text, right = report(done, modules)
    print(f"{text}\n\n{len(done)} changes in {(time.perf_counter() - began) / 60:.1f} minutes")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
