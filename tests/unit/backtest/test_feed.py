"""The client's view: nothing before it arrived, our own takes when their report does, and openings in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from arbkit.backtest.received import FeesByBook
from arbkit.backtest.scan import ScanResult, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay, World
from arbkit.core.errors import DataError, InvariantViolation
from arbkit.core.model import ArbitrageOpportunity, Basket, Health, Kind, Order, Side, TimeInForce
from arbkit.core.units import MICRO, NS_PER_MS, Cash
from arbkit.fees import rule
from arbkit.history.tape import Tape
from tests.builders import ASK, TapeBuilder, a_market, a_table, cents, ms, replace, shares

EDGE = Cash(10_000)  # one cent a share


def pair() -> TapeBuilder:
    """Two markets of one event; YES of both costs 55 + 50 at first."""
    table = a_table(a_market("a"), a_market("b"))
    builder = TapeBuilder(table).snapshot(0, [(40, 10)], [(55, 10)], book=0)
    return builder.snapshot(0, [(40, 10)], [(50, 10)], book=2)


def basket(tape: Tape) -> Basket:
    books = tape.markets.books
    return Basket("a+b", Kind.OUTCOMES, "event", (books[0], books[2]), Cash(MICRO), shares(1), shares(1))


def world(
    builder: TapeBuilder | Tape, row: int | None = None, fees: FeesByBook | None = None, **scenario: Any
) -> World:
    tape = builder.tape() if isinstance(builder, TapeBuilder) else builder
    replay = Replay(tape, fees)
    if row is not None:
        replay.forward(row)
    return replay.world(Scenario(**scenario), "test")


def asks(world: World, book: int = 0) -> list[tuple[int, int]]:
    view = world.feed.view(world.books[book])
    return [(level.price // cents(1), level.size // MICRO) for level in view.asks()]


def run(world: World, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    world.run(main())
    world.check()


def test_a_row_is_seen_when_it_was_received_and_not_when_it_happened() -> None:
    here = world(pair().level(100, ASK, 52, 3, venue=20), row=5)

    async def main() -> None:
        await asyncio.sleep(0.099)
        assert asks(here) == [(55, 10)]
        await asyncio.sleep(0.001)
        assert asks(here) == [(52, 3), (55, 10)]

    run(here, main)


def test_a_view_holds_for_its_instant_until_shares_of_it_are_known_to_be_ours() -> None:
    here = world(pair().level(100, ASK, 52, 3).mark(200), row=5)

    async def main() -> None:
        first = here.feed.view(here.books[0])
        assert here.feed.view(here.books[0]) is first
        here.feed.take(here.books[0], Side.BUY, cents(55), shares(4))
        assert asks(here) == [(55, 6)]
        assert first.asks()[0].size == shares(10)
        await asyncio.sleep(0.1)
        assert asks(here) == [(52, 3), (55, 6)]
        assert here.feed.view(here.books[0]).at == ms(100)

    run(here, main)


def test_feed_lag_comes_on_top_and_moves_the_clock_of_the_client() -> None:
    here = world(pair().level(100, ASK, 52, 3), row=5, feed_ms=30)

    async def main() -> None:
        assert here.clock.now() == ms(30)
        await asyncio.sleep(0.0999)
        assert asks(here) == [(55, 10)]
        await asyncio.sleep(0.0001)
        assert asks(here) == [(52, 3), (55, 10)]

    run(here, main)


def test_at_the_moment_of_decision_what_arrived_behind_it_is_not_read_yet() -> None:
    here = world(pair().level(100, ASK, 52, 3).level(100, ASK, 51, 3), row=6)

    async def main() -> None:
        assert here.clock.now() == ms(100)
        assert asks(here) == [(52, 3), (55, 10)]
        await asyncio.sleep(0)
        assert asks(here) == [(52, 3), (55, 10)]
        await asyncio.sleep(1e-9)
        assert asks(here) == [(51, 3), (52, 3), (55, 10)]

    run(here, main)


def test_health_grid_and_fees_stand_beside_the_levels() -> None:
    tape = pair().gap(50, book=2).tape()
    here = world(tape, row=5, max_silence_s=1)

    async def main() -> None:
        view = here.feed.view(here.books[1])
        assert (view.health, view.fees.name, view.at) == (Health.OK, "none", ms(0))
        assert view.grid.holds(cents(60))
        assert [level.price for level in view.asks()] == [cents(60)]
        await asyncio.sleep(0.06)
        assert here.feed.view(here.books[2]).health is Health.GAPPED
        await asyncio.sleep(2)
        assert here.feed.view(here.books[0]).health is Health.SILENT

    run(here, main)


def test_fees_are_those_of_the_book_and_a_book_without_any_is_named() -> None:
    fees: FeesByBook = {0: [(0, rule("none")), (ms(50), rule("kalshi-2026-07-07"))]}
    here = world(pair().level(100, ASK, 52, 3), row=5, fees=fees)

    async def main() -> None:
        assert here.feed.view(here.books[0]).fees.name == "none"
        assert here.feed.view(here.books[1]).fees.name == "none"  # the market's other outcome
        await asyncio.sleep(0.05)
        assert here.feed.view(here.books[0]).fees.name == "kalshi-2026-07-07"
        with pytest.raises(DataError, match="no fee rule for venue:b:yes"):
            here.feed.view(here.books[2])

    run(here, main)


# -- our own takes -------------------------------------------------------------------------------------------


def test_what_we_took_disappears_when_its_report_arrives_and_not_before() -> None:
    here = world(pair(), row=5, entry_ms=50, reply_ms=30)

    async def main() -> None:
        order = Order("o", here.books[0], Side.BUY, cents(55), shares(4), TimeInForce.FAK)
        sent = asyncio.create_task(here.venues["venue"].submit(order))
        await asyncio.sleep(0.079)
        assert asks(here) == [(55, 10)]
        assert (await here.venues["venue"].positions()) == {}
        await asyncio.sleep(0.001)
        await sent
        assert asks(here) == [(55, 6)]
        assert [level.size for level in here.feed.view(here.books[1]).bids()] == [shares(6)]

    run(here, main)


def test_a_take_shows_on_both_recorded_books_of_a_market() -> None:
    builder = TapeBuilder(both=True).snapshot(0, [(48, 10)], [(52, 10)])
    here = world(builder.snapshot(0, [(48, 10)], [(52, 10)], book=1), row=5)

    async def main() -> None:
        order = Order("o", here.books[1], Side.BUY, cents(52), shares(4), TimeInForce.FAK)
        await here.venues["venue"].submit(order)
        assert asks(here, 1) == [(52, 6)]
        assert [(level.price, level.size) for level in here.feed.view(here.books[0]).bids()] == [(cents(48), shares(6))]

    run(here, main)


def test_an_offer_that_came_to_our_resting_order_is_ours_in_the_view_too() -> None:
    builder = pair().trade(10, 40, 1).level(200, ASK, 45, 7)
    here = world(builder, row=5)

    async def main() -> None:
        venue = here.venues["venue"]
        order = Order("o", here.books[0], Side.BUY, cents(46), shares(5), TimeInForce.GTC)
        await venue.submit(order)
        last = [report async for report in venue.reports(order)][-1]
        assert last.fills[0].model == "moved through"
        assert last.fills[0].price == cents(46)
        assert asks(here) == [(45, 2), (55, 10)]

    run(here, main)


# -- openings ------------------------------------------------------------------------------------------------


def openings(here: World, wanted: Basket, pause_s: float = 0.0005) -> list[ArbitrageOpportunity]:
    """Every opening the feed tells of, once."""
    found: dict[str, ArbitrageOpportunity] = {}

    async def main() -> None:
        while (seen := await here.feed.when([wanted], EDGE)) is not None:
            found.setdefault(seen.id, seen)
            await asyncio.sleep(pause_s)

    run(here, main)
    return list(found.values())


def scanned(tape: Tape) -> ScanResult:
    return scan_tape(
        tape, [basket(tape)], min_edge=EDGE, gross=True, max_size=shares(100), max_exposure=Cash(10**12), fees=None
    )


def test_the_one_who_waits_is_woken_at_the_first_boundary_with_an_edge() -> None:
    builder = pair().level(100, ASK, 49, 4, book=2, last=False).level(100, ASK, 48, 3, book=2)
    builder.level(300, ASK, 44, 6).level(400, ASK, 44, 0)
    tape = builder.tape()
    here = world(tape)

    async def main() -> None:
        seen = await here.feed.when([basket(tape)], EDGE)
        assert seen is not None
        assert (here.clock.now(), seen.detected_at, seen.size) == (ms(300), ms(300), shares(6))
        assert seen.edge == seen.edge_gross == (3 * 8 + 3 * 7) * 10_000
        assert asks(here) == [(44, 6), (55, 10)]
        assert seen.id == scanned(tape).opportunities()[0].id

    run(here, main)


def test_when_the_tape_ends_there_is_nothing_more_to_wait_for() -> None:
    tape = pair().mark(5_000).tape()
    here = world(tape)

    async def main() -> None:
        assert await here.feed.when([basket(tape)], EDGE) is None
        assert here.clock.now() == ms(5_000)
        assert await here.feed.when([basket(tape)], EDGE) is None

    run(here, main)


def test_patience_ends_while_waiting_and_asking_again_goes_on() -> None:
    tape = pair().level(300, ASK, 44, 6).tape()
    here = world(tape)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await here.feed.when([basket(tape)], EDGE)
        assert here.clock.now() == ms(100)
        seen = await here.feed.when([basket(tape)], EDGE)
        assert seen is not None
        assert seen.detected_at == ms(300)

    run(here, main)


def test_what_is_open_already_is_told_at_once_under_the_name_of_its_episode() -> None:
    """It opened while nobody asked; another opening within a second is the same episode, a later one is not."""
    builder = pair().level(300, ASK, 44, 6).level(400, ASK, 44, 0).level(900, ASK, 44, 6).level(1_000, ASK, 44, 0)
    builder.level(2_500, ASK, 44, 6).mark(9_000)
    tape = builder.tape()
    here, wanted = world(tape), basket(tape)
    first, second = (opportunity.id for opportunity in scanned(tape).opportunities())

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await here.feed.when([wanted], EDGE)
        await asyncio.sleep(0.94)
        seen = await here.feed.when([wanted], EDGE)
        assert seen is not None
        assert (seen.id, seen.detected_at) == (first, ms(950))
        await asyncio.sleep(0.1)
        seen = await here.feed.when([wanted], EDGE)
        assert seen is not None
        assert (seen.id, seen.detected_at) == (second, ms(2_500))

    run(here, main)


def test_openings_are_those_of_the_scan() -> None:
    builder = pair()
    for n in range(400):
        at = 7 * (n + 1)
        builder.level(at, ASK, 40 + (n * 37) % 17, (n * 5) % 4, book=2 * (n % 2))
    tape = builder.mark(9_000).tape()
    want = scanned(tape).opportunities()
    found = openings(world(tape), basket(tape))
    assert [seen.id for seen in found] == [opportunity.id for opportunity in want]
    assert [seen.detected_at for seen in found] == [opportunity.detected_at for opportunity in want]
    assert [seen.size for seen in found] == [opportunity.size for opportunity in want]


def test_what_we_took_opens_nothing_until_new_size_comes() -> None:
    tape = pair().level(300, ASK, 44, 6).level(800, ASK, 44, 6).level(1_500, ASK, 44, 8).mark(9_000).tape()
    here, wanted = world(tape, entry_ms=10, reply_ms=10), basket(tape)

    async def main() -> None:
        seen = await here.feed.when([wanted], EDGE)
        assert seen is not None
        order = Order("o", here.books[0], Side.BUY, cents(44), shares(6), TimeInForce.FAK)
        await here.venues["venue"].submit(order)
        again = await here.feed.when([wanted], EDGE)
        assert again is not None
        assert (again.detected_at, again.size) == (ms(1_500), shares(2))

    run(here, main)


def test_a_report_that_arrives_while_somebody_waits_changes_what_is_waited_for() -> None:
    """The offers at 45 fill our resting bid; who waits for the same offers must not be woken by what is ours."""
    builder = pair().trade(5, 30, 1, book=0).level(200, ASK, 45, 6).level(600, ASK, 44, 2, book=2).mark(9_000)
    tape = builder.tape()
    here, wanted = world(tape, entry_ms=10, reply_ms=10), basket(tape)

    async def main() -> None:
        resting = Order("o", here.books[0], Side.BUY, cents(45), shares(6), TimeInForce.GTC)
        await here.venues["venue"].submit(resting)
        seen = await here.feed.when([wanted], Cash(60_000))  # six cents: 45 + 50 is five, 45 + 44 would be eleven
        assert seen is None
        assert (await here.venues["venue"].positions()) == {0: shares(6)}

    run(here, main)


def test_only_one_may_wait_at_a_time() -> None:
    tape = pair().mark(500).tape()
    here = world(tape)

    async def main() -> None:
        waiting = asyncio.create_task(here.feed.when([basket(tape)], EDGE))
        await asyncio.sleep(0)
        with pytest.raises(InvariantViolation, match="twice at once"):
            await here.feed.when([basket(tape)], EDGE)
        assert await waiting is None

    run(here, main)


def test_baskets_may_be_asked_for_in_turns() -> None:
    tape = pair().level(300, ASK, 44, 6).level(700, ASK, 44, 0).mark(2_000).tape()
    here, wanted = world(tape), basket(tape)
    other = Basket("b+a", Kind.OUTCOMES, "event", wanted.legs[::-1], Cash(990_000), shares(1), shares(1))

    async def main() -> None:
        seen = await here.feed.when([other], Cash(55_000))
        assert seen is None or seen.basket.id == "b+a"
        assert here.clock.now() == ms(2_000)
        assert await here.feed.when([wanted, other], EDGE) is None

    run(here, main)


@pytest.mark.parametrize("between", [["b+a"], ["a+b", "b+a"], ["b+a", "a+b"]])
def test_an_episode_keeps_its_name_when_another_basket_is_asked_for(between: list[str]) -> None:
    tape = pair().level(300, ASK, 44, 6).level(500, ASK, 57, 6).level(5_000, ASK, 44, 0).mark(9_000).tape()
    here, wanted = world(tape), basket(tape)
    known = {"a+b": wanted, "b+a": replace(wanted, id="b+a", floor=Cash(900_000))}  # the second never opens
    (expected,) = scanned(tape).opportunities()

    async def main() -> None:
        for asked in (["a+b"], between, ["a+b"]):
            try:
                async with asyncio.timeout(1.5):
                    seen = await here.feed.when([known[name] for name in asked], EDGE)
            except TimeoutError:
                continue
            assert seen is not None
            assert (seen.basket.id, seen.id) == ("a+b", expected.id)
            await asyncio.sleep(0.4)

    run(here, main)


def test_gross_edges_may_be_asked_for_where_fees_are_known() -> None:
    tape = pair().level(300, ASK, 49, 6).mark(900).tape()
    fees: FeesByBook = {book.index: rule("polymarket-sports-2026-07-10") for book in tape.markets.books}
    replay = Replay(tape, fees)
    here = replay.world(Scenario(), "test", gross=True)

    async def main() -> None:
        seen = await here.feed.when([basket(tape)], EDGE)
        assert seen is not None
        assert seen.detected_at == ms(300)
        assert seen.edge < EDGE * 6 <= seen.edge_gross

    run(here, main)


# -- replay --------------------------------------------------------------------------------------------------


def test_a_replay_gives_the_same_world_as_a_fresh_one_at_the_same_place() -> None:
    builder = pair()
    for n in range(60):
        builder.level(10 * (n + 1), ASK, 50 + n % 5, n % 7, book=2 * (n % 2), venue=10 * (n + 1) - n % 9)
    tape = builder.tape()
    moving = Replay(tape)
    for row in (7, 8, 30, 30, 65):
        moving.forward(row)
        fresh = Replay(tape)
        fresh.forward(row)
        assert (moving.position, moving.venue_position, moving.now) == (fresh.position, fresh.venue_position, fresh.now)
        for mine, other in zip(moving.ladders, fresh.ladders, strict=True):
            assert (mine == other).all()
        for mine, other in zip(moving.books.ladders, fresh.books.ladders, strict=True):
            assert (mine == other).all()


@pytest.mark.parametrize("chunk_rows", [1, 3, 1_000])
def test_quotes_at_even_steps_are_the_bests_of_the_books_stopped_at_each(chunk_rows: int) -> None:
    builder = pair()
    for n in range(60):
        builder.level(10 * (n + 1), ASK, 50 + n % 5, n % 7, book=2 * (n % 2), venue=10 * (n + 1) - n % 9)
    tape = builder.tape()
    stepping, stopped = Replay(tape, chunk_rows=chunk_rows), Replay(tape)
    start, seen, books = stepping.now, [], [tape.markets.books[index] for index in (0, 2, 3)]
    for found in (stepping.quotes(books, 7 * NS_PER_MS, steps) for steps in (40, 0, 55)):
        seen += found.tolist()
    for step, quotes in enumerate(seen, 1):
        stopped.forward_to(start + step * 7 * NS_PER_MS)
        top, price = stopped.ladders.best["slot"].tolist(), stopped.ladders.price.tolist()
        bids, asks = ([price[slot] if slot >= 0 else -1 for slot in side] for side in top)
        mirrored = [[MICRO - best if best >= 0 else -1 for best in side] for side in (asks, bids)]
        assert quotes == [[bids[0], bids[2], mirrored[0][2]], [asks[0], asks[2], mirrored[1][2]]]
    assert len({tuple(quotes[1]) for quotes in seen}) == 5
    assert (stepping.position, stepping.venue_position) == (stopped.position, stopped.venue_position)
    assert stepping.now == stopped.now
    for mine, other in zip(stepping.books.ladders, stopped.books.ladders, strict=True):
        assert (mine == other).all()


def test_a_replay_does_not_step_backwards() -> None:
    with pytest.raises(InvariantViolation, match="not by 0"):
        Replay(pair().tape()).quotes([], 0, 1)


def test_a_client_far_behind_takes_over_the_books_that_it_would_have_read() -> None:
    """Beside it a client that looks at every step, and so reads row by row; a fill in between is taken from both."""
    builder = pair()
    for n in range(900):
        builder.level(300 + n, ASK, 50 + n % 5, 1 + n % 7)
    tape = builder.level(1_300, ASK, 49, 6).mark(2_000).tape()
    books = []
    for looks in (False, True):
        replay = Replay(tape)
        replay.forward(5)
        here = replay.world(Scenario(), "test")

        async def main(here: World = here, looks: bool = looks) -> None:
            order = Order("o", here.books[0], Side.BUY, cents(55), shares(4), TimeInForce.FAK)
            assert (await here.venues["venue"].submit(order)).fills
            waiting = asyncio.ensure_future(here.feed.when([basket(tape)], EDGE))
            while looks and not waiting.done():
                await asyncio.sleep(0.001)
                here.feed.view(here.books[0])
            assert await waiting is not None

        run(here, main)
        books.append((here.feed.position, here.feed.ladders))
    (jumped, mine), (read, other) = books
    assert jumped == read > 600
    for column, theirs in zip(mine, other, strict=True):
        assert (column == theirs).all()


def test_worlds_leave_no_trace_in_the_replay_and_in_each_other() -> None:
    tape = pair().tape()
    replay = Replay(tape)
    replay.forward(5)
    for _ in range(3):
        here = replay.world(Scenario(), "test")

        async def main(here: World = here) -> None:
            order = Order("o", here.books[0], Side.BUY, cents(55), shares(10), TimeInForce.FAK)
            report = await here.venues["venue"].submit(order)
            assert [fill.size for fill in report.fills] == [shares(10)]
            assert asks(here) == []

        run(here, main)


def test_a_replay_goes_forward_only() -> None:
    tape = pair().level(100, ASK, 52, 3).tape()
    replay = Replay(tape)
    replay.forward(6)
    replay.forward_to(ms(150))
    with pytest.raises(InvariantViolation, match="row 3"):
        replay.forward(3)
    with pytest.raises(InvariantViolation, match="does not go back"):
        replay.forward_to(ms(149))
    with pytest.raises(InvariantViolation, match="cannot know"):
        replay.world(Scenario(), at=ms(100))


def test_a_decision_between_two_messages_begins_at_its_own_time() -> None:
    tape = pair().level(100, ASK, 52, 3).level(180, ASK, 51, 1).tape()
    replay = Replay(tape)
    replay.forward(6)
    here = replay.world(Scenario(feed_ms=5), at=ms(150))

    async def main() -> None:
        assert here.clock.now() == ms(155)
        assert asks(here) == [(52, 3), (55, 10)]
        order = Order("o", here.books[0], Side.BUY, cents(52), shares(9), TimeInForce.FAK)
        report = await here.venues["venue"].submit(order)
        assert [(fill.price, fill.size, fill.venue_at) for fill in report.fills] == [
            (cents(51), shares(1), ms(205)),
            (cents(52), shares(3), ms(205)),
        ]

    run(here, main)


def test_an_empty_tape_is_a_world_in_which_nothing_happens() -> None:
    tape = Tape.from_columns(a_table(), ts_recv=[], book=[], meta=[], price=[], size=[])
    here = Replay(tape).world(Scenario())

    async def main() -> None:
        assert here.feed.view(here.books[0]).health is Health.UNKNOWN
        await asyncio.sleep(NS_PER_MS / 1e9)
        assert here.opening_cash == 10_000 * MICRO

    run(here, main)
