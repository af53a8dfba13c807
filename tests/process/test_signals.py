"""Signals, the kill switch and a second engine, each with real processes: what a person or a system does to an engine."""
# ruff: noqa: N802 - fault tests carry the id of the fault

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from arbkit.core.units import NS_PER_S
from tests.process.audit import at_rest, story
from tests.process.driving import PATIENCE_S, ROOT, Account, Engine, Venues, seen, stock
from tests.process.engine_process import config_of
from tests.rig import YES_A

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX")

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
FLAT, REFUSED, OPEN = 0, 1, 3  # as they are documented: scripts rely on them
NEVER_S = 60.0
LONG = dict.fromkeys(("limit_timeout_s", "hedge_timeout_s", "leg_timeout_s", "reconcile_s"), NEVER_S)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """Five cents of edge on 20 shares, and venues that answer at once."""
    with Venues(tmp_path) as venues:
        stock(venues)
        yield Account(tmp_path, venues)


def assert_at_rest(account: Account, engine: Engine) -> None:
    found = at_rest(account.journal, account.venues.settled_truth(), engine.last, config_of())
    assert not found.wrong


# -- P4: ended by a signal -------------------------------------------------------------------------------------------


@SIGNALS
def test_fault_P4_a_signal_cancels_what_rests_and_leaves_nothing_open(account: Account, number: signal.Signals) -> None:
    with account.engine("--strategies", "LIMIT", **LONG) as engine:
        seen(lambda: account.statuses() == ["open", "open"])
        engine.signal(number)
        assert engine.end() == FLAT, engine.errors()
        assert account.statuses() == ["cancelled", "cancelled"]
        assert_at_rest(account, engine)
    assert list(story(account.facts()).outcomes.values()) == ["missed"]


@SIGNALS
def test_fault_P4_a_signal_while_a_leg_is_missing_lets_the_hedge_be_finished(
    account: Account, number: signal.Signals
) -> None:
    account.venues.habits("beta", slow=1000, slow_ms=(400.0, 400.0))
    with account.engine("--strategies", "MARKET", "--drain-s", "50", **LONG) as engine:
        seen(lambda: len(account.venues.orders()) == 2)
        engine.signal(number)
        assert engine.end() == FLAT, engine.errors()
        assert account.is_even()
        assert len(account.venues.orders()) == 2
        assert_at_rest(account, engine)
    assert list(story(account.facts()).outcomes.values()) == ["completed"]


@SIGNALS
def test_fault_P4_a_resting_leg_that_was_filled_is_hedged_after_the_signal(
    account: Account, number: signal.Signals
) -> None:
    with account.engine("--strategies", "LIMIT", "--drain-s", "50", **LONG) as engine:
        seen(lambda: account.statuses() == ["open", "open"])
        account.venues.hit(YES_A, 38, 7)
        engine.signal(number)
        assert engine.end() == FLAT, engine.errors()
        assert account.is_even()
        assert_at_rest(account, engine)
    assert list(story(account.facts()).outcomes.values()) == ["unwound"]


@SIGNALS
def test_fault_P4_what_cannot_be_hedged_within_the_deadline_is_parked_told_and_resumed(
    account: Account, number: signal.Signals
) -> None:
    stock(account.venues, bids=False)  # nobody buys back
    account.venues.habits("beta", refuse=1000)
    with account.engine("--strategies", "MARKET", "--drain-s", "0.2", **LONG) as engine:
        seen(lambda: "rejected" in account.statuses())
        seen(lambda: "filled" in account.statuses())
        engine.signal(number)
        assert engine.end() == OPEN, engine.errors()
        assert any("20 alpha:m:yes outside whole baskets" in line for line in engine.last["open"])
        assert "20 alpha:m:yes outside whole baskets" in engine.errors()
    before = story(account.facts())  # whole, by its chain
    assert before.outcomes == {}
    account.venues.habits()
    stock(account.venues)
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)
    assert account.is_even()


@SIGNALS
def test_fault_P4_exposure_that_escalated_makes_the_exit_code_say_so(account: Account, number: signal.Signals) -> None:
    stock(account.venues, bids=False)
    account.venues.habits("beta", refuse=1000)
    with account.engine("--strategies", "MARKET", "--no-person") as engine:
        assert engine.until("result")["outcome"] == "escalated"
        engine.signal(number)
        assert engine.end() == OPEN, engine.errors()
        assert any("outside whole baskets" in line for line in engine.last["open"])


def test_fault_P4_fills_that_may_still_be_taken_back_are_open(account: Account) -> None:
    account.venues.habits(settle_ms=(60_000.0, 60_000.0))
    with account.engine("--strategies", "MARKET", **LONG) as engine:
        seen(lambda: account.statuses()[:2] == ["filled", "filled"])
        seen(account.is_even)
        engine.signal(signal.SIGTERM)
        assert engine.end() == OPEN, engine.errors()
        assert all("are provisional" in line for line in engine.last["open"])


def test_fault_P4_nothing_is_entered_after_a_signal(account: Account) -> None:
    account.venues.habits(crowd=True)
    with account.engine() as engine:
        for _ in range(3):
            engine.until("result")
        engine.signal(signal.SIGTERM)
        asked_at = time.time_ns()
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)
    planned = [fact.at for fact in account.facts() if fact.fact == "trade.planned"]
    assert sum(at > asked_at for at in planned) <= 1  # the one that was being checked when the signal came


def test_fault_P4_a_signal_during_the_start_leaves_the_past_for_the_next_start(account: Account) -> None:
    with account.engine("--strategies", "MARKET", "--die", "sent:submit:2", **LONG) as engine:
        assert engine.end() == -signal.SIGKILL
    account.venues.habits(slow=1000, slow_ms=(30_000.0, 30_000.0))  # no venue answers for now
    with account.engine("--drain-s", "0.2", **LONG) as engine:
        seen(lambda: _facts(account, "session.started") == 2)
        engine.signal(signal.SIGTERM)
        assert engine.end() == OPEN, engine.errors()
        assert engine.last["open"]
    account.venues.habits()
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)


def test_fault_U2_an_interrupt_during_execution_loses_nothing_and_shows_what_is_exposed(account: Account) -> None:
    account.venues.habits("beta", lose_answer=1000, slow=1000, slow_ms=(50.0, 100.0))
    with account.engine("--strategies", "MARKET", "--drain-s", "0", **LONG) as engine:
        seen(lambda: len(account.venues.orders()) == 2)
        engine.signal(signal.SIGINT)
        engine.signal(signal.SIGINT)  # impatient people press twice
        code = engine.end()
        shown = engine.last["open"]
        assert (code == OPEN) == bool(shown), engine.errors()
        assert all(line in engine.errors() for line in shown)
    account.venues.habits()
    with account.engine("--until", "quiet") as engine:
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)


# -- P5: two engines ---------------------------------------------------------------------------------------------------


def test_fault_P5_a_second_engine_is_refused_while_one_runs_and_taken_after_it_was_killed(account: Account) -> None:
    with account.engine("--strategies", "LIMIT", **LONG) as first:
        seen(lambda: account.statuses() == ["open", "open"])
        others = {"the same journal": account.journal, "another journal": account.folder / "other.db"}
        for which, journal in others.items():
            with account.engine(journal=journal) as second:
                assert second.end() == REFUSED, which
                assert second.last["event"] == "refused"
                assert f"process {first.pid}" in second.last["why"]
                assert "one engine at a time" in second.last["why"]
        assert first.running
        assert account.statuses() == ["open", "open"]
        first.kill()
        assert _facts(account, "session.started") == 1
    with account.engine("--until", "quiet") as third:
        assert third.end() == FLAT, third.errors()
        assert_at_rest(account, third)
    assert account.statuses() == ["cancelled", "cancelled"]


def test_fault_P5_another_account_is_nobodys_second_engine(account: Account) -> None:
    with account.engine("--strategies", "LIMIT", **LONG) as first:
        first.until("ready")
        with account.engine("--account", "another", "--until", "quiet", journal=account.folder / "other.db") as other:
            assert other.end() == FLAT, other.errors()
        assert first.running


# -- I13: the kill switch, thrown by another process ---------------------------------------------------------------------


def arbkit(*arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from arbkit.cli import app; app()", *arguments]
    return subprocess.run(
        command, cwd=ROOT, input=answer, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def _facts(account: Account, fact: str) -> int:
    return sum(one.fact == fact for one in account.facts())


def _killed(result: dict[str, str]) -> bool:
    return result["outcome"] == "refused" and "kill switch" in result["reason"]


def test_fault_U5_a_kill_by_another_process_stops_entries_within_a_second_and_survives_a_restart(
    account: Account,
) -> None:
    account.venues.habits(crowd=True)
    with account.engine() as engine:
        for _ in range(3):
            engine.until("result")
        assert arbkit("kill", "--journal", str(account.journal), "a person said so").returncode == 0
        thrown_at = json.loads((account.folder / "journal.db.kill").read_text())["at"]
        while not _killed(engine.until("result")):
            pass
        sent = set(account.venues.orders())
        for _ in range(5):
            assert _killed(engine.until("result"))
        assert arbkit("kill", "--journal", str(account.journal), "twice").returncode == 0
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)
    facts = account.facts()
    engaged = [fact for fact in facts if fact.fact == "kill.engaged"]
    assert [fact.get("reason") for fact in engaged] == ["a person said so"]
    assert engaged[0].at - thrown_at < NS_PER_S
    entries = {key for key, intent in story(facts).intents.items() if intent.purpose == "entry"}
    late = [
        fact for fact in facts if fact.fact == "order.sent" and fact.key in entries and fact.at > thrown_at + NS_PER_S
    ]
    assert late == []
    assert {key for key in set(account.venues.orders()) - sent if ".entry." in key} == set()

    entered = set(account.venues.orders())
    with account.engine() as engine:
        for _ in range(3):
            assert _killed(engine.until("result"))
        assert set(account.venues.orders()) == entered
        assert arbkit("kill", "--release", "--journal", str(account.journal), answer="no\n").returncode == 1
        assert _killed(engine.until("result"))
        assert arbkit("kill", "--release", "--journal", str(account.journal), answer="release\n").returncode == 0
        seen(lambda: set(account.venues.orders()) != entered)
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)
    assert _facts(account, "kill.released") == 1


def test_fault_U5_a_kill_cancels_what_rests_and_finishes_what_is_lopsided(account: Account) -> None:
    with account.engine("--strategies", "LIMIT", **LONG) as engine:
        seen(lambda: account.statuses() == ["open", "open"])
        account.venues.hit(YES_A, 38, 7)
        assert arbkit("kill", "--journal", str(account.journal)).returncode == 0
        assert engine.until("result")["outcome"] == "unwound"
        assert account.is_even()
        assert not {"open", "partial"} & set(account.statuses())
        engine.signal(signal.SIGTERM)
        assert engine.end() == FLAT, engine.errors()
        assert_at_rest(account, engine)
