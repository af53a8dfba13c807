"""Calls of compiled code that ask for the types of their arguments once, not each time."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_known: dict[tuple[object, ...], Callable[..., Any]] = {}


def settled(kernel: Callable[..., Any], *arguments: object) -> Callable[..., Any]:
    """Return what a compiled function runs for arguments of the types of these, all of them told, in their order.

    A call of a compiled function looks at the type of every array in its named tuples: 5 to 9 us for what a world
    holds, as long as a hundred rows take. Who calls one again and again with the same arrays, or with others made
    alike, asks here once. What comes back checks nothing: an array of another type is read as what it is not.
    """
    key = (kernel, *map(_type_of, arguments))
    if key not in _known:
        _known[key] = kernel.compile(tuple(map(numba.typeof, arguments)))  # type: ignore[attr-defined]
    return _known[key]


def _type_of(argument: object) -> object:
    """Return what tells two types of arguments apart, in a tenth of the time that numba takes to name them."""
    if isinstance(argument, np.ndarray):
        return argument.dtype, argument.ndim, argument.flags.num
    if isinstance(argument, tuple):
        return type(argument), *map(_type_of, argument)
    return type(argument)
