"""Break the engine in every way of the catalogue, and see each mistake noticed.

python -m tests.simulation.mutants.run
python -m tests.simulation.mutants.run --only a_new_key_for_every_send
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.mutant import PACKAGE, ROOT, Mutant, Rotten, Setting, copied
from tests.simulation.mutants.trial import CAUGHT, SURVIVED, Verdict

SEEDS = 200
PATIENCE_S = 900
PAGE = ROOT / "docs" / "mutants.md"


@dataclass(frozen=True)
class Row:
    """One line of the table; without a mutant it is the engine as it is, which must survive."""

    mutant: Mutant | None
    verdict: Verdict
    spent_s: float
    setting: Setting

    @property
    def is_right(self) -> bool:
        return self.verdict.state == (SURVIVED if self.mutant is None else CAUGHT)

    @property
    def caught(self) -> str:
        verdict = self.verdict
        if verdict.state == CAUGHT:
            return f"{verdict.by} at seed {verdict.seed}"
        return f"{verdict.seeds} seeds passed" if verdict.state == SURVIVED else verdict.state


def tried(one: Mutant | None, seeds: int, root: Path, setting: Setting) -> Row:
    """Run the seeds against a copy of the engine with a mistake in it, in a process of its own."""
    began = time.perf_counter()
    try:
        with copied(root) as folder:
            changed = () if one is None else one.applied(folder / PACKAGE)
            ran = subprocess.run(
                [
                    *(sys.executable, "-m", "tests.simulation.mutants.trial", "--seeds", str(seeds)),
                    *("--first", str(setting.first), "--faults", ",".join(setting.faults)),
                    *(["--killed"] if setting.killed else []),
                    *(str(path.relative_to(folder)) for path in changed),
                ],
                cwd=folder,  # first on its path
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "", "PYTHONHASHSEED": "0"},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        if ran.returncode:
            verdict = Verdict(f"broken: {ran.stderr.strip()[-400:]}", 0)
        else:
            verdict = Verdict(**json.loads(ran.stdout.splitlines()[-1]))
    except Rotten as error:
        verdict = Verdict(f"rotten: {error}", 0)
    except subprocess.TimeoutExpired:
        verdict = Verdict(f"no end in {PATIENCE_S} s", 0)
    return Row(one, verdict, time.perf_counter() - began, setting)


def settings(mutants: Sequence[Mutant]) -> list[Setting]:
    """Return the settings that mutants are tried with: the engine as it is must pass them all."""
    return list(dict.fromkeys([Setting(), *(one.setting for one in mutants)]))


def table(rows: Sequence[Row], *, seconds: bool = True) -> str:
    """Return the table as Markdown."""
    lines = ["| mutant | what people mean by it | noticed by |" + (" s |" if seconds else "")]
    lines.append("|---|---|---|" + ("---:|" if seconds else ""))
    for row in rows:
        if row.mutant is None:
            name, says = "none", "the engine as it is"
        else:
            name, says = f"`{row.mutant.name}`", row.mutant.says
        line = f"| {name} | {says} | {row.caught}{row.setting} |"
        lines.append(line + (f" {row.spent_s:.1f} |" if seconds else ""))
    return "\n".join(lines)


def page(rows: Sequence[Row], seeds: int) -> str:
    """Return the page that stands in the documentation."""
    mutants = [row for row in rows if row.mutant is not None]
    return f"""# Mistakes that the simulation notices

`make mutants` writes this page. It tests the simulation: a copy of the engine is given one mistake that people really
make, and the seeds of `make simulate` run against it, from the first on and up to {seeds}, until an invariant breaks.
{len(mutants)} mistakes, {sum(row.is_right for row in mutants)} noticed. The engine as it is passes the same seeds.

{table(rows, seconds=False)}
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many at most (default: {SEEDS})")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of them, and no page")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the table is written to")
    asked = parser.parse_args(arguments)
    chosen = [one for one in MUTANTS if not asked.only or one.name in asked.only]
    if unknown := set(asked.only or ()) - {one.name for one in chosen}:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    with copied() as root, ThreadPoolExecutor(asked.workers) as pool:  # all of them from one state of the tree
        steps = [pool.submit(tried, one, asked.seeds, root, one.setting) for one in chosen]
        steps += [pool.submit(tried, None, asked.seeds, root, setting) for setting in settings(chosen)]
        rows = []
        for done, step in enumerate(steps, 1):
            rows.append(step.result())
            print(f"\r{done} of {len(steps)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(table(rows))
    wrong = [row for row in rows if not row.is_right]
    for row in wrong:
        print(f"\n{row.mutant.name if row.mutant else 'the engine as it is'}: {row.caught}")
        print(row.verdict.said)
    if not asked.only:
        asked.page.write_text(page(rows, asked.seeds), encoding="utf-8")
    print(f"\n{len(rows)} trials, {len(wrong)} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
