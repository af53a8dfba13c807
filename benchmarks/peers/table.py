"""What was measured beside the peers, as a section of docs/performance.md: every target with its ratio, then the runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.peers.environments import Environment
from benchmarks.peers.measure import HFT, LOOPTIME, NAUTILUS, OURS, Found
from benchmarks.report import kept, table

AGREE = 0.003  # taker counts beside hftbacktest's

INTRO = """## Beside other engines

One made-up feed for all: {rows:,} rows of two books of an event, tick 0.001, {prints:.1%} prints, {moves:.0%} of the rows
move a best price; each row is a message. Both asks fall together for a moment ("episodes"), and one trade answers each:
*takers* send fill-and-kill orders of 10 shares for both legs at the best asks; *makers* join both best bids post-only for
0.5 s, then cancel. What only one leg holds is completed or sold, whichever costs less. Orders take 50 ms there and 50 ms
back; nothing is entered for a second after a trade. In the makers' feed a seller sweeps the bids, so that orders fill
whole or not at all under every model; it is a tenth as long as the takers', with a trade in 59 rows (`LONG=1`: as long).

Ours is `ArbitrageExecutionEngine` on the simulated venue: preflight checks, risk, a journal in memory, metrics, own
impact, and books as received apart from the venue's own. A *replay* steps 100 ms at a time in compiled code on both
sides: theirs is a strategy compiled by numba, ours `Replay.quotes`, which tells the bests of every step. {peers}

What is compared ran in turns, at least three times and, where a turn takes milliseconds, for ten seconds: a ratio is the
median of the turns' own.
"""
TOLD = {
    HFT: "runs a strategy compiled by numba that waits for the next row (`wait_next_feed`), on vectors of price levels, "
    "with constant latency, orders that fill whole or not at all, and fills that take nothing out of a book.",
    NAUTILUS: "runs a strategy in Python on its low-level engine: books of price levels, risk engine, cache and accounts "
    "at their defaults, no logs. It reads the first tenth of the feed (compare rows a second), sees the rows at one time "
    "on both sides, and has no latency on the way back.",
    LOOPTIME: "is measured with its default of 42 idle cycles before time passes, and with none.",
}


class Target(NamedTuple):
    """One thing that is asked (`must`) or aimed at; `least` says that more is better.

    None: nothing is asked, nothing is aimed at beyond, it could not be measured.
    """

    what: str
    must: float | None
    aim: float | None
    value: float | None
    unit: str = "x"
    least: bool = True

    def row(self) -> tuple[str, ...]:
        figures = [_figure(number, self.unit) for number in (self.must, self.aim, self.value)]
        return self.what, *figures, self._verdict() if self.value is not None else "not measured"

    def _verdict(self) -> str:
        aimed = "" if self.aim is None else f"aim {'reached' if self._reaches(self.aim) else 'missed'}"
        if self.must is None:
            return aimed
        done = self._reaches(self.must)
        return f"{kept(done)}, {aimed}" if done and aimed else kept(done)

    def _reaches(self, bound: float) -> bool:
        assert self.value is not None
        return self.value >= bound if self.least else self.value <= bound


def targets(found: Found) -> list[Target]:
    """Return everything that is asked of speed and size beside the peers."""

    def beside(case: str, other: str) -> float | None:
        ours, theirs = found.run(case), found.run(case, other)
        return ours.times(theirs) if ours and theirs else None

    def against_two(case: str) -> float | None:
        ours, two = found.run(case), found.run(f"{case.partition(',')[0]}, two books")
        return ours.times(two) if ours and two else None

    cached, parquet = found.opening["cached"], found.opening["Parquet"]
    ours_mb, theirs_mb = found.memory_mb[OURS], found.memory_mb.get(HFT)
    sparse, dense, makers = "taker, sparse", "taker, dense", "maker, dense"
    burst = found.runs["taker, back to back", OURS]
    return [
        Target(f"replay, books kept, stepping 100 ms, beside {HFT}", 4, 6, beside("replay", HFT)),
        Target(f"two-leg taker, sparse, beside {HFT}", 4, 6, beside(sparse, HFT)),
        Target(f"two-leg taker, sparse, beside {NAUTILUS}", 150, 250, beside(sparse, NAUTILUS)),
        Target(f"two-leg taker, dense, beside {HFT}", 0.4, 0.8, beside(dense, HFT)),
        Target(f"two-leg taker, dense, beside {NAUTILUS}", 20, 40, beside(dense, NAUTILUS)),
        Target(f"two-leg maker, dense, beside {HFT}", 0.04, 0.08, beside(makers, HFT)),
        Target(f"two-leg maker, dense, beside {NAUTILUS}", 2.5, 5, beside(makers, NAUTILUS)),
        Target("two-leg trades a second", 5_000, 10_000, burst.counted["trades"] / burst.middle, ""),
        Target(f"bare virtual loop beside {LOOPTIME} as it comes", 12, 20, beside("loop", LOOPTIME)),
        Target("bytes a row in memory", 31, 31, found.disk["in memory"], "", least=False),
        Target("bytes a row at rest", 11, 9, found.disk["at rest"], "", least=False),
        Target(
            f"peak memory over the bare interpreter, a share of {HFT}'s",
            0.5,
            None,
            ours_mb / theirs_mb if theirs_mb else None,
            least=False,
        ),
        Target("peak memory over the bare interpreter", None, 100, ours_mb, " MB", least=False),
        Target("open a cached tape, ready to replay", 50, 10, cached.middle * 1e3, " ms", least=False),
        Target("open a tape of Parquet alone, rows a second", 10e6, 20e6, parquet.rows / parquet.middle, ""),
        Target(
            "first result in a fresh process", 2, 1, sorted(found.first_s)[len(found.first_s) // 2], " s", least=False
        ),
        Target("a sweep of a minute on two cores, of one", 1.8, 1.95, _sweep_ratio(found)),
        Target("replay on a grid of 0.0001, of two books on 0.001", 0.7, 0.9, against_two("replay, grid 0.0001")),
        Target("replay of 200 books, of two", 0.7, 0.9, against_two("replay, 200 books")),
        Target("taker on a grid of 0.0001, of two books on 0.001", 0.7, 0.9, against_two("taker, grid 0.0001")),
        Target("taker on 200 books, of two", 0.7, 0.9, against_two("taker, 200 books")),
    ]


def _sweep_ratio(found: Found) -> float | None:
    return found.sweeps[2].times(found.sweeps[1]) if found.sweeps else None


def section(found: Found) -> str:
    """Return the section of the page."""
    spec = found.feeds["sparse"]
    peers = " ".join(_peer(one) for one in found.peers.values())
    intro = INTRO.format(rows=spec.rows, prints=spec.looks.prints, moves=spec.looks.moves, peers=peers)
    asked = table(("what", "asked", "aim", "measured", ""), (one.row() for one in targets(found)))
    parts = [intro, asked, _runs(found), _agreement(found), _memory(found), _linear(found), _profiles(found)]
    return "\n".join(parts)


def _peer(one: Environment) -> str:
    missing = f" It could not be installed here ({one.why}): its rows are missing." if one.python is None else ""
    return f"*{one.version}* {TOLD[one.name]}{missing}"


def _runs(found: Found) -> str:
    def rows() -> Iterator[tuple[object, ...]]:
        for one in found.runs.values():
            if one.case == "loop":
                continue
            counts = [f"{one.counted[name]:,.0f}" if name in one.counted else "" for name in COUNTS]
            trades = one.counted.get("trades", 0)
            yield (
                one.case,
                one.engine,
                f"{one.rows:,}",
                *(counts if trades else [""] * len(counts)),
                len(one.seconds),
                f"{one.middle:.3f} ({min(one.seconds):.3f}–{max(one.seconds):.3f})",
                f"{one.rows / one.middle:,.0f}",
                f"{trades / one.middle:,.0f}" if trades else "",
            )

    head = ("case", "engine", "rows", *COUNTS, "turns", "seconds", "rows/s", "trades/s")
    wakes = ", ".join(
        f"{name} {one.counted['wakes'] / one.middle:,.0f}" for (case, name), one in found.runs.items() if case == "loop"
    )
    swept = "; ".join(f"{one.engine}: {one.rows} points in {one.middle:.1f} s" for one in found.sweeps.values())
    return f"{table(head, rows())}\nA sweep, pool and compiled code included: {swept or 'not measured'}.\n\nThe bare loop, 100 tasks that sleep in turns, wakes a second: {wakes}.\n"


COUNTS = ("trades", "orders", "fills", "completed")


def agreement(found: Found) -> list[tuple[str, str, float]]:
    """Return, for each case that both traded, the count in which we and hftbacktest differ most, and by what share."""
    said = []
    for (case, engine), ours in found.runs.items():
        theirs = found.run(case, HFT)
        if engine == OURS and theirs is not None and "fills" in ours.counted and case != "replay":
            off = {name: abs(ours.counted[name] / max(1, theirs.counted[name]) - 1) for name in AGREEING}
            worst = max(off, key=lambda name: off[name])
            said.append((case, worst, off[worst]))
    return said


AGREEING = ("trades", "fills", "completed")


def _agreement(found: Found) -> str:
    lines = [
        f"- {case}: {worst} differ most, by {off:.2%} ({kept(off <= AGREE)})" for case, worst, off in agreement(found)
    ]
    if not lines:
        return "Whether fills agree with hftbacktest's was not measured.\n"
    return (
        f"Trades, fills and completed trades beside {HFT}, {AGREE:.1%} allowed. Undo orders differ more: ours carry a limit "
        "that bounds the loss and are tried again, those of the other scripts cross by 200 ticks.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _memory(found: Found) -> str:
    peaks = ", ".join(f"{name} {mb:,.0f} MB" for name, mb in found.memory_mb.items())
    held = ", ".join(f"{mb:,.0f} MB after {rows:,} rows" for rows, mb in sorted(found.long_mb.items()))
    return (
        f"Peak memory of a fresh process that replays the feed once from its own files, over its bare interpreter, "
        f"compiler and mapped pages included: {peaks}. What ours holds itself, without pages of the mapped tape: {held}.\n"
    )


def _linear(found: Found) -> str:
    ladder = [(f"{case}{suffix}", suffix) for case in LINEAR for suffix in (", a tenth", "", ", tenfold")]
    runs = [(name, one) for name, _ in ladder if (one := found.run(name)) is not None]
    lines = [
        (name, f"{one.rows:,}", f"{one.counted.get('trades', 0):,.0f}", f"{one.row_ns:,.0f}") for name, one in runs
    ]
    return f"Cost grows with rows and trades:\n\n{table(('case', 'rows', 'trades', 'ns a row'), lines)}"


LINEAR = ("replay", "taker, sparse", "taker, dense")


def _profiles(found: Found) -> str:
    """Return where our time goes."""
    said = []
    for case, profile in found.profiles.items():
        rows = ((f"`{name}`", f"{calls:,}", f"{share:.1%}") for name, calls, share in profile.functions)
        packages = ", ".join(f"{name} {share:.0%}" for name, share in profile.packages if share >= 0.01)
        said.append(f"**{case}**: {packages}.\n\n{table(('function', 'calls', 'of the time'), rows)}")
    head = "Where our time goes (cProfile, which makes small functions look slower than they are; time in the function itself):"
    return "\n".join([f"{head}\n", *said])


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}{unit}" if value >= 1_000 else f"{value:.4g}{unit}"  # 1.797 is not 1.8
