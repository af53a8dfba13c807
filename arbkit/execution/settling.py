"""The capital cycle of trades: pairs are split for who sells them and merged when that pays, winners are redeemed.

Nothing here is on a trade's way: it begins when a trade has ended, in tasks of its own, and no hedge waits for it.
What is wanted stands on disk before anything is signed; cash and shares change when the chain's word is final, and
not before. What the contracts refuse is told, changes nothing and is left alone until a person releases it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from arbkit.core.capital import ACCOUNT, CapitalIntent, CapitalResult, Offer, Payout, paired_market
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, ChainError, ConfigError, DataError, FeeAboveCap, FundsMissing
from arbkit.core.model import Book, ExecutionResult, MultiLegTrade
from arbkit.core.ports import Chain, Clock
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, NS_PER_S, Cash, Size
from arbkit.execution.record import Record
from arbkit.execution.supervisor import Supervisor
from arbkit.journal.capital import Capital
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

Span = tuple[str, int, int]  # a book, and how many shares fewer and more than on record may be there now

LONGEST_S = 60.0  # between two tries to hear from a chain that does not answer
MOST_S = 3_600.0  # between two tries of what is not affordable now: each is two records


class Settling:
    """Merges what trades leave whole and redeems what markets pay, one intent of a market at a time.

    Shares of an intent that has no end, or had it a moment ago, may be listed by the venue or not.
    """

    def __init__(
        self,
        chain: Chain,
        record: Record,
        ledger: Ledger,
        risk: RiskManager,
        config: ExecutionConfig,
        clock: Clock,
        supervisor: Supervisor,
        books: Sequence[Book],
    ) -> None:
        self._chain = chain
        self._record = record
        self._ledger = ledger
        self._risk = risk
        self._config = config
        self._clock = clock
        self._supervisor = supervisor
        self._trades: Callable[[], Sequence[MultiLegTrade]] = tuple
        self._is_blocked: Callable[[str], bool] = lambda _market: False
        self._books = {book.name: book for book in books}
        covered = dict.fromkeys(f"{book.venue}:{book.market.id}" for book in books)
        self._markets = tuple(market for market in covered if chain.covers(market))
        self.capital = Capital()
        self._closing = False
        self._told: dict[str, str] = {}  # by what it is about: the alert that stands
        self._just_done: list[tuple[int, CapitalIntent]] = []  # ns, when it had its end
        self._rests: dict[str, tuple[int, float]] = {}  # by market: nothing is wanted before (ns), and that pause (s)
        self._waits: dict[
            str, tuple[int, str]
        ] = {}  # by key: since when (ns) this process asks, and what it last heard
        self._kept: list[str] = []  # markets whose pairs are a trade's
        self._waiting: dict[str, asyncio.Future[CapitalResult]] = {}  # by key of an intent
        self._payouts: dict[str, Payout] = {}
        self._silent_since: int | None = None  # ns

    # -- its life ------------------------------------------------------------------------------------------------

    def take_over(self, capital: Capital) -> None:
        """Take what a journal says of earlier processes; ConfigError when a chain that is not here is at work for it."""
        if left := [intent.key for intent in capital.open.values() if intent.market not in self._markets]:
            raise ConfigError(f"{', '.join(left)} is under way on a chain that this engine was not given: add it")
        self.capital = capital

    def begin(self, trades: Callable[[], Sequence[MultiLegTrade]], is_blocked: Callable[[str], bool]) -> None:
        """Take up what has no end yet, each under its key, and stand watch.

        `trades` are those that are not over: what they hold is theirs. `is_blocked` tells of a market where the account
        holds what nobody explains: that is not redeemed.
        """
        if not self._markets:
            return
        self._trades, self._is_blocked = trades, is_blocked
        for intent in tuple(self.capital.open.values()):
            if intent.work is Work.SPLIT and not self._chain.is_under_way(intent):
                why = "the process that wanted it ended before anything was signed"  # entries are not made again
                self._end(intent, CapitalResult(Fate.REFUSED, reason=why), again=True)
            else:
                self._pursue(intent)
        self._supervisor.repeat(self._step, self._chain.pause_s, "the watch on the chain")
        self._supervisor.repeat(self.look, self._config.reconcile_s, "merging and redeeming")

    def close(self) -> None:
        """Want nothing new; what is under way is on record, and is taken up by the next process."""
        self._closing = True

    def open(self) -> tuple[str, ...]:
        """Return what has no end yet, in words."""
        return tuple(f"{intent.key}: {_said(intent)} is under way" for intent in self.capital.open.values())

    def summary(self) -> dict[str, Any]:
        """Return pairs that are held by market (in shares), what is under way or waits for a person, gas in dollars."""
        pairs = {market: held.size / MICRO for market, held in self.capital.pairs.items()}
        gas = self.capital.gas / MICRO
        return {"pairs": pairs, "under_way": list(self.capital.open), "failed": dict(self.capital.failed), "gas": gas}

    # -- wanting -------------------------------------------------------------------------------------------------

    def ended(self, result: ExecutionResult) -> None:
        """Hear that a trade has ended: what it left whole is merged when that pays."""
        if not self._markets:
            return
        market = self.capital.ended(result)
        if market in self._markets:
            self._supervisor.spawn(self._merge_soon(market), f"merging at {market}")

    async def _merge_soon(self, market: str) -> None:
        self._merge(market)

    async def look(self) -> None:
        """Merge what pays by now, redeem what is resolved, and tell of what has had no end for long."""
        for intent in self.capital.open.values():
            since, why = self._waits.get(intent.key, (self._clock.now(), ""))
            if self._clock.now() - since > self._config.resolve_alarm_s * NS_PER_S:
                self._tell(intent.market, f"{_said(intent)} has no last word", why or "it is not final yet")
        for market in self._markets:
            self._merge(market)
        for market in self._markets:
            await self._redeem(market)

    def release(self, market: str) -> None:
        """Take a person's word that what a market's contracts refused was seen to. DataError where nothing was."""
        if market not in self.capital.failed:
            raise DataError(f"nothing at {market!r} waits for a person; waiting: {', '.join(self.capital.failed) or 0}")
        self._note("capital.released", market)
        self._told.pop(market, None)

    def _merge(self, market: str) -> None:
        pairs = self.capital.pairs.get(market)
        if pairs is None or self._is_barred(market):
            return
        offer = self._chain.merge_offer(market, Size(pairs.size))
        if offer.why:
            self._tell(market, f"merging {pairs.size / MICRO:g} pairs at {market} is postponed", offer.why)
        elif offer.pays or pairs.wanted:
            self._want(Work.MERGE, pairs.trade, market, pairs.size, pairs.size)

    async def _redeem(self, market: str) -> None:
        yes, no = (self._ledger.shares.get(f"{market}:{outcome}", 0) for outcome in ("yes", "no"))
        if yes + no <= 0 or min(yes, no) < 0 or self._is_barred(market):
            return
        payout = await self._payout(market)
        now = tuple(self._ledger.shares.get(f"{market}:{outcome}", 0) for outcome in ("yes", "no"))
        if payout is None or now != (yes, no) or self._is_barred(market) or self._is_traded(market):
            return
        if payout.of(yes, no) > 0 and not self._is_blocked(market):  # what lost is worth nothing, and gas is not
            held = self.capital.pairs.get(market)
            self._want(Work.REDEEM, held.trade if held is not None else ACCOUNT, market, yes, no)

    async def _payout(self, market: str) -> Payout | None:
        """Return how a market pays, None while that is not known; a market is resolved once and for all."""
        if market not in self._payouts:
            try:
                payout = await self._chain.payout(market)
            except ChainError as error:
                self._silent(str(error))
                return None
            if payout is None:
                return None
            self._payouts[market] = payout
        return self._payouts[market]

    def _is_barred(self, market: str) -> bool:
        """Tell whether nothing is wanted of a market now: one intent at a time, and none after one that failed."""
        if self._closing or self._record.unhealthy:
            return True
        until, _ = self._rests.get(market, (0, 0.0))
        if market in self._kept:
            return True
        return market in self.capital.failed or self.capital.moving(market) or self._clock.now() < until

    def _is_traded(self, market: str) -> bool:
        return any(f"{leg.book.venue}:{leg.book.market.id}" == market for t in self._trades() for leg in t.legs)

    def _want(self, work: Work, trade: str, market: str, yes: int, no: int) -> CapitalIntent | None:
        """Write an intent down and have it done; None when the journal does not take it."""
        intent = CapitalIntent(work, trade, market, Size(yes), Size(no), self.capital.count)
        try:
            self._record.intend("capital.intent", intent.key, **(fields := _fields(intent)))
        except (ArbkitError, OSError) as error:
            self._tell(market, f"{_said(intent)} is postponed", f"the journal does not take it: {error}")
            return None
        self.capital.apply("capital.intent", intent.key, fields)
        self._pursue(intent)
        return intent

    # -- splitting for a trade -----------------------------------------------------------------------------------

    def split_gas(self, market: str) -> Cash | str:
        """Return what a split at a market costs now, in dollars, or why none can be made."""
        if market not in self._markets:
            return f"no pairs can be split at {market or 'legs that are no pair'}: its shares live on no chain here"
        gas = self._chain.gas_of(Work.SPLIT)
        return "gas is above its cap, or its price is not known" if gas is None else gas

    def missing(self, market: str, size: int) -> Cash:
        """Return the collateral that has to be split for so many pairs."""
        held = self.capital.pairs.get(market)
        return Cash(max(0, size - (held.size if held is not None else 0)))

    @asynccontextmanager
    async def pairs_for(self, trade: str, market: str, size: int) -> AsyncIterator[str]:
        """Have so many whole pairs of a market ready, splitting what is missing; yields why there are not, or nothing.

        They stay until the end of the context, `take` or not; what is left then is merged again.
        """
        if self._is_barred(market):
            yield f"capital at {market} is being moved, or waits for a person"
            return
        self._kept.append(market)
        try:
            yield await self._split(trade, market, self.missing(market, size))
        finally:
            self._kept.remove(market)
            if not self._closing:
                self._supervisor.spawn(self._merge_soon(market), f"merging at {market}")

    async def _split(self, trade: str, market: str, pairs: Cash) -> str:
        if not pairs:
            return ""
        intent = self._want(Work.SPLIT, trade, market, pairs, pairs)
        if intent is None:
            return "the journal does not take the split"
        waiting = self._waiting[intent.key] = asyncio.get_running_loop().create_future()
        result: CapitalResult = await waiting
        return "" if result.fate.took_effect else f"the split failed: {result.reason}"

    def take(self, market: str, size: int) -> None:
        """Let a trade have pairs: what they tie up is counted with the trade from now on."""
        self.capital.take(market, size)
        for outcome in ("yes", "no"):
            self._risk.adopted(self._books[f"{market}:{outcome}"], -size)

    # -- doing ---------------------------------------------------------------------------------------------------

    def _pursue(self, intent: CapitalIntent) -> None:
        steps = partial(self._carried_out, intent)
        self._supervisor.insist(steps, self._config.reconcile_s, f"{intent.key} at {intent.market}")

    async def _carried_out(self, intent: CapitalIntent) -> None:
        """Ask for an intent until it has its end, however long the chain is silent; by its key it is done once."""
        pause, self._waits[intent.key] = self._config.hedge_retry_s, (self._clock.now(), "")
        while intent.key in self.capital.open:
            try:
                await self._record.durable()  # before anything is signed
                result = await self._chain.settle(intent)
            except (FeeAboveCap, FundsMissing) as error:
                self._end(intent, CapitalResult(Fate.REFUSED, reason=str(error)), again=True)
            except ArbkitError as error:
                self._waits[intent.key] = (self._waits[intent.key][0], str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_S)
            else:
                self._end(intent, result, again=result.postponed)

    def _end(self, intent: CapitalIntent, result: CapitalResult, *, again: bool) -> None:
        """Take down what became of an intent: on record, in cash and shares, and against the limits."""
        moved = intent.moves if result.fate.took_effect else ()
        self._waits.pop(intent.key, None)
        self._note(
            "capital.done",
            intent.key,
            venue=intent.venue,
            fate=result.fate,
            reason=result.reason,
            hash=result.hash,
            cash=result.cash,
            gas=result.gas,
            wei=str(result.wei),
            moved=moved,
            again=again,
            as_expected=result.as_expected,
        )
        if moved:
            self._ledger.adjust(intent.venue, result.cash, moved)
            self._just_done.append((self._clock.now(), intent))
            self._told.pop(intent.market, None)
            self._rests.pop(intent.market, None)
        elif intent.work is Work.SPLIT:
            self._tell(intent.market, f"{_said(intent)} failed: nothing moved", result.reason)
        elif again:
            pause = min(2 * self._rests.get(intent.market, (0, self._config.reconcile_s / 2))[1], MOST_S)
            self._rests[intent.market] = (self._clock.now() + round(pause * NS_PER_S), pause)
            self._tell(intent.market, f"{_said(intent)} is postponed", result.reason)
        else:
            self._tell(intent.market, f"{_said(intent)} failed: nothing moved", result.reason)
        if (waiting := self._waiting.pop(intent.key, None)) is not None and not waiting.done():
            waiting.set_result(result)
        if not result.as_expected:
            why = "balances moved otherwise than the call moves them: somebody else moved them in the same block?"
            self._record.alert(f"{_said(intent)} is not what it seemed", why)

    def _note(self, fact: str, key: str, **data: object) -> None:
        now = self._record.note(fact, key, **data)
        self.capital.apply(fact, key, data)
        if fact == "capital.done":
            for name, change in data["moved"]:  # type: ignore[attr-defined]
                self._risk.adopted(self._books[name], change)
            self._risk.charged(now, Cash(data["gas"]))  # type: ignore[arg-type]

    async def _step(self) -> None:
        self._silent(await self._chain.step())

    def _silent(self, why: str) -> None:
        """Tell of a chain that has not answered for long, once; an answer ends it."""
        if not why:
            self._silent_since = None
            self._told.pop("the chain", None)
            return
        now = self._clock.now()
        since = self._silent_since = now if self._silent_since is None else self._silent_since
        if now - since > self._config.resolve_alarm_s * NS_PER_S:
            self._tell("the chain", "the chain cannot be asked", why)

    def _tell(self, about: str, what: str, why: str) -> None:
        """Put an alert on record, unless the same one stands: a spike of gas is one alert, not one for each look."""
        if self._told.get(about) != what:
            self._told[about] = what
            self._record.alert(what, why)

    # -- for others ----------------------------------------------------------------------------------------------

    def spans(self, venue: str) -> list[Span]:
        """Return what may differ from the record at a venue, either way: what is under way, and what ended just now."""
        recent = self._clock.now() - round(self._config.reconcile_s * NS_PER_S)
        self._just_done = [(at, intent) for at, intent in self._just_done if at >= recent]
        found: list[Span] = []
        for intent in self.capital.open.values():
            found += [(book, min(0, change), max(0, change)) for book, change in intent.moves]
        for _, intent in self._just_done:
            found += [(book, min(0, -change), max(0, -change)) for book, change in intent.moves]
        return [span for span in found if span[0].startswith(f"{venue}:")]

    def merge_gain(self, trade: MultiLegTrade, pairs: int) -> Cash | None:
        """Return what merging a trade's pairs now is worth over holding them; None where that cannot be done."""
        market = paired_market(trade)
        if market not in self._markets or pairs <= 0 or market in self.capital.failed or self._closing:
            return None
        offer = self._chain.merge_offer(market, Size(pairs))
        return None if offer.why else offer.gain


class NoChain:
    """Implements `core.ports.Chain` for an engine that has none: no market's shares live here, so nothing is asked."""

    live = False
    pause_s = LONGEST_S

    def covers(self, _market: str) -> bool:
        return False

    def merge_offer(self, market: str, _pairs: Size) -> Offer:
        return Offer(Cash(0), f"the shares of {market} live on no chain here")

    def gas_of(self, _work: Work) -> Cash | None:
        return None

    async def settle(self, intent: CapitalIntent) -> CapitalResult:
        return CapitalResult(Fate.REFUSED, reason=f"the shares of {intent.market} live on no chain here")

    def is_under_way(self, _intent: CapitalIntent) -> bool:
        return False

    async def payout(self, _market: str) -> Payout | None:
        return None

    async def step(self) -> str:
        return ""


def _fields(intent: CapitalIntent) -> dict[str, object]:
    return {
        "work": intent.work,
        "trade": intent.trade,
        "market": intent.market,
        "yes": intent.yes,
        "no": intent.no,
        "turn": intent.turn,
    }


def _said(intent: CapitalIntent) -> str:
    if intent.work is Work.REDEEM:
        return f"redeeming {intent.yes / MICRO:g} YES and {intent.no / MICRO:g} NO at {intent.market}"
    return f"a {intent.work.value} of {intent.yes / MICRO:g} pairs at {intent.market}"
