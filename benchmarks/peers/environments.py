"""The peers' own environments, made once in `.peers/` at exact versions: nothing of theirs is among our packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".peers"
PEERS = {
    "hftbacktest": ("hftbacktest==2.4.4", "numba==0.68.1", "numpy==2.2.6"),
    "nautilus_trader": ("nautilus_trader==1.221.0", "numpy==2.4.6"),  # the newest that installs on Python 3.11
    "looptime": ("looptime==0.9",),
}


class Environment(NamedTuple):
    """A peer's Python, or None and why there is none."""

    name: str
    python: Path | None
    why: str = ""

    @property
    def version(self) -> str:
        return PEERS[self.name][0].replace("==", " ")


def environment(name: str, home: Path = HOME, packages: Sequence[str] = ()) -> Environment:
    """Return a peer's environment, made when it is not there or is of other versions; `packages` go before PEERS."""
    packages = packages or PEERS[name]
    folder, wanted = home / name, "\n".join(packages) + "\n"
    python, stamp = folder / "bin" / "python", folder / "stamp"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return Environment(name, python)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    for words in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        try:
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=900)
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            return Environment(name, None, _homeless(said[-1]) if said else type(error).__name__)
    stamp.write_text(wanted, encoding="utf-8")
    return Environment(name, python)


def _homeless(line: str) -> str:
    """Return a line without the place of the checkout."""
    return line.replace(str(ROOT), ".")[:200]
