"""Kills a real engine again and again, and proves after every death that nothing was doubled and nothing lost.

`python -m tests.process.crash_loop --runs 200 --seed 1`. A batch has one pair of venues and one journal; each run
starts the engine on it, kills it with SIGKILL at a moment drawn from the seed (at any time, when the journal has
grown, or from within just before or after a commit, a send or an answer), looks at what it left, kills some of the
restarts too, lets the last one come to rest and compares everything. What is found is printed; the exit code is 1
when anything was.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arbkit.journal.store import read_journal
from tests.process.audit import PHASES, Findings, Story, at_death, at_rest, phase_of, story
from tests.process.driving import Account, Engine, Venues
from tests.process.engine_process import config_of

BATCH = 20  # runs on one journal
LONGEST_S = 1.2  # an engine trades for at most so long before it is killed


def habits_of(draw: random.Random, late_s: float) -> dict[str, Any]:
    """Draw how a venue behaves during one run: mostly well; what is sent arrives within `late_s`, as was promised."""
    return {
        "before_ms": (0.0, 6.0),
        "late": draw.choice((0, 0, 150, 400)),  # these may arrive after their sender has died
        "late_ms": (0.0, 700 * late_s),
        "after_ms": (0.0, 6.0),
        "slow": draw.choice((0, 60, 150)),
        "slow_ms": (30.0, 250.0),
        "lose_request": draw.choice((0, 20, 100)),
        "lose_answer": draw.choice((0, 20, 100)),
        "refuse": draw.choice((0, 0, 40, 400)),
        "settle_ms": (5.0, draw.choice((20.0, 120.0, 400.0))),
        "void": draw.choice((0, 15, 80)),
        "crowd": True,
    }


def terms_of(draw: random.Random) -> dict[str, float]:
    """Draw the settings of one run's engines: how much time and money an undo may take decides what escalates."""
    return {
        "hedge_timeout_s": draw.choice((0.2, 0.5, 0.8, 2.0)),
        "max_unwind_loss": draw.choice((0.005, 0.03, 0.2)),
        "limit_timeout_s": draw.choice((0.1, 0.25, 0.5)),
        "late_arrival_s": draw.choice((0.5, 0.5, 0.5, 2.0)),
    }


@dataclass
class Tally:
    """What the loop did and found so far."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    orders: int = 0
    fills: int = 0
    voided: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    undos: Counter[str] = field(default_factory=Counter)
    doubled: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def take(self, where: str, found: Findings) -> None:
        self.doubled += found.doubled
        self.lost += found.lost
        self.wrong += [f"{where}: {one}" for one in found.wrong]

    def count(self, tale: Story, found: Findings) -> None:
        """Count what a whole journal tells of."""
        self.outcomes.update(tale.outcomes.values())
        self.undos.update(intent.purpose for intent in tale.intents.values())
        self.voided += sum(fill[4] == "voided" for intent in tale.intents.values() for fill in intent.fills.values())
        self.told.update(said.partition(":")[0].partition(" ")[0] for said in tale.told)
        self.orders += found.orders
        self.fills += found.fills

    def lines(self) -> list[str]:
        kills = ", ".join(f"{phase} {self.kills[phase]}" for phase in PHASES)
        return [
            f"runs {self.runs}, kills {sum(self.kills.values())} ({kills}), restarts {self.restarts}",
            f"trades {sum(self.outcomes.values())} ({_counted(self.outcomes)})",
            f"orders {self.orders} at the venues ({_counted(self.undos)}), fills {self.fills} (taken back {self.voided})",
            f"doubled {self.doubled}, lost {self.lost}, contradictions {len(self.wrong)}",
            f"wall time {self.seconds:.0f} s, {self.seconds / max(1, self.runs):.1f} s a run",
            *(f"said: {what} ({count} x)" for what, count in self.told.most_common(8)),
            *self.wrong[:40],
        ]


def loop(runs: int, seed: str, folder: Path, *, progress: bool = False) -> Tally:
    """Run so many kills, all drawn from `seed`, each batch in a folder of its own."""
    tally, began, number = Tally(), time.monotonic(), 0
    while number < runs:
        number = batch(range(number, min(number + BATCH, runs)), seed, folder / f"batch-{number}", tally)
        tally.seconds = time.monotonic() - began
        if progress:
            print(f"  {tally.runs} runs, {tally.seconds:.0f} s, {len(tally.wrong)} contradictions", flush=True)
    return tally


def batch(runs: Sequence[int], seed: str, folder: Path, tally: Tally) -> int:
    """Kill and restart on one journal, and compare everything at the end of every run; return the next run's number.

    What is wrong stays wrong on a journal, so the batch ends with it, and the next one has its own.
    """
    found, number = Findings(), runs[0]
    with Venues(folder, f"{seed} {number}") as venues:
        account = Account(folder, venues)
        with account.engine("--until", "quiet") as first:  # an account is opened at venues that answer
            if (code := first.end()) != 0:
                tally.wrong.append(f"the first start ended with {code}: {first.errors()[-2000:]}")
                return runs[-1] + 1
        for number in runs:
            found = one_run(account, random.Random(f"{seed} {number}"), tally, f"run {number}")
            if found.wrong:
                break
        if account.journal.exists():
            tally.count(story(read_journal(account.journal)), found)
    if errors := (folder / "venues.err").read_text():
        tally.wrong.append(f"the venues' process: {errors[-500:]}")
    return number + 1


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def one_run(account: Account, draw: random.Random, tally: Tally, where: str) -> Findings:
    """Start an engine, kill it, sometimes kill its restart, let one come to rest, and compare."""
    tally.runs += 1
    seed, terms = str(draw.randrange(1 << 30)), terms_of(draw)
    for name in account.venues.ports:
        account.venues.habits(name, **habits_of(draw, terms["late_arrival_s"]))
    died = killed(account, Death.drawn(draw), ("--seed", seed), terms, tally, where)
    while not died.wrong and draw.random() < 0.25:  # a process that puts things right may be killed as well
        until = draw.choice((("--until", "quiet"), ("--seed", seed)))
        died = killed(account, Death.drawn(draw, restart=True), until, terms, tally, f"{where}, restart")
    if died.wrong:
        return died
    tally.restarts += 1
    account.venues.habits(crowd=True)  # what has been wrong with them is over
    with account.engine("--until", "quiet", **terms) as engine:
        found = Findings()
        code = _rested(engine)
        said = engine.last
        if said.get("event") != "ended":
            found.say(f"the restart ended with {code}: {said}\n{engine.errors()[-4000:]}", lost=1)
        else:
            found = at_rest(account.journal, account.venues.settled_truth(), said, config_of(**terms))
            if code != 0:
                found.say(f"exit code {code} although nothing is open")
            if said["halted"] not in ("", "the engine is closing"):
                found.say(f"entries are halted: {said['halted']}")
            for name, until, why in said["checkpoint"]["risk"]["paused"]:
                if until > time.time_ns():
                    found.say(f"{name} was heard again and is still paused: {why}")
            for said_once in found.told:  # nobody but the engine trades here, and nothing in it may fail
                if said_once.startswith(("engine.halted", "market.blocked")):
                    found.say(said_once)
    tally.take(where, found)
    return found


def _rested(engine: Engine) -> int | None:
    """Wait until an engine has come to rest; None when it does not, and then it is killed."""
    try:
        return engine.end()
    except subprocess.TimeoutExpired:
        engine.kill()
        return None


@dataclass(frozen=True)
class Death:
    """How one process is to die: by itself at a scripted moment, after so many writes of its journal, or by time."""

    scripted: str = ""
    writes: int = 0
    after_s: float = LONGEST_S
    while_starting: bool = False

    @classmethod
    def drawn(cls, draw: random.Random, *, restart: bool = False) -> Death:
        kind = draw.random()
        if kind < 0.35:
            return cls(after_s=draw.uniform(0.0, 0.4 if restart else LONGEST_S), while_starting=draw.random() < 0.15)
        if kind < 0.6:
            return cls(writes=draw.randint(1, 8 if restart else 60))
        moment = draw.choice(("before", "after", "sent", "answered"))
        of_commit = (*["order.intent"] * 3, "order.cancel", "order.status", '"fill"', "trade.planned", "trade.undo")
        of_wire = ("submit", ".entry.", ".complete.", ".trim.", ".exit.", "cancel")
        text = draw.choice(of_commit if moment in ("before", "after") else of_wire)
        return cls(scripted=f"{moment}:{text}:{draw.randint(1, 2 if restart else 6)}")


def killed(
    account: Account, death: Death, arguments: Sequence[str], terms: dict[str, float], tally: Tally, where: str
) -> Findings:
    """Kill one engine process, and look at the journal that it left before anybody else does."""
    before = _sessions(account.journal)
    more = ["--die", death.scripted] if death.scripted else []
    with account.engine(*arguments, *more, **terms) as engine:
        if not death.while_starting:
            engine.heard("ready")
        if death.writes:
            _await_writes(engine, account.journal, death.writes)
        else:
            _wait(engine, death.after_s)
        by_itself = None if engine.running else engine.process.returncode
    time.sleep(0.03)  # what was sent has arrived by then
    found, facts = at_death(account.journal, account.venues.truth())
    if by_itself not in (None, 0, -signal.SIGKILL):
        found.say(f"it ended with {by_itself}: {engine.errors()[-4000:]}")
    tally.take(f"{where}, at death", found)
    if by_itself != 0 and not found.wrong:  # else it came to rest before its time
        first = death.scripted.startswith("before:order.intent") and by_itself == -signal.SIGKILL
        tally.kills["before an intent" if first else phase_of(facts, before)] += 1
    return found


def _wait(engine: Engine, seconds: float) -> None:
    until = time.monotonic() + seconds
    while engine.running and time.monotonic() < until:
        time.sleep(0.002)


def _await_writes(engine: Engine, journal: Path, times: int) -> None:
    """Return when the journal's write-ahead file was written so often: microseconds after that."""
    wal, until = journal.with_name(f"{journal.name}-wal"), time.monotonic() + 2 * LONGEST_S
    seen = 0
    while engine.running and times and time.monotonic() < until:
        try:
            now = wal.stat().st_mtime_ns
        except FileNotFoundError:
            continue
        times -= now != seen
        seen = now


def _sessions(journal: Path) -> int:
    return story(read_journal(journal)).sessions if journal.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--keep", type=Path, help="a folder for the journals, which are thrown away otherwise")
    settings = parser.parse_args()
    print(f"crash loop: {settings.runs} runs, seed {settings.seed}, pid {os.getpid()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tally = loop(settings.runs, settings.seed, settings.keep or Path(folder), progress=True)
    print("\n".join(tally.lines()))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
