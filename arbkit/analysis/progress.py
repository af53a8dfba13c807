"""Bars for what takes longer than two seconds."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self


class Bar:
    """A progress bar that appears after two seconds, in a notebook as a widget and in a terminal as text."""

    def __init__(self, what: str, unit: str, *, quiet: bool = False) -> None:
        self._what, self._unit, self._quiet = what, unit, quiet
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if self._quiet:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=self._what, unit=self._unit, delay=2.0, leave=False)
        self._bar.update(done - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
