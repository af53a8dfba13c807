"""What every measured process does: warm up, then run when it is told to, and print one line of JSON a run.

Nothing is imported here that a peer's environment may lack.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

READY = "ready"


def serve(run: Callable[[], dict[str, float]], warm_up: Callable[[], object]) -> None:
    """Warm up, say so, and run once for every line of standard input."""
    warm_up()
    print(READY, flush=True)
    for _ in sys.stdin:
        print(json.dumps(run()), flush=True)


def timed(run: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return what a run counted, with its `seconds`."""
    began = time.perf_counter()
    counted = run()
    return {**counted, "seconds": time.perf_counter() - began}


def memory() -> dict[str, float]:
    """Return the largest resident size of this process, pages of mapped files included, and what it holds itself, MB.

    Linux only.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kb = {name: float(line.split()[1]) for line in lines if (name := line.split(":")[0]) in ("VmHWM", "RssAnon")}
    return {"peak_mb": kb["VmHWM"] / 1_024, "own_mb": kb["RssAnon"] / 1_024}


if __name__ == "__main__":
    print(json.dumps(memory()))  # of a bare interpreter
