"""What all commands share: exit 0 done, 1 refused with a reason on one line of stderr, 2 wrong usage."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer

app = typer.Typer(
    name="arbkit",
    help="Compare MARKET, LIMIT and HYBRID execution of multi-leg arbitrage on recorded order books.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
T = TypeVar("T")


def refusable(work: Callable[[], T]) -> T:
    """Turn what arbkit or the disk refuses into exit code 1 and its reason; a bug keeps its traceback."""
    from arbkit.core.errors import ArbkitError

    try:
        return work()
    except (ArbkitError, OSError) as refusal:
        typer.echo(f"refused: {refusal}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that it removes what it has half written; the exit code is 143.

    A second one does not disturb that. Where somebody hears or ignores the signal already, and in any thread but the
    main one, which alone may hear it, nothing is changed.
    """

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    ours = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def usage(message: str) -> typer.BadParameter:
    return typer.BadParameter(message)
