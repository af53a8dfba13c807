"""What resting in recorded queues was worth, and how far it leans on what nobody recorded: the place in the queue."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from arbkit.backtest.compare import Cell, RawComparison
from arbkit.backtest.markouts import Markout
from arbkit.core.model import ExecutionStrategy, Outcome
from tests.real.conftest import DECISIONS, Compared

pytestmark = pytest.mark.real_data
GAMES = ("nyk_lac", "bos_den")
LIMIT = ExecutionStrategy.LIMIT


def cell_of(raw: RawComparison, queue: str) -> Cell:
    """LIMIT under a queue model; the comparison runs the others beside the one it was asked for."""
    (found,) = (
        cell
        for cell in (*raw.cells, *raw.sensitivity)
        if (cell.strategy, cell.queue, cell.consumption) == (LIMIT, queue, "cautious")
    )
    return found


def fill_rate(cell: Cell) -> float:
    """Size filled by entry orders over size intended, over all decisions."""
    legs = [leg for result in cell.results for leg in result.trade.legs]
    return sum(leg.filled for leg in legs) / sum(leg.size for leg in legs)


def with_fills(cell: Cell, legs: int) -> set[str]:
    """Names of the trades in which so many legs had a fill by entry orders."""
    return {r.trade.id for r in cell.results if sum(leg.filled > 0 for leg in r.trade.legs) == legs}


def cents(marks: Sequence[Markout], trades: set[str], horizon_ms: int) -> float:
    """Share-weighted mid minus price of resting fills a while later, cents: below zero the market moved against us."""
    known = [m for m in marks if m.maker and m.horizon_ms == horizon_ms and m.trade_id in trades and m.mid >= 0]
    return sum(m.side * (m.mid - m.price) * m.size for m in known) / sum(m.size for m in known) / 10_000


@pytest.mark.parametrize("decisions", DECISIONS)
@pytest.mark.parametrize("game", GAMES)
def test_who_is_filled_on_one_leg_alone_was_filled_because_the_price_went_away(
    compared: Compared, game: str, decisions: str
) -> None:
    """A bid at the best bid starts half a spread below the mid; what is left of that, and more, is lost in seconds."""
    cell = cell_of(compared(game, decisions).raw, "risk-averse")
    alone, both = with_fills(cell, 1), with_fills(cell, 2)
    table = {h: (cents(cell.markouts, alone, h), cents(cell.markouts, both, h)) for h in (100, 1_000, 5_000, 10_000)}
    print(f"{game} {decisions}: {len(alone)} trades filled on one leg, {len(both)} on both; mark-outs in cents a share")
    for horizon, (one, two) in table.items():
        print(f"  {horizon:>6} ms: one leg {one:+.3f}, both {two:+.3f}")
    assert len(alone) > 2 * len(both)
    for horizon in (1_000, 5_000, 10_000):
        one, two = table[horizon]
        assert one < 0, horizon
        assert one < two, horizon


@pytest.mark.parametrize("decisions", DECISIONS)
@pytest.mark.parametrize("game", GAMES)
def test_the_better_the_place_in_the_queue_the_more_is_filled(compared: Compared, game: str, decisions: str) -> None:
    rates = [fill_rate(cell_of(compared(game, decisions).raw, q)) for q in ("front", "risk-averse", "through")]
    print(f"{game} {decisions}: LIMIT leg fill rate front, risk-averse, through: {[f'{rate:.4f}' for rate in rates]}")
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[1] > rates[2] > 0


@pytest.mark.parametrize("decisions", DECISIONS)
@pytest.mark.parametrize("game", GAMES)
def test_a_stricter_queue_never_fills_a_resting_leg_that_a_kinder_one_left_empty(
    compared: Compared, game: str, decisions: str
) -> None:
    """Opportunity by opportunity: what the front of the queue does not get, nobody behind it does."""
    raw = compared(game, decisions).raw
    front, averse = cell_of(raw, "front"), cell_of(raw, "risk-averse")
    for kind, strict in zip(front.results, averse.results, strict=True):
        for there, here in zip(kind.trade.legs, strict.trade.legs, strict=True):
            first = [leg.entries()[:1] for leg in (there, here)]
            filled = [sum(order.filled for order in orders) for orders in first]
            assert filled[0] >= filled[1], kind.trade.id


@pytest.mark.parametrize("game", GAMES)
def test_the_strategies_stand_as_the_tape_has_it(compared: Compared, game: str) -> None:
    """Nothing is tuned: in both games taking completes most, resting alone least, and the table says what it cost."""
    for decisions in DECISIONS:
        table = compared(game, decisions).table.set_index("strategy")
        print(f"{game} {decisions}\n{table[['completion_rate', 'leg_fill_rate', 'fees', 'pnl_per_opportunity']]}")
        assert table["completion_rate"].idxmax() == "MARKET"
        assert table["completion_rate"].idxmin() == "LIMIT"
        assert table.loc["LIMIT", "slippage_mean"] < table.loc["MARKET", "slippage_mean"]
        ended = table[[outcome.value for outcome in Outcome]].sum(axis=1)
        assert (ended == table["opportunities"]).all()
