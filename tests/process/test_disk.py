"""Real engines on real disks that are full, read-only, torn, rotten or locked: what is not kept is not sent."""
# ruff: noqa: N802 - fault tests carry the id of the fault

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from arbkit.core.errors import JournalError
from arbkit.journal.fold import fold
from arbkit.journal.memory import Fact
from arbkit.journal.store import JournalFile, latest_of, read_journal
from arbkit.wiring.session import Exit
from tests.process.audit import at_rest, story
from tests.process.driving import Account, Engine, Venues, seen, stock
from tests.process.engine_process import ACCOUNT, config_of
from tests.rig import YES_A

pytestmark = pytest.mark.skipif(os.name != "posix", reason="mounts and SIGKILL are POSIX")

FLAT, REFUSED, OPEN = Exit.FLAT, Exit.REFUSED, Exit.OPEN
# Legs rest until a fill makes them unequal; then they are cancelled and evened within seconds.
RESTING = {"limit_timeout_s": 60.0, "reconcile_s": 60.0, "hedge_timeout_s": 2.0}


@pytest.fixture
def venues(tmp_path: Path) -> Iterator[Venues]:
    with Venues(tmp_path) as venues:
        stock(venues)
        yield venues


@pytest.fixture
def account(tmp_path: Path, venues: Venues) -> Account:
    return Account(tmp_path, venues)


@pytest.fixture
def small(tmp_path: Path, venues: Venues) -> Iterator[Account]:
    """An account on a disk of one megabyte."""
    with _mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as folder:
        yield Account(folder, venues, logs=tmp_path)


@pytest.fixture
def frail(tmp_path: Path, venues: Venues) -> Iterator[tuple[Account, _Mount]]:
    """An account on a disk that can be made to fail, as the system treats one that does: it becomes read-only."""
    image = tmp_path / "frail.img"
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    mount = _mounted(tmp_path / "frail", "-o", "loop,errors=remount-ro", str(image))
    with mount as folder:
        yield Account(folder, venues, logs=tmp_path), mount


class _Mount:
    """A file system of its own while a test runs; what needs one is skipped where nobody may mount."""

    def __init__(self, folder: Path, arguments: tuple[str, ...]) -> None:
        self.folder = folder
        self._arguments = arguments

    def __enter__(self) -> Path:
        if os.geteuid() != 0:
            pytest.skip("only root may mount a file system")
        self.folder.mkdir()
        self.mount()
        return self.folder

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.CalledProcessError):
            self.unmount()

    def mount(self) -> None:
        done = subprocess.run(
            ["mount", *self._arguments, str(self.folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"mounting does not work here: {done.stderr.strip()}")

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)

    def fail(self) -> None:
        """Let the file system find its disk broken: from now on nothing is written to it, not by open files either."""
        subprocess.run(["mount", "-o", "remount,abort", str(self.folder)], check=True, capture_output=True)


def _mounted(folder: Path, *arguments: str) -> _Mount:
    return _Mount(folder, arguments)


def _filled(folder: Path) -> Path:
    """Fill a disk to its last byte; return the file that does."""
    path = folder / "somebody's"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")
    return path


def _entries(account: Account) -> set[str]:
    return {key for key in account.venues.orders() if ".entry." in key}


def _assert_at_rest(account: Account, engine: Engine) -> None:
    found = at_rest(account.journal, account.venues.settled_truth(), engine.last, config_of())
    assert not found.wrong


# -- no room -----------------------------------------------------------------------------------------------------------


def test_fault_D1_on_a_full_disk_nothing_is_entered_and_cancels_and_undo_orders_use_what_is_held_back(
    small: Account,
) -> None:
    with small.engine("--strategies", "LIMIT", "--ballast", "262144", **RESTING) as engine:
        seen(lambda: small.statuses() == ["open", "open"])
        assert small.journal.with_name("journal.db.ballast").stat().st_size == 262_144
        filler = _filled(small.folder)
        small.venues.hit(YES_A, 38, 7)
        assert engine.until("result")["outcome"] == "unwound"
        assert small.is_even()
        assert not {"open", "partial"} & set(small.statuses())
        assert not small.journal.with_name("journal.db.ballast").exists()
        entered = _entries(small)
        for _ in range(3):
            refused = engine.until("result")
            assert refused["outcome"] in ("missed", "refused")
            assert "the disk is full" in refused["reason"]
        assert _entries(small) == entered
        assert any(".complete." in key or ".trim." in key for key in small.venues.orders())

        filler.unlink()
        seen(lambda: _entries(small) != entered)
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
        _assert_at_rest(small, engine)


def test_fault_D1_on_a_disk_that_was_full_before_the_start_nothing_is_entered_and_the_past_is_evened(
    small: Account,
) -> None:
    small.venues.habits("beta", refuse=1000)
    with small.engine("--strategies", "MARKET", "--ballast", "262144", "--die", "after:trade.undo:1") as engine:
        assert engine.end() == -signal.SIGKILL, engine.errors()
    small.venues.habits()
    stock(small.venues)
    filler = _filled(small.folder)
    entered = _entries(small)
    with small.engine("--strategies", "MARKET", "--ballast", "262144") as engine:
        refused = engine.until("result")
        assert "the disk is full" in refused["reason"]
        assert small.is_even()
        assert _entries(small) == entered
        filler.unlink()
        seen(lambda: _entries(small) != entered)
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
        _assert_at_rest(small, engine)


# -- a disk that fails -------------------------------------------------------------------------------------------------


def test_fault_D3_on_a_disk_that_became_read_only_nothing_is_sent_and_the_next_start_puts_it_right(
    frail: tuple[Account, _Mount],
) -> None:
    account, mount = frail
    with account.engine("--strategies", "LIMIT", "--no-person", **RESTING) as engine:
        seen(lambda: account.statuses() == ["open", "open"])
        mount.fail()
        sent = set(account.venues.orders())
        account.venues.hit(YES_A, 38, 7)
        assert engine.until("result")["outcome"] == "escalated"
        assert "journal.unhealthy" in engine.errors()
        assert account.statuses() == ["open", "partial"]  # a cancel that cannot be written down does not leave either
        engine.signal(signal.SIGTERM)
        assert engine.end() == OPEN, engine.errors()
        assert set(account.venues.orders()) == sent
    mount.unmount()
    mount.mount()
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == FLAT, engine.errors()
        _assert_at_rest(account, engine)
    assert not {"open", "partial"} & set(account.statuses())


def test_fault_D3_on_a_disk_that_is_read_only_no_engine_starts(frail: tuple[Account, _Mount]) -> None:
    account, mount = frail
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == FLAT, engine.errors()
    mount.fail()
    with account.engine("--strategies", "MARKET") as engine:
        assert engine.end() == REFUSED
        assert engine.last["event"] == "refused"
        assert "ead-only" in engine.last["why"]
    assert account.venues.orders() == {}


def test_fault_D5_while_another_program_holds_the_journal_nothing_is_entered(account: Account) -> None:
    account.venues.book(YES_A)
    with account.engine("--strategies", "MARKET") as engine:
        engine.until("ready")
        other = sqlite3.connect(account.journal, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        stock(account.venues)
        refused = engine.until("result")
        assert refused["outcome"] in ("missed", "refused")
        assert "database is locked" in refused["reason"]
        assert account.venues.orders() == {}
        other.execute("ROLLBACK")
        other.close()
        seen(lambda: len(account.venues.orders()) >= 2)
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
        _assert_at_rest(account, engine)


# -- a disk that forgets -----------------------------------------------------------------------------------------------


def _left_by_a_crash(account: Account, die: str) -> list[Fact]:
    account.venues.habits(crowd=True, settle_ms=(1.0, 60.0))
    with account.engine("--seed", "5", "--die", die) as engine:
        assert engine.end() == -signal.SIGKILL, engine.errors()
    return list(read_journal(account.journal))


def _wal(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}-wal")


def _copied(journal: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        shutil.copy(journal.with_name(name), folder / name)
    return folder / "journal.db"


def test_fault_D2_a_torn_tail_is_cut_at_the_last_commit_that_is_whole(account: Account, tmp_path: Path) -> None:
    facts = _left_by_a_crash(account, "answered:submit:12")
    draw = random.Random(7)
    size = _wal(account.journal).stat().st_size
    found = []
    for number in range(40):
        path = _copied(account.journal, tmp_path / f"torn-{number}")
        with _wal(path).open("r+b") as file:
            file.truncate(draw.randrange(size))
        with JournalFile(path, account=ACCOUNT, locks=path.parent) as journal:  # a machine that has not seen it before
            kept = list(journal.facts)
            assert kept == facts[: len(kept)]
            journal.append(1, "engine.alert", "engine", what="goes on", why="behind the cut")
        assert len(list(read_journal(path))) == len(kept) + 1
        found.append(len(kept))
    assert min(found) < len(facts) // 2 < max(found)  # it was cut everywhere, and no more was lost than had to be


def test_fault_D2_whatever_bit_is_changed_in_what_was_written_last_no_record_is_another(
    account: Account, tmp_path: Path
) -> None:
    facts = _left_by_a_crash(account, "answered:submit:12")
    draw = random.Random(11)
    content = _wal(account.journal).read_bytes()
    for number in range(40):
        path = _copied(account.journal, tmp_path / f"changed-{number}")
        at = draw.randrange(len(content))
        _wal(path).write_bytes(content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :])
        with suppress(JournalError), JournalFile(path, account=ACCOUNT, locks=path.parent) as journal:
            kept = list(journal.facts)
            assert kept == facts[: len(kept)]


@pytest.mark.parametrize("seed", range(3))
def test_fault_D2_what_a_torn_tail_forgot_is_found_at_the_venues_and_bars_entries(account: Account, seed: int) -> None:
    facts = _left_by_a_crash(account, "sent:submit:9")
    account.venues.habits()
    wal = _wal(account.journal)
    with wal.open("r+b") as file:
        file.truncate(random.Random(seed).randrange(wal.stat().st_size))
    kept = list(read_journal(account.journal))
    assert kept == facts[: len(kept)]
    note = latest_of(account.journal, locks=account.locks)
    note.path.write_text(f"{len(facts)}\n{account.journal}\n")  # as a second later, if it had lived to see one
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == REFUSED
        assert f"ends at record {len(kept)}, but this machine wrote {len(facts)} to it" in engine.last["why"]
    note.path.unlink()  # a person takes the venues' word, as the refusal says
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == FLAT, engine.errors()
        differences = engine.last["differences"]
    truth = account.venues.settled_truth()
    after = list(read_journal(account.journal))
    state, tale = fold(after), story(after)
    known = set(tale.intents)
    for name, one in truth.items():
        shares = {book: size for book, size in state.ledger.shares.items() if book.startswith(f"{name}:")}
        forgotten = [key for key, (_, report) in one.orders.items() if key not in known and report.status == "open"]
        same = (state.ledger.cash[name], shares) == (one.cash, one.shares) and not forgotten
        barred = [market for market in differences if market.partition(":")[0] == name]
        assert same or barred, f"{name}: {state.ledger.cash[name]} {shares}, and there {one.cash} {one.shares}"
        assert set(barred) <= set(state.blocked)


# -- a disk that lies --------------------------------------------------------------------------------------------------


def test_fault_D4_a_changed_bit_in_the_middle_is_named_and_no_engine_starts(account: Account) -> None:
    with account.engine("--strategies", "MARKET") as engine:
        engine.until("result")
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
    orders = account.venues.orders()
    number, body = next(
        (number, body)
        for number, body in sqlite3.connect(account.journal).execute("SELECT number, body FROM facts ORDER BY number")
        if b"order.intent" in body
    )
    content = account.journal.read_bytes()
    at = content.index(body) + len(body) // 2
    account.journal.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with account.engine("--strategies", "MARKET") as engine:
        assert engine.end() == REFUSED
        assert engine.last["event"] == "refused"
        assert f"record {number} is not what was written" in engine.last["why"]
    assert account.venues.orders() == orders


def test_fault_D4_whatever_bit_is_changed_the_journal_is_refused_or_says_the_same(
    account: Account, tmp_path: Path
) -> None:
    with account.engine("--strategies", "MARKET") as engine:
        engine.until("result")
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
    facts, content, draw = list(read_journal(account.journal)), account.journal.read_bytes(), random.Random(3)
    path, refused = tmp_path / "rotten.db", 0
    for _ in range(120):
        at = draw.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :])
        try:
            with JournalFile(path, account=ACCOUNT, locks=tmp_path / "others") as journal:
                assert list(journal.facts) == facts
        except JournalError:
            refused += 1
        for left in tmp_path.glob("rotten.db*"):
            left.unlink()
    assert refused > 20
