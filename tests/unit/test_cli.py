"""The command line: what it prints, where, and how it ends (0 done, 1 refused in words, 2 wrong usage)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import arbkit as ak
from arbkit.cli import app
from arbkit.core.model import MarketTable
from arbkit.history.importers.kalshi_rows import HEADER
from arbkit.history.shipped import shipped
from arbkit.history.store import write_tape
from arbkit.history.synthetic import SyntheticSpec

SYNTHETIC = "synthetic flow: shows method, not market truth"
SCRIPT = Path(sys.executable).with_name("arbkit")

GAME = """
[[market]]
venue = "kalshi"
id = "{id}"
event = "game"
outcome = "{id} wins"
payout = "1"
exclusive = true
exhaustive = true
void = "half"
tick = "0.01"
lot = "1"
min_size = "1"
fee_rule = "unknown"
start = "unknown"
close = "unknown"
resolution = "unknown"
source = "{id}"
assumed = ["void"]
"""
ROWS = [
    HEADER,
    ",book,0.4000,BUY,100,0.4000,0.42",
    ",book,0.42,SELL,50,0.4000,0.42",
    "2026-01-08T02:14:20.100000Z,price_change,0.39,BUY,-20,0.4,0.4200",
    "2026-01-08T02:14:20.200000Z,price_change,0.40,BUY,-100,0.39,0.4200",
    "2026-01-08T02:14:20.300000Z,price_change,0.39,BUY,-30,0.38,0.4200",
    "1767838460,last_trade_price,0.40,SELL,100,0.39,0.42",  # the hundred that left at 0.40
]


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tapes") / "short"
    write_tape(ak.synthetic_tape(SyntheticSpec(minutes=0.7, episodes=6), seed=3), folder)
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two recordings of a game and what their markets mean."""
    for name in ("A", "B"):
        (tmp_path / f"{name}.csv").write_text("\n".join(ROWS) + "\n")
    (tmp_path / "markets.toml").write_text(GAME.format(id="A") + GAME.format(id="B"))
    return tmp_path


def call(*args: object) -> Result:
    """Run a command in this process; an exception that is no exit is a failure."""
    return CliRunner().invoke(
        app, [str(arg) for arg in args], catch_exceptions=False, env={"COLUMNS": "200", "TERM": "dumb"}
    )


def refusal(ended: Result) -> str:
    """Return the reason, which stands on the first line of stderr; nothing was printed as a result."""
    assert ended.exit_code == 1, ended.output
    assert ended.stdout == ""
    assert ended.stderr.startswith("refused: ")
    return ended.stderr.removeprefix("refused: ")


def usage(ended: Result) -> str:
    assert ended.exit_code == 2, ended.output
    assert ended.stdout == ""
    return " ".join(ended.stderr.replace("│", " ").split())


# -- as processes of their own ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [SCRIPT, "demo", "--json", "demo.json"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done, folder


def test_the_demo_says_first_what_it_is_not_then_the_answer_the_table_and_what_was_modelled(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = demo
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == SYNTHETIC
    assert lines[1].startswith("At 20 ms ")
    heads = [line for line in lines if line.startswith("strategy")]
    assert any("completion %" in line for line in heads)
    assert any("shortfall" in line for line in heads)
    for strategy in ("MARKET", "LIMIT", "HYBRID"):
        for latency in ("20", "100", "250"):
            assert any(line.split()[:2] == [strategy, latency] for line in lines)
    assert "modelled:" in lines
    assert any(line.startswith("  queue: ") for line in lines)
    assert lines[-1] == f"report: {folder / 'arbkit_demo.html'}"
    page = (folder / "arbkit_demo.html").read_text()
    assert SYNTHETIC in page
    assert page.endswith("</html>\n")
    assert sorted(path.name for path in folder.iterdir()) == ["arbkit_demo.html", "demo.json"]


def test_the_demo_leaves_stdout_to_the_result(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = demo
    assert "it/s" not in done.stdout
    assert "comparing" not in done.stdout
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr
    table = json.loads((folder / "demo.json").read_text())["table"]
    assert [(one["strategy"], one["latency_ms"]) for one in table][:3] == [
        ("MARKET", 20.0), ("LIMIT", 20.0), ("HYBRID", 20.0)
    ]  # fmt: skip


def test_python_m_arbkit_is_the_command(tape: Path) -> None:
    by_module = subprocess.run(
        [sys.executable, "-m", "arbkit", "scan", tape], capture_output=True, text=True, check=False
    )
    by_script = subprocess.run([SCRIPT, "scan", tape], capture_output=True, text=True, check=False)
    assert by_module.returncode == by_script.returncode == 0
    assert by_module.stdout == by_script.stdout
    assert by_module.stderr == by_script.stderr == ""  # done in less than two seconds: no bar
    assert by_module.stdout.splitlines()[0] == SYNTHETIC


@pytest.mark.parametrize(("args", "code"), [(["compare", "nowhere"], 1), (["compare"], 2), (["trade"], 2), ([], 2)])
def test_exit_codes_reach_the_shell(tmp_path: Path, args: list[str], code: int) -> None:
    done = subprocess.run([SCRIPT, *args], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr == "refused: nowhere: not a tape: there is no tape.json in it\n"


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_control_c_ends_a_long_comparison_with_what_is_whole(tmp_path: Path) -> None:
    long = [SCRIPT, "compare", shipped("synthetic_two_market"), "--seeds", "30", "--html", tmp_path / "report.html"]
    with subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        seen = ""
        while "comparing" not in seen or "/180 " not in seen:  # the bar is the sign that it is on its way
            heard = running.stderr.read(1)
            assert heard, f"it ended before its bar appeared: {seen}"
            seen += heard
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert running.returncode == 0, err
    assert "of 180 opportunities were run" in " ".join(out.split())
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")


# -- scan ------------------------------------------------------------------------------------------------------


def test_a_scan_lists_episodes_as_text_and_json(tape: Path, tmp_path: Path) -> None:
    ended = call("scan", tape, "--json", tmp_path / "scan.json")
    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[1] == "6 episodes with an executable net edge"
    told = ended.stdout.splitlines()
    assert told[told.index("modelled:") + 1 :] == [
        "  decisions: episodes, net edge of at least 0.0001 dollars a share, rearm 1 s",
        "  max_size: 100 shares",
        "  max_exposure: 250 dollars at risk while legs differ",
        "  feed_ms: 0",
        "  max_silence_s: 60",
        "  mirror_settle_ms: 100",
        "  fees: synthetic-flat-low",
        "  clocks: received and venue stamps are both recorded",
        "  assumed_fields: none",
        f"json: {tmp_path / 'scan.json'}",
    ]
    assert f"json: {tmp_path / 'scan.json'}" in ended.stdout
    written = json.loads((tmp_path / "scan.json").read_text())
    assert len(written["episodes"]) == 6
    assert {"episodes", "quality"} <= set(written)


def test_every_option_of_a_scan_is_heard(tape: Path, tmp_path: Path) -> None:
    ended = call(
        "scan", tape, "--kinds", "outcomes", "--min-edge", "0.02", "--edge", "gross", "--rearm-s", "5",
        "--assume-fees", "none", "--json", tmp_path / "scan.json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    told = json.loads((tmp_path / "scan.json").read_text())["modelled"]
    assert told["decisions"] == "episodes, gross edge of at least 0.02 dollars a share, rearm 5 s"
    assert "episodes with an executable gross edge" in ended.stdout


# -- compare ---------------------------------------------------------------------------------------------------


def test_every_option_of_a_comparison_is_heard(tape: Path, tmp_path: Path) -> None:
    ended = call(
        "compare", tape, "--strategies", "market,Limit", "--kinds", "outcomes", "--latency-ms", "20,100",
        "--min-edge", "0.005", "--edge", "gross", "--rearm-s", "2", "--assume-fees", "none",
        "--set", "config.max_size=50", "--set", "scenario.queue=through", "--set", "scenario.jitter=0.3",
        "--mode", "each", "--seed", "5", "--seeds", "2",
        "--json", tmp_path / "out" / "compare.json", "--html", tmp_path / "out" / "report.html",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [(one["strategy"], one["latency_ms"]) for one in written["table"]] == [
        ("MARKET", 20.0), ("LIMIT", 20.0), ("MARKET", 100.0), ("LIMIT", 100.0)
    ]  # fmt: skip
    told = written["modelled"]
    assert told["decisions"] == "episodes, gross edge of at least 0.005 dollars a share, rearm 2 s"
    assert (told["entry_ms"], told["seed"], told["max_size"]) == ("20, 100", "5, 6", "50 shares")
    assert told["queue"].startswith("through")
    assert told["latency"].startswith("log-normal, sigma 0.3")
    assert ended.stdout.splitlines()[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert (tmp_path / "out" / "report.html").read_text().endswith("</html>\n")


def test_a_study_and_a_continuous_run_say_what_they_are(tape: Path) -> None:
    study = call("compare", tape, "--study", "sample:10s", "--strategies", "market")
    assert study.stdout.splitlines()[:2] == [SYNTHETIC, "execution study, not arbitrage (sample:10s)"]
    whole = call("compare", tape, "--mode", "portfolio", "--strategies", "market")
    assert "mode: portfolio: one continuous run per strategy, not paired" in whole.stdout
    assert "seen" in whole.stdout


def test_settings_are_not_overruled_by_options_that_were_not_given(tape: Path) -> None:
    ended = call(
        "compare", tape, "--strategies", "market", "--set", "config.min_edge=0.02", "--set", "config.edge=gross",
        "--set", "scenario.entry_ms=33", "--set", "scenario.seed=9",
    )  # fmt: skip
    assert "gross edge of at least 0.02 dollars" in ended.stdout
    assert "  entry_ms: 33\n" in ended.stdout
    assert "  seed: 9\n" in ended.stdout


def test_cash_may_be_stated_by_venue(tape: Path) -> None:
    asked = ("compare", tape, "--strategies", "market", "--set")
    assert call(*asked, 'scenario.balances={"synthetic": 500}').exit_code == 0
    assert "but not 'synthetic'" in call(*asked, 'scenario.balances={"kalshi": 500}').stderr


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("config.min_edge=5", "config.min_edge = 5 is outside -1..1"),
        ("config.min_edge=NaN", "config.min_edge must be a finite number, not nan"),
        ("config.min_edge=a_cent", "config.min_edge must be a finite number, not 'a_cent'"),
        ("config.max_size=true", "config.max_size must be a finite number, not True"),
        ("config.min_edge=null", "config.min_edge must be a finite number, not None"),
        ("config.protect_edge=maybe", "config.protect_edge must be true or false, not 'maybe'"),
        ("config.edge=brutto", "config.edge must be 'net' or 'gross', not 'brutto'"),
        ("scenario.queue=magic", "scenario.queue"),
        ("scenario.entry_ms=-1", "scenario.entry_ms = -1 is outside"),
        ("scenario.seed=1.5", "scenario.seed"),
        ("scenario.balances=[1]", "scenario.balances"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(tape: Path, setting: str, says: str) -> None:
    assert says in refusal(call("compare", tape, "--set", setting))


@pytest.mark.parametrize("setting", ["config.nope=1", "min_edge=1", "config.min_edge", "engine.min_edge=1", "=", ""])
def test_a_setting_that_does_not_exist_is_wrong_usage_and_the_known_are_named(tape: Path, setting: str) -> None:
    told = usage(call("compare", tape, "--set", setting))
    assert "config.min_edge" in told
    assert "scenario.queue" in told


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--latency-ms", "abc", "--latency-ms: not numbers: 'abc'"),
        ("--latency-ms", ",", "--latency-ms: nothing given"),
        ("--strategies", "market,twap", "'twap' is not one of market, limit, hybrid"),
        ("--strategies", "", "--strategies: nothing given"),
        ("--kinds", "triangles", "'triangles' is not one of complement, outcomes, cross_venue"),
        ("--edge", "nett", "'nett' is not one of net, gross"),
        ("--mode", "both", "'both' is not one of each, portfolio"),
        ("--seeds", "0", "Invalid value for '--seeds'"),
        ("--seed", "x", "Invalid value for '--seed'"),
        ("--min-edge", "a", "Invalid value for '--min-edge'"),
        ("--nope", "1", "--nope"),
    ],
)
def test_an_option_that_cannot_be_read_is_wrong_usage(tape: Path, option: str, value: str, says: str) -> None:
    assert says in usage(call("compare", tape, option, value))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--latency-ms", "-5"), "scenario.entry_ms = -5.0 is outside 0..600000"),
        (("--latency-ms", "nan"), "scenario.entry_ms"),
        (("--latency-ms", "20,20"), "one is named twice"),
        (("--min-edge", "5"), "config.min_edge = 5.0 is outside"),
        (("--min-edge", "nan"), "config.min_edge"),
        (("--rearm-s", "-1"), "rearm_s = -1.0 is outside"),
        (("--study", "often"), "study must look like 'sample:5s'"),
        (("--study", "sample:5s", "--mode", "portfolio"), "an execution study has no portfolio"),
        (("--strategies", "market,market"), "at most once"),
        (("--assume-fees", "nonsense"), "nonsense"),
        (("--kinds", "cross_venue"), "no baskets"),
        (("--seed", "-1"), "scenario.seed"),
    ],
)
def test_what_can_be_read_but_not_meant_is_refused_in_one_line(tape: Path, args: tuple[str, ...], says: str) -> None:
    told = refusal(call("compare", tape, *args))
    assert says in told
    assert told.count("\n") == 1


def test_net_figures_without_a_fee_rule_are_refused_and_a_way_out_is_named(tmp_path: Path) -> None:
    made = ak.synthetic_tape(SyntheticSpec(minutes=0.3, episodes=2))
    markets = tuple(replace(market, fee_rules=()) for market in made.markets.markets)
    books = tuple(replace(book, market=markets[book.index // 2]) for book in made.markets.books)
    table = MarketTable(markets, books)
    tape = ak.Tape.from_columns(table, **made.rows._asdict(), synthetic=True)
    write_tape(tape, tmp_path / "feeless")
    told = refusal(call("compare", tmp_path / "feeless", "--strategies", "market"))
    assert "market synthetic:ALPHA has no fee rule" in told
    assert "assume_fees=NAME" in told
    gross = call("compare", tmp_path / "feeless", "--strategies", "market", "--edge", "gross")
    assert gross.exit_code == 0
    assert "fees are not known here" in gross.stdout


# -- what is written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_place_that_cannot_be_written_is_refused_after_the_table_was_shown(
    tape: Path, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("mine")
    ended = call("compare", tape, "--strategies", "market", option, tmp_path / "file" / "out")
    assert ended.exit_code == 1
    assert "modelled:" in ended.stdout
    assert ended.stderr.startswith("refused: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_report_takes_the_place_of_the_old_one_whole(tape: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert call("compare", tape, "--strategies", "market", "--html", target).exit_code == 0
    assert target.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


# -- tapes that cannot be read ---------------------------------------------------------------------------------


def foreign(tape: Path) -> None:
    document = json.loads((tape / "tape.json").read_text())
    (tape / "tape.json").write_text(json.dumps(document | {"schema_version": 99}))


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (foreign, r"tape.json: field `schema_version`: 99, but this arbkit reads 1"),
        (lambda at: truncated(at / "tape.json"), "tape.json: not readable"),
        (lambda at: truncated(next((at / "rows").iterdir())), ".parquet: cannot be read"),
        (lambda at: truncated(at / "replay.arrow"), "replay.arrow: cannot be read"),
        (lambda at: truncated(at / "markets.parquet"), "markets.parquet: cannot be read"),
        (lambda at: (at / "tape.json").unlink(), "not a tape: there is no tape.json in it"),
    ],
)
@pytest.mark.parametrize("command", ["scan", "compare"])
def test_a_tape_that_is_not_whole_is_refused_by_file(
    tape: Path, tmp_path: Path, damage: Callable[[Path], None], says: str, command: str
) -> None:
    copy = tmp_path / "copy"
    write_tape(ak.read_tape(tape), copy)
    damage(copy)
    assert says in refusal(call(command, copy))


def test_a_file_is_no_tape(recording: Path) -> None:
    assert "not a tape" in refusal(call("scan", recording / "A.csv"))


# -- import ----------------------------------------------------------------------------------------------------


def test_recordings_become_a_tape_and_the_report_says_what_was_read(recording: Path) -> None:
    ended = call(
        "import", recording / "A.csv", recording / "B.csv", recording / "tape", "--markets", recording / "markets.toml",
        "--format", "kalshi_csv", "--json", recording / "import.json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert str(recording / "tape") in ended.stdout
    assert len(ak.read_tape(recording / "tape").markets.markets) == 2
    written = json.loads((recording / "import.json").read_text())
    assert written["quality"]["rows_read"] > 0 or written["quality"]


def test_without_a_market_table_the_import_succeeds_and_a_scan_says_what_is_missing(recording: Path) -> None:
    assert call("import", recording / "A.csv", recording / "B.csv", recording / "tape").exit_code == 0
    told = refusal(call("scan", recording / "tape"))
    assert "unknown" in told or "no event" in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GAME.format(id="A") + GAME.format(id="A"), "kalshi:A"),
        (GAME.format(id="A").replace('void = "half"', 'void = "maybe"'), "kalshi:A: field `void`"),
        (GAME.format(id="A").replace('tick = "0.01"\n', ""), "field `tick` is missing"),
        (GAME.format(id="A") + "[[market", "not a readable TOML file"),
    ],
)
def test_a_market_table_that_contradicts_itself_is_refused_by_market_and_field(
    recording: Path, text: str, says: str
) -> None:
    (recording / "markets.toml").write_text(text)
    told = refusal(call("import", recording / "A.csv", recording / "tape", "--markets", recording / "markets.toml"))
    assert "markets.toml" in told
    assert says in told
    assert not (recording / "tape").exists()


def test_a_market_table_that_is_not_there_is_refused(recording: Path) -> None:
    told = refusal(call("import", recording / "A.csv", recording / "tape", "--markets", recording / "none.toml"))
    assert "none.toml" in told


def test_an_unknown_recording_is_refused_and_it_says_what_was_looked_for(recording: Path) -> None:
    (recording / "notes.txt").write_text("dear diary\n")
    told = refusal(call("import", recording / "notes.txt", recording / "tape"))
    assert "notes.txt: not a recording that is known here; looked for" in told
    for name in ("kalshi_csv", "polymarket_csv", "tickscope", "resolvedkit", "kalshi_ws"):
        assert f"  {name}: " in told
    assert "no format 'excel'; there are kalshi_csv" in refusal(
        call("import", recording / "A.csv", recording / "tape", "--format", "excel")
    )


def test_a_recording_that_is_not_there_and_a_place_that_is_taken_are_refused(recording: Path) -> None:
    assert "C.csv" in refusal(call("import", recording / "C.csv", recording / "tape"))
    (recording / "taken").mkdir()
    (recording / "taken" / "thesis.txt").write_text("mine")
    told = refusal(call("import", recording / "A.csv", recording / "taken"))
    assert "exists and is not a tape" in told
    assert [path.name for path in (recording / "taken").iterdir()] == ["thesis.txt"]


def test_an_import_needs_a_recording_and_a_folder(recording: Path) -> None:
    assert "at least one recording and the folder" in usage(call("import", recording / "A.csv"))
    assert "SRC... DEST" in usage(call("import"))


def test_help_names_every_command() -> None:
    ended = call("--help")
    assert ended.exit_code == 0
    for command in ("demo", "import", "scan", "compare"):
        assert command in ended.stdout
