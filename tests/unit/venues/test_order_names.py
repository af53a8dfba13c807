"""An order's name at its venue is fixed by its intent: the same after a crash, another one for any other intent."""

from __future__ import annotations

import json
import traceback
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import ConfigError
from arbkit.core.model import Order, OrderStatus, Side, TimeInForce
from arbkit.core.units import NS_PER_MS, Price, Size
from arbkit.journal.fold import named_books
from arbkit.venues.order_names import Holder, PolymarketOrder, kalshi_client_order_id, salt_of
from tests.builders import replace
from tests.rig import Rig

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "orders" / "polymarket_hashes.json").read_text()
)["orders"]
TOKEN = int(CASES[0]["order"]["tokenId"])
HOLDER = Holder(CASES[0]["order"]["maker"], CASES[0]["order"]["signer"])


def read(case: dict[str, Any]) -> PolymarketOrder:
    said = case["order"]
    return PolymarketOrder(
        said["salt"],
        said["maker"],
        said["signer"],
        int(said["tokenId"]),
        int(said["makerAmount"]),
        int(said["takerAmount"]),
        Side[said["side"]],
        said["signatureType"],
        int(said["timestamp"]),
        said["metadata"],
        said["builder"],
    )


def an_order(**changes: Any) -> Order:
    book = Rig().table.books[0]
    order = Order("trade.0.entry.0", book, Side.BUY, Price(450_000), Size(10_000_000), TimeInForce.FAK)
    return replace(order, **changes)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_polymarket_order_is_named_as_the_venue_names_it(case: dict[str, Any]) -> None:
    assert read(case).hash(case["exchange"]) == case["order_hash"]


def test_the_terms_of_an_order_are_those_of_the_first_golden_case_but_for_its_number() -> None:
    golden = read(CASES[0])
    made = PolymarketOrder.of(an_order(), golden.timestamp * NS_PER_MS, TOKEN, HOLDER)
    assert made._replace(salt=golden.salt) == golden
    sold = PolymarketOrder.of(an_order(side=Side.SELL), golden.timestamp * NS_PER_MS, TOKEN, HOLDER)
    assert (sold.maker_amount, sold.taker_amount) == (golden.taker_amount, golden.maker_amount)


def test_a_process_that_takes_over_names_every_order_as_the_one_that_ended_did() -> None:
    """From the facts of the journal alone: their keys, terms and times."""
    rig = Rig()
    orders = [order for leg in rig.run("MARKET").trade.legs for order in leg.orders]
    intents = {fact.key: fact for fact in rig.journal.facts if fact.fact == "order.intent"}
    books = named_books(rig.table.books)
    assert len(orders) == 2
    for order in orders:
        fact, data = intents[order.client_id], intents[order.client_id].data
        again = Order(
            fact.key,
            books[str(data["book"])],
            Side(int(str(data["side"]))),
            Price(int(str(data["limit"]))),
            Size(int(str(data["size"]))),
            TimeInForce(str(data["tif"])),
        )
        here = PolymarketOrder.of(order, fact.at, TOKEN, HOLDER)
        there = PolymarketOrder.of(again, fact.at, TOKEN, HOLDER)
        assert here.hash("standard") == there.hash("standard")
        assert kalshi_client_order_id(order.client_id) == kalshi_client_order_id(fact.key)


@given(st.lists(st.text(), min_size=2, max_size=20, unique=True))
def test_two_intents_never_share_a_name(keys: list[str]) -> None:
    names = [kalshi_client_order_id(key) for key in keys]
    assert len({*names}) == len(keys)
    assert all(str(uuid.UUID(name)) == name for name in names)
    salts = [salt_of(key) for key in keys]
    assert len({*salts}) == len(keys)
    assert all(0 <= salt < 2**53 for salt in salts)


def test_what_happens_to_an_order_does_not_change_its_name() -> None:
    order = an_order()
    before = PolymarketOrder.of(order, 1, TOKEN, HOLDER).hash("standard")
    for status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN):
        order = order.moved(status)
        assert PolymarketOrder.of(order, 1, TOKEN, HOLDER).hash("standard") == before


@pytest.mark.parametrize(
    "changes", [{"limit": Price(460_000)}, {"size": Size(9_000_000)}, {"side": Side.SELL}, {"client_id": "t.1.entry.0"}]
)
def test_another_order_has_another_name(changes: dict[str, Any]) -> None:
    one, other = (PolymarketOrder.of(order, 1, TOKEN, HOLDER) for order in (an_order(), an_order(**changes)))
    assert one.hash("standard") != other.hash("standard")


def test_a_size_off_the_lot_is_refused_because_the_venue_would_round_it() -> None:
    with pytest.raises(ConfigError, match=r"trade\.0\.entry\.0: 10000001 shares at 450000 .* not on the market's lot"):
        PolymarketOrder.of(an_order(size=Size(10_000_001)), 1, TOKEN, HOLDER)


def test_an_exchange_or_an_address_that_is_none_is_an_error_that_names_it() -> None:
    order = read(CASES[0])
    with pytest.raises(ConfigError, match="no exchange of Polymarket is called 'v9': standard, neg_risk, v3"):
        order.hash("v9")
    with pytest.raises(ConfigError, match="no terms of an order"):
        order._replace(maker="somebody").hash("standard")


@pytest.mark.parametrize("field", ["metadata", "builder"])
@pytest.mark.parametrize("value", ["", "0x", "zz", "00" * 32, "0x" + "00" * 33])
def test_a_code_that_is_no_32_bytes_names_no_other_order_but_is_refused_by_name(field: str, value: str) -> None:
    terms = PolymarketOrder(1, "0x" + "11" * 20, "0x" + "11" * 20, 5, 1, 1, Side.BUY, 0, 1)
    with pytest.raises(ConfigError, match=f"{field}: must be 0x and 64 hex digits"):
        terms._replace(**{field: value}).hash("standard")


def test_a_key_that_was_pasted_where_an_address_belongs_is_not_repeated() -> None:
    key = "5e" * 32
    with pytest.raises(ConfigError, match="no terms of an order") as refused:
        PolymarketOrder(1, key, key, 5, 1, 1, Side.BUY, 0, 1).hash("standard")
    assert key not in "".join(traceback.format_exception(refused.value))
