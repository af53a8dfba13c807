import pytest

from arbkit.backtest import tape_views
from arbkit.books import meta as m
from arbkit.books.gate import NAMES, health_code
from arbkit.books.ladder import Ladders, forward, is_healthy
from arbkit.core.model import Health
from arbkit.history.tape import Tape
from tests.builders import ASK, TapeBuilder, ms

SILENCE = ms(60_000) - ms(0)


def health(ladders: Ladders, book: int, now: int, max_silence: int) -> Health:
    return NAMES[health_code(ladders, book, now, max_silence)]


def seen(tape: Tape) -> Ladders:
    ladders, columns = tape_views.unknown_books(tape), tape_views.received(tape)
    forward(ladders, columns, 0, len(tape), ms(10**6), False)
    return ladders


def two_sided() -> TapeBuilder:
    return TapeBuilder().snapshot(0, [(40, 5)], [(45, 5)])


WORLDS = {
    Health.OK: two_sided(),
    Health.UNKNOWN: TapeBuilder().mark(0),
    Health.GAPPED: two_sided().gap(10),
    Health.CLOSED: two_sided().status(10, m.PAUSED),
    Health.CROSSED: two_sided().level(10, ASK, 40, 5),
}


@pytest.mark.parametrize("why", WORLDS)
def test_a_book_says_why_it_may_not_price_an_order(why: Health) -> None:
    ladders = seen(WORLDS[why].tape())
    for book in (0, 1):  # the mirror view shares the fate of the book it is read off
        assert health(ladders, book, ms(20), SILENCE) is why
        assert is_healthy(ladders, book, ms(20), SILENCE) == (why is Health.OK)


def test_silence_begins_one_ns_after_the_bound_and_marks_end_it() -> None:
    ladders = seen(two_sided().tape())
    assert health(ladders, 0, ms(0) + SILENCE, SILENCE) is Health.OK
    assert health(ladders, 0, ms(0) + SILENCE + 1, SILENCE) is Health.SILENT
    alive = seen(two_sided().mark(50_000).tape())
    assert health(alive, 0, ms(0) + SILENCE + 1, SILENCE) is Health.OK


def test_a_resolved_market_is_closed_and_an_empty_side_is_no_fault() -> None:
    assert health(seen(two_sided().resolution(5, 100).tape()), 0, ms(20), SILENCE) is Health.CLOSED
    assert health(seen(TapeBuilder().snapshot(0).tape()), 0, ms(20), SILENCE) is Health.OK


def test_a_new_snapshot_ends_a_gap() -> None:
    ladders = seen(two_sided().gap(10).snapshot(15, [(40, 5)], [(45, 5)]).tape())
    assert health(ladders, 0, ms(20), SILENCE) is Health.OK
