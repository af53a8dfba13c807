"""A recording heard message by message, as a live stream says it, is traded as the backtest of the recording is.

The venue is the same; the engine asks the live feed over streamed books instead of the recorded one. Two differences
are the stream's nature and are kept out of these tapes: messages of one instant, and what stays taken of a level that
the venue restates (a live venue's word has our own takes in it already, a recording's has not).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from arbkit.analysis.question import ask
from arbkit.backtest.latency import LatencyModel
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.simulated_venue import SimulatedVenue
from arbkit.backtest.world import Replay, World
from arbkit.books import meta as m
from arbkit.books.stream import StreamBooks
from arbkit.books.stream_events import Connected, Delta, Event, Message, Snapshot, SubscribedTo
from arbkit.books.stream_line import StreamConfig
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Side
from arbkit.detection.baskets import baskets
from arbkit.detection.live_feed import LiveFeed
from arbkit.history.synthetic import SyntheticSpec, synthetic_tape
from arbkit.history.tape import Tape
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import MemoryJournal

SIDES = {m.SIDE_BID: Side.BUY, m.SIDE_ASK: Side.SELL}
SCENARIO = Scenario(entry_ms=30.0, reply_ms=30.0, seed=4)


def said(tape: Tape) -> list[tuple[int, tuple[Event, ...]]]:
    """The tape as messages of a stream, (ns received, events): a clear opens a snapshot, a level is a new total."""
    rows, found, events = tape.rows, [], {}
    for at, book, code, price, size, venue in zip(
        *(c.tolist() for c in (rows.ts_recv, rows.book, rows.meta, rows.price, rows.size, rows.ts_venue)), strict=True
    ):
        kind, side = code & m.KIND_MASK, (code & m.SIDE_MASK) >> m.SIDE_SHIFT
        if kind == m.KIND_CLEAR:
            events[book] = True, []
        elif kind == m.KIND_LEVEL:
            events.setdefault(book, (False, []))[1].append((SIDES[side], price, size))
        if code & m.LAST:
            told: list[Event] = []
            for number, (is_whole, changed) in events.items():
                if is_whole:
                    halves = [tuple((p, n) for s, p, n in changed if s is side and n) for side in (Side.BUY, Side.SELL)]
                    told.append(Snapshot(number, halves[0], halves[1], venue))
                elif changed:
                    told.append(Delta(number, tuple(changed), venue))
            found.append((at, tuple(told)))
            events = {}
    return found


def streamed(tape: Tape, world: World, scenario: Scenario) -> tuple[LiveFeed, dict[str, SimulatedVenue]]:
    """The live feed of a world, told the tape by timers of its loop, and the venues whose takes it hears of."""
    recorded = [book for book in tape.markets.books if book.recorded]
    names = dict.fromkeys(book.venue for book in recorded)
    lines = {name: [book for book in recorded if book.venue == name] for name in names}
    patient = StreamConfig(max_silence_s=60.0, cross_check_s=3_600.0, max_quiet_s=3_600.0)
    books = StreamBooks(tape.markets, lines, now=world.loop.time_ns(), clock=world.clock, config=patient)
    feed = LiveFeed(books, clock=world.clock)
    start = world.loop.time_ns()
    ((name, of),) = lines.items()  # one venue: what several count, each counts for itself
    echo = SubscribedTo(tuple(dict.fromkeys(book.market.id for book in of)))
    for opening in (Message(name, start, (Connected(),)), Message(name, start, (echo,), "s")):
        world.loop.call_at_ns(start, partial(books.apply, opening))
    for number, (at, events) in enumerate(said(tape), 1):
        world.loop.call_at_ns(at, partial(books.apply, Message(name, at, events, "s", number)))
    world.loop.call_at_ns(int(tape.rows.ts_recv[-1]) + 1, feed.close)
    latency = LatencyModel(scenario.entry_ns, scenario.reply_ns, scenario.jitter, scenario.seed, "w", scenario.latency)

    def took(book: Any, side: int, price: int, size: int) -> None:
        feed.take(book, Side(side), price, size)

    fees = ask(
        tape, baskets(tape), min_edge=None, edge=None, rearm_s=1.0, assume_fees=None,
        config=ExecutionConfig(), scenario=scenario, study=None, quiet=True,
    ).fees  # fmt: skip
    venues = {
        name: SimulatedVenue(
            name, world.matcher, latency, cash=scenario.balance(name), fees=fees, on_take=took,
            habits=scenario.habits_of(name),
        )
        for name in names
    }  # fmt: skip
    return feed, venues


def run(tape: Tape, strategy: ExecutionStrategy, *, live: bool) -> list[ExecutionResult]:
    question = ask(
        tape, baskets(tape), min_edge=None, edge=None, rearm_s=1.0, assume_fees=None,
        config=ExecutionConfig(), scenario=SCENARIO, study=None, quiet=True,
    )  # fmt: skip
    world = Replay(tape, question.fees).world(SCENARIO, "w")
    feed, venues = streamed(tape, world, SCENARIO) if live else (world.feed, world.venues)
    engine = ArbitrageExecutionEngine(
        venues, feed, question.baskets, config=question.config, clock=world.clock, journal=MemoryJournal(), rearm_s=1.0
    )
    return list(world.run(engine.scan_and_execute(strategy)))


def told(results: list[ExecutionResult]) -> list[tuple[Any, ...]]:
    """What was traded, by whom it was asked left aside: the two feeds name an episode differently."""
    return [
        (
            result.started_at, result.outcome, result.trade.opportunity.basket.id, result.pnl,
            [
                (leg.index, order.side, order.limit, order.size, order.status, f.price, f.size, f.at, f.venue_at, f.row)
                for leg in result.trade.legs for order in leg.orders for f in order.fills
            ],
        )
        for result in results
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", list(ExecutionStrategy))
def test_a_stream_is_traded_as_its_recording_is(strategy: ExecutionStrategy) -> None:
    tape = synthetic_tape(SyntheticSpec(minutes=3.0, episodes=30), seed=8)
    recorded, live = (run(tape, strategy, live=which) for which in (False, True))
    assert len(recorded) > 15
    assert sum(len(order.fills) for r in recorded for leg in r.trade.legs for order in leg.orders) > 15
    assert told(live) == told(recorded)
