"""The whole engine under every fault that can be injected: 500 seeds, every invariant after every event."""

from __future__ import annotations

import pytest

from tests.simulation.faults.run import Total, main, run_seeds
from tests.simulation.faults.table import FAULTS
from tests.simulation.faults.world import IDS, World, chosen

# What dies in the middle of a step leaves steps behind that nobody takes.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

PARTS = 10
EACH = 50


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_an_invariant(part: int) -> None:
    total = run_seeds(range(part * EACH, (part + 1) * EACH))
    told = "\n\n".join(f"make simulate SEED={seed}\n{said}" for seed, said in total.violations)
    assert not total.violations, told
    assert sum(total.trades.values()) > EACH // 4


@pytest.mark.parametrize("fault", IDS)
def test_every_fault_strikes_in_its_share_of_the_seeds(fault: str) -> None:
    """The 500 seeds plan every fault; alone, each strikes within a few runs."""
    total = Total()
    for seed in range(60):
        total.add(World(seed, only=(fault,)).run())
        if total.strikes[fault]:
            break
    assert total.strikes[fault], f"{fault} never struck: {FAULTS[fault].says}"


def test_five_hundred_seeds_plan_every_fault_several_times() -> None:
    planned = [name for seed in range(PARTS * EACH) for name in chosen(seed, World(seed).draws("again"))]
    assert min(planned.count(name) for name in IDS) >= 8


@pytest.mark.parametrize("seed", [3, 17, 62, 133, 204, 311])
def test_one_seed_gives_one_journal(seed: int) -> None:
    first, second = World(seed).run(), World(seed).run()
    assert first.digest == second.digest
    assert (first.trades, first.strikes, first.virtual_s) == (second.trades, second.strikes, second.virtual_s)


def test_the_runner_tells_how_it_went_and_how_to_look_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--workers", "1"]) == 0
    told = capsys.readouterr()
    assert "3 of 3 seeds" in told.err
    assert "violations     0" in told.out
    assert all(f"  {name:<4} " in told.out for name in IDS)
    assert main(["--seed", "1", "--timeline"]) == 0
    assert "process  boots" in capsys.readouterr().out


def test_without_faults_nothing_escalates_halts_or_raises_an_alarm() -> None:
    outcomes: dict[str, int] = {}
    for seed in range(40):
        world = World(seed, only=(), tune=lambda world: setattr(world, "kill_share", 0.0))
        told = world.run()
        assert not told.violation, told.violation
        loud = [fact for fact in world.facts() if fact.fact in ("engine.alert", "engine.halted", "market.blocked")]
        assert not loud, f"seed {seed}: {loud[0]}"
        for outcome, count in told.trades.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    assert not outcomes.get("escalated")
    assert outcomes["completed"] > 15


def test_another_seed_gives_another_journal() -> None:
    assert len({World(seed).run().digest for seed in range(5)}) == 5
