"""What a trade came to, counted by hand: the legs' lots, what is even and complete, what undoing cost, the profit."""

from __future__ import annotations

import pytest

from arbkit.core.model import MultiLegTrade, Outcome, Purpose, Side
from arbkit.core.units import Cash, Size, cash, size
from arbkit.execution.accounting import (
    cash_of,
    closed,
    dust,
    is_complete,
    is_even,
    lot_of,
    min_size_of,
    refused,
    unwind_cost,
)
from tests.builders import replace
from tests.unit.risk.desk import NOW, a_trade, an_order, bought, put

LOT = "0.01"


def in_lots(trade: MultiLegTrade, *lots: str) -> MultiLegTrade:
    """The trade on markets that state these lots, and five of them as their smallest order."""
    for leg, lot in zip(trade.legs, lots, strict=True):
        market = replace(leg.book.market, lot=size(lot), min_size=Size(5 * size(lot)))
        trade = trade.with_leg(replace(leg, book=replace(leg.book, market=market)))
    return trade


def ended(trade: MultiLegTrade, unhedged: int | None = None) -> Cash:
    more = {} if unhedged is None else {"unhedged": unhedged}
    return closed(trade, Outcome.ESCALATED, started_at=1, entries_done_at=2, finished_at=3, **more).pnl


def test_a_leg_has_the_lot_and_the_smallest_order_of_its_market_or_else_of_the_basket() -> None:
    trade = a_trade()
    assert (lot_of(trade, trade.legs[0]), min_size_of(trade, trade.legs[0])) == (size("1"), size("1"))
    trade = in_lots(trade, LOT, "0.1")
    assert [lot_of(trade, leg) for leg in trade.legs] == [size("0.01"), size("0.1")]
    assert [min_size_of(trade, leg) for leg in trade.legs] == [size("0.05"), size("0.5")]
    assert dust(trade) == size("0.01")


@pytest.mark.parametrize(
    ("first", "second", "even"),
    [
        ("0", "0", True),
        ("0", "0.000001", False),
        ("0.000001", "0.000002", True),  # the smallest holding there is, and dust beside it
        ("50", "50.009999", True),
        ("50", "50.01", False),
        ("50.009999", "50", True),
    ],
)
def test_legs_are_even_within_dust_and_dust_against_nothing_is_not(first: str, second: str, even: bool) -> None:
    trade = in_lots(a_trade(), LOT, LOT)
    for leg, held in enumerate((first, second)):
        trade = bought(trade, leg, held) if held != "0" else trade
    assert is_even(trade) == even


def test_a_leg_that_misses_a_whole_lot_is_not_complete_and_one_that_misses_less_is() -> None:
    trade = bought(in_lots(a_trade(), LOT, LOT), 1, "100")
    assert is_complete(bought(trade, 0, "99.990001"))
    assert not is_complete(bought(trade, 0, "99.99"))


def test_profit_is_the_floor_of_whole_baskets_with_the_cash_and_what_an_escalated_trade_is_marked_at() -> None:
    trade = bought(bought(a_trade(), 0, "100", fee="0.5"), 1, "60")
    assert cash_of(trade) == cash("-73.5")
    assert ended(trade) == cash("-13.5")  # 60 baskets pay a dollar each
    assert ended(trade, cash("12")) == cash("-1.5")


def test_what_undoing_cost_is_measured_against_the_entry_and_without_one_against_the_decision() -> None:
    undo = {"side": Side.SELL, "purpose": Purpose.EXIT, "key": "sale"}
    trade = bought(a_trade(), 0, "100", limit="0.42")
    sold = put(trade, an_order(trade, 0, "50", "0.30", filled="50", fee="0.25", **undo))
    assert unwind_cost(sold) == cash("6.25")  # 50 times twelve cents, and the fee
    made_up = an_order(trade, 1, "100", "0.60", filled="100", purpose=Purpose.COMPLETE, key="completion")
    assert unwind_cost(put(trade, made_up)) == cash("5")  # decided at 0.55
    assert unwind_cost(trade) == 0


def test_a_result_says_when_it_began_and_ended_and_a_refused_one_ends_as_it_begins() -> None:
    result = closed(a_trade(), Outcome.MISSED, started_at=1, entries_done_at=2, finished_at=3, notes=["late"])
    assert (result.started_at, result.entries_done_at, result.finished_at, result.notes) == (1, 2, 3, ("late",))
    no = refused(a_trade(), "too large", NOW)
    assert (no.outcome, no.reason, no.started_at, no.entries_done_at, no.finished_at, no.pnl) == (
        Outcome.REFUSED,
        "too large",
        NOW,
        NOW,
        NOW,
        0,
    )
