"""What a conversion leaves in the limits' count: never less than what was paid and did not come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.units import MICRO
from arbkit.execution.moved_stakes import move_stakes
from arbkit.journal.fold import NamedBooks
from arbkit.risk.limits import RiskManager
from arbkit.risk.stakes import Place, Stake

TAKEN, MADE = ("alpha:a:no", "alpha:b:no"), ("alpha:c:yes", "alpha:d:yes")


def counted(risk: RiskManager) -> dict[str, tuple[int, int]]:
    return {row.place.book: (row.shares, row.dollars) for row in risk.state().held}


def holding(shares: int, *dollars: int) -> RiskManager:
    """Return limits that count so many NO of each market, at so many dollars."""
    risk = RiskManager()
    for name, cost in zip(TAKEN, dollars, strict=True):
        risk._stakes.add([Stake(Place(name, name[:-3], "alpha", "e", ""), shares, cost)])
    return risk


def convert(risk: RiskManager, shares: int, each: int, key: str = "convert:t:0") -> None:
    moved = [*[(name, -shares) for name in TAKEN], *[(name, each) for name in MADE]]
    move_stakes(risk, NamedBooks(), key, moved, (len(TAKEN) - 1) * each)


def test_yes_that_were_made_have_cost_what_did_not_come_back() -> None:
    risk = holding(100, 70, 51)
    convert(risk, 100, 99)
    assert counted(risk) == dict.fromkeys(MADE, (99, 11))  # 121 less 99, in two


def test_yes_of_no_that_cost_less_than_came_back_have_cost_nothing() -> None:
    risk = holding(100, 40, 50)
    convert(risk, 100, 100)
    assert counted(risk) == dict.fromkeys(MADE, (100, 0))


def test_what_is_split_is_counted_at_a_dollar_each() -> None:
    risk = RiskManager()
    move_stakes(risk, NamedBooks(), "split:t:0", [("alpha:a:yes", 5), ("alpha:a:no", 5)], -5)
    assert counted(risk) == {"alpha:a:yes": (5, 5), "alpha:a:no": (5, 5)}


@given(
    shares=st.integers(1, 50 * MICRO),
    converted=st.integers(1, 50 * MICRO),
    costs=st.tuples(st.integers(0, MICRO), st.integers(0, MICRO)),
    fee=st.integers(0, 999),
    held=st.integers(0, MICRO),
)
def test_what_is_counted_falls_by_what_came_back_and_never_by_more(
    shares: int, converted: int, costs: tuple[int, int], fee: int, held: int
) -> None:
    converted = min(shares, converted)
    each = converted - converted * fee // 10_000
    risk = holding(shares, *[shares * cost // MICRO for cost in costs])
    risk.adopted(NamedBooks()[MADE[0]], held)
    before = sum(dollars for _, dollars in counted(risk).values())
    convert(risk, converted, each)
    after = counted(risk)
    total = sum(dollars for _, dollars in after.values())
    assert before - each <= total <= max(before - each + 1, before)
    assert [after[name][0] for name in MADE] == [held + each, each]
    assert [after.get(name, (0, 0))[0] for name in TAKEN] == [shares - converted] * 2
