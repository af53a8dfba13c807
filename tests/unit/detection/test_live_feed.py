# ruff: noqa: N802 - fault tests carry the fault's id
"""The live feed: when it speaks, of what, and when it keeps still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.books.stream_events import Delta, MarketStatus, Snapshot, Status, Terms
from arbkit.core.clock import LoopClock
from arbkit.core.errors import ConfigError, InvariantViolation
from arbkit.core.model import ArbitrageOpportunity, Basket, Health, Kind, MarketTable, Side
from arbkit.core.ports import BookFeed
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.live_feed import LiveFeed
from arbkit.detection.opportunity import opportunity_in
from arbkit.fees import rule
from tests.builders import START, a_market, a_table, cents, shares
from tests.stream_rig import ASK, BID, StreamRig, VirtualClock, changes, pairs

EDGE = Cash(10_000)


class Live:
    """Streamed books in virtual time, a feed over them, and whatever the test says meanwhile."""

    def __init__(self, *, both: bool = False, numbered: bool = False, **more: Any) -> None:
        table: MarketTable = a_table(a_market("a"), a_market("b"), both=both)
        self.rig = StreamRig(table=table, numbered=numbered, clock=VirtualClock(), connect=False)
        self.feed = LiveFeed(self.rig.books, **more)
        self.cross = self.basket("cross", Kind.CROSS_VENUE, 0, 3)
        self.pair = self.basket("pair", Kind.COMPLEMENT, 0, 1)

    def basket(self, name: str, kind: Kind, *legs: int, q: int = 2) -> Basket:
        books = tuple(self.rig.table.books[i] for i in legs)
        return Basket(name, kind, "e", books, Cash(MICRO), shares(q), Size(MICRO))

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            self.start()
            return await main()

        return run_virtual(whole(), SimLoop(START))

    def start(self) -> None:
        """YES of a at 40 / 45, YES of b at 46 / 50: a's YES and b's NO cost .45 + .54."""
        rig = self.rig
        rig.connect()
        both = rig.table.books[1].recorded
        rig.snapshot(0, [(30 if both else 40, 5)], [(45, 5)], venue=0)
        rig.snapshot(2, [(46, 9)], [(50, 9)], venue=0)
        if both:  # a market whose books leave room for a gap between them
            rig.snapshot(1, [(50, 5)], [(60, 5)], venue=0)
            rig.snapshot(3, [(50, 9)], [(54, 9)], venue=0)

    def now(self) -> int:
        return int((LoopClock().now() - START) // 1_000_000)

    def level(self, book: int, side: Side, price: int, size: int, lag: int = 0) -> None:
        self.rig.level(side, price, size, book=book, venue=self.now() - lag)

    def beat(self) -> None:
        self.rig.say()

    async def after(self, milliseconds: int) -> None:
        await asyncio.sleep(milliseconds / 1_000)


def test_it_is_a_feed_to_the_engine() -> None:
    live = Live()
    feed: BookFeed = live.feed
    view = live.run(lambda: asyncio.sleep(0, feed.view(live.rig.table.books[1])))
    assert [level.price for level in view.asks()] == [cents(60)]


def test_what_is_open_already_is_returned_at_once_as_the_plain_function_finds_it() -> None:
    live = Live()

    async def main() -> tuple[ArbitrageOpportunity | None, ArbitrageOpportunity | None]:
        found = await live.feed.when([live.pair, live.cross], EDGE)
        views = [live.feed.view(leg) for leg in live.cross.legs]
        return found, opportunity_in(views, live.cross, EDGE, Size(10**13), kind=Kind.CROSS_VENUE)

    found, plain = live.run(main)
    assert found is not None
    assert plain is not None
    assert (found.basket, found.size, found.edge) == (live.cross, plain.size, plain.edge)
    assert (found.size, found.edge, found.detected_at) == (shares(5), Cash(50_000), START)


def test_it_wakes_at_the_message_that_opens_a_basket_and_not_before() -> None:
    live = Live()

    async def main() -> tuple[int, ArbitrageOpportunity | None]:
        waiting = asyncio.ensure_future(live.feed.when([live.cross], Cash(20_000)))
        await live.after(50)
        live.level(0, ASK, 45, 9)
        await live.after(50)
        assert not waiting.done()
        live.level(2, BID, 47, 9)
        found = await waiting
        return live.now(), found

    at, found = live.run(main)
    assert at == 100
    assert found is not None
    assert (found.size, found.edge) == (shares(9), Cash(180_000))


def test_of_several_open_baskets_the_first_asked_for_is_returned() -> None:
    live = Live()
    other = live.basket("other", Kind.CROSS_VENUE, 3, 0)

    async def main() -> list[str]:
        names = []
        for asked in ([live.cross, other], [other, live.cross]):
            found = await live.feed.when(asked, EDGE)
            assert found is not None
            names.append(found.basket.id)
        return names

    assert live.run(main) == ["cross", "other"]


def test_an_episode_keeps_its_id_until_it_was_over_for_longer_than_rearm() -> None:
    live = Live()

    async def main() -> list[str]:
        ids = []

        async def ask() -> None:
            found = await live.feed.when([live.cross], EDGE)
            assert found is not None
            ids.append(found.id)

        await ask()
        await live.after(10)
        live.level(0, ASK, 45, 8)  # the same episode, another message
        await ask()
        for away in (900, 1_100):
            live.level(2, BID, 46, 0)
            await live.after(away)
            live.beat()
            live.level(2, BID, 46, 9)
            await ask()
        return ids

    first, same, entered_again, new = live.run(main)
    assert first == same == entered_again != new


def test_silence_ends_an_episode_when_it_began_and_a_message_after_it_opens_again() -> None:
    live = Live()

    async def main() -> list[tuple[int, str]]:
        found = []

        async def ask() -> None:
            opportunity = await live.feed.when([live.cross], EDGE)
            assert opportunity is not None
            found.append((live.now(), opportunity.id))

        await ask()
        for pause in (2_900, 3_100):  # silent for 0.9 s and for 1.1 s
            await live.after(pause)
            waiting = asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            assert not waiting.done()
            live.beat()
            await waiting
        return found

    (a, first), (b, entered_again), (c, new) = live.run(main)
    assert (a, b, c) == (0, 2_900, 6_000)
    assert first == entered_again != new


@pytest.mark.parametrize("why", ["gap", "paused", "crossed", "terms", "stale", "disconnect"])
def test_a_book_that_may_not_price_opens_nothing(why: str) -> None:
    live = Live()

    async def main() -> Health:
        rig = live.rig
        if why == "gap":
            live.level(0, ASK, 45, -1)
        elif why == "paused":
            rig.next(Status(0, MarketStatus.PAUSED))
        elif why == "crossed":
            live.level(0, BID, 45, 1)
        elif why == "terms":
            live.feed.distrust(rig.table.books[0], "tick")
        elif why == "stale":
            live.feed.mark_stale("late")
        else:
            rig.disconnect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await live.feed.when([live.cross], EDGE)
        return rig.health()

    assert live.run(main) is not Health.OK


def test_a_market_that_opens_again_is_judged_again() -> None:
    live = Live()

    async def main() -> int:
        live.rig.next(Status(0, MarketStatus.PAUSED))
        waiting = asyncio.ensure_future(live.feed.when([live.cross], EDGE))
        await live.after(30)
        live.rig.next(Status(0, MarketStatus.OPEN))
        await waiting
        return live.now()

    assert live.run(main) == 30


def test_it_ends_when_closed_or_when_nothing_asked_for_can_open_any_more() -> None:
    live = Live()
    shut = live.basket("shut", Kind.CROSS_VENUE, 1, 2)

    async def main() -> list[object]:
        ends: list[object] = []
        waiting = asyncio.ensure_future(live.feed.when([shut], EDGE))
        await live.after(10)
        live.rig.next(Status(0, MarketStatus.RESOLVED))
        ends.append(await waiting)
        ends.append(await live.feed.when([shut, live.cross], EDGE))
        other = live.basket("b only", Kind.COMPLEMENT, 2, 3)
        waiting = asyncio.ensure_future(live.feed.when([other], EDGE))
        await live.after(10)
        live.feed.close()
        ends.append(await waiting)
        return ends

    assert live.run(main) == [None, None, None]


def test_a_basket_that_is_open_is_returned_before_the_end_is() -> None:
    live = Live()

    async def main() -> ArbitrageOpportunity | None:
        live.feed.close()
        return await live.feed.when([live.cross], EDGE)

    assert live.run(main) is not None


def test_one_call_waits_at_a_time_and_a_cancelled_one_makes_room() -> None:
    live = Live()

    async def main() -> None:
        waiting = asyncio.ensure_future(live.feed.when([live.pair], EDGE))
        await asyncio.sleep(0)
        with pytest.raises(InvariantViolation, match="twice at once"):
            await live.feed.when([live.cross], EDGE)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await live.feed.when([live.cross], EDGE) is not None

    live.run(main)


def test_net_edges_count_fees_and_gross_ones_do_not() -> None:
    async def asked(live: Live) -> ArbitrageOpportunity | None:
        for book in (0, 2):
            live.rig.next(Terms(book, fees=rule("kalshi-2026-07-07")))
        live.feed.close()
        return await live.feed.when([live.cross], EDGE)

    net, gross = Live(), Live(gross=True)
    assert net.run(lambda: asked(net)) is None
    found = gross.run(lambda: asked(gross))
    assert found is not None
    assert found.edge < found.edge_gross == Cash(50_000)


def test_fault_V21_a_minimum_that_rose_is_the_least_that_opens() -> None:
    live = Live()

    async def main() -> tuple[ArbitrageOpportunity | None, ...]:
        live.feed.close()
        live.rig.next(Terms(2, min_size=shares(5)))
        five = await live.feed.when([live.cross], EDGE)
        live.rig.next(Terms(2, min_size=shares(6)))
        return five, await live.feed.when([live.cross], EDGE)

    five, six = live.run(main)
    assert five is not None
    assert (five.basket.id, five.basket.min_size) == ("cross", shares(5))
    assert six is None


def test_what_we_took_does_not_open_a_basket_again() -> None:
    live = Live()

    async def main() -> ArbitrageOpportunity | None:
        live.feed.take(live.rig.table.books[0], Side.BUY, cents(45), shares(4))
        live.feed.close()
        return await live.feed.when([live.cross], EDGE)

    assert live.run(main) is None


def test_settings_that_cannot_be_meant_are_refused() -> None:
    rig = StreamRig()
    for wrong in ({"settle_ms": -1}, {"rearm_s": 0}, {"settle_ms": float("nan")}):
        with pytest.raises(ConfigError):
            LiveFeed(rig.books, **wrong)


# -- pairs of mirrored books ---------------------------------------------------------------------------------


def test_a_pair_opens_when_its_edge_has_stood_for_the_settle_time_without_any_message() -> None:
    live = Live(both=True)

    async def main() -> int:
        await live.after(10)
        live.level(0, ASK, 42, 5)
        live.level(1, ASK, 55, 5)
        found = await live.feed.when([live.pair], EDGE)
        assert found is not None
        return live.now()

    assert live.run(main) == 110


def test_a_late_leg_opens_nothing_and_the_settle_time_starts_anew() -> None:
    live = Live(both=True)

    async def main() -> int:
        waiting = asyncio.ensure_future(live.feed.when([live.pair], EDGE))
        await live.after(10)
        live.level(0, ASK, 38, 5)  # the bid of NO follows 60 ms later
        live.level(1, ASK, 60, 5)
        await live.after(60)
        live.level(0, ASK, 38, 0)
        await live.after(80)
        assert not waiting.done()
        live.level(0, ASK, 38, 5)
        live.level(1, ASK, 60, 6)
        await waiting
        return live.now()

    assert live.run(main) == 250


def test_a_pair_whose_messages_travelled_differently_long_is_unsynchronised() -> None:
    live = Live(both=True)

    async def main() -> int:
        waiting = asyncio.ensure_future(live.feed.when([live.pair], EDGE))
        await live.after(300)
        live.level(0, ASK, 38, 5, lag=0)
        live.level(1, ASK, 60, 6, lag=100)
        await live.after(200)
        assert not waiting.done()
        live.level(1, ASK, 60, 5, lag=99)
        await waiting
        return live.now()

    assert live.run(main) == 500


def test_without_stamps_a_pair_opens_only_when_one_message_set_both_best_asks() -> None:
    live = Live(both=True, numbered=True)

    def level(*at: tuple[int, int]) -> None:
        live.rig.next(*(Delta(book, changes((ASK, price, 5))) for book, price in at))

    async def main() -> int:
        waiting = asyncio.ensure_future(live.feed.when([live.pair], EDGE))
        await live.after(10)
        level((0, 38))
        level((1, 59))
        await live.after(200)
        assert not waiting.done()
        level((0, 37), (1, 58))
        await waiting
        return live.now()

    assert live.run(main) == 210


def test_a_complement_that_is_one_streamed_book_needs_no_settling_and_never_opens() -> None:
    live = Live()

    async def main() -> ArbitrageOpportunity | None:
        live.rig.next(Snapshot(0, pairs([(44, 9)]), pairs([(45, 9)]), LoopClock().now()))
        live.feed.close()
        return await live.feed.when([live.pair], Cash(-9_999))

    assert live.run(main) is None
