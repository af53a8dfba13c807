"""What `backtest` returns: one continuous run as frames and a report, saved and loaded whole."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from arbkit.analysis import frames
from arbkit.core.errors import DataError
from arbkit.core.files import written

if TYPE_CHECKING:
    from arbkit.analysis.display import FigureSet
    from arbkit.analysis.tearsheet import Tearsheet
    from arbkit.backtest.compare import RawComparison
    from arbkit.backtest.run import Balance

MICRO = 1e6
SCHEMA = 1
PARTS = ("trades", "legs", "orders", "fills", "equity", "table")


class Run:
    """A continuous run: `.trades .legs .orders .fills .equity` are frames, `.summary()` one row, `.modelled` a dict.

    `equity` has columns at, cash, locked (baskets held, at their payoff floor) and equity, in dollars.
    """

    def __init__(self, raw: RawComparison, equity: Sequence[Balance]) -> None:
        self._raw: RawComparison | None = raw
        self.modelled: dict[str, Any] = dict(raw.modelled)
        self.quality: dict[str, Any] = dict(raw.quality)
        self._frames = {
            "trades": frames.trades_frame(raw),
            "legs": frames.legs_frame(raw),
            "orders": frames.orders_frame(raw),
            "fills": frames.fills_frame(raw),
            "equity": _equity_frame(equity),
            "table": frames.comparison_table(raw),
        }

    @classmethod
    def _loaded(cls, parts: dict[str, pd.DataFrame], about: dict[str, Any]) -> Run:
        run = cls.__new__(cls)
        run._raw, run._frames = None, parts
        run.modelled, run.quality = about["modelled"], about["quality"]
        return run

    @property
    def trades(self) -> pd.DataFrame:
        return self._frames["trades"]

    @property
    def legs(self) -> pd.DataFrame:
        return self._frames["legs"]

    @property
    def orders(self) -> pd.DataFrame:
        return self._frames["orders"]

    @property
    def fills(self) -> pd.DataFrame:
        return self._frames["fills"]

    @property
    def equity(self) -> pd.DataFrame:
        return self._frames["equity"]

    def summary(self) -> pd.DataFrame:
        """Return the one-row table of the run, columns as in a comparison."""
        return self._frames["table"]

    def tearsheet(self) -> Tearsheet:
        """Return the report of the run; raises DataError on a loaded run, which holds frames and not its events."""
        if self._raw is None:
            raise DataError("a loaded run has frames but no report: save the tearsheet when the run is made")
        from arbkit.analysis.tearsheet import tearsheet

        return tearsheet(self._raw, self.summary())

    @property
    def figures(self) -> FigureSet:
        """The figures of the run by name, among them `equity`; DataError on a loaded run."""
        return self.tearsheet().figures

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run as a folder of Parquet files and run.json; whole or not at all."""
        target = Path(path)
        if target.exists() and not (target / "run.json").is_file():
            raise DataError(f"{target} exists and is not a saved run")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        temporary.mkdir()
        try:
            for name in PARTS:
                self._frames[name].to_parquet(temporary / f"{name}.parquet", index=False)
            about = {"schema_version": SCHEMA, "modelled": _plain(self.modelled), "quality": self.quality}
            with written(temporary / "run.json") as file:
                file.write_text(json.dumps(about, indent=1) + "\n")
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def __str__(self) -> str:
        from arbkit.analysis.text import table_text

        return table_text(self.summary())

    def _repr_html_(self) -> str:
        if self._raw is not None:
            return self.tearsheet().summary_html()
        return str(self.summary().to_html(index=False, float_format=lambda v: f"{v:.4g}"))


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a saved run; raise DataError naming what is missing or foreign."""
    folder = Path(path)
    try:
        about = json.loads((folder / "run.json").read_text())
    except FileNotFoundError:
        raise DataError(f"{folder} is not a saved run: it has no run.json") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{folder / 'run.json'} is damaged: {error}") from error
    if about.get("schema_version") != SCHEMA:
        raise DataError(f"{folder / 'run.json'}: schema_version {about.get('schema_version')!r} is not {SCHEMA}")
    parts = {}
    for name in PARTS:
        try:
            parts[name] = pd.read_parquet(folder / f"{name}.parquet")
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name}.parquet cannot be read: {error}") from error
    return Run._loaded(parts, about)


def _equity_frame(equity: Sequence[Balance]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "at": pd.Series([point.at for point in equity], dtype="int64")
            .astype("datetime64[ns]")
            .dt.tz_localize("UTC"),
            "cash": pd.Series([point.cash / MICRO for point in equity], dtype="float64"),
            "locked": pd.Series([point.locked / MICRO for point in equity], dtype="float64"),
        }
    )
    return frame.assign(equity=frame["cash"] + frame["locked"])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: v if isinstance(v, (str, int, float, bool, type(None), dict)) else str(v) for name, v in values.items()
    }
