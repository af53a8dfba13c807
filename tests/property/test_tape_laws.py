"""Laws of the tape: a replay of plain dicts agrees, slices forget nothing, disk equals memory, pieces make no difference."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.books import meta as m
from arbkit.core.model import Level, Price, Size
from arbkit.history.importers.base import Batch, SnapshotDiff
from arbkit.history.importers.merge import merged
from arbkit.history.tape import BookState, Rows, Tape, read_tape
from tests.builders import a_market, a_table

BOOKS = (0, 2)
TABLE = a_table(a_market("a"), a_market("b"))
SIDES = (m.SIDE_BID, m.SIDE_ASK)

row = st.one_of(
    st.tuples(st.just(m.KIND_CLEAR), st.just(0), st.just(0), st.just(0), st.just(False)),
    st.tuples(st.just(m.KIND_GAP), st.just(0), st.just(0), st.just(0), st.just(False)),
    st.tuples(st.just(m.KIND_STATUS), st.just(0), st.just(0), st.integers(0, 4), st.just(False)),
    st.tuples(st.just(m.KIND_PRINT), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.booleans()),
    *[
        st.tuples(st.just(m.KIND_LEVEL), st.sampled_from(SIDES), st.integers(1, 9), st.integers(0, 3), st.booleans())
        for _ in range(4)
    ],
)
message = st.tuples(
    st.integers(0, 3), st.sampled_from(BOOKS), st.lists(row, min_size=1, max_size=4), st.integers(-5, 5)
)


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    """Messages of one book each, with stamps that often are equal."""
    now, columns = 100, []
    for pause, book, rows, lag in draw(st.lists(message, max_size=25)):
        now += pause
        for i, (kind, side, price, size, lower) in enumerate(rows):
            code = m.meta(kind, side, lower, last=i == len(rows) - 1)
            columns.append((now, now - lag, book, code, price * 100_000, size if kind == m.KIND_STATUS else size * 10))
    stacked = [list(column) for column in zip(*columns, strict=True)] or [[] for _ in range(6)]
    return Tape.from_columns(TABLE, **dict(zip(Rows._fields, stacked, strict=True)))


def plainly(tape: Tape, t: int) -> dict[int, BookState]:
    """Replay the rows up to t into dicts, one at a time."""
    books: dict[int, dict[tuple[int, int], Level] | None] = dict.fromkeys(BOOKS)
    seen = dict.fromkeys(BOOKS, -1)
    for ts, _, book, code, price, size in zip(*(column.tolist() for column in tape.rows), strict=True):
        if ts > t:
            break
        seen[book] = ts
        kind, side = code & m.KIND_MASK, (code & m.SIDE_MASK) >> m.SIDE_SHIFT
        levels = books[book]
        if kind == m.KIND_CLEAR:
            books[book] = {}
        elif kind == m.KIND_GAP:
            books[book] = None
        elif kind == m.KIND_LEVEL and levels is not None:
            levels[side, price] = Level(Price(price), Size(size), not code & m.LOWER)
    found = {}
    for book, levels in books.items():
        standing = [(key, level) for key, level in sorted((levels or {}).items()) if level.size]
        bids = [level for (side, _), level in standing if side == m.SIDE_BID]
        asks = [level for (side, _), level in standing if side == m.SIDE_ASK]
        found[book] = BookState(levels is not None, tuple(reversed(bids)), tuple(asks), seen[book])
    return found


@given(tapes(), st.integers(95, 180))
def test_books_at_a_time_equal_a_plain_replay(tape: Tape, t: int) -> None:
    assert tape.books_at(t) == plainly(tape, t)


@given(tapes(), st.integers(95, 160), st.integers(0, 40), st.integers(0, 40))
def test_a_slice_has_the_same_books_as_the_whole_at_every_later_time(tape: Tape, t0: int, span: int, at: int) -> None:
    part = tape.slice(t0, t0 + span + 1)
    t = t0 + min(at, span)
    for book, state in tape.books_at(t).items():
        of_part = part.books_at(t)[book]
        assert (of_part.known, of_part.bids, of_part.asks) == (state.known, state.bids, state.asks)
    inside = (tape.rows.ts_recv >= t0) & (tape.rows.ts_recv <= t0 + span)
    assert len(part) >= inside.sum()
    if len(part):
        assert part.rows.meta[-1] & m.LAST
        assert (part.rows.ts_recv >= t0).all()


@settings(max_examples=25)
@given(tapes(), st.booleans())
def test_disk_equals_memory(tape: Tape, mapped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tape.write(Path(folder) / "tape")
        if not mapped:
            (Path(folder) / "tape" / "replay.arrow").unlink()
        back = read_tape(Path(folder) / "tape")
        assert back.digest == tape.digest
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(back.rows, tape.rows, strict=True))


@given(st.lists(tapes(), min_size=1, max_size=3), st.integers(1, 7))
def test_a_merge_is_a_stable_sort_whatever_the_size_of_the_batches(parts: list[Tape], step: int) -> None:
    def batches(tape: Tape) -> list[Batch]:
        ends = np.flatnonzero(tape.rows.meta & m.LAST) + 1
        cuts = [0, *ends[::step].tolist(), len(tape)]
        return [tape.rows.cut(slice(a, b)) for a, b in pairwise(cuts)]

    pieces = list(merged([iter(batches(tape)) for tape in parts]))
    whole = Rows(*(np.concatenate(columns) for columns in zip(*(tape.rows for tape in parts), strict=True)))
    expected = whole.cut(np.argsort(whole.ts_recv, kind="stable"))
    assert sum(len(piece.ts_recv) for piece in pieces) == len(expected.ts_recv)
    if pieces:
        found = Rows(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


book = st.tuples(
    st.dictionaries(st.integers(1, 9), st.integers(1, 3)), st.dictionaries(st.integers(1, 9), st.integers(1, 3))
)


@given(st.lists(book, min_size=1, max_size=8), st.sets(st.integers(0, 7)))
def test_differences_of_snapshots_add_up_to_each_snapshot(snapshots: list, lost: set[int]) -> None:
    diff = SnapshotDiff()
    levels: dict[tuple[int, int], int] = {}
    for i, (bids, asks) in enumerate(snapshots):
        if i in lost:
            diff.lose(0)
        for change in diff.snapshot(0, bids, asks):
            if change.kind == m.KIND_CLEAR:
                levels.clear()
            else:
                assert levels.get((change.side, change.price), 0) != change.size  # restating says nothing new
                levels[change.side, change.price] = change.size
        standing = {key: size for key, size in levels.items() if size}
        assert standing == {(side, p): n for side, of in zip(SIDES, (bids, asks), strict=True) for p, n in of.items()}
