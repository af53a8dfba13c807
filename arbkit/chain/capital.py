"""Polygon as the engine's port `Chain`: intents of capital by market in, contract calls of one holder out.

The desk judges each before anything is signed and holds it against balances afterwards; here are the names of
markets, what gas and locked money are worth, and what a redeem paid whose balances were seen by an earlier process.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arbkit.chain.gas import GasFees, Urgency
from arbkit.chain.gas_terms import TYPICAL_GAS, conversion_gas
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.core.capital import CapitalIntent, CapitalResult, Conversion, Offer, Payout
from arbkit.core.errors import ArbkitError, ChainError, ChainUnavailable, ConfigError, FeeAboveCap
from arbkit.core.ports import Clock
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import NS_PER_S, Cash, Size
from arbkit.settlement.contracts import Contracts
from arbkit.settlement.desk import SettlementDesk
from arbkit.settlement.intents import BASIS, Intent, NegRiskMarket, SettlementResult
from arbkit.settlement.merging import MergeTerms, weigh_merge
from arbkit.settlement.positions import Condition

QUESTIONS = 256  # of an event at most: one byte numbers them
STALE_S = 30.0  # a gas price that was seen so long ago prices nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainMarket:
    """The condition that a market's shares are of, and when it is expected to be resolved (ns); None: nobody knows.

    A neg-risk market's tokens are of the adapter's wrapped collateral: `Condition.of(id, wrapped)`.
    """

    condition: Condition
    resolves: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEvent:
    """Markets of which exactly one comes true, by their event's id at the neg-risk adapter.

    `markets` ("venue:market") are all of its questions, in the adapter's order: a conversion names them by number.
    `fee_bips` is what it takes of a conversion, in hundredths of a percent.
    """

    id: bytes
    markets: tuple[str, ...]
    fee_bips: int = 0

    def __post_init__(self) -> None:
        if len(self.id) != 32:
            raise ConfigError(f"an event's id has 32 bytes, not {len(self.id)}")
        if len(self.markets) < 2 or len({*self.markets}) != len(self.markets):
            raise ConfigError(f"an event has several markets, each once: {', '.join(self.markets) or 'none'}")
        if len(self.markets) > QUESTIONS:
            raise ConfigError(f"an event has at most {QUESTIONS} markets, not {len(self.markets)}")
        if not 0 <= self.fee_bips < BASIS:
            raise ConfigError(f"fee_bips = {self.fee_bips} is outside 0..{BASIS}, {BASIS} excluded")


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
        for name in ("yearly", "undated_s", "redeem_s", "merge_s"):
            if not 0 <= getattr(self, name) < math.inf:  # NaN is in no range
                raise ConfigError(
                    f"{name} = {getattr(self, name)}: nothing that a merge is weighed by is below zero or endless"
                )


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
        events: Sequence[ChainEvent] = (),
    ) -> None:
        """Raises ConfigError for an event with a market that is not among `markets`, or is in two events.

        Where the contracts say who puts an event's questions, also for one whose markets are not those, in their order;
        where they say what all tokens are made of, for a market whose tokens are of something else.
        """
        self.live = live
        self._polygon = polygon
        self._desk = desk
        self._markets = dict(markets)
        self._clock = clock
        self._terms = terms or LockTerms()
        self._events: dict[str, tuple[ChainEvent, NegRiskMarket]] = {}  # by market
        if markets and desk.contracts.neg_risk_backing:
            for market, one in markets.items():
                if not desk.contracts.operator_of(one.condition):
                    raise ConfigError(f"{market}: its tokens are made of neither collateral of the contracts")
        for event in events:
            if unknown := [market for market in event.markets if market not in markets or market in self._events]:
                raise ConfigError(f"event {event.id.hex()}: {', '.join(unknown)} has no condition here, or two events")
            questions = tuple(markets[market].condition for market in event.markets)
            if desk.contracts.neg_risk_oracle:
                _refuse_other_questions(desk.contracts, event, questions)
            neg_risk = NegRiskMarket(event.id, questions, event.fee_bips)
            self._events.update(dict.fromkeys(event.markets, (event, neg_risk)))
        self._gas = dict(TYPICAL_GAS)  # until a call was made: then what the last one used
        self._conversion_gas: dict[tuple[str, ...], int] = {}  # by markets taken: what the last one used
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
        return self._offer(pairs, self.gas_of(Work.MERGE), 1, self._left_ns(market))

    def conversion(self, markets: Sequence[str], shares: Size) -> Conversion | None:
        """See `core.ports.Chain`.

        It frees a dollar a share for all of the markets but one, at once and not when they pay. Against it stand its
        gas, the event's fee (a YES that it is taken from counted as if it won), and redeems that it adds: one for each
        market that YES are made of, less those of the NO that it takes. The market that pays first says how long.
        """
        found = [self._events.get(market) for market in markets]
        if len(markets) < 2 or found[0] is None or any(one is not found[0] for one in found):
            return None
        event, _ = found[0]
        made = tuple(market for market in event.markets if market not in markets)
        each = Size(shares - shares * event.fee_bips // BASIS)
        gas = self._priced(self._conversion_gas.get(tuple(markets), conversion_gas(len(markets), len(made))))
        fee = (shares - each) * (len(markets) - 1 + (1 if made else 0))
        spared = len(markets) - len(made)
        left = min(self._left_ns(market) for market in markets)
        offer = self._offer(Size((len(markets) - 1) * each), gas, spared, left, Cash(fee))
        return Conversion(made, each, offer)

    def _offer(self, freed: Size, gas: Cash | None, spared: int, left_ns: int, fee: Cash = Cash(0)) -> Offer:
        """Weigh so many dollars now, for so much gas and a fee, against so long, and so many redeems more or fewer."""
        redeem_gas = self.gas_of(Work.REDEEM)
        if gas is None or redeem_gas is None:
            old = f"the last gas price is of {(self._clock.now() - self._seen_at) / NS_PER_S:.0f} s ago"
            return Offer(Cash(0), self._fees if isinstance(self._fees, str) else old)
        later = spared * (0 if self._terms.redeemed_for_us else redeem_gas)
        terms = MergeTerms(
            pairs=freed,
            gas=Cash(gas + fee + max(0, -later)),
            redeem_gas=Cash(max(0, later)),
            lock_ns=round(left_ns + self._terms.redeem_s * NS_PER_S),
            merge_ns=round(self._terms.merge_s * NS_PER_S),
            yearly=self._terms.yearly,
        )
        return Offer(weigh_merge(terms).gain)

    def _left_ns(self, market: str) -> int:
        """Return how long it is until a market is resolved, as far as anybody knows."""
        resolves = self._markets[market].resolves
        if resolves is None:
            return round(self._terms.undated_s * NS_PER_S)
        return max(0, resolves - self._clock.now())

    def gas_of(self, work: Work) -> Cash | None:
        """See `core.ports.Chain`."""
        return self._priced(self._gas[work])

    def _priced(self, gas: int) -> Cash | None:
        fees = self._fees
        if isinstance(fees, str) or self._clock.now() - self._seen_at > STALE_S * NS_PER_S:
            return None
        return self._polygon.gas.cost(gas, fees).dollars

    async def settle(self, intent: CapitalIntent) -> CapitalResult:
        """See `core.ports.Chain`."""
        wanted = self._wanted(intent)
        earlier = self._polygon.fate_of(wanted.key)
        if earlier is None:
            done = await self._together(wanted)
        else:
            (done,) = await self._desk.settle([wanted])
        cash = done.collateral
        if earlier is Fate.DONE and intent.work is Work.REDEEM:
            payout = await self.payout(intent.market)  # it was done before: the shares it took are those of the intent
            cash = payout.of(intent.yes, intent.no) if payout is not None else cash
        if done.gas_used and intent.work is Work.CONVERT:
            self._conversion_gas[intent.taken] = done.gas_used
        elif done.gas_used:
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

    async def give_up(self, intent: CapitalIntent, why: str) -> CapitalResult | None:
        """See `core.ports.Chain`."""
        key = self._wanted(intent).key
        if self._polygon.fate_of(key) is not None:
            return None
        paid = await self._polygon.paid_for(key)
        return CapitalResult(Fate.REFUSED, gas=self._polygon.gas.dollars(paid), wei=paid, reason=why)

    async def payout(self, market: str) -> Payout | None:
        """See `core.ports.Chain`."""
        found = await self._desk.payout(self._markets[market].condition)
        return None if found is None else Payout(found.yes, found.no, found.total)

    def _wanted(self, intent: CapitalIntent) -> Intent:
        condition = self._markets[intent.market].condition
        if intent.work is Work.CONVERT:
            event, questions = self._events[intent.market]
            taken = tuple(sorted(event.markets.index(market) for market in intent.taken))
            # Named as on record, not by numbers: one under way is found in whatever order an event is stated later.
            return Intent(intent.work, intent.trade, condition, intent.no, intent.turn, questions, taken)
        amount = Size(0) if intent.work is Work.REDEEM else intent.yes
        return Intent(intent.work, intent.trade, condition, amount, intent.turn)


def _refuse_other_questions(contracts: Contracts, event: ChainEvent, questions: Sequence[Condition]) -> None:
    """Raise ConfigError, with the market's name, unless an event's markets are its questions, in the adapter's order.

    A conversion names questions by number: by a wrong one it gives the NO of others. That none is missing at the end,
    and what the fee is, only the chain knows.
    """
    name = f"event {event.id.hex()}"
    if event.id[-1]:
        raise ConfigError(f"{name}: is the id of its question {event.id[-1]}; its own ends in 00")
    ids = [contracts.question_of(event.id, at) for at in range(len(questions))]
    for at, (market, question) in enumerate(zip(event.markets, questions, strict=True)):
        if question.id != ids[at]:
            found = f"its question {ids.index(question.id)}" if question.id in ids else "none of so many questions"
            raise ConfigError(f"{name}: {market} is stated as its question {at}, and is {found}")
        if contracts.operator_of(question) != contracts.neg_risk_adapter:
            raise ConfigError(f"{name}: the tokens of {market} are not those of wrapped collateral that are converted")
