"""Moving a client's books along a tape, step by step, and telling their best prices: the compiled half of `Replay`."""

from __future__ import annotations

from arbkit.books.ladder import forward
from arbkit.core.compiled import compiled
from arbkit.core.units import MICRO

NONE = -1  # in place of a best price


@compiled
def look(ladders, received, position, stop, most, first, every, asked, quotes):  # type: ignore[no-untyped-def]
    """Read on to `first` ns, and every `every` ns further as long as there is room in `quotes`, up to row `stop`.

    Each step fills one place of `quotes`, [steps, sides, asked], with the best prices as received of the books `asked`
    for, each in its own outcome's scale. Returns the next row and the steps made: fewer than there is room for after
    `most` rows, with which the next call goes on.
    """
    here = min(position + most, stop)
    for n in range(len(quotes)):
        now = first + n * every
        position = forward(ladders, received, position, here, now, False)
        if position == here < stop and received.at[position] <= now:
            return position, n
        for place in range(len(asked)):
            book = asked[place]
            flip = ladders.book[book].flip
            for side in range(2):
                slot = ladders.best[1 - side if flip else side, ladders.book[book].home].slot
                price = ladders.price[slot] if slot >= 0 else NONE
                quotes[n, side, place] = MICRO - price if flip and slot >= 0 else price
    return position, len(quotes)
