"""The market table as a person states it: `markets.toml`, read strictly.

Every `[[market]]` has the fields of `FIELDS`, each filled or "unknown"; `assumed = [...]` names those that are
guesses. Amounts are text in dollars or shares ("0.01"), never floats; times carry a zone. `[[pair]]` joins two
markets (named `venue:id`, or `id` alone where that is unique) that ask the same or the opposite question.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from arbkit.core.errors import DataError
from arbkit.core.grid import Grid
from arbkit.core.model import Book, Market, MarketTable, Pair
from arbkit.core.units import price, size
from arbkit.history.stamps import parse_ns

UNKNOWN = "unknown"
FIELDS = (
    *("venue", "id", "event", "outcome", "payout", "exclusive", "exhaustive", "void"),
    *("tick", "lot", "min_size", "fee_rule", "start", "close", "resolution", "source"),
)
LARGEST = (1 << 63) - 1  # millionths: the columns of a tape are int64
VOIDS = ("half", "refund", "last_price", "none")
PAIR_FIELDS = ("a", "b", "polarity")
NEEDED = ("venue", "id", "source")  # without these nothing can be named or found
PAIR_NEEDS = ("event", "outcome")  # at least one says what the question is


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """What a `markets.toml` states; a tape's table follows from it and from what was recorded."""

    markets: tuple[Market, ...]
    pairs: tuple[Pair, ...] = ()
    path: str = ""

    def table(self, recorded: Iterable[int] | None = None) -> MarketTable:
        """Return the market table; `recorded` are the numbers of the books with rows (None: all)."""
        return market_table(self.markets, self.pairs, recorded)


def market_table(
    markets: Sequence[Market], pairs: Sequence[Pair] = (), recorded: Iterable[int] | None = None
) -> MarketTable:
    """Return the table of these markets: the YES book of market m is number 2m, its NO book 2m + 1."""
    known = None if recorded is None else set(recorded)
    outcomes: tuple[Literal["yes", "no"], ...] = ("yes", "no")
    books = [
        Book(2 * i + j, market, outcome, 2 * i + 1 - j, known is None or 2 * i + j in known)
        for i, market in enumerate(markets)
        for j, outcome in enumerate(outcomes)
    ]
    return MarketTable(tuple(markets), tuple(books), tuple(pairs))


def read_markets(path: str | Path) -> MarketSpec:
    """Read a `markets.toml`; raise DataError naming file, market and field when it cannot be meant."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        raise DataError(f"{path}: no such markets file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: not a readable TOML file: {error}") from error
    unknown = sorted(set(document) - {"market", "pair"})
    if unknown:
        raise DataError(f"{path}: unknown table `{unknown[0]}`; there are [[market]] and [[pair]]")
    rows = document.get("market", [])
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: states no [[market]]")
    pairings = document.get("pair", [])
    for name, tables in (("market", rows), ("pair", pairings)):
        for i, row in enumerate(tables if isinstance(tables, list) else [tables]):
            if not isinstance(row, dict) or not isinstance(tables, list):
                raise DataError(f"{path}: {name} number {i + 1} must be a table under [[{name}]], not {row!r:.80}")
    markets = tuple(_market(row, f"{path}: market {_label(row, i)}") for i, row in enumerate(rows))
    _refuse_contradictions(markets, str(path))
    pairs = tuple(_pair(row, markets, f"{path}: pair {i + 1}") for i, row in enumerate(pairings))
    return MarketSpec(markets, pairs, str(path))


def _label(row: Mapping[str, Any], i: int) -> str:
    return f"{row.get('venue', '?')}:{row.get('id', f'number {i + 1}')}"


# -- one market ----------------------------------------------------------------------------------------------


def _market(row: Mapping[str, Any], where: str) -> Market:
    for key in row:
        if key not in (*FIELDS, "assumed"):
            raise DataError(f"{where}: unknown field `{key}`")
    for key in FIELDS:
        if key not in row:
            raise DataError(f'{where}: field `{key}` is missing; write "{UNKNOWN}" if it is')
    stated = {key: row[key] for key in FIELDS if row[key] != UNKNOWN}
    for key in NEEDED:
        if key not in stated:
            raise DataError(f"{where}: field `{key}` cannot be unknown")
    values: dict[str, Any] = {}
    for key, value in stated.items():
        name, read = READERS[key]
        try:
            values[name] = read(value)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{where}: field `{key}`: {error}") from error
    return Market(**values, assumed=_assumed(row.get("assumed", []), stated, where))


def _assumed(names: Any, stated: Mapping[str, Any], where: str) -> frozenset[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: field `assumed`: must be a list of field names")
    for name in names:
        if name not in FIELDS:
            raise DataError(f"{where}: field `assumed`: there is no field {name!r}")
        if name not in stated:
            raise DataError(f"{where}: field `assumed`: {name!r} is unknown, which is not a guess")
    return frozenset(names)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text, not {value!r}")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true, false or {UNKNOWN!r}, not {value!r}")
    return value


def _amount(read: Callable[[str], int]) -> Callable[[Any], int]:
    def amount(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f'must be written as text, like "0.01", not {value!r}')
        found = read(str(value))
        if found <= 0:
            raise ValueError(f"must be above zero, not {value!r}")
        if found > LARGEST:
            raise ValueError(f"more than a tape can hold: {value!r}")
        return found

    return amount


def _void(value: Any) -> str:
    if value not in VOIDS:
        raise ValueError(f"must be one of {', '.join(VOIDS)}, {UNKNOWN}, not {value!r}")
    return str(value)


def _time(value: Any) -> int:
    """Return ns since the epoch; a time without a zone is refused."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return parse_ns(value.isoformat())
    return parse_ns(_text(value))


def _dated(value: Any, key: str, read: Callable[[Any], Any]) -> tuple[tuple[int, Any], ...]:
    """Return a history, oldest first, of one value or of a list of {from, key}; the first holds before as well."""
    if not (isinstance(value, list) and value and all(isinstance(x, dict) and "from" in x for x in value)):
        return ((0, read(value)),)
    for entry in value:
        if set(entry) != {"from", key}:
            raise ValueError(f"a dated entry has the keys from and {key}, not {', '.join(sorted(entry))}")
    history = tuple((_time(entry["from"]), read(entry[key])) for entry in value)
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(history)):
        raise ValueError("dated entries must be in order of time")
    return history


def _grid(value: Any) -> Grid:
    if isinstance(value, str):
        return Grid.of_tick(value)
    if not isinstance(value, list) or not all(isinstance(x, dict) for x in value):
        raise ValueError(f'must be text like "0.01" or a list of ranges, not {value!r}')
    for entry in value:
        if set(entry) != {"start", "end", "step"}:
            raise ValueError(f"a range has the keys start, end and step, not {', '.join(sorted(entry))}")
    return Grid.of_ranges([{k: _text(v) for k, v in entry.items()} for entry in value])


def _resolution(value: Any) -> str:
    if value in ("yes", "no", "void"):
        return str(value)
    price(_text(value))  # a payout per YES share in dollars
    return str(value)


def _source(value: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(value, str):
        return (("yes", _text(value)),)
    if not isinstance(value, dict) or not value or set(value) - {"yes", "no"}:
        raise ValueError(f"must be a file stem or {{yes=..., no=...}}, not {value!r}")
    if len({_text(stem) for stem in value.values()}) < len(value):
        raise ValueError("both outcomes name one source")
    return tuple((outcome, value[outcome]) for outcome in ("yes", "no") if outcome in value)


READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "venue": ("venue", _text),
    "id": ("id", _text),
    "event": ("event", _text),
    "outcome": ("outcome", _text),
    "payout": ("payout", _amount(size)),
    "exclusive": ("exclusive", _truth),
    "exhaustive": ("exhaustive", _truth),
    "void": ("void", _void),
    "tick": ("grids", lambda value: _dated(value, "tick", _grid)),
    "lot": ("lot", _amount(size)),
    "min_size": ("min_size", _amount(size)),
    "fee_rule": ("fee_rules", lambda value: _dated(value, "rule", _text)),
    "start": ("start", _time),
    "close": ("close", _time),
    "resolution": ("resolution", _resolution),
    "source": ("source", _source),
}


# -- markets together ----------------------------------------------------------------------------------------


def _refuse_contradictions(markets: Sequence[Market], path: str) -> None:
    names: dict[str, int] = {}
    sources: dict[str, str] = {}
    events: dict[str, Market] = {}
    for i, market in enumerate(markets):
        name = f"{market.venue}:{market.id}"
        where = f"{path}: market {name}"
        if name in names:
            raise DataError(f"{where}: field `id`: stated twice, as [[market]] {names[name] + 1} and {i + 1}")
        names[name] = i
        for _, stem in market.source:
            if stem in sources:
                raise DataError(f"{where}: field `source`: {stem!r} already belongs to {sources[stem]}")
            sources[stem] = name
        if market.start is not None and market.close is not None and market.start >= market.close:
            raise DataError(f"{where}: field `close`: is not after start")
        if market.event is None:
            continue
        first = events.setdefault(f"{market.venue}:{market.event}", market)
        for key in ("exclusive", "exhaustive"):
            if getattr(first, key) != getattr(market, key):
                raise DataError(
                    f"{where}: field `{key}`: {_said(getattr(market, key))}, but {_said(getattr(first, key))} "
                    f"in {first.id} of the same event {market.event!r}"
                )


def _said(value: Any) -> str:
    return UNKNOWN if value is None else str(value).lower()


def _pair(row: Mapping[str, Any], markets: Sequence[Market], where: str) -> Pair:
    for key in row:
        if key not in PAIR_FIELDS:
            raise DataError(f"{where}: unknown field `{key}`")
    for key in PAIR_FIELDS:
        if key not in row:
            raise DataError(f"{where}: field `{key}` is missing")
    polarity = row["polarity"]
    if polarity not in ("same", "opposite"):
        raise DataError(f'{where}: field `polarity`: must be "same" or "opposite", not {polarity!r}')
    a, b = (_named(row[key], markets, f"{where}: field `{key}`") for key in ("a", "b"))
    if a is b:
        raise DataError(f"{where}: field `b`: pairs {a.id} with itself")
    return Pair(a, b, polarity)


def _named(name: Any, markets: Sequence[Market], where: str) -> Market:
    found = [market for market in markets if name in (f"{market.venue}:{market.id}", market.id)]
    if len(found) != 1:
        raise DataError(f"{where}: {'several markets are' if found else 'no market is'} named {name!r}")
    market = found[0]
    if all(getattr(market, key) is None for key in PAIR_NEEDS):
        raise DataError(f"{where}: {name!r} is an unknown market: nothing says what it asks")
    return market


# -- at rest -------------------------------------------------------------------------------------------------


def market_to_dict(market: Market) -> dict[str, Any]:
    """Return a market as plain JSON values, integers in millionths and ns."""
    plain: dict[str, Any] = {f.name: getattr(market, f.name) for f in fields(market)}
    plain["grids"] = [[since, [list(r) for r in grid.ranges]] for since, grid in market.grids]
    plain["fee_rules"] = [list(entry) for entry in market.fee_rules]
    plain["source"] = [list(entry) for entry in market.source]
    plain["assumed"] = sorted(market.assumed)
    return plain


def market_from_dict(plain: Mapping[str, Any]) -> Market:
    """Return the market that `market_to_dict` wrote; raise DataError naming what does not fit."""
    known = {f.name for f in fields(Market)}
    if set(plain) != known:
        raise DataError(f"market table: fields {sorted(set(plain) ^ known)} are missing or unknown")
    grids = tuple((since, Grid(tuple((a, b, c) for a, b, c in ranges))) for since, ranges in plain["grids"])
    return replace(
        Market(**{**plain, "grids": grids, "assumed": frozenset(plain["assumed"])}),
        fee_rules=tuple((since, rule) for since, rule in plain["fee_rules"]),
        source=tuple((outcome, stem) for outcome, stem in plain["source"]),
    )


def table_to_dict(table: MarketTable) -> dict[str, Any]:
    """Return a market table as plain JSON values; pairs name their markets by number."""
    return {
        "markets": [market_to_dict(market) for market in table.markets],
        "recorded": [book.index for book in table.books if book.recorded],
        "pairs": [[table.markets.index(p.a), table.markets.index(p.b), p.polarity] for p in table.pairs],
    }


def table_from_dict(plain: Mapping[str, Any]) -> MarketTable:
    """Return the market table that `table_to_dict` wrote."""
    markets = [market_from_dict(row) for row in plain["markets"]]
    pairs = [Pair(markets[a], markets[b], polarity) for a, b, polarity in plain["pairs"]]
    return market_table(markets, pairs, plain["recorded"])
