"""A whole simulated world, and the replay that puts one at any place of a tape.

A world is a loop in virtual time, a venue per name on the market table, one matcher behind them and one feed before
them. `Replay` moves two sets of books along the tape, the client's and the venues', and forks them into fresh worlds
cheaply: a comparison makes one pass, whatever the number of strategies.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from arbkit.backtest.feed import RecordedFeed
from arbkit.backtest.latency import LatencyModel
from arbkit.backtest.ledger import FeesByBook, Payout
from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.backtest.matching import CHUNK_ROWS, Matcher
from arbkit.backtest.pace import look
from arbkit.backtest.queue import rule_of
from arbkit.backtest.simulated_venue import SimulatedVenue
from arbkit.backtest.tape_views import (
    by_venue,
    printing,
    received,
    received_later,
    twins,
    unknown_books,
)
from arbkit.backtest.terms import grids_by_venue, grids_received, resolutions
from arbkit.backtest.venue_books import MATCH, ORDER, VenueBooks, forked, opened, step
from arbkit.books.ladder import I64, Ladders, copied
from arbkit.core.errors import ConfigError, InvariantViolation
from arbkit.core.ports import Clock
from arbkit.core.settled import settled
from arbkit.history.tape import forget

if TYPE_CHECKING:
    from arbkit.backtest.scenario import Scenario
    from arbkit.core.model import Book
    from arbkit.history.tape import Tape

T = TypeVar("T")
PACE_ROWS = 1 << 14  # the client reads before the venues follow: half a megabyte, still near the processor
KEPT_ROWS = 1 << 18  # of a mapped tape: 8 MB of what was read stay in memory, not all of it


class World:
    """Everything an engine needs from outside, simulated: `venues`, `feed`, `clock`, and `run` to run it in.

    `books` are those of the market table.

    `ladders` and `books` belong to the world from here on. `position` counts rows received, `venue_position` rows
    in the venue's order; `start` is the client's time (ns). Latency draws are keyed by `opportunity_id`.
    """

    def __init__(
        self,
        tape: Tape,
        ladders: Ladders,
        position: int,
        books: VenueBooks,
        venue_position: int,
        scenario: Scenario,
        *,
        start: int,
        fees: FeesByBook | None = None,
        opportunity_id: str = "",
        gross: bool = False,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        hopeful = scenario.consumption == "hopeful"
        names = tuple(dict.fromkeys(book.venue for book in tape.markets.books))
        _refuse_unknown(scenario, names)
        self.loop = SimLoop(start, market=self._market)
        self.clock: Clock = self.loop
        self.books = tape.markets.books
        self.matcher = Matcher(
            by_venue(tape),
            books,
            venue_position,
            rule=rule_of(scenario.queue),
            hopeful=hopeful,
            printing=printing(tape),
            grids=grids_by_venue(tape),
            makers_yield={name for name in names if scenario.habits_of(name).self_trade == "maker"},
            chunk_rows=chunk_rows,
        )
        self.feed = RecordedFeed(
            received_later(tape, scenario.feed_ns),
            ladders,
            position,
            start,
            fees=fees,
            both_clocks=tape.clocks == "both",
            max_silence=scenario.max_silence_ns,
            settle=scenario.mirror_settle_ns,
            hopeful=hopeful,
            gross=gross,
            grids=grids_received(tape),
            lag=scenario.feed_ns,
            clock=self.clock,
        )
        latency = LatencyModel(
            scenario.entry_ns, scenario.reply_ns, scenario.jitter, scenario.seed, opportunity_id, scenario.latency
        )
        self.venues = {
            name: SimulatedVenue(
                name,
                self.matcher,
                latency,
                cash=scenario.balance(name),
                fees=fees,
                decide_ns=scenario.decide_ns,
                on_take=self.feed.take,
                habits=scenario.habits_of(name),
                resolutions=resolutions(tape),
                clock=self.clock,
            )
            for name in names
        }

    @property
    def opening_cash(self) -> int:
        """Cash at all venues before the first order, millionths of a dollar."""
        return sum(venue.opening_cash for venue in self.venues.values())

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in this world's time and return its result; the world can be used again afterwards."""
        return run_virtual(main, self.loop)

    def paid(self, at: int) -> list[Payout]:
        """Return what the venues have paid for resolved markets by `at` ns."""
        return [payout for venue in self.venues.values() for payout in venue.paid(at)]

    def check(self) -> None:
        """Raise InvariantViolation unless every venue's fills add up to its balances."""
        for venue in self.venues.values():
            venue.check()

    def _market(self, until: int) -> int | None:
        """Move the recording to `until` at most: the first fill of ours, or the opening somebody waits for.

        The venue goes no further than the client's next event, since what the client does then may come first.
        """
        waits = self.matcher.waits
        seen = self.feed.next_event(until, may_be_undone=waits)
        if waits:
            matched = self.matcher.advance(until if seen is None else min(until, seen))
            if matched is not None:
                return max(matched, self.loop.time_ns())
        if seen is not None:
            self.feed.wake()
        return seen


def _refuse_unknown(scenario: Scenario, venues: Collection[str]) -> None:
    """Raise ConfigError for an assumption about a venue that is not on the tape: a slip of the pen would be unseen."""
    if not isinstance(scenario.habits, str):
        for venue in scenario.habits:
            if venue not in venues:
                raise ConfigError(f"scenario.habits: the tape has no venue {venue!r}, only {', '.join(venues)}")
    for name in scenario.latency:
        venue = name.rpartition(":")[0]
        if venue and venue not in venues:
            raise ConfigError(f"scenario.latency: {name!r}: the tape has no venue {venue!r}, only {', '.join(venues)}")


class Replay:
    """The books of a tape, moved forward from decision to decision; `world` forks them.

    `fees` are dated rules by book, None where they are not known. Moves only forward, whatever `chunk_rows` in the
    same way.
    """

    def __init__(self, tape: Tape, fees: FeesByBook | None = None, *, chunk_rows: int = PACE_ROWS) -> None:
        self.tape, self.fees, self._chunk = tape, fees, chunk_rows
        self.now = int(tape.rows.ts_recv[0]) if len(tape) else 0  # ns, without the scenario's feed lag
        self.ladders, self.position = unknown_books(tape), 0
        self.books, self.venue_position = opened(copied(self.ladders), twins(tape.markets)), 0
        self._received, self._by_venue = received(tape), by_venue(tape)
        self._forgotten = 0  # rows read whose memory was given back
        self._unasked: tuple[I64, I64] = np.zeros(0, np.int64), np.zeros((1, 2, 0), np.int64)
        # what `step` asks of resting orders: there are none
        self._nobody = np.zeros(1, ORDER), 0, np.zeros(len(self.books.twin), np.int64), 0, False, np.zeros(1, MATCH)
        self._look = settled(look, self.ladders, self._received, 0, 0, 0, 0, 0, *self._unasked)
        self._step = settled(step, self._by_venue, 0, 0, 0, self.books, *self._nobody)

    def forward(self, row: int) -> None:
        """Move to the moment after row `row` was received; the venue has what it had done by then."""
        if not self.position - 1 <= row < len(self.tape):
            raise InvariantViolation(f"row {row} is not between {self.position - 1} and {len(self.tape) - 1}")
        self.now = max(self.now, int(self.tape.rows.ts_recv[row]))
        self._move(row + 1, 0, *self._unasked)

    def forward_to(self, ns: int) -> None:
        """Move to a time: everything received by then is known, and everything the venue had done by then."""
        if ns < self.now:
            raise InvariantViolation(f"a replay at {self.now} ns does not go back to {ns}")
        self.now = ns
        self._move(len(self.tape), 0, *self._unasked)

    def quotes(self, books: Sequence[Book], every_ns: int, steps: int) -> I64:
        """Move on by `every_ns` so many times, and return the best prices that a client had received after each.

        Millionths by [step, side, book asked for], each book in its own outcome's scale, -1 where a side is empty; what
        health a book was in is not told.
        """
        if every_ns <= 0:
            raise InvariantViolation(f"a replay moves on by so many ns, not by {every_ns}")
        asked = np.array([book.index for book in books], np.int64)
        found: I64 = np.zeros((steps, 2, len(asked)), np.int64)
        self.now += every_ns
        self._move(len(self.tape), every_ns, asked, found)
        self.now += every_ns * (steps - 1)
        return found

    def world(
        self,
        scenario: Scenario,
        opportunity_id: str = "",
        *,
        at: int | None = None,
        gross: bool = False,
        chunk_rows: int = CHUNK_ROWS,
    ) -> World:
        """Return a fresh world that begins here: nothing of what happens in it comes back.

        `at` (ns) is when the client decides, if not at the very moment its last message arrived; like `now` it is
        told without the scenario's feed lag, which is added. `gross` judges the feed's edges before fees.
        """
        start = self.now if at is None else at
        if start < self.now:
            raise InvariantViolation(f"a world that begins at {start} ns cannot know what arrived at {self.now}")
        return World(
            self.tape,
            copied(self.ladders),
            self.position,
            forked(self.books),
            self.venue_position,
            scenario,
            start=start + scenario.feed_ns,
            fees=self.fees,
            opportunity_id=opportunity_id,
            gross=gross,
            chunk_rows=chunk_rows,
        )

    def _move(self, stop: int, every: int, asked: I64, quotes: I64) -> None:
        """Move both sides to now, and on by `every` ns while there is room in `quotes`; the client up to row `stop`.

        The venues follow the client over rows that were read a moment ago, and are where they belong when it ends.
        """
        made = 0
        while made < len(quotes):
            now, room = self.now + made * every, quotes[made:]
            self.position, steps = self._look(
                self.ladders, self._received, self.position, stop, self._chunk, now, every, asked, room
            )
            made += steps
            self._happen(now + (steps - 1) * every if steps else int(self._received.at[self.position - 1]))
            if self.position - self._forgotten >= KEPT_ROWS:
                forget(self.tape.rows)
                self._forgotten = self.position

    def _happen(self, until: int) -> None:
        """Let everything happen at the venues up to a time."""
        rows, later = len(self._by_venue.at), 0
        while not later and self.venue_position < rows:
            stop = min(self.venue_position + self._chunk, rows)
            self.venue_position, _, later = self._step(
                self._by_venue, self.venue_position, stop, until, self.books, *self._nobody
            )
