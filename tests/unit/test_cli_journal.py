# ruff: noqa: N802
"""The commands around a running engine: they show a journal and never write to it, stop entries, and approve pairs."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from arbkit.cli import app
from arbkit.journal.store import kill_path, read_journal
from arbkit.risk.kill_switch import KillFile
from arbkit.risk.pairs import PairBook, rules_hash
from tests.unit.journal.disks import open_journal

AT = 1_767_838_460_100_000_007
WHEN = "2026-01-08 02:14:20.100000007Z"
KEY = "0x" + "4f" * 32
SCRIPT = Path(sys.executable).with_name("arbkit")


def call(*args: object, typed: str | None = None) -> Result:
    return CliRunner().invoke(
        app, [str(arg) for arg in args], input=typed, catch_exceptions=False, env={"COLUMNS": "200", "TERM": "dumb"}
    )


def said(*args: object, typed: str | None = None) -> list[str]:
    """Return the lines that a command prints when it is done."""
    ended = call(*args, typed=typed)
    assert ended.exit_code == 0, ended.output
    return ended.stdout.splitlines()


def refusal(*args: object, typed: str | None = None) -> str:
    ended = call(*args, typed=typed)
    assert ended.exit_code == 1, ended.output
    assert ended.stderr.startswith("refused: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr.removeprefix("refused: ").strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of a trade with two orders, one of which has a hash for its key, and of what a venue said to it."""
    path = tmp_path / "a.journal"
    with open_journal(path) as journal:
        journal.append(AT, "session.started", "me", mode="paper", version="0.1.0")
        journal.append(AT, "trade.planned", "t-1", strategy="MARKET", caps=(1, 2), basket=("b", None))
        journal.append(AT, "order.intent", "k-1", trade="t-1", leg=0, limit=420_000, post_only=False)
        journal.append(AT, "order.intent", KEY, trade="t-1", leg=1, limit=530_000, post_only=False)
        journal.append(AT, "order.intent", "k-9", trade="t-9", leg=0, limit=1, post_only=False)
        journal.append(AT, "order.status", "k-1", status="rejected", reason='\x1b[2Jno\u202e "api_key": "hush-1"\n')
        journal.append(AT, "fill", KEY, id="f-1", size=5, signature="hush-2")
        journal.append(AT + 1, "trade.done", "t-1", outcome="unwound")
    return path


def damaged(path: Path) -> Path:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE facts SET body = CAST(replace(body, '420000', '430000') AS BLOB) WHERE number = 3")
    connection.close()
    return path


# -- journal ---------------------------------------------------------------------------------------------------


def test_a_whole_journal_is_verified(path: Path) -> None:
    lines = said("journal", "verify", path)
    assert lines[0] == f"{path}: whole"
    assert lines[1:5] == [
        "  records: 8", f"  from: {WHEN}", "  to: 2026-01-08 02:14:20.100000008Z", "  account: me (paper)"
    ]  # fmt: skip
    assert lines[5].endswith(", version 1")
    assert len(lines) == 7


def test_an_empty_journal_is_whole(tmp_path: Path) -> None:
    open_journal(tmp_path / "a.journal").close()
    assert "  records: 0" in said("journal", "verify", tmp_path / "a.journal")


def test_fault_D7_a_journal_that_others_can_read_is_told_when_it_is_verified(path: Path) -> None:
    path.chmod(0o644)
    if path.stat().st_mode & 0o777 != 0o644:
        pytest.skip("mode bits are those of POSIX")
    assert said("journal", "verify", path)[-1].startswith("  exposed: ")


def test_fault_D4_a_damaged_journal_is_refused_and_what_is_before_the_damage_shown(path: Path) -> None:
    damaged(path)
    for command in (("verify", path), ("export", path, path.with_name("out.csv"))):
        assert refusal("journal", *command) == f"{path}: record 3 is not what was written: its hash does not follow"
    assert not path.with_name("out.csv").exists()
    for last in ((), ("--last", 9)):
        ended = call("journal", "show", path, *last)
        assert ended.exit_code == 1
        assert "record 3 " in ended.stderr
        assert [line.split()[2] for line in ended.stdout.splitlines()] == ["session.started", "trade.planned"]
    assert "limit=430000" in said("journal", "show", path, "--unchecked")[2]
    assert said("journal", "export", path, path.with_name("out.csv"), "--unchecked")[0].startswith("8 facts")


def test_the_timeline_is_readable_and_steers_no_terminal(path: Path) -> None:
    lines = said("journal", "show", path)
    assert lines[0] == f'{WHEN}  session.started    me  mode="paper" version="0.1.0"'
    assert lines[1] == f'{WHEN}  trade.planned      t-1  basket=["b", null] caps=[1, 2] strategy="MARKET"'
    assert len(lines) == 8
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert "\\u001b[2Jno\\u202e" in lines[5]


def test_fault_U6_what_looks_like_a_key_is_masked_on_the_screen_and_in_exports(path: Path) -> None:
    shown = "\n".join(said("journal", "show", path))
    for name in ("out.csv", "out.jsonl"):
        said("journal", "export", path, path.with_name(name))
        shown += path.with_name(name).read_text()
    for secret in ("hush-1", "hush-2", KEY, KEY.removeprefix("0x")):
        assert secret not in shown


def test_a_key_shows_an_order_and_a_trade_shows_its_orders(path: Path) -> None:
    def facts(*options: object) -> list[str]:
        return [line.split()[2] for line in said("journal", "show", path, *options)]

    assert facts("--key", "k-1") == ["order.intent", "order.status"]
    assert facts("--key", "t-1") == [
        "trade.planned", "order.intent", "order.intent", "order.status", "fill", "trade.done"
    ]  # fmt: skip
    masked = said("journal", "show", path, "--fact", "fill")[0].split()[3]
    assert facts("--key", KEY) == facts("--key", masked) == ["order.intent", "fill"]
    assert facts("--key", "nobody") == []


def test_facts_are_chosen_by_kind_and_from_the_end(path: Path) -> None:
    def keys(*options: object) -> list[str]:
        return [line.split()[3] for line in said("journal", "show", path, *options)]

    assert keys("--fact", "order.intent", "--last", 1) == ["k-9"]
    assert len(keys("--fact", "order")) == 4
    assert keys("--fact", "orde") == []
    assert keys("--last", 2)[-1] == "t-1"
    assert len(keys("--last", 10**30)) == 8


def test_times_that_no_calendar_has_are_shown_all_the_same(tmp_path: Path) -> None:
    with open_journal(tmp_path / "a.journal") as journal:
        journal.append(10**25, "a", "b")
    assert said("journal", "show", tmp_path / "a.journal") == ["10000000000000000000000000 ns  a                  b"]


def test_an_export_says_what_the_journal_says(path: Path) -> None:
    table, lines = path.with_name("out.csv"), path.with_name("out.jsonl")
    assert said("journal", "export", path, table) == [f"8 facts: {table}"]
    assert said("journal", "export", path, lines) == [f"8 facts: {lines}"]
    facts = list(read_journal(path))
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert told[2] == {
        "time": WHEN, "at": AT, "fact": "order.intent", "key": "k-1",
        "data": {"leg": 0, "limit": 420_000, "post_only": False, "trade": "t-1"},
    }  # fmt: skip
    assert [(one["at"], one["fact"]) for one in told] == [(fact.at, fact.fact) for fact in facts]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{**row, "at": int(row["at"]), "data": json.loads(row["data"])} for row in rows] == told


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("verify", "nowhere"), "nowhere: there is no journal"),
        (("show", "nowhere"), "nowhere: there is no journal"),
        (("export", "nowhere", "out.csv"), "nowhere: there is no journal"),
    ],
)
def test_a_journal_that_is_not_there_is_refused_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal("journal", *args) == says
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args",
    [("journal", "export", "a", "out.txt"), ("journal", "show"), ("journal", "show", "a", "--last", "0"), ("kill",)],
)
def test_wrong_usage_ends_with_two(args: tuple[str, ...]) -> None:
    assert call(*args).exit_code == 2


def test_looking_writes_nothing_while_an_engine_runs_or_after(path: Path) -> None:
    def kept() -> dict[str, bytes]:
        return {
            one.name: one.read_bytes() for one in path.parent.iterdir() if one.suffix in (".journal", ".journal-wal")
        }

    for running in (True, False):
        journal = open_journal(path) if running else None
        before = kept()
        said("journal", "verify", path)
        said("journal", "show", path)
        assert kept() == before
        if journal is not None:
            journal.close()


def test_a_journal_that_is_shorter_than_what_was_written_here_does_not_pass_for_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(path.parent))
    own = path.with_name("own.journal")
    with open_journal(own, locks=None) as journal:
        journal.append(AT, "session.started", "me")
        asyncio.run(journal.durable())
        own.with_name("copy").write_bytes(own.read_bytes())
    assert "  records: 1" in said("journal", "verify", own)
    told = refusal("journal", "verify", own.with_name("copy"))
    assert "whole as far as it goes, but it ends at record 0, but this machine wrote 1 to it" in told
    assert said("journal", "show", own.with_name("copy")) == []


def test_a_journal_that_is_verified_while_its_engine_writes_lacks_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(path.parent))
    with open_journal(path.with_name("own.journal"), locks=None) as journal:
        for number in range(3):
            journal.append(AT, "engine.alert", "engine")
            asyncio.run(journal.durable())
            assert f"  records: {number + 1}" in said("journal", "verify", journal.path)


def test_what_is_no_journal_is_called_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    for name, says in ((".", "it is a folder, not a journal"), ("empty", "it is an empty file, not a journal")):
        for command in ("verify", "show"):
            assert says in refusal("journal", command, name)


def test_a_choice_that_matches_nothing_says_so_beside_the_output(path: Path) -> None:
    for options in (("--key", "nobody"), ("--fact", "order.snet"), ("--fact", "fill", "--key", "t-9", "--last", 1)):
        ended = call("journal", "show", path, *options)
        assert (ended.exit_code, ended.stdout) == (0, "")
        assert ended.stderr == "no fact there is of that key or kind\n"
    open_journal(path.with_name("b.journal")).close()
    ended = call("journal", "show", path.with_name("b.journal"))
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.parametrize("options", [(), ("--last", "400")])
def test_a_listener_that_has_heard_enough_is_no_error(path: Path, options: tuple[str, ...]) -> None:
    with open_journal(path) as journal:
        for _ in range(400):
            journal.append(AT, "engine.alert", "engine", what="w" * 1000)  # more than a pipe holds
    with subprocess.Popen(
        [SCRIPT, "journal", "show", path, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        shown.stdout.readline()
        shown.stdout.close()
        assert shown.stderr.read() == b""
        assert shown.wait() == 0


def test_no_journal_is_exported_onto_a_journal_or_another_database(path: Path) -> None:
    onto = path.with_name("a.jsonl")
    path.rename(onto)
    other = path.with_name("b.csv")
    other.write_bytes(onto.read_bytes())
    for out in (onto, other):
        before = out.read_bytes()
        assert "is a journal, or another database, and nothing was exported" in refusal("journal", "export", onto, out)
        assert out.read_bytes() == before
    other.write_text("an older export")
    said("journal", "export", onto, other)


# -- kill ------------------------------------------------------------------------------------------------------


def test_killing_puts_the_file_beside_the_journal_and_the_word_releases_it(path: Path) -> None:
    switch = KillFile(kill_path(path))
    assert said("kill", "prices look wrong", "--journal", path)[0] == "killed: prices look wrong"
    assert (path.parent / "a.journal.kill").exists()
    assert switch.engaged() == "prices look wrong"
    assert said("kill", "again", "--journal", path)[:2] == ["killed: prices look wrong", "  and: again"]
    released = said("kill", "--release", "--journal", path, typed="release\n")
    assert released[:2] == ["killed: prices look wrong", "  and: again"]
    assert released[-1].endswith("released")
    assert switch.engaged() == ""
    assert said("kill", "--release", "--journal", path) == ["not killed: there is nothing to release"]


@pytest.mark.parametrize("typed", ["yes\n", "\n\nno\n"])
def test_without_the_word_nothing_is_released(path: Path, typed: str) -> None:
    said("kill", "--journal", path)
    assert "nothing was released" in refusal("kill", "--release", "--journal", path, typed=typed)
    assert KillFile(kill_path(path)).engaged() == "by hand"


def test_an_answer_that_never_comes_releases_nothing(path: Path) -> None:
    said("kill", "--journal", path)
    done = subprocess.run(
        [SCRIPT, "kill", "--release", "--journal", path], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert KillFile(kill_path(path)).engaged()


def test_a_reason_may_be_several_words(path: Path) -> None:
    assert said("kill", "venue", "looks", "wrong", "--journal", path)[0] == "killed: venue looks wrong"
    assert said("kill", "--journal", path, "both", "of", "them")[:2] == [
        "killed: venue looks wrong",
        "  and: both of them",
    ]


def test_a_kill_while_another_person_is_asked_for_the_word_is_not_released_with_the_first(path: Path) -> None:
    said("kill", "a test", "--journal", path)
    with subprocess.Popen(
        [SCRIPT, "kill", "--release", "over", "--journal", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as releasing:  # fmt: skip
        assert releasing.stdout is not None
        assert releasing.stdout.readline() == b"killed: a test\n"
        said("kill", "the venue was broken into", "--journal", path)
        _, errors = releasing.communicate(b"release\n")
        assert releasing.returncode == 1
        assert b"was thrown again meanwhile, and nothing was released" in errors
    assert KillFile(kill_path(path)).reasons() == ("a test", "the venue was broken into")


def test_a_reason_that_cannot_be_added_is_refused_although_it_is_killed(path: Path) -> None:
    kill_path(path).write_text('{"reason": "' + "x" * 65_500 + '"}')
    told = refusal("kill", "again", "y" * 100, "--journal", path)
    assert "it was killed before (xxx" in told
    assert "a release under way will not heed it" in told


@pytest.mark.parametrize("release", [(), ("--release",)])
@pytest.mark.parametrize("ending", ["-wal", ".lock", ".ballast"])
def test_the_name_of_a_neighbour_is_not_taken_for_a_stop_and_the_right_one_is_said(
    path: Path, ending: str, release: tuple[str, ...]
) -> None:
    with open_journal(path) as journal:
        asyncio.run(journal.durable())
        told = refusal("kill", "--journal", path.with_name(f"a.journal{ending}"), *release)
        assert "name the journal itself, a.journal, so no engine was stopped or released" in told
        assert "name the journal itself, a.journal," in refusal("kill", "--journal", path.parent, *release)
    assert not list(path.parent.glob("*.kill"))


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"rubbish" * 99)])
def test_an_engine_whose_journal_was_lost_or_damaged_can_still_be_stopped(
    path: Path, lost: Callable[[Path], object]
) -> None:
    with open_journal(path):
        lost(path)
        assert said("kill", "--journal", path)[0] == "killed: by hand"
        assert said("kill", "--release", "--journal", path, typed="release\n")[-1].endswith("released")
    assert "so no engine was stopped or released" in refusal("kill", "--journal", path)


@pytest.mark.parametrize("release", [(), ("--release",)])
def test_a_slip_of_the_pen_is_not_taken_for_a_stop(tmp_path: Path, release: tuple[str, ...]) -> None:
    assert "no engine was stopped or released" in refusal("kill", "--journal", tmp_path / "b.journal", *release)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_journal_stops_its_engine(path: Path) -> None:
    (path.parent / "link").symlink_to(path)
    said("kill", "--journal", path.parent / "link")
    with open_journal(path) as journal:
        assert KillFile(kill_path(journal.path)).engaged() == "by hand"


def test_a_blank_reason_stops_all_the_same(path: Path) -> None:
    assert said("kill", " ", "--journal", path)[0] == "killed: by hand"
    assert said("kill", " ", "--release", "--journal", path, typed="release\n")[-1].endswith("released")


# -- pairs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Path, Path]:
    texts = tmp_path / "a.txt", tmp_path / "b.txt"
    texts[0].write_text("Pays 1 if NYK win.", encoding="utf-8")
    texts[1].write_text("Pays 1 if New York win – after overtime.", encoding="utf-8")
    return texts


def approve(file: Path, rules: tuple[Path, Path], *more: object, polarity: str = "same") -> tuple[object, ...]:
    return (
        "pairs", "approve", file, "kalshi:NYK", "polymarket:0x1", "--polarity", polarity, "--rules", *rules,
        "--by", "Ada", "--days", 30, *more,
    )  # fmt: skip


def test_a_pair_is_approved_on_the_text_of_both_rules_and_listed(tmp_path: Path, rules: tuple[Path, Path]) -> None:
    file = tmp_path / "pairs.toml"
    now = time.time_ns()
    assert said(*approve(file, rules))[0].startswith("approved: kalshi:NYK and polymarket:0x1, same, until ")
    (one,) = PairBook.read(file).approvals
    assert (one.a, one.b, one.polarity, one.approved_by) == ("kalshi:NYK", "polymarket:0x1", "same", "Ada")
    assert (one.rules_a, one.rules_b) == tuple(rules_hash(text.read_text(encoding="utf-8")) for text in rules)
    assert one.expires_at - one.approved_at == 30 * 86_400 * 10**9
    assert abs(one.approved_at - now) < 3600 * 10**9
    said(*approve(file, rules, polarity="opposite"))
    lines = said("pairs", "list", file)
    assert lines[:2] == ["1 approved pairs", "  kalshi:NYK  polymarket:0x1  opposite"]
    assert lines[2].startswith("    until ")
    assert "by Ada" in lines[2]


def test_an_approval_is_taken_back_by_name(tmp_path: Path, rules: tuple[Path, Path]) -> None:
    file = tmp_path / "pairs.toml"
    assert "no such file" in refusal("pairs", "revoke", file, "kalshi:NYK", "polymarket:0x1")
    assert list(tmp_path.glob("*.lock")) == []
    said(*approve(file, rules))
    assert "there is no approval of kalshi:NYK with polymarket:0x2" in refusal(
        "pairs", "revoke", file, "kalshi:NYK", "polymarket:0x2"
    )
    assert said("pairs", "revoke", file, "polymarket:0x1", "kalshi:NYK") == ["revoked: polymarket:0x1 and kalshi:NYK"]
    assert said("pairs", "list", file) == ["0 approved pairs"]


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ("kalshi:NYK:yes", "polymarket:0x1", "'kalshi:NYK:yes' is one of its books"),
        ("kalshi:NYK", "polymarket:0x1:no", "'polymarket:0x1:no' is one of its books"),
        ("kalshi:NYK", "kalshi:NYC", "kalshi:NYK and kalshi:NYC are of one venue"),
    ],
)
def test_books_and_markets_of_one_venue_are_not_approved(
    tmp_path: Path, rules: tuple[Path, Path], a: str, b: str, says: str
) -> None:
    file = tmp_path / "pairs.toml"
    words = [{"kalshi:NYK": a, "polymarket:0x1": b}.get(str(word), word) for word in approve(file, rules)]
    assert says in refusal(*words)
    assert not file.exists()


def test_an_approval_that_is_over_says_so(tmp_path: Path, rules: tuple[Path, Path]) -> None:
    file = tmp_path / "pairs.toml"
    said(*approve(file, rules))
    text = file.read_text().splitlines()
    old = {"approved_at": "2020-01-01T00:00:00Z", "expires_at": "2020-02-01T00:00:00Z"}
    file.write_text("\n".join(f"{n} = {old[n]}" if (n := line.split(" ")[0]) in old else line for line in text) + "\n")
    assert said("pairs", "list", file)[2] == "    EXPIRED 2020-02-01 00:00Z, by Ada 2020-01-01 00:00Z"


def test_what_cannot_be_approved_is_refused_and_leaves_the_file_alone(tmp_path: Path, rules: tuple[Path, Path]) -> None:
    file = tmp_path / "pairs.toml"
    assert "no such file" in refusal("pairs", "list", file)
    assert call(*approve(file, rules, polarity="both")).exit_code == 2
    assert "nowhere" in refusal(*approve(file, (rules[0], Path("nowhere"))))
    assert "`approved_by` must name a person" in refusal(*approve(file, rules, "--by", " "))
    for content, says in ((b" \n", "there are no rules in it"), (b"\xff", "not a text in UTF-8")):
        rules[1].write_bytes(content)
        assert says in refusal(*approve(file, rules))
    assert not file.exists()
    file.write_text("[[pear]]\n")
    rules[1].write_text("rules")
    assert "unknown key `pear`" in refusal(*approve(file, rules))
    assert file.read_text() == "[[pear]]\n"
