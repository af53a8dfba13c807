"""What the scan finds in real recordings, against counts that were made by other means."""

from pathlib import Path

import numpy as np
import pytest

from arbkit.backtest.scan import ScanResult, scan_tape
from arbkit.core.units import MICRO, NS_PER_MS, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.history.importers import import_recording
from arbkit.history.tape import Tape, read_tape

pytestmark = pytest.mark.real_data
MARKETS = Path(__file__).resolve().parents[2] / "data" / "markets"


def tape_of(folder: Path, names: list[str], markets: str, to: Path) -> Tape:
    import_recording([folder / name for name in names], to / "tape", MARKETS / markets)
    return read_tape(to / "tape")


def gross(tape: Tape, kind: str) -> ScanResult:
    found = baskets(tape, [kind])
    bounds = {"max_size": Size(100 * MICRO), "max_exposure": Cash(250 * MICRO)}
    return scan_tape(tape, found, min_edge=Cash(100), gross=True, fees=None, **bounds)  # type: ignore[arg-type]


def by_side(result: ScanResult) -> dict[str, int]:
    sides = [basket.id.rpartition(":")[2] for basket in result.baskets]
    return {side: int(np.count_nonzero(result.basket == k)) for k, side in enumerate(sides)}


def test_a_wild_game_opens_four_times_on_its_ask_side_and_ten_on_its_bid_side(real_data: Path, tmp_path: Path) -> None:
    names = [f"Kalshi_{team}_JAN07_WIN.csv.gz" for team in ("NYK", "LAC")]
    found = gross(tape_of(real_data / "arbitrage-betting", names, "nyk_lac.toml", tmp_path), "outcomes")
    assert found.counters["pieces"] == 14
    assert by_side(found) == {"yes": 4, "no": 9}  # two of the ten are 0.3 s apart: one episode
    assert set(found.first_edge.tolist()) == {10_000, 20_000}
    life = (found.end - found.start)[found.basket == 0] / NS_PER_MS
    assert 100 < np.median(life) < 130
    assert not found.censored.any()


def test_a_calmer_game_opens_once(real_data: Path, tmp_path: Path) -> None:
    names = [f"Kalshi_{team}_JAN07_WIN.csv.gz" for team in ("BOS", "DEN")]
    found = gross(tape_of(real_data / "arbitrage-betting", names, "bos_den.toml", tmp_path), "outcomes")
    assert by_side(found) == {"yes": 1, "no": 0}
    assert found.counters["pieces"] == 1


def test_a_desynchronised_recorder_makes_no_opportunities(real_data: Path, tmp_path: Path) -> None:
    names = [f"Kalshi_{team}.csv.gz" for team in ("MIA", "MIN")]
    found = gross(tape_of(real_data / "arbitrage-betting", names, "mia_min.toml", tmp_path), "outcomes")
    assert len(found) == 0
    assert found.counters["unhealthy"] > 10_000


def test_inside_one_market_of_two_recorded_books_there_is_nothing(real_data: Path, tmp_path: Path) -> None:
    names = [path.name for path in sorted((real_data / "resolvedkit").glob("*.parquet"))]
    found = gross(tape_of(real_data / "resolvedkit", names, "resolvedkit.toml", tmp_path), "complement")
    assert len(found) == 0
    assert found.counters["unsynchronised"] > 0  # legs of different seconds do stand apart
