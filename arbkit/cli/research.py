"""`arbkit demo | import | scan | compare | sweep`: from recordings to an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arbkit.cli.base import app, refusable, terminable, usage

if TYPE_CHECKING:
    from arbkit.analysis.results import Comparison
    from arbkit.backtest.scenario import Scenario
    from arbkit.core.config import ExecutionConfig

Strategies = Annotated[str, typer.Option(help="Any of market,limit,hybrid.")]
Latencies = Annotated[str | None, typer.Option("--latency-ms", help="One way to the venue: 20,100.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="config.x=... or scenario.y=...")]
Study = Annotated[str | None, typer.Option(help="sample:5s decides at fixed times instead of episodes.")]
Mode = Annotated[str, typer.Option(help="each or portfolio.")]
Seed = Annotated[int, typer.Option(help="First seed of the keyed draws.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds.")]
Kinds = Annotated[str, typer.Option("--kinds", help="Which baskets: complement, outcomes, cross_venue.")]
MinEdge = Annotated[float | None, typer.Option("--min-edge", help="Dollars per basket share (0.0001).")]
Edge = Annotated[str | None, typer.Option("--edge", help="net (the default) or gross of fees.")]
Rearm = Annotated[float, typer.Option("--rearm-s", help="Re-entry within this many seconds continues an episode.")]
Assume = Annotated[str | None, typer.Option("--assume-fees", help="Fee rule where the tape's own is unknown.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result here too.")]
ALL_KINDS = "complement,outcomes,cross_venue"


def _list(text: str, what: str) -> list[str]:
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise usage(f"{what}: nothing given")
    return items


def _some_of(text: str, what: str, known: str) -> tuple[str, ...]:
    """Return the words of a list; one that is not known is wrong usage."""
    words = _list(text.lower(), what)
    for word in words:
        _one_of(word, what, known)
    return tuple(words)


def _one_of(word: str | None, what: str, known: str) -> None:
    if word is not None and word not in known.split(","):
        raise usage(f"{what}: {word!r} is not one of {known.replace(',', ', ')}")


def _latencies(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(item) for item in _list(text, "--latency-ms"))
    except ValueError:  # a latency that is a number but cannot be meant is refused by the scenario
        raise usage(f"--latency-ms: not numbers: {text!r}") from None


def _settings(items: list[str], seed: int) -> tuple[ExecutionConfig, Scenario]:
    """Read `--set config.x=...` and `--set scenario.y=...`; an unknown name is wrong usage."""
    from dataclasses import fields

    from arbkit.backtest.scenario import Scenario
    from arbkit.core.config import ExecutionConfig

    known: dict[str, set[str]] = {
        "config": {f.name for f in fields(ExecutionConfig)},
        "scenario": {f.name for f in fields(Scenario)},
    }
    found: dict[str, dict[str, Any]] = {"config": {}, "scenario": {"seed": seed}}
    for item in items:
        name, equals, value = item.partition("=")
        part, _, setting = name.strip().partition(".")
        if not equals or part not in known or setting not in known[part]:
            names = ", ".join(f"{p}.{n}" for p in known for n in sorted(known[p]))
            raise usage(f"--set {item!r}: known are {names}")
        try:
            found[part][setting] = json.loads(value)
        except json.JSONDecodeError:
            found[part][setting] = value.strip()
    # A value that cannot be meant is refused like anything else that arbkit refuses.
    return (
        refusable(lambda: ExecutionConfig(**found["config"])),
        refusable(lambda: Scenario(**found["scenario"])),
    )


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    if path is None:
        return
    from arbkit.core.files import written

    text = json.dumps(content, indent=1, allow_nan=False) + "\n"

    def work() -> None:
        with written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    refusable(work)
    typer.echo(f"json: {path}")


def _write_report(path: Path, comparison: Comparison) -> None:
    page = comparison.tearsheet()
    refusable(lambda: page.save(path))
    typer.echo(f"report: {path.resolve()}")


@app.command("import")
def import_(
    paths: Annotated[list[str], typer.Argument(metavar="SRC... DEST", help="Recordings, then the tape folder.")],
    markets: Annotated[Path | None, typer.Option(help="markets.toml: what is asked, and by which rules.")] = None,
    format: Annotated[str, typer.Option(help="auto, or the name of one importer.")] = "auto",
    json_file: Json = None,
) -> None:
    """Read recordings into one tape."""
    if len(paths) < 2:
        raise usage("give at least one recording and the folder of the tape")
    from arbkit.history.importers import import_recording

    with terminable():
        report = refusable(lambda: import_recording(paths[:-1], paths[-1], markets=markets, format=format))
    typer.echo(str(report))
    _write_json(json_file, report.to_dict())


@app.command()
def scan(
    tape: Annotated[str, typer.Argument(help="A tape folder, or the URL of one.")],
    kinds: Kinds = ALL_KINDS,
    min_edge: MinEdge = None,
    edge: Edge = None,
    rearm_s: Rearm = 1.0,
    assume_fees: Assume = None,
    json_file: Json = None,
) -> None:
    """List the episodes in which a basket was executable with an edge."""
    chosen = _some_of(kinds, "--kinds", ALL_KINDS)
    _one_of(edge, "--edge", "net,gross")

    def work() -> dict[str, Any]:
        from arbkit.analysis.results import scan_report
        from arbkit.detection.baskets import baskets
        from arbkit.history.tape import read_tape

        recorded = read_tape(tape)
        report = scan_report(recorded, baskets(recorded, chosen), min_edge, edge, rearm_s, assume_fees)
        typer.echo(str(report))
        return report.to_dict()

    _write_json(json_file, refusable(work))


@app.command()
def compare(
    tape: Annotated[str, typer.Argument(help="A tape folder, or the URL of one.")],
    strategies: Strategies = "market,limit,hybrid",
    kinds: Kinds = ALL_KINDS,
    latency_ms: Latencies = None,
    min_edge: MinEdge = None,
    edge: Edge = None,
    rearm_s: Rearm = 1.0,
    assume_fees: Assume = None,
    set_: Settings = None,
    study: Study = None,
    mode: Mode = "each",
    seed: Seed = 0,
    seeds: Seeds = 1,
    json_file: Json = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report here, one file.")] = None,
) -> None:
    """Run the live engine over every opportunity with each strategy, and compare."""
    chosen = _some_of(kinds, "--kinds", ALL_KINDS)
    names = _some_of(strategies, "--strategies", "market,limit,hybrid")
    _one_of(edge, "--edge", "net,gross")
    _one_of(mode, "--mode", "each,portfolio")
    delays = _latencies(latency_ms)
    config, scenario = _settings(set_ or [], seed)

    def work() -> Comparison:
        from arbkit.analysis.results import compare as compare_
        from arbkit.detection.baskets import baskets
        from arbkit.history.tape import read_tape

        recorded = read_tape(tape)
        return compare_(
            recorded,
            baskets(recorded, chosen),
            strategies=names,
            min_edge=min_edge,
            edge=edge,
            rearm_s=rearm_s,
            assume_fees=assume_fees,
            config=config,
            scenario=scenario,
            latencies_ms=delays,
            seeds=seeds,
            mode=mode,
            study=study,
        )

    comparison = refusable(work)
    typer.echo(str(comparison))
    _write_json(json_file, comparison.to_dict())
    if html is not None:
        _write_report(html, comparison)


def _grid(items: list[str]) -> dict[str, list[Any]]:
    """Read `--grid config.x=0.0,0.01` and `--grid scenario.y=[...]`; which names there are is the sweep's to say."""
    found: dict[str, list[Any]] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not text.strip() or name.strip() in found:
            raise usage(f"--grid {item!r}: must be NAME=VALUE,VALUE or NAME=[JSON], each name once")
        values = _json(text)
        found[name.strip()] = values if isinstance(values, list) else [_json(each) for each in _list(text, "--grid")]
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()


@app.command()
def sweep(
    tape: Annotated[str, typer.Argument(help="A tape folder, or the URL of one.")],
    grid: Annotated[list[str], typer.Option("--grid", help="config.x=0.0,0.01 or scenario.y=through,front.")],
    strategies: Strategies = "market,limit,hybrid",
    kinds: Kinds = ALL_KINDS,
    latency_ms: Latencies = None,
    min_edge: MinEdge = None,
    edge: Edge = None,
    rearm_s: Rearm = 1.0,
    assume_fees: Assume = None,
    set_: Settings = None,
    study: Study = None,
    mode: Mode = "each",
    seed: Seed = 0,
    seeds: Seeds = 1,
    cache: Annotated[Path | None, typer.Option(help="Where results are kept and found again.")] = None,
    json_file: Json = None,
) -> None:
    """Compare at every point of a grid, on all cores; what was done before is not done again."""
    chosen = _some_of(kinds, "--kinds", ALL_KINDS)
    names = _some_of(strategies, "--strategies", "market,limit,hybrid")
    _one_of(edge, "--edge", "net,gross")
    _one_of(mode, "--mode", "each,portfolio")
    delays, axes = _latencies(latency_ms), _grid(grid)
    config, scenario = _settings(set_ or [], seed)

    def work() -> dict[str, Any]:
        from arbkit.analysis.results import sweep as sweep_
        from arbkit.analysis.sweeping import sweep_json, sweep_text
        from arbkit.detection.baskets import baskets
        from arbkit.history.tape import read_tape

        found = sweep_(
            tape,
            baskets(read_tape(tape, verify=False), chosen),
            axes,
            strategies=names,
            min_edge=min_edge,
            edge=edge,
            rearm_s=rearm_s,
            assume_fees=assume_fees,
            config=config,
            scenario=scenario,
            latencies_ms=delays,
            seeds=seeds,
            mode=mode,
            study=study,
            cache=cache,
        )
        typer.echo(sweep_text(found))
        return sweep_json(found)

    _write_json(json_file, refusable(work))


@app.command()
def demo(
    html: Annotated[Path, typer.Option("--html", help="Where the report goes.")] = Path("arbkit_demo.html"),
    json_file: Json = None,
) -> None:
    """Run the whole comparison on the tape that ships: recordings to answer in one command."""

    def work() -> Comparison:
        from arbkit.analysis.results import compare as compare_
        from arbkit.detection.baskets import baskets
        from arbkit.history.shipped import shipped
        from arbkit.history.tape import read_tape

        recorded = read_tape(shipped("synthetic_two_market"))
        return compare_(recorded, baskets(recorded), latencies_ms=(20.0, 100.0, 250.0))

    comparison = refusable(work)
    typer.echo(str(comparison))
    _write_json(json_file, comparison.to_dict())
    _write_report(html, comparison)
