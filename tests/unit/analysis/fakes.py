"""Comparisons as the simulator returns them, built by hand (one trade) or drawn like an engine's (a whole one)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from arbkit.backtest.compare import Catch, Life
from arbkit.backtest.equity import Balance
from arbkit.backtest.shortfall import Split
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    Market,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Purpose,
    Side,
    TimeInForce,
    TradeLeg,
)

START = 1_760_000_000_000_000_000
MS = 1_000_000
S = 1_000_000_000
MARKET, LIMIT, HYBRID = ExecutionStrategy


@dataclass(frozen=True)
class Markout:
    trade_id: str
    fill_id: str
    leg: int
    purpose: Purpose
    maker: bool
    horizon_ms: int
    price: int
    mid: int
    best: int
    side: int
    size: int


@dataclass(frozen=True)
class Cell:
    strategy: ExecutionStrategy
    latency_ms: float
    seed: int
    results: tuple[ExecutionResult, ...]
    executable: tuple[bool, ...] = ()
    markouts: tuple[Markout, ...] = ()
    queue: str = "risk-averse"
    consumption: str = "cautious"
    splits: tuple[Split, ...] = ()
    catches: tuple[Catch, ...] = ()
    balances: tuple[Balance, ...] = ()


@dataclass(frozen=True)
class Comparison:
    opportunities: tuple[ArbitrageOpportunity, ...]
    cells: tuple[Cell, ...]
    modelled: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    study: str | None = None
    synthetic: bool = False
    fees_known: bool = True
    mode: str = "each"
    sensitivity: tuple[Cell, ...] = ()
    counters: dict[tuple[str, float], dict[str, int]] = field(default_factory=dict)
    lives: tuple[Life, ...] = ()


def basket(event: str = "final", legs: int = 2, close: int | None = None) -> Basket:
    """An `outcomes` basket: the YES books of the markets of one event, floor one dollar."""
    books = []
    for i in range(legs):
        market = Market(venue="polymarket", id=f"{event}-{i}", event=event, close=close)
        books.append(Book(2 * i, market, "yes", 2 * i + 1))
    return Basket(
        f"outcomes:{event}:yes", Kind.OUTCOMES, event, tuple(books), 1_000_000, 5_000_000, 10_000,
        assumed=(f"polymarket:{event}-0.void",),
    )  # fmt: skip


def opportunity(
    number: int, *, at: int = START, size: float = 100.0, edge: float = 0.02, of: Basket | None = None
) -> ArbitrageOpportunity:
    """`size` shares, `edge` dollars per basket share."""
    micro = round(size * 1e6)
    total = round(edge * size * 1e6)
    return ArbitrageOpportunity(f"opp{number:04d}", of or basket(), at, micro, total, total + 1_000)


def fill(number: object, price: float, size: float, *, at: int, maker: bool = False, fee: float = 0.0) -> Fill:
    return Fill(
        f"f{number}", round(price * 1e6), round(size * 1e6), round(fee * 1e6), at + 5 * MS, at, maker,
        row=42, model="queue:risk-averse" if maker else "take",
    )  # fmt: skip


def order(
    key: str, book: Book, fills: tuple[Fill, ...], size: float, limit: float, *, side: Side = Side.BUY,
    purpose: Purpose = Purpose.ENTRY, tif: TimeInForce = TimeInForce.FAK,
) -> Order:  # fmt: skip
    micro = round(size * 1e6)
    whole = sum(f.size for f in fills) == micro
    status = OrderStatus.FILLED if whole else OrderStatus.CANCELLED
    return Order(key, book, side, round(limit * 1e6), micro, tif, purpose=purpose, status=status, fills=fills)


def leg(
    index: int, book: Book, orders: tuple[Order, ...], *, size: float, decision: float, side: Side = Side.BUY,
    exact: bool = True,
) -> TradeLeg:  # fmt: skip
    micro = round(size * 1e6)
    return TradeLeg(index, book, side, micro, round(decision * micro), round(decision * 1e6), exact, orders)


def ended(
    of: ArbitrageOpportunity, strategy: ExecutionStrategy, legs: tuple[TradeLeg, ...], outcome: Outcome, *,
    took_ms: float = 40.0, fees: float = 0.0, pnl: float = 0.0, unwind_cost: float = 0.0, undo: str = "", cash: float = 0.0,
) -> ExecutionResult:  # fmt: skip
    trade = MultiLegTrade(f"{strategy.value}-{of.id}", of, strategy, legs)
    done = of.detected_at + round(took_ms * MS)
    return ExecutionResult(
        trade, outcome, undo, "", of.detected_at, done, done + (MS if outcome is not Outcome.UNWOUND else 400 * MS),
        round(cash * 1e6), round(fees * 1e6), 0, round(unwind_cost * 1e6), round(pnl * 1e6),
    )  # fmt: skip


def refused(of: ArbitrageOpportunity, strategy: ExecutionStrategy) -> ExecutionResult:
    trade = MultiLegTrade(f"{strategy.value}-{of.id}", of, strategy, ())
    return ExecutionResult(trade, Outcome.REFUSED, reason="books are silent", started_at=of.detected_at)


def simple(
    of: ArbitrageOpportunity, strategy: ExecutionStrategy, shares: tuple[float, ...], *, worse: float = 0.0,
    pnl: float = 0.0, maker: bool = False, outcome: Outcome | None = None, took_ms: float = 40.0, fees: float = 0.0,
    unwind_cost: float = 0.0,
) -> ExecutionResult:  # fmt: skip
    """A trade whose legs filled these shares of the opportunity's size, at the decision price plus `worse` dollars."""
    size, legs = of.size / 1e6, []
    for index, (book, share) in enumerate(zip(of.basket.legs, shares, strict=True)):
        decision = 0.49 - 0.01 * index
        fills = ()
        if share:
            at = of.detected_at + round(took_ms * MS)
            key = f"{strategy.value}-{of.id}-{index}"
            fills = (fill(key, decision + worse, share * size, at=at, maker=maker),)
        entry = order(f"{strategy.value}-{of.id}-{index}", book, fills, size, decision + worse)
        legs.append(leg(index, book, (entry,), size=size, decision=decision))
    if outcome is None:
        outcome = Outcome.COMPLETED if min(shares) == 1 else Outcome.MISSED if max(shares) == 0 else Outcome.UNWOUND
    undo = "exit" if outcome is Outcome.UNWOUND else ""
    return ended(
        of, strategy, tuple(legs), outcome, took_ms=took_ms, pnl=pnl, undo=undo, fees=fees, unwind_cost=unwind_cost,
        cash=pnl - min(shares) * size if outcome in (Outcome.COMPLETED, Outcome.REDUCED) else pnl,
    )  # fmt: skip


# -- a whole comparison, drawn like an engine's --------------------------------------------------------------


def realistic(
    n: int = 80, latencies: tuple[float, ...] = (20.0, 100.0, 250.0, 500.0), seeds: int = 1, **changes: Any
) -> Comparison:
    """Gaps that die in a second or so: the slower, the fewer legs are still there; resting legs fill by halves."""
    rng = np.random.default_rng(11)
    baskets = [basket(f"game {name}", close=START + 86_400 * S) for name in ("A", "B", "C", "D")]
    at, opportunities = START, []
    for i in range(n):
        at += round(rng.exponential(25) * S) if i % 3 else round(60 * S)
        size = float(rng.choice([20, 40, 60, 100], p=[0.2, 0.2, 0.2, 0.4]))
        edge = round(float(rng.choice([0.005, 0.01, 0.02, 0.03], p=[0.3, 0.4, 0.2, 0.1])), 4)
        opportunities.append(opportunity(i, at=at, size=size, edge=edge, of=baskets[i % 4]))
    lives = rng.exponential(0.35, n) * 1_000
    cells = []
    for strategy in ExecutionStrategy:
        for latency in latencies:
            for seed in range(seeds):
                draws = np.random.default_rng([seed, int(latency), list(ExecutionStrategy).index(strategy)])
                results = tuple(
                    _drawn(o, strategy, latency, life, draws) for o, life in zip(opportunities, lives, strict=True)
                )
                cells.append(
                    Cell(
                        strategy,
                        latency,
                        seed,
                        results,
                        tuple(bool(x) for x in lives > latency),
                        _markouts(results, draws),
                        splits=tuple(_split(o, r) for o, r in zip(opportunities, results, strict=True)),
                        catches=tuple(
                            Catch(delay, tuple((lives > delay).tolist())) for delay in (0.0, 50.0, *latencies)
                        )
                        if not cells
                        else (),
                    )
                )
    sensitivity = tuple(
        replace(
            cell,
            queue=queue,
            consumption=consumption,
            results=tuple(_hopeful(r) for r in cell.results) if queue == "front" else cell.results,
        )
        for cell in cells
        if cell.strategy is not MARKET and cell.latency_ms == latencies[0]
        for queue, consumption in (
            ("through", "cautious"),
            ("through", "hopeful"),
            ("risk-averse", "hopeful"),
            ("front", "cautious"),
            ("front", "hopeful"),
        )
    )
    made = Comparison(
        tuple(opportunities), tuple(cells), modelled=MODELLED, quality=QUALITY, sensitivity=sensitivity, synthetic=True,
        lives=tuple(Life(round(life * MS), False) for life in lives.tolist()),
    )  # fmt: skip
    return replace(made, **changes)


def _drawn(
    of: ArbitrageOpportunity, strategy: ExecutionStrategy, latency: float, life: float, rng: np.random.Generator
) -> ExecutionResult:
    size = of.size / 1e6
    if rng.random() < 0.03:
        return refused(of, strategy)
    gone = latency > life
    if strategy is MARKET:
        shares = (
            (1.0, 1.0)
            if not gone
            else [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 0.4)][int(rng.choice(4, p=[0.45, 0.2, 0.25, 0.1]))]
        )
        worse, maker, took = float(rng.choice([0.0, 0.0, 0.001, 0.004])), False, 2 * latency + float(rng.exponential(2))
    elif strategy is LIMIT:
        shares = ((1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.3, 0.0), (0.5, 0.5))[
            int(rng.choice(5, p=[0.2, 0.4, 0.25, 0.1, 0.05]))
        ]
        worse, maker, took = -0.01, True, 5_000 + 2 * latency if min(shares) < 1 else float(rng.uniform(100, 5_000))
    else:
        shares = (
            (1.0, 1.0)
            if rng.random() < (0.85 if not gone else 0.45)
            else ((1.0, 0.0) if rng.random() < 0.6 else (0.0, 0.0))
        )
        worse, maker, took = (
            float(rng.choice([-0.01, -0.005, 0.0, 0.004])),
            bool(rng.random() < 0.5),
            500 + 3 * latency + float(rng.exponential(40)),
        )
    edge = of.edge / 1e6
    both = min(shares)
    if shares[0] == shares[1] and both > 0:
        pnl = both * (edge - 2 * worse * size)
        return simple(of, strategy, shares, worse=worse, pnl=pnl, maker=maker, took_ms=took, fees=0.002 * both * size,
                      outcome=Outcome.COMPLETED if both == 1 else Outcome.REDUCED)  # fmt: skip
    if max(shares) == 0:
        return simple(of, strategy, shares, took_ms=took)
    lost = float(rng.choice([0.01, 0.02, 0.05])) * size * (max(shares) - both)
    outcome = Outcome.ESCALATED if rng.random() < 0.03 else Outcome.UNWOUND
    return simple(of, strategy, shares, worse=worse, pnl=both * edge - lost, maker=maker, took_ms=took, unwind_cost=lost,
                  fees=0.001 * size, outcome=outcome)  # fmt: skip


def _split(of: ArbitrageOpportunity, result: ExecutionResult) -> Split:
    """All of the shortfall under one cause, by the outcome."""
    lost = of.edge - result.pnl
    return {
        Outcome.COMPLETED: Split(delay=lost // 2, spread=lost - lost // 2), Outcome.UNWOUND: Split(undoing=lost),
    }.get(result.outcome, Split(unfilled=lost))  # fmt: skip


def _hopeful(result: ExecutionResult) -> ExecutionResult:
    missed = result.outcome is Outcome.MISSED and int(result.trade.opportunity.id[-1]) % 2 == 0
    if not missed:
        return result
    of = result.trade.opportunity
    return simple(
        of,
        result.trade.strategy,
        (1.0, 1.0),
        worse=-0.01,
        pnl=of.edge / 1e6 + 0.02 * of.size / 1e6,
        maker=True,
        took_ms=900,
    )


def _markouts(results: tuple[ExecutionResult, ...], rng: np.random.Generator) -> tuple[Markout, ...]:
    found = []
    for result in results:
        for at in result.trade.legs:
            for entry in at.entries():
                for one in entry.fills:
                    for horizon in (100, 500, 1_000, 5_000, 10_000, 60_000):
                        drift = rng.normal(-0.002 if one.maker else 0.001, 0.004) * min(1.0, 0.4 + horizon / 10_000)
                        mid = -1 if rng.random() < 0.02 else one.price + round(drift * 1e6)
                        found.append(
                            Markout(
                                result.trade.id,
                                one.trade_id,
                                at.index,
                                entry.purpose,
                                one.maker,
                                horizon,
                                one.price,
                                mid,
                                mid,
                                1,
                                one.size,
                            )
                        )
    return tuple(found)


MODELLED: dict[str, Any] = {
    "scenario": {
        "entry_ms": [20.0, 100.0, 250.0, 500.0], "reply_ms": "as entry_ms", "feed_ms": 0.0, "decide_ms": 0.0,
        "queue": "risk-averse: joins behind all displayed; trades take from the front, other decreases from behind us first",
        "consumption": "cautious: what we took stays taken until the level falls below it or vanishes",
        "max_silence_s": 60.0, "mirror_settle_ms": 100.0, "balances": 10_000.0, "jitter": 0.0, "seed": 0,
    },
    "config": {"min_edge": 0.0001, "max_size": 100.0, "max_slippage_pct": 0.01, "edge_budget_share": 1.0, "protect_edge": True,
               "limit_timeout_s": 5.0, "hybrid_patience_s": 0.5},
    "fees": {"polymarket:game A-0": "polymarket_2026_sports_taker"},
    "clocks": "both",
    "assumed": ["polymarket:game A-0.void", "polymarket:game B-0.void <guess>"],
}  # fmt: skip
QUALITY: dict[str, Any] = {
    "rows": 1_204_331, "refused": {"backward size": 3, "price off the grid": 12}, "duplicates": 118, "backward_stamps": 4,
    "gaps": 2, "silences": 1, "crossed": 0, "lower_bound_share": 0.0132, "usable_share": 0.9871,
}  # fmt: skip
