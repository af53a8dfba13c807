"""The whole row: detection -> risk -> execution -> metrics, over whatever venues and books are passed in.

The engine does not know whether it runs in a simulation, on paper or live: that is decided by what is passed in.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from arbkit.core.clock import LoopClock
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ArbkitError, ConfigError, DataError
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    Book,
    ExecutionResult,
    ExecutionStrategy,
    TradeState,
)
from arbkit.core.ports import BookFeed, Chain, Clock, Journal, LentJournal, Venue
from arbkit.core.units import FOREVER, MICRO, NS_PER_S, Cash, Size
from arbkit.execution.accounting import refused
from arbkit.execution.no_chain import NoChain
from arbkit.execution.planning import decided, inexact, undecided
from arbkit.execution.reconcile import Reconciler
from arbkit.execution.record import Record
from arbkit.execution.recovery import replayed, until_heard
from arbkit.execution.settling import Settling
from arbkit.execution.split_first import SplitExecutor
from arbkit.execution.supervisor import Supervisor
from arbkit.execution.terms import Terms
from arbkit.execution.time_watch import TimeWatch
from arbkit.journal.fold import State, named_books, snapshot
from arbkit.journal.ledger import Ledger
from arbkit.journal.memory import Fact
from arbkit.metrics import MetricsCollector
from arbkit.risk.kill_switch import KillFile, KillFlag, KillSwitch
from arbkit.risk.limits import RiskLimits, RiskManager
from arbkit.risk.pairs import PairBook

KILL_CHECK_S = 0.25  # how often the switch is read while nothing is sent: a quarter of T_kill


class ArbitrageExecutionEngine:
    """Finds opportunities on a feed and trades them, one decision at a time.

    In paper mode (the default) a venue that says it is `live` is refused with ConfigError; the mode means nothing
    else. `rearm_s` is how long a basket is left alone after it was tried: an episode is one opportunity.

    An engine that keeps an account (a journal that outlives the process) is used as `await start(past)`, then
    `scan_and_execute`, then `await drain()` and `await stop()`. Without `start` nothing is compared or supervised on
    timers: that is for one decision in a world of its own. Cross-venue baskets need an approval in `pairs`; `rules`
    are the hashes of the venues' rules as they are now, by market ("venue:market"): keep it up to date, and a pair
    whose rules have changed since it was approved is refused. With a `chain` whole pairs are merged and NO
    of several markets of an event converted when that pays, and winners are redeemed; without one, what trades hold is
    held.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        baskets: Sequence[Basket] = (),
        *,
        config: ExecutionConfig | None = None,
        limits: RiskLimits | None = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        paper_mode: bool = True,
        rearm_s: float = 1.0,
        pairs: PairBook | None = None,
        rules: Mapping[str, str] | None = None,
        kill: KillSwitch | None = None,
        books: Sequence[Book] = (),
        chain: Chain | None = None,
    ) -> None:
        chain = chain or NoChain()
        self._live = [*[name for name, venue in venues.items() if venue.live], *(["the chain"] if chain.live else [])]
        if paper_mode and self._live:
            raise ConfigError(f"paper mode does not trade at a live venue: {', '.join(self._live)}")
        if not 0 < rearm_s <= 86_400:
            raise ConfigError(f"rearm_s = {rearm_s!r} is outside 0..86400, 0 excluded")
        self.config = config or ExecutionConfig()
        self.metrics = MetricsCollector()
        # "venue:market" and "venue/reason" are names here too: a pause of a venue that reads so would bar nothing.
        for name in venues:
            if not name or {*name} & {":", "/"}:
                raise ConfigError(f"a venue is not called {name!r}: its name is not empty and has neither ':' nor '/'")
        path = getattr(journal, "path", None)  # a journal that outlives the process has its kill file beside it
        self._needs_start = path is not None
        kept: object = journal
        self._lent = kept if isinstance(kept, LentJournal) else None
        if kill is None:
            kill = KillFlag() if path is None else _kill_file(path)
        self.switch = kill
        self.risk = RiskManager(limits, self.config, pairs=pairs, rules=rules, kill=self.switch)
        self.ledger = Ledger()
        self._terms = Terms.of(self.config)
        self._venues = dict(venues)
        self._feed = feed
        self._baskets = tuple(baskets)
        legs = [leg for basket in self._baskets for leg in basket.legs]
        self._books = tuple({book.index: book for book in (*books, *legs)}.values())
        self._clock = clock or LoopClock()
        self._rearm_s = rearm_s
        self._record = Record(journal, self._clock)
        self._supervisor = Supervisor(self._record)
        self._capital = Settling(
            chain, self._record, self.ledger, self.risk, self.config, self._clock, self._supervisor, self._books
        )
        self._capital.on_charge = self.metrics.charge
        self._executor = SplitExecutor(
            venues,
            feed,
            self.risk,
            self.config,
            self._clock,
            record=self._record,
            ledger=self.ledger,
            supervisor=self._supervisor,
            on_done=self._ended,
            merge_gain=self._capital.merge_gain,
        )
        self.reconciler = Reconciler(
            venues,
            self._books,
            self.config,
            self._clock,
            self._record,
            self.ledger,
            self.risk,
            self._executor.trades,
            self._executor.turn,
            self._capital.spans,
            self._capital.adjusted,
        )
        self._time = TimeWatch(self._clock, self._record, self.config, feed.mark_stale)
        self._tried: dict[str, tuple[str, int]] = {}  # by basket: the last opportunity, and when it may be tried again
        self._ordinals = count()
        self._sessions = 0  # of the journal before this one
        self._closing = self._started = self._scanning = False
        self._unstarted = False  # it has traded without a start
        self._inherited: list[str] = []  # trades of another process that are not taken up yet
        self._journal = journal
        self._killed = ""
        self._pauses: dict[str, int] = {}  # what this engine has paused, "venue/reason": until (ns)
        self._contacts: Counter[str] = Counter()  # by venue: how often its connection was lost or came back

    # -- from the first fact to the last -------------------------------------------------------------------------

    async def start(
        self,
        past: Iterable[Fact] | None = None,
        *,
        account: str | None = None,
        environment: str | None = None,
        settings: str = "",
    ) -> list[ExecutionResult]:
        """Take over what the journal says, bring it to its end, compare it with the venues, and stand watch.

        `past` is every fact of the journal so far (by default what the journal itself holds), `account` and
        `environment` those of the journal (without one: "paper"), `settings` the hash of the settings (by default of
        config and limits), which the record keeps. Returns how interrupted trades ended: legs first, entries later.
        A start that raises has stopped what it began. Raises ConfigError for a second start, for another account or
        environment than the journal's, for a live venue on paper and for a venue or chain that is missing though
        something is open there; JournalDamaged; JournalError when nothing can be kept; VenueError when a venue that was never seen
        is silent.
        """
        if self._started:
            raise ConfigError("this engine was started before; a new start needs a new engine")
        if self._unstarted:
            raise ConfigError("this engine has traded without a start: what it knows would count twice; make a new one")
        account, environment = self._identity(account, environment)
        if self._lent is not None:
            self._lent.lend()
        self._started = self._needs_start = True
        try:
            return await self._start(past, account, environment, settings)
        except Exception:
            with suppress(ArbkitError, OSError):
                await self.stop()
            raise

    async def _start(
        self, past: Iterable[Fact] | None, account: str, environment: str, settings: str
    ) -> list[ExecutionResult]:
        self._time.begin()
        self._supervisor.repeat(self._time.look_at_loop, self._time.pause_s, "the watch on the event loop")
        if past is None:
            past = getattr(self._journal, "facts", ())
        state = replayed(past, named_books(self._books), self.risk, self.metrics)
        if missing := [name for name in state.venues() if name not in self._venues]:
            raise ConfigError(f"trades are open at {', '.join(missing)}, which this engine was not given: add it")
        self._capital.take_over(state.capital)
        self._take_over(state)
        began = self._record.intend(
            "session.started",
            account,
            mode="live" if self._live else "paper",
            environment=environment,
            config=settings or hashlib.sha256(repr((self.config, self.risk.limits)).encode()).hexdigest(),
        )
        for name in until_heard(state):
            self.risk.pause_venue(name, began, "")
        self._inherited = list(state.trades)
        await self._record.durable(reducing=True)  # what was left open is evened on a full disk too
        self._read_switch()
        self._supervisor.repeat(self._heed_switch, KILL_CHECK_S, "the kill switch")
        self._capital.begin(self._executor.trades, self.reconciler.is_open)
        results = await self._resume(state)  # before a venue that is new is asked for anything: it may be silent
        await self.reconciler.opening()
        for name, why in (await self.reconciler.compare_all()).items():
            self._pause(f"{name}/comparison", FOREVER, why)
        self._needs_start = False
        self._supervisor.repeat(self._compare, self.config.reconcile_s, "reconciling")
        self._supervisor.repeat(self._look_at_clock, self._time.pause_s, "the watch on the clock")
        return results

    def _identity(self, account: str | None, environment: str | None) -> tuple[str, str]:
        """Return whose account this is, and in which environment; ConfigError where that does not fit together."""
        theirs = tuple(getattr(self._journal, name, None) for name in ("account", "environment"))
        found = []
        for what, given, kept in zip(("account", "environment"), (account, environment), theirs, strict=True):
            if given is not None and kept is not None and given != kept:
                raise ConfigError(f"the journal is of {what} {kept!r}, not {given!r}")
            found.append(given or kept or "paper")
        if self._live and found[1] == "paper":
            raise ConfigError(f"{', '.join(self._live)} is live, and the record is one of paper: use another journal")
        return found[0], found[1]

    def _take_over(self, state: State) -> None:
        self.ledger.opened[:] = state.ledger.opened
        self.ledger.cash.update(state.ledger.cash)
        self.ledger.shares.update(state.ledger.shares)
        self.reconciler.claimed.update(state.claimed)
        self._record.halted = state.halted
        self._killed = state.killed
        if state.killed and not (self.switch.engaged() or self.switch.released_after(state.killed_at)):
            with suppress(OSError):  # then it is thrown in this process all the same
                self.switch.engage(state.killed, self._clock.now())
        self._sessions = state.sessions

    async def _resume(self, state: State) -> list[ExecutionResult]:
        """Bring interrupted trades to their end, all at once; what escalated goes on being heard out."""
        late = self._terms.hedge_ns  # an order leaves at most this long after its intent, or not at all
        now, unsure = self._clock.now(), await self.reconciler.measure(state.venues())
        sent_at = {
            key: now if state.orders[key].venue in unsure else at + late  # by a clock that its venue agrees with
            for key, at in state.sent_at.items()
        }
        for name, found in state.trades.items():
            if found.done is not None:
                self._executor.restore_escalated(state, name, sent_at)
        resumed = [self._executor.resume(state, found.trade.id, sent_at) for found in state.interrupted()]
        self._inherited = []
        results = []
        for answer in await asyncio.gather(*resumed, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer.trade.state is TradeState.PROVISIONAL:
                self._supervisor.spawn(self._executor.follow(answer.trade.id), f"settling {answer.trade.id}")
            results.append(answer)
        return results

    async def drain(self, deadline_s: float | None = None) -> tuple[str, ...]:
        """Enter nothing more, cancel what rests, finish or park what is lopsided; return what is still open.

        Waits at most `deadline_s` (by default twice T_hedge). Trades whose legs are even and only wait for
        settlement are not waited for: they are read at the next start.
        """
        self._close()
        loop = asyncio.get_running_loop()
        until = loop.time() + (2 * self.config.hedge_timeout_s if deadline_s is None else deadline_s)
        while self._executor.lopsided() and loop.time() < until:  # noqa: ASYNC110 - once, and with a deadline
            await asyncio.sleep(min(0.05, self.config.hedge_retry_s))
        return self.open()

    async def stop(self) -> None:
        """End every background task, and see the last facts onto the disk."""
        self._close()
        await self._supervisor.stop()
        if self._started and self._lent is not None:
            self._lent.give_back()
        await self._record.durable(reducing=True)

    def _close(self) -> None:
        self._closing = True
        self._executor.close("the engine is closing")
        self._capital.close()

    def open(self) -> tuple[str, ...]:
        """Return what is not over, in words: orders without a last word, shares outside whole baskets, unsettled fills."""
        left = tuple(f"{name}: left by another process, and not taken up yet" for name in self._inherited)
        return left + self._executor.open() + self._capital.open()

    def checkpoint(self) -> dict[str, Any]:
        """Return what the engine has in memory as plain values: equal to what a replay of its journal gives."""
        return {
            **snapshot(self._executor.trades(), self.ledger, self._record.halted),
            "risk": self.risk.state(),
        }

    # -- people --------------------------------------------------------------------------------------------------

    @property
    def halted(self) -> str:
        """Return why nothing new is entered, or nothing."""
        return self._executor.halted

    def kill(self, reason: str) -> None:
        """Throw the kill switch: no entry leaves any more, what rests is cancelled, undoing goes on."""
        self.switch.engage(reason, self._clock.now())
        self._read_switch()

    def acknowledge(self, trade_id: str) -> bool:
        """Take a person's word that an escalated trade was seen to, and allow entries again once nothing of it is unknown.

        Returns False when no trade of that name waits for a person.
        """
        return self._executor.acknowledge(trade_id)

    def acknowledge_losses(self) -> None:
        """Take a person's word that the day's loss and the drawdown were looked at, and count them from here."""
        self.risk.acknowledge_losses(self._record.note("losses.acknowledged", "engine"))

    def resume_entries(self, why: str) -> None:
        """Take a person's word that what halted entries was seen to."""
        self._record.resume(why)

    async def claim(self, name: str, why: str = "claimed by a person") -> None:
        """Take a person's word that what differs on a market ("venue:market") or at a venue is theirs."""
        await self.reconciler.claim(name, why)

    def release(self, market: str) -> None:
        """Take a person's word that what a market's contracts refused was seen to: it may be wanted again.

        DataError for a market ("venue:market") that does not wait for one.
        """
        self._capital.release(market)

    # -- connections ---------------------------------------------------------------------------------------------

    def venue_lost(self, name: str, why: str = "its connection is lost") -> None:
        """Enter nothing at a venue that cannot be heard until it is back; what rests there is unknown until asked."""
        self._known(name)
        self._contacts[name] += 1
        self._pause(f"{name}/connection", FOREVER, why)
        self._executor.doubt(name, why)

    async def venue_back(self, name: str) -> None:
        """Compare with a venue that can be heard again, and then enter there again.

        Raises VenueError when it is silent: then the next comparison on the timer decides.
        """
        self._known(name)
        self._contacts[name] += 1
        contact = self._contacts[name]
        self._pause(f"{name}/comparison", FOREVER, "it was lost, and is not compared with yet")
        self._lift(f"{name}/connection")
        await self.reconciler.compare(name)
        self._compared(name, contact)

    def _known(self, name: str) -> None:
        if name not in self._venues:
            raise ConfigError(f"no venue is called {name!r} here: {', '.join(self._venues)}")

    def _compared(self, name: str, contact: int) -> None:
        """Enter again at a venue that was compared with, unless contact to it has changed since the reading began."""
        if contact == self._contacts[name]:
            self._lift(f"{name}/comparison")

    def _lift(self, pause: str) -> None:
        if self._pauses.get(pause) == FOREVER:
            self._pause(pause, self._clock.now(), "")

    def _pause(self, name: str, until: int, why: str) -> None:
        self._record.note("venue.paused", name, until=until, why=why)
        self.risk.pause_venue(name, until, why)
        self._pauses[name] = until

    # -- trading -------------------------------------------------------------------------------------------------

    async def execute_opportunity(
        self, opportunity: ArbitrageOpportunity, strategy: ExecutionStrategy
    ) -> ExecutionResult:
        """Decide and trade one opportunity on the books as received now, and see it settled.

        Every outcome is a result, refusals too. Raises DataError for an opportunity whose numbers are not whole, and
        ValueError for a strategy that is none.
        """
        result = await self._execute(opportunity, ExecutionStrategy(strategy))
        if result.trade.state is TradeState.PROVISIONAL:
            result = await asyncio.shield(self._settling(result))
        return result

    def _settling(self, result: ExecutionResult) -> asyncio.Task[ExecutionResult]:
        """See a trade settled, whether or not somebody waits for it."""
        return self._supervisor.spawn(self._executor.follow(result.trade.id), f"settling {result.trade.id}")

    async def _execute(self, opportunity: ArbitrageOpportunity, strategy: ExecutionStrategy) -> ExecutionResult:
        if wrong := inexact(opportunity):
            raise DataError(wrong)
        now = self._clock.now()
        trade = undecided(opportunity, strategy, self._trade_id(opportunity, strategy))
        self._read_switch()  # a release is on record before anything is entered after it
        if self._needs_start:
            return refused(trade, "the engine keeps an account: start it first", now)
        self._unstarted = not self._started
        try:
            views = [self._feed.view(leg) for leg in opportunity.basket.legs]
            trade, reason = decided(trade, views, self._terms, self.risk.exposure_room())
        except Exception as error:  # noqa: BLE001 - every outcome is a result, and nothing was entered
            reason = self._executor.bug(f"deciding on {trade.id}", error)
        return self._executor.refuse(trade, reason, now) if reason else await self._executor.execute(trade)

    async def sell_both(self, basket: Basket, size: Size) -> ExecutionResult:
        """Split collateral into pairs and sell both outcomes of a market, where its bids bring more than that costs.

        `basket` has the two outcomes as its legs. Every outcome is a result, refusals too; what is split and not sold
        goes back to collateral. Raises DataError where a number is not whole.
        """
        now = self._clock.now()
        found = ArbitrageOpportunity(f"{basket.id}.sell.{now}", basket, now, size, Cash(0), Cash(0))
        if wrong := inexact(found):
            raise DataError(wrong)
        trade = undecided(found, ExecutionStrategy.MARKET, self._trade_id(found, ExecutionStrategy.MARKET))
        self._read_switch()
        if self._needs_start:
            return refused(trade, "the engine keeps an account: start it first", now)
        self._unstarted = not self._started
        result = await self._executor.sell_both(trade, self._capital)
        if result.trade.state is TradeState.PROVISIONAL:
            result = await asyncio.shield(self._settling(result))
        return self.charged(result)

    def charged(self, result: ExecutionResult) -> ExecutionResult:
        """Return a result with the gas that its trade's splits, merges and redeems have cost by now, off its pnl."""
        return self._capital.capital.with_gas(result)

    async def scan_and_execute(
        self,
        strategy: ExecutionStrategy,
        max_trades: int | None = None,
        until_ns: int | None = None,
        on_result: Callable[[ExecutionResult], None] | None = None,
    ) -> list[ExecutionResult]:
        """Trade what the feed shows until it ends, `max_trades` were tried or `until_ns` has come; in order of time.

        The next opportunity is looked for as soon as the legs of the last are even, not when they are settled.
        `on_result` hears of every result as it comes (to show it, or to acknowledge what escalated). Raises ConfigError
        while another call of this runs: both would trade what the feed shows.
        """
        if self._scanning:
            raise ConfigError("this engine trades what its feed shows already: cancel or await that scan first")
        self._scanning = True
        try:
            return await self._scan(strategy, max_trades, until_ns, on_result)
        finally:
            self._scanning = False

    async def _scan(
        self,
        strategy: ExecutionStrategy,
        max_trades: int | None,
        until_ns: int | None,
        on_result: Callable[[ExecutionResult], None] | None,
    ) -> list[ExecutionResult]:
        results: list[ExecutionResult] = []
        settling: list[tuple[int, asyncio.Task[ExecutionResult]]] = []
        while not self._closing and (max_trades is None or len(results) < max_trades):
            now = self._clock.now()
            if until_ns is not None and now >= until_ns:
                break
            waits = {basket: at for basket, (_, at) in self._tried.items() if at > now}
            armed = [basket for basket in self._baskets if basket.id not in waits]
            wake = min([*waits.values(), *([until_ns] if until_ns is not None else [])], default=None)
            if not armed:
                if wake is None:
                    break
                await asyncio.sleep((wake - now) / NS_PER_S)
                continue
            try:
                async with asyncio.timeout(None if wake is None else (wake - now) / NS_PER_S):
                    opportunity = await self._feed.when(armed, self._terms.min_edge)
            except TimeoutError:
                continue
            if opportunity is None:
                break
            seen, _ = self._tried.get(opportunity.basket.id, ("", 0))
            if opportunity.id != seen:
                result = await self._execute(opportunity, strategy)
                if result.trade.state is TradeState.PROVISIONAL:
                    settling.append((len(results), self._settling(result)))
                    if on_result is not None:
                        settling[-1][1].add_done_callback(partial(_tell, on_result))
                elif on_result is not None:
                    on_result(result)
                results.append(result)
            self._tried[opportunity.basket.id] = (opportunity.id, self._clock.now() + round(self._rearm_s * NS_PER_S))
        for place, task in settling:
            while not (task.done() or self._closing):  # what does not settle is on record, and read at the next start
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await asyncio.shield(task)
            if task.done():
                results[place] = task.result()
        return [self.charged(result) for result in results]

    def _ended(self, result: ExecutionResult) -> None:
        self.metrics.record_trade(result)
        self._capital.ended(result)

    # -- watches -------------------------------------------------------------------------------------------------

    async def _heed_switch(self) -> None:
        self._read_switch()

    def _read_switch(self) -> None:
        """Write down that the switch was thrown or released, and cancel what rests when it was thrown."""
        why = self.switch.engaged()
        if why and not self._killed:
            self._record.note("kill.engaged", "engine", reason=why)
            self._executor.interrupt()
        elif self._killed and not why:
            self._record.note("kill.released", "engine", reason="the switch was released")
        self._killed = why

    async def _look_at_clock(self) -> None:
        if self._time.was_set():
            await self.reconciler.compare_all()

    async def _compare(self) -> None:
        contacts = self._contacts.copy()
        silent = await self.reconciler.compare_all()
        for name in self._venues:
            if name not in silent:
                self._compared(name, contacts[name])

    # -- figures -------------------------------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """Return the summary of all trades, per strategy too, why entries are halted, if they are, and pairs held."""
        return {
            **self.metrics.get_summary(),
            "strategies": self.metrics.get_strategy_performance(),
            "halted": self.halted,
            "capital": self._capital.summary(),
        }

    async def balances(self) -> dict[str, float]:
        """Return free cash by venue in dollars, for people."""
        return {name: await venue.balance() / MICRO for name, venue in self._venues.items()}

    def _trade_id(self, opportunity: ArbitrageOpportunity, strategy: ExecutionStrategy) -> str:
        """Return an id that follows from the opportunity, the strategy and how many trades this engine made before.

        It is none of those before: a journal on disk adds its mark, since one that is begun anew for the account must
        not use an old order's key, and a session after the journal's first its number. Trades cannot be counted from
        the record: not every refusal is on it.
        """
        mark, session = getattr(self._journal, "mark", ""), str(self._sessions or "")
        parts = (opportunity.id, strategy.value.lower(), mark, session, str(next(self._ordinals)))
        return ".".join([part for number, part in enumerate(parts) if part or number == 0])


def _kill_file(journal: Path) -> KillFile:
    from arbkit.journal.store import kill_path  # sqlite and locks: for those who keep a journal

    return KillFile(kill_path(journal))


def _tell(on_result: Callable[[ExecutionResult], None], task: asyncio.Task[ExecutionResult]) -> None:
    if not task.cancelled() and task.exception() is None:
        on_result(task.result())


def replayed_checkpoint(
    facts: Iterable[Fact],
    books: Iterable[Book] = (),
    config: ExecutionConfig | None = None,
    limits: RiskLimits | None = None,
) -> dict[str, Any]:
    """Return what an engine's `checkpoint` must be after these facts, from them alone (I15)."""
    risk = RiskManager(limits, config)
    state = replayed(facts, named_books(books), risk)
    return {**state.snapshot(), "risk": risk.state()}
