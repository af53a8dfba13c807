"""What moving capital does to what the limits count: the same for the engine and for a replay of its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arbkit.core.capital import work_of
from arbkit.core.model import Book
from arbkit.core.transaction import Work
from arbkit.core.units import Cash, Size
from arbkit.risk.limits import RiskManager


def move_stakes(
    risk: RiskManager, books: Mapping[str, Book], key: str, moved: Sequence[tuple[str, int]], cash: int
) -> None:
    """Count shares by book that an intent took and made, `cash` (millionths of a dollar) being what it brought.

    Shares that come are counted at a dollar each. Those of a conversion are known better: they have cost what the NO
    had that became them, less what came back; in equal parts, rounded up.
    """
    made = [(name, change) for name, change in moved if change > 0] if work_of(key) is Work.CONVERT else []
    before = _dollars(risk, moved) if made else 0
    for name, change in moved:
        risk.adopted(books[name], change)
    if not made:
        return
    there = _dollars(risk, moved)
    gone = before - (there - sum(change for _, change in made))
    each = -(-max(0, gone - cash) // len(made))
    for name, change in made:
        risk.freed(books[name], Size(0), Cash(max(0, change - each)))


def _dollars(risk: RiskManager, moved: Sequence[tuple[str, int]]) -> int:
    names = {name for name, _ in moved}
    return sum(row.dollars for row in risk.state().held if row.place.book in names)
