"""Whatever venues do, within their word, a trade ends even or says that it did not, and no cent or share is lost."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.backtest.mock_platform import Answer, MockFees
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionResult, OrderStatus, Outcome, Side, TradeState, floor_value
from arbkit.core.units import NS_PER_S
from arbkit.execution.accounting import is_complete, is_even
from arbkit.execution.rollback import loss_bound
from arbkit.execution.terms import Terms
from tests.rig import NO_B, YES_A, Rig, a_market

STATES = {
    Outcome.COMPLETED: TradeState.COMMITTED,
    Outcome.REDUCED: TradeState.COMMITTED,
    Outcome.MISSED: TradeState.ROLLED_BACK,
    Outcome.UNWOUND: TradeState.ROLLED_BACK,
    Outcome.ESCALATED: TradeState.ESCALATED,
}

cents = st.integers(1, 99)
shares = st.integers(1, 120)
delays = st.sampled_from([0.0, 0.05, 0.4, 2.0, 7.0])
ordinary = st.builds(
    Answer,
    unavailable=st.sampled_from([0, 0, 0, 1, 2]),
    delay_s=delays,
    reject=st.sampled_from(["", "", "", "closed"]),
    fill=st.none() | st.integers(0, 60),
    rests_fill=st.lists(st.tuples(delays, shares), max_size=3).map(tuple),
    fill_on_cancel=st.sampled_from([0, 0, 5, 100]),
)
unclear = st.builds(
    Answer,
    delay_s=delays,
    lost=st.sampled_from(["request", "answer", "answer", "silence"]),
    fill=st.none() | st.integers(0, 60),
    rests_fill=st.lists(st.tuples(delays, shares), max_size=3).map(tuple),
    fill_on_cancel=st.sampled_from([0, 5]),
    cancel_lost=st.sampled_from([0, 0, 1, 99]),
    status_lost=st.sampled_from([0, 0, 1, 99]),
)
closed = st.integers(1, 60).map(lambda times: [Answer(reject="closed")] * times)
scripts = st.lists(st.one_of(ordinary, ordinary, ordinary, unclear), max_size=3)
configs = st.builds(
    ExecutionConfig,
    max_slippage=st.sampled_from([None, 0.0, 0.02]),
    protect_edge=st.booleans(),
    improve_ticks=st.integers(0, 2),
    limit_timeout_s=st.sampled_from([1.0, 5.0, 30.0]),
    hybrid_patience_s=st.sampled_from([0.0, 0.5]),
    max_unwind_loss=st.sampled_from([0.0, 0.02, 0.2]),
    edge=st.sampled_from(["net", "gross"]),
)


@st.composite
def worlds(draw: st.DrawFn) -> Rig:
    """Two books with an edge at their best asks, and a script for the first orders on each."""
    minimum = draw(st.sampled_from(["1", "5"]))
    rig = Rig(
        config=draw(configs),
        fees=MockFees(draw(st.sampled_from([0, 10_000])), draw(st.sampled_from([0, 2_000]))),
        markets=(a_market("alpha", min_size=minimum), a_market("beta", min_size="1")),
    )
    for name, platform, best in ((YES_A, rig.alpha, 40), (NO_B, rig.beta, 55)):
        asks = [(f"0.{best + 2 * n}", draw(st.integers(20, 120))) for n in range(3)]
        bids = [(f"0.{best - 2 - 3 * n}", size) for n, size in enumerate(draw(st.lists(shares, max_size=3)))]
        platform.set_book(name, bids=bids, asks=asks)
        platform.script(name, *draw(scripts), *draw(st.just([]) | closed))
    return rig


def check_orders(rig: Rig, result: ExecutionResult) -> None:
    """One order per key at the venue, within its limit and size, and what the engine knows is what the venue has."""
    intents = rig.facts("order.intent")
    assert len(intents) == len(set(intents))
    for leg in result.trade.legs:
        at_venue = rig.venues[leg.book.venue].orders
        held = 0
        for order in leg.orders:
            assert order.filled <= order.size
            assert all(order.side * (fill.price - order.limit) <= 0 for fill in order.fills)
            held += order.side * order.filled
            assert held >= 0
            if order.status is not OrderStatus.UNKNOWN and order.client_id in at_venue:
                assert at_venue[order.client_id].fills == order.fills
                assert at_venue[order.client_id].status is order.status
            if order.side is Side.SELL:
                assert order.purpose.value in ("trim", "exit")
    assert {key for platform in rig.venues.values() for key in platform.orders} <= set(intents)


@settings(max_examples=250, deadline=None)
@given(rig=worlds(), strategy=st.sampled_from(["MARKET", "LIMIT", "HYBRID"]))
def test_every_trade_ends_even_or_escalated_and_nothing_is_lost(rig: Rig, strategy: str) -> None:
    result = rig.run(strategy, "50")  # compares cash and shares with the venues' ledgers
    trade = result.trade
    if result.outcome is Outcome.REFUSED:
        assert trade.is_untouched
        assert not rig.alpha.orders
        return
    assert trade.state is STATES[result.outcome]
    assert all(order.is_final or order.status is OrderStatus.UNKNOWN for leg in trade.legs for order in leg.orders)
    if result.outcome is not Outcome.ESCALATED:
        assert all(leg.is_final for leg in trade.legs)
        assert is_even(trade)
        assert result.pnl == result.cash + floor_value(trade.opportunity.basket, trade.legs[0].held)
        assert not rig.risk.halted
    else:
        assert rig.risk.halted
        assert result.reason
    undone = any(order.filled for leg in trade.legs for order in leg.orders if order.purpose.value != "entry")
    assert result.committed == (is_even(trade) and not undone and trade.legs[0].held > 0 and not rig.risk.halted)
    assert (result.outcome is Outcome.COMPLETED) == (result.committed and is_complete(trade))
    check_orders(rig, result)
    assert rig.executor.halted == rig.risk.halted  # nothing but an escalation halts


@settings(max_examples=150, deadline=None)
@given(rig=worlds(), strategy=st.sampled_from(["MARKET", "LIMIT", "HYBRID"]))
def test_undoing_keeps_the_loss_bound_and_the_clock(rig: Rig, strategy: str) -> None:
    result = rig.run(strategy, "50")
    if result.outcome is Outcome.UNWOUND:
        assert result.pnl >= -loss_bound(result.trade, Terms.of(rig.config))
    since = uneven_since(rig)
    if since is not None:
        most = round((rig.config.hedge_timeout_s + rig.config.hedge_retry_s) * NS_PER_S)
        assert result.outcome is Outcome.ESCALATED
        assert result.finished_at - since <= most
    # resting or two sends, hearing the last word, undoing
    config = rig.config
    longest = max(config.limit_timeout_s, config.hedge_timeout_s) + 2 * config.hedge_timeout_s
    assert result.finished_at - result.started_at <= longest * NS_PER_S


def uneven_since(rig: Rig) -> int | None:
    """Return since when, by the journal alone, the legs have differed or an order has been unknown at the end."""
    side: dict[str, int] = {}
    filled: dict[str, int] = {}
    unknown: dict[str, bool] = {}
    since: int | None = None
    for fact in rig.journal.facts:
        if fact.fact == "order.intent":
            side[fact.key] = int(str(fact.get("side")))
        elif fact.fact == "order.status":
            unknown[fact.key] = fact.get("status") == "unknown"
        elif fact.fact == "fill":
            filled[fact.key] = filled.get(fact.key, 0) + int(str(fact.get("size")))
            unknown[fact.key] = False  # the venue has spoken of it
        else:
            continue
        held = [sum(side[k] * n for k, n in filled.items() if k.split(".")[1] == leg) for leg in ("0", "1")]
        if held[0] == held[1] and not any(unknown.values()):
            since = None
        elif since is None:
            since = fact.at
    return since


@settings(max_examples=60, deadline=None)
@given(rig=worlds(), strategy=st.sampled_from(["MARKET", "LIMIT", "HYBRID"]), shares=st.integers(5, 50))
def test_fault_V22_every_order_is_on_its_grid_and_lot_and_not_below_the_minimum(
    rig: Rig, strategy: str, shares: int
) -> None:
    for leg in rig.run(strategy, str(shares)).trade.legs:
        for order in leg.orders:
            market = order.book.market
            assert rig.feed.view(order.book).grid.holds(order.limit)
            assert order.size % (market.lot or 1) == 0
            assert order.size >= (market.min_size or 1)
            assert "is not on the grid" not in order.reason
            assert "is not legal" not in order.reason


@settings(max_examples=60, deadline=None)
@given(rig=worlds(), strategy=st.sampled_from(["MARKET", "LIMIT", "HYBRID"]))
def test_every_order_was_an_intent_before_it_was_sent(rig: Rig, strategy: str) -> None:
    rig.run(strategy, "50")
    intents: list[str] = []
    for fact in rig.journal.facts:
        if fact.fact == "order.intent":
            intents.append(fact.key)
        elif fact.fact.startswith("order."):
            assert fact.key in intents
