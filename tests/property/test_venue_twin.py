"""The simulated venue, habits and all, against the plain one: every answer, report and balance, on random tapes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from functools import partial
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.backtest.habits import Habits, Rate, Window, restart
from arbkit.backtest.latency import Constant
from arbkit.backtest.queue import NAMES
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay
from arbkit.core.errors import OrderRejected, OrderStateUnknown, VenueUnavailable
from arbkit.core.model import Order, OrderReport, Side, TimeInForce
from arbkit.core.units import MICRO
from arbkit.history.tape import Tape
from tests.builders import cents, ms, replace, shares
from tests.property.plain_venue import PlainVenue, Times
from tests.property.test_matcher_twin import random_tape

TAPES = int(os.environ.get("ARBKIT_TWIN_TAPES", "300"))
CASH = 25 * MICRO
MS = 1_000_000
AWAY = {"is down": "down", "too many": "too many"}
Action = tuple[int, Order | str]


def random_habits(random: Random, tape: Tape) -> Habits:
    last = (int(tape.rows.ts_recv[-1]) - ms(0)) // MS
    windows: list[Window] = []
    if random.random() < 0.4:
        windows += restart(ms(random.randint(0, last)), random.choice((0.3, 2.0)), random.choice((0.5, 3.0)))
    if random.random() < 0.3:
        start = random.randint(0, last)
        windows.append(Window("cancel-only", ms(start), ms(start + random.choice((100, 2_000)))))
    settle = random.choice((0.0, 0.0, 0.3, 2.0))
    return Habits(
        hold_ms=random.choice((0, 0, 50, 250, 1_500)),
        holds={"b": 700} if random.random() < 0.2 else {},
        min_taking=random.choice((0.0, 0.0, 3.0)),
        windows=tuple(windows),
        orders=Rate(random.choice((1, 3)), random.choice((1, 4))) if random.random() < 0.3 else None,
        cancels=Rate(1, 1) if random.random() < 0.3 else None,
        settle_s=settle,
        failing=random.choice((0.0, 0.5)) if settle else 0.0,
        pays_s=random.choice((None, 0.0, 0.5)),
        self_trade=random.choice(("taker", "maker")),
        gtd_least_s=random.choice((0.0, 0.0, 1.0)),
        gtd_early_s=random.choice((0.0, 0.0, 0.4)),
    )


def random_messages(random: Random, tape: Tape) -> list[Action]:
    """Orders, cancels and orders sent again, each at a nanosecond of its own."""
    last = (int(tape.rows.ts_recv[-1]) - ms(0)) // MS
    actions: list[Action] = []
    for n in range(random.randint(6, 20)):
        book, side = random.choice(tape.markets.books), random.choice((Side.BUY, Side.BUY, Side.BUY, Side.SELL))
        tif = random.choice(
            (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.GTD, TimeInForce.FAK, TimeInForce.FAK, TimeInForce.FOK)
        )
        limit = random.randint(47, 49) if tif.rests and random.random() < 0.7 else random.randint(50, 54)
        limit = limit if side is Side.BUY else 100 - limit
        post_only = tif.rests and random.random() < 0.4
        order = Order(f"o{n}", book, side, cents(limit), shares(random.randint(1, 12)), tif, post_only)
        at = ms(random.randint(1, last + 20))
        if tif is TimeInForce.GTD or random.random() < 0.02:
            # At a nanosecond of its own as well: what happens at one instant has an order that is nobody's business.
            until = random.choice((5, 200, 900, 2_500, 8_000, 40_000))
            order = replace(order, expires=at + MS * until + 500_003 + n if random.random() < 0.97 else 0)
        actions.append((at, order))
        if random.random() < 0.15:
            actions.append((at + MS * random.randint(1, 900), order))
        cancels = range(random.choice((0, 0, 1, 2)))
        actions += [(at + MS * random.choice((3, 40, 120, 400, 2_000)), order.client_id) for _ in cancels]
    actions.sort(key=lambda action: action[0])
    return [(at + 17 * n + 1, what) for n, (at, what) in enumerate(actions)]


def fills_of(report: OrderReport) -> tuple[tuple[int, int, str], ...]:
    return tuple((int(fill.price), int(fill.size), fill.settlement.value) for fill in report.fills)


def word_of(report: OrderReport) -> tuple[Any, ...]:
    return report.status.value, report.reason.split(" ")[0].rstrip(":"), fills_of(report)


def simulated(
    tape: Tape, actions: list[Action], queue: str, habits: Habits, times: Times, seed: int, chunk: int
) -> tuple[Any, ...]:
    scenario = Scenario(
        queue=queue,
        balances=CASH / MICRO,
        seed=seed,
        habits={"venue": habits},
        latency={name: Constant(getattr(times, name) / MS) for name in ("place", "cancel", "reply", "report")},
    )
    world = Replay(tape).world(scenario, "twin", chunk_rows=chunk)
    venue, said = world.venues["venue"], dict[int, tuple[int, Any]]()
    orders = {what.client_id: what for _, what in actions if isinstance(what, Order)}

    async def one(number: int, what: Order | str) -> None:
        try:
            if isinstance(what, Order):
                word: Any = word_of(await venue.submit(what))
            else:
                word = word_of(await venue.cancel(orders[what]))
        except OrderRejected as no:
            word = ("rejected", str(no).split(" ")[0].rstrip(":"), ())
        except OrderStateUnknown:
            word = "unknown"
        except VenueUnavailable as away:
            word = next(short for long, short in AWAY.items() if long in str(away) and (away.retry_after_s or 0) > 0)
        said[number] = (world.loop.time_ns(), word)

    async def main() -> tuple[int, dict[int, int]]:
        loop, tasks = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        for number, (at, what) in enumerate(actions):
            world.loop.call_at_ns(at, lambda n=number, w=what: tasks.append(loop.create_task(one(n, w))))
        over: asyncio.Future[None] = loop.create_future()
        world.loop.call_at_ns(ends(tape), partial(over.set_result, None))
        await over
        held = {book: int(size) for book, size in (await venue.positions()).items()}
        return int(await venue.balance()), held

    account = world.run(main())
    world.check()
    reports = {
        key: [(r.at, (r.status.value, r.reason.split(" ")[0].rstrip(":"), fills_of(r))) for r in record.reports]
        for key, record in venue._desk.records.items()
    }
    return said, reports, account


def ends(tape: Tape) -> int:
    return int(max(tape.rows.ts_recv[-1], tape.venue_time[-1])) + 20_000 * MS


def expected(
    tape: Tape, actions: list[Action], queue: str, habits: Habits, times: Times, seed: int
) -> tuple[PlainVenue, tuple[Any, ...]]:
    plain = PlainVenue(tape, queue, habits, times, CASH, seed, "twin")
    for number, (at, what) in enumerate(actions):
        plain.send(number, at, what)
    plain.run(ends(tape))
    plain.pay(ends(tape))
    bids = [o for o in plain.orders.values() if o.order.side is Side.BUY]
    free = plain.cash - sum(-(-o.order.limit * o.reserved // MICRO) for o in bids)
    held = {book: size for book, size in plain.held.items() if size}
    return plain, (plain.said, {key: o.reports for key, o in plain.orders.items()}, (free, held))


def agree(seed: int) -> tuple[PlainVenue, Habits]:
    random = Random(f"venue {seed}")
    queue, both = NAMES[seed % 6], bool(seed // 6 % 2)
    tape = random_tape(random, both, ("both", "recv")[seed // 12 % 2], (0, 1)[seed // 24 % 2], seed % 5 == 0)
    habits, actions = random_habits(random, tape), random_messages(random, tape)
    times = Times(*(MS * random.choice((0, 1, 20, 300)) for _ in range(2)), *(MS * random.choice((0, 5, 50)),) * 2)
    plain, want = expected(tape, actions, queue, habits, times, seed)
    for chunk in (3, 1_000):
        got = simulated(tape, actions, queue, habits, times, seed, chunk)
        for ours, theirs in zip(got, want, strict=True):
            assert ours == theirs, (seed, queue, habits)
    return plain, habits


def test_every_habit_gives_what_the_plain_venue_gives() -> None:
    seen: Counter[str] = Counter()
    for seed in range(TAPES):
        plain, _ = agree(seed)
        for _, word in plain.said.values():
            seen[word if isinstance(word, str) else f"{word[0]} {word[1]}"] += 1
        for order in plain.orders.values():
            seen.update(fill[2] for fill in order.fills)
            seen["expired"] += order.status == "expired"
            seen["partly expired"] += order.status == "expired" and len(order.fills) > 0
        seen["paid"] += any(payout for payout in plain.resolved.values())
        seen["refunded"] += plain.refunds
    print(f"{TAPES} tapes: {dict(seen)}")
    for what in (
        "down", "too many", "rejected cancel-only", "rejected post-only", "rejected value", "rejected balance",
        "rejected position", "open held", "confirmed", "voided", "unknown", "cancelled self-trade", "paid",
        "rejected expires", "expired", "partly expired",
    ):  # fmt: skip
        assert seen[what] > 10, what
    assert seen["refunded"] > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=10**6, max_value=2**40))
def test_every_habit_gives_what_the_plain_venue_gives_wherever_hypothesis_looks(seed: int) -> None:
    agree(seed)
