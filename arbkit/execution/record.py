"""What the engine writes down, and whether it may still enter anything new."""

from __future__ import annotations

import logging

from arbkit.core.errors import ArbkitError
from arbkit.core.ports import Clock, Journal

log = logging.getLogger(__name__)


class Record:
    """The journal as the engine uses it.

    What is about to be done is intended: when it cannot be kept it is not done. What has happened is noted: when it
    cannot be kept, what runs is finished and nothing new is entered. `halted` says why nothing new may be entered.
    """

    def __init__(self, journal: Journal | None, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self.halted = ""

    @property
    def unhealthy(self) -> str:
        """Return why the journal cannot make facts durable now, or nothing."""
        why = getattr(self._journal, "unhealthy", "")
        return f"the journal is not kept: {why}" if why else ""

    def intend(self, fact: str, key: str, **data: object) -> int:
        """Record what is about to be done and return when (ns); raises when it cannot be kept: then it must not be."""
        now = self._clock.now()
        if self._journal is not None:
            self._journal.append(now, fact, key, **data)
        return now

    async def durable(self, *, reducing: bool = False) -> None:
        """Wait until all that was recorded is on disk; raises JournalError when it cannot be."""
        if self._journal is not None:
            await self._journal.durable(reducing=reducing)

    def note(self, fact: str, key: str, **data: object) -> int:
        """Record what has happened, and return when (ns)."""
        now = self._clock.now()
        try:
            if self._journal is not None:
                self._journal.append(now, fact, key, **data)
        except (ArbkitError, OSError) as error:
            self.halt(f"the journal does not keep {fact}: {error}", error, noted=False)
        return now

    def halt(self, reason: str, error: BaseException | None = None, *, noted: bool = True) -> None:
        """Enter nothing new from here on, until a person has looked at it; what runs is finished."""
        if self.halted == f"entries are halted: {reason}":
            return  # it was said, and nobody has looked at it yet
        self.halted = f"entries are halted: {reason}"
        log.critical("engine.halted", extra={"reason": reason}, exc_info=error)
        if noted:
            self.note("engine.halted", "engine", reason=self.halted)

    def resume(self, reason: str) -> None:
        """Take a person's word that what halted entries was seen to."""
        self.note("engine.resumed", "engine", reason=reason)
        self.halted = ""

    def alert(self, what: str, why: str) -> None:
        """Tell people of something that they should look at, visibly and on record; entries go on."""
        log.error("engine.alert", extra={"what": what, "why": why})
        self.note("engine.alert", "engine", what=what, why=why)
