from arbkit.backtest import tape_views
from arbkit.books.ladder import Ladders, forward
from arbkit.books.view import LadderView, ladder_view
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Health, Level
from arbkit.core.ports import BookView
from arbkit.core.units import Price
from arbkit.fees import rule
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, cents, ms, shares

FEES = rule("kalshi-2026-07-07")


def world() -> tuple[Tape, Ladders]:
    builder = TapeBuilder().snapshot(0, [(40, 5), (38, 7)], [(45, 6), (47, 1)])
    tape = builder.level(10, BID, 41, 3, lower=True).tape()
    ladders, columns = tape_views.unknown_books(tape), tape_views.received(tape)
    forward(ladders, columns, 0, len(tape), ms(10**6), False)
    return tape, ladders


def view(ladders: Ladders, book: Book) -> LadderView:
    grid = Grid.of_tick("0.01")
    return ladder_view(ladders, book, ms(20), max_silence=ms(60_000) - ms(0), grid=grid, fees=FEES)


def level(price: int, size: int, exact: bool = True) -> Level:
    return Level(Price(cents(price)), shares(size), exact)


def test_levels_stand_best_first_with_their_bounds_named() -> None:
    tape, ladders = world()
    seen: BookView = view(ladders, tape.markets.books[0])
    assert seen.bids() == [level(41, 3, exact=False), level(40, 5), level(38, 7)]
    assert seen.asks() == [level(45, 6), level(47, 1)]
    assert (seen.health, seen.at) == (Health.OK, ms(10))


def test_a_mirror_view_turns_sides_and_prices_round() -> None:
    tape, ladders = world()
    seen = view(ladders, tape.markets.books[1])
    assert seen.asks() == [level(59, 3, exact=False), level(60, 5), level(62, 7)]
    assert seen.bids() == [level(55, 6), level(53, 1)]
    assert (seen.health, seen.at) == (Health.OK, ms(10))


def test_what_we_took_is_left_out() -> None:
    tape, ladders = world()
    slot = int(ladders.best[1, 0]["slot"])
    ladders.level["taken"][1, slot] = shares(6)
    assert view(ladders, tape.markets.books[0]).asks() == [level(47, 1)]
    ladders.level["taken"][1, slot] = shares(2)
    assert view(ladders, tape.markets.books[0]).asks()[0] == level(45, 4)


def test_a_view_is_of_its_moment() -> None:
    tape, ladders = world()
    seen = view(ladders, tape.markets.books[0])
    ladders.level["size"][:] = 0
    assert seen.asks()[0] == level(45, 6)


def test_an_empty_book_shows_nothing() -> None:
    tape = TapeBuilder().level(0, ASK, 50, 1).tape()
    seen = view(tape_views.unknown_books(tape), tape.markets.books[0])
    assert (list(seen.bids()), list(seen.asks()), seen.health) == ([], [], Health.UNKNOWN)
