# ruff: noqa: N802
"""What people do to a running engine and to its results: interrupt it, run it in a notebook, print it, mistype it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import arbkit as ak
from arbkit.analysis import progress, question, runs
from arbkit.backtest.mock_platform import Answer
from arbkit.cli import app
from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import ExecutionStrategy, Kind, MultiLegTrade, Outcome, Side, TradeLeg
from arbkit.core.secrets import Secret
from arbkit.history.synthetic import SyntheticSpec
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.store import JournalFile
from arbkit.readiness import confirmation
from arbkit.risk.limits import RiskLimits
from arbkit.wiring.settings import check_settings, read_settings, worst_case
from tests.builders import replace
from tests.rig import NO_B, YES_A, Rig, virtual
from tests.unit.test_settings import DEMO, EVERY_LIMIT, HEX, LIVE, TOP

ROOT = Path(__file__).resolve().parents[2]

# -- U2: the cell is interrupted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", list(ExecutionStrategy))
@pytest.mark.parametrize("after_ms", [0, 1, 30, 120, 450, 900])
def test_fault_U2_an_interrupt_in_the_middle_of_a_trade_loses_nothing(
    strategy: ExecutionStrategy, after_ms: int
) -> None:
    rig = Rig(config=ExecutionConfig(limit_timeout_s=0.8))
    rig.alpha.script(YES_A, Answer(delay_s=0.05, rests_fill=((0.1, 40),)))
    rig.beta.script(NO_B, Answer(delay_s=0.1, lost="answer"))
    engine = ArbitrageExecutionEngine(
        rig.venues, rig.feed, [rig.basket], config=rig.config, journal=rig.journal, pairs=rig.pairs
    )

    async def notebook() -> tuple[str, ...]:
        await engine.start()
        cell = asyncio.ensure_future(engine.scan_and_execute(strategy, max_trades=1))
        await asyncio.sleep(after_ms / 1000)
        cell.cancel()  # what a notebook does to the cell that is running
        await asyncio.gather(cell, return_exceptions=True)
        left = await engine.drain()
        await engine.stop()
        return left

    left = virtual(notebook())
    intents, done = rig.facts("order.intent"), rig.facts("trade.done")
    assert len(done) == len(rig.facts("trade.planned"))  # every trade that began has its outcome on record
    even = {p.shares.get(leg.index, 0) for p, leg in zip(rig.venues.values(), rig.basket.legs, strict=True)}
    assert left == ()
    assert len(even) == 1, "legs are whole or undone"
    assert not intents or done


def test_fault_U2_what_an_interrupt_leaves_hanging_is_named() -> None:
    rig = Rig()
    rig.alpha.set_book(YES_A, asks=[("0.40", "100")])  # nobody buys back
    rig.beta.script(NO_B, *[Answer(reject="closed")] * 300)
    engine = ArbitrageExecutionEngine(
        rig.venues, rig.feed, [rig.basket], config=rig.config, journal=rig.journal, pairs=rig.pairs
    )

    async def notebook() -> tuple[str, ...]:
        await engine.start()
        cell = asyncio.ensure_future(engine.scan_and_execute(ExecutionStrategy.MARKET, max_trades=1))
        await asyncio.sleep(0.2)
        cell.cancel()
        await asyncio.gather(cell, return_exceptions=True)
        left = await engine.drain()
        assert engine.open() == left
        await engine.stop()
        return left

    (line,) = virtual(notebook())
    assert line.endswith(": 100 alpha:m:yes outside whole baskets")


def test_fault_U2_an_interrupted_comparison_keeps_what_is_done_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressed(progress.Bar):
        def __call__(self, done: int, total: int) -> None:
            if done >= 2:
                raise KeyboardInterrupt

    tape = ak.synthetic_tape(SyntheticSpec(minutes=0.4, episodes=4), seed=3)
    monkeypatch.setattr(question, "Bar", Pressed)
    monkeypatch.setattr(runs, "Bar", Pressed)
    made = ak.compare(tape, ak.baskets(tape), "market", study="sample:2s")
    assert 0 < made.table["opportunities"].iloc[0] < 12
    assert "interrupted: only the first" in str(made)


# -- U3: a loop is running already -------------------------------------------------------------------------------


def everything(folder: Path) -> list[str]:
    """Every public call that computes, and what came of it."""
    tape = ak.synthetic_tape(SyntheticSpec(minutes=0.3, episodes=2), seed=3)
    tape.write(folder / "tape")
    tape = ak.read_tape(folder / "tape")
    found = ak.baskets(tape)
    run = ak.backtest(tape, found)
    run.save(folder / "run")
    episodes = ak.scan(tape, found)
    comparison = ak.compare(tape, found, "market")
    frames = [episodes, run.trades, ak.load_run(folder / "run").trades, comparison.table]
    return [tape.digest, *(frame.to_json(date_format="iso") for frame in frames)]


async def awaited(work: Callable[[], list[str]]) -> list[str]:
    return work()  # as in a notebook's cell: a loop is running, and this blocks it


async def aside(work: Callable[[], list[str]]) -> list[str]:
    return await asyncio.to_thread(work)


def test_fault_U3_public_calls_do_the_same_inside_and_outside_a_running_loop(tmp_path: Path) -> None:
    expected = everything(tmp_path / "script")
    assert asyncio.run(awaited(lambda: everything(tmp_path / "cell"))) == expected
    assert asyncio.run(aside(lambda: everything(tmp_path / "aside"))) == expected
    beside: list[list[str]] = []
    thread = threading.Thread(target=lambda: beside.append(everything(tmp_path / "thread")))
    thread.start()
    thread.join()
    assert beside == [expected]


def test_fault_U3_a_cell_that_was_blocked_leaves_its_loop_as_it_was(tmp_path: Path) -> None:
    async def cell() -> str:
        before = asyncio.get_running_loop()
        everything(tmp_path)
        assert asyncio.get_running_loop() is before
        await asyncio.sleep(0)
        return "still here"

    assert asyncio.run(cell()) == "still here"


# -- U6: what is printed, saved and sent on ----------------------------------------------------------------------


def test_fault_U6_settings_that_are_printed_show_where_keys_are_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_KEY_ID", HEX)
    path = tmp_path / "arbkit.toml"
    path.write_text(f'environment = "demo"\n{TOP}{DEMO}')
    settings = read_settings(path)
    key = dict(settings.venue("kalshi").keys)["key_id"].load()
    assert key == Secret(HEX)
    for shown in (repr(settings), str(settings), worst_case(settings), check_settings(path), f"{settings} {key}"):
        assert HEX not in shown
    assert "KALSHI_KEY_ID" in repr(settings)


def test_fault_U6_notebooks_are_kept_without_what_they_printed() -> None:
    books = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert books
    for path in books:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_fault_U6_a_journal_that_is_sent_on_holds_no_key(tmp_path: Path, suffix: str) -> None:
    said = f"refused: POLY_API_KEY: abc-123, signed by 0x{HEX}, see https://anna:s3cret@rpc.example/"
    with JournalFile(tmp_path / "j", account="main", locks=tmp_path) as journal:
        journal.append(1, "trade.refused", "t", reason=said)
        asyncio.run(journal.durable())
    out = tmp_path / f"sent.{suffix}"
    answer = CliRunner().invoke(app, ["journal", "export", str(tmp_path / "j"), str(out)])
    assert answer.exit_code == 0, answer.output
    text = out.read_text() + answer.output
    assert "trade.refused" in text
    for secret in ("abc-123", HEX, "s3cret"):
        assert secret not in text


# -- U8: a slip of the finger ------------------------------------------------------------------------------------


def test_fault_U1_a_scan_beside_another_of_the_same_engine_is_refused_until_that_one_has_ended() -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        first = asyncio.ensure_future(engine.scan_and_execute(ExecutionStrategy.LIMIT, max_trades=1))
        await asyncio.sleep(1)
        with pytest.raises(ConfigError, match="already"):
            await engine.scan_and_execute(ExecutionStrategy.LIMIT, max_trades=1)
        assert len(rig.facts("trade.planned")) == 1
        assert len(await first) == 1
        assert len(await engine.scan_and_execute(ExecutionStrategy.MARKET, max_trades=1)) == 1
        await engine.stop()

    virtual(main())


def test_fault_U8_a_thousand_where_ten_were_meant_passes_no_cap() -> None:
    rig = Rig(limits=RiskLimits(max_trade_capital=10, max_order_capital=10), cash="100000")
    result = rig.run("MARKET", "100")
    assert result.outcome is Outcome.REFUSED
    assert "limit max_order_capital: 40.00 of 10.00 dollars" in result.reason
    assert rig.facts("order.intent") == []
    assert Rig(limits=rig.limits).run("MARKET", "10").outcome is Outcome.COMPLETED


def test_fault_U8_an_entry_on_the_wrong_side_is_refused_before_anything_is_sent() -> None:
    rig = Rig()

    async def main() -> None:
        trade = await rig.trade(ExecutionStrategy.MARKET)
        sold = replace(trade, legs=(replace(trade.legs[0], side=Side.SELL), trade.legs[1]))
        result = await rig.executor.execute(sold)
        assert result.outcome is Outcome.REFUSED
        assert "entry legs buy" in result.reason

    virtual(main())
    assert rig.facts("order.intent") == []


def an_engine(rig: Rig) -> ArbitrageExecutionEngine:
    return ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], journal=rig.journal, pairs=rig.pairs)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"legs": ()}, "two legs"),
        ({"legs": 1}, "two legs"),
        ({"legs": 2}, "each of another book"),
        ({"floor": 2_000_001}, "cannot pay"),
        ({"floor": 0}, "cannot pay"),
        ({"lot": 0}, "in steps of 0"),
        ({"min_size": -1}, "a smallest size of -1"),
    ],
)
def test_fault_U8_a_basket_that_is_none_is_refused_and_halts_nothing(changes: dict[str, Any], why: str) -> None:
    rig = Rig()
    if type(changes.get("legs")) is int:
        changes = {"legs": rig.basket.legs[:1] * changes["legs"]}
    basket = replace(rig.basket, kind=Kind.COMPLEMENT, **changes)
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        found = replace(rig.opportunity(), basket=basket)
        result = await engine.execute_opportunity(found, ExecutionStrategy.MARKET)
        assert result.outcome is Outcome.REFUSED
        assert why in result.reason
        legs = tuple(TradeLeg(at, book, Side.BUY, found.size) for at, book in enumerate(basket.legs))
        by_hand = MultiLegTrade("by hand", found, ExecutionStrategy.MARKET, legs)
        assert why in (await rig.executor.execute(by_hand)).reason
        assert not engine.halted
        await engine.stop()

    virtual(main())
    assert rig.facts("order.intent") == []


@pytest.mark.parametrize("value", [10.0, float("nan"), "10", None, True])
@pytest.mark.parametrize("name", ["size", "edge", "detected_at", "floor", "lot"])
def test_fault_U8_a_number_that_is_not_whole_is_an_error_that_names_it_and_halts_nothing(name: str, value: Any) -> None:
    rig = Rig()
    engine = an_engine(rig)

    async def main() -> None:
        await engine.start()
        good = found = rig.opportunity()
        changed = {name: value}
        basket = replace(rig.basket, **changed) if hasattr(rig.basket, name) else rig.basket
        found = replace(found, basket=basket) if basket is not rig.basket else replace(found, **changed)
        with pytest.raises(DataError, match=f"^{name} of "):
            await engine.execute_opportunity(found, ExecutionStrategy.MARKET)
        if name in ("size", "floor"):
            with pytest.raises(DataError, match=f"^{name} of "):
                await engine.sell_both(basket, found.size)
        assert not engine.halted
        assert (await engine.execute_opportunity(good, "MARKET")).outcome is Outcome.COMPLETED  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="not a valid ExecutionStrategy"):
            await engine.execute_opportunity(good, "FAST")  # type: ignore[arg-type]
        await engine.stop()

    virtual(main())


@pytest.mark.parametrize("name", ["", "al/pha", "al:pha"])
def test_fault_U8_a_venue_whose_pauses_would_bar_nothing_is_refused_by_its_name(name: str) -> None:
    rig = Rig()
    with pytest.raises(ConfigError, match="a venue is not called"):
        ArbitrageExecutionEngine({name: rig.alpha, "beta": rig.beta}, rig.feed, [rig.basket])


def test_fault_U8_what_is_typed_to_arm_repeats_the_caps_of_the_worst_case(tmp_path: Path) -> None:
    path = tmp_path / "arbkit.toml"
    path.write_text(f'environment = "live"\n{TOP}{EVERY_LIMIT}{LIVE}')
    settings = read_settings(path)
    told, typed = worst_case(settings), confirmation(settings)
    caps = [word.strip(",") for word in typed.split() if word[0].isdigit()]
    assert caps == ["10.00", "10.00", "5.00", "50.00"]
    for cap in caps:
        assert f"{cap} dollars" in told
