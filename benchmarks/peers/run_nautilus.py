"""nautilus_trader on the feed: `python -m benchmarks.peers.run_nautilus CASE FOLDER ROWS`, in its own environment.

Its low-level backtest engine with books of price levels, without logs, with its risk engine, cache and accounts at
their defaults. Orders take 50 ms to the venue; it has no latency on the way back, so answers come at once. It has one
clock: its venue sees a row when the client does.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.core.data import Data
from nautilus_trader.model.currencies import USDC
from nautilus_trader.model.data import BookOrder, OrderBookDelta, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    AssetClass,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import BinaryOption
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from benchmarks.peers.turns import serve, timed

MS = 1_000_000
VENUE = Venue("MADEUP")
LAST = 1 << 7  # RecordFlag.F_LAST: the last row of its message
DOLLAR = 10**9
EPISODE, REARM, RESTS = 998 * 10**6, 1_000 * MS, 500 * MS
SHARES = Quantity.from_int(10)


def instrument(book: int) -> BinaryOption:
    return BinaryOption(
        instrument_id=InstrumentId(Symbol(f"M{book}"), VENUE),
        raw_symbol=Symbol(f"M{book}"),
        asset_class=AssetClass.ALTERNATIVE,
        currency=USDC,
        price_precision=3,
        size_precision=0,
        price_increment=Price.from_str("0.001"),
        size_increment=Quantity.from_int(1),
        activation_ns=0,
        expiration_ns=2**62,
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


def events(folder: Path, rows: int, instruments: list[BinaryOption]) -> list[Data]:
    """Return the first rows of the feed as nautilus's own objects."""
    names = ("recv", "book", "kind", "side", "price", "size")
    columns = [np.load(folder / f"{name}.npy", mmap_mode="r")[:rows].tolist() for name in names]
    prices = [Price(tick / 1_000, 3) for tick in range(1_001)]
    sizes: dict[int, Quantity] = {}
    found: list[Data] = []
    for number, (at, book, kind, side, price, size) in enumerate(zip(*columns, strict=True)):
        name, quantity = instruments[book].id, sizes.setdefault(size, Quantity.from_int(size))
        if kind == 0:
            way = OrderSide.BUY if side == 0 else OrderSide.SELL
            order = BookOrder(way, prices[price], quantity, price)
            action = BookAction.UPDATE if size else BookAction.DELETE
            found.append(OrderBookDelta(name, action, order, LAST, number, at, at))
        else:
            who = AggressorSide.SELLER if side == 0 else AggressorSide.BUYER
            found.append(TradeTick(name, prices[price], quantity, who, TradeId(str(number)), at, at))
    return found


class TwoLegs(Strategy):
    """The two-leg logic of all engines; `rests`: join both best bids instead of taking both best asks."""

    def __init__(self, instruments: list[BinaryOption], *, rests: bool) -> None:
        super().__init__()
        self.legs, self.rests = instruments, rests
        self.counted = {"trades": 0, "orders": 0, "fills": 0, "completed": 0}
        self.entries: list[Any] = []
        self.undo: Any = None
        self.armed_at = 0

    def on_start(self) -> None:
        for leg in self.legs:
            self.subscribe_order_book_deltas(leg.id)
            self.subscribe_trade_ticks(leg.id)
        self.books = [self.cache.order_book(leg.id) for leg in self.legs]

    def on_order_book_deltas(self, deltas: Any) -> None:  # noqa: ARG002 - the books of the cache are read
        if self.entries or self.clock.timestamp_ns() < self.armed_at:
            return
        asks = [book.best_ask_price() for book in self.books]
        if None in asks or asks[0].as_double() + asks[1].as_double() > 0.9985:
            return
        self.counted["trades"] += 1
        prices = [book.best_bid_price() for book in self.books] if self.rests else asks
        for leg, price in zip(self.legs, prices, strict=True):
            order = self.order_factory.limit(
                leg.id,
                OrderSide.BUY,
                SHARES,
                price,
                TimeInForce.GTC if self.rests else TimeInForce.IOC,
                post_only=self.rests,
            )
            self.entries.append(order)
        for order in self.entries:
            self._send(order)
        if self.rests:
            self.clock.set_time_alert_ns("patience", self.clock.timestamp_ns() + RESTS, self._cancel)

    def _send(self, order: Any) -> None:
        self.counted["orders"] += 1
        self.submit_order(order)

    def _cancel(self, event: Any) -> None:  # noqa: ARG002 - the clock's
        for order in self.entries:
            if order.is_open:
                self.cancel_order(order)

    def on_order_filled(self, event: Any) -> None:  # noqa: ARG002 - orders are read
        self.counted["fills"] += 1

    def on_order_event(self, event: Any) -> None:  # noqa: ARG002 - orders are read
        if not self.entries or not all(order.is_closed for order in self.entries):
            return
        if self.undo is not None:
            if self.undo.is_closed:
                self._over()
            return
        whole = [order.is_closed and order.filled_qty == SHARES for order in self.entries]
        if whole[0] == whole[1]:
            self.counted["completed"] += whole[0]
            self._over()
            return
        has = 0 if whole[0] else 1
        bid, ask = self.books[has].best_bid_price(), self.books[1 - has].best_ask_price()
        complete = 1.0 - ask.as_double() >= bid.as_double() - 1e-9
        leg, side = (self.legs[1 - has], OrderSide.BUY) if complete else (self.legs[has], OrderSide.SELL)
        worst = min(0.999, ask.as_double() + 0.2) if complete else max(0.001, bid.as_double() - 0.2)
        self.undo = self.order_factory.limit(leg.id, side, SHARES, leg.make_price(worst), TimeInForce.IOC)
        self._send(self.undo)

    def _over(self) -> None:
        if "patience" in self.clock.timer_names:
            self.clock.cancel_timer("patience")
        self.entries, self.undo = [], None
        self.armed_at = self.clock.timestamp_ns() + REARM


def run(case: str, instruments: list[BinaryOption], data: list[Data]) -> dict[str, float]:
    """Run the engine over the data; making it ready is not timed."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USDC,
        starting_balances=[Money(10**9, USDC)],
        latency_model=LatencyModel(base_latency_nanos=50 * MS),
        book_type=BookType.L2_MBP,
        trade_execution=False,
    )
    for one in instruments:
        engine.add_instrument(one)
    engine.add_data(data, validate=False, sort=False)
    strategy = TwoLegs(instruments, rests=case == "maker")
    engine.add_strategy(strategy)

    def go() -> dict[str, float]:
        engine.run()
        return dict(strategy.counted)

    found = timed(go)
    engine.dispose()
    return found


def main(case: str, folder: Path, rows: int) -> None:
    instruments = [instrument(book) for book in range(json.loads((folder / "spec.json").read_text())["events"] * 2)]
    data = events(folder, rows, instruments)
    serve(lambda: run(case, instruments, data), lambda: run(case, instruments, data[:2_000]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
