"""The benchmarks run, on tiny sizes, and give what the page is made of; how long they take is not looked at."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arbkit.journal.store import JournalFile
from benchmarks import engine, report, venues
from benchmarks.chain import RoundTrips
from benchmarks.journal import REPLAY, START_UP, VERIFY, replays
from benchmarks.peers import environments, feed, measure, own, table, tape
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


# -- beside other engines --------------------------------------------------------------------------------------


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "spec",
    [
        feed.taker(60_000, dense=True),
        feed.maker(60_000),
        feed.taker(60_000, dense=True, ticks=10_000),
        feed.taker(60_000, dense=True, events=5),
    ],
    ids=["taker", "maker", "fine grid", "ten books"],
)
def test_a_feed_has_the_prints_and_moves_it_says_and_never_crosses(spec: feed.Spec) -> None:
    rows = feed.columns(spec)
    looks = feed.looks(rows, spec)
    assert looks.rows == pytest.approx(spec.rows, rel=0.03)
    assert 0.03 <= looks.prints <= 0.05
    assert 0.25 <= looks.moves <= 0.35
    assert looks.crossed == 0
    assert np.all(np.diff(rows.at) > 0)
    assert np.all(np.diff(rows.recv) > 0)
    assert np.all(rows.recv > rows.at)


def test_both_asks_come_below_a_dollar_once_an_episode_and_never_else() -> None:
    spec = feed.taker(60_000, dense=True)
    assert feed.looks(feed.columns(spec), spec).openings == spec.episodes == 90


def test_what_stands_at_a_price_holds_an_order_of_the_benchmark_twice() -> None:
    rows = feed.columns(feed.taker(20_000, dense=True))
    levels = rows.size[(rows.kind == feed.LEVEL) & (rows.size > 0)]
    assert levels.min() >= 20


def test_a_feed_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    spec = feed.taker(5_000)
    first, again, other = (feed.columns(one) for one in (spec, spec, replace(spec, seed=2)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.price[:1_000], other.price[:1_000])


def test_episodes_closer_than_two_seconds_are_refused() -> None:
    with pytest.raises(ValueError, match="two seconds apart"):
        feed.Spec(rows=1_000, episodes=11, seconds=20.0)


@pytest.fixture(scope="module")
def tapes() -> dict[str, Any]:
    specs = {"taker": feed.Spec(rows=4_000, episodes=60, seconds=132.0), "maker": feed.maker(4_000)}
    return {name: (spec, tape.tape_of(feed.columns(spec), spec)) for name, spec in specs.items()}


def test_a_tape_of_the_feed_ends_with_the_books_of_the_feed(tapes: dict[str, Any]) -> None:
    spec, made = tapes["taker"]
    rows = feed.columns(spec)
    stands: dict[tuple[int, int, int], int] = {}
    for book, kind, side, price, size in zip(*(c.tolist() for c in rows[2:]), strict=True):
        if kind == feed.LEVEL:
            stands[book, side, price] = size
    books = made.books_at(int(rows.recv[-1]))
    for book in (0, 1):
        for side, levels in ((feed.BID, books[2 * book].bids), (feed.ASK, books[2 * book].asks)):
            found = {level.price // 1_000: level.size // 1_000_000 for level in levels}
            assert found == {price: n for (b, s, price), n in stands.items() if (b, s) == (book, side) and n}


@pytest.mark.parametrize("name", ["taker", "maker"])
def test_the_engine_tries_every_episode_once_and_completes_most(tapes: dict[str, Any], name: str) -> None:
    spec, made = tapes[name]
    counted = own.trade(own.STRATEGIES[name], made)
    assert counted["trades"] == spec.episodes
    assert counted["orders"] >= 2 * spec.episodes
    assert spec.episodes * 0.7 < counted["completed"] < spec.episodes
    assert counted["fills"] >= 2 * counted["completed"]


def test_a_replay_steps_to_the_end_of_the_tape(tapes: dict[str, Any]) -> None:
    _, made = tapes["taker"]
    span = int(made.rows.ts_recv[-1] - made.rows.ts_recv[0])
    assert own.step_through(made, own.legs(made))["steps"] == -(-span // own.STEP_NS)


def test_a_profile_names_packages_whose_shares_make_a_whole_and_no_place(tapes: dict[str, Any]) -> None:
    found = own.profiled(lambda: own.trade(own.STRATEGIES["taker"], tapes["taker"][1]))
    assert sum(share for _, share in found.packages) == pytest.approx(1)
    assert {"backtest", "execution", "risk", "journal", "asyncio"} <= {name for name, _ in found.packages}
    assert len(found.functions) == 12
    assert not any(str(measure.ROOT) in name or " at 0x" in name for name, _, _ in found.functions)


def test_engines_take_turns_and_tell_what_a_run_counted(tmp_path: Path) -> None:
    spec = feed.Spec(rows=1_000, episodes=5, seconds=11.0)
    made = measure.made("a feed", spec, tmp_path)
    assert json.loads((made.folder / "spec.json").read_text())["episodes"] == 5
    words = ("benchmarks.peers.own", "taker", str(made.tape))
    starters = [partial(measure.racer, case, "arbkit", made.rows, Path(sys.executable), *words) for case in "ab"]
    one, other = measure.race(starters, 2)
    assert (one.case, other.case) == ("a", "b")
    assert 2 <= len(one.seconds) == len(other.seconds) <= measure.MOST_TURNS
    assert all(seconds > 0 for seconds in one.seconds + other.seconds)
    assert one.counted["trades"] == other.counted["trades"] == 5


def test_a_machine_that_slows_down_between_turns_changes_no_ratio() -> None:
    slowed = (1.0, 1.0, 1.75, 1.75, 1.75)
    one, other = (
        measure.Runs("arbkit", case, rows, tuple(seconds * by for by in slowed), {})
        for case, rows, seconds in (("two books", 1_000, 2.0), ("200 books", 500, 4.0))
    )
    assert other.times(one) == pytest.approx(0.25)
    assert one.times(other) == pytest.approx(4.0)


def test_feeds_that_are_compared_with_each_other_race_together() -> None:
    races = [{case.name for case in cases} for cases in measure.RACES]
    compared = [
        [f"{work}, {books}" for books in ("two books", "grid 0.0001", "200 books")] for work in ("replay", "taker")
    ]
    compared += [[case, f"{case}, a tenth"] for case in table.LINEAR]
    for cases in compared:
        assert any(race.issuperset(cases) for race in races)


def test_a_process_that_does_not_get_ready_is_told_of() -> None:
    with (
        pytest.raises(RuntimeError, match="arbkit did not start"),
        measure.racer("a case", "arbkit", 1, Path(sys.executable), "benchmarks.peers.turns"),
    ):
        pass


def _runs(case: str, engine: str, rows: int, seconds: float, **counted: float) -> tuple[tuple[str, str], measure.Runs]:
    return (case, engine), measure.Runs(engine, case, rows, (seconds, seconds * 2, seconds / 2), counted)


def _found(peers: dict[str, environments.Environment]) -> measure.Found:
    """Return made-up figures: ours takes 2 s for what hftbacktest does in 4 and nautilus, on a tenth, in 60."""
    counts = {"trades": 1_000.0, "orders": 2_100.0, "fills": 1_950.0, "completed": 900.0}
    spec = feed.taker(1_000)
    looks = feed.Looks(1_000, 0.04, 0.3, 0, 1)
    runs = dict(
        [
            _runs("replay", "arbkit", 1_000, 2.0, steps=10.0),
            _runs("replay", measure.HFT, 1_000, 4.0, steps=10.0),
            _runs("taker, sparse", "arbkit", 1_000, 2.0, **counts),
            _runs("taker, sparse", measure.HFT, 1_000, 4.0, **{**counts, "fills": 1_944.0}),
            _runs("taker, sparse", measure.NAUTILUS, 100, 60.0, **counts),
            _runs("taker, back to back", "arbkit", 1_000, 0.5, **counts),
            _runs("loop", "arbkit", 1, 1.0, wakes=1_000.0),
            _runs("loop", measure.LOOPTIME, 1, 24.0, wakes=1_000.0),
        ]
    )
    return measure.Found(
        peers,
        {"sparse": measure.Feed(spec, 1_000, looks, Path("nowhere"))},
        {key: one for key, one in runs.items() if key[1] == "arbkit" or peers[key[1]].python},
        {"arbkit": 90.0, measure.HFT: 200.0},
        {1_000: 80.0},
        {"in memory": 31.0, "at rest": 9.5},
        {
            "cached": measure.Runs("arbkit", "open, cached", 1_000, (0.02,), {}),
            "Parquet": measure.Runs("arbkit", "open, Parquet", 1_000_000, (0.2,), {}),
        },
        (1.5, 3.0, 1.4),
        {
            number: measure.Runs(f"arbkit, {number} processes", "sweep", 30, (seconds,), {})
            for number, seconds in ((1, 66.0), (2, 36.0))
        },
        {"replay": own.Profile([("backtest", 0.7), ("asyncio", 0.3)], [("backtest/world.py:forward_to", 12, 0.5)])},
    )


HERE = {name: environments.Environment(name, Path(sys.executable)) for name in environments.PEERS}


def test_ratios_are_of_time_a_row_so_that_a_tenth_of_a_feed_counts_ten_times() -> None:
    said = {one.what: one for one in table.targets(_found(HERE))}
    assert said["two-leg taker, sparse, beside hftbacktest"].value == pytest.approx(2.0)
    assert said["two-leg taker, sparse, beside nautilus_trader"].value == pytest.approx(300.0)
    assert said["bare virtual loop beside looptime as it comes"].value == pytest.approx(24.0)
    assert said["two-leg trades a second"].value == pytest.approx(2_000.0)
    assert said["first result in a fresh process"].value == 1.5
    assert said["a sweep of a minute on two cores, of one"].value == pytest.approx(66 / 36)
    assert said["two-leg maker, dense, beside hftbacktest"].value is None


def test_a_target_is_kept_on_its_own_side_only() -> None:
    said = {one.what: one.row()[-1] for one in table.targets(_found(HERE))}
    assert said["replay, books kept, stepping 100 ms, beside hftbacktest"] == "**not kept**"
    assert said["two-leg taker, sparse, beside nautilus_trader"] == "kept, aim reached"
    assert said["bytes a row at rest"].startswith("kept, aim ")
    assert (
        said["peak memory over the bare interpreter, a share of hftbacktest's"] == "kept"
    )  # nothing is aimed at beyond
    assert said["peak memory over the bare interpreter"] in ("aim reached", "aim missed")  # and here nothing is asked
    assert said["open a tape of Parquet alone, rows a second"] == "**not kept**"
    assert said["two-leg maker, dense, beside hftbacktest"] == "not measured"


def test_the_count_that_differs_most_from_hftbacktest_is_named() -> None:
    ((case, worst, off),) = table.agreement(_found(HERE))
    assert (case, worst) == ("taker, sparse", "fills")
    assert off == pytest.approx(1_950 / 1_944 - 1)


def test_a_peer_that_cannot_be_installed_is_said_to_be_missing_and_why() -> None:
    gone = {**HERE, measure.NAUTILUS: environments.Environment(measure.NAUTILUS, None, "no registry answers")}
    said = table.section(_found(gone))
    assert "could not be installed here (no registry answers)" in said
    assert "| two-leg taker, sparse, beside nautilus_trader | 150x | 250x | – | not measured |" in said
    assert "| two-leg taker, sparse, beside hftbacktest | 4x | 6x | 2x | **not kept** |" in said


def test_the_section_tells_counts_beside_every_speed_and_where_the_time_goes() -> None:
    said = table.section(_found(HERE))
    assert (
        "| taker, sparse | arbkit | 1,000 | 1,000 | 2,100 | 1,950 | 900 | 3 | 2.000 (1.000–4.000) | 500 | 500 |" in said
    )
    assert "**replay**: backtest 70%, asyncio 30%." in said
    assert "| `backtest/world.py:forward_to` | 12 | 50.0% |" in said


def test_an_environment_that_cannot_be_made_says_why_without_naming_a_place(tmp_path: Path) -> None:
    nowhere = str(environments.ROOT / "not-there")
    found = environments.environment("looptime", tmp_path, [nowhere])
    assert found.python is None
    assert "not-there" in found.why
    assert str(environments.ROOT) not in found.why


def test_a_part_of_the_page_is_replaced_and_the_others_stay() -> None:
    page = report.with_part(report.with_part("", "engine", "# One"), "peers", "## Two")
    assert (
        page
        == "<!-- engine -->\n\n# One\n\n<!-- end of engine -->\n\n<!-- peers -->\n\n## Two\n\n<!-- end of peers -->\n"
    )
    again = report.with_part(page, "engine", "# Three")
    assert again == page.replace("# One", "# Three")


def test_the_chain_part_judges_our_round_trip_by_web3s_or_says_what_is_missing() -> None:
    asked = [RoundTrips(0.0004, 0.0005, 0.0010, 100), RoundTrips(0.0006, 0.0007, 0.0010, 100)]
    assert "0.50 (kept)" in report.chain_section(asked)
    assert "Not measured here: no local node." in report.chain_section([], "no local node")


def test_a_bare_interpreter_tells_its_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.turns"], capture_output=True, text=True, check=True, cwd=measure.ROOT
    )
    told = json.loads(done.stdout)
    assert 1 < told["own_mb"] <= told["peak_mb"] < 100
