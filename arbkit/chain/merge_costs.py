"""What merges really use in gas, by the way they are made: measured on a local node, not estimated.

The same conditions and amounts each time, delivered anew before each measurement, so that the ways differ and nothing
else does: what a merge uses varies by tens of thousands with its condition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from arbkit.chain.batch import Way
from arbkit.chain.local_contracts import LocalChain
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.core.transaction import Call, Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.settlement.intents import Intent

PAIRS: Final = Size(10 * MICRO)


class Made(StrEnum):
    """How merges are made."""

    ACCOUNT = "account, one by one"
    SAFE = "Safe, one by one"
    MULTISEND = "Safe, one MultiSend"


@dataclass(frozen=True, slots=True)
class MergeCost:
    """What so many merges used. `chosen` is what the manager would do by itself."""

    made: Made
    merges: int
    gas: int
    transactions: int
    chosen: Way


async def measure_merges(chain: LocalChain, counts: Sequence[int] = (1, 2, 3, 5, 10)) -> list[MergeCost]:
    """Make so many merges in each of the three ways and return what they used.

    The chain has as many conditions as the highest count, and nobody else uses it meanwhile.
    """
    await chain.stock(PAIRS * len(Made) * len(counts))
    found = []
    async with chain.mining():
        async with chain.polygon() as account:
            for merges in counts:
                calls = await _delivered(chain, account, Made.ACCOUNT, merges)
                found.append(await _one_by_one(account, Made.ACCOUNT, calls))
        async with chain.polygon(safe=True) as safe:
            # A Safe's first transaction writes its counter for the first time, which is dearer than all later times.
            await safe.execute([Call("the first of all", chain.other, b"")])
            for merges in counts:
                calls = await _delivered(chain, safe, Made.SAFE, merges)
                found.append(await _one_by_one(safe, Made.SAFE, calls))
                calls = await _delivered(chain, safe, Made.MULTISEND, merges)
                found.append(await _together(chain, safe, calls))
    return found


async def _delivered(chain: LocalChain, polygon: PolygonOptimizer, made: Made, merges: int) -> list[Call]:
    """Deliver pairs to the holder and return the calls that merge all of them."""
    conditions = chain.conditions[:merges]
    await chain.deliver(polygon.holder, conditions, PAIRS)
    return [Intent(Work.MERGE, f"{made.name} {merges}", one, PAIRS).call(chain.contracts) for one in conditions]


async def _one_by_one(polygon: PolygonOptimizer, made: Made, calls: Sequence[Call]) -> MergeCost:
    chosen = (await polygon.batches.plan(calls)).way
    done = await asyncio.gather(*(polygon.execute([call]) for call in calls))  # each alone, so no batch is made of them
    results = [result for (result,) in done]
    for result in results:
        _require(result.fate, result.reason)
    gas = sum(result.gas_used for result in results)
    return MergeCost(made, len(calls), gas, len({result.hash for result in results}), chosen)


async def _together(chain: LocalChain, polygon: PolygonOptimizer, calls: Sequence[Call]) -> MergeCost:
    """Make one MultiSend, of a single call too, which the manager never would."""
    chosen = (await polygon.batches.plan(calls)).way
    key = f"one MultiSend of {len(calls)}"
    await polygon.transactions.submit(chain.safe.batch(key, calls, chain.us), items=tuple(call.key for call in calls))
    done = await polygon.transactions.wait(key)
    _require(done.fate)
    assert done.mined is not None
    return MergeCost(Made.MULTISEND, len(calls), done.mined.gas_used, 1, chosen)


def _require(fate: Fate, reason: str = "") -> None:
    if fate is not Fate.DONE:
        raise RuntimeError(f"a merge that was to be measured is {fate}: {reason or 'no reason given'}")


async def measure_works(chain: LocalChain) -> dict[Work, int]:
    """Return the mean gas of one approval, split, merge and redeem of the account, over the chain's conditions.

    All questions are answered YES in its course.
    """
    async with chain.mining(), chain.polygon() as polygon:
        desk = chain.settle(polygon)
        for work, amount in ((Work.SPLIT, PAIRS), (Work.MERGE, Size(PAIRS // 2)), (Work.REDEEM, Size(0))):
            if work is Work.REDEEM:
                for number in range(len(chain.conditions)):
                    await chain.answer(f"question {number}", 1, 0)
            for result in await desk.settle([Intent(work, "measured", one, amount) for one in chain.conditions]):
                _require(result.fate, result.reason)
        by_work = polygon.tracker.get_summary()["by_work"]
    return {Work(name): row["gas_used"] // row["transactions"] for name, row in by_work.items()}
