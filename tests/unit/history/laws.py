"""Laws that recorded tapes are held to."""

from arbkit.books import meta as m
from arbkit.history.tape import Tape


def asks_below_one(tape: Tape) -> int:
    """Count the message boundaries at which the two asks of a market, both known, cost less than one dollar."""
    asks: dict[int, dict[int, int]] = {book.index: {} for book in tape.markets.books}
    found, touched = 0, set()
    r = tape.rows
    for book, code, price, size in zip(
        r.book.tolist(), r.meta.tolist(), r.price.tolist(), r.size.tolist(), strict=True
    ):
        kind = code & m.KIND_MASK
        if kind in (m.KIND_CLEAR, m.KIND_GAP):
            asks[book].clear()
        elif kind == m.KIND_LEVEL and code & m.SIDE_MASK == m.SIDE_ASK << m.SIDE_SHIFT:
            asks[book][price] = size
            if not size:
                del asks[book][price]
        touched.add(book - book % 2)
        if code & m.LAST:
            for yes in touched:
                found += bool(asks[yes] and asks[yes + 1]) and min(asks[yes]) + min(asks[yes + 1]) < 1_000_000
            touched.clear()
    return found
