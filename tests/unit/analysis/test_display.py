import json
import subprocess
import sys

import plotly.graph_objects as go
import pytest

from arbkit.analysis.display import PLOTLY_MIME, FigureSet, ShownFigure


def shown(name="fill_rate"):
    return ShownFigure(name, "how to read it", lambda: go.Figure(go.Bar(x=["a"], y=[1.0])))


def test_a_figure_shows_itself_as_the_bundle_that_plotly_would_make():
    bundle = shown()._repr_mimebundle_()
    assert set(bundle) == {PLOTLY_MIME, "text/plain"}
    assert bundle[PLOTLY_MIME]["data"][0]["type"] == "bar"
    json.dumps(bundle)


def test_showing_a_figure_does_not_wake_nbformat():
    code = (
        "import sys, plotly.graph_objects as go\n"
        "from arbkit.analysis.display import ShownFigure\n"
        "ShownFigure('a', 'b', lambda: go.Figure(go.Bar(x=[1], y=[2])))._repr_mimebundle_()\n"
        "assert 'nbformat' not in sys.modules and 'IPython' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_figure_is_drawn_once_and_only_when_it_is_looked_at():
    drawn = []

    def draw():
        drawn.append(1)
        return go.Figure()

    figure = ShownFigure("a", "b", draw)
    assert not drawn
    assert figure.figure is figure.figure
    assert drawn == [1]


def test_a_set_gives_its_figures_as_items_and_as_attributes():
    figures = FigureSet((shown(), shown("slippage")))
    assert figures["slippage"] is figures.slippage
    assert list(figures) == ["fill_rate", "slippage"]
    assert len(figures) == 2
    assert "slippage" in dir(figures)
    assert "slippage: how to read it" in repr(figures)


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    figures = FigureSet((shown(),))
    with pytest.raises(KeyError, match="there is fill_rate"):
        figures["equity"]
    with pytest.raises(AttributeError, match="there is fill_rate"):
        figures.equity  # noqa: B018
    assert not hasattr(figures, "_repr_html_")
    assert repr(FigureSet(())) == "no figures"
