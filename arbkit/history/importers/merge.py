"""Many time-ordered streams of messages made one, holding a batch of each and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from arbkit.books import meta as m
from arbkit.core.errors import InvariantViolation
from arbkit.history.importers.base import Batch


class _Stream:
    """One stream, and what was taken from it and not yet passed on."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.held: Batch | None = None
        self._last = -(1 << 62)
        self.fill()

    def fill(self) -> None:
        """Take the next batch that has rows; `held` is None at the end."""
        self.held = None
        for batch in self._batches:
            if len(batch.ts_recv):
                if int(batch.ts_recv[0]) < self._last or (np.diff(batch.ts_recv) < 0).any():
                    raise InvariantViolation("an importer gave rows out of order")
                if not batch.meta[-1] & m.LAST:
                    raise InvariantViolation("an importer gave a batch that ends inside a message")
                self.held, self._last = batch, int(batch.ts_recv[-1])
                return

    def take(self, bound: int, side: str) -> Batch | None:
        """Return the held rows up to the bound ("right": it included) and keep the others."""
        if self.held is None:
            return None
        cut = int(np.searchsorted(self.held.ts_recv, bound, side="right" if side == "right" else "left"))
        taken = self.held.cut(slice(cut))
        rest = self.held.cut(slice(cut, None))
        if len(rest.ts_recv):
            self.held = rest
        else:
            self.fill()
        return taken


def merged(streams: Sequence[Iterator[Batch]]) -> Iterator[Batch]:
    """Yield the rows of all streams in order of ts_recv; ties by the order of the streams, then as recorded.

    A message is never cut or interleaved: its rows share one stamp and one stream. Every stream must be in order,
    which is checked (InvariantViolation).
    """
    open_ = [_Stream(batches) for batches in streams]
    while live := [(int(s.held.ts_recv[-1]), i) for i, s in enumerate(open_) if s.held is not None]:
        # Nothing that is still to come stands before (bound, first): of the stream `first` there may be more rows
        # at the bound, and those of the streams after it must wait for them.
        bound, first = min(live)
        parts = [s.take(bound, "right" if i <= first else "left") for i, s in enumerate(open_)]
        found = [part for part in parts if part is not None and len(part.ts_recv)]
        whole = Batch(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
        yield whole.cut(np.argsort(whole.ts_recv, kind="stable"))
