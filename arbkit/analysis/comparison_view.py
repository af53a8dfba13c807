"""What `compare` returns: the table, the frames behind it, its figures and its report."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from arbkit.analysis import frames, measures

if TYPE_CHECKING:
    import pandas as pd

    from arbkit.analysis.display import FigureSet
    from arbkit.analysis.tearsheet import Tearsheet
    from arbkit.backtest.compare import RawComparison


class Comparison:
    """Strategies side by side on the same decisions; everything shown can be recomputed from `.raw`."""

    def __init__(self, raw: RawComparison) -> None:
        self.raw = raw

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per strategy and latency; columns and their definitions stand in the report."""
        return frames.comparison_table(self.raw)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per trade."""
        return frames.trades_frame(self.raw)

    @cached_property
    def legs(self) -> pd.DataFrame:
        """One row per leg of every trade, entry orders alone."""
        return frames.legs_frame(self.raw)

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row per order, undo orders included."""
        return frames.orders_frame(self.raw)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row per fill, each with the tape's row and the model that explain it."""
        return frames.fills_frame(self.raw)

    @cached_property
    def executable(self) -> pd.DataFrame:
        """The share of the same decisions that was still executable when the orders arrived, counted off the tape."""
        return frames.executable_table(self.raw)

    @cached_property
    def markouts(self) -> pd.DataFrame:
        """Where the market went after each entry fill, one row per fill and horizon."""
        return measures.markouts_frame(self.raw)

    @cached_property
    def shortfall(self) -> pd.DataFrame:
        """One row per trade: the expected edge that was not earned, in parts that add up to it."""
        return measures.shortfall_frame(self.raw)

    @cached_property
    def catchable(self) -> pd.DataFrame:
        """The share of the decisions that orders could still catch, by the time they take to the venue."""
        return measures.catchable_table(self.raw)

    @cached_property
    def figures(self) -> FigureSet:
        """The figures by name; each shows itself in a notebook."""
        from arbkit.analysis.figures import figures_of

        return figures_of(self.raw, self.table)

    @property
    def modelled(self) -> dict[str, object]:
        """Everything that was assumed."""
        return self.raw.modelled

    def tearsheet(self) -> Tearsheet:
        """Return the report, which shows itself and saves one self-contained HTML file."""
        from arbkit.analysis.tearsheet import tearsheet

        return tearsheet(self.raw, self.table)

    def to_dict(self) -> dict[str, Any]:
        """Return table, assumptions and quality for JSON, NaN as null."""
        from arbkit.analysis.text import compare_json

        return compare_json(self.raw, self.table)

    def __str__(self) -> str:
        from arbkit.analysis.text import comparison_text

        return comparison_text(self.raw, self.table)

    def __repr__(self) -> str:
        return str(self)  # what a terminal shows of a value that was asked for

    def _repr_html_(self) -> str:
        return self.tearsheet().summary_html()
