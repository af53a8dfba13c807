"""hftbacktest on the feed: `python -m benchmarks.peers.run_hftbacktest CASE FOLDER`, in its own environment.

Its fastest documented way: price levels in a vector (`ROIVectorMarketDepthBacktest`), strategies compiled by numba. A
fill takes nothing out of its books, and orders fill whole or not at all (`no_partial_fill_exchange`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import hftbacktest as h
import numpy as np
from hftbacktest.types import event_dtype
from numba import njit

from benchmarks.peers.turns import memory, serve, timed

MS = 1_000_000
IOC = 3  # TimeInForce::IOC of the Rust part; the Python part names GTC and GTX alone
FOREVER = 1 << 62
SHARES = 10.0
EPISODE = 998  # ticks that both asks may come to at most: an edge of two tenths of a cent
REARM = 1_000 * MS
RESTS = 500 * MS
ROOM = 200  # ticks that an undo order may be off the best


def events(folder: Path, book: int) -> np.ndarray:
    """Return the feed of one book in the format of hftbacktest."""
    column = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("at", "recv", "kind", "side", "price")}
    mine = np.load(folder / "book.npy") == book
    found = np.zeros(int(mine.sum()), event_dtype)
    kind, bid = column["kind"][mine], column["side"][mine] == 0
    level = np.where(kind == 0, h.DEPTH_EVENT, h.TRADE_EVENT)
    buys = np.where(kind == 0, bid, ~bid)  # a level of bids; a trade by a buyer
    found["ev"] = h.EXCH_EVENT | h.LOCAL_EVENT | level | np.where(buys, h.BUY_EVENT, h.SELL_EVENT)
    found["exch_ts"], found["local_ts"] = column["at"][mine], column["recv"][mine]
    ticks = json.loads((folder / "spec.json").read_text())["ticks"]
    found["px"] = column["price"][mine] / ticks
    found["qty"] = np.load(folder / "size.npy", mmap_mode="r")[mine]
    return found


def opened(data: list[np.ndarray] | list[str], ticks: int) -> h.ROIVectorMarketDepthBacktest_TypeHint:
    """Return a backtest of these books: 50 ms there and 50 ms back, no fees, at the back of every queue."""
    assets = [
        h.BacktestAsset()
        .data(one)
        .linear_asset(1.0)
        .constant_order_latency(50 * MS, 50 * MS)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(1 / ticks)
        .lot_size(1.0)
        .roi_lb(0.0)
        .roi_ub(1.0)
        for one in data
    ]
    return h.ROIVectorMarketDepthBacktest(assets)


@njit
def replay(hbt):
    steps = seen = 0
    while hbt.elapse(100 * MS) == 0:
        for book in range(hbt.num_assets):
            depth = hbt.depth(book)
            seen += depth.best_bid_tick + depth.best_ask_tick
        steps += 1
    return steps, seen


@njit
def opening(hbt):
    """Wait for an episode, from one row to the next; tell whether there was one."""
    first, second = hbt.depth(0), hbt.depth(1)
    while True:
        asks = first.best_ask_tick, second.best_ask_tick  # a book without asks: the largest integer
        if max(asks) < EPISODE and asks[0] + asks[1] <= EPISODE:
            return True
        if hbt.wait_next_feed(False, FOREVER) != 2:
            return False


@njit
def even(hbt, filled, number):
    """Complete or sell what only one leg holds, whichever costs less on the books as received; return orders and fills."""
    has = 0 if filled[0] else 1
    lacks = 1 - has
    tick = hbt.depth(0).tick_size
    bid, ask = hbt.depth(has).best_bid_tick, hbt.depth(lacks).best_ask_tick
    if 1 / tick - ask >= bid:
        hbt.submit_buy_order(lacks, number, (ask + ROOM) * tick, SHARES, IOC, h.LIMIT, True)
        done = hbt.orders(lacks).get(number).status == h.FILLED
    else:
        hbt.submit_sell_order(has, number, max(1, bid - ROOM) * tick, SHARES, IOC, h.LIMIT, True)
        done = hbt.orders(has).get(number).status == h.FILLED
    return 1, int(done)


@njit
def taker(hbt):
    trades = orders = fills = completed = 0
    filled = np.zeros(2, np.bool_)
    number = 1
    tick = hbt.depth(0).tick_size
    while opening(hbt):
        for leg in range(2):
            hbt.submit_buy_order(leg, number + leg, hbt.depth(leg).best_ask_tick * tick, SHARES, IOC, h.LIMIT, False)
        for leg in range(2):
            if hbt.orders(leg).get(number + leg).status == h.NONE:  # both answers may have come in the same instant
                hbt.wait_order_response(leg, number + leg, FOREVER)
            filled[leg] = hbt.orders(leg).get(number + leg).status == h.FILLED
        trades, orders, fills = trades + 1, orders + 2, fills + filled.sum()
        completed += filled[0] and filled[1]
        if filled[0] != filled[1]:
            sent, done = even(hbt, filled, number + 2)
            orders, fills = orders + sent, fills + done
        number += 3
        for leg in range(2):
            hbt.clear_inactive_orders(leg)
        if hbt.elapse(REARM) != 0:
            break
    return trades, orders, fills, completed


@njit
def maker(hbt):
    trades = orders = fills = completed = 0
    filled = np.zeros(2, np.bool_)
    number = 1
    tick = hbt.depth(0).tick_size
    while opening(hbt):
        until = hbt.current_timestamp + RESTS
        for leg in range(2):
            hbt.submit_buy_order(leg, number + leg, hbt.depth(leg).best_bid_tick * tick, SHARES, h.GTX, h.LIMIT, False)
        filled[:] = False
        while not (filled[0] and filled[1]) and hbt.current_timestamp < until:
            if hbt.wait_next_feed(True, until - hbt.current_timestamp) == 1:
                break
            for leg in range(2):
                filled[leg] = hbt.orders(leg).get(number + leg).status == h.FILLED
        for leg in range(2):
            if not filled[leg]:
                hbt.cancel(leg, number + leg, leg == 1 or filled[1])
        for leg in range(2):
            filled[leg] = hbt.orders(leg).get(number + leg).status == h.FILLED
        trades, orders, fills = trades + 1, orders + 2, fills + filled.sum()
        completed += filled[0] and filled[1]
        if filled[0] != filled[1]:
            sent, done = even(hbt, filled, number + 2)
            orders, fills = orders + sent, fills + done
        number += 3
        for leg in range(2):
            hbt.clear_inactive_orders(leg)
        if hbt.elapse(REARM) != 0:
            break
    return trades, orders, fills, completed


STRATEGIES = {"replay": replay, "taker": taker, "maker": maker}
COUNTS = {"replay": ("steps", "seen")}
TRADED = ("trades", "orders", "fills", "completed")


def main(case: str, folder: Path) -> None:
    """Serve a case in turns; `memory` replays once from its own files, as a fresh process does, and tells the peak."""
    if case == "convert":
        for book in (0, 1):
            np.savez(folder / f"hftbacktest-{book}.npz", data=events(folder, book))
        return
    ticks = json.loads((folder / "spec.json").read_text())["ticks"]
    if case == "memory":
        replay(opened([str(folder / f"hftbacktest-{book}.npz") for book in (0, 1)], ticks))
        print(json.dumps(memory()))
        return
    books = json.loads((folder / "spec.json").read_text())["events"] * 2
    data = [events(folder, book) for book in range(books)]
    strategy = STRATEGIES[case]

    def run() -> dict[str, float]:
        hbt = opened(data, ticks)
        found = timed(lambda: dict(zip(COUNTS.get(case, TRADED), map(int, strategy(hbt)), strict=True)))
        hbt.close()
        return found

    def warm_up() -> None:
        strategy(opened([one[:2_000] for one in data], ticks))

    serve(run, warm_up)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
