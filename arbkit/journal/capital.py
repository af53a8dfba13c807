"""The capital in whole sets as a fold over facts: what trades left whole, what is being moved, and what would not move.

An intent stands on disk before anything is signed for it; from then on until `capital.done` its shares may be there or
gone. The engine that writes these facts and a replay of them hold equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from arbkit.core.capital import CapitalIntent, Charge, began_with_pairs, no_markets, paired_market
from arbkit.core.model import ExecutionResult, Outcome
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import Cash, Size

CHARGED = 1_000  # trades whose gas is remembered one by one
WHOLE = (Outcome.COMPLETED, Outcome.REDUCED, Outcome.UNWOUND)


class Pairs(NamedTuple):
    """Whole pairs of trades that are over; `trade` is the last that added to them.

    `wanted` says that they go back to collateral whether or not that pays: they were split for a trade that did not
    sell them, or a trade was undone by merging.
    """

    trade: str
    size: int
    wanted: bool = False


class NoSet(NamedTuple):
    """So many NO of each of several markets, of trades that are over; `trade` is the last that added to them."""

    trade: str
    size: int


@dataclass(slots=True)
class Capital:
    """Pairs by market, intents that have no end yet by key, and why a market is left alone until a person releases it.

    `sets` are NO of several markets of an event by those markets, as they may be converted.
    """

    pairs: dict[str, Pairs] = field(default_factory=dict)
    sets: dict[tuple[str, ...], NoSet] = field(default_factory=dict)
    open: dict[str, CapitalIntent] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    gas: int = 0  # dollars charged so far, millionths
    charged: dict[str, Charge] = field(default_factory=dict)  # of that, by trade: the last so many
    count: int = 0  # intents so far

    def ended(self, result: ExecutionResult) -> tuple[str, ...]:
        """Count what a trade leaves whole, and return its markets: one of pairs, several of NO, none where there is none."""
        if result.outcome not in WHOLE or (size := min(leg.held for leg in result.trade.legs)) <= 0:
            return ()
        if markets := no_markets(result.trade):
            held = self.sets.get(markets, NoSet("", 0))
            self.sets[markets] = NoSet(result.trade.id, held.size + size)
            return markets
        market = paired_market(result.trade)
        if not market:
            return ()
        before = self.pairs.get(market, Pairs("", 0))
        wanted = before.wanted or result.undo == "merge" or began_with_pairs(result.trade)
        self.pairs[market] = Pairs(result.trade.id, before.size + size, wanted)
        return (market,)

    def take(self, market: str, size: int) -> None:
        """Let a trade have pairs of a market; ValueError when there are not so many."""
        held = self.pairs[market]
        if held.size < size:
            raise ValueError(f"{size} pairs at {market}, where {held.size} are")
        del self.pairs[market]
        if held.size > size:
            self.pairs[market] = held._replace(size=held.size - size)

    def apply(self, fact: str, key: str, data: Mapping[str, Any]) -> None:
        """Take one fact `capital.*`; KeyError or ValueError for one that cannot follow those before it."""
        _STEPS[fact](self, key, data)

    def with_gas(self, result: ExecutionResult) -> ExecutionResult:
        """Return a result with what its trade's capital has cost by now, off its pnl.

        That is all of it for the last `CHARGED` trades that were charged. What is remembered of an older one that is
        charged again begins anew: its result may lack what was forgotten, but never has less than it had.
        """
        gas, wei = self.charged.get(result.trade.id, Charge())
        gas, wei = max(gas, result.gas), max(wei, result.gas_wei)
        pnl = Cash(result.pnl + result.gas - gas)  # a result that had some of it already is brought up to date
        return replace(result, gas=gas, gas_wei=wei, pnl=pnl) if wei or gas else result

    def moving(self, market: str) -> bool:
        """Tell whether an intent that moves a market's shares has no end yet."""
        return any(market in intent.markets for intent in self.open.values())

    def _intent(self, key: str, data: Mapping[str, Any]) -> None:
        sizes = Size(data["yes"]), Size(data["no"])
        several = tuple(data.get("taken", ())), tuple(data.get("made", ()))
        intent = CapitalIntent(Work(data["work"]), data["trade"], data["market"], *sizes, data["turn"], *several)
        if intent.key != key or key in self.open:
            raise ValueError(f"two intents under one key, or a key that is not its own: {intent.key}")
        self.open[key] = intent
        self.count = max(self.count, intent.turn + 1)

    def _done(self, key: str, data: Mapping[str, Any]) -> None:
        intent = self.open.pop(key)
        self._charge(intent.trade, data["gas"], int(data.get("wei", 0)))
        if not Fate(data["fate"]).took_effect:
            if not data["again"] and intent.work is not Work.SPLIT:
                self.failed[intent.market] = data["reason"]
            return
        if intent.work is Work.SPLIT:
            before = self.pairs.get(intent.market, Pairs("", 0))
            self.pairs[intent.market] = Pairs(intent.trade, before.size + intent.yes, wanted=True)
            return
        self.failed.pop(intent.market, None)
        if intent.work is Work.CONVERT:
            there = self.sets.pop(intent.taken, None)
            if there is not None and (rest := there.size - intent.no) > 0:
                self.sets[intent.taken] = there._replace(size=rest)
            return
        if intent.work is Work.REDEEM:
            self.sets = {markets: one for markets, one in self.sets.items() if intent.market not in markets}
        held = self.pairs.pop(intent.market, None)
        if held is not None and intent.work is Work.MERGE and (left := held.size - intent.yes) > 0:
            self.pairs[intent.market] = held._replace(size=left)  # a trade that ended meanwhile has added to them

    def _charge(self, trade: str, gas: int, wei: int) -> None:
        self.gas += gas
        if not gas and not wei:
            return
        self.charged[trade] = self.charged.pop(trade, Charge()).plus(gas, wei)
        if len(self.charged) > CHARGED:
            del self.charged[next(iter(self.charged))]

    def _released(self, key: str, _data: Mapping[str, Any]) -> None:
        self.failed.pop(key, None)


_STEPS: dict[str, Callable[[Capital, str, Mapping[str, Any]], None]] = {
    "capital.intent": Capital._intent,
    "capital.done": Capital._done,
    "capital.released": Capital._released,
}
FACTS = tuple(_STEPS)
