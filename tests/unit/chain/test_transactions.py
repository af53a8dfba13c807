# ruff: noqa: N802 - fault tests carry the id of the fault
"""From a call to its end: once, hash first, through every fault that a chain has."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arbkit.chain.gas import GWEI, GasConfig
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.chain.transactions import TransactionConfig
from arbkit.core.clock import LoopClock
from arbkit.core.errors import (
    ChainUnavailable,
    ConfigError,
    FeeAboveCap,
    FundsMissing,
    JournalError,
    Refusal,
    Reverted,
    SendRefused,
    WrongChain,
)
from arbkit.core.transaction import Fate, Transaction, Work, approval_key
from arbkit.core.units import Cash
from arbkit.journal.lock import AccountLock
from arbkit.journal.memory import MemoryJournal
from tests.chain.fake_chain import Tx
from tests.chain.rig_fake import ACCOUNT, ChainRig, call, virtual


def effects(rig: ChainRig, *names: str) -> list[int]:
    done = rig.chain.effects()
    return [done[name.encode()] for name in names]


async def submitted(rig: ChainRig, *names: str) -> None:
    for name in names:
        await rig.desk.submit(call(name))


async def ended(rig: ChainRig, *names: str) -> list[Transaction]:
    return list(await asyncio.gather(*(rig.desk.wait(call(name).key) for name in names)))


def test_bytes_and_hash_are_on_disk_before_anything_is_sent() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    class Watched(MemoryJournal):
        async def durable(self, *, reducing: bool = False) -> None:
            seen.append(("durable", tuple(fact.fact for fact in self.facts)))

    rig = ChainRig(journal=Watched())
    send = rig.chain.send

    async def watched(raw: bytes) -> None:
        seen.append(("send", ()))
        await send(raw)

    rig.chain.send = watched  # type: ignore[method-assign]
    done = rig.run(rig.made("a"))
    assert seen[:2] == [("durable", ("transaction.signed",)), ("send", ())]
    signed = rig.journal.facts[0]
    assert signed.get("hash") == done.last.hash
    assert signed.get("raw") == done.last.raw


def test_a_call_is_final_only_when_its_block_is() -> None:
    rig = ChainRig()

    async def main() -> tuple[Transaction, int, Transaction, int]:
        await rig.desk.submit(call("a"))
        first = await rig.desk.wait(call("a").key, final=False)
        at = rig.chain.number
        last = await rig.desk.wait(call("a").key)
        return first, at, last, rig.chain.number

    first, at, last, later = rig.run(main())
    assert (first.fate, first.is_final, last.is_final) == (Fate.DONE, False, True)
    assert first.mined is not None
    assert later - first.mined.block >= 4 > at - first.mined.block


def test_the_same_key_is_the_same_call_also_at_once_and_after_a_restart() -> None:
    rig = ChainRig()

    async def main() -> None:
        await asyncio.gather(*(rig.desk.submit(call("a")) for _ in range(4)))
        rig.restart()
        await rig.desk.submit(call("a"))
        await ended(rig, "a")
        rig.restart()
        assert (await rig.desk.submit(call("a"))).is_final

    rig.run(main())
    assert effects(rig, "a") == [1]
    assert rig.facts("signed") == ["transaction.signed"]


def test_five_calls_are_pipelined_into_one_block() -> None:
    rig = ChainRig()

    async def main() -> list[Transaction]:
        await submitted(rig, *"abcde")
        return await ended(rig, *"abcde")

    done = rig.run(main())
    assert [one.nonce for one in done] == [0, 1, 2, 3, 4]
    assert len({one.mined.block for one in done if one.mined}) == 1


def test_waiting_for_a_call_that_nobody_made_is_a_bug_of_the_caller() -> None:
    rig = ChainRig()
    with pytest.raises(KeyError):
        rig.run(rig.desk.wait("merge:nothing"))


# -- fees ------------------------------------------------------------------------------------------------------------


def test_fault_C7_a_stuck_transaction_is_replaced_until_it_is_mined_and_stays_under_the_cap() -> None:
    rig = ChainRig()
    rig.chain.asked_tip = lambda number: 25 * GWEI if number < 5 else 60 * GWEI
    rig.chain.base = lambda number: 30 * GWEI if number < 2 else 90 * GWEI

    async def main() -> list[Transaction]:
        await submitted(rig, *"abc")
        rig.chain.asked_tip = lambda _number: 60 * GWEI
        return await ended(rig, *"abc")

    done = rig.run(main())
    assert effects(rig, *"abc") == [1, 1, 1]
    assert len(done[0].attempts) > 1
    for one in done:
        offers = [(attempt.max_fee, attempt.tip) for attempt in one.attempts]
        for (max_fee, tip), (more, more_tip) in itertools.pairwise(offers):
            assert more * 100 >= max_fee * 110
            assert more_tip * 100 >= tip * 110
        assert max(max_fee for max_fee, _ in offers) <= rig.gas.max_fee_cap


def test_fault_C7_at_the_cap_bumping_stops_the_number_is_kept_and_it_is_said_once() -> None:
    rig = ChainRig(gas=GasConfig(max_fee_cap=100 * GWEI))

    async def main() -> Transaction:
        await rig.desk.submit(call("a"))
        rig.chain.asked_tip = lambda _number: 80 * GWEI
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300):
                await rig.desk.wait(call("a").key)
        pending = rig.desk.find(call("a").key)
        rig.chain.asked_tip = lambda _number: 25 * GWEI
        await rig.desk.wait(call("a").key)
        assert pending is not None
        return pending

    pending = rig.run(main())
    assert pending.fate is Fate.PENDING
    assert pending.last.max_fee <= 100 * GWEI
    assert len(rig.facts("capped")) == 1
    assert effects(rig, "a") == [1]


def test_bumps_are_bounded() -> None:
    rig = ChainRig(config=TransactionConfig(max_bumps=2))

    async def main() -> Transaction | None:
        await rig.desk.submit(call("a"))
        rig.chain.asked_tip = lambda _number: 400 * GWEI
        rig.chain.told_tip = lambda _number: 25 * GWEI
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(200):
                await rig.desk.wait(call("a").key)
        return rig.desk.find(call("a").key)

    one = rig.run(main())
    assert one is not None
    assert len(one.attempts) == 3
    assert len(rig.facts("capped")) == 1


def test_fault_C8_gas_above_the_cap_postpones_before_anything_is_signed() -> None:
    rig = ChainRig(gas=GasConfig(max_fee_cap=100 * GWEI))
    rig.chain.base = lambda number: 200 * GWEI if number < 10 else 30 * GWEI

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(FeeAboveCap):
                await rig.desk.submit(call("a"))
        assert rig.desk.open == ()
        await asyncio.sleep(20)
        await rig.made("a")

    rig.run(main())
    assert rig.facts()[:2] == ["transaction.postponed", "transaction.signed"]  # said once, then done
    assert effects(rig, "a") == [1]


def test_a_pool_that_asks_for_more_gets_more_at_once_under_the_same_number() -> None:
    rig = ChainRig()
    rig.chain.refuses = lambda tx: Refusal.UNDERPRICED if tx.tip < 27 * GWEI else None
    done = rig.run(rig.made("a"))
    assert [attempt.tip for attempt in done.attempts] == [25 * GWEI, 27_500_000_000]
    assert effects(rig, "a") == [1]


# -- funds and refusals ----------------------------------------------------------------------------------------------


def test_an_account_without_coin_is_told_what_is_missing_and_nothing_is_signed() -> None:
    rig = ChainRig()
    rig.chain.balance = 10**16

    async def main() -> None:
        await rig.desk.submit(call("a"))
        with pytest.raises(FundsMissing, match="wei of POL"):  # the first may cost most of it
            await rig.desk.submit(call("b"))
        await ended(rig, "a")

    rig.run(main())
    assert effects(rig, "a", "b") == [1, 0]


def test_funds_that_go_missing_after_signing_hold_the_number_until_they_are_back() -> None:
    rig = ChainRig()
    poor = [True]
    rig.chain.refuses = lambda _tx: Refusal.INSUFFICIENT_FUNDS if poor[0] else None

    async def main() -> Transaction:
        await rig.desk.submit(call("a"))
        await asyncio.sleep(30)
        await rig.desk.step()
        poor[0] = False
        return (await ended(rig, "a"))[0]

    done = rig.run(main())
    assert done.fate is Fate.DONE
    assert rig.facts("refused") == ["transaction.refused"]
    assert len(done.attempts) == 1  # a higher offer would need more of what is missing


def test_what_no_node_takes_for_no_lack_of_money_is_given_up_and_its_number_used() -> None:
    rig = ChainRig()
    rig.chain.refuses = lambda tx: Refusal.OTHER if tx.data else None
    done = rig.run(rig.made("a"))
    assert done.fate is Fate.CANCELLED
    assert done.last.cancels
    assert effects(rig, "a", "") == [0, 1]


def test_a_pending_call_can_be_cancelled_and_only_its_end_says_who_won() -> None:
    rig = ChainRig()

    async def main() -> tuple[Transaction, Transaction]:
        rig.chain.asked_tip = lambda _number: 26 * GWEI
        await rig.desk.submit(call("a"))
        assert await rig.desk.cancel(call("a").key)
        first = (await ended(rig, "a"))[0]
        assert not await rig.desk.cancel(call("a").key)  # it has ended
        assert not await rig.desk.cancel("merge:nothing")
        second = await rig.made("b")
        return first, second

    first, second = rig.run(main())
    assert (first.fate, second.fate) == (Fate.CANCELLED, Fate.DONE)
    assert effects(rig, "a", "b") == [0, 1]


# -- answers lost and transactions lost ------------------------------------------------------------------------------


def test_nodes_that_are_down_for_a_while_lose_nothing() -> None:
    rig = ChainRig()

    async def main() -> list[Transaction]:
        await rig.desk.submit(call("a"))
        rig.chain.down = True
        rig.chain.pool.clear()
        assert not await rig.desk.step()
        with pytest.raises(ChainUnavailable):
            await rig.desk.submit(call("b"))
        await asyncio.sleep(60)
        rig.chain.down = False
        return await ended(rig, "a")

    assert rig.run(main())[0].fate is Fate.DONE
    assert effects(rig, "a", "b") == [1, 0]


def test_fault_C4_nodes_of_another_chain_are_given_nothing_and_what_was_signed_goes_out_when_the_right_ones_are_back() -> (
    None
):
    rig = ChainRig()
    send, read = rig.chain.send, rig.chain.read

    async def wrong(*_: Any) -> Any:
        raise WrongChain("chain 1 where 137 is meant")

    async def main() -> Transaction:
        rig.chain.send = wrong  # type: ignore[method-assign]
        one = await rig.desk.submit(call("a"))
        assert (one.fate, one.mined) == (Fate.PENDING, None)
        rig.chain.read = wrong  # type: ignore[method-assign]
        assert await rig.desk.step() is False  # it is said, and whoever waits goes on waiting
        await asyncio.sleep(30)
        rig.chain.send, rig.chain.read = send, read  # type: ignore[method-assign]
        return await rig.desk.wait(call("a").key)

    assert rig.run(main()).fate is Fate.DONE
    (said,) = [fact for fact in rig.journal.facts if fact.fact == "transaction.unanswered"]
    assert said.get("why") == "chain 1 where 137 is meant"
    assert {fact.get("nonce") for fact in rig.journal.facts if fact.fact == "transaction.signed"} == {0}
    assert effects(rig, "a") == [1]


def test_nodes_that_were_given_the_bytes_and_said_nothing_are_on_record_with_the_refusal() -> None:
    rig = ChainRig()
    send = rig.chain.send

    async def refused(_raw: bytes) -> None:
        raise SendRefused("insufficient funds", Refusal.INSUFFICIENT_FUNDS, ("second", "third"))

    async def main() -> None:
        rig.chain.send = refused  # type: ignore[method-assign]
        await rig.desk.submit(call("a"))
        rig.chain.send = send  # type: ignore[method-assign]
        await rig.desk.wait(call("a").key)

    rig.run(main())
    (said,) = [fact for fact in rig.journal.facts if fact.fact == "transaction.refused"]
    assert said.get("unanswered") == ("second", "third")


def test_a_transaction_that_fell_out_of_the_pools_is_sent_again_as_it_was() -> None:
    rig = ChainRig()

    async def main() -> list[Transaction]:
        await rig.desk.submit(call("a"))
        rig.chain.pool.clear()
        return await ended(rig, "a")

    done = rig.run(main())
    assert len(done[0].attempts) == 1
    assert rig.chain.sends == 2


def test_what_was_on_record_and_never_sent_is_sent_after_a_restart() -> None:
    rig = ChainRig()

    async def main() -> list[Transaction]:
        rig.chain.loses_request = 1.0
        await rig.desk.submit(call("a"))
        rig.chain.loses_request = 0.0
        await rig.restart().start()
        return await ended(rig, "a")

    assert rig.run(main())[0].fate is Fate.DONE
    assert effects(rig, "a") == [1]
    assert rig.facts("signed") == ["transaction.signed"]


def test_a_journal_that_does_not_keep_lets_nothing_be_sent() -> None:
    class Full(MemoryJournal):
        async def durable(self, *, reducing: bool = False) -> None:
            raise JournalError("the disk is full")

    rig = ChainRig(journal=Full())

    async def main() -> None:
        with pytest.raises(JournalError):
            await rig.desk.submit(call("a"))

    rig.run(main())
    assert rig.chain.sends == 0


def test_a_journal_that_takes_no_more_leaves_the_number_free() -> None:
    class Closed(MemoryJournal):
        shut = True

        def append(self, at: int, fact: str, key: str, **data: object) -> None:
            if self.shut:
                raise JournalError("closed")
            super().append(at, fact, key, **data)

    rig = ChainRig(journal=Closed())

    async def main() -> Transaction:
        with pytest.raises(JournalError):
            await rig.desk.submit(call("a"))
        rig.journal.shut = False
        return await rig.made("b")

    assert rig.run(main()).nonce == 0
    assert rig.chain.sends == 1


# -- numbers ---------------------------------------------------------------------------------------------------------


def test_fault_C6_a_hole_below_ours_is_filled_with_a_transfer_of_nothing() -> None:
    rig = ChainRig()

    async def main() -> list[Transaction]:
        somebody = rig.chain.foreign_waits()
        await rig.desk.start()
        del rig.chain.pool[somebody.nonce]  # number 0 was somebody else's, and is lost
        await submitted(rig, *"abc")
        return await ended(rig, *"abc")

    done = rig.run(main())
    assert [one.nonce for one in done] == [1, 2, 3]
    assert effects(rig, "", *"abc") == [1, 1, 1, 1]
    repair = rig.folded().closed[f"repair:{ACCOUNT}:0"]
    assert (repair.call.work, repair.call.value, repair.gas) == (Work.REPAIR, 0, 21_000)


def test_a_hole_is_not_filled_at_a_price_above_the_cap() -> None:
    rig = ChainRig()

    async def main() -> int:
        somebody = rig.chain.foreign_waits()
        await rig.desk.start()
        del rig.chain.pool[somebody.nonce]
        await submitted(rig, "a")
        rig.chain.base = lambda _number: 10_000 * GWEI
        await asyncio.sleep(10)
        await rig.desk.step()
        await asyncio.sleep(10)
        await rig.desk.step()
        before = rig.chain.sends
        rig.chain.base = lambda _number: 30 * GWEI
        await ended(rig, "a")
        return before

    assert rig.run(main()) == 1
    assert effects(rig, "a") == [1]


def test_fault_C6_a_number_that_another_process_took_is_given_up_only_when_that_is_final() -> None:
    rig = ChainRig()

    async def main() -> Transaction:
        rig.chain.asked_tip = lambda _number: 50 * GWEI
        await rig.desk.submit(call("a"))
        rig.chain.use_number()
        await asyncio.sleep(2)
        await rig.desk.step()
        assert rig.desk.find(call("a").key).fate is Fate.PENDING  # type: ignore[union-attr]
        return (await ended(rig, "a"))[0]

    done = rig.run(main())
    assert (done.fate, done.is_final) == (Fate.DISPLACED, True)
    assert effects(rig, "a") == [0]


def test_what_was_paid_for_a_call_and_its_approvals_is_counted_once_by_the_next_process_too() -> None:
    rig = ChainRig()
    approvals = [replace(call(name), key=approval_key(name, call("a").key)) for name in "xy"]

    async def main() -> int:
        assert await rig.desk.paid_for(call("a").key) == 0
        await rig.desk.submit(call("a"))
        rig.chain.use_number()
        assert (await ended(rig, "a"))[0].fate is Fate.DISPLACED
        for one in (*approvals, call("b"), call("a")):  # it is made again, under another number
            await rig.desk.submit(one)
        rig.restart()
        await rig.polygon.start()
        assert len(rig.desk.open) == 4
        paid = await rig.desk.paid_for(call("a").key)
        await ended(rig, "b")
        return paid

    paid = rig.run(main())
    other = rig.desk.find(call("b").key)
    assert other is not None
    assert paid == rig.chain.balance - rig.chain.funds() - other.paid > other.paid > 0
    assert effects(rig, "a", "x", "y") == [1, 1, 1]


def test_fault_C6_receipts_that_are_found_late_are_no_proof_of_another_process() -> None:
    rig = ChainRig(seed=3)
    rig.chain.hides = 0.7

    async def main() -> list[Transaction]:
        await submitted(rig, *"abcdef")
        return await ended(rig, *"abcdef")

    done = rig.run(main())
    assert [one.fate for one in done] == [Fate.DONE] * 6
    assert effects(rig, *"abcdef") == [1] * 6
    assert rig.facts("reorged") == []  # nor of a reorganisation


def test_fault_C6_a_pending_count_that_lags_gives_no_number_twice() -> None:
    rig = ChainRig()
    rig.chain.lags = 1.0

    async def main() -> list[Transaction]:
        await submitted(rig, "a", "b")
        await rig.restart().start()
        await submitted(rig, "c")
        return await ended(rig, *"abc")

    assert [one.nonce for one in rig.run(main())] == [0, 1, 2]
    assert effects(rig, *"abc") == [1, 1, 1]


# -- reverts and reorganisations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("made_up", [5_000, 10**12])
def test_fault_C3_a_number_that_one_node_of_several_makes_up_is_neither_taken_nor_paid_for(made_up: int) -> None:
    rig = ChainRig()
    honest = rig.chain.read

    async def one_lies(method: str, *params: Any) -> Any:
        answer = await honest(method, *params)
        return hex(made_up) if method == "eth_getTransactionCount" else answer

    async def all_say(method: str, *params: Any) -> list[Any]:
        return [await one_lies(method, *params), await honest(method, *params)]

    rig.chain.read, rig.chain.read_all = one_lies, all_say  # type: ignore[method-assign]

    async def main() -> None:
        submitted = asyncio.ensure_future(rig.made("a"))
        while not rig.facts("sent"):  # noqa: ASYNC110 - blocks come by the clock
            await asyncio.sleep(0.01)
        rig.chain.base = lambda number: (900 if number < 20 else 30) * GWEI  # it waits for long
        assert (await submitted).fate is Fate.DONE
        assert (await rig.made("b")).fate is Fate.DONE

    rig.run(main())
    signed = [fact.get("nonce") for fact in rig.journal.facts if fact.fact == "transaction.signed"]
    assert list(dict.fromkeys(signed)) == [0, 1]
    assert set(rig.chain.effects().values()) == {1}


def counted_by(rig: ChainRig, *lies: int | None) -> None:
    """Let the account's numbers be counted by so many nodes, None for an honest one; the first is the fastest."""
    honest = rig.chain.read

    async def all_say(method: str, *params: Any) -> list[Any]:
        answer = await honest(method, *params)
        if method != "eth_getTransactionCount":
            return [answer]
        return [answer if lie is None else hex(lie) for lie in lies]

    async def first_says(method: str, *params: Any) -> Any:
        return (await all_say(method, *params))[0]

    rig.chain.read, rig.chain.read_all = first_says, all_say  # type: ignore[method-assign]


@pytest.mark.parametrize("lies", [(5_000, None), (5_000, None, None), (0, None, None)])
def test_fault_C3_what_fell_out_of_all_pools_is_sent_again_whatever_the_fastest_node_makes_up(
    lies: tuple[int | None, ...],
) -> None:
    rig = ChainRig()
    rig.chain.foreign_waits()
    rig.chain.mine()
    counted_by(rig, *lies)

    async def main() -> None:
        submitted = asyncio.ensure_future(rig.made("a"))
        while not rig.facts("sent"):  # noqa: ASYNC110 - blocks come by the clock
            await asyncio.sleep(0.01)
        rig.chain.pool.clear()
        assert (await asyncio.wait_for(submitted, 120)).fate is Fate.DONE

    rig.run(main())
    assert effects(rig, "a") == [1]
    assert rig.facts("signed") == ["transaction.signed"]


@pytest.mark.parametrize("restarts", [False, True])
def test_fault_C3_one_node_of_two_that_denies_all_numbers_gives_out_none_of_ours_again(restarts: bool) -> None:
    rig = ChainRig()

    async def main() -> list[Transaction]:
        await rig.made("a")
        counted_by(rig, 0, None)
        if restarts:
            await rig.restart().start()
        await asyncio.wait_for(rig.made("b"), 120)
        return [await asyncio.wait_for(rig.made(name), 120) for name in "cd"]

    assert [one.nonce for one in rig.run(main())] == [2, 3]
    assert rig.chain.count() == 4
    assert effects(rig, *"abcd") == [1] * 4


def test_fault_C3_a_number_that_others_took_for_good_is_given_up_though_one_node_of_three_denies_it() -> None:
    rig = ChainRig()

    async def main() -> Transaction:
        await rig.desk.submit(call("a"))
        rig.chain.use_number()
        counted_by(rig, 0, None, None)
        return await asyncio.wait_for(rig.desk.wait(call("a").key), 120)

    assert rig.run(main()).fate is Fate.DISPLACED


def test_fault_C9_a_call_that_would_revert_is_refused_with_the_contracts_reason() -> None:
    rig = ChainRig()
    rig.chain.fails = lambda _to, data: "SafeMath: subtraction overflow" if data == b"a" else ""

    async def main() -> Transaction:
        with pytest.raises(Reverted, match="merge reverts: SafeMath: subtraction overflow"):
            await rig.desk.submit(call("a"))
        return await rig.made("b")

    assert rig.run(main()).nonce == 0  # no number was lost on it
    assert rig.facts()[0] == "transaction.reverted"
    assert effects(rig, "a") == [0]


def test_fault_C9_a_mined_revert_is_decoded_on_record_and_not_tried_again() -> None:
    rig = ChainRig()

    async def main() -> Transaction:
        await rig.desk.submit(call("a"))
        rig.chain.fails = lambda _to, _data: "payout denominator already set"
        done = (await ended(rig, "a"))[0]
        assert await rig.desk.submit(call("a")) == done
        return done

    done = rig.run(main())
    assert (done.fate, done.is_final) == (Fate.REVERTED, True)
    assert done.paid > 0
    (fact,) = (fact for fact in rig.journal.facts if fact.fact == "transaction.reverted")
    assert fact.get("reason") == "payout denominator already set"
    assert rig.chain.sends == 1


def test_a_revert_whose_cause_is_gone_is_said_to_be_unknown_and_too_little_gas_is_named() -> None:
    rig = ChainRig()

    async def main() -> tuple[str, str]:
        await rig.desk.submit(call("a"))
        rig.chain.fails = lambda _to, _data: "passing"
        first = await rig.desk.wait(call("a").key, final=False)
        rig.chain.fails = lambda _to, _data: ""
        await rig.desk.submit(call("b"), gas=rig.chain.gas_of("", b"b"))
        second = await rig.desk.wait(call("b").key, final=False)
        return await rig.desk.revert_reason(first), await rig.desk.revert_reason(second)

    first, second = rig.run(main())
    assert "unknown" in first
    assert second == "out of gas: all 81000 were used"


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("back", [True, False])
def test_fault_C10_what_a_reorganisation_takes_back_is_pending_again_and_done_in_the_end(
    depth: int, back: bool
) -> None:
    rig = ChainRig(seed=depth, config=TransactionConfig(poll_s=0.2))

    async def main() -> list[Transaction]:
        await submitted(rig, *"abc")
        await asyncio.gather(*(rig.desk.wait(call(name).key, final=False) for name in "abc"))
        await asyncio.sleep(1.75 * (depth - 1))  # as many blocks on top as are taken back with it
        await rig.desk.step()
        rig.chain.reorganise(depth, back_to_pool=back)
        await rig.desk.step()
        assert [one.fate for one in rig.desk.open] == [Fate.PENDING] * 3
        return await ended(rig, *"abc")

    done = rig.run(main())
    assert [one.fate for one in done] == [Fate.DONE] * 3
    assert effects(rig, *"abc") == [1, 1, 1]
    assert len(rig.facts("reorged")) == 3
    mined = rig.chain.mined()
    for one in done:
        assert one.mined is not None
        assert mined[one.mined.hash][1].hash == one.mined.block_hash


def test_fault_C10_a_receipt_that_outlives_its_block_is_not_believed() -> None:
    rig = ChainRig()
    receipts = rig.chain._getTransactionReceipt
    kept: dict[str, Any] = {}

    def from_memory(hash: str) -> Any:
        found = receipts(hash)
        if found is not None:
            kept.setdefault(hash, found)  # the first one for ever, whatever became of its block
        return kept.get(hash)

    async def main() -> Transaction:
        await rig.desk.submit(call("a"))
        await rig.desk.wait(call("a").key, final=False)
        rig.chain._getTransactionReceipt = from_memory  # type: ignore[method-assign]
        await rig.desk.step()
        rig.chain.reorganise(1, back_to_pool=False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await rig.desk.wait(call("a").key)
        rig.chain._getTransactionReceipt = receipts  # type: ignore[method-assign]
        return (await ended(rig, "a"))[0]

    assert rig.run(main()).fate is Fate.DONE
    assert effects(rig, "a") == [1]


def test_confirmations_make_a_block_final_where_the_chain_names_none() -> None:
    rig = ChainRig(config=TransactionConfig(confirmations=2))
    rig.chain._height = lambda tag: 0 if tag == "finalized" else type(rig.chain)._height(rig.chain, tag)  # type: ignore[method-assign]
    done = rig.run(rig.made("a"))
    assert done.mined is not None
    assert rig.chain.number >= done.mined.block + 2


# -- odds and ends ---------------------------------------------------------------------------------------------------


def test_an_accounts_lock_keeps_other_processes_off_until_it_is_closed(tmp_path: Path) -> None:
    rig = ChainRig()
    rig.polygon.close()
    lock = AccountLock(137, ACCOUNT, tmp_path)
    one = PolygonOptimizer(rig.chain, rig.signer, rig.journal, LoopClock(), pol_price=lambda: Cash(1), lock=lock)
    with pytest.raises(JournalError, match=r"(?i)account 0x[0-9a-f]{40} on chain 137 is in use"):
        AccountLock(137, ACCOUNT.lower(), tmp_path)
    AccountLock(1, ACCOUNT, tmp_path).release()
    one.close()
    AccountLock(137, ACCOUNT, tmp_path).release()


def test_an_account_has_one_desk_until_it_is_closed() -> None:
    rig = ChainRig()
    with pytest.raises(ConfigError, match="owner of its numbers"):
        rig.open()
    rig.polygon.close()
    rig.open().close()


@pytest.mark.parametrize(
    "wrong", [{"poll_s": 0}, {"max_bumps": -1}, {"displaced_looks": 0}, {"refusals": 0}, {"confirmations": 0}]
)
def test_patience_that_cannot_be_meant_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        TransactionConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [{}, {"transactionHash": "0x1", "blockNumber": None}])
def test_a_receipt_that_cannot_be_read_is_the_nodes_fault_and_asked_for_again(answer: dict[str, Any]) -> None:
    rig = ChainRig()
    good = rig.chain._getTransactionReceipt

    async def main() -> Transaction:
        await rig.desk.submit(call("a"))
        rig.chain._getTransactionReceipt = lambda _hash: answer  # type: ignore[method-assign]
        assert not await rig.desk.step()
        rig.chain._getTransactionReceipt = lambda _hash: None  # type: ignore[method-assign]
        rig.chain._getTransactionCount = lambda *_: None  # type: ignore[method-assign]
        assert not await rig.desk.step()
        del rig.chain._getTransactionCount
        rig.chain._getTransactionReceipt = good  # type: ignore[method-assign]
        return (await ended(rig, "a"))[0]

    assert rig.run(main()).fate is Fate.DONE


def test_the_fake_keeps_the_rules_of_polygons_pool() -> None:
    rig = ChainRig()

    async def main() -> list[Refusal]:
        kinds = []
        for tip, max_fee, nonce in ((24, 100, 0), (30, 100, 0), (32, 120, 0), (33, 110, 0), (25, 100, 0)):
            fees = type(rig.signer).sign.__globals__["GasFees"](max_fee * GWEI, tip * GWEI)
            attempt = rig.signer.sign(nonce, ACCOUNT, b"", 0, 21_000, fees)
            try:
                await rig.chain.send(bytes.fromhex(attempt.raw[2:]))
            except SendRefused as refused:
                kinds.append(Refusal(refused.kind))
            else:
                kinds.append(Refusal.OTHER)
                assert rig.chain.pool[0] == Tx.read(bytes.fromhex(attempt.raw[2:]))
        return kinds

    taken, low, under = Refusal.OTHER, Refusal.REPLACEMENT_UNDERPRICED, Refusal.UNDERPRICED
    assert virtual(main()) == [under, taken, low, taken, low]
    rig.polygon.close()
