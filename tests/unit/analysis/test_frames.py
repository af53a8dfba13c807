import math

import pandas as pd
import pytest
from msgspec.structs import replace

from arbkit.analysis import frames
from arbkit.core.errors import DataError
from arbkit.core.model import Outcome, Purpose, Side, TimeInForce
from tests.unit.analysis.fakes import (
    HYBRID,
    LIMIT,
    MARKET,
    MS,
    START,
    Cell,
    Comparison,
    basket,
    ended,
    fill,
    leg,
    opportunity,
    order,
    realistic,
    refused,
    simple,
)

TIME = "datetime64[ns, UTC]"


def one(result, **changes):
    return Comparison((result.trade.opportunity,), (Cell(result.trade.strategy, 50.0, 0, (result,)),), **changes)


def bought_and_sold():
    """Leg 0 bought 100 at an average of .404 instead of .40, 40 of them resting; leg 1 sold 50 of 100 at .57, not .58."""
    of = opportunity(1, size=100, edge=0.02)
    first, second = of.basket.legs
    at = START + 30 * MS
    buys = order(
        "a", first, (fill(1, 0.40, 40, at=at, maker=True), fill(2, 0.4066666, 60, at=at + MS, fee=0.1)), 100, 0.41
    )
    sales = order("b", second, (fill(3, 0.57, 50, at=at, fee=0.2),), 100, 0.56, side=Side.SELL)
    undone = order(
        "c", first, (fill(4, 0.39, 50, at=at + 100 * MS),), 50, 0.39, side=Side.SELL, purpose=Purpose.EXIT,
        tif=TimeInForce.FAK,
    )  # fmt: skip
    legs = (
        leg(0, first, (buys, undone), size=100, decision=0.40),
        leg(1, second, (sales,), size=100, decision=0.58, side=Side.SELL, exact=False),
    )
    return ended(of, MARKET, legs, Outcome.UNWOUND, took_ms=31, fees=0.3, pnl=-1.5, unwind_cost=0.7, undo="exit")


def test_trades_have_the_promised_columns_with_pinned_dtypes():
    frame = frames.trades_frame(one(bought_and_sold()))
    promised = (
        "trade_id strategy opportunity_id basket detected_at outcome undo edge_expected edge_realised size execution_ms "
        "unwind_cost fees gas pnl"
    ).split()
    assert list(frame.columns[: len(promised)]) == promised
    assert {"latency_ms", "seed", "reason"} <= set(frame.columns)
    assert frame.dtypes["detected_at"] == TIME
    assert frame.dtypes["strategy"] == "str"
    assert all(frame.dtypes[name] == "float64" for name in promised[7:])


def test_legs_have_the_promised_columns_with_pinned_dtypes():
    frame = frames.legs_frame(one(bought_and_sold()))
    promised = (
        "trade_id leg venue market outcome side size filled fill_rate decision_price average_price slippage maker_share "
        "depth_exact status submitted_at finished_at"
    ).split()
    assert list(frame.columns[: len(promised)]) == promised
    assert frame.dtypes["submitted_at"] == TIME
    assert frame.dtypes["finished_at"] == TIME
    assert frame.dtypes["depth_exact"] == "bool"
    assert frame.dtypes["leg"] == "int64"
    assert frame.dtypes["slippage"] == "float64"


@pytest.mark.parametrize("make", [frames.trades_frame, frames.legs_frame, frames.orders_frame, frames.fills_frame])
def test_an_empty_frame_has_the_same_columns_and_dtypes_as_a_full_one(make):
    full, empty = make(one(bought_and_sold())), make(Comparison((), ()))
    assert len(empty) == 0
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()


def test_a_trade_is_told_in_dollars_per_share_and_milliseconds():
    row = frames.trades_frame(one(bought_and_sold())).iloc[0]
    assert row["detected_at"] == pd.Timestamp(START, tz="UTC")
    assert row["edge_expected"] == pytest.approx(0.02)
    assert row["edge_realised"] == pytest.approx(-0.015)
    assert (row["size"], row["execution_ms"], row["pnl"]) == (100.0, 31.0, -1.5)
    assert (row["outcome"], row["undo"]) == ("unwound", "exit")


def test_slippage_is_positive_when_worse_for_a_buyer_and_for_a_seller():
    buy, sale = frames.legs_frame(one(bought_and_sold())).itertuples()
    assert buy.side == "buy"
    assert buy.average_price == pytest.approx(0.404, abs=1e-6)
    assert buy.slippage == pytest.approx(0.004, abs=1e-6)
    assert sale.side == "sell"
    assert sale.slippage == pytest.approx(0.01)
    assert (sale.filled, sale.fill_rate) == (50.0, 0.5)


def test_undo_orders_count_in_no_fill_rate_and_no_average_price():
    buy = frames.legs_frame(one(bought_and_sold())).iloc[0]
    assert buy["filled"] == 100.0
    assert buy["maker_share"] == pytest.approx(0.4)


def test_a_leg_ends_with_its_last_fill_when_full_and_with_the_entries_when_not():
    full, part = frames.legs_frame(one(bought_and_sold())).itertuples()
    assert full.submitted_at == pd.Timestamp(START, tz="UTC")
    assert full.finished_at == pd.Timestamp(START + 36 * MS, tz="UTC")
    assert part.finished_at == pd.Timestamp(START + 31 * MS, tz="UTC")
    assert not part.depth_exact


def test_what_was_never_filled_has_no_price_and_no_slippage():
    legs = frames.legs_frame(one(simple(opportunity(1), LIMIT, (0.0, 0.0))))
    assert legs[["average_price", "slippage", "maker_share"]].isna().all(axis=None)
    assert (legs["fill_rate"] == 0).all()
    assert legs["decision_price"].notna().all()


def test_a_refused_trade_keeps_its_legs_with_the_scanned_size_and_no_times():
    raw = one(refused(opportunity(1, size=60, of=basket(legs=3)), MARKET))
    legs, trades = frames.legs_frame(raw), frames.trades_frame(raw)
    assert list(legs["size"]) == [60.0] * 3
    assert (legs["fill_rate"] == 0).all()
    assert legs["submitted_at"].isna().all()
    assert legs.dtypes["submitted_at"] == TIME
    assert math.isnan(trades["execution_ms"].iloc[0])
    assert trades["pnl"].iloc[0] == 0
    assert trades["reason"].iloc[0] == "books are silent"


def test_orders_say_their_purpose_and_fills_say_what_explains_them():
    raw = one(bought_and_sold())
    orders, fills = frames.orders_frame(raw), frames.fills_frame(raw)
    assert list(orders["purpose"]) == ["entry", "exit", "entry"]
    assert orders["fees"].sum() == pytest.approx(0.3)
    assert list(fills["row"]) == [42] * 4
    assert set(fills["model"]) == {"take", "queue:risk-averse"}
    assert fills.dtypes["venue_at"] == TIME
    assert (fills["at"] > fills["venue_at"]).all()


def test_an_order_that_ends_by_itself_says_when_and_the_others_never():
    of = opportunity(1, size=100, edge=0.02)
    until, taken = (order(key, one_leg, (), 100, 0.40) for key, one_leg in zip("ab", of.basket.legs, strict=True))
    until = replace(until, tif=TimeInForce.GTD, expires=START + 180_000 * MS + 1)
    legs = tuple(leg(i, o.book, (o,), size=100, decision=0.40) for i, o in enumerate((until, taken)))
    orders = frames.orders_frame(one(ended(of, LIMIT, legs, Outcome.MISSED)))
    assert list(orders["tif"]) == ["GTD", "FAK"]
    assert orders["expires"][0] == pd.Timestamp(START + 180_000 * MS + 1, tz="UTC")
    assert pd.isna(orders["expires"][1])
    assert orders.dtypes["expires"] == TIME


def test_without_known_fees_everything_net_is_undefined_and_the_rest_is_told():
    raw = one(bought_and_sold(), fees_known=False)
    trades = frames.trades_frame(raw)
    assert trades[["edge_expected", "edge_realised", "unwind_cost", "fees", "pnl"]].isna().all(axis=None)
    assert frames.legs_frame(raw)["slippage"].notna().all()
    assert frames.fills_frame(raw)["fee"].isna().all()


def test_results_that_do_not_match_the_opportunities_are_refused_by_name():
    result = simple(opportunity(1), MARKET, (1.0, 1.0))
    raw = Comparison((opportunity(2),), (Cell(MARKET, 50.0, 0, (result,)),))
    with pytest.raises(DataError, match="MARKET at 50 ms, seed 0"):
        frames.trades_frame(raw)


def test_every_cell_of_a_comparison_is_in_the_frames():
    raw = realistic(n=12, latencies=(20.0, 100.0), seeds=2)
    trades = frames.trades_frame(raw)
    assert len(trades) == 12 * 3 * 2 * 2
    assert set(trades["strategy"]) == {MARKET.value, LIMIT.value, HYBRID.value}
    assert len(frames.legs_frame(raw)) == 2 * len(trades)
