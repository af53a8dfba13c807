"""Rows put in order of time on disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.errors import DataError
from arbkit.history.importers.by_time import TimeSorter

ROW = np.dtype([("recv", "<i8"), ("number", "<i4")])


def rows(stamps: list[int]) -> np.ndarray:
    found = np.zeros(len(stamps), dtype=ROW)
    found["recv"], found["number"] = stamps, range(len(stamps))
    return found


@given(
    st.lists(st.lists(st.integers(0, 2_000), max_size=20), max_size=6),
    st.sampled_from([1, 40, 700]),
    st.sampled_from([1, 5, 1_000]),
)
def test_all_rows_come_back_in_order_of_time_ties_as_they_were_added(
    pieces: list[list[int]], stretch: int, most: int
) -> None:
    everything = [stamp for piece in pieces for stamp in piece]
    whole = rows(everything)
    with TimeSorter(ROW, stretch, most) as sorter:
        at = 0
        for piece in pieces:
            sorter.add(whole[at : at + len(piece)])
            at += len(piece)
        found = list(sorter.ordered())
    together = np.concatenate(found) if found else rows([])
    assert together.tolist() == whole[np.argsort(whole["recv"], kind="stable")].tolist()


def test_rows_of_one_time_come_together() -> None:
    with TimeSorter(ROW, 100, most_rows=10) as sorter:
        sorter.add(rows([5] * 40 + [7] * 3 + [200] * 2))
        found = list(sorter.ordered())
    seen: set[int] = set()
    for piece in found:
        stamps = set(piece["recv"].tolist())
        assert not stamps & seen
        seen |= stamps
    assert seen == {5, 7, 200}


def test_nothing_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with TimeSorter(ROW, 10) as sorter:
        sorter.add(rows([1, 20]))
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_times_that_lie_too_far_apart_are_no_recording() -> None:
    with TimeSorter(ROW, 1) as sorter, pytest.raises(DataError, match="no recording"):
        sorter.add(rows(list(range(5_000))))
