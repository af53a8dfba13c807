"""A tape whose files were exchanged or changed is refused before compiled code believes its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arbkit.backtest.world import Replay
from arbkit.books.meta import KIND_LEVEL, KIND_MASK
from arbkit.core.errors import DataError
from arbkit.history.synthetic import SyntheticSpec, synthetic_tape
from arbkit.history.tape import Tape


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthetic_tape(SyntheticSpec(minutes=1.0, episodes=4))


def changed(tape: Tape, column: str, row: int, value: int) -> Tape:
    values = np.array(getattr(tape.rows, column))
    values[row] = value
    return replace(tape, rows=tape.rows._replace(**{column: values}))


def a_level(tape: Tape) -> int:
    """Return a row of a level in the middle of the tape."""
    levels = np.flatnonzero((tape.rows.meta & KIND_MASK) == KIND_LEVEL)
    return int(levels[len(levels) // 2])


@pytest.mark.parametrize("price", [0, 999_999])
def test_a_level_outside_the_prices_of_its_book_is_refused_by_row_and_price(tape: Tape, price: int) -> None:
    row = a_level(tape)
    with pytest.raises(DataError, match=rf"row {row}: book \d+, price {price}: .* do not belong together"):
        Replay(changed(tape, "price", row, price))


@pytest.mark.parametrize("book", [-1, 30_000])
def test_a_row_of_a_book_that_there_is_not_is_refused(tape: Tape, book: int) -> None:
    with pytest.raises(DataError, match=rf"row 7: book {book}, price"):
        Replay(changed(tape, "book", 7, book))


def test_a_tape_and_a_part_of_it_are_what_their_prices_were_stored_for(tape: Tape) -> None:
    middle = int(tape.rows.ts_recv[len(tape) // 2])
    for whole in (tape, tape.slice(int(tape.rows.ts_recv[0]), middle)):
        replay = Replay(whole)
        replay.forward(len(whole) - 1)
        assert replay.position == len(whole)
