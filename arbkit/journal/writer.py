"""Group commit: records are taken at once and in order, one thread writes them, waiters hear when they are durable."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from arbkit.core.errors import JournalError
from arbkit.journal.codec import link
from arbkit.journal.disk import Disk, DiskFull, Head, Row

log = logging.getLogger(__name__)

BUFFER = 100_000  # records that may wait for a disk
LINGER_S = 0.05  # records that nobody waits for are looked for so often
RETRY_S = 1.0  # and after this when the disk has refused the last time
PATIENCE_S = 2.0  # a disk that takes longer is as good as none

NO_ROOM = "the disk is full, or lets no room be held back: what is left is kept for reducing exposure"


class _Waiter(NamedTuple):
    goal: int  # the record that must be durable
    reducing: bool
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[None]

    @property
    def waits(self) -> bool:
        return not self.answer.done()

    def tell(self, refusal: str) -> None:
        """Answer, in the loop's own thread."""
        if self.answer.done():  # it was cancelled, or ran out of patience
            return
        if refusal:
            self.answer.set_exception(JournalError(refusal))
        else:
            self.answer.set_result(None)


def _tell(answers: Sequence[tuple[_Waiter, str]]) -> None:
    """Answer all who waited for one commit in one turn of their loop: legs that were written together go together."""
    for waiter, refusal in answers:
        waiter.tell(refusal)


def chained(head: Head, bodies: Iterable[bytes]) -> list[Row]:
    """Return records as they are stored after `head`, each held to the one before it by its hash."""
    rows = []
    number, hashed = head
    for body in bodies:
        number, hashed = number + 1, link(hashed, body)
        rows.append(Row(number, hashed, body))
    return rows


class GroupCommit:
    """Writes records to a `Disk`, all that are there in one commit.

    What a disk refuses stays here, in order, and is tried again with the next `durable` or after `retry_s`. When
    there is no room, what is held back is given up for a `reducing` waiter; everybody else is refused until there is
    room to hold some back again.
    """

    def __init__(
        self,
        disk: Disk,
        head: Head,
        *,
        buffer: int = BUFFER,
        linger_s: float = LINGER_S,
        retry_s: float = RETRY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.flushes = 0
        self.unhealthy = ""
        self._disk = disk
        self._head = head  # the last record on the disk
        self._taken = head.number  # the last record of all
        self._buffer = buffer
        self._linger_s = linger_s
        self._retry_s = retry_s
        self._patience_s = patience_s
        self._bodies: list[bytes] = []  # of the records that are not on the disk
        self._waiting: list[_Waiter] = []
        self._asking: dict[asyncio.AbstractEventLoop, None] = {}  # those that will ask at the end of their turn
        self._urgent = False
        self._closing = False
        self._refuses = ""  # why nothing more is taken, ever
        self._given_up = not disk.hold_back()
        if self._given_up:
            self.unhealthy = NO_ROOM
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # A daemon: a program that ends without `close` must end. JournalFile closes at the interpreter's exit.
        self._thread = threading.Thread(target=self._run, name="arbkit-journal", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Records that are not durable yet."""
        return len(self._bodies)

    @property
    def is_over(self) -> bool:
        """Whether the thread has ended: until then the file is its own."""
        return self._ended.is_set()

    def append(self, body: bytes) -> None:
        """Take one record; JournalError when it is closed or when too many wait for the disk, and from then on.

        What was not taken may have happened all the same: with anything after it the record would have a gap.
        """
        with self._lock:
            if self._refuses:
                raise JournalError(self._refuses)
            if len(self._bodies) >= self._buffer:
                why = self.unhealthy or "the disk is slow"
                self._refuses = (
                    f"{self._buffer} records wait to be written: {why}; one more could not be taken, and none is before"
                    " the journal is closed and the engine started again"
                )
                self._health(self._refuses)
                raise JournalError(self._refuses)
            self._taken += 1
            self._bodies.append(body)
            if len(self._bodies) == self._buffer // 2:  # a burst without a pause: it is not waited for until it is full
                self._urgent = True
                self._changed.notify()

    async def durable(self, *, reducing: bool = False) -> None:
        """Wait until all that was appended is on the disk; JournalError when it is not, or not in time."""
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._refuses:
                raise JournalError(self._refuses)
            goal = self._taken
            if goal <= self._head.number and not self.unhealthy:
                return
            waiter = _Waiter(goal, reducing, loop, loop.create_future())
            self._waiting.append(waiter)
            if loop not in self._asking:
                self._asking[loop] = None
                loop.call_soon(self._ask, loop)  # at the end of this turn: what other tasks append goes along
        late = loop.call_later(self._patience_s, self._late, waiter)
        try:
            await waiter.answer
        finally:
            late.cancel()

    def close(self) -> None:
        """Write what is there, as if reducing, and end; JournalError when something could not be kept."""
        with self._changed:
            self._closing = True
            self._refuses = self._refuses or "the journal is closed"
            self._changed.notify()
        self._ended.wait()  # whoever calls, and again after a Ctrl-C, by which `Thread.join` would be misled
        self._thread.join()
        self._disk.close()
        if self._bodies:
            raise JournalError(f"{len(self._bodies)} records were not kept: {self.unhealthy}")

    def _late(self, waiter: _Waiter) -> None:
        slow = f"the disk has not answered for {self._patience_s:g} s"
        with self._lock:
            if waiter.goal > self._head.number:
                self._health(slow)
        waiter.tell(slow)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            self._asking.pop(loop, None)
            self._urgent = True
            self._changed.notify()

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._write_all()
        finally:
            self._ended.set()

    def _write_all(self) -> None:
        ending = False
        while not ending:
            with self._changed:
                self._wait()
                self._urgent = False
                ending = self._closing
                bodies, asked = list(self._bodies), len(self._waiting)
                reducing = ending or any(waiter.reducing and waiter.waits for waiter in self._waiting)
            rows = chained(self._head, bodies)
            refusal = self._write(rows, reducing)
            with self._changed:
                if rows and not refusal:
                    del self._bodies[: len(rows)]
                    self._head = Head(rows[-1].number, rows[-1].link)
                    self.flushes += 1
                self._health(refusal or (NO_ROOM if self._given_up else ""))
                answers = list(self._answered(asked, refusal))
            for loop in dict.fromkeys(waiter.loop for waiter, _ in answers):
                with suppress(RuntimeError):  # it is closed: nobody waits any more
                    loop.call_soon_threadsafe(_tell, [one for one in answers if one[0].loop is loop])

    def _wait(self) -> None:
        """Return when somebody asks, when it ends, or when there are records that nobody asks about.

        Those are looked for from time to time: to be woken for each would cost its trade more than to be written.
        """
        while not (self._urgent or self._closing):
            told = self._changed.wait(self._retry_s if self.unhealthy else self._linger_s)
            if not told and (self._bodies or self.unhealthy):
                return

    def _write(self, rows: list[Row], reducing: bool) -> str:
        """Commit rows; return why they are not durable, or nothing."""
        try:
            if self._given_up:
                self._given_up = not self._disk.hold_back()
            if self._given_up and not reducing:
                return NO_ROOM
            if rows:
                self._commit(rows, reducing)
        except JournalError as error:
            return str(error)
        except Exception as error:  # supervised: whatever it is, nothing was kept, and everybody is told
            log.exception("journal.broken")
            return f"{type(error).__name__}: {error}"
        return ""

    def _commit(self, rows: list[Row], reducing: bool) -> None:
        try:
            self._disk.commit(rows)
        except DiskFull:
            if not reducing or self._given_up:
                raise
            self._disk.give_up()
            self._given_up = True
            self._disk.commit(rows)

    def _answered(self, asked: int, refusal: str) -> Iterable[tuple[_Waiter, str]]:
        """Take out the waiters whose records are kept, and those who asked before this try and were refused."""
        still = []
        for at, waiter in enumerate(self._waiting):
            if waiter.goal <= self._head.number:
                yield waiter, NO_ROOM if self._given_up and not waiter.reducing else ""
            elif at < asked:
                yield waiter, refusal
            else:
                still.append(waiter)
        self._waiting = still

    def _health(self, why: str) -> None:
        if self._refuses and not self._closing:
            why = self._refuses
        if why and why != self.unhealthy:
            log.error("journal.unhealthy", extra={"reason": why})
        elif self.unhealthy and not why:
            log.info("journal.healthy")
        self.unhealthy = why
