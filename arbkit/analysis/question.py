"""What every public call asks of a tape: checked once, answered in integers, and said in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from arbkit.analysis.progress import Bar
from arbkit.backtest.scan import ScanResult, sample_tape, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.tape_views import fee_rows, printing
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import Basket, Book
from arbkit.core.units import NS_PER_S, cash, size
from arbkit.fees import FeeRule, history_for, rule

if TYPE_CHECKING:
    from arbkit.history.tape import Tape

EDGES = ("net", "gross")
SAID = frozenset(  # settings that what was assumed has a line for, whatever they are
    "min_edge edge max_size max_exposure max_slippage max_slippage_pct protect_edge limit_timeout_s hybrid_patience_s "
    "max_unwind_loss".split()
)
FeeHistory = tuple[tuple[int, FeeRule], ...]


@dataclass(frozen=True)
class Question:
    """What every public call asks of a tape, checked once and answered in integers."""

    tape: Tape
    baskets: tuple[Basket, ...]
    edge: str
    rearm_s: float
    config: ExecutionConfig
    scenario: Scenario
    study: str | None = None
    quiet: bool = False  # a worker shows no bar

    def __post_init__(self) -> None:
        if self.edge not in EDGES:
            raise ConfigError(f"edge must be 'net' or 'gross', not {self.edge!r}")
        rearm_s: object = self.rearm_s
        if not isinstance(rearm_s, (int, float)) or not 0 <= self.rearm_s <= 86_400:
            raise ConfigError(f"rearm_s = {self.rearm_s!r} is outside 0..86400 seconds")
        if not self.baskets:
            raise DataError("no baskets: nothing on this tape belongs together; see arbkit.baskets and markets.toml")
        if not len(self.tape):
            raise DataError("the tape has no rows")
        for name in (self.scenario.assume_fees or "").split(","):
            if name.strip():
                rule(name.strip())  # a name that is not known is refused even where no fee has to be assumed
        books = self.tape.markets.books
        for basket in self.baskets:
            if any(leg.index >= len(books) or books[leg.index] != leg for leg in basket.legs):
                raise DataError(f"basket {basket.id} is of another market table: make baskets of this tape's own")

    @cached_property
    def fees(self) -> dict[int, FeeHistory] | None:
        """The dated fee rules by book number; None in a gross question about books whose rules are unknown."""
        start, end = int(self.tape.rows.ts_recv[0]), int(self.tape.rows.ts_recv[-1])
        books: dict[int, Book] = {leg.index: leg for basket in self.baskets for leg in basket.legs}
        try:
            _refuse_fee_rows(self.tape, books.values())
            return {i: history_for(book.market, start, end, self.scenario.assume_fees) for i, book in books.items()}
        except DataError:
            if self.edge == "net" or self.scenario.assume_fees is not None:
                raise
            return None

    @cached_property
    def scanned(self) -> ScanResult:
        """Episodes, or decisions at fixed times in an execution study."""
        common: dict[str, Any] = {
            "max_size": size(str(self.config.max_size)),
            "max_exposure": cash(self.config.max_exposure),
            "fees": self.fees,
            "gross": self.edge == "gross",
            "max_silence_ns": self.scenario.max_silence_ns,
            "settle_ns": self.scenario.mirror_settle_ns,
            "feed_ns": self.scenario.feed_ns,
        }
        with Bar("scanning", "row", quiet=self.quiet) as bar:
            if self.study is not None:
                return sample_tape(self.tape, self.baskets, every_ns=_every(self.study), progress=bar, **common)
            return scan_tape(
                self.tape,
                self.baskets,
                min_edge=cash(self.config.min_edge),
                rearm_ns=round(self.rearm_s * NS_PER_S),
                progress=bar,
                **common,
            )

    @cached_property
    def silent_venues(self) -> frozenset[str]:
        """The venues whose trades are not on the tape: without them nothing is known of a queue there."""
        return frozenset(leg.venue for basket in self.baskets for leg in basket.legs) - printing(self.tape)

    @property
    def has_prints(self) -> bool:
        """Whether every venue traded on recorded prints."""
        return not self.silent_venues

    def modelled(self) -> dict[str, object]:
        """Return everything that was assumed, in the order a reader asks for it, and whether the scan is whole."""
        found = self.assumptions()
        if self.scanned.rows < len(self.tape):
            found["scan_interrupted"] = f"only the first {self.scanned.rows:,} of {len(self.tape):,} rows were scanned"
        return found

    def assumptions(self) -> dict[str, object]:
        """Return everything that was assumed; nothing is scanned for it."""
        found: dict[str, object] = dict(self.scenario.modelled())
        if self.fees is None:
            found["fees"] = "unknown: nothing net can be told; state a rule in markets.toml or assume_fees=NAME"
        else:
            found["fees"] = _say_fees(self.fees, self.scenario.assume_fees)
        config = self.config
        found |= {
            "decisions": _say_decisions(self, config),
            "max_size": f"{config.max_size:g} shares",
            "max_exposure": f"{config.max_exposure:g} dollars at risk while legs differ",
            "slippage_cap": _say_cap(config),
            "edge_protected": "yes: caps spend the net edge and no more, but for the larger fee at a worse price"
            if config.protect_edge
            else "NO: caps ignore the edge, a fill may lose money",
            "limit_timeout_s": config.limit_timeout_s,
            "hybrid_patience_s": config.hybrid_patience_s,
            "max_unwind_loss": f"{_percent(config.max_unwind_loss)} of the trade's cost",
            "other_settings": _say_others(config),
            "clocks": _say_clocks(self.tape.clocks),
            "assumed_fields": ", ".join(sorted({f for b in self.baskets for f in b.assumed})) or "none",
        }
        return found


def _refuse_fee_rows(tape: Tape, books: Iterable[Book]) -> None:
    """Raise DataError where a row puts another fee rule in force: nobody would charge it."""
    said = fee_rows(tape)
    for number in sorted({number for book in books for number in (book.index, book.mirror)} & said.keys()):
        raise DataError(
            f"net figures are refused: row {said[number]} puts another fee rule in force for "
            f"{tape.markets.books[number].name}, which is not read from rows: state it in markets.toml, dated"
        )


def _every(study: str) -> int:
    found = re.fullmatch(r"sample:(\d+(?:\.\d+)?)s", study)
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"study must look like 'sample:5s', not {study!r}")
    return round(float(found[1]) * NS_PER_S)


def _say_fees(fees: dict[int, FeeHistory], assumed: str | None) -> str:
    rules = sorted({rule.name for history in fees.values() for _, rule in history})
    guesses = {name.strip() for name in (assumed or "").split(",")}
    return ", ".join(f"{name} (assumed)" if name in guesses else name for name in rules)


def _say_decisions(question: Question, config: ExecutionConfig) -> str:
    if question.study is not None:
        return f"{question.study}: at fixed times, whatever the edge: execution study, not arbitrage"
    return (
        f"episodes, {question.edge} edge of at least {config.min_edge:g} dollars a share, rearm {question.rearm_s:g} s"
    )


def _say_cap(config: ExecutionConfig) -> str:
    if config.max_slippage is not None:
        return f"{config.max_slippage:g} dollars beyond the last level needed"
    return f"{_percent(config.max_slippage_pct)} beyond the last level needed"


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


def _say_others(config: ExecutionConfig) -> str:
    """Name the settings that have no line of their own, where they are not what they are by default."""
    default = ExecutionConfig()
    changed = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in SAID and getattr(config, field.name) != getattr(default, field.name)
    }
    told = [
        f"{name} {('no', 'yes')[value] if isinstance(value, bool) else f'{value:g}'}" for name, value in changed.items()
    ]
    return ", ".join(told) or "none: all as they are by default"


def _say_clocks(clocks: str) -> str:
    return {
        "both": "received and venue stamps are both recorded",
        "recv": "only received stamps: the venue is taken to be as far away as feed_ms says",
        "venue": "only venue stamps: rows are taken as received feed_ms later",
    }[clocks]


def ask(
    tape: Tape,
    baskets: Sequence[Basket] | Basket,
    *,
    min_edge: float | None,
    edge: str | None,
    rearm_s: float,
    assume_fees: str | None,
    config: ExecutionConfig | None = None,
    scenario: Scenario | None = None,
    study: str | None = None,
    quiet: bool = False,
) -> Question:
    """Return the question, checked; raise ConfigError or DataError for what cannot be meant or answered."""
    from arbkit.history.tape import Tape

    config = ExecutionConfig() if config is None else config
    scenario = Scenario() if scenario is None else scenario
    for what, value, kind in (
        ("tape", tape, Tape), ("config", config, ExecutionConfig), ("scenario", scenario, Scenario)
    ):  # fmt: skip
        if not isinstance(value, kind):
            way = "; read_tape makes one of a folder" if kind is Tape else ""
            raise ConfigError(f"{what} must be of type {kind.__name__}, not {value!r}{way}")
    edge = config.edge if edge is None else edge
    gates: dict[str, Any] = {"edge": edge} if edge in EDGES else {}
    if study is not None:
        gates |= {"min_edge": -1.0, "edge": "gross"}  # lowered alike for all strategies
    elif min_edge is not None:
        gates["min_edge"] = min_edge
    if assume_fees is not None:
        scenario = replace(scenario, assume_fees=assume_fees)
    given: object = baskets
    if isinstance(given, str) or not isinstance(given, (Basket, Iterable)):
        raise ConfigError(f"baskets must be those that arbkit.baskets makes, not {given!r}")
    chosen = (baskets,) if isinstance(baskets, Basket) else tuple(baskets)
    for basket in chosen:
        if not isinstance(basket, Basket):
            raise ConfigError(f"baskets must be those that arbkit.baskets makes, not {basket!r}")
    return Question(tape, chosen, edge, rearm_s, replace(config, **gates), scenario, study, quiet)
