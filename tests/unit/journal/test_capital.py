"""Pairs and intents as a fold: what contradicts itself is refused, and no order of ends makes or loses a pair."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.capital import CapitalIntent, Charge, Payout, no_markets, trade_of
from arbkit.core.errors import JournalDamaged
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    ExecutionResult,
    ExecutionStrategy,
    Kind,
    MultiLegTrade,
    Outcome,
    Side,
    TradeLeg,
)
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.journal.capital import CHARGED, Capital, NoSet, Pairs
from arbkit.journal.codec import decode, encode, fact_of
from arbkit.journal.fold import NamedBooks, fold

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


def a_trade(name: str, kind: Kind = Kind.COMPLEMENT, books: tuple[str, ...] = (f"{M}:yes", f"{M}:no")) -> MultiLegTrade:
    known = NamedBooks()
    legs = tuple(known[book] for book in books)
    basket = Basket("b", kind, "e", legs, Cash(MICRO), Size(1), Size(1))
    found = ArbitrageOpportunity("o", basket, 0, Size(1), Cash(0), Cash(0))
    sides = tuple(TradeLeg(at, book, Side.BUY, Size(1), Cash(1), Price(1)) for at, book in enumerate(legs))
    return MultiLegTrade(name, found, ExecutionStrategy.MARKET, sides)


def test_gas_that_a_result_has_stays_on_it_when_what_is_remembered_of_its_trade_has_begun_anew() -> None:
    capital = Capital()

    def charge(trade: str, turn: int, gas: int) -> None:
        fact, key, fields = wanted(Work.MERGE, 5, turn, trade)
        capital.apply(fact, key, fields)
        ended = {**done(key)[2], "gas": gas, "wei": str(gas * 10), "again": True, "fate": Fate.REFUSED}
        capital.apply("capital.done", key, ended)

    charge("old", 0, 7)
    result = capital.with_gas(ExecutionResult(a_trade("old"), Outcome.COMPLETED, pnl=Cash(100)))
    assert (result.gas, result.gas_wei, result.pnl) == (7, 70, 93)
    for turn in range(1, CHARGED + 1):
        charge(f"t{turn}", turn, 1)
    assert capital.with_gas(result) == result  # forgotten, and not taken for nothing
    charge("old", CHARGED + 1, 2)
    assert capital.charged["old"] == Charge(Cash(2), 20)
    assert capital.with_gas(result) == result


@given(
    had=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    known=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    pnl=st.integers(-99, 99),
)
def test_a_result_that_is_brought_up_to_date_never_has_less_gas_and_what_it_made_before_gas_stays(
    had: tuple[int, int], known: tuple[int, int] | None, pnl: int
) -> None:
    capital = Capital()
    if known is not None:
        capital.charged["t"] = Charge(Cash(known[0]), known[1])
    before = ExecutionResult(a_trade("t"), Outcome.COMPLETED, gas=Cash(had[0]), gas_wei=had[1], pnl=Cash(pnl))
    after = capital.with_gas(before)
    assert (after.gas, after.gas_wei) == tuple(max(pair) for pair in zip(had, known or (0, 0), strict=True))
    assert after.pnl + after.gas == before.pnl + before.gas
    assert capital.with_gas(after) == after


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


# -- conversions -----------------------------------------------------------------------------------------------------

A, B, C = "alpha:a", "alpha:b", "alpha:c"


def converted(no: int, turn: int, *taken: str, made: tuple[str, ...] = ()) -> tuple[str, str, dict[str, Any]]:
    fields = {"work": Work.CONVERT, "trade": "t", "market": taken[0], "yes": no - no // 2, "no": no, "turn": turn}
    return "capital.intent", f"convert:t:{turn}", {**fields, "taken": taken, "made": made}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"taken": (A,)}, "at least two markets"),
        ({"market": B}, "named after the first"),
        ({"taken": (A, A)}, "each market once"),
        ({"made": (B,)}, "each market once"),
        ({"made": ("beta:c",)}, "of several"),
        ({"yes": Size(0)}, "moves 7 NO for 0"),
        ({"yes": Size(8)}, "moves 7 NO for 8"),
        ({"work": Work.MERGE, "yes": Size(7)}, "moves one market's shares"),
    ],
)
def test_a_conversion_takes_no_of_several_markets_of_a_venue_and_gives_no_more_than_it_takes(
    wrong: dict[str, Any], says: str
) -> None:
    fields: dict[str, Any] = {"work": Work.CONVERT, "trade": "t", "market": A, "yes": Size(6), "no": Size(7), "turn": 0}
    fields |= {"taken": (A, B), "made": (C,)}
    intent = CapitalIntent(**fields)
    assert intent.moves == ((f"{A}:no", -7), (f"{B}:no", -7), (f"{C}:yes", 6))
    assert (intent.markets, intent.key, trade_of(intent.key)) == ((A, B, C), "convert:t:0", "t")
    with pytest.raises(ValueError, match=says):
        CapitalIntent(**(fields | wrong))


def test_a_conversion_takes_from_its_own_set_alone_and_what_a_trade_adds_meanwhile_stays() -> None:
    capital = Capital(pairs={A: Pairs("p", 5)}, sets={(A, B): NoSet("t", 7), (A, B, C): NoSet("u", 3)})
    capital.apply(*converted(7, 0, A, B, made=(C,)))
    assert [capital.moving(market) for market in (A, B, C, "alpha:d")] == [True, True, True, False]
    capital.sets[A, B] = NoSet("v", 9)
    capital.apply(*done("convert:t:0"))
    assert capital.sets == {(A, B): NoSet("v", 2), (A, B, C): NoSet("u", 3)}
    assert capital.pairs == {A: Pairs("p", 5)}
    capital.apply(*converted(2, 1, A, B))
    capital.apply(*done("convert:t:1"))
    assert capital.sets == {(A, B, C): NoSet("u", 3)}


def test_a_conversion_read_from_a_journals_lines_is_the_one_that_was_written() -> None:
    fact, key, fields = converted(7, 3, A, B, made=(C,))
    kept = decode(1, encode(fact_of(0, fact, key, fields)))
    assert fold([kept]).capital.open[key] == CapitalIntent(Work.CONVERT, "t", A, Size(4), Size(7), 3, (A, B), (C,))


def test_a_redeem_leaves_no_set_of_its_market_and_a_merge_leaves_them() -> None:
    capital = Capital(sets={(M, B): NoSet("t", 7), (A, B): NoSet("u", 3)})
    capital.apply(*wanted(Work.MERGE, 1, 0))
    capital.apply(*done("merge:t:0"))
    assert len(capital.sets) == 2
    capital.apply(*wanted(Work.REDEEM, 1, 1))
    capital.apply(*done("redeem:t:1"))
    assert capital.sets == {(A, B): NoSet("u", 3)}


@pytest.mark.parametrize(("again", "failed"), [(False, {A: "why"}), (True, {})])
def test_a_refused_conversion_keeps_its_set_and_bars_its_first_market_until_it_is_released(
    again: bool, failed: dict[str, str]
) -> None:
    capital = Capital(sets={(A, B): NoSet("t", 7)})
    capital.apply(*converted(7, 0, A, B))
    capital.apply(*done("convert:t:0", Fate.REVERTED, again=again))
    assert (capital.sets, capital.failed, capital.open) == ({(A, B): NoSet("t", 7)}, failed, {})
    capital.apply("capital.released", A, {})
    assert capital.failed == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([(A, B), (A, B, C), (B, C)]),
            st.integers(1, 50),
            st.sampled_from([Fate.DONE, Fate.REVERTED, Fate.REFUSED]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_sets_are_what_was_there_less_what_was_converted_whatever_else_is_under_way(
    steps: list[tuple[tuple[str, ...], int, Fate, bool]],
) -> None:
    capital = Capital(sets={markets: NoSet("t", 100) for markets in ((A, B), (A, B, C), (B, C))})
    left = dict.fromkeys(capital.sets, 100)
    for turn, (markets, size, fate, again) in enumerate(steps):
        size = min(size, left[markets])
        if not size:
            continue
        capital.apply(*converted(size, turn, *markets))
        capital.apply(*done(f"convert:t:{turn}", fate, again=again))
        left[markets] -= size if fate is Fate.DONE else 0
        assert {name: one.size for name, one in capital.sets.items()} == {name: n for name, n in left.items() if n}
        assert not capital.open


# -- claims ----------------------------------------------------------------------------------------------------------


def with_claims(*claims: tuple[str, int]) -> Capital:
    """Return five pairs at A (wanted) and sets of 7, 3 and 2 that overlap there, after claims of one book each."""
    sets = {(A, B, C): NoSet("u", 7), (A, C): NoSet("v", 3), (A, B): NoSet("t", 2), (B, C): NoSet("w", 9)}
    capital = Capital(pairs={A: Pairs("p", 5, wanted=True)}, sets=sets)
    for claim in claims:
        capital.adjusted([claim])
    return capital


@pytest.mark.parametrize(
    ("claims", "pairs", "sets", "parted"),
    [
        ([(f"{A}:yes", -2)], 3, [7, 3, 2], {f"{A}:no": 2}),
        ([(f"{A}:no", -2)], 3, [7, 3, 2], {f"{A}:yes": 2}),
        ([(f"{A}:yes", -9)], 0, [7, 3, 2], {f"{A}:no": 5}),
        ([(f"{A}:no", -6)], 0, [7, 3, 1], {f"{A}:yes": 5, f"{B}:no": 1}),
        ([(f"{A}:no", -9)], 0, [7, 1, 0], {f"{A}:yes": 5, f"{B}:no": 2, f"{C}:no": 2}),
        ([(f"{A}:no", -40)], 0, [0, 0, 0], {f"{A}:yes": 5, f"{B}:no": 9, f"{C}:no": 10}),
        ([(f"{A}:yes", 4), (f"{A}:no", 4), (f"{B}:no", 4)], 5, [7, 3, 2], {}),
        ([("beta:a:no", -4), (f"{C}:yes", -4)], 5, [7, 3, 2], {}),
    ],
)
def test_what_a_claim_takes_breaks_pairs_first_then_the_smallest_sets_of_that_market_alone(
    claims: list[tuple[str, int]], pairs: int, sets: list[int], parted: dict[str, int]
) -> None:
    capital = with_claims(*claims)
    assert capital.pairs == ({A: Pairs("p", pairs, wanted=True)} if pairs else {})
    names = {(A, B, C): "u", (A, C): "v", (A, B): "t"}
    left = {markets: NoSet(trade, size) for (markets, trade), size in zip(names.items(), sets, strict=True) if size}
    assert capital.sets == {**left, (B, C): NoSet("w", 9)}
    assert capital.parted == parted


def test_pairs_merged_and_a_set_sold_by_hand_are_gone_once_however_many_claims_tell_of_it() -> None:
    both = [(f"{A}:yes", -2), (f"{A}:no", -2)]
    capital = with_claims(*both)
    assert (capital.pairs[A].size, capital.parted) == (3, {})
    assert with_claims(*reversed(both)) == capital
    capital = Capital(sets={(A, B, C): NoSet("t", 100)})
    for market in (C, A, B):
        capital.adjusted([(f"{market}:no", -30)])
        assert capital.sets == {(A, B, C): NoSet("t", 70)}
    assert capital.parted == {}


def test_of_pairs_that_a_claim_broke_all_of_nothing_is_left() -> None:
    capital = with_claims((f"{A}:yes", -5))
    assert A not in capital.pairs
    assert capital.whole(A) == 0


def test_a_claim_while_a_merge_and_a_split_have_no_end_leaves_what_is_certain_when_they_have() -> None:
    capital = Capital(pairs={M: Pairs("p", 7)})
    capital.apply(*wanted(Work.MERGE, 5, 0))
    capital.apply(*wanted(Work.SPLIT, 4, 1))
    capital.adjusted([(f"{M}:yes", -3)])
    assert capital.pairs == {M: Pairs("p", 4)}
    capital.apply(*done("merge:t:0"))  # all five were there: those that are gone were others
    assert (capital.pairs, capital.parted) == ({}, {f"{M}:no": 2})
    capital.apply(*done("split:t:1"))
    assert capital.pairs == {M: Pairs("t", 4, wanted=True)}


def test_a_redeem_parts_the_sets_of_its_market_and_what_was_parted_there_is_gone() -> None:
    capital = Capital(pairs={M: Pairs("p", 5)}, sets={(M, B): NoSet("t", 7), (M, B, C): NoSet("u", 3)})
    capital.adjusted([(f"{M}:yes", -1)])
    capital.apply(*wanted(Work.REDEEM, 1, 0))
    capital.apply(*done("redeem:t:0"))
    assert (capital.pairs, capital.sets, capital.parted) == ({}, {}, {f"{B}:no": 10, f"{C}:no": 3})


MARKETS, SETS = (A, B, C), ((A, B), (A, B, C), (B, C))
BOOKS = tuple(f"{market}:{outcome}" for market in MARKETS for outcome in ("yes", "no"))
moves = st.one_of(
    st.tuples(st.just("bought"), st.sampled_from(BOOKS), st.integers(1, 20)),
    st.tuples(st.just("claimed"), st.sampled_from(BOOKS), st.integers(1, 20)),
    st.tuples(st.sampled_from(["split", "merge", "redeem"]), st.sampled_from(MARKETS), st.integers(1, 20)),
    st.tuples(st.sampled_from(["trade", "convert"]), st.sampled_from(SETS), st.integers(1, 20)),
)


def counted(capital: Capital, book: str) -> int:
    """Return how many shares of a book stand in pairs and sets."""
    market, _, outcome = book.rpartition(":")
    sets = sum(one.size for markets, one in capital.sets.items() if market in markets)
    return capital.whole(market) + (sets if outcome == "no" else 0)


@given(st.lists(moves, max_size=30))
def test_pairs_and_sets_never_count_on_more_than_books_hold_whatever_a_person_sells_and_buys(
    steps: list[tuple[str, Any, int]],
) -> None:
    capital, held = Capital(), dict.fromkeys(BOOKS, 0)

    def settled(intent: CapitalIntent) -> None:
        fields = {"work": intent.work, "trade": "t", "market": intent.market, "yes": intent.yes, "no": intent.no}
        several = {"taken": intent.taken, "made": intent.made}
        capital.apply("capital.intent", intent.key, {**fields, "turn": intent.turn, **several})
        capital.apply(*done(intent.key))
        for book, change in intent.moves:
            held[book] += change

    for turn, (step, where, size) in enumerate(steps):
        if step == "trade":
            capital.sets[where] = NoSet("t", capital.sets.get(where, NoSet("", 0)).size + size)
            for market in where:
                held[f"{market}:no"] += size
        elif step == "convert":
            if size := min(size, capital.sets.get(where, NoSet("", 0)).size):
                made = tuple(market for market in MARKETS if market not in where)
                settled(CapitalIntent(Work.CONVERT, "t", where[0], Size(size), Size(size), turn, where, made))
        elif step == "split":
            settled(CapitalIntent(Work.SPLIT, "t", where, Size(size), Size(size), turn))
        elif step == "merge":
            if size := min(size, capital.whole(where)):
                settled(CapitalIntent(Work.MERGE, "t", where, Size(size), Size(size), turn))
        elif step == "redeem":
            if held[f"{where}:yes"] + held[f"{where}:no"]:
                both = Size(held[f"{where}:yes"]), Size(held[f"{where}:no"])
                settled(CapitalIntent(Work.REDEEM, "t", where, *both, turn))
        elif step == "bought":
            before = {book: counted(capital, book) for book in BOOKS}
            held[where] += size
            capital.adjusted([(where, size)])
            assert {book: counted(capital, book) for book in BOOKS} == before
        else:
            size = min(size, held[where])
            whole, parted = counted(capital, where), capital.parted.get(where, 0)
            held[where] -= size
            capital.adjusted([(where, -size)])
            assert whole - counted(capital, where) == min(whole, max(0, size - parted))
        assert all(one.size > 0 for one in (*capital.pairs.values(), *capital.sets.values()))
        assert all(size > 0 for size in capital.parted.values())
        for book in BOOKS:
            assert counted(capital, book) + capital.parted.get(book, 0) <= held[book], (step, book)


@pytest.mark.parametrize(
    ("kind", "books", "markets"),
    [
        (Kind.OUTCOMES, (f"{A}:no", f"{B}:no"), (A, B)),
        (Kind.OUTCOMES, (f"{A}:no",), ()),
        (Kind.OUTCOMES, (f"{A}:no", f"{B}:yes"), ()),
        (Kind.OUTCOMES, (f"{A}:yes", f"{B}:yes"), ()),
        (Kind.OUTCOMES, (f"{A}:no", f"{A}:no"), ()),
        (Kind.OUTCOMES, (f"{A}:no", "beta:b:no"), ()),
        (Kind.CROSS_VENUE, (f"{A}:no", f"{B}:no"), ()),
    ],
)
def test_a_set_is_no_of_several_markets_of_one_event_at_one_venue(
    kind: Kind, books: tuple[str, ...], markets: tuple[str, ...]
) -> None:
    assert no_markets(a_trade("t", kind, books)) == markets
