"""The bounded queue between a socket and the books: what does not fit is not kept back silently, it gaps the books."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from arbkit.books.stream_events import (
    LIFECYCLE,
    Disconnected,
    Event,
    Message,
    Overflowed,
    Status,
    SubscribedTo,
    Terms,
)
from arbkit.books.stream_intake import StreamIntake
from arbkit.core.errors import ConfigError

AT_ONCE: Final = 64  # messages applied before others get their turn
KEPT: Final = (SubscribedTo, Status, Terms)  # what no snapshot says again


class StreamQueue:
    """Messages of one connection that wait to be applied, `most` of them.

    When it is full all that waits is thrown away but what no snapshot would say again, and `Overflowed` stands in its
    place. Where even that fills half of it, the connection counts as lost: `flooded` says that it must be made anew.
    """

    def __init__(self, connection: str, most: int = 10_000) -> None:
        if not 4 <= most <= 1_000_000:
            raise ConfigError(f"a stream queue of {most!r} messages: outside 4..1000000")
        self.connection = connection
        self.overflows = 0
        self.flooded = False
        self._most = most
        self._waiting: deque[Message] = deque()
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        """Add a message; never waits."""
        if len(self._waiting) >= self._most:
            self._overflow(message.at)
        self._waiting.append(message)
        self._ready.set()

    async def get(self) -> Message:
        """Wait for the oldest message and take it; one consumer."""
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.popleft()

    def age(self, now: int) -> int:
        """Return for how many ns the oldest message has waited."""
        return now - self._waiting[0].at if self._waiting else 0

    def _overflow(self, at: int) -> None:
        self.overflows += 1
        kept: list[Message] = []
        for message in self._waiting:
            events: tuple[Event, ...] = tuple(
                event for event in message.events if isinstance(event, (*LIFECYCLE, *KEPT))
            )
            if events and isinstance(events[0], LIFECYCLE):
                kept = []  # what was said over an earlier connection
            if events:
                kept.append(Message(self.connection, message.at, events, message.subscription))
        self._waiting.clear()
        if len(kept) > self._most // 2:
            self.flooded = True
            self._waiting.append(Message(self.connection, at, (Disconnected("flooded"),)))
            return
        self._waiting.extend(kept)
        self._waiting.append(Message(self.connection, at, (Overflowed(),)))


async def pump(queue: StreamQueue, books: StreamIntake) -> None:
    """Apply messages as they come, for ever; others get their turn after every few."""
    while True:
        books.apply(await queue.get())
        for _ in range(min(AT_ONCE, len(queue))):
            books.apply(await queue.get())
        await asyncio.sleep(0)
