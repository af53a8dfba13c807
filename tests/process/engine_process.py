"""One engine in a process of its own, on a real journal and venues behind sockets.

`python -m tests.process.engine_process --ports '{"alpha": 4711, "beta": 4712}' --journal J --locks L` trades until a
signal ends it; `--until quiet` starts, brings what was interrupted to its end, enters nothing and goes. It says on
its standard output, a JSON object a line, what happens: "ready", "result", "refused", and "ended" with all that it has in memory. It ends with its
standard input, so that it never outlives whoever started it.

`--die MOMENT:TEXT:N` kills the process with SIGKILL, at once and from within: `before` or `after` the commit that
holds the N-th record with TEXT in it, when the N-th submit or cancel of a key with TEXT in it was `sent` (the system has
taken it) or `answered` (the engine has not heard the answer yet).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from arbkit.backtest.mock_platform import MockFees
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import JournalError
from arbkit.core.model import ExecutionResult, ExecutionStrategy
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.disk import Disk, Row
from arbkit.journal.store import JournalFile
from arbkit.risk.kill_switch import KillFile
from arbkit.risk.limits import RiskLimits
from arbkit.risk.pairs import PairBook
from arbkit.wiring.session import Exit, run_session
from tests.process.messages import Habits, WireOrder, the_baskets, the_table
from tests.process.socket_venue import Line, SocketFeed, SocketVenue

ACCOUNT = "crash"
LIMITS = RiskLimits(
    max_market_shares=1e9,
    max_market_capital=1e9,
    max_event_capital=1e9,
    max_venue_capital=1e9,
    max_pair_capital=1e9,
    max_total_capital=1e9,
    max_daily_loss=1e9,
    max_drawdown=1e9,
)
# Everything short, so that a run of a second sees all of it; a request is on its way for 0.3 s at most.
CONFIG: dict[str, Any] = {
    "min_edge": 0.005,
    "max_size": 20.0,
    "max_unwind_loss": 0.2,
    "limit_timeout_s": 0.25,
    "hybrid_patience_s": 0.08,
    "leg_timeout_s": 0.4,
    "hedge_timeout_s": 0.8,
    "hedge_retry_s": 0.02,
    "late_arrival_s": 0.5,
    "reconcile_s": 0.4,
    "resolve_alarm_s": 5.0,
    "max_loop_lag_s": 5.0,
    "request_rate": 5_000.0,
    "request_burst": 5_000,
}


def config_of(**settings: Any) -> ExecutionConfig:
    return ExecutionConfig(**{**CONFIG, **settings})


class Death:
    """Kills this very process at one moment; see the module's docstring."""

    def __init__(self, written: str) -> None:
        self._moment, self._text, count = written.split(":") if written else ("", "", "0")
        self._left = int(count)

    def at(self, moment: str, texts: Iterable[str]) -> None:
        if moment != self._moment or self._left <= 0:
            return
        self._left -= sum(self._text in text for text in texts)
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalDisk:
    """Stands before a real disk, and may be the last that a process does."""

    def __init__(self, disk: Disk, death: Death) -> None:
        self._disk = disk
        self._death = death

    def commit(self, rows: Sequence[Row]) -> None:
        texts = [row.body.decode() for row in rows]
        self._death.at("before", texts)
        self._disk.commit(rows)
        self._death.at("after", texts)

    def hold_back(self) -> bool:
        return self._disk.hold_back()

    def give_up(self) -> None:
        self._disk.give_up()

    def close(self) -> None:
        self._disk.close()


class MortalLine(Line):
    """A connection that its process may not survive."""

    death = Death("")

    def sent(self, call: str, value: object) -> None:
        self.death.at("sent", _key(call, value))

    def answered(self, call: str, value: object) -> None:
        self.death.at("answered", _key(call, value))


def _key(call: str, value: object) -> list[str]:
    if call not in ("submit", "cancel"):
        return []
    return [f"{call} {value.key if isinstance(value, WireOrder) else value}"]


def say(event: str, **more: Any) -> None:
    """Tell whoever started this process something."""
    os.write(1, msgspec.json.encode({"event": event, **more}) + b"\n")


class Person:
    """Sees to what escalated, as a person would, and tells of every result."""

    def __init__(self, engine: ArbitrageExecutionEngine, *, acknowledges: bool) -> None:
        self._engine = engine
        self._acknowledges = acknowledges

    def hear(self, result: ExecutionResult) -> None:
        say("result", trade=result.trade.id, outcome=result.outcome.value, reason=result.reason)

    def look(self) -> list[str]:
        """Acknowledge what stands escalated, whichever process it escalated in; return what is not over."""
        trades = self._engine.checkpoint()["trades"]
        for name, state in trades.items():
            if state == "escalated" and self._acknowledges:
                self._engine.acknowledge(name)
        return list(trades)


async def trade(
    engine: ArbitrageExecutionEngine, person: Person, draw: random.Random, strategies: Sequence[ExecutionStrategy]
) -> None:
    """Trade until the engine closes, by one strategy after the other."""
    say("ready")
    person.look()
    while await engine.scan_and_execute(draw.choice(strategies), draw.randint(1, 3), on_result=person.hear):
        person.look()


async def rest(engine: ArbitrageExecutionEngine, person: Person) -> None:
    """See what other processes left behind to its end, and enter nothing; give pauses of venues time to end."""
    say("ready")
    while person.look():  # noqa: ASYNC110 - there is nothing that tells of it
        await asyncio.sleep(0.01)
    await engine.reconciler.compare_all()
    for _ in range(3):
        if any(until > time.time_ns() for _, until, _ in engine.risk.state().paused):
            await asyncio.sleep(engine.config.reconcile_s)


async def run(settings: argparse.Namespace, journal: JournalFile) -> tuple[int, dict[str, Any]]:
    held = await _end_with_input()
    table, ports = the_table(), json.loads(settings.ports)
    venues = {name: SocketVenue(MortalLine(name, port), table) for name, port in ports.items()}
    feed = SocketFeed(lambda name: Line(name, ports[name]), table, MockFees(taker_ppm=Habits().fees_ppm))
    feed.open()
    engine = ArbitrageExecutionEngine(
        venues,
        feed,
        the_baskets(table),
        config=config_of(**json.loads(settings.config)),
        limits=LIMITS,
        journal=journal,
        rearm_s=0.02,
        pairs=PairBook.assumed(table),
        kill=KillFile(journal.path.with_name(f"{journal.path.name}.kill")),
        books=table.books,
    )
    person = Person(engine, acknowledges=not settings.no_person)
    trading = partial(rest, engine, person)
    if settings.until == "signal":
        strategies = [ExecutionStrategy(name) for name in settings.strategies.split(",")]
        trading = partial(trade, engine, person, random.Random(settings.seed), strategies)
    code = await run_session(engine, trading, journal.facts, account=settings.account, drain_s=settings.drain_s)
    said = {
        "checkpoint": engine.checkpoint(),
        "open": engine.open(),
        "halted": engine.halted,
        "differences": {name: one.why for name, one in engine.reconciler.open.items()},
    }
    await feed.close()
    for venue in venues.values():
        await venue.close()
    held.cancel()
    return code, said


async def _end_with_input() -> asyncio.Task[bytes]:
    """End this process, as if it was killed, when whoever holds its standard input is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    task = loop.create_task(reader.read())
    task.add_done_callback(lambda done: None if done.cancelled() else os.kill(os.getpid(), signal.SIGKILL))
    return task


class Plain(logging.Formatter):
    """A line for people: the event, and what stands beside it."""

    def format(self, record: logging.LogRecord) -> str:
        more = {name: value for name, value in vars(record).items() if name not in STANDARD}
        return f"{super().format(record)} {more}"


STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--locks", type=Path, required=True)
    parser.add_argument("--account", default=ACCOUNT)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--strategies", default="MARKET,LIMIT,HYBRID")
    parser.add_argument("--until", default="signal", choices=("signal", "quiet"))
    parser.add_argument("--config", default="{}")
    parser.add_argument("--drain-s", type=float)
    parser.add_argument("--ballast", type=int, default=65_536)
    parser.add_argument("--die", default="")
    parser.add_argument("--no-person", action="store_true")
    settings = parser.parse_args()
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(Plain("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    death = MortalLine.death = Death(settings.die)
    try:
        journal = JournalFile(
            settings.journal,
            account=settings.account,
            locks=settings.locks,
            ballast=settings.ballast,
            through=lambda disk: MortalDisk(disk, death),
        )
    except JournalError as error:
        say("refused", why=str(error))
        return Exit.REFUSED
    code, said = asyncio.run(run(settings, journal))
    try:
        journal.close()
    except JournalError as error:
        logging.getLogger(__name__).error("journal.unkept", extra={"reason": str(error)})
        code = code or Exit.REFUSED
    say("ended", **said)
    return code


if __name__ == "__main__":
    sys.exit(main())
