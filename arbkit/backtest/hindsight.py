"""What the tape itself says afterwards: which decisions were still executable later, and where prices went.

Plain dictionaries and one pass in the venue's own time, nothing shared with the compiled matcher: a completion rate
that disagrees with the share counted here is a bug in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from arbkit.books.meta import (
    KIND_CLEAR,
    KIND_GAP,
    KIND_LEVEL,
    KIND_MASK,
    KIND_RESOLUTION,
    KIND_STATUS,
    SIDE_BID,
    SIDE_MASK,
    SIDE_SHIFT,
)
from arbkit.core.model import Book, Purpose
from arbkit.core.units import MICRO, NS_PER_MS

if TYPE_CHECKING:
    from arbkit.core.model import ExecutionResult
    from arbkit.history.tape import Tape

HORIZONS_MS = (100, 500, 1_000, 5_000, 10_000, 60_000)
CHUNK = 200_000  # rows turned into Python numbers at a time


@dataclass(frozen=True, slots=True)
class Markout:
    """Where the mid of a leg's book stood `horizon_ms` after a fill, in the leg's own outcome; -1: no two-sided book."""

    trade_id: str
    leg: int
    purpose: Purpose
    maker: bool
    horizon_ms: int
    price: int
    mid: int
    side: int
    size: int


class Plan(NamedTuple):
    """One decision: when its orders reach the venue and, per leg, the book, the shares and the worst price."""

    at: int
    legs: tuple[tuple[Book, int, int], ...]


class PlainBooks:
    """Every recorded book as two dictionaries of totals by price."""

    def __init__(self) -> None:
        self._sides: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
        self._closed: set[int] = set()

    def apply(self, book: int, meta: int, price: int, size: int) -> None:
        kind = meta & KIND_MASK
        if kind == KIND_LEVEL:
            sides = self._sides.get(book)
            if sides is None:
                return
            levels = sides[0 if (meta & SIDE_MASK) >> SIDE_SHIFT == SIDE_BID else 1]
            if size:
                levels[price] = size
            else:
                levels.pop(price, None)
        elif kind == KIND_CLEAR:
            self._sides[book] = ({}, {})
        elif kind == KIND_GAP:
            self._sides.pop(book, None)
        elif kind == KIND_STATUS:
            (self._closed.discard if size == 0 else self._closed.add)(book)
        elif kind == KIND_RESOLUTION:
            self._closed.add(book)

    def asks(self, book: Book) -> list[tuple[int, int]]:
        """Return (price, size) of the asks of an outcome, best first; empty when the book is unknown or closed."""
        home = book.index if book.recorded else book.mirror
        sides = self._sides.get(home)
        if sides is None or home in self._closed:
            return []
        if book.recorded:
            return sorted(sides[1].items())
        return sorted((MICRO - price, size) for price, size in sides[0].items())

    def mid(self, book: Book) -> int:
        """Return the mid in the outcome's own scale, or -1 when a side is missing."""
        home = book.index if book.recorded else book.mirror
        sides = self._sides.get(home)
        if sides is None or not sides[0] or not sides[1]:
            return -1
        middle = (max(sides[0]) + min(sides[1])) // 2
        return middle if book.recorded else MICRO - middle

    def holds(self, legs: Iterable[tuple[Book, int, int]]) -> bool:
        """Tell whether every leg's shares stand at or below its worst price, all at once."""
        for book, size, worst in legs:
            if sum(there for price, there in self.asks(book) if price <= worst) < size:
                return False
        return True


Question = Callable[[PlainBooks], None]


def _pass(tape: Tape, questions: list[tuple[int, Question]]) -> None:
    """Ask each question of the books as they stood at its venue time, rows at that very time included."""
    questions.sort(key=lambda question: question[0])
    when = tape.venue_time
    order = np.argsort(when, kind="stable")
    books, asked = PlainBooks(), 0
    for start in range(0, len(order), CHUNK):
        if asked == len(questions):
            return
        rows = order[start : start + CHUNK]
        columns = (when[rows], tape.rows.book[rows], tape.rows.meta[rows], tape.rows.price[rows], tape.rows.size[rows])
        for at, book, meta, price, size in zip(*(column.tolist() for column in columns), strict=True):
            while asked < len(questions) and questions[asked][0] < at:
                questions[asked][1](books)
                asked += 1
            books.apply(book, meta, price, size)
    for _, question in questions[asked:]:
        question(books)


def look_back(
    tape: Tape,
    decisions: Sequence[tuple[Sequence[Plan], Sequence[ExecutionResult]]],
    horizons_ms: Sequence[int] = HORIZONS_MS,
) -> list[tuple[list[bool], list[Markout]]]:
    """Answer for every list of decisions and what became of them, in one pass over the tape.

    First whether all legs of each plan still stood at their worst prices when the orders arrived; then the mid after
    every entry fill at each horizon, in the order of results, legs, fills and horizons. Horizons beyond the end of
    the tape are left out rather than answered with the last book.
    """
    end = int(tape.venue_time.max()) if len(tape) else 0
    answers: list[tuple[list[bool], list[Markout]]] = []
    questions: list[tuple[int, Question]] = []
    for plans, results in decisions:
        stood = [False] * len(plans)
        due = [ask for result in results for ask in _due(result, end, horizons_ms)]
        marks = [mark for _, _, mark in due]
        questions += [(plan.at, _stands(stood, i, plan)) for i, plan in enumerate(plans)]
        questions += [(at, _marks(marks, i, book)) for i, (at, book, _) in enumerate(due)]
        answers.append((stood, marks))
    _pass(tape, questions)
    return answers


def _stands(found: list[bool], index: int, plan: Plan) -> Question:
    def question(books: PlainBooks) -> None:
        found[index] = bool(plan.legs) and books.holds(plan.legs)

    return question


def _marks(found: list[Markout], index: int, book: Book) -> Question:
    def question(books: PlainBooks) -> None:
        found[index] = replace(found[index], mid=books.mid(book))

    return question


def _due(result: ExecutionResult, end: int, horizons_ms: Sequence[int]) -> list[tuple[int, Book, Markout]]:
    return [
        (
            fill.venue_at + horizon * NS_PER_MS,
            leg.book,
            Markout(
                result.trade.id, leg.index, order.purpose, fill.maker, horizon,
                fill.price, -1, int(order.side), fill.size,
            ),
        )
        for leg in result.trade.legs
        for order in leg.entries()
        for fill in order.standing
        for horizon in horizons_ms
        if fill.venue_at + horizon * NS_PER_MS <= end
    ]  # fmt: skip
