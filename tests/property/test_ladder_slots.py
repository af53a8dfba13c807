"""Where a price stands in a ladder, for every set of prices: even grids, grids with holes, tapered ones, one price."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arbkit.books.ladder import fresh
from arbkit.books.ruler import slot_of, slot_used
from arbkit.core.units import MICRO

prices = st.sets(st.integers(0, MICRO) | st.integers(0, 40) | st.integers(0, 100).map(lambda c: c * 10_000))
even = st.builds(
    lambda start, step, n: {start + step * i for i in range(n)},
    st.integers(0, 10_000),
    st.sampled_from([1, 100, 1_000, 2_500, 10_000]),
    st.integers(0, 60),
)


@given(st.lists(prices | even, min_size=1, max_size=4), st.data())
def test_a_price_is_found_where_it_stands_and_no_other_is(books: list[set[int]], data: st.DataObject) -> None:
    prices_of = [sorted(book) for book in books]
    offset = np.cumsum([0, *map(len, prices_of)])
    price = np.array([value for own in prices_of for value in own], np.int32)
    number = np.arange(len(prices_of))
    ladders = fresh(offset, price, np.zeros_like(number), number, np.zeros_like(number))
    book = data.draw(st.integers(0, len(prices_of) - 1))
    own = prices_of[book]
    for place, value in enumerate(own):
        assert slot_of(ladders, book, value) == slot_used(ladders, book, value) == offset[book] + place
    for value in {-1, 0, MICRO, *(value + step for value in own for step in (-1, 1))} - set(own):
        assert slot_of(ladders, book, value) == -1


def test_the_table_of_a_book_grows_with_its_prices_however_they_stand() -> None:
    close_together = [1, *range(500_000, 501_000), 999_999]
    ladders = fresh(
        np.array([0, len(close_together)]), np.array(close_together, np.int32), *[np.zeros(1, np.int64)] * 3
    )
    assert len(ladders.table) <= 9 * len(close_together)
