"""Transactions in the journal: what is open, what is over, and facts that cannot follow each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import JournalDamaged
from arbkit.core.transaction import Fate, Work, approval_key, part, served_by
from arbkit.journal.fold import fold
from arbkit.journal.memory import MemoryJournal
from arbkit.journal.transactions import KEPT, Transactions

US = "0x" + "aa" * 20


def signed(key: str = "k", nonce: int = 0, hash: str = "0x1", **more: Any) -> tuple[str, str, dict[str, Any]]:
    said = {
        "account": US,
        "nonce": nonce,
        "hash": hash,
        "raw": "0x02",
        "max_fee": 100,
        "tip": 30,
        "cancels": False,
        "to": US,
        "data": "abcd",
        "value": str(10**20),
        "work": "merge",
        "gas": 90_000,
        "items": (),
    }
    return "transaction.signed", key, {**said, **more}


def mined(key: str = "k", hash: str = "0x1", *, ok: bool = True) -> tuple[str, str, dict[str, Any]]:
    said = {"account": US, "hash": hash, "block": 5, "block_hash": "0xb", "ok": ok, "gas_used": 80_000, "price": 60}
    return "transaction.mined", key, said


def end(fact: str, key: str = "k") -> tuple[str, str, dict[str, Any]]:
    return f"transaction.{fact}", key, {"account": US}


def folded(*facts: tuple[str, str, dict[str, Any]]) -> Transactions:
    journal = MemoryJournal()
    for at, (fact, key, data) in enumerate(facts):
        journal.append(at, fact, key, **data)
    return fold(journal.facts).transactions


def test_what_is_signed_is_open_until_it_is_final() -> None:
    (one,) = folded(signed(), signed(hash="0x2", max_fee=110, tip=33)).of(US)
    assert (one.nonce, one.last.hash, one.call.work, one.call.value) == (0, "0x2", Work.MERGE, 10**20)
    assert (one.fate, one.paid) == (Fate.PENDING, 0)
    (one,) = folded(signed(), mined()).of(US)
    assert (one.fate, one.is_final, one.paid) == (Fate.DONE, False, 80_000 * 60)
    book = folded(signed(), mined(), end("final"))
    assert book.of(US) == ()
    assert book.closed["k"].is_final


def test_what_was_mined_can_fail_be_cancelled_be_taken_back_or_displaced() -> None:
    assert folded(signed(), mined(ok=False)).of(US)[0].fate is Fate.REVERTED
    assert folded(signed(), signed(hash="0x2", cancels=True), mined(hash="0x2")).of(US)[0].fate is Fate.CANCELLED
    assert folded(signed(), mined(), end("reorged")).of(US)[0].mined is None
    assert folded(signed(), end("displaced")).closed["k"].fate is Fate.DISPLACED
    again = folded(signed(), end("displaced"), signed(nonce=4))
    assert again.of(US)[0].nonce == 4


def test_a_batch_is_found_by_what_is_in_it() -> None:
    batch = signed("batch", items=("a", "b"))
    book = folded(batch, signed("other", nonce=1))
    assert book.holding("b") == book.of(US)[0]
    assert book.holding("c") is None
    assert folded(batch, mined("batch"), end("final", "batch")).holding("a") is not None


def test_only_so_many_finished_ones_are_remembered() -> None:
    facts = []
    for number in range(KEPT + 5):
        facts += [signed(str(number), number), mined(str(number)), end("final", str(number))]
    book = folded(*facts)
    assert len(book.closed) == KEPT
    assert "4" not in book.closed
    assert "5" in book.closed


@pytest.mark.parametrize(
    "facts",
    [
        [mined()],
        [end("final")],
        [signed(), mined(hash="0x9")],
        [signed(), signed(nonce=1)],
        [signed(work="dancing")],
        [signed(data="no hex")],
        [("transaction.danced", "k", {"account": US})],
    ],
)
def test_facts_that_contradict_each_other_are_damage(facts: list[Any]) -> None:
    with pytest.raises(JournalDamaged):
        folded(*facts)


def test_an_attempt_that_is_not_there_is_not_found() -> None:
    with pytest.raises(KeyError):
        folded(signed()).of(US)[0].attempt("0x9")


keys = st.text(alphabet="ab:", min_size=1).filter(lambda key: not key.startswith("approve:"))


@given(what=st.text(alphabet="0x1"), key=keys, other=keys)
def test_an_approval_serves_the_call_that_it_was_given_for_and_no_other(what: str, key: str, other: str) -> None:
    name = approval_key(what, key)
    assert (served_by(name), served_by(key)) == (key, key)
    book = folded(
        signed(name), mined(name), signed("batch:b:0", 1, "0x3", items=(other, name)), mined("batch:b:0", "0x3")
    )
    assert [one.key for one in book.serving(key)] == [name, "batch:b:0"]
    assert sum(one.paid_for(key) for one in book.serving(key)) == 80_000 * 60 * (4 if other == key else 3) // 2
    assert [one.key for one in book.serving(other)] == ([name] if other == key else []) + ["batch:b:0"]
    assert book.serving(name) == ()


@given(total=st.integers(0, 10**20), parts=st.integers(1, 9))
def test_even_parts_are_the_whole_and_differ_by_one_at_most(total: int, parts: int) -> None:
    each = [part(total, parts, at) for at in range(parts)]
    assert (sum(each), each[0] - each[-1] in (0, 1)) == (total, True)
