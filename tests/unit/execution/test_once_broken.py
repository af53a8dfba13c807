"""Sequences that once lost or doubled something, and do not any more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from arbkit.backtest.mock_platform import Answer, MockFeed, MockPlatform
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError, DataError, JournalError, OrderRejected, OrderStateUnknown, VenueUnavailable
from arbkit.core.model import (
    ExecutionResult,
    ExecutionStrategy,
    Fill,
    Kind,
    Order,
    OrderReport,
    OrderStatus,
    Outcome,
    Pair,
    Purpose,
)
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size
from arbkit.detection.baskets import baskets
from arbkit.execution.parallel_executor import KEPT, ParallelExecutor
from arbkit.execution.recovery import replayed
from arbkit.execution.supervisor import Supervisor
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine, replayed_checkpoint
from arbkit.journal.fold import fold, named_books
from arbkit.journal.memory import MemoryJournal
from arbkit.journal.store import JournalFile, kill_path
from arbkit.metrics import MetricsCollector
from arbkit.risk.kill_switch import KillFile
from arbkit.risk.limits import RiskLimits, RiskManager
from arbkit.risk.pairs import PairBook
from tests.builders import replace
from tests.rig import NO_B, YES_A, Rig, a_market, virtual

MARKET, LIMIT = ExecutionStrategy.MARKET, ExecutionStrategy.LIMIT
LOST = [Answer(lost="request")] * 400


def an_engine(rig: Rig, **more: Any) -> ArbitrageExecutionEngine:
    settings: dict[str, Any] = {"config": rig.config, "journal": rig.journal, "pairs": rig.pairs, **more}
    return ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], **settings)


def replays(engine: ArbitrageExecutionEngine, rig: Rig) -> bool:
    facts, books = rig.journal.facts, rig.table.books
    return engine.checkpoint() == replayed_checkpoint(facts, books, rig.config, rig.limits)


def test_what_the_executor_started_ends_with_the_engine() -> None:
    rig = Rig()
    rig.beta.script(NO_B, *LOST)
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        assert (await engine.execute_opportunity(rig.opportunity(), MARKET)).outcome is Outcome.ESCALATED
        assert any(name.startswith("resolving") for name in engine._supervisor.names())
        await engine.stop()
        assert len(engine._supervisor) == 0
        facts = len(rig.journal.facts)
        await asyncio.sleep(600)
        assert len(rig.journal.facts) == facts

    assert isinstance(engine._executor._supervisor, Supervisor)
    assert engine._executor._supervisor is engine._supervisor
    virtual(main())


@pytest.mark.parametrize("broken", ["rejected with a fill", "a fill of nothing"])
def test_the_legal_part_of_a_report_is_counted_once_however_often_it_is_told(broken: str) -> None:
    rig = Rig()
    good = Fill("f1", Price(400_000), Size(60 * MICRO), Cash(0), 0, 0, False)
    bad = replace(good, trade_id="f2", size=Size(0))
    status = OrderStatus.REJECTED if broken == "rejected with a fill" else OrderStatus.CANCELLED

    async def told(order: Order) -> OrderReport:
        return OrderReport(order.client_id, status, (good,) if status is OrderStatus.REJECTED else (good, bad))

    for name in ("submit", "status", "cancel"):
        setattr(rig.alpha, name, told)
    engine = an_engine(rig)

    async def main() -> None:
        await engine.execute_opportunity(rig.opportunity(), MARKET)
        await asyncio.sleep(120)
        assert [key for key in rig.facts("fill") if ".0.entry.0" in key] == rig.facts("fill")[:1]
        assert engine.ledger.shares[YES_A] == 60 * MICRO
        assert "InvariantViolation" in engine.halted
        assert replays(engine, rig)

    virtual(main())


@pytest.mark.parametrize("event", ["kill", "close", "block", "deadline"])
def test_a_second_send_passes_every_gate_again(event: str) -> None:
    rig = Rig()
    engine = an_engine(rig)
    calls = []

    async def slow_to_fail(order: Order) -> OrderReport:
        calls.append(order.client_id)
        await asyncio.sleep(2)
        raise VenueUnavailable("connection refused")

    rig.alpha.submit = slow_to_fail  # type: ignore[method-assign]

    async def main() -> ExecutionResult:
        trading = asyncio.ensure_future(engine.execute_opportunity(rig.opportunity(), MARKET))
        await asyncio.sleep(1)
        if event == "kill":
            engine.kill("a person")
        elif event == "close":
            engine._executor.close("closing")
        elif event == "block":
            engine.risk.block_market("alpha:m", "mine")
        return await trading

    virtual(main())
    assert [key for key in calls if ".entry." in key] == calls[:1]


async def test_the_kill_file_beside_a_journal_is_heeded_by_whoever_keeps_that_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    rig = Rig()
    with JournalFile(path, account="a", locks=tmp_path / "locks") as journal:
        engine = an_engine(rig, journal=journal)
        refused = await engine.execute_opportunity(rig.opportunity("1"), MARKET)
        assert "start it first" in refused.reason
        await engine.start()
        KillFile(kill_path(path)).engage("from elsewhere", 1)
        assert "from elsewhere" in (await engine.execute_opportunity(rig.opportunity("1"), MARKET)).reason
        await engine.stop()
    rig = Rig()
    with JournalFile(path, account="a", locks=tmp_path / "locks") as journal:
        engine = an_engine(rig, journal=journal)
        await engine.start()
        assert "from elsewhere" in engine.halted
        await engine.stop()


def test_a_flag_that_is_new_does_not_release_what_the_journal_says_was_killed() -> None:
    rig = Rig()

    async def first() -> None:
        engine = an_engine(rig)
        await engine.start()
        engine.kill("a person")
        await engine.stop()

    async def second() -> None:
        engine = an_engine(rig)
        await engine.start()
        assert "a person" in engine.halted
        assert rig.facts("kill.released") == []
        await engine.stop()

    virtual(first())
    virtual(second())


@pytest.mark.parametrize("word", ["of another order", "an exception nobody named", "unknown"])
def test_a_refusal_ends_no_order_whose_first_send_was_not_answered_in_any_way(word: str) -> None:
    rig = Rig()
    submit, first = rig.alpha.submit, [True]

    async def answer(order: Order) -> OrderReport:
        if ".entry." not in order.client_id:
            return await submit(order)
        if not first[0]:
            raise OrderRejected("not enough cash")
        first[0] = False
        await submit(order)
        if word == "of another order":
            return OrderReport("somebody else's", OrderStatus.FILLED)
        if word == "unknown":
            return OrderReport(order.client_id, OrderStatus.UNKNOWN)
        raise RuntimeError("502")

    async def not_there(order: Order) -> OrderReport:
        return OrderReport(order.client_id, OrderStatus.UNKNOWN, reason="not found")

    rig.alpha.submit = answer  # type: ignore[method-assign]
    rig.alpha.status = not_there  # type: ignore[method-assign]
    rig.alpha.cancel = not_there  # type: ignore[method-assign]
    engine = an_engine(rig)

    async def main() -> ExecutionResult:
        return await engine.execute_opportunity(rig.opportunity(), MARKET)

    result = virtual(main())
    assert result.trade.legs[0].orders[0].status is OrderStatus.UNKNOWN
    assert result.outcome is Outcome.ESCALATED


def test_what_a_venue_has_spoken_of_is_not_taken_for_unsent_by_the_next_process() -> None:
    rig = Rig(config=ExecutionConfig(limit_timeout_s=1.0))
    rig.alpha.script(YES_A, Answer(rests_fill=((0.5, 30),)))

    async def not_there(order: Order) -> OrderReport:
        return OrderReport(order.client_id, OrderStatus.UNKNOWN, reason="not found")

    async def first() -> None:
        engine = an_engine(rig)
        await engine.start()
        rig.alpha.cancel = not_there  # type: ignore[method-assign]
        rig.alpha.status = not_there  # type: ignore[method-assign]
        assert (await engine.execute_opportunity(rig.opportunity(), LIMIT)).outcome is Outcome.ESCALATED
        await engine.stop()

    async def second() -> None:
        engine = an_engine(rig)
        await engine.start()
        await asyncio.sleep(200)
        order = engine._executor.trades()[0].legs[0].orders[0]
        assert (order.status, order.filled) == (OrderStatus.UNKNOWN, 30 * MICRO)
        await engine.stop()

    virtual(first())
    virtual(second())


def test_a_book_that_cannot_be_read_leaves_a_trade_to_a_person_and_not_to_nobody() -> None:
    rig = Rig()
    rig.beta.script(NO_B, Answer(reject="closed"))
    engine = an_engine(rig)
    view = rig.feed.view

    async def main() -> ExecutionResult:
        opportunity = rig.opportunity()
        trading = asyncio.ensure_future(engine.execute_opportunity(opportunity, MARKET))
        while not rig.alpha.orders:  # noqa: ASYNC110 - the first turn after it was sent
            await asyncio.sleep(0)

        def gone(book: Any) -> Any:
            raise DataError(f"no connection streams {book.name}")

        rig.feed.view = gone  # type: ignore[method-assign]
        result = await trading
        rig.feed.view = view  # type: ignore[method-assign]
        return result

    result = virtual(main())
    assert result.outcome is Outcome.ESCALATED
    assert engine.open() == (f"{result.trade.id}: 100 alpha:m:yes outside whole baskets",)
    assert replays(engine, rig)


def test_a_position_in_a_book_that_nobody_knows_is_told_and_bars_its_venue() -> None:
    rig = Rig()
    rig.alpha.shares[1] = 5 * MICRO  # the other outcome, which no basket here has
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        assert "EXTERNAL position: 5 of book number 1" in engine.reconciler.open["alpha"].why
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        assert "alpha is blocked" in result.reason
        await engine.stop()

    virtual(main())


def test_an_engine_starts_once() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        with pytest.raises(ConfigError, match="started before"):
            await engine.start()
        await engine.stop()

    virtual(main())


def test_one_reason_to_pause_a_venue_does_not_lift_another() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        engine.venue_lost("alpha")
        engine.risk.pause_venue("alpha", engine._clock.now() + 1_000_000_000, "it says so")
        await asyncio.sleep(60)
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        assert "connection is lost" in result.reason
        await engine.venue_back("alpha")
        assert (await engine.execute_opportunity(rig.opportunity(), MARKET)).outcome is Outcome.COMPLETED
        await engine.stop()

    virtual(main())


def test_claimed_shares_count_against_the_caps_and_again_after_a_restart() -> None:
    rig = Rig(limits=RiskLimits(max_market_shares=150.0))
    rig.alpha.shares[rig.table.book(YES_A).index] = 140 * MICRO

    async def life() -> None:
        engine = an_engine(rig, limits=rig.limits)
        await engine.start()
        if engine.reconciler.open or "alpha:m" in dict(engine.risk.state().blocked):
            await engine.claim("alpha:m")
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        assert "max_market_shares" in result.reason
        assert replays(engine, rig)
        await engine.stop()

    virtual(life())
    virtual(life())


def test_cash_that_another_trade_spends_while_it_is_asked_for_is_not_spent_twice() -> None:
    rig = Rig()
    rig.alpha.cash = Cash(50 * MICRO)
    engine = an_engine(rig)
    balance = rig.beta.balance

    async def slowly() -> Cash:
        await asyncio.sleep(0.5)
        return await balance()

    async def main() -> None:
        await engine.start()
        rig.beta.balance = slowly  # type: ignore[method-assign]
        rig.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "600")])
        rig.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.55", "600")])
        second = asyncio.ensure_future(engine.execute_opportunity(rig.opportunity("100"), MARKET))
        await asyncio.sleep(0.1)
        rig.beta.balance = balance  # type: ignore[method-assign]
        assert (await engine.execute_opportunity(rig.opportunity("100"), MARKET)).outcome is Outcome.COMPLETED
        refused = await second
        assert refused.outcome is Outcome.REFUSED
        assert "another trade began" in refused.reason
        await engine.stop()

    virtual(main())


def test_cash_for_orders_that_a_venue_has_not_heard_of_is_not_free() -> None:
    rig = Rig()
    rig.alpha.cash = Cash(50 * MICRO)
    rig.alpha.script(YES_A, Answer(delay_s=0.9))
    rig.alpha.set_book(YES_A, bids=[("0.38", "200")], asks=[("0.40", "600")])
    rig.beta.set_book(NO_B, bids=[("0.53", "200")], asks=[("0.55", "600")])
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        first = asyncio.ensure_future(engine.execute_opportunity(rig.opportunity("100"), MARKET))
        await asyncio.sleep(0.5)
        refused = await engine.execute_opportunity(rig.opportunity("100"), MARKET)
        assert refused.outcome is Outcome.REFUSED
        assert "alpha" in refused.reason
        assert "cash" in refused.reason
        assert (await first).outcome is Outcome.COMPLETED
        await engine.stop()

    virtual(main())


def test_venues_are_asked_for_their_cash_at_once() -> None:
    rig = Rig()
    engine = an_engine(rig)
    for venue in (rig.alpha, rig.beta):
        venue.balance = _late(venue.balance)  # type: ignore[method-assign]

    async def main() -> None:
        result = await engine.execute_opportunity(rig.opportunity(), MARKET)
        sent = next(fact.at for fact in rig.journal.facts if fact.fact == "order.sent")
        assert sent - result.started_at == 1_000_000_000

    engine._needs_start = False
    virtual(main())


def _late(balance: Any) -> Any:
    async def late() -> Any:
        await asyncio.sleep(1.0)
        return await balance()

    return late


def test_a_name_that_no_escalated_trade_has_is_not_acknowledged() -> None:
    assert an_engine(Rig()).acknowledge("mistyped") is False


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.REFUSED])
def test_a_listener_that_fails_ends_no_trade_twice_and_halts_entries(outcome: Outcome) -> None:
    rig = Rig()
    if outcome is Outcome.REFUSED:
        rig.risk.block_market("alpha:m", "a test")

    def listening(_result: ExecutionResult) -> None:
        raise KeyError("a listener of ours")

    executor = ParallelExecutor(rig.venues, rig.feed, rig.risk, rig.config, journal=rig.journal, on_done=listening)

    async def main() -> ExecutionResult:
        return await executor.execute(await rig.trade(MARKET))

    assert virtual(main()).outcome is outcome
    assert "a listener of ours" in executor.halted
    assert len(rig.facts("trade.done")) == (outcome is Outcome.COMPLETED)
    fold(rig.journal.facts, named_books(rig.table.books))  # a second end would keep every later engine from starting


def test_a_trade_that_is_worked_again_is_refused_and_the_one_that_runs_keeps_what_is_reserved_for_it() -> None:
    rig = Rig()

    async def main() -> None:
        trade = await rig.trade(LIMIT)
        first = asyncio.ensure_future(rig.executor.execute(trade))
        await asyncio.sleep(1)
        assert "is running already" in (await rig.executor.execute(trade)).reason
        again = replayed_checkpoint(rig.journal.facts, rig.table.books, rig.config, rig.limits)
        assert again["risk"].reservations == rig.risk.state().reservations != ()
        await first
        trade = replace(await rig.trade(MARKET), id="another")
        assert (await rig.executor.execute(trade)).outcome is Outcome.COMPLETED
        assert "was worked before" in (await rig.executor.execute(trade)).reason
        shares = {book.name: rig.venues[book.venue].shares.get(book.index, 0) for book in rig.basket.legs}
        assert rig.executor._ledger.shares == shares == {YES_A: 100 * MICRO, NO_B: 100 * MICRO}
        metrics = MetricsCollector()
        replayed(rig.journal.facts, named_books(rig.table.books), RiskManager(rig.limits, rig.config), metrics)
        summary = metrics.get_summary()
        assert (summary["completed"], summary["missed"], summary["refused"]) == (1, 1, 2)

    virtual(main())


def test_only_so_many_trades_are_remembered() -> None:
    rig = Rig()
    rig.executor._begun.update((str(number), None) for number in range(KEPT))

    async def main() -> None:
        assert (await rig.executor.execute(await rig.trade(MARKET))).outcome is Outcome.COMPLETED

    virtual(main())
    assert len(rig.executor._begun) == KEPT
    assert "t" in rig.executor._begun
    assert "0" not in rig.executor._begun


def test_no_trade_has_the_name_of_one_of_an_earlier_session_however_many_refusals_are_not_on_record() -> None:
    rig = Rig()

    async def main() -> None:
        opportunity, names = rig.opportunity("10"), []
        for _ in range(3):
            engine = an_engine(rig)
            await engine.start()
            engine.kill("for a while")
            refused = [await engine.execute_opportunity(opportunity, MARKET) for _ in range(40)]
            names += [result.trade.id for result in refused]
            engine.switch.release("seen to", engine._clock.now() + 1)
            for _ in range(3):
                await asyncio.sleep(5)
                result = await engine.execute_opportunity(opportunity, MARKET)
                assert result.outcome is Outcome.COMPLETED
                names.append(result.trade.id)
            assert engine.ledger.shares[YES_A] == rig.alpha.shares[rig.table.book(YES_A).index]
            await engine.stop()
        assert len(set(names)) == len(names)
        assert len(rig.facts("trade.refused")) == 3  # the others for the same reason are not written down

    virtual(main())


def test_trades_that_wait_for_one_request_budget_escalate_within_their_time_all_the_same() -> None:
    count, config = 6, ExecutionConfig(request_rate=1.0)
    markets = [a_market(venue, f"m{at}") for at in range(count) for venue in ("alpha", "beta")]
    table = market_table(markets, [Pair(a, b, "same") for a, b in zip(markets[::2], markets[1::2], strict=True)])
    alpha, beta = MockPlatform("alpha", table), DeadPlatform("beta", table)
    feed = MockFeed([alpha, beta])
    crossing = [one for one in baskets(table, (Kind.CROSS_VENUE,)) if one.legs[0].outcome == "yes"]
    engine = ArbitrageExecutionEngine(
        {"alpha": alpha, "beta": beta}, feed, crossing, config=config, pairs=PairBook.assumed(table)
    )
    for at in range(count):
        alpha.set_book(f"alpha:m{at}:yes", bids=[("0.38", "200")], asks=[("0.40", "100")])
        beta.set_book(f"beta:m{at}:no", bids=[("0.53", "200")], asks=[("0.55", "100")])

    async def main() -> list[ExecutionResult]:
        doing = []
        for basket in crossing:
            found = feed.opportunity(basket, Cash(100), "10")
            assert found is not None
            doing.append(asyncio.ensure_future(engine.execute_opportunity(found, MARKET)))
            await asyncio.sleep(0.1)
        results = await asyncio.gather(*doing)
        await engine.stop()
        return results

    results = virtual(main())
    assert {result.outcome for result in results} == {Outcome.ESCALATED}
    assert max(result.finished_at - result.started_at for result in results) <= config.hedge_timeout_s * NS_PER_S


class DeadPlatform(MockPlatform):
    """Nothing that is sent or asked is ever answered: its connection breaks at once."""

    async def submit(self, _order: Order) -> OrderReport:
        raise OrderStateUnknown("the connection broke")

    status = cancel = submit


@pytest.mark.parametrize("strategy", [MARKET, LIMIT])
def test_an_engine_that_traded_without_a_start_is_not_started_over_what_it_knows(strategy: ExecutionStrategy) -> None:
    """Its own facts would be taken for those of another process: counted twice, and a running trade worked twice."""
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        trading = asyncio.ensure_future(engine.execute_opportunity(rig.opportunity("10"), strategy))
        await asyncio.sleep(1)
        with pytest.raises(ConfigError, match="traded without a start"):
            await engine.start()
        await trading
        assert replays(engine, rig)
        await engine.stop()

    virtual(main())


async def test_what_is_refused_before_the_start_is_neither_on_record_nor_in_a_figure(tmp_path: Path) -> None:
    rig = Rig()
    with JournalFile(tmp_path / "journal", account="a") as journal:
        engine = an_engine(rig, journal=journal)
        result = await engine.execute_opportunity(rig.opportunity("10"), MARKET)
        assert (result.outcome, result.reason) == (Outcome.REFUSED, "the engine keeps an account: start it first")
        await engine.start()
        assert engine.metrics.get_summary()["trades"] == 0
        await engine.stop()
        assert "trade.refused" not in [fact.fact for fact in journal.facts]


@pytest.mark.parametrize("pause_s", [0.25, 5.0, 10.0])
@pytest.mark.parametrize("silent_from", ["the entry", "the undo"])
def test_silence_of_a_venue_is_escalated_within_t_hedge_whatever_the_pause_between_two_tries(
    pause_s: float, silent_from: str
) -> None:
    rig = Rig(config=ExecutionConfig(hedge_retry_s=pause_s))
    entered: list[int] = []

    async def silence(order: Order) -> Any:
        if silent_from == "the undo" and order.purpose is Purpose.ENTRY:
            raise OrderRejected("not here")
        await asyncio.Event().wait()

    async def entry_alone(order: Order) -> Any:
        if order.purpose is Purpose.ENTRY:
            entered.append(rig.executor._clock.now())
            return await submit(order)
        return await silence(order)

    submit = rig.alpha.submit
    rig.alpha.submit = entry_alone  # type: ignore[method-assign]
    rig.beta.submit = rig.beta.status = rig.beta.cancel = silence  # type: ignore[method-assign]

    async def main() -> None:
        result = await rig.executor.execute(await rig.trade(MARKET))
        assert result.outcome is Outcome.ESCALATED
        assert result.finished_at - entered[0] <= rig.config.hedge_timeout_s * NS_PER_S
        await rig.executor._supervisor.stop()

    virtual(main())


@pytest.mark.parametrize("hedge_s", [1.0, 3.0, 10.0])
def test_a_disk_that_does_not_answer_is_escalated_within_t_hedge(hedge_s: float) -> None:
    class Stuck(MemoryJournal):
        is_stuck = False

        async def durable(self, *, reducing: bool = False) -> None:
            if self.is_stuck:
                await asyncio.sleep(2.0)
                raise JournalError("the disk has not answered for 2 s")

    rig, journal = Rig(config=ExecutionConfig(hedge_timeout_s=hedge_s)), Stuck()
    executor = ParallelExecutor(rig.venues, rig.feed, rig.risk, rig.config, journal=journal)

    async def refused(_order: Order) -> OrderReport:
        journal.is_stuck = True
        raise OrderRejected("not here")

    rig.beta.submit = refused  # type: ignore[method-assign]

    async def main() -> None:
        result = await executor.execute(await rig.trade(MARKET))
        assert result.outcome is Outcome.ESCALATED
        assert result.finished_at - result.started_at <= hedge_s * NS_PER_S

    virtual(main())
    alerts = [fact for fact in journal.facts if fact.fact == "engine.alert"]
    assert alerts[0].get("what") == "the journal does not keep an intent"
