"""The report as a reader opens it: from a file, in a browser, without a network."""

import shutil
from pathlib import Path

import pytest

import arbkit as ak
from arbkit.history.synthetic import SyntheticSpec

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved report of a short comparison."""
    tape = ak.synthetic_tape(SyntheticSpec(minutes=1.0, episodes=12), seed=3)
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    ak.compare(tape, ak.baskets(tape), latencies_ms=(20.0, 100.0)).tearsheet().save(path)
    return path


def test_the_saved_report_draws_its_charts_without_a_network(report: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    errors: list[str] = []
    outside: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1300})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: outside.append(request.url) if request.url.startswith("http") else None)
        page.goto(report.as_uri())
        page.wait_for_selector(".js-plotly-plot .main-svg")
        drawn = page.locator(".js-plotly-plot .plot-container").count()
        text = page.inner_text("body")
        browser.close()
    assert errors == []
    assert outside == []
    assert drawn >= 5
    assert text.lstrip().startswith("synthetic flow: shows method, not market truth")
