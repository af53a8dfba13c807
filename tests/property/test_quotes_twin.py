"""The compiled bests against two plain dictionaries, at every place of random tapes, by both clocks."""

from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.quotes import UNKNOWN, Quote, at_venue, heard, rows_heard
from arbkit.books import meta as m
from arbkit.core.model import Book
from arbkit.core.units import MICRO
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, ms

LEVEL = st.tuples(
    st.just("level"), st.sampled_from((BID, ASK)), st.sampled_from((40, 45, 50, 55, 60)), st.integers(0, 2)
)
ROW = st.one_of(
    LEVEL,
    LEVEL,
    LEVEL,
    LEVEL,
    st.sampled_from([("clear",), ("gap",), ("closed",), ("open",), ("resolved",), ("mark",)]),
)
ROWS = st.lists(st.tuples(ROW, st.sampled_from((0, 2)), st.integers(0, 3), st.integers(0, 5)), max_size=30)


def built(rows: list[tuple[tuple[object, ...], int, int, int]], both: bool) -> Tape:
    builder = TapeBuilder(a_table(a_market("a"), a_market("b"), both=both))
    at = 0
    for (kind, *rest), book, later, lag in rows:
        at += later
        if kind == "level":
            side, price, size = rest
            builder.level(at, side, price, size, book=book, venue=at - lag)  # type: ignore[arg-type]
        elif kind == "clear":
            builder.row(at, m.meta(m.KIND_CLEAR), book, venue=at - lag)
        elif kind == "gap":
            builder.row(at, m.meta(m.KIND_GAP), book, venue=at - lag)
        elif kind in ("closed", "open"):
            builder.row(at, m.meta(m.KIND_STATUS), book, size=4 if kind == "closed" else 0, venue=at - lag)
        elif kind == "resolved":
            builder.row(at, m.meta(m.KIND_RESOLUTION), book, price=100, venue=at - lag)
        else:
            builder.row(at, m.meta(m.KIND_MARK), book, venue=at - lag)
    return builder.tape()


def plainly(tape: Tape, order: list[int], count: int, book: Book) -> Quote:
    """The bests after the first `count` rows of an order, by two dictionaries."""
    home = book.index if book.recorded else book.mirror
    sides: tuple[dict[int, int], dict[int, int]] | None = None
    shut = False
    for row in order[:count]:
        if int(tape.rows.book[row]) != home:
            continue
        meta, price, size = (int(column[row]) for column in (tape.rows.meta, tape.rows.price, tape.rows.size))
        kind, side = meta & m.KIND_MASK, (meta & m.SIDE_MASK) >> m.SIDE_SHIFT
        if kind == m.KIND_CLEAR:
            sides = ({}, {})
        elif kind == m.KIND_GAP:
            sides = None
        elif kind == m.KIND_STATUS:
            shut = size == 4
        elif kind == m.KIND_RESOLUTION:
            shut = True
        elif kind == m.KIND_LEVEL and sides is not None:
            sides[side - 1][price] = size
    if sides is None or shut:
        return UNKNOWN
    bids, asks = ([price for price, size in levels.items() if size] for levels in sides)
    bid, ask = max(bids, default=-1), min(asks, default=-1)
    if bid >= 0 and 0 <= ask <= bid:
        return UNKNOWN
    if book.recorded:
        return Quote(bid, ask)
    return Quote(MICRO - ask if ask >= 0 else -1, MICRO - bid if bid >= 0 else -1)


@given(rows=ROWS, both=st.booleans())
def test_the_compiled_bests_are_those_of_two_plain_dictionaries(
    rows: list[tuple[tuple[object, ...], int, int, int]], both: bool
) -> None:
    # A level before the first sight of a book, or in a gap, belongs to a book that nobody knows: it stays in the
    # ladder until the next clear, and so the plain one forgets it as well.
    tape = built(rows, both)
    books, total = tape.markets.books, len(tape)
    as_heard = [(count, book) for count in range(total + 1) for book in books]
    order = list(range(total))
    assert heard(tape, as_heard) == [plainly(tape, order, count, book) for count, book in as_heard]
    at = tape.venue_time.tolist()
    order.sort(key=lambda row: at[row])
    times = sorted({*at, *(t + 1 for t in at)})
    asked = [(t, book) for t in reversed(times) for book in books]
    expected = [
        plainly(tape, order, sum(there <= t for there in at), book) if t <= max(at) else UNKNOWN for t, book in asked
    ]
    assert at_venue(tape, asked) == expected


def test_rows_of_the_very_moment_were_heard() -> None:
    tape = TapeBuilder().snapshot(0, [(40, 1)], [(42, 1)]).mark(5).mark(5).mark(6).tape()
    assert [rows_heard(tape, ms(at)) for at in (-1, 0, 4, 5, 6, 9)] == [0, 3, 3, 5, 6, 6]
