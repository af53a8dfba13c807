"""Where tapes lie: a folder of this machine, or any place that fsspec reaches, which is fetched here first.

A tape is mapped into memory, and only a file of this machine can be: one at a URL such as `s3://bucket/tape` is copied
once into arbkit's cache, under the hash of its `tape.json`, and opened there. `file://` is a plain path. Nothing is
ever written to a URL.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.request import url2pathname

from arbkit.core.errors import DataError

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?=::|://)")  # two letters at least: C:// is a drive
FLATTENED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\](?![/\\])")  # what a Path makes of a URL
DOCUMENT = "tape.json"
_taking = Lock()  # threads take turns: what fsspec keeps in memory is one open file for all of them
FILES = ("markets.parquet", "ladders.parquet", "replay.arrow")  # beside tape.json and the rows


def is_url(place: str | PathLike[str]) -> bool:
    """Tell whether a place is anything but a path or file:// URL of this machine."""
    found = SCHEME.match(str(place)) if isinstance(place, str) else None
    return found is not None and found[0].lower() not in ("file", "local")


def path_of(place: str | PathLike[str], what: str) -> Path:
    """Return the path that a path or a file:// URL names; raise DataError for another URL, `what` saying what it is."""
    if is_url(place):
        raise DataError(
            f"{_shown(str(place))}: {what} is a path of this machine; copy it with fsspec's own get and put"
        )
    if isinstance(place, str) and SCHEME.match(place):
        plain = place.partition("://")[2].removeprefix("localhost")
        if not plain.startswith("/"):
            raise DataError(f"{place}: a file:// URL has three slashes, or names another machine")
        return Path(url2pathname(plain))
    path = Path(place)
    if FLATTENED.match(str(path)) and not path.exists():
        raise DataError(f"{path}: a Path takes a slash out of a URL: give the URL as text")
    return path


def folder_of(place: str | PathLike[str]) -> Path:
    """Return the folder of a tape, fetched when it is a URL; raise DataError when it cannot be."""
    if not is_url(place):
        return path_of(place, "a tape")
    with _taking:
        return _fetched(str(place))


def _shown(url: str) -> str:
    """Return a URL as a message may show it: without names, passwords and signatures."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _fetched(url: str) -> Path:
    """Return the copy of the tape at a URL, made now unless an earlier one is of the same bytes.

    The copy is verified and takes its place as a whole: several processes may fetch one tape at a time, the first to
    be done wins, and a tape that was still being put there is fetched anew the next time.
    """
    from arbkit.core.compiled import cache_home

    shown = _shown(url)
    try:
        import fsspec
    except ImportError as missing:
        raise DataError(f"{shown}: a tape at a URL needs fsspec, which comes with arbkit[cluster]") from missing
    try:
        system, root = fsspec.core.url_to_fs(url)
        document: bytes = system.cat_file(f"{root}/{DOCUMENT}")
    except FileNotFoundError as error:
        raise DataError(f"{shown}: not a tape: there is no {DOCUMENT} in it") from error
    except (ImportError, OSError, ValueError) as error:  # a protocol that fsspec lacks or needs a package for, too
        raise DataError(f"{shown}: cannot be read: {error}") from error
    place = cache_home() / "tapes" / hashlib.sha256(document).hexdigest()[:32]
    if not (place / DOCUMENT).is_file():
        _put(system, root, document, place, shown)
    return place


def _put(system: Any, root: str, document: bytes, place: Path, shown: str) -> None:
    """Copy a tape, verify it, and let it take its place, unless another process was first."""
    from arbkit.history.store import load_tape

    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetching-", dir=place.parent))
    try:
        _copy(system, root, work, shown)
        (work / DOCUMENT).write_bytes(document)
        try:
            load_tape(work)
        except DataError as error:
            raise DataError(str(error).replace(str(work), shown)) from error
        try:
            work.rename(place)
        except OSError:  # its copy is of the same bytes
            if not (place / DOCUMENT).is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(system: Any, root: str, to: Path, shown: str) -> None:
    """Copy the files that a tape has, and no others; the names are not taken from the other end's word."""
    try:
        there = {name.rstrip("/").rpartition("/")[2] for name in system.ls(root, detail=False)}
        for name in FILES:
            if name in there:
                system.get_file(f"{root}/{name}", str(to / name))
        (to / "rows").mkdir()
        days = system.ls(f"{root}/rows", detail=False) if "rows" in there else []
        for day in days:
            name = day.rpartition("/")[2]
            if name.endswith(".parquet"):
                system.get_file(day, str(to / "rows" / name))
    except (OSError, ValueError) as error:
        raise DataError(f"{shown}: cannot be read: {error}") from error
