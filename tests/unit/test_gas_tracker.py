"""What transactions cost, by what they were for, and what batches saved."""

from arbkit.core.units import Cash
from arbkit.metrics import MetricsCollector, PolygonGasTracker


def test_gas_of_trades_that_never_end_is_in_the_sum_and_remembered_for_the_last_of_them_only() -> None:
    collector = MetricsCollector(history=2)
    for name in ("a", "b", "c"):
        collector.charge(name, Cash(10_000), 10**16)
    collector.charge("c", Cash(0), 0)  # nothing was charged
    assert (collector.get_summary()["gas"], collector.get_summary()["pnl"]) == (0.03, -0.03)
    assert list(collector._early) == ["b", "c"]


def test_gas_is_summed_by_what_it_was_for_and_failures_cost_too() -> None:
    tracker = PolygonGasTracker()
    tracker.used("merge", 80_000, 4 * 10**15, ok=True)
    tracker.used("merge", 30_000, 2 * 10**15, ok=False)
    tracker.used("batch", 290_000, 15 * 10**15, ok=True)
    tracker.saved(100_000)
    summary = tracker.get_summary()
    assert (tracker.gas_used, tracker.paid) == (400_000, 21 * 10**15)
    assert summary["by_work"]["merge"] == {"transactions": 2, "failed": 1, "gas_used": 110_000, "paid_pol": 0.006}
    assert (summary["transactions"], summary["failed"], summary["paid_pol"]) == (3, 1, 0.021)
    assert (summary["gas_saved"], summary["saved_share"]) == (100_000, 0.2)


def test_nothing_used_is_no_share() -> None:
    assert PolygonGasTracker().get_summary()["saved_share"] is None
