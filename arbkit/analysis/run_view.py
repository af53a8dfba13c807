"""What `backtest` returns: one continuous run as frames and a report, saved and loaded whole."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from arbkit.analysis import frames, measures
from arbkit.analysis.definitions import labels
from arbkit.analysis.text import plain, table_text
from arbkit.core.errors import DataError
from arbkit.history.places import path_of

if TYPE_CHECKING:
    from arbkit.analysis.display import FigureSet
    from arbkit.analysis.tearsheet import Tearsheet
    from arbkit.backtest.compare import RawComparison
    from arbkit.backtest.equity import Balance

MICRO = 1e6
SCHEMA = 2  # 2: mark-outs and shortfall came in
KIND = "arbkit run"
PARTS = ("trades", "legs", "orders", "fills", "markouts", "shortfall", "equity", "table")


class Run:
    """A continuous run: `.trades .legs .orders .fills .markouts .shortfall .equity` are frames, `.summary()` one row.

    `equity` has columns at, cash, locked (baskets held, at their payoff floor, and at what they pay once that is known)
    and equity, in dollars: one row at the start of the tape, at the end of each trade, and when what is held is resolved
    or paid. `modelled` is what was assumed.
    """

    def __init__(self, raw: RawComparison, equity: Sequence[Balance]) -> None:
        self._raw: RawComparison | None = raw
        self.modelled: dict[str, Any] = dict(raw.modelled)
        self.quality: dict[str, Any] = dict(raw.quality)
        self.synthetic = raw.synthetic
        self._frames = {
            "trades": frames.trades_frame(raw),
            "legs": frames.legs_frame(raw),
            "orders": frames.orders_frame(raw),
            "fills": frames.fills_frame(raw),
            "markouts": measures.markouts_frame(raw),
            "shortfall": measures.shortfall_frame(raw),
            "equity": _equity_frame(equity),
            "table": frames.comparison_table(raw),
        }

    @classmethod
    def _loaded(cls, parts: dict[str, pd.DataFrame], about: dict[str, Any]) -> Run:
        run = cls.__new__(cls)
        run._raw, run._frames = None, parts
        run.modelled, run.quality, run.synthetic = about["modelled"], about["quality"], about["synthetic"]
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
    def markouts(self) -> pd.DataFrame:
        """Where the market went after each entry fill, one row per fill and horizon."""
        return self._frames["markouts"]

    @property
    def shortfall(self) -> pd.DataFrame:
        """One row per trade: the expected edge that was not earned, in parts that add up to it."""
        return self._frames["shortfall"]

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
        """Write the run as a folder of Parquet files and run.json, whole or not at all, and return its path.

        A saved run that stands there is replaced; raises DataError when anything else does.
        """
        target = path_of(path, "where a run is saved").absolute()
        if target.exists():
            try:
                _about(target)
            except DataError as error:
                raise DataError(f"{target} exists and is not overwritten: {error}") from error
        target.parent.mkdir(parents=True, exist_ok=True)
        work = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        fresh = work / "new"
        fresh.mkdir(parents=True)
        try:
            self._write(fresh)
            if target.exists():
                target.rename(work / "old")
            fresh.rename(target)
        finally:
            if not target.exists() and (work / "old").exists():
                (work / "old").rename(target)  # put back what stood there
            shutil.rmtree(work, ignore_errors=True)
        return target

    def _write(self, folder: Path) -> None:
        for name in PARTS:
            self._frames[name].to_parquet(folder / f"{name}.parquet", index=False)
        about = {
            "schema_version": SCHEMA,
            "kind": KIND,
            "synthetic": self.synthetic,
            "modelled": plain(self.modelled),
            "quality": plain(self.quality),
            "files": {name: _digest(folder / f"{name}.parquet") for name in PARTS},
        }
        (folder / "run.json").write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        return "\n".join([*labels(None, self.synthetic, self.modelled), table_text(self.summary())])

    def __repr__(self) -> str:
        return str(self)  # what a terminal shows of a value that was asked for

    def _repr_html_(self) -> str:
        if self._raw is not None:
            return self.tearsheet().summary_html()
        said = "".join(f"<p>{escape(line)}</p>" for line in labels(None, self.synthetic, self.modelled))
        return said + str(self.summary().to_html(index=False, float_format=lambda v: f"{v:.4g}"))


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a saved run; raise DataError naming the file that is missing, damaged or foreign."""
    folder = path_of(path, "a saved run")
    about = _about(folder)
    parts = {}
    for name in PARTS:
        file = folder / f"{name}.parquet"
        try:
            found = _digest(file)
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error}") from error
        if found != about["files"].get(name):
            raise DataError(f"{file}: is not the file that was saved: damaged or edited")
        parts[name] = pd.read_parquet(file)
    return Run._loaded(parts, about)


def _about(folder: Path) -> dict[str, Any]:
    """Return what run.json says; raise DataError unless it is that of a saved run."""
    file = folder / "run.json"
    if not file.is_file():
        raise DataError(f"{folder}: not a saved run: there is no run.json in it")
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise DataError(f"{file}: was not written by arbkit")
    if about.get("schema_version") != SCHEMA:
        raise DataError(f"{file}: schema_version {about.get('schema_version')!r}, but this arbkit reads {SCHEMA}")
    for key in ("synthetic", "modelled", "quality", "files"):
        if key not in about:
            raise DataError(f"{file}: field `{key}` is missing")
    return about


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


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
