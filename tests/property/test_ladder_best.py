"""The best price of a side is the best of what stands there, however far apart levels are and whichever books are neighbours."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.books.ladder import ASK, BID, Ladders, copied, empty, fresh, set_level, take_over

WIDE = (1, 70, 3, 200, 64, 0, 129)  # prices of each book: bits of one are beside those of the next, or words away


def ladders() -> Ladders:
    offset = np.cumsum([0, *WIDE])
    price = np.concatenate([np.arange(1, n + 1) * 1_000 for n in WIDE]).astype(np.int32)
    number = np.arange(len(WIDE))
    return fresh(offset, price, np.zeros_like(number), number, np.zeros_like(number))


def best_of(found: Ladders, book: int, side: int) -> int:
    first, end = int(found.book[book]["first"]), int(found.book[book]["end"])
    standing = first + np.flatnonzero(found.level["size"][side, first:end])
    if not len(standing):
        return -1
    return int(standing[-1] if side == BID else standing[0])


rows = st.tuples(
    st.sampled_from([book for book, wide in enumerate(WIDE) if wide]),
    st.sampled_from([BID, ASK]),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0, 0, 5, 7]),
)


@settings(max_examples=200)
@given(st.lists(rows | st.integers(0, len(WIDE) - 1), max_size=120))
def test_after_every_row_the_best_is_the_best_that_stands_and_knows_the_message_that_set_it(
    steps: list[tuple[int, int, float, int] | int],
) -> None:
    found, told = ladders(), {}
    for message, step in enumerate(steps):
        if isinstance(step, int):
            empty(found, step)
            assert best_of(found, step, BID) == best_of(found, step, ASK) == -1
        else:
            book, side, part, size = step
            slot, before = int(found.book[book]["first"]) + int(part * WIDE[book]), best_of(found, book, side)
            set_level(found, book, side, slot, size, 0, message, False)
            better = before < 0 or (slot >= before if side == BID else slot <= before)
            if slot == before or (size and better):
                told[side, book] = message
        for book in range(len(WIDE)):
            for side in (BID, ASK):
                assert found.best[side, book]["slot"] == best_of(found, book, side)
                assert found.best[side, book]["message"] == told.get((side, book), -1)


def test_a_copy_goes_its_own_way_and_can_be_taken_over() -> None:
    one = ladders()
    other = copied(one)
    set_level(one, 3, ASK, int(one.book[3]["first"]) + 150, 5, 1, 7, False)
    assert not other.level["size"].any()
    assert not other.stands.any()
    take_over(other, one)
    for mine, its in zip(one, other, strict=True):
        assert (mine == its).all()
    set_level(other, 3, ASK, int(one.book[3]["first"]) + 150, 0, 0, 8, False)
    assert one.best[ASK, 3]["slot"] == one.book[3]["first"] + 150
    assert other.best[ASK, 3]["slot"] == -1
