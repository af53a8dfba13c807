from dataclasses import replace

import pytest

from arbkit.core.errors import ConfigError, DataError
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Kind, Market, MarketTable, Pair
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.baskets import baskets, payoffs

CENT = ((0, Grid.of_tick("0.01")),)


def market(name: str, **fields: object) -> Market:
    known: dict[str, object] = {
        "venue": "kalshi",
        "id": name,
        "event": "game",
        "payout": Cash(MICRO),
        "exclusive": True,
        "exhaustive": True,
        "void": "half",
        "grids": CENT,
        "lot": Size(MICRO),
        "min_size": Size(MICRO),
    }
    return Market(**{**known, **fields})  # type: ignore[arg-type]


def table(*markets: Market, pairs: tuple[Pair, ...] = ()) -> MarketTable:
    books = [
        Book(2 * i + j, m, "no" if j else "yes", 2 * i + 1 - j, recorded=not j)
        for i, m in enumerate(markets)
        for j in range(2)
    ]
    return MarketTable(markets, tuple(books), pairs)


def names(found: list) -> list[str]:
    return [basket.id for basket in found]


def test_a_market_alone_has_its_complement_and_nothing_else() -> None:
    (only,) = baskets(table(market("a", event=None)))
    assert only.id == "complement:kalshi:a"
    assert [leg.name for leg in only.legs] == ["kalshi:a:yes", "kalshi:a:no"]
    assert only.floor == MICRO
    assert [row.total for row in payoffs(only)] == [MICRO] * 3


def test_a_game_of_two_markets_is_bought_from_either_side() -> None:
    yes, no = baskets(table(market("nyk"), market("lac")), kinds=["outcomes"])
    assert names([yes, no]) == ["outcomes:game:yes", "outcomes:game:no"]
    assert (yes.floor, no.floor) == (MICRO, MICRO)
    assert [leg.outcome for leg in no.legs] == ["no", "no"]
    assert {row.state: row.total for row in payoffs(yes)} == {"nyk wins": MICRO, "lac wins": MICRO, "void": MICRO}


def test_the_bid_side_of_three_outcomes_pays_two_dollars_and_a_void_takes_half_a_dollar_of_it() -> None:
    three = [market(name, void="none") for name in "abc"]
    assert [b.floor for b in baskets(table(*three), kinds=["outcomes"])] == [MICRO, 2 * MICRO]
    three = [replace(m, void="half") for m in three]
    yes, no = baskets(table(*three), kinds=["outcomes"])
    assert yes.floor == MICRO
    assert no.floor == 1_500_000
    assert min(payoffs(no), key=lambda row: row.total).state == "void"


def test_a_void_that_spares_one_market_of_the_event_counts_at_its_worst() -> None:
    yes, no = baskets(table(market("a"), market("b", void="none")), kinds=["outcomes"])
    assert {row.state: row.total for row in payoffs(yes)} == {
        "a wins": MICRO,
        "b wins": MICRO,
        "void, the rest lose": MICRO // 2,
        "void, but b wins": 3 * MICRO // 2,
    }
    assert yes.floor == no.floor == MICRO // 2


def test_an_event_where_none_may_win_has_only_a_bid_side() -> None:
    loose = [market(name, exhaustive=False) for name in "ab"]
    (only,) = baskets(table(*loose), kinds=["outcomes"])
    assert only.id == "outcomes:game:no"
    assert "none of them wins" in [row.state for row in payoffs(only)]
    assert only.floor == MICRO


def test_an_event_where_several_may_win_has_only_an_ask_side() -> None:
    (only,) = baskets(table(*[market(name, exclusive=False) for name in "ab"]), kinds=["outcomes"])
    assert only.id == "outcomes:game:yes"
    assert payoffs(only)[2] == ("all of them win", (MICRO, MICRO))
    assert only.floor == MICRO


def test_an_event_that_is_neither_gives_no_basket() -> None:
    loose = [market(name, exclusive=False, exhaustive=False) for name in "ab"]
    assert baskets(table(*loose), kinds=["outcomes"]) == []


@pytest.mark.parametrize("field", ["exclusive", "exhaustive", "payout", "void", "lot", "min_size"])
def test_an_unknown_field_is_refused_by_name(field: str) -> None:
    with pytest.raises(DataError, match=f"market kalshi:b: `{field}` is unknown"):
        baskets(table(market("a"), market("b", **{field: None})), kinds=["outcomes"])


def test_an_unknown_tick_is_refused_by_the_name_it_has_in_the_file() -> None:
    with pytest.raises(DataError, match="market kalshi:a: `tick` is unknown"):
        baskets(table(market("a", grids=())))


@pytest.mark.parametrize("void", ["refund", "last_price"])
def test_a_void_that_pays_back_locks_nothing(void: str) -> None:
    with pytest.raises(DataError, match=f"market kalshi:a: `void` = '{void}'"):
        baskets(table(market("a", void=void)))


def test_a_payout_other_than_a_dollar_is_refused() -> None:
    with pytest.raises(DataError, match="kalshi:a: `payout`"):
        baskets(table(market("a", payout=Cash(2 * MICRO))))


def test_unknown_events_are_refused_where_they_alone_leave_nothing() -> None:
    lost = table(market("a", event=None), market("b", event=None))
    with pytest.raises(DataError, match="market kalshi:a: `event` is unknown"):
        baskets(lost, kinds=["outcomes"])
    assert len(baskets(lost)) == 2


def test_a_kind_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="straddle"):
        baskets(table(market("a")), kinds=["straddle"])


def test_one_event_on_two_venues_is_two_baskets_with_names_of_their_own() -> None:
    both = [market(name, venue=venue) for venue in ("kalshi", "polymarket") for name in "ab"]
    found = baskets(table(*both), kinds=["outcomes"])
    assert names(found) == [
        "outcomes:game@kalshi:yes",
        "outcomes:game@kalshi:no",
        "outcomes:game@polymarket:yes",
        "outcomes:game@polymarket:no",
    ]


@pytest.mark.parametrize(
    ("polarity", "sides"),
    [("same", [("yes", "no"), ("no", "yes")]), ("opposite", [("yes", "yes"), ("no", "no")])],
)
def test_a_pair_is_bought_on_both_sides_of_its_polarity(polarity: str, sides: list[tuple[str, str]]) -> None:
    a, b = market("a"), market("b", venue="polymarket")
    found = baskets(table(a, b, pairs=(Pair(a, b, polarity),)), kinds=["cross_venue"])  # type: ignore[arg-type]
    assert [tuple(leg.outcome for leg in basket.legs) for basket in found] == sides
    assert [basket.floor for basket in found] == [MICRO, MICRO]
    assert {basket.kind for basket in found} == {Kind.CROSS_VENUE}


def test_where_only_one_venue_voids_the_other_may_pay_nothing() -> None:
    a, b = market("a"), market("b", venue="polymarket", void="none")
    for basket in baskets(table(a, b, pairs=(Pair(a, b, "same"),)), kinds=["cross_venue"]):
        assert basket.floor == MICRO // 2
        assert len(payoffs(basket)) == 4
    for basket in baskets(table(b, a, pairs=(Pair(b, a, "opposite"),)), kinds=["cross_venue"]):
        assert basket.floor == MICRO // 2


def test_the_smallest_size_and_the_lot_are_legal_on_every_leg() -> None:
    a = market("a", lot=Size(2_000_000), min_size=Size(2_000_000))
    b = market("b", venue="polymarket", lot=Size(3_000_000), min_size=Size(7_000_000))
    basket, _ = baskets(table(a, b, pairs=(Pair(a, b, "same"),)), kinds=["cross_venue"])
    assert (basket.lot, basket.min_size) == (6_000_000, 12_000_000)


def test_guesses_a_basket_rests_on_are_named() -> None:
    a = market("a", assumed=frozenset({"void", "tick", "exhaustive", "fee_rule", "resolution"}))
    yes, no = baskets(table(a, market("b")), kinds=["outcomes"])
    assert yes.assumed == ("kalshi:a.void", "kalshi:a.tick", "kalshi:a.exhaustive", "kalshi:a.fee_rule")
    assert no.assumed == ("kalshi:a.void", "kalshi:a.tick", "kalshi:a.fee_rule")


def test_a_tape_stands_for_its_markets() -> None:
    class Tape:
        markets = table(market("a"))

    assert names(baskets(Tape())) == ["complement:kalshi:a"]
