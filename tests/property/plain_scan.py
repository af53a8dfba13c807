"""The scan once more, in plain Python: dictionaries for books, every basket judged at every message boundary.

Written from the words of the definitions, not from the kernels; sizes are found by trying every one. Slow on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from arbkit.books import meta as m
from arbkit.core.grid import Grid
from arbkit.core.model import Basket, Book, Kind, Market, MarketTable, Pair
from arbkit.core.units import MICRO, Cash, Size, cost
from arbkit.detection.baskets import baskets
from arbkit.fees import FeeRule
from arbkit.history.tape import Tape

START = 1_780_000_000_000_000_000
MS = 1_000_000
HALF = MICRO // 2
SILENCE, SETTLE, REARM = 2_000 * MS, 100 * MS, 400 * MS
Fees = Mapping[int, Sequence[tuple[int, FeeRule]]]


class Asked(NamedTuple):
    """What the scan is asked."""

    min_edge: int = 100
    gross: bool = True
    max_size: int = 6 * MICRO
    max_exposure: int = 250 * MICRO
    fees: Fees | None = None


@dataclass
class PlainBook:
    known: bool = False
    open: bool = True
    lag: int = 0
    sides: tuple[dict[int, tuple[int, bool]], dict[int, tuple[int, bool]]] = field(default_factory=lambda: ({}, {}))
    best_set: list[int] = field(default_factory=lambda: [-1, -1])  # message that last set the best bid, ask

    def best(self, side: int) -> int | None:
        return (min if side else max)(self.sides[side], default=None)

    def row(self, code: int, price: int, size: int, lag: int, message: int) -> None:
        self.lag = lag
        kind = code & m.KIND_MASK
        if kind == m.KIND_LEVEL:
            side = 0 if (code & m.SIDE_MASK) >> m.SIDE_SHIFT == m.SIDE_BID else 1
            before = self.best(side)
            if size:
                self.sides[side][price] = (size, not code & m.LOWER)
            else:
                self.sides[side].pop(price, None)
            if price in (before, self.best(side)):
                self.best_set[side] = message
        elif kind in (m.KIND_CLEAR, m.KIND_GAP):
            self.known = kind == m.KIND_CLEAR
            self.sides = ({}, {})
            if self.known:
                self.best_set = [message, message]
        elif kind == m.KIND_STATUS:
            self.open = size == 0
        elif kind == m.KIND_RESOLUTION:
            self.open = False

    @property
    def crossed(self) -> bool:
        bid, ask = self.best(0), self.best(1)
        return bid is not None and ask is not None and bid >= ask


class Piece(NamedTuple):
    start_row: int
    start: int
    end: int
    first: int
    later: tuple[int, ...]
    size: int
    net: int
    gross: int
    exact: bool
    censored: bool


class PlainScan:
    """All baskets over one tape."""

    def __init__(self, tape: Tape, found: Sequence[Basket], asked: Asked) -> None:
        self.tape, self.baskets, self.asked = tape, found, asked
        self.books = {b.index: PlainBook() for b in tape.markets.books if b.recorded}
        self.alive: dict[str, int] = {}
        self.running: dict[int, Piece] = {}
        self.since: dict[int, int] = {}
        self.opened: set[int] = set()  # pairs that did open while their edge stood
        self.pieces: dict[int, list[Piece]] = {k: [] for k in range(len(found))}
        self.unsynchronised = 0

    def asks(self, book: Book) -> list[tuple[int, int, bool]]:
        """(price, size, exact), best first, in the outcome's own prices."""
        if book.recorded:
            return sorted((p, *level) for p, level in self.books[book.index].sides[1].items())
        return sorted((MICRO - p, *level) for p, level in self.books[book.mirror].sides[0].items())

    def healthy(self, basket: Basket, now: int) -> bool:
        for leg in basket.legs:
            book = self.books[leg.index if leg.recorded else leg.mirror]
            if not book.known or not book.open or book.crossed or now > self.alive[leg.venue] + SILENCE:
                return False
        return True

    def edges(self, basket: Basket, q: int, now: int) -> tuple[int, int, bool] | None:
        """(net, gross, exact) of q shares, None where a leg does not hold them."""
        gross, fees, exact = basket.floor * q // MICRO, 0, True
        for leg in basket.legs:
            left, fills = q, []
            for price, size, true in self.asks(leg):
                if left > 0:
                    fills.append((price, min(size, left)))
                    left -= fills[-1][1]
                    exact = exact and true
            if left:
                return None
            gross -= sum(cost(price, part) for price, part in fills)
            if self.asked.fees is not None:
                rule = [rule for since, rule in self.asked.fees[leg.index] if since <= now][-1]
                fees += rule.order_fee(fills, maker=False)
        return gross - fees, gross, exact

    def judged(self, edges: tuple[int, int, bool]) -> int:
        return edges[1] if self.asked.gross else edges[0]

    def earns(self, edge: int, q: int) -> bool:
        return edge * MICRO >= self.asked.min_edge * q

    def sized(self, basket: Basket, now: int) -> tuple[int, int, int, bool]:
        """Try every size: the last lot of the right one still earns min_edge, and its exposure is allowed."""
        best = 0
        for q in range(basket.lot, self.asked.max_size + 1, basket.lot):
            edges = self.edges(basket, q, now)
            if edges is None or self.exposure(basket, q) > self.asked.max_exposure:
                break
            if q <= basket.min_size:
                best = q
                continue
            before = self.edges(basket, q - basket.lot, now)
            assert before is not None
            if not self.earns(self.judged(edges) - self.judged(before), basket.lot):
                break
            best = q
        net, gross, exact = self.edges(basket, best, now) or (0, 0, True)
        return best, net, gross, exact

    def exposure(self, basket: Basket, q: int) -> int:
        costs = []
        for leg in basket.legs:
            left, paid = q, 0
            for price, size, _ in self.asks(leg):
                paid += cost(price, min(size, left))
                left -= min(size, left)
            costs.append(paid)
        return sum(costs) - min(costs)

    def synchronised(self, basket: Basket) -> bool:
        a, b = (self.books[leg.index] for leg in basket.legs)
        if self.tape.clocks == "both":
            return abs(a.lag - b.lag) < SETTLE
        return a.best_set[1] == b.best_set[1]

    def stands_no_more(self, k: int) -> None:
        if self.since.pop(k, None) is not None and k not in self.opened:
            self.unsynchronised += 1
        self.opened.discard(k)

    def ended(self, k: int, end: int, censored: bool) -> None:
        self.pieces[k].append(self.running.pop(k)._replace(end=end, censored=censored))
        self.stands_no_more(k)

    def fall_silent(self, now: int) -> None:
        for k, basket in enumerate(self.baskets):
            last = min(self.alive.get(leg.venue, START - 10**15) for leg in basket.legs) + SILENCE
            if last < now:
                if k in self.running:
                    self.ended(k, last, True)
                self.stands_no_more(k)

    def judge(self, k: int, basket: Basket, now: int, row: int, touched: bool) -> None:
        healthy = self.healthy(basket, now)
        edges = self.edges(basket, basket.min_size, now) if healthy else None
        stands = edges is not None and self.earns(self.judged(edges), basket.min_size)
        if not stands:
            if k in self.running:
                closed = any(not self.books[b.index if b.recorded else b.mirror].open for b in basket.legs)
                lost = not healthy and not self.ended_by_close(basket, closed)
                self.ended(k, now, lost)
            self.stands_no_more(k)
            return
        assert edges is not None
        if k in self.running:
            if touched:
                piece = self.running[k]
                self.running[k] = piece._replace(later=(*piece.later, self.judged(edges)))
            return
        if basket.kind is Kind.COMPLEMENT and all(leg.recorded for leg in basket.legs):
            self.since.setdefault(k, now)
            if now - self.since[k] < SETTLE or not self.synchronised(basket):
                return
            self.opened.add(k)
        self.running[k] = Piece(row, now, 0, self.judged(edges), (), *self.sized(basket, now), False)

    def ended_by_close(self, basket: Basket, closed: bool) -> bool:
        """The venue closed a market, and no leg before it in the basket was lost from sight."""
        for leg in basket.legs:
            book = self.books[leg.index if leg.recorded else leg.mirror]
            if not book.known:
                return False
            if not book.open:
                return True
            if book.crossed:
                return False
        return closed

    def run(self) -> PlainScan:
        rows, start, message = self.tape.rows, 0, []
        columns = zip(*(column.tolist() for column in rows), strict=True)
        for row, (at, venue, book, code, price, size) in enumerate(columns):
            if not message:
                start = row
                self.fall_silent(at)
            message.append(book)
            self.books[book].row(code, price, size, at - venue, start)
            self.alive[self.tape.markets.books[book].venue] = at
            if code & m.LAST:
                for k, basket in enumerate(self.baskets):
                    homes = {leg.index if leg.recorded else leg.mirror for leg in basket.legs}
                    self.judge(k, basket, at, row, not homes.isdisjoint(message))
                message = []
        for k in list(self.running):
            self.ended(k, int(rows.ts_recv[-1]), True)
        for k in list(self.since):
            self.stands_no_more(k)
        return self

    def episodes(self) -> list[tuple[object, ...]]:
        """In order of start row and basket; columns as in a ScanResult."""
        found = []
        for k, pieces in self.pieces.items():
            groups: list[list[Piece]] = []
            for piece in pieces:
                if groups and piece.start - groups[-1][-1].end <= REARM:
                    groups[-1].append(piece)
                else:
                    groups.append([piece])
            q = self.baskets[k].min_size
            for group in groups:
                head = group[0]
                later = [edge for piece in group for edge in piece.later] + [piece.first for piece in group[1:]]
                found.append(
                    (
                        *(head.start_row, k, head.start, group[-1].end, sum(p.end - p.start for p in group)),
                        *(group[-1].censored, head.first * MICRO // q, max(later, default=head.first) * MICRO // q),
                        *(head.size, head.net, head.gross, head.exact),
                    )
                )
        return sorted(found)


# -- tapes drawn at random -----------------------------------------------------------------------------------


def table(both: bool) -> MarketTable:
    """Two markets of one event on one venue, and a third one elsewhere that asks what the first one asks."""
    known = {"payout": Cash(MICRO), "void": "none", "grids": ((0, Grid.of_tick("0.01")),)}
    event = {"event": "game", "exclusive": True, "exhaustive": True}
    a = Market(venue="v", id="a", lot=Size(HALF), min_size=Size(MICRO), **event, **known)  # type: ignore[arg-type]
    b = Market(venue="v", id="b", lot=Size(HALF), min_size=Size(HALF), **event, **known)  # type: ignore[arg-type]
    c = Market(venue="w", id="c", lot=Size(MICRO), min_size=Size(2 * MICRO), event="other", **known)  # type: ignore[arg-type]
    markets = (a, b, c)
    books = [
        Book(2 * i + j, market, outcome, 2 * i + 1 - j, j == 0 or (both and i != 1))
        for i, market in enumerate(markets)
        for j, outcome in enumerate(("yes", "no"))
    ]
    return MarketTable(markets, tuple(books), (Pair(a, c, "same"),))  # type: ignore[arg-type]


def random_tape(rng: np.random.Generator, messages: int, both: bool, one_clock: bool) -> Tape:
    """Books that keep meeting: few prices, sizes in half shares, gaps, silences, pauses and torn messages."""
    markets = table(both)
    recorded = [b.index for b in markets.books if b.recorded]
    rows: list[tuple[int, int, int, int, int, int]] = []
    now = START

    def add(book: int, code: int, price: int = 0, size: int = 0) -> None:
        rows.append((now, now - int(rng.choice([5, 20, 105, 300])) * MS, book, code, price, size))

    def level(book: int, last: bool, side: int | None = None) -> None:
        side = int(rng.integers(1, 3)) if side is None else side
        middle = 44 if side == m.SIDE_BID else 50
        reach = 5 if rng.random() < 0.03 else 2  # seldom far enough to cross
        price = int(middle + rng.integers(-reach, reach + 1)) * 10_000
        size = int(rng.choice([0, 0, 1, 2, 3, 5, 9])) * HALF
        add(book, m.meta(m.KIND_LEVEL, side, bool(rng.random() < 0.15), last), price, size)

    def snapshot(book: int) -> None:
        add(book, m.meta(m.KIND_CLEAR, last=False))
        for i in range(6):
            level(book, i == 5, 1 + i % 2)

    for book in recorded:
        if rng.random() < 0.9:
            snapshot(book)
    for _ in range(messages):
        now += (
            int(
                rng.choice(
                    [0, 1, 10, 50, 100, 300, 450, 2_000, 2_600], p=[0.2, 0.2, 0.2, 0.15, 0.1, 0.07, 0.05, 0.02, 0.01]
                )
            )
            * MS
        )
        book = int(rng.choice(recorded))
        what = rng.random()
        if what < 0.08:
            snapshot(book)
        elif what < 0.09:
            add(book, m.meta(m.KIND_GAP))
        elif what < 0.12:
            add(book, m.meta(m.KIND_STATUS), size=int(rng.choice([0, 0, 0, 0, 1, 4])))
        elif what < 0.14:
            add(book, m.meta(m.KIND_MARK))
        elif what < 0.16:
            add(book, m.meta(m.KIND_PRINT, m.BUYER), 480_000, MICRO)
        elif what < 0.5:
            level(book, last=False)
            level(int(rng.choice(recorded)), last=True)
        else:
            level(book, last=True)
    names = ("ts_recv", "ts_venue", "book", "meta", "price", "size")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return Tape.from_columns(markets, **columns, clocks="recv" if one_clock else "both", synthetic=True)


def found_baskets(tape: Tape) -> list[Basket]:
    return baskets(tape)
