# ruff: noqa: N802 - fault tests carry the id of the fault
"""The capital cycle of an engine that is killed again and again, on a chain that fails: nothing twice, nothing lost.

A process dies at any fact, flush, send or order of its own: it does nothing more from there on, and of its journal is left
what was durable and a piece of what was not. The chain and the venue go on. What holds is asked of the chain's blocks,
of the books and of a replay of the journal: all three must say the same.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from arbkit.backtest.loop import SimLoop, run_virtual
from arbkit.core.model import Outcome
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.codec import decode_block
from arbkit.journal.memory import Fact, MemoryJournal
from arbkit.wiring.polygon import transactions_of
from tests.chain.token_chain import CONDITION, EVENT_MARKETS, KEEPS, NO, PAYS, YES, Cycle, TokenChain
from tests.figures import Reached
from tests.rig import START
from tests.unit.settlement.fake_tokens import DIRECT

WORLDS = int(os.environ.get("ARBKIT_CAPITAL_WORLDS", "30"))
STRIDE = int(os.environ.get("ARBKIT_CAPITAL_STRIDE", "3"))  # of the beats at which neg-risk worlds die: 1 takes all
CRASHES = 4  # at most, in one world
ENOUGH_S = 900.0  # of quiet, for everything to end


class Crashed(BaseException):
    """The process is dead: no code of it goes on, whatever it would catch."""


class MortalLoop(SimLoop):
    """Virtual time in which code of a dead process ends where it stands, and takes nothing else with it."""

    def _turn(self) -> None:
        with suppress(Crashed):
            super()._turn()

    def wind_up(self) -> None:
        for reference in self._failed:
            task = reference()
            if task is not None and isinstance(task.exception(), Crashed):
                continue  # it has been looked at now: no news at the end of the run
        super().wind_up()


class Life:
    """One process. It ends at its `last` beat; whatever touches the outside after that is stopped."""

    def __init__(self, last: int) -> None:
        self._left = last
        self.over = asyncio.Event()
        self.died_at = ""

    def beat(self, what: str) -> None:
        """Let one more thing happen, or nothing any more."""
        if not self.over.is_set():
            self._left -= 1
            if self._left > 0:
                return
            self.died_at = what
            self.over.set()
        raise Crashed(what)


class Handle(MemoryJournal):
    """A process's hand on the journal that all of them share."""

    def __init__(self, bodies: list[bytes], life: Life) -> None:
        super().__init__()
        self._bodies = bodies
        self._life = life
        self.kept = len(bodies)

    def append(self, at: int, fact: str, key: str, **data: object) -> None:
        if self._life.over.is_set():
            raise Crashed("append")
        super().append(at, fact, key, **data)
        self._life.beat(f"after {fact}")

    async def durable(self, *, reducing: bool = False) -> None:
        self._life.beat("before a flush")
        self.kept = len(self._bodies)
        self._life.beat("after a flush")


class Mortal:
    """A process's way to something outside: every call there counts, before it is made and after it was."""

    def __init__(self, of: Any, life: Life, *counted: str) -> None:
        self._of, self._life, self._counted = of, life, counted

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if name not in self._counted:
            return found

        async def call(*values: Any, **named: Any) -> Any:
            self._life.beat(f"before {name}")
            answer = await found(*values, **named)
            self._life.beat(f"after {name}")
            return answer

        return call


class MortalCycle(Cycle):
    """A cycle whose processes can be killed."""

    def __init__(self, locks: Path, seed: int, takes: int = 0) -> None:
        super().__init__(locks, seed, takes)
        self.bodies: list[bytes] = []
        self.whole_chain: Any = self.chain
        self.deaths: Counter[str] = Counter()

    @property
    def shared(self) -> tuple[Fact, ...]:
        """The facts that all processes share."""
        return tuple(decode_block(1, self.bodies))

    @asynccontextmanager
    async def living(self, life: Life, terms: Any) -> AsyncIterator[ArbitrageExecutionEngine]:
        self.journal = Handle(self.bodies, life)
        self.chain = Mortal(self.whole_chain, life, "send")  # type: ignore[assignment]
        try:
            async with self.account(terms) as capital:
                venue: Any = Mortal(self.venue, life, "submit", "cancel")
                self.engine = ArbitrageExecutionEngine(
                    {"alpha": venue},
                    self.feed,
                    [self.basket],
                    config=self.config,
                    journal=self.journal,
                    books=self.table.books,
                    chain=capital,
                )
                await self.engine.start()
                yield self.engine
                await self.engine.stop()
        finally:
            self.chain = self.whole_chain

    async def process(self, life: Life, terms: Any, work: str, for_s: float) -> None:
        async with self.living(life, terms) as engine:
            if work == "buy":
                await self.trade("60")
            elif work == "sell":
                await engine.sell_both(self.basket, Size(60 * MICRO))
            await asyncio.sleep(for_s)

    async def until_dead(self, life: Life, terms: Any, work: str, for_s: float) -> bool:
        """Run a process to its end or its death; tell whether it died. Nothing of a dead one is left running."""
        before = asyncio.all_tasks()
        running = asyncio.ensure_future(self.process(life, terms, work, for_s))
        died = asyncio.ensure_future(life.over.wait())
        await asyncio.wait((running, died), return_when=asyncio.FIRST_COMPLETED)
        handle = self.journal
        dead = life.over.is_set()
        if dead:
            left = [task for task in asyncio.all_tasks() if task not in before and task is not died]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            assert isinstance(handle, Handle)
            del self.bodies[self.random.randint(min(handle.kept, len(self.bodies)), len(self.bodies)) :]
            self.deaths[life.died_at.partition(" ")[0] + " " + life.died_at.split()[-1]] += 1
        died.cancel()
        await asyncio.gather(died, return_exceptions=True)
        if not dead:
            await running
        return dead


def bid_for(cycle: MortalCycle) -> None:
    """Make a pair worth more in parts than it costs to split."""
    cycle.venue.set_book(YES, bids=[("0.56", "100")], asks=[("0.60", "100")])
    cycle.venue.set_book(NO, bids=[("0.50", "100")], asks=[("0.56", "100")])


WORKS = ("buy", "redeem", "sell", "convert")


def world(locks: Path, seed: int) -> MortalCycle:
    """Run one world to its end, and hold chain, books and journal against each other."""
    work = WORKS[seed % len(WORKS)]
    takes = (2, 3)[seed // len(WORKS) % 2] if work == "convert" else 0
    cycle = MortalCycle(locks, seed, takes)
    chain, chance = cycle.whole_chain, random.Random(f"capital crashes {seed}")
    terms = KEEPS if work == "redeem" else PAYS
    if work == "sell":
        bid_for(cycle)
    chain.loses_reply, chain.loses_request = chance.choice([0, 0.5]), chance.choice([0, 0.3])
    chain.drops, chain.hides, chain.lags = chance.choice([0, 0.2]), chance.choice([0, 0.3]), chance.choice([0, 0.5])

    async def main() -> None:
        async with chain.mining():
            doing = "sell" if work == "sell" else "buy"
            for nth in range(chance.randint(1, CRASHES)):
                life = Life(chance.randint(2, 70 if nth == 0 else 25))
                traded = [fact for fact in cycle.shared if fact.fact in ("trade.planned", "capital.intent")]
                await cycle.until_dead(life, terms, "" if traded else doing, chance.uniform(5, 60))
                if chance.random() < 0.3 and chain.number:
                    chain.reorganise(chance.randint(1, min(3, chain.number)), back_to_pool=chance.random() < 0.5)
                if work == "redeem" and chance.random() < 0.5:
                    chain.payouts[CONDITION.id] = chance.choice([(1, 0), (0, 1), (1, 1)])
                await asyncio.sleep(chance.uniform(0, 20))
            chain.loses_reply = chain.loses_request = chain.drops = chain.hides = chain.lags = 0.0
            if work == "redeem":
                chain.payouts.setdefault(CONDITION.id, (1, 0))
            last = Life(10**9)
            async with cycle.living(last, terms):
                await asyncio.sleep(ENOUGH_S)
                cycle.check()

    run_virtual(main(), MortalLoop(START))
    held_against_the_blocks(cycle)
    return cycle


def held_against_the_blocks(cycle: MortalCycle) -> None:
    """Every intent took effect once, or not at all and says so; every number of the account belongs to one call."""
    done = [fact for fact in cycle.shared if fact.fact == "capital.done"]
    kinds = Counter(fact.key.partition(":")[0] for fact in done if fact.get("fate") == Fate.DONE)
    assert (cycle.whole_chain.merges(), cycle.whole_chain.conversions()) == (kinds["merge"], kinds["convert"])
    assert len({fact.key for fact in done}) == len(done)
    keys: defaultdict[int, set[str]] = defaultdict(set)
    for fact in cycle.shared:
        if fact.fact == "transaction.signed":
            keys[int(str(fact.get("nonce")))].add(fact.key)
    assert all(len(names) == 1 for names in keys.values()), keys
    paid_once(cycle)
    have = cycle.whole_chain.holdings()
    held = {name: have[token] for name, token in cycle.venue.tokens.items() if have.get(token)}
    wanted = {fact.key: fact for fact in cycle.shared if fact.fact == "capital.intent"}
    converted = [wanted[fact.key] for fact in done if fact.get("fate") == Fate.DONE and fact.key.startswith("convert:")]
    made = sum(int(str(fact.get("yes"))) for fact in converted)
    other = list(EVENT_MARKETS)[-1]  # YES of it is what NO of the other two become
    outcomes = [fact.get("outcome") for fact in cycle.shared if fact.fact == "trade.done"]
    if Outcome.ESCALATED not in outcomes:
        assert held == ({f"{other}:yes": made} if len(cycle.basket.legs) == 2 and made else {}), outcomes


def paid_once(cycle: MortalCycle) -> None:
    """What the account paid the chain, approvals and all, stands in the ends of intents, each part of it once."""
    chain, transactions = cycle.whole_chain, transactions_of(cycle.shared).closed.values()
    charged = sum(int(str(fact.get("wei"))) for fact in cycle.shared if fact.fact == "capital.done")
    repairs = sum(one.paid for one in transactions if one.call.work is Work.REPAIR)  # of numbers: no intent's
    assert charged + repairs == chain.balance - chain.funds()


def told(worlds: Sequence[MortalCycle]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for one in worlds:
        total += one.deaths
    return total


@pytest.mark.slow
@pytest.mark.chain_figure
def test_fault_P2_a_process_that_is_killed_anywhere_in_the_capital_cycle_doubles_and_loses_nothing(
    tmp_path: Path, reached: Reached
) -> None:
    worlds = [world(tmp_path, seed) for seed in range(WORLDS)]
    deaths = told(worlds)
    killed = sum(deaths.values())
    moved = Counter(fact.key.partition(":")[0] for one in worlds for fact in one.shared if fact.fact == "capital.done")
    reached(
        "killed in the capital cycle, seeded",
        f"{killed} kills in {WORLDS} worlds, {moved.total()} intents ended, books = chain = replay in all",
        "all",
    )
    assert killed > WORLDS
    assert {"before flush", "after flush"} < deaths.keys()
    assert deaths["before send"] + deaths["after send"] > 0
    assert min(moved[kind] for kind in ("split", "merge", "redeem", "convert")) > WORLDS // 12
    sold = [fact for one in worlds for fact in one.shared if fact.fact == "fill" and ".split." not in fact.key]
    assert len(sold) > WORLDS // 2


def lied_to(chain: TokenChain, lie: int) -> None:
    """Let one of the chain's two nodes make up how many numbers of the account are used."""
    honest = chain.read_all

    async def both(method: str, *params: object) -> list[Any]:
        first, second = await honest(method, *params)
        return [hex(lie), second] if method == "eth_getTransactionCount" else [first, second]

    chain.read_all = both  # type: ignore[method-assign]


def killed_at(
    locks: Path, work: str, takes: int, beat: int, next_beat: int, *, neg_risk: bool = False, lie: int | None = None
) -> MortalCycle:
    """Run a world of a calm chain in which the first process dies at one beat, and the second one at another.

    With `lie` one of two nodes says of every number of the account that so many are used.
    """
    cycle = MortalCycle(locks, beat, takes)
    if neg_risk:
        cycle.neg_risk()
    if lie is not None:
        lied_to(cycle.chain, lie)
    if work == "sell":
        bid_for(cycle)

    async def main() -> None:
        async with cycle.whole_chain.mining():
            if await cycle.until_dead(Life(beat), PAYS, work, 40.0):
                await cycle.until_dead(Life(next_beat), PAYS, "", 40.0)
            async with cycle.living(Life(10**9), PAYS):
                await asyncio.sleep(90.0)
                cycle.check()

    run_virtual(main(), MortalLoop(START))
    held_against_the_blocks(cycle)
    return cycle


@pytest.mark.slow
@pytest.mark.parametrize(("work", "takes"), [("sell", 0), ("buy", 2), ("buy", 3)])
@pytest.mark.parametrize("again", [10**9, 6], ids=["once", "twice"])
def test_fault_P2_at_whatever_beat_a_process_dies_what_its_approvals_and_calls_cost_is_charged_once(
    tmp_path: Path, work: str, takes: int, again: int
) -> None:
    approved = without = 0
    for beat in itertools.count(1):
        cycle = killed_at(tmp_path, work, takes, beat, again)
        if not cycle.deaths:
            break
        calls = [str(fact.get("work")) for fact in cycle.shared if fact.fact == "transaction.signed"]
        approved += "approve" in calls
        without += calls == ["approve"]  # the split was given up, and its approval had been paid
    assert approved > 20
    assert (without > 3) == (work == "sell")


@pytest.mark.slow
@pytest.mark.parametrize(("work", "most"), [("sell", 6), ("buy", 3)])
@pytest.mark.parametrize("lie", [None, 10**6, 0], ids=["honest", "made up", "denied"])
def test_fault_P2_a_neg_risk_markets_capital_survives_a_death_at_any_beat_and_one_lying_node(
    tmp_path: Path, work: str, most: int, lie: int | None
) -> None:
    through: Counter[str] = Counter()
    for beat in itertools.count(1, STRIDE):
        cycle = killed_at(tmp_path, work, 0, beat, 6 + beat % 7, neg_risk=True, lie=lie)
        if not cycle.deaths:
            break
        signed = [fact for fact in cycle.shared if fact.fact == "transaction.signed"]
        through.update(str(fact.get("to")) for fact in signed if fact.get("work") != Work.APPROVE)
        assert {fact.get("nonce") for fact in signed} == set(range(len({fact.key for fact in signed})))
        assert all(fact.get("as_expected") for fact in cycle.shared if fact.fact == "capital.done")
    assert set(through) == {DIRECT.neg_risk_adapter}
    assert through.total() > most
