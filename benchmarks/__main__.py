"""`python -m benchmarks` measures and writes docs/performance.md; `python -m benchmarks soak` prints a week.

The page has four parts, each of which can be measured alone (`--only`): the engine with its journal, the chain's
round trips, imports, and the peers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from arbkit.chain.local_node import NoLocalNode, local_node
from benchmarks import engine, imports, report, venues
from benchmarks.chain import round_trips
from benchmarks.journal import replays
from benchmarks.peers import table
from benchmarks.peers.measure import measure
from benchmarks.soak import soak

ROOT = Path(__file__).parents[1]
RUNS = 3
ENGINE, CHAIN, IMPORTS, PEERS = PARTS = ("engine", "chain", "imports", "peers")


def engine_part(folder: Path, *, quick: bool = False, first: bool = False) -> str:
    """Measure the engine and its journal, and return that part; `first` puts all but the soak before other work."""
    trades, few, runs = (40, 20, 3) if quick else (1_000, 500, RUNS)
    figures: list[engine.Figures] = []
    with before_others() if first else nullcontext():
        yards = [report.yard()]
        _say("the disk")
        commit = engine.commits(folder, number=trades, runs=runs)
        with venues.served() as port:
            for loop in engine.loops():
                for legs, number in ((2, trades), (5, few)):
                    for to, journals in ((None, engine.JOURNALS), (port, ("on disk", "none"))):
                        _say(f"the engine: {loop}, {legs} legs, {'in process' if to is None else 'over a socket'}")
                        figures += engine.measure(
                            loop, legs, to, folder, journals=journals, trades=number, runs=runs, warm=min(200, number)
                        )
                        yards.append(report.yard())
        _say("replay")
        replay = replays(folder, records=3_000 if quick else 300_000, trades=100 if quick else 1_000, runs=runs)
        yards.append(report.yard())
    _say("a day in virtual time")
    soaked = soak(0.01, 4, 20.0, 2) if quick else soak(1.0, 12, 20.0, 5)
    yards.append(report.yard())
    return "\n".join(
        [
            report.HEAD.format(runs=runs, chunk=engine.CHUNK, machine=report.machine(yards, first=first)),
            report.engine_section(figures, commit),
            report.skew_section(figures),
            report.wire_section(figures),
            report.replay_section(replay),
            report.soak_section(soaked),
        ]
    )


def chain_part(*, quick: bool = False, first: bool = False) -> str:
    """Measure what a question to a node costs, where a node is installed."""
    _say("a chain's round trips")
    try:
        with local_node() as node, before_others() if first else nullcontext():
            asked = [asyncio.run(round_trips(node.url, number=50 if quick else 1_000)) for _ in range(RUNS)]
    except NoLocalNode as missing:
        return report.chain_section([], str(missing))
    return report.chain_section(asked)


def imports_part(folder: Path, *, quick: bool = False, first: bool = False, long: bool = False) -> str:
    """Measure what becomes of large recordings."""
    with before_others() if first else nullcontext():
        return imports.section(imports.measure(folder, quick=quick, long=long, say=_say))


def peers_part(folder: Path, *, quick: bool = False, first: bool = False, long: bool = False) -> str:
    """Measure arbkit beside its peers."""
    yards = [report.yard()]
    with before_others() if first else nullcontext():
        found = measure(folder, rows=50_000 if quick else 5_000_000, runs=1 if quick else RUNS, long=long, say=_say)
    yards.append(report.yard())
    return table.section(found) + f"\n**The machine.** {report.machine(yards, first=first)}\n"


@contextmanager
def before_others() -> Iterator[None]:
    """Run at real-time priority meanwhile, children included; PermissionError where that is not allowed."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def _say(what: str) -> None:
    print(f"measuring {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "soak"), default="all")
    parser.add_argument("--only", choices=PARTS, help="measure this part of the page and leave the others as they are")
    parser.add_argument("--days", type=float, default=7.0, help="of the soak, in virtual time")
    parser.add_argument(
        "--long", action="store_true", help="imports, peers: fifty million rows too (hours and 10 GB of disk)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, and no page: shows that it runs")
    parser.add_argument("--first", action="store_true", help="measure times at real-time priority (Linux, root)")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    chosen = parser.parse_args()
    if chosen.what == "soak":
        print(report.soak_section(soak(chosen.days, max(2, round(2 * chosen.days)), skip=2)))
        return
    build = ROOT / "build"  # a real disk, where a folder for temporary files may be memory
    build.mkdir(exist_ok=True)
    how = {"quick": chosen.quick, "first": chosen.first}
    page = chosen.page.read_text(encoding="utf-8") if chosen.page.exists() else ""
    for part in [chosen.only] if chosen.only else PARTS:
        with tempfile.TemporaryDirectory(dir=build, prefix="bench-") as folder:
            if part == ENGINE:
                said = engine_part(Path(folder), **how)
            elif part == CHAIN:
                said = chain_part(**how)
            elif part == IMPORTS:
                said = imports_part(Path(folder), **how, long=chosen.long)
            else:
                said = peers_part(Path(folder), **how, long=chosen.long)
        print(said)
        page = report.with_part(page, part, said)
        if not chosen.quick:  # part by part: what is measured is kept when the next one fails
            chosen.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
