"""A fake chain whose transactions move collateral and shares, and a simulated venue that delivers on it: virtual time."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from arbkit.backtest.mock_platform import MockFeed, MockPlatform
from arbkit.chain.capital import ChainEvent, ChainMarket, LockTerms, PolygonCapital
from arbkit.chain.gas import GasConfig
from arbkit.chain.signing import Signer
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ChainError
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Kind, Order, OrderReport
from arbkit.core.transaction import Call, Work
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.fold import fold, named_books
from arbkit.journal.memory import MemoryJournal
from arbkit.settlement.contracts import ERC20_APPROVE, SET_APPROVAL, SPLIT
from arbkit.settlement.intents import COLLATERAL, NegRiskMarket
from arbkit.settlement.positions import Condition
from arbkit.wiring.polygon import capital_on_polygon
from tests.builders import replace
from tests.chain.fake_chain import GWEI, FakeChain
from tests.chain.rig_fake import ACCOUNT, KEY, POL
from tests.rig import a_market
from tests.unit.settlement.fake_tokens import DIRECT, FakeTokens

CONDITION = DIRECT.condition(b"\x01" * 32)
WRAPPED = Condition.of(CONDITION.id, "0x" + "3a" * 20)  # the same question as a neg-risk market's: other tokens
MARKET, YES, NO = "alpha:m", "alpha:m:yes", "alpha:m:no"
TOKENS = {YES: CONDITION.yes, NO: CONDITION.no}
# An event of three markets of which one comes true, and a hundredth of a conversion for its operator.
NAMES = ("a", "b", "c")
EVENT = NegRiskMarket(b"\x0e" * 32, tuple(DIRECT.condition(bytes([at]) * 32) for at in (10, 11, 12)), fee_bips=100)
EVENT_MARKETS = {f"alpha:{name}": one for name, one in zip(NAMES, EVENT.questions, strict=True)}
EVENT_TOKENS = {
    f"{market}:{side}": token
    for market, one in EVENT_MARKETS.items()
    for side, token in zip(("yes", "no"), one.tokens, strict=True)
}
PAYS = LockTerms(yearly=10**9)
KEEPS = LockTerms(yearly=0, redeemed_for_us=True)


class TokenChain(FakeChain):
    """What is held follows from the blocks alone, so a reorganisation takes back what it takes back."""

    def __init__(self, seed: int = 0, collateral: int = 1_000 * MICRO) -> None:
        super().__init__(ACCOUNT, seed)
        self.opening = collateral
        self.given: list[tuple[int, int, int]] = []  # block, token, change: what others' transactions did
        self.payouts: dict[bytes, tuple[int, int]] = {}
        self.market: NegRiskMarket | None = None
        self.wrapped: dict[bytes, Condition] = {}  # of neg-risk markets, by condition
        self.answers = self._answer
        self.fails = self._reason

    def give(self, token: int, change: int) -> None:
        """Let others move so much to us, in the newest block; it is final from there on."""
        self.given.append((self.number, token, change))

    def _world(self, height: int) -> tuple[FakeTokens, defaultdict[int, int]]:
        tokens = FakeTokens(DIRECT, market=self.market)
        tokens.payouts, tokens.wrapped = self.payouts, self.wrapped
        have: defaultdict[int, int] = defaultdict(int, {COLLATERAL: self.opening})
        for block in self.blocks[: height + 1]:
            for at, token, change in self.given:
                have[token] += change if at == block.number else 0
            for tx in block.txs:
                if block.ok[tx.hash] and tx.data and tx.raw:
                    tokens.move(_call(tx.to, tx.data), have)
        return tokens, have

    def held(self, height: int | None = None) -> tuple[int, int, int]:
        """Return collateral, YES and NO as of a block."""
        _, have = self._world(self.number if height is None else height)
        return have[COLLATERAL], have[CONDITION.yes], have[CONDITION.no]

    def holdings(self) -> Mapping[int, int]:
        """Return what is held by now, COLLATERAL among it."""
        return self._world(self.number)[1]

    def _answer(self, to: str, data: bytes, height: int) -> bytes:
        tokens, have = self._world(height)
        return tokens.answer(to, data, have)

    def _reason(self, to: str, data: bytes) -> str:
        tokens, have = self._world(self.number)
        if self._answer(to, data, self.number) or not data:
            return ""
        try:
            tokens.move(_call(to, data), have)
        except ChainError as error:
            return str(error)
        return ""

    def merges(self) -> int:
        """Return how many merges took effect."""
        return self._times("mergePositions(address,bytes32,bytes32,uint256[],uint256)")

    def conversions(self) -> int:
        """Return how many conversions took effect."""
        return self._times("convertPositions(bytes32,uint256,uint256)")

    def _times(self, signature: str) -> int:
        selector = keccak(text=signature)[:4]
        return sum(times for data, times in self.effects().items() if data[:4] == selector)


def _call(to: str, data: bytes) -> Call:
    work = Work.OTHER
    for signature, meant in ((ERC20_APPROVE, Work.APPROVE), (SET_APPROVAL, Work.APPROVE), (SPLIT, Work.SPLIT)):
        work = meant if data[:4] == keccak(text=signature)[:4] else work
    return Call("", to, data, work)


class TokenVenue(MockPlatform):
    """Its money and shares are those of the chain; what it matches is delivered in the newest block."""

    chain: TokenChain
    tokens: Mapping[str, int] = TOKENS

    def _fill(self, known: Any, at: int, shares: int, *, maker: bool, fee: int | None = None) -> None:
        before = self.cash
        super()._fill(known, at, shares, maker=maker, fee=fee)
        self.chain.give(self.tokens[known.order.book.name], known.order.side * shares)
        self.chain.give(COLLATERAL, self.cash - before)

    async def submit(self, order: Order) -> OrderReport:
        """Judge an order by what the chain says is held: splits and merges are no business of a venue's."""
        self.cash = await self.balance()
        self.shares = {book: int(size) for book, size in (await self.positions()).items()}
        return await super().submit(order)

    async def balance(self) -> Cash:
        return Cash(self.chain.holdings()[COLLATERAL])

    async def positions(self) -> Mapping[int, Size]:
        have = self.chain.holdings()
        held = {self.table.book(name).index: Size(have.get(token, 0)) for name, token in self.tokens.items()}
        return {book: shares for book, shares in held.items() if shares}


class Cycle:
    """A chain, a venue on it, and engines on one journal, one after the other.

    With `takes` the venue has the markets of the event, and what is traded is NO of the first so many.
    """

    def __init__(self, locks: Path, seed: int = 0, takes: int = 0) -> None:
        self.locks = locks
        self.random = random.Random(seed)
        self.config = ExecutionConfig(max_slippage=0.0)
        self.journal = MemoryJournal()
        self.chain = TokenChain(seed)
        self.markets = {MARKET: CONDITION}
        self.events: tuple[ChainEvent, ...] = ()
        self.resolves: dict[str, int] = {}  # by market, ns; of the others nobody knows
        self.engine: Any = None
        if takes:
            self._of_the_event(takes)
            return
        self._open(market_table((a_market("alpha"),)))
        (self.basket,) = baskets(self.table, (Kind.COMPLEMENT,))
        self.venue.set_book(YES, bids=[("0.38", "200")], asks=[("0.40", "100")])
        self.venue.set_book(NO, bids=[("0.53", "200")], asks=[("0.55", "100")])

    def neg_risk(self) -> None:
        """Make the market one of neg-risk, before anything is held: all that moves capital goes through the adapter."""
        self.markets = {MARKET: WRAPPED}
        self.chain.wrapped = {WRAPPED.id: WRAPPED}
        self.venue.tokens = {YES: WRAPPED.yes, NO: WRAPPED.no}

    def _open(self, table: Any) -> None:
        self.table = table
        self.venue = TokenVenue("alpha", table, "1000")
        self.venue.chain = self.chain
        self.feed = MockFeed([self.venue])

    def _of_the_event(self, takes: int) -> None:
        self._open(market_table(tuple(replace(a_market("alpha", name), void="none") for name in NAMES)))
        self.chain.market, self.venue.tokens, self.markets = EVENT, EVENT_TOKENS, EVENT_MARKETS
        self.events = (ChainEvent(id=EVENT.id, markets=tuple(EVENT_MARKETS), fee_bips=EVENT.fee_bips),)
        (whole,) = baskets(self.table, (Kind.OUTCOMES,))
        some = replace(whole, id="some", legs=whole.legs[:takes], floor=(takes - 1) * MICRO)
        self.basket = whole if takes == len(NAMES) else some
        for leg in whole.legs:
            ask = "0.60" if takes == len(NAMES) else "0.45"
            self.venue.set_book(leg.name, bids=[("0.40", "200")], asks=[(ask, "100")])

    def account(
        self, terms: LockTerms = PAYS, signer: Signer | None = None
    ) -> AbstractAsyncContextManager[PolygonCapital]:
        """Open the account, taken up from the journal as it is."""
        return capital_on_polygon(
            self.chain,
            signer or Signer(KEY, 137, live=False),
            self.journal,
            {
                market: ChainMarket(condition=one, resolves=self.resolves.get(market))
                for market, one in self.markets.items()
            },
            pol_price=lambda: POL,
            live=False,
            contracts=DIRECT,
            gas=GasConfig(max_fee_cap=500 * GWEI),
            terms=terms,
            events=self.events,
            locks=self.locks,
        )

    @asynccontextmanager
    async def running(self, terms: LockTerms = PAYS, **engine: Any) -> AsyncIterator[ArbitrageExecutionEngine]:
        """One process: an account and an engine, taken up from the journal as it is, and ended."""
        async with self.account(terms) as capital:
            self.engine = ArbitrageExecutionEngine(
                {"alpha": self.venue},
                self.feed,
                [self.basket],
                config=self.config,
                journal=self.journal,
                books=self.table.books,
                chain=capital,
                **engine,
            )
            try:
                await self.engine.start()
                yield self.engine
            finally:
                await self.engine.stop()

    async def trade(self, shares: str = "100") -> ExecutionResult:
        found = self.feed.opportunity(self.basket, Cash(100), shares)
        assert found is not None
        result: ExecutionResult = await self.engine.execute_opportunity(found, ExecutionStrategy.MARKET)
        return result

    def facts(self, name: str) -> list[Any]:
        return [fact for fact in self.journal.facts if fact.fact == name]

    def check(self) -> None:
        """Chain, books and a replay of the journal say the same, and nothing is open."""
        ledger, books = self.engine.ledger, self.table.books
        have = self.chain.holdings()
        assert ledger.cash["alpha"] == have[COLLATERAL]
        assert ledger.shares == {name: have[token] for name, token in self.venue.tokens.items() if have.get(token)}
        assert self.engine.checkpoint() == replayed_checkpoint(self.journal.facts, books, self.config)
        state = fold(self.journal.facts, named_books(books))
        assert self.engine._capital.capital == state.capital
        assert not state.capital.open
        assert not state.transactions.of(ACCOUNT)
