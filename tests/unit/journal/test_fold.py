"""The state that follows from facts: what is open, what is owed, and what cannot have happened."""

from __future__ import annotations

from typing import Any

import pytest

from arbkit.core.errors import JournalDamaged
from arbkit.core.model import MultiLegTrade, OrderStatus, TradeState
from arbkit.core.units import MICRO
from arbkit.journal.fold import State, fold
from arbkit.journal.memory import Fact, MemoryJournal

YES, NO = "alpha:m:yes", "beta:m:no"


def facts(*steps: tuple[str, str, dict[str, Any]]) -> tuple[Fact, ...]:
    journal = MemoryJournal()
    for at, (fact, key, data) in enumerate(steps):
        journal.append(at, fact, key, **data)
    return journal.facts


def planned(trade: str = "t") -> tuple[str, str, dict[str, Any]]:
    return (
        "trade.planned",
        trade,
        {
            "strategy": "MARKET",
            "opportunity": "o",
            "detected_at": 5,
            "size": 10 * MICRO,
            "edge": 7,
            "edge_gross": 8,
            "exact": True,
            "basket": ("b", "cross_venue", "e", MICRO, MICRO, MICRO),
            "legs": ((YES, 4 * MICRO, 400_000, True), (NO, 5 * MICRO, 500_000, False)),
            "caps": (410_000, 510_000),
            "costs": (4_100_000, 5_100_000),
        },
    )


def intent(key: str = "t.0.entry.0", leg: int = 0, book: str = YES, side: int = 1) -> tuple[str, str, dict[str, Any]]:
    data = {
        "trade": "t",
        "leg": leg,
        "book": book,
        "side": side,
        "limit": 410_000,
        "size": 10 * MICRO,
        "tif": "FAK",
        "post_only": False,
        "purpose": "entry" if side == 1 else "exit",
    }
    return ("order.intent", key, data)


def test_an_order_until_a_time_comes_back_with_it_and_all_others_without() -> None:
    what, key, data = intent()
    state = fold(facts(planned(), intent(), (what, "t.0.entry.1", {**data, "tif": "GTD", "expires": 77})))
    assert [(order.tif.value, order.expires) for order in state.orders.values()] == [("FAK", 0), ("GTD", 77)]
    assert key == "t.0.entry.0"


def a_fill(key: str = "t.0.entry.0", name: str = "f", size: int = 10, settlement: str = "confirmed") -> Any:
    data = {
        "id": name,
        "price": 400_000,
        "size": size * MICRO,
        "fee": 1_000,
        "maker": False,
        "venue_at": 3,
        "settlement": settlement,
    }
    return ("fill", key, data)


def status(key: str, word: str) -> tuple[str, str, dict[str, Any]]:
    return ("order.status", key, {"status": word, "reason": ""})


def done(outcome: str = "completed", trade: str = "t") -> tuple[str, str, dict[str, Any]]:
    numbers = dict.fromkeys(("started_at", "entries_done_at", "cash", "fees", "unwind_cost", "pnl"), 1)
    return ("trade.done", trade, {"outcome": outcome, "undo": "", "reason": "", "held": (), **numbers})


SENT = ("order.sent", "t.0.entry.0", {"attempt": 1})


def test_an_interrupted_trade_is_rebuilt_with_its_orders_prices_and_reservation() -> None:
    state = fold(facts(planned(), intent(), SENT, a_fill(size=4)))
    (open_trade,) = state.interrupted()
    trade = state.trade("t")
    assert open_trade.costs == (4_100_000, 5_100_000)
    assert (trade.size, trade.opportunity.basket.floor, trade.legs[0].worst) == (10 * MICRO, MICRO, 400_000)
    assert [leg.exact for leg in trade.legs] == [True, False]
    assert trade.legs[0].orders[0].status is OrderStatus.PARTIAL
    assert trade.legs[0].held == 4 * MICRO
    assert state.ledger.shares == {YES: 4 * MICRO}
    assert state.ledger.cash == {"alpha": -4 * 400_000 - 1_000}
    assert state.sent_at == {"t.0.entry.0": 2}


def test_an_intent_without_a_send_stays_an_intent() -> None:
    state = fold(facts(planned(), intent()))
    assert [order.status for order in state.orders.values()] == [OrderStatus.INTENT]
    assert state.sent_at == {"t.0.entry.0": 1}


def test_a_closed_trade_is_forgotten_with_its_orders_and_its_money_stays() -> None:
    heard: list[Any] = []
    state = State(on_done=heard.append)
    for fact in facts(planned(), intent(), SENT, a_fill(), done()):
        state.apply(fact)
    assert (state.trades, state.orders, state.homes, state.sent_at) == ({}, {}, {}, {})
    assert state.ledger.shares == {YES: 10 * MICRO}
    assert heard[0].trade.legs[0].filled == 10 * MICRO


def test_an_escalated_trade_stays_until_it_was_seen_to_and_accounted_for_with_its_orders_final() -> None:
    closed: list[str] = []
    late: list[MultiLegTrade] = []
    state = State(on_closed=closed.append, on_late=late.append)
    steps = [planned(), intent(), SENT, status("t.0.entry.0", "unknown"), done("escalated")]
    for fact in facts(*steps, ("trade.acknowledged", "t", {}), status("t.0.entry.0", "cancelled")):
        state.apply(fact)
    assert (list(state.trades), closed) == (["t"], [])
    assert [trade.legs[0].orders[0].status for trade in late] == [OrderStatus.CANCELLED]
    for fact in facts(done("escalated")):
        state.apply(fact)
    assert (state.trades, closed) == ({}, ["t"])


def test_a_void_takes_shares_and_money_back() -> None:
    settled = ("fill.settled", "t.0.entry.0", {"id": "f", "settlement": "voided"})
    state = fold(facts(planned(), intent(), SENT, a_fill(settlement="provisional"), settled))
    assert state.ledger.shares == {}
    assert state.ledger.cash == {"alpha": 0}
    assert state.orders["t.0.entry.0"].status is OrderStatus.CANCELLED


def test_blocks_pauses_halts_and_kills_are_remembered_until_they_are_lifted() -> None:
    steps = [
        ("market.blocked", "alpha:m", {"why": "w"}),
        ("venue.paused", "alpha", {"until": 7, "why": "p"}),
        ("engine.halted", "engine", {"reason": "h"}),
        ("kill.engaged", "engine", {"reason": "k"}),
        ("trade.state", "t", {"state": "running"}),
    ]
    state = fold(facts(planned(), *steps))
    assert (state.blocked, state.paused) == ({"alpha:m": "w"}, {"alpha": (7, "p")})
    assert (state.halted, state.killed) == ("h", "k")
    assert state.trade("t").state is TradeState.RUNNING
    lifted = [
        ("market.claimed", "alpha:m", {"why": "", "orders": ("x",)}),
        ("engine.resumed", "engine", {"reason": ""}),
        ("kill.released", "engine", {"reason": ""}),
    ]
    state = fold(facts(planned(), *steps, *lifted))
    assert (state.blocked, state.halted, state.killed, state.claimed) == ({}, "", "", {"x": "alpha:m"})


def test_replaying_twice_gives_equal_states() -> None:
    all_of = facts(planned(), intent(), SENT, a_fill(size=4))
    assert fold(all_of).snapshot() == fold(all_of).snapshot()


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([("order.sent", "nobody", {"attempt": 1})], "nobody"),
        ([planned(), planned()], "twice"),
        ([planned(), intent(), intent()], "two intents"),
        ([planned(), intent(), SENT, a_fill(), a_fill()], "twice"),
        ([planned(), intent(), SENT, ("fill.settled", "t.0.entry.0", {"id": "f1", "settlement": "voided"})], "'f1'"),
        ([planned(), ("trade.state", "t", {"state": "asleep"})], "asleep"),
        ([("weather.changed", "t", {})], "weather.changed"),
        ([planned(), ("fill", "t.0.entry.0", {})], "fill of t.0.entry.0"),
    ],
)
def test_facts_that_contradict_those_before_them_are_refused_with_their_number(steps: list[Any], says: str) -> None:
    with pytest.raises(JournalDamaged, match=says) as refused:
        fold(facts(*steps))
    assert f"record {len(steps)}" in str(refused.value)


def test_a_name_that_is_no_book_is_refused() -> None:
    with pytest.raises(JournalDamaged, match="no name of a book"):
        fold(facts(planned(), intent(book="nowhere")))
