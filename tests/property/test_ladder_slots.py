"""Where a price stands in a ladder, for every set of prices: even grids, grids with holes, tapered ones, one price."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arbkit.books.ladder import slot_of
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
    ladders = [sorted(book) for book in books]
    offset = np.cumsum([0, *map(len, ladders)])
    price = np.array([value for ladder in ladders for value in ladder], np.int64)
    book = data.draw(st.integers(0, len(ladders) - 1))
    own = ladders[book]
    for place, value in enumerate(own):
        assert slot_of(offset, price, book, value) == offset[book] + place
    for value in {-1, 0, MICRO, *(value + step for value in own for step in (-1, 1))} - set(own):
        assert slot_of(offset, price, book, value) == -1
