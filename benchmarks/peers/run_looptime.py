"""A bare virtual loop: `python -m benchmarks.peers.run_looptime [CYCLES]`, in the environment of looptime.

CYCLES are its `noop_cycles`: how often it looks for something to do before it lets time pass. `own` runs the same
sleepers.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.peers.turns import serve, timed

TASKS, SLEEPS = 100, 200


async def sleepers() -> int:
    """Let many tasks sleep in turns, each at a pace of its own; return how often one woke up."""

    async def one(pace_ms: int) -> int:
        for _ in range(SLEEPS):
            await asyncio.sleep(pace_ms / 1_000)
        return SLEEPS

    return sum(await asyncio.gather(*(one(10 + 7 * task) for task in range(TASKS))))


def main(*cycles: str) -> None:
    import looptime

    settings = {"noop_cycles": int(cycles[0])} if cycles else {}

    def run() -> dict[str, float]:
        loop = looptime.new_event_loop(start=0, **settings)
        try:
            return timed(lambda: {"wakes": loop.run_until_complete(sleepers())})
        finally:
            loop.close()

    serve(run, run)


if __name__ == "__main__":
    main(*sys.argv[1:])
