# ruff: noqa: N802 - fault tests carry the fault's id
"""Streamed books under every fault of a websocket, told by hand."""

import logging
from typing import Any

import pytest

from arbkit.books.stream import StreamBooks
from arbkit.books.stream_events import (
    Delta,
    Heartbeat,
    MarketStatus,
    Message,
    Snapshot,
    Status,
    Terms,
    UnknownType,
    Unreadable,
)
from arbkit.books.stream_line import StreamConfig
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.grid import Grid
from arbkit.core.model import Health, Side
from arbkit.core.units import MICRO, NS_PER_MS
from arbkit.fees import rule
from tests.builders import START, a_market, a_table, cents, ms, shares
from tests.stream_rig import ASK, BID, FREE, HandClock, StreamRig, changes, healthy, pairs

OK, SILENT, GAPPED, CROSSED, UNKNOWN, CLOSED = (
    Health.OK,
    Health.SILENT,
    Health.GAPPED,
    Health.CROSSED,
    Health.UNKNOWN,
    Health.CLOSED,
)
KINDS = pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "stamped"])


# -- what a sound stream shows -------------------------------------------------------------------------------


@KINDS
def test_a_snapshot_and_changes_make_the_book_best_first(numbered: bool) -> None:
    rig = healthy(numbered=numbered)
    rig.wait(1)
    rig.next(Delta(0, changes((BID, 41, 7), (ASK, 45, 0), (ASK, 47, 2), (ASK, 46, 1)), rig.clock.ns))
    assert rig.sides() == ([(41, 7), (40, 5)], [(46, 1), (47, 2)])
    assert rig.health() is OK


def test_the_book_that_is_not_streamed_is_a_view_of_the_other() -> None:
    rig = healthy()
    assert rig.sides(1) == ([(55, 5)], [(60, 5)])
    rig.level(BID, 41, 2)
    assert rig.sides(1) == ([(55, 5)], [(59, 2), (60, 5)])
    assert rig.health(1) is OK


def test_a_view_is_a_copy_that_later_messages_do_not_move() -> None:
    rig = healthy()
    views = [rig.books.view(rig.table.books[i]) for i in (0, 1)]
    before = [(list(view.bids()), list(view.asks())) for view in views]
    rig.level(BID, 40, 0)
    rig.level(ASK, 44, 1)
    assert [(list(view.bids()), list(view.asks())) for view in views] == before
    assert views[0].at == START
    assert all(type(level.price) is int and type(level.size) is int for level in views[0].bids())


def test_relative_changes_are_added_to_what_stands() -> None:
    rig = healthy()
    rig.next(Delta(0, changes((BID, 40, -2), (ASK, 44, 3)), relative=True))
    assert rig.sides() == ([(40, 3)], [(44, 3), (45, 5)])
    rig.next(Delta(0, changes((BID, 40, -4)), relative=True))
    assert rig.health() is GAPPED  # less than nothing stands there


def test_a_table_that_cannot_be_streamed_is_refused() -> None:
    def streamed(table: Any, *connections: list[Any]) -> StreamBooks:
        named = {str(n): books for n, books in enumerate(connections)}
        return StreamBooks(table, named, now=START, clock=HandClock(), fees=lambda market, ns: FREE)

    table = a_table(a_market("a"))
    for wrong in ([table.books[1]], [table.books[0], table.books[0]], [a_table(a_market("other")).books[0]]):
        with pytest.raises(DataError, match="no stream in this table, or has one already"):
            streamed(table, wrong)
    bare = a_table(a_market("a", grids=()))
    with pytest.raises(DataError, match="tick"):
        streamed(bare, [bare.books[0]])
    two = a_table(a_market("a"), a_market("b"))
    with pytest.raises(DataError, match="no connection streams venue:b:no"):
        streamed(two, [two.books[0]]).view(two.books[3])
    both = a_table(a_market("a"), both=True)
    with pytest.raises(DataError, match="no connection streams venue:a:no"):
        streamed(both, [both.books[0]]).view(both.books[1])


@pytest.mark.parametrize(
    "wrong",
    [{"max_silence_s": 0}, {"ahead_s": float("nan")}, {"remembered": 2.5}, {"max_levels": True}, {"cross_check_s": 1}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="stream"):
        StreamConfig(**wrong)


# -- W1, W2: the connection ----------------------------------------------------------------------------------


@KINDS
def test_fault_W1_after_a_reconnect_every_book_is_unknown_until_its_snapshot(numbered: bool) -> None:
    rig = healthy(numbered=numbered)
    rig.disconnect()
    assert [rig.health(i) for i in range(4)] == [UNKNOWN] * 4
    assert rig.sides() == ([], [])
    assert rig.wanted() == []  # nobody can be asked
    rig.wait(10)
    rig.level(BID, 41, 5)  # a late frame of the old socket
    rig.connect()
    assert rig.wanted() == [0, 2]
    rig.level(BID, 41, 5)
    assert rig.health() is UNKNOWN
    rig.snapshot(0)
    assert [rig.health(i) for i in range(4)] == [OK, OK, UNKNOWN, UNKNOWN]
    assert rig.wanted() == [2]


def test_fault_W1_a_connection_made_anew_without_a_word_of_loss_is_a_loss_all_the_same() -> None:
    rig = healthy()
    rig.connect()
    assert rig.health() is UNKNOWN
    assert (rig.lost, rig.connected) == (["c"], ["c", "c"])


def test_fault_W1_messages_of_nobodys_connection_are_counted_and_change_nothing() -> None:
    rig = healthy()
    rig.books.apply(Message("d", rig.clock.ns, (Snapshot(0, (), ()),), "s", 3))
    assert rig.health() is OK
    assert rig.refused("a connection nobody opened") == 1


def test_fault_W2_silence_is_counted_from_the_last_message_or_heartbeat_of_the_connection() -> None:
    rig = healthy()
    rig.wait(2_000)
    assert rig.health() is OK
    rig.clock.ns += 1
    assert [rig.health(i) for i in (0, 1, 2)] == [SILENT] * 3
    rig.say(Heartbeat(), subscription="")
    assert rig.health() is OK  # nothing was lost: a heartbeat says so
    rig.wait(1_999)
    rig.say(subscription="")  # so does a message without events
    rig.wait(1_999)
    assert rig.health() is OK


def test_fault_W2_a_clock_that_went_back_proves_nothing() -> None:
    rig = healthy()
    rig.clock.ns -= 1
    assert rig.health() is SILENT


def test_fault_W2_a_book_frozen_on_a_live_connection_is_suspicious_and_at_last_silent() -> None:
    rig = healthy()
    for _ in range(31):
        rig.wait(1_000)
        rig.level(BID, 40, 5, book=2)
    assert [book.index for book in rig.books.suspicious(rig.clock.ns)] == [0]
    assert rig.health(0) is OK  # quiet is not stale
    rig.wait(1)
    book = rig.table.books[0]
    assert rig.books.cross_check(book, pairs([(40, 5)]), pairs([(45, 5)]), asked_at=rig.clock.ns) is True
    assert rig.books.suspicious(rig.clock.ns) == []
    for _ in range(121):  # and nobody compares any more
        rig.wait(1_000)
        rig.say(Heartbeat())
    assert rig.health(0) is SILENT


@KINDS
def test_fault_W2_a_book_that_differs_from_what_the_venue_says_elsewhere_is_gapped(numbered: bool) -> None:
    rig = healthy(numbered=numbered)
    rig.wait(1)
    book = rig.table.books[0]
    assert rig.books.cross_check(book, pairs([(40, 5)]), pairs([(45, 6)]), asked_at=rig.clock.ns) is False
    assert rig.health() is GAPPED
    assert rig.wanted() == [0]
    assert rig.books.cross_check(book, pairs([(40, 5)]), pairs([(45, 5)]), asked_at=rig.clock.ns) is None
    assert rig.health() is GAPPED  # what is not trusted cannot be vouched for


def test_fault_W2_a_comparison_with_a_book_that_moved_meanwhile_says_nothing() -> None:
    rig = healthy(numbered=False)
    asked = rig.clock.ns
    rig.wait(5)
    rig.level(BID, 41, 1)
    book = rig.table.books[0]
    assert rig.books.cross_check(book, pairs([(40, 5)]), pairs([(45, 5)]), asked_at=asked) is None
    older = rig.books.cross_check(book, pairs([(40, 5)]), (), asked_at=rig.clock.ns + 1, venue_at=rig.clock.ns - 1)
    assert older is None
    assert rig.health() is OK


# -- W3, W4, W5: order ---------------------------------------------------------------------------------------


def test_fault_W3_a_sequence_gap_drops_every_book_of_the_subscription() -> None:
    rig = healthy()
    rig.level(BID, 41, 1, book=2, venue=0)
    rig.next(Delta(2, changes((BID, 42, 1))), seq=rig.seq + 2)
    assert [rig.health(i) for i in range(4)] == [GAPPED] * 4
    rig.level(BID, 41, 1)  # deltas in between are ignored
    assert rig.health() is GAPPED
    assert rig.sides() == ([], [])
    assert rig.wanted() == [0, 2]
    rig.snapshot(0, [(39, 1)], [(46, 1)])
    assert rig.sides() == ([(39, 1)], [(46, 1)])
    assert [rig.health(i) for i in (0, 2)] == [OK, GAPPED]
    assert rig.wanted() == [2]


def test_fault_W3_a_gap_in_one_subscription_leaves_the_books_of_another_alone() -> None:
    rig = StreamRig(connect=False)
    rig.connect("a", subscription="1")
    rig.echo("b", subscription="2")
    for book, of in ((0, "1"), (2, "2")):
        rig.say(Snapshot(book, pairs([(40, 5)]), ()), seq=1, subscription=of)
    rig.say(seq=3, subscription="1")
    assert [rig.health(i) for i in (0, 2)] == [GAPPED, OK]


def test_fault_W3_messages_without_books_count_in_the_sequence_too() -> None:
    rig = healthy()
    rig.next(Heartbeat())
    rig.next()
    rig.level(BID, 41, 1)
    assert rig.health() is OK


def test_fault_W3_a_snapshot_that_comes_after_the_gap_in_the_same_message_counts() -> None:
    rig = healthy()
    rig.next(Snapshot(0, pairs([(30, 1)]), ()), seq=rig.seq + 5)
    assert [rig.health(i) for i in (0, 2)] == [OK, GAPPED]
    assert rig.sides() == ([(30, 1)], [])


def test_fault_W3_the_late_message_of_a_gap_does_not_come_back_to_life() -> None:
    rig = healthy()
    rig.seq += 1
    late, rig.seq = rig.seq, rig.seq + 1
    rig.say(Snapshot(0, pairs([(30, 1)]), ()), seq=rig.seq)
    rig.say(Delta(0, changes((BID, 33, 1))), seq=late)
    assert rig.sides() == ([(30, 1)], [])
    assert rig.health() is OK
    assert rig.refused("a number that passed") == 1


def test_fault_W3_a_repeated_number_with_other_content_drops_the_books() -> None:
    rig = healthy()
    rig.level(BID, 41, 1)
    rig.say(Delta(0, changes((BID, 41, 2))), seq=rig.seq)
    assert [rig.health(i) for i in (0, 2)] == [GAPPED, GAPPED]
    rig.say(Snapshot(0, pairs([(41, 2)]), ()), seq=rig.seq - 1)  # the count does not go back, not even for a snapshot
    assert rig.health() is GAPPED


def test_fault_W3_a_number_too_old_to_be_remembered_drops_the_books() -> None:
    rig = healthy(config=StreamConfig(remembered=4))
    for size in range(1, 7):
        rig.level(BID, 41, size)
    rig.say(Delta(0, changes((BID, 41, 5))), seq=rig.seq - 1)
    assert rig.health() is OK
    rig.say(Snapshot(0, pairs([(40, 5)]), pairs([(45, 5)])), seq=1)
    assert rig.health() is GAPPED


def test_fault_W3_numbers_that_are_none_drop_the_books_and_far_jumps_keep_memory_small() -> None:
    rig = healthy(config=StreamConfig(remembered=8))
    rig.say(Heartbeat(), seq="7")  # type: ignore[arg-type]
    assert rig.health() is GAPPED
    for jump in range(1, 50):
        rig.say(Heartbeat(), seq=jump * 1_000)
    subscription = rig.books._lines["c"].subscriptions["s"]
    assert len(subscription.seen) <= 8


@KINDS
def test_fault_W4_a_change_before_the_snapshot_is_discarded(numbered: bool) -> None:
    rig = StreamRig(numbered=numbered)
    rig.level(BID, 41, 9)
    assert rig.health() is UNKNOWN
    rig.snapshot()
    assert rig.sides() == ([(40, 5)], [(45, 5)])
    assert rig.refused("a change without a snapshot") == 1


def test_fault_W4_a_change_older_than_the_snapshot_is_discarded_by_the_venues_stamp() -> None:
    rig = StreamRig(numbered=False)
    rig.wait(100)
    rig.snapshot(venue=50)
    rig.level(BID, 41, 9, venue=49)
    assert rig.sides() == ([(40, 5)], [(45, 5)])
    rig.level(BID, 41, 9, venue=50)
    assert rig.sides()[0] == [(41, 9), (40, 5)]


def test_fault_W4_a_snapshot_older_than_a_change_that_was_heard_is_not_the_last_word() -> None:
    rig = StreamRig(numbered=False)
    rig.wait(100)
    rig.level(BID, 41, 9, venue=60)  # ignored for want of a snapshot, and remembered as a time
    rig.snapshot(venue=59)
    assert rig.health() is UNKNOWN
    rig.snapshot(venue=60)
    assert rig.health() is OK
    rig.snapshot(0, [(10, 1)], [], venue=55)  # a replayed one
    assert rig.sides() == ([(40, 5)], [(45, 5)])
    assert rig.refused("a snapshot that was overtaken") == 2


def test_fault_W4_what_has_neither_number_nor_stamp_has_no_place_and_drops_the_book() -> None:
    rig = healthy(numbered=False)
    rig.say(Delta(0, changes((BID, 41, 9))))
    assert rig.health() is GAPPED
    rig.say(Snapshot(0, pairs([(40, 5)]), ()))
    assert rig.health() is GAPPED
    rig = healthy(numbered=False)
    rig.say(Delta(0, changes((BID, 41, 9)), ms(0), relative=True))
    assert rig.health() is GAPPED


def test_fault_W5_numbered_messages_heard_twice_change_nothing() -> None:
    rig = healthy()
    rig.next(Delta(0, changes((BID, 40, 2)), relative=True))
    rig.say(Delta(0, changes((BID, 40, 2)), relative=True), seq=rig.seq)
    rig.say(Snapshot(0, pairs([(40, 5)]), pairs([(45, 5)])), seq=1)
    assert rig.sides()[0] == [(40, 7)]
    assert rig.health() is OK
    assert rig.refused("a number that passed") == 2


def test_fault_W5_stamped_changes_end_the_same_in_any_order_and_number() -> None:
    told = [
        ((BID, 41, 9), 10),
        ((BID, 41, 0), 20),
        ((BID, 41, 3), 30),
        ((ASK, 44, 1), 15),
        ((ASK, 44, 2), 25),
    ]
    orders = [told, told[::-1], told + told, told[2:] + told[:3] + told[1:]]
    for order in orders:
        rig = StreamRig(numbered=False)
        rig.wait(100)
        rig.snapshot(venue=0)
        for (side, price, size), at in order:
            rig.level(side, price, size, venue=at)
        assert rig.sides() == ([(41, 3), (40, 5)], [(44, 2), (45, 5)])
        assert rig.health() is OK


def test_fault_W5_a_lost_change_is_noticed_when_the_venue_names_another_best_price() -> None:
    rig = healthy(numbered=False)
    rig.wait(1)
    rig.level(BID, 39, 1, best_bid=cents(40), best_ask=cents(45))
    assert rig.health() is OK
    rig.wait(1)
    rig.level(BID, 38, 1, best_bid=cents(41))  # the bid at 41 was lost
    assert rig.health() is GAPPED
    rig.snapshot(0, [(41, 1)], [])
    rig.wait(1)
    rig.level(BID, 41, 0, best_bid=0, best_ask=MICRO)
    assert rig.health() is OK
    assert rig.sides() == ([], [])


def test_fault_W5_a_late_change_does_not_speak_for_what_is_best_now() -> None:
    rig = StreamRig(numbered=False)
    rig.wait(100)
    rig.snapshot(venue=0)
    rig.level(BID, 42, 1, venue=20, best_bid=cents(42))
    rig.level(BID, 41, 1, venue=10, best_bid=cents(41))
    assert rig.health() is OK
    assert rig.sides()[0] == [(42, 1), (41, 1), (40, 5)]


# -- W6: what cannot be read ---------------------------------------------------------------------------------


def test_fault_W6_a_frame_that_cannot_be_read_drops_the_book_it_spoke_of() -> None:
    rig = healthy()
    rig.next(Unreadable("not JSON", book=0))
    assert [rig.health(i) for i in (0, 1, 2)] == [GAPPED, GAPPED, OK]
    assert rig.books.refusals == {("not JSON", "venue:a:yes"): 1}


@KINDS
def test_fault_W6_a_frame_of_which_nothing_is_known_drops_every_book_it_may_have_spoken_of(numbered: bool) -> None:
    rig = healthy(numbered=numbered)
    rig.say(Unreadable("huge"), subscription="")
    assert [rig.health(i) for i in (0, 2)] == [GAPPED, GAPPED]
    assert rig.wanted() == [0, 2]


def test_fault_W6_an_unknown_type_is_counted_logged_once_and_harmless(caplog: pytest.LogCaptureFixture) -> None:
    rig = healthy()
    with caplog.at_level(logging.WARNING, "arbkit"):
        for name in ("new_market", "new_market", "other"):
            rig.next(UnknownType(name))
    assert rig.books.unknown_types == {"new_market": 2, "other": 1}
    assert [record.type for record in caplog.records if record.msg == "stream.unknown_type"] == ["new_market", "other"]
    assert rig.health() is OK


def test_fault_W6_counters_stay_bounded_whatever_is_sent() -> None:
    rig = healthy()
    for n in range(1_200):
        rig.next(UnknownType(f"{n:04}" + "x" * 1_000))
        rig.next(Unreadable(f"reason {n}", book=0))
    assert len(rig.books.unknown_types) == 1_001
    assert len(rig.books.refusals) == 1_001
    assert sum(rig.books.refusals.values()) == sum(rig.books.unknown_types.values()) == 1_200
    assert all(len(name) <= 80 for name in rig.books.unknown_types)


def test_fault_W6_an_event_with_more_levels_than_could_be_meant_drops_the_book() -> None:
    rig = healthy(config=StreamConfig(max_levels=3))
    rig.next(Delta(0, changes(*[(BID, 40, 1)] * 4)))
    assert rig.health() is GAPPED
    rig.next(Snapshot(2, pairs([(1, 1), (2, 1)]), pairs([(60, 1), (61, 1)])))
    assert rig.health(2) is GAPPED
    assert rig.refused("huge") == 2


def test_fault_W6_what_is_no_event_is_counted() -> None:
    rig = healthy()
    rig.next("hello")  # type: ignore[arg-type]
    assert rig.refused("no event") == 1
    assert rig.health() is OK


# -- W9: backlog ---------------------------------------------------------------------------------------------


def test_fault_W9_books_are_as_old_as_the_message_that_is_being_applied() -> None:
    rig = healthy()
    rig.wait(3_000)
    rig.seq += 1
    rig.say(Delta(0, changes((BID, 41, 1))), seq=rig.seq, at=500)
    assert rig.health() is SILENT
    assert rig.books.backlog("c") == 2_500 * NS_PER_MS
    rig.seq += 1
    rig.say(Delta(0, changes((BID, 41, 2))), seq=rig.seq, at=1_000)
    assert rig.health() is OK  # two seconds behind, and no more
    assert rig.sides()[0] == [(41, 2), (40, 5)]


# -- W10: books that cannot be -------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("price", [40, 41], ids=["locked", "crossed"])
def test_fault_W10_a_crossed_or_locked_book_stays_so_until_the_next_snapshot(numbered: bool, price: int) -> None:
    rig = StreamRig(numbered=numbered)
    rig.snapshot(0, [(price, 5)], [(45, 5)])
    rig.level(ASK, 40, 1)
    assert [rig.health(i) for i in (0, 1)] == [CROSSED, CROSSED]
    assert rig.wanted() == [0, 2]
    rig.level(ASK, 40, 0)
    assert rig.health() is CROSSED
    rig.snapshot()
    assert rig.health() is OK


def test_fault_W10_between_two_events_of_one_message_a_book_may_cross() -> None:
    rig = healthy()
    rig.next(Delta(0, changes((BID, 46, 1))), Delta(0, changes((ASK, 45, 0), (ASK, 48, 1))))
    assert rig.health() is OK
    assert rig.sides() == ([(46, 1), (40, 5)], [(48, 1)])


def test_fault_W10_a_snapshot_that_crosses_is_no_book() -> None:
    rig = healthy()
    rig.snapshot(0, [(45, 1)], [(45, 1)])
    assert rig.health() is CROSSED


NAN = float("nan")
BAD_LEVELS = {
    "price of nothing": (0, MICRO),
    "price of a dollar": (MICRO, MICRO),
    "negative price": (-10_000, MICRO),
    "price beyond a dollar": (40_000_000, MICRO),
    "off the grid": (405_000, MICRO),
    "price that is no number": (NAN, MICRO),
    "price as a float": (400_000.0, MICRO),
    "negative size": (400_000, -1),
    "size that is no number": (400_000, NAN),
    "size as a float": (400_000, 1.0),
    "size as truth": (400_000, True),
    "size beyond anything": (400_000, 10**16),
}


@pytest.mark.parametrize("level", BAD_LEVELS.values(), ids=BAD_LEVELS.keys())
def test_fault_W10_a_level_that_cannot_be_is_rejected_and_invalidates_its_book(level: tuple[Any, Any]) -> None:
    rig = healthy()
    rig.next(Delta(0, ((BID, *level),)))
    assert [rig.health(i) for i in (0, 1, 2)] == [GAPPED, GAPPED, OK]
    assert rig.sides() == ([], [])
    rig.next(Snapshot(2, (level,), ()))
    assert rig.health(2) is GAPPED
    rig.next(Snapshot(2, (), (level,)))
    assert rig.health(2) is GAPPED
    rig.snapshot(2)
    assert rig.health(2) is OK


def test_fault_W10_no_side_an_empty_level_and_a_price_told_twice_are_no_snapshot() -> None:
    rig = healthy()
    rig.next(Delta(0, ((0, 400_000, MICRO),)))  # type: ignore[arg-type]
    assert rig.health() is GAPPED
    for bids in ([(40, 0)], [(40, 1), (40, 2)]):
        rig.snapshot(0, bids)
        assert rig.health() is GAPPED


# -- W11: subscriptions and markets --------------------------------------------------------------------------


def test_fault_W11_a_market_that_the_echo_leaves_out_stays_unknown_whatever_comes() -> None:
    rig = StreamRig(connect=False)
    rig.connect("a", "somewhere else")
    rig.snapshot(0)
    rig.snapshot(2)
    assert [rig.health(i) for i in (0, 1, 2, 3)] == [OK, OK, UNKNOWN, UNKNOWN]
    assert rig.wanted() == [2]
    assert rig.refused("an echo of a market nobody asked for") == 1
    assert rig.refused("a book nobody asked for here") == 1
    rig.next(Snapshot(77, (), ()))
    assert rig.refused("a book nobody asked for here") == 2


def test_fault_W11_without_an_echo_nothing_is_heard() -> None:
    rig = StreamRig(connect=False)
    rig.connect("b", subscription="1")
    rig.say(Snapshot(2, pairs([(40, 5)]), ()), seq=1, subscription="2")
    rig.say(Snapshot(2, pairs([(40, 5)]), (), ms(0)), subscription="2")
    assert rig.health(2) is UNKNOWN
    assert rig.refused("a subscription nobody echoed") == 1


def test_fault_W11_a_book_that_moved_to_a_new_subscription_needs_a_snapshot_there() -> None:
    rig = healthy()
    rig.echo("a", subscription="2")
    assert [rig.health(i) for i in (0, 2)] == [UNKNOWN, OK]
    rig.level(BID, 41, 1)  # of the old one
    assert rig.health() is UNKNOWN
    rig.say(Snapshot(0, pairs([(30, 1)]), ()), seq=1, subscription="2")
    assert rig.health() is OK
    rig.echo("a", subscription="2")  # heard twice
    assert rig.health() is OK


@pytest.mark.parametrize("status", [MarketStatus.PAUSED, MarketStatus.CLOSED])
def test_fault_W11_a_market_that_takes_no_orders_is_closed_until_it_does(status: MarketStatus) -> None:
    rig = healthy()
    rig.next(Status(0, status))
    assert [rig.health(i) for i in (0, 1, 2)] == [CLOSED, CLOSED, OK]
    rig.snapshot(0)
    assert rig.health() is CLOSED
    rig.next(Status(0, MarketStatus.OPEN))
    assert rig.health() is OK


def test_fault_W11_a_resolved_market_never_opens_again() -> None:
    rig = healthy()
    rig.next(Status(0, MarketStatus.RESOLVED))
    rig.next(Status(0, MarketStatus.OPEN))
    rig.disconnect()
    rig.connect()
    assert rig.wanted() == [2]  # nobody asks for it any more
    rig.snapshot(0)
    assert [rig.health(i) for i in (0, 1)] == [CLOSED, CLOSED]
    assert rig.books.is_over(rig.table.books[1])


def test_fault_W11_a_gap_where_status_is_told_puts_the_terms_in_doubt() -> None:
    rig = healthy()
    rig.echo(subscription="life")
    rig.say(Status(0, MarketStatus.OPEN), seq=1, subscription="life")
    rig.say(seq=3, subscription="life")
    assert [rig.health(i) for i in (0, 2)] == [UNKNOWN, OK]
    assert [book.index for book in rig.books.doubted()] == [0]
    rig.say(Terms(0), Status(0, MarketStatus.PAUSED), seq=4, subscription="life")
    assert rig.health() is CLOSED


# -- W12: who has to look at orders --------------------------------------------------------------------------


def test_fault_W12_a_lost_connection_and_its_return_are_told_once_each() -> None:
    rig = healthy()
    assert (rig.lost, rig.connected) == ([], ["c"])
    rig.disconnect()
    rig.disconnect()
    assert rig.lost == ["c"]
    rig.connect()
    assert (rig.lost, rig.connected) == (["c"], ["c", "c"])


def test_fault_W12_a_lost_heartbeat_is_told_like_a_lost_connection() -> None:
    rig = healthy()
    rig.wait(2_000)
    rig.books.check()
    assert rig.lost == []
    rig.wait(1)
    rig.books.check()
    rig.books.check()
    assert rig.lost == ["c"]
    assert rig.health() is SILENT
    rig.say(Heartbeat(), at=0)  # an old one, out of a backlog, acknowledges nothing
    assert rig.connected == ["c"]
    rig.say(Heartbeat())
    assert rig.connected == ["c", "c"]
    rig.wait(2_001)
    rig.books.check()
    rig.disconnect()
    assert rig.lost == ["c", "c"]  # the same loss


# -- V21, V30, K3: terms and units ---------------------------------------------------------------------------


def test_fault_V21_another_tick_makes_the_books_unknown_until_the_next_snapshot() -> None:
    rig = healthy(both=True)
    fine = Grid.of_tick("0.001")
    rig.next(Terms(1, grid=fine))
    assert [rig.health(i) for i in range(4)] == [UNKNOWN, UNKNOWN, OK, OK]
    assert rig.books.view(rig.table.books[0]).grid == fine
    rig.next(Snapshot(0, ((405_000, MICRO),), ()))
    assert rig.health() is OK
    rig.next(Terms(0, grid=fine))  # the same once more
    assert [rig.health(i) for i in (0, 1)] == [OK, UNKNOWN]


def test_fault_V21_new_fees_and_a_new_minimum_hold_at_once() -> None:
    rig = healthy()
    dear = rule("kalshi-2026-07-07")
    rig.next(Terms(0, fees=dear, min_size=shares(7)))
    for index in (0, 1):
        book = rig.table.books[index]
        assert rig.books.view(book).fees is dear
        assert rig.books.min_size(book) == shares(7)
    assert rig.health() is OK
    assert rig.books.view(rig.table.books[2]).fees is FREE


def test_fault_V21_what_a_venue_refused_for_its_terms_prices_nothing_until_they_are_read_anew() -> None:
    rig = healthy()
    rig.books.distrust(rig.table.books[1], "tick")
    assert [rig.health(i) for i in (0, 1, 2)] == [UNKNOWN, UNKNOWN, OK]
    assert rig.books.doubted() == {rig.table.books[0]: "tick"}
    rig.snapshot(0)
    assert rig.health() is UNKNOWN
    rig.next(Terms(0))
    assert rig.health() is OK


def test_fault_V21_the_tables_dated_grids_and_fees_change_at_midnight() -> None:
    later = START // (86_400 * 10**9) * 86_400 * 10**9 + 86_400 * 10**9
    coarse, fine = Grid.of_tick("0.01"), Grid.of_tick("0.001")
    table = a_table(a_market("a", grids=((0, coarse), (later, fine))))
    dear = rule("kalshi-2026-07-07")

    def fees(market: Any, ns: int) -> Any:
        if ns >= later + 86_400 * 10**9:
            raise DataError("no rule covers that day")
        return FREE if ns < later else dear

    rig = StreamRig(table=table, fees=fees)
    rig.snapshot()
    assert rig.books.view(table.books[0]).fees is FREE
    rig.clock.ns = later
    rig.next()
    assert rig.health() is UNKNOWN  # another grid
    rig.snapshot()
    view = rig.books.view(table.books[0])
    assert (view.health, view.fees, view.grid) == (OK, dear, fine)
    rig.wait(86_400_000)
    rig.next()
    rig.snapshot()
    assert rig.health() is UNKNOWN
    assert rig.books.doubted() == {table.books[0]: "no rule covers that day"}


def test_fault_V30_amounts_in_a_unit_that_changed_are_refused_not_guessed() -> None:
    rig = healthy()
    rig.next(Delta(0, ((BID, 40, 5),)))  # cents and shares where millionths are promised
    assert rig.health() is GAPPED
    rig.next(Terms(2, min_size=0))
    assert rig.health(2) is UNKNOWN
    assert rig.books.doubted() == {rig.table.books[2]: "terms that cannot be"}


@KINDS
def test_fault_K3_an_event_stamped_in_the_future_or_with_no_time_drops_the_book(numbered: bool) -> None:
    rig = healthy(numbered=numbered)
    rig.level(BID, 41, 1, venue=2_000)
    assert rig.health() is OK
    rig.level(BID, 41, 2, venue=2_001)
    assert rig.health() is GAPPED
    rig.snapshot(2, venue=2_001)
    assert rig.health(2) is GAPPED
    rig.next(Snapshot(0, (), (), "now"))  # type: ignore[arg-type]
    assert rig.health() is GAPPED


# -- P8 ------------------------------------------------------------------------------------------------------


def test_fault_P8_after_a_blocked_loop_every_book_is_silent_until_a_message_of_its_own() -> None:
    rig = healthy()
    rig.wait(1)
    rig.books.mark_stale("the loop was late")
    assert [rig.health(i) for i in (0, 2)] == [SILENT, SILENT]
    rig.say(Heartbeat())
    rig.seq += 1
    rig.say(Delta(0, changes((BID, 41, 1))), seq=rig.seq, at=0)  # it had waited all the while
    assert rig.health() is SILENT
    rig.wait(1)
    rig.level(BID, 41, 2)
    assert [rig.health(i) for i in (0, 2)] == [OK, SILENT]
    assert [book.index for book in rig.books.suspicious(rig.clock.ns)] == [2]
    asked = {"asked_at": rig.clock.ns}
    assert rig.books.cross_check(rig.table.books[2], pairs([(40, 5)]), pairs([(45, 5)]), **asked)
    assert rig.health(2) is OK


# -- own takes -----------------------------------------------------------------------------------------------


def test_what_we_took_is_not_shown_until_the_venues_next_word_on_that_level() -> None:
    rig = healthy()
    rig.level(ASK, 46, 4)
    rig.books.take(rig.table.books[0], Side.BUY, cents(45), shares(2))
    assert rig.sides() == ([(40, 5)], [(45, 3), (46, 4)])
    assert rig.sides(1)[0] == [(55, 3), (54, 4)]
    rig.level(ASK, 46, 5)
    rig.books.take(rig.table.books[0], Side.BUY, cents(45), shares(3))
    assert rig.sides()[1] == [(46, 5)]
    rig.level(ASK, 45, 5)  # and five have come anew
    assert rig.sides()[1] == [(45, 5), (46, 5)]


def test_a_take_through_the_other_outcome_counts_on_the_book_it_is_read_off() -> None:
    rig = healthy()
    rig.books.take(rig.table.books[1], Side.BUY, cents(60), shares(2))
    assert rig.sides(0)[0] == [(40, 3)]
    rig.books.take(rig.table.books[1], Side.SELL, cents(55), shares(1))
    assert rig.sides(0)[1] == [(45, 4)]


def test_where_both_outcomes_are_streamed_a_take_shows_on_both() -> None:
    rig = healthy(both=True)
    rig.books.take(rig.table.books[0], Side.BUY, cents(45), shares(2))
    assert rig.sides(0)[1] == [(45, 3)]
    assert rig.sides(1)[0] == [(55, 3)]


def test_a_word_older_than_our_match_does_not_bring_back_what_we_took() -> None:
    rig = StreamRig(numbered=False)
    rig.wait(100)
    rig.snapshot(venue=10)
    rig.books.take(rig.table.books[0], Side.BUY, cents(45), shares(5), ms(50))
    rig.level(ASK, 45, 6, venue=49)  # on its way before we took
    assert rig.sides()[1] == [(45, 1)]
    rig.snapshot(venue=49)
    assert rig.sides()[1] == []
    rig.level(ASK, 45, 1, venue=51)
    assert rig.sides()[1] == [(45, 1)]


def test_a_take_that_the_venue_has_told_already_is_not_counted_twice() -> None:
    rig = StreamRig(numbered=False)
    rig.wait(100)
    rig.snapshot(venue=10)
    rig.level(ASK, 45, 1, venue=50)
    rig.books.take(rig.table.books[0], Side.BUY, cents(45), shares(4), ms(50))
    assert rig.sides()[1] == [(45, 1)]


def test_takes_survive_the_loss_of_a_book_but_not_its_next_snapshot() -> None:
    rig = healthy()
    rig.books.take(rig.table.books[0], Side.BUY, cents(45), shares(5))
    rig.next(seq=rig.seq + 2)
    assert rig.health() is GAPPED
    rig.snapshot(0)
    assert rig.sides()[1] == [(45, 5)]
