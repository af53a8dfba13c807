"""Starts venues and engines as processes, talks to them, kills them by their number, and ends all it started."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from arbkit.core.model import Settlement
from arbkit.journal.memory import Fact
from arbkit.journal.store import read_journal
from tests.process.messages import Habits, Reply, Request, Truth, WireBook, levels
from tests.rig import NO_B, YES_A

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0  # a hang, not slowness

encode = msgspec.json.encode


class Venues:
    """The process of the simulated venues, and the word of its administrator."""

    def __init__(self, folder: Path, seed: str = "0", names: tuple[str, ...] = ("alpha", "beta")) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._errors = (folder / "venues.err").open("ab")
        self.process = _started("venue_process", *names, "--seed", seed, errors=self._errors)
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            _ended(self.process)
            self._errors.close()
            raise AssertionError((folder / "venues.err").read_text())
        self.ports: dict[str, int] = msgspec.json.decode(line)
        self._lines = {name: socket.create_connection(("127.0.0.1", port)) for name, port in self.ports.items()}
        self._files = {name: line.makefile("rb") for name, line in self._lines.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name, line in self._lines.items():
            self._files[name].close()
            line.close()
        _ended(self.process)
        self._errors.close()

    def truth(self) -> dict[str, Truth]:
        return {name: self._ask(name, "admin.truth", None, Truth) for name in self._lines}

    def settled_truth(self) -> dict[str, Truth]:
        """Return the truth once nothing is on its way and nothing can be taken back any more."""
        before: dict[str, Truth] = {}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            now = self.truth()
            fills = [fill for one in now.values() for _, report in one.orders.values() for fill in report.fills]
            if now == before and not any(fill.settlement == Settlement.PROVISIONAL for fill in fills):
                return now
            before = now
            time.sleep(0.05)
        raise AssertionError("the venues do not come to rest")

    def habits(self, name: str = "", **habits: Any) -> None:
        for venue in [name] if name else self._lines:
            self._ask(venue, "admin.habits", Habits(**habits), None)

    def book(self, name: str, bids: Iterable[tuple[int, int]] = (), asks: Iterable[tuple[int, int]] = ()) -> None:
        """Set a book in cents and shares."""
        self._ask(name.partition(":")[0], "admin.book", WireBook(name, levels(bids), levels(asks)), None)

    def hit(self, name: str, cents: int, shares: int) -> None:
        """Let somebody sell shares into what rests at `cents` or better."""
        self._ask(name.partition(":")[0], "admin.hit", (name, cents * 10_000, shares * 1_000_000), None)

    def orders(self) -> dict[str, Any]:
        return {key: pair for one in self.truth().values() for key, pair in one.orders.items()}

    def _ask(self, name: str, call: str, value: object, kind: Any) -> Any:
        self._lines[name].sendall(encode(Request(1, call, msgspec.Raw(encode(value)))) + b"\n")
        reply = msgspec.json.decode(self._files[name].readline(), type=Reply)
        return msgspec.json.decode(reply.value, type=kind)


def stock(venues: Venues, *, bids: bool = True) -> None:
    """Set five cents of edge on 20 shares, and more behind it; without bids nobody buys back."""
    venues.book(YES_A, bids=[(38, 100)] if bids else [], asks=[(40, 20), (42, 100)])
    venues.book(NO_B, bids=[(53, 100)] if bids else [], asks=[(55, 20), (57, 100)])


def seen(what: Callable[[], bool]) -> None:
    """Wait until something can be seen; a hang is an error."""
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.005)


class Account:
    """One account's place on disk and its venues: what every engine process of a test shares."""

    def __init__(self, folder: Path, venues: Venues, name: str = "crash", logs: Path | None = None) -> None:
        self.folder = folder
        self.venues = venues
        self.name = name
        self.logs = logs or folder
        self.journal = folder / "journal.db"
        self.locks = folder / "locks"

    def statuses(self) -> list[str]:
        """Return where the venues' orders stand, in the order of the alphabet."""
        return sorted(report.status for _, report in self.venues.orders().values())

    def is_even(self) -> bool:
        """Tell whether both venues hold the same."""
        truth = self.venues.truth()
        return truth["alpha"].shares.get(YES_A, 0) == truth["beta"].shares.get(NO_B, 0)

    def facts(self) -> list[Fact]:
        return list(read_journal(self.journal)) if self.journal.exists() else []

    def engine(self, *more: str, journal: Path | None = None, **settings: Any) -> Engine:
        """Start an engine; `settings` are fields of its ExecutionConfig."""
        arguments = ["--ports", encode(self.venues.ports).decode(), "--journal", str(journal or self.journal)]
        arguments += ["--locks", str(self.locks), "--account", self.name, "--config", encode(settings).decode(), *more]
        return Engine(arguments, self.logs / "engine.err")


class Engine:
    """One engine process: what it says, and its end."""

    def __init__(self, arguments: list[str], errors: Path) -> None:
        errors.parent.mkdir(parents=True, exist_ok=True)
        self._errors = errors.open("ab")
        self.process = _started("engine_process", *arguments, errors=self._errors)
        self.said: list[dict[str, Any]] = []
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it with SIGKILL, if it still runs, and wait until the system has taken it away."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._over()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def heard(self, event: str) -> bool:
        """Wait for the next event of a name; False when the process ends before."""
        while (said := self._events.get(timeout=PATIENCE_S)) is not None:
            self.said.append(said)
            if said["event"] == event:
                return True
        self._events.put(None)
        return False

    def until(self, event: str) -> dict[str, Any]:
        """Wait for the next event of a name and return it."""
        if not self.heard(event):
            raise AssertionError(f"it ended without {event!r}: {self.said[-3:]}\n{self.errors()}")
        return self.last

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        self.process.wait(PATIENCE_S)
        self._over()
        while (said := self._events.get()) is not None:
            self.said.append(said)
        return self.process.returncode

    @property
    def last(self) -> dict[str, Any]:
        return self.said[-1] if self.said else {}

    def errors(self) -> str:
        return Path(self._errors.name).read_text(errors="replace")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"}\n"):  # a line that was cut by the end of the process says nothing
                self._events.put(msgspec.json.decode(line))
        self._events.put(None)

    def _over(self) -> None:
        _ended(self.process, self._reader)
        self._errors.close()


def _started(module: str, *arguments: str, errors: Any) -> subprocess.Popen[bytes]:
    """Start a module of this folder; it ends when the pipe to its standard input is closed, by whatever cause."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.process.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        bufsize=0 if module == "engine_process" else -1,
    )


def _ended(process: subprocess.Popen[bytes], reader: threading.Thread | None = None) -> None:
    """Close a process's input, which ends it, and wait for it and for who reads what it said."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        if reader is not None:
            reader.join()
        process.stdout.close()
