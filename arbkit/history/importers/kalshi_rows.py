"""The rows of a recorded Kalshi CSV file, checked, and what one reading of a file tells about all of it.

The columns are timestamp, event_type, price, side, size, best_bid, best_ask. NO bids were turned into YES asks.
`book` rows (no stamp, in pairs) give only the best levels of the snapshot that the recorder began with; sizes of
`price_change` rows are signed changes, and the bests beside them are those after the change. `last_trade_price`
rows carry whole seconds and, for sellers, the price of the NO side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from arbkit.books import meta as m
from arbkit.core.grid import Grid
from arbkit.core.units import MICRO
from arbkit.history.importers.base import Source, csv_rows, is_coarse, recorded_ns, snap, snap_price
from arbkit.history.importers.solving import Opening, SideProof
from arbkit.history.quality import FileLog

HEADER = "timestamp,event_type,price,side,size,best_bid,best_ask"
SIDES = {"BUY": m.SIDE_BID, "SELL": m.SIDE_ASK}
BOOK, CHANGE, TRADE = "book", "price_change", "last_trade_price"
T = TypeVar("T")


class Row(NamedTuple):
    """One row of a file, checked; `stamp` in ns, None where there is none; prices and sizes in millionths.

    For a trade, `price` is on the YES scale and `side` that of the level it was made at.
    """

    line: int
    kind: str
    side: int
    price: int
    size: int
    bid: int | None
    ask: int | None
    stamp: int | None
    coarse: bool


class Pair(NamedTuple):
    """The best levels of a snapshot, (price, size) or None for an empty side; `line` is that of its first row."""

    line: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None


class _Refused(ValueError):
    """A row that cannot be meant; `what` names field and fault."""

    def __init__(self, what: str, detail: object) -> None:
        super().__init__(str(detail))
        self.what = what


def events(source: Source, log: FileLog, grid: Grid | None) -> Iterator[Pair | Row]:
    """Yield the rows of a file in order, `book` rows as pairs; refused rows are counted in the log.

    A pair directly after a pair replaces it: nothing was recorded between the two starts.
    """
    pair: Pair | None = None
    for row in _rows(source, log, grid):
        if row.kind != BOOK:
            if pair is not None:
                yield pair
                pair = None
            yield row
            continue
        best = (row.price, row.size)
        if pair is not None and row.side == m.SIDE_BID and pair.bid is None:
            pair = pair._replace(bid=best)
        elif pair is not None and row.side == m.SIDE_ASK and pair.ask is None:
            pair = pair._replace(ask=best)
        else:
            pair = Pair(row.line, *((best, None) if row.side == m.SIDE_BID else (None, best)))
    if pair is not None:
        yield pair


def _rows(source: Source, log: FileLog, grid: Grid | None) -> Iterator[Row]:
    for line, cells in csv_rows(source, HEADER.split(","), log):
        try:
            yield _row(line, cells, grid)
        except _Refused as refused:
            log.refuse(line, refused.what, str(refused))


def _row(line: int, cells: list[str], grid: Grid | None) -> Row:
    stamp_text, kind, price_text, side_text, size_text, bid_text, ask_text = cells
    if kind not in (BOOK, CHANGE, TRADE):
        raise _Refused("event_type: unknown", repr(kind))
    if side_text not in SIDES:
        raise _Refused("side: neither BUY nor SELL", repr(side_text))
    price, size = _read("price", price_text, snap_price), _read("size", size_text, snap)
    if not 0 < price < MICRO:
        raise _Refused("price: not between 0 and 1 dollar", price_text)
    if grid is not None and not grid.holds(price):
        raise _Refused("price: not on the market's grid", price_text)
    if size == 0 or (size < 0 and kind != CHANGE):
        raise _Refused("size: not above zero", size_text)
    side = SIDES[side_text]
    if kind == TRADE:  # a buyer takes asks at the YES price, a seller takes bids and the NO price is printed
        side, price = (m.SIDE_ASK, price) if side == m.SIDE_BID else (m.SIDE_BID, MICRO - price)
    bid, ask = _read("best_bid", bid_text, _best), _read("best_ask", ask_text, _best)
    if kind == BOOK and price != (bid if side == m.SIDE_BID else ask):
        raise _Refused("price: not the best that the same row prints", price_text)
    if not stamp_text and kind != BOOK:
        raise _Refused("timestamp: missing", kind)
    stamp = _read("timestamp", stamp_text, recorded_ns) if stamp_text else None
    return Row(line, kind, side, price, size, bid, ask, stamp, is_coarse(stamp_text))


def _read(name: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise _Refused(f"{name}: cannot be read", error) from error


def _best(text: str) -> int | None:
    """Return a printed best; a blank one, or 0 and 1 which nobody can quote, is an empty side."""
    value = snap_price(text) if text else 0
    return value if 0 < value < MICRO else None


# -- first reading -------------------------------------------------------------------------------------------


class Session(NamedTuple):
    """What the recorder saw from one start to the next: opening levels, and how far it can be believed."""

    opening: dict[int, dict[int, Opening]]  # side -> price -> size
    believed: int | None  # last line before sync was lost, None when it never was


class Survey:
    """Sessions by the line of their pair, and when pairs stand in mid-file (`restarts`, ns: the row before each)."""

    def __init__(self, source: Source, lot: int, grid: Grid | None) -> None:
        self._source, self._lot, self._grid = source, lot, grid
        self.restarts: list[int] = []
        self.sessions: dict[int, Session] = {}
        cuts = self._read({})
        if cuts:  # once more without what came after sync was lost: that must bound and prove nothing
            self._read(cuts)

    def _read(self, cuts: dict[int, int]) -> dict[int, int]:
        """Solve every session; return, for those that lost sync, the last line to believe by the line of the pair."""
        self.restarts, self.sessions = [], {}
        session: _Solving | None = None
        now: int | None = None
        for event in events(self._source, FileLog(self._source.name), self._grid):
            if isinstance(event, Pair):
                if session is not None:
                    self.sessions[session.line] = session.solved()
                if now is not None:
                    self.restarts.append(now)
                session = _Solving(event, self._lot, cuts.get(event.line))
            elif event.kind == CHANGE:
                assert event.stamp is not None  # `_row` refuses a change without one
                now = event.stamp if now is None else max(now, event.stamp)
                if session is not None:
                    session.add(event)
        if session is not None:
            self.sessions[session.line] = session.solved()
        return {line: s.believed for line, s in self.sessions.items() if s.believed is not None}


class _Solving:
    """One session while it is read for the first time; rows after the line `cut` are left out."""

    def __init__(self, pair: Pair, lot: int, cut: int | None) -> None:
        self.line, self._cut = pair.line, cut
        self._believed = cut
        self._sides = {
            m.SIDE_BID: SideProof(1, pair.bid, pair.line, lot),
            m.SIDE_ASK: SideProof(-1, pair.ask, pair.line, lot),
        }

    def add(self, row: Row) -> None:
        """Take in a change, unless sync was lost before it."""
        if self._believed is not None and (self._cut is None or row.line > self._cut):
            return
        bests = {m.SIDE_BID: row.bid, m.SIDE_ASK: row.ask}
        self._sides[row.side].change(row.line, row.price, row.size)
        if row.bid is not None and row.ask is not None and row.bid >= row.ask:
            # The other side's best should be gone: it is believed up to the row that touched it last.
            other = m.SIDE_BID + m.SIDE_ASK - row.side
            self._believed = min(self._sides[other].touched_at(bests[other], self.line), row.line - 1)
            return
        for side, proof in self._sides.items():
            believed = proof.printed(row.line, bests[side], row.price if side == row.side else None)
            if believed is not None:
                self._believed = believed
                return

    def solved(self) -> Session:
        return Session({side: proof.opening() for side, proof in self._sides.items()}, self._believed)
