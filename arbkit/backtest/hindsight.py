"""What the tape itself says afterwards: which decisions were still executable when, or so much later.

Plain dictionaries and one pass in the venue's own time, nothing shared with the compiled matcher: a completion rate
that disagrees with the share counted here is a bug in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from arbkit.core.model import Book
from arbkit.core.units import MICRO

if TYPE_CHECKING:
    from arbkit.history.tape import Tape

CHUNK = 200_000  # rows turned into Python numbers at a time


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

    def standing(self, book: Book, worst: int) -> int:
        """Return how many shares of an outcome are asked for at `worst` or less; none of a book unknown or closed.

        A market is closed as soon as one of its two books says so.
        """
        sides = self._sides.get(book.index if book.recorded else book.mirror)
        if sides is None or self._closed & {book.index, book.mirror}:
            return 0
        if book.recorded:
            return sum(size for price, size in sides[1].items() if price <= worst)
        return sum(size for price, size in sides[0].items() if MICRO - price <= worst)

    def holds(self, legs: Iterable[tuple[Book, int, int]]) -> bool:
        """Tell whether every leg's shares stand at or below its worst price, all at once."""
        return all(self.standing(book, worst) >= size for book, size, worst in legs)


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


def look_back(tape: Tape, decisions: Sequence[Sequence[Plan]]) -> list[tuple[bool, ...]]:
    """Tell of each plan in each list whether all its legs still stood at their worst prices when its orders arrived.

    One pass over the tape, whatever the number of lists; a plan without legs never stood.
    """
    answers = [[False] * len(plans) for plans in decisions]
    _pass(
        tape,
        [
            (plan.at, _stands(stood, i, plan))
            for stood, plans in zip(answers, decisions, strict=True)
            for i, plan in enumerate(plans)
        ],
    )
    return [tuple(stood) for stood in answers]


def _stands(found: list[bool], index: int, plan: Plan) -> Question:
    def question(books: PlainBooks) -> None:
        found[index] = bool(plan.legs) and books.holds(plan.legs)

    return question
