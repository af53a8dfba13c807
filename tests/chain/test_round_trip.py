"""Our own round trip against web3's, in one run."""

from __future__ import annotations

import pytest

from benchmarks.chain import round_trips
from tests.chain.conftest import Start

pytestmark = pytest.mark.chain


async def test_our_round_trip_takes_at_most_half_of_what_web3_takes(
    start_anvil: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    node = start_anvil("--no-mining")
    runs = sorted([await round_trips(node.url, number=300) for _ in range(3)], key=lambda run: run.ratio)
    with capsys.disabled():
        print(f"\n{runs[1]}", end="")
    assert runs[1].ratio <= 0.5
