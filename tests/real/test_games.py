"""Two recorded basketball games, a market per team on one venue: what was there, and what an order still met.

Every completion is set against a count over plain dictionaries that shares no code with the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd
import pytest

import arbkit as ak
from arbkit.analysis.results import Comparison
from arbkit.backtest.compare import Cell
from arbkit.books import meta as m
from arbkit.core.errors import DataError
from arbkit.core.model import Book, ExecutionResult, Outcome
from arbkit.core.units import MICRO, NS_PER_MS
from arbkit.history.tape import Tape
from tests.real.conftest import DECISIONS, FEES, Compared, Recorded

pytestmark = pytest.mark.real_data
GAMES = ("nyk_lac", "bos_den")
LATENCIES = (20, 100, 250, 1_000)


def sides(episodes: pd.DataFrame) -> dict[str, int]:
    found = episodes["basket"].str.rpartition(":")[2].value_counts()
    return {side: int(found.get(side, 0)) for side in ("yes", "no")}


# -- what was there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("game", "pieces", "merged"),
    [("nyk_lac", {"yes": 4, "no": 10}, {"yes": 4, "no": 9}), ("bos_den", {"yes": 1, "no": 0}, {"yes": 1, "no": 0})],
)
def test_gross_gaps_between_the_two_teams_are_few(
    recorded: Recorded, game: str, pieces: dict[str, int], merged: dict[str, int]
) -> None:
    """The ask side (yes) and the bid side (no); two pieces of one game are 0.3 s apart, hence one episode."""
    apart = ak.scan(*recorded(game), edge="gross", rearm_s=0.0)
    assert sides(apart) == pieces
    joined = ak.scan(*recorded(game), edge="gross")
    assert sides(joined) == merged
    assert joined.attrs["counters"]["pieces"] == len(apart)
    assert set(joined["peak_edge"].round(6)) <= {0.01, 0.02}
    assert not joined["censored"].any()


@pytest.mark.parametrize(("game", "market"), [("nyk_lac", "kalshi:NYK"), ("bos_den", "kalshi:BOS")])
def test_net_edges_are_refused_until_a_fee_rule_is_assumed_and_then_none_is_left(
    recorded: Recorded, game: str, market: str
) -> None:
    tape, baskets = recorded(game)
    with pytest.raises(DataError, match=rf"{market} has no fee rule covering 2026-01-08.*assume_fees") as refused:
        ak.scan(tape, baskets)
    assert FEES in str(refused.value)
    net = ak.scan(tape, baskets, assume_fees=FEES)
    assert len(net) == 0  # a cent or two of gap against two fees of up to 1.75 cents each
    assert net.attrs["modelled"]["fees"] == f"{FEES} (assumed)"


@pytest.mark.parametrize(("game", "merged", "apart"), [("nyk_lac", 81, 175), ("bos_den", 66, 95)])
def test_a_cent_short_of_an_edge_there_are_enough_decisions_to_count(
    recorded: Recorded, game: str, merged: int, apart: int
) -> None:
    near = [len(ak.scan(*recorded(game), min_edge=-0.01, edge="gross", rearm_s=rearm)) for rearm in (1.0, 0.0)]
    assert near == [merged, apart]


# -- what an order still met ---------------------------------------------------------------------------------

Race = Callable[[str, str, float], Comparison]


@pytest.fixture(scope="module")
def race(recorded: Recorded) -> Race:
    """MARKET at every latency, with so many dollars beyond the last level needed and no regard to the edge."""

    @cache
    def run(game: str, decisions: str, slip: float) -> Comparison:
        tape, baskets = recorded(game)
        config = ak.ExecutionConfig(max_slippage=slip, protect_edge=False)
        return ak.compare(
            tape, baskets, ["MARKET"], edge="gross", config=config, latencies_ms=LATENCIES, **DECISIONS[decisions]
        )

    return run


class Dictionaries:
    """Totals by price of each book, moved along a tape by its rows in order."""

    def __init__(self, tape: Tape) -> None:
        rows = tape.rows
        self._rows = list(
            zip(*(c.tolist() for c in (tape.venue_time, rows.book, rows.meta, rows.price, rows.size)), strict=True)
        )
        self._at = 0
        self._books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}

    def until(self, ns: int) -> Dictionaries:
        while self._at < len(self._rows) and self._rows[self._at][0] <= ns:
            _, book, meta, price, size = self._rows[self._at]
            kind, side = meta & m.KIND_MASK, (meta & m.SIDE_MASK) >> m.SIDE_SHIFT
            if kind == m.KIND_CLEAR:
                self._books[book] = ({}, {})
            elif kind == m.KIND_GAP:
                self._books.pop(book, None)
            elif kind == m.KIND_LEVEL and book in self._books:
                self._books[book][side - 1][price] = size
            self._at += 1
        return self

    def asks(self, book: Book) -> dict[int, int]:
        bids, asks = self._books.get(book.index if book.recorded else book.mirror, ({}, {}))
        return asks if book.recorded else {MICRO - price: size for price, size in bids.items()}

    def hold(self, result: ExecutionResult) -> bool:
        return all(
            sum(size for price, size in self.asks(leg.book).items() if price <= leg.worst) >= leg.size
            for leg in result.trade.legs
        )

    def worst(self, book: Book, size: int) -> int:
        """The price of the last level that so many shares need."""
        for price, there in sorted(self.asks(book).items()):
            size -= there
            if size <= 0:
                return price
        raise AssertionError("the book does not hold the size")


def still_there(tape: Tape, results: Sequence[ExecutionResult], latency_ms: float) -> list[bool]:
    """Per decision, in order of time: whether all legs stood at their worst prices when the orders arrived."""
    books = Dictionaries(tape)
    assert list(results) == sorted(results, key=lambda result: result.started_at)
    return [books.until(r.started_at + round(latency_ms * NS_PER_MS)).hold(r) for r in results]


def completed(cell: Cell) -> list[bool]:
    return [result.outcome is Outcome.COMPLETED for result in cell.results]


@pytest.mark.parametrize("decisions", DECISIONS)
@pytest.mark.parametrize("game", GAMES)
def test_without_slippage_exactly_what_still_stands_on_arrival_completes(
    recorded: Recorded, race: Race, game: str, decisions: str
) -> None:
    tape, _ = recorded(game)
    comparison = race(game, decisions, 0.0)
    shares = []
    for cell in comparison.raw.cells:
        assert completed(cell) == list(cell.executable) == still_there(tape, cell.results, cell.latency_ms)
        shares.append(sum(cell.executable) / len(cell.executable))
    print(f"{game} {decisions}: {len(cell.executable)} decisions, {[f'{share:.4f}' for share in shares]}")
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < shares[0]
    assert comparison.table["latency_ms"].tolist() == list(LATENCIES)
    assert comparison.table["completion_rate"].tolist() == pytest.approx(shares)
    assert comparison.executable["executable_share"].tolist() == pytest.approx(shares)


@pytest.mark.parametrize("game", GAMES)
def test_the_worst_price_of_a_decision_is_that_of_the_books_as_received(
    recorded: Recorded, race: Race, game: str
) -> None:
    books = Dictionaries(recorded(game)[0])
    for result in race(game, "study", 0.0).raw.cells[0].results:
        books.until(result.started_at)
        assert [leg.worst for leg in result.trade.legs] == [
            books.worst(leg.book, leg.size) for leg in result.trade.legs
        ]


@pytest.mark.parametrize("decisions", DECISIONS)
@pytest.mark.parametrize("game", GAMES)
def test_two_cents_of_slippage_buy_completion_and_cost_slippage(race: Race, game: str, decisions: str) -> None:
    strict, loose = (race(game, decisions, slip).table for slip in (0.0, 0.02))
    columns = ["latency_ms", "completion_rate", "slippage_mean"]
    print(f"{game} {decisions}\n{strict[columns].merge(loose[columns], on='latency_ms').to_string(index=False)}")
    assert (loose["completion_rate"] >= strict["completion_rate"]).all()
    assert (loose["completion_rate"] > 0.85).all()
    assert (loose["slippage_mean"] >= strict["slippage_mean"]).all()
    assert loose["slippage_mean"].iloc[-1] > strict["slippage_mean"].iloc[-1] + 0.0004
    assert (strict["slippage_mean"] <= 0).all()  # a cap at the last level needed: never worse, sometimes better


@pytest.mark.parametrize("decisions", DECISIONS)
@pytest.mark.parametrize("game", GAMES)
def test_what_fails_is_mostly_one_leg_whole_and_seldom_nothing(race: Race, game: str, decisions: str) -> None:
    failed = none = one_whole = 0
    for cell in race(game, decisions, 0.0).raw.cells:
        for result in cell.results:
            if result.outcome is Outcome.COMPLETED:
                continue
            filled = [leg.filled for leg in result.trade.legs]
            failed += 1
            none += not any(filled)
            one_whole += sum(leg.filled == leg.size for leg in result.trade.legs) == 1
    print(f"{game} {decisions}: {failed} failed, {one_whole} with one leg whole, {none} with nothing")
    assert failed > 10
    assert one_whole >= 0.9 * failed
    assert none <= 0.1 * failed


# -- what can be said of it ----------------------------------------------------------------------------------


def test_below_ten_clusters_there_is_no_interval(recorded: Recorded, compared: Compared) -> None:
    """One true gap in the calmer game, thirteen in the wild one."""
    found = [ak.compare(*recorded(game), ["MARKET"], edge="gross").table for game in GAMES]
    found += [compared(game, "episodes").table for game in GAMES]
    few = [bool((table["n_clusters"] < 10).all()) for table in found]
    assert few == [False, True, False, False]
    for table, unknown in zip(found, few, strict=True):
        print(table[["strategy", "opportunities", "completion_rate", "n_clusters"]].to_string(index=False))
        for name in ("completion_rate", "leg_fill_rate", "slippage_mean"):
            for end in ("_lo", "_hi"):
                assert np.isnan(table[name + end]).all() == unknown, name + end
            if not unknown:
                assert (table[name + "_lo"] <= table[name]).all()
                assert (table[name] <= table[name + "_hi"]).all()


def test_without_a_fee_rule_nothing_net_is_told(recorded: Recorded) -> None:
    comparison = ak.compare(*recorded("bos_den"), ["MARKET"], edge="gross", min_edge=-0.01)
    net = ["fees", "pnl", "pnl_per_opportunity", "shortfall_mean", "unwind_cost"]
    assert comparison.table[net].isna().all(axis=None)
    assert math.isfinite(comparison.table["slippage_mean"].iloc[0])
    assert "unknown" in str(comparison.modelled["fees"])
