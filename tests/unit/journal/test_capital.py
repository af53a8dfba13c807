"""Pairs and intents as a fold: what contradicts itself is refused, and no order of ends makes or loses a pair."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.capital import CapitalIntent, Charge, Payout, trade_of
from arbkit.core.errors import JournalDamaged
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import Cash, Size
from arbkit.journal.capital import CHARGED, Capital, Pairs
from arbkit.journal.codec import fact_of
from arbkit.journal.fold import fold

M = "alpha:m"


def test_gas_of_the_last_trades_is_remembered_one_by_one_and_of_all_in_sum() -> None:
    capital = Capital()
    for turn in range(CHARGED + 2):
        trade = "first" if turn in (0, CHARGED) else f"t{turn}"  # heard of again: it is among the last then
        fact, key, fields = wanted(Work.MERGE, 5, turn, trade)
        capital.apply(fact, key, fields)
        capital.apply(*done(key)[:2], {**done(key)[2], "wei": str(10**30), "again": True, "fate": Fate.REFUSED})
    assert len(capital.charged) == CHARGED
    assert capital.charged["first"] == Charge(Cash(6), 2 * 10**30)
    assert "t1" not in capital.charged
    assert capital.gas == 3 * (CHARGED + 2)


@given(trade=st.text(alphabet="ab:.", min_size=1), turn=st.integers(0, 99))
def test_the_trade_of_an_intent_is_read_from_its_key(trade: str, turn: int) -> None:
    assert trade_of(CapitalIntent(Work.MERGE, trade, M, Size(1), Size(1), turn).key) == trade


def wanted(work: Work, size: int, turn: int, trade: str = "t") -> tuple[str, str, dict[str, Any]]:
    fields = {"work": work, "trade": trade, "market": M, "yes": size, "no": size, "turn": turn}
    return "capital.intent", f"{work.value}:{trade}:{turn}", fields


def done(key: str, fate: Fate = Fate.DONE, *, again: bool = False) -> tuple[str, str, dict[str, Any]]:
    fields = {"venue": "alpha", "fate": fate, "reason": "why", "gas": 3, "again": again, "cash": 0, "moved": ()}
    return "capital.done", key, fields


@pytest.mark.parametrize(
    "wrong",
    [
        {"work": Work.APPROVE},
        {"yes": Size(-1), "no": Size(-1)},
        {"yes": Size(0), "no": Size(0)},
        {"yes": Size(1)},
    ],
)
def test_an_intent_that_moves_nothing_or_no_pairs_is_none(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"work": Work.MERGE, "trade": "t", "market": M, "yes": Size(2), "no": Size(2), "turn": 0}
    assert CapitalIntent(**fields).key == "merge:t:0"
    with pytest.raises(ValueError, match="move"):
        CapitalIntent(**(fields | wrong))


def test_a_redeem_may_be_of_one_side_alone_and_moves_that_one() -> None:
    intent = CapitalIntent(Work.REDEEM, "t", M, Size(0), Size(7), 4)
    assert (intent.moves, intent.venue) == (((f"{M}:no", -7),), "alpha")


def test_each_side_is_paid_rounded_down() -> None:
    assert Payout(1, 2, 3).of(4, 4) == 1 + 2


@pytest.mark.parametrize(
    "facts",
    [
        [wanted(Work.MERGE, 5, 0), wanted(Work.MERGE, 5, 0)],
        [("capital.intent", "merge:t:1", wanted(Work.MERGE, 5, 0)[2])],
        [done("merge:t:0")],
        [wanted(Work.MERGE, 5, 0), done("merge:t:0"), done("merge:t:0")],
    ],
    ids=["twice", "another's key", "never wanted", "two ends"],
)
def test_facts_that_contradict_each_other_are_damage(facts: list[tuple[str, str, dict[str, Any]]]) -> None:
    with pytest.raises(JournalDamaged):
        fold([fact_of(0, fact, key, fields) for fact, key, fields in facts])


def test_a_trade_cannot_begin_with_pairs_that_are_not_there() -> None:
    capital = Capital(pairs={M: Pairs("t", 5)})
    with pytest.raises(ValueError, match="6 pairs at alpha:m, where 5 are"):
        capital.take(M, 6)
    capital.take(M, 2)
    assert capital.pairs[M].size == 3
    capital.take(M, 3)
    assert M not in capital.pairs


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Work.SPLIT, Work.MERGE]),
            st.integers(1, 50),
            st.sampled_from([Fate.DONE, Fate.REVERTED, Fate.REFUSED]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_pairs_are_what_was_split_less_what_was_merged_and_a_replay_says_the_same(
    steps: list[tuple[Work, int, Fate, bool]],
) -> None:
    capital, facts, expected = Capital(), [], 0
    for turn, (work, size, fate, again) in enumerate(steps):
        held = capital.pairs[M].size if M in capital.pairs else 0
        size = min(size, held) if work is Work.MERGE else size
        if not size:
            continue
        first = wanted(work, size, turn)
        for fact, key, fields in (first, done(first[1], fate, again=again)):
            capital.apply(fact, key, fields)
            facts.append(fact_of(0, fact, key, fields))
        expected += (size if work is Work.SPLIT else -size) if fate is Fate.DONE else 0
        assert (capital.pairs[M].size if M in capital.pairs else 0) == expected
        assert not capital.open
    assert fold(facts).capital == capital
    assert capital.gas == 3 * len(facts) // 2
