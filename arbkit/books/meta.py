"""The byte that says what a row of the tape is: `kind | side << 4 | lower << 6 | last << 7`."""

KIND_CLEAR = 0  # both sides empty: first sight of a book, or the end of a gap
KIND_LEVEL = 1  # a new total at a price; 0 removes it
KIND_PRINT = 2  # a trade between others
KIND_STATUS = 3  # `size`: 0 open, 1 paused, 2 post-only, 3 cancel-only, 4 closed
KIND_GAP = 4  # unknown from here until the next clear
KIND_GRID = 5  # `size`: number of the price grid now in force
KIND_FEE = 6  # `size`: number of the fee rule now in force
KIND_RESOLUTION = 7  # `price`: payout per share
KIND_MARK = 8  # the stream is alive

SIDE_NONE, SIDE_BID, SIDE_ASK = 0, 1, 2  # of levels
BUYER, SELLER, UNKNOWN_AGGRESSOR = 1, 2, 3  # of prints: who took

KIND_MASK = 0x0F
SIDE_SHIFT = 4
SIDE_MASK = 0x30
LOWER_SHIFT = 6
LOWER = 0x40  # the true size is unknown, at least this; on prints: the time is inferred
LAST = 0x80  # last row of its message: only here is a book a book

OPEN, PAUSED, POST_ONLY, CANCEL_ONLY, CLOSED = range(5)  # of status rows


def meta(kind: int, side: int = SIDE_NONE, lower: bool = False, last: bool = True) -> int:
    """Pack one row's meta byte."""
    return kind | side << SIDE_SHIFT | (LOWER if lower else 0) | (LAST if last else 0)
