"""The full cycle on real contracts: both legs bought, shares delivered, pairs merged, collateral back, books equal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arbkit.backtest.mock_platform import Answer
from arbkit.chain.capital import ChainMarket, PolygonCapital
from arbkit.chain.gas import GWEI
from arbkit.core.capital import CapitalIntent
from arbkit.core.clock import LoopClock
from arbkit.core.model import Outcome, TradeState
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.journal.store import JournalFile, read_journal, verify
from arbkit.settlement.contracts import calldata
from tests.chain.chain_venue import DELIVER, KEEPS, MARKET, NO, PAYS, YES, Cycle
from tests.chain.conftest import Anvil
from tests.chain.contracts import build

pytestmark = pytest.mark.chain
HUNDRED = 100 * MICRO


async def count(cycle: Cycle) -> int:
    return int(await cycle.world.anvil.do("eth_getTransactionCount", cycle.world.us, "latest"), 16)


async def test_bought_delivered_merged_and_the_collateral_is_back(anvil: Anvil) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    start = await world.balance(world.us)
    async with cycle.running():
        result = await cycle.trade()
        assert (result.outcome, result.trade.state) == (Outcome.COMPLETED, TradeState.COMMITTED)
        await cycle.until("capital.done")
        await cycle.check()
        assert await cycle.engine.reconciler.compare("alpha") == []
    assert await world.held(world.us, world.conditions[0]) == (start + 5 * MICRO, 0, 0)
    (done,) = cycle.facts("capital.done")
    assert (done.get("fate"), done.get("cash"), done.get("as_expected")) == (Fate.DONE, HUNDRED, True)
    wei = int(str(done.get("wei")))
    receipts = [await world.anvil.do("eth_getTransactionReceipt", fact.get("hash")) for fact in world.facts("final")]
    assert wei == sum(int(one["gasUsed"], 16) * int(one["effectiveGasPrice"], 16) for one in receipts) > 0
    charged = cycle.engine.charged(result)
    assert (charged.gas_wei, charged.gas, charged.pnl) == (wei, done.get("gas"), result.pnl - charged.gas)
    (row,) = cycle.engine.metrics.get_recent_trades()
    assert (row["gas"], row["pnl"]) == (charged.gas / MICRO, charged.pnl / MICRO)
    order = [fact.fact for fact in world.journal.facts]
    steps = ["trade.done", "capital.intent", "transaction.signed", "transaction.mined", "transaction.final"]
    assert [order.index(step) for step in [*steps, "capital.done"]] == sorted(
        order.index(step) for step in [*steps, "capital.done"]
    )
    states = [fact.get("state") for fact in cycle.facts("trade.state")]
    assert states == ["running", "provisional", "committed"]  # no delivery was believed before it was final
    assert cycle.facts("market.blocked") == []
    assert [fact.get("what") for fact in cycle.facts("engine.alert")] == []


async def test_a_merge_that_fails_moves_nothing_is_told_and_comes_when_its_cause_is_gone(anvil: Anvil) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    ctf, condition = world.contracts.conditional_tokens, world.conditions[0]
    await world.done(world.us, ctf, calldata("setApprovalForAll(address,bool)", world.other, True))
    start = await world.balance(world.us)
    async with cycle.running():
        trading = asyncio.ensure_future(cycle.trade())
        await cycle.until("trade.done")
        cycle.mines = False
        await trading
        await cycle.until("transaction.sent")
        # Somebody who may move our shares does so in the same block, for a higher tip and so before the merge.
        data = calldata(DELIVER, world.us, world.other, condition.yes, HUNDRED, b"")
        first = {"from": world.other, "to": ctf, "data": "0x" + data.hex(), "gas": hex(200_000)}
        fees = {"maxFeePerGas": hex(900 * GWEI), "maxPriorityFeePerGas": hex(500 * GWEI)}
        await anvil.do("eth_sendTransaction", {**first, **fees})
        cycle.mines = True
        await cycle.until("capital.done")
        (failed,) = cycle.facts("capital.done")
        assert (failed.get("fate"), failed.get("cash"), failed.get("moved")) == (Fate.REVERTED, 0, ())
        assert failed.get("reason") == "SafeMath: subtraction overflow"
        assert cycle.engine.ledger.cash["alpha"] == start - 95 * MICRO
        assert "a merge of 100 pairs at alpha:m failed: nothing moved" in [
            fact.get("what") for fact in cycle.facts("engine.alert")
        ]
        await cycle.until("market.blocked")  # the shares that are gone are noticed as well
        signed = await count(cycle)

        back = calldata(DELIVER, world.other, world.us, condition.yes, HUNDRED, b"")
        await world.done(world.other, ctf, back)
        await asyncio.sleep(1)  # several looks
        assert await count(cycle) == signed  # nothing was tried again
        await cycle.check()
        cycle.engine.release(MARKET)
        await cycle.until("capital.done", 2)
        await cycle.check()
    assert await world.held(world.us, condition) == (start + 5 * MICRO, 0, 0)


@pytest.mark.parametrize("depth", [1, 3])
async def test_a_reorganisation_in_the_middle_of_a_merge_changes_no_book_and_doubles_nothing(
    anvil: Anvil, depth: int
) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    start = await world.balance(world.us)
    async with cycle.running() as engine:
        trading = asyncio.ensure_future(cycle.trade())
        await cycle.until("trade.done")
        cycle.mines = False
        await trading
        await cycle.until("transaction.sent")
        before = await world.held(world.us, world.conditions[0])
        await anvil.mine(depth)
        await cycle.until("transaction.mined")
        assert await world.held(world.us, world.conditions[0]) == (start + 5 * MICRO, 0, 0)
        assert engine.ledger.cash["alpha"] == start - 95 * MICRO  # mined is not final
        await anvil.do("anvil_reorg", depth, [])
        assert await world.held(world.us, world.conditions[0]) == before
        cycle.mines = True
        await cycle.until("capital.done")
        await cycle.check()
    assert len(cycle.facts("transaction.reorged")) == 1
    assert len({fact.get("nonce") for fact in cycle.facts("transaction.signed")}) == 1
    assert await world.held(world.us, world.conditions[0]) == (start + 5 * MICRO, 0, 0)
    assert cycle.facts("market.blocked") == []


@pytest.mark.parametrize("until", ["capital.intent", "transaction.sent", "transaction.mined"])
async def test_a_merge_of_a_process_that_ended_is_taken_up_and_sent_once(anvil: Anvil, until: str) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    start = await world.balance(world.us)
    async with cycle.running():
        await cycle.trade()
        if until != "transaction.mined":
            cycle.mines = False
        await cycle.until(until)
    numbers = await count(cycle)
    cycle.mines = True
    async with cycle.running():
        await cycle.until("capital.done")
        await cycle.check()
    assert await world.held(world.us, world.conditions[0]) == (start + 5 * MICRO, 0, 0)
    assert len(cycle.facts("capital.intent")) == len(cycle.facts("transaction.final")) == 1
    assert await count(cycle) == (numbers if until == "transaction.mined" else numbers + 1)


async def test_what_does_not_pay_to_merge_is_redeemed_at_the_resolution(anvil: Anvil) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    start = await world.balance(world.us)
    async with cycle.running(KEEPS):
        await cycle.trade()
        await asyncio.sleep(1)
        assert cycle.facts("capital.intent") == []
        await world.answer("question 0", 1, 1)  # void: half a dollar each
        await cycle.until("capital.done")
        await cycle.check()
    (done,) = cycle.facts("capital.done")
    assert (done.key.partition(":")[0], done.get("cash")) == ("redeem", HUNDRED)
    assert await world.held(world.us, world.conditions[0]) == (start + 5 * MICRO, 0, 0)


async def test_a_loser_alone_is_worth_nothing_and_its_position_is_closed_on_chain_and_in_the_books(
    anvil: Anvil,
) -> None:
    cycle = await Cycle.build(anvil)
    world, condition = cycle.world, cycle.world.conditions[0]
    start = await world.balance(world.us)
    lost = calldata(DELIVER, world.oracle, world.us, condition.yes, HUNDRED, b"")
    await world.done(world.oracle, world.contracts.conditional_tokens, lost)
    async with cycle.running(KEEPS) as engine:
        await engine.claim(MARKET)  # what was there before the first trade is ours
        assert engine.risk.state().held != ()
        await world.answer("question 0", 0, 1)
        await cycle.until("capital.done")
        await cycle.check()
        assert engine.risk.state().held == ()
    (done,) = cycle.facts("capital.done")
    assert (done.key.partition(":")[0], done.get("cash"), done.get("as_expected")) == ("redeem", 0, True)
    assert await world.held(world.us, condition) == (start, 0, 0)


async def test_a_redeem_that_was_final_while_no_engine_ran_is_booked_at_what_it_paid(anvil: Anvil) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    start = await world.balance(world.us)
    async with cycle.running(KEEPS):
        await cycle.trade()
        await world.answer("question 0", 2, 1)
        await cycle.until("transaction.mined")
    async with world.polygon(book=world.folded()) as polygon, world.mining():
        for one in polygon.transactions.open:
            await polygon.transactions.wait(one.key)
    async with cycle.running(PAYS):
        await cycle.until("capital.done")
        await cycle.check()
    assert await world.balance(world.us) == start - 95 * MICRO + cycle.facts("capital.done")[0].get("cash")


async def test_pairs_are_split_on_the_real_contracts_sold_and_the_rest_is_collateral_again(anvil: Anvil) -> None:
    cycle = await Cycle.build(anvil)
    world, venue = cycle.world, cycle.venue
    start = await world.balance(world.us)
    await cycle.approve_sales()
    venue.set_book(YES, bids=[("0.56", "100")], asks=[("0.60", "100")])
    venue.set_book(NO, bids=[("0.50", "100")], asks=[("0.56", "100")])
    venue.script(YES, Answer(fill="60"))
    venue.script(NO, Answer(fill="60"))
    async with cycle.running() as engine:
        async with asyncio.timeout(30):
            result = await engine.sell_both(cycle.basket, Size(HUNDRED))
        assert result.outcome is Outcome.REDUCED
        await cycle.until("capital.done", 2)
        await cycle.check()
    assert [fact.key.partition(":")[0] for fact in cycle.facts("capital.done")] == ["split", "merge"]
    assert await world.held(world.us, world.conditions[0]) == (start + 3_600_000, 0, 0)


async def test_a_safes_merges_that_are_wanted_together_are_one_transaction(anvil: Anvil) -> None:
    world = await build(anvil, questions=3)
    await world.stock(100 * MICRO)
    await world.deliver(world.safe.address, world.conditions, 10 * MICRO)
    markets = {f"alpha:{at}": ChainMarket(condition=one) for at, one in enumerate(world.conditions)}
    ten = Size(10 * MICRO)
    async with world.polygon(safe=True) as polygon, world.mining():
        before = await world.balance(polygon.holder)
        capital = PolygonCapital(polygon, world.settle(polygon), markets, LoopClock(), live=False)
        wanted = [CapitalIntent(Work.MERGE, "t", market, ten, ten, turn) for turn, market in enumerate(markets)]
        results = await asyncio.gather(*(capital.settle(one) for one in wanted))
        assert [(one.fate, one.cash, one.as_expected) for one in results] == [(Fate.DONE, ten, True)] * 3
        assert len({one.hash for one in results}) == 1
        assert await world.balance(polygon.holder) == before + 3 * ten


async def test_the_cycle_on_a_durable_journal_closes_over_two_processes(anvil: Anvil, tmp_path: Path) -> None:
    cycle = await Cycle.build(anvil)
    world = cycle.world
    start = await world.balance(world.us)
    path, locks = tmp_path / "main.journal", tmp_path / "locks"
    with JournalFile(path, account="main", locks=locks) as world.journal:
        async with cycle.running():
            await cycle.trade()
            cycle.mines = False
            await cycle.until("transaction.signed")
    cycle.mines = True
    with JournalFile(path, account="main", locks=locks) as world.journal:
        async with cycle.running():
            await cycle.until("capital.done")
            await cycle.check()
    assert await world.held(world.us, world.conditions[0]) == (start + 5 * MICRO, 0, 0)
    assert verify(path)[1] > 0
    assert [fact.fact for fact in read_journal(path)].count("transaction.final") == 1
