"""One mistake that people make, as a small patch: old text, which stands once in the whole package, and new text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "arbkit"
PARTS = (PACKAGE, "tests/simulation")


class Rotten(Exception):
    """A mutant whose old text is not where it was: the engine has changed, and the mutant has to be written anew."""


@dataclass(frozen=True)
class Setting:
    """The seeds that a mutant is tried with: from the first on, as they are, for what is not rare in them.

    `faults` replaces those that a seed draws; `killed` has a person throw the switch in every run.
    """

    faults: tuple[str, ...] = ()
    first: int = 0
    killed: bool = False

    def __str__(self) -> str:
        said = f" under {', '.join(self.faults)} alone" if self.faults else ""
        return said + (", the switch thrown in each" if self.killed else "")


@dataclass(frozen=True)
class Mutant:
    """A named patch of the engine, wherever in it the text stands; `says` is what people mean by it."""

    name: str
    says: str
    edits: tuple[tuple[str, str], ...]
    setting: Setting

    def applied(self, package: Path) -> tuple[Path, ...]:
        """Make the mistake in a copy of the package; return the files that changed.

        Raises Rotten when an old text does not stand there exactly once.
        """
        changed = []
        for old, new in self.edits:
            texts = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
            found = {path: text for path, text in texts.items() if old in text}
            if [text.count(old) for text in found.values()] != [1]:
                where = ", ".join(path.name for path in found) or "nowhere"
                raise Rotten(f"{self.name}: it must stand once, and is {where}:\n{old}")
            ((path, text),) = found.items()
            Path(cache_from_source(str(path))).unlink(missing_ok=True)  # else it might be taken for the file's
            path.write_text(text.replace(old, new), encoding="utf-8")
            changed.append(path)
        return tuple(dict.fromkeys(changed))


def mutant(
    name: str,
    says: str,
    *edits: tuple[str, str],
    faults: tuple[str, ...] = (),
    first: int = 0,
    killed: bool = False,
) -> Mutant:
    """Return a mutant that makes these replacements, (old text, new text)."""
    return Mutant(name, says, edits, Setting(faults, first, killed))


@contextmanager
def copied(root: Path = ROOT) -> Iterator[Path]:
    """Give a folder in which the package and its simulation stand as they are now, and nothing else."""
    with TemporaryDirectory(prefix="mutant-") as folder:
        home = Path(folder)
        for part in PARTS:
            shutil.copytree(root / part, home / part)
        yield home
