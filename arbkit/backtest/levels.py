"""Setting a level, for loops that run over millions of rows.

The rule is that of `books.ladder.set_level`, and a property holds the two together. This one takes arrays instead of
`Ladders`: in compiled code every field read off a named tuple counts references, so a loop that reads the fields once,
before it, is five times as fast as one that hands the whole tuple down for each row.
"""

from arbkit.core.compiled import compiled


@compiled
def put_level(offset, size, low, taken, top, message, book, side, slot, total, lower, number, hopeful):  # type: ignore[no-untyped-def]
    """Set one level to a new total, keep the best up to date and settle what we took there; `number`: its message."""
    before, ours = size[side, slot], taken[side, slot]
    size[side, slot] = total
    low[side, slot] = 1 if lower and total > 0 else 0
    if ours > 0:
        if hopeful and total < before:
            ours = max(0, ours - (before - total))
        taken[side, slot] = min(ours, total)
    best = top[side, book]
    if total > 0:
        if best < 0 or (slot > best if side == 0 else slot < best):
            top[side, book] = slot
            message[side, book] = number
        elif slot == best:
            message[side, book] = number
    elif slot == best:
        way = -1 if side == 0 else 1
        end = offset[book] - 1 if side == 0 else offset[book + 1]
        slot += way
        while slot != end and size[side, slot] == 0:
            slot += way
        top[side, book] = -1 if slot == end else slot
        message[side, book] = number
