"""Real engines, killed with SIGKILL by their number, at scripted and at random moments: nothing doubled, nothing lost."""
# ruff: noqa: N802 - fault tests carry the id of the fault

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arbkit.journal.memory import Fact
from tests.process.audit import Findings, at_death, at_rest, story
from tests.process.crash_loop import loop
from tests.process.driving import Account, Venues, stock
from tests.process.engine_process import config_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and its like are POSIX")

KILLED = -signal.SIGKILL


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """Five cents of edge on 20 shares, and venues that answer at once."""
    with Venues(tmp_path) as venues:
        stock(venues)
        yield Account(tmp_path, venues)


def killed(account: Account, die: str, *more: str, **settings: Any) -> list[Fact]:
    """Let an engine trade until it dies at a scripted moment; return the facts it left."""
    with account.engine("--strategies", "MARKET", "--die", die, *more, **settings) as engine:
        assert engine.end() == KILLED, engine.errors()
    found, facts = at_death(account.journal, account.venues.settled_truth())
    assert not found.wrong
    return facts


def restarted(account: Account) -> Findings:
    """Let a new engine bring everything to its end, and compare."""
    with account.engine("--until", "quiet") as engine:
        code = engine.end()
        found = at_rest(account.journal, account.venues.settled_truth(), engine.last, config_of())
        assert (code, found.wrong) == (0, []), engine.errors()
    return found


def test_fault_P1_what_was_written_down_and_never_sent_is_found_out_and_not_entered_again(account: Account) -> None:
    facts = killed(account, "after:order.intent:1")
    assert len(story(facts).intents) == 2
    assert account.venues.orders() == {}
    restarted(account)
    tale = story(account.facts())
    assert [intent.status for intent in tale.intents.values()] == ["rejected", "rejected"]
    assert account.venues.orders() == {}


def test_fault_P1_what_was_not_written_down_was_not_sent(account: Account) -> None:
    facts = killed(account, "before:order.intent:1")
    assert story(facts).intents == {}
    assert account.venues.orders() == {}
    restarted(account)


def test_fault_P2_what_was_sent_and_not_answered_is_known_before_anything_new_is_entered(account: Account) -> None:
    facts = killed(account, "sent:submit:2")
    first = list(story(facts).intents)
    assert len(first) == 2
    assert all(not intent.fills for intent in story(facts).intents.values())
    assert set(account.venues.orders()) == set(first)
    stock(account.venues)
    with account.engine("--strategies", "MARKET") as engine:
        while account.venues.orders().keys() == set(first):
            assert engine.heard("result"), engine.errors()
        engine.signal(signal.SIGTERM)
        assert engine.end() == 0
        found = at_rest(account.journal, account.venues.settled_truth(), engine.last, config_of())
    assert not found.wrong
    facts = account.facts()
    entered = next(at for at, fact in enumerate(facts) if fact.fact == "order.intent" and fact.key not in first)
    before = story(facts[:entered])
    assert [before.intents[key].status for key in first] == ["filled", "filled"]
    assert before.outcomes == {before.intents[first[0]].trade: "completed"}


@pytest.mark.parametrize(
    ("die", "refuses"),
    [
        ("answered:submit:1", ""),  # one leg is filled, and the engine does not know it yet
        ('after:"fill":1', "beta"),  # it knows, and that the other leg was refused
        ("after:trade.undo:1", "beta"),  # it has decided to undo
        ("sent:.complete.:1", "beta"),  # an undo order is on its way
        ("sent:.exit.:1", "beta"),
        ("answered:.exit.:1", "beta"),
    ],
)
def test_fault_P3_a_trade_left_lopsided_is_evened_before_anything_new_is_entered(
    account: Account, die: str, refuses: str
) -> None:
    if refuses:
        account.venues.habits(refuses, refuse=1000)
    facts = killed(account, die)
    first = dict(story(facts).intents)
    assert len({intent.trade for intent in first.values()}) == 1
    account.venues.habits()
    stock(account.venues)
    with account.engine("--strategies", "MARKET") as engine:
        engine.until("result")
        engine.signal(signal.SIGTERM)
        assert engine.end() == 0
        found = at_rest(account.journal, account.venues.settled_truth(), engine.last, config_of())
    assert not found.wrong
    assert not found.escalated
    facts = account.facts()
    old = next(iter(first.values())).trade
    entered = next(at for at, fact in enumerate(facts) if fact.fact == "trade.planned" and fact.key != old)
    before = story(facts[:entered])
    assert before.outcomes[old] in ("completed", "unwound")


def test_a_death_right_after_a_trade_leaves_it_as_it_ended(account: Account) -> None:
    with account.engine("--strategies", "MARKET") as engine:
        assert engine.until("result")["outcome"] == "completed"
    found, _ = at_death(account.journal, account.venues.settled_truth())
    assert not found.wrong
    sent = set(account.venues.orders())
    assert not restarted(account).escalated
    assert set(account.venues.orders()) == sent
    assert set(story(account.facts()).outcomes.values()) == {"completed"}


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_doubled_and_nothing_is_lost(tmp_path: Path) -> None:
    tally = loop(5, os.environ.get("ARBKIT_CRASH_SEED", "ci"), tmp_path)
    print("\n".join(tally.lines()))
    assert not tally.wrong, "\n".join(tally.lines())
    assert (tally.doubled, tally.lost) == (0, 0)
    assert sum(tally.kills.values()) >= 5
    assert tally.restarts == 5
