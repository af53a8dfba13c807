"""Taking: what a level still holds, what a venue refuses, one pool per market, and whose row comes first."""

from __future__ import annotations

import pytest

from arbkit.backtest import matching
from arbkit.backtest.matching import Matcher, Placed
from arbkit.backtest.queue import RULES
from arbkit.backtest.tape_views import by_venue, received_later, twins, unknown_books
from arbkit.backtest.venue_books import opened
from arbkit.books import meta as m
from arbkit.core.model import Order, OrderStatus, Side, Size, TimeInForce
from arbkit.core.units import MICRO
from arbkit.history.tape import Clocks, Tape
from tests.builders import ASK, TapeBuilder, a_market, a_table, cents, ms, shares

FAK, FOK, GTC = TimeInForce.FAK, TimeInForce.FOK, TimeInForce.GTC


class Desk:
    """A matcher over a hand-made tape, spoken to in cents and shares."""

    def __init__(self, builder: TapeBuilder, clocks: Clocks = "both", *, hopeful: bool = False) -> None:
        self.tape: Tape = builder.tape(clocks)
        self.matcher = Matcher(
            by_venue(self.tape),
            opened(unknown_books(self.tape), twins(self.tape.markets)),
            rule=RULES["through"],
            hopeful=hopeful,
        )
        self.told: list[tuple[str, int, int]] = []  # key, cents, shares
        self.ended: list[str] = []
        self.orders = 0

    def place(
        self,
        at: int,
        side: Side,
        limit: int,
        size: int,
        tif: TimeInForce = FAK,
        *,
        outcome: int = 0,
        post_only: bool = False,
    ) -> Placed:
        self.orders += 1
        key = f"o{self.orders}"

        def tell(match: matching.Match | None, _: int) -> None:
            if match is None:
                self.ended.append(key)
            else:
                self.told.append((key, match.price // cents(1), match.size // MICRO))

        book = self.tape.markets.books[outcome]
        return self.matcher.place(Order(key, book, side, cents(limit), shares(size), tif, post_only), ms(at), tell)

    def buy(self, at: int, limit: int, size: int, tif: TimeInForce = FAK, **more: int) -> list[tuple[int, int]]:
        return got(self.place(at, Side.BUY, limit, size, tif, **more))  # type: ignore[arg-type]

    def sell(self, at: int, limit: int, size: int, tif: TimeInForce = FAK, **more: int) -> list[tuple[int, int]]:
        return got(self.place(at, Side.SELL, limit, size, tif, **more))  # type: ignore[arg-type]


def got(placed: Placed) -> list[tuple[int, int]]:
    assert all(not match.maker for match in placed.matches)
    return [(match.price // cents(1), match.size // MICRO) for match in placed.matches]


def book(both: bool = False) -> TapeBuilder:
    builder = TapeBuilder(both=both).snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)])
    return builder.snapshot(0, [(48, 10), (47, 20)], [(52, 10), (53, 5)], book=1) if both else builder


# -- taking --------------------------------------------------------------------------------------------------


def test_a_taker_walks_the_book_to_its_limit() -> None:
    desk = Desk(book())
    assert desk.buy(1, 53, 15) == [(52, 10), (53, 5)]
    assert desk.buy(2, 52, 15) == []
    assert desk.sell(3, 48, 30) == [(48, 10)]
    assert desk.sell(4, 40, 30) == [(47, 5)]


def test_fills_name_the_row_that_set_their_level_and_the_model() -> None:
    desk = Desk(book().level(10, ASK, 52, 4).level(11, ASK, 53, 7, lower=True))
    placed = desk.place(20, Side.BUY, 53, 9)
    assert [(x.row, x.model) for x in placed.matches] == [(5, "book walk"), (6, "book walk, lower bound")]
    assert all(x.at == ms(20) and x.level == x.price for x in placed.matches)


def test_a_lower_bound_is_taken_up_to_the_bound() -> None:
    desk = Desk(book().level(10, ASK, 52, 4, lower=True).level(11, ASK, 53, 0))
    assert desk.buy(20, 53, 9) == [(52, 4)]


def test_fill_or_kill_takes_the_whole_or_nothing() -> None:
    desk = Desk(book())
    killed = desk.place(1, Side.BUY, 53, 31, FOK)
    assert (killed.status, killed.matches) == (OrderStatus.CANCELLED, ())
    assert killed.reason == matching.NOT_WHOLE
    assert desk.buy(2, 53, 30, FOK) == [(52, 10), (53, 20)]


def test_fill_and_kill_that_meets_nothing_is_no_error() -> None:
    placed = Desk(book()).place(1, Side.BUY, 51, 1)
    assert (placed.status, placed.reason) == (OrderStatus.CANCELLED, matching.NO_MATCH)


def test_an_order_that_crosses_takes_and_rests_with_the_rest() -> None:
    desk = Desk(book().trade(100, 51, 9))
    placed = desk.place(1, Side.BUY, 52, 15, GTC)
    assert (placed.status, got(placed)) == (OrderStatus.PARTIAL, [(52, 10)])
    desk.matcher.settle(ms(200))
    assert desk.told == [("o1", 52, 5)]


def test_a_post_only_order_that_would_cross_is_refused_and_takes_nothing() -> None:
    desk = Desk(book())
    placed = desk.place(1, Side.BUY, 52, 1, GTC, post_only=True)
    assert (placed.status, placed.reason) == (OrderStatus.REJECTED, matching.WOULD_CROSS)
    assert desk.place(2, Side.BUY, 51, 1, GTC, post_only=True).status is OrderStatus.OPEN
    assert desk.buy(3, 52, 99) == [(52, 10)]
    assert desk.place(4, Side.BUY, 52, 1, GTC, post_only=True).status is OrderStatus.OPEN  # what stood there is ours


# -- consumption ---------------------------------------------------------------------------------------------


def test_what_we_took_is_not_there_a_second_time_and_restating_changes_nothing() -> None:
    desk = Desk(book().level(100, ASK, 52, 10).level(200, ASK, 52, 13))
    assert desk.buy(1, 52, 6) == [(52, 6)]
    assert desk.buy(2, 52, 10) == [(52, 4)]
    assert desk.buy(150, 52, 10) == []
    assert desk.buy(250, 52, 10) == [(52, 3)]


def test_cautious_a_fall_was_somebody_elses_and_ours_stays_taken() -> None:
    """Ten stood, six are ours, the level falls to seven: one is left."""
    desk = Desk(book().level(100, ASK, 52, 7).level(200, ASK, 52, 5))
    assert desk.buy(1, 52, 6) == [(52, 6)]
    assert desk.buy(150, 52, 10) == [(52, 1)]
    assert desk.buy(250, 52, 10) == []


def test_hopeful_a_fall_is_our_own_take_being_shown() -> None:
    """Ten stood, six are ours, the level falls to seven: three of ours are shown, four are left."""
    desk = Desk(book().level(100, ASK, 52, 7), hopeful=True)
    assert desk.buy(1, 52, 6) == [(52, 6)]
    assert desk.buy(150, 52, 10) == [(52, 4)]


def test_a_level_that_vanished_and_came_back_is_new() -> None:
    desk = Desk(book().level(100, ASK, 52, 0).level(200, ASK, 52, 8))
    assert desk.buy(1, 52, 6) == [(52, 6)]
    assert desk.buy(250, 52, 10) == [(52, 8)]


# -- one pool per market -------------------------------------------------------------------------------------


def test_a_mirror_view_is_the_recorded_book_turned_round() -> None:
    """Bids of 48 for YES are offers of NO at 52."""
    desk = Desk(book())
    assert desk.buy(1, 53, 12, outcome=1) == [(52, 10), (53, 2)]
    assert desk.sell(2, 47, 99) == [(47, 3)]
    assert desk.sell(3, 47, 5, outcome=1) == [(48, 5)]
    assert desk.buy(4, 52, 99) == [(52, 5)]


def test_with_both_books_recorded_a_take_on_either_is_gone_from_both() -> None:
    desk = Desk(book(both=True))
    assert desk.buy(1, 52, 7) == [(52, 7)]
    assert desk.sell(2, 48, 99, outcome=1) == [(48, 3)]  # bids for NO at 48 are the offers of YES at 52
    assert desk.sell(3, 47, 99, outcome=1) == [(47, 20)]
    assert desk.buy(4, 53, 99) == []


# -- our own orders ------------------------------------------------------------------------------------------


def test_a_taker_stops_short_of_our_own_order_and_the_rest_is_cancelled() -> None:
    desk = Desk(book())
    assert desk.place(1, Side.BUY, 47, 9, GTC).status is OrderStatus.OPEN
    placed = desk.place(2, Side.SELL, 40, 30)
    assert (placed.status, got(placed), placed.reason) == (OrderStatus.CANCELLED, [(48, 10)], matching.SELF_TRADE)
    assert desk.told == []


@pytest.mark.parametrize("both", [False, True])
def test_buying_the_other_outcome_does_not_meet_our_own_bid_either(both: bool) -> None:
    """A bid of 50 for YES is an offer of NO at 50."""
    desk = Desk(book(both))
    assert desk.place(1, Side.BUY, 50, 9, GTC).status is OrderStatus.OPEN
    placed = desk.place(2, Side.BUY, 55, 9, outcome=1)
    assert (placed.status, placed.matches, placed.reason) == (OrderStatus.CANCELLED, (), matching.SELF_TRADE)
    refused = desk.place(3, Side.BUY, 51, 9, GTC, outcome=1, post_only=True)
    assert refused.reason == matching.WOULD_CROSS


def test_what_would_rest_across_our_own_order_is_cancelled() -> None:
    desk = Desk(book())
    desk.place(1, Side.BUY, 50, 9, GTC)
    placed = desk.place(2, Side.SELL, 49, 9, GTC)
    assert (placed.status, placed.reason) == (OrderStatus.CANCELLED, matching.SELF_TRADE)


def makers_yield(builder: TapeBuilder) -> Desk:
    desk = Desk(builder)
    desk.matcher = Matcher(
        by_venue(desk.tape),
        opened(unknown_books(desk.tape), twins(desk.tape.markets)),
        rule=RULES["through"],
        makers_yield={"venue"},
    )
    return desk


def test_where_makers_yield_the_resting_order_is_cancelled_and_the_taker_goes_on() -> None:
    desk = makers_yield(book())
    desk.place(1, Side.BUY, 47, 9, GTC)
    placed = desk.place(2, Side.SELL, 47, 12)
    assert (placed.status, got(placed), placed.gave_way) == (OrderStatus.FILLED, [(48, 10), (47, 2)], ("o1",))
    assert not desk.matcher.waits


def test_where_makers_yield_one_that_the_taker_does_not_get_to_stays() -> None:
    desk = makers_yield(book())
    desk.place(1, Side.BUY, 47, 9, GTC)
    placed = desk.place(2, Side.SELL, 47, 10)
    assert (placed.status, placed.gave_way) == (OrderStatus.FILLED, ())
    assert desk.matcher.waits
    killed = desk.place(3, Side.SELL, 47, 500, FOK)
    assert (killed.status, killed.gave_way) == (OrderStatus.CANCELLED, ())
    refused = desk.place(4, Side.SELL, 47, 1, GTC, post_only=True)
    assert (refused.reason, refused.gave_way) == (matching.WOULD_CROSS, ())


@pytest.mark.parametrize("both", [False, True])
def test_where_makers_yield_an_order_on_the_other_outcome_yields_too(both: bool) -> None:
    """A bid of 50 for YES is an offer of NO at 50: buying NO at 50 cancels it, and the rest of that rests."""
    desk = makers_yield(book(both))
    desk.place(1, Side.BUY, 50, 9, GTC)
    placed = desk.place(2, Side.BUY, 50, 9, GTC, outcome=1)
    assert (placed.status, placed.matches, placed.gave_way) == (OrderStatus.OPEN, (), ("o1",))


# -- what a venue refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (TapeBuilder().mark(0), matching.UNKNOWN_BOOK),
        (book().gap(5), matching.GAPPED_BOOK),
        (book().status(5, m.PAUSED), "paused market"),
        (book().status(5, m.CANCEL_ONLY), "cancel-only market"),
        (book().status(5, m.CLOSED), "closed market"),
        (book().resolution(5, 100), "closed market"),
        (book(both=True).status(5, m.PAUSED, book=1), "paused market"),
    ],
)
def test_a_book_that_cannot_be_traded_refuses(builder: TapeBuilder, reason: str) -> None:
    placed = Desk(builder).place(10, Side.BUY, 52, 1)
    assert (placed.status, placed.reason) == (OrderStatus.REJECTED, reason)


def test_a_market_that_opens_again_trades_again() -> None:
    desk = Desk(book().status(5, m.PAUSED).status(20, m.OPEN).gap(40).snapshot(60, [(48, 1)], [(52, 2)]))
    assert desk.place(10, Side.BUY, 52, 1).status is OrderStatus.REJECTED
    assert desk.buy(30, 52, 1) == [(52, 1)]
    assert desk.place(50, Side.BUY, 52, 1).reason == matching.GAPPED_BOOK
    assert desk.buy(70, 52, 9) == [(52, 2)]


def test_in_post_only_mode_orders_may_rest_and_none_may_take() -> None:
    desk = Desk(book().status(5, m.POST_ONLY))
    assert desk.place(10, Side.BUY, 52, 1).reason == matching.POST_ONLY_MARKET
    assert desk.place(11, Side.BUY, 52, 1, GTC).reason == matching.POST_ONLY_MARKET
    assert desk.place(12, Side.BUY, 51, 1, GTC).status is OrderStatus.OPEN


def test_price_size_and_lot_are_checked_as_the_market_states_them() -> None:
    table = a_table(a_market(min_size=shares(5), lot=shares(1)))
    desk = Desk(TapeBuilder(table).snapshot(0, [(48, 10)], [(52, 10)]))
    yes = table.books[0]

    def reason(limit: int, size: int, **more: object) -> str:
        order = Order(f"r{limit}{size}", yes, Side.BUY, limit, Size(size), FAK, **more)  # type: ignore[arg-type]
        return desk.matcher.place(order, ms(1), lambda *_: None).reason

    assert "price grid" in reason(525_000, shares(5))
    assert "between 0 and 1" in reason(MICRO, shares(5))
    assert "minimum of 5000000" in reason(520_000, shares(4))
    assert "multiple of 1000000" in reason(520_000, shares(5) + 1)
    assert "more than zero" in reason(520_000, 0)
    assert "only an order that rests" in reason(520_000, shares(5), post_only=True)
    assert desk.orders == 0
    assert desk.buy(2, 52, 5) == [(52, 5)]


def test_what_a_market_does_not_state_is_not_checked() -> None:
    table = a_table(a_market(grids=(), min_size=None, lot=None))
    desk = Desk(TapeBuilder(table).snapshot(0, [(48, 10)], [(52, 10)]))
    order = Order("odd", table.books[0], Side.BUY, cents(52), Size(7), FAK)
    assert desk.matcher.place(order, ms(1), lambda *_: None).status is OrderStatus.FILLED


@pytest.mark.parametrize("end", ["status", "resolution"])
def test_when_a_market_closes_what_rests_in_it_is_over(end: str) -> None:
    builder = book()
    desk = Desk(builder.status(50, m.CLOSED) if end == "status" else builder.resolution(50, 100))
    desk.place(1, Side.BUY, 48, 1, GTC)
    desk.place(2, Side.BUY, 48, 1, GTC, outcome=1)
    desk.matcher.settle(ms(60))
    assert desk.ended == ["o1", "o2"]
    assert not desk.matcher.waits


# -- time ----------------------------------------------------------------------------------------------------


def test_rows_up_to_the_moment_of_arrival_come_first() -> None:
    desk = Desk(book().level(10, ASK, 52, 3))
    assert desk.place(10, Side.BUY, 52, 10).matches[0].size == shares(3)


def test_the_venue_lives_by_its_own_clock_not_by_the_order_of_arrival() -> None:
    """The offer was pulled at 10 by the venue's clock and we heard of it at 90: an order at 20 finds it gone."""
    builder = book().level(90, ASK, 52, 0, venue=10)
    assert Desk(builder).buy(20, 52, 10) == []
    assert Desk(book().level(90, ASK, 52, 0, venue=10), "recv").buy(20, 52, 10) == [(52, 10)]


def test_rows_that_arrive_out_of_order_are_put_right_by_the_venues_clock() -> None:
    builder = book().level(50, ASK, 52, 1, venue=40).level(60, ASK, 52, 7, venue=30)
    assert Desk(builder).buy(100, 52, 10) == [(52, 1)]


def test_the_venues_order_is_worked_out_once_per_tape() -> None:
    tape = book().level(50, ASK, 52, 1, venue=40).level(60, ASK, 52, 7, venue=30).tape()
    assert by_venue(tape) is by_venue(tape)
    assert by_venue(tape).order.tolist() == [0, 1, 2, 3, 4, 6, 5]
    assert received_later(tape, 5).at[0] == ms(0) + 5
    in_order = book().level(90, ASK, 52, 0).tape()
    assert len(by_venue(in_order).order) == 0


def test_a_cancel_comes_after_every_fill_up_to_its_own_moment() -> None:
    desk = Desk(book().trade(50, 47, 3).trade(51, 47, 3))
    desk.place(1, Side.BUY, 48, 9, GTC)
    assert desk.matcher.cancel("o1", ms(50))
    assert not desk.matcher.cancel("o1", ms(52))
    desk.matcher.settle(ms(100))
    assert desk.told == [("o1", 48, 3)]


def test_many_orders_can_rest_at_once() -> None:
    desk = Desk(book().trade(50, 44, 25))
    for n in range(30):
        desk.place(n, Side.BUY, 45 + n % 3, 1, GTC)
    desk.matcher.settle(ms(100))
    assert len(desk.told) == 25
    assert [price for _, price, _ in desk.told] == [47] * 10 + [46] * 10 + [45] * 5
    assert desk.matcher.waits
