import time

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.core.clock import LoopClock


async def asked() -> int:
    return LoopClock().now()


def test_a_virtual_loop_tells_its_own_time() -> None:
    assert run_virtual(asked(), SimLoop(1_234)) == 1_234


async def test_asyncio_loops_mean_the_wall() -> None:
    before = time.time_ns()
    assert before <= await asked() <= time.time_ns()
