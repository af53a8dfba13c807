"""Hand-made tapes, one per rule: what a resting order gets, when, and why. Cents, shares, milliseconds."""

from __future__ import annotations

import pytest

from arbkit.backtest.matching import Matcher
from arbkit.backtest.queue import NAMES, RULES, check_resting, rule_of
from arbkit.backtest.scenario import QUEUES
from arbkit.backtest.tape_views import by_venue, twins, unknown_books
from arbkit.backtest.venue_books import opened
from arbkit.books import meta as m
from arbkit.core.errors import ConfigError
from arbkit.core.model import Order, Side, TimeInForce
from arbkit.core.units import MICRO, NS_PER_MS
from tests.builders import ASK, BID, START, TapeBuilder, cents, ms, shares

Fills = list[tuple[int, int, int, str]]  # ms, cents, shares, model


def book(*, both: bool = False) -> TapeBuilder:
    """Ten shares bid at 48, five at 47; ten offered at 52."""
    builder = TapeBuilder(both=both).snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)])
    return builder.snapshot(0, [(48, 10), (47, 20)], [(52, 10), (53, 5)], book=1) if both else builder


def rested(
    builder: TapeBuilder,
    queue: str = "risk-averse",
    *,
    at: int = 50,
    side: Side = Side.BUY,
    limit: int = 48,
    size: int = 4,
    outcome: int = 0,
) -> Fills:
    """The fills of one order that arrives at `at` and rests till the tape ends."""
    tape = builder.tape()
    matcher = Matcher(
        by_venue(tape), opened(unknown_books(tape), twins(tape.markets)), rule=RULES[queue], printing={"venue"}
    )
    fills: Fills = []

    def tell(match: object, when: int) -> None:
        assert match is not None
        price, amount, moment, _, model, maker, _ = match  # type: ignore[misc, attr-defined]
        assert maker
        assert moment == when
        fills.append(((moment - START) // NS_PER_MS, price // cents(1), amount // MICRO, model))

    order = Order("mine", tape.markets.books[outcome], side, cents(limit), shares(size), TimeInForce.GTC, True)
    placed = matcher.place(order, ms(at), tell)
    assert placed.status.value == "open", placed
    matcher.settle(ms(10**6))
    return fills


# -- risk-averse: behind everything displayed ----------------------------------------------------------------


def test_trades_take_from_the_front_and_the_rest_of_one_is_ours() -> None:
    assert rested(book().trade(100, 48, 7).trade(2_000, 48, 5)) == [(2_000, 48, 2, "queue:risk-averse")]


def test_a_trade_that_ends_exactly_at_our_place_gives_nothing() -> None:
    assert rested(book().trade(100, 48, 10)) == []


def test_an_order_is_filled_in_parts_and_never_beyond_its_size() -> None:
    fills = rested(book().trade(100, 48, 11).trade(200, 48, 2).trade(300, 48, 9))
    assert fills == [
        (100, 48, 1, "queue:risk-averse"), (200, 48, 2, "queue:risk-averse"), (300, 48, 1, "queue:risk-averse"),
    ]  # fmt: skip


def test_the_exact_size_fills_it_whole() -> None:
    assert rested(book().trade(100, 48, 14)) == [(100, 48, 4, "queue:risk-averse")]


def test_a_cancel_is_taken_from_behind_us_first() -> None:
    """Six join behind us and six leave: nobody ahead went, the ten still stand there."""
    assert rested(book().level(100, BID, 48, 16).level(200, BID, 48, 10).trade(2_000, 48, 10)) == []


def test_a_cancel_ahead_moves_us_up_once_no_more_than_the_new_total_can_be_ahead() -> None:
    """Seven of ten are gone and nobody stood behind: three are ahead."""
    assert rested(book().level(100, BID, 48, 3).trade(2_000, 48, 5)) == [(2_000, 48, 2, "queue:risk-averse")]


def test_new_size_joins_behind_us() -> None:
    assert rested(book().level(100, BID, 48, 50).trade(2_000, 48, 12)) == [(2_000, 48, 2, "queue:risk-averse")]


def test_a_level_that_vanishes_leaves_us_first() -> None:
    assert rested(book().level(100, BID, 48, 0).trade(2_000, 48, 1)) == [(2_000, 48, 1, "queue:risk-averse")]


def test_after_the_level_vanished_who_comes_stands_behind_us() -> None:
    builder = book().level(100, BID, 48, 0).level(500, BID, 48, 30).trade(2_000, 48, 3)
    assert rested(builder) == [(2_000, 48, 3, "queue:risk-averse")]


def test_a_print_before_its_decrease_counts_once() -> None:
    """Six trade, then the level tells of the same six: four are ahead, not none."""
    assert rested(book().trade(100, 48, 6).level(120, BID, 48, 4).trade(2_000, 48, 4)) == []


def test_a_print_after_its_decrease_counts_once() -> None:
    assert rested(book().level(100, BID, 48, 4).trade(120, 48, 6).trade(2_000, 48, 4)) == []


def test_a_print_larger_than_the_decrease_it_explains_moves_us_by_the_rest() -> None:
    """The level fell by six, eight traded: two more than the fall, so two are left ahead of the last five."""
    fills = rested(book().level(100, BID, 48, 4).trade(120, 48, 8).trade(2_000, 48, 5))
    assert fills == [(2_000, 48, 3, "queue:risk-averse")]


def test_a_decrease_that_no_print_explains_in_time_was_a_cancel() -> None:
    fills = rested(book().level(100, BID, 48, 4).trade(1_101, 48, 6))
    assert fills == [(1_101, 48, 2, "queue:risk-averse")]
    assert rested(book().level(100, BID, 48, 4).trade(1_100, 48, 6)) == []


@pytest.mark.parametrize("queue", ["risk-averse", "front"])
def test_cancels_in_a_row_before_we_came_explain_no_more_than_the_last_of_them_could(queue: str) -> None:
    """Ten shares come and go every 0.4 s for half a minute: 80 of them at most may belong to the trade of 1,100."""
    builder = TapeBuilder().snapshot(0, [(48, 1_000)], [(52, 10)])
    for at in range(400, 30_000, 400):
        builder.level(at, BID, 48, 990).level(at + 1, BID, 48, 1_000)
    builder.trade(30_100, 48, 1_100)
    assert rested(builder, queue, at=30_050) == [(30_100, 48, 4, f"queue:{queue}")]


def test_a_fall_is_credit_for_four_seconds_at_most_however_many_follow_it() -> None:
    """Ten shares a second are cancelled: those of 1 s are told of at 5 s for the last time, and go with the fall of 5 s."""

    def served(seconds: int, at: int) -> Fills:
        builder = TapeBuilder().snapshot(0, [(48, 1_000)], [(52, 10)])
        for number in range(1, seconds + 1):
            builder.level(1_000 * number, BID, 48, 1_000 - 10 * number)
        return rested(builder.trade(at + 1, 48, 1_000 - 10 * seconds + 33), at=at)

    assert served(4, 4_999) == []  # 40 shares fell and may all be of the trade, which reaches 33 beyond the queue
    assert served(5, 5_500) == [(5_501, 48, 3, "queue:risk-averse")]  # at 5 s the first two went: 30 are left


def test_an_order_that_arrives_between_a_decrease_and_its_print_is_not_moved_by_the_print() -> None:
    builder = book().level(40, BID, 48, 6).trade(60, 48, 4).trade(2_000, 48, 7)
    assert rested(builder) == [(2_000, 48, 1, "queue:risk-averse")]


def test_a_decrease_explained_before_we_came_gives_us_no_credit() -> None:
    builder = book().level(30, BID, 48, 6).trade(40, 48, 4).trade(60, 48, 7)
    assert rested(builder) == [(60, 48, 1, "queue:risk-averse")]


def test_a_print_on_the_other_outcomes_book_explains_a_decrease_before_we_came() -> None:
    builder = book(both=True).level(30, BID, 48, 6).trade(40, 52, 4, m.BUYER, book=1).trade(60, 48, 7)
    assert rested(builder) == [(60, 48, 1, "queue:risk-averse")]


def test_a_trade_that_lifts_the_other_side_moves_no_bid() -> None:
    assert rested(book().trade(100, 48, 99, m.BUYER)) == []


def test_prints_of_unknown_aggressor_move_no_cautious_queue() -> None:
    assert rested(book().trade(100, 48, 99, m.UNKNOWN_AGGRESSOR)) == []


def test_on_a_lower_bound_nobody_knows_the_queue() -> None:
    """At least ten stand there; trades at the price prove nothing, a trade through it does."""
    builder = TapeBuilder().snapshot(0, [(47, 5)], [(52, 10)]).level(10, BID, 48, 10, lower=True)
    assert rested(builder.trade(100, 48, 500).trade(200, 47, 1)) == [(200, 48, 1, "through")]


def test_when_the_true_size_of_a_lower_bound_is_told_that_is_what_is_ahead() -> None:
    builder = TapeBuilder().snapshot(0, [(47, 5)], [(52, 10)]).level(10, BID, 48, 10, lower=True)
    builder.level(100, BID, 48, 7).trade(500, 48, 9).trade(2_000, 48, 8)
    assert rested(builder) == [(2_000, 48, 1, "queue:risk-averse")]  # the first might have been told by the level


def test_a_gap_gives_nobody_a_better_place() -> None:
    builder = book().gap(100).snapshot(200, [(48, 30)], [(52, 10)]).trade(2_000, 48, 12)
    assert rested(builder) == [(2_000, 48, 2, "queue:risk-averse")]


def test_an_ask_queues_as_a_bid_does() -> None:
    fills = rested(book().trade(100, 52, 12, m.BUYER), side=Side.SELL, limit=52)
    assert fills == [(100, 52, 2, "queue:risk-averse")]


# -- trades beyond our price, and the other side reaching it -------------------------------------------------


@pytest.mark.parametrize("queue", NAMES)
def test_a_trade_strictly_beyond_our_price_fills_up_to_its_size(queue: str) -> None:
    assert rested(book().trade(100, 47, 3), queue) == [(100, 48, 3, "through")]
    assert rested(book().trade(100, 47, 30), queue) == [(100, 48, 4, "through")]
    assert rested(book().trade(100, 47, 3, m.UNKNOWN_AGGRESSOR), queue) == [(100, 48, 3, "through")]


@pytest.mark.parametrize("queue", NAMES)
@pytest.mark.parametrize("price", [48, 47])
def test_the_other_side_at_or_through_our_price_fills_up_to_its_size(queue: str, price: int) -> None:
    assert rested(book().level(100, ASK, price, 3), queue) == [(100, 48, 3, "moved through")]


def test_what_has_reached_us_reaches_us_once() -> None:
    """Three are offered at our price and are ours; restated they stay ours, two more are new."""
    builder = book().level(100, ASK, 48, 3).level(200, ASK, 48, 3).level(300, ASK, 48, 5).level(400, ASK, 48, 5)
    assert rested(builder, size=9) == [(100, 48, 3, "moved through"), (300, 48, 2, "moved through")]


def test_somebody_lifting_the_offer_that_reached_us_is_no_second_fill() -> None:
    builder = book().level(100, ASK, 47, 3).trade(200, 47, 3, m.BUYER).level(210, ASK, 47, 0)
    assert rested(builder, size=9) == [(100, 48, 3, "moved through")]


def test_an_unknown_trade_first_accounts_for_the_offer_that_reached_us() -> None:
    builder = book().level(100, ASK, 47, 3).trade(200, 47, 5, m.UNKNOWN_AGGRESSOR)
    assert rested(builder, size=9) == [(100, 48, 3, "moved through"), (200, 48, 2, "through")]


def test_nothing_matches_while_the_market_is_paused() -> None:
    builder = book().status(60, m.PAUSED).level(100, ASK, 48, 3).status(200, m.OPEN).level(300, ASK, 48, 4)
    assert rested(builder, size=9) == [(300, 48, 4, "moved through")]


def test_one_print_serves_two_orders_once_better_price_first() -> None:
    tape = book().trade(100, 46, 5).tape()
    matcher = Matcher(by_venue(tape), opened(unknown_books(tape), twins(tape.markets)), printing={"venue"})
    told: list[tuple[str, int]] = []
    for key, limit in (("low", 47), ("high", 48), ("late", 48)):
        order = Order(key, tape.markets.books[0], Side.BUY, cents(limit), shares(2), TimeInForce.GTC)
        matcher.place(order, ms(50), lambda match, _, key=key: told.append((key, match.size // MICRO)))
    matcher.settle(ms(1_000))
    assert told == [("high", 2), ("late", 2), ("low", 1)]


# -- through and front ---------------------------------------------------------------------------------------


def test_through_wants_more_than_a_trade_at_our_price() -> None:
    assert rested(book().trade(100, 48, 500).trade(200, 47, 1), "through") == [(200, 48, 1, "through")]


def test_front_is_served_by_the_first_trade_at_our_price_whoever_took() -> None:
    assert rested(book().trade(100, 48, 3), "front") == [(100, 48, 3, "queue:front")]
    assert rested(book().trade(100, 48, 3, m.UNKNOWN_AGGRESSOR), "front") == [(100, 48, 3, "queue:front")]
    assert rested(book().trade(100, 48, 3, m.BUYER), "front") == []


@pytest.mark.parametrize("flow", range(20))
def test_cautious_rules_never_give_more_than_the_hopeful_one(flow: int) -> None:
    builder = book()
    for step in range(12):
        at, n = 100 * (step + 1), (flow * 7 + step * 5) % 11
        if (flow + step) % 3:
            builder.trade(at, 48 - (flow * step) % 7 // 6, n + 1, (m.SELLER, m.UNKNOWN_AGGRESSOR)[n % 2])
        else:
            builder.level(at, BID, 48, n)
    got = {queue: sum(size for _, _, size, _ in rested(builder, queue, size=30)) for queue in RULES}
    assert got["through"] <= got["trade-only"] <= got["risk-averse"]
    assert got["risk-averse"] <= min(got["pro-rata"], got["power"])
    assert max(got["pro-rata"], got["power"]) <= got["front"]


# -- mirrored books ------------------------------------------------------------------------------------------


def test_an_order_on_a_mirror_view_rests_in_the_recorded_book() -> None:
    """Selling NO at 52 is bidding 48 for YES."""
    fills = rested(book().trade(100, 48, 12), side=Side.SELL, limit=52, outcome=1)
    assert fills == [(100, 52, 2, "queue:risk-averse")]


def test_with_two_recorded_books_a_trade_on_either_serves_the_pool() -> None:
    """A bid for NO at 48: sellers of NO hit it, and so do buyers of YES who pay 52."""
    here = rested(book(both=True).trade(100, 48, 12, book=1), outcome=1)
    there = rested(book(both=True).trade(100, 52, 12, m.BUYER, book=0), outcome=1)
    assert here == there == [(100, 48, 2, "queue:risk-averse")]


# -- tapes that cannot tell ----------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", [name for name in NAMES if name != "through"])
def test_without_trades_on_the_tape_a_resting_order_needs_the_rule_that_needs_none(queue: str) -> None:
    tape = book().tape()
    matcher = Matcher(by_venue(tape), opened(unknown_books(tape), twins(tape.markets)), rule=RULES[queue])
    order = Order("mine", tape.markets.books[0], Side.BUY, cents(48), shares(1), TimeInForce.GTC)
    with pytest.raises(ConfigError, match=r'scenario\.queue = "through"'):
        matcher.place(order, ms(50), lambda *_: None)
    check_resting(RULES["through"], "venue", ())


def test_a_rule_is_known_by_its_name_and_says_what_it_does() -> None:
    assert {name: rule_of(name) for name in NAMES} == RULES
    assert set(QUEUES) == set(NAMES)
    with pytest.raises(ConfigError, match=r"scenario\.queue"):
        rule_of("last")
