"""What a comparison must look like to be analysed, and the numbers of one leg that every table is made of.

The shapes are those of `backtest/compare.py`; as protocols they also let a saved run, or a test, be analysed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from arbkit.backtest.compare import Catch, Life
from arbkit.backtest.equity import Balance
from arbkit.backtest.shortfall import Split
from arbkit.core.errors import DataError
from arbkit.core.model import (
    ArbitrageOpportunity,
    ExecutionResult,
    ExecutionStrategy,
    Outcome,
    Purpose,
    Side,
    TradeLeg,
)
from arbkit.core.units import NS_PER_MS

MICRO = 1e6  # millionths in one dollar or share


class RawMarkout(Protocol):
    """A leg's book `horizon_ms` after one of its fills: the mid and the side that takes back; -1 where there was none."""

    @property
    def fill_id(self) -> str: ...
    @property
    def trade_id(self) -> str: ...
    @property
    def leg(self) -> int: ...
    @property
    def purpose(self) -> Purpose: ...
    @property
    def maker(self) -> bool: ...
    @property
    def horizon_ms(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def mid(self) -> int: ...
    @property
    def best(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def size(self) -> int: ...


class RawCell(Protocol):
    """One strategy at one latency with one seed, under one model of queues and of consumption."""

    @property
    def strategy(self) -> ExecutionStrategy: ...
    @property
    def latency_ms(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def queue(self) -> str: ...
    @property
    def consumption(self) -> str: ...
    @property
    def results(self) -> Sequence[ExecutionResult]: ...
    @property
    def executable(self) -> Sequence[bool]: ...
    @property
    def markouts(self) -> Sequence[RawMarkout]: ...
    @property
    def splits(self) -> Sequence[Split]: ...
    @property
    def balances(self) -> Sequence[Balance]: ...
    @property
    def catches(self) -> Sequence[Catch]: ...


class Raw(Protocol):
    """A whole comparison in integers."""

    @property
    def opportunities(self) -> Sequence[ArbitrageOpportunity]: ...
    @property
    def cells(self) -> Sequence[RawCell]: ...
    @property
    def sensitivity(self) -> Sequence[RawCell]: ...
    @property
    def modelled(self) -> Mapping[str, object]: ...
    @property
    def quality(self) -> Mapping[str, Any]: ...
    @property
    def study(self) -> str | None: ...
    @property
    def synthetic(self) -> bool: ...
    @property
    def fees_known(self) -> bool: ...
    @property
    def mode(self) -> str: ...
    @property
    def counters(self) -> Mapping[tuple[str, float], Mapping[str, float]]: ...
    @property
    def lives(self) -> Sequence[Life]: ...


class Attempt(NamedTuple):
    """One opportunity as one strategy met it; without a result it was seen and passed over (portfolio runs)."""

    opportunity: ArbitrageOpportunity
    result: ExecutionResult | None

    @property
    def outcome(self) -> str:
        return "skipped" if self.result is None else self.result.outcome.value


def attempts(raw: Raw, cell: RawCell) -> list[Attempt]:
    """Return every opportunity that a cell must answer for: nothing drops out of a denominator.

    mode "each": the comparison's own list, so that size and expected edge are the same for every strategy; results
    of other opportunities raise DataError. mode "portfolio": the cell's results, and whatever a bystander saw (the
    comparison's list) that none of them answers, because the engine was busy, out of cash or had moved the book.
    """
    if raw.mode == "each":
        if [result.trade.opportunity.id for result in cell.results] != [o.id for o in raw.opportunities]:
            raise DataError(f"{label(cell)}: its results are not those of the {len(raw.opportunities)} opportunities")
        return [Attempt(o, result) for o, result in zip(raw.opportunities, cell.results, strict=True)]
    answered = _answered(raw.opportunities, cell.results)
    passed_over = [Attempt(o, None) for i, o in enumerate(raw.opportunities) if i not in answered]
    return [*(Attempt(result.trade.opportunity, result) for result in cell.results), *passed_over]


def _answered(opportunities: Sequence[ArbitrageOpportunity], results: Sequence[ExecutionResult]) -> set[int]:
    """Return which opportunities the results of a continuous run answer.

    A result answers the newest opportunity of its basket at or before its own decision, once: the engine may come to
    an episode late, and one that trades twice in an episode has two attempts at it, not one less elsewhere.
    """
    starts: dict[str, list[tuple[int, int]]] = {}
    for index, opportunity in enumerate(opportunities):
        starts.setdefault(opportunity.basket.id, []).append((opportunity.detected_at, index))
    for times in starts.values():
        times.sort()
    found = set()
    for result in results:
        own = result.trade.opportunity
        times = starts.get(own.basket.id, [])
        at = bisect_right(times, (own.detected_at, len(opportunities))) - 1
        if at >= 0:
            found.add(times[at][1])
    return found


def counters(raw: Raw, cell: RawCell) -> Mapping[str, float]:
    """Return what a portfolio run counted (seen, refused, skipped_busy, skipped_cash); empty in mode "each"."""
    return raw.counters.get((cell.strategy.value, cell.latency_ms), {})


def label(cell: RawCell) -> str:
    """Return a cell's name for messages."""
    return f"{cell.strategy.value} at {cell.latency_ms:g} ms, seed {cell.seed}"


def groups(cells: Sequence[RawCell]) -> dict[tuple[str, float], list[RawCell]]:
    """Return the cells by strategy and latency, in order of first appearance; the seeds of one stand together."""
    found: dict[tuple[str, float], list[RawCell]] = {}
    for cell in cells:
        found.setdefault((cell.strategy.value, float(cell.latency_ms)), []).append(cell)
    return found


def execution_ms(attempt: Attempt) -> float:
    """Return milliseconds from decision to the last entry leg being terminal; NaN where nothing was sent."""
    result = attempt.result
    if result is None or result.outcome is Outcome.REFUSED or not result.entries_done_at:
        return float("nan")
    return (result.entries_done_at - attempt.opportunity.detected_at) / NS_PER_MS


class LegNumbers(NamedTuple):
    """One leg in exact integers: millionths of a share, and millionths of a share times millionths of a dollar."""

    size: int  # intended
    filled: int  # by entry orders
    paid: int  # price times size over those fills
    decided: int  # what `filled` shares cost at the decision price; meaningless without `priced`
    priced: bool  # the decision price is known
    maker: int  # filled while resting

    @property
    def slippage(self) -> int:
        """(average price − decision price) times filled size for a buyer: multiply by the side's sign."""
        return self.paid - self.decided


def leg_numbers(leg: TradeLeg) -> LegNumbers:
    """Return the sums over the entry fills of a leg: undo orders count in no fill rate and no slippage."""
    filled = paid = maker = 0
    for order in leg.entries():
        for fill in order.standing:
            filled += fill.size
            paid += fill.price * fill.size
            maker += fill.size if fill.maker else 0
    priced = leg.decision_cost > 0 and leg.size > 0
    decided = leg.decision_cost * filled * 1_000_000 // leg.size if priced else 0
    return LegNumbers(int(leg.size), filled, paid, decided, priced, maker)


def intended_legs(attempt: Attempt) -> Iterator[TradeLeg]:
    """Yield an attempt's legs; one that was refused or passed over counts with its scan size and nothing filled."""
    opportunity, result = attempt
    if result is not None and result.outcome is not Outcome.REFUSED:
        yield from result.trade.legs
        return
    planned = {leg.index: leg for leg in result.trade.legs} if result is not None else {}
    for index, book in enumerate(opportunity.basket.legs):
        plan = planned.get(index)
        side = plan.side if plan is not None else Side.BUY
        yield TradeLeg(index, book, side, opportunity.size, exact=opportunity.exact)
