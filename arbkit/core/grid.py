"""Price grids: which prices a market accepts, and the neighbours of a price.

A grid is a list of ranges, each with its own step (Kalshi's `price_ranges`); a single tick is one range.
Nothing here branches on the name of a structure. Prices 0 and 1 are never quotable.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from arbkit.core.errors import DataError
from arbkit.core.units import MICRO, Price, price


@dataclass(frozen=True, slots=True)
class Grid:
    """Quotable prices of a market in millionths: `ranges` are (start, end, step), ascending and touching."""

    ranges: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        end = 0
        for start, stop, step in self.ranges:
            if start != end or stop <= start or step <= 0 or (stop - start) % step:
                raise DataError(f"not a price grid: range {start}..{stop} step {step} (millionths)")
            end = stop
        if end != MICRO:
            raise DataError(f"not a price grid: ranges end at {end}, not at one dollar")

    @classmethod
    def of_tick(cls, tick: str) -> "Grid":
        """Return the grid of one tick size, such as "0.01"."""
        return cls(((0, MICRO, price(tick)),))

    @classmethod
    def of_ranges(cls, ranges: Iterable[dict[str, str]]) -> "Grid":
        """Return a grid from ranges with the keys start, end and step in dollars."""
        return cls(tuple((price(r["start"]), price(r["end"]), price(r["step"])) for r in ranges))

    def holds(self, value: int) -> bool:
        """Tell whether a limit order may stand at this price."""
        if not 0 < value < MICRO:
            return False
        stands = [start <= value <= end and (value - start) % step == 0 for start, end, step in self.ranges]
        return True in stands

    def floor(self, value: int) -> Price:
        """Return the highest quotable price at or below `value`; 0 when there is none."""
        best = 0
        for start, end, step in self.ranges:
            if start <= value:
                top = min(value, end, MICRO - 1)
                at = start + (top - start) // step * step
                best = max(best, at)
        return Price(best)

    def ceil(self, value: int) -> Price:
        """Return the lowest quotable price at or above `value`; one dollar when there is none."""
        best = MICRO
        for start, end, step in self.ranges:
            if value <= end:
                bottom = max(value, start, 1)
                at = start - (start - bottom) // step * step
                if at <= end:
                    best = min(best, at)
        return Price(best)

    def down(self, value: int, ticks: int = 1) -> Price:
        """Return the price `ticks` steps below; 0 when the grid ends first."""
        for _ in range(ticks):
            value = self.floor(value - 1)
        return Price(value)

    def up(self, value: int, ticks: int = 1) -> Price:
        """Return the price `ticks` steps above; one dollar when the grid ends first."""
        for _ in range(ticks):
            value = self.ceil(value + 1)
        return Price(value)

    def mirrored(self) -> "Grid":
        """Return the grid of the other outcome, whose prices are one dollar minus these."""
        return Grid(tuple((MICRO - end, MICRO - start, step) for start, end, step in reversed(self.ranges)))
