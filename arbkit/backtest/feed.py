"""The recorded books as a client receives them: one reader that never knows more than had arrived by now.

Messages are read one at a time: at the instant of a decision the books are those after the message that led to it,
and what arrived in the same instant behind it is read once time has moved.

`when` looks ahead with a second set of ladders, the scout, because the loop must know when the next basket opens
before it lets time pass; what `view` shows follows the clock, never the scout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arbkit.backtest.ledger import FeesByBook, rule_at
from arbkit.backtest.loop import END
from arbkit.backtest.received import leg_fees
from arbkit.backtest.scan import opportunity_id
from arbkit.backtest.scout import Episodes, Scout, mark_taken, open_already, scout_rows
from arbkit.backtest.terms import GridChanges, grid_of
from arbkit.books.edge import Baskets, Limits, Scratch, basket_arrays, largest_size, scratch
from arbkit.books.ladder import NEVER, U8, Ladders, copied, forward, take_over
from arbkit.books.view import LadderView, ladder_view, shown_of
from arbkit.books.watch import Columns, Rules, fresh_watch, mark_all
from arbkit.core.clock import LoopClock
from arbkit.core.errors import InvariantViolation
from arbkit.core.grid import Grid
from arbkit.core.model import ArbitrageOpportunity, Basket, Book, Side
from arbkit.core.ports import Clock
from arbkit.core.settled import settled
from arbkit.core.units import Cash, Size
from arbkit.fees import FeeRule, rule

CHUNK_ROWS = 100_000  # rows per compiled call: below 50 ms, so that Ctrl-C works
COPYING_ROWS, SLOTS_A_ROW = 250, 8  # copying all books takes as long as so many rows, and one more for so many slots
EVERYTHING = Size(10**13)  # ten million shares: what an engine may trade is the engine's to say
NO_BOUND = 2**60
FINE_GRID = Grid.of_tick("0.0001")  # of a market whose tick is unknown: its venue refuses nothing for it either
NO_FEES: FeeRule = rule("none")


@dataclass(slots=True)
class _Question:
    """What is watched for: baskets in compiled form. `gross` tells what `min_edge` is judged on."""

    baskets: tuple[Basket, ...]
    places: dict[str, int]  # by the basket's name
    arrays: Baskets
    rules: Rules
    room: Scratch
    armed: U8
    nobody: U8  # in place of `armed`, where nobody waits
    scout_rows: Callable[..., tuple[int, int]]
    open_already: Callable[..., int]
    largest_size: Callable[..., tuple[int, int, int, int]]
    mark_all: Callable[..., None]


class RecordedFeed:
    """Implements `ports.BookFeed` over the rows of a tape from one place onwards.

    `start` is the time (ns) of the client at that place. Without `fees` edges are judged gross and views charge none.
    `grids` are the changes of price grids, heard of `lag` ns after they were received.
    """

    def __init__(
        self,
        columns: Columns,
        ladders: Ladders,
        position: int,
        start: int,
        *,
        fees: FeesByBook | None,
        both_clocks: bool,
        max_silence: int,
        settle: int,
        hopeful: bool = False,
        gross: bool = False,
        grids: Mapping[int, GridChanges] | None = None,
        lag: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.ladders, self.position = ladders, position
        self._columns, self._end = columns, len(columns.at)
        self._held = start  # while the clock shows this, nothing more is read
        self._fees, self._gross = fees, gross or fees is None
        self._both, self._silence, self._settle, self._hopeful = both_clocks, max_silence, settle, hopeful
        self._grids, self._lag = grids or {}, lag
        self._clock = clock or LoopClock()
        self._copying = COPYING_ROWS + len(ladders.price) // SLOTS_A_ROW  # rows that take longer than a copy
        self._forward = settled(forward, ladders, columns, 0, 0, 0, hopeful)
        self._taken = settled(mark_taken, ladders, 0, 0, False, 0, 0)
        self._shown = shown_of(ladders)
        self._views: dict[int, LadderView] = {}  # made at one instant, before anything else was read or taken
        self._viewed = (start, position)
        self._question: _Question | None = None
        self._scout: Scout | None = None
        self._before: Scout | None = None  # the scout as it was before it ran ahead of orders that may still fill
        self._waiter: asyncio.Future[ArbitrageOpportunity | None] | None = None
        self._hit: tuple[int, int] | None = None  # (ns, basket) at which the scout stopped

    # -- what a client may ask -------------------------------------------------------------------------------

    def view(self, book: Book) -> LadderView:
        """Return the book as received now, less what we took as far as we know of it."""
        now = self._clock.now()
        self._read(now)
        if self._viewed != (now, self.position):
            self._viewed = now, self.position
            self._views.clear()
        if (known := self._views.get(book.index)) is not None:
            return known
        rule = rule_at(self._fees, book, now)
        found = self._views[book.index] = ladder_view(
            self.ladders,
            book,
            now,
            max_silence=self._silence,
            grid=grid_of(book, now - self._lag, self._grids) or FINE_GRID,
            fees=NO_FEES if rule is None else rule,
            shown=self._shown,
        )
        return found

    def distrust(self, book: Book, why: str) -> None:
        """Do nothing: a recording has no other terms than it shows."""

    def mark_stale(self, why: str) -> None:
        """Do nothing: in virtual time nobody is ever late."""

    async def when(self, baskets: Sequence[Basket], min_edge: Cash) -> ArbitrageOpportunity | None:
        """Wait until one of the baskets is open; None when the tape ends first. One call waits at a time.

        Its size is the largest that earns `min_edge` a share at the margin, whatever an engine may trade. Its id is
        that of the episode, also when it was open before it was asked for; at another `min_edge` episodes begin anew.
        """
        if self._waiter is not None and not self._waiter.done():
            raise InvariantViolation("the feed is asked for the next opportunity twice at once")
        now = self._clock.now()
        question = self._asked(baskets, min_edge, now)
        scout = self._catch_up(question, now)
        self._hit = self._before = None
        k = question.open_already(
            scout.ladders,
            question.arrays,
            question.rules,
            scout.watch,
            scout.episodes,
            question.armed,
            now,
            scout.position - 1,
            question.room,
        )
        if k >= 0:
            return self._opportunity(question, scout, int(k), now)
        self._waiter = asyncio.get_running_loop().create_future()
        return await self._waiter

    # -- what the world does ---------------------------------------------------------------------------------

    def next_event(self, until: int, *, may_be_undone: bool = False) -> int | None:
        """Return when, at or before `until` ns, the one who waits is to be woken; None: not by then.

        `may_be_undone` says that orders rest: a fill of theirs could change what we know before `until`.
        """
        if self._waiter is None or self._waiter.done() or self._question is None or self._scout is None:
            return None
        question, scout = self._question, self._scout
        if self._hit is None:
            if may_be_undone and self._before is None:
                self._before = scout.copy()
            self._hit = self._run(question, scout, until)
        return self._hit[0] if self._hit is not None and self._hit[0] <= until else None

    def wake(self) -> None:
        """Hand over the event at which the scout stopped; the clock shows its time."""
        if self._hit is None or self._waiter is None or self._question is None or self._scout is None:
            raise InvariantViolation("there is nothing to wake anybody for")
        (now, k), question, scout = self._hit, self._question, self._scout
        self._hit = self._before = None
        self._follow(scout)
        self._held = now
        found = self._opportunity(question, scout, k, now) if k >= 0 else None
        if not self._waiter.done():
            self._waiter.set_result(found)

    def take(self, book: Book, side: int, price: int, size: int) -> None:
        """Take shares out of what we show, because a report says that they are ours; `side` is the order's."""
        now = self._clock.now()
        self._read(now)
        taken = book.index, book.mirror, side == Side.BUY, price, size
        self._taken(self.ladders, *taken)
        self._views.clear()
        if self._scout is not None and self._question is not None:
            self._catch_up(self._question, now)
            self._before = None
            self._taken(self._scout.ladders, *taken)
            self._question.mark_all(self._scout.watch)

    # -- reading ---------------------------------------------------------------------------------------------

    def _read(self, now: int) -> None:
        """Apply what has arrived by `now`; nothing at the instant of a decision."""
        if now <= self._held:
            return
        while self.position < self._end and self._columns.at[self.position] <= now:
            stop = min(self.position + CHUNK_ROWS, self._end)
            self.position = self._forward(self.ladders, self._columns, self.position, stop, now, self._hopeful)
        self._held = now

    def _follow(self, scout: Scout) -> None:
        """Bring the client to where the scout is, whose books at any place are the client's at that place."""
        if scout.position - self.position > self._copying:
            take_over(self.ladders, scout.ladders)
            self.position = scout.position
        while self.position < scout.position:
            self.position = self._forward(
                self.ladders, self._columns, self.position, scout.position, END, self._hopeful
            )

    def _asked(self, baskets: Sequence[Basket], min_edge: Cash, now: int) -> _Question:
        """Return the question in compiled form; it and the scout are kept while the baskets are among the known."""
        question = self._question
        known = question.places if question is not None else {}
        new = [basket for basket in baskets if basket.id not in known]
        if question is None or new or question.rules.limits.min_edge != min_edge:
            everyone = (*(question.baskets if question is not None else ()), *new)
            arrays = basket_arrays(self.ladders, everyone, leg_fees(everyone, self._fees))
            limits = Limits(int(min_edge), int(self._gross), int(EVERYTHING), NO_BOUND)
            rules = Rules(limits, self._silence, self._settle, int(self._both), int(self._hopeful))
            armed = np.zeros(len(everyone), np.uint8)
            episodes = Episodes(np.full(len(everyone), -1, np.int64), np.full(len(everyone), NEVER, np.int64))
            if question is not None and question.rules.limits.min_edge == min_edge:
                before, same = self._catch_up(question, now), slice(len(question.baskets))
                episodes.row[same] = before.episodes.row
                episodes.ended[same] = np.where(before.watch.open, now, before.episodes.ended)  # those go on
            scout = self._scout = Scout(copied(self.ladders), self.position, fresh_watch(arrays), episodes)
            room = scratch(self.ladders, arrays)
            watched = (arrays, rules, scout.watch, episodes, armed)
            question = self._question = _Question(
                everyone,
                {basket.id: place for place, basket in enumerate(everyone)},
                arrays,
                rules,
                room,
                armed,
                np.zeros_like(armed),
                settled(scout_rows, scout.ladders, self._columns, *watched, 0, 0, 0, room),
                settled(open_already, scout.ladders, *watched, 0, 0, room),
                settled(largest_size, scout.ladders, arrays, 0, 0, limits, room),
                settled(mark_all, scout.watch),
            )
        question.armed[:] = 0
        question.armed[[question.places[basket.id] for basket in baskets]] = 1
        return question

    def _catch_up(self, question: _Question, now: int) -> Scout:
        """Bring the scout to where the client is, noting the episodes on the way; back, if it ran ahead."""
        self._read(now)
        scout = self._scout
        if scout is not None and scout.position > self.position:
            scout, self._hit = self._before, None
        if scout is None:
            raise InvariantViolation("the scout knows more than has arrived, and cannot forget it")
        self._scout = scout
        while scout.position < self.position:
            stop = min(scout.position + CHUNK_ROWS, self.position)
            scout.position, _ = self._step(question, scout, question.nobody, stop, END)
        return scout

    def _run(self, question: _Question, scout: Scout, until: int) -> tuple[int, int] | None:
        """Let the scout run to the next armed basket, to the end of the tape, or to `until`."""
        while scout.position < self._end and self._columns.at[scout.position] <= until:
            stop = min(scout.position + CHUNK_ROWS, self._end)
            scout.position, k = self._step(question, scout, question.armed, stop, until)
            if k >= 0:
                return int(self._columns.at[scout.position - 1]), int(k)
        if scout.position == self._end:
            return max(self._clock.now(), int(self._columns.at[-1]) if self._end else 0), -1
        return None

    def _step(self, question: _Question, scout: Scout, armed: U8, stop: int, until: int) -> tuple[int, int]:
        return question.scout_rows(
            scout.ladders,
            self._columns,
            question.arrays,
            question.rules,
            scout.watch,
            scout.episodes,
            armed,
            scout.position,
            stop,
            until,
            question.room,
        )

    def _opportunity(self, question: _Question, scout: Scout, k: int, now: int) -> ArbitrageOpportunity:
        basket, limits = question.baskets[k], question.rules.limits
        size, net, gross, exact = question.largest_size(scout.ladders, question.arrays, k, now, limits, question.room)
        return ArbitrageOpportunity(
            id=opportunity_id(basket, int(scout.episodes.row[k])),
            basket=basket,
            detected_at=now,
            size=Size(int(size)),
            edge=Cash(int(net)),
            edge_gross=Cash(int(gross)),
            exact=bool(exact),
        )
