"""Doubles in Parquet come back as the decimals they were written from, or are told to be no such thing."""

import math
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import DataError
from arbkit.history.importers.parquet import micros, reading, stamps_ns


@given(st.lists(st.integers(0, 10**13), max_size=20))
def test_a_double_of_a_decimal_is_that_decimal(amounts: list[int]) -> None:
    found = micros(pa.array([amount / 1_000_000 for amount in amounts], pa.float64()))
    assert found.values.tolist() == amounts
    assert found.good.all()


def test_float_residue_is_dropped_and_what_lies_between_millionths_is_not_good() -> None:
    found = micros(pa.array([0.43999999999999995, 0.41000000000000003, 0.0000005, None, math.inf, math.nan, 1e30]))
    assert found.values[:2].tolist() == [440_000, 410_000]
    assert found.good.tolist() == [True, True, False, False, False, False, False]


def stamps(values: pa.Array, path: Path = Path("f.parquet")) -> list[int | None]:
    with reading(path):
        return stamps_ns(pa.record_batch({"at": values}), "at")


def test_stamps_of_any_unit_become_ns_and_whole_numbers_are_milliseconds() -> None:
    for unit, factor in (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1)):
        assert stamps(pa.array([5, None], pa.timestamp(unit, tz="UTC"))) == [5 * factor, None]
    assert stamps(pa.array([5], pa.int64())) == [5_000_000]
    with pytest.raises(DataError, match=r"^f\.parquet: column `at` is no column of stamps: string"):
        stamps(pa.array(["2026"]))
