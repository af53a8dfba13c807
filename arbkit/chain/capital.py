"""Polygon as the engine's port `Chain`: intents of capital by market in, contract calls of one holder out.

The desk judges each before anything is signed and holds it against balances afterwards; here are the names of
markets, what gas and locked money are worth, and what a redeem paid whose balances were seen by an earlier process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from arbkit.chain.gas import GasFees, Urgency
from arbkit.chain.gas_terms import TYPICAL_GAS
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.core.capital import CapitalIntent, CapitalResult, Offer, Payout
from arbkit.core.errors import ArbkitError, ChainError, ChainUnavailable, ConfigError, FeeAboveCap
from arbkit.core.ports import Clock
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import NS_PER_S, Cash, Size
from arbkit.settlement.desk import SettlementDesk
from arbkit.settlement.intents import Intent, SettlementResult
from arbkit.settlement.merging import MergeTerms, weigh_merge
from arbkit.settlement.positions import Condition

STALE_S = 30.0  # a gas price that was seen so long ago prices nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainMarket:
    """The condition that a market's shares are of, and when it is expected to be resolved (ns); None: nobody knows."""

    condition: Condition
    resolves: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTerms:
    """What money that is locked in pairs is worth, and how long that takes.

    `yearly` is what a dollar earns elsewhere in a year, millionths of a dollar. Times are in seconds: until a market
    whose resolution has no date pays, from a resolution to the redeem, and until a merge is final.
    """

    yearly: int = 200_000
    undated_s: float = 7 * 86_400.0
    redeem_s: float = 7_200.0
    merge_s: float = 10.0
    redeemed_for_us: bool = False  # then a merge spares no gas of a redeem

    def __post_init__(self) -> None:
        if min(self.yearly, self.undated_s, self.redeem_s, self.merge_s) < 0:
            raise ConfigError("nothing that a merge is weighed by is below zero")


class PolygonCapital:
    """Implements `core.ports.Chain` for one holder. `live` says that its account holds real money."""

    def __init__(
        self,
        polygon: PolygonOptimizer,
        desk: SettlementDesk,
        markets: Mapping[str, ChainMarket],
        clock: Clock,
        terms: LockTerms | None = None,
        *,
        live: bool,
    ) -> None:
        self.live = live
        self._polygon = polygon
        self._desk = desk
        self._markets = dict(markets)
        self._clock = clock
        self._terms = terms or LockTerms()
        self._gas = dict(TYPICAL_GAS)  # until a call was made: then what the last one used
        self._fees: GasFees | str = "no gas price was seen yet"
        self._seen_at = 0
        self._joining: list[tuple[Intent, asyncio.Future[SettlementResult]]] = []

    @property
    def pause_s(self) -> float:
        return self._polygon.transactions.config.poll_s

    def covers(self, market: str) -> bool:
        return market in self._markets

    async def step(self) -> str:
        """See `core.ports.Chain`: watches what is open, and sees what gas costs."""
        answered = await self._polygon.step()
        try:
            self._fees = await self._polygon.gas.estimate_fees(Urgency.NORMAL)
        except FeeAboveCap as above:
            self._fees = str(above)
        except ChainError as error:
            return str(error)
        self._seen_at = self._clock.now()
        return "" if answered else "no node answers what became of open transactions"

    def merge_offer(self, market: str, pairs: Size) -> Offer:
        """See `core.ports.Chain`."""
        now = self._clock.now()
        gas, redeem_gas = self.gas_of(Work.MERGE), self.gas_of(Work.REDEEM)
        if gas is None or redeem_gas is None:
            old = f"the last gas price is of {(now - self._seen_at) / NS_PER_S:.0f} s ago"
            return Offer(Cash(0), self._fees if isinstance(self._fees, str) else old)
        resolves = self._markets[market].resolves
        left = self._terms.undated_s * NS_PER_S if resolves is None else max(0, resolves - now)
        terms = MergeTerms(
            pairs=pairs,
            gas=gas,
            redeem_gas=Cash(0) if self._terms.redeemed_for_us else redeem_gas,
            lock_ns=round(left + self._terms.redeem_s * NS_PER_S),
            merge_ns=round(self._terms.merge_s * NS_PER_S),
            yearly=self._terms.yearly,
        )
        return Offer(weigh_merge(terms).gain)

    def gas_of(self, work: Work) -> Cash | None:
        """See `core.ports.Chain`."""
        fees = self._fees
        if isinstance(fees, str) or self._clock.now() - self._seen_at > STALE_S * NS_PER_S:
            return None
        return self._polygon.gas.cost(self._gas[work], fees).dollars

    async def settle(self, intent: CapitalIntent) -> CapitalResult:
        """See `core.ports.Chain`."""
        wanted = self._wanted(intent)
        if self._polygon.fate_of(wanted.key) is None:
            done = await self._together(wanted)
        else:
            (done,) = await self._desk.settle([wanted])
        cash = done.collateral
        if done.fate is Fate.DONE and intent.work is Work.REDEEM and not cash:
            payout = await self.payout(intent.market)  # it was done before: the shares it took are those of the intent
            cash = payout.of(intent.yes, intent.no) if payout is not None else cash
        if done.gas_used:
            self._gas[intent.work] = done.gas_used
        gas = self._polygon.gas.dollars(done.gas_paid)
        return CapitalResult(
            done.fate, cash, gas, done.gas_paid, done.reason, done.hash, done.as_expected, done.postponed
        )

    async def _together(self, wanted: Intent) -> SettlementResult:
        """Settle what is wanted within half a look of each other at once: a Safe makes one transaction of it.

        Whoever comes first asks for all. When it is cancelled, or nothing is signed, all hear of it and ask again.
        """
        answer: asyncio.Future[SettlementResult] = asyncio.get_running_loop().create_future()
        self._joining.append((wanted, answer))
        if len(self._joining) > 1:
            return await answer
        joined: list[tuple[Intent, asyncio.Future[SettlementResult]]] = []
        try:
            await asyncio.sleep(self.pause_s / 2)
            joined, self._joining = self._joining, []
            results = await self._desk.settle([one for one, _ in joined])
        except BaseException as error:
            joined, self._joining = (joined, self._joining) if joined else (self._joining, [])
            told = (
                error
                if isinstance(error, ArbkitError)
                else ChainUnavailable("it was asked for together, and that ended")
            )
            for _, waiting in joined[1:]:
                if not waiting.done():
                    waiting.set_exception(told)
            raise
        for (_, waiting), result in zip(joined[1:], results[1:], strict=True):
            if not waiting.done():
                waiting.set_result(result)
        return results[0]

    def is_under_way(self, intent: CapitalIntent) -> bool:
        """See `core.ports.Chain`."""
        return self._polygon.fate_of(self._wanted(intent).key) is not None

    async def payout(self, market: str) -> Payout | None:
        """See `core.ports.Chain`."""
        found = await self._desk.payout(self._markets[market].condition)
        return None if found is None else Payout(found.yes, found.no, found.total)

    def _wanted(self, intent: CapitalIntent) -> Intent:
        condition = self._markets[intent.market].condition
        amount = Size(0) if intent.work is Work.REDEEM else intent.yes
        return Intent(intent.work, intent.trade, condition, amount, intent.turn)
