"""The compiled matcher against the plain one on every real recording: every word and match of every order.

The orders are seeded: most join a level that has just moved or take from one, on either outcome, and half of those
that rest are cancelled after a while. All queue rules; where the trades are not on the tape, the one that needs none.
"""

from __future__ import annotations

from random import Random

import pytest

from arbkit.backtest.queue import NAMES
from arbkit.backtest.tape_views import printing
from arbkit.books import meta as m
from arbkit.core.model import Order, Side, Size, TimeInForce
from arbkit.core.units import MICRO, Price
from arbkit.history.tape import Tape
from tests.property.test_matcher_twin import Action, compiled_answer, plain_answer
from tests.real.conftest import FILES, Recorded

pytestmark = pytest.mark.real_data
ORDERS = 400
S = 1_000_000_000


def some_orders(tape: Tape, random: Random) -> list[Action]:
    """Orders about levels as the rows set them; sizes in the market's lots, prices as recorded."""
    rows, at = tape.rows, tape.venue_time
    levels = [i for i, code in enumerate(rows.meta.tolist()) if code & m.KIND_MASK == m.KIND_LEVEL]
    actions: list[Action] = []
    for n in range(ORDERS):
        i = random.choice(levels)
        book, price = tape.markets.books[rows.book[i]], int(rows.price[i])
        joins = random.random() < 0.6
        bid = (int(rows.meta[i]) & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SIDE_BID
        side = Side.BUY if bid == joins else Side.SELL
        if random.random() < 0.3:  # the same on the other outcome
            book, price, side = tape.markets.books[book.mirror], MICRO - price, Side(-side)
        tif = TimeInForce.GTC if joins else random.choice((TimeInForce.FAK, TimeInForce.FOK))
        lots = random.choice((1, 5, 25, 400)) * (book.market.min_size or MICRO)
        order = Order(f"o{n}", book, side, Price(price), Size(lots), tif, joins and random.random() < 0.5)
        when = int(at[i]) + random.choice((0, 1, 50_000_000))
        actions.append((when, order))
        if joins and random.random() < 0.5:
            actions.append((when + random.choice((1, 10, 300)) * S, order.client_id))
    return sorted(actions, key=lambda action: action[0])


@pytest.mark.parametrize("name", FILES)
def test_kernel_and_plain_matcher_agree_on_a_recording(name: str, recorded: Recorded) -> None:
    tape, _ = recorded(name)
    known = printing(tape) >= {book.venue for book in tape.markets.books}
    for queue in NAMES if known else ("through",):
        actions = some_orders(tape, Random(f"{name} {queue}"))
        want = plain_answer(tape, actions, queue, "cautious")
        assert compiled_answer(tape, actions, queue, "cautious", 100_000) == want, queue
        said, told = want
        taken = sum(len(word[2]) for word in said if not isinstance(word, bool))
        print(f"{name} {queue}: {len(tape):,} rows, {ORDERS} orders, {taken} book walks, {len(told)} words at rest")
        assert taken > ORDERS / 20
        assert len(told) > ORDERS / 20
