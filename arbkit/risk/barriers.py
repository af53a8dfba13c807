"""Markets and venues that entries keep away from for a while, or until a person has looked."""

from __future__ import annotations

from collections.abc import Iterable

from arbkit.core.errors import ConfigError
from arbkit.core.model import Book
from arbkit.core.units import FOREVER, NS_PER_S


class Barriers:
    """Blocks stand until they are claimed, pauses until their time; of two pauses of one name the later word counts.

    A block is on a market ("venue:market") or on a whole venue ("venue"). A pause is of a venue, by its own word
    ("venue") or for a reason of ours ("venue/clock"): each ends by itself, and the longest bars.
    """

    def __init__(self, blocked: Iterable[tuple[str, str]] = (), paused: Iterable[tuple[str, int, str]] = ()) -> None:
        self._blocked = dict(blocked)
        self._paused = {venue: (until, why) for venue, until, why in paused}

    def block(self, name: str, why: str) -> None:
        """Bar entries; ConfigError for the name of a book: its block would be looked for nowhere."""
        if not name or name.endswith((":", ":yes", ":no")):
            raise ConfigError(f"a block is on a venue or on a market as venue:market, not on {name!r}")
        self._blocked[name] = why

    def claim(self, name: str) -> None:
        self._blocked.pop(name, None)

    def pause(self, venue: str, until_ns: int, why: str) -> None:
        self._paused[venue] = (until_ns, why)

    def refusal(self, books: Iterable[Book], now: int) -> str:
        """Return what bars entries on one of these books at `now`, or nothing; no time given is before every end."""
        if not (self._blocked or self._paused):
            return ""
        for book in books:
            for name in (book.market_name, book.venue):
                if name in self._blocked:
                    return f"{name} is blocked: {self._blocked[name]}"
            pauses = [pause for name, pause in self._paused.items() if name.partition("/")[0] == book.venue]
            until, why = max(pauses, default=(now, ""))
            if now < until:
                long = "until it is heard" if until == FOREVER else f"for {(until - now) / NS_PER_S:.1f} s"
                return f"{book.venue} is paused {long}: {why}"
        return ""

    def blocked(self) -> tuple[tuple[str, str], ...]:
        """Return every block and why, by name."""
        return tuple(sorted(self._blocked.items()))

    def paused(self) -> tuple[tuple[str, int, str], ...]:
        """Return every pause, its end (ns) and why, by venue; those that are over too."""
        return tuple((venue, *self._paused[venue]) for venue in sorted(self._paused))
