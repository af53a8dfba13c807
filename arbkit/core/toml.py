"""TOML read strictly: what is not known is refused, with the name it was most likely meant to have."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from arbkit.core.errors import ConfigError
from arbkit.core.secrets import redacted


def read_document(path: Path) -> tuple[dict[str, Any], str]:
    """Return a file's document and its text; ConfigError, quoting nothing of it, where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except (RecursionError, ValueError) as error:  # no TOML, or a number of 5,000 digits
        raise ConfigError(f"{path}: not TOML: {redacted(str(error))}") from None


def table(
    document: Mapping[str, Any], key: str, known: Collection[str] | None = None, where: str = ""
) -> dict[str, Any]:
    """Return a table inside a document, empty where there is none; ConfigError for a key that is not `known` in it."""
    found = document.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{where}{key}: must be a table")
    if known is not None:
        refuse_unknown(found, known, f"{where}{key}.")
    return found


def refuse_unknown(found: Collection[str], known: Collection[str], where: str = "", what: str = "setting") -> None:
    """Raise ConfigError for the first name that is not known, and say which one is near or which there are."""
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"is {near[0]} meant?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"{where}{redacted(name)}: is no {what}; {hint}")


def leaves(value: Any, where: str = "", name: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (path, last name, value) of everything in a document that is no table."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{where}.{key}" if where else key, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, where, name)
    else:
        yield where, name, value
