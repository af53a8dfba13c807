"""The benchmarks run, on tiny sizes, and give what the page is made of; how long they take is not looked at."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from arbkit.journal.store import JournalFile
from benchmarks import engine, report, venues
from benchmarks.journal import REPLAY, START_UP, VERIFY, replays
from benchmarks.soak import slope, soak


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[engine.Figures]:
    """Two legs with every journal in the process, five legs without one over a socket."""
    folder = tmp_path_factory.mktemp("bench")
    found = engine.measure("asyncio", 2, None, folder, trades=3, runs=3, warm=1)
    with venues.served() as port:
        found += engine.measure("asyncio", 5, port, folder, journals=("none",), trades=2, runs=3, warm=1)
    return found


def test_every_engine_is_measured_over_all_its_trades(figures: list[engine.Figures]) -> None:
    assert [(one.venue, one.legs, one.journal, one.result.number) for one in figures] == [
        ("in process", 2, "on disk", 9),
        ("in process", 2, "in memory", 9),
        ("in process", 2, "none", 9),
        ("loopback TCP", 5, "none", 6),
    ]


def test_a_trade_asks_each_venue_for_cash_and_sends_each_leg_once(figures: list[engine.Figures]) -> None:
    assert [one.asked for one in figures] == [4, 4, 4, 6]


def test_the_wire_comes_before_the_result_and_the_first_leg_before_the_last(figures: list[engine.Figures]) -> None:
    for one in figures:
        assert 0 < one.skew.p50 <= one.wire.p50 <= one.result.p50
        assert one.wire.p50 <= one.wire.p99


def test_quantiles_are_taken_run_by_run_and_their_median_is_told_with_the_span() -> None:
    runs = [[number * 1_000_000 for number in range(start, start + 100)] for start in (30, 10, 20)]
    assert engine.Spread.of(runs) == (70.0, 119.0, (60.0, 80.0), (109.0, 129.0), 300)


class Counting(asyncio.SelectorEventLoop):
    """A loop that counts what other threads have called into it."""

    calls = 0

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:  # type: ignore[override]
        self.calls += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def test_legs_that_wait_for_one_commit_are_told_at_once(tmp_path: Path) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Counting)
        with JournalFile(tmp_path / "j.journal.db", account="me", locks=tmp_path) as journal:

            async def leg(number: int) -> None:
                journal.append(0, "order.intent", f"leg {number}")
                await journal.durable()

            await asyncio.gather(*(leg(number) for number in range(5)))
            assert journal.flushes == 1
        return loop.calls

    with asyncio.Runner(loop_factory=Counting) as runner:
        assert runner.run(main()) == 1


def test_a_replay_takes_over_all_that_was_written(tmp_path: Path) -> None:
    found = replays(tmp_path, records=400, trades=5, runs=1)
    assert [one.step for one in found] == [VERIFY, "fold", "fold, risk and figures", REPLAY, START_UP]
    (records,) = {one.records for one in found}
    assert records >= 400


def test_a_soak_reads_memory_as_often_as_asked_and_ends_with_nothing_open() -> None:
    found = soak(0.01, 4, 30.0, 2)
    assert [round(one.days, 4) for one in found.readings] == [0.0025, 0.005, 0.0075, 0.01]
    assert found.readings[-1].trades == sum(found.outcomes.values()) > 0
    assert found.open == ()


def test_a_straight_line_has_its_own_slope() -> None:
    assert slope([1, 2, 4], [10, 13, 19]) == pytest.approx(3)
    assert slope([1], [10]) == 0


def test_the_page_names_counts_and_no_place(figures: list[engine.Figures], tmp_path: Path) -> None:
    said = report.engine_section(figures, engine.commits(tmp_path, number=2, runs=1, rows=2))
    said += report.skew_section(figures) + report.wire_section(figures)
    assert "| asyncio, 2 legs, journal on disk | 9 |" in said
    assert "| asyncio, 5 legs, no journal | 6 |" in said
    assert str(tmp_path) not in said + report.machine([report.yard(2)], first=False)
