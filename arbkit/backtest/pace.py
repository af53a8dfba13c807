"""Moving the client's and the venues' books along a tape together, step by step: the compiled half of `Replay`."""

from __future__ import annotations

from arbkit.backtest.scout import forward
from arbkit.backtest.venue_books import step
from arbkit.core.compiled import compiled
from arbkit.core.units import MICRO

NONE = -1  # in place of a best price


@compiled
def keep_pace(  # type: ignore[no-untyped-def]
    ladders, received, position, stop, books, happened, venue_position, most, nobody, first, every, asked, quotes
):
    """Move both sides to `first` ns, and every `every` ns further as long as there is room in `quotes`.

    The client reads rows up to place `stop`. Each step fills one place of `quotes`, [steps, sides, asked], with the
    best prices as received of the books `asked` for, each in its own outcome's scale. Returns both positions and the steps made: fewer than there is room for after `most` rows,
    with which the next call goes on.
    """
    rows, plain = len(happened.at), len(happened.order) == 0
    here, there = min(position + most, stop), min(venue_position + most, rows)
    for n in range(len(quotes)):
        now = first + n * every
        position = forward(ladders, received, position, here, now, False)
        venue_position, _, _ = step(happened, venue_position, there, now, books, *nobody)
        if position == here < stop and received.at[position] <= now:
            return position, venue_position, n
        if venue_position == there < rows:
            row = venue_position if plain else happened.order[venue_position]
            if happened.at[row] <= now:
                return position, venue_position, n
        for place in range(len(asked)):
            book = asked[place]
            flip = ladders.book[book].flip
            for side in range(2):
                slot = ladders.best[1 - side if flip else side, ladders.book[book].home].slot
                price = ladders.price[slot] if slot >= 0 else NONE
                quotes[n, side, place] = MICRO - price if flip and slot >= 0 else price
    return position, venue_position, len(quotes)
