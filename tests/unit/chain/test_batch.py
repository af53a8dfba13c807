# ruff: noqa: N802 - fault tests carry the id of the fault
"""Several calls at once: the cheaper way is taken, every call has its own result, one that fails fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from arbkit.chain.batch import BatchPlan, Way
from arbkit.chain.gas import GWEI, GasConfig
from arbkit.chain.reverts import NAMED, decode_revert, is_revert, reason_of
from arbkit.core.errors import CallRefused, ChainError, ConfigError, FeeAboveCap, Reverted
from arbkit.core.transaction import CallResult, Fate, approval_key
from tests.chain.fake_chain import error_data
from tests.chain.rig_fake import ACCOUNT, CONTRACT, SAFE, ChainRig, call

FIVE = [call(name) for name in "abcde"]


def effects(rig: ChainRig) -> dict[str, int]:
    return {data.decode(): count for data, count in sorted(rig.chain.effects().items())}


def fates(results: Sequence[CallResult]) -> str:
    """Return the results as a word: a letter for each, capital when it is final."""
    letters = {Fate.DONE: "d", Fate.REVERTED: "r", Fate.REFUSED: "x", Fate.CANCELLED: "c"}
    return "".join(letters[one.fate].upper() if one.is_final else letters[one.fate] for one in results)


def test_one_call_is_never_a_batch() -> None:
    for safe in (None, SAFE):
        rig = ChainRig(safe=safe)
        plan = rig.run(rig.polygon.batches.plan(FIVE[:1]))
        assert (plan.way, len(plan.limits), plan.saved) == (Way.SINGLE, 1, 0)


def test_a_safe_takes_a_batch_when_that_is_cheaper_and_saves_what_it_says() -> None:
    rig = ChainRig(safe=SAFE)

    async def main() -> tuple[BatchPlan, tuple[CallResult, ...]]:
        plan, cost = await rig.polygon.estimate(FIVE)
        assert cost.gas == plan.gas
        return plan, await rig.polygon.execute(FIVE)

    plan, results = rig.run(main())
    assert plan.way is Way.MULTISEND
    assert fates(results) == "DDDDD"
    assert effects(rig) == dict.fromkeys("abcde", 1)
    assert len({one.hash for one in results}) == 1
    (tx, _), *more = rig.chain.mined().values()
    assert not more
    assert sum(one.gas_used for one in results) == rig.chain.gas_of(tx.to, tx.data)
    summary = rig.polygon.tracker.get_summary()
    assert summary["gas_saved"] == plan.saved > 0
    assert summary["by_work"]["batch"]["transactions"] == 1


def test_a_batch_that_costs_more_than_its_parts_is_not_made() -> None:
    rig = ChainRig(safe=SAFE)
    cheap = rig.chain.gas_of
    rig.chain.gas_of = lambda to, data: cheap(to, data) + 10**6 * (len(rig.chain._inner(to, data)) > 1)  # type: ignore[method-assign]

    async def main() -> tuple[BatchPlan, tuple[CallResult, ...]]:
        return await rig.polygon.batches.plan(FIVE[:2]), await rig.polygon.execute(FIVE[:2])

    plan, results = rig.run(main())
    assert (plan.way, plan.saved) == (Way.PIPELINED, 0)
    assert len({one.hash for one in results}) == 2


def test_a_batch_that_no_block_would_take_is_made_one_by_one() -> None:
    rig = ChainRig(safe=SAFE)
    cheap = rig.chain.gas_of
    rig.chain.gas_of = lambda to, data: cheap(to, data) + 2**25 * (len(rig.chain._inner(to, data)) > 1)  # type: ignore[method-assign]
    assert rig.run(rig.polygon.batches.plan(FIVE)).way is Way.PIPELINED


def test_a_batch_beyond_a_transactions_room_is_cut_into_several_that_have_it() -> None:
    rig = ChainRig(safe=SAFE)
    cheap = rig.chain.gas_of
    # Four calls and more are beyond what a block takes in one transaction.
    rig.chain.gas_of = lambda to, data: cheap(to, data) + 2**25 * (len(rig.chain._inner(to, data)) > 3)  # type: ignore[method-assign]
    calls = [call(name) for name in "abcdefgh"]

    async def main() -> tuple[BatchPlan, tuple[CallResult, ...]]:
        return await rig.polygon.batches.plan(calls), await rig.polygon.execute(calls)

    plan, results = rig.run(main())
    assert (plan.way, plan.calls, plan.rest) == (Way.MULTISEND, tuple(calls[:2]), tuple(calls[2:]))
    assert fates(results) == "D" * 8
    assert effects(rig) == dict.fromkeys("abcdefgh", 1)
    assert [len(rig.chain._inner(tx.to, tx.data)) for tx, _ in rig.chain.mined().values()] == [2, 3, 3]


def test_fault_C8_a_spike_between_two_batches_tells_which_calls_were_not_signed() -> None:
    rig = ChainRig(safe=SAFE)
    cheap, base = rig.chain.gas_of, rig.chain.base
    rig.chain.gas_of = lambda to, data: cheap(to, data) + 2**25 * (len(rig.chain._inner(to, data)) > 3)  # type: ignore[method-assign]
    rig.chain.base = lambda number: base(number) if number < 3 else 600 * GWEI
    calls = [call(name) for name in "abcdefgh"]
    results = rig.run(rig.polygon.execute(calls))
    assert fates(results) == "DDXXXXXX"
    assert "above the cap" in results[-1].reason
    assert effects(rig) == dict.fromkeys("ab", 1)


def test_an_account_pipelines_and_no_more_than_the_nodes_keep_are_in_flight() -> None:
    rig = ChainRig()
    calls = [call(f"n{at}") for at in range(20)]
    most = 0
    admit = rig.chain._admit

    def watched(tx: Any) -> None:
        nonlocal most
        admit(tx)
        most = max(most, len(rig.chain.pool))

    rig.chain._admit = watched  # type: ignore[method-assign]
    results = rig.run(rig.polygon.execute(calls))
    assert fates(results) == "D" * 20
    assert most <= 16
    assert len({one.block for one in results[:16]}) <= 2


@pytest.mark.parametrize("safe", [None, SAFE])
def test_fault_C12_a_call_that_would_fail_is_left_out_and_the_rest_goes_on(safe: Any) -> None:
    rig = ChainRig(safe=safe)
    rig.chain.fails = lambda _to, data: "ERC1155: insufficient balance" if data == b"c" else ""
    results = rig.run(rig.polygon.execute(FIVE))
    assert fates(results) == "DDXDD"
    assert results[2].reason == "ERC1155: insufficient balance"
    assert effects(rig) == dict.fromkeys("abde", 1)
    assert rig.facts()[0] == "transaction.reverted"  # what was refused is on record too


def test_fault_C12_a_batch_that_reverts_when_it_is_mined_is_made_again_without_the_call_that_did_it() -> None:
    rig = ChainRig(safe=SAFE)

    async def main() -> tuple[CallResult, ...]:
        made = asyncio.ensure_future(rig.polygon.execute(FIVE))
        await asyncio.sleep(0.5)  # signed and sent, not yet mined
        rig.chain.fails = lambda _to, data: "too late" if data == b"b" else ""
        return await made

    results = rig.run(main())
    assert fates(results) == "DRDDD"
    assert results[1].reason.startswith("GS013 (a call inside the batch failed")
    assert results[1].reason.endswith(": too late")
    assert effects(rig) == dict.fromkeys("acde", 1)
    assert rig.polygon.tracker.get_summary()["failed"] == 1


def test_what_was_paid_for_a_call_is_its_part_of_every_batch_that_was_made_for_it_also_of_one_that_reverted() -> None:
    rig = ChainRig(safe=SAFE)
    calls = [replace(call("a"), key=approval_key("x", "merge:b")), *[call(name) for name in "bcd"]]

    async def main() -> list[int]:
        made = asyncio.ensure_future(rig.polygon.execute(calls))
        await asyncio.sleep(0.5)
        rig.chain.fails = lambda _to, data: "too late" if data == b"c" else ""
        results = await made
        assert fates(results) == "DDRD"
        assert sum(one.paid for one in results) < rig.chain.balance - rig.chain.funds()  # each tells of its last batch
        return [await rig.polygon.paid_for(one.key) for one in calls]

    a, b, c, d = rig.run(main())
    assert (a, c > 0) == (0, True)  # what an approval cost is asked for under the call that it was for
    assert b in (2 * d, 2 * d + 1, 2 * d + 2)  # parts are even, but for what does not divide
    assert b + c + d == rig.chain.balance - rig.chain.funds()


def test_fault_C12_of_pipelined_calls_one_can_revert_alone() -> None:
    rig = ChainRig()

    async def main() -> tuple[CallResult, ...]:
        made = asyncio.ensure_future(rig.polygon.execute(FIVE))
        await asyncio.sleep(0.5)
        rig.chain.fails = lambda _to, data: "too late" if data == b"b" else ""
        return await made

    results = rig.run(main())
    assert fates(results) == "DRDDD"
    assert results[1].reason == "too late"


def test_a_batch_that_never_passes_ends_and_says_so() -> None:
    rig = ChainRig(safe=SAFE)
    mine = rig.chain.mine

    def mining() -> Any:
        rig.chain.fails = lambda _to, _data: "only when mined"
        block = mine()
        rig.chain.fails = lambda _to, _data: ""
        return block

    rig.chain.mine = mining  # type: ignore[method-assign]  # all passes when it is asked, nothing when it is mined
    results = rig.run(rig.polygon.execute(FIVE[:3]))
    assert fates(results) == "RRR"
    assert len(rig.chain.mined()) == 3  # three rounds, no more
    assert effects(rig) == {}


def test_calls_that_pass_only_together_are_made_together() -> None:
    rig = ChainRig(safe=SAFE)
    asked = rig.chain._estimateGas

    def alone(asked_call: dict[str, Any]) -> str:
        if len(rig.chain._inner(asked_call["to"], bytes.fromhex(asked_call["data"][2:]))) == 1:
            raise CallRefused("execution reverted", 3, error_data("not yet"))
        return asked(asked_call)

    rig.chain._estimateGas = alone  # type: ignore[method-assign]
    results = rig.run(rig.polygon.execute(FIVE[:2]))
    assert fates(results) == "DD"
    assert rig.polygon.batches.saved == 0  # against what cannot be done there is no saving


@pytest.mark.parametrize("safe", [None, SAFE])
def test_what_was_made_before_is_not_made_again_alone_or_in_a_batch(safe: Any) -> None:
    rig = ChainRig(safe=safe)

    async def main() -> tuple[CallResult, ...]:
        first = asyncio.ensure_future(rig.polygon.execute(FIVE[:3]))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await rig.restart().start()
        assert [rig.polygon.fate_of(one.key) for one in FIVE] == [Fate.PENDING] * 3 + [None] * 2
        results = await rig.polygon.execute(FIVE)
        assert {rig.polygon.fate_of(one.key) for one in FIVE} == {Fate.DONE}
        assert await rig.polygon.execute(FIVE) == results
        return results

    results = rig.run(main())
    assert fates(results) == "DDDDD"
    assert effects(rig) == dict.fromkeys("abcde", 1)


def test_fault_C8_above_the_cap_nothing_is_signed_and_a_spike_between_two_tells_what_was_not() -> None:
    rig = ChainRig(gas=GasConfig(max_fee_cap=100 * GWEI))

    async def main() -> tuple[CallResult, ...]:
        rig.chain.base = lambda _number: 500 * GWEI
        with pytest.raises(FeeAboveCap):
            await rig.polygon.execute(FIVE)
        assert rig.desk.open == ()
        rig.chain.base = lambda _number: 30 * GWEI
        send = rig.chain.send

        async def spike(raw: bytes) -> None:
            await send(raw)
            rig.chain.base = lambda number: 500 * GWEI if number < 5 else 30 * GWEI

        rig.chain.send = spike  # type: ignore[method-assign]
        return await rig.polygon.execute(FIVE)

    results = rig.run(main())
    assert fates(results) == "DXXXX"
    assert "above the cap" in results[1].reason
    assert effects(rig) == {"a": 1}


def test_an_account_that_others_use_all_the_time_is_given_up_with_a_clear_word() -> None:
    rig = ChainRig()

    async def main() -> None:
        async def meddle() -> None:
            while True:
                await asyncio.sleep(0.4)
                if rig.desk.open:
                    rig.chain.use_number()

        meddling = asyncio.ensure_future(meddle())
        with pytest.raises(ChainError, match="others took its number 3 times"):
            await rig.polygon.execute(FIVE[:1])
        meddling.cancel()
        await asyncio.gather(meddling, return_exceptions=True)

    rig.run(main())
    assert rig.desk.open == ()


@pytest.mark.parametrize("safe", [None, SAFE])
def test_fault_C6_a_call_whose_number_others_took_is_judged_anew_before_it_is_signed_anew(safe: Any) -> None:
    rig = ChainRig(safe=safe)

    async def main() -> tuple[CallResult, ...]:
        rig.chain.asked_tip = lambda _number: 50 * GWEI
        made = asyncio.ensure_future(rig.polygon.execute(FIVE[:2]))
        await asyncio.sleep(0.5)
        rig.chain.use_number()
        rig.chain.use_number()
        rig.chain.asked_tip = lambda _number: 25 * GWEI
        rig.chain.fails = lambda _to, data: "spent elsewhere" if data == b"a" else ""
        return await made

    results = rig.run(main())
    assert fates(results) == "XD"
    assert results[0].reason == "spent elsewhere"
    assert {name: times for name, times in effects(rig).items() if "foreign" not in name} == {"b": 1}
    assert all(block.ok[tx.hash] for tx, block in rig.chain.mined().values())  # no gas was spent on failing


def test_nodes_that_go_silent_between_two_calls_tell_what_was_not_signed() -> None:
    rig = ChainRig()
    send = rig.chain.send

    async def main() -> tuple[CallResult, ...]:
        async def silent(raw: bytes) -> None:
            await send(raw)
            rig.chain.down = True
            asyncio.get_running_loop().call_later(5, setattr, rig.chain, "down", False)

        rig.chain.send = silent  # type: ignore[method-assign]
        return await rig.polygon.execute(FIVE[:2])

    results = rig.run(main())
    assert fates(results) == "DX"
    assert results[1].reason == "no node answers"


def test_anybodys_receipt_and_whether_its_block_stands_can_be_asked() -> None:
    rig = ChainRig()

    async def main() -> tuple[bool, bool, bool]:
        await rig.desk.submit(FIVE[0])
        assert await rig.polygon.receipt(rig.desk.open[0].last.hash) is None
        mined = await rig.desk.wait(FIVE[0].key, final=False)
        receipt = await rig.polygon.receipt(mined.last.hash)
        assert receipt is not None
        block, hash_ = int(receipt["blockNumber"], 16), receipt["blockHash"]
        early = await rig.polygon.stands(block, hash_)
        await rig.desk.wait(FIVE[0].key)
        assert await rig.polygon.step()
        return early, await rig.polygon.stands(block, hash_), await rig.polygon.stands(block, "0x00")

    assert rig.run(main()) == (False, True, False)


def test_two_calls_of_one_key_are_a_bug_of_the_caller() -> None:
    rig = ChainRig()
    with pytest.raises(ValueError, match="the same key"):
        rig.run(rig.polygon.execute([FIVE[0], FIVE[0]]))


def test_nothing_to_do_is_done() -> None:
    rig = ChainRig()
    assert rig.run(rig.polygon.execute([])) == ()


# -- the Safe, and the door ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"threshold": 2, "owner": 1, "code": "0x60"}, "wants 2 owners to agree"),
        ({"threshold": 1, "owner": 0, "code": "0x60"}, "is no owner of the Safe"),
        ({"threshold": 1, "owner": 1, "code": "0x"}, "no MultiSend contract"),
        ({"threshold": None, "owner": 1, "code": "0x60"}, "wants 0 owners"),
    ],
)
def test_a_safe_that_does_not_obey_us_is_refused_at_the_start(answers: dict[str, Any], words: str) -> None:
    rig = ChainRig(safe=SAFE)
    read = rig.chain.read

    async def other(method: str, *params: Any) -> Any:
        if method == "eth_getCode":
            return answers["code"]
        if method == "eth_call":
            name = "threshold" if len(params[0]["data"]) == 10 else "owner"
            return "0x" if answers[name] is None else hex(answers[name])
        return await read(method, *params)

    rig.chain.read = other  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=words):
        rig.run(rig.polygon.start())


def test_an_address_that_is_no_safe_is_refused_at_the_start() -> None:
    rig = ChainRig(safe=SAFE)

    def revert(*_: object) -> Any:
        raise CallRefused("execution reverted", 3, "0x")

    rig.chain._call = revert  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="is no Safe"):
        rig.run(rig.polygon.start())


def test_a_safe_that_obeys_us_is_taken_and_holds_the_positions() -> None:
    rig = ChainRig(safe=SAFE)
    rig.run(rig.polygon.start())
    assert rig.polygon.holder == SAFE.address
    other = ChainRig()
    other.polygon.close()
    assert other.polygon.holder == ACCOUNT


def test_a_question_is_answered_or_refused_with_the_contracts_reason() -> None:
    rig = ChainRig()

    async def main() -> tuple[bytes, int]:
        answer = await rig.polygon.ask(CONTRACT, b"x")
        rig.chain.fails = lambda _to, _data: "not so"
        with pytest.raises(Reverted, match="not so"):
            await rig.polygon.ask(CONTRACT, b"x", 0)

        def node_says(*_: object) -> Any:
            raise CallRefused("missing trie node", -32000)

        rig.chain._call = node_says  # type: ignore[method-assign]
        with pytest.raises(CallRefused, match="missing trie node"):
            await rig.polygon.ask(CONTRACT, b"x")
        return answer, await rig.polygon.head()

    assert rig.run(main())[0] == b""


def test_a_nodes_own_refusal_of_an_estimate_is_not_taken_for_the_contracts() -> None:
    rig = ChainRig(safe=SAFE)

    def node_says(*_: object) -> Any:
        raise CallRefused("method not allowed", -32601)

    rig.chain._estimateGas = node_says  # type: ignore[method-assign]

    async def main() -> None:
        with pytest.raises(CallRefused, match="method not allowed"):
            await rig.polygon.execute(FIVE)
        with pytest.raises(CallRefused, match="method not allowed"):
            await rig.polygon.execute(FIVE[:1])

    rig.run(main())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no reason given"),
        (bytes.fromhex("deadbeef") + bytes(32), "the contract's error 0xdeadbeef"),
        (bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big"), "panic 0x11: arithmetic overflow or underflow"),
        (bytes.fromhex("4e487b71") + (0x99).to_bytes(32, "big"), "panic 0x99: unknown"),
        (bytes.fromhex("08c379a0") + b"\x01", "an error that cannot be read: 0x08c379a001"),
        (bytes.fromhex(error_data("GS026")[2:]), "GS026 (a signature is not by an owner of the Safe)"),
    ],
)
def test_what_a_contract_gives_back_becomes_words(data: bytes, words: str) -> None:
    assert decode_revert(data) == words


@pytest.mark.parametrize(("selector", "words"), NAMED.items())
def test_a_named_error_has_the_selector_of_its_name(selector: str, words: str) -> None:
    assert selector == keccak(text=f"{words.partition(':')[0]}()")[:4].hex()
    assert decode_revert(bytes.fromhex(selector)) == words


@pytest.mark.parametrize(
    ("data", "reason", "reverts"),
    [
        (error_data("no"), "no", True),
        ({"data": error_data("no")}, "no", True),
        ({"result": error_data("no")}, "no", True),
        ({"other": 1}, "the node's words", False),
        ("0xzz", "the node's words", False),
        (None, "the node's words", False),
    ],
)
def test_revert_data_is_found_wherever_nodes_put_it(data: object, reason: str, reverts: bool) -> None:
    refused = CallRefused("the node's words", -32000, data)
    assert reason_of(refused) == reason
    assert is_revert(refused) is reverts
