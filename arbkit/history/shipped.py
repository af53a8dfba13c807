"""The data that ships with the project, in its folder `data/`."""

from pathlib import Path

from arbkit.core.errors import DataError

DATA = Path(__file__).resolve().parents[2] / "data"


def shipped(name: str) -> Path:
    """Return the folder of a shipped tape; raise DataError where the project's data is not beside the package."""
    path = DATA / name
    if not path.is_dir():
        there = ", ".join(sorted(p.name for p in DATA.iterdir() if p.is_dir())) if DATA.is_dir() else "no such folder"
        raise DataError(f"no shipped tape {name!r} in {DATA} ({there}); run from a clone of the project")
    return path
