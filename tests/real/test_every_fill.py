"""Every fill on real tapes is explained by a row, and every trade's money is the sum of its fills.

Rows are looked up with numpy and sums are made in Python's whole numbers: nothing of the matcher's is used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pytest

import arbkit as ak
from arbkit.analysis.results import Comparison
from arbkit.backtest.compare import Cell
from arbkit.books import meta as m
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Fill, Order, Outcome, Side, TradeLeg
from arbkit.core.units import MICRO
from arbkit.history.tape import Tape
from tests.real.conftest import Compared, Recorded

pytestmark = pytest.mark.real_data
WALKS = ("book walk", "book walk, lower bound")
RUNS = ["nyk_lac episodes", "nyk_lac study", "bos_den episodes", "bos_den study", "tickscope study"]


@pytest.fixture(scope="module", params=RUNS)
def case(request: pytest.FixtureRequest, recorded: Recorded, compared: Compared) -> tuple[Tape, Comparison]:
    name, decisions = request.param.split()
    tape, baskets = recorded(name)
    if name == "tickscope":  # both books of each market are recorded: one pool
        return tape, ak.compare(tape, baskets, edge="gross", latencies_ms=(50,), study="sample:60s")
    return tape, compared(name, decisions)


class Known(NamedTuple):
    """A fill and everything it belongs to."""

    cell: Cell
    result: ExecutionResult
    leg: TradeLeg
    order: Order
    fill: Fill


def cells(comparison: Comparison) -> tuple[Cell, ...]:
    return (*comparison.raw.cells, *comparison.raw.sensitivity)


def fills(comparison: Comparison) -> Iterator[Known]:
    for cell in cells(comparison):
        for result in cell.results:
            for leg in result.trade.legs:
                for order in leg.orders:
                    for fill in order.fills:
                        yield Known(cell, result, leg, order, fill)


class Ledger:
    """The rows of a tape by book and level, in the venue's order."""

    def __init__(self, tape: Tape) -> None:
        self.rows, self.at, self.books = tape.rows, tape.venue_time, tape.markets.books
        self.place = np.empty(len(tape), np.int64)
        self.place[np.argsort(self.at, kind="stable")] = np.arange(len(tape))

    def home(self, leg: TradeLeg) -> int:
        return leg.book.index if leg.book.recorded else leg.book.mirror

    def kind(self, row: int) -> int:
        return int(self.rows.meta[row]) & m.KIND_MASK

    def side(self, row: int) -> int:
        return (int(self.rows.meta[row]) & m.SIDE_MASK) >> m.SIDE_SHIFT

    @cached_property
    def _levels(self) -> dict[tuple[int, int, int], list[int]]:
        found = defaultdict(list)
        for row in np.flatnonzero((self.rows.meta & m.KIND_MASK) == m.KIND_LEVEL).tolist():
            found[int(self.rows.book[row]), self.side(row), int(self.rows.price[row])].append(row)
        return found

    @cached_property
    def _ends(self) -> dict[int, list[int]]:
        kind = self.rows.meta & m.KIND_MASK
        rows = np.flatnonzero((kind == m.KIND_CLEAR) | (kind == m.KIND_GAP))
        return {book: rows[self.rows.book[rows] == book].tolist() for book in range(len(self.books))}

    def stands(self, row: int, at: int) -> bool:
        """Tell whether what a row set is still the last word on its level at a time of the venue, and not nothing."""
        book, price = int(self.rows.book[row]), int(self.rows.price[row])
        later = self._levels[book, self.side(row), price] + self._ends[book]
        newer = [r for r in later if self.place[r] > self.place[row] and self.at[r] <= at]
        return self.kind(row) == m.KIND_LEVEL and self.rows.size[row] > 0 and self.at[row] <= at and not newer


@pytest.fixture(scope="module")
def ledger(case: tuple[Tape, Comparison]) -> Ledger:
    return Ledger(case[0])


def test_every_fill_names_its_row_and_its_model(case: tuple[Tape, Comparison], ledger: Ledger) -> None:
    tape, comparison = case
    told: Counter[tuple[str, str]] = Counter()
    for cell, _, leg, _, fill in fills(comparison):
        told[cell.strategy.value, fill.model] += 1
        assert 0 <= fill.row < len(tape)
        pool = {ledger.home(leg)} | ({leg.book.mirror} if tape.markets.books[leg.book.mirror].recorded else set())
        assert int(tape.rows.book[fill.row]) in pool
        assert fill.venue_at <= fill.at
        assert tape.venue_time[fill.row] <= fill.venue_at
    print(dict(told))
    assert {name for name, _ in told} == {strategy.value for strategy in ExecutionStrategy}
    assert all(model for _, model in told)
    frame = comparison.fills
    assert len(frame) == sum(1 for known in fills(comparison) if known.cell in comparison.raw.cells)
    assert (frame["row"] >= 0).all()
    assert (frame["model"] != "").all()


def test_a_taker_gets_the_price_of_a_level_that_stands_and_no_more_than_stands_there(
    case: tuple[Tape, Comparison], ledger: Ledger
) -> None:
    count, taken = 0, Counter[tuple[int, int]]()
    for _, result, leg, order, fill in fills(case[1]):
        if fill.maker:
            continue
        assert fill.model in WALKS
        flip = not leg.book.recorded
        buys = (order.side is Side.BUY) != flip
        assert int(ledger.rows.book[fill.row]) == ledger.home(leg)
        assert int(ledger.rows.price[fill.row]) == (MICRO - fill.price if flip else fill.price)
        assert ledger.side(fill.row) == (m.SIDE_ASK if buys else m.SIDE_BID)
        assert bool(ledger.rows.meta[fill.row] & m.LOWER) == (fill.model == WALKS[1])
        assert ledger.stands(fill.row, fill.venue_at)
        assert order.side * (fill.price - order.limit) <= 0
        taken[id(result), fill.row] += fill.size
        assert taken[id(result), fill.row] <= ledger.rows.size[fill.row]
        count += 1
    print(f"{count} fills of takers")
    assert count > 300


def test_a_resting_order_is_filled_at_its_own_price_by_what_came_to_it(
    case: tuple[Tape, Comparison], ledger: Ledger
) -> None:
    told: Counter[str] = Counter()
    for cell, _, leg, order, fill in fills(case[1]):
        if not fill.maker:
            continue
        told[fill.model] += 1
        row, home = fill.row, ledger.home(leg)
        flip = not leg.book.recorded
        ours, bid = (MICRO - fill.price if flip else int(fill.price)), (order.side is Side.BUY) != flip
        turned = int(ledger.rows.book[row]) != home  # told by the other book of the pool
        price = MICRO - int(ledger.rows.price[row]) if turned else int(ledger.rows.price[row])
        beyond = ours - price if bid else price - ours
        assert fill.price == order.limit
        assert fill.venue_at == ledger.at[row]
        assert fill.size <= ledger.rows.size[row]
        if fill.model == "moved through":
            assert (ledger.kind(row), ledger.side(row)) == (m.KIND_LEVEL, m.SIDE_ASK if bid else m.SIDE_BID)
            assert not turned
            assert beyond >= 0
            continue
        assert ledger.kind(row) == m.KIND_PRINT
        if fill.model == "through":
            assert beyond > 0
            continue
        assert fill.model == f"queue:{cell.queue}"
        assert beyond == 0
        assert cell.queue != "through"
        hits = (m.SELLER if bid else m.BUYER) if not turned else (m.BUYER if bid else m.SELLER)
        assert ledger.side(row) in ({hits, m.UNKNOWN_AGGRESSOR} if cell.queue == "front" else {hits})
    print(dict(told))
    assert sum(told.values()) > 30


def money(order: Order, fill: Fill) -> int:
    """What a fill does to cash, in millionths of a dollar: cost rounds up, proceeds down, the fee is paid on top."""
    if order.side is Side.BUY:
        return -((int(fill.price) * int(fill.size) + MICRO - 1) // MICRO) - int(fill.fee)
    return int(fill.price) * int(fill.size) // MICRO - int(fill.fee)


def test_the_cash_of_every_trade_is_that_of_its_fills_to_the_millionth(case: tuple[Tape, Comparison]) -> None:
    _, comparison = case
    trades = fees = 0
    for cell in cells(comparison):
        for result in cell.results:
            legs = result.trade.legs
            every = [(order, fill) for leg in legs for order in leg.orders for fill in order.fills]
            assert result.cash == sum(money(order, fill) for order, fill in every)
            assert result.fees == sum(fill.fee for _, fill in every)
            for leg in legs:
                bought = sum(order.side * fill.size for order in leg.orders for fill in order.fills)
                assert leg.held == bought >= 0
                assert all(order.is_final for order in leg.orders)
                assert all(sum(fill.size for fill in order.fills) <= order.size for order in leg.orders)
            trades += 1
            fees += result.fees
    count = sum(1 for _ in fills(comparison))
    print(f"{trades} trades, {count} fills, {fees / MICRO:.2f} dollars of fees")
    assert count > 500
    assert fees > 0


def test_the_profit_of_what_ended_even_is_floor_plus_cash(case: tuple[Tape, Comparison]) -> None:
    """Even within a lot: recorded sizes are finer than what may be ordered, and such a rest can be traded nowhere."""
    ended: Counter[str] = Counter()
    for cell in cells(case[1]):
        for result in cell.results:
            ended[result.outcome.value] += 1
            legs = result.trade.legs
            held = [leg.held for leg in legs]
            lot = min(leg.book.market.lot or 0 for leg in legs)
            if result.outcome is Outcome.ESCALATED:
                assert max(held) > min(held)
                continue
            if result.outcome in (Outcome.MISSED, Outcome.REFUSED):
                assert (set(held), result.cash, result.pnl) == ({0}, 0, 0)
                continue
            assert max(held) - min(held) < lot
            assert result.pnl == result.trade.opportunity.basket.floor * min(held) // MICRO + result.cash
            if result.outcome is Outcome.COMPLETED:
                assert all(leg.filled > leg.size - lot for leg in legs)
    print(dict(ended))
    assert ended["completed"] > 50


def test_no_fill_stands_in_two_trades(case: tuple[Tape, Comparison]) -> None:
    for cell in cells(case[1]):
        names = [
            (result.trade.id, fill.trade_id)
            for result in cell.results
            for leg in result.trade.legs
            for order in leg.orders
            for fill in order.fills
        ]
        assert len(names) == len(set(names))
