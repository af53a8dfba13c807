"""What a scan returns: episodes as a frame, with what was counted on the way and what was assumed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from arbkit.analysis.definitions import SYNTHETIC
from arbkit.core.units import NS_PER_MS

if TYPE_CHECKING:
    from arbkit.backtest.scan import ScanResult

MICRO = 1e6
# What a scan rests on, of all that is assumed of an execution.
RESTS_ON = "decisions max_size max_exposure feed_ms max_silence_s mirror_settle_ms fees clocks assumed_fields".split()


@dataclass(frozen=True)
class ScanReport:
    """Episodes of a tape. `.frame` has one row each, `.counters` what was judged, `.modelled` what was assumed."""

    result: ScanResult
    edge: str
    modelled: dict[str, object]
    quality: dict[str, Any]
    synthetic: bool

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Columns: opportunity_id basket start end life_ms open_ms censored peak_edge size edge depth_exact."""
        found = self.result
        opportunities = found.opportunities()
        sizes = [int(o.size) for o in opportunities]
        edges = [int(o.edge if self.edge == "net" else o.edge_gross) for o in opportunities]
        frame = pd.DataFrame(
            {
                "opportunity_id": pd.Series([o.id for o in opportunities], dtype="str"),
                "basket": pd.Series([o.basket.id for o in opportunities], dtype="str"),
                "start": pd.to_datetime(pd.Series(found.start, dtype="int64"), unit="ns", utc=True),
                "end": pd.to_datetime(pd.Series(found.end, dtype="int64"), unit="ns", utc=True),
                "life_ms": pd.Series((found.end - found.start) / NS_PER_MS, dtype="float64"),
                "open_ms": pd.Series(found.open_ns / NS_PER_MS, dtype="float64"),
                "censored": pd.Series(found.censored.astype(bool), dtype="bool"),
                "peak_edge": pd.Series(found.peak_edge / MICRO, dtype="float64"),
                "size": pd.Series([s / MICRO for s in sizes], dtype="float64"),
                "edge": pd.Series(
                    [e / s if s else float("nan") for e, s in zip(edges, sizes, strict=True)], dtype="float64"
                ),
                "depth_exact": pd.Series([o.exact for o in opportunities], dtype="bool"),
            }
        )
        frame = frame.astype({"start": "datetime64[ns, UTC]", "end": "datetime64[ns, UTC]"})
        frame.attrs = {
            "modelled": self.modelled,
            "counters": self.counters,
            "edge": self.edge,
            "synthetic": self.synthetic,
        }
        return frame

    @property
    def counters(self) -> dict[str, int]:
        """Return what was counted while scanning, among it the pieces before re-entries were merged."""
        return {name: int(value) for name, value in self.result.counters.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON: episodes with ISO times, counters, assumptions and the tape's quality."""
        from arbkit.analysis.text import json_rows, plain

        return {
            "episodes": json_rows(self.frame),
            "counters": self.counters,
            "modelled": plain({"edge": self.edge, "synthetic": self.synthetic} | self.modelled),
            "quality": plain(self.quality),
        }

    def __str__(self) -> str:
        from arbkit.analysis.text import said, wrapped

        frame = self.frame
        lines = [SYNTHETIC] if self.synthetic else []
        lines.append(f"{len(frame)} episodes with an executable {self.edge} edge")
        for basket, group in frame.groupby("basket", sort=True):
            lines.append(
                f"  {basket}: {len(group)}, median life {group['life_ms'].median():.0f} ms, "
                f"median edge {group['edge'].median() * 100:.2f} cents a share"
            )
        lines += [f"  {name}: {value}" for name, value in self.counters.items()]
        if "scan_interrupted" in self.modelled:
            lines.append(f"interrupted: {self.modelled['scan_interrupted']}")
        if len(frame):
            shown = frame.head(20).drop(columns=["opportunity_id"])
            shown = shown.assign(
                start=shown["start"].dt.strftime("%m-%d %H:%M:%S.%f"), end=shown["end"].dt.strftime("%H:%M:%S.%f")
            )
            lines.append(shown.to_string(index=False, float_format=lambda v: f"{v:.4g}"))
            if len(frame) > len(shown):
                lines.append(f"  ... and {len(frame) - len(shown)} more")
        lines.append("modelled:")
        for name in RESTS_ON:
            lines += wrapped(f"{name}: {said(self.modelled[name])}", indent="  ")
        return "\n".join(lines)
