"""Figures that show themselves: quickly, and without plotly's own way of showing.

plotly hands its figures to nbformat, whose import compiles a grammar: 1.2 of the 1.7 seconds that the first picture of
a notebook takes. The bundle below has the same MIME type and the same content, and needs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_MIME = "application/vnd.plotly.v1+json"
CONFIG = {"displaylogo": False, "responsive": True}


class ShownFigure:
    """One picture under a name: `.figure` is plotly's figure, made on first use; `.caption` says how to read it."""

    def __init__(self, name: str, caption: str, draw: Callable[[], go.Figure]) -> None:
        self.name = name
        self.caption = caption
        self._draw = draw

    @cached_property
    def figure(self) -> go.Figure:
        """The picture itself, to be changed at will."""
        return self._draw()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        plain = json.loads(self.figure.to_json())
        bundle = {"data": plain["data"], "layout": plain["layout"], "config": CONFIG}
        return {PLOTLY_MIME: bundle, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"{self.name}: {self.caption}"


class FigureSet(Mapping[str, ShownFigure]):
    """Figures by name, as items and as attributes: `figures["slippage"]` is `figures.slippage`."""

    def __init__(self, figures: tuple[ShownFigure, ...]) -> None:
        self._figures = {figure.name: figure for figure in figures}

    def __getitem__(self, name: str) -> ShownFigure:
        try:
            return self._figures[name]
        except KeyError:
            raise KeyError(f"no figure {name!r}; there is {', '.join(self._figures) or 'none'}") from None

    def __getattr__(self, name: str) -> ShownFigure:
        try:
            return self.__dict__["_figures"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(
                f"no figure {name!r}; there is {', '.join(self.__dict__.get('_figures', ()))}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._figures]

    def __repr__(self) -> str:
        return "\n".join(repr(figure) for figure in self.values()) or "no figures"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for figure in self.values():
            display(figure)
