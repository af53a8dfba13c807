"""One book, one writer at a time: two files that tell of it at once are two recordings, and no tape holds both.

Each stream writes the difference to what it told before. Two that overlap, merged, would each take the other's last
word for its own: a price that one of them removed stands on until the other happens to change it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.units import NS_PER_MS
from arbkit.history.importers.base import Batch, BookIndex

# Rows that say how a book stands, or that somebody still looked; prints and resolutions may come from other files.
TELLS = (m.KIND_CLEAR, m.KIND_LEVEL, m.KIND_GAP, m.KIND_MARK)


class Apart:
    """Watches the streams of one import, in the order that ties follow; keeps two stamps per stream and book."""

    def __init__(self, books: BookIndex) -> None:
        self._books = books
        self._spans: dict[int, dict[int, tuple[int, int]]] = {}  # book -> stream -> (first, last) ns
        self._names: list[str] = []

    def watched(self, name: str, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Return the stream that comes next in order, of the file `name`, as it is.

        Asked for a batch of a book that another stream tells of at the same time it raises DataError; that the second
        begins at the very stamp at which the first ends is no overlap.
        """
        self._names.append(name)
        return self._passed(len(self._names) - 1, batches)

    def _passed(self, stream: int, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            tells = np.flatnonzero(np.isin(batch.meta & m.KIND_MASK, TELLS))
            books, stamps = batch.book[tells], batch.ts_recv[tells]
            numbers, first = np.unique(books, return_index=True)
            last = len(books) - 1 - np.unique(books[::-1], return_index=True)[1]
            for book, start, end in zip(numbers.tolist(), stamps[first].tolist(), stamps[last].tolist(), strict=True):
                spans = self._spans.setdefault(book, {})
                spans[stream] = spans.get(stream, (start, end))[0], end
                if len(spans) > 1:
                    self._compare(book, stream)
            yield batch

    def _compare(self, book: int, stream: int) -> None:
        spans = self._spans[book]
        for other in spans:
            a, b = sorted((stream, other))
            follows = spans[a][1] <= spans[b][0] or spans[b][1] < spans[a][0]
            if other != stream and not follows:
                market = self._books.market(book)
                since = np.datetime64(max(spans[a][0], spans[b][0]) // NS_PER_MS, "ms")
                raise DataError(
                    f"{self._names[a]} and {self._names[b]} both tell of {market.venue}:{market.id} "
                    f"({'no' if book % 2 else 'yes'}) at {since} UTC: two recordings of one book do not make one tape; "
                    "import one of them, or cut one where the other begins"
                )
