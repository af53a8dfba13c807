"""The one door between the fakes, which the engine calls, and what watches and disturbs it.

An engine has to live with whatever its venue or its journal raises. So an error in a check that was asked on the way
there would look like an error of the venue, and the check would be gone without a word. What fakes tell the world goes
through its methods that are called `on_...`; what one of them raises ends the run. Errors that a fault has the engine
meet are returned by them, never raised.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.faults.world import World


def guard(world: World) -> None:
    """Let every error in what fakes call end the run as a violation: with the seed, the time and where it was."""
    for name in dir(world):
        if name.startswith("on_"):
            setattr(world, name, _guarded(world, name, getattr(world, name)))


def _guarded(world: World, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: object) -> Any:
        try:
            return hook(*args)
        except Exception as error:  # noqa: BLE001 - a Violation and a crash are none
            world.violated(name, fell(error))

    return asked


def fell(error: BaseException) -> str:
    """Return the last line of an error's traceback, and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}: " for frame in where)
    return place + traceback.format_exception_only(error)[-1].strip()
