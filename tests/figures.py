"""Figures that tests measure and must reach, listed at the end of a run: they travel with the reports, from workers too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

FIGURE = "figure"
Reached = Callable[[str, str, str], None]  # what, as measured, what it must be


def lines(stats: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return a line for each figure in the reports of a run, sorted; one whose test failed says so."""
    found = sorted(
        {
            (*value, outcome)
            for outcome in ("passed", "failed")
            for report in stats.get(outcome, ())
            for name, value in getattr(report, "user_properties", ())
            if name == FIGURE and getattr(report, "when", "") == "call"
        }
    )
    wide = [max((len(row[at]) for row in found), default=0) for at in range(2)]
    return [
        f"{what:<{wide[0]}}  {measured:<{wide[1]}}  must be {bound}" + ("" if outcome == "passed" else "  FAILED")
        for what, measured, bound, outcome in found
    ]
