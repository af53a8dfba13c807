"""Selling both outcomes: split first, sold together, and what is not sold is collateral again."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arbkit.backtest.mock_platform import Answer, MockFeed, MockFees, MockPlatform
from arbkit.core.capital import Offer
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import FeeAboveCap, JournalError
from arbkit.core.model import ExecutionResult, Health, Kind, Outcome, TradeState
from arbkit.core.transaction import Fate
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.execution.no_chain import NoChain
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.fold import fold
from arbkit.journal.memory import Fact, MemoryJournal
from arbkit.risk.limits import RiskLimits
from tests.pair_rig import GAS, MARKET, NO, YES, MockChain, PairRig
from tests.rig import a_market, virtual

HUNDRED = Size(100 * MICRO)


def a_rig(**more: Any) -> PairRig:
    """YES is bid at 0.56 and NO at 0.50, a hundred each: six dollars on a hundred pairs."""
    rig = PairRig(**more)
    rig.alpha.set_book(YES, bids=[("0.56", "100"), ("0.40", "500")], asks=[("0.60", "500")])
    rig.alpha.set_book(NO, bids=[("0.50", "100"), ("0.35", "500")], asks=[("0.56", "500")])
    return rig


def sold(rig: PairRig, size: int = HUNDRED, then_s: float = 60.0) -> ExecutionResult:
    async def main() -> ExecutionResult:
        result = await rig.engine.sell_both(rig.basket, Size(size))
        await asyncio.sleep(then_s)
        return result

    return rig.run(main())


def works(rig: PairRig) -> list[tuple[str, Any, Any]]:
    intents = {fact.key: fact for fact in rig.facts("capital.intent")}
    return [
        (str(intents[d.key].get("work")), intents[d.key].get("yes"), d.get("fate")) for d in rig.facts("capital.done")
    ]


def test_pairs_are_split_and_both_legs_sold_and_the_edge_is_cash() -> None:
    rig = a_rig()
    result = sold(rig)
    assert (result.outcome, result.trade.state) == (Outcome.COMPLETED, TradeState.COMMITTED)
    assert (result.pnl, result.cash) == (6 * MICRO - GAS, 6 * MICRO)  # the split is paid for and known
    assert (result.gas, result.gas_wei) == (GAS, 10**16)
    (row,) = rig.engine.metrics.get_recent_trades()
    assert (row["gas"], row["pnl"]) == (0.02, 5.98)
    assert rig.engine.metrics.get_summary()["gas"] == 0.02
    assert (rig.alpha.cash, rig.held()) == (1_006 * MICRO, (0, 0))
    assert works(rig) == [("split", HUNDRED, Fate.DONE)]
    order = [fact.fact for fact in rig.journal.facts]
    assert order.index("capital.done") < order.index("trade.planned") < order.index("order.intent")
    assert rig.engine.risk.state().held == ()
    assert rig.facts("market.blocked") == rig.facts("engine.alert") == []


def test_what_is_not_sold_evenly_goes_back_to_collateral() -> None:
    rig = a_rig()
    rig.alpha.script(YES, Answer(fill="60"))
    rig.alpha.script(NO, Answer(fill="60"))
    result = sold(rig)
    assert result.outcome is Outcome.REDUCED
    assert works(rig) == [("split", HUNDRED, Fate.DONE), ("merge", 40 * MICRO, Fate.DONE)]
    assert (rig.alpha.cash, rig.held()) == (1_003_600_000, (0, 0))


def test_a_leg_that_sells_less_is_evened_like_any_other_trade() -> None:
    rig = a_rig(config=ExecutionConfig(max_slippage=0.0, max_unwind_loss=0.5))
    rig.alpha.script(NO, Answer(fill="60"))
    result = sold(rig)
    assert result.outcome is Outcome.UNWOUND
    assert result.undo in ("complete", "exit")
    assert rig.held() == (0, 0)  # what was bought back to make pairs was merged
    assert result.unwind_cost >= 0
    assert rig.engine.open() == ()


def test_exiting_costs_what_less_it_brings_than_the_entry_did() -> None:
    rig = a_rig(config=ExecutionConfig(max_slippage=0.0, max_unwind_loss=0.5))
    rig.alpha.set_book(YES, bids=[("0.56", "100")], asks=[])  # nothing to buy back
    rig.alpha.script(NO, Answer(fill="60"))
    rig.alpha.set_book(NO, bids=[("0.50", "100"), ("0.48", "500")], asks=[("0.56", "500")])
    result = sold(rig)
    assert (result.outcome, result.undo) == (Outcome.UNWOUND, "exit")
    assert result.unwind_cost == 0  # the rest stood at the same price
    assert rig.alpha.cash == 1_006 * MICRO


def test_pairs_of_which_no_leg_could_be_sold_are_merged_and_the_trade_is_unwound_by_that() -> None:
    rig = a_rig()
    rig.alpha.script(YES, Answer(fill="0"))
    rig.alpha.script(NO, Answer(fill="0"))
    rig.chain.offer = Offer(Cash(-1))  # it does not pay, and is done all the same
    result = sold(rig)
    assert (result.outcome, result.undo, result.pnl) == (Outcome.UNWOUND, "merge", -GAS)
    assert works(rig) == [("split", HUNDRED, Fate.DONE), ("merge", HUNDRED, Fate.DONE)]
    assert (rig.alpha.cash, rig.held()) == (1_000 * MICRO, (0, 0))


def test_bids_that_are_gone_when_the_split_is_final_sell_nothing_and_the_pairs_go_back() -> None:
    rig = a_rig()

    class Slow(MockChain):
        async def settle(self, intent: Any) -> Any:
            result = await super().settle(intent)
            rig.alpha.set_book(NO, bids=[("0.40", "100")], asks=[("0.56", "500")])
            return result

    rig.chain = Slow(rig.alpha)
    rig.engine = rig.new_engine()
    result = sold(rig)
    assert result.outcome is Outcome.REFUSED
    assert "below min_edge" in result.reason
    assert [work for work, _, _ in works(rig)] == ["split", "merge"]
    assert (rig.alpha.cash, rig.held()) == (1_000 * MICRO, (0, 0))
    assert rig.facts("trade.planned") == []


def test_pairs_that_are_there_already_are_sold_before_any_are_split() -> None:
    rig = a_rig()
    rig.chain.offer = Offer(Cash(-1))

    async def main() -> ExecutionResult:
        rig.alpha.set_book(YES, bids=[("0.38", "200")], asks=[("0.40", "100")])
        rig.alpha.set_book(NO, bids=[("0.53", "200")], asks=[("0.55", "100")])
        await rig.trade(shares="70")
        rig.alpha.set_book(YES, bids=[("0.56", "100")], asks=[("0.60", "500")])
        rig.alpha.set_book(NO, bids=[("0.50", "100")], asks=[("0.56", "500")])
        result = await rig.engine.sell_both(rig.basket, HUNDRED)
        await asyncio.sleep(60)
        return result

    assert rig.run(main()).outcome is Outcome.COMPLETED
    assert works(rig) == [("split", 30 * MICRO, Fate.DONE)]
    assert (rig.alpha.cash, rig.held()) == (1_009_500_000, (0, 0))


# -- what is refused before anything is split ------------------------------------------------------------------------


def refusal(rig: PairRig, size: int = HUNDRED) -> str:
    result = sold(rig, size)
    assert result.outcome is Outcome.REFUSED
    assert rig.facts("capital.intent") == []
    return result.reason


@pytest.mark.parametrize("gone", [40 * MICRO, int(HUNDRED)])
def test_a_record_in_which_a_sale_took_pairs_that_a_claim_had_taken_before_is_still_read(gone: int) -> None:
    rig = a_rig()
    sold(rig)
    facts = list(rig.journal.facts)
    at = next(index for index, fact in enumerate(facts) if fact.fact == "trade.planned")
    claim = Fact(facts[at].at, "account.adjusted", "alpha", {"cash": 0, "shares": ((YES, -gone),), "why": "mine"})
    capital = fold([*facts[:at], claim, *facts[at:]]).capital
    assert (capital.pairs, capital.open) == ({}, {})


def test_gas_counts_against_the_edge() -> None:
    rig = a_rig(config=ExecutionConfig(min_edge=0.0599))
    assert sold(rig).outcome is Outcome.REFUSED  # six cents less two tenths of a cent
    assert GAS / HUNDRED > 0.06 - 0.0599


def test_an_unhealthy_book_an_illegal_size_and_too_little_cash_split_nothing() -> None:
    rig = a_rig()
    assert "is not a legal size" in refusal(rig, HUNDRED + 1)
    rig = a_rig()
    assert refusal(rig, 700 * MICRO) == "the books do not hold the size"
    rig = a_rig()
    rig.alpha.set_book(NO, health=Health.GAPPED)
    assert "gapped" in refusal(rig)
    rig = a_rig()
    rig.alpha.cash = Cash(99 * MICRO)
    assert "100.00 needed to split, 99.00 there" in refusal(rig)
    rig = a_rig(config=ExecutionConfig(max_exposure=10))
    assert "max_exposure" in refusal(rig)
    rig = a_rig()
    rig.chain.offer = Offer(Cash(0), "gas is dear")
    assert "gas is above its cap" in refusal(rig)
    rig = a_rig()
    rig.engine = rig.new_engine(NoChain())
    assert "its shares live on no chain here" in refusal(rig)


def test_a_killed_engine_splits_nothing() -> None:
    rig = a_rig()

    async def main() -> ExecutionResult:
        rig.engine.kill("enough")
        return await rig.engine.sell_both(rig.basket, HUNDRED)

    assert "enough" in rig.run(main()).reason
    assert rig.facts("capital.intent") == []


def test_an_engine_that_was_not_started_on_a_record_splits_nothing() -> None:
    rig = a_rig()
    rig.engine._needs_start = True
    result = virtual(rig.engine.sell_both(rig.basket, HUNDRED))
    assert result.reason == "the engine keeps an account: start it first"


def test_fault_C8_a_split_that_is_too_dear_refuses_the_trade_and_bars_nothing() -> None:
    rig = a_rig()
    rig.chain.errors = [FeeAboveCap("too dear", 2, 1)]

    async def main() -> tuple[ExecutionResult, ExecutionResult]:
        first = await rig.engine.sell_both(rig.basket, HUNDRED)
        return first, await rig.engine.sell_both(rig.basket, HUNDRED)

    first, second = rig.run(main())
    assert first.reason == "the split failed: too dear"
    assert second.outcome is Outcome.COMPLETED


def test_fault_C9_a_split_that_reverts_refuses_the_trade_with_the_contracts_word() -> None:
    rig = a_rig()
    rig.chain.fails = lambda _intent: "ERC20: insufficient allowance"
    result = sold(rig)
    assert result.reason == "the split failed: ERC20: insufficient allowance"
    assert (rig.alpha.cash, rig.held()) == (1_000 * MICRO, (0, 0))


# -- restarts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [1.0, 5.0, 5.01])
def test_fault_P1_a_process_that_ends_in_a_sale_loses_nothing_and_enters_nothing_again(after_s: float) -> None:
    rig = a_rig()

    async def main() -> None:
        await rig.engine.start()
        selling = asyncio.ensure_future(rig.engine.sell_both(rig.basket, HUNDRED))
        await asyncio.sleep(after_s)
        await rig.engine.stop()
        selling.cancel()
        await asyncio.gather(selling, return_exceptions=True)
        rig.engine = rig.new_engine()
        await rig.engine.start()
        await asyncio.sleep(120)
        await rig.engine.stop()

    virtual(main())
    rig.check()
    assert rig.held() == (0, 0)
    assert rig.alpha.cash in (1_000 * MICRO, 1_006 * MICRO)
    assert [work for work, _, _ in works(rig)].count("split") == 1


def test_fault_P1_a_split_that_was_under_way_becomes_pairs_and_those_collateral() -> None:
    rig = a_rig()
    rig.chain.takes_s, rig.chain.final_s = 0.0, 5.0

    async def main() -> None:
        await rig.engine.start()
        selling = asyncio.ensure_future(rig.engine.sell_both(rig.basket, HUNDRED))
        await asyncio.sleep(1)
        await rig.engine.stop()
        selling.cancel()
        await asyncio.gather(selling, return_exceptions=True)
        assert rig.held() == (100, 100)
        rig.engine = rig.new_engine()
        await rig.engine.start()
        await asyncio.sleep(120)
        await rig.engine.stop()

    virtual(main())
    rig.check()
    assert [(work, fate) for work, _, fate in works(rig)] == [("split", Fate.DONE), ("merge", Fate.DONE)]
    assert (rig.alpha.cash, rig.held()) == (1_000 * MICRO, (0, 0))


def test_a_sale_that_is_interrupted_between_its_legs_is_evened_by_the_next_process() -> None:
    rig = a_rig(config=ExecutionConfig(max_slippage=0.0, max_unwind_loss=0.5))
    rig.alpha.script(NO, Answer(lost="silence", fill="0"))

    async def main() -> None:
        await rig.engine.start()
        selling = asyncio.ensure_future(rig.engine.sell_both(rig.basket, HUNDRED))
        await asyncio.sleep(5.2)
        assert rig.held() == (0, 100)
        await rig.engine.stop()
        selling.cancel()
        await asyncio.gather(selling, return_exceptions=True)
        rig.engine = rig.new_engine()
        (result,) = await rig.engine.start()
        assert result.outcome is Outcome.UNWOUND
        await asyncio.sleep(120)
        await rig.engine.stop()

    virtual(main())
    rig.check()
    assert rig.held() == (0, 0)
    assert MARKET not in rig.engine._capital.capital.pairs


def test_fees_are_taken_from_the_edge() -> None:
    fees = MockFees(taker_ppm=10_000)  # one percent: 1.06 dollars of 106
    rig = a_rig(platform=lambda name, table, cash: MockPlatform(name, table, cash, fees))
    result = sold(rig)
    assert (result.outcome, result.fees, result.pnl) == (Outcome.COMPLETED, 1_060_000, 4_940_000 - GAS)


def test_capital_that_is_being_moved_is_not_split_for_another_sale() -> None:
    rig = a_rig()

    async def main() -> tuple[ExecutionResult, ExecutionResult]:
        first = asyncio.ensure_future(rig.engine.sell_both(rig.basket, HUNDRED))
        await asyncio.sleep(1)
        second = await rig.engine.sell_both(rig.basket, HUNDRED)
        return await first, second

    first, second = rig.run(main())
    assert first.outcome is Outcome.COMPLETED
    assert second.reason == "capital at alpha:m is being moved, or waits for a person"


def test_an_error_that_nobody_expects_splits_nothing_and_halts_entries() -> None:
    rig = a_rig()

    class Broken(MockChain):
        def gas_of(self, _work: Any) -> Any:
            raise RuntimeError("broken")

    rig.engine = rig.new_engine(Broken(rig.alpha))

    async def main() -> str:
        result = await rig.engine.sell_both(rig.basket, HUNDRED)
        return result.reason

    assert "RuntimeError: broken" in rig.run(main())
    assert rig.facts("capital.intent") == []


@pytest.mark.parametrize("fact", ["capital.intent", "trade.planned"])
def test_a_journal_that_takes_neither_split_nor_plan_lets_nothing_be_sold(fact: str) -> None:
    class Full(MemoryJournal):
        def append(self, at: int, name: str, key: str, **data: object) -> None:
            if name == fact:
                raise JournalError("no room")
            super().append(at, name, key, **data)

    rig = a_rig(journal=Full())
    result = sold(rig)
    assert result.outcome is Outcome.REFUSED
    assert "the journal does not take the" in result.reason
    assert (rig.alpha.cash, rig.held()) == (1_000 * MICRO, (0, 0))


def test_two_sales_at_once_do_not_pass_a_limit_that_holds_one() -> None:
    """While pairs are split for one trade another may begin: what was checked before the split is checked again."""
    table = market_table((a_market("alpha", "m"), a_market("alpha", "n")))
    alpha = MockPlatform("alpha", table, "1000")
    chain, journal = Anywhere(alpha), MemoryJournal()
    both = baskets(table, (Kind.COMPLEMENT,))
    for market in "mn":
        alpha.set_book(f"alpha:{market}:yes", bids=[("0.56", "100")], asks=[("0.60", "500")])
        alpha.set_book(f"alpha:{market}:no", bids=[("0.50", "100")], asks=[("0.56", "500")])
    for outcome in ("yes", "no"):
        alpha.script(f"alpha:m:{outcome}", Answer(delay_s=0.5))
    limits, config = RiskLimits(max_total_capital=150.0), ExecutionConfig(max_slippage=0.0)
    engine = ArbitrageExecutionEngine(
        {"alpha": alpha}, MockFeed([alpha]), both, config=config, limits=limits, journal=journal, chain=chain
    )

    async def main() -> None:
        await engine.start()
        results = await asyncio.gather(*[engine.sell_both(basket, HUNDRED) for basket in both])
        assert [result.outcome for result in results] == [Outcome.COMPLETED, Outcome.REFUSED]
        assert results[1].reason.startswith("limit max_total_capital: 194.00 of 150.00 dollars")
        await asyncio.sleep(60)
        assert (alpha.cash, sum(alpha.shares.values())) == (1_006 * MICRO, 0)  # what was split for it went back
        await engine.stop()
        assert engine.checkpoint() == replayed_checkpoint(journal.facts, table.books, config, limits)

    virtual(main())


class Anywhere(MockChain):
    """Has every market, and takes a moment longer for each intent that comes."""

    def covers(self, _market: str) -> bool:
        return True

    async def settle(self, intent: Any) -> Any:
        self.takes_s += 0.1
        return await super().settle(intent)


@pytest.mark.parametrize("ending", ["drain", "stop"])
def test_a_sale_that_waits_for_its_pairs_is_refused_when_the_engine_closes_and_the_pairs_are_the_next_ones(
    ending: str,
) -> None:
    rig = a_rig()

    async def main() -> None:
        await rig.engine.start()
        sale = asyncio.ensure_future(rig.engine.sell_both(rig.basket, HUNDRED))
        await asyncio.sleep(1)
        await getattr(rig.engine, ending)()
        async with asyncio.timeout(1):
            result = await sale
        assert result.outcome is Outcome.REFUSED
        assert "the engine is closing" in result.reason
        await rig.engine.stop()
        rig.check()
        rig.engine = rig.new_engine()
        await rig.engine.start()
        await asyncio.sleep(60)
        await rig.engine.stop()
        assert (rig.alpha.cash, rig.held()) == (1_000 * MICRO, (0, 0))
        rig.check()

    virtual(main())
