"""The capital in whole sets as a fold over facts: what trades left whole, what is being moved, and what would not move.

An intent stands on disk before anything is signed for it; from then on until `capital.done` its shares may be there or
gone. The engine that writes these facts and a replay of them hold equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from msgspec import structs

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


K = TypeVar("K")
Whole = TypeVar("Whole", Pairs, NoSet)


@dataclass(slots=True)
class Capital:
    """Pairs by market, intents that have no end yet by key, and why a market is left alone until a person releases it.

    `sets` are NO of several markets of an event by those markets, as they may be converted. `parted` are shares by book
    that were in a pair or set until its other shares went a way of their own.
    """

    pairs: dict[str, Pairs] = field(default_factory=dict)
    sets: dict[tuple[str, ...], NoSet] = field(default_factory=dict)
    parted: dict[str, int] = field(default_factory=dict)
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
        if (there := self.whole(market)) < size:
            raise ValueError(f"{size} pairs at {market}, where {there} are")
        _fewer(self.pairs, market, size)

    def whole(self, market: str) -> int:
        """Return how many pairs of a market there are."""
        return self.pairs[market].size if market in self.pairs else 0

    def adjusted(self, shares: Iterable[tuple[str, int]]) -> None:
        """Take what a claim changed books by: pairs and sets that had what is gone are as many fewer.

        Nobody can tell shares of a book apart, so those that are gone count as a pair's or a set's, after the ones that
        are parted: together these never count on more than the book holds, and what is bought later stands in for none.
        Pairs go first, then sets of the fewest markets (by name among equals), so that the fewest shares are parted.
        Shares that came are nobody's: they make nothing whole.
        """
        for book, change in shares:
            if change < 0:
                self._lose(book, -change)

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
        return structs.replace(result, gas=gas, gas_wei=wei, pnl=pnl) if wei or gas else result

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
        if intent.work is Work.REDEEM:
            self._resolved(intent.market)
            return
        # What a trade that ended meanwhile has added is left. Only journals from before claims were counted have more
        # moved than was there.
        if intent.work is Work.CONVERT:
            missing = intent.no - _fewer(self.sets, intent.taken, intent.no)
        else:
            missing = intent.yes - _fewer(self.pairs, intent.market, intent.yes)
        for book, change in intent.moves:
            if change < 0:
                self._lose_parted(book, missing)

    def _resolved(self, market: str) -> None:
        """Forget what was whole of a market, of which nothing is held any more."""
        self.pairs.pop(market, None)
        for markets in [markets for markets in self.sets if market in markets]:
            self._part_sets(markets, self.sets[markets].size, market)
        for outcome in ("yes", "no"):
            self.parted.pop(f"{market}:{outcome}", None)

    def _lose(self, book: str, size: int) -> None:
        """Count shares of a book as gone."""
        market, _, outcome = book.rpartition(":")
        size = self._lose_parted(book, size)
        broken = _fewer(self.pairs, market, size)
        self._part(f"{market}:{'no' if outcome == 'yes' else 'yes'}", broken)
        size -= broken
        if outcome == "yes":
            return
        for markets in sorted((one for one in self.sets if market in one), key=lambda one: (len(one), one)):
            size -= self._part_sets(markets, size, market)

    def _lose_parted(self, book: str, size: int) -> int:
        """Take shares of a book from those that are parted; return how many more are to be taken."""
        there = self.parted.pop(book, 0)
        self._part(book, max(0, there - size))
        return max(0, size - there)

    def _part(self, book: str, size: int) -> None:
        if size:
            self.parted[book] = self.parted.get(book, 0) + size

    def _part_sets(self, markets: tuple[str, ...], size: int, gone: str) -> int:
        """Break sets up of which one market's NO are gone, at most so many; return how many."""
        broken = _fewer(self.sets, markets, size)
        for market in markets:
            if market != gone:
                self._part(f"{market}:no", broken)
        return broken

    def _charge(self, trade: str, gas: int, wei: int) -> None:
        self.gas += gas
        if not gas and not wei:
            return
        self.charged[trade] = self.charged.pop(trade, Charge()).plus(gas, wei)
        if len(self.charged) > CHARGED:
            del self.charged[next(iter(self.charged))]

    def _released(self, key: str, _data: Mapping[str, Any]) -> None:
        self.failed.pop(key, None)


def _fewer(held: dict[K, Whole], key: K, size: int) -> int:
    """Take pairs or sets away, at most so many; return how many. Where none are left there is nothing."""
    if key not in held:
        return 0
    one = held[key]
    if size >= one.size:
        del held[key]
        return one.size
    held[key] = one._replace(size=one.size - size)
    return size


_STEPS: dict[str, Callable[[Capital, str, Mapping[str, Any]], None]] = {
    "capital.intent": Capital._intent,
    "capital.done": Capital._done,
    "capital.released": Capital._released,
}
FACTS = tuple(_STEPS)
