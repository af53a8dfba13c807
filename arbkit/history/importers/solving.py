"""Sizes that a recording does not state, solved back from what its own best prices prove.

A recorder that prints signed changes and, beside each, the best price after it, leaves out the sizes the changes
start from. But a printed best says that every level inside it is empty. So for a level p with opening size S and
summed changes c(t): whenever p lies inside the printed best, S + c(t) = 0, which gives S exactly; and whenever p is
the printed best, S + c(t) >= one lot, which with S + c(t) >= 0 at all times bounds S from below. A client that was
there held the whole snapshot and knew all this at once, so solving it from later rows looks ahead at nothing.

Two proofs that differ, or a proof below a bound, mean that a change was lost or repeated between them.
"""

from __future__ import annotations

from typing import NamedTuple

from arbkit.core.errors import InvariantViolation


class Opening(NamedTuple):
    """The size of one level when its session began: exact, or a lower bound."""

    size: int
    exact: bool


class SideProof:
    """One side of one book through one recorder session; rows are named by rising numbers.

    `sign` is +1 for bids (the highest is best) and -1 for asks; `best` the best level of the snapshot, (price,
    size), None when the side was empty; sizes in millionths, `lot` the least size that can make a price a best one.
    """

    def __init__(self, sign: int, best: tuple[int, int] | None, row: int, lot: int) -> None:
        self._sign, self._lot = sign, lot
        self._best, self._last = best[0] if best else None, row  # as printed last, and by which row
        self._outermost, self._outermost_at = (
            self._best,
            row,
        )  # the best that lay furthest out: all inside it began empty
        self._change: dict[int, int] = {}
        self._proven: dict[int, int] = {}
        self._proven_at: dict[int, int] = {}
        self._bound: dict[int, int] = {}
        self._bound_at: dict[int, int] = {}
        self._touched_at: dict[int, int] = {}
        if best is not None:
            price, size = best
            self._change[price] = 0
            self._proven[price], self._proven_at[price] = size, row
            self._touched_at[price] = row

    def _inside(self, price: int, best: int | None) -> bool:
        return best is None or (price - best) * self._sign > 0

    def touched_at(self, price: int | None, otherwise: int) -> int:
        """Return the last row that changed a level, the moment up to which it is believed."""
        return otherwise if price is None else self._touched_at.get(price, otherwise)

    def change(self, row: int, price: int, delta: int) -> None:
        """Add a signed change; the best that stands after it follows by `printed`."""
        self._meet(price)
        self._change[price] += delta
        self._touched_at[price] = row

    def _meet(self, price: int) -> None:
        """Begin to keep a level; one that lay inside a best before was empty then and had not changed yet."""
        if price in self._change:
            return
        self._change[price] = 0
        if self._inside(price, self._outermost):
            self._proven[price], self._proven_at[price] = 0, self._outermost_at

    def printed(self, row: int, best: int | None, touched: int | None) -> int | None:
        """Take in the best printed by a row that changed the level `touched` (None: one of the other side).

        Returns None while all is consistent, else the last row up to which the recording can be believed.
        """
        moved = best != self._best
        if best is not None:
            self._meet(best)
        if moved:  # what was inside up to now was proven up to the row before
            for price in self._change:
                if self._inside(price, self._best):
                    self._proven_at[price] = self._last
        levels = list(self._change) if moved else [] if touched is None else [touched]
        for price in levels:
            believed = self._judge(row, price, best)
            if believed is not None:
                return believed
        if best is None or (self._outermost is not None and not self._inside(best, self._outermost)):
            self._outermost, self._outermost_at = best, row
        self._best, self._last = best, row
        return None

    def _judge(self, row: int, price: int, best: int | None) -> int | None:
        """Hold one level against the printed best; return the last believable row when they cannot both be."""
        change, known = self._change[price], self._proven.get(price)
        if self._inside(price, best):
            if known is not None and known != -change:
                return self._last if self._inside(price, self._best) else self._proven_at[price]
            if -change < self._bound.get(price, 0):
                return self._bound_at.get(price, self._last)
            self._proven[price], self._proven_at[price] = -change, row
            return None
        bound = (self._lot if price == best else 0) - change
        if known is not None and known < bound:
            return self._last if self._inside(price, self._best) else self._proven_at[price]
        if bound > self._bound.get(price, 0):
            self._bound[price], self._bound_at[price] = bound, row
        return None

    def opening(self) -> dict[int, Opening]:
        """Return the opening size of every level that was met; what is not proven is its lower bound."""
        found = {
            price: Opening(self._proven.get(price, self._bound.get(price, 0)), price in self._proven)
            for price in self._change
        }
        if any(level.size < 0 for level in found.values()):
            raise InvariantViolation("a level solved back to a negative size")
        return found
