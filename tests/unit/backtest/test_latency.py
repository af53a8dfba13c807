"""Latencies: constant, or drawn so that no message moves another's draw."""

from __future__ import annotations

import statistics

from arbkit.backtest.latency import LatencyModel, draw

PINNED = [2.118866714818, -1.048399695387, 1.04835732996]  # of generator and hash, which never change


def test_a_draw_belongs_to_its_message_and_to_nothing_else() -> None:
    message = (7, "opportunity", "kalshi", 2, "submit", 5)
    alone = draw(*message)
    for ordinal in range(50):
        draw(7, "opportunity", "kalshi", 2, "submit", ordinal)
    assert draw(*message) == alone


def test_every_part_of_a_message_changes_its_draw() -> None:
    base = (7, "opportunity", "kalshi", 2, "submit", 5)
    others = [
        (8, *base[1:]), (7, "other", *base[2:]), (*base[:2], "polymarket", *base[3:]), (*base[:3], 3, *base[4:]),
        (*base[:4], "cancel", 5), (*base[:5], 6),
    ]  # fmt: skip
    assert len({draw(*message) for message in [base, *others]}) == 7


def test_parts_of_a_name_cannot_be_shifted_into_one_another() -> None:
    assert draw(1, "a", "bc", 1, "x", 0) != draw(1, "ab", "c", 1, "x", 0)
    assert draw(1, "", "v", 11, "x", 0) != draw(1, "", "v1", 1, "x", 0)


def test_draws_are_standard_normal() -> None:
    draws = [draw(0, "o", "v", leg, "submit", n) for leg in range(10) for n in range(400)]
    assert abs(statistics.mean(draws)) < 0.05
    assert abs(statistics.stdev(draws) - 1) < 0.05


def test_draws_are_the_same_on_every_machine_and_day() -> None:
    assert [round(draw(1, "o", "v", 0, "submit", n), 12) for n in range(3)] == PINNED


def test_without_jitter_latency_is_what_was_stated() -> None:
    model = LatencyModel(50_000_000, 20_000_000)
    assert model.entry_ns("v", 0, "submit", 3) == 50_000_000
    assert model.reply_ns("v", 0, "submit", 3) == 20_000_000


def test_with_jitter_the_stated_value_is_the_median_and_both_ways_differ() -> None:
    model = LatencyModel(50_000_000, 50_000_000, sigma=0.4, seed=1, opportunity_id="o")
    there = [model.entry_ns("v", 0, "submit", n) for n in range(2_000)]
    back = [model.reply_ns("v", 0, "submit", n) for n in range(2_000)]
    assert abs(statistics.median(there) / 50_000_000 - 1) < 0.05
    assert there != back
    assert min(there) > 0
    assert LatencyModel(0, 0, sigma=0.4).entry_ns("v", 0, "submit", 0) == 0
