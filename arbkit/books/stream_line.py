"""One connection and its subscriptions: what they carry, how their messages are counted, when they are believed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from arbkit.books.stream_book import NEVER, StreamBook, Terms
from arbkit.books.stream_events import Event
from arbkit.core.errors import ConfigError
from arbkit.core.units import NS_PER_S

# How a numbered message stands to those before it.
NEXT, JUMPED, PASSED, BROKEN = range(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """When a stream is believed; times in seconds. None of it can be switched off."""

    max_silence_s: float = 2.0  # without any message or heartbeat of the connection (A)
    cross_check_s: float = 30.0  # a book quiet for so long is to be compared with what the venue says elsewhere
    max_quiet_s: float = 120.0  # and prices nothing while it was not
    ahead_s: float = 2.0  # a venue's stamp may lie so far in our future
    remembered: int = 256  # numbered messages kept per subscription, to tell a repetition from a contradiction
    max_levels: int = 20_000  # in one event

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.name in ("remembered", "max_levels")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ConfigError(f"stream.{field.name} must be a number, not {value!r}")
            low, high = (1, 1_000_000) if whole else (0.001, 86_400)
            if not low <= value <= high:
                raise ConfigError(f"stream.{field.name} = {value!r} is outside {low:g}..{high:g}")
        if not self.max_silence_s <= self.cross_check_s <= self.max_quiet_s:
            raise ConfigError("stream: max_silence_s <= cross_check_s <= max_quiet_s does not hold")


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


class Subscription:
    """The count of one subscription and its last messages; `terms` are the markets whose terms it tells."""

    __slots__ = ("last", "most", "seen", "terms")

    def __init__(self, most: int) -> None:
        self.last: int | None = None
        self.seen: dict[int, tuple[Event, ...]] = {}
        self.most = most
        self.terms: dict[Terms, None] = {}

    def place(self, seq: int, events: tuple[Event, ...]) -> int:
        """Tell what a number means; the count never goes back, so that nothing old can pass for new.

        PASSED is a repetition, or the late one that was missed: what depended on it was dropped then.
        """
        last, seen, most = self.last, self.seen, self.most
        if type(seq) is not int:
            return BROKEN
        if last is None or seq > last:
            self.last = seq
            seen[seq] = events
            if last is None or seq == last + 1:
                seen.pop(seq - most, None)
                return NEXT
            for old in [known for known in seen if known <= seq - most]:
                del seen[old]
            return JUMPED
        return BROKEN if seq <= last - most or seen.get(seq, events) != events else PASSED


class Line:
    """One connection."""

    __slots__ = ("alive", "backlog", "books", "day", "lost", "name", "subscriptions", "up")

    def __init__(self, name: str) -> None:
        self.name = name
        self.books: list[StreamBook] = []
        self.up = False
        self.lost = False  # its loss was told, its return not yet
        self.alive = NEVER  # ns, when the last message was received
        self.backlog = 0  # ns that it had waited when it was applied
        self.day = NEVER
        self.subscriptions: dict[str, Subscription] = {}
