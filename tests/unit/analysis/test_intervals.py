import numpy as np
import pytest

from arbkit.analysis import intervals
from arbkit.analysis.intervals import (
    block_ns,
    clusters,
    difference_intervals,
    rate_intervals,
    ratio_intervals,
    resamples,
    t_quantile,
)
from arbkit.core.errors import DataError

S = 1_000_000_000


def test_blocks_last_ten_seconds_or_three_p95_durations():
    assert block_ns([]) == 10 * S
    assert block_ns([S] * 100) == 10 * S
    assert block_ns([5 * S] * 100) == 15 * S


def test_a_cluster_is_an_event_in_a_block_of_time():
    found = clusters(["a", "a", "a", "b"], [0, 9 * S, 10 * S, 9 * S], 10 * S)
    assert list(found.labels) == [0, 0, 1, 2]
    assert (found.n_clusters, found.n_events, found.block_ns) == (3, 2, 10 * S)
    assert list(found.sums(np.array([1.0, 2.0, 4.0, 8.0]))) == [3.0, 4.0, 8.0]


def test_ten_events_are_the_clusters_themselves():
    found = clusters([f"e{i}" for i in range(10)] * 2, list(range(0, 20 * 60 * S, 60 * S)), 10 * S)
    assert (found.n_clusters, found.block_ns) == (10, 0)


def test_events_and_times_must_be_as_many():
    with pytest.raises(DataError, match="1 events, but 2 times"):
        clusters(["a"], [1, 2], 10 * S)


@pytest.mark.parametrize(
    ("df", "known"), [(9, 2.262157), (10, 2.228139), (19, 2.093024), (39, 2.022691), (1e6, 1.959966)]
)
def test_student_quantiles_are_those_of_the_tables(df, known):
    assert float(t_quantile(df)) == pytest.approx(known, abs=2e-5)


def test_nine_clusters_are_too_few_and_ten_are_enough():
    y = np.linspace(0, 1, 10)
    assert np.isnan(ratio_intervals(y[:9], np.ones(9), "q")[0]).all()
    assert np.isfinite(ratio_intervals(y, np.ones(10), "q")[0]).all()
    assert np.isnan(rate_intervals(y[:9], np.ones(9))[0]).all()


def test_clusters_without_data_do_not_count_as_independent_ones():
    y, x = np.zeros(30), np.zeros(30)
    y[:9], x[:9] = np.linspace(0, 1, 9), 1.0
    assert np.isnan(ratio_intervals(y, x, "q")[0]).all()
    assert np.isnan(difference_intervals((y, x), (np.ones(30), np.ones(30)), "q")[0]).all()


@pytest.mark.parametrize("n", [10, 40])
def test_rates_of_nought_and_one_take_wilsons_interval_over_the_clusters(n):
    z2 = 1.959963984540054**2
    ones, none = np.full(n, 3.0), np.zeros(n)
    lo, hi = rate_intervals(ones, ones)
    assert (lo[0], hi[0]) == pytest.approx((n / (n + z2), 1.0))
    lo, hi = rate_intervals(none, ones)
    assert (lo[0], hi[0]) == pytest.approx((0.0, z2 / (n + z2)))


def test_clusters_that_agree_give_an_interval_of_no_width():
    x = np.arange(1.0, 21.0)
    lo, hi = ratio_intervals(0.3 * x, x, "q")
    assert (lo[0], hi[0]) == pytest.approx((0.3, 0.3))
    lo, hi = rate_intervals(0.3 * x, x)
    assert (lo[0], hi[0]) == pytest.approx((0.3, 0.3))


def test_the_same_quantity_gives_the_same_resamples_and_another_gives_others():
    first, again, other = (np.concatenate(list(resamples(12, name))) for name in ("slippage", "slippage", "pnl"))
    assert first.shape == (intervals.RESAMPLES, 12)
    assert (first.sum(axis=1) == 12).all()
    assert (first == again).all()
    assert (first != other).any()


def test_resamples_do_not_depend_on_how_much_memory_they_may_take(monkeypatch):
    whole = np.concatenate(list(resamples(12, "q")))
    monkeypatch.setattr(intervals, "_CHUNK", 12 * 7)
    assert (np.concatenate(list(resamples(12, "q"))) == whole).all()


def test_the_first_draws_are_pinned_so_that_no_version_of_numpy_changes_an_interval():
    assert next(resamples(10, "pinned"))[0].astype(int).tolist() == [1, 1, 1, 1, 2, 1, 2, 0, 0, 1]


def test_rows_are_independent_of_their_neighbours():
    rng = np.random.default_rng(1)
    y, x = rng.exponential(size=(5, 20)), rng.uniform(1, 2, size=(5, 20))
    lo, hi = ratio_intervals(y, x, "q")
    for i in range(5):
        alone = ratio_intervals(y[i], x[i], "q")
        assert (alone[0][0], alone[1][0]) == pytest.approx((lo[i], hi[i]))


def test_one_bad_cluster_does_not_send_the_interval_to_infinity():
    y = np.zeros(10)
    y[0] = 1.0
    lo, hi = ratio_intervals(y, np.ones(10), "q")
    assert np.isfinite([lo[0], hi[0]]).all()
    assert lo[0] < 0.1 < hi[0] < 2.0
