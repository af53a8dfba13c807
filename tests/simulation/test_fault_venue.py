"""What venues do to orders and answers, one fault alone at a time: the required behaviour, over many seeds."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import pytest

from arbkit.core.units import MICRO, NS_PER_S
from tests.simulation.faults.story import Story, seconds, stories

# What dies in the middle of a step leaves steps behind that nobody takes.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

UNDO = ("complete", "trim", "exit")


def hedges_only_from_evidence(story: Story) -> None:
    """No undo order was decided on while an order of its trade had no last word."""
    status: dict[str, str] = {}
    of: dict[str, list[str]] = {}
    size: dict[str, int] = {}
    filled: dict[str, int] = {}
    for fact in story.facts:
        if fact.fact == "order.intent":
            trade, key = str(fact.get("trade")), fact.key
            if fact.get("purpose") in UNDO:
                entries = [one for one in of.get(trade, []) if ".entry." in one]
                loose = [one for one in entries if status[one] not in ("filled", "cancelled", "expired", "rejected")]
                assert not loose, f"seed {story.seed}: {key} was decided on while {loose} had no last word"
            of.setdefault(trade, []).append(key)
            status[key], size[key], filled[key] = "intent", int(str(fact.get("size"))), 0
        elif fact.fact == "order.status":
            status[fact.key] = str(fact.get("status"))
        elif fact.fact == "fill" and fact.get("settlement") != "voided":
            filled[fact.key] += int(str(fact.get("size")))
            if filled[fact.key] >= size[fact.key]:
                status[fact.key] = "filled"


def one_order_each(story: Story) -> None:
    """Every send of a key carried the same order, and its venue has one at most."""
    for order in story.orders:
        sent = {
            (r.order.limit, r.order.size, r.order.side, r.order.tif) for r in story.sent("submit", order.key) if r.order
        }
        assert len(sent) <= 1
        assert sum(order.key in exchange.orders for exchange in story.world.exchanges.values()) <= 1


def test_fault_V1_a_lost_order_is_unknown_asked_about_and_sent_again_as_it_was() -> None:
    again = 0
    for story in stories("V1"):
        for key in story.keys_struck():
            assert "unknown" in story.words("order.status", "status", key)
            assert story.sent("status", key)
            again += len(story.sent("submit", key)) > 1
        hedges_only_from_evidence(story)
        one_order_each(story)
    assert again


def test_fault_V2_an_order_whose_answer_was_lost_is_found_and_its_fills_are_adopted() -> None:
    adopted = 0
    for story in stories("V2"):
        for key in story.keys_struck():
            there, known = story.server(key), story.world.shadow.orders[key]
            if there is None:
                continue  # it was refused, and the refusal was lost
            assert "unknown" in story.words("order.status", "status", key)
            assert {fill.id for fill in there.fills} == set(known.fills)
            adopted += bool(known.fills)
        hedges_only_from_evidence(story)
        one_order_each(story)
    assert adopted


def test_fault_V3_not_found_ends_no_order_that_may_still_arrive() -> None:
    late = 0
    for story in stories("V3"):
        for at, key in story.struck:
            there = story.server(key)
            ends = [when for when, status in story.status_at(key) if status == "rejected"]
            if there is not None and there.at == at:
                late += 1
                assert not ends, f"seed {story.seed}: {key} was given up, and arrived"
                assert {fill.id for fill in there.fills} == set(story.world.shadow.orders[key].fills)
                assert not there.rests
        one_order_each(story)
    assert late


def test_fault_V4_a_broken_answer_is_unknown_and_never_a_refusal() -> None:
    for story in stories("V4"):
        first = {key: at for at, key in reversed(story.struck)}
        for key, at in first.items():
            words = [status for when, status in story.status_at(key) if when >= at]
            assert words[:1] == ["unknown"] or not words
            for when, status in story.status_at(key):
                if status == "rejected":  # never placed, and proven so
                    last = story.sent("submit", key)[-1].sent_at
                    assert story.server(key) is None
                    assert seconds(when - last) >= story.world.config.late_arrival_s
        hedges_only_from_evidence(story)


def test_fault_V5_an_answer_that_cannot_be_decided_is_unknown_with_the_reason_on_record() -> None:
    for story in stories("V5"):
        reasons = [reason for key in story.keys_struck() for reason in story.words("order.status", "reason", key)]
        assert any("cannot be decided" in reason for reason in reasons)
        for key in story.keys_struck():
            assert "unknown" in story.words("order.status", "status", key)
            assert story.world.shadow.orders[key].ended
        one_order_each(story)


def test_fault_V7_no_match_told_as_an_error_is_an_order_without_fills() -> None:
    empty = 0
    for story in stories("V7"):
        for key in (order.key for order in story.orders):
            there = story.server(key)
            if (
                there is not None
                and there.status == "canceled"
                and not there.matched
                and there.order.tif.value == "FAK"
            ):
                empty += 1
                assert story.world.shadow.orders[key].status == "cancelled"
                assert len(story.sent("submit", key)) == 1
    assert empty


def test_fault_V8_a_duplicate_is_proof_and_the_first_order_is_adopted() -> None:
    adopted = 0
    for story in stories("V8"):
        for key in story.keys_struck():
            there = story.server(key)
            assert there is not None
            known = story.world.shadow.orders[key]
            assert known.status != "rejected"
            assert {fill.id for fill in there.fills} == set(known.fills)
            adopted += bool(there.fills)
        one_order_each(story)
    assert adopted


def test_fault_V9_entries_stop_for_as_long_as_the_venue_asks_and_what_reduces_goes_on() -> None:
    later = 0
    for story in stories("V9", seeds=20):
        for request in story.sent("submit"):
            reply = request.stands_in
            if reply is None or reply.code != 429 or not reply.retry_after:
                continue
            told_at = request.arrived_at + request.answer_delay_ns
            until = told_at + round(reply.retry_after * NS_PER_S)
            early = [
                other.key
                for other in story.sent("submit")
                if other.venue == request.venue and told_at < other.sent_at < until and ".entry." in other.key
            ]
            assert not early, f"seed {story.seed}: {early} left while the venue had asked for quiet"
            later += 1
    assert later


def test_fault_V10_an_order_that_was_held_up_is_found_later_and_what_is_stale_is_cancelled() -> None:
    for story in stories("V10"):
        for key in story.keys_struck():
            there = story.server(key)
            known = story.world.shadow.orders[key]
            if there is not None:
                assert not there.rests
                assert known.status in ("filled", "cancelled")
                assert {fill.id for fill in there.fills} == set(known.fills)
        one_order_each(story)


def test_fault_V11_access_denied_halts_entries_with_the_cause_and_asks_no_storm() -> None:
    for story in stories("V11"):
        first, last = story.window()
        if not any(start < first for start in story.world.started):
            continue  # it was refused while it began: nothing is entered then
        assert any("denies access" in reason for reason in story.words("engine.halted", "reason"))
        venue = next(fault for fault in story.world.injector.faults if fault.id == "V11").venue
        refused = [r for r in story.world.requests if r.venue == venue and r.stands_in is not None]
        assert len(refused) <= 10 + 6 * seconds(last - first), f"seed {story.seed}: {len(refused)} requests"
        halted = next(fact.at for fact in story.of("engine.halted"))
        resumed = min((fact.at for fact in story.of("engine.resumed")), default=2**62)
        assert not [fact for fact in story.of("trade.planned") if halted < fact.at < resumed]


def test_fault_V12_while_the_matching_engine_restarts_undoing_is_tried_again_or_escalates() -> None:
    tried = 0
    for story in stories("V12", seeds=20, strategy="MARKET"):
        for trade in story.trades:
            undo = [order for order in trade.orders if order.purpose != "entry"]
            tried += any(len(story.sent("submit", order.key)) > 1 for order in undo)
            assert trade.outcome
        hedges_only_from_evidence(story)
    assert tried


def _no_entries_while_paused(fault: str, reason: str) -> int:
    """Hold every entry against the newest pause of its venue; return how many pauses there were."""
    seen = 0
    for story in stories(fault, seeds=15, least=5):
        pauses = story.of("venue.paused")
        seen += sum(reason in str(pause.get("why")) for pause in pauses)
        for request in story.sent("submit"):
            said = [int(str(p.get("until"))) for p in pauses if p.key == request.venue and p.at < request.sent_at]
            if said and ".entry." in request.key:
                assert request.sent_at >= said[-1], f"seed {story.seed}: {request.key}"
    return seen


def test_fault_V13_no_entry_goes_to_a_venue_that_takes_resting_orders_only() -> None:
    assert _no_entries_while_paused("V13", "post_only_mode")


def test_fault_V14_no_entry_goes_to_a_venue_that_takes_only_cancels() -> None:
    assert _no_entries_while_paused("V14", "paused")


def test_fault_V15_a_fill_that_was_faster_than_the_cancel_is_counted() -> None:
    for story in stories("V15"):
        for at, key in story.struck:
            late = [fact for fact in story.of("fill", key) if fact.at >= at]
            assert late, f"seed {story.seed}: the fill of {key} was never counted"
            there = story.server(key)
            assert there is not None
            assert story.world.shadow.orders[key].filled == there.filled


def test_fault_V16_an_unanswered_cancel_stays_pending_until_the_venue_speaks() -> None:
    for story in stories("V16", seeds=8):
        for at, key in story.struck:
            after = [status for when, status in story.status_at(key) if when > at]
            asked = [r for r in (*story.sent("status", key), *story.sent("cancel", key)) if r.sent_at > at]
            assert asked, f"seed {story.seed}: nobody asked about {key} again"
            assert after[-1:] in (["cancelled"], ["filled"], [])
            assert story.world.shadow.orders[key].ended


def test_fault_V17_cancels_that_were_not_done_are_tried_again() -> None:
    for story in stories("V17"):
        for at, key in story.struck:
            again = [r for r in story.sent("cancel", key) if r.sent_at > at]
            there = story.server(key)
            assert there is not None
            assert again or not there.rests
            assert not there.rests


def test_fault_V20_more_or_dearer_than_asked_raises_an_alarm_bars_the_market_and_is_trued_up() -> None:
    for story in stories("V20"):
        barred = [fact.get("why") for fact in story.of("market.blocked")]
        assert any("beyond its limit" in str(why) or "more than" in str(why) for why in barred)
        assert story.of("engine.alert")
        for key in story.keys_struck():
            there = story.server(key)
            assert there is not None
            assert story.world.shadow.orders[key].filled == there.filled


def test_fault_V23_refused_sells_are_tried_a_few_times_and_then_escalate() -> None:
    sold = 0
    closed = ("S4",)  # where one venue closes, the other is where to sell
    for story in stories(
        "V23", seeds=12, also=closed, strategy="MARKET", only=lambda s: any(o.side < 0 for o in s.orders)
    ):
        for trade in story.trades:
            sells = [order for order in trade.orders if order.side < 0]
            refused = [order for order in sells if order.status == "rejected"]
            sold += bool(refused)
            assert len(sells) <= 2 * story.world.config.hedge_timeout_s / story.world.config.hedge_retry_s
            assert trade.outcome
        assert not story.of("account.adjusted"), f"seed {story.seed}: an old balance was taken for the truth"
    assert sold


def test_fault_V24_a_fill_that_fails_at_settlement_reopens_the_trade() -> None:
    for story in stories("V24"):
        voided = [
            fact for fact in story.facts if fact.fact in ("fill", "fill.settled") and fact.get("settlement") == "voided"
        ]
        assert voided
        for fact in voided:
            trade = story.world.shadow.trades[story.world.shadow.orders[fact.key].trade]
            assert trade.outcome
            assert trade.outcome != "completed"
            held = trade.holdings
            assert max(held) - min(held) < trade.lot or trade.outcome == "escalated"


def test_fault_V25_only_the_fills_that_failed_are_voided() -> None:
    both = 0
    for story in stories("V25", only=lambda story: any(len(order.fills) > 1 for order in story.orders)):
        for order in story.orders:
            there = story.server(order.key)
            states = {"failed": "voided"}
            if there is not None:
                assert {i: fill.settlement for i, fill in order.fills.items()} == {
                    fill.id: states.get(fill.state, fill.state) for fill in there.fills
                }
            both += {fill.settlement for fill in order.fills.values()} == {"voided", "confirmed"}
    assert both


def test_fault_V26_what_is_not_settled_is_not_committed_not_sold_and_told_of() -> None:
    told = 0
    for story in stories("V26", resolve_alarm_s=10.0):
        told += any("settled" in str(fact.get("what")) for fact in story.of("engine.alert"))
        for at, key in story.struck:
            name = story.world.shadow.orders[key].trade if key in story.world.shadow.orders else ""
            final = max((fact.at for fact in story.of("fill.settled", key)), default=0)
            for fact in story.of("trade.done", name):
                if fact.get("outcome") in ("completed", "reduced"):
                    assert fact.at >= final > at
    assert told


def test_fault_V27_a_listing_that_repeats_itself_or_never_ends_says_nothing_wrong() -> None:
    for story in stories("V27"):
        assert not story.of("market.blocked")
        assert not story.of("engine.halted")


def test_fault_V28_what_is_not_listed_is_not_taken_for_gone() -> None:
    for story in stories("V28"):
        assert not story.of("account.adjusted")
        for key in story.keys_struck():
            there = story.server(key)
            assert there is not None
            assert story.world.shadow.orders[key].status != "rejected"


def test_fault_V29_fills_told_under_the_other_outcome_are_ours_at_our_price() -> None:
    for story in stories("V29"):
        crossed = [
            o for e in story.world.exchanges.values() for o in e.orders.values() if any(f.crossed for f in o.fills)
        ]
        assert crossed
        for there in crossed:
            known = story.world.shadow.orders[there.key]
            assert {i: fill.price for i, fill in known.fills.items()} == {fill.id: fill.price for fill in there.fills}
            assert all(known.side * (fill.price - known.limit) <= 0 for fill in known.fills.values())
        assert not story.of("market.blocked")


def test_fault_V31_an_order_of_a_refused_version_is_not_made_anew_without_a_word() -> None:
    for story in stories("V31"):
        for key in story.keys_struck():
            order = story.world.shadow.orders[key]
            if order.purpose != "entry" or story.server(key) is not None:
                continue
            assert order.status == "rejected"
            same = [
                one
                for one in story.world.shadow.trades[order.trade].orders
                if one.leg == order.leg and one.purpose == "entry"
            ]
            assert same[-1].key == key or order.tif == "GTC"
        assert story.of("engine.alert")


def test_fault_V32_what_a_person_did_by_hand_bars_its_market_until_it_is_claimed() -> None:
    seen = 0
    for story in stories("V32", reconcile_s=1.0):
        opened = max(fact.at for fact in story.of("account.opened"))
        if story.struck[0][0] <= opened:
            continue  # it was there, or was gone again, before the account was first read
        seen += 1
        said = "not listed" if story.struck[0][1] == "sale" else "EXTERNAL"
        barred = [fact for fact in story.of("market.blocked") if said in str(fact.get("why"))]
        assert barred
        for fact in barred:
            claimed = next(one.at for one in story.of("market.claimed", fact.key) if one.at > fact.at)
            for request in story.sent("submit"):
                assert request.order is not None
                market = request.order.book.name.rpartition(":")[0]
                if market == fact.key and fact.at < request.sent_at < claimed:
                    assert ".entry." not in request.key, f"seed {story.seed}: {request.key}"
        position = [fact for fact in story.of("account.adjusted") if fact.get("shares")]
        assert position or "order" in [what for _, what in story.struck]
    assert seen > 3


def test_fault_S4_a_market_that_closes_between_the_legs_leaves_nothing_unsaid() -> None:
    undone = 0
    for story in stories("S4", seeds=15):
        for trade in story.trades:
            held = trade.holdings
            assert max(held) - min(held) < MICRO or trade.outcome == "escalated"
            undone += trade.outcome in ("unwound", "escalated")
        closed = [book for e in story.world.exchanges.values() for book in e.books.values() if book.closed]
        for book in closed:
            at = story.window()[0] + NS_PER_S
            late = [
                r.key
                for r in story.sent("submit")
                if r.order is not None and r.order.book.market.id == book.market.id and r.venue == book.market.venue
                if r.sent_at > at and ".entry." in r.key
            ]
            assert not late, f"seed {story.seed}: {late} were sent to a market that is closed"
    assert undone
