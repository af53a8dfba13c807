"""Prints stamped in whole seconds, given back the moment of the change that they explain.

A trade removes what it trades: its print equals a decrease of the same size, at its level, in its second. Where a
print stands before its decrease in the file it is held until that comes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from arbkit.core.units import NS_PER_S

KEPT_S = 10  # a print later than this after its second finds no decrease any more


@dataclass(slots=True, eq=False)
class Decrease:
    """A level that lost `size` at `ts` (ns); `prints` counts the trades found for it so far (0 or 1).

    `written` tells that its row stands on the tape already, so that a print found later has to come after it.
    """

    ts: int
    side: int
    price: int
    size: int
    prints: int = 0
    written: bool = False


@dataclass(frozen=True, slots=True)
class Print:
    """A trade of `size` at the level `side`, `price`, stamped with a whole `second`."""

    second: int
    side: int
    price: int
    size: int


_Key = tuple[int, int, int, int]


class PrintMatcher:
    """Pairs prints with decreases, one to one; memory holds the last seconds only."""

    def __init__(self) -> None:
        self._free: dict[_Key, list[Decrease]] = defaultdict(list)
        self._held: dict[_Key, list[Print]] = defaultdict(list)
        self._second = 0

    def decrease(self, ts: int, side: int, price: int, size: int) -> Decrease:
        """Return the decrease, with its print where that was held."""
        found = Decrease(ts, side, price, size)
        key = (ts // NS_PER_S, side, price, size)
        if self._held.get(key):
            self._held[key].pop(0)
            found.prints = 1
        else:
            self._free[key].append(found)
        return found

    def trade(self, trade: Print) -> Decrease | None:
        """Return the decrease that a print explains, the last one before it; None: it is held for one to come."""
        key = (trade.second, trade.side, trade.price, trade.size)
        if self._free.get(key):
            found = self._free[key].pop()
            found.prints = 1
            return found
        self._held[key].append(trade)
        return None

    def passed(self, now: int) -> list[Print]:
        """Let time go on to `now` (ns) and return the held prints that no decrease can explain any more."""
        second = now // NS_PER_S
        if second == self._second:
            return []
        self._second = second
        self._free = defaultdict(list, {k: v for k, v in self._free.items() if v and k[0] + KEPT_S >= second})
        return self._drop([k for k in self._held if k[0] < second])

    def rest(self) -> list[Print]:
        """Return the prints that are still held when the file ends."""
        return self._drop(list(self._held))

    def _drop(self, keys: list[_Key]) -> list[Print]:
        return [trade for key in keys for trade in self._held.pop(key)]
