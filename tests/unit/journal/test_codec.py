"""A fact has one spelling: what is written is read back equal, and whatever is spelled otherwise is refused."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arbkit.core.errors import JournalDamaged
from arbkit.journal.codec import DEPTH, Fact, decode, decode_block, digest, encode, fact_of, genesis, link
from arbkit.journal.memory import MemoryJournal

scalars = st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8)


def nested(depth: int) -> st.SearchStrategy[Any]:
    return scalars if depth == 0 else scalars | st.lists(nested(depth - 1), max_size=3).map(tuple)


facts = st.builds(
    fact_of,
    st.integers(-(2**63), 2**63),
    st.text(max_size=12),
    st.text(st.characters(), max_size=12),
    st.dictionaries(st.text(max_size=6), nested(DEPTH), max_size=4),
)


@given(facts)
def test_a_fact_is_read_back_equal(fact: Fact) -> None:
    assert decode(1, encode(fact)) == fact
    assert [*map(type, decode(1, encode(fact)).data.values())] == [*map(type, fact.data.values())]


@given(st.lists(facts, max_size=20))
def test_a_block_is_read_as_its_records_are_one_by_one(many: list[Fact]) -> None:
    assert decode_block(1, [encode(fact) for fact in many]) == many


@given(facts, st.data())
@example(fact_of(1, "a", "b", {"x": 1}), None)
def test_no_two_facts_are_spelled_alike(fact: Fact, data: st.DataObject | None) -> None:
    other = fact_of(1, "a", "b", {"x": True}) if data is None else data.draw(facts)
    assert (encode(fact) == encode(other)) == (repr(fact) == repr(other))


@given(st.dictionaries(st.text(max_size=6), st.integers(), max_size=5), st.randoms(use_true_random=False))
def test_the_order_in_which_data_is_named_is_not_spelled(data: dict[str, int], shuffled: Any) -> None:
    names = list(data)
    shuffled.shuffle(names)
    assert encode(fact_of(1, "a", "b", {name: data[name] for name in names})) == encode(fact_of(1, "a", "b", data))
    assert encode(Fact(1, "a", "b", {name: data[name] for name in names})) == encode(fact_of(1, "a", "b", data))


def test_the_spelling_is_plain_json_without_blanks() -> None:
    fact = fact_of(7, "order.sent", "k-1", {"why": 'a "b"\n', "attempt": 2, "caps": (1, (True, None))})
    assert encode(fact) == b'[7,"order.sent","k-1",{"attempt":2,"caps":[1,[true,null]],"why":"a \\"b\\"\\n"}]'
    assert json.loads(encode(fact)) == [
        7,
        "order.sent",
        "k-1",
        {"attempt": 2, "caps": [1, [True, None]], "why": 'a "b"\n'},
    ]


def test_enums_are_kept_as_what_they_stand_for() -> None:
    side = enum.IntEnum("Side", {"BUY": 1})
    word = enum.StrEnum("Word", {"FAK": "fak"})
    fact = fact_of(1, "order.intent", "k", {"side": side.BUY, "tif": word.FAK, "both": [side.BUY, word.FAK]})
    assert [type(value) for value in (fact.get("side"), fact.get("tif"))] == [int, str]
    assert fact.get("both") == (1, "fak")


@pytest.mark.parametrize("value", [1.0, float("nan"), {1}, {"a": 1}, object(), b"x", ((((((),),),),),)])
def test_a_value_without_one_exact_spelling_is_refused_when_it_is_appended(value: object) -> None:
    with pytest.raises(TypeError, match="not x="):
        MemoryJournal().append(1, "a", "b", x=value)


class Named(str):
    """A text of another type, which JSON knows nothing of."""

    __slots__ = ()


def test_what_is_nearly_a_text_or_a_list_is_kept_as_the_one_that_it_stands_for() -> None:
    kept = fact_of(1, "a", Named("k"), {"x": Named("é"), "y": [True, [None, Named("z")]], "\udfff": 1})
    assert kept == Fact(1, "a", "k", {"\\udfff": 1, "x": "é", "y": (True, (None, "z"))})
    assert type(kept.key) is type(kept.get("x")) is str


def test_half_a_surrogate_pair_from_a_venue_is_kept_in_words() -> None:
    fact = fact_of(1, "order.status", "k\ud800", {"reason": json.loads('"bad \\udfff"')})
    assert (fact.key, fact.get("reason")) == ("k\\ud800", "bad \\udfff")
    assert decode(1, encode(fact)) == fact


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"null", b'[1,"a","b"]', b'[1,"a","b",{},1]', b'["1","a","b",{}]', b'[true,"a","b",{}]',
        b'[1.0,"a","b",{}]', b'[1,"a","b",{"x":1.0}]', b'[1,"a","b",{"x":1.5}]', b'[1,"a","b",{"x":{}}]',
        b'[1,"a","b",{"x":1e3}]', b'[1,"a","b",{"x":NaN}]', b'[1, "a","b",{}]', b'[1,"a","b",{}]\n',
        b'[1,"a","b",{"y":1,"x":1}]', b'[1,"a","b",{"x":1,"x":1}]', b'[1,"a","\\u0062",{}]', b'[-0,"a","b",{}]',
        b'[1,"a","\xff",{}]', b'[1,"a","b",{}],[1,"a","b",{}]', b'[1,"a","b",{}]\n[1,"a","b",{}]',
        b'[1,"a","b",{"x":' + b"[" * 9 + b"]" * 9 + b"}]", b'[1,"a","b",{"x":' + b"[" * 100_000 + b"}]",
    ],
)  # fmt: skip
def test_what_is_spelled_in_any_other_way_is_refused_with_its_number(body: bytes) -> None:
    with pytest.raises(JournalDamaged, match="record 4 "):
        decode(4, body)
    good = encode(fact_of(1, "a", "b", {}))
    with pytest.raises(JournalDamaged, match="record 4 "):
        decode_block(3, [good, body, good])


def test_two_halves_of_a_record_are_not_one() -> None:
    whole = encode(fact_of(1, "a", "b", {"x": (1, 2)}))
    with pytest.raises(JournalDamaged, match="record 1 "):
        decode_block(1, [whole + b"\n" + whole[:5], whole[5:]])


@given(st.lists(facts, min_size=1, max_size=6), st.data())
def test_a_hash_follows_from_all_that_was_written_before(many: list[Fact], data: st.DataObject) -> None:
    def head(bodies: list[bytes], start: bytes) -> bytes:
        for body in bodies:
            start = link(start, body)
        return start

    start = genesis("me", "paper", "now")
    bodies = [encode(fact) for fact in many]
    place = data.draw(st.integers(0, len(bodies) - 1))
    bit = data.draw(st.integers(0, 8 * len(bodies[place]) - 1))
    flipped = bytearray(bodies[place])
    flipped[bit // 8] ^= 1 << bit % 8
    assert head([*bodies[:place], bytes(flipped), *bodies[place + 1 :]], start) != head(bodies, start)
    assert head(bodies[:-1], start) != head(bodies, start)
    assert head(bodies, genesis("me", "live", "now")) != head(bodies, start)


async def test_a_journal_in_memory_spells_as_a_file_does_and_is_durable_at_once() -> None:
    journal = MemoryJournal()
    journal.append(1, "fill", "k", size=3, price=400_000)
    journal.append(2, "trade.done", "t", pnl=-1)
    await journal.durable()
    await journal.durable(reducing=True)
    assert list(journal.lines()) == [encode(fact) + b"\n" for fact in journal.facts]
    assert journal.digest() == digest(journal.facts) != digest(journal.facts[:1])
    assert journal.of("t") == (Fact(2, "trade.done", "t", {"pnl": -1}),)
