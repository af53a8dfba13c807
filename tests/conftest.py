"""Fixtures that every folder of tests may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the first example of a kernel pays for its compilation. In CI the same examples every time.
settings.register_profile("arbkit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("arbkit")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; what needs it is skipped, with the reason, where it is missing."""
    folder = Path(os.environ.get("ARBKIT_REAL_DATA", ROOT.parent / "shared" / "data" / "real"))
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}; set ARBKIT_REAL_DATA to where they are")
    return folder
