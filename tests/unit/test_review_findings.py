"""Answers that were once too good to be true."""

from __future__ import annotations

import pytest

import arbkit as ak
from arbkit.core.units import MICRO, Cash
from arbkit.fees import rule
from tests.builders import ASK, TapeBuilder, a_market, a_table


def test_unhedged_shares_are_worth_what_the_bids_hold_not_the_best_bid_times_the_size() -> None:
    event = {"event": "E", "exclusive": True, "exhaustive": True, "void": "half", "payout": Cash(MICRO)}
    markets = [a_market(name, outcome=name, fee_rules=((0, "synthetic-flat-low"),), **event) for name in ("A", "B")]
    table = a_table(*markets)
    tape = (
        TapeBuilder(table)
        .snapshot(0, [(40, 100)], [(45, 100)], book=0)
        .snapshot(0, [(45, 1), (2, 60)], [(50, 100)], book=2)
        .level(5, ASK, 45, 0, book=0)  # gone before the order arrives, for good
        .mark(30_000)
        .tape()
    )
    baskets = [basket for basket in ak.baskets(tape, ("outcomes",)) if basket.id.endswith(":yes")]
    result = ak.compare(tape, baskets, strategies="market", latencies_ms=(10,))
    trade = result.trades.iloc[0]
    paid = 50.0 + 0.005 * 100 * 0.25
    sold = [(450_000, MICRO), (20_000, 60 * MICRO)]  # of 100 shares 39 find nobody
    fee = rule("synthetic-flat-low").order_fee(sold, maker=False) / MICRO
    assert trade.outcome == "escalated"
    assert trade.pnl == pytest.approx(0.45 + 1.20 - fee - paid, abs=1e-9)
