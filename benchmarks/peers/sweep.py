"""A sweep on one process or on several: `python -m benchmarks.peers.sweep TAPE WORKERS POINTS`, without its cache."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import arbkit as ak
from arbkit.backtest.sweep_pool import local_pool
from benchmarks.peers.turns import serve, timed


def sweep(tape: Path, workers: int, points: int) -> dict[str, float]:
    """Compare the strategies at so many latencies, each point worked out anew by a pool that is new too."""
    baskets = ak.baskets(ak.read_tape(tape, verify=False))
    grid = {"scenario.entry_ms": [5.0 + 5.0 * point for point in range(points)]}
    with tempfile.TemporaryDirectory() as cache:

        def run() -> dict[str, float]:
            with local_pool(workers) as pool:
                return {"rows": len(ak.sweep(tape, baskets, grid, pool, cache=cache))}

        return timed(run)


def main(tape: Path, workers: int, points: int) -> None:
    serve(lambda: sweep(tape, workers, points), lambda: sweep(tape, workers, workers))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
