"""`python -m benchmarks.sensitivity`: how far results on recorded games lean on latency and on the queue's model.

Two basketball games on Kalshi, a market per team, read from ARBKIT_REAL_DATA (by default ../shared/data/real). It
writes docs/sensitivity.md: every figure on that page is printed by this module.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

import arbkit as ak
from arbkit.analysis.measures import PARTS, parts_table
from arbkit.analysis.results import Comparison
from arbkit.analysis.span import queue_table
from arbkit.core.model import Basket
from arbkit.history.tape import Tape

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("ARBKIT_REAL_DATA", ROOT.parent / "shared" / "data" / "real"))
GAMES = {"nyk_lac": ("NYK", "LAC"), "bos_den": ("BOS", "DEN")}
FEES = "kalshi-2026-07-07"  # younger than the games: an assumption, so that fills are charged something
LATENCIES = (20.0, 100.0, 250.0, 1_000.0)
HEAD = """# How far results lean on latency and on the queue

Written by `make sensitivity`; no figure here was typed. Two recorded games of 2026-01-07 on Kalshi, a market per team,
one clock, trades recorded. Gaps of a cent or more between the teams are few, so decisions are taken a cent short of
an edge as well (`min_edge` −1 cent, before fees, re-entry at once): what is told is how orders fill, not what there
was to earn. Fees are those of {fees}, assumed: no rule covers that day. LIMIT and HYBRID stand under
`risk-averse` in the first table of each game; the second runs every rule at {first:g} ms. Shortfall is told against an
expected edge that is below zero after fees here: not trading a loss is a gain, which is why `unfilled` is negative.

Intervals (95 %, clusters resampled) are given where there are ten independent clusters.
"""

CATCH = (
    "What could still be had by orders that took so long, all legs at their worst prices and full size, counted off the "
    "recording; and the share of episodes that lasted longer, at the smallest size and as received:"
)


def recorded(game: str, folder: Path) -> tuple[Tape, list[Basket]]:
    """Return the tape of a game, imported into `folder`, and the baskets of its two markets."""
    files = [DATA / "arbitrage-betting" / f"Kalshi_{team}_JAN07_WIN.csv.gz" for team in GAMES[game]]
    ak.import_recording([str(file) for file in files], folder, ROOT / "tests" / "data" / "markets" / f"{game}.toml")
    tape = ak.read_tape(folder)
    return tape, ak.baskets(tape, kinds=("outcomes",))


def compared(tape: Tape, baskets: Sequence[Basket], latencies: Sequence[float] = LATENCIES) -> Comparison:
    """Return the comparison that the page tells of."""
    return ak.compare(
        tape, baskets, edge="gross", min_edge=-0.01, rearm_s=0.0, assume_fees=FEES, latencies_ms=latencies
    )


def section(game: str, found: Comparison) -> str:
    """Return what the page says of one game."""
    first, second = GAMES[game]
    table = found.table
    n, clusters = int(table["n_opportunities"].max()), int(table["n_clusters"].max())
    return "\n".join(
        [
            f"## {first} against {second}",
            "",
            f"{n} decisions in {clusters} independent clusters.",
            "",
            "By latency, decision to match and back each:",
            "",
            _latency(found),
            "",
            f"By the model of the queue, at {table['latency_ms'].min():g} ms:",
            "",
            _queues(found),
            "",
            CATCH,
            "",
            _catch(found),
            "",
        ]
    )


def _latency(found: Comparison) -> str:
    parts = parts_table(found.raw).set_index(["strategy", "latency_ms"])
    rows = []
    for row in found.table.to_dict("records"):
        why = parts.loc[(row["strategy"], row["latency_ms"])]
        rows.append(
            (
                row["strategy"], f"{row['latency_ms']:g}", _share(row, "completion_rate"), _share(row, "leg_fill_rate"),
                f"{row['shortfall_mean'] * 100:.2f}", *(f"{why[part] * 100:.2f}" for part in PARTS),
                f"{row['pnl_per_opportunity']:.3f}",
            )
        )  # fmt: skip
    head = ["strategy", "ms", "completion", "leg fill rate", "shortfall, cents/share", *(f"of it {p}" for p in PARTS)]
    return _markdown([*head, "pnl / opportunity, $"], rows)


def _queues(found: Comparison) -> str:
    table = queue_table(found.raw)
    rows = [
        (row.strategy, row.model, f"{row.leg_fill_rate:.1%}", f"{row.pnl_per_opportunity:.3f}")
        for row in table.itertuples()
    ]
    return _markdown(["strategy", "rule, consumption", "leg fill rate", "pnl / opportunity, $"], rows)


def _catch(found: Comparison) -> str:
    rows = [
        (
            f"{row['latency_ms']:g}", _share(row, "executable_share"),
            "-" if pd.isna(row["open_share"]) else f"{row['open_share']:.1%}",
        )
        for row in found.catchable.to_dict("records")
    ]  # fmt: skip
    return _markdown(["ms", "still executable", "lasted longer"], rows)


def _share(row: dict[str, float], name: str) -> str:
    lo, hi = row[f"{name}_lo"], row[f"{name}_hi"]
    between = "" if pd.isna(lo) else f" [{lo:.1%}, {hi:.1%}]"
    return f"{row[name]:.1%}{between}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)]).replace(
        "-0.00 ", "0.00 "
    )


def page() -> str:
    """Return the page, made anew from the recordings."""
    parts = [HEAD.format(fees=FEES, first=LATENCIES[0])]
    with tempfile.TemporaryDirectory() as folder:
        parts += [section(game, compared(*recorded(game, Path(folder) / game))) for game in GAMES]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensitivity", description=__doc__)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "sensitivity.md")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(1, f"the recordings are not at {DATA}: set ARBKIT_REAL_DATA to where they are\n")
    made = page()
    print(made)
    chosen.page.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
