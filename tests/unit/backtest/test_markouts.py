"""Where the market went after a fill, on tapes small enough to read."""

from collections.abc import Sequence

from arbkit.backtest.markouts import Markout, mark_out
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TimeInForce,
    TradeLeg,
)
from arbkit.core.units import MICRO, Cash, Size
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, cents, ms, shares

TWO = a_table(a_market("a"), a_market("b"))


def quiet() -> TapeBuilder:
    """Market a: 0.40 to 0.42 for 100 shares; market b: 0.50 to 0.53."""
    return TapeBuilder(TWO).snapshot(0, [(40, 100)], [(42, 100)]).snapshot(0, [(50, 30)], [(53, 60)], book=2)


def filled(
    book: Book, at: int, price: int, purpose: Purpose = Purpose.ENTRY, side: Side = Side.BUY, name: str = "t"
) -> ExecutionResult:
    """A trade of one leg, filled once."""
    basket = Basket("b", Kind.OUTCOMES, "e", (book,), Cash(MICRO), Size(MICRO), Size(MICRO))
    opportunity = ArbitrageOpportunity("o", basket, ms(0), shares(5), Cash(0), Cash(0))
    fill = Fill("f", cents(price), shares(5), Cash(0), at=ms(at) + 7, venue_at=ms(at), maker=True)
    order = Order(
        "x", book, side, cents(price), shares(5), TimeInForce.GTC,
        purpose=purpose, status=OrderStatus.FILLED, fills=(fill,),
    )  # fmt: skip
    leg = TradeLeg(0, book, side, shares(5), orders=(order,))
    return ExecutionResult(MultiLegTrade(name, opportunity, ExecutionStrategy.LIMIT, (leg,)), Outcome.COMPLETED)


def marks(tape: Tape, *results: ExecutionResult, horizons: Sequence[int] = (100,)) -> tuple[Markout, ...]:
    return mark_out(tape, results, horizons)


def test_a_mark_out_is_the_mid_of_the_legs_own_outcome_after_the_venues_fill() -> None:
    tape = quiet().level(100, BID, 41, 9).level(101, BID, 41, 0).mark(300).tape()
    yes, no = tape.markets.books[:2]
    after = marks(tape, filled(yes, 0, 40), filled(no, 0, 58), horizons=(99, 100, 101))
    assert [mark.mid for mark in after[:3]] == [410_000, 415_000, 410_000]
    assert [mark.mid for mark in after[3:]] == [590_000, 585_000, 590_000]
    known = Markout("t", "f", 0, Purpose.ENTRY, True, 99, cents(40), 410_000, cents(40), 1, shares(5))
    assert after[0] == known


def test_what_was_bought_could_go_back_to_the_bid_and_what_was_sold_to_the_ask() -> None:
    tape = quiet().mark(300).tape()
    yes, no = tape.markets.books[:2]
    sold = filled(yes, 0, 42, side=Side.SELL)
    assert [mark.best for mark in marks(tape, filled(yes, 0, 40), sold, filled(no, 0, 58))] == [
        cents(40),
        cents(42),
        cents(58),
    ]


def test_a_book_of_one_side_has_no_mid_and_one_in_a_gap_has_nothing() -> None:
    one_sided = quiet().level(50, ASK, 42, 0).mark(300).tape()
    (mark,) = marks(one_sided, filled(one_sided.markets.books[0], 0, 40))
    assert (mark.mid, mark.best) == (-1, cents(40))
    gapped = quiet().gap(50).mark(300).tape()
    (mark,) = marks(gapped, filled(gapped.markets.books[0], 0, 40))
    assert (mark.mid, mark.best) == (-1, -1)


def test_a_closed_market_and_a_crossed_book_have_no_price_to_mark_at() -> None:
    for tape in (
        quiet().status(50, 4).mark(300).tape(),
        quiet().resolution(50, 100).mark(300).tape(),
        quiet().level(50, BID, 42, 1).mark(300).tape(),
    ):
        (mark,) = marks(tape, filled(tape.markets.books[0], 0, 40))
        assert (mark.mid, mark.best) == (-1, -1)


def test_a_horizon_beyond_the_end_of_the_tape_is_undefined() -> None:
    tape = quiet().mark(300).tape()
    after = marks(tape, filled(tape.markets.books[0], 200, 40), horizons=(99, 100, 101, 5_000))
    assert [(mark.horizon_ms, mark.mid) for mark in after] == [(99, 410_000), (100, 410_000), (101, -1), (5_000, -1)]


def test_undo_orders_have_no_mark_outs() -> None:
    tape = quiet().mark(300).tape()
    assert marks(tape, filled(tape.markets.books[0], 0, 40, Purpose.EXIT)) == ()


def test_rows_count_by_the_venues_clock_and_not_by_when_they_were_heard_of() -> None:
    tape = quiet().level(400, BID, 41, 9, venue=100).mark(500).tape()
    assert [mark.mid for mark in marks(tape, filled(tape.markets.books[0], 0, 40))] == [415_000]


def test_an_empty_tape_knows_no_prices() -> None:
    empty = TapeBuilder(TWO).tape()
    assert [mark.mid for mark in marks(empty, filled(TWO.books[0], 0, 40))] == [-1]
