"""What a synthetic tape claims of itself, measured on its rows by a slow detector of plain Python."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from arbkit.books import meta as m
from arbkit.core.errors import ConfigError
from arbkit.core.units import MICRO
from arbkit.fees import rule
from arbkit.history.synthetic import SyntheticSpec, main, synthetic_tape
from arbkit.history.tape import Tape, read_tape

SHORT = SyntheticSpec(minutes=1.0, episodes=8, life_tail=4.0)


class Boundary(NamedTuple):
    at: int
    bids: list[int | None]  # best per recorded book: ALPHA yes, ALPHA no, BRAVO yes
    asks: list[int | None]


class Episode(NamedTuple):
    basket: str
    ms: float
    gross: int


def boundaries(tape: Tape, stamps: np.ndarray, order: np.ndarray) -> Iterator[Boundary]:
    """Yield the bests after every message, in the order and on the clock given."""
    books: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in range(3)]
    r = tape.rows
    columns = (column[order].tolist() for column in (stamps, r.book, r.meta, r.price, r.size))
    for at, book, meta, price, size in zip(*columns, strict=True):
        if meta & m.KIND_MASK == m.KIND_LEVEL:
            side = books[book][(meta >> m.SIDE_SHIFT & 3) - 1]
            assert size >= 0
            if size:
                side[price] = size
            else:
                del side[price]  # nothing is removed that does not stand
        if meta & m.LAST:
            yield Boundary(at, [max(b[0], default=None) for b in books], [min(b[1], default=None) for b in books])


def episodes(tape: Tape) -> list[Episode]:
    """Find by hand when one share of each outcome of the event costs less than one dollar, fees included."""
    fees = rule("synthetic-flat-low")
    found, since = [], {}
    for now in boundaries(tape, tape.rows.ts_recv, np.arange(len(tape))):
        if None in (*now.bids, *now.asks):
            continue
        (alpha_bid, _, bravo_bid), (alpha_ask, _, bravo_ask) = now.bids, now.asks
        for name, asks in (("yes", (alpha_ask, bravo_ask)), ("no", (MICRO - alpha_bid, MICRO - bravo_bid))):
            gross = MICRO - sum(asks)
            open_ = gross > 0 and gross - sum(fees.order_fee([(ask, MICRO)], maker=False) for ask in asks) >= 100
            if open_ and name not in since:
                since[name] = (now.at, gross)
            elif not open_ and name in since:
                start, edge = since.pop(name)
                found.append(Episode(name, (now.at - start) / 1e6, edge))
    assert not since, "an episode is still open when the tape ends"
    return found


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthetic_tape(seed=7)


@pytest.fixture(scope="module")
def found(tape: Tape) -> list[Episode]:
    return episodes(tape)


def test_flow_comes_in_bursts(tape: Tape) -> None:
    gaps = np.diff(tape.rows.ts_recv) / 1e6
    assert 2.5 <= np.median(gaps) <= 4.5
    assert 20 <= gaps.mean() <= 40
    messages = np.diff(tape.rows.ts_recv[(tape.rows.meta & m.LAST) != 0]) / 1e6
    assert np.median(messages) < messages.mean() / 3  # of a Poisson flow it would be 0.7 of it
    assert 10 * 60e3 <= gaps.sum() <= 15 * 60e3


def test_episodes_are_as_many_as_asked_for_and_live_as_long_as_claimed(found: list[Episode]) -> None:
    assert len(found) == SyntheticSpec().episodes
    lives = [episode.ms for episode in found]
    assert 80 <= np.median(lives) <= 125
    assert 50 <= np.quantile(lives, 0.99) / np.median(lives) <= 110
    assert {episode.basket for episode in found} == {"yes", "no"}


def test_seven_episodes_in_ten_are_one_cent_wide(found: list[Episode]) -> None:
    widths = np.array([episode.gross for episode in found])
    assert np.mean(widths == 10_000) == pytest.approx(0.7, abs=0.02)
    assert set(widths.tolist()) == {10_000, 20_000, 30_000, 40_000}


def test_no_market_is_crossed_and_its_two_outcomes_never_cost_less_than_one_dollar(tape: Tape) -> None:
    by_venue = np.argsort(tape.rows.ts_venue, kind="stable")
    for stamps, order in ((tape.rows.ts_recv, np.arange(len(tape))), (tape.rows.ts_venue, by_venue)):
        spreads = []
        for now in boundaries(tape, stamps, order):
            for bid, ask in zip(now.bids, now.asks, strict=True):
                if bid is not None and ask is not None:
                    assert bid < ask
                    spreads.append(ask - bid)
            if now.asks[0] is not None:
                assert now.asks[0] + now.asks[1] >= MICRO
                assert (now.bids[1], now.asks[1]) == (MICRO - now.asks[0], MICRO - now.bids[0])
        assert set(spreads) == {10_000, 20_000, 30_000}
        assert np.mean(np.array(spreads) <= 20_000) > 0.8


def test_every_print_stands_behind_the_fall_of_its_level(tape: Tape) -> None:
    r = tape.rows
    totals: dict[tuple[int, int, int], int] = {}
    fallen: dict[tuple[int, int, int, int], int] = {}
    prints = 0
    for at, book, meta, price, size in zip(
        *(c.tolist() for c in (r.ts_venue, r.book, r.meta, r.price, r.size)), strict=True
    ):
        side = meta >> m.SIDE_SHIFT & 3
        if meta & m.KIND_MASK == m.KIND_LEVEL:
            before = totals.get((book, side, price), 0)
            assert size != before, "a level is restated"
            totals[book, side, price] = size
            fallen[at, book, side, price] = before - size
        elif meta & m.KIND_MASK == m.KIND_PRINT:
            hit = m.SIDE_ASK if side == m.BUYER else m.SIDE_BID
            assert meta & m.LAST
            assert 0 < size <= fallen.pop((at, book, hit, price))
            assert book in (0, 2)
            prints += 1
    assert prints > 1_000


def test_sizes_are_whole_shares_with_heavy_tails(tape: Tape) -> None:
    r = tape.rows
    assert not (r.size % MICRO).any()
    levels = r.size[((r.meta & m.KIND_MASK) == m.KIND_LEVEL) & (r.size > 0)] // MICRO
    trades = r.size[(r.meta & m.KIND_MASK) == m.KIND_PRINT] // MICRO
    assert 150 <= np.median(levels) <= 370
    assert np.quantile(levels, 0.9) > 1_500
    assert 25 <= np.median(trades) <= 50
    assert np.quantile(trades, 0.99) > 2_000


def test_messages_arrive_late_and_each_market_in_its_own_order(tape: Tape) -> None:
    lag = (tape.rows.ts_recv - tape.rows.ts_venue) / 1e6
    assert lag.min() > 0
    assert 3 <= np.median(lag) <= 6
    assert np.quantile(lag, 0.99) > 8
    for books in ((0, 1), (2,)):
        assert (np.diff(tape.rows.ts_venue[np.isin(tape.rows.book, books)]) >= 0).all()
    assert (np.diff(tape.rows.ts_venue) < 0).any()  # between markets the order of arrival is another


def test_the_tape_says_that_it_is_made_up_and_how(tape: Tape) -> None:
    assert tape.synthetic
    assert tape.clocks == "both"
    assert "seed 7" in tape.source
    assert [b.recorded for b in tape.markets.books] == [True, True, True, False]
    assert all(market.exclusive and market.exhaustive and market.void == "half" for market in tape.markets.markets)


def test_same_seed_same_digest_and_another_seed_another() -> None:
    first = synthetic_tape(SHORT, seed=3)
    assert synthetic_tape(SHORT, seed=3).digest == first.digest
    assert synthetic_tape(SHORT, seed=4).digest != first.digest
    assert synthetic_tape(replace(SHORT, trade_share=0.1), seed=3).digest != first.digest


def test_a_tape_without_episodes_has_none() -> None:
    assert episodes(synthetic_tape(SyntheticSpec(minutes=0.5, episodes=0), seed=1)) == []


def test_a_long_tape_stays_inside_its_prices() -> None:
    long = synthetic_tape(SyntheticSpec(minutes=240, episodes=3_000), seed=1)
    assert len(long) > 400_000
    prices = long.rows.price[(long.rows.meta & m.KIND_MASK) == m.KIND_LEVEL]
    assert prices.min() > 0
    assert prices.max() < MICRO


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minutes": 0}, "spec.minutes = 0 is outside"),
        ({"episodes": 2.5}, "whole number"),
        ({"life_tail": float("nan")}, "finite"),
        ({"trade_share": True}, "finite number, not True"),
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SyntheticSpec(**change)


def test_episodes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not fit into 1 minutes"):
        synthetic_tape(SyntheticSpec(minutes=1, episodes=1_000))


def test_the_command_writes_a_tape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "made"), "--seed", "3", "--minutes", "1", "--episodes", "5"]) == 0
    assert "synthetic Tape" in capsys.readouterr().out
    assert read_tape(tmp_path / "made").digest == synthetic_tape(SyntheticSpec(minutes=1, episodes=5), 3).digest
