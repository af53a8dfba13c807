"""The data that ships with the project, in its folder `data/`."""

from pathlib import Path

from arbkit.core.errors import DataError

DATA = Path(__file__).resolve().parents[2] / "data"


def shipped(name: str) -> Path:
    """Return the folder of a shipped tape; raise DataError where the project's data is not beside the package."""
    there = sorted(found.parent.name for found in DATA.glob("*/tape.json"))
    if not there:
        raise DataError(f"no shipped tape {name!r}: there is no data in {DATA}; run from a clone of the project")
    if name not in there:
        raise DataError(f"no shipped tape {name!r}; there is {', '.join(there)}")
    return DATA / name
