"""Real recordings, imported once a session, and the comparisons that several files of tests look at."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import arbkit as ak
from arbkit.analysis.results import Comparison
from arbkit.core.model import Basket
from arbkit.history.tape import Tape

MARKETS = Path(__file__).resolve().parents[1] / "data" / "markets"
FILES = {
    "nyk_lac": ["arbitrage-betting/Kalshi_NYK_JAN07_WIN.csv.gz", "arbitrage-betting/Kalshi_LAC_JAN07_WIN.csv.gz"],
    "bos_den": ["arbitrage-betting/Kalshi_BOS_JAN07_WIN.csv.gz", "arbitrage-betting/Kalshi_DEN_JAN07_WIN.csv.gz"],
    "mia_min": ["arbitrage-betting/Kalshi_MIA.csv.gz", "arbitrage-betting/Kalshi_MIN.csv.gz"],
    "tickscope": ["tickscope/*.parquet"],
    "resolvedkit": ["resolvedkit/*.parquet"],
}
FEES = "kalshi-2026-07-07"  # younger than the games: an assumption, so that fills are charged something
DECISIONS: dict[str, dict[str, Any]] = {
    "episodes": {"min_edge": -0.01, "rearm_s": 0.0},  # a cent short of an edge: enough decisions to count
    "study": {"study": "sample:5s"},
}

Recorded = Callable[[str], tuple[Tape, list[Basket]]]
Compared = Callable[[str, str], Comparison]


@pytest.fixture(scope="session")
def recorded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return the tape of a recording and the baskets of its events, or inside its markets where both are recorded."""

    @cache
    def get(name: str) -> tuple[Tape, list[Basket]]:
        to = tmp_path_factory.mktemp(name) / "tape"
        found = [path for pattern in FILES[name] for path in sorted(real_data.glob(pattern))]
        ak.import_recording(found, to, MARKETS / f"{name}.toml")
        tape = ak.read_tape(to)
        both = all(book.recorded for book in tape.markets.books)
        return tape, ak.baskets(tape, kinds=("complement",) if both else ("outcomes",))

    return get


@pytest.fixture(scope="session")
def compared(recorded: Recorded) -> Compared:
    """Return all three strategies at 50 ms on the decisions of a game, with every queue model beside them."""

    @cache
    def get(name: str, decisions: str) -> Comparison:
        tape, baskets = recorded(name)
        return ak.compare(tape, baskets, edge="gross", assume_fees=FEES, latencies_ms=(50,), **DECISIONS[decisions])

    return get
