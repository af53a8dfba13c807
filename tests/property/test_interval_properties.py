"""Laws of the intervals, whatever the clusters hold."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from arbkit.analysis.intervals import clusters, difference_intervals, rate_intervals, ratio_intervals

few = settings(max_examples=60, deadline=None)
counts = st.integers(10, 30)
values = st.floats(-100, 100, allow_nan=False, width=32)
weights = st.floats(0.5, 100, allow_nan=False, width=32)


@st.composite
def sums(draw, low=-100):
    k = draw(counts)
    above = draw(hnp.arrays(np.float64, k, elements=st.floats(low, 100, allow_nan=False, width=32)))
    below = draw(hnp.arrays(np.float64, k, elements=weights))
    return above, below


@few
@given(sums())
def test_an_interval_holds_its_value(pair):
    above, below = pair
    lo, hi = ratio_intervals(above, below, "q")
    value = above.sum() / below.sum()
    assert lo[0] <= value + 1e-9
    assert value <= hi[0] + 1e-9


@few
@given(sums(), st.floats(0.001, 1000), st.floats(-10, 10))
def test_another_unit_scales_an_interval_and_a_shift_moves_it(pair, unit, shift):
    above, below = pair
    lo, hi = ratio_intervals(above, below, "q")
    scaled = ratio_intervals(above * unit, below, "q")
    moved = ratio_intervals(above + shift * below, below, "q")
    near = 1e-6 * max(1.0, abs(lo[0]), abs(hi[0]))
    assert abs(scaled[0][0] - lo[0] * unit) <= near * max(unit, 1)
    assert abs(scaled[1][0] - hi[0] * unit) <= near * max(unit, 1)
    assert abs(moved[0][0] - lo[0] - shift) <= 100 * near
    assert abs(moved[1][0] - hi[0] - shift) <= 100 * near


@few
@given(sums())
def test_the_interval_of_a_difference_turns_with_its_sides(pair):
    above, below = pair
    other = np.roll(above, 1), np.roll(below, 3)
    lo, hi = difference_intervals(pair, other, "q")
    back = difference_intervals(other, pair, "q")
    assert np.allclose([lo[0], hi[0]], [-back[1][0], -back[0][0]], rtol=1e-6, atol=1e-6)


@few
@given(st.data())
def test_the_interval_of_a_rate_stays_between_nought_and_one_and_holds_the_rate(data):
    k = data.draw(counts)
    tried = data.draw(hnp.arrays(np.int64, k, elements=st.integers(1, 20)))
    done = np.minimum(tried, data.draw(hnp.arrays(np.int64, k, elements=st.integers(0, 20))))
    lo, hi = rate_intervals(done.astype(float), tried.astype(float))
    assert 0 <= lo[0] <= done.sum() / tried.sum() + 1e-12
    assert done.sum() / tried.sum() - 1e-12 <= hi[0] <= 1
    assert hi[0] > lo[0] or np.ptp(done / tried) == 0


@few
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**12)), min_size=1, max_size=40), st.integers(1, 10**11)
)
def test_what_shares_a_cluster_shares_its_event_and_its_block(rows, block):
    events, times = [event for event, _ in rows], [at for _, at in rows]
    found = clusters(events, times, block)
    for i in range(len(rows)):
        for j in range(i):
            together = events[i] == events[j] and times[i] // block == times[j] // block
            assert (found.labels[i] == found.labels[j]) == together
    assert sorted(set(found.labels.tolist())) == list(range(found.n_clusters))
