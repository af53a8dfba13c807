"""What happens to our process, its streams and its clocks, one fault alone at a time: the required behaviour."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import pytest

from arbkit.core.units import NS_PER_S
from tests.simulation.faults.story import Story, seconds, stories
from tests.simulation.faults.wire import Request

# What dies in the middle of a step leaves steps behind that nobody takes.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

ENDED = ("filled", "cancelled", "expired", "rejected")


def boots(story: Story) -> list[int]:
    """Return when processes wrote their first fact, ns."""
    return [fact.at for fact in story.of("session.started")]


def open_at(story: Story, at: int) -> dict[str, str]:
    """Return the status of every order that had no last word on record before `at`, as the facts then had it."""
    status: dict[str, str] = {}
    left: dict[str, int] = {}
    for fact in story.facts:
        if fact.at >= at:
            break
        if fact.fact == "order.intent":
            status[fact.key], left[fact.key] = "intent", int(str(fact.get("size")))
        elif fact.fact == "order.status":
            status[fact.key] = str(fact.get("status"))
        elif fact.fact == "fill" and fact.get("settlement") != "voided":
            left[fact.key] -= int(str(fact.get("size")))
            if left[fact.key] <= 0:
                status[fact.key] = "filled"
    return {key: word for key, word in status.items() if word not in ENDED}


def after_the_crash(story: Story) -> list[tuple[int, int]]:
    """Return (crash, next boot) in ns."""
    return [(at, min(boot for boot in boots(story) if boot >= at)) for at, _ in story.struck if boots(story)[-1] >= at]


def entries(story: Story) -> list[Request]:
    return [request for request in story.sent("submit") if ".entry." in request.key]


def test_fault_P1_an_intent_that_was_never_sent_is_looked_up_and_never_sent_again() -> None:
    proven = 0
    for story in stories("P1"):
        for crash, boot in after_the_crash(story):
            for key in open_at(story, boot):
                assert not [r for r in story.sent("submit", key) if r.sent_at >= boot], f"seed {story.seed}: {key}"
                assert [r for r in story.sent("status", key) if r.sent_at >= boot]
                known = story.world.shadow.orders[key]
                assert known.ended
                if not story.sent("submit", key):
                    ends = [at for at, status in story.status_at(key) if status == "rejected"]
                    assert seconds(ends[-1] - crash) >= story.world.config.late_arrival_s
                    proven += 1
    assert proven


def test_fault_P2_what_was_under_way_at_the_crash_is_unknown_and_resolved_before_anything_new() -> None:
    adopted = 0
    for story in stories("P2"):
        for _, boot in after_the_crash(story):
            loose = open_at(story, boot)
            for key in loose:
                words = [status for at, status in story.status_at(key) if at >= boot]
                assert words[:1] == ["unknown"] or loose[key] == "unknown"
                adopted += bool(story.world.shadow.orders[key].fills)
            planned = min((fact.at for fact in story.of("trade.planned") if fact.at >= boot), default=2**62)
            still = set(open_at(story, planned)) & set(loose)
            assert not still, f"seed {story.seed}: a trade was planned while {still} had no last word"
    assert adopted


def test_fault_P3_a_trade_that_was_cut_short_is_hedged_before_anything_is_entered() -> None:
    hedged = 0
    for story in stories("P3"):
        for crash, boot in after_the_crash(story):
            before = [t for t in story.trades if t.at < crash and (not t.done or t.done >= boot)]
            for trade in before:
                assert trade.outcome
                late = [r.key for r in entries(story) if r.key.startswith(f"{trade.id}.") and r.sent_at >= boot]
                assert not late, f"seed {story.seed}: {late} were entered for a trade of a process that is gone"
                undo = [order.at for order in trade.orders if order.purpose != "entry" and order.at >= boot]
                new = [fact.at for fact in story.of("trade.planned") if fact.at >= boot]
                hedged += bool(undo)
                assert not undo or not new or min(undo) < min(new)
    assert hedged


def test_fault_P4_who_is_asked_to_leave_parks_what_is_open_and_says_what_remains() -> None:
    """That everything open is named, and that the deadline is kept, is looked at inside the run."""
    for story in stories("P4"):
        (at, _), *_ = story.struck
        later = [boot for boot in boots(story) if boot >= at]
        until = min(later, default=2**62)
        assert not [r.key for r in entries(story) if at + NS_PER_S < r.sent_at < until]
        assert not [fact for fact in story.of("trade.planned") if at < fact.at < until]
        resting = [
            order
            for exchange in story.world.exchanges.values()
            for order in exchange.orders.values()
            if order.order.tif.value == "GTC" and order.at < at
        ]
        for order in resting:
            assert not order.rests


def test_fault_P6_a_background_step_that_fails_halts_entries_and_raises_an_alarm() -> None:
    for story in stories("P6", least=8):
        halts = [fact for fact in story.of("engine.halted") if "a bug in a client" in str(fact.get("reason"))]
        if not halts:
            assert len(boots(story)) > 1 or not boots(story), f"seed {story.seed}: it struck while an engine started"
            continue
        resumed = min((fact.at for fact in story.of("engine.resumed") if fact.at >= halts[0].at), default=2**62)
        assert not [fact for fact in story.of("trade.planned") if halts[0].at < fact.at < resumed]


def test_fault_P7_one_leg_that_fails_takes_no_other_legs_outcome_with_it() -> None:
    both = 0
    for story in stories("P7"):
        assert [fact for fact in story.of("engine.halted") if "a bug in a client" in str(fact.get("reason"))]
        for trade in story.trades:
            assert all(order.ended for order in trade.orders)
            legs = {order.leg for order in trade.orders if order.purpose == "entry"}
            both += legs == set(range(len(trade.books)))
    assert both


def test_fault_P8_after_the_loop_was_held_up_books_are_stale_before_anything_is_priced() -> None:
    told = 0
    for story in stories("P8"):
        lag = 1.5 * story.world.config.max_loop_lag_s  # what the watch is sure to notice
        began = [
            (at, seconds(at) + float(what.split()[0])) for at, what in story.struck if float(what.split()[0]) > lag
        ]
        starts = story.world.started
        for at, over in began:
            if not any(0 < start < at - NS_PER_S for start in starts):
                continue  # it was starting: nothing is entered then
            place = next(
                n
                for n, fact in enumerate(story.facts)
                if fact.at >= at and fact.fact == "engine.alert" and "held up" in str(fact.get("why"))
            )
            early = [
                f for f in story.facts[:place] if f.fact in ("trade.planned", "order.intent") and seconds(f.at) >= over
            ]
            assert not early, f"seed {story.seed}: {early[0]}"
            told += 1
    assert told


def test_fault_P9_a_flood_leaves_nothing_behind() -> None:
    for story in stories("P9"):
        process = story.world.process
        assert process is not None
        assert process.engine is not None
        assert len(process.engine._supervisor) <= 4
        assert len(story.of("fill")) == sum(len(order.fills) for order in story.orders)
        assert len(story.facts) < 400


def test_fault_P10_a_cancelled_call_loses_no_order() -> None:
    for story in stories("P10"):
        (at, _), *_ = story.struck
        under_way = [r for r in story.sent("submit") if r.sent_at <= at]
        assert under_way
        for request in under_way:
            assert story.world.shadow.orders[request.key].ended
        for trade in story.trades:
            assert trade.outcome
            if trade.at < at:
                assert not [
                    r.key for r in entries(story) if r.key.startswith(f"{trade.id}.") and r.sent_at > at + NS_PER_S
                ]


def test_fault_K1_setting_the_wall_clock_moves_no_deadline() -> None:
    for story in stories("K1", only=lambda s: any(start < s.window()[0] - NS_PER_S for start in s.world.started)):
        assert [fact for fact in story.of("engine.alert") if "wall clock" in str(fact.get("what"))]
        times = [fact.at for fact in story.facts]
        assert times == sorted(times)
        assert all(trade.outcome for trade in story.trades)


def test_fault_K2_no_entry_goes_to_a_venue_whose_clock_is_not_ours() -> None:
    kept = 0
    for story in stories("K2", reconcile_s=1.0):
        _, last = story.window()
        pauses = [fact for fact in story.of("venue.paused") if "clock differs" in str(fact.get("why"))]
        assert pauses
        kept += len(pauses)
        for request in entries(story):
            assert not (request.venue == pauses[0].key and pauses[0].at < request.sent_at <= last), f"seed {story.seed}"
    assert kept


def test_fault_W7_a_fill_that_no_stream_told_of_is_found_by_asking() -> None:
    found = 0
    for story in stories("W7", strategy="LIMIT"):
        for key in story.keys_struck():
            there = story.server(key)
            assert there is not None
            known = story.world.shadow.orders[key]
            assert {fill.id for fill in there.fills} == set(known.fills)
            found += bool(known.fills)
    assert found


def test_fault_W8_an_order_event_before_the_answer_makes_no_stranger_of_our_order() -> None:
    for story in stories("W8"):
        assert not story.of("market.blocked")
        for key in story.keys_struck():
            there = story.server(key)
            assert there is not None
            assert {fill.id for fill in there.fills} == set(story.world.shadow.orders[key].fills)


def test_fault_W12_after_lost_heartbeats_what_rested_is_unknown_and_asked_about_before_entries() -> None:
    asked = 0
    for story in stories("W12", seeds=15, strategy="LIMIT"):
        venue = story.struck[0][1]
        cancelled = [o for o in story.world.exchanges[venue].orders.values() if o.order.tif.value == "GTC"]
        for order in cancelled:
            words = story.words("order.status", "status", order.key)
            asked += "unknown" in words
            assert story.world.shadow.orders[order.key].ended
        first, last = story.window()
        assert not [
            r.key for r in entries(story) if r.venue == venue and first + NS_PER_S < r.sent_at < last - NS_PER_S
        ]
    assert asked
