"""Which markets on two venues a person has found to ask the same question, or opposite ones (I19).

An approval names who read the rules of both, what they said then (as hashes) and until when that is believed. The
file is TOML, written to be read by people: `[[pair]]` with the fields of `PairApproval`, all of them, no others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from arbkit.core.errors import ConfigError
from arbkit.core.files import written
from arbkit.core.model import Basket, Kind, MarketTable, Pair
from arbkit.core.toml import read_document
from arbkit.core.units import NS_PER_S

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOR_EVER = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1) * NS_PER_S
TIMES = ("approved_at", "expires_at")
PATIENCE_S = 10.0  # with another process that changes the same file


def rules_hash(text: str) -> str:
    """Return the hash under which the text of a market's rules is approved."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class PairApproval:
    """One approved pair; ConfigError naming the field that cannot be meant. Times are ns, of whole seconds."""

    a: str  # "venue:market"
    b: str
    polarity: Literal["same", "opposite"]
    rules_a: str  # sha256 of the text of both rules, as `rules_hash`
    rules_b: str
    approved_by: str
    approved_at: int
    expires_at: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = int if field.name in TIMES else str
            if type(value) is not wanted:
                raise ConfigError(f"`{field.name}` must be {_KINDS[wanted]}, not {value!r}")
        for name, market in (("a", self.a), ("b", self.b)):
            venue, _, rest = market.partition(":")
            if not venue or not rest:
                raise ConfigError(f"`{name}` must be a market as venue:market, not {market!r}")
            if rest.endswith((":yes", ":no")):
                raise ConfigError(f"`{name}` must be a market, venue:market, and {market!r} is one of its books")
        if self.a == self.b:
            raise ConfigError(f"`b` must be another market than `a`, not {self.b!r} again")
        if self.polarity not in ("same", "opposite"):
            raise ConfigError(f"`polarity` must be 'same' or 'opposite', not {self.polarity!r}")
        for name, value in (("rules_a", self.rules_a), ("rules_b", self.rules_b)):
            if len(value) != 64 or set(value) - set("0123456789abcdef"):
                raise ConfigError(f"`{name}` must be a sha256 in 64 small hexadecimal digits, not {value!r}")
        if not self.approved_by.strip():
            raise ConfigError("`approved_by` must name a person")
        for name in TIMES:
            at = getattr(self, name)
            if at % NS_PER_S or not 0 <= at <= FOR_EVER:
                raise ConfigError(f"`{name}` must be a whole second from 1970 to 9999, not {at!r} ns")
        if self.expires_at <= self.approved_at:
            raise ConfigError("`expires_at` must be after `approved_at`")

    @classmethod
    def of(cls, pair: Pair, *, rules_a: str, rules_b: str, approved_by: str, now: int, valid_s: int) -> Self:
        """Return the approval of a stated pair on the text of both rules, from `now` (ns) for so many seconds."""
        at = now // NS_PER_S * NS_PER_S
        return cls(
            a=f"{pair.a.venue}:{pair.a.id}",
            b=f"{pair.b.venue}:{pair.b.id}",
            polarity=pair.polarity,
            rules_a=rules_hash(rules_a),
            rules_b=rules_hash(rules_b),
            approved_by=approved_by,
            approved_at=at,
            expires_at=at + valid_s * NS_PER_S,
        )

    @property
    def markets(self) -> frozenset[str]:
        return frozenset((self.a, self.b))


_KINDS: dict[type, str] = {int: "a time", str: "a text"}


@dataclass(frozen=True, slots=True)
class PairBook:
    """The approved pairs, one approval each; one that `is_assumed` was stated with a tape and read by nobody."""

    approvals: tuple[PairApproval, ...] = ()
    is_assumed: bool = False

    def __post_init__(self) -> None:
        seen: dict[frozenset[str], None] = {}
        for one in self.approvals:
            if not self.is_assumed and one.a.partition(":")[0] == one.b.partition(":")[0]:
                raise ConfigError(f"{one.a} and {one.b} are of one venue: within a venue no pair is approved")
            if one.markets in seen:
                raise ConfigError(f"{one.a} and {one.b} are approved twice")
            seen[one.markets] = None

    @classmethod
    def assumed(cls, table: MarketTable) -> Self:
        """Return what a simulation takes for granted: every pair that the market table states, at any time."""
        approvals = []
        for pair in table.pairs:
            rules = {"rules_a": pair.a.resolution or "", "rules_b": pair.b.resolution or ""}
            approvals.append(PairApproval.of(pair, **rules, approved_by="assumed", now=0, valid_s=FOR_EVER // NS_PER_S))
        return cls(tuple(approvals), is_assumed=True)

    def refusal(self, basket: Basket, now: int, rules: Mapping[str, str] | None = None) -> str:
        """Return why a basket may not be traded at `now` (ns), or nothing; one within a venue needs no approval.

        `rules` are the hashes of the rules as they are now, by market; None where nobody reads them.
        """
        if basket.kind is not Kind.CROSS_VENUE and len({leg.venue for leg in basket.legs}) == 1:
            return ""
        names = [leg.market_name for leg in basket.legs]
        of = " with ".join(names)
        found = next((one for one in self.approvals if len(names) == 2 and one.markets == frozenset(names)), None)
        if found is None:
            return f"no approval: {of}"
        if now < found.approved_at:
            return f"no approval yet: {of}, from {_stamp(found.approved_at)} on"
        if now >= found.expires_at:
            return f"the approval of {of} expired at {_stamp(found.expires_at)}"
        first, second = (leg.outcome for leg in basket.legs)
        if (first != second) != (found.polarity == "same"):
            return f"{of} are approved as {found.polarity}: {first} with {second} is no hedge"
        for name, approved in ((found.a, found.rules_a), (found.b, found.rules_b)):
            if rules is not None and rules.get(name) != approved:
                said = "have changed since they were approved" if name in rules else "are not known"
                return f"the rules of {name} {said}"
        return ""

    def with_approval(self, approval: PairApproval) -> PairBook:
        """Return a book with one more approval, in place of an earlier one of the same pair."""
        kept = tuple(one for one in self.approvals if one.markets != approval.markets)
        return PairBook((*kept, approval), self.is_assumed)

    def without(self, a: str, b: str) -> PairBook:
        """Return a book without the approval of a pair."""
        return PairBook(tuple(one for one in self.approvals if one.markets != frozenset((a, b))), self.is_assumed)

    # -- the file ------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file of approvals; ConfigError naming file, pair and field when it cannot be meant."""
        path = Path(path)
        document, _ = read_document(path)
        if unknown := sorted(set(document) - {"pair"}):
            raise ConfigError(f"{path}: unknown key `{unknown[0]}`; there is [[pair]]")
        rows = document.get("pair", [])
        if not isinstance(rows, list):
            raise ConfigError(f"{path}: `pair` must be written as [[pair]]")
        try:
            return cls(tuple(_approval(row, f"pair {number + 1}") for number, row in enumerate(rows)))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def write(self, path: str | Path) -> None:
        """Write the book, whole or not at all; ConfigError for one that nobody has approved."""
        if self.is_assumed:
            raise ConfigError("pairs that were only assumed are not written down as approved")
        with written(Path(path)) as temporary:
            temporary.write_text("\n".join(_spelled(one) for one in self.approvals), encoding="utf-8")

    @classmethod
    def revise(cls, path: str | Path, change: Callable[[Self], PairBook]) -> PairBook:
        """Read a file (none is an empty book), change it and write it, while nobody else does; ConfigError as both."""
        from filelock import FileLock, Timeout

        path = Path(path).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path.with_name(f"{path.name}.lock"), timeout=PATIENCE_S, fallback_to_soft=False):
                book = change(cls.read(path) if path.exists() else cls())
                book.write(path)
                return book
        except Timeout:
            raise ConfigError(f"{path}: another process has been changing it for {PATIENCE_S:g} s") from None


def _approval(row: Any, where: str) -> PairApproval:
    names = [field.name for field in fields(PairApproval)]
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: must be a table")
    for name in row:
        if name not in names:
            raise ConfigError(f"{where}: unknown field `{name}`")
    for name in names:
        if name not in row:
            raise ConfigError(f"{where}: field `{name}` is missing")
    try:
        return PairApproval(**{**row, **{name: _ns(name, row[name]) for name in TIMES}})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _ns(name: str, value: Any) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None or value.microsecond:
        raise ConfigError(f"`{name}` must be a date and time with its zone, in whole seconds, not {value!r}")
    return (value - EPOCH) // timedelta(seconds=1) * NS_PER_S


def _stamp(ns: int) -> str:
    return (EPOCH + timedelta(seconds=ns // NS_PER_S)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spelled(approval: PairApproval) -> str:
    lines = ["[[pair]]"]
    for field in fields(approval):
        value = getattr(approval, field.name)
        lines.append(f"{field.name} = {_stamp(value) if field.name in TIMES else _quoted(value)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML string: JSON's escapes are among TOML's, which also wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
