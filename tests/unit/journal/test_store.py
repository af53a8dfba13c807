# ruff: noqa: N802
"""The journal's file: what was durable is read back, what was changed is noticed, what is foreign is refused."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.core.errors import JournalDamaged, JournalError
from arbkit.core.ports import Journal
from arbkit.journal.codec import encode, fact_of, genesis, link
from arbkit.journal.memory import MemoryJournal
from arbkit.journal.store import JournalFile, read_journal, verify
from arbkit.journal.table import BLOCK
from tests.unit.journal.disks import FakeDisk, open_journal, written_journal
from tests.unit.journal.test_codec import facts

POSIX = pytest.mark.skipif(os.name != "posix", reason="mode bits and signals are those of POSIX")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def edit(path: Path, statement: str, *values: object) -> None:
    """Change a journal behind its back."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement, values)
    connection.close()


def damage(path: Path) -> str:
    """Return the reason for which a journal is refused, by every way of opening it, none of which changes it."""
    before = contents(path.parent)
    reasons = []
    ways: tuple[Callable[[], Any], ...] = (
        lambda: verify(path),
        lambda: list(read_journal(path)),
        lambda: open_journal(path),
    )
    for way in ways:
        with pytest.raises(JournalDamaged) as caught:
            way()
        reasons.append(str(caught.value))
    assert len(set(reasons)) == 1
    assert contents(path.parent) | {f"{path.name}.lock": b""} == before | {f"{path.name}.lock": b""}
    return reasons[0].removeprefix(f"{path}: ")


# -- write and read --------------------------------------------------------------------------------------------


def test_a_journal_is_what_the_engine_asks_for(tmp_path: Path) -> None:
    with open_journal(tmp_path / "a.journal") as file:
        port: Journal = file
        port.append(1, "order.intent", "k")
        memory: Journal = MemoryJournal()
        memory.append(1, "order.intent", "k")


async def test_what_is_durable_can_be_read_while_the_engine_runs_and_after(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    memory = MemoryJournal()
    with open_journal(path) as journal:
        assert list(journal.facts) == []
        for number in range(2 * BLOCK + 3):
            for kept in (journal, memory):
                kept.append(number, "fill", f"k{number}", size=number, maker=False, caps=(1, (2, None)), why="ä\n")
        assert list(journal.facts) == []
        await journal.durable()
        assert tuple(journal.facts) == memory.facts == tuple(read_journal(path))
        assert journal.flushes == 1
        journal.append(10**18, "trade.done", "t")
        memory.append(10**18, "trade.done", "t")
        assert journal.pending == 1
    assert tuple(read_journal(str(path))) == memory.facts
    meta, first_at, last_at = verify(path)
    assert (meta.version, meta.account, meta.environment, meta.records) == (1, "me", "paper", 2 * BLOCK + 4)
    assert (first_at, last_at) == (1, 10**18)


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.journal"
    for number in range(3):
        with open_journal(path) as journal:
            journal.append(number, "session.started", "me")
    assert [fact.at for fact in read_journal(path)] == [0, 1, 2]
    body = [encode(fact) for fact in read_journal(path)]
    meta = verify(path).meta
    head = genesis("me", "paper", meta.created)
    for one in body:
        head = link(head, one)
    assert meta.head == head


@settings(max_examples=25)
@given(st.lists(st.lists(facts, max_size=5), max_size=4))
def test_any_facts_are_read_back_equal(tmp_path_factory: pytest.TempPathFactory, sessions: list[list[Any]]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.journal"
    for session in sessions:
        with open_journal(path) as journal:
            for one in session:
                journal._writer.append(encode(one))  # names of data that are no words of Python
    expected = [one for session in sessions for one in session]
    assert (list(read_journal(path)) if sessions else []) == expected


def test_what_cannot_be_spelled_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with open_journal(path) as journal:
        with pytest.raises(TypeError, match=r"price=0\.5"):
            journal.append(1, "fill", "k", price=0.5)
        assert journal.pending == 0
    assert list(read_journal(path)) == []


def test_reading_a_closed_journal_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    before = contents(tmp_path)
    assert sorted(before) == ["a.journal", "a.journal.ballast", "a.journal.lock"]
    verify(path)
    list(read_journal(path))
    list(read_journal(path, check=False))
    next(read_journal(path))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("read", [verify, lambda path: list(read_journal(path))])
def test_a_journal_that_is_not_there_is_not_made_by_looking(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        read(tmp_path / "a.journal")
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_forgets_to_close_keeps_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    code = (
        "import sys; from pathlib import Path; from arbkit.journal.store import JournalFile\n"
        f"journal = JournalFile(Path({str(path)!r}), account='me', locks=Path({str(tmp_path / 'locks')!r}), linger_s=600)\n"
        "journal.append(1, 'session.started', 'me')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert [fact.key for fact in read_journal(path)] == ["me"]


# -- whose it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"account": "you"}, {"environment": "live"}])
def test_the_journal_of_another_account_or_environment_is_refused_by_name(
    tmp_path: Path, other: dict[str, str]
) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    before = contents(tmp_path)
    with pytest.raises(JournalError, match=r"is the journal of account 'me' \(paper\), not of") as caught:
        open_journal(path, **other)
    assert next(iter(other.values())) in str(caught.value)
    assert contents(tmp_path) == before
    open_journal(path).close()  # the locks were given back


def test_a_journal_cannot_be_given_to_another_account(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    edit(path, "UPDATE meta SET environment = 'live'")
    with pytest.raises(JournalDamaged, match="record 1 "):
        open_journal(path, environment="live")
    assert "record 1 is not what was written" in damage(path)
    empty = tmp_path / "b.journal"
    written_journal(empty, 0)
    edit(empty, "UPDATE meta SET account = 'you'")
    with pytest.raises(JournalDamaged, match="does not end where it ended"):
        verify(empty)


@POSIX
def test_fault_D7_a_journal_that_others_can_read_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.journal"
    before = os.umask(0)
    try:
        with open_journal(path) as journal:
            journal.append(1, "session.started", "me")
            asyncio.run(journal.durable())
            modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir() if one.is_file()}
            assert set(modes.values()) == {0o600}, modes
            assert "a.journal-wal" in modes
            assert journal.exposed == ""
            path.chmod(0o640)
            assert "mode 640" in journal.exposed
    finally:
        os.umask(before)
    with caplog.at_level(logging.WARNING), open_journal(path) as journal:
        assert f"chmod 600 {path}" in journal.exposed
    assert [record.message for record in caplog.records] == ["journal.exposed"]
    path.chmod(0o604)
    with open_journal(path) as journal:
        assert journal.exposed


# -- damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE facts SET body = CAST(replace(body, 'order-3', 'order-9') AS BLOB) WHERE number = 3", "record 3 is not what was"),
        ("UPDATE facts SET hash = zeroblob(32) WHERE number = 3", "record 3 is not what was written"),
        ("UPDATE facts SET hash = 7 WHERE number = 5", "record 5 is not what was written"),
        ("DELETE FROM facts WHERE number = 3", "record 3 is missing: after 2 comes 4"),
        ("DELETE FROM facts WHERE number = 1", "record 1 is missing: after 0 comes 2"),
        ("DELETE FROM facts WHERE number >= 4", "record 4 is missing: 5 were written"),
        ("DELETE FROM facts", "record 1 is missing: 5 were written"),
        ("UPDATE facts SET number = 9 WHERE number = 5", "record 5 is missing: after 4 comes 9"),
        ("INSERT INTO facts SELECT 6, hash, body FROM facts WHERE number = 5", "record 6 is not what was written"),
        ("UPDATE meta SET records = 4", "it does not end where it ended: 4 records were written, 5 are there"),
        ("UPDATE meta SET head = zeroblob(32)", "it does not end where it ended"),
        ("UPDATE meta SET head = 'x'", "the row that says whose journal it is cannot be read"),
        ("UPDATE meta SET created = 'long ago'", "record 1 is not what was written"),
        ("DELETE FROM meta", "its version is None"),
        ("DROP TABLE facts", "no such table: facts"),
        ("DROP TABLE meta", "no such table: meta"),
    ],
)  # fmt: skip
def test_fault_D4_an_edited_record_refuses_to_start_and_changes_nothing(
    tmp_path: Path, statement: str, says: str
) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    edit(path, statement)
    assert says in damage(path)


def test_fault_D4_a_record_that_is_no_fact_is_refused_although_its_hash_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path, 1)
    meta = verify(path).meta
    bodies = [encode(fact_of(1, "a", "b", {})), b'[1, "a","b",{}]']
    heads = [link(meta.genesis, bodies[0])]
    heads.append(link(heads[0], bodies[1]))
    edit(path, "UPDATE facts SET hash = ?, body = ?", heads[0], bodies[0])
    edit(path, "INSERT INTO facts VALUES (2, ?, ?)", heads[1], bodies[1])
    edit(path, "UPDATE meta SET records = 2, head = ?", heads[1])
    assert damage(path) == "record 2 is not spelled as a journal spells"


def test_fault_D4_what_is_before_the_damage_can_be_read_and_what_is_after_it_unproven(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    whole = written_journal(path, BLOCK + 10)
    edit(path, "UPDATE facts SET body = ? WHERE number = ?", b"\xff", BLOCK + 5)
    reading = read_journal(path)
    assert [next(reading) for _ in range(BLOCK + 4)] == whole[: BLOCK + 4]
    with pytest.raises(JournalDamaged, match=f"record {BLOCK + 5} "):
        next(reading)
    rest = list(read_journal(path, check=False))
    assert rest[: BLOCK + 4] + rest[BLOCK + 5 :] == whole[: BLOCK + 4] + whole[BLOCK + 5 :]
    assert (rest[BLOCK + 4].fact, rest[BLOCK + 4].key) == ("record.damaged", str(BLOCK + 5))


@pytest.mark.no_cover
def test_fault_D4_every_flipped_bit_of_a_body_or_hash_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path, 3)
    connection = sqlite3.connect(path, isolation_level=None)
    for number, stored, body in connection.execute("SELECT number, hash, body FROM facts").fetchall():
        for column, right in (("hash", stored), ("body", body)):
            for bit in range(8 * len(right)):
                wrong = bytearray(right)
                wrong[bit // 8] ^= 1 << bit % 8
                connection.execute(f"UPDATE facts SET {column} = ? WHERE number = ?", (bytes(wrong), number))
                with pytest.raises(JournalDamaged, match=f"record {number} "):
                    verify(path)
            connection.execute(f"UPDATE facts SET {column} = ? WHERE number = ?", (right, number))
    connection.close()
    assert verify(path).meta.records == 3


@pytest.mark.no_cover
def test_fault_D4_every_flipped_byte_of_the_file_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    whole = written_journal(path, 30)
    right = path.read_bytes()
    noticed = 0
    for place in range(len(right)):
        if right[place] == 0 and place % 16:  # most of a page is empty
            continue
        wrong = bytearray(right)
        wrong[place] ^= 0xFF
        path.write_bytes(bytes(wrong))
        try:
            assert list(read_journal(path)) == whole, place
        except JournalError:
            noticed += 1
    assert noticed > len(b"".join(encode(fact) for fact in whole))


@pytest.mark.parametrize("junk", [b"", b"\0", b"[1,2,3]\n" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_fault_D4_a_file_that_is_no_journal_is_not_taken_for_a_new_one(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(junk)
    assert damage(path)


def test_fault_D4_a_journal_that_is_gone_but_left_its_write_ahead_file_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.with_name("a.journal-wal").write_bytes(b"x")
    with pytest.raises(JournalDamaged, match=r"a\.journal is missing but a\.journal-wal is there"):
        open_journal(path)
    assert not path.exists()


# -- power loss ------------------------------------------------------------------------------------------------


def crashed(path: Path) -> tuple[list[Any], list[tuple[int, int]]]:
    """Leave a journal as a crash does; return its facts, and how long its write-ahead file was after each commit."""
    durable = []

    async def work() -> None:
        with open_journal(path) as journal:
            for number in range(12):
                for leg in range(number % 3 + 1):
                    journal.append(number, "order.intent", f"k{number}-{leg}", book="kalshi:A:yes" * 20)
                await journal.durable()
                durable.append((path.with_name(f"{path.name}-wal").stat().st_size, len(list(journal.facts))))
            for name in (path.name, f"{path.name}-wal"):
                shutil.copy(path.with_name(name), path.with_name(f"crashed-{name}"))

    asyncio.run(work())
    return list(read_journal(path)), durable


@pytest.mark.no_cover
def test_fault_D2_a_torn_tail_is_cut_at_the_last_whole_commit(tmp_path: Path) -> None:
    whole, durable = crashed(tmp_path / "a.journal")
    path = tmp_path / "crashed-a.journal"
    wal = path.with_name(f"{path.name}-wal")
    file, frames = path.read_bytes(), wal.read_bytes()
    assert len(durable) == 12
    edges = {size + step for size, _ in durable for step in (-1, 0, 1, 24, 25)}
    lengths = set()
    for size in sorted({*range(0, len(frames), 509), *edges, 0, 1, 31, 32, 33} & set(range(len(frames) + 1))):
        path.write_bytes(file)
        wal.write_bytes(frames[:size])
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        read = list(read_journal(path))
        kept = max((count for length, count in durable if length <= size), default=0)
        assert read == whole[: len(read)]
        assert len(read) >= kept
        assert wal.read_bytes() == frames[:size]  # looking changes nothing
        lengths.add(len(read))
        machine = tmp_path / f"machine-{size}"  # one that has not seen the journal before
        with open_journal(path, locks=machine) as journal:  # and an engine goes on from there
            journal.append(99, "session.started", "me")
        assert [fact.at for fact in read_journal(path)] == [fact.at for fact in whole[: len(read)]] + [99]
    assert lengths == {0, *(count for _, count in durable)}


def test_fault_D2_rubbish_in_the_tail_is_cut_too(tmp_path: Path) -> None:
    whole, durable = crashed(tmp_path / "a.journal")
    path = tmp_path / "crashed-a.journal"
    wal = path.with_name(f"{path.name}-wal")
    frames = wal.read_bytes()
    (size, count), place = durable[8], durable[8][0] + 700
    wal.write_bytes(frames[:place] + bytes(len(frames) - place))
    assert size < place
    assert list(read_journal(path)) == whole[:count]


@POSIX
def test_fault_D2_what_was_durable_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    code = f"""
import asyncio, sys
from pathlib import Path
from arbkit.journal.store import JournalFile
async def work():
    journal = JournalFile(Path({str(path)!r}), account="me", locks=Path({str(tmp_path / "locks")!r}))
    number = 0
    while True:
        number += 1
        journal.append(number, "order.intent", f"k{{number}}")
        await journal.durable()
        print(number, flush=True)
asyncio.run(work())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        heard = [int(running.stdout.readline()) for _ in range(50)]
        running.send_signal(signal.SIGKILL)
        heard += [int(line) for line in running.stdout.read().splitlines() if line]
    read = [fact.at for fact in read_journal(path)]
    assert read == list(range(1, len(read) + 1))
    assert len(read) >= heard[-1]
    with open_journal(path) as journal:
        assert [fact.at for fact in journal.facts] == read


# -- versions --------------------------------------------------------------------------------------------------


def notes(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT)")


def authors(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE notes ADD COLUMN author TEXT")


def test_fault_D6_an_older_journal_is_copied_and_led_to_the_newest_version(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    whole = written_journal(path)
    with open_journal(path, migrations=(notes, authors)) as journal:
        assert list(journal.facts) == whole
        journal.append(9, "session.started", "me")
    assert verify(path, newest=3).meta.version == 3
    copy = tmp_path / "a.journal.v1.backup"
    assert verify(copy).meta.version == 1
    assert list(read_journal(copy)) == whole
    assert os.name != "posix" or copy.stat().st_mode & 0o777 == 0o600
    edit(path, "INSERT INTO notes (text, author) VALUES ('seen', 'me')")
    with open_journal(path, migrations=(notes, authors)) as journal:  # once is enough
        assert len(list(journal.facts)) == 6


def test_fault_D6_a_new_journal_is_of_the_newest_version(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    open_journal(path, migrations=(notes,)).close()
    assert verify(path, newest=2).meta.version == 2
    assert not list(tmp_path.glob("*.backup"))


def test_fault_D6_what_crashed_in_the_older_version_is_taken_along(tmp_path: Path) -> None:
    whole, _ = crashed(tmp_path / "a.journal")
    path = tmp_path / "crashed-a.journal"
    open_journal(path, migrations=(notes,)).close()
    assert list(read_journal(path, newest=2)) == list(read_journal(tmp_path / "crashed-a.journal.v1.backup")) == whole


def fails(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE notes (number INTEGER)")
    connection.execute("CREATE TABLE notes (number INTEGER)")


def loses_a_record(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM facts WHERE number = 2")


def changes_the_account(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET account = 'you'")


@pytest.mark.parametrize("wrong", [fails, loses_a_record, changes_the_account])
def test_fault_D6_a_migration_that_goes_wrong_changes_nothing(
    tmp_path: Path, wrong: Callable[[sqlite3.Connection], None]
) -> None:
    path = tmp_path / "a.journal"
    whole = written_journal(path)
    with pytest.raises(JournalDamaged):
        open_journal(path, migrations=(notes, wrong))
    assert verify(path).meta.version == 1
    assert list(read_journal(path)) == whole
    with open_journal(path) as journal:
        assert list(journal.facts) == whole


def test_fault_D6_a_damaged_journal_is_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    edit(path, "UPDATE facts SET body = '[]' WHERE number = 2")
    before = contents(tmp_path)
    with pytest.raises(JournalDamaged, match="record 2 "):
        open_journal(path, migrations=(notes,))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (2, "use the arbkit that wrote it, or a newer"),
        (0, "no arbkit wrote"),
        (-1, "no arbkit wrote"),
        ("x", "no arbkit"),
    ],
)
def test_fault_D6_a_newer_or_unknown_version_is_refused_with_what_to_do(
    tmp_path: Path, version: object, says: str
) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    edit(path, "UPDATE meta SET version = ?", version)
    assert says in damage(path)
    assert str(version) in damage(path)


def test_a_link_to_a_journal_is_that_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written_journal(path)
    (tmp_path / "link.journal").symlink_to(path)
    with open_journal(tmp_path / "link.journal") as journal:
        assert journal.path == path
        with pytest.raises(JournalError, match="in use"):
            JournalFile(path, account="you", locks=tmp_path / "locks")


def test_fault_P5_a_close_that_is_interrupted_keeps_the_account_and_is_finished_by_the_next(tmp_path: Path) -> None:
    disk = FakeDisk()
    disk.gate.clear()
    journal = open_journal(tmp_path / "j.db", through=lambda _: disk)
    journal.append(1, "engine.alert", "engine", what="a", why="b")
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        journal.close()
    interrupt.join()
    with pytest.raises(JournalError, match="in use by this very process"):
        open_journal(tmp_path / "j.db")
    disk.gate.set()
    journal.close()
    assert len(disk.rows) == 1
    open_journal(tmp_path / "j.db").close()
