"""The table of determinism: every way to the same journals, and a word when they are not the same."""

from __future__ import annotations

from pathlib import Path

import pytest

import arbkit as ak
from arbkit.history.synthetic import SyntheticSpec
from benchmarks.determinism import Row, journals, shown, table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.no_cover
def test_chunks_processes_hash_seeds_and_executors_write_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    ak.synthetic_tape(SyntheticSpec(minutes=0.5, episodes=4, life_tail=8.0), 11).write(path)
    rows = table(str(path), chunks=(1, 200_000), hash_seeds=("1", "4242"))
    print(shown(rows))
    assert {row.what for row in rows} == {"rows per chunk", "process, hash seed", "executor"}
    assert len(rows) >= 6
    assert len({row.digest for row in rows}) == 1
    other = tmp_path / "other"
    ak.synthetic_tape(SyntheticSpec(minutes=0.5, episodes=4, life_tail=8.0), 12).write(other)
    assert journals(str(other)) != rows[0].digest  # the hash does tell one world from another


def test_two_hashes_are_not_called_one() -> None:
    one = Row("executor", "a thread", "a" * 64)
    assert shown([one, one]).endswith("2 ways, 1 hash")
    assert shown([one, one._replace(digest="b" * 64)]).endswith("2 ways, 2 hashes: NOT deterministic")
