"""Streamed books against the true ones whatever a network does, and the live question against plain answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.books import meta as m
from arbkit.books.stream import StreamBooks
from arbkit.books.stream_events import (
    Connected,
    Delta,
    Event,
    Heartbeat,
    MarketStatus,
    Message,
    Overflowed,
    Snapshot,
    Status,
    SubscribedTo,
    Unreadable,
)
from arbkit.core.clock import LoopClock
from arbkit.core.model import ArbitrageOpportunity, Basket, Health, Kind, Side
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.live_feed import LiveFeed
from arbkit.detection.opportunity import opportunity_in
from arbkit.history.tape import Tape
from tests.builders import START
from tests.property.plain_scan import MS, REARM, SETTLE, Asked, PlainScan, found_baskets, random_tape
from tests.stream_rig import ASK, BID, FREE, StreamRig

CENT = 10_000
RECORDED = (0, 2)
Sides = tuple[dict[int, int], dict[int, int]]  # bids, asks: size by price


# -- a venue that numbers or stamps its messages -------------------------------------------------------------


@dataclass
class Venue:
    """What a venue says, message by message, and its true books after each."""

    seed: int
    length: int
    numbered: bool
    messages: list[Message] = field(default_factory=list)
    truth: list[dict[int, Sides]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        books: dict[int, Sides] = {book: ({}, {}) for book in RECORDED}
        for n in range(self.length):
            book = int(rng.choice(RECORDED))
            what, stamp = rng.random(), None if self.numbered else START + n * MS
            events: tuple[Event, ...] = ()
            if what < 0.2 or n < 2:
                events = (self._whole(book if n > 1 else RECORDED[n], books, stamp),)
            elif what < 0.9:
                events = tuple(self._moved(rng, b, books, stamp) for b in ((book,) if what < 0.7 else RECORDED))
            self.messages.append(Message("c", START, events, "s", n + 1 if self.numbered else None))
            self.truth.append({b: (dict(bids), dict(asks)) for b, (bids, asks) in books.items()})

    @staticmethod
    def _whole(book: int, books: dict[int, Sides], stamp: int | None) -> Snapshot:
        bids, asks = books[book]
        return Snapshot(book, tuple(bids.items()), tuple(asks.items()), stamp)

    def _moved(self, rng: np.random.Generator, book: int, books: dict[int, Sides], stamp: int | None) -> Delta:
        relative = self.numbered and rng.random() < 0.3
        levels = []
        for _ in range(int(rng.integers(1, 4))):
            side = BID if rng.random() < 0.5 else ASK
            half = books[book][0 if side is BID else 1]
            price = int(rng.integers(44, 48) if side is BID else rng.integers(48, 52)) * CENT
            total = int(rng.choice([0, 1, 2, 3])) * MICRO
            levels.append((side, price, total - half.get(price, 0) if relative else total))
            half.pop(price, None)
            if total:
                half[price] = total
        return Delta(book, tuple(levels), stamp, relative)


def agrees(books: StreamBooks, truth: dict[int, Sides]) -> int:
    """Hold every healthy book against the truth; return how many there were."""
    healthy = 0
    for book in RECORDED:
        home = books.home(books_of(books)[book])
        if home.trust is Health.OK:
            assert (home.bids.sizes, home.asks.sizes) == truth[book]
            assert home.bids.prices == sorted(home.bids.sizes)
            assert home.asks.prices == sorted(home.asks.sizes)
            healthy += 1
    return healthy


def books_of(books: StreamBooks) -> dict[int, Any]:
    return {index: home.book for index, home in books._homes.items()}


LENGTH = 40
NETWORK = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 8)),  # the next so many, in order
        st.tuples(st.just("lose"), st.integers(1, 2)),
        st.tuples(st.just("again"), st.integers(0, LENGTH - 1)),  # any message, early, late or once more
        st.tuples(st.just("other"), st.integers(0, LENGTH - 1)),  # one that was heard, with other content
        st.tuples(st.sampled_from(["broken", "broken book", "overflow", "beat", "reconnect"]), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), network=NETWORK)
def test_numbered_streams_never_leave_a_healthy_book_that_is_not_the_true_one(
    seed: int, network: list[tuple[str, int]]
) -> None:
    rig = StreamRig(numbered=True)
    venue, at, last, heard = Venue(seed, LENGTH, True), 0, -1, set[int]()

    def deliver(n: int) -> None:
        nonlocal last
        rig.books.apply(venue.messages[n])
        last = max(last, n)
        heard.add(n)

    for what, n in network:
        if what == "run":
            for _ in range(min(n, LENGTH - at)):
                deliver(at)
                at += 1
                agrees(rig.books, venue.truth[last])
        elif what == "lose":
            at = min(LENGTH, at + n)
        elif what == "again":
            deliver(n)
        elif what == "other" and n in heard:
            rig.say(Delta(0, ((BID, 44 * CENT, 7 * MICRO),)), seq=n + 1)
        elif what == "broken":
            rig.say(Unreadable("broken"))
        elif what == "broken book":
            rig.say(Unreadable("broken", book=2))
        elif what == "overflow":
            rig.say(Overflowed())
        elif what == "beat":
            rig.say(Heartbeat())
        elif what == "reconnect":
            rig.disconnect()
            rig.connect()
            venue, at, last, heard = Venue(seed + 1, LENGTH, True), 0, -1, set()
        if last >= 0:
            agrees(rig.books, venue.truth[last])
        else:
            assert rig.wanted() == list(RECORDED)
    for book in RECORDED:  # and a snapshot mends whatever happened
        bids, asks = venue.truth[-1][book]
        rig.say(Snapshot(book, tuple(bids.items()), tuple(asks.items())), seq=1_000 + book)
    rig.say(Snapshot(0, *(tuple(side.items()) for side in venue.truth[-1][0])), seq=1_003)
    rig.say(Snapshot(2, *(tuple(side.items()) for side in venue.truth[-1][2])), seq=1_004)
    assert agrees(rig.books, venue.truth[-1]) == len(RECORDED)


@pytest.mark.parametrize("numbered", [True, False])
def test_a_sound_stream_keeps_every_book_healthy_and_true(numbered: bool) -> None:
    for seed in range(30):
        rig, venue = StreamRig(numbered=numbered), Venue(seed, 60, numbered)
        for n, message in enumerate(venue.messages):
            rig.books.apply(message)
            assert agrees(rig.books, venue.truth[n]) == min(n + 1, 2)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_stamped_streams_heard_in_any_order_and_number_end_in_the_true_book_or_in_none(
    seed: int, data: st.DataObject
) -> None:
    venue = Venue(seed, 12, False)
    order = data.draw(st.permutations(range(12)))
    extra = data.draw(st.lists(st.integers(0, 11), max_size=12))
    rig = StreamRig(numbered=False)
    for n in order + extra:
        rig.books.apply(venue.messages[n])
    agrees(rig.books, venue.truth[-1])


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), lost=st.sets(st.integers(2, 39)))
def test_stamped_streams_that_name_their_best_prices_are_never_healthy_with_another_best(
    seed: int, lost: set[int]
) -> None:
    rig, venue = StreamRig(numbered=False), Venue(seed, LENGTH, False)
    for n, message in enumerate(venue.messages):
        if n in lost:
            continue
        named = []
        for event in message.events:
            if isinstance(event, Delta):
                bids, asks = venue.truth[n][event.book]
                best = (max(bids, default=0), min(asks, default=MICRO))
                event = Delta(event.book, event.levels, event.venue_at, best_bid=best[0], best_ask=best[1])
            named.append(event)
        rig.books.apply(Message("c", START, tuple(named), "s"))
        for event in named:
            home = rig.books.home(rig.table.books[event.book])  # type: ignore[union-attr]
            bids, asks = venue.truth[n][home.book.index]
            if home.trust is Health.OK:
                assert home.bids.best(0) == max(bids, default=0)
                assert home.asks.best(MICRO) == min(asks, default=MICRO)


# -- views ---------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["level", "level", "take", "snapshot"]),
        st.sampled_from([BID, ASK]),
        st.integers(1, 9),
        st.integers(0, 5),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_views_are_those_of_a_plain_book_less_what_we_took(steps: list[tuple[str, Side, int, int]]) -> None:
    rig = StreamRig()
    rig.snapshot(0, (), ())
    plain: dict[Side, dict[int, int]] = {BID: {}, ASK: {}}
    taken: dict[Side, dict[int, int]] = {BID: {}, ASK: {}}
    for what, side, place, size in steps:
        price = place if side is BID else place + 10  # cents: never crossed
        if what == "level":
            plain[side][price] = size
            taken[side].pop(price, None)
            rig.level(side, price, size)
        elif what == "take":
            taken[side][price] = taken[side].get(price, 0) + size
            rig.books.take(rig.table.books[0], Side(-side), price * CENT, size * MICRO)
        else:
            rig.snapshot(0, *([(p, n) for p, n in plain[of].items() if n] for of in (BID, ASK)))
            taken = {BID: {}, ASK: {}}
        left = {of: {p: n - taken[of].get(p, 0) for p, n in plain[of].items()} for of in (BID, ASK)}
        bids = sorted(((p, n) for p, n in left[BID].items() if n > 0), reverse=True)
        asks = sorted((p, n) for p, n in left[ASK].items() if n > 0)
        assert rig.sides(0) == (bids, asks)
        assert rig.sides(1) == ([(100 - p, n) for p, n in asks], [(100 - p, n) for p, n in bids])


# -- the live question ---------------------------------------------------------------------------------------

MIN_EDGE = Cash(-20_000)


def from_tape(tape: Tape) -> list[list[Message]]:
    """The rows of a tape as live messages, one list per message of the tape; one connection per venue, numbered."""
    told: list[list[Message]] = []
    rows: list[tuple[int, int, int, int, int, int]] = []
    seq: dict[str, int] = {}
    for row in zip(*(column.tolist() for column in tape.rows), strict=True):
        rows.append(row)
        if not row[3] & m.LAST:
            continue
        of_venue: dict[str, list[Event]] = {}
        for _, venue_at, book, code, price, size in rows:
            events = of_venue.setdefault(tape.markets.books[book].venue, [])
            kind, side = code & m.KIND_MASK, BID if (code & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SIDE_BID else ASK
            if kind == m.KIND_CLEAR:
                events.append(Snapshot(book, (), (), venue_at))
            elif kind == m.KIND_LEVEL:
                events.append(Delta(book, ((side, price, size),), venue_at))
            elif kind == m.KIND_GAP:
                events.append(Unreadable("gap", book))
            elif kind == m.KIND_STATUS:
                events.append(Status(book, MarketStatus.PAUSED if size else MarketStatus.OPEN))
        told.append([])
        for venue, events in of_venue.items():
            seq[venue] = seq.get(venue, 0) + 1
            told[-1].append(Message(venue, rows[-1][0], tuple(events), "s", seq[venue]))
        rows = []
    return told


def streamed(tape: Tape) -> StreamBooks:
    table = tape.markets
    venues = dict.fromkeys(book.venue for book in table.books)
    connections = {venue: [b for b in table.books if b.recorded and b.venue == venue] for venue in venues}
    books = StreamBooks(table, connections, now=START, fees=lambda market, ns: FREE)
    for venue, asked in connections.items():
        ids = tuple(dict.fromkeys(book.market.id for book in asked))
        books.apply(Message(venue, START, (Connected(),)))
        books.apply(Message(venue, START, (SubscribedTo(ids),), "s"))
    return books


def is_pair(basket: Basket) -> bool:
    return basket.kind is Kind.COMPLEMENT and all(leg.recorded for leg in basket.legs)


async def until(ns: int) -> None:
    await asyncio.sleep(max(0, ns - LoopClock().now()) / 1e9)
    assert LoopClock().now() >= ns


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def naive(feed: LiveFeed, baskets: list[Basket]) -> ArbitrageOpportunity | None:
    """Ask the plain function of every basket, in order."""
    for basket in baskets:
        views = [feed.view(leg) for leg in basket.legs]
        found = opportunity_in(views, basket, MIN_EDGE, Size(10**13), kind=basket.kind, gross=True)
        if found is not None:
            return found
    return None


def test_a_waiting_client_hears_of_a_basket_exactly_when_a_plain_evaluation_finds_one() -> None:
    heard = kept_still = 0
    for draw in range(24):
        tape = random_tape(np.random.default_rng(draw), 120, draw % 2 == 0, False)
        baskets = [basket for basket in found_baskets(tape) if not is_pair(basket)]

        async def main(tape: Tape = tape, baskets: list[Basket] = baskets) -> tuple[int, int]:
            books = streamed(tape)
            feed = LiveFeed(books, gross=True)
            heard = kept_still = 0
            waiting: asyncio.Task[ArbitrageOpportunity | None] | None = None
            for messages in from_tape(tape):
                await until(messages[0].at)
                for message in messages:
                    books.apply(message)
                waiting = waiting or asyncio.ensure_future(feed.when(baskets, MIN_EDGE))
                await turns()
                expected = naive(feed, baskets)
                if expected is None:
                    assert not waiting.done()
                    kept_still += 1
                    continue
                found = waiting.result()
                assert found is not None
                assert (found.basket, found.size, found.edge) == (expected.basket, expected.size, expected.edge)
                waiting, heard = None, heard + 1
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            return heard, kept_still

        some, none = run_virtual(main(), SimLoop(START))
        heard, kept_still = heard + some, kept_still + none
    assert min(heard, kept_still) > 200


def test_live_episodes_begin_where_the_recorded_ones_do() -> None:
    """The same messages, live and as a tape: the same baskets open at the same messages, until a book crosses.

    A crossed book stays out live until its next snapshot and comes back by itself in a recording. One book is streamed
    per market: of two, a pause closes both live and the one it was recorded of in a tape.
    """
    opened = 0
    for draw in range(40):
        tape = random_tape(np.random.default_rng(draw), 120, False, False)
        baskets = found_baskets(tape)
        plain = PlainScan(tape, baskets, Asked(int(MIN_EDGE))).run()

        async def main(tape: Tape = tape, baskets: list[Basket] = baskets) -> tuple[list[tuple[int, int]], int]:
            books = streamed(tape)
            feed = LiveFeed(books, gross=True, settle_ms=SETTLE / MS, rearm_s=REARM / 1e9)
            waiting = asyncio.ensure_future(feed.when(baskets, MIN_EDGE))
            await turns()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            starts, before = [], set[tuple[str, int]]()
            for messages in from_tape(tape):
                await until(messages[0].at)
                for message in messages:
                    books.apply(message)
                if any(home.trust is Health.CROSSED for home in books._homes.values()):
                    return starts, messages[0].at
                now = {(watched.basket.id, watched.ended) for watched in feed._watched.values() if watched.open}
                new = {name for name, _ in now - before}  # opened, perhaps a moment after a silence had ended it
                starts += [(messages[0].at, k) for k, basket in enumerate(baskets) if basket.id in new]
                before = now
            return starts, 2**62

        starts, stop = run_virtual(main(), SimLoop(START))
        recorded = sorted((p.start, k) for k, found in plain.pieces.items() for p in found if p.start < stop)
        assert sorted(one for one in starts if one[0] < stop) == recorded
        opened += len(recorded)
    assert opened > 100
