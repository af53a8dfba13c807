"""Our own round trip against web3's, in one run."""

from __future__ import annotations

import pytest

from benchmarks.chain import round_trips
from tests.chain.conftest import Start
from tests.figures import Reached

pytestmark = pytest.mark.chain


@pytest.mark.no_cover
async def test_our_round_trip_takes_at_most_half_of_what_web3_takes(start_anvil: Start, reached: Reached) -> None:
    node = start_anvil("--no-mining")
    runs = sorted([await round_trips(node.url, number=300) for _ in range(3)], key=lambda run: run.ratio)
    own, theirs = runs[1].endpoint_s * 1e3, runs[1].web3_s * 1e3
    reached("JSON-RPC round trip, own / web3 over HTTP", f"{own:.2f} / {theirs:.2f} ms = {runs[1].ratio:.2f}", "<= 0.5")
    assert runs[1].ratio <= 0.5
