"""The capital cycle of trades: pairs are split for who sells them and merged when that pays, winners are redeemed.

NO of several markets of an event of which one comes true are converted when that pays, so that all their money but a
dollar each is back before the resolution.

Nothing here is on a trade's way: it begins when a trade has ended, in tasks of its own, and no hedge waits for it.
Cash and shares change when the chain's word is final, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from arbkit.core.capital import ACCOUNT, CapitalIntent, CapitalResult, Payout, other_event, paired_market
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ChainError, ConfigError
from arbkit.core.model import Book, ExecutionResult, MultiLegTrade
from arbkit.core.ports import Chain, Clock
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Cash, Size
from arbkit.execution.capital_desk import CapitalDesk
from arbkit.execution.record import Record
from arbkit.execution.supervisor import Supervisor
from arbkit.journal.capital import Capital
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

CLOSING_GAS = Cash(MICRO // 20)  # five cents: what it may cost to close a position that pays nothing
CLOSING = "the engine is closing: what is under way is taken up at the next start"


class Settling(CapitalDesk):
    """Merges what trades leave whole and redeems what markets pay, one intent of a market at a time."""

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
        super().__init__(chain, record, ledger, risk, config, clock, supervisor, books)
        covered = dict.fromkeys(book.market_name for book in books)
        self._markets = tuple(market for market in covered if chain.covers(market))
        self._listed = frozenset(book.name for book in books if book.market_name in self._markets)
        self._trades: Callable[[], Sequence[MultiLegTrade]] = tuple
        self._is_blocked: Callable[[str], bool] = lambda _market: False
        self._closing = False
        self._kept: list[str] = []  # markets whose pairs are a trade's
        self._payouts: dict[str, Payout] = {}

    # -- its life ------------------------------------------------------------------------------------------------

    def take_over(self, capital: Capital) -> None:
        """Take what a journal says of earlier processes; ConfigError when a chain that is not here is at work for it.

        A conversion has the fee and the markets that its event had when it was wanted: with others it is not taken up.
        """
        wrong = [why for intent in capital.open.values() if (why := self._unlike(intent))]
        if wrong:
            raise ConfigError("; ".join(wrong))
        self.capital = capital

    def _unlike(self, intent: CapitalIntent) -> str:
        """Return why the chain here is not the one that an intent of an earlier process is at work on, or nothing."""
        if not self._covers(intent.markets):
            return f"{intent.key} is under way on a chain that this engine was not given: add it"
        if intent.work is not Work.CONVERT:
            return ""
        found = self._chain.conversion(intent.taken, intent.no)
        if found is not None and (found.made, found.each) == (intent.made, intent.yes):
            return ""
        events = {book.market.event for book in self._books.values() if book.market_name == intent.market}
        return other_event(intent, found, events.pop() or "that has no name")

    def _covers(self, markets: Sequence[str]) -> bool:
        return all(market in self._markets for market in markets)

    def begin(self, trades: Callable[[], Sequence[MultiLegTrade]], is_blocked: Callable[[str], bool]) -> None:
        """Take up what has no end yet, each under its key, and stand watch.

        `trades` are those that are not over: what they hold is theirs. `is_blocked` tells of a market where the account
        holds what nobody explains: that is not redeemed.
        """
        if not self._markets:
            return
        self._trades, self._is_blocked = trades, is_blocked
        for intent in tuple(self.capital.open.values()):
            # Entries are not made again.
            why = "the process that wanted it ended before it was signed" if intent.work is Work.SPLIT else ""
            self._pursue(intent, why)
        self._supervisor.repeat(self._step, self._chain.pause_s, "the watch on the chain")
        self._supervisor.repeat(self.look, self._config.reconcile_s, "merging and redeeming")

    def close(self) -> None:
        """Want nothing new; what is under way is on record, and is taken up by the next process: nobody waits for it here."""
        self._closing = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(CapitalResult(Fate.REFUSED, reason=CLOSING))

    async def _step(self) -> None:
        self._silent(await self._chain.step())

    # -- wanting -------------------------------------------------------------------------------------------------

    def ended(self, result: ExecutionResult) -> None:
        """Hear that a trade has ended: what it left whole is merged or converted when that pays."""
        if not self._markets:
            return
        markets = self.capital.ended(result)
        if not self._covers(markets):
            return
        if len(markets) > 1:
            self._supervisor.spawn(self._convert_soon(markets), f"converting NO of {', '.join(markets)}")
        elif markets:
            self._supervisor.spawn(self._merge_soon(markets[0]), f"merging at {markets[0]}")

    async def _merge_soon(self, market: str) -> None:
        self._merge(market)

    async def _convert_soon(self, markets: tuple[str, ...]) -> None:
        self._convert(markets)

    async def look(self) -> None:
        """Merge and convert what pays by now, redeem what is resolved, and tell of what has had no end for long."""
        self._tell_late()
        for market in self._markets:
            self._merge(market)
        for markets in tuple(self.capital.sets):
            self._convert(markets)
        for market in self._markets:
            await self._redeem(market)

    def _merge(self, market: str) -> None:
        pairs = self.capital.pairs.get(market)
        if pairs is None or self._is_barred(market):
            return
        size = min(pairs.size, *self._free(market))  # a person may have merged some, and claimed that
        if size <= 0:
            return
        offer = self._chain.merge_offer(market, Size(size))
        if offer.why:
            self._tell(market, f"merging {size / MICRO:g} pairs at {market} is postponed", offer.why)
        elif offer.pays or pairs.wanted:
            self._want(Work.MERGE, pairs.trade, market, size, size)

    def _convert(self, markets: tuple[str, ...]) -> None:
        """Convert a set of NO where that pays, one intent of a market at a time."""
        held = self.capital.sets.get(markets)
        if held is None or not self._covers(markets) or any(self._is_barred(market) for market in markets):
            return
        size = min(held.size, *[self._free(market)[1] for market in markets])  # a person may have moved some
        found = self._chain.conversion(markets, Size(size)) if size > 0 else None
        # What no book here is of could not be told from shares that nobody explains.
        if found is None or not all(f"{market}:yes" in self._listed for market in found.made):
            return
        if any(self._is_barred(market) for market in found.made):
            return
        sizes = found.each, Size(size)
        if found.offer.why:
            what = f"converting {size / MICRO:g} NO of each of {', '.join(markets)} is postponed"
            self._tell(markets[0], what, found.offer.why)
        elif found.offer.pays:
            turn = self.capital.count
            self._put(CapitalIntent(Work.CONVERT, held.trade, markets[0], *sizes, turn, markets, found.made))

    def _held(self, market: str) -> tuple[int, int]:
        """Return the YES and NO of a market on record."""
        shares = self._ledger.shares
        return shares.get(f"{market}:yes", 0), shares.get(f"{market}:no", 0)

    def _free(self, market: str) -> tuple[int, int]:
        """Return the YES and NO of a market on record that no trade holds which is not over."""
        yes, no = self._held(market)
        for leg in (leg for trade in self._trades() for leg in trade.legs if leg.book.market_name == market):
            theirs = max(0, leg.held)
            yes, no = (yes - theirs, no) if leg.book.outcome == "yes" else (yes, no - theirs)
        return yes, no

    async def _redeem(self, market: str) -> None:
        yes, no = self._held(market)
        if yes + no <= 0 or min(yes, no) < 0 or self._is_barred(market):
            return
        payout = await self._payout(market)
        if payout is None or self._held(market) != (yes, no) or self._is_barred(market) or self._is_traded(market):
            return
        if (payout.of(yes, no) > 0 or self._is_cheap(Work.REDEEM)) and not self._is_blocked(market):
            held = self.capital.pairs.get(market)
            self._want(Work.REDEEM, held.trade if held is not None else ACCOUNT, market, yes, no)

    def _is_cheap(self, work: Work) -> bool:
        """Tell whether gas is so little that what lost is handed in too, for nothing.

        Then it is neither held nor counted any more, on chain as in the books and against the limits; nobody has to
        explain it later. While gas is dearer it stays, worth nothing, until a look that finds it cheap.
        """
        gas = self._chain.gas_of(work)
        return gas is not None and gas <= CLOSING_GAS

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
        held_up = market in self.capital.failed or market in self._kept or self.capital.moving(market)
        return held_up or self._clock.now() < until

    def _is_traded(self, market: str) -> bool:
        return any(leg.book.market_name == market for t in self._trades() for leg in t.legs)

    # -- splitting for a trade -----------------------------------------------------------------------------------

    def split_gas(self, market: str) -> Cash | str:
        """Return what a split at a market costs now, in dollars, or why none can be made."""
        if market not in self._markets:
            return f"no pairs can be split at {market or 'legs that are no pair'}: its shares live on no chain here"
        gas = self._chain.gas_of(Work.SPLIT)
        return "gas is above its cap, or its price is not known" if gas is None else gas

    def missing(self, market: str, size: int) -> Cash:
        """Return the collateral that has to be split for so many pairs."""
        return Cash(max(0, size - self.capital.whole(market)))

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
        if self._closing:
            return CLOSING
        return "" if result.fate.took_effect else f"the split failed: {result.reason}"

    def take(self, market: str, size: int) -> None:
        """Let a trade have pairs: what they tie up is counted with the trade from now on."""
        self.capital.take(market, size)
        for outcome in ("yes", "no"):
            self._risk.adopted(self._books[f"{market}:{outcome}"], -size)

    # -- undoing -------------------------------------------------------------------------------------------------

    def merge_gain(self, trade: MultiLegTrade, pairs: int) -> Cash | None:
        """Return what merging a trade's pairs now is worth over holding them; None where that cannot be done."""
        market = paired_market(trade)
        if market not in self._markets or pairs <= 0 or market in self.capital.failed or self._closing:
            return None
        offer = self._chain.merge_offer(market, Size(pairs))
        return None if offer.why else offer.gain
