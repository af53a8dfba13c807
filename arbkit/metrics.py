"""What trades came to, figure by figure: one frozen snapshot per trade, and running sums that never forget.

Sums are integers (millionths, ns); dollars, shares, milliseconds and rates are floats only in what is returned. The
list of recent trades is bounded, the sums are over everything ever recorded.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from arbkit.core.errors import ConfigError
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Outcome, TradeLeg
from arbkit.core.units import MICRO, NS_PER_MS, Cash, Size, cost

WEI_PER_POL = 10**18
TEXTS = ("trade_id", "strategy", "opportunity_id", "basket", "outcome", "undo", "reason")
COLUMNS = (
    *(*TEXTS, "started_at", "size", "intended", "filled"),
    *("fill_rate", "slippage", "execution_ms", "edge_expected", "edge_realised"),
    *("unwind_cost", "fees", "gas", "gas_pol", "pnl"),
)


class ExecutionMetrics(Struct, frozen=True, gc=False):
    """One trade's figures in integers; `of` takes them from its result.

    `intended` and `filled` are shares over all legs, by entry orders alone. `slip` is what filled shares cost beyond
    their decision price, millionths of a dollar, positive = worse. `execution_ns` runs from the decision to the last
    entry leg being terminal.
    """

    trade_id: str
    strategy: ExecutionStrategy
    opportunity_id: str
    basket: str
    outcome: Outcome
    undo: str
    reason: str
    started_at: int
    size: Size
    intended: Size
    filled: Size
    slip: Cash
    execution_ns: int
    edge_expected: Cash
    unwind_cost: Cash
    fees: Cash
    gas: Cash
    gas_wei: int
    pnl: Cash

    @classmethod
    def of(cls, result: ExecutionResult) -> ExecutionMetrics:
        trade = result.trade
        return cls(
            trade_id=trade.id,
            strategy=trade.strategy,
            opportunity_id=trade.opportunity.id,
            basket=trade.opportunity.basket.id,
            outcome=result.outcome,
            undo=result.undo,
            reason=result.reason,
            started_at=result.started_at,
            size=trade.size,
            intended=Size(sum([leg.size for leg in trade.legs])),
            filled=Size(sum([leg.filled for leg in trade.legs])),
            slip=Cash(sum([_slip(leg) for leg in trade.legs])),
            execution_ns=result.entries_done_at - result.started_at,
            edge_expected=trade.opportunity.edge,
            unwind_cost=result.unwind_cost,
            fees=result.fees,
            gas=result.gas,
            gas_wei=result.gas_wei,
            pnl=result.pnl,
        )

    def charged(self, gas: int, wei: int) -> ExecutionMetrics:
        """Return the figures with more gas in them."""
        more = Cash(self.gas + gas), self.gas_wei + wei, Cash(self.pnl - gas)
        return structs.replace(self, gas=more[0], gas_wei=more[1], pnl=more[2])

    def row(self) -> dict[str, Any]:
        """Return the figures for people: shares, dollars, milliseconds; slippage in dollars per filled share."""
        done = self.outcome in (Outcome.COMPLETED, Outcome.REDUCED)
        return {
            "trade_id": self.trade_id,
            "strategy": self.strategy.value,
            "opportunity_id": self.opportunity_id,
            "basket": self.basket,
            "outcome": self.outcome.value,
            "undo": self.undo,
            "reason": self.reason,
            "started_at": self.started_at,
            "size": self.size / MICRO,
            "intended": self.intended / MICRO,
            "filled": self.filled / MICRO,
            "fill_rate": _ratio(self.filled, self.intended),
            "slippage": _ratio(self.slip, self.filled),
            "execution_ms": None if self.outcome is Outcome.REFUSED else self.execution_ns / NS_PER_MS,
            "edge_expected": self.edge_expected / MICRO,
            "edge_realised": self.pnl / MICRO if done else None,
            "unwind_cost": self.unwind_cost / MICRO,
            "fees": self.fees / MICRO,
            "gas": self.gas / MICRO,
            "gas_pol": self.gas_wei / WEI_PER_POL,
            "pnl": self.pnl / MICRO,
        }


def _slip(leg: TradeLeg) -> int:
    """Return what a leg's entry fills cost beyond the decision price of as many shares, rounded against us."""
    paid = sum([cost(fill.price, fill.size) for order in leg.entries() for fill in order.standing])
    return int(leg.side) * paid - int(leg.side) * leg.decision_cost * leg.filled // leg.size if leg.filled else 0


@dataclass(slots=True)
class _Sums:
    """Running sums over trades, all integers."""

    trades: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    size: int = 0
    intended: int = 0
    filled: int = 0
    slip: int = 0
    execution_ns: int = 0
    executed: int = 0  # trades that were not refused
    edge_expected: int = 0
    unwind_cost: int = 0
    fees: int = 0
    gas: int = 0
    gas_wei: int = 0
    pnl: int = 0

    def add(self, one: ExecutionMetrics) -> None:
        self.trades += 1
        self.outcomes[one.outcome.value] += 1
        self.size += one.size
        self.intended += one.intended
        self.filled += one.filled
        self.slip += one.slip
        self.edge_expected += one.edge_expected
        self.unwind_cost += one.unwind_cost
        self.fees += one.fees
        self.gas += one.gas
        self.gas_wei += one.gas_wei
        self.pnl += one.pnl
        if one.outcome is not Outcome.REFUSED:
            self.executed += 1
            self.execution_ns += one.execution_ns

    def charge(self, gas: int, wei: int) -> None:
        """Take what a trade's capital cost after, or before, its figures were added."""
        self.gas += gas
        self.gas_wei += wei
        self.pnl -= gas

    @classmethod
    def over(cls, parts: Iterable[_Sums]) -> _Sums:
        """Return the sums over several."""
        found = cls()
        for part in parts:
            for one in fields(cls):
                setattr(found, one.name, getattr(found, one.name) + getattr(part, one.name))
        return found

    def told(self) -> dict[str, Any]:
        """Return the figures for people; a rate over nothing is None."""
        done = self.outcomes["completed"] + self.outcomes["reduced"]
        failed = self.outcomes["unwound"] + self.outcomes["escalated"]
        return {
            "trades": self.trades,
            **{outcome.value: self.outcomes[outcome.value] for outcome in Outcome},
            "success_rate": _ratio(done, self.trades),
            "failed_arbitrage_rate": _ratio(failed, self.trades),
            "fill_rate": _ratio(self.filled, self.intended),
            "slippage_mean": _ratio(self.slip, self.filled),
            "execution_ms_mean": _ratio(self.execution_ns, self.executed * NS_PER_MS),
            "shortfall_mean": _ratio(self.edge_expected - self.pnl, self.size),
            "edge_expected": self.edge_expected / MICRO,
            "unwind_cost": self.unwind_cost / MICRO,
            "fees": self.fees / MICRO,
            "gas": self.gas / MICRO,
            "gas_pol": self.gas_wei / WEI_PER_POL,
            "pnl": self.pnl / MICRO,
            "pnl_per_trade": _ratio(self.pnl, self.trades * MICRO),
        }


def _ratio(top: int, bottom: int) -> float | None:
    return top / bottom if bottom else None


class MetricsCollector:
    """Collects results of trades; keeps the last `history` of them and sums over all.

    Rates: success = completed and reduced, failed arbitrage = unwound and escalated, both over all trades recorded,
    refused and missed ones included: nothing drops out of a denominator.
    """

    def __init__(self, history: int = 1_000) -> None:
        if history < 1:
            raise ConfigError(f"a history of {history} trades keeps nothing")
        self._recent: deque[ExecutionMetrics] = deque(maxlen=history)
        self._by_strategy = {strategy: _Sums() for strategy in ExecutionStrategy}
        self._unplaced = _Sums()  # gas of no trade that is among the recent ones
        self._early: dict[str, tuple[int, int]] = {}  # of that by trade, in dollars and wei: it may still end

    def record_trade(self, result: ExecutionResult) -> ExecutionMetrics:
        """Take the figures of one trade into the sums and return them."""
        one = ExecutionMetrics.of(result)
        if self._early and (early := self._early.pop(one.trade_id, None)) is not None:
            self._unplaced.charge(-early[0], -early[1])
            one = one.charged(*early)
        self._recent.append(one)
        self._by_strategy[one.strategy].add(one)
        return one

    def charge(self, trade: str, gas: Cash, wei: int) -> None:
        """Take what moving a trade's capital cost, whenever that is: off its pnl, and in the sums.

        Of a trade that is no longer among the recent ones, and of the account's own, it counts in the summary alone.
        """
        if not gas and not wei:
            return
        for place, one in enumerate(self._recent):
            if one.trade_id == trade:
                self._recent[place] = one.charged(gas, wei)
                self._by_strategy[one.strategy].charge(gas, wei)
                return
        self._unplaced.charge(gas, wei)
        before = self._early.pop(trade, (0, 0))
        self._early[trade] = (before[0] + gas, before[1] + wei)
        if len(self._early) > (self._recent.maxlen or 0):
            del self._early[next(iter(self._early))]

    def get_summary(self) -> dict[str, Any]:
        """Return counts by outcome, rates and dollars over everything recorded."""
        return _Sums.over([*self._by_strategy.values(), self._unplaced]).told()

    def get_strategy_performance(self, strategy: ExecutionStrategy | None = None) -> dict[str, Any]:
        """Return the same per strategy, or of one strategy alone."""
        if strategy is not None:
            return self._by_strategy[strategy].told()
        return {name.value: sums.told() for name, sums in self._by_strategy.items() if sums.trades}

    def get_recent_trades(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the last trades, newest last; at most `limit` of those kept."""
        rows = [one.row() for one in self._recent]
        return rows if limit is None else rows[max(0, len(rows) - max(0, limit)) :]

    def export_metrics(self, path: str | Path) -> Path:
        """Write the recent trades to .csv or .parquet, or them with summary and strategies to .json; return the path.

        Raises ConfigError for another suffix.
        """
        path = Path(path)
        rows = self.get_recent_trades()
        if path.suffix == ".json":
            document = {"summary": self.get_summary(), "strategies": self.get_strategy_performance(), "trades": rows}
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        elif path.suffix == ".csv":
            _write_csv(path, rows)
        elif path.suffix == ".parquet":
            _write_parquet(path, rows)
        else:
            raise ConfigError(f"{path.name}: metrics are written as .json, .csv or .parquet")
        return path


class PolygonGasTracker:
    """Sums what transactions used and cost by what they were for, and what batches saved by estimate.

    Fed with what is final only, so no figure is ever taken back. Sums are integers (gas, wei).
    """

    def __init__(self) -> None:
        self._by_work: dict[str, list[int]] = {}  # count, failed, gas, wei
        self._saved = 0

    def used(self, work: str, gas: int, paid: int, *, ok: bool) -> None:
        """Take one final transaction: gas units, and wei charged; a reverted one costs too."""
        row = self._by_work.setdefault(work, [0, 0, 0, 0])
        for at, value in enumerate((1, not ok, gas, paid)):
            row[at] += value

    def saved(self, gas: int) -> None:
        """Take the gas that a batch was estimated to save against making its calls one by one."""
        self._saved += gas

    @property
    def gas_used(self) -> int:
        return sum(row[2] for row in self._by_work.values())

    @property
    def paid(self) -> int:
        """Return all that was charged, wei."""
        return sum(row[3] for row in self._by_work.values())

    def get_summary(self) -> dict[str, Any]:
        """Return gas and POL in all and by what it was for, and the share that batches saved (None without any)."""
        total = self.gas_used
        return {
            "transactions": sum(row[0] for row in self._by_work.values()),
            "failed": sum(row[1] for row in self._by_work.values()),
            "gas_used": total,
            "paid_pol": self.paid / WEI_PER_POL,
            "gas_saved": self._saved,
            "saved_share": _ratio(self._saved, total + self._saved),
            "by_work": {
                work: {"transactions": row[0], "failed": row[1], "gas_used": row[2], "paid_pol": row[3] / WEI_PER_POL}
                for work, row in sorted(self._by_work.items())
            },
        }


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write with a stated schema, so that a file without trades has the same columns as any other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {**dict.fromkeys(TEXTS, pa.string()), "started_at": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
