"""What a journal says against what the venues know, once everything is at rest: nothing doubled, nothing lost.

It shares with the engine the reading of the journal's records and the fold over them, and nothing that trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import JournalDamaged
from arbkit.core.model import OrderStatus, Settlement
from arbkit.integration import replayed_checkpoint
from arbkit.journal.fold import State, fold, named_books
from arbkit.journal.memory import Fact
from arbkit.journal.store import read_journal, verify
from tests.process.engine_process import LIMITS
from tests.process.messages import Truth, WireOrder, the_table

TERMS = ("book", "side", "limit", "size", "tif", "post_only")


@dataclass
class Intent:
    """An order as the journal tells of it, session by session."""

    at: int
    session: int
    trade: str
    leg: int
    purpose: str
    order: WireOrder
    status: str = "intent"
    reason: str = ""
    sends: int = 0
    fills: dict[str, tuple[int, int, int, bool, str]] = field(default_factory=dict)

    @property
    def standing(self) -> int:
        """Shares of fills that were not taken back."""
        return sum(fill[1] for fill in self.fills.values() if fill[4] != "voided")


@dataclass
class Story:
    """A journal, told by orders and trades; `wrong` is what contradicts itself in it."""

    intents: dict[str, Intent] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)  # trade -> the session that planned it
    outcomes: dict[str, str] = field(default_factory=dict)
    sessions: int = 0
    killed: bool = False
    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # halts, blocks and alerts, in words


def story(facts: Iterable[Fact]) -> Story:
    """Read facts in order, by rules of its own."""
    tale = Story()
    for fact in facts:
        data: dict[str, Any] = dict(fact.data)
        match fact.fact:
            case "session.started":
                tale.sessions += 1
            case "trade.planned":
                tale.planned[fact.key] = tale.sessions
            case "trade.done":
                tale.outcomes[fact.key] = data["outcome"]
            case "order.intent":
                if fact.key in tale.intents:
                    tale.wrong.append(f"two intents of {fact.key}")
                order = WireOrder(fact.key, *(data[name] for name in TERMS))
                tale.intents[fact.key] = Intent(
                    fact.at, tale.sessions, data["trade"], data["leg"], data["purpose"], order
                )
            case "kill.engaged":
                tale.killed = True
            case "kill.released":
                tale.killed = False
            case "order.sent":
                if tale.killed and tale.intents[fact.key].purpose == "entry":
                    tale.wrong.append(f"{fact.key} was sent while the kill switch was on record as engaged")
                tale.intents[fact.key].sends += 1
                if tale.intents[fact.key].status == "intent":
                    tale.intents[fact.key].status = "submitted"
            case "order.status":
                tale.intents[fact.key].status = data["status"]
                tale.intents[fact.key].reason = data["reason"]
            case "fill":
                intent = tale.intents[fact.key]
                if data["id"] in intent.fills:
                    tale.wrong.append(f"fill {data['id']} of {fact.key} twice")
                intent.fills[data["id"]] = (data["price"], data["size"], data["fee"], data["maker"], data["settlement"])
                if intent.standing >= intent.order.size:  # the last fill is an order's last word
                    intent.status = "filled"
            case "fill.settled":
                intent = tale.intents[fact.key]
                intent.fills[data["id"]] = (*intent.fills[data["id"]][:4], data["settlement"])
                if intent.status == "filled" and intent.standing < intent.order.size:
                    intent.status = "cancelled"
            case "engine.halted" | "market.blocked" | "venue.paused" | "engine.alert":
                tale.told.append(f"{fact.fact} {fact.key}: {dict(fact.data)}")
    return tale


@dataclass
class Findings:
    """What is wrong, sentence by sentence, and how much was looked at."""

    wrong: list[str] = field(default_factory=list)
    doubled: int = 0
    lost: int = 0
    orders: int = 0
    fills: int = 0
    escalated: int = 0
    told: list[str] = field(default_factory=list)

    def say(self, wrong: str, *, doubled: int = 0, lost: int = 0) -> None:
        self.wrong.append(wrong)
        self.doubled += doubled
        self.lost += lost


def at_death(journal: Path, truth: Mapping[str, Truth]) -> tuple[Findings, list[Fact]]:
    """Check a journal as a killed process left it: the chain holds, and nothing was sent that is not in it (I3)."""
    found = Findings()
    if not journal.exists():
        for key in _at_venues(truth):
            found.say(f"{key} is at a venue, and there is no journal", lost=1)
        return found, []
    verify(journal)
    facts = list(read_journal(journal))
    tale = story(facts)
    found.wrong += tale.wrong
    _written_ahead(found, tale, truth)
    _folded(found, facts)
    return found, facts


def at_rest(
    journal: Path, truth: Mapping[str, Truth], said: Mapping[str, Any], config: ExecutionConfig | None = None
) -> Findings:
    """Compare everything once nothing is open any more; `said` is the last word of the engine that came to rest."""
    found = Findings()
    verify(journal)
    facts = list(read_journal(journal))
    tale = story(facts)
    found.wrong += tale.wrong
    found.told = tale.told
    _written_ahead(found, tale, truth)
    _orders(found, tale, truth)
    _even(found, tale, truth)
    state = _folded(found, facts)
    if state is None:
        return found
    _account(found, state, truth)
    replay = replayed_checkpoint(facts, the_table().books, config, LIMITS)
    if _plain(replay) != said["checkpoint"]:
        found.say(f"the engine had {said['checkpoint']} in memory, and its journal says {_plain(replay)}")
    if said["open"] or said["differences"]:
        found.say(f"still open: {said['open']}, {said['differences']}")
    return found


def _folded(found: Findings, facts: Sequence[Fact]) -> State | None:
    """Return the state after these facts; a journal that its own engine wrote must have one."""
    try:
        return fold(facts, named_books(the_table().books))
    except JournalDamaged as damage:
        found.say(f"no engine can start on it: {damage}")
        return None


def _at_venues(truth: Mapping[str, Truth]) -> dict[str, tuple[WireOrder, Any]]:
    return {key: pair for one in truth.values() for key, pair in one.orders.items()}


def _written_ahead(found: Findings, tale: Story, truth: Mapping[str, Truth]) -> None:
    """Every order at a venue has one intent, on the same terms, and no key stands for two orders."""
    for one in truth.values():
        for conflict in one.conflicts:
            found.say(f"{one.venue} was sent two orders of one key: {conflict}", doubled=1)
        for key, (order, _) in one.orders.items():
            intent = tale.intents.get(key)
            if intent is None:
                found.say(f"{key} is at {one.venue} and not in the journal", lost=1)
            elif intent.order != order:
                found.say(f"{key} was sent as {order} and intended as {intent.order}", doubled=1)


def _orders(found: Findings, tale: Story, truth: Mapping[str, Truth]) -> None:
    """Every intent is final, and has the venue's fills, each once; or it is final as one that never was."""
    there = _at_venues(truth)
    found.orders = len(there)
    for key, intent in tale.intents.items():
        if OrderStatus(intent.status) not in FINAL:
            found.say(f"{key} is {intent.status} in the journal", lost=1)
        if key not in there:
            if intent.status != "rejected" or intent.fills:
                found.say(f"{key} is {intent.status} in the journal, and its venue never saw it", lost=1)
            continue
        _, report = there[key]
        if report.status in ("open", "partial"):
            found.say(f"{key} is still {report.status} at its venue", lost=1)
        if (intent.status == "rejected") != (report.status == "rejected"):
            found.say(f"{key} is {intent.status} in the journal and {report.status} at its venue", lost=1)
        fills = {fill.id: (fill.price, fill.size, fill.fee, fill.maker, fill.settlement) for fill in report.fills}
        found.fills += len(fills)
        for name in {**fills, **intent.fills}:
            if fills.get(name) != intent.fills.get(name):
                missing = name not in intent.fills
                found.say(
                    f"fill {name} of {key}: {intent.fills.get(name)} in the journal, {fills.get(name)} at its venue",
                    doubled=0 if missing else 1,
                    lost=1 if missing else 0,
                )
        if intent.purpose == "entry" and intent.session != tale.planned[intent.trade]:
            found.say(f"{key} was entered by another process than the one that planned it", doubled=1)


FINAL = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


def _even(found: Findings, tale: Story, truth: Mapping[str, Truth]) -> None:
    """By the venues' fills every trade is even, or escalated; and no leg was entered twice."""
    there = _at_venues(truth)
    held: dict[str, dict[int, int]] = {trade: {0: 0, 1: 0} for trade in tale.planned}
    for key, intent in tale.intents.items():
        if key in there:
            order, report = there[key]
            standing = sum(fill.size for fill in report.fills if fill.settlement != Settlement.VOIDED)
            held[intent.trade][intent.leg] += order.side * standing
    for trade, legs in held.items():
        outcome = tale.outcomes.get(trade, "none")
        found.escalated += outcome == "escalated"
        if outcome == "none":
            found.say(f"trade {trade} has no end, and holds {legs}", lost=1)
        elif len(set(legs.values())) > 1 and outcome != "escalated":
            found.say(f"trade {trade} is {outcome} and holds {legs}", lost=1)
        if min(legs.values()) < 0:
            found.say(f"trade {trade} sold more than it held: {legs}")
    entered: dict[tuple[str, int], int] = {}
    for intent in tale.intents.values():
        if intent.purpose == "entry":
            at = (intent.trade, intent.leg)
            entered[at] = entered.get(at, 0) + intent.standing
    sizes = {(intent.trade, intent.leg): intent.order.size for intent in reversed(tale.intents.values())}
    for at, size in entered.items():
        if size > sizes[at]:
            found.say(f"leg {at} was entered with {size}, more than the {sizes[at]} of its first order", doubled=1)


def _account(found: Findings, state: State, truth: Mapping[str, Truth]) -> None:
    """The account of the journal is that of the venues, to the last millionth."""
    for name, one in truth.items():
        if state.ledger.cash.get(name, 0) != one.cash:
            found.say(f"cash at {name} is {one.cash}, and {state.ledger.cash.get(name)} by the journal", lost=1)
        shares = {book: size for book, size in state.ledger.shares.items() if book.startswith(f"{name}:")}
        if shares != one.shares:
            found.say(f"shares at {name} are {one.shares}, and {shares} by the journal", lost=1)


def _plain(value: object) -> Any:
    """Return a value as it looks after it went through JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


PHASES = ("at the start", "before an intent", "between intent and answer", "resting", "in a hedge", "settling", "idle")


def phase_of(facts: Sequence[Fact], known_before: int) -> str:
    """Say where a process was killed, by the journal it left; `known_before` is how many sessions there were before."""
    tale = story(facts)
    if tale.sessions == known_before:
        return "at the start"
    state = fold(facts)
    running = state.interrupted()
    statuses = {state.orders[key].status for found in running for key in found.orders}
    states = {found.state.value for found in running}
    if states & {"hedging", "unwinding"}:
        return "in a hedge"
    if statuses & {OrderStatus.INTENT, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN, OrderStatus.PENDING_CANCEL}:
        return "between intent and answer"
    if statuses & {OrderStatus.OPEN, OrderStatus.PARTIAL}:
        return "resting"
    if any(not found.orders for found in running):
        return "before an intent"
    return "settling" if running else "idle"
