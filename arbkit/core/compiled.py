"""Compiled functions whose cache is never stale.

numba's on-disk cache notices a change in a function's own file, not in a function it calls from another file, nor in
a constant that it takes from there and freezes. So the cache folder is named by a hash over every source file that
holds a compiled function or a constant one of them imports, over numba's version and over Python's: any such edit
opens a new folder. `ARBKIT_CACHE` moves it (default: `~/.cache/arbkit`). Where it cannot be written nothing is kept:
numba would turn to `__pycache__`, whose code goes stale.
"""

import hashlib
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])
PACKAGE = Path(__file__).resolve().parent.parent
MARK = "arbkit.core.compiled import"
IMPORT = re.compile(r"^from arbkit\.([\w.]+) import (\([^)]*\)|[^\n(]*)$", re.MULTILINE)
# Without `_nrt` numba counts references of every array that a function is handed in a named tuple: 32 times up and 80
# times down in `health_code`, which then took 1.8 us instead of 1 ns. Its name is private, so a test asks for its effect.
OPTIONS: Any = {"cache": True, "_nrt": False}
CONSTANT = re.compile(r"\b[A-Z][A-Z0-9_]+\b")


def cache_home() -> Path:
    """Return the folder under which compiled code is kept."""
    return Path(os.environ.get("ARBKIT_CACHE") or Path.home() / ".cache" / "arbkit")


def source_hash(package: Path = PACKAGE) -> str:
    """Return the hash of all sources that compiled code is made of, with the versions that compile them."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {platform.machine()}".encode())
    for path, text in sorted(_sources(package).items()):
        digest.update(f"{path.relative_to(package).as_posix()}\0{text}".encode())
    return digest.hexdigest()[:16]


def _sources(package: Path) -> dict[Path, str]:
    """Return the files that hold compiled functions, and those whose constants they import, at any remove."""
    texts = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    found = [path for path in texts if MARK in texts[path]]
    for path in found:  # grows while it is walked
        for module, names in IMPORT.findall(texts[path]):
            home = package.joinpath(*module.split(".")).with_suffix(".py")
            if home in texts and home not in found and CONSTANT.search(names):
                found.append(home)
    return {path: texts[path] for path in found}


@cache
def _folder() -> Path | None:
    """Return the folder for compiled code; None, with one warning, where it cannot be written."""
    folder = cache_home() / f"kernels-{source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        warnings.warn(
            f"{folder}: compiled code cannot be kept there ({error.strerror}), so every process compiles anew, some 20 s "
            "for a scan: set ARBKIT_CACHE to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return folder


def compiled(function: F) -> F:
    """Compile a function with numba, without fast maths and without the interpreter; keep the result if it can be.

    It counts no references: its arrays are its caller's, who holds them for as long as the call lasts, so it can only
    read and write them. What makes an array of its own does not compile, and says so.
    """
    return _made(function)


def inlined(function: F) -> F:
    """Compile a function as `compiled` does, and into every compiled function that calls it.

    For the few steps that every row takes: a call that hands named tuples on hands on some hundred words, which costs
    several times what such a step does. What is rare in them stays `compiled`.
    """
    return _made(function, forceinline=True)


def _made(function: F, **options: Any) -> F:
    settings: Any = numba.config
    before = settings.CACHE_DIR
    folder = _folder()
    if folder is None:
        return cast(F, numba.njit(**{**OPTIONS, "cache": False}, **options)(function))
    settings.CACHE_DIR = str(folder)  # read when the function is decorated; the user's own setting stays
    try:
        return cast(F, numba.njit(**OPTIONS, **options)(function))
    finally:
        settings.CACHE_DIR = before
