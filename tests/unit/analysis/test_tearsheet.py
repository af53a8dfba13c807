import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from arbkit.analysis import tearsheet as module
from arbkit.analysis.comparison import comparison_table
from arbkit.analysis.tearsheet import tearsheet
from tests.unit.analysis.fakes import MARKET, Cell, Comparison, realistic


class Page(HTMLParser):
    """Reads what a page would fetch, whether its tags close, and its text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.open, self.words, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in ("meta", "br", "img", "link", "hr", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


@pytest.fixture(scope="module")
def raw():
    return realistic(n=40, latencies=(20.0, 250.0))


@pytest.fixture(scope="module")
def saved(raw, tmp_path_factory):
    return tearsheet(raw).save(tmp_path_factory.mktemp("report") / "deep" / "report.html").read_text()


def test_the_report_is_one_file_that_fetches_nothing(saved):
    page = Page(saved)
    assert page.fetched == []
    assert page.open == []
    assert "default-src 'none'" in saved
    assert saved.count("plotly.js v") == 1


def test_the_first_words_say_that_the_flow_is_synthetic(saved, raw):
    body = Page(saved[saved.index("<main") : saved.index("</body>")]).text.strip()
    assert body.startswith("synthetic flow: shows method, not market truth")
    study = tearsheet(replace(raw, synthetic=False, study="sample:5s"))
    assert Page(study.summary_html()).text.strip().startswith("execution study, not arbitrage (sample:5s)")
    assert "synthetic" not in Page(study.summary_html()).text


def test_the_report_answers_first_and_then_shows_what_it_rests_on(saved):
    text = Page(saved).text
    order = ["ranks first", "What it earned", "Pictures", "Brute-force count", "What was modelled", "quality of the tape",
             "that are guesses", "What the columns mean"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "polymarket:game A-0.void" in text
    assert "1,204,331" in text
    assert "max silence s" in text


def test_every_picture_stands_in_the_file_with_its_caption(saved, raw):
    for name, shown in tearsheet(raw).figures.items():
        assert f'id="figure-{name}"' in saved
        assert shown.caption.split(".")[0] in saved


def test_what_came_from_outside_is_escaped(raw):
    hostile = replace(
        raw, modelled={"<script>alert(1)</script>": "</style><img src=x>"}, quality={"files": [{"file": "<b>"}]}
    )
    made = tearsheet(hostile, title="<i>title</i>")
    for text in (made.html(), made._repr_html_()):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "<b>" not in text
        assert "<i>" not in text


def test_no_dollar_sign_stands_in_text_that_a_notebook_would_set_as_math(raw):
    assert "$" not in Page(tearsheet(raw)._repr_html_()).text


def test_undefined_figures_are_dashes_and_notes_say_why():
    text = Page(tearsheet(realistic(n=6, latencies=(20.0,), fees_known=False)).summary_html()).text
    assert "too few independent clusters for intervals: 6, and 10 are needed." in text
    assert "fees are not known here" in text
    assert re.search(r"\bnan\b", text, re.IGNORECASE) is None


def test_a_report_without_opportunities_says_so_and_still_loads():
    raw = Comparison((), (Cell(MARKET, 50.0, 0, ()),))
    page = Page(tearsheet(raw).html())
    assert "No opportunity was found" in page.text
    assert "Nothing to draw" in page.text
    assert page.open == []


def test_a_failed_save_leaves_the_old_file_as_it_was(raw, tmp_path):
    target = tmp_path / "report.html"
    target.write_text("old")

    class Broken(module.Tearsheet):
        def html(self):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Broken(raw, comparison_table(raw), "t").save(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_notebook_shows_text_pictures_and_text_without_another_plotly(raw, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    made = tearsheet(raw)
    made._ipython_display_()
    assert len(shown) == 2 + len(made.figures)
    assert "ranks first" in shown[0].data
    assert "What was modelled" in shown[-1].data
    assert len(shown[0].data) + len(shown[-1].data) < 200_000
    made.figures._ipython_display_()
    assert shown[-1] is list(made.figures.values())[-1]


def test_groups_of_rows_are_set_apart_whatever_they_are_grouped_by(raw):
    by_latency = replace(raw, cells=tuple(sorted(raw.cells, key=lambda cell: cell.latency_ms)))
    assert tearsheet(by_latency).summary_html().count('<tr class="apart">') == 3
    assert tearsheet(raw).summary_html().count('<tr class="apart">') == 2 * 3


def test_the_report_prints_itself_in_a_terminal(raw):
    lines = repr(tearsheet(raw)).split("\n")
    assert lines[0].startswith("synthetic flow")
    assert any("ranks first" in line for line in lines)
