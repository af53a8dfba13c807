"""Trades made by hand: YES at alpha for 0.40 and NO at beta for 0.55, 100 shares, unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arbkit.core.config import ExecutionConfig
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    Market,
    MarketTable,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Pair,
    Purpose,
    Settlement,
    Side,
    TimeInForce,
    TradeLeg,
)
from arbkit.core.units import MICRO, Cash, Price, Size, cash, price, size
from arbkit.risk.bounds import Refusal, RiskLimits
from arbkit.risk.daily import NS_PER_DAY
from arbkit.risk.kill_switch import KillSwitch
from arbkit.risk.limits import RiskManager
from arbkit.risk.pairs import PairBook

DAY = 20_000  # a UTC day in 2024
NOW = DAY * NS_PER_DAY + 12 * 3_600 * 1_000_000_000  # its noon
COSTS = (cash("40"), cash("55"))
ALPHA = Market(venue="alpha", id="m", event="e")
BETA = Market(venue="beta", id="m", event="e")
TABLE = MarketTable(
    (ALPHA, BETA),
    (Book(0, ALPHA, "yes", 1), Book(1, ALPHA, "no", 0), Book(2, BETA, "yes", 3), Book(3, BETA, "no", 2)),
    (Pair(ALPHA, BETA, "same"),),
)
YES_A, NO_A, YES_B, NO_B = TABLE.books


def a_basket(*legs: Book, kind: Kind = Kind.CROSS_VENUE, event: str = "e", min_size: str = "1") -> Basket:
    legs = legs or (YES_A, NO_B)
    return Basket(f"{kind}:{legs[0].name}", kind, event, legs, Cash(MICRO), size(min_size), size("1"))


def a_trade(
    trade_id: str = "t",
    shares: str = "100",
    costs: Sequence[int] = COSTS,
    basket: Basket | None = None,
    at: int = NOW,
) -> MultiLegTrade:
    basket = basket or a_basket()
    of = size(shares)
    legs = tuple(
        TradeLeg(index, book, Side.BUY, of, Cash(paid), Price(paid * MICRO // of))
        for index, (book, paid) in enumerate(zip(basket.legs, costs, strict=True))
    )
    opportunity = ArbitrageOpportunity(f"o{trade_id}", basket, at, of, cash("5"), cash("5"))
    return MultiLegTrade(trade_id, opportunity, ExecutionStrategy.MARKET, legs)


def an_order(
    trade: MultiLegTrade,
    leg: int = 0,
    shares: str = "100",
    limit: str = "",
    *,
    status: OrderStatus = OrderStatus.SUBMITTED,
    filled: str = "0",
    at: str = "",
    fee: str = "0",
    settlement: Settlement = Settlement.CONFIRMED,
    purpose: Purpose = Purpose.ENTRY,
    side: Side = Side.BUY,
    key: str = "",
) -> Order:
    """One order of a leg, at its decision price unless told otherwise, with one fill at its limit or `at`."""
    of = trade.legs[leg]
    key = key or f"{trade.id}.{leg}.{purpose}.{len(of.orders)}"
    stated = price(limit) if limit else of.worst
    fills: tuple[Fill, ...] = ()
    if filled != "0":
        paid = price(at) if at else stated
        fills = (Fill(f"{key}.f", paid, size(filled), cash(fee), 0, 0, False, settlement=settlement),)
    return Order(
        client_id=key,
        book=of.book,
        side=side,
        limit=stated,
        size=size(shares),
        tif=TimeInForce.FAK,
        purpose=purpose,
        status=status,
        fills=fills,
    )


def put(trade: MultiLegTrade, *orders: Order) -> MultiLegTrade:
    """The trade with these orders on the legs of their books."""
    for order in orders:
        leg = next(leg for leg in trade.legs if leg.book == order.book)
        trade = trade.with_leg(leg.with_order(order))
    return trade


def bought(trade: MultiLegTrade, leg: int, shares: str, **more: Any) -> MultiLegTrade:
    """The trade with one entry on a leg that has filled so much and ended."""
    of = f"{trade.size / MICRO:f}"
    return put(trade, an_order(trade, leg, of, filled=shares, status=OrderStatus.CANCELLED, **more))


def whole(trade: MultiLegTrade) -> MultiLegTrade:
    """The trade with every leg filled to size."""
    for leg in trade.legs:
        trade = bought(trade, leg.index, f"{trade.size / MICRO:f}")
    return trade


def ended(
    trade: MultiLegTrade, outcome: Outcome = Outcome.COMPLETED, pnl: str = "0", started_at: int = 0
) -> ExecutionResult:
    return ExecutionResult(trade, outcome, started_at=started_at, pnl=cash(pnl))


def a_desk(
    limits: RiskLimits | None = None,
    *,
    pairs: PairBook | None = None,
    kill: KillSwitch | None = None,
    rules: dict[str, str] | None = None,
    **config: Any,
) -> RiskManager:
    """Risk with these limits and settings; the pair of the table is approved."""
    book = PairBook.assumed(TABLE) if pairs is None else pairs
    return RiskManager(limits, ExecutionConfig(**config), pairs=book, rules=rules, kill=kill)


def running(risk: RiskManager, trade: MultiLegTrade, costs: Sequence[int] = COSTS) -> MultiLegTrade:
    """The trade, reserved and told of as it stands."""
    risk.reserve(trade, [Cash(of) for of in costs])
    risk.track(trade)
    return trade


def said(refusal: Refusal | None) -> str:
    return "" if refusal is None else str(refusal)


def loses(risk: RiskManager, amount: str, trade_id: str = "lost", at: int = NOW) -> None:
    """Run a trade to its end that loses so many dollars and holds nothing."""
    trade = running(risk, a_trade(trade_id, at=at))
    risk.finish(ended(trade, Outcome.UNWOUND, pnl=f"-{amount}"))


def shares(count: float) -> Size:
    return Size(round(count * MICRO))
