"""Which books belong together, and what holding one share of each pays whatever happens.

One idea for every kind: legs bought in equal shares, a payoff table over every outcome (void included), and its
minimum, the floor. A world is written as what YES pays on each market; NO pays the rest of the dollar.

Void rules. `half` pays 0.5 on both outcomes, `none` means that the market cannot be voided. After `refund` and
`last_price` what comes back is what was paid, or is not known beforehand: nothing is locked, and the kinds that
would claim it refuse, naming market and field. A void happens to all markets it can happen to at once (the game is
called off); a market that cannot be voided then still pays one way or the other, and the worse one counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import Basket, Book, Kind, Market, MarketTable, Pair
from arbkit.core.units import MICRO, Cash, Size

KINDS = ("complement", "outcomes", "cross_venue")
HALF = MICRO // 2
NEEDS = ("payout", "void", "lot", "min_size", "grids")  # of every leg's market
SAID = {"grids": "tick", "fee_rules": "fee_rule"}  # as markets.toml calls them


class HasMarkets(Protocol):
    """A tape, or anything else that carries a market table."""

    @property
    def markets(self) -> MarketTable: ...


class PayoffRow(NamedTuple):
    """One way the world can end, and what one share of each leg pays then, millionths of a dollar."""

    state: str
    pays: tuple[Cash, ...]

    @property
    def total(self) -> Cash:
        return Cash(sum(self.pays))


World = Mapping[Market, int]  # what YES pays on each market
Books = Mapping[tuple[str, str, str], Book]  # by venue, market id and outcome


def baskets(tape_or_markets: HasMarkets | MarketTable, kinds: Sequence[str] | str = KINDS) -> list[Basket]:
    """Return every basket of these kinds that the market table allows, in the table's order.

    A kind that does not occur gives none. Raises DataError naming market and field where a kind occurs but what it
    rests on is unknown, and where nothing was found only because no event is known; ConfigError for other kinds.
    """
    table = tape_or_markets if isinstance(tape_or_markets, MarketTable) else tape_or_markets.markets
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"no kind of basket is called {unknown[0]!r}; there are {', '.join(KINDS)}")
    books: Books = {(book.venue, book.market.id, book.outcome): book for book in table.books}
    found: list[Basket] = []
    if Kind.COMPLEMENT in kinds:
        found += [_complement(books, market) for market in table.markets]
    if Kind.OUTCOMES in kinds:
        found += _outcomes(books, table.markets)
    if Kind.CROSS_VENUE in kinds:
        found += [basket for pair in table.pairs for basket in _cross_venue(books, pair)]
    if not found and Kind.OUTCOMES in kinds:
        _refuse_unknown_events(table)
    return found


def payoffs(basket: Basket) -> tuple[PayoffRow, ...]:
    """Return the payoff table of a basket: every state, and what each leg pays there. Its least total is the floor."""
    return payoff_table(basket.kind, basket.legs)


def payoff_table(kind: Kind, legs: Sequence[Book]) -> tuple[PayoffRow, ...]:
    """Return what each leg pays in every state of the world that this kind of basket knows."""
    markets = tuple(dict.fromkeys(leg.market for leg in legs))
    if kind is Kind.COMPLEMENT:
        worlds = _worlds_of_one(markets[0])
    elif kind is Kind.OUTCOMES:
        worlds = _worlds_of_event(markets)
    else:
        same = legs[0].outcome != legs[1].outcome  # YES here with NO there: the questions are the same
        worlds = _worlds_of_pair(markets[0], markets[1], same)
    return tuple(
        PayoffRow(state, tuple(Cash(w[leg.market] if leg.outcome == "yes" else MICRO - w[leg.market]) for leg in legs))
        for state, w in worlds
    )


# -- the worlds ----------------------------------------------------------------------------------------------


def _name(market: Market) -> str:
    return market.outcome or market.id


def _voidable(market: Market) -> bool:
    """Tell whether a market can end at 0.5; raise DataError where a void locks nothing."""
    void = market.need("void")
    if void in ("refund", "last_price"):
        raise DataError(
            f"market {market.venue}:{market.id}: `void` = {void!r} pays back what was paid, or what nobody knows "
            "beforehand: no payoff is locked"
        )
    return bool(void == "half")


def _worlds_of_one(market: Market) -> Iterator[tuple[str, World]]:
    yield f"{_name(market)}: yes", {market: MICRO}
    yield f"{_name(market)}: no", {market: 0}
    if _voidable(market):
        yield f"{_name(market)}: void", {market: HALF}


def _worlds_of_event(markets: Sequence[Market]) -> Iterator[tuple[str, World]]:
    """Yield who can win. Where several can, all of them at once stands for the numbers between: payoffs are linear."""
    none = dict.fromkeys(markets, 0)
    for winner in markets:
        yield f"{_name(winner)} wins", {**none, winner: MICRO}
    if not markets[0].exhaustive:
        yield "none of them wins", none
    if not markets[0].exclusive:
        yield "all of them win", dict.fromkeys(markets, MICRO)
    void = {market: HALF for market in markets if _voidable(market)}
    if not void:
        return
    rest = [market for market in markets if market not in void]
    yield "void" if not rest else "void, the rest lose", {**none, **void}
    for winner in rest:
        yield f"void, but {_name(winner)} wins", {**none, **void, winner: MICRO}


def _worlds_of_pair(a: Market, b: Market, same: bool) -> Iterator[tuple[str, World]]:
    at_a, at_b = f"{a.venue}:{_name(a)}", f"{b.venue}:{_name(b)}"
    yield f"{at_a} yes, {at_b} {'yes' if same else 'no'}", {a: MICRO, b: MICRO if same else 0}
    yield f"{at_a} no, {at_b} {'no' if same else 'yes'}", {a: 0, b: 0 if same else MICRO}
    void_a, void_b = _voidable(a), _voidable(b)
    if void_a and void_b:
        yield "void at both", {a: HALF, b: HALF}
    elif void_a:
        yield f"void at {a.venue}, {at_b} yes", {a: HALF, b: MICRO}
        yield f"void at {a.venue}, {at_b} no", {a: HALF, b: 0}
    elif void_b:
        yield f"{at_a} yes, void at {b.venue}", {a: MICRO, b: HALF}
        yield f"{at_a} no, void at {b.venue}", {a: 0, b: HALF}


# -- the kinds -----------------------------------------------------------------------------------------------


def _complement(books: Books, market: Market) -> Basket:
    yes, no = _both(books, market)
    return _basket(f"complement:{market.venue}:{market.id}", Kind.COMPLEMENT, market.event or market.id, (yes, no))


def _outcomes(books: Books, listed: Sequence[Market]) -> list[Basket]:
    groups: dict[tuple[str, str], list[Market]] = {}
    for market in listed:
        if market.event is not None:
            groups.setdefault((market.event, market.venue), []).append(market)
    venues = Counter(event for (event, _), markets in groups.items() if len(markets) > 1)
    found = []
    for (event, venue), markets in groups.items():
        if len(markets) < 2:
            continue
        label = event if venues[event] == 1 else f"{event}@{venue}"
        if _of_all(markets, "exhaustive"):
            legs = tuple(_both(books, market)[0] for market in markets)
            found.append(_basket(f"outcomes:{label}:yes", Kind.OUTCOMES, event, legs, ("exhaustive",)))
        if _of_all(markets, "exclusive"):
            legs = tuple(_both(books, market)[1] for market in markets)
            found.append(_basket(f"outcomes:{label}:no", Kind.OUTCOMES, event, legs, ("exclusive",)))
    return found


def _cross_venue(books: Books, pair: Pair) -> Iterator[Basket]:
    (yes_a, no_a), (yes_b, no_b) = _both(books, pair.a), _both(books, pair.b)
    sides = ((yes_a, no_b), (no_a, yes_b)) if pair.polarity == "same" else ((yes_a, yes_b), (no_a, no_b))
    for legs in sides:
        name = f"cross_venue:{legs[0].name}+{legs[1].name}"
        yield _basket(name, Kind.CROSS_VENUE, pair.a.event or pair.b.event or pair.a.id, legs)


def _basket(name: str, kind: Kind, event: str, legs: tuple[Book, ...], also: tuple[str, ...] = ()) -> Basket:
    """Return the basket of these legs, its floor the least payoff; raise DataError for what is unknown."""
    markets = tuple(dict.fromkeys(leg.market for leg in legs))
    needs = (*NEEDS, *also, "event") if kind is Kind.OUTCOMES else NEEDS
    for market in markets:
        for field in needs:
            market.need(field)
        if market.payout != MICRO:
            raise DataError(
                f"market {market.venue}:{market.id}: `payout` is not one dollar, which mirrored books rest on"
            )
    lot = math.lcm(*(market.need("lot") for market in markets))
    least = max(market.need("min_size") for market in markets)
    said = [SAID.get(field, field) for field in (*needs, "outcome", "fee_rules")]
    return Basket(
        id=name,
        kind=kind,
        event=event,
        legs=legs,
        floor=Cash(min(row.total for row in payoff_table(kind, legs))),
        min_size=Size(-(-least // lot) * lot),
        lot=Size(lot),
        assumed=tuple(f"{m.venue}:{m.id}.{field}" for m in markets for field in said if field in m.assumed),
    )


def _both(books: Books, market: Market) -> tuple[Book, Book]:
    return books[market.venue, market.id, "yes"], books[market.venue, market.id, "no"]


def _of_all(markets: Sequence[Market], field: str) -> bool:
    """Return what an event's markets agree on; unknown is refused by name, and one "no" is a no."""
    stated = [market.need(field) for market in markets]
    return all(stated)


def _refuse_unknown_events(table: MarketTable) -> None:
    loose: dict[str, list[Market]] = {}
    for market in table.markets:
        if market.event is None:
            loose.setdefault(market.venue, []).append(market)
    for markets in loose.values():
        if len(markets) > 1:
            markets[0].need("event")
