"""What a basket earns at executable depth: exact integers, compiled, over the ladders of all books.

Every leg is bought from the asks of its book, level by level; a level's cost rounds up to a millionth of a dollar,
as `units.cost` does, and an order's fee is its venue's. Edges are millionths of a dollar for the whole size.

Overflow: a price (10^6) times a size (10^13 for ten million shares) does not fit 64 bits, so products are divided
in two steps, whole shares first. Proven by properties against Python's ints up to ten million shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from arbkit.books.ladder import ASK, I64, U8, Ladders, deepest, walk
from arbkit.core.compiled import compiled, inlined
from arbkit.core.model import Basket, Kind
from arbkit.core.units import MICRO
from arbkit.fees.arithmetic import PRECISION, order_fee_kernel

FeeHistory = Sequence[tuple[int, I64]]  # (valid from ns, rule as eight int64), oldest first; the first holds before


class Baskets(NamedTuple):
    """Baskets as arrays; the legs of basket k are leg[k]..leg[k + 1] of the flat ones."""

    leg: I64  # [baskets + 1]
    book: I64  # [legs] the book bought from
    floor: I64  # [baskets] least payoff, millionths of a dollar per share
    q_min: I64  # [baskets] millionths of a share
    lot: I64  # [baskets]
    pair: U8  # [baskets] 1: two recorded books of one market, where a gap is mostly a late leg
    touch: I64  # [books + 1] baskets to look at after a row of book b: touched[touch[b]:touch[b + 1]]
    touched: I64
    fee: I64  # [legs + 1] fee rules of a leg: fee[leg]..fee[leg + 1] of the two below
    since: I64  # [rules] ns from which a rule holds
    rule: I64  # [rules, 8] as arbkit.fees packs them


class Scratch(NamedTuple):
    """Room for the levels of one basket, reused from call to call."""

    prices: I64  # [legs, levels]
    sizes: I64  # [legs, levels]
    counts: I64  # [legs]
    parts: I64  # [levels]


class Limits(NamedTuple):
    """What an edge must reach and a size must keep to: dollars and shares in millionths."""

    min_edge: int  # per basket share; may be negative in a study
    gross: int  # 1: fees do not count towards it
    max_size: int
    max_exposure: int


FREE = np.zeros((1, 8), np.int64)  # stands in where fees are not known and only gross edges are asked for


def basket_arrays(ladders: Ladders, baskets: Sequence[Basket], fees: Sequence[Sequence[FeeHistory]] | None) -> Baskets:
    """Return baskets in compiled form; `fees` holds, per basket and leg, the dated rules (None: no fees)."""
    legs = [leg for basket in baskets for leg in basket.legs]
    n_books = len(ladders.book)
    looking: list[list[int]] = [[] for _ in range(n_books)]
    for k, basket in enumerate(baskets):
        for home in dict.fromkeys(int(ladders.book[leg.index]["home"]) for leg in basket.legs):
            looking[home].append(k)
    histories: list[FeeHistory] = [[(0, FREE[0])] for _ in legs]
    if fees is not None:
        histories = [history for of_legs in fees for history in of_legs]
    pair = [b.kind is Kind.COMPLEMENT and all(leg.recorded for leg in b.legs) for b in baskets]
    return Baskets(
        leg=_offsets([len(basket.legs) for basket in baskets]),
        book=_ints([leg.index for leg in legs]),
        floor=_ints([basket.floor for basket in baskets]),
        q_min=_ints([basket.min_size for basket in baskets]),
        lot=_ints([basket.lot for basket in baskets]),
        pair=np.array(pair, np.uint8),
        touch=_offsets([len(found) for found in looking]),
        touched=_ints([k for found in looking for k in found]),
        fee=_offsets([len(history) for history in histories]),
        since=_ints([since for history in histories for since, _ in history]),
        rule=np.array([rule for history in histories for _, rule in history], np.int64).reshape(-1, 8),
    )


def scratch(ladders: Ladders, baskets: Baskets) -> Scratch:
    """Return room for the widest basket over the deepest ladder: nothing is ever cut short for want of room."""
    legs = int(np.diff(baskets.leg).max(initial=1))
    levels = deepest(ladders)
    return Scratch(
        np.zeros((legs, levels), np.int64),
        np.zeros((legs, levels), np.int64),
        np.zeros(legs, np.int64),
        np.zeros(levels, np.int64),
    )


def _ints(values: Sequence[int]) -> I64:
    return np.array(values, np.int64)


def _offsets(lengths: Sequence[int]) -> I64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(_ints(lengths))])


@compiled
def cost_kernel(price, size):  # type: ignore[no-untyped-def]
    """Return price * size rounded up to a millionth of a dollar, as `units.cost`, without overflow."""
    return price * (size // MICRO) + (price * (size % MICRO) + MICRO - 1) // MICRO


@compiled
def proceeds_kernel(price, size):  # type: ignore[no-untyped-def]
    """Return price * size rounded down, as `units.proceeds`; for any price up to 10^12, negative ones included."""
    return price * (size // MICRO) + price * (size % MICRO) // MICRO


@inlined
def top_edge(ladders, baskets, k):  # type: ignore[no-untyped-def]
    """Return floor - sum of the best asks of basket k, millionths per share: no size can earn more than that.

    An empty side gives a large negative number. What we took ourselves is not looked at, so it is a bound.
    """
    left = baskets.floor[k]
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        book = np.uint64(baskets.book[np.uint64(leg)])
        home, flip = np.uint64(ladders.book[book].home), ladders.book[book].flip
        slot = ladders.best[np.uint64(1 - flip), home].slot
        if slot < 0:
            return -(MICRO * MICRO)
        price = ladders.price[np.uint64(slot)]
        left -= MICRO - price if flip else price
    return left


@compiled
def collect(ladders, baskets, k, want, room):  # type: ignore[no-untyped-def]
    """Fill `room` with what the legs of basket k hold, up to `want` each; return (least total, 1 if all exact)."""
    least, exact = want, 1
    first = baskets.leg[k]
    for leg in range(first, baskets.leg[k + 1]):
        j = leg - first
        n, total, true = walk(ladders, baskets.book[leg], ASK, want, room.prices[j], room.sizes[j])
        room.counts[j] = n
        least = min(least, total)
        exact = exact if true else 0
    return least, exact


@compiled
def _rule_at(baskets, leg, now):  # type: ignore[no-untyped-def]
    found = baskets.fee[leg]
    for i in range(baskets.fee[leg] + 1, baskets.fee[leg + 1]):
        if baskets.since[i] <= now:
            found = i
    return found


@compiled
def edge_of(baskets, k, q, now, room):  # type: ignore[no-untyped-def]
    """Return (net, gross) edge of `q` shares of basket k over the collected levels, which must hold them."""
    gross = proceeds_kernel(baskets.floor[k], q)
    fees = 0
    first = baskets.leg[k]
    for leg in range(first, baskets.leg[k + 1]):
        j = leg - first
        left, n = q, 0
        while left > 0 and n < room.counts[j]:
            part = min(left, room.sizes[j, n])
            gross -= cost_kernel(room.prices[j, n], part)
            room.parts[n] = part
            left -= part
            n += 1
        rule = baskets.rule[_rule_at(baskets, leg, now)]
        fees += order_fee_kernel(room.prices[j], room.parts, n, rule, False)
    return gross - fees, gross


@compiled
def edge_at(ladders, baskets, k, q, now, room):  # type: ignore[no-untyped-def]
    """Return what `q` shares of basket k are worth at depth: (1 if every leg holds them, net, gross, 1 if exact).

    Where a leg does not hold them both edges are 0; nothing is extrapolated.
    """
    least, exact = collect(ladders, baskets, k, q, room)
    if least < q:
        return 0, 0, 0, exact
    net, gross = edge_of(baskets, k, q, now, room)
    return 1, net, gross, exact


@compiled
def _returned(baskets, k, now):  # type: ignore[no-untyped-def]
    """Return by how much the fees of more shares can be below those of fewer: a unit of precision a leg."""
    units = 0
    for leg in range(baskets.leg[k], baskets.leg[k + 1]):
        units += baskets.rule[_rule_at(baskets, leg, now), PRECISION]
    return units


@compiled
def exposure_of(baskets, k, q, room):  # type: ignore[no-untyped-def]
    """Return what is at risk when all legs but the cheapest fill and pay nothing, millionths of a dollar."""
    whole, cheapest = 0, 2**62
    for j in range(baskets.leg[k + 1] - baskets.leg[k]):
        left, n, leg = q, 0, 0
        while left > 0 and n < room.counts[j]:
            part = min(left, room.sizes[j, n])
            leg += cost_kernel(room.prices[j, n], part)
            left -= part
            n += 1
        whole += leg
        cheapest = min(cheapest, leg)
    return whole - cheapest


@compiled
def needed(min_edge, q):  # type: ignore[no-untyped-def]
    """Return the least whole edge with which `q` shares earn `min_edge` a share, both in millionths."""
    return -proceeds_kernel(-min_edge, q)


@compiled
def _next_step(baskets, k, at, limit, room):  # type: ignore[no-untyped-def]
    """Return the next size after `at`, up to `limit`, at which a leg's level is used up, on the lot.

    A level that ends inside a lot gives two: the lot before it and the lot that needs the next level too.
    """
    nearest, lot = limit, baskets.lot[k]
    for j in range(baskets.leg[k + 1] - baskets.leg[k]):
        reach = np.int64(0)
        for n in range(room.counts[j]):
            reach += room.sizes[j, n]
            if reach >= limit:
                break
            step = reach // lot * lot
            if step <= at:
                step += lot
            if step > at:
                nearest = min(nearest, step)
                break
    return nearest


@compiled
def largest_size(ladders, baskets, k, now, limits, room):  # type: ignore[no-untyped-def]
    """Return (size, net, gross, exact): the largest size of basket k whose marginal edge is at least min_edge.

    Levels make the marginal edge a falling staircase, so sizes are tried at its steps: a step is taken when what
    lies between the last size taken and its end earns `min_edge` a share, order fees with their rounding included.
    Hence the average edge is at least `min_edge` wherever that of q_min is; `detection.sizing` says why it is the
    largest. Cut to `limits.max_size`, to the depth of the thinnest leg and to `limits.max_exposure`; a size that
    this cuts below q_min is returned as it is, to be refused.
    """
    lot = baskets.lot[k]
    limit, _ = collect(ladders, baskets, k, limits.max_size // lot * lot, room)
    limit = limit // lot * lot
    if exposure_of(baskets, k, limit, room) > limits.max_exposure:
        low, high = np.int64(0), limit // lot  # the bound holds at low, not at high
        while high - low > 1:
            middle = (low + high) // 2
            if exposure_of(baskets, k, middle * lot, room) > limits.max_exposure:
                high = middle
            else:
                low = middle
        limit = low * lot
    best = min(baskets.q_min[k], limit)
    net, gross = edge_of(baskets, k, best, now, room)
    at, at_gross, rounding, returned = best, gross, baskets.leg[k + 1] - baskets.leg[k] + 2, _returned(baskets, k, now)
    while at < limit:
        end = _next_step(baskets, k, at, limit, room)
        end_net, end_gross = edge_of(baskets, k, end, now, room)
        short = needed(limits.min_edge, end - best) - (end_gross - gross if limits.gross else end_net - net)
        if short <= 0:
            best, net, gross = end, end_net, end_gross
        elif short > rounding + returned and end_gross - at_gross + rounding < needed(limits.min_edge, end - at):
            break  # the shares behind cost as much and more, fees aside: none makes good what is short
        at, at_gross = end, end_gross
    _, exact = collect(ladders, baskets, k, best, room)
    return best, net, gross, exact
