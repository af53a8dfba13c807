"""A simulated venue whose matches are settled by real transactions: money and shares are those of the chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from arbkit.backtest.mock_platform import MockFeed, MockPlatform
from arbkit.chain.capital import ChainEvent, ChainMarket, LockTerms, PolygonCapital
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.model import ExecutionResult, ExecutionStrategy, Fill, Kind, Order, OrderReport, Settlement, Side
from arbkit.core.units import MICRO, Cash, Size, cost, proceeds
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.fold import fold, named_books
from arbkit.settlement.contracts import ERC20_APPROVE, calldata
from arbkit.settlement.delivery import look_at_delivery
from arbkit.settlement.positions import Condition
from tests.chain.conftest import Anvil
from tests.chain.contracts import BLOCK_S, World, build
from tests.rig import a_market

TAKE = "transferFrom(address,address,uint256)"
DELIVER = "safeTransferFrom(address,address,uint256,uint256,bytes)"
MARKET, YES, NO = "alpha:m", "alpha:m:yes", "alpha:m:no"
CONFIG = ExecutionConfig(
    max_slippage=0.0,
    reconcile_s=0.3,
    hedge_retry_s=0.05,
    resolve_alarm_s=60.0,
    max_loop_lag_s=5.0,  # a busy machine holds the loop up: not what is tested here
)
PAYS = LockTerms(yearly=10**9)  # a dollar earns a thousand a year: every merge pays
KEEPS = LockTerms(yearly=0, redeemed_for_us=True)  # none does


class ChainVenue(MockPlatform):
    """Matches as the mock does. The oracle's account is exchange and maker: it takes the money and moves the shares.

    A fill is what its delivery says, and provisional until that is final.
    """

    def __init__(self, world: World, table: Any, tokens: Mapping[str, int]) -> None:
        super().__init__("alpha", table, "1000")
        self.world = world
        self.tokens = tokens  # by book
        self.polygon: PolygonOptimizer | None = None
        self._delivering: dict[str, asyncio.Task[str]] = {}
        self._tokens: dict[str, tuple[int, int]] = {}
        self._words: dict[str, Settlement] = {}
        self._turn = asyncio.Lock()  # one account sends, one number after the other

    def _fill(self, known: Any, at: int, shares: int, *, maker: bool, fee: int | None = None) -> None:
        super()._fill(known, at, shares, maker=maker, fee=fee)
        fill = known.fills[-1]
        self._words[fill.trade_id] = Settlement.PROVISIONAL
        self._tokens[fill.trade_id] = (self.tokens[known.order.book.name], fill.size)
        self._delivering[fill.trade_id] = asyncio.ensure_future(self._deliver(known.order, fill))

    async def _deliver(self, order: Order, fill: Fill) -> str:
        world, token, buys = self.world, self.tokens[order.book.name], order.side is Side.BUY
        taken = calldata(TAKE, world.us, world.oracle, cost(fill.price, fill.size))
        paid = calldata("transfer(address,uint256)", world.us, proceeds(fill.price, fill.size))
        there, back = (world.oracle, world.us) if buys else (world.us, world.oracle)
        async with self._turn:
            await world.done(world.oracle, world.contracts.collateral, taken if buys else paid)
            data = calldata(DELIVER, there, back, token, fill.size, b"")
            receipt = await world.done(world.oracle, world.contracts.conditional_tokens, data)
        return str(receipt["transactionHash"])

    async def submit(self, order: Order) -> OrderReport:
        """Judge an order by what the chain says is held: splits and merges are no business of a venue's."""
        self.cash = await self.balance()
        self.shares = {book: int(size) for book, size in (await self.positions()).items()}
        return await super().submit(order)

    async def status(self, order: Order) -> OrderReport:
        for fill in (await super().status(order)).fills:
            task = self._delivering[fill.trade_id]
            if task.done() and self._words[fill.trade_id] is Settlement.PROVISIONAL:
                assert self.polygon is not None
                token, size = self._tokens[fill.trade_id]
                wanted = Size(size if order.side is Side.BUY else -size)  # what is delivered leaves us when we sell
                found = await look_at_delivery(self.polygon, self.world.contracts, task.result(), token, wanted)
                self._words[fill.trade_id] = found.settlement
        return await super().status(order)

    def _report(self, known: Any) -> OrderReport:
        report = super()._report(known)
        return replace(
            report, fills=tuple(replace(fill, settlement=self._words[fill.trade_id]) for fill in report.fills)
        )

    async def balance(self) -> Cash:
        return Cash(await self.world.balance(self.world.us))

    async def positions(self) -> Mapping[int, Size]:
        held = {name: await self.world.balance(self.world.us, token) for name, token in self.tokens.items()}
        return {self.table.book(name).index: Size(shares) for name, shares in held.items() if shares}


class Cycle:
    """A world, its venue, and engines on one journal that trade there. `mines` says whether blocks are made."""

    def __init__(self, world: World) -> None:
        self._open(world, market_table((a_market("alpha"),)), {MARKET: world.conditions[0]})
        (self.basket,) = baskets(self.table, (Kind.COMPLEMENT,))
        self.venue.set_book(YES, bids=[("0.38", "200")], asks=[("0.40", "100")])
        self.venue.set_book(NO, bids=[("0.53", "200")], asks=[("0.55", "100")])

    def _open(self, world: World, table: Any, markets: Mapping[str, Condition], *events: ChainEvent) -> None:
        self.world, self.table, self.markets, self.events = world, table, markets, events
        sides = [(f"{market}:{side}", token) for market, one in markets.items() for side, token in _sides(one)]
        self.venue = ChainVenue(world, table, dict(sides))
        self.feed = MockFeed([self.venue])
        self.mines = True
        self.engine: Any = None
        self.polygon: Any = None

    @classmethod
    async def build(cls, anvil: Anvil) -> Cycle:
        world = await build(anvil)
        await world.stock(500 * MICRO)
        approve = calldata(ERC20_APPROVE, world.oracle, 10**12)
        await world.done(world.us, world.contracts.collateral, approve)  # as every trader there does once
        return cls(world)

    async def approve_sales(self) -> None:
        """Let the exchange move our shares, as everybody who sells there does once."""
        world = self.world
        leave = calldata("setApprovalForAll(address,bool)", world.oracle, True)
        await world.done(world.us, world.contracts.conditional_tokens, leave)

    @asynccontextmanager
    async def running(self, terms: LockTerms = PAYS) -> AsyncIterator[ArbitrageExecutionEngine]:
        """One process: an account and an engine, taken up from the journal as it is, and ended."""
        world = self.world
        mining = asyncio.ensure_future(self._mine())
        try:
            async with world.polygon(book=world.folded()) as polygon:
                self.polygon = self.venue.polygon = polygon
                markets = {market: ChainMarket(condition=one) for market, one in self.markets.items()}
                desk = world.settle(polygon)
                chain = PolygonCapital(polygon, desk, markets, LoopClock(), terms, live=False, events=self.events)
                engine = self.engine = ArbitrageExecutionEngine(
                    {"alpha": self.venue},
                    self.feed,
                    [self.basket],
                    config=CONFIG,
                    journal=world.journal,
                    books=self.table.books,
                    chain=chain,
                )
                await chain.step()  # see what gas costs before the first trade
                await engine.start()
                try:
                    yield engine
                finally:
                    await engine.stop()
        finally:
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)

    async def _mine(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S)
            if self.mines:
                await self.world.anvil.mine()

    async def trade(self) -> ExecutionResult:
        found = self.feed.opportunity(self.basket, Cash(100), "100")
        assert found is not None
        async with asyncio.timeout(30):
            result: ExecutionResult = await self.engine.execute_opportunity(found, ExecutionStrategy.MARKET)
        return result

    async def until(self, fact: str, times: int = 1) -> None:
        """Wait until a fact stands in the journal so often."""
        async with asyncio.timeout(30):
            while len(self.facts(fact)) < times:  # noqa: ASYNC110 (other processes make it happen)
                await asyncio.sleep(0.01)

    def facts(self, name: str) -> list[Any]:
        return [fact for fact in self.world.journal.facts if fact.fact == name]

    async def shares(self) -> dict[str, int]:
        """Return what the chain says is held, by book; zeros are not in it."""
        held = await self.venue.positions()
        return {book.name: int(held[book.index]) for book in self.table.books if book.index in held}

    async def check(self) -> None:
        """The chain, the engine's books and a replay of the journal say the same, and nobody owes anybody."""
        ledger, journal = self.engine.ledger, self.world.journal
        assert ledger.cash["alpha"] == await self.world.balance(self.world.us)
        assert ledger.shares == await self.shares()
        assert self.engine.checkpoint() == replayed_checkpoint(journal.facts, self.table.books, CONFIG)
        assert self.engine._capital.capital == fold(journal.facts, named_books(self.table.books)).capital
        assert not self.world.folded().of(self.world.us)


def _sides(one: Condition) -> tuple[tuple[str, int], ...]:
    return ("yes", one.yes), ("no", one.no)
