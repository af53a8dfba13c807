"""How far a comparison leans on the model of the queue: every rule that the tape can feed, from cautious to hopeful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arbkit.analysis.gathering import Gathered, gather
from arbkit.analysis.intervals import Floats
from arbkit.analysis.raw import Raw, RawCell, groups
from arbkit.core.model import ExecutionStrategy

if TYPE_CHECKING:
    import pandas as pd

QUEUES = ("through", "trade-only", "risk-averse", "power", "pro-rata", "front")  # the most cautious first
_CAUTION = {**{rule: place for place, rule in enumerate(QUEUES)}, "cautious": 0, "hopeful": 1}
NAN = float("nan")


def models(strategy: ExecutionStrategy, queue: str) -> list[tuple[str, str]]:
    """Return the (queue, consumption) models that a strategy is spanned over, the most cautious first.

    MARKET stands in no queue: its own `queue`, under both views of what it took itself.
    """
    if strategy is ExecutionStrategy.MARKET:
        return [(queue, "cautious"), (queue, "hopeful")]
    return [*((rule, "cautious") for rule in QUEUES), ("front", "hopeful")]


def caution(model: tuple[str, str]) -> tuple[int, int, str]:
    """Return what sorts models from the most cautious to the most hopeful; unknown ones stand in between."""
    queue, consumption = model
    return _CAUTION.get(queue, len(QUEUES) - 1), _CAUTION.get(consumption, 0), queue


def queue_table(raw: Raw) -> pd.DataFrame:
    """Return fill rate and pnl per opportunity under every queue and consumption model that was run.

    One row per strategy, latency and model ("queue, consumption"), the most cautious model first. Only strategies and
    latencies that were run under more than one model, with the seeds they have in common. Empty when there are none.
    """
    import pandas as pd  # the workers of a sweep read this module and make no frames

    found = []
    for (strategy, latency_ms), mine in groups([*raw.cells, *raw.sensitivity]).items():
        known = sorted({(cell.queue, cell.consumption) for cell in mine}, key=caution)
        seeds = [{c.seed for c in mine if (c.queue, c.consumption) == model} for model in known]
        common = set.intersection(*seeds)
        if len(known) < 2 or not common:
            continue
        for model in known:
            cells: Sequence[RawCell] = [c for c in mine if (c.queue, c.consumption) == model and c.seed in common]
            (row,) = gather(raw, cells).rows
            found.append(_row(raw, strategy, latency_ms, model, row))
    names = ["strategy", "latency_ms", "model", "leg_fill_rate", "pnl_per_opportunity", "n_opportunities"]
    kinds = dict.fromkeys(names, "float64") | {"strategy": "str", "model": "str", "n_opportunities": "int64"}
    return pd.DataFrame(found, columns=names).astype(kinds)


def _row(raw: Raw, strategy: str, latency_ms: float, model: tuple[str, str], row: Gathered) -> tuple[object, ...]:
    pnl = _ratio(*row.pair("pnl_per_opportunity")) if raw.fees_known else NAN
    filled = _ratio(*row.pair("leg_fill_rate"))
    return strategy, latency_ms, ", ".join(model), filled, pnl, round(row.total("opportunities"))


def _ratio(above: Floats, below: Floats) -> float:
    return float(above.sum()) / float(below.sum()) if below.sum() else NAN


def _said(value: float, form: str) -> str:
    from arbkit.analysis.definitions import UNDEFINED  # with pandas, which whoever runs a sweep does without

    return UNDEFINED if value != value else f"{value:{form}}".replace("-", "−")


def span_lines(raw: Raw) -> list[str]:
    """Return, per strategy that was spanned, its most cautious and its most hopeful figures in words."""
    lines = []
    for (strategy, latency_ms), rows in queue_table(raw).groupby(["strategy", "latency_ms"], sort=False):
        first, last = rows.iloc[0], rows.iloc[-1]
        money = ""
        if raw.fees_known:
            low, high = rows["pnl_per_opportunity"].min(), rows["pnl_per_opportunity"].max()
            money = f"; pnl per opportunity {_said(low, '.3f')} to {_said(high, '.3f')} dollars over {len(rows)} models"
        lines.append(
            f"{strategy} at {latency_ms:g} ms: leg fill rate {_said(first['leg_fill_rate'], '.1%')} ({first['model']}) "
            f"to {_said(last['leg_fill_rate'], '.1%')} ({last['model']}){money}"
        )
    return lines
