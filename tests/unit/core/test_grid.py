from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import DataError
from arbkit.core.grid import Grid
from arbkit.core.units import MICRO, price

# Kalshi's published price ranges of 2026 by the name of their structure, and which prices they accept.
RANGES = {
    "linear_cent": [("0.0000", "1.0000", "0.0100")],
    "tapered_deci_cent": [
        ("0.0000", "0.1000", "0.0010"),
        ("0.1000", "0.9000", "0.0100"),
        ("0.9000", "1.0000", "0.0010"),
    ],
    "deci_cent": [("0.0000", "1.0000", "0.0010")],
    "center_deci_edge_centi_cent": [
        ("0.0000", "0.0100", "0.0001"),
        ("0.0100", "0.9900", "0.0010"),
        ("0.9900", "1.0000", "0.0001"),
    ],
}
GRIDS = {
    name: Grid.of_ranges([dict(zip(("start", "end", "step"), one, strict=True)) for one in ranges])
    for name, ranges in RANGES.items()
}
every_grid = st.sampled_from([*GRIDS.values(), *(grid.mirrored() for grid in GRIDS.values())])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """A published grid, its mirror, or any ranges that touch and are whole numbers of steps."""
    if draw(st.booleans()):
        return draw(every_grid)
    cuts = sorted({0, MICRO, *draw(st.lists(st.integers(1, 99).map(lambda c: c * 10_000), max_size=4))})
    steps = st.sampled_from([100, 250, 500, 1_000, 2_500, 5_000, 10_000])
    return Grid(tuple((a, b, draw(steps)) for a, b in pairwise(cuts)))


@pytest.mark.parametrize(
    ("structure", "quoted", "accepted"),
    [
        ("linear_cent", "0.55", True),
        ("linear_cent", "0.555", False),
        ("linear_cent", "0.00", False),
        ("linear_cent", "1.00", False),
        ("tapered_deci_cent", "0.055", True),
        ("tapered_deci_cent", "0.105", False),
        ("tapered_deci_cent", "0.10", True),
        ("tapered_deci_cent", "0.90", True),
        ("tapered_deci_cent", "0.955", True),
        ("tapered_deci_cent", "0.9555", False),
        ("deci_cent", "0.501", True),
        ("deci_cent", "0.5005", False),
        ("center_deci_edge_centi_cent", "0.0055", True),
        ("center_deci_edge_centi_cent", "0.0105", False),
        ("center_deci_edge_centi_cent", "0.9955", True),
    ],
)
def test_a_grid_accepts_what_its_venue_does(structure: str, quoted: str, accepted: bool) -> None:
    assert GRIDS[structure].holds(price(quoted)) is accepted


def test_a_tick_changes_its_size_on_the_way() -> None:
    grid = GRIDS["tapered_deci_cent"]
    assert [grid.up(price("0.099")), grid.up(price("0.1"))] == [price("0.1"), price("0.11")]
    assert [grid.down(price("0.1")), grid.down(price("0.11"))] == [price("0.099"), price("0.1")]
    assert grid.up(price("0.099"), 3) == price("0.12")
    assert grid.down(price("0.12"), 3) == price("0.099")


def test_a_grid_ends_before_nothing_and_before_a_dollar() -> None:
    grid = Grid.of_tick("0.01")
    assert grid.down(10_000) == 0
    assert grid.up(990_000) == MICRO
    assert grid.down(10_000, 5) == 0
    assert grid.up(980_000, 5) == MICRO
    assert grid.floor(-5) == 0
    assert grid.ceil(2 * MICRO) == MICRO
    assert grid.floor(2 * MICRO) == 990_000


@given(grids(), st.integers(-10, MICRO + 10))
def test_floor_and_ceil_are_the_nearest_quotable_prices(grid: Grid, value: int) -> None:
    below, above = grid.floor(value), grid.ceil(value)
    assert below == 0 or (grid.holds(below) and below <= value)
    assert above == MICRO or (grid.holds(above) and above >= value)
    if grid.holds(value):
        assert below == above == value
    else:
        assert below < above or value <= 0 or value >= MICRO
    step = min(step for _, _, step in grid.ranges)
    assert not any(grid.holds(p) for p in range(below + step, min(value, below + 40 * step) + 1, step) if p != below)


@given(grids(), st.integers(1, MICRO - 1), st.integers(0, 20))
def test_up_and_down_undo_each_other(grid: Grid, value: int, ticks: int) -> None:
    at = grid.floor(value)
    up = grid.up(at, ticks)
    if up < MICRO:
        assert grid.down(up, ticks) == at
    assert grid.up(at, 0) == grid.down(at, 0) == at
    assert grid.up(at) > at
    assert grid.down(at) < at or at == 0


@given(grids(), st.integers(0, MICRO))
def test_a_mirrored_grid_holds_one_dollar_minus_each_price(grid: Grid, value: int) -> None:
    other = grid.mirrored()
    assert other.holds(MICRO - value) == grid.holds(value)
    assert other.floor(MICRO - value) == MICRO - grid.ceil(value)
    assert other.ceil(MICRO - value) == MICRO - grid.floor(value)
    assert other.mirrored() == grid


@pytest.mark.parametrize(
    "ranges",
    [
        (),
        ((0, 500_000, 10_000),),
        ((10_000, MICRO, 10_000),),
        ((0, 500_000, 10_000), (600_000, MICRO, 10_000)),
        ((0, MICRO, 0),),
        ((0, MICRO, -1),),
        ((0, MICRO, 300_000),),
        ((0, 0, 1), (0, MICRO, 1)),
        ((0, 2 * MICRO, 10_000),),
    ],
)
def test_ranges_that_leave_holes_are_no_grid(ranges: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(DataError, match="not a price grid"):
        Grid(ranges)


def test_a_grid_of_one_tick_is_read_exactly() -> None:
    assert Grid.of_tick("0.0025").ranges == ((0, MICRO, int(Decimal("0.0025") * MICRO)),)
