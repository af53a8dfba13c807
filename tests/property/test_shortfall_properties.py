"""The parts of a shortfall add up to it, on every trade that can be made of fills, and each means what it says."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from arbkit.backtest.quotes import UNKNOWN, Quote
from arbkit.backtest.shortfall import Split, split_of
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    MultiLegTrade,
    Order,
    OrderStatus,
    Outcome,
    Purpose,
    Settlement,
    Side,
    TimeInForce,
    TradeLeg,
    floor_value,
)
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.execution.accounting import closed, refused
from tests.builders import a_market, a_table

TABLE = a_table(a_market("a"), a_market("b"), a_market("c"))
BOOKS = tuple(book for book in TABLE.books if book.recorded)
PRICES = st.integers(1, MICRO - 1)
SHARES = st.integers(1, 10**12)  # up to a million shares


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    bid, ask = draw(PRICES), draw(PRICES)
    found = Quote(min(bid, ask), max(bid, ask) + 1)
    hidden = draw(st.sampled_from(("none", "bid", "ask", "both")))
    return {
        "none": found, "bid": found._replace(bid=-1), "ask": found._replace(ask=-1), "both": UNKNOWN
    }[hidden]  # fmt: skip


@st.composite
def orders(draw: st.DrawFn, book: Book, name: str, side: Side, purpose: Purpose, most: int) -> Order:
    fills, left = [], most
    for number in range(draw(st.integers(0, 3))):
        if left <= 0:
            break
        size = draw(st.integers(1, left))
        left -= size
        voided = draw(st.integers(0, 9)) == 0
        fills.append(
            Fill(
                f"{name}:{number}", Price(draw(PRICES)), Size(size), Cash(draw(st.integers(-50, 10**7))), 2, 1,
                draw(st.booleans()), settlement=Settlement.VOIDED if voided else Settlement.CONFIRMED,
            )
        )  # fmt: skip
    return Order(
        name, book, side, Price(draw(PRICES)), Size(most), TimeInForce.FAK, purpose=purpose,
        status=OrderStatus.CANCELLED, fills=tuple(fills),
    )  # fmt: skip


@st.composite
def trades(draw: st.DrawFn) -> tuple[ArbitrageOpportunity, ExecutionResult, dict[int, tuple[Quote, list[Quote]]]]:
    """A trade of two or three legs in any state that fills can leave it in, and any books beside it."""
    legs, found = [], {}
    size = draw(SHARES)
    books = BOOKS[: draw(st.integers(2, 3))]
    basket = Basket("b", Kind.OUTCOMES, "e", books, Cash(draw(st.sampled_from((MICRO, 2 * MICRO)))), Size(1), Size(1))
    for index, book in enumerate(books):
        made = [
            draw(orders(book, f"{index}.entry.{n}", Side.BUY, Purpose.ENTRY, size // 2)) for n in range(2) if size > 1
        ]
        bought = sum(order.filled for order in made)
        if bought and draw(st.booleans()):
            made.append(draw(orders(book, f"{index}.exit", Side.SELL, Purpose.EXIT, bought)))
        if bought < size and draw(st.booleans()):
            made.append(draw(orders(book, f"{index}.complete", Side.BUY, Purpose.COMPLETE, size - bought)))
        decided = draw(st.integers(0, 4)) > 0
        cost = draw(st.integers(1, size)) if decided else 0
        leg = TradeLeg(index, book, Side.BUY, Size(size), Cash(cost), Price(1), orders=tuple(made))
        entries = [fill for order in leg.entries() for fill in order.standing]
        legs.append(leg)
        found[index] = (draw(quotes()), [draw(quotes()) for _ in entries])
    edges = st.integers(-(10**9), 10**9)
    told = ArbitrageOpportunity("o", basket, 0, Size(size), Cash(draw(edges)), Cash(draw(edges)))
    trade = MultiLegTrade("t", told, ExecutionStrategy.HYBRID, tuple(legs))
    result = closed(
        trade, Outcome.ESCALATED, started_at=0, entries_done_at=0, finished_at=0,
        unhedged=draw(st.integers(0, 10**9)),
    )  # fmt: skip
    decided_on = ArbitrageOpportunity("o", basket, 0, Size(2 * size), Cash(draw(edges)), Cash(draw(edges)))
    return decided_on, result, found


@given(trades())
def test_the_parts_add_up_to_edge_minus_pnl_on_every_trade(
    case: tuple[ArbitrageOpportunity, ExecutionResult, dict[int, tuple[Quote, list[Quote]]]],
) -> None:
    opportunity, result, found = case
    split = split_of(opportunity, result, found)
    assert split.total == sum(split) == opportunity.edge - result.pnl
    assert all(isinstance(part, int) for part in split)


@given(trades())
def test_whatever_the_books_are_said_to_be_only_delay_spread_and_impact_move(
    case: tuple[ArbitrageOpportunity, ExecutionResult, dict[int, tuple[Quote, list[Quote]]]],
) -> None:
    opportunity, result, found = case
    split = split_of(opportunity, result, found)
    blind = split_of(opportunity, result, {leg: (UNKNOWN, [UNKNOWN] * len(met)) for leg, (_, met) in found.items()})
    assert (split.unfilled, split.fees, split.undoing) == (blind.unfilled, blind.fees, blind.undoing)
    assert split.delay + split.spread + split.impact == blind.delay + blind.spread + blind.impact


@st.composite
def whole(draw: st.DrawFn) -> tuple[ArbitrageOpportunity, ExecutionResult, dict[int, tuple[Quote, list[Quote]]]]:
    """A trade of two legs, each filled to size by one taker or maker, on two-sided books."""
    size = draw(SHARES)
    basket = Basket("b", Kind.OUTCOMES, "e", BOOKS[:2], Cash(MICRO), Size(1), Size(1))
    legs, found = [], {}
    for index, book in enumerate(BOOKS[:2]):
        fill = Fill(
            f"{index}", Price(draw(PRICES)), Size(size), Cash(draw(st.integers(0, 10**6))), 2, 1, draw(st.booleans())
        )
        order = Order(
            f"{index}",
            book,
            Side.BUY,
            fill.price,
            Size(size),
            TimeInForce.GTC,
            status=OrderStatus.FILLED,
            fills=(fill,),
        )
        cost = draw(st.integers(1, size))
        legs.append(TradeLeg(index, book, Side.BUY, Size(size), Cash(cost), Price(1), orders=(order,)))
        two_sided = quotes().filter(lambda quote: quote.mid >= 0)
        found[index] = (draw(two_sided), [draw(two_sided)])
    planned = draw(st.integers(0, 10**6))
    gross = floor_value(basket, size) - sum(leg.decision_cost for leg in legs)
    told = ArbitrageOpportunity("o", basket, 0, Size(size), Cash(gross - planned), Cash(gross))
    trade = MultiLegTrade("t", told, ExecutionStrategy.MARKET, tuple(legs))
    return told, closed(trade, Outcome.COMPLETED, started_at=0, entries_done_at=0, finished_at=0), found


@given(whole())
def test_each_part_is_what_it_says_to_within_the_roundings(
    case: tuple[ArbitrageOpportunity, ExecutionResult, dict[int, tuple[Quote, list[Quote]]]],
) -> None:
    opportunity, result, found = case
    split = split_of(opportunity, result, found)
    delay = spread = impact = Fraction(0)
    for leg in result.trade.legs:
        then, (now,) = found[leg.index]
        (fill,) = leg.orders[0].fills
        shares, plan = Fraction(fill.size, MICRO), Fraction(leg.decision_cost * MICRO, leg.size)
        best = Fraction(fill.price if fill.maker else now.ask)
        delay += (now.mid - then.mid) * shares
        spread += ((best - now.mid) - (then.ask - then.mid)) * shares
        impact += ((fill.price - best) - (plan - then.ask)) * shares
    assert abs(split.delay - delay) <= len(found)
    assert abs(split.impact - impact) <= len(found)
    assert abs(split.spread - spread) <= 3 * len(found)
    fees = sum(fill.fee for leg in result.trade.legs for fill in leg.orders[0].fills)
    assert split.fees == fees - (opportunity.edge_gross - opportunity.edge)
    assert (split.unfilled, split.undoing) == (0, 0)


@given(edge=st.integers(0, 10**9))
def test_of_a_trade_that_never_began_the_whole_edge_is_unfilled(edge: int) -> None:
    basket = Basket("b", Kind.OUTCOMES, "e", BOOKS[:2], Cash(MICRO), Size(1), Size(1))
    opportunity = ArbitrageOpportunity("o", basket, 0, Size(MICRO), Cash(edge), Cash(edge))
    for legs in ((), tuple(TradeLeg(i, book, Side.BUY, Size(MICRO)) for i, book in enumerate(BOOKS[:2]))):
        trade = MultiLegTrade("t", opportunity, ExecutionStrategy.MARKET, legs)
        assert split_of(opportunity, refused(trade, "no", 0), {}) == Split(unfilled=edge)
