"""Every engine on the same feeds, each in a process of its own, taking turns: one runs while the others wait."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median
from typing import NamedTuple

from arbkit.history.synthetic import SyntheticSpec, synthetic_tape
from arbkit.history.tape import read_tape
from benchmarks.peers import feed, own
from benchmarks.peers.environments import PEERS, ROOT, Environment, environment
from benchmarks.peers.tape import tape_of
from benchmarks.peers.turns import READY

OURS = "arbkit"
HFT, NAUTILUS, LOOPTIME = PEERS
SHARE = 10  # nautilus_trader reads a tenth of the feed: what the others do in seconds takes it minutes
LEAST_S, MOST_TURNS = 10.0, 25  # a race of milliseconds goes on for so long, or in so many turns
FIRST = """
import time
began = time.perf_counter()
import sys, arbkit as ak
tape = ak.read_tape(sys.argv[1], verify=False)
ak.compare(tape, ak.baskets(tape)).table
print(time.perf_counter() - began)
"""


class Runs(NamedTuple):
    """One engine on one case: the seconds of each turn, rows and counts of one."""

    engine: str
    case: str
    rows: int
    seconds: tuple[float, ...]
    counted: dict[str, float]

    @property
    def middle(self) -> float:
        return median(self.seconds)

    @property
    def row_ns(self) -> float:
        """Nanoseconds a row, so that runs over feeds of different length can be compared."""
        return self.middle / self.rows * 1e9

    def times(self, other: Runs) -> float:
        """Return how many times as fast, a row, it was as another of the same race: the median over their turns.

        Turn by turn, so that both met the machine at the speed it had then.
        """
        turns = zip(self.seconds, other.seconds, strict=True)
        return median(theirs / ours for ours, theirs in turns) * self.rows / other.rows


class Feed(NamedTuple):
    """A feed on disk: columns for the peers, a tape for us."""

    spec: feed.Spec
    rows: int
    looks: feed.Looks
    folder: Path

    @property
    def tape(self) -> Path:
        return self.folder / "tape"


@dataclass
class Found:
    """All that was measured; what a peer that cannot be installed would have shown is missing."""

    peers: dict[str, Environment]
    feeds: dict[str, Feed] = field(default_factory=dict)
    runs: dict[tuple[str, str], Runs] = field(default_factory=dict)  # by case and engine
    memory_mb: dict[str, float] = field(default_factory=dict)  # by engine: the peak over the bare interpreter's
    long_mb: dict[int, float] = field(default_factory=dict)  # by rows: what a replay of ours holds itself
    disk: dict[str, float] = field(default_factory=dict)  # bytes a row
    opening: dict[str, Runs] = field(default_factory=dict)
    first_s: tuple[float, ...] = ()
    sweeps: dict[int, Runs] = field(default_factory=dict)  # by the number of processes
    profiles: dict[str, own.Profile] = field(default_factory=dict)

    def run(self, case: str, engine: str = OURS) -> Runs | None:
        return self.runs.get((case, engine))


def specs(rows: int, *, long: bool = False) -> dict[str, feed.Spec]:
    """Return the feeds by name: the big ones for rows and trades, a tenth and a fifth of them to compare with."""
    part, fifth = rows // 10, rows // 5
    burst = feed.Spec(rows=rows // 50, episodes=rows // 1_000, seconds=rows // 1_000 * 2.2)
    found = {
        "sparse": feed.taker(rows),
        "dense": feed.taker(rows, dense=True),
        "maker": feed.maker(rows if long else part),
        "short maker": feed.maker(rows // 100),
        "burst": burst,
        "short": feed.taker(part),
        "short dense": feed.taker(part, dense=True),
        "two books": feed.taker(fifth),
        "fine": feed.taker(fifth, ticks=10_000),
        "200 books": feed.taker(fifth, events=100),
    }
    return {**found, "long": feed.taker(10 * rows)} if long else found


def made(name: str, spec: feed.Spec, home: Path) -> Feed:
    """Write a feed and its tape."""
    folder = home / name.replace(" ", "-")
    rows = feed.columns(spec)
    feed.save(rows, folder)
    (folder / "spec.json").write_text(json.dumps(asdict(spec)), encoding="utf-8")
    tape_of(rows, spec).write(folder / "tape")
    return Feed(spec, len(rows.at), feed.looks(rows, spec), folder)


# -- processes that take turns -------------------------------------------------------------------------------


class Racer(NamedTuple):
    """An engine that waits to be told to run a case."""

    case: str
    engine: str
    rows: int
    process: subprocess.Popen[str]

    def run(self) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]


@contextmanager
def racer(case: str, engine: str, rows: int, python: Path, *words: str) -> Iterator[Racer]:
    """Start `python -m benchmarks.peers....` and wait until it is warm."""
    command = [str(python), "-W", "ignore", "-m", *words]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=quiet
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != READY:
                raise RuntimeError(f"{engine} did not start: {' '.join(words)}")
            yield Racer(case, engine, rows, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


Starter = Callable[[], AbstractContextManager[Racer]]


def race(starters: Sequence[Starter], runs: int) -> list[Runs]:
    """Let the engines run in turns, at least so often, and return one line for each."""
    turns: list[list[dict[str, float]]] = []
    with ExitStack() as stack:
        racers = [stack.enter_context(start()) for start in starters]
        ends = time.monotonic() + LEAST_S
        while len(turns) < runs or (len(turns) < MOST_TURNS and time.monotonic() < ends):
            turns.append([one.run() for one in racers])
    return [
        Runs(one.engine, one.case, one.rows, tuple(turn.pop("seconds") for turn in mine), mine[0])
        for one, mine in zip(racers, map(list, zip(*turns, strict=True)), strict=True)
    ]


# -- everything ----------------------------------------------------------------------------------------------


def measure(
    home: Path, *, rows: int = 5_000_000, runs: int = 3, long: bool = False, say: Callable[[str], None] = print
) -> Found:
    """Make the peers' environments and the feeds, and measure every case."""
    found = Found({name: environment(name) for name in PEERS})
    for name, spec in specs(rows, long=long).items():
        say(f"a feed: {name}")
        found.feeds[name] = made(name, spec, home)
    for cases in RACES:
        starters = [one for case in cases if case.feed in found.feeds for one in _starters(found, case)]
        say(f"the peers: {cases[0].name}")
        for run in race(starters, runs):
            found.runs[run.case, run.engine] = run
    say("the peers: the loop, memory, opening")
    for run in race(_loops(found), runs):
        found.runs[run.case, run.engine] = run
    _memory(found)
    _disk_and_opening(found, home, runs)
    say("the peers: a sweep")
    _sweeps(found, home, runs, least_s=60.0 if rows >= 1_000_000 else 0.1)
    say("the peers: where our time goes")
    _profiles(found)
    return found


class Case(NamedTuple):
    """What is run, on which feed, beside whom."""

    name: str
    work: str
    feed: str
    peers: tuple[str, ...] = ()


# What is compared with each other runs in turns: peers, and feeds of one case.
RACES: tuple[tuple[Case, ...], ...] = (
    (
        Case("replay", "replay", "sparse", (HFT,)),
        Case("replay, a tenth", "replay", "short"),
        Case("replay, tenfold", "replay", "long"),
    ),
    (
        Case("taker, sparse", "taker", "sparse", (HFT, NAUTILUS)),
        Case("taker, sparse, a tenth", "taker", "short"),
        Case("taker, sparse, tenfold", "taker", "long"),
    ),
    (Case("taker, dense", "taker", "dense", (HFT, NAUTILUS)), Case("taker, dense, a tenth", "taker", "short dense")),
    (Case("maker, dense", "maker", "maker", (HFT, NAUTILUS)),),
    (Case("taker, back to back", "taker", "burst", (HFT,)),),
    (
        Case("replay, two books", "replay", "two books"),
        Case("replay, grid 0.0001", "replay", "fine"),
        Case("replay, 200 books", "replay", "200 books"),
    ),
    (
        Case("taker, two books", "taker", "two books"),
        Case("taker, grid 0.0001", "taker", "fine"),
        Case("taker, 200 books", "taker", "200 books"),
    ),
)


def _starters(found: Found, case: Case) -> list[Starter]:
    feed = found.feeds[case.feed]
    own = ("benchmarks.peers.own", case.work, str(feed.tape))
    starters: list[Starter] = [partial(racer, case.name, OURS, feed.rows, Path(sys.executable), *own)]
    for peer in case.peers:
        python = found.peers[peer].python
        if python is None:
            continue
        share = min(feed.rows, found.feeds["sparse"].rows // SHARE) if peer == NAUTILUS else feed.rows
        words = [f"benchmarks.peers.run_{peer.partition('_')[0]}", case.work, str(feed.folder)]
        words += [str(share)] if peer == NAUTILUS else []
        starters.append(partial(racer, case.name, peer, share, python, *words))
    return starters


def _loops(found: Found) -> list[Starter]:
    starters: list[Starter] = [
        partial(racer, "loop", OURS, 1, Path(sys.executable), "benchmarks.peers.own", "loop", "-")
    ]
    if (python := found.peers[LOOPTIME].python) is not None:
        script = "benchmarks.peers.run_looptime"
        starters.append(partial(racer, "loop", LOOPTIME, 1, python, script))
        starters.append(partial(racer, "loop", f"{LOOPTIME}, noop_cycles=0", 1, python, script, "0"))
    return starters


def _memory(found: Found) -> None:
    """Let each engine replay the feed once from its own files in a fresh process, over its bare interpreter."""
    feed = found.feeds["sparse"]
    found.memory_mb[OURS] = _peak(Path(sys.executable), "benchmarks.peers.own", "memory", str(feed.tape))["peak_mb"]
    for name in ("short", "sparse", "long"):
        if name in found.feeds:
            told = _peak(Path(sys.executable), "benchmarks.peers.own", "memory", str(found.feeds[name].tape))
            found.long_mb[found.feeds[name].rows] = told["own_mb"]
    if (python := found.peers[HFT].python) is not None:
        _told(python, "benchmarks.peers.run_hftbacktest", "convert", str(feed.folder))
        found.memory_mb[HFT] = _peak(python, "benchmarks.peers.run_hftbacktest", "memory", str(feed.folder))["peak_mb"]


def _peak(python: Path, *words: str) -> dict[str, float]:
    bare = json.loads(_told(python, "benchmarks.peers.turns"))
    told = json.loads(_told(python, *words))
    return {name: told[name] - bare[name] for name in told}


def _told(python: Path, *words: str) -> str:
    command = [str(python), "-W", "ignore", "-m", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def _disk_and_opening(found: Found, home: Path, runs: int) -> None:
    feed = found.feeds["sparse"]
    rows = read_tape(feed.tape, verify=False).rows
    found.disk["in memory"] = sum(column.nbytes for column in rows) / len(rows.ts_recv)
    found.disk["at rest"] = sum(file.stat().st_size for file in (feed.tape / "rows").iterdir()) / feed.rows
    bare = home / "parquet-only"
    shutil.copytree(feed.tape, bare, ignore=shutil.ignore_patterns("replay.arrow"))
    for name, tape in (("cached", feed.tape), ("Parquet", bare)):
        words = ("benchmarks.peers.own", "open", str(tape))
        starter = partial(racer, f"open, {name}", OURS, feed.rows, Path(sys.executable), *words)
        (found.opening[name],) = race([starter], runs)
    small = home / "a-minute"
    synthetic_tape(SyntheticSpec(minutes=1.0, episodes=6)).write(small)
    seconds = []
    for _ in range(runs + 1):  # the first fills the cache of compiled code
        command = [sys.executable, "-W", "ignore", "-c", FIRST, str(small)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        seconds.append(float(done.stdout.split()[-1]))
        time.sleep(0.1)
    found.first_s = tuple(seconds[1:])


def _sweeps(found: Found, home: Path, runs: int, *, least_s: float) -> None:
    """Sweep on one process and on two, over as many points as keep one of them busy for `least_s`."""
    tape = home / "sweep"
    synthetic_tape(SyntheticSpec(minutes=2.0, episodes=24)).write(tape)

    def starter(workers: int, points: int) -> Starter:
        words = ("benchmarks.peers.sweep", str(tape), str(workers), str(points))
        return partial(
            racer, "sweep", f"{OURS}, {workers} process{'es' * (workers > 1)}", points, Path(sys.executable), *words
        )

    few, more = race([starter(1, 4), starter(1, 16)], runs)
    fastest = max(1e-3, (min(more.seconds) - min(few.seconds)) / 12)  # the pool's start is in both
    points = max(4, ceil(1.1 * least_s / fastest))
    found.sweeps = dict(zip((1, 2), race([starter(1, points), starter(2, points)], runs), strict=True))


def _profiles(found: Found) -> None:
    """Tell where our time goes, by cProfile; it makes small functions look slower than they are."""
    for case, work, name in (
        ("replay", "replay", "short"),
        ("taker, sparse", "taker", "short"),
        ("taker, back to back", "taker", "burst"),
        ("maker, dense", "maker", "short maker"),
    ):
        tape = str(found.feeds[name].tape)
        told = json.loads(_told(Path(sys.executable), "benchmarks.peers.own", f"profile-{work}", tape))
        found.profiles[case] = own.Profile(*told)
