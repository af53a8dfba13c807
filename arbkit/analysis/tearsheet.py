"""The report of a comparison: shows itself in a notebook, and saves one HTML file that needs nothing else.

The file embeds plotly.js once and forbids itself, by its content security policy, to ask any host for anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from arbkit.analysis.comparison import capital_table, comparison_table, executable_table
from arbkit.analysis.definitions import BLOCKS, INTERVALS, UNDEFINED, Column, labels, notes, present
from arbkit.analysis.display import CONFIG, FigureSet
from arbkit.analysis.figures import figures_of
from arbkit.analysis.raw import Raw
from arbkit.analysis.span import span_lines
from arbkit.analysis.text import answer, said
from arbkit.core.errors import DataError
from arbkit.core.files import written
from arbkit.history.quality import QualityReport

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
HEADING = "Execution compared: would the legs really have filled, and at what cost?"


def tearsheet(raw: Raw, table: pd.DataFrame | None = None, title: str = HEADING) -> Tearsheet:
    """Return the report of a comparison; `table` is its comparison table, made anew when not given."""
    return Tearsheet(raw, comparison_table(raw) if table is None else table, title)


class Tearsheet:
    """A report in the order of a reader's questions: the answer, the numbers, the pictures, what was assumed."""

    def __init__(self, raw: Raw, table: pd.DataFrame, title: str) -> None:
        self.raw = raw
        self.table = table
        self.title = title

    @cached_property
    def figures(self) -> FigureSet:
        """The pictures of the report by name."""
        return figures_of(self.raw, self.table)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML file, whole or not at all, and return its path."""
        target = Path(path)
        with written(target) as file:
            file.write_text(self.html(), encoding="utf-8")
        return target

    def html(self) -> str:
        """Return the whole page: no request leaves it, it loads from a file."""
        from plotly.offline import get_plotlyjs

        pictures = "".join(
            f"<figure>{shown.figure.to_html(full_html=False, include_plotlyjs=False, div_id=f'figure-{name}', config=CONFIG)}"
            f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
            for name, shown in self.figures.items()
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{_css()}</style><script>{get_plotlyjs()}</script></head>"
            f'<body><main class="arbkit-report">{self._opening()}'
            f"<section><h2>Pictures</h2>{pictures or '<p>Nothing to draw.</p>'}</section>{self._closing()}</main></body></html>\n"
        )

    def summary_html(self) -> str:
        """Return answer and tables for a notebook, styled inside their own box."""
        return f'<div class="arbkit-report"><style>{_css()}</style>{self._opening(heading=False)}</div>'

    def _repr_html_(self) -> str:
        return f'<div class="arbkit-report"><style>{_css()}</style>{self._opening()}{self._closing()}</div>'

    def _ipython_display_(self) -> None:
        """Show text, then each picture by its own renderer, then what was assumed: no second copy of plotly.js."""
        from IPython.display import HTML, display

        def boxed(inner: str) -> HTML:
            return HTML(f'<div class="arbkit-report"><style>{_css()}</style>{inner}</div>')

        display(boxed(self._opening()))
        for shown in self.figures.values():
            display(shown)
        display(boxed(self._closing()))

    def __repr__(self) -> str:
        return "\n".join([*self._labels(), self.title, *answer(self.raw, self.table)])

    # -- parts -----------------------------------------------------------------------------------------------

    def _labels(self) -> list[str]:
        return labels(self.raw.study, self.raw.synthetic, self.raw.modelled)

    def _opening(self, *, heading: bool = True) -> str:
        first, *rest = answer(self.raw, self.table)
        parts = [f'<p class="label">{escape(line)}</p>' for line in self._labels()]
        if heading:
            parts += [f"<h1>{escape(self.title)}</h1>", f'<p class="scope">{escape(self._scope())}</p>']
        parts.append(f'<p class="answer">{escape(first)}</p>')
        if rest:
            parts.append(f"<p>{escape(' '.join(rest))}</p>")
        if len(self.table):
            parts += [_block(heading, present(columns, self.table), self.table) for heading, columns in BLOCKS.items()]
            parts += [f'<p class="note">{escape(note)}.</p>' for note in notes(self.table)]
            parts.append(f'<p class="note">{escape(INTERVALS)} “{UNDEFINED}”: undefined.</p>')
        return "".join(parts)

    def _scope(self) -> str:
        found = self.raw.opportunities
        events = len({opportunity.basket.event for opportunity in found})
        how = "each in a fresh world, strategies paired" if self.raw.mode == "each" else "continuous runs, not paired"
        if not found:
            return f"No opportunities; {how}."
        first, last = (pd.Timestamp(edge(o.detected_at for o in found), tz="UTC") for edge in (min, max))
        many = f"{len(found):,} {'opportunity' if len(found) == 1 else 'opportunities'} in {events:,} {'event' if events == 1 else 'events'}"
        return f"{many}, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC; {how}."

    def _closing(self) -> str:
        assumed = sorted({field for o in self.raw.opportunities for field in o.basket.assumed})
        guesses = "".join(f"<li><code>{escape(field)}</code></li>" for field in assumed)
        meanings = {
            f"{c.name} ({c.unit})" if c.unit else c.name: c.meaning
            for columns in BLOCKS.values()
            for c in present(columns, self.table)
        }
        spans = "".join(f"<li>{escape(line)}</li>" for line in span_lines(self.raw))
        parts = [
            *self._references(),
            *([("How far it leans on the model of fills", f"<ul>{spans}</ul>")] if spans else []),
            ("What was modelled", _facts(self.raw.modelled)),
            ("What was recorded: quality of the tape", _quality(self.raw.quality)),
            (
                "Fields of the market table that are guesses",
                f"<p>Payoff floors and sizes of these baskets rest on them.</p><ul>{guesses}</ul>"
                if guesses
                else "<p>None.</p>",
            ),
            ("What the columns mean", _facts(meanings, verbatim=True)),
        ]
        return "".join(f"<section><h2>{escape(heading)}</h2>{body}</section>" for heading, body in parts)

    def _references(self) -> Iterator[tuple[str, str]]:
        """Yield what stands beside the table: the tape's own count, and the return on capital and time."""
        executable = executable_table(self.raw)
        if len(executable):
            share = Column("executable_share", "still executable", "%", 100.0, 1, "")
            body = f"<p>Decisions of {escape(executable['strategy'].iloc[0])} whose every leg was still there at its worst price when the orders arrived, counted straight off the tape.</p>"
            yield "Brute-force count", body + _rows([share], executable)
        capital = capital_table(self.raw).dropna(subset="return_per_year")
        if len(capital):
            columns = [
                Column("dollar_years", "capital-time", "dollars · years", 1, 4, ""),
                Column("pnl", "pnl", "dollars", 1, 2, ""),
                Column("return_per_year", "pnl per dollar-year", "%", 100.0, 1, ""),
            ]
            body = "<p>What trades cost, times the years it is tied up: until the last close of a basket's markets.</p>"
            yield "Return on capital-time", body + _rows(columns, capital)


def _block(heading: str, columns: list[Column], table: pd.DataFrame) -> str:
    return f"<h3>{escape(heading)}</h3>{_rows(columns, table)}"


def _rows(columns: list[Column], table: pd.DataFrame) -> str:
    """Return strategy, latency and the columns as an HTML table; a rule sets groups of rows apart."""
    heads = "".join(
        f'<th scope="col" title="{escape(c.meaning)}">{escape(c.head)}'
        + (f"<small>{escape(c.unit)}</small>" if c.unit else "")
        + "</th>"
        for c in columns
    )
    lines, apart = [], _apart(table)
    for (_, row), begins in zip(table.iterrows(), apart, strict=True):
        cells = "".join(_cell(column, row) for column in columns)
        lines.append(
            f'<tr{begins}><th scope="row">{escape(row["strategy"])}</th><td>{row["latency_ms"]:g}</td>{cells}</tr>'
        )
    head = f'<tr><th scope="col">strategy</th><th scope="col">latency<small>ms</small></th>{heads}</tr>'
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table></div>'


def _apart(table: pd.DataFrame) -> list[str]:
    """Return the attribute of each row: a rule where a new latency begins, or a new strategy if those come first."""
    found = [""] * len(table)
    changes = [
        [i for i in range(1, len(table)) if table[key].iloc[i] != table[key].iloc[i - 1]]
        for key in ("latency_ms", "strategy")
    ]
    for i in min(changes, key=len):
        found[i] = ' class="apart"'
    return found


def _cell(column: Column, row: pd.Series) -> str:
    interval = column.interval(row)
    small = f"<small>{escape(interval)}</small>" if interval else ""
    return f"<td>{escape(column.text(float(row[column.name])))}{small}</td>"


def _facts(values: Mapping[str, Any], *, verbatim: bool = False) -> str:
    """Return names and values as a list of definitions; a mapping inside becomes a list of its own."""
    if not values:
        return "<p>Nothing stated.</p>"
    lines = []
    for name, value in values.items():
        nested = isinstance(value, Mapping) and len(value) > 1
        rows = isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
        if nested:
            body = _facts(value)
        elif rows:
            body = "".join(f"<details><summary>{escape(_named(one))}</summary>{_facts(one)}</details>" for one in value)
        else:
            body = escape(said(value))
        lines.append(f"<dt>{escape(str(name) if verbatim else str(name).replace('_', ' '))}</dt><dd>{body}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def _quality(found: Mapping[str, Any]) -> str:
    """Return a quality report in its own words, and what it counted in each file below."""
    try:
        said_of_it = QualityReport.from_dict(found).lines()
    except DataError:  # of a run whose report is not a tape's
        return _facts(found)
    lines = "".join(f"<dt>{escape(what)}</dt><dd>{escape(words)}</dd>" for what, words in said_of_it)
    files = found.get("files")
    return f"<dl>{lines}</dl>{_facts({'files': files}) if files else ''}"


def _named(entry: Mapping[str, Any]) -> str:
    return str(entry.get("file") or entry.get("name") or next(iter(entry.values()), ""))


def _css() -> str:
    return (files("arbkit.analysis") / "tearsheet.css").read_text(encoding="utf-8")
