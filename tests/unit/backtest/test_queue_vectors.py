"""The same tapes for every queue rule: what one bid of four at 48 gets behind ten. Cents, shares, milliseconds.

Shares by rule are in the order from the most cautious to the most hopeful; `-` means that nothing came.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.matching import Matcher
from arbkit.backtest.queue import POWER, PRO_RATA, RULES, after_level, left_ahead, part
from arbkit.backtest.tape_views import by_venue, twins, unknown_books
from arbkit.backtest.venue_books import opened
from arbkit.books import meta as m
from arbkit.core.model import Order, Side, TimeInForce
from arbkit.core.units import MICRO
from tests.builders import ASK, BID, TapeBuilder, cents, ms, shares

ORDER = ("through", "trade-only", "risk-averse", "pro-rata", "power", "front")


def book() -> TapeBuilder:
    return TapeBuilder().snapshot(0, [(48, 10), (47, 5)], [(52, 10), (53, 20)])


def joined_behind() -> TapeBuilder:
    """Ten ahead of us, and ten more who came behind us."""
    return book().level(60, BID, 48, 20)


VECTORS: dict[str, tuple[TapeBuilder, tuple[int, ...]]] = {
    "exact fill: fourteen trade": (book().trade(100, 48, 14), (0, 4, 4, 4, 4, 4)),
    "partial fill: eleven trade": (book().trade(100, 48, 11), (0, 1, 1, 1, 1, 4)),
    "in parts: eight and three trade": (book().trade(100, 48, 8).trade(200, 48, 3), (0, 1, 1, 1, 1, 4)),
    "nothing: nine trade": (book().trade(100, 48, 9), (0, 0, 0, 0, 0, 4)),
    # Six of ten leave and nobody stood behind: all of them stood before us, four are ahead.
    "cancel ahead, nobody behind": (book().level(100, BID, 48, 4).trade(2_000, 48, 6), (0, 0, 2, 2, 2, 4)),
    # Ten of twenty leave: none, five and five of them stood before us, cubes being good to a millionth.
    "cancel, as many behind": (joined_behind().level(100, BID, 48, 10).trade(2_000, 48, 8), (0, 0, 0, 3, 2_999_999, 4)),
    # Eight of fifteen leave, ten before and five behind: three, two thirds of eight and 1000/1125 of eight stood before us.
    "cancel, fewer behind": (
        book().level(60, BID, 48, 15).level(100, BID, 48, 7).trade(2_000, 48, 6),
        (0, 0, 0, 1_333_333, 3_111_111, 4),
    ),
    "trade through: three at 47": (book().trade(100, 47, 3), (3, 3, 3, 3, 3, 3)),
    "the other side comes to us": (book().level(100, ASK, 48, 3), (3, 3, 3, 3, 3, 3)),
    "level vanishing, then one trades": (book().level(100, BID, 48, 0).trade(2_000, 48, 1), (0, 0, 1, 1, 1, 1)),
    "level vanishing and come back": (
        book().level(100, BID, 48, 0).level(500, BID, 48, 30).trade(2_000, 48, 3),
        (0, 0, 3, 3, 3, 3),
    ),
    # One instant, one message: the print and the fall it explains are one trade of six, in either order.
    "simultaneous, print first": (
        joined_behind().trade(100, 48, 6, last=False).level(100, BID, 48, 14).trade(2_000, 48, 5),
        (0, 1, 1, 1, 1, 4),
    ),
    "simultaneous, level first": (
        joined_behind().level(100, BID, 48, 14, last=False).trade(100, 48, 6).trade(2_000, 48, 5),
        (0, 1, 1, 1, 1, 4),
    ),
    # A trade of two and a cancel of eight in one fall: of eight ahead and ten behind, 64/18 and 4096/1512 leave before us.
    "simultaneous trade and cancel": (
        joined_behind().trade(100, 48, 2, last=False).level(100, BID, 48, 10).trade(2_000, 48, 7),
        (0, 0, 0, 2_555_555, 1_708_994, 4),
    ),
}


def filled(builder: TapeBuilder, queue: str) -> int:
    """Millionths of a share that one bid of four at 48 gets, arrived at 50 ms."""
    tape = builder.tape()
    books = opened(unknown_books(tape), twins(tape.markets))
    matcher = Matcher(by_venue(tape), books, rule=RULES[queue], printing={"venue"})
    got: list[int] = []
    order = Order("mine", tape.markets.books[0], Side.BUY, cents(48), shares(4), TimeInForce.GTC, True)
    matcher.place(order, ms(50), lambda match, _: got.append(match.size))  # type: ignore[union-attr]
    matcher.settle(ms(10**6))
    return sum(got)


@pytest.mark.parametrize("name", VECTORS)
def test_every_rule_gives_what_its_words_say(name: str) -> None:
    builder, want = VECTORS[name]
    got = tuple(filled(builder, queue) for queue in ORDER)
    assert got == tuple(amount if amount > 1_000 else amount * MICRO for amount in want), name


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("level"), st.integers(0, 40)),
            st.tuples(st.just("trade"), st.integers(1, 12)),
            st.tuples(st.just("unknown"), st.integers(1, 12)),
            st.tuples(st.just("through"), st.integers(1, 3)),
        ),
        max_size=25,
    ),
    st.integers(1, 2_000),
)
def test_a_more_hopeful_rule_never_gives_less(flow: list[tuple[str, int]], gap: int) -> None:
    """Power and pro-rata stand beside each other: which of the two is kinder depends on who stands behind us."""
    builder, at = book(), 60
    for what, size in flow:
        at += gap
        if what == "level":
            builder.level(at, BID, 48, size)
        elif what == "through":
            builder.trade(at, 47, size)
        else:
            builder.trade(at, 48, size, m.SELLER if what == "trade" else m.UNKNOWN_AGGRESSOR)
    got = {queue: filled(builder, queue) for queue in RULES}
    assert got["through"] <= got["trade-only"] <= got["risk-averse"]
    assert got["risk-averse"] <= got["pro-rata"] <= got["front"]
    assert got["risk-averse"] <= got["power"] <= got["front"]


MILLION = 10_000_000 * MICRO  # ten million shares
sizes = st.integers(0, MILLION)


@given(sizes, sizes, sizes)
def test_a_part_is_exact_or_too_small_by_less_than_a_millionth(amount: int, one: int, other: int) -> None:
    whole = max(one + other, 1)
    true = Fraction(amount * one, whole)
    found = int(part(amount, one, whole))
    assert 0 <= found <= true
    if amount * whole < 2**62:
        assert found == int(true)
    else:
        assert true - found < 1 + Fraction(amount, 2**17)


@given(sizes, sizes, sizes)
def test_what_left_before_us_is_the_formula_and_never_more_than_stood_there(ahead: int, behind: int, gone: int) -> None:
    gone = min(gone, ahead + behind)
    for rule, power in ((PRO_RATA, 1), (POWER, 3)):
        found = int(left_ahead(rule, ahead, behind, gone))
        weights = ahead**power + behind**power
        share = Fraction(gone * ahead**power, weights) if weights else Fraction(0)
        true = min(Fraction(ahead), max(share, Fraction(gone - behind)))
        assert 0 <= found <= ahead
        assert gone - found <= behind or found == ahead  # nobody behind us leaves twice
        assert abs(true - found) <= 1 + Fraction(gone, 2**16)


def test_a_print_takes_what_it_explains_out_of_a_fall() -> None:
    """Twenty stood, six traded and were seen to: of a fall of ten, four were cancelled."""
    front, fell = after_level(PRO_RATA, 4, 20, 10, 0, 6)
    assert (front, fell) == (4 - 4 * 4 // 14, 4 * 4 // 14)
