"""What happened, in order: kept as it comes, written out only when somebody wants to read it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from arbkit.core.model import OrderReport
from arbkit.core.units import MICRO, NS_PER_S
from arbkit.journal.memory import Fact


class Timeline:
    """Lines of (ns, who, what, details); without `whole` only the last ones are kept."""

    def __init__(self, origin_ns: int, *, whole: bool = False) -> None:
        self.origin_ns = origin_ns
        self.whole = whole
        self._lines: deque[tuple[int, str, str, tuple[object, ...]]] = deque(maxlen=None if whole else 200)

    def note(self, ns: int, who: str, what: str, *details: object) -> None:
        self._lines.append((ns, who, what, details))

    def last(self, count: int = 30) -> list[str]:
        return [self._text(line) for line in list(self._lines)[-count:]]

    def __iter__(self) -> Iterator[str]:
        return map(self._text, self._lines)

    def _text(self, line: tuple[int, str, str, tuple[object, ...]]) -> str:
        ns, who, what, details = line
        said = " ".join(_short(detail) for detail in details)
        return f"{(ns - self.origin_ns) / NS_PER_S:11.6f}  {who:<8} {what:<16} {said}"


def _short(detail: object) -> str:
    if isinstance(detail, OrderReport):
        filled = sum(fill.size for fill in detail.fills if fill.counts)
        return f"{detail.status.value} {filled / MICRO:g} {detail.reason}".rstrip()
    if isinstance(detail, Fact):
        return f"{detail.key} " + " ".join(f"{name}={value}" for name, value in detail.data.items())
    if isinstance(detail, Exception):
        return f"{type(detail).__name__}: {detail}"
    return str(detail)
