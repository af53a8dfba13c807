"""The tapes in data/: readable, small, honest about what they are, and made by what their README says."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from arbkit.books import meta as m
from arbkit.core.units import MICRO
from arbkit.fees import rule_for
from arbkit.history.shipped import DATA, shipped
from arbkit.history.synthetic import synthetic_tape
from arbkit.history.tape import read_tape

README = (DATA / "README.md").read_text(encoding="utf-8")
TAPES = ("synthetic_two_market", "resolvedkit_sample")


@pytest.mark.parametrize("name", TAPES)
def test_shipped_tape_is_whole_and_its_size_stands_in_the_readme(name: str) -> None:
    tape = read_tape(shipped(name))  # compares rows and table with the stored digest
    assert f"{len(tape):,} rows" in README
    assert tape.synthetic == name.startswith("synthetic")


@pytest.mark.parametrize("name", TAPES)
def test_shipped_tape_reads_from_a_folder_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(shipped(name), tmp_path / name, ignore=shutil.ignore_patterns("replay.arrow"))
    folders = [copy, copy / "rows"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert read_tape(copy).digest == read_tape(shipped(name)).digest
        assert not (copy / "replay.arrow").exists()
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("name", TAPES)
def test_fees_of_a_shipped_tape_are_known_for_all_of_its_time(name: str) -> None:
    tape = read_tape(shipped(name))
    start, end = int(tape.rows.ts_recv[0]), int(tape.rows.ts_recv[-1])
    rules = {rule_for(market, start, end).name for market in tape.markets.markets}
    assert rules == {"synthetic-flat-low" if tape.synthetic else "polymarket-crypto-2026-03-30"}


def test_everything_that_ships_is_under_five_megabytes() -> None:
    files = [path for path in DATA.rglob("*") if path.is_file() and path.name != "replay.arrow"]
    assert sum(path.stat().st_size for path in files) < 5_000_000


def test_the_synthetic_tape_is_what_its_command_makes() -> None:
    # Not by digest: exp and log differ in their last bit between processors, and a draw may round the other way.
    made, kept = synthetic_tape(seed=0), read_tape(shipped("synthetic_two_market"))
    assert kept.source == made.source
    assert kept.markets == made.markets
    assert len(kept) == pytest.approx(len(made), rel=0.01)


def test_the_recorded_sample_carries_credit_and_has_no_prints() -> None:
    tape = read_tape(shipped("resolvedkit_sample"))
    assert "resolvedkit 0.1.0" in tape.source
    assert tape.licence.startswith("MIT")
    assert "Permission is hereby granted, free of charge" in README
    assert "Elcara LLC-FZ" in (DATA.parent / "NOTICE").read_text(encoding="utf-8")
    assert not ((tape.rows.meta & m.KIND_MASK) == m.KIND_PRINT).any()


def test_yes_and_no_of_the_recorded_sample_are_mirrored_books() -> None:
    tape = read_tape(shipped("resolvedkit_sample"))
    times = np.linspace(int(tape.rows.ts_recv[0]), int(tape.rows.ts_recv[-1]), 60).astype(np.int64)
    compared, mirrored = 0, 0
    for t in times.tolist():
        books = tape.books_at(t)
        for yes, no in ((0, 1), (2, 3), (4, 5)):
            if books[yes].asks and books[no].bids and books[yes].at == books[no].at:
                compared += 1
                mirrored += books[yes].asks[0].price + books[no].bids[0].price == MICRO
    assert compared > 50
    assert mirrored / compared > 0.9
