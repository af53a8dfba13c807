"""What is wanted of a chain, done: on record first, asked for until it has its end, and then in cash and shares.

An intent is done once by its key, whichever process asks for it. What the contracts refuse is told, changes nothing
and is left alone until a person releases it; what money forbids for now is told once and tried later and later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from arbkit.core.capital import CapitalIntent, CapitalResult
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, DataError, FeeAboveCap, FundsMissing
from arbkit.core.model import Book
from arbkit.core.ports import Chain, Clock
from arbkit.core.transaction import Work
from arbkit.core.units import MICRO, NS_PER_S, Cash, Size
from arbkit.execution.moved_stakes import move_stakes
from arbkit.execution.record import Record
from arbkit.execution.supervisor import Supervisor
from arbkit.journal.capital import Capital
from arbkit.journal.fold import named_books
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

Span = tuple[str, int, int]  # a book, and how many shares fewer and more than on record may be there now

LONGEST_S = 60.0  # between two tries to hear from a chain that does not answer
MOST_S = 3_600.0  # between two tries of what is not affordable now: each is two records


class CapitalDesk:
    """Carries intents out. Shares of one that has no end, or had it a moment ago, may be listed by the venue or not."""

    def __init__(
        self,
        chain: Chain,
        record: Record,
        ledger: Ledger,
        risk: RiskManager,
        config: ExecutionConfig,
        clock: Clock,
        supervisor: Supervisor,
        books: Sequence[Book],
    ) -> None:
        self._chain = chain
        self._record = record
        self._ledger = ledger
        self._risk = risk
        self._config = config
        self._clock = clock
        self._supervisor = supervisor
        self._books = named_books(books)  # an intent of another process may move a book that no basket here has
        self.capital = Capital()
        self.on_charge: Callable[[str, Cash, int], object] = lambda _trade, _gas, _wei: None  # whoever sums gas up
        self._told: dict[str, str] = {}  # by what it is about: the alert that stands
        self._just_done: list[tuple[int, CapitalIntent]] = []  # ns, when it had its end
        self._rests: dict[str, tuple[int, float]] = {}  # by market: nothing is wanted before (ns), and that pause (s)
        self._asked: dict[str, tuple[int, str]] = {}  # by key: since when (ns) it is asked for, and what was said last
        self._waiting: dict[str, asyncio.Future[CapitalResult]] = {}  # by key: who waits for its end
        self._silent_since: int | None = None  # ns

    def open(self) -> tuple[str, ...]:
        """Return what has no end yet, in words."""
        return tuple(f"{intent.key}: {_said(intent)} is under way" for intent in self.capital.open.values())

    def summary(self) -> dict[str, Any]:
        """Return pairs by market and sets of NO by theirs (in shares), what is under way or waits for a person, gas in dollars."""
        return {
            "pairs": {market: held.size / MICRO for market, held in self.capital.pairs.items()},
            "sets": {" + ".join(markets): held.size / MICRO for markets, held in self.capital.sets.items()},
            "under_way": list(self.capital.open),
            "failed": dict(self.capital.failed),
            "gas": self.capital.gas / MICRO,
        }

    def release(self, market: str) -> None:
        """Take a person's word that what a market's contracts refused was seen to. DataError where nothing was."""
        if market not in self.capital.failed:
            raise DataError(f"nothing at {market!r} waits for a person; waiting: {', '.join(self.capital.failed) or 0}")
        self._note("capital.released", market)
        self._told.pop(market, None)

    def adjusted(self, shares: Iterable[tuple[str, int]]) -> None:
        """Hear by how much a person's claim, which is on record, changed books."""
        self.capital.adjusted(shares)

    def _want(self, work: Work, trade: str, market: str, yes: int, no: int) -> CapitalIntent | None:
        return self._put(CapitalIntent(work, trade, market, Size(yes), Size(no), self.capital.count))

    def _put(self, intent: CapitalIntent) -> CapitalIntent | None:
        """Write an intent down and have it done; None when the journal does not take it."""
        try:
            self._record.intend("capital.intent", intent.key, **(fields := _fields(intent)))
        except (ArbkitError, OSError) as error:
            self._tell(intent.market, f"{_said(intent)} is postponed", f"the journal does not take it: {error}")
            return None
        self.capital.apply("capital.intent", intent.key, fields)
        self._pursue(intent)
        return intent

    # -- doing ---------------------------------------------------------------------------------------------------

    def _pursue(self, intent: CapitalIntent, given_up: str = "") -> None:
        steps = partial(self._carried_out, intent, given_up)
        self._supervisor.insist(steps, self._config.reconcile_s, f"{intent.key} at {intent.market}")

    async def _carried_out(self, intent: CapitalIntent, given_up: str) -> None:
        """Ask for an intent until it has its end, however long the chain is silent; by its key it is done once.

        With a reason to give it up it is not made, unless it is under way already.
        """
        pause, self._asked[intent.key] = self._config.hedge_retry_s, (self._clock.now(), "")
        while intent.key in self.capital.open:
            try:
                await self._record.durable()  # before anything is signed
                refused = await self._chain.give_up(intent, given_up) if given_up else None
                result = refused or await self._chain.settle(intent)
            except (FeeAboveCap, FundsMissing) as error:
                given_up = str(error)
            except ArbkitError as error:
                self._asked[intent.key] = (self._asked[intent.key][0], str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_S)
            else:
                self._end(intent, result, again=refused is not None or result.postponed)

    def _end(self, intent: CapitalIntent, result: CapitalResult, *, again: bool) -> None:
        """Take down what became of an intent: on record, in cash and shares, and against the limits."""
        moved = intent.moves if result.fate.took_effect else ()
        self._asked.pop(intent.key, None)
        self._note(
            "capital.done",
            intent.key,
            venue=intent.venue,
            fate=result.fate,
            reason=result.reason,
            hash=result.hash,
            cash=result.cash,
            gas=result.gas,
            wei=str(result.wei),
            moved=moved,
            again=again,
            as_expected=result.as_expected,
        )
        self.on_charge(intent.trade, result.gas, result.wei)
        if moved:
            self._ledger.adjust(intent.venue, result.cash, moved)
            self._just_done.append((self._clock.now(), intent))
            self._told.pop(intent.market, None)
            self._rests.pop(intent.market, None)
        elif intent.work is Work.SPLIT:
            self._tell(intent.market, f"{_said(intent)} failed: nothing moved", result.reason)
        elif again:
            pause = min(2 * self._rests.get(intent.market, (0, self._config.reconcile_s / 2))[1], MOST_S)
            self._rests[intent.market] = (self._clock.now() + round(pause * NS_PER_S), pause)
            self._tell(intent.market, f"{_said(intent)} is postponed", result.reason)
        else:
            self._tell(intent.market, f"{_said(intent)} failed: nothing moved", result.reason)
        if (waiting := self._waiting.pop(intent.key, None)) is not None and not waiting.done():
            waiting.set_result(result)
        if not result.as_expected:
            why = "balances moved otherwise than the call moves them: somebody else moved them in the same block?"
            self._record.alert(f"{_said(intent)} is not what it seemed", why)

    def _note(self, fact: str, key: str, **data: object) -> None:
        now = self._record.note(fact, key, **data)
        self.capital.apply(fact, key, data)
        if fact == "capital.done":
            move_stakes(self._risk, self._books, key, data["moved"], data["cash"])  # type: ignore[arg-type]
            self._risk.charged(now, Cash(data["gas"]))  # type: ignore[arg-type]

    # -- telling -------------------------------------------------------------------------------------------------

    def _tell_late(self) -> None:
        """Tell of what has had no end for long."""
        for intent in self.capital.open.values():
            since, why = self._asked.get(intent.key, (self._clock.now(), ""))
            if self._clock.now() - since > self._config.resolve_alarm_s * NS_PER_S:
                self._tell(intent.market, f"{_said(intent)} has no last word", why or "it is not final yet")

    def _silent(self, why: str) -> None:
        """Tell of a chain that has not answered for long, once; an answer ends it."""
        if not why:
            self._silent_since = None
            self._told.pop("the chain", None)
            return
        now = self._clock.now()
        since = self._silent_since = now if self._silent_since is None else self._silent_since
        if now - since > self._config.resolve_alarm_s * NS_PER_S:
            self._tell("the chain", "the chain cannot be asked", why)

    def _tell(self, about: str, what: str, why: str) -> None:
        """Put an alert on record, unless the same one stands: a spike of gas is one alert, not one for each look."""
        if self._told.get(about) != what:
            self._told[about] = what
            self._record.alert(what, why)

    def spans(self, venue: str) -> list[Span]:
        """Return what may differ from the record at a venue, either way: what is under way, and what ended just now."""
        recent = self._clock.now() - round(self._config.reconcile_s * NS_PER_S)
        self._just_done = [(at, intent) for at, intent in self._just_done if at >= recent]
        found: list[Span] = []
        for intent in self.capital.open.values():
            found += [(book, min(0, change), max(0, change)) for book, change in intent.moves]
        for _, intent in self._just_done:
            found += [(book, min(0, -change), max(0, -change)) for book, change in intent.moves]
        return [span for span in found if span[0].startswith(f"{venue}:")]


def _fields(intent: CapitalIntent) -> dict[str, object]:
    """Return what stands on record of an intent; only a conversion's has several markets."""
    several = {"taken": intent.taken, "made": intent.made} if intent.work is Work.CONVERT else {}
    return {
        "work": intent.work,
        "trade": intent.trade,
        "market": intent.market,
        "yes": intent.yes,
        "no": intent.no,
        "turn": intent.turn,
        **several,
    }


def _said(intent: CapitalIntent) -> str:
    if intent.work is Work.REDEEM:
        return f"redeeming {intent.yes / MICRO:g} YES and {intent.no / MICRO:g} NO at {intent.market}"
    if intent.work is Work.CONVERT:
        return f"a conversion of {intent.no / MICRO:g} NO of each of {', '.join(intent.taken)}"
    return f"a {intent.work.value} of {intent.yes / MICRO:g} pairs at {intent.market}"
