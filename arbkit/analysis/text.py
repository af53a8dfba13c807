"""The comparison as text for a terminal, as JSON, and the answer in plain words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from arbkit.analysis.comparison import difference
from arbkit.analysis.definitions import (
    BLOCKS,
    FEES_UNKNOWN,
    INTERVALS,
    WHAT_IT_EARNED,
    Column,
    labels,
    notes,
    present,
)
from arbkit.analysis.intervals import MIN_CLUSTERS, TOO_FEW
from arbkit.analysis.raw import Raw
from arbkit.analysis.span import span_lines

WIDTH = 120
GAP = "  "
RANKED = next(column for column in WHAT_IT_EARNED if column.name == "pnl_per_opportunity")
SHORTFALL = next(column for column in WHAT_IT_EARNED if column.name == "shortfall_mean")


# -- the answer ----------------------------------------------------------------------------------------------


def answer(raw: Raw, table: pd.DataFrame) -> list[str]:
    """Return the answer: one plain sentence, and those that qualify it.

    Strategies are ranked by pnl per opportunity, then by shortfall, at the first latency that was run.
    """
    if not len(table) or not table["opportunities"].any():
        return ["No opportunity was found, so there is nothing to rank."]
    if not raw.fees_known:
        return [f"Strategies are not ranked: {FEES_UNKNOWN}."]
    latency_ms = float(table["latency_ms"].iloc[0])
    ranking = _ranking(table, latency_ms)
    first = ranking.iloc[0]
    few = "" if first["n_clusters"] >= MIN_CLUSTERS else f" ({TOO_FEW} for an interval: {int(first['n_clusters'])})"
    earned = f"{_dollars(first['pnl_per_opportunity'])} per opportunity{_between(RANKED, first)}"
    lost = f"a shortfall of {SHORTFALL.text(first['shortfall_mean'])} cents per share{_between(SHORTFALL, first)}"
    names = _first(ranking)
    shared = len(names) > 1
    does = "rank first together" if shared else "ranks first" if len(ranking) > 1 else "was run alone"
    still = f", and still {'lose' if shared else 'loses'} money" if first["pnl"] < 0 else ""
    sentence = f"At {latency_ms:g} ms {_and(names)} {does}{still}: {earned}, {lost}{few}"
    behind = ranking.iloc[len(names) :]
    rest = [f"{row['strategy']} {RANKED.text(row['pnl_per_opportunity'])}" for _, row in behind.iterrows()]
    sentences = [sentence + (f"; then {' and '.join(rest)}." if rest else ".")]
    best = str(ranking.sort_values("shortfall_mean", kind="stable")["strategy"].iloc[0])
    if best not in names:
        sentences.append(f"By shortfall alone it would be {best}.")
    if len(ranking) > 1 and not shared and raw.mode == "each":
        sentences += _lead(raw, names[0], str(ranking["strategy"].iloc[1]), latency_ms)
    return sentences + _elsewhere(table, names, latency_ms)


def _ranking(table: pd.DataFrame, latency_ms: float) -> pd.DataFrame:
    rows = table[table["latency_ms"] == latency_ms]
    return rows.sort_values(["pnl_per_opportunity", "shortfall_mean"], ascending=[False, True], kind="stable")


def _first(ranking: pd.DataFrame) -> list[str]:
    """Return who ranks first: more than one where they earned the very same and fell short by the very same."""
    columns = ["pnl_per_opportunity", "shortfall_mean"]
    same = (ranking[columns] == ranking[columns].iloc[0]).all(axis=1)
    return [str(name) for name in ranking["strategy"][same]] or [str(ranking["strategy"].iloc[0])]


def _lead(raw: Raw, first: str, second: str, latency_ms: float) -> list[str]:
    found = difference(raw, first, second)
    row = found[found["latency_ms"] == latency_ms].iloc[0]
    if math.isnan(row["lo"]):
        return []
    span = f"{_dollars(row['difference'])}, 95 % interval {RANKED.text(row['lo'])} to {RANKED.text(row['hi'])}"
    told = "clear of zero" if row["lo"] > 0 else "not to be told from zero"
    return [f"Its lead over {second} on the same opportunities is {told} ({span})."]


def _elsewhere(table: pd.DataFrame, first: list[str], latency_ms: float) -> list[str]:
    winners: dict[tuple[str, ...], list[str]] = {}
    for other in dict.fromkeys(table["latency_ms"]):
        if other != latency_ms:
            winners.setdefault(tuple(_first(_ranking(table, other))), []).append(f"{other:g}")
    if not winners:
        return []
    if list(winners) == [tuple(first)]:
        return [f"{'It also ranks first' if len(first) == 1 else 'They also do'} at {_and(winners[tuple(first)])} ms."]
    told = [
        f"{_and([*names])}{' together' * (len(names) > 1)} at {_and(places)} ms" for names, places in winners.items()
    ]
    return [f"At other latencies the first is {_and(told)}."]


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _dollars(amount: float) -> str:
    return f"{RANKED.text(amount)} dollars"  # never a dollar sign: notebooks would set what stands between two as math


def _between(column: Column, row: pd.Series) -> str:
    span = column.interval(row)
    return f" (95 % interval {span.strip('[]').replace(', ', ' to ')})" if span else ""


# -- text ----------------------------------------------------------------------------------------------------


def table_text(table: pd.DataFrame, width: int = WIDTH) -> str:
    """Return the comparison table aligned for a terminal: what it earned, how the trades ended, how the legs filled.

    Every block repeats strategy and latency and is broken again where it is wider than `width`; "-" is undefined;
    notes say why intervals or net figures are missing.
    """
    keys = [_strip("strategy", list(table["strategy"]), left=True)]
    keys.append(_strip("latency ms", [f"{value:g}" for value in table["latency_ms"]]))
    shown: list[Iterable[tuple[str, ...]]] = []
    for columns in BLOCKS.values():
        strips = [
            _strip(f"{c.head} {c.unit.replace('dollars', '$')}".rstrip(), _cells(c, table))
            for c in present(columns, table)
        ]
        shown += [zip(*block, strict=True) for block in _fitting(keys, strips, width)]
    return "\n\n".join(["\n".join(GAP.join(line).rstrip() for line in lines) for lines in shown] + notes(table))


def _cells(column: Column, table: pd.DataFrame) -> list[str]:
    return [f"{column.text(float(row[column.name]))} {column.interval(row)}".rstrip() for _, row in table.iterrows()]


def _fitting(keys: list[list[str]], strips: list[list[str]], width: int) -> list[list[list[str]]]:
    blocks = [[*keys]]
    for strip in strips:
        taken = sum(len(one[0]) + len(GAP) for one in blocks[-1])
        if taken + len(strip[0]) > width and len(blocks[-1]) > len(keys):
            blocks.append([*keys])
        blocks[-1].append(strip)
    return blocks


def _strip(head: str, values: list[str], *, left: bool = False) -> list[str]:
    width = max(len(head), *(len(value) for value in values)) if values else len(head)
    return [text.ljust(width) if left else text.rjust(width) for text in (head, *values)]


def comparison_text(raw: Raw, table: pd.DataFrame) -> str:
    """Return the whole comparison for a terminal: what it is not, the answer, the table, what was modelled."""
    parts = labels(raw.study, raw.synthetic, raw.modelled)
    parts += [*wrapped(" ".join(answer(raw, table))), "", table_text(table), ""]
    if len(table) and int(table["n_clusters"].max()) >= MIN_CLUSTERS:
        parts += [*wrapped(INTERVALS), ""]
    if spans := span_lines(raw):
        parts += ["from the most cautious model of fills to the most hopeful:"]
        parts += [line for span in spans for line in wrapped(span, indent="  ")]
        parts.append("")
    parts.append("modelled:")
    for name, value in raw.modelled.items():
        parts += wrapped(f"{name}: {said(value)}", indent="  ")
    return "\n".join(parts)


def wrapped(text: str, indent: str = "", width: int = WIDTH) -> list[str]:
    """Return text broken into lines that fit a terminal."""
    import textwrap

    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + "  " if indent else "") or [""]


def said(value: object) -> str:
    """Return an assumption or a count in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {said(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return said(value.value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return (
            ", ".join(said(inner) for inner in (sorted(value) if isinstance(value, frozenset | set) else value))
            or "none"
        )
    return "none" if value is None else str(value)


# -- JSON ----------------------------------------------------------------------------------------------------


def compare_json(raw: Raw, table: pd.DataFrame) -> dict[str, Any]:
    """Return {"table": [row...], "modelled": {...}, "quality": {...}} in plain JSON values, undefined as null.

    `modelled` also says what kind of result it is: mode, study and whether the tape is synthetic.
    """
    kind = {"mode": raw.mode, "study": raw.study, "synthetic": raw.synthetic, "fees_known": raw.fees_known}
    return {"table": json_rows(table), "modelled": plain(kind | dict(raw.modelled)), "quality": plain(raw.quality)}


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame as JSON rows."""
    return [to_json_row(dict(zip(frame.columns, row, strict=True))) for row in frame.itertuples(index=False, name=None)]


def to_json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row with JSON values: undefined as null, times in ISO 8601 with nanoseconds."""
    return {str(name): plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; what is no number, text, list or mapping becomes its text."""
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(inner) for name, inner in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(inner) for inner in value), key=str)
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return str(value)
