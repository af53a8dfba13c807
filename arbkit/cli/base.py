"""What all commands share: exit 0 done, 1 refused with a reason on one line of stderr, 2 wrong usage."""

from __future__ import annotations

from collections.abc import Callable
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


def usage(message: str) -> typer.BadParameter:
    return typer.BadParameter(message)
