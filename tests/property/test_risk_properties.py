# ruff: noqa: N802
"""Exposure against brute force, the request budget in every window, and caps that no sequence of trades gets past."""

from __future__ import annotations

from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arbkit.core.model import Kind, MultiLegTrade, Order, OrderStatus, Outcome, Purpose, Side
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price
from arbkit.core.units import cost as cost_of
from arbkit.risk.bounds import RiskLimits
from arbkit.risk.budget import TOKEN, RateBudget
from arbkit.risk.daily import NS_PER_DAY, Losses, day_of
from arbkit.risk.exposure import exposure, exposure_of, largest_exposed, reach, worst_exposure
from arbkit.risk.limits import RiskManager
from arbkit.risk.pairs import PairBook
from tests.builders import replace
from tests.unit.risk.desk import (
    NO_A,
    NO_B,
    NOW,
    TABLE,
    YES_A,
    YES_B,
    a_basket,
    a_desk,
    a_trade,
    an_order,
    bought,
    ended,
    put,
    whole,
)

# -- exposure --------------------------------------------------------------------------------------------------

spans = st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)).map(lambda pair: (min(pair), max(pair)))
legs = st.lists(st.tuples(spans, st.integers(0, 2 * MICRO)), min_size=1, max_size=5)


def unhedged(held: list[int], unit_costs: list[int]) -> int:
    """Dollars of the shares that no whole basket covers, times a million: what the definition says, nothing else."""
    least = min(held)
    return sum(of * (shares - least) for shares, of in zip(held, unit_costs, strict=True))


@given(legs)
def test_the_worst_exposure_is_that_of_the_worst_corner(found: list[tuple[tuple[int, int], int]]) -> None:
    ranges, costs = [span for span, _ in found], [of for _, of in found]
    worst = max(unhedged(list(corner), costs) for corner in product(*ranges))
    assert worst_exposure(ranges, costs) == -(-worst // MICRO)


@given(legs, st.data())
def test_no_holding_within_the_ranges_is_worse(found: list[tuple[tuple[int, int], int]], data: st.DataObject) -> None:
    ranges, costs = [span for span, _ in found], [of for _, of in found]
    held = [data.draw(st.integers(low, high)) for low, high in ranges]
    assert unhedged(held, costs) <= worst_exposure(ranges, costs) * MICRO


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=5), st.integers(1, 10**9))
def test_of_legs_that_may_fill_or_not_it_is_all_but_the_cheapest(costs: list[int], size: int) -> None:
    assert worst_exposure([(0, size)] * len(costs), costs, size) == exposure(costs)


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=4), st.integers(1, 300), st.integers(0, 10**9))
def test_the_largest_size_allowed_is_within_the_bound_and_the_next_is_not(
    costs: list[int], lots: int, room: int
) -> None:
    lot = 10_000
    found = largest_exposed(costs, lots * lot, lot, room)

    def needs(shares: int) -> int:
        return exposure([-(-of * shares // (lots * lot)) for of in costs])

    assert found % lot == 0
    assert needs(found) <= room
    assert found == lots * lot or needs(found + lot) > room


@st.composite
def worked_trades(draw: st.DrawFn) -> MultiLegTrade:
    """A trade with entries and undo orders in whatever state, never sold beyond what is held."""
    trade = a_trade()
    for leg in (0, 1):
        size = draw(st.integers(1, 100))
        filled = draw(st.integers(0, size))
        status = draw(st.sampled_from([s for s in OrderStatus if s is not OrderStatus.INTENT or not filled]))
        limit = draw(st.integers(1, 99))
        trade = put(trade, an_order(trade, leg, str(size), f"0.{limit:02}", status=status, filled=str(filled)))
        if filled and draw(st.booleans()):
            sold = draw(st.integers(1, filled))
            got = draw(st.integers(0, sold))
            ways = {"side": Side.SELL, "purpose": Purpose.TRIM, "filled": str(got)}
            status = draw(st.sampled_from([OrderStatus.UNKNOWN, OrderStatus.CANCELLED, OrderStatus.PARTIAL]))
            trade = put(trade, an_order(trade, leg, str(sold), "0.01", status=status, **ways))
    return trade


@given(worked_trades(), st.data())
def test_whatever_open_orders_fill_no_more_is_unhedged_than_the_exposure(
    trade: MultiLegTrade, data: st.DataObject
) -> None:
    bound = exposure_of(trade)
    held, paid = [], []
    for leg in trade.legs:
        shares, dearest = 0, leg.decision_cost * MICRO // leg.size
        for order in leg.orders:
            more = 0
            if not order.is_final and order.status is not OrderStatus.INTENT:
                more = data.draw(st.integers(0, order.remaining))
            shares += order.side * (order.filled + more)
            if order.side is Side.BUY and (order.filled or more):
                dearest = max(dearest, order.limit)
        low, high = reach(leg)
        assert low <= shares <= high
        held.append(shares)
        paid.append(dearest)
    assert unhedged(held, paid) <= bound * MICRO


# -- the request budget ----------------------------------------------------------------------------------------

rates = st.sampled_from([0.1, 1, 3, 7.5, 40.0])
bursts = st.integers(2, 12)
shares_reserved = st.sampled_from([0.05, 0.25, 0.5, 0.95])
steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 10**6, 10**8, 10**9, 10**10]), st.sampled_from(["entry", "hedge", "backoff"])),
    max_size=80,
)


@given(rates, bursts, shares_reserved, steps)
def test_fault_V9_no_window_holds_more_requests_than_the_rate_and_one_burst(
    rate: float, burst: int, reserved: float, asked: list[tuple[int, str]]
) -> None:
    budget, now, taken = RateBudget(rate, burst, reserved), 10**18, []
    for pause, what in asked:
        now += pause
        if what == "backoff":
            budget.backoff(now + 3 * NS_PER_S)
        elif budget.take(now, what == "hedge") == 0:
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            room = burst * TOKEN + round(rate * MICRO) * (taken[last] - taken[first])
            assert (last - first + 1) * TOKEN <= room


@given(rates, bursts, shares_reserved, steps)
def test_fault_V9_entries_alone_never_touch_the_reserved_share(
    rate: float, burst: int, reserved: float, asked: list[tuple[int, str]]
) -> None:
    budget, now = RateBudget(rate, burst, reserved), 10**18
    for pause, what in asked:
        now += pause
        if what == "backoff":
            budget.backoff(now + 3 * NS_PER_S)
        else:
            budget.take(now, False)
    kept = min(burst - 1, max(1, -(-burst * round(reserved * 100) // 100)))
    assert [budget.take(now, True) for _ in range(kept)] == [0] * kept


@given(rates, bursts, shares_reserved, steps, st.booleans())
def test_a_wait_is_long_enough_and_not_a_nanosecond_longer(
    rate: float, burst: int, reserved: float, asked: list[tuple[int, str]], reducing: bool
) -> None:
    now, budgets = 10**18, [RateBudget(rate, burst, reserved) for _ in range(2)]
    for pause, what in asked:
        now += pause
        for budget in budgets:
            if what == "backoff":
                budget.backoff(now + 3 * NS_PER_S)
            else:
                budget.take(now, what == "hedge")
    early, late = budgets
    wait = early.take(now, reducing)
    assume(wait > 0)
    assert late.take(now, reducing) == wait
    assert early.take(now + wait - 1, reducing) == 1
    assert late.take(now + wait, reducing) == 0


# -- losses ----------------------------------------------------------------------------------------------------

results = st.lists(
    st.tuples(st.integers(0, 4 * NS_PER_DAY), st.integers(-200, 150), st.sampled_from([False] * 9 + [True])),
    max_size=30,
)


@given(results, st.integers(1, 300), st.integers(1, 500))
def test_entries_go_on_only_while_both_losses_are_within_their_bounds(
    booked: list[tuple[int, int, bool]], daily: int, fall: int
) -> None:
    losses, days, forgiven, worst = Losses(daily, fall), {}, {}, {}
    total = peak = deepest = 0
    for at, pnl, acknowledged in booked:
        losses = Losses(daily, fall, losses.state())  # a restart in between changes nothing
        losses.book(at, pnl)
        day = day_of(at)
        days[day] = days.get(day, 0) + pnl
        worst[day] = max(worst.get(day, 0), forgiven.get(day, 0) - days[day])
        total += pnl
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
        if acknowledged:
            losses.acknowledge(0)
            forgiven, worst, peak, deepest = dict(days), {}, total, 0
        for now in range(0, 5 * NS_PER_DAY, NS_PER_DAY // 2):
            within = deepest <= fall and all(loss <= daily for day, loss in worst.items() if day >= day_of(now))
            assert (losses.refusal(now) is None) == within


# -- whole lives -----------------------------------------------------------------------------------------------

CAPPED = RiskLimits(
    max_market_shares=130,
    max_market_capital=80,
    max_event_capital=150,
    max_venue_capital=120,
    max_pair_capital=110,
    max_total_capital=180,
    max_open_orders=6,
)
BASKETS = [
    a_basket(YES_A, NO_B),
    a_basket(NO_A, YES_B),
    a_basket(YES_A, NO_A, kind=Kind.COMPLEMENT),
    a_basket(YES_B, NO_B, kind=Kind.COMPLEMENT, event="f"),
]
plans = st.tuples(st.integers(0, 3), st.integers(1, 80), st.integers(1, 60), st.integers(1, 60))
ends = st.sampled_from([Outcome.COMPLETED, Outcome.MISSED, Outcome.UNWOUND, Outcome.ESCALATED])
moves = st.lists(
    st.one_of(
        st.tuples(st.just("plan"), plans),
        st.tuples(st.just("end"), st.tuples(st.integers(0, 5), ends, st.integers(-9, 9))),
        st.tuples(st.just("acknowledge"), st.integers(0, 5)),
        st.tuples(st.just("free"), st.integers(0, 3)),
    ),
    max_size=40,
)


def live(risk: RiskManager, asked: list[tuple[str, object]], check: bool = True) -> None:
    """Plan, end, acknowledge and free as told; a trade begins only when it is not refused."""
    going: list[MultiLegTrade] = []
    for number, (move, what) in enumerate(asked):
        if move == "plan":
            which, size, first, second = what  # type: ignore[misc]
            costs = [Cash(size * 10_000 * part) for part in (first, second)]
            trade = a_trade(f"t{number}", str(size), costs, BASKETS[which])
            if risk.check(trade, costs, now=NOW) is None:
                risk.reserve(trade, costs)
                trade = put(trade, *(an_order(trade, leg, str(size)) for leg in (0, 1)))
                risk.track(trade)
                going.append(trade)
        elif move == "end" and going:
            which, outcome, pnl = what  # type: ignore[misc]
            trade = going.pop(which % len(going))
            trade = trade.with_legs(tuple(replace(leg, orders=()) for leg in trade.legs))
            done = whole(trade) if outcome is Outcome.COMPLETED else trade
            done = bought(trade, 0, f"{trade.size / MICRO:g}") if outcome is Outcome.ESCALATED else done
            risk.finish(ended(done, outcome, pnl=str(pnl)))
        elif move == "acknowledge":
            risk.acknowledge(f"t{what}")
        elif move == "free":
            for stake in risk.state().held[:1]:
                book = next(book for book in TABLE.books if book.name == stake.place.book)
                risk.freed(book, stake.shares // 2, Cash(stake.dollars // 2))  # type: ignore[arg-type]
        if check:
            within(risk)


def within(risk: RiskManager) -> None:
    """Reserved and spent together are within every cap, counted here from the state alone (I12)."""
    state, bounds = risk.state(), CAPPED.bounds()
    rows = [*state.held, *(stake for one in state.reservations for stake in one.stakes)]
    for limit, label in (
        ("max_market_capital", "market"),
        ("max_event_capital", "event"),
        ("max_venue_capital", "venue"),
        ("max_pair_capital", "pair"),
    ):
        for name in {getattr(row.place, label) for row in rows} - {""}:
            assert sum(row.dollars for row in rows if getattr(row.place, label) == name) <= bounds[limit]
    for name in {row.place.book for row in rows}:
        assert sum(row.shares for row in rows if row.place.book == name) <= bounds["max_market_shares"]
    assert sum(row.dollars for row in rows) <= bounds["max_total_capital"]
    assert sum(one.open_orders for one in state.reservations) <= bounds["max_open_orders"]
    assert risk.exposure_room() >= 0
    assert risk.total_exposure() <= 250 * MICRO


@settings(max_examples=60)
@given(moves)
def test_whatever_is_asked_in_whatever_order_reserved_and_spent_stay_within_every_cap(
    asked: list[tuple[str, object]],
) -> None:
    live(a_desk(CAPPED), asked)


@settings(max_examples=60)
@given(moves, moves)
def test_equal_lives_give_equal_states_and_a_restored_one_goes_on_the_same(
    before: list[tuple[str, object]], after: list[tuple[str, object]]
) -> None:
    risk, twin = a_desk(CAPPED), a_desk(CAPPED)
    live(risk, before, check=False)
    live(twin, before, check=False)
    assert risk.state() == twin.state()
    restored = RiskManager(CAPPED, pairs=PairBook.assumed(TABLE))
    restored.restore(risk.state())
    live(risk, after, check=False)
    live(restored, after, check=False)
    assert restored.state() == risk.state()


@given(plans, st.integers(1, 99))
def test_a_size_that_is_said_to_fit_fits_and_one_lot_more_does_not(plan: tuple[int, int, int, int], part: int) -> None:
    which, size, first, second = plan
    bound = size * (first + second) * part / 10_000  # dollars: a part of what the whole size costs

    def asked(shares: int) -> object:
        costs = [Cash(shares * 10_000 * part) for part in (first, second)]
        trade = a_trade("t", str(shares), costs, BASKETS[which])
        return a_desk(RiskLimits(max_total_capital=bound), max_exposure=1e6).check(trade, costs, now=NOW)

    refusal = asked(size)
    assert refusal is not None
    fits = refusal.largest // MICRO  # type: ignore[attr-defined]
    assert fits == 0 or asked(fits) is None
    assert asked(fits + 1) is not None


@given(st.integers(1, 99), st.integers(1, 100), st.integers(1, 10**8), st.integers(0, 10**6))
def test_an_order_at_its_cap_never_makes_a_leg_dearer_than_what_was_reserved_for_it(
    cents: int, size: int, decided: int, fee: int
) -> None:
    """What the check let pass, the send does not refuse for a rounding."""
    price = Price(cents * 10_000)
    trade = a_trade("t", str(size), [Cash(min(decided, cost_of(price, size * MICRO)))] * 2)
    costs = [Cash(cost_of(price, size * MICRO) + fee)] * 2
    orders: list[Order] = [an_order(trade, leg, str(size), f"{cents / 100:.2f}") for leg in (0, 1)]
    assert exposure_of(put(trade, *orders), costs) == exposure(costs)
