"""One engine as a process runs it: started from its journal, ended by a signal, and honest about what it leaves."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterable
from enum import IntEnum
from typing import Any

from arbkit.core.errors import ArbkitError
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.memory import Fact
from arbkit.wiring.settings import Settings

log = logging.getLogger(__name__)

Trading = Callable[[], Coroutine[Any, Any, object]]


class Exit(IntEnum):
    """What a session's exit code says."""

    FLAT = 0  # nothing is open
    REFUSED = 1  # it could not start, or could not keep its record
    OPEN = 3  # orders, lopsided legs, unsettled fills or moving capital remain: they are on record, and resumed at the next start


async def run_session(
    engine: ArbitrageExecutionEngine,
    trading: Trading,
    past: Iterable[Fact] | None = None,
    *,
    account: str | None = None,
    environment: str | None = None,
    settings: Settings | str = "",
    drain_s: float | None = None,
) -> Exit:
    """Start, run `trading()` until it returns or SIGTERM or SIGINT comes, then drain and stop.

    `past`, `account` and `environment` are by default those of the engine's journal. `settings` (or only their hash)
    say whose account it is: the engine refuses to start on the journal of another account or environment.
    A signal, or the cancelling of this call, stops entries at once, cancels what rests and gives what is lopsided
    `drain_s` (by default twice T_hedge) to be finished; what is not finished by then is parked. What is still open is
    logged, line by line. A signal that comes again changes nothing: the deadline stands; a second cancelling ends it.
    """
    if not isinstance(settings, str):
        account, environment, settings = settings.account, settings.environment, settings.hash
    patience = 2 * engine.config.hedge_timeout_s if drain_s is None else drain_s
    asked, over = asyncio.Event(), asyncio.Event()
    main = asyncio.ensure_future(_started(engine, trading, past, account, environment, settings))

    def stop() -> None:
        asked.set()
        main.cancel()

    def ended(_: asyncio.Task[None]) -> None:
        asked.set()
        over.set()

    main.add_done_callback(ended)
    before = _on_signals(stop)
    cancelled = False
    try:
        try:
            await asked.wait()
        except asyncio.CancelledError:
            cancelled = True
            stop()
        try:
            await asyncio.gather(engine.drain(patience), _within(patience, over))
        except asyncio.CancelledError:
            cancelled = True
        code = await _closed(engine, main)
    finally:
        _restore(before)
    if cancelled:
        raise asyncio.CancelledError
    return code


async def _started(
    engine: ArbitrageExecutionEngine,
    trading: Trading,
    past: Iterable[Fact] | None,
    account: str | None,
    environment: str | None,
    settings: str,
) -> None:
    await engine.start(past, account=account, environment=environment, settings=settings)
    await trading()


async def _closed(engine: ArbitrageExecutionEngine, main: asyncio.Task[None]) -> Exit:
    """Stop the engine, see its record kept, and say what is left."""
    code = Exit.FLAT
    if main.done() and not main.cancelled() and (error := main.exception()) is not None:
        log.error("session.ended", extra={"error": f"{type(error).__name__}: {error}"}, exc_info=error)
        code = Exit.REFUSED
    try:
        await engine.stop()
    except (ArbkitError, OSError) as error:
        log.error("session.record", extra={"error": str(error)})
        code = Exit.REFUSED
    left = engine.open()  # from here on nothing of it changes any more
    for line in left:
        log.warning("session.open", extra={"what": line})
    return Exit.OPEN if left else code


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _on_signals(stop: Callable[[], object]) -> dict[signal.Signals, Any]:
    """Let SIGTERM and SIGINT stop the session where the loop can hear them; return who heard them before."""
    loop, before = asyncio.get_running_loop(), {}
    for number in (signal.SIGTERM, signal.SIGINT):
        heard = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, stop)
        except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not in the main thread
            continue
        before[number] = heard
    return before


def _restore(before: dict[signal.Signals, Any]) -> None:
    for number, heard in before.items():
        asyncio.get_running_loop().remove_signal_handler(number)
        if heard is not None:  # not set by Python: nobody can put it back
            signal.signal(number, heard)
