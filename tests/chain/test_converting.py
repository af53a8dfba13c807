"""NO of an event bought on the venue, delivered, converted on the real tokens, and money again: books and chain equal."""

from __future__ import annotations

import asyncio

import pytest

from arbkit.chain.capital import ChainEvent
from arbkit.chain.gas import GWEI
from arbkit.core.model import Kind, Outcome, TradeState
from arbkit.core.transaction import Fate
from arbkit.core.units import MICRO
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.settlement.contracts import ERC20_APPROVE, SET_APPROVAL, calldata
from tests.builders import replace
from tests.chain.chain_venue import DELIVER, KEEPS, Cycle
from tests.chain.conftest import Anvil
from tests.chain.neg_risk import NegRiskWorld
from tests.rig import a_market

pytestmark = pytest.mark.chain
HUNDRED = 100 * MICRO
NAMES = ("a", "b", "c")
MARKETS = tuple(f"alpha:{name}" for name in NAMES)


class EventCycle(Cycle):
    """The venue has an event of three markets; what is traded is NO of the first so many, at 40 dollars of edge."""

    def __init__(self, market: NegRiskWorld, takes: int) -> None:
        self.market = market
        table = market_table(tuple(replace(a_market("alpha", name), void="none") for name in NAMES))
        event = ChainEvent(id=market.market.id, markets=MARKETS, fee_bips=market.market.fee_bips)
        self._open(market.world, table, dict(zip(MARKETS, market.market.questions, strict=True)), event)
        (whole,) = baskets(table, (Kind.OUTCOMES,))
        some = replace(whole, id="some", legs=whole.legs[:takes], floor=(takes - 1) * MICRO)
        self.basket = whole if takes == len(NAMES) else some
        for leg in whole.legs:
            ask = "0.60" if takes == len(NAMES) else "0.45"
            self.venue.set_book(leg.name, bids=[("0.40", "200")], asks=[(ask, "100")])

    @classmethod
    async def of(cls, anvil: Anvil, takes: int = 3, fee_bips: int = 0, *, approved: bool = True) -> EventCycle:
        """Build it; `approved` says whether the adapter may move our shares already, as after a first conversion."""
        market = await NegRiskWorld.build(anvil, len(NAMES), fee_bips)
        world = market.world
        await market.stock((0, 1, 2), 500 * MICRO)
        approve = calldata(ERC20_APPROVE, world.oracle, 10**12)
        await world.done(world.us, world.contracts.collateral, approve)
        if approved:
            leave = calldata(SET_APPROVAL, world.contracts.neg_risk_adapter, True)
            await world.done(world.us, world.contracts.conditional_tokens, leave)
        return cls(market, takes)

    async def cash(self) -> int:
        return await self.world.balance(self.world.us)

    async def count(self) -> int:
        return int(await self.world.anvil.do("eth_getTransactionCount", self.world.us, "latest"), 16)


@pytest.mark.parametrize(("takes", "fee_bips"), [(3, 0), (3, 100), (2, 0), (2, 100)])
async def test_bought_delivered_converted_and_the_collateral_is_back(anvil: Anvil, takes: int, fee_bips: int) -> None:
    cycle = await EventCycle.of(anvil, takes, fee_bips, approved=False)
    world, each = cycle.world, HUNDRED - HUNDRED * fee_bips // 10_000
    start = await cycle.cash()
    spent = 180 * MICRO if takes == 3 else 90 * MICRO
    async with cycle.running():
        result = await cycle.trade()
        assert (result.outcome, result.trade.state) == (Outcome.COMPLETED, TradeState.COMMITTED)
        await cycle.until("capital.done")
        await cycle.check()
        assert await cycle.engine.reconciler.compare("alpha") == []
    assert await cycle.cash() == start - spent + (takes - 1) * each
    assert await cycle.shares() == ({} if takes == 3 else {"alpha:c:yes": each})
    (done,) = cycle.facts("capital.done")
    assert (done.get("fate"), done.get("cash"), done.get("as_expected")) == (Fate.DONE, (takes - 1) * each, True)
    receipts = [await world.anvil.do("eth_getTransactionReceipt", fact.get("hash")) for fact in world.facts("final")]
    assert len(receipts) == 2  # the approval, and the conversion
    wei = sum(int(one["gasUsed"], 16) * int(one["effectiveGasPrice"], 16) for one in receipts)
    charged = cycle.engine.charged(result)
    assert (charged.gas_wei, charged.pnl) == (wei, result.pnl - charged.gas)
    assert cycle.facts("market.blocked") == cycle.facts("engine.alert") == []


async def test_a_conversion_that_fails_moves_nothing_is_told_and_comes_when_its_cause_is_gone(anvil: Anvil) -> None:
    cycle = await EventCycle.of(anvil)
    world, no = cycle.world, cycle.market.market.questions[1].no
    ctf = world.contracts.conditional_tokens
    await world.done(world.us, ctf, calldata(SET_APPROVAL, world.other, True))
    start = await cycle.cash()
    async with cycle.running():
        trading = asyncio.ensure_future(cycle.trade())
        await cycle.until("trade.done")
        cycle.mines = False
        await trading
        await cycle.until("transaction.sent")
        # Somebody who may move our shares does so in the same block, for a higher tip and so before the conversion.
        data = calldata(DELIVER, world.us, world.other, no, HUNDRED, b"")
        first = {"from": world.other, "to": ctf, "data": "0x" + data.hex(), "gas": hex(200_000)}
        fees = {"maxFeePerGas": hex(900 * GWEI), "maxPriorityFeePerGas": hex(500 * GWEI)}
        await anvil.do("eth_sendTransaction", {**first, **fees})
        cycle.mines = True
        await cycle.until("capital.done")
        (failed,) = cycle.facts("capital.done")
        assert (failed.get("fate"), failed.get("cash"), failed.get("moved")) == (Fate.REVERTED, 0, ())
        assert failed.get("reason") == "SafeMath: subtraction overflow"
        assert cycle.engine.ledger.cash["alpha"] == start - 180 * MICRO
        told = [fact.get("what") for fact in cycle.facts("engine.alert")]
        assert "a conversion of 100 NO of each of alpha:a, alpha:b, alpha:c failed: nothing moved" in told
        await cycle.until("market.blocked")  # the shares that are gone are noticed as well
        signed = await cycle.count()

        await world.done(world.other, ctf, calldata(DELIVER, world.other, world.us, no, HUNDRED, b""))
        await asyncio.sleep(1)  # several looks
        assert await cycle.count() == signed  # nothing was tried again
        await cycle.check()
        cycle.engine.release("alpha:a")
        await cycle.until("capital.done", 2)
        await cycle.check()
    assert (await cycle.cash(), await cycle.shares()) == (start + 20 * MICRO, {})


@pytest.mark.parametrize("depth", [1, 3])
async def test_a_reorganisation_in_the_middle_of_a_conversion_changes_no_book_and_doubles_nothing(
    anvil: Anvil, depth: int
) -> None:
    cycle = await EventCycle.of(anvil, takes=2)
    start = await cycle.cash()
    async with cycle.running() as engine:
        trading = asyncio.ensure_future(cycle.trade())
        await cycle.until("trade.done")
        cycle.mines = False
        await trading
        await cycle.until("transaction.sent")
        before = await cycle.cash(), await cycle.shares()
        await anvil.mine(depth)
        await cycle.until("transaction.mined")
        assert await cycle.shares() == {"alpha:c:yes": HUNDRED}
        assert engine.ledger.cash["alpha"] == start - 90 * MICRO  # mined is not final
        await anvil.do("anvil_reorg", depth, [])
        assert (await cycle.cash(), await cycle.shares()) == before
        cycle.mines = True
        await cycle.until("capital.done")
        await cycle.check()
    assert len(cycle.facts("transaction.reorged")) == 1
    assert len({fact.get("nonce") for fact in cycle.facts("transaction.signed")}) == 1
    assert (await cycle.cash(), await cycle.shares()) == (start + 10 * MICRO, {"alpha:c:yes": HUNDRED})
    assert cycle.facts("market.blocked") == []


@pytest.mark.parametrize("until", ["capital.intent", "transaction.sent", "transaction.mined"])
async def test_a_conversion_of_a_process_that_ended_is_taken_up_and_sent_once(anvil: Anvil, until: str) -> None:
    cycle = await EventCycle.of(anvil)
    start = await cycle.cash()
    async with cycle.running():
        await cycle.trade()
        if until != "transaction.mined":
            cycle.mines = False
        await cycle.until(until)
    numbers = await cycle.count()
    cycle.mines = True
    async with cycle.running():
        await cycle.until("capital.done")
        await cycle.check()
    assert (await cycle.cash(), await cycle.shares()) == (start + 20 * MICRO, {})
    assert len(cycle.facts("capital.intent")) == len(cycle.facts("transaction.final")) == 1
    assert await cycle.count() == (numbers if until == "transaction.mined" else numbers + 1)


@pytest.mark.parametrize("winner", [0, 2])
async def test_what_does_not_pay_to_convert_is_redeemed_at_the_resolution(anvil: Anvil, winner: int) -> None:
    cycle = await EventCycle.of(anvil)
    start = await cycle.cash()
    async with cycle.running(KEEPS):
        await cycle.trade()
        await asyncio.sleep(1)
        assert cycle.facts("capital.intent") == []
        await cycle.market.answer(winner)
        await cycle.until("capital.done", 2)
        async with asyncio.timeout(30):
            while cycle.engine.open():  # noqa: ASYNC110 (other processes make it happen)
                await asyncio.sleep(0.01)
        await cycle.check()
    kinds = [fact.key.partition(":")[0] for fact in cycle.facts("capital.done")]
    assert (await cycle.cash(), {*kinds}) == (start + 20 * MICRO, {"redeem"})


async def test_what_a_conversion_made_is_redeemed_when_it_wins(anvil: Anvil) -> None:
    cycle = await EventCycle.of(anvil, takes=2)
    start = await cycle.cash()
    async with cycle.running():
        await cycle.trade()
        await cycle.until("capital.done")
        await cycle.market.answer(2)
        await cycle.until("capital.done", 2)
        await cycle.check()
    assert (await cycle.cash(), await cycle.shares()) == (start + 110 * MICRO, {})
