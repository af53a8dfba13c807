"""Compiled functions whose cache is never stale.

numba's on-disk cache notices a change in a function's own file, not in a function it calls from another file. So
the cache folder is named by a hash over every source file that holds a compiled function, over numba's version and
over Python's: any edit opens a new folder. `ARBKIT_CACHE` moves it (default: `~/.cache/arbkit`).
"""

import hashlib
import os
import platform
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])
PACKAGE = Path(__file__).resolve().parent.parent
MARK = b"arbkit.core.compiled import"


def cache_home() -> Path:
    """Return the folder under which compiled code is kept."""
    return Path(os.environ.get("ARBKIT_CACHE") or Path.home() / ".cache" / "arbkit")


def source_hash(package: Path = PACKAGE) -> str:
    """Return the hash of all sources that hold compiled functions, with the versions that compile them."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {platform.machine()}".encode())
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if MARK in text:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text)
    return digest.hexdigest()[:16]


@cache
def _folder() -> str:
    return str(cache_home() / f"kernels-{source_hash()}")


def compiled(function: F) -> F:
    """Compile a function with numba, without fast maths and without the interpreter; keep the result on disk."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = _folder()  # read when the function is decorated; the user's own setting stays
    try:
        return cast(F, numba.njit(cache=True)(function))
    finally:
        settings.CACHE_DIR = before
