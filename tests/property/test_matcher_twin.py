"""The compiled matcher against the plain one: every match of every order, on random tapes."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.backtest.matching import Matcher
from arbkit.backtest.queue import NAMES, RULES
from arbkit.backtest.tape_views import by_venue, twins, unknown_books
from arbkit.backtest.terms import grids_by_venue
from arbkit.backtest.venue_books import opened
from arbkit.books import meta as m
from arbkit.core.grid import Grid
from arbkit.core.model import Order, OrderStatus, Side, TimeInForce
from arbkit.core.units import Price
from arbkit.history.tape import Tape
from tests.builders import TapeBuilder, a_market, a_table, cents, ms, shares
from tests.property.plain_matcher import PlainMatcher

TAPES = int(os.environ.get("ARBKIT_TWIN_TAPES", "1200"))
CHUNKS = (1, 7, 1_000)
Action = tuple[int, Order | str]  # when it arrives, an order or the key of one to cancel


def random_tape(random: Random, both: bool, clocks: str, busy: int = 0, resolves: bool = False) -> Tape:
    """Flow without sense: every kind of row in every order, on two markets, prices 44 to 56 cents.

    `busy` times as many shares stand, leave and trade at two bids and two asks: tapes for queues.
    """
    grids = ((0, Grid.of_tick("0.01")), (ms(10**9), Grid.of_tick("0.02")))  # the second by rows alone
    void = {"resolution": "void", "void": random.choice(("refund", "last_price", "half"))} if resolves else {}
    table = a_table(a_market("a", grids=grids), a_market("b", grids=grids, **void), both=both)
    books = [book.index for book in table.books if book.recorded]
    builder, at = TapeBuilder(table), 0
    for book in books:
        if random.random() < 0.97:
            bids = [(p, random.randint(1, 9)) for p in random.sample(range(44, 50), 3)]
            asks = [(p, random.randint(1, 9)) for p in random.sample(range(51, 57), 3)]
            builder.snapshot(0, bids, asks, book=book)
    for _ in range(random.randint(20, 90)):
        at += random.choice((0, 0, 1, 5, 40, 400, 1_500))
        venue = at - random.choice((0, 0, 3, 60, 700)) if clocks == "both" else at
        if busy and random.random() < 0.9:
            busy_row(random, builder, at, venue, random.choice(books), busy)
        else:
            random_row(random, builder, at, venue, random.choice(books))
    for book in books if resolves else ():
        at += random.choice((0, 500))
        builder.row(at, m.meta(m.KIND_RESOLUTION), book, price=random.choice((0, 50, 100)))
    code = list(builder.rows[-1])
    code[3] |= m.LAST
    builder.rows[-1] = tuple(code)
    return builder.tape(clocks)


def random_row(random: Random, builder: TapeBuilder, at: int, venue: int, book: int) -> None:
    what = random.random()
    if what < 0.55:
        side = random.choice((m.SIDE_BID, m.SIDE_ASK))
        usual = range(44, 51) if side == m.SIDE_BID else range(50, 57)
        price = random.choice(usual) if random.random() < 0.85 else random.randint(44, 56)
        size = 0 if random.random() < 0.3 else random.randint(1, 9)
        builder.level(at, side, price, size, book=book, lower=random.random() < 0.08, venue=venue)
    elif what < 0.93:
        aggressor = random.choice((m.BUYER, m.SELLER, m.SELLER, m.BUYER, m.UNKNOWN_AGGRESSOR))
        price = random.choice((48, 49, 50, 51, 52)) if random.random() < 0.8 else random.randint(44, 56)
        told = [row for row in builder.rows[-6:] if row[3] & m.KIND_MASK == m.KIND_LEVEL]
        if told and random.random() < 0.4:  # the trade that a level just told of
            _, _, book, code, micro, _ = random.choice(told)
            price = micro // cents(1)
            aggressor = m.SELLER if (code & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SIDE_BID else m.BUYER
            if builder.table.books[book ^ 1].recorded and random.random() < 0.5:  # told on the other outcome's book
                book, price, aggressor = book ^ 1, 100 - price, m.BUYER + m.SELLER - aggressor
        builder.trade(at, price, random.randint(1, 9), aggressor, book=book, venue=venue)
    elif what < 0.935:
        builder.row(at, m.meta(m.KIND_GAP), book, venue=venue)
    elif what < 0.97:
        builder.snapshot(at, [(48, 5), (47, 3)], [(52, 4), (53, 6)], book=book, venue=venue)
    elif what < 0.985:
        status = random.choices((m.OPEN, m.PAUSED, m.POST_ONLY, m.CANCEL_ONLY, m.CLOSED), (9, 1, 1, 1, 1))[0]
        builder.row(at, m.meta(m.KIND_STATUS), book, size=status, venue=venue)
    elif what < 0.993:
        builder.row(at, m.meta(m.KIND_MARK), book, venue=venue)
    else:
        builder.row(at, m.meta(m.KIND_GRID), book, size=random.choice((0, 1, 1)), venue=venue)


def busy_row(random: Random, builder: TapeBuilder, at: int, venue: int, book: int, scale: int) -> None:
    """A queue that grows, is cancelled from and traded at; a trade may be told before or after its level."""
    side = random.choice((m.SIDE_BID, m.SIDE_ASK))
    price = random.choice((48, 49) if side == m.SIDE_BID else (51, 52))
    hit = m.SELLER if side == m.SIDE_BID else m.BUYER
    if random.random() < 0.6:
        builder.level(at, side, price, random.randint(0, 12) * scale, book=book, venue=venue)
    else:
        builder.trade(at, price, random.randint(1, 6) * scale, hit, book=book, venue=venue)


def random_actions(random: Random, tape: Tape, busy: int = 0) -> list[Action]:
    last = (int(tape.rows.ts_recv[-1]) - ms(0)) // 1_000_000
    actions: list[Action] = []
    for n in range(random.randint(4, 16)):
        book = random.choice(tape.markets.books)
        side = random.choice((Side.BUY, Side.SELL))
        tif = random.choices((TimeInForce.GTC, TimeInForce.FAK, TimeInForce.FOK), (5, 3, 1))[0]
        if tif is TimeInForce.GTC and random.random() < 0.2:
            tif = TimeInForce.GTD  # which a matcher keeps as it keeps any order that rests
        post_only = tif.rests and random.random() < 0.4
        limit = random.randint(46, 51) if tif.rests else random.randint(50, 55)
        limit = limit if side is Side.BUY else 100 - limit
        at = ms(random.randint(0, last + 20)) - random.choice((0, 0, 1))
        price = cents(limit)
        levels = [i for i, code in enumerate(tape.rows.meta.tolist()) if code & m.KIND_MASK == m.KIND_LEVEL]
        if levels and random.random() < 0.4:  # joins a level that has just moved
            i = random.choice(levels)
            book, price = tape.markets.books[tape.rows.book[i]], Price(int(tape.rows.price[i]))
            side = Side.BUY if (tape.rows.meta[i] & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SIDE_BID else Side.SELL
            at = int(tape.venue_time[i]) + random.choice((0, 1, 2_000_000))
        if busy and tif.rests:
            price = cents(random.choice((48, 49)) if side is Side.BUY else random.choice((51, 52)))
        size = random.randint(1, 12) * max(1, busy) if random.random() < 0.9 else random.randint(1, 12)
        order = Order(f"o{n}", book, side, price, shares(size), tif, post_only)
        actions.append((at, order))
        if random.random() < 0.3:
            actions.append((at + 1_000_000 * random.randint(0, 900), order.client_id))
    return sorted(actions, key=lambda action: action[0])


def compiled_answer(
    tape: Tape, actions: list[Action], queue: str, consumption: str, chunk: int, makers_yield: bool = False
) -> list[Any]:
    venues = frozenset(book.venue for book in tape.markets.books)
    matcher = Matcher(
        by_venue(tape),
        opened(unknown_books(tape), twins(tape.markets)),
        rule=RULES[queue],
        hopeful=consumption == "hopeful",
        printing=venues,
        grids=grids_by_venue(tape),
        makers_yield=venues if makers_yield else (),
        chunk_rows=chunk,
    )
    told: list[Any] = []
    said: list[Any] = []
    for at, what in actions:
        if isinstance(what, str):
            said.append(matcher.cancel(what, at))
            continue

        def tell(match: Any, when: int, key: str = what.client_id) -> None:
            told.append((key, *match) if match is not None else (key, "ended", when))

        placed = matcher.place(what, at, tell)
        reason = placed.reason.split(" ")[0].rstrip(":")
        said.append((placed.status.value, reason, [tuple(x) for x in placed.matches], list(placed.gave_way)))
    matcher.settle(2**62)
    return [said, told]


def plain_answer(
    tape: Tape, actions: list[Action], queue: str, consumption: str, makers_yield: bool = False
) -> list[Any]:
    matcher, said = PlainMatcher(tape, queue, consumption, makers_yield), list[Any]()
    for at, what in actions:
        if isinstance(what, str):
            said.append(matcher.cancel(what, at))
        else:
            said.append((*matcher.place(what, at), matcher.gave_way))
    matcher.until(2**62)
    return [said, matcher.told]


def agree(seed: int, chunks: tuple[int, ...] = CHUNKS) -> list[Any]:
    random = Random(seed)
    queue, consumption = NAMES[seed % 6], ("cautious", "hopeful")[seed // 6 % 2]
    both, clocks = bool(seed // 12 % 2), ("both", "recv")[seed // 24 % 2]
    busy = (0, 1, 0, 700_000)[seed // 48 % 4]
    tape = random_tape(random, both, clocks, busy)
    actions = random_actions(random, tape, busy)
    makers_yield = seed % 7 == 0
    want = plain_answer(tape, actions, queue, consumption, makers_yield)
    for chunk in chunks:
        got = compiled_answer(tape, actions, queue, consumption, chunk, makers_yield)
        assert got == want, (seed, queue, consumption, chunk)
    return want


def test_kernel_and_plain_matcher_agree_on_every_match_of_every_tape() -> None:
    orders = takes = rests = yielded = 0
    models: dict[str, int] = {}
    for seed in range(TAPES):
        said, told = agree(seed)
        placed = [s for s in said if not isinstance(s, bool)]
        orders += len(placed)
        takes += sum(len(s[2]) for s in placed)
        yielded += sum(len(s[3]) for s in placed)
        for event in told:
            if event[1] != "ended":
                rests += 1
                models[event[5]] = models.get(event[5], 0) + 1
    print(f"{TAPES} tapes, {orders} orders, {takes} book walks, {rests} fills at rest: {models}")
    assert set(models) == {*(f"queue:{name}" for name in NAMES if name != "through"), "through", "moved through"}
    assert takes > TAPES
    assert yielded > TAPES / 60
    assert min(models.values()) > 100  # every rule had its say


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=TAPES, max_value=2**40))
def test_kernel_and_plain_matcher_agree_wherever_hypothesis_looks(seed: int) -> None:
    agree(seed)


@pytest.mark.parametrize("queue", NAMES)
@pytest.mark.parametrize("consumption", ["cautious", "hopeful"])
def test_no_share_of_the_book_is_filled_twice(queue: str, consumption: str) -> None:
    """One order that takes everything again and again gets no more than the recording ever added."""
    for seed in range(60):
        random = Random(10_000 + seed)
        tape = random_tape(random, bool(seed % 2), "recv")
        home = next(b for b in tape.markets.books if b.recorded)
        matcher = PlainMatcher(tape, queue, consumption)
        added = _added(tape, home.index)
        greedy = [
            (ms(t), Order(f"g{t}", home, Side.BUY, cents(60), shares(500), TimeInForce.FAK))
            for t in range(0, 6_000, 50)
        ]
        said, _ = compiled_answer(tape, greedy, queue, consumption, 1_000)
        assert said == plain_answer(tape, greedy, queue, consumption)[0]
        assert sum(size for s in said for _, size, *_ in s[2]) <= added
        assert matcher.next == 0
        assert all(s[0] in {status.value for status in OrderStatus} for s in said)


def _added(tape: Tape, book: int) -> int:
    """Every rise of every ask level of a book: all that a buyer could ever have met."""
    totals: dict[int, int] = {}
    added = 0
    for number, code, price, size in zip(*(c.tolist() for c in tape.rows[2:]), strict=True):
        kind = code & m.KIND_MASK
        if number != book:
            continue
        if kind in (m.KIND_CLEAR, m.KIND_GAP):
            totals.clear()
        elif kind == m.KIND_LEVEL and (code & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SIDE_ASK:
            added += max(0, size - totals.get(price, 0))
            totals[price] = size
    return added
