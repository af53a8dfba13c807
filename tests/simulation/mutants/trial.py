"""Run seeds against the package of the working directory, until one breaks an invariant; print what came of it.

    cd FOLDER && python -m tests.simulation.mutants.trial --seeds 200

A process of its own, so that nothing of another engine is in memory.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

CAUGHT, SURVIVED = "caught", "survived"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: where the first violation was, and what it said."""

    state: str
    seeds: int
    seed: int = -1
    said: str = ""

    @property
    def by(self) -> str:
        """Return the invariant that noticed, or "exception" when a run just broke."""
        return self.said.partition(" does not hold")[0] if " does not hold" in self.said else "exception"


def trial(first: int, seeds: int, faults: tuple[str, ...], killed: bool) -> Verdict:
    """Run seeds in order, up to the first violation."""
    from tests.simulation.faults.world import World

    def tune(world: World) -> None:
        if killed:
            world.kill_share = 1.0

    for count, seed in enumerate(range(first, first + seeds), 1):
        world = World(seed, only=faults or None, tune=tune)
        try:
            said = world.run().violation
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - what is left of a world that is over may fall apart in any way
            said = str(world.violation or repr(error))
        if said:
            return Verdict(CAUGHT, count, seed, said)
    return Verdict(SURVIVED, seeds)


def is_a_copy(package: str, folder: Path) -> None:
    """See that every module of the package that is in memory was read from this folder, and from nowhere else."""
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            origin = Path(str(module.__file__)).resolve()
            if not origin.is_relative_to(folder.resolve()):
                raise SystemExit(f"{name} was imported from {origin}, not from {folder}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants.trial", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--faults", default="", help="instead of those that the seeds draw: V1,V2")
    parser.add_argument("--killed", action="store_true", help="somebody throws the switch in every run")
    parser.add_argument("changed", nargs="*", type=Path, help="files that were changed: they must import")
    asked = parser.parse_args()
    for path in asked.changed:
        importlib.import_module(".".join(path.with_suffix("").parts))
    verdict = trial(asked.first, asked.seeds, tuple(filter(None, asked.faults.split(","))), asked.killed)
    for package in ("arbkit", "tests.simulation.faults"):
        is_a_copy(package, Path.cwd())
    print(json.dumps(asdict(verdict)))


if __name__ == "__main__":
    main()
