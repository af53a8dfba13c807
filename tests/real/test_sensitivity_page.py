"""The page on sensitivity says what the recordings say: its figures are those of the comparison it is made of."""

from __future__ import annotations

import pytest

from benchmarks.sensitivity import FEES, compared, section
from tests.real.conftest import FEES as ASSUMED
from tests.real.conftest import Recorded

pytestmark = [pytest.mark.real_data, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("game", ["nyk_lac", "bos_den"])
def test_what_market_completes_is_what_the_recording_still_held(recorded: Recorded, game: str) -> None:
    """With a cap that never binds, completion and the count off the tape are one share at each latency."""
    found = compared(*recorded(game), latencies=(20.0, 250.0))
    told = section(game, found)
    print(told)
    curve = found.catchable.set_index("latency_ms")["executable_share"]
    market = found.table[found.table["strategy"] == "MARKET"].set_index("latency_ms")
    for latency in (20.0, 250.0):
        assert curve[latency] == market.loc[latency, "completion_rate"]
        assert f"| MARKET | {latency:g} | {curve[latency]:.1%}" in told
    assert "nan" not in told.lower()
    assert told.count("| LIMIT |") == 2 + 7  # two latencies, and every model of the queue
    assert FEES == ASSUMED
