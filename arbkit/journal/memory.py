"""A journal in memory, for simulations and tests: every fact in order, and one hash over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from arbkit.journal.codec import Fact, decode_block, spell

__all__ = ["Fact", "MemoryJournal", "digest_of"]


class MemoryJournal:
    """Implements `core.ports.Journal`. Values are whole numbers, texts, truths, None and tuples of them."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []  # as they are spelled: no objects that the collector would visit again and again

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(decode_block(1, self._bodies))

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        """Record a fact; TypeError for a value without one exact spelling (a float, a set, an object)."""
        self._bodies.append(spell(at, fact, key, data))

    async def durable(self, *, reducing: bool = False) -> None:
        """Return at once: nothing here outlives the process, and no simulation has to wait for it."""

    def of(self, key: str) -> tuple[Fact, ...]:
        """Return the facts about one order or trade, oldest first."""
        return tuple(fact for fact in self.facts if fact.key == key)

    def lines(self) -> Iterable[bytes]:
        """Yield every fact in its one canonical spelling."""
        for body in self._bodies:
            yield body + b"\n"

    def digest(self) -> str:
        """Return the sha256 over all facts in order: equal runs have equal digests, whatever process they ran in."""
        found = hashlib.sha256()
        for line in self.lines():
            found.update(line)
        return found.hexdigest()


def digest_of(digests: Iterable[str]) -> str:
    """Return one hash over the digests of several journals, in the order given."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
