"""Whether a book may price an order, and if not, why: only a known, uncrossed, open book on a live stream may."""

from arbkit.core.compiled import inlined
from arbkit.core.model import Health

# What the compiled side says; the place in NAMES is the code. The order is the order in which reasons are given.
OK, UNKNOWN, GAPPED, CLOSED, SILENT, CROSSED = range(6)
NAMES = (Health.OK, Health.UNKNOWN, Health.GAPPED, Health.CLOSED, Health.SILENT, Health.CROSSED)


@inlined
def health_code(ladders, book, now, max_silence):  # type: ignore[no-untyped-def]
    """Return 0 when a book may price an order at `now` ns, else the first reason why not.

    `max_silence` ns may pass since the last proof that the book's stream was alive; a market that is quiet on a
    live stream is not stale. A locked book (best bid = best ask) counts as crossed. Agrees with `is_healthy`.
    """
    home = ladders.book[book].home
    if ladders.book[home].known == 0:
        return GAPPED if ladders.book[home].gapped else UNKNOWN
    if ladders.book[home].status != 0:
        return CLOSED
    if now - ladders.alive[ladders.book[home].stream] > max_silence:
        return SILENT
    bid, ask = ladders.best[0, home].slot, ladders.best[1, home].slot
    if bid >= 0 and ask >= 0 and ladders.price[bid] >= ladders.price[ask]:
        return CROSSED
    return OK
