"""The engine's capital on a fake chain, under virtual time: through lost words, reorganisations, spikes and restarts."""

# ruff: noqa: N802 - a fault keeps the id it has in the fault table

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.chain.capital import ChainEvent, ChainMarket, LockTerms, PolygonCapital
from arbkit.chain.gas_terms import conversion_gas
from arbkit.chain.signing import Signer
from arbkit.core.capital import CapitalIntent, CapitalResult, Conversion
from arbkit.core.errors import ChainUnavailable, ConfigError, FeeAboveCap, JournalError
from arbkit.core.model import Outcome
from arbkit.core.secrets import Secret
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.journal.lock import AccountLock
from arbkit.settlement.contracts import POLYMARKET, Contracts
from arbkit.settlement.desk import SettlementDesk
from arbkit.settlement.intents import COLLATERAL
from arbkit.settlement.positions import Condition
from tests.chain.fake_chain import GWEI
from tests.chain.rig_fake import ACCOUNT, START, virtual
from tests.chain.token_chain import (
    CONDITION,
    EVENT,
    EVENT_MARKETS,
    EVENT_TOKENS,
    KEEPS,
    MARKET,
    NO,
    PAYS,
    YES,
    Cycle,
)
from tests.unit.settlement.fake_tokens import DIRECT

HUNDRED = 100 * MICRO


def test_the_cycle_closes_and_books_and_chain_are_equal(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            assert (await cycle.trade()).outcome is Outcome.COMPLETED
            await asyncio.sleep(60)
            cycle.check()

    virtual(main())
    assert cycle.chain.held() == (1_005 * MICRO, 0, 0)
    assert cycle.chain.merges() == 1
    assert cycle.facts("engine.alert") == cycle.facts("market.blocked") == []
    (done,) = cycle.facts("capital.done")
    assert done.get("gas") == -(-int(str(done.get("wei"))) * 400_000 // 10**18) > 0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_fault_C10_a_reorganisation_in_the_middle_changes_no_book_and_doubles_nothing(
    tmp_path: Path, depth: int
) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            await cycle.trade()
            while not cycle.facts("transaction.mined"):  # noqa: ASYNC110 - blocks come by the clock
                await asyncio.sleep(0.5)
            while cycle.chain.number - cycle.facts("transaction.mined")[0].get("block") < depth - 1:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            assert cycle.chain.held()[1:] == (0, 0)
            assert cycle.engine.ledger.cash["alpha"] == 905 * MICRO
            cycle.chain.reorganise(depth, back_to_pool=False)
            assert cycle.chain.held()[1:] == (HUNDRED, HUNDRED)
            await asyncio.sleep(90)
            cycle.check()

    virtual(main())
    assert cycle.chain.held() == (1_005 * MICRO, 0, 0)
    assert len(cycle.facts("transaction.reorged")) == 1
    assert len(cycle.facts("capital.done")) == 1


def test_fault_C8_a_spike_postpones_the_merge_with_one_alert(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)
    usual = cycle.chain.base

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            cycle.chain.base = lambda _number: 600 * GWEI
            await asyncio.sleep(10)
            await cycle.trade()
            await asyncio.sleep(200)
            assert cycle.facts("capital.intent") == cycle.facts("transaction.signed") == []
            cycle.chain.base = usual
            await asyncio.sleep(60)
            cycle.check()

    virtual(main())
    (alert,) = cycle.facts("engine.alert")
    assert "above the cap of 500 gwei" in str(alert.get("why"))
    assert cycle.chain.merges() == 1


def test_an_approval_is_charged_to_the_split_that_it_was_for_also_when_gas_then_rises_above_the_cap(
    tmp_path: Path,
) -> None:
    cycle = Cycle(tmp_path)
    usual = cycle.chain.base
    cycle.venue.set_book(YES, bids=[("0.56", "100")], asks=[("0.60", "100")])
    cycle.venue.set_book(NO, bids=[("0.50", "100")], asks=[("0.56", "100")])

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running() as engine:
            selling = asyncio.ensure_future(engine.sell_both(cycle.basket, Size(HUNDRED)))
            while not cycle.facts("transaction.mined"):  # noqa: ASYNC110 - blocks come by the clock
                await asyncio.sleep(0.1)
            cycle.chain.base = lambda _number: 600 * GWEI
            assert (await selling).outcome is Outcome.REFUSED
            cycle.chain.base = usual
            await asyncio.sleep(30)
            (done,) = cycle.facts("capital.done")
            assert (done.get("fate"), done.get("again")) == (Fate.REFUSED, True)
            assert int(str(done.get("wei"))) == cycle.chain.balance - cycle.chain.funds() > 0
            assert (await engine.sell_both(cycle.basket, Size(HUNDRED))).outcome is Outcome.COMPLETED
            cycle.check()

    virtual(main())
    assert [fact.get("work") for fact in cycle.facts("transaction.signed")] == ["approve", "split"]
    charged = [int(str(fact.get("wei"))) for fact in cycle.facts("capital.done")]
    assert sum(charged) == cycle.chain.balance - cycle.chain.funds()


def test_a_chain_that_is_down_for_long_is_one_alert_and_costs_nothing(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            cycle.chain.down = True
            await cycle.trade()
            await asyncio.sleep(600)
            cycle.chain.down = False
            await asyncio.sleep(90)
            cycle.check()

    virtual(main())
    assert cycle.chain.merges() == 1
    assert {fact.get("what") for fact in cycle.facts("engine.alert")} >= {"the chain cannot be asked"}
    assert cycle.facts("market.blocked") == []


def test_what_a_gift_makes_of_a_block_is_told(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            await cycle.trade()
            while not cycle.facts("transaction.mined"):  # noqa: ASYNC110 - blocks come by the clock
                await asyncio.sleep(0.1)
            cycle.chain.given.append((cycle.facts("transaction.mined")[0].get("block"), CONDITION.yes, MICRO))
            await asyncio.sleep(30)

    virtual(main())
    (done,) = cycle.facts("capital.done")
    assert (done.get("fate"), done.get("as_expected")) == (Fate.DONE, False)
    assert "is not what it seemed" in str(cycle.facts("engine.alert")[0].get("what"))


@pytest.mark.parametrize(("payout", "paid"), [((1, 0), 100), ((1, 2), 100), ((1, 1), 100)])
def test_what_is_held_at_the_resolution_is_redeemed(tmp_path: Path, payout: tuple[int, int], paid: int) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running(KEEPS):
            await cycle.trade()
            await asyncio.sleep(60)
            assert cycle.facts("capital.intent") == []
            cycle.chain.payouts[CONDITION.id] = payout
            await asyncio.sleep(60)
            cycle.check()

    virtual(main())
    (done,) = cycle.facts("capital.done")
    assert paid * MICRO - 1 <= done.get("cash") <= paid * MICRO
    assert cycle.chain.held()[1:] == (0, 0)


def test_a_redeem_that_was_final_before_the_engine_heard_of_it_is_booked_at_what_its_shares_paid(
    tmp_path: Path,
) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining():
            async with cycle.running(KEEPS):
                await cycle.trade()
                cycle.chain.payouts[CONDITION.id] = (2, 1)
                while not cycle.facts("transaction.sent"):  # noqa: ASYNC110 - blocks come by the clock
                    await asyncio.sleep(0.1)
                await cycle.engine._supervisor.stop()  # the engine hangs; the account goes on
                account = cycle.engine._capital._chain
                for _ in range(20):
                    await asyncio.sleep(1)
                    await account.step()
                assert cycle.facts("transaction.final")
                assert cycle.facts("capital.done") == []
            async with cycle.running(KEEPS):
                await asyncio.sleep(60)
                cycle.check()

    virtual(main())
    assert len(cycle.facts("transaction.final")) == 1


def test_an_account_that_another_process_has_is_refused_and_left_alone(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)
    lock = AccountLock(137, ACCOUNT, tmp_path)

    async def main() -> None:
        with pytest.raises(JournalError, match=f"account {ACCOUNT} on chain 137 is in use by this very process"):
            async with cycle.running():
                pass
        lock.release()
        async with cycle.running():
            pass

    virtual(main())


def test_a_start_that_fails_gives_the_account_back(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)
    cycle.journal.append(0, "transaction.mined", "nothing that was signed", account=ACCOUNT)

    async def main() -> None:
        with pytest.raises(KeyError):
            async with cycle.running():
                pass
        AccountLock(137, ACCOUNT, tmp_path).release()

    virtual(main())


@pytest.mark.parametrize("field", ["yearly", "undated_s", "redeem_s", "merge_s"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_terms_that_cannot_be_meant_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{field} = .* below zero or endless"):
        LockTerms(**{field: value})


@pytest.mark.parametrize("seed", range(60))
def test_through_every_fault_of_a_chain_and_restarts_one_merge_is_made_and_nothing_is_lost(
    tmp_path: Path, seed: int
) -> None:
    cycle = Cycle(tmp_path, seed)
    chain, chance = cycle.chain, cycle.random
    chain.loses_reply, chain.loses_request = chance.choice([0, 0.5]), chance.choice([0, 0.5])
    chain.drops, chain.hides, chain.lags = chance.choice([0, 0.2]), chance.choice([0, 0.3]), chance.choice([0, 0.5])

    async def main() -> None:
        async with chain.mining():
            async with cycle.running():
                await cycle.trade("60")
                await asyncio.sleep(chance.uniform(0, 15))
            for _ in range(chance.randrange(3)):
                if chain.number:
                    chain.reorganise(chance.randint(1, min(3, chain.number)), back_to_pool=chance.random() < 0.5)
                async with cycle.running():
                    await asyncio.sleep(chance.uniform(0, 15))
            chain.loses_reply = chain.loses_request = chain.drops = chain.hides = chain.lags = 0.0
            async with cycle.running(PAYS):
                await asyncio.sleep(300)
                cycle.check()

    run_virtual(main(), SimLoop(START))
    assert chain.held() == (1_003 * MICRO, 0, 0)
    assert chain.merges() == 1
    nonces = [fact.get("nonce") for fact in cycle.facts("transaction.signed") if fact.get("work") == "merge"]
    assert len(set(nonces)) == 1


def test_an_account_is_not_opened_while_what_another_one_has_signed_for_the_same_holder_may_still_be_mined(
    tmp_path: Path,
) -> None:
    cycle = holding_ten(tmp_path)
    other = Signer(Secret("0x" + "5d" * 32), 137, live=False)

    async def main() -> None:
        async with cycle.account() as capital:
            asked = asyncio.ensure_future(capital.settle(merge(0)))
            while not cycle.facts("transaction.sent"):  # noqa: ASYNC110 - no block comes
                await asyncio.sleep(0.1)
            asked.cancel()
        with pytest.raises(
            ConfigError, match=f"transactions of {ACCOUNT} are open on record, .* {other.address}: start"
        ):
            async with cycle.account(signer=other):
                pass
        async with cycle.chain.mining(), cycle.account() as capital:
            assert (await capital.settle(merge(0))).fate is Fate.DONE
        async with cycle.account(signer=other):
            pass

    virtual(main())
    assert cycle.chain.merges() == 1


def test_a_redeem_of_what_is_left_after_a_person_took_the_winners_is_booked_at_what_it_paid(tmp_path: Path) -> None:
    cycle = holding_ten(tmp_path)
    cycle.chain.payouts[CONDITION.id] = (1, 0)
    cycle.chain.give(CONDITION.yes, -10 * MICRO)
    wanted = CapitalIntent(Work.REDEEM, "t", MARKET, Size(10 * MICRO), Size(10 * MICRO), 0)

    async def main() -> CapitalResult:
        async with cycle.chain.mining(), cycle.account() as capital:
            return await capital.settle(wanted)

    result = virtual(main())
    assert (result.fate, result.cash) == (Fate.DONE, 0)
    assert cycle.chain.held() == (1_000 * MICRO, 0, 0)


def test_a_merge_whose_number_others_took_between_two_processes_is_postponed_and_made_again(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> None:
        async with cycle.running():
            await cycle.trade()
            while not cycle.facts("transaction.sent"):  # noqa: ASYNC110 - no block comes
                await asyncio.sleep(0.1)
        cycle.chain.use_number()
        async with cycle.chain.mining(), cycle.running():
            await asyncio.sleep(200)
            cycle.check()

    virtual(main())
    assert cycle.chain.merges() == 1
    assert [fact.get("fate") for fact in cycle.facts("capital.done")] == [Fate.DISPLACED, Fate.DONE]
    (alert,) = cycle.facts("engine.alert")
    assert "a merge of 100 pairs at alpha:m is postponed" in str(alert.get("what"))
    assert "another transaction of the account has its number for good" in str(alert.get("why"))


# -- several at once -------------------------------------------------------------------------------------------------


def merge(turn: int) -> CapitalIntent:
    return CapitalIntent(Work.MERGE, "t", MARKET, Size(MICRO), Size(MICRO), turn)


def holding_ten(folder: Path) -> Cycle:
    """An account that holds ten pairs, to be settled for without an engine."""
    cycle = Cycle(folder)
    for token in CONDITION.tokens:
        cycle.chain.give(token, 10 * MICRO)
    return cycle


def test_what_is_wanted_at_about_the_same_time_is_settled_together(tmp_path: Path) -> None:
    cycle = holding_ten(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.account() as capital:
            results = await asyncio.gather(*(capital.settle(merge(turn)) for turn in range(3)))
            assert [one.fate for one in results] == [Fate.DONE] * 3
            again = await asyncio.gather(*(capital.settle(merge(turn)) for turn in range(3)))
            assert [one.hash for one in again] == [one.hash for one in results]

    virtual(main())
    assert cycle.chain.merges() == 3
    assert len({fact.get("block") for fact in cycle.facts("transaction.mined")}) == 1  # sent in one go


def test_when_who_asks_for_all_is_cancelled_the_others_are_told_and_ask_again(tmp_path: Path) -> None:
    cycle = holding_ten(tmp_path)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.account() as capital:
            for after_s in (0.1, 1.0):
                first = asyncio.ensure_future(capital.settle(merge(0)))
                await asyncio.sleep(0)
                second = asyncio.ensure_future(capital.settle(merge(1)))
                await asyncio.sleep(after_s)
                first.cancel()
                with pytest.raises(ChainUnavailable, match="asked for together"):
                    await second
            for turn in range(2):
                assert (await capital.settle(merge(turn))).fate is Fate.DONE

    virtual(main())
    assert cycle.chain.merges() == 2


def test_a_fee_above_the_cap_is_everybodys_and_nothing_is_signed(tmp_path: Path) -> None:
    cycle = holding_ten(tmp_path)
    cycle.chain.base = lambda _number: 600 * GWEI

    async def main() -> None:
        async with cycle.chain.mining(), cycle.account() as capital:
            await asyncio.sleep(5)
            answers = await asyncio.gather(*(capital.settle(merge(turn)) for turn in range(3)), return_exceptions=True)
            assert [type(one) for one in answers] == [FeeAboveCap] * 3

    virtual(main())
    assert cycle.facts("transaction.signed") == []


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_asked_for_apart_and_lands_in_one_block_is_as_expected(tmp_path: Path, restarts: bool) -> None:
    cycle = holding_ten(tmp_path)
    wanted = [merge(turn) for turn in range(2)]

    async def apart(capital: PolygonCapital, pause_s: float) -> list[Any]:
        asked = [asyncio.ensure_future(capital.settle(wanted[0]))]
        await asyncio.sleep(pause_s)
        return list(await asyncio.gather(*asked, capital.settle(wanted[1])))

    async def main() -> list[Any]:
        mining = cycle.chain.mining()
        async with cycle.account() as capital:
            running = asyncio.ensure_future(apart(capital, 2.0))
            await asyncio.sleep(5)  # no block is made before both are signed
            assert len(cycle.facts("transaction.signed")) == 2
            if not restarts:
                async with mining:
                    return await running
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        async with mining, cycle.account() as capital:
            return await apart(capital, 0.0)

    done = virtual(main())
    assert len({fact.get("block") for fact in cycle.facts("transaction.mined")}) == 1
    assert [(one.fate, one.cash, one.as_expected) for one in done] == [(Fate.DONE, MICRO, True)] * 2


def test_what_a_gift_makes_of_a_block_of_two_that_were_asked_for_apart_is_told_of_both(tmp_path: Path) -> None:
    cycle = holding_ten(tmp_path)

    async def main() -> list[Any]:
        async with cycle.account() as capital:
            first = asyncio.ensure_future(capital.settle(merge(0)))
            await asyncio.sleep(2)
            second = asyncio.ensure_future(capital.settle(merge(1)))
            await asyncio.sleep(2)
            cycle.chain.given.append((1, CONDITION.yes, 1))
            async with cycle.chain.mining():
                return list(await asyncio.gather(first, second))

    assert [(one.fate, one.as_expected) for one in virtual(main())] == [(Fate.DONE, False)] * 2


def split(turn: int, dollars: int) -> CapitalIntent:
    return CapitalIntent(Work.SPLIT, "t", MARKET, Size(dollars * MICRO), Size(dollars * MICRO), turn)


async def mined_not_final(cycle: Cycle, capital: Any, intent: CapitalIntent) -> asyncio.Future[Any]:
    """Ask for a split, and return what it comes to once it is in a block."""
    asked = asyncio.ensure_future(capital.settle(intent))
    while not [fact for fact in cycle.facts("transaction.mined") if fact.key.startswith("split:")]:  # noqa: ASYNC110 - blocks come by the clock
        await asyncio.sleep(0.1)
    return asked


@pytest.mark.parametrize("dollars", [400, 401])
def test_a_split_that_is_mined_and_not_final_is_counted_once_beside_the_next(tmp_path: Path, dollars: int) -> None:
    """Of 1,000 dollars it took 600: the balance shows it from its block on."""
    cycle = Cycle(tmp_path)

    async def main() -> Any:
        async with cycle.chain.mining(), cycle.account() as capital:
            first = await mined_not_final(cycle, capital, split(0, 600))
            second = await capital.settle(split(1, dollars))
            assert (await first).fate is Fate.DONE
            return second

    second = virtual(main())
    if dollars == 400:
        assert (second.fate, second.as_expected) == (Fate.DONE, True)
        assert cycle.chain.held() == (0, 1_000 * MICRO, 1_000 * MICRO)
    else:
        assert (second.fate, second.reason) == (Fate.REFUSED, "collateral: 401000000 needed, 400000000 there")


def test_a_split_that_a_reorganisation_took_back_unnoticed_still_counts_beside_the_next(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path)

    async def main() -> Any:
        async with cycle.chain.mining(), cycle.account() as capital:
            first = await mined_not_final(cycle, capital, split(0, 600))
            second = asyncio.ensure_future(capital.settle(split(1, 600)))
            await asyncio.sleep(capital.pause_s / 2 - 0.01)
            cycle.chain.reorganise(2, back_to_pool=True)  # and before the next look the second is judged
            assert cycle.chain.holdings()[COLLATERAL] == 1_000 * MICRO
            answers = await asyncio.gather(first, second)
            assert not cycle.facts("transaction.reverted")
            return answers

    first, second = virtual(main())
    assert (first.fate, second.fate) == (Fate.DONE, Fate.REFUSED)


def test_what_was_not_signed_in_a_row_of_calls_is_postponed_and_not_refused(tmp_path: Path) -> None:
    cycle = holding_ten(tmp_path)
    cycle.chain.balance = 10**16  # coin for one transaction

    async def main() -> list[Any]:
        async with cycle.chain.mining(), cycle.account() as capital:
            return list(await asyncio.gather(*(capital.settle(merge(turn)) for turn in range(2))))

    first, second = virtual(main())
    assert (first.fate, first.postponed) == (Fate.DONE, False)
    assert (second.fate, second.postponed) == (Fate.REFUSED, True)
    assert "POL" in second.reason


# -- conversions -----------------------------------------------------------------------------------------------------

A, B, C = EVENT_MARKETS


@pytest.mark.parametrize("takes", [2, 3])
def test_no_of_an_event_go_round_and_books_and_chain_are_equal(tmp_path: Path, takes: int) -> None:
    cycle = Cycle(tmp_path, takes=takes)

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            assert (await cycle.trade()).outcome is Outcome.COMPLETED
            await asyncio.sleep(60)
            cycle.check()

    virtual(main())
    spent = 180 if takes == 3 else 90
    each = 99 * MICRO  # the event takes a hundredth
    assert cycle.engine.ledger.cash["alpha"] == (1_000 - spent) * MICRO + (takes - 1) * each
    assert cycle.engine.ledger.shares == ({} if takes == 3 else {f"{C}:yes": each})
    assert cycle.chain.conversions() == 1
    assert cycle.facts("engine.alert") == cycle.facts("market.blocked") == []


def test_a_conversion_that_was_final_before_the_engine_heard_of_it_is_booked_and_not_made_again(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path, takes=2)

    async def main() -> None:
        async with cycle.chain.mining():
            async with cycle.running():
                await cycle.trade()
                while not [fact for fact in cycle.facts("transaction.sent") if fact.key.startswith("convert:")]:  # noqa: ASYNC110 - blocks come by the clock
                    await asyncio.sleep(0.1)
                await cycle.engine._supervisor.stop()  # the engine hangs; the account goes on
                account = cycle.engine._capital._chain
                for _ in range(20):
                    await asyncio.sleep(1)
                    await account.step()
                assert cycle.chain.conversions() == 1
                assert cycle.facts("capital.done") == []
            async with cycle.running():
                await asyncio.sleep(60)
                cycle.check()

    virtual(main())
    assert cycle.chain.conversions() == 1
    assert [fact.get("cash") for fact in cycle.facts("capital.done")] == [99 * MICRO]


@pytest.mark.parametrize("signed", [1, 2], ids=["its approval", "itself"])
def test_a_conversion_that_is_signed_is_found_in_whatever_order_its_event_is_stated_later(
    tmp_path: Path, signed: int
) -> None:
    cycle = Cycle(tmp_path, takes=2)

    async def main() -> None:
        async with cycle.chain.mining():
            async with cycle.running():
                await cycle.trade()
                while len(cycle.facts("transaction.signed")) < signed:  # noqa: ASYNC110 - blocks come by the clock
                    await asyncio.sleep(0.1)
            cycle.events = (ChainEvent(id=EVENT.id, markets=(B, A, C), fee_bips=EVENT.fee_bips),)
            async with cycle.running():
                await asyncio.sleep(60)
                cycle.check()

    virtual(main())
    assert cycle.chain.conversions() == 1
    (done,) = cycle.facts("capital.done")
    assert int(str(done.get("wei"))) == cycle.chain.balance - cycle.chain.funds()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_fault_C10_a_reorganisation_in_the_middle_of_a_conversion_changes_no_book_and_doubles_nothing(
    tmp_path: Path, depth: int
) -> None:
    cycle = Cycle(tmp_path, takes=3)

    def mined() -> list[Any]:
        return [fact for fact in cycle.facts("transaction.mined") if fact.key.startswith("convert:")]

    async def main() -> None:
        async with cycle.chain.mining(), cycle.running():
            await cycle.trade()
            while not mined() or cycle.chain.number - mined()[0].get("block") < depth - 1:  # noqa: ASYNC110 - blocks come by the clock
                await asyncio.sleep(0.5)
            assert cycle.chain.conversions() == 1
            assert cycle.engine.ledger.cash["alpha"] == 820 * MICRO
            cycle.chain.reorganise(depth, back_to_pool=False)
            assert cycle.chain.conversions() == 0
            await asyncio.sleep(90)
            cycle.check()

    virtual(main())
    assert cycle.chain.conversions() == 1
    assert len(cycle.facts("capital.done")) == 1


def offered(folder: Path, terms: LockTerms, *asked: tuple[tuple[str, ...], int]) -> list[Conversion | None]:
    """Return what an account, told of the event, would make of so many NO of these markets."""
    cycle = Cycle(folder, takes=3)

    async def main() -> list[Conversion | None]:
        async with cycle.chain.mining(), cycle.account(terms) as capital:
            return [capital.conversion(markets, Size(shares)) for markets, shares in asked]

    return virtual(main())


def test_a_conversion_makes_yes_of_the_markets_that_it_does_not_take_and_no_others(tmp_path: Path) -> None:
    whole, some, backwards = offered(tmp_path, PAYS, ((A, B, C), 101), ((A, C), 100), ((C, A), 100))
    assert whole is not None
    assert some is not None
    assert backwards is not None
    assert (whole.made, whole.each) == ((), 100)  # a hundredth of 101 is 1, rounded down as the adapter does
    assert (some.made, some.each) == ((B,), 99)
    assert (backwards.made, backwards.each) == ((B,), 99)
    assert offered(tmp_path, PAYS, ((A,), 100), ((A, "alpha:d"), 100), (("alpha:d", A), 100)) == [None] * 3


def test_a_conversion_takes_no_of_the_markets_that_it_names_in_whatever_order(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path, takes=3)
    for name in (A, B, C):
        cycle.chain.give(EVENT_TOKENS[f"{name}:no"], 10 * MICRO)
    wanted = CapitalIntent(Work.CONVERT, "t", C, Size(990_000), Size(MICRO), 0, (C, B), (A,))

    async def main() -> None:
        async with cycle.chain.mining(), cycle.account() as capital:
            result = await capital.settle(wanted)
            assert (result.fate, result.cash, result.as_expected) == (Fate.DONE, 990_000, True)

    virtual(main())
    have = cycle.chain.holdings()
    assert [have[EVENT_TOKENS[f"{name}:no"]] for name in (A, B, C)] == [10 * MICRO, 9 * MICRO, 9 * MICRO]
    assert [have[EVENT_TOKENS[f"{name}:yes"]] for name in (A, B, C)] == [990_000, 0, 0]


def test_a_conversion_pays_when_the_money_it_frees_earns_more_than_gas_and_fee(tmp_path: Path) -> None:
    week = 7 * 86_400.0
    terms = LockTerms(yearly=MICRO, undated_s=week, redeem_s=0.0, merge_s=0.0, redeemed_for_us=True)
    small, large = (
        one for one in offered(tmp_path, terms, ((A, B, C), MICRO // 10), ((A, B, C), 1_000 * MICRO)) if one
    )
    earned = 2 * 990 * MICRO * 7 // 365
    fee = 2 * 10 * MICRO
    assert not small.offer.pays  # the gas alone is more than so little earns in a week
    assert large.offer.gain < earned - fee
    assert earned - fee - MICRO < large.offer.gain
    assert large.offer.pays
    (fast,) = offered(tmp_path, LockTerms(yearly=0, redeemed_for_us=True), ((A, B, C), 1_000 * MICRO))
    assert fast is not None
    assert not fast.offer.pays


def test_a_conversion_into_yes_counts_the_fee_of_one_that_wins_and_the_redeems_that_it_adds(tmp_path: Path) -> None:
    ours = LockTerms(yearly=0)
    theirs = LockTerms(yearly=0, redeemed_for_us=True)
    asked = ((A, B), 1_000 * MICRO), ((A, B, C), 1_000 * MICRO)
    some, whole = (one for one in offered(tmp_path, theirs, *asked) if one)
    some_spares, whole_spares = (one for one in offered(tmp_path, ours, *asked) if one)
    gas = -whole.offer.gain - 2 * 10 * MICRO  # without a fee
    assert 0 < gas < MICRO
    assert -some.offer.gain > 2 * 10 * MICRO + gas  # a dollar and a YES, and more gas
    redeem = some_spares.offer.gain - some.offer.gain  # two redeems less, one more
    assert redeem > 0
    assert whole_spares.offer.gain - whole.offer.gain == 3 * redeem


def test_the_market_that_pays_first_says_how_long_a_conversion_frees_money_and_a_date_that_is_past_frees_none(
    tmp_path: Path,
) -> None:
    cycle = Cycle(tmp_path, takes=3)
    day, gains = 86_400 * 10**9, []

    async def main() -> None:
        async with cycle.chain.mining():
            for dates in ({}, {A: START + day}, {A: START + day, C: START - day}):
                cycle.resolves = dates
                async with cycle.account(LockTerms(yearly=MICRO, redeem_s=0.0)) as capital:
                    found = capital.conversion((A, B, C), Size(1_000 * MICRO))
                    assert found is not None
                    gains.append(found.offer.gain)

    virtual(main())
    a_day = 2 * 990 * MICRO // 365
    assert abs(gains[0] - gains[1] - 6 * a_day) < MICRO // 100  # undated is a week
    assert abs(gains[1] - gains[2] - a_day) < MICRO // 100


def test_the_gas_of_a_conversion_is_stated_until_one_was_made_and_then_what_that_used(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path, takes=3)
    for name in (A, B, C):
        cycle.chain.give(EVENT_TOKENS[f"{name}:no"], 10 * MICRO)
    wanted = CapitalIntent(Work.CONVERT, "t", A, Size(990_000), Size(MICRO), 0, (A, B, C))

    async def main() -> list[int]:
        async with cycle.chain.mining(), cycle.account(KEEPS) as capital:
            gains = [found.offer.gain for found in [capital.conversion((A, B, C), Size(MICRO))] if found]
            assert await capital.give_up(wanted, "why") == CapitalResult(Fate.REFUSED, reason="why")
            assert (await capital.settle(wanted)).cash == 2 * 990_000
            assert await capital.give_up(wanted, "why") is None
            gains += [found.offer.gain for found in [capital.conversion((A, B, C), Size(MICRO))] if found]
            return gains

    stated, used = virtual(main())
    assert used - stated > 0  # the fake chain's calls take less than the stated
    assert conversion_gas(3, 0) > 81_000


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"id": b"short"}, "32 bytes, not 5"),
        ({"markets": (A,)}, "several markets, each once: alpha:a"),
        ({"markets": ()}, "each once: none"),
        ({"markets": (A, A)}, "each once"),
        ({"markets": tuple(f"alpha:{number}" for number in range(257))}, "at most 256 markets, not 257"),
        ({"fee_bips": -1}, "outside 0..10000"),
        ({"fee_bips": 10_000}, "outside 0..10000"),
    ],
)
def test_an_event_that_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ChainEvent(**({"id": EVENT.id, "markets": (A, B)} | wrong))


def test_what_is_stated_wrongly_is_refused_before_a_node_is_asked_and_the_account_is_given_back(tmp_path: Path) -> None:
    cycle = Cycle(tmp_path, takes=2)
    right = cycle.events
    cycle.events = (ChainEvent(id=EVENT.id, markets=(A, "alpha:d")),)
    cycle.chain.down = True  # whoever asked would hear ChainUnavailable

    async def main() -> None:
        with pytest.raises(ConfigError, match="alpha:d has no condition here, or two events"):
            async with cycle.account():
                pass
        cycle.events, cycle.chain.down = right, False
        async with cycle.account() as capital:
            assert capital.covers(A)

    virtual(main())


def test_an_event_without_its_conditions_or_two_of_one_market_are_refused(tmp_path: Path) -> None:
    markets = {name: ChainMarket(condition=one) for name, one in EVENT_MARKETS.items()}
    first, other = (ChainEvent(id=bytes([at]) * 32, markets=names) for at, names in enumerate(((A, B), (B, C))))
    missing = ChainEvent(id=EVENT.id, markets=(A, "alpha:d"))
    for events, named in (([first, other], "alpha:b"), ([missing], "alpha:d")):
        with pytest.raises(ConfigError, match=f"{named} has no condition here, or two events"):
            told_of(events, markets, DIRECT)


def told_of(events: Sequence[ChainEvent], markets: Mapping[str, ChainMarket], contracts: Contracts) -> PolygonCapital:
    """Return an account that is told of events, of which nothing is asked."""
    nothing: Any = None
    desk = SettlementDesk(nothing, contracts)
    return PolygonCapital(nothing, desk, markets, nothing, live=False, events=events)


RACE = b"\x5a" * 31  # and a byte for the number of a question
QUESTIONS = {
    f"alpha:{number}": Condition.of(POLYMARKET.question_of(RACE + b"\0", number), POLYMARKET.neg_risk_backing)
    for number in range(3)
}


@pytest.mark.parametrize(
    ("last", "order", "changed", "says"),
    [
        (0, (1, 0, 2), {}, "alpha:1 is stated as its question 0, and is its question 1"),
        (0, (0, 2, 1), {}, "alpha:2 is stated as its question 1, and is its question 2"),
        (0, (0, 2), {}, "alpha:2 is stated as its question 1, and is none of so many questions"),
        (2, (0, 1, 2), {}, "is the id of its question 2; its own ends in 00"),
        (0, (0, 1, 2), {"alpha:1": POLYMARKET.condition(b"x" * 32)}, "alpha:1 is .* none of so many questions"),
        (
            0,
            (0, 1, 2),
            {"alpha:2": POLYMARKET.condition(QUESTIONS["alpha:2"].id)},
            "the tokens of alpha:2 are not those of wrapped collateral",
        ),
    ],
)
def test_an_event_whose_markets_are_not_its_questions_in_their_order_is_refused_by_the_markets_name(
    last: int, order: tuple[int, ...], changed: dict[str, Condition], says: str
) -> None:
    markets = {name: ChainMarket(condition=one) for name, one in (QUESTIONS | changed).items()}
    event = ChainEvent(id=RACE + bytes([last]), markets=tuple(f"alpha:{number}" for number in order))
    with pytest.raises(ConfigError, match=says):
        told_of([event], markets, POLYMARKET)


def test_a_market_whose_tokens_are_made_of_neither_collateral_is_refused_by_name() -> None:
    """Of pUSD, which goes in and comes out but which no token is made of: the adapter would make what nobody trades."""
    question = QUESTIONS["alpha:1"].id
    markets = {"alpha:0": ChainMarket(condition=POLYMARKET.condition(question))}
    assert told_of([], markets, POLYMARKET).covers("alpha:0")
    markets["alpha:1"] = ChainMarket(condition=Condition.of(question, POLYMARKET.collateral))
    with pytest.raises(ConfigError, match="alpha:1: its tokens are made of neither collateral"):
        told_of([], markets, POLYMARKET)


def test_an_event_whose_markets_are_its_first_questions_in_their_order_is_taken() -> None:
    markets = {name: ChainMarket(condition=one) for name, one in QUESTIONS.items()}
    for number in (2, 3):
        event = ChainEvent(id=RACE + b"\0", markets=tuple(QUESTIONS)[:number])
        assert told_of([event], markets, POLYMARKET).covers("alpha:0")
