"""What Polygon costs an arbitrage, for notebooks: four questions, each one call whose answer shows itself.

The first needs nothing. The others need a local node and are answered on it, live; without one they say so, and the
rest of a notebook goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TypeVar

import pandas as pd

from arbkit.analysis.display import FigureSet, ShownFigure
from arbkit.analysis.figures import chain as draw
from arbkit.chain.failover import COURSE, Phase, Rehearsal, rehearse_failover
from arbkit.chain.gas import GWEI, GasConfig, Urgency
from arbkit.chain.gas_terms import TYPICAL_GAS, gas_terms
from arbkit.chain.local_contracts import LocalChain
from arbkit.chain.local_node import NoLocalNode, local_node
from arbkit.chain.merge_costs import Made, MergeCost, measure_merges, measure_works
from arbkit.core.transaction import Work
from arbkit.core.units import MICRO, cash, price

T = TypeVar("T")
BASE_FEES_GWEI = (30.0, 100.0, 300.0, 900.0, 1_500.0)
POL_PRICES = (0.10, 0.25, 0.50)


@dataclass(frozen=True)
class Findings:
    """A table and its figures. `rows` is what the table was made from, `missing` what an answer lacks, or nothing.

    `shown` is the table as people read it, numbers already in words.
    """

    note: str
    table: pd.DataFrame
    shown: pd.DataFrame
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    figures: FigureSet = field(default_factory=lambda: FigureSet(()))
    missing: str = ""

    @classmethod
    def lacking(cls, missing: str, columns: Mapping[str, str]) -> Findings:
        """Return an answer that could not be had: an empty table, and the reason."""
        empty = draw.frame([], dict(columns))
        return cls("", empty, empty, empty, missing=missing)

    def _repr_html_(self) -> str:
        if self.missing:
            return f"<p><strong>{escape(self.missing)}</strong></p>"
        return f"<p>{escape(self.note)}</p>{self.shown.to_html(index=False, border=0, justify='right')}"

    def __str__(self) -> str:
        return self.missing or f"{self.note}\n\n{self.shown.to_string(index=False)}"

    __repr__ = __str__


async def _asked(ask: Callable[[], Awaitable[T]]) -> T | str:
    """Return an answer, or what is not installed."""
    try:
        return await ask()
    except NoLocalNode as missing:
        return str(missing)


# -- gas against edges ---------------------------------------------------------------------------------------


async def gas_against_edges(
    *,
    gas: Mapping[Work, int] = TYPICAL_GAS,
    base_fees_gwei: Sequence[float] = BASE_FEES_GWEI,
    pol_prices: Sequence[float] = POL_PRICES,
    edge: float = 0.005,
    yearly: float = 0.20,
    urgency: Urgency = Urgency.NORMAL,
    config: GasConfig | None = None,
) -> Findings:
    """Return what one call of each kind costs, and the smallest trade that pays it.

    `gas` in units per call, `pol_prices` in dollars per POL, `edge` in dollars per share, `yearly` what a dollar earns
    elsewhere in a year. Raises ValueError for an edge that is no price.
    """
    terms = await gas_terms(
        gas,
        [round(base * GWEI) for base in base_fees_gwei],
        [cash(pol) for pol in pol_prices],
        urgency=urgency,
        config=config,
    )
    earns = cash(yearly)
    table = draw.gas_frame(terms, price(str(edge)))
    edges, merges = draw.edge_table(terms), draw.merge_table(terms, earns)
    figures = [ShownFigure("smallest_edge", "The edge per share at which gas is paid.", lambda: draw.plot_edge(edges))]
    if len(merges):
        caption = "The fewest pairs that are merged rather than left to be redeemed."
        figures.append(ShownFigure("smallest_merge", caption, lambda: draw.plot_merge(merges, earns / MICRO)))
    note = (
        f"Cost of one call in cents, and the fewest shares that pay it at an edge of {edge * 100:g} cents, by the price "
        f"of one POL in dollars. Offers by GasPriceManager, urgency {urgency.value}; the tip is its floor; above its cap nothing is sent."
    )
    return Findings(note, table, _gas_shown(table), edges, FigureSet(tuple(figures) if len(edges) else ()))


def _gas_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per call and base fee, POL prices side by side."""
    rows = []
    for (work, gas, base), group in table.groupby(["work", "gas", "base_fee_gwei"], sort=False):
        row = {"call": work, "gas": f"{gas:,}", "base fee (gwei)": f"{base:,g}"}
        for one in group.itertuples():
            row[f"cents, POL {one.pol_price:g}"] = "above cap" if one.refused else f"{one.cents:.3f}"
        for one in group.itertuples():
            row[f"shares, POL {one.pol_price:g}"] = "" if one.refused else f"{one.smallest_size:,.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


# -- on a local node -----------------------------------------------------------------------------------------


async def measured_gas(questions: int = 5, stated: Mapping[Work, int] = TYPICAL_GAS) -> Findings:
    """Return what an approval, a split, a merge and a redeem used on a local node, beside what was stated."""
    columns = {"work": "str", "measured": "int64", "stated": "float64"}

    async def ask() -> dict[Work, int]:
        with local_node("--no-mining") as node:
            return await measure_works(await LocalChain.build(node, questions))

    used = await _asked(ask)
    if isinstance(used, str):
        return Findings.lacking(used, columns)
    rows = [(work.value, gas, float(stated.get(work, float("nan")))) for work, gas in used.items()]
    table = draw.frame(rows, columns)
    shown = pd.DataFrame(
        {
            "call": table["work"],
            "gas, measured": [f"{gas:,}" for gas in table["measured"]],
            "gas, stated above": ["" if gas != gas else f"{gas:,.0f}" for gas in table["stated"]],
        }
    )
    note = (
        f"Mean of {questions} conditions, by an account, on the real bytecode. Polygon charges 10 to 30 % more than this "
        "node since it changed its prices of storage; the split above holds its approval."
    )
    return Findings(note, table, shown, table)


async def batch_savings(counts: Sequence[int] = (1, 2, 3, 5, 10)) -> Findings:
    """Return what so many merges used as an account's singles, a Safe's singles and one MultiSend of the Safe."""

    async def ask() -> list[MergeCost]:
        with local_node("--no-mining") as node:
            return await measure_merges(await LocalChain.build(node, max(counts)), counts)

    costs = await _asked(ask)
    if isinstance(costs, str):
        return Findings.lacking(costs, draw.BATCH_COLUMNS)
    table = draw.batch_table(costs)
    note = (
        "Gas used by merges of ten pairs each. The last column is what BatchTransactionManager does by itself for a Safe: "
        "one call is never batched."
    )
    caption = "Gas of one merge, by how many are made at once."
    figures = FigureSet((ShownFigure("gas_per_merge", caption, lambda: draw.plot_batch(table)),))
    return Findings(note, table, _batch_shown(table), table, figures)


def _batch_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per number of merges, the three ways side by side."""
    rows = []
    for merges, group in table.groupby("merges", sort=True):
        used = group.set_index("made")["gas"]
        batch = group[group["made"] == Made.MULTISEND.value].iloc[0]
        row = {"merges": f"{merges}"} | {f"gas: {made}": f"{used[made]:,}" for made in draw.MADE_COLOURS}
        row |= {
            "MultiSend / account": f"{batch['share_of_account']:.2f}",
            "MultiSend / Safe singles": f"{batch['share_of_safe']:.2f}",
            "chosen for a Safe": batch["chosen"],
        }
        rows.append(row)
    return pd.DataFrame(rows)


async def failover(course: Sequence[Phase] = COURSE, every_s: float = 0.1) -> Findings:
    """Return what callers of three endpoints met while the best of them hung, lagged, answered 429 and came back."""

    async def ask() -> Rehearsal:
        return await rehearse_failover(course=course, every_s=every_s)

    seen = await _asked(ask)
    if isinstance(seen, str):
        return Findings.lacking(seen, draw.PHASE_COLUMNS)
    rehearsal, table = seen, draw.phases_table(seen)
    note = (
        "Endpoint A through its phases. Behind: blocks by which an answer was older than what the node had before the "
        "call; stale: below what an earlier call had returned."
    )
    caption = "Who answered, how long it took, how old the heads were and how the endpoints were ranked."
    figures = FigureSet((ShownFigure("failover", caption, lambda: draw.plot_failover(rehearsal)),))
    return Findings(note, table, _phases_shown(table), draw.calls_frame(rehearsal), figures)


def _phases_shown(table: pd.DataFrame) -> pd.DataFrame:
    heads = {
        "phase": "A is", "calls": "calls", "failed": "failed", "stale": "stale", "most_behind": "most behind (blocks)",
        "by_A": "by A", "by_B": "by B", "by_C": "by C", "hedged": "another one asked",
    }  # fmt: skip
    shown = table[list(heads)].rename(columns=heads)
    for column, head in (("latency_ms_p50", "latency p50 (ms)"), ("latency_ms_max", "max (ms)")):
        shown[head] = [f"{value:.0f}" for value in table[column]]
    return shown
