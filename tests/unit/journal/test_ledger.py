"""The account that the journal keeps: what a fill does to cash and shares, and that a void undoes exactly that."""

from __future__ import annotations

import pytest

from arbkit.core.model import Fill, Order, Side
from arbkit.core.units import cash, price, size
from arbkit.journal.ledger import Ledger, money_of_fill
from tests.unit.risk.desk import a_trade, an_order

BOUGHT, SOLD = (an_order(a_trade(), side=side) for side in (Side.BUY, Side.SELL))


def a_fill(at: str = "0.40", shares: str = "100", fee: str = "0.25") -> Fill:
    return Fill("f", price(at), size(shares), cash(fee), 0, 0, False)


@pytest.mark.parametrize(
    ("order", "fill", "money"),
    [
        (BOUGHT, a_fill(), "-40.25"),
        (SOLD, a_fill(), "39.75"),
        (BOUGHT, a_fill("0.333333", "0.5", "0"), "-0.166667"),  # half a millionth more is paid
        (SOLD, a_fill("0.333333", "0.5", "0"), "0.166666"),  # and half a millionth less received
    ],
)
def test_a_fill_costs_its_price_and_its_fee_and_rounds_against_us(order: Order, fill: Fill, money: str) -> None:
    assert money_of_fill(order, fill) == cash(money)


def test_balances_are_counted_from_what_was_there_at_the_opening() -> None:
    ledger = Ledger()
    ledger.open("alpha", cash("1000"), [("alpha:m:yes", size("5"))])
    ledger.book(BOUGHT, a_fill())
    assert (ledger.opened, ledger.cash) == (["alpha"], {"alpha": cash("959.75")})
    assert ledger.shares == {"alpha:m:yes": size("105")}
    ledger.book(SOLD, a_fill(shares="105"))
    assert ledger.cash == {"alpha": cash("1001.5")}
    assert ledger.shares == {}  # zeros are not kept


def test_a_void_takes_back_what_its_fill_did_and_nothing_else() -> None:
    for order in (BOUGHT, SOLD):
        ledger = Ledger(cash={"alpha": 7}, shares={"alpha:m:yes": 9})
        ledger.book(order, a_fill())
        ledger.unbook(order, a_fill())
        assert (ledger.cash, ledger.shares) == ({"alpha": 7}, {"alpha:m:yes": 9})


def test_a_difference_that_is_claimed_is_added_to_what_is_there() -> None:
    ledger = Ledger()
    for _ in range(2):
        ledger.adjust("alpha", -3, [("alpha:m:yes", 5), ("alpha:m:no", -2)])
    assert (ledger.cash, ledger.shares) == ({"alpha": -6}, {"alpha:m:yes": 10, "alpha:m:no": -4})
    assert ledger.opened == []


def test_a_venue_that_was_not_opened_starts_from_nothing() -> None:
    ledger = Ledger()
    ledger.book(BOUGHT, a_fill(fee="0"))
    assert (ledger.opened, ledger.cash) == ([], {"alpha": cash("-40")})


def test_a_ledger_keeps_nothing_under_a_mistyped_name() -> None:
    with pytest.raises(AttributeError):
        Ledger().share = {}  # type: ignore[attr-defined]
