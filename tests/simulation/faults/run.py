"""Run many seeds, or tell the story of one.

python -m tests.simulation.faults.run --seeds 500 --workers 2
python -m tests.simulation.faults.run --seed 42 --timeline
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.simulation.faults.table import FAULTS
from tests.simulation.faults.world import Outcome, World

CHUNK = 50


@dataclass(slots=True)
class Total:
    """What many runs came to."""

    seeds: int = 0
    virtual_s: float = 0.0
    trades: Counter[str] = field(default_factory=Counter)
    strikes: Counter[str] = field(default_factory=Counter)
    runs_with: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, one: Outcome) -> None:
        self.seeds += 1
        self.virtual_s += one.virtual_s
        self.trades.update(one.trades)
        self.strikes.update(one.strikes)
        self.runs_with.update(one.strikes.keys())
        self.crashes += one.crashes
        if one.violation:
            self.violations.append((one.seed, one.violation))

    def merge(self, other: Total) -> None:
        self.seeds += other.seeds
        self.virtual_s += other.virtual_s
        self.trades.update(other.trades)
        self.strikes.update(other.strikes)
        self.runs_with.update(other.runs_with)
        self.crashes += other.crashes
        self.violations += other.violations

    @property
    def missing(self) -> list[str]:
        """Return the faults that never struck."""
        return [name for name in FAULTS if not self.strikes[name]]

    def report(self, wall_s: float) -> str:
        lines = [
            f"seeds          {self.seeds:,}",
            f"virtual time   {self.virtual_s / 3600:,.1f} hours",
            f"wall time      {wall_s:,.1f} s, {1000 * wall_s / max(1, self.seeds):.1f} ms a seed",
            f"crashes        {self.crashes:,}",
            "trades         " + ", ".join(f"{name} {count:,}" for name, count in sorted(self.trades.items())),
            "faults that struck: id, times, runs",
        ]
        lines += [
            f"  {name:<4} {self.strikes[name]:>9,} {self.runs_with[name]:>8,}  {fault.says}"
            for name, fault in FAULTS.items()
        ]
        if self.missing:
            lines.append(f"never struck   {', '.join(self.missing)}")
        lines.append(f"violations     {len(self.violations)}")
        for seed, said in sorted(self.violations)[:20]:
            lines.append(f"  seed {seed}: {said.splitlines()[0]}")
            lines.append(f"    replay: make simulate SEED={seed}")
        return "\n".join(lines)


def run_seed(seed: int) -> Outcome:
    """Run one seed."""
    return World(seed).run()


def run_seeds(seeds: Iterable[int]) -> Total:
    """Run seeds one after the other."""
    total = Total()
    for seed in seeds:
        total.add(run_seed(seed))
    return total


def run_many(first: int, seeds: int, workers: int) -> Iterator[Total]:
    """Run seeds in so many processes, and yield what chunks of them came to, as they are done."""
    chunks = [range(at, min(at + CHUNK, first + seeds)) for at in range(first, first + seeds, CHUNK)]
    if workers <= 1:
        yield from map(run_seeds, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(run_seeds, chunks)


def replay(seed: int, timeline: bool) -> int:
    """Tell the story of one seed; return the exit code."""
    told = World(seed, whole=timeline).run()
    if timeline:
        print("\n".join(told.timeline))
    print(f"seed {seed}: faults {', '.join(told.planned)}; struck {told.strikes or 'never'}; trades {told.trades}")
    print(told.violation or "no violation")
    return 1 if told.violation else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.faults.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2)")
    parser.add_argument("--seed", type=int, help="one seed only")
    parser.add_argument("--timeline", action="store_true", help="with --seed: everything that happened")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return replay(asked.seed, asked.timeline)
    began, total = time.perf_counter(), Total()
    for part in run_many(asked.first, asked.seeds, asked.workers):
        total.merge(part)
        spent = time.perf_counter() - began
        left = spent / total.seeds * (asked.seeds - total.seeds)
        line = f"\r{total.seeds:,} of {asked.seeds:,} seeds, {len(total.violations)} violations, {left:,.0f} s left "
        print(line, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(total.report(time.perf_counter() - began))
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
