"""A journal in memory, for simulations and tests: every fact in order, and one hash over all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple


class Fact(NamedTuple):
    """One fact about an order or trade: when (ns), what, about which key, and its data as (name, value), by name."""

    at: int
    fact: str
    key: str
    data: tuple[tuple[str, object], ...]

    def get(self, name: str) -> object:
        """Return one value of the data; KeyError when it has none of that name."""
        return dict(self.data)[name]


class MemoryJournal:
    """Implements `core.ports.Journal`. Values are whole numbers, texts, truths, None and tuples of them."""

    def __init__(self) -> None:
        self._facts: list[Fact] = []

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(self._facts)

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        """Record a fact; TypeError for a value without one exact spelling (a float, a set, an object)."""
        kept = tuple(sorted((name, _exact(name, value)) for name, value in data.items()))
        self._facts.append(Fact(at, fact, key, kept))

    def of(self, key: str) -> tuple[Fact, ...]:
        """Return the facts about one order or trade, oldest first."""
        return tuple(fact for fact in self._facts if fact.key == key)

    def lines(self) -> Iterable[bytes]:
        """Yield every fact in its one canonical spelling."""
        for at, fact, key, data in self._facts:
            text = json.dumps([at, fact, key, dict(data)], separators=(",", ":"), sort_keys=True)
            yield text.encode() + b"\n"

    def digest(self) -> str:
        """Return the sha256 over all facts in order: equal runs have equal digests, whatever process they ran in."""
        found = hashlib.sha256()
        for line in self.lines():
            found.update(line)
        return found.hexdigest()


def digest_of(digests: Iterable[str]) -> str:
    """Return one hash over the digests of several journals, in the order given."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _exact(name: str, value: object) -> object:
    """Return a value in a form that cannot change and is always written the same."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)  # an IntEnum is written as its number
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (tuple, list)):
        return tuple(_exact(name, item) for item in value)
    raise TypeError(f"a journal keeps whole numbers, texts, truths and tuples, not {name}={value!r}")
